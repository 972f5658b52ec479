package control

import (
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
	case m.Action == lifecycle.Reject:
		return "", fault.New(fault.Conflict, "nothing of %s waits", after.Key())
	}
	return c.proposal, nil
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
