// Package consistency runs the same workload directly and through two gateways, on one cluster and under the same
// faults at the same moments, and lets package check judge both histories: only what the direct clients did not meet
// counts against the gateways. Its main type is run, the workload on one side; a world has the cluster, the gateways
// and both sides. It knows the product as users do: a binary, files and ports.
package consistency

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

const domain = "gw.test"

// world is the cluster with two gateways of one installation in front of it.
type world struct {
	tb       testing.TB
	kafka    *kafkatest.Cluster
	direct   *kadm.Client
	gateways []*harness.Process
	balancer *balancer
	backing  map[string]string // by side, tenant and topic
}

func newWorld(tb testing.TB, kafka *kafkatest.Cluster, binary string) *world {
	w := &world{tb: tb, kafka: kafka, backing: map[string]string{}}
	cl := w.dial()
	tb.Cleanup(cl.Close)
	w.direct = kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, side := range []string{"direct", "gateway"} {
		for _, tenant := range tenants {
			for topic, n := range partitions {
				k := side + "/" + key(tenant, topic)
				if w.backing[k] != "" {
					continue
				}
				w.backing[k] = "log-" + harness.Random()
				resp, err := w.direct.CreateTopic(ctx, n, int16(kafka.Brokers()), nil, w.backing[k])
				if err == nil {
					err = resp.Err
				}
				if err != nil {
					tb.Fatal("create a topic: ", err)
				}
			}
		}
	}
	w.startGateways(binary)
	return w
}

// dial returns a client of the cluster itself.
func (w *world) dial(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.kafka.Bootstrap()...)}, opts...)...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return cl
}

// startGateways starts two gateways with the same seed, documents and host names, as behind a load balancer.
func (w *world) startGateways(binary string) {
	var b strings.Builder
	doc := func(kind, metadata, format string, args ...any) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, fmt.Sprintf(format, args...))
	}
	doc("Cluster", "name: main, environment: prod", `bootstrap: ["%s"]`, strings.Join(w.kafka.Bootstrap(), `","`))
	doc("API", "name: shared, team: all", "title: Shared")
	doc("Version", "name: shared.v1", "contract: {channels: {shared: {send: true, receive: true}}}, channels: {shared: {prod: {cluster: main, topic: %s}}}, lifecycle: {state: published}", w.backing["gateway/"+shared])
	doc("Product", "name: shared, team: all", "versions: [shared.v1], plans: {write: {auth: [plain], approval: automatic}, read: {auth: [plain], approval: automatic, rights: {shared: read}}}")
	files := map[string]string{}
	for _, t := range tenants {
		var contract, backing []string
		for topic := range partitions {
			if topic != shared {
				contract = append(contract, topic+": {send: true, receive: true}")
				backing = append(backing, fmt.Sprintf("%s: {prod: {cluster: main, topic: %s}}", topic, w.backing["gateway/"+key(t, topic)]))
			}
		}
		doc("API", "name: "+t+", team: "+t, "title: %s", t)
		doc("Version", "name: "+t+".v1", "contract: {channels: {%s}}, channels: {%s}, lifecycle: {state: published}", strings.Join(contract, ", "), strings.Join(backing, ", "))
		doc("Product", "name: "+t+", team: "+t, "versions: [%s.v1], plans: {own: {auth: [plain], approval: automatic}}", t)
		doc("Application", "name: "+t+", team: "+t, "")
		doc("Subscription", "name: "+t+"-own, environment: prod", "application: %s, product: %s, plan: own", t, t)
		plan := "read"
		if t == "red" {
			plan = "write"
		}
		doc("Subscription", "name: "+t+"-shared, environment: prod", "application: %s, product: shared, plan: %s", t, plan)
		doc("Credential", "name: "+t+"-login, environment: prod", "application: %s, type: plain, secret: {file: %s.secret}", t, t)
		files[t+".secret"] = "the secret of " + t
	}
	authority, err := harness.NewAuthority(w.tb.TempDir())
	if err != nil {
		w.tb.Fatal(err)
	}
	cert, keyFile, err := authority.Server("gateway", "*."+domain)
	if err != nil {
		w.tb.Fatal(err)
	}
	for name, from := range map[string]string{"cert.pem": cert, "key.pem": keyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			w.tb.Fatal(err)
		}
		files[name] = string(text)
	}
	var seed [32]byte
	rand.Read(seed[:])
	for range 2 {
		w.gateways = append(w.gateways, harness.StartProcess(w.tb, harness.Serve{
			Binary: binary, Documents: b.String(), Files: files, Data: map[string]string{"seed": hex.EncodeToString(seed[:]) + "\n"},
			Listener: fmt.Sprintf("advertisedPort: 9092, sni: {domain: %s}, tls: {certificate: {file: cert.pem}, key: {file: key.pem}}", domain),
			Settings: "limits: {drainTimeout: 5s}",
		}))
	}
	w.balancer = &balancer{tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool()}, conns: make([]int, 2), sick: make([]time.Time, 2)}
	for _, g := range w.gateways {
		w.balancer.addresses = append(w.balancer.addresses, g.Bootstrap)
	}
}

// sides are both ways to the cluster.
func (w *world) sides() []side {
	scope := harness.Random()
	direct := side{
		name:    "direct",
		options: func(string, int) []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(w.kafka.Bootstrap()...)} },
		topic:   func(tenant, topic string) string { return w.backing["direct/"+key(tenant, topic)] },
		id:      func(tenant, id string) string { return scope + "-" + tenant + "-" + id },
	}
	through := side{
		name: "gateway",
		options: func(tenant string, pin int) []kgo.Opt {
			return []kgo.Opt{
				kgo.SeedBrokers("bootstrap." + domain + ":9092"),
				kgo.SASL(plain.Auth{User: tenant + "-login", Pass: "the secret of " + tenant}.AsMechanism()),
				kgo.Dialer(func(ctx context.Context, _, addr string) (net.Conn, error) { return w.balancer.dial(ctx, addr, pin) }),
			}
		},
		topic: func(_, topic string) string { return topic },
		id:    func(_, id string) string { return id },
	}
	return []side{direct, through}
}

// balancer stands for the load balancer in front of the gateways and the names that lead to it: a connection goes to
// the gateway with the fewest, and to the other one when that does not answer. What did not answer is left alone for a while.
type balancer struct {
	addresses []string
	tls       *tls.Config

	mu    sync.Mutex // guards what follows
	conns []int
	sick  []time.Time // until when
}

func (b *balancer) dial(ctx context.Context, addr string, pin int) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(host, "."+domain) {
		return nil, fmt.Errorf("a client was told the address %s, which is not of the gateways", addr)
	}
	if pin >= 0 {
		return b.connect(ctx, pin, host)
	}
	first := b.least()
	var errs []error
	for i := range b.addresses {
		n := (first + i) % len(b.addresses)
		c, err := b.connect(ctx, n, host)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		b.mu.Lock()
		b.sick[n] = time.Now().Add(3 * time.Second)
		b.mu.Unlock()
	}
	return nil, errors.Join(errs...)
}

func (b *balancer) least() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, best := time.Now(), 0
	weight := func(n int) int {
		if now.Before(b.sick[n]) {
			return 1 << 30
		}
		return b.conns[n]
	}
	for n := range b.addresses {
		if weight(n) < weight(best) {
			best = n
		}
	}
	return best
}

// busiest is the gateway with the most connections.
func (b *balancer) busiest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	best := 0
	for n := range b.conns {
		if b.conns[n] > b.conns[best] {
			best = n
		}
	}
	return best
}

func (b *balancer) connect(ctx context.Context, n int, host string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a frozen gateway's port still accepts
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", b.addresses[n])
	if err != nil {
		return nil, err
	}
	config := b.tls.Clone()
	config.ServerName = host
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	b.mu.Lock()
	b.conns[n]++
	b.mu.Unlock()
	return &counted{Conn: c, done: sync.OnceFunc(func() {
		b.mu.Lock()
		b.conns[n]--
		b.mu.Unlock()
	})}, nil
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	c.done()
	return c.Conn.Close()
}
