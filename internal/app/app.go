// Package app builds, runs and stops everything: the gateway with its target
// clusters, certificates and resource documents, the operations server, and
// the demo. Its main type is App; tests start one on free ports. It decides
// nothing by itself: what is decided is in the packages it joins.
package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/config"
	"sluice/internal/gateway"
	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/grant/feed"
	"sluice/internal/httpapi"
	"sluice/internal/kafka/sasl"
	"sluice/internal/outbound"
	"sluice/internal/telemetry"
	"sluice/internal/usage"
)

// Options are what an App is made of.
type Options struct {
	Config config.Config
	// Resources replace Config.Resources when there are any.
	Resources []string
	// Log may be nil: nothing is logged.
	Log *slog.Logger
	// Now may be nil: the system's clock.
	Now func() time.Time
	// Version of the software, for brokers' logs and metrics.
	Version string
	// Report, which may be nil, is told of resources that changed while the App
	// runs, by one goroutine at a time. The problems of refused ones then go
	// there, and only their count into the log.
	Report func(Reload)
	// PollEvery is how often files are looked at for changes; 100 ms if zero.
	PollEvery time.Duration
	// Control serves the control plane, with the documents of its store, when no
	// resources are named.
	Control bool
	// Joined takes what is in force from the control plane that Join has joined, in place
	// of resources and of a control plane in this process.
	Joined bool
	// flagsOnly: there is no configuration file to change, as in the demo.
	flagsOnly bool
	// retryNotifications is notify.Deps.First, for tests.
	retryNotifications time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PollEvery == 0 {
		o.PollEvery = 100 * time.Millisecond
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if len(o.Resources) == 0 {
		o.Resources = o.Config.Resources
	}
	return o
}

// sound says what is wrong with the configuration.
func (o Options) sound() error {
	var problems []string
	for _, p := range o.Config.Validate() {
		if !p.Warning {
			problems = append(problems, p.String())
		}
	}
	if len(problems) > 0 {
		return &ProblemsError{What: "configuration", Problems: problems}
	}
	return nil
}

// App is a gateway with everything around it. Make one with New, start it with
// Run.
type App struct {
	opts         Options
	log          *slog.Logger
	state        *state
	resources    *resources  // nil where a control plane elsewhere has them
	follower     *follower   // of that one, else nil
	source       source      // either
	management   *management // nil where documents are in files
	clusters     *clusters
	certificates []*certificate
	gateway      *gateway.Gateway
	operations   *telemetry.Server
	registry     *prometheus.Registry
	outbound     *outbound.Client
	reloads      *prometheus.CounterVec
	asked        chan chan error // calls of Reload
	draining     atomic.Bool
	unapplied    atomic.Pointer[string] // why the last change is not in force; nil when it is
	stopped      chan struct{}          // closed when Run has returned
	standings    *standings             // of what is in force; watch's
}

// New reads and checks everything, takes the data directory and binds all
// addresses, so that what is wrong with the set-up is an error here; it is a
// *ProblemsError when documents are to blame. Target clusters are not waited
// for; a gateway that has nothing to serve yet waits for its control plane, and gives up
// when ctx ends. A new App must be given to Run, which releases what it holds.
func New(ctx context.Context, opts Options) (*App, error) {
	opts = opts.withDefaults()
	if err := opts.sound(); err != nil {
		return nil, err
	}
	a := &App{
		opts: opts, log: opts.Log, registry: telemetry.NewRegistry(opts.Version),
		asked: make(chan chan error), stopped: make(chan struct{}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_resource_reloads_total", Help: "Times that changed resource documents were read, by result.",
		}, []string{"result"}),
	}
	if err := a.build(ctx); err != nil {
		a.release()
		return nil, err
	}
	return a, nil
}

func (a *App) build(ctx context.Context) (err error) {
	c := a.opts.Config
	if a.state, err = openState(c.DataDir, a.opts.setting("dataDir", "--data-dir")); err != nil {
		return err
	}
	a.outbound, err = newOutbound(c.Outbound)
	if err != nil {
		return err
	}
	if a.opts.Joined {
		id, err := (*feed.Identity)(nil), error(nil)
		if a.follower, id, err = newFollower(a.opts, a.state); err != nil {
			return err
		}
		a.opts.Config.Environment, a.source = id.Environment, a.follower
		c = a.opts.Config
	} else {
		a.resources = newResources(a.opts, a.state)
		a.source = a.resources
	}
	if a.opts.Control && len(a.opts.Resources) == 0 && !a.opts.Joined {
		recalled := make(chan error, 1) // beside reading the store, which takes as long
		a.state.publishes()
		go func() { recalled <- a.state.recall() }()
		a.management, err = newManagement(a.opts, a.state, a.outbound, nil, a.access)
		if err := cmp.Or(<-recalled, err); err != nil {
			return err
		}
		a.certificates = append(a.certificates, a.management.certificates()...)
		if err := a.resources.from(a.management); err != nil {
			return err
		}
	}
	var result *loaded
	phantom := a.state.derive("phantom")
	if a.follower != nil {
		if result, err = a.follower.start(ctx); err == nil {
			phantom = a.follower.resolved.last.Common.Phantom
		}
	} else {
		result, err = a.resources.start()
	}
	if err != nil {
		return err
	}
	var own []sasl.Issuer
	switch environment := a.opts.Config.Environment; {
	case a.management != nil:
		own = append(own, ownIssuer(environment, a.management.tokens.KeySet))
	case a.follower != nil:
		own = append(own, ownIssuer(environment, a.follower.tokenKeys))
	}
	tokens, err := newTokens(c.OAuth, own, a.outbound, a.opts.Now)
	if err != nil {
		return err
	}
	listeners, err := a.listeners(tokens != nil)
	if err != nil {
		return err
	}
	a.clusters = newClusters(clusterDeps{
		log: a.log, version: a.opts.Version, outbound: a.outbound, now: a.opts.Now,
		learn: func(b []upstream.Broker) { a.gateway.Learn(b) },
		seed:  phantom, environment: a.opts.Config.Environment, fresh: a.fresh,
	})
	a.clusters.update(result.Clusters, result.Snapshot)
	clientLimits := limits(c.Limits)
	clientLimits.MaxConnections = withinDescriptors(clientLimits.MaxConnections, a.log)
	a.gateway, err = gateway.New(gateway.Config{
		Listeners: listeners, Limits: clientLimits, DataDir: c.DataDir, PhantomSecret: phantom, Telemetry: telemetryOf(c.Telemetry),
	}, gateway.Deps{
		Clusters: a.clusters, Tokens: tokens, Log: a.log, Registry: a.registry, Now: a.opts.Now, Logins: a.logins(), Refusals: a.refusals(),
	}, result.Snapshot)
	if err != nil {
		return a.addressError(err)
	}
	a.standings = standingsOf(result.Snapshot, a.opts.Now(), nil)
	if a.follower != nil {
		a.registry.MustRegister(feedCollector{a.follower})
		a.follower.reportAs(a.report(a.opts.Now()))
	} else {
		a.registry.MustRegister(a.resources.saves)
	}
	if a.management != nil {
		a.registry.MustRegister(auditTopicCollector{a.management.topic, a.opts.Now})
	}
	a.registry.MustRegister(a.reloads, clusterCollector{a.clusters}, identityCollector{a.clusters}, certificateCollector{a.certificates})
	for _, r := range []string{"applied", "refused"} {
		a.reloads.WithLabelValues(r)
	}
	a.operations, err = telemetry.NewServer(telemetry.ServerConfig{
		Address: c.Operations.Address, Metrics: a.registry, NotReady: a.NotReady, Notes: a.notes, Log: a.log,
	})
	if err != nil {
		return taken(err, a.opts.setting("operations.address", "--operations"))
	}
	return nil
}

// logins is where the gateway takes down who logs in; nil for nowhere.
func (a *App) logins() *usage.Logins {
	switch {
	case a.follower != nil:
		return a.follower.logins
	case a.management != nil:
		return a.management.logins
	}
	return nil
}

// refusals is where the gateway keeps what it refuses; nil for nowhere.
func (a *App) refusals() *usage.Refusals {
	switch {
	case a.follower != nil:
		return a.follower.refusals
	case a.management != nil:
		return a.management.refusals
	}
	return nil
}

// release gives back what a half-built App holds.
func (a *App) release() {
	if a.gateway != nil { // its listeners close when it runs to its end
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a.gateway.Run(ctx, 0)
	}
	if a.operations != nil {
		a.operations.Close()
	}
	if a.outbound != nil {
		a.outbound.Close()
	}
	if a.follower != nil {
		a.follower.stop()
	}
	if a.management != nil {
		a.management.close()
	}
	if a.state != nil {
		a.state.close()
	}
}

// Bootstrap returns the address at which clients find the first listener.
func (a *App) Bootstrap() string { return a.BootstrapOf(a.opts.Config.Listeners[0].Name) }

// access is where clients of an environment reach this process.
func (a *App) access(environment string) httpapi.Access {
	if environment != a.opts.Config.Environment {
		return httpapi.Access{}
	}
	l := a.opts.Config.Listeners[0]
	return httpapi.Access{Bootstrap: a.Bootstrap(), TLS: l.TLS != nil, Mechanisms: l.Mechanisms}
}

// BootstrapOf is Bootstrap for a listener by name; "" when there is none.
func (a *App) BootstrapOf(listener string) string { return a.gateway.Bootstrap(listener) }

// ManagementAddress returns where the management API is, as http://host:port; "" when
// there is none.
func (a *App) ManagementAddress() string {
	if a.management == nil {
		return ""
	}
	return a.management.address()
}

// OperationsAddress returns where /livez, /readyz and /metrics are.
func (a *App) OperationsAddress() string { return a.operations.Address() }

// Registry returns the metrics.
func (a *App) Registry() *prometheus.Registry { return a.registry }

// Connections returns how many client connections there are.
func (a *App) Connections() int { return a.gateway.Connections() }

// NotReady returns why clients should not come here, one sentence each; none
// means ready.
func (a *App) NotReady() []string {
	var reasons []string
	if a.draining.Load() {
		reasons = append(reasons, "the gateway is draining")
	}
	if a.follower != nil {
		reasons = append(reasons, a.follower.notReady()...)
	}
	return append(reasons, a.clusters.notReady()...)
}

// notes says what people should know and keeps no traffic away.
func (a *App) notes() []string {
	var out []string
	if why := a.unapplied.Load(); why != nil {
		out = append(out, "what was changed last is not in force: "+*why)
	}
	if a.follower != nil {
		out = append(out, a.follower.notes()...)
	}
	return append(out, a.clusters.identityNotes()...)
}

// report is what the control plane is told of this gateway.
func (a *App) report(started time.Time) func() feed.Report {
	return func() feed.Report {
		return feed.Report{Clusters: a.clusters.reports(), Release: a.opts.Version, Started: started, Connections: a.Connections()}
	}
}

// Ready waits until every target cluster has been reached once.
func (a *App) Ready(ctx context.Context) error { return a.clusters.wait(ctx) }

// Run serves until the context ends, then drains: requests in flight are
// answered within the drain time of the configuration. It releases everything
// and may be called once.
func (a *App) Run(ctx context.Context) error {
	defer close(a.stopped)
	c := a.opts.Config
	// What answers in flight need outlives the context: clusters, and whoever
	// asks /readyz meanwhile.
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()
	var group sync.WaitGroup
	failed := make(chan error, 3)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.clusters.start(rest)
	if a.follower != nil {
		group.Go(func() {
			if err := a.follower.untilOver(ctx); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	group.Go(func() {
		if err := a.operations.Run(rest); err != nil {
			failed <- err
			cancel()
		}
	})
	if a.management != nil {
		group.Go(func() {
			if err := a.management.run(ctx); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	inForce := a.standings.summary(a.gateway.Snapshot().Number())
	group.Go(func() { a.watch(ctx) })
	stop := context.AfterFunc(ctx, func() { a.draining.Store(true) })
	defer stop()
	a.log.Info("sluice serves", "version", a.opts.Version, "bootstrap", a.Bootstrap(), "operations", a.OperationsAddress(), "environment", c.Environment, "snapshot", a.gateway.Snapshot().Number())
	a.log.Info(inForce)
	if a.management != nil {
		a.log.Info("the management API is there", "address", a.management.address())
	}
	err := a.gateway.Run(ctx, c.Limits.DrainTimeout)
	stopRest()
	group.Wait()
	a.clusters.wg.Wait()
	a.outbound.Close()
	if a.follower != nil {
		a.follower.stop()
	}
	if a.management != nil {
		a.management.close()
	}
	a.state.close()
	a.log.Info("sluice has stopped")
	select {
	case e := <-failed:
		err = errors.Join(err, e)
	default:
	}
	return err
}

// Reload reads the resource documents and certificates now, changed or not, and
// returns once they are in force, or why they are not: then the old ones stay.
func (a *App) Reload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case a.asked <- answer:
	case <-a.stopped:
		return errors.New("reload: sluice has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-a.stopped:
		return errors.New("reload: sluice has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch looks at the files, and puts what changed in force.
func (a *App) watch(ctx context.Context) {
	const daily = 24 * time.Hour
	poll := time.NewTimer(a.opts.PollEvery)
	defer poll.Stop()
	warn := time.NewTicker(daily)
	defer warn.Stop()
	if a.resources != nil && a.resources.behind {
		a.catchUp()
	}
	var arrivals <-chan arrival // from the control plane
	if a.follower != nil {
		arrivals = a.follower.arrivals
	}
	phase := time.NewTimer(a.source.untilChange())
	defer phase.Stop()
	// Backing topics are looked at in the background, of the newest set only.
	var checks sync.WaitGroup
	defer checks.Wait()
	var changed <-chan struct{} // in the control plane
	if a.management != nil {
		changed = a.management.plane.Changed()
	}
	stopCheck, checked := func() {}, (*grant.Snapshot)(nil)
	defer func() { stopCheck() }()
	for {
		if s := a.gateway.Snapshot(); s != checked {
			stopCheck()
			check, cancel := context.WithCancel(ctx)
			stopCheck, checked = cancel, s
			checks.Go(func() { a.checkTopics(check, s) })
		}
		select {
		case <-ctx.Done():
			return
		case <-warn.C:
			for _, c := range a.certificates {
				c.warn()
			}
		case <-phase.C:
			if a.source.due() {
				a.apply(a.source.again)
			}
			phase.Reset(a.source.untilChange())
		case answer := <-a.asked:
			answer <- errors.Join(a.apply(a.source.load), a.reloadCertificates(true))
			phase.Reset(a.source.untilChange())
		case <-changed:
			if a.source.changed() {
				a.apply(a.source.load)
				phase.Reset(a.source.untilChange())
			}
		case came := <-arrivals:
			came.done <- a.apply(func() (*loaded, error) { return a.follower.take(came.state) })
		case <-poll.C:
			began := time.Now()
			if a.source.changed() {
				a.apply(a.source.load)
				phase.Reset(a.source.untilChange())
			}
			a.reloadCertificates(false)
			a.source.catchUp()
			// Large sets are looked at less often, up to three times a second.
			poll.Reset(max(a.opts.PollEvery, min(10*time.Since(began), 3*a.opts.PollEvery)))
		}
	}
}

// apply puts what a load brings in force.
func (a *App) apply(load func() (*loaded, error)) error {
	result, err := load()
	if err != nil {
		a.reloads.WithLabelValues("refused").Inc()
		why, _, _ := strings.Cut(err.Error(), "\n")
		a.unapplied.Store(&why)
		a.refused(err)
		return err
	}
	a.unapplied.Store(nil)
	a.reloads.WithLabelValues("applied").Inc()
	a.put(result)
	return nil
}

// catchUp reads the documents after a start that went without. They come to what
// is in force, unless they, or a secret, have changed meanwhile.
func (a *App) catchUp() {
	result, err := a.resources.load()
	if err != nil {
		a.reloads.WithLabelValues("refused").Inc()
		a.refused(err)
		return
	}
	a.put(result)
}

func (a *App) put(result *loaded) {
	a.clusters.update(result.Clusters, result.Snapshot)
	if old := a.gateway.Snapshot(); old != result.Snapshot {
		a.gateway.Swap(result.Snapshot)
		changed, removed := differences(old, result.Snapshot)
		a.log.Debug("snapshot swapped", "snapshot", result.Snapshot.Number(), "credentials_changed", changed, "credentials_removed", removed)
		a.inForce(result.Snapshot, true)
	} else {
		a.inForce(old, false)
	}
	a.clusters.retire()
}

// differences counts credentials that a snapshot does not share with the one
// before.
func differences(old, next *grant.Snapshot) (changed, removed int) {
	kept := 0
	for c := range next.All() {
		before := old.Lookup(c.Method, c.Identity)
		if before != nil {
			kept++
		}
		if before != c {
			changed++
		}
	}
	return changed, old.Len() - kept
}

func (a *App) reloadCertificates(atOnce bool) error { return reloadAll(a.certificates, atOnce) }

// reloadAll reads certificates again where their files have changed, or at once.
func reloadAll(certificates []*certificate, atOnce bool) error {
	var all []error
	for _, c := range certificates {
		all = append(all, c.reload(atOnce))
	}
	return errors.Join(all...)
}

// listeners turns the configuration's listeners into the gateway's.
func (a *App) listeners(tokens bool) ([]gateway.ListenerConfig, error) {
	var out []gateway.ListenerConfig
	for i, l := range a.opts.Config.Listeners {
		trusted, err := config.Networks(l.ProxyProtocol.TrustedNetworks)
		if err != nil {
			return nil, err
		}
		lc := gateway.ListenerConfig{
			Name: l.Name, Address: l.Address, BrokerPorts: [2]int{l.BrokerPorts.First, l.BrokerPorts.Last},
			AdvertisedHost: l.AdvertisedHost, AdvertisedPort: l.AdvertisedPort, Mechanisms: l.Mechanisms, ProxyTrusted: trusted,
		}
		if !tokens { // nobody's are trusted
			lc.Mechanisms = slices.DeleteFunc(slices.Clone(lc.Mechanisms), func(m string) bool { return m == sasl.OAuthBearer })
		}
		if l.SNI != nil {
			lc.Domain = l.SNI.Domain
		}
		if l.TLS != nil {
			c, err := newCertificate(l.Name, fmt.Sprintf("listeners[%d].tls", i), *l.TLS, a.opts.Now, a.log)
			if err != nil {
				return nil, err
			}
			a.certificates = append(a.certificates, c)
			lc.TLS = c.config()
		}
		out = append(out, lc)
	}
	return out, nil
}

func limits(l config.Limits) gateway.Limits {
	return gateway.Limits{
		MaxFrameBytes: int(l.MaxFrameBytes), MaxUnauthenticatedFrameBytes: int(l.MaxUnauthenticatedFrameBytes),
		MaxConnections: l.MaxConnections, MaxUnauthenticated: l.MaxUnauthenticatedConnections, MaxUnauthenticatedPerAddress: l.MaxUnauthenticatedPerAddress, MaxConnectionsPerAddress: l.ConnectionsPerAddress,
		MaxInFlight: l.MaxInFlight, MaxAnswerBytes: int(l.MaxAnswerBytes), MemoryBytes: int64(l.MemoryBudget), MemoryBytesPerApplication: int64(l.ApplicationMemory()),
		AuthDeadline: l.AuthDeadline, IdleTimeout: l.IdleTimeout, WriteTimeout: l.WriteTimeout, SessionLifetime: l.MaxSessionLifetime,
		Handler: handler.Limits{
			FetchPartitionMaxBytes: int32(l.FetchPartitionMaxBytes), FetchMaxBytes: int32(l.FetchMaxBytes),
			SessionPartitions: handler.DefaultLimits.SessionPartitions, Members: handler.DefaultLimits.Members,
			MemberBytes: handler.DefaultLimits.MemberBytes,
		},
	}
}

// telemetryOf is what clients are asked to tell of themselves, nil for nothing.
func telemetryOf(t config.Telemetry) *clientmetrics.Config {
	if !t.Enabled {
		return nil
	}
	return &clientmetrics.Config{Interval: t.Interval, MaxBytes: int(t.MaxBytes), Metrics: t.Metrics}
}

func newOutbound(c config.Outbound) (*outbound.Client, error) {
	networks, err := config.Networks(c.AllowNetworks)
	if err != nil {
		return nil, err
	}
	return outbound.New(outbound.Config{AllowPrivate: networks, AllowHosts: c.AllowHosts, AllowHTTP: c.AllowHTTP}), nil
}

// newTokens makes the validator of OAUTHBEARER tokens, nil without an issuer.
func newTokens(c config.OAuth, issuers []sasl.Issuer, client *outbound.Client, now func() time.Time) (*sasl.TokenValidator, error) {
	if len(c.Issuers)+len(issuers) == 0 {
		return nil, nil
	}
	fetch := func(ctx context.Context, url string) ([]byte, error) {
		body, _, err := client.Get(ctx, url)
		return body, err
	}
	for _, is := range c.Issuers {
		keys := sasl.KeySource{File: is.JWKS.File, URL: is.JWKS.URL}
		if is.JWKS.URL != "" {
			keys.Fetch = fetch
		}
		issuers = append(issuers, sasl.Issuer{
			Issuer: is.Issuer, Audience: is.Audience, Algorithms: is.Algorithms, PrincipalClaim: is.PrincipalClaim, Keys: keys,
		})
	}
	return sasl.NewTokenValidator(issuers, now)
}

// ProblemsError is a configuration, or a set of documents, that cannot be used.
type ProblemsError struct {
	// What is "configuration" or "resources".
	What     string
	Problems []string
}

func (e *ProblemsError) Error() string {
	noun := "problems"
	if len(e.Problems) == 1 {
		noun = "problem"
	}
	return fmt.Sprintf("%s: %d %s:\n  %s", e.What, len(e.Problems), noun, strings.Join(e.Problems, "\n  "))
}

// addressError says which setting to change when a listener's port is taken.
func (a *App) addressError(err error) error {
	for i, l := range a.opts.Config.Listeners {
		if !strings.Contains(err.Error(), fmt.Sprintf("listener %q", l.Name)) {
			continue
		}
		field, flag := fmt.Sprintf("listeners[%d].address", i), "--listen"
		var op *net.OpError
		if errors.As(err, &op) && op.Addr != nil && !sameAddress(op.Addr.String(), l.Address) {
			field, flag = fmt.Sprintf("listeners[%d].brokerPorts", i), "--broker-ports"
		}
		if i > 0 {
			flag = ""
		}
		return taken(err, a.opts.setting(field, flag))
	}
	return err
}

// sameAddress compares ports, and hosts as far as both are literal.
func sameAddress(a, b string) bool {
	_, portA, _ := net.SplitHostPort(a)
	_, portB, _ := net.SplitHostPort(b)
	return portA == portB
}

// setting names what to change, by field of the configuration and flag, which
// may be "".
func (o Options) setting(field, flag string) string {
	switch {
	case flag == "":
		return field
	case o.flagsOnly:
		return flag
	}
	return field + " in the configuration, or " + flag
}

// taken explains an address that cannot be listened on, and where to change it.
func taken(err error, where string) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		return err
	}
	address := "the address"
	if op.Addr != nil {
		address = op.Addr.String()
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop it, or choose another address with %s: %w", address, where, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on %s: choose a port above 1023 with %s: %w", address, where, err)
	}
	return fmt.Errorf("%s cannot be listened on: change %s: %w", address, where, err)
}

// derive returns a secret of its own for a purpose, from the seed.
func (s *state) derive(purpose string) []byte {
	h := hmac.New(sha256.New, s.seed)
	h.Write([]byte("sluice " + purpose))
	return h.Sum(nil)
}

// NewLogger returns the logger that a configuration asks for.
func NewLogger(c config.Log, w io.Writer) (*slog.Logger, error) {
	return telemetry.NewLogger(w, c.Level, c.Format)
}
