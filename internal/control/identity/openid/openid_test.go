package openid_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sluice/internal/control/identity"
	. "sluice/internal/control/identity/openid"
	"sluice/internal/fault"
	"sluice/internal/outbound"
)

const (
	clientSecret = "canary-client-secret-0123456789abcdef"
	redirect     = "https://portal.example.com/login/corp"
	accessToken  = "canary-access-token"
)

type object = map[string]any

// issuer is an identity provider that does what a test tells it.
type issuer struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey
	keyID  string

	mu       sync.Mutex // guards what follows
	asked    map[string]int
	logins   map[string]url.Values // what Begin's address said, by code
	metadata func(object)          // changes what discovery says
	claims   func(object)          // changes the ID token
	sign     func(object) string   // instead of the right signature
	userinfo object                // nil: there is no such endpoint
	token    http.HandlerFunc      // instead of the right answer
	keysGone bool
}

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key, keyID: "1", asked: map[string]int{}, logins: map[string]url.Values{}}
	mux := http.NewServeMux()
	answer := func(path string, f func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.asked[path]++
			w.Header().Set("Content-Type", "application/json")
			f(w, r)
		})
	}
	answer("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		m := object{
			"issuer": i.server.URL, "authorization_endpoint": i.server.URL + "/authorize", "token_endpoint": i.server.URL + "/token", "jwks_uri": i.server.URL + "/keys",
			"response_types_supported": []string{"code"}, "id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"plain", "S256"},
		}
		if i.userinfo != nil {
			m["userinfo_endpoint"] = i.server.URL + "/userinfo"
		}
		if i.metadata != nil {
			i.metadata(m)
		}
		json.NewEncoder(w).Encode(m)
	})
	answer("/keys", func(w http.ResponseWriter, r *http.Request) {
		if i.keysGone {
			http.Error(w, strings.Repeat("gone ", 1000), http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: i.keyID, Algorithm: "ES256", Use: "sig"}}})
	})
	answer("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.WriteHeader(http.StatusUnauthorized)
		}
		json.NewEncoder(w).Encode(i.userinfo)
	})
	answer("/token", func(w http.ResponseWriter, r *http.Request) {
		if i.token != nil {
			i.token(w, r)
			return
		}
		user, password, _ := r.BasicAuth()
		code := r.PostFormValue("code")
		asked := i.logins[code]
		delete(i.logins, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if asked == nil || user != "sluice" || password != clientSecret || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != redirect ||
			asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(object{"error": "invalid_grant", "error_description": "canary: " + code})
			return
		}
		json.NewEncoder(w).Encode(object{"access_token": accessToken, "token_type": "Bearer", "expires_in": 60, "id_token": i.idToken(asked)})
	})
	i.server = httptest.NewTLSServer(mux)
	i.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(i.server.Close)
	return i
}

// set changes something of it.
func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

func (i *issuer) idToken(asked url.Values) string {
	now := time.Now()
	c := object{
		"iss": i.server.URL, "sub": "42", "aud": "sluice", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": asked.Get("nonce"),
		"name": "Bob", "email": "ada@example.com", "email_verified": true, "preferred_username": "bob", "groups": []any{"devs", 7, "", "ops"},
	}
	if i.claims != nil {
		i.claims(c)
	}
	if i.sign != nil {
		return i.sign(c)
	}
	return i.signed(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: i.keyID}}, c)
}

func (i *issuer) signed(key jose.SigningKey, c object) string {
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		i.t.Error(err)
		return ""
	}
	payload, err := json.Marshal(c)
	if err != nil {
		i.t.Error(err)
		return ""
	}
	signature, err := signer.Sign(payload)
	if err != nil {
		i.t.Error(err)
		return ""
	}
	compact, err := signature.CompactSerialize()
	if err != nil {
		i.t.Error(err)
	}
	return compact
}

// browser logs in at an issuer.
type browser struct {
	t        *testing.T
	issuer   *issuer
	provider *Provider
	later    atomic.Int64 // how much later it is than it is, in nanoseconds
	log      *lockedBuffer
	codes    int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBrowser(t *testing.T, i *issuer, change ...func(*Config, *outbound.Config)) *browser {
	t.Helper()
	b := &browser{t: t, issuer: i, log: &lockedBuffer{}}
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	config := Config{Name: "corp", Issuer: i.server.URL, ClientID: "sluice", ClientSecret: identity.NewSecret(clientSecret), RedirectURL: redirect}
	out := outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: pool, Timeout: time.Minute}
	for _, c := range change {
		c(&config, &out)
	}
	client := outbound.New(out)
	t.Cleanup(client.Close)
	var err error
	b.provider, err = New(config, Deps{
		Client: client, Key: bytes.Repeat([]byte{3}, 32), Now: func() time.Time { return time.Now().Add(time.Duration(b.later.Load())) },
		Log: slog.New(slog.NewJSONHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// leave begins a login and returns what the browser holds and what the issuer answers.
func (b *browser) leave() (bring string, a Answer) {
	b.t.Helper()
	location, secret, err := b.provider.Begin(b.t.Context(), "/catalog?q=1")
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		b.t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme+"://"+u.Host+u.Path != b.issuer.server.URL+"/authorize" || q.Get("redirect_uri") != redirect || q.Get("response_type") != "code" || q.Get("client_id") != "sluice" ||
		q.Get("code_challenge_method") != "S256" || q.Get("scope") != "openid profile email" || len(q.Get("state")) < 43 || len(q.Get("nonce")) < 43 || strings.Contains(location, clientSecret) {
		b.t.Errorf("it leaves for %s", location)
	}
	b.codes++
	code := fmt.Sprintf("canary-code-%d", b.codes)
	b.issuer.set(func() { b.issuer.logins[code] = q })
	return secret.Reveal(), Answer{State: q.Get("state"), Code: code}
}

func (b *browser) login() (identity.External, error) {
	b.t.Helper()
	bring, a := b.leave()
	who, back, err := b.provider.Finish(b.t.Context(), bring, a)
	if err == nil && back != "/catalog?q=1" {
		b.t.Errorf("it ends at %q", back)
	}
	return who, err
}

// refused wants a fault, without a secret in it or in the log.
func (b *browser) refused(what string, err error, kind fault.Kind, words string) {
	b.t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), words) {
		b.t.Errorf("%s: got %s, %v, want %s with %q", what, fault.KindOf(err), err, kind, words)
		return
	}
	if text := err.Error() + b.log.String(); strings.Contains(text, "canary") || len(err.Error()) > 1000 {
		b.t.Errorf("%s: a secret, or a whole answer, is told: %s", what, text)
	}
}

func TestLogin(t *testing.T) {
	i := newIssuer(t)
	b := newBrowser(t, i)
	who, err := b.login()
	if err != nil {
		t.Fatal(err)
	}
	want := identity.External{Provider: "corp", Issuer: i.server.URL, Subject: "42", Name: "42", Title: "Bob", Email: "ada@example.com", Groups: []string{"devs", "ops"}}
	if fmt.Sprintf("%+v", who) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", who, want)
	}
	// The provider is asked what it is like, and for its keys, once.
	for range 3 {
		if _, err := b.login(); err != nil {
			t.Error(err)
		}
	}
	if n, k := i.count("/.well-known/openid-configuration"), i.count("/keys"); n != 1 || k != 1 {
		t.Errorf("asked %d times what it is like, and %d times for keys", n, k)
	}
	// New keys are fetched when a token has one.
	i.set(func() {
		i.keyID = "2"
		if i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := b.login(); err != nil {
		t.Errorf("with a new key: %v", err)
	}
}

func TestNamesAndGroups(t *testing.T) {
	i := newIssuer(t)
	b := newBrowser(t, i, func(c *Config, _ *outbound.Config) { c.NameClaim, c.GroupsClaim = "preferred_username", "roles" })
	for _, c := range []struct {
		name   string
		claims func(object)
		info   object
		want   string
	}{
		{"a list elsewhere", func(c object) { c["roles"] = []string{"a"} }, nil, "bob [a]"},
		{"a single one", func(c object) { c["roles"] = "a" }, nil, "bob [a]"},
		{"none", func(c object) {}, nil, "bob []"},
		{"not a list", func(c object) { c["roles"] = object{"a": true} }, nil, "bob []"},
		{"from UserInfo", func(c object) {}, object{"sub": "42", "roles": []string{"x"}, "preferred_username": "eve"}, "bob [x]"},
		{"the token says more", func(c object) { c["roles"] = []string{"a"} }, object{"sub": "42", "roles": []string{"x"}}, "bob [a]"},
		{"all from UserInfo", func(c object) { delete(c, "preferred_username") }, object{"sub": "42", "preferred_username": "bob"}, "bob []"},
		{"too many to say", func(c object) {
			c["_claim_names"], c["_claim_sources"] = object{"roles": "s"}, object{"s": object{"endpoint": "https://idp.example.com/groups"}}
		}, nil, "bob []"},
	} {
		i.set(func() { i.claims, i.userinfo = c.claims, c.info })
		b.later.Add(int64(2 * time.Hour)) // it is asked anew what it is like
		i.set(func() {
			claims := i.claims
			i.claims = func(o object) {
				claims(o)
				o["exp"] = time.Now().Add(time.Duration(b.later.Load()) + time.Minute).Unix()
			}
		})
		who, err := b.login()
		if got := fmt.Sprint(who.Name, " ", who.Groups); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if !strings.Contains(b.log.String(), "too many") {
		t.Errorf("nobody is told that groups do not count: %s", b.log)
	}
	i.set(func() { i.userinfo = nil; i.claims = func(c object) { delete(c, "preferred_username") } })
	b = newBrowser(t, i, func(c *Config, _ *outbound.Config) { c.NameClaim = "preferred_username" })
	_, err := b.login()
	b.refused("no name", err, fault.Denied, "does not say")
}

// TestComingBack spoils what the browser brings.
func TestComingBack(t *testing.T) {
	i := newIssuer(t)
	b := newBrowser(t, i)
	other := newBrowser(t, i, func(c *Config, _ *outbound.Config) { c.Name = "other" })
	same := newBrowser(t, i, func(c *Config, _ *outbound.Config) { c.RedirectURL = redirect + "2" })
	foreign, _ := b.leave()
	for _, c := range []struct {
		name  string
		spoil func(bring *string, a *Answer)
		kind  fault.Kind
		says  string
	}{
		{"no state", func(_ *string, a *Answer) { a.State = "" }, fault.Denied, "begin again"},
		{"another state", func(_ *string, a *Answer) { a.State = strings.Repeat("x", len(a.State)) }, fault.Denied, "begin again"},
		{"another browser", func(bring *string, _ *Answer) { *bring = foreign }, fault.Denied, "begin again"},
		{"a browser that did not leave", func(bring *string, _ *Answer) { *bring = "" }, fault.Denied, "begin again"},
		{"changed on the way", func(bring *string, _ *Answer) { *bring = "A" + (*bring)[1:] }, fault.Denied, "begin again"},
		{"cut", func(bring *string, _ *Answer) { *bring = (*bring)[:20] }, fault.Denied, "begin again"},
		{"endless", func(bring *string, _ *Answer) { *bring = strings.Repeat("A", 1<<20) }, fault.Denied, "begin again"},
		{"no code", func(_ *string, a *Answer) { a.Code = "" }, fault.Denied, "begin again"},
		{"another code", func(_ *string, a *Answer) { a.Code = "canary-made-up" }, fault.Denied, "invalid_grant"},
		{"another issuer's answer", func(_ *string, a *Answer) { a.Issuer = "https://evil.example.com" }, fault.Denied, "begin again"},
		{"the issuer said no", func(_ *string, a *Answer) { a.Code, a.Error = "", "access_denied" }, fault.Denied, "access_denied"},
		{"the issuer said something odd", func(_ *string, a *Answer) { a.Code, a.Error = "", "<script>canary" }, fault.Denied, "an error"},
		{"too late", func(*string, *Answer) { b.later.Store(int64(10 * time.Minute)) }, fault.Denied, "begin again"},
	} {
		b.later.Store(0)
		bring, a := b.leave()
		c.spoil(&bring, &a)
		before := i.count("/token")
		_, _, err := b.provider.Finish(t.Context(), bring, a)
		b.refused(c.name, err, c.kind, c.says)
		if asked := i.count("/token") - before; (asked > 0) != (c.name == "another code") {
			t.Errorf("%s: the issuer was asked %d times", c.name, asked)
		}
	}
	b.later.Store(0)
	for name, p := range map[string]*browser{"another provider": other, "another page of ours": same} {
		bring, a := b.leave()
		_, _, err := p.provider.Finish(t.Context(), bring, a)
		b.refused(name, err, fault.Denied, "begin again")
	}
	bring, a := b.leave()
	a.Issuer = i.server.URL
	if _, _, err := b.provider.Finish(t.Context(), bring, a); err != nil {
		t.Errorf("an answer that names its issuer: %v", err)
	}
	_, _, err := b.provider.Finish(t.Context(), bring, a)
	b.refused("a second time", err, fault.Denied, "invalid_grant")

	i.set(func() { i.metadata = func(m object) { m["authorization_response_iss_parameter_supported"] = true } })
	b = newBrowser(t, i)
	_, err = b.login()
	b.refused("an answer without the issuer that was promised", err, fault.Denied, "begin again")
}

// TestTokens spoils what the issuer says of somebody.
func TestTokens(t *testing.T) {
	i := newIssuer(t)
	b := newBrowser(t, i)
	evil, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(f func(object)) func() { return func() { i.claims = f } }
	unsigned := func(alg string) func() {
		return func() {
			i.sign = func(c object) string {
				payload, _ := json.Marshal(c)
				b64 := base64.RawURLEncoding.EncodeToString
				return b64(fmt.Appendf(nil, `{"alg":%q}`, alg)) + "." + b64(payload) + "."
			}
		}
	}
	answer := func(status int, body string) func() {
		return func() {
			i.token = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}
		}
	}
	for _, c := range []struct {
		name string
		make func()
		kind fault.Kind
		says string
	}{
		{"no signature", unsigned("none"), fault.Denied, "the ID token"},
		{"an empty signature", unsigned("ES256"), fault.Denied, "the ID token"},
		{"signed with our secret", func() {
			i.sign = func(c object) string {
				return i.signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(clientSecret)}, c)
			}
		}, fault.Denied, "the ID token"},
		{"signed with another key", func() {
			i.sign = func(c object) string {
				return i.signed(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: evil, KeyID: "1"}}, c)
			}
		}, fault.Denied, "the ID token"},
		{"signed with a key it brings along", func() {
			i.sign = func(c object) string {
				signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: evil}, &jose.SignerOptions{EmbedJWK: true})
				if err != nil {
					t.Error(err)
					return ""
				}
				payload, _ := json.Marshal(c)
				s, _ := signer.Sign(payload)
				compact, _ := s.CompactSerialize()
				return compact
			}
		}, fault.Denied, "the ID token"},
		{"no token at all", answer(200, `{"access_token":"canary","token_type":"Bearer"}`), fault.Denied, "no ID token"},
		{"no JSON", answer(200, `<html>canary`), fault.Unavailable, "exchange the code"},
		{"away", answer(503, `canary canary`), fault.Unavailable, "status 503"},
		{"a redirect", func() {
			i.token = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example.com/", http.StatusTemporaryRedirect)
			}
		}, fault.Unavailable, "redirect"},
		{"endless", func() {
			i.token = func(w http.ResponseWriter, _ *http.Request) {
				for range 3000 {
					if _, err := w.Write(bytes.Repeat([]byte(" "), 1024)); err != nil {
						return
					}
				}
			}
		}, fault.Unavailable, "exchange the code"},
		{"another issuer", claims(func(c object) { c["iss"] = "https://evil.example.com" }), fault.Denied, "different provider"},
		{"for another client", claims(func(c object) { c["aud"] = "other" }), fault.Denied, "audience"},
		{"for several, and not said for whom", claims(func(c object) { c["aud"] = []string{"other", "sluice"} }), fault.Denied, "2 audiences"},
		{"for several, and another one", claims(func(c object) { c["aud"], c["azp"] = []string{"other", "sluice"}, "other" }), fault.Denied, "issued to"},
		{"for us, given to another", claims(func(c object) { c["azp"] = "other" }), fault.Denied, "issued to"},
		{"too old", claims(func(c object) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), fault.Denied, "expired"},
		{"without an end", claims(func(c object) { delete(c, "exp") }), fault.Denied, "expired"},
		{"another login's", claims(func(c object) { c["nonce"] = "x" }), fault.Denied, "nonce"},
		{"nobody's login", claims(func(c object) { delete(c, "nonce") }), fault.Denied, "nonce"},
		{"another access token's", claims(func(c object) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }), fault.Denied, "access token"},
		{"no subject", claims(func(c object) { delete(c, "sub") }), fault.Denied, "subject"},
		{"a number as a subject", claims(func(c object) { c["sub"] = 42 }), fault.Denied, "the ID token"},
		{"an endless subject", claims(func(c object) { c["sub"] = strings.Repeat("x", 300) }), fault.Denied, "subject"},
	} {
		i.set(func() { i.claims, i.sign, i.token = nil, nil, nil; c.make() })
		_, err := b.login()
		b.refused(c.name, err, c.kind, c.says)
	}
	i.set(func() {
		i.sign, i.token = nil, nil
		i.claims = func(c object) { c["aud"], c["azp"] = []string{"other", "sluice"}, "sluice" }
	})
	if _, err := b.login(); err != nil {
		t.Errorf("for several, and us: %v", err)
	}
	i.set(func() { i.claims, i.keysGone, i.keyID = nil, true, "3" })
	_, err = b.login()
	b.refused("keys that cannot be had", err, fault.Unavailable, "get keys failed")

	i.set(func() {
		i.keysGone = false
		i.claims = func(c object) { delete(c, "groups") }
		i.userinfo = object{"sub": "43", "groups": []string{"admins"}}
	})
	b = newBrowser(t, i)
	_, err = b.login()
	b.refused("UserInfo of somebody else", err, fault.Denied, "another subject")
	i.set(func() { i.userinfo = object{} })
	_, err = b.login()
	b.refused("UserInfo of nobody", err, fault.Denied, "another subject")
}

func TestDiscovery(t *testing.T) {
	for _, c := range []struct {
		name     string
		metadata func(object)
		says     string
	}{
		{"another issuer", func(m object) { m["issuer"] = "https://evil.example.com" }, "issuer"},
		{"no PKCE", func(m object) { m["code_challenge_methods_supported"] = []string{"plain"} }, "PKCE"},
		{"tokens without TLS", func(m object) { m["token_endpoint"] = "http://evil.example.com/token" }, "token_endpoint"},
		{"no keys", func(m object) { delete(m, "jwks_uri") }, "jwks_uri"},
		{"nowhere to go", func(m object) { m["authorization_endpoint"] = "javascript:alert(1)" }, "authorization_endpoint"},
	} {
		i := newIssuer(t)
		i.metadata = c.metadata
		b := newBrowser(t, i)
		_, _, err := b.provider.Begin(t.Context(), "/")
		b.refused(c.name, err, fault.Unavailable, c.says)
	}
	i := newIssuer(t)
	b := newBrowser(t, i, func(_ *Config, out *outbound.Config) { out.AllowPrivate = nil })
	_, _, err := b.provider.Begin(t.Context(), "/")
	b.refused("an address inside", err, fault.Unavailable, "refuse to connect")

	// One asks for all, and what is known holds while the provider is away.
	b = newBrowser(t, i)
	before := i.count("/.well-known/openid-configuration")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, _, err := b.provider.Begin(t.Context(), "/"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := i.count("/.well-known/openid-configuration") - before; n != 1 {
		t.Errorf("asked %d times by ten at once", n)
	}
	i.server.Close()
	b.later.Store(int64(2 * time.Hour))
	if _, _, err := b.provider.Begin(t.Context(), "/"); err != nil || !strings.Contains(b.log.String(), "what it said before holds") {
		t.Errorf("while it is away: %v, log %s", err, b.log)
	}
	fresh := newBrowser(t, i)
	_, _, err = fresh.provider.Begin(t.Context(), "/")
	fresh.refused("never seen", err, fault.Unavailable, "refused")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = fresh.provider.Begin(ctx, "/")
	fresh.refused("nobody waits", err, fault.Unavailable, "")
}

func TestPaths(t *testing.T) {
	b := newBrowser(t, newIssuer(t))
	for path, ok := range map[string]bool{
		"/": true, "/catalog": true, "/catalog/orders.v1?tab=docs#channels": true, "/a%2Fb": true,
		"": false, "catalog": false, "https://evil.example.com/": false, "//evil.example.com": false, "///evil.example.com": false, `/\evil.example.com`: false,
		`/%5Cevil.example.com`: false, "/%2Fevil.example.com": false, "/\tevil": false, "/\nevil": false, "/ evil": false, "javascript:alert(1)": false, "/\x00": false, "/" + strings.Repeat("x", 600): false, "/%": false,
	} {
		_, _, err := b.provider.Begin(t.Context(), path)
		if (err == nil) != ok || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want %v", path, err, ok)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{Name: "corp", Issuer: "https://idp.example.com/realm", ClientID: "sluice", RedirectURL: redirect}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":                   {func(*Config) {}, ""},
		"no name":                {func(c *Config) { c.Name = "" }, "no name"},
		"a colon":                {func(c *Config) { c.Name = "a:b" }, "no name"},
		"an issuer with a query": {func(c *Config) { c.Issuer += "?a=b" }, "issuer"},
		"an issuer with a user":  {func(c *Config) { c.Issuer = "https://a:b@idp.example.com" }, "issuer"},
		"no redirect URL":        {func(c *Config) { c.RedirectURL = "/login" }, "redirect"},
		"a fragment":             {func(c *Config) { c.RedirectURL += "#" }, "redirect"},
		"no client":              {func(c *Config) { c.ClientID = "" }, "client id"},
		"without openid":         {func(c *Config) { c.Scopes = []string{"profile"} }, "without openid"},
		"named by e-mail":        {func(c *Config) { c.NameClaim = "email" }, "e-mail"},
	} {
		config := good
		c.change(&config)
		_, err := New(config, Deps{Key: make([]byte, 32), Now: time.Now})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := New(good, Deps{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "0 bytes and not 32") {
		t.Errorf("without a key: %v", err)
	}
	if !slices.Contains(strings.Fields(fmt.Sprint(Config{ClientSecret: identity.NewSecret("canary")})), "[redacted]") {
		t.Errorf("a secret is printed: %v", Config{ClientSecret: identity.NewSecret("canary")})
	}
}
