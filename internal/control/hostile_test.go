package control_test

import (
	"fmt"
	"testing"
)

func TestAConsumerDoesNotWriteInternalNotesAway(t *testing.T) {
	w := formed(t)
	w.apply("dan", asking("{purpose: invoices}"))
	say := func(login, text string, internal bool) {
		t.Helper()
		if err := w.plane.Say(t.Context(), w.as(login), "billing-orders", text, internal); err != nil {
			t.Fatal(err)
		}
	}
	say("cleo", "they did not pay last year", true)
	for i := range 120 {
		say("dan", fmt.Sprint("hello ", i), false)
	}
	thread, err := w.plane.Thread(w.as("cleo"), "billing-orders")
	if err != nil {
		t.Fatal(err)
	}
	notes, messages := 0, 0
	for _, e := range thread {
		switch {
		case e.Action != "":
		case e.Internal:
			notes++
		default:
			messages++
		}
	}
	if notes != 1 || messages != 100 {
		t.Errorf("there are %d notes and %d messages, want 1 and 100", notes, messages)
	}
}
