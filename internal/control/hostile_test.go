package control_test

import (
	"fmt"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/resource"
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

func TestABlockedVersionComesBackToItsStateWhateverWasDoneMeanwhile(t *testing.T) {
	w := staged(t, "NONE")
	w.apply("ben", version(contractText+"# another\n", "NONE"))
	if err := w.act("root", control.Move{Key: versionKey, Action: lifecycle.Block}, "leaks"); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, _, _, err := w.plane.Rollback(t.Context(), w.as("ben"), control.Rollback{Version: "orders.v1", Environment: "qa", To: 2}); err != nil {
			t.Fatal(i, err)
		}
		w.promote("ben", control.Promotion{Version: "orders.v1", To: "qa"})
	}
	if err := w.act("root", control.Move{Key: versionKey, Action: lifecycle.Unblock}, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.state(resource.KindVersion, "orders.v1"); got != "published" {
		t.Errorf("it is %q", got)
	}
}
