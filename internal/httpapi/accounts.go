package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/identity"
	"sluice/internal/httpapi/schema"
)

type personInput struct {
	Login string `path:"login" maxLength:"256"`
}

type personThingInput struct {
	Login string `path:"login" maxLength:"256"`
	ID    string `path:"id" maxLength:"64"`
}

type peopleInput struct {
	After string `query:"after" maxLength:"256" doc:"What next said of the page before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

// administration registers the routes of other people's accounts.
func (a *API) administration() {
	tags := []string{"People"}
	huma.Register(a.huma, huma.Operation{OperationID: "list-people", Method: http.MethodGet, Path: "/v1/people", Summary: "List accounts, by login name", Tags: tags},
		func(ctx context.Context, in *peopleInput) (*struct{ Body schema.Accounts }, error) {
			page, more, err := a.people.List(ctx, asked(ctx).request.Actor, in.After, in.Limit)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &struct{ Body schema.Accounts }{schema.Accounts{Items: []schema.Account{}}}
			for _, p := range page {
				out.Body.Items = append(out.Body.Items, a.account(p))
			}
			if more {
				out.Body.Next = page[len(page)-1].Login
			}
			return out, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "get-person", Method: http.MethodGet, Path: "/v1/people/{login}", Summary: "Get an account: one's own, or as a platform-admin anybody's", Tags: tags},
		func(ctx context.Context, in *personInput) (*struct{ Body schema.Account }, error) {
			p, err := a.people.Person(ctx, asked(ctx).request.Actor, in.Login)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Account }{a.account(p)}, nil
		})
	for _, c := range []struct {
		id, method, path, summary string
		do                        func(context.Context, identity.Actor, identity.From, string) error
	}{
		{"remove-person", http.MethodDelete, "", "Remove an account, with its logins and API tokens", a.people.Remove},
		{"disable-person", http.MethodPost, "/disable", "Keep somebody out: logins end, API tokens do not work", a.people.Disable},
		{"enable-person", http.MethodPost, "/enable", "Let somebody in again who was disabled", a.people.Enable},
		{"clear-second-factor", http.MethodPost, "/clear-second-factor", "Remove the second factor of somebody who lost it", a.people.ClearSecondFactor},
		{"make-platform-admin", http.MethodPut, "/platform-admin", "Make somebody a platform-admin", func(ctx context.Context, actor identity.Actor, from identity.From, login string) error {
			return a.people.SetPlatformAdmin(ctx, actor, from, login, true)
		}},
		{"make-no-platform-admin", http.MethodDelete, "/platform-admin", "Make somebody a platform-admin no more; never the last one", func(ctx context.Context, actor identity.Actor, from identity.From, login string) error {
			return a.people.SetPlatformAdmin(ctx, actor, from, login, false)
		}},
		{"end-logins-of", http.MethodDelete, "/logins", "End all logins of somebody", func(ctx context.Context, actor identity.Actor, from identity.From, login string) error {
			return a.people.EndLogin(ctx, actor, from, login, "")
		}},
	} {
		huma.Register(a.huma, huma.Operation{OperationID: c.id, Method: c.method, Path: "/v1/people/{login}" + c.path, Summary: c.summary, Tags: tags, DefaultStatus: http.StatusNoContent},
			func(ctx context.Context, in *personInput) (*emptyOutput, error) {
				if err := c.do(ctx, asked(ctx).request.Actor, from(ctx), in.Login); err != nil {
					return nil, a.failed(ctx, err)
				}
				return &emptyOutput{}, nil
			})
	}
	huma.Register(a.huma, huma.Operation{OperationID: "reset-password", Method: http.MethodPost, Path: "/v1/people/{login}/reset-password", Summary: "Make a token with which somebody sets a new password; the old one works until then", Tags: tags, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *personInput) (*struct{ Body schema.Invitation }, error) {
			secret, until, err := a.people.ResetPassword(ctx, asked(ctx).request.Actor, from(ctx), in.Login)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Invitation }{schema.Invitation{Login: in.Login, Token: secret.Reveal(), Expires: until}}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "list-logins-of", Method: http.MethodGet, Path: "/v1/people/{login}/logins", Summary: "List the logins of somebody", Tags: tags},
		func(ctx context.Context, in *personInput) (*struct{ Body schema.ActiveLogins }, error) {
			return a.logins(ctx, in.Login)
		})
	huma.Register(a.huma, huma.Operation{OperationID: "end-login-of", Method: http.MethodDelete, Path: "/v1/people/{login}/logins/{id}", Summary: "End a login of somebody", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *personThingInput) (*emptyOutput, error) {
			return a.endLogin(ctx, in.Login, in.ID)
		})
	huma.Register(a.huma, huma.Operation{OperationID: "list-tokens-of", Method: http.MethodGet, Path: "/v1/people/{login}/tokens", Summary: "List the API tokens of somebody", Tags: tags},
		func(ctx context.Context, in *personInput) (*struct{ Body schema.Tokens }, error) {
			return a.tokens(ctx, in.Login)
		})
	huma.Register(a.huma, huma.Operation{OperationID: "revoke-token-of", Method: http.MethodDelete, Path: "/v1/people/{login}/tokens/{id}", Summary: "Revoke an API token of somebody", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *personThingInput) (*emptyOutput, error) {
			return a.revokeToken(ctx, in.Login, in.ID)
		})
}

// own registers the routes of one's own account, but for API tokens.
func (a *API) own() {
	tags := []string{"People"}
	huma.Register(a.huma, huma.Operation{OperationID: "list-logins", Method: http.MethodGet, Path: "/v1/logins", Summary: "List one's own logins", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*struct{ Body schema.ActiveLogins }, error) {
			return a.logins(ctx, asked(ctx).request.Actor.Person())
		})
	huma.Register(a.huma, huma.Operation{OperationID: "end-login", Method: http.MethodDelete, Path: "/v1/logins/{id}", Summary: "End a login of one's own", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*emptyOutput, error) {
			return a.endLogin(ctx, asked(ctx).request.Actor.Person(), in.ID)
		})
	huma.Register(a.huma, huma.Operation{OperationID: "end-other-logins", Method: http.MethodDelete, Path: "/v1/logins", Summary: "End all of one's own logins but the one that asks", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*struct{ Body schema.Ended }, error) {
			ended, err := a.people.EndOtherLogins(ctx, asked(ctx).request.Actor, from(ctx), asked(ctx).secret)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Ended }{schema.Ended{Logins: ended}}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "change-password", Method: http.MethodPost, Path: "/v1/me/password", Summary: "Replace one's own password; other logins end", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body schema.ChangedPassword }) (*emptyOutput, error) {
			if err := a.people.ChangePassword(ctx, asked(ctx).request.Actor, from(ctx), asked(ctx).secret, in.Body.Old, in.Body.Code, in.Body.Password); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &emptyOutput{}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "set-up-second-factor", Method: http.MethodPost, Path: "/v1/me/second-factor", Summary: "Get a key for an authenticator, which counts once it is confirmed", Tags: tags},
		func(ctx context.Context, in *struct{ Body schema.Proof }) (*struct{ Body schema.SecondFactor }, error) {
			key, uri, err := a.people.StartSecondFactor(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Password)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.SecondFactor }{schema.SecondFactor{Key: key.Reveal(), URI: uri.Reveal()}}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "confirm-second-factor", Method: http.MethodPost, Path: "/v1/me/second-factor/confirm", Summary: "Make the authenticator count, by a code that it shows; recovery codes are shown this once", Tags: tags},
		func(ctx context.Context, in *struct{ Body schema.Code }) (*struct{ Body schema.RecoveryCodes }, error) {
			return a.codes(ctx)(a.people.ConfirmSecondFactor(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Code))
		})
	huma.Register(a.huma, huma.Operation{OperationID: "remove-second-factor", Method: http.MethodPost, Path: "/v1/me/second-factor/remove", Summary: "Remove one's own second factor", Tags: tags, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body schema.Proof }) (*emptyOutput, error) {
			if err := a.people.RemoveSecondFactor(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Password, in.Body.Code); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &emptyOutput{}, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "renew-recovery-codes", Method: http.MethodPost, Path: "/v1/me/recovery-codes", Summary: "Get new recovery codes, which are shown this once; the old ones end", Tags: tags},
		func(ctx context.Context, in *struct{ Body schema.Proof }) (*struct{ Body schema.RecoveryCodes }, error) {
			return a.codes(ctx)(a.people.RenewRecoveryCodes(ctx, asked(ctx).request.Actor, from(ctx), in.Body.Password, in.Body.Code))
		})
}

// codes answers with recovery codes.
func (a *API) codes(ctx context.Context) func([]identity.Secret, error) (*struct{ Body schema.RecoveryCodes }, error) {
	return func(codes []identity.Secret, err error) (*struct{ Body schema.RecoveryCodes }, error) {
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out := &struct{ Body schema.RecoveryCodes }{}
		for _, c := range codes {
			out.Body.Codes = append(out.Body.Codes, c.Reveal())
		}
		return out, nil
	}
}

func (a *API) logins(ctx context.Context, login string) (*struct{ Body schema.ActiveLogins }, error) {
	logins, err := a.people.Logins(ctx, asked(ctx).request.Actor, login)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &struct{ Body schema.ActiveLogins }{schema.ActiveLogins{Items: []schema.ActiveLogin{}}}
	for _, l := range logins {
		out.Body.Items = append(out.Body.Items, schema.ActiveLogin{ID: l.ID, Method: l.Method, Address: l.Address, Agent: l.Agent, Created: l.Created, Seen: l.Seen, Expires: l.Expires, Current: l.IsCurrent(asked(ctx).secret)})
	}
	return out, nil
}

func (a *API) endLogin(ctx context.Context, login, id string) (*emptyOutput, error) {
	if err := a.people.EndLogin(ctx, asked(ctx).request.Actor, from(ctx), login, id); err != nil {
		return nil, a.failed(ctx, err)
	}
	return &emptyOutput{}, nil
}

func (a *API) tokens(ctx context.Context, login string) (*struct{ Body schema.Tokens }, error) {
	tokens, err := a.people.Tokens(ctx, asked(ctx).request.Actor, login)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &struct{ Body schema.Tokens }{schema.Tokens{Items: []schema.Token{}}}
	for _, t := range tokens {
		out.Body.Items = append(out.Body.Items, tokenOf(t))
	}
	return out, nil
}

func (a *API) revokeToken(ctx context.Context, login, id string) (*emptyOutput, error) {
	if err := a.people.RevokeToken(ctx, asked(ctx).request.Actor, from(ctx), login, id); err != nil {
		return nil, a.failed(ctx, err)
	}
	return &emptyOutput{}, nil
}

// account makes a body of an account.
func (a *API) account(p *identity.Person) schema.Account {
	out := schema.Account{
		Login: p.Login, Title: p.Title, Email: p.Email, Provider: p.Provider, Groups: p.Groups, PlatformAdmin: p.PlatformAdmin, Disabled: p.Disabled,
		HasPassword: p.HasPassword(), SecondFactor: p.HasSecondFactor(), Created: p.Created, Changed: p.Changed,
	}
	if !p.SeenByProvider.IsZero() {
		out.SeenByProvider = &p.SeenByProvider
	}
	for _, m := range a.people.Roles(p) {
		out.Roles = append(out.Roles, schema.MyRole{Role: string(m.Role), Organisation: m.Organisation, Team: m.Team})
	}
	return out
}
