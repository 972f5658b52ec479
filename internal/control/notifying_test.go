package control_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// outbox returns what was put into the outbox since it was last asked, as "type > receiver", and takes it out.
func (w *world) outbox() (lines []string, all []notify.Notification) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), func(s control.Writer) (err error) {
		lines, all = nil, nil
		page, _, err := s.Notifications(notify.Query{})
		for _, n := range page {
			lines, all = append(lines, strings.TrimPrefix(n.Type, "sluice.")+" > "+n.To), append(all, n)
			if err == nil {
				err = s.RemoveNotification(n.ID)
			}
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return lines, all
}

// notifying is a world whose teams are told: shop by webhook and at an address, erp only those whom it concerns.
func notifying(t *testing.T) *world {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("root", `
kind: Team
metadata: {name: shop}
spec: {organisation: acme, email: shop@example.com, members: {ben: [publisher], cleo: [approver]}, notify: {webhook: {url: "https://hooks.example.com/shop"}, email: [desk@example.com]}}
---
kind: Team
metadata: {name: erp}
spec: {organisation: acme, members: {dan: [app-developer], dora: [app-developer], gone: [app-developer], fay: [billing-admin], none: [app-developer]}}
---
kind: Team
metadata: {name: stranger}
spec: {organisation: acme, notify: {webhook: {url: "https://hooks.example.com/stranger"}}}`)
	if err := w.store.Write(t.Context(), func(s control.Writer) error {
		for _, p := range []identity.Person{{Login: "dan"}, {Login: "dora"}, {Login: "gone", Disabled: true}, {Login: "fay"}} {
			p.Email, p.Created, p.Changed = p.Login+"@example.org", w.now, w.now
			if err := s.PutPerson(&p); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.apply("ben", offer)
	if lines, _ := w.outbox(); len(lines) > 0 {
		t.Fatalf("what concerns nobody is told: %q", lines)
	}
	return w
}

// shopIsTold are the lines of an event that the team shop is told.
func shopIsTold(event string) []string {
	return []string{event + " > shop", event + " > desk@example.com", event + " > shop@example.com"}
}

// Every event with everybody who is told of it, and nobody else.
func TestWhoIsToldOfWhat(t *testing.T) {
	w := notifying(t)
	version, sub, cred := resource.Key{Kind: resource.KindVersion, Name: "orders.v1"}, resource.Key{Kind: resource.KindSubscription, Name: "billing-orders"}, resource.Key{Kind: resource.KindCredential, Name: "billing-1"}
	act := func(login string, key resource.Key, action lifecycle.Action) func() error {
		return func() error { return w.act(login, control.Move{Key: key, Action: action}, "because") }
	}
	apply := func(login, text string) func() error {
		return func() error {
			_, err := w.try(w.as(login), control.Wanted{Documents: documents(t, text)})
			return err
		}
	}
	deprecate := func(sunset time.Duration, brownouts ...resource.Window) func() error {
		return func() error {
			return w.act("ben", control.Move{Key: version, Action: lifecycle.Deprecate, Sunset: w.now.Add(sunset), Brownouts: brownouts}, "because")
		}
	}
	later := func(d time.Duration) func() error {
		return func() error {
			w.now = w.now.Add(d)
			control.Tick(t.Context(), w.plane)
			return nil
		}
	}
	const day = 24 * time.Hour
	began := w.now
	window := resource.Window{From: w.now.Add(80 * day).Truncate(time.Second), To: w.now.Add(80*day + time.Hour).Truncate(time.Second)}
	both := func(event string, consumer ...string) []string { return append(consumer, shopIsTold(event)...) }
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"a subscription waits", apply("dan", wish), shopIsTold("subscription.requested")},
		{"the same again", apply("dan", wish), nil},
		{"the provider writes", func() error { return w.plane.Say(t.Context(), w.as("cleo"), sub.Name, "which region?", false) }, []string{"subscription.message > dan@example.org", "subscription.message > dora@example.org"}},
		{"the consumer writes", func() error { return w.plane.Say(t.Context(), w.as("dan"), sub.Name, "europe", false) }, shopIsTold("subscription.message")},
		{"an internal note", func() error { return w.plane.Say(t.Context(), w.as("cleo"), sub.Name, "canary", true) }, nil},
		{"it is approved", act("cleo", sub, lifecycle.Approve), []string{"subscription.approved > dan@example.org", "subscription.approved > dora@example.org"}},
		{"suspended", act("ben", sub, lifecycle.Suspend), []string{"subscription.suspended > dan@example.org", "subscription.suspended > dora@example.org"}},
		{"resumed", act("ben", sub, lifecycle.Resume), []string{"subscription.resumed > dan@example.org", "subscription.resumed > dora@example.org"}},
		{"the version is deprecated", deprecate(100*day, window), []string{"version.deprecated > dan@example.org", "version.deprecated > dora@example.org"}},
		{"the clock, with nothing due", later(time.Hour), nil},
		{"90 days before the end", later(10 * day), both("version.ends-soon", "version.ends-soon > dan@example.org", "version.ends-soon > dora@example.org")},
		{"once only", later(time.Minute), nil},
		{"30 days before", later(60 * day), both("version.ends-soon", "version.ends-soon > dan@example.org", "version.ends-soon > dora@example.org")},
		{"a day before the brown-out", later(9 * day), both("version.brownout-ahead", "version.brownout-ahead > dan@example.org", "version.brownout-ahead > dora@example.org")},
		{"blocked", act("root", version, lifecycle.Block), both("version.blocked", "version.blocked > dan@example.org", "version.blocked > dora@example.org")},
		{"unblocked", act("root", version, lifecycle.Unblock), both("version.unblocked", "version.unblocked > dan@example.org", "version.unblocked > dora@example.org")},
		{"not deprecated any more", act("ben", version, lifecycle.Undeprecate), []string{"version.undeprecated > dan@example.org", "version.undeprecated > dora@example.org"}},
		{"deprecated again", deprecate(20 * day), []string{"version.deprecated > dan@example.org", "version.deprecated > dora@example.org"}},
		{"retired", act("ben", version, lifecycle.Retire), both("version.retired", "version.retired > dan@example.org", "version.retired > dora@example.org")},
		{"published again", act("ben", version, lifecycle.Republish), []string{"version.republished > dan@example.org", "version.republished > dora@example.org"}},
		{"the consumer closes", act("dan", sub, lifecycle.Close), both("subscription.closed", "subscription.closed > dora@example.org")},
		{"a credential that ends", apply("dan", strings.Replace(wish, "type: scram}", "type: scram, notAfter: "+w.now.Add(200*day).Format(time.RFC3339)+"}", 1)[strings.Index(wish, "kind: Credential")-1:]), nil},
		{"30 days before its end", func() error { return later(began.Add(170 * day).Sub(w.now))() }, []string{"credential.ends-soon > dan@example.org", "credential.ends-soon > dora@example.org"}},
		{"14 days", later(16 * day), []string{"credential.ends-soon > dan@example.org", "credential.ends-soon > dora@example.org"}},
		{"revoked", act("dan", cred, lifecycle.Revoke), []string{"credential.revoked > dora@example.org"}},
		{"another subscription", apply("dan", strings.NewReplacer("billing-orders", "second").Replace(wish[strings.Index(wish, "kind: Subscription"):strings.Index(wish, "\n---\nkind: Credential")])), shopIsTold("subscription.requested")},
		{"nobody decides", later(31 * day), []string{"subscription.rejected > dan@example.org", "subscription.rejected > dora@example.org"}},
		{"a third one, approved by its plan", apply("dan", strings.NewReplacer("billing-orders", "third", "plan: partner", "plan: open").Replace(wish[strings.Index(wish, "kind: Subscription"):strings.Index(wish, "\n---\nkind: Credential")])), []string{"subscription.approved > dora@example.org"}},
		{"it is removed", func() error {
			_, err := w.plane.Delete(t.Context(), w.as("dan"), []resource.Key{{Kind: resource.KindSubscription, Name: "third"}}, nil)
			return err
		}, shopIsTold("subscription.closed")},
		{"taken over from elsewhere", func() error {
			_, err := w.try(w.as("root"), control.Wanted{AsIs: true, Documents: documents(t, strings.NewReplacer("billing", "moved", "plan: partner", "plan: partner, state: suspended").Replace(wish))})
			return err
		}, nil},
		{"a dry run", func() error {
			q := w.as("dan")
			q.DryRun = true
			_, err := w.try(q, control.Wanted{Documents: documents(t, strings.ReplaceAll(wish, "billing", "dry"))})
			return err
		}, nil},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got, all := w.outbox()
		if fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", step.name, got, step.want)
		}
		for _, n := range all {
			text := string(n.Event)
			var event struct {
				SpecVersion, ID, Source, Type, Subject string
				Time                                   time.Time
			}
			data, err := notify.Read(n.Event)
			if uerr := json.Unmarshal(n.Event, &event); err != nil || uerr != nil || event.SpecVersion != "1.0" || event.ID != n.ID || event.Type != n.Type || !strings.HasPrefix(event.Source, "/sluice/") || event.Subject == "" || data.Team != n.Team || data.Title == "" || data.Text == "" {
				t.Errorf("%s: %v %v %s", step.name, err, uerr, text)
			}
			if strings.Contains(text, "canary") || strings.Contains(text, "shop.orders") {
				t.Errorf("%s: more is told than may be: %s", step.name, text)
			}
			if n.Team == "erp" && strings.HasPrefix(n.Type, "sluice.version.") && (strings.Contains(text, "ben") || strings.Contains(text, "because")) {
				t.Errorf("%s: a consumer reads who did it and why: %s", step.name, text)
			}
		}
	}
}

// watched is a world where prod wants four eyes, and the team shop is told by webhook.
func watched(t *testing.T) *world {
	w := staged(t, "BACKWARD")
	w.apply("root", `
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {ben: [publisher], cleo: [approver]}, notify: {webhook: {url: "https://hooks.example.com/shop"}}}`)
	w.apply("root", "kind: Environment\nmetadata: {name: prod}\nspec: {after: qa, fourEyes: true}")
	return w
}

func TestARevisionThatWaitsIsTold(t *testing.T) {
	w := watched(t)
	w.apply("ben", version(strings.Replace(contractText, "title: Orders", "title: All orders", 1), "BACKWARD"))
	w.outbox()
	if d := w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"}); !d.Waits {
		t.Fatalf("it does not wait: %+v", d)
	}
	lines, all := w.outbox()
	if len(lines) != 1 || lines[0] != "revision.requested > shop" {
		t.Fatalf("told: %q", lines)
	}
	if d, err := notify.Read(all[0].Event); err != nil || d.Environment != "prod" || d.By != "person ben" {
		t.Errorf("%v %+v", err, d)
	}
	if err := w.plane.Say(t.Context(), w.as("dan"), "billing-orders", "hello", false); err != nil { // another change tells nothing of it again
		t.Fatal(err)
	}
	if lines, _ := w.outbox(); len(lines) != 1 || lines[0] != "subscription.message > shop" {
		t.Errorf("told: %q", lines)
	}
}

// What waits and what was given up is for those who administer the organisation of its receiver.
func TestWhoSeesNotifications(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people+`
---
kind: Organisation
metadata: {name: corp}
spec: {members: {eva: [org-admin]}}
---
kind: Team
metadata: {name: api}
spec: {organisation: corp}`)
	if err := w.store.Write(t.Context(), func(s control.Writer) error {
		for i, n := range []notify.Notification{
			{Team: "shop", Organisation: "acme"}, {Team: "shop", Organisation: "acme", Failed: w.now, Problem: "status 500"}, {Team: "erp", Organisation: "acme", Failed: w.now.Add(-8 * 24 * time.Hour)}, {Team: "api", Organisation: "corp", Failed: w.now},
		} {
			n.ID, n.Channel, n.To, n.Event, n.Time, n.Next = fmt.Sprint("n", i), notify.Webhook, n.Team, []byte("{}"), w.now, w.now
			if err := s.AddNotification(n); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who           string
		query         notify.Query
		ids           string
		refused       fault.Kind
		waitsForThose string
	}{
		{"root", notify.Query{}, "n0 n1 n2 n3", "", "api shop"},
		{"root", notify.Query{Failed: true, Team: "shop"}, "n1", "", "api shop"},
		{"root", notify.Query{Organisation: "corp"}, "n3", "", "api shop"},
		{"olga", notify.Query{}, "n0 n1 n2", "", "shop"},
		{"olga", notify.Query{Team: "erp"}, "n2", "", "shop"},
		{"olga", notify.Query{Team: "api"}, "", fault.NotFound, "shop"},
		{"olga", notify.Query{Organisation: "corp"}, "", fault.NotFound, "shop"},
		{"eva", notify.Query{}, "n3", "", "api"},
		{"ben", notify.Query{}, "", fault.Denied, ""},
		{"ben", notify.Query{Team: "shop"}, "", fault.Denied, ""},
		{"nobody", notify.Query{}, "", fault.Denied, ""},
	} {
		var ids, waits []string
		page, next, err := w.plane.Notifications(t.Context(), w.as(c.who), c.query)
		for _, n := range page {
			ids = append(ids, n.ID)
		}
		undelivered, uerr := w.plane.Undelivered(t.Context(), w.as(c.who))
		for _, u := range undelivered {
			waits = append(waits, u.Key.Name)
		}
		if fault.KindOf(err) != c.refused || uerr != nil || next != "" || strings.Join(ids, " ") != c.ids || strings.Join(waits, " ") != c.waitsForThose {
			t.Errorf("%s asks for %+v: got %v, %v, %q, inbox %q", c.who, c.query, err, uerr, ids, waits)
		}
	}
	page, next, err := w.plane.Notifications(t.Context(), w.as("root"), notify.Query{Limit: 3})
	if err != nil || len(page) != 3 || next != "n2" {
		t.Errorf("a page: %v %d %q", err, len(page), next)
	}
}

// What was asked for is answered, and told to whoever asked: once for each revision, however it ended.
func TestWhatBecameOfARevisionIsTold(t *testing.T) {
	w := watched(t)
	w.outbox()
	asks := func(title string) {
		t.Helper()
		w.apply("ben", version(strings.Replace(contractText, "title: Orders", "title: "+title, 1), "BACKWARD"))
		if d := w.promote("ben", control.Promotion{Version: "orders.v1", To: "prod"}); !d.Waits {
			t.Fatalf("it does not wait: %+v", d)
		}
	}
	decide := func(action lifecycle.Action, reason string) func() {
		return func() {
			t.Helper()
			if err := w.act("cleo", control.Move{Key: versionKey, Action: action, Revision: w.plane.Model().Get(versionKey).Status.Revision}, reason); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name     string
		answer   func()
		event    string
		by, text string
	}{
		{"approved", decide(lifecycle.Approve, "looks good"), "revision.approved", "person cleo", "is there now. Why: looks good"},
		{"rejected", decide(lifecycle.Reject, "no examples"), "revision.rejected", "person cleo", "was rejected. Why: no examples"},
		{"asked for anew", func() { asks("Newer orders") }, "revision.requested", "person ben", "wants revision"},
		{"nobody decides", func() { w.now = w.now.Add(lifecycle.WaitsFor + time.Hour); control.Tick(t.Context(), w.plane) }, "revision.rejected", "system", "was rejected. Why: nobody decided in time"},
	} {
		asks(c.name)
		w.outbox()
		c.answer()
		lines, all := w.outbox()
		if len(lines) != 1 || lines[0] != c.event+" > shop" {
			t.Errorf("%s: told %q", c.name, lines)
			continue
		}
		d, err := notify.Read(all[0].Event)
		if err != nil || d.Environment != "prod" || d.By != c.by || !strings.Contains(d.Text, c.text) {
			t.Errorf("%s: %v %+v", c.name, err, d)
		}
		control.Tick(t.Context(), w.plane)
		if lines, _ := w.outbox(); len(lines) != 0 {
			t.Errorf("%s: told again: %q", c.name, lines)
		}
	}
}

// Each day before an end is told once, by whichever control plane: not for days that had passed when the date was
// set, and of those that passed while none ran, one.
func TestDaysBeforeAnEndAreToldOnce(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		sunset    time.Duration
		brownouts []time.Duration // when they begin, an hour each
		moved     time.Duration   // the new sunset, 0 for none
		when      time.Duration   // it is set
		looks     []time.Duration // when a control plane looks
		want      []string        // what is told then
	}{
		"each at its day": {sunset: 100 * day, looks: []time.Duration{9 * day, 11 * day, 12 * day, 71 * day, 94 * day, 99*day + time.Hour},
			want: []string{"", "ends-soon", "", "ends-soon", "ends-soon", "ends-soon"}},
		"a date that is near":                     {sunset: 20 * day, looks: []time.Duration{time.Hour, 12 * day, 14 * day}, want: []string{"", "", "ends-soon"}},
		"a date that is brought near":             {sunset: 400 * day, moved: 106 * day, when: 100 * day, looks: []time.Duration{100*day + time.Hour, 104 * day, 105*day + time.Hour, 105*day + 2*time.Hour}, want: []string{"", "", "ends-soon", ""}},
		"a date that is put off":                  {sunset: 8 * day, moved: 9 * day, when: day, looks: []time.Duration{day + time.Hour, 2*day + time.Hour, 3 * day}, want: []string{"", "ends-soon", ""}},
		"nobody looked for long":                  {sunset: 100 * day, looks: []time.Duration{94 * day, 94*day + time.Hour, 99*day + time.Hour}, want: []string{"ends-soon", "", "ends-soon"}},
		"a brown-out on the same day":             {sunset: 20 * day, brownouts: []time.Duration{14 * day}, looks: []time.Duration{13*day + time.Minute, 14 * day}, want: []string{"ends-soon brownout-ahead", ""}},
		"brown-outs that passed meanwhile":        {sunset: 60 * day, brownouts: []time.Duration{10 * day, 20 * day}, looks: []time.Duration{20*day + time.Minute, 21 * day}, want: []string{"brownout-ahead", ""}},
		"a brown-out that was over, and no other": {sunset: 60 * day, brownouts: []time.Duration{10 * day}, looks: []time.Duration{20 * day, 31 * day}, want: []string{"", "ends-soon"}},
	} {
		w := notifying(t)
		w.apply("dan", wish)
		if err := w.act("cleo", control.Move{Key: wishKey, Action: lifecycle.Approve}, ""); err != nil {
			t.Fatal(err)
		}
		began := w.now.Truncate(time.Second)
		deprecate := control.Move{Key: versionKey, Action: lifecycle.Deprecate, Sunset: began.Add(c.sunset)}
		for _, from := range c.brownouts {
			deprecate.Brownouts = append(deprecate.Brownouts, resource.Window{From: began.Add(from), To: began.Add(from + time.Hour)})
		}
		if err := w.act("ben", deprecate, "nobody needs it"); err != nil {
			t.Fatal(err)
		}
		if c.moved != 0 {
			w.now = began.Add(c.when)
			control.Tick(t.Context(), w.plane)
			deprecate.Sunset = began.Add(c.moved)
			w.apply("ben", strings.Replace(offer[strings.Index(offer, "kind: Version"):strings.Index(offer, "\n---\nkind: Product")], "state: published", "state: deprecated, sunset: "+deprecate.Sunset.Format(time.RFC3339), 1))
		}
		w.outbox()
		for i, at := range c.looks {
			w.now = began.Add(at)
			w.plane = w.another(w.store) // restarted
			control.Tick(t.Context(), w.plane)
			var told []string
			lines, _ := w.outbox()
			for _, line := range lines {
				if event, ok := strings.CutSuffix(strings.TrimPrefix(line, "version."), " > dan@example.org"); ok {
					told = append(told, event)
				}
			}
			if want := strings.Fields(c.want[i]); len(lines) != 5*len(want) || fmt.Sprint(told) != fmt.Sprint(want) {
				t.Errorf("%s: after %s got %q, want %q (each of two consumers and three of the owner)", name, at, lines, want)
			}
		}
	}
}
