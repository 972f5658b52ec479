package draft

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/schema"
	"sluice/internal/resource"
)

const order = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"buyer","type":"Party"},{"name":"seller","type":["null","shop.Party"]},{"name":"at","type":{"type":"array","items":"other.Place"}}]}`

// wanted makes drafts of topics for team shop, where nothing is taken.
func wanted(topics ...string) Wanted {
	w := Wanted{Cluster: "main", Environment: "prod", Team: func(string) string { return "shop" }, Taken: func(resource.Key) (string, bool) { return "", false }}
	for _, t := range topics {
		w.Topics = append(w.Topics, Topic{Name: t, Partitions: 3, Replicas: 2, Settings: map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "-1", "segment.ms": "1"}})
	}
	return w
}

func keys(documents []resource.Any) string {
	var out []string
	for _, d := range documents {
		out = append(out, fmt.Sprintf("%s/%s", d.Key().Kind, d.Key().Name))
	}
	return strings.Join(out, " ")
}

func said(notes []Note) string {
	var out []string
	for _, n := range notes {
		out = append(out, n.About+": "+n.Message)
	}
	return strings.Join(out, "\n")
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 130)
	for _, c := range []struct {
		name   string
		topics []string
		taken  map[resource.Key]string
		want   string
		notes  []string
	}{
		{"a topic's own", []string{"shop.orders"}, nil, "API/shop.orders Version/shop.orders.v1", nil},
		{"versions of one API", []string{"orders.v1", "orders.v2"}, nil, "API/orders Version/orders.v1 Version/orders.v2", nil},
		{"a version written in other ways", []string{"orders-v3", "bills_v2"}, nil, "API/bills Version/bills.v2 API/orders Version/orders.v3", nil},
		{"the same name twice", []string{"orders-v1", "orders.v1"}, nil, "API/orders Version/orders.v1 API/orders-2 Version/orders-2.v1", []string{"orders.v1: its API is called orders-2: the name orders is taken"}},
		{"the team's own API", []string{"orders.v2"}, map[resource.Key]string{{Kind: resource.KindAPI, Name: "orders"}: "shop"}, "Version/orders.v2", nil},
		{"another team's API", []string{"orders"}, map[resource.Key]string{{Kind: resource.KindAPI, Name: "orders"}: "erp"}, "API/orders-2 Version/orders-2.v1", []string{"orders: its API is called orders-2: the name orders is taken"}},
		{"a name that begins otherwise", []string{"_orders"}, nil, "API/orders Version/orders.v1", []string{"_orders: its API is called orders: a name begins with a letter or a digit"}},
		{"a long name", []string{long}, nil, "API/" + long[:longest] + " Version/" + long[:longest] + ".v1", []string{"at most 120 characters"}},
		{"a name of dots", []string{"..."}, nil, "", []string{"...: is left out"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := wanted(c.topics...)
			w.Taken = func(k resource.Key) (string, bool) { team, ok := c.taken[k]; return team, ok }
			documents, notes := w.Make()
			if got := keys(documents); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if len(notes) != len(c.notes) {
				t.Fatalf("notes:\n%s", said(notes))
			}
			for i, want := range c.notes {
				if !strings.Contains(said(notes[i:i+1]), want) {
					t.Errorf("%s, want %s", said(notes[i:i+1]), want)
				}
			}
		})
	}
}

// TestSchemas puts schemas of all three languages into contracts that stand for themselves.
func TestSchemas(t *testing.T) {
	party := schema.Import{Name: "shop.Party", Registered: schema.Registered{Kind: schema.Avro, Text: `{"type":"record","name":"Party","namespace":"shop","fields":[{"name":"name","type":"string"},{"name":"home","type":"other.Place"}]}`,
		References: []schema.Import{{Name: "other.Place", Registered: schema.Registered{Kind: schema.Avro, Text: `{"type":"record","name":"Place","namespace":"other","fields":[{"name":"lat","type":"double"}]}`}}}}}
	avro := func(name, text string, refs ...schema.Import) Subject {
		return Subject{Name: name, Version: 3, Registered: schema.Registered{Kind: schema.Avro, Text: text, References: refs}}
	}
	w := wanted("orders", "orders-late", "bills", "moves", "mixed", "plain", "broken")
	w.Subjects = []Subject{
		avro("orders-key", `"string"`), avro("orders-value", order, party),
		{Name: "bills-value", Version: 1, Registered: schema.Registered{Kind: schema.JSON, Text: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"sum":{"$ref":"money.json"},"lines":{"type":"array","items":{"$ref":"#/definitions/line"}}},"definitions":{"line":{"type":"object","properties":{"n":{"type":"integer"}}}}}`,
			References: []schema.Import{{Name: "money.json", Registered: schema.Registered{Kind: schema.JSON, Text: `{"type":"object","properties":{"cents":{"type":"integer"}}}`}}}}},
		{Name: "moves-value", Version: 2, Registered: schema.Registered{Kind: schema.Protobuf, Text: "syntax = \"proto3\";\npackage shop;\nmessage Move { string to = 1; }\n"}},
		avro("mixed-shop.Paid", `{"type":"record","name":"Paid","namespace":"shop","fields":[]}`), avro("mixed-shop.Sent", `{"type":"record","name":"Sent","namespace":"shop","fields":[]}`),
		avro("orders-late-value", `"long"`), avro("shop.Stray", `"long"`), {Name: "plain-value", Problem: "status 403 Forbidden"}, avro("broken-value", `{"type":"recor`),
	}
	documents, notes := w.Make()
	texts := map[string]string{}
	for _, d := range documents {
		if v, ok := d.(*resource.Version); ok {
			texts[v.Name()] = v.Spec.Contract.AsyncAPI
			b, err := resource.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := resource.Unmarshal(b); err != nil {
				t.Errorf("%s is not sound: %v\n%s", v.Name(), err, v.Spec.Contract.AsyncAPI)
			}
		}
	}
	for name, messages := range map[string]map[string]schema.Kind{
		"orders.v1": {"record": schema.Avro}, "orders-late.v1": {"record": schema.Avro}, "bills.v1": {"record": schema.JSON}, "moves.v1": {"record": schema.Protobuf},
		"mixed.v1": {"shop.Paid": schema.Avro, "shop.Sent": schema.Avro}, "plain.v1": {"record": ""}, "broken.v1": {"record": ""},
	} {
		d := contract.Load(name, []byte(texts[name]), contract.Options{})
		if d.Bad() {
			t.Fatalf("%s: %v\n%s", name, d.Problems, texts[name])
		}
		c := d.Model.Channel(channel)
		var got []string
		for _, m := range c.Messages {
			got = append(got, m.Name)
			kind := schema.Kind("")
			if m.Payload != nil {
				kind = m.Payload.Kind()
			}
			if kind != messages[m.Name] {
				t.Errorf("%s: the payload of %s is %q, want %q\n%s", name, m.Name, kind, messages[m.Name], texts[name])
			}
		}
		if len(got) != len(messages) {
			t.Errorf("%s has messages %q\n%s", name, got, texts[name])
		}
		if rights := d.Rights(); len(rights) != 1 || !rights[0].Read || rights[0].Write {
			t.Errorf("%s: %v, want reading only", name, rights)
		}
	}
	for where, want := range map[string][]string{
		"orders.v1": {"address: orders", "partitions: 3", "replicas: 2", "retention.ms: -1", "- compact", "name: Party", "name: Place", "key:"},
		"bills.v1":  {"cents", "integer"},
		"moves.v1":  {"message Move"},
	} {
		for _, text := range want {
			if !strings.Contains(texts[where], text) {
				t.Errorf("%s has no %q:\n%s", where, text, texts[where])
			}
		}
	}
	if n := strings.Count(texts["orders.v1"], "name: Party"); n != 1 {
		t.Errorf("the type Party is written %d times", n)
	}
	if strings.Contains(texts["orders.v1"], "segment.ms") {
		t.Error("a setting that is nobody's business is in the contract")
	}
	told := strings.Split(said(notes), "\n")
	for _, want := range []string{"subject shop.Stray: belongs to no topic", "subject plain-value: could not be read: status 403", "broken: its contract has no schemas"} {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("it is not told that %q:\n%s", want, said(notes))
		}
	}
	if len(told) != 3 {
		t.Errorf("too much is told:\n%s", said(notes))
	}
}

// FuzzInlined: no schema of a registry brings the inliner down, and what it makes is JSON.
func FuzzInlined(f *testing.F) {
	f.Add(order, `{"type":"record","name":"Party","namespace":"shop","fields":[{"name":"home","type":"shop.Order"}]}`)
	f.Add(`["A","null"]`, `{"type":"enum","name":"A","symbols":["x"]}`)
	f.Fuzz(func(t *testing.T, text, inner string) {
		out, err := inlined(schema.Registered{Kind: schema.Avro, Text: text, References: []schema.Import{{Name: "i", Registered: schema.Registered{Kind: schema.Avro, Text: inner}}}})
		if err != nil {
			return
		}
		if _, err := parsed(out); err != nil {
			t.Errorf("%q of %q and %q: %v", out, text, inner, err)
		}
	})
}
