package identity

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/sasl"
)

// derive hashes a key with what something is for and whose it is.
func derive(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Prefix begins the names of all users that belong to one environment of one
// installation at one target cluster, and of nobody else's. The seed is known to all
// gateways of the environment, and to no other installation.
func Prefix(seed []byte, environment, cluster string) string {
	return "sluice-" + lower.EncodeToString(derive(seed, "sluice users", environment, cluster))[:12] + "-"
}

// secret is what proves a user, derived from the master key: each gateway that has the
// key comes to the same one, and nothing has to be kept.
type secret struct {
	user, mechanism string
	password        string
	salt            []byte
	iterations      int

	once   sync.Once
	salted []byte
	err    error
}

const (
	scram256 = "SCRAM-SHA-256"
	scram512 = "SCRAM-SHA-512"
)

// Kafka takes 4,096 to 16,384 iterations. Which of the upper half it is tells one master
// key from another, since a cluster tells the iterations of a user and nothing else of its
// secret. They protect nothing here: there are 256 random bits to guess.
const leastIterations = 8192

func newSecret(masterKey []byte, mechanism, user string) *secret {
	part := func(what string) []byte { return derive(masterKey, "sluice user "+what, mechanism, user) }
	return &secret{
		user: user, mechanism: mechanism,
		password:   base64.RawURLEncoding.EncodeToString(part("password")),
		salt:       part("salt"),
		iterations: leastIterations + int(binary.BigEndian.Uint16(part("iterations")))%leastIterations,
	}
}

func (s *secret) hash() func() hash.Hash {
	if s.mechanism == scram256 {
		return sha256.New
	}
	return sha512.New
}

// number is how the protocol writes the mechanism.
func (s *secret) number() int8 { return mechanismNumber(s.mechanism) }

func mechanismNumber(mechanism string) int8 {
	if mechanism == scram256 {
		return 1
	}
	return 2
}

// saltedPassword is what the cluster is given (RFC 5802 §3), worked out once.
func (s *secret) saltedPassword() ([]byte, error) {
	s.once.Do(func() { s.salted, s.err = s.saltedWith(s.salt, s.iterations) })
	return s.salted, s.err
}

func (s *secret) saltedWith(salt []byte, iterations int) ([]byte, error) {
	return pbkdf2.Key(s.hash(), s.password, salt, iterations, s.hash()().Size())
}

func (s *secret) mac(key []byte, text string) []byte {
	h := hmac.New(s.hash(), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Name is sasl.Mechanism's.
func (s *secret) Name() string { return s.mechanism }

// Authenticate is sasl.Mechanism's: the client's side of SCRAM (RFC 5802, RFC 7677). In
// place of franz-go's, so that a storm of logins does not derive the same keys each time.
func (s *secret) Authenticate(context.Context, string) (sasl.Session, []byte, error) {
	first := "n=" + s.user + ",r=" + rand.Text()
	return &exchange{secret: s, first: first}, []byte("n,," + first), nil
}

// exchange is one login.
type exchange struct {
	*secret
	first, signature string
}

// Challenge is sasl.Session's.
func (x *exchange) Challenge(challenge []byte) (bool, []byte, error) {
	if x.signature != "" {
		if verifier, ok := strings.CutPrefix(string(challenge), "v="); !ok || subtle.ConstantTimeCompare([]byte(verifier), []byte(x.signature)) == 0 {
			return false, nil, errors.New("the broker does not prove that it knows the user's secret")
		}
		return true, nil, nil
	}
	nonce, salt, iterations, err := parseServerFirst(string(challenge))
	if err != nil {
		return false, nil, err
	}
	if _, ours, _ := strings.Cut(x.first, ",r="); !strings.HasPrefix(nonce, ours) || nonce == ours {
		return false, nil, errors.New("the broker's nonce does not begin with ours")
	}
	salted, err := x.saltedPassword()
	if string(salt) != string(x.salt) || iterations != x.iterations { // somebody set another secret, or none is known yet
		salted, err = x.saltedWith(salt, iterations)
	}
	if err != nil {
		return false, nil, err
	}
	final := "c=biws,r=" + nonce
	signed := x.first + "," + string(challenge) + "," + final
	proof := x.mac(salted, "Client Key")
	stored := x.hash()()
	stored.Write(proof)
	subtle.XORBytes(proof, proof, x.mac(stored.Sum(nil), signed))
	x.signature = base64.StdEncoding.EncodeToString(x.mac(x.mac(salted, "Server Key"), signed))
	return false, []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// maxIterations bounds the work that a broker can make us do.
const maxIterations = 2 * leastIterations

func parseServerFirst(text string) (nonce string, salt []byte, iterations int, err error) {
	parts := strings.SplitN(text, ",", 4)
	if len(parts) < 3 || !strings.HasPrefix(parts[0], "r=") || !strings.HasPrefix(parts[1], "s=") || !strings.HasPrefix(parts[2], "i=") {
		return "", nil, 0, errors.New("the broker's challenge is not one of SCRAM")
	}
	if salt, err = base64.StdEncoding.DecodeString(parts[1][2:]); err != nil {
		return "", nil, 0, fmt.Errorf("the broker's salt: %w", err)
	}
	if iterations, err = strconv.Atoi(parts[2][2:]); err != nil || iterations < 1 || iterations > maxIterations {
		return "", nil, 0, fmt.Errorf("the broker asks for other than 1 to %d iterations", maxIterations)
	}
	return parts[0][2:], salt, iterations, nil
}
