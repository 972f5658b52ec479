package robust

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/harness"
)

// Peers that stop in whatever way cost the gateway what its limits say, for as long as they say.
func TestPeersThatStop(t *testing.T) {
	beside(t)
	w := start(t, options{applications: 1, settings: "limits: {idleTimeout: 4s, writeTimeout: 1s, authDeadline: 4s, memoryBudget: 64MiB, maxAnswerBytes: 16MiB, maxFrameBytes: 16MiB, memoryPerApplication: 32MiB}"})
	filler := w.direct(kgo.ProducerBatchMaxBytes(2 << 20))
	for range 8 {
		filler.Produce(t.Context(), &kgo.Record{Topic: backing, Value: make([]byte, 900<<10)}, nil)
	}
	if err := filler.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	front, err := NewLine(w.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	const unlucky = "app-0" // whose broker vanishes
	other := w.witness()
	before := w.rest()
	dial := func(t *testing.T, user, address string) *session {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return &session{conn: conn, user: user, patience: 20 * time.Second}
	}
	in := func(t *testing.T, address string) *session {
		t.Helper()
		s := dial(t, troubled, address)
		if err := s.login(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ask(metadata()); err != nil { // with a broker connection
			t.Fatal(err)
		}
		return s
	}
	// gone waits until the gateway has given the connection up, and returns after how long.
	gone := func(t *testing.T, s *session, limit time.Duration) time.Duration {
		t.Helper()
		begin := time.Now()
		s.conn.SetReadDeadline(begin.Add(limit))
		if _, err := io.Copy(io.Discard, s.conn); err != nil && strings.Contains(err.Error(), "i/o timeout") {
			t.Errorf("not given up within %v", limit)
		}
		return time.Since(begin)
	}

	t.Run("at once", func(t *testing.T) {
		t.Run("reads nothing", func(t *testing.T) {
			t.Parallel()
			var all []*session
			for range 5 {
				s := in(t, w.Bootstrap)
				s.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
				for range 60 { // up to 8 MiB each
					if _, err := s.send(fetchOf(0, 50<<20)); err != nil {
						break // given up already
					}
				}
				all = append(all, s)
			}
			within(t, 40*time.Second, "given up", func() error {
				if n := strings.Count(w.Log(), "does not read"); n < len(all) {
					return fmt.Errorf("%d of %d", n, len(all))
				}
				return nil
			})
		})
		t.Run("vanishes while it is idle", func(t *testing.T) {
			t.Parallel()
			f := Fault{Up: Way{Swallow: true, At: 1 << 20}, Down: Way{Swallow: true, At: 1 << 20}}
			front.Break(&f) // passes all of this, and then goes on saying nothing
			s := in(t, front.Addr().String())
			front.Break(nil)
			if took := gone(t, s, 40*time.Second); took < time.Second {
				t.Errorf("given up after %v, the bound is 4 s", took)
			}
		})
		t.Run("stops in the middle of a frame", func(t *testing.T) {
			t.Parallel()
			s := in(t, w.Bootstrap)
			frame := formatter.AppendRequest(nil, produceOf(strings.Repeat("x", 2<<10), -1), 99)
			s.conn.Write(frame[:len(frame)/2])
			gone(t, s, 40*time.Second)
		})
		t.Run("sends a byte at a time", func(t *testing.T) {
			t.Parallel()
			s := in(t, w.Bootstrap)
			go func() {
				var size [4]byte
				binary.BigEndian.PutUint32(size[:], 1<<20)
				s.conn.Write(size[:])
				for {
					if _, err := s.conn.Write([]byte{0}); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond) // how slow it is
				}
			}()
			gone(t, s, 40*time.Second)
		})
		t.Run("stops during its login", func(t *testing.T) {
			t.Parallel()
			s := dial(t, troubled, w.Bootstrap)
			s.conn.Write([]byte{0, 0, 0, 20, 0, 18})
			gone(t, s, 40*time.Second)
		})
		t.Run("the broker", func(t *testing.T) {
			t.Parallel()
			t.Run("the broker is a hole: dialled", func(t *testing.T) {
				w.line.Break(&Fault{About: unlucky, Up: Way{Swallow: true}, Down: Way{Swallow: true}})
				defer w.line.Break(nil)
				s := dial(t, unlucky, w.Bootstrap)
				if err := s.login(); err != nil {
					t.Fatal(err)
				}
				s.patience = 45 * time.Second
				begin := time.Now()
				if _, err := s.ask(metadata()); err == nil {
					// Metadata may come from what the gateway knows: the broker's own requests do not.
					if err := s.produce("into the hole"); err == nil {
						t.Error("a record was acknowledged that reached nobody")
					}
				}
				t.Logf("told after %v", time.Since(begin).Round(time.Millisecond))
				if took := time.Since(begin); took > 40*time.Second {
					t.Errorf("left without a word for %v", took)
				}
			})
			t.Run("the broker becomes a hole: the client gives up", func(t *testing.T) {
				w.line.Break(&Fault{About: unlucky, Down: Way{Swallow: true, At: 1500}})
				defer w.line.Break(nil)
				s := dial(t, unlucky, w.Bootstrap)
				if err := s.login(); err != nil {
					t.Fatal(err)
				}
				s.patience = 3 * time.Second
				var err error
				for n := 0; err == nil && n < 100; n++ {
					err = s.produce(fmt.Sprintf("hole-%d", n))
				}
				if err == nil || isWrong(err) {
					t.Errorf("got %v, want no answer", err)
				}
				s.conn.Close() // as clients do after their request.timeout.ms
			})
			if harness.Full() {
				t.Run("the broker becomes a hole: the client waits", func(t *testing.T) {
					w.line.Break(&Fault{About: unlucky, Down: Way{Swallow: true, At: 1500}})
					defer w.line.Break(nil)
					s := dial(t, unlucky, w.Bootstrap)
					if err := s.login(); err != nil {
						t.Fatal(err)
					}
					s.patience = 4 * time.Minute
					begin := time.Now()
					var err error
					for n := 0; err == nil && n < 100; n++ {
						err = s.produce(fmt.Sprintf("deep-hole-%d", n))
					}
					took := time.Since(begin)
					if err == nil || isWrong(err) || took > 2*time.Minute {
						t.Errorf("after %v: %v, want the end of the connection within two minutes", took, err)
					}
					t.Logf("told after %v", took.Round(time.Second))
				})
			}
		})
	})
	rounds, p50, p99 := other.lap("peers that stop")
	t.Logf("bystander: %d rounds, p50 %v, p99 %v", rounds, p50, p99)
	w.backTo(before, 30*time.Second)
}
