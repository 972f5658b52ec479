package sasl

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// validateTimeout bounds one token's validation, a fetch of keys included; it
// lies below the gateway's deadline for the whole login.
const validateTimeout = 8 * time.Second

// bearerServer is OAUTHBEARER (RFC 7628) as Kafka speaks it: a refused token is
// answered by a JSON challenge in a successful round, the client acknowledges
// with 0x01, and only then the login fails.
type bearerServer struct {
	tokens   *TokenValidator
	step     int
	refused  error
	identity Identity
}

func (s *bearerServer) Identity() Identity { return s.identity }

func (s *bearerServer) Next(msg []byte) ([]byte, bool, error) {
	step := s.step
	s.step = 2
	switch step {
	case 0:
		token, authzid, err := parseBearer(msg)
		if err != nil {
			return nil, false, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), validateTimeout)
		defer cancel()
		id, err := s.tokens.Validate(ctx, token)
		if err == nil && authzid != "" && authzid != id.Name {
			err = fmt.Errorf("%w: authorization id is not the token's principal", ErrAuthentication)
		}
		if err != nil {
			s.step, s.refused = 1, err
			return []byte(`{"status":"invalid_token"}`), false, nil
		}
		s.identity = id
		return nil, true, nil
	case 1:
		return nil, false, s.refused
	}
	return nil, false, errOver()
}

// parseBearer reads gs2-header kvsep *(key "=" value kvsep) kvsep and returns
// the token of auth=Bearer. SASL extensions (KIP-342) are checked and ignored.
func parseBearer(msg []byte) (token, authzid string, err error) {
	_, authzid, rest, err := parseGS2(msg)
	if err != nil {
		return "", "", err
	}
	body, ok := strings.CutPrefix(rest, "\x01")
	if !ok {
		return "", "", malformed("separator expected after the GS2 header")
	}
	if body, ok = strings.CutSuffix(body, "\x01\x01"); !ok {
		return "", "", malformed("message does not end with two separators")
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(body, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || strings.ContainsFunc(key, notLetter) || strings.ContainsFunc(value, notValueChar) {
			return "", "", malformed("key and value expected")
		}
		if seen[key] {
			return "", "", malformed("key given twice")
		}
		if seen[key] = true; len(seen) > 32 {
			return "", "", malformed("more than 32 keys")
		}
		if key != "auth" {
			continue
		}
		scheme, t, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "bearer") {
			return "", "", malformed("auth is not a bearer token")
		}
		token = strings.TrimSpace(t)
	}
	if token == "" {
		return "", "", malformed("no bearer token")
	}
	return token, authzid, nil
}

func notLetter(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }

func notValueChar(r rune) bool {
	return (r < 0x20 || r > 0x7e) && r != '\t' && r != '\r' && r != '\n'
}
