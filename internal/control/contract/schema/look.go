package schema

import (
	"regexp/syntax"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/avro"
	"google.golang.org/protobuf/reflect/protoreflect"

	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/tree"
)

// AvroNodes returns an Avro schema as nodes; before it those that it refers to by name,
// each behind what it needs itself. What cannot be read is left out.
func (s *Schema) AvroNodes() []*tree.Node {
	var out []*tree.Node
	add := func(text string) {
		if n, problems := tree.Parse("", []byte(text)); n != nil && !rule.Bad(problems) && len(text) <= MaxTextBytes {
			out = append(out, n)
		}
	}
	for _, i := range flatten(s.imports, 0) {
		add(i.Text)
	}
	if s.Root.Is(tree.String) && strings.ContainsAny(s.Root.Text, "{[\"") { // the schema's JSON as text
		add(s.Root.Text)
	} else if s.Root != nil {
		out = append(out, s.Root)
	}
	return out
}

// Message returns the message that records of a Protobuf schema are, with its comments:
// the first one of the file; nil when there is none.
func (s *Schema) Message() protoreflect.MessageDescriptor {
	file, found := s.compiled(protocompile.SourceInfoStandard)
	if found != nil || file.Messages().Len() == 0 {
		return nil
	}
	return file.Messages().Get(0)
}

// Source returns the schema as it was written, and whether that is Protobuf, JSON or
// another text.
func (s *Schema) Source() (text, language string) {
	switch {
	case s.Kind() == Protobuf:
		return s.Root.Str(), "protobuf"
	case s.Root.Is(tree.String) && s.Kind() == Avro:
		return s.Root.Text, "json"
	case s.Root.Is(tree.String):
		return s.Root.Text, "text"
	}
	return string(s.Root.JSON()), "json"
}

// Avro returns the schema as the library has it; nil for another language.
func (v *Validator) Avro() *avro.Schema { return v.avro }

// Protobuf returns the message that records are; nil for another language.
func (v *Validator) Protobuf() protoreflect.MessageDescriptor { return v.message }

// Syntax returns a regular expression of JSON Schema as what it is made of, without what
// looks around or back; false for one that Go does not have.
func Syntax(text string) (*syntax.Regexp, bool) {
	if len(text) > maxPattern {
		return nil, false
	}
	text = backReference.ReplaceAllString(aroundOrBack.ReplaceAllString(goPattern(text), "(?:"), "")
	re, err := syntax.Parse(text, syntax.Perl)
	return re, err == nil
}
