package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Shape is what the structural check learned about a body it accepted.
type Shape struct {
	// DecodedBytes estimates, rather high, the memory a decoder of Go
	// structs will allocate for the body. Bytes and records fields are
	// counted as views of the body, strings as copies.
	DecodedBytes int64
	// Elements counts the elements of all arrays.
	Elements int
	// UnknownTags counts tagged fields that the message's definition does not have.
	UnknownTags int
	// Left counts the bytes of a request after its end, which a decoder leaves
	// out, as Apache Kafka does: librdkafka's Metadata request for all topics
	// has three of them. A response may not have any.
	Left int
	// LongestString is the length in bytes of the longest string.
	LongestString int
}

// DecodeBudget is the memory that decoding a body of n bytes may take unless
// the caller says otherwise: 4 MiB and four times the body.
func DecodeBudget(n int) int { return 4<<20 + 4*n }

// CheckRequest reports whether body, without its header, is structurally a
// request of this API key and version, so that a decoder which trusts counts
// may be let loose on it. A maxDecodedBytes of zero or less means
// [DecodeBudget] of the body.
//
// It walks the body once, in time proportional to its length at most, and
// allocates nothing unless it refuses. Errors are [*CheckError], or wrap
// [ErrUnknownAPI] or [ErrUnsupportedVersion]. It is safe for concurrent use.
func CheckRequest(key, version int16, body []byte, maxDecodedBytes int) (Shape, error) {
	return check(key, version, false, body, maxDecodedBytes)
}

// CheckResponse is [CheckRequest] for what a broker answers.
func CheckResponse(key, version int16, body []byte, maxDecodedBytes int) (Shape, error) {
	return check(key, version, true, body, maxDecodedBytes)
}

// CheckError tells why a body was refused.
type CheckError struct {
	APIKey, APIVersion int16
	Response           bool
	Path               string // of the field, such as "Topics[3].Partitions"; empty for the message itself
	Offset             int    // in the body, where the refused value ends
	Problem            string // in words, with the limit that was exceeded
}

func (e *CheckError) Error() string {
	what, path := "request", ""
	if e.Response {
		what = "response"
	}
	if e.Path != "" {
		path = e.Path + ": "
	}
	return fmt.Sprintf("%s %s v%d: %s%s at offset %d", apiLabel(e.APIKey), what, e.APIVersion, path, e.Problem, e.Offset)
}

func check(key, version int16, response bool, body []byte, maxDecodedBytes int) (Shape, error) {
	s := lookup(key)
	if s == nil {
		return Shape{}, &errAPI{key, version, ErrUnknownAPI}
	}
	if version < s.min || version > s.max {
		return Shape{}, &errAPI{key, version, ErrUnsupportedVersion}
	}
	if maxDecodedBytes <= 0 {
		maxDecodedBytes = DecodeBudget(len(body))
	}
	l := program(key, s, response, version)
	w := walker{b: body, end: len(body), budget: int64(maxDecodedBytes), mem: l.mem, flexible: l.flexible}
	if w.fields(l) {
		if w.off == w.end || !response {
			return Shape{w.mem, w.elements, w.unknown, w.end - w.off, w.longest}, nil
		}
		w.fail(problemTrailing, int64(w.end-w.off), 0)
	}
	return Shape{}, &CheckError{key, version, response, w.path(), w.off, w.text()}
}

// walker steps over b[off:end]. Its methods return false once one of them has
// called fail, and on the way back up note where in the message they were.
type walker struct {
	b           []byte
	off, end    int // end is before len(b) inside a tagged field
	flexible    bool
	mem, budget int64
	elements    int
	unknown     int
	longest     int

	problem      problem
	value, limit int64
	steps        [3 * maxDepth]step // innermost first
	depth        int
}

type step struct {
	name  string
	index int // -1 when not an array element
}

type problem uint8

const (
	problemShort problem = iota + 1
	problemLength
	problemNull
	problemNegative
	problemLongString
	problemCount
	problemMemory
	problemVarint
	problemPresence
	problemTagCount
	problemTagOrder
	problemTagVersion
	problemTagSize
	problemTagRest
	problemTrailing
)

func (w *walker) text() string {
	switch w.problem {
	case problemShort:
		return fmt.Sprintf("needs %d bytes, %d left", w.value, w.limit)
	case problemLength:
		return fmt.Sprintf("length %d exceeds the %d bytes left", w.value, w.limit)
	case problemNull:
		return "null where the protocol allows none"
	case problemNegative:
		return fmt.Sprintf("negative length %d", w.value)
	case problemLongString:
		return fmt.Sprintf("string of %d bytes exceeds Kafka's limit of %d", w.value, w.limit)
	case problemCount:
		return fmt.Sprintf("count %d exceeds the %d bytes left", w.value, w.limit)
	case problemMemory:
		return fmt.Sprintf("decoding would take over %d bytes, more than the %d allowed", w.value, w.limit)
	case problemVarint:
		return "varint longer than 32 bits"
	case problemPresence:
		return fmt.Sprintf("presence byte %d is neither 1 nor -1", w.value)
	case problemTagCount:
		return fmt.Sprintf("tag count %d exceeds half of the %d bytes left", w.value, w.limit)
	case problemTagOrder:
		return fmt.Sprintf("tag %d follows tag %d", w.value, w.limit)
	case problemTagVersion:
		return fmt.Sprintf("tag %d does not exist in this version", w.value)
	case problemTagSize:
		return fmt.Sprintf("tag of %d bytes exceeds the %d bytes left", w.value, w.limit)
	case problemTagRest:
		return fmt.Sprintf("%d bytes left over in a tagged field", w.value)
	case problemTrailing:
		return fmt.Sprintf("%d bytes left over after the message", w.value)
	}
	return "malformed"
}

func (w *walker) left() int64 { return int64(w.end - w.off) }

func (w *walker) fail(p problem, value, limit int64) bool {
	w.problem, w.value, w.limit = p, value, limit
	return false
}

func (w *walker) under(name string, index int) bool {
	w.steps[w.depth] = step{name, index}
	w.depth++
	return false
}

func (w *walker) path() string {
	var b strings.Builder
	for i := w.depth - 1; i >= 0; i-- {
		s := w.steps[i]
		if b.Len() > 0 && s.name != "" {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
		}
	}
	return b.String()
}

func (w *walker) fields(l *layout) bool {
	for i := range l.ops {
		if o := &l.ops[i]; !w.op(o) {
			if o.kind == kindFixed {
				return w.shortPart(o)
			}
			return w.under(o.name, -1)
		}
	}
	return !l.flexible || w.tags(l)
}

// shortPart finds which of several fields read at once was cut off.
func (w *walker) shortPart(o *op) bool {
	for _, p := range o.parts {
		if w.left() < int64(p.size) {
			w.fail(problemShort, int64(p.size), w.left())
			return w.under(p.name, -1)
		}
		w.off += p.size
	}
	return false
}

func (w *walker) op(o *op) bool {
	switch o.kind {
	case kindFixed:
		if w.end-w.off < o.size {
			return w.fail(problemShort, int64(o.size), w.left())
		}
		w.off += o.size
		return true
	case kindString:
		return w.str(o)
	case kindBytes:
		n, ok := w.length(4, o.nullable)
		if !ok || n < 0 {
			return ok
		}
		if n > w.left() {
			return w.fail(problemLength, n, w.left())
		}
		w.off += int(n)
		return true
	case kindArray:
		return w.array(o)
	}
	if o.nullable {
		if w.off == w.end {
			return w.fail(problemShort, 1, 0)
		}
		present := int8(w.b[w.off])
		w.off++
		switch present {
		case -1:
			return true
		case 1:
		default:
			return w.fail(problemPresence, int64(present), 0)
		}
		if !w.charge(o.mem) { // the decoder allocates it apart
			return false
		}
	}
	return w.fields(o.layout)
}

// length reads a length or count, which is -1 for null.
func (w *walker) length(classic int, nullable bool) (n int64, ok bool) {
	switch {
	case w.flexible:
		v, ok := w.uvarint()
		if !ok {
			return 0, false
		}
		n = int64(v) - 1
	case w.end-w.off < classic:
		return 0, w.fail(problemShort, int64(classic), w.left())
	case classic == 2:
		n = int64(int16(binary.BigEndian.Uint16(w.b[w.off:])))
		w.off += 2
	default:
		n = int64(int32(binary.BigEndian.Uint32(w.b[w.off:])))
		w.off += 4
	}
	switch {
	case n < -1:
		return 0, w.fail(problemNegative, n, 0)
	case n == -1 && !nullable:
		return 0, w.fail(problemNull, 0, 0)
	}
	return n, true
}

func (w *walker) uvarint() (uint32, bool) {
	if w.off < w.end && w.b[w.off] < 0x80 {
		w.off++
		return uint32(w.b[w.off-1]), true
	}
	v, n := uvarint(w.b[w.off:w.end])
	if n < 0 {
		return 0, w.fail(problemVarint, 0, 0)
	}
	if n == 0 {
		return 0, w.fail(problemShort, w.left()+1, w.left())
	}
	w.off += n
	return v, true
}

func (w *walker) str(o *op) bool {
	n, ok := w.length(2, o.nullable)
	switch {
	case !ok:
		return false
	case n < 0:
		return true
	case n > w.left():
		return w.fail(problemLength, n, w.left())
	case n > 1<<15-1:
		return w.fail(problemLongString, n, 1<<15-1)
	}
	w.off += int(n)
	w.longest = max(w.longest, int(n))
	if o.mem == 8 { // a pointer to a string of its own
		return w.charge(16 + round8(n))
	}
	return w.charge(round8(n))
}

func round8(n int64) int64 { return (n + 7) &^ 7 }

func (w *walker) charge(n int64) bool {
	if w.mem += n; w.mem > w.budget {
		return w.fail(problemMemory, w.mem, w.budget)
	}
	return true
}

func (w *walker) array(o *op) bool {
	n, ok := w.length(4, o.nullable)
	if !ok || n <= 0 {
		return ok
	}
	e := o.elem
	if n > w.left()/int64(max(e.size, 1)) {
		return w.fail(problemCount, n, w.left())
	}
	if !w.charge(round8(n*e.mem) + 8) {
		return false
	}
	w.elements += int(n)
	switch e.kind {
	case kindFixed:
		w.off += int(n) * e.size
		return true
	case kindStruct:
		for i := range int(n) {
			if !w.fields(e.layout) {
				return w.under("", i)
			}
		}
		return true
	}
	for i := range int(n) {
		if !w.op(e) {
			return w.under("", i)
		}
	}
	return true
}

// What a decoder's map of unknown tags costs: for the first tag in a struct,
// and for each one after it.
const (
	firstTagMem = 400
	nextTagMem  = 100
)

func (w *walker) tags(l *layout) bool {
	n, ok := w.uvarint()
	if !ok {
		return false
	}
	if n == 0 {
		return true
	}
	if int64(n) > w.left()/2 {
		return w.fail(problemTagCount, int64(n), w.left())
	}
	known, charge := l.tags, int64(firstTagMem)
	for previous := int64(-1); n > 0; n-- {
		tag, ok := w.uvarint()
		if !ok {
			return false
		}
		if int64(tag) <= previous {
			return w.fail(problemTagOrder, int64(tag), previous)
		}
		previous = int64(tag)
		size, ok := w.uvarint()
		if !ok {
			return false
		}
		if int64(size) > w.left() {
			return w.fail(problemTagSize, int64(size), w.left())
		}
		for len(known) > 0 && known[0].tag < tag {
			known = known[1:]
		}
		if len(known) == 0 || known[0].tag != tag {
			w.unknown++
			w.off += int(size)
			if !w.charge(charge) {
				return false
			}
			charge = nextTagMem
			continue
		}
		o, end := &known[0].op, w.end
		if !known[0].valid { // Kafka refuses these too, and a decoder may read them unchecked
			w.fail(problemTagVersion, int64(tag), 0)
			return w.under(o.name, -1)
		}
		w.end = w.off + int(size)
		if !w.op(o) {
			return w.under(o.name, -1)
		}
		if w.off != w.end {
			w.fail(problemTagRest, w.left(), 0)
			return w.under(o.name, -1)
		}
		w.end = end
	}
	return true
}
