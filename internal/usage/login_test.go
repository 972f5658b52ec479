package usage

import (
	"slices"
	"testing"
	"time"
)

func TestLoginsAreToldOnceAMinute(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := NewLogins("gw-1")
	login := func(credential string, secret int, address string) Login {
		return Login{Credential: credential, Secret: secret, Time: now, Address: address, Gateway: "gw-1"}
	}
	take := func(want ...Login) {
		t.Helper()
		if got := l.Take(now); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	take()
	l.Note(login("b", 1, "192.0.2.1"))
	l.Note(login("a", 2, "192.0.2.2"))
	l.Note(login("a", 1, "192.0.2.3"))
	l.Note(login("a", 1, "192.0.2.4")) // the last one counts
	take(login("a", 1, "192.0.2.4"), login("a", 2, "192.0.2.2"), login("b", 1, "192.0.2.1"))
	take()
	now = now.Add(Coarse - 1)
	later := login("b", 1, "192.0.2.5")
	l.Note(later)
	take() // not yet
	now = now.Add(1)
	take(later)
	now = now.Add(-time.Hour) // the clock is set back
	l.Note(login("b", 1, "192.0.2.6"))
	take(login("b", 1, "192.0.2.6"))
	if n := len(l.told) + len(l.waiting); n != 1 {
		t.Errorf("%d are remembered, want 1", n)
	}
}
