package app

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"sluice/internal/config"
	"sluice/internal/control/identity"
)

// accountsOf are the rules of a configuration for accounts. Second factors and what is
// short are kept with a key that follows from the seed.
func accountsOf(c config.Management, seed []byte) (identity.Config, error) {
	out := identity.DefaultConfig()
	var err error
	if out.Key, err = hkdf.Key(sha256.New, seed, nil, "sluice accounts", 32); err != nil {
		return out, fmt.Errorf("derive the key of accounts: %w", err)
	}
	out.Idle, out.Absolute, out.GroupsLife = c.Login.IdleTimeout, c.Login.MaxLifetime, c.Login.GroupsLifetime
	out.MaxTokenLife = c.Login.MaxTokenLifetime
	out.TokenLife = min(out.TokenLife, out.MaxTokenLife)
	out.Passwords = identity.PasswordsFor(c.Login.Passwords)
	out.Providers = map[string][]string{}
	for _, o := range c.OpenID {
		out.Providers[o.Name] = o.Organisations
	}
	return out, nil
}
