package wiretest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"sluice/internal/kafka/wire"
)

// Value is one field of a body as [Read] finds it.
type Value struct {
	Field wire.Field
	// Index says which elements of which arrays the field lies in, from the
	// outermost one in, its own place in an array of plain values included.
	Index []int
	Null  bool
	// Bytes is a view of the body: a number as it was sent, or the content of a
	// string, bytes or uuid. Arrays have an Count instead, and structs neither.
	Bytes []byte
	Count int
	// Unknown is a tagged field that the definition does not have; only Bytes is set.
	Unknown bool
}

// Where is the place of a value, such as "Topics[3].Name".
func (v Value) Where() string { return fmt.Sprintf("%s%v", v.Field.Path, v.Index) }

// Int returns a number of up to eight bytes.
func (v Value) Int() (n int64) {
	for i, b := range v.Bytes {
		if i == 0 {
			n = int64(int8(b))
			continue
		}
		n = n<<8 | int64(b)
	}
	return n
}

// ErrBody says that a body is not what its schema describes.
var ErrBody = errors.New("body does not follow its schema")

// Read returns the fields of a body from front to back, arrays and nullable
// structs included, and the bytes after its end. Nothing that a body says of
// itself makes it allocate more than a few times the body's size.
func Read(key, version int16, response bool, body []byte) (values []Value, left []byte, err error) {
	if lo, hi, ok := wire.APIVersions(key); !ok || version < lo || version > hi {
		return nil, nil, fmt.Errorf("%w: no schema of key %d version %d", ErrBody, key, version)
	}
	d := &reader{b: body, flexible: wire.Flexible(key, version)}
	d.fields(tree(key, version, response), nil)
	if d.err != nil {
		return nil, nil, fmt.Errorf("%s v%d response=%v: %w", wire.APIName(key), version, response, d.err)
	}
	return d.values, d.b, nil
}

type reader struct {
	b        []byte
	flexible bool
	values   []Value
	err      error
}

func (d *reader) fail(f wire.Field, problem string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: %s", ErrBody, f.Path, problem)
	}
	d.b = nil
}

func (d *reader) take(f wire.Field, n int64) []byte {
	if d.err != nil || n < 0 || n > int64(len(d.b)) {
		d.fail(f, fmt.Sprintf("%d bytes wanted, %d left", n, len(d.b)))
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *reader) uvarint(f wire.Field) int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > 1<<32-1 {
		d.fail(f, "varint")
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *reader) length(f wire.Field, classic int64) int64 {
	if d.flexible {
		return d.uvarint(f) - 1
	}
	b := d.take(f, classic)
	if b == nil {
		return 0
	}
	return Value{Bytes: b}.Int()
}

func (d *reader) fields(nodes []*node, index []int) {
	for _, n := range nodes {
		if n.Tag < 0 && d.err == nil {
			d.field(n, index)
		}
	}
	if !d.flexible || d.err != nil {
		return
	}
	previous := int64(-1)
	for count := d.uvarint(wire.Field{}); count > 0 && d.err == nil; count-- {
		tag := d.uvarint(wire.Field{})
		in := &reader{b: d.take(wire.Field{}, d.uvarint(wire.Field{})), flexible: true}
		if tag <= previous {
			d.fail(wire.Field{}, "order of tags")
		}
		previous = tag
		if d.err != nil {
			return
		}
		i := slices.IndexFunc(nodes, func(n *node) bool { return int64(n.Tag) == tag })
		if i < 0 {
			d.values = append(d.values, Value{Unknown: true, Bytes: in.b})
			continue
		}
		in.field(nodes[i], index)
		if in.err == nil && len(in.b) > 0 {
			in.fail(nodes[i].Field, "bytes left over in its tag")
		}
		d.values, d.err = append(d.values, in.values...), in.err
	}
}

func (d *reader) field(n *node, index []int) {
	if !n.array {
		d.element(n, index)
		return
	}
	count := d.length(n.Field, 4)
	if count < -1 || count > int64(len(d.b)) || count < 0 && !n.Nullable { // nothing takes less than a byte
		d.fail(n.Field, fmt.Sprintf("count %d", count))
		return
	}
	d.values = append(d.values, Value{Field: n.Field, Index: index, Null: count < 0, Count: int(max(count, 0))})
	for i := range int(max(count, 0)) {
		if d.err != nil {
			return
		}
		d.element(n, append(index[:len(index):len(index)], i))
	}
}

func (d *reader) element(n *node, index []int) {
	v := Value{Field: n.Field, Index: index}
	switch n.elem {
	case "string", "bytes", "records":
		classic := int64(4)
		if n.elem == "string" {
			classic = 2
		}
		size := d.length(n.Field, classic)
		if v.Null = size == -1 && (n.Nullable && !n.array || n.elem == "records"); !v.Null {
			v.Bytes = d.take(n.Field, size)
		}
	case "uuid":
		v.Bytes = d.take(n.Field, 16)
	case "bool", "int8", "int16", "uint16", "int32", "int64", "float64":
		v.Bytes = d.take(n.Field, int64(widths[n.elem]))
	default:
		if n.Nullable && !n.array {
			present := d.take(n.Field, 1)
			if present == nil {
				return
			}
			switch int8(present[0]) {
			case -1:
				v.Null = true
			case 1:
			default:
				d.fail(n.Field, "presence")
				return
			}
			d.values = append(d.values, v)
		}
		if !v.Null {
			d.fields(n.kids, index)
		}
		return
	}
	d.values = append(d.values, v)
}

// Versions yields every message that package wire has a schema of.
func Versions() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for key := range wire.APIKeys() {
			lo, hi, _ := wire.APIVersions(key)
			for v := lo; v <= hi; v++ {
				for _, response := range [...]bool{false, true} {
					if !yield(Message{Key: key, Version: v, Response: response}) {
						return
					}
				}
			}
		}
	}
}
