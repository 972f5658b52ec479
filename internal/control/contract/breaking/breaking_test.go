package breaking_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/breaking"
	"sluice/internal/control/contract/rule"
)

// base is a contract that sends on one channel and receives on another; cases
// replace its lines.
const base = `asyncapi: 3.0.0
info: {title: Orders, version: 1.0.0}
servers:
  main: {host: "kafka:9092", protocol: kafka-secure, security: [{$ref: '#/components/securitySchemes/scram'}, {$ref: '#/components/securitySchemes/oauth'}]}
channels:
  out:
    address: orders.out
    messages:
      placed:
        headers: {type: object, required: [trace], properties: {trace: {type: string}}}
        payload: {type: object, required: [id, total], properties: {id: {type: string}, total: {type: number, minimum: 0}, state: {enum: [new, paid]}, note: {type: string}}}
        correlationId: {location: $message.header#/trace}
        bindings: {kafka: {key: {type: string}}}
      changed: {payload: {type: string}}
    bindings: {kafka: {partitions: 6, topicConfiguration: {cleanup.policy: [delete], retention.ms: 604800000, retention.bytes: -1}}}
  in:
    address: orders.in
    messages:
      order:
        headers: {type: object, required: [trace], properties: {trace: {type: string}}}
        payload: {type: object, required: [id], properties: {id: {type: string}, total: {type: number, minimum: 0}, state: {enum: [new, paid]}, note: {type: string}}}
        bindings: {kafka: {key: {type: string}}}
    bindings: {kafka: {partitions: 6, topicConfiguration: {retention.ms: 1000, max.message.bytes: 1000000}}}
  answers: {address: orders.answers, messages: {done: {payload: {type: boolean}}}}
  byRegion: {address: "orders.{region}", parameters: {region: {enum: [eu, us]}}, messages: {m: {payload: {type: string}}}}
  unused: {address: orders.unused, messages: {m: {payload: {type: string}}}}
operations:
  sendOut: {action: send, channel: {$ref: '#/channels/out'}}
  takeIn: {action: receive, channel: {$ref: '#/channels/in'}, reply: {channel: {$ref: '#/channels/answers'}}}
  takeMore: {action: receive, channel: {$ref: '#/channels/in'}}
  regional: {action: send, channel: {$ref: '#/channels/byRegion'}}
components:
  securitySchemes: {scram: {type: scramSha512}, oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://example.com", availableScopes: {}}}}}
`

// model loads base with replacements: pairs of what stands there and what is to.
func model(t *testing.T, name string, replace ...string) *contract.Model {
	t.Helper()
	text := base
	for i := 0; i < len(replace); i += 2 {
		before, after, ok := strings.Cut(text, replace[i])
		if !ok {
			t.Fatalf("the contract has no %q", replace[i])
		}
		text = before + replace[i+1] + after
	}
	d := contract.Load(name, []byte(text), contract.Options{})
	if d.Bad() {
		t.Fatalf("%s: %v\n%s", name, d.Problems, text)
	}
	return d.Model
}

func told(changes []breaking.Change) string {
	var out []string
	for _, c := range changes {
		who := make([]string, len(c.Who))
		for i, p := range c.Who {
			who[i] = string(p)
		}
		out = append(out, fmt.Sprintf("%s %s %s", c.Severity, c.Rule, strings.Join(who, "+")))
	}
	return strings.Join(out, ", ")
}

// The two payloads, which begin alike.
const (
	sent     = "payload: {type: object, required: [id, total], properties: {id: {type: string}, total: {type: number, minimum: 0}, state: {enum: [new, paid]}, note: {type: string}}}"
	received = "payload: {type: object, required: [id], properties: {id: {type: string}, total: {type: number, minimum: 0}, state: {enum: [new, paid]}, note: {type: string}}}"
)

func payload(is, was, now string) []string { return []string{is, strings.Replace(is, was, now, 1)} }

// TestRules: each rule with a change that breaks it, the same change undone, and a
// neighbour, the same in the other direction, that does not.
func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name         string
		change       []string
		want, undone string
	}{
		{"nothing", nil, "", ""},
		{"prose, and what nobody uses", []string{"title: Orders", "title: Others, description: new", "orders.unused", "orders.other"}, "", ""},
		{"a channel is gone", []string{"  regional: {action: send, channel: {$ref: '#/channels/byRegion'}}\n", "", "  byRegion: {address: \"orders.{region}\", parameters: {region: {enum: [eu, us]}}, messages: {m: {payload: {type: string}}}}\n", ""}, "error channel-removed readers", ""},
		{"a channel is renamed", []string{"  byRegion: {", "  regions: {", "#/channels/byRegion", "#/channels/regions"}, "warning channel-renamed readers", "warning channel-renamed readers"},
		{"another address", []string{"orders.out", "orders.out.v2"}, "error channel-address readers", "error channel-address readers"},
		{"a parameter loses a value", []string{"enum: [eu, us]", "enum: [eu]"}, "error channel-parameter readers", ""},
		{"it sends no more", []string{"  sendOut: {action: send", "  sendOut: {action: receive"}, "error read-removed readers", "error write-removed writers"},
		{"it receives no more, and answers elsewhere", []string{"  takeIn: {action: receive", "  takeIn: {action: send", "  takeMore: {action: receive, channel: {$ref: '#/channels/in'}}\n", ""}, "error write-removed writers, error read-removed readers", "error read-removed readers, error write-removed writers"},
		{"an operation of two is gone", []string{"  takeMore: {action: receive, channel: {$ref: '#/channels/in'}}\n", ""}, "warning operation-removed writers", ""},
		{"a message is no longer sent", []string{"      changed: {payload: {type: string}}\n", ""}, "error message-removed readers", "warning message-added readers"},
		{"a message is no longer taken", []string{"      order:\n", "      extra: {payload: {type: integer}}\n      order:\n"}, "", "error message-removed writers"},
		{"a message is renamed: matched by what it holds", []string{"      changed: {", "      altered: {"}, "", ""},

		{"sent: a type changes", payload(sent, "note: {type: string}", "note: {type: integer}"), "error payload-type readers", "error payload-type readers"},
		{"sent: a type is widened", payload(sent, "note: {type: string}", "note: {type: [string, 'null']}"), "error payload-type readers", ""},
		{"received: a type is widened", payload(received, "note: {type: string}", "note: {type: [string, 'null']}"), "", "error payload-type writers"},
		{"sent: required is dropped", payload(sent, "required: [id, total]", "required: [id]"), "error payload-required readers", ""},
		{"received: required is added", payload(received, "required: [id]", "required: [id, total]"), "error payload-required writers", ""},
		{"sent: a field is gone", payload(sent, ", note: {type: string}", ""), "error payload-field-removed readers", ""},
		{"received: a field is gone, and still admitted", payload(received, ", note: {type: string}", ""), "", ""},
		{"sent: a required field is gone: told once", payload(sent, "required: [id, total], properties: {id: {type: string}, total: {type: number, minimum: 0}", "required: [id], properties: {id: {type: string}"), "error payload-field-removed readers", ""},
		{"received: a required field is new: told once", payload(received, "required: [id], properties: {", "required: [id, more], properties: {more: {type: string}, "), "error payload-required writers", ""},
		{"received: further fields are refused", payload(received, "required: [id],", "required: [id], additionalProperties: false,"), "error payload-field-refused writers", ""},
		{"sent: further fields are no longer sent", payload(sent, "required: [id, total],", "required: [id, total], additionalProperties: false,"), "", "error payload-field-refused readers"},
		{"sent: a value more", payload(sent, "[new, paid]", "[new, paid, sent]"), "error payload-values readers", ""},
		{"received: a value more", payload(received, "[new, paid]", "[new, paid, sent]"), "", "error payload-values writers"},
		{"sent: bounds are wider", payload(sent, "minimum: 0", "minimum: -1"), "error payload-bounds readers", ""},
		{"received: bounds are wider", payload(received, "minimum: 0", "minimum: -1"), "", "error payload-bounds writers"},
		{"sent: a format is lost", payload(sent, "id: {type: string}", "id: {type: string, format: uuid}"), "", "error payload-format readers"},
		{"received: a format is wanted", payload(received, "id: {type: string}", "id: {type: string, format: uuid}"), "error payload-format writers", ""},
		{"received: a condition is new", payload(received, "{type: object, required: [id]", "{type: object, if: {required: [note]}, then: {required: [total]}, required: [id]"), "error payload-rule writers", ""},
		{"sent: Avro for JSON Schema", []string{sent, "payload: {schemaFormat: 'application/vnd.apache.avro;version=1.9.0', schema: {type: record, name: O, fields: [{name: id, type: string}]}}"}, "error payload-language readers", "error payload-language readers"},
		{"sent: the payload is no longer described", []string{sent, "summary: none"}, "info payload-described readers", "info payload-described readers"},
		{"a schema in a language that is not known", []string{"changed: {payload: {type: string}}", "changed: {payload: {schemaFormat: application/raml+yaml;version=1.0, schema: {type: string}}}"}, "error payload-language readers", "error payload-language readers"},

		{"sent: another key", []string{"correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: string}}}", "correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: integer}}}"}, "error key-schema readers", "error key-schema readers"},
		{"sent: no key", []string{"correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: string}}}", "correlationId: {location: $message.header#/trace}"}, "error key-removed readers", ""},
		{"sent: a header may be missing", []string{"headers: {type: object, required: [trace]", "headers: {type: object, required: []"}, "error headers-required readers", ""},
		{"sent: a header is gone", []string{"headers: {type: object, required: [trace], properties: {trace: {type: string}}}", "headers: {type: object}"}, "error headers-schema readers", ""},
		{"sent: another content type", []string{"      placed:\n", "      placed:\n        contentType: application/json\n"}, "", "error content-type readers"},
		{"sent: the schema id moves", []string{"correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: string}}}", "correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: string}, schemaIdLocation: header}}"}, "", "error schema-id-location readers"},
		{"sent: CloudEvents begin", []string{"properties: {trace: {type: string}}", "properties: {trace: {type: string}, ce_id: {type: string}}"}, "error cloudevents-mode readers", "error cloudevents-mode readers, error headers-schema readers"},
		{"sent: the correlation id moves", []string{"$message.header#/trace", "$message.payload#/id"}, "warning correlation-id readers", "warning correlation-id readers"},

		{"partitions of a topic with keys", []string{"partitions: 6", "partitions: 12"}, "error partitions-keyed readers", "error partitions-keyed readers"},
		{"kept for a shorter time", []string{"604800000", "86400000"}, "error retention-shortened readers", ""},
		{"kept in fewer bytes", []string{"retention.bytes: -1", "retention.bytes: 1000"}, "error retention-shortened readers", ""},
		{"who only writes does not mind", []string{"retention.ms: 1000,", "retention.ms: 10,"}, "", ""},
		{"compacted", []string{"cleanup.policy: [delete]", "cleanup.policy: [delete, compact]"}, "error cleanup-policy readers", ""},
		{"smaller records", []string{"max.message.bytes: 1000000", "max.message.bytes: 1000"}, "error record-size writers", ""},
		{"no reply", []string{", reply: {channel: {$ref: '#/channels/answers'}}", ""}, "error reply-changed writers, error read-removed readers", ""},
		{"a reply elsewhere", []string{"orders.answers", "orders.other"}, "error reply-changed writers, error channel-address readers", "error reply-changed writers, error channel-address readers"},
		{"a way to log in is gone", []string{", {$ref: '#/components/securitySchemes/oauth'}", ""}, "error security-removed readers+writers", ""},
		{"a login is needed", []string{", security: [{$ref: '#/components/securitySchemes/scram'}, {$ref: '#/components/securitySchemes/oauth'}]", ""}, "error security-removed readers+writers, error security-removed readers+writers", "error security-added readers+writers"},
		{"another server", []string{"kafka:9092", "other:9092"}, "info server-removed readers+writers", "info server-removed readers+writers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			from, to := model(t, "old.yaml"), model(t, "new.yaml", tc.change...)
			changes := breaking.Compare(from, to)
			if got := told(changes); got != tc.want {
				t.Errorf("got %q, want %q: %v", got, tc.want, changes)
			}
			if got := told(breaking.Compare(to, from)); got != tc.undone {
				t.Errorf("undone: got %q, want %q: %v", got, tc.undone, breaking.Compare(to, from))
			}
			for _, c := range changes {
				if c.File == "" || c.Line == 0 || c.Message == "" || c.Fix == "" || c.Changelog == "" || c.Old.File == "" && c.New.File == "" {
					t.Errorf("incomplete: %+v", c)
				}
			}
			for _, m := range []*contract.Model{from, to} {
				if got := breaking.Compare(m, m); len(got) > 0 {
					t.Errorf("a contract breaks itself: %v", got)
				}
			}
		})
	}
}

// TestEveryRuleFires keeps the table above whole.
func TestEveryRuleFires(t *testing.T) {
	text, err := os.ReadFile("breaking_test.go")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{"payload-name", "payload-not-compared", "partitions"} // TestOtherLanguages, TestPlaces
	for _, g := range rule.Groups() {
		if g.Title != "Breaking changes" {
			continue
		}
		for _, r := range g.Rules {
			if !strings.Contains(string(text), r.Severity.String()+" "+r.ID+" ") && !slices.Contains(elsewhere, r.ID) {
				t.Errorf("no case of TestRules wants %s", r.ID)
			}
		}
	}
}

func TestOtherLanguages(t *testing.T) {
	in := func(format, schema string) *contract.Model {
		t.Helper()
		text := "asyncapi: 3.0.0\ninfo: {title: x, version: '1'}\nchannels:\n  c:\n    address: c\n    messages:\n      m:\n        payload:\n          schemaFormat: " + format + "\n          schema: " + schema +
			"\noperations: {send: {action: send, channel: {$ref: '#/channels/c'}}}\n"
		d := contract.Load("a.yaml", []byte(text), contract.Options{})
		if d.Bad() {
			t.Fatal(d.Problems)
		}
		return d.Model
	}
	avro := func(fields string) *contract.Model {
		return in("application/vnd.apache.avro;version=1.9.0", "{type: record, name: O, fields: ["+fields+"]}")
	}
	proto := func(fields string) *contract.Model {
		return in("application/vnd.google.protobuf;version=3", "'syntax = \"proto3\"; message O { "+fields+" }'")
	}
	for _, tc := range []struct {
		name     string
		from, to *contract.Model
		want     string
	}{
		{"Avro: a field with a default is gone", avro("{name: a, type: int, default: 0}, {name: b, type: int}"), avro("{name: b, type: int}"), "error payload-field-removed readers"},
		{"Avro: a field without a default is gone", avro("{name: a, type: int}, {name: b, type: int}"), avro("{name: b, type: int}"), "error payload-required readers"},
		{"Avro: a field more", avro("{name: b, type: int}"), avro("{name: a, type: int}, {name: b, type: int}"), ""},
		{"Avro: promoted the wrong way", avro("{name: b, type: int}"), avro("{name: b, type: long}"), "error payload-type readers"},
		{"Protobuf: a field is gone", proto("int32 a = 1; int32 b = 2;"), proto("int32 b = 2;"), "error payload-field-removed readers"},
		{"Protobuf: a field more", proto("int32 b = 2;"), proto("int32 a = 1; int32 b = 2;"), ""},
		{"Protobuf: another type", proto("int32 b = 2;"), proto("string b = 2;"), "error payload-type readers"},
		{"Protobuf: another name", proto("int32 b = 2;"), proto("int32 c = 2;"), "warning payload-name readers"},
		{"RAML", in("application/raml+yaml;version=1.0", "{type: string}"), in("application/raml+yaml;version=1.0", "{type: number}"), "warning payload-not-compared readers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := told(breaking.Compare(tc.from, tc.to)); got != tc.want {
				t.Errorf("got %q, want %q: %v", got, tc.want, breaking.Compare(tc.from, tc.to))
			}
		})
	}
}

// TestPlaces: the place in both revisions, and a line for the changelog.
func TestPlaces(t *testing.T) {
	changes := breaking.Compare(model(t, "old.yaml", "correlationId: {location: $message.header#/trace}\n        bindings: {kafka: {key: {type: string}}}", "summary: none"),
		model(t, "new.yaml", "note: {type: string}", "note: {type: integer}", "      changed: {payload: {type: string}}\n", "", "partitions: 6", "partitions: 5", "info: {title: Orders, version: 1.0.0}", "info:\n  title: Orders\n  version: 1.1.0"))
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s | %s%s | %s%s", c.Rule, c.Old, c.Old.Pointer, c.New, c.New.Pointer))
	}
	want := []string{
		"payload-type | old.yaml:11:159/channels/out/messages/placed/payload/properties/note/type | new.yaml:13:159/channels/out/messages/placed/payload/properties/note/type",
		"message-removed | old.yaml:13:7/channels/out/messages/changed | new.yaml:8:3/channels/out",
		"partitions | old.yaml:14:5/channels/out/bindings | new.yaml:16:5/channels/out/bindings",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := strings.Split(breaking.Changelog(changes), "\n")[1], "- Breaking for readers: message changed of channel out is no longer sent."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !breaking.Breaks(changes) || breaking.Breaks(changes[2:]) {
		t.Error("a break is an error, and nothing else")
	}
}

// TestVersionsOfAsyncAPI: a document of 2.x and what it is converted to say the same.
func TestVersionsOfAsyncAPI(t *testing.T) {
	text, err := os.ReadFile("../testdata/good/orders-2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	two := contract.Load("two.yaml", text, contract.Options{})
	three := contract.Load("three.yaml", two.Model.Emit(contract.Version30).YAML(), contract.Options{})
	if got := breaking.Compare(two.Model, three.Model); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := breaking.Compare(three.Model, two.Model); len(got) > 0 {
		t.Errorf("the other way round: got %v", got)
	}
}

func FuzzCompare(f *testing.F) {
	files, err := filepath.Glob("../testdata/good/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	files = append(files, "../testdata/wrong/examples.yaml", "../testdata/wrong/ambiguous.yaml")
	var seeds [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, text)
	}
	seeds = append(seeds, []byte(base))
	for _, a := range seeds {
		f.Add(a, []byte(base))
		f.Add([]byte(base), a)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		from, to := contract.Load("a.yaml", a, contract.Options{}), contract.Load("b.yaml", b, contract.Options{})
		if from.Model == nil || to.Model == nil {
			return
		}
		for _, c := range breaking.Compare(from.Model, to.Model) {
			if c.Message == "" || c.Changelog == "" {
				t.Errorf("incomplete: %+v", c)
			}
		}
		if from.Bad() {
			return
		}
		for _, c := range breaking.Compare(from.Model, from.Model) {
			if c.Severity == rule.Error {
				t.Errorf("a contract breaks itself: %s", c)
			}
		}
	})
}
