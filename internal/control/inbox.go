package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/resource"
)

// What waits for somebody.
const (
	ToDecide = "decide" // approve or reject
	ToAnswer = "answer" // the other side wrote last
	ToMove   = "move"   // a version that an application uses is about to end
	ToRenew  = "renew"  // a credential is about to end
)

// Waiting is something that waits for somebody.
type Waiting struct {
	What        string
	Key         resource.Key
	Environment string
	// Revision is the one of a version that is to be decided about; 0 for none.
	Revision int
	// Plan is what a subscription asks for that is to be decided about.
	Plan string
	// About says what it is, in a few words.
	About string
	// By is who asked, wrote or announced it, Since when, and Message what they said.
	By      string
	Since   time.Time
	Message string
	// Until is when it is over: decided by itself, or ended. Zero for never.
	Until time.Time
}

// maxInbox bounds an inbox; what waits longest comes first.
const maxInbox = 500

// Inbox returns what waits for somebody, what waits longest first, and whether there
// is more of it.
func (p *Plane) Inbox(q Request) (out []Waiting, more bool) {
	m := p.Model()
	c := &changing{plane: p, q: q, now: p.now(), edit: m.edit()}
	ending := map[string][]*Record{} // deprecated versions, by product
	for _, d := range m.set.Products {
		for _, name := range d.Spec.Versions {
			if r := m.Get(resource.Key{Kind: resource.KindVersion, Name: name}); r != nil && stateOf(r.Document) == lifecycle.Deprecated {
				ending[d.Name()] = append(ending[d.Name()], r)
			}
		}
	}
	for r := range m.Records() {
		switch d := r.Document.(type) {
		case *resource.Version:
			out = append(out, c.proposalsFor(r)...)
		case *resource.Credential:
			end := endOf(d)
			if since := end.Add(-credentialWarnings[0]); stateOf(d) == lifecycle.Active && !end.IsZero() && !c.now.Before(since) && q.Actor.Has(identity.AppDeveloper, r.owner()) {
				out = append(out, Waiting{What: ToRenew, Key: r.Key(), Environment: d.Metadata.Environment, About: "application " + d.Spec.Application + " logs in with it, and it ends: make a new one, and move to it", Since: since, Until: end})
			}
		case *resource.Subscription:
			state := stateOf(d)
			if state == lifecycle.Pending && c.mayApprove(r, c.facts(r)) {
				asked := stepOf(r, lifecycle.Request)
				out = append(out, Waiting{What: ToDecide, Key: r.Key(), Environment: d.Metadata.Environment, Plan: d.Spec.Plan, About: "application " + d.Spec.Application + " asks for plan " + d.Spec.Plan + " of " + d.Spec.Product,
					By: asked.By, Since: r.Status.Since, Message: asked.Message, Until: r.Status.Since.Add(lifecycle.WaitsFor)})
			}
			live := state == lifecycle.Active || state == lifecycle.Suspended
			if live || state == lifecycle.Pending {
				out = append(out, c.unanswered(r)...)
			}
			if !live || len(ending[d.Spec.Product]) == 0 || !q.Actor.Has(identity.AppDeveloper, r.owner()) {
				continue
			}
			for _, v := range ending[d.Spec.Product] {
				l := v.Document.(*resource.Version).Spec.Lifecycle
				about := "application " + d.Spec.Application + " uses " + v.Key().Name + ", which ends"
				if l.Successor != "" {
					about += ": move to " + l.Successor
				}
				out = append(out, Waiting{What: ToMove, Key: r.Key(), Environment: d.Metadata.Environment, About: about, Since: v.Status.Since, Until: l.Sunset.Add(time.Duration(l.Grace))})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return out[:min(len(out), maxInbox)], len(out) > maxInbox
}

// mayApprove says whether the actor could approve a record now.
func (c *changing) mayApprove(r *Record, f lifecycle.Facts) bool {
	_, err := lifecycle.Next(c.q.Actor, lifecycle.Object{Object: c.object(r.Document, false), State: stateOf(r.Document)}, lifecycle.Approve, f)
	return err == nil
}

// proposalsFor returns the revisions that wait for the actor.
func (c *changing) proposalsFor(r *Record) (out []Waiting) {
	defer func() { c.proposal = "" }()
	for _, environment := range slices.Sorted(maps.Keys(r.Status.Proposals)) {
		c.proposal = environment
		if !c.mayApprove(r, c.facts(r)) {
			continue
		}
		p := r.Status.Proposals[environment]
		about := fmt.Sprintf("revision %d is to be deployed", p.Revision)
		if p.From != "" {
			about += ", promoted from " + p.From
		}
		if p.Waive != "" {
			about += ", although it breaks somebody: " + p.Waive
		}
		out = append(out, Waiting{What: ToDecide, Key: r.Key(), Environment: environment, Revision: p.Revision, About: about, By: p.By, Since: p.Time, Message: p.Reason, Until: p.Time.Add(lifecycle.WaitsFor)})
	}
	return out
}

// unanswered returns the last message of a thread, where the other side wrote it.
func (c *changing) unanswered(r *Record) []Waiting {
	for _, m := range slices.Backward(r.Status.Thread) {
		if m.Internal {
			continue // older stores have notes here
		}
		o := c.object(r.Document, false)
		if identity.Authorise(c.q.Actor, identity.Discuss, o) != nil || m.Provider == (c.may(identity.Note, o) == nil) {
			return nil
		}
		return []Waiting{{What: ToAnswer, Key: r.Key(), Environment: r.Document.Meta().Environment, About: "a message", By: m.By, Since: m.Time, Message: m.Text}}
	}
	return nil
}

// stepOf is the last step of an action; an empty one when there is none.
func stepOf(r *Record, action lifecycle.Action) Step {
	for _, s := range slices.Backward(r.Status.Trail) {
		if lifecycle.Action(s.Action) == action {
			return s
		}
	}
	return Step{}
}
