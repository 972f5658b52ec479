package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/store/sqlstore"
	"sluice/internal/store/storetest"
)

// writerCommand makes this test binary a process that writes to the store it is told, until it is killed.
const writerCommand = "SLUICE_TEST_WRITES_TO"

var server *Server

func TestMain(m *testing.M) {
	if place := os.Getenv(writerCommand); place != "" {
		ctx := context.Background()
		store, err := sqlstore.Open(ctx, place, sqlstore.Options{})
		if err == nil {
			err = storetest.Write(ctx, store, os.Stdout)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var err error
	if server, err = Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func open(t testing.TB, place string, o sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(context.Background(), place, o)
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

func onPostgres() storetest.Subject {
	return storetest.Subject{
		New: server.Database,
		Open: func(t testing.TB, place string, s storetest.Settings) control.Store {
			t.Helper()
			return open(t, place, sqlstore.Options{KeepChanges: s.KeepChanges, Now: s.Now, Revocations: s.Revocations})
		},
		Writer: func(place string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), writerCommand+"="+place)
			cmd.Stderr = new(bytes.Buffer)
			return cmd
		},
		Backup: func(store control.Store, file string) error {
			return store.(*sqlstore.Store).Backup(context.Background(), file)
		},
		Restore: func(file, place, revocations string) error {
			_, err := sqlstore.Restore(context.Background(), file, place, sqlstore.Options{Revocations: revocations})
			return err
		},
		Export: func(t testing.TB, store control.Store) []byte {
			t.Helper()
			var b bytes.Buffer
			if err := store.(*sqlstore.Store).Export(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
		Import: func(t testing.TB, place string, export []byte) control.Store {
			t.Helper()
			s, err := sqlstore.Import(t.Context(), bytes.NewReader(export), place, sqlstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func TestPostgres(t *testing.T) { storetest.Run(t, onPostgres()) }

func TestPeople(t *testing.T) {
	storetest.People(t, func(t *testing.T) identity.Store {
		return control.People(open(t, server.Database(t), sqlstore.Options{}))
	})
}

func TestMigrations(t *testing.T) { storetest.Migrations(t, onPostgres()) }
