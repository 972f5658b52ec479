package publish

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// FuzzCompile: whatever the documents say, compiling them ends with problems or
// with a snapshot that is sound and stays the same when it is made again.
func FuzzCompile(f *testing.F) {
	f.Add(base())
	f.Add(base("{state: published}", "{state: deprecated, sunset: 2026-04-01, brownouts: [{from: 2026-03-10, to: 2026-03-11}]}", "type: plain", "type: scram"))
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, problems := resource.ReadBytes(filepath.Join(t.TempDir(), "set.yaml"), []byte(text))
		w := newWorld(t)
		first, more := Compile(set, w.options())
		if resource.Bad(problems) {
			return
		}
		if (first == nil) != resource.Bad(more) {
			t.Fatalf("got %v with problems %v", first, more)
		}
		if first == nil {
			return
		}
		for _, p := range more {
			if strings.Contains(p.Fix, "mistake in Sluice") {
				t.Error(p)
			}
		}
		w.previous, w.history = first.Snapshot, first.History
		if again, more := Compile(set, w.options()); again == nil || again.Snapshot != first.Snapshot {
			t.Errorf("not the same again: %v", more)
		}
		data, err := json.Marshal(first.Snapshot)
		if err == nil {
			err = json.Unmarshal(data, &grant.Snapshot{})
		}
		if err != nil {
			t.Error(err)
		}
	})
}
