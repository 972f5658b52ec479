package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/lint"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/tree"
)

func load(t testing.TB, text string) *contract.Document {
	t.Helper()
	d := contract.Load("a.yaml", []byte(text), contract.Options{})
	if d.Model == nil {
		t.Fatal(d.Problems)
	}
	return d
}

func told(r lint.Result) []string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, fmt.Sprintf("%d:%d %s %s", p.Line, p.Column, p.Severity, p.Rule))
	}
	return out
}

const poor = `asyncapi: 3.0.0
info: {title: x, version: "1"}
servers:
  plain: {host: "kafka:9092", protocol: kafka, security: [{$ref: '#/components/securitySchemes/plain'}]}
  open: {host: "kafka:9093", protocol: kafka-secure}
channels:
  Orders_Placed:
    address: Shop_prod_Orders
    messages:
      event: {$ref: '#/components/messages/Event'}
      other: {}
operations:
  send: {action: send, channel: {$ref: '#/channels/Orders_Placed'}}
components:
  messages:
    Event:
      headers: {type: object, required: [ce_id], properties: {ce_id: {type: string}, ce_Trace: {type: string}}}
      payload:
        type: object
        properties:
          customerEmail: {type: string}
          card: {type: object, x-classification: sensitive, properties: {pan: {type: string, x-masking: {with: last4}}}}
  securitySchemes:
    plain: {type: plain, x-sasl.jaas.config: 'required username="a" password="hunter22";'}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "http://example.com", availableScopes: {}}}}
`

// TestPacks: a poor contract breaks every rule of the packs, each at its place; a good
// one breaks none.
func TestPacks(t *testing.T) {
	want := map[string][]string{
		"kafka-naming":  {"7:3 info kafka-naming-channel", "8:5 info kafka-naming-segments", "8:5 warning kafka-naming-case", "8:5 warning kafka-naming-environment"},
		"docs-complete": {"2:1 warning docs-info", "2:1 warning docs-owner", "7:3 warning docs-channel", "11:7 info docs-example", "11:7 warning docs-message", "11:7 warning docs-payload", "13:3 info docs-operation", "16:5 info docs-example", "16:5 warning docs-message", "21:11 info docs-field", "22:11 info docs-field", "22:74 info docs-field"},
		"pii":           {"21:11 warning pii-unclassified", "22:11 warning pii-unmasked"},
		"cloudevents":   {"7:3 info cloudevents-mixed", "17:7 error cloudevents-required", "17:7 warning cloudevents-version", "17:86 error cloudevents-name"},
		"security":      {"4:31 warning security-transport", "4:48 error security-plain", "5:3 warning security-login", "24:26 error security-secret", "25:55 warning security-url"},
	}
	rich, err := os.ReadFile("testdata/rich.yaml")
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]bool{}
	for _, pack := range lint.Packs() {
		t.Run(pack, func(t *testing.T) {
			r, err := lint.New(pack)
			if err != nil {
				t.Fatal(err)
			}
			found := r.Run(load(t, poor))
			got := told(found)
			slices.Sort(got)
			expected := slices.Clone(want[pack])
			slices.Sort(expected)
			if !slices.Equal(got, expected) {
				t.Errorf("got  %q\nwant %q", got, expected)
			}
			for _, p := range found.Problems {
				broken[p.Rule] = true
				if p.File != "a.yaml" || p.Message == "" || p.Fix == "" {
					t.Errorf("incomplete: %+v", p)
				}
				if known, ok := rule.Find(p.Rule); !ok || known.Severity != p.Severity {
					t.Errorf("%s: %s is not what the table says", p.Rule, p.Severity)
				}
			}
			if found.Score >= 60 || found.Packs[pack] != found.Score {
				t.Errorf("score: got %d, pack %v", found.Score, found.Packs)
			}
			d := load(t, string(rich))
			if len(d.Problems) > 0 {
				t.Errorf("the good contract: %v", d.Problems)
			}
			if good := r.Run(d); len(good.Problems) > 0 || good.Score != 100 {
				t.Errorf("the good contract: %d, %v", good.Score, good.Problems)
			}
		})
	}
	for _, g := range rule.Groups() {
		for _, one := range g.Rules {
			if strings.HasPrefix(g.Title, "Lint: ") && one.ID != "lint-custom" && !broken[one.ID] {
				t.Errorf("the poor contract does not break %s", one.ID)
			}
		}
	}
}

func TestRuleset(t *testing.T) {
	const rules = `
extends: [kafka-naming]
rules:
  kafka-naming-segments: off
  kafka-naming-channel: error
  kafka-naming-case: {severity: info}
  address-prefix:
    description: topics begin with shop
    severity: error
    given: $.channels[*]
    then: {field: address, function: pattern, functionOptions: {match: "^shop[.]"}}
  title-length: {given: $.info.title, severity: hint, then: {function: length, functionOptions: {min: 3}}}
  wants-license: {message: "no license: {{error}}", given: $.info, then: [{field: license, function: truthy}, {field: x-nothing, function: undefined}]}
  names: {given: "$.components.messages[*]~", then: {function: casing, functionOptions: {type: camel}}}
  in-messages: {given: "$.channels[*].messages[*].payload.properties[*]", then: {field: type, function: enumeration, functionOptions: {values: [object]}}}
  everywhere: {given: "$..[?(@.type == 'plain')]", then: {function: schema, functionOptions: {schema: {required: [description]}}}}
  some: {given: "$.servers[?(@.protocol != 'kafka-secure')]", then: {field: "@key", function: pattern, functionOptions: {notMatch: "/^PLAIN$/i"}}}
overrides:
  - files: ["a.yaml#/channels/Orders_Placed/address", "other.yaml"]
    rules: {kafka-naming-environment: off, address-prefix: warn}
`
	r, problems := lint.Read("rules.yaml", []byte(rules))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := r.Run(load(t, poor))
	want := []string{
		"2:8 info title-length", "2:1 warning wants-license", "4:3 warning some", "7:3 error kafka-naming-channel", "8:5 info kafka-naming-case", "8:5 warning address-prefix",
		"16:5 warning names", "21:27 warning in-messages", "24:5 warning everywhere",
	}
	found := told(got)
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("got  %q\nwant %q\n%v", found, want, got.Problems)
	}
	for _, p := range got.Problems {
		if p.Rule == "wants-license" && p.Message != `no license: "license" must be there` {
			t.Errorf("got %q", p.Message)
		}
		if p.Rule == "address-prefix" && p.Message != `topics begin with shop: "Shop_prod_Orders" does not match ^shop[.]` {
			t.Errorf("got %q", p.Message)
		}
	}
}

func TestWrongRulesets(t *testing.T) {
	for text, want := range map[string]string{
		"[1]":                    "rules.yaml:1:1: error: a ruleset is an object",
		"rulse: {}":              `rules.yaml:1:1: error: "rulse" is no field of a ruleset`,
		"extends: kafka-nameing": "did you mean kafka-naming?",
		"rules: {x: off}":        `there is no rule "x"`,
		"rules: {x: 5}":          `rule "x" must be a severity or an object`,
		"rules: {x: {given: $}}": "needs given and then",
		"rules: {x: {given: a, then: {function: truthy}}}":                                           "must begin with $",
		"rules: {x: {given: '$.a[', then: {function: truthy}}}":                                      "] is missing",
		"rules: {x: {given: '$[?(@.a > 5)]', then: {function: truthy}}}":                             "",
		"rules: {x: {given: '$[?(a)]', then: {function: truthy}}}":                                   "is not understood",
		"rules: {x: {given: $, then: {function: truethy}}}":                                          "did you mean truthy?",
		"rules: {x: {given: $, then: {function: pattern}}}":                                          "needs match or notMatch",
		"rules: {x: {given: $, then: {function: pattern, functionOptions: {match: '['}}}}":           "missing closing ]",
		"rules: {x: {given: $, severity: bad, then: {function: truthy}}}":                            "is not a severity",
		"rules: {x: {given: $, then: {function: schema, functionOptions: {schema: {type: strin}}}}}": "the schema cannot be used",
		"extends: [pii]\noverrides: [{rules: {pii-unmasked: off}}]":                                  "an override names files",
		"extends: [pii]\noverrides: [{files: [a], rules: {none: off}}]":                              "gives a severity to a rule of the ruleset",
	} {
		_, problems := lint.Read("rules.yaml", []byte(text))
		if want == "" {
			continue
		}
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: got %v, want one with %q", text, problems, want)
		}
	}
	if _, err := lint.New("pi"); err == nil || !strings.Contains(err.Error(), "did you mean pii?") {
		t.Errorf("got %v", err)
	}
}

func TestPaths(t *testing.T) {
	root, problems := tree.Parse("a.yaml", []byte("a: {b: [1, {c: 2}], 'x.y': 3, c: 4}\nd: {k: v, e: {k: w}}\nr: {$ref: '#/d'}\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	resolve := func(n *tree.Node) *tree.Node {
		if n.Get("$ref").Str() == "#/d" {
			return root.Get("d")
		}
		return n
	}
	for path, want := range map[string]string{
		"$": "", "$.a.b": "/a/b", "$.a['x.y']": "/a/x.y", "$.a.b[0]": "/a/b/0", "$.a.b[*]": "/a/b/0 /a/b/1", "$..c": "/a/c /a/b/1/c", "$.a['c','b']": "/a/c /a/b",
		"$[?(@.k)]": "/d /r", "$.d[?(@.k == 'w')]": "/d/e", "$.d[?(@.k != 'w')]": "/d/k", "$[?(!@.k)]": "/a", "$[?(@property == 'd')]": "/d", "$.r.k": "/d/k", "$.none": "", "$.a.*": "/a/b /a/x.y /a/c", "$.a.b[7]": "",
	} {
		p, err := lint.ParsePath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var got []string
		for _, n := range p.Find(root, resolve) {
			got = append(got, n.Pointer())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func FuzzRun(f *testing.F) {
	files, err := filepath.Glob("../testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "$..[?(@.type == 'string')]~")
	}
	f.Add([]byte(poor), "$.channels[*].messages[*]")
	r, err := lint.New(lint.Packs()...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		d := contract.Load("a.yaml", text, contract.Options{})
		found := r.Run(d)
		if found.Score < 0 || found.Score > 100 {
			t.Errorf("score %d", found.Score)
		}
		if own, problems := lint.Read("rules.yaml", []byte("rules: {x: {given: "+fmt.Sprintf("%q", path)+", then: {function: falsy}}}")); len(problems) == 0 {
			own.Run(d)
		}
	})
}
