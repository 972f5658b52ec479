package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/internal/control/contract/breaking"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Deployed is what became of a revision in an environment.
type Deployed struct {
	Environment string `json:"environment"`
	Revision    int    `json:"revision"`
	// Was is the revision that it replaced, 0 for none.
	Was int `json:"was,omitzero"`
	// Waits says that a second person has to approve it first.
	Waits  bool    `json:"waits,omitzero"`
	Waiver *Waiver `json:"waiver,omitzero"`
}

// outcome is Deployed with what is told besides.
type outcome struct {
	Deployed
	warnings []resource.Problem
}

// deploying is what is to be deployed, and how.
type deploying struct {
	environment string
	revision    int
	from        string // the environment that it is promoted from
	waive       string // the reason for deploying what breaks
	back        bool   // to what the environment had: nothing is asked
	// of a proposal that was approved
	proposal *Proposal
	approver identity.Actor
}

// environment returns the settings of an environment, those of none where it has no
// document.
func (c *changing) environment(name string) resource.EnvironmentSpec {
	if r := c.edit.Get(resource.Key{Kind: resource.KindEnvironment, Name: name}); r != nil {
		return r.Document.(*resource.Environment).Spec
	}
	return resource.EnvironmentSpec{}
}

// deploy brings a revision, whose content is next, to an environment, or lets it wait
// for a second person.
func (c *changing) deploy(after *Record, next *resource.Version, d deploying) (outcome, error) {
	s := &after.Status
	current := s.Deployments[d.environment]
	out := outcome{Deployed: Deployed{Environment: d.environment, Revision: d.revision, Was: current.Revision}}
	if err := c.reaches(next, d); err != nil {
		return outcome{}, err
	}
	if err := c.given(after, next, d.environment); err != nil {
		return outcome{}, err
	}
	var waiver *Waiver
	against := current.Against
	if !d.back {
		findings, err := c.gate(after, next, d)
		if err != nil {
			return outcome{}, err
		}
		waiver, out.warnings, err = c.pass(after, findings, d)
		if err != nil {
			return outcome{}, err
		}
		if waiver != nil {
			against = nil
		}
	}
	out.Waiver = waiver
	if c.environment(d.environment).FourEyes && d.proposal == nil && !d.back {
		s.Proposals = maps.Clone(s.Proposals)
		if s.Proposals == nil {
			s.Proposals = map[string]Proposal{}
		}
		s.Proposals[d.environment] = Proposal{Revision: d.revision, Time: c.now, By: c.q.Actor.String(), Person: c.q.Actor.Person(), From: d.from, Reason: c.q.Reason, Waive: d.waive}
		out.Waits = true
		return out, nil
	}
	to := Deployment{Revision: d.revision, Time: c.now, By: c.q.Actor.String(), Person: c.q.Actor.Person(), From: d.from, Waiver: waiver}
	if p := d.proposal; p != nil {
		to.By, to.Person, to.From, to.ApprovedBy = p.By, p.Person, p.From, d.approver.Person()
	}
	if d.revision != s.Revision {
		offer := next.Spec.Offer()
		to.Offer = &offer
	}
	to.Had = slices.Clone(current.Had)
	if i := slices.Index(to.Had, d.revision); i >= 0 {
		to.Had = to.Had[:i]
	}
	to.Had = last(append(to.Had, d.revision))
	to.Against = slices.Clone(against)
	if !slices.Contains(to.Against, d.revision) {
		to.Against = last(append(to.Against, d.revision))
	}
	s.Deployments = maps.Clone(s.Deployments)
	s.Deployments[d.environment] = to
	s.Proposals = maps.Clone(s.Proposals)
	delete(s.Proposals, d.environment) // what waited has been overtaken
	return out, nil
}

// last bounds what is remembered of an environment's revisions.
func last(revisions []int) []int {
	const most = 50
	return revisions[max(0, len(revisions)-most):]
}

// reaches asks whether the clusters that a revision names in an environment are there.
// Those of the document itself are asked for by the check of the whole.
func (c *changing) reaches(next *resource.Version, d deploying) error {
	if before := c.edit.Get(next.Key()); before == nil || d.revision > before.Status.Revision {
		return nil
	}
	for _, channel := range slices.Sorted(maps.Keys(next.Spec.Channels)) {
		b, mapped := next.Spec.Channels[channel][d.environment]
		if !mapped {
			continue
		}
		r := c.edit.Get(resource.Key{Kind: resource.KindCluster, Name: b.Cluster})
		if r == nil || r.Document.Meta().Environment != d.environment {
			return fault.New(fault.Conflict, "revision %d of %s has channel %s on cluster %s, which is not in %s any more: apply the version with a cluster that is there", d.revision, next.Key(), channel, b.Cluster, d.environment)
		}
	}
	return nil
}

// given asks whether the clusters of an environment give a revision its topics there, now:
// an earlier one may be of a time when they did. What the environment has stays.
func (c *changing) given(after *Record, next *resource.Version, environment string) error {
	var has resource.Offer
	if current, ok := after.Status.Deployments[environment]; ok {
		has = current.offer(after.Document.(*resource.Version))
	}
	for _, channel := range slices.Sorted(maps.Keys(next.Spec.Channels)) {
		b, mapped := next.Spec.Channels[channel][environment]
		if !mapped || has.Channels[channel][environment] == b {
			continue
		}
		if err := c.mayPublish(next, "spec.channels."+channel+"."+environment, b); err != nil {
			return err
		}
	}
	return nil
}

// Finding is something about a revision that matters for an environment.
type Finding struct {
	// Rule is one of docs/contracts.md.
	Rule     string
	Severity rule.Severity
	// Channel is where; empty for the whole.
	Channel string
	// Who breaks, or may notice: readers, writers; none where it is nobody in particular.
	Who []string
	// Revision is the one that it is compared with, 0 for none.
	Revision int
	Message  string
	Fix      string
	// Line is that of the AsyncAPI document; 0 where there is none.
	Line int
	// Subscriptions are those that are live and concerned, by name, and Others counts those
	// besides that whoever asks may not see.
	Subscriptions []string
	Others        int
}

// words says a finding in one line.
func (f Finding) words() string {
	text := f.Message
	if len(f.Who) > 0 {
		text = strings.Join(f.Who, " and ") + ": " + text
	}
	if f.Line > 0 {
		text = fmt.Sprintf("line %d: %s", f.Line, text)
	}
	text += " [" + f.Rule + "]"
	if len(f.Subscriptions)+f.Others > 0 {
		text += ", live are " + few(f.Subscriptions, f.Others)
	}
	return text
}

// gate looks at what stands between a revision and an environment: whether it is
// compatible with what is there, and the packs of rules that the environment wants.
// Nobody has a draft, so that it may be anything; of a preview all is told and
// nothing refused but what the environment itself wants.
func (c *changing) gate(after *Record, next *resource.Version, d deploying) ([]Finding, error) {
	state := stateOf(after.Document)
	if state == lifecycle.Draft {
		return nil, nil
	}
	spec := c.environment(d.environment)
	of := comparison{version: next.Name(), environment: d.environment}
	var err error
	if of.to, err = hashOf(next); err != nil {
		return nil, err
	}
	var findings []Finding
	if len(spec.Lint) > 0 {
		packs := of
		packs.packs = strings.Join(spec.Lint, " ")
		found, err := c.asked(task{comparison: packs, next: next})
		if err != nil {
			return nil, err
		}
		findings = slices.Clone(found)
	}
	of.mode = cmp.Or(spec.Compatibility, after.Document.(*resource.Version).Spec.Compatibility, "BACKWARD")
	current := after.Status.Deployments[d.environment]
	against := []int{current.Revision}
	if strings.HasSuffix(of.mode, "_TRANSITIVE") {
		against = current.Against
	}
	var hashes map[int]string // asked for once
	for _, n := range slices.Backward(against) {
		if of.mode == "NONE" || n == 0 || n == d.revision {
			continue
		}
		t := task{comparison: of, next: next, old: n}
		if before := c.edit.Get(after.Key()); before != nil && before.Status.Revision == 0 && n == 1 { // which is about to be kept
			t.was = content(before.Document.(*resource.Version), "")
			t.from, err = hashOf(t.was)
		} else if hashes == nil {
			hashes, err = c.hashes(next.Name())
		}
		if err != nil {
			return nil, err
		}
		if t.was == nil {
			t.from = hashes[n]
		}
		changes, err := c.asked(t)
		if err != nil {
			return nil, err
		}
		for _, f := range changes {
			f.Revision = n
			if state == lifecycle.Preview && f.Severity == rule.Error {
				f.Severity = rule.Warning
			}
			if !slices.ContainsFunc(findings, func(o Finding) bool { return o.Rule == f.Rule && o.Channel == f.Channel && o.Message == f.Message }) {
				findings = append(findings, f)
			}
		}
	}
	c.concerned(findings, next.Name(), d.environment)
	return findings, nil
}

// lineOf is a line of the AsyncAPI document that somebody wrote.
func lineOf(v *resource.Version, line int) int {
	if v.Spec.Contract.AsyncAPI == "" {
		return 0
	}
	return line
}

// compatible compares two revisions as one environment has them.
func compatible(mode string, old, next viewed, environment string) []Finding {
	from, to := old.model, next.model
	if from == nil || to == nil {
		return []Finding{{Rule: "payload-not-compared", Severity: rule.Error, Message: "one of the contracts cannot be read, so that they cannot be compared", Fix: "lint both"}}
	}
	var out []Finding
	add := func(changes []breaking.Change, before string, in *resource.Version) {
		for _, ch := range changes {
			if before != "" && ch.Severity < rule.Error {
				continue // told in the other direction, where it matters
			}
			f := Finding{Rule: ch.Rule, Severity: ch.Severity, Channel: ch.Channel, Message: before + ch.Message, Fix: ch.Fix, Line: lineOf(in, ch.Line)}
			for _, who := range ch.Who {
				f.Who = append(f.Who, string(who))
			}
			out = append(out, f)
		}
	}
	base, _, _ := strings.Cut(mode, "_")
	if base == "BACKWARD" || base == "FULL" {
		add(breaking.Compare(from, to), "", next.Version)
	}
	if base == "FORWARD" || base == "FULL" {
		add(breaking.Compare(to, from), "going back: ", old.Version)
	}
	for _, name := range slices.Sorted(maps.Keys(old.Spec.Channels)) {
		was, had := old.Spec.Channels[name][environment]
		is, has := next.Spec.Channels[name][environment]
		if had && has && was != is {
			out = append(out, Finding{Rule: "backing-topic", Severity: rule.Warning, Channel: name, Who: []string{string(breaking.Readers)},
				Message: fmt.Sprintf("channel %s is on another backing topic, where offsets mean other records", name), Fix: "nothing, if the topic was copied with its offsets"})
		}
	}
	return out
}

// concerned notes in findings that are errors the live subscriptions that they concern.
// Those of others' products are counted, where the actor may not see them.
func (c *changing) concerned(findings []Finding, version, environment string) {
	if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == rule.Error }) {
		return
	}
	type subscriber struct {
		name   string // "" for one that the actor may not see
		rights map[string]string
	}
	var live []subscriber
	for r := range c.edit.Records() {
		s, ok := r.Document.(*resource.Subscription)
		if !ok || s.Metadata.Environment != environment || s.Spec.State != string(lifecycle.Active) && s.Spec.State != string(lifecycle.Suspended) {
			continue
		}
		product := c.edit.Get(resource.Key{Kind: resource.KindProduct, Name: s.Spec.Product})
		if product == nil || !slices.Contains(product.Document.(*resource.Product).Spec.Versions, version) {
			continue
		}
		one := subscriber{rights: product.Document.(*resource.Product).Spec.Plans[s.Spec.Plan].Rights}
		if identity.Sees(c.q.Actor, c.object(s, false)) {
			one.name = s.Name()
		}
		live = append(live, one)
	}
	slices.SortFunc(live, func(a, b subscriber) int { return cmp.Compare(a.name, b.name) })
	for i := range findings {
		f := &findings[i]
		if f.Severity != rule.Error {
			continue
		}
		for _, s := range live {
			word := s.rights[f.Channel]
			reads, writes := word == "" || strings.HasPrefix(word, "read"), word == "" || strings.HasSuffix(word, "write")
			switch {
			case len(f.Who) > 0 && !(reads && slices.Contains(f.Who, string(breaking.Readers))) && !(writes && slices.Contains(f.Who, string(breaking.Writers))):
			case s.name == "":
				f.Others++
			default:
				f.Subscriptions = append(f.Subscriptions, s.name)
			}
		}
	}
}

// pass lets a revision into an environment, or says why not. What is refused passes
// with a waiver.
func (c *changing) pass(after *Record, findings []Finding, d deploying) (*Waiver, []resource.Problem, error) {
	v := after.Document.(*resource.Version)
	path := "spec.contract"
	if v.Spec.Contract.Digest != "" {
		path = "spec.contract.file"
	}
	var refused, warnings []resource.Problem
	waiver := &Waiver{Reason: d.waive, By: c.q.Actor.String()}
	if d.proposal != nil {
		waiver.By = d.proposal.By
	}
	for _, f := range findings {
		p := v.Problem(path, fmt.Sprintf("in %s: %s", d.environment, f.words()), f.Fix)
		switch f.Severity {
		case rule.Error:
			p.Fix = strings.TrimSuffix(cmp.Or(f.Fix, "take it back"), ", or publish a new major version") + ", make a new version, or deploy it all the same with --waive REASON"
			refused = append(refused, p)
			const most = 20
			if len(waiver.Broken) < most {
				waiver.Broken = append(waiver.Broken, strings.TrimSpace(f.Rule+" "+f.Channel+" "+strings.Join(f.Who, " ")))
			}
		case rule.Warning:
			p.Warning = true
			warnings = append(warnings, p)
		}
	}
	switch {
	case len(refused) == 0:
		return nil, warnings, nil
	case strings.TrimSpace(d.waive) == "":
		return nil, nil, &ProblemsError{refused}
	}
	if d.proposal == nil { // who asked had the right then
		if err := c.may(identity.Waive, c.object(v, false)); err != nil {
			return nil, nil, err
		}
	}
	for i := range refused {
		refused[i].Warning, refused[i].Fix = true, "waived: "+d.waive
	}
	return waiver, append(refused, warnings...), nil
}

// Promotion asks for a revision of a version in an environment.
type Promotion struct {
	Version string
	// To is the environment that gets it. From is the one before it in the order, which
	// is the default; at the beginning of the order there is none, and the newest
	// revision is meant.
	From, To string
	// Revision, unless 0, is another one than what From has. It must have been there.
	Revision int
	// Waive is the reason for deploying what breaks somebody.
	Waive string
	// Tag is the one that the version must have; 0 for any.
	Tag int64
}

// Promote brings a revision to the next environment of the order, or lets it wait for
// a second person. Warnings stop nothing. The error has a kind of fault.
func (p *Plane) Promote(ctx context.Context, q Request, m Promotion) (*Record, Deployed, []resource.Problem, error) {
	return p.deployment(ctx, q, m.Version, m.To, "promote", m.Tag, func(c *changing, after *Record) (outcome, error) {
		s := after.Status
		before := c.environment(m.To).After
		d := deploying{environment: m.To, revision: m.Revision, from: before, waive: m.Waive}
		switch {
		case m.From != "" && m.From != before && before == "":
			return outcome{}, fault.New(fault.Invalid, "%s is at the beginning of the order: nothing is promoted to it, and what is applied is deployed there; leave out from to deploy the newest revision again", m.To)
		case m.From != "" && m.From != before:
			return outcome{}, fault.New(fault.Invalid, "%s comes after %s, not after %s: promote it from there", m.To, before, m.From)
		case before == "" && d.revision == 0:
			d.revision = s.Revision
		case before != "":
			there, ok := s.Deployments[before]
			if !ok {
				return outcome{}, fault.New(fault.Conflict, "%s is not deployed to %s, from which it would be promoted to %s", after.Key(), before, m.To)
			}
			if d.revision == 0 {
				d.revision = there.Revision
			} else if !slices.Contains(there.Against, d.revision) && !slices.Contains(there.Had, d.revision) {
				return outcome{}, fault.New(fault.Conflict, "revision %d of %s has not been in %s: promote it there first", d.revision, after.Key(), before)
			}
		}
		if stateOf(after.Document) == lifecycle.Retired {
			return outcome{}, fault.New(fault.Conflict, "%s is retired: publish it again first", after.Key())
		}
		return c.bring(after, d)
	})
}

// Rollback asks for an earlier revision in an environment.
type Rollback struct {
	Version, Environment string
	// To is a revision that the environment has had; 0 is the one before the current one.
	To int
	// Tag is the one that the version must have; 0 for any.
	Tag int64
}

// Rollback brings back what an environment has had. It passed all checks then, and
// waits for nobody. The version's document stays as it is: applying the same again
// changes nothing. The error has a kind of fault.
func (p *Plane) Rollback(ctx context.Context, q Request, m Rollback) (*Record, Deployed, []resource.Problem, error) {
	return p.deployment(ctx, q, m.Version, m.Environment, "rollback", m.Tag, func(c *changing, after *Record) (outcome, error) {
		current, ok := after.Status.Deployments[m.Environment]
		if !ok {
			return outcome{}, fault.New(fault.Conflict, "%s is not deployed to %s", after.Key(), m.Environment)
		}
		d := deploying{environment: m.Environment, revision: m.To, from: current.From, back: true}
		if d.revision == 0 {
			if len(current.Had) < 2 {
				return outcome{}, fault.New(fault.Conflict, "%s has had no other revision of %s than %d", m.Environment, after.Key(), current.Revision)
			}
			d.revision = current.Had[len(current.Had)-2]
		}
		if !slices.Contains(current.Had, d.revision) {
			return outcome{}, fault.New(fault.Conflict, "revision %d of %s did not lead to what %s has (%s): promote it, which checks it", d.revision, after.Key(), m.Environment, numbers(current.Had))
		}
		return c.bring(after, d)
	})
}

func numbers(revisions []int) string {
	var words []string
	for _, n := range revisions {
		words = append(words, fmt.Sprint(n))
	}
	return strings.Join(words, ", ")
}

// Deployments returns a version, and the environments that it names or is deployed to
// in the order of promotion. They are for those who own it.
func (p *Plane) Deployments(q Request, version string) (*Record, []Stage, error) {
	r, err := p.mayRead(q, version)
	if err != nil {
		return nil, nil, err
	}
	c := &changing{edit: p.Model().edit()}
	all := environmentsOf(r.Document.(*resource.Version))
	all = append(append(all, slices.Collect(maps.Keys(r.Status.Deployments))...), slices.Collect(maps.Keys(r.Status.Proposals))...)
	slices.Sort(all)
	out := []Stage{}
	for _, name := range slices.Compact(all) {
		spec := c.environment(name)
		out = append(out, Stage{Environment: name, After: spec.After, FourEyes: spec.FourEyes, rank: rankOf(name, c.edit.Get)})
	}
	slices.SortStableFunc(out, func(a, b Stage) int { return cmp.Compare(a.rank, b.rank) })
	return r, out, nil
}

// rankOf counts the environments before one in the order of promotion.
func rankOf(environment string, get func(resource.Key) *Record) int {
	for rank := range maxStages {
		r := get(resource.Key{Kind: resource.KindEnvironment, Name: environment})
		if r == nil || r.Document.(*resource.Environment).Spec.After == "" {
			return rank
		}
		environment = r.Document.(*resource.Environment).Spec.After
	}
	return maxStages
}

// maxStages bounds what follows an order, should there be a circle.
const maxStages = 100

// Stage is an environment in the order of promotion.
type Stage struct {
	Environment, After string
	FourEyes           bool
	rank               int
}

// bring deploys a revision that the store has.
func (c *changing) bring(after *Record, d deploying) (outcome, error) {
	if after.Status.Revision == 0 {
		return outcome{}, fault.New(fault.Conflict, "%s has no revisions yet: the next change of its contract or channels makes the first ones", after.Key())
	}
	if after.Status.Deployments[d.environment].Revision == d.revision {
		return outcome{Deployed: Deployed{Environment: d.environment, Revision: d.revision, Was: d.revision}}, nil
	}
	next, err := c.revision(after.Key().Name, d.revision)
	if isNotFound(err) {
		return outcome{}, fault.New(fault.NotFound, "%s has no revision %d", after.Key(), d.revision)
	}
	if err != nil {
		return outcome{}, err
	}
	if !slices.Contains(environmentsOf(next), d.environment) {
		return outcome{}, fault.New(fault.Conflict, "revision %d of %s has no channel in %s: map its channels to topics there, in spec.channels", d.revision, after.Key(), d.environment)
	}
	return c.deploy(after, next, d)
}

// deployment changes what an environment has of a version.
func (p *Plane) deployment(ctx context.Context, q Request, version, environment, action string, tag int64, f func(*changing, *Record) (outcome, error)) (after *Record, done Deployed, warnings []resource.Problem, err error) {
	key := resource.Key{Kind: resource.KindVersion, Name: version}
	err = p.change(ctx, q, func(c *changing) error {
		before, next, err := c.successor(key, tag)
		if err != nil {
			return err
		}
		if err := c.may(identity.Deploy, c.object(before.Document, false)); err != nil {
			return err
		}
		if environment == "" {
			return fault.New(fault.Invalid, "name the environment")
		}
		out, err := f(c, next)
		done, warnings = out.Deployed, out.warnings
		if err != nil {
			return err
		}
		if done.Was == done.Revision && !done.Waits {
			after = before
			return nil
		}
		state := stateOf(next.Document)
		next.Status.step(c.now, q.Actor, lifecycle.Action(action), state, state, q.Reason)
		next.Status.about(done.Revision, environment)
		if err := c.put(next, next.links()); err != nil {
			return err
		}
		if err := c.tell(next, action, map[string]any{"deployed": []Deployed{done}}); err != nil {
			return err
		}
		after = next
		more, err := c.check()
		warnings = append(warnings, more...)
		return err
	})
	if err != nil {
		return nil, Deployed{}, nil, err
	}
	return after, done, warnings, nil
}

// about says what the last step was about.
func (s *Status) about(revision int, environment string) {
	s.Trail[len(s.Trail)-1].Revision, s.Trail[len(s.Trail)-1].Environment = revision, environment
}
