package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control/contract/tree"
)

const (
	avroFormat  = "application/vnd.apache.avro;version=1.9.0"
	protoFormat = "application/vnd.google.protobuf;version=3"
)

// read makes a schema from text; other schemas are found in shared.
func read(t testing.TB, format, text string, shared ...string) *Schema {
	t.Helper()
	if KindOf(format) == Protobuf {
		return New(format, tree.Text(text), nil)
	}
	parse := func(text string) *tree.Node {
		n, problems := tree.Parse("schema.yaml", []byte(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return n
	}
	named := map[string]*tree.Node{}
	for _, s := range shared {
		for _, f := range parse(s).Entries() {
			named[f.Name] = f.Value
		}
	}
	return New(format, parse(text), func(name string) *tree.Node { return named[name] })
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ name, format, schema, value, want string }{
		{"draft-07 by default", "", "{type: object, properties: {a: {exclusiveMinimum: 3}}}", "{a: 3}", "a 3 is less than the minimum"},
		{"fits", "", "{type: object, required: [a]}", "{a: 1}", ""},
		{"the nearest of anyOf", "", "{anyOf: [{type: string}, {type: object, properties: {a: {type: integer}}}]}", "{a: x}", `a must be integer, not "x"`},
		{"two of oneOf", "", "{oneOf: [{type: integer}, {minimum: 3}]}", "4", "fits more than one schema of oneOf"},
		{"a format", "", "{type: string, format: date-time}", "yesterday", "must have the format date-time"},
		{"a draft by its URL", "", `{"$schema": "https://json-schema.org/draft/2020-12/schema", prefixItems: [{type: string}]}`, "[1]", "0 must be string, not 1"},
		{"a draft by the format", "application/schema+yaml;version=draft-04", "{type: integer, minimum: 3, exclusiveMinimum: true}", "3", "less than the minimum"},
		{"null in OpenAPI", "application/vnd.oai.openapi;version=3.0.0", "{type: string, nullable: true, enum: [a]}", "null", ""},
		{"no null in AsyncAPI", "", "{type: string, nullable: true}", "null", "must be string, not null"},
		{"an exclusive bound in OpenAPI", "application/vnd.oai.openapi;version=3.0.0", "{type: integer, minimum: 3, exclusiveMinimum: true}", "3", "less than the minimum"},
		{"an expression with a look-around admits", "", "{type: string, pattern: '^(?=x)'}", "y", ""},
		{"the rest of it does not", "", "{type: string, minLength: 2, pattern: '^(?=x)'}", "y", "is too short"},
		{"ECMA's escapes", "", `{type: string, pattern: '^[\/\-a]\u0041$'}`, "-A", ""},
		{"Avro", avroFormat, "{type: record, name: A, fields: [{name: a, type: int}]}", "{a: x}", "a: "},
		{"Avro, a field is missing", avroFormat, "{type: record, name: A, fields: [{name: a, type: int}]}", "{}", "does not fit the Avro schema"},
		{"Avro, a default is missing", avroFormat, "{type: record, name: A, fields: [{name: a, type: int, default: 1}]}", "{}", ""},
		{"Avro, a plain union", avroFormat, `{type: record, name: A, fields: [{name: a, type: ["null", string]}]}`, "{a: x}", ""},
		{"Avro, a tagged union", avroFormat, `{type: record, name: A, fields: [{name: a, type: ["null", string]}]}`, "{a: {string: x}}", ""},
		{"Avro as text", avroFormat, `'{"type": "record", "name": "A", "fields": [{"name": "a", "type": "int"}]}'`, "{a: 1}", ""},
		{"Protobuf", protoFormat, "syntax = \"proto3\";\nmessage A { int32 a = 1; }", "{a: 5}", ""},
		{"Protobuf, unknown", protoFormat, "syntax = \"proto3\";\nmessage A { int32 a = 1; }", "{b: 5}", `unknown field "b"`},
		{"Protobuf, well-known types", protoFormat, "syntax = \"proto3\";\nimport \"google/protobuf/timestamp.proto\";\nmessage A { google.protobuf.Timestamp at = 1; }", "{at: 2026-01-01T00:00:00Z}", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, findings := Compile(read(t, tc.format, tc.schema), NewBudget())
			if v == nil {
				t.Fatal(findings)
			}
			value, problems := tree.Parse("value.yaml", []byte(tc.value))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got := v.Validate(value)
			if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.Contains(got[0].Message, tc.want)) {
				t.Errorf("got %v, want %q", got, tc.want)
			}
		})
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name, format, schema, want string
		limit, unchecked           bool
	}{
		{name: "a type", schema: "{properties: {a: {type: strin}}}", want: "properties.a.type"},
		{name: "an expression", schema: "{pattern: '['}", want: `pattern "[" is no regular expression`},
		{name: "a look-around", schema: "{pattern: '(?!a)b'}", want: "looks around or back", unchecked: true},
		{name: "a list", schema: "[1]", want: "must be an object, not a list"},
		{name: "Avro", format: avroFormat, schema: "{type: record, name: A}", want: "is not an Avro schema"},
		{name: "Avro that is not read", format: avroFormat, schema: "{$ref: 'https://example.com'}", want: "not read", limit: true},
		{name: "Protobuf", format: protoFormat, schema: "syntax = \"proto3\";\nmessage A {\n  strin a = 1;\n}", want: "in line 3 of it"},
		{name: "Protobuf that imports", format: protoFormat, schema: "syntax = \"proto3\";\nimport \"/etc/passwd\";\nmessage A {}", want: "line 2"},
		{name: "Protobuf without a message", format: protoFormat, schema: "syntax = \"proto3\";", want: "has no message"},
		{name: "Protobuf that is nested", format: protoFormat, schema: strings.Repeat("message A { ", 100), want: "nested deeper", limit: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got := Compile(read(t, tc.format, tc.schema), NewBudget())
			if len(got) != 1 || !strings.Contains(got[0].Message, tc.want) || got[0].Limit != tc.limit || got[0].Unchecked != tc.unchecked {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
		})
	}
	budget := NewBudget()
	for range MaxSchemas {
		budget.take()
	}
	if _, got := Compile(read(t, "", "{}"), budget); len(got) != 1 || !got[0].Limit {
		t.Errorf("over the budget: got %v", got)
	}
}

func TestHash(t *testing.T) {
	const shared = "Id: {type: string, title: an id}\n"
	same := []*Schema{
		read(t, "", "{type: object, properties: {id: {$ref: '#/components/schemas/Id'}}}", shared),
		read(t, "", "{properties: {id: {$ref: '#/components/schemas/Id'}}, description: prose, type: object, x-y: 1}", shared),
	}
	other := []*Schema{
		read(t, "", "{type: object, properties: {id: {$ref: '#/components/schemas/Id'}}}", "Id: {type: integer}"),
		read(t, "", "{type: object, properties: {id: {type: string}, description: {type: string}}}"),
		read(t, avroFormat, "{type: record, name: A, fields: []}"),
	}
	if a, b := same[0].Hash(), same[1].Hash(); a == "" || a != b || !Same(same[0], same[1]) {
		t.Errorf("got %q and %q, want the same", a, b)
	}
	seen := map[string]bool{same[0].Hash(): true}
	for _, s := range other {
		if seen[s.Hash()] || s.Hash() == "" {
			t.Errorf("%s is there already, or empty", s.Hash())
		}
		seen[s.Hash()] = true
	}
	a := read(t, protoFormat, "syntax = \"proto3\";\n// prose\nmessage A { int32 a = 1; }")
	b := read(t, protoFormat, "syntax = \"proto3\"; message A { int32   a = 1; }")
	if !Same(a, b) {
		t.Error("Protobuf: comments and spaces count")
	}
}

// TestCanRead: each rule with a pair that breaks it, and read the other way round, or
// a neighbour, that does not.
func TestCanRead(t *testing.T) {
	object := func(properties string) string { return "{type: object, properties: {" + properties + "}}" }
	for _, tc := range []struct {
		name, format, writer, reader, want string // want: change and path of the strict differences
		reverse                            string // the same with writer and reader swapped; "-" for not looked at
	}{
		{name: "the same", writer: "{type: string}", reader: "{type: string, description: x}"},
		{name: "a type", writer: "{type: string}", reader: "{type: integer}", want: "type", reverse: "type"},
		{name: "integer is a number", writer: "{type: integer}", reader: "{type: number}", reverse: "type"},
		{name: "null too", writer: "{type: [string, 'null']}", reader: "{type: string}", want: "type"},
		{name: "no type at all", writer: "{}", reader: "{type: string}", want: "type"},
		{name: "const says its type", writer: "{const: a}", reader: "{type: string}", reverse: "values"},
		{name: "enum grew", writer: "{enum: [a, b]}", reader: "{enum: [a]}", want: "values"},
		{name: "any text for enum", writer: "{type: string}", reader: "{type: string, enum: [a]}", want: "values"},
		{name: "required", writer: object("a: {type: string}"), reader: "{type: object, required: [a], properties: {a: {type: string}}}", want: "required a"},
		{name: "a field of another type, deep", writer: object("a: {type: object, properties: {b: {type: array, items: {type: string}}}}"), reader: object("a: {type: object, properties: {b: {type: array, items: {type: integer}}}}"), want: "type a.b[]", reverse: "type a.b[]"},
		{name: "a field is gone: told, not strict", writer: object(""), reader: object("a: {type: string}")},
		{name: "a required field is gone", writer: object(""), reader: "{type: object, required: [a], properties: {a: {type: string}}}", want: "missing a, required a"},
		{name: "an unknown field, open", writer: object("a: {type: string}"), reader: object("")},
		{name: "an unknown field, closed", writer: "{type: object, additionalProperties: false, properties: {a: {type: string}}}", reader: "{type: object, additionalProperties: false}", want: "unknown a"},
		{name: "closed", writer: "{type: object}", reader: "{type: object, additionalProperties: false}", want: "closed"},
		{name: "further fields of a type", writer: "{type: object, additionalProperties: {type: string}}", reader: "{type: object, additionalProperties: {type: integer}}", want: "type *", reverse: "type *"},
		{name: "a field falls under the others", writer: "{type: object, additionalProperties: false, properties: {a: {type: string}}}", reader: "{type: object, additionalProperties: {type: integer}}", want: "type a", reverse: "-"},
		{name: "patterns of names", writer: "{type: object, additionalProperties: false, patternProperties: {^a: {type: string}}}", reader: "{type: object, patternProperties: {^a: {type: integer}}}", want: "type /^a/", reverse: "-"},
		{name: "a minimum", writer: "{type: integer}", reader: "{type: integer, minimum: 1}", want: "bounds"},
		{name: "a lower minimum", writer: "{type: integer, minimum: 2}", reader: "{type: integer, minimum: 1}", reverse: "bounds"},
		{name: "exclusive is narrower", writer: "{type: number, exclusiveMinimum: 1}", reader: "{type: number, minimum: 1}", reverse: "bounds"},
		{name: "a maximum", writer: "{type: number, maximum: 5}", reader: "{type: number, exclusiveMaximum: 5}", want: "bounds"},
		{name: "multiples", writer: "{type: integer, multipleOf: 10}", reader: "{type: integer, multipleOf: 5}", reverse: "bounds"},
		{name: "lengths", writer: "{type: string, maxLength: 5}", reader: "{type: string, maxLength: 10}", reverse: "bounds"},
		{name: "items", writer: "{type: array, minItems: 2, maxItems: 3, uniqueItems: true, items: {type: string}}", reader: "{type: array, minItems: 1, maxItems: 4}", reverse: "bounds, bounds, bounds, type []"},
		{name: "a pattern", writer: "{type: string}", reader: "{type: string, pattern: ^a}", want: "format"},
		{name: "a format", writer: "{type: string, format: date}", reader: "{type: string, format: date-time}", want: "format", reverse: "format"},
		{name: "tuples", writer: "{type: array, items: [{type: string}, {type: integer}], additionalItems: false}", reader: "{type: array, items: [{type: string}, {type: string}]}", want: "type [1]", reverse: "-"},
		{name: "allOf of the reader", writer: object("a: {type: string}"), reader: "{allOf: [{type: object}, {properties: {a: {type: integer}}}]}", want: "type a", reverse: "type a"},
		{name: "allOf of the writer", writer: "{allOf: [{type: object, required: [a]}, {properties: {a: {type: string}}}]}", reader: "{type: object, required: [a], properties: {a: {type: string}}}"},
		{name: "one of them fits", writer: "{type: string}", reader: "{anyOf: [{type: integer}, {type: string}]}", reverse: "type"},
		{name: "one alternative more", writer: "{oneOf: [{type: string}, {type: integer}, {type: boolean}]}", reader: "{oneOf: [{type: string}, {type: integer}]}", want: "type"},
		{name: "alternatives of objects", writer: "{oneOf: [{type: object, required: [k], properties: {k: {const: a}}}, {type: object, required: [k], properties: {k: {const: b}}}]}", reader: "{oneOf: [{type: object, required: [k], properties: {k: {const: a}}}, {type: object, required: [k], properties: {k: {const: b}}}, {type: object, required: [k], properties: {k: {const: c}}}]}", reverse: "type"},
		{name: "several types, several alternatives", writer: "{type: [string, integer]}", reader: "{anyOf: [{type: string}, {type: integer}]}"},
		{name: "not", writer: "{type: string}", reader: "{type: string, not: {const: a}}", want: "rule"},
		{name: "a condition", writer: "{type: object}", reader: "{type: object, if: {required: [a]}, then: {required: [b]}}", want: "rule"},
		{name: "a condition that stays", writer: "{type: object, required: [c], if: {required: [a]}, then: {required: [b]}}", reader: "{type: object, if: {required: [a]}, then: {required: [b]}}", reverse: "required c"},
		{name: "nothing is admitted", writer: "{type: string}", reader: "false", want: "unknown", reverse: ""},

		{name: "Avro: a field with a default", format: avroFormat, writer: "{type: record, name: A, fields: [{name: a, type: int}]}", reader: "{type: record, name: A, fields: [{name: a, type: int}, {name: b, type: int, default: 0}]}"},
		{name: "Avro: a field without", format: avroFormat, writer: "{type: record, name: A, fields: [{name: a, type: int}]}", reader: "{type: record, name: A, fields: [{name: a, type: int}, {name: b, type: int}]}", want: "required b"},
		{name: "Avro: promoted", format: avroFormat, writer: "{type: record, name: A, fields: [{name: a, type: int}]}", reader: "{type: record, name: A, fields: [{name: a, type: long}]}", reverse: "type a"},
		{name: "Avro: a symbol", format: avroFormat, writer: "{type: enum, name: E, symbols: [A, B]}", reader: "{type: enum, name: E, symbols: [A]}", want: "values"},

		{name: "Protobuf: a field more", format: protoFormat, writer: `syntax = "proto3"; message A { int32 a = 1; }`, reader: `syntax = "proto3"; message A { int32 a = 1; string b = 2; }`},
		{name: "Protobuf: another type", format: protoFormat, writer: `syntax = "proto3"; message A { int32 a = 1; }`, reader: `syntax = "proto3"; message A { string a = 1; }`, want: "type a", reverse: "type a"},
		{name: "Protobuf: wider", format: protoFormat, writer: `syntax = "proto3"; message A { int32 a = 1; }`, reader: `syntax = "proto3"; message A { int64 a = 1; }`, reverse: "type a"},
		{name: "Protobuf: another number", format: protoFormat, writer: `syntax = "proto3"; message A { int32 a = 1; }`, reader: `syntax = "proto3"; message A { int32 a = 2; }`, want: "type a", reverse: "type a"},
		{name: "Protobuf: another name is no matter of bytes", format: protoFormat, writer: `syntax = "proto3"; message A { int32 a = 1; }`, reader: `syntax = "proto3"; message A { int32 b = 1; }`},
		{name: "Protobuf: repeated", format: protoFormat, writer: `syntax = "proto3"; message A { repeated string a = 1; }`, reader: `syntax = "proto3"; message A { string a = 1; }`, want: "type a", reverse: "type a"},
		{name: "Protobuf: required", format: protoFormat, writer: `syntax = "proto2"; message A { optional string a = 1; }`, reader: `syntax = "proto2"; message A { required string a = 1; }`, want: "required a"},
		{name: "Protobuf: inside", format: protoFormat, writer: `syntax = "proto3"; message A { B b = 1; } message B { sint32 c = 1; }`, reader: `syntax = "proto3"; message A { B b = 1; } message B { int32 c = 1; }`, want: "type b.c", reverse: "type b.c"},
		{name: "Protobuf: a closed enum", format: protoFormat, writer: `syntax = "proto2"; message A { optional E e = 1; } enum E { X = 0; Y = 1; }`, reader: `syntax = "proto2"; message A { optional E e = 1; } enum E { X = 0; }`, want: "values e"},
		{name: "Protobuf: an open enum", format: protoFormat, writer: `syntax = "proto3"; message A { E e = 1; } enum E { X = 0; Y = 1; }`, reader: `syntax = "proto3"; message A { E e = 1; } enum E { X = 0; }`},
		{name: "Protobuf: it refers to itself", format: protoFormat, writer: `syntax = "proto3"; message A { A a = 1; int32 b = 2; }`, reader: `syntax = "proto3"; message A { A a = 1; bool b = 2; }`, want: "type b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, r := read(t, tc.format, tc.writer), read(t, tc.format, tc.reader)
			if got := strictly(CanRead(w, r)); got != tc.want {
				t.Errorf("got %q, want %q: %+v", got, tc.want, CanRead(w, r))
			}
			if tc.reverse == "-" {
				return
			}
			if got := strictly(CanRead(r, w)); got != tc.reverse {
				t.Errorf("the other way round: got %q, want %q: %+v", got, tc.reverse, CanRead(r, w))
			}
		})
	}
}

func strictly(list []Difference) string {
	var out []string
	for _, d := range list {
		if d.Strict {
			out = append(out, strings.TrimSpace(string(d.Change)+" "+d.Path))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// TestOpenContent: an open schema lets anybody write anything under a name that it
// does not describe. That is told, with the way out, and counts for nobody who does
// not ask for it.
func TestOpenContent(t *testing.T) {
	w, r := read(t, "", "{type: object}"), read(t, "", "{type: object, properties: {a: {type: string}}}")
	got := CanRead(w, r)
	if strictly(got) != "" || !slices.ContainsFunc(got, func(d Difference) bool {
		return d.Change == ChangeUndescribed && strings.Contains(d.Message, "additionalProperties: false") && d.Reader.Pointer() == "/properties/a"
	}) {
		t.Errorf("got %+v", got)
	}
}

func TestCompatible(t *testing.T) {
	v1 := read(t, "", "{type: object, properties: {a: {type: integer}}, required: [a]}")
	v2 := read(t, "", "{type: object, properties: {a: {type: number}}, required: [a]}")
	v3 := read(t, "", "{type: object, properties: {a: {type: number}, b: {type: string}}}")
	for _, tc := range []struct {
		mode  Mode
		older []*Schema
		newer *Schema
		want  string
	}{
		{None, []*Schema{v2}, v1, ""},
		{Backward, []*Schema{v1}, v2, ""},
		{Backward, []*Schema{v2}, v1, "backward 0 type a"},
		{Forward, []*Schema{v2}, v1, ""},
		{Forward, []*Schema{v1}, v2, "forward 0 type a"},
		{Full, []*Schema{v1}, v2, "forward 0 type a"},
		{Forward, []*Schema{v1, v2}, v3, "forward 1 required a"},
		{ForwardTransitive, []*Schema{v1, v2}, v3, "forward 1 required a, forward 0 required a, forward 0 type a"},
		{Backward, []*Schema{v3, v1}, v1, ""},
		{BackwardTransitive, []*Schema{v3, v1}, v1, "backward 0 required a, backward 0 type a"},
		{FullTransitive, nil, v1, ""},
	} {
		var got []string
		for _, i := range Compatible(tc.mode, tc.older, tc.newer) {
			way := "forward"
			if i.Backward {
				way = "backward"
			}
			got = append(got, fmt.Sprintf("%s %d %s %s", way, i.Older, i.Change, i.Path))
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.mode, got, tc.want)
		}
	}
}

func TestParseReference(t *testing.T) {
	for text, want := range map[string]string{
		"schema-registry:///subjects/orders-value/versions/3":        "orders-value 3 0",
		"schema-registry:///schemas/ids/42":                          "  42",
		"https://schemas.example.com/subjects/a%2Fb/versions/latest": "a/b latest 0",
		"https://schemas.example.com/apis/ccompat/v7/schemas/ids/7":  "  7",
		"https://schemas.example.com/subjects/a/versions/1/schema":   "a 1 0",
		"https://schemas.example.com/subjects/a/versions/first":      "",
		"https://schemas.example.com/schemas/ids/x":                  "",
		"https://schemas.example.com/schemas/ids/-1":                 "",
		"file:///schemas/ids/1":                                      "",
		"schemas/ids/1":                                              "",
		"https://example.com/%zz":                                    "",
	} {
		ref, ok := ParseReference(text)
		got := fmt.Sprintf("%s %s %d", ref.Subject, ref.Version, ref.ID)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q, %t, want %q", text, got, ok, want)
		}
	}
}

func FuzzCanRead(f *testing.F) {
	f.Add("{type: object, properties: {a: {type: string}}}", "{type: object, required: [a]}", uint8(0))
	f.Add("{allOf: [{anyOf: [{const: 1}]}, {$ref: '#/components/schemas/self'}]}", "{oneOf: [{items: [{}, {}]}, {not: {}}]}", uint8(0))
	f.Add("{type: record, name: A, fields: [{name: a, type: [int, A]}]}", "{type: record, name: A, fields: []}", uint8(1))
	f.Add("syntax = \"proto3\"; message A { A a = 1; map<string, B> b = 2; } message B {}", "syntax = \"proto2\"; message A { required group G = 1 {} }", uint8(2))
	f.Fuzz(func(t *testing.T, a, b string, kind uint8) {
		format := []string{"", avroFormat, protoFormat}[kind%3]
		make := func(text string) *Schema {
			if format == protoFormat {
				return New(format, tree.Text(text), nil)
			}
			n, _ := tree.Parse("a.yaml", []byte(text))
			if n == nil {
				t.Skip()
			}
			return New(format, n, func(name string) *tree.Node {
				if name == "self" {
					return n
				}
				return nil
			})
		}
		x, y := make(a), make(b)
		for _, d := range CanRead(x, y) {
			if d.Message == "" {
				t.Errorf("%+v", d)
			}
		}
		if got := CanRead(x, x); strictly(got) != "" && x.Kind() != Avro {
			if v, _ := Compile(x, NewBudget()); v != nil {
				t.Errorf("a schema cannot read itself: %+v", got)
			}
		}
		x.Hash()
	})
}
