package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/fault"
)

// seenEvery is how coarse the time is at which a login or token was last used.
const seenEvery = time.Minute

// Who returns who has a login, by its secret, with the roles they have now. The fault
// is Denied when there is no such login or it has ended.
func (p *People) Who(ctx context.Context, secret string) (Actor, *Login, error) {
	var actor Actor
	var l *Login
	err := p.deps.Store.Read(ctx, func(r Reader) error {
		var err error
		if l, err = r.Login(hashOf(secret)); errors.Is(err, ErrNotFound) || err == nil && !p.lives(l) {
			return errNoLogin
		} else if err != nil {
			return err
		}
		actor, err = p.actor(r, l.Person, errNoLogin)
		return err
	})
	if err != nil {
		return Actor{}, nil, fmt.Errorf("find the login: %w", err)
	}
	if now := p.now(); now.Sub(l.Seen) >= seenEvery {
		err := p.deps.Store.Write(ctx, func(w Writer) error {
			again, err := w.Login(l.Hash)
			if errors.Is(err, ErrNotFound) {
				return errNoLogin // ended meanwhile
			}
			if err != nil {
				return err
			}
			again.Seen = now
			return w.PutLogin(again)
		})
		switch {
		case fault.KindOf(err) == fault.Denied:
			return Actor{}, nil, fmt.Errorf("find the login: %w", err)
		case err != nil: // whoever is logged in goes on
			p.deps.Log.Warn("the time at which a login was last used could not be written", "error", err)
		default:
			l.Seen = now
		}
	}
	return actor, l, nil
}

// lives says whether a login has not ended.
func (p *People) lives(l *Login) bool {
	now := p.now()
	return now.Before(l.Expires) && now.Sub(l.Seen) < p.config.Idle
}

// actor is a person with the roles they have now, or the refusal.
func (p *People) actor(r Reader, login string, refusal error) (Actor, error) {
	person, err := r.Person(login)
	if errors.Is(err, ErrNotFound) || err == nil && person.Disabled {
		return Actor{}, refusal
	}
	if err != nil {
		return Actor{}, err
	}
	return Someone(person.Login, person.PlatformAdmin, p.roles(person)), nil
}

// Actor returns a person with the roles they have now, for what somebody else does in
// their name, such as a notification. The fault is NotFound when there is no account,
// or it is disabled.
func (p *People) Actor(ctx context.Context, login string) (Actor, error) {
	var actor Actor
	err := p.deps.Store.Read(ctx, func(r Reader) error {
		var err error
		actor, err = p.actor(r, canonical(login), noSuchPerson(login))
		return err
	})
	if err != nil {
		return Actor{}, fmt.Errorf("find the account: %w", err)
	}
	return actor, nil
}

// Logins returns a person's own logins that have not ended, or, to a platform-admin,
// those of anybody.
func (p *People) Logins(ctx context.Context, actor Actor, login string) ([]*Login, error) {
	login = canonical(login)
	var out []*Login
	err := p.ownOr(actor, login)
	if err == nil {
		err = p.deps.Store.Read(ctx, func(r Reader) error {
			all, err := r.Logins(login)
			out = slices.DeleteFunc(all, func(l *Login) bool { return !p.lives(l) })
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list logins of %q: %w", clip(login), err)
	}
	return out, nil
}

// EndLogin ends a login by the id that is shown; "" ends all of the person's.
func (p *People) EndLogin(ctx context.Context, actor Actor, from From, login, id string) error {
	login = canonical(login)
	err := p.ownOr(actor, login)
	if err == nil {
		err = p.deps.Store.Write(ctx, func(w Writer) error {
			all, err := w.Logins(login)
			if err != nil {
				return err
			}
			found := id == ""
			for _, l := range all {
				if id != "" && l.ID != id {
					continue
				}
				found = true
				if err := w.RemoveLogin(l.Hash); err != nil {
					return err
				}
			}
			if !found {
				return fault.New(fault.NotFound, "there is no login %q", clip(id))
			}
			return p.record(w, actor, "end login", login, "ok", from, map[string]any{"login": id})
		})
	}
	if err != nil {
		return fmt.Errorf("end a login of %q: %w", clip(login), err)
	}
	return nil
}

// EndOtherLogins ends all of one's own logins but the one with this secret, and returns
// how many those were.
func (p *People) EndOtherLogins(ctx context.Context, actor Actor, from From, current string) (int, error) {
	ended := 0
	err := func() error {
		if actor.Kind() != KindPerson {
			return errNoPerson
		}
		return p.deps.Store.Write(ctx, func(w Writer) error {
			all, err := w.Logins(actor.Person())
			if err != nil {
				return err
			}
			keep := hashOf(current)
			ended = len(slices.DeleteFunc(all, func(l *Login) bool { return l.Hash == keep }))
			if ended == 0 {
				return nil
			}
			if err := p.endLogins(w, actor.Person(), keep); err != nil {
				return err
			}
			return p.record(w, actor, "end other logins", actor.Person(), "ok", from, map[string]any{"logins": ended})
		})
	}()
	if err != nil {
		return 0, fmt.Errorf("end other logins: %w", err)
	}
	return ended, nil
}

// IsCurrent says whether a login is the one with this secret.
func (l *Login) IsCurrent(secret string) bool { return l.Hash == hashOf(secret) }

// LogOut ends the login with this secret. That there is none is no error.
func (p *People) LogOut(ctx context.Context, from From, secret string) error {
	err := p.deps.Store.Write(ctx, func(w Writer) error {
		l, err := w.Login(hashOf(secret))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.RemoveLogin(l.Hash); err != nil {
			return err
		}
		return p.record(w, Someone(l.Person, false, nil), "log out", l.Person, "ok", from, map[string]any{"login": l.ID})
	})
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// ownOr lets a person who is logged in at their own things, and who manages people at
// those of others. A token gets at neither: what leaks must not make itself at home.
func (p *People) ownOr(actor Actor, login string) error {
	switch {
	case actor.Kind() == KindPerson && actor.Person() == login:
		return nil
	case actor.Kind() == KindPerson:
		return Authorise(actor, ManagePeople, Object{})
	}
	return errNoPerson
}
