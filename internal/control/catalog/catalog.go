// Package catalog is what the portal shows of APIs: the list with its facets, the page of
// an API, the reference of its records, what changed, guides, and the search through all
// of it. Its main type is Catalog. What it returns is made for pages, so that one request
// is one page, and its types are the bodies of the management API.
//
// Everything goes by what somebody may see, exactly as documents do: what is hidden from
// them is in no list, no count and no search. It knows clusters and backing topics only to
// ask what flows through them, and never shows them, nor what waits.
package catalog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/catalog/page"
	"sluice/internal/control/contract"
	"sluice/internal/resource"
)

// Deps are what a Catalog works with.
type Deps struct {
	Plane *control.Plane
	// Flow says what flows through a backing topic, false where nothing is known; nil where
	// nobody looks.
	Flow func(environment string, at resource.Backing) (Flow, bool)
	Log  *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Flow is what flows through a topic.
type Flow struct {
	// Rate is records a second now; NaN when that is not known.
	Rate float64
	// LastEvent is when the last record came, zero for never, or for not known.
	LastEvent time.Time
	// Points are records a second in each half-hour of the last day, the oldest first; NaN
	// for those of which nothing is known.
	Points []float64
	// Today counts the records since midnight, UTC.
	Today int64
	// Partitions is 0 where it is not known.
	Partitions int
	// Retention is how long records are kept: 0 where it is not known, less for ever.
	Retention time.Duration
}

// Catalog is made from the documents of a control plane, and follows them. It is safe
// for concurrent use.
type Catalog struct {
	plane    *control.Plane
	flow     func(environment string, at resource.Backing) (Flow, bool)
	log      *slog.Logger
	now      func() time.Time
	renderer *page.Renderer

	current  atomic.Pointer[snapshot]
	building sync.Mutex             // guards what follows, and taken before models.mu
	read     map[stageKey]*contents // of contracts, as far as stages are there

	models models
}

// New returns a catalog of what a plane has.
func New(deps Deps) *Catalog {
	c := &Catalog{plane: deps.Plane, flow: deps.Flow, log: deps.Log, now: deps.Now, renderer: page.NewRenderer(), read: map[stageKey]*contents{}}
	if c.now == nil {
		c.now = time.Now
	}
	if c.flow == nil {
		c.flow = func(string, resource.Backing) (Flow, bool) { return Flow{}, false }
	}
	return c
}

// How long Run waits for a change before it looks again, and how long it lets others come
// together with one.
const (
	patience = time.Minute
	pause    = 200 * time.Millisecond
)

// Run keeps the catalog up to date until ctx ends, so that no request has to wait for it
// after a change of much.
func (c *Catalog) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s := c.upToDate(ctx)
		if s == nil {
			return nil
		}
		c.plane.Wait(ctx, s.model.Seq(), patience)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// at returns the catalog of the documents as they are now. What it reads for that is not
// only for who asks, who may go.
func (c *Catalog) at(ctx context.Context) *snapshot { return c.upToDate(context.WithoutCancel(ctx)) }

// upToDate is at; nil when ctx ends meanwhile.
func (c *Catalog) upToDate(ctx context.Context) *snapshot {
	m := c.plane.Model()
	if s := c.current.Load(); s != nil && s.model.Seq() >= m.Seq() {
		return s
	}
	c.building.Lock()
	defer c.building.Unlock()
	s := c.current.Load()
	if s != nil && s.model.Seq() >= m.Seq() {
		return s
	}
	if s = c.build(ctx, m, s); s != nil {
		c.current.Store(s)
	}
	return s
}

// models keeps the contracts that were looked at last.
type models struct {
	mu    sync.Mutex
	known map[stageKey]*contract.Model // guarded by mu
	order []stageKey                   // guarded by mu: the oldest first
}

// maxModels bounds what is kept: a contract is up to some megabytes.
const maxModels = 32

// model returns the contract of a revision as an environment offers it.
func (c *Catalog) model(ctx context.Context, key stageKey, of *control.Record) (*contract.Model, error) {
	c.models.mu.Lock()
	m := c.models.known[key]
	c.models.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := c.plane.Offered(ctx, of, key.revision, key.environment)
	if err != nil {
		return nil, err
	}
	c.models.mu.Lock()
	defer c.models.mu.Unlock()
	if c.models.known == nil {
		c.models.known = map[stageKey]*contract.Model{}
	}
	if c.models.known[key] == nil {
		if len(c.models.order) == maxModels {
			delete(c.models.known, c.models.order[0])
			c.models.order = c.models.order[1:]
		}
		c.models.known[key], c.models.order = m, append(c.models.order, key)
	}
	return m, nil
}
