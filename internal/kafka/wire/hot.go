package wire

import (
	"encoding/binary"
	"net"
	"slices"
)

// Walks over the bodies that carry records, Produce requests and Fetch and
// ShareFetch responses, so that they can be passed on with other names and without being
// decoded or copied. They are for bodies that passed the structural check in
// the same version; on anything else they say no, and never read outside.

// Patch replaces b[At:At+Len] of a body.
type Patch struct {
	At, Len int
	With    []byte
}

// Gather returns what b is with its patches, as views of b and of the patches.
// The patches are in ascending order and do not overlap. The size is the sum of
// the lengths.
func Gather(dst net.Buffers, b []byte, patches []Patch) (_ net.Buffers, size int) {
	at := 0
	for _, p := range patches {
		if p.At > at {
			dst = append(dst, b[at:p.At])
			size += p.At - at
		}
		if len(p.With) > 0 {
			dst = append(dst, p.With)
			size += len(p.With)
		}
		at = p.At + p.Len
	}
	if at < len(b) {
		dst = append(dst, b[at:])
		size += len(b) - at
	}
	return dst, size
}

// AppendPatched appends b with its patches, which are as for [Gather].
func AppendPatched(dst, b []byte, patches []Patch) []byte {
	at := 0
	for _, p := range patches {
		dst = append(append(dst, b[at:p.At]...), p.With...)
		at = p.At + p.Len
	}
	return append(dst, b[at:]...)
}

// AppendName appends a string as the versions of a body write it.
func AppendName(dst []byte, name string, flexible bool) []byte {
	if flexible {
		return appendCompact(dst, name)
	}
	return appendString(dst, name)
}

// walk reads a body from front to back. Past a failure it returns zeros.
type walk struct {
	b        []byte
	at       int
	flexible bool
	bad      bool
}

func (w *walk) take(n int) []byte {
	if w.bad || n < 0 || n > len(w.b)-w.at {
		w.bad = true
		return nil
	}
	b := w.b[w.at : w.at+n]
	w.at += n
	return b
}

func (w *walk) int16() int16 {
	if b := w.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (w *walk) int32() int32 {
	if b := w.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (w *walk) uvarint() int {
	if w.bad {
		return 0
	}
	v, n := binary.Uvarint(w.b[w.at:])
	if n <= 0 || v > 1<<31 {
		w.bad = true
		return 0
	}
	w.at += n
	return int(v)
}

// count reads the length of an array; null counts as none.
func (w *walk) count() int {
	if w.flexible {
		return max(w.uvarint()-1, 0)
	}
	return max(int(w.int32()), 0)
}

// string reads a nullable string; nil means null.
func (w *walk) string() []byte {
	n := -1
	if w.flexible {
		n = w.uvarint() - 1
	} else {
		n = int(w.int16())
	}
	if n < 0 {
		return nil
	}
	return w.take(n)
}

// bytes reads nullable bytes.
func (w *walk) bytes() []byte {
	n := -1
	if w.flexible {
		n = w.uvarint() - 1
	} else {
		n = int(w.int32())
	}
	if n < 0 {
		return nil
	}
	return w.take(n)
}

// tags skips tagged fields and returns how many there are.
func (w *walk) tags() int {
	if !w.flexible {
		return 0
	}
	n := w.uvarint()
	for range n {
		w.uvarint()
		w.take(w.uvarint())
		if w.bad {
			break
		}
	}
	return n
}

// HotTopic is a topic of a body that was walked: by name, or by id where Name
// is nil. At and Len are where the body says so, length included.
type HotTopic struct {
	Name    []byte
	ID      [16]byte
	At, Len int
	// Partitions are there in answers that carry records.
	Partitions []HotPartition
}

// HotPartition is a partition of a body that was walked.
type HotPartition struct {
	Index     int32
	ErrorCode int16 // of an answer
	Records   []byte
}

// FetchHead is the beginning of a Fetch response.
type FetchHead struct {
	ThrottleMillis int32
	ErrorCode      int16
	SessionID      int32
	// Tags counts the tagged fields of the response itself: node endpoints
	// (KIP-951), which a gateway has to rewrite.
	Tags int
}

func (w *walk) topic(byID bool) HotTopic {
	t := HotTopic{At: w.at}
	if byID {
		copy(t.ID[:], w.take(16))
	} else {
		t.Name = w.string()
	}
	t.Len = w.at - t.At
	return t
}

// partitions makes room for a topic's partitions behind those of the topics
// before, so that many topics do not cost an allocation each. least is how many
// bytes a partition has at least: a count is not believed.
func (w *walk) partitions(all []HotPartition, n, least int) []HotPartition {
	return slices.Grow(all, min(n, (len(w.b)-w.at)/least))
}

// WalkFetchResponse walks the body of a Fetch response, versions 4 to 18. The
// topics are appended to dst; they and their partitions are views of b.
func WalkFetchResponse(dst []HotTopic, version int16, b []byte) (head FetchHead, topics []HotTopic, ok bool) {
	if version < 4 || version > 18 {
		return head, dst, false
	}
	w := walk{b: b, flexible: version >= 12}
	head.ThrottleMillis = w.int32()
	if version >= 7 {
		head.ErrorCode = w.int16()
		head.SessionID = w.int32()
	}
	fixed := 8 + 8 // high watermark, last stable offset
	if version >= 5 {
		fixed += 8
	}
	var all []HotPartition
	for range w.count() {
		t := w.topic(version >= 13)
		n := w.count()
		all = w.partitions(all, n, 6+fixed)
		from := len(all)
		for range n {
			p := HotPartition{Index: w.int32(), ErrorCode: w.int16()}
			w.take(fixed)
			for range w.count() { // aborted transactions
				w.take(16)
				w.tags()
				if w.bad {
					break
				}
			}
			if version >= 11 {
				w.take(4)
			}
			p.Records = w.bytes()
			w.tags()
			if w.bad {
				return head, dst, false
			}
			all = append(all, p)
		}
		w.tags()
		if w.bad {
			return head, dst, false
		}
		t.Partitions = all[from:len(all):len(all)]
		dst = append(dst, t)
	}
	head.Tags = w.tags()
	return head, dst, !w.bad && w.at == len(b)
}

// ShareFetchHead is the beginning and the end of a ShareFetch response.
type ShareFetchHead struct {
	ErrorCode  int16
	LockMillis int32
	Endpoints  int
}

// WalkShareFetchResponse walks the body of a ShareFetch response, versions 1
// and 2. The topics are appended to dst; they and their partitions are views of
// b. A partition's error is that of the fetch or that of the acknowledgements.
// It says no to a body that holds error texts.
func WalkShareFetchResponse(dst []HotTopic, version int16, b []byte) (head ShareFetchHead, topics []HotTopic, ok bool) {
	if version < 1 || version > 2 {
		return head, dst, false
	}
	w := walk{b: b, flexible: true}
	w.take(4) // throttle time
	head.ErrorCode = w.int16()
	texts := w.string() != nil
	head.LockMillis = w.int32()
	for range w.count() {
		t := w.topic(true)
		for range w.count() {
			p := HotPartition{Index: w.int32(), ErrorCode: w.int16()}
			texts = w.string() != nil || texts
			if code := w.int16(); p.ErrorCode == 0 {
				p.ErrorCode = code
			}
			texts = w.string() != nil || texts
			w.take(8) // current leader
			w.tags()
			p.Records = w.bytes()
			for range w.count() { // acquired records
				w.take(18)
				w.tags()
				if w.bad {
					break
				}
			}
			w.tags()
			if w.bad {
				return head, dst, false
			}
			t.Partitions = append(t.Partitions, p)
		}
		w.tags()
		if w.bad {
			return head, dst, false
		}
		dst = append(dst, t)
	}
	for range w.count() {
		w.take(4)
		w.string()
		w.take(4)
		w.string()
		w.tags()
		if w.bad {
			break
		}
		head.Endpoints++
	}
	w.tags()
	return head, dst, !w.bad && !texts && w.at == len(b)
}

// WalkProduceResponse walks the body of a Produce response, versions 3 to 13.
// The topics are appended to dst, without partitions. It says no to an answer with an error, error texts or tagged fields of the answer itself
// (node endpoints, KIP-951): those need a closer look. The throttle time is its
// last field.
func WalkProduceResponse(dst []HotTopic, version int16, b []byte) (topics []HotTopic, ok bool) {
	if version < 3 || version > 13 {
		return dst, false
	}
	w := walk{b: b, flexible: version >= 9}
	fixed := 8 + 8 // base offset, log append time
	if version >= 5 {
		fixed += 8 // log start offset
	}
	for range w.count() {
		t := w.topic(version >= 13)
		for range w.count() {
			p := HotPartition{Index: w.int32(), ErrorCode: w.int16()}
			w.take(fixed)
			if version >= 8 && (w.count() != 0 || w.string() != nil) {
				return dst, false
			}
			w.tags()
			if w.bad || p.ErrorCode != 0 {
				return dst, false
			}
		}
		w.tags()
		if w.bad {
			return dst, false
		}
		dst = append(dst, t)
	}
	w.take(4)
	tags := w.tags()
	return dst, tags == 0 && !w.bad && w.at == len(b)
}

// ProduceHead is the beginning of a Produce request.
type ProduceHead struct {
	TransactionalID    []byte // nil for none; the body begins with it
	TransactionalIDLen int    // in the body, length included
	Acks               int16
	TimeoutMillis      int32
}

// WalkProduceRequest walks the body of a Produce request, versions 3 to 13. The
// topics are appended to dst, without partitions, and are views of b. Each
// partition is shown to look as it is met, with whether the request has a
// transactional id; when look says no, so does the walk.
func WalkProduceRequest(dst []HotTopic, version int16, b []byte, look func(inTransaction bool, p HotPartition) bool) (head ProduceHead, topics []HotTopic, ok bool) {
	if version < 3 || version > 13 {
		return head, dst, false
	}
	w := walk{b: b, flexible: version >= 9}
	head.TransactionalID = w.string()
	head.TransactionalIDLen = w.at
	head.Acks = w.int16()
	head.TimeoutMillis = w.int32()
	for range w.count() {
		t := w.topic(version >= 13)
		for range w.count() {
			p := HotPartition{Index: w.int32(), Records: w.bytes()}
			w.tags()
			if w.bad || !look(head.TransactionalID != nil, p) {
				return head, dst, false
			}
		}
		w.tags()
		if w.bad {
			return head, dst, false
		}
		dst = append(dst, t)
	}
	w.tags()
	return head, dst, !w.bad && w.at == len(b)
}
