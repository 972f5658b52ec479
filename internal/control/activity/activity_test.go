package activity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/activity"
	"sluice/internal/control/identity"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

const documents = `
apiVersion: sluice/v1
kind: Organisation
metadata: {name: acme}
spec: {members: {root: [org-admin]}}
---
apiVersion: sluice/v1
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {root: [publisher]}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: near, environment: prod}
spec: {bootstrap: ["127.0.0.1:1"], publish: {shop: ["*"]}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: far, environment: prod}
spec: {bootstrap: ["127.0.0.1:2"], publish: {shop: ["*"]}}
---
apiVersion: sluice/v1
kind: API
metadata: {name: orders, team: shop}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {address: orders.placed, send: true}, cancelled: {address: orders.cancelled, send: true}}}
  channels: {placed: {prod: {cluster: near, topic: shop.orders}}, cancelled: {prod: {cluster: far, topic: shop.cancelled}}}
  lifecycle: {state: published}
`

// world is a control plane, and clusters that answer what the test says.
type world struct {
	t     *testing.T
	store *sqlstore.Store
	plane *control.Plane

	mu     sync.Mutex
	now    time.Time
	ends   map[string]int64 // by topic
	away   map[string]bool  // clusters
	asked  map[string][]string
	opened int
	looked chan string // clusters that answered
}

func newWorld(t *testing.T) *world {
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{t: t, store: store, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), ends: map[string]int64{"shop.orders": 100, "shop.cancelled": 7}, away: map[string]bool{}, asked: map[string][]string{}, looked: make(chan string, 100)}
	if w.plane, err = control.New(t.Context(), control.Deps{Store: store, Log: slog.New(slog.DiscardHandler), Seed: make([]byte, 32)}); err != nil {
		t.Fatal(err)
	}
	w.apply(documents)
	return w
}

func (w *world) apply(text string) {
	w.t.Helper()
	set, problems := resource.ReadRequest("documents.yaml", []byte(text))
	for _, p := range resource.Errors(problems) {
		w.t.Fatal(p)
	}
	for _, kind := range resource.Kinds { // so that roles count for what follows
		var all []resource.Any
		for d := range set.All() {
			if d.Key().Kind == kind {
				all = append(all, d)
			}
		}
		root := identity.Someone("root", true, w.plane.Directory().Of("root", identity.Groups{}))
		if _, err := w.plane.Apply(w.t.Context(), control.Request{Actor: root, ID: "test"}, control.Wanted{Documents: all}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// run starts an Activity that ends with what is returned.
func (w *world) run() (*activity.Activity, func()) {
	a := activity.New(activity.Deps{
		Plane: w.plane, Store: w.store, Log: slog.New(slog.DiscardHandler), Every: 2 * time.Millisecond, KeepEvery: time.Hour,
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Open: func(_ context.Context, d *resource.Cluster) (activity.Cluster, error) {
			w.set(func() { w.opened++ })
			return &cluster{w, d.Name()}, nil
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	stop := func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return a, stop
}

// wait blocks until something is known.
func (w *world) wait(a *activity.Activity, at resource.Backing, what string, known func(activity.Flow) bool) activity.Flow {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if f, ok := a.Flow(at); ok && known(f) {
			return f
		}
		select {
		case <-w.looked:
		case <-deadline:
			f, ok := a.Flow(at)
			w.t.Fatalf("%v: %s: got %+v, %v", at, what, f, ok)
		}
	}
}

type cluster struct {
	*world
	name string
}

func (c *cluster) Ends(_ context.Context, topics []string) (map[string]activity.End, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		select {
		case c.looked <- c.name:
		default:
		}
	}()
	if c.away[c.name] {
		return nil, errors.New("away")
	}
	c.asked[c.name] = topics
	out := map[string]activity.End{}
	for _, topic := range topics {
		if end, there := c.ends[topic]; there {
			out[topic] = activity.End{Offset: end, Partitions: 3}
		}
	}
	return out, nil
}

func (c *cluster) LastEvents(_ context.Context, topics []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for _, topic := range topics {
		out[topic] = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	}
	return out, nil
}

func (c *cluster) Retentions(_ context.Context, topics []string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for _, topic := range topics {
		out[topic] = 7 * 24 * time.Hour
	}
	return out, nil
}

func (*cluster) Close() {}

var (
	placed    = resource.Backing{Cluster: "near", Topic: "shop.orders"}
	cancelled = resource.Backing{Cluster: "far", Topic: "shop.cancelled"}
)

// TestActivity follows two clusters, one of which goes away, over a restart and a change.
func TestActivity(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.away["far"] = true })
	a, stop := w.run()
	first := w.wait(a, placed, "partitions, retention, the last event", func(f activity.Flow) bool { return f.Retention > 0 })
	if first.Partitions != 3 || first.Retention != 7*24*time.Hour || first.LastEvent.Hour() != 9 || first.Today != 0 || !math.IsNaN(first.Rate) && first.Rate != 0 {
		t.Errorf("at first: got %+v", first)
	}
	if f, known := a.Flow(cancelled); known {
		t.Errorf("of a cluster that is away: got %+v", f)
	}
	if f, known := a.Flow(resource.Backing{Cluster: "near", Topic: "of.somebody.else"}); known {
		t.Errorf("of a topic that is not offered: got %+v", f)
	}
	for range 20 {
		w.set(func() { w.now = w.now.Add(5 * time.Second); w.ends["shop.orders"] += 10 })
		w.wait(a, placed, "a look of now", func(f activity.Flow) bool { return f.LastEvent.Equal(w.time()) })
	}
	f := w.wait(a, placed, "the rate", func(f activity.Flow) bool { return f.Rate == 2 })
	if f.Today != 200 || f.Points[47] != 2 || !math.IsNaN(f.Points[46]) {
		t.Errorf("after 100 seconds of 2 a second: got %+v", f)
	}
	w.set(func() { w.away["far"] = false })
	w.wait(a, cancelled, "the cluster that is back", func(f activity.Flow) bool { return f.Partitions == 3 })

	stop() // what was seen is there again, and what came meanwhile counts
	w.set(func() { w.now = w.now.Add(time.Minute); w.ends["shop.orders"] += 50 })
	a, stop = w.run()
	f = w.wait(a, placed, "what came while nobody looked", func(f activity.Flow) bool { return f.Today == 250 })
	if !f.LastEvent.Equal(w.time()) || f.Points[47] < 1 || f.Points[47] > 2 {
		t.Errorf("after the restart: got %+v", f)
	}

	// The document names another topic now.
	w.apply(`
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {address: orders.placed, send: true}, cancelled: {address: orders.cancelled, send: true}}}
  channels: {placed: {prod: {cluster: near, topic: shop.orders.next}}, cancelled: {prod: {cluster: far, topic: shop.cancelled}}}
  lifecycle: {state: published}
`)
	next := resource.Backing{Cluster: "near", Topic: "shop.orders.next"}
	w.set(func() { w.ends[next.Topic] = 1 })
	w.wait(a, next, "the topic that the document names now", func(activity.Flow) bool { return true })
	if f, known := a.Flow(placed); known {
		t.Errorf("of the topic before: got %+v", f)
	}
	w.set(func() {
		if !slices.Equal(w.asked["near"], []string{next.Topic}) {
			t.Errorf("asked for %v", w.asked["near"])
		}
	})
	stop()
	if err := w.store.Read(t.Context(), func(r control.Reader) error {
		note, err := r.Note("activity near")
		if err == nil && (len(note) == 0 || len(note) > 400) {
			err = fmt.Errorf("%d bytes are kept of one topic", len(note))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
