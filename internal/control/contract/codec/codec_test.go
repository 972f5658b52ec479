package codec_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/codec"
)

const head = "asyncapi: 3.0.0\ninfo: {title: T, version: '1'}\ndefaultContentType: application/json\noperations: {o: {action: send, channel: {$ref: '#/channels/c'}}}\nchannels:\n  c:\n    address: c\n    bindings: {kafka: {}}\n    messages:\n"

// messages reads messages of a channel, as YAML indented for a contract.
func messages(t testing.TB, text string) []*contract.Message {
	t.Helper()
	doc := contract.Load("c.yaml", []byte(head+text), contract.Options{})
	if doc.Bad() {
		t.Fatal(doc.Problems)
	}
	return doc.Model.Channel("c").Messages
}

const (
	jsonMessage = `
      order:
        payload:
          type: object
          required: [id, total]
          additionalProperties: false
          properties: {id: {type: string}, total: {type: number, minimum: 0}, lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}}
        headers: {type: object, required: [trace], properties: {trace: {type: string}, attempt: {type: integer}}}
        bindings: {kafka: {key: {type: string, minLength: 2}}}
`
	avroMessage = `
      order:
        payload:
          schemaFormat: application/vnd.apache.avro;version=1.9.0
          schema:
            type: record
            name: Order
            namespace: shop
            fields:
              - {name: id, type: string}
              - {name: count, type: int}
              - {name: price, type: {type: bytes, logicalType: decimal, precision: 9, scale: 2}}
              - {name: placed, type: {type: long, logicalType: timestamp-millis}}
              - {name: day, type: {type: int, logicalType: date}}
              - {name: at, type: {type: int, logicalType: time-millis}}
              - {name: local, type: {type: long, logicalType: local-timestamp-micros}}
              - {name: state, type: {type: enum, name: State, symbols: [OPEN, PAID]}}
              - {name: raw, type: bytes}
              - {name: hash, type: {type: fixed, name: Hash, size: 2}}
              - {name: note, type: ["null", string], default: null}
              - {name: by, type: ["null", {type: record, name: Person, fields: [{name: name, type: string}, {name: boss, type: ["null", Person], default: null}]}, {type: array, items: long}]}
              - {name: tags, type: {type: map, values: double}}
              - {name: uid, type: {type: string, logicalType: uuid}}
        bindings: {kafka: {key: {schemaFormat: application/vnd.apache.avro;version=1.9.0, schema: {type: long}}}}
`
	protobufMessage = `
      order:
        payload:
          schemaFormat: application/vnd.google.protobuf;version=3
          schema: |
            syntax = "proto3";
            package shop;
            import "google/protobuf/timestamp.proto";
            message Order {
              message Line { string sku = 1; int64 amount = 2; }
              string order_id = 1;
              repeated Line lines = 2;
              google.protobuf.Timestamp placed = 3;
              optional string note = 4;
              bytes raw = 5;
            }
            message Other { int32 n = 1; }
`
)

func TestDecode(t *testing.T) {
	avroOrder := `{"id":"o-1","count":3,"price":12.50,"placed":"2026-05-04T09:00:00.123Z","day":"2026-05-04","at":"09:30:00.5","local":"2026-05-04T09:00:00.000001","state":"PAID","raw":"\u0001ÿ","hash":"ab","note":null,"by":{"name":"Ann","boss":{"name":"Bob","boss":null}},"tags":{"a":1.5,"b":"NaN"},"uid":"0d7c1a52-8a05-4f0e-9f0b-0c6d2c4c7d11"}`
	c := codec.New(messages(t, avroMessage))
	avroBytes, err := c.Encode("", codec.Value, []byte(avroOrder), 0)
	if err != nil {
		t.Fatal(err)
	}
	framedAvro := codec.New(messages(t, strings.Replace(avroMessage, "bindings: {kafka: {", "bindings: {kafka: {schemaIdLocation: payload, ", 1)))
	framed, err := framedAvro.Encode("order", codec.Value, []byte(avroOrder), 77)
	if err != nil || hex.EncodeToString(framed[:5]) != "000000004d" || string(framed[5:]) != string(avroBytes) {
		t.Fatalf("%x %v", framed, err)
	}
	pb := codec.New(messages(t, protobufMessage))
	pbBytes, err := pb.Encode("", codec.Value, []byte(`{"order_id": "o-1", "lines": [{"sku": "x", "amount": "9007199254740993"}], "placed": "2026-05-04T09:00:00Z", "raw": "AQI="}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	pbJSON := `{"order_id":"o-1","lines":[{"sku":"x","amount":"9007199254740993"}],"placed":"2026-05-04T09:00:00Z","raw":"AQI="}`
	plain := codec.New(messages(t, jsonMessage))
	silent := codec.New(nil)
	two := codec.New(messages(t, jsonMessage+strings.Replace(jsonMessage, "order:", "refund:", 1)[1:]))
	mixed := codec.New(messages(t, jsonMessage+strings.Replace(protobufMessage, "order:", "cancelled:", 1)[1:]))

	for _, tc := range []struct {
		name       string
		codec      *codec.Codec
		key, value []byte
		format     codec.Format
		json       string // empty: as the value
		key1       string
		problem    string // part of it
		message    string
		id         int64
	}{
		{"JSON on several lines", plain, []byte("k-1"), []byte("{\n \"id\": \"a\", \"total\": 1.50 }"), codec.JSON, `{"id":"a","total":1.50}`, `"k-1"`, "", "order", 0},
		{"JSON that the contract refuses is shown, with the reason", plain, []byte("k-1"), []byte(`{"id":"a","total":-1}`), codec.JSON, "", `"k-1"`, "total -1 is less than the minimum", "order", 0},
		{"not JSON at all", plain, []byte("k-1"), []byte("hello\nworld"), codec.Text, `"hello\nworld"`, `"k-1"`, "is not JSON", "order", 0},
		{"a key that is too short", plain, []byte("k"), []byte(`{"id":"a","total":1}`), codec.JSON, "", `"k"`, "", "order", 0},
		{"a tombstone", plain, []byte("k-1"), nil, codec.None, "null", `"k-1"`, "", "order", 0},
		{"an empty value is none", plain, []byte("k-1"), []byte{}, codec.Text, `""`, `"k-1"`, "is not JSON", "order", 0},
		{"Avro", c, []byte{0x54}, avroBytes, codec.Avro, avroOrder, `42`, "", "order", 0},
		{"Avro behind an id that the contract does not promise", c, nil, framed, codec.Avro, avroOrder, "null", "", "order", 77},
		{"Avro behind an id", framedAvro, nil, framed, codec.Avro, avroOrder, "null", "", "order", 77},
		{"Avro without the id that the contract promises", framedAvro, nil, avroBytes, codec.Avro, avroOrder, "null", "", "order", 0},
		{"Avro that is cut", c, nil, avroBytes[:9], codec.Binary, "-", "null", "is not Avro", "order", 0},
		{"Avro and a byte more", c, nil, append(avroBytes[:len(avroBytes):len(avroBytes)], 1), codec.Binary, "-", "null", "1 bytes are left over", "order", 0},
		{"JSON where Avro was promised", c, nil, []byte(`{"id": 1}`), codec.JSON, `{"id":1}`, "null", "is not Avro", "order", 0},
		{"Protobuf", pb, nil, pbBytes, codec.Protobuf, pbJSON, "null", "", "order", 0},
		{"Protobuf behind an id, the first message", pb, nil, append([]byte{0, 0, 0, 0, 9, 0}, pbBytes...), codec.Protobuf, pbJSON, "null", "", "order", 9},
		{"Protobuf behind an id, the first message in full", pb, nil, append([]byte{0, 0, 0, 0, 9, 2, 0}, pbBytes...), codec.Protobuf, pbJSON, "null", "", "order", 9},
		{"Protobuf behind an id, another message of the file", pb, nil, []byte{0, 0, 0, 0, 9, 2, 2, 0x08, 7}, codec.Protobuf, `{"n":7}`, "null", "", "order", 9},
		{"Protobuf behind an id, a message in a message", pb, nil, []byte{0, 0, 0, 0, 9, 4, 0, 0, 0x0a, 1, 'x'}, codec.Protobuf, `{"sku":"x","amount":"0"}`, "null", "", "order", 9},
		{"Protobuf behind an id, a message that is not there", pb, nil, []byte{0, 0, 0, 0, 9, 2, 12, 0x08, 7}, codec.Binary, "-", "null", "is not the Protobuf message", "order", 9},
		{"text where Protobuf was promised", pb, nil, []byte("Hello, World"), codec.Text, `"Hello, World"`, "null", "Protobuf message shop.Order", "order", 0},
		{"an empty Protobuf message", pb, nil, []byte{}, codec.Protobuf, `{"order_id":"","lines":[],"raw":""}`, "null", "", "order", 0},
		{"a contract without messages, JSON", silent, []byte("12"), []byte(` {"a": [1]}`), codec.JSON, `{"a":[1]}`, `"12"`, "", "", 0},
		{"a contract without messages, text", silent, nil, []byte("<b>&\u2028"), codec.Text, `"<b>&\u2028"`, "null", "", "", 0},
		{"a contract without messages, bytes", silent, []byte{0xff}, []byte{0, 1}, codec.Binary, `"AAE="`, `"/w=="`, "", "", 0},
		{"the first of two messages that fit", two, []byte("k-1"), []byte(`{"id":"a","total":1}`), codec.JSON, "", `"k-1"`, "", "order", 0},
		{"the second of two messages", mixed, []byte("k-1"), pbBytes, codec.Protobuf, pbJSON, `"k-1"`, "", "cancelled", 0},
		{"none of two messages", two, []byte("k-1"), []byte(`{"id":1}`), codec.JSON, "", `"k-1"`, "fits none of order, refund; the first: ", "", 0},
		{"too large", plain, []byte("k-1"), []byte(strings.Repeat("x", codec.MaxBytes+1)), codec.Text, "-", `"k-1"`, "has 1048577 bytes", "order", 0},
		{"nested too deep", plain, []byte("k-1"), []byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), codec.JSON, "-", `"k-1"`, "levels", "order", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.codec.Decode(tc.key, tc.value)
			want := tc.json
			if want == "" {
				want = string(tc.value)
			}
			if got.Value.Format != tc.format || want != "-" && string(got.Value.JSON) != want || string(got.Key.JSON) != tc.key1 || got.Message != tc.message {
				t.Errorf("got %s %s, key %s, of %q (%s)\nwant %s %s", got.Value.Format, got.Value.JSON, got.Key.JSON, got.Message, got.Value.Problem, tc.format, want)
			}
			if (got.Value.Problem == "") != (tc.problem == "") || !strings.Contains(got.Value.Problem, tc.problem) {
				t.Errorf("problem %q, want %q", got.Value.Problem, tc.problem)
			}
			if tc.problem == "" && got.Value.SchemaID != tc.id || !json.Valid(got.Value.JSON) {
				t.Errorf("schema id %d of %.100s, want %d", got.Value.SchemaID, got.Value.JSON, tc.id)
			}
		})
	}
}

// TestEncodeAgain encodes what was decoded: the same bytes.
func TestEncodeAgain(t *testing.T) {
	for name, tc := range map[string]struct{ text, value string }{
		"JSON":     {jsonMessage, `{"id":"a","total":1.50,"lines":[{"sku":"x"}]}`},
		"Protobuf": {protobufMessage, `{"order_id":"1","lines":[],"note":"","raw":""}`},
	} {
		c := codec.New(messages(t, tc.text))
		b, err := c.Encode("order", codec.Value, []byte(tc.value), 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again := c.Decode(nil, b)
		if string(again.Value.JSON) != tc.value {
			t.Errorf("%s: got %s", name, again.Value.JSON)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	framed := strings.Replace(avroMessage, "bindings: {kafka: {", "bindings: {kafka: {schemaIdLocation: payload, schemaIdPayloadEncoding: confluent, ", 1)
	with := func(field, value string) string {
		fields := map[string]string{"id": `"a"`, "count": "1", "price": "1.5", "placed": "0", "day": "0", "at": "0", "local": "0", "state": `"OPEN"`, "raw": `""`, "hash": `"ab"`, "by": "null", "tags": "{}", "uid": `"x"`}
		if fields[field] = value; value == "" {
			delete(fields, field)
		}
		var all []string
		for name, v := range fields {
			all = append(all, `"`+name+`": `+v)
		}
		return "{" + strings.Join(all, ", ") + "}"
	}
	for _, tc := range []struct {
		name, contract, message string
		side                    codec.Side
		value, pointer, want    string // want "" means that it is encoded
	}{
		{"not JSON", jsonMessage, "", codec.Value, "{\n  \"id\": }", "", "line 2, column 9"},
		{"YAML is not JSON", jsonMessage, "", codec.Value, "id: a", "", "not JSON"},
		{"a required field", jsonMessage, "", codec.Value, `{"id": "a"}`, "", "lacks total"},
		{"a bound", jsonMessage, "", codec.Value, `{"id": "a", "total": -2}`, "/total", "less than the minimum"},
		{"an item", jsonMessage, "", codec.Value, `{"id": "a", "total": 2, "lines": [{"sku": 1}]}`, "/lines/0/sku", "must be string"},
		{"a key", jsonMessage, "", codec.Key, `"k"`, "", "too short"},
		{"a message that is not there", jsonMessage, "refund", codec.Value, `{}`, "", `no message "refund", but order`},
		{"no message named, of two", jsonMessage + strings.Replace(jsonMessage, "order:", "refund:", 1)[1:], "", codec.Value, `{}`, "", "say which: order, refund"},
		{"everything of the Avro record", avroMessage, "", codec.Value, with("id", `"a"`), "", ""},
		{"an Avro key", avroMessage, "", codec.Key, "42", "", ""},
		{"an Avro key that is text", avroMessage, "", codec.Key, `"42"`, "", "must be a whole number, not text"},
		{"a field that is missing", avroMessage, "", codec.Value, with("count", ""), "", "lacks count"},
		{"a field that nobody knows", avroMessage, "", codec.Value, with("more", "1"), "/more", "is not in the schema"},
		{"an int that is too large", avroMessage, "", codec.Value, with("count", "3000000000"), "/count", "32 bits"},
		{"an int that is broken", avroMessage, "", codec.Value, with("count", "1.5"), "/count", "whole number"},
		{"a decimal with too many digits", avroMessage, "", codec.Value, with("price", "1.555"), "/price", "scale"},
		{"a decimal that takes years", avroMessage, "", codec.Value, with("price", `"1e900000000"`), "/price", "too long a number"},
		{"a timestamp as a number", avroMessage, "", codec.Value, with("placed", "1777885200000"), "", ""},
		{"a timestamp that is none", avroMessage, "", codec.Value, with("placed", `"yesterday"`), "/placed", "must be a time like"},
		{"a timestamp that is too exact", avroMessage, "", codec.Value, with("placed", `"2026-05-04T09:00:00.0001Z"`), "/placed", "more exact"},
		{"a symbol that is none", avroMessage, "", codec.Value, with("state", `"LOST"`), "/state", "one of OPEN, PAID"},
		{"bytes that are characters", avroMessage, "", codec.Value, with("raw", `"€"`), "/raw", "each a byte"},
		{"a fixed that is too long", avroMessage, "", codec.Value, with("hash", `"abc"`), "/hash", "2 bytes, not 3"},
		{"a union as the specification writes it", avroMessage, "", codec.Value, with("by", `{"shop.Person": {"name": "Ann", "boss": {"shop.Person": {"name": "Bob"}}}}`), "", ""},
		{"a union with the short name", avroMessage, "", codec.Value, with("by", `{"Person": {"name": "Ann"}}`), "", ""},
		{"another branch", avroMessage, "", codec.Value, with("by", `[1, 2]`), "", ""},
		{"no branch: the nearest is told", avroMessage, "", codec.Value, with("by", `{"name": "Ann", "boss": {"name": 1}}`), "/by/boss/name", "must be text, not a number"},
		{"a registry's id that is needed", framed, "", codec.Value, with("id", `"a"`), "", "the id of a schema registry"},
		{"Protobuf with a field that nobody knows", protobufMessage, "", codec.Value, `{"colour": 1}`, "", `unknown field "colour"`},
		{"Protobuf in its JSON names", protobufMessage, "", codec.Value, `{"orderId": "1"}`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := codec.New(messages(t, tc.contract)).Encode(tc.message, tc.side, []byte(tc.value), 0)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var failed *codec.Error
			if !errors.As(err, &failed) || len(failed.Problems) == 0 {
				t.Fatalf("got %v, want one with %q", err, tc.want)
			}
			p := failed.Problems[0]
			if p.Pointer != tc.pointer || !strings.Contains(p.Message, tc.want) || failed.Part != map[codec.Side]string{codec.Key: "key", codec.Value: "value"}[tc.side] {
				t.Errorf("got %s %q %q, want %q %q", failed.Part, p.Pointer, p.Message, tc.pointer, tc.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	c := codec.New(messages(t, jsonMessage))
	got, err := c.Headers("", []byte(`{"trace": "a b", "attempt": 2, "empty": "", "none": null, "more": {"x": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, h := range got {
		b.WriteString(h.Name + "=" + string(h.Value))
		if h.Value == nil {
			b.WriteString("nil")
		}
		b.WriteString(";")
	}
	if want := `trace=a b;attempt=2;empty=;none=nil;more={"x":1};`; b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	for _, bad := range []string{`{}`, `[]`, `{"trace": 1}`} {
		if _, err := c.Headers("", []byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// FuzzCodec decodes anything: it ends, what comes out is JSON, and what was decoded
// without a problem is encoded again and is then the same.
func FuzzCodec(f *testing.F) {
	codecs := []*codec.Codec{
		codec.New(messages(f, jsonMessage)), codec.New(messages(f, avroMessage)), codec.New(messages(f, protobufMessage)), codec.New(nil),
		codec.New(messages(f, strings.Replace(avroMessage, "bindings: {kafka: {", "bindings: {kafka: {schemaIdLocation: payload, ", 1))),
		codec.New(messages(f, jsonMessage+strings.Replace(protobufMessage, "order:", "cancelled:", 1)[1:])),
	}
	f.Add(uint8(0), []byte(`{"id":"a","total":1}`))
	f.Add(uint8(1), []byte("\x06o-1\x06\x04\x04\xe2\xf6\x9d\xd7\xe6\xb3g\x94\xc2\x02\xc0\xe7\xc2 \x82\xc0\xf2\xe5\xe6\xb3g\x02\x04\x01\xffab\x00\x02\x06Ann\x00\x00\x00"))
	f.Add(uint8(2), []byte("\n\x03o-1\x12\x05\n\x01x\x10\x02"))
	f.Add(uint8(4), []byte("\x00\x00\x00\x00M\x06o-1"))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := codecs[int(which)%len(codecs)]
		if len(b) > 1<<16 {
			return
		}
		got := c.Decode(b, b)
		for _, d := range []codec.Decoded{got.Key, got.Value} {
			if !json.Valid(d.JSON) || strings.ContainsAny(string(d.JSON), "\n\r") {
				t.Fatalf("not JSON on one line: %q", d.JSON)
			}
		}
		v := got.Value
		if v.Problem != "" || v.Format == codec.None || v.Format == codec.Text || v.Format == codec.Binary || v.Format == codec.Protobuf && v.SchemaID != 0 {
			return
		}
		again, err := c.Encode(got.Message, codec.Value, v.JSON, max(v.SchemaID, 1))
		if err != nil {
			t.Fatalf("%s was decoded and is not encoded: %v", v.JSON, err)
		}
		if second := c.Decode(nil, again); string(second.Value.JSON) != string(v.JSON) {
			t.Fatalf("decoded %s, encoded again %x, which is %s (%s)", v.JSON, again, second.Value.JSON, second.Value.Problem)
		}
	})
}

// FuzzEncode encodes anything: it ends, and what it takes can be decoded.
func FuzzEncode(f *testing.F) {
	codecs := []*codec.Codec{codec.New(messages(f, jsonMessage)), codec.New(messages(f, avroMessage)), codec.New(messages(f, protobufMessage))}
	for which := range uint8(3) {
		for _, text := range []string{`{"id":"a","total":1}`, `{"by": {"name": "Ann", "boss": null}}`, `{"order_id": "1"}`, `"\u00e9"`, `1e5`, `[[]]`} {
			f.Add(which, text)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		c := codecs[int(which)%len(codecs)]
		for _, side := range []codec.Side{codec.Key, codec.Value} {
			b, err := c.Encode("", side, []byte(text), 1)
			var failed *codec.Error
			if err != nil && (!errors.As(err, &failed) || len(failed.Problems) == 0 || failed.Part == "") {
				t.Fatalf("%q: %v", text, err)
			}
			if err != nil || side == codec.Key {
				continue
			}
			if got := c.Decode(nil, b); got.Value.Problem != "" {
				t.Fatalf("%q became %x: %s", text, b, got.Value.Problem)
			}
		}
	})
}
