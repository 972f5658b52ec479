package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

func TestWhatAnApplicationHasAndWhy(t *testing.T) {
	w := staged(t, "BACKWARD")
	w.apply("ben", `
kind: Product
metadata: {name: orders, team: shop}
spec:
  versions: [orders.v1]
  plans:
    open: {auth: [scram], approval: automatic, rights: {orderPlaced: read}, limits: {readBytesPerSecond: 100KiB, connections: 5}}
    partner: {auth: [scram], approval: manual}`)
	w.apply("dan", "kind: Credential\nmetadata: {name: billing-2, environment: prod}\nspec: {application: billing, type: plain}")
	e, err := w.plane.Effective(w.as("dan"), "billing", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Topics) != 1 || e.Environment != "prod" {
		t.Fatalf("got %+v", e)
	}
	topic := e.Topics[0]
	if topic.Topic != "orders.placed" || topic.Subscription != "billing-orders" || topic.Version != "orders.v1" || topic.Channel != "orderPlaced" || topic.Revision != 2 || topic.Phase.State != "open" || topic.Phase.Rule != "subscription billing-orders: active" {
		t.Errorf("got %+v", topic)
	}
	if !topic.Read.Granted || !strings.Contains(topic.Read.Because, "plan open gives read") || topic.Write.Granted || !strings.Contains(topic.Write.Because, "does not receive") {
		t.Errorf("read %+v, write %+v", topic.Read, topic.Write)
	}
	if len(topic.Limits) != 2 || topic.Limits[0].Name != "connections" || topic.Limits[1].Value != "102400" {
		t.Errorf("limits %+v", topic.Limits)
	}
	if len(e.Credentials) != 2 || !slices.Equal(e.Credentials[0].Topics, []string{"orders.placed"}) || len(e.Credentials[1].Topics) != 0 || !strings.Contains(e.Credentials[1].Not["orders.placed"], "admits scram") {
		t.Errorf("credentials %+v", e.Credentials)
	}
	one, err := w.plane.EffectiveOf(w.as("dan"), "billing-2")
	if err != nil || len(one.Credentials) != 1 || one.Credentials[0].Name != "billing-2" {
		t.Errorf("got %+v, %v", one, err)
	}
	if err := w.act("dan", control.Move{Key: resource.Key{Kind: resource.KindCredential, Name: "billing-2"}, Action: lifecycle.Revoke}, ""); err != nil {
		t.Fatal(err)
	}
	if one, err = w.plane.EffectiveOf(w.as("dan"), "billing-2"); err != nil || len(one.Credentials[0].Topics) > 0 || one.Credentials[0].Not["orders.placed"] != "credential billing-2 is revoked" {
		t.Errorf("a revoked credential: got %+v, %v", one, err)
	}
	end := w.now.Add(48 * time.Hour).Truncate(time.Second)
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: end, Brownouts: []resource.Window{{From: end.Add(-time.Hour), To: end.Add(-time.Minute)}}}, "old"); err != nil {
		t.Fatal(err)
	}
	if e, err = w.plane.Effective(w.as("dan"), "billing", "prod"); err != nil {
		t.Fatal(err)
	}
	var next []string
	for _, p := range e.Topics[0].Next {
		next = append(next, p.State)
	}
	if want := []string{"brown-out", "open", "ended", "refused"}; !slices.Equal(next, want) {
		t.Errorf("what follows is %v, want %v", next, want)
	}
	for who, kind := range map[string]fault.Kind{"eve": fault.NotFound, "ben": fault.NotFound, "root": "", "olga": ""} {
		if _, err := w.plane.Effective(w.as(who), "billing", "prod"); fault.KindOf(err) != kind {
			t.Errorf("%s: %v, want %q", who, err, kind)
		}
	}
	if _, err := w.plane.Effective(w.as("dan"), "nothing", "prod"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an application that is not there: %v", err)
	}
}

// Brown-outs, the sunset with its grace, and the retirement by the clock, through
// nothing but moves.
func TestAVersionIsDeprecatedAndRetired(t *testing.T) {
	w := staged(t, "BACKWARD")
	now := func() string {
		e, err := w.plane.Effective(w.as("dan"), "billing", "prod")
		if err != nil || len(e.Topics) != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		return e.Topics[0].Phase.State
	}
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: w.now.Add(time.Hour), Successor: "secret.v1"}, ""); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "that you may use here") {
		t.Errorf("a successor that is not there: %v", err)
	}
	sunset := w.now.Add(72 * time.Hour).Truncate(time.Second)
	brownout := resource.Window{From: sunset.Add(-48 * time.Hour), To: sunset.Add(-47 * time.Hour)}
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: sunset, Grace: time.Hour, Brownouts: []resource.Window{brownout}}, "nobody needs it"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at           time.Time
		topic, state string
	}{
		{w.now, "open", "deprecated"}, {brownout.From, "brown-out", "deprecated"}, {brownout.To, "open", "deprecated"}, {sunset.Add(time.Minute), "open", "deprecated"}, {sunset.Add(time.Hour), "ended", "retired"},
	} {
		w.now = c.at
		control.Tick(t.Context(), w.plane)
		if got := now(); got != c.topic || w.state(resource.KindVersion, "orders.v1") != c.state {
			t.Errorf("at %s the topic is %s and the version %s, want %s and %s", c.at, got, w.state(resource.KindVersion, "orders.v1"), c.topic, c.state)
		}
	}
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Republish}, "back"); err != nil {
		t.Fatal(err)
	}
	if got := now(); got != "open" {
		t.Errorf("published again, the topic is %s", got)
	}
}

func TestWhoIs(t *testing.T) {
	w := staged(t, "BACKWARD")
	all := control.Request{Actor: w.as("root").Actor, ID: "req_1"}
	if _, err := w.plane.WhoIs(all, "nothing"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an unknown name: %v", err)
	}
	compiled, problems := publish.Compile(w.plane.Model().Set(), publish.Options{Environment: "prod", Generation: 1, Now: w.now, Seed: make([]byte, 32), Bare: true, Verifiers: w.plane.Model().Verifiers})
	if compiled == nil {
		t.Fatal(problems)
	}
	prefix := ""
	for g := range compiled.Snapshot.Grants() {
		prefix = g.Prefix
	}
	for who, ok := range map[string]bool{"root": true, "dan": true, "ben": false, "eve": false} {
		got, err := w.plane.WhoIs(w.as(who), prefix+"etl")
		if (err == nil) != ok || ok && (len(got) != 1 || got[0].Application != "billing" || got[0].Environment != "prod" || got[0].Name != "etl") {
			t.Errorf("%s: %+v, %v", who, got, err)
		}
	}
}
