package control

import (
	"slices"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Effective is what an application has in an environment, and why.
type Effective struct {
	Application, Environment string
	Topics                   []EffectiveTopic
	// Credentials are the application's there, as far as somebody may see them, or the
	// one that was asked for.
	Credentials []EffectiveCredential
	// Suspended says that the application itself is.
	Suspended bool
}

// EffectiveTopic is a topic, with the revision that the environment has of its
// version; 0 where there are none.
type EffectiveTopic struct {
	publish.Effect
	Revision int
	Limits   []publish.Limit
}

// EffectiveCredential is what a credential sees of the topics.
type EffectiveCredential struct {
	Name, Type string
	State      lifecycle.State
	Topics     []string
	// Not are topics that it does not see, each with why.
	Not map[string]string
}

// Effective says what an application has in an environment, to somebody who may see
// the application. The environment may be left out where it has subscriptions in one.
func (p *Plane) Effective(q Request, application, environment string) (*Effective, error) {
	if _, err := p.Get(q, resource.Key{Kind: resource.KindApplication, Name: application}); err != nil {
		return nil, err
	}
	m := p.Model()
	environment, err := m.placeOf(application, environment)
	if err != nil {
		return nil, err
	}
	return p.effective(q, m, application, environment, func(d *resource.Credential) bool {
		return d.Spec.Application == application && d.Metadata.Environment == environment
	})
}

// placeOf returns the environment that is meant: the one that is named, or the only one in
// which an application has subscriptions.
func (m *Model) placeOf(application, environment string) (string, error) {
	if environment != "" {
		return environment, nil
	}
	var there []string
	for _, d := range m.set.Subscriptions {
		if d.Spec.Application == application && !slices.Contains(there, d.Metadata.Environment) {
			there = append(there, d.Metadata.Environment)
		}
	}
	if len(there) != 1 {
		return "", fault.New(fault.Invalid, "name the environment: application %s has subscriptions in %s", application, orNone(there))
	}
	return there[0], nil
}

// EffectiveOf is Effective for what one credential sees, to somebody who may see it.
func (p *Plane) EffectiveOf(q Request, credential string) (*Effective, error) {
	r, err := p.Get(q, resource.Key{Kind: resource.KindCredential, Name: credential})
	if err != nil {
		return nil, err
	}
	return p.effective(q, p.Model(), r.Document.(*resource.Credential).Spec.Application, r.Document.Meta().Environment, func(d *resource.Credential) bool { return d.Name() == credential })
}

func (p *Plane) effective(q Request, m *Model, application, environment string, of func(*resource.Credential) bool) (*Effective, error) {
	app := m.Get(resource.Key{Kind: resource.KindApplication, Name: application})
	if app == nil {
		return nil, fault.New(fault.NotFound, "there is no Application %q that you may see", application)
	}
	out := &Effective{Application: application, Environment: environment, Topics: []EffectiveTopic{}, Credentials: []EffectiveCredential{}, Suspended: app.Document.(*resource.Application).Spec.Suspended}
	for _, e := range publish.Explain(m.Set(), publish.Options{Environment: environment, Now: p.now(), Seed: p.seed}, application) {
		t := EffectiveTopic{Effect: e, Limits: publish.LimitsOf(e.Limits)}
		if v := m.Get(resource.Key{Kind: resource.KindVersion, Name: e.Version}); v != nil {
			t.Revision = v.Status.Deployments[environment].Revision
		}
		out.Topics = append(out.Topics, t)
	}
	for _, d := range m.set.Credentials {
		if !of(d) || !identity.Sees(q.Actor, objectOf(d, false, m.Get)) {
			continue
		}
		c := EffectiveCredential{Name: d.Name(), Type: d.Spec.Type, State: stateOf(d), Topics: []string{}, Not: map[string]string{}}
		for _, t := range out.Topics {
			if r := t.Sees(d); r.Granted {
				c.Topics = append(c.Topics, t.Topic)
			} else {
				c.Not[t.Topic] = r.Because
			}
		}
		out.Credentials = append(out.Credentials, c)
	}
	return out, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return names[0] + map[bool]string{true: " and others", false: ""}[len(names) > 1]
}

// WhoIs finds whose a group, transactional id or topic of a target cluster is, by its
// name there: for platform-admins, and for those who may see the application.
func (p *Plane) WhoIs(q Request, name string) ([]publish.Physical, error) {
	m := p.Model()
	var out []publish.Physical
	for _, x := range publish.WhoIs(m.Set(), p.seed, name) {
		app := m.Get(resource.Key{Kind: resource.KindApplication, Name: x.Application})
		if q.Actor.PlatformAdmin() || app != nil && identity.Sees(q.Actor, objectOf(app.Document, false, m.Get)) {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		why := "no application has it or adopts it"
		if grant.BeginsLikePrefix(name) {
			why = "it begins as names of applications do, and none that is there now has this one"
		}
		return nil, fault.New(fault.NotFound, "nothing is known of %q that you may see: %s", name, why)
	}
	return out, nil
}
