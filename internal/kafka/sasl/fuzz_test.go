package sasl

import (
	"context"
	"crypto/pbkdf2"
	"errors"
	"strings"
	"testing"
	"time"
)

func scramClientKey(t testing.TB, s *scramServer, secret string) []byte {
	t.Helper()
	salted, err := pbkdf2.Key(s.newHash, secret, s.verifier.Salt, s.verifier.Iterations, s.newHash().Size())
	if err != nil {
		t.Fatal(err)
	}
	return scramMAC(s.newHash, salted, "Client Key")
}

func checkFuzzedName(t *testing.T, name string) {
	t.Helper()
	if name == "" || len(name) > MaxNameBytes || strings.ContainsAny(name, "\x00\n") {
		t.Errorf("name %q taken", name)
	}
}

func checkFuzzedError(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00user\x00secret"))
	f.Add([]byte("user\x00user\x00secret"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		user, secret, err := parsePlain(msg)
		if err != nil {
			checkFuzzedError(t, err)
			return
		}
		checkFuzzedName(t, user)
		if m := string(msg); m != "\x00"+user+"\x00"+secret && m != user+"\x00"+user+"\x00"+secret {
			t.Errorf("%q read as %q, %q", msg, user, secret)
		}
	})
}

func FuzzScramFirst(f *testing.F) {
	f.Add([]byte("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"))
	f.Add([]byte("y,a=a=2Cb,n=a=2Cb,r=x"))
	escape := strings.NewReplacer("=", "=3D", ",", "=2C")
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := parseClientFirst(msg)
		if err != nil {
			checkFuzzedError(t, err)
			return
		}
		checkFuzzedName(t, c.user)
		if want := "n=" + escape.Replace(c.user) + ",r=" + c.nonce; c.bare != want || c.gs2+c.bare != string(msg) {
			t.Errorf("%q read as %+v", msg, c)
		}
	})
}

func FuzzScramFinal(f *testing.F) {
	f.Add([]byte("c=biws,r=abc,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := parseClientFinal(msg)
		if err != nil {
			checkFuzzedError(t, err)
		} else if !strings.HasPrefix(string(msg), c.withoutProof+",p=") || !strings.HasSuffix(c.withoutProof, ",r="+c.nonce) {
			t.Errorf("%q read as %+v", msg, c)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add([]byte("n,,\x01auth=Bearer abc.def.ghi\x01\x01"))
	f.Add([]byte("n,a=u,\x01host=h\x01auth=bearer x\x01port=1\x01\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		token, authzid, err := parseBearer(msg)
		if err != nil {
			checkFuzzedError(t, err)
			return
		}
		if token == "" || !strings.Contains(string(msg), token) || strings.ContainsAny(token, "\x00\x01") {
			t.Errorf("token %q of %q", token, msg)
		}
		if authzid != "" {
			checkFuzzedName(t, authzid)
		}
	})
}

// FuzzToken feeds tokens nobody signed: none may pass.
func FuzzToken(f *testing.F) {
	p := newProvider(f, "https://idp")
	v := p.validator(f, nil)
	f.Add(p.sign(f, p.stranger, "RS256", "r1", p.claims(nil)))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		id, err := v.Validate(ctx, token)
		if err == nil {
			t.Errorf("%q proved %+v", token, id)
		}
		if err != nil && (!errors.Is(err, ErrAuthentication) || id != Identity{}) {
			t.Errorf("got %+v, %v", id, err)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add(newProvider(f, "https://idp").jwks(f))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeySet(data)
		if err == nil && len(keys) == 0 || len(keys) > MaxKeys {
			t.Errorf("got %d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if !k.IsPublic() || !k.Valid() {
				t.Errorf("key %q is not public", k.KeyID)
			}
		}
	})
}
