package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/grant/feed"
	"sluice/internal/httpapi/schema"
	"sluice/internal/outbound"
	"sluice/internal/telemetry"
)

// ControlPlane is a control plane without a gateway: it feeds those that run apart. Make
// one with NewControlPlane, start it with Run.
type ControlPlane struct {
	opts       Options
	log        *slog.Logger
	state      *state
	management *management
	sender     *feed.Sender
	socket     net.Listener // of the feed
	outbound   *outbound.Client
	operations *telemetry.Server
	registry   *prometheus.Registry

	compiled map[string]*resources // by environment; watch's
	asked    chan chan error       // calls of Reload

	mu     sync.Mutex
	failed map[string]failure // guarded by mu: what is stored and not given to gateways, by environment
	given  map[string]int64   // guarded by mu: the change of which gateways have been given everything
}

// failure is why what is stored is not in force.
type failure struct {
	since time.Time
	err   error
}

// NewControlPlane takes the data directory, opens the store and binds all addresses. A
// new ControlPlane must be given to Run, which releases what it holds.
func NewControlPlane(opts Options) (*ControlPlane, error) {
	opts = opts.withDefaults()
	if len(opts.Resources) > 0 {
		return nil, errors.New("a control plane has its documents in its store: leave -f, and resources of the configuration, to sluice serve, or apply them with sluice apply")
	}
	if err := opts.sound(); err != nil {
		return nil, err
	}
	c := &ControlPlane{opts: opts, log: opts.Log, registry: telemetry.NewRegistry(opts.Version), compiled: map[string]*resources{}, asked: make(chan chan error), failed: map[string]failure{}, given: map[string]int64{}}
	if err := c.build(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func (c *ControlPlane) build() (err error) {
	conf := c.opts.Config
	if c.state, err = openState(conf.DataDir, c.opts.setting("dataDir", "--data-dir")); err != nil {
		return err
	}
	if c.outbound, err = newOutbound(conf.Outbound); err != nil {
		return err
	}
	if c.socket, err = net.Listen("tcp", conf.Feed.Address); err != nil {
		return taken(err, c.opts.setting("feed.address", "--feed"))
	}
	standings := &gatewayStandings{address: conf.Feed.AdvertisedAddress}
	if standings.address == "" {
		standings.address = c.socket.Addr().String()
	}
	if c.management, err = newManagement(c.opts, c.state, c.outbound, standings, nil); err != nil {
		return err
	}
	plane := c.management.plane
	if standings.authority, err = c.authority(); err != nil { // once the store is known to be the right one
		return err
	}
	c.sender = feed.NewSender(feed.SenderConfig{Authority: standings.authority, Admit: plane.AdmitGateway, Join: plane.JoinGateway, Reported: c.management.reported, Log: c.log, Now: c.opts.Now})
	standings.sender = c.sender
	c.registry.MustRegister(feederCollector{c}, certificateCollector{c.management.certificates()}, auditTopicCollector{c.management.topic, c.opts.Now})
	c.publish()
	c.operations, err = telemetry.NewServer(telemetry.ServerConfig{
		Address: conf.Operations.Address, Metrics: c.registry, NotReady: func() []string { return nil }, Notes: c.notes, Log: c.log,
	})
	if err != nil {
		return taken(err, c.opts.setting("operations.address", "--operations"))
	}
	return nil
}

// authority opens who this control plane is to its gateways, or makes it.
func (c *ControlPlane) authority() (*feed.Authority, error) {
	dir := filepath.Join(c.opts.Config.DataDir, feedDir)
	a, err := feed.OpenAuthority(dir, c.opts.Now(), writeFile)
	if err != nil || !a.Made() || !c.management.known {
		return a, err
	}
	if joined := c.management.plane.Model().JoinedGateways(); joined > 0 {
		c.log.Error("what gateways know this control plane by was not there, and is made anew: bring the files of the directory back and start again, or let every gateway join again", "directory", dir, "gateways", joined)
	}
	return a, nil
}

// release gives back what a half-built ControlPlane holds.
func (c *ControlPlane) release() {
	if c.operations != nil {
		c.operations.Close()
	}
	if c.socket != nil {
		c.socket.Close()
	}
	if c.outbound != nil {
		c.outbound.Close()
	}
	if c.management != nil {
		c.management.close()
	}
	if c.state != nil {
		c.state.close()
	}
}

// ManagementAddress returns where the management API is, as http://host:port.
func (c *ControlPlane) ManagementAddress() string { return c.management.address() }

// FeedAddress returns where gateways get what is in force, as host:port.
func (c *ControlPlane) FeedAddress() string { return c.socket.Addr().String() }

// OperationsAddress returns where /livez, /readyz and /metrics are.
func (c *ControlPlane) OperationsAddress() string { return c.operations.Address() }

// Registry returns the metrics.
func (c *ControlPlane) Registry() *prometheus.Registry { return c.registry }

// Reload reads the certificate of the management API now, changed or not. An error leaves
// the old one.
func (c *ControlPlane) Reload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case c.asked <- answer: // whose reader answers at once
		return <-answer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run serves until the context ends. It releases everything and may be called once.
func (c *ControlPlane) Run(ctx context.Context) error {
	var group sync.WaitGroup
	failed := make(chan error, 3)
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	part := func(ctx context.Context, run func(context.Context) error) {
		group.Go(func() {
			if err := run(ctx); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	part(rest, c.operations.Run)
	part(ctx, c.management.run)
	part(ctx, func(ctx context.Context) error { return c.sender.Serve(ctx, c.socket) })
	group.Go(func() { c.watch(ctx) })
	c.log.Info("the control plane serves", "version", c.opts.Version, "feed", c.FeedAddress(), "operations", c.OperationsAddress())
	c.log.Info("the management API is there", "address", c.management.address())
	<-ctx.Done()
	stopRest()
	group.Wait()
	c.outbound.Close()
	c.management.close()
	c.state.close()
	c.log.Info("sluice has stopped")
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// watch gives gateways what changes.
func (c *ControlPlane) watch(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	timer := time.NewTimer(c.untilChange())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.management.plane.Changed():
		case <-timer.C:
		case answer := <-c.asked:
			answer <- reloadAll(c.management.certificates(), true)
		case <-look.C:
			_ = reloadAll(c.management.certificates(), false) // the log has it
		case <-daily.C:
			for _, certificate := range c.management.certificates() {
				certificate.warn()
			}
		}
		c.publish()
		timer.Reset(c.untilChange())
	}
}

func (c *ControlPlane) untilChange() time.Duration {
	least := time.Hour
	for _, r := range c.compiled {
		least = min(least, r.untilChange())
	}
	return least
}

// publish compiles every environment that has gateways and is not as its documents or
// the time want it.
func (c *ControlPlane) publish() {
	wanted := c.management.plane.Model().GatewayEnvironments()
	for _, environment := range slices.Sorted(maps.Keys(wanted)) {
		r, err := c.of(environment)
		if err == nil && (r.seq < 0 || r.changed() || r.due()) {
			err = c.give(r)
		} else if err == nil {
			r.catchUp()
			continue
		}
		c.mu.Lock()
		before, failing := c.failed[environment]
		switch {
		case err == nil:
			delete(c.failed, environment)
			c.given[environment] = r.seq
		case failing:
			c.failed[environment] = failure{before.since, err}
		default:
			c.failed[environment] = failure{c.opts.Now(), err}
		}
		c.mu.Unlock()
		if err != nil && (!failing || before.err.Error() != err.Error()) {
			c.log.Error("what is stored is not given to the gateways, which keep what they have", "environment", environment, "err", err)
		}
	}
	for environment := range c.compiled {
		if wanted[environment] == 0 {
			delete(c.compiled, environment)
			c.mu.Lock()
			delete(c.failed, environment)
			delete(c.given, environment)
			c.mu.Unlock()
		}
	}
	m := c.management.plane.Model()
	c.sender.Forget(m.HasGateway)
}

// of returns what compiles an environment.
func (c *ControlPlane) of(environment string) (*resources, error) {
	if r := c.compiled[environment]; r != nil {
		return r, nil
	}
	state := c.state
	if environment != c.opts.Config.Environment { // serve and control find the same there
		var err error
		if state, err = c.state.part(environment); err != nil {
			return nil, err
		}
	}
	r := newResources(c.opts, state)
	if err := r.from(c.management); err != nil {
		return nil, err
	}
	r.environment, r.seq = environment, -1
	r.reserve = &reserve{name: filepath.Join(state.dir, feedDir, reserveFile)}
	c.compiled[environment] = r
	return r, nil
}

func (c *ControlPlane) give(r *resources) error {
	state, err := r.compiled()
	if err != nil {
		return err
	}
	if err := c.sender.Publish(state); err != nil {
		r.later()
		return err
	}
	c.log.Debug("gateways get a state", "environment", r.environment, "state", state.Grants.Number())
	return nil
}

// notes says what whoever looks after this should know.
func (c *ControlPlane) notes() []string {
	var out []string
	c.mu.Lock()
	for _, environment := range slices.Sorted(maps.Keys(c.failed)) {
		f := c.failed[environment]
		out = append(out, fmt.Sprintf("environment %s: what was stored since %s is not given to gateways: %v", environment, f.since.UTC().Format(time.RFC3339), f.err))
	}
	c.mu.Unlock()
	for _, g := range c.sender.Gateways() {
		switch {
		case !g.Connected:
			out = append(out, fmt.Sprintf("gateway %s has not been here since %s", g.Name, g.Since.UTC().Format(time.RFC3339)))
		case g.Report.Refused != "":
			out = append(out, fmt.Sprintf("gateway %s has %v in force and refuses %v: %s", g.Name, g.Report.Number, g.Current, g.Report.Refused))
		case g.Behind:
			out = append(out, fmt.Sprintf("gateway %s has %v in force, the newest is %v", g.Name, g.Report.Number, g.Current))
		}
	}
	return out
}

// gatewayStandings tells the management API of the gateways.
type gatewayStandings struct {
	authority *feed.Authority
	address   string
	sender    *feed.Sender
}

// Token is httpapi.Gateways'.
func (s *gatewayStandings) Token(secret string) (token, control string) {
	return s.authority.Token(secret), s.address
}

// Standing is httpapi.Gateways'.
func (s *gatewayStandings) Standing(name string) *schema.Standing {
	g, known := s.sender.Gateway(name)
	if !known {
		return nil
	}
	out := &schema.Standing{
		Connected: g.Connected, Since: &g.Since, InForce: g.Report.Number.String(), Current: g.Current.String(), Behind: g.Behind,
		Refused: g.Report.Refused, Withheld: g.Report.Withheld, Dropped: g.Report.Dropped, Release: g.Report.Release, Connections: g.Report.Connections,
	}
	if !g.Heard.IsZero() {
		out.Heard = &g.Heard
	}
	if !g.Report.Started.IsZero() {
		out.Started = &g.Report.Started
	}
	for _, c := range g.Report.Clusters {
		if c.Error != "" {
			if out.Clusters == nil {
				out.Clusters = map[string]string{}
			}
			out.Clusters[c.Name] = c.Error
		}
	}
	return out
}

// feederCollector shows how gateways stand to their control plane.
type feederCollector struct{ plane *ControlPlane }

var (
	gatewaysKnown  = prometheus.NewDesc("sluice_control_gateways", "Gateways that have been here since the start, by environment and by whether they are connected.", []string{"environment", "connected"}, nil)
	gatewaysBehind = prometheus.NewDesc("sluice_control_gateways_behind", "Gateways with another state in force than the newest one.", []string{"environment"}, nil)
	unpublished    = prometheus.NewDesc("sluice_control_unpublished_seconds", "For how long what is stored has not been given to the gateways, 0 while it is.", []string{"environment"}, nil)
)

// Describe is prometheus.Collector's.
func (feederCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- gatewaysKnown
	ch <- gatewaysBehind
	ch <- unpublished
}

// Collect is prometheus.Collector's.
func (f feederCollector) Collect(ch chan<- prometheus.Metric) {
	type counts struct{ here, gone, behind float64 }
	all := map[string]*counts{}
	for environment := range f.plane.management.plane.Model().GatewayEnvironments() {
		all[environment] = &counts{}
	}
	for _, g := range f.plane.sender.Gateways() {
		n := all[g.Environment]
		if n == nil {
			continue
		}
		if g.Connected {
			n.here++
		} else {
			n.gone++
		}
		if g.Behind {
			n.behind++
		}
	}
	f.plane.mu.Lock()
	defer f.plane.mu.Unlock()
	for environment, n := range all {
		ch <- prometheus.MustNewConstMetric(gatewaysKnown, prometheus.GaugeValue, n.here, environment, "true")
		ch <- prometheus.MustNewConstMetric(gatewaysKnown, prometheus.GaugeValue, n.gone, environment, "false")
		ch <- prometheus.MustNewConstMetric(gatewaysBehind, prometheus.GaugeValue, n.behind, environment)
		seconds := 0.0
		if failing, ok := f.plane.failed[environment]; ok {
			seconds = f.plane.opts.Now().Sub(failing.since).Seconds()
		}
		ch <- prometheus.MustNewConstMetric(unpublished, prometheus.GaugeValue, seconds, environment)
	}
}
