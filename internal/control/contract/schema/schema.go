// Package schema is what records hold: JSON Schema in its dialects (AsyncAPI's,
// JSON Schema's drafts, OpenAPI 3.0), Avro and Protobuf. Its main type is Schema;
// Compile turns one into a Validator, CanRead says what somebody who expects one
// schema meets in records written with another, and Compatible judges a new schema
// by a registry's modes. It knows nothing of channels and messages.
//
// Schemas come from strangers: their number, size, depth and what it would take to
// evaluate them are bounded, and regular expressions are Go's, in linear time.
package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"sluice/internal/control/contract/tree"
)

// What schemas may be.
const (
	MaxSchemas   = 2000    // that are compiled for one document
	MaxTextBytes = 1 << 20 // of one Avro or Protobuf schema
	maxCost      = 200_000 // evaluations of one value, at most, in the worst case
	maxSteps     = 100_000 // of one comparison
	maxBundled   = 50_000  // nodes of one JSON Schema with what it refers to
	maxDiffs     = 100     // that are told of one comparison
	sharedPrefix = "#/components/schemas/"
)

// Budget bounds what is compiled for one document.
type Budget struct{ left *int }

// NewBudget returns the budget of a document.
func NewBudget() Budget { n := MaxSchemas; return Budget{&n} }

func (b Budget) take() bool {
	if b.left == nil {
		return true
	}
	*b.left--
	return *b.left >= 0
}

// Kind is a family of schema languages.
type Kind string

// The kinds.
const (
	JSON     Kind = "JSON Schema"
	Avro     Kind = "Avro"
	Protobuf Kind = "Protobuf"
	// Other is a language that is not understood here, as RAML; such schemas are carried
	// and only compared as text.
	Other Kind = "other"
)

// Schema is one schema. It is not changed once it is made.
type Schema struct {
	// Format is AsyncAPI's schemaFormat as it was written; empty for AsyncAPI's own.
	Format string
	// Root is the schema. References in JSON Schema are #/components/schemas/NAME, those
	// that could not be read are left as they were. Protobuf is text.
	Root *tree.Node
	// shared returns what a reference names.
	shared func(name string) *tree.Node
	// imports are schemas that the text refers to by name, from a registry.
	imports []Import

	once      sync.Once
	canonical []byte
}

// Import is a schema that another one refers to by name: a type of Avro, a file of
// Protobuf.
type Import struct {
	Name string
	Registered
}

// New returns a schema. shared returns what #/components/schemas/NAME names, nil
// when there is nothing.
func New(format string, root *tree.Node, shared func(name string) *tree.Node, imports ...Import) *Schema {
	return &Schema{Format: format, Root: root, shared: shared, imports: imports}
}

// Kind returns the schema's language.
func (s *Schema) Kind() Kind { return KindOf(s.Format) }

// KindOf returns the language that a schemaFormat names.
func KindOf(format string) Kind {
	media, _, _ := strings.Cut(strings.ToLower(format), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "", strings.HasPrefix(media, "application/vnd.aai.asyncapi"), strings.HasPrefix(media, "application/schema+"), strings.HasPrefix(media, "application/vnd.oai.openapi"):
		return JSON
	case strings.HasPrefix(media, "application/vnd.apache.avro"), media == "avro/binary", media == "application/avro", media == "application/avro+json":
		return Avro
	case strings.HasPrefix(media, "application/vnd.google.protobuf"), media == "application/x-protobuf", media == "application/protobuf":
		return Protobuf
	}
	return Other
}

// version returns the parameter version of a schemaFormat.
func (s *Schema) version() string {
	_, parameters, _ := strings.Cut(s.Format, ";")
	for p := range strings.SplitSeq(parameters, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "version="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

func (s *Schema) openAPI() bool {
	return strings.HasPrefix(strings.ToLower(s.Format), "application/vnd.oai.openapi") && !strings.HasPrefix(s.version(), "3.1")
}

// draft returns the draft of a JSON Schema: what $schema says, or the format.
func (s *Schema) draft() string {
	text := s.Resolve(s.Root).Get("$schema").Str()
	if text == "" && strings.HasPrefix(strings.ToLower(s.Format), "application/schema+") {
		text = s.version()
	}
	if strings.HasPrefix(strings.ToLower(s.Format), "application/vnd.oai.openapi") && strings.HasPrefix(s.version(), "3.1") {
		text = "2020-12"
	}
	for _, d := range []string{"draft-04", "draft-06", "draft-07", "2019-09", "2020-12"} {
		if strings.Contains(text, d) {
			return d
		}
	}
	return "draft-07"
}

// Resolve follows references of a JSON Schema to what they stand for. What is not
// there, or refers to itself, is returned as it is.
func (s *Schema) Resolve(n *tree.Node) *tree.Node {
	for range 32 {
		next := s.step(n)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func (s *Schema) step(n *tree.Node) *tree.Node {
	ref := n.Get("$ref").Str()
	name, ok := strings.CutPrefix(ref, sharedPrefix)
	if !ok || s.shared == nil {
		return nil
	}
	return s.shared(tree.Unescape(name))
}

// Finding is something that is wrong with a schema, or with a value.
type Finding struct {
	// Node is the place, in the schema or in the value.
	Node         *tree.Node
	Message, Fix string
	// Limit marks what was refused because it is too large or too dear.
	Limit bool
	// Unchecked marks what is right, and not checked.
	Unchecked bool
}

// prose are fields of a schema that say nothing about values.
var prose = map[string]bool{"title": true, "description": true, "$comment": true, "examples": true, "example": true, "externalDocs": true, "$id": true, "deprecated": true, "readOnly": true, "writeOnly": true, "doc": true, "markdownDescription": true}

// Canonical returns text that is the same for schemas that admit the same records
// for the same reasons: without prose, in one order, with everything that is
// referred to. It is nil for a schema that is too large or, for Protobuf, wrong.
func (s *Schema) Canonical() []byte {
	s.once.Do(func() { s.canonical = s.makeCanonical() })
	return s.canonical
}

func (s *Schema) makeCanonical() []byte {
	switch s.Kind() {
	case JSON:
		b, found := s.bundle()
		if found != nil {
			return nil
		}
		return withoutProse(b, true).Canonical()
	case Avro:
		return withoutProse(s.Root, false).Canonical()
	case Protobuf:
		file, found := s.protobuf()
		if found != nil {
			return nil
		}
		out, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(file))
		if err != nil {
			return nil
		}
		return out
	}
	return s.Root.Canonical()
}

// Hash returns a short text that names the content: the first half of the SHA-256
// of Canonical in hexadecimal, empty when there is none.
func (s *Schema) Hash() string {
	c := s.Canonical()
	if c == nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte(s.Kind()+"\n"), c...))
	return hex.EncodeToString(sum[:16])
}

// Same reports whether two schemas have the same content.
func Same(a, b *Schema) bool {
	if a.Kind() != b.Kind() || a.draft() != b.draft() {
		return false
	}
	x, y := a.Canonical(), b.Canonical()
	return x != nil && bytes.Equal(x, y)
}

// withoutProse copies a schema without prose; in JSON Schema names of properties
// are not mistaken for it.
func withoutProse(n *tree.Node, isJSON bool) *tree.Node {
	if !n.Is(tree.Object) {
		if n.Is(tree.List) {
			out := tree.NewList()
			for _, item := range n.Items {
				out.Append(withoutProse(item, isJSON))
			}
			return out
		}
		return n.Copy(nil)
	}
	out := tree.NewObject()
	for _, f := range n.Fields {
		switch {
		case prose[f.Name] || strings.HasPrefix(f.Name, "x-"):
		case isJSON && namedSchemas[f.Name] && f.Value.Is(tree.Object):
			inner := tree.NewObject()
			for _, p := range f.Value.Fields {
				inner.Set(p.Name, withoutProse(p.Value, isJSON))
			}
			out.Set(f.Name, inner)
		case f.Name == "default" || f.Name == "enum" || f.Name == "const":
			out.Set(f.Name, f.Value.Copy(nil))
		default:
			out.Set(f.Name, withoutProse(f.Value, isJSON))
		}
	}
	return out
}

// namedSchemas are keywords whose fields are named by the author.
var namedSchemas = map[string]bool{"properties": true, "patternProperties": true, "definitions": true, "$defs": true, "dependencies": true, "dependentSchemas": true}

func limit(n *tree.Node, format string, args ...any) *Finding {
	return &Finding{Node: n, Message: fmt.Sprintf(format, args...), Fix: "simplify the schema", Limit: true}
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
