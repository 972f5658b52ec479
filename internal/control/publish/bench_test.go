package publish

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// BenchmarkCompile is a reload in which one of 1000 applications changes.
func BenchmarkCompile(b *testing.B) {
	var text strings.Builder
	head, tail, _ := strings.Cut(base("type: plain", "type: scram"), "---\napiVersion: sluice/v1\nkind: Application")
	text.WriteString(head)
	for i := range 1000 {
		app := "---\napiVersion: sluice/v1\nkind: Application" + tail
		text.WriteString(strings.NewReplacer("erp", fmt.Sprint("erp", i)).Replace(app))
	}
	set, problems := resource.ReadBytes("set.yaml", []byte(text.String()))
	if resource.Bad(problems) {
		b.Fatal(problems)
	}
	opts := (&world{now: start, secrets: map[string]string{"SECRET": "0123456789abcdef"}}).options()
	first, problems := Compile(set, opts)
	if first == nil {
		b.Fatal(problems)
	}
	opts.Previous, opts.History = first.Snapshot, first.History
	for b.Loop() {
		set.Applications[7].Spec.Suspended = !set.Applications[7].Spec.Suspended
		r, problems := Compile(set, opts)
		if r == nil {
			b.Fatal(problems)
		}
		opts.Previous, opts.History = r.Snapshot, r.History
	}
}

// installation returns documents of a large one: 500 products of one version and
// topic each, and applications with ten subscriptions and a credential each, by name.
func installation(applications int) *resource.Set {
	const products = 500
	var text strings.Builder
	text.WriteString(`
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"]}
`)
	for i := range products {
		text.WriteString(strings.NewReplacer("orders", fmt.Sprint("orders", i)).Replace(`---
apiVersion: sluice/v1
kind: API
metadata: {name: orders}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {address: shop.orders, send: true, receive: true}}}
  channels: {placed: {prod: {cluster: main, topic: shop.orders}}}
  lifecycle: {state: published}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: orders}
spec: {versions: [orders.v1], plans: {free: {auth: [plain, scram]}}}
`))
	}
	set, problems := resource.ReadBytes("set.yaml", []byte(text.String()))
	if resource.Bad(problems) {
		panic(problems[0].String())
	}
	meta := func(name string) resource.Metadata { return resource.Metadata{Name: name, Environment: "prod"} }
	for i := range applications {
		app := fmt.Sprint("erp-", i)
		set.Applications = append(set.Applications, &resource.Application{Kind: resource.KindApplication, Metadata: resource.Metadata{Name: app}})
		for j := range 10 {
			set.Subscriptions = append(set.Subscriptions, &resource.Subscription{Kind: resource.KindSubscription, Metadata: meta(fmt.Sprint(app, "-", j)),
				Spec: resource.SubscriptionSpec{Application: app, Product: fmt.Sprint("orders", (i*7+j*50)%products), Plan: "free", State: "active"}})
		}
		set.Credentials = append(set.Credentials, &resource.Credential{Kind: resource.KindCredential, Metadata: meta(app + "-1"),
			Spec: resource.CredentialSpec{Application: app, Type: "plain", ClientID: app, State: "active"}})
	}
	return new(resource.Set).With(maps.Collect(func(yield func(resource.Key, resource.Any) bool) {
		for d := range set.All() {
			if !yield(d.Key(), d) {
				return
			}
		}
	}))
}

// BenchmarkScale is what one change costs where there are 10,000 applications with
// 100,000 subscriptions: to check it, and to compile it.
func BenchmarkScale(b *testing.B) {
	set := installation(10_000)
	opts := (&world{now: start, secrets: map[string]string{}}).options()
	proof := []grant.Verifier{{Mechanism: "PLAIN"}}
	opts.Verifiers = func(string) []grant.Verifier { return proof }
	suspended := set.With(map[resource.Key]resource.Any{{Kind: resource.KindApplication, Name: "erp-7"}: &resource.Application{
		Kind: resource.KindApplication, Metadata: resource.Metadata{Name: "erp-7"}, Spec: resource.ApplicationSpec{Suspended: true}}})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if problems := Check(set, opts.Seed, nil); resource.Bad(problems) {
				b.Fatal(problems[0])
			}
		}
	})
	b.Run("check/change", func(b *testing.B) {
		for b.Loop() {
			if problems := Check(suspended, opts.Seed, set); resource.Bad(problems) {
				b.Fatal(problems[0])
			}
		}
	})
	first, problems := Compile(set, opts)
	if first == nil {
		b.Fatal(problems)
	}
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if r, problems := Compile(set, opts); r == nil {
				b.Fatal(problems)
			}
		}
	})
	b.Run("compile/change", func(b *testing.B) {
		opts := opts
		opts.Previous, opts.History = first.Snapshot, first.History
		sets := []*resource.Set{suspended, set}
		for i := 0; b.Loop(); i++ {
			r, problems := Compile(sets[i%2], opts)
			if r == nil || r.Compiled != 1 {
				b.Fatal(r, problems)
			}
			opts.Previous, opts.History = r.Snapshot, r.History
		}
	})
}
