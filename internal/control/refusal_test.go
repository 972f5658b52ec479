package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
)

// refused are refusals, the newest first.
type refused []control.Refusal

func (r refused) Find(id string) (control.Refusal, bool) {
	i := slices.IndexFunc(r, func(x control.Refusal) bool { return x.ID == id })
	if i < 0 {
		return control.Refusal{}, false
	}
	return r[i], true
}

func (r refused) Of(application string) (out []control.Refusal) {
	for _, x := range r {
		if x.Application == application {
			out = append(out, x)
		}
	}
	return out
}

// An application has topics of two providers, and of each one something was refused.
func refusing(t *testing.T) *world {
	w := staged(t, "BACKWARD")
	all := refused{
		{Number: 9, ID: "R9", Application: "billing", Environment: "qa", Credential: "billing-1", Address: "192.0.2.1", What: "topic", Name: "orders.placed", Operation: "write"},
		{Number: 8, ID: "R8", What: "mechanism", Name: "PLAIN", Rule: "unknown"},
		{Number: 7, ID: "R7", Application: "billing", Environment: "prod", Credential: "billing-1", Address: "192.0.2.1", What: "group", Name: "orders.placed", Operation: "describe"},
		{Number: 6, ID: "R6", Application: "billing", Environment: "prod", Credential: "billing-1", Address: "192.0.2.1", What: "topic", Name: "stock.moved", Operation: "write"},
		{Number: 5, ID: "R5", Application: "gone", Environment: "prod", What: "topic", Name: "orders.placed"},
		{Number: 4, ID: "R4", Application: "billing", Environment: "prod", Credential: "billing-1", Address: "192.0.2.1", What: "topic", Name: "orders.placed", Operation: "write", Rule: "subscription billing-orders: active"},
		{Number: 3, ID: "R3", Application: "billing", Environment: "prod", Credential: "billing-1", Address: "192.0.2.1", What: "topic", Name: "orders.placed", Operation: "write"},
	}
	var err error
	w.plane, err = control.New(t.Context(), control.Deps{Store: w.store, Now: func() time.Time { return w.now }, Seed: make([]byte, 32), Refusals: all})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhyAGatewayRefused(t *testing.T) {
	w := refusing(t)
	for _, c := range []struct {
		who, id string
		kind    fault.Kind
	}{
		{"dan", "R4", ""}, {"root", "R4", ""}, {"olga", "R4", ""}, {"eve", "R4", fault.NotFound},
		{"ben", "R4", ""}, {"ben", "R6", fault.NotFound}, {"ben", "R7", fault.NotFound}, {"ben", "R9", fault.NotFound},
		{"dan", "R8", fault.NotFound}, {"root", "R8", ""}, {"dan", "R5", fault.NotFound}, {"root", "R5", ""}, {"root", "R1", fault.NotFound},
	} {
		r, err := w.plane.Refusal(w.as(c.who), c.id)
		if fault.KindOf(err) != c.kind {
			t.Errorf("%s asks for %s: %v, want %q", c.who, c.id, err, c.kind)
		}
		if err == nil && c.id == "R4" && (r.Topic == nil || r.Topic.Write.Granted || (r.Credential == "") != (c.who == "ben") || (r.Address == "") != (c.who == "ben")) {
			t.Errorf("%s gets %+v", c.who, r)
		}
	}
}

func TestTheLastRefusalsOfAnApplication(t *testing.T) {
	w := refusing(t)
	for _, c := range []struct {
		name, who string
		query     control.RefusalQuery
		want      string
		next      uint64
	}{
		{"the own team", "dan", control.RefusalQuery{}, "R9 R7 R6 R4 R3", 0},
		{"the own organisation's administrator", "olga", control.RefusalQuery{}, "R9 R7 R6 R4 R3", 0},
		{"a platform-admin", "root", control.RefusalQuery{}, "R9 R7 R6 R4 R3", 0},
		{"who provides one of its topics, in one environment", "ben", control.RefusalQuery{}, "R4 R3", 0},
		{"one environment", "dan", control.RefusalQuery{Environment: "qa"}, "R9", 0},
		{"a page", "dan", control.RefusalQuery{Limit: 2}, "R9 R7", 7},
		{"the page behind it", "dan", control.RefusalQuery{Limit: 2, Before: 7}, "R6 R4", 4},
		{"the last page", "dan", control.RefusalQuery{Limit: 2, Before: 4}, "R3", 0},
		{"a page that is just full", "ben", control.RefusalQuery{Limit: 2}, "R4 R3", 0},
		{"what has come since", "dan", control.RefusalQuery{After: 6}, "R9 R7", 0},
		{"nothing since", "dan", control.RefusalQuery{After: 9}, "", 0},
	} {
		c.query.Application = "billing"
		page, next, err := w.plane.Refusals(w.as(c.who), c.query)
		var ids []string
		for _, r := range page {
			ids = append(ids, r.ID)
			if told := r.Credential != "" && r.Address != ""; told == (c.who == "ben") {
				t.Errorf("%s: credential and address are %q and %q", c.name, r.Credential, r.Address)
			}
		}
		if got := strings.Join(ids, " "); err != nil || got != c.want || next != c.next {
			t.Errorf("%s: got %s, next %d, %v; want %s, next %d", c.name, got, next, err, c.want, c.next)
		}
	}
	_, _, foreign := w.plane.Refusals(w.as("eve"), control.RefusalQuery{Application: "billing"})
	_, _, absent := w.plane.Refusals(w.as("root"), control.RefusalQuery{Application: "gone"})
	if fault.KindOf(foreign) != fault.NotFound || fault.KindOf(absent) != fault.NotFound || strings.ReplaceAll(foreign.Error(), "billing", "gone") != absent.Error() {
		t.Errorf("foreign and absent are told apart: %v, %v", foreign, absent)
	}
}
