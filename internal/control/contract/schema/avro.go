package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/avro"

	"sluice/internal/control/contract/tree"
)

// avro parses an Avro schema; what it refers to stands inside it.
func (s *Schema) avro() (parsed *avro.Schema, found *Finding) {
	defer func() { // the library's own mistakes are the schema's problem, not ours
		if r := recover(); r != nil {
			parsed, found = nil, &Finding{Node: s.Root, Message: "is not an Avro schema: " + clip(fmt.Sprint(r)), Fix: "correct the schema"}
		}
	}()
	text := s.Root.Canonical()
	if s.Root.Is(tree.String) && strings.ContainsAny(s.Root.Text, "{[\"") { // the schema's JSON as text
		text = []byte(s.Root.Text)
	}
	if len(text) > MaxTextBytes {
		return nil, limit(s.Root, "the Avro schema has more than %d bytes", MaxTextBytes)
	}
	if hasRef(s.Root) {
		return nil, &Finding{Node: s.Root, Message: "refers to what is not read", Limit: true}
	}
	cache := new(avro.SchemaCache)
	for _, i := range flatten(s.imports, 0) {
		if _, err := cache.Parse(i.Text); err != nil {
			return nil, &Finding{Node: s.Root, Message: fmt.Sprintf("refers to %q, which is not an Avro schema: %s", clip(i.Name), avroReason(err)), Fix: "correct the schema"}
		}
	}
	parsed, err := cache.Parse(string(text))
	if err != nil {
		return nil, &Finding{Node: s.Root, Message: "is not an Avro schema: " + avroReason(err), Fix: "correct the schema"}
	}
	return parsed, nil
}

func avroReason(err error) string {
	return clip(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "avro: "), "invalid schema: "))
}

func hasRef(n *tree.Node) bool {
	found := false
	n.Walk(func(n *tree.Node) bool {
		found = found || n.Get("$ref").Is(tree.String)
		return !found
	})
	return found
}

// flatten lists imports, those that others need first, each once.
func flatten(imports []Import, depth int) []Import {
	var out []Import
	seen := map[string]bool{}
	if depth > 16 {
		return nil
	}
	for _, i := range imports {
		for _, inner := range append(flatten(i.References, depth+1), i) {
			if !seen[inner.Name] && len(out) < MaxSchemas {
				seen[inner.Name] = true
				out = append(out, inner)
			}
		}
	}
	return out
}

// validateAvro takes the JSON encoding of Avro, and plain JSON as people write it.
func (v *Validator) validateAvro(value *tree.Node) (out []Finding) {
	defer func() {
		if r := recover(); r != nil {
			out = []Finding{{Node: value, Message: "does not fit the Avro schema: " + clip(fmt.Sprint(r))}}
		}
	}()
	text := value.Canonical()
	var decoded any
	err := v.avro.DecodeJSON(text, &decoded)
	if err == nil {
		return nil
	}
	var plain any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&plain) == nil {
		if _, encodeErr := v.avro.Encode(plain); encodeErr == nil {
			return nil
		}
	}
	message := strings.TrimPrefix(err.Error(), "avro: ")
	node := value
	var semantic *avro.SemanticError
	if errors.As(err, &semantic) && semantic.Field != "" {
		node = value.Nearest(strings.Split(semantic.Field, "."))
		if semantic.Err != nil {
			message = semantic.Field + ": " + strings.TrimPrefix(semantic.Err.Error(), "avro json: ")
		}
	}
	return []Finding{{Node: node, Message: "does not fit the Avro schema: " + clip(message), Fix: "correct the value, or the schema"}}
}
