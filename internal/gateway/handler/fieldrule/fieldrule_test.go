package fieldrule

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"sluice/internal/kafka/definition"
)

// doctored is a release that added one field of each kind that tells something
// to version 1 of an API, and some that do not.
const doctored = `{
  "apiKey": 7, "type": "request", "name": "OrderRequest", "validVersions": "0-1", "flexibleVersions": "0+",
  // a comment, as Kafka writes them
  "fields": [
    { "name": "Name", "type": "string", "versions": "0+" },
    { "name": "Count", "type": "int32", "versions": "0+" },
    { "name": "Later", "type": "string", "versions": "2+" },
    { "name": "Leader", "type": "int32", "versions": "1+", "entityType": "brokerId" },
    { "name": "Items", "type": "[]Item", "versions": "1+", "fields": [
      { "name": "Ref", "type": "uuid", "versions": "1+" },
      { "name": "Refs", "type": "[]uuid", "versions": "1+" },
      { "name": "Owner", "type": "Common", "versions": "1+" }
    ]},
    { "name": "Matches", "type": "bytes", "versions": "1+", "taggedVersions": "1+", "tag": 0 },
    { "name": "NameRegex", "type": "[]int16", "versions": "1+" },
    { "name": "Port", "type": "uint16", "versions": "1+" },
    { "name": "TotalMs", "type": "int64", "versions": "1+" }
  ],
  "commonStructs": [ { "name": "Common", "versions": "0+", "fields": [
      { "name": "Principal", "type": "string", "versions": "1+" }, { "name": "PatternType", "type": "int8", "versions": "1+" } ] } ]
}`

const answered = `{ "apiKey": 7, "type": "response", "name": "OrderResponse", "validVersions": "0-1", "flexibleVersions": "0+",
  "fields": [ { "name": "ErrorCode", "type": "int16", "versions": "0+" }, { "name": "Host", "type": "string", "versions": "1+" } ] }`

type source map[int16]*definition.API

func (s source) Knows(key, version int16) bool {
	return s[key] != nil && definition.Has(s[key].Request.ValidVersions, version)
}

func (s source) Fields(key int16, response bool, version int16) iter.Seq[definition.Field] {
	if response {
		return s[key].Response.In(version)
	}
	return s[key].Request.In(version)
}

func doctoredSource(t *testing.T) source {
	s := source{}
	for _, text := range []string{doctored, answered} {
		m, err := definition.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		definition.Add(s, m)
	}
	return s
}

// The guard can fail: a schema that brings fields in a version which the table
// advertises is told field by field.
func TestAFieldThatComesWithAVersionNeedsARule(t *testing.T) {
	rules, err := Read(strings.NewReader("# known\nOrder request Name: topic, mapped\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := doctoredSource(t)
	if got, met := Check([]Row{{7, "Order", 0, 0}}, rules, s, false); len(got) != 0 || !met["Order request Name"] {
		t.Errorf("version 0 has a rule for all it may say: got %q, met %v", got, met)
	}
	got, _ := Check([]Row{{7, "Order", 0, 1}}, rules, s, false)
	var want []string
	for _, f := range []string{"request Leader (int32", "request Items.Ref (uuid", "request Items.Refs ([]uuid", "request Items.Owner.Principal (string",
		"request Items.Owner.PatternType (int8", "request Matches (bytes", "request NameRegex ([]int16", "request Port (uint16", "response Host (string"} {
		want = append(want, "Order "+f+", from version 1) has no rule in testdata/fields.txt")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAVersionBeyondTheDefinitionsIsAProblem(t *testing.T) {
	rules := Rules{"Order request Name": "topic, mapped"}
	if got, _ := Check([]Row{{7, "Order", 0, 0}, {8, "Unheard", 3, 3}}, rules, doctoredSource(t), false); len(got) != 1 || !strings.HasPrefix(got[0], "Unheard version 3") {
		t.Errorf("got %q", got)
	}
	if got, _ := Check([]Row{{8, "Unheard", 3, 3}}, rules, doctoredSource(t), true); len(got) != 0 {
		t.Errorf("an older release may lack it: got %q", got)
	}
}

func TestRulesThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"no colon", "Order request Name:", "Order Name: mapped", "Order request Name: a\nOrder request Name: b"} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
