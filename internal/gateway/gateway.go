// Package gateway is the data plane's front: it accepts Kafka clients, proves
// who they are, and carries their requests to the target cluster and the
// answers back, in the client's order, as package handler decides. Its main
// type is Gateway. It knows grants and frames; it must not know products,
// plans, money, files or environment variables.
package gateway

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/kafka/wire"
	"sluice/internal/usage"
)

// Limits bounds what clients may take of the gateway.
type Limits struct {
	MaxFrameBytes                int           // of a request after the login
	MaxUnauthenticatedFrameBytes int           // of a request before it
	MaxConnections               int           // all listeners together
	MaxUnauthenticated           int           // of these, before their login
	MaxUnauthenticatedPerAddress int           // of these, per client address, an IPv6 /64 being one; 0 means no limit
	MaxConnectionsPerAddress     int           // per client address; 0 means no limit
	MaxInFlight                  int           // requests of one connection that wait for their answer
	MaxAnswerBytes               int           // of one broker's answer
	MemoryBytes                  int64         // frames in flight, all connections together
	MemoryBytesPerApplication    int64         // of these, of one application's connections; 0 means no limit of its own
	AuthDeadline                 time.Duration // from accept to the end of the login
	IdleTimeout                  time.Duration // without a request
	WriteTimeout                 time.Duration // for a client or broker that does not read
	SessionLifetime              time.Duration // until a client must log in again (KIP-368); 0 means as long as its credential
	Handler                      handler.Limits
}

// DefaultLimits are the limits of a gateway that is not told otherwise.
func DefaultLimits() Limits {
	return Limits{
		MaxFrameBytes: 100 << 20, MaxUnauthenticatedFrameBytes: 64 << 10,
		MaxConnections: 10_000, MaxUnauthenticated: 1000, MaxUnauthenticatedPerAddress: 100, MaxInFlight: 64,
		MaxAnswerBytes: 128 << 20, MemoryBytes: 512 << 20, MemoryBytesPerApplication: 128 << 20,
		AuthDeadline: 10 * time.Second, IdleTimeout: 9 * time.Minute, WriteTimeout: 30 * time.Second,
		Handler: handler.DefaultLimits,
	}
}

// Clusters finds target clusters; safe for concurrent use.
type Clusters interface {
	// Cluster returns a target cluster by name, or nil.
	Cluster(name string) *upstream.Cluster
	// All returns every target cluster.
	All() []*upstream.Cluster
}

// Config is what a Gateway is told.
type Config struct {
	Listeners []ListenerConfig
	Limits    Limits
	// DataDir keeps the ports that brokers have got, "" means they are not
	// kept over a restart.
	DataDir string
	// PhantomSecret makes logins of unknown clients look like known ones; the
	// same on every gateway of an environment. Random when empty.
	PhantomSecret []byte
	// Telemetry asks clients for metrics (KIP-714); nil does not. Its Known and
	// Now are set by New.
	Telemetry *clientmetrics.Config
}

// Deps is what a Gateway needs of others.
type Deps struct {
	Clusters Clusters
	// Tokens validates OAUTHBEARER tokens; nil where no issuer is set up.
	Tokens *sasl.TokenValidator
	// Logins takes down those that succeed; nil does not.
	Logins *usage.Logins
	// Refusals keeps what is refused; nil does not.
	Refusals *usage.Refusals
	Log      *slog.Logger
	Registry prometheus.Registerer
	Now      func() time.Time
}

// Gateway serves Kafka clients. Make one with New, start it with Run.
type Gateway struct {
	config     Config
	deps       Deps
	log        *slog.Logger
	snapshot   atomic.Pointer[grant.Snapshot]
	metrics    *metrics
	handling   *handler.Metrics
	reserved   handler.Reservations
	telemetry  *clientmetrics.Collector // nil where clients are not asked
	budget     *wire.Budget
	buffers    *wire.Buffers
	phantom    []byte // makes unknown users look like known ones
	listeners  []*listener
	inside     *listener // of connections from this process; has no socket
	gate       logGate
	handshakes *gate
	draining   chan struct{} // closed when the gateway stops taking requests

	mu              sync.Mutex // guards what follows
	conns           map[*clientConn]struct{}
	applications    map[string]*application // by name, as long as they have connections
	unauthenticated int
	silent, slow    list.List          // of *clientConn: those before their login that wait for their client, longest first; slow ones have begun
	strangers       map[netip.Addr]int // the unauthenticated by neighbourhood
	perAddress      map[netip.Addr]int
	stopped         bool
	done            sync.WaitGroup // one per connection
}

// New builds a gateway with a first snapshot and binds its listeners, so that a
// taken port is an error here.
func New(config Config, deps Deps, first *grant.Snapshot) (*Gateway, error) {
	if len(config.Listeners) == 0 {
		return nil, errors.New("gateway has no listener")
	}
	g := &Gateway{
		config: config, deps: deps, log: deps.Log,
		metrics: newMetrics(deps.Registry), handling: handler.NewMetrics(deps.Registry),
		budget: wire.NewBudget(config.Limits.MemoryBytes), buffers: new(wire.Buffers), gate: logGate{kinds: make(map[string]*logCount)},
		phantom: config.PhantomSecret, draining: make(chan struct{}),
		conns: make(map[*clientConn]struct{}), applications: make(map[string]*application), perAddress: make(map[netip.Addr]int), strangers: make(map[netip.Addr]int),
	}
	g.handshakes = newGate(g.metrics.handshakesWaiting)
	if len(g.phantom) == 0 {
		g.phantom = make([]byte, 32)
		rand.Read(g.phantom)
	}
	g.inside = newInside(g)
	g.snapshot.Store(first)
	if config.Telemetry != nil {
		t := *config.Telemetry
		t.Known, t.Now = g.applicationsOf(), deps.Now
		var err error
		if g.telemetry, err = clientmetrics.New(t); err != nil {
			return nil, fmt.Errorf("telemetry.metrics: %w", err)
		}
		deps.Registry.MustRegister(g.telemetry)
	}
	for _, lc := range config.Listeners {
		l, err := newListener(g, lc)
		if err != nil {
			g.closeListeners()
			return nil, err
		}
		g.listeners = append(g.listeners, l)
	}
	return g, nil
}

// Bootstrap returns the address at which clients find a listener, as they see
// it, or "".
func (g *Gateway) Bootstrap(name string) string {
	for _, l := range g.listeners {
		if l.config.Name == name {
			return l.addressing.bootstrap()
		}
	}
	return ""
}

// Learn takes note of a target cluster's brokers: in port mode each one gets a
// port of its own.
func (g *Gateway) Learn(brokers []upstream.Broker) {
	for _, l := range g.listeners {
		l.addressing.learn(brokers)
	}
}

// Snapshot returns the snapshot in force.
func (g *Gateway) Snapshot() *grant.Snapshot { return g.snapshot.Load() }

// Swap puts a snapshot in force. Connections keep running with what it says of
// their credential; those whose credential is gone, revoked or expired answer
// what is in flight and are closed within a second.
func (g *Gateway) Swap(next *grant.Snapshot) {
	g.snapshot.Store(next)
	g.metrics.snapshots.Inc()
	g.mu.Lock()
	conns := make([]*clientConn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		c.regrant()
	}
}

// learnAgain is how often ports that could not be bound or written down are
// tried again.
const learnAgain = 5 * time.Second

// Run accepts clients until the context ends, then drains: it stops accepting,
// answers what is in flight, closes connections as they fall silent, and after
// the drain time the rest.
func (g *Gateway) Run(ctx context.Context, drain time.Duration) error {
	for _, l := range g.listeners {
		l.start()
	}
	again := time.NewTicker(learnAgain)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-again.C:
			g.Learn(nil)
		}
	}
	again.Stop()
	g.closeListeners()
	g.mu.Lock()
	g.stopped = true
	conns := make([]*clientConn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	close(g.draining)
	g.log.Info("draining", "connections", len(conns))
	for i, c := range conns {
		// Spread, so that clients do not reconnect elsewhere all at once.
		after := time.Duration(0)
		if len(conns) > 20 {
			after = drain / 3 * time.Duration(i) / time.Duration(len(conns))
		}
		c.finish(after, drain)
	}
	g.done.Wait()
	for _, l := range g.listeners {
		l.wait()
	}
	return nil
}

func (g *Gateway) closeListeners() {
	for _, l := range g.listeners {
		l.close()
	}
}

// admit counts a new connection in; the error says why it may not stay.
func (g *Gateway) admit(c *clientConn) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	limits := g.config.Limits
	switch {
	case g.stopped:
		return errors.New("the gateway is draining")
	case len(g.conns) >= limits.MaxConnections:
		return fmt.Errorf("max_connections=%d reached", limits.MaxConnections)
	case c.inside != nil: // no stranger, from no address
	case limits.MaxUnauthenticatedPerAddress > 0 && g.strangers[neighbourhood(c.address)] >= limits.MaxUnauthenticatedPerAddress:
		return fmt.Errorf("max_unauthenticated_per_address=%d reached", limits.MaxUnauthenticatedPerAddress)
	case limits.MaxConnectionsPerAddress > 0 && g.perAddress[c.address] >= limits.MaxConnectionsPerAddress:
		return fmt.Errorf("max_connections_per_address=%d reached", limits.MaxConnectionsPerAddress)
	case g.unauthenticated >= limits.MaxUnauthenticated && !g.makeRoom():
		return errCrowded{limits.MaxUnauthenticated}
	}
	g.conns[c] = struct{}{}
	if c.inside == nil {
		g.unauthenticated++
		g.strangers[neighbourhood(c.address)]++
		g.perAddress[c.address]++
	}
	g.done.Add(1)
	g.metrics.connections.Inc()
	return nil
}

// neighbourhood is what one stranger has of addresses: of IPv6 that is a /64.
func neighbourhood(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p.Addr()
	}
	return a
}

// known counts a connection out of those before their login; g.mu is held.
func (g *Gateway) known(c *clientConn) {
	if c.newcomer.evicted || c.inside != nil {
		return
	}
	g.unauthenticated--
	a := neighbourhood(c.address)
	if g.strangers[a]--; g.strangers[a] <= 0 {
		delete(g.strangers, a)
	}
}

// application is what the connections of one application share.
type application struct {
	name   string
	budget *wire.Budget
	conns  map[*clientConn]time.Time // and since when; guarded by Gateway.mu
}

// authenticated moves a connection out of those before their login, to those of
// an application.
func (g *Gateway) authenticated(c *clientConn, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known(c)
	a := g.applications[name]
	if a == nil {
		a = &application{name: name, budget: g.budget, conns: map[*clientConn]time.Time{}}
		if most := g.config.Limits.MemoryBytesPerApplication; most > 0 {
			a.budget = g.budget.Sub(most)
		}
		g.applications[name] = a
	}
	a.conns[c] = g.deps.Now()
	c.application = a
}

// dismiss counts a connection out.
func (g *Gateway) dismiss(c *clientConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	g.unlist(c)
	if a := c.application; a == nil {
		g.known(c)
	} else if delete(a.conns, c); len(a.conns) == 0 {
		delete(g.applications, a.name)
	}
	if c.inside == nil {
		if g.perAddress[c.address]--; g.perAddress[c.address] <= 0 {
			delete(g.perAddress, c.address)
		}
	}
	g.metrics.connections.Dec()
	g.done.Done()
}

// Connections returns how many client connections there are.
func (g *Gateway) Connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}
