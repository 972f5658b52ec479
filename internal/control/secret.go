package control

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/grant"
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
	if credential.Spec.Type != "plain" && credential.Spec.Type != "scram" {
		if given {
			return "", false, false, fault.New(fault.Invalid, "Credential %s is of type %s, which has no secret", credential.Name(), credential.Spec.Type)
		}
		return "", false, false, nil
	}
	if given && len(secret) < publish.MinSecretLength {
		return "", false, false, fault.New(fault.Invalid, "the secret of Credential %s has %d characters, it needs %d: use a random one, for instance from: openssl rand -hex 16, or leave it out for one that the server makes", credential.Name(), len(secret), publish.MinSecretLength)
	}
	changesType := before != nil && before.Document.(*resource.Credential).Spec.Type != credential.Spec.Type
	if before == nil || changesType {
		if !given && lifecycle.State(credential.Spec.State) != lifecycle.Revoked {
			return rand.Text() + rand.Text(), true, true, nil
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
	for _, v := range known {
		if !v.Revoked.IsZero() {
			continue
		}
		proofs, err := verifiersOf(v)
		if err != nil {
			return "", false, false, err
		}
		if publish.Proves(secret, proofs) {
			return "", false, false, nil
		}
	}
	return secret, false, true, nil
}

// prove writes the verifiers of a credential's new secret, and ends those before.
func (c *changing) prove(r *Record, secret string) error {
	d := r.Document.(*resource.Credential)
	proofs, err := publish.Verifiers(grant.Method(d.Spec.Type), secret)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the secret of %s cannot be used", r.Key())
	}
	data, err := json.Marshal(proofs)
	if err != nil {
		return fmt.Errorf("bug: verifiers of %s: %w", r.Key(), err)
	}
	known, err := c.w.Verifiers(d.Name())
	if err != nil {
		return fmt.Errorf("read the verifiers of %s: %w", r.Key(), err)
	}
	n := 0
	for _, v := range known {
		n = max(n, v.N)
		if v.Revoked.IsZero() {
			v.Revoked = c.now
			if err := c.w.PutVerifier(d.Name(), v); err != nil {
				return fmt.Errorf("end a secret of %s: %w", r.Key(), err)
			}
		}
	}
	if err := c.w.PutVerifier(d.Name(), Verifier{N: n + 1, Data: data, Created: c.now}); err != nil {
		return fmt.Errorf("write the verifiers of %s: %w", r.Key(), err)
	}
	c.edit.proved[d.Name()] = proofs
	return nil
}

func verifiersOf(v Verifier) ([]grant.Verifier, error) {
	var proofs []grant.Verifier
	if err := json.Unmarshal(v.Data, &proofs); err != nil {
		return nil, fmt.Errorf("read verifier %d: %w", v.N, err)
	}
	return proofs, nil
}
