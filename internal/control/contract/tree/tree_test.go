package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/control/contract/rule"
)

func TestPlaces(t *testing.T) {
	yaml := "a:\n  b: [1, {c: x}]\n  \"d/e~f\": &anchor\n    g: yes\n  h: *anchor\ni: 日本語\n'j': |\n  text\n"
	for _, tc := range []struct{ name, file, text, pointer, want string }{
		{"a field is where its name is", "a.yaml", yaml, "/a/b", "a.yaml:2:3"},
		{"an item is where it begins", "a.yaml", yaml, "/a/b/1", "a.yaml:2:10"},
		{"in a flow mapping", "a.yaml", yaml, "/a/b/1/c", "a.yaml:2:11"},
		{"escaped", "a.yaml", yaml, "/a/d~1e~0f/g", "a.yaml:4:5"},
		{"behind an alias: where the value is", "a.yaml", yaml, "/a/h/g", "a.yaml:4:5"},
		{"the alias itself", "a.yaml", yaml, "/a/h", "a.yaml:5:3"},
		{"after a block", "a.yaml", yaml, "/j", "a.yaml:7:1"},
		{"JSON, columns in characters", "a.json", "{\n\t\"日\": {\"b\": [true,\n null]}}", "/日/b", "a.json:2:8"},
		{"JSON over lines", "a.json", "{\n\t\"日\": {\"b\": [true,\n null]}}", "/日/b/1", "a.json:3:2"},
		{"JSON that is called YAML", "a.yaml", `{"a": "\ud83d\ude00"}`, "/a", "a.yaml:1:2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, problems := Parse(tc.file, []byte(tc.text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			n, ok := root.Find(tc.pointer)
			if !ok {
				t.Fatalf("%s is not there", tc.pointer)
			}
			if got := n.Place(); got.String() != tc.want || got.Pointer != tc.pointer {
				t.Errorf("got %s %s, want %s %s", got, got.Pointer, tc.want, tc.pointer)
			}
		})
	}
}

// TestLongLine reads JSON of one long line: the places of its values are not found by counting the line again for each of
// them, which would take minutes here.
func TestLongLine(t *testing.T) {
	const items = 150_000
	text := "[" + strings.Repeat(`"ü0123456789012345",`, items) + "1]"
	n, problems := ParseJSON([]byte(text))
	if n == nil || len(n.Items) != items+1 || len(problems) > 0 {
		t.Fatal(problems)
	}
	if at := n.Items[items].ValuePlace(); at.Line != 1 || at.Column != 2+items*20 {
		t.Errorf("the last value is at %d:%d", at.Line, at.Column)
	}
}

// TestCompact writes values on one line as they were written.
func TestCompact(t *testing.T) {
	for text, want := range map[string]string{"{ \"b\": 1.50,\n \"a\": [ 1e2, {} , [] , \"<\u2028\" ] }": "{\"b\":1.50,\"a\":[1e2,{},[],\"<\\u2028\"]}", "null": "null", " -0 ": "-0"} {
		n, problems := ParseJSON([]byte(text))
		if n == nil || string(n.Compact()) != want {
			t.Errorf("%s became %s, want %s (%v)", text, n.Compact(), want, problems)
		}
	}
}

// TestOnlyJSON refuses what is YAML.
func TestOnlyJSON(t *testing.T) {
	for _, text := range []string{"", "a: 1", "{a: 1}", "[1,]", "'x'", "{} {}", "01", "\xff", "# c\n1"} {
		if n, problems := ParseJSON([]byte(text)); n != nil || len(problems) == 0 {
			t.Errorf("%q was read", text)
		}
	}
}

func TestScalars(t *testing.T) {
	for text, want := range map[string]string{
		"": "null", "~": "null", "Null": "null", "yes": `"yes"`, "on": `"on"`, "true": "true", "TRUE": "true", "'true'": `"true"`,
		"012": "12", "0o17": "15", "0x1F": "31", "+5": "5", "-0": "0", "1_000": `"1_000"`, "1.": "1", ".5": "0.5", "-1.50": "-1.5", "1e3": "1000", "1E-2": "0.01",
		"2020-01-01": `"2020-01-01"`, "3.0.0": `"3.0.0"`, "!!str 5": `"5"`, "9007199254740993": "9007199254740993", "!!int '7'": "7", "10:30": `"10:30"`,
	} {
		root, problems := Parse("a.yaml", []byte("a: "+text+"\n"))
		if len(problems) > 0 {
			t.Errorf("%q: %v", text, problems)
			continue
		}
		if got := string(root.Get("a").Canonical()); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2)
	for _, tc := range []struct{ name, file, text, want string }{
		{"not UTF-8", "a.yaml", "a: \xff", "a.yaml:1:4: error: not UTF-8 text: save the file as UTF-8 [syntax-invalid]"},
		{"YAML that ends in the middle", "a.yaml", "a: 1\nb: [1, 2\n", "a.yaml:2:4: error: not YAML: sequence end token ']' not found: check indentation and quotes [syntax-invalid]"},
		{"a colon too many", "a.yaml", "a: 1\nb: c: d\n", "a.yaml:2:"},
		{"JSON with a comma too many", "a.json", "{\"a\": 1,\n}", "a.json:2:1: error: not JSON: a name in quotes is expected"},
		{"JSON with a single quote", "a.json", "{'a': 1}", "a.json:1:2: error: not JSON: a name in quotes is expected"},
		{"JSON with more behind it", "a.json", "{} x", "a.json:1:4: error: not JSON: text after the end"},
		{"a number that is none", "a.json", "[01]", "a.json:1:2: error: not JSON: not a number"},
		{"twice", "a.yaml", "a:\n  b: 1\n  b: 2\n", `a.yaml:3:3: error: "b" is there twice, first in line 2: remove one [syntax-duplicate-key]`},
		{"twice in JSON", "a.json", `{"b": 1, "b": 2}`, `a.json:1:10: error: "b" is there twice, first in line 1`},
		{"a list as a name", "a.yaml", "? [a]\n: b\n", "a.yaml:1:3: error: a name must be text"},
		{"too deep", "a.yaml", "a: " + deep, "nested deeper than 96 levels"},
		{"too deep in JSON", "a.json", deep, "nested deeper than 96 levels"},
		{"too long", "a.yaml", strings.Repeat("x", MaxBytes+1), "at most 4194304 are read"},
		{"infinite", "a.yaml", "a: .inf", ".inf is a number that JSON does not have"},
		{"an exponent", "a.yaml", "a: 1e1000", "too large or too small a number"},
		{"merging a text", "a.yaml", "a:\n  <<: x\n", "<< must stand before named fields"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := Parse(tc.file, []byte(tc.text))
			if len(problems) != 1 || !strings.Contains(problems[0].String(), tc.want) {
				t.Errorf("got %v, want one with %q", problems, tc.want)
			}
			if !rule.Bad(problems) {
				t.Error("is no error")
			}
		})
	}
}

func TestMergeKeys(t *testing.T) {
	root, problems := Parse("a.yaml", []byte("base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\na:\n  <<: [*b, *m]\n  x: 0\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got, want := string(root.Get("a").Canonical()), `{"x":0,"y":2,"z":4}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEqualAndCanonical(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{`{"a": 1, "b": [true, null]}`, `{"b": [true, null], "a": 1}`, true},
		{`1`, `1.0`, true}, {`10`, `1e1`, true}, {`1`, `"1"`, false}, {`[1, 2]`, `[2, 1]`, false},
		{`9007199254740992`, `9007199254740993`, false}, {`{"a": null}`, `{}`, false},
	} {
		a, _ := Parse("a.json", []byte("["+tc.a+"]"))
		b, _ := Parse("b.json", []byte("["+tc.b+"]"))
		if got := Equal(a, b); got != tc.want {
			t.Errorf("Equal(%s, %s) = %t", tc.a, tc.b, got)
		}
		if got := bytes.Equal(a.Canonical(), b.Canonical()); got != tc.want {
			t.Errorf("canonical texts of %s and %s: equal is %t: %s, %s", tc.a, tc.b, got, a.Canonical(), b.Canonical())
		}
	}
}

// TestMerge is RFC 7386's own table, in which arrays and scalars replace.
func TestMerge(t *testing.T) {
	for _, tc := range []struct{ base, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`}, {`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`}, {`["a","b"]`, `["c","d"]`, `["c","d"]`}, {`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`}, {`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		base, _ := Parse("a.json", []byte(tc.base))
		patch, problems := Parse("b.json", []byte(tc.patch))
		if len(problems) > 0 { // a scalar is no document
			patch = Text("bar")
		}
		if got := string(Merge(base, patch).Canonical()); got != tc.want {
			t.Errorf("merge %s with %s: got %s, want %s", tc.base, tc.patch, got, tc.want)
		}
		if got := string(base.Canonical()); !json.Valid([]byte(got)) || len(got) != len(tc.base) {
			t.Errorf("the base was changed: %s, was %s", got, tc.base)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a: [1, {b: c}]\n")
	f.Add("a: &x {b: 1}\nc: *x\nd: {<<: *x}\n")
	f.Add(`{"a": [1.5e3, "\ud83d\ude00", null], "": {}}`)
	f.Add("a: |\n  x\n   y\n\n  z\nb: >-\n  folded\n  text\nc: \"\\t\\u2028\"\n")
	f.Add("- - - a\n- {}\n- []\n- 'yes'\n- \"1e5\"\n- 2020-01-01\n- ' lead'\n- \"trail \"\n- '#c'\n- a: b\n  c: d\n")
	files, _ := filepath.Glob("../testdata/*/*.yaml")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"a.yaml", "a.json"} {
			root, problems := Parse(name, []byte(text))
			if root == nil || rule.Bad(problems) {
				continue
			}
			want := string(root.Canonical())
			for name, out := range map[string][]byte{"b.yaml": root.YAML(), "b.json": root.JSON(), "c.json": root.Canonical()} {
				if !root.Is(Object) && !root.Is(List) && name != "b.yaml" {
					continue
				}
				again, problems := Parse(name, out)
				if len(problems) > 0 {
					t.Fatalf("%s is not read again: %v\n%s", name, problems, out)
				}
				if got := string(again.Canonical()); got != want {
					t.Errorf("%s: got %s, want %s\n%s", name, got, want, out)
				}
			}
			root.Walk(func(n *Node) bool {
				if found, ok := root.Find(n.Pointer()); !ok && n.Parent() != nil || ok && fmt.Sprint(found.Kind) != fmt.Sprint(n.Kind) {
					t.Errorf("%q is not found by its pointer", n.Pointer())
				}
				return true
			})
		}
	})
}
