package sasl

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"unicode/utf8"
)

// plainServer is PLAIN (RFC 4616): one message, no challenge.
type plainServer struct {
	deps     Deps
	over     bool
	identity Identity
}

func (s *plainServer) Identity() Identity { return s.identity }

func (s *plainServer) Next(msg []byte) ([]byte, bool, error) {
	if s.over {
		return nil, false, errOver()
	}
	s.over = true
	user, secret, err := parsePlain(msg)
	if err != nil {
		return nil, false, err
	}
	v, others, known := s.deps.verifier(Plain, user, sha256.Size)
	// The comparison runs for an unknown client too, and only then is known looked at.
	matched, number := provesPlain(&v, secret), v.Secret
	if !matched {
		if other := matching(&v, others, func(v *Verifier) bool { return provesPlain(v, secret) }); other != nil {
			matched, number = true, other.Secret
		}
	}
	if !matched || !known {
		return nil, false, ErrAuthentication
	}
	s.identity = Identity{Mechanism: Plain, Name: user, Secret: number}
	return nil, true, nil
}

func provesPlain(v *Verifier, secret string) bool {
	return subtle.ConstantTimeCompare(plainKey(v.Salt, secret), v.StoredKey) == 1
}

func plainKey(salt []byte, secret string) []byte {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(secret))
	return m.Sum(nil)
}

// parsePlain reads [authzid] NUL authcid NUL passwd.
func parsePlain(msg []byte) (user, secret string, err error) {
	if err := checkSize(msg); err != nil {
		return "", "", err
	}
	parts := strings.Split(string(msg), "\x00")
	if len(parts) != 3 {
		return "", "", malformed("PLAIN has %d parts, not 3", len(parts))
	}
	authzid, user, secret := parts[0], parts[1], parts[2]
	if err := checkName("user", user); err != nil {
		return "", "", err
	}
	switch {
	case secret == "":
		return "", "", malformed("password is empty")
	case !utf8.ValidString(secret):
		return "", "", malformed("password is not UTF-8")
	case authzid != "" && authzid != user:
		return "", "", malformed("authorization id is neither empty nor the user")
	}
	return user, secret, nil
}
