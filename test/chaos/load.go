package chaos

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/test/harness"
)

// Load works through a gateway until it is stopped, and remembers what it was
// told.
type Load struct {
	tb    testing.TB
	addr  string
	end   context.CancelFunc // of the producers
	leave context.CancelFunc // of the consumer, once they are done
	done  sync.WaitGroup
	reads sync.WaitGroup

	mu        sync.Mutex               // guards what follows
	acked     map[string]acknowledged  // by value
	refused   map[string]bool          // value of records whose produce failed: in the log or not
	committed map[string]bool          // transactions whose commit was acknowledged
	aborted   map[string]bool          // transactions that were aborted, acknowledged
	open      map[string]bool          // transactions with no word on how they ended
	consumed  map[string]int           // deliveries to the group, by value
	gaps      map[string]time.Duration // longest time without progress, by worker
}

type acknowledged struct {
	partition int32
	offset    int64
}

func (l *Load) client(opts ...kgo.Opt) *kgo.Client {
	l.tb.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.addr), kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()),
		kgo.RetryTimeout(60 * time.Second), kgo.MetadataMinAge(200 * time.Millisecond), kgo.MetadataMaxAge(5 * time.Second),
		kgo.SessionTimeout(10 * time.Second), kgo.HeartbeatInterval(time.Second),
	}, opts...)...)
	if err != nil {
		l.tb.Fatal(err)
	}
	return cl
}

// startLoad begins to work on topic "plain" with idempotent producers and a
// group, and on topic "txn" with transactions.
func startLoad(tb testing.TB, addr string, producers int) *Load {
	tb.Helper()
	ctx, end := context.WithCancel(context.Background())
	reading, leave := context.WithCancel(context.Background())
	l := &Load{tb: tb, addr: addr, end: end, leave: leave,
		acked: map[string]acknowledged{}, refused: map[string]bool{}, committed: map[string]bool{}, aborted: map[string]bool{},
		open: map[string]bool{}, consumed: map[string]int{}, gaps: map[string]time.Duration{}}
	for i := range producers {
		l.done.Go(func() { l.produce(ctx, i) })
	}
	l.done.Go(func() { l.transact(ctx) })
	l.reads.Go(func() { l.consume(reading) })
	return l
}

// progress keeps the longest time between two successes of a worker.
type progress struct {
	l    *Load
	name string
	last time.Time
}

func (p *progress) made() { // with l.mu held
	now := time.Now()
	if !p.last.IsZero() {
		p.l.gaps[p.name] = max(p.l.gaps[p.name], now.Sub(p.last))
	}
	p.last = now
}

func (l *Load) produce(ctx context.Context, id int) {
	cl := l.client(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(time.Millisecond))
	defer cl.Close()
	p := &progress{l: l, name: "producer"}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for seq := 0; ; seq++ {
		select {
		case <-ctx.Done():
			flush, stop := context.WithTimeout(context.Background(), 60*time.Second)
			defer stop()
			if err := cl.Flush(flush); err != nil {
				l.tb.Errorf("producer %d: flush: %v", id, err)
			}
			return
		case <-tick.C:
		}
		value := fmt.Sprintf("p%d-%d", id, seq)
		cl.Produce(context.Background(), &kgo.Record{Topic: "plain", Key: fmt.Appendf(nil, "p%d-k%d", id, seq%7), Value: []byte(value)}, func(r *kgo.Record, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				l.refused[value] = true
				return
			}
			l.acked[value] = acknowledged{r.Partition, r.Offset}
			p.made()
		})
	}
}

// transact commits two transactions of three and aborts the third.
func (l *Load) transact(ctx context.Context) {
	var cl *kgo.Client
	defer func() {
		if cl != nil {
			cl.Close()
		}
	}()
	p := &progress{l: l, name: "transactions"}
	for n := 0; ctx.Err() == nil; n++ {
		if cl == nil {
			cl = l.client(kgo.TransactionalID("chaos-tx"), kgo.TransactionTimeout(20*time.Second))
		}
		id, commit := fmt.Sprintf("t%d", n), n%3 != 2
		err := cl.BeginTransaction()
		if err == nil {
			bounded, stop := context.WithTimeout(context.Background(), 40*time.Second)
			records := make([]*kgo.Record, 5)
			for i := range records {
				records[i] = &kgo.Record{Topic: "txn", Partition: int32(i % 3), Value: fmt.Appendf(nil, "%s-%d", id, i)}
			}
			err = cl.ProduceSync(bounded, records...).FirstErr()
			try := kgo.TransactionEndTry(commit && err == nil)
			if end := cl.EndTransaction(bounded, try); end != nil {
				err = end
			} else {
				l.mu.Lock()
				if bool(try) {
					l.committed[id] = true
				} else {
					l.aborted[id] = true
				}
				p.made()
				l.mu.Unlock()
				err = nil
			}
			stop()
		}
		if err != nil { // the outcome is unknown: a new producer fences this one
			l.mu.Lock()
			l.open[id] = true
			l.mu.Unlock()
			cl.Close()
			cl = nil
		}
	}
}

func (l *Load) consume(ctx context.Context) {
	cl := l.client(kgo.ConsumerGroup("chaos-group"), kgo.ConsumeTopics("plain"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.AutoCommitInterval(time.Second))
	defer cl.Close()
	p := &progress{l: l, name: "consumer"}
	idle := time.NewTimer(0)
	defer idle.Stop()
	deadline := time.Time{}
	for {
		if ctx.Err() != nil { // the producers have stopped: read what is left
			if deadline.IsZero() {
				deadline = time.Now().Add(90 * time.Second)
			}
			if l.caughtUp() || time.Now().After(deadline) {
				return
			}
		}
		poll, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
		fetches := cl.PollFetches(poll)
		stop()
		l.mu.Lock()
		for _, r := range fetches.Records() {
			l.consumed[string(r.Value)]++
			p.made()
		}
		l.mu.Unlock()
	}
}

// caughtUp reports whether every acknowledged record was delivered.
func (l *Load) caughtUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range l.acked {
		if l.consumed[v] == 0 {
			return false
		}
	}
	return true
}

// Flowing waits until everything works, again: records are acknowledged and
// delivered, transactions committed.
func (l *Load) Flowing(within time.Duration) {
	l.tb.Helper()
	counts := func() [3]int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return [3]int{len(l.acked), len(l.consumed), len(l.committed)}
	}
	before := counts()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(within)
	for {
		now := counts()
		if now[0] >= before[0]+50 && now[1] >= before[1]+50 && now[2] >= before[2]+2 {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			l.tb.Fatalf("in %v only %d records are acknowledged, %d delivered, %d transactions committed", within, now[0]-before[0], now[1]-before[1], now[2]-before[2])
		}
	}
}

// Verdict is what the load found.
type Verdict struct {
	Acked, Failed, Lost, Duplicates, Reordered, Undelivered, Redelivered int
	Committed, Aborted, Unknown, Torn, Resurrected                       int
	Gaps                                                                 map[string]time.Duration
}

func (v Verdict) bad() []string {
	var out []string
	for what, n := range map[string]int{"acknowledged records lost": v.Lost, "duplicates": v.Duplicates, "records out of order": v.Reordered,
		"acknowledged records not delivered": v.Undelivered, "torn or lost transactions": v.Torn, "aborted transactions that are visible": v.Resurrected} {
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	sort.Strings(out)
	return out
}

// Stop ends the load and compares what clients were told with what is in the
// cluster, read directly.
func (l *Load) Stop(direct func(...kgo.Opt) *kgo.Client, plainTopic, txnTopic string) Verdict {
	l.tb.Helper()
	l.end()
	l.done.Wait()
	l.leave()
	l.reads.Wait()
	v := Verdict{Acked: len(l.acked), Failed: len(l.refused), Committed: len(l.committed), Aborted: len(l.aborted), Unknown: len(l.open), Gaps: l.gaps}

	at := map[string][]acknowledged{}
	last := map[string]int{} // per producer and key: the sequence seen last
	for _, r := range harness.ReadTopic(l.tb, direct, plainTopic, kgo.ReadCommitted()) {
		value := string(r.Value)
		at[value] = append(at[value], acknowledged{r.Partition, r.Offset})
		_, seq, _ := strings.Cut(value, "-")
		n, _ := strconv.Atoi(seq)
		key := string(r.Key)
		if before, ok := last[key]; ok && n < before {
			v.Reordered++
		}
		last[key] = n
	}
	for value, where := range l.acked {
		found := at[value]
		if len(found) == 0 || found[0] != where {
			v.Lost++
		}
		if l.consumed[value] == 0 {
			v.Undelivered++
		}
		v.Redelivered += max(l.consumed[value]-1, 0)
	}
	for _, found := range at {
		v.Duplicates += len(found) - 1
	}

	parts := map[string]int{}
	for _, r := range harness.ReadTopic(l.tb, direct, txnTopic, kgo.ReadCommitted()) {
		id, _, _ := strings.Cut(string(r.Value), "-")
		parts[id]++
	}
	for id := range l.committed {
		if parts[id] != 5 {
			v.Torn++
		}
	}
	for id := range l.open {
		if parts[id] != 0 && parts[id] != 5 {
			v.Torn++
		}
	}
	for id := range l.aborted {
		if parts[id] != 0 {
			v.Resurrected++
		}
	}
	return v
}
