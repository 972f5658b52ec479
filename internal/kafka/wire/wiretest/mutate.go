package wiretest

import (
	"encoding/binary"
	"slices"
)

// Mutation is one way to damage a message.
type Mutation uint8

// The mutations. All but Flip know where the fields are.
const (
	Truncate   Mutation = iota // the end is missing
	LengthOff                  // a length or count is one too large or too small
	CountMax                   // a length, count or size says the most it can, or less than nothing
	Swap                       // two values change places
	Splice                     // the beginning of one message with the end of another
	Flip                       // one bit is another
	NestedTags                 // a tagged field more: unknown, twice, out of order, holding tags itself
	Trailing                   // bytes after the end
	Null                       // null, wherever a length or presence is
	Repeat                     // a piece twice
	Numbers                    // a number at its limits
	Mutations                  // how many there are
)

func (m Mutation) String() string {
	return [...]string{"truncate", "length off by one", "count max", "swap", "splice", "bit flip", "nested tags", "trailing", "null", "repeat", "number at its limits"}[m]
}

// Mutate returns a damaged copy of m's body and what was done; other is a
// message to take pieces from. The result may happen to be valid.
func (g *Generator) Mutate(m, other *Message) ([]byte, Mutation) {
	how := Mutation(g.Rand.IntN(int(Mutations)))
	return g.Apply(how, m, other), how
}

// Apply damages in one way.
func (g *Generator) Apply(how Mutation, m, other *Message) []byte {
	r := g.Rand
	b := slices.Clone(m.Body)
	pick := func(kinds ...SpanKind) (Span, bool) {
		n, out := 0, Span{}
		for _, s := range m.Spans {
			if slices.Contains(kinds, s.Kind) {
				if n++; r.IntN(n) == 0 {
					out = s
				}
			}
		}
		return out, n > 0
	}
	replace := func(s Span, with []byte) []byte { return slices.Concat(b[:s.At], with, b[s.At+s.Len:]) }
	varint := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	switch how {
	case Truncate:
		if len(b) > 0 {
			return b[:r.IntN(len(b))]
		}
	case LengthOff:
		if s, ok := pick(SpanLength, SpanCount, SpanTags, SpanTagSize); ok {
			delta := int64(1 - 2*r.IntN(2))
			if s.flexible {
				v, _ := binary.Uvarint(b[s.At:])
				return replace(s, varint(uint64(max(int64(v)+delta, 0))))
			}
			at := s.At + s.Len - 1
			b[at] += byte(delta)
			return b
		}
	case CountMax:
		if s, ok := pick(SpanLength, SpanCount, SpanTags, SpanTagSize); ok {
			if s.flexible {
				return replace(s, varint([]uint64{1<<32 - 1, 1 << 31, 1<<31 - 1, 1 << 26, 1 << 35, 1<<64 - 1}[r.IntN(6)]))
			}
			v := []uint32{1<<31 - 1, 1 << 31, 1 << 26, 1<<32 - 2}[r.IntN(4)]
			if s.Len == 2 {
				return replace(s, binary.BigEndian.AppendUint16(nil, []uint16{1<<15 - 1, 1 << 15, 1<<16 - 2}[r.IntN(3)]))
			}
			return replace(s, binary.BigEndian.AppendUint32(nil, v))
		}
	case Swap:
		one, ok := pick(SpanValue)
		two, _ := pick(SpanValue)
		if one.At > two.At {
			one, two = two, one
		}
		if ok && one.At+one.Len <= two.At {
			return slices.Concat(b[:one.At], b[two.At:two.At+two.Len], b[one.At+one.Len:two.At], b[one.At:one.At+one.Len], b[two.At+two.Len:])
		}
	case Splice:
		if len(m.Spans) > 0 && len(other.Spans) > 0 {
			head, tail := m.Spans[r.IntN(len(m.Spans))], other.Spans[r.IntN(len(other.Spans))]
			return slices.Concat(b[:head.At], other.Body[tail.At:])
		}
	case NestedTags:
		if s, ok := pick(SpanTags); ok {
			n, _ := binary.Uvarint(b[s.At:])
			inner := []byte{2, 0, 3, 1, 200, 1, 1, 0, 0} // tags in a tag
			var tag []byte
			switch r.IntN(4) {
			case 0: // before all others, with a number that may be known
				tag = slices.Concat(varint(uint64(r.IntN(3))), varint(uint64(len(inner))), inner)
			case 1: // twice
				one := slices.Concat(varint(150), varint(uint64(len(inner))), inner)
				tag, n = slices.Concat(one, one), n+1
			case 2: // the largest number there is
				tag = slices.Concat(varint(1<<32-1), varint(uint64(len(inner))), inner)
			default: // a size that reaches to the end and beyond
				tag = slices.Concat(varint(uint64(r.IntN(200))), varint(uint64(len(b)-s.At+r.IntN(3))))
			}
			return replace(s, slices.Concat(varint(n+1), tag))
		}
	case Trailing:
		return append(b, randomBytes(r)...)
	case Null:
		if s, ok := pick(SpanLength, SpanCount, SpanPresence); ok {
			if s.flexible && s.Kind != SpanPresence {
				return replace(s, []byte{0})
			}
			for i := range s.Len {
				b[s.At+i] = 0xff
			}
			return b
		}
	case Repeat:
		if len(m.Spans) > 1 {
			i := r.IntN(len(m.Spans))
			j := min(len(m.Spans)-1, i+r.IntN(6))
			from, to := m.Spans[i].At, m.Spans[j].At+m.Spans[j].Len
			return slices.Concat(b[:to], b[from:to], b[to:])
		}
	case Numbers:
		if s, ok := pick(SpanValue); ok && s.Len > 0 && s.Len <= 8 {
			fill := []byte{0x00, 0xff, 0x7f, 0x80}[r.IntN(4)]
			for i := range s.Len {
				b[s.At+i] = fill
				if fill == 0x7f {
					fill = 0xff
				} else if fill == 0x80 {
					fill = 0
				}
			}
			return b
		}
	}
	if len(b) > 0 { // Flip, and whatever found nothing to do
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}
