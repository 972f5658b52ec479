package sqlstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/resource"
)

// TestRestoredPeople puts an older copy in place of a store: what was revoked since
// stays so, and nobody is logged in with what may have ended since.
func TestRestoredPeople(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	path, beside := filepath.Join(dir, "sluice.db"), filepath.Join(dir, "revocations")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	change := func(f func(identity.Writer) error) {
		t.Helper()
		s, err := Open(ctx, path, Options{Revocations: beside})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(control.People(s).Write(ctx, f), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	token := func(id, person string) *identity.Token {
		return &identity.Token{ID: id, Hash: id, Person: person, Name: id, Created: now, Expires: now.Add(time.Hour)}
	}
	change(func(w identity.Writer) error {
		return errors.Join(
			w.PutPerson(&identity.Person{Login: "ada", Created: now, Changed: now}), w.PutPerson(&identity.Person{Login: "bob", Created: now, Changed: now}),
			w.PutToken(token("kept", "ada")), w.PutToken(token("revoked", "ada")), w.PutToken(token("gone", "bob")),
			w.PutLogin(&identity.Login{Hash: "h", ID: "i", Person: "ada", Created: now, Seen: now, Expires: now.Add(time.Hour)}),
			w.PutOneTime(&identity.OneTime{Hash: "o", Purpose: identity.ForPassword, Person: "ada", Created: now, Expires: now.Add(time.Hour)}))
	})
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(func(w identity.Writer) error { return errors.Join(w.RemoveToken("revoked"), w.RemovePerson("bob")) })
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	change(func(w identity.Writer) error {
		if _, err := w.Token("kept"); err != nil {
			t.Errorf("a token that was never revoked: %v", err)
		}
		_, revoked := w.Token("revoked")
		_, gone := w.Token("gone")
		_, login := w.Login("h")
		_, once := w.OneTime("o")
		for what, err := range map[string]error{"a revoked token": revoked, "the token of somebody removed": gone, "a login": login, "a one-time token": once} {
			if !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("%s is there again: %v", what, err)
			}
		}
		return nil
	})
}

// TestPeopleComeToAnOlderStore brings a store without people forward.
func TestPeopleComeToAnOlderStore(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "sluice.db")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	team := &resource.Team{Kind: resource.KindTeam, Metadata: resource.Metadata{Name: "shop"}}
	s, err := openAt(ctx, path, Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	err = s.write(context.Background(), func(w *writer) error {
		return w.Put(&control.Record{Document: team, Serial: 1, Created: now, Changed: now}, nil)
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	err = s.Write(ctx, func(w control.Writer) error {
		if _, err := w.Get(team.Key()); err != nil {
			t.Errorf("what was there: %v", err)
		}
		return w.PutPerson(&identity.Person{Login: "ada", Created: now, Changed: now})
	})
	if err != nil {
		t.Error(err)
	}
}
