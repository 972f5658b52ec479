package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafka/sasl"
)

func (w *world) dialRaw() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func TestTheSilentMakeRoomForALogin(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxUnauthenticated, limits.MaxUnauthenticatedPerAddress = 4, 0
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")))
	var silent []net.Conn
	for range limits.MaxUnauthenticated {
		silent = append(silent, w.dialRaw())
	}
	eventually(t, "not all are waited for", func() bool {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		return w.gateway.silent.Len() == limits.MaxUnauthenticated
	})
	w.rawLogin("acme") // waits for room, and finds it
	if got := testutil.ToFloat64(w.gateway.metrics.evicted); got != 1 {
		t.Errorf("made room: %v connections, want 1", got)
	}
	ended := 0
	for _, conn := range silent { // the others may still log in
		if _, err := exchange(conn, kmsg.NewPtrApiVersionsRequest()); err != nil {
			ended++
		}
		conn.Close()
	}
	if ended != 1 {
		t.Errorf("%d of those that were silent have ended, want 1", ended)
	}
	eventually(t, "connections before their login are not counted out", func() bool {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		return w.gateway.unauthenticated == 0 && w.gateway.silent.Len() == 0 && w.gateway.slow.Len() == 0 && len(w.gateway.strangers) == 0
	})
}

// Who is heard within the second keeps its place: the newcomer is refused.
func TestWhoSpeaksKeepsItsPlace(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxUnauthenticated, limits.MaxUnauthenticatedPerAddress = 1, 0
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")))
	first := w.dialRaw()
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if _, err := exchange(first, kmsg.NewPtrApiVersionsRequest()); err != nil {
			t.Fatal(err)
		}
	}
	c := newClientConn(w.gateway.listeners[0], w.dialRaw(), addressOf(first.RemoteAddr()), 0)
	if _, err := exchange(first, kmsg.NewPtrApiVersionsRequest()); err != nil {
		t.Fatal(err)
	}
	if err := w.gateway.admit(c); !errors.As(err, new(errCrowded)) {
		t.Errorf("a second connection: %v, want no room", err)
	}
}

// A handshake that its client has stopped in the middle has no turn: others go on.
func TestStoppedHandshakesKeepNobodyOut(t *testing.T) {
	ca := newAuthority(t)
	server := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	w := startWith(t, ListenerConfig{Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain},
		TLS: &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12}}, credential("acme", open("acme")))
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for range 20 {
		conn := tls.Client(stopped{w.dialRaw(), never}, &tls.Config{RootCAs: ca.pool, ServerName: "localhost"})
		go conn.HandshakeContext(t.Context())
	}
	eventually(t, "the stopped handshakes are not under way", func() bool {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		return w.gateway.slow.Len() == 20
	})
	conn, err := tls.Dial("tcp", w.gateway.Bootstrap("main"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := exchange(conn, kmsg.NewPtrApiVersionsRequest()); err != nil {
		t.Error(err)
	}
	if got := testutil.ToFloat64(w.gateway.metrics.handshakes.WithLabelValues("ok")); got != 1 {
		t.Errorf("handshakes counted: %v, want 1", got)
	}
	if got := len(w.gateway.handshakes.slots); got != 0 {
		t.Errorf("%d turns are taken, want none", got)
	}
}

// stopped sends, and never reads.
type stopped struct {
	net.Conn
	never chan struct{}
}

func (s stopped) Read([]byte) (int, error) { <-s.never; return 0, net.ErrClosed }

func TestGateLetsFewIn(t *testing.T) {
	waiting := prometheus.NewGauge(prometheus.GaugeOpts{Name: "waiting"})
	g := newGate(waiting)
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if err := g.enter(t.Context(), time.Minute); err != nil {
				t.Error(err)
				return
			}
			now := inside.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(time.Millisecond) // the arithmetic
			inside.Add(-1)
			g.leave()
		})
	}
	all.Wait()
	if got := int(most.Load()); got < 1 || got > cap(g.slots) {
		t.Errorf("%d were inside at once, want at most %d", got, cap(g.slots))
	}
	for range cap(g.slots) {
		g.slots <- struct{}{}
	}
	if err := g.enter(t.Context(), 10*time.Millisecond); !errors.Is(err, errNoTurn) {
		t.Errorf("with all turns taken: %v, want %v", err, errNoTurn)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errClientGone)
	if err := g.enter(ctx, time.Minute); !errors.Is(err, errClientGone) {
		t.Errorf("after the connection's end: %v, want %v", err, errClientGone)
	}
	if got := testutil.ToFloat64(waiting); got != 0 {
		t.Errorf("%v wait, want none", got)
	}
}
