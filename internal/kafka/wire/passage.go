package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// ErrNotPassed says that a body is not one that can be passed on while it
// arrives. Nothing of it has gone out or been taken from the window: it is to be
// read as a whole.
var ErrNotPassed = errors.New("not to be passed while it arrives")

// Passage carries the body of one frame from a reader to a connection while it
// arrives: what lies between the records is looked at in the reader's window,
// the records go by. It does for large bodies what the structural check and the
// hot walks do for those in memory: every count and length is held against what
// is left of the frame. It is used once and by one goroutine.
type Passage struct {
	Context context.Context
	In      *FrameReader
	// Size is that of the frame. Head is how much of the window comes before the
	// body and stays here; Left is the size of the body.
	Size, Head, Left int
	// Write writes pieces of size bytes; it may use them up. With more, what Move
	// carries follows at once.
	Write func(pieces net.Buffers, size int, more bool) error
	// Move carries up to n bytes that In has not read past our memory; nil where
	// that cannot be. late says that the source's read deadline came; the error is
	// then its own.
	Move func(n int) (moved int, late bool, err error)

	at      int // of the window, how much has been looked at
	from    int // of that, how much is in pieces
	pieces  net.Buffers
	pending int   // bytes in pieces
	sparing bool  // the next read stops short of records
	begun   bool  // something has gone out
	err     error // the first one
}

const (
	// moveFrom is what has to be missing of records for Move to be worth it.
	moveFrom = 32 << 10
	// betweenRecords is about what lies between the records of two partitions.
	betweenRecords = 512
	// withTheRest is how much of a frame's last records is not moved.
	withTheRest = 1 << 10
	maxTagBytes = 64 << 10
)

func (p *Passage) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// peek returns the next n bytes without passing them; nil after an error.
func (p *Passage) peek(n int) []byte {
	if p.err != nil {
		return nil
	}
	if n < 0 || n > p.Left {
		p.fail("%d bytes announced, %d are left of the frame", n, p.Left)
		return nil
	}
	if p.In.Buffered()-p.at < n {
		if p.flush(false); p.err != nil {
			return nil
		}
		most := 0
		if p.sparing {
			most = max(n, betweenRecords)
		}
		if p.err = p.In.Need(p.Context, n, most, p.Size-p.Left, p.Size); p.err != nil {
			return nil
		}
	}
	return p.In.Window()[p.at : p.at+n]
}

// take passes n bytes and returns them, valid until the next call.
func (p *Passage) take(n int) []byte {
	b := p.peek(n)
	if b != nil || n == 0 {
		p.at += n
		p.Left -= n
	}
	return b
}

// put sends bytes that are not the frame's.
func (p *Passage) put(b []byte) {
	p.gather()
	p.pieces = append(p.pieces, b)
	p.pending += len(b)
}

// drop leaves out the n bytes that were peeked at.
func (p *Passage) drop(n int) {
	p.gather()
	p.at += n
	p.from += n
	p.Left -= n
}

func (p *Passage) gather() {
	if p.at > p.from {
		p.pieces = append(p.pieces, p.In.Window()[p.from:p.at])
		p.pending += p.at - p.from
		p.from = p.at
	}
}

// flush writes what has been passed.
func (p *Passage) flush(more bool) {
	if p.gather(); p.err != nil {
		return
	}
	if p.pending > 0 {
		p.begun = true
		p.err = p.Write(p.pieces, p.pending, more)
		clear(p.pieces)
		p.pieces, p.pending = p.pieces[:0], 0
	}
	p.In.Discard(p.at)
	p.at, p.from = 0, 0
}

// bulk passes n bytes that nobody looks at.
func (p *Passage) bulk(n int) {
	if p.err == nil && (n < 0 || n > p.Left) {
		p.fail("%d bytes of records announced, %d are left of the frame", n, p.Left)
	}
	for n > 0 && p.err == nil {
		here := min(n, p.In.Buffered()-p.at)
		p.at += here
		p.Left -= here
		if n -= here; n == 0 {
			return
		}
		move := p.Move != nil && n >= moveFrom
		if p.flush(move); p.err != nil {
			return
		}
		if move {
			// The end of the last records comes with what is behind them, and with
			// the next frame, in one read and one write.
			last, by := p.Left-n < betweenRecords, n
			if last {
				by -= withTheRest
			}
			if p.err = p.In.past(by, p.Move); p.err != nil {
				return
			}
			p.Left -= by
			n -= by
			p.sparing = !last
			continue
		}
		// As much as the buffer takes, in one write each.
		p.err = p.In.Need(p.Context, 1, 0, p.Size-p.Left, p.Size)
	}
}

func (p *Passage) int16() int16 {
	if b := p.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (p *Passage) int32() int32 {
	if b := p.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (p *Passage) uvarint() int {
	v := uint64(0)
	for shift := 0; shift < 35; shift += 7 {
		b := p.take(1)
		if b == nil {
			return 0
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if v > 1<<31 {
				break
			}
			return int(v)
		}
	}
	p.fail("a number of more than 31 bits")
	return 0
}

// length reads the length of an array or of bytes; -1 is null.
func (p *Passage) length(flexible bool) int {
	if flexible {
		return p.uvarint() - 1
	}
	return int(p.int32())
}

// count reads the length of an array whose elements have least bytes at least.
func (p *Passage) count(flexible bool, least int) int {
	n := p.length(flexible)
	if n > 0 && n > p.Left/least {
		p.fail("%d elements announced in %d bytes", n, p.Left)
		return 0
	}
	return max(n, 0)
}

// tags passes tagged fields of which those up to most are known.
func (p *Passage) tags(flexible bool, most int) {
	if !flexible {
		return
	}
	n, last := p.uvarint(), -1
	for range n {
		tag := p.uvarint()
		if p.err == nil && (tag > most || tag <= last) {
			p.fail("tagged field %d, only those up to %d are known here", tag, most)
		}
		last = tag
		size := p.uvarint()
		if p.err == nil && size > maxTagBytes {
			p.fail("tagged field of %d bytes", size)
		}
		if p.take(size); p.err != nil {
			return
		}
	}
}

// FetchView is what decides about a Fetch response that is passed on while it
// arrives.
type FetchView struct {
	// Head is asked first; it says no to what has to be read as a whole.
	Head func(head FetchHead, topics int) bool
	// Topic returns what goes out in the place of a topic's name or id, with its
	// length where it is a name, and stays as it is until the passage ends. An
	// error ends the passage.
	Topic func(name []byte, id [16]byte) ([]byte, error)
	// Partition is told of each partition of the topic.
	Partition func(index int32, errorCode int16) error
}

// PassFetchResponse passes the body of a Fetch response, versions 4 to 18: by
// topic id from 13 on, before that only with one topic, since the length of what
// goes out comes first. Begin is called with that length before anything is
// written, and returns what goes out before the body. Node endpoints (KIP-951),
// which name hosts and come last, become a tagged field that nobody knows.
func PassFetchResponse(p *Passage, version int16, view FetchView, begin func(size int) []byte) error {
	flexible, byID := version >= 12, version >= 13
	if version < 4 || version > 18 {
		return ErrNotPassed
	}
	// The head is looked at in the window, so that there is a way back.
	p.at, p.from = p.Head, p.Head
	w := walk{b: p.In.Window()[p.Head:min(p.Head+p.Left, p.In.Buffered())], flexible: flexible}
	head := FetchHead{ThrottleMillis: w.int32()}
	if version >= 7 {
		head.ErrorCode, head.SessionID = w.int16(), w.int32()
	}
	topics := w.count()
	at := w.at
	if w.bad || head.ErrorCode != 0 || topics == 0 || topics > p.Left/4 || !byID && topics != 1 {
		return ErrNotPassed
	}
	size := p.Left
	var renamed []byte
	if !byID {
		name := w.topic(false)
		if w.bad {
			return ErrNotPassed
		}
		var err error
		if renamed, err = view.Topic(name.Name, [16]byte{}); err != nil {
			return ErrNotPassed
		}
		size += len(renamed) - name.Len
	}
	if !view.Head(head, topics) {
		return ErrNotPassed
	}
	p.put(begin(size))
	p.take(at)
	fixed := 8 + 8 // high watermark, last stable offset
	if version >= 5 {
		fixed += 8
	}
	for range topics {
		if byID {
			var id [16]byte
			copy(id[:], p.peek(16))
			if p.err == nil {
				with, err := view.Topic(nil, id)
				if err != nil {
					return p.refused(err)
				}
				p.drop(16) // the window stays as it is: there may be a way back
				p.put(with)
			}
		} else {
			p.drop(w.at - at)
			p.put(renamed)
		}
		for range p.count(flexible, 6+fixed+4) {
			index, errorCode := p.int32(), p.int16()
			if p.err != nil {
				return p.err
			}
			if err := view.Partition(index, errorCode); err != nil {
				return p.refused(err)
			}
			p.take(fixed)
			p.sparing = false
			for range p.count(flexible, 16) { // aborted transactions
				p.take(16)
				if p.tags(flexible, -1); p.err != nil {
					return p.err
				}
			}
			if version >= 11 {
				p.take(4) // preferred read replica
			}
			p.bulk(max(p.length(flexible), 0))
			if p.tags(flexible, 2); p.err != nil {
				return p.err
			}
		}
		if p.tags(flexible, -1); p.err != nil {
			return p.err
		}
	}
	p.fetchTags(flexible)
	return p.end()
}

// nobodysTag is in the place of what must not be seen.
const nobodysTag = 127

func (p *Passage) fetchTags(flexible bool) {
	if !flexible || p.err != nil {
		return
	}
	switch n := p.uvarint(); {
	case p.err != nil || n == 0:
	case n > 1:
		p.fail("%d tagged fields in a Fetch response, one is known here", n)
	default:
		tag := p.peek(1)
		if p.err == nil && tag[0] != 0 {
			p.fail("tagged field %d in a Fetch response is not known here", tag[0])
			return
		}
		if tag != nil {
			tag[0] = nobodysTag
		}
		p.take(1)
		size := p.uvarint()
		if p.err == nil && size > maxTagBytes {
			p.fail("node endpoints of %d bytes", size)
		}
		clear(p.take(size))
	}
}

// refused is the error of a refusal: there is a way back while nothing has gone
// out.
func (p *Passage) refused(err error) error {
	if !p.begun {
		return ErrNotPassed
	}
	return err
}

// end sees to it that the whole body has been passed, and writes what is left.
func (p *Passage) end() error {
	if p.err == nil && p.Left > 0 {
		p.fail("%d bytes behind the body", p.Left)
	}
	p.flush(false)
	return p.err
}

// ProducePrefix is what precedes the records of a Produce request with one topic.
type ProducePrefix struct {
	ProduceHead
	Topic HotTopic // without partitions
	Len   int      // of the prefix: up to and including the topic's name or id
}

// PeekProduceRequest looks at the beginning of the body of a Produce request,
// versions 3 to 13, in the window, of which left bytes are the body's or will be.
// It says no when there is not exactly one topic.
func PeekProduceRequest(version int16, window []byte, left int) (ProducePrefix, bool) {
	if version < 3 || version > 13 {
		return ProducePrefix{}, false
	}
	w := walk{b: window[:min(len(window), left)], flexible: version >= 9}
	var p ProducePrefix
	p.TransactionalID = w.string()
	p.TransactionalIDLen = w.at
	p.Acks, p.TimeoutMillis = w.int16(), w.int32()
	topics := w.count()
	p.Topic = w.topic(version >= 13)
	p.Len = w.at
	return p, topics == 1 && !w.bad
}

// PassProduceRequest passes the body of a Produce request with one topic, which
// begins with prefix: that goes out with patches, and after head. Batch is shown
// the header of every record batch, [BatchHeaderBytes] long; an error ends the
// passage.
func PassProduceRequest(p *Passage, version int16, prefix ProducePrefix, patches []Patch, head []byte, batch func(header []byte) error) error {
	flexible := version >= 9
	p.at, p.from = p.Head, p.Head
	p.put(head)
	b := p.peek(prefix.Len)
	if p.err != nil {
		return p.err
	}
	pieces, _ := Gather(nil, b, patches)
	for _, piece := range pieces {
		p.put(piece)
	}
	p.drop(prefix.Len)
	for range p.count(flexible, 6) {
		p.take(4) // the partition
		n := p.length(flexible)
		if p.err == nil && n > p.Left {
			p.fail("%d bytes of records announced, %d are left of the frame", n, p.Left)
		}
		for n > 0 && p.err == nil {
			if n < BatchHeaderBytes {
				p.bulk(n)
				break
			}
			header := p.peek(BatchHeaderBytes)
			if p.err != nil {
				return p.err
			}
			length, modern := BatchLength(header, n)
			if modern { // otherwise it is for the broker to refuse
				if err := batch(header); err != nil {
					return p.refused(err)
				}
			}
			p.bulk(length)
			n -= length
			p.sparing = p.sparing && length >= 2*moveFrom
		}
		if p.tags(flexible, -1); p.err != nil {
			return p.err
		}
	}
	p.tags(flexible, -1)
	p.tags(flexible, -1)
	return p.end()
}

// BatchHeaderBytes is the size of a record batch's header (KIP-98).
const BatchHeaderBytes = 61

const batchMagicOffset = 16

// BatchLength is how many of the n bytes that begin with a batch's header, of
// [BatchHeaderBytes], are that batch: all of them where the header does not say,
// or lies. Modern is false for what is no batch, or none of magic 2.
func BatchLength(header []byte, n int) (length int, modern bool) {
	if header[batchMagicOffset] != 2 {
		return n, false
	}
	l := int64(int32(binary.BigEndian.Uint32(header[8:]))) + 12
	if l < BatchHeaderBytes || l > int64(n) {
		return n, true // its header is one, whatever follows
	}
	return int(l), true
}
