package gateway

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/grant"
)

// crowd is a gateway with a snapshot of as many applications as asked for and
// connections of the first of them that have logged in.
func crowd(t testing.TB, applications, connections int) (*Gateway, []*clientConn) {
	first, err := grant.New("test", grant.Number{Generation: 1, N: 1}, crowdCredentials(applications, grant.Open))
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{Listeners: []ListenerConfig{plaintext}, Limits: DefaultLimits(), DataDir: t.TempDir()},
		Deps{Clusters: oneCluster{}, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Now: time.Now}, first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.closeListeners)
	conns := make([]*clientConn, connections)
	for i := range conns {
		client, server := net.Pipe()
		t.Cleanup(func() { client.Close() })
		c := newClientConn(g.listeners[0], server, netip.MustParseAddr("127.0.0.1"), 1)
		t.Cleanup(func() { c.close(errFinished) })
		c.credential.Store(first.Lookup(grant.Plain, fmt.Sprintf("a%06d", i)))
		g.conns[c] = struct{}{}
		conns[i] = c
	}
	return g, conns
}

// crowdCredentials are built cheaply: nobody logs in with them.
func crowdCredentials(applications int, state grant.State) []*grant.Credential {
	all := make([]*grant.Credential, applications)
	for i := range all {
		all[i] = crowdCredential(i, state)
	}
	return all
}

func crowdCredential(i int, state grant.State) *grant.Credential {
	name := fmt.Sprintf("a%06d", i)
	return &grant.Credential{Name: name, Method: grant.Plain, Identity: name, Grant: app(name, topic("orders", "phys."+name, state, grant.Granted, grant.Granted))}
}

// A delta of one application gives its connections the new credential; all
// others keep the very one they had, and none is closed.
func TestASwapReachesOnlyTheConnectionsOfWhatChanged(t *testing.T) {
	g, conns := crowd(t, 3_000, 1_000)
	before := g.Snapshot()
	next, err := before.Apply(grant.Delta{From: before.Number(), To: grant.Number{Generation: 1, N: 2}, Put: []*grant.Credential{crowdCredential(7, grant.Suspended)}})
	if err != nil {
		t.Fatal(err)
	}
	g.Swap(next)
	for i, c := range conns {
		name := fmt.Sprintf("a%06d", i)
		if got := c.credential.Load(); got != next.Lookup(grant.Plain, name) || (got != before.Lookup(grant.Plain, name)) != (i == 7) || c.stopping.Load() {
			t.Fatalf("connection of %s: another credential than before %v, stopping %v", name, got != before.Lookup(grant.Plain, name), c.stopping.Load())
		}
	}
}

// BenchmarkSwap puts a snapshot of 100,000 applications in force for 5,000
// connections: the delta of one application, and another snapshot as a whole, in
// which all have a new credential.
func BenchmarkSwap(b *testing.B) {
	const applications, connections = 100_000, 5_000
	g, _ := crowd(b, applications, connections)
	first := g.Snapshot()
	delta, err := first.Apply(grant.Delta{From: first.Number(), To: grant.Number{Generation: 1, N: 2}, Put: []*grant.Credential{crowdCredential(7, grant.Suspended)}})
	if err != nil {
		b.Fatal(err)
	}
	whole, err := grant.New("test", grant.Number{Generation: 1, N: 3}, crowdCredentials(applications, grant.Open))
	if err != nil {
		b.Fatal(err)
	}
	for name, other := range map[string]*grant.Snapshot{"delta": delta, "whole": whole} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 {
					g.Swap(other)
				} else {
					g.Swap(first)
				}
			}
		})
	}
}
