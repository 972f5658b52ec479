package grant

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"
)

// many returns the credentials of n applications with some topics each, one
// credential and one grant for each application.
func many(n, topics int) []*Credential {
	all := make([]*Credential, n)
	for i := range all {
		all[i] = one(i, topics)
	}
	return all
}

const base32Digits = "abcdefghijklmnopqrstuvwxyz234567"

func one(i, topics int) *Credential {
	p := []byte("taaaaaaaaaaaa.")
	for at, rest := 1, i; rest > 0; at, rest = at+1, rest/32 {
		p[at] = base32Digits[rest%32]
	}
	g := &Grant{Application: fmt.Sprint("app", i), Environment: "prod", Cluster: "main", VirtualClusterID: fmt.Sprint("vc", i), Prefix: string(p), IDKey: TopicID{1, 2, 3}}
	for j := range topics {
		t := &Topic{Exposed: fmt.Sprintf("topic.%05d", j), Backing: fmt.Sprintf("phys.%d.%05d", i, j), Subscription: "s", Read: Right{Access: Granted}, Write: Right{Access: Granted}, Phases: []Phase{{State: Open, Rule: "active"}}}
		binary.BigEndian.PutUint32(t.ID[:], uint32(i)+1)
		binary.BigEndian.PutUint32(t.ID[4:], uint32(j)+1)
		g.Topics = append(g.Topics, t)
	}
	return &Credential{Name: fmt.Sprint("cred", i), Method: Plain, Identity: fmt.Sprint("cred", i), Verifiers: []Verifier{{Mechanism: "PLAIN", Salt: make([]byte, 16), Iterations: 1, StoredKey: make([]byte, 32)}}, Grant: g}
}

// The delta of one application builds that application and copies the shard it
// lies in, however many others there are: it allocates as much among 40,000 as
// among 1,000, in pieces, and no more than a shard more in bytes.
func TestADeltaOfOneApplicationDoesNotPayForTheOthers(t *testing.T) {
	type cost struct {
		mallocs float64
		bytes   uint64
	}
	measure := func(applications int) cost {
		s, err := New("prod", Number{1, 1}, many(applications, 1))
		if err != nil {
			t.Fatal(err)
		}
		const runs = 50
		changed := make([]*Credential, runs+2) // not shared with the snapshot, nor built
		for i := range changed {
			changed[i] = one(7*i, 3)
		}
		at := 0
		apply := func() {
			next, err := s.Apply(Delta{From: s.Number(), To: Number{1, s.Number().N + 1}, Put: changed[at : at+1]})
			if err != nil {
				t.Fatal(err)
			}
			if next.Len() != applications || next.Lookup(Plain, changed[at].Identity) != changed[at] {
				t.Fatalf("the delta is not in the snapshot of %d credentials", next.Len())
			}
			s = next
			at++
		}
		apply()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mallocs := testing.AllocsPerRun(runs, apply)
		runtime.ReadMemStats(&after)
		return cost{mallocs, (after.TotalAlloc - before.TotalAlloc) / (runs + 1)}
	}
	few, more := measure(1_000), measure(40_000)
	t.Logf("1,000 applications: %+v, 40,000: %+v", few, more)
	// A shard of a hundred entries is a map of a few tables, one of a single entry is one group.
	if more.mallocs > few.mallocs+10 {
		t.Errorf("among 40,000 applications a delta allocates %v times, among 1,000 %v times", more.mallocs, few.mallocs)
	}
	if more.bytes > few.bytes+64<<10 {
		t.Errorf("among 40,000 applications a delta takes %d bytes, among 1,000 %d", more.bytes, few.bytes)
	}
}

// What a delta did not name is the same credential as before, and what was built
// is not built again.
func TestADeltaTouchesOnlyWhatBelongsToIt(t *testing.T) {
	first, err := New("prod", Number{1, 1}, many(5_000, 2))
	if err != nil {
		t.Fatal(err)
	}
	next, err := first.Apply(Delta{From: Number{1, 1}, To: Number{1, 2}, Put: []*Credential{one(4711, 5)}, Remove: []Key{{Plain, "cred17"}}})
	if err != nil {
		t.Fatal(err)
	}
	var other []string
	for c := range first.All() {
		if next.Lookup(c.Method, c.Identity) != c {
			other = append(other, c.Name)
		}
	}
	if len(other) != 2 || next.Len() != 4_999 || next.Lookup(Plain, "cred17") != nil || next.Lookup(Plain, "cred4711").Grant.Topic("topic.00004") == nil {
		t.Errorf("other than before: %q, %d credentials", other, next.Len())
	}
	copied := 0
	for i := range first.shards {
		if len(first.shards[i]) != len(next.shards[i]) || !sameShard(first.shards[i], next.shards[i]) {
			copied++
		}
	}
	if copied < 1 || copied > 2 {
		t.Errorf("%d shards differ, want those of the two credentials", copied)
	}
}

func sameShard(a, b map[Key]*Credential) bool {
	for k, c := range a {
		if b[k] != c {
			return false
		}
	}
	return true
}

// BenchmarkFullSnapshot builds a snapshot of 100,000 applications with three
// topics each from what a file or the control plane has brought.
func BenchmarkFullSnapshot(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				all := many(n, 3)
				b.StartTimer()
				if _, err := New("prod", Number{1, 1}, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSnapshotFile reads what was written of 100,000 applications.
func BenchmarkSnapshotFile(b *testing.B) {
	s, err := New("prod", Number{1, 1}, many(100_000, 3))
	if err != nil {
		b.Fatal(err)
	}
	data, err := s.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := new(Snapshot).UnmarshalJSON(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("written", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := s.MarshalJSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
	binary, err := s.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read, binary", func(b *testing.B) {
		b.SetBytes(int64(len(binary)))
		for b.Loop() {
			if err := new(Snapshot).UnmarshalBinary(binary); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkGrantOfManyTopics builds one application's grant of 10,000 topics.
func BenchmarkGrantOfManyTopics(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c := one(7, n)
				b.StartTimer()
				if _, err := New("prod", Number{1, 1}, []*Credential{c}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDelta applies the change of one application among many.
func BenchmarkDelta(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		s, err := New("prod", Number{1, 1}, many(n, 1))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				c := one(i%n, 3)
				b.StartTimer()
				if s, err = s.Apply(Delta{From: s.Number(), To: Number{1, s.Number().N + 1}, Put: []*Credential{c}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDiff finds the change of one application among many, as a process
// does that compiles documents itself.
func BenchmarkDiff(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		s, err := New("prod", Number{1, 1}, many(n, 1))
		if err != nil {
			b.Fatal(err)
		}
		next, err := s.Apply(Delta{From: Number{1, 1}, To: Number{1, 2}, Put: []*Credential{one(7, 3)}})
		if err != nil {
			b.Fatal(err)
		}
		other, err := New("prod", Number{1, 2}, many(n, 1))
		if err != nil {
			b.Fatal(err)
		}
		for name, to := range map[string]*Snapshot{"shared": next, "compiled anew": other} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					s.Diff(to)
				}
			})
		}
	}
}

// Two credentials that differ in one field, whichever it is, are not the same.
func TestNoFieldIsForgottenWhenCredentialsAreCompared(t *testing.T) {
	if !same(credentialOf("a", nil), credentialOf("a", nil)) {
		t.Error("two that say the same are taken for different ones")
	}
	changed, like := credentialOf("a", nil), credentialOf("a", nil)
	eachFieldVaried(t, changed, func(path string) {
		if same(changed, like) || same(like, changed) {
			t.Errorf("%s makes no difference", path)
		}
	})
	if !same(changed, like) {
		t.Error("the test did not put everything back")
	}
}

// eachFieldVaried changes each field of a credential in turn, and has check called
// with each change in place.
func eachFieldVaried(t *testing.T, c *Credential, check func(path string)) {
	fields := 0
	var vary func(path string, v reflect.Value)
	vary = func(path string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch {
		case v.Type() == reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Nanosecond)))
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					vary(path+"."+f.Name, v.Field(i))
				}
			}
			return
		case v.Kind() == reflect.Pointer:
			vary(path, v.Elem())
			return
		case v.Kind() == reflect.Slice:
			if v.Len() > 0 && v.Type().Elem().Kind() != reflect.Uint8 {
				vary(path+"[0]", v.Index(0))
			}
			element := v.Type().Elem()
			if element.Kind() == reflect.Pointer {
				v.Set(reflect.Append(v, reflect.New(element.Elem())))
			} else {
				v.Set(reflect.Append(v, reflect.New(element).Elem()))
			}
		case v.Kind() == reflect.Array:
			v.Index(v.Len() - 1).SetUint(v.Index(v.Len()-1).Uint() ^ 1)
		case v.Kind() == reflect.String:
			v.SetString(v.String() + "x")
		case v.Kind() == reflect.Bool:
			v.SetBool(!v.Bool())
		case v.CanInt():
			v.SetInt(v.Int() + 1)
		case v.CanUint():
			v.SetUint(v.Uint() + 1)
		default:
			t.Fatalf("%s: a field of a kind that this test does not know: %v", path, v.Kind())
		}
		fields++
		check(path)
		v.Set(old)
	}
	vary("Credential", reflect.ValueOf(c).Elem())
	if fields < 40 {
		t.Errorf("only %d fields were varied", fields)
	}
}
