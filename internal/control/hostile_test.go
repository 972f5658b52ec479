package control_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

func TestARevisionDoesNotBringBackATopicThatTheClusterGivesNoMore(t *testing.T) {
	w := staged(t, "NONE")
	moved := strings.NewReplacer("topic: shop.orders.qa", "topic: shop.new.qa", "topic: shop.orders}", "topic: shop.new}").Replace(version(contractText, "NONE"))
	w.apply("ben", moved) // revision 3
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	w.wantIn("qa", 3)
	w.wantIn("prod", 3)
	w.apply("root", strings.NewReplacer("shop: [shop.]", "shop: [shop.new]").Replace(people+"\n---"+stages))
	for _, environment := range []string{"qa", "prod"} {
		_, _, _, err := w.plane.Rollback(t.Context(), w.as("ben"), control.Rollback{Version: "orders.v1", Environment: environment, To: 2})
		if fault.KindOf(err) != fault.Denied {
			t.Errorf("rolling %s back to a topic that was taken away: %v", environment, err)
		}
		_, _, _, err = w.plane.Promote(t.Context(), w.as("ben"), control.Promotion{Version: "orders.v1", To: environment, Revision: 2})
		if fault.KindOf(err) != fault.Denied {
			t.Errorf("promoting it to %s: %v", environment, err)
		}
		w.wantIn(environment, 3)
	}
	if _, _, _, err := w.plane.Rollback(t.Context(), w.as("ben"), control.Rollback{Version: "orders.v1", Environment: "nowhere"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an environment that has nothing: %v", err)
	}
	// What an environment has stays as it is, and a new revision on its topics is let in.
	w.apply("root", strings.NewReplacer("shop: [shop.]", "shop: [shop.other]").Replace(people+"\n---"+stages))
	w.apply("ben", strings.Replace(moved, "title: Orders", "title: Orders again", 1))
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	w.wantIn("prod", 4)
}

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
