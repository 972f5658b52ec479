package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// secret says which secret a credential is to have: made, when the server made it,
// and fresh, when its verifiers are to be written. Credentials of other types, and
// those whose secret stays, have none here.
func (c *changing) secret(d resource.Any, before *Record, want Wanted) (secret string, made, fresh bool, err error) {
	credential, ok := d.(*resource.Credential)
	if !ok {
		return "", false, false, nil
	}
	secret, given := want.Secrets[credential.Name()]
	if !hasSecret(credential) {
		if given {
			return "", false, false, fault.New(fault.Invalid, "Credential %s is of type %s and has no secret here", credential.Name(), credential.Spec.Type)
		}
		return "", false, false, nil
	}
	if given && len(secret) < publish.MinSecretLength {
		return "", false, false, fault.New(fault.Invalid, "the secret of Credential %s has %d characters, it needs %d: use a random one, for instance from: openssl rand -hex 16, or leave it out for one that the server makes", credential.Name(), len(secret), publish.MinSecretLength)
	}
	changesType := false
	if before != nil {
		was := before.Document.(*resource.Credential)
		changesType = was.Spec.Type != credential.Spec.Type || !hasSecret(was)
	}
	if before == nil || changesType {
		if !given && lifecycle.State(credential.Spec.State) != lifecycle.Revoked {
			return newSecret(), true, true, nil
		}
		return secret, false, given, nil
	}
	if !given {
		return "", false, false, nil
	}
	known, err := c.w.Verifiers(credential.Name())
	if err != nil {
		return "", false, false, fmt.Errorf("read the verifiers of %s: %w", credential.Key(), err)
	}
	proofs := make([][]grant.Verifier, len(known))
	for i, v := range known {
		if proofs[i], err = verifiersOf(v); err != nil {
			return "", false, false, err
		}
	}
	i := publish.Proves(secret, proofs)
	switch {
	case i < 0:
		return secret, false, true, nil
	case known[i].ended(c.now):
		return "", false, false, fault.New(fault.Conflict, "the secret of Credential %s has been replaced or revoked, and does not come back: use another one, or leave it out and rotate the credential", credential.Name())
	}
	return "", false, false, nil
}

// prove writes the verifiers of a credential's new secret. The one before is good
// until a moment, and at an end now when that is none; older ones are in any case. All
// secrets of a credential have the same salts.
func (c *changing) prove(r *Record, secret string, until time.Time) error {
	d := r.Document.(*resource.Credential)
	known, err := c.w.Verifiers(d.Name())
	if err != nil {
		return fmt.Errorf("read the verifiers of %s: %w", r.Key(), err)
	}
	next := Verifier{N: 1, Created: c.now}
	var like []grant.Verifier
	for i := range known {
		v := &known[i]
		if next.N = v.N + 1; !v.Revoked.IsZero() {
			continue
		}
		if i == len(known)-1 && !until.IsZero() {
			v.Until = until
		} else {
			v.Revoked = c.now
		}
		if err := c.w.PutVerifier(d.Name(), *v); err != nil {
			return fmt.Errorf("end a secret of %s: %w", r.Key(), err)
		}
	}
	if len(known) > 0 {
		if like, err = verifiersOf(known[len(known)-1]); err != nil {
			return err
		}
	}
	proofs, err := publish.Verifiers(grant.Method(d.Spec.Type), secret, like)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the secret of %s cannot be used", r.Key())
	}
	if next.Data, err = json.Marshal(proofs); err != nil {
		return fmt.Errorf("bug: verifiers of %s: %w", r.Key(), err)
	}
	if err := c.w.PutVerifier(d.Name(), next); err != nil {
		return fmt.Errorf("write the verifiers of %s: %w", r.Key(), err)
	}
	if err := c.w.ForgetVerifiers(d.Name(), next.N-keptSecrets); err != nil {
		return err
	}
	c.edit.proved[d.Name()], err = proofsOf(append(known, next))
	return err
}

// keptSecrets is how many secrets of a credential are known besides the newest: so many
// rotations later, one that has ended would be taken for a new one where somebody applies
// it.
const keptSecrets = 20

// Mark tells the secret apart from all others, also from those of a credential that had
// the name before: gateways know it by that.
func (v Verifier) Mark() int { return int(v.Created.UnixMicro()) }

// end is when a secret ends, or has ended; the zero time for never.
func (v Verifier) end() time.Time {
	if v.Revoked.IsZero() || !v.Until.IsZero() && v.Until.Before(v.Revoked) {
		return v.Until
	}
	return v.Revoked
}

func (v Verifier) ended(now time.Time) bool { return !v.end().IsZero() && !now.Before(v.end()) }

// proofs are what proves the secrets of a credential.
type proofs struct {
	verifiers []grant.Verifier // the newest secret first
	clients   []grant.Verifier // of the token endpoint, the same with keys
	ending    time.Time        // the first moment at which one ends by itself; zero for none
}

// proofsOf returns the proofs of the newest secrets of a credential. One that has
// ended is among them, so that whoever proves it can be told.
func proofsOf(of []Verifier) (proofs, error) {
	var out proofs
	for i := len(of) - 1; i >= 0; i-- {
		v := of[i]
		if v.Revoked.IsZero() && !v.Until.IsZero() && (out.ending.IsZero() || v.Until.Before(out.ending)) {
			out.ending = v.Until
		}
		if len(of)-i > sasl.MaxSecrets {
			continue
		}
		verifiers, err := verifiersOf(v)
		if err != nil {
			return out, err
		}
		for _, one := range verifiers {
			if i < len(of)-1 && !slices.ContainsFunc(out.verifiers, func(v grant.Verifier) bool { return v.Mechanism == one.Mechanism }) {
				continue // of another type that the credential had
			}
			one.Secret, one.NotAfter = v.Mark(), v.end()
			if one.Mechanism == sasl.OAuthBearer { // gateways see tokens, and no secrets
				out.clients = append(out.clients, one)
				one = grant.Verifier{Mechanism: one.Mechanism, Secret: one.Secret, NotAfter: one.NotAfter}
			}
			out.verifiers = append(out.verifiers, one)
		}
	}
	return out, nil
}

func verifiersOf(v Verifier) ([]grant.Verifier, error) {
	var proofs []grant.Verifier
	if err := json.Unmarshal(v.Data, &proofs); err != nil {
		return nil, fmt.Errorf("read verifier %d: %w", v.N, err)
	}
	return proofs, nil
}
