package control

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// MaxOverlap is how long two secrets of a credential may count beside each other.
const MaxOverlap = 90 * 24 * time.Hour

// Rotation is a new secret in place of the one before.
type Rotation struct {
	Record *Record
	// Secret is the new one. It is nowhere else; "" of a dry run.
	Secret string
	// N numbers it among the credential's.
	N int
	// Until is when the one before ends; it has ended when the overlap is none.
	Until time.Time
}

// Rotate makes a new secret for a credential. The one before stays good for the
// overlap, and then its connections are closed; with none they are at once. The
// tag is the one that the document must have; 0 for any. The error has a kind of
// fault.
func (p *Plane) Rotate(ctx context.Context, q Request, name string, overlap time.Duration, tag int64) (*Rotation, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, fault.New(fault.Invalid, "the overlap is %v: it may be up to %d days", overlap, MaxOverlap/(24*time.Hour))
	}
	var out *Rotation
	err := p.change(ctx, q, func(c *changing) error {
		after, known, err := c.secretOf(name, tag, lifecycle.Rotate)
		if err != nil {
			return err
		}
		out = &Rotation{Record: after, N: 1, Until: c.now.Add(overlap)}
		if n := len(known); n > 0 {
			out.N = known[n-1].N + 1
			if n > 1 && overlap > 0 && !known[n-2].ended(c.now) {
				return fault.New(fault.Conflict, "%s has two secrets already, and the one before ends at %s: wait for that, revoke it (--previous), or rotate with an overlap of 0, which ends both", after.Key(), known[n-2].end().Format(time.RFC3339))
			}
		}
		secret := newSecret()
		if !q.DryRun {
			out.Secret = secret
		}
		until := out.Until
		if overlap == 0 {
			until = time.Time{}
		}
		if err := c.prove(after, secret, until); err != nil {
			return err
		}
		return c.noteSecret(after, lifecycle.Rotate, map[string]any{"secret": out.N, "previousUntil": out.Until})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RevokePrevious ends the secret of a credential that is being replaced, and the
// connections that logged in with it; the newest one stays. The error has a kind of
// fault.
func (p *Plane) RevokePrevious(ctx context.Context, q Request, name string, tag int64) (*Record, error) {
	var after *Record
	err := p.change(ctx, q, func(c *changing) error {
		var known []Verifier
		var err error
		if after, known, err = c.secretOf(name, tag, lifecycle.RevokePrevious); err != nil {
			return err
		}
		ended := 0
		for i := range known[:max(len(known)-1, 0)] {
			v := &known[i]
			if v.ended(c.now) {
				continue
			}
			v.Revoked, ended = c.now, v.N
			if err := c.w.PutVerifier(name, *v); err != nil {
				return fmt.Errorf("end a secret of %s: %w", after.Key(), err)
			}
		}
		if ended == 0 {
			return fault.New(fault.Conflict, "%s has one secret only: revoke the credential, or rotate it first", after.Key())
		}
		if c.edit.proved[name], err = proofsOf(known); err != nil {
			return err
		}
		return c.noteSecret(after, lifecycle.RevokePrevious, map[string]any{"secret": ended})
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// newSecret makes a secret of 256 bits and more.
func newSecret() string { return rand.Text() + rand.Text() }

// secretOf begins a move of a credential's secrets: its next record, and what proves
// them so far.
func (c *changing) secretOf(name string, tag int64, action lifecycle.Action) (*Record, []Verifier, error) {
	before, after, err := c.successor(resource.Key{Kind: resource.KindCredential, Name: name}, tag)
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.move(after, c.q.Actor, stateOf(before.Document), action); err != nil {
		return nil, nil, err
	}
	if d := after.Document.(*resource.Credential); !hasSecret(d) {
		return nil, nil, fault.New(fault.Invalid, "%s is of type %s and has no secret here: make another credential, and let this one retire", after.Key(), d.Spec.Type)
	}
	known, err := c.w.Verifiers(name)
	if err != nil {
		return nil, nil, fmt.Errorf("read the verifiers of %s: %w", after.Key(), err)
	}
	return after, known, nil
}

// hasSecret says whether a credential is one whose secret is proved by what is kept
// here.
func hasSecret(d *resource.Credential) bool {
	return d.Spec.Type == "plain" || d.Spec.Type == "scram" || d.Spec.OwnTokens()
}

// noteSecret writes the record of a credential whose secrets changed, and its audit
// row.
func (c *changing) noteSecret(r *Record, action lifecycle.Action, details map[string]any) error {
	if err := c.put(r, links(r.Document)); err != nil {
		return err
	}
	return c.tell(r, string(action), details)
}

// Secret is what may be told of a credential's secret.
type Secret struct {
	// N numbers the secrets of a credential, from 1 on.
	N int
	// State is lifecycle.Active, lifecycle.Retiring while it is being replaced, or
	// lifecycle.Revoked once it has ended.
	State   lifecycle.State
	Created time.Time
	// Ends is when it ends, or has ended; zero for never.
	Ends time.Time
	// Used is the last login with it; nil before the first.
	Used *Use
}

// Secrets tells of the newest secrets of a credential that somebody may see, the newest
// first. One without a secret, as that of a certificate, has a single entry of number 0
// once it has been used. The error has a kind of fault.
func (p *Plane) Secrets(ctx context.Context, q Request, name string) ([]Secret, error) {
	if _, err := p.Get(q, resource.Key{Kind: resource.KindCredential, Name: name}); err != nil {
		return nil, err
	}
	var known []Verifier
	var uses []Use
	err := p.store.Read(ctx, func(r Reader) (err error) {
		if known, err = r.Verifiers(name); err != nil {
			return err
		}
		uses, err = r.Uses(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the verifiers of Credential %s: %w", name, err)
	}
	used := func(n int) *Use {
		for i := range uses {
			if uses[i].Secret == n {
				return &uses[i]
			}
		}
		return nil
	}
	var out []Secret
	if last := used(0); last != nil && len(known) == 0 {
		out = append(out, Secret{State: lifecycle.Active, Used: last})
	}
	for i := len(known) - 1; i >= max(0, len(known)-sasl.MaxSecrets); i-- {
		s := Secret{N: known[i].N, State: lifecycle.Active, Created: known[i].Created, Ends: known[i].end(), Used: used(known[i].Mark())}
		switch {
		case known[i].ended(p.now()):
			s.State = lifecycle.Revoked
		case !s.Ends.IsZero():
			s.State = lifecycle.Retiring
		}
		out = append(out, s)
	}
	return out, nil
}
