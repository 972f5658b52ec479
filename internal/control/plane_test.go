package control_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

// world is a control plane over a store in a file.
type world struct {
	t     *testing.T
	path  string
	store *sqlstore.Store
	plane *control.Plane
	now   time.Time

	inventory control.Inventory // of another
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "control.db"), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.open()
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.store, err = sqlstore.Open(w.t.Context(), w.path, sqlstore.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.plane = w.another(w.store)
}

// another is a control plane over the same store, as another process has it.
func (w *world) another(s control.Store) *control.Plane {
	w.t.Helper()
	p, err := control.New(w.t.Context(), control.Deps{Store: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { w.now = w.now.Add(time.Second); return w.now }, Seed: make([]byte, 32), Inventory: w.inventory,
		Deliver: map[notify.Channel]notify.Deliver{notify.Webhook: nobody, notify.Email: nobody}})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// nobody is told in these tests: what is in the outbox is looked at there.
func nobody(context.Context, notify.Notification) error { return errors.New("not in this test") }

// as is a request of somebody with the roles that documents give.
func (w *world) as(login string) control.Request {
	set := w.plane.Model().Set()
	return control.Request{Actor: identity.Someone(login, login == "root", identity.NewDirectory(set.Organisations, set.Teams).Of(login, identity.Groups{})), ID: control.NewRequestID(), Address: "127.0.0.1"}
}

// documents reads documents as a server does.
func documents(t *testing.T, text string) []resource.Any {
	t.Helper()
	parts := strings.Split(text, "\n---\n")
	for i := range parts {
		parts[i] = "apiVersion: sluice/v1\n" + strings.TrimLeft(parts[i], "\n")
	}
	set, problems := resource.ReadRequest("test", []byte(strings.Join(parts, "\n---\n")))
	if resource.Bad(problems) {
		t.Fatal(problems)
	}
	return slices.Collect(set.All())
}

func (w *world) apply(login, text string) *control.Report {
	w.t.Helper()
	report, err := w.try(w.as(login), control.Wanted{Documents: documents(w.t, text)})
	if err != nil {
		w.t.Fatalf("%s applies: %v", login, err)
	}
	return report
}

func (w *world) try(q control.Request, want control.Wanted) (*control.Report, error) {
	return w.plane.Apply(w.t.Context(), q, want)
}

const people = `
kind: Organisation
metadata: {name: acme}
spec: {title: Acme, members: {olga: [org-admin]}}
---
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {ben: [publisher], cleo: [approver]}}
---
kind: Team
metadata: {name: erp}
spec: {organisation: acme, members: {dan: [app-developer]}}
---
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"], publish: {shop: [shop.]}}`

const offer = `
kind: API
metadata: {name: orders, team: shop}
spec: {title: Orders, visibility: partner}
---
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {orderPlaced: {address: orders.placed, send: true}}}
  channels: {orderPlaced: {prod: {cluster: main, topic: shop.orders}}}
  lifecycle: {state: published}
---
kind: Product
metadata: {name: orders, team: shop}
spec: {versions: [orders.v1], plans: {open: {auth: [scram], approval: automatic}, partner: {auth: [scram], approval: manual}}}`

const wish = `
kind: Application
metadata: {name: billing, team: erp}
spec: {}
---
kind: Subscription
metadata: {name: billing-orders, environment: prod}
spec: {application: billing, product: orders, plan: partner}
---
kind: Credential
metadata: {name: billing-1, environment: prod}
spec: {application: billing, type: scram}`

func (w *world) state(kind resource.Kind, name string) string {
	w.t.Helper()
	r := w.plane.Model().Get(resource.Key{Kind: kind, Name: name})
	if r == nil {
		return "absent"
	}
	switch d := r.Document.(type) {
	case *resource.Version:
		return d.Spec.Lifecycle.State
	case *resource.Subscription:
		return d.Spec.State
	case *resource.Credential:
		return d.Spec.State
	}
	return "there"
}

func (w *world) act(login string, m control.Move, reason string) error {
	q := w.as(login)
	q.Reason = reason
	_, err := w.plane.Act(w.t.Context(), q, m)
	return err
}

func (w *world) rows() (rows []audit.Row) {
	w.t.Helper()
	err := w.store.Read(w.t.Context(), func(r control.Reader) error {
		rows = nil
		return r.AuditFrom(1, func(row audit.Row) error { rows = append(rows, row); return nil })
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *world) seq() int64 { return w.plane.Model().Seq() }

func TestFromAnOfferToASubscriptionThatWorks(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	report := w.apply("dan", wish)
	if got := w.state(resource.KindSubscription, "billing-orders"); got != "pending" {
		t.Errorf("the subscription is %s before anybody approved it", got)
	}
	secret := report.Outcomes[2].Secret
	if len(secret) < 40 || report.Outcomes[2].Key.Name != "billing-1" {
		t.Fatalf("got %+v, want a secret for the credential", report.Outcomes)
	}
	key := resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}
	if err := w.act("dan", control.Move{Key: key, Action: lifecycle.Approve}, ""); fault.KindOf(err) != fault.Denied {
		t.Errorf("who asked approves: %v", err)
	}
	if err := w.act("cleo", control.Move{Key: key, Action: lifecycle.Approve}, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.state(resource.KindSubscription, "billing-orders"); got != "active" {
		t.Errorf("the subscription is %s", got)
	}
	trail := w.plane.Model().Get(key).Status.Trail
	if len(trail) != 2 || trail[0].Action != "request" || trail[0].Person != "dan" || trail[1].Action != "approve" || trail[1].By != "person cleo" {
		t.Errorf("trail %+v", trail)
	}
	if len(w.plane.Model().Verifiers("billing-1")) == 0 {
		t.Error("nothing proves the secret")
	}
	for _, row := range w.rows() {
		if strings.Contains(string(row.Details), secret) || row.Actor == "" || row.Request == "" || row.Result != "ok" {
			t.Errorf("row %+v", row)
		}
	}
	if got, want := int64(len(w.rows())), w.seq(); got != want {
		t.Errorf("%d audit rows for %d changes", got, want)
	}
	if err := w.act("cleo", control.Move{Key: key, Action: lifecycle.Approve}, ""); fault.KindOf(err) != fault.Conflict {
		t.Errorf("approving twice: %v", err)
	}
}

func TestAnAutomaticPlanNeedsNobodysApproval(t *testing.T) {
	for state, want := range map[string]string{"": "active", ", state: active": "active", ", state: pending": "pending"} {
		w := newWorld(t)
		w.apply("root", people)
		w.apply("ben", offer)
		w.apply("dan", strings.Replace(wish, "plan: partner", "plan: open"+state, 1))
		if got := w.state(resource.KindSubscription, "billing-orders"); got != want {
			t.Errorf("with %q the subscription is %s, want %s", state, got, want)
		}
	}
}

func TestWhatAProcessHasNotReadIsToldLater(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	other, err := control.New(t.Context(), control.Deps{Store: w.store, Log: slog.New(slog.DiscardHandler), Seed: []byte(strings.Repeat("s", 32))})
	if err != nil {
		t.Fatal(err)
	}
	at := other.Model().Seq()
	w.apply("ben", offer)
	if changes, upTo, ok, err := other.Changes(t.Context(), w.as("ben"), at, 100); err != nil || !ok || upTo != at || len(changes) != 0 {
		t.Errorf("%d changes up to %d: %v; the model is of %d, and who may see the others is not known", len(changes), upTo, err, at)
	}
}

func TestApplyingTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	for who, text := range map[string]string{"root": people} {
		w.apply(who, text)
	}
	w.apply("ben", offer)
	w.apply("dan", wish)
	before, rows := w.seq(), len(w.rows())
	for _, again := range []struct{ who, text string }{{"root", people}, {"ben", offer}, {"dan", wish}} {
		for _, o := range w.apply(again.who, again.text).Outcomes {
			if o.Result != control.Unchanged || o.Secret != "" {
				t.Errorf("again: %+v", o)
			}
		}
	}
	if w.seq() != before || len(w.rows()) != rows {
		t.Errorf("%d changes and %d rows, had %d and %d", w.seq(), len(w.rows()), before, rows)
	}
}

func TestWhatIsExportedAndAppliedElsewhereIsTheSame(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", wish)
	key := resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}
	if err := w.act("cleo", control.Move{Key: key, Action: lifecycle.Approve}, ""); err != nil {
		t.Fatal(err)
	}
	var exported []resource.Any
	for r := range w.plane.Model().Records() {
		exported = append(exported, r.Document)
	}
	other := newWorld(t)
	other.apply("root", people)
	// Who brings it all there has all the roles that it took.
	all := control.Request{Actor: identity.Someone("moving", true, []identity.Membership{
		{Role: identity.OrgAdmin, Organisation: "acme"}, {Role: identity.Publisher, Organisation: "acme"}, {Role: identity.AppDeveloper, Organisation: "acme"},
	}), ID: "req_1"}
	if _, err := other.try(all, control.Wanted{Documents: exported, Secrets: map[string]string{"billing-1": strings.Repeat("s", 32)}}); err != nil {
		t.Fatal(err)
	}
	for r := range w.plane.Model().Records() {
		there := other.plane.Model().Get(r.Key())
		if there == nil {
			t.Errorf("%s is missing", r.Key())
			continue
		}
		a, _ := resource.Marshal(r.Document)
		b, _ := resource.Marshal(there.Document)
		if string(a) != string(b) {
			t.Errorf("got %s, want %s", b, a)
		}
	}
}

// What cannot be done leaves nothing behind, and says what is wrong and where.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---\nkind: Environment\nmetadata: {name: prod}\nspec: {}\n---\nkind: Environment\nmetadata: {name: qa}\nspec: {}")
	w.apply("ben", offer)
	w.apply("dan", wish)
	if err := w.act("cleo", control.Move{Key: resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}, Action: lifecycle.Approve}, ""); err != nil {
		t.Fatal(err)
	}
	api := func(name, team string) string {
		return "kind: API\nmetadata: {name: " + name + ", team: " + team + "}\nspec: {visibility: private}"
	}
	for name, c := range map[string]struct {
		who, text string
		kind      fault.Kind
		says      string
	}{
		"another team's":                 {"dan", api("x", "shop"), fault.NotFound, "making one is for"},
		"an environment of nobody":       {"ben", strings.NewReplacer("orders.v1", "orders.v2", "prod:", "prdo:").Replace(strings.Split(offer, "---")[1]), fault.Invalid, `there is no Environment "prdo": did you mean prod?`},
		"a cluster of elsewhere":         {"ben", strings.NewReplacer("orders.v1", "orders.v2", "prod:", "qa:").Replace(strings.Split(offer, "---")[1]), fault.Invalid, `cluster "main" is in environment "prod", not "qa"`},
		"an own one to another team":     {"dan", "kind: Application\nmetadata: {name: billing, team: shop}\nspec: {}", fault.Denied, "giving it to team shop takes somebody who may write for both teams, and you may write for erp only"},
		"nobody's team":                  {"ben", api("x", "nobody"), fault.Invalid, `there is no Team "nobody"`},
		"a team of no organisation":      {"root", "kind: Team\nmetadata: {name: x}\nspec: {organisation: nowhere}", fault.Invalid, `spec.organisation: there is no Organisation nowhere`},
		"without a team":                 {"ben", "kind: API\nmetadata: {name: x}\nspec: {}", fault.Invalid, "metadata.team: is missing"},
		"taking from another team":       {"dan", api("orders", "erp"), fault.Denied, "only"},
		"a cluster":                      {"ben", "kind: Cluster\nmetadata: {name: mine, environment: prod}\nspec: {bootstrap: ['127.0.0.1:1']}", fault.NotFound, "platform-admin"},
		"an unknown product":             {"dan", "kind: Subscription\nmetadata: {name: s, environment: prod}\nspec: {application: billing, product: nothing, plan: open}", fault.Invalid, `there is no Product "nothing"`},
		"the same topic twice":           {"dan", "kind: Subscription\nmetadata: {name: s, environment: prod}\nspec: {application: billing, product: orders, plan: open}", fault.Conflict, "has Subscription billing-orders to product orders in prod already"},
		"an approval of one's own":       {"dan", "kind: Application\nmetadata: {name: mine, team: erp}\nspec: {}\n---\nkind: Subscription\nmetadata: {name: s, environment: prod}\nspec: {application: mine, product: orders, plan: partner, state: active}", fault.Denied, "approve"},
		"a suspension by the subscriber": {"dan", "kind: Subscription\nmetadata: {name: billing-orders, environment: prod}\nspec: {application: billing, product: orders, plan: partner, state: suspended}", fault.Denied, "suspend"},
		"a state without a way":          {"ben", "kind: Version\nmetadata: {name: orders.v1}\nspec: {contract: {channels: {orderPlaced: {address: orders.placed, send: true}}}, channels: {orderPlaced: {prod: {cluster: main, topic: shop.orders}}}, lifecycle: {state: draft}}", fault.Conflict, "cannot become draft"},
		"one bad document among others":  {"ben", api("y", "shop") + "\n---\n" + "kind: Product\nmetadata: {name: p, team: shop}\nspec: {versions: [nothing.v1], plans: {a: {auth: [scram]}}}", fault.Invalid, "nothing.v1"},
		"a right on the target cluster":  {"dan", "kind: Application\nmetadata: {name: billing, team: erp}\nspec: {adopt: {groups: [legacy]}}", fault.Denied, "platform-admin"},
		"somebody without any role":      {"eve", api("x", "shop"), fault.Invalid, `there is no Team "shop" that you may see`},
		"a version of an API of nobody":  {"ben", "kind: Version\nmetadata: {name: lost.v1}\nspec: {contract: {channels: {a: {send: true}}}}", fault.NotFound, "lost.v1"},
	} {
		t.Run(name, func(t *testing.T) {
			seq, rows := w.seq(), len(w.rows())
			_, err := w.try(w.as(c.who), control.Wanted{Documents: documents(t, c.text)})
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s: %v, want %s with %q", fault.KindOf(err), err, c.kind, c.says)
			}
			if w.seq() != seq || len(w.rows()) != rows {
				t.Error("something was changed")
			}
			w.plane = w.another(w.store)
			if w.seq() != seq {
				t.Error("something is in the store")
			}
		})
	}
}

func TestADryRunSaysWhatWouldHappen(t *testing.T) {
	w := newWorld(t)
	q := w.as("root")
	q.DryRun = true
	report, err := w.try(q, control.Wanted{Documents: documents(t, people)})
	if err != nil || len(report.Outcomes) != 4 || report.Outcomes[0].Result != control.Created {
		t.Fatalf("%+v, %v", report, err)
	}
	if w.seq() != 0 || len(w.rows()) != 0 || w.plane.Model().Len() != 0 {
		t.Error("something was changed")
	}
	w.apply("root", people)
	report, err = w.try(q, control.Wanted{Documents: documents(t, strings.Replace(people, "title: Acme", "title: Acme Trading", 1))})
	if err != nil || report.Outcomes[0].Result != control.Changed || len(report.Outcomes[0].Differences) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if d := report.Outcomes[0].Differences[0]; d != (control.Difference{Path: "spec.title", Before: "Acme", After: "Acme Trading"}) {
		t.Errorf("got %+v", d)
	}
	q.Actor = w.as("ben").Actor
	if report, err := w.try(q, control.Wanted{Documents: documents(t, offer)}); err != nil || len(report.Outcomes) != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	q.Actor = w.as("ben").Actor
	w.apply("ben", offer)
	q.Actor = w.as("dan").Actor
	if report, err := w.try(q, control.Wanted{Documents: documents(t, wish)}); err != nil || report.Outcomes[2].Secret != "" {
		t.Errorf("a dry run makes a secret: %+v, %v", report, err)
	}
}

func TestTagsGuardAgainstWhatChangedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	key := resource.Key{Kind: resource.KindAPI, Name: "note"}
	text := func(title string) string {
		return "kind: API\nmetadata: {name: note, team: shop}\nspec: {title: " + title + "}"
	}
	change := func(login, title string, tag int64) (int64, error) {
		report, err := w.try(w.as(login), control.Wanted{Documents: documents(t, text(title)), Tags: map[resource.Key]int64{key: tag}})
		if err != nil {
			return 0, err
		}
		return report.Outcomes[0].Tag, nil
	}
	conflict := func(what string, err error, words string) {
		t.Helper()
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := change("ben", "A", 3)
	conflict("not there any more", err, "not there any more")
	first, err := change("ben", "A", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = change("ben", "A", 0)
	conflict("must not be there", err, "changed meanwhile")
	second, err := change("ben", "B", first)
	if err != nil {
		t.Error(err)
	}
	_, err = change("ben", "C", first)
	conflict("an old tag", err, "changed meanwhile")
	// Somebody who may not see it learns nothing by guessing at tags.
	_, right := change("dan", "D", second)
	_, wrong := change("dan", "D", first)
	if right == nil || wrong == nil || right.Error() != wrong.Error() {
		t.Errorf("with the right tag %v, with a wrong one %v", right, wrong)
	}
	// Made again, it has another tag than ever before.
	if _, err := w.plane.Delete(t.Context(), w.as("ben"), []resource.Key{key}, map[resource.Key]int64{key: second}); err != nil {
		t.Fatal(err)
	}
	again, err := change("ben", "A", 0)
	if err != nil || again == first || again == second {
		t.Errorf("tags %d, %d and, made again, %d: %v", first, second, again, err)
	}
	_, err = change("ben", "B", first)
	conflict("the tag of one that was removed", err, "changed meanwhile")
}

func TestOnlyWhatNobodyNeedsIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", wish)
	remove := func(login string, keys ...resource.Key) error {
		_, err := w.plane.Delete(t.Context(), w.as(login), keys, nil)
		return err
	}
	product, version := resource.Key{Kind: resource.KindProduct, Name: "orders"}, resource.Key{Kind: resource.KindVersion, Name: "orders.v1"}
	application, subscription, credential := resource.Key{Kind: resource.KindApplication, Name: "billing"}, resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}, resource.Key{Kind: resource.KindCredential, Name: "billing-1"}
	if err := remove("ben", product); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "Subscription billing-orders") {
		t.Errorf("a product with a subscription: %v", err)
	}
	if err := remove("ben", version); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a published version: %v", err)
	}
	if err := remove("ben", application); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another team's: %v", err)
	}
	if err := remove("dan", application); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an application with a subscription: %v", err)
	}
	if err := remove("dan", application, subscription, credential); err != nil {
		t.Errorf("together: %v", err)
	}
	if err := remove("dan", application); fault.KindOf(err) != fault.NotFound {
		t.Errorf("again: %v", err)
	}
	if w.plane.Model().Get(credential) != nil {
		t.Error("it is still there")
	}
}

func TestPruneRemovesWhatItsOwnerDroppedOnly(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	api := func(name string) string { return "kind: API\nmetadata: {name: " + name + ", team: shop}\nspec: {}" }
	both := documents(t, api("a")+"\n---\n"+api("b"))
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: both, Owner: "repo"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.as("ben"), control.Wanted{Documents: both[:1], Prune: true}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("without an owner: %v", err)
	}
	report, err := w.try(w.as("ben"), control.Wanted{Documents: both[:1], Owner: "repo", Prune: true})
	if err != nil || len(report.Outcomes) != 2 || report.Outcomes[1].Result != control.Removed || report.Outcomes[1].Key.Name != "b" {
		t.Errorf("%+v, %v", report, err)
	}
	if w.state(resource.KindAPI, "orders") != "there" {
		t.Error("it removed what it does not own")
	}
}

func TestSecretsComeFromOutsideToo(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	give := func(secret string) (*control.Report, error) {
		return w.try(w.as("dan"), control.Wanted{Documents: documents(t, wish), Secrets: map[string]string{"billing-1": secret}})
	}
	if _, err := give("short"); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "needs 16") {
		t.Errorf("a short one: %v", err)
	}
	first, second := strings.Repeat("a", 20), strings.Repeat("b", 20)
	report, err := give(first)
	if err != nil || report.Outcomes[2].Result != control.Created || report.Outcomes[2].Secret != "" {
		t.Fatalf("%+v, %v", report, err)
	}
	proofs := w.plane.Model().Verifiers("billing-1")
	if report, err = give(first); err != nil || report.Outcomes[2].Result != control.Unchanged {
		t.Errorf("the same again: %+v, %v", report, err)
	}
	if report, err = give(second); err != nil || report.Outcomes[2].Result != control.Changed {
		t.Errorf("another one: %+v, %v", report, err)
	}
	now := w.plane.Model().Verifiers("billing-1")
	if len(now) != 2*len(proofs) || string(now[0].StoredKey) == string(proofs[0].StoredKey) || !now[0].NotAfter.IsZero() {
		t.Error("the new secret is not the one that counts")
	}
	if old := now[len(proofs)]; string(old.StoredKey) != string(proofs[0].StoredKey) || old.NotAfter.IsZero() || old.NotAfter.After(w.now) {
		t.Error("the old secret still counts")
	}
	if p := w.another(w.store); len(p.Model().Verifiers("billing-1")) != len(now) {
		t.Error("another process does not know the secret")
	}
	_, err = w.try(w.as("dan"), control.Wanted{Documents: documents(t, wish), Secrets: map[string]string{"billing-2": second}})
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("for nobody: %v", err)
	}
}

// Two processes over one store see each other's changes, and none overwrites them.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	store, err := sqlstore.Open(t.Context(), w.path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	other := w.another(store)
	w.apply("ben", offer)
	if _, err := other.Apply(t.Context(), w.as("dan"), control.Wanted{Documents: documents(t, wish)}); err != nil {
		t.Fatalf("what the first process did is not known to the second: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.plane.Run(ctx) }()
	waited, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	w.plane.Wait(waited, w.seq(), 30*time.Second)
	if w.state(resource.KindSubscription, "billing-orders") != "pending" {
		t.Error("the first process does not see what the second did")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListsShowWhatSomebodyMaySee(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", wish)
	names := func(login string, query control.Query) (out []string) {
		for {
			page, next, err := w.plane.List(t.Context(), w.as(login), query)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				out = append(out, r.Key().Name)
			}
			if next == "" {
				return out
			}
			query.After = next
		}
	}
	for _, c := range []struct {
		who  string
		kind resource.Kind
		want []string
	}{
		{"root", resource.KindTeam, []string{"erp", "shop"}},
		{"eve", resource.KindTeam, nil},
		{"dan", resource.KindAPI, []string{"orders"}},
		{"eve", resource.KindAPI, nil},
		{"dan", resource.KindCluster, nil},
		{"ben", resource.KindSubscription, []string{"billing-orders"}},
		{"ben", resource.KindCredential, nil},
		{"dan", resource.KindCredential, []string{"billing-1"}},
	} {
		if got := names(c.who, control.Query{Kind: c.kind, Limit: 1}); !slices.Equal(got, c.want) {
			t.Errorf("%s sees %v of kind %s, want %v", c.who, got, c.kind, c.want)
		}
	}
	r, err := w.plane.Get(w.as("dan"), resource.Key{Kind: resource.KindVersion, Name: "orders.v1"})
	if err != nil || len(r.Document.(*resource.Version).Spec.Channels) != 0 {
		t.Errorf("a consumer sees clusters and backing topics: %v", err)
	}
	if r, err = w.plane.Get(w.as("ben"), resource.Key{Kind: resource.KindVersion, Name: "orders.v1"}); err != nil || len(r.Document.(*resource.Version).Spec.Channels) != 1 {
		t.Errorf("the provider does not see them: %v", err)
	}
	if _, err := w.plane.Get(w.as("eve"), resource.Key{Kind: resource.KindAPI, Name: "orders"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	_, absent := w.plane.Get(w.as("eve"), resource.Key{Kind: resource.KindAPI, Name: "0rders"})
	_, hidden := w.plane.Get(w.as("eve"), resource.Key{Kind: resource.KindAPI, Name: "orders"})
	if strings.ReplaceAll(absent.Error(), "0rders", "orders") != hidden.Error() {
		t.Errorf("what is not there: %v, what must not be seen: %v", absent, hidden)
	}
}

// An error of the store changes nothing, here or there.
func TestAStoreThatFails(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	seq := w.seq()
	w.store.Close()
	_, err := w.try(w.as("ben"), control.Wanted{Documents: documents(t, offer)})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if w.seq() != seq {
		t.Error("the model has what the store has not")
	}
	w.open()
	w.apply("ben", offer)
}

const stranger = `
kind: Organisation
metadata: {name: rival}
spec: {}
---
kind: Team
metadata: {name: spies}
spec: {organisation: rival, members: {sam: [publisher, approver, app-developer]}}`

// Nobody takes, sells or subscribes to what is not theirs by naming it, and names are
// no way to find out what there is.
func TestNamingSomethingIsNoWayToIt(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("root", stranger)
	w.apply("ben", offer)
	w.apply("ben", strings.NewReplacer("orders", "grab", "visibility: partner", "visibility: private", "shop.grab", "shop.private").Replace(offer))
	w.apply("dan", wish)
	w.apply("sam", "kind: Application\nmetadata: {name: eye, team: spies}\nspec: {}")
	product := func(version string) string {
		return "kind: Product\nmetadata: {name: mine, team: spies}\nspec: {versions: [" + version + "], plans: {open: {auth: [scram], approval: automatic}}}"
	}
	subscription := func(product string) string {
		return "kind: Subscription\nmetadata: {name: s, environment: prod}\nspec: {application: eye, product: " + product + ", plan: open}"
	}
	version := func(cluster, topic string) string {
		return "kind: API\nmetadata: {name: copy, team: spies}\nspec: {}\n---\nkind: Version\nmetadata: {name: copy.v1}\nspec: {contract: {channels: {a: {send: true}}}, channels: {a: {prod: {cluster: " + cluster + ", topic: " + topic + "}}}}"
	}
	w.apply("dan", "kind: Application\nmetadata: {name: second, team: erp}\nspec: {}\n---\nkind: Subscription\nmetadata: {name: second, environment: prod}\nspec: {application: second, product: orders, plan: open}")
	for name, c := range map[string]struct {
		who, text string
		kind      fault.Kind
		says      string
	}{
		"selling a version of others":                 {"sam", product("orders.v1"), fault.Denied, "orders.v1 is of another one"},
		"selling a version that is private":           {"sam", product("grab.v1"), fault.Invalid, `there is no Version "grab.v1" that you may use here`},
		"selling a version that is not there":         {"sam", product("gone.v1"), fault.Invalid, `there is no Version "gone.v1" that you may use here`},
		"subscribing to what is private":              {"sam", subscription("grab"), fault.Invalid, `there is no Product "grab" that you may use here`},
		"subscribing to what is not there":            {"sam", subscription("gone"), fault.Invalid, `there is no Product "gone" that you may use here`},
		"publishing a topic of others":                {"sam", version("main", "shop.orders"), fault.Invalid, "published by another team already"},
		"publishing a topic that nobody gave":         {"sam", version("main", "hr.salaries"), fault.Denied, "does not give topic"},
		"a topic outside of the team's":               {"ben", strings.Replace(version("main", "hr.salaries"), "team: spies", "team: shop", 1), fault.Denied, "does not give topic"},
		"an application of others":                    {"sam", "kind: Credential\nmetadata: {name: c, environment: prod}\nspec: {application: billing, type: scram}", fault.NotFound, "making one is for"},
		"a name that is taken by what is not visible": {"sam", "kind: API\nmetadata: {name: grab, team: spies}\nspec: {}", fault.Conflict, "the name is taken"},
		"another plan, which wants approval":          {"dan", "kind: Subscription\nmetadata: {name: second, environment: prod}\nspec: {application: second, product: orders, plan: partner}", fault.Denied, "wants approval"},
		"another application's subscription":          {"dan", "kind: Subscription\nmetadata: {name: billing-orders, environment: prod}\nspec: {application: second, product: orders, plan: partner}", fault.Conflict, "stays so"},
	} {
		t.Run(name, func(t *testing.T) {
			seq := w.seq()
			_, err := w.try(w.as(c.who), control.Wanted{Documents: documents(t, c.text)})
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s: %v, want %s with %q", fault.KindOf(err), err, c.kind, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "did you mean") {
				t.Errorf("%v: names what must not be seen", err)
			}
			if w.seq() != seq {
				t.Error("something was changed")
			}
		})
	}
	for _, to := range []resource.Key{{Kind: resource.KindCluster, Name: "main"}, {Kind: resource.KindCluster, Name: "gone"}} {
		if page, _, err := w.plane.List(t.Context(), w.as("sam"), control.Query{Kind: resource.KindVersion, To: to}); err != nil || len(page) != 0 {
			t.Errorf("what refers to %s: %v, %v", to, page, err)
		}
	}
	r, err := w.plane.Get(w.as("sam"), resource.Key{Kind: resource.KindVersion, Name: "orders.v1"})
	if err != nil || len(r.Status.Trail) != 0 || r.Status.By != "" || r.Owner != "" {
		t.Errorf("who did what is shown to strangers: %+v, %v", r, err)
	}
}

// What nobody changes may be among what is applied, as far as it may be seen.
func TestApplyingWhatIsThereTakesNoRight(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("root", stranger)
	w.apply("ben", offer)
	teams, _, _ := strings.Cut(people, "\n---\nkind: Cluster")
	for _, o := range w.apply("dan", teams).Outcomes {
		if o.Result != control.Unchanged {
			t.Errorf("%+v", o)
		}
	}
	if _, err := w.try(w.as("sam"), control.Wanted{Documents: documents(t, people)}); err == nil {
		t.Error("a stranger finds out what there is by applying it")
	}
}

// Two subscriptions of an application to a product would bring the same topics, as soon as
// the provider has some in the environment: then nobody could approve those.
func TestAnApplicationSubscribesOnceToAProduct(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", wish)
	second := func(state string) error {
		_, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, "kind: Subscription\nmetadata: {name: second, environment: prod}\nspec: {application: billing, product: orders, plan: partner"+state+"}")})
		return err
	}
	first := resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}
	refused := func(while string) {
		t.Helper()
		if err := second(""); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "it is "+while+": change its plan, or close it first") {
			t.Errorf("while it is %s: %v", while, err)
		}
	}
	refused("pending")
	for _, step := range []struct {
		action lifecycle.Action
		by     string
		state  string
	}{{lifecycle.Approve, "cleo", "active"}, {lifecycle.Suspend, "ben", "suspended"}} {
		if err := w.act(step.by, control.Move{Key: first, Action: step.action}, "a reason"); err != nil {
			t.Fatal(err)
		}
		refused(step.state)
	}
	if err := w.act("dan", control.Move{Key: first, Action: lifecycle.Close}, ""); err != nil {
		t.Fatal(err)
	}
	if err := second(""); err != nil {
		t.Errorf("once it is closed: %v", err)
	}
	twins := strings.NewReplacer("billing", "twins", "kind: Credential", "kind: Subscription", "type: scram", "product: orders, plan: open").Replace(wish)
	if _, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, twins)}); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "already") {
		t.Errorf("two at once: %v", err)
	}
}

// A provider learns nothing of the subscriptions to others' products that are in the way.
func TestAClashOfTopicsNamesNothingOfOthers(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+"\n---\nkind: Team\nmetadata: {name: stock}\nspec: {organisation: acme, members: {gil: [publisher]}}")
	w.apply("root", "kind: Cluster\nmetadata: {name: main, environment: prod}\nspec: {bootstrap: ['127.0.0.1:9092'], publish: {shop: [shop.], stock: [stock.]}}")
	w.apply("ben", offer)
	w.apply("gil", strings.NewReplacer("team: shop", "team: stock", "name: orders", "name: stock", "orders.v1", "stock.v1", "shop.orders", "stock.orders").Replace(offer))
	w.apply("dan", strings.Replace(wish, "plan: partner", "plan: open", 1))
	w.apply("dan", "kind: Subscription\nmetadata: {name: billing-stock, environment: prod}\nspec: {application: billing, product: stock, plan: partner}")
	err := w.act("gil", control.Move{Key: resource.Key{Kind: resource.KindSubscription, Name: "billing-stock"}, Action: lifecycle.Approve}, "")
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "another subscription of application billing") || strings.Contains(err.Error(), "billing-orders") || strings.Contains(err.Error(), ":0)") {
		t.Errorf("got %v", err)
	}
}

// Another plan counts as if it had been asked for at first.
func TestAPendingSubscriptionIsApprovedByAnotherPlan(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	w.apply("dan", wish)
	subscription := strings.Split(wish, "---")[1]
	w.apply("dan", strings.Replace(subscription, "plan: partner", "plan: open", 1))
	if got := w.state(resource.KindSubscription, "billing-orders"); got != "active" {
		t.Errorf("it is %s", got)
	}
	if trail := w.plane.Model().Get(resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}).Status.Trail; len(trail) != 2 || trail[1].Action != "approve" || trail[1].By != "system" {
		t.Errorf("trail %+v", trail)
	}
}
