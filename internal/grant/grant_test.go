package grant

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const prefix = "tabcdefghijkl."

func id(n byte) TopicID { return TopicID{15: n} }

func topicOf(n byte, exposed, backing string) *Topic {
	return &Topic{Exposed: exposed, Backing: backing, ID: id(n), Read: Right{Access: Granted}, Phases: []Phase{{State: Open}}}
}

func grantOf(t *testing.T, edit func(*Grant)) *Grant {
	t.Helper()
	g := &Grant{Application: "erp", Environment: "prod", Cluster: "main", Prefix: prefix, IDKey: TopicID{1, 2, 3}}
	if edit != nil {
		edit(g)
	}
	if err := g.build(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestDecide is the design's §2.1, cell by cell.
func TestDecide(t *testing.T) {
	granted, never := Right{Access: Granted}, Right{}
	withdrawn := Right{Access: Withdrawn, Until: now.Add(time.Hour), Rule: "plan"}
	forgotten := Right{Access: Withdrawn, Until: now, Rule: "plan"}
	endless := Right{Access: Withdrawn, Rule: "plan"}
	for _, tc := range []struct {
		name                        string
		state                       State
		read, write                 Right
		list, describe, reads, puts Verdict
	}{
		{"open", Open, granted, granted, Allow, Allow, Allow, Allow},
		{"open, write never granted", Open, granted, never, Allow, Allow, Allow, RefuseRight},
		{"open, read never granted", Open, never, granted, Allow, Allow, RefuseRight, Allow},
		{"open, no right at all", Open, never, never, Allow, Allow, RefuseRight, RefuseRight},
		{"open, read withdrawn", Open, withdrawn, granted, Allow, Allow, Withhold, Allow},
		{"open, write withdrawn", Open, granted, withdrawn, Allow, Allow, Allow, RefusePolicy},
		{"open, withdrawn without an end", Open, endless, endless, Allow, Allow, Withhold, RefusePolicy},
		{"open, withdrawal forgotten", Open, forgotten, forgotten, Allow, Allow, RefuseRight, RefuseRight},
		{"brown-out", BrownOut, granted, granted, Allow, Allow, Withhold, AllowSlowly},
		{"brown-out, write never granted", BrownOut, granted, never, Allow, Allow, Withhold, RefuseRight},
		{"brown-out, both withdrawn", BrownOut, withdrawn, withdrawn, Allow, Allow, Withhold, RefusePolicy},
		{"suspended", Suspended, granted, granted, Allow, Allow, Withhold, RefusePolicy},
		{"suspended, read never granted", Suspended, never, granted, Allow, Allow, RefuseRight, RefusePolicy},
		{"suspended, both withdrawn", Suspended, withdrawn, withdrawn, Allow, Allow, Withhold, RefusePolicy},
		{"ended", Ended, granted, granted, Absent, Allow, Withhold, RefusePolicy},
		{"ended, write never granted", Ended, granted, never, Absent, Allow, Withhold, RefuseRight},
		{"ended, both withdrawn", Ended, withdrawn, withdrawn, Absent, Allow, Withhold, RefusePolicy},
		{"refused", Refused, granted, granted, Unknown, Unknown, Unknown, Unknown},
		{"refused, rights withdrawn", Refused, withdrawn, withdrawn, Unknown, Unknown, Unknown, Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic := &Topic{Read: tc.read, Write: tc.write, Phases: []Phase{{State: tc.state, Rule: "phase"}}}
			for op, want := range map[Operation]Verdict{List: tc.list, Describe: tc.describe, Read: tc.reads, Write: tc.puts} {
				if got := topic.Decide(op, now); got.Verdict != want || got.Rule == "" {
					t.Errorf("%v: got %+v, want %v", op, got, want)
				}
			}
		})
	}
}

// Rights to administer are there or not, and follow the topic's state.
func TestDecideAdministration(t *testing.T) {
	for _, tc := range []struct {
		state     State
		has, lack Verdict
	}{
		{Open, Allow, RefuseRight},
		{BrownOut, Allow, RefuseRight},
		{Suspended, RefusePolicy, RefuseRight},
		{Ended, RefusePolicy, RefuseRight},
		{Refused, Unknown, Unknown},
	} {
		t.Run(tc.state.String(), func(t *testing.T) {
			phases := []Phase{{State: tc.state, Rule: "phase"}}
			granted := Right{Access: Granted}
			deletes := &Topic{Read: granted, Write: granted, DeleteRecords: true, Phases: phases}
			alters := &Topic{Read: granted, Write: granted, AlterConfigs: true, Phases: phases}
			for topic, want := range map[*Topic]map[Operation]Verdict{
				deletes: {DeleteRecords: tc.has, AlterConfigs: tc.lack},
				alters:  {DeleteRecords: tc.lack, AlterConfigs: tc.has},
			} {
				for op, want := range want {
					if got := topic.Decide(op, now); got.Verdict != want || got.Rule == "" {
						t.Errorf("%v: got %+v, want %v", op, got, want)
					}
				}
			}
		})
	}
	g := grantOf(t, func(g *Grant) { g.Namespace = Namespace{Topics: 1, Partitions: 1} })
	suspended := grantOf(t, func(g *Grant) { g.Namespace = Namespace{Topics: 1, Partitions: 1, Suspended: "rule"} })
	for _, op := range []Operation{DeleteRecords, AlterConfigs} {
		if got := g.DecideOwn(op); got.Verdict != Allow {
			t.Errorf("%v, own topic: %+v", op, got)
		}
		if got := suspended.DecideOwn(op); got.Verdict != RefusePolicy || got.Rule != "rule" {
			t.Errorf("%v, own topic of a suspended application: %+v", op, got)
		}
	}
}

func TestDecideNamesTheRule(t *testing.T) {
	topic := &Topic{Read: Right{Access: Granted}, Write: Right{Access: Withdrawn, Rule: "plan changed"}, Phases: []Phase{{State: Open, Rule: "active", Message: "m"}}}
	for op, want := range map[Operation]string{Read: "active", Write: "plan changed", Describe: "active"} {
		if got := topic.Decide(op, now).Rule; got != want {
			t.Errorf("%v: got %q, want %q", op, got, want)
		}
	}
}

func TestPhasesAndNextChange(t *testing.T) {
	at := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
	topic := &Topic{Exposed: "a", Backing: "b", ID: id(1), Read: Right{Access: Withdrawn, Until: at(5)}, Write: Right{Until: at(1)},
		Phases: []Phase{{From: at(0), State: Open}, {From: at(2), State: BrownOut}, {From: at(4), State: Ended}, {From: at(8), State: Refused}}}
	g := grantOf(t, func(g *Grant) { g.Topics = []*Topic{topic} })
	for _, tc := range []struct {
		at    int
		state State
		next  int // 0 means none
	}{
		{-1, Refused, 0}, {0, Open, 2}, {1, Open, 2}, {2, BrownOut, 4}, {4, Ended, 5}, {5, Ended, 8}, {8, Refused, 0}, {99, Refused, 0},
	} {
		if got := topic.At(at(tc.at)).State; got != tc.state {
			t.Errorf("hour %d: got %v, want %v", tc.at, got, tc.state)
		}
		want := at(tc.next)
		if tc.next == 0 && tc.at != -1 {
			want = time.Time{}
		}
		if got := g.NextChange(at(tc.at)); !got.Equal(want) {
			t.Errorf("hour %d: got next change %v, want %v", tc.at, got, want)
		}
	}
	if got := (&Topic{}).At(now).State; got != Refused {
		t.Errorf("a topic without phases is %v", got)
	}
}

// TestNamesAreABijection: what a client names and what the target cluster names
// lead to each other and nowhere else, whatever the names are.
func TestNamesAreABijection(t *testing.T) {
	g := grantOf(t, func(g *Grant) {
		g.Groups, g.TransactionalIDs = []string{"legacy", "odd.legacy", ""}, []string{"tx"}
		g.Topics = []*Topic{topicOf(1, "orders", "shop.orders"), topicOf(2, "shop.orders", "other"), topicOf(3, "x", "orders")}
		g.Namespace = Namespace{Topics: 3, Partitions: 9}
	})
	parts := []string{"", "a", "legacy", "odd", "orders", "shop.orders", "other", "x", "tx", ".", "..", "__a", prefix, "tabcdefghijkm.", "t", "\x00", "ü", "-", strings.Repeat("y", 240)}
	random := rand.New(rand.NewPCG(1, 2))
	maps := map[string]struct {
		to   func(string) (string, bool)
		back func(string) (string, bool)
	}{
		"group":            {func(s string) (string, bool) { return g.Group(s), true }, g.GroupExposed},
		"transactional id": {func(s string) (string, bool) { return g.TransactionalID(s), true }, g.TransactionalIDExposed},
		"embedded topic":   {func(s string) (string, bool) { return g.EmbeddedTopic(s), true }, g.EmbeddedTopicExposed},
		"own topic":        {g.OwnTopic, g.OwnTopicExposed},
	}
	for name, m := range maps {
		seen := map[string]string{}
		for range 5000 {
			var s string
			for range random.IntN(3) + 1 {
				s += parts[random.IntN(len(parts))]
			}
			if physical, ok := m.to(s); ok {
				if again, ok := m.back(physical); !ok || again != s {
					t.Fatalf("%s %q is %q, which is %q, %t", name, s, physical, again, ok)
				}
				if other, taken := seen[physical]; taken && other != s {
					t.Fatalf("%s %q and %q are both %q", name, s, other, physical)
				}
				seen[physical] = s
			}
			// And from the other side: what is shown of a physical name leads back to it.
			if exposed, ok := m.back(s); ok {
				if again, ok := m.to(exposed); !ok || again != s {
					t.Fatalf("physical %s %q shows as %q, which is %q", name, s, exposed, again)
				}
			}
		}
	}
	for range 1000 {
		var physical TopicID
		for i := range physical {
			physical[i] = byte(random.Uint32())
		}
		if virtual := g.VirtualID(physical); g.PhysicalID(virtual) != physical || virtual == physical {
			t.Fatalf("id %v is %v", physical, virtual)
		}
	}
}

func TestTopicsFrom(t *testing.T) {
	for _, order := range [][]string{{"a", "b.c", "d"}, {"d", "a", "b.c"}} {
		g := grantOf(t, func(g *Grant) {
			for i, name := range order {
				g.Topics = append(g.Topics, topicOf(byte(i+1), name, "phys."+name))
			}
		})
		for from, want := range map[string]string{"": "a b.c d", "a": "a b.c d", "b": "b.c d", "b.c": "b.c d", "d": "d", "e": ""} {
			var got []string
			for topic := range g.TopicsFrom(from) {
				got = append(got, topic.Exposed)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("of %v from %q: got %v, want %s", order, from, got, want)
			}
		}
		if g.Topics[0].Exposed != order[0] {
			t.Errorf("the grant's own order has changed: %s is the first", g.Topics[0].Exposed)
		}
	}
}

func TestForeignNamesStayForeign(t *testing.T) {
	g := grantOf(t, func(g *Grant) {
		g.Topics = []*Topic{topicOf(1, "orders", "shop.orders")}
		g.Groups = []string{"legacy"}
	})
	for _, physical := range []string{"shop.secret", "orders", "tzzzzzzzzzzzz.orders", prefix + "orders", "t", ""} {
		if exposed, ok := g.EmbeddedTopicExposed(physical); ok {
			t.Errorf("topic %q shows as %q", physical, exposed)
		}
	}
	if got := g.EmbeddedTopic("shop.orders"); got != prefix+"shop.orders" {
		t.Errorf("a backing name that a client writes leads to %q", got)
	}
	for _, physical := range []string{"their-group", "tzzzzzzzzzzzz.g", prefix + "legacy"} {
		if exposed, ok := g.GroupExposed(physical); ok {
			t.Errorf("group %q shows as %q", physical, exposed)
		}
	}
	if _, ok := g.OwnTopic("mine"); ok {
		t.Error("a topic of its own without a namespace")
	}
}

func TestOwnTopic(t *testing.T) {
	g := grantOf(t, func(g *Grant) {
		g.Namespace = Namespace{Topics: 1, Partitions: 1}
		g.Topics = []*Topic{topicOf(1, "orders", "shop.orders")}
	})
	for name, want := range map[string]bool{"mine": true, "orders": false, "__mine": false, "": false, "..": false, "a b": false,
		strings.Repeat("x", MaxTopicName-PrefixLength): true, strings.Repeat("x", MaxTopicName-PrefixLength+1): false} {
		if _, ok := g.OwnTopic(name); ok != want {
			t.Errorf("%q: got %t", name, ok)
		}
	}
}

func TestLegalTopicName(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "A-b_c.9": true, "...": true, "__x": true, strings.Repeat("a", 249): true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "ä": false, "a\x00": false, strings.Repeat("a", 250): false, "a:b": false, "a,b": false} {
		if got := LegalTopicName(name); got != want {
			t.Errorf("%q: got %t", name, got)
		}
	}
}

func TestAmbiguousGrantsAreRefused(t *testing.T) {
	for name, edit := range map[string]func(*Grant){
		"one exposed name twice":     func(g *Grant) { g.Topics = []*Topic{topicOf(1, "a", "x"), topicOf(2, "a", "y")} },
		"one backing topic twice":    func(g *Grant) { g.Topics = []*Topic{topicOf(1, "a", "x"), topicOf(2, "b", "x")} },
		"one id twice":               func(g *Grant) { g.Topics = []*Topic{topicOf(1, "a", "x"), topicOf(1, "b", "y")} },
		"no id":                      func(g *Grant) { g.Topics = []*Topic{topicOf(0, "a", "x")} },
		"backing topic of its own":   func(g *Grant) { g.Topics = []*Topic{topicOf(1, "a", prefix+"x")} },
		"adopted group of its own":   func(g *Grant) { g.Groups = []string{prefix + "x"} },
		"adopted id of its own":      func(g *Grant) { g.TransactionalIDs = []string{prefix} },
		"adopted group of another":   func(g *Grant) { g.Groups = []string{"legacy", "tzzzzzz234567.g"} },
		"adopted id of another":      func(g *Grant) { g.TransactionalIDs = []string{"tzzzzzz234567."} },
		"prefix not of base32":       func(g *Grant) { g.Prefix = "tabcdefghijk1." },
		"prefix in capitals":         func(g *Grant) { g.Prefix = "tABCDEFGHIJKL." },
		"no prefix":                  func(g *Grant) { g.Prefix = "" },
		"prefix of another length":   func(g *Grant) { g.Prefix = "tabc." },
		"prefix without its dot":     func(g *Grant) { g.Prefix = "tabcdefghijklm" },
		"prefix with another letter": func(g *Grant) { g.Prefix = "xabcdefghijkl." },
	} {
		g := &Grant{Prefix: prefix}
		edit(g)
		if _, err := New("prod", Number{1, 1}, []*Credential{{Name: "c", Method: Plain, Identity: "c", Grant: g}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAdoptedNamesThatOnlyLookAlike(t *testing.T) {
	names := []string{"t", "tabcdefghijkl", "tabcdefghijk.l", "t-bcdefghijkl.g", "tabcdefghij01.g", "Tabcdefghijkl.g", "xtabcdefghijkl.g"}
	g := grantOf(t, func(g *Grant) { g.Groups, g.TransactionalIDs = names, names })
	for _, n := range names {
		if g.Group(n) != n || g.TransactionalID(n) != n {
			t.Errorf("%q is not adopted", n)
		}
	}
}

func credentialOf(name string, edit func(*Grant)) *Credential {
	g := &Grant{Application: "erp", Environment: "prod", Cluster: "main", VirtualClusterID: "v", Prefix: prefix, IDKey: TopicID{9}, Groups: []string{"legacy"}, Namespace: Namespace{Topics: 2, Partitions: 4, Suspended: "r"},
		Topics: []*Topic{{Exposed: "a", Backing: "x", ID: id(1), Subscription: "s", Read: Right{Access: Granted}, Write: Right{Access: Withdrawn, Until: now, Rule: "r"},
			Phases: []Phase{{State: Open, Rule: "active"}, {From: now, State: Ended, Rule: "over", Message: "m"}}}}}
	if edit != nil {
		edit(g)
	}
	return &Credential{Name: name, Method: Scram, Identity: name, Verifiers: []Verifier{{Mechanism: "SCRAM-SHA-256", Salt: []byte{1}, Iterations: 4096, StoredKey: []byte{2}, ServerKey: []byte{3}}}, NotAfter: now, Grant: g}
}

func names(s *Snapshot) string {
	var out []string
	for c := range s.All() {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// However many credentials share a grant, it comes once, and no more come after
// one that was enough.
func TestGrantsComeOnce(t *testing.T) {
	a, b, c := credentialOf("a", nil), credentialOf("b", nil), credentialOf("c", nil)
	b.Grant = a.Grant
	s, err := New("prod", Number{1, 1}, []*Credential{a, b, c})
	if err != nil {
		t.Fatal(err)
	}
	times := map[*Grant]int{}
	for g := range s.Grants() {
		times[g]++
	}
	if len(times) != 2 || times[a.Grant] != 1 || times[c.Grant] != 1 {
		t.Errorf("two grants, three credentials: %v", times)
	}
	for range s.Grants() {
		break // yielding once more would panic
	}
}

func TestSnapshotAsJSON(t *testing.T) {
	s, err := New("prod", Number{3, 14}, []*Credential{credentialOf("b", nil), credentialOf("a", nil)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Snapshot
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if d := s.Diff(&again); len(d.Put)+len(d.Remove) > 0 || again.Number() != s.Number() || again.Environment() != "prod" || again.Len() != 2 {
		t.Errorf("got %v %s, differing in %+v", again.Number(), again.Environment(), d)
	}
	c := again.Lookup(Scram, "a")
	if c.Grant.Topic("a") == nil || c.Grant.TopicByID(id(1)) == nil || c.Grant.TopicByBacking("x") == nil || c.Grant.Group("legacy") != "legacy" {
		t.Error("lookups are not built")
	}
	if second, err := json.Marshal(&again); err != nil || string(second) != string(data) {
		t.Errorf("the second text differs, %v:\n%s\n%s", err, data, second)
	}
	if err := json.Unmarshal([]byte(strings.Replace(string(data), `"format":1`, `"format":2`, 1)), &Snapshot{}); err == nil {
		t.Error("another format is accepted")
	}
	for _, bad := range []string{`{"format":1,"credentials":[{"name":"a"}]}`, `{"format":1,"credentials":[null]}`, `{"format":1,"credentials":[{"grant":{"topics":[null]}}]}`} {
		if err := json.Unmarshal([]byte(bad), &Snapshot{}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestDeltas(t *testing.T) {
	a, b, c := credentialOf("a", nil), credentialOf("b", nil), credentialOf("c", nil)
	first, err := New("prod", Number{1, 1}, []*Credential{a, b})
	if err != nil {
		t.Fatal(err)
	}
	changed := credentialOf("b", func(g *Grant) { g.Topics[0].Phases = nil })
	second, err := New("prod", Number{1, 2}, []*Credential{credentialOf("a", nil), changed, c})
	if err != nil {
		t.Fatal(err)
	}
	d := first.Diff(second)
	if len(d.Put) != 2 || len(d.Remove) != 0 || d.From != first.Number() || d.To != second.Number() {
		t.Fatalf("got delta %+v", d)
	}
	unbuilt, err := first.DeltaTo(second.Number(), []*Credential{credentialOf("a", nil), changed, c})
	if err != nil || unbuilt.From != d.From || unbuilt.To != d.To || len(unbuilt.Put) != 2 || unbuilt.Put[0] != changed || unbuilt.Put[1] != c || len(unbuilt.Remove) > 0 {
		t.Errorf("without making the second snapshot: %+v, %v", unbuilt, err)
	}
	if gone, err := first.DeltaTo(second.Number(), []*Credential{credentialOf("b", nil)}); err != nil || len(gone.Put) > 0 || len(gone.Remove) != 1 || gone.Remove[0] != a.Key() {
		t.Errorf("what is left out: %+v, %v", gone, err)
	}
	if _, err := first.DeltaTo(second.Number(), []*Credential{credentialOf("x", nil), credentialOf("x", nil)}); err == nil {
		t.Error("two credentials of one identity are accepted")
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var travelled Delta
	if err := json.Unmarshal(data, &travelled); err != nil {
		t.Fatal(err)
	}
	next, err := first.Apply(travelled)
	if err != nil {
		t.Fatal(err)
	}
	if names(next) != "a b c" || next.Len() != 3 || next.Lookup(Scram, "a") != a || next.Lookup(Scram, "b") == b || next.Number() != (Number{1, 2}) {
		t.Errorf("got %s", names(next))
	}
	if names(first) != "a b" || first.Lookup(Scram, "b") != b {
		t.Error("the old snapshot changed")
	}
	back, err := next.Apply(Delta{From: next.Number(), To: Number{2, 1}, Remove: []Key{c.Key()}})
	if err != nil || names(back) != "a b" || back.Len() != 2 {
		t.Errorf("got %v, %v", back, err)
	}
	for name, d := range map[string]Delta{
		"from another number":        {From: Number{1, 7}, To: Number{1, 8}},
		"standing still":             {From: Number{1, 1}, To: Number{1, 1}},
		"backwards":                  {From: Number{1, 1}, To: Number{0, 9}},
		"removing what is not there": {From: Number{1, 1}, To: Number{1, 2}, Remove: []Key{{Plain, "a"}}},
		"putting one twice":          {From: Number{1, 1}, To: Number{1, 2}, Put: []*Credential{credentialOf("x", nil), credentialOf("x", nil)}},
		"putting nothing":            {From: Number{1, 1}, To: Number{1, 2}, Put: []*Credential{{Name: "x"}}},
	} {
		if _, err := first.Apply(d); err == nil {
			t.Errorf("a delta %s is accepted", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	ordered := []Number{{0, 0}, {0, 1}, {1, 0}, {1, 5}, {2, 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); got != cmpInt(i, j) {
				t.Errorf("%v to %v: got %d", a, b, got)
			}
		}
	}
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestUsable(t *testing.T) {
	for _, tc := range []struct {
		name       string
		credential Credential
		want       bool
	}{
		{"without an end", Credential{}, true},
		{"before its end", Credential{NotAfter: now.Add(1)}, true},
		{"at its end", Credential{NotAfter: now}, false},
		{"revoked", Credential{Revoked: "why"}, false},
	} {
		if got := tc.credential.Usable(now); (got == "") != tc.want {
			t.Errorf("%s: got %q", tc.name, got)
		}
	}
}

func BenchmarkApplyOneOfMany(b *testing.B) {
	var all []*Credential
	for i := range 20_000 {
		all = append(all, credentialOf(fmt.Sprint("c", i), nil))
	}
	s, err := New("prod", Number{1, 1}, all)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Apply(Delta{From: Number{1, 1}, To: Number{1, 2}, Put: []*Credential{credentialOf("c7", nil)}}); err != nil {
			b.Fatal(err)
		}
	}
}
