package sample_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/codec"
	"sluice/internal/control/contract/sample"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// message makes a message of a payload's schema.
func message(t testing.TB, name, format, text string) *contract.Message {
	t.Helper()
	m := &contract.Message{Name: name, ContentType: "application/json", Payload: parse(t, format, text)}
	return m
}

func parse(t testing.TB, format, text string) *schema.Schema {
	t.Helper()
	if schema.KindOf(format) == schema.Protobuf {
		return schema.New(format, tree.Text(text), nil)
	}
	n, problems := tree.Parse("schema", []byte(text))
	if n == nil {
		t.Fatal(problems)
	}
	if inner := n.Get("schema"); inner != nil {
		return schema.New(format, inner, func(name string) *tree.Node { return n.At("shared", name) })
	}
	return schema.New(format, n, nil)
}

func maker(t testing.TB, messages ...*contract.Message) *sample.Maker {
	t.Helper()
	m, err := sample.New(messages, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// records makes some, a second apart, and checks that they decode to what they are.
func records(t testing.TB, n int, messages ...*contract.Message) []sample.Record {
	t.Helper()
	m, c := maker(t, messages...), codec.New(messages)
	var out []sample.Record
	for i := range n {
		r, err := m.Next(noon.Add(time.Duration(i) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		d := c.Decode(r.KeyBytes, r.ValueBytes)
		if d.Value.Problem != "" || d.Key.Problem != "" {
			t.Fatalf("record %d %s: value %s, key %s", i, r.Value.Compact(), d.Value.Problem, d.Key.Problem)
		}
		out = append(out, r)
	}
	return out
}

// contracts are the AsyncAPI documents in the tree.
func contracts(t testing.TB) map[string]*contract.Document {
	t.Helper()
	out := map[string]*contract.Document{}
	for _, root := range []string{"../../../../internal", "../../../../cmd", "../../../../examples", "../../../../docs"} {
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".json") {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(text, []byte("asyncapi")) || len(text) > 1<<20 {
				return err
			}
			if d := contract.Load(name, text, contract.Options{}); d.Model != nil && !d.Bad() {
				out[name] = d
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestEveryContract makes records of every channel of every contract in the tree.
func TestEveryContract(t *testing.T) {
	channels := 0
	for name, d := range contracts(t) {
		for _, c := range d.Model.Channels {
			if len(c.Messages) == 0 {
				continue
			}
			channels++
			t.Run(filepath.Base(name)+"/"+c.Name, func(t *testing.T) { records(t, 20, c.Messages...) })
		}
	}
	if channels < 10 {
		t.Errorf("only %d channels were seen", channels)
	}
}

// languages are JSON Schema in its dialects, Avro and Protobuf.
var languages = map[string]string{
	"": "", "draft4": "application/schema+json;version=draft-04", "draft7": "application/schema+json;version=draft-07", "2020": "application/schema+json;version=2020-12",
	"openapi": "application/vnd.oai.openapi;version=3.0.0", "avro": "application/vnd.apache.avro;version=1.9.0", "proto": "application/vnd.google.protobuf;version=3",
}

// TestKeywords makes values of schemas that ask for something special. That they fit is
// what records checks.
func TestKeywords(t *testing.T) {
	for _, tc := range []struct{ name, language, text string }{
		{"anything", "", `{}`},
		{"a bare type", "", `{type: string}`},
		{"an enum of several types", "", `{type: object, required: [a], properties: {a: {enum: [1, two, null, {three: 3}]}}}`},
		{"const", "", `{type: object, required: [v], properties: {v: {const: 7}}}`},
		{"bounds", "", `{type: object, required: [a, b, c, d], properties: {a: {type: integer, minimum: 3, maximum: 3}, b: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 0.001}, c: {type: integer, minimum: -20, maximum: -10}, d: {type: integer, minimum: 1000000000000}}}`},
		{"exclusive bounds of draft 4", "draft4", `{type: object, required: [a], properties: {a: {type: integer, minimum: 3, exclusiveMinimum: true, maximum: 5, exclusiveMaximum: true}}}`},
		{"multiples", "", `{type: object, required: [a, b, c], properties: {a: {type: number, multipleOf: 0.25}, b: {type: integer, multipleOf: 7, minimum: 50}, c: {type: number, multipleOf: 0.01, maximum: 2}}}`},
		{"lengths", "", `{type: object, required: [a, b, email], properties: {a: {type: string, minLength: 40, maxLength: 41}, b: {type: string, maxLength: 2}, email: {type: string, maxLength: 12}}}`},
		{"patterns", "", `{type: object, required: [a, b, c, d, e, currency], properties: {a: {type: string, pattern: "^[A-Z]{2}[0-9]{2,4}-(x|y)+$"}, b: {type: string, pattern: "^\\d{4}-\\d{2}$"}, c: {type: string, pattern: "v\\d+\\.\\d+"}, d: {type: string, pattern: "^[^a-z]{5}$"}, e: {type: string, pattern: "^(?!no)[a-z]{4}$"}, currency: {type: string, pattern: "^[A-Z]{3}$"}}}`},
		{"a pattern and a length", "", `{type: object, required: [a], properties: {a: {type: string, pattern: "^[a-f]*$", minLength: 30, maxLength: 32}}}`},
		{"formats", "", `{type: object, required: [a, b, c, d, e, f, g, h, i, j, k], properties: {a: {type: string, format: date-time}, b: {type: string, format: date}, c: {type: string, format: time}, d: {type: string, format: duration}, e: {type: string, format: email}, f: {type: string, format: hostname}, g: {type: string, format: ipv4}, h: {type: string, format: ipv6}, i: {type: string, format: uri}, j: {type: string, format: uuid}, k: {type: string, format: uri-reference}}}`},
		{"oneOf with what tells apart", "", `{oneOf: [{type: object, additionalProperties: false, required: [kind, radius], properties: {kind: {const: circle}, radius: {type: number}}}, {type: object, additionalProperties: false, required: [kind, side], properties: {kind: {const: square}, side: {type: number}}}]}`},
		{"anyOf beside properties", "", `{type: object, properties: {a: {type: string}, b: {type: string}}, anyOf: [{required: [a]}, {required: [b]}]}`},
		{"allOf", "", `{allOf: [{type: object, required: [a], properties: {a: {type: integer, minimum: 5}}}, {type: object, required: [b], properties: {a: {maximum: 6}, b: {type: string}}}]}`},
		{"not", "", `{type: object, required: [size], properties: {size: {type: integer, minimum: 1, maximum: 4, not: {const: 1}}}}`},
		{"if, then, else", "", `{type: object, required: [kind], properties: {kind: {enum: [a, b]}}, if: {properties: {kind: {const: a}}}, then: {required: [x], properties: {x: {type: integer}}}, else: {required: [y], properties: {y: {type: string}}}}`},
		{"dependencies", "", `{type: object, properties: {a: {type: string}, b: {type: string}}, dependencies: {a: [b, c]}}`},
		{"dependentRequired", "2020", `{type: object, properties: {a: {type: string}}, dependentRequired: {a: [zip]}}`},
		{"tuples", "2020", `{type: object, required: [t], properties: {t: {type: array, prefixItems: [{type: integer}, {type: string}], items: false, minItems: 2}}}`},
		{"tuples as they were", "", `{type: object, required: [t], properties: {t: {type: array, items: [{type: integer}, {type: string}], additionalItems: false, minItems: 2}}}`},
		{"unique items of few", "", `{type: object, required: [t], properties: {t: {type: array, uniqueItems: true, minItems: 3, items: {enum: [a, b, c]}}}}`},
		{"contains", "", `{type: object, required: [t], properties: {t: {type: array, minItems: 2, items: {type: integer}, contains: {minimum: 5000}}}}`},
		{"maps", "", `{type: object, minProperties: 2, maxProperties: 3, propertyNames: {pattern: "^[a-z]{3}$"}, additionalProperties: {type: integer}}`},
		{"patterned properties", "", `{type: object, minProperties: 1, patternProperties: {"^x-[a-z]{4}$": {type: string}}, additionalProperties: false}`},
		{"a tree", "", `{schema: {$ref: "#/components/schemas/Node"}, shared: {Node: {type: object, required: [name, children], properties: {name: {type: string}, children: {type: array, items: {$ref: "#/components/schemas/Node"}}}}}}`},
		{"a list with an end", "", `{schema: {$ref: "#/components/schemas/Link"}, shared: {Link: {type: object, required: [next], properties: {next: {oneOf: [{$ref: "#/components/schemas/Link"}, {type: "null"}]}}}}}`},
		{"nullable", "openapi", `{type: object, required: [a, b], properties: {a: {type: string, nullable: true, enum: [x]}, b: {type: number, minimum: 2, exclusiveMinimum: true}}}`},
		{"true and false", "", `{type: object, required: [a], properties: {a: true, b: false}}`},
		{"several types", "", `{type: object, required: [v], properties: {v: {type: [string, "null", integer], minLength: 3, minimum: 9}}}`},
		{"required and not described", "", `{type: object, required: [ghost, count]}`},
		{"GeoJSON", "", `{type: object, required: [type, coordinates], properties: {type: {const: Point}, coordinates: {type: array, items: {type: number}, minItems: 2, maxItems: 2}}}`},
		{"logical types", "avro", `{type: record, name: R, fields: [{name: d, type: {type: int, logicalType: date}}, {name: t, type: {type: int, logicalType: time-millis}}, {name: u, type: {type: long, logicalType: time-micros}}, {name: at, type: {type: long, logicalType: timestamp-millis}}, {name: m, type: {type: long, logicalType: timestamp-micros}}, {name: l, type: {type: long, logicalType: local-timestamp-millis}}, {name: id, type: {type: string, logicalType: uuid}}, {name: price, type: {type: bytes, logicalType: decimal, precision: 6, scale: 2}}, {name: f, type: {type: fixed, size: 6, name: F, logicalType: decimal, precision: 9, scale: 3}}, {name: dur, type: {type: fixed, size: 12, name: D, logicalType: duration}}]}`},
		{"every type", "avro", `{type: record, name: R, fields: [{name: n, type: "null"}, {name: b, type: boolean}, {name: i, type: int}, {name: l, type: long}, {name: f, type: float}, {name: d, type: double}, {name: s, type: string}, {name: y, type: bytes}, {name: x, type: {type: fixed, size: 4, name: X}}, {name: e, type: {type: enum, name: E, symbols: [A, B]}}, {name: m, type: {type: map, values: long}}, {name: a, type: {type: array, items: E}}]}`},
		{"unions", "avro", `{type: record, name: R, namespace: n, fields: [{name: a, type: ["null", string]}, {name: b, type: [int, string, {type: record, name: In, fields: [{name: x, type: int}]}]}, {name: c, type: ["null", In, {type: record, name: Out, fields: [{name: x, type: int}, {name: y, type: int}]}]}]}`},
		{"a recursive record", "avro", `{type: record, name: Node, fields: [{name: name, type: string}, {name: next, type: ["null", Node]}, {name: children, type: {type: array, items: Node}}]}`},
		{"every kind", "proto", "syntax = \"proto3\";\nimport \"google/protobuf/timestamp.proto\";\nimport \"google/protobuf/wrappers.proto\";\nimport \"google/protobuf/struct.proto\";\nmessage M { int32 a = 1; int64 b = 2; uint32 c = 3; uint64 d = 4; sint32 e = 5; fixed64 f = 6; float g = 7; double h = 8; bool i = 9; string j = 10; bytes k = 11; E l = 12; google.protobuf.Timestamp at = 13; google.protobuf.Int64Value n = 14; map<string, N> o = 15; map<int32, string> p = 16; repeated N q = 17; oneof r { string s = 18; N t = 19; } optional string u = 20; google.protobuf.Struct v = 21; M self = 22; }\nenum E { E_UNSPECIFIED = 0; E_ONE = 1; }\nmessage N { string name = 1; }\n"},
		{"required and groups", "proto", "syntax = \"proto2\";\nmessage M { required string id = 1; optional int32 n = 2 [default = 4]; repeated group G = 3 { required bool x = 1; } }\n"},
	} {
		t.Run(tc.name, func(t *testing.T) { records(t, 60, message(t, "Thing", languages[tc.language], tc.text)) })
	}
}

// TestImpossible says of what nothing fits that it is so, in bounded time.
func TestImpossible(t *testing.T) {
	for name, text := range map[string]string{
		"nothing fits":          `{type: object, required: [a], properties: {a: false}}`,
		"bounds that cross":     `{type: object, required: [a], properties: {a: {type: integer, minimum: 5, maximum: 4}}}`,
		"an endless structure":  `{schema: {$ref: "#/components/schemas/A"}, shared: {A: {type: object, required: [a], properties: {a: {$ref: "#/components/schemas/A"}}}}}`,
		"more than fits":        `{type: object, required: [a], properties: {a: {type: array, minItems: 100000, items: {type: string}}}}`,
		"it doubles at a level": `{schema: {$ref: "#/components/schemas/A"}, shared: {A: {type: object, required: [a, b], properties: {a: {$ref: "#/components/schemas/A"}, b: {$ref: "#/components/schemas/A"}}}}}`,
	} {
		if _, err := sample.New([]*contract.Message{message(t, "Thing", "", text)}, 1); err == nil || !strings.Contains(err.Error(), "message Thing: ") {
			t.Errorf("%s: got %v, want an error that names the message", name, err)
		}
	}
	if _, err := sample.New(nil, 1); err == nil {
		t.Error("no message: got no error")
	}
}

const orders = `{title: Order, type: object, required: [order_id, status, customer, items, total_cents, currency, placed_at, updated_at], properties: {
  order_id: {type: string}, status: {enum: [placed, paid, packed, shipped, delivered, cancelled]},
  customer: {type: object, required: [customer_id, name, email, city, country_code], properties: {customer_id: {type: string}, name: {type: string}, email: {type: string, format: email}, city: {type: string}, country_code: {type: string, pattern: "^[A-Z]{2}$"}}},
  items: {type: array, minItems: 1, items: {type: object, required: [name, quantity, unit_price_cents], properties: {name: {type: string}, quantity: {type: integer}, unit_price_cents: {type: integer}}}},
  total_cents: {type: integer}, currency: {type: string, minLength: 3, maxLength: 3}, placed_at: {type: string, format: date-time}, updated_at: {type: string, format: date-time}}}`

// TestLife: the same order comes again, further on; nothing else of it changes but when.
func TestLife(t *testing.T) {
	way := []string{"placed", "paid", "packed", "shipped", "delivered"}
	last, first := map[string]int{}, map[string]*tree.Node{}
	again, done, cancelled := 0, 0, 0
	for _, r := range records(t, 600, message(t, "OrderChanged", "", orders)) {
		id := r.Value.Get("order_id").Str()
		if string(r.KeyBytes) != id {
			t.Fatalf("key: got %q, want the order's %q", r.KeyBytes, id)
		}
		status := r.Value.Get("status").Str()
		step := strings.Index(strings.Join(way, " "), status)
		if status == "cancelled" {
			cancelled++
			step = 1000
		}
		if before, known := last[id]; known {
			again++
			if step <= before {
				t.Fatalf("%s is %s after place %d", id, status, before)
			}
			for _, same := range []string{"customer", "items", "total_cents", "currency", "placed_at"} {
				if a, b := first[id].Get(same), r.Value.Get(same); !tree.Equal(a, b) {
					t.Fatalf("%s of %s: first %s, then %s", same, id, a.Compact(), b.Compact())
				}
			}
		} else if first[id] = r.Value; status != "placed" {
			t.Fatalf("%s begins as %s", id, status)
		}
		if last[id] = step; status == "delivered" {
			done++
		}
		sum := int64(0)
		for _, item := range r.Value.Get("items").Elements() {
			quantity, _ := item.Get("quantity").Int()
			price, _ := item.Get("unit_price_cents").Int()
			sum += quantity * price
		}
		if total, _ := r.Value.Get("total_cents").Int(); total != sum {
			t.Fatalf("total: got %d, want the sum %d: %s", total, sum, r.Value.Compact())
		}
		name := strings.Fields(strings.ToLower(r.Value.At("customer", "name").Str()))
		if mail := r.Value.At("customer", "email").Str(); !strings.Contains(mail, "@example.") || len(name) != 2 || !strings.HasPrefix(mail, name[0][:2]) {
			t.Fatalf("the customer does not agree with itself: %s", r.Value.Get("customer").Compact())
		}
		for _, field := range []string{"placed_at", "updated_at"} {
			at, err := time.Parse(time.RFC3339, r.Value.Get(field).Str())
			if err != nil || at.Before(noon.Add(-time.Minute)) || at.After(noon.Add(time.Hour)) {
				t.Fatalf("%s: got %v, %v, want near now", field, at, err)
			}
		}
	}
	if again < 200 || done < 40 || cancelled < 5 || cancelled > done {
		t.Errorf("of 600 records: %d of orders seen before, %d delivered, %d cancelled", again, done, cancelled)
	}
}

// TestStages: where each step is a message of its own, an order goes through all of them.
func TestStages(t *testing.T) {
	of := func(name string) *contract.Message {
		return message(t, name, "", `{type: object, required: [orderId, customerId], properties: {orderId: {type: string, format: uuid}, customerId: {type: string}}}`)
	}
	seen, customer := map[string]string{}, map[string]string{}
	full := 0
	for _, r := range records(t, 300, of("OrderPlaced"), of("OrderPaid"), of("OrderShipped")) {
		id := r.Value.Get("orderId").Str()
		if seen[id] += r.Message[5:6]; !strings.HasPrefix("PPS", seen[id]) {
			t.Fatalf("%s goes %s", id, seen[id])
		}
		if c := r.Value.Get("customerId").Str(); customer[id] != "" && customer[id] != c {
			t.Fatalf("%s changes its customer", id)
		} else {
			customer[id] = c
		}
		if seen[id] == "PPS" {
			full++
		}
	}
	if full < 50 {
		t.Errorf("%d orders went all the way", full)
	}
}

// TestMoves: a few vans come again and again, and drive on from where they were as fast as
// they say.
func TestMoves(t *testing.T) {
	const van = `{type: record, name: VehiclePosition, fields: [{name: vehicle_id, type: string}, {name: latitude, type: double}, {name: longitude, type: double}, {name: speed_kmh, type: double}, {name: recorded_at, type: {type: long, logicalType: timestamp-millis}}, {name: battery_level, type: int}]}`
	all := records(t, 400, message(t, "VehiclePosition", languages["avro"], van))
	type at struct {
		lat, lon, battery float64
		i                 int
	}
	last := map[string]at{}
	for i, r := range all {
		number := func(name string) float64 { f, _ := r.Value.Get(name).Float(); return f }
		id, now := r.Value.Get("vehicle_id").Str(), at{number("latitude"), number("longitude"), number("battery_level"), i}
		if before, known := last[id]; known {
			seconds := float64(i - before.i)
			metres := (abs(now.lat-before.lat) + abs(now.lon-before.lon)) * 111_320
			if metres > 60*seconds || number("speed_kmh") > 200 {
				t.Fatalf("%s moved %.0f m in %.0f s and says %v km/h", id, metres, seconds, number("speed_kmh"))
			}
			if abs(now.battery-before.battery) > 30 {
				t.Fatalf("the battery of %s jumps from %v to %v", id, before.battery, now.battery)
			}
		}
		last[id] = now
	}
	if len(last) != 12 {
		t.Errorf("%d vans, want 12", len(last))
	}
}

func abs(f float64) float64 { return max(f, -f) }

// TestRepeatable: the same seed and times make the same bytes, another seed others.
func TestRepeatable(t *testing.T) {
	all := func(seed uint64) string {
		m, err := sample.New([]*contract.Message{message(t, "Order", "", orders)}, seed)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i := range 100 {
			r, err := m.Next(noon.Add(time.Duration(i) * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s %v\n", r.KeyBytes, r.ValueBytes, r.Headers)
		}
		return b.String()
	}
	if once, again := all(5), all(5); once != again {
		t.Error("the same seed makes other records")
	}
	if all(5) == all(6) {
		t.Error("another seed makes the same records")
	}
}

// TestExamples: a document's examples come as they are, those that do not fit not at all;
// examples of a field are what it is, or what names look like.
func TestExamples(t *testing.T) {
	d := contract.Load("a.yaml", []byte(`
asyncapi: 3.0.0
info: {title: A, version: 1.0.0}
channels:
  c:
    address: c
    messages:
      m:
        headers: {type: object, properties: {trace: {type: string}}}
        payload: {type: object, required: [id], properties: {id: {type: string, examples: [A-1234/xy]}, shelf: {type: string, examples: [north wall, south wall]}}}
        examples:
          - {name: one, headers: {trace: t1}, payload: {id: "A-1", shelf: top}}
operations: {o: {action: send, channel: {$ref: "#/channels/c"}}}
`), contract.Options{})
	if d.Bad() {
		t.Fatal(d.Problems)
	}
	messages := d.Model.Channels[0].Messages
	examples := maker(t, messages...).Examples()
	if len(examples) != 1 || string(examples[0].ValueBytes) != `{"id":"A-1","shelf":"top"}` || string(examples[0].KeyBytes) != "A-1" || len(examples[0].Headers) != 1 || string(examples[0].Headers[0].Value) != "t1" {
		t.Errorf("examples: got %+v", examples)
	}
	seen := map[string]bool{}
	for _, r := range records(t, 50, messages...) {
		id := r.Value.Get("id").Str()
		if shape := regexp.MustCompile(`^A-\d{4}/xy$`); !shape.MatchString(id) {
			t.Errorf("id: got %s, want one that looks like the example", id)
		}
		if seen[id] = true; r.Value.Has("shelf") && !strings.HasSuffix(r.Value.Get("shelf").Str(), " wall") {
			t.Errorf("shelf: got %s", r.Value.Get("shelf").Str())
		}
	}
	if len(seen) < 45 {
		t.Errorf("only %d names in 50 records", len(seen))
	}
}

// TestCloudEvents: the attributes in the headers of a record are those of an event.
func TestCloudEvents(t *testing.T) {
	m := message(t, "OrderPlaced", "", `{type: object, required: [id], properties: {id: {type: string}}}`)
	m.Headers = parse(t, "", `{type: object, required: [ce_id, ce_type, ce_source, ce_specversion, ce_time], properties: {ce_id: {type: string}, ce_type: {const: shop.order}, ce_source: {type: string, format: uri-reference}, ce_specversion: {type: string, enum: ["1.0"]}, ce_time: {type: string, format: date-time}}}`)
	m.CloudEvents.Mode = "binary"
	ids := map[string]bool{}
	for _, r := range records(t, 20, m) {
		all := map[string]string{}
		for _, h := range r.Headers {
			all[h.Name] = string(h.Value)
		}
		if ids[all["ce_id"]] = true; all["ce_type"] != "shop.order" || all["ce_specversion"] != "1.0" || all["content-type"] != "application/json" || all["ce_source"] == "" {
			t.Fatalf("got %v", all)
		}
	}
	if len(ids) != 20 {
		t.Errorf("%d event ids in 20 records", len(ids))
	}
}

// FuzzMake makes values of any schema: within bounds, without a panic.
func FuzzMake(f *testing.F) {
	f.Add("", orders)
	f.Add("", `{type: object, minProperties: 2, patternProperties: {"^(a|b)+$": {type: [string, "null"]}}, allOf: [{if: {required: [a]}, then: {maxProperties: 3}}]}`)
	f.Add(languages["avro"], `{"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}`)
	f.Add(languages["proto"], "syntax = \"proto3\";\nmessage M { repeated M m = 1; map<string, int64> n = 2; }")
	f.Fuzz(func(t *testing.T, format, text string) {
		if len(text) > 1<<14 {
			return
		}
		root := tree.Text(text)
		if schema.KindOf(format) != schema.Protobuf {
			if root, _ = tree.Parse("schema", []byte(text)); root == nil {
				return
			}
		}
		messages := []*contract.Message{{Name: "m", Payload: schema.New(format, root, func(name string) *tree.Node { return root.At("shared", name) })}}
		watch := time.AfterFunc(20*time.Second, func() { panic("a record takes more than 20 seconds") })
		defer watch.Stop()
		m, err := sample.New(messages, 3)
		if err != nil {
			return
		}
		for i := range 3 {
			if r, err := m.Next(noon.Add(time.Duration(i) * time.Second)); err == nil && r.ValueBytes == nil {
				t.Error("a record has no value")
			}
		}
	})
}
