package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

const stages = `
kind: Environment
metadata: {name: qa}
spec: {title: Trial}
---
kind: Environment
metadata: {name: prod}
spec: {after: qa}
---
kind: Cluster
metadata: {name: trial, environment: qa}
spec: {bootstrap: ["127.0.0.1:9092"], publish: {shop: [shop.]}}`

const contractText = `asyncapi: 3.0.0
info: {title: Orders, version: 1.0.0}
channels:
  orderPlaced:
    address: orders.placed
    messages:
      placed:
        payload:
          type: object
          required: [id]
          properties: {id: {type: string}, note: {type: string}}
operations:
  sendPlaced: {action: send, channel: {$ref: '#/channels/orderPlaced'}}
`

// version is orders.v1 with a contract, in qa and prod.
func version(contract, mode string) string {
	return `
kind: Version
metadata: {name: orders.v1}
spec:
  contract:
    asyncapi: |
` + "      " + strings.ReplaceAll(strings.TrimSuffix(contract, "\n"), "\n", "\n      ") + `
  compatibility: ` + mode + `
  channels: {orderPlaced: {qa: {cluster: trial, topic: shop.orders.qa}, prod: {cluster: main, topic: shop.orders}}}
  lifecycle: {state: published}`
}

var versionKey = resource.Key{Kind: resource.KindVersion, Name: "orders.v1"}

// staged is a world with qa before prod, orders.v1 in both, and a subscription in prod.
func staged(t *testing.T, mode string) *world {
	w := newWorld(t)
	w.apply("root", people+"\n---"+stages)
	w.apply("ben", offer)
	w.apply("ben", version(contractText, mode))
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	w.apply("dan", strings.Replace(wish, "plan: partner", "plan: open", 1))
	return w
}

func (w *world) promote(login string, m control.Promotion) control.Deployed {
	w.t.Helper()
	_, d, _, err := w.plane.Promote(w.t.Context(), w.as(login), m)
	if err != nil {
		w.t.Fatalf("%s promotes: %v", login, err)
	}
	return d
}

// in is the revision that an environment has, and the channels that it offers.
func (w *world) in(environment string) (revision int, channels []string) {
	w.t.Helper()
	for _, v := range w.plane.Model().Set().Versions {
		if v.Name() == "orders.v1" {
			for name := range v.Spec.In(environment).Contract {
				channels = append(channels, name)
			}
		}
	}
	slices.Sort(channels)
	return w.plane.Model().Get(versionKey).Status.Deployments[environment].Revision, channels
}

func (w *world) wantIn(environment string, revision int) {
	w.t.Helper()
	if got, _ := w.in(environment); got != revision {
		w.t.Errorf("%s has revision %d, want %d", environment, got, revision)
	}
}

func TestARevisionComesAboutWhenContentChangesAndOnlyThen(t *testing.T) {
	w := staged(t, "BACKWARD")
	list := func() []control.Revision {
		_, all, err := w.plane.Revisions(t.Context(), w.as("ben"), "orders.v1")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := list()
	if len(before) != 2 || before[0].Hash == before[1].Hash || before[1].By != "person ben" {
		t.Fatalf("got %+v, want the one without and the one with an AsyncAPI document", before)
	}
	if r := w.apply("ben", version(contractText, "BACKWARD")); r.Outcomes[0].Result != control.Unchanged {
		t.Errorf("again: %+v", r.Outcomes)
	}
	w.apply("ben", version(contractText, "FULL")) // is of the version, and of no revision
	if got := list(); len(got) != 2 {
		t.Errorf("another mode made revision %d", len(got))
	}
	r := w.apply("ben", version(contractText+"# a remark\n", "FULL"))
	if o := r.Outcomes[0]; o.Revision != 3 || len(o.Deployed) != 1 || o.Deployed[0] != (control.Deployed{Environment: "qa", Revision: 3, Was: 2}) {
		t.Errorf("got %+v", o)
	}
	of, revision, v, err := w.plane.Revision(t.Context(), w.as("ben"), "orders.v1", 2)
	if err != nil || revision.N != 2 || v.Spec.Contract.AsyncAPI != contractText || v.Spec.Channels["orderPlaced"]["prod"].Topic != "shop.orders" || of.Status.Revision != 3 {
		t.Errorf("revision 2 is %+v, %+v, %v", revision, v, err)
	}
	if d := w.plane.Model().Get(versionKey).Document.(*resource.Version); d.Spec.Contract.AsyncAPI != "" || !strings.HasPrefix(d.Spec.Contract.Digest, "sha256:") {
		t.Errorf("the document holds %+v", d.Spec.Contract)
	}
	if _, _, _, err := w.plane.Revision(t.Context(), w.as("ben"), "orders.v1", 9); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a revision that is not there: %v", err)
	}
	if _, _, err := w.plane.Revisions(t.Context(), w.as("dan"), "orders.v1"); fault.KindOf(err) != fault.Denied {
		t.Errorf("a consumer lists revisions: %v", err)
	}
}

func TestADigestMeansTheDocumentThatIsThere(t *testing.T) {
	w := staged(t, "BACKWARD")
	d := w.plane.Model().Get(versionKey).Document
	if r, err := w.try(w.as("ben"), control.Wanted{Documents: []resource.Any{d}}); err != nil || r.Outcomes[0].Result != control.Unchanged {
		t.Errorf("what was read, written back: %+v, %v", r, err)
	}
	moved, err := resource.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	other, err := resource.Unmarshal([]byte(strings.ReplaceAll(string(moved), `"shop.orders.qa"`, `"shop.orders.qa2"`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: []resource.Any{other}}); err != nil {
		t.Fatal(err)
	}
	_, _, v, err := w.plane.Revision(t.Context(), w.as("ben"), "orders.v1", 0)
	if err != nil || v.Spec.Contract.AsyncAPI != contractText || v.Spec.Channels["orderPlaced"]["qa"].Topic != "shop.orders.qa2" {
		t.Errorf("got %+v, %v", v, err)
	}
	foreign, err := resource.Unmarshal([]byte(strings.Replace(string(moved), `"digest":"sha256:`, `"digest":"sha256:0`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: []resource.Any{foreign}}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "spec.contract.digest") {
		t.Errorf("another digest: %v", err)
	}
}

func TestWhatIsAppliedIsAtTheBeginningOfTheOrderOnly(t *testing.T) {
	w := staged(t, "NONE")
	changed := strings.Replace(contractText, "\noperations:", "\n  orderGone: {address: orders.gone}\noperations:\n  sendGone: {action: send, channel: {$ref: '#/channels/orderGone'}}", 1)
	w.apply("ben", version(changed, "NONE"))
	w.wantIn("qa", 3)
	w.wantIn("prod", 2)
	if _, channels := w.in("prod"); len(channels) != 1 {
		t.Errorf("prod offers %v before anything was promoted", channels)
	}
	if _, channels := w.in("qa"); len(channels) != 2 {
		t.Errorf("qa offers %v", channels)
	}
	q := w.as("ben")
	q.DryRun = true
	if _, d, _, err := w.plane.Promote(t.Context(), q, control.Promotion{Version: "orders.v1", To: "prod"}); err != nil || d.Revision != 3 {
		t.Errorf("dry run: %+v, %v", d, err)
	}
	w.wantIn("prod", 2)
	rows, seq := len(w.rows()), w.seq()
	if d := w.promote("ben", control.Promotion{Version: "orders.v1", From: "qa", To: "prod"}); d != (control.Deployed{Environment: "prod", Revision: 3, Was: 2}) {
		t.Errorf("got %+v", d)
	}
	w.wantIn("prod", 3)
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"}) // again: nothing
	if len(w.rows()) != rows+1 || w.seq() != seq+1 {
		t.Errorf("%d rows and %d changes for one promotion", len(w.rows())-rows, w.seq()-seq)
	}
	last := w.rows()[rows]
	if last.Action != "promote" || !strings.Contains(string(last.Details), `"environment":"prod"`) {
		t.Errorf("row %+v %s", last, last.Details)
	}
	w.plane = w.another(w.store)
	w.wantIn("prod", 3)
	if _, channels := w.in("prod"); len(channels) != 2 {
		t.Errorf("another process has %v in prod", channels)
	}
}

func TestPromotionsThatAreRefused(t *testing.T) {
	w := staged(t, "BACKWARD")
	w.apply("ben", version(contractText+"# a remark\n", "BACKWARD"))
	for name, c := range map[string]struct {
		who  string
		m    control.Promotion
		kind fault.Kind
		says string
	}{
		"by a consumer":                  {"dan", control.Promotion{Version: "orders.v1", To: "prod"}, fault.Denied, "only a publisher of team shop"},
		"by an approver":                 {"cleo", control.Promotion{Version: "orders.v1", To: "prod"}, fault.Denied, "only a publisher of team shop"},
		"by the platform-admin":          {"root", control.Promotion{Version: "orders.v1", To: "prod"}, fault.Denied, "only a publisher of team shop"},
		"of what is not there":           {"ben", control.Promotion{Version: "orders.v9", To: "prod"}, fault.NotFound, "orders.v9"},
		"to nowhere":                     {"ben", control.Promotion{Version: "orders.v1"}, fault.Invalid, "name the environment"},
		"against the order":              {"ben", control.Promotion{Version: "orders.v1", From: "prod", To: "qa"}, fault.Invalid, "at the beginning of the order"},
		"from elsewhere":                 {"ben", control.Promotion{Version: "orders.v1", From: "dev", To: "prod"}, fault.Invalid, "prod comes after qa"},
		"of a revision that was nowhere": {"ben", control.Promotion{Version: "orders.v1", To: "prod", Revision: 7}, fault.Conflict, "has not been in qa"},
		"to what it does not map":        {"ben", control.Promotion{Version: "orders.v1", To: "moon"}, fault.Conflict, "has no channel in moon"},
		"of another serial":              {"ben", control.Promotion{Version: "orders.v1", To: "prod", Tag: 1}, fault.Conflict, "changed meanwhile"},
	} {
		t.Run(name, func(t *testing.T) {
			seq, rows := w.seq(), len(w.rows())
			_, _, _, err := w.plane.Promote(t.Context(), w.as(c.who), c.m)
			if fault.KindOf(err) != c.kind || !strings.Contains(fault.MessageOf(err), c.says) {
				t.Errorf("got %s: %v, want %s with %q", fault.KindOf(err), err, c.kind, c.says)
			}
			if w.seq() != seq || len(w.rows()) != rows {
				t.Error("something was changed")
			}
		})
	}
}

func TestARollbackAndWhatFollowsIt(t *testing.T) {
	w := staged(t, "BACKWARD")
	next := version(contractText+"# a remark\n", "BACKWARD")
	w.apply("ben", next)
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	w.wantIn("prod", 3)
	back := func(m control.Rollback) error {
		m.Version = "orders.v1"
		_, _, _, err := w.plane.Rollback(t.Context(), w.as("ben"), m)
		return err
	}
	if err := back(control.Rollback{Environment: "prod"}); err != nil {
		t.Fatal(err)
	}
	w.wantIn("prod", 2)
	if err := back(control.Rollback{Environment: "prod"}); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "no other revision") {
		t.Errorf("behind the first one: %v", err)
	}
	if err := back(control.Rollback{Environment: "prod", To: 1}); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "promote it") {
		t.Errorf("to what it never had: %v", err)
	}
	if err := back(control.Rollback{Environment: "qa", To: 2}); err != nil {
		t.Fatal(err)
	}
	if r := w.apply("ben", next); r.Outcomes[0].Result != control.Unchanged {
		t.Errorf("the same file after a rollback: %+v", r.Outcomes)
	}
	w.wantIn("qa", 2)
	if d := w.promote("ben", control.Promotion{Version: "orders.v1", To: "qa"}); d.Revision != 3 {
		t.Errorf("the newest one again: %+v", d)
	}
	if err := back(control.Rollback{Environment: "qa"}); err != nil {
		t.Fatal(err)
	}
	w.apply("ben", version(contractText, "BACKWARD")) // what revision 2 said is a new one
	w.wantIn("qa", 4)
	w.wantIn("prod", 2)
}

func TestWhatBreaksSomebodyIsKeptOut(t *testing.T) {
	w := staged(t, "BACKWARD")
	broken := strings.Replace(contractText, ", note: {type: string}", "", 1)
	broken = strings.Replace(broken, "id: {type: string}", "id: {type: integer}", 1)
	_, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, version(broken, "BACKWARD"))})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "readers") || !strings.Contains(err.Error(), "in qa") {
		t.Fatalf("got %v", err)
	}
	w.wantIn("qa", 2)
	r, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, version(broken, "BACKWARD")), Waive: "nobody reads it in qa"})
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Outcomes[0].Deployed; len(d) != 1 || d[0].Waiver == nil || d[0].Waiver.By != "person ben" || len(d[0].Waiver.Broken) == 0 || len(r.Warnings) == 0 {
		t.Errorf("got %+v, %v", d, r.Warnings)
	}
	rows := w.rows()
	if last := string(rows[len(rows)-1].Details); !strings.Contains(last, "nobody reads it in qa") {
		t.Errorf("the audit row says %s", last)
	}
	if d := w.plane.Model().Get(versionKey).Status.Deployments["qa"]; d.Waiver == nil || !slices.Equal(d.Against, []int{3}) || !slices.Equal(d.Had, []int{2, 3}) {
		t.Errorf("deployment %+v", d)
	}
	_, _, _, err = w.plane.Promote(t.Context(), w.as("ben"), control.Promotion{Version: "orders.v1", To: "prod"})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "live are billing-orders") {
		t.Errorf("in prod, where somebody reads: %v", err)
	}
	w.wantIn("prod", 2)
	if d := w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod", Waive: "agreed with billing"}); d.Waiver == nil {
		t.Errorf("got %+v", d)
	}
	w.wantIn("prod", 3)
	c, err := w.plane.Compare(t.Context(), w.as("ben"), "orders.v1", 2, 3, "prod")
	if err != nil || len(c.Differences) != 1 || !slices.ContainsFunc(c.Findings, func(f control.Finding) bool { return slices.Equal(f.Subscriptions, []string{"billing-orders"}) }) {
		t.Errorf("got %+v, %v", c, err)
	}
}

// What counts as a break, by mode and state.
func TestTheGate(t *testing.T) {
	without := strings.Replace(contractText, ", note: {type: string}", "", 1)
	more := strings.Replace(contractText, "note: {type: string}", "note: {type: string}, more: {type: string}", 1)
	for name, c := range map[string]struct {
		mode, state, environment string
		text                     string
		refused                  bool
	}{
		"a field gone":                          {"BACKWARD", "published", "{}", without, true},
		"a field gone, without a mode":          {"none", "published", "{}", without, true},
		"a field gone, anything goes":           {"NONE", "published", "{}", without, false},
		"a field gone, where anything goes":     {"BACKWARD", "published", "{compatibility: NONE}", without, false},
		"a field gone, new clients only":        {"FORWARD", "published", "{}", without, false},
		"a field more":                          {"BACKWARD", "published", "{}", more, false},
		"a field more, back again":              {"FORWARD", "published", "{}", more, true},
		"a field more, both ways":               {"FULL", "published", "{}", more, true},
		"a field gone in a preview":             {"BACKWARD", "preview", "{}", without, false},
		"a field gone in a draft":               {"BACKWARD", "draft", "{}", without, false},
		"nothing said, where that is not fine":  {"NONE", "published", "{lint: [docs-complete]}", more, true},
		"nothing said in a preview, as well":    {"NONE", "preview", "{lint: [docs-complete]}", more, true},
		"nothing said in a draft, that may not": {"NONE", "draft", "{lint: [docs-complete]}", more, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply("root", people+"\n---"+strings.Replace(stages, "{title: Trial}", "{}", 1))
			text := func(contract string) string {
				return strings.Replace(strings.Replace(version(contract, c.mode), "\n  compatibility: none", "", 1), "state: published", "state: "+c.state, 1)
			}
			w.apply("ben", strings.Split(offer, "\n---\n")[0]+"\n---\n"+text(contractText))
			w.apply("root", "kind: Environment\nmetadata: {name: qa}\nspec: "+c.environment)
			_, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, text(c.text))})
			if c.refused != (fault.KindOf(err) == fault.Invalid) || !c.refused && err != nil {
				t.Errorf("refused %v, want %v: %v", err != nil, c.refused, err)
			}
		})
	}
}

func TestATransitiveModeLooksAtAllThatWasThere(t *testing.T) {
	for mode, refused := range map[string]bool{"BACKWARD": false, "BACKWARD_TRANSITIVE": true} {
		w := staged(t, "NONE") // revision 2 has a note
		without := strings.Replace(contractText, ", note: {type: string}", "", 1)
		w.apply("ben", version(without, "NONE"))
		_, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, version(without+"# the same\n", mode))})
		if got := fault.KindOf(err) == fault.Invalid; got != refused || !refused && err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestFourEyes(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+strings.Replace(stages, "{after: qa}", "{after: qa, fourEyes: true}", 1))
	w.apply("root", "kind: Team\nmetadata: {name: shop}\nspec: {organisation: acme, members: {ben: [publisher, approver], cleo: [approver]}}")
	w.apply("ben", offer)
	w.apply("ben", version(contractText, "BACKWARD"))
	d := w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	if !d.Waits {
		t.Fatalf("got %+v, want it to wait", d)
	}
	w.wantIn("prod", 0)
	if got := w.state(resource.KindVersion, "orders.v1"); got != "published" {
		t.Errorf("it is %s", got)
	}
	if _, channels := w.in("prod"); len(channels) != 0 {
		t.Errorf("prod offers %v", channels)
	}
	approve := control.Move{Key: versionKey, Action: lifecycle.Approve, Revision: 2}
	if err := w.act("ben", approve, ""); fault.KindOf(err) != fault.Denied || !strings.Contains(err.Error(), "you asked for it yourself") {
		t.Errorf("who asked approves: %v", err)
	}
	if err := w.act("dan", approve, ""); fault.KindOf(err) != fault.Denied {
		t.Errorf("a consumer approves: %v", err)
	}
	// Who may decide nothing is not told what waits, and that before anything else.
	for _, m := range []control.Move{{Environment: "qa", Action: lifecycle.Approve}, {Environment: "qa", Action: lifecycle.Reject}, {Action: lifecycle.Reject}} {
		m.Key = versionKey
		for _, who := range []string{"dan", "olga"} {
			if err := w.act(who, m, "no"); fault.KindOf(err) != fault.Denied {
				t.Errorf("%s decides about %q: %v", who, m.Environment, err)
			}
		}
	}
	if err := w.act("cleo", control.Move{Key: versionKey, Action: lifecycle.Approve, Environment: "qa"}, ""); fault.KindOf(err) != fault.Conflict {
		t.Errorf("where nothing waits: %v", err)
	}
	reject := control.Move{Key: versionKey, Action: lifecycle.Reject, Environment: "prod"}
	if err := w.act("cleo", reject, ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("rejected without a reason: %v", err)
	}
	if err := w.act("cleo", reject, "not on a Friday"); err != nil {
		t.Fatal(err)
	}
	if s := w.plane.Model().Get(versionKey).Status; len(s.Proposals) != 0 || s.Trail[len(s.Trail)-1].Message != "not on a Friday" {
		t.Errorf("after the rejection: %+v", s)
	}
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	if err := w.act("cleo", approve, "looks good"); err != nil {
		t.Fatal(err)
	}
	w.wantIn("prod", 2)
	there := w.plane.Model().Get(versionKey).Status.Deployments["prod"]
	if there.ApprovedBy != "cleo" || there.Person != "ben" || there.From != "qa" {
		t.Errorf("deployment %+v", there)
	}
	if err := w.act("cleo", reject, "too late"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("rejected afterwards: %v", err)
	}
	if int64(len(w.rows())) != w.seq() {
		t.Errorf("%d rows for %d changes", len(w.rows()), w.seq())
	}
	// A rollback waits for nobody, what is applied where four eyes are wanted does.
	w.apply("ben", version(contractText+"# a remark\n", "BACKWARD"))
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	approve.Revision = 3
	if err := w.act("cleo", approve, ""); err != nil {
		t.Fatal(err)
	}
	if _, d, _, err := w.plane.Rollback(t.Context(), w.as("ben"), control.Rollback{Version: "orders.v1", Environment: "prod"}); err != nil || d.Waits || d.Revision != 2 {
		t.Errorf("rollback: %+v, %v", d, err)
	}
	w.apply("root", "kind: Environment\nmetadata: {name: qa}\nspec: {fourEyes: true}")
	r := w.apply("ben", version(contractText+"# another remark\n", "BACKWARD"))
	if d := r.Outcomes[0].Deployed; len(d) != 1 || !d[0].Waits {
		t.Errorf("applied: %+v", d)
	}
	w.wantIn("qa", 3)
}

// A version that was deployed before its environment wanted four eyes is published
// once somebody else has looked at it as it is.
func TestPublishingWantsFourEyes(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+stages)
	draft := strings.Replace(version(contractText, "BACKWARD"), "state: published", "state: draft", 1)
	w.apply("ben", strings.Split(offer, "\n---\n")[0]+"\n---\n"+draft)
	w.apply("root", "kind: Environment\nmetadata: {name: qa}\nspec: {fourEyes: true}")
	publish := control.Move{Key: versionKey, Action: lifecycle.Publish}
	if err := w.act("ben", publish, ""); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "an approver has to approve it first") {
		t.Errorf("nobody else has looked: %v", err)
	}
	approve := control.Move{Key: versionKey, Action: lifecycle.Approve, Revision: 1}
	if err := w.act("cleo", control.Move{Key: versionKey, Action: lifecycle.Approve}, ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("approved without a name: %v", err)
	}
	if err := w.act("cleo", approve, ""); err != nil {
		t.Fatal(err)
	}
	if err := w.act("ben", publish, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.state(resource.KindVersion, "orders.v1"); got != "published" {
		t.Errorf("it is %s", got)
	}
	if err := w.act("cleo", approve, ""); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "nothing of Version orders.v1 waits") {
		t.Errorf("where an approval counts for nothing: %v", err)
	}
}

// What an approver has looked at is approved, and nothing that its author has put in its
// place since.
func TestAnApprovalIsOfWhatWasLookedAt(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+strings.Replace(stages, "{after: qa}", "{after: qa, fourEyes: true}", 1))
	w.apply("ben", offer)
	asks := func(remark string) {
		w.apply("ben", version(contractText+remark, "BACKWARD"))
		w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	}
	asks("")
	looked := w.plane.Model().Get(versionKey)
	if waiting, _ := w.plane.Inbox(w.as("cleo")); len(waiting) != 1 || waiting[0].Revision != 2 || !strings.Contains(waiting[0].About, "revision 2") {
		t.Errorf("the inbox has %+v", waiting)
	}
	asks("# something else\n")
	for name, c := range map[string]struct {
		m    control.Move
		kind fault.Kind
		says string
	}{
		"no name":                   {control.Move{Action: lifecycle.Approve}, fault.Invalid, "revision 3 of Version orders.v1 waits for prod: name the revision"},
		"the one before":            {control.Move{Action: lifecycle.Approve, Revision: 2}, fault.Conflict, "revision 3 of Version orders.v1 waits for prod, and not revision 2"},
		"the document before":       {control.Move{Action: lifecycle.Approve, Tag: looked.Tag()}, fault.Conflict, "changed meanwhile"},
		"the one before, rejected":  {control.Move{Action: lifecycle.Reject, Revision: 2}, fault.Conflict, "and not revision 2"},
		"one that is not there yet": {control.Move{Action: lifecycle.Approve, Revision: 4}, fault.Conflict, "and not revision 4"},
	} {
		c.m.Key = versionKey
		if err := w.act("cleo", c.m, "fine"); fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.wantIn("prod", 0)
	if err := w.act("cleo", control.Move{Key: versionKey, Action: lifecycle.Approve, Tag: w.plane.Model().Get(versionKey).Tag()}, ""); err != nil {
		t.Error(err)
	}
	w.wantIn("prod", 3)
}

func TestASubscriptionInFourEyes(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---\nkind: Environment\nmetadata: {name: prod}\nspec: {fourEyes: true}")
	w.apply("root", "kind: Team\nmetadata: {name: erp}\nspec: {organisation: acme, members: {dan: [app-developer], olga: [app-developer]}}")
	w.apply("ben", offer)
	if err := w.act("cleo", control.Move{Key: versionKey, Action: lifecycle.Approve, Revision: 1}, ""); err != nil {
		t.Fatal(err)
	}
	w.apply("olga", wish) // she is org-admin too
	approve := control.Move{Key: resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}, Action: lifecycle.Approve}
	if err := w.act("olga", approve, ""); fault.KindOf(err) != fault.Denied || !strings.Contains(err.Error(), "you asked for it yourself") {
		t.Errorf("who asked approves: %v", err)
	}
	if err := w.act("ben", approve, ""); err != nil {
		t.Error(err)
	}
}

// What was written before there were revisions goes on as it is, and its first change
// makes a revision of both.
func TestAVersionOfTheTimeBeforeRevisions(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	old := w.plane.Model().Get(versionKey)
	err := w.store.Write(t.Context(), func(s control.Writer) error {
		before := *old
		before.Status.Revision, before.Status.Deployments, before.Serial = 0, nil, old.Serial+1
		if err := s.Put(&before, nil); err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.plane = w.another(w.store)
	if _, channels := w.in("prod"); len(channels) != 1 {
		t.Errorf("it offers %v", channels)
	}
	if r := w.apply("ben", offer); r.Outcomes[1].Result != control.Unchanged {
		t.Errorf("%+v", r.Outcomes)
	}
	gone := strings.Replace(offer, "orderPlaced: {address: orders.placed, send: true}", "orderPlaced: {address: orders.placed, receive: true}", 1)
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, gone)}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "read-removed") {
		t.Errorf("a right taken away: %v", err)
	}
}

func TestTheContractAsSomebodyMaySeeIt(t *testing.T) {
	w := staged(t, "NONE")
	named := strings.Replace(contractText, "channels:", "servers: {main: {host: 'kafka.internal:9092', protocol: kafka}}\nchannels:", 1)
	w.apply("ben", version(named, "NONE"))
	see := func(who string, revision int, environment string) (string, error) {
		document, source, err := w.plane.Contract(t.Context(), w.as(who), "orders.v1", revision, environment)
		if err != nil {
			return "", err
		}
		if source != "" {
			return source, nil
		}
		return string(document.YAML()), nil
	}
	if got, err := see("ben", 0, ""); err != nil || got != named {
		t.Errorf("the owner sees %q, %v", got, err)
	}
	if got, err := see("ben", 1, ""); err != nil || !strings.Contains(got, "orders.placed") {
		t.Errorf("one made from channels: %q, %v", got, err)
	}
	if _, err := see("dan", 0, ""); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "prod") {
		t.Errorf("a consumer names no environment: %v", err)
	}
	for _, environment := range []string{"qa", "prod"} {
		got, err := see("dan", 0, environment)
		if err != nil || !strings.Contains(got, "orders.placed") || strings.Contains(got, "internal") || strings.Contains(got, "shop.orders") {
			t.Errorf("a consumer sees in %s %q, %v", environment, got, err)
		}
	}
	if _, err := see("dan", 1, "prod"); fault.KindOf(err) != fault.Denied {
		t.Errorf("a consumer reads an old revision: %v", err)
	}
	if _, err := see("eve", 0, "prod"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("somebody without roles: %v", err)
	}
}

func TestEnvironmentsInACircle(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+stages)
	_, err := w.try(w.as("root"), control.Wanted{Documents: documents(t, "kind: Environment\nmetadata: {name: qa}\nspec: {after: prod}")})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "circle") {
		t.Errorf("got %v", err)
	}
	_, err = w.try(w.as("root"), control.Wanted{Documents: documents(t, "kind: Environment\nmetadata: {name: qa}\nspec: {after: dev}")})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), `there is no Environment "dev"`) {
		t.Errorf("got %v", err)
	}
	if _, err := w.plane.Delete(t.Context(), control.Request{Actor: identity.Someone("root", true, nil)}, []resource.Key{{Kind: resource.KindEnvironment, Name: "qa"}}, nil); fault.KindOf(err) != fault.Conflict {
		t.Errorf("what another comes after is removed: %v", err)
	}
}

// Whoever does not own a version sees in its document what environments have of it.
func TestConsumersSeeWhatIsDeployed(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---"+stages)
	w.apply("ben", offer)
	apply := func(channels string, names ...string) {
		t.Helper()
		backings := ""
		for _, name := range names {
			backings += name + ": {qa: {cluster: trial, topic: shop." + name + ".qa}, prod: {cluster: main, topic: shop." + name + "}}, "
		}
		w.apply("ben", "kind: Version\nmetadata: {name: orders.v1}\nspec:\n  contract: {channels: {"+channels+"}}\n  compatibility: NONE\n  channels: {"+backings+"}\n  lifecycle: {state: published}")
	}
	sees := func(who, want string) {
		t.Helper()
		r, err := w.plane.Get(w.as(who), versionKey)
		if err != nil {
			t.Fatal(err)
		}
		listed, _, err := w.plane.List(t.Context(), w.as(who), control.Query{Kind: resource.KindVersion})
		if err != nil || len(listed) != 1 {
			t.Fatalf("%d are listed, %v", len(listed), err)
		}
		for _, r := range []*control.Record{r, listed[0]} {
			var got []string
			for name, c := range r.Document.(*resource.Version).Spec.Contract.Channels {
				got = append(got, name+"="+c.Description)
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%s sees %q, want %q", who, text, want)
			}
		}
	}
	apply("placed: {address: orders.placed, description: first, send: true}", "placed")
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	sees("dan", "placed=first")
	apply("placed: {address: orders.placed, description: second, send: true}, moved: {address: orders.moved, description: new, send: true}", "placed", "moved")
	sees("ben", "moved=new placed=second")
	sees("dan", "moved=new placed=first") // prod comes after qa
	w.apply("root", "kind: Environment\nmetadata: {name: qa}\nspec: {fourEyes: true}")
	apply("placed: {address: orders.placed, description: third, send: true}, secret: {address: orders.secret, description: waits, send: true}", "placed", "secret")
	sees("ben", "placed=third secret=waits")
	sees("dan", "moved=new placed=first")
	w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"})
	sees("dan", "moved=new placed=second")
}

// Who breaks is told by name as far as whoever asks may see them, and the others by
// their number; what is referred to cannot be removed, likewise.
func TestNamesThatMayNotBeSeenAreCounted(t *testing.T) {
	w := staged(t, "BACKWARD")
	w.apply("root", `
kind: Team
metadata: {name: mart}
spec: {organisation: acme, members: {rita: [publisher, app-developer]}}
---
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {ben: [publisher], cleo: [approver], rita: [publisher]}}
---
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"], publish: {shop: [shop.], mart: [mart.]}}`)
	w.apply("rita", `
kind: API
metadata: {name: stock, team: mart}
spec: {visibility: private}
---
kind: Version
metadata: {name: stock.v1}
spec: {contract: {channels: {stock: {send: true}}}, channels: {stock: {prod: {cluster: main, topic: mart.stock}}}, lifecycle: {state: published}}
---
kind: Product
metadata: {name: bundle, team: mart}
spec: {versions: [orders.v1, stock.v1], plans: {open: {auth: [scram], approval: automatic}}}`)
	w.apply("rita", `
kind: Application
metadata: {name: stock, team: mart}
spec: {}
---
kind: Subscription
metadata: {name: hidden-orders, environment: prod}
spec: {application: stock, product: bundle, plan: open}`)
	w.apply("ben", version(strings.Replace(contractText, ", note: {type: string}", "", 1), "NONE"))
	w.apply("ben", version(strings.Replace(contractText, ", note: {type: string}", "", 1), "BACKWARD"))
	promotion := control.Promotion{Version: "orders.v1", To: "prod"}
	for who, want := range map[string]string{"ben": "live are billing-orders and 1 that you may not see", "rita": "live are billing-orders, hidden-orders"} {
		_, _, _, err := w.plane.Promote(t.Context(), w.as(who), promotion)
		if err == nil || !strings.Contains(err.Error(), want) || who == "ben" && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s promotes: %v", who, err)
		}
		c, err := w.plane.Compare(t.Context(), w.as(who), "orders.v1", 2, 3, "prod")
		if err != nil {
			t.Fatal(err)
		}
		if f := c.Findings[0]; len(f.Subscriptions)+f.Others != 2 || slices.Contains(f.Subscriptions, "hidden-orders") != (who == "rita") {
			t.Errorf("%s compares: %+v", who, f)
		}
	}

	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: w.now.Add(time.Hour)}, "over"); err != nil {
		t.Fatal(err)
	}
	if err := w.act("ben", control.Move{Key: versionKey, Action: lifecycle.Retire}, "over"); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]string{"ben": "is referred to by Product orders and 1 that you may not see: remove or change those", "rita": "is referred to by Product bundle, Product orders: "} {
		_, err := w.plane.Delete(t.Context(), w.as(who), []resource.Key{versionKey}, nil)
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.MessageOf(err), want) {
			t.Errorf("%s removes: %v", who, err)
		}
	}
}
