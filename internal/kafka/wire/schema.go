package wire

import (
	"iter"
	"math"
	"strconv"
	"strings"
	"sync"
)

// noVersion stands for "never" in schema.flexible and "no upper bound" in ranges.
const noVersion = math.MaxInt16

// maxDepth bounds how deep structs nest; Kafka's own messages reach 5.
const maxDepth = 8

type schema struct {
	name               string
	min, max, flexible int16
	text               [2]string // request, response
}

// lookup returns the schema of key, or nil.
func lookup(key int16) *schema {
	if key < 0 || int(key) >= len(schemas) || schemas[key].name == "" {
		return nil
	}
	return &schemas[key]
}

// APIName returns Kafka's name of an API key, such as "Produce", or "" if it is not known.
func APIName(key int16) string {
	if s := lookup(key); s != nil {
		return s.name
	}
	return ""
}

// APIVersions returns the versions of an API key that can be checked; ok is
// false for an unknown key. Versions Kafka still marks unstable are included.
func APIVersions(key int16) (lowest, highest int16, ok bool) {
	s := lookup(key)
	if s == nil {
		return 0, 0, false
	}
	return s.min, s.max, true
}

// APIKeys yields every known API key in ascending order.
func APIKeys() iter.Seq[int16] {
	return func(yield func(int16) bool) {
		for key := range schemas {
			if schemas[key].name != "" && !yield(int16(key)) {
				return
			}
		}
	}
}

// Flexible reports whether bodies of this version have compact lengths and
// tagged fields (KIP-482). It is false for an unknown key, and answers for
// versions above the highest known one too.
func Flexible(key, version int16) bool {
	s := lookup(key)
	return s != nil && version >= s.flexible
}

// Field is one field of a message, as Kafka's definition names it.
type Field struct {
	// Path is the names from the top of the message down, joined by dots.
	Path string
	// Name is the last element of Path.
	Name string
	// Type is bool, int8, int16, uint16, int32, int64, float64, uuid, string,
	// bytes, records, a struct's name, or any of these after "[]".
	Type string
	// EntityType is what Kafka says the field names, such as topicName,
	// groupId, transactionalId, brokerId or producerId; often empty.
	EntityType string
	// Nullable says that null is legal in this version.
	Nullable bool
	// Tag is the number of a tagged field, -1 for others.
	Tag int
}

// Fields yields every field that version of a message has, structs before
// what they contain. It yields nothing for an unknown key or version.
func Fields(key int16, response bool, version int16) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		s := lookup(key)
		if s == nil || version < s.min || version > s.max {
			return
		}
		var walk func(prefix string, fields []field) bool
		walk = func(prefix string, fields []field) bool {
			for i := range fields {
				f := &fields[i]
				if !f.versions.has(version) {
					continue
				}
				out := Field{Path: prefix + f.name, Name: f.name, Type: f.typ, EntityType: f.entity, Nullable: f.nullable.has(version), Tag: -1}
				if f.tagged.has(version) {
					out.Tag = int(f.tag)
				}
				if !yield(out) || !walk(out.Path+".", f.fields) {
					return false
				}
			}
			return true
		}
		walk("", parseFields(s.text[direction(response)]))
	}
}

func direction(response bool) int {
	if response {
		return 1
	}
	return 0
}

// versions is an inclusive range; the zero value of field.nullable and
// field.tagged is set to one that contains nothing.
type versions struct{ min, max int16 }

func (v versions) has(version int16) bool { return version >= v.min && version <= v.max }

type field struct {
	name, typ, entity          string
	versions, nullable, tagged versions
	tag                        uint32
	fields                     []field
}

// parseFields reads the text form of a message in schema_gen.go.
func parseFields(text string) []field {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	if lines[0] == "" {
		return nil
	}
	var parse func(depth int) []field
	parse = func(depth int) (out []field) {
		if depth > maxDepth {
			panic("bug: schema nests too deep")
		}
		for len(lines) > 0 {
			line := strings.TrimLeft(lines[0], " ")
			switch indent := len(lines[0]) - len(line); {
			case indent < depth:
				return out
			case indent > depth:
				out[len(out)-1].fields = parse(depth + 1)
				continue
			}
			lines = lines[1:]
			words := strings.Fields(line)
			never := versions{noVersion, -1}
			f := field{name: words[0], typ: words[1], versions: parseVersions(words[2]), nullable: never, tagged: never}
			for _, w := range words[3:] {
				k, v, _ := strings.Cut(w, "=")
				switch k {
				case "null":
					f.nullable = parseVersions(v)
				case "entity":
					f.entity = v
				case "tag":
					n, in, _ := strings.Cut(v, "@")
					tag, err := strconv.ParseUint(n, 10, 32)
					if err != nil {
						panic("bug: schema line " + line)
					}
					f.tag, f.tagged = uint32(tag), parseVersions(in)
				}
			}
			out = append(out, f)
		}
		return out
	}
	return parse(0)
}

func parseVersions(s string) versions {
	number := func(s string) int16 {
		n, err := strconv.ParseInt(s, 10, 16)
		if err != nil {
			panic("bug: schema versions " + s)
		}
		return int16(n)
	}
	if lo, open := strings.CutSuffix(s, "+"); open {
		return versions{number(lo), noVersion}
	}
	if lo, hi, ok := strings.Cut(s, "-"); ok {
		return versions{number(lo), number(hi)}
	}
	return versions{number(s), number(s)}
}

// programs holds what each message compiles to, one layout per version, made
// when first used and never changed afterwards.
var programs [len(schemas)][2]struct {
	once     sync.Once
	versions []*layout
}

func program(key int16, s *schema, response bool, version int16) *layout {
	p := &programs[key][direction(response)]
	p.once.Do(func() {
		fields := parseFields(s.text[direction(response)])
		for v := s.min; v <= s.max; v++ {
			p.versions = append(p.versions, compile(fields, v, v >= s.flexible))
		}
	})
	return p.versions[version-s.min]
}

type kind uint8

const (
	kindFixed  kind = iota // size bytes, holding one or several fields
	kindString             // never longer than 32767 bytes
	kindBytes              // bytes and records
	kindArray
	kindStruct
)

// op is one step over a body.
type op struct {
	kind     kind
	nullable bool
	size     int     // bytes on the wire: exact for kindFixed, the least otherwise
	mem      int64   // bytes of the Go value, without what it points to
	name     string  // of the field; of the first one for kindFixed
	parts    []part  // kindFixed: the fields inside
	elem     *op     // kindArray
	layout   *layout // kindStruct
}

type part struct {
	name string
	size int
}

// layout is one struct in one version.
type layout struct {
	ops      []op
	tags     []taggedOp // ascending
	flexible bool
	size     int   // least bytes on the wire
	mem      int64 // bytes of the Go struct, which has room for the fields of all versions
}

type taggedOp struct {
	tag   uint32
	valid bool // in this version; decoders may know the tag in all of them
	op    op
}

func compile(fields []field, version int16, flexible bool) *layout {
	l := &layout{flexible: flexible}
	var mem int64
	for i := range fields {
		f := &fields[i]
		o := compileField(f, version, flexible)
		a := min(o.mem&-o.mem, 8)
		mem = (mem+a-1)/a*a + o.mem
		switch last := len(l.ops) - 1; {
		case f.tagged.max > 0 && flexible && (f.tagged.has(version) || !f.versions.has(version)):
			l.tags = append(l.tags, taggedOp{f.tag, f.tagged.has(version), o})
		case !f.versions.has(version):
		case o.kind == kindFixed && last >= 0 && l.ops[last].kind == kindFixed:
			l.ops[last].size += o.size
			l.ops[last].parts = append(l.ops[last].parts, o.parts...)
			l.size += o.size
		default:
			l.ops = append(l.ops, o)
			l.size += o.size
		}
	}
	for i := 1; i < len(l.tags); i++ { // definitions may list tags in any order
		for j := i; j > 0 && l.tags[j-1].tag > l.tags[j].tag; j-- {
			l.tags[j-1], l.tags[j] = l.tags[j], l.tags[j-1]
		}
	}
	if flexible {
		l.size++
	}
	// Room for the map of unknown tags, the version number of a top-level
	// struct, and fields of versions that Kafka's definitions have forgotten
	// or not learnt yet.
	l.mem = (mem+7)/8*8 + 40
	return l
}

func compileField(f *field, version int16, flexible bool) op {
	o := op{name: f.name, nullable: f.nullable.has(version)}
	typ, array := strings.CutPrefix(f.typ, "[]")
	if array {
		elem := compileElem(f, typ, version, flexible)
		elem.nullable = false
		o.kind, o.mem, o.size, o.elem = kindArray, 24, lengthSize(flexible, 4), &elem
		return o
	}
	// Null for "no records" is what kmsg writes everywhere, kfake's share
	// fetches too; in Kafka's definition only that one message forbids it.
	nullable := o.nullable || typ == "records"
	o = compileElem(f, typ, version, flexible)
	o.nullable = nullable
	switch {
	case o.kind == kindStruct && nullable:
		o.size = 1
	case o.kind == kindString && f.nullable.max >= 0:
		o.mem = 8 // a pointer; the string itself is charged when present
	}
	return o
}

func compileElem(f *field, typ string, version int16, flexible bool) op {
	o := op{name: f.name}
	fixed := func(n int) op {
		o.kind, o.size, o.mem, o.parts = kindFixed, n, int64(n), []part{{f.name, n}}
		return o
	}
	switch typ {
	case "bool", "int8":
		return fixed(1)
	case "int16", "uint16":
		return fixed(2)
	case "int32":
		return fixed(4)
	case "int64", "float64":
		return fixed(8)
	case "uuid":
		return fixed(16)
	case "string":
		o.kind, o.mem, o.size = kindString, 16, lengthSize(flexible, 2)
	case "bytes", "records":
		o.kind, o.mem, o.size = kindBytes, 24, lengthSize(flexible, 4)
	default:
		o.kind, o.layout = kindStruct, compile(f.fields, version, flexible)
		o.mem, o.size = o.layout.mem, o.layout.size
		if len(o.layout.ops) == 1 && o.layout.ops[0].kind == kindFixed && !flexible {
			in := o.layout.ops[0] // nothing inside to look at: whole arrays are stepped over at once
			o.kind, o.parts, o.layout = kindFixed, in.parts, nil
		}
	}
	return o
}

func lengthSize(flexible bool, classic int) int {
	if flexible {
		return 1
	}
	return classic
}
