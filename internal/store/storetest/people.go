package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
)

// People is the suite of every identity.Store. open returns an empty one.
func People(t *testing.T, open func(*testing.T) identity.Store) {
	t.Run("persons", func(t *testing.T) { testPersons(t, people{t, open(t)}) })
	t.Run("persons by their provider", func(t *testing.T) { testSubjects(t, people{t, open(t)}) })
	t.Run("logins", func(t *testing.T) { testLogins(t, people{t, open(t)}) })
	t.Run("tokens", func(t *testing.T) { testTokens(t, people{t, open(t)}) })
	t.Run("one-time tokens", func(t *testing.T) { testOneTimes(t, people{t, open(t)}) })
	t.Run("failures", func(t *testing.T) { testFailures(t, people{t, open(t)}) })
	t.Run("sweep", func(t *testing.T) { testSweep(t, people{t, open(t)}) })
	t.Run("what fails leaves nothing", func(t *testing.T) { testPeopleWhole(t, people{t, open(t)}) })
	t.Run("one at a time", func(t *testing.T) { testPeopleTurns(t, people{t, open(t)}) })
}

var born = time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC)

// people is a store with fewer errors to look at.
type people struct {
	t     *testing.T
	store identity.Store
}

func (p people) read(f func(identity.Reader)) {
	p.t.Helper()
	if err := p.store.Read(p.t.Context(), func(r identity.Reader) error { f(r); return nil }); err != nil {
		p.t.Fatalf("read: %v", err)
	}
}

func (p people) write(f func(identity.Writer) error) {
	p.t.Helper()
	if err := p.store.Write(p.t.Context(), f); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func gives[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %s, %v\nwant %s", what, inFull(got), err, inFull(want))
	}
}

// inFull writes a value with what its types would not print.
func inFull(v any) string {
	if p, ok := v.(*identity.Person); ok && p != nil {
		type plain identity.Secrets
		return fmt.Sprintf("%+v with %+v", *p, plain(p.Secrets))
	}
	return fmt.Sprintf("%+v", v)
}

func person(login string) *identity.Person {
	return &identity.Person{Login: login, Created: born, Changed: born}
}

func titled(title string) *identity.Person {
	p := person("ada")
	p.Title = title
	return p
}

func absent(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("%s: got %v, want ErrNotFound", what, err)
	}
}

func testPersons(t *testing.T, s people) {
	ada := &identity.Person{
		Login: "ada", Title: "Ada L. “Countess”", Email: "ada@example.com", PlatformAdmin: true, Created: born, Changed: born.Add(time.Hour),
		Secrets: identity.Secrets{Password: "$argon2id$x", TOTP: []byte{0, 1, 255}, Pending: []byte{7}, Step: 1 << 40, Recovery: []string{"a", "b"}},
	}
	bob := &identity.Person{Login: "bob", Created: born, Changed: born}
	cy := &identity.Person{Login: "cy@example.com", Disabled: true, PlatformAdmin: true, Created: born, Changed: born}
	s.read(func(r identity.Reader) {
		_, err := r.Person("ada")
		absent(t, "nobody yet", err)
		page, more, err := r.People("", 10)
		gives(t, "nobody yet", fmt.Sprint(len(page), more), err, "0 false")
		admins, err := r.PlatformAdmins()
		gives(t, "no admins yet", len(admins), err, 0)
	})
	s.write(func(w identity.Writer) error {
		return errors.Join(w.PutPerson(cy), w.PutPerson(ada), w.PutPerson(bob))
	})
	s.read(func(r identity.Reader) {
		for _, want := range []*identity.Person{ada, bob, cy} {
			got, err := r.Person(want.Login)
			gives(t, "as it was put", got, err, want)
		}
		_, err := r.Person("Ada")
		absent(t, "another name", err)
		page, more, err := r.People("", 2)
		gives(t, "a page", loginNames(page)+fmt.Sprint(more), err, "ada bob true")
		page, more, err = r.People("bob", 2)
		gives(t, "the next page", loginNames(page)+fmt.Sprint(more), err, "cy@example.com false")
		page, more, err = r.People("aa", 0)
		gives(t, "all", loginNames(page)+fmt.Sprint(more), err, "ada bob cy@example.com false")
		admins, err := r.PlatformAdmins()
		gives(t, "admins", admins, err, []string{"ada", "cy@example.com"})
	})
	// What was returned is the caller's own.
	s.read(func(r identity.Reader) {
		got, _ := r.Person("ada")
		got.Secrets.Recovery[0], got.Secrets.TOTP[0], got.Title = "x", 9, "x"
	})
	changed := *ada
	changed.PlatformAdmin, changed.Secrets = false, identity.Secrets{Password: "other"}
	s.read(func(r identity.Reader) {
		got, err := r.Person("ada")
		gives(t, "untouched by its readers", got, err, ada)
	})
	s.write(func(w identity.Writer) error { return w.PutPerson(&changed) })
	s.read(func(r identity.Reader) {
		got, err := r.Person("ada")
		gives(t, "replaced", got, err, &changed)
		admins, err := r.PlatformAdmins()
		gives(t, "admins", admins, err, []string{"cy@example.com"})
	})
	s.write(func(w identity.Writer) error {
		return errors.Join(w.RemovePerson("ada"), w.RemovePerson("nobody"),
			w.PutLogin(&identity.Login{Hash: "h", ID: "i", Person: "bob", Created: born, Seen: born, Expires: born}),
			w.PutToken(&identity.Token{ID: "t", Hash: "h", Person: "bob", Name: "ci", Created: born, Expires: born}),
			w.RemovePerson("bob"))
	})
	s.read(func(r identity.Reader) {
		for _, login := range []string{"ada", "bob"} {
			_, err := r.Person(login)
			absent(t, "removed", err)
		}
		_, err := r.Login("h")
		absent(t, "the login of who was removed", err)
		_, err = r.Token("t")
		absent(t, "the token of who was removed", err)
	})
}

func loginNames(page []*identity.Person) string {
	var b strings.Builder
	for _, p := range page {
		b.WriteString(p.Login + " ")
	}
	return b.String()
}

func testSubjects(t *testing.T, s people) {
	ann := &identity.Person{
		Login: "corp:Ann", Provider: "corp", Issuer: "https://idp.example.com", Subject: "1", Groups: []string{"devs", "ops"},
		SeenByProvider: born, Created: born, Changed: born,
	}
	low := &identity.Person{Login: "corp:ann", Provider: "corp", Issuer: "https://idp.example.com", Subject: "2", Created: born, Changed: born}
	other := &identity.Person{Login: "else:1", Provider: "else", Issuer: "https://else.example.com", Subject: "1", Created: born, Changed: born}
	local := &identity.Person{Login: "ann", Created: born, Changed: born}
	s.write(func(w identity.Writer) error {
		return errors.Join(w.PutPerson(ann), w.PutPerson(low), w.PutPerson(other), w.PutPerson(local), w.PutPerson(&identity.Person{Login: "local2", Created: born, Changed: born}))
	})
	s.read(func(r identity.Reader) {
		for _, want := range []*identity.Person{ann, low, other} {
			got, err := r.PersonOf(want.Issuer, want.Subject)
			gives(t, "by issuer and subject", got, err, want)
			got, err = r.Person(want.Login)
			gives(t, "by name", got, err, want)
		}
		_, err := r.PersonOf("https://idp.example.com", "3")
		absent(t, "another subject", err)
		_, err = r.PersonOf("https://idp.example.com/", "1")
		absent(t, "another issuer", err)
		_, err = r.PersonOf("", "")
		absent(t, "nobody has no issuer", err)
	})
	twin := &identity.Person{Login: "corp:twin", Issuer: ann.Issuer, Subject: ann.Subject, Created: born, Changed: born}
	if err := s.store.Write(t.Context(), func(w identity.Writer) error { return w.PutPerson(twin) }); err == nil {
		t.Error("two persons are the same subject of an issuer")
	}
}

func testLogins(t *testing.T, s people) {
	l := func(hash, person string, after time.Duration) *identity.Login {
		return &identity.Login{Hash: hash, ID: "id-" + hash, Person: person, Method: "password", Address: "2001:db8::1", Agent: "a browser", Created: born.Add(after), Seen: born.Add(after), Expires: born.Add(after + time.Hour)}
	}
	first, second, foreign := l("b", "ada", 0), l("a", "ada", time.Minute), l("c", "bob", 0)
	s.write(func(w identity.Writer) error {
		return errors.Join(w.PutPerson(person("ada")), w.PutPerson(person("bob")), w.PutLogin(second), w.PutLogin(first), w.PutLogin(foreign))
	})
	second.Seen = second.Seen.Add(time.Minute)
	s.write(func(w identity.Writer) error { return w.PutLogin(second) })
	s.read(func(r identity.Reader) {
		got, err := r.Login("a")
		gives(t, "by its hash", got, err, second)
		all, err := r.Logins("ada")
		gives(t, "of a person", all, err, []*identity.Login{first, second})
		all, err = r.Logins("cy")
		gives(t, "of nobody", len(all), err, 0)
		_, err = r.Login("id-a")
		absent(t, "by its id", err)
	})
	s.write(func(w identity.Writer) error { return errors.Join(w.RemoveLogin("a"), w.RemoveLogin("nothing")) })
	s.read(func(r identity.Reader) {
		_, err := r.Login("a")
		absent(t, "removed", err)
		all, err := r.Logins("ada")
		gives(t, "of a person", all, err, []*identity.Login{first})
	})
}

func testTokens(t *testing.T, s people) {
	k := func(id, person string, after time.Duration) *identity.Token {
		return &identity.Token{
			ID: id, Hash: "hash " + id, Person: person, Name: "ci " + id, Created: born.Add(after), Expires: born.Add(after + time.Hour),
			Scope: identity.Scope{Platform: true, ReadOnly: true, Roles: []identity.Membership{{Role: identity.Publisher, Organisation: "acme", Team: "shop"}, {Role: identity.Auditor, Organisation: "acme"}}},
		}
	}
	first, second, foreign := k("b", "ada", 0), k("a", "ada", time.Minute), k("c", "bob", 0)
	second.Scope, second.Used = identity.Scope{}, born.Add(2*time.Minute)
	s.write(func(w identity.Writer) error {
		return errors.Join(w.PutPerson(person("ada")), w.PutPerson(person("bob")), w.PutToken(second), w.PutToken(first), w.PutToken(foreign))
	})
	first.Used = born.Add(time.Minute)
	s.write(func(w identity.Writer) error { return w.PutToken(first) })
	s.read(func(r identity.Reader) {
		got, err := r.Token("b")
		gives(t, "by its id", got, err, first)
		all, err := r.Tokens("ada")
		gives(t, "of a person", all, err, []*identity.Token{first, second})
		_, err = r.Token("hash b")
		absent(t, "by its hash", err)
	})
	s.write(func(w identity.Writer) error { return errors.Join(w.RemoveToken("b"), w.RemoveToken("nothing")) })
	s.read(func(r identity.Reader) {
		_, err := r.Token("b")
		absent(t, "removed", err)
	})
}

func testOneTimes(t *testing.T, s people) {
	o := func(hash string, purpose identity.Purpose, person string) *identity.OneTime {
		return &identity.OneTime{Hash: hash, Purpose: purpose, Person: person, Created: born, Expires: born.Add(time.Hour)}
	}
	all := []*identity.OneTime{o("1", identity.ForFirstAdmin, ""), o("2", identity.ForFirstAdmin, ""), o("3", identity.ForPassword, "ada"), o("4", identity.ForPassword, "bob"), o("5", identity.ForPassword, "ada")}
	s.write(func(w identity.Writer) error {
		for _, x := range all {
			if err := w.PutOneTime(x); err != nil {
				return err
			}
		}
		return nil
	})
	left := func(want string) {
		t.Helper()
		s.read(func(r identity.Reader) {
			var got string
			for _, x := range all {
				switch found, err := r.OneTime(x.Hash); {
				case err == nil:
					gives(t, "as it was put", found, err, x)
					got += x.Hash
				default:
					absent(t, "removed", err)
				}
			}
			if got != want {
				t.Errorf("left %q, want %q", got, want)
			}
		})
	}
	left("12345")
	s.write(func(w identity.Writer) error { return w.RemoveOneTimes(identity.ForPassword, "ada") })
	left("124")
	s.write(func(w identity.Writer) error {
		return errors.Join(w.RemoveOneTime("1"), w.RemoveOneTime("nothing"), w.RemoveOneTimes(identity.ForPassword, "nobody"))
	})
	left("24")
	s.write(func(w identity.Writer) error { return w.RemoveOneTimes(identity.ForFirstAdmin, "") })
	left("4")
}

func testFailures(t *testing.T, s people) {
	f := identity.Failures{Count: 3, Last: born}
	s.write(func(w identity.Writer) error { return errors.Join(w.PutFailures("k", f), w.PutFailures("other", f)) })
	s.write(func(w identity.Writer) error {
		got, err := w.Failures("k")
		gives(t, "within the change", got, err, f)
		return w.PutFailures("other", identity.Failures{})
	})
	s.read(func(r identity.Reader) {
		got, err := r.Failures("k")
		gives(t, "as it was put", got, err, f)
		for _, key := range []string{"other", "never"} {
			got, err = r.Failures(key)
			gives(t, key, got, err, identity.Failures{})
		}
	})
}

func testSweep(t *testing.T, s people) {
	at := func(h int) time.Time { return born.Add(time.Duration(h) * time.Hour) }
	s.write(func(w identity.Writer) error {
		errs := []error{w.PutPerson(person("ada"))}
		for i, name := range []string{"old", "edge", "new"} {
			end := at(i)
			errs = append(errs,
				w.PutLogin(&identity.Login{Hash: name, ID: name, Person: "ada", Created: born, Seen: born, Expires: end}),
				w.PutToken(&identity.Token{ID: name, Hash: name, Name: name, Person: "ada", Created: born, Expires: end.Add(-24 * time.Hour)}),
				w.PutOneTime(&identity.OneTime{Hash: name, Purpose: identity.ForPassword, Person: "ada", Created: born, Expires: end}),
				w.PutFailures(name, identity.Failures{Count: 1, Last: end.Add(-48 * time.Hour)}))
		}
		return errors.Join(errs...)
	})
	s.write(func(w identity.Writer) error { return w.Sweep(at(1), at(1-24), at(1-48)) })
	s.read(func(r identity.Reader) {
		for _, name := range []string{"old", "edge", "new"} {
			_, login := r.Login(name)
			_, token := r.Token(name)
			_, once := r.OneTime(name)
			f, err := r.Failures(name)
			gone := name == "old" // what ends at that very moment may be met by somebody
			for what, err := range map[string]error{"login": login, "token": token, "one-time token": once} {
				if errors.Is(err, identity.ErrNotFound) != gone || err != nil && !gone {
					t.Errorf("%s %s: got %v", name, what, err)
				}
			}
			if err != nil || (f.Count == 0) != gone {
				t.Errorf("%s failures: got %v, %v", name, f, err)
			}
		}
	})
}

func testPeopleWhole(t *testing.T, s people) {
	oops := errors.New("oops")
	s.write(func(w identity.Writer) error { return w.PutPerson(titled("before")) })
	err := s.store.Write(t.Context(), func(w identity.Writer) error {
		row, err := w.AppendAudit(audit.Row{Time: born, Actor: "person ada", Action: "login", Result: "ok"})
		if err != nil || row.Seq == 0 {
			t.Errorf("audit row %+v, %v", row, err)
		}
		if err := errors.Join(w.PutPerson(titled("after")), w.PutPerson(person("bob")), w.PutFailures("k", identity.Failures{Count: 1, Last: born})); err != nil {
			t.Error(err)
		}
		return oops
	})
	if err != oops {
		t.Errorf("got %v, want the error as it was", err)
	}
	s.read(func(r identity.Reader) {
		got, err := r.Person("ada")
		if err != nil || got.Title != "before" {
			t.Errorf("got %v, %v", got, err)
		}
		_, err = r.Person("bob")
		absent(t, "made by a change that failed", err)
		f, err := r.Failures("k")
		gives(t, "counted by a change that failed", f, err, identity.Failures{})
	})
	if err := s.store.Read(t.Context(), func(identity.Reader) error { return oops }); err != oops {
		t.Errorf("got %v, want the error as it was", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.store.Write(ctx, func(w identity.Writer) error { return w.PutPerson(person("cy")) }); err == nil {
		t.Error("a change is made for a caller who has gone")
	}
	s.read(func(r identity.Reader) {
		_, err := r.Person("cy")
		absent(t, "made for a caller who has gone", err)
	})
}

func testPeopleTurns(t *testing.T, s people) {
	const n = 20
	done := make(chan error)
	for range n {
		go func() {
			done <- s.store.Write(t.Context(), func(w identity.Writer) error {
				f, err := w.Failures("k")
				if err != nil {
					return err
				}
				return w.PutFailures("k", identity.Failures{Count: f.Count + 1, Last: born})
			})
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.read(func(r identity.Reader) {
		f, err := r.Failures("k")
		gives(t, "counted", f, err, identity.Failures{Count: n, Last: born})
	})
}
