package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/broker"
	"sluice/internal/config"
)

// TestMain lets the test binary be the embedded broker's process too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == broker.Command {
		if broker.Main(context.Background(), os.Stdin, os.Stdout, os.Args[2:]) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// secret is every test credential's.
const secret = "correct-horse-battery"

// world is an embedded broker and a directory of resource documents in front
// of it: orders.placed and orders.feedback in one product, vehicles.position
// in another, application reader subscribed to orders.
type world struct {
	t      *testing.T
	broker *broker.Broker
	dir    string
	log    *logs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &logs{}}
	var err error
	if w.broker, err = broker.Start(t.Context(), broker.Config{DataDir: filepath.Join(w.dir, "broker")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		w.broker.Close(ctx)
		if t.Failed() {
			t.Log("what was logged:\n" + w.log.String())
		}
	})
	admin := kadm.NewClient(w.direct())
	for _, topic := range []string{"backing.orders", "backing.feedback", "backing.positions"} {
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	w.write("secret", secret)
	w.write("resources/cluster.yaml", `
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: test}
spec: {bootstrap: ["`+w.broker.Addresses()[0]+`"]}
`)
	w.write("resources/products.yaml", productsYAML)
	w.write("resources/reader.yaml", consumerYAML("reader", "orders"))
	return w
}

const productsYAML = `
apiVersion: sluice/v1
kind: API
metadata: {name: orders, team: shop}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: API
metadata: {name: vehicles, team: fleet}
spec: {title: Vehicles}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {address: orders.placed, send: true}, feedback: {address: orders.feedback, receive: true}}}
  channels: {placed: {test: {cluster: main, topic: backing.orders}}, feedback: {test: {cluster: main, topic: backing.feedback}}}
  lifecycle: {state: published}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: vehicles.v1}
spec:
  contract: {channels: {position: {address: vehicles.position, send: true}}}
  channels: {position: {test: {cluster: main, topic: backing.positions}}}
  lifecycle: {state: published}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: orders, team: shop}
spec: {versions: [orders.v1], plans: {free: {auth: [scram]}}}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: vehicles, team: fleet}
spec: {versions: [vehicles.v1], plans: {free: {auth: [scram]}}}
`

// consumerYAML is an application with a credential of its name and one
// subscription per product.
func consumerYAML(name string, products ...string) string {
	text := fmt.Sprintf(`
apiVersion: sluice/v1
kind: Application
metadata: {name: %[1]s, team: someone}
spec: {}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: %[1]s, environment: test}
spec: {application: %[1]s, type: scram, secret: {file: ../secret}}
`, name)
	for _, p := range products {
		text += fmt.Sprintf(`---
apiVersion: sluice/v1
kind: Subscription
metadata: {name: %[1]s-%[2]s, environment: test}
spec: {application: %[1]s, product: %[2]s, plan: free}
`, name, p)
	}
	return text
}

// write replaces a file of the world as a whole.
func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := writeFile(path, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() Options {
	c := config.Default()
	c.Environment = "test"
	c.DataDir = filepath.Join(w.dir, "data")
	c.Listeners = []config.Listener{{Name: "kafka", Address: "127.0.0.1:0", Mechanisms: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}}}
	c.Operations.Address = "127.0.0.1:0"
	c.Limits.DrainTimeout = 5 * time.Second
	return Options{Config: c, Resources: []string{filepath.Join(w.dir, "resources")}, Log: slog.New(slog.NewTextHandler(w.log, nil)), PollEvery: 50 * time.Millisecond}
}

// running is an App with what stops it.
type running struct {
	*App
	stop context.CancelFunc
	done chan error
}

func (w *world) start(opts Options) *running {
	w.t.Helper()
	a, err := New(w.t.Context(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{App: a, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- a.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-a.stopped })
	return r
}

func (w *world) serve() *running {
	w.t.Helper()
	r := w.start(w.options())
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// direct is a client of the broker itself.
func (w *world) direct(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	return w.client(append([]kgo.Opt{kgo.SeedBrokers(w.broker.Addresses()...)}, opts...)...)
}

// as is a client of the gateway.
func (w *world) as(r *running, user string, opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	return w.client(append([]kgo.Opt{
		kgo.SeedBrokers(r.Bootstrap()), kgo.SASL(scram.Auth{User: user, Pass: secret}.AsSha256Mechanism()),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.MetadataMaxAge(100 * time.Millisecond), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ConnIdleTimeout(15 * time.Minute), // a connection that is lost is lost by the gateway
	}, opts...)...)
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) produce(c *kgo.Client, topic, value string) {
	w.t.Helper()
	if err := produce(w.t.Context(), c, topic, value); err != nil {
		w.t.Fatalf("produce %q to %s: %v", value, topic, err)
	}
}

func produce(ctx context.Context, c *kgo.Client, topic, value string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}

// next waits for a record with a value, whatever else comes.
func (w *world) next(c *kgo.Client, value string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%q did not arrive", value)
		}
		for _, r := range fetches.Records() {
			if string(r.Value) == value {
				return
			}
		}
	}
}

// topics are the names that a client sees.
func (w *world) topics(c *kgo.Client) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	list, err := kadm.NewClient(c).ListTopics(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(list.Names(), " ")
}

// patience is how long what comes about soon may take on a busy machine.
const patience = 30 * time.Second

// promptly fails unless a change takes effect within limit, at best of five: others share the machine. change makes one and
// returns how long its effect took.
func promptly(t *testing.T, limit time.Duration, change func() time.Duration) {
	t.Helper()
	best := time.Hour
	for n := 0; n < 5 && best > limit; n++ {
		best = min(best, change())
	}
	t.Logf("in force after %v", best)
	if best > limit {
		t.Errorf("in force after %v, want %v at most", best, limit)
	}
}

// within waits until a condition holds and returns how long that took.
func (w *world) within(limit time.Duration, what string, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			w.t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (r *running) readyz(t *testing.T) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + r.OperationsAddress() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// logs is a log that can be read while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestAnApplicationReadsWhatItIsSubscribedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.serve()
	if code, body := r.readyz(t); code != 200 {
		t.Errorf("readyz: got %d %q, want 200", code, body)
	}
	w.produce(w.direct(), "backing.orders", "one")
	reader := w.as(r, "reader", kgo.ConsumeTopics("orders.placed"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.next(reader, "one")
	w.produce(w.as(r, "reader"), "orders.feedback", "thanks")
	w.next(w.direct(kgo.ConsumeTopics("backing.feedback"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), "thanks")

	if got, want := w.topics(reader), "orders.feedback orders.placed"; got != want {
		t.Errorf("topics: got %q, want %q", got, want)
	}
	for _, topic := range []string{"vehicles.position", "backing.orders", "no.such.topic"} {
		if err := produce(t.Context(), w.as(r, "reader"), topic, "x"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("produce to %s: got %v, want TOPIC_AUTHORIZATION_FAILED", topic, err)
		}
	}
	if err := produce(t.Context(), w.as(r, "reader"), "orders.placed", "x"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("produce to a topic that may only be read: got %v, want TOPIC_AUTHORIZATION_FAILED", err)
	}
	if err := w.as(r, "stranger").Ping(t.Context()); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("stranger: got %v, want SASL_AUTHENTICATION_FAILED", err)
	}
}

func TestReloadGivesAndTakesATopicWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.serve()
	lost := &counter{}
	client := w.as(r, "reader", kgo.WithHooks(lost), kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.produce(w.direct(), "backing.orders", "before")
	w.next(client, "before")

	promptly(t, time.Second, func() time.Duration {
		w.write("resources/reader.yaml", consumerYAML("reader", "orders", "vehicles"))
		given := w.within(patience, "vehicles.position is given", func() bool { return strings.Contains(w.topics(client), "vehicles.position") })
		w.write("resources/reader.yaml", consumerYAML("reader", "orders"))
		taken := w.within(patience, "vehicles.position is taken", func() bool { return !strings.Contains(w.topics(client), "vehicles.position") })
		return max(given, taken)
	})
	for _, want := range []string{
		"resources in force: 2 topics for 1 application (snapshot ", "resources in force: 3 topics for 1 application (snapshot ",
		"application reader: vehicles.position gained: read", "application reader: vehicles.position ended: ",
	} {
		w.within(patience, want, func() bool { return strings.Contains(w.log.String(), want) })
	}

	w.produce(w.direct(), "backing.orders", "after")
	w.next(client, "after")
	if n := lost.n.Load(); n != 0 {
		t.Errorf("connections lost: got %d, want 0", n)
	}
}

func TestRevokedCredentialIsClosedWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("resources/other.yaml", consumerYAML("other", "orders"))
	r := w.serve()
	lostOther := &counter{}
	other := w.as(r, "other", kgo.WithHooks(lostOther), kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.produce(w.direct(), "backing.orders", "one")
	w.next(other, "one")
	promptly(t, 1200*time.Millisecond, func() time.Duration {
		w.write("resources/reader.yaml", consumerYAML("reader", "orders"))
		w.within(patience, "the credential is good", func() bool { return w.as(r, "reader").Ping(t.Context()) == nil })
		lost := &counter{}
		reader := w.as(r, "reader", kgo.WithHooks(lost), kgo.ConsumeTopics("orders.placed"), kgo.FetchMaxWait(5*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		defer reader.Close()
		w.next(reader, "one")
		w.write("resources/reader.yaml", strings.Replace(consumerYAML("reader", "orders"), "type: scram", "type: scram, state: revoked", 1))
		return w.within(patience, "the revoked credential's connections are closed", func() bool { return lost.n.Load() > 0 })
	})
	if err := w.as(r, "reader").Ping(t.Context()); !errors.Is(err, kerr.SaslAuthenticationFailed) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("login of the revoked credential: got %v, want SASL_AUTHENTICATION_FAILED that says so", err)
	}
	w.produce(w.direct(), "backing.orders", "two")
	w.next(other, "two")
	if n := lostOther.n.Load(); n != 0 {
		t.Errorf("connections of the other credential lost: got %d, want 0", n)
	}
}

// counter counts connections that a client lost.
type counter struct{ n atomic.Int64 }

func (c *counter) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { c.n.Add(1) }

func TestBadSetIsRefusedAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.serve()
	client := w.as(r, "reader", kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	number := r.gateway.Snapshot().Number()
	w.write("resources/reader.yaml", consumerYAML("reader", "orders", "unknown-product", "another"))
	for _, want := range []string{"resources refused", "unknown-product", "another", "reader.yaml:"} {
		w.within(patience, "the bad set is refused, for "+want, func() bool { return strings.Contains(w.log.String(), want) })
	}
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "2 problems") {
		t.Errorf("reload: got %v, want 2 problems", err)
	}
	if got := r.gateway.Snapshot().Number(); got != number {
		t.Errorf("snapshot: got %v, want %v", got, number)
	}
	w.produce(w.direct(), "backing.orders", "still")
	w.next(client, "still")
	w.write("resources/reader.yaml", consumerYAML("reader", "orders", "vehicles"))
	w.within(patience, "the repaired set is in force", func() bool { return r.gateway.Snapshot().Number() != number })
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.serve()
	client := w.as(r, "reader", kgo.ConsumeTopics("orders.placed"), kgo.FetchMaxWait(time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.produce(w.direct(), "backing.orders", "one")
	w.next(client, "one")
	writer := w.as(r, "reader", kgo.ProducerLinger(0))
	w.produce(writer, "orders.feedback", "warm")
	var acknowledged, failed atomic.Int64
	for range 100 {
		writer.Produce(t.Context(), &kgo.Record{Topic: "orders.feedback", Value: []byte("x")}, func(_ *kgo.Record, err error) {
			if err == nil {
				acknowledged.Add(1)
			} else {
				failed.Add(1)
			}
		})
	}
	began := time.Now()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("run: got %v, want nil", err)
		}
	case <-time.After(patience):
		t.Fatal("does not stop")
	}
	t.Logf("stopped after %v", time.Since(began))
	// Whatever was acknowledged is there.
	admin := kadm.NewClient(w.direct())
	ends, err := admin.ListEndOffsets(t.Context(), "backing.feedback")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("backing.feedback", 0); end.Offset < acknowledged.Load()+1 {
		t.Errorf("records: got %d, want the %d acknowledged ones", end.Offset, acknowledged.Load()+1)
	}
	if _, err := http.Get("http://" + r.OperationsAddress() + "/livez"); err == nil {
		t.Error("operations still answer")
	}
}

func TestRestartKeepsTopicIDsAndOffsets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	opts := w.options()
	ids := func() (string, string) {
		r := w.start(opts)
		defer func() { r.stop(); <-r.stopped }()
		if err := r.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := w.as(r, "reader")
		list, err := kadm.NewClient(c).ListTopics(t.Context(), "orders.placed")
		if err != nil {
			t.Fatal(err)
		}
		m, err := kadm.NewClient(c).Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list["orders.placed"].ID), m.Cluster
	}
	id, cluster := ids()
	if again, clusterAgain := ids(); again != id || clusterAgain != cluster {
		t.Errorf("after a restart: got topic %s of %s, want %s of %s", again, clusterAgain, id, cluster)
	}
}

func TestUnreachableClusterIsNoReasonNotToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := w.broker.Addresses()[0]
	if err := w.broker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.start(w.options())
	w.within(patience, "readyz says why", func() bool {
		code, body := r.readyz(t)
		return code == 503 && strings.Contains(body, `target cluster "main"`) && strings.Contains(body, address) && strings.Contains(body, "refused")
	})
	w.within(patience, "the log says so", func() bool { return strings.Contains(w.log.String(), "target cluster cannot be used") })
	var err error
	if w.broker, err = broker.Start(t.Context(), broker.Config{DataDir: filepath.Join(w.dir, "broker")}); err != nil {
		t.Fatal(err)
	}
	if got := w.broker.Addresses()[0]; got != address {
		t.Skipf("the broker's port was taken meanwhile")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if code, body := r.readyz(t); code != 200 {
		t.Errorf("readyz: got %d %q, want 200", code, body)
	}
}

func TestChangedClusterIsUsedByNewConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.serve()
	lost := &counter{}
	old := w.as(r, "reader", kgo.WithHooks(lost), kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.produce(w.direct(), "backing.orders", "old")
	w.next(old, "old")

	second, err := broker.Start(t.Context(), broker.Config{DataDir: filepath.Join(w.dir, "second")})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close(context.Background())
	direct := w.client(kgo.SeedBrokers(second.Addresses()...))
	for _, topic := range []string{"backing.orders", "backing.feedback"} {
		if _, err := kadm.NewClient(direct).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	w.produce(direct, "backing.orders", "new")
	w.write("resources/cluster.yaml", `
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: test}
spec: {bootstrap: ["`+second.Addresses()[0]+`"]}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: spare, environment: test}
spec: {bootstrap: ["127.0.0.1:1"]}
`)
	w.within(patience, "the change is in force", func() bool { return len(r.clusters.All()) == 2 })
	w.next(w.as(r, "reader", kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), "new")
	w.produce(w.direct(), "backing.orders", "still")
	w.next(old, "still")
	if n := lost.n.Load(); n != 0 {
		t.Errorf("connections lost: got %d, want 0", n)
	}
	if code, body := r.readyz(t); code != 503 || !strings.Contains(body, `"spare"`) {
		t.Errorf("readyz: got %d %q, want 503 that names the cluster never reached", code, body)
	}
}

func TestMissingBackingTopicIsWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	w.write("resources/products.yaml", strings.Replace(productsYAML, "topic: backing.orders", "topic: backing.ordres", 1))
	want := `application=reader topic=orders.placed backing=backing.ordres cluster=main`
	w.within(patience, "a warning", func() bool { return strings.Contains(w.log.String(), want) })
	if strings.Contains(w.log.String(), "backing=backing.feedback") {
		t.Error("warns of a topic that exists")
	}
}

func TestRefusedResourcesAreReported(t *testing.T) {
	t.Parallel()
	w := idle(t)
	opts := w.options()
	reports := make(chan Reload, 10)
	opts.Report = func(r Reload) { reports <- r }
	w.start(opts)
	w.write("resources/reader.yaml", consumerYAML("reader", "orders", "unknown-product", "another"))
	select {
	case r := <-reports:
		if len(r.Problems) != 2 || !strings.Contains(r.Problems[0], "reader.yaml:") {
			t.Errorf("got %+v, want two problems with their places", r)
		}
	case <-time.After(patience):
		t.Fatal("no report")
	}
	if log := w.log.String(); !strings.Contains(log, "problems=2") || strings.Contains(log, "unknown-product") {
		t.Errorf("log: got %s, want a short line", log)
	}
}
