// Package sasl is the server side of the SASL logins a Kafka client may use:
// PLAIN (RFC 4616), SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677) and
// OAUTHBEARER (RFC 7628, KIP-255), with the validation of the tokens the last
// one carries. Its main type is Server, one login exchange on one connection.
//
// It must not know frames, connections, grants or where verifiers are stored:
// it is given bytes and a Lookup and says who was proved. Whether a mechanism
// may be used on a listener, and that PLAIN and OAUTHBEARER need TLS, is the
// caller's to decide.
//
// Names and secrets are compared as the UTF-8 bytes the client sent, as Apache
// Kafka does. SASLprep (RFC 4013) is not applied; for printable ASCII it changes
// nothing, and the credentials Sluice makes are printable ASCII.
package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names of the mechanisms, as they stand in SaslHandshake.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

const (
	// MaxMessageBytes bounds one client message.
	MaxMessageBytes = 64 << 10
	// MaxNameBytes bounds a client id, an authorization id and a principal.
	MaxNameBytes = 512
	// ScramIterations is the PBKDF2 count of every SCRAM verifier NewVerifier
	// makes, and of the phantom ones shown for unknown clients.
	ScramIterations = 8192
	// MaxSecrets is how many secrets of a client may count at a time: the one that it
	// has, and the one before, while it is being replaced.
	MaxSecrets = 2

	saltBytes        = 16
	minPhantomSecret = 16
)

var (
	// ErrAuthentication is the one answer to an unknown client, a wrong secret
	// and a refused token. An error that wraps it may say more, for the log only:
	// send the client the text of ErrAuthentication itself.
	ErrAuthentication = errors.New("authentication failed")
	// ErrMalformed is wrapped by errors about messages that break the mechanism's
	// grammar or ask for what we do not offer. Their text never contains a secret
	// and depends on the message alone, so it may be sent to the client.
	ErrMalformed = errors.New("malformed SASL message")
	// ErrUnsupportedMechanism is wrapped by New for an unknown mechanism
	// (Kafka's UNSUPPORTED_SASL_MECHANISM).
	ErrUnsupportedMechanism = errors.New("unsupported SASL mechanism")
)

// Server is the server side of one login exchange. It is not safe for
// concurrent use and serves one exchange only; a re-authentication (KIP-368)
// takes a new one.
type Server interface {
	// Next takes a client message and returns the answer. done means that the
	// client is authenticated once the challenge, if any, is sent. After an error
	// the exchange is over: errors.Is(err, ErrAuthentication) or ErrMalformed.
	Next(clientData []byte) (challenge []byte, done bool, err error)
	// Identity is who was proved; the zero Identity before Next said done.
	Identity() Identity
}

// Identity is who a login proved.
type Identity struct {
	Mechanism string
	// Name is the client id, or for OAUTHBEARER the principal claim of the token.
	Name string
	// Issuer is the token's issuer. Name is unique within it only.
	Issuer string
	// Secret is the Secret of the Verifier that matched.
	Secret int
	// ExpiresAt is when the proof ends, leeway included, so it is always after the
	// login; zero means never. It bounds session_lifetime_ms (KIP-368).
	ExpiresAt time.Time
}

// Lookup finds the verifier of a client id for a mechanism; ok is false when
// there is none. A client whose secret is being replaced has others besides, up
// to MaxSecrets in all; those of SCRAM count only with the salt and iterations of
// the first one, since the client is told one salt before it proves anything. It
// must take as long for a known client as for an unknown one and be safe for
// concurrent use.
type Lookup func(mechanism, clientID string) (v Verifier, others []Verifier, ok bool)

// Deps is what the mechanisms need. All of it is shared between connections.
type Deps struct {
	// Lookup serves PLAIN and SCRAM.
	Lookup Lookup
	// PhantomSecret, at least 16 random bytes, makes the salts shown for unknown
	// clients. It must stay the same over restarts and on all gateways, else
	// salts that change give unknown clients away.
	PhantomSecret []byte
	// Tokens serves OAUTHBEARER.
	Tokens *TokenValidator
}

// New begins a login by the given mechanism.
func New(mechanism string, d Deps) (Server, error) {
	switch mechanism {
	case Plain, ScramSHA256, ScramSHA512:
		if d.Lookup == nil {
			return nil, fmt.Errorf("begin %s: no lookup of verifiers", mechanism)
		}
		if len(d.PhantomSecret) < minPhantomSecret {
			return nil, fmt.Errorf("begin %s: phantom secret of %d bytes, need %d", mechanism, len(d.PhantomSecret), minPhantomSecret)
		}
		if mechanism == Plain {
			return &plainServer{deps: d}, nil
		}
		return newScramServer(mechanism, d), nil
	case OAuthBearer:
		if d.Tokens == nil {
			return nil, fmt.Errorf("begin %s: no token validator", mechanism)
		}
		return &bearerServer{tokens: d.Tokens}, nil
	}
	return nil, fmt.Errorf("%w %.32q", ErrUnsupportedMechanism, mechanism)
}

// Verifier is what is stored instead of a secret. For PLAIN, StoredKey is
// HMAC-SHA256(Salt, secret), which suits only machine-made secrets of 128 bits
// and more; Iterations is 0 and ServerKey nil. For SCRAM the fields are those of
// RFC 5802 §3. It marshals in full and prints redacted.
type Verifier struct {
	Mechanism  string
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
	// Secret says which of the client's secrets it is of, in whatever way the caller
	// counts them; Identity returns it.
	Secret int
}

// NewVerifier makes the verifier of a secret. A nil salt means 16 random bytes,
// and is what a stored verifier should have: another length would tell it from
// the phantom of an unknown client.
func NewVerifier(mechanism, secret string, salt []byte) (Verifier, error) {
	switch {
	case secret == "":
		return Verifier{}, fmt.Errorf("make %s verifier: empty secret", mechanism)
	case !utf8.ValidString(secret) || strings.ContainsRune(secret, 0):
		return Verifier{}, fmt.Errorf("make %s verifier: secret is not UTF-8 without NUL", mechanism)
	}
	if salt == nil {
		salt = make([]byte, saltBytes)
		rand.Read(salt) // never fails (crypto/rand)
	}
	if len(salt) < 8 {
		return Verifier{}, fmt.Errorf("make %s verifier: salt of %d bytes, need 8", mechanism, len(salt))
	}
	switch mechanism {
	case Plain:
		return Verifier{Mechanism: Plain, Salt: salt, StoredKey: plainKey(salt, secret)}, nil
	case ScramSHA256, ScramSHA512:
		return scramVerifier(mechanism, secret, salt, ScramIterations)
	}
	return Verifier{}, fmt.Errorf("make verifier: %w %.32q", ErrUnsupportedMechanism, mechanism)
}

// Derive makes the verifier of another secret with the salt and iterations of v,
// so that both may count at a time.
func (v Verifier) Derive(secret string) (Verifier, error) {
	if v.Mechanism == Plain || v.Iterations == ScramIterations {
		return NewVerifier(v.Mechanism, secret, v.Salt)
	}
	if _, err := NewVerifier(v.Mechanism, secret, v.Salt); err != nil {
		return Verifier{}, err
	}
	return scramVerifier(v.Mechanism, secret, v.Salt, v.Iterations)
}

// String names the mechanism and nothing that helps to guess the secret.
func (v Verifier) String() string { return v.Mechanism + " verifier [redacted]" }

// GoString is String.
func (v Verifier) GoString() string { return v.String() }

// LogValue is String.
func (v Verifier) LogValue() slog.Value { return slog.StringValue(v.String()) }

// verifier returns the client's verifier, or one of the same shape that nothing
// matches. Both are made on every call, so that they cost the same.
func (d Deps) verifier(mechanism, clientID string, keyBytes int) (v Verifier, others []Verifier, known bool) {
	derive := func(label string) []byte {
		m := hmac.New(sha256.New, d.PhantomSecret)
		m.Write([]byte(label + "\x00" + mechanism + "\x00" + clientID))
		return m.Sum(nil)
	}
	key := derive("key")
	phantom := Verifier{
		Mechanism: mechanism,
		Salt:      derive("salt")[:saltBytes],
		StoredKey: append(key, key...)[:keyBytes],
		ServerKey: append(key, key...)[:keyBytes],
	}
	if mechanism != Plain {
		phantom.Iterations = ScramIterations
	}
	v, others, known = d.Lookup(mechanism, clientID)
	if !known || v.Mechanism != mechanism || len(v.StoredKey) != keyBytes || len(v.Salt) == 0 {
		return phantom, nil, false
	}
	return v, others, true
}

// matching returns which of the others a proof is of that is not of the first one, or
// nil. As many are tried as a client may have secrets, so that the time of a refusal
// tells neither how many there are nor that there are any.
func matching(first *Verifier, others []Verifier, matches func(*Verifier) bool) *Verifier {
	var found *Verifier
	for i := range MaxSecrets - 1 {
		v, counts := first, false // in place of one that is not there
		if i < len(others) && others[i].Mechanism == first.Mechanism && len(others[i].StoredKey) == len(first.StoredKey) {
			v, counts = &others[i], true
		}
		if matches(v) && counts {
			found = v
		}
	}
	return found
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func checkSize(msg []byte) error {
	if len(msg) > MaxMessageBytes {
		return malformed("%d bytes exceed %d", len(msg), MaxMessageBytes)
	}
	return nil
}

// checkName accepts what may become a principal: not empty, bounded, UTF-8
// without control characters, which have no business in names and logs.
func checkName(what, s string) error {
	switch {
	case s == "":
		return malformed("%s is empty", what)
	case len(s) > MaxNameBytes:
		return malformed("%s of %d bytes exceeds %d", what, len(s), MaxNameBytes)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return malformed("%s is not UTF-8 without control characters", what)
	}
	return nil
}

// errOver is what a finished or broken exchange answers.
func errOver() error { return malformed("message after the end of the exchange") }
