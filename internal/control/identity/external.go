package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		if _, ok := p.config.Providers[e.Provider]; !ok || e.Issuer == "" || e.Subject == "" || e.Name == "" {
			return fault.New(fault.Invalid, "the identity provider %q is not one of ours, or did not say who this is", clip(e.Provider))
		}
		person, err := w.PersonOf(e.Issuer, e.Subject)
		switch {
		case errors.Is(err, ErrNotFound):
			person = &Person{Login: e.Provider + ":" + e.Name, Provider: e.Provider, Issuer: e.Issuer, Subject: e.Subject}
			if person.Login != clip(person.Login) || strings.TrimSpace(e.Name) != e.Name || strings.ContainsFunc(e.Name, unicode.IsControl) {
				return fault.New(fault.Invalid, "what %s gives as a name cannot be one: it is longer than %d bytes, or has spaces around it or control characters", e.Provider, maxName)
			}
			if err := p.add(w, person); err != nil {
				return err
			}
		case err != nil:
			return err
		case person.Disabled:
			return fault.New(fault.Denied, "the account %q is disabled", person.Login)
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
		if err := w.PutPerson(person); err != nil {
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
