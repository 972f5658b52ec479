// Package clientmetrics is the broker's side of Kafka's client telemetry
// (KIP-714), ended in the gateway: clients are told which metrics to push, how
// often and how, what they push is decoded within bounds, and summed up for
// each application. Its main type is Collector, which Prometheus reads. It must
// not know connections, grants, or Kafka's message structs.
package clientmetrics

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Config is what a Collector is told.
type Config struct {
	// Interval is how often a client pushes.
	Interval time.Duration
	// MaxBytes is the largest push, as it is sent.
	MaxBytes int
	// Metrics are prefixes of the names that clients are asked for, of those in
	// the list of this package; empty means all of the list.
	Metrics []string
	// Instances of one application, and AllInstances of all together, are how
	// many are remembered at a time.
	Instances, AllInstances int
	// Known says whether an application is still there; those that are not are
	// forgotten. Nil means that all are. Called when metrics are read.
	Known func(Owner) bool
	// Now is the clock for what is read; nil means the system's.
	Now func() time.Time
}

// Bounds of a Collector that is not told others. A client instance that was
// heard takes about 600 bytes.
const (
	DefaultInterval     = time.Minute
	DefaultMaxBytes     = 1 << 20
	defaultInstances    = 1000
	defaultAllInstances = 20_000
)

// Owner is whose clients push: metrics are kept apart by it, and nobody can
// write into another's.
type Owner struct{ Application, Environment string }

// InstanceID tells the instances of clients apart. Clients get one from
// Subscribe and may use their own, so it proves nothing.
type InstanceID [16]byte

// Subscription is what a client shall push, as GetTelemetrySubscriptions says.
type Subscription struct {
	Instance     InstanceID
	ID           int32
	Compressions []int8 // in the order of preference
	Interval     time.Duration
	MaxBytes     int
	Delta        bool // counters as the difference to the push before
	Metrics      []string
}

// Push is one PushTelemetry request. Metrics are not kept.
type Push struct {
	Instance     InstanceID
	Subscription int32
	Terminating  bool
	Compression  int8
	Metrics      []byte
}

// Collector remembers what each application's clients pushed last. Make one
// with New. It is safe for concurrent use.
type Collector struct {
	config    Config
	requested []string
	digest    uint32 // of what every subscription says
	pushes    *prometheus.CounterVec
	instances *prometheus.Desc
	decoding  chan struct{} // holds one for each payload that is decoded

	mu     sync.Mutex // guards all below
	owners map[Owner]map[InstanceID]*instance
	all    int       // instances in owners
	swept  time.Time // when silent ones were last looked for, for want of room
}

// instance is one client, as far as it was heard.
type instance struct {
	asked, pushed time.Time // the last requests that were in time
	failed        *kerr.Error
	terminated    bool
	heard         time.Time // zero while it has pushed nothing
	readings      *readings
}

// decoders is how many payloads are decompressed and decoded at a time, of all
// clients together; one that has to wait longer is refused, since the client's
// other requests wait behind it.
const (
	decoders   = 2
	decodeWait = 200 * time.Millisecond
)

// New makes a Collector. The error is about the configuration.
func New(config Config) (*Collector, error) {
	config.Interval = cmp.Or(config.Interval, DefaultInterval)
	config.MaxBytes = cmp.Or(config.MaxBytes, DefaultMaxBytes)
	config.Instances = cmp.Or(config.Instances, defaultInstances)
	config.AllInstances = cmp.Or(config.AllInstances, defaultAllInstances)
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Collector{
		config: config, decoding: make(chan struct{}, decoders), owners: make(map[Owner]map[InstanceID]*instance),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_gateway_telemetry_pushes_total", Help: "Pushes of metrics by Kafka clients (KIP-714), by result.",
		}, []string{"result"}),
		instances: prometheus.NewDesc("sluice_client_instances", "Kafka clients of an application that push metrics (KIP-714).", labels, nil),
	}
	for _, r := range results {
		c.pushes.WithLabelValues(r)
	}
	for _, m := range metrics {
		if len(config.Metrics) == 0 || slices.ContainsFunc(config.Metrics, func(p string) bool { return strings.HasPrefix(m.kafka, p) }) {
			c.requested = append(c.requested, m.kafka)
		}
	}
	for _, p := range config.Metrics {
		if !slices.ContainsFunc(metrics[:], func(m metric) bool { return strings.HasPrefix(m.kafka, p) }) {
			return nil, fmt.Errorf("no metric of clients that is known begins with %q", p)
		}
	}
	c.digest = crc32.ChecksumIEEE(fmt.Append(nil, c.requested, config.Interval, config.MaxBytes))
	return c, nil
}

// Compression types, as Kafka numbers them.
const (
	none int8 = iota
	gzipped
	snappy
	lz4Framed
	zstandard
)

// Subscribe answers GetTelemetrySubscriptions. A client without an id, with the
// zero one, gets a new one. The error is Kafka's.
func (c *Collector) Subscribe(owner Owner, id InstanceID, now time.Time) (Subscription, *kerr.Error) {
	if id == (InstanceID{}) {
		id = newInstanceID()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.instance(owner, id, now)
	if i == nil {
		return Subscription{}, kerr.ThrottlingQuotaExceeded
	}
	last := i.asked
	if i.pushed.After(last) {
		last = i.pushed
	}
	// Somebody who was told to ask again may do so at once, as in Kafka.
	if now.Sub(last) < c.config.Interval && i.failed != kerr.UnknownSubscriptionID && i.failed != kerr.UnsupportedCompressionType {
		return Subscription{}, kerr.ThrottlingQuotaExceeded
	}
	i.asked, i.failed = now, nil
	return Subscription{
		Instance: id, ID: c.subscriptionID(id), Compressions: []int8{zstandard, lz4Framed, gzipped, snappy},
		Interval: c.config.Interval, MaxBytes: c.config.MaxBytes, Delta: true, Metrics: c.requested,
	}, nil
}

// subscriptionID is the same on every gateway with the same configuration, so
// that a client may ask one and push to another.
func (c *Collector) subscriptionID(id InstanceID) int32 {
	return int32(c.digest ^ crc32.ChecksumIEEE(id[:]))
}

// newInstanceID returns a random id (RFC 9562, version 4), which is none of
// those that Kafka reserves.
func newInstanceID() (id InstanceID) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// reserved are Kafka's ids that are no client's: zero and one.
func reserved(id InstanceID) bool {
	return binary.BigEndian.Uint64(id[:8]) == 0 && binary.BigEndian.Uint64(id[8:]) <= 1
}

// Push takes what a client pushes. The error is Kafka's; the context ends the
// wait for others' payloads.
func (c *Collector) Push(ctx context.Context, owner Owner, p Push, now time.Time) *kerr.Error {
	err := c.push(ctx, owner, p, now)
	c.pushes.WithLabelValues(result(err)).Inc()
	return err
}

func (c *Collector) push(ctx context.Context, owner Owner, p Push, now time.Time) *kerr.Error {
	if reserved(p.Instance) {
		return kerr.InvalidRequest
	}
	if err := c.admit(owner, p, now); err != nil {
		return err
	}
	var read readings
	var failed *kerr.Error
	if len(p.Metrics) > 0 {
		ctx, cancel := context.WithTimeout(ctx, decodeWait)
		defer cancel()
		select {
		case c.decoding <- struct{}{}:
		case <-ctx.Done():
			return kerr.ThrottlingQuotaExceeded
		}
		failed = decode(p.Compression, p.Metrics, &read)
		<-c.decoding
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.owners[owner][p.Instance]
	if i == nil { // forgotten meanwhile
		return failed
	}
	i.failed = failed
	if failed != nil {
		return failed
	}
	i.heard = now
	if read.any() {
		i.readings = &read
	} else {
		i.readings = nil
	}
	return nil
}

// admit says whether a push may be decoded, in the order of Kafka's own checks.
func (c *Collector) admit(owner Owner, p Push, now time.Time) *kerr.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.instance(owner, p.Instance, now)
	if i == nil {
		return kerr.ThrottlingQuotaExceeded
	}
	err := func() *kerr.Error {
		if i.terminated {
			return kerr.InvalidRequest
		}
		// The first push after a subscription may come at any time, since
		// clients spread it themselves; the last one may come early.
		inTime := i.asked.After(i.pushed) || now.Sub(i.pushed) >= c.config.Interval
		if inTime {
			i.pushed = now
		}
		switch {
		case !inTime && !p.Terminating:
			return kerr.ThrottlingQuotaExceeded
		case p.Subscription != c.subscriptionID(p.Instance):
			return kerr.UnknownSubscriptionID
		case p.Compression < none || p.Compression > zstandard:
			return kerr.UnsupportedCompressionType
		case len(p.Metrics) > c.config.MaxBytes:
			return kerr.TelemetryTooLarge
		}
		return nil
	}()
	i.failed = err
	i.terminated = i.terminated || p.Terminating
	return err
}

// instance returns what is remembered of a client, which may be nothing yet;
// nil when there is no room for another one. c.mu is held.
func (c *Collector) instance(owner Owner, id InstanceID, now time.Time) *instance {
	if i := c.owners[owner][id]; i != nil {
		return i
	}
	full := func() bool { return len(c.owners[owner]) >= c.config.Instances || c.all >= c.config.AllInstances }
	if full() && now.Sub(c.swept) >= c.config.Interval/10 { // all are looked at: not for everybody who asks
		c.swept = now
		c.sweep(now)
	}
	if full() {
		return nil
	}
	if c.owners[owner] == nil {
		c.owners[owner] = make(map[InstanceID]*instance)
	}
	i := new(instance)
	c.owners[owner][id] = i
	c.all++
	return i
}

// A client that stopped pushing counts for so many intervals, one that said
// goodbye for one: what it pushed last would otherwise never be seen.
const (
	silentIntervals     = 3
	terminatedIntervals = 1
)

// counts reports whether what a client pushed last still holds.
func (c *Collector) counts(i *instance, now time.Time) bool {
	intervals := time.Duration(silentIntervals)
	if i.terminated {
		intervals = terminatedIntervals
	}
	return !i.heard.IsZero() && now.Sub(i.heard) < intervals*c.config.Interval
}

// sweep forgets clients that are silent. c.mu is held.
func (c *Collector) sweep(now time.Time) {
	for owner, instances := range c.owners {
		for id, i := range instances {
			last := i.asked
			if i.pushed.After(last) {
				last = i.pushed
			}
			if now.Sub(last) >= silentIntervals*c.config.Interval && !c.counts(i, now) {
				delete(instances, id)
				c.all--
			}
		}
		if len(instances) == 0 {
			delete(c.owners, owner)
		}
	}
}
