package publish

import (
	"fmt"
	"strings"
	"testing"

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
