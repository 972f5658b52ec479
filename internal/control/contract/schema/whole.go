package schema

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"sluice/internal/control/contract/tree"
)

// Whole returns a Protobuf schema as one file that means the same records as the
// file with its imports: what it uses of them stands behind its own messages, which
// keep their places, since records name them by those. Types of another package are
// nested in a message that is named for the package, types that nobody uses, services
// and options of others' making are left out. Google's well-known types stay imports.
func Whole(r Registered) (string, error) {
	if name := twice(r.References, map[string]string{}, 0); name != "" {
		return "", fmt.Errorf("imports two versions of %s", clip(name))
	}
	s := New("application/vnd.google.protobuf", tree.Text(r.Text), nil, r.References...)
	file, found := s.compiled(protocompile.SourceInfoStandard)
	if found != nil {
		return "", fmt.Errorf("%s", found.Message)
	}
	w := whole{root: file, reached: map[protoreflect.FullName]bool{}, known: map[string]bool{}, packages: map[protoreflect.FullName][]protoreflect.Descriptor{}, wrapper: map[protoreflect.FullName]string{}}
	if err := w.reachAll(file.Messages(), 0); err != nil {
		return "", err
	}
	if err := w.write(); err != nil {
		return "", err
	}
	if w.out.Len() > MaxTextBytes {
		return "", fmt.Errorf("has more than %d bytes together with what it imports", MaxTextBytes)
	}
	return w.out.String(), nil
}

// twice returns the name of a file that is imported with one text and with another.
func twice(imports []Import, texts map[string]string, depth int) string {
	for _, i := range imports {
		if known, ok := texts[i.Name]; ok && known != i.Text {
			return i.Name
		}
		texts[i.Name] = i.Text
		if depth < 16 { // deeper ones are not read
			if name := twice(i.References, texts, depth+1); name != "" {
				return name
			}
		}
	}
	return ""
}

// whole is one run of Whole.
type whole struct {
	root     protoreflect.FileDescriptor
	reached  map[protoreflect.FullName]bool // what stands alone in other files, and is used
	known    map[string]bool                // files of well-known types that are used
	packages map[protoreflect.FullName][]protoreflect.Descriptor
	wrapper  map[protoreflect.FullName]string // what packages other than the root's become
	out      strings.Builder
	err      error
}

// reachAll notes what the fields of messages refer to.
func (w *whole) reachAll(all protoreflect.MessageDescriptors, depth int) error {
	for i := range all.Len() {
		if err := w.reachOf(all.Get(i), depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *whole) reachOf(m protoreflect.MessageDescriptor, depth int) error {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		var err error
		switch {
		case f.Kind() == protoreflect.GroupKind:
			return fmt.Errorf("has a group, %s, which cannot be put into one file", f.FullName())
		case f.Message() != nil:
			err = w.reach(f.Message(), depth)
		case f.Enum() != nil:
			err = w.reach(f.Enum(), depth)
		}
		if err != nil {
			return err
		}
	}
	return w.reachAll(m.Messages(), depth)
}

// maxReached is how many types one refers to by another.
const maxReached = 1000

// reach notes what a type stands in.
func (w *whole) reach(d protoreflect.Descriptor, depth int) error {
	file := d.ParentFile()
	for {
		if _, alone := d.Parent().(protoreflect.FileDescriptor); alone {
			break
		}
		d = d.Parent()
	}
	switch {
	case wellKnown(file):
		w.known[file.Path()] = true
		return nil
	case file.Path() == w.root.Path() || w.reached[d.FullName()]:
		return nil
	case file.Syntax() != w.root.Syntax() || file.Syntax() == protoreflect.Editions:
		return fmt.Errorf("imports %s, which is of another syntax, or of an edition, and cannot be put into one file", clip(file.Path()))
	case depth > maxReached:
		return fmt.Errorf("refers to more than %d types, one by another", maxReached)
	}
	w.reached[d.FullName()] = true
	w.packages[file.Package()] = append(w.packages[file.Package()], d)
	if m, ok := d.(protoreflect.MessageDescriptor); ok {
		return w.reachOf(m, depth+1)
	}
	return nil
}

func wellKnown(f protoreflect.FileDescriptor) bool {
	return strings.HasPrefix(f.Path(), "google/protobuf/")
}

func (w *whole) write() error {
	w.line(0, `syntax = "%s";`, w.root.Syntax())
	if w.root.Package() != "" {
		w.line(0, "package %s;", w.root.Package())
	}
	for _, path := range slices.Sorted(maps.Keys(w.known)) {
		w.line(0, "import %s;", quoted(path))
	}
	w.name()
	for i := range w.root.Messages().Len() {
		w.message(w.root.Messages().Get(i), 0)
	}
	for i := range w.root.Enums().Len() {
		w.enum(w.root.Enums().Get(i), 0)
	}
	for _, p := range slices.Sorted(maps.Keys(w.packages)) {
		depth := 0
		if p != w.root.Package() {
			w.line(0, "// Of the package %s.", p)
			w.line(0, "message %s {", w.wrapper[p])
			depth = 1
		}
		for _, d := range w.packages[p] {
			switch d := d.(type) {
			case protoreflect.MessageDescriptor:
				w.message(d, depth)
			case protoreflect.EnumDescriptor:
				w.enum(d, depth)
			}
		}
		if depth > 0 {
			w.line(0, "}")
		}
	}
	return w.err // of what was met on the way
}

// name finds names for other packages that nothing in the root's has.
func (w *whole) name() {
	taken := map[string]bool{}
	enum := func(e protoreflect.EnumDescriptor) {
		taken[string(e.Name())] = true
		for i := range e.Values().Len() {
			taken[string(e.Values().Get(i).Name())] = true
		}
	}
	for i := range w.root.Messages().Len() {
		taken[string(w.root.Messages().Get(i).Name())] = true
	}
	for i := range w.root.Enums().Len() {
		enum(w.root.Enums().Get(i))
	}
	for _, d := range w.packages[w.root.Package()] {
		taken[string(d.Name())] = true
		if e, ok := d.(protoreflect.EnumDescriptor); ok {
			enum(e)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(w.packages)) {
		if p == w.root.Package() {
			continue
		}
		name := strings.ReplaceAll(string(p), ".", "_")
		if name == "" {
			name = "imported"
		}
		for taken[name] {
			name += "_"
		}
		taken[name], w.wrapper[p] = true, name
	}
}

// called is what a type is called in the one file, in full.
func (w *whole) called(d protoreflect.Descriptor) string {
	p := d.ParentFile().Package()
	wrapper, moved := w.wrapper[p]
	if !moved || wellKnown(d.ParentFile()) {
		return "." + string(d.FullName())
	}
	inner := strings.TrimPrefix(strings.TrimPrefix(string(d.FullName()), string(p)), ".")
	out := "." + wrapper + "." + inner
	if root := w.root.Package(); root != "" {
		out = "." + string(root) + out
	}
	return out
}

func (w *whole) line(depth int, format string, args ...any) {
	if w.out.Len() > MaxTextBytes {
		return // it is refused
	}
	w.out.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&w.out, format, args...)
	w.out.WriteByte('\n')
}

// comment writes what stands before a declaration.
func (w *whole) comment(d protoreflect.Descriptor, depth int) {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		w.line(depth, "//%s", strings.TrimRight(line, " \t\r"))
	}
}

func (w *whole) message(m protoreflect.MessageDescriptor, depth int) {
	w.comment(m, depth)
	w.line(depth, "message %s {", m.Name())
	if o, ok := m.Options().(*descriptorpb.MessageOptions); ok {
		if o.GetMessageSetWireFormat() {
			w.err = fmt.Errorf("has a message set, %s, which cannot be put into one file", m.FullName())
		}
		if o.GetDeprecated() {
			w.line(depth+1, "option deprecated = true;")
		}
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		o := f.ContainingOneof()
		switch {
		case o == nil || o.IsSynthetic():
			w.field(f, depth+1)
		case o.Fields().Get(0) == f:
			w.comment(o, depth+1)
			w.line(depth+1, "oneof %s {", o.Name())
			for j := range o.Fields().Len() {
				w.field(o.Fields().Get(j), depth+2)
			}
			w.line(depth+1, "}")
		}
	}
	for i := range m.ExtensionRanges().Len() {
		r := m.ExtensionRanges().Get(i)
		w.line(depth+1, "extensions %d to %d;", r[0], r[1]-1)
	}
	for i := range m.ReservedRanges().Len() {
		r := m.ReservedRanges().Get(i)
		w.line(depth+1, "reserved %d to %d;", r[0], r[1]-1)
	}
	for i := range m.ReservedNames().Len() {
		w.line(depth+1, "reserved %s;", quoted(string(m.ReservedNames().Get(i))))
	}
	for i := range m.Enums().Len() {
		w.enum(m.Enums().Get(i), depth+1)
	}
	for i := range m.Messages().Len() {
		if inner := m.Messages().Get(i); !inner.IsMapEntry() {
			w.message(inner, depth+1)
		}
	}
	w.line(depth, "}")
}

func (w *whole) typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return w.called(f.Message())
	case f.Enum() != nil:
		return w.called(f.Enum())
	}
	return f.Kind().String()
}

func (w *whole) field(f protoreflect.FieldDescriptor, depth int) {
	w.comment(f, depth)
	label, kind := "", ""
	switch {
	case f.IsMap():
		kind = "map<" + w.typeOf(f.MapKey()) + ", " + w.typeOf(f.MapValue()) + ">"
	case f.Cardinality() == protoreflect.Repeated:
		label, kind = "repeated ", w.typeOf(f)
	case f.Cardinality() == protoreflect.Required:
		label, kind = "required ", w.typeOf(f)
	case f.HasOptionalKeyword():
		label, kind = "optional ", w.typeOf(f)
	default:
		kind = w.typeOf(f)
	}
	var options []string
	if o, ok := f.Options().(*descriptorpb.FieldOptions); ok {
		if o != nil && o.Packed != nil {
			options = append(options, fmt.Sprintf("packed = %t", o.GetPacked()))
		}
		if o.GetDeprecated() {
			options = append(options, "deprecated = true")
		}
	}
	if f.HasDefault() {
		options = append(options, "default = "+defaultOf(f))
	}
	if name := f.JSONName(); name != lowerCamel(string(f.Name())) {
		options = append(options, "json_name = "+quoted(name))
	}
	text := ""
	if len(options) > 0 {
		text = " [" + strings.Join(options, ", ") + "]"
	}
	w.line(depth, "%s%s %s = %d%s;", label, kind, f.Name(), f.Number(), text)
}

func defaultOf(f protoreflect.FieldDescriptor) string {
	v := f.Default()
	switch f.Kind() {
	case protoreflect.EnumKind:
		return string(f.DefaultEnumValue().Name())
	case protoreflect.StringKind:
		return quoted(v.String())
	case protoreflect.BytesKind:
		return quoted(string(v.Bytes()))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		switch n := v.Float(); {
		case math.IsInf(n, 1):
			return "inf"
		case math.IsInf(n, -1):
			return "-inf"
		case math.IsNaN(n):
			return "nan"
		default:
			return strconv.FormatFloat(n, 'g', -1, 64)
		}
	}
	return v.String()
}

func (w *whole) enum(e protoreflect.EnumDescriptor, depth int) {
	w.comment(e, depth)
	w.line(depth, "enum %s {", e.Name())
	if o, ok := e.Options().(*descriptorpb.EnumOptions); ok && o.GetAllowAlias() {
		w.line(depth+1, "option allow_alias = true;")
	}
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		w.comment(v, depth+1)
		text := ""
		if o, ok := v.Options().(*descriptorpb.EnumValueOptions); ok && o.GetDeprecated() {
			text = " [deprecated = true]"
		}
		w.line(depth+1, "%s = %d%s;", v.Name(), v.Number(), text)
	}
	for i := range e.ReservedRanges().Len() {
		r := e.ReservedRanges().Get(i)
		w.line(depth+1, "reserved %d to %d;", r[0], r[1])
	}
	for i := range e.ReservedNames().Len() {
		w.line(depth+1, "reserved %s;", quoted(string(e.ReservedNames().Get(i))))
	}
	w.line(depth, "}")
}

// lowerCamel is the name in JSON that a field has unless it says another.
func lowerCamel(name string) string {
	var out strings.Builder
	up := false
	for i := range len(name) {
		c := name[i]
		if c == '_' {
			up = true
			continue
		}
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		out.WriteByte(c)
	}
	return out.String()
}

// quoted writes text as Protobuf does, in ASCII.
func quoted(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}
