package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func with(m sasl.Mechanism) func(context.Context) (sasl.Mechanism, error) {
	return func(context.Context) (sasl.Mechanism, error) { return m, nil }
}

// quick is a configuration with short times, for tests.
func quick(bootstrap ...string) Config {
	return Config{
		Name: "main", Bootstrap: bootstrap,
		DialTimeout: 20 * time.Second, RequestTimeout: 20 * time.Second, RefreshEvery: 50 * time.Millisecond,
	}
}

// run runs a cluster until the test ends.
func run(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c := NewCluster(cfg)
	start(t, c)
	return c
}

func start(t *testing.T, c *Cluster) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func awaitReady(t *testing.T, c *Cluster) {
	t.Helper()
	select {
	case <-c.Ready():
	case <-time.After(30 * time.Second):
		t.Fatalf("not ready: %v", c.Err())
	}
}

// eventually asks again and again, for what has no event to wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestDirectory(t *testing.T) {
	k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "shop.orders", "shop.stock", "other"))
	changes := make(chan []Broker, 16)
	c := NewCluster(quick(k.ListenAddrs()[1]))
	c.OnBrokers(func(b []Broker) { changes <- b })
	if c.Versions() != nil || c.Err() == nil {
		t.Errorf("before Run: versions %v, error %v", c.Versions(), c.Err())
	}
	c.Wanted([]string{"shop.orders", "not.there"})
	start(t, c)
	awaitReady(t, c)
	ctx := context.Background()

	if err := c.Err(); err != nil {
		t.Errorf("Err() = %v", err)
	}
	if b := c.Brokers(); len(b) != 3 || b[0].NodeID != 0 || b[2].NodeID != 2 {
		t.Errorf("Brokers() = %v", b)
	}
	if got := <-changes; len(got) != 3 {
		t.Errorf("OnBrokers got %v", got)
	}
	if c.ClusterID() != "kfake" || c.ControllerID() < 0 {
		t.Errorf("cluster id %q, controller %d", c.ClusterID(), c.ControllerID())
	}
	if r := c.Versions()[3]; r.Max < 12 {
		t.Errorf("Metadata versions %v", r)
	}
	if supported, finalized, _ := c.Features(); supported["transaction.version"].Max < 2 || finalized["transaction.version"].Max < 2 {
		t.Errorf("features %v, %v", supported, finalized)
	}

	want := k.TopicInfo("shop.orders").TopicID
	id, ok, err := c.TopicID(ctx, "shop.orders")
	if id != want || !ok || err != nil {
		t.Errorf("TopicID = %x, %v, %v; want %x", id, ok, err, want)
	}
	name, ok, err := c.TopicName(ctx, k.TopicInfo("shop.stock").TopicID)
	if name != "shop.stock" || !ok || err != nil {
		t.Errorf("TopicName = %q, %v, %v", name, ok, err)
	}
	for _, missing := range []string{"not.there", "nor.there", "", strings.Repeat("x", 300)} {
		if _, ok, err := c.TopicID(ctx, missing); ok || err != nil {
			t.Errorf("TopicID(%.20q) = %v, %v", missing, ok, err)
		}
	}
	if _, ok, err := c.TopicName(ctx, [16]byte{1}); ok || err != nil {
		t.Errorf("TopicName of nothing = %v, %v", ok, err)
	}
	topics, err := c.Topics(ctx, "shop.")
	if err != nil || len(topics) != 2 || topics[0].Partitions != 4 || topics[0].ID == ([16]byte{}) {
		t.Errorf("Topics = %v, %v", topics, err)
	}

	node, _, err := k.AddNode(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "new broker is seen", func() bool { _, ok := c.addrOf(node); return ok })
	conn, err := c.Dial(ctx, node, "erp/1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.NodeID() != node || conn.Versions()[18].Max < 3 {
		t.Errorf("connection to node %d with versions %v", conn.NodeID(), conn.Versions()[18])
	}
	if _, err := c.Dial(ctx, 99, "x"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("dial of unknown node: %v", err)
	}
}

func TestTopicAppearsVanishesAndIsMadeAgain(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1))
	c := run(t, quick(k.ListenAddrs()...))
	ctx := context.Background()
	if _, ok, err := c.TopicID(ctx, "t"); ok || err != nil {
		t.Fatalf("before: %v, %v", ok, err)
	}
	if err := k.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	var first [16]byte
	eventually(t, "topic is found", func() bool {
		id, ok, _ := c.TopicID(ctx, "t")
		first = id
		return ok
	})
	if err := k.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	if id, _, _ := c.TopicID(ctx, "t"); id != first {
		t.Errorf("forgot the id although nobody said so")
	}
	c.ForgetTopic("t")
	if id, ok, err := c.TopicID(ctx, "t"); id == first || !ok || err != nil {
		t.Errorf("after ForgetTopic: %x, %v, %v", id, ok, err)
	}
	if _, ok, err := c.TopicName(ctx, first); ok || err != nil {
		t.Errorf("old id: %v, %v", ok, err)
	}
	c.LearnTopic("seen", [16]byte{9})
	if name, ok, err := c.TopicName(ctx, [16]byte{9}); name != "seen" || !ok || err != nil {
		t.Errorf("learned: %q, %v, %v", name, ok, err)
	}
}

func TestLookupsShareRequests(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a", "b"))
	cfg := quick(k.ListenAddrs()...)
	cfg.RefreshEvery = time.Hour
	c := run(t, cfg)
	awaitReady(t, c)
	var mu sync.Mutex
	requests := 0
	k.ControlKey(3, func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		mu.Lock()
		requests++
		mu.Unlock()
		return nil, nil, false
	})
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			if _, ok, err := c.TopicID(context.Background(), []string{"a", "b"}[i%2]); !ok || err != nil {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
	group.Wait()
	mu.Lock()
	defer mu.Unlock()
	if requests > 10 {
		t.Errorf("%d requests for 100 lookups of two topics", requests)
	}
}

// listed counts the listings of all topics, and the refreshes, that a cluster
// is asked for.
func listed(k *kfake.Cluster) (listings, refreshes *atomic.Int32) {
	listings, refreshes = new(atomic.Int32), new(atomic.Int32)
	k.ControlKey(3, func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		switch topics := r.(*kmsg.MetadataRequest).Topics; {
		case topics == nil:
			listings.Add(1)
		case len(topics) == 0:
			refreshes.Add(1)
		}
		return nil, nil, false
	})
	return listings, refreshes
}

func TestListingsAreShared(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "a.1", "a.2", "b.1", "ab"))
	cfg := quick(k.ListenAddrs()...)
	cfg.RefreshEvery = time.Hour
	c := run(t, cfg)
	awaitReady(t, c)
	listings, _ := listed(k)
	begin := time.Now()
	names := func(prefix string) string {
		topics, err := c.Topics(context.Background(), prefix)
		if err != nil {
			t.Error(err)
		}
		var out []string
		for _, topic := range topics {
			out = append(out, topic.Name)
		}
		return strings.Join(out, " ")
	}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			if got, want := names([]string{"a.", "b.", "c."}[i%3]), []string{"a.1 a.2", "b.1", ""}[i%3]; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	group.Wait()
	if n := listings.Load(); n > 1+int32(time.Since(begin)/sharedFor) {
		t.Errorf("%d listings", n)
	}
	if err := k.CreateTopic("a.3", 1, nil); err != nil {
		t.Fatal(err)
	}
	c.LearnTopic("a.3", k.TopicInfo("a.3").TopicID)
	if got := names("a."); got != "a.1 a.2 a.3" {
		t.Errorf("after a topic was made: %q", got)
	}
	before := listings.Load()
	c.LearnTopic("a.3", k.TopicInfo("a.3").TopicID)
	if names("a."); listings.Load() > before+int32(time.Since(begin)/sharedFor) {
		t.Error("a topic known already makes the listing old")
	}
	if err := k.DeleteTopic("a.1"); err != nil {
		t.Fatal(err)
	}
	c.ForgetTopic("a.1")
	if got := names("a."); got != "a.2 a.3" {
		t.Errorf("after a topic was deleted: %q", got)
	}
}

// Whoever asks after a change must not get the answer to an earlier question,
// and two questions are never under way.
func TestSharedAnswerIsNotOlderThanAChange(t *testing.T) {
	var s shared[int]
	ctx, first, answers := context.Background(), make(chan struct{}), make(chan int, 2)
	started := make(chan int, 2)
	asked := 0
	ask := func(context.Context) (int, error) {
		asked++
		started <- asked
		if n := asked; n == 1 {
			<-first
			return n, nil
		}
		return asked, nil
	}
	get := func() {
		n, err := s.get(ctx, ask)
		if err != nil {
			t.Error(err)
		}
		answers <- n
	}
	go get()
	<-started
	s.invalidate()
	go get()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.get(gone, ask); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone: %v", err)
	}
	close(first)
	if a, b := <-answers, <-answers; a+b != 3 {
		t.Errorf("got %d and %d, want 1 and 2", a, b)
	}
	if n, _ := s.get(ctx, ask); n != 2 {
		t.Errorf("asked again: %d", n)
	}
}

func TestSearchesForUnknownNodesAreShared(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1))
	cfg := quick(k.ListenAddrs()...)
	cfg.RefreshEvery = time.Hour
	c := run(t, cfg)
	awaitReady(t, c)
	_, refreshes := listed(k)
	begin := time.Now()
	for i := range 50 {
		if _, err := c.Dial(context.Background(), int32(100+i), "x"); !errors.Is(err, ErrUnknownNode) {
			t.Fatal(err)
		}
	}
	if n := refreshes.Load(); n < 1 || n > 1+int32(time.Since(begin)/sharedFor) {
		t.Errorf("%d refreshes for 50 unknown nodes", n)
	}
}

func TestLogin(t *testing.T) {
	k := fake(t, kfake.NumBrokers(2), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "p", "plain-secret"), kfake.Superuser("SCRAM-SHA-256", "s", "scram-secret"), kfake.Superuser("SCRAM-SHA-512", "s", "scram-secret"))
	for name, test := range map[string]struct {
		mechanism sasl.Mechanism
		want      string // in the error
	}{
		"PLAIN":              {plain.Auth{User: "p", Pass: "plain-secret"}.AsMechanism(), ""},
		"SCRAM-SHA-256":      {scram.Auth{User: "s", Pass: "scram-secret"}.AsSha256Mechanism(), ""},
		"SCRAM-SHA-512":      {scram.Auth{User: "s", Pass: "scram-secret"}.AsSha512Mechanism(), ""},
		"wrong password":     {plain.Auth{User: "p", Pass: "wrong-secret"}.AsMechanism(), "PLAIN user p"},
		"wrong proof":        {scram.Auth{User: "s", Pass: "wrong-secret"}.AsSha512Mechanism(), "SCRAM-SHA-512 user s"},
		"unknown mechanism":  {named{"GSSAPI"}, `broker does not offer mechanism GSSAPI; offers "PLAIN"`},
		"no login at all":    {nil, ""},
		"mechanism is empty": {plain.Auth{}.AsMechanism(), "start PLAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quick(k.ListenAddrs()...)
			cfg.SASL = with(test.mechanism)
			c := NewCluster(cfg)
			conn, err := c.Dial(context.Background(), AnyNode, "x")
			if err == nil {
				conn.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "-secret") {
				t.Errorf("error tells a secret: %v", err)
			}
			var step *DialError
			if err != nil && (!errors.As(err, &step) || step.Step != StepLogin) {
				t.Errorf("step of %v", err)
			}
		})
	}
}

type named struct{ name string }

func (n named) Name() string { return n.name }
func (n named) Authenticate(context.Context, string) (sasl.Session, []byte, error) {
	return nil, nil, errors.New("not reached")
}

func TestLoginIsMissing(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1), kfake.EnableSASL())
	c := run(t, quick(k.ListenAddrs()...))
	eventually(t, "reason is told", func() bool { return strings.Contains(fmt.Sprint(c.Err()), "no sasl setting") })
}

func TestReauthentication(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "s", "secret"),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "1500"}))
	cfg := quick(k.ListenAddrs()...)
	var mu sync.Mutex
	logins := 0
	cfg.SASL = func(context.Context) (sasl.Mechanism, error) {
		mu.Lock()
		logins++
		mu.Unlock()
		return scram.Auth{User: "s", Pass: "secret"}.AsSha256Mechanism(), nil
	}
	cfg.RefreshEvery = time.Hour
	dials := 0
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		dials++
		mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	c := run(t, cfg)
	awaitReady(t, c)
	// Every connection logs in once; more logins than that are on one which is there. The broker ends one that is late.
	eventually(t, "admin connection logs in again", func() bool { mu.Lock(); defer mu.Unlock(); return logins > dials })

	ctx := context.Background()
	conn, err := c.Dial(ctx, 0, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := conn.ReauthAt()
	if left := time.Until(first); left > 1500*time.Millisecond {
		t.Errorf("login again in %v, of 1500 ms", left)
	}
	time.Sleep(200 * time.Millisecond) // the moments are jittered, by a tenth of 1500 ms: one right after the other may lie before it
	if err := conn.Reauthenticate(ctx); err != nil {
		t.Fatal(err)
	}
	if !conn.ReauthAt().After(first) {
		t.Error("the lifetime was not renewed")
	}
}

func TestClusterGoesAwayAndComesBack(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	k := fake(t, kfake.Ports(port), kfake.SeedTopics(1, "t"))
	c := run(t, quick(fmt.Sprintf("127.0.0.1:%d", port)))
	awaitReady(t, c)
	ctx := context.Background()
	if _, ok, err := c.TopicID(ctx, "t"); !ok || err != nil {
		t.Fatalf("TopicID: %v, %v", ok, err)
	}
	k.Close()
	eventually(t, "loss is noticed", func() bool { return c.Err() != nil })
	eventually(t, "loss is explained", func() bool { return strings.Contains(fmt.Sprint(c.Err()), "connection refused") })
	if _, ok, _ := c.TopicID(ctx, "t"); !ok {
		t.Error("a known id is forgotten with the cluster")
	}
	if _, _, err := c.TopicID(ctx, "new"); err == nil {
		t.Error("no error for a topic that cannot be asked for")
	}
	if _, err := c.Request(ctx, kmsg.NewPtrMetadataRequest()); err == nil {
		t.Error("no error for a request that cannot be sent")
	}
	fake(t, kfake.Ports(port))
	eventually(t, "cluster is back", func() bool { return c.Err() == nil })
	if _, err := c.Request(ctx, kmsg.NewPtrMetadataRequest()); err != nil {
		t.Error(err)
	}
}

func TestAnyNodeSkipsDeadBootstrap(t *testing.T) {
	k := fake(t, kfake.NumBrokers(1))
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := dead.Addr().String()
	dead.Close()
	c := NewCluster(quick(addr, k.ListenAddrs()[0]))
	conn, err := c.Dial(context.Background(), AnyNode, "x")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := c.candidates(); got[0] != k.ListenAddrs()[0] || got[len(got)-1] != addr {
		t.Errorf("next time in the order %v", got)
	}
}

func plainAuth(user, pass string) sasl.Mechanism {
	return plain.Auth{User: user, Pass: pass}.AsMechanism()
}
