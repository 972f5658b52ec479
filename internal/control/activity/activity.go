// Package activity knows what flows through the backing topics that versions offer: how
// many records a second, when the last one came, and how it was in the last day. Its main
// type is Activity. It asks each cluster for the ends of its topics' logs every few
// seconds, and reads no record. What it has seen is kept in the store over restarts; when
// nobody looked, nothing is known, which is not the same as nothing.
//
// The end of a log counts what was written, by whomever and past every gateway: records,
// those that compaction has removed since, and the marks of transactions.
//
// It knows nothing of Kafka's protocol: clusters are reached by whoever is given to it.
package activity

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// Times and numbers that are not for configuring.
const (
	every         = 5 * time.Second  // between looks at a cluster
	patience      = 20 * time.Second // for one look
	slowest       = time.Minute      // between looks at a cluster that is away
	settingsEvery = 5 * time.Minute  // between looks at settings of topics
	keepEvery     = 5 * time.Minute  // between writes to the store
	// MaxTopics of one cluster are looked at; of others nothing is known.
	MaxTopics = 5000
	atOnce    = 8 // clusters that are asked at one time
)

// End is where the log of a topic ends.
type End struct {
	// Offset is the sum of those of all partitions.
	Offset     int64
	Partitions int
}

// Cluster is asked about topics. What cannot be told of a topic is left out of an answer.
type Cluster interface {
	Ends(ctx context.Context, topics []string) (map[string]End, error)
	// LastEvents are the times of the newest records, left out where there are none.
	LastEvents(ctx context.Context, topics []string) (map[string]time.Time, error)
	// Retentions are how long records are kept, less than 0 for ever.
	Retentions(ctx context.Context, topics []string) (map[string]time.Duration, error)
	Close()
}

// Deps are what an Activity works with.
type Deps struct {
	Plane *control.Plane
	Store control.Store
	// Open returns what reaches the cluster of a document.
	Open func(ctx context.Context, d *resource.Cluster) (Cluster, error)
	Log  *slog.Logger
	Now  func() time.Time
	// Every and KeepEvery are how long it is between looks, and between writes to the
	// store; 0 for five seconds and five minutes.
	Every, KeepEvery time.Duration
}

// Activity looks at clusters. Flow is safe for concurrent use.
type Activity struct {
	Deps
	places chan struct{}

	mu     sync.Mutex
	tracks map[resource.Backing]*track // guarded by mu
	seen   map[string]time.Time        // guarded by mu: when a cluster last answered
}

// New returns an Activity that has seen nothing yet; Run looks.
func New(d Deps) *Activity {
	if d.Every == 0 {
		d.Every = every
	}
	if d.KeepEvery == 0 {
		d.KeepEvery = keepEvery
	}
	return &Activity{Deps: d, places: make(chan struct{}, atOnce), tracks: map[resource.Backing]*track{}, seen: map[string]time.Time{}}
}

// Flow returns what is known of a topic, false for nothing.
func (a *Activity) Flow(at resource.Backing) (Flow, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tracks[at]
	if t == nil || t.seen.IsZero() {
		return Flow{}, false
	}
	return t.flow(a.Now()), true
}

// Run looks until ctx ends.
func (a *Activity) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { a.keepSometimes(ctx) })
	running := map[string]*watch{}
	for ctx.Err() == nil {
		m := a.Plane.Model()
		wanted := topicsOf(m)
		for name, w := range running {
			if next := wanted[name]; next.cluster == nil || next.cluster != w.cluster {
				w.stop()
				delete(running, name)
			}
		}
		for name, next := range wanted {
			if w := running[name]; w != nil {
				w.set(next.topics)
				continue
			}
			if len(next.topics) == MaxTopics {
				a.Log.Warn("what flows through a cluster's topics is known of so many only", "cluster", name, "topics", MaxTopics)
			}
			a.recall(ctx, name, next.topics)
			w := &watch{activity: a, cluster: next.cluster, topics: next.topics}
			inner, stop := context.WithCancel(ctx)
			w.stop = stop
			running[name] = w
			group.Go(func() { w.run(inner) })
		}
		a.forget(wanted)
		a.Plane.Wait(ctx, m.Seq(), time.Minute)
	}
}

// clusterTopics is a cluster with the topics that are looked at.
type clusterTopics struct {
	cluster *resource.Cluster
	topics  []string // sorted
}

// topicsOf returns the topics that versions offer somewhere, by cluster.
func topicsOf(m *control.Model) map[string]clusterTopics {
	all := map[string]map[string]bool{}
	for _, v := range m.Set().Versions {
		r := m.Get(v.Key())
		if r == nil {
			continue
		}
		for _, o := range m.Offerings(r) {
			for _, by := range o.Offer.Channels {
				if at, mapped := by[o.Environment]; mapped {
					if all[at.Cluster] == nil {
						all[at.Cluster] = map[string]bool{}
					}
					all[at.Cluster][at.Topic] = true
				}
			}
		}
	}
	out := map[string]clusterTopics{}
	for name, topics := range all {
		if r := m.Get(resource.Key{Kind: resource.KindCluster, Name: name}); r != nil {
			sorted := slices.Sorted(maps.Keys(topics))
			out[name] = clusterTopics{r.Document.(*resource.Cluster), sorted[:min(len(sorted), MaxTopics)]}
		}
	}
	return out
}

// forget drops what is offered no longer.
func (a *Activity) forget(wanted map[string]clusterTopics) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at := range a.tracks {
		if _, there := slices.BinarySearch(wanted[at.Cluster].topics, at.Topic); !there {
			delete(a.tracks, at)
		}
	}
}

// track returns that of a topic, a new one where there is none. mu is held.
func (a *Activity) track(at resource.Backing) *track {
	t := a.tracks[at]
	if t == nil {
		t = &track{}
		a.tracks[at] = t
	}
	return t
}

// watch looks at one cluster.
type watch struct {
	activity *Activity
	cluster  *resource.Cluster
	stop     context.CancelFunc

	mu     sync.Mutex
	topics []string // guarded by mu; not changed, but replaced

	open     Cluster
	asked    map[string]bool // whose last event was asked for
	settings time.Time       // when they were looked at last
}

func (w *watch) set(topics []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.topics = topics
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	a, name := w.activity, w.cluster.Name()
	defer func() {
		if w.open != nil {
			w.open.Close()
		}
	}()
	h := fnv.New32a()
	fmt.Fprint(h, name)
	timer := time.NewTimer(time.Duration(h.Sum32()%1000) * a.Every / 20_000) // not all at one time
	defer timer.Stop()
	wait, failing := a.Every, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case a.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := w.look(ctx)
		<-a.places
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				a.Log.Warn("what flows through a cluster's topics is not known while it cannot be asked", "cluster", name, "err", err)
			}
			if failing, wait = true, min(2*wait, slowest); w.open != nil { // the next time with the secrets of then
				w.open.Close()
				w.open = nil
			}
		default:
			if failing {
				a.Log.Info("what flows through a cluster's topics is known again", "cluster", name)
			}
			failing, wait = false, a.Every
		}
		timer.Reset(wait)
	}
}

// look asks once.
func (w *watch) look(ctx context.Context) (err error) {
	a, name := w.activity, w.cluster.Name()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.mu.Lock()
	topics := w.topics
	w.mu.Unlock()
	if w.open == nil {
		if w.open, err = a.Open(ctx, w.cluster); err != nil {
			w.open = nil
			return err
		}
	}
	ends, err := w.open.Ends(ctx, topics)
	if err != nil {
		return err
	}
	now := a.Now()
	var unknown []string // of which nobody knows when the last record came
	a.mu.Lock()
	a.seen[name] = now
	for topic, end := range ends {
		t := a.track(resource.Backing{Cluster: name, Topic: topic})
		t.observe(now, end)
		if t.last.IsZero() && end.Offset > 0 && !w.asked[topic] {
			unknown = append(unknown, topic)
		}
	}
	a.mu.Unlock()
	if len(unknown) > 0 {
		last, err := w.open.LastEvents(ctx, unknown)
		if err != nil {
			a.Log.Debug("when the last records came cannot be told", "cluster", name, "err", err)
		}
		if w.asked == nil {
			w.asked = map[string]bool{}
		}
		a.mu.Lock()
		for _, topic := range unknown {
			w.asked[topic] = true
			if at, there := last[topic]; there && at.Before(now) {
				if t := a.track(resource.Backing{Cluster: name, Topic: topic}); t.last.IsZero() {
					t.last = at
				}
			}
		}
		a.mu.Unlock()
	}
	if now.Sub(w.settings) >= settingsEvery || len(unknown) > 0 {
		w.settings = now
		all, err := w.open.Retentions(ctx, topics)
		if err != nil {
			a.Log.Debug("how long records are kept cannot be told", "cluster", name, "err", err)
		}
		a.mu.Lock()
		for topic, kept := range all {
			if t := a.tracks[resource.Backing{Cluster: name, Topic: topic}]; t != nil {
				t.retention = kept
			}
		}
		a.mu.Unlock()
	}
	return nil
}
