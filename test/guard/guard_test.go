// Package guard compares what the gateway advertises with the message
// definitions in the published jar of every supported release of Apache Kafka:
// each field that may name something has a rule, each API a row, and what the
// gateway checks frames with is what the releases write. It starts nothing.
package guard

import (
	"bytes"
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/handler/fieldrule"
	"sluice/internal/kafka/definition"
	"sluice/internal/kafka/wire"
	"sluice/internal/kafkatest"
)

const (
	fields    = "../../internal/gateway/handler/testdata/fields.txt"
	generated = "../../internal/kafka/wire/schema_gen.go"
)

// newest is the release that schema_gen.go is made from.
const newest = "4.3.1"

type release map[int16]*definition.API

func (r release) Knows(key, version int16) bool {
	return r[key] != nil && definition.Has(r[key].Request.ValidVersions, version)
}

func (r release) Fields(key int16, response bool, version int16) iter.Seq[definition.Field] {
	return r.message(key, response).In(version)
}

func (r release) message(key int16, response bool) *definition.Message {
	if response {
		return r[key].Response
	}
	return r[key].Request
}

// read returns the definitions of a release from its jar. One that is not there and cannot be fetched fails the test.
func read(t *testing.T, version string) release {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	libs, err := kafkatest.Jars(ctx, version)
	if err != nil {
		t.Fatalf("the definitions of Apache Kafka %s are in its jar, which is not there: %v", version, err)
	}
	apis, err := definition.ReadJar(filepath.Join(libs, "kafka-clients-"+version+".jar"))
	if err != nil {
		t.Fatal(err)
	}
	return apis
}

func rules(t *testing.T) fieldrule.Rules {
	t.Helper()
	text, err := os.ReadFile(fields)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := fieldrule.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", fields, err)
	}
	return rules
}

func rows() (rows []fieldrule.Row) {
	for _, a := range handler.Table {
		if a.Posture != handler.Refused {
			rows = append(rows, fieldrule.Row{Key: a.Key, Name: a.Name, Min: a.Min, Max: a.Max})
		}
	}
	return rows
}

// Every advertised version, in the words of every release that has it.
func TestEveryReleasesFieldsHaveRules(t *testing.T) {
	for _, version := range kafkatest.Versions() {
		t.Run(version, func(t *testing.T) {
			problems, met := fieldrule.Check(rows(), rules(t), read(t, version), version != newest)
			for _, p := range problems {
				t.Error(p)
			}
			if len(met) < 200 {
				t.Errorf("only %d fields with a rule were met", len(met))
			}
		})
	}
}

// The guard fails for what it is there for: the same definitions, doctored.
func TestADoctoredReleaseFails(t *testing.T) {
	for _, test := range []struct {
		name, want string
		doctor     func(release, fieldrule.Rules)
	}{
		{"a topic id in a request", "Heartbeat request TopicRef (uuid, from version 0)", func(r release, _ fieldrule.Rules) {
			m := r[12].Request
			m.Fields = append(m.Fields, definition.Member{Name: "TopicRef", Type: "uuid", Versions: "0+"})
		}},
		{"a host deep in an answer", "Metadata response Topics.Partitions.Leader2.Host (string, from version 12)", func(r release, _ fieldrule.Rules) {
			topics := member(r[3].Response.Fields, "Topics")
			partitions := member(topics.Fields, "Partitions")
			partitions.Fields = append(partitions.Fields, definition.Member{Name: "Leader2", Type: "Broker", Versions: "12+",
				Fields: []definition.Member{{Name: "Host", Type: "string", Versions: "12+"}}})
		}},
		{"a tagged number that Kafka calls a producer", "EndTxn response Other (int64, from version 5)", func(r release, _ fieldrule.Rules) {
			tag := definition.Tag(0)
			r[26].Response.Fields = append(r[26].Response.Fields, definition.Member{Name: "Other", Type: "int64", Versions: "5+", TaggedVersions: "5+", Tag: &tag, EntityType: "producerId"})
		}},
		{"a rule that is gone", "SyncGroup request GroupId (string, from version 0)", func(_ release, rules fieldrule.Rules) { delete(rules, "SyncGroup request GroupId") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, rules := read(t, newest), rules(t)
			test.doctor(r, rules)
			problems, _ := fieldrule.Check(rows(), rules, r, false)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], test.want) {
				t.Errorf("got %q, want one problem: %s", problems, test.want)
			}
		})
	}
}

func member(in []definition.Member, name string) *definition.Member {
	for i := range in {
		if in[i].Name == name {
			return &in[i]
		}
	}
	panic("bug: the definitions have no " + name)
}

// What the gateway checks frames with is what the newest release defines.
func TestTheCommittedTablesAreTheJars(t *testing.T) {
	want, err := definition.Render(newest, read(t, newest))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(generated)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the jar of Apache Kafka %s says: go generate ./internal/kafka/wire", generated, newest)
	}
}

// An older release writes the versions that both have as the newest one does,
// so that one table is right for all of them. Versions that a release marks as
// unstable are not offered by it.
func TestReleasesAgreeOnTheVersionsTheyShare(t *testing.T) {
	latest := read(t, newest)
	for _, version := range kafkatest.Versions() {
		if version == newest {
			continue
		}
		r := read(t, version)
		for _, row := range rows() {
			for v := row.Min; v <= row.Max; v++ {
				if !r.Knows(row.Key, v) || !latest.Knows(row.Key, v) {
					continue
				}
				if _, highest, _ := definition.Span(r[row.Key].Request.ValidVersions); v == highest && r[row.Key].Request.LatestVersionUnstable {
					continue
				}
				for _, response := range []bool{false, true} {
					if got, want := layout(r.message(row.Key, response), v), layout(latest.message(row.Key, response), v); got != want {
						t.Errorf("%s version %d (answer: %t) in Apache Kafka %s:\n%s\nin %s:\n%s", row.Name, v, response, version, got, newest, want)
					}
				}
			}
		}
	}
}

// layout is the types in the order of the wire; names may change between
// releases and cost nothing.
func layout(m *definition.Message, version int16) string {
	lines := strings.Split(m.Layout(version), "\n")
	for i, line := range lines {
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "flexible") {
			lines[i] = line[:at]
		}
	}
	return strings.Join(lines, "\n")
}

// A Kafka API that a release brings has a row, and be it to refuse it: nothing is forgotten.
func TestEveryAPIOfEveryReleaseHasARow(t *testing.T) {
	known := map[int16]string{}
	for _, a := range handler.Table {
		known[a.Key] = a.Name
	}
	for _, version := range kafkatest.Versions() {
		for key, api := range read(t, version) {
			if known[key] != api.Name && (version == newest || known[key] == "") { // an API may have got another name since
				t.Errorf("Apache Kafka %s has %s, API key %d; the table has %q there", version, api.Name, key, known[key])
			}
			if wire.APIName(key) == "" && handler.Lookup(key) != nil {
				t.Errorf("API key %d is advertised and cannot be checked", key)
			}
		}
	}
}
