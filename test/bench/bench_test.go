package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(childMain(os.Args[2]))
	}
	os.Exit(m.Run())
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// TestQuick runs the whole thing for a moment. What the figures are is nobody's business here.
func TestQuick(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	var out bytes.Buffer
	err := command(t.Context(), []string{"-quick", "-rounds", "1", "-window", "200ms", "-latency-window", "500ms", "-json", "-write", page}, &out, testLog{t})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Samples {
		switch {
		case s.Measured != nil:
			if m := *s.Measured; m.Records <= 0 || m.Payload != m.Records<<10 || m.Elapsed <= 0 || m.ClientCPU <= 0 || (m.MiddleCPU > 0) != (s.Way != direct) || m.MiddlePeak < 0 {
				t.Errorf("%s, %s, round %d: got %+v, want more than zero of everything", s.Workload, s.Way, s.Round, m)
			}
		case s.Latencies != nil:
			if l := *s.Latencies; l.Records != 250 || l.Ack.P50 <= 0 || l.Ack.P99 < l.Ack.P50 || l.Arrival.P50 <= 0 || l.Arrival.P99 < l.Arrival.P50 {
				t.Errorf("latency, %s, round %d: got %+v, want 250 records and p50 between zero and p99", s.Way, s.Round, l)
			}
		case s.Idle != nil:
			// A connection needs two descriptors; runtimes and pools may have one more or less.
			more := s.Idle.DescriptorsAfter - s.Idle.DescriptorsBefore
			if s.Idle.Fresh <= 0 || s.Idle.Before <= 0 || s.Idle.After <= 0 || more < 2*(64-idleWarmup)-8 {
				t.Errorf("idle, %s, round %d: got %+v, want more than zero, and two descriptors for each of %d connections", s.Way, s.Round, *s.Idle, 64-idleWarmup)
			}
		case s.Logins != nil:
			if l := *s.Logins; l.Records <= 0 || l.Elapsed <= 0 || (l.MiddleCPU > 0) != (s.Way != direct) {
				t.Errorf("%s, %s, round %d: got %+v, want more than zero of everything", s.Workload, s.Way, s.Round, l)
			}
		case s.Start != nil:
			if got := *s.Start; got.FirstAnswer <= 0 || got.FirstLogin <= got.FirstAnswer || got.SavedAnswer <= 0 || got.SavedLogin <= got.SavedAnswer || got.Resident <= 0 {
				t.Errorf("start, round %d: got %+v, want more than zero, and logins after answers", s.Round, got)
			}
		}
	}
	// One round of two workloads and latency by six ways, of three kinds of login by two, of idle connections by five,
	// and of a start.
	if got, want := len(r.Samples), 3*6+3*2+5+1; got != want {
		t.Errorf("got %d samples, want %d", got, want)
	}
	if got, want := len(r.Rows), 3*6+3*2+5+1; got != want {
		t.Errorf("got %d rows, want %d", got, want)
	}
	if r.Facts.Cores < 1 || r.Facts.Kafka == "" || r.Facts.Go == "" {
		t.Errorf("got facts %+v, want cores, Kafka and Go", r.Facts)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| produce/1KiB/p1/acks=all/16KiB | direct |", "| gateway-tls |", "## Latency", "## Logins\n", "| SCRAM-SHA-256/TLS | direct |", "## Idle connections", "## Start"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		list               string
		throughput, logins int
		latency, idle      bool
		wrong              string
	}{
		{list: "", throughput: 11, logins: 3, latency: true, idle: true}, // the defaults
		{list: "all", throughput: 24, logins: 3, latency: true, idle: true},
		{list: "latency", latency: true},
		{list: "consume, idle", throughput: 8, idle: true},
		{list: "produce/100B/p6/acks=1/64KiB", throughput: 1},
		{list: "1KiB/p6", throughput: 6},
		{list: "acks=1,acks=1/16KiB", throughput: 8},
		{list: "logins/SCRAM-SHA-256", logins: 2},
		{list: "KiB", wrong: `"KiB"`}, // whole parts only
		{list: "latency,", wrong: `""`},
	} {
		got, err := choose(c.list, defaultWorkloads())
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("choose(%q): got error %v, want one that names %s", c.list, err, c.wrong)
			}
			continue
		}
		if err != nil || len(got.throughput) != c.throughput || len(got.logins) != c.logins || got.latency != c.latency || got.idle != c.idle {
			t.Errorf("choose(%q): got %+v, %v; want %d workloads, %d logins, latency %t, idle %t", c.list, got, err, c.throughput, c.logins, c.latency, c.idle)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		unit   string
		want   string
	}{
		{nil, "", "–"},
		{[]float64{3}, "", "3.00 (3.00–3.00)"},
		{[]float64{30, 10, 20}, "", "20.0 (10.0–30.0)"},
		{[]float64{400, 100, 200, 300}, "", "250 (100–400)"},
		{[]float64{91.6, 88.2, 97}, "%", "92% (88–97)"},
		{[]float64{-4, 12, 7}, "µs", "7µs (-4 to 12)"},
	} {
		if got := spread(c.values).text(c.unit); got != c.want {
			t.Errorf("spread(%v): got %q, want %q", c.values, got, c.want)
		}
	}
}

// Ratios are made within a round; a round that failed is left out of them and named.
func TestRatiosWithinRounds(t *testing.T) {
	const name = "produce/1KiB/p1/acks=all/16KiB"
	sample := func(round int, way string, mb int64, cpu time.Duration) Sample {
		return Sample{Round: round, Workload: name, Way: way, Measured: &Measured{Records: 1, Payload: mb * 1e6, Elapsed: time.Second, MiddleCPU: cpu}}
	}
	r := newReport(Facts{}, Options{Rounds: 3, Ways: []string{direct, forwarder, gateway}}, []Sample{
		sample(1, direct, 100, 0), sample(1, forwarder, 80, time.Second), sample(1, gateway, 50, time.Second),
		sample(2, gateway, 100, 2*time.Second), sample(2, direct, 400, 0), sample(2, forwarder, 200, time.Second),
		sample(3, forwarder, 10, time.Second), sample(3, direct, 10, 0), {Round: 3, Workload: name, Way: gateway, Error: "no answer"},
	})
	if len(r.Rows) != 3 {
		t.Fatalf("got %d rows, want 3", len(r.Rows))
	}
	got := r.Rows[2]
	if got.Way != gateway || *got.OfDirect != (Spread{37.5, 25, 50}) || *got.OfReference != (Spread{56.25, 50, 62.5}) || got.CPURatio.Min != 1.6 || got.CPURatio.Max != 4 {
		t.Errorf("got %+v: of direct %v, of forwarder %v, CPU × %v", got, got.OfDirect, got.OfReference, got.CPURatio)
	}
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0], "gateway, round 3: no answer") {
		t.Errorf("got errors %q, want that of round 3", r.Errors)
	}
}

// What has TLS at the front is compared with what has it too, and with nothing where that was not measured.
func TestReferences(t *testing.T) {
	for _, c := range []struct{ ways, way, want string }{
		{"direct,forwarder,floor,gateway,floor-tls,gateway-tls", gateway, floor},
		{"direct,forwarder,floor,gateway,floor-tls,gateway-tls", gatewayTLS, floorTLS},
		{"direct,forwarder,floor,gateway,floor-tls,gateway-tls", forwarder, floor},
		{"direct,forwarder,floor,gateway,floor-tls,gateway-tls", floorTLS, ""},
		{"direct,forwarder,gateway,gateway-tls", gateway, forwarder},
		{"direct,forwarder,gateway,gateway-tls", gatewayTLS, ""},
		{"direct,gateway,floor-tls,gateway-tls", gateway, ""},
		{"direct,gateway,floor-tls,gateway-tls", gatewayTLS, floorTLS},
		{"direct,gateway", gateway, ""},
	} {
		if got := newReport(Facts{}, Options{Ways: strings.Split(c.ways, ",")}, nil).reference(c.way); got != c.want {
			t.Errorf("%s of %s: got reference %q, want %q", c.way, c.ways, got, c.want)
		}
	}
}

// The forwarders pass every byte on, however frames and segments meet, and end a connection's halves one by one.
func TestForwarders(t *testing.T) {
	frame := func(body int) []byte {
		f := make([]byte, 4+body)
		for i := range f {
			f[i] = byte(i * 7)
		}
		binary.BigEndian.PutUint32(f, uint32(body))
		return f
	}
	var stream []byte
	for _, body := range []int{8, 9, 100, 8, 60 << 10, 200 << 10, 12, 1 << 20, 32<<10 + 8, 64 << 10, 8} {
		stream = append(stream, frame(body)...)
	}
	cert, err := newCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, pieces := range map[string][]int{
		"one write": {len(stream)}, "byte by byte at first": {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "odd pieces": {5, 4093, 13, 70001, 3, 300007},
	} {
		for _, job := range []Job{{}, {Floor: true}, {Floor: true, Cert: cert.file, Key: cert.key, Target: Target{CA: cert.issuer}}} {
			t.Run(name, func(t *testing.T) { forwardOnce(t, job, stream, pieces) })
		}
	}
}

func forwardOnce(t *testing.T, job Job, stream []byte, pieces []int) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		c, err := echo.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	}()
	ctx, cancel := context.WithCancel(t.Context())
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		job.Forward = echo.Addr().String()
		ended <- serveForwarder(ctx, job, func(v any) error {
			at <- v.(listening).Address
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	conn, err := job.Target.dial(ctx, <-at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan error, 1)
	go func() {
		rest := stream
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if i < len(pieces) {
				n = min(pieces[i], n)
			}
			if _, err := conn.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- conn.(halves).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, stream) {
		t.Errorf("floor %t, TLS %t: got %d bytes (%v), want the %d that were sent", job.Floor, job.Cert != "", len(got), err, len(stream))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
