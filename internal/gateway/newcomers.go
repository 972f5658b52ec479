package gateway

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What keeps strangers from getting in the way of others. Those who wait for
// nobody but themselves make room when places before the login run out, and
// the arithmetic of TLS, a millisecond of a processor for each newcomer, is done
// for few at a time.

const (
	// silence is how long a connection before its login may wait for its client
	// before it has to make room for another one; slowness is the same for one
	// whose client has begun. Clients speak as soon as they are connected, so
	// that when most of all places are silent, that is a flood, and less will do.
	silence  = time.Second
	flooded  = 250 * time.Millisecond
	slowness = 4 * time.Second
	// roomWait is how long a connection that finds no room is kept, and the
	// others behind it in the system's queue: in a storm of logins there soon is.
	roomWait = time.Second
	roomLook = 10 * time.Millisecond
)

// errCrowded says that all places before the login are taken.
type errCrowded struct{ most int }

func (e errCrowded) Error() string {
	return fmt.Sprintf("max_unauthenticated_connections=%d reached", e.most)
}

// newcomer is where a connection before its login stands; guarded by Gateway.mu.
type newcomer struct {
	place   *list.Element // in Gateway.silent or Gateway.slow while it waits for its client
	since   time.Time     // and since when
	spoken  bool          // something has come from its client
	evicted bool          // it has been counted out already
}

// listens notes that a connection before its login waits for its client.
func (g *Gateway) listens(c *clientConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := &c.newcomer; n.place == nil && !n.evicted {
		n.since = time.Now()
		n.place = g.waitingFor(c).PushBack(c)
	}
}

// heard notes that it waits no more, and whether something has come.
func (g *Gateway) heard(c *clientConn, something bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlist(c)
	c.newcomer.spoken = c.newcomer.spoken || something
}

// waitingFor is the list that a connection belongs into; g.mu is held.
func (g *Gateway) waitingFor(c *clientConn) *list.List {
	if c.newcomer.spoken {
		return &g.slow
	}
	return &g.silent
}

func (g *Gateway) unlist(c *clientConn) { // g.mu is held
	if c.newcomer.place != nil {
		g.waitingFor(c).Remove(c.newcomer.place)
		c.newcomer.place = nil
	}
}

// makeRoom gives up the connection before its login that has waited for its
// client longest, if that is long enough; g.mu is held.
func (g *Gateway) makeRoom() bool {
	after := silence
	if g.silent.Len() > g.config.Limits.MaxUnauthenticated*3/4 {
		after = flooded
	}
	return g.giveUp(g.silent.Front(), after) || g.giveUp(g.slow.Front(), slowness)
}

func (g *Gateway) giveUp(longest *list.Element, after time.Duration) bool {
	if longest == nil {
		return false
	}
	c := longest.Value.(*clientConn)
	if time.Since(c.newcomer.since) < after {
		return false
	}
	g.unlist(c)
	g.known(c)
	c.newcomer.evicted = true
	g.metrics.evicted.Inc()
	// It may have to wait for others: not under the lock.
	go c.close(endedBy("gateway", "silent before its login while max_unauthenticated_connections=%d was reached", g.config.Limits.MaxUnauthenticated))
	return true
}

// stranger reads for a connection and tells who waits, until its login. Reads
// beneath TLS are told by gatedConn.
type stranger struct{ c *clientConn }

func (s stranger) Read(p []byte) (int, error) { return s.c.sock.Read(p) }

// ReadReady implements [wire.ReadyReader].
func (s stranger) ReadReady(lend func() []byte, back func(), block func() error) (int, error) {
	c := s.c
	if c.credential.Load() != nil {
		return c.sock.ReadReady(lend, back, block)
	}
	n, err := c.sock.ReadReady(lend, back, func() error {
		c.g.listens(c)
		return block()
	})
	c.g.heard(c, n > 0)
	return n, err
}

// gate bounds how many TLS handshakes compute at the same time, first come first
// served. Half of the processors stay for the connections that are there.
type gate struct {
	slots   chan struct{}
	waiting prometheus.Gauge
}

func newGate(waiting prometheus.Gauge) *gate {
	return &gate{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), waiting: waiting}
}

var errNoTurn = errors.New("no turn for the TLS handshake in time")

// enter waits for a turn.
func (g *gate) enter(ctx context.Context, within time.Duration) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	g.waiting.Inc()
	defer g.waiting.Dec()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return errNoTurn
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) leave() { <-g.slots }

// gatedConn is what lies beneath TLS. During the handshake its goroutine has a
// turn of the gate while it computes, and none while it waits for the client:
// who is slow, or silent, keeps nobody else out.
type gatedConn struct {
	net.Conn
	c      *clientConn
	within time.Duration
	inside bool
	shaken bool // the handshake is over
}

func (g *gatedConn) Read(p []byte) (int, error) {
	if g.shaken {
		return g.Conn.Read(p)
	}
	g.leave()
	g.c.g.listens(g.c)
	n, err := g.Conn.Read(p)
	g.c.g.heard(g.c, n > 0)
	if err == nil {
		err = g.enter()
	}
	return n, err
}

func (g *gatedConn) Write(p []byte) (int, error) {
	if g.shaken {
		return g.Conn.Write(p)
	}
	g.leave()
	n, err := g.Conn.Write(p)
	if err == nil {
		err = g.enter()
	}
	return n, err
}

func (g *gatedConn) enter() error {
	if err := g.c.g.handshakes.enter(g.c.ctx, g.within); err != nil {
		return err
	}
	g.inside = true
	return nil
}

func (g *gatedConn) leave() {
	if g.inside {
		g.inside = false
		g.c.g.handshakes.leave()
	}
}

// over ends the handshake.
func (g *gatedConn) over() {
	g.leave()
	g.shaken = true
}
