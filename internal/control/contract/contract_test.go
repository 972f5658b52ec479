package contract_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

var update = flag.Bool("update", false, "write the expected files")

// golden compares with a file beside the tests.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func load(t *testing.T, name string) *contract.Document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return contract.Load(name, text, contract.Options{})
}

// parse loads a document that must be good.
func parse(t *testing.T, text string, opts contract.Options) *contract.Document {
	t.Helper()
	d := contract.Load("a.yaml", []byte(text), opts)
	if d.Bad() {
		t.Fatalf("not good: %v", d.Problems)
	}
	return d
}

// TestWrong is the corpus of wrong documents: every problem has its line, column,
// severity, rule and pointer, and says what to do.
func TestWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.*")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	broken := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, ".want") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			name := strings.TrimPrefix(file, "testdata/")
			d := load(t, name)
			var b bytes.Buffer
			for _, p := range d.Problems {
				broken[p.Rule] = true
				if p.Line == 0 || p.Column == 0 || p.Message == "" || p.Fix == "" || p.File != name {
					t.Errorf("incomplete: %+v", p)
				}
				fmt.Fprintf(&b, "%d:%d %s %s %s\n\t%s\n\t→ %s\n", p.Line, p.Column, p.Severity, p.Rule, p.Pointer, p.Message, p.Fix)
			}
			if len(d.Problems) == 0 {
				t.Error("no problem was found")
			}
			golden(t, file+".want", b.Bytes())
		})
	}
	// The corpus breaks every rule that one document in one file can break.
	elsewhere := []string{"syntax-limit", "document-limit", "document-problems", "ref-unreadable", "ref-limit", "schema-limit", "message-example-elsewhere", "asyncapi-name", "asyncapi-shape", "reply-channel", "reply-without-message", "runtime-expression"}
	for _, g := range rule.Groups()[:7] {
		for _, r := range g.Rules {
			if !broken[r.ID] && !slices.Contains(elsewhere, r.ID) {
				t.Errorf("no document of the corpus breaks %s", r.ID)
			}
		}
	}
}

// TestGood reads documents, converts them to 3.0 and reads that again: the same
// model comes out, from YAML and from JSON.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d := load(t, strings.TrimPrefix(file, "testdata/"))
			for _, p := range d.Problems {
				t.Error(p)
			}
			if d.Model == nil {
				t.FailNow()
			}
			emitted := d.Model.Emit(contract.Version30)
			golden(t, file+".3.0", emitted.YAML())
			roundTrip(t, d.Model)
			if again := load(t, strings.TrimPrefix(file, "testdata/")); !bytes.Equal(again.Model.Emit(contract.Version30).YAML(), emitted.YAML()) {
				t.Error("two runs give two texts")
			}
		})
	}
}

// describe writes everything that a model says, so that two can be compared.
func describe(m *contract.Model) string {
	var b strings.Builder
	b.Write(m.Emit(contract.Version31).JSON())
	for _, c := range m.Channels {
		k := c.Kafka
		fmt.Fprintln(&b, c.Name, c.Address, c.Servers, k.Topic, number(k.Partitions), number(k.Replicas), k.CleanupPolicy, number(k.RetentionMillis), number(k.RetentionBytes), m.IsKafka(c))
		for _, message := range c.Messages {
			fmt.Fprintln(&b, " ", message.Name, message.Component, message.ContentType, message.OwnContentType, message.Kafka, message.CloudEvents)
			for _, s := range []*schema.Schema{message.Payload, message.Headers, message.Key} {
				if s != nil {
					fmt.Fprintln(&b, "   ", s.Kind(), s.Format, s.Hash())
				}
			}
		}
	}
	for _, o := range m.Operations {
		fmt.Fprintln(&b, o.Name, o.Action, o.Channel, o.Messages)
	}
	fmt.Fprintln(&b, m.Rights())
	return b.String()
}

func number(i *int64) string {
	if i == nil {
		return "-"
	}
	return fmt.Sprint(*i)
}

func roundTrip(t *testing.T, m *contract.Model) {
	t.Helper()
	want := describe(m)
	for _, version := range []string{contract.Version30, contract.Version31} {
		n := m.Emit(version)
		for name, text := range map[string][]byte{"emitted.yaml": n.YAML(), "emitted.json": n.JSON()} {
			again := contract.Load(name, text, contract.Options{})
			if again.Model == nil {
				t.Fatalf("%s %s is not read: %v", version, name, again.Problems)
			}
			if got := describe(again.Model); got != want {
				t.Errorf("%s %s is another model: got\n%s\nwant\n%s", version, name, got, want)
			}
		}
	}
}

func TestRights(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"3.x from the provider's view", `
asyncapi: 3.0.0
info: {title: x, version: "1"}
channels:
  out: {address: shop.out}
  in: {address: shop.in}
  both: {}
  none: {address: shop.none}
operations:
  a: {action: send, channel: {$ref: '#/channels/out'}}
  b: {action: receive, channel: {$ref: '#/channels/in'}}
  c: {action: receive, channel: {$ref: '#/channels/both'}}
  d: {action: send, channel: {$ref: '#/channels/both'}}
`, "[{out shop.out true false} {in shop.in false true} {both  true true} {none shop.none false false}]"},
		{"publish of 2.x lets others write", `
asyncapi: 2.0.0
info: {title: x, version: "1"}
channels:
  shop.in: {publish: {message: {payload: {type: string}}}}
  shop.out: {subscribe: {message: {payload: {type: string}}}}
`, "[{shop.in shop.in false true} {shop.out shop.out true false}]"},
		{"a reply goes the other way", `
asyncapi: 3.1.0
info: {title: x, version: "1"}
channels:
  requests: {address: requests}
  replies: {address: replies, messages: {m: {payload: {type: string}}}}
  calls: {address: calls}
  returns: {address: returns, messages: {m: {payload: {type: string}}}}
operations:
  serve: {action: receive, channel: {$ref: '#/channels/requests'}, reply: {channel: {$ref: '#/channels/replies'}}}
  call: {action: send, channel: {$ref: '#/channels/calls'}, reply: {channel: {$ref: '#/channels/returns'}}}
`, "[{requests requests false true} {replies replies true false} {calls calls true false} {returns returns false true}]"},
		{"an operation's trait does not change what it does", `
asyncapi: 3.0.0
info: {title: x, version: "1"}
channels: {out: {address: out}}
operations:
  a: {action: send, channel: {$ref: '#/channels/out'}, traits: [{summary: t}]}
`, "[{out out true false}]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := fmt.Sprint(parse(t, tc.text, contract.Options{}).Rights()); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestView: what subscribers see names the gateway and the exposed topics, nothing
// behind them, and turns no action round.
func TestView(t *testing.T) {
	m := load(t, "good/orders-3.yaml").Model
	seen := m.For(contract.View{
		Servers:  []contract.ViewServer{{Name: "gateway", Host: "kafka.example.org:443", Protocol: "kafka-secure", Schemes: []string{"login"}, SchemaRegistry: "https://schemas.example.org"}},
		Schemes:  []contract.Named{{Name: "login", Node: tree.NewObject().Set("type", tree.Text("scramSha512"))}},
		Channels: map[string]contract.ViewChannel{"orderPlaced": {Address: "orders.placed.v2", Read: true}},
	})
	text := seen.Emit(contract.Version30).YAML()
	golden(t, "testdata/view.yaml", text)
	d := contract.Load("view.yaml", text, contract.Options{})
	if len(d.Problems) > 0 {
		t.Errorf("the view is not good: %v", d.Problems)
	}
	if got, want := fmt.Sprint(d.Rights()), "[{orderPlaced orders.placed.v2 true false}]"; got != want {
		t.Errorf("rights: got %s, want %s", got, want)
	}
	for _, secret := range []string{"kafka.example.com", "shop.orders.v1", "replicas", "schemas.example.com", "orderCommands", "answers"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the view shows %q", secret)
		}
	}
	if m.Channel("orderPlaced").Kafka.Topic != "shop.orders.v1" || m.Channel("orderPlaced").Address != "orders.placed" {
		t.Error("the model itself was changed")
	}
}

func TestOtherFiles(t *testing.T) {
	const root = `
asyncapi: 3.0.0
info: {title: x, version: "1"}
channels:
  placed:
    address: placed
    messages:
      placed: {$ref: 'common/messages.yaml#/Placed'}
      avro:
        payload:
          schemaFormat: application/vnd.apache.avro;version=1.9.0
          schema: {$ref: 'https://example.com/order.avsc'}
operations:
  send: {action: send, channel: {$ref: '#/channels/placed'}}
`
	files := map[string]string{
		"dir/common/messages.yaml":       "Placed:\n  payload: {$ref: 'schemas.json#/Order'}\n",
		"dir/common/schemas.json":        `{"Order": {"type": "object", "properties": {"id": {"$ref": "#/Id"}, "next": {"$ref": "#/Order"}}}, "Id": {"type": "string"}}`,
		"https://example.com/order.avsc": `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}`,
	}
	var asked []string
	resolve := func(location string) ([]byte, error) {
		asked = append(asked, location)
		text, ok := files[location]
		if !ok {
			return nil, errors.New("no such file")
		}
		return []byte(text), nil
	}
	d := contract.Load("dir/a.yaml", []byte(root), contract.Options{Resolve: resolve})
	if len(d.Problems) > 0 {
		t.Fatal(d.Problems)
	}
	slices.Sort(asked)
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q once each", asked, want)
	}
	roundTrip(t, d.Model) // stands for itself now
	if got := len(d.Model.Schemas); got != 2 {
		t.Errorf("got %d shared schemas, want Order and Id", got)
	}

	delete(files, "dir/common/schemas.json")
	files["dir/common/messages.yaml"] = "Placed:\n  payloads: {}\n  payload: {$ref: 'schemas.json#/Order'}\n"
	d = contract.Load("dir/a.yaml", []byte(root), contract.Options{Resolve: resolve})
	var got []string
	for _, p := range d.Problems {
		got = append(got, fmt.Sprintf("%s %s", p.Place, p.Rule))
	}
	want := []string{"dir/a.yaml:8:16 ref-type", "dir/common/messages.yaml:2:3 asyncapi-unknown-field", "dir/common/messages.yaml:3:13 ref-unreadable"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type registry map[string]schema.Registered

func (r registry) Schema(ref schema.Reference) (schema.Registered, error) {
	key := fmt.Sprintf("%s/%s/%d", ref.Subject, ref.Version, ref.ID)
	if s, ok := r[key]; ok {
		return s, nil
	}
	return schema.Registered{}, errors.New("there is no such schema")
}

func TestRegistry(t *testing.T) {
	r := registry{
		"orders-value/3/0": {Kind: schema.Avro, Text: `{"type":"record","name":"Order","fields":[{"name":"line","type":"shop.Line"}]}`, References: []schema.Import{{Name: "shop.Line", Registered: schema.Registered{Kind: schema.Avro, Text: `{"type":"record","name":"shop.Line","fields":[{"name":"n","type":"int"}]}`}}}},
		"//42":             {Kind: schema.Protobuf, Text: "syntax = \"proto3\";\nimport \"line.proto\";\nmessage Order { Line line = 1; }\n", References: []schema.Import{{Name: "line.proto", Registered: schema.Registered{Kind: schema.Protobuf, Text: "syntax = \"proto3\";\nmessage Line { int32 n = 1; }\n"}}}},
	}
	const text = `
asyncapi: 3.0.0
info: {title: x, version: "1"}
channels:
  placed:
    address: placed
    messages:
      avro:
        payload:
          schemaFormat: application/vnd.apache.avro;version=1.9.0
          schema: {$ref: 'schema-registry:///subjects/orders-value/versions/3'}
        examples: [{payload: {line: {n: 1}}}]
      proto:
        payload:
          schemaFormat: application/vnd.google.protobuf;version=3
          schema: {$ref: 'https://schemas.example.com/schemas/ids/42'}
        examples: [{payload: {line: {n: 1}}}]
`
	if d := contract.Load("a.yaml", []byte(text), contract.Options{Registry: r}); len(d.Problems) > 0 {
		t.Errorf("with a registry: %v", d.Problems)
	}
	d := contract.Load("a.yaml", []byte(strings.Replace(strings.Replace(text, "{n: 1}", "{n: x}", 2), "versions/3", "versions/4", 1)), contract.Options{Registry: r})
	var got []string
	for _, p := range d.Problems {
		got = append(got, p.Rule)
	}
	if want := []string{"ref-unreadable", "message-example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: %v", got, want, d.Problems)
	}
	d = contract.Load("a.yaml", []byte(text), contract.Options{})
	if d.Bad() || len(d.Problems) != 2 || d.Problems[0].Rule != "ref-not-read" {
		t.Errorf("without a registry: got %v, want two warnings", d.Problems)
	}
}

// hostile makes documents that are small to send and dear to read.
func hostile() map[string]string {
	head := "asyncapi: 3.0.0\ninfo: {title: x, version: '1'}\n"
	out := map[string]string{
		"deep list":   head + "x-a: " + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000),
		"deep object": strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"open braces": strings.Repeat("{", 2_000_000),
		"long key":    head + "? " + strings.Repeat("a", 1_000_000) + "\n: b\n",
		"huge number": head + "x-a: 1e999999999\nx-b: " + strings.Repeat("9", 100_000),
		"many anchors": func() string {
			var b strings.Builder
			b.WriteString(head + "x-a0: &a0 [x]\n")
			for i := range 60 {
				fmt.Fprintf(&b, "x-a%d: &a%d [*a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i)
			}
			return b.String()
		}(),
		"many keys": func() string {
			var b strings.Builder
			b.WriteString(head + "channels:\n")
			for i := range 6_000 {
				fmt.Fprintf(&b, "  c%d: {address: a%d}\n", i, i)
			}
			return b.String()
		}(),
		"large number in a schema": head + "components: {schemas: {a: {type: number, multipleOf: 1e-99999, maximum: 1e99999, default: 1e99999}}}\n",
	}
	schemas := func(each func(i int) string, example string) string {
		var b strings.Builder
		b.WriteString(head + "channels: {c: {address: c, messages: {m: {payload: {$ref: '#/components/schemas/s0'}, examples: [{payload: " + example + "}]}}}}\ncomponents:\n  schemas:\n")
		for i := range 60 {
			fmt.Fprintf(&b, "    s%d: %s\n", i, each(i))
		}
		b.WriteString("    s60: {type: string}\n")
		return b.String()
	}
	ref := func(i int) string { return fmt.Sprintf("{$ref: '#/components/schemas/s%d'}", i) }
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		out["schemas doubled by "+keyword] = schemas(func(i int) string { return "{" + keyword + ": [" + ref(i+1) + ", " + ref(i+1) + "]}" }, "5")
	}
	out["schemas that double with depth"] = schemas(func(i int) string {
		return "{allOf: [{properties: {a: " + ref(i+1) + "}}, {properties: {a: " + ref(i+1) + "}}]}"
	}, strings.Repeat("{a: ", 60)+"1"+strings.Repeat("}", 60))
	out["a pattern"] = schemas(func(int) string { return `{type: string, pattern: '^(a+)+$'}` }, strings.Repeat("a", 50_000)+"b")
	out["a large pattern"] = schemas(func(int) string { return `{type: string, pattern: '((a{100}){100}){100}'}` }, "a")
	out["protobuf in protobuf"] = head + "channels: {c: {address: c, messages: {m: {payload: {schemaFormat: 'application/vnd.google.protobuf;version=3', schema: 'syntax = \"proto3\"; " + strings.Repeat("message A { ", 5000) + "'}}}}}\n"
	out["avro doubled"] = func() string {
		var b strings.Builder
		b.WriteString(head + "channels: {c: {address: c, messages: {m: {payload: {schemaFormat: 'application/vnd.apache.avro;version=1.9.0', schema: {$ref: '#/x-s/s0'}}}}}}\nx-s:\n")
		for i := range 40 {
			fmt.Fprintf(&b, "  s%d: {type: record, name: r%d, fields: [{name: a, type: {type: array, items: {$ref: '#/x-s/u%d'}}}]}\n  u%d: [{$ref: '#/x-s/a%d'}, 'null']\n  a%d: {type: map, values: [{type: array, items: {$ref: '#/x-s/u%d'}}, {type: map, values: {$ref: '#/x-s/u%d'}}]}\n", i, i, i, i, i, i, i+1, i+1)
		}
		return b.String()
	}()
	out["bindings doubled"] = func() string {
		var b strings.Builder
		b.WriteString(head + "channels: {c: {address: c, messages: {m: {payload: {schemaFormat: application/raml, schema: {$ref: '#/x-s/s0'}}}}}}\nx-s:\n")
		for i := range 60 {
			fmt.Fprintf(&b, "  s%d: [{$ref: '#/x-s/s%d'}, {$ref: '#/x-s/s%d'}]\n", i, i+1, i+1)
		}
		return b.String()
	}()
	out["messages that share a large trait"] = func() string {
		var b strings.Builder
		b.WriteString(head + "channels:\n  c:\n    address: c\n    messages:\n")
		for i := range 450 {
			fmt.Fprintf(&b, "      m%d: {traits: [{$ref: '#/components/messageTraits/t'}], payload: {type: string}}\n", i)
		}
		b.WriteString("components: {messageTraits: {t: {headers: {type: object, properties: {")
		for i := range 5_000 {
			fmt.Fprintf(&b, "p%d: {type: string}, ", i)
		}
		b.WriteString("}}}}}\n")
		return b.String()
	}()
	return out
}

// TestHostile: whatever is sent, the answer comes soon and says what is wrong.
func TestHostile(t *testing.T) {
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			d := contract.Load("a.yaml", []byte(text), contract.Options{})
			took := time.Since(start)
			if took > 2*time.Minute { // a second or less on a quiet machine; what this guards against takes years
				t.Errorf("took %s", took)
			}
			if len(d.Problems) == 0 && !strings.Contains(name, "pattern") {
				t.Error("no problem was found")
			}
			if d.Model != nil && !d.Bad() && len(text) < 1<<16 {
				d.Model.Emit(contract.Version30)
			}
			t.Logf("%d bytes, %s, %d problems", len(text), took, len(d.Problems))
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/wrong/*.yaml", "testdata/wrong/*.json", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := contract.Load("a.yaml", text, contract.Options{})
		for _, p := range d.Problems {
			if p.Message == "" || p.Rule == "" {
				t.Errorf("incomplete: %+v", p)
			}
		}
		if d.Bad() {
			return
		}
		n := d.Model.Emit(contract.Version31)
		again := contract.Load("b.yaml", n.YAML(), contract.Options{})
		if again.Model == nil {
			t.Fatalf("what is emitted is not read: %v\n%s", again.Problems, n.YAML())
		}
		if got, want := describe(again.Model), describe(d.Model); got != want {
			t.Errorf("emitted and read again: got\n%s\nwant\n%s", got, want)
		}
	})
}
