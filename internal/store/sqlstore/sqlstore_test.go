package sqlstore

import (
	"bytes"
	"context"
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
			return open(t, place, Options{KeepChanges: s.KeepChanges, Now: s.Now})
		},
		Writer: func(place string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writerCommand+"="+place)
			cmd.Stderr = new(bytes.Buffer)
			return cmd
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
