// Package storetest is what every store of the control plane must pass. Its main
// function is Run. It never ships. It knows control.Store, and nothing of how one is
// made.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/resource"
)

// Subject is a kind of store.
type Subject struct {
	// New returns the place of a store that is not there yet.
	New func(testing.TB) string
	// Open opens, or makes, the store in a place, as a process of its own would. It is
	// closed with the test; closing it before is no mistake.
	Open func(testing.TB, string, Settings) control.Store
	// Writer is a command that runs Write on the store in a place, in another process.
	Writer func(place string) *exec.Cmd
	// Backup writes a store to a file; Restore puts it into a place, with the file of
	// revocations beside that, or none.
	Backup  func(store control.Store, file string) error
	Restore func(file, place, revocations string) error
	// Export returns everything a store has; Import makes one of it, and opens it.
	Export func(testing.TB, control.Store) []byte
	Import func(t testing.TB, place string, export []byte) control.Store
}

// Settings are what a store is opened with. The zero value is what it does by itself.
type Settings struct {
	KeepChanges int64
	Now         func() time.Time
	Revocations string
}

// patience is for what takes a moment on a quiet machine.
const patience = time.Minute

// Run tests a kind of store.
func Run(t *testing.T, s Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"a document is what was put":                    testDocuments,
		"every kind of document comes back":             testKinds,
		"serials follow each other":                     testSerials,
		"texts that are none":                           testTexts,
		"lists and their pages":                         testLists,
		"links":                                         testLinks,
		"changes have no gaps":                          testChanges,
		"changes are forgotten":                         testForgotten,
		"verifiers":                                     testVerifiers,
		"verifiers that are forgotten":                  testForgetting,
		"revisions":                                     testRevisions,
		"pages":                                         testPages,
		"the audit log is a chain":                      testAudit,
		"searching the audit log":                       testSearch,
		"heads of the audit log":                        testHeads,
		"nothing half done":                             testRollback,
		"a store closed is no store":                    testClosed,
		"readers are not disturbed":                     testReaders,
		"readers and writers end with their function":   testEnded,
		"waiting ends with the context":                 testWaiting,
		"writers take turns, in two processes":          testTurns,
		"a store made by two at once":                   testMadeTwice,
		"what a killed process wrote is whole":          testKilled,
		"a store is the same when it is opened again":   testIdentity,
		"many documents are listed in their own order":  testMany,
		"asking while being told":                       testNested,
		"an error of the database is not to be ignored": testIgnored,
		"an exported audit log is verified":             testExported,
		"a restore revives nothing":                     testRestore,
		"a restore of a lost store revives nothing":     testRestoreLost,
		"an older database revives nothing":             testReplaced,
		"what is not restored":                          testRestoreRefused,
		"a backup while it is written":                  testBackupOnline,
		"notes":                                         testNotes,
		"who gives up leaves nothing behind":            testGivenUp,
		"uses of credentials":                           testUses,
		"the outbox":                                    testOutbox,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { test(t, s) })
	}
}

// start is when things happen in tests: not in whole microseconds, nor in UTC.
var start = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("", 2*3600))

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func open(t testing.TB, s Subject) control.Store { return s.Open(t, s.New(t), Settings{}) }

// write and read fail the test when they cannot.
func write(t testing.TB, s control.Store, f func(control.Writer) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Write(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, s control.Store, f func(control.Reader) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Read(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func mustFail(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want an error with %q", err, part)
	}
}

// The documents of tests.

func team(name string) *resource.Team {
	return &resource.Team{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Metadata: resource.Metadata{Name: name}, Spec: resource.TeamSpec{Organisation: "acme", Title: "Team " + name}}
}

func subscription(name, environment, application string) *resource.Subscription {
	return &resource.Subscription{APIVersion: resource.APIVersion, Kind: resource.KindSubscription,
		Metadata: resource.Metadata{Name: name, Environment: environment}, Spec: resource.SubscriptionSpec{Application: application, Product: "orders", Plan: "free", State: "active"}}
}

func credential(name string) *resource.Credential {
	return &resource.Credential{APIVersion: resource.APIVersion, Kind: resource.KindCredential,
		Metadata: resource.Metadata{Name: name, Environment: "prod"}, Spec: resource.CredentialSpec{Application: "erp", Type: "scram"}}
}

func version(name string) *resource.Version {
	return &resource.Version{APIVersion: resource.APIVersion, Kind: resource.KindVersion, Metadata: resource.Metadata{Name: name}}
}

func api(name string) *resource.API {
	return &resource.API{APIVersion: resource.APIVersion, Kind: resource.KindAPI, Metadata: resource.Metadata{Name: name}}
}

// first is a document as it is put for the first time.
func first(d resource.Any) *control.Record {
	return &control.Record{Document: d, Serial: 1, Created: start, Changed: start}
}

func key(kind resource.Kind, name string) resource.Key { return resource.Key{Kind: kind, Name: name} }

// same compares what was read with what was written.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", what, inWords(got), inWords(want))
	}
}

func inWords(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

func testDocuments(t *testing.T, s Subject) {
	store := open(t, s)
	record := &control.Record{
		Document: &resource.Product{APIVersion: resource.APIVersion, Kind: resource.KindProduct,
			Metadata: resource.Metadata{Name: "orders", Team: "shop", Labels: map[string]string{"a": "<b>&\u2028"}},
			Spec:     resource.ProductSpec{Title: "Bestellungen für alle \x00", Versions: []string{"orders.v1"}}},
		Status: control.Status{Since: micros(start), By: "person ada", Revision: 3, Trail: []control.Step{{Time: micros(start), By: "person ada", Action: "publish", From: "draft", To: "published"}}},
		Serial: 1, Team: "shop", Organisation: "acme", Owner: "git shop/apis", Created: start, Changed: start.Add(time.Hour),
	}
	write(t, store, func(w control.Writer) error {
		if _, err := w.Get(record.Key()); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("before it is put: got %v", err)
		}
		return w.Put(record, nil)
	})
	want := *record
	want.Created, want.Changed = micros(want.Created), micros(want.Changed)
	read(t, store, func(r control.Reader) error {
		got, err := r.Get(record.Key())
		if err == nil {
			same(t, "the record", got, &want)
		}
		return err
	})
	again := want
	again.Document, again.Serial, again.Status, again.Owner, again.Changed = team("x"), 2, control.Status{}, "", micros(start.Add(2*time.Hour))
	again.Document.Meta().Name = "orders"
	again.Document.(*resource.Team).Kind = resource.KindProduct // another shape: nothing of the old one is left
	again.Document = &resource.Product{APIVersion: resource.APIVersion, Kind: resource.KindProduct, Metadata: resource.Metadata{Name: "orders"}}
	write(t, store, func(w control.Writer) error {
		if err := w.Put(&again, nil); err != nil {
			return err
		}
		got, err := w.Get(record.Key())
		if err == nil {
			same(t, "the record in the transaction that replaced it", got, &again)
		}
		return err
	})
	write(t, store, func(w control.Writer) error { return w.Remove(record.Key(), start) })
	write(t, store, func(w control.Writer) error {
		if _, err := w.Get(record.Key()); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("after it was removed: got %v", err)
		}
		if err := w.Remove(record.Key(), start); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("removed twice: got %v", err)
		}
		return nil
	})
}

func testKinds(t *testing.T, s Subject) {
	store := open(t, s)
	documents := map[resource.Kind]resource.Any{}
	for _, kind := range resource.Kinds {
		d, err := resource.Unmarshal([]byte(`{"apiVersion":"sluice/v1","kind":"` + string(kind) + `","metadata":{"name":"one","environment":"prod"}}`))
		if err != nil {
			t.Fatal(err)
		}
		documents[kind] = d
	}
	write(t, store, func(w control.Writer) error {
		for _, d := range documents {
			if err := w.Put(first(d), nil); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, store, func(r control.Reader) error {
		for kind, d := range documents {
			got, err := r.Get(key(kind, "one"))
			if err != nil {
				return err
			}
			same(t, string(kind), got.Document, d)
		}
		return nil
	})
}

func testSerials(t *testing.T, s Subject) {
	store := open(t, s)
	put := func(serial int64) error {
		return store.Write(t.Context(), func(w control.Writer) error {
			r := first(team("a"))
			r.Serial = serial
			return w.Put(r, nil)
		})
	}
	mustFail(t, put(0), "serial 0 does not follow")
	mustFail(t, put(2), "serial 2 does not follow")
	if err := put(1); err != nil {
		t.Error(err)
	}
	mustFail(t, put(1), "put Team a: serial 1 does not follow")
	if err := put(2); err != nil {
		t.Error(err)
	}
	mustFail(t, put(4), "serial 4 does not follow")
}

func testTexts(t *testing.T, s Subject) {
	store := open(t, s)
	for name, change := range map[string]func(*control.Record){
		"an owner with a zero byte": func(r *control.Record) { r.Owner = "a\x00b" },
		"a team that is no UTF-8":   func(r *control.Record) { r.Team = "\xff" },
		"no name":                   func(r *control.Record) { r.Document.Meta().Name = "" },
		"no time":                   func(r *control.Record) { r.Created = time.Time{} },
	} {
		r := first(team("a"))
		change(r)
		if err := store.Write(t.Context(), func(w control.Writer) error { return w.Put(r, nil) }); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	read(t, store, func(r control.Reader) error {
		if seq, err := r.Seq(); err != nil || seq != 0 {
			t.Errorf("after nothing was put the number is %d, %v", seq, err)
		}
		return nil
	})
}

func testLinks(t *testing.T, s Subject) {
	store := open(t, s)
	product, app := key(resource.KindProduct, "orders"), key(resource.KindApplication, "erp")
	referring := func(to resource.Key, want ...resource.Key) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, err := r.Referring(to)
			if err == nil {
				same(t, "referring to "+to.String(), got, want)
			}
			return err
		})
	}
	b, a, c := subscription("b", "prod", "erp"), subscription("a", "prod", "erp"), credential("c")
	write(t, store, func(w control.Writer) error {
		return errors.Join(w.Put(first(b), []resource.Key{product, app, app}), w.Put(first(a), []resource.Key{app}), w.Put(first(c), []resource.Key{app, b.Key()}))
	})
	referring(app, c.Key(), a.Key(), b.Key())
	referring(product, b.Key())
	referring(b.Key(), c.Key())
	referring(a.Key())
	second := first(b)
	second.Serial = 2
	write(t, store, func(w control.Writer) error { return w.Put(second, []resource.Key{product, a.Key()}) })
	referring(app, c.Key(), a.Key())
	referring(product, b.Key())
	referring(a.Key(), b.Key())
	// Who is referred to may go: whether it does is not the store's to decide. Who refers takes the links along.
	write(t, store, func(w control.Writer) error { return errors.Join(w.Remove(a.Key(), start), w.Remove(c.Key(), start)) })
	referring(app)
	referring(a.Key(), b.Key())
}

// Old verifiers are forgotten, with the logins that they proved; one that still counts is
// not, whatever its number.
func testForgetting(t *testing.T, s Subject) {
	store := open(t, s)
	var all []control.Verifier
	write(t, store, func(w control.Writer) error {
		err := errors.Join(w.Put(first(credential("a")), nil), w.Put(first(credential("b")), nil))
		for n := 1; n <= 5; n++ {
			v := control.Verifier{N: n, Data: []byte{byte(n)}, Created: micros(start.Add(time.Duration(n) * time.Hour))}
			if n != 2 && n != 5 {
				v.Revoked = micros(start.Add(24 * time.Hour))
			}
			all = append(all, v)
			for _, name := range []string{"a", "b"} {
				err = errors.Join(err, w.PutVerifier(name, v), w.PutUse(control.Use{Credential: name, Secret: v.Mark(), Time: start}))
			}
		}
		return err
	})
	write(t, store, func(w control.Writer) error {
		return errors.Join(w.ForgetVerifiers("a", 4), w.ForgetVerifiers("a", -3), w.ForgetVerifiers("nobody", 9))
	})
	read(t, store, func(r control.Reader) error {
		for name, want := range map[string][]control.Verifier{"a": {all[1], all[3], all[4]}, "b": all} {
			got, err := r.Verifiers(name)
			if err != nil {
				return err
			}
			same(t, "verifiers of "+name, got, want)
			uses, err := r.Uses(name)
			if err != nil {
				return err
			}
			if len(uses) != len(want) {
				t.Errorf("%d last logins of %s, want %d", len(uses), name, len(want))
			}
		}
		return nil
	})
}

func testVerifiers(t *testing.T, s Subject) {
	store := open(t, s)
	v := func(n int) control.Verifier {
		return control.Verifier{N: n, Data: []byte{0, byte(n), 0xff}, Created: micros(start)}
	}
	one, two := v(1), v(2)
	one.Until = micros(start.Add(time.Hour))
	write(t, store, func(w control.Writer) error {
		if err := w.PutVerifier("a", one); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("of a credential that is not there: got %v", err)
		}
		return errors.Join(w.Put(first(credential("a")), nil), w.Put(first(credential("b")), nil), w.Put(first(credential("c")), nil),
			w.PutVerifier("a", two), w.PutVerifier("a", one), w.PutVerifier("c", v(1)))
	})
	verifiers := func(credential string, want ...control.Verifier) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, err := r.Verifiers(credential)
			if err == nil {
				same(t, "verifiers of "+credential, got, want)
			}
			return err
		})
	}
	verifiers("a", one, two)
	verifiers("b")
	verifiers("nobody")
	revoked := one
	revoked.Data, revoked.Revoked = nil, micros(start.Add(time.Second))
	write(t, store, func(w control.Writer) error { return w.PutVerifier("a", revoked) })
	verifiers("a", revoked, two)
	back := revoked
	back.Revoked, back.Until = time.Time{}, time.Time{}
	write(t, store, func(w control.Writer) error { return w.PutVerifier("a", back) })
	back.Revoked = revoked.Revoked
	verifiers("a", back, two)
	later := back
	later.Revoked = micros(start.Add(time.Hour))
	write(t, store, func(w control.Writer) error { return w.PutVerifier("a", later) })
	verifiers("a", back, two)
	read(t, store, func(r control.Reader) error {
		got := map[string][]control.Verifier{}
		err := r.AllVerifiers(func(credential string, of []control.Verifier) error {
			got[credential] = append(got[credential], of...)
			return nil
		})
		same(t, "all verifiers", got, map[string][]control.Verifier{"a": {back, two}, "c": {v(1)}})
		stop := errors.New("enough")
		if err := r.AllVerifiers(func(string, []control.Verifier) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("an error of the function: got %v", err)
		}
		return err
	})
	write(t, store, func(w control.Writer) error { return w.Remove(key(resource.KindCredential, "a"), start) })
	verifiers("a")
	verifiers("c", v(1))
	for name, v := range map[string]control.Verifier{"no number": {Created: start}, "no time": {N: 1}} {
		if err := store.Write(t.Context(), func(w control.Writer) error { return w.PutVerifier("c", v) }); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func testRevisions(t *testing.T, s Subject) {
	store := open(t, s)
	revision := func(n int) *control.Revision {
		return &control.Revision{N: n, Hash: fmt.Sprint("hash", n), Document: []byte(`{"spec":{}}`), Created: micros(start), By: "person ada"}
	}
	write(t, store, func(w control.Writer) error {
		if err := w.PutRevision("orders.v1", revision(1)); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("of a version that is not there: got %v", err)
		}
		return errors.Join(w.Put(first(version("orders.v1")), nil), w.PutRevision("orders.v1", revision(1)), w.PutRevision("orders.v1", revision(2)))
	})
	for _, n := range []int{0, 2, 4} {
		mustFail(t, store.Write(t.Context(), func(w control.Writer) error { return w.PutRevision("orders.v1", revision(n)) }), "the next one is 3")
	}
	read(t, store, func(r control.Reader) error {
		all, err := r.Revisions("orders.v1")
		if err != nil {
			return err
		}
		short := []control.Revision{*revision(1), *revision(2)}
		short[0].Document, short[1].Document = nil, nil
		same(t, "revisions", all, short)
		one, err := r.Revision("orders.v1", 2)
		if err != nil {
			return err
		}
		same(t, "revision 2", one, revision(2))
		if _, err := r.Revision("orders.v1", 3); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("revision 3: got %v", err)
		}
		return nil
	})
	write(t, store, func(w control.Writer) error { return w.Remove(key(resource.KindVersion, "orders.v1"), start) })
	read(t, store, func(r control.Reader) error {
		all, err := r.Revisions("orders.v1")
		if err == nil && len(all) > 0 {
			t.Errorf("of a version that was removed: %+v", all)
		}
		return err
	})
}

func testPages(t *testing.T, s Subject) {
	store := open(t, s)
	expect := func(want map[string]string) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			all, err := r.Pages("orders")
			same(t, "pages", all, want)
			return err
		})
	}
	expect(map[string]string{})
	write(t, store, func(w control.Writer) error {
		if err := w.PutPages("orders", map[string]string{"a.md": "x"}); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("of an API that is not there: got %v", err)
		}
		return errors.Join(w.Put(first(api("orders")), nil), w.Put(first(api("other")), nil), w.PutPages("other", map[string]string{"a.md": "of another"}),
			w.PutPages("orders", map[string]string{"a.md": "# A\n", "b.md": "Grüße\n"}))
	})
	expect(map[string]string{"a.md": "# A\n", "b.md": "Grüße\n"})
	write(t, store, func(w control.Writer) error { return w.PutPages("orders", map[string]string{"b.md": "new"}) })
	expect(map[string]string{"b.md": "new"})
	write(t, store, func(w control.Writer) error {
		return w.Remove(key(resource.KindAPI, "orders"), start)
	})
	expect(map[string]string{})
	read(t, store, func(r control.Reader) error {
		all, err := r.Pages("other")
		same(t, "pages of another", all, map[string]string{"a.md": "of another"})
		return err
	})
}

func testIdentity(t *testing.T, s Subject) {
	place := s.New(t)
	var ids [3]control.Identity
	for i, where := range []string{place, place, s.New(t)} {
		store := s.Open(t, where, Settings{})
		read(t, store, func(r control.Reader) (err error) {
			ids[i], err = r.Identity()
			return err
		})
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if ids[0] != ids[1] || ids[0].ID == "" || ids[0].Generation == 0 {
		t.Errorf("opened twice it is %+v and %+v", ids[0], ids[1])
	}
	if ids[2].ID == ids[0].ID {
		t.Error("another store has the same id")
	}
}

// row is an audit row as a test appends it.
func row(n int) audit.Row {
	return audit.Row{Time: start.Add(time.Duration(n) * time.Second), Actor: fmt.Sprint("person ", n%3), Action: "apply", Kind: "Team", Name: fmt.Sprint("t", n), Result: "ok",
		Details: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

func testNotes(t *testing.T, s Subject) {
	store := open(t, s)
	note := func(name, want string) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, err := r.Note(name)
			if got != want {
				t.Errorf("note %q: got %q, want %q", name, got, want)
			}
			return err
		})
	}
	note("seed", "")
	write(t, store, func(w control.Writer) error { return errors.Join(w.PutNote("seed", "a"), w.PutNote("other", "b")) })
	note("seed", "a")
	write(t, store, func(w control.Writer) error { return w.PutNote("seed", "Ä\u2028") })
	note("seed", "Ä\u2028")
	note("other", "b")
}

func testUses(t *testing.T, s Subject) {
	store := open(t, s)
	use := func(secret int, after time.Duration, address string) control.Use {
		return control.Use{Credential: "erp-1", Secret: secret, Time: micros(start.Add(after)), Address: address, Software: "client 1.0", Gateway: "gw-1"}
	}
	uses := func(want ...control.Use) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, err := r.Uses("erp-1")
			same(t, "uses", got, want)
			return err
		})
	}
	put := func(of ...control.Use) {
		t.Helper()
		write(t, store, func(w control.Writer) error {
			for _, u := range of {
				if err := w.PutUse(u); err != nil {
					return err
				}
			}
			return nil
		})
	}
	put(use(1, 0, "192.0.2.1")) // nobody has made it yet
	uses()
	write(t, store, func(w control.Writer) error { return w.Put(first(credential("erp-1")), nil) })
	var before, after int64
	read(t, store, func(r control.Reader) (err error) { before, err = r.Seq(); return err })
	put(use(2, time.Minute, "192.0.2.2"), use(0, 0, "192.0.2.3"), use(2, 0, "192.0.2.4"))
	uses(use(0, 0, "192.0.2.3"), use(2, time.Minute, "192.0.2.2"))
	put(use(2, 2*time.Minute, "2001:db8::1"))
	uses(use(0, 0, "192.0.2.3"), use(2, 2*time.Minute, "2001:db8::1"))
	read(t, store, func(r control.Reader) (err error) { after, err = r.Seq(); return err })
	if before != after {
		t.Error("a use is a change of the store")
	}
	write(t, store, func(w control.Writer) error { return w.Remove(key(resource.KindCredential, "erp-1"), start) })
	uses()
}

// tiring is a context that ends when it has been asked some number of times.
type tiring struct {
	context.Context
	left atomic.Int64
	over chan struct{}
	once sync.Once
}

func (c *tiring) ask() bool {
	if c.left.Add(-1) >= 0 {
		return false
	}
	c.once.Do(func() { close(c.over) })
	return true
}

func (c *tiring) Done() <-chan struct{} { c.ask(); return c.over }

func (c *tiring) Err() error {
	if c.ask() {
		return context.Canceled
	}
	return nil
}

// testGivenUp has callers give up at every moment at which somebody looks: what they began does not stay open for
// those who come after them.
func testGivenUp(t *testing.T, s Subject) {
	store := open(t, s)
	for i := range 60 {
		for _, try := range []func(context.Context) error{
			func(ctx context.Context) error {
				return store.Read(ctx, func(r control.Reader) error { _, err := r.Note("n"); return err })
			},
			func(ctx context.Context) error {
				return store.Write(ctx, func(w control.Writer) error { return w.PutNote("n", "x") })
			},
		} {
			ctx := &tiring{Context: t.Context(), over: make(chan struct{})}
			ctx.left.Store(int64(i))
			_ = try(ctx)
			for range 5 { // whichever connection it is
				if err := try(t.Context()); err != nil {
					t.Fatalf("after one who gave up at the look number %d: %v", i+1, err)
				}
			}
		}
	}
}
