package schema

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// protobufDifferences compares the first messages of two files by field numbers, as
// the wire does.
func protobufDifferences(writer, reader *Schema) []Difference {
	uncompared := func(message string) []Difference {
		return []Difference{{Change: ChangeUncompared, Message: "the schemas cannot be compared: one " + message, Writer: writer.Root, Reader: reader.Root}}
	}
	w, found := writer.protobuf()
	if found != nil {
		return uncompared(found.Message)
	}
	r, found := reader.protobuf()
	if found != nil {
		return uncompared(found.Message)
	}
	if w.Messages().Len() == 0 || r.Messages().Len() == 0 {
		return uncompared("has no message")
	}
	c := protobufComparer{writer: writer, reader: reader, open: map[[2]protoreflect.FullName]bool{}}
	a, b := w.Messages().Get(0), r.Messages().Get(0)
	if a.FullName() != b.FullName() {
		c.add(ChangeName, false, "", "is written as message %s, and %s is expected; the bytes can be read, generated code and registries go by the name", a.FullName(), b.FullName())
	}
	c.message("", a, b)
	return c.out
}

type protobufComparer struct {
	writer, reader *Schema
	open           map[[2]protoreflect.FullName]bool
	out            []Difference
}

func (c *protobufComparer) add(change Change, strict bool, path, format string, args ...any) {
	if len(c.out) >= maxDiffs {
		return
	}
	name := path
	if name == "" {
		name = "the record"
	}
	c.out = append(c.out, Difference{Change: change, Strict: strict, Path: path, Message: name + " " + fmt.Sprintf(format, args...), Writer: c.writer.Root, Reader: c.reader.Root})
}

func (c *protobufComparer) message(path string, w, r protoreflect.MessageDescriptor) {
	key := [2]protoreflect.FullName{w.FullName(), r.FullName()}
	if c.open[key] || len(c.out) >= maxDiffs {
		return
	}
	c.open[key] = true // each pair of messages is looked at once
	for i := range r.Fields().Len() {
		rf := r.Fields().Get(i)
		child := join(path, string(rf.Name()))
		wf := w.Fields().ByNumber(rf.Number())
		if wf == nil {
			if rf.Cardinality() == protoreflect.Required {
				c.add(ChangeRequired, true, child, "(number %d) is required by who reads, and not in what is written", rf.Number())
			} else {
				c.add(ChangeMissing, false, child, "(number %d) is not in what is written; who reads sees its default", rf.Number())
			}
			continue
		}
		c.field(child, wf, rf)
	}
	for i := range w.Fields().Len() {
		wf := w.Fields().Get(i)
		if rf := r.Fields().ByName(wf.Name()); rf != nil && rf.Number() != wf.Number() {
			c.add(ChangeType, true, join(path, string(wf.Name())), "is written with number %d, and expected with %d", wf.Number(), rf.Number())
		}
	}
}

func (c *protobufComparer) field(path string, w, r protoreflect.FieldDescriptor) {
	if w.Name() != r.Name() {
		c.add(ChangeName, false, path, "(number %d) is written as %s; the bytes can be read, JSON cannot", r.Number(), w.Name())
	}
	if r.Cardinality() == protoreflect.Required && w.Cardinality() != protoreflect.Required {
		c.add(ChangeRequired, true, path, "is required by who reads, and may be missing in what is written")
	}
	if w.IsMap() != r.IsMap() || w.IsList() != r.IsList() {
		c.add(ChangeType, true, path, "is %s, and %s is expected", label(w), label(r))
		return
	}
	if w.IsMap() {
		c.field(path+"[key]", w.MapKey(), r.MapKey())
		c.field(path+"[]", w.MapValue(), r.MapValue())
		return
	}
	if family(w.Kind()) != family(r.Kind()) {
		c.add(ChangeType, true, path, "is %s, and %s is expected", label(w), label(r))
		return
	}
	switch {
	case w.Kind() == protoreflect.BytesKind && r.Kind() == protoreflect.StringKind:
		c.add(ChangeType, true, path, "is bytes, and string is expected, which must be UTF-8")
	case narrower(w.Kind(), r.Kind()):
		c.add(ChangeType, true, path, "is %s, and %s is expected, which cannot hold all of it", w.Kind(), r.Kind())
	case r.Kind() == protoreflect.EnumKind && w.Kind() == protoreflect.EnumKind:
		for i := range w.Enum().Values().Len() {
			v := w.Enum().Values().Get(i)
			if r.Enum().Values().ByNumber(v.Number()) == nil {
				c.add(ChangeValues, r.Enum().IsClosed(), path, "may be %s (%d), which is not expected", v.Name(), v.Number())
			}
		}
	case r.Message() != nil && w.Message() != nil:
		c.message(path, w.Message(), r.Message())
	}
	if a, b := w.ContainingOneof(), r.ContainingOneof(); b != nil && !b.IsSynthetic() && (a == nil || a.IsSynthetic()) {
		c.add(ChangeRule, false, path, "is one of %s for who reads, and stands alone where it is written: with another one of them, the last wins", b.Name())
	}
}

func label(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "a map"
	case f.IsList():
		return "repeated " + kindName(f)
	}
	return kindName(f)
}

func kindName(f protoreflect.FieldDescriptor) string {
	if f.Message() != nil {
		return "message " + string(f.Message().Name())
	}
	if f.Enum() != nil {
		return "enum " + string(f.Enum().Name())
	}
	return f.Kind().String()
}

// family groups kinds that share their bytes on the wire.
func family(k protoreflect.Kind) int {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.BoolKind, protoreflect.EnumKind:
		return 1
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return 2
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return 3
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return 4
	case protoreflect.StringKind, protoreflect.BytesKind:
		return 5
	}
	return 100 + int(k)
}

// narrower reports whether values are cut off or change their sign.
func narrower(w, r protoreflect.Kind) bool {
	if w == r {
		return false
	}
	size := func(k protoreflect.Kind) int {
		switch k {
		case protoreflect.BoolKind:
			return 1
		case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind:
			return 64
		case protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.Sint32Kind, protoreflect.EnumKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
			return 32
		}
		return 64
	}
	unsigned := func(k protoreflect.Kind) bool {
		return k == protoreflect.Uint32Kind || k == protoreflect.Uint64Kind || k == protoreflect.Fixed32Kind || k == protoreflect.Fixed64Kind || k == protoreflect.BoolKind
	}
	if family(w) > 4 {
		return false
	}
	return size(r) < size(w) || unsigned(r) && !unsigned(w) || size(r) == size(w) && unsigned(w) != unsigned(r)
}
