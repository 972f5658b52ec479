package publish

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/grant"
)

// TestStates is the design's §2.1 for every combination of what decides: the
// state of version, subscription and application, the plan's right and whether
// it admits the method. It starts without a history, as a new gateway does.
func TestStates(t *testing.T) {
	const refused, ended, suspended, brownOut, open = 5, 4, 3, 2, 1
	versions := map[string]struct {
		lifecycle string
		rank      int
	}{
		"draft":            {"{state: draft}", refused},
		"preview":          {"{state: preview}", open},
		"published":        {"{state: published}", open},
		"deprecated":       {"{state: deprecated, sunset: 2026-06-01}", open},
		"brown-out":        {"{state: deprecated, sunset: 2026-06-01, brownouts: [{from: 2026-03-01, to: 2026-03-02}]}", brownOut},
		"sunset, in grace": {"{state: deprecated, sunset: 2026-02-20, grace: 720h}", open},
		"sunset":           {"{state: deprecated, sunset: 2026-02-20}", ended},
		"retired":          {"{state: retired}", ended},
		"blocked":          {"{state: blocked}", ended},
		"retired long ago": {"{state: retired, retiredAt: 2026-01-01}", refused},
	}
	subscriptions := map[string]int{"pending": refused, "rejected": refused, "active": open, "suspended": suspended, "closed": ended, "expired": ended,
		"active, expires: 2026-02-28": ended, "active, expires: 2026-01-01": refused, "active, since: 2026-04-01": refused, "closed, closedAt: 2026-01-01": refused}
	applications := map[string]int{"false": open, "true": suspended}
	want := map[int]string{refused: isRefused, ended: isEnded, suspended: isSuspended, brownOut: isBrownOut, open: isOpen}

	for version, v := range versions {
		for subscription, sRank := range subscriptions {
			for application, aRank := range applications {
				for _, right := range []string{"readwrite", "read", "write"} {
					for _, method := range []string{"plain", "scram"} {
						name := fmt.Sprintf("version %s, subscription %s, application suspended %s, right %s, method %s", version, subscription, application, right, method)
						rank := max(v.rank, sRank, aRank)
						if method == "scram" { // the credential is plain
							rank = refused
						}
						expect := strings.Split(want[rank], " | ")
						if rank != refused && right == "read" {
							expect[3] = "refuse for lack of right"
						}
						if rank != refused && right == "write" {
							expect[2] = "refuse for lack of right"
						}
						w := newWorld(t)
						w.compile(base("{state: published}", v.lifecycle, "state: active", "state: "+subscription, "suspended: false", "suspended: "+application,
							"auth: [plain, scram]", fmt.Sprintf("auth: [%s], rights: {placed: %s}", method, right)))
						if got := w.decide(grant.Plain, "erp-1", "placed"); got != strings.Join(expect, " | ") {
							t.Errorf("%s: got %s, want %s", name, got, strings.Join(expect, " | "))
						}
					}
				}
			}
		}
	}
}

// TestLosing says how long what was there is remembered: a step changes the
// documents, then time passes.
func TestLosing(t *testing.T) {
	subscription := "apiVersion: sluice/v1\nkind: Subscription\nmetadata: {name: erp-orders, environment: prod}\nspec: {application: erp, product: orders, plan: free, state: active}\n---\n"
	other := "---\napiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: second, environment: prod}\nspec: {bootstrap: [\"127.0.0.1:9093\"]}\n"
	type step struct {
		after time.Duration
		set   string
		want  string
	}
	without := base(subscription, "")
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"subscription gone", []step{{0, base(), isOpen}, {day, without, isEnded}, {29 * day, without, isEnded}, {day, without, isRefused}, {day, without, isRefused}}},
		{"subscription gone and back", []step{{0, base(), isOpen}, {day, without, isEnded}, {day, base(), isOpen}, {40 * day, base(), isOpen}, {day, without, isEnded}}},
		{"channel gone", []step{{0, base(), isOpen}, {day, base("placed: {send: true, receive: true}", "other: {address: placed2, send: true}", "placed: {prod", "other: {prod", "shop.orders", "shop.other"), isEnded}}},
		{"plan gives the channel up", []step{{0, base(), isOpen}, {day, base("auth: [plain, scram]", "auth: [plain], rights: {placed: none}"), isEnded}}},
		{"right to write withdrawn", []step{{0, base(), isOpen},
			{day, base("auth: [plain, scram]", "auth: [plain], rights: {placed: read}"), "allow | allow | allow | refuse by policy"},
			{29 * day, base("auth: [plain, scram]", "auth: [plain], rights: {placed: read}"), "allow | allow | allow | refuse by policy"},
			{2 * day, base("auth: [plain, scram]", "auth: [plain], rights: {placed: read}"), "allow | allow | allow | refuse for lack of right"}}},
		{"right to read withdrawn from the contract", []step{{0, base(), isOpen}, {day, base("send: true, ", ""), "allow | allow | withhold | allow"}}},
		{"right withdrawn and back", []step{{0, base(), isOpen}, {day, base("send: true, ", ""), "allow | allow | withhold | allow"}, {day, base(), isOpen}}},
		{"method no longer admitted", []step{{0, base(), isOpen}, {day, base("auth: [plain, scram]", "auth: [scram]"), isEnded}, {31 * day, base("auth: [plain, scram]", "auth: [scram]"), isRefused}}},
		{"method no longer admitted, and back", []step{{0, base(), isOpen}, {day, base("auth: [plain, scram]", "auth: [scram]"), isEnded}, {day, base(), isOpen}}},
		{"version drafted again", []step{{0, base(), isOpen}, {day, base("state: published", "state: draft"), isEnded}}},
		{"subscription pending again", []step{{0, base(), isOpen}, {day, base("state: active", "state: pending"), isEnded}}},
		{"closed without a date", []step{{0, base(), isOpen}, {day, base("state: active", "state: closed"), isEnded}, {29 * day, base("state: active", "state: closed"), isEnded}, {2 * day, base("state: active", "state: closed"), isRefused}, {40 * day, base("state: active", "state: closed"), isRefused}}},
		{"closed, then removed, counts from the closing", []step{{0, base(), isOpen}, {day, base("state: active", "state: closed"), isEnded}, {20 * day, without, isEnded}, {11 * day, without, isRefused}}},
		{"expired while nobody compiled, then removed, counts from the expiry", []step{{0, base("state: active", "state: active, expires: 2026-03-05"), isOpen}, {20 * day, without, isEnded}, {15 * day, without, isRefused}}},
		{"blocked and unblocked", []step{{0, base(), isOpen}, {day, base("state: published", "state: blocked"), isEnded}, {day, base(), isOpen}}},
		{"blocked, unblocked, blocked counts from the second time", []step{{0, base(), isOpen}, {0, base("state: published", "state: blocked"), isEnded}, {20 * day, base(), isOpen}, {0, base("state: published", "state: blocked"), isEnded}, {20 * day, base("state: published", "state: blocked"), isEnded}}},
		{"another subscription takes over", []step{{0, base(), isOpen}, {day, base("state: active}", "state: closed}\n---\n"+strings.Replace(strings.TrimSuffix(subscription, "\n---\n"), "erp-orders", "erp-again", 1)), isOpen}}},
		{"moved to another target cluster with everything", []step{{0, base(), isOpen}, {day, base("cluster: main", "cluster: second") + other, isOpen}}},
		{"narrowed away", []step{{0, base(), isOpen}, {day, base("secret: {env: SECRET}", "secret: {env: SECRET}, subscriptions: [erp-more]") +
			"---\n" + strings.NewReplacer("erp-orders", "erp-more", "product: orders", "product: more").Replace(subscription) +
			"apiVersion: sluice/v1\nkind: Product\nmetadata: {name: more}\nspec: {versions: [more.v1], plans: {free: {auth: [plain]}}}\n---\n" +
			"apiVersion: sluice/v1\nkind: API\nmetadata: {name: more}\n---\n" +
			"apiVersion: sluice/v1\nkind: Version\nmetadata: {name: more.v1}\nspec: {contract: {channels: {more: {send: true}}}, channels: {more: {prod: {cluster: main, topic: shop.more}}}, lifecycle: {state: published}}\n", isEnded}}},
		{"never had", []step{{0, without, isRefused}, {day, without, isRefused}}},
		{"not begun, then begins by itself", []step{{0, base("state: active", "state: active, since: 2026-03-05"), isRefused}, {5 * day, base("state: active", "state: active, since: 2026-03-05"), isOpen}, {day, without, isEnded}}},
		{"begins later than it did", []step{{0, base(), isOpen}, {day, base("state: active", "state: active, since: 2026-03-05"), isEnded}, {5 * day, base("state: active", "state: active, since: 2026-03-05"), isOpen}}},
		{"application suspended and resumed", []step{{0, base(), isOpen}, {day, base("suspended: false", "suspended: true"), isSuspended}, {day, base(), isOpen}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			var id grant.TopicID
			for i, s := range tc.steps {
				w.now = w.now.Add(s.after)
				w.compile(s.set)
				if got := w.decide(grant.Plain, "erp-1", "placed"); got != s.want {
					t.Errorf("step %d: got %s, want %s", i, got, s.want)
				}
				if topic := w.previous.Lookup(grant.Plain, "erp-1").Grant.Topic("placed"); topic != nil {
					if id != (grant.TopicID{}) && topic.ID != id {
						t.Errorf("step %d: the topic id changed", i)
					}
					id = topic.ID
				}
			}
		})
	}
}

// TestTimePasses: phases begin by themselves, and NextChange says when.
func TestTimePasses(t *testing.T) {
	w := newWorld(t)
	w.compile(base("{state: published}", "{state: deprecated, sunset: 2026-04-01, grace: 48h, brownouts: [{from: 2026-03-10, to: 2026-03-11}]}"))
	for _, tc := range []struct {
		day  string
		want string
	}{
		{"2026-03-09", isOpen}, {"2026-03-10", isBrownOut}, {"2026-03-11", isOpen}, {"2026-04-02", isOpen}, {"2026-04-03", isEnded}, {"2026-05-02", isEnded}, {"2026-05-03", isRefused},
	} {
		w.now, _ = time.Parse(time.DateOnly, tc.day)
		if got := w.decide(grant.Plain, "erp-1", "placed"); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.day, got, tc.want)
		}
	}
	if want := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC); !w.next.Equal(want) {
		t.Errorf("got next change %v, want %v", w.next, want)
	}
}

func TestLostHistoryIsRecalledFromTheSnapshot(t *testing.T) {
	w := newWorld(t)
	w.compile(base())
	w.history, w.now = nil, w.now.Add(day)
	w.compile(base("state: active", "state: pending"))
	if got := w.decide(grant.Plain, "erp-1", "placed"); got != isEnded {
		t.Errorf("got %s", got)
	}
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	w.compile(base())
	grantOf := w.previous.Lookup(grant.Plain, "erp-1").Grant
	second := "---\napiVersion: sluice/v1\nkind: Credential\nmetadata: {name: erp-2, environment: prod}\nspec: {application: erp, type: plain, secret: {env: OTHER}"
	s := w.compile(base() + second + ", state: retiring, until: 2026-03-02}\n")
	if s.Len() != 2 || s.Lookup(grant.Plain, "erp-1").Grant != grantOf {
		t.Error("an unchanged credential was replaced")
	}
	c := s.Lookup(grant.Plain, "erp-2")
	if c.Usable(w.now) != "" || c.Usable(w.now.Add(day)) == "" || !w.next.Equal(start.Truncate(24*time.Hour).Add(day)) {
		t.Errorf("retiring: got %+v, next change %v", c, w.next)
	}
	delete(w.secrets, "OTHER")
	s = w.compile(base() + second + ", state: revoked}\n")
	if c := s.Lookup(grant.Plain, "erp-2"); c.Usable(w.now) != "the credential was revoked" || len(c.Verifiers) != 1 {
		t.Errorf("revoked: got %+v", c)
	}
	if s = w.compile(base()); s.Lookup(grant.Plain, "erp-2") != nil {
		t.Error("a removed credential stays")
	}
	app := "apiVersion: sluice/v1\nkind: Application\nmetadata: {name: erp}\nspec: {suspended: false}\n---\n"
	gone, problems := Compile(w.read(base(app, "")), w.options())
	if gone != nil || len(problems) != 2 {
		t.Errorf("an application cannot go before its subscriptions: %v", problems)
	}
	cut := strings.Index(base(), "apiVersion: sluice/v1\nkind: Application")
	if s = w.compile(base()[:cut]); s.Len() != 0 || w.history.Len() != 0 {
		t.Errorf("a deleted application leaves %d credentials and %d memories", s.Len(), w.history.Len())
	}
}

func TestGenerationRises(t *testing.T) {
	w := newWorld(t)
	w.compile(base())
	opts := w.options()
	opts.Generation = 7
	r, problems := Compile(w.read(base()), opts)
	if r == nil || r.Snapshot.Number() != (grant.Number{Generation: 7, N: 1}) {
		t.Errorf("got %v, %v", r, problems)
	}
}

func TestDerivedNames(t *testing.T) {
	w := newWorld(t)
	a := w.compile(base()).Lookup(grant.Plain, "erp-1").Grant
	again := newWorld(t).compile(base()).Lookup(grant.Plain, "erp-1").Grant
	if a.Prefix != again.Prefix || a.Topics[0].ID != again.Topics[0].ID || a.VirtualClusterID != again.VirtualClusterID || len(a.VirtualClusterID) != 22 || a.IDKey != again.IDKey {
		t.Error("names differ from run to run")
	}
	opts := newWorld(t).options()
	opts.Seed = []byte("another seed that is thirty-two!")
	r, _ := Compile(w.read(base()), opts)
	b := r.Snapshot.Lookup(grant.Plain, "erp-1").Grant
	if a.Prefix == b.Prefix || a.Topics[0].ID == b.Topics[0].ID || a.IDKey == b.IDKey || a.VirtualClusterID == b.VirtualClusterID {
		t.Error("names do not depend on the seed")
	}
	if id := a.Topics[0].ID; id[6]>>4 != 8 || id[8]>>6 != 2 {
		t.Errorf("got id %v, not a UUID of version 8", id)
	}
}

func TestVerifiersMadeInThisProcess(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	set := w.read(base())
	first, _ := Compile(set, opts)
	opts.History, opts.Previous = first.History, first.Snapshot // not through JSON
	if again, _ := Compile(set, opts); again.Snapshot != first.Snapshot {
		t.Error("an unchanged secret gets another verifier")
	}
	w.secrets["SECRET"] = "quite another secret"
	changed, _ := Compile(set, opts)
	if string(changed.Snapshot.Lookup(grant.Plain, "erp-1").Verifiers[0].StoredKey) == string(first.Snapshot.Lookup(grant.Plain, "erp-1").Verifiers[0].StoredKey) {
		t.Error("a changed secret keeps its verifier")
	}
	opts.History = changed.History // and the snapshot was not taken over
	w.secrets["SECRET"] = "0123456789abcdef"
	if back, _ := Compile(set, opts); back.Snapshot != first.Snapshot {
		t.Error("the first secret again is not the first verifier again")
	}
}

func TestVerifiersDerivedTogether(t *testing.T) {
	w := newWorld(t)
	var text strings.Builder
	text.WriteString(base())
	for i := range 8 {
		fmt.Fprintf(&text, "---\napiVersion: sluice/v1\nkind: Credential\nmetadata: {name: more%d, environment: prod}\nspec: {application: erp, type: scram, secret: {env: S%d}}\n", i, i)
		w.secrets[fmt.Sprint("S", i)] = fmt.Sprintf("secret number %04d", i)
	}
	set := w.read(text.String())
	compile := func(workers int) *Result {
		opts := w.options()
		opts.Workers = workers
		r, problems := Compile(set, opts)
		if r == nil {
			t.Fatal(problems)
		}
		w.previous = r.Snapshot // and no history: nothing is known to be proved
		return r
	}
	first := compile(8)
	if first.Derived < 8 {
		t.Errorf("derived for %d credentials", first.Derived)
	}
	for _, workers := range []int{1, 3, 100} {
		if compile(workers).Snapshot != first.Snapshot {
			t.Errorf("%d workers: another snapshot of the same set", workers)
		}
	}
	w.secrets["S7"] = "another secret, and longer"
	next := compile(8).Snapshot
	for c := range next.All() {
		if changed := c != first.Snapshot.Lookup(c.Method, c.Identity); changed != (c.Name == "more7") {
			t.Errorf("%s: changed %v", c.Name, changed)
		}
	}
	w.secrets["S7"] = "not UTF-8 in the end: \xff"
	opts := w.options()
	opts.Workers = 8
	if r, problems := Compile(set, opts); r != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "not UTF-8") {
		t.Errorf("a secret that cannot be used: %v", problems)
	}
}

// Proved spares deriving the verifiers of the very secret that it names, and of no
// other.
func TestVerifiersProvedBefore(t *testing.T) {
	w := newWorld(t)
	set := w.read(base("type: plain", "type: scram"))
	compile := func(proved string) *Result {
		t.Helper()
		opts := w.options()
		opts.Proved = map[grant.Key]string{{Method: grant.Scram, Identity: "erp-1"}: proved}
		r, problems := Compile(set, opts)
		if r == nil {
			t.Fatal(problems)
		}
		return r
	}
	first := compile(w.secrets["SECRET"])
	if first.Derived == 0 || len(first.Snapshot.Lookup(grant.Scram, "erp-1").Verifiers) != 2 {
		t.Errorf("without a previous snapshot there is nothing that could be proved: %d derived", first.Derived)
	}
	w.previous = first.Snapshot
	if r := compile(w.secrets["SECRET"]); r.Snapshot != first.Snapshot || r.Derived != first.Derived-1 {
		t.Errorf("the same secret: %d derived, first %d", r.Derived, first.Derived)
	}
	if r := compile("another secret, and longer"); r.Snapshot != first.Snapshot || r.Derived != first.Derived {
		t.Errorf("proved for another secret: %d derived, first %d", r.Derived, first.Derived)
	}
	before := w.secrets["SECRET"]
	w.secrets["SECRET"] = "another secret, and longer"
	if r := compile(before); r.Snapshot.Number() == first.Snapshot.Number() || r.Derived != first.Derived {
		t.Errorf("a changed secret: number %v, %d derived", r.Snapshot.Number(), r.Derived)
	}
}

// TestManage: what a plan lets its subscribers manage follows the topic's state,
// and is gone as soon as the plan no longer says so.
func TestManage(t *testing.T) {
	const no = "refuse for lack of right"
	manage := func(words string) []string {
		return []string{"auth: [plain, scram]", "auth: [plain, scram], manage: {placed: [" + words + "]}"}
	}
	for _, tc := range []struct{ name, set, deletes, alters string }{
		{"not said", base(), no, no},
		{"delete records", base(manage("deleteRecords")...), "allow", no},
		{"alter configs", base(manage("alterConfigs")...), no, "allow"},
		{"both, for those who only read", base(append(manage("deleteRecords, alterConfigs"), "send: true, receive: true", "send: true")...), "allow", "allow"},
		{"suspended", base(append(manage("deleteRecords"), "state: active", "state: suspended")...), "refuse by policy", no},
		{"closed", base(append(manage("deleteRecords"), "state: active", "state: closed")...), "refuse by policy", no},
		{"pending", base(append(manage("deleteRecords"), "state: active", "state: pending")...), "unknown", "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			check := func(deletes, alters string) {
				t.Helper()
				topic := w.previous.Lookup(grant.Plain, "erp-1").Grant.Topic("placed")
				if topic == nil {
					topic = &grant.Topic{}
				}
				for op, want := range map[grant.Operation]string{grant.DeleteRecords: deletes, grant.AlterConfigs: alters} {
					if got := topic.Decide(op, w.now).Verdict.String(); got != want {
						t.Errorf("%v: got %s, want %s", op, got, want)
					}
				}
			}
			w.compile(tc.set)
			check(tc.deletes, tc.alters)
			w.compile(base())
			check(no, no)
		})
	}
}
