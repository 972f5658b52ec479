package robust

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/harness"
)

// way is where a session is cut: in one of the four directions, by FIN or RST.
type way struct {
	name        string
	front, down bool // before the gateway, or behind it; towards the client
	reset       bool
}

var ways = []way{
	{"client to gateway, FIN", true, false, false},
	{"client to gateway, RST", true, false, true},
	{"gateway to client, FIN", true, true, false},
	{"gateway to client, RST", true, true, true},
	{"gateway to broker, FIN", false, false, false},
	{"gateway to broker, RST", false, false, true},
	{"broker to gateway, FIN", false, true, false},
	{"broker to gateway, RST", false, true, true},
}

// A connection is cut at every byte of a session: the gateway stays, forgets it, and says nothing that is not so.
func TestCutAtEveryByte(t *testing.T) {
	const head = "| Direction | bytes | cuts | before the first acknowledgement | rounds of the bystander meanwhile |\n|---|---|---|---|---|\n"
	report := cutAtEveryByte(t, false, ways)
	report += cutAtEveryByte(t, true, ways[:4]) // behind the gateway it is the same
	harness.Report(t, "cuts", head+report)
}

func cutAtEveryByte(t *testing.T, overTLS bool, ways []way) string {
	t.Helper()
	o := options{}
	if overTLS {
		o = options{listener: withTLS, files: pairFiles(t, "cut", time.Now().Add(24*time.Hour))}
	}
	w := start(t, o)
	front, err := NewLine(w.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dial := func(address string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if overTLS {
			return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		return conn
	}
	other := witnessOn(t, dial(w.Bootstrap))
	acked := map[string]int64{}
	never := map[string]bool{} // values whose requests have not arrived whole

	session := func(n int) (*session, error) {
		conn := dial(front.Addr().String())
		defer conn.Close()
		s := &session{conn: conn, user: troubled, value: fmt.Sprintf("value-%06d", n), patience: 20 * time.Second, ends: map[string]int{}}
		err := s.whole()
		for _, a := range s.acked {
			acked[a.value] = a.offset
		}
		return s, err
	}
	if s, err := session(0); err != nil || len(s.acked) != 2 { // learns what there is to learn
		t.Fatalf("a session without a fault: %v", err)
	}
	before := w.rest()
	var report strings.Builder
	n, slack := 0, 0
	if overTLS {
		slack = 16 // a signature has one length or another (ECDSA in DER)
	}
	for _, way := range ways {
		line := w.line
		if way.front {
			line = front
		}
		cut := func(at int) Fault {
			f := Fault{About: troubled, Up: Way{Cut: true, At: at, Reset: way.reset}}
			if way.front {
				f.About = "" // nobody else comes this way
			}
			if way.down {
				f.Up, f.Down = f.Down, f.Up
			}
			return f
		}
		length := measure(t, line, way, func() error { n++; _, err := session(n); return err })
		points := make([]int, 0, length)
		for at := range length {
			points = append(points, at)
		}
		if !harness.Full() {
			random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
			points = points[:40]
		}
		begin, lost := time.Now(), 0
		for _, at := range points {
			f := cut(at)
			hits := line.Hits()
			line.Break(&f)
			n++
			s, err := session(n)
			line.Break(nil)
			for value, end := range s.ends {
				if way.front && !way.down && at < end {
					never[value] = true
				}
			}
			switch {
			case isWrong(err):
				t.Errorf("%s after %d bytes: %v", way.name, at, err)
			case err == nil && line.Hits() == hits && at < length-slack:
				t.Errorf("%s after %d bytes: not cut", way.name, at)
			case err != nil && strings.Contains(err.Error(), "i/o timeout"):
				t.Errorf("%s after %d bytes: the client is left without a word: %v", way.name, at, err)
			}
			if len(s.acked) == 0 {
				lost++
			}
		}
		rounds, _, p99 := other.lap(way.name)
		fmt.Fprintf(&report, "| %s%s | %d | %d | %d | %d, p99 %.1f ms |\n", way.name, map[bool]string{true: ", TLS"}[overTLS], length, len(points), lost, rounds, float64(p99.Microseconds())/1000)
		t.Logf("%s: %d cuts of a session of %d bytes in %v", way.name, len(points), length, time.Since(begin).Round(time.Millisecond))
	}
	w.backTo(before, 30*time.Second)
	verify(t, w, acked, never)
	if _, err := session(n + 1); err != nil {
		t.Errorf("a session after all: %v", err)
	}
	return report.String()
}

// measure runs sessions that are cut far behind their end, to learn how many bytes one has in a direction.
func measure(t *testing.T, line *Line, w way, session func() error) int {
	t.Helper()
	low, high := 0, 64<<10
	for low < high { // the smallest number of bytes at which nothing is lost
		at := (low + high) / 2
		f := Fault{About: troubled, Up: Way{Cut: true, At: at, Reset: w.reset}}
		if w.front {
			f.About = ""
		}
		if w.down {
			f.Up, f.Down = f.Down, f.Up
		}
		line.Break(&f)
		if err := session(); err != nil {
			low = at + 1
		} else {
			high = at
		}
		line.Break(nil)
	}
	if low < 500 || low >= 60<<10 {
		t.Fatalf("%s: a session of %d bytes is not believed", w.name, low)
	}
	return low
}

// verify compares what clients were told with the log.
func verify(t *testing.T, w *world, acked map[string]int64, never map[string]bool) {
	t.Helper()
	cl := w.direct(kgo.ConsumeTopics(backing), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	found, last := map[int64]string{}, int64(0)
	for _, offset := range acked {
		last = max(last, offset)
	}
	times := map[string]int{}
	for next := int64(0); next <= last; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			found[r.Offset] = string(r.Value)
			times[string(r.Value)]++
			next = r.Offset + 1
		})
	}
	for value, offset := range acked {
		if found[offset] != value {
			t.Errorf("%s was acknowledged at %d, where there is %q", value, offset, found[offset])
		}
		if times[value] != 1 {
			t.Errorf("%s is there %d times", value, times[value])
		}
	}
	for value := range never {
		if times[value] > 0 {
			t.Errorf("%s is in the log, though its request was cut", value)
		}
	}
	t.Logf("%d records acknowledged, %d in the log", len(acked), len(found))
}
