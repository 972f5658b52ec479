package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latencyBytes is the size of a value; the batch is made so small that it holds one record.
const (
	latencyBytes = 1 << 10
	latencyBatch = 1536
)

// Latencies are the times from the moment a record was due: to its acknowledgement, and to its arrival at a consumer
// that reads on from the end.
type Latencies struct {
	Records int       `json:"records"`
	Ack     Quantiles `json:"ack"`
	Arrival Quantiles `json:"arrival"`
}

// Quantiles are two of many durations.
type Quantiles struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

func quantiles(d []time.Duration) Quantiles {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[min(len(d)-1, int(q*float64(len(d))))] }
	return Quantiles{at(0.50), at(0.99)}
}

// latencyRun collects the times of one run, by the records' numbers.
type latencyRun struct {
	mu           sync.Mutex // guards what follows
	due          []time.Time
	ack, arrival []time.Duration // 0 until known
	missing      int             // of acks and arrivals of all records that were sent
	first        chan struct{}   // closed when a record has arrived
	all          chan struct{}   // closed when sending has ended and nothing is missing
	sent         bool
}

func (l *latencyRun) send(due time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due, l.ack, l.arrival = append(l.due, due), append(l.ack, 0), append(l.arrival, 0)
	l.missing += 2
	return len(l.due) - 1
}

func (l *latencyRun) note(times *[]time.Duration, number int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number >= len(*times) || (*times)[number] != 0 {
		return
	}
	(*times)[number] = max(1, now.Sub(l.due[number]))
	if times == &l.arrival && l.first != nil {
		close(l.first)
		l.first = nil
	}
	l.missing--
	l.check()
}

func (l *latencyRun) check() {
	if l.sent && l.missing == 0 {
		close(l.all)
		l.sent = false
	}
}

// runLatency sends records at a fixed rate, acks=all, one in each batch. Due times do not move when something is slow,
// so that a stall counts for every record that it holds up.
func runLatency(ctx context.Context, job Job, answer func(any) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var consuming sync.WaitGroup
	defer consuming.Wait()
	defer cancel(nil)

	consumer, err := kgo.NewClient(append(job.Target.options(), kgo.ConsumeTopics(job.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))...)
	if err != nil {
		return err
	}
	defer consumer.Close()
	producer, err := kgo.NewClient(append(job.Target.options(), kgo.DefaultProduceTopic(job.Topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(latencyBatch))...)
	if err != nil {
		return err
	}
	defer producer.Close()

	first := make(chan struct{})
	run := &latencyRun{first: first, all: make(chan struct{})}
	stamp := uint64(processStart.UnixNano()) // tells our records from those of the runs before
	consuming.Go(func() {
		for ctx.Err() == nil {
			fetches := consumer.PollFetches(ctx)
			now := time.Now()
			if errs := fetches.Errors(); len(errs) > 0 {
				cancel(fmt.Errorf("consume: %w", errs[0].Err))
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if len(r.Value) == latencyBytes && binary.BigEndian.Uint64(r.Value) == stamp {
					run.note(&run.arrival, int(binary.BigEndian.Uint64(r.Value[8:])), now)
				}
			})
		}
	})

	interval := time.Second / time.Duration(job.Rate)
	due := time.Now().Add(interval)
	send := func() error {
		if err := wait(ctx, time.Until(due)); err != nil {
			return err
		}
		number := run.send(due)
		value := make([]byte, latencyBytes)
		binary.BigEndian.PutUint64(value, stamp)
		binary.BigEndian.PutUint64(value[8:], uint64(number))
		producer.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			now := time.Now()
			if err != nil {
				cancel(fmt.Errorf("produce: %w", err))
				return
			}
			run.note(&run.ack, number, now)
		})
		due = due.Add(interval)
		return nil
	}
	// The warm-up lasts until the consumer stands at the end, at least.
	for begin, arrived := time.Now(), false; !arrived || time.Since(begin) < job.Warmup; {
		if err := send(); err != nil {
			return err
		}
		select {
		case <-first:
			arrived = true
		default:
		}
	}
	run.mu.Lock()
	from := len(run.due)
	for number, d := range run.arrival { // those sent before the consumer was there never arrive
		if d == 0 {
			run.arrival[number] = 1
			run.missing--
		}
	}
	run.mu.Unlock()
	due = time.Now().Add(interval)
	for range int(job.Window / interval) {
		if err := send(); err != nil {
			return err
		}
	}
	run.mu.Lock()
	run.sent = true
	run.check()
	run.mu.Unlock()
	select {
	case <-run.all:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if len(run.due) == from {
		return errors.New("the window is too short for a single record")
	}
	return answer(Latencies{len(run.due) - from, quantiles(run.ack[from:]), quantiles(run.arrival[from:])})
}
