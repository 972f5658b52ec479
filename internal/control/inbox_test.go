package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

const withForm = `
kind: Product
metadata: {name: orders, team: shop}
spec:
  versions: [orders.v1]
  plans:
    open: {auth: [scram], approval: automatic}
    partner:
      auth: [scram]
      approval: manual
      form:
      - {name: purpose, title: What for?, required: true}
      - {name: perDay, type: number}
      - {name: region, type: choice, choices: [eu, us]}
      - {name: begins, type: date}
      - {name: contact, type: email}
      - {name: personal, type: boolean}`

var wishKey = resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}

// asking is wish with answers.
func asking(answers string) string {
	return strings.Replace(wish, "plan: partner}", "plan: partner, answers: "+answers+"}", 1)
}

func formed(t *testing.T) *world {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("ben", withForm)
	return w
}

func TestAnswersToAForm(t *testing.T) {
	w := formed(t)
	for name, c := range map[string]struct{ answers, says string }{
		"nothing":             {"{}", "spec.answers.purpose: is missing: plan partner asks: What for?"},
		"blank":               {"{purpose: '  '}", "spec.answers.purpose: is missing"},
		"a word for a number": {"{purpose: x, perDay: many}", "spec.answers.perDay: is not a number"},
		"another choice":      {"{purpose: x, region: moon}", "write one of eu, us"},
		"no date":             {"{purpose: x, begins: soon}", "spec.answers.begins: is not a date"},
		"a name for an email": {"{purpose: x, contact: Dan <dan@example.com>}", "is not an e-mail address"},
		"perhaps":             {"{purpose: x, personal: perhaps}", "neither true nor false"},
		"what nobody asked":   {"{purpose: x, purpos: y}", "is no question of plan partner: did you mean purpose?"},
		"a book":              {"{purpose: " + strings.Repeat("x", 2001) + "}", "longer than 2000 bytes"},
	} {
		_, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, asking(c.answers))})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	good := asking("{purpose: invoices, perDay: '100', region: eu, begins: '2026-04-01', contact: dan@example.com, personal: 'false'}")
	w.apply("dan", good)
	if r := w.apply("dan", good); r.Outcomes[1].Result != control.Unchanged {
		t.Errorf("again: %+v", r.Outcomes)
	}
	// The form changes: who has answered is not asked again.
	w.apply("ben", strings.Replace(withForm, "{name: perDay, type: number}", "{name: perMonth, type: number, required: true}", 1))
	if r := w.apply("dan", good); r.Outcomes[1].Result != control.Unchanged {
		t.Errorf("after another form: %+v", r.Outcomes)
	}
	if err := w.act("cleo", control.Move{Key: wishKey, Action: lifecycle.Approve}, ""); err != nil {
		t.Fatal(err)
	}
	other := asking("{purpose: resale, perMonth: '100'}")
	if _, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, other)}); fault.KindOf(err) != fault.Denied || !strings.Contains(err.Error(), "wants approval") {
		t.Errorf("other answers, once approved: %v", err)
	}
}

func TestAThreadAboutASubscription(t *testing.T) {
	w := formed(t)
	w.apply("root", "kind: Team\nmetadata: {name: other}\nspec: {organisation: acme, members: {fred: [app-developer], gil: [auditor]}}")
	w.apply("dan", asking("{purpose: invoices}"))
	say := func(who, text string, internal bool) error {
		return w.plane.Say(t.Context(), w.as(who), "billing-orders", text, internal)
	}
	if err := say("cleo", "Which region?", false); err != nil {
		t.Fatal(err)
	}
	if err := say("dan", " eu \n", false); err != nil {
		t.Fatal(err)
	}
	if err := say("ben", "he is slow to pay", true); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		who, text string
		internal  bool
		kind      fault.Kind
	}{
		"a consumer's internal note": {"dan", "x", true, fault.Denied},
		"another team's":             {"fred", "x", false, fault.NotFound},
		"an outsider's":              {"eve", "x", false, fault.NotFound},
		"nothing":                    {"dan", " \n", false, fault.Invalid},
		"too much":                   {"dan", strings.Repeat("x", 4001), false, fault.Invalid},
		"no text":                    {"dan", "\xff", false, fault.Invalid},
	} {
		if err := say(c.who, c.text, c.internal); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
	seen := func(who string) string {
		all, err := w.plane.Thread(t.Context(), w.as(who), "billing-orders")
		if err != nil {
			return string(fault.KindOf(err))
		}
		var words []string
		for _, e := range all {
			words = append(words, string(e.Action)+e.Text)
		}
		return strings.Join(words, ", ")
	}
	for who, want := range map[string]string{
		"dan": "request, Which region?, eu", "cleo": "request, Which region?, eu, he is slow to pay", "ben": "request, Which region?, eu, he is slow to pay",
		"fred": string(fault.NotFound), "eve": string(fault.NotFound), "root": "request, Which region?, eu",
	} {
		if got := seen(who); got != want {
			t.Errorf("%s sees %q, want %q", who, got, want)
		}
	}
	if int64(len(w.rows())) != w.seq()+1 { // the note's
		t.Errorf("%d rows for %d changes", len(w.rows()), w.seq())
	}
	for _, row := range w.rows() {
		if strings.Contains(string(row.Details), "slow to pay") {
			t.Errorf("the audit log of everybody's holds an internal note: %s", row.Details)
		}
	}
	for range 105 {
		if err := say("dan", "please", false); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.plane.Model().Get(wishKey).Status.Thread); n != 100 {
		t.Errorf("%d messages are kept", n)
	}
}

// Internal notes are not told of by what the other side sees either: the document, what
// is told of changes, and the log of its auditors.
func TestAnInternalNoteLeavesNoTrace(t *testing.T) {
	w := formed(t)
	w.apply("root", `
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {ben: [publisher], cleo: [approver], nora: [auditor]}}
---
kind: Team
metadata: {name: erp}
spec: {organisation: acme, members: {dan: [app-developer], gil: [auditor]}}`)
	w.apply("dan", asking("{purpose: invoices}"))
	rows := func(who string) (n int) {
		t.Helper()
		page, _, err := w.plane.Audit(t.Context(), w.as(who), audit.Query{Kind: "Subscription", Name: "billing-orders"})
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	before, seq, consumer, provider := w.plane.Model().Get(wishKey), w.seq(), rows("gil"), rows("nora")
	if err := w.plane.Say(t.Context(), w.as("ben"), "billing-orders", "slow to pay", true); err != nil {
		t.Fatal(err)
	}
	if after := w.plane.Model().Get(wishKey); after.Tag() != before.Tag() || after.Serial != before.Serial || !after.Changed.Equal(before.Changed) || w.seq() != seq {
		t.Errorf("the document has changed: %+v, and was %+v; change %d after %d", after, before, w.seq(), seq)
	}
	if got := rows("gil"); got != consumer {
		t.Errorf("the consumer's auditor sees %d rows more", got-consumer)
	}
	if got := rows("nora"); got != provider+1 {
		t.Errorf("the provider's auditor sees %d rows more", got-provider)
	}
	if all, err := w.plane.Thread(t.Context(), w.as("nora"), "billing-orders"); err != nil || len(all) != 2 || all[1].Text != "slow to pay" {
		t.Errorf("the provider's auditor reads %+v, %v", all, err)
	}
	if _, err := w.plane.Delete(t.Context(), w.as("dan"), []resource.Key{wishKey}, nil); err != nil {
		t.Fatal(err)
	}
	w.apply("dan", asking("{purpose: invoices}"))
	if all, err := w.plane.Thread(t.Context(), w.as("ben"), "billing-orders"); err != nil || len(all) != 1 {
		t.Errorf("another subscription with the name has %+v, %v", all, err)
	}
}

// waiting is what an inbox holds, in words.
func (w *world) waiting(who string) (out []string) {
	all, _ := w.plane.Inbox(w.as(who))
	for _, x := range all {
		out = append(out, x.What+" "+x.Key.String()+" "+x.Environment+" "+x.By)
	}
	return out
}

func TestTheInbox(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+strings.Replace(stages, "{after: qa}", "{after: qa, fourEyes: true}", 1))
	w.apply("root", "kind: Team\nmetadata: {name: shop}\nspec: {organisation: acme, members: {ben: [publisher, approver], cleo: [approver]}}")
	w.apply("ben", offer)
	w.apply("ben", version(contractText, "BACKWARD"))
	want := func(what string, of map[string][]string) {
		t.Helper()
		for _, who := range []string{"root", "olga", "ben", "cleo", "dan", "eve"} {
			if got := w.waiting(who); !slices.Equal(got, of[who]) {
				t.Errorf("%s: what waits for %s: %q, want %q", what, who, got, of[who])
			}
		}
	}
	want("at first", nil)
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	want("a revision", map[string][]string{"cleo": {"decide Version orders.v1 prod person ben"}})
	w.apply("dan", wish)
	asked := "decide Subscription billing-orders prod person dan"
	want("a subscription", map[string][]string{"cleo": {"decide Version orders.v1 prod person ben", asked}, "ben": {asked}, "olga": {asked}})
	if err := w.act("cleo", control.Move{Key: versionKey, Action: lifecycle.Approve, Revision: 2}, ""); err != nil {
		t.Fatal(err)
	}
	if err := w.plane.Say(t.Context(), w.as("ben"), "billing-orders", "what for?", false); err != nil {
		t.Fatal(err)
	}
	want("a question", map[string][]string{"cleo": {asked}, "ben": {asked}, "olga": {asked}, "dan": {"answer Subscription billing-orders prod person ben"}})
	if err := w.plane.Say(t.Context(), w.as("dan"), "billing-orders", "invoices", false); err != nil {
		t.Fatal(err)
	}
	answer := "answer Subscription billing-orders prod person dan"
	want("an answer", map[string][]string{"cleo": {asked, answer}, "ben": {asked, answer}, "olga": {asked, answer}})
	if err := w.act("cleo", control.Move{Key: wishKey, Action: lifecycle.Approve}, "welcome"); err != nil {
		t.Fatal(err)
	}
	if err := w.plane.Say(t.Context(), w.as("cleo"), "billing-orders", "done", false); err != nil {
		t.Fatal(err)
	}
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: w.now.Add(60 * 24 * time.Hour)}, "nobody needs it"); err != nil {
		t.Fatal(err)
	}
	want("the end of a version", map[string][]string{"dan": {"answer Subscription billing-orders prod person cleo", "move Subscription billing-orders prod "}})
}

// A credential waits to be renewed in its last month, for those who can.
func TestACredentialThatEndsIsInTheInbox(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	end := w.now.Add(100 * 24 * time.Hour).Truncate(time.Second)
	w.apply("dan", strings.Replace(wish, "type: scram}", "type: scram, notAfter: "+end.Format(time.RFC3339)+"}", 1))
	if err := w.act("cleo", control.Move{Key: wishKey, Action: lifecycle.Approve}, ""); err != nil {
		t.Fatal(err)
	}
	w.now = end.Add(-31 * 24 * time.Hour)
	if got := w.waiting("dan"); len(got) > 0 {
		t.Errorf("31 days before, this waits: %q", got)
	}
	w.now = end.Add(-29 * 24 * time.Hour)
	for who, want := range map[string][]string{"dan": {"renew Credential billing-1 prod "}, "ben": nil, "olga": nil, "eve": nil} {
		if got := w.waiting(who); !slices.Equal(got, want) {
			t.Errorf("29 days before, for %s: %q, want %q", who, got, want)
		}
	}
	if err := w.act("dan", control.Move{Key: resource.Key{Kind: resource.KindCredential, Name: "billing-1"}, Action: lifecycle.Revoke}, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.waiting("dan"); len(got) > 0 {
		t.Errorf("revoked, and this waits: %q", got)
	}
}

// What nobody decides is over after a month, by the clock.
func TestRequestsDoNotWaitForEver(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+strings.Replace(stages, "{after: qa}", "{after: qa, fourEyes: true}", 1))
	w.apply("ben", offer)
	w.apply("ben", version(contractText, "BACKWARD"))
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	w.apply("dan", wish)
	w.now = w.now.Add(lifecycle.WaitsFor - time.Hour)
	control.Tick(t.Context(), w.plane)
	if got := w.state(resource.KindSubscription, "billing-orders"); got != "pending" || len(w.plane.Model().Get(versionKey).Status.Proposals) != 1 {
		t.Errorf("an hour before: it is %s", got)
	}
	w.now = w.now.Add(2 * time.Hour)
	control.Tick(t.Context(), w.plane)
	if got := w.state(resource.KindSubscription, "billing-orders"); got != "rejected" {
		t.Errorf("afterwards it is %s", got)
	}
	if n := len(w.plane.Model().Get(versionKey).Status.Proposals); n != 0 {
		t.Errorf("%d revisions wait still", n)
	}
	trail := w.plane.Model().Get(wishKey).Status.Trail
	if last := trail[len(trail)-1]; last.By != string(identity.KindSystem) || last.Message == "" {
		t.Errorf("the last step is %+v", last)
	}
	if int64(len(w.rows())) != w.seq() {
		t.Errorf("%d rows for %d changes", len(w.rows()), w.seq())
	}
}
