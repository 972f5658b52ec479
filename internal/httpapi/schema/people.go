package schema

import "time"

// Account is somebody with an account.
type Account struct {
	Login string `json:"login"`
	Title string `json:"title,omitempty"`
	Email string `json:"email,omitempty"`
	// Provider is the identity provider that says who this is; left out for an account
	// of this installation, and Groups are those that it named at SeenByProvider.
	Provider       string     `json:"provider,omitempty"`
	Groups         []string   `json:"groups,omitempty"`
	SeenByProvider *time.Time `json:"seenByProvider,omitempty"`
	PlatformAdmin  bool       `json:"platformAdmin,omitempty"`
	Disabled       bool       `json:"disabled,omitempty"`
	// HasPassword is false until an invitation has been used.
	HasPassword  bool      `json:"hasPassword,omitempty"`
	SecondFactor bool      `json:"secondFactor,omitempty"`
	Created      time.Time `json:"created"`
	Changed      time.Time `json:"changed"`
	// Roles are those that documents give now.
	Roles []MyRole `json:"roles,omitempty"`
}

// Accounts are a part of the list of accounts.
type Accounts struct {
	Items []Account `json:"items"`
	// Next is what to ask for as after for what follows; empty at the end.
	Next string `json:"next,omitempty"`
}

// ActiveLogin is a browser or another program that a person is logged in with.
type ActiveLogin struct {
	ID string `json:"id"`
	// Method is how the person was proved: password, password and code, or the identity
	// provider's name.
	Method  string `json:"method"`
	Address string `json:"address,omitempty"`
	Agent   string `json:"agent,omitempty"`
	// Created is when, Seen when it was last used, within some minutes, Expires when it
	// ends at the latest.
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
	// Current is the one that asks.
	Current bool `json:"current,omitempty"`
}

// ActiveLogins are those of one person.
type ActiveLogins struct {
	Items []ActiveLogin `json:"items"`
}

// ChangedPassword replaces one's own password.
type ChangedPassword struct {
	Old string `json:"old"`
	// Code is of the second factor, where there is one.
	Code     string `json:"code,omitempty"`
	Password string `json:"password"`
}

// Proof proves once more who is logged in.
type Proof struct {
	Password string `json:"password"`
	// Code is of the second factor, or a recovery code, where there is one.
	Code string `json:"code,omitempty"`
}

// Code is what an authenticator shows.
type Code struct {
	Code string `json:"code"`
}

// SecondFactor is a key for an authenticator. It counts once a code of it was seen.
type SecondFactor struct {
	// Key is as people type it, URI as authenticators read it (otpauth).
	Key string `json:"key"`
	URI string `json:"uri"`
}

// RecoveryCodes stand in for the authenticator, each once. They are shown this once.
type RecoveryCodes struct {
	Codes []string `json:"codes"`
}

// Ended says how many logins were ended.
type Ended struct {
	Logins int `json:"logins"`
}
