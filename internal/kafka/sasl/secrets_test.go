package sasl

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	kgosasl "github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// While a secret is being replaced both count, and the server knows which one it was.
func TestTwoSecretsOfAClient(t *testing.T) {
	clients := map[string]func(secret string) kgosasl.Mechanism{
		Plain:       func(s string) kgosasl.Mechanism { return plain.Auth{User: "acme", Pass: s}.AsMechanism() },
		ScramSHA256: func(s string) kgosasl.Mechanism { return scram.Auth{User: "acme", Pass: s}.AsSha256Mechanism() },
		ScramSHA512: func(s string) kgosasl.Mechanism { return scram.Auth{User: "acme", Pass: s}.AsSha512Mechanism() },
	}
	for mechanism, client := range clients {
		first, err := NewVerifier(mechanism, "first secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := first.Derive("second secret")
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, err := NewVerifier(mechanism, "third secret", nil) // with a salt of its own
		if err != nil {
			t.Fatal(err)
		}
		first.Secret, second.Secret, elsewhere.Secret = 1, 2, 3
		foreign := first
		foreign.Mechanism = "OTHER"
		login := func(secret string, v Verifier, others ...Verifier) (int, error) {
			s := begin(t, mechanism, Deps{PhantomSecret: phantomSecret, Lookup: func(string, string) (Verifier, []Verifier, bool) { return v, others, true }})
			clientErr, err := login(s, client(secret))
			if clientErr != nil {
				t.Errorf("%s: the client refuses the server: %v", mechanism, clientErr)
			}
			return s.Identity().Secret, err
		}
		for _, tc := range []struct {
			name, secret string
			others       []Verifier
			want         int // 0: refused
		}{
			{"the newest one", "second secret", []Verifier{first}, 2},
			{"the one before", "first secret", []Verifier{first}, 1},
			{"none of them", "another secret", []Verifier{first}, 0},
			{"one that has been dropped", "first secret", nil, 0},
			{"more than may be", "first secret", []Verifier{second, first}, 0},
			{"one of another mechanism", "first secret", []Verifier{foreign}, 0},
		} {
			got, err := login(tc.secret, second, tc.others...)
			if got != tc.want || (err != nil) != (tc.want == 0) || err != nil && !errors.Is(err, ErrAuthentication) {
				t.Errorf("%s, %s: secret %d, %v, want %d", mechanism, tc.name, got, err, tc.want)
			}
		}
		want := 0 // SCRAM tells one salt
		if mechanism == Plain {
			want = 3
		}
		if got, _ := login("third secret", second, elsewhere); got != want {
			t.Errorf("%s, one of another salt: secret %d, want %d", mechanism, got, want)
		}
	}
}

// Another secret has the salt and iterations of the one that it is derived beside, also
// those of another release.
func TestDerivedBeside(t *testing.T) {
	v, err := scramVerifier(ScramSHA256, "first secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Derive("first secret")
	if err != nil || string(again.StoredKey) != string(v.StoredKey) || string(again.ServerKey) != string(v.ServerKey) || again.Iterations != 4096 {
		t.Errorf("the same secret: %#v, %v", again.Iterations, err)
	}
	if _, err := v.Derive(""); err == nil {
		t.Error("an empty secret is taken")
	}
	if _, err := v.Derive(strings.Repeat("\x00", 20)); err == nil {
		t.Error("NUL is taken")
	}
}

// BenchmarkScram is the server's part of a login that succeeds.
func BenchmarkScram(b *testing.B) {
	const whole = "clientnonceservernonce"
	v, err := NewVerifier(ScramSHA256, "first secret", []byte("0123456789abcdef"))
	if err != nil {
		b.Fatal(err)
	}
	d := Deps{PhantomSecret: phantomSecret, Lookup: func(string, string) (Verifier, []Verifier, bool) { return v, nil, true }}
	salted, err := pbkdf2.Key(sha256.New, "first secret", v.Salt, v.Iterations, sha256.Size)
	if err != nil {
		b.Fatal(err)
	}
	final := "c=biws,r=" + whole
	message := "n=acme,r=clientnonce,r=" + whole + ",s=" + base64.StdEncoding.EncodeToString(v.Salt) + ",i=8192," + final
	proof := scramMAC(sha256.New, v.StoredKey, message)
	subtle.XORBytes(proof, proof, scramMAC(sha256.New, salted, "Client Key"))
	clientFirst, clientFinal := []byte("n,,n=acme,r=clientnonce"), []byte(final+",p="+base64.StdEncoding.EncodeToString(proof))
	b.ReportAllocs()
	for b.Loop() {
		s := newScramServer(ScramSHA256, d)
		s.nonce = "servernonce"
		s.Next(clientFirst)
		if _, done, err := s.Next(clientFinal); !done || err != nil {
			b.Fatal(done, err)
		}
	}
}
