package gateway

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/kafka/wire"
)

// pending is one request that waits for its answer. The fields above the line
// are set before it enters the ring.
type pending struct {
	key, version  int16
	sent          int16 // version sent upstream
	correlationID int32
	name          string
	upstream      bool
	respond       func(kmsg.Response) (kmsg.Response, error) // nil passes the answer undecoded
	patch         func([]byte) ([]wire.Patch, bool)          // tried before respond, on the bytes
	pass          func() *wire.FetchView                     // tried before patch, on an answer that is large
	mute          time.Duration
	last          bool // the connection ends after this answer
	patience      time.Duration
	sentAt        time.Time
	decoded       borrowed // memory of the decoded request
	inRing        bool     // set by push
	exchange      handler.Exchange
	// passedAt is when a part of a request that is passed on while it arrives went
	// to the broker, Unix nanoseconds; it moves while the request is in the ring.
	passedAt atomic.Int64
	// ----
	frame  *[]byte     // the answer as it goes out, or its beginning; nil until done
	rest   net.Buffers // what follows frame, as views of behind
	behind *wire.Frame // released once the answer is written
	size   int         // bytes of the broker's answer
	done   bool
	hold   *time.Timer
}

// borrowed is memory that is given back once, by whoever comes first.
type borrowed struct {
	from *wire.Budget
	n    atomic.Int64
}

func (b *borrowed) release() { b.from.Release(b.n.Swap(0)) }

// ring keeps the requests of one connection in the client's order: whatever
// completes first, answers go out as they were asked for. It is bounded; whoever
// pushes into a full one waits, and TCP tells the client. Whoever completes the
// front writes it and what is complete behind it, one writer at a time, many
// answers with one call.
type ring struct {
	write func([]*pending) error // of complete answers; called by one goroutine at a time

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	entries []*pending
	max     int
	writing bool
	ready   int        // bytes of brokers' answers in entries that are done
	batch   []*pending // being written; whoever writes has it
	closed  bool
	err     error
}

func newRing(max int, write func([]*pending) error) *ring {
	r := &ring{write: write, max: max}
	r.changed.L = &r.mu
	return r
}

// push appends a request once there is room; false when the ring is closed.
func (r *ring) push(p *pending) bool { return r.enter(p, true) }

// enter is push, or gives up when the ring is full.
func (r *ring) enter(p *pending, wait bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for wait && len(r.entries) >= r.max && !r.closed {
		r.changed.Wait()
	}
	if len(r.entries) >= r.max || r.closed {
		return false
	}
	r.entries = append(r.entries, p)
	p.inRing = true
	return true
}

// abandon takes the request that was pushed last out again, which will not be
// answered.
func (r *ring) abandon(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.entries) - 1; last >= 0 && r.entries[last] == p {
		r.entries[last] = nil
		r.entries = r.entries[:last]
	}
	r.changed.Broadcast()
}

// awaited returns the oldest request that waits for the broker, or nil.
func (r *ring) awaited() *pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.upstream && !e.done {
			return e
		}
	}
	return nil
}

// complete gives a request its answer and writes what is due. The error is the
// write's, this one's or an earlier one's.
func (r *ring) complete(p *pending, frame *[]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done(p, frame)
	return r.writeReady()
}

// readied gives a request its answer without writing: whoever completes several
// calls flush for all of them.
func (r *ring) readied(p *pending, frame *[]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done(p, frame)
	return r.err
}

// flush writes what is due.
func (r *ring) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeReady()
}

// done marks a request as answered; r.mu is held.
func (r *ring) done(p *pending, frame *[]byte) {
	if p.done {
		return
	}
	p.frame, p.done = frame, true
	p.decoded.release()
	r.ready += p.size
	if r.closed { // nobody will write it
		p.behind.Release()
	}
}

// maxBatch is how many answers are written at once at most.
const maxBatch = 64

// writeReady writes the answers at the front, unless somebody else does; r.mu is
// held.
func (r *ring) writeReady() error {
	if r.writing || r.closed {
		return r.err
	}
	r.writing = true
	for r.err == nil && !r.closed {
		n, size := 0, 0
		for n < len(r.entries) && n < maxBatch && r.entries[n].done {
			size += r.entries[n].size
			n++
		}
		if n == 0 {
			break
		}
		r.batch = append(r.batch[:0], r.entries[:n]...)
		r.drop(n)
		err := r.unlocked(r.batch)
		clear(r.batch)
		r.ready -= size
		if r.err == nil {
			r.err = err
		}
		r.changed.Broadcast()
	}
	r.writing = false
	if r.err != nil {
		r.end()
	}
	return r.err
}

// drop takes the first entries out; r.mu is held. The others move up, so that
// the room is used again: they are few.
func (r *ring) drop(n int) {
	left := copy(r.entries, r.entries[n:])
	clear(r.entries[left:])
	r.entries = r.entries[:left]
}

// unlocked writes while others may push; r.mu is held before and after, even if
// write panics.
func (r *ring) unlocked(batch []*pending) error {
	r.mu.Unlock()
	defer r.mu.Lock()
	return r.write(batch)
}

// own waits until an answer is the next one to be written and nobody writes,
// and keeps others from writing until disown; false when the ring is closed.
func (r *ring) own(p *pending) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for (r.writing || len(r.entries) == 0 || r.entries[0] != p) && !r.closed {
		r.changed.Wait()
	}
	if r.closed {
		return false
	}
	r.writing = true
	return true
}

// giveBack ends the ownership of an answer that was not written after all.
func (r *ring) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = false
	r.changed.Broadcast()
}

// disown takes an owned answer, which its owner has written, out of the ring.
func (r *ring) disown(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.done = true
	p.decoded.release()
	if len(r.entries) > 0 && r.entries[0] == p {
		r.drop(1)
	}
	r.writing = false
	r.changed.Broadcast()
}

// end closes the ring; r.mu is held. What waits in it gives its memory back.
func (r *ring) end() {
	r.closed = true
	for _, e := range r.entries {
		if e.hold != nil {
			e.hold.Stop()
		}
		if e.done {
			e.behind.Release()
		}
		e.decoded.release()
	}
	r.changed.Broadcast()
}

// room waits until no more than max bytes of answers wait to be written behind
// one that is held or slow, or the ring is closed. It is for whoever reads the
// broker's answers: they come in order, so none of them is waited for here.
func (r *ring) room(max int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.ready > max && !r.closed {
		r.changed.Wait()
	}
}

// release ends the holds of answers that are ready but kept back.
func (r *ring) release() {
	r.mu.Lock()
	var held []*time.Timer
	for _, e := range r.entries {
		if e.hold != nil && !e.done {
			held = append(held, e.hold)
		}
	}
	r.mu.Unlock()
	for _, t := range held {
		t.Reset(0)
	}
}

// drained waits until nothing is in flight, or the ring is closed.
func (r *ring) drained() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for (len(r.entries) > 0 || r.writing) && !r.closed {
		r.changed.Wait()
	}
}

// idle reports whether nothing is in flight.
func (r *ring) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries) == 0 && !r.writing
}

// close wakes whoever waits; nothing more is written.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
}
