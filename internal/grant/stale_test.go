package grant

import (
	"testing"
	"time"
)

// Topics that may be served only so long without word from the control plane fall silent
// then; those that ended stay ended, and everything else stays as it is.
func TestStale(t *testing.T) {
	limited := func(name string, limit time.Duration, state State) *Topic {
		return &Topic{Exposed: name, Backing: "b." + name, ID: TopicID{name[0]}, Read: Right{Access: Granted}, Write: Right{Access: Granted}, MaxStaleness: limit, Phases: []Phase{{State: state}}}
	}
	one := credentialOf("one", func(g *Grant) {
		g.Topics = []*Topic{limited("a", time.Minute, Open), limited("b", time.Hour, BrownOut), limited("c", 0, Open), limited("d", time.Minute, Ended)}
	})
	two := credentialOf("two", nil)
	s, err := New("prod", Number{1, 7}, []*Credential{one, two})
	if err != nil {
		t.Fatal(err)
	}
	decide := func(s *Snapshot, topic string) Verdict {
		return s.Lookup(Scram, "one").Grant.Topic(topic).Decide(Read, now).Verdict
	}
	for _, tc := range []struct {
		age         time.Duration
		withheld    int
		next        time.Duration
		a, b, c, d  Verdict
		itself, two bool
	}{
		{0, 0, time.Minute, Allow, Withhold, Allow, Withhold, true, true}, // b is in its brown-out
		{time.Minute - 1, 0, time.Minute, Allow, Withhold, Allow, Withhold, true, true},
		{time.Minute, 1, time.Hour, Withhold, Withhold, Allow, Withhold, false, true},
		{2 * time.Hour, 2, 0, Withhold, Withhold, Allow, Withhold, false, true},
	} {
		got, withheld, next := s.Stale(tc.age)
		if withheld != tc.withheld || next != tc.next || (got == s) != tc.itself || got.Number() != s.Number() || got.Len() != s.Len() {
			t.Errorf("after %v: %d withheld, next %v, itself %v, want %+v", tc.age, withheld, next, got == s, tc)
		}
		for topic, want := range map[string]Verdict{"a": tc.a, "b": tc.b, "c": tc.c, "d": tc.d} {
			if v := decide(got, topic); v != want {
				t.Errorf("after %v: reading %s gets %v, want %v", tc.age, topic, v, want)
			}
		}
		if v := got.Lookup(Scram, "one").Grant.Topic("b").Decide(Write, now).Verdict; (v == AllowSlowly) != (tc.age < time.Hour) {
			t.Errorf("after %v: writing b gets %v", tc.age, v)
		}
		if (got.Lookup(Scram, "two") == two) != tc.two {
			t.Errorf("after %v: a credential without such topics is another one", tc.age)
		}
	}
	if decide(s, "a") != Allow {
		t.Error("the snapshot itself has changed")
	}
	// A copy forgets no field of a grant.
	if g := one.Grant.stale(0); !sameGrant(g, one.Grant) {
		t.Error("a grant without stale topics is another one")
	}
}
