package publish

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// TestChangesCompileAsTheWhole changes an installation at random, and compiles it once
// from what is known of it, and once as if nothing was: snapshots, histories, moments and
// problems have to be the same after each change.
func TestChangesCompileAsTheWhole(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			testChanges(t, seed)
		})
	}
}

func testChanges(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	set := readSet(t)
	proofs := map[string][]grant.Verifier{}
	prove := func(credential string) {
		proofs[credential] = []grant.Verifier{{Mechanism: "PLAIN", Iterations: random.IntN(3)}}
	}
	for _, d := range set.Credentials {
		prove(d.Name())
	}
	opts := (&world{now: start, secrets: map[string]string{}}).options()
	opts.Bare, opts.Verifiers = true, func(name string) []grant.Verifier { return proofs[name] }
	opts.Inside = seed%2 == 0
	known, anew := opts, opts
	var sound *resource.Set
	few := 0
	for step := range 120 {
		before := set
		changed := map[resource.Key]resource.Any{}
		for range 1 + random.IntN(3) {
			change(random, pick, set, changed)
		}
		if random.IntN(4) == 0 {
			changed = nil
			prove(pick("app-0-1", "app-1-1", "app-2-2"))
		}
		set = set.With(changed)
		if random.IntN(3) == 0 {
			opts.Now = opts.Now.Add(time.Duration(random.IntN(40*24)) * time.Hour)
			known.Now, anew.Now = opts.Now, opts.Now
		}
		all := Check(set, opts.Seed, nil)
		if resource.Bad(all) {
			if some := Check(set, opts.Seed, sound); !slices.Equal(texts(resource.Errors(some)), texts(resource.Errors(all))) {
				t.Fatalf("step %d: the change has problems\n%s\nthe whole\n%s", step, strings.Join(texts(some), "\n"), strings.Join(texts(all), "\n"))
			}
			set = before
			continue
		}
		if some := Check(set, opts.Seed, sound); resource.Bad(some) {
			t.Fatalf("step %d: the whole is sound, the change is not: %v", step, some)
		}
		sound = set
		r, problems := Compile(set, known)
		whole, wanted := Compile(set, anew)
		if r == nil || whole == nil {
			t.Fatalf("step %d: %v, %v", step, problems, wanted)
		}
		if r.Compiled < whole.Compiled {
			few++
		}
		if got, want := texts(problems), texts(wanted); !slices.Equal(got, want) {
			t.Fatalf("step %d: problems\n%s\nwant\n%s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if !r.NextChange.Equal(whole.NextChange) {
			t.Fatalf("step %d: next change at %v, want %v", step, r.NextChange, whole.NextChange)
		}
		if got, want := written(t, r.Snapshot), written(t, whole.Snapshot); got != want {
			t.Fatalf("step %d: snapshot\n%s\nwant\n%s", step, got, want)
		}
		if known.History != nil {
			if got, want := written(t, known.History.With(r.History.Since(known.History))), written(t, r.History); got != want {
				t.Fatalf("step %d: the history with what is new of it is\n%s\nwant\n%s", step, got, want)
			}
		}
		known.Previous, known.History = r.Snapshot, r.History
		anew.Previous, anew.History = whole.Snapshot, &History{}
		if err := json.Unmarshal([]byte(written(t, whole.History)), anew.History); err != nil {
			t.Fatal(err)
		}
	}
	if few < 20 {
		t.Errorf("%d compiles of 120 left something out: the test compares the same with itself", few)
	}
}

func texts(problems []resource.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func written(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readSet is an installation of three applications with three products.
func readSet(t *testing.T) *resource.Set {
	t.Helper()
	changed := map[resource.Key]resource.Any{}
	add := func(text string) {
		set, problems := resource.ReadBytes("", []byte(text))
		if resource.Bad(problems) {
			t.Fatal(problems)
		}
		for d := range set.All() {
			if credential, ok := d.(*resource.Credential); ok {
				credential.Spec.Secret = resource.SecretRef{} // its verifiers are given
			}
			changed[d.Key()] = d
		}
	}
	parts := strings.Split(base("placed: {send", "placed: {address: placed.orders, send"), "---\n")
	add(parts[0])
	add("apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: qa, environment: qa}\nspec: {bootstrap: [\"127.0.0.1:9092\"]}\n")
	for i := range 3 {
		add(strings.NewReplacer("orders", fmt.Sprint("orders", i)).Replace(strings.Join(parts[1:4], "---\n")))
	}
	for i := range 3 {
		for j := range 2 {
			add(strings.NewReplacer("erp-orders", fmt.Sprintf("app-%d-orders%d", i, j), "erp-1", fmt.Sprintf("app-%d-%d", i, j+1), "erp", fmt.Sprint("app-", i), "orders, plan", fmt.Sprintf("orders%d, plan", (i+j)%3)).
				Replace(strings.Join(parts[4:], "---\n")))
		}
	}
	return new(resource.Set).With(changed)
}

// change changes one document at random, or removes or adds one.
func change(random *rand.Rand, pick func(...string) string, set *resource.Set, changed map[resource.Key]resource.Any) {
	at := func() time.Time { return start.Add(time.Duration(random.IntN(300*24)) * time.Hour) }
	switch random.IntN(7) {
	case 0:
		d := *set.Applications[random.IntN(len(set.Applications))]
		d.Spec.Suspended, d.Spec.Adopt.Groups = random.IntN(3) == 0, []string{pick("a", "b", "c")}
		changed[d.Key()] = &d
	case 1, 2:
		d := *set.Subscriptions[random.IntN(len(set.Subscriptions))]
		d.Spec.State = pick("active", "active", "suspended", "closed", "pending")
		d.Spec.Expires = time.Time{}
		if random.IntN(3) == 0 {
			d.Spec.Expires = at()
		}
		changed[d.Key()] = &d
	case 3:
		d := *set.Credentials[random.IntN(len(set.Credentials))]
		d.Spec.State, d.Spec.Type, d.Spec.Subscriptions, d.Spec.NotAfter = pick("active", "active", "revoked"), pick("plain", "scram"), nil, time.Time{}
		if random.IntN(3) == 0 {
			d.Spec.NotAfter = at()
		}
		if random.IntN(3) == 0 {
			d.Spec.Subscriptions = []string{d.Spec.Application + "-orders" + pick("0", "1", "2")}
		}
		changed[d.Key()] = &d
	case 4:
		d := *set.Versions[random.IntN(len(set.Versions))]
		d.Spec.Lifecycle.State, d.Spec.Lifecycle.Sunset = pick("published", "published", "deprecated", "retired", "draft"), time.Time{}
		if d.Spec.Lifecycle.State == "deprecated" {
			d.Spec.Lifecycle.Sunset = at()
		}
		changed[d.Key()] = &d
	case 5:
		d := *set.Products[random.IntN(len(set.Products))]
		plan := d.Spec.Plans["free"]
		plan.Rights, plan.Auth = map[string]string{"placed": pick("read", "write", "readwrite")}, [][]string{{"plain"}, {"plain", "scram"}}[random.IntN(2)]
		d.Spec.Plans = map[string]resource.Plan{"free": plan}
		changed[d.Key()] = &d
	case 6:
		key := resource.Key{Kind: resource.KindSubscription, Name: fmt.Sprintf("app-%d-orders%s", random.IntN(3), pick("0", "1", "2"))}
		application := key.Name[:len("app-0")]
		changed[key] = nil
		if random.IntN(2) == 0 {
			changed[key] = &resource.Subscription{APIVersion: resource.APIVersion, Kind: key.Kind, Metadata: resource.Metadata{Name: key.Name, Environment: "prod"},
				Spec: resource.SubscriptionSpec{Application: application, Product: "orders" + pick("0", "1", "2"), Plan: "free", State: "active"}}
		}
	}
}

// TestSameEntry sees to it that no field is forgotten.
func TestSameEntry(t *testing.T) {
	at := start
	full := func() *Entry {
		return &Entry{Environment: "prod", Application: "erp", Exposed: "orders", Backing: "shop.orders", Cluster: "main", ID: grant.TopicID{1}, Subscription: "s", Ends: at, Lost: at,
			Read: &Held{}, Write: &Held{Lost: at}, Methods: map[grant.Method]*Held{grant.Plain: {}}, Credentials: map[string]*Held{"c": {Lost: at}}}
	}
	if !sameEntry(full(), full()) {
		t.Fatal("the same is not the same")
	}
	of := reflect.TypeFor[Entry]()
	for i := range of.NumField() {
		other := full()
		if f := reflect.ValueOf(other).Elem().Field(i); f.IsZero() {
			t.Fatalf("%s is not set here", of.Field(i).Name)
		} else {
			f.SetZero()
		}
		if sameEntry(full(), other) || sameEntry(other, full()) {
			t.Errorf("%s is forgotten", of.Field(i).Name)
		}
	}
	for name, change := range map[string]func(*Entry){
		"when reading was lost":     func(e *Entry) { e.Read.Lost = at },
		"when writing was lost":     func(e *Entry) { e.Write.Lost = time.Time{} },
		"when a method was lost":    func(e *Entry) { e.Methods[grant.Plain].Lost = at },
		"when a credential lost it": func(e *Entry) { e.Credentials["c"].Lost = at.Add(1) },
	} {
		other := full()
		if change(other); sameEntry(full(), other) {
			t.Errorf("%s is forgotten", name)
		}
	}
}
