package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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
	thread, err := w.plane.Thread(t.Context(), w.as("cleo"), "billing-orders")
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

func TestWhatAGatewayTellsOfLoginsIsBelievedWithinReason(t *testing.T) {
	w, _ := credential(t)
	w.apply("root", stages+`
---
kind: Gateway
metadata: {name: gw-1, environment: prod}
spec: {}
---
kind: Gateway
metadata: {name: gw-qa, environment: qa}
spec: {}`)
	secret := w.plane.Model().Verifiers("billing-1")[0].Secret
	for name, c := range map[string]struct {
		gateway string
		use     control.Use
		kept    bool
	}{
		"as it should be":              {"gw-1", control.Use{Credential: "billing-1", Secret: secret, Time: w.now}, true},
		"of another environment":       {"gw-qa", control.Use{Credential: "billing-1", Secret: secret, Time: w.now}, false},
		"by no gateway":                {"gw-2", control.Use{Credential: "billing-1", Secret: secret, Time: w.now}, false},
		"of no credential":             {"gw-1", control.Use{Credential: "billing-2", Secret: secret, Time: w.now}, false},
		"with a secret nobody has":     {"gw-1", control.Use{Credential: "billing-1", Secret: 7, Time: w.now}, false},
		"in a thousand years":          {"gw-1", control.Use{Credential: "billing-1", Secret: secret, Time: w.now.AddDate(1000, 0, 0)}, true},
		"with a long story of its own": {"gw-1", control.Use{Credential: "billing-1", Secret: secret, Time: w.now, Software: strings.Repeat("é", 1<<19), Address: "\xff"}, true},
	} {
		got := w.plane.Believed(c.gateway, []control.Use{c.use})
		if (len(got) == 1) != c.kept {
			t.Errorf("%s: %d are believed", name, len(got))
		}
		for _, u := range got {
			if u.Time.After(w.now) || len(u.Software) > 256 || u.Address != "" || u.Gateway != c.gateway {
				t.Errorf("%s: it is kept as %+.300v", name, u)
			}
		}
	}
}

func TestWhoHasNoTokenToJoinWithKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	writing, done := make(chan struct{}), make(chan error, 1)
	finish := make(chan struct{})
	go func() {
		done <- w.store.Write(t.Context(), func(control.Writer) error {
			close(writing)
			<-finish
			return nil
		})
	}()
	<-writing
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := w.plane.JoinGateway(ctx, "guessed", "key", "127.0.0.1"); fault.KindOf(err) != fault.Denied {
		t.Errorf("while somebody else changes something: %v", err)
	}
	close(finish)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
