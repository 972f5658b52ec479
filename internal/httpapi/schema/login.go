package schema

// LoginMethods are the ways in which people log in.
type LoginMethods struct {
	// Passwords says who may log in with one: everybody, platform-admins or nobody.
	Passwords string `json:"passwords" enum:"everybody,platform-admins,nobody"`
	// Providers are the names of identity providers.
	Providers []string `json:"providers"`
	// SignUp says that people make accounts themselves.
	SignUp bool `json:"signUp,omitempty"`
	// URL is where browsers reach the API, for identity providers.
	URL string `json:"url,omitempty"`
}

// HandedOver is what a program has of a login through an identity provider.
type HandedOver struct {
	Code string `json:"code"`
	// Verifier is that of the challenge it began with (RFC 7636).
	Verifier string `json:"verifier"`
}
