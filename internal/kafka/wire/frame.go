package wire

import (
	"errors"
	"fmt"
	"math/bits"
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
