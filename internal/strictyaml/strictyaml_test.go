package strictyaml

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

type thing struct {
	Name     string            `json:"name"`
	Count    int64             `json:"count"`
	On       bool              `json:"on"`
	Wait     time.Duration     `json:"wait"`
	When     time.Time         `json:"when"`
	Size     *Size             `json:"size"`
	List     []string          `json:"list"`
	Map      map[string]*thing `json:"map"`
	Secret   SecretRef         `json:"secret"`
	Internal string            // not in the document
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"flow", "{name: a, count: 3, on: true, wait: 5m, when: 2026-03-01, size: 5MiB, list: [x, y]}", "a 3 true 5m0s 2026-03-01 5MiB [x y]"},
		{"block", "name: |\n  a\ncount: 0x10\nlist:\n  - x\n", "a\n 16 false 0s 0001-01-01 nil [x]"},
		{"quoted key", `"name": 'a: b'`, "a: b 0 false 0s 0001-01-01 nil []"},
		{"empty parts", "list:\nmap:\nname: a", "a 0 false 0s 0001-01-01 nil []"},
		{"byte order mark and CRLF", "\ufeffname: a\r\ncount: 1\r\n", "a 1 false 0s 0001-01-01 nil []"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			docs, problems := Parse([]byte(tc.text))
			if len(problems) > 0 || len(docs) != 1 {
				t.Fatal(docs, problems)
			}
			var v thing
			if problems := docs[0].Decode(&v); len(problems) > 0 {
				t.Fatal(problems)
			}
			size := "nil"
			if v.Size != nil {
				size = v.Size.String()
			}
			if got := fmt.Sprint(v.Name, " ", v.Count, " ", v.On, " ", v.Wait, " ", v.When.Format(time.DateOnly), " ", size, " ", v.List); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	docs, _ := Parse([]byte("# first\n---\nname: a\nmap:\n  x: {count: 1}\nlist: [p, q]\n"))
	var v thing
	docs[0].Decode(&v)
	for path, want := range map[string]Position{"name": {3, 1}, "map.x": {5, 3}, "map.x.count": {5, 7}, "list[1]": {6, 11}, "list[7]": {6, 1}, "map.y.z": {4, 1}, "nothing": {3, 1}} {
		if got := docs[0].Position(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// TestWhatIsDearIsRefused: none of these may take long or much.
func TestWhatIsDearIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"aliases":              "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
		"merge keys":           "a: {<<: {b: c}}",
		"tags":                 "a: !!str b",
		"directives":           "%YAML 1.2\n",
		"deep flow":            strings.Repeat("[", 100_000),
		"deep maps":            strings.Repeat("{a: ", 100_000),
		"deep sequences":       strings.Repeat("- ", 100_000),
		"deep keys":            strings.Repeat("? ", 100_000),
		"deep blocks":          deep(200),
		"many words":           strings.Repeat("a: b\n", MaxTokens),
		"a long document":      strings.Repeat("a", MaxDocumentBytes+1),
		"a long file":          strings.Repeat("a: b\n---\n", MaxFileBytes/9+1),
		"two documents in one": "a: b\n... \nc",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			docs, problems := Parse([]byte(text))
			if len(problems) == 0 && name != "two documents in one" {
				t.Errorf("accepted, %d documents", len(docs))
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestSecretsPrintRedacted(t *testing.T) {
	s := Secret("hunter2")
	text, _ := s.MarshalText()
	for _, got := range []string{s.String(), fmt.Sprintf("%v %s %q %#v %+v", s, s, s, s, struct{ S Secret }{s}), string(text), s.LogValue().String()} {
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "[redacted]") {
			t.Errorf("got %s", got)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestNearest(t *testing.T) {
	for key, want := range map[string]string{"enviroment": "environment", "Name": "name", "zzz": "", "": ""} {
		if got := Nearest(key, []string{"environment", "name", "address"}); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

// TestTextOfSeveralLines: what is written for people says what it said, whatever a block can and cannot hold.
func TestTextOfSeveralLines(t *testing.T) {
	for text, block := range map[string]bool{
		"a: 1\nb:\n  - c\n": true, "one\ntwo": true, "one\n\ntwo\n": true, "one\n  two: \"x\"\n": true, "one": false,
		"  indented first\nnot then\n": false, "tab\t\nx\n": true, "blank at the end \nx\n": true, "end\n\n\n": false, "\nfirst\n": false, "a\r\nb\n": false, "# c\n--- d\n": true, "\n": false, "é\nü\n": true,
	} {
		b, err := json.Marshal(map[string]any{"outer": map[string]any{"text": text, "after": []any{text, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := FromJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := yaml.YAMLToJSON(out)
		if err != nil {
			t.Errorf("%q: %v\n%s", text, err, out)
			continue
		}
		var got, want any
		if json.Unmarshal(back, &got) != nil || json.Unmarshal(b, &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q became\n%s", text, out)
		}
		if block && !strings.Contains(string(out), "text: |") {
			t.Errorf("%q is no block:\n%s", text, out)
		}
	}
}
