package harness

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write docs/compatibility.md anew from what is in docs/compatibility")

// The page is what the findings beside it make; nobody edits it by hand.
func TestCompatibilityPage(t *testing.T) {
	folder := filepath.Join("..", "..", "docs", "compatibility")
	want, err := compatibilityPage(folder)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(folder+".md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(folder + ".md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/compatibility.md is not what docs/compatibility/*.json make: go -C test test ./harness -run CompatibilityPage -update")
	}
}

func TestCompatibilityCell(t *testing.T) {
	var old, recent Findings
	old.Kafka, recent.Kafka = "3.9.2", "4.1.2"
	old.Note("lib", "1", "lists", "yes")
	recent.Note("lib", "1", "lists", "yes")
	old.Note("lib", "1", "joins", "yes")
	recent.Note("lib", "1", "joins", "**no**")
	recent.Note("lib", "1", "shares", "**no**")
	recent.Note("lib", "1", "shares", "yes")
	all := []*Findings{&old, &recent}
	for feature, want := range map[string]string{"lists": "yes", "joins": "yes on 3.9.2; **no** on 4.1.2", "shares": "– on 3.9.2; yes on 4.1.2", "flies": "–"} {
		if got := cell(all, "lib", feature); got != want {
			t.Errorf("%s: got %q, want %q", feature, got, want)
		}
	}
}
