package control_test

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// A gateway joins with a token once, and takes what is in force as long as its document
// is there and nobody else has joined as it.
func TestAGatewayJoins(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("root", `
kind: Gateway
metadata: {name: gw-1, environment: prod}
spec: {}`)
	invite := func() string {
		t.Helper()
		secret, until, err := w.plane.InviteGateway(t.Context(), w.as("root"), "gw-1")
		if err != nil {
			t.Fatal(err)
		}
		if left := until.Sub(w.now); left <= 0 || left > 24*time.Hour {
			t.Errorf("the token lasts %v", left)
		}
		return secret.Reveal()
	}
	join := func(secret, key string) error {
		name, environment, err := w.plane.JoinGateway(t.Context(), secret, key, "127.0.0.1")
		if err == nil && (name != "gw-1" || environment != "prod") {
			t.Errorf("joined as %q of %q", name, environment)
		}
		return err
	}
	admitted := func(key string) bool {
		environment, err := w.plane.AdmitGateway("gw-1", key)
		return err == nil && environment == "prod"
	}
	if admitted("") || admitted("first") {
		t.Error("a gateway that has not joined is admitted")
	}
	for _, who := range []string{"olga", "dan"} {
		if _, _, err := w.plane.InviteGateway(t.Context(), w.as(who), "gw-1"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s invites: %v", who, err)
		}
	}
	dry := w.as("root")
	dry.DryRun = true
	if secret, _, err := w.plane.InviteGateway(t.Context(), dry, "gw-1"); err != nil || secret.Reveal() != "" {
		t.Errorf("a dry run: %q, %v", secret.Reveal(), err)
	}
	old, secret := invite(), invite()
	if err := join(old, "first"); fault.KindOf(err) != fault.Denied {
		t.Errorf("the token before the last one: %v", err)
	}
	if err := join(secret, "first"); err != nil {
		t.Fatal(err)
	}
	if err := join(secret, "second"); fault.KindOf(err) != fault.Denied {
		t.Errorf("a token works twice: %v", err)
	}
	if !admitted("first") || admitted("second") || admitted("") {
		t.Error("admitted is another one than has joined")
	}
	// Applying the document again does not send the gateway away.
	w.apply("root", `
kind: Gateway
metadata: {name: gw-1, environment: prod}
spec: {title: First}`)
	if !admitted("first") {
		t.Error("a changed title sends the gateway away")
	}
	late := invite()
	w.now = w.now.Add(25 * time.Hour)
	if err := join(late, "late"); fault.KindOf(err) != fault.Denied {
		t.Errorf("a token that is too old: %v", err)
	}
	if err := join(invite(), "second"); err != nil {
		t.Fatal(err)
	}
	if admitted("first") || !admitted("second") {
		t.Error("two are this gateway, or none is")
	}
	if got := w.plane.Model().GatewayEnvironments(); len(got) != 1 || got["prod"] != 1 {
		t.Errorf("gateways are in %v", got)
	}
	waiting := invite()
	if _, err := w.plane.Delete(t.Context(), w.as("root"), []resource.Key{{Kind: resource.KindGateway, Name: "gw-1"}}, nil); err != nil {
		t.Fatal(err)
	}
	if admitted("second") {
		t.Error("a gateway that was removed is admitted")
	}
	if err := join(waiting, "third"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a token of a gateway that was removed: %v", err)
	}
	var told []string
	err := w.store.Read(t.Context(), func(r control.Reader) error {
		return r.AuditFrom(1, func(row audit.Row) error {
			if row.Kind == "Gateway" {
				told = append(told, row.Action+" by "+row.Actor)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(told, ", ")
	if machine := identity.Machine("gw-1", identity.Gateway).String(); strings.Count(got, "join by "+machine) != 2 || strings.Count(got, "invite by ") != 5 {
		t.Errorf("the audit log has %s", got)
	}
}
