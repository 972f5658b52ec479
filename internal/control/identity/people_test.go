package identity_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

const (
	rootPassword = "canary walnut gravel"
	adaPassword  = "canary nine crisp herons"
	newPassword  = "canary another wren"
)

// house is accounts with a platform-admin, root, and ada, a publisher of team shop of
// acme.
type house struct {
	t      *testing.T
	store  *memory
	people *People
	dir    *Directory
	log    bytes.Buffer
	// secrets are what nobody may find anywhere, said those whom they were said to.
	secrets []string
	said    strings.Builder
	root    Actor
}

var here = From{Address: netip.MustParseAddr("192.0.2.7"), Agent: "a browser", Request: "req-1"}

// visit runs a story in a bubble with a clock of its own, and looks for secrets in all
// that is left of it.
func visit(t *testing.T, story func(h *house), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemory()}
		h.members(map[string][]string{"ada": {"publisher"}}, nil)
		config := DefaultConfig()
		config.Key = bytes.Repeat([]byte{7}, 32)
		config.Providers = map[string][]string{"corp": {"acme"}}
		for _, c := range change {
			c(&config)
		}
		people, err := NewCheap(config, Deps{
			Store: h.store, Directory: func() *Directory { return h.dir }, Now: time.Now,
			Log: slog.New(slog.NewJSONHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		h.people = people
		h.secrets = []string{"canary"}
		token, ends, err := people.FirstAdmin(h.t.Context())
		h.ok("make a token", err)
		if got := time.Until(ends); got != 24*time.Hour {
			t.Errorf("the first token lasts %s", got)
		}
		h.ok("claim", people.ClaimPlatform(h.t.Context(), here, h.secret(token), "Root", rootPassword))
		h.root, _ = h.in("root", rootPassword)
		invitation, _, err := people.Invite(h.t.Context(), h.root, here, "ada", "Ada", "ada@example.com")
		h.ok("invite", err)
		h.ok("set a password", people.SetPassword(h.t.Context(), here, h.secret(invitation), adaPassword))
		story(h)
		h.searched()
	})
}

// members gives roles in team shop of acme.
func (h *house) members(members, groups map[string][]string) {
	o := &resource.Organisation{Metadata: resource.Metadata{Name: "acme"}}
	d := &resource.Team{Metadata: resource.Metadata{Name: "shop"}, Spec: resource.TeamSpec{Organisation: "acme", Members: members, Groups: groups}}
	h.dir = NewDirectory([]*resource.Organisation{o}, []*resource.Team{d})
}

// secret notes a secret.
func (h *house) secret(s Secret) string {
	h.t.Helper()
	if s.Reveal() == "" {
		h.t.Fatal("there is no secret")
	}
	h.secrets = append(h.secrets, s.Reveal())
	fmt.Fprintf(&h.said, "%s %v %+v %#v %q %x\n", s, s, s, s, s, s)
	return s.Reveal()
}

// ok fails the test on an error.
func (h *house) ok(what string, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
}

// refused wants a fault of a kind, with words in its message.
func (h *house) refused(what string, err error, kind fault.Kind, words string) {
	h.t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(fault.MessageOf(err), words) {
		h.t.Errorf("%s: got %s, %v, want %s with %q", what, fault.KindOf(err), err, kind, words)
	}
	fmt.Fprintf(&h.said, "%v %+v %s\n", err, err, fault.MessageOf(err))
}

// in logs somebody in, and returns who that is.
func (h *house) in(login, password string, code ...string) (Actor, string) {
	h.t.Helper()
	secret, l, err := h.people.LogIn(h.t.Context(), here, login, password, strings.Join(code, ""))
	h.ok("log in", err)
	fmt.Fprintf(&h.said, "%+v\n", *l)
	actor, _, err := h.people.Who(h.t.Context(), h.secret(secret))
	h.ok("who", err)
	return actor, secret.Reveal()
}

func (h *house) tryIn(login, password, code string) error {
	_, _, err := h.people.LogIn(h.t.Context(), here, login, password, code)
	return err
}

func (h *house) gone(what, secret string) {
	h.t.Helper()
	_, _, err := h.people.Who(h.t.Context(), secret)
	h.refused(what, err, fault.Denied, "log in again")
}

// searched looks for secrets in the store, in the log, and in what was said.
func (h *house) searched() {
	h.t.Helper()
	for _, text := range []string{h.store.dump(), h.log.String(), h.said.String()} {
		for _, s := range h.secrets {
			if strings.Contains(text, s) || strings.Contains(text, fmt.Sprintf("%x", s)) {
				h.t.Errorf("%q is in\n%s", s, text)
			}
		}
	}
	for _, p := range h.store.state.persons {
		if text := fmt.Sprintf("%v %+v %#v %s", p, *p, p.Secrets, p.Secrets); strings.Contains(text, "argon2id") {
			h.t.Errorf("a hash is printed: %s", text)
		}
	}
}

// did wants the last audit rows to be these, as "actor action name result".
func (h *house) did(want ...string) {
	h.t.Helper()
	rows := h.store.state.rows
	var got []string
	for _, r := range rows[max(0, len(rows)-len(want)):] {
		got = append(got, fmt.Sprintf("%s: %s %s %s", r.Actor, r.Action, r.Name, r.Result))
		if r.Kind != "Person" || r.Address != "192.0.2.7" || r.Request != "req-1" {
			h.t.Errorf("row %+v does not say where it came from", r)
		}
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("audit rows:\ngot  %q\nwant %q", got, want)
	}
}

func TestFirstAdmin(t *testing.T) {
	visit(t, func(h *house) {
		h.did("system: make first platform-admin root ok", "person root: login root ok", "person root: invite ada ok", "person ada: set password ada ok")
		token, _, err := h.people.FirstAdmin(h.t.Context())
		if err != nil || token.Reveal() != "" {
			t.Errorf("a second first administrator: %v, %v", token, err)
		}
		h.refused("the token again", h.people.ClaimPlatform(h.t.Context(), here, h.secrets[1], "eve", newPassword), fault.Denied, "was used")
	})
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemory()}
		config := DefaultConfig()
		config.Key = make([]byte, 32)
		people, err := NewCheap(config, Deps{Store: h.store, Directory: func() *Directory { return nil }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		h.ok("new", err)
		old, _, err := people.FirstAdmin(h.t.Context())
		h.ok("first", err)
		time.Sleep(24 * time.Hour)
		claim := func(token Secret, login, password string) error {
			return people.ClaimPlatform(h.t.Context(), here, token.Reveal(), login, password)
		}
		h.refused("too late", claim(old, "root", rootPassword), fault.Denied, "too old")
		token, _, err := people.FirstAdmin(h.t.Context())
		h.ok("first", err)
		other, _, err := people.FirstAdmin(h.t.Context())
		h.ok("first", err)
		h.refused("no token", claim(Secret{}, "root", rootPassword), fault.Denied, "does not exist")
		h.refused("a weak password", claim(token, "root", "root-password"), fault.Invalid, "guess")
		h.refused("no name", claim(token, "", rootPassword), fault.Invalid, "login name")
		h.refused("a name of a provider", claim(token, "corp:1", rootPassword), fault.Invalid, "login name")
		h.ok("put", h.store.Write(h.t.Context(), func(w Writer) error { return w.PutPerson(&Person{Login: "there", PlatformAdmin: true}) }))
		h.refused("somebody came by another way", claim(token, "root", rootPassword), fault.Conflict, "already")
		h.ok("remove", h.store.Write(h.t.Context(), func(w Writer) error { return w.RemovePerson("there") }))
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = claim([]Secret{token, other}[i%2], fmt.Sprintf("root%d", i), rootPassword) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			}
		}
		if admins, _ := h.store.state.PlatformAdmins(); won != 1 || len(admins) != 1 {
			t.Errorf("%d of 4 claims won, and %v are platform-admins: %v", won, admins, errs)
		}
		h.refused("the other token", claim(other, "eve", rootPassword), fault.Denied, "was used")
	})
}

// TestWrongLogins asks for the same answer, and the same work, whatever is wrong.
func TestWrongLogins(t *testing.T) {
	visit(t, func(h *house) {
		_, _, err := h.people.Invite(h.t.Context(), h.root, here, "new", "", "")
		h.ok("invite", err)
		_, _, err = h.people.Invite(h.t.Context(), h.root, here, "bob", "", "")
		h.ok("invite", err)
		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "bob"))
		_, _, err = h.people.LogInExternal(h.t.Context(), here, External{Provider: "corp", Issuer: "https://idp", Subject: "1", Name: "1"})
		h.ok("external", err)
		var first error
		for _, c := range []struct{ name, login, password string }{
			{"a wrong password", "ada", "canary wrong password"}, {"nobody of that name", "nobody", adaPassword}, {"no password yet", "new", ""},
			{"disabled", "bob", adaPassword}, {"a provider's", "corp:1", ""}, {"no name", "", adaPassword}, {"a password for a name", "canary as a name", ""},
		} {
			before := h.people.Hashes()
			err := h.tryIn(c.login, c.password, "")
			h.refused(c.name, err, fault.Denied, "login name, password or code is wrong")
			if first == nil {
				first = err
			}
			if err.Error() != first.Error() {
				t.Errorf("%s is told apart: %v, %v", c.name, err, first)
			}
			if n := h.people.Hashes() - before; n != 1 {
				t.Errorf("%s: %d hashes, want 1", c.name, n)
			}
		}
		h.did("nobody: login ada denied", "nobody: login  denied", "nobody: login new denied", "nobody: login bob denied", "nobody: login corp:1 denied", "nobody: login  denied", "nobody: login  denied")
		before := h.people.Hashes()
		h.refused("a huge password", h.tryIn("ada", strings.Repeat("x", 1<<20), ""), fault.Denied, "is wrong")
		h.refused("a huge name", h.tryIn(strings.Repeat("x", 1<<20), "", ""), fault.Denied, "is wrong")
		if n := h.people.Hashes() - before; n != 0 {
			t.Errorf("%d hashes for what can be nobody's", n)
		}
		h.in(" ADA ", adaPassword) // as people type it
	})
}

func TestDelays(t *testing.T) {
	for _, login := range []string{"ada", "nobody"} {
		visit(t, func(h *house) {
			_, open := h.in("ada", adaPassword)
			time.Sleep(time.Minute)
			for i := range 5 {
				h.refused(fmt.Sprint("wrong, ", i), h.tryIn(login, "canary wrong password", ""), fault.Denied, "is wrong")
			}
			before := h.people.Hashes()
			err := h.tryIn(login, adaPassword, "")
			h.refused("too soon, though right", err, fault.Limited, "wait 1 s")
			var soon *TooSoonError
			if !errors.As(err, &soon) || soon.Wait > time.Second {
				t.Errorf("got %v", err)
			}
			for n := 6; n < 20; n++ {
				time.Sleep(soon.Wait)
				h.refused("wrong", h.tryIn(login, "canary wrong password", ""), fault.Denied, "is wrong")
				if err := h.tryIn(login, adaPassword, ""); !errors.As(err, &soon) || soon.Wait != min(15*time.Minute, time.Second<<(n-5)) {
					t.Fatalf("after %d failures: %v", n, err)
				}
			}
			if n := h.people.Hashes() - before; n != 14 {
				t.Errorf("%d hashes for 14 attempts that were let through", n)
			}
			if _, _, err := h.people.Who(h.t.Context(), open); err == nil {
				t.Error("a login that rests for hours is still there")
			}
			time.Sleep(15 * time.Minute)
			if login == "ada" {
				h.in("ada", adaPassword)
				for i := range 5 { // all is forgotten
					h.refused(fmt.Sprint("wrong again, ", i), h.tryIn(login, "canary wrong password", ""), fault.Denied, "is wrong")
				}
			}
			time.Sleep(25 * time.Hour)
			for range 5 {
				h.refused("wrong, the next day", h.tryIn(login, "canary wrong password", ""), fault.Denied, "is wrong")
			}
		})
	}
	t.Run("who is in stays in", func(t *testing.T) {
		visit(t, func(h *house) {
			_, open := h.in("ada", adaPassword)
			for range 20 {
				_ = h.tryIn("ada", "canary wrong password", "")
			}
			if _, _, err := h.people.Who(h.t.Context(), open); err != nil {
				t.Errorf("somebody else's failures end a login: %v", err)
			}
			h.refused("nobody else comes in", h.tryIn("ada", adaPassword, ""), fault.Limited, "for this name")
		})
	})
	t.Run("side by side", func(t *testing.T) {
		visit(t, func(h *house) {
			before := h.people.Hashes()
			var wg sync.WaitGroup
			for i := range 100 {
				from := here
				from.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
				wg.Go(func() {
					_, _, err := h.people.LogIn(h.t.Context(), from, "ada", "canary wrong password", "")
					if kind := fault.KindOf(err); kind != fault.Denied && kind != fault.Limited {
						t.Errorf("got %v", err)
					}
				})
			}
			wg.Wait()
			if n := h.people.Hashes() - before; n != 5 {
				t.Errorf("%d of 100 at once were tried, want 5", n)
			}
		})
	})
	t.Run("an address", func(t *testing.T) {
		visit(t, func(h *house) {
			var err error
			tried := 0
			for ; fault.KindOf(err) != fault.Limited && tried < 100; tried++ {
				err = h.tryIn(fmt.Sprint("name", tried), "canary wrong password", "")
			}
			h.refused("too many", err, fault.Limited, "from your address")
			if tried > 31 {
				t.Errorf("%d tried", tried)
			}
			token, _, err := h.people.ResetPassword(h.t.Context(), h.root, here, "ada")
			h.ok("reset", err)
			h.refused("tokens are tried at the same pace", h.people.SetPassword(h.t.Context(), here, h.secret(token), newPassword), fault.Limited, "address")
		})
	})
	t.Run("nothing was found out", func(t *testing.T) {
		visit(t, func(h *house) {
			ctx, cancel := context.WithCancel(h.t.Context())
			cancel()
			for range 10 {
				if _, _, err := h.people.LogIn(ctx, here, "ada", adaPassword, ""); err == nil {
					t.Fatal("somebody who has gone is logged in")
				}
			}
			h.in("ada", adaPassword)
		})
	})
}

// authenticator shows codes.
func (h *house) authenticator(key string) func(offset int64) string {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
	h.ok("the key", err)
	return func(offset int64) string { return Code(raw, time.Now().Unix()/30+offset) }
}

func TestSecondFactor(t *testing.T) {
	visit(t, func(h *house) {
		ada, open := h.in("ada", adaPassword)
		_, _, err := h.people.StartSecondFactor(h.t.Context(), ada, here, "canary wrong password")
		h.refused("a wrong password", err, fault.Denied, "is wrong")
		_, err = h.people.ConfirmSecondFactor(h.t.Context(), ada, here, "123456")
		h.refused("nothing to confirm", err, fault.Conflict, "none has been set up")
		key, uri, err := h.people.StartSecondFactor(h.t.Context(), ada, here, adaPassword)
		h.ok("start", err)
		show := h.authenticator(h.secret(key))
		if want := "otpauth://totp/Sluice:ada?issuer=Sluice&secret=" + key.Reveal(); uri.Reveal() != want {
			t.Errorf("got %s, want %s", uri.Reveal(), want)
		}
		h.in("ada", adaPassword) // it does not count yet
		_, err = h.people.ConfirmSecondFactor(h.t.Context(), ada, here, "000000")
		h.refused("a wrong code", err, fault.Invalid, "clocks")
		recovery, err := h.people.ConfirmSecondFactor(h.t.Context(), ada, here, show(0))
		h.ok("confirm", err)
		if len(recovery) != 10 {
			t.Errorf("%d recovery codes", len(recovery))
		}
		for _, c := range recovery {
			h.secret(c)
			h.secrets = append(h.secrets, strings.ReplaceAll(c.Reveal(), "-", ""))
		}
		h.did("person ada: set up second factor ada ok")

		h.refused("the code that confirmed", h.tryIn("ada", adaPassword, show(0)), fault.Denied, "is wrong")
		time.Sleep(30 * time.Second)
		if err := h.tryIn("ada", adaPassword, ""); !errors.Is(err, ErrCodeNeeded) {
			t.Errorf("without a code: %v", err)
		}
		h.refused("without a code, and wrong", h.tryIn("ada", "canary wrong password", ""), fault.Denied, "is wrong")
		code := show(0)
		h.in("ada", adaPassword, code[:3]+" "+code[3:])
		h.refused("the same code again", h.tryIn("ada", adaPassword, code), fault.Denied, "is wrong")
		h.did("person ada: login ada ok", "nobody: login ada denied")
		time.Sleep(time.Minute)
		h.in("ada", adaPassword, show(-1))
		h.refused("an older one than the last", h.tryIn("ada", adaPassword, show(-1)), fault.Denied, "is wrong")
		h.in("ada", adaPassword, strings.ToUpper(recovery[3].Reveal()))
		h.refused("a recovery code again", h.tryIn("ada", adaPassword, recovery[3].Reveal()), fault.Denied, "is wrong")
		h.in("ada", adaPassword, recovery[4].Reveal())

		// Asking without a code costs nothing, and wrong codes are counted like passwords.
		time.Sleep(time.Minute)
		for range 20 {
			if err := h.tryIn("ada", adaPassword, ""); !errors.Is(err, ErrCodeNeeded) {
				t.Fatalf("without a code: %v", err)
			}
		}
		time.Sleep(time.Minute)
		for range 5 {
			h.refused("a wrong code", h.tryIn("ada", adaPassword, "000000"), fault.Denied, "is wrong")
		}
		h.refused("too many", h.tryIn("ada", adaPassword, show(0)), fault.Limited, "for this name")
		time.Sleep(time.Minute)

		time.Sleep(time.Minute)
		_, err = h.people.RenewRecoveryCodes(h.t.Context(), ada, here, adaPassword, "")
		h.refused("new recovery codes without a code", err, fault.Denied, "code")
		renewed, err := h.people.RenewRecoveryCodes(h.t.Context(), ada, here, adaPassword, show(0))
		h.ok("new recovery codes", err)
		h.did("person ada: renew recovery codes ada ok")
		h.refused("an old recovery code", h.tryIn("ada", adaPassword, recovery[5].Reveal()), fault.Denied, "is wrong")
		h.in("ada", adaPassword, h.secret(renewed[0]))
		time.Sleep(time.Minute)

		_, _, err = h.people.StartSecondFactor(h.t.Context(), ada, here, adaPassword)
		h.refused("a second one", err, fault.Conflict, "already")
		h.refused("removed without a code", h.people.RemoveSecondFactor(h.t.Context(), ada, here, adaPassword, ""), fault.Denied, "code")
		h.ok("remove", h.people.RemoveSecondFactor(h.t.Context(), ada, here, adaPassword, show(0)))
		h.in("ada", adaPassword)

		// Who lost it is helped by a platform-admin, and by nobody else.
		key, _, err = h.people.StartSecondFactor(h.t.Context(), ada, here, adaPassword)
		h.ok("start", err)
		_, err = h.people.ConfirmSecondFactor(h.t.Context(), ada, here, h.authenticator(h.secret(key))(0))
		h.ok("confirm", err)
		h.refused("by oneself", h.people.ClearSecondFactor(h.t.Context(), ada, here, "ada"), fault.Denied, "platform-admin")
		h.ok("clear", h.people.ClearSecondFactor(h.t.Context(), h.root, here, "ada"))
		h.gone("logins of before", open)
		time.Sleep(time.Minute)
		h.in("ada", adaPassword)
	})
	t.Run("another key of accounts", func(t *testing.T) {
		visit(t, func(h *house) {
			ada, _ := h.in("ada", adaPassword)
			key, _, err := h.people.StartSecondFactor(h.t.Context(), ada, here, adaPassword)
			h.ok("start", err)
			show := h.authenticator(h.secret(key))
			_, err = h.people.ConfirmSecondFactor(h.t.Context(), ada, here, show(0))
			h.ok("confirm", err)
			config := DefaultConfig()
			config.Key = bytes.Repeat([]byte{8}, 32)
			other, err := NewCheap(config, Deps{Store: h.store, Directory: func() *Directory { return nil }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			h.ok("new", err)
			time.Sleep(time.Minute)
			_, _, err = other.LogIn(h.t.Context(), here, "ada", adaPassword, show(0))
			h.refused("with another key", err, fault.Internal, "the log says what")
			if !strings.Contains(err.Error(), "the key of accounts is not the one") {
				t.Errorf("the log does not say what: %v", err)
			}
		})
	})
}

func TestLogins(t *testing.T) {
	visit(t, func(h *house) {
		ada, open := h.in("ada", adaPassword)
		shop := Owner{Organisation: "acme", Team: "shop"}
		if !ada.Has(Publisher, shop) || ada.PlatformAdmin() || ada.String() != "person ada" || !h.root.PlatformAdmin() {
			t.Errorf("ada is %v with %v, root %v", ada, ada.Memberships(), h.root)
		}
		// Roles are those of the moment.
		h.members(map[string][]string{"ada": {"approver"}}, nil)
		if again, _, _ := h.people.Who(h.t.Context(), open); again.Has(Publisher, shop) || !again.Has(Approver, shop) {
			t.Errorf("roles of before: %v", again.Memberships())
		}
		// A login lives while it is used, and rests no longer than an hour.
		for range 11 {
			time.Sleep(59 * time.Minute)
			if _, l, err := h.people.Who(h.t.Context(), open); err != nil || !l.Seen.Equal(time.Now()) {
				t.Fatalf("%v, %v", l, err)
			}
		}
		time.Sleep(time.Hour + 11*time.Minute)
		h.gone("after twelve hours", open)
		_, open = h.in("ada", adaPassword)
		time.Sleep(time.Hour)
		h.gone("after an hour of rest", open)

		ada, first := h.in("ada", adaPassword)
		time.Sleep(time.Second) // they are listed by when they began
		from := From{Address: netip.MustParseAddr("2001:db8::1"), Agent: "a phone" + strings.Repeat("!", 1000)}
		second, l, err := h.people.LogIn(h.t.Context(), from, "ada", adaPassword, "")
		h.ok("from a phone", err)
		h.secret(second)
		list, err := h.people.Logins(h.t.Context(), ada, "ada")
		h.ok("list", err)
		if len(list) != 2 || list[1].Address != "2001:db8::1" || !strings.HasPrefix(list[1].Agent, "a phone!") || len(list[1].Agent) > 256 || list[1].Method != "password" {
			t.Errorf("got %+v", list)
		}
		_, err = h.people.Logins(h.t.Context(), ada, "root")
		h.refused("somebody else's", err, fault.Denied, "platform-admin")
		list, err = h.people.Logins(h.t.Context(), h.root, "ada")
		if err != nil || len(list) != 2 {
			t.Errorf("for a platform-admin: %v, %v", list, err)
		}
		h.refused("not there", h.people.EndLogin(h.t.Context(), ada, here, "ada", "nothing"), fault.NotFound, "nothing")
		h.ok("end", h.people.EndLogin(h.t.Context(), ada, here, "ada", l.ID))
		h.gone("ended", second.Reveal())
		h.did("person ada: end login ada ok")
		if _, _, err := h.people.Who(h.t.Context(), first); err != nil {
			t.Errorf("the other one ended too: %v", err)
		}
		h.ok("log out", h.people.LogOut(h.t.Context(), here, first))
		h.ok("log out again", h.people.LogOut(h.t.Context(), here, first))
		h.gone("logged out", first)
		h.gone("made up", "made-up")
		_, first = h.in("ada", adaPassword)
		h.ok("end all", h.people.EndLogin(h.t.Context(), h.root, here, "ada", ""))
		h.gone("ended with all", first)

		// A store that is away for writing keeps nobody out.
		_, open = h.in("ada", adaPassword)
		time.Sleep(2 * time.Minute)
		h.store.fail = func() error { return errors.New("read-only") }
		if _, _, err := h.people.Who(h.t.Context(), open); err != nil || !strings.Contains(h.log.String(), "last used could not be written") {
			t.Errorf("%v, log %s", err, h.log.String())
		}
		h.store.fail = nil

		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "ada"))
		h.gone("disabled", open)
		h.ok("enable", h.people.Enable(h.t.Context(), h.root, here, "ada"))
		h.gone("enabled again, a login of before", open)

		time.Sleep(48 * time.Hour)
		h.ok("sweep", h.people.Sweep(h.t.Context()))
		if n := len(h.store.state.logins) + len(h.store.state.failures) + len(h.store.state.oneTimes); n != 0 {
			t.Errorf("%d things that ended are still there", n)
		}
	})
}

func TestPasswords(t *testing.T) {
	visit(t, func(h *house) {
		ada, mine := h.in("ada", adaPassword)
		_, other := h.in("ada", adaPassword)
		change := func(old, to string) error {
			return h.people.ChangePassword(h.t.Context(), ada, here, mine, old, "", to)
		}
		h.refused("the old one is wrong", change("canary wrong password", newPassword), fault.Denied, "is wrong")
		h.refused("the new one is weak", change(adaPassword, "password1234"), fault.Invalid, "guess")
		h.ok("change", change(adaPassword, newPassword))
		h.did("person ada: set password ada ok")
		if _, _, err := h.people.Who(h.t.Context(), mine); err != nil {
			t.Errorf("the login with which it was changed has ended: %v", err)
		}
		h.gone("the other login", other)
		h.refused("the old password", h.tryIn("ada", adaPassword, ""), fault.Denied, "is wrong")
		h.in("ada", newPassword)

		_, third := h.in("ada", newPassword)
		n, err := h.people.EndOtherLogins(h.t.Context(), ada, here, mine)
		h.ok("end other logins", err)
		h.did("person ada: end other logins ada ok")
		h.gone("another login", third)
		if _, l, err := h.people.Who(h.t.Context(), mine); err != nil || !l.IsCurrent(mine) || l.IsCurrent(third) || n != 2 {
			t.Errorf("%d others were ended, and the login that asked is %+v, %v", n, l, err)
		}

		_, _, err = h.people.ResetPassword(h.t.Context(), ada, here, "ada")
		h.refused("reset by oneself", err, fault.Denied, "platform-admin")
		_, _, err = h.people.ResetPassword(h.t.Context(), h.root, here, "nobody")
		h.refused("reset for nobody", err, fault.NotFound, "nobody")
		lost, _, err := h.people.ResetPassword(h.t.Context(), h.root, here, "ada")
		h.ok("reset", err)
		token, _, err := h.people.ResetPassword(h.t.Context(), h.root, here, "ada")
		h.ok("reset", err)
		h.in("ada", newPassword) // until then
		set := func(token Secret, password string) error {
			return h.people.SetPassword(h.t.Context(), here, h.secret(token), password)
		}
		h.refused("an older token", set(lost, adaPassword), fault.Denied, "ask for another")
		h.refused("weak", set(token, "password1234"), fault.Invalid, "guess")
		for range 10 {
			_ = h.tryIn("ada", "canary wrong password", "")
		}
		h.ok("set", set(token, adaPassword))
		h.gone("logins of before", mine)
		h.refused("the token again", set(token, newPassword), fault.Denied, "was used")
		h.in("ada", adaPassword) // failures of before are forgotten
		token, ends, err := h.people.ResetPassword(h.t.Context(), h.root, here, "ada")
		h.ok("reset", err)
		time.Sleep(time.Until(ends))
		h.refused("too late", set(token, newPassword), fault.Denied, "too old")
		token, _, err = h.people.ResetPassword(h.t.Context(), h.root, here, "ada")
		h.ok("reset", err)
		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "ada"))
		h.refused("for who is disabled", set(token, newPassword), fault.Denied, "does not exist")
	})
}

// Who may log in with a password is a rule. An identity provider goes on.
func TestPasswordsAreForSome(t *testing.T) {
	for rule, lets := range map[PasswordsFor]string{Everybody: "ada root", PlatformAdmins: "root", NoOne: ""} {
		t.Run(string(rule), func(t *testing.T) {
			visit(t, func(h *house) {
				config := DefaultConfig()
				config.Key, config.Passwords, config.Providers = bytes.Repeat([]byte{7}, 32), rule, map[string][]string{"corp": nil}
				people, err := NewCheap(config, Deps{Store: h.store, Directory: func() *Directory { return h.dir }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
				h.ok("new", err)
				var in []string
				for _, who := range []struct{ login, password string }{{"ada", adaPassword}, {"root", rootPassword}} {
					_, _, err := people.LogIn(h.t.Context(), here, who.login, who.password, "")
					if err == nil {
						in = append(in, who.login)
					} else if fault.KindOf(err) != fault.Denied || !strings.Contains(err.Error(), "identity provider") {
						t.Errorf("%s: %v", who.login, err)
					}
				}
				if got := strings.Join(in, " "); got != lets {
					t.Errorf("it lets %q in, want %q", got, lets)
				}
				_, _, err = people.LogInExternal(h.t.Context(), here, External{Provider: "corp", Issuer: "https://corp.example.com", Subject: "1", Name: "eve"})
				h.ok("through the provider", err)
			})
		})
	}
}

func TestTokens(t *testing.T) {
	shop := Membership{Role: Publisher, Organisation: "acme", Team: "shop"}
	owner := Owner{Organisation: "acme", Team: "shop"}
	visit(t, func(h *house) {
		ada, _ := h.in("ada", adaPassword)
		for _, c := range []struct {
			name  string
			actor Actor
			token string
			scope Scope
			life  time.Duration
			kind  fault.Kind
			says  string
		}{
			{"no name", ada, "", Scope{Roles: []Membership{shop}}, 0, fault.Invalid, "a name"},
			{"two lines", ada, "a\nb", Scope{Roles: []Membership{shop}}, 0, fault.Invalid, "one line"},
			{"nothing passed on", ada, "ci", Scope{ReadOnly: true}, 0, fault.Invalid, "which of your roles"},
			{"too long", ada, "ci", Scope{Roles: []Membership{shop}}, 91 * 24 * time.Hour, fault.Invalid, "90 days"},
			{"backwards", ada, "ci", Scope{Roles: []Membership{shop}}, -1, fault.Invalid, "90 days"},
			{"a role one has not", ada, "ci", Scope{Roles: []Membership{shop, {Role: Approver, Organisation: "acme"}}}, 0, fault.Denied, "approver in acme, which you are not"},
			{"a team one is not in", ada, "ci", Scope{Roles: []Membership{{Role: Publisher, Organisation: "acme", Team: "erp"}}}, 0, fault.Denied, "which you are not"},
			{"platform-admin", ada, "ci", Scope{Platform: true}, 0, fault.Denied, "platform-admin, which you are not"},
			{"platform-admin as a role", h.root, "ci", Scope{Roles: []Membership{{Role: PlatformAdmin, Organisation: "acme"}}}, 0, fault.Invalid, "not a role"},
			{"nobody", Nobody(), "ci", Scope{Roles: []Membership{shop}}, 0, fault.Denied, "logged in"},
			{"a machine", Machine("gw", Gateway), "ci", Scope{Roles: []Membership{shop}}, 0, fault.Denied, "logged in"},
		} {
			_, _, err := h.people.NewToken(h.t.Context(), c.actor, here, c.token, c.scope, c.life)
			h.refused(c.name, err, c.kind, c.says)
		}
		// All of acme is chosen, shop is what ada has.
		secret, made, err := h.people.NewToken(h.t.Context(), ada, here, "ci", Scope{Roles: []Membership{{Role: Publisher, Organisation: "acme"}}}, 0)
		h.ok("make", err)
		token := h.secret(secret)
		if len(token) != 67 || !strings.HasPrefix(token, "sluice_"+made.ID) || made.Expires.Sub(made.Created) != 90*24*time.Hour {
			t.Errorf("%q, %+v", token, made)
		}
		h.did("person ada: make token ada ok")
		_, _, err = h.people.NewToken(h.t.Context(), ada, here, "ci", Scope{Roles: []Membership{shop}}, 0)
		h.refused("the same name", err, fault.Conflict, "already")

		who, _, err := h.people.WhoHasToken(h.t.Context(), token)
		h.ok("who", err)
		if who.String() != "token ci" || who.Person() != "ada" || !who.Has(Publisher, owner) || who.Has(Publisher, Owner{Organisation: "acme", Team: "erp"}) {
			t.Errorf("%v with %v", who, who.Memberships())
		}
		// A token does not make itself at home.
		for what, err := range map[string]error{
			"make a token": func() error {
				_, _, err := h.people.NewToken(h.t.Context(), who, here, "x", Scope{Roles: []Membership{shop}}, 0)
				return err
			}(),
			"list tokens":     func() error { _, err := h.people.Tokens(h.t.Context(), who, "ada"); return err }(),
			"list logins":     func() error { _, err := h.people.Logins(h.t.Context(), who, "ada"); return err }(),
			"end logins":      h.people.EndLogin(h.t.Context(), who, here, "ada", ""),
			"change password": h.people.ChangePassword(h.t.Context(), who, here, "", adaPassword, "", newPassword),
			"a second factor": func() error {
				_, _, err := h.people.StartSecondFactor(h.t.Context(), who, here, adaPassword)
				return err
			}(),
			"end other logins": func() error { _, err := h.people.EndOtherLogins(h.t.Context(), who, here, ""); return err }(),
			"renew the recovery": func() error {
				_, err := h.people.RenewRecoveryCodes(h.t.Context(), who, here, adaPassword, "")
				return err
			}(),
			"confirm a factor": func() error { _, err := h.people.ConfirmSecondFactor(h.t.Context(), who, here, "000000"); return err }(),
		} {
			h.refused(what, err, fault.Denied, "a token is not enough")
		}
		// What the owner loses, the token loses; what the owner gains, it does not get.
		h.members(map[string][]string{"ada": {"approver"}}, nil)
		if who, _, _ := h.people.WhoHasToken(h.t.Context(), token); len(who.Memberships()) != 0 {
			t.Errorf("passes on %v", who.Memberships())
		}
		h.members(map[string][]string{"ada": {"approver", "publisher"}}, nil)
		if who, _, _ := h.people.WhoHasToken(h.t.Context(), token); !slices.Equal(who.Memberships(), []Membership{shop}) {
			t.Errorf("passes on %v", who.Memberships())
		}
		for name, bad := range map[string]string{
			"another checksum": token[:66] + string('0'+(token[66]+1)%10), "another secret": strings.Replace(token, token[30:31], string('0'+(token[30]+1)%10), 1),
			"cut": token[:66], "longer": token + "0", "empty": "", "a login's secret": h.secrets[3],
		} {
			h.store.mu.Lock() // a store that is asked hangs
			done := make(chan error)
			go func() { _, _, err := h.people.WhoHasToken(h.t.Context(), bad); done <- err }()
			err := <-done
			h.store.mu.Unlock()
			h.refused(name, err, fault.Denied, "does not exist")
		}
		// Last used, within a minute.
		list := func() *Token {
			all, err := h.people.Tokens(h.t.Context(), ada, "ada")
			h.ok("list", err)
			return all[0]
		}
		used := list().Used
		time.Sleep(30 * time.Second)
		_, _, _ = h.people.WhoHasToken(h.t.Context(), token)
		if got := list().Used; !got.Equal(used) {
			t.Errorf("written again after 30 seconds: %s", got)
		}
		time.Sleep(30 * time.Second)
		_, _, _ = h.people.WhoHasToken(h.t.Context(), token)
		if got := list().Used; !got.Equal(time.Now()) {
			t.Errorf("last used %s, want now", got)
		}
		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "ada"))
		_, _, err = h.people.WhoHasToken(h.t.Context(), token)
		h.refused("of who is disabled", err, fault.Denied, "does not exist")
		h.ok("enable", h.people.Enable(h.t.Context(), h.root, here, "ada"))
		h.refused("revoked by another", h.people.RevokeToken(h.t.Context(), ada, here, "root", made.ID), fault.Denied, "platform-admin")
		h.refused("of another", h.people.RevokeToken(h.t.Context(), h.root, here, "root", made.ID), fault.NotFound, made.ID)
		h.ok("revoke", h.people.RevokeToken(h.t.Context(), ada, here, "ada", made.ID))
		_, _, err = h.people.WhoHasToken(h.t.Context(), token)
		h.refused("revoked", err, fault.Denied, "was revoked")

		// For a short while, for reading only, with the whole of root.
		secret, _, err = h.people.NewToken(h.t.Context(), h.root, here, "look", Scope{Platform: true, ReadOnly: true}, time.Hour)
		h.ok("make", err)
		who, _, err = h.people.WhoHasToken(h.t.Context(), h.secret(secret))
		h.ok("who", err)
		prod := Object{Kind: resource.KindEnvironment, Name: "prod"}
		h.ok("read", Authorise(who, Read, prod))
		h.refused("write", Authorise(who, Write, prod), fault.Denied, "for reading only")
		time.Sleep(time.Hour)
		_, _, err = h.people.WhoHasToken(h.t.Context(), secret.Reveal())
		h.refused("too old", err, fault.Denied, "too old")
		h.ok("sweep", h.people.Sweep(h.t.Context()))
		if n := len(h.store.state.tokens); n != 1 {
			t.Errorf("a token that ended an hour ago is gone from sight: %d", n)
		}
	})
	t.Run("no more than a hundred", func(t *testing.T) {
		visit(t, func(h *house) {
			ada, _ := h.in("ada", adaPassword)
			var err error
			n := 0
			for ; err == nil && n < 200; n++ {
				_, _, err = h.people.NewToken(h.t.Context(), ada, here, fmt.Sprint("ci", n), Scope{Roles: []Membership{shop}}, 0)
			}
			h.refused("too many", err, fault.Conflict, "100 tokens")
		})
	})
}

func TestExternal(t *testing.T) {
	bob := External{Provider: "corp", Issuer: "https://idp.example.com", Subject: "42", Name: "bob", Title: "Bob", Email: "ada@example.com", Groups: []string{"shop-devs", "admins", "shop-devs"}}
	visit(t, func(h *house) {
		h.members(map[string][]string{"ada": {"publisher"}, "corp:bob": {"auditor"}}, map[string][]string{"shop-devs": {"app-developer"}, "admins": {"platform-admin"}})
		shop := Owner{Organisation: "acme", Team: "shop"}
		in := func(e External) (Actor, string) {
			t.Helper()
			secret, l, err := h.people.LogInExternal(h.t.Context(), here, e)
			h.ok("log in", err)
			if l.Method != e.Provider {
				t.Errorf("method %q", l.Method)
			}
			who, _, err := h.people.Who(h.t.Context(), h.secret(secret))
			h.ok("who", err)
			return who, secret.Reveal()
		}
		who, open := in(bob)
		if who.Name() != "corp:bob" || !who.Has(AppDeveloper, shop) || !who.Has(Auditor, shop) || who.Has(Publisher, shop) || who.PlatformAdmin() {
			t.Errorf("%v with %v: an e-mail address or a group gave too much, or a name too little", who, who.Memberships())
		}
		h.did("person corp:bob: login corp:bob ok")
		// The same person by another name, and another person by the same name.
		renamed := bob
		renamed.Name, renamed.Title, renamed.Groups = "robert", "Robert", nil
		if who, _ = in(renamed); who.Name() != "corp:bob" || who.Has(AppDeveloper, shop) || !who.Has(Auditor, shop) {
			t.Errorf("%v with %v", who, who.Memberships())
		}
		if again, _, err := h.people.Who(h.t.Context(), open); err != nil || again.Has(AppDeveloper, shop) {
			t.Errorf("an older login keeps groups that are gone: %v, %v", again.Memberships(), err)
		}
		for name, change := range map[string]func(*External){
			"another subject": func(e *External) { e.Subject = "43" },
			"another issuer":  func(e *External) { e.Issuer = "https://evil.example.com" },
		} {
			e := bob
			change(&e)
			_, _, err := h.people.LogInExternal(h.t.Context(), here, e)
			h.refused(name, err, fault.Conflict, "already")
		}
		for name, change := range map[string]func(*External){
			"an unknown provider": func(e *External) { e.Provider = "evil" },
			"no subject":          func(e *External) { e.Subject, e.Name = "", "x" },
			"no issuer":           func(e *External) { e.Issuer, e.Name = "", "x" },
			"no name":             func(e *External) { e.Subject, e.Name = "44", "" },
			"a name with a space": func(e *External) { e.Subject, e.Name = "44", "x " },
			"a name of two lines": func(e *External) { e.Subject, e.Name = "44", "x\ny" },
			"an endless name":     func(e *External) { e.Subject, e.Name = "44", strings.Repeat("x", 300) },
		} {
			e := bob
			change(&e)
			_, _, err := h.people.LogInExternal(h.t.Context(), here, e)
			h.refused(name, err, fault.Invalid, "")
		}
		_, _, err := h.people.ResetPassword(h.t.Context(), h.root, here, "corp:bob")
		h.refused("a password for them", err, fault.Invalid, "through corp")

		// Who has left there keeps tokens, whose groups end.
		who, _ = in(bob)
		_, _, err = h.people.NewToken(h.t.Context(), who, here, "ci", Scope{Roles: []Membership{{Role: AppDeveloper, Organisation: "acme"}}}, 0)
		h.ok("make", err)
		secret, _, err := h.people.NewToken(h.t.Context(), who, here, "ci2", Scope{Roles: []Membership{{Role: AppDeveloper, Organisation: "acme"}}}, 0)
		h.ok("make", err)
		time.Sleep(30*24*time.Hour - 1)
		if who, _, _ := h.people.WhoHasToken(h.t.Context(), h.secret(secret)); !who.Has(AppDeveloper, shop) {
			t.Error("groups end early")
		}
		time.Sleep(time.Second)
		if who, _, err := h.people.WhoHasToken(h.t.Context(), secret.Reveal()); err != nil || who.Has(AppDeveloper, shop) {
			t.Errorf("groups of 30 days ago count: %v", err)
		}
		h.root, _ = h.in("root", rootPassword)
		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "corp:bob"))
		_, _, err = h.people.LogInExternal(h.t.Context(), here, bob)
		h.refused("disabled", err, fault.Denied, "disabled")

		many := bob
		many.Subject, many.Name = "45", "many"
		many.Groups = nil
		for i := range 5000 {
			many.Groups = append(many.Groups, fmt.Sprint("g", i))
		}
		in(many)
		if got := len(h.store.state.persons["corp:many"].Groups); got != 1000 {
			t.Errorf("%d groups are kept", got)
		}
	})
	t.Run("groups count in the provider's organisations", func(t *testing.T) {
		visit(t, func(h *house) {
			h.members(nil, map[string][]string{"shop-devs": {"app-developer"}})
			_, _, err := h.people.LogInExternal(h.t.Context(), here, bob)
			h.ok("log in", err)
			who, err := h.people.Actor(h.t.Context(), "corp:bob")
			if err != nil || len(who.Memberships()) != 0 {
				t.Errorf("%v, %v", who.Memberships(), err)
			}
			_, err = h.people.Actor(h.t.Context(), "nobody")
			h.refused("nobody", err, fault.NotFound, "nobody")
		}, func(c *Config) { c.Providers = map[string][]string{"corp": {"elsewhere"}} })
	})
}

// A login is handed over to the program that has the verifier, once and within a minute.
func TestHandOver(t *testing.T) {
	visit(t, func(h *house) {
		const verifier = "a verifier of some forty-three characters or more"
		sum := sha256.Sum256([]byte(verifier))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		eve := External{Provider: "corp", Issuer: "https://corp.example.com", Subject: "1", Name: "eve"}
		begin := func() string {
			t.Helper()
			code, err := h.people.HandOver(h.t.Context(), here, eve, challenge)
			h.ok("hand over", err)
			return h.secret(code)
		}
		try := func(code, verifier string) error {
			_, l, err := h.people.LogInByCode(h.t.Context(), here, code, verifier)
			if err == nil && (l.Person != "corp:eve" || l.Method != "corp") {
				t.Errorf("it logs in %+v", l)
			}
			return err
		}
		_, err := h.people.HandOver(h.t.Context(), here, eve, "plain")
		h.refused("no challenge", err, fault.Invalid, "S256")
		code := begin()
		h.refused("without the verifier", try(code, ""), fault.Denied, "does not exist")
		h.refused("with the challenge", try(code, challenge), fault.Denied, "does not exist")
		h.ok("with the verifier", try(code, verifier))
		h.did("person corp:eve: login corp:eve ok")
		h.refused("a second time", try(code, verifier), fault.Denied, "was used")
		code = begin()
		time.Sleep(time.Minute)
		h.refused("too late", try(code, verifier), fault.Denied, "too old")
		code = begin()
		h.ok("disable", h.people.Disable(h.t.Context(), h.root, here, "corp:eve"))
		h.refused("disabled meanwhile", try(code, verifier), fault.Denied, "does not exist")
	})
}

func TestManagingPeople(t *testing.T) {
	visit(t, func(h *house) {
		ada, open := h.in("ada", adaPassword)
		secret, _, err := h.people.NewToken(h.t.Context(), h.root, here, "all", Scope{Platform: true}, 0)
		h.ok("make", err)
		token, _, err := h.people.WhoHasToken(h.t.Context(), h.secret(secret))
		h.ok("who", err)
		admin := Someone("org", false, []Membership{{Role: OrgAdmin, Organisation: "acme"}})
		for _, actor := range []Actor{Nobody(), System(), Machine("gw", Gateway), ada, admin, token} {
			for what, do := range map[string]func() error{
				"invite":         func() error { _, _, err := h.people.Invite(h.t.Context(), actor, here, "eve", "", ""); return err },
				"reset":          func() error { _, _, err := h.people.ResetPassword(h.t.Context(), actor, here, "root"); return err },
				"clear":          func() error { return h.people.ClearSecondFactor(h.t.Context(), actor, here, "root") },
				"disable":        func() error { return h.people.Disable(h.t.Context(), actor, here, "root") },
				"enable":         func() error { return h.people.Enable(h.t.Context(), actor, here, "root") },
				"platform-admin": func() error { return h.people.SetPlatformAdmin(h.t.Context(), actor, here, "ada", true) },
				"remove":         func() error { return h.people.Remove(h.t.Context(), actor, here, "root") },
				"end logins":     func() error { return h.people.EndLogin(h.t.Context(), actor, here, "root", "") },
				"revoke a token": func() error { return h.people.RevokeToken(h.t.Context(), actor, here, "root", "x") },
			} {
				if actor.Person() == "root" && (what == "end logins" || what == "revoke a token") {
					h.refused(what, do(), fault.Denied, "a token is not enough")
					continue
				}
				h.refused(fmt.Sprint(actor, ": ", what), do(), fault.Denied, "")
			}
			if actor.PlatformAdmin() {
				continue // a token may look
			}
			_, _, err := h.people.List(h.t.Context(), actor, "", 10)
			h.refused("list", err, fault.Denied, "")
			_, err = h.people.Person(h.t.Context(), actor, "root")
			h.refused("read", err, fault.Denied, "")
		}
		if p, err := h.people.Person(h.t.Context(), ada, "ada"); err != nil || p.Email != "ada@example.com" || !p.HasPassword() || p.HasSecondFactor() {
			t.Errorf("%+v, %v", p, err)
		}
		_, err = h.people.Person(h.t.Context(), h.root, "nobody")
		h.refused("nobody", err, fault.NotFound, "nobody")
		page, more, err := h.people.List(h.t.Context(), h.root, "", 1)
		if err != nil || len(page) != 1 || page[0].Login != "ada" || !more {
			t.Errorf("%v, %v, %v", page, more, err)
		}
		for _, login := range []string{"", "Ada!", "a b", "corp:x", strings.Repeat("x", 200), "-x"} {
			_, _, err = h.people.Invite(h.t.Context(), h.root, here, login, "", "")
			h.refused("no name", err, fault.Invalid, "login name")
		}
		_, _, err = h.people.Invite(h.t.Context(), h.root, here, "ADA", "", "")
		h.refused("there already", err, fault.Conflict, "already")

		const last = "the last platform-admin"
		h.refused("disable the last", h.people.Disable(h.t.Context(), h.root, here, "root"), fault.Conflict, last)
		h.refused("remove the last", h.people.Remove(h.t.Context(), h.root, here, "root"), fault.Conflict, last)
		h.refused("demote the last", h.people.SetPlatformAdmin(h.t.Context(), h.root, here, "root", false), fault.Conflict, last)
		h.ok("promote", h.people.SetPlatformAdmin(h.t.Context(), h.root, here, "ada", true))
		h.did("person root: make platform-admin ada ok")
		if who, _, _ := h.people.Who(h.t.Context(), open); !who.PlatformAdmin() {
			t.Error("ada is none")
		}
		h.ok("disable ada", h.people.Disable(h.t.Context(), h.root, here, "ada"))
		h.refused("the other one is disabled", h.people.SetPlatformAdmin(h.t.Context(), h.root, here, "root", false), fault.Conflict, last)
		h.ok("demote who is disabled", h.people.SetPlatformAdmin(h.t.Context(), h.root, here, "ada", false))
		h.ok("remove", h.people.Remove(h.t.Context(), h.root, here, "ada"))
		h.refused("removed", h.tryIn("ada", adaPassword, ""), fault.Denied, "is wrong")
		h.refused("removed", h.people.Disable(h.t.Context(), h.root, here, "ada"), fault.NotFound, "ada")
	})
}

func TestConfig(t *testing.T) {
	good := DefaultConfig()
	good.Key = make([]byte, 32)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no key":                  {func(c *Config) { c.Key = nil }, "0 bytes and not 32"},
		"a colon":                 {func(c *Config) { c.Product = "a:b" }, "authenticators"},
		"rests longer than it is": {func(c *Config) { c.Idle = 24 * time.Hour }, "must be the longer"},
		"tokens too long":         {func(c *Config) { c.TokenLife *= 2 }, "API tokens last"},
		"no life":                 {func(c *Config) { c.OneTimeLife = 0 }, "must last some time"},
		"passwords for some":      {func(c *Config) { c.Passwords = "some" }, "passwords are for"},
		"no way in":               {func(c *Config) { c.Passwords = NoOne }, "nobody could log in"},
		"no hashes":               {func(c *Config) { c.Hashes = 0 }, "too few"},
		"a provider's name":       {func(c *Config) { c.Providers = map[string][]string{"Corp:": nil} }, "no name of an identity provider"},
		"two providers":           {func(c *Config) { c.Providers = map[string][]string{"a": nil, "b": {}} }, `groups of "a" count`},
	} {
		bad := good
		c.change(&bad)
		if _, err := New(bad, Deps{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	good.Key, good.Idle = nil, 0
	if err := good.Validate(); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not all at once: %v", err)
	}
}
