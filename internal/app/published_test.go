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
	for _, at := range []int{20, len(good) / 2, len(good) - 2} {
		bad := append([]byte(nil), good...)
		bad[at] ^= 1
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if p := (&published{file: journal.File{Name: name, Save: writeFile}}); !errors.Is(p.read(), journal.ErrDamaged) || p.history != nil || p.snapshot != nil {
			t.Errorf("a bit of byte %d: it is not found damaged", at)
		}
	}
	if err := os.WriteFile(name, good[:len(good)-2], 0o600); err != nil {
		t.Fatal(err)
	}
	if p := open(); p.snapshot.Number() != (grant.Number{Generation: 1, N: 2}) {
		t.Errorf("without the last change, which was cut off: %v", p.snapshot.Number())
	}
}
