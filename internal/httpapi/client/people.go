package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"sluice/internal/httpapi/schema"
)

// account is where somebody's account is; "" is one's own things.
func account(login string) string {
	if login == "" {
		return "/v1"
	}
	return "/v1/people/" + url.PathEscape(login)
}

// People calls f for all accounts, by login name.
func (c *Client) People(ctx context.Context, f func(schema.Account) error) error {
	q := url.Values{"limit": {strconv.Itoa(1000)}}
	for {
		var page schema.Accounts
		if err := c.do(ctx, http.MethodGet, "/v1/people", q, "", nil, &page); err != nil {
			return err
		}
		for _, a := range page.Items {
			if err := f(a); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Set("after", page.Next)
	}
}

// Account returns an account.
func (c *Client) Account(ctx context.Context, login string) (*schema.Account, error) {
	var out schema.Account
	return &out, c.do(ctx, http.MethodGet, account(login), nil, "", nil, &out)
}

// RemoveAccount removes an account.
func (c *Client) RemoveAccount(ctx context.Context, login string) error {
	return c.do(ctx, http.MethodDelete, account(login), nil, "", nil, nil)
}

// Disable keeps somebody out, and Enable lets them in again.
func (c *Client) Disable(ctx context.Context, login string) error {
	return c.do(ctx, http.MethodPost, account(login)+"/disable", nil, "", nil, nil)
}

// Enable ends what Disable began.
func (c *Client) Enable(ctx context.Context, login string) error {
	return c.do(ctx, http.MethodPost, account(login)+"/enable", nil, "", nil, nil)
}

// ClearSecondFactor removes the second factor of somebody who lost it.
func (c *Client) ClearSecondFactor(ctx context.Context, login string) error {
	return c.do(ctx, http.MethodPost, account(login)+"/clear-second-factor", nil, "", nil, nil)
}

// SetPlatformAdmin makes somebody a platform-admin, or takes it away.
func (c *Client) SetPlatformAdmin(ctx context.Context, login string, admin bool) error {
	method := http.MethodPut
	if !admin {
		method = http.MethodDelete
	}
	return c.do(ctx, method, account(login)+"/platform-admin", nil, "", nil, nil)
}

// ResetPassword returns a token with which somebody sets a new password.
func (c *Client) ResetPassword(ctx context.Context, login string) (*schema.Invitation, error) {
	var out schema.Invitation
	return &out, c.do(ctx, http.MethodPost, account(login)+"/reset-password", nil, "", nil, &out)
}

// Logins returns the logins of somebody; "" is one's own.
func (c *Client) Logins(ctx context.Context, login string) ([]schema.ActiveLogin, error) {
	var out schema.ActiveLogins
	err := c.do(ctx, http.MethodGet, account(login)+"/logins", nil, "", nil, &out)
	return out.Items, err
}

// EndLogin ends a login of somebody; "" is one of one's own.
func (c *Client) EndLogin(ctx context.Context, login, id string) error {
	return c.do(ctx, http.MethodDelete, account(login)+"/logins/"+url.PathEscape(id), nil, "", nil, nil)
}

// EndLogins ends all logins of somebody; of one's own, when login is "", all but the one
// that asks.
func (c *Client) EndLogins(ctx context.Context, login string) error {
	return c.do(ctx, http.MethodDelete, account(login)+"/logins", nil, "", nil, nil)
}

// Tokens returns the API tokens of somebody; "" is one's own.
func (c *Client) Tokens(ctx context.Context, login string) ([]schema.Token, error) {
	var out schema.Tokens
	err := c.do(ctx, http.MethodGet, account(login)+"/tokens", nil, "", nil, &out)
	return out.Items, err
}

// RevokeToken revokes an API token of somebody; "" is one of one's own.
func (c *Client) RevokeToken(ctx context.Context, login, id string) error {
	return c.do(ctx, http.MethodDelete, account(login)+"/tokens/"+url.PathEscape(id), nil, "", nil, nil)
}

// ChangePassword replaces one's own password.
func (c *Client) ChangePassword(ctx context.Context, body schema.ChangedPassword) error {
	return c.do(ctx, http.MethodPost, "/v1/me/password", nil, "", body, nil)
}

// SetUpSecondFactor returns a key for an authenticator.
func (c *Client) SetUpSecondFactor(ctx context.Context, body schema.Proof) (*schema.SecondFactor, error) {
	var out schema.SecondFactor
	return &out, c.do(ctx, http.MethodPost, "/v1/me/second-factor", nil, "", body, &out)
}

// ConfirmSecondFactor makes the key count, and returns recovery codes.
func (c *Client) ConfirmSecondFactor(ctx context.Context, code string) ([]string, error) {
	var out schema.RecoveryCodes
	err := c.do(ctx, http.MethodPost, "/v1/me/second-factor/confirm", nil, "", schema.Code{Code: code}, &out)
	return out.Codes, err
}

// RemoveSecondFactor removes one's own second factor.
func (c *Client) RemoveSecondFactor(ctx context.Context, body schema.Proof) error {
	return c.do(ctx, http.MethodPost, "/v1/me/second-factor/remove", nil, "", body, nil)
}

// RenewRecoveryCodes returns new recovery codes.
func (c *Client) RenewRecoveryCodes(ctx context.Context, body schema.Proof) ([]string, error) {
	var out schema.RecoveryCodes
	err := c.do(ctx, http.MethodPost, "/v1/me/recovery-codes", nil, "", body, &out)
	return out.Codes, err
}
