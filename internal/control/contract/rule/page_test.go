package rule

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/contracts.md")

const (
	page  = "../../../../docs/contracts.md"
	begin = "<!-- made from internal/control/contract/rule/table.go: go test ./internal/control/contract/rule -update -->\n"
)

// TestPageIsUpToDate: the table of docs/contracts.md is the table of rules.
func TestPageIsUpToDate(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	prose, _, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no line %q", page, begin)
	}
	want := prose + begin + table()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is out of date: go test ./internal/control/contract/rule -update", page)
	}
}

func table() string {
	var b strings.Builder
	for _, g := range Groups() {
		fmt.Fprintf(&b, "\n### %s\n\n| Rule | Severity | Broken when |\n|---|---|---|\n", g.Title)
		for _, r := range g.Rules {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.ID, r.Severity, strings.ReplaceAll(r.Summary, "|", `\|`))
		}
	}
	return b.String()
}

// TestTable: ids are unique, and every rule says when it is broken.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range Groups() {
		for _, r := range g.Rules {
			if seen[r.ID] || r.Severity == Off || !strings.HasSuffix(r.Summary, ".") || strings.ToLower(r.ID) != r.ID {
				t.Errorf("%+v", r)
			}
			seen[r.ID] = true
		}
	}
}

func TestSeverities(t *testing.T) {
	for word, want := range map[string]Severity{"error": Error, "warn": Warning, "warning": Warning, "hint": Info, "info": Info, "off": Off} {
		var s Severity
		if err := s.UnmarshalText([]byte(word)); err != nil || s != want {
			t.Errorf("%s: got %s, %v", word, s, err)
		}
	}
	var s Severity
	if err := s.UnmarshalText([]byte("bad")); err == nil {
		t.Error("bad is a severity")
	}
	if got := Worst([]Problem{{Severity: Info}, {Severity: Error}, {Severity: Warning}}); got != Error {
		t.Errorf("got %s", got)
	}
}
