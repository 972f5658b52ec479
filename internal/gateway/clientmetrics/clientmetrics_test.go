package clientmetrics

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"google.golang.org/protobuf/encoding/protowire"
)

// point is a data point of a metric as a client pushes it.
type point struct {
	name       string
	value      float64
	attributes []string // keys
	integer    bool
	nameLast   bool
	sum        bool
}

func message(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(parts, nil))
}

// otlp makes a push, each data point in a metric of its own, as the Java client does.
func otlp(points ...point) []byte {
	var all []byte
	for _, p := range points {
		var value []byte
		if p.integer {
			value = protowire.AppendFixed64(protowire.AppendTag(nil, 6, protowire.Fixed64Type), uint64(int64(p.value)))
		} else {
			value = protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(p.value))
		}
		at := protowire.AppendFixed64(protowire.AppendTag(nil, 3, protowire.Fixed64Type), 1)
		dp := [][]byte{at, value}
		for _, a := range p.attributes {
			dp = append(dp, message(7, message(1, []byte(a)), message(2, message(1, []byte("x")))))
		}
		name, data := message(1, []byte(p.name)), message(5, message(1, dp...))
		if p.sum {
			data = message(7, message(1, dp...))
		}
		if p.nameLast {
			all = append(all, message(2, data, name)...)
		} else {
			all = append(all, message(2, name, data)...)
		}
	}
	return message(1, message(1, []byte("resource")), message(2, all))
}

const (
	sendRate   = "org.apache.kafka.producer.record.send.rate"
	latencyAvg = "org.apache.kafka.producer.node.request.latency.avg"
	latencyMax = "org.apache.kafka.producer.node.request.latency.max"
	consumed   = "org.apache.kafka.consumer.fetch.manager.records.consumed.rate"
)

// world is a Collector with its clock.
type world struct {
	t     *testing.T
	c     *Collector
	now   time.Time
	gone  map[string]bool
	bound *prometheus.Registry
}

func start(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_000_000, 0), gone: map[string]bool{}, bound: prometheus.NewRegistry()}
	config := Config{Now: func() time.Time { return w.now }, Known: func(o Owner) bool { return !w.gone[o.Application] }}
	if edit != nil {
		edit(&config)
	}
	var err error
	if w.c, err = New(config); err != nil {
		t.Fatal(err)
	}
	w.bound.MustRegister(w.c)
	return w
}

func owner(app string) Owner { return Owner{app, "test"} }

func (w *world) subscribe(app string) Subscription {
	w.t.Helper()
	s, err := w.c.Subscribe(owner(app), InstanceID{}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) push(app string, s Subscription, payload []byte, edit func(*Push)) *kerr.Error {
	w.t.Helper()
	p := Push{Instance: s.Instance, Subscription: s.ID, Metrics: payload}
	if edit != nil {
		edit(&p)
	}
	return w.c.Push(w.t.Context(), owner(app), p, w.now)
}

// read returns the metrics of an application by name, without those of the gateway itself.
func (w *world) read(app string) map[string]float64 {
	w.t.Helper()
	families, err := w.bound.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if len(m.Label) == 2 && m.Label[0].GetValue() == app && m.Label[1].GetValue() == "test" {
				out[strings.TrimPrefix(f.GetName(), "sluice_client_")] = math.Round(m.GetGauge().GetValue()*1e6) / 1e6
			}
		}
	}
	return out
}

func (w *world) expect(app string, want map[string]float64) {
	w.t.Helper()
	if got := w.read(app); !maps.Equal(got, want) {
		w.t.Errorf("metrics of %s: got %v, want %v", app, got, want)
	}
}

func TestClientsOfAnApplicationAreAddedUp(t *testing.T) {
	w := start(t, nil)
	one, two, other := w.subscribe("acme"), w.subscribe("acme"), w.subscribe("other")
	must := func(err *kerr.Error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.push("acme", one, otlp(
		point{name: sendRate, value: 10}, point{name: latencyAvg, value: 2, attributes: []string{"node_id"}}, point{name: latencyAvg, value: 4, attributes: []string{"node_id"}},
		point{name: latencyMax, value: 7, integer: true}, point{name: latencyMax, value: 3}, point{name: "org.apache.kafka.producer.unknown", value: 1},
		point{name: consumed, value: 5, nameLast: true}, point{name: consumed, value: 2, attributes: []string{"topic"}}, point{name: consumed, value: 3, attributes: []string{"client", "topic"}},
	), nil))
	must(w.push("acme", two, otlp(point{name: sendRate, value: 5, sum: true}, point{name: latencyAvg, value: 9}, point{name: latencyMax, value: math.NaN()}), nil))
	must(w.push("other", other, otlp(point{name: sendRate, value: 1}), nil))
	w.expect("acme", map[string]float64{
		"instances": 2, "producer_records_sent_per_second": 15, "producer_request_latency_avg_seconds": 0.006, "producer_request_latency_max_seconds": 0.007,
		"consumer_records_consumed_per_second": 5, // topics' own are in it
	})
	w.expect("other", map[string]float64{"instances": 1, "producer_records_sent_per_second": 1})

	// The next push replaces the one before.
	w.now = w.now.Add(DefaultInterval)
	must(w.push("acme", one, otlp(point{name: sendRate, value: 1}), nil))
	w.expect("acme", map[string]float64{"instances": 2, "producer_records_sent_per_second": 6, "producer_request_latency_avg_seconds": 0.009})
}

func TestOneApplicationCannotPushForAnother(t *testing.T) {
	w := start(t, nil)
	s := w.subscribe("acme")
	w.push("acme", s, otlp(point{name: sendRate, value: 1}), nil)
	if err := w.push("evil", s, otlp(point{name: sendRate, value: 99}), nil); err != nil {
		t.Fatal(err) // the id is its own there
	}
	w.expect("acme", map[string]float64{"instances": 1, "producer_records_sent_per_second": 1})
}

func TestSilentClientsAndGoneApplicationsAreForgotten(t *testing.T) {
	w := start(t, nil)
	quiet, done, gone := w.subscribe("acme"), w.subscribe("acme"), w.subscribe("gone")
	w.push("acme", quiet, otlp(point{name: sendRate, value: 1}), nil)
	w.push("acme", done, otlp(point{name: sendRate, value: 2}), func(p *Push) { p.Terminating = true })
	w.push("gone", gone, otlp(point{name: sendRate, value: 4}), nil)
	w.expect("acme", map[string]float64{"instances": 2, "producer_records_sent_per_second": 3})
	w.expect("gone", map[string]float64{"instances": 1, "producer_records_sent_per_second": 4})
	w.gone["gone"] = true
	w.expect("gone", nil)
	w.now = w.now.Add(DefaultInterval)
	w.expect("acme", map[string]float64{"instances": 1, "producer_records_sent_per_second": 1}) // without the one that said goodbye
	w.now = w.now.Add(2*DefaultInterval - 1)
	w.expect("acme", map[string]float64{"instances": 1, "producer_records_sent_per_second": 1})
	w.now = w.now.Add(1)
	w.expect("acme", nil)
	if n := len(w.c.owners); n != 0 {
		t.Errorf("%d applications are remembered, want none", n)
	}
}

func TestSubscription(t *testing.T) {
	w := start(t, func(c *Config) {
		c.Metrics, c.Interval, c.MaxBytes = []string{"org.apache.kafka.consumer.node."}, 5*time.Second, 1234
	})
	s := w.subscribe("acme")
	if reserved(s.Instance) || s.Instance[6]>>4 != 4 || s.Interval != 5*time.Second || s.MaxBytes != 1234 || !s.Delta || !slices.Equal(s.Compressions, []int8{4, 3, 1, 2}) ||
		!slices.Equal(s.Metrics, []string{"org.apache.kafka.consumer.node.request.latency.avg", "org.apache.kafka.consumer.node.request.latency.max"}) {
		t.Errorf("got %+v", s)
	}
	again, err := w.c.Subscribe(owner("acme"), InstanceID{9}, w.now)
	if err != nil || again.Instance != (InstanceID{9}) || again.ID == s.ID {
		t.Errorf("a client with an id of its own: got %+v, %v", again, err)
	}
	elsewhere := start(t, func(c *Config) { *c = w.c.config })
	if id := elsewhere.c.subscriptionID(s.Instance); id != s.ID {
		t.Errorf("another gateway with the same configuration expects subscription %d, not %d", id, s.ID)
	}
	changed := start(t, func(c *Config) { c.Interval = 5 * time.Second })
	if id := changed.c.subscriptionID(s.Instance); id == s.ID {
		t.Error("another configuration has the same subscription id")
	}
	if _, err := New(Config{Metrics: []string{"org.apache.kafka.consumer.", "org.apache.kafka.broker."}}); err == nil || !strings.Contains(err.Error(), `"org.apache.kafka.broker."`) {
		t.Errorf("a prefix of nothing: got %v", err)
	}
}

// TestRefusals follows Kafka's own broker, check by check.
func TestRefusals(t *testing.T) {
	payload := otlp(point{name: sendRate, value: 1})
	for name, tc := range map[string]struct {
		edit func(*Push)
		want *kerr.Error
		then *kerr.Error // what a subscription right afterwards gets
	}{
		"good":                 {nil, nil, kerr.ThrottlingQuotaExceeded},
		"empty":                {func(p *Push) { p.Metrics = nil }, nil, kerr.ThrottlingQuotaExceeded},
		"no instance":          {func(p *Push) { p.Instance = InstanceID{} }, kerr.InvalidRequest, kerr.ThrottlingQuotaExceeded},
		"reserved instance":    {func(p *Push) { p.Instance = InstanceID{15: 1} }, kerr.InvalidRequest, kerr.ThrottlingQuotaExceeded},
		"another subscription": {func(p *Push) { p.Subscription++ }, kerr.UnknownSubscriptionID, nil},
		"compression 5":        {func(p *Push) { p.Compression = 5 }, kerr.UnsupportedCompressionType, nil},
		"compression -1":       {func(p *Push) { p.Compression = -1 }, kerr.UnsupportedCompressionType, nil},
		"too large":            {func(p *Push) { p.Metrics = make([]byte, DefaultMaxBytes+1) }, kerr.TelemetryTooLarge, kerr.ThrottlingQuotaExceeded},
		"no protobuf":          {func(p *Push) { p.Metrics = []byte("no protobuf") }, kerr.InvalidRecord, kerr.ThrottlingQuotaExceeded},
		"not gzip":             {func(p *Push) { p.Compression = gzipped }, kerr.InvalidRecord, kerr.ThrottlingQuotaExceeded},
		"not snappy":           {func(p *Push) { p.Compression = snappy }, kerr.InvalidRecord, kerr.ThrottlingQuotaExceeded},
		"not lz4":              {func(p *Push) { p.Compression = lz4Framed }, kerr.InvalidRecord, kerr.ThrottlingQuotaExceeded},
		"not zstd":             {func(p *Push) { p.Compression = zstandard }, kerr.InvalidRecord, kerr.ThrottlingQuotaExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, nil)
			s := w.subscribe("acme")
			if got := w.push("acme", s, payload, tc.edit); got != tc.want {
				t.Errorf("push: got %v, want %v", got, tc.want)
			}
			if _, got := w.c.Subscribe(owner("acme"), s.Instance, w.now.Add(DefaultInterval-1)); got != tc.then {
				t.Errorf("subscription after it: got %v, want %v", got, tc.then)
			}
		})
	}
}

func TestPushesComeOnceAnInterval(t *testing.T) {
	w := start(t, nil)
	s := w.subscribe("acme")
	payload := otlp(point{name: sendRate, value: 1})
	for _, step := range []struct {
		after time.Duration
		last  bool
		want  *kerr.Error
	}{
		{time.Second, false, nil}, // the first one at any time
		{DefaultInterval - 1, false, kerr.ThrottlingQuotaExceeded},
		{1, false, nil},
		{time.Second, true, nil}, // the last one early
		{DefaultInterval, false, kerr.InvalidRequest},
		{DefaultInterval, true, kerr.InvalidRequest},
	} {
		w.now = w.now.Add(step.after)
		if got := w.push("acme", s, payload, func(p *Push) { p.Terminating = step.last }); got != step.want {
			t.Errorf("after %v, terminating %t: got %v, want %v", step.after, step.last, got, step.want)
		}
	}
}

func TestAPushWithoutASubscriptionHere(t *testing.T) { // which another gateway gave
	w := start(t, nil)
	s := Subscription{Instance: newInstanceID()}
	s.ID = w.c.subscriptionID(s.Instance)
	if err := w.push("acme", s, otlp(point{name: sendRate, value: 1}), nil); err != nil {
		t.Error(err)
	}
	w.expect("acme", map[string]float64{"instances": 1, "producer_records_sent_per_second": 1})
}

func TestInstancesAndApplicationsAreBounded(t *testing.T) {
	w := start(t, func(c *Config) { c.Instances, c.AllInstances = 3, 4 })
	for range 3 {
		w.subscribe("acme")
	}
	if _, err := w.c.Subscribe(owner("acme"), InstanceID{}, w.now); err != kerr.ThrottlingQuotaExceeded {
		t.Errorf("a fourth client: got %v", err)
	}
	id := newInstanceID()
	if err := w.push("acme", Subscription{Instance: id, ID: w.c.subscriptionID(id)}, nil, nil); err != kerr.ThrottlingQuotaExceeded {
		t.Errorf("a push of a fourth client: got %v", err)
	}
	w.subscribe("other")
	if _, err := w.c.Subscribe(owner("third"), InstanceID{}, w.now); err != kerr.ThrottlingQuotaExceeded {
		t.Errorf("a fifth client of all: got %v", err)
	}
	w.gone["other"] = true
	w.read("other")
	w.subscribe("third")
	w.now = w.now.Add(silentIntervals * DefaultInterval)
	w.subscribe("acme") // the others are silent
	if n := len(w.c.owners); n != 1 || w.c.all != 1 {
		t.Errorf("%d applications with %d clients are remembered, want 1 with 1", n, w.c.all)
	}
}

func zstdOf(plain []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll(plain, nil)
}

func gzipOf(plain []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(plain)
	z.Close()
	return b.Bytes()
}

func lz4Of(plain []byte) []byte {
	var b bytes.Buffer
	z := lz4.NewWriter(&b)
	z.Write(plain)
	z.Close()
	return b.Bytes()
}

func snappyOf(plain []byte) []byte { return s2.EncodeSnappy(nil, plain) }

// xerialOf is what snappy-java writes: blocks with lengths.
func xerialOf(plain []byte) []byte {
	out := append(slices.Clone(xerial), 0, 0, 0, 1, 0, 0, 0, 1)
	for chunk := range slices.Chunk(plain, 100) {
		block := snappyOf(chunk)
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
	}
	return out
}

func TestCompressions(t *testing.T) {
	var points []point
	for i := range 1000 {
		points = append(points, point{name: sendRate, value: float64(i % 3)})
	}
	plain := otlp(points...)
	for name, tc := range map[string]struct {
		compression int8
		payload     []byte
	}{
		"none": {none, plain}, "gzip": {gzipped, gzipOf(plain)}, "snappy, one block": {snappy, snappyOf(plain)}, "snappy, framed": {snappy, xerialOf(plain)},
		"lz4": {lz4Framed, lz4Of(plain)}, "zstd": {zstandard, zstdOf(plain)},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, nil)
			if err := w.push("acme", w.subscribe("acme"), tc.payload, func(p *Push) { p.Compression = tc.compression }); err != nil {
				t.Fatal(err)
			}
			w.expect("acme", map[string]float64{"instances": 1, "producer_records_sent_per_second": 999})
			var read readings
			if err := decode(tc.compression, tc.payload[:len(tc.payload)-1], &read); err != kerr.InvalidRecord {
				t.Errorf("cut short: got %v", err)
			}
		})
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestBombs: what decompresses to gigabytes, or to countless fields, costs bounded memory and little time
// (CVE-2026-111073 is the same in Kafka's own broker).
func TestBombs(t *testing.T) {
	const plain = 8 << 20 // twice the bound
	compressed := func(wrap func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		z := wrap(&b)
		if _, err := io.CopyN(z, zeros{}, plain); err != nil {
			t.Fatal(err)
		}
		z.Close()
		return b.Bytes()
	}
	zstdBomb := compressed(func(w io.Writer) io.WriteCloser {
		z, _ := zstd.NewWriter(w, zstd.WithWindowSize(maxWindow))
		return z
	})
	zstdBomb = bytes.Repeat(zstdBomb, DefaultMaxBytes/len(zstdBomb)) // frames one after the other: gigabytes
	gzipBomb := compressed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	gzipBomb = bytes.Repeat(gzipBomb, DefaultMaxBytes/len(gzipBomb))
	one := func(edit func(*point)) []byte {
		p := point{name: sendRate, value: 1}
		edit(&p)
		return otlp(p)
	}
	manyMetrics := bytes.Repeat(message(2, []byte{}), maxMetrics+1)
	manyPoints := bytes.Repeat(message(1, []byte{}), maxDataPoints+1)
	for name, tc := range map[string]struct {
		compression int8
		payload     []byte
		want        *kerr.Error
	}{
		"zstd":              {zstandard, zstdBomb, kerr.TelemetryTooLarge},
		"zstd, vast window": {zstandard, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0}, kerr.InvalidRecord}, // 2 GiB
		"gzip":              {gzipped, gzipBomb, kerr.TelemetryTooLarge},
		"lz4":               {lz4Framed, compressed(func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }), kerr.TelemetryTooLarge},
		// 4 GiB said in front of nothing
		"snappy":          {snappy, append(binary.AppendUvarint(nil, 1<<32-1), 0), kerr.TelemetryTooLarge},
		"snappy, framed":  {snappy, bytes.Repeat(snappyOf(make([]byte, 8<<20)), 2), kerr.TelemetryTooLarge},
		"many metrics":    {none, message(1, message(2, manyMetrics)), kerr.TelemetryTooLarge},
		"many points":     {none, message(1, message(2, message(2, message(1, []byte(sendRate)), message(5, manyPoints)))), kerr.TelemetryTooLarge},
		"many attributes": {none, one(func(p *point) { p.attributes = slices.Repeat([]string{"a"}, maxAttributes+1) }), kerr.TelemetryTooLarge},
		"groups":          {none, bytes.Repeat([]byte{0x0b}, DefaultMaxBytes), kerr.InvalidRecord}, // nested without end
	} {
		t.Run(name, func(t *testing.T) {
			payload := tc.payload[:min(len(tc.payload), DefaultMaxBytes)]
			var read readings
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			got := decode(tc.compression, payload, &read)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			// All that was ever allocated, not only at a time. A growing buffer is
			// allocated twice over, and zstd remembers 8 MiB.
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
				t.Errorf("%d bytes pushed took %d MiB", len(payload), n>>20)
			}
			if took > 5*time.Second { // ms, but on a busy machine
				t.Errorf("took %v", took)
			}
			t.Logf("%d bytes: %v, %d KiB allocated", len(payload), took, (after.TotalAlloc-before.TotalAlloc)>>10)
		})
	}
}

func TestResultsAreCounted(t *testing.T) {
	w := start(t, nil)
	s := w.subscribe("acme")
	w.push("acme", s, nil, nil)
	w.push("acme", s, nil, nil)
	w.now = w.now.Add(DefaultInterval)
	w.push("acme", s, []byte{7}, nil)
	families, err := w.bound.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range families {
		for _, m := range f.Metric {
			if n := m.GetCounter().GetValue(); n > 0 {
				got += fmt.Sprintf("%s %v;", m.Label[0].GetValue(), n)
			}
		}
	}
	if want := "accepted 1;malformed 1;throttled 1;"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzDecode: any payload is read or refused, within the bounds.
func FuzzDecode(f *testing.F) {
	plain := otlp(point{name: sendRate, value: 1, attributes: []string{"topic"}}, point{name: latencyAvg, value: math.Inf(1), integer: true, nameLast: true})
	for compression, payload := range [][]byte{plain, gzipOf(plain), snappyOf(plain), lz4Of(plain), zstdOf(plain)} {
		f.Add(int8(compression), payload)
		f.Add(int8(compression), payload[:len(payload)/2])
	}
	f.Add(snappy, xerialOf(plain))
	f.Add(zstandard, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0})
	f.Fuzz(func(t *testing.T, compression int8, payload []byte) {
		if compression < none || compression > zstandard {
			return // refused before
		}
		var read readings
		err := decode(compression, payload, &read)
		if err != nil && err != kerr.InvalidRecord && err != kerr.TelemetryTooLarge {
			t.Errorf("got %v", err)
		}
		for at := range metrics {
			if v, ok := read.get(at); ok && math.IsNaN(v) {
				t.Errorf("%s is no number", metrics[at].kafka)
			}
		}
	})
}
