package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/notify"
	"sluice/internal/resource"
)

// side is who is told of an event, as seen from what it is about.
type side int

const (
	toOwner     side = iota // the team that owns it; of a subscription and a credential the application's
	toProvider              // the team that owns the product of a subscription
	toConsumers             // the teams whose applications use a version
)

// told is a row of the table: which side is told when a document comes into a state, and
// which of its members it concerns.
type told struct {
	event string
	to    side
	roles []identity.Role
}

var (
	deciders   = []identity.Role{identity.Approver, identity.Publisher}
	providers  = []identity.Role{identity.Publisher}
	developers = []identity.Role{identity.AppDeveloper}
)

// transition is a document of a kind that has come into a state: from is where it was,
// and To where it is; the first row that fits counts.
type transition struct {
	kind     resource.Kind
	from, to lifecycle.State
	tell     []told
}

// anyState stands for all of them.
const anyState lifecycle.State = "any"

// transitions is the table of who is told of which change of state.
var transitions = []transition{
	{resource.KindSubscription, anyState, lifecycle.Pending, []told{{"subscription.requested", toProvider, deciders}}},
	{resource.KindSubscription, lifecycle.Suspended, lifecycle.Active, []told{{"subscription.resumed", toOwner, developers}}},
	{resource.KindSubscription, anyState, lifecycle.Active, []told{{"subscription.approved", toOwner, developers}}},
	{resource.KindSubscription, anyState, lifecycle.Rejected, []told{{"subscription.rejected", toOwner, developers}}},
	{resource.KindSubscription, anyState, lifecycle.Suspended, []told{{"subscription.suspended", toOwner, developers}}},
	{resource.KindSubscription, anyState, lifecycle.Closed, []told{{"subscription.closed", toOwner, developers}, {"subscription.closed", toProvider, providers}}},
	{resource.KindSubscription, anyState, lifecycle.Expired, []told{{"subscription.expired", toOwner, developers}, {"subscription.expired", toProvider, providers}}},

	{resource.KindVersion, lifecycle.Blocked, anyState, []told{{"version.unblocked", toConsumers, developers}, {"version.unblocked", toOwner, providers}}},
	{resource.KindVersion, anyState, lifecycle.Deprecated, []told{{"version.deprecated", toConsumers, developers}}},
	{resource.KindVersion, lifecycle.Deprecated, lifecycle.Published, []told{{"version.undeprecated", toConsumers, developers}}},
	{resource.KindVersion, lifecycle.Retired, lifecycle.Published, []told{{"version.republished", toConsumers, developers}}},
	{resource.KindVersion, anyState, lifecycle.Retired, []told{{"version.retired", toConsumers, developers}, {"version.retired", toOwner, providers}}},
	{resource.KindVersion, anyState, lifecycle.Blocked, []told{{"version.blocked", toConsumers, developers}, {"version.blocked", toOwner, providers}}},

	{resource.KindCredential, anyState, lifecycle.Revoked, []told{{"credential.revoked", toOwner, developers}}},
	{resource.KindCredential, anyState, lifecycle.Expired, []told{{"credential.expired", toOwner, developers}}},
}

// eventPrefix begins the types of our events.
const eventPrefix = "sluice."

// notify writes what there is to tell of the change into the outbox, in its transaction.
// It looks at how documents were and are, so that nothing depends on how they came there.
func (c *changing) notify() error {
	for _, key := range slices.SortedFunc(maps.Keys(c.edit.changed), compareKeys) {
		before, after := c.edit.from.Get(key), c.edit.changed[key]
		var err error
		switch {
		case after == nil && key.Kind == resource.KindTeam:
			err = notify.ForgetSecret(c.w, key.Name)
		case c.silent:
		case after == nil && before != nil:
			err = c.notifyRemoved(before)
		case after != nil:
			err = c.notifyChanged(before, after)
		}
		if err != nil {
			return fmt.Errorf("notify of %s: %w", key, err)
		}
	}
	return nil
}

func (c *changing) notifyRemoved(before *Record) error {
	if s := stateOf(before.Document); before.Key().Kind == resource.KindSubscription && s.Open() {
		return c.tellSide(before, told{"subscription.closed", toProvider, providers}, notify.Data{State: string(lifecycle.Closed), Title: "is closed", Text: "It was removed."})
	}
	return nil
}

func (c *changing) notifyChanged(before, after *Record) error {
	var from lifecycle.State
	var was Status
	if before != nil {
		from, was = stateOf(before.Document), before.Status
	}
	if to := stateOf(after.Document); to != from {
		for _, t := range transitions {
			if t.kind != after.Key().Kind || t.from != anyState && t.from != from || t.to != anyState && t.to != to {
				continue
			}
			d := c.reached(after, to)
			for _, tell := range t.tell {
				if err := c.tellSide(after, tell, d); err != nil {
					return err
				}
			}
			break
		}
	} else if before != nil && to == lifecycle.Deprecated && rescheduled(before.Document, after.Document) {
		if err := c.tellSide(after, told{"version.deprecated", toConsumers, developers}, c.reached(after, to)); err != nil {
			return err
		}
	}
	for _, environment := range slices.Sorted(maps.Keys(after.Status.Proposals)) {
		p := after.Status.Proposals[environment]
		if old, waited := was.Proposals[environment]; waited && old.Revision == p.Revision && old.Time.Equal(p.Time) {
			continue
		}
		text := fmt.Sprintf("%s wants revision %d of version %s in %s. Somebody else has to look at it: sluice approve version %s --environment %s --revision %d, or sluice reject. Nobody decides, and it is rejected.",
			p.By, p.Revision, after.Key().Name, environment, after.Key().Name, environment, p.Revision)
		if p.Waive != "" {
			text += " It breaks somebody, which is to be waived: " + p.Waive
		}
		d := notify.Data{Environment: environment, Title: "waits for a second pair of eyes", Text: text, By: p.By, Message: p.Reason, Until: p.Time.Add(lifecycle.WaitsFor)}
		if err := c.tellSide(after, told{"revision.requested", toOwner, []identity.Role{identity.Approver}}, d); err != nil {
			return err
		}
	}
	if err := c.notifyAnswers(was, after); err != nil {
		return err
	}
	return c.notifyMessages(was, after)
}

// notifyAnswers tells the team of a version what became of revisions that waited. One
// that was asked for anew waits again, and is told as that.
func (c *changing) notifyAnswers(was Status, after *Record) error {
	for _, environment := range slices.Sorted(maps.Keys(was.Proposals)) {
		if _, waits := after.Status.Proposals[environment]; waits {
			continue
		}
		p, has := was.Proposals[environment], after.Status.Deployments[environment]
		event, d := "revision.rejected", notify.Data{Environment: environment, Title: "is not deployed", By: c.q.Actor.String(), Message: c.q.Reason}
		text := fmt.Sprintf("Revision %d of version %s, which %s wanted in %s, ", p.Revision, after.Key().Name, p.By, environment)
		switch deployed := has.Time.Equal(c.now); {
		case deployed && has.Revision == p.Revision:
			event, d.Title, d.Text = "revision.approved", "is deployed", text+"is there now."
		case deployed:
			d.Text = text + fmt.Sprintf("was overtaken: revision %d is there now.", has.Revision)
		default:
			d.Text = text + "was rejected."
		}
		if d.Message != "" {
			d.Text += " Why: " + d.Message
		}
		if err := c.tellSide(after, told{event, toOwner, providers}, d); err != nil {
			return err
		}
	}
	return nil
}

// rescheduled says whether a version that stays deprecated ends otherwise than before.
func rescheduled(before, after resource.Any) bool {
	b, ok := before.(*resource.Version)
	if !ok {
		return false
	}
	was, is := b.Spec.Lifecycle, after.(*resource.Version).Spec.Lifecycle
	return !was.Sunset.Equal(is.Sunset) || was.Grace != is.Grace || was.Successor != is.Successor || !slices.Equal(was.Brownouts, is.Brownouts)
}

// notifyMessages tells the other side of what was written about a subscription. Notes of
// one side stay there.
func (c *changing) notifyMessages(was Status, after *Record) error {
	for _, m := range after.Status.Thread {
		if slices.Contains(was.Thread, m) {
			continue
		}
		tell := told{"subscription.message", toProvider, deciders}
		if m.Provider {
			tell = told{"subscription.message", toOwner, developers}
		}
		d := notify.Data{Title: "has a message", Text: m.By + " wrote: " + m.Text + "\nAnswer with: sluice messages subscription " + after.Key().Name + " --say TEXT", By: m.By, Message: m.Text}
		if err := c.tellSide(after, tell, d); err != nil {
			return err
		}
	}
	return nil
}

// reached says what it means that a document is in a state.
func (c *changing) reached(r *Record, to lifecycle.State) notify.Data {
	d := notify.Data{State: string(to)}
	var last Step
	if n := len(r.Status.Trail); n > 0 {
		last = r.Status.Trail[n-1]
	}
	switch of := r.Document.(type) {
	case *resource.Subscription:
		d.By, d.Message = last.By, last.Message // both sides see the thread
		asks := "application " + of.Spec.Application + ", plan " + of.Spec.Plan + " of " + of.Spec.Product
		switch to {
		case lifecycle.Pending:
			d.Title, d.Until = "waits for approval", r.Status.Since.Add(lifecycle.WaitsFor)
			d.Text = "It is of " + asks + ". Decide with: sluice approve subscription " + of.Name() + ", or sluice reject. Nobody decides, and it is rejected."
		default:
			d.Title, d.Text = "is "+string(to), "It is of "+asks+"."
			if last.Message != "" {
				d.Text += " Why: " + last.Message
			}
		}
	case *resource.Version: // who did it and why is the owner's
		l := of.Spec.Lifecycle
		d.Title = "is " + string(to)
		switch to {
		case lifecycle.Deprecated:
			d.Until, d.Successor = l.Sunset.Add(time.Duration(l.Grace)), l.Successor
			d.Text = ends(l)
		case lifecycle.Blocked:
			d.Text = "Nobody can use it until it is unblocked."
		case lifecycle.Retired:
			d.Successor, d.Text = l.Successor, "It does not work any more."
			if l.Successor != "" {
				d.Text += " Use " + l.Successor + "."
			}
		default:
			d.Text = "It works as before."
		}
	case *resource.Credential:
		d.By, d.Message = last.By, last.Message
		d.Title, d.Text = "is "+string(to), "It is of application "+of.Spec.Application+". Nobody logs in with it any more."
		if last.Message != "" {
			d.Text += " Why: " + last.Message
		}
	}
	return d
}

// ends says how a deprecated version ends.
func ends(l resource.Lifecycle) string {
	text := "It ends on " + moment(l.Sunset) + "."
	if l.Grace > 0 {
		text += " Connections end on " + moment(l.Sunset.Add(time.Duration(l.Grace))) + "."
	}
	for _, w := range l.Brownouts {
		text += " It is slowed down from " + moment(w.From) + " to " + moment(w.To) + "."
	}
	if l.Successor != "" {
		text += " Move to " + l.Successor + "."
	}
	return text
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// maxApplications is how many applications one event names.
const maxApplications = 20

// tellSide tells a side of an event. Title and Text say it without the name of the
// document.
func (c *changing) tellSide(r *Record, t told, d notify.Data) error {
	d.Kind, d.Name = string(r.Key().Kind), r.Key().Name
	if d.Environment == "" {
		d.Environment = r.Document.Meta().Environment
	}
	switch of := r.Document.(type) {
	case *resource.Subscription:
		d.Application, d.Product, d.Plan = of.Spec.Application, of.Spec.Product, of.Spec.Plan
	case *resource.Credential:
		d.Application = of.Spec.Application
	}
	d.Title = d.Kind + " " + d.Name + " " + d.Title
	switch t.to {
	case toProvider:
		s := r.Document.(*resource.Subscription)
		product := c.edit.Get(resource.Key{Kind: resource.KindProduct, Name: s.Spec.Product})
		if product == nil { // it goes together with the subscription
			product = c.edit.from.Get(resource.Key{Kind: resource.KindProduct, Name: s.Spec.Product})
		}
		if product == nil {
			return nil
		}
		return c.tellTeam(product.Team, t, d)
	case toConsumers:
		by := c.consumers(r.Key().Name)
		for _, team := range slices.Sorted(maps.Keys(by)) {
			its := d
			its.Applications = by[team]
			if n := len(its.Applications); n > maxApplications {
				its.Applications = its.Applications[:maxApplications]
			}
			its.Text = "Used by " + strings.Join(its.Applications, ", ") + ". " + d.Text
			if err := c.tellTeam(team, t, its); err != nil {
				return err
			}
		}
		return nil
	}
	return c.tellTeam(r.Team, t, d)
}

// consumers returns the applications that use a version, by the team that owns them.
func (c *changing) consumers(version string) map[string][]string {
	out := map[string][]string{}
	for r := range c.edit.Records() {
		s, ok := r.Document.(*resource.Subscription)
		if !ok || s.Spec.State != string(lifecycle.Active) && s.Spec.State != string(lifecycle.Suspended) {
			continue
		}
		product := c.edit.Get(resource.Key{Kind: resource.KindProduct, Name: s.Spec.Product})
		if product != nil && slices.Contains(product.Document.(*resource.Product).Spec.Versions, version) && !slices.Contains(out[r.Team], s.Spec.Application) {
			out[r.Team] = append(out[r.Team], s.Spec.Application)
		}
	}
	for _, applications := range out {
		slices.Sort(applications)
	}
	return out
}

// tellTeam puts an event into the outbox for each place where a team is told.
func (c *changing) tellTeam(name string, t told, d notify.Data) error {
	r := c.edit.Get(resource.Key{Kind: resource.KindTeam, Name: name})
	if r == nil {
		return nil
	}
	to, err := c.plane.receivers(r, func(team *resource.Team) ([]string, error) { return c.members(team, t.roles) })
	if err != nil {
		return err
	}
	source, err := sourceOf(c.w)
	if err != nil {
		return err
	}
	for _, n := range to {
		if n, err = written(n, source, t.event, c.now, d); err != nil {
			return err
		}
		if err := c.w.AddNotification(n); err != nil {
			return err
		}
	}
	return nil
}

// receivers are those of a team that the channels there are reach: what its document
// says, or else the members' addresses.
func (p *Plane) receivers(r *Record, members func(*resource.Team) ([]string, error)) (all []notify.Notification, err error) {
	team := r.Document.(*resource.Team)
	add := func(channel notify.Channel, to string) {
		all = append(all, notify.Notification{Channel: channel, To: to, Team: team.Name(), Organisation: r.Organisation})
	}
	if team.Spec.Notify.Webhook != nil && p.deliver[notify.Webhook] != nil {
		add(notify.Webhook, team.Name())
	}
	if p.deliver[notify.Email] == nil {
		return all, nil
	}
	addresses := slices.Clone(team.Spec.Notify.Email)
	if team.Spec.Email != "" {
		addresses = append(addresses, team.Spec.Email)
	}
	if len(addresses) == 0 {
		if addresses, err = members(team); err != nil {
			return nil, err
		}
	}
	slices.Sort(addresses)
	for _, address := range slices.Compact(addresses) {
		add(notify.Email, address)
	}
	return all, nil
}

// sourceOf is the source of our events.
func sourceOf(r Reader) (string, error) {
	identity, err := r.Identity()
	return audit.Source(identity.ID), err
}

// written returns a notification with its event.
func written(n notify.Notification, source, event string, now time.Time, d notify.Data) (notify.Notification, error) {
	n.ID, n.Type, n.Time, n.Next = "ntf_"+rand.Text(), eventPrefix+event, now, now
	d.Team = n.Team
	var err error
	n.Event, err = notify.Event(source, n.ID, n.Type, now, d)
	return n, err
}

// maxMembers is how many members of a team are told by e-mail.
const maxMembers = 50

// members returns the addresses of the members with one of the roles whose accounts
// have one. Who does it knows it.
func (c *changing) members(team *resource.Team, roles []identity.Role) (all []string, err error) {
	for _, login := range slices.Sorted(maps.Keys(team.Spec.Members)) {
		if len(all) == maxMembers || login == c.q.Actor.Person() || !slices.ContainsFunc(team.Spec.Members[login], func(r string) bool { return slices.Contains(roles, identity.Role(r)) }) {
			continue
		}
		person, err := c.w.Person(login)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if person.Email != "" && !person.Disabled {
			all = append(all, person.Email)
		}
	}
	return all, nil
}
