package app

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"sluice/internal/config"
	"sluice/internal/control/identity"
	"sluice/internal/control/identity/openid"
	"sluice/internal/httpapi"
	"sluice/internal/outbound"
)

// accountsOf are the rules of a configuration for accounts. Second factors and what is
// short are kept with a key that follows from the seed.
func accountsOf(all config.Config, seed []byte) (identity.Config, error) {
	c, out := all.Management, identity.DefaultConfig()
	var err error
	if out.Key, err = hkdf.Key(sha256.New, seed, nil, "sluice accounts", 32); err != nil {
		return out, fmt.Errorf("derive the key of accounts: %w", err)
	}
	out.Idle, out.Absolute, out.GroupsLife = c.Login.IdleTimeout, c.Login.MaxLifetime, c.Login.GroupsLifetime
	out.MaxTokenLife = c.Login.MaxTokenLifetime
	out.TokenLife = min(out.TokenLife, out.MaxTokenLife)
	out.Passwords = identity.PasswordsFor(c.Login.Passwords)
	out.SignUp = all.Portal.SignUp == "open"
	out.Providers = map[string][]string{}
	for _, o := range c.OpenID {
		out.Providers[o.Name] = o.Organisations
	}
	return out, nil
}

// providersOf are the identity providers of a configuration. What browsers carry
// between us and them is sealed with a key that follows from the seed, so that any
// control plane of the installation takes them back.
func providersOf(c config.Management, seed []byte, out *outbound.Client, opts Options) ([]*openid.Provider, error) {
	key, err := hkdf.Key(sha256.New, seed, nil, "sluice logins through providers", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of logins: %w", err)
	}
	var providers []*openid.Provider
	for i, o := range c.OpenID {
		secret := ""
		if !o.ClientSecret.IsZero() {
			if secret, err = config.ReadSecret(o.ClientSecret); err != nil {
				return nil, fmt.Errorf("management.openid[%d].clientSecret: %w", i, err)
			}
		}
		p, err := openid.New(openid.Config{
			Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: identity.NewSecret(secret), RedirectURL: httpapi.CallbackURL(c.URL),
			Scopes: o.Scopes, NameClaim: o.NameClaim, GroupsClaim: o.GroupsClaim,
		}, openid.Deps{Client: out, Key: key, Now: opts.Now, Log: opts.Log})
		if err != nil {
			return nil, err
		}
		providers = append(providers, p)
	}
	return providers, nil
}
