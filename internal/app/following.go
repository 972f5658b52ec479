package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/grant/feed"
	"sluice/internal/usage"
)

// Join makes this machine a gateway of a control plane: it redeems a token that sluice
// gateway invite has printed, and keeps in the data directory who it is from now on.
// control is host:port. It returns the gateway's name and environment.
func Join(ctx context.Context, opts Options, control, token string) (name, environment string, err error) {
	opts = opts.withDefaults()
	s, err := openState(opts.Config.DataDir, opts.setting("dataDir", "--data-dir"))
	if err != nil {
		return "", "", err
	}
	defer s.close()
	id, err := feed.Join(ctx, feed.JoinConfig{Dir: filepath.Join(s.dir, feedDir), Control: control, Token: token, Save: writeFile})
	if err != nil {
		return "", "", fmt.Errorf("join %s: %w", control, err)
	}
	return id.Name, id.Environment, nil
}

// source is where what is in force comes from: resources, or a follower. Its methods
// are called by one goroutine at a time.
type source interface {
	// changed says that load would bring something else.
	changed() bool
	// load brings what is to be in force now, changed or not.
	load() (*loaded, error)
	// again is load when only time has passed.
	again() (*loaded, error)
	// due says that again should be called; untilChange how long to wait before asking.
	due() bool
	untilChange() time.Duration
	// catchUp does what could not be done before.
	catchUp()
}

// firstWait is how long a gateway without anything to serve waits for its control plane.
const firstWait = 30 * time.Second

// sentAwayServes is how long a gateway that the control plane has sent away goes on with
// what it has: time for whoever did so by mistake to let it join again, and for clients to
// go elsewhere, since it is not ready.
const sentAwayServes = time.Hour

// follower brings what the control plane of this gateway gives it.
type follower struct {
	opts     Options
	receiver *feed.Receiver
	resolved *resolved
	arrivals chan arrival
	logins   *usage.Logins
	refusals *usage.Refusals
	stop     func()

	keys atomic.Pointer[feed.Common] // the last one, for the keys of tokens

	mu       sync.Mutex // guards what follows
	withheld int        // topics, since the control plane is away
	report   func() feed.Report

	next  time.Duration // the age at which more topics are withheld, 0 for never
	retry time.Time     // when to read the secrets of clusters again that could not be used
}

// arrival is a state that came, and where to say whether it is in force.
type arrival struct {
	state feed.State
	done  chan error // gets one value
}

// newFollower reads who this gateway is and what it has.
func newFollower(opts Options, s *state) (*follower, *feed.Identity, error) {
	dir := filepath.Join(s.dir, feedDir)
	id, err := feed.ReadIdentity(dir)
	if err != nil {
		return nil, nil, err
	}
	f := &follower{opts: opts, resolved: newResolved(opts.Log), arrivals: make(chan arrival), logins: usage.NewLogins(id.Name), refusals: usage.NewRefusals(id.Name, opts.Now()), stop: func() {}}
	f.receiver, err = feed.NewReceiver(feed.ReceiverConfig{
		Dir: dir, Identity: id, Control: opts.Config.Feed.Control, Save: writeFile, Log: opts.Log, Now: opts.Now, Report: f.told, Unreported: f.untold, Rejections: f.rejections, Told: f.refusals.Told,
	})
	return f, id, err
}

// start follows the control plane from now on until stop, and returns what to serve first;
// it waits for that no longer than the context.
func (f *follower) start(ctx context.Context) (*loaded, error) {
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.receiver.Run(following, func(s feed.State) error { return f.arrive(following, s) })
	}()
	f.stop = func() { cancel(); <-ended }
	s := f.receiver.State()
	if s != nil && f.over() == nil {
		return f.take(*s)
	}
	f.opts.Log.Info("nothing is here that may be served: waiting for the control plane")
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	look := time.NewTicker(100 * time.Millisecond) // it may take this gateway again, which has the newest
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the control plane: %w", ctx.Err())
		case first := <-f.arrivals:
			out, err := f.take(first.state)
			first.done <- err
			return out, err
		case <-look.C:
			if s != nil && f.over() == nil {
				return f.take(*s)
			}
		case <-timer.C:
			if err := f.over(); err != nil {
				return nil, err
			}
			why := f.receiver.Standing().Failure
			if why == "" {
				why = "it has nothing for this gateway yet"
			}
			return nil, fmt.Errorf("there is nothing to serve, and the control plane has not given anything for %v: %s", firstWait, why)
		}
	}
}

// over says why this gateway may serve no more; nil while it may.
func (f *follower) over() error {
	at := f.receiver.Standing().SentAway
	if at.IsZero() || f.opts.Now().Before(at.Add(sentAwayServes)) {
		return nil
	}
	return fmt.Errorf("the control plane has sent this gateway away at %s, and it serves for no longer than %v after that: let it join again with sluice gateway join", at.UTC().Format(time.RFC3339), sentAwayServes)
}

// notReady says why clients should go elsewhere.
func (f *follower) notReady() []string {
	at := f.receiver.Standing().SentAway
	if at.IsZero() {
		return nil
	}
	return []string{fmt.Sprintf("the control plane has sent this gateway away at %s: it stops at %s unless it joins again", at.UTC().Format(time.RFC3339), at.Add(sentAwayServes).UTC().Format(time.RFC3339))}
}

// untilOver returns why this gateway may serve no more, once that is so; nil when the
// context ends before.
func (f *follower) untilOver(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := f.over(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// arrive hands a state to whoever puts it in force, and waits until it is.
func (f *follower) arrive(ctx context.Context, s feed.State) error {
	a := arrival{s, make(chan error, 1)}
	select {
	case f.arrivals <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take makes of a state what is to be in force.
func (f *follower) take(s feed.State) (*loaded, error) {
	out, err := f.resolved.take(s)
	if err != nil {
		return nil, err
	}
	f.keys.Store(&s.Common)
	f.retry = time.Time{}
	if len(f.resolved.said) > 0 {
		f.retry = f.opts.Now().Add(time.Minute)
	}
	f.stale(out)
	return out, nil
}

// stale withholds the topics that may not be served on what is known.
func (f *follower) stale(out *loaded) {
	var withheld int
	out.Snapshot, withheld, f.next = f.resolved.last.Grants.Stale(f.age())
	f.mu.Lock()
	before := f.withheld
	f.withheld = withheld
	f.mu.Unlock()
	switch {
	case withheld > before:
		f.opts.Log.Warn("topics are withheld: the control plane has been away for longer than they permit", "topics", withheld, "away", f.age().Round(time.Second))
	case withheld == 0 && before > 0:
		f.opts.Log.Info("no topic is withheld any more since the control plane was away")
	}
}

// tokenKeys are those of the control plane's token endpoint.
func (f *follower) tokenKeys() ([]byte, error) {
	if c := f.keys.Load(); c != nil && len(c.TokenKeys) > 0 {
		return c.TokenKeys, nil
	}
	return nil, errors.New("the control plane has given no keys of its token endpoint")
}

func (f *follower) age() time.Duration { return f.receiver.Standing().Age(f.opts.Now()) }

func (f *follower) changed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.withheld > 0 && f.age() < time.Second // the control plane is back
}

func (f *follower) load() (*loaded, error)  { return f.take(f.resolved.last) }
func (f *follower) again() (*loaded, error) { return f.load() }

func (f *follower) due() bool {
	return f.next > 0 && f.age() >= f.next || !f.retry.IsZero() && !f.opts.Now().Before(f.retry)
}

func (f *follower) untilChange() time.Duration { return time.Second }

func (f *follower) catchUp() {}

// reportAs sets what the control plane is told, once there is something.
func (f *follower) reportAs(report func() feed.Report) {
	f.mu.Lock()
	f.report = report
	f.mu.Unlock()
	f.receiver.Reported()
}

// told is what the control plane is told.
func (f *follower) told() feed.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := feed.Report{}
	if f.report != nil {
		out = f.report()
	}
	out.Withheld, out.Dropped = f.withheld, f.refusals.Dropped()
	for _, l := range f.logins.Take(f.opts.Now(), feed.MaxLogins) {
		out.Logins = append(out.Logins, feed.Login{Credential: l.Credential, Secret: l.Secret, Time: l.Time, Address: l.Address, Software: l.Software})
	}
	return out
}

// rejections are what the control plane is told of what was refused here.
func (f *follower) rejections(after uint64, most int) []feed.Rejection {
	var out []feed.Rejection
	for _, r := range f.refusals.After(after, most) {
		out = append(out, feed.Rejection{
			Number: r.Number, ID: r.ID, Time: r.Time, Application: r.Application, Environment: r.Environment, Credential: r.Credential, Address: r.Address,
			API: r.API, Operation: r.Operation, What: r.What, Name: r.Name, Verdict: r.Verdict, Rule: r.Rule,
		})
	}
	return out
}

// untold takes back what could not be told.
func (f *follower) untold(r feed.Report) {
	for _, l := range r.Logins {
		f.logins.Note(usage.Login{Credential: l.Credential, Secret: l.Secret, Time: l.Time, Address: l.Address, Software: l.Software})
	}
}

// notes says what whoever looks after this should know.
func (f *follower) notes() []string {
	var out []string
	s := f.receiver.Standing()
	if !s.Connected {
		out = append(out, fmt.Sprintf("the control plane is not reached, %v since it last was: %s", s.Age(f.opts.Now()).Round(time.Second), s.Failure))
	}
	if s.Refused != "" {
		out = append(out, "the last state of the control plane is refused: "+s.Refused)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.withheld > 0 {
		out = append(out, fmt.Sprintf("%d topics are withheld, since the control plane has been away for longer than they permit", f.withheld))
	}
	return out
}

// feedCollector shows how this gateway stands to its control plane.
type feedCollector struct{ f *follower }

var (
	feedConnected  = prometheus.NewDesc("sluice_feed_connected", "1 while the control plane is reached, else 0.", nil, nil)
	feedAge        = prometheus.NewDesc("sluice_feed_age_seconds", "How long ago the control plane last said that what is in force is the newest.", nil, nil)
	feedNumber     = prometheus.NewDesc("sluice_feed_number", "The number of the state in force, within its generation.", nil, nil)
	feedGeneration = prometheus.NewDesc("sluice_feed_generation", "The generation of the state in force.", nil, nil)
	feedRefused    = prometheus.NewDesc("sluice_feed_refused_total", "States of the control plane that were refused, by reason.", []string{"reason"}, nil)
	feedDropped    = prometheus.NewDesc("sluice_feed_rejections_dropped_total", "Rejections that the control plane was not told of, since there were too many at a time or it was away.", nil, nil)
	feedWithheld   = prometheus.NewDesc("sluice_feed_withheld_topics", "Topics that are withheld since the control plane has been away for longer than they permit.", nil, nil)
)

// Describe is prometheus.Collector's.
func (feedCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{feedConnected, feedAge, feedNumber, feedGeneration, feedRefused, feedDropped, feedWithheld} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (c feedCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.f.receiver.Standing()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	connected := 0.0
	if s.Connected {
		connected = 1
	}
	gauge(feedConnected, connected)
	gauge(feedAge, s.Age(c.f.opts.Now()).Seconds())
	gauge(feedNumber, float64(s.Number.N))
	gauge(feedGeneration, float64(s.Number.Generation))
	c.f.mu.Lock()
	gauge(feedWithheld, float64(c.f.withheld))
	c.f.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(feedDropped, prometheus.CounterValue, float64(c.f.refusals.Dropped()))
	for reason, n := range s.Refusals {
		ch <- prometheus.MustNewConstMetric(feedRefused, prometheus.CounterValue, float64(n), reason)
	}
}

// clusterReports are the target clusters as the control plane is told of them.
func (c *clusters) reports() []feed.ClusterReport {
	var out []feed.ClusterReport
	for _, cl := range c.All() {
		r := feed.ClusterReport{Name: cl.Name()}
		if err := cl.Err(); err != nil {
			r.Error = err.Error()
		}
		out = append(out, r)
	}
	return out
}
