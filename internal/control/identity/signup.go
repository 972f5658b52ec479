package identity

import (
	"context"
	"fmt"

	"sluice/internal/fault"
)

var errNoSignUp = fault.New(fault.Denied, "accounts are made by a platform-admin here: ask for an invitation")

// SignUp makes an account of somebody who asks for it, and logs them in. What they have
// is made in the same change by commit, which calls add in its transaction, once or
// more. The faults are those of LogIn, Invalid and Conflict for the name or password,
// and Denied where people do not sign up themselves.
func (p *People) SignUp(ctx context.Context, from From, login, title, password string, commit func(login string, add func(Writer) error) error) (Secret, *Login, error) {
	login = canonical(login)
	secret, l, err := p.signUp(ctx, from, login, title, password, commit)
	if err != nil {
		return Secret{}, nil, fmt.Errorf("sign %q up: %w", clip(login), err)
	}
	return secret, l, nil
}

func (p *People) signUp(ctx context.Context, from From, login, title, password string, commit func(login string, add func(Writer) error) error) (secret Secret, l *Login, err error) {
	if !p.config.SignUp {
		return Secret{}, nil, errNoSignUp
	}
	if err := p.pace.take(from.Address, p.now()); err != nil { // what costs a hash
		return Secret{}, nil, err
	}
	hash, err := p.newPassword(ctx, login, password, func(r Reader) error { return p.free(r, login) })
	if err != nil {
		return Secret{}, nil, err
	}
	if err := p.signUps.take(from.Address, p.now()); err != nil { // what makes an account
		return Secret{}, nil, err
	}
	err = commit(login, func(w Writer) error {
		person := &Person{Login: login, Title: clip(title), Secrets: Secrets{Password: hash}}
		if err := p.add(w, person); err != nil {
			return err
		}
		if err := p.record(w, Someone(login, false, nil), "sign up", login, "ok", from, nil); err != nil {
			return err
		}
		var err error
		secret, l, err = p.begin(w, from, person, "password")
		return err
	})
	return secret, l, err
}
