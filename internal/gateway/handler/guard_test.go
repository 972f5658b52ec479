package handler

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/internal/kafka/wire"
)

// Every field of an advertised version that can carry a name, an id, a host, a
// port or opaque bytes has a rule in testdata/fields.txt: what the gateway does
// with it. A wider range of versions, or a newer schema, that brings a field
// without a rule fails here, and so does a rule whose field is gone.
func TestEveryFieldThatMayNameSomethingHasARule(t *testing.T) {
	rules := readRules(t)
	used := map[string]bool{}
	for _, api := range Table {
		if api.Posture == Refused {
			continue
		}
		for version := api.Min; version <= api.Max; version++ {
			for _, direction := range []string{"request", "response"} {
				for f := range wire.Fields(api.Key, direction == "response", version) {
					if !telling(f) {
						continue
					}
					field := fmt.Sprintf("%s %s %s", api.Name, direction, f.Path)
					if rules[field] == "" {
						t.Errorf("%s (%s, version %d) has no rule in testdata/fields.txt", field, f.Type, version)
					}
					used[field] = true
				}
			}
		}
	}
	for field := range rules {
		if !used[field] {
			t.Errorf("%s has a rule, and no advertised version has the field", field)
		}
	}
}

// telling reports whether a field may say more than a number.
func telling(f wire.Field) bool {
	switch strings.TrimPrefix(f.Type, "[]") {
	case "string", "uuid", "bytes", "records":
		return true
	}
	return f.EntityType == "brokerId" || f.EntityType == "producerId" || f.Name == "Port"
}

func readRules(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rules := map[string]string{}
	for in, line := bufio.NewScanner(file), 1; in.Scan(); line++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		field, rule, ok := strings.Cut(text, ": ")
		if !ok || rule == "" {
			t.Fatalf("testdata/fields.txt:%d: want \"API direction path: rule\"", line)
		}
		rules[field] = rule
	}
	return rules
}
