package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/kafkatest"
)

// Options are what a run is told.
type Options struct {
	Rounds        int
	Warmup        time.Duration // of each measurement that writes, not counted
	Window        time.Duration // of each measurement of throughput
	LatencyWindow time.Duration
	Rate          int   // records per second while latency is measured
	Applications  int   // of the larger control plane
	Revocations   int   // of credentials, with -apart
	Connections   int   // idle ones
	SourceBytes   int64 // payload in each topic that is consumed
	Workloads     choice
	Ways          []string // in the order of the tables; the first is direct
	Gateway       string   // a built binary; empty: it is built
	KafkaVersion  string
	Log           io.Writer // progress
}

// Where each measurement goes: the names of Options.Ways.
const (
	direct     = "direct"
	forwarder  = "forwarder"
	floor      = "floor"
	gateway    = "gateway"
	floorTLS   = "floor-tls" // TLS between the client and what is in the middle
	gatewayTLS = "gateway-tls"
)

var allWays = []string{direct, forwarder, floor, gateway, floorTLS, gatewayTLS}

// Sample is what one measurement of one round brought; one of the pointers is set, or Error.
type Sample struct {
	Round     int        `json:"round"`
	Workload  string     `json:"workload"`
	Way       string     `json:"way"`
	Measured  *Measured  `json:"measured,omitempty"`
	Latencies *Latencies `json:"latencies,omitempty"`
	Logins    *Measured  `json:"logins,omitempty"`
	Idle      *Idle      `json:"idle,omitempty"`
	Start     *Start     `json:"start,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// Idle is the memory of a fresh process before it had a connection, with few that do nothing any more (idleWarmup),
// and with many; and how many descriptors it has open in the latter two.
type Idle struct {
	Connections       int   `json:"connections"`
	Fresh             int64 `json:"resident_fresh_bytes"`
	Before            int64 `json:"resident_before_bytes"`
	After             int64 `json:"resident_after_bytes"`
	DescriptorsBefore int   `json:"descriptors_before"`
	DescriptorsAfter  int   `json:"descriptors_after"`
}

// Start is how long a gateway with startApplications takes from the start of its process to the first answer and the
// first login of a client: the first time, and with the state that it has saved then.
type Start struct {
	FirstAnswer time.Duration `json:"first_answer_ns"`
	FirstLogin  time.Duration `json:"first_login_ns"`
	SavedAnswer time.Duration `json:"saved_answer_ns"`
	SavedLogin  time.Duration `json:"saved_login_ns"`
	Resident    int64         `json:"resident_bytes"` // after that login
}

const startApplications = 1000

// middle is what stands between client and broker.
type middle struct {
	process *child // nil: nothing
	target  Target
}

// bench is a run at work.
type bench struct {
	Options
	facts   Facts
	dir     string
	kafka   *kafkatest.Cluster
	cert    certificate
	topics  []topic
	middles map[string]middle
	samples []Sample
}

var jvm = []string{"-XX:+UseG1GC"} // and both compilers, as Kafka is run

const heap = "1g"

// Run measures and returns everything that was. Errors of single measurements are in the samples; the error returned
// says that the run as a whole could not go on.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	b := &bench{Options: o, middles: map[string]middle{}}
	b.facts.observe()
	if b.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	if b.cert, err = newCertificate(b.dir); err != nil {
		return nil, err
	}
	for _, w := range o.Workloads.throughput {
		if t := topicOf(w); !slices.Contains(b.topics, t) {
			b.topics = append(b.topics, t)
		}
	}
	b.topics = append(b.topics, latencyTopic())
	if slices.ContainsFunc(o.Ways, isGateway) && o.Gateway == "" {
		b.logf("building the gateway")
		if b.Gateway, err = buildGateway(ctx, b.dir); err != nil {
			return nil, err
		}
	}
	if err := b.startKafka(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kafka.Close()) }()

	estimate := o.estimate()
	b.logf("%d rounds, about %s", o.Rounds, estimate.Round(10*time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, 2*estimate+2*time.Minute, errors.New("the run takes more than twice the time it should"))
	defer cancel()
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	for _, way := range o.Ways {
		if b.middles[way], err = b.start(ctx, way); err != nil {
			return nil, err
		}
		if p := b.middles[way].process; p != nil {
			defer func() { err = errors.Join(err, p.stop()) }()
		}
	}
	b.logf("warming the broker up")
	if err := b.warm(ctx); err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		if err := b.round(ctx, round); err != nil {
			return nil, err
		}
	}
	return newReport(b.facts, o, b.samples), nil
}

func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.Log, "bench: "+format+"\n", args...)
}

const (
	startup    = 350 * time.Millisecond // what a client's process costs beyond its window
	warmWindow = 300 * time.Millisecond

	startEstimate = 4 * time.Second // of a gateway with startApplications
)

func (o Options) estimate() time.Duration {
	each := time.Duration(len(o.Workloads.throughput)) * (o.Warmup + o.Window + startup)
	if o.Workloads.latency {
		each += o.Warmup + o.LatencyWindow + startup
	}
	warm := time.Duration(len(o.Ways)*len(o.Workloads.throughput)) * (o.Warmup + min(o.Window, warmWindow) + startup)
	total := 5*time.Second + warm + time.Duration(o.Rounds*len(o.Ways))*each
	if o.Workloads.idle {
		total += time.Duration((o.Rounds+1)/2*(len(o.Ways)-1)) * (2*(settle+startup) + time.Duration(o.Connections)*time.Millisecond)
	}
	for _, l := range o.Workloads.logins {
		total += time.Duration((1+o.Rounds)*len(o.loginWays(l))) * (o.Warmup + o.Window + startup)
	}
	if o.startMeasured() {
		total += time.Duration((o.Rounds+1)/2) * 2 * startEstimate
	}
	return total
}

// loginWays are the ways by which a kind of login is measured: nothing of it happens in a forwarder.
func (o Options) loginWays(l logins) []string {
	way := gateway
	if l.tls {
		way = gatewayTLS
	}
	if !slices.Contains(o.Ways, way) {
		return nil
	}
	return []string{direct, way}
}

func (o Options) startMeasured() bool { return o.Workloads.start && slices.Contains(o.Ways, gateway) }

// begin makes a folder, a gateway unless one is given, and starts Kafka, until end.
func begin(ctx context.Context, o Options) (b *bench, end func() error, err error) {
	b = &bench{Options: o}
	b.facts.observe()
	if b.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, nil, err
	}
	end = func() error {
		var err error
		if b.kafka != nil {
			err = b.kafka.Close()
		}
		return errors.Join(err, os.RemoveAll(b.dir))
	}
	if o.Gateway == "" {
		b.logf("building the gateway")
		b.Gateway, err = buildGateway(ctx, b.dir)
	}
	if err == nil {
		err = b.startKafka(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return b, end, nil
}

// startKafka starts the broker, with its data in memory where there is a file system for that.
func (b *bench) startKafka(ctx context.Context) error {
	const memory = "/dev/shm"
	sources := int64(0)
	for _, t := range b.sources() {
		sources += t.bytes
	}
	b.facts.Data = "a disk"
	if free, err := freeBytes(memory); err == nil && free > 2*sources+4<<30 {
		// kafkatest lays its files out in the temporary folder, and removes there what was left by runs that were killed.
		old, had := os.LookupEnv("TMPDIR")
		os.Setenv("TMPDIR", memory)
		defer func() {
			if os.Unsetenv("TMPDIR"); had {
				os.Setenv("TMPDIR", old)
			}
		}()
		b.facts.Data = "memory (" + memory + ")"
	}
	b.logf("starting Apache Kafka, its data on %s", b.facts.Data)
	var err error
	b.kafka, err = kafkatest.Run(ctx, kafkatest.Options{
		Version: b.KafkaVersion, Heap: heap, JVM: jvm, SASL: true, TLS: true,
		Users: map[string]string{userOf(mechanismPlain): password, userOf(mechanismScram): password},
		// What the sinks hold stays small.
		Settings: map[string]string{"log.retention.check.interval.ms": "1000", "log.initial.task.delay.ms": "1000"},
	})
	if err != nil {
		return fmt.Errorf("start Apache Kafka: %w", err)
	}
	b.facts.collect(ctx, b.kafka.Version)
	return nil
}

// source is a topic that is consumed.
type source struct {
	topic
	workload Workload
	bytes    int64
}

func (b *bench) sources() []source {
	var all []source
	for _, w := range b.Workloads.throughput {
		if w.Consume {
			all = append(all, source{topicOf(w), w, b.SourceBytes / int64(w.RecordBytes) * int64(w.RecordBytes)})
		}
	}
	return all
}

// fill makes the topics, and writes what is consumed later.
func (b *bench) fill(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Bootstrap()...))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, t := range b.topics {
		configs := map[string]*string{}
		if strings.HasPrefix(t.backing, "bench.sink") {
			small := fmt.Sprint(128 << 20)
			configs = map[string]*string{"segment.bytes": &small, "retention.bytes": &small, "file.delete.delay.ms": kadm.StringPtr("0")}
		}
		if _, err := kadm.NewClient(client).CreateTopic(ctx, t.partitions, 1, configs, t.backing); err != nil {
			return fmt.Errorf("make topic %s: %w", t.backing, err)
		}
	}
	for _, s := range b.sources() {
		b.logf("filling %s with %d MiB", s.backing, s.bytes>>20)
		if err := fillSource(ctx, b.kafka.Bootstrap(), s); err != nil {
			return fmt.Errorf("fill %s: %w", s.backing, err)
		}
	}
	return nil
}

func fillSource(ctx context.Context, bootstrap []string, s source) error {
	opts := append([]kgo.Opt{kgo.SeedBrokers(bootstrap...)}, produceOptions(s.backing, s.workload)...)
	client, err := kgo.NewClient(append(opts, kgo.ProducerLinger(time.Second))...) // so that all batches are full
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	value := values(s.workload.RecordBytes)
	for range s.bytes / int64(s.workload.RecordBytes) {
		client.Produce(ctx, kgo.SliceRecord(value()), func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return context.Cause(ctx)
	}
	return context.Cause(ctx)
}

// start starts what stands in the middle of a way.
func (b *bench) start(ctx context.Context, way string) (middle, error) {
	bootstrap := b.kafka.Bootstrap()
	job := Job{Forward: bootstrap[0], Floor: way == floor || way == floorTLS}
	ca := ""
	switch way {
	case direct:
		return middle{nil, Target{Bootstrap: bootstrap[0]}}, nil
	case gateway, gatewayTLS:
		var cert *certificate
		if way == gatewayTLS {
			cert = &b.cert
		}
		c, target, err := startGateway(ctx, b.Gateway, b.dir, documents(bootstrap, b.topics, 0), cert)
		return middle{c, target}, err
	case floorTLS:
		job.Cert, job.Key, ca = b.cert.file, b.cert.key, b.cert.issuer
	}
	c, err := startSelf("forwarder", job)
	if err != nil {
		return middle{}, err
	}
	var at listening
	if err := c.read(ctx, &at); err != nil {
		return middle{}, err
	}
	// Kafka names its own address; the client is led here all the same, so that not a byte has to be changed.
	return middle{c, Target{Bootstrap: bootstrap[0], Via: at.Address, CA: ca}}, nil
}

func isGateway(way string) bool { return way == gateway || way == gatewayTLS }

// topicName is what clients of a way call a topic.
func topicName(way string, t topic) string {
	if isGateway(way) {
		return t.exposed
	}
	return t.backing
}

// warm lets the broker's compilers see the work, and every way work once.
func (b *bench) warm(ctx context.Context) error {
	for _, w := range b.Workloads.throughput {
		for _, way := range b.Ways {
			if _, err := b.load(ctx, way, w, min(b.Window, warmWindow)); ctx.Err() != nil {
				return context.Cause(ctx)
			} else if err != nil {
				b.logf("%s, %s: %v", w.Name, way, err) // the rounds will show it
			}
		}
	}
	for _, l := range b.Workloads.logins {
		for _, way := range b.loginWays(l) {
			if _, err := b.logins(ctx, way, l); ctx.Err() != nil {
				return context.Cause(ctx)
			} else if err != nil {
				b.logf("%s, %s: %v", l.name, way, err)
			}
		}
	}
	return nil
}

func (b *bench) load(ctx context.Context, way string, w Workload, window time.Duration) (*Measured, error) {
	m, t := b.middles[way], topicOf(w)
	job := Job{Target: m.target, Topic: topicName(way, t), Workload: w, Warmup: b.Warmup, Window: window}
	peakKnown := false
	if m.process != nil {
		job.Watch = m.process.pid()
		peakKnown = resetPeak(job.Watch) == nil // some kernels have no such thing
	}
	for _, s := range b.sources() {
		if s.topic == t {
			job.Bytes = s.bytes
		}
	}
	got, err := ask[Measured](ctx, "load", job, b.Warmup+window+measureTimeout)
	if err == nil && peakKnown {
		got.MiddlePeak, err = peakBytes(job.Watch)
	}
	return &got, err
}

// logins measures how many clients log in within a second.
func (b *bench) logins(ctx context.Context, way string, l logins) (*Measured, error) {
	m := b.middles[way]
	job := Job{Target: m.target, Mechanism: l.mechanism, Warmup: b.Warmup, Window: b.Window, Count: loginsAtATime}
	job.Target.User, job.Target.Password = userOf(l.mechanism), password
	switch {
	case m.process != nil:
		job.Watch = m.process.pid()
	case l.tls:
		ca, err := os.ReadFile(b.kafka.CA)
		if err != nil {
			return nil, err
		}
		job.Target.Bootstrap, job.Target.CA = b.kafka.BootstrapSASLTLS()[0], string(ca)
	default:
		job.Target.Bootstrap = b.kafka.BootstrapSASL()[0]
	}
	got, err := ask[Measured](ctx, "logins", job, b.Warmup+b.Window+measureTimeout)
	return &got, err
}

func (b *bench) latency(ctx context.Context, way string) (*Latencies, error) {
	job := Job{Target: b.middles[way].target, Topic: topicName(way, latencyTopic()), Rate: b.Rate, Warmup: b.Warmup, Window: b.LatencyWindow}
	got, err := ask[Latencies](ctx, "latency", job, b.Warmup+b.LatencyWindow+measureTimeout)
	return &got, err
}

const (
	measureTimeout = 20 * time.Second // beyond the window
	settle         = time.Second      // from the last idle connection to reading the memory
	idleWarmup     = 16               // connections while memory is read first, so that code and pools are there
)

// idle measures the memory of connections on a process of its own, since one that has worked hides them in what it
// has not given back.
func (b *bench) idle(ctx context.Context, way string) (got *Idle, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout+measureTimeout+time.Duration(b.Connections)*20*time.Millisecond)
	defer cancel()
	m, err := b.start(ctx, way)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.stop()) }()
	measure := func(connections int, resident *int64, open *int) error {
		c, err := startSelf("idle", Job{Target: m.target, Topic: topicName(way, latencyTopic()), Count: connections})
		if err != nil {
			return err
		}
		var up connected
		if err := c.read(ctx, &up); err != nil {
			return err
		}
		if err = wait(ctx, settle); err == nil {
			*resident, err = residentBytes(m.process.pid())
		}
		if err == nil {
			*open, err = descriptors(m.process.pid())
		}
		return errors.Join(err, c.stop())
	}
	got = &Idle{Connections: b.Connections}
	if got.Fresh, err = residentBytes(m.process.pid()); err != nil {
		return nil, err
	}
	if err := measure(idleWarmup, &got.Before, &got.DescriptorsBefore); err != nil {
		return nil, err
	}
	return got, measure(b.Connections, &got.After, &got.DescriptorsAfter)
}

// starting starts a gateway of many applications in an empty folder, and once more with what it has saved there.
func (b *bench) starting(ctx context.Context) (*Start, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readyTimeout)
	defer cancel()
	dir, err := gatewayFolder(b.dir, documents(b.kafka.Bootstrap(), b.topics, startApplications-1), nil)
	if err != nil {
		return nil, err
	}
	got := &Start{}
	measure := func(answer, login *time.Duration) (err error) {
		begun := time.Now()
		c, serves, err := serve(b.Gateway, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		if err := awaitServing(ctx, c, serves); err != nil {
			return err
		}
		target := Target{Bootstrap: serves.Bootstrap, User: userOf(mechanismPlain), Password: password}
		answered, in, err := target.arrive(ctx, mechanismPlain)
		if err != nil {
			return err
		}
		*answer, *login = answered.Sub(begun), in.Sub(begun)
		got.Resident, err = residentBytes(c.pid())
		return err
	}
	if err := measure(&got.FirstAnswer, &got.FirstLogin); err != nil {
		return nil, err
	}
	return got, measure(&got.SavedAnswer, &got.SavedLogin)
}

// round measures everything once, idle connections and starts in every second round only. Ways take turns within a workload, and begin at another one each time, so that
// whatever else the machine does meets all of them.
func (b *bench) round(ctx context.Context, round int) error {
	turn := round
	each := func(workload string, ways []string, measure func(way string, s *Sample) error) error {
		if len(ways) == 0 {
			return nil
		}
		b.logf("round %d of %d: %s", round+1, b.Rounds, workload)
		for i := range ways {
			way := ways[(i+len(ways)-turn%len(ways))%len(ways)]
			s := Sample{Round: round + 1, Workload: workload, Way: way}
			if err := measure(way, &s); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				s = Sample{Round: s.Round, Workload: workload, Way: way, Error: err.Error()}
				b.logf("%s, %s: %v", workload, way, err)
			}
			b.samples = append(b.samples, s)
			if p := b.middles[way].process; p != nil {
				select {
				case <-p.exited:
					return fmt.Errorf("the %s has ended (%w); it wrote:\n%s", way, p.err, p.stderr.String())
				default:
				}
			}
		}
		turn++
		return nil
	}
	for _, w := range b.Workloads.throughput {
		if err := each(w.Name, b.Ways, func(way string, s *Sample) (err error) {
			s.Measured, err = b.load(ctx, way, w, b.Window)
			return err
		}); err != nil {
			return err
		}
	}
	if b.Workloads.latency {
		if err := each(latencyName, b.Ways, func(way string, s *Sample) (err error) {
			s.Latencies, err = b.latency(ctx, way)
			return err
		}); err != nil {
			return err
		}
	}
	for _, l := range b.Workloads.logins {
		if err := each(l.name, b.loginWays(l), func(way string, s *Sample) (err error) {
			s.Logins, err = b.logins(ctx, way, l)
			return err
		}); err != nil {
			return err
		}
	}
	if round%2 != 0 {
		return nil // what follows varies little and takes long
	}
	if b.Workloads.idle {
		if err := each(idleName, b.Ways[1:], func(way string, s *Sample) (err error) {
			s.Idle, err = b.idle(ctx, way)
			return err
		}); err != nil {
			return err
		}
	}
	if b.startMeasured() {
		return each(startName, []string{gateway}, func(_ string, s *Sample) (err error) {
			s.Start, err = b.starting(ctx)
			return err
		})
	}
	return nil
}
