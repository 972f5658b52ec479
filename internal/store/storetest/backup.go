package storetest

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/notify"
	"sluice/internal/resource"
)

// dumps are exports of small stores, one for each schema that was ever released.
//
//go:embed testdata/schema-*.jsonl
var dumps embed.FS

// FillDump fills an empty store with what a dump has: everything a store can have.
// Its times are fixed.
func FillDump(ctx context.Context, store control.Store) error {
	return store.Write(ctx, func(w control.Writer) error {
		app, product := key(resource.KindApplication, "erp"), key(resource.KindProduct, "orders")
		sub := first(subscription("acme-orders", "prod", "erp"))
		sub.Team, sub.Organisation, sub.Owner = "erp", "acme", "git acme/apis"
		sub.Status = control.Status{Since: start, By: "person ada", Trail: []control.Step{{Time: start, By: "person ada", Action: "approve", From: "pending", To: "active", Message: "Grüße <&>\u2028"}}}
		second := *sub
		second.Serial, second.Changed = 2, start.Add(time.Second)
		last, err := w.AppendAudit(row(1))
		return errors.Join(err,
			w.Put(sub, []resource.Key{app, product}), w.Put(&second, []resource.Key{app, product}),
			w.Put(first(credential("erp-1")), []resource.Key{app}),
			w.PutVerifier("erp-1", control.Verifier{N: 1, Data: []byte{0, 255}, Created: start, Until: start.Add(time.Hour), Revoked: start.Add(time.Minute)}),
			w.PutVerifier("erp-1", control.Verifier{N: 2, Created: start}),
			w.Put(first(version("orders.v1")), nil),
			w.PutRevision("orders.v1", &control.Revision{N: 1, Hash: "abc", Document: []byte(`{"a":"\u0000"}`), Created: start, By: "person ada"}),
			w.Put(first(team("gone")), nil), w.Remove(key(resource.KindTeam, "gone"), start.Add(time.Minute)),
			w.AppendHead(audit.Head{Log: "log", Seq: last.Seq, Hash: last.Hash, Time: micros(start), Key: "key", Signature: []byte{1, 2, 3}}),
			w.PutPerson(&identity.Person{Login: "ada", Title: "Ada", PlatformAdmin: true, Created: micros(start), Changed: micros(start), Secrets: identity.Secrets{Password: "hash", TOTP: []byte{1}}}),
			w.PutToken(&identity.Token{ID: "t1", Hash: "h1", Person: "ada", Name: "ci", Created: micros(start), Expires: micros(start.Add(time.Hour))}),
			w.PutLogin(&identity.Login{Hash: "h2", ID: "l1", Person: "ada", Created: micros(start), Seen: micros(start), Expires: micros(start.Add(time.Hour))}),
			w.PutOneTime(&identity.OneTime{Hash: "h3", Purpose: identity.ForPassword, Person: "ada", Created: micros(start), Expires: micros(start.Add(time.Hour))}),
			w.PutFailures("f1", identity.Failures{Count: 2, Last: micros(start)}),
			w.PutNote("seed", "abc"),
			w.PutUse(control.Use{Credential: "erp-1", Secret: 1, Time: micros(start), Address: "192.0.2.1", Software: "kgo 1.0", Gateway: "gw-1"}),
			w.AddNotification(notification("n1", notify.Webhook, "erp", 0)),
			w.Put(first(api("orders")), nil), w.PutPages("orders", map[string]string{"start.md": "# Grüße <&>\n"}),
		)
	})
}

// Migrations imports the dump of each schema and looks whether everything is there.
// The export of the newest must be the dump again. It returns how many there are.
func Migrations(t *testing.T, s Subject) int {
	names, err := fs.Glob(dumps, "testdata/schema-*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		dump, err := dumps.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		store := s.Import(t, s.New(t), dump)
		read(t, store, func(r control.Reader) error {
			sub, err1 := r.Get(key(resource.KindSubscription, "acme-orders"))
			cred, err2 := r.Get(key(resource.KindCredential, "erp-1"))
			verifiers, err3 := r.Verifiers("erp-1")
			revision, err4 := r.Revision("orders.v1", 1)
			referring, err5 := r.Referring(key(resource.KindApplication, "erp"))
			seq, err6 := r.Seq()
			if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
				return err
			}
			changes := int64(6)
			if i >= 5 { // an API came with the pages of schema 6
				changes = 7
			}
			if sub.Serial != 2 || sub.Owner != "git acme/apis" || len(sub.Status.Trail) != 1 || cred.Serial != 1 || len(verifiers) != 2 || !bytes.Equal(verifiers[0].Data, []byte{0, 255}) ||
				verifiers[0].Revoked.IsZero() || revision.Hash != "abc" || len(referring) != 2 || seq != changes {
				t.Errorf("%s: got %s", name, inWords([]any{sub, cred, verifiers, revision, referring, seq}))
			}
			if _, err := r.Person("ada"); i > 0 && err != nil { // people came with schema 2
				t.Errorf("%s: %v", name, err)
			}
			return chained(r, 1)
		})
		if got := s.Export(t, store); i == len(names)-1 && !bytes.Equal(got, dump) {
			t.Errorf("%s, exported again:\ngot  %s\nwant %s", name, got, dump)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	return len(names)
}

// rebirth is a store with a backup, and what happened since.
type rebirth struct {
	place, backup, revocations string
	before                     control.Identity
	seq                        int64
}

// makeRebirth backs a store up and ends credentials afterwards, in every way.
func makeRebirth(t *testing.T, s Subject) rebirth {
	b := rebirth{place: s.New(t), backup: filepath.Join(t.TempDir(), "backup"), revocations: filepath.Join(t.TempDir(), "revocations")}
	store := s.Open(t, b.place, Settings{Revocations: b.revocations})
	put := func(name string, secrets ...int) {
		write(t, store, func(w control.Writer) error {
			err := w.Put(first(credential(name)), []resource.Key{key(resource.KindApplication, "erp")})
			for _, n := range secrets {
				err = errors.Join(err, w.PutVerifier(name, control.Verifier{N: n, Data: []byte(name), Created: start}))
			}
			_, err2 := w.AppendAudit(row(1))
			return errors.Join(err, err2)
		})
	}
	again := func(name string) { // removed before the backup, and made again since
		write(t, store, func(w control.Writer) error {
			made := first(credential(name))
			made.Created, made.Changed = start.Add(time.Minute), start.Add(time.Minute)
			return errors.Join(w.Remove(made.Key(), start.Add(time.Second)), w.Put(made, nil), w.PutVerifier(name, control.Verifier{N: 1, Created: made.Created}))
		})
	}
	put("kept", 1)
	put("one-secret", 1, 2)
	put("revoked", 1)
	put("removed", 1)
	put("again", 1)
	again("again")
	put("again-later", 1)
	if err := s.Backup(store, b.backup); err != nil {
		t.Fatal(err)
	}
	later := start.Add(time.Hour)
	put("younger", 1)
	write(t, store, func(w control.Writer) error {
		revoked := first(credential("revoked"))
		revoked.Serial, revoked.Changed = 2, later
		revoked.Document.(*resource.Credential).Spec.State = "revoked"
		return errors.Join(
			w.PutVerifier("one-secret", control.Verifier{N: 1, Created: start, Revoked: later}),
			w.Put(revoked, nil),
			w.Remove(key(resource.KindCredential, "removed"), later),
		)
	})
	again("again-later") // what the backup has of it is the one that was removed
	read(t, store, func(r control.Reader) (err error) {
		b.before, err = r.Identity()
		if err != nil {
			return err
		}
		b.seq, err = r.Seq()
		return err
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// reborn looks whether a store is that of the backup, without what had ended.
func (b rebirth) reborn(t *testing.T, store control.Store) {
	t.Helper()
	read(t, store, func(r control.Reader) error {
		for name, want := range map[string]struct {
			state string
			live  []int
		}{
			"kept": {"", []int{1}}, "one-secret": {"", []int{2}}, "revoked": {"revoked", nil}, "removed": {"revoked", nil}, "again": {"", []int{1}}, "again-later": {"revoked", nil},
		} {
			record, err := r.Get(key(resource.KindCredential, name))
			if err != nil {
				return err
			}
			verifiers, err := r.Verifiers(name)
			if err != nil {
				return err
			}
			var live []int
			for _, v := range verifiers {
				if v.Revoked.IsZero() {
					live = append(live, v.N)
				}
			}
			if state := record.Document.(*resource.Credential).Spec.State; state != want.state || !slices.Equal(live, want.live) {
				t.Errorf("%s has state %q and secrets %v, want %q and %v", name, state, live, want.state, want.live)
			}
			if referring, err := r.Referring(key(resource.KindApplication, "erp")); err != nil || len(referring) != 5 { // again was put without
				t.Errorf("the application is referred to by %v, %v", referring, err)
			}
		}
		if _, err := r.Get(key(resource.KindCredential, "younger")); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("what came after the backup: got %v", err)
		}
		id, err := r.Identity()
		if err != nil {
			return err
		}
		if id.ID != b.before.ID || id.Generation <= b.before.Generation {
			t.Errorf("the store is %+v now, and was %+v", id, b.before)
		}
		newest, _, err := r.AuditRows(audit.Query{Limit: 1})
		if err != nil {
			return err
		}
		if row := newest[0]; row.Action != "restore" || row.Actor != "system" || !strings.Contains(string(row.Details), `"revokedAgain":["`) || strings.Contains(string(row.Details), `"kept"`) {
			t.Errorf("the last audit row is %s", row.Text())
		}
		return chained(r, int(newest[0].Seq))
	})
}

func testRestore(t *testing.T, s Subject) {
	b := makeRebirth(t, s)
	other := s.Open(t, b.place, Settings{}) // somebody has it open meanwhile
	if err := s.Restore(b.backup, b.place, ""); err != nil {
		t.Fatal(err)
	}
	b.reborn(t, other)
	read(t, other, func(r control.Reader) error {
		for seq := range b.seq + 1 { // whatever a follower has seen, it reads all anew
			if _, ok, err := r.Changes(seq, 10); ok || err != nil {
				t.Errorf("changes after %d: %v, %v", seq, ok, err)
			}
		}
		return nil
	})
	// A second time gives the same, but for the generation.
	read(t, other, func(r control.Reader) (err error) { b.before, err = r.Identity(); return err })
	if err := s.Restore(b.backup, b.place, b.revocations); err != nil {
		t.Fatal(err)
	}
	b.reborn(t, s.Open(t, b.place, Settings{Revocations: b.revocations}))
	write(t, other, func(w control.Writer) error { return next(w, "counter") })
}

// testRestoreLost: the database is gone, and only the file beside it knows what was revoked.
func testRestoreLost(t *testing.T, s Subject) {
	b := makeRebirth(t, s)
	place := s.New(t)
	if err := s.Restore(b.backup, place, b.revocations); err != nil {
		t.Fatal(err)
	}
	b.reborn(t, s.Open(t, place, Settings{Revocations: b.revocations}))
}

// testReplaced: somebody put an older database in the place of ours, without telling.
func testReplaced(t *testing.T, s Subject) {
	b := makeRebirth(t, s)
	place := s.New(t)
	// Without the file nobody knows.
	if err := s.Restore(b.backup, place, ""); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(b.revocations)
	if err != nil {
		t.Fatal(err)
	}
	for name, torn := range map[string]string{"whole": "", "cut off": `{"credential":"x","ti`} {
		file := filepath.Join(t.TempDir(), "revocations")
		if err := os.WriteFile(file, append(known, torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		b.reborn(t, s.Open(t, place, Settings{Revocations: file}))
		for range 2 { // and from then on there is nothing to tell
			store := s.Open(t, place, Settings{Revocations: file})
			write(t, store, func(w control.Writer) error {
				return w.PutVerifier("kept", control.Verifier{N: 1, Created: start, Revoked: time.Time{}})
			})
			if err := store.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.reborn(t, s.Open(t, place, Settings{Revocations: file}))
	}
	file := filepath.Join(t.TempDir(), "revocations")
	if err := os.WriteFile(file, []byte("{\n"+string(known)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, s.Restore(b.backup, s.New(t), file), "line 1 of "+file+" is damaged")
}

func testRestoreRefused(t *testing.T, s Subject) {
	b := makeRebirth(t, s)
	place := s.New(t)
	store := s.Open(t, place, Settings{})
	write(t, store, func(w control.Writer) error { return next(w, "counter") })
	mustFail(t, s.Restore(b.backup, place, ""), "it is a backup of another store")
	export := s.Export(t, s.Open(t, b.place, Settings{}))
	lines := strings.SplitAfter(string(export), "\n")
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", "the file is empty"},
		"something else":      {"{}", "no backup of a control plane"},
		"cut off":             {strings.Join(lines[:len(lines)-2], ""), "is cut off behind row"},
		"cut off in the file": {string(export[:len(export)/2]), "is cut off behind row"},
		"a row less":          {strings.Join(slices.Delete(slices.Clone(lines), len(lines)-3, len(lines)-2), ""), "rows, and should have"},
		"something behind":    {string(export) + "{}", "something behind"},
		"of a newer release":  {strings.Replace(string(export), `"schema":`, `"schema":9`, 1), "of a newer release"},
		"another column":      {strings.Replace(string(export), `"row":{"`, `"row":{"x) VALUES (1); --`, 1), "none of ours"},
	} {
		path := filepath.Join(t.TempDir(), "export")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Restore(path, place, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	whole(t, store, 1) // nothing of it has been touched
}

// testBackupOnline backs a store up while it is written.
func testBackupOnline(t *testing.T, s Subject) {
	place := s.New(t)
	store := s.Open(t, place, Settings{})
	write(t, store, func(w control.Writer) error { return next(w, "counter") })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	wrote := make(chan struct{}, 1000)
	go func() {
		for ctx.Err() == nil {
			if err := store.Write(context.WithoutCancel(ctx), func(w control.Writer) error { return next(w, "counter") }); err != nil {
				done <- err
				return
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
		done <- nil
	}()
	dir := t.TempDir()
	for i := range 3 {
		<-wrote
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := s.Backup(store, path); err != nil {
			t.Error(err)
			break
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup has mode %v, %v", info.Mode(), err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustFail(t, s.Backup(store, filepath.Join(dir, "0")), "is there already")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	for i := range 3 {
		into := s.New(t)
		if err := s.Restore(filepath.Join(dir, fmt.Sprint(i)), into, ""); err != nil {
			t.Fatal(err)
		}
		read(t, s.Open(t, into, Settings{}), func(r control.Reader) error {
			record, err := r.Get(key(resource.KindTeam, "counter"))
			if err != nil {
				return err
			}
			return chained(r, int(record.Serial)+1) // and that of the restore
		})
	}
}
