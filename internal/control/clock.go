package control

import (
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/notify"
	"sluice/internal/resource"
)

const day = 24 * time.Hour

// How long before their end the owners of a credential are told, and those who use a
// version, and how long before a brown-out.
var (
	credentialWarnings = []time.Duration{30 * day, 14 * day, 7 * day, day}
	versionWarnings    = []time.Duration{90 * day, 30 * day, 7 * day, day}
)

const brownoutWarning = day

// clock does what is due by itself. What is due has its effect on clients at its
// moment, wherever the control plane is; this is how documents and the audit log come
// to know. It remembers what is due when, and looks at documents again that changed.
type clock struct {
	plane *Plane
	seq   int64                 // of the model that is known; all below is of it
	dues  map[resource.Key]*due // nil before the first
	queue dueQueue
}

// due is a document with something to be done, and when.
type due struct {
	key resource.Key
	at  time.Time
	i   int // in the queue
}

// dueQueue has what is due first in front; see container/heap.
type dueQueue []*due

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q dueQueue) Swap(i, j int)      { q[i], q[j], q[i].i, q[j].i = q[j], q[i], j, i }

// Push adds what the queue is given; it is for container/heap.
func (q *dueQueue) Push(x any) {
	d := x.(*due)
	d.i = len(*q)
	*q = append(*q, d)
}

// Pop takes the last one away; it is for container/heap.
func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last], *q = nil, (*q)[:last]
	return d
}

// retry is after how long something is tried again that could not be done, or left
// nothing changed.
const retry = time.Minute

// tick does what is due now.
func (k *clock) tick(ctx context.Context) {
	p := k.plane
	if _, err := k.follow(ctx, p.Model()); err != nil {
		return // nothing could be done either, and refresh tells of it
	}
	now := p.now()
	for len(k.queue) > 0 && !now.Before(k.queue[0].at) && ctx.Err() == nil {
		key := k.queue[0].key
		k.set(key, now.Add(retry)) // the change that is made is looked at with the others
		if err := p.pass(ctx, key); err != nil && ctx.Err() == nil {
			p.log.Error("what is due by itself cannot be done now, and is tried again", "document", key.String(), "err", err)
		}
	}
}

// follow gets to know what is due in a model, and returns how many documents it had to
// look at: those that changed, or all of them where that is not known.
func (k *clock) follow(ctx context.Context, m *Model) (looked int, err error) {
	if k.dues != nil && m.seq == k.seq {
		return 0, nil
	}
	var changes []Change
	known := false
	if k.dues != nil && m.seq > k.seq && m.seq-k.seq <= catchUpBy {
		if err := k.plane.store.Read(ctx, func(r Reader) error {
			changes, known, err = r.Changes(k.seq, catchUpBy)
			return err
		}); err != nil {
			return 0, err
		}
	}
	k.seq = m.seq
	if known {
		for _, c := range changes { // later ones than the model's, too, which come again
			k.look(m, c.Key)
		}
		return len(changes), nil
	}
	k.dues, k.queue = map[resource.Key]*due{}, nil
	for key := range m.records {
		k.look(m, key)
	}
	return len(m.records), nil
}

// look notes when something is to be done with a document.
func (k *clock) look(m *Model, key resource.Key) {
	at := time.Time{}
	if r := m.Get(key); r != nil {
		at = k.due(m, r)
	}
	k.set(key, at)
}

// set notes when a document is due; never with the zero time.
func (k *clock) set(key resource.Key, at time.Time) {
	d := k.dues[key]
	switch {
	case d == nil && at.IsZero():
	case d == nil:
		d = &due{key: key, at: at}
		k.dues[key] = d
		heap.Push(&k.queue, d)
	case at.IsZero():
		delete(k.dues, key)
		heap.Remove(&k.queue, d.i)
	default:
		d.at = at
		heap.Fix(&k.queue, d.i)
	}
}

// due returns when something is to be done with a record by itself; zero for never.
func (k *clock) due(m *Model, r *Record) time.Time {
	var first time.Time
	consider := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	state := stateOf(r.Document)
	switch d := r.Document.(type) {
	case *resource.Credential:
		consider(m.proofs[d.Name()].ending)
		if end := endOf(d); !end.IsZero() && (state == lifecycle.Active || state == lifecycle.Retiring) {
			consider(end)
			consider(warnAt(r, end))
		}
	case *resource.Subscription:
		switch state {
		case lifecycle.Active, lifecycle.Suspended:
			consider(d.Spec.Expires)
		case lifecycle.Pending:
			consider(r.Status.Since.Add(lifecycle.WaitsFor))
		}
	case *resource.Version:
		if l := d.Spec.Lifecycle; state == lifecycle.Deprecated && !l.Sunset.IsZero() {
			consider(l.Sunset.Add(time.Duration(l.Grace)))
			for _, w := range versionWarningsOf(r, l) {
				consider(w.at)
			}
		}
		for _, p := range r.Status.Proposals {
			consider(p.Time.Add(lifecycle.WaitsFor))
		}
	}
	return first
}

// endOf returns when a credential ends by itself; zero for never.
func endOf(d *resource.Credential) time.Time {
	if end := d.Spec.Until; !end.IsZero() && (d.Spec.NotAfter.IsZero() || end.Before(d.Spec.NotAfter)) {
		return end
	}
	return d.Spec.NotAfter
}

// warnAt returns when the owners of a credential are to be told next of its end; zero
// when they have been told all. One that was made later than that is not told of.
func warnAt(r *Record, end time.Time) time.Time {
	return warned{r.Created, r.Status.Warned}.next(end, credentialWarnings)
}

// warned is what is to be warned of: nothing before since, and nothing up to last.
type warned struct{ since, last time.Time }

// next returns the first moment before an end that is to come; zero when there is none.
func (w warned) next(end time.Time, before []time.Duration) time.Time {
	for _, b := range before {
		if at := end.Add(-b); at.After(w.since) && at.After(w.last) {
			return at
		}
	}
	return time.Time{}
}

// ahead is something that those who use a deprecated version, and its owners, are to be
// told of: the brown-out, or none when it is the end.
type ahead struct {
	at       time.Time
	brownout *resource.Window
}

// versionWarningsOf returns what is to be told next of each thing that is ahead of a
// deprecated version. Of the moments before its dates were set none counts: who set
// them told of them.
func versionWarningsOf(r *Record, l resource.Lifecycle) (all []ahead) {
	w := warned{r.Status.Since, r.Status.Warned}
	if at := w.next(l.Sunset, versionWarnings); !at.IsZero() {
		all = append(all, ahead{at: at})
	}
	for i, window := range l.Brownouts {
		if at := w.next(window.From, []time.Duration{brownoutWarning}); !at.IsZero() {
			all = append(all, ahead{at, &l.Brownouts[i]})
		}
	}
	return all
}

// pass does with one record what is due by itself, if it still is.
func (p *Plane) pass(ctx context.Context, key resource.Key) error {
	q := Request{Actor: identity.System(), ID: NewRequestID()}
	return p.change(ctx, q, func(c *changing) error {
		r := c.edit.Get(key)
		if r == nil {
			return nil
		}
		switch d := r.Document.(type) {
		case *resource.Credential:
			return c.passCredential(r, d)
		case *resource.Subscription:
			if s := stateOf(d); (s == lifecycle.Active || s == lifecycle.Suspended) && !d.Spec.Expires.IsZero() && !c.now.Before(d.Spec.Expires) {
				return c.act(r, Move{Key: key, Action: lifecycle.Expire})
			}
			if stateOf(d) == lifecycle.Pending && !c.now.Before(r.Status.Since.Add(lifecycle.WaitsFor)) {
				c.q.Reason = undecided
				return c.act(r, Move{Key: key, Action: lifecycle.Reject})
			}
		case *resource.Version:
			if overdue := c.overdue(r); len(overdue) > 0 {
				next := c.following(r)
				c.q.Reason = undecided
				next.Status.Proposals = maps.Clone(r.Status.Proposals)
				for _, environment := range overdue {
					delete(next.Status.Proposals, environment)
				}
				if err := c.put(next, next.links()); err != nil {
					return err
				}
				if err := c.tell(next, "reject", map[string]any{"environments": overdue, "why": undecided}); err != nil {
					return err
				}
				r = next
			}
			l := d.Spec.Lifecycle
			if stateOf(d) == lifecycle.Deprecated && !l.Sunset.IsZero() && !c.now.Before(l.Sunset.Add(time.Duration(l.Grace))) {
				return c.act(r, Move{Key: key, Action: lifecycle.Retire})
			}
			if stateOf(d) == lifecycle.Deprecated && !l.Sunset.IsZero() {
				return c.warnVersion(r, l)
			}
		}
		return nil
	})
}

// undecided is why the clock rejects what waits.
const undecided = "nobody decided in time"

// overdue returns the environments for which revisions have waited too long.
func (c *changing) overdue(r *Record) []string {
	var out []string
	for environment, p := range r.Status.Proposals {
		if !c.now.Before(p.Time.Add(lifecycle.WaitsFor)) {
			out = append(out, environment)
		}
	}
	slices.Sort(out)
	return out
}

// passCredential ends a credential, or secrets of it, or tells that it will end.
func (c *changing) passCredential(r *Record, d *resource.Credential) error {
	end, state := endOf(d), stateOf(d)
	live := state == lifecycle.Active || state == lifecycle.Retiring
	if live && !end.IsZero() && !c.now.Before(end) {
		if err := c.act(r, Move{Key: r.Key(), Action: lifecycle.Expire}); err != nil {
			return err
		}
		r = c.edit.Get(r.Key())
	}
	known, err := c.w.Verifiers(d.Name())
	if err != nil {
		return fmt.Errorf("read the verifiers of %s: %w", r.Key(), err)
	}
	var ended []int
	for i := range known {
		if v := &known[i]; v.Revoked.IsZero() && v.ended(c.now) {
			v.Revoked = v.Until
			ended = append(ended, v.N)
			if err := c.w.PutVerifier(d.Name(), *v); err != nil {
				return fmt.Errorf("end a secret of %s: %w", r.Key(), err)
			}
		}
	}
	if len(ended) > 0 {
		if c.edit.proved[d.Name()], err = proofsOf(known); err != nil {
			return err
		}
		next := c.following(r)
		if err := c.put(next, links(d)); err != nil {
			return err
		}
		if err := c.tell(next, "end-secret", map[string]any{"secrets": ended}); err != nil {
			return err
		}
		r = next
	}
	at := warnAt(r, end)
	if !live || end.IsZero() || !c.now.Before(end) || at.IsZero() || c.now.Before(at) {
		return nil
	}
	next := c.following(r)
	next.Status.Warned = c.now
	if err := c.put(next, links(d)); err != nil {
		return err
	}
	c.plane.log.Warn("a credential ends soon", "credential", d.Name(), "application", d.Spec.Application, "ends", end.UTC().Format(time.RFC3339))
	days := int(end.Sub(c.now)/day) + 1
	text := fmt.Sprintf("It is of application %s and ends on %s, in %d days at most. Make a new one, and move to it.", d.Spec.Application, moment(end), days)
	if err := c.tellSide(next, told{"credential.ends-soon", toOwner, developers}, notify.Data{State: string(state), Title: "ends on " + moment(end), Text: text, Until: end}); err != nil {
		return err
	}
	return c.tell(next, "warn-end", map[string]any{"ends": end})
}

// warnVersion tells those who use a deprecated version, and its owners, what comes, once
// it is due. What fell due more than once while nobody looked is told once.
func (c *changing) warnVersion(r *Record, l resource.Lifecycle) error {
	due := slices.DeleteFunc(versionWarningsOf(r, l), func(w ahead) bool { return c.now.Before(w.at) })
	if len(due) == 0 {
		return nil
	}
	next := c.following(r)
	next.Status.Warned = c.now
	if err := c.put(next, next.links()); err != nil {
		return err
	}
	for _, w := range due {
		event, d := "version.ends-soon", notify.Data{State: string(lifecycle.Deprecated), Title: "ends on " + moment(l.Sunset), Text: ends(l), Until: l.Sunset, Successor: l.Successor}
		if b := w.brownout; b != nil {
			if !c.now.Before(b.To) {
				continue // it is over: nobody is told of it any more
			}
			event, d.Title, d.Until = "version.brownout-ahead", "is slowed down from "+moment(b.From)+" to "+moment(b.To), b.From
		}
		if err := c.tellSide(next, told{event, toConsumers, developers}, d); err != nil {
			return err
		}
		using := 0
		for _, applications := range c.consumers(next.Key().Name) {
			using += len(applications)
		}
		d.Text += fmt.Sprintf(" Applications that still use it: %d.", using)
		if err := c.tellSide(next, told{event, toOwner, providers}, d); err != nil {
			return err
		}
	}
	return c.tell(next, "warn-end", map[string]any{"ends": l.Sunset})
}

// act makes a move of a record by the system.
func (c *changing) act(before *Record, m Move) error {
	after := c.following(before)
	var err error
	if after.Document, err = copied(before.Document); err != nil {
		return err
	}
	return c.step(before, after, m)
}

// following is the record that follows one, so far with the same document.
func (c *changing) following(r *Record) *Record {
	next := *r
	next.Serial, next.Changed = r.Serial+1, c.now
	return &next
}
