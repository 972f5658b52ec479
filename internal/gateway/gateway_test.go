package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
)

// world is a gateway in front of an embedded cluster of three brokers.
type world struct {
	t           testing.TB
	fake        *kfake.Cluster
	cluster     *upstream.Cluster
	gateway     *Gateway
	number      uint64
	logs        testWriter
	corrupt     atomic.Pointer[func([]byte)] // done to what brokers answer, on connections that were dialled while
	corruptible atomic.Bool                  // this was set
	onNow       atomic.Pointer[func()]       // called when the gateway looks at its clock
	onDial      atomic.Pointer[func(addr string, conn net.Conn)]
}

func (w *world) now() time.Time {
	if f := w.onNow.Load(); f != nil {
		(*f)()
	}
	return time.Now()
}

// dial connects to a broker whose answers may be corrupted.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if f := w.onDial.Load(); f != nil {
		(*f)(addr, conn)
	}
	if !w.corruptible.Load() {
		return conn, nil // as in earnest: a socket
	}
	return &corruptible{conn, w}, nil
}

type corruptible struct {
	net.Conn
	w *world
}

func (c *corruptible) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if f := c.w.corrupt.Load(); f != nil && n > 0 {
		(*f)(p[:n])
	}
	return n, err
}

type oneCluster struct{ c *upstream.Cluster }

func (o oneCluster) Cluster(name string) *upstream.Cluster {
	if name == "main" {
		return o.c
	}
	return nil
}
func (o oneCluster) All() []*upstream.Cluster { return []*upstream.Cluster{o.c} }

const secret = "a-secret-of-some-length"

func app(name string, topics ...*grant.Topic) *grant.Grant {
	sum := sha256.Sum256([]byte(name))
	return &grant.Grant{
		Application: name, Environment: "test", Cluster: "main",
		VirtualClusterID: "vc-" + name, Prefix: "t" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:12] + ".",
		IDKey: grant.TopicID(sum[:16]), Topics: topics,
	}
}

func topic(exposed, backing string, state grant.State, read, write grant.Access) *grant.Topic {
	sum := sha256.Sum256([]byte(exposed))
	return &grant.Topic{
		Exposed: exposed, Backing: backing, ID: grant.TopicID(sum[:16]), Subscription: "sub",
		Read: grant.Right{Access: read}, Write: grant.Right{Access: write},
		Phases: []grant.Phase{{State: state, Rule: "test", Message: "by the test"}},
	}
}

func credential(name string, g *grant.Grant) *grant.Credential {
	v, err := sasl.NewVerifier(sasl.Plain, secret, []byte("0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return &grant.Credential{Name: name, Method: grant.Plain, Identity: name, Verifiers: []grant.Verifier{verifierOf(v)}, Grant: g}
}

func start(t *testing.T, credentials ...*grant.Credential) *world {
	t.Helper()
	return startWith(t, plaintext, credentials...)
}

var plaintext = ListenerConfig{Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain, sasl.ScramSHA256, sasl.ScramSHA512}}

func startWith(t *testing.T, listener ListenerConfig, credentials ...*grant.Credential) *world {
	t.Helper()
	return startLimited(t, DefaultLimits(), listener, credentials...)
}

func startLimited(t *testing.T, limits Limits, listener ListenerConfig, credentials ...*grant.Credential) *world {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(3, "phys.orders", "phys.vehicles", "phys.feedback", "phys.secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	w := &world{t: t, fake: fake, number: 1, logs: testWriter{t, new(sync.Mutex), new(strings.Builder)}}
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.cluster = upstream.NewCluster(upstream.Config{Name: "main", Bootstrap: fake.ListenAddrs(), Log: log, Dial: w.dial})
	snapshot, err := grant.New("test", grant.Number{Generation: 1, N: 1}, credentials)
	if err != nil {
		t.Fatal(err)
	}
	w.gateway, err = New(Config{
		Listeners: []ListenerConfig{listener},
		Limits:    limits, DataDir: t.TempDir(), Telemetry: &clientmetrics.Config{},
	}, Deps{Clusters: oneCluster{w.cluster}, Log: log, Registry: prometheus.NewRegistry(), Now: w.now}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	w.run()
	return w
}

// run starts cluster and gateway, and stops them with the test.
func (w *world) run() {
	t := w.t
	t.Helper()
	w.cluster.OnBrokers(w.gateway.Learn)
	ctx, cancel := context.WithCancel(context.Background())
	clusterDone, gatewayDone := make(chan error, 1), make(chan error, 1)
	go func() { clusterDone <- w.cluster.Run(ctx) }()
	go func() { gatewayDone <- w.gateway.Run(ctx, 2*time.Second) }()
	t.Cleanup(func() {
		cancel()
		for _, ch := range []chan error{gatewayDone, clusterDone} {
			select {
			case err := <-ch:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("does not stop")
			}
		}
	})
	select {
	case <-w.cluster.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("cluster is not reached: ", w.cluster.Err())
	}
}

// swap puts other credentials in force.
func (w *world) swap(credentials ...*grant.Credential) {
	w.t.Helper()
	w.number++
	next, err := grant.New("test", grant.Number{Generation: 1, N: w.number}, credentials)
	if err != nil {
		w.t.Fatal(err)
	}
	merged, err := w.gateway.Snapshot().Apply(w.gateway.Snapshot().Diff(next))
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway.Swap(merged)
}

type testWriter struct {
	t  testing.TB
	mu *sync.Mutex // guards all
	// all is what was logged.
	all *strings.Builder
}

// logged returns what the gateway has logged.
func (w *world) logged() string {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	return w.logs.all.String()
}

func (w testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.all.Write(p)
	w.mu.Unlock()
	defer func() { _ = recover() }() // a log line after the test's end is nobody's
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *world) client(user string, opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.gateway.Bootstrap("main")),
		kgo.SASL(plain.Auth{User: user, Pass: secret}.AsMechanism()),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(time.Second),
		kgo.ConsiderMissingTopicDeletedAfter(time.Minute),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// direct is a client of the cluster itself.
func (w *world) direct(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.fake.ListenAddrs()...)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

func produceSome(t *testing.T, cl *kgo.Client, topic string, n int) {
	t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "%s-%d", topic, i)}
		if err := cl.ProduceSync(bounded(t), r).FirstErr(); err != nil {
			t.Fatalf("produce %d to %s: %v", i, topic, err)
		}
	}
}

// consume polls until n records have come.
func consume(t *testing.T, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx := bounded(t)
	var got []*kgo.Record
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("got %d records of %d", len(got), n)
		}
		for _, e := range fetches.Errors() {
			t.Fatalf("fetch %s/%d: %v", e.Topic, e.Partition, e.Err)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

func TestProduceAndConsumeThroughAGrant(t *testing.T) {
	w := start(t, credential("acme", app("acme",
		topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
		topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Never))))
	cl := w.client("acme", kgo.ConsumeTopics("orders"))
	produceSome(t, cl, "orders", 10)
	for _, r := range consume(t, cl, 10) {
		if r.Topic != "orders" {
			t.Errorf("record of topic %q", r.Topic)
		}
	}
	// The records are in the backing topic.
	direct := w.direct(kgo.ConsumeTopics("phys.orders"))
	consume(t, direct, 10)
}

func TestGroupsAreTheApplicationsOwn(t *testing.T) {
	acme := credential("acme", app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)))
	other := credential("other", app("other", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Never)))
	w := start(t, acme, other)
	produceSome(t, w.client("acme"), "orders", 5)
	for _, user := range []string{"acme", "other"} {
		cl := w.client(user, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		consume(t, cl, 5)
		if err := cl.CommitUncommittedOffsets(bounded(t)); err != nil {
			t.Fatal(err)
		}
		groups, err := kadm.NewClient(cl).ListGroups(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(groups) != 1 || groups.Groups()[0] != "g" {
			t.Errorf("%s sees groups %v, want only g", user, groups.Groups())
		}
		described, err := kadm.NewClient(cl).DescribeGroups(bounded(t), "g")
		if err != nil {
			t.Fatal(err)
		}
		g := described["g"]
		if topics := g.AssignedPartitions().Topics(); len(topics) != 1 || topics[0] != "orders" {
			t.Errorf("%s: group's assigned topics are %v", user, topics)
		}
	}
	direct, err := kadm.NewClient(w.direct()).ListGroups(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(direct) != 2 {
		t.Errorf("the cluster has groups %v, want two prefixed ones", direct.Groups())
	}
}

func TestOnlyWhatIsGrantedIsSeen(t *testing.T) {
	w := start(t, credential("acme", app("acme", topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Never))))
	cl := w.client("acme")
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if names := topics.Names(); len(names) != 1 || names[0] != "vehicles" {
		t.Errorf("listed %v, want only vehicles", names)
	}
	// A name that exists and one that does not get the same answer.
	for _, name := range []string{"phys.orders", "orders", "no-such-topic"} {
		req := kmsg.NewPtrMetadataRequest()
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(bounded(t), cl)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.Topics[0]
		if *got.Topic != name || got.ErrorCode != 29 || got.TopicID != ([16]byte{}) || len(got.Partitions) > 0 || got.IsInternal {
			t.Errorf("metadata of %q: %+v, want only error 29", name, got)
		}
	}
	err = cl.ProduceSync(bounded(t), &kgo.Record{Topic: "vehicles", Value: []byte("x")}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("produce to a read-only topic: %v", err)
	}
}

func TestWithheldTopicStaysSilentAndComesBack(t *testing.T) {
	grantWith := func(state grant.State) *grant.Credential {
		return credential("acme", app("acme",
			topic("orders", "phys.orders", state, grant.Granted, grant.Granted),
			topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Granted)))
	}
	w := start(t, grantWith(grant.Open))
	direct := w.direct()
	cl := w.client("acme", kgo.ConsumeTopics("orders", "vehicles"), kgo.FetchMaxWait(200*time.Millisecond))
	produceSome(t, direct, "phys.orders", 3)
	produceSome(t, direct, "phys.vehicles", 3)
	consume(t, cl, 6)

	w.swap(grantWith(grant.Suspended))
	produceSome(t, direct, "phys.orders", 3)
	produceSome(t, direct, "phys.vehicles", 3)
	for _, r := range consume(t, cl, 3) {
		if r.Topic != "vehicles" {
			t.Errorf("a record of %s came while it was suspended", r.Topic)
		}
	}
	err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), "POLICY_VIOLATION") {
		t.Errorf("produce to a suspended topic: %v, want POLICY_VIOLATION", err)
	}

	w.swap(grantWith(grant.Open))
	for _, r := range consume(t, cl, 3) {
		if r.Topic != "orders" {
			t.Errorf("a record of %s came, want the three of orders", r.Topic)
		}
	}
	if n := w.gateway.Connections(); n == 0 {
		t.Error("connections were dropped")
	}
}

func TestRevocationClosesWithinASecond(t *testing.T) {
	acme := credential("acme", app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)))
	other := credential("other", app("other", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)))
	w := start(t, acme, other)
	produceSome(t, w.client("acme"), "orders", 1)
	kept := w.client("other")
	produceSome(t, kept, "orders", 1)
	best := time.Hour
	for n := 0; n < 5 && best > time.Second; n++ { // the best, since others share the machine
		w.swap(acme, other)
		conn := w.rawLogin("acme")
		begin := time.Now()
		w.swap(other)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("%v, want the connection closed", err)
		}
		best = min(best, time.Since(begin))
	}
	if best > time.Second {
		t.Errorf("closed after %v", best)
	}
	produceSome(t, kept, "orders", 1)
}

// rawLogin logs in by hand and returns the connection.
func (w *world) rawLogin(user string) net.Conn {
	w.t.Helper()
	return w.rawLoginAt(user, w.gateway.Bootstrap("main"))
}

func (w *world) rawLoginAt(user, address string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	w.roundTrip(conn, handshake)
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 1, []byte("\x00"+user+"\x00"+secret)
	resp := w.roundTrip(conn, auth).(*kmsg.SASLAuthenticateResponse)
	if resp.ErrorCode != 0 {
		w.t.Fatalf("login: %d %v", resp.ErrorCode, *resp.ErrorMessage)
	}
	return conn
}

// roundTrip sends a request and returns its answer.
func (w *world) roundTrip(conn net.Conn, req kmsg.Request) kmsg.Response {
	w.t.Helper()
	resp, err := exchange(conn, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}
