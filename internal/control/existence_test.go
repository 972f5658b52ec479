package control_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// What somebody may not see is answered in the words for what is not there.
func TestForeignAndAbsentThingsAreAnsweredTheSame(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+`
---
kind: Organisation
metadata: {name: foreign}
spec: {members: {gus: [org-admin]}}
---
kind: Team
metadata: {name: foreign}
spec: {organisation: foreign, members: {hal: [publisher, app-developer]}}
---
kind: Cluster
metadata: {name: mine, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"], publish: {foreign: [x.]}}`)
	apply := func(login, text string) func(name string) (any, error) {
		return func(name string) (any, error) {
			return w.try(w.as(login), control.Wanted{Documents: documents(t, strings.ReplaceAll(text, "NAME", name))})
		}
	}
	for what, ask := range map[string]func(name string) (any, error){
		"the team of an API":             apply("ben", "kind: API\nmetadata: {name: x, team: NAME}\nspec: {}"),
		"the team of a product":          apply("ben", "kind: Product\nmetadata: {name: x, team: NAME}\nspec: {versions: [orders.v1], plans: {open: {auth: [scram]}}}"),
		"the team of an application":     apply("dan", "kind: Application\nmetadata: {name: x, team: NAME}\nspec: {}"),
		"the organisation of a team":     apply("olga", "kind: Team\nmetadata: {name: x}\nspec: {organisation: NAME}"),
		"the organisation of one's team": apply("olga", "kind: Team\nmetadata: {name: erp}\nspec: {organisation: NAME}"),
		"the audit log of a team, by an org-admin": func(name string) (any, error) {
			page, _, err := w.plane.Audit(t.Context(), w.as("olga"), audit.Query{Team: name})
			return page, err
		},
		"the audit log of a team, by a publisher": func(name string) (any, error) {
			page, _, err := w.plane.Audit(t.Context(), w.as("ben"), audit.Query{Team: name})
			return page, err
		},
		"the notifications of a team, by an org-admin": func(name string) (any, error) {
			page, _, err := w.plane.Notifications(t.Context(), w.as("olga"), notify.Query{Team: name})
			return page, err
		},
		"the notifications of a team, by a publisher": func(name string) (any, error) {
			page, _, err := w.plane.Notifications(t.Context(), w.as("ben"), notify.Query{Team: name})
			return page, err
		},
	} {
		foreign, ferr := ask("foreign")
		absent, aerr := ask("absentx")
		f, a := fmt.Sprint(foreign, ferr), strings.ReplaceAll(fmt.Sprint(absent, aerr), "absentx", "foreign")
		if f != a || fault.KindOf(ferr) != fault.KindOf(aerr) {
			t.Errorf("%s:\nforeign: %s\nabsent:  %s", what, f, a)
		}
	}
	// A name that is mistyped does not bring out another that gives one nothing.
	_, err := apply("ben", offer)("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = apply("ben", strings.ReplaceAll(offer, "cluster: main", "cluster: minf"))("")
	if err == nil || strings.Contains(err.Error(), "did you mean mine") {
		t.Errorf("a mistyped cluster: %v", err)
	}
	_, err = apply("ben", strings.ReplaceAll(offer, "cluster: main", "cluster: mainn"))("")
	if err == nil || !strings.Contains(err.Error(), "did you mean main?") {
		t.Errorf("a mistyped cluster of one's own: %v", err)
	}
}

// An owner is a word, and others may have chosen the same.
func TestPruneLeavesWhatOthersOwnUnderTheSameWord(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---\nkind: Organisation\nmetadata: {name: foreign}\nspec: {}\n---\nkind: Team\nmetadata: {name: foreign}\nspec: {organisation: foreign, members: {hal: [publisher, app-developer]}}")
	hidden := "kind: Application\nmetadata: {name: hidden, team: foreign}\nspec: {}"
	shown := "kind: API\nmetadata: {name: shown, team: foreign}\nspec: {visibility: public}"
	if _, err := w.try(w.as("hal"), control.Wanted{Documents: documents(t, hidden+"\n---\n"+shown), Owner: "repo"}); err != nil {
		t.Fatal(err)
	}
	api := func(name string) string { return "kind: API\nmetadata: {name: " + name + ", team: shop}\nspec: {}" }
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, api("a")+"\n---\n"+api("b")), Owner: "repo"}); err != nil {
		t.Fatal(err)
	}
	report, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, api("a")), Owner: "repo", Prune: true})
	if err != nil || len(report.Outcomes) != 2 || report.Outcomes[1].Key.Name != "b" {
		t.Errorf("%+v, %v", report, err)
	}
	if w.state(resource.KindApplication, "hidden") != "there" || w.state(resource.KindAPI, "shown") != "there" {
		t.Error("what others own is gone")
	}
}
