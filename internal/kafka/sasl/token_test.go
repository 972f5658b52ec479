package sasl

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// provider is an identity provider with one key of each kind.
type provider struct {
	issuer   string
	rsa      *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	ed       ed25519.PrivateKey
	stranger *rsa.PrivateKey // not in the key set
}

var testKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return keys
})

func newProvider(t testing.TB, issuer string) *provider {
	t.Helper()
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(nil)
	return &provider{issuer, testKeys()[0], ec, ed, testKeys()[1]}
}

func (p *provider) jwks(t testing.TB) []byte {
	t.Helper()
	public := func(kid string, k crypto.Signer) jose.JSONWebKey {
		return jose.JSONWebKey{KeyID: kid, Key: k.Public(), Use: "sig"}
	}
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("r1", p.rsa), public("e1", p.ec), public("d1", p.ed)}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// claims is a good set of claims with changes; a nil value deletes.
func (p *provider) claims(changes map[string]any) map[string]any {
	c := map[string]any{"iss": p.issuer, "aud": "kafka", "sub": "acme-erp", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (p *provider) sign(t testing.TB, key any, alg, kid string, claims any, headers ...any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	for i := 0; i < len(headers); i += 2 {
		opts.WithHeader(jose.HeaderKey(headers[i].(string)), headers[i+1])
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		b, _ := json.Marshal(claims)
		payload = string(b)
	}
	sig, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	token, _ := sig.CompactSerialize()
	return token
}

func (p *provider) validator(t testing.TB, change func(*Issuer)) *TokenValidator {
	t.Helper()
	jwks := p.jwks(t)
	is := Issuer{Issuer: p.issuer, Audience: []string{"kafka", "sluice"}, Keys: KeySource{URL: p.issuer + "/jwks",
		Fetch: func(context.Context, string) ([]byte, error) { return jwks, nil }}}
	if change != nil {
		change(&is)
	}
	v, err := NewTokenValidator([]Issuer{is}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoodTokens(t *testing.T) {
	p := newProvider(t, "https://idp")
	v := p.validator(t, nil)
	for name, token := range map[string]string{
		"RS256":               p.sign(t, p.rsa, "RS256", "r1", p.claims(nil)),
		"PS256":               p.sign(t, p.rsa, "PS256", "r1", p.claims(nil)),
		"ES256":               p.sign(t, p.ec, "ES256", "e1", p.claims(nil)),
		"EdDSA":               p.sign(t, p.ed, "EdDSA", "d1", p.claims(nil)),
		"no kid, one key fit": p.sign(t, p.ec, "ES256", "", p.claims(nil)),
		"one audience of two": p.sign(t, p.rsa, "RS256", "r1", p.claims(map[string]any{"aud": []string{"other", "sluice"}})),
		"access token type":   p.sign(t, p.rsa, "RS256", "r1", p.claims(nil), "typ", "at+jwt"),
		"expired in leeway":   p.sign(t, p.rsa, "RS256", "r1", p.claims(map[string]any{"exp": now.Add(-59 * time.Second).Unix()})),
		"nbf in leeway":       p.sign(t, p.rsa, "RS256", "r1", p.claims(map[string]any{"nbf": now.Add(60 * time.Second).Unix()})),
		"exp with a fraction": p.sign(t, p.rsa, "RS256", "r1", p.claims(map[string]any{"exp": float64(now.Unix()) + 9.5})),
	} {
		id, err := v.Validate(t.Context(), token)
		if err != nil || id.Name != "acme-erp" || id.Issuer != p.issuer || id.Mechanism != OAuthBearer || !id.ExpiresAt.After(now) {
			t.Errorf("%s: got %+v, %v", name, id, err)
		}
	}
	custom := p.validator(t, func(is *Issuer) { is.PrincipalClaim = "client_id" })
	id, err := custom.Validate(t.Context(), p.sign(t, p.rsa, "RS256", "r1", p.claims(map[string]any{"client_id": "erp"})))
	if err != nil || id.Name != "erp" || !id.ExpiresAt.Equal(now.Add(time.Hour+time.Minute)) {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestBadTokens(t *testing.T) {
	p, other := newProvider(t, "https://idp"), newProvider(t, "https://other")
	v := p.validator(t, nil)
	b64 := base64.RawURLEncoding.EncodeToString
	body, _ := json.Marshal(p.claims(nil))
	spki, _ := x509.MarshalPKIXPublicKey(p.rsa.Public())
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	good := p.sign(t, p.rsa, "RS256", "r1", p.claims(nil))
	parts := strings.Split(good, ".")
	rs := func(changes map[string]any) string { return p.sign(t, p.rsa, "RS256", "r1", p.claims(changes)) }

	for _, c := range []struct{ name, token, want string }{
		{"empty", "", "parse"},
		{"not a token", "abc", "parse"},
		{"too long", strings.Repeat("a", MaxTokenBytes+1), "exceed"},
		{"alg none", b64([]byte(`{"alg":"none"}`)) + "." + b64(body) + ".", "parse"},
		{"alg NONE", b64([]byte(`{"alg":"NONE","kid":"r1"}`)) + "." + b64(body) + "." + parts[2], "parse"},
		{"no alg", b64([]byte(`{"kid":"r1"}`)) + "." + b64(body) + "." + parts[2], "parse"},
		{"HMAC with the public key", p.sign(t, publicPEM, "HS256", "r1", p.claims(nil)), "parse"},
		{"alg not allowed", p.sign(t, p.rsa, "RS512", "r1", p.claims(nil)), "parse"},
		{"ECDSA key named for RSA", p.sign(t, p.rsa, "RS256", "e1", p.claims(nil)), "no key"},
		{"other key of the set", p.sign(t, p.stranger, "RS256", "r1", p.claims(nil)), "verify signature"},
		{"unknown kid", p.sign(t, p.stranger, "RS256", "r2", p.claims(nil)), "no key"},
		{"kid as a path", p.sign(t, p.stranger, "RS256", "../../dev/null", p.claims(nil)), "no key"},
		{"own key in the header", p.sign(t, p.stranger, "RS256", "r1", p.claims(nil), "jwk", jose.JSONWebKey{Key: p.stranger.Public()}), "verify signature"},
		{"own key set in the header", p.sign(t, p.stranger, "RS256", "r1", p.claims(nil), "jku", "https://evil/jwks"), "verify signature"},
		{"own certificate URL", p.sign(t, p.stranger, "RS256", "r1", p.claims(nil), "x5u", "https://evil/cert"), "verify signature"},
		{"critical extension", p.sign(t, p.rsa, "RS256", "r1", p.claims(nil), "crit", []string{"x"}), "verify signature"},
		{"logout token", p.sign(t, p.rsa, "RS256", "r1", p.claims(nil), "typ", "logout+jwt"), "not an access token"},
		{"payload changed", parts[0] + "." + b64([]byte(strings.Replace(string(body), "acme-erp", "acme-pre", 1))) + "." + parts[2], "verify signature"},
		{"signature cut", good[:len(good)-4], "verify signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", "verify signature"},
		{"no iss", rs(map[string]any{"iss": nil}), "is not known"},
		{"other iss", rs(map[string]any{"iss": "https://evil"}), "is not known"},
		{"iss with slash", rs(map[string]any{"iss": "https://idp/"}), "is not known"},
		{"token of another provider", other.sign(t, other.ec, "ES256", "e1", p.claims(nil)), "verify signature"},
		{"no aud", rs(map[string]any{"aud": nil}), "aud"},
		{"empty aud", rs(map[string]any{"aud": []string{}}), "aud"},
		{"other aud", rs(map[string]any{"aud": "portal"}), "aud"},
		{"no exp", rs(map[string]any{"exp": nil}), "no exp"},
		{"exp null", p.sign(t, p.rsa, "RS256", "r1", `{"iss":"https://idp","aud":"kafka","sub":"a","exp":null}`), "no exp"},
		{"exp as a string", rs(map[string]any{"exp": "9999999999"}), "parse claims"},
		{"exp beyond time", rs(map[string]any{"exp": 1e300}), "parse claims"},
		{"expired", rs(map[string]any{"exp": now.Add(-time.Minute).Unix()}), "expired"},
		{"not yet valid", rs(map[string]any{"nbf": now.Add(61 * time.Second).Unix()}), "not valid before"},
		{"issued in the future", rs(map[string]any{"iat": now.Add(61 * time.Second).Unix()}), "issued in the future"},
		{"no sub", rs(map[string]any{"sub": nil}), "claim sub is empty"},
		{"sub is a number", rs(map[string]any{"sub": 7}), "parse claims"},
		{"sub with NUL", rs(map[string]any{"sub": "a\x00b"}), "control characters"},
		{"claim given twice", p.sign(t, p.rsa, "RS256", "r1", `{"iss":"https://idp","aud":"kafka","sub":"a","sub":"b","exp":9999999999}`), "parse claims"},
		{"claims in upper case", p.sign(t, p.rsa, "RS256", "r1", `{"iss":"https://idp","aud":"kafka","SUB":"a","exp":9999999999}`), "claim sub is empty"},
		{"payload is no object", p.sign(t, p.rsa, "RS256", "r1", `[]`), "parse claims"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := v.Validate(t.Context(), c.token)
			if !errors.Is(err, ErrAuthentication) || !strings.Contains(fmt.Sprint(err), c.want) || id != (Identity{}) {
				t.Fatalf("got %+v, %v, want %q", id, err, c.want)
			}
			if len(c.token) > 20 && strings.Contains(err.Error(), c.token[:20]) {
				t.Errorf("error shows the token: %v", err)
			}
		})
	}
}

// Each issuer's tokens are checked by that issuer's keys and algorithms.
func TestIssuersApart(t *testing.T) {
	a, b := newProvider(t, "https://a"), newProvider(t, "https://b")
	issuer := func(p *provider, algs ...string) Issuer {
		jwks := p.jwks(t)
		return Issuer{Issuer: p.issuer, Audience: []string{"kafka"}, Algorithms: algs, Keys: KeySource{URL: "https://x",
			Fetch: func(context.Context, string) ([]byte, error) { return jwks, nil }}}
	}
	v, err := NewTokenValidator([]Issuer{issuer(a, "ES256"), issuer(b, "EdDSA")}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"a by a":                    {a.sign(t, a.ec, "ES256", "e1", a.claims(nil)), true},
		"b by b":                    {b.sign(t, b.ed, "EdDSA", "d1", b.claims(nil)), true},
		"a's name, b's key":         {b.sign(t, b.ec, "ES256", "e1", a.claims(nil)), false},
		"b by an algorithm of a's":  {b.sign(t, b.ec, "ES256", "e1", b.claims(nil)), false},
		"a by an algorithm of none": {a.sign(t, a.rsa, "RS256", "r1", a.claims(nil)), false},
	} {
		if _, err := v.Validate(t.Context(), c.token); (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestValidatorRefusesToBeWeak(t *testing.T) {
	fetch := func(context.Context, string) ([]byte, error) { return nil, nil }
	good := Issuer{Issuer: "i", Audience: []string{"a"}, Keys: KeySource{URL: "u", Fetch: fetch}}
	for want, change := range map[string]func(*Issuer){
		"no issuer":                     func(i *Issuer) { i.Issuer = "" },
		"no audience":                   func(i *Issuer) { i.Audience = nil },
		"or an empty one":               func(i *Issuer) { i.Audience = []string{""} },
		"no key source":                 func(i *Issuer) { i.Keys = KeySource{} },
		"without a fetch function":      func(i *Issuer) { i.Keys.Fetch = nil },
		"from more than one":            func(i *Issuer) { i.Keys.File = "f" },
		`algorithm "none"`:              func(i *Issuer) { i.Algorithms = []string{"RS256", "none"} },
		`algorithm "HS256"`:             func(i *Issuer) { i.Algorithms = []string{"HS256"} },
		"leeway -1s is not":             func(i *Issuer) { i.Leeway = -time.Second },
		"leeway 1h0m0s is not within 0": func(i *Issuer) { i.Leeway = time.Hour },
	} {
		is := good
		change(&is)
		if _, err := NewTokenValidator([]Issuer{is}, time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := NewTokenValidator([]Issuer{good, good}, time.Now); err == nil {
		t.Error("issuer given twice taken")
	}
	if _, err := NewTokenValidator(nil, time.Now); err == nil {
		t.Error("no issuer taken")
	}
}

func TestKeySetLeavesOutWhatIsNoPublicKey(t *testing.T) {
	p := newProvider(t, "https://idp")
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	set, _ := json.Marshal(map[string]any{"keys": []any{
		jose.JSONWebKey{KeyID: "private", Key: p.rsa},
		jose.JSONWebKey{KeyID: "symmetric", Key: []byte("0123456789abcdef0123456789abcdef")},
		jose.JSONWebKey{KeyID: "small", Key: small.Public()},
		jose.JSONWebKey{KeyID: "encryption", Key: p.rsa.Public(), Use: "enc"},
		map[string]string{"kty": "new", "kid": "unknown type"},
		jose.JSONWebKey{KeyID: "good", Key: p.ec.Public()},
	}})
	keys, err := parseKeySet(set)
	if err != nil || len(keys) != 1 || keys[0].KeyID != "good" {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	for name, data := range map[string]string{"empty": "", "not JSON": "<html>", "no keys": `{"keys":[]}`, "large": strings.Repeat(" ", MaxKeySetBytes+1)} {
		if _, err := parseKeySet([]byte(data)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// The life of a cached key set: loaded once, loaded again for an unknown key at
// most every 30 s, kept while the source is away, and given up after 24 h.
func TestKeysOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "https://idp")
		var loads atomic.Int32
		var down atomic.Bool
		var set atomic.Value
		set.Store(p.jwks(t))
		v, err := NewTokenValidator([]Issuer{{Issuer: p.issuer, Audience: []string{"kafka"}, Keys: KeySource{URL: "https://idp/jwks",
			Fetch: func(context.Context, string) ([]byte, error) {
				loads.Add(1)
				if down.Load() {
					return nil, errors.New("connection refused")
				}
				return set.Load().([]byte), nil
			}}}}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		far := map[string]any{"exp": time.Now().AddDate(1, 0, 0).Unix(), "iat": nil}
		known := p.sign(t, p.ec, "ES256", "e1", p.claims(far))
		rotated := p.sign(t, p.stranger, "RS256", "r2", p.claims(far))
		check := func(what, token string, ok bool, wantLoads int32) {
			t.Helper()
			_, err := v.Validate(t.Context(), token)
			synctest.Wait()
			if (err == nil) != ok || loads.Load() != wantLoads {
				t.Fatalf("%s: got %v after %d loads, want ok %t after %d", what, err, loads.Load(), ok, wantLoads)
			}
		}
		check("first", known, true, 1)
		check("again", known, true, 1)
		for range 20 {
			check("unknown key at once", rotated, false, 1)
		}
		time.Sleep(30 * time.Second)
		check("unknown key after 30 s", rotated, false, 2)
		check("unknown key right after", rotated, false, 2)

		keys, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "r2", Key: p.stranger.Public()}, {KeyID: "e1", Key: p.ec.Public()}}})
		set.Store(keys)
		time.Sleep(30 * time.Second)
		check("rotated in", rotated, true, 3)
		time.Sleep(5 * time.Minute)
		check("refreshed after 5 min", known, true, 4)

		set.Store([]byte(`{"keys":[]}`))
		time.Sleep(10 * time.Minute)
		check("useless set is not taken", known, true, 5)
		down.Store(true)
		time.Sleep(23 * time.Hour)
		check("source away", known, true, 6)
		check("source away, no new try within 30 s", known, true, 6)
		time.Sleep(2 * time.Hour)
		check("source away for more than 24 h", known, false, 7)
		check("and still", known, false, 7)
		down.Store(false)
		set.Store(p.jwks(t))
		time.Sleep(30 * time.Second)
		check("source back", known, true, 8)
	})
}

// A source that hangs costs the callers no more than the fetch deadline, one
// fetch serves them all, and nothing is left running (synctest would tell).
func TestHangingKeySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "https://idp")
		var loads atomic.Int32
		v := p.validator(t, func(is *Issuer) {
			is.Keys.Fetch = func(ctx context.Context, _ string) ([]byte, error) {
				loads.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		token := p.sign(t, p.ec, "ES256", "e1", p.claims(nil))
		start := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Validate(impatient, token); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := v.Validate(t.Context(), token); err == nil {
					t.Error("validated without keys")
				}
			})
		}
		all.Wait()
		if time.Since(start) != fetchTimeout || loads.Load() != 1 {
			t.Errorf("took %v and %d loads", time.Since(start), loads.Load())
		}
	})
}

func TestKeysFromFile(t *testing.T) {
	p := newProvider(t, "https://idp")
	file := filepath.Join(t.TempDir(), "jwks.json")
	var clock atomic.Int64
	clock.Store(now.UnixNano())
	v, err := NewTokenValidator([]Issuer{{Issuer: p.issuer, Audience: []string{"kafka"}, Keys: KeySource{File: file}}},
		func() time.Time { return time.Unix(0, clock.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	token := p.sign(t, p.ec, "ES256", "e1", p.claims(nil))
	if _, err := v.Validate(t.Context(), token); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, p.jwks(t), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(time.Second))
	if _, err := v.Validate(t.Context(), token); err != nil {
		t.Errorf("file written: %v", err)
	}
	if err := os.WriteFile(file, newProvider(t, "").jwks(t), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(11 * time.Second))
	if _, err := v.Validate(t.Context(), token); err == nil {
		t.Error("file changed: key that is gone still taken")
	}
}

func TestBearerExchange(t *testing.T) {
	p := newProvider(t, "https://idp")
	d := Deps{Tokens: p.validator(t, nil)}
	good := p.sign(t, p.ec, "ES256", "e1", p.claims(nil))

	s := begin(t, OAuthBearer, d)
	auth := oauth.Auth{Token: good, Zid: "acme-erp", Extensions: map[string]string{"logicalCluster": "lkc-1"}}
	if clientErr, err := login(s, auth.AsMechanism()); clientErr != nil || err != nil || s.Identity().Name != "acme-erp" {
		t.Fatalf("got %v, %v, %+v", clientErr, err, s.Identity())
	}

	for name, first := range map[string]string{
		"refused token":               "n,,\x01auth=Bearer abc\x01\x01",
		"authorization id of another": "n,a=root,\x01auth=Bearer " + good + "\x01\x01",
	} {
		s := begin(t, OAuthBearer, d)
		challenge, done, err := s.Next([]byte(first))
		if string(challenge) != `{"status":"invalid_token"}` || done || err != nil {
			t.Fatalf("%s: got %q %t %v", name, challenge, done, err)
		}
		if _, done, err := s.Next([]byte{1}); done || !errors.Is(err, ErrAuthentication) || s.Identity() != (Identity{}) {
			t.Errorf("%s: got %t %v", name, done, err)
		}
	}
	// A client must not get in by a good token after a refused one.
	s = begin(t, OAuthBearer, d)
	s.Next([]byte("n,,\x01auth=Bearer abc\x01\x01"))
	if _, done, err := s.Next([]byte("n,,\x01auth=Bearer " + good + "\x01\x01")); done || err == nil {
		t.Error("second token taken")
	}
	for name, msg := range map[string]string{
		"no separator":       "n,,auth=Bearer x\x01\x01",
		"one at the end":     "n,,\x01auth=Bearer x\x01",
		"no token":           "n,,\x01auth=Bearer \x01\x01",
		"basic":              "n,,\x01auth=Basic x\x01\x01",
		"no auth":            "n,,\x01host=h\x01\x01",
		"auth twice":         "n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
		"key with digit":     "n,,\x01k1=v\x01auth=Bearer x\x01\x01",
		"NUL in value":       "n,,\x01k=\x00\x01auth=Bearer x\x01\x01",
		"channel binding":    "p=tls-unique,,\x01auth=Bearer x\x01\x01",
		"text after the end": "n,,\x01auth=Bearer x\x01\x01y",
	} {
		if _, done, err := begin(t, OAuthBearer, d).Next([]byte(msg)); done || !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %t %v", name, done, err)
		}
	}
}
