package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
)

// scramServer is SCRAM (RFC 5802) without channel binding: client-first,
// server-first, client-final, server-final. The server never runs PBKDF2.
//
// A failed proof returns an error instead of "e=invalid-proof": Kafka clients
// read the error code of SaslAuthenticate, not SCRAM's.
type scramServer struct {
	mechanism string
	newHash   func() hash.Hash
	deps      Deps
	nonce     string // our part of the nonce, fresh per exchange

	step        int
	first       clientFirst
	serverFirst string
	verifier    Verifier
	others      []Verifier
	known       bool
	identity    Identity
}

func newScramServer(mechanism string, d Deps) *scramServer {
	return &scramServer{mechanism: mechanism, newHash: scramHash(mechanism), deps: d, nonce: rand.Text()}
}

func scramHash(mechanism string) func() hash.Hash {
	if mechanism == ScramSHA512 {
		return sha512.New
	}
	return sha256.New
}

func (s *scramServer) Identity() Identity { return s.identity }

func (s *scramServer) Next(msg []byte) (challenge []byte, done bool, err error) {
	step := s.step
	s.step = 2 // over, unless this goes well
	switch step {
	case 0:
		if s.first, err = parseClientFirst(msg); err != nil {
			return nil, false, err
		}
		s.verifier, s.others, s.known = s.deps.verifier(s.mechanism, s.first.user, s.newHash().Size())
		s.serverFirst = fmt.Sprintf("r=%s%s,s=%s,i=%d", s.first.nonce, s.nonce,
			base64.StdEncoding.EncodeToString(s.verifier.Salt), s.verifier.Iterations)
		s.step = 1
		return []byte(s.serverFirst), false, nil
	case 1:
		return s.finish(msg)
	}
	return nil, false, errOver()
}

// finish checks the proof: ClientKey = proof XOR HMAC(StoredKey, AuthMessage)
// must hash to StoredKey.
func (s *scramServer) finish(msg []byte) ([]byte, bool, error) {
	final, err := parseClientFinal(msg)
	if err != nil {
		return nil, false, err
	}
	// Java's client and franz-go bind "n,," even when they sent an authorization
	// id; as that must equal the user, nothing is lost by taking it.
	bound := string(final.binding)
	if bound != s.first.gs2 && !(s.first.gs2[0] == 'n' && bound == "n,,") {
		return nil, false, malformed("channel binding differs from the first message")
	}
	if len(final.proof) != s.newHash().Size() {
		return nil, false, malformed("proof of %d bytes, want %d", len(final.proof), s.newHash().Size())
	}
	// The whole nonce, both parts: CVE-2024-56128 was about half of it.
	// librdkafka before 2.6.1 puts its own part in front once more, which Apache
	// Kafka takes since 3.8.1; the proof covers the nonce as it was sent.
	whole := s.first.nonce + s.nonce
	fresh := subtle.ConstantTimeCompare([]byte(final.nonce), []byte(whole))|subtle.ConstantTimeCompare([]byte(final.nonce), []byte(s.first.nonce+whole)) == 1

	authMessage := s.first.bare + "," + s.serverFirst + "," + final.withoutProof
	match, proved := s.proves(&s.verifier, final.proof, authMessage), &s.verifier
	if !match {
		other := matching(&s.verifier, s.others, func(v *Verifier) bool { // derived from the salt that the client was told
			return s.proves(v, final.proof, authMessage) && v.Iterations == s.verifier.Iterations && bytes.Equal(v.Salt, s.verifier.Salt)
		})
		if other != nil {
			match, proved = true, other
		}
	}
	signature := s.mac(proved.ServerKey, authMessage)
	if !fresh || !match || !s.known {
		return nil, false, ErrAuthentication
	}
	s.identity = Identity{Mechanism: s.mechanism, Name: s.first.user, Secret: proved.Secret}
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), true, nil
}

func (s *scramServer) proves(v *Verifier, proof []byte, authMessage string) bool {
	clientKey := s.mac(v.StoredKey, authMessage)
	subtle.XORBytes(clientKey, clientKey, proof)
	h := s.newHash()
	h.Write(clientKey)
	return subtle.ConstantTimeCompare(h.Sum(nil), v.StoredKey) == 1
}

func (s *scramServer) mac(key []byte, data string) []byte { return scramMAC(s.newHash, key, data) }

func scramMAC(newHash func() hash.Hash, key []byte, data string) []byte {
	m := hmac.New(newHash, key)
	m.Write([]byte(data))
	return m.Sum(nil)
}

func scramVerifier(mechanism, secret string, salt []byte, iterations int) (Verifier, error) {
	stored, server, err := scramKeys(scramHash(mechanism), secret, salt, iterations)
	if err != nil {
		return Verifier{}, fmt.Errorf("make %s verifier: %w", mechanism, err)
	}
	return Verifier{Mechanism: mechanism, Salt: salt, Iterations: iterations, StoredKey: stored, ServerKey: server}, nil
}

func scramKeys(newHash func() hash.Hash, secret string, salt []byte, iterations int) (stored, server []byte, err error) {
	h := newHash()
	salted, err := pbkdf2.Key(newHash, secret, salt, iterations, h.Size())
	if err != nil {
		return nil, nil, err
	}
	h.Write(scramMAC(newHash, salted, "Client Key"))
	return h.Sum(nil), scramMAC(newHash, salted, "Server Key"), nil
}

// clientFirst is the client-first-message taken apart.
type clientFirst struct {
	gs2   string // header with its trailing comma: "n,," or "n,a=user,"
	bare  string // the rest, as it goes into AuthMessage
	user  string
	nonce string
}

// parseClientFirst reads gs2-header "n=" saslname ",r=" nonce. Extensions are
// refused, Kafka's tokenauth (KIP-48) by name: there are no delegation tokens.
func parseClientFirst(msg []byte) (clientFirst, error) {
	var f clientFirst
	gs2, authzid, rest, err := parseGS2(msg)
	if err != nil {
		return f, err
	}
	f.gs2, f.bare = gs2, rest
	attrs := strings.Split(rest, ",")
	if strings.HasPrefix(attrs[0], "m=") {
		return f, malformed("mandatory extension")
	}
	if len(attrs) < 2 || !strings.HasPrefix(attrs[0], "n=") || !strings.HasPrefix(attrs[1], "r=") {
		return f, malformed("user and nonce expected")
	}
	if len(attrs) > 2 {
		if strings.HasPrefix(attrs[2], "tokenauth=") {
			return f, malformed("delegation tokens are not supported")
		}
		return f, malformed("extensions are not supported")
	}
	if f.user, err = decodeName("user", attrs[0][2:]); err != nil {
		return f, err
	}
	if authzid != "" && authzid != f.user {
		return f, malformed("authorization id is neither empty nor the user")
	}
	f.nonce = attrs[1][2:]
	if f.nonce == "" || len(f.nonce) > MaxNameBytes || strings.ContainsFunc(f.nonce, notPrintableASCII) {
		return f, malformed("nonce is not 1 to %d printable characters", MaxNameBytes)
	}
	return f, nil
}

// parseGS2 takes the header of RFC 5801 off a message: a channel binding flag
// and an authorization id. Binding to a channel ("p=") is refused.
func parseGS2(msg []byte) (gs2, authzid, rest string, err error) {
	if err := checkSize(msg); err != nil {
		return "", "", "", err
	}
	s := string(msg)
	flag, after, ok := strings.Cut(s, ",")
	if strings.HasPrefix(flag, "p=") {
		return "", "", "", malformed("channel binding is not supported")
	}
	if !ok || flag != "n" && flag != "y" {
		return "", "", "", malformed("GS2 header expected")
	}
	zid, rest, ok := strings.Cut(after, ",")
	if !ok {
		return "", "", "", malformed("GS2 header expected")
	}
	if zid != "" {
		if !strings.HasPrefix(zid, "a=") {
			return "", "", "", malformed("authorization id expected")
		}
		if authzid, err = decodeName("authorization id", zid[2:]); err != nil {
			return "", "", "", err
		}
	}
	return s[:len(s)-len(rest)], authzid, rest, nil
}

// clientFinal is the client-final-message taken apart.
type clientFinal struct {
	binding      []byte // the decoded GS2 header
	nonce        string
	proof        []byte
	withoutProof string
}

// parseClientFinal reads "c=" binding ",r=" nonce ",p=" proof.
func parseClientFinal(msg []byte) (clientFinal, error) {
	var f clientFinal
	if err := checkSize(msg); err != nil {
		return f, err
	}
	attrs := strings.Split(string(msg), ",")
	if len(attrs) != 3 || !strings.HasPrefix(attrs[0], "c=") || !strings.HasPrefix(attrs[1], "r=") || !strings.HasPrefix(attrs[2], "p=") {
		return f, malformed("channel binding, nonce and proof expected")
	}
	var err error
	if f.binding, err = decodeBase64(attrs[0][2:]); err != nil {
		return f, malformed("channel binding is not base64")
	}
	if f.proof, err = decodeBase64(attrs[2][2:]); err != nil {
		return f, malformed("proof is not base64")
	}
	f.nonce = attrs[1][2:]
	f.withoutProof = attrs[0] + "," + attrs[1]
	return f, nil
}

// decodeBase64 is strict; encoding/base64 alone skips line breaks.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// decodeName reads a saslname: =2C for a comma, =3D for an equals sign, no other '='.
func decodeName(what, s string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", malformed("%s has an '=' that is neither =2C nor =3D", what)
		}
		s = after[2:]
	}
	return b.String(), checkName(what, b.String())
}

func notPrintableASCII(r rune) bool { return r < 0x21 || r > 0x7e }
