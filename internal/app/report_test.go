package app

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

func TestStandingNamesAllRights(t *testing.T) {
	granted := grant.Right{Access: grant.Granted}
	for want, topic := range map[string]grant.Topic{
		"read":                          {Read: granted},
		"read and write":                {Read: granted, Write: granted},
		"write and delete records":      {Write: granted, DeleteRecords: true},
		"read, write and alter configs": {Read: granted, Write: granted, AlterConfigs: true},
	} {
		topic.Phases = []grant.Phase{{State: grant.Open}}
		if got := standingOf(&topic, time.Now()).rights; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestStandingsFollow changes sets at random: what is made of the standings before has to
// be what is made anew, and so have the backing topics.
func TestStandingsFollow(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	opts := publish.Options{Environment: "prod", Generation: 1, Now: time.Now(), Seed: make([]byte, seedBytes)}
	var before *standings
	var follow backings
	reused := 0
	for step := range 60 {
		set := offered(t, 1+random.IntN(6), random.IntN(2) == 0)
		for _, d := range set.Subscriptions {
			if random.IntN(3) == 0 {
				d.Spec.Expires = opts.Now.Add(time.Duration(random.IntN(100)) * time.Hour)
			}
		}
		if random.IntN(4) == 0 {
			set.Versions[0].Spec.Channels["placed"]["prod"] = resource.Backing{Cluster: "main", Topic: "shop.others"}
		}
		opts.Now = opts.Now.Add(time.Duration(random.IntN(30)) * time.Hour)
		r, problems := publish.Compile(set, opts)
		if r == nil {
			t.Fatal(problems)
		}
		got, want := standingsOf(r.Snapshot, opts.Now, before), standingsOf(r.Snapshot, opts.Now, nil)
		if len(got.apps) != len(want.apps) {
			t.Fatalf("step %d: %d applications, want %d", step, len(got.apps), len(want.apps))
		}
		for name, app := range want.apps {
			if is := got.apps[name]; is == nil || is.open != app.open || !maps.Equal(is.topics, app.topics) {
				t.Fatalf("step %d: %s stands as %+v, want %+v", step, name, is, app)
			}
			if before != nil && got.apps[name] == before.apps[name] {
				reused++
			}
		}
		topics, anew := follow.of(r.Snapshot), new(backings).of(r.Snapshot)
		for _, of := range []map[string][]string{topics, anew} {
			for name := range of {
				slices.Sort(of[name])
			}
		}
		if !slices.Equal(topics["main"], anew["main"]) {
			t.Fatalf("step %d: backing topics %v, want %v", step, topics, anew)
		}
		before, opts.Previous, opts.History = got, r.Snapshot, r.History
	}
	if reused == 0 {
		t.Error("nothing was used again: the test compares the same with itself")
	}
}
