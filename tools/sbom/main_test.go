package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun describes the bill of the sluice binary itself, twice.
func TestRun(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sluice")
	build := exec.Command("go", "build", "-o", name, "./cmd/sluice")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := run([]string{name}, out); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("two runs differ")
	}
	var b bom
	if err := json.Unmarshal(first.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, c := range b.Components {
		names[c.Name] = c.Version
		if c.Name != "std" && !strings.Contains(string(mod), c.Name+" "+c.Version) {
			t.Errorf("%s %s is not what go.mod says", c.Name, c.Version)
		}
	}
	for _, want := range []string{"std", "github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kmsg"} {
		if names[want] == "" {
			t.Errorf("no component %s", want)
		}
	}
	if got := len(b.Dependencies[0].DependsOn); got != len(b.Components) {
		t.Errorf("sluice depends on %d of %d components", got, len(b.Components))
	}
	if files := b.Metadata.Component.Components; len(files) != 1 || len(files[0].Hashes[0].Content) != 64 {
		t.Errorf("got files %v, want one with its SHA-256", files)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{"nothing": nil, "a file that is no binary": {"main.go"}, "a missing file": {"absent"}} {
		if err := run(args, new(bytes.Buffer)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
