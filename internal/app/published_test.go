package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/journal"
	"sluice/internal/resource"
)

// offered is a set with so many applications that subscribe, the first of which may be suspended.
func offered(t *testing.T, applications int, suspended bool) *resource.Set {
	t.Helper()
	text := `
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"]}
---
apiVersion: sluice/v1
kind: API
metadata: {name: orders}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec: {contract: {channels: {placed: {send: true}}}, channels: {placed: {prod: {cluster: main, topic: shop.orders}}}, lifecycle: {state: published}}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: orders}
spec: {versions: [orders.v1], plans: {free: {auth: [mtls]}}}
`
	for i := range applications {
		text += strings.ReplaceAll(fmt.Sprintf(`---
apiVersion: sluice/v1
kind: Application
metadata: {name: N}
spec: {suspended: %t}
---
apiVersion: sluice/v1
kind: Subscription
metadata: {name: N, environment: prod}
spec: {application: N, product: orders, plan: free, state: active}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: N, environment: prod}
spec: {application: N, type: mtls, san: "dns:N.example"}
`, suspended && i == 0), "N", fmt.Sprint("app-", i))
	}
	set, problems := resource.ReadBytes("", []byte(text))
	if resource.Bad(problems) {
		t.Fatal(problems)
	}
	return set
}

func TestPublishedIsAWholeAndItsChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), publishedFile)
	open := func() *published {
		t.Helper()
		p := &published{file: journal.File{Name: name, Save: writeFile}}
		if err := p.read(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	size := func() int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	p := open()
	opts := publish.Options{Environment: "prod", Generation: 1, Now: time.Now(), Seed: make([]byte, seedBytes)}
	var last int64
	for i, set := range []*resource.Set{offered(t, 50, false), offered(t, 50, true), offered(t, 50, true), offered(t, 49, false)} {
		r, problems := publish.Compile(set, opts)
		if r == nil {
			t.Fatal(problems)
		}
		if err := p.save(r.History, r.Snapshot); err != nil {
			t.Fatal(err)
		}
		switch grown := size() - last; {
		case i == 2 && grown != 0:
			t.Errorf("%d bytes for what is there already", grown)
		case i == 1 && grown > last/10, i == 3 && grown > last/10:
			t.Errorf("change %d: %d bytes behind %d", i, grown, last)
		}
		last = size()
		if i == 1 {
			p = open() // another process goes on
		}
		again := open()
		if text(again.history) != text(r.History) || text(again.snapshot) != text(r.Snapshot) {
			t.Fatalf("change %d: something else is read than was written", i)
		}
		opts.History, opts.Previous = r.History, r.Snapshot
	}
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{20, len(good) / 2} {
		bad := append([]byte(nil), good...)
		bad[at] ^= 1
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if p := (&published{file: journal.File{Name: name, Save: writeFile}}); !errors.Is(p.read(), journal.ErrDamaged) || p.history != nil || p.snapshot != nil {
			t.Errorf("a bit of byte %d: it is not found damaged", at)
		}
	}
	torn := append([]byte(nil), good...)
	torn[len(torn)-2] ^= 1
	for what, b := range map[string][]byte{"cut off": good[:len(good)-2], "damaged": torn} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		p := open()
		if p.snapshot.Number() != (grant.Number{Generation: 1, N: 2}) || !p.cut {
			t.Errorf("without the last change, which was %s: %v, told %v", what, p.snapshot.Number(), p.cut)
		}
		// What it was is made again from the documents.
		opts.History, opts.Previous = p.history, p.snapshot
		r, _ := publish.Compile(offered(t, 49, false), opts)
		if err := p.save(r.History, r.Snapshot); err != nil {
			t.Fatal(err)
		}
		if again := open(); again.cut || again.snapshot.Number().N != 3 || text(again.history) != text(r.History) || text(again.snapshot) != text(r.Snapshot) {
			t.Errorf("after the last change was %s: %v is there again", what, again.snapshot.Number())
		}
	}
}

// A start gives gateways no number that they may have had with something else, also when
// the last change is lost, the common part is another one, or nothing is left.
func TestNumbersGoOnBehindThoseThatWereSetAside(t *testing.T) {
	used := grant.Number{Generation: 3, N: 1000}
	numbers := filepath.Join(t.TempDir(), reserveFile)
	if err := os.WriteFile(numbers, []byte(`{"generation":3,"n":1000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before grant.Number
		want   grant.Number
	}{
		{grant.Number{}, grant.Number{Generation: 3, N: 1001}},
		{grant.Number{Generation: 3, N: 999}, grant.Number{Generation: 3, N: 1001}},
		{used, grant.Number{Generation: 3, N: 1001}},
		{grant.Number{Generation: 3, N: 1001}, grant.Number{Generation: 3, N: 1001}},
		{grant.Number{Generation: 2, N: 5000}, grant.Number{Generation: 2, N: 5000}}, // the store's generation is in force next
	} {
		s := &state{}
		if c.before != (grant.Number{}) {
			var err error
			if s.snapshot, err = grant.New("prod", c.before, nil); err != nil {
				t.Fatal(err)
			}
		}
		v := &reserve{name: numbers}
		if err := v.begin(s, "prod"); err != nil {
			t.Fatal(err)
		}
		if got := s.snapshot.Number(); got != c.want {
			t.Errorf("from %v on: %v, want %v", c.before, got, c.want)
		}
	}
}
