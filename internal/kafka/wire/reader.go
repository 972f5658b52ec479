package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// FrameConfig is what a [FrameReader] needs besides its source. All of it may
// be left out.
type FrameConfig struct {
	Buffers *Buffers
	// Budget is charged for what the reader's buffer has beyond its first
	// 4 KiB, until it is empty or its frame released.
	Budget *Budget
	// FirstBytes is how large the buffer may begin, before anything has come;
	// 4 KiB if less. More saves reads, and is for peers who have proved who they
	// are. Where Budget has no room for it, the buffer begins at 4 KiB.
	FirstBytes int
	// LeapBytes, when positive, lets the buffer take the size of its frame at
	// once after so many bytes of it have come, up to that of the largest pooled
	// buffer: for peers that are trusted to send what they announce, and bounded
	// by Budget all the same. Otherwise buffers double, copying as they grow.
	LeapBytes int
	// BudgetWait bounds each wait for Budget; zero means 10 s.
	BudgetWait time.Duration
	// Pace is enforced through SetReadDeadline, which is called before a read
	// inside a frame that may block. The deadline is left behind: whoever reads
	// between frames sets their own.
	Pace            Pace
	SetReadDeadline func(time.Time) error
	// OnDeadline, when set, is asked when a read meets a deadline: nil means
	// that it was not the one that counts, and the read goes on.
	OnDeadline func() error
	// Now is the clock for Pace; nil means time.Now.
	Now func() time.Time
}

// ReadyReader is a source that is waited for without a buffer, so that a
// connection with nothing to say holds no memory.
type ReadyReader interface {
	io.Reader
	// ReadReady reads like Read, into what lend returns. When there is nothing
	// to read it calls back, to give the buffer up, then block, and waits; a
	// error of block ends it.
	ReadReady(lend func() []byte, back func(), block func() error) (int, error)
}

// FrameReader reads length-prefixed frames from one connection. It reads what
// is there, several frames at once, and shows them where they lie: Await, Size,
// View and Discard for frames that are dealt with at once, Body for those that
// outlive the next read. Its buffer is given back whenever it is empty. It is
// not safe for concurrent use.
type FrameReader struct {
	src    io.Reader
	ready  ReadyReader // src, if it is one
	config FrameConfig

	buf  *[]byte // nil while nothing is buffered; its length is how much was read into it
	used int     // of that, how much has been dealt with
	held int64   // charged for buf
	from *Budget // that held is of

	// The methods below as values, made once. before is called before a read blocks.
	lendFunc  func() []byte
	backFunc  func()
	blockFunc func() error
	before    func() error
	paceFunc  func() error
	most      int       // bytes that the present read may bring
	deadline  time.Time // of the frame at hand; zero while nothing of it was waited for
	readAt    time.Time // when something of it came last: what is done in between is not the peer's fault
	paced     bool      // the deadline has been set
}

// NewFrameReader returns a reader of the frames in src, which may be a
// [ReadyReader].
func NewFrameReader(src io.Reader, config FrameConfig) *FrameReader {
	if config.BudgetWait <= 0 {
		config.BudgetWait = 10 * time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	r := &FrameReader{src: src, config: config}
	r.ready, _ = src.(ReadyReader)
	r.lendFunc, r.backFunc, r.blockFunc, r.paceFunc = r.lend, r.back, r.block, r.setPace
	return r
}

// SetBudget changes the budget for the memory that is taken from now on; what
// was taken before is given back where it came from.
func (r *FrameReader) SetBudget(b *Budget) { r.config.Budget = b }

// SetFirstBytes sets [FrameConfig.FirstBytes] for the buffers to come.
func (r *FrameReader) SetFirstBytes(n int) { r.config.FirstBytes = n }

// Buffered returns how many bytes have been read and not dealt with.
func (r *FrameReader) Buffered() int {
	if r.buf == nil {
		return 0
	}
	return len(*r.buf) - r.used
}

// Window returns what has been read and not dealt with, valid until the next
// call that reads or discards.
func (r *FrameReader) Window() []byte {
	if r.buf == nil {
		return nil
	}
	return (*r.buf)[r.used:]
}

// Discard marks n bytes of the window as dealt with. The memory stays as it is
// until the next read.
func (r *FrameReader) Discard(n int) { r.used += n }

// Close gives the memory back. The reader is of no further use.
func (r *FrameReader) Close() { r.drop() }

func (r *FrameReader) drop() {
	if r.buf != nil {
		r.config.Buffers.Put(r.buf)
	}
	r.from.Release(r.held)
	r.buf, r.used, r.held = nil, 0, 0
}

// lend returns the free part of the buffer, taking one if there is none: the
// first bytes if the budget has them at once.
func (r *FrameReader) lend() []byte {
	if r.buf == nil {
		r.from = r.config.Budget
		size := minBufferBytes
		if first := r.config.FirstBytes; first > size {
			class := minBufferBytes << bufferClass(first)
			if more := int64(class - size); r.from.TryAcquire(more) {
				size, r.held = class, more
			}
		}
		r.buf, r.used = r.config.Buffers.Get(size), 0
	}
	b := *r.buf
	return b[len(b):min(cap(b), len(b)+r.most)]
}

func (r *FrameReader) back() {
	if r.Buffered() == 0 {
		r.drop()
	}
}

func (r *FrameReader) block() error {
	if r.before == nil {
		return nil
	}
	return r.before()
}

// fill reads once, at most so many bytes; there is room for some.
func (r *FrameReader) fill(most int, before func() error) error {
	if r.buf != nil && r.used == len(*r.buf) {
		r.drop()
	}
	r.before, r.most = before, most
	for range 100 {
		var n int
		var err error
		if r.ready != nil {
			n, err = r.ready.ReadReady(r.lendFunc, r.backFunc, r.blockFunc)
		} else if err = r.block(); err == nil {
			n, err = r.src.Read(r.lend())
		}
		if n > 0 { // an error that came with it will come again
			*r.buf = (*r.buf)[:len(*r.buf)+n]
			return nil
		}
		if err != nil && r.config.OnDeadline != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			err = r.config.OnDeadline()
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

const unbounded = 1 << 30

// Await waits until at least one byte is buffered. before is called before the
// wait blocks, every time; it sets the deadline. Errors are the source's, or
// before's.
func (r *FrameReader) Await(before func() error) error {
	if r.Buffered() > 0 {
		return nil
	}
	return r.fill(unbounded, before)
}

func (r *FrameReader) setPace() error {
	r.paced = true
	if err := r.config.SetReadDeadline(r.deadline); err != nil {
		return fmt.Errorf("set read deadline: %w", err)
	}
	return nil
}

// Need reads until n bytes of a frame of size are buffered, of which read have
// been dealt with already. It reads no more than most at a time, 0 for what the
// buffer holds. The error wraps io.ErrUnexpectedEOF when the source ends,
// [ErrSlowFrame], [ErrBudget], or what the source returned. After an error the
// connection is of no further use.
func (r *FrameReader) Need(ctx context.Context, n, most, read, size int) error {
	if r.Buffered() >= n {
		return nil
	}
	var before func() error
	if r.resume() {
		r.paced, before = false, r.paceFunc
	}
	if most <= 0 {
		most = unbounded
	}
	for {
		have := r.Buffered()
		if have >= n {
			return nil
		}
		if err := r.room(ctx, n); err != nil {
			return fmt.Errorf("frame of %d bytes after %d: %w", size, read+have, err)
		}
		err := r.fill(most, before)
		if err != nil && before != nil && !r.paced && errors.Is(err, os.ErrDeadlineExceeded) {
			// A deadline of before, which had nothing to do with this frame.
			if err = r.setPace(); err == nil {
				continue
			}
		}
		if err != nil {
			switch {
			case err == io.EOF:
				err = io.ErrUnexpectedEOF
			case before != nil && errors.Is(err, os.ErrDeadlineExceeded):
				err = fmt.Errorf("%w: %w", ErrSlowFrame, err)
			}
			return fmt.Errorf("frame of %d bytes after %d: %w", size, read+have, err)
		}
		if before != nil {
			r.came(r.Buffered() - have)
		}
	}
}

// resume begins or goes on with the pace of the frame at hand; false where there
// is none.
func (r *FrameReader) resume() bool {
	if r.config.Pace == (Pace{}) || r.config.SetReadDeadline == nil {
		return false
	}
	if now := r.config.Now(); r.deadline.IsZero() {
		r.deadline = r.config.Pace.start(now)
	} else {
		r.deadline = r.deadline.Add(now.Sub(r.readAt))
	}
	return true
}

// past lets move take up to n bytes of the frame at hand from the source past the
// reader, which holds none of them, until it has taken them all. late says that
// the read deadline came first. One pace covers all of a frame, however it is read.
func (r *FrameReader) past(n int, move func(n int) (moved int, late bool, err error)) error {
	for n > 0 {
		paced := r.resume()
		if paced {
			if err := r.setPace(); err != nil {
				return err
			}
		}
		moved, late, err := move(n)
		n -= moved
		r.came(moved)
		switch {
		case late && moved > 0: // which may have been enough
		case late && paced:
			return fmt.Errorf("%w: %w", ErrSlowFrame, err)
		case err != nil:
			return err
		}
	}
	return nil
}

// came counts n bytes of the frame at hand that have just come.
func (r *FrameReader) came(n int) {
	r.readAt = r.config.Now()
	if !r.deadline.IsZero() {
		r.deadline = r.config.Pace.extend(r.deadline, r.readAt, n)
	}
}

// Whole reports whether the window holds a frame, with its length, to its end.
func (r *FrameReader) Whole() bool {
	w := r.Window()
	return len(w) >= 4 && len(w)-4 >= int(int32(binary.BigEndian.Uint32(w)))
}

// room sees to it that something can be read on the way to n buffered bytes:
// the window moves to the front of its buffer, or into one of twice the size.
func (r *FrameReader) room(ctx context.Context, n int) error {
	if r.buf == nil || r.used == len(*r.buf) || len(*r.buf) < cap(*r.buf) {
		return nil
	}
	window := r.Window()
	if len(window) < cap(*r.buf) && (n <= cap(*r.buf) || len(window) < cap(*r.buf)/2) {
		*r.buf, r.used = (*r.buf)[:copy(*r.buf, window)], 0
		return nil
	}
	want := 2 * cap(*r.buf)
	if r.config.LeapBytes > 0 && len(window) >= r.config.LeapBytes && n <= maxBufferBytes {
		want = minBufferBytes << bufferClass(n)
	}
	if want > maxBufferBytes {
		want = min(want, n)
	}
	waited := r.config.Now()
	more := int64(want - cap(*r.buf))
	if more > 0 {
		if err := r.config.Budget.AcquireWithin(ctx, more, r.config.BudgetWait); err != nil {
			return err
		}
		if r.from != r.config.Budget { // what was held belongs elsewhere
			r.from.Release(r.held)
			if err := r.config.Budget.AcquireWithin(ctx, r.held, r.config.BudgetWait); err != nil {
				r.config.Budget.Release(more)
				r.held = 0
				return err
			}
			r.from = r.config.Budget
		}
		r.held += more
	}
	r.deadline = r.deadline.Add(r.config.Now().Sub(waited)) // waiting for memory is not the peer's fault
	next := r.config.Buffers.Get(want)
	*next = append((*next)[:0], window...)
	r.config.Buffers.Put(r.buf)
	r.buf, r.used = next, 0
	return nil
}

// Size reads the length of the next frame, and takes it from the window. The pace
// of what follows begins with the first wait for it. The error is io.EOF when the
// source ends before the length.
func (r *FrameReader) Size(ctx context.Context, limit Limit) (int, error) {
	if r.Buffered() == 0 {
		// Between frames: no pace, the caller's deadline holds.
		if err := r.Await(nil); err != nil {
			if err == io.EOF {
				return 0, err
			}
			return 0, fmt.Errorf("frame length: %w", err)
		}
	}
	if err := r.Need(ctx, 4, 0, 0, 4); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("frame length: %w", err)
	}
	size := int(int32(binary.BigEndian.Uint32(r.Window())))
	switch {
	case size <= 0:
		return 0, fmt.Errorf("%w: %d", ErrFrameSize, size)
	case size > limit.Bytes:
		return 0, &FrameTooLargeError{size, limit}
	}
	r.Discard(4)
	r.deadline = time.Time{} // the frame has its own
	return size, nil
}

// View reads the size bytes that follow and returns them where they lie, valid
// until the next call that reads; the caller discards them. The buffer grows
// only once it is full, whatever size says.
func (r *FrameReader) View(ctx context.Context, size int) ([]byte, error) {
	if err := r.Need(ctx, size, 0, 0, size); err != nil {
		return nil, err
	}
	return r.Window()[:size], nil
}

// Frame is the content of a frame, without its length, in memory of its own.
type Frame struct {
	buf     *[]byte
	held    int64
	buffers *Buffers
	budget  *Budget // that held is of
}

// Bytes returns the content, valid until Release. It is nil afterwards.
func (f *Frame) Bytes() []byte {
	if f.buf == nil {
		return nil
	}
	return *f.buf
}

// Release gives the memory back; nothing may use Bytes or views of it any
// more. Further calls do nothing. Only one goroutine may call it at a time.
func (f *Frame) Release() {
	if f == nil || f.buf == nil {
		return
	}
	f.buffers.Put(f.buf)
	f.budget.Release(f.held)
	f.buf, f.held = nil, 0
}

// Body reads the size bytes that follow into memory that outlives the next
// read, and takes them from the window.
func (r *FrameReader) Body(ctx context.Context, size int) (*Frame, error) {
	body, err := r.View(ctx, size)
	if err != nil {
		return nil, err
	}
	f := &Frame{buffers: r.config.Buffers, budget: r.from}
	if r.used == 0 && size > cap(*r.buf)/2 { // most of the buffer: hand it over
		rest := (*r.buf)[size:]
		f.buf, f.held = r.buf, r.held
		r.buf, r.used, r.held = nil, 0, 0
		if len(rest) > 0 {
			if err := r.keep(ctx, rest); err != nil {
				f.Release()
				return nil, err
			}
		}
		*f.buf = (*f.buf)[:size]
		return f, nil
	}
	f.budget = r.config.Budget
	class := minBufferBytes << bufferClass(size)
	if size > maxBufferBytes {
		class = size
	}
	if more := int64(class - minBufferBytes); more > 0 {
		if err := f.budget.AcquireWithin(ctx, more, r.config.BudgetWait); err != nil {
			return nil, fmt.Errorf("frame of %d bytes: %w", size, err)
		}
		f.held = more
	}
	f.buf = r.config.Buffers.Get(size)
	*f.buf = append((*f.buf)[:0], body...)
	r.Discard(size)
	return f, nil
}

// keep puts what was read beyond a frame into a buffer of its own.
func (r *FrameReader) keep(ctx context.Context, rest []byte) error {
	class := minBufferBytes << bufferClass(len(rest))
	if len(rest) > maxBufferBytes {
		class = len(rest)
	}
	r.from = r.config.Budget
	if more := int64(class - minBufferBytes); more > 0 {
		if err := r.from.AcquireWithin(ctx, more, r.config.BudgetWait); err != nil {
			return fmt.Errorf("%d bytes behind a frame: %w", len(rest), err)
		}
		r.held = more
	}
	r.buf = r.config.Buffers.Get(len(rest))
	*r.buf = append((*r.buf)[:0], rest...)
	return nil
}
