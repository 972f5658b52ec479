package handler

import (
	"iter"
	"os"
	"testing"

	"sluice/internal/gateway/handler/fieldrule"
	"sluice/internal/kafka/definition"
	"sluice/internal/kafka/wire"
)

// Every field of an advertised version that can carry a name, an id, a host, a
// port or opaque bytes has a rule in testdata/fields.txt: what the gateway does
// with it. A wider range of versions, or a newer schema, that brings a field
// without a rule fails here, and so does a rule whose field is gone. These are
// the definitions the gateway itself is built with; test/guard does the same
// with those in the jars of every supported release.
func TestEveryFieldThatMayNameSomethingHasARule(t *testing.T) {
	file, err := os.Open("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rules, err := fieldrule.Read(file)
	if err != nil {
		t.Fatalf("testdata/fields.txt: %v", err)
	}
	var rows []fieldrule.Row
	for _, api := range Table {
		if api.Posture != Refused {
			rows = append(rows, fieldrule.Row{Key: api.Key, Name: api.Name, Min: api.Min, Max: api.Max})
		}
	}
	problems, met := fieldrule.Check(rows, rules, committed{}, false)
	for _, p := range problems {
		t.Error(p)
	}
	for field := range rules {
		if !met[field] {
			t.Errorf("%s has a rule, and no advertised version has the field", field)
		}
	}
}

// committed are the definitions in the repository, which package wire checks
// frames with.
type committed struct{}

func (committed) Knows(key, version int16) bool {
	lo, hi, ok := wire.APIVersions(key)
	return ok && lo <= version && version <= hi
}

func (committed) Fields(key int16, response bool, version int16) iter.Seq[definition.Field] {
	return func(yield func(definition.Field) bool) {
		for f := range wire.Fields(key, response, version) {
			if !yield(definition.Field{Path: f.Path, Type: f.Type, EntityType: f.EntityType}) {
				return
			}
		}
	}
}
