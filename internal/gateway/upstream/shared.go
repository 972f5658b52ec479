package upstream

import (
	"context"
	"sync"
	"time"
)

// sharedFor is how long an answer that costs the admin connection much is given
// to others as well.
const sharedFor = time.Second

// shared is an answer that any number of callers wait for together and share
// for sharedFor after it came. There is one question at a time. Errors go to
// those who waited for them only.
type shared[T any] struct {
	mu   sync.Mutex
	last *flight[T]
}

// flight is one question; its fields apart from stale are set before done is
// closed.
type flight[T any] struct {
	done  chan struct{}
	stale bool // guarded by shared.mu
	value T
	err   error
	ended time.Time
}

func (f *flight[T]) running() bool {
	select {
	case <-f.done:
		return false
	default:
		return true
	}
}

// invalidate makes everyone who asks from now on get an answer to a question
// that was put later.
func (s *shared[T]) invalidate() {
	s.mu.Lock()
	if s.last != nil {
		s.last.stale = true
	}
	s.mu.Unlock()
}

// get returns the shared answer, or asks. The question goes on when ctx ends
// and is for ask to bound.
func (s *shared[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (none T, _ error) {
	for {
		s.mu.Lock()
		f := s.last
		running := f != nil && f.running()
		good := f != nil && !f.stale && (running || f.err == nil && time.Since(f.ended) < sharedFor)
		if !running && !good {
			f = &flight[T]{done: make(chan struct{})}
			s.last, good = f, true
			go func() {
				f.value, f.err = ask(context.WithoutCancel(ctx))
				f.ended = time.Now()
				close(f.done)
			}()
		}
		s.mu.Unlock()
		select {
		case <-f.done:
			if good {
				return f.value, f.err
			}
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}
