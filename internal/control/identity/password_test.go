package identity

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"sluice/internal/fault"
)

var cheap = cost{memoryKiB: 8, passes: 1, lanes: 1}

func TestCheckPassword(t *testing.T) {
	for _, c := range []struct{ login, password, want string }{
		{"ada", "", "fewer than 12"},
		{"ada", "elevenchars", "fewer than 12"},
		{"ada", "ünïcödéäßøåç", ""}, // twelve characters, more bytes
		{"ada", "elf zeichen", "fewer than 12"},
		{"ada", "walnut gravel tonic", ""},
		{"ada", "nine crisp herons left", ""},
		{"ada", "Xk7#pQ2vLm9z", ""},
		{"ada", strings.Repeat("long ago a wren ", 16), ""}, // 256 bytes
		{"ada", strings.Repeat("long ago a wren ", 16) + "!", "more than 256"},
		{"ada", "caf\xe9 walnut gravel", "UTF-8"},
		{"ada", "123456789012", "guess"},
		{"ada", "aaaaaaaaaaaaaaaaaaaaaaaa", "guess"},
		{"ada", "abcabcabcabcabc", "guess"},
		{"ada", "xkcdxkcdxkcdxkcd", "guess"},
		{"ada", "qwertyuiop[]12", "guess"},
		{"ada", "1qaz2wsx3edc", "guess"},
		{"ada", "password1234", "guess"},
		{"ada", "P@ssw0rd!2026", "guess"},
		{"ada", "Summer2026!!", "guess"},
		{"ada", "welcomewelcome1", "guess"},
		{"ada", "Sluice-Admin-2026", ""}, // four dashes and words: eight
		{"ada", "sluiceadmin2026", "guess"},
		{"ada.lovelace", "lovelace2026!", "guess"},
		{"ada.lovelace", "AdaLovelace1815", "guess"},
		{"grace.hopper", "AdaLovelace1815", ""},
		{"ada", "correcthorsebatterystaple", "guess"},
		{"ada", "            ", "guess"},
		{"ada", "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd", "guess"},
	} {
		err := CheckPassword(c.login, c.password)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.password, err)
		case c.want != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v, want %q", c.password, err, c.want)
		}
		if err != nil && len(c.password) > 4 && strings.TrimSpace(c.password) != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

func FuzzCheckPassword(f *testing.F) {
	for _, s := range []string{"password1234", "qwertyuiop12", "ä", "\xff", "1999", "20", "aaa", strings.Repeat("x", 256)} {
		f.Add("ada", s)
	}
	f.Fuzz(func(t *testing.T, login, password string) {
		if len(password) > 2*MaxPasswordBytes || len(login) > maxName {
			t.Skip()
		}
		if err := CheckPassword(login, password); err == nil && len(password) < MinPasswordCharacters {
			t.Errorf("%q is accepted", password)
		}
	})
}

func TestHashes(t *testing.T) {
	h := hashPassword(cheap, "walnut gravel tonic")
	if !strings.HasPrefix(h, "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Errorf("got %s", h)
	}
	if h == hashPassword(cheap, "walnut gravel tonic") {
		t.Error("two hashes have the same salt")
	}
	for password, want := range map[string]bool{"walnut gravel tonic": true, "walnut gravel toniC": false, "": false} {
		if got, _ := verifyPassword(h, password); got != want {
			t.Errorf("%q: got %v", password, got)
		}
	}
	// As argon2's own program writes one: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24
	if right, _ := verifyPassword("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"+base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("password"), []byte("somesalt"), 2, 65536, 1, 24)), "password"); !right {
		t.Error("a hash in the common form is not verified")
	}
	for name, bad := range map[string]string{
		"empty": "", "another function": strings.Replace(h, "argon2id", "argon2i", 1), "another version": strings.Replace(h, "v=19", "v=16", 1),
		"a gigabyte": strings.Replace(h, "m=8", "m=1048576", 1), "no memory": strings.Replace(h, "m=8", "m=0", 1), "no passes": strings.Replace(h, "t=1", "t=0", 1),
		"many passes": strings.Replace(h, "t=1", "t=1000000", 1), "more than the numbers": strings.Replace(h, "p=1", "p=1,x=2", 1),
		"no key": h[:strings.LastIndexByte(h, '$')+1], "cut": h[:len(h)-20] + "==", "no salt": "$argon2id$v=19$m=8,t=1,p=1$$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if right, readable := verifyPassword(bad, "walnut gravel tonic"); right || readable {
			t.Errorf("%s: right %v, readable %v", name, right, readable)
		}
	}
	if c := defaultCost; c.memoryKiB < 19<<10 || c.passes < 2 || c.lanes < 1 {
		t.Errorf("a hash costs %+v, less than 19 MiB and two passes", c)
	}
	if right, _ := verifyPassword(hashPassword(defaultCost, "x"), "x"); !right {
		t.Error("what we write we do not verify")
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(hashPassword(cheap, "x"))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, salt, key, ok := parseHash(s)
		if ok && (c.memoryKiB > 256<<10 || c.passes > 16 || len(salt) > 64 || len(key) > 64) {
			t.Errorf("%q would cost %+v", s, c)
		}
	})
}

// TestGate holds two callers at once, lets some wait, and turns the others away.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 3)
		var inside, most, done, refused atomic.Int32
		for range 10 {
			go func() {
				err := g.do(t.Context(), func() {
					most.Store(max(most.Load(), inside.Add(1)))
					time.Sleep(time.Second)
					inside.Add(-1)
				})
				switch {
				case err == nil:
					done.Add(1)
				case fault.KindOf(err) == fault.Unavailable:
					refused.Add(1)
				default:
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if refused.Load() != 5 {
			t.Errorf("%d were turned away while 2 are in and 3 wait, want 5", refused.Load())
		}
		time.Sleep(time.Minute)
		if most.Load() != 2 || done.Load() != 5 {
			t.Errorf("%d at once, %d done, want 2 and 5", most.Load(), done.Load())
		}
		// Who waits and goes leaves the place to others.
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go g.do(t.Context(), func() { time.Sleep(time.Minute) })
		}
		synctest.Wait()
		gone := make(chan error)
		for range 3 {
			go func() { gone <- g.do(ctx, func() { t.Error("worked for somebody who has gone") }) }()
		}
		synctest.Wait()
		cancel()
		for range 3 {
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if err := g.do(t.Context(), func() {}); err != nil {
			t.Errorf("nobody waits any more, and yet: %v", err)
		}
	})
}

// TestHOTP and TestTOTP are the vectors of RFC 4226, appendix D, and RFC 6238,
// appendix B, of which we write the last six digits.
func TestHOTP(t *testing.T) {
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp([]byte("12345678901234567890"), int64(i)); got != want {
			t.Errorf("%d: got %s, want %s", i, got, want)
		}
	}
}

func TestTOTP(t *testing.T) {
	key := []byte("12345678901234567890")
	for at, want := range map[int64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		if step, ok := totpStepOf(key, want[2:], time.Unix(at, 0), 0); !ok || step != at/30 {
			t.Errorf("%d: got %d, %v", at, step, ok)
		}
	}
	now := time.Unix(1234567890, 0)
	step := now.Unix() / 30
	for _, c := range []struct {
		name string
		step int64 // of the code
		last int64
		ok   bool
	}{
		{"now", step, 0, true}, {"a step late", step - 1, 0, true}, {"a step early", step + 1, 0, true},
		{"two steps late", step - 2, 0, false}, {"two steps early", step + 2, 0, false},
		{"used", step, step, false}, {"older than the one used", step - 1, step, false}, {"newer than the one used", step + 1, step, true},
	} {
		got, ok := totpStepOf(key, hotp(key, c.step), now, c.last)
		if ok != c.ok || ok && got != c.step {
			t.Errorf("%s: got %d, %v", c.name, got, ok)
		}
	}
	for _, code := range []string{"", "89005924", "5924", "00592４", "0059241"} {
		if _, ok := totpStepOf(key, code, now, 0); ok {
			t.Errorf("%q counts", code)
		}
	}
	got := totpURI("Sluice", "ada+x@example.com", key)
	if want := "otpauth://totp/Sluice:ada+x@example.com?issuer=Sluice&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRecoveryCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range newRecoveryCodes() {
		if len(c) != 19 || seen[c] {
			t.Errorf("%q is one too many or of another form", c)
		}
		seen[c] = true
		if typed := " " + strings.ToUpper(strings.ReplaceAll(c, "-", " ")) + "\n"; plainCode(typed) != plainCode(c) {
			t.Errorf("%q typed as %q is another", c, typed)
		}
	}
	if len(seen) != recoveryCodes {
		t.Errorf("there are %d", len(seen))
	}
}

// TestDelay adds up what somebody can try with one name in an hour.
func TestDelay(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 10: 32 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 1 << 30: 15 * time.Minute} {
		if got := delay(n); got != want {
			t.Errorf("after %d: %s, want %s", n, got, want)
		}
	}
	tried, passed := 0, time.Duration(0)
	for passed <= time.Hour {
		tried++
		passed += delay(tried)
	}
	if tried > 20 {
		t.Errorf("%d attempts in an hour, want 20 at most", tried)
	}
}

func TestPace(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name string
		from func(i int) netip.Addr
		want int // of 300 at once
	}{
		{"one address", func(int) netip.Addr { return addr("192.0.2.1") }, 30},
		{"one address, also as IPv6", func(i int) netip.Addr {
			return map[bool]netip.Addr{true: addr("192.0.2.1"), false: addr("::ffff:192.0.2.1")}[i%2 == 0]
		}, 30},
		{"one network of IPv6", func(i int) netip.Addr { return addr(fmt.Sprintf("2001:db8::%x:1", i)) }, 30},
		{"no address", func(int) netip.Addr { return netip.Addr{} }, 30},
		{"two addresses", func(i int) netip.Addr { return addr(fmt.Sprintf("192.0.2.%d", i%2)) }, 60},
		{"each its own", func(i int) netip.Addr { return addr(fmt.Sprintf("198.51.%d.%d", i/256, i%256)) }, 200},
	} {
		p, taken := newPace(now), 0
		for i := range 300 {
			err := p.take(c.from(i), now)
			if err == nil {
				taken++
				continue
			}
			var soon *TooSoonError
			if fault.KindOf(err) != fault.Limited || !errors.As(err, &soon) || soon.Wait <= 0 || soon.Wait > time.Minute {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		if taken != c.want {
			t.Errorf("%s: %d of 300 at once, want %d", c.name, taken, c.want)
		}
		if err := p.take(c.from(0), now.Add(2*time.Second)); err != nil {
			t.Errorf("%s: two seconds later: %v", c.name, err)
		}
	}
	// Addresses are forgotten, and those there is no room for share what one has.
	p := newPace(now)
	for i := range 2 * maxAddresses {
		p.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now.Add(time.Duration(i)*time.Microsecond))
	}
	if len(p.byAddress.byKey) > maxAddresses {
		t.Errorf("%d addresses are kept", len(p.byAddress.byKey))
	}
	p.take(addr("192.0.2.1"), now.Add(time.Hour))
	if len(p.byAddress.byKey) > 1 {
		t.Errorf("%d addresses are kept an hour later", len(p.byAddress.byKey))
	}
}

func TestBase62(t *testing.T) {
	for _, c := range []struct {
		hex   string
		chars int
		want  string
	}{{"00", 3, "000"}, {"3d", 2, "0z"}, {"3e", 2, "10"}, {"ffffffffffffffff", tokenIDChars, "LygHa16AHYF"}} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := base62(b, c.chars); got != c.want {
			t.Errorf("%s: got %s, want %s", c.hex, got, c.want)
		}
	}
	// Nothing is cut off at the top.
	if got := base62([]byte(strings.Repeat("\xff", 32)), tokenKeyChars); got[0] == '0' {
		t.Errorf("got %s", got)
	}
}

func FuzzTokenID(f *testing.F) {
	_, token := newToken()
	f.Add(token)
	f.Add(TokenPrefix)
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := tokenID(s); ok && (len(id) != tokenIDChars || !strings.HasPrefix(s, TokenPrefix+id)) {
			t.Errorf("%q has the id %q", s, id)
		}
	})
}

// Whoever guesses as one client keeps out that one, and many guesses from an address
// keep out the address; what is remembered of names that nobody has is bounded.
func TestGuessesAreCountedByClientAndAddress(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	proxy, elsewhere := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	g := NewGuesses(now)
	wants := func(what string, from netip.Addr, client string, want bool) {
		t.Helper()
		if got := g.Spent(from, client, now); got != want {
			t.Errorf("%s: spent %v, want %v", what, got, want)
		}
	}
	for range guessesOfClient {
		wants("guessed", proxy, "guessed", false)
		g.Count(proxy, "guessed", now)
	}
	wants("guessed too often", proxy, "guessed", true)
	wants("another behind the proxy", proxy, "billing-1", false)
	wants("the same from elsewhere", elsewhere, "guessed", false)
	for i := range guessesOfAddress - guessesOfClient {
		wants("names that nobody has", proxy, "billing-1", false)
		g.Count(proxy, fmt.Sprint("nobody", i), now)
	}
	wants("too many from the address", proxy, "billing-1", true)
	wants("from elsewhere", elsewhere, "billing-1", false)
	for i := range 3 * maxAddresses {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.Count(from, fmt.Sprint("nobody", i), now)
	}
	if a, c := len(g.byAddress.byKey), len(g.byClient.byKey); a > maxAddresses || c > maxAddresses {
		t.Errorf("%d addresses and %d clients are kept", a, c)
	}
	wants("an address that there was no room for", netip.MustParseAddr("10.255.0.1"), "billing-1", true)
	now = now.Add(time.Minute)
	wants("a minute later", proxy, "guessed", false)
	wants("a minute later, without room", netip.MustParseAddr("10.255.0.1"), "billing-1", false)
}
