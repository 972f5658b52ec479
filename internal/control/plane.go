package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Deps are what a Plane works with.
type Deps struct {
	Store Store
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Seed is the installation's; see publish.Options.
	Seed []byte
	// Sealer signs heads of the audit log, which an export ends with.
	Sealer *audit.Sealer
	// Deliver brings notifications to their receivers. Nobody is told by a channel that
	// is not in it.
	Deliver map[notify.Channel]notify.Deliver
	// Refusals are what gateways refused; nil where no gateway is at hand.
	Refusals Refusals
	// Inventory reads clusters and schema registries; nil where none are reached.
	Inventory Inventory
}

// Plane is the control plane: everything that is changed is changed here. It is safe
// for concurrent use.
type Plane struct {
	store  Store
	log    *slog.Logger
	now    func() time.Time
	seed   []byte
	sealer *audit.Sealer

	refusals  Refusals  // nil for none
	inventory Inventory // nil for none
	deliver   map[notify.Channel]notify.Deliver
	testing   chan struct{} // has a place for each test of notifications that may go on
	comparing chan struct{} // has a place for each change whose revisions are compared

	model   atomic.Pointer[Model]
	changed chan struct{}                 // has a value when the model may have become another one
	next    atomic.Pointer[chan struct{}] // closed when the model becomes another one
}

// New reads everything from the store. The error is the store's.
func New(ctx context.Context, deps Deps) (*Plane, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	p := &Plane{store: deps.Store, log: deps.Log, now: deps.Now, seed: deps.Seed, sealer: deps.Sealer, refusals: deps.Refusals, inventory: deps.Inventory, deliver: deps.Deliver, testing: make(chan struct{}, maxTests), comparing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), changed: make(chan struct{}, 1)}
	next := make(chan struct{})
	p.next.Store(&next)
	if err := p.refresh(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Model is what is there now. It does not change any more.
func (p *Plane) Model() *Model { return p.model.Load() }

// Directory says who has which roles now.
func (p *Plane) Directory() *identity.Directory { return p.Model().Directory() }

// Changed has a value after the model has become another one. It is for one reader.
func (p *Plane) Changed() <-chan struct{} { return p.changed }

// refreshEvery is how often the store is asked what other processes have changed.
const refreshEvery = time.Second

// Run follows what other processes change in the store, until ctx ends.
func (p *Plane) Run(ctx context.Context) error {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	failing := false
	clock := clock{plane: p}
	for {
		clock.tick(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := p.refresh(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			p.log.Error("the store cannot be read: what is in force stays", "err", err)
		case err == nil && failing:
			failing = false
			p.log.Info("the store can be read again")
		}
	}
}

func (p *Plane) refresh(ctx context.Context) error {
	return p.store.Read(ctx, func(r Reader) error {
		m, err := load(r, p.model.Load())
		if err != nil {
			return err
		}
		p.put(m)
		return nil
	})
}

// put makes a model the one that is there, unless a newer one is.
func (p *Plane) put(m *Model) {
	for {
		old := p.model.Load()
		if old != nil && old.seq >= m.seq {
			return
		}
		if p.model.CompareAndSwap(old, m) {
			break
		}
	}
	next := make(chan struct{})
	close(*p.next.Swap(&next))
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Request is who asks for something, and how.
type Request struct {
	Actor identity.Actor
	// ID is that of the request; answer, log and audit row carry it.
	ID string
	// Address is where the request came from.
	Address string
	// Reason is what the actor gives for it.
	Reason string
	// DryRun finds out what would happen, and changes nothing.
	DryRun bool
}

// NewRequestID returns an id for a request.
func NewRequestID() string { return "req_" + rand.Text() }

// row begins an audit row for a request.
func (q Request) row(now time.Time, action string) audit.Row {
	return audit.Row{Time: now, Actor: q.Actor.String(), Action: action, Result: "ok", Reason: q.Reason, Request: q.ID, Address: q.Address}
}

// errDry ends a dry run: the store takes everything back.
var errDry = errors.New("dry run")

// change carries out f in its turn, and everything it writes or nothing. f gets the
// documents as they are. It is called again when something has to be compared first.
func (p *Plane) change(ctx context.Context, q Request, f func(*changing) error) error {
	found := map[comparison][]Finding{}
	for turn := 1; ; turn++ {
		c := &changing{plane: p, q: q, found: found, turn: turn}
		err := p.turn(ctx, c, f)
		if !errors.Is(err, errTasks) {
			return err
		}
		if err := p.compare(ctx, c.tasks, found); err != nil {
			return err
		}
	}
}

// turn is one turn of a change. Its error is errTasks when there is something to compare.
func (p *Plane) turn(ctx context.Context, c *changing, f func(*changing) error) error {
	var done *Model
	err := p.store.Write(ctx, func(w Writer) error {
		m, err := load(w, p.model.Load())
		if err != nil {
			return err
		}
		*c = changing{plane: p, w: w, q: c.q, now: p.now().UTC().Truncate(time.Microsecond), edit: m.edit(), found: c.found, turn: c.turn}
		if err := f(c); err != nil {
			return err
		}
		if len(c.tasks) > 0 {
			return errTasks
		}
		if c.q.DryRun {
			return errDry
		}
		if err := c.notify(); err != nil {
			return err
		}
		seq, err := w.Seq()
		if err != nil {
			return err
		}
		done = c.edit.done(seq)
		return nil
	})
	if errors.Is(err, errDry) {
		return nil
	}
	if err != nil {
		return err
	}
	p.put(done)
	return nil
}

// changing is one change under way.
type changing struct {
	plane *Plane
	w     Writer
	q     Request
	now   time.Time
	edit  *edit
	named map[resource.Key]bool // by the request
	// silent tells nobody: what happened, happened elsewhere
	silent bool
	// proposal is the environment whose proposal is being decided, "" for none
	proposal string
	// published says which teams publish from clusters, as far as somebody has asked
	published map[resource.Key]map[resource.Backing][]string
	// found is what came of comparing revisions, tasks what is still to be compared, and
	// turn how often there was one, this one included
	found map[comparison][]Finding
	tasks []task
	turn  int
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// A ProblemsError says what is wrong with documents. Its kind is fault.Invalid.
type ProblemsError struct {
	Problems []resource.Problem
}

func (e *ProblemsError) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	return fmt.Sprintf("%d problems, the first one: %s", len(e.Problems), e.Problems[0])
}

// Unwrap gives the error its kind.
func (e *ProblemsError) Unwrap() error { return fault.New(fault.Invalid, "%s", e.Error()) }
