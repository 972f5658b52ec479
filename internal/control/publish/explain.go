package publish

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Effect is one topic of an application in an environment, and where each of its
// rights comes from.
type Effect struct {
	// Topic is the exposed one.
	Topic string
	// Subscription brings it: to a channel of a version in a product, on a plan.
	Subscription, Product, Plan, Version, Channel string
	// Read and Write are the rights.
	Read, Write Reason
	// Manage is what the plan gives besides.
	Manage []string
	// Phase is how the topic stands now, Next what follows by itself.
	Phase Phase
	Next  []Phase
	// Methods are those that the plan admits.
	Methods []string
	// Limits are the plan's, not enforced yet.
	Limits resource.Limits
}

// Phase is how a topic stands from a moment on, and what decides it.
type Phase struct {
	From        time.Time
	State, Rule string
}

func phaseOf(p grant.Phase) Phase { return Phase{p.From, p.State.String(), p.Rule} }

// Reason is whether a right is there, and why.
type Reason struct {
	Granted bool
	Because string
}

// Explain returns what an application has in an environment, by exposed topic, as
// Compile gives it to gateways; what it had before is not in it.
func Explain(set *resource.Set, opts Options, application string) []Effect {
	opts.Now = opts.Now.UTC().Round(0)
	c := newCompiler(set, opts, scope{apps: map[string]bool{application: true}})
	app := c.applications[application]
	if app == nil {
		return nil
	}
	out := []Effect{}
	v := c.view(app, opts.Environment)
	for _, name := range slices.Sorted(maps.Keys(v.topics)) {
		t := v.topics[name]
		sub := t.subscription
		plan := c.products[sub.Spec.Product].Spec.Plans[sub.Spec.Plan]
		e := Effect{
			Topic: t.exposed, Subscription: sub.Name(), Product: sub.Spec.Product, Plan: sub.Spec.Plan, Version: t.version, Channel: t.channel,
			Manage: t.manage, Methods: t.methods, Limits: plan.Limits, Phase: phaseOf((&grant.Topic{Phases: t.phases}).At(opts.Now)),
		}
		ch := c.versions[t.version].Spec.In(opts.Environment).Contract[t.channel]
		word, narrowed := plan.Rights[t.channel]
		if !narrowed {
			word = "readwrite"
		}
		mayRead, mayWrite := Rights(word)
		because := func(contract, admitted bool, action string) Reason {
			switch {
			case !contract:
				return Reason{false, fmt.Sprintf("the provider does not %s on channel %s of %s", action, t.channel, t.version)}
			case !admitted:
				return Reason{false, fmt.Sprintf("plan %s gives %s on channel %s", sub.Spec.Plan, word, t.channel)}
			case narrowed:
				return Reason{true, fmt.Sprintf("the provider does %s on channel %s of %s, and plan %s gives %s", action, t.channel, t.version, sub.Spec.Plan, word)}
			}
			return Reason{true, fmt.Sprintf("the provider does %s on channel %s of %s", action, t.channel, t.version)}
		}
		e.Read, e.Write = because(ch.Send, mayRead, "send"), because(ch.Receive, mayWrite, "receive")
		for _, p := range t.phases {
			if p.From.After(opts.Now) {
				e.Next = append(e.Next, phaseOf(p))
			}
		}
		out = append(out, e)
	}
	return out
}

// Sees says whether a credential sees a topic, and if not, why.
func (e Effect) Sees(d *resource.Credential) Reason {
	switch {
	case d.Spec.State == "revoked" || d.Spec.State == "expired":
		return Reason{false, fmt.Sprintf("credential %s is %s", d.Name(), d.Spec.State)}
	case !slices.Contains(e.Methods, d.Spec.Type):
		return Reason{false, fmt.Sprintf("plan %s admits %s, and credential %s is of type %s", e.Plan, strings.Join(e.Methods, ", "), d.Name(), d.Spec.Type)}
	case d.Spec.Subscriptions != nil && !slices.Contains(d.Spec.Subscriptions, e.Subscription):
		return Reason{false, fmt.Sprintf("credential %s is narrowed to other subscriptions than %s", d.Name(), e.Subscription)}
	}
	return Reason{true, ""}
}

// Limit is one number that a plan holds a client to.
type Limit struct{ Name, Value string }

// LimitsOf returns the limits that are set, by name.
func LimitsOf(l resource.Limits) (out []Limit) {
	for name, value := range l.All() {
		out = append(out, Limit{name, value.String()})
	}
	slices.SortFunc(out, func(a, b Limit) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Physical is what a name on a target cluster belongs to.
type Physical struct {
	Environment, Application string
	// Name is what the application calls it, Adopted says that it is used as it is.
	Name    string
	Adopted bool
}

// WhoIs finds whose a group, transactional id or topic of a target cluster is, by its
// name there. An adopted name is one application's in all environments.
func WhoIs(set *resource.Set, seed []byte, name string) []Physical {
	c := newCompiler(set, Options{Seed: seed}, scope{})
	if _, ok := c.ownerOf(name); ok {
		k := c.prefixes[name[:grant.PrefixLength]]
		return []Physical{{Environment: k.environment, Application: k.application, Name: name[grant.PrefixLength:]}}
	}
	var out []Physical
	for _, app := range set.Applications {
		if slices.Contains(app.Spec.Adopt.Groups, name) || slices.Contains(app.Spec.Adopt.TransactionalIDs, name) {
			out = append(out, Physical{Application: app.Name(), Name: name, Adopted: true})
		}
	}
	return out
}
