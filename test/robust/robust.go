// Package robust does to a gateway what clients, networks and machines do at their worst: connections cut at every byte,
// peers that stop reading or vanish, full disks, damaged files, no descriptors left, storms of logins, certificates
// exchanged under load, and hours of coming and going. Nobody else may notice: beside each fault a bystander of another
// application works on one connection, which has to stay. It knows the product as users do: a binary, files and ports.
package robust

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/harness"
)

// The two applications: the one that has trouble, and its bystander.
const (
	troubled  = "troubled"
	bystander = "bystander"
	password  = "a secret of the robustness test"
	exposed   = "orders"
	backing   = "backing.orders"
)

// world is a gateway in front of a broker that is reached through a Line.
type world struct {
	*harness.Process
	tb    testing.TB
	kafka *kfake.Cluster
	line  *Line // between gateway and broker
}

// options of a world; the zero value is a gateway with its defaults.
type options struct {
	listener, settings string
	files              map[string]string
	wrap               []string
	applications       int   // more of them than the two, app-0 and so on
	partitions         int32 // of the topic; default: 1
}

func start(tb testing.TB, o options) *world {
	tb.Helper()
	w := &world{tb: tb}
	listen := func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		if w.line, err = NewLine(l.Addr().String()); err != nil {
			return nil, err
		}
		return advertised{l, w.line.Addr()}, nil
	}
	var err error
	w.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(max(1, o.partitions), backing), kfake.ListenFn(listen))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { w.line.Close(); w.kafka.Close() })
	files := map[string]string{"secret.txt": password}
	for name, text := range o.files {
		files[name] = text
	}
	w.Process = harness.StartProcess(tb, harness.Serve{
		Binary: product, Documents: documents(w.kafka.ListenAddrs(), o.applications), Files: files,
		Listener: o.listener, Settings: o.settings, Wrap: o.wrap,
	})
	return w
}

// advertised is a listener that says it is elsewhere.
type advertised struct {
	net.Listener
	at net.Addr
}

func (a advertised) Addr() net.Addr { return a.at }

// documents give every application the one topic.
func documents(bootstrap []string, more int) string {
	var b strings.Builder
	doc := func(kind, metadata, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, spec)
	}
	doc("Cluster", "name: main, environment: prod", fmt.Sprintf(`bootstrap: ["%s"]`, strings.Join(bootstrap, `","`)))
	doc("API", "name: orders, team: shop", "title: Orders")
	doc("Version", "name: orders.v1", fmt.Sprintf("contract: {channels: {%s: {send: true, receive: true}}}, channels: {%s: {prod: {cluster: main, topic: %s}}}, lifecycle: {state: published}", exposed, exposed, backing))
	doc("Product", "name: orders, team: shop", "versions: [orders.v1], plans: {plan: {auth: [plain, scram], approval: automatic}}")
	for i := -2; i < more; i++ {
		name := fmt.Sprintf("app-%d", i)
		if i < 0 {
			name = []string{troubled, bystander}[i+2]
		}
		b.WriteString(application(name))
	}
	return b.String()
}

// application is one with a subscription and two credentials, NAME and NAME-scram.
func application(name string) string {
	return fmt.Sprintf(`---
apiVersion: sluice/v1
kind: Application
metadata: {name: %[1]s, team: shop}
spec: {}
---
apiVersion: sluice/v1
kind: Subscription
metadata: {name: %[1]s, environment: prod}
spec: {application: %[1]s, product: orders, plan: plan}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: %[1]s, environment: prod}
spec: {application: %[1]s, type: plain, secret: {file: secret.txt}}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: %[1]s-scram, environment: prod}
spec: {application: %[1]s, type: scram, secret: {file: secret.txt}}
`, name)
}

// direct is a client of the broker itself, not through the line.
func (w *world) direct(opts ...kgo.Opt) *kgo.Client {
	w.tb.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.kafka.ListenAddrs()...)}, opts...)...)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(cl.Close)
	return cl
}

// beside lets a test run beside others in the sample; the full run measures, one after the other.
func beside(t *testing.T) {
	if !harness.Full() {
		t.Parallel()
	}
}

// within waits for what comes about by itself.
func within(tb testing.TB, limit time.Duration, what string, ok func() error) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Errorf("%s: not within %v: %v", what, limit, err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// witness works as the bystander on one connection until it is asked what it has seen. Its connection has to last.
type witness struct {
	tb   testing.TB
	s    *session
	stop context.CancelFunc
	done chan struct{}

	round chan struct{} // holds one when a round has ended since it was last looked at

	mu    sync.Mutex // guards what follows
	took  []time.Duration
	ended error
}

// witness begins to work: a record is produced and the latest one fetched, a hundred times a second.
func (w *world) witness() *witness {
	w.tb.Helper()
	conn, err := net.Dial("tcp", w.Bootstrap)
	if err != nil {
		w.tb.Fatal(err)
	}
	return witnessOn(w.tb, conn)
}

func witnessOn(tb testing.TB, conn net.Conn) *witness {
	tb.Helper()
	s := &session{conn: conn, user: bystander, patience: 20 * time.Second}
	if err := s.login(); err != nil {
		tb.Fatal("the bystander's login: ", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &witness{tb: tb, s: s, stop: cancel, done: make(chan struct{}), round: make(chan struct{}, 1)}
	tb.Cleanup(func() { cancel(); <-o.done; conn.Close() })
	go func() {
		defer close(o.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			begin := time.Now()
			err := s.produce(fmt.Sprintf("bystander-%d", n))
			if err == nil {
				err = s.fetch(s.offset)
			}
			o.mu.Lock()
			o.took = append(o.took, time.Since(begin))
			o.ended = err
			o.mu.Unlock()
			select {
			case o.round <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	select { // with its broker connection: what is settled before a fault has it
	case <-o.round:
	case <-time.After(s.patience):
		tb.Fatal("the bystander's first round takes too long")
	}
	return o
}

// leave ends the work and the connection.
func (o *witness) leave() {
	o.stop()
	<-o.done
	o.s.conn.Close()
}

// lap returns how long rounds took since the last lap, p50 and p99, and fails the test when the connection has ended. What
// the lap is about may be over sooner than a round: lap waits for one, which ends within the session's patience.
func (o *witness) lap(what string) (n int, p50, p99 time.Duration) {
	o.tb.Helper()
	var took []time.Duration
	var ended error
	for working := true; working && len(took) == 0; {
		select {
		case <-o.round: // perhaps one of the last lap's
		case <-o.done:
			working = false
		}
		o.mu.Lock()
		took, ended = o.took, o.ended
		o.took = nil
		o.mu.Unlock()
	}
	if ended != nil {
		o.tb.Errorf("%s: the bystander's connection has ended: %v", what, ended)
	}
	if len(took) == 0 {
		o.tb.Errorf("%s: the bystander has done nothing", what)
		return 0, 0, 0
	}
	return len(took), quantile(took, 0.5), quantile(took, 0.99)
}
