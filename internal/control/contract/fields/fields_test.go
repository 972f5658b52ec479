package fields_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/control/contract/fields"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

var update = flag.Bool("update", false, "write what the trees are into testdata; every changed line is to be understood")

// parse makes a schema of text; files of shared schemas have them in a field definitions.
func parse(t testing.TB, format, text string) *schema.Schema {
	t.Helper()
	if schema.KindOf(format) == schema.Protobuf {
		return schema.New(format, tree.Text(text), nil)
	}
	n, problems := tree.Parse("schema", []byte(text))
	if n == nil {
		t.Fatal(problems)
	}
	return schema.New(format, n.Get("schema"), func(name string) *tree.Node { return n.At("shared", name) })
}

// draw writes a tree as text.
func draw(tr *fields.Tree) string {
	if tr == nil {
		return "nothing\n"
	}
	var b strings.Builder
	var one func(f *fields.Field, depth int)
	one = func(f *fields.Field, depth int) {
		fmt.Fprintf(&b, "%s%s: %s", strings.Repeat("  ", depth), f.Name, f.Type)
		for _, words := range f.About {
			b.WriteString("; " + words)
		}
		for word, is := range map[string]bool{" required": f.Required} {
			if is {
				b.WriteString(word)
			}
		}
		if f.Variant {
			b.WriteString(" variant")
		}
		if f.Personal {
			b.WriteString(" personal")
		}
		if f.Deprecated {
			b.WriteString(" deprecated")
		}
		for _, w := range []struct{ name, value string }{{"since", f.Since}, {"title", f.Title}, {"example", f.Example}, {"default", f.Default}, {"cut", string(f.Cut)}, {"tags", strings.Join(f.Tags, ",")}} {
			if w.value != "" {
				b.WriteString(" " + w.name + "=" + w.value)
			}
		}
		if f.Description != "" {
			fmt.Fprintf(&b, " (%s)", strings.ReplaceAll(f.Description, "\n", "/"))
		}
		fmt.Fprintf(&b, " @%s\n", f.Path)
		for _, child := range f.Fields {
			one(child, depth+1)
		}
	}
	one(&tr.Root, 0)
	if tr.Cut {
		b.WriteString("cut\n")
	}
	return b.String()
}

// TestTrees draws the trees of the schemas in testdata and compares them with the files beside them.
func TestTrees(t *testing.T) {
	formats := map[string]string{".json": "application/schema+json;version=draft-07", ".draft4": "application/schema+json;version=draft-04", ".2020": "application/schema+json;version=2020-12",
		".openapi": "application/vnd.oai.openapi;version=3.0.0", ".avsc": "application/vnd.apache.avro;version=1.9.0", ".proto": "application/vnd.google.protobuf;version=3"}
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		format, ok := formats[filepath.Ext(file)]
		if !ok {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := draw(fields.Of(parse(t, format, string(text))))
		if *update {
			if err := os.WriteFile(file+".txt", []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file + ".txt")
		if err != nil || got != string(want) {
			t.Errorf("%s (%v):\n%s\nwant\n%s", file, err, got, want)
		}
	}
}

// TestSameShape describes one record three times: names, paths, nesting and what is required are the same.
func TestSameShape(t *testing.T) {
	shape := func(tr *fields.Tree) string {
		var b strings.Builder
		tr.All(func(f *fields.Field) bool {
			fmt.Fprintln(&b, f.Path, strings.HasPrefix(f.Type, "array"), strings.HasPrefix(f.Type, "map"), f.Description)
			return true
		})
		return b.String()
	}
	jsonSchema := shape(fields.Of(parse(t, "", `{schema: {type: object, properties: {id: {type: string, description: Which}, lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}, notes: {type: object, additionalProperties: {type: string}}}}}`)))
	avro := shape(fields.Of(parse(t, "application/vnd.apache.avro", `{schema: {type: record, name: R, fields: [{name: id, type: string, doc: Which}, {name: lines, type: {type: array, items: {type: record, name: L, fields: [{name: sku, type: string}]}}}, {name: notes, type: {type: map, values: string}}]}}`)))
	protobuf := shape(fields.Of(parse(t, "application/vnd.google.protobuf", "syntax = \"proto3\";\nmessage R {\n  // Which\n  string id = 1;\n  repeated L lines = 2;\n  map<string, string> notes = 3;\n}\nmessage L { string sku = 1; }\n")))
	if jsonSchema != avro || avro != protobuf || !strings.Contains(avro, "lines[].sku") {
		t.Errorf("the shapes differ:\n%s\n%s\n%s", jsonSchema, avro, protobuf)
	}
}

// TestBounds builds schemas that have no end, or too many fields.
func TestBounds(t *testing.T) {
	deep := strings.Repeat(`{type: object, properties: {a: `, 40) + `{type: string}` + strings.Repeat(`}}`, 40)
	wide := strings.Builder{}
	for i := range fields.MaxFields + 100 {
		fmt.Fprintf(&wide, "f%d: {type: string}, ", i)
	}
	// Each level has the next one twice: a tree of 2^30.
	doubled := "{schema: {$ref: '#/components/schemas/s0'}, shared: {"
	for i := range 30 {
		doubled += fmt.Sprintf("s%d: {type: object, properties: {a: {$ref: '#/components/schemas/s%d'}, b: {$ref: '#/components/schemas/s%d'}}}, ", i, i+1, i+1)
	}
	doubled += "s30: {type: string}}}"
	alternatives := strings.ReplaceAll(strings.ReplaceAll(doubled, "type: object, properties: {a: ", "oneOf: ["), "b: {", "{")
	alternatives = strings.ReplaceAll(alternatives, "'}}},", "'}]},")
	for name, text := range map[string]string{"deep": "{schema: " + deep + "}", "wide": "{schema: {properties: {" + wide.String() + "z: {}}}}", "doubled": doubled, "alternatives": alternatives} {
		n, problems := tree.Parse("", []byte(text))
		if n == nil {
			t.Fatal(name, problems)
		}
		tr := fields.Of(parse(t, "", text))
		count, deepest := 0, 0
		tr.All(func(f *fields.Field) bool {
			count++
			deepest = max(deepest, strings.Count(f.Path, ".")+strings.Count(f.Path, "|"))
			return true
		})
		if !tr.Cut || count > fields.MaxFields || deepest > fields.MaxDepth {
			t.Errorf("%s: %d fields, %d deep, cut: %t", name, count, deepest, tr.Cut)
		}
	}
}

// FuzzOf makes trees of anything: they end, are bounded, and say the same twice.
func FuzzOf(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for format := range uint8(4) {
			f.Add(format, string(text))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		format := []string{"", "application/vnd.apache.avro", "application/vnd.google.protobuf", "application/vnd.oai.openapi;version=3.0.0"}[which%4]
		if len(text) > 1<<14 {
			return
		}
		var s *schema.Schema
		if which%4 == 2 {
			s = schema.New(format, tree.Text(text), nil)
		} else {
			n, _ := tree.Parse("", []byte(text))
			root := n.Get("schema")
			if root == nil {
				root = n
			}
			s = schema.New(format, root, func(name string) *tree.Node { return n.At("shared", name) })
		}
		tr := fields.Of(s)
		if tr == nil {
			return
		}
		count := 0
		tr.All(func(one *fields.Field) bool {
			count++
			if one.Path == "" || len(one.About) > 20 || len(one.Description) > 4000 || len(one.Type) > 2000 {
				t.Errorf("a field is %+v", one)
			}
			return true
		})
		if count > fields.MaxFields {
			t.Errorf("%d fields", count)
		}
		if again := fields.Of(s); draw(again) != draw(tr) {
			t.Error("another tree the second time")
		}
	})
}

// TestCircles are schemas that are themselves, and nothing else.
func TestCircles(t *testing.T) {
	for name, text := range map[string]string{
		"one alternative": `{schema: {$ref: '#/components/schemas/a'}, shared: {a: {oneOf: [{$ref: '#/components/schemas/a'}]}}}`,
		"two alternate":   `{schema: {$ref: '#/components/schemas/a'}, shared: {a: {anyOf: [{$ref: '#/components/schemas/b'}, {type: 'null'}]}, b: {anyOf: [{$ref: '#/components/schemas/a'}]}}}`,
		"all of itself":   `{schema: {$ref: '#/components/schemas/a'}, shared: {a: {allOf: [{$ref: '#/components/schemas/a'}], properties: {x: {$ref: '#/components/schemas/a'}}}}}`,
		"array of itself": `{schema: {$ref: '#/components/schemas/a'}, shared: {a: {type: [array, object], items: {$ref: '#/components/schemas/a'}, additionalProperties: {$ref: '#/components/schemas/a'}}}}`,
	} {
		tr := fields.Of(parse(t, "", text))
		cut := tr.Root.Cut == fields.Recursion
		tr.All(func(f *fields.Field) bool { cut = cut || f.Cut == fields.Recursion; return true })
		if !cut {
			t.Errorf("%s is not cut:\n%s", name, draw(tr))
		}
	}
}
