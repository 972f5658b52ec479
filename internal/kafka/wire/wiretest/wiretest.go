// Package wiretest makes Kafka messages for tests: valid ones of every API key
// and version in both directions, and damaged ones. It works from the schemas
// of package wire, not from a decoder's structs, so that it knows every field
// and where its bytes lie, and has no mistake in common with kmsg. Its main
// types are [Generator], [Message] and [Value].
//
// It knows no grants, handlers or sockets, and is never part of the product.
package wiretest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"sluice/internal/kafka/wire"
)

// Message is one generated body.
type Message struct {
	Key, Version int16
	Response     bool
	Body         []byte // without a header
	// Spans tell what lies where, in ascending order of At; those of a length
	// come right before those of what they measure.
	Spans []Span
}

func (m *Message) String() string {
	return fmt.Sprintf("%s v%d response=%v %x", wire.APIName(m.Key), m.Version, m.Response, m.Body)
}

// SpanKind says what a span holds.
type SpanKind uint8

const (
	SpanValue    SpanKind = iota // a number, or the content of a string, bytes or uuid
	SpanLength                   // of a string or bytes
	SpanCount                    // of an array
	SpanPresence                 // of a nullable struct
	SpanTags                     // the number of tagged fields
	SpanTag                      // the number of a tagged field
	SpanTagSize                  // its size in bytes
)

// Span is a piece of a body.
type Span struct {
	Kind     SpanKind
	Field    wire.Field // the zero Field for tags nobody knows
	At, Len  int
	flexible bool
}

// Shape bounds and fills what a Generator makes. Every function may be nil, or
// say no, for a random value.
type Shape struct {
	// Elements bounds how many elements an array has; 3 if zero.
	Elements int
	// UnknownTags adds tagged fields that no definition has.
	UnknownTags bool
	// UnknownTag is what such a field holds; random bytes if nil.
	UnknownTag []byte
	String     func(r *rand.Rand, m *Message, f wire.Field) (value string, ok bool)
	UUID       func(r *rand.Rand, m *Message, f wire.Field) (value [16]byte, ok bool)
	Bytes      func(r *rand.Rand, m *Message, f wire.Field) (value []byte, ok bool)
	Int        func(r *rand.Rand, m *Message, f wire.Field) (value int64, ok bool)
	// Count says how many elements an array has.
	Count func(r *rand.Rand, m *Message, f wire.Field) (n int, ok bool)
	// Null says whether a nullable field is null.
	Null func(r *rand.Rand, m *Message, f wire.Field) (null, ok bool)
	// Tagged says whether a tagged field is there.
	Tagged func(r *rand.Rand, m *Message, f wire.Field) (there, ok bool)
}

// Generator makes messages from a seed: the same seed and calls make the same
// messages. It is not safe for concurrent use.
type Generator struct {
	Rand  *rand.Rand
	Shape Shape
}

// New returns a generator.
func New(seed uint64, shape Shape) *Generator {
	if shape.Elements <= 0 {
		shape.Elements = 3
	}
	return &Generator{rand.New(rand.NewPCG(seed, 0x5eed)), shape}
}

// node is a field with what it contains.
type node struct {
	wire.Field
	elem  string // type without "[]"
	array bool
	kids  []*node
}

type treeKey struct {
	key, version int16
	response     bool
}

var trees sync.Map // of treeKey to []*node: what is derived from constants

func tree(key, version int16, response bool) []*node {
	id := treeKey{key, version, response}
	if t, ok := trees.Load(id); ok {
		return t.([]*node)
	}
	root := &node{}
	path := []*node{root} // the open structs
	for f := range wire.Fields(key, response, version) {
		n := &node{Field: f}
		n.elem, n.array = strings.CutPrefix(f.Type, "[]")
		depth := strings.Count(f.Path, ".")
		path = path[:depth+1]
		path[depth].kids = append(path[depth].kids, n)
		path = append(path, n)
	}
	t, _ := trees.LoadOrStore(id, root.kids)
	return t.([]*node)
}

// Valid makes a message that every decoder has to accept. It panics for a key or
// version that package wire does not know.
func (g *Generator) Valid(key, version int16, response bool) *Message {
	if lo, hi, ok := wire.APIVersions(key); !ok || version < lo || version > hi {
		panic(fmt.Sprintf("bug: no schema of key %d version %d", key, version))
	}
	m := &Message{Key: key, Version: version, Response: response}
	e := &encoder{g: g, m: m, flexible: wire.Flexible(key, version)}
	e.fields(tree(key, version, response))
	m.Body, m.Spans = e.b, e.spans
	return m
}

type encoder struct {
	g        *Generator
	m        *Message
	b        []byte
	spans    []Span
	flexible bool
}

func (e *encoder) span(kind SpanKind, f wire.Field, from int) {
	e.spans = append(e.spans, Span{kind, f, from, len(e.b) - from, e.flexible})
}

func (e *encoder) fields(nodes []*node) {
	for _, n := range nodes {
		if n.Tag < 0 {
			e.field(n)
		}
	}
	if e.flexible {
		e.tags(nodes)
	}
}

// length writes a length or count, -1 for null.
func (e *encoder) length(kind SpanKind, f wire.Field, n, classic int) {
	from := len(e.b)
	switch {
	case e.flexible:
		e.b = binary.AppendUvarint(e.b, uint64(n+1))
	case classic == 2:
		e.b = binary.BigEndian.AppendUint16(e.b, uint16(n))
	default:
		e.b = binary.BigEndian.AppendUint32(e.b, uint32(n))
	}
	e.span(kind, f, from)
}

func (e *encoder) null(n *node) bool {
	if !n.Nullable {
		return false
	}
	if f := e.g.Shape.Null; f != nil {
		if null, ok := f(e.g.Rand, e.m, n.Field); ok {
			return null
		}
	}
	return e.g.Rand.IntN(4) == 0
}

func (e *encoder) field(n *node) {
	if !n.array {
		e.element(n, e.null(n))
		return
	}
	if e.null(n) {
		e.length(SpanCount, n.Field, -1, 4)
		return
	}
	count, ok := 0, false
	if f := e.g.Shape.Count; f != nil {
		count, ok = f(e.g.Rand, e.m, n.Field)
	}
	if !ok {
		count = e.g.Rand.IntN(e.g.Shape.Elements + 1)
	}
	e.length(SpanCount, n.Field, count, 4)
	for range count {
		e.element(n, false)
	}
}

func (e *encoder) element(n *node, null bool) {
	r, shape := e.g.Rand, e.g.Shape
	var content []byte
	classic := 4
	switch n.elem {
	case "string":
		classic = 2
		s, ok := "", false
		if shape.String != nil {
			s, ok = shape.String(r, e.m, n.Field)
		}
		if content = []byte(s); !ok {
			content = randomBytes(r)
		}
	case "bytes", "records":
		ok := false
		if shape.Bytes != nil {
			content, ok = shape.Bytes(r, e.m, n.Field)
		}
		if !ok {
			content = randomBytes(r)
		}
	case "uuid":
		from := len(e.b)
		id, ok := [16]byte{}, false
		if shape.UUID != nil {
			id, ok = shape.UUID(r, e.m, n.Field)
		}
		if !ok {
			binary.BigEndian.PutUint64(id[:], r.Uint64())
			binary.BigEndian.PutUint64(id[8:], r.Uint64())
		}
		e.b = append(e.b, id[:]...)
		e.span(SpanValue, n.Field, from)
		return
	case "bool", "int8", "int16", "uint16", "int32", "int64", "float64":
		e.number(n)
		return
	default: // a struct
		if n.Nullable && !n.array {
			from := len(e.b)
			if null {
				e.b = append(e.b, 0xff)
			} else {
				e.b = append(e.b, 1)
			}
			e.span(SpanPresence, n.Field, from)
			if null {
				return
			}
		}
		e.fields(n.kids)
		return
	}
	if null {
		e.length(SpanLength, n.Field, -1, classic)
		return
	}
	e.length(SpanLength, n.Field, len(content), classic)
	from := len(e.b)
	e.b = append(e.b, content...)
	e.span(SpanValue, n.Field, from)
}

var widths = map[string]int{"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "int64": 8, "float64": 8}

func (e *encoder) number(n *node) {
	r, from := e.g.Rand, len(e.b)
	v, ok := int64(0), false
	if e.g.Shape.Int != nil {
		v, ok = e.g.Shape.Int(r, e.m, n.Field)
	}
	switch {
	case ok:
	case n.elem == "bool":
		v = r.Int64N(2)
	default:
		switch r.IntN(4) {
		case 0:
			v = int64(r.Uint64())
		case 1:
			v = -1 + r.Int64N(3)
		default:
			v = r.Int64N(120)
		}
	}
	switch widths[n.elem] {
	case 1:
		e.b = append(e.b, byte(v))
	case 2:
		e.b = binary.BigEndian.AppendUint16(e.b, uint16(v))
	case 4:
		e.b = binary.BigEndian.AppendUint32(e.b, uint32(v))
	default:
		if n.elem == "float64" {
			v = int64(math.Float64bits(float64(v) / 3))
		}
		e.b = binary.BigEndian.AppendUint64(e.b, uint64(v))
	}
	e.span(SpanValue, n.Field, from)
}

// firstUnknownTag is above all that Kafka defines.
const firstUnknownTag = 100

func (e *encoder) tags(nodes []*node) {
	r := e.g.Rand
	var there []*node
	for _, n := range nodes {
		if n.Tag < 0 {
			continue
		}
		yes, ok := false, false
		if f := e.g.Shape.Tagged; f != nil {
			yes, ok = f(r, e.m, n.Field)
		}
		if yes || !ok && r.IntN(2) == 0 {
			there = append(there, n)
		}
	}
	slices.SortFunc(there, func(a, b *node) int { return a.Tag - b.Tag })
	unknown := 0
	if e.g.Shape.UnknownTags && r.IntN(4) == 0 {
		unknown = 1 + r.IntN(2)
	}
	from := len(e.b)
	e.b = binary.AppendUvarint(e.b, uint64(len(there)+unknown))
	e.span(SpanTags, wire.Field{}, from)
	for _, n := range there {
		in := &encoder{g: e.g, m: e.m, flexible: true}
		in.field(n)
		e.tag(n.Field, uint64(n.Tag), in)
	}
	tag := uint64(firstUnknownTag)
	for range unknown {
		in := &encoder{b: slices.Clone(e.g.Shape.UnknownTag)}
		if in.b == nil {
			in.b = randomBytes(r)
		}
		in.span(SpanValue, wire.Field{}, 0)
		e.tag(wire.Field{}, tag, in)
		tag += 1 + r.Uint64N(1<<20)
	}
}

func (e *encoder) tag(f wire.Field, tag uint64, in *encoder) {
	from := len(e.b)
	e.b = binary.AppendUvarint(e.b, tag)
	e.span(SpanTag, f, from)
	from = len(e.b)
	e.b = binary.AppendUvarint(e.b, uint64(len(in.b)))
	e.span(SpanTagSize, f, from)
	for _, s := range in.spans {
		s.At += len(e.b)
		e.spans = append(e.spans, s)
	}
	e.b = append(e.b, in.b...)
}

func randomBytes(r *rand.Rand) []byte {
	n := r.IntN(12)
	if r.IntN(40) == 0 {
		n = r.IntN(300) // lengths of two bytes
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
