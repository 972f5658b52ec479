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
		if got := l.Take(now, 0); !slices.Equal(got, want) {
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

func TestLoginsAreTakenAFewAtATime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := NewLogins("")
	for n := range 5 {
		l.Note(Login{Credential: "a", Secret: n, Time: now, Gateway: "gw-2"})
	}
	seen := map[int]bool{}
	for _, want := range []int{3, 2, 0} {
		got := l.Take(now, 3)
		if len(got) != want {
			t.Errorf("got %d, want %d", len(got), want)
		}
		for _, login := range got {
			seen[login.Secret] = true
			if login.Gateway != "gw-2" {
				t.Errorf("a login at gw-2 is told as one at %q", login.Gateway)
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d of 5 are told", len(seen))
	}
}
