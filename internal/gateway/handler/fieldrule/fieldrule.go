// Package fieldrule is the guard over what may name something: every field of
// an advertised version that can carry a topic, a group, a transactional id, a
// host, a port, a UUID, a principal, a regular expression or opaque bytes needs
// a rule, one line of testdata/fields.txt beside the handlers. Its main
// function is Check. It is used by tests only, and must not know the table of
// handlers or where definitions of messages come from: both are given.
package fieldrule

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	"sluice/internal/kafka/definition"
)

// Row is an advertised Kafka API with its versions, both ends included.
type Row struct {
	Key      int16
	Name     string
	Min, Max int16
}

// Rules are by field, as "API direction path".
type Rules map[string]string

// Source is where definitions of messages come from.
type Source interface {
	// Knows reports whether there is a definition of this version.
	Knows(key, version int16) bool
	Fields(key int16, response bool, version int16) iter.Seq[definition.Field]
}

// Read reads rules, one a line: "API direction path: rule". Empty lines and
// those that begin with # are comments.
func Read(r io.Reader) (Rules, error) {
	rules := Rules{}
	in := bufio.NewScanner(r)
	for line := 1; in.Scan(); line++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		field, rule, ok := strings.Cut(text, ": ")
		if !ok || rule == "" || len(strings.Fields(field)) != 3 {
			return nil, fmt.Errorf("line %d: want \"API direction path: rule\"", line)
		}
		if rules[field] != "" {
			return nil, fmt.Errorf("line %d: %s has a rule already", line, field)
		}
		rules[field] = rule
	}
	return rules, in.Err()
}

// names are the names of fields that say more than a number whatever their
// type is; Kafka gives only some of them an entity type.
var names = regexp.MustCompile(`Host|Port$|Regex|Pattern|Principal|Uui?d|TopicId|GroupId|TransactionalId|ClusterId`)

// Telling reports whether a field may say more than a number: by its type, by
// the entity that Kafka says it names, or by its own name.
func Telling(f definition.Field) bool {
	switch definition.Elem(f.Type) {
	case "string", "uuid", "bytes", "records":
		return true
	}
	return f.EntityType != "" || definition.Primitive(f.Type) && names.MatchString(f.Name())
}

// Check returns a problem for every telling field of an advertised version
// without a rule, in the order of the rows, and the fields it met that have
// one. A row's version that the source does not know is a problem as well
// unless the row reaches beyond this source on purpose: a release of Kafka
// that offers less than the table.
func Check(rows []Row, rules Rules, from Source, mayLack bool) (problems []string, met map[string]bool) {
	met = map[string]bool{}
	missing := map[string]bool{}
	for _, row := range rows {
		for version := row.Min; version <= row.Max; version++ {
			if !from.Knows(row.Key, version) {
				if !mayLack {
					problems = append(problems, fmt.Sprintf("%s version %d is advertised, and there is no definition of it", row.Name, version))
				}
				continue
			}
			for _, direction := range []string{"request", "response"} {
				for f := range from.Fields(row.Key, direction == "response", version) {
					if !Telling(f) {
						continue
					}
					field := fmt.Sprintf("%s %s %s", row.Name, direction, f.Path)
					if rules[field] != "" {
						met[field] = true
					} else if !missing[field] {
						missing[field] = true
						problems = append(problems, fmt.Sprintf("%s (%s, from version %d) has no rule in testdata/fields.txt", field, f.Type, version))
					}
				}
			}
		}
	}
	return problems, met
}
