package draft

import (
	"strings"
	"testing"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/schema"
	"sluice/internal/resource"
)

// elsewhere moves the one message of a contract to its components.
func elsewhere(text string) string {
	before, rest, _ := strings.Cut(text, "      record:\n")
	message, after, _ := strings.Cut(rest, "    bindings:\n")
	return before + "      record: {$ref: '#/components/messages/order'}\n    bindings:\n" + after + "components:\n  messages:\n    order:\n" + message
}

// A version whose schemas are others in the registry by now is drafted with those, and with nothing else; applied, there is nothing left to do.
func TestSchemasThatHaveChanged(t *testing.T) {
	subject := func(name string, kind schema.Kind, text string, refs ...schema.Import) Subject {
		return Subject{Name: name, Version: 2, Registered: schema.Registered{Kind: kind, Text: text, References: refs}}
	}
	record := func(fields string) string {
		return `{"type":"record","name":"Order","namespace":"shop","doc":"about it","fields":[` + fields + `]}`
	}
	id, sum := `{"name":"id","type":"long"}`, `,{"name":"sum","type":"long","default":0}`
	money := func(of string) schema.Import {
		return schema.Import{Name: "money.json", Registered: schema.Registered{Kind: schema.JSON, Text: `{"type":"object","properties":{"` + of + `":{"type":"integer"}}}`}}
	}
	bill := `{"type":"object","properties":{"sum":{"$ref":"money.json"}}}`
	value := func(text string) Subject { return subject("orders-value", schema.Avro, text) }
	for _, c := range []struct {
		name       string
		then, now  []Subject
		edit       func(string) string // what somebody did to the contract between
		want       string              // what is told; "" for nothing
		has, hasnt string              // in the draft; no draft when both are empty
	}{
		{"the same", []Subject{value(record(id))}, []Subject{value(record(id))}, nil, "", "", ""},
		{"prose", []Subject{value(record(id))}, []Subject{value(strings.Replace(record(id), "about it", "more about it", 1))}, nil, "", "", ""},
		{"another field", []Subject{value(record(id))}, []Subject{value(record(id + sum))}, nil, "(record): this is a draft", "name: sum", ""},
		{"a field less", []Subject{value(record(id + sum))}, []Subject{value(record(id))}, nil, "(record): this is a draft", "name: id", "name: sum"},
		{"what is written by hand stays", []Subject{value(record(id))}, []Subject{value(record(id + sum))}, strings.NewReplacer("title: orders-value", "title: Mine", "  records:\n", "  records:\n    description: canary\n").Replace, "(record): this is a draft", "description: canary", "title: orders-value"},
		{"a message that is called otherwise", []Subject{value(record(id))}, []Subject{value(record(id + sum))}, strings.NewReplacer("      record:\n", "      orderPlaced:\n").Replace, "(orderPlaced): this is a draft", "orderPlaced:", "      record:"},
		{"a schema where there was none", nil, []Subject{value(record(id))}, nil, "(record): this is a draft", "name: id", ""},
		{"no subject any more", []Subject{value(record(id))}, nil, nil, "", "", ""},
		{"another key", []Subject{value(record(id)), subject("orders-key", schema.Avro, `"string"`)}, []Subject{value(record(id)), subject("orders-key", schema.Avro, `"long"`)}, nil, "(its key): this is a draft", "long", "type: string"},
		{"another kind of record", []Subject{subject("orders-shop.Paid", schema.Avro, record(id))}, []Subject{subject("orders-shop.Paid", schema.Avro, record(id)), subject("orders-shop.Sent", schema.Avro, record(id+sum))}, nil, "(shop.Sent is new): this is a draft", "shop.Sent:", ""},
		{"another language", []Subject{value(record(id))}, []Subject{subject("orders-value", schema.Protobuf, "syntax = \"proto3\";\nmessage Order { int64 id = 1; }\n")}, nil, "(record): this is a draft", "application/x-protobuf", "avro"},
		{"what it refers to", []Subject{subject("orders-value", schema.JSON, bill, money("cents"))}, []Subject{subject("orders-value", schema.JSON, bill, money("pence"))}, nil, "(record): this is a draft", "pence", "cents"},
		{"a message that stands elsewhere", []Subject{value(record(id))}, []Subject{value(record(id + sum))}, elsewhere, "by hand", "", ""},
		{"what cannot be put in", []Subject{value(record(id))}, []Subject{value(`{"type":"recor`)}, nil, "cannot be put into a contract", "", ""},
	} {
		first := wanted("orders")
		first.Subjects = c.then
		documents, notes := first.Make()
		if len(documents) != 2 || len(notes) > 0 {
			t.Fatalf("%s: %d documents, %s", c.name, len(documents), said(notes))
		}
		v := documents[1].(*resource.Version)
		if c.edit != nil {
			before := v.Spec.Contract.AsyncAPI
			v.Spec.Contract.AsyncAPI = c.edit(before)
			if d := contract.Load("", []byte(v.Spec.Contract.AsyncAPI), contract.Options{}); d.Bad() || v.Spec.Contract.AsyncAPI == before {
				t.Fatalf("%s: %v\n%s", c.name, d.Problems, v.Spec.Contract.AsyncAPI)
			}
		}
		untouched := v.Spec.Contract.AsyncAPI
		again := wanted()
		again.Subjects, again.Offered = c.now, []Offered{{Version: v, Channel: channel, Topic: first.Topics[0]}}
		documents, notes = again.Make()
		if told := said(notes); (c.want == "") != (told == "") || !strings.Contains(told, c.want) {
			t.Errorf("%s: it says %q, want %q", c.name, told, c.want)
		}
		if len(documents) == 0 != (c.has == "" && c.hasnt == "") {
			t.Errorf("%s: %d documents", c.name, len(documents))
		}
		if v.Spec.Contract.AsyncAPI != untouched {
			t.Errorf("%s: the version itself was changed", c.name)
		}
		if len(documents) == 0 {
			continue
		}
		next := documents[0].(*resource.Version)
		if text := next.Spec.Contract.AsyncAPI; !strings.Contains(text, c.has) || c.hasnt != "" && strings.Contains(text, c.hasnt) {
			t.Errorf("%s: want %q, and not %q:\n%s", c.name, c.has, c.hasnt, text)
		}
		again.Offered[0].Version = next
		if documents, notes = again.Make(); len(documents)+len(notes) > 0 {
			t.Errorf("%s: applied, and there is still something to do: %s", c.name, said(notes))
		}
	}
}

// A version with two channels is drafted once, with what has changed in both.
func TestTwoChannelsThatHaveChanged(t *testing.T) {
	text := `asyncapi: 3.0.0
info: {title: Shop, version: 1.0.0}
channels:
  orders: {address: orders, messages: {record: {payload: {type: string}}}}
  bills: {address: bills, messages: {record: {payload: {type: string}}, other: {payload: {type: boolean}}}}
operations:
  sendOrders: {action: send, channel: {$ref: '#/channels/orders'}}
  sendBills: {action: send, channel: {$ref: '#/channels/bills'}}
`
	v := &resource.Version{APIVersion: resource.APIVersion, Kind: resource.KindVersion, Metadata: resource.Metadata{Name: "shop.v1"}}
	v.Spec.Contract.AsyncAPI = text
	w := wanted("orders", "bills")
	topics := w.Topics
	w.Topics, w.Offered = nil, []Offered{{v, "orders", topics[0]}, {v, "bills", topics[1]}}
	for name, text := range map[string]string{"orders-value": `{"type":"integer"}`, "bills-value": `{"type":"number"}`} {
		w.Subjects = append(w.Subjects, Subject{Name: name, Version: 1, Registered: schema.Registered{Kind: schema.JSON, Text: text}})
	}
	documents, notes := w.Make()
	if len(documents) != 1 || len(notes) != 2 {
		t.Fatalf("%d documents: %s", len(documents), said(notes))
	}
	if text := documents[0].(*resource.Version).Spec.Contract.AsyncAPI; strings.Count(text, "type: integer") != 1 || strings.Count(text, "type: number") != 1 || strings.Contains(text, "type: string") || !strings.Contains(text, "type: boolean") {
		t.Errorf("the contract is\n%s", text)
	}
	w.Offered[0].Version, w.Offered[1].Version = documents[0].(*resource.Version), documents[0].(*resource.Version)
	if documents, notes = w.Make(); len(documents)+len(notes) > 0 {
		t.Errorf("applied, and there is still something to do: %s", said(notes))
	}
}
