package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// who says who asks: by an API token, or by the secret of a login, which browsers keep
// in a cookie.
func who(people *identity.People, secure bool) func(*http.Request) (identity.Actor, error) {
	return func(r *http.Request) (identity.Actor, error) {
		secret, ok := secretOf(r, secure)
		switch {
		case !ok && r.Header.Get("Authorization") == "":
			return identity.Nobody(), nil
		case !ok:
			return identity.Nobody(), fault.New(fault.Denied, "Authorization has to be: Bearer, and an API token or what a login gave")
		case r.Header.Get("Authorization") == "": // by a cookie
			actor, _, err := people.Who(r.Context(), secret)
			if fault.KindOf(err) == fault.Denied { // it has ended: the browser logs in again
				return identity.Nobody(), nil
			}
			return actor, err
		case strings.HasPrefix(secret, identity.TokenPrefix):
			actor, _, err := people.WhoHasToken(r.Context(), secret)
			return actor, err
		}
		actor, _, err := people.Who(r.Context(), secret)
		return actor, err
	}
}

// secretOf returns what a request asks with. Where browsers reach us by TLS, a cookie
// without the prefix is not looked at: a page of another host of the domain can set one.
func secretOf(r *http.Request, secure bool) (secret string, ok bool) {
	if r.Header.Get("Authorization") != "" {
		return bearer(r)
	}
	if c, err := r.Cookie(cookieName(loginCookie, secure || r.TLS != nil)); err == nil && c.Value != "" {
		return c.Value, true
	}
	return "", false
}

// bearer returns what a request asks with (RFC 6750 §2.1).
func bearer(r *http.Request) (secret string, ok bool) {
	const most = 512
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" || len(secret) > most {
		return "", false
	}
	return secret, true
}

// from is where a request comes from, as accounts see it.
func from(ctx context.Context) identity.From {
	a := asked(ctx)
	address, _ := netip.ParseAddr(a.request.Address) // what is none is the zero one
	return identity.From{Address: address.Unmap(), Agent: a.agent, Request: a.request.ID}
}

type emptyOutput struct{}

// CookieInput is how a browser asks for a cookie. Its name is exported since huma fills
// no others.
type CookieInput struct {
	Cookie string `header:"Sluice-Cookie" enum:"yes" doc:"yes for a cookie that scripts cannot read, and no token."`
}

type loginOutput struct {
	Cookie string `header:"Set-Cookie"`
	Body   schema.Login
}

// loggedIn hands out a login: to a browser as a cookie, which no script of a page can
// read, to others as a token.
func (a *API) loggedIn(ctx context.Context, in CookieInput, secret identity.Secret, login *identity.Login, team string) *loginOutput {
	out := &loginOutput{Body: schema.Login{Person: login.Person, Expires: login.Expires, Team: team}}
	if in.Cookie == "" {
		out.Body.Token = secret.Reveal()
		return out
	}
	out.Cookie = a.loginCookie(secret, login, asked(ctx).secure()).String()
	return out
}

// accounts registers the routes of people.
func (a *API) accounts() {
	tags := []string{"People"}
	open := []map[string][]string{{}} // nobody has logged in yet
	huma.Register(a.huma, huma.Operation{OperationID: "claim", Method: http.MethodPost, Path: "/v1/claim", Summary: "Become the first platform-admin, with the token that the first start prints", Tags: tags, Security: open, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body schema.Claim }) (*emptyOutput, error) {
			if err := a.people.ClaimPlatform(ctx, from(ctx), in.Body.Token, in.Body.Login, in.Body.Password); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &emptyOutput{}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "login", Method: http.MethodPost, Path: "/v1/login", Summary: "Log in with a password", Tags: tags, Security: open},
		func(ctx context.Context, in *struct {
			CookieInput
			Body schema.Credentials
		}) (*loginOutput, error) {
			secret, login, err := a.people.LogIn(ctx, from(ctx), in.Body.Login, in.Body.Password, in.Body.Code)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return a.loggedIn(ctx, in.CookieInput, secret, login, ""), nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "sign-up", Method: http.MethodPost, Path: "/v1/signup", Summary: "Make an account of one's own, with a team, and log in; where people may", Tags: tags, Security: open, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *struct {
			CookieInput
			Body schema.SignUp
		}) (*loginOutput, error) {
			team := ""
			secret, login, err := a.people.SignUp(ctx, from(ctx), in.Body.Login, in.Body.Title, in.Body.Password, func(login string, add func(identity.Writer) error) (err error) {
				team, err = a.plane.Welcome(ctx, request(ctx), login, add)
				return err
			})
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return a.loggedIn(ctx, in.CookieInput, secret, login, team), nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "logout", Method: http.MethodPost, Path: "/v1/logout", Summary: "End the login that asks", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, _ *struct{}) (*struct {
			Cookie string `header:"Set-Cookie"`
		}, error) {
			if err := a.people.LogOut(ctx, from(ctx), asked(ctx).secret); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct {
				Cookie string `header:"Set-Cookie"`
			}{a.cookie(loginCookie, "", -1, asked(ctx).secure()).String()}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "invite", Method: http.MethodPost, Path: "/v1/people", Summary: "Make an account; its person sets a password with the token", Tags: tags, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *struct{ Body schema.Person }) (*struct{ Body schema.Invitation }, error) {
			secret, until, err := a.people.Invite(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Login, in.Body.Title, in.Body.Email)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Invitation }{schema.Invitation{Login: in.Body.Login, Token: secret.Reveal(), Expires: until}}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "set-password", Method: http.MethodPost, Path: "/v1/password", Summary: "Set a password, with the token of an invitation", Tags: tags, Security: open, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body schema.NewPassword }) (*emptyOutput, error) {
			if err := a.people.SetPassword(ctx, from(ctx), in.Body.Token, in.Body.Password); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &emptyOutput{}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/v1/tokens", Summary: "Make an API token of one's own; it is shown this once", Tags: tags, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *struct{ Body schema.NewToken }) (*struct{ Body schema.Token }, error) {
			life := time.Duration(0)
			if in.Body.Life != "" {
				var err error
				if life, err = time.ParseDuration(in.Body.Life); err != nil {
					return nil, a.failed(ctx, fault.New(fault.Invalid, "life is %q: write a number and a unit, as 720h", in.Body.Life))
				}
			}
			scope := identity.Scope{Platform: in.Body.Platform, ReadOnly: in.Body.ReadOnly}
			for _, r := range in.Body.Roles {
				scope.Roles = append(scope.Roles, identity.Membership{Role: identity.Role(r.Role), Organisation: r.Organisation, Team: r.Team})
			}
			secret, token, err := a.people.NewToken(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Name, scope, life)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := tokenOf(token)
			out.Token = secret.Reveal()
			return &struct{ Body schema.Token }{out}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/v1/tokens", Summary: "List one's own API tokens", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*struct{ Body schema.Tokens }, error) {
			return a.tokens(ctx, asked(ctx).request.Actor.Person())
		})
	huma.Register(a.huma, huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: "/v1/tokens/{id}", Summary: "Revoke an API token of one's own", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*emptyOutput, error) {
			return a.revokeToken(ctx, asked(ctx).request.Actor.Person(), in.ID)
		})
	a.own()
	a.administration()
}

func tokenOf(t *identity.Token) schema.Token {
	out := schema.Token{ID: t.ID, Name: t.Name, Created: t.Created, Expires: t.Expires, Platform: t.Scope.Platform, ReadOnly: t.Scope.ReadOnly}
	if !t.Used.IsZero() {
		out.Used = &t.Used
	}
	for _, m := range t.Scope.Roles {
		out.Roles = append(out.Roles, schema.MyRole{Role: string(m.Role), Organisation: m.Organisation, Team: m.Team})
	}
	return out
}
