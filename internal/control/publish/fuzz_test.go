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

// FuzzHistory: the file of the history is refused, or understood, and then
// written and read again the same; documents are compiled over it.
func FuzzHistory(f *testing.F) {
	for _, seed := range []string{
		`null`, `{}`, `[]`, `[null]`, `{"entries":[null]}`,
		`{"entries":[{"environment":"dev","application":"a","exposed":"o","backing":"p","cluster":"c","id":"00000000000000000000000000000002","subscription":"s","read":{"lost":"2026-01-01T00:00:00Z"},"methods":{"plain":null}}]}`,
		`[{"environment":"dev","application":"a","exposed":"o","id":"00000000000000000000000000000002","methods":{"plain":null},"credentials":{"c":null}}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := new(History)
		if json.Unmarshal(data, h) != nil {
			return
		}
		first, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again := new(History)
		if err := json.Unmarshal(first, again); err != nil {
			t.Fatalf("%s is not read again: %v", first, err)
		}
		if second, err := json.Marshal(again); err != nil || string(first) != string(second) {
			t.Fatalf("%s becomes %s, %v", first, second, err)
		}
		set, _ := resource.ReadBytes(filepath.Join(t.TempDir(), "set.yaml"), []byte(base()))
		w := newWorld(t)
		w.history = h
		Compile(set, w.options())
	})
}
