package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"

	"sluice/internal/fault"
)

// An API token is TokenPrefix, 11 characters of id, 43 of secret (32 bytes) and 6 of
// checksum (CRC-32, IEEE, of everything before), in 0-9A-Za-z. Prefix and checksum are
// for programs that look for secrets in places where none should be.
const (
	TokenPrefix    = "sluice_"
	tokenIDChars   = 11
	tokenKeyChars  = 43
	tokenSumChars  = 6
	maxTokens      = 100 // of one person
	maxTokenScopes = 100
)

var errNoToken = fault.New(fault.Denied, "this API token does not exist, was revoked, or is too old: make another")

// base62 writes bytes with a fixed number of characters.
func base62(b []byte, chars int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n, base, rest := new(big.Int).SetBytes(b), big.NewInt(62), new(big.Int)
	out := make([]byte, chars)
	for i := chars - 1; i >= 0; i-- {
		n.DivMod(n, base, rest)
		out[i] = digits[rest.Int64()]
	}
	return string(out)
}

func tokenSum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	return base62([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, tokenSumChars)
}

func newToken() (id, token string) {
	b := make([]byte, 8+32)
	rand.Read(b)
	id = base62(b[:8], tokenIDChars)
	token = TokenPrefix + id + base62(b[8:], tokenKeyChars)
	return id, token + tokenSum(token)
}

// tokenID returns the id in a token, if that is one by its form and checksum.
func tokenID(token string) (string, bool) {
	if len(token) != len(TokenPrefix)+tokenIDChars+tokenKeyChars+tokenSumChars || !strings.HasPrefix(token, TokenPrefix) {
		return "", false
	}
	body := token[:len(token)-tokenSumChars]
	return body[len(TokenPrefix):][:tokenIDChars], token[len(body):] == tokenSum(body)
}

// NewToken makes an API token of a person who is logged in, and returns it for the
// only time. It passes on what its scope says of the roles its owner has whenever it is
// used. A life of zero is the default.
func (p *People) NewToken(ctx context.Context, actor Actor, from From, name string, scope Scope, life time.Duration) (Secret, *Token, error) {
	var secret Secret
	var t *Token
	err := func() error {
		if actor.Kind() != KindPerson {
			return errNoPerson
		}
		if err := p.checkToken(actor, name, scope, life); err != nil {
			return err
		}
		if life == 0 {
			life = p.config.TokenLife
		}
		return p.deps.Store.Write(ctx, func(w Writer) error {
			switch person, err := w.Person(actor.Person()); {
			case errors.Is(err, ErrNotFound) || err == nil && person.Disabled:
				return errNoPerson
			case err != nil:
				return err
			}
			mine, err := w.Tokens(actor.Person())
			if err != nil {
				return err
			}
			if len(mine) >= maxTokens {
				return fault.New(fault.Conflict, "there are %d tokens already: revoke some", len(mine))
			}
			if slices.ContainsFunc(mine, func(t *Token) bool { return t.Name == name }) {
				return fault.New(fault.Conflict, "there is a token %q already: revoke it, or take another name", name)
			}
			id, token := newToken()
			now := p.now()
			secret = Secret{token}
			t = &Token{ID: id, Hash: hashOf(token), Person: actor.Person(), Name: name, Scope: scope, Created: now, Expires: now.Add(life)}
			if err := w.PutToken(t); err != nil {
				return err
			}
			return p.record(w, actor, "make token", actor.Person(), "ok", from, map[string]any{"token": id, "name": name, "scope": scope, "expires": t.Expires})
		})
	}()
	if err != nil {
		return Secret{}, nil, fmt.Errorf("make an API token: %w", err)
	}
	return secret, t, nil
}

func (p *People) checkToken(actor Actor, name string, scope Scope, life time.Duration) error {
	switch {
	case name == "" || name != clip(name) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl):
		return fault.New(fault.Invalid, "give the token a name by which you know it again, in one line")
	case life < 0 || life > p.config.MaxTokenLife:
		return fault.New(fault.Invalid, "a token works for %d days at most", int(p.config.MaxTokenLife/(24*time.Hour)))
	case !scope.Platform && len(scope.Roles) == 0:
		return fault.New(fault.Invalid, "say which of your roles the token passes on")
	case len(scope.Roles) > maxTokenScopes:
		return fault.New(fault.Invalid, "the token passes on more than %d roles: name organisations instead of teams", maxTokenScopes)
	case scope.Platform && !actor.PlatformAdmin():
		return fault.New(fault.Denied, "the token would pass on platform-admin, which you are not")
	}
	for _, m := range scope.Roles {
		if !slices.Contains(Roles, m.Role) || m.Organisation == "" || m.Role == OrgAdmin && m.Team != "" {
			return fault.New(fault.Invalid, "%q in %s is not a role that a token can pass on", clip(string(m.Role)), clip(Owner{m.Organisation, m.Team}.String()))
		}
		if len(Narrow(actor.memberships, []Membership{m})) == 0 {
			return fault.New(fault.Denied, "the token would pass on %s in %s, which you are not", m.Role, clip(Owner{m.Organisation, m.Team}.String()))
		}
	}
	return nil
}

// WhoHasToken returns the actor of an API token: its owner with the roles of now, as
// far as the token passes them on. The fault is Denied when it does not work.
func (p *People) WhoHasToken(ctx context.Context, token string) (Actor, *Token, error) {
	var actor Actor
	var t *Token
	err := func() error {
		id, ok := tokenID(token)
		if !ok {
			return errNoToken // without asking the store: anybody can send anything
		}
		return p.deps.Store.Read(ctx, func(r Reader) error {
			var err error
			if t, err = r.Token(id); errors.Is(err, ErrNotFound) {
				return errNoToken
			} else if err != nil {
				return err
			}
			if subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hashOf(token))) != 1 || !p.now().Before(t.Expires) {
				return errNoToken
			}
			owner, err := p.actor(r, t.Person, errNoToken)
			actor = owner.WithToken(t.Name, t.Scope)
			return err
		})
	}()
	if err != nil {
		return Actor{}, nil, fmt.Errorf("find the API token: %w", err)
	}
	if now := p.now(); now.Sub(t.Used) >= seenEvery {
		err := p.deps.Store.Write(ctx, func(w Writer) error {
			again, err := w.Token(t.ID)
			if errors.Is(err, ErrNotFound) {
				return errNoToken // revoked meanwhile
			}
			if err != nil {
				return err
			}
			again.Used = now
			return w.PutToken(again)
		})
		switch {
		case fault.KindOf(err) == fault.Denied:
			return Actor{}, nil, fmt.Errorf("find the API token: %w", err)
		case err != nil: // whoever has it goes on
			p.deps.Log.Warn("the time at which an API token was last used could not be written", "token", t.ID, "error", err)
		default:
			t.Used = now
		}
	}
	return actor, t, nil
}

// Tokens returns a person's own, also those that ended of late, or, to a
// platform-admin, those of anybody.
func (p *People) Tokens(ctx context.Context, actor Actor, login string) ([]*Token, error) {
	login = canonical(login)
	var out []*Token
	err := p.ownOr(actor, login)
	if err == nil {
		err = p.deps.Store.Read(ctx, func(r Reader) error {
			var err error
			out, err = r.Tokens(login)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list API tokens of %q: %w", clip(login), err)
	}
	return out, nil
}

// RevokeToken ends an API token by its id.
func (p *People) RevokeToken(ctx context.Context, actor Actor, from From, login, id string) error {
	login = canonical(login)
	err := p.ownOr(actor, login)
	if err == nil {
		err = p.deps.Store.Write(ctx, func(w Writer) error {
			t, err := w.Token(id)
			if errors.Is(err, ErrNotFound) || err == nil && t.Person != login {
				return fault.New(fault.NotFound, "there is no API token %q", clip(id))
			}
			if err != nil {
				return err
			}
			if err := w.RemoveToken(id); err != nil {
				return err
			}
			return p.record(w, actor, "revoke token", login, "ok", from, map[string]any{"token": id, "name": t.Name})
		})
	}
	if err != nil {
		return fmt.Errorf("revoke an API token of %q: %w", clip(login), err)
	}
	return nil
}
