package control_test

import (
	"slices"
	"testing"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// TestTakeOver: a platform-admin takes over what is not there, in the states that it names, and nobody else does.
func TestTakeOver(t *testing.T) {
	const exported = people + "\n---" + offer + `
---
kind: Application
metadata: {name: billing, team: erp}
spec: {adopt: {groups: [legacy]}}
---
kind: Subscription
metadata: {name: billing-orders, environment: prod}
spec: {application: billing, product: orders, plan: partner, state: suspended}
---
kind: Credential
metadata: {name: billing-1, environment: prod}
spec: {application: billing, type: scram, state: revoked}
---
kind: Credential
metadata: {name: billing-2, environment: prod}
spec: {application: billing, type: scram}`
	w := newWorld(t)
	w.apply("root", people)
	want := control.Wanted{Documents: documents(t, exported), AsIs: true}
	for _, who := range []string{"ben", "olga", "eve"} {
		if _, err := w.try(w.as(who), want); fault.KindOf(err) != fault.Denied {
			t.Errorf("%s takes over: %v", who, err)
		}
	}
	report, err := w.try(w.as("root"), want)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range report.Outcomes {
		wanted := control.Created
		if slices.Contains([]resource.Kind{resource.KindOrganisation, resource.KindTeam, resource.KindCluster}, o.Key.Kind) {
			wanted = control.Unchanged
		}
		if o.Result != wanted || (o.Secret != "") != (o.Key.Name == "billing-2") {
			t.Errorf("%s: %s, with a secret: %v", o.Key, o.Result, o.Secret != "")
		}
	}
	for name, state := range map[resource.Key]string{
		{Kind: resource.KindVersion, Name: "orders.v1"}: "published", {Kind: resource.KindSubscription, Name: "billing-orders"}: "suspended",
		{Kind: resource.KindCredential, Name: "billing-1"}: "revoked", {Kind: resource.KindCredential, Name: "billing-2"}: "active",
	} {
		if got := w.state(name.Kind, name.Name); got != state {
			t.Errorf("%s is %s, want %s", name, got, state)
		}
	}
	if again, err := w.try(w.as("root"), want); err != nil || slices.ContainsFunc(again.Outcomes, func(o control.Outcome) bool { return o.Result != control.Unchanged }) {
		t.Errorf("again: %v, %v", again, err)
	}
	other := control.Wanted{AsIs: true, Documents: documents(t, "kind: API\nmetadata: {name: orders, team: shop}\nspec: {title: Others, visibility: public}")}
	if _, err := w.try(w.as("root"), other); fault.KindOf(err) != fault.Conflict {
		t.Errorf("what is there is overwritten: %v", err)
	}
	broken := control.Wanted{AsIs: true, Documents: documents(t, "kind: Product\nmetadata: {name: p, team: shop}\nspec: {versions: [nothing.v1], plans: {a: {auth: [scram]}}}")}
	if _, err := w.try(w.as("root"), broken); fault.KindOf(err) != fault.Invalid {
		t.Errorf("what is not sound is taken over: %v", err)
	}
}
