package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// options are those of every client.
func (t Target) options() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(t.Bootstrap), kgo.ClientID("bench")}
	if t.Via != "" || t.CA != "" {
		opts = append(opts, kgo.Dialer(func(ctx context.Context, _, address string) (net.Conn, error) { return t.dial(ctx, address) }))
	}
	if t.User != "" {
		opts = append(opts, kgo.SASL(plain.Auth{User: t.User, Pass: t.Password}.AsMechanism()))
	}
	return opts
}

// dial connects to a broker of the target.
func (t Target) dial(ctx context.Context, address string) (net.Conn, error) {
	if t.Via != "" {
		address = t.Via
	}
	if t.CA == "" {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(t.CA)) {
		return nil, errors.New("the certificate to trust is not PEM")
	}
	return (&tls.Dialer{Config: &tls.Config{RootCAs: pool}}).DialContext(ctx, "tcp", address)
}

// Measured is what happened in a window.
type Measured struct {
	Records   int64         `json:"records"`       // or logins
	Payload   int64         `json:"payload_bytes"` // of acknowledged or received values
	Batches   int64         `json:"batches"`       // written or read on the wire, for the size they really have
	Elapsed   time.Duration `json:"elapsed_ns"`
	ClientCPU time.Duration `json:"client_cpu_ns"`
	MiddleCPU time.Duration `json:"middle_cpu_ns"`
	// MiddlePeak is the greatest resident memory of the process in the middle, the warm-up included; 0 if unknown.
	MiddlePeak int64 `json:"middle_peak_bytes,omitempty"`
}

func (m Measured) minus(o Measured) Measured {
	return Measured{m.Records - o.Records, m.Payload - o.Payload, m.Batches - o.Batches, m.Elapsed - o.Elapsed, m.ClientCPU - o.ClientCPU, m.MiddleCPU - o.MiddleCPU, 0}
}

func (m Measured) plus(o Measured) Measured {
	return Measured{m.Records + o.Records, m.Payload + o.Payload, m.Batches + o.Batches, m.Elapsed + o.Elapsed, m.ClientCPU + o.ClientCPU, m.MiddleCPU + o.MiddleCPU, 0}
}

var processStart = time.Now()

// batchCounter counts batches as the client writes and reads them.
type batchCounter struct{ n atomic.Int64 }

func (c *batchCounter) OnProduceBatchWritten(kgo.BrokerMetadata, string, int32, kgo.ProduceBatchMetrics) {
	c.n.Add(1)
}

func (c *batchCounter) OnFetchBatchRead(kgo.BrokerMetadata, string, int32, kgo.FetchBatchMetrics) {
	c.n.Add(1)
}

// reading reads the clocks; records and batches are those so far.
func (j Job) reading(records int64, batches *batchCounter) (Measured, error) {
	m := Measured{Records: records, Payload: records * int64(j.Workload.RecordBytes), Batches: batches.n.Load(), Elapsed: time.Since(processStart)}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return m, err
	}
	m.ClientCPU = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	if j.Watch == 0 {
		return m, nil
	}
	var err error
	m.MiddleCPU, err = cpuOf(j.Watch)
	return m, err
}

func runLoad(ctx context.Context, job Job, answer func(any) error) error {
	run := produceLoad
	if job.Workload.Consume {
		run = consumeLoad
	}
	m, err := run(ctx, job)
	if err != nil {
		return fmt.Errorf("%s: %w", job.Workload.Name, err)
	}
	return answer(m)
}

// produceOptions are those of a workload that writes, or of who fills the topic of one that reads.
func produceOptions(topic string, w Workload) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(linger),
		kgo.ProducerBatchMaxBytes(w.BatchBytes), kgo.MaxBufferedRecords(max(10_000, 16<<20/w.RecordBytes)),
		// One batch here, the next one there, so that batches are full.
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(int(w.BatchBytes), false, false, nil)),
	}
	if w.Acks == "1" {
		// Five in flight, as the idempotent producer has.
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return opts
}

// values returns a supply of values that do not compress. Not safe for concurrent use.
func values(size int) func() []byte {
	slab := make([]byte, 1<<20+size)
	_, _ = rand.Read(slab) // never fails
	at := 0
	return func() []byte {
		at = (at + 61) & (1<<20 - 1)
		return slab[at : at+size]
	}
}

// produceLoad writes as fast as it goes, for the warm-up and the window.
func produceLoad(ctx context.Context, job Job) (Measured, error) {
	batches := &batchCounter{}
	opts := append(job.Target.options(), produceOptions(job.Topic, job.Workload)...)
	client, err := kgo.NewClient(append(opts, kgo.WithHooks(batches))...)
	if err != nil {
		return Measured{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	var acked atomic.Int64
	first := make(chan struct{})
	var producing sync.WaitGroup
	defer producing.Wait()
	defer cancel(nil)
	producing.Go(func() {
		value, pool := values(job.Workload.RecordBytes), sync.Pool{New: func() any { return new(kgo.Record) }}
		done := func(r *kgo.Record, err error) {
			if err != nil {
				cancel(err) // without effect once we stop ourselves
				return
			}
			if acked.Add(1) == 1 {
				close(first)
			}
			*r = kgo.Record{}
			pool.Put(r)
		}
		for ctx.Err() == nil {
			r := pool.Get().(*kgo.Record)
			r.Value = value()
			client.Produce(ctx, r, done)
		}
	})
	select {
	case <-first:
	case <-ctx.Done():
		return Measured{}, context.Cause(ctx)
	}
	if err := wait(ctx, job.Warmup); err != nil {
		return Measured{}, err
	}
	begin, err := job.reading(acked.Load(), batches)
	if err != nil {
		return Measured{}, err
	}
	if err := wait(ctx, job.Window); err != nil {
		return Measured{}, err
	}
	end, err := job.reading(acked.Load(), batches)
	return end.minus(begin), err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// consumeLoad reads the whole topic, from its beginning each time, until it has read for as long as the window is.
// The time before the first records of each pass is not counted: logins, metadata, finding offsets.
func consumeLoad(ctx context.Context, job Job) (Measured, error) {
	var total Measured
	for total.Elapsed < job.Window {
		m, err := consumePass(ctx, job, job.Window-total.Elapsed)
		if err != nil {
			return total, err
		}
		total = total.plus(m)
	}
	return total, nil
}

func consumePass(ctx context.Context, job Job, limit time.Duration) (Measured, error) {
	batches := &batchCounter{}
	client, err := kgo.NewClient(append(job.Target.options(), kgo.ConsumeTopics(job.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithHooks(batches))...)
	if err != nil {
		return Measured{}, err
	}
	defer client.Close()
	want := job.Bytes / int64(job.Workload.RecordBytes)
	var got int64
	var begin Measured
	poll := func() error {
		// A small topic may be there as a whole with the first answers.
		fetches := client.PollRecords(ctx, int(want/8)+1)
		for _, e := range fetches.Errors() {
			return fmt.Errorf("%s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
		got += int64(fetches.NumRecords())
		return nil
	}
	for begun := false; got < want; {
		if err := poll(); err != nil {
			return begin, err
		}
		if !begun && got > 0 {
			begun = true
			if begin, err = job.reading(got, batches); err != nil {
				return begin, err
			}
		}
		if got > begin.Records && time.Since(processStart)-begin.Elapsed >= limit { // of which little may be left from the pass before
			break
		}
	}
	end, err := job.reading(got, batches)
	if m := end.minus(begin); err != nil || m.Records > 0 {
		return m, err
	}
	return begin, errors.New("the topic came in one piece: nothing was measured")
}
