package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// place is where keys are kept.
type place struct {
	saved  string
	writes int
	err    error
}

func (p *place) config(now *time.Time, sealing byte) Config {
	key := make([]byte, 32)
	key[0] = sealing
	return Config{
		Sealing: key, Now: func() time.Time { return *now },
		Load: func(context.Context) (string, error) { return p.saved, p.err },
		Update: func(_ context.Context, f func(string) (string, error)) error {
			next, err := f(p.saved)
			if err == nil && next != p.saved {
				p.saved, p.writes = next, p.writes+1
			}
			return err
		},
	}
}

func issuer(t *testing.T, c Config) *Issuer {
	t.Helper()
	i, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// verify returns the claims of a token whose signature a key set knows.
func verify(t *testing.T, i *Issuer, text string) (jwt.Claims, map[string]any, error) {
	t.Helper()
	set, err := i.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(set), `"d"`) {
		t.Fatal("the key set has a private key")
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(set, &keys); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{Algorithm})
	if err != nil {
		t.Fatal(err)
	}
	var c jwt.Claims
	var more map[string]any
	return c, more, parsed.Claims(keys, &c, &more)
}

func TestATokenSaysForWhomItIs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	i := issuer(t, new(place).config(&now, 1))
	text, life, err := i.Issue(Claims{Environment: "prod", ClientID: "acme-1", Secret: 1772366400000000})
	if err != nil || life != Life {
		t.Fatalf("%v, %v", life, err)
	}
	c, _, err := verify(t, i, text)
	if err != nil || c.Issuer != Name || c.Subject != "acme-1" || len(c.Audience) != 1 || c.Audience[0] != "prod" || !c.Expiry.Time().Equal(now.Add(Life)) || c.ID == "" {
		t.Errorf("%+v, %v", c, err)
	}
	var raw struct {
		Secret json.Number `json:"sluice_secret"`
		Client string      `json:"client_id"`
	}
	parsed, _ := jwt.ParseSigned(text, []jose.SignatureAlgorithm{Algorithm})
	if err := parsed.UnsafeClaimsWithoutVerification(&raw); err != nil || raw.Secret != "1772366400000000" || raw.Client != "acme-1" {
		t.Errorf("%+v, %v", raw, err)
	}
	if parsed.Headers[0].ExtraHeaders[jose.HeaderType] != "at+jwt" || parsed.Headers[0].KeyID == "" {
		t.Errorf("header %+v", parsed.Headers[0])
	}
	if _, life, _ := i.Issue(Claims{Environment: "prod", ClientID: "acme-1", NotAfter: now.Add(90 * time.Second)}); life != 90*time.Second {
		t.Errorf("a token of a credential that ends is good for %v", life)
	}
}

// Every key is known to all processes before it signs, and as long as a token of it is
// good, over many days and whenever they look.
func TestKeysChangeWithTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end := now.Add(3 * 24 * time.Hour)
	var p place
	a, b := issuer(t, p.config(&now, 1)), issuer(t, p.config(&now, 1))
	type given struct {
		text string
		ends time.Time
	}
	var good []given
	signers := map[string]bool{}
	for n := 0; now.Before(end); n++ {
		one, other := a, b
		if n%2 == 1 {
			one, other = b, a
		}
		if n%3 == 0 { // the other looks less often
			if err := one.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n%5 == 0 {
			if err := other.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		text, life, err := one.Issue(Claims{Environment: "prod", ClientID: "acme-1"})
		if err != nil {
			t.Fatal(err)
		}
		parsed, _ := jwt.ParseSigned(text, []jose.SignatureAlgorithm{Algorithm})
		signers[parsed.Headers[0].KeyID] = true
		good = append(good, given{text, now.Add(life)})
		for len(good) > 0 && !now.Before(good[0].ends) {
			good = good[1:]
		}
		for _, g := range good[:1] {
			for who, i := range map[string]*Issuer{"one": one, "the other": other} {
				if _, _, err := verify(t, i, g.text); err != nil {
					t.Fatalf("%v: %s does not know the key of a token that is good: %v", now, who, err)
				}
			}
		}
		now = now.Add(100 * time.Second)
	}
	if len(signers) < 3 || len(signers) > 5 {
		t.Errorf("%d keys signed in three days", len(signers))
	}
	if len(a.keys) > 3 {
		t.Errorf("%d keys are kept", len(a.keys))
	}
	if p.writes > 8 {
		t.Errorf("keys were written %d times", p.writes)
	}
	// After a long stop the next key is made, and the old one signs until it is known.
	now = now.Add(30 * 24 * time.Hour)
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, _, err := a.Issue(Claims{Environment: "prod", ClientID: "acme-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := verify(t, b, text); err != nil {
		t.Errorf("a process that has not looked yet: %v", err)
	}
}

// A clock that stood years ahead has made a key; once it is right again, keys change as
// before, and every token is known for as long as it is good.
func TestKeysOfAClockThatStoodAheadMakeRoom(t *testing.T) {
	right := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	wrong := right.AddDate(5, 0, 0)
	for name, clocks := range map[string][]time.Time{
		"the only key":                  {wrong},
		"with one of before":            {right.Add(-time.Hour), wrong},
		"two of them":                   {wrong, wrong.Add(keyLife)},
		"with one that was about to go": {right.Add(-keyLife), wrong},
	} {
		t.Run(name, func(t *testing.T) {
			var p place
			now := right
			for _, clock := range clocks {
				now = clock
				issuer(t, p.config(&now, 1))
			}
			now = right
			i := issuer(t, p.config(&now, 1))
			if p.writes == 0 {
				t.Fatal("nothing was saved")
			}
			var before string
			for ; now.Before(right.Add(2 * keyLife)); now = now.Add(lead / 2) {
				if err := i.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if before != "" {
					if _, _, err := verify(t, i, before); err != nil {
						t.Fatalf("%v: a token of %v before is not known: %v", now, lead/2, err)
					}
				}
				var err error
				if before, _, err = i.Issue(Claims{Environment: "prod", ClientID: "acme-1"}); err != nil {
					t.Fatal(err)
				}
			}
			for _, k := range i.keys {
				if k.Created.After(now) {
					t.Errorf("a key made at %v is still there", k.Created)
				}
			}
			if len(i.keys) > 3 || i.keys[len(i.keys)-1].Created.Before(right.Add(keyLife-lead)) {
				t.Errorf("%d keys, the newest of %v", len(i.keys), i.keys[len(i.keys)-1].Created)
			}
			if p.writes > len(clocks)+6 {
				t.Errorf("keys were written %d times", p.writes)
			}
		})
	}
}

func TestKeysAreSealed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var p place
	issuer(t, p.config(&now, 1))
	if p.saved == "" || strings.Contains(p.saved, "kty") {
		t.Errorf("saved %q", p.saved)
	}
	for name, c := range map[string]Config{"another seed": p.config(&now, 2), "damaged": (&place{saved: p.saved[:len(p.saved)-4] + "AAA="}).config(&now, 1), "no base64": (&place{saved: "!"}).config(&now, 1)} {
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), "keys of the token endpoint") {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := errors.New("the database is gone")
	if _, err := New(t.Context(), (&place{err: gone}).config(&now, 1)); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := New(t.Context(), Config{Sealing: []byte("short")}); err == nil {
		t.Error(fmt.Errorf("a short key: %w", err))
	}
}
