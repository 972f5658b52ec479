package control

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// invitationLife is how long a token waits for its gateway.
const invitationLife = 24 * time.Hour

// InviteGateway makes the secret with which a gateway joins, once, until a moment. The
// tokens made for it before end. The error has a kind of fault.
func (p *Plane) InviteGateway(ctx context.Context, q Request, name string) (secret identity.Secret, until time.Time, err error) {
	err = p.change(ctx, q, func(c *changing) error {
		key := resource.Key{Kind: resource.KindGateway, Name: name}
		r := c.edit.Get(key)
		if r == nil {
			return c.may(identity.Invite, identity.Object{Kind: key.Kind, Name: name, Absent: true})
		}
		if err := c.may(identity.Invite, c.object(r.Document, false)); err != nil {
			return err
		}
		if err := c.w.RemoveOneTimes(identity.ForGateway, name); err != nil {
			return fmt.Errorf("end the tokens of %s: %w", key, err)
		}
		if secret, until, err = identity.NewOneTime(c.w, identity.ForGateway, name, c.now, invitationLife); err != nil {
			return fmt.Errorf("make a token for %s: %w", key, err)
		}
		return c.tell(r, "invite", nil)
	})
	if err != nil || q.DryRun {
		return identity.Secret{}, time.Time{}, err
	}
	return secret, until, nil
}

// JoinGateway gives a gateway to whoever has the secret of its token and a key: what had
// joined as this gateway before is not it any more. It works once for each secret.
func (p *Plane) JoinGateway(ctx context.Context, secret, key, address string) (name, environment string, err error) {
	// Whoever reaches the port may try: without a token nobody else waits for it.
	if err := p.store.Read(ctx, func(r Reader) error {
		_, err := identity.Redeemable(r, secret, identity.ForGateway, p.now())
		return err
	}); err != nil {
		return "", "", err
	}
	q := Request{ID: NewRequestID(), Address: address}
	err = p.change(ctx, q, func(c *changing) error {
		token, err := identity.Redeemable(c.w, secret, identity.ForGateway, c.now)
		if err != nil {
			return err
		}
		before := c.edit.Get(resource.Key{Kind: resource.KindGateway, Name: token.Person})
		if before == nil {
			return fault.New(fault.NotFound, "there is no Gateway %q any more", token.Person)
		}
		if err := c.w.RemoveOneTimes(identity.ForGateway, token.Person); err != nil {
			return fmt.Errorf("end the tokens of %s: %w", before.Key(), err)
		}
		name, environment = token.Person, before.Document.Meta().Environment
		c.q.Actor = identity.Machine(name, identity.Gateway)
		after := *before
		after.Serial, after.Changed = before.Serial+1, c.now
		after.Status.Joined = Joined{Key: key, Time: c.now}
		if err := c.put(&after, links(after.Document)); err != nil {
			return err
		}
		return c.tell(&after, "join", nil)
	})
	return name, environment, err
}

// AdmitGateway returns the environment of a gateway that has joined with a key. The error
// says why it may not take what is in force.
func (p *Plane) AdmitGateway(name, key string) (environment string, err error) {
	if err := identity.Authorise(identity.Machine(name, identity.Gateway), identity.ReadFeed, identity.Object{}); err != nil {
		return "", err
	}
	r := p.Model().Get(resource.Key{Kind: resource.KindGateway, Name: name})
	switch {
	case r == nil:
		return "", fault.New(fault.Denied, "there is no Gateway %q any more", name)
	case key == "" || r.Status.Joined.Key != key:
		return "", fault.New(fault.Denied, "another machine has joined as Gateway %q since, or this one has not: let it join again", name)
	}
	return r.Document.Meta().Environment, nil
}

// GatewayEnvironments are those that have gateways, with how many.
func (m *Model) GatewayEnvironments() map[string]int {
	out := map[string]int{}
	for key, r := range m.records {
		if key.Kind == resource.KindGateway {
			out[r.Document.Meta().Environment]++
		}
	}
	return out
}

// JoinedGateways is how many have joined.
func (m *Model) JoinedGateways() int {
	n := 0
	for key, r := range m.records {
		if key.Kind == resource.KindGateway && r.Status.Joined.Key != "" {
			n++
		}
	}
	return n
}

// HasGateway says whether there is a gateway of a name.
func (m *Model) HasGateway(name string) bool {
	return m.records[resource.Key{Kind: resource.KindGateway, Name: name}] != nil
}
