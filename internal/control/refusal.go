package control

import (
	"slices"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Refusal is why a gateway refused a client something; fields are those of
// usage.Refusal.
type Refusal struct {
	Number                               uint64
	ID                                   string
	Time                                 time.Time
	Application, Environment, Credential string
	Gateway, Address                     string
	API, Operation, What, Name           string
	Verdict, Rule                        string
	// Topic is what the application has by that name now; nil for nothing, or where it
	// was about something else.
	Topic *EffectiveTopic
}

// Refusals are the last ones of all gateways. It is safe for concurrent use.
type Refusals interface {
	// Find returns one by its id.
	Find(id string) (Refusal, bool)
	// Of returns those of an application, the newest first.
	Of(application string) []Refusal
}

// Refusal explains a refusal by its id, to those whom Refusals would show it. What was
// refused before the login is for platform-admins. Gateways keep the last ones only.
func (p *Plane) Refusal(q Request, id string) (*Refusal, error) {
	unknown := fault.New(fault.NotFound, "there is no rejection %q that you may see, or it is too long ago: the gateway's log has all of them", id)
	if p.refusals == nil {
		return nil, unknown
	}
	r, ok := p.refusals.Find(id)
	if !ok {
		return nil, unknown
	}
	m := p.Model()
	if view := p.refusalView(q, m, r.Application); !view.shows(&r) && !q.Actor.PlatformAdmin() {
		return nil, unknown
	}
	if r.What == "topic" && m.Get(resource.Key{Kind: resource.KindApplication, Name: r.Application}) != nil {
		e, err := p.effective(q, m, r.Application, r.Environment, func(*resource.Credential) bool { return false })
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(e.Topics, func(t EffectiveTopic) bool { return t.Topic == r.Name }); i >= 0 {
			r.Topic = &e.Topics[i]
		}
	}
	return &r, nil
}

// RefusalQuery says which refusals of an application are wanted.
type RefusalQuery struct {
	Application string
	// Environment is where; "" for everywhere.
	Environment string
	// Before and After are numbers: only older ones, only newer ones; 0 for all.
	Before, After uint64
	// Limit is how many at most, DefaultPage by default.
	Limit int
}

// Refusals returns the last refusals of an application, the newest first, and the
// number before which the next page begins, 0 at the end. Who sees the application sees
// all of them. Who provides topics to it sees those about these, without credential
// and address, which are not theirs to know.
func (p *Plane) Refusals(q Request, query RefusalQuery) (page []Refusal, next uint64, err error) {
	m := p.Model()
	view := p.refusalView(q, m, query.Application)
	if !view.all && len(view.subscriptions) == 0 {
		return nil, 0, identity.Authorise(q.Actor, identity.Read, identity.Object{Kind: resource.KindApplication, Name: query.Application, Absent: true})
	}
	limit := query.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	if p.refusals == nil {
		return nil, 0, nil
	}
	for _, r := range p.refusals.Of(query.Application) {
		switch {
		case r.Number <= query.After:
			return page, 0, nil
		case query.Before > 0 && r.Number >= query.Before, query.Environment != "" && r.Environment != query.Environment, !view.shows(&r):
			continue
		case len(page) == limit:
			return page, page[limit-1].Number, nil
		}
		page = append(page, r)
	}
	return page, 0, nil
}

// refusalView is what somebody may see of the refusals of an application.
type refusalView struct {
	all           bool     // as who sees the application
	subscriptions []string // as who provides these
	topics        func(environment string) map[string]bool
}

// refusalView returns what somebody may see.
func (p *Plane) refusalView(q Request, m *Model, application string) refusalView {
	app := m.Get(resource.Key{Kind: resource.KindApplication, Name: application})
	if app == nil {
		return refusalView{}
	}
	v := refusalView{all: identity.Sees(q.Actor, objectOf(app.Document, false, m.Get))}
	if v.all {
		return v
	}
	for _, d := range m.set.Subscriptions {
		if d.Spec.Application == application && identity.Sees(q.Actor, objectOf(d, false, m.Get)) {
			v.subscriptions = append(v.subscriptions, d.Name())
		}
	}
	known := map[string]map[string]bool{} // exposed names, by environment
	v.topics = func(environment string) map[string]bool {
		if known[environment] == nil {
			known[environment] = map[string]bool{}
			for _, e := range publish.Explain(m.Set(), publish.Options{Environment: environment, Now: p.now(), Seed: p.seed}, application) {
				if slices.Contains(v.subscriptions, e.Subscription) {
					known[environment][e.Topic] = true
				}
			}
		}
		return known[environment]
	}
	return v
}

// shows says whether a refusal may be seen, and takes out of it what may not.
func (v refusalView) shows(r *Refusal) bool {
	if v.all {
		return true
	}
	if len(v.subscriptions) == 0 || r.What != "topic" || !v.topics(r.Environment)[r.Name] {
		return false
	}
	r.Credential, r.Address = "", ""
	return true
}
