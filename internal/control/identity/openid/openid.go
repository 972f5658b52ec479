// Package openid lets people log in through an identity provider: OpenID Connect
// Core 1.0 with the code flow, PKCE (RFC 7636, S256), state and nonce. Its main type
// is Provider. It proves who somebody is to the provider, and knows nothing of what
// that means here; everything it fetches goes through the one outbound client.
package openid

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/outbound"
)

// Config is one identity provider.
type Config struct {
	// Name is what it is called here; login names of its people begin with it.
	Name string
	// Issuer is its URL, exactly as it calls itself.
	Issuer string
	// ClientID and ClientSecret are what it knows us by. Without a secret we are a
	// public client, which PKCE is made for.
	ClientID     string
	ClientSecret identity.Secret
	// RedirectURL is our page that it sends people back to, exactly as it is registered
	// there.
	RedirectURL string
	// Scopes are what is asked for; openid, profile and email by default.
	Scopes []string
	// NameClaim is what login names are made of; sub by default. It must be one that the
	// provider never gives to somebody else, and cannot be an e-mail address.
	NameClaim string
	// GroupsClaim is where it names groups; groups by default.
	GroupsClaim string
}

// Deps are what a Provider needs.
type Deps struct {
	Client *outbound.Client
	// Key seals what a browser brings back; 32 bytes, the same in all processes that
	// answer it.
	Key []byte
	Now func() time.Time
	Log *slog.Logger
}

// Times that are not for configuring.
const (
	flowLife     = 10 * time.Minute // from leaving for the provider to coming back
	metadataLife = time.Hour        // until it is asked again what it is like
	patience     = 20 * time.Second // for all that one step asks of it
	maxReturn    = 512              // bytes of a path
	maxFlow      = 4096             // bytes of what a browser brings back
)

// Provider is an identity provider. It is safe for concurrent use.
type Provider struct {
	config Config
	deps   Deps
	seal   cipher.AEAD

	asking   chan struct{} // has room for the one who asks the provider what it is like
	mu       sync.Mutex    // guards what follows
	metadata *metadata
}

// metadata is what the provider says of itself, at a time.
type metadata struct {
	provider *oidc.Provider
	at       time.Time
	// issInAnswer says that its answers name it (RFC 9207).
	issInAnswer bool
}

// algorithms are what tokens may be signed with. A signature that needs a secret both
// sides know is not one of them.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// New returns a provider. It asks it nothing yet, so that we start while it is away.
func New(config Config, deps Deps) (*Provider, error) {
	if config.Scopes == nil {
		config.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if config.NameClaim == "" {
		config.NameClaim = "sub"
	}
	if config.GroupsClaim == "" {
		config.GroupsClaim = "groups"
	}
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(config.Name == "" || strings.Contains(config.Name, ":"), "%q is no name for it", config.Name)
	wrong(!isURL(config.Issuer), "the issuer %q is not a URL without query and fragment", config.Issuer)
	wrong(!isURL(config.RedirectURL), "the redirect URL %q is not a URL without query and fragment", config.RedirectURL)
	wrong(config.ClientID == "", "there is no client id")
	wrong(!slices.Contains(config.Scopes, oidc.ScopeOpenID), "the scopes %q are without openid", config.Scopes)
	wrong(strings.HasPrefix(strings.ToLower(config.NameClaim), "email"), "login names are made of %q: an e-mail address says who gets mail, not who somebody is", config.NameClaim)
	wrong(len(deps.Key) != 32, "the key has %d bytes and not 32", len(deps.Key))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("identity provider %q: %w", config.Name, err)
	}
	key, err := hkdf.Key(sha256.New, deps.Key, nil, "sluice openid: "+config.Name, 32)
	if err != nil {
		return nil, fmt.Errorf("identity provider %q: %w", config.Name, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("identity provider %q: %w", config.Name, err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("identity provider %q: %w", config.Name, err)
	}
	return &Provider{config: config, deps: deps, seal: seal, asking: make(chan struct{}, 1)}, nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.HasSuffix(s, "#")
}

// Name is what the provider is called here.
func (p *Provider) Name() string { return p.config.Name }

// flow is what is remembered between leaving for the provider and coming back. It
// lies in the person's browser, sealed: so nobody fills our store by leaving, and
// nobody comes back in another browser than they left with.
type flow struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Return   string    `json:"r"`
	Expires  time.Time `json:"e"`
}

// Begin returns the address to send a browser to, and what the browser has to bring
// back besides, in a cookie that scripts cannot read and other sites do not cause to
// be sent. Back is the path of ours to end up at. The fault is Invalid for a path that
// is none, and Unavailable when the provider is away.
func (p *Provider) Begin(ctx context.Context, back string) (location string, bring identity.Secret, err error) {
	if !isPath(back) {
		return "", identity.Secret{}, fault.New(fault.Invalid, "begin to log in through %s: the page to return to is not one of ours", p.config.Name)
	}
	m, err := p.discover(ctx)
	if err != nil {
		return "", identity.Secret{}, fmt.Errorf("begin to log in through %s: %w", p.config.Name, err)
	}
	f := flow{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Return: back, Expires: p.deps.Now().Add(flowLife)}
	sealed, err := p.sealed(f)
	if err != nil {
		return "", identity.Secret{}, fmt.Errorf("begin to log in through %s: %w", p.config.Name, err)
	}
	return p.oauth(m).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), identity.NewSecret(sealed), nil
}

// isPath says whether a page to return to is one of ours: a path, which no browser
// takes for another host.
func isPath(s string) bool {
	if len(s) > maxReturn || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.Contains(s, `\`) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.HasPrefix(u.Path, "//") && !strings.Contains(u.Path, `\`)
}

// Answer is what a browser comes back with, in the query of the redirect URL.
type Answer struct {
	State, Code string
	// Issuer is the parameter iss (RFC 9207).
	Issuer string
	// Error is the parameter error, when it came to nothing.
	Error string
}

var (
	errorCode = regexp.MustCompile(`^[a-z0-9_.]{1,64}$`)
	errOther  = fault.New(fault.Denied, "this is not the browser, or not the page, that the login began with, or it took too long: begin again")
)

// Finish returns who came back, and the path to end up at. The caller counts attempts
// and forgets what the browser brought, whatever comes of it. The fault is Denied when
// the provider or something in between is not as it should be, and Unavailable when the
// provider is away.
func (p *Provider) Finish(ctx context.Context, bring string, a Answer) (who identity.External, back string, err error) {
	who, back, err = p.finish(ctx, bring, a)
	if err != nil {
		return identity.External{}, "", fmt.Errorf("log in through %s: %w", p.config.Name, err)
	}
	return who, back, nil
}

func (p *Provider) finish(ctx context.Context, bring string, a Answer) (who identity.External, back string, err error) {
	f, ok := p.opened(bring)
	if !ok || !p.deps.Now().Before(f.Expires) || subtle.ConstantTimeCompare([]byte(f.State), []byte(a.State)) != 1 {
		return who, "", errOther
	}
	if a.Error != "" {
		code := a.Error
		if !errorCode.MatchString(code) {
			code = "an error"
		}
		return who, "", fault.New(fault.Denied, "the identity provider let you not in: %s", code)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := p.discover(ctx)
	if err != nil {
		return who, "", err
	}
	// Another provider's answer must not be taken for this one's (RFC 9207).
	if a.Issuer != "" && a.Issuer != p.config.Issuer || a.Issuer == "" && m.issInAnswer {
		return who, "", errOther
	}
	if a.Code == "" || len(a.Code) > maxFlow {
		return who, "", errOther
	}
	ctx = oidc.ClientContext(ctx, p.deps.Client.HTTP())
	tokens, err := p.oauth(m).Exchange(ctx, a.Code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return who, "", exchangeFailed(err)
	}
	id, c, err := p.verified(ctx, m, tokens, f.Nonce)
	if err != nil {
		return who, "", err
	}
	who = identity.External{
		Provider: p.config.Name, Issuer: id.Issuer, Subject: id.Subject,
		Name: c.text(p.config.NameClaim), Title: c.text("name"), Email: c.text("email"), Groups: c.texts(p.config.GroupsClaim),
	}
	if p.config.NameClaim == "sub" {
		who.Name = id.Subject
	}
	if who.Name == "" {
		return identity.External{}, "", fault.New(fault.Denied, "the identity provider does not say %q, which login names are made of here", p.config.NameClaim)
	}
	return who, f.Return, nil
}

// exchangeFailed says what came of a code, without the answer's text: that is the
// provider's, and may repeat what it was sent.
func exchangeFailed(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		code := refused.ErrorCode
		if !errorCode.MatchString(code) {
			code = "no error code"
		}
		status := 0
		if refused.Response != nil {
			status = refused.Response.StatusCode
		}
		cause := fmt.Errorf("exchange the code: status %d, %s", status, code)
		if status >= 500 {
			return fault.Wrap(fault.Unavailable, cause, "the identity provider does not answer as it should: try again later")
		}
		return fault.Wrap(fault.Denied, cause, "the identity provider does not know this login: begin again")
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("exchange the code: %w", short(err)), "the identity provider does not answer: try again later")
}

// short keeps whole answers of the provider, which the library repeats, out of the log.
func short(err error) error {
	var refused *outbound.RefusedError
	if text := err.Error(); len(text) > 300 && !errors.As(err, &refused) {
		return errors.New(strings.ToValidUTF8(text[:300], "") + "…")
	}
	return err
}

// verified checks the ID token and returns its claims, with those of the UserInfo
// endpoint where it lacks some.
func (p *Provider) verified(ctx context.Context, m *metadata, tokens *oauth2.Token, nonce string) (*oidc.IDToken, claims, error) {
	wrong := func(format string, args ...any) (*oidc.IDToken, claims, error) {
		return nil, nil, fault.Wrap(fault.Denied, fmt.Errorf(format, args...), "what the identity provider says of you cannot be trusted: the operator's log has the reason")
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return wrong("there is no ID token in the answer")
	}
	verifier := m.provider.Verifier(&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms, Now: p.deps.Now})
	id, err := verifier.Verify(ctx, raw)
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // the library has no other way to tell
		return nil, nil, fault.Wrap(fault.Unavailable, short(err), "the identity provider does not answer as it should: try again later")
	}
	if err != nil {
		return wrong("the ID token: %w", short(err))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return wrong("the ID token is not of this login: its nonce is another")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tokens.AccessToken); err != nil {
			return wrong("the access token: %w", err)
		}
	}
	c := claims{}
	if err := id.Claims(&c); err != nil {
		return wrong("the ID token's claims: %w", err)
	}
	if azp, said := c["azp"]; said && azp != p.config.ClientID || !said && len(id.Audience) > 1 {
		return wrong("the ID token is for %d audiences and was issued to %q", len(id.Audience), c.text("azp"))
	}
	if id.Subject == "" || len(id.Subject) > 255 {
		return wrong("the subject has %d characters", len(id.Subject))
	}
	if m.provider.UserInfoEndpoint() != "" && !c.have("name", "email", p.config.GroupsClaim, p.config.NameClaim) {
		info, err := m.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		if err != nil {
			return nil, nil, fault.Wrap(fault.Unavailable, fmt.Errorf("ask UserInfo: %w", short(err)), "the identity provider does not say who you are: try again later")
		}
		more := claims{}
		if err := info.Claims(&more); err != nil {
			return wrong("the claims of UserInfo: %w", err)
		}
		if info.Subject != id.Subject { // or they are somebody else's (OpenID Connect Core 1.0 §5.3.2)
			return wrong("UserInfo is about another subject")
		}
		for name, value := range more {
			if _, there := c[name]; !there {
				c[name] = value
			}
		}
	}
	if sources, ok := c["_claim_names"].(map[string]any); ok {
		if _, elsewhere := sources[p.config.GroupsClaim]; elsewhere {
			p.deps.Log.Warn("the identity provider keeps somebody's groups elsewhere, since they are too many: they do not count", "provider", p.config.Name)
		}
	}
	return id, c, nil
}

// claims are what a provider says of somebody.
type claims map[string]any

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// texts returns a claim that is a list, or a single text.
func (c claims) texts(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, one := range v {
			if s, ok := one.(string); ok && s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func (c claims) have(names ...string) bool {
	for _, name := range names {
		if _, ok := c[name]; !ok {
			return false
		}
	}
	return true
}

func (p *Provider) oauth(m *metadata) *oauth2.Config {
	return &oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret.Reveal(), Endpoint: m.provider.Endpoint(), RedirectURL: p.config.RedirectURL, Scopes: p.config.Scopes}
}

// discover returns what the provider is like. One caller at a time asks it; what is
// known is used for longer when it is away.
func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	known, fresh := p.known()
	if fresh {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "the identity provider does not answer: try again later")
	}
	if known, fresh = p.known(); fresh { // somebody else has asked meanwhile
		return known, nil
	}
	m, err := p.ask(ctx)
	if err != nil {
		if known != nil {
			p.deps.Log.Warn("the identity provider does not say what it is like; what it said before holds", "provider", p.config.Name, "error", err)
			return known, nil
		}
		return nil, fault.Wrap(fault.Unavailable, err, "the identity provider does not answer as it should: try again later")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.metadata = m
	return m, nil
}

func (p *Provider) known() (m *metadata, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.metadata, p.metadata != nil && p.deps.Now().Sub(p.metadata.at) < metadataLife
}

func (p *Provider) ask(ctx context.Context) (*metadata, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.deps.Client.HTTP()), p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", p.config.Issuer, short(err))
	}
	var said struct {
		Iss     bool     `json:"authorization_response_iss_parameter_supported"`
		Methods []string `json:"code_challenge_methods_supported"`
		JWKS    string   `json:"jwks_uri"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, fmt.Errorf("discover %s: %w", p.config.Issuer, err)
	}
	e := provider.Endpoint()
	for what, endpoint := range map[string]string{"authorization_endpoint": e.AuthURL, "token_endpoint": e.TokenURL, "jwks_uri": said.JWKS} {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "https" && !strings.HasPrefix(p.config.Issuer, "http://") {
			return nil, fmt.Errorf("discover %s: its %s is not a URL with https", p.config.Issuer, what)
		}
	}
	if said.Methods != nil && !slices.Contains(said.Methods, "S256") {
		return nil, fmt.Errorf("discover %s: it does not know PKCE with S256, only %q", p.config.Issuer, said.Methods)
	}
	return &metadata{provider: provider, at: p.deps.Now(), issInAnswer: said.Iss}, nil
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p *Provider) sealed(f flow) (string, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("write what the browser brings back: %w", err)
	}
	nonce := make([]byte, p.seal.NonceSize())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(p.seal.Seal(nonce, nonce, plain, p.about())), nil
}

// about ties what is sealed to this provider and this client of it.
func (p *Provider) about() []byte {
	return fmt.Appendf(nil, "%q %q %q", p.config.Issuer, p.config.ClientID, p.config.RedirectURL)
}

func (p *Provider) opened(bring string) (f flow, ok bool) {
	if len(bring) > maxFlow {
		return f, false
	}
	b, err := base64.RawURLEncoding.DecodeString(bring)
	n := p.seal.NonceSize()
	if err != nil || len(b) < n {
		return f, false
	}
	plain, err := p.seal.Open(nil, b[:n], b[n:], p.about())
	if err != nil {
		return f, false
	}
	return f, json.Unmarshal(plain, &f) == nil && f.State != ""
}
