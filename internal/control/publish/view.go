package publish

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// view is the virtual cluster of one application in one environment, before any
// credential looks at it.
type view struct {
	app         *resource.Application
	environment string
	cluster     string
	topics      map[string]*topic // by exposed name
	quota       grant.Quota
}

// topic is one exposed topic that a subscription brings.
type topic struct {
	exposed, backing, cluster string
	version, channel          string
	subscription              *resource.Subscription
	methods                   []string
	read, write               bool
	manage                    []string
	phases                    []grant.Phase
	over                      bool // the subscription is closed or has expired
}

// view collects the topics of an application's subscriptions in one environment
// and reports those that clash.
func (c *compiler) view(app *resource.Application, environment string) *view {
	v := &view{app: app, environment: environment, topics: map[string]*topic{}}
	byBacking := map[string]*topic{}
	var first *topic // decides the cluster
	v.quota = c.quota(app, environment)
	for _, sub := range c.subscriptionsOf[appKey{environment, app.Name()}] {
		for _, t := range c.subscribed(app, sub) {
			if other := v.topics[t.exposed]; other != nil {
				if !t.over && !other.over {
					c.add(sub.Problem("spec.product", fmt.Sprintf("brings topic %q, which %s brings already", t.exposed, c.besides(other)), "close one of them"))
				}
				if !other.over || t.over {
					continue
				}
				delete(byBacking, other.backing)
			}
			if other := byBacking[t.backing]; other != nil && other.exposed != t.exposed {
				if !t.over && !other.over {
					c.add(sub.Problem("spec.product", fmt.Sprintf("brings topic %q, which is one backing topic with a topic that %s brings", t.exposed, c.besides(other)), "close one of them"))
				}
				if !other.over || t.over {
					continue
				}
				delete(v.topics, other.exposed)
			}
			if !t.over {
				if first == nil {
					first = t
				} else if t.cluster != first.cluster {
					c.add(sub.Problem("spec.product", fmt.Sprintf("topic %q is on another target cluster than what %s brings, and an application has one", t.exposed, c.besides(first)), "use another application for it"))
				}
			}
			v.topics[t.exposed], byBacking[t.backing] = t, t
		}
	}
	c.chooseCluster(v, first)
	for name, t := range v.topics {
		if t.cluster != v.cluster { // what is over stays behind on the old cluster
			delete(v.topics, name)
		}
	}
	return v
}

// besides names what a topic comes from, to whoever reads a problem of another
// subscription: that may be a provider, who is not told of others'.
func (c *compiler) besides(t *topic) string {
	s := t.subscription
	if c.discreet {
		return "another subscription of application " + s.Spec.Application
	}
	return fmt.Sprintf("subscription %s (%s:%d; topic %q)", s.Name(), s.Source.File, s.Source.Line("metadata.name"), t.exposed)
}

// chooseCluster finds the target cluster of an application: that of its topics,
// or the one it names, or the only one, or the system's.
func (c *compiler) chooseCluster(v *view, first *topic) {
	named := v.app.Spec.Clusters[v.environment]
	if first != nil {
		v.cluster = first.cluster
		if named != "" && named != v.cluster {
			c.add(v.app.Problem("spec.clusters."+v.environment, fmt.Sprintf("is %q, but what %s brings is on %q", named, c.besides(first), v.cluster), "remove it, or close the subscription"))
		}
		return
	}
	if v.cluster = named; named != "" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(v.topics)) { // all over
		v.cluster = v.topics[name].cluster
		return
	}
	if v.environment == c.opts.Environment {
		if e := c.history.latest(v.environment, v.app.Name()); e != nil && c.clusterDocs[e.Cluster] != nil {
			v.cluster = e.Cluster
			return
		}
	}
	var all, system []string
	for _, d := range c.set.Clusters {
		if d.Metadata.Environment == v.environment {
			all = append(all, d.Name())
			if d.Spec.System {
				system = append(system, d.Name())
			}
		}
	}
	switch {
	case len(all) == 1:
		v.cluster = all[0]
	case len(system) == 1:
		v.cluster = system[0]
	case len(all) > 0 && len(c.credentialsOf[appKey{v.environment, v.app.Name()}]) > 0:
		c.add(v.app.Problem("spec", fmt.Sprintf("has credentials but no topics in environment %q, which has several target clusters", v.environment), fmt.Sprintf("name one: clusters: {%s: %s}", v.environment, all[0])))
	}
}

// subscribed returns the topics that a subscription brings, in the order of
// versions and names. States of which the application never saw anything bring
// none: what it had before is found in the history.
func (c *compiler) subscribed(app *resource.Application, sub *resource.Subscription) []*topic {
	product := c.products[sub.Spec.Product]
	if product == nil || sub.Spec.State == "pending" || sub.Spec.State == "rejected" {
		return nil
	}
	plan, ok := product.Spec.Plans[sub.Spec.Plan]
	if !ok {
		return nil
	}
	var topics []*topic
	for _, name := range product.Spec.Versions {
		version := c.versions[name]
		if version == nil || version.Spec.Lifecycle.State == "draft" {
			continue
		}
		offer := version.Spec.In(sub.Metadata.Environment)
		for _, channel := range slices.Sorted(maps.Keys(offer.Contract)) {
			backing, ok := offer.Channels[channel][sub.Metadata.Environment]
			ch := offer.Contract[channel]
			read, write := ch.Send, ch.Receive
			if word, narrowed := plan.Rights[channel]; narrowed {
				r, w := Rights(word)
				read, write = read && r, write && w
			}
			if !ok || backing.Topic == "" || !read && !write {
				continue
			}
			exposed := offer.ExposedTopic(name, channel)
			lost, had := c.opts.Now, false // of an end without a date
			if e := c.history.find(sub.Metadata.Environment, app.Name(), exposed); e != nil {
				had = true
				if !e.Lost.IsZero() {
					lost = e.Lost
				}
			}
			topics = append(topics, &topic{
				exposed: exposed, backing: backing.Topic, cluster: backing.Cluster, version: name, channel: channel,
				subscription: sub, methods: plan.Auth, read: read, write: write, manage: plan.Manage[channel],
				phases: phases(rulesOf(app, sub, version, lost, had)),
				over:   over(sub, c.opts.Now),
			})
		}
	}
	return topics
}

// quota sums up what the plans of an application's subscriptions let it read and write;
// one without a limit leaves it without.
func (c *compiler) quota(app *resource.Application, environment string) (sum grant.Quota) {
	readFree, writeFree := false, false
	for _, sub := range c.subscriptionsOf[appKey{environment, app.Name()}] {
		product := c.products[sub.Spec.Product]
		if product == nil || sub.Spec.State == "pending" || sub.Spec.State == "rejected" || over(sub, c.opts.Now) {
			continue
		}
		add := func(to *int64, free *bool, limit *resource.Size) {
			if limit == nil {
				*free = true
				return
			}
			*to += int64(*limit)
		}
		limits := product.Spec.Plans[sub.Spec.Plan].Limits
		add(&sum.ReadBytesPerSecond, &readFree, limits.ReadBytesPerSecond)
		add(&sum.WriteBytesPerSecond, &writeFree, limits.WriteBytesPerSecond)
	}
	if readFree {
		sum.ReadBytesPerSecond = 0
	}
	if writeFree {
		sum.WriteBytesPerSecond = 0
	}
	return sum
}

func over(sub *resource.Subscription, now time.Time) bool {
	s := sub.Spec
	return s.State == "closed" || s.State == "expired" || !s.Expires.IsZero() && !now.Before(s.Expires)
}

// rule is one thing that decides on a topic during [from, to); a zero to means
// for ever.
type rule struct {
	from, to time.Time
	phase    grant.Phase
}

// rulesOf returns the rules of a topic, the strongest first. lost is when a
// state without a date began; had says that the application has had the topic.
func rulesOf(app *resource.Application, sub *resource.Subscription, version *resource.Version, lost time.Time, had bool) []rule {
	or := func(times ...time.Time) time.Time {
		for _, t := range times {
			if !t.IsZero() {
				return t
			}
		}
		return lost
	}
	life, s := version.Spec.Lifecycle, sub.Spec
	var sunset time.Time
	if !life.Sunset.IsZero() {
		sunset = life.Sunset.Add(time.Duration(life.Grace))
	}
	pointer := ""
	if life.Successor != "" {
		pointer = "; it is followed by " + life.Successor
	}

	var ends []rule
	end := func(when bool, at time.Time, what, message string) {
		if when {
			ends = append(ends, rule{from: at, phase: grant.Phase{State: grant.Ended, Rule: what, Message: message}})
		}
	}
	subscription, v := "subscription "+sub.Name(), "version "+version.Name()
	end(s.State == "closed", or(s.ClosedAt), subscription+": closed", "the subscription was closed")
	end(s.State == "expired", or(s.Expires), subscription+": expired", "the subscription has expired")
	end(s.State != "expired" && !s.Expires.IsZero(), s.Expires, subscription+": expired", "the subscription has expired")
	end(life.State == "blocked", or(life.BlockedAt), v+": blocked", "this version was blocked by its provider")
	end(life.State == "retired", or(life.RetiredAt, sunset), v+": retired", "this version was retired"+pointer)
	end(life.State == "deprecated" && !sunset.IsZero(), sunset, v+": retired", "this version was retired"+pointer)

	var rules []rule
	if !s.Since.IsZero() {
		wait := rule{to: s.Since, phase: grant.Phase{State: grant.Refused, Rule: subscription + ": not begun"}}
		if had {
			wait.phase.State, wait.phase.Message = grant.Ended, "the subscription has not begun"
		}
		rules = append(rules, wait)
	}
	if len(ends) > 0 {
		first := slices.MinFunc(ends, func(a, b rule) int { return a.from.Compare(b.from) })
		gone := rule{from: first.from.Add(Memory), phase: grant.Phase{State: grant.Refused, Rule: first.phase.Rule}}
		rules = append(rules, gone, first)
	}
	if app.Spec.Suspended {
		rules = append(rules, rule{phase: grant.Phase{State: grant.Suspended, Rule: suspendedBy(app), Message: "the application is suspended"}})
	}
	if s.State == "suspended" {
		rules = append(rules, rule{phase: grant.Phase{State: grant.Suspended, Rule: subscription + ": suspended", Message: "the subscription is suspended"}})
	}
	for _, w := range life.Brownouts {
		rules = append(rules, rule{from: w.From, to: w.To, phase: grant.Phase{State: grant.BrownOut, Rule: v + ": brown-out", Message: "this version is deprecated" + pointer}})
	}
	return append(rules, rule{phase: grant.Phase{State: grant.Open, Rule: subscription + ": active"}})
}

// phases lays rules out in time: at each moment the first rule that holds
// decides.
func phases(rules []rule) []grant.Phase {
	times := []time.Time{{}}
	for _, r := range rules {
		times = append(times, r.from, r.to)
	}
	slices.SortFunc(times, time.Time.Compare)
	var out []grant.Phase
	for _, at := range slices.CompactFunc(times, time.Time.Equal) {
		i := slices.IndexFunc(rules, func(r rule) bool { return !at.Before(r.from) && (r.to.IsZero() || at.Before(r.to)) })
		p := rules[i].phase
		p.From = at.UTC()
		if len(out) == 0 && p.State == grant.Refused {
			continue // as before the first phase
		}
		if n := len(out); n > 0 && out[n-1].State == p.State && out[n-1].Rule == p.Rule {
			continue
		}
		out = append(out, p)
	}
	return out
}

// lostAt returns phases of a topic that was lost at a moment.
func lostAt(at time.Time, what, message string) []grant.Phase {
	return []grant.Phase{
		{From: at.UTC(), State: grant.Ended, Rule: what, Message: message},
		{From: at.Add(Memory).UTC(), State: grant.Refused, Rule: what},
	}
}

// endOf returns when phases end the topic for the last time, or the zero time.
func endOf(phases []grant.Phase) time.Time {
	for _, p := range phases {
		if p.State == grant.Ended {
			return p.From
		}
	}
	return time.Time{}
}
