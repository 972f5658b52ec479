package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// mayReadNotifications says whether somebody may see what a team is told.
func mayReadNotifications(actor identity.Actor, organisation, team string) error {
	return identity.Authorise(actor, identity.ReadNotifications, identity.Object{Owner: identity.Owner{Organisation: organisation, Team: team}})
}

// Notifications returns a page of what waits for webhooks and mailboxes, or was given up,
// the oldest first, and the id behind which the next page begins, "" at the end. Who may
// see none at all is refused. A page may have fewer than asked for and still not be the
// last one.
func (p *Plane) Notifications(ctx context.Context, q Request, query notify.Query) (page []notify.Notification, next string, err error) {
	may := func(organisation, team string) error { return mayReadNotifications(q.Actor, organisation, team) }
	if query.Team != "" {
		key := resource.Key{Kind: resource.KindTeam, Name: query.Team}
		o, organisation := identity.Object{Kind: key.Kind, Name: key.Name, Absent: true}, ""
		if r := p.Model().Get(key); r != nil {
			o, organisation = objectOf(r.Document, false, p.Model().Get), r.Organisation
		}
		if err := identity.Authorise(q.Actor, identity.Read, o); err != nil && !q.Actor.PlatformAdmin() { // who sees all may ask for what is left of a removed one
			return nil, "", err
		}
		if err := may(organisation, query.Team); err != nil {
			return nil, "", err
		}
	} else if !q.Actor.PlatformAdmin() {
		if query.Organisation == "" {
			if query.Organisation, err = p.administered(q.Actor, may); err != nil {
				return nil, "", err
			}
		}
		if err := may(query.Organisation, ""); err != nil {
			return nil, "", err
		}
	}
	if query.Limit <= 0 {
		query.Limit = DefaultPage
	}
	query.Limit = min(query.Limit, MaxPage)
	err = p.store.Read(ctx, func(r Reader) error {
		all, more, err := r.Notifications(query)
		if more {
			next = all[len(all)-1].ID
		}
		page = slices.DeleteFunc(all, func(n notify.Notification) bool { return may(n.Organisation, n.Team) != nil })
		return err
	})
	return page, next, err
}

// administered returns the organisation whose notifications an actor may read; who may
// in several has to say which.
func (p *Plane) administered(actor identity.Actor, may func(organisation, team string) error) (string, error) {
	var all []string
	for _, m := range actor.Memberships() {
		if may(m.Organisation, "") == nil && !slices.Contains(all, m.Organisation) {
			all = append(all, m.Organisation)
		}
	}
	switch len(all) {
	case 0:
		return "", may("", "")
	case 1:
		return all[0], nil
	}
	return "", fault.New(fault.Invalid, "you administer several organisations: say which one")
}

// ofTeam carries out something about a team's notifications for whoever may write the
// team, with an audit row.
func (p *Plane) ofTeam(ctx context.Context, q Request, team, action string, f func(Writer, *Record, time.Time) error) error {
	return p.change(ctx, q, func(c *changing) error {
		r := c.edit.Get(resource.Key{Kind: resource.KindTeam, Name: team})
		if r == nil {
			return c.may(identity.Read, identity.Object{Kind: resource.KindTeam, Name: team, Absent: true})
		}
		for _, op := range []identity.Operation{identity.Read, identity.Write} { // what is not seen is as what is not there
			if err := c.may(op, c.object(r.Document, false)); err != nil {
				return err
			}
		}
		if err := f(c.w, r, c.now); err != nil {
			return err
		}
		return c.tell(r, action, nil)
	})
}

// NewWebhookSecret makes the secret that notifications to a team's webhook are signed
// with, and returns it; nothing else does, and the store does not have it. The one before
// counts until a moment. The error has a kind of fault.
func (p *Plane) NewWebhookSecret(ctx context.Context, q Request, team string) (secret string, until time.Time, err error) {
	err = p.ofTeam(ctx, q, team, "new-webhook-secret", func(w Writer, _ *Record, now time.Time) error {
		until = now.Add(notify.Overlap)
		made, err := notify.NewSecret(w, p.seed, team, now)
		if !q.DryRun {
			secret = made
		}
		return err
	})
	return secret, until, err
}

// Tested is how a test went at one receiver.
type Tested struct {
	Channel notify.Channel
	To      string
	// Problem is why it did not arrive; "" when it did.
	Problem string
}

// What tests may take.
const (
	maxTests     = 2 // at a time
	testPatience = 15 * time.Second
)

// TestNotifications sends a notification to where a team's document says that it is told,
// now and once, and returns how that went. The error has a kind of fault.
func (p *Plane) TestNotifications(ctx context.Context, q Request, team string) (out []Tested, err error) {
	var to []notify.Notification
	var source string
	if err := p.ofTeam(ctx, q, team, "test-notifications", func(w Writer, r *Record, _ time.Time) (err error) {
		none := func(*resource.Team) ([]string, error) { return nil, nil }
		if to, err = p.receivers(r, none); err != nil {
			return err
		}
		if len(to) == 0 {
			return fault.New(fault.Conflict, "Team %s says nowhere in spec.notify where it is told, or nothing here sends that way", team)
		}
		source, err = sourceOf(w)
		return err
	}); err != nil || q.DryRun {
		return nil, err
	}
	select {
	case p.testing <- struct{}{}:
		defer func() { <-p.testing }()
	default:
		return nil, fault.New(fault.Limited, "other tests are under way: try again in a moment")
	}
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	out = make([]Tested, len(to))
	for i, n := range to {
		out[i] = Tested{Channel: n.Channel, To: n.To}
		if to[i], err = written(n, source, "test", p.now().UTC(), notify.Data{Title: "A test", Text: "Somebody wanted to know whether notifications arrive here. They do."}); err != nil {
			return nil, fmt.Errorf("test the notifications of team %s: %w", team, err)
		}
	}
	var group sync.WaitGroup
	for i, n := range to {
		group.Go(func() {
			if err := p.deliver[n.Channel](ctx, n); err != nil {
				out[i].Problem = fault.MessageOf(err)
				p.log.Info("a test of notifications has failed", "team", team, "channel", string(n.Channel), "request", q.ID, "err", err)
			}
		})
	}
	group.Wait()
	return out, nil
}

// ToLook is of the inbox: notifications of a team were given up.
const ToLook = "look"

// lookFor is how long the inbox tells of what was given up.
const lookFor = 7 * 24 * time.Hour

// Undelivered returns, as things that wait for somebody, the teams whose notifications
// were given up of late.
func (p *Plane) Undelivered(ctx context.Context, q Request) (out []Waiting, err error) {
	queries := []notify.Query{{Failed: true, Limit: MaxPage}}
	if !q.Actor.PlatformAdmin() {
		queries = nil
		for _, m := range q.Actor.Memberships() {
			query := notify.Query{Failed: true, Limit: MaxPage, Organisation: m.Organisation}
			if mayReadNotifications(q.Actor, m.Organisation, "") == nil && !slices.Contains(queries, query) {
				queries = append(queries, query)
			}
		}
	}
	if len(queries) == 0 {
		return nil, nil
	}
	since := p.now().Add(-lookFor)
	counts := map[string]int{}
	last := map[string]notify.Notification{}
	err = p.store.Read(ctx, func(r Reader) error {
		for _, query := range queries {
			page, _, err := r.Notifications(query)
			if err != nil {
				return err
			}
			for _, n := range page {
				if n.Failed.After(since) {
					counts[n.Team]++
					last[n.Team] = n
				}
			}
		}
		return nil
	})
	for _, team := range slices.Sorted(maps.Keys(counts)) {
		n := last[team]
		out = append(out, Waiting{What: ToLook, Key: resource.Key{Kind: resource.KindTeam, Name: team}, Since: n.Failed, Until: n.Failed.Add(lookFor),
			About: fmt.Sprintf("%d notifications could not be delivered, the last one by %s", counts[team], n.Channel), Message: n.Problem})
	}
	return out, err
}
