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
	renewed := before == nil || changesType
	if !given {
		if renewed && lifecycle.State(credential.Spec.State) != lifecycle.Revoked {
			return newSecret(), true, true, nil
		}
		return "", false, false, nil
	}
	known, err := c.w.Verifiers(credential.Name())
	if err != nil {
		return "", false, false, fmt.Errorf("read the verifiers of %s: %w", credential.Key(), err)
	}
	gone, err := c.goneSecrets(credential.Name())
	if err != nil {
		return "", false, false, err
	}
	proofs := make([][]grant.Verifier, 0, len(gone)+len(known))
	for _, v := range append(gone, known...) {
		of, err := verifiersOf(v)
		if err != nil {
			return "", false, false, err
		}
		proofs = append(proofs, of)
	}
	i := publish.Proves(secret, proofs)
	switch {
	case i >= 0 && (i < len(gone) || known[i-len(gone)].ended(c.now)):
		return "", false, false, fault.New(fault.Conflict, "the secret of Credential %s has been replaced or revoked, and does not come back: use another one, or leave it out and %s", credential.Name(), map[bool]string{true: "get one that the server makes", false: "rotate the credential"}[renewed])
	case i < 0 || renewed:
		return secret, false, true, nil
	}
	return "", false, false, nil
}

// goneSecrets are the secrets that had ended when a credential of the name was removed,
// the oldest first: they do not come back with another one of the name.
func (c *changing) goneSecrets(credential string) (gone []Verifier, err error) {
	text, err := c.w.Note(goneNote(credential))
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &gone)
	}
	if err != nil {
		return nil, fmt.Errorf("read what proves removed secrets of Credential %s: %w", credential, err)
	}
	return gone, nil
}

// goneNote names what the store remembers of the secrets of removed credentials.
func goneNote(credential string) string { return "ended-secrets/" + credential }

// keepEnded remembers the secrets of a credential that is about to be removed which have
// ended, all of them when it has itself.
func (c *changing) keepEnded(d *resource.Credential) error {
	known, err := c.w.Verifiers(d.Name())
	if err != nil {
		return fmt.Errorf("read the verifiers of %s: %w", d.Key(), err)
	}
	gone, err := c.goneSecrets(d.Name())
	if err != nil {
		return err
	}
	before := len(gone)
	for _, v := range known {
		if state := stateOf(d); v.ended(c.now) || state == lifecycle.Revoked || state == lifecycle.Expired {
			gone = append(gone, v)
		}
	}
	if len(gone) == before {
		return nil
	}
	text, err := json.Marshal(gone[max(0, len(gone)-keptSecrets):])
	if err != nil {
		return fmt.Errorf("bug: removed secrets of %s: %w", d.Key(), err)
	}
	return c.w.PutNote(goneNote(d.Name()), string(text))
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

// keptSecrets is how many secrets of a credential are known besides the newest, and how
// many of those that had its name before: so many
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
