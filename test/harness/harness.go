// Package harness puts real Kafka clients in front of a gateway in front of a real Apache Kafka. Its main type is
// World: one gateway with the resource documents of one test, reached through forwarders that count what clients ask
// and look at every byte that clients get for names of the target cluster. It belongs to the tests and must not be
// imported by the product.
package harness

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/internal/control/publish"
	"sluice/internal/gateway"
	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/kafkatest"
	"sluice/internal/resource"
)

// Full reports whether this is the full run (SLUICE_FULL=1) and not the sample.
func Full() bool { return os.Getenv("SLUICE_FULL") == "1" }

// Features are the levels to raise on the release under test beyond its own: Kafka 4.1 has share groups as a preview.
func Features() map[string]int16 {
	if strings.HasPrefix(os.Getenv("SLUICE_KAFKA"), "3.") {
		return nil
	}
	return map[string]int16{"share.version": 1}
}

// Main runs a package's tests with one Apache Kafka for all of them, whose brokers advertise 127.77.0.N; SLUICE_KAFKA
// names a release other than the default.
func Main(m interface{ Run() int }, options kafkatest.Options, kafka **kafkatest.Cluster) {
	options.LoopbackHosts = true
	if v := os.Getenv("SLUICE_KAFKA"); v != "" {
		options.Version = v
	}
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Minute) // the first run fetches the jars
	cluster, err := kafkatest.Run(ctx, options)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start Apache Kafka:", err)
		os.Exit(1)
	}
	*kafka = cluster
	code := m.Run()
	if err := cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close Apache Kafka:", err)
		code = 1
	}
	os.Exit(code)
}

// World is one gateway with its documents. Start makes it and ends it with the test.
type World struct {
	Kafka   *kafkatest.Cluster
	Gateway *gateway.Gateway
	// Registry has the gateway's metrics.
	Registry *prometheus.Registry
	// Clients is where clients with SASL connect, in plaintext.
	Clients *Forwarder
	// Trusted logs in by itself as the application Spec.Trusted, for clients that cannot.
	Trusted *Forwarder
	// TLS is the address of the listener with TLS: SASL, or a client certificate. Nothing is recorded there.
	TLS   string
	Certs Certs

	tb      testing.TB
	dir     string
	log     *slog.Logger
	secrets *Secrets
	cluster *upstream.Cluster
	direct  *kgo.Client
	backing map[string]string

	mu       sync.Mutex // guards what follows
	spec     Spec
	seed     []byte
	history  *publish.History
	snapshot *grant.Snapshot
}

// Start makes a World and ends it with the test, which fails when a name of the target cluster was seen by a client.
func Start(tb testing.TB, kafka *kafkatest.Cluster, spec Spec) *World {
	tb.Helper()
	w := &World{Kafka: kafka, tb: tb, dir: tb.TempDir(), backing: map[string]string{}, spec: spec, seed: make([]byte, 32), secrets: NewSecrets()}
	rand.Read(w.seed)
	if spec.Seed != nil {
		w.seed = spec.Seed
	}
	w.log = slog.New(slog.NewTextHandler(logFile(tb), &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if w.direct, err = kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...), kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(w.direct.Close)
	w.secrets.Text("broker host", "127.77.0.")
	w.secrets.Text("cluster id", kafka.ID)
	w.createTopics()
	if w.Certs, err = newCerts(w.dir); err != nil {
		tb.Fatal(err)
	}

	w.cluster = upstream.NewCluster(upstream.Config{Name: "main", Bootstrap: kafka.Bootstrap(), Log: w.log})
	if err := w.compile(); err != nil {
		tb.Fatal(err)
	}
	w.startGateway()
	return w
}

func (w *World) startGateway() {
	tb := w.tb
	all := []string{sasl.Plain, sasl.ScramSHA256, sasl.ScramSHA512}
	var err error
	for attempt := 0; ; attempt++ {
		ports := [3]string{freePort(), freePort(), freePort()}
		w.Clients, w.Trusted, w.TLS = newForwarder(tb, ports[0], w.secrets), newForwarder(tb, ports[1], w.secrets), ports[2]
		w.Registry = prometheus.NewRegistry()
		w.Gateway, err = gateway.New(gateway.Config{
			Listeners: []gateway.ListenerConfig{
				{Name: "clients", Address: ports[0], AdvertisedPort: w.Clients.port, Mechanisms: all},
				{Name: "trusted", Address: ports[1], AdvertisedPort: w.Trusted.port, Mechanisms: all},
				{Name: "tls", Address: ports[2], TLS: w.Certs.Server, Mechanisms: all},
			},
			Limits: gateway.DefaultLimits(), DataDir: w.dir, Telemetry: &clientmetrics.Config{Interval: w.spec.PushEvery},
		}, gateway.Deps{Clusters: one{w.cluster}, Log: w.log, Registry: w.Registry, Now: time.Now}, w.snapshot)
		if err == nil {
			break
		}
		if attempt == 5 {
			tb.Fatal(err)
		}
	}
	if w.spec.Trusted != "" {
		w.Trusted.login = w.Login(w.spec.Trusted, sasl.Plain)
	}
	w.cluster.OnBrokers(w.Gateway.Learn)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.cluster.Run(ctx) }()
	go func() { done <- w.Gateway.Run(ctx, time.Second) }()
	tb.Cleanup(func() {
		cancel()
		w.Clients.close()
		w.Trusted.close()
		for range 2 {
			select {
			case err := <-done:
				if err != nil {
					tb.Error(err)
				}
			case <-time.After(time.Minute):
				tb.Error("the gateway does not stop")
			}
		}
		for _, f := range []*Forwarder{w.Clients, w.Trusted} {
			for _, leak := range f.Leaks() {
				tb.Errorf("leak: %s", leak)
			}
		}
	})
	select {
	case <-w.cluster.Ready():
	case <-time.After(time.Minute):
		tb.Fatalf("the target cluster is not reached: %v", w.cluster.Err())
	}
	w.Clients.serve()
	w.Trusted.serve()
}

type one struct{ c *upstream.Cluster }

func (o one) Cluster(name string) *upstream.Cluster {
	if name == "main" {
		return o.c
	}
	return nil
}
func (o one) All() []*upstream.Cluster { return []*upstream.Cluster{o.c} }

// Change edits the documents and puts them in force, as a change of the files does.
func (w *World) Change(edit func(*Spec)) {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	edit(&w.spec)
	if err := w.compile(); err != nil {
		w.tb.Fatal(err)
	}
	w.Gateway.Swap(w.snapshot)
}

// compile writes the documents as YAML, reads them as users' files are read, and makes the next snapshot.
func (w *World) compile() error {
	file := filepath.Join(w.dir, "resources.yaml")
	if err := os.WriteFile(file, []byte(w.spec.yaml(w.Kafka.Bootstrap(), w.backing)), 0o600); err != nil {
		return err
	}
	set, problems := resource.Read(file)
	if resource.Bad(problems) {
		return fmt.Errorf("the documents of the test: %v", problems)
	}
	result, problems := publish.Compile(set, publish.Options{
		Environment: environment, Generation: 1, Now: time.Now(), Seed: w.seed,
		Secret: func(ref resource.SecretRef) (string, error) {
			return Secret(strings.ReplaceAll(ref.Env, "_", "-")), nil
		},
		History: w.history, Previous: w.snapshot,
	})
	if result == nil {
		return fmt.Errorf("the documents of the test: %v", problems)
	}
	w.history, w.snapshot = result.History, result.Snapshot
	var backing []string
	for c := range w.snapshot.All() {
		w.secrets.Text("prefix of "+c.Grant.Application, c.Grant.Prefix)
		for _, t := range c.Grant.Topics {
			backing = append(backing, t.Backing)
		}
	}
	w.cluster.Wanted(backing)
	return nil
}

// createTopics makes the backing topics, under names that nobody could guess.
func (w *World) createTopics() {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	adm := kadm.NewClient(w.direct)
	names := map[string]int32{}
	for _, t := range w.spec.Topics {
		if w.backing[t.Exposed] != "" {
			continue
		}
		name := t.Backing
		if name == "" {
			name = "backing-" + Random()
		}
		w.backing[t.Exposed] = name
		names[name] = max(1, t.Partitions)
		resp, err := adm.CreateTopic(ctx, max(1, t.Partitions), 1, nil, name)
		if err != nil {
			w.tb.Fatalf("create backing topic: %v", err)
		}
		if name != t.Exposed {
			w.secrets.Text("backing topic of "+t.Exposed, name)
		}
		w.secrets.Bytes("topic id of "+t.Exposed, resp.ID[:])
		w.secrets.Text("topic id of "+t.Exposed, resp.ID.String())
	}
	w.await("backing topics", time.Minute, func() error {
		for name, n := range names {
			listed, err := adm.ListTopics(ctx, name)
			if err != nil {
				return err
			}
			if got := len(listed[name].Partitions); listed[name].Err != nil || got != int(n) {
				return fmt.Errorf("topic %s: %d of %d partitions, %v", name, got, n, listed[name].Err)
			}
			for _, p := range listed[name].Partitions {
				if p.Err != nil {
					return p.Err
				}
			}
		}
		return nil
	})
}

// WatchTopicIDs looks at the target cluster's topics until the test ends, so that the ids of those that clients create
// are among what must not be seen.
func (w *World) WatchTopicIDs(every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	w.tb.Cleanup(cancel)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		seen := map[kadm.TopicID]bool{}
		for {
			if topics, err := kadm.NewClient(w.direct).ListTopics(ctx); err == nil {
				for _, t := range topics {
					if !seen[t.ID] {
						seen[t.ID] = true
						w.secrets.Bytes("topic id of "+t.Topic, t.ID[:])
					}
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// await tries until f succeeds, and fails the test when it does not in time.
func (w *World) await(what string, within time.Duration, f func() error) {
	w.tb.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.tb.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Backing returns the name of a topic on the target cluster.
func (w *World) Backing(exposed string) string { return w.backing[exposed] }

// TopicID returns the virtual id of a topic for an application.
func (w *World) TopicID(app, exposed string) [16]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.snapshot.All() {
		if t := c.Grant.Topic(exposed); c.Grant.Application == app && t != nil {
			return t.ID
		}
	}
	return [16]byte{}
}

// Prefix returns what stands before an application's groups and transactional ids on the target cluster.
func (w *World) Prefix(app string) string {
	for c := range w.snapshot.All() {
		if c.Grant.Application == app {
			return c.Grant.Prefix
		}
	}
	return ""
}

// Feed writes records to a topic on the target cluster, behind the gateway's back: value "prefix-i" for i in [from,to),
// spread over the partitions, and the exposed name in the header "topic", for consumers that print no topic.
func (w *World) Feed(exposed, prefix string, from, to int) error {
	partitions := int32(1)
	w.mu.Lock()
	for _, t := range w.spec.Topics {
		if t.Exposed == exposed {
			partitions = max(1, t.Partitions)
		}
	}
	w.mu.Unlock()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: w.backing[exposed], Partition: int32(i) % partitions, Headers: []kgo.RecordHeader{{Key: "topic", Value: []byte(exposed)}}, Value: []byte(prefix + "-" + strconv.Itoa(i))})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results := make(chan error, len(records))
	for _, r := range records {
		w.direct.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
	}
	if err := w.direct.Flush(ctx); err != nil {
		return err
	}
	for range records {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

// Direct returns a client of the target cluster itself.
func (w *World) Direct() *kgo.Client { return w.direct }

// Login is how a client logs in.
type Login struct{ Bootstrap, Mechanism, User, Password string }

// Login returns the login of an application with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, through the forwarder.
func (w *World) Login(app, mechanism string) Login {
	user := app + "-scram"
	if mechanism == sasl.Plain {
		user = app + "-plain"
	}
	return Login{Bootstrap: w.Clients.Addr(), Mechanism: mechanism, User: user, Password: Secret(user)}
}

// Client returns a franz-go client of an application; it is closed with the test.
func (w *World) Client(app string, opts ...kgo.Opt) *kgo.Client {
	w.tb.Helper()
	l := w.Login(app, sasl.Plain)
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(l.Bootstrap), kgo.SASL(plain.Auth{User: l.User, Pass: l.Password}.AsMechanism())}, opts...)...)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(cl.Close)
	return cl
}

// CommittedOffsets sums the committed offsets of an application's group, as the target cluster has them.
func (w *World) CommittedOffsets(ctx context.Context, app, group, exposed string) (int64, error) {
	offsets, err := kadm.NewClient(w.direct).FetchOffsets(ctx, w.Prefix(app)+group)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, o := range offsets[w.backing[exposed]] {
		if o.Err != nil && o.Err != kerr.UnknownTopicOrPartition {
			return 0, o.Err
		}
		sum += max(0, o.At)
	}
	return sum, nil
}

// Random returns a word with 80 bits of chance.
func Random() string {
	b := make([]byte, 10)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// freePort returns a loopback address that was free a moment ago, below the ports of outgoing connections.
func freePort() string {
	for {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+mathrand.IntN(12000)))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
}

// logFile keeps the gateway's log of a test: in the folder SLUICE_TEST_LOGS if that is set, otherwise nowhere.
func logFile(tb testing.TB) *os.File {
	name := os.DevNull
	if dir := os.Getenv("SLUICE_TEST_LOGS"); dir != "" {
		name = filepath.Join(dir, filepath.Base(filepath.ToSlash(tb.Name()))+".log")
	}
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

// Certs are a test's own authority and what it signed.
type Certs struct {
	CA     string // path, PEM
	Server *tls.Config
	// Cert and Key are a client certificate of the application named in its SAN, paths, PEM.
	Cert, Key func(app string) string
}
