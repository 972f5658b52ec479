package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/fault"
)

// FirstAdmin returns a one-time token to make the first platform-admin with, and when
// it ends; an empty one when there is a platform-admin already. It is to be shown once,
// to whoever starts the product.
func (p *People) FirstAdmin(ctx context.Context) (Secret, time.Time, error) {
	var secret Secret
	var ends time.Time
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		secret = Secret{}
		if admins, err := w.PlatformAdmins(); err != nil || len(admins) > 0 {
			return err
		}
		var err error
		secret, ends, err = p.oneTime(w, ForFirstAdmin, "")
		return err
	})
	if err != nil {
		return Secret{}, time.Time{}, fmt.Errorf("make a token for the first platform-admin: %w", err)
	}
	return secret, ends, nil
}

// ClaimPlatform makes the first platform-admin, with the token of FirstAdmin. It works
// once, whatever the number of tokens.
func (p *People) ClaimPlatform(ctx context.Context, from From, token, login, password string) error {
	if err := p.pace.take(from.Address, p.now()); err != nil {
		return fmt.Errorf("make the first platform-admin: %w", err)
	}
	login = canonical(login)
	hash, err := p.newPassword(ctx, login, password, func(r Reader) error {
		_, err := p.redeemable(r, token, ForFirstAdmin)
		return err
	})
	if err != nil {
		return fmt.Errorf("make the first platform-admin: %w", err)
	}
	err = p.deps.Store.Write(ctx, func(w Writer) error {
		if _, err := p.redeemable(w, token, ForFirstAdmin); err != nil {
			return err
		}
		switch admins, err := w.PlatformAdmins(); {
		case err != nil:
			return err
		case len(admins) > 0:
			return fault.New(fault.Conflict, "there is a platform-admin already")
		}
		person := &Person{Login: login, PlatformAdmin: true, Secrets: Secrets{Password: hash}}
		if err := p.add(w, person); err != nil {
			return err
		}
		if err := w.RemoveOneTimes(ForFirstAdmin, ""); err != nil {
			return err
		}
		return p.record(w, System(), "make first platform-admin", login, "ok", from, nil)
	})
	if err != nil {
		return fmt.Errorf("make the first platform-admin: %w", err)
	}
	return nil
}

// Invite makes a local account, and returns the token with which its person sets a
// password.
func (p *People) Invite(ctx context.Context, actor Actor, from From, login, title, email string) (Secret, time.Time, error) {
	var secret Secret
	var ends time.Time
	err := p.administer(ctx, actor, func(w Writer) error {
		person := &Person{Login: canonical(login), Title: clip(title), Email: clip(email)}
		if err := p.add(w, person); err != nil {
			return err
		}
		var err error
		if secret, ends, err = p.oneTime(w, ForPassword, person.Login); err != nil {
			return err
		}
		return p.record(w, actor, "invite", person.Login, "ok", from, nil)
	})
	if err != nil {
		return Secret{}, time.Time{}, fmt.Errorf("invite %q: %w", clip(login), err)
	}
	return secret, ends, nil
}

// ResetPassword returns a token with which somebody sets a new password. The old one
// works until then.
func (p *People) ResetPassword(ctx context.Context, actor Actor, from From, login string) (Secret, time.Time, error) {
	var secret Secret
	var ends time.Time
	err := p.change(ctx, actor, from, login, "make a token to reset the password", func(w Writer, person *Person) error {
		if person.Provider != "" {
			return fault.New(fault.Invalid, "%q logs in through %s and has no password here", person.Login, person.Provider)
		}
		if err := w.RemoveOneTimes(ForPassword, person.Login); err != nil {
			return err
		}
		var err error
		secret, ends, err = p.oneTime(w, ForPassword, person.Login)
		return err
	})
	return secret, ends, err
}

// SetPassword sets the password of whoever a token is for, and ends all their logins.
// API tokens go on; a second factor stays.
func (p *People) SetPassword(ctx context.Context, from From, token, password string) error {
	if err := p.pace.take(from.Address, p.now()); err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	var login string
	err := p.deps.Store.Read(ctx, func(r Reader) error {
		t, err := p.redeemable(r, token, ForPassword)
		if err == nil {
			login = t.Person
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	hash, err := p.newPassword(ctx, login, password, nil)
	if err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	err = p.deps.Store.Write(ctx, func(w Writer) error {
		t, err := p.redeemable(w, token, ForPassword)
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
		if err := w.RemoveOneTimes(ForPassword, person.Login); err != nil {
			return err
		}
		if err := w.PutFailures(p.mac("failures", person.Login), Failures{}); err != nil {
			return err
		}
		return p.replacePassword(w, Someone(person.Login, false, nil), from, person, hash, "")
	})
	if err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	return nil
}

// ChangePassword replaces one's own password, proved by the old one and by the second
// factor, and ends all other logins. The current login goes on; its secret says which.
func (p *People) ChangePassword(ctx context.Context, actor Actor, from From, current, old, code, password string) error {
	if actor.Kind() != KindPerson {
		return fmt.Errorf("change the password: %w", errNoPerson)
	}
	hash, err := p.newPassword(ctx, actor.Person(), password, nil)
	if err == nil {
		err = p.prove(ctx, from, actor.Person(), old, code, "change password", func(w Writer, person *Person) error {
			return p.replacePassword(w, actor, from, person, hash, hashOf(current))
		})
	}
	if err != nil {
		return fmt.Errorf("change the password: %w", err)
	}
	return nil
}

func (p *People) replacePassword(w Writer, actor Actor, from From, person *Person, hash, keep string) error {
	person.Secrets.Password, person.Changed = hash, p.now()
	if err := w.PutPerson(person); err != nil {
		return err
	}
	if err := p.endLogins(w, person.Login, keep); err != nil {
		return err
	}
	return p.record(w, actor, "set password", person.Login, "ok", from, nil)
}

// endLogins ends those of a person, but for one.
func (p *People) endLogins(w Writer, login, keep string) error {
	logins, err := w.Logins(login)
	if err != nil {
		return err
	}
	for _, l := range logins {
		if l.Hash == keep {
			continue
		}
		if err := w.RemoveLogin(l.Hash); err != nil {
			return err
		}
	}
	return nil
}

// StartSecondFactor returns a new key for an authenticator, as people type it and as
// an otpauth: URI. It counts once ConfirmSecondFactor has seen a code of it.
func (p *People) StartSecondFactor(ctx context.Context, actor Actor, from From, password string) (key, uri Secret, err error) {
	if actor.Kind() != KindPerson {
		return key, uri, fmt.Errorf("set up a second factor: %w", errNoPerson)
	}
	raw := make([]byte, totpKeyBytes)
	rand.Read(raw)
	err = p.prove(ctx, from, actor.Person(), password, "", "set up second factor", func(w Writer, person *Person) error {
		person.Secrets.Pending = p.sealed(raw, person.Login)
		return w.PutPerson(person)
	})
	if errors.Is(err, ErrCodeNeeded) {
		err = fault.New(fault.Conflict, "there is a second factor already: remove it first")
	}
	if err != nil {
		return Secret{}, Secret{}, fmt.Errorf("set up a second factor: %w", err)
	}
	return Secret{base32NoPadding.EncodeToString(raw)}, Secret{totpURI(p.config.Product, actor.Person(), raw)}, nil
}

// ConfirmSecondFactor makes the key of StartSecondFactor count and returns recovery
// codes, each good for one login without the authenticator.
func (p *People) ConfirmSecondFactor(ctx context.Context, actor Actor, from From, code string) ([]Secret, error) {
	if actor.Kind() != KindPerson {
		return nil, fmt.Errorf("set up a second factor: %w", errNoPerson)
	}
	if err := p.pace.take(from.Address, p.now()); err != nil {
		return nil, fmt.Errorf("set up a second factor: %w", err)
	}
	var codes []Secret
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		codes = nil
		person, err := w.Person(actor.Person())
		if err != nil {
			return err
		}
		if person.Secrets.Pending == nil {
			return fault.New(fault.Conflict, "none has been set up")
		}
		key, err := p.opened(person.Secrets.Pending, person.Login)
		if err != nil {
			return err
		}
		step, ok := totpStepOf(key, plainCode(code), p.now(), 0)
		if !ok {
			return fault.New(fault.Invalid, "the code is not the one the authenticator shows at this moment: check the clocks of both")
		}
		person.Secrets = Secrets{Password: person.Secrets.Password, TOTP: person.Secrets.Pending, Step: step}
		codes = p.recovery(person)
		person.Changed = p.now()
		if err := w.PutPerson(person); err != nil {
			return err
		}
		return p.record(w, actor, "set up second factor", person.Login, "ok", from, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("set up a second factor: %w", err)
	}
	return codes, nil
}

// recovery gives a person new recovery codes in the place of those there are.
func (p *People) recovery(person *Person) (codes []Secret) {
	person.Secrets.Recovery = nil
	for _, c := range newRecoveryCodes() {
		codes = append(codes, Secret{c})
		person.Secrets.Recovery = append(person.Secrets.Recovery, p.mac("recovery "+person.Login, plainCode(c)))
	}
	return codes
}

// RenewRecoveryCodes returns new recovery codes, proved by password and code; the old
// ones end.
func (p *People) RenewRecoveryCodes(ctx context.Context, actor Actor, from From, password, code string) ([]Secret, error) {
	if actor.Kind() != KindPerson {
		return nil, fmt.Errorf("renew recovery codes: %w", errNoPerson)
	}
	var codes []Secret
	err := p.prove(ctx, from, actor.Person(), password, code, "renew recovery codes", func(w Writer, person *Person) error {
		if !person.HasSecondFactor() {
			return fault.New(fault.Conflict, "there is no second factor that they could stand in for: set one up first")
		}
		codes = p.recovery(person)
		person.Changed = p.now()
		if err := w.PutPerson(person); err != nil {
			return err
		}
		return p.record(w, actor, "renew recovery codes", person.Login, "ok", from, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("renew recovery codes: %w", err)
	}
	return codes, nil
}

// RemoveSecondFactor removes one's own, proved by password and code.
func (p *People) RemoveSecondFactor(ctx context.Context, actor Actor, from From, password, code string) error {
	if actor.Kind() != KindPerson {
		return fmt.Errorf("remove the second factor: %w", errNoPerson)
	}
	err := p.prove(ctx, from, actor.Person(), password, code, "remove second factor", func(w Writer, person *Person) error {
		return p.withoutSecondFactor(w, actor, from, person)
	})
	if err != nil {
		return fmt.Errorf("remove the second factor: %w", err)
	}
	return nil
}

// ClearSecondFactor removes that of somebody who lost it, and ends their logins.
func (p *People) ClearSecondFactor(ctx context.Context, actor Actor, from From, login string) error {
	return p.change(ctx, actor, from, login, "clear second factor", func(w Writer, person *Person) error {
		person.Secrets = Secrets{Password: person.Secrets.Password}
		if err := w.PutPerson(person); err != nil {
			return err
		}
		return p.endLogins(w, person.Login, "")
	})
}

func (p *People) withoutSecondFactor(w Writer, actor Actor, from From, person *Person) error {
	person.Secrets, person.Changed = Secrets{Password: person.Secrets.Password}, p.now()
	if err := w.PutPerson(person); err != nil {
		return err
	}
	return p.record(w, actor, "remove second factor", person.Login, "ok", from, nil)
}

// Disable keeps somebody out: their logins end at once, their tokens do not work for
// as long as it lasts. Enable lets them in again.
func (p *People) Disable(ctx context.Context, actor Actor, from From, login string) error {
	return p.change(ctx, actor, from, login, "disable", func(w Writer, person *Person) error {
		person.Disabled = true
		if err := p.spareLastAdmin(w, person); err != nil {
			return err
		}
		if err := w.PutPerson(person); err != nil {
			return err
		}
		return p.endLogins(w, person.Login, "")
	})
}

// Enable ends what Disable began.
func (p *People) Enable(ctx context.Context, actor Actor, from From, login string) error {
	return p.change(ctx, actor, from, login, "enable", func(w Writer, person *Person) error {
		person.Disabled = false
		return w.PutPerson(person)
	})
}

// SetPlatformAdmin makes somebody one, or takes it away; never from the last.
func (p *People) SetPlatformAdmin(ctx context.Context, actor Actor, from From, login string, admin bool) error {
	action := "make platform-admin"
	if !admin {
		action = "make platform-admin no more"
	}
	return p.change(ctx, actor, from, login, action, func(w Writer, person *Person) error {
		person.PlatformAdmin = admin
		if err := p.spareLastAdmin(w, person); err != nil {
			return err
		}
		return w.PutPerson(person)
	})
}

// Remove removes somebody with their logins and tokens. Documents that give roles to
// the name are not touched: a later account of that name has them.
func (p *People) Remove(ctx context.Context, actor Actor, from From, login string) error {
	return p.change(ctx, actor, from, login, "remove", func(w Writer, person *Person) error {
		person.Disabled = true
		if err := p.spareLastAdmin(w, person); err != nil {
			return err
		}
		if err := w.RemoveOneTimes(ForPassword, person.Login); err != nil {
			return err
		}
		return w.RemovePerson(person.Login)
	})
}

// spareLastAdmin refuses what would leave nobody in charge.
func (p *People) spareLastAdmin(w Writer, after *Person) error {
	if after.PlatformAdmin && !after.Disabled {
		return nil
	}
	admins, err := w.PlatformAdmins()
	if err != nil {
		return err
	}
	if !slices.Contains(admins, after.Login) {
		return nil
	}
	for _, login := range admins {
		other, err := w.Person(login)
		if err != nil {
			return err
		}
		if login != after.Login && !other.Disabled {
			return nil
		}
	}
	return fault.New(fault.Conflict, "%q is the last platform-admin: make another one first", after.Login)
}

// Person returns an account, to a platform-admin or the person.
func (p *People) Person(ctx context.Context, actor Actor, login string) (*Person, error) {
	var out *Person
	err := p.deps.Store.Read(ctx, func(r Reader) error {
		var err error
		if login = canonical(login); actor.Person() == "" || actor.Person() != login {
			if err := Authorise(actor, ManagePeople, Object{}); err != nil {
				return err
			}
		}
		if out, err = r.Person(login); errors.Is(err, ErrNotFound) {
			return noSuchPerson(login)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the account %q: %w", clip(login), err)
	}
	return out, nil
}

// List returns accounts by login name, those behind after, and whether there are more.
func (p *People) List(ctx context.Context, actor Actor, after string, limit int) (page []*Person, more bool, err error) {
	if err := Authorise(actor, ManagePeople, Object{}); err != nil {
		return nil, false, fmt.Errorf("list accounts: %w", err)
	}
	err = p.deps.Store.Read(ctx, func(r Reader) error {
		var err error
		page, more, err = r.People(after, limit)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list accounts: %w", err)
	}
	return page, more, nil
}

func noSuchPerson(login string) error {
	return fault.New(fault.NotFound, "there is no account %q", clip(login))
}

// administer calls f in a change, for those who manage people and are logged in: with a
// token, accounts could be made that outlast it.
func (p *People) administer(ctx context.Context, actor Actor, f func(Writer) error) error {
	if actor.Kind() == KindToken {
		return errNoPerson
	}
	if err := Authorise(actor, ManagePeople, Object{}); err != nil {
		return err
	}
	return p.deps.Store.Write(ctx, f)
}

// change calls f with an account, and records it.
func (p *People) change(ctx context.Context, actor Actor, from From, login, action string, f func(Writer, *Person) error) error {
	login = canonical(login)
	err := p.administer(ctx, actor, func(w Writer) error {
		person, err := w.Person(login)
		if errors.Is(err, ErrNotFound) {
			return noSuchPerson(login)
		}
		if err != nil {
			return err
		}
		person.Changed = p.now()
		if err := f(w, person); err != nil {
			return err
		}
		return p.record(w, actor, action, login, "ok", from, nil)
	})
	if err != nil {
		return fmt.Errorf("%s, account %q: %w", action, clip(login), err)
	}
	return nil
}

// add puts a new account into the store.
func (p *People) add(w Writer, person *Person) error {
	if person.Provider == "" {
		if err := p.free(w, person.Login); err != nil {
			return err
		}
	} else if _, err := w.Person(person.Login); !errors.Is(err, ErrNotFound) {
		return cmp.Or(err, taken(person.Login))
	}
	person.Created = p.now()
	person.Changed = person.Created
	return w.PutPerson(person)
}

// free returns nil when a local account may have a login name.
func (p *People) free(r Reader, login string) error {
	if !localName.MatchString(login) {
		return fault.New(fault.Invalid, "%q is no login name: use lower-case letters, digits and . _ @ + -, beginning with a letter or digit", clip(login))
	}
	if _, err := r.Person(login); !errors.Is(err, ErrNotFound) {
		return cmp.Or(err, taken(login))
	}
	return nil
}

func taken(login string) error {
	return fault.New(fault.Conflict, "there is an account %q already: who lost its token or password gets another by sluice people reset-password %s", login, login)
}

// newPassword checks a new password and returns its hash. Before it costs anything,
// first is asked whether the caller may.
func (p *People) newPassword(ctx context.Context, login, password string, first func(Reader) error) (string, error) {
	if first != nil {
		if err := p.deps.Store.Read(ctx, first); err != nil {
			return "", err
		}
	}
	if err := CheckPassword(login, password); err != nil {
		return "", err
	}
	var hash string
	err := p.gate.do(ctx, func() { hash = hashPassword(p.cost, password) })
	return hash, err
}

// oneTime makes a one-time token.
func (p *People) oneTime(w Writer, purpose Purpose, person string) (Secret, time.Time, error) {
	return NewOneTime(w, purpose, person, p.now(), p.config.OneTimeLife)
}

// NewOneTime makes a one-time token that waits for a time.
func NewOneTime(w Writer, purpose Purpose, person string, now time.Time, life time.Duration) (Secret, time.Time, error) {
	secret := newSecret()
	t := &OneTime{Hash: hashOf(secret), Purpose: purpose, Person: person, Created: now, Expires: now.Add(life)}
	return Secret{secret}, t.Expires, w.PutOneTime(t)
}

// redeemable returns a one-time token that still works.
func (p *People) redeemable(r Reader, token string, purpose Purpose) (*OneTime, error) {
	return Redeemable(r, token, purpose, p.now())
}

// Redeemable returns a one-time token that still works. Whoever takes it removes it.
func Redeemable(r Reader, token string, purpose Purpose, now time.Time) (*OneTime, error) {
	t, err := r.OneTime(hashOf(token))
	if errors.Is(err, ErrNotFound) || err == nil && (t.Purpose != purpose || !now.Before(t.Expires)) {
		return nil, errOneTime
	}
	return t, err
}
