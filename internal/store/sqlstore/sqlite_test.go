package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fill puts n subscriptions of a tenth as many applications, in three environments.
func fill(t testing.TB, s *Store, n int) {
	t.Helper()
	if err := s.Write(t.Context(), func(w control.Writer) error {
		for i := range n {
			r := &control.Record{Document: &resource.Subscription{APIVersion: resource.APIVersion, Kind: resource.KindSubscription,
				Metadata: resource.Metadata{Name: fmt.Sprintf("subscription-%06d", i), Environment: [...]string{"dev", "qa", "prod"}[i%3], Labels: map[string]string{"cost-centre": fmt.Sprint(i % 100)}},
				Spec:     resource.SubscriptionSpec{Application: fmt.Sprintf("application-%05d", i/10), Product: fmt.Sprintf("product-%03d", i%200), Plan: "partner", State: "active"}},
				Status: control.Status{Since: at, By: "person ada", Trail: []control.Step{{Time: at, By: "person ada", Action: "approve", From: "pending", To: "active"}}},
				Serial: 1, Team: fmt.Sprintf("team-%03d", i%500), Organisation: fmt.Sprintf("org-%02d", i%20), Owner: fmt.Sprintf("git %d", i%50), Created: at, Changed: at}
			if err := w.Put(r, []resource.Key{{Kind: resource.KindApplication, Name: fmt.Sprintf("application-%05d", i/10)}, {Kind: resource.KindProduct, Name: fmt.Sprintf("product-%03d", i%200)}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func onDisk(t testing.TB) (*Store, string) {
	path := filepath.Join(t.TempDir(), "sluice.db")
	return open(t, path, Options{}), path
}

// TestListsUseAnIndex: the plans do not depend on what is stored, as there are no statistics.
func TestListsUseAnIndex(t *testing.T) {
	s, _ := onDisk(t)
	plan := func(statement string, args []any) string {
		rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		return strings.Join(steps, "; ")
	}
	product := resource.Key{Kind: resource.KindProduct, Name: "p"}
	for _, c := range []struct {
		q    control.Query
		want string
	}{
		{control.Query{}, "SEARCH d USING INDEX sqlite_autoindex_documents_1 (kind=? AND name>?)"},
		{control.Query{Environment: "e"}, "SEARCH d USING INDEX documents_environment (kind=? AND environment=? AND name>?)"},
		{control.Query{Organisation: "o"}, "SEARCH d USING INDEX documents_organisation (kind=? AND organisation=? AND name>?)"},
		{control.Query{Organisation: "o", Environment: "e"}, "SEARCH d USING INDEX documents_organisation_environment (kind=? AND organisation=? AND environment=? AND name>?)"},
		{control.Query{Team: "t"}, "SEARCH d USING INDEX documents_team (kind=? AND team=? AND name>?)"},
		{control.Query{Team: "t", Environment: "e"}, "SEARCH d USING INDEX documents_team_environment (kind=? AND team=? AND environment=? AND name>?)"},
		{control.Query{Owner: "o"}, "SEARCH d USING INDEX documents_owner (kind=? AND owner=? AND name>?)"},
		{control.Query{To: product}, "SEARCH l USING COVERING INDEX sqlite_autoindex_links_1 (to_kind=? AND to_name=? AND from_kind=? AND from_name>?); SEARCH d USING INDEX sqlite_autoindex_documents_1 (kind=? AND name=?)"},
		{control.Query{To: product, Team: "t"}, "SEARCH d USING INDEX documents_team (kind=? AND team=? AND name>?); SEARCH l USING COVERING INDEX sqlite_autoindex_links_1 (to_kind=? AND to_name=? AND from_kind=? AND from_name=?)"},
	} {
		c.q.Kind, c.q.After, c.q.Limit = resource.KindSubscription, "a", 50
		if got := plan(listStatement(c.q)); got != c.want {
			t.Errorf("%+v\ngot  %s\nwant %s", c.q, got, c.want)
		}
	}
	for where, want := range map[string]string{
		"":                                     "SCAN audit",
		"WHERE actor = $1":                     "SEARCH audit USING INDEX audit_actor (actor=?)",
		"WHERE kind = $1 AND name = $2":        "SEARCH audit USING INDEX audit_object (kind=? AND name=?)",
		"WHERE organisation = $1":              "SEARCH audit USING INDEX audit_organisation (organisation=?)",
		"WHERE team = $1 AND seq < $2":         "SEARCH audit USING INDEX audit_team (team=? AND seq<?)",
		"WHERE seq >= $1 AND seq <= $2":        "SEARCH audit USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
		"WHERE seq > $1 AND action = 'x'":      "SEARCH audit USING INDEX audit_action (action=? AND seq>?)",
		"WHERE time >= $1 AND actor = 'x' -- ": "SEARCH audit USING INDEX audit_actor (actor=?)",
	} {
		if got := plan("SELECT text, hash FROM audit "+strings.TrimSuffix(where, " -- ")+" ORDER BY seq DESC LIMIT 50", []any{1, 2}[:strings.Count(where, "$")]); got != want {
			t.Errorf("audit %s\ngot  %s\nwant %s", where, got, want)
		}
	}
}

// TestTablesAreAll: what export and restore carry is everything there is.
func TestTablesAreAll(t *testing.T) {
	s, _ := onDisk(t)
	conn, err := s.readers.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := s.dialect.tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	want := []string{migrationsTable}
	for _, table := range tables {
		want = append(want, table.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the database has %v, and export and restore know %v", got, want)
	}
}

func TestSQLiteIsSetUp(t *testing.T) {
	s, path := onDisk(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writers.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
	fill(t, s, 1)
	for _, beside := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + beside)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s%s has mode %v, %v", path, beside, info.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("opened again, it has mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatIsNoStoreIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
		kind  fault.Kind
	}{
		"empty": {func(t *testing.T, path string) { write(t, path, nil) }, "is empty: restore it from a backup", fault.Unavailable},
		"text":  {func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("hello ", 1000))) }, "is damaged, or is no SQLite database at all: restore it from a backup", fault.Unavailable},
		"cut off": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, b[:len(b)/2])
		}, "is damaged: restore it from a backup", fault.Unavailable},
		"only its log": {func(t *testing.T, path string) {
			if err := os.Rename(path, path+"-wal"); err != nil {
				t.Fatal(err)
			}
		}, "is missing, but", fault.Unavailable},
		"of something else": {func(t *testing.T, path string) {
			change(t, path, "DROP TABLE migrations")
		}, "is a database of something else", fault.Invalid},
		"of a newer release": {func(t *testing.T, path string) {
			change(t, path, "INSERT INTO migrations (version, time) VALUES (99, 0)")
		}, "is of a newer release: it has schema 99", fault.Invalid},
		"a folder": {func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "cannot be used", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := onDisk(t)
			fill(t, s, 100)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, path)
			s, err := Open(t.Context(), path, Options{})
			if err == nil { // a page that is missing is met when it is read
				err = errors.Join(s.Check(t.Context()), s.Close())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != c.kind {
				t.Errorf("got %v (%s), want %q (%s)", err, fault.KindOf(err), c.want, c.kind)
			}
		})
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, path, statement string) {
	t.Helper()
	db, err := openSQLiteFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsRestored: a damaged database is moved away, and a backup takes its place.
func TestDamageIsRestored(t *testing.T) {
	s, path := onDisk(t)
	fill(t, s, 100)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := errors.Join(s.Backup(t.Context(), backup), s.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoilt := range map[string][]byte{"text": []byte(strings.Repeat("hello ", 1000)), "empty": nil, "cut off": b[:len(b)/2]} {
		write(t, path, spoilt)
		done, err := Restore(t.Context(), backup, path, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if kept, err := os.ReadFile(done.Kept); err != nil || len(kept) == 0 && len(spoilt) > 0 {
			t.Errorf("%s: what was damaged is not kept: %v", name, err)
		}
		_ = os.Remove(done.Kept)
		s := open(t, path, Options{})
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Read(t.Context(), func(r control.Reader) error {
			page, _, err := r.List(control.Query{Kind: resource.KindSubscription})
			if len(page) != 100 {
				t.Errorf("%s: %d documents", name, len(page))
			}
			return err
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, []byte(strings.Repeat("hello ", 1000)))
	if _, err := Restore(t.Context(), path, filepath.Join(t.TempDir(), "new.db"), Options{}); err == nil {
		t.Error("what is no backup is restored")
	}

	// A database of something else, or of nothing, must not become an empty store.
	for _, statement := range []string{"CREATE TABLE a (b INTEGER)", "PRAGMA user_version = 3"} {
		write(t, path, nil)
		change(t, path, statement)
		if _, err := Restore(t.Context(), path, filepath.Join(t.TempDir(), "new.db"), Options{}); err == nil || !strings.Contains(err.Error(), "it has none of its tables") {
			t.Errorf("%s: got %v", statement, err)
		}
	}
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, whole[:len(whole)/2])
	if _, err := Restore(t.Context(), path, filepath.Join(t.TempDir(), "new.db"), Options{}); err == nil || !strings.Contains(err.Error(), "damaged, or cut off") && !strings.Contains(err.Error(), "may be cut off") {
		t.Errorf("half a backup: got %v", err)
	}
}

// TestFullDisk limits the pages of the database, which SQLite meets as it meets a full disk.
func TestFullDisk(t *testing.T) {
	s, _ := onDisk(t)
	fill(t, s, 50)
	var pages int64
	if err := s.writers.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int64) {
		if _, err := s.writers.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	state := func() (seq, rows int64) {
		if err := s.Read(t.Context(), func(r control.Reader) (err error) {
			newest, _, err := r.AuditRows(audit.Query{Limit: 1})
			if err == nil && len(newest) > 0 {
				rows = newest[0].Seq
			}
			if err == nil {
				seq, err = r.Seq()
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return seq, rows
	}
	large := func() error {
		return s.Write(t.Context(), func(w control.Writer) error {
			if _, err := w.AppendAudit(audit.Row{Time: at, Action: "apply"}); err != nil {
				return err
			}
			return w.Put(&control.Record{Document: &resource.Team{Kind: resource.KindTeam, Metadata: resource.Metadata{Name: "large"}, Spec: resource.TeamSpec{Title: strings.Repeat("x", 1<<20)}}, Serial: 1, Created: at, Changed: at}, nil)
		})
	}
	limit(pages + 20)
	err := large()
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "disk of the control plane's store is full") {
		t.Errorf("got %v", err)
	}
	if seq, rows := state(); seq != 50 || rows != 0 {
		t.Errorf("half of it is there: change %d, audit row %d", seq, rows)
	}
	limit(math.MaxInt32)
	if err := large(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if seq, rows := state(); seq != 51 || rows != 1 {
		t.Errorf("change %d, audit row %d", seq, rows)
	}
}

// TestRevocationsThatCannotBeWritten are owed to the file and come with the next.
func TestRevocationsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "sluice.db"), filepath.Join(dir, "revocations")
	s := open(t, path, Options{Revocations: file})
	good := s.revoked.f
	broken, err := os.Open(file) // cannot be written
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	revoke := func(name string) {
		t.Helper()
		if err := s.Write(t.Context(), func(w control.Writer) error {
			r := &control.Record{Document: &resource.Credential{Kind: resource.KindCredential, Metadata: resource.Metadata{Name: name}}, Serial: 1, Created: at, Changed: at}
			return errors.Join(w.Put(r, nil), w.Remove(r.Key(), at))
		}); err != nil {
			t.Errorf("a revocation waits for a file beside the store: %v", err)
		}
	}
	s.revoked.f = broken
	revoke("a")
	if known, err := readRevoked(file); err != nil || len(known) != 0 {
		t.Errorf("got %v, %v", known, err)
	}
	s.revoked.f = good
	revoke("b")
	if known, err := readRevoked(file); err != nil || len(known) != 2 {
		t.Errorf("got %v, %v", known, err)
	}
	// A process that ended in between catches up when it starts.
	s.revoked.f = broken
	revoke("c")
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "1 revocations are not in") {
		t.Errorf("closing: got %v", err)
	}
	_ = good.Close()
	open(t, path, Options{Revocations: file})
	if known, err := readRevoked(file); err != nil || len(known) != 3 {
		t.Errorf("got %v, %v", known, err)
	}
}

func BenchmarkListPage(b *testing.B) {
	s, _ := onDisk(b)
	fill(b, s, 100_000)
	for name, q := range map[string]control.Query{
		"kind": {After: "subscription-05"}, "environment": {Environment: "prod", After: "subscription-05"}, "team": {Team: "team-123"},
		"product": {To: resource.Key{Kind: resource.KindProduct, Name: "product-017"}}, "organisation": {Organisation: "org-03", Environment: "qa"},
	} {
		q.Kind, q.Limit = resource.KindSubscription, 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := s.Read(b.Context(), func(r control.Reader) error {
					page, _, err := r.List(q)
					if len(page) != 50 {
						b.Errorf("%d documents", len(page))
					}
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if err := s.Read(b.Context(), func(r control.Reader) error {
				page, _, err := r.List(control.Query{Kind: resource.KindSubscription})
				if len(page) != 100_000 {
					b.Errorf("%d documents", len(page))
				}
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	s, _ := onDisk(b)
	fill(b, s, 10_000)
	r := &control.Record{Document: &resource.Team{Kind: resource.KindTeam, Metadata: resource.Metadata{Name: "one"}}, Created: at, Changed: at}
	for b.Loop() {
		r.Serial++
		if err := s.Write(context.Background(), func(w control.Writer) error {
			if _, err := w.AppendAudit(audit.Row{Time: at, Actor: "person ada", Action: "apply", Kind: "Team", Name: "one", Result: "ok"}); err != nil {
				return err
			}
			return w.Put(r, []resource.Key{{Kind: resource.KindOrganisation, Name: "acme"}})
		}); err != nil {
			b.Fatal(err)
		}
	}
}
