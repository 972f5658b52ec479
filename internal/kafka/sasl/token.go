package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // case-sensitive, refuses duplicate keys
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// MaxTokenBytes bounds a token.
	MaxTokenBytes = 16 << 10

	defaultLeeway = 60 * time.Second
	maxLeeway     = 10 * time.Minute
)

// signatureAlgorithms is what an issuer may allow: asymmetric ones only, as a
// symmetric key in a public key set is no secret.
var signatureAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Issuer is one identity provider whose tokens are taken.
type Issuer struct {
	// Issuer is the exact value of iss.
	Issuer string
	// Audience lists the values of aud of which a token must have one.
	Audience []string
	// Algorithms is the allow-list of signature algorithms; empty means RS256,
	// PS256, ES256, ES384 and EdDSA. HMAC and "none" cannot be allowed.
	Algorithms []string
	// Keys is the pinned key set. Keys in or named by a token are never used.
	Keys KeySource
	// PrincipalClaim names the top-level string claim that becomes Identity.Name;
	// empty means "sub".
	PrincipalClaim string
	// SecretClaim, unless empty, names the claim that becomes Identity.Secret; tokens
	// without it are refused.
	SecretClaim string
	// Leeway is the clock difference allowed for exp, nbf and iat; zero means
	// 60 s, and it is at most 10 min.
	Leeway time.Duration
}

// TokenValidator checks JWT access tokens (RFC 7519, RFC 9068, and the advice of
// RFC 8725). It is safe for concurrent use and runs nothing in the background:
// keys are fetched when a token needs them.
type TokenValidator struct {
	issuers    map[string]*issuer
	algorithms []jose.SignatureAlgorithm // the union, for parsing
	now        func() time.Time
}

type issuer struct {
	Issuer
	keys *keyCache
}

// NewTokenValidator refuses issuers without a name, an audience or a key source:
// a validator that checks less than all three would be worse than none.
func NewTokenValidator(issuers []Issuer, now func() time.Time) (*TokenValidator, error) {
	if len(issuers) == 0 || now == nil {
		return nil, errors.New("make token validator: no issuer or no clock")
	}
	v := &TokenValidator{issuers: map[string]*issuer{}, now: now}
	var problems []error
	for i, is := range issuers {
		if err := is.complete(); err != nil {
			problems = append(problems, fmt.Errorf("make token validator: issuer %d (%q): %w", i+1, is.Issuer, err))
			continue
		}
		if v.issuers[is.Issuer] != nil {
			problems = append(problems, fmt.Errorf("make token validator: issuer %q given twice", is.Issuer))
			continue
		}
		v.issuers[is.Issuer] = &issuer{is, newKeyCache(is.Keys, now)}
		for _, a := range is.Algorithms {
			if alg := jose.SignatureAlgorithm(a); !slices.Contains(v.algorithms, alg) {
				v.algorithms = append(v.algorithms, alg)
			}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return v, nil
}

// complete fills in defaults and checks.
func (is *Issuer) complete() error {
	if is.PrincipalClaim == "" {
		is.PrincipalClaim = "sub"
	}
	if is.Leeway == 0 {
		is.Leeway = defaultLeeway
	}
	if len(is.Algorithms) == 0 {
		is.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	}
	switch {
	case is.Issuer == "":
		return errors.New("no issuer")
	case len(is.Audience) == 0 || slices.Contains(is.Audience, ""):
		return errors.New("no audience, or an empty one")
	case is.Leeway < 0 || is.Leeway > maxLeeway:
		return fmt.Errorf("leeway %v is not within 0 and %v", is.Leeway, maxLeeway)
	}
	for _, a := range is.Algorithms {
		if !slices.Contains(signatureAlgorithms, a) {
			return fmt.Errorf("algorithm %q is not one of %s", a, strings.Join(signatureAlgorithms, ", "))
		}
	}
	return is.Keys.check()
}

// Validate returns who a token proves. Its errors wrap ErrAuthentication and
// give the reason for the log; they never contain the token.
func (v *TokenValidator) Validate(ctx context.Context, token string) (Identity, error) {
	id, err := v.validate(ctx, token)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: token: %w", ErrAuthentication, err)
	}
	return id, nil
}

func (v *TokenValidator) validate(ctx context.Context, token string) (Identity, error) {
	if len(token) > MaxTokenBytes {
		return Identity{}, fmt.Errorf("%d bytes exceed %d", len(token), MaxTokenBytes)
	}
	sig, err := jose.ParseSignedCompact(token, v.algorithms)
	if err != nil {
		return Identity{}, fmt.Errorf("parse: %.200s", err.Error()) // may quote the header
	}
	header := sig.Signatures[0].Protected
	// Other types of JWT by the same issuer, such as a logout token, are no proof.
	if typ, ok := header.ExtraHeaders[jose.HeaderType]; ok {
		switch t, _ := typ.(string); strings.TrimPrefix(strings.ToLower(t), "application/") {
		case "jwt", "at+jwt":
		default:
			return Identity{}, fmt.Errorf("type %.40q is not an access token", t)
		}
	}

	// What is read here decides only which issuer's keys must verify the same bytes.
	claims, _, err := parseClaims(sig.UnsafePayloadWithoutVerification(), "sub")
	if err != nil {
		return Identity{}, err
	}
	is := v.issuers[claims.Issuer]
	if is == nil {
		return Identity{}, fmt.Errorf("issuer %.200q is not known", claims.Issuer)
	}
	if !slices.Contains(is.Algorithms, header.Algorithm) {
		return Identity{}, fmt.Errorf("algorithm %s is not allowed for issuer %q", header.Algorithm, is.Issuer.Issuer)
	}
	keys, err := is.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return Identity{}, fmt.Errorf("issuer %q: %w", is.Issuer.Issuer, err)
	}
	var payload []byte
	for _, k := range keys {
		if payload, err = sig.Verify(k); err == nil {
			break
		}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("issuer %q: verify signature: %w", is.Issuer.Issuer, err)
	}
	claims, named, err := parseClaims(payload, is.PrincipalClaim)
	if err != nil {
		return Identity{}, err
	}
	id, err := is.check(claims, named, v.now())
	if err != nil || is.SecretClaim == "" {
		return id, err
	}
	var numbers map[string]json.RawMessage
	if err := json.Unmarshal(payload, &numbers); err != nil {
		return Identity{}, fmt.Errorf("parse claims: %.200s", err.Error())
	}
	if err := json.Unmarshal(numbers[is.SecretClaim], &id.Secret); err != nil || id.Secret == 0 {
		return Identity{}, fmt.Errorf("issuer %q: no claim %s with a number", is.Issuer.Issuer, is.SecretClaim)
	}
	return id, nil
}

// check looks at the claims of a token whose signature is good.
func (is *issuer) check(c jwt.Claims, principal string, now time.Time) (Identity, error) {
	fail := func(format string, args ...any) (Identity, error) {
		return Identity{}, fmt.Errorf("issuer %q: %s", is.Issuer.Issuer, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Expiry == nil:
		return fail("no exp")
	case !slices.ContainsFunc(is.Audience, c.Audience.Contains):
		return fail("aud has none of %q", is.Audience)
	case !now.Before(c.Expiry.Time().Add(is.Leeway)):
		return fail("expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	case c.NotBefore != nil && now.Add(is.Leeway).Before(c.NotBefore.Time()):
		return fail("not valid before %s", c.NotBefore.Time().UTC().Format(time.RFC3339))
	case c.IssuedAt != nil && now.Add(is.Leeway).Before(c.IssuedAt.Time()):
		return fail("issued in the future, at %s", c.IssuedAt.Time().UTC().Format(time.RFC3339))
	}
	if err := checkName("claim "+is.PrincipalClaim, principal); err != nil {
		return fail("%v", err)
	}
	return Identity{Mechanism: OAuthBearer, Name: principal, Issuer: is.Issuer.Issuer, ExpiresAt: c.Expiry.Time().Add(is.Leeway)}, nil
}

// parseClaims reads the registered claims and the one that names the principal,
// which is empty when it is missing.
func parseClaims(payload []byte, principalClaim string) (c jwt.Claims, principal string, err error) {
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, "", fmt.Errorf("parse claims: %.200s", err.Error())
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return c, "", fmt.Errorf("parse claims: %.200s", err.Error())
	}
	if raw, ok := all[principalClaim]; ok {
		if err := json.Unmarshal(raw, &principal); err != nil {
			return c, "", fmt.Errorf("claim %s is not a string", principalClaim)
		}
	}
	return c, principal, nil
}

// fits says whether a public key may verify an algorithm, so that a key is never
// used by another algorithm than its type's.
func fits(key any, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == "ES256" && k.Curve == elliptic.P256() ||
			algorithm == "ES384" && k.Curve == elliptic.P384() ||
			algorithm == "ES512" && k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}
