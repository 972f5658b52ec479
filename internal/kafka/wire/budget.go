package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBudget says that a byte budget had no room, ever or in time.
var ErrBudget = errors.New("memory budget exhausted")

// Budget is a semaphore of bytes that all connections share, so that many
// large frames at once wait instead of taking the process's memory. Those who
// wait are served in order. A nil *Budget has no limit. It is safe for
// concurrent use.
type Budget struct {
	max    int64
	parent *Budget // what is taken here is taken there as well; nil for none

	mu      sync.Mutex // guards what follows
	inUse   int64
	waiting []*budgetWaiter
}

type budgetWaiter struct {
	n     int64
	ready chan struct{} // closed once n is granted
}

// NewBudget returns a budget of maxBytes.
func NewBudget(maxBytes int64) *Budget { return &Budget{max: maxBytes} }

// Sub returns a budget of maxBytes within b: what is taken of it is taken of b
// as well. Its own bytes come first, so that those who wait in a crowded one do
// not stand in the way of others in b. No lock is held over both.
func (b *Budget) Sub(maxBytes int64) *Budget { return &Budget{max: maxBytes, parent: b} }

// AcquireWithin is [Budget.Acquire] with a bound on the wait.
func (b *Budget) AcquireWithin(ctx context.Context, n int64, wait time.Duration) error {
	if b.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return b.Acquire(ctx, n)
}

// Acquire takes n bytes, waiting until others have released enough or ctx
// ends. Every success must be followed by a [Budget.Release] of as much.
// Whoever waits while holding bytes must bound the wait, or two of them may
// wait for each other. Errors wrap [ErrBudget].
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if b == nil || n <= 0 {
		return nil
	}
	if err := b.acquire(ctx, n); err != nil {
		return err
	}
	if err := b.parent.Acquire(ctx, n); err != nil {
		b.release(n)
		return err
	}
	return nil
}

func (b *Budget) acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	switch {
	case n > b.max:
		b.mu.Unlock()
		return fmt.Errorf("%w: %d bytes wanted, %d is all there is", ErrBudget, n, b.max)
	case len(b.waiting) == 0 && b.inUse+n <= b.max:
		b.inUse += n
		b.mu.Unlock()
		return nil
	}
	w := &budgetWaiter{n, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted while ctx ended
		b.inUse -= n
	default:
		for i, other := range b.waiting {
			if other == w {
				b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
				break
			}
		}
	}
	b.grant()
	return fmt.Errorf("%w: %d of %d bytes in use: %w", ErrBudget, b.inUse, b.max, context.Cause(ctx))
}

// TryAcquire takes n bytes if that is possible at once.
func (b *Budget) TryAcquire(n int64) bool {
	if b == nil || n <= 0 {
		return true
	}
	if !b.tryAcquire(n) {
		return false
	}
	if !b.parent.TryAcquire(n) {
		b.release(n)
		return false
	}
	return true
}

func (b *Budget) tryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 || b.inUse+n > b.max {
		return false
	}
	b.inUse += n
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	if b == nil || n <= 0 {
		return
	}
	b.parent.Release(n)
	b.release(n)
}

func (b *Budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inUse -= n; b.inUse < 0 {
		panic("bug: more bytes released than acquired")
	}
	b.grant()
}

func (b *Budget) grant() {
	for len(b.waiting) > 0 && b.inUse+b.waiting[0].n <= b.max {
		b.inUse += b.waiting[0].n
		close(b.waiting[0].ready)
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
}

// InUse returns the bytes taken at the moment.
func (b *Budget) InUse() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inUse
}
