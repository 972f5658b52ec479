package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/resource"
	"sluice/internal/strictyaml"
)

// Wanted is what somebody wants to be there.
type Wanted struct {
	// Documents are to be there as they are. Those that are not named stay.
	Documents []resource.Any
	// Secrets are those of credentials, by name, for types that have one. A new
	// credential without one gets one, which Outcome shows once.
	Secrets map[string]string
	// Owner marks the documents as applied by it, such as a repository and a path.
	Owner string
	// Prune removes the documents of the Owner that are not among these.
	Prune bool
	// Waive is the reason for deploying revisions that break somebody; without one they
	// are refused.
	Waive string
	// AsIs takes over documents that another installation has exported: they come about
	// in the states that they name, and nobody is asked for a role. It is for
	// platform-admins, and for documents that are not there.
	AsIs bool
	// Tags are those that documents must have; 0 says that there must be none.
	Tags map[resource.Key]int64
}

// takingOver is what the audit log and a document's trail call that it came as it was
// elsewhere.
const takingOver = "take-over"

// What became of a document.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Removed   = "removed"
)

// Outcome is what became of one document.
type Outcome struct {
	Key resource.Key
	// Result is one of Created, Changed, Unchanged and Removed.
	Result string
	// Serial and Tag are the document's now; 0 when it was removed.
	Serial, Tag int64
	// Before is the tag that it had, 0 where there was none.
	Before int64
	// Differences are the fields that changed.
	Differences []Difference
	// State is the document's, where it has one.
	State lifecycle.State
	// Revision is the one that was made of a version, 0 for none; Deployed is where it
	// went.
	Revision int
	Deployed []Deployed
	warnings []resource.Problem // of that
	// Secret is what the server made for a new credential. It is nowhere else.
	Secret string
}

// Report is what became of what somebody wanted.
type Report struct {
	// Outcomes are of the documents in the order of kinds and names, removed ones last.
	Outcomes []Outcome
	// Warnings are problems that stop nothing.
	Warnings []resource.Problem
}

// Apply brings documents about, all of them or none. Applying the same again changes
// nothing. The error is a *ProblemsError when documents are not sound, or has a kind
// of fault.
func (p *Plane) Apply(ctx context.Context, q Request, want Wanted) (*Report, error) {
	if want.Prune && want.Owner == "" {
		return nil, fault.New(fault.Invalid, "prune needs an owner: it removes what the owner has applied before and does not any more")
	}
	if want.AsIs {
		if err := identity.Authorise(q.Actor, identity.AdministerPlatform, identity.Object{}); err != nil {
			return nil, err
		}
	}
	report := &Report{}
	err := p.change(ctx, q, func(c *changing) error {
		c.silent = want.AsIs
		*report = Report{}
		documents := slices.Clone(want.Documents)
		slices.SortStableFunc(documents, func(a, b resource.Any) int { return compareKeys(a.Key(), b.Key()) })
		named := map[resource.Key]bool{}
		for _, d := range documents {
			if named[d.Key()] {
				return &ProblemsError{[]resource.Problem{d.Problem("metadata.name", "is there twice", "remove one")}}
			}
			named[d.Key()] = true
		}
		c.named = named
		for name := range want.Secrets {
			if !named[resource.Key{Kind: resource.KindCredential, Name: name}] {
				return fault.New(fault.Invalid, "there is a secret for Credential %s, which is not among the documents", name)
			}
		}
		for _, d := range documents {
			tag, must := want.Tags[d.Key()]
			outcome, err := c.apply(d, want, tag, must)
			if err != nil {
				return err
			}
			report.Outcomes, report.Warnings = append(report.Outcomes, outcome), append(report.Warnings, outcome.warnings...)
		}
		if want.Prune {
			if err := c.prune(want.Owner, named, report); err != nil {
				return err
			}
		}
		warnings, err := c.check()
		report.Warnings = append(report.Warnings, warnings...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// Delete removes documents, all of them or none. What others refer to stays, unless
// those are removed too.
func (p *Plane) Delete(ctx context.Context, q Request, keys []resource.Key, tags map[resource.Key]int64) (*Report, error) {
	report := &Report{}
	err := p.change(ctx, q, func(c *changing) error {
		*report = Report{}
		if err := c.remove(keys, tags, report); err != nil {
			return err
		}
		warnings, err := c.check()
		report.Warnings = warnings
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// meanwhile says that a document is not what somebody has seen of it.
func meanwhile(r *Record) error {
	return fault.New(fault.Conflict, "%s has changed meanwhile, at %s: look at it again", r.Key(), r.Changed.UTC().Format(time.RFC3339))
}

// ownerOf returns who a document belongs to, as things are after the changes so far.
func (c *changing) ownerOf(d resource.Any) identity.Owner {
	team := teamOf(d, c.edit.Get)
	return identity.Owner{Organisation: organisationOf(d, team, c.edit.Get), Team: team}
}

// object is a document as authorisation sees it.
func (c *changing) object(d resource.Any, absent bool) identity.Object {
	return objectOf(d, absent, c.edit.Get)
}

// apply brings one document about.
func (c *changing) apply(d resource.Any, want Wanted, tag int64, must bool) (Outcome, error) {
	key := d.Key()
	before := c.edit.Get(key)
	if must && before == nil && tag != 0 {
		return Outcome{}, fault.New(fault.Conflict, "%s is not there any more", key)
	}
	if err := c.owned(d, before); err != nil {
		return Outcome{}, err
	}
	d, err := settled(d, before)
	if err != nil {
		return Outcome{}, err
	}
	version, _ := d.(*resource.Version)
	var text string // of its contract
	if version != nil {
		if text, err = takeContract(version, before); err != nil {
			return Outcome{}, err
		}
	}
	var pages map[string]string // of its documentation
	var paged bool
	if api, ok := d.(*resource.API); ok {
		if pages, paged, err = takePages(api, before); err != nil {
			return Outcome{}, err
		}
	}
	after := &Record{Document: d, Serial: 1, Created: c.now, Changed: c.now, Owner: want.Owner}
	owner := c.ownerOf(d)
	after.Team, after.Organisation = owner.Team, owner.Organisation
	result := Created
	var from lifecycle.State
	if before != nil {
		result = Changed
		after.Serial, after.Created, after.Status = before.Serial+1, before.Created, before.Status
		if want.Owner == "" {
			after.Owner = before.Owner
		}
		from = stateOf(before.Document)
		if err := c.may(identity.Read, c.object(before.Document, false)); err != nil {
			if err := c.may(identity.Write, c.object(d, true)); err != nil { // as of what is not there
				return Outcome{}, err
			}
			return Outcome{}, fault.New(fault.Conflict, "%s: the name is taken, choose another one", key)
		}
		if must && before.Tag() != tag {
			return Outcome{}, meanwhile(before)
		}
	}
	different, err := differs(before, d)
	if err != nil {
		return Outcome{}, err
	}
	secret, made, proved, err := c.secret(d, before, want)
	if err != nil {
		return Outcome{}, err
	}
	if !different && before.Owner == after.Owner && !proved {
		return Outcome{Key: key, Result: Unchanged, Serial: before.Serial, Tag: before.Tag(), Before: before.Tag(), State: from}, nil
	}
	action := "apply"
	switch {
	case want.AsIs && before != nil:
		return Outcome{}, fault.New(fault.Conflict, "%s is there already, and another one: as it is, only what is not there is taken over", key)
	case want.AsIs:
		action = takingOver
	case !c.consents(d, before):
		if before != nil { // who owned it has to let it go, and who gets it has to take it
			if err := c.may(identity.Write, c.object(before.Document, false)); err != nil {
				return Outcome{}, err
			}
		}
		if err := c.mayWrite(d, before); err != nil {
			return Outcome{}, err
		}
		if s, ok := d.(*resource.Subscription); ok && before == nil {
			if err := c.onlyOne(s); err != nil {
				return Outcome{}, err
			}
		}
	}
	if want.AsIs {
		c.takeOver(after)
	} else if err := c.moves(after, from); err != nil {
		return Outcome{}, err
	}
	differences, err := differ(before, after.Document)
	if err != nil {
		return Outcome{}, err
	}
	var revised *revised
	if version != nil {
		if revised, err = c.revise(after, before, text, want.Waive); err != nil {
			return Outcome{}, err
		}
	}
	if err := c.put(after, after.links()); err != nil {
		return Outcome{}, err
	}
	if err := c.file(key.Name, revised); err != nil {
		return Outcome{}, err
	}
	if paged {
		if err := c.w.PutPages(key.Name, pages); err != nil {
			return Outcome{}, err
		}
	}
	if proved {
		if err := c.prove(after, secret, time.Time{}); err != nil {
			return Outcome{}, err
		}
	}
	if err := c.tell(after, action, revised.notes(differences)); err != nil {
		return Outcome{}, err
	}
	var was int64
	if before != nil {
		was = before.Tag()
	}
	outcome := Outcome{Key: key, Result: result, Before: was, Serial: after.Serial, Tag: after.Tag(), Differences: differences, State: stateOf(after.Document)}
	if revised != nil {
		outcome.Revision, outcome.Deployed, outcome.warnings = after.Status.Revision, revised.deployed, revised.warnings
	}
	if made && !c.q.DryRun {
		outcome.Secret = secret
	}
	return outcome, nil
}

// owned sees to it that a document that needs an owner has one that is there. An owner that
// the actor may not see is answered as one that is not there, unless the document that the
// actor sees has it already.
func (c *changing) owned(d resource.Any, before *Record) error {
	team := d.Meta().Team
	there := func(key resource.Key, now func(resource.Any) string) bool {
		if r := c.edit.Get(key); r == nil || c.may(identity.Read, c.object(r.Document, false)) == nil {
			return r != nil
		}
		return before != nil && now(before.Document) == key.Name && c.may(identity.Read, c.object(before.Document, false)) == nil
	}
	switch d.Key().Kind {
	case resource.KindTeam:
		above := resource.Key{Kind: resource.KindOrganisation, Name: d.(*resource.Team).Spec.Organisation}
		if !there(above, func(d resource.Any) string { return d.(*resource.Team).Spec.Organisation }) {
			return &ProblemsError{[]resource.Problem{d.Problem("spec.organisation", fmt.Sprintf("there is no %s that you may see", above), "correct the name, or apply it first, or together with this one")}}
		}
		return nil
	case resource.KindAPI, resource.KindProduct, resource.KindApplication:
		if team == "" {
			return &ProblemsError{[]resource.Problem{d.Problem("metadata.team", "is missing: everything here belongs to a team", "name the team that owns it")}}
		}
	case resource.KindVersion, resource.KindSubscription, resource.KindCredential:
		if owner := teamOf(d, c.edit.Get); team != "" && owner != "" && team != owner {
			return &ProblemsError{[]resource.Problem{d.Problem("metadata.team", fmt.Sprintf("is %s, but what it belongs to is owned by %s", team, owner), "remove the line")}}
		}
		return nil
	default:
		return nil
	}
	if !there(resource.Key{Kind: resource.KindTeam, Name: team}, func(d resource.Any) string { return d.Meta().Team }) {
		return &ProblemsError{[]resource.Problem{d.Problem("metadata.team", fmt.Sprintf("there is no Team %q that you may see", team), "correct the name, or apply a document of kind Team first, or together with this one")}}
	}
	return nil
}

func (c *changing) may(op identity.Operation, o identity.Object) error {
	return identity.Authorise(c.q.Actor, op, o)
}

// mayWrite asks whether a document may be written as it is wanted.
func (c *changing) mayWrite(d resource.Any, before *Record) error {
	if err := c.may(identity.Write, c.object(d, before == nil)); err != nil {
		if team := ownTeam(d); before != nil && team != before.Team && fault.KindOf(err) == fault.NotFound { // it is there, and theirs
			return fault.Wrap(fault.Denied, err, "%s: giving it to team %s takes somebody who may write for both teams, and you may write for %s only: ask an org-admin of both, or somebody who is in both", d.Key(), team, before.Team)
		}
		return err
	}
	if err := c.mayRefer(d, before); err != nil {
		return err
	}
	switch d := d.(type) {
	case *resource.Version:
		var was map[string]map[string]resource.Backing
		if before != nil {
			was = before.Document.(*resource.Version).Spec.Channels
		}
		for _, channel := range slices.Sorted(maps.Keys(d.Spec.Channels)) {
			for _, environment := range slices.Sorted(maps.Keys(d.Spec.Channels[channel])) {
				if b := d.Spec.Channels[channel][environment]; was[channel][environment] != b {
					if err := c.mayPublish(d, "spec.channels."+channel+"."+environment, b); err != nil {
						return err
					}
				}
			}
		}
	case *resource.Application:
		was := resource.ApplicationSpec{}
		if before != nil {
			was = before.Document.(*resource.Application).Spec
		}
		if reaches(was, d.Spec) {
			return c.may(identity.Consent, c.object(d, false))
		}
	case *resource.Subscription:
		var was *resource.Subscription
		if before != nil {
			was = before.Document.(*resource.Subscription)
			if err := c.mayReplace(d, was); err != nil {
				return err
			}
		}
		return c.answered(d, was)
	}
	return nil
}

// reaches says whether an application gets at more of the target cluster than it did:
// that takes consent. Giving up names that it had adopted, or its namespace, does not.
func reaches(was, is resource.ApplicationSpec) bool {
	more := func(was, is []string) bool {
		return slices.ContainsFunc(is, func(name string) bool { return !slices.Contains(was, name) })
	}
	return more(was.Adopt.Groups, is.Adopt.Groups) || more(was.Adopt.TransactionalIDs, is.Adopt.TransactionalIDs) ||
		is.Namespace != was.Namespace && is.Namespace != resource.Namespace{} || !maps.Equal(was.Clusters, is.Clusters)
}

// consents says whether a document is an application that differs from what it was in
// nothing but what consent is needed for, by somebody who may give it: they need not be
// of its team.
func (c *changing) consents(d resource.Any, before *Record) bool {
	app, is := d.(*resource.Application)
	if !is || before == nil || c.may(identity.Consent, c.object(before.Document, false)) != nil {
		return false
	}
	was, now := *before.Document.(*resource.Application), *app
	was.Spec.Adopt, was.Spec.Namespace, was.Spec.Clusters = now.Spec.Adopt, now.Spec.Namespace, now.Spec.Clusters
	different, err := differs(&Record{Document: &was}, &now)
	return err == nil && !different
}

// mayRefer asks whether a document may name those that it names and did not before.
// What the actor may not see is answered as what is not there.
func (c *changing) mayRefer(d resource.Any, before *Record) error {
	known := map[resource.Key]bool{}
	if before != nil {
		for _, key := range links(before.Document) {
			known[key] = true
		}
	}
	for _, key := range links(d) {
		r := c.edit.Get(key)
		if known[key] || r == nil && c.named[key] || key.Kind == resource.KindTeam || key.Kind == resource.KindOrganisation {
			continue // as before, about to come, or asked for by Write
		}
		op := identity.Read
		switch d.(type) {
		case *resource.Version:
			if key.Kind == resource.KindCluster {
				op = identity.Use
			}
		case *resource.Application:
			continue // its clusters want consent
		case *resource.Product:
			op = identity.Write // whoever sells a version has to own it
		}
		var err error
		if r == nil {
			err = fault.New(fault.NotFound, "")
		} else {
			err = c.may(op, c.object(r.Document, false))
		}
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.Denied && op == identity.Write:
			return fault.Wrap(fault.Denied, err, "%s: a product holds versions of teams that you publish for, and %s is of another one", d.Key(), key)
		default:
			return c.unseen(d, key, op)
		}
	}
	return nil
}

// unseen says of a name that nothing has it, or nothing that the actor may see.
func (c *changing) unseen(d resource.Any, key resource.Key, op identity.Operation) error {
	var names []string
	for r := range c.edit.from.Records() {
		if r.Key().Kind == key.Kind && c.may(op, c.object(r.Document, false)) == nil && c.known(r) {
			names = append(names, r.Key().Name)
		}
	}
	fix := "correct the name, or apply it first, or together with this one"
	if near := strictyaml.Nearest(key.Name, names); near != "" {
		fix = "did you mean " + near + "?"
	}
	return &ProblemsError{[]resource.Problem{d.Problem(pathOf(d, key.Name), fmt.Sprintf("there is no %s %q that you may use here", key.Kind, key.Name), fix)}}
}

// known says whether a name may be told to somebody who has not said it: publishers may use
// any cluster, and know of those that they see and those that give their teams something.
func (c *changing) known(r *Record) bool {
	cluster, is := r.Document.(*resource.Cluster)
	return !is || c.may(identity.Read, c.object(cluster, false)) == nil || slices.ContainsFunc(c.q.Actor.Memberships(), func(m identity.Membership) bool {
		return len(cluster.Spec.Publish[m.Team]) > 0
	})
}

// pathOf returns the first field of a document that has a value, "" for none.
func pathOf(d resource.Any, value string) string {
	of, err := fields(d)
	if err != nil {
		return ""
	}
	for _, path := range slices.Sorted(maps.Keys(of)) {
		if strings.HasPrefix(path, "spec.") && of[path] == value {
			return path
		}
	}
	return "metadata.name"
}

// mayPublish asks whether a version may have a backing topic: the cluster has to give
// it to the version's team, and no other team may publish it already.
func (c *changing) mayPublish(v *resource.Version, path string, b resource.Backing) error {
	if c.q.Actor.PlatformAdmin() {
		return nil
	}
	team := c.ownerOf(v).Team
	cluster := resource.Key{Kind: resource.KindCluster, Name: b.Cluster}
	r := c.edit.Get(cluster)
	if r == nil {
		return nil // which the check of the whole says
	}
	publishers, err := c.publishers(cluster)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(publishers[b], func(other string) bool { return other != team }) {
		return &ProblemsError{[]resource.Problem{v.Problem(path+".topic", "is published by another team already", "ask a platform-admin")}}
	}
	if gives(r.Document.(*resource.Cluster), team, b.Topic) >= 0 {
		return nil
	}
	return fault.New(fault.Denied, "%s: %s: the cluster does not give topic %q to team %s: ask a platform-admin to write publish: {%s: [%s]} into the Cluster", v.Key(), path, b.Topic, team, team, b.Topic)
}

// publishers are the teams that publish from a cluster, by topic: as their versions say,
// and as environments have them. It is worked out once for all channels of a version.
func (c *changing) publishers(cluster resource.Key) (map[resource.Backing][]string, error) {
	if of, known := c.published[cluster]; known {
		return of, nil
	}
	there, err := c.w.Referring(cluster)
	if err != nil {
		return nil, fmt.Errorf("look for who publishes from %s: %w", cluster, err)
	}
	of := map[resource.Backing][]string{}
	for _, key := range there {
		if key.Kind != resource.KindVersion {
			continue
		}
		r := c.edit.Get(key)
		note := func(b resource.Backing) {
			if b.Cluster == cluster.Name && !slices.Contains(of[b], r.Team) {
				of[b] = append(of[b], r.Team)
			}
		}
		v := r.Document.(*resource.Version)
		for _, backings := range v.Spec.Channels {
			for _, b := range backings {
				note(b)
			}
		}
		for environment, d := range r.Status.Deployments {
			for _, backings := range d.offer(v).Channels {
				note(backings[environment])
			}
		}
	}
	if c.published == nil {
		c.published = map[resource.Key]map[resource.Backing][]string{}
	}
	c.published[cluster] = of
	return of, nil
}

// mayReplace asks whether a subscription may become another one.
func (c *changing) mayReplace(d, was *resource.Subscription) error {
	switch {
	case d.Spec.Application != was.Spec.Application, d.Spec.Product != was.Spec.Product, d.Metadata.Environment != was.Metadata.Environment:
		return fault.New(fault.Conflict, "%s is of application %s to product %s in %s and stays so: close it, and make another one", d.Key(), was.Spec.Application, was.Spec.Product, was.Metadata.Environment)
	case d.Spec.Plan == was.Spec.Plan && maps.Equal(d.Spec.Answers, was.Spec.Answers), c.automatic(d), was.Spec.State == string(lifecycle.Pending):
		return nil
	case c.environment(d.Metadata.Environment).FourEyes:
		return fault.New(fault.Denied, "%s: plan %s wants approval, and %s wants that by somebody else than who asks: make another subscription, and close this one when it is approved", d.Key(), d.Spec.Plan, d.Metadata.Environment)
	}
	if err := c.may(identity.Approve, c.object(d, false)); err != nil {
		return fault.Wrap(fault.Denied, err, "%s: plan %s wants approval, which is for whoever approves subscriptions to %s", d.Key(), d.Spec.Plan, d.Spec.Product)
	}
	return nil
}

// onlyOne asks whether a subscription that is made would be the second one that an
// application has to a product in an environment: both would bring the same topics.
func (c *changing) onlyOne(d *resource.Subscription) error {
	if state := lifecycle.State(d.Spec.State); state != lifecycle.New && !state.Open() {
		return nil
	}
	app := resource.Key{Kind: resource.KindApplication, Name: d.Spec.Application}
	there, err := c.w.Referring(app)
	if err != nil {
		return fmt.Errorf("look for subscriptions of %s: %w", app, err)
	}
	for _, key := range there {
		r := c.edit.Get(key)
		if r == nil {
			continue
		}
		s, ok := r.Document.(*resource.Subscription)
		if ok && s.Spec.Application == d.Spec.Application && s.Spec.Product == d.Spec.Product && s.Metadata.Environment == d.Metadata.Environment && stateOf(s).Open() {
			return fault.New(fault.Conflict, "%s: application %s has %s to product %s in %s already, and it is %s: change its plan, or close it first", d.Key(), d.Spec.Application, s.Key(), d.Spec.Product, d.Metadata.Environment, stateOf(s))
		}
	}
	return nil
}

// put writes a record.
func (c *changing) put(r *Record, links []resource.Key) error {
	if before := c.edit.Get(r.Key()); before != nil && stateOf(before.Document) == lifecycle.Deprecated && stateOf(r.Document) == lifecycle.Deprecated && rescheduled(before.Document, r.Document) {
		r.Status.Warned = c.now // by telling of the new dates
	}
	if err := c.w.Put(r, links); err != nil {
		return fmt.Errorf("write %s: %w", r.Key(), err)
	}
	c.edit.changed[r.Key()] = r
	if r.Key().Kind == resource.KindVersion {
		c.published = nil
	}
	return nil
}

// rowOf begins the audit row of a change to a document.
func (c *changing) rowOf(r *Record, action string) audit.Row {
	row := c.q.row(c.now, action)
	row.Kind, row.Name, row.Team, row.Organisation = string(r.Key().Kind), r.Key().Name, r.Team, r.Organisation
	return row
}

// tell writes the audit row of a change to a document, with what there is to say of it.
// Where nobody gave a reason, that of a waiver is one.
func (c *changing) tell(r *Record, action string, details map[string]any) error {
	row := c.rowOf(r, action)
	if deployed, ok := details["deployed"].([]Deployed); ok {
		for _, d := range deployed {
			if d.Waiver != nil {
				row.Reason = cmp.Or(row.Reason, d.Waiver.Reason)
			}
		}
	}
	if at := r.Document.Meta().Environment; at != "" {
		if details = maps.Clone(details); details == nil {
			details = map[string]any{}
		}
		details["environment"] = at
	}
	if len(details) > 0 {
		var err error
		if row.Details, err = json.Marshal(details); err != nil {
			return fmt.Errorf("bug: details of %s: %w", r.Key(), err)
		}
	}
	if _, err := c.w.AppendAudit(row); err != nil {
		return fmt.Errorf("write the audit row of %s: %w", r.Key(), err)
	}
	return nil
}

// prune removes what an owner has applied and does not name any more. Owners are words that
// anybody may choose: what is not seen, or of an organisation that the actor has no role in,
// is of somebody else who chose the same.
func (c *changing) prune(owner string, named map[resource.Key]bool, report *Report) error {
	var gone []resource.Key
	for r := range c.edit.from.Records() {
		if r.Owner != owner || named[r.Key()] {
			continue
		}
		err := c.may(identity.Delete, c.object(r.Document, false))
		if err == nil || fault.KindOf(err) == fault.Denied && (c.q.Actor.PlatformAdmin() || c.belongsTo(r.Organisation)) {
			gone = append(gone, r.Key())
		}
	}
	return c.remove(gone, nil, report)
}

// belongsTo says whether the actor has a role in an organisation.
func (c *changing) belongsTo(organisation string) bool {
	return slices.ContainsFunc(c.q.Actor.Memberships(), func(m identity.Membership) bool { return m.Organisation == organisation })
}

// remove removes documents, those first that refer to others.
func (c *changing) remove(keys []resource.Key, tags map[resource.Key]int64, report *Report) error {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b resource.Key) int { return compareKeys(b, a) })
	going := map[resource.Key]bool{}
	for _, key := range keys {
		going[key] = true
	}
	for _, key := range keys {
		r := c.edit.Get(key)
		if r == nil {
			return c.may(identity.Delete, identity.Object{Kind: key.Kind, Name: key.Name, Absent: true})
		}
		if err := c.may(identity.Delete, c.object(r.Document, false)); err != nil {
			return err
		}
		if tag, must := tags[key]; must && tag != r.Tag() {
			return meanwhile(r)
		}
		if v, ok := r.Document.(*resource.Version); ok {
			if s := lifecycle.State(v.Spec.Lifecycle.State); s != lifecycle.Draft && s != lifecycle.Retired {
				return fault.New(fault.Conflict, "%s is %s: only a draft or a retired version can be removed", key, s)
			}
		}
		referring, err := c.w.Referring(key)
		if err != nil {
			return fmt.Errorf("look for what refers to %s: %w", key, err)
		}
		referring = slices.DeleteFunc(referring, func(k resource.Key) bool { return going[k] })
		if len(referring) > 0 {
			return fault.New(fault.Conflict, "%s is referred to by %s: remove or change %s first, or together with it", key, c.some(referring), map[bool]string{true: "that", false: "those"}[len(referring) == 1])
		}
	}
	for _, key := range keys {
		r := c.edit.Get(key)
		if d, ok := r.Document.(*resource.Credential); ok {
			if err := c.keepEnded(d); err != nil {
				return err
			}
		}
		if err := c.w.Remove(key, c.now); err != nil {
			return fmt.Errorf("remove %s: %w", key, err)
		}
		if key.Kind == resource.KindSubscription {
			if err := c.forgetNotes(key.Name); err != nil {
				return err
			}
		}
		c.edit.changed[key] = nil
		if err := c.tell(r, "delete", nil); err != nil {
			return err
		}
		report.Outcomes = append(report.Outcomes, Outcome{Key: key, Result: Removed})
	}
	return nil
}

// some names the first few keys, and counts those that the actor may not see.
func (c *changing) some(keys []resource.Key) string {
	var names []string
	for _, k := range keys {
		if r := c.edit.Get(k); r != nil && identity.Sees(c.q.Actor, c.object(r.Document, false)) {
			names = append(names, k.String())
		}
	}
	return few(names, len(keys)-len(names))
}

// few writes the first few names, and how many there are besides: more of them, and
// hidden ones that whoever reads it may not see.
func few(names []string, hidden int) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if hidden > 0 {
		if text != "" {
			text += " and "
		}
		text += fmt.Sprintf("%d that you may not see", hidden)
	}
	return text
}

// check looks at everything as a whole, as it will be.
func (c *changing) check() (warnings []resource.Problem, err error) {
	if len(c.edit.changed) == 0 || len(c.tasks) > 0 { // there is another turn
		return nil, nil
	}
	problems := publish.Check(c.edit.Set(), c.plane.seed, c.edit.from.set)
	if bad := resource.Errors(problems); len(bad) > 0 {
		return nil, &ProblemsError{c.tellable(bad)}
	}
	for _, p := range problems { // of what was changed; the others are known
		if c.edit.changed[resource.Key{Kind: p.Kind, Name: p.Name}] != nil {
			warnings = append(warnings, p)
		}
	}
	return warnings, nil
}

// tellable are problems as the actor may read them: those of documents that it may not
// see say nothing of what they are.
func (c *changing) tellable(problems []resource.Problem) []resource.Problem {
	var out []resource.Problem
	for _, p := range problems {
		key := resource.Key{Kind: p.Kind, Name: p.Name}
		if r := c.edit.Get(key); r != nil && c.edit.changed[key] == nil && c.may(identity.Read, c.object(r.Document, false)) != nil {
			p = resource.Problem{Message: "something that you may not see would not be sound any more", Fix: "ask a platform-admin"}
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Difference is one field of a document before and after; nil where it was or is not
// there.
type Difference struct {
	Path   string `json:"path"`
	Before any    `json:"before,omitzero"`
	After  any    `json:"after,omitzero"`
}

// differs reports whether a document is another one than a record's, which may be nil.
func differs(before *Record, after resource.Any) (bool, error) {
	if before == nil {
		return true, nil
	}
	was, err := resource.Marshal(before.Document)
	if err != nil {
		return false, err
	}
	is, err := resource.Marshal(after)
	return !bytes.Equal(was, is), err
}

// differ returns the fields in which a document differs from a record's, which may
// be nil.
func differ(before *Record, after resource.Any) ([]Difference, error) {
	is, err := fields(after)
	if err != nil {
		return nil, err
	}
	was := map[string]any{}
	if before != nil {
		if was, err = fields(before.Document); err != nil {
			return nil, err
		}
	}
	var out []Difference
	for path, value := range is {
		if old, there := was[path]; !there || old != value {
			out = append(out, Difference{Path: path, Before: old, After: value})
		}
	}
	for path, value := range was {
		if _, there := is[path]; !there {
			out = append(out, Difference{Path: path, Before: value})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// fields returns a document's values by their paths.
func fields(d resource.Any) (map[string]any, error) {
	b, err := resource.Marshal(d)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		return nil, fmt.Errorf("bug: %s: %w", d.Key(), err)
	}
	out := map[string]any{}
	flatten(out, "", tree)
	return out, nil
}

// flatten makes paths of a JSON tree; what has no fields of its own is a value.
func flatten(out map[string]any, path string, tree any) {
	switch t := tree.(type) {
	case map[string]any:
		if len(t) == 0 {
			out[path] = "{}"
		}
		for _, key := range slices.Sorted(maps.Keys(t)) {
			at := key
			if path != "" {
				at = path + "." + key
			}
			flatten(out, at, t[key])
		}
	case []any:
		if len(t) == 0 {
			out[path] = "[]"
		}
		for i, item := range t {
			flatten(out, fmt.Sprintf("%s[%d]", path, i), item)
		}
	default:
		out[path] = t
	}
}

// step notes that a document came from one state to another.
func (s *Status) step(now time.Time, by identity.Actor, action lifecycle.Action, from, to lifecycle.State, message string) {
	const most = 50 // the audit log has all of them
	s.Trail = append(slices.Clone(s.Trail), Step{Time: now, By: by.String(), Person: by.Person(), Action: string(action), From: string(from), To: string(to), Message: message})
	if len(s.Trail) > most { // how it came into its state stays: the way back begins there
		came := 0
		for i, step := range s.Trail {
			if step.From != step.To {
				came = i
			}
		}
		oldest := 0
		if came == 0 {
			oldest = 1
		}
		s.Trail = slices.Delete(s.Trail, oldest, oldest+1)
	}
	if from != to {
		s.Since, s.By = now, by.String()
	}
}
