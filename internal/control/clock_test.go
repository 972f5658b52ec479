package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// The clock looks at everything once, and then at what changed; and finds nevertheless
// what is due, also where that was moved.
func TestTheClockLooksAtWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", "kind: Application\nmetadata: {name: billing, team: erp}\nspec: {}")
	tick := control.Clock(w.plane)
	looks := func(what string, want int) {
		t.Helper()
		if got, err := tick(t.Context()); err != nil || got != want {
			t.Errorf("%s: it looked at %d documents, want %d: %v", what, got, want, err)
		}
	}
	looks("at first", w.plane.Model().Len())
	looks("when nothing changed", 0)
	ends := func(at time.Time, n ...int) {
		t.Helper()
		var all []string
		for _, n := range n {
			all = append(all, fmt.Sprintf("kind: Credential\nmetadata: {name: c%d, environment: prod}\nspec: {application: billing, type: scram, notAfter: %s}", n, at.Format(time.RFC3339)))
		}
		w.apply("dan", strings.Join(all, "\n---\n"))
	}
	states := func(what, want string) {
		t.Helper()
		var got []string
		for n := range 4 {
			got = append(got, w.state(resource.KindCredential, fmt.Sprint("c", n)))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	hour := w.now.Add(time.Hour)
	ends(hour, 0, 1, 2, 3)
	looks("after four", 4)
	ends(hour.Add(24*time.Hour), 1) // later
	ends(hour.Add(-30*time.Minute), 2)
	if _, err := w.plane.Delete(t.Context(), w.as("dan"), []resource.Key{{Kind: resource.KindCredential, Name: "c3"}}, nil); err != nil {
		t.Fatal(err)
	}
	looks("after three", 3)
	w.now = hour.Add(-15 * time.Minute)
	looks("when one is due", 0)
	states("when one is due", "active active expired absent")
	looks("after one was done", 1)
	w.now = hour
	looks("when another is due, and one is warned of", 0)
	states("when another is due, and one is warned of", "expired active expired absent")
	w.now = hour.Add(25 * time.Hour)
	looks("in the end", 2)
	states("in the end", "expired expired expired absent")
}

// What other processes have changed is looked at, too.
func TestTheClockOfAnotherProcess(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	other := w.another(w.store)
	tick := control.Clock(w.plane)
	if _, err := tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.plane, other = other, w.plane
	w.apply("ben", offer)
	w.plane = other
	w.apply("dan", "kind: Application\nmetadata: {name: billing, team: erp}\nspec: {}") // which brings the model up to date
	if got, err := tick(t.Context()); err != nil || got != 4 {
		t.Errorf("it looked at %d documents, want the other's three and one: %v", got, err)
	}
}
