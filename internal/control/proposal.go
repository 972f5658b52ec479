package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// eyes says who else has looked at a version, where environments that have it want
// four eyes: whoever approved what is deployed there, or approved the version as it
// is now. A revision that waits is a question of its own.
func (c *changing) eyes(r *Record, f *lifecycle.Facts) {
	if p, waits := r.Status.Proposals[c.proposal]; waits {
		f.FourEyes, f.RequestedBy = true, p.Person
		return
	}
	approved := ""
	for environment, d := range r.Status.Deployments {
		if !c.environment(environment).FourEyes {
			continue
		}
		f.FourEyes = true
		if d.ApprovedBy == "" || approved != "" && approved != d.ApprovedBy {
			approved = ""
			break
		}
		approved = d.ApprovedBy
	}
	if f.ApprovedBy == "" && stateOf(r.Document) != lifecycle.Retired { // coming back wants another look
		f.ApprovedBy = approved
	}
}

// deciding finds the proposal that an approval or rejection of a version is about;
// "" when it is about the version as it is.
func (c *changing) deciding(after *Record, m Move) (string, error) {
	c.proposal = ""
	if m.Key.Kind != resource.KindVersion || m.Action != lifecycle.Approve && m.Action != lifecycle.Reject {
		return "", nil
	}
	o := lifecycle.Object{Object: c.object(after.Document, false), State: stateOf(after.Document)}
	if err := lifecycle.Allowed(c.q.Actor, o, m.Action); err != nil { // what waits is not for everybody to know
		return "", err
	}
	waiting := slices.Sorted(maps.Keys(after.Status.Proposals))
	switch _, there := after.Status.Proposals[m.Environment]; {
	case m.Environment != "" && !there:
		return "", fault.New(fault.Conflict, "nothing of %s waits for %s", after.Key(), m.Environment)
	case m.Environment != "":
		c.proposal = m.Environment
	case len(waiting) == 1:
		c.proposal = waiting[0]
	case len(waiting) > 1:
		return "", fault.New(fault.Invalid, "revisions of %s wait for %s: name the environment", after.Key(), strings.Join(waiting, ", "))
	case m.Action == lifecycle.Reject || !c.wantsEyes(after):
		return "", fault.New(fault.Conflict, "nothing of %s waits", after.Key())
	}
	return c.proposal, named(after, c.proposal, m)
}

// wantsEyes says whether an approval of a version as it is now counts for anything: where
// it has been deployed to an environment that wants four eyes, and is to be published.
func (c *changing) wantsEyes(after *Record) bool {
	switch stateOf(after.Document) {
	case lifecycle.Draft, lifecycle.Preview, lifecycle.Retired:
		return c.facts(after).FourEyes
	}
	return false
}

// named asks whether a decision is about what is there: its author may have exchanged
// what somebody has looked at. An approval has to say what it is about; nobody approves
// what they do not know.
func named(after *Record, environment string, m Move) error {
	is, what := after.Status.Revision, fmt.Sprintf("revision %d is the newest of %s", after.Status.Revision, after.Key())
	if environment != "" {
		is = after.Status.Proposals[environment].Revision
		what = fmt.Sprintf("revision %d of %s waits for %s", is, after.Key(), environment)
	}
	switch {
	case m.Revision != 0 && m.Revision != is:
		return fault.New(fault.Conflict, "%s, and not revision %d: look at it again", what, m.Revision)
	case m.Revision == 0 && m.Tag == 0 && m.Action == lifecycle.Approve:
		return fault.New(fault.Invalid, "%s: name the revision that you have looked at and approve", what)
	}
	return nil
}

// decide carries out what was decided about a proposal.
func (c *changing) decide(after *Record, environment string, action lifecycle.Action) (notes map[string]any, err error) {
	if environment == "" {
		return map[string]any{}, nil
	}
	p := after.Status.Proposals[environment]
	after.Status.about(p.Revision, environment)
	if action == lifecycle.Reject {
		after.Status.Proposals = maps.Clone(after.Status.Proposals)
		delete(after.Status.Proposals, environment)
		return map[string]any{"rejected": Deployed{Environment: environment, Revision: p.Revision}}, nil
	}
	next, err := c.revision(after.Key().Name, p.Revision)
	if err != nil {
		return nil, err
	}
	out, err := c.deploy(after, next, deploying{environment: environment, revision: p.Revision, from: p.From, waive: p.Waive, proposal: &p, approver: c.q.Actor})
	if err != nil {
		return nil, err
	}
	return map[string]any{"deployed": []Deployed{out.Deployed}}, nil
}
