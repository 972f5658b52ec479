package catalog

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/catalog/page"
	"sluice/internal/control/contract"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// missing is what is said of an API that is absent, and of one that may not be seen.
func missing(api string) error {
	return fault.New(fault.NotFound, "there is no API %q that you may see", api)
}

// find returns an API that the viewer may see.
func (v *viewer) find(api string) (*entry, error) {
	if e := v.named[api]; e != nil && v.sees(e.object) {
		return e, nil
	}
	return nil, missing(api)
}

// choose returns a version of an API that the viewer may see: the one of a name, or of a
// number as v2; without, the newest one that is published, or the best there is otherwise.
func (v *viewer) choose(e *entry, name string) (*version, error) {
	all := v.versions(e)
	if name == "" {
		rank := func(of *version) int {
			return slices.Index([]lifecycle.State{lifecycle.Published, lifecycle.Deprecated, lifecycle.Preview, lifecycle.Draft, lifecycle.Blocked, lifecycle.Retired}, of.state)
		}
		if len(all) == 0 {
			return nil, nil
		}
		return slices.MinFunc(all, func(a, b *version) int { return cmp.Compare(rank(a), rank(b)) }), nil // the first of equals
	}
	for _, of := range all {
		if of.name == name || of.name == e.name()+"."+name {
			return of, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no version %q of API %s that you may see", name, e.name())
}

// stageOf returns what the viewer sees of a version in an environment; nil where it is
// offered in none and none was asked for.
func (v *viewer) stageOf(of *version, environment string) (*stage, error) {
	s := v.stage(of, environment)
	if s == nil && environment != "" {
		return nil, fault.New(fault.NotFound, "Version %s is not offered in %q", of.name, environment)
	}
	return s, nil
}

// Page returns the page of an API, with one of its versions in one environment; "" for
// what is chosen by itself.
func (c *Catalog) Page(ctx context.Context, actor identity.Actor, api, name, environment string) (*schema.APIPage, error) {
	v := c.at(ctx).viewer(actor)
	e, err := v.find(api)
	if err != nil {
		return nil, err
	}
	chosen, err := v.choose(e, name)
	if err != nil {
		return nil, err
	}
	spec := e.spec
	out := &schema.APIPage{
		API: api, Title: e.title(), Icon: spec.Icon, Summary: c.renderer.Summary(spec.Description, maxSummary), Description: c.html(spec.Description),
		Team: e.api.Team, TeamTitle: v.title(resource.Key{Kind: resource.KindTeam, Name: e.api.Team}), Domain: domainOf(e), Tags: spec.Tags,
		Labels: maps.Clone(e.api.Document.Meta().Labels), Versions: []schema.APIVersion{}, Owner: v.belongs(e.api),
	}
	if v.actor.Belongs(identity.Owner{Organisation: e.api.Organisation, Team: e.api.Team}) {
		out.Visibility, out.Organisation = cmp.Or(spec.Visibility, string(identity.Private)), e.api.Organisation
	}
	if s := (schema.APISupport{Email: spec.Support.Email, URL: webAddress(spec.Support.URL)}); s != (schema.APISupport{}) {
		out.Support = &s
	}
	for _, g := range e.guides {
		out.Guides = append(out.Guides, schema.GuideLink{Page: g.name, Title: g.title})
	}
	for _, of := range v.versions(e) {
		out.Versions = append(out.Versions, v.apiVersion(of))
	}
	products := map[string]bool{}
	for _, p := range e.products {
		products[p.name()] = v.sees(p.object)
	}
	mine := v.mine(products)
	out.Mine = v.mySubscriptions(e, mine)
	if chosen == nil {
		return out, nil
	}
	s, err := v.stageOf(chosen, environment)
	if err != nil {
		return nil, err
	}
	out.Chosen = c.chosen(v, e, chosen, s, mine)
	return out, nil
}

// html is Markdown of a provider, safe to show.
func (c *Catalog) html(markdown string) string {
	if strings.TrimSpace(markdown) == "" {
		return ""
	}
	return c.renderer.Render(markdown, page.Options{}).HTML
}

// webAddress is an address that a page may link to, "" for another one.
func webAddress(text string) string {
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return text
}

func (v *viewer) apiVersion(of *version) schema.APIVersion {
	out := schema.APIVersion{Version: of.name, Major: of.major, State: string(of.state), Since: moment(of.since()), Successor: v.successor(of), Environments: []string{}}
	if of.state == lifecycle.Deprecated || of.state == lifecycle.Retired {
		out.Sunset = moment(of.spec.Lifecycle.Sunset)
	}
	for _, s := range of.stages {
		out.Environments = append(out.Environments, s.Environment)
	}
	return out
}

func (v *viewer) mySubscriptions(e *entry, mine []*control.Record) (out []schema.MySubscription) {
	for _, r := range mine {
		d := r.Document.(*resource.Subscription)
		one := schema.MySubscription{Subscription: d.Name(), Application: d.Spec.Application, Environment: d.Metadata.Environment, Product: d.Spec.Product, Plan: d.Spec.Plan, State: d.Spec.State, Versions: []string{}}
		for _, p := range e.products {
			if p.name() == d.Spec.Product {
				one.Versions = v.held(p, e.name())
			}
		}
		out = append(out, one)
	}
	return out
}

// held are the versions of a product that the viewer may see, of one API or of all.
func (v *viewer) held(p *product, api string) []string {
	out := []string{}
	for _, name := range p.spec.Versions {
		if of, _, _ := resource.VersionName(name); (api == "" || of == api) && v.version(name) != nil {
			out = append(out, name)
		}
	}
	return out
}

// chosen is what there is to see of a version; the stage is nil where that is nothing but
// its state.
func (c *Catalog) chosen(v *viewer, e *entry, of *version, s *stage, mine []*control.Record) *schema.ChosenVersion {
	out := &schema.ChosenVersion{
		Version: of.name, State: string(of.state), Environments: []schema.APIEnvironment{}, Read: []schema.APIChannel{}, Write: []schema.APIChannel{}, Plans: []schema.APIPlan{},
		Facts: schema.APIFacts{Formats: []string{}, Compatibility: cmp.Or(of.spec.Compatibility, "BACKWARD")},
	}
	using := false
	for _, r := range mine {
		d := r.Document.(*resource.Subscription)
		using = using || uses(d) && slices.ContainsFunc(e.products, func(p *product) bool {
			return p.name() == d.Spec.Product && slices.Contains(p.spec.Versions, of.name)
		})
	}
	out.Banner = c.banner(v, of, using || v.belongs(e.api))
	for _, stage := range of.stages {
		out.Environments = append(out.Environments, schema.APIEnvironment{Name: stage.Environment, Title: v.title(resource.Key{Kind: resource.KindEnvironment, Name: stage.Environment})})
	}
	if s == nil {
		return out
	}
	out.Environment = s.Environment
	if of.state == lifecycle.Retired { // a tombstone: that it was, and what follows
		return out
	}
	for _, ch := range s.channels {
		body := c.channelBody(s, ch)
		if ch.read {
			out.Read = append(out.Read, body)
		}
		if ch.write {
			out.Write = append(out.Write, body)
		}
	}
	out.Plans = c.plans(v, e, of, s, mine)
	out.Facts = c.facts(v, e, of, s)
	return out
}

// banner is the gravest thing to know of a version, nil for nothing. Why it is so, is told
// to those whom it concerns.
func (c *Catalog) banner(v *viewer, of *version, concerned bool) *schema.APIBanner {
	life := of.spec.Lifecycle
	switch of.state {
	case lifecycle.Draft, lifecycle.Preview, lifecycle.Deprecated, lifecycle.Retired, lifecycle.Blocked:
	default:
		return nil
	}
	out := &schema.APIBanner{Kind: string(of.state), Since: moment(of.since())}
	if of.state == lifecycle.Deprecated || of.state == lifecycle.Retired {
		out.Sunset = moment(life.Sunset)
		if !life.Sunset.IsZero() {
			out.Until = moment(life.Sunset.Add(time.Duration(life.Grace)))
		}
	}
	if of.state == lifecycle.Deprecated {
		for _, w := range life.Brownouts {
			if w.To.After(c.now()) {
				out.Brownouts = append(out.Brownouts, schema.Brownout{From: w.From.UTC(), To: w.To.UTC()})
			}
		}
	}
	if out.Successor = v.successor(of); out.Successor != "" {
		out.SuccessorAPI, _, _ = resource.VersionName(out.Successor)
	}
	if concerned {
		for _, step := range slices.Backward(of.record.Status.Trail) {
			if step.From != step.To {
				out.Reason = step.Message
				break
			}
		}
	}
	return out
}

// channelBody is a topic as pages show it.
func (c *Catalog) channelBody(s *stage, ch *channel) schema.APIChannel {
	out := schema.APIChannel{
		Channel: ch.name, Topic: ch.topic, Title: ch.title, Description: c.html(ch.description), Key: ch.key, Formats: list(ch.formats), Messages: list(ch.messages),
	}
	f, known := Flow{}, false
	if at, mapped := s.Offer.Channels[ch.name][s.Environment]; mapped {
		f, known = c.flow(s.Environment, at)
	}
	if known {
		out.Activity = summed([]Flow{f})
	}
	if n := cmp.Or(f.Partitions, ch.partitions); n > 0 {
		out.Partitions = &n
	}
	out.Retention = retention(cmp.Or(f.Retention, ch.retention))
	return out
}

// retention says how long records are kept, "" where that is not known.
func retention(d time.Duration) string {
	switch {
	case d < 0:
		return "unlimited"
	case d == 0:
		return ""
	}
	return d.String()
}

// plans are those of products that have a version and that the viewer may see.
func (c *Catalog) plans(v *viewer, e *entry, of *version, s *stage, mine []*control.Record) []schema.APIPlan {
	out := []schema.APIPlan{}
	for _, p := range e.products {
		if !slices.Contains(p.spec.Versions, of.name) || !v.sees(p.object) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(p.spec.Plans)) {
			plan := p.spec.Plans[name]
			body := schema.APIPlan{
				Product: p.name(), ProductTitle: p.spec.Title, Plan: name, Versions: v.held(p, ""), Auth: list(plan.Auth), Approval: cmp.Or(plan.Approval, "manual"),
				Read: []string{}, Write: []string{}, Limits: limits(plan.Limits), Terms: c.html(p.spec.Terms),
			}
			for _, ch := range s.channels {
				read, write := ch.read, ch.write
				if word, narrowed := plan.Rights[ch.name]; narrowed {
					r, w := publish.Rights(word)
					read, write = read && r, write && w
				}
				if read {
					body.Read = append(body.Read, ch.topic)
				}
				if write {
					body.Write = append(body.Write, ch.topic)
				}
				if may := plan.Manage[ch.name]; len(may) > 0 && (read || write) {
					body.Manage = append(body.Manage, schema.PlanManage{Topic: ch.topic, May: may})
				}
			}
			for _, q := range plan.Form {
				body.Form = append(body.Form, schema.PlanQuestion{Name: q.Name, Title: q.Title, Help: q.Help, Type: cmp.Or(q.Type, "text"), Choices: q.Choices, Required: q.Required})
			}
			for _, r := range mine {
				if d := r.Document.(*resource.Subscription); d.Spec.Product == p.name() && d.Spec.Plan == name && d.Metadata.Environment == s.Environment && uses(d) {
					body.Mine = append(body.Mine, d.Name())
				}
			}
			out = append(out, body)
		}
	}
	slices.SortStableFunc(out, func(a, b schema.APIPlan) int { // what is had at once comes first
		return cmp.Or(strings.Compare(a.Approval, b.Approval), strings.Compare(a.Product, b.Product))
	})
	return out
}

// units are those of limits.
var units = map[string]string{
	"readBytesPerSecond": "bytes/s", "writeBytesPerSecond": "bytes/s", "readRecordsPerSecond": "records/s", "writeRecordsPerSecond": "records/s",
	"readBytesPerMonth": "bytes/month", "writeBytesPerMonth": "bytes/month", "requestsPerSecond": "requests/s", "connections": "connections",
	"connectionsPerSecond": "connections/s", "replay": "seconds",
}

func limits(of resource.Limits) []schema.PlanLimit {
	out := []schema.PlanLimit{}
	for name, limit := range of.All() {
		one := schema.PlanLimit{Name: name, Number: float64(limit.Number), Unit: units[name]}
		if one.Unit == "seconds" {
			one.Number /= float64(time.Second)
		}
		out = append(out, one)
	}
	return out
}

// facts are what stands at the side: what all topics have in common.
func (c *Catalog) facts(v *viewer, e *entry, of *version, s *stage) schema.APIFacts {
	out := schema.APIFacts{Formats: list(s.formats), Compatibility: cmp.Or(of.spec.Compatibility, "BACKWARD"), Revision: s.Revision, Deployed: moment(s.Time), AsyncAPI: contract.Version30}
	for i, ch := range s.channels {
		for _, t := range ch.contentTypes {
			add(&out.ContentTypes, t)
		}
		body := c.channelBody(s, ch)
		if i == 0 {
			out.OrderingKey, out.Partitions, out.Retention = body.Key, body.Partitions, body.Retention
			continue
		}
		if out.OrderingKey != body.Key {
			out.OrderingKey = ""
		}
		if out.Partitions != nil && (body.Partitions == nil || *body.Partitions != *out.Partitions) {
			out.Partitions = nil
		}
		if out.Retention != body.Retention {
			out.Retention = ""
		}
	}
	if v.belongs(e.api) || v.actor.PlatformAdmin() {
		applications := map[string]bool{}
		for _, d := range v.model.Set().Subscriptions {
			if lifecycle.State(d.Spec.State) == lifecycle.Active && slices.ContainsFunc(e.products, func(p *product) bool {
				return p.name() == d.Spec.Product && slices.Contains(p.spec.Versions, of.name)
			}) {
				applications[d.Spec.Application] = true
			}
		}
		n := len(applications)
		out.Subscribers = &n
	}
	return out
}
