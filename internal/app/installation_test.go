package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/store/sqlstore"
)

// refuses wants the control plane not to start, and to say why.
func (a *apart) refuses(what string, want ...string) {
	a.t.Helper()
	_, err := NewControlPlane(a.controlOptions())
	for _, want := range append(want, "sluice restore") {
		if err == nil || !strings.Contains(err.Error(), want) {
			a.t.Fatalf("%s: got %v, want %q", what, err, want)
		}
	}
}

// A control plane whose store is away, or another one, must not send its gateways away.
func TestAControlPlaneDoesNotBeginAnewWithoutItsStore(t *testing.T) {
	t.Parallel()
	a := apartIn(t, idle(t))
	a.apply(a.root, `{"kind":"Environment","metadata":{"name":"test"},"spec":{}}`, `{"kind":"Gateway","metadata":{"name":"gw-1","environment":"test"},"spec":{}}`)
	a.join("gw-1")
	a.end()
	opts := a.controlOptions()
	dir := opts.Config.DataDir
	store, kept := filepath.Join(dir, storeFile), filepath.Join(a.dir, "kept.db")
	if err := Backup(t.Context(), opts.Config, kept, opts.Log); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	// make puts another store there, which somebody may have opened by mistake.
	make := func() {
		t.Helper()
		other, err := sqlstore.Open(t.Context(), store, sqlstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, e := range entries {
			out += e.Name() + " "
		}
		return out
	}

	move(store, store+".away")
	move(filepath.Join(dir, feedDir), filepath.Join(a.dir, "feed.away"))
	before := names()
	a.refuses("without its store", store, dir, headsFile)
	var found []string
	Diagnose(t.Context(), func() Options { o := opts; o.Control = true; return o }(), func(f Finding) {
		if !f.OK {
			found = append(found, f.Message)
		}
	})
	if len(found) != 1 || !strings.Contains(found[0], "there is no store") {
		t.Errorf("the doctor finds %q", found)
	}
	move(filepath.Join(dir, installationFile), filepath.Join(a.dir, "installation.away"))
	a.refuses("without its store, left by an earlier release", store, dir, headsFile)
	move(filepath.Join(a.dir, "installation.away"), filepath.Join(dir, installationFile))
	if after := names(); after != before {
		t.Errorf("a start that is refused leaves %s, there was %s", after, before)
	}
	move(filepath.Join(a.dir, "feed.away"), filepath.Join(dir, feedDir))

	make()
	a.refuses("with another store", "another one")
	if err := os.Remove(filepath.Join(dir, installationFile)); err != nil {
		t.Fatal(err)
	}
	a.refuses("with another store, left by an earlier release", "another one")
	if err := os.WriteFile(filepath.Join(dir, installationFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.refuses("with another store, and a damaged file", "another one")

	// What was restored is the installation's, and a start takes it.
	if _, err := Restore(t.Context(), opts.Config, kept, false, time.Now, opts.Log); err != nil {
		t.Fatal(err)
	}
	a.begin()
	if n := a.control.management.plane.Model().JoinedGateways(); n != 1 {
		t.Errorf("%d gateways have joined", n)
	}
	a.end()

	// The copy of before it was restored is set back by hand: gateways would not follow.
	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
	move(store+".away", store)
	a.refuses("with an older store", "generation")

	// An earlier release has left no file that says of which store it is.
	if err := os.Remove(filepath.Join(dir, installationFile)); err != nil {
		t.Fatal(err)
	}
	a.begin()
	a.end()
	if _, err := os.Stat(filepath.Join(dir, installationFile)); err != nil {
		t.Error(err)
	}

	// Keys that are lost are made again, and that is said.
	for _, name := range []string{filepath.Join(feedDir, "authority.pem"), auditKeyFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if text := a.log.String(); strings.Contains(text, "was not there") {
		t.Errorf("before keys were lost: %s", text)
	}
	a.begin()
	a.end()
	for _, want := range []string{"let every gateway join again", "the key that signs heads of the audit log was not there"} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("%q is not said of lost keys", want)
		}
	}

	// Whoever begins anew removes what is there.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	a.begin()
	a.end()
}

// What was revoked is not written to a store that is refused.
func TestAStoreIsLookedAtBeforeItIsWrittenTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	revoked, where := filepath.Join(dir, revokedFile), filepath.Join(dir, storeFile)
	if err := os.WriteFile(revoked, []byte(`{"credential":"a","time":"2026-01-02T03:04:05Z"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	identity := func(s *sqlstore.Store) (id control.Identity) {
		t.Helper()
		if err := s.Read(t.Context(), func(r control.Reader) (err error) { id, err = r.Identity(); return err }); err != nil {
			t.Fatal(err)
		}
		return id
	}
	s, err := sqlstore.Open(t.Context(), where, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := identity(s)
	no := errors.New("another one")
	for _, opened := range []error{no, nil} {
		again, err := sqlstore.Open(context.Background(), where, sqlstore.Options{Revocations: revoked, Opened: func(control.Reader) error { return opened }})
		if !errors.Is(err, opened) {
			t.Fatalf("got %v, want %v", err, opened)
		}
		if again != nil {
			defer again.Close()
		}
		if after := identity(s); (after == before) != (opened != nil) {
			t.Errorf("refused with %v: %v became %v", opened, before, after)
		}
	}
}
