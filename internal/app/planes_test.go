package app

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/internal/config"
	"sluice/internal/grant/feed"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// apart is a control plane and its gateways, each as if it were a process of its own.
type apart struct {
	*world
	control *controlling
	root    *client.Client
	// gateways reach the control plane here, whichever process and port it is.
	front  net.Listener
	behind atomic.Pointer[string]
	ahead  atomic.Int64 // by which the control plane's clock is, in nanoseconds
}

type controlling struct {
	*ControlPlane
	stop func()
}

func newApart(t *testing.T) *apart {
	t.Helper()
	return apartIn(t, newWorld(t))
}

func apartIn(t *testing.T, w *world) *apart {
	t.Helper()
	a := &apart{world: w}
	var err error
	if a.front, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.front.Close() })
	go func() {
		for {
			near, err := a.front.Accept()
			if err != nil {
				return
			}
			to := a.behind.Load()
			if to == nil {
				near.Close()
				continue
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", *to)
				if err != nil {
					return
				}
				go func() { io.Copy(near, far); near.Close() }()
				io.Copy(far, near)
				far.Close()
			}()
		}
	}()
	a.begin()
	a.root = a.personAt(a.control.management, "root")
	return a
}

// begin starts the control plane.
func (a *apart) begin() {
	a.t.Helper()
	c, err := NewControlPlane(a.controlOptions())
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			a.t.Error(err)
		}
	})
	a.t.Cleanup(stop)
	a.control = &controlling{c, stop}
	address := c.FeedAddress()
	a.behind.Store(&address)
}

func (a *apart) controlOptions() Options {
	opts := a.options()
	opts.Resources, opts.Config.DataDir = nil, filepath.Join(a.dir, "control")
	opts.Config.Management.Address, opts.Config.Feed.Address = "127.0.0.1:0", "127.0.0.1:0"
	opts.Config.Feed.AdvertisedAddress = a.front.Addr().String()
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }
	return opts
}

// end stops the control plane.
func (a *apart) end() {
	a.behind.Store(nil)
	a.control.stop()
}

func (a *apart) gatewayOptions(name string) Options {
	opts := a.options()
	opts.Resources, opts.Joined = nil, true
	opts.Config.Environment = "prod" // it has joined another one
	opts.Config.DataDir = filepath.Join(a.dir, name)
	return opts
}

// join makes a gateway that is not started yet.
func (a *apart) join(name string) {
	a.t.Helper()
	j, err := a.root.InviteGateway(a.t.Context(), name, client.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	opts := a.gatewayOptions(name)
	got, environment, err := Join(a.t.Context(), opts, j.Control, j.Token)
	if err != nil || got != name || environment != "test" {
		a.t.Fatalf("joined as %q of %q, %v", got, environment, err)
	}
	if _, _, err := Join(a.t.Context(), opts, j.Control, j.Token); err == nil || !strings.Contains(err.Error(), "was used") {
		a.t.Errorf("a token works twice: %v", err)
	}
}

func (a *apart) gateway(name string) *running {
	a.t.Helper()
	r := a.start(a.gatewayOptions(name))
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		a.t.Fatal(err)
	}
	return r
}

// settled waits until gateways have in force what is stored, and returns how long it took.
func (a *apart) settled(names ...string) time.Duration {
	a.t.Helper()
	return a.within(patience, "the gateways have the newest", func() bool {
		n := 0
		for _, g := range a.control.sender.Gateways() {
			if slices.Contains(names, g.Name) && g.Connected && !g.Behind && g.Report.Refused == "" {
				n++
			}
		}
		a.control.mu.Lock()
		defer a.control.mu.Unlock()
		return n == len(names) && a.control.given["test"] == a.control.management.plane.Model().Seq()
	})
}

// fleet are applications with a credential of their name each, and one product for all.
func (a *apart) fleet(names ...string) {
	a.t.Helper()
	a.apply(a.root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"test"},"spec":{"bootstrap":["`+a.broker.Addresses()[0]+`"]}}`,
		`{"kind":"Gateway","metadata":{"name":"gw-1","environment":"test"},"spec":{}}`,
		`{"kind":"Gateway","metadata":{"name":"gw-2","environment":"test"},"spec":{}}`)
	a.apply(a.root, `{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"team"}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"test":{"cluster":"main","topic":"backing.orders"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"free":{"auth":["plain","scram"],"approval":"automatic"}}}}`)
	for part := range slices.Chunk(names, 250) {
		body := schema.Apply{Secrets: map[string]string{}}
		for _, name := range part {
			for _, d := range []string{
				`{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"%s","team":"shop"},"spec":{}}`,
				`{"apiVersion":"sluice/v1","kind":"Subscription","metadata":{"name":"%s","environment":"test"},"spec":{"application":"%[1]s","product":"orders","plan":"free"}}`,
				`{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":"%s","environment":"test"},"spec":{"application":"%[1]s","type":"plain"}}`,
			} {
				body.Documents = append(body.Documents, json.RawMessage(fmt.Sprintf(d, name)))
			}
			body.Secrets[name] = secret
		}
		if _, err := a.root.Apply(a.t.Context(), body, false); err != nil {
			a.t.Fatal(err)
		}
	}
}

// wire is a client's connection that has logged in.
type wire struct {
	net.Conn
	gone chan error // gets one value when the other end closes it
}

// dial logs in by SASL PLAIN.
func dial(address, user, password string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, gone: make(chan error, 1)}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.Version, authenticate.SASLAuthBytes = 1, []byte("\x00"+user+"\x00"+password)
	for _, request := range []kmsg.Request{handshake, authenticate} {
		answer, err := w.ask(request)
		if err == nil && len(answer) > 6 && (answer[4] != 0 || answer[5] != 0) {
			err = fmt.Errorf("refused: %q", answer[4:])
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("log in as %s: %w", user, err)
		}
	}
	return w, nil
}

// ask sends a request and returns the answer behind its length.
func (w *wire) ask(r kmsg.Request) ([]byte, error) {
	w.SetDeadline(time.Now().Add(patience))
	defer w.SetDeadline(time.Time{})
	if _, err := w.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, r, 1)); err != nil {
		return nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(w, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, min(binary.BigEndian.Uint32(length[:]), 1<<20))
	_, err := io.ReadFull(w, answer)
	return answer, err
}

// alive asks something that takes a grant.
func (w *wire) alive() error {
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 4
	_, err := w.ask(metadata)
	return err
}

// await notes when the other end closes the connection.
func (w *wire) await() {
	go func() {
		_, err := w.Read(make([]byte, 1))
		w.gone <- err
	}()
}

func fleetNames(kind string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d", kind, i)
	}
	return out
}

// With the control plane away, everything goes on; when it is back, everything catches up.
func TestGatewaysGoOnWithoutTheirControlPlane(t *testing.T) {
	a := newApart(t)
	a.fleet("reader", "other")
	a.join("gw-1")
	a.join("gw-2")
	one, two := a.gateway("gw-1"), a.gateway("gw-2")
	a.settled("gw-1", "gw-2")
	if id, other := one.gateway.Snapshot(), two.gateway.Snapshot(); id.Number() != other.Number() || id.Environment() != "test" {
		t.Fatalf("in force are %v and %v of %s", id.Number(), other.Number(), id.Environment())
	}
	fromTheStart := kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders.placed": {0: kgo.NewOffset().AtStart()}})
	reader := a.plain(two, "reader", fromTheStart)
	direct := a.direct()
	a.produce(direct, "backing.orders", "first")
	a.next(reader, "first")
	stays, err := dial(two.Bootstrap(), "other", secret)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()

	a.end()
	a.within(patience, "the gateways notice", func() bool {
		return !one.follower.receiver.Standing().Connected && !two.follower.receiver.Standing().Connected
	})
	if status, text := two.readyz(t); status != http.StatusOK || !strings.Contains(text, "note: the control plane is not reached") {
		t.Errorf("/readyz says %d %s", status, text)
	}
	a.produce(direct, "backing.orders", "without a control plane")
	a.next(reader, "without a control plane")
	if err := stays.alive(); err != nil {
		t.Errorf("a connection has gone with the control plane: %v", err)
	}
	inForce := one.gateway.Snapshot().Number()
	one.stop()
	if err := <-one.done; err != nil {
		t.Fatal(err)
	}
	one = a.gateway("gw-1")
	if got := one.gateway.Snapshot().Number(); got != inForce {
		t.Errorf("after a restart %v is in force, want %v", got, inForce)
	}
	again := a.plain(one, "reader", fromTheStart)
	a.next(again, "without a control plane")
	if _, err := dial(one.Bootstrap(), "nobody", secret); err == nil {
		t.Error("somebody unknown logs in")
	}

	a.begin()
	began := time.Now()
	a.root = a.personAt(a.control.management, "root")
	if _, err := a.root.Move(t.Context(), "credentials", "reader", "revoke", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	a.settled("gw-1", "gw-2")
	t.Logf("the gateways have caught up %v after the control plane was back", time.Since(began).Round(time.Millisecond))
	for _, r := range []*running{one, two} {
		a.within(patience, "the credential is revoked", func() bool {
			_, err := dial(r.Bootstrap(), "reader", secret)
			return err != nil && strings.Contains(err.Error(), "revoked")
		})
	}
	if err := stays.alive(); err != nil {
		t.Errorf("another connection has gone: %v", err)
	}

	// So does who logged in where, also while the control plane was away.
	a.within(patience, "the last login is told", func() bool {
		d, err := a.root.Get(t.Context(), "credentials", "other")
		return err == nil && len(d.Status.Secrets) == 1 && d.Status.Secrets[0].Used != nil && d.Status.Secrets[0].Used.Gateway == "gw-2"
	})

	// The gateways stand in the management API, for who may see them.
	d, err := a.root.Get(t.Context(), "gateways", "gw-1")
	if err != nil || d.Status.Gateway == nil || !d.Status.Gateway.Connected || d.Status.Gateway.Behind || d.Status.Gateway.Joined == nil || d.Status.Gateway.InForce != one.gateway.Snapshot().Number().String() {
		t.Errorf("gw-1 stands as %+v, %v", d.Status.Gateway, err)
	}
	// A gateway whose document is gone is sent away, and goes on with what it has for a while.
	if _, err := a.root.Delete(t.Context(), "gateways", "gw-2", client.Options{}); err != nil {
		t.Fatal(err)
	}
	a.within(patience, "gw-2 is sent away", func() bool { return strings.Contains(two.follower.receiver.Standing().Failure, "no Gateway") })
	if err := stays.alive(); err != nil {
		t.Errorf("a connection has gone with the gateway's document: %v", err)
	}
	if status, text := two.readyz(t); status != http.StatusServiceUnavailable || !strings.Contains(text, "has sent this gateway away") {
		t.Errorf("/readyz says %d %s", status, text)
	}
}

// A gateway that was removed at the control plane stops after a while, and serves again
// once it has joined again; its restart within that time does not lengthen it.
func TestAGatewayThatWasSentAwayStops(t *testing.T) {
	a := newApart(t)
	a.fleet("reader")
	a.join("gw-1")
	opts := a.gatewayOptions("gw-1")
	var ahead atomic.Int64
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := a.start(opts)
	a.settled("gw-1")
	if _, err := a.root.Delete(t.Context(), "gateways", "gw-1", client.Options{}); err != nil {
		t.Fatal(err)
	}
	a.within(patience, "it is sent away", func() bool { return !r.follower.receiver.Standing().SentAway.IsZero() })
	ahead.Store(int64(sentAwayServes - 10*time.Minute))
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatalf("before its time: %v", err)
	}
	var found []string
	Diagnose(t.Context(), opts, func(f Finding) { found = append(found, f.Message) })
	if !strings.Contains(strings.Join(found, "\n"), "has sent this gateway away") {
		t.Errorf("the doctor finds %q", found)
	}
	r = a.start(opts)
	w, err := dial(r.Bootstrap(), "reader", secret)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.await()
	ahead.Store(int64(sentAwayServes + time.Minute))
	select {
	case err := <-r.done:
		if err == nil || !strings.Contains(err.Error(), "let it join again") {
			t.Errorf("it stops with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it serves on")
	}
	select {
	case <-w.gone:
	case <-time.After(patience):
		t.Error("its connections are open")
	}
	a.apply(a.root, `{"kind":"Gateway","metadata":{"name":"gw-1","environment":"test"},"spec":{}}`)
	a.join("gw-1")
	r = a.start(opts)
	a.settled("gw-1")
	if w, err := dial(r.Bootstrap(), "reader", secret); err != nil {
		t.Errorf("joined again: %v", err)
	} else {
		w.Close()
	}
	// One that was sent away for too long serves once it is taken again, and not before.
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	long := opts.Now().Add(-2 * sentAwayServes)
	if err := os.WriteFile(filepath.Join(opts.Config.DataDir, feedDir, "sent-away"), fmt.Appendf(nil, "%d\n", long.UnixMilli()), 0o600); err != nil {
		t.Fatal(err)
	}
	r = a.start(opts)
	if at := r.follower.receiver.Standing().SentAway; !at.IsZero() {
		t.Errorf("it serves, sent away at %v", at)
	}
}

// plain is a client of a gateway.
func (a *apart) plain(r *running, user string, opts ...kgo.Opt) *kgo.Client {
	a.t.Helper()
	return a.client(append([]kgo.Opt{kgo.SeedBrokers(r.Bootstrap()), kgo.SASL(plain.Auth{User: user, Pass: secret}.AsMechanism()), kgo.MetadataMinAge(50 * time.Millisecond), kgo.FetchMaxWait(500 * time.Millisecond)}, opts...)...)
}

// Each revoked credential loses its connections on both gateways, and nobody else loses
// one; other changes end none.
func TestRevocationsAtAllGateways(t *testing.T) {
	revoked, bystanders := 50, 20
	if os.Getenv("SLUICE_FULL") != "" {
		revoked, bystanders = 1000, 100
	}
	a := newApart(t)
	gone, stay := fleetNames("gone", revoked), fleetNames("stay", bystanders)
	a.fleet(slices.Concat(gone, stay)...)
	a.join("gw-1")
	a.join("gw-2")
	gateways := []*running{a.gateway("gw-1"), a.gateway("gw-2")}
	a.settled("gw-1", "gw-2")
	connect := func(names []string) (out [][]*wire) {
		for _, name := range names {
			var both []*wire
			for _, r := range gateways {
				w, err := dial(r.Bootstrap(), name, secret)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { w.Close() })
				both = append(both, w)
			}
			out = append(out, both)
		}
		return out
	}
	leaving, staying := connect(gone), connect(stay)
	dropped := func(after string, list [][]*wire) {
		t.Helper()
		for i, both := range list {
			for j, w := range both {
				if err := w.alive(); err != nil {
					t.Errorf("after %s: connection %d at gateway %d has gone: %v", after, i, j+1, err)
				}
			}
		}
	}

	// Whatever else is changed ends no connection.
	a.apply(a.root, `{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"title":"Orders","versions":["orders.v1"],"plans":{"free":{"auth":["plain","scram"],"approval":"automatic"},"more":{"auth":["plain"],"approval":"automatic"}}}}`)
	a.apply(a.root, `{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true},"feedback":{"address":"orders.feedback","receive":true}}},"channels":{"placed":{"test":{"cluster":"main","topic":"backing.orders"}},"feedback":{"test":{"cluster":"main","topic":"backing.feedback"}}},"lifecycle":{"state":"published"}}}`)
	a.apply(a.root, `{"kind":"Cluster","metadata":{"name":"second","environment":"test"},"spec":{"bootstrap":["127.0.0.1:1"]}}`)
	if _, err := a.root.Move(t.Context(), "subscriptions", stay[0], "suspend", schema.Move{Reason: "unpaid"}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	a.settled("gw-1", "gw-2")
	dropped("changes of documents", slices.Concat(leaving, staying))

	began := make([]time.Time, revoked)
	took := make([]time.Duration, 2*revoked)
	var ends sync.WaitGroup
	for i, both := range leaving {
		for j, w := range both {
			w.await()
			ends.Go(func() {
				select {
				case err := <-w.gone:
					if !errors.Is(err, io.EOF) {
						t.Errorf("%s at gateway %d ends with %v", gone[i], j+1, err)
					}
					took[2*i+j] = time.Since(began[i])
				case <-time.After(5 * patience):
					t.Errorf("%s at gateway %d is still there", gone[i], j+1)
				}
			})
		}
	}
	for i, name := range gone {
		began[i] = time.Now()
		if _, err := a.root.Move(t.Context(), "credentials", name, "revoke", schema.Move{}, client.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	ends.Wait()
	slices.Sort(took)
	t.Logf("%d revocations at 2 gateways: from the call to the closed connection p50 %v, p99 %v, the longest %v",
		revoked, took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	dropped("the revocations", staying)
	if n := gateways[0].Connections(); n != bystanders {
		t.Errorf("gateway 1 has %d connections, want %d", n, bystanders)
	}
}

// What is allowed to be served only so long without word from the control plane falls
// silent then, and comes back with it.
func TestStaleTopicsAreWithheld(t *testing.T) {
	a := newApart(t)
	a.fleet("reader")
	a.apply(a.root, `{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"maxStaleness":"10m","versions":["orders.v1"],"plans":{"free":{"auth":["plain","scram"],"approval":"automatic"}}}}`)
	a.join("gw-1")
	opts := a.gatewayOptions("gw-1")
	var ahead atomic.Int64
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := a.start(opts)
	a.settled("gw-1")
	w, err := dial(r.Bootstrap(), "reader", secret)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if withheld(r, "orders.placed") {
		t.Error("a topic is withheld with the control plane at hand")
	}
	a.end()
	a.within(patience, "the gateway notices", func() bool { return !r.follower.receiver.Standing().Connected })
	ahead.Store(int64(9 * time.Minute))
	if withheld(r, "orders.placed") {
		t.Error("a topic is withheld before its time")
	}
	ahead.Store(int64(11 * time.Minute))
	a.within(patience, "the topic is withheld", func() bool { return withheld(r, "orders.placed") })
	if status, text := r.readyz(t); status != http.StatusOK || !strings.Contains(text, "1 topics are withheld") {
		t.Errorf("/readyz says %d %s", status, text)
	}
	// A restart does not make it younger.
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r = a.start(opts)
	if !withheld(r, "orders.placed") {
		t.Error("after a restart the topic is served")
	}
	a.begin()
	a.within(patience, "the topic is there again", func() bool { return !withheld(r, "orders.placed") })
}

func TestAGatewayThatCannotStart(t *testing.T) {
	w := idle(t)
	opts := w.options()
	opts.Resources, opts.Joined = nil, true
	if _, err := New(t.Context(), opts); !errors.Is(err, feed.ErrNotJoined) {
		t.Errorf("a gateway that has not joined: %v", err)
	}
	opts.Joined = false
	opts.Resources = []string{"resources"}
	if _, err := NewControlPlane(opts); err == nil || !strings.Contains(err.Error(), "in its store") {
		t.Errorf("a control plane with files: %v", err)
	}
}

// A gateway that waits for its control plane stops when it is told to.
func TestAGatewayThatWaitsCanBeStopped(t *testing.T) {
	t.Parallel()
	a := apartIn(t, idle(t))
	a.apply(a.root, `{"kind":"Environment","metadata":{"name":"test"},"spec":{}}`, `{"kind":"Gateway","metadata":{"name":"gw-1","environment":"test"},"spec":{}}`)
	a.join("gw-1")
	a.end()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	begun := time.Now()
	go func() {
		_, err := New(ctx, a.gatewayOptions("gw-1"))
		done <- err
	}()
	a.within(patience, "it waits", func() bool { return strings.Contains(a.log.String(), "waiting for the control plane") })
	// Whoever looks at its data directory meanwhile finds nothing to repair in that it runs.
	opts := a.gatewayOptions("gw-1")
	at := filepath.Join(opts.Config.DataDir, feedDir, "sent-away")
	if err := os.WriteFile(at, fmt.Appendf(nil, "%d\n", time.Now().UnixMilli()), 0o600); err != nil {
		t.Fatal(err)
	}
	text := ""
	d := doctor{opts: opts.withDefaults(), report: func(f Finding) { text += fmt.Sprintln(f.OK, f.Message) }}
	if !d.configuration() || !strings.Contains(text, "true data directory "+opts.Config.DataDir+" is that of a sluice that runs") || !strings.Contains(text, "false the control plane has sent this gateway away") {
		t.Errorf("the doctor finds %s", text)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || time.Since(begun) > firstWait {
		t.Errorf("it ends after %v with %v", time.Since(begun), err)
	}
}

// Numbers are not given twice, even if the data directory lost what was written last.
func TestNumbersAreNotGivenTwice(t *testing.T) {
	a := newApart(t)
	a.fleet("reader")
	a.join("gw-1")
	r := a.gateway("gw-1")
	a.settled("gw-1")
	first := r.gateway.Snapshot().Number()
	a.end()
	if err := os.Remove(filepath.Join(a.dir, "control", publishedFile)); err != nil {
		t.Fatal(err)
	}
	a.begin()
	a.settled("gw-1")
	if next := r.gateway.Snapshot().Number(); next.Compare(first) <= 0 || r.gateway.Snapshot().Len() != 1 {
		t.Errorf("%v follows %v", next, first)
	}
}

// What is stored and cannot be given to gateways is said so, and tried again.
func TestWhatIsNotInForceIsSaid(t *testing.T) {
	a := newApart(t)
	a.fleet("reader")
	a.join("gw-1")
	r := a.gateway("gw-1")
	a.settled("gw-1")
	a.end()
	numbers := filepath.Join(a.dir, "control", feedDir, reserveFile)
	good, err := os.ReadFile(numbers)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(numbers, []byte("no number"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.begin()
	resp, err := http.Get("http://" + a.control.OperationsAddress() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "note: environment test: what was stored since") || !strings.Contains(string(text), reserveFile+" is damaged") {
		t.Errorf("/readyz says %d %s", resp.StatusCode, text)
	}
	if w, err := dial(r.Bootstrap(), "reader", secret); err != nil {
		t.Errorf("a gateway has stopped with it: %v", err)
	} else {
		w.Close()
	}
	if err := os.WriteFile(numbers, good, 0o600); err != nil {
		t.Fatal(err)
	}
	a.ahead.Store(int64(2 * time.Minute)) // after which it is tried again
	a.settled("gw-1")
	if notes := a.control.notes(); len(notes) > 0 {
		t.Errorf("it is still said: %q", notes)
	}
}

func TestTheControlPlanesCertificateIsRenewed(t *testing.T) {
	w := idle(t)
	w.pair("first", time.Now().Add(300*24*time.Hour))
	opts := w.options()
	opts.Resources = nil
	opts.Config.Management.Address, opts.Config.Feed.Address = "127.0.0.1:0", "127.0.0.1:0"
	opts.Config.Management.TLS = &config.ManagementTLS{Certificate: config.SecretRef{File: filepath.Join(w.dir, "tls.crt")}, Key: config.SecretRef{File: filepath.Join(w.dir, "tls.key")}}
	c, err := NewControlPlane(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	name := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(c.ManagementAddress(), "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Fatalf("the certificate is %s", got)
	}
	w.pair("second", time.Now().Add(300*24*time.Hour))
	w.within(patience, "the new certificate is used", func() bool { return name() == "second" })
	w.pair("third", time.Now().Add(300*24*time.Hour))
	if err := c.Reload(ctx); err != nil || name() != "third" {
		t.Errorf("after a reload the certificate is %s: %v", name(), err)
	}
}
