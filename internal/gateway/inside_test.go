package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/gateway/socket"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// acting is a credential of the gateway's own process.
func acting(g *grant.Grant) *grant.Credential {
	return &grant.Credential{Name: "inside:" + g.Application, Method: grant.Inside, Identity: g.Application, Grant: g}
}

// within is a client inside the gateway's process.
func (w *world) within(who grant.Key, opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(InsideBootstrap), kgo.SoftwareNameAndVersion("sluice", "test"),
		kgo.Dialer(func(_ context.Context, _, address string) (net.Conn, error) { return w.gateway.Dial(who, address) }),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(time.Second),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

func TestInside(t *testing.T) {
	acme := acting(app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted), topic("vehicles", "phys.vehicles", grant.Suspended, grant.Granted, grant.Never)))
	w := start(t, acme, credential("acme-1", acme.Grant))
	cl := w.within(acme.Key(), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	produceSome(t, cl, "orders", 30)
	leaders := map[int32]bool{}
	for _, r := range consume(t, cl, 30) {
		leaders[r.Partition] = true
	}
	if len(leaders) != 3 {
		t.Errorf("records of partitions %v, want those of all three brokers", leaders)
	}
	brokers, err := kadm.NewClient(cl).BrokerMetadata(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range brokers.Brokers {
		if want := fmt.Sprintf("b%d.inside", b.NodeID); b.Host != want {
			t.Errorf("broker %d is at %s, want %s", b.NodeID, b.Host, want)
		}
	}
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "vehicles"}).FirstErr(); err == nil {
		t.Error("a suspended topic was written")
	}
	ours, logged := 0, w.logged()
	for _, c := range w.gateway.ConnectionsOf("acme") {
		if c.Inside && c.Credential == "inside:acme" && c.Software == "sluice test" && c.Address == "" && c.SentBytes > 0 && !c.Since.IsZero() {
			ours++
		} else {
			t.Errorf("a connection is %+v", c)
		}
	}
	if ours < 3 || w.gateway.ConnectionsOf("other") != nil {
		t.Errorf("%d connections of the application", ours)
	}
	if !strings.Contains(logged, "mechanism=INSIDE") || !strings.Contains(logged, "client=inside") {
		t.Errorf("the log does not name the login:\n%s", logged)
	}
}

// TestNobodyElseIsInside tries to log in from a network as who acts within.
func TestNobodyElseIsInside(t *testing.T) {
	acme := acting(app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)))
	w := start(t, acme)
	for _, name := range []string{"acme", "inside:acme", ""} {
		cl := w.client(name, kgo.RequestRetries(0))
		if err := cl.Ping(bounded(t)); err == nil {
			t.Errorf("%q has logged in", name)
		}
	}
}

func TestInsideEndsWithItsCredential(t *testing.T) {
	g := app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted))
	for _, who := range []*grant.Credential{acting(g), credential("acme-1", g)} {
		w := start(t, who)
		conn, err := w.gateway.Dial(who.Key(), InsideBootstrap)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		revoked := *who
		revoked.Revoked = "the credential was revoked"
		began := time.Now()
		w.swap(&revoked)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %d, %v", n, err)
		}
		t.Logf("closed after %v", time.Since(began))
		var refused *DialError
		if _, err := w.gateway.Dial(who.Key(), InsideBootstrap); !errors.As(err, &refused) || refused.Full || refused.Reason != revoked.Revoked {
			t.Errorf("after that: %v", err)
		}
		w.swap()
		if _, err := w.gateway.Dial(who.Key(), InsideBootstrap); !errors.As(err, &refused) || refused.Full {
			t.Errorf("when it is gone: %v", err)
		}
	}
}

func TestInsideDials(t *testing.T) {
	acme := acting(app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)))
	limits := DefaultLimits()
	limits.MaxConnections, limits.MaxConnectionsPerAddress, limits.MaxUnauthenticatedPerAddress, limits.SessionLifetime = 3, 1, 1, time.Millisecond
	w := startLimited(t, limits, plaintext, acme)
	for _, address := range []string{"b1.elsewhere:9092", "bootstrap.inside:1", "inside", "127.0.0.1:9092"} {
		if _, err := w.gateway.Dial(acme.Key(), address); err == nil {
			t.Errorf("%s was dialled", address)
		}
	}
	var all []net.Conn
	for range limits.MaxConnections {
		conn, err := w.gateway.Dial(acme.Key(), "b1.inside:9092")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	var full *DialError
	if _, err := w.gateway.Dial(acme.Key(), InsideBootstrap); !errors.As(err, &full) || !full.Full || !strings.Contains(err.Error(), "max_connections=3") {
		t.Errorf("one too many: %v", err)
	}
	for _, conn := range all {
		conn.Close()
	}
	eventually(t, "no connections", func() bool { return w.gateway.Connections() == 0 })
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	if n := len(w.gateway.perAddress) + len(w.gateway.strangers) + w.gateway.unauthenticated + len(w.gateway.applications); n != 0 {
		t.Errorf("counts are left over: %v %v %d %v", w.gateway.perAddress, w.gateway.strangers, w.gateway.unauthenticated, w.gateway.applications)
	}
}

// BenchmarkInside is why connections within the process are net.Pipe: answers in two
// pieces, as the gateway writes them and a client reads them.
func BenchmarkInside(b *testing.B) {
	tcp := func() (client, server net.Conn, err error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		defer l.Close()
		if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
			return nil, nil, err
		}
		server, err = l.Accept()
		return client, server, err
	}
	unix := func() (client, server net.Conn, err error) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		var ends [2]net.Conn
		for i, fd := range fds {
			file := os.NewFile(uintptr(fd), "")
			end, e := net.FileConn(file)
			file.Close()
			ends[i], err = end, errors.Join(err, e)
		}
		return ends[0], ends[1], err
	}
	pipe := func() (client, server net.Conn, err error) {
		client, server = net.Pipe()
		return client, server, nil
	}
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, kind := range []struct {
			name string
			make func() (client, server net.Conn, err error)
		}{{"net.Pipe", pipe}, {"loopback", tcp}, {"socketpair", unix}} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				client, server, err := kind.make()
				if err != nil {
					b.Fatal(err)
				}
				defer client.Close()
				defer server.Close()
				head, rest, got := make([]byte, 100), make([]byte, size), make([]byte, 100+size)
				out := socket.New(server, new(wire.Buffers))
				done := make(chan error, 1)
				b.SetBytes(int64(len(got)))
				b.ResetTimer()
				go func() {
					for range b.N {
						if _, err := out.WriteAll(net.Buffers{head, rest}, len(got), time.Minute); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
				for range b.N {
					if _, err := io.ReadFull(client, got[:4]); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(client, got[4:]); err != nil {
						b.Fatal(err)
					}
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
