package sasl

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	kgosasl "github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var phantomSecret = []byte("0123456789abcdef")

// store is a Lookup over "mechanism/client" → verifier.
type store map[string]Verifier

func (s store) deps() Deps {
	return Deps{PhantomSecret: phantomSecret, Lookup: func(mechanism, client string) (Verifier, []Verifier, bool) {
		v, ok := s[mechanism+"/"+client]
		return v, nil, ok
	}}
}

func storeOf(t testing.TB, mechanism, client, secret string) store {
	t.Helper()
	v, err := NewVerifier(mechanism, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store{mechanism + "/" + client: v}
}

func begin(t testing.TB, mechanism string, d Deps) Server {
	t.Helper()
	s, err := New(mechanism, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// login plays a client of franz-go against a server until either is done.
func login(s Server, m kgosasl.Mechanism) (clientErr, serverErr error) {
	session, msg, err := m.Authenticate(context.Background(), "")
	if err != nil {
		return err, nil
	}
	for {
		challenge, serverDone, err := s.Next(msg)
		if err != nil {
			return nil, err
		}
		var clientDone bool
		clientDone, msg, err = session.Challenge(challenge)
		if err != nil || clientDone && serverDone {
			return err, nil
		}
		if clientDone != serverDone {
			return fmt.Errorf("client done %t, server done %t", clientDone, serverDone), nil
		}
	}
}

func TestFranzClientLogsIn(t *testing.T) {
	franz := map[string]func(zid, user, secret string) kgosasl.Mechanism{
		Plain: func(z, u, s string) kgosasl.Mechanism { return plain.Auth{Zid: z, User: u, Pass: s}.AsMechanism() },
		ScramSHA256: func(z, u, s string) kgosasl.Mechanism {
			return scram.Auth{Zid: z, User: u, Pass: s}.AsSha256Mechanism()
		},
		ScramSHA512: func(z, u, s string) kgosasl.Mechanism {
			return scram.Auth{Zid: z, User: u, Pass: s}.AsSha512Mechanism()
		},
	}
	for mechanism, client := range franz {
		for _, c := range []struct {
			name, zid, user, secret string
			want                    error
		}{
			{"right secret", "", "acme-1", "s3cret", nil},
			{"authorization id is the user", "acme-1", "acme-1", "s3cret", nil},
			{"authorization id is another", "root", "acme-1", "s3cret", ErrMalformed},
			{"wrong secret", "", "acme-1", "s3creT", ErrAuthentication},
			{"unknown client", "", "acme-2", "s3cret", ErrAuthentication},
			{"prefix of a client", "", "acme-", "s3cret", ErrAuthentication},
		} {
			t.Run(mechanism+"/"+c.name, func(t *testing.T) {
				s := begin(t, mechanism, storeOf(t, mechanism, "acme-1", "s3cret").deps())
				clientErr, err := login(s, client(c.zid, c.user, c.secret))
				if clientErr != nil || !errors.Is(err, c.want) {
					t.Fatalf("got client %v, server %v, want server %v", clientErr, err, c.want)
				}
				want := Identity{}
				if c.want == nil {
					want = Identity{Mechanism: mechanism, Name: c.user}
				} else if c.want == ErrAuthentication && err != ErrAuthentication {
					t.Errorf("got %v, want the bare ErrAuthentication", err)
				}
				if got := s.Identity(); got != want {
					t.Errorf("got identity %+v, want %+v", got, want)
				}
				if _, done, err := s.Next([]byte("again")); done || err == nil {
					t.Errorf("exchange goes on after its end: done %t, err %v", done, err)
				}
			})
		}
	}
}

func TestNamesWithCommaAndEquals(t *testing.T) {
	const name = "a=b,c=2C"
	s := begin(t, ScramSHA256, storeOf(t, ScramSHA256, name, "pw").deps())
	clientErr, err := login(s, scram.Auth{User: name, Pass: "pw"}.AsSha256Mechanism())
	if clientErr != nil || err != nil || s.Identity().Name != name {
		t.Fatalf("got %v, %v, %q", clientErr, err, s.Identity().Name)
	}
}

func TestVerifierOfAnotherMechanismIsNoVerifier(t *testing.T) {
	v, _ := NewVerifier(ScramSHA256, "pw", nil)
	s := begin(t, Plain, store{"PLAIN/u": v}.deps())
	if _, _, err := s.Next([]byte("\x00u\x00pw")); err != ErrAuthentication {
		t.Fatalf("got %v", err)
	}
}

// The examples of RFC 5802 §5 and RFC 7677 §3. SHA-1 is not offered; it shows
// that the arithmetic is right with a second vector.
func TestScramVectors(t *testing.T) {
	salt := func(s string) []byte { b, _ := base64.StdEncoding.DecodeString(s); return b }
	sha1Server := newScramServer("SCRAM-SHA-1", Deps{})
	sha1Server.newHash = sha1.New
	sha1Server.nonce = "3rfcNHYJY1ZVvWVs7j"
	stored, server, err := scramKeys(sha1.New, "pencil", salt("QSXCR+Q6sek8bf92"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	sha1Server.deps = store{"SCRAM-SHA-1/user": {Mechanism: "SCRAM-SHA-1", Salt: salt("QSXCR+Q6sek8bf92"), Iterations: 4096, StoredKey: stored, ServerKey: server}}.deps()

	v, err := scramVerifier(ScramSHA256, "pencil", salt("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
	if err != nil {
		t.Fatal(err)
	}
	sha256Server := newScramServer(ScramSHA256, store{ScramSHA256 + "/user": v}.deps())
	sha256Server.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

	for _, c := range []struct {
		name                        string
		server                      *scramServer
		first, challenge, final, ok string
	}{
		{"RFC 5802", sha1Server,
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{"RFC 7677", sha256Server,
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, done, err := c.server.Next([]byte(c.first))
			if string(got) != c.challenge || done || err != nil {
				t.Fatalf("got %q %t %v", got, done, err)
			}
			got, done, err = c.server.Next([]byte(c.final))
			if string(got) != c.ok || !done || err != nil {
				t.Fatalf("got %q %t %v", got, done, err)
			}
		})
	}
}

// A recorded exchange replayed: the client's part of the nonce and the proof are
// the old ones, and so may be the whole nonce in the final message.
func TestReplayedProof(t *testing.T) {
	d := storeOf(t, ScramSHA256, "u", "pw").deps()
	session, first, _ := scram.Auth{User: "u", Pass: "pw"}.AsSha256Mechanism().Authenticate(context.Background(), "")
	recorded := begin(t, ScramSHA256, d)
	challenge, _, _ := recorded.Next(first)
	_, final, _ := session.Challenge(challenge)
	if _, done, err := recorded.Next(final); !done || err != nil {
		t.Fatal(err)
	}

	replay := begin(t, ScramSHA256, d)
	challenge2, _, _ := replay.Next(first)
	if bytes.Equal(challenge, challenge2) {
		t.Fatal("the same nonce twice")
	}
	if _, _, err := replay.Next(final); err != ErrAuthentication {
		t.Errorf("old nonce: got %v", err)
	}
	// CVE-2024-56128: a proof that is right but for the nonce it is about.
	nonce := func(s []byte) string { n, _, _ := strings.Cut(strings.TrimPrefix(string(s), "r="), ","); return n }
	for name, n := range map[string]string{"client part only": nonce(challenge2)[:10], "longer": nonce(challenge2) + "x", "old": nonce(challenge)} {
		s := newScramServer(ScramSHA256, d)
		if _, _, err := s.Next([]byte("n,,n=u,r=abcdefghij")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Next(proofFor(t, s, "pw", n)); err != ErrAuthentication {
			t.Errorf("%s nonce: got %v", name, err)
		}
	}
}

// librdkafka before 2.6.1 sends its part of the nonce twice.
func TestNonceOfOldLibrdkafka(t *testing.T) {
	s := newScramServer(ScramSHA256, storeOf(t, ScramSHA256, "u", "pw").deps())
	if _, _, err := s.Next([]byte("n,,n=u,r=abcdefghij")); err != nil {
		t.Fatal(err)
	}
	if _, done, err := s.Next(proofFor(t, s, "pw", "abcdefghij"+"abcdefghij"+s.nonce)); !done || err != nil {
		t.Errorf("got %t, %v", done, err)
	}
}

// proofFor makes the final message a client that knows the secret would make, for
// a nonce of choice.
func proofFor(t testing.TB, s *scramServer, secret, nonce string) []byte {
	t.Helper()
	without := "c=biws,r=" + nonce
	client := scramClientKey(t, s, secret)
	signature := s.mac(s.verifier.StoredKey, s.first.bare+","+s.serverFirst+","+without)
	for i := range signature {
		signature[i] ^= client[i]
	}
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(signature))
}

func TestUnknownClientLooksKnown(t *testing.T) {
	for _, mechanism := range []string{ScramSHA256, ScramSHA512} {
		d := storeOf(t, mechanism, "known", "pw").deps()
		ask := func(d Deps, user string) (salt, iterations string) {
			s := begin(t, mechanism, d)
			got, done, err := s.Next([]byte("n,,n=" + user + ",r=abc"))
			if done || err != nil {
				t.Fatalf("%s: %t, %v", user, done, err)
			}
			parts := strings.Split(string(got), ",")
			return parts[1], parts[2]
		}
		knownSalt, knownIterations := ask(d, "known")
		salt, iterations := ask(d, "ghost")
		again, _ := ask(d, "ghost")
		other, _ := ask(d, "ghost2")
		if len(salt) != len(knownSalt) || iterations != knownIterations {
			t.Errorf("shape: got %s %s, want that of %s %s", salt, iterations, knownSalt, knownIterations)
		}
		if salt != again || salt == other {
			t.Errorf("salt must be stable per client and differ between clients: %s %s %s", salt, again, other)
		}
		d.PhantomSecret = []byte("another secret..")
		if elsewhere, _ := ask(d, "ghost"); elsewhere == salt {
			t.Error("salt does not depend on the secret")
		}
	}
}

func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", MaxNameBytes+1)
	for _, c := range []struct{ name, mechanism, msg string }{
		{"plain empty", Plain, ""},
		{"plain two parts", Plain, "u\x00p"},
		{"plain four parts", Plain, "\x00u\x00p\x00"},
		{"plain no user", Plain, "\x00\x00p"},
		{"plain no password", Plain, "\x00u\x00"},
		{"plain long user", Plain, "\x00" + long + "\x00p"},
		{"plain control character in user", Plain, "\x00u\n\x00p"},
		{"plain invalid UTF-8", Plain, "\x00u\xff\x00p"},
		{"plain impersonation", Plain, "root\x00u\x00pw"},
		{"plain too long", Plain, "\x00u\x00" + strings.Repeat("p", MaxMessageBytes)},
		{"scram empty", ScramSHA256, ""},
		{"scram channel binding", ScramSHA256, "p=tls-unique,,n=u,r=abc"},
		{"scram no GS2 header", ScramSHA256, "n=u,r=abc"},
		{"scram bad authorization id", ScramSHA256, "n,u,n=u,r=abc"},
		{"scram empty authorization id", ScramSHA256, "n,a=,n=u,r=abc"},
		{"scram impersonation", ScramSHA256, "n,a=root,n=u,r=abc"},
		{"scram mandatory extension", ScramSHA256, "n,,m=x,n=u,r=abc"},
		{"scram delegation token", ScramSHA256, "n,,n=u,r=abc,tokenauth=true"},
		{"scram extension", ScramSHA256, "n,,n=u,r=abc,x=1"},
		{"scram empty nonce", ScramSHA256, "n,,n=u,r="},
		{"scram nonce with space", ScramSHA256, "n,,n=u,r=a b"},
		{"scram stray equals in name", ScramSHA256, "n,,n=u=2c,r=abc"},
		{"scram equals at the end", ScramSHA256, "n,,n=u=,r=abc"},
		{"scram NUL in name", ScramSHA256, "n,,n=u\x00,r=abc"},
		{"scram long name", ScramSHA256, "n,,n=" + long + ",r=abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begin(t, c.mechanism, storeOf(t, c.mechanism, "u", "pw").deps())
			if out, done, err := s.Next([]byte(c.msg)); out != nil || done || !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %q %t %v", out, done, err)
			}
		})
	}
}

func TestScramFinalMalformed(t *testing.T) {
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, final := range map[string]func(nonce string) string{
		"empty":             func(n string) string { return "" },
		"proof too short":   func(n string) string { return "c=biws,r=" + n + ",p=AAAA" },
		"no proof":          func(n string) string { return "c=biws,r=" + n },
		"proof not base64":  func(n string) string { return "c=biws,r=" + n + ",p=*" },
		"binding of y":      func(n string) string { return "c=eSws,r=" + n + ",p=" + proof },
		"extension":         func(n string) string { return "c=biws,r=" + n + ",x=1,p=" + proof },
		"newline in base64": func(n string) string { return "c=bi\nws,r=" + n + ",p=" + proof },
	} {
		s := newScramServer(ScramSHA256, storeOf(t, ScramSHA256, "u", "pw").deps())
		s.Next([]byte("n,,n=u,r=abc"))
		if _, done, err := s.Next([]byte(final("abc" + s.nonce))); done || !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %t %v", name, done, err)
		}
	}
}

func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		mechanism string
		deps      Deps
		want      string
	}{
		"unknown mechanism": {"GSSAPI", store{}.deps(), "unsupported SASL mechanism"},
		"lower case":        {"plain", store{}.deps(), "unsupported SASL mechanism"},
		"no lookup":         {Plain, Deps{PhantomSecret: phantomSecret}, "no lookup"},
		"no phantom secret": {ScramSHA256, Deps{Lookup: store{}.deps().Lookup}, "phantom secret of 0 bytes"},
		"no tokens":         {OAuthBearer, store{}.deps(), "no token validator"},
	} {
		if _, err := New(c.mechanism, c.deps); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestVerifierPrintsNoKeys(t *testing.T) {
	v, _ := NewVerifier(Plain, "secret", []byte("saltsaltsaltsalt"))
	for _, got := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), v.LogValue().String()} {
		if got != "PLAIN verifier [redacted]" {
			t.Errorf("got %s", got)
		}
	}
	if _, err := NewVerifier(Plain, "", nil); err == nil {
		t.Error("empty secret taken")
	}
	if _, err := NewVerifier("GSSAPI", "x", nil); !errors.Is(err, ErrUnsupportedMechanism) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkPlain shows that a known client with a wrong secret costs as much as
// an unknown one.
func BenchmarkPlain(b *testing.B) {
	d := storeOf(b, Plain, "known", "pw").deps()
	for _, user := range []string{"known", "ghost"} {
		b.Run(user, func(b *testing.B) {
			msg := []byte("\x00" + user + "\x00wrong")
			for b.Loop() {
				s := plainServer{deps: d}
				s.Next(msg)
			}
		})
	}
}
