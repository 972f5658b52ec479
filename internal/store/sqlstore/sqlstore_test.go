package sqlstore

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/store/storetest"
)

// writerCommand makes this test binary a process that writes to the store it is told, until it is killed.
const writerCommand = "SLUICE_TEST_WRITES_TO"

func TestMain(m *testing.M) {
	if place := os.Getenv(writerCommand); place != "" {
		ctx := context.Background()
		store, err := Open(ctx, place, Options{})
		if err == nil {
			err = storetest.Write(ctx, store, os.Stdout)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// onSQLite is SQLite in a folder of the test.
func onSQLite() storetest.Subject {
	return storetest.Subject{
		New: func(t testing.TB) string { return filepath.Join(t.TempDir(), "a b?#%.db") }, // a name that must not be taken for an address
		Open: func(t testing.TB, place string, s storetest.Settings) control.Store {
			t.Helper()
			return open(t, place, Options{KeepChanges: s.KeepChanges, Now: s.Now, Revocations: s.Revocations})
		},
		Writer: func(place string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writerCommand+"="+place)
			cmd.Stderr = new(bytes.Buffer)
			return cmd
		},
		Backup: func(store control.Store, file string) error {
			return store.(*Store).Backup(context.Background(), file)
		},
		Restore: func(file, place, revocations string) error {
			_, err := Restore(context.Background(), file, place, Options{Revocations: revocations})
			return err
		},
		Export: func(t testing.TB, store control.Store) []byte {
			t.Helper()
			var b bytes.Buffer
			if err := store.(*Store).Export(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
		Import: func(t testing.TB, place string, export []byte) control.Store {
			t.Helper()
			s, err := Import(t.Context(), bytes.NewReader(export), place, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func open(t testing.TB, place string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) { storetest.Run(t, onSQLite()) }

func TestPeople(t *testing.T) {
	storetest.People(t, func(t *testing.T) identity.Store {
		return control.People(open(t, filepath.Join(t.TempDir(), "people.db"), Options{}))
	})
}

var update = flag.Bool("update", false, "write the dump of the newest schema anew")

func TestMigrations(t *testing.T) {
	texts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, "x.db"), Options{})
		if err := storetest.FillDump(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("..", "storetest", "testdata", fmt.Sprintf("schema-%04d.jsonl", len(texts)))
		if err := os.WriteFile(path, onSQLite().Export(t, s), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Log("written; it is compiled in with the next run")
		return
	}
	if dumps := storetest.Migrations(t, onSQLite()); dumps != len(texts) {
		t.Errorf("there are dumps of %d schemas, and there are %d: go test ./internal/store/sqlstore -run TestMigrations -update", dumps, len(texts))
	}
}
