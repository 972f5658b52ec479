package control

import (
	"context"
	"slices"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// stateOf returns the state that a document names; "" for kinds without one.
func stateOf(d resource.Any) lifecycle.State {
	switch d := d.(type) {
	case *resource.Version:
		return lifecycle.State(d.Spec.Lifecycle.State)
	case *resource.Subscription:
		return lifecycle.State(d.Spec.State)
	case *resource.Credential:
		return lifecycle.State(d.Spec.State)
	}
	return ""
}

// copied returns a document that can be changed without changing the given one.
func copied(d resource.Any) (resource.Any, error) {
	b, err := resource.Marshal(d)
	if err != nil {
		return nil, err
	}
	return resource.Unmarshal(b)
}

// settled returns a document as it is asked for, with what it leaves to the server
// as it was before.
func settled(d resource.Any, before *Record) (resource.Any, error) {
	d, err := copied(d)
	if err != nil {
		return nil, err
	}
	d.Meta().Team = ownTeam(d)
	if before == nil {
		return d, nil
	}
	switch d := d.(type) {
	case *resource.Version:
		if d.Spec.Lifecycle.State == "" {
			d.Spec.Lifecycle = before.Document.(*resource.Version).Spec.Lifecycle
		}
	case *resource.Subscription:
		if was := before.Document.(*resource.Subscription); d.Spec.State == "" && (was.Spec.Plan == d.Spec.Plan || stateOf(was) != lifecycle.Pending) { // another plan may approve by itself
			d.Spec.State, d.Spec.ClosedAt = was.Spec.State, was.Spec.ClosedAt
		}
	case *resource.Credential:
		if was := before.Document.(*resource.Credential); d.Spec.State == "" {
			d.Spec.State, d.Spec.Until = was.Spec.State, was.Spec.Until
		}
	}
	return d, nil
}

// ownTeam is the team that a document itself names: none for what belongs to
// something else.
func ownTeam(d resource.Any) string {
	switch d.Key().Kind {
	case resource.KindVersion, resource.KindSubscription, resource.KindCredential:
		return ""
	}
	return d.Meta().Team
}

// moves brings a record's document from one state into the one that it names, or that
// is due, step by step as the life cycle has it.
func (c *changing) moves(r *Record, from lifecycle.State) error {
	kind := r.Key().Kind
	if len(lifecycle.Moves(kind)) == 0 {
		return nil
	}
	to := stateOf(r.Document)
	subscription, _ := r.Document.(*resource.Subscription)
	automatic := subscription != nil && c.automatic(subscription)
	if to == "" && automatic {
		to = lifecycle.Active
	} else if to == "" {
		to = beginning(kind)
	}
	state := from
	if from != to {
		path := lifecycle.Path(kind, from, to)
		if path == nil {
			return fault.New(fault.Conflict, "%s is %s and cannot become %s", r.Key(), from, to)
		}
		for _, action := range path {
			actor := c.q.Actor
			if automatic && action == lifecycle.Approve {
				actor = identity.System()
			}
			next, err := c.move(r, actor, state, action)
			if err != nil {
				return err
			}
			state = next
		}
	}
	setState(r.Document, state, c.now)
	return nil
}

// beginning is the state of a document that names none.
func beginning(kind resource.Kind) lifecycle.State {
	return map[resource.Kind]lifecycle.State{
		resource.KindVersion: lifecycle.Draft, resource.KindSubscription: lifecycle.Pending, resource.KindCredential: lifecycle.Active,
	}[kind]
}

// takeOver notes the state with which a record comes from elsewhere.
func (c *changing) takeOver(r *Record) {
	kind := r.Key().Kind
	if len(lifecycle.Moves(kind)) == 0 {
		return
	}
	state := stateOf(r.Document)
	if state == "" {
		state = beginning(kind)
		setState(r.Document, state, c.now)
	}
	r.Status.step(c.now, c.q.Actor, takingOver, lifecycle.New, state, c.q.Reason)
}

// move makes one move, and notes it in the record's status.
func (c *changing) move(r *Record, actor identity.Actor, from lifecycle.State, action lifecycle.Action) (lifecycle.State, error) {
	o := lifecycle.Object{Object: c.object(r.Document, from == lifecycle.New), State: from}
	to, err := lifecycle.Next(actor, o, action, c.facts(r))
	if err != nil {
		return "", err
	}
	r.Status.step(c.now, actor, action, from, to, c.q.Reason)
	if r.Key().Kind == resource.KindVersion {
		r.Status.about(r.Status.Revision, "")
	}
	return to, nil
}

// facts are what the conditions of moves look at.
func (c *changing) facts(r *Record) lifecycle.Facts {
	f := lifecycle.Facts{Now: c.now, Since: r.Status.Since, Reason: c.q.Reason}
	for _, step := range slices.Backward(r.Status.Trail) {
		if step.From != step.To && f.Previous == "" {
			f.Previous = lifecycle.State(step.From)
		}
		if lifecycle.Action(step.Action) == lifecycle.Request && f.RequestedBy == "" {
			f.RequestedBy = step.Person
		}
		current := step.Environment == "" && step.Revision == r.Status.Revision && !step.Time.Before(r.Status.Since)
		if lifecycle.Action(step.Action) == lifecycle.Approve && f.ApprovedBy == "" && current {
			f.ApprovedBy = step.Person
		}
	}
	switch d := r.Document.(type) {
	case *resource.Version:
		l := d.Spec.Lifecycle
		f.Sunset, f.Grace, f.Successor = l.Sunset, time.Duration(l.Grace), l.Successor
		c.eyes(r, &f)
	case *resource.Subscription:
		f.Automatic, f.Ends = c.automatic(d), d.Spec.Expires
		f.FourEyes = c.environment(d.Metadata.Environment).FourEyes
	case *resource.Credential:
		f.Until, f.Ends = d.Spec.Until, d.Spec.NotAfter
		if !d.Spec.Until.IsZero() && (f.Ends.IsZero() || d.Spec.Until.Before(f.Ends)) {
			f.Ends = d.Spec.Until
		}
	}
	return f
}

// automatic says whether the plan of a subscription approves by itself.
func (c *changing) automatic(s *resource.Subscription) bool {
	r := c.edit.Get(resource.Key{Kind: resource.KindProduct, Name: s.Spec.Product})
	if r == nil {
		return false
	}
	return r.Document.(*resource.Product).Spec.Plans[s.Spec.Plan].Approval == "automatic"
}

// setState writes a state into a document, with the moment where it has one.
func setState(d resource.Any, state lifecycle.State, now time.Time) {
	now = now.Truncate(time.Second)
	switch d := d.(type) {
	case *resource.Version:
		l := &d.Spec.Lifecycle
		l.State = string(state)
		if state != lifecycle.Retired {
			l.RetiredAt = time.Time{}
		} else if l.RetiredAt.IsZero() {
			l.RetiredAt = now
		}
		if state != lifecycle.Blocked {
			l.BlockedAt = time.Time{}
		} else if l.BlockedAt.IsZero() {
			l.BlockedAt = now
		}
	case *resource.Subscription:
		d.Spec.State = string(state)
		if state != lifecycle.Closed {
			d.Spec.ClosedAt = time.Time{}
		} else if d.Spec.ClosedAt.IsZero() {
			d.Spec.ClosedAt = now
		}
	case *resource.Credential:
		d.Spec.State = string(state)
		if state != lifecycle.Retiring && state != lifecycle.Expired {
			d.Spec.Until = time.Time{}
		}
	}
}

// Move is what somebody wants to do with a document that has a life cycle.
type Move struct {
	Key    resource.Key
	Action lifecycle.Action
	// Sunset, Grace, Successor and Brownouts are for deprecating a version.
	Sunset    time.Time
	Grace     time.Duration
	Successor string
	Brownouts []resource.Window
	// Environment is where a revision of a version waits that is approved or rejected;
	// it may be left out where there is one only.
	Environment string
	// Revision is the one that is approved or rejected: another one may wait by now. An
	// approval has to name it, unless there is a Tag.
	Revision int
	// Plan is that of a subscription that is approved: whoever asked may ask for another
	// one by now. Empty for whatever it asks for.
	Plan string
	// Until is when a credential that retires ends.
	Until time.Time
	// Tag is the one that the document must have; 0 for any.
	Tag int64
}

// successor returns a record that the actor may see, and the one that will follow it,
// so far with the same document. The tag is the one that it must have; 0 for any.
func (c *changing) successor(key resource.Key, tag int64) (before, after *Record, err error) {
	before = c.edit.Get(key)
	if before == nil {
		return nil, nil, c.may(identity.Read, identity.Object{Kind: key.Kind, Name: key.Name, Absent: true})
	}
	if err := c.may(identity.Read, c.object(before.Document, false)); err != nil {
		return nil, nil, err
	}
	if tag != 0 && tag != before.Tag() {
		return nil, nil, meanwhile(before)
	}
	document, err := copied(before.Document)
	if err != nil {
		return nil, nil, err
	}
	return before, &Record{Document: document, Status: before.Status, Serial: before.Serial + 1, Team: before.Team, Organisation: before.Organisation,
		Owner: before.Owner, Created: before.Created, Changed: c.now}, nil
}

// Act makes a move of a document's life cycle, as a click or a command does. The
// error has a kind of fault.
func (p *Plane) Act(ctx context.Context, q Request, m Move) (*Record, error) {
	var after *Record
	err := p.change(ctx, q, func(c *changing) error {
		before, next, err := c.successor(m.Key, m.Tag)
		if err != nil {
			return err
		}
		after = next
		return c.step(before, after, m)
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// step makes a move of what is to become of a record, and writes it.
func (c *changing) step(before, after *Record, m Move) error {
	document := after.Document
	switch d := document.(type) {
	case *resource.Version:
		if m.Action == lifecycle.Deprecate {
			d.Spec.Lifecycle.Sunset, d.Spec.Lifecycle.Grace, d.Spec.Lifecycle.Successor = m.Sunset, resource.Duration(m.Grace), m.Successor
			d.Spec.Lifecycle.Brownouts = m.Brownouts
			if err := c.mayRefer(d, before); err != nil {
				return err
			}
		}
		if m.Action == lifecycle.Undeprecate {
			d.Spec.Lifecycle.Sunset, d.Spec.Lifecycle.Grace, d.Spec.Lifecycle.Brownouts = time.Time{}, 0, nil
		}
	case *resource.Subscription:
		if m.Action == lifecycle.Approve && m.Plan != "" && m.Plan != d.Spec.Plan {
			return fault.New(fault.Conflict, "subscription %s asks for plan %s by now, and not %s: look at it again", m.Key.Name, d.Spec.Plan, m.Plan)
		}
	case *resource.Credential:
		if m.Action == lifecycle.Retire {
			d.Spec.Until = m.Until
		}
	}
	environment, err := c.deciding(after, m)
	if err != nil {
		return err
	}
	state, err := c.move(after, c.q.Actor, stateOf(before.Document), m.Action)
	if err != nil {
		return err
	}
	details, err := c.decide(after, environment, m.Action)
	if err != nil {
		return err
	}
	setState(document, state, c.now)
	differences, err := differ(before, document)
	if err != nil {
		return err
	}
	if err := c.put(after, after.links()); err != nil {
		return err
	}
	if len(differences) > 0 {
		details["changes"] = differences
	}
	if err := c.tell(after, string(m.Action), details); err != nil {
		return err
	}
	_, err = c.check()
	return err
}
