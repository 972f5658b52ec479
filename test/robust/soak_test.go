package robust

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/test/harness"
)

// Hours of coming and going leave nothing behind: goroutines, descriptors and memory stay where they were. SOAK says how
// long; without it this is a sample.
func TestSoak(t *testing.T) {
	beside(t)
	lasting, reload, look := 12*time.Second, time.Second, 250*time.Millisecond
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil {
			t.Fatal("SOAK: ", err)
		}
		reload, look = 10*time.Second, 5*time.Second
	}
	w := start(t, options{settings: "limits: {maxUnauthenticatedPerAddress: 0}"})
	front, err := NewLine(w.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	before := w.rest()
	other := w.witness()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var sessions, cuts, records, reloads, refused atomic.Int64

	for i := range 4 { // sessions by hand, every fifth of which is cut somewhere
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				conn, err := net.Dial("tcp", front.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				s := &session{conn: conn, user: troubled, value: fmt.Sprintf("soak-%d-%d", i, n%100), patience: 30 * time.Second}
				if rand.IntN(5) == 0 {
					end := time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, func() { conn.Close() })
					if s.whole() != nil {
						cuts.Add(1)
					}
					end.Stop()
				} else if err := s.whole(); err != nil && ctx.Err() == nil {
					t.Errorf("a session: %v", err)
				}
				conn.Close()
				sessions.Add(1)
				pause(ctx, 50*time.Millisecond)
			}
		})
	}
	all.Go(func() { // strangers
		for ctx.Err() == nil {
			if conn, err := net.Dial("tcp", w.Bootstrap); err == nil {
				s := &session{conn: conn, user: "nobody", patience: 10 * time.Second}
				if s.login() == nil {
					t.Error("nobody is let in")
				}
				conn.Close()
				refused.Add(1)
			}
			pause(ctx, 100*time.Millisecond)
		}
	})
	for i := range 2 { // a library's client, with a group
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				cl, err := kgo.NewClient(kgo.SeedBrokers(w.Bootstrap), kgo.SASL(plain.Auth{User: troubled, Pass: password}.AsMechanism()),
					kgo.ConsumerGroup(fmt.Sprintf("soak-group-%d", i)), kgo.ConsumeTopics(exposed), kgo.FetchMaxWait(250*time.Millisecond),
					kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
				if err != nil {
					t.Error(err)
					return
				}
				until := time.Now().Add(time.Duration(1+rand.IntN(4)) * time.Second)
				for time.Now().Before(until) && ctx.Err() == nil {
					if err := cl.ProduceSync(ctx, &kgo.Record{Topic: exposed, Value: []byte("a record of the soak")}).FirstErr(); err != nil && ctx.Err() == nil {
						t.Errorf("produce: %v", err)
					}
					poll, stop := context.WithTimeout(ctx, 100*time.Millisecond)
					records.Add(int64(cl.PollFetches(poll).NumRecords()))
					stop()
				}
				cl.CloseAllowingRebalance()
			}
		})
	}
	all.Go(func() { // documents change
		good := documents(w.kafka.ListenAddrs(), 0)
		for n := 0; ctx.Err() == nil; n++ {
			pause(ctx, reload)
			text := good
			for i := range n % 4 {
				text += application(fmt.Sprintf("guest-%d", (n+i)%7))
			}
			w.Write("resources.yaml", text)
			reloads.Add(1)
		}
	})

	var at []float64 // minutes
	series := map[string][]float64{}
	begin := time.Now()
	least := int64(lasting.Seconds())
	happened := func() bool { return sessions.Load() >= least && records.Load() > 0 }
	for time.Since(begin) < lasting || !happened() && time.Since(begin) < lasting+time.Minute { // a busy machine takes longer
		pause(ctx, look)
		m, err := w.metrics()
		if err != nil {
			t.Error(err)
			break
		}
		at = append(at, time.Since(begin).Minutes())
		for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "go_memstats_heap_inuse_bytes", "sluice_gateway_connections"} {
			series[name] = append(series[name], m[name])
		}
	}
	lasting = time.Since(begin).Round(time.Second)
	cancel()
	all.Wait()
	rounds, p50, p99 := other.lap("soak")
	other.leave()

	var report strings.Builder
	fmt.Fprintf(&report, "In %v: %d sessions by hand, %d of them cut, %d refused logins, %d records consumed, %d changes of the documents; bystander %d rounds, p50 %.1f ms, p99 %.1f ms.\n\n| | first quarter | last quarter | slope in 10 min |\n|---|---|---|---|\n",
		lasting, sessions.Load(), cuts.Load(), refused.Load(), records.Load(), reloads.Load(), rounds, ms(p50), ms(p99))
	skip := len(at) / 5 // the warm-up
	for _, kept := range []struct {
		name  string
		bound float64
	}{{"go_goroutines", 40}, {"process_open_fds", 40}, {"process_resident_memory_bytes", 24 << 20}} {
		name, bound := kept.name, kept.bound
		values := series[name][skip:]
		quarter := max(1, len(values)/4)
		first, last := mean(values[:quarter]), mean(values[len(values)-quarter:])
		slope := 0.0
		if first > 0 {
			slope = 100 * 10 * slopeOf(at[skip:], values) / first
		}
		unit, scale := "", 1.0
		if strings.HasSuffix(name, "bytes") {
			unit, scale = " MB", 1<<20
		}
		fmt.Fprintf(&report, "| %s | %.1f%s | %.1f%s | %+.1f %% |\n", name, first/scale, unit, last/scale, unit, slope)
		if last > first*1.15+bound {
			t.Errorf("%s: %.1f%s at first, %.1f%s at last", name, first/scale, unit, last/scale, unit)
		}
	}
	t.Log(report.String())
	if !happened() {
		t.Errorf("next to nothing happened: %d sessions, %d records", sessions.Load(), records.Load())
	}
	w.backTo(before, 30*time.Second)
	if os.Getenv("SOAK") != "" {
		harness.Report(t, "soak", report.String())
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(1, len(v)))
}

// slopeOf is the slope of the line of least squares.
func slopeOf(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xy, xx float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}
