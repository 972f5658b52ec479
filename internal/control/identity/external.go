package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"sluice/internal/fault"
)

// External is what an identity provider said of somebody, and proved.
type External struct {
	// Provider is what the provider is called here. Issuer and Subject are what it calls
	// itself and the person: together they are who it is, and nothing else is.
	Provider, Issuer, Subject string
	// Name is what their login name is made of, behind the provider's name and a colon;
	// that of the first login stays.
	Name string
	// Title and Email are for people.
	Title, Email string
	Groups       []string
}

const maxGroups = 1000 // of one person that are kept

// LogInExternal logs in whom a provider proved, and makes an account when there is
// none. Nobody gets another's account by a name or an e-mail address: where the login
// name is taken by another subject, the fault is Conflict.
func (p *People) LogInExternal(ctx context.Context, from From, e External) (Secret, *Login, error) {
	var secret Secret
	var l *Login
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		person, err := p.meet(w, e)
		if err != nil {
			return err
		}
		secret, l, err = p.begin(w, from, person, e.Provider)
		return err
	})
	if err != nil {
		return Secret{}, nil, fmt.Errorf("log in through %s: %w", clip(e.Provider), err)
	}
	return secret, l, nil
}

// handOverLife is how long a code of HandOver works.
const handOverLife = time.Minute

var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// IsChallenge says whether a text is the S256 challenge of a verifier (RFC 7636 §4.2).
func IsChallenge(text string) bool { return challenge.MatchString(text) }

// HandOver does for a program what LogInExternal does for the browser that proved
// somebody: it returns a code for it, which LogInByCode takes once, within a minute, from
// whoever has the verifier of the challenge.
func (p *People) HandOver(ctx context.Context, from From, e External, challenge string) (Secret, error) {
	if !IsChallenge(challenge) {
		return Secret{}, fault.New(fault.Invalid, "hand a login over: the challenge is none of S256")
	}
	secret := newSecret()
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		person, err := p.meet(w, e)
		if err != nil {
			return err
		}
		now := p.now()
		return w.PutOneTime(&OneTime{Hash: hashOf(secret + "." + challenge), Purpose: ForLogin, Person: person.Login, Created: now, Expires: now.Add(handOverLife)})
	})
	if err != nil {
		return Secret{}, fmt.Errorf("log in through %s: %w", clip(e.Provider), err)
	}
	return Secret{secret}, nil
}

// LogInByCode logs in whom HandOver was for.
func (p *People) LogInByCode(ctx context.Context, from From, code, verifier string) (Secret, *Login, error) {
	if err := p.pace.take(from.Address, p.now()); err != nil {
		return Secret{}, nil, fmt.Errorf("log in: %w", err)
	}
	sum := sha256.Sum256([]byte(verifier))
	hash := code + "." + base64.RawURLEncoding.EncodeToString(sum[:])
	var secret Secret
	var l *Login
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		t, err := p.redeemable(w, hash, ForLogin)
		if err != nil {
			return err
		}
		person, err := w.Person(t.Person)
		if errors.Is(err, ErrNotFound) || err == nil && person.Disabled {
			return errOneTime
		}
		if err != nil {
			return err
		}
		if err := w.RemoveOneTime(t.Hash); err != nil {
			return err
		}
		secret, l, err = p.begin(w, from, person, person.Provider)
		return err
	})
	if err != nil {
		return Secret{}, nil, fmt.Errorf("log in: %w", err)
	}
	return secret, l, nil
}

// meet finds the account of whom a provider proved, or makes one, and keeps what the
// provider says of them.
func (p *People) meet(w Writer, e External) (*Person, error) {
	if _, ok := p.config.Providers[e.Provider]; !ok || e.Issuer == "" || e.Subject == "" || e.Name == "" {
		return nil, fault.New(fault.Invalid, "the identity provider %q is not one of ours, or did not say who this is", clip(e.Provider))
	}
	person, err := w.PersonOf(e.Issuer, e.Subject)
	switch {
	case errors.Is(err, ErrNotFound):
		person = &Person{Login: e.Provider + ":" + e.Name, Provider: e.Provider, Issuer: e.Issuer, Subject: e.Subject}
		if person.Login != clip(person.Login) || strings.TrimSpace(e.Name) != e.Name || strings.ContainsFunc(e.Name, unicode.IsControl) {
			return nil, fault.New(fault.Invalid, "what %s gives as a name cannot be one: it is longer than %d bytes, or has spaces around it or control characters", e.Provider, maxName)
		}
		if err := p.add(w, person); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case person.Disabled:
		return nil, fault.New(fault.Denied, "the account %q is disabled", person.Login)
	}
	now := p.now()
	groups := slices.Clone(e.Groups)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	if len(groups) > maxGroups {
		p.deps.Log.Warn("an identity provider names more groups than are kept", "provider", e.Provider, "person", person.Login, "groups", len(groups), "kept", maxGroups)
		groups = groups[:maxGroups]
	}
	person.Provider, person.Title, person.Email = e.Provider, clip(e.Title), clip(e.Email)
	person.Groups, person.SeenByProvider, person.Changed = groups, now, now
	return person, w.PutPerson(person)
}
