package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"sync"
	"time"
)

const (
	minBufferBytes = 4 << 10
	maxBufferBytes = 16 << 20 // larger buffers are left to the garbage collector
)

// Buffers hands out byte slices in powers of two from 4 KiB to 4 MiB and takes
// them back for reuse. The zero value is ready, a nil *Buffers only allocates.
// It is safe for concurrent use.
type Buffers struct {
	classes [13]sync.Pool // of *[]byte
}

func bufferClass(n int) int { return max(bits.Len(uint(n-1)), 12) - 12 }

// Get returns a slice of length zero and a capacity of at least n. What it
// holds beyond its length is left from others and must not be shown to anyone.
func (p *Buffers) Get(n int) *[]byte {
	if n <= maxBufferBytes {
		c := bufferClass(n)
		if p != nil {
			if b, ok := p.classes[c].Get().(*[]byte); ok {
				return b
			}
		}
		n = minBufferBytes << c
	}
	b := make([]byte, 0, n)
	return &b
}

// Put takes back a slice that nobody uses any more. Slices that did not come
// from Get, or have grown since, are dropped.
func (p *Buffers) Put(b *[]byte) {
	n := cap(*b)
	if p == nil || n < minBufferBytes || n > maxBufferBytes || n&(n-1) != 0 {
		return
	}
	*b = (*b)[:0]
	p.classes[bufferClass(n)].Put(b)
}

// Limit is a size that a frame may have, with the name of the setting it comes from.
type Limit struct {
	Name  string // such as "max_frame_bytes"
	Bytes int
}

// FrameTooLargeError says that a frame announced more bytes than its limit.
type FrameTooLargeError struct {
	Size  int
	Limit Limit
}

func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("frame of %d bytes exceeds %s=%d", e.Size, e.Limit.Name, e.Limit.Bytes)
}

// ErrFrameSize says that a frame announced a size of zero or less.
var ErrFrameSize = errors.New("frame size is not positive")

// ErrSlowFrame says that a frame arrived more slowly than its [Pace] allows.
var ErrSlowFrame = errors.New("frame arrives too slowly")

// Pace is how slowly the body of a frame may arrive: after Grace, at least
// BytesPerSecond times the time past. What came faster counts for MaxCredit at
// most: whoever sent much at once may not be silent for hours. The zero value
// sets no pace.
type Pace struct {
	Grace          time.Duration
	BytesPerSecond int
	MaxCredit      time.Duration // zero means no bound
}

// DefaultPace cuts a frame that is slower than 1 KiB per second after 5
// seconds, or silent for 30.
func DefaultPace() Pace { return Pace{5 * time.Second, 1 << 10, 30 * time.Second} }

// start is when the first byte must have come.
func (p Pace) start(now time.Time) time.Time { return now.Add(p.Grace) }

// extend is when the next byte must have come, after n came before deadline.
func (p Pace) extend(deadline, now time.Time, n int) time.Time {
	if p.BytesPerSecond > 0 {
		deadline = deadline.Add(time.Duration(float64(n) / float64(p.BytesPerSecond) * float64(time.Second)))
	}
	if most := now.Add(max(p.MaxCredit, p.Grace)); p.MaxCredit > 0 && deadline.After(most) {
		return most
	}
	return deadline
}

// FrameConfig is what a [FrameReader] needs besides its source. All of it may
// be left out.
type FrameConfig struct {
	Buffers *Buffers
	// Budget is charged for what a frame's buffer has beyond its first 4 KiB,
	// while that grows with what arrives, until the frame is released.
	Budget *Budget
	// FirstBytes is how large a frame's buffer may begin, before anything of it
	// has come; 4 KiB if less. More saves reads, and is for peers who have
	// proved who they are.
	FirstBytes int
	// LeapBytes, when positive, lets a frame's buffer take its final size at
	// once after so many bytes have come, up to that of the largest pooled
	// buffer: for peers that are trusted to send what they announce, and bounded
	// by Budget all the same. Otherwise buffers double, copying as they grow.
	LeapBytes int
	// BudgetWait bounds each wait for Budget; zero means 10 s.
	BudgetWait time.Duration
	// Pace is enforced through SetReadDeadline, which is called before a read
	// in the body of a frame that may block, and with the zero time after it.
	// A caller with a deadline of its own passes a function that takes the
	// earlier of the two.
	Pace            Pace
	SetReadDeadline func(time.Time) error
	// OnProgress, when set, is told after each read how many of size bytes
	// have come; an error from it ends the frame.
	OnProgress func(read, size int) error
	// Now is the clock for Pace; nil means time.Now.
	Now func() time.Time
}

// FrameReader reads length-prefixed frames from one connection. It keeps no
// buffer between frames. It is not safe for concurrent use.
type FrameReader struct {
	src    io.Reader
	config FrameConfig
	prefix [4]byte
}

// NewFrameReader returns a reader of the frames in src, best a *bufio.Reader.
func NewFrameReader(src io.Reader, config FrameConfig) *FrameReader {
	if config.BudgetWait <= 0 {
		config.BudgetWait = 10 * time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &FrameReader{src: src, config: config}
}

// SetBudget changes the budget for the frames that come next; those that are
// there give back to the one they took from. It is not to be called while a
// frame is being read.
func (r *FrameReader) SetBudget(b *Budget) { r.config.Budget = b }

// SetFirstBytes sets [FrameConfig.FirstBytes] for the frames to come.
func (r *FrameReader) SetFirstBytes(n int) { r.config.FirstBytes = n }

// Frame is the content of a frame, without its length.
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

// Next reads one frame of at most limit bytes. The error is io.EOF when the
// source ends between frames, and wraps io.ErrUnexpectedEOF inside one,
// [ErrFrameSize], [*FrameTooLargeError], [ErrSlowFrame], [ErrBudget], or what
// the source returned. After an error the connection is of no further use.
func (r *FrameReader) Next(ctx context.Context, limit Limit) (*Frame, error) {
	size, err := r.Size(limit)
	if err != nil {
		return nil, err
	}
	return r.Body(ctx, size)
}

// Size reads only the length of the next frame, for callers that look at its
// first bytes before they choose how to read the rest. Errors are as for Next.
func (r *FrameReader) Size(limit Limit) (int, error) {
	if _, err := io.ReadFull(r.src, r.prefix[:]); err != nil {
		if err == io.EOF {
			return 0, err
		}
		return 0, fmt.Errorf("frame length: %w", err)
	}
	size := int(int32(binary.BigEndian.Uint32(r.prefix[:])))
	switch {
	case size <= 0:
		return 0, fmt.Errorf("%w: %d", ErrFrameSize, size)
	case size > limit.Bytes:
		return 0, &FrameTooLargeError{size, limit}
	}
	return size, nil
}

// Body reads the size bytes that follow. Its buffer starts at 4 KiB, or
// at FirstBytes, and grows only once it is full, whatever size says.
func (r *FrameReader) Body(ctx context.Context, size int) (_ *Frame, err error) {
	first := max(min(size, r.config.FirstBytes), min(size, minBufferBytes))
	f := &Frame{buffers: r.config.Buffers, budget: r.config.Budget}
	if first > minBufferBytes {
		first = minBufferBytes << bufferClass(first)
		more := int64(first - minBufferBytes)
		if err := f.budget.AcquireWithin(ctx, more, r.config.BudgetWait); err != nil {
			return nil, fmt.Errorf("frame of %d bytes: %w", size, err)
		}
		f.held = more
	}
	f.buf = r.config.Buffers.Get(first)
	defer func() {
		if err != nil {
			f.Release()
		}
	}()
	paced := r.config.Pace != (Pace{}) && r.config.SetReadDeadline != nil
	if buffered, ok := r.src.(interface{ Buffered() int }); ok && buffered.Buffered() >= size {
		paced = false
	}
	var deadline time.Time
	if paced {
		deadline = r.config.Pace.start(r.config.Now())
		defer func() {
			if e := r.config.SetReadDeadline(time.Time{}); e != nil && err == nil {
				err = fmt.Errorf("clear read deadline: %w", e)
			}
		}()
	}
	for read, empty := 0, 0; read < size; {
		if read == cap(*f.buf) {
			waited := r.config.Now()
			if err := r.grow(ctx, f, size); err != nil {
				return nil, fmt.Errorf("frame of %d bytes after %d: %w", size, read, err)
			}
			if paced { // waiting for memory is not the peer's fault
				deadline = deadline.Add(r.config.Now().Sub(waited))
			}
		}
		if paced {
			if err := r.config.SetReadDeadline(deadline); err != nil {
				return nil, fmt.Errorf("set read deadline: %w", err)
			}
		}
		n, err := r.src.Read((*f.buf)[read:min(size, cap(*f.buf))])
		read += n
		*f.buf = (*f.buf)[:read]
		if paced && n > 0 {
			deadline = r.config.Pace.extend(deadline, r.config.Now(), n)
		}
		if empty++; n > 0 {
			empty = 0
		}
		switch {
		case read == size:
			err = nil // whatever came with the last byte will come again
		case err == nil && empty > 100:
			err = io.ErrNoProgress
		}
		if err == nil && r.config.OnProgress != nil {
			err = r.config.OnProgress(read, size)
		}
		if err != nil {
			switch {
			case err == io.EOF:
				err = io.ErrUnexpectedEOF
			case paced && errors.Is(err, os.ErrDeadlineExceeded):
				err = fmt.Errorf("%w: %w", ErrSlowFrame, err)
			}
			return nil, fmt.Errorf("frame of %d bytes after %d: %w", size, read, err)
		}
	}
	return f, nil
}

// grow moves f, which is full, into a buffer of twice the size.
func (r *FrameReader) grow(ctx context.Context, f *Frame, size int) error {
	old := f.buf
	want := 2 * cap(*old)
	if r.config.LeapBytes > 0 && cap(*old) >= r.config.LeapBytes && size <= maxBufferBytes {
		want = minBufferBytes << bufferClass(size)
	}
	if want > maxBufferBytes {
		want = min(want, size)
	}
	more := int64(want - cap(*old))
	if err := f.budget.AcquireWithin(ctx, more, r.config.BudgetWait); err != nil {
		return err
	}
	f.held += more
	f.buf = r.config.Buffers.Get(want)
	*f.buf = append(*f.buf, *old...)
	r.config.Buffers.Put(old)
	return nil
}
