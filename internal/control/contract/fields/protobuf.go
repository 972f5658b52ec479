package fields

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// protobufWalker reads Protobuf.
type protobufWalker struct{ *walker }

func (p protobufWalker) root(f *Field, m protoreflect.MessageDescriptor) {
	f.Type, f.Description = "message", comment(m)
	p.message(f, m, nil, 0)
}

// comment is what stands above something.
func comment(d protoreflect.Descriptor) string {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	text := at.LeadingComments
	if strings.TrimSpace(text) == "" {
		text = at.TrailingComments
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "*")))
	}
	return clip(strings.TrimSpace(strings.Join(lines, "\n")), maxText)
}

// wellKnown are messages that people know as something else.
var wellKnown = map[protoreflect.FullName]string{
	"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration", "google.protobuf.Struct": "object", "google.protobuf.Value": "anything",
	"google.protobuf.ListValue": "array of anything", "google.protobuf.Any": "any message", "google.protobuf.FieldMask": "field mask", "google.protobuf.Empty": "nothing",
	"google.protobuf.DoubleValue": "double", "google.protobuf.FloatValue": "float", "google.protobuf.Int64Value": "int64", "google.protobuf.UInt64Value": "uint64",
	"google.protobuf.Int32Value": "int32", "google.protobuf.UInt32Value": "uint32", "google.protobuf.BoolValue": "bool", "google.protobuf.StringValue": "string", "google.protobuf.BytesValue": "bytes",
}

func (p protobufWalker) message(f *Field, m protoreflect.MessageDescriptor, above []protoreflect.FullName, depth int) {
	if slices.Contains(above, m.FullName()) {
		f.Cut = Recursion
		return
	}
	if m.Fields().Len() == 0 || !p.below(f, depth) {
		return
	}
	above = append(slices.Clip(above), m.FullName())
	choices := map[protoreflect.FullName]*Field{}
	for i := range m.Fields().Len() {
		d := m.Fields().Get(i)
		into := f
		if one := d.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if choices[one.FullName()] == nil {
				choice := p.add(f, string(one.Name()), under(f.Path, string(one.Name())))
				if choice == nil {
					return
				}
				choice.Description = comment(one)
				var names []string
				for j := range one.Fields().Len() {
					names = append(names, string(one.Fields().Get(j).Name()))
				}
				choice.Type = "one of: " + listed(names)
				choices[one.FullName()] = choice
			}
			into = choices[one.FullName()]
		}
		// What is one of several stands in the message itself, so that its path is there too.
		child := p.add(into, string(d.Name()), under(f.Path, string(d.Name())))
		if child == nil {
			return
		}
		child.Variant = into != f
		p.field(child, d, above, depth+1)
	}
}

func (p protobufWalker) field(f *Field, d protoreflect.FieldDescriptor, above []protoreflect.FullName, depth int) {
	f.Description, f.Required = comment(d), d.Cardinality() == protoreflect.Required
	f.about("number " + strconv.Itoa(int(d.Number())))
	if o, ok := d.Options().(*descriptorpb.FieldOptions); ok && o.GetDeprecated() {
		f.Deprecated = true
	}
	if d.HasDefault() {
		f.Default = clip(d.Default().String(), maxJSON)
		if d.Kind() == protoreflect.StringKind {
			f.Default = clip(strconv.Quote(d.Default().String()), maxJSON)
		}
	}
	switch {
	case d.IsMap():
		f.Type = "map of " + p.word(d.MapValue())
		p.inner(f, "{}", func(into *Field) { p.value(into, d.MapValue(), above, depth) }, depth)
	case d.IsList():
		f.Type = "array of " + p.word(d)
		p.inner(f, "[]", func(into *Field) { p.value(into, d, above, depth) }, depth)
	default:
		if d.HasOptionalKeyword() {
			f.about("may be missing")
		}
		f.Type = p.word(d)
		p.value(f, d, above, depth)
	}
}

// value reads what a field, an item or an entry is.
func (p protobufWalker) value(f *Field, d protoreflect.FieldDescriptor, above []protoreflect.FullName, depth int) {
	switch {
	case d.Enum() != nil:
		var words []string
		for i := range d.Enum().Values().Len() {
			words = append(words, string(d.Enum().Values().Get(i).Name()))
		}
		f.about(values(words))
	case d.Message() != nil && wellKnown[d.Message().FullName()] == "":
		if f.Description == "" {
			f.Description = comment(d.Message())
		}
		p.message(f, d.Message(), above, depth)
	}
}

// word is the name of a type.
func (p protobufWalker) word(d protoreflect.FieldDescriptor) string {
	switch {
	case d.Enum() != nil:
		return "enum"
	case d.Message() != nil:
		if word := wellKnown[d.Message().FullName()]; word != "" {
			return word
		}
		return "message"
	}
	return d.Kind().String()
}
