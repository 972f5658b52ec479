package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func framed(bodies ...[]byte) (out []byte) {
	for _, b := range bodies {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	return out
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

var limit = Limit{"max_frame_bytes", 100 << 20}

func TestFrameReader(t *testing.T) {
	var bodies [][]byte
	for _, n := range []int{1, 2, 4095, 4096, 4097, 8192, 100_000, 4<<20 - 1, 4 << 20, 4<<20 + 1, 9 << 20} {
		bodies = append(bodies, pattern(n))
	}
	stream := framed(bodies...)
	for name, src := range map[string]io.Reader{
		"whole":         bytes.NewReader(stream),
		"buffered":      bufio.NewReader(bytes.NewReader(stream)),
		"halves":        iotest.HalfReader(bytes.NewReader(stream)),
		"end with data": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			budget := NewBudget(16 << 20)
			r := NewFrameReader(src, FrameConfig{Buffers: new(Buffers), Budget: budget})
			for _, want := range bodies {
				f, err := r.Next(t.Context(), limit)
				if err != nil || !bytes.Equal(f.Bytes(), want) {
					t.Fatalf("frame of %d bytes: %v", len(want), err)
				}
				before := budget.InUse()
				if before < int64(len(want)-minBufferBytes) {
					t.Errorf("%d bytes held for a frame of %d", before, len(want))
				}
				f.Release()
				f.Release()
				if given := before - budget.InUse(); f.Bytes() != nil || given > int64(2*len(want)) || given < int64(len(want)-minBufferBytes) {
					t.Fatalf("%d bytes given back for a frame of %d", given, len(want))
				}
			}
			if _, err := r.Next(t.Context(), limit); err != io.EOF {
				t.Errorf("at the end: got %v, want io.EOF", err)
			}
			if r.Close(); budget.InUse() != 0 {
				t.Errorf("%d bytes held in the end", budget.InUse())
			}
		})
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	var tooLarge *FrameTooLargeError
	for _, c := range []struct {
		name, src string
		want      error
		text      string
	}{
		{"end within the length", "\x00\x00", io.ErrUnexpectedEOF, "frame length: unexpected EOF"},
		{"end before the body", "\x00\x00\x00\x05", io.ErrUnexpectedEOF, "frame of 5 bytes after 0: unexpected EOF"},
		{"end within the body", "\x00\x00\x00\x05abc", io.ErrUnexpectedEOF, "frame of 5 bytes after 3: unexpected EOF"},
		{"empty", "\x00\x00\x00\x00", ErrFrameSize, "frame size is not positive: 0"},
		{"negative", "\xff\xff\xff\xff", ErrFrameSize, "frame size is not positive: -1"},
		{"HTTP", "GET / HTTP/1.1\r\n", nil, "frame of 1195725856 bytes exceeds max_frame_bytes=104857600"},
	} {
		budget := NewBudget(1 << 20)
		r := NewFrameReader(bytes.NewReader([]byte(c.src)), FrameConfig{Budget: budget})
		_, err := r.Next(t.Context(), limit)
		r.Close()
		if err == nil || err.Error() != c.text || c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &tooLarge) {
			t.Errorf("%s: got %v", c.name, err)
		}
		if budget.InUse() != 0 {
			t.Errorf("%s: %d bytes held", c.name, budget.InUse())
		}
	}
}

func TestFrameReaderDoesNotAllocateWhatIsOnlyAnnounced(t *testing.T) {
	src := append(binary.BigEndian.AppendUint32(nil, 100<<20), pattern(5000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := NewFrameReader(bytes.NewReader(src), FrameConfig{}).Next(t.Context(), limit)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, io.ErrUnexpectedEOF) || n > 64<<10 {
		t.Errorf("%v after allocating %d bytes", err, n)
	}
}

func TestFrameReaderWaitsForBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(64 << 10)
		if err := budget.Acquire(t.Context(), 60<<10); err != nil {
			t.Fatal(err)
		}
		config := FrameConfig{Budget: budget, BudgetWait: 3 * time.Second}
		start := time.Now()
		r := NewFrameReader(bytes.NewReader(framed(pattern(50_000))), config)
		_, err := r.Next(t.Context(), limit)
		r.Close()
		if !errors.Is(err, ErrBudget) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second || budget.InUse() != 60<<10 {
			t.Errorf("got %v after %v, %d in use", err, time.Since(start), budget.InUse())
		}
		time.AfterFunc(time.Second, func() { budget.Release(60 << 10) })
		f, err := NewFrameReader(bytes.NewReader(framed(pattern(50_000))), config).Next(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		f.Release()
	})
}

func TestFrameReaderCutsSlowFrames(t *testing.T) {
	for _, c := range []struct {
		name           string
		bytesPerSecond int
		want           error
		after          time.Duration
	}{
		{"nothing after the length", 0, ErrSlowFrame, 5 * time.Second},
		{"a trickle", 512, ErrSlowFrame, 9 * time.Second}, // 4608 bytes by then, to come by 5 s + 4.5 s
		{"slow but steady", 2048, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				done := make(chan struct{})
				go func() {
					defer close(done)
					client.Write(binary.BigEndian.AppendUint32(nil, 100_000))
					for sent := 0; sent < 100_000 && c.bytesPerSecond > 0; sent += c.bytesPerSecond {
						if _, err := client.Write(make([]byte, min(c.bytesPerSecond, 100_000-sent))); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				r := NewFrameReader(server, FrameConfig{
					Pace: DefaultPace(), SetReadDeadline: server.SetReadDeadline,
				})
				start := time.Now()
				_, err := r.Next(t.Context(), limit)
				if !errors.Is(err, c.want) || c.want != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); c.after > 0 && (took < c.after || took > c.after+2*time.Second) {
					t.Errorf("cut after %v", took)
				}
				server.Close()
				<-done
			})
		})
	}
}

// What was sent fast must not buy hours of silence, nor of next to nothing.
func TestFrameReaderCutsSilenceAfterABurst(t *testing.T) {
	const size, burst = 10 << 20, 9 << 20
	for name, trickle := range map[string]time.Duration{"silence": 0, "a byte now and then": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					client.Write(binary.BigEndian.AppendUint32(nil, size))
					client.Write(make([]byte, burst))
					for trickle > 0 {
						time.Sleep(trickle)
						if _, err := client.Write([]byte{0}); err != nil {
							return
						}
					}
				}()
				r := NewFrameReader(server, FrameConfig{Pace: DefaultPace(), SetReadDeadline: server.SetReadDeadline})
				start := time.Now()
				_, err := r.Next(t.Context(), limit)
				if took := time.Since(start); !errors.Is(err, ErrSlowFrame) || took < 30*time.Second || took > 31*time.Second {
					t.Errorf("%v after %v, want it cut after 30 s", err, took)
				}
				server.Close()
				<-done
			})
		})
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		if err := b.Acquire(t.Context(), 11); !errors.Is(err, ErrBudget) {
			t.Errorf("more than there is: got %v", err)
		}
		if !b.TryAcquire(8) || b.TryAcquire(3) {
			t.Error("TryAcquire of 8, then 3, out of 10")
		}
		got := make(chan int64, 3)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if err := b.Acquire(ctx, 9); !errors.Is(err, context.Canceled) {
				t.Errorf("given up: got %v", err)
			}
			got <- 9
		}()
		synctest.Wait()
		for _, n := range []int64{2, 3} {
			go func() {
				if err := b.Acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				got <- n
			}()
			synctest.Wait()
		}
		if b.InUse() != 8 || b.TryAcquire(1) {
			t.Error("somebody overtook who waits first")
		}
		cancel() // lets the next one in, who fits; which of the two tells first is up to the scheduler
		synctest.Wait()
		if b.InUse() != 10 || len(got) != 2 {
			t.Fatalf("%d in use, %d have come back, want the one who gave up and the one behind", b.InUse(), len(got))
		}
		if one, other := <-got, <-got; one+other != 9+2 {
			t.Errorf("%d and %d came back: out of order", one, other)
		}
		b.Release(8)
		synctest.Wait()
		if b.InUse() != 5 || len(got) != 1 || <-got != 3 {
			t.Errorf("%d in use: the last one did not get in", b.InUse())
		}
		b.Release(5)
	})
	var none *Budget
	if err := none.Acquire(t.Context(), 1<<40); err != nil || none.InUse() != 0 {
		t.Error("a nil budget limits")
	}
	none.Release(1)
}

func TestSubBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := NewBudget(20)
		one, other := all.Sub(10), all.Sub(15)
		if err := one.Acquire(t.Context(), 11); !errors.Is(err, ErrBudget) {
			t.Errorf("more than its own: got %v", err)
		}
		if !one.TryAcquire(10) || one.TryAcquire(1) || !other.TryAcquire(10) || other.TryAcquire(1) {
			t.Error("TryAcquire of 10 in each of two that share 20")
		}
		if one.InUse() != 10 || other.InUse() != 10 || all.InUse() != 20 {
			t.Errorf("%d and %d of %d in use", one.InUse(), other.InUse(), all.InUse())
		}
		// Whoever waits for the shared part and gives up leaves nothing behind.
		if err := other.AcquireWithin(t.Context(), 1, time.Second); !errors.Is(err, ErrBudget) || other.InUse() != 10 {
			t.Errorf("got %v, %d in use", err, other.InUse())
		}
		// A crowd in one does not stand in the way of the other.
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go one.Acquire(ctx, 9)
		}
		synctest.Wait()
		other.Release(10)
		if !other.TryAcquire(10) {
			t.Error("one application's queue holds up another")
		}
		cancel()
		synctest.Wait()
		got := make(chan int64, 2)
		for _, n := range []int64{4, 3} {
			go func() {
				if err := other.Acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				got <- n
			}()
			synctest.Wait()
		}
		one.Release(10)
		synctest.Wait()
		if other.InUse() != 14 || all.InUse() != 14 || <-got != 4 {
			t.Errorf("%d of %d in use", other.InUse(), all.InUse())
		}
		other.Release(10)
		synctest.Wait()
		if other.InUse() != 7 || <-got != 3 {
			t.Errorf("%d in use", other.InUse())
		}
		other.Release(7)
		if all.InUse() != 0 || one.InUse() != 0 || other.InUse() != 0 {
			t.Error("not all is given back")
		}
	})
}

func TestSubBudgetsUnderContention(t *testing.T) {
	all := NewBudget(100)
	var wg sync.WaitGroup
	for range 3 {
		sub := all.Sub(60)
		for i := range 8 {
			wg.Go(func() {
				for range 300 {
					n := int64(10 + 5*i)
					if err := sub.AcquireWithin(t.Context(), n, time.Minute); err != nil {
						t.Error(err)
						return
					}
					if all.InUse() > 100 || sub.InUse() > 60 {
						t.Error("more in use than there is")
					}
					sub.Release(n)
				}
			})
		}
	}
	wg.Wait()
	if all.InUse() != 0 {
		t.Errorf("%d in use", all.InUse())
	}
}

func TestFrameGivesBackToTheBudgetItTookFrom(t *testing.T) {
	before, after := NewBudget(1<<20), NewBudget(1<<20)
	r := NewFrameReader(bytes.NewReader(framed(pattern(9000), pattern(9000))), FrameConfig{Budget: before})
	first, err := r.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBudget(after)
	second, err := r.Next(t.Context(), limit)
	if err != nil || before.InUse() == 0 || after.InUse() == 0 {
		t.Fatal(err, before.InUse(), after.InUse())
	}
	first.Release()
	second.Release()
	if before.InUse() != 0 || after.InUse() != 0 {
		t.Errorf("%d and %d in use", before.InUse(), after.InUse())
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add(framed([]byte("a"), pattern(5000)), 3)
	f.Add([]byte("\x7f\xff\xff\xff"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		budget := NewBudget(1 << 20)
		r := NewFrameReader(&pieces{stream, max(1, piece)}, FrameConfig{Budget: budget, Buffers: new(Buffers)})
		rest := stream
		for {
			frame, err := r.Next(t.Context(), Limit{"max", 1 << 19})
			if err != nil {
				if err == io.EOF && len(rest) > 0 {
					t.Fatalf("clean end before %x", rest)
				}
				break
			}
			n := len(frame.Bytes())
			if !bytes.Equal(framed(frame.Bytes()), rest[:4+n]) {
				t.Fatal("frame differs from the stream")
			}
			rest = rest[4+n:]
			frame.Release()
		}
		r.Close()
		if budget.InUse() != 0 {
			t.Fatalf("%d bytes held", budget.InUse())
		}
	})
}

// Next reads one frame.
func (r *FrameReader) Next(ctx context.Context, limit Limit) (*Frame, error) {
	size, err := r.Size(ctx, limit)
	if err != nil {
		return nil, err
	}
	return r.Body(ctx, size)
}

type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func BenchmarkFrameReader(b *testing.B) {
	stream := framed(pattern(1000))
	src := bytes.NewReader(nil)
	r := NewFrameReader(src, FrameConfig{Buffers: new(Buffers), Budget: NewBudget(1 << 30)})
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(stream)
		f, err := r.Next(context.Background(), limit)
		if err != nil {
			b.Fatal(err)
		}
		f.Release()
	}
}

// watched calls before each read of its source.
type watched struct {
	io.Reader
	before func()
}

func (w watched) Read(b []byte) (int, error) {
	w.before()
	return w.Reader.Read(b)
}

func TestFrameLeapsToItsSizeOnceSomeOfItIsThere(t *testing.T) {
	const size = 5 << 20
	frame := binary.BigEndian.AppendUint32(nil, size)
	budget := NewBudget(64 << 20)
	var growths []int64
	src := watched{bytes.NewReader(append(frame, make([]byte, size)...)), func() {
		if held := budget.InUse(); len(growths) == 0 || growths[len(growths)-1] != held {
			growths = append(growths, held)
		}
	}}
	r := NewFrameReader(src, FrameConfig{Buffers: new(Buffers), Budget: budget, LeapBytes: 32 << 10})
	f, err := r.Next(t.Context(), Limit{"limit", size})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Bytes()) != size || len(growths) != 5 || growths[3] > 32<<10 || growths[4] > 8<<20 {
		t.Errorf("%d bytes, held %v on the way, want 4, 8, 16, 32 KiB less the first 4, and then all", len(f.Bytes()), growths)
	}
	f.Release()
	if budget.InUse() != 0 {
		t.Errorf("%d bytes are held after the release", budget.InUse())
	}
}

func TestFrameBeginsWithItsFirstBytes(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		size, first, room, want int
	}{
		{"a short frame", 100, 64 << 10, 1 << 20, 60 << 10},
		{"a long one", 200 << 10, 64 << 10, 1 << 20, 60 << 10},
		{"none asked for", 200 << 10, 0, 1 << 20, 0},
		{"no room in the budget", 100, 64 << 10, 10 << 10, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			budget := NewBudget(int64(tc.room))
			held := int64(-1)
			src := watched{iotest.OneByteReader(bytes.NewReader(framed(make([]byte, tc.size)))), func() {
				if held < 0 && budget.InUse() > 0 {
					held = budget.InUse()
				}
			}}
			r := NewFrameReader(src, FrameConfig{Buffers: new(Buffers), Budget: budget, FirstBytes: tc.first})
			f, err := r.Next(t.Context(), Limit{"limit", 1 << 20})
			if err != nil || len(f.Bytes()) != tc.size {
				t.Fatal(err)
			}
			if tc.want > 0 && held != int64(tc.want) || tc.want == 0 && tc.size < 4<<10 && held > 0 {
				t.Errorf("began with %d beyond 4 KiB, want %d", held, tc.want)
			}
			f.Release()
			if _, err := r.Next(t.Context(), limit); err != io.EOF {
				t.Fatal(err)
			}
			r.Close()
			if budget.InUse() != 0 {
				t.Errorf("%d bytes are held after the release", budget.InUse())
			}
		})
	}
}

// readies is a source that is waited for: each of its pieces comes after a wait.
type readies struct {
	pieces  [][]byte
	waiting bool
	waited  func()
}

func (s *readies) Read([]byte) (int, error) { panic("read with a buffer held") }

func (s *readies) ReadReady(lend func() []byte, back func(), block func() error) (int, error) {
	if s.waiting = !s.waiting; s.waiting {
		_ = lend()
		back()
		if err := block(); err != nil {
			return 0, err
		}
		s.waited()
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(lend(), s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestWaitingBetweenFramesHoldsNoMemory(t *testing.T) {
	budget := NewBudget(1 << 20)
	var r *FrameReader
	var held []int64
	src := &readies{
		pieces: [][]byte{append(framed(pattern(100), pattern(70_000)), 0, 0), append([]byte{0, 5}, "hello"...)},
		waited: func() { held = append(held, budget.InUse()) },
	}
	r = NewFrameReader(src, FrameConfig{Buffers: new(Buffers), Budget: budget, FirstBytes: 64 << 10})
	blocked := 0
	for _, want := range [][]byte{pattern(100), pattern(70_000), []byte("hello")} {
		if err := r.Await(func() error { blocked++; return nil }); err != nil {
			t.Fatal(err)
		}
		size, err := r.Size(t.Context(), limit)
		if err != nil || size != len(want) {
			t.Fatal(size, err)
		}
		got, err := r.View(t.Context(), size)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("frame of %d bytes: %v", size, err)
		}
		r.Discard(size)
	}
	if err := r.Await(nil); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if held[0] != 0 || budget.InUse() != 0 {
		t.Errorf("held while waiting: %v, in the end %d", held, budget.InUse())
	}
	stop := errors.New("enough")
	if err := NewFrameReader(&readies{waited: func() {}}, FrameConfig{}).Await(func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error before the wait: got %v", err)
	}
}
