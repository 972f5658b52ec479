package consistency

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/consistency/check"
)

// tenants are the two applications. Both use the same names for their topics, groups and transactional ids.
var tenants = []string{"red", "blue"}

// shared is the topic that both read; red writes it.
const shared = "shared"

// partitions are the topics with their numbers of partitions. Processor a makes "out" of "txn" and "loop"; processor b
// makes "loop" of what in "out" comes from "txn", and "sink" of the rest, so that they read each other's transactions.
var partitions = map[string]int32{"plain": 3, shared: 2, "txn": 3, "out": 2, "loop": 2, "sink": 2}

// key names a tenant's topic in a history.
func key(tenant, topic string) string {
	if topic == shared {
		return shared
	}
	return tenant + ":" + topic
}

// side is one way to the cluster: directly, or through gateways.
type side struct {
	name string
	// options are how a tenant's clients connect; pin is the gateway that they have to use, or -1.
	options func(tenant string, pin int) []kgo.Opt
	// topic and id are a tenant's names for a topic, and for a group or transactional id.
	topic func(tenant, topic string) string
	id    func(tenant, id string) string
}

// run is the workload on one side.
type run struct {
	tb   testing.TB
	side side
	seed uint64
	slow time.Duration // by how much writers think longer
	rec  *recorder

	writing, reading         context.Context
	stopWriting, stopReading context.CancelFunc
	writers, readers         sync.WaitGroup
}

// start begins the workload. The same seed leads to the same operations of each worker on every side; how many it gets done
// is decided by the cluster.
func start(tb testing.TB, s side, seed uint64, slow time.Duration, begin time.Time) *run {
	r := &run{tb: tb, side: s, seed: seed, slow: slow, rec: newRecorder(begin)}
	r.writing, r.stopWriting = context.WithCancel(context.Background())
	r.reading, r.stopReading = context.WithCancel(context.Background())
	work := func(group *sync.WaitGroup, name string, f func(name string)) {
		r.rec.joins(name)
		group.Go(func() { f(name) })
	}
	for _, t := range tenants {
		for i := range 2 {
			pin := -1
			if t == "red" { // red's stay with one gateway, to show what happens at the other one
				pin = i
			}
			work(&r.writers, fmt.Sprintf("%s/idempotent-%d", t, i), func(name string) { r.produce(t, name, pin) })
		}
		work(&r.writers, t+"/transactional-0", func(name string) { r.transact(t, name) })
		work(&r.readers, t+"/processor-a", func(name string) { r.process(t, name, "a", []string{"txn", "loop"}) })
		work(&r.readers, t+"/processor-b", func(name string) { r.process(t, name, "b", []string{"out"}) })
		work(&r.readers, t+"/committed-0", func(name string) { r.assign(t, name, true) })
		work(&r.readers, t+"/uncommitted-0", func(name string) { r.assign(t, name, false) })
		for i := range 2 {
			work(&r.readers, fmt.Sprintf("%s/readers-%d", t, i), func(name string) { r.subscribe(t, name, i) })
		}
	}
	return r
}

// random is the source of one worker's decisions.
func random(seed uint64, worker string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(worker))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func (r *run) client(tenant string, pin int, opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(r.all(tenant, pin, opts)...)
	if err != nil {
		panic(fmt.Errorf("bug: options of a client: %w", err))
	}
	return cl
}

func (r *run) all(tenant string, pin int, opts []kgo.Opt) []kgo.Opt {
	return slices.Concat([]kgo.Opt{
		kgo.RetryTimeout(30 * time.Second), kgo.MetadataMinAge(200 * time.Millisecond), kgo.MetadataMaxAge(5 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second), kgo.DialTimeout(5 * time.Second), kgo.RetryBackoffFn(backoff),
		kgo.SessionTimeout(10 * time.Second), kgo.HeartbeatInterval(time.Second), kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Millisecond),
	}, r.side.options(tenant, pin), opts)
}

func backoff(tries int) time.Duration { return min(time.Second, 50*time.Millisecond<<min(tries, 5)) }

// pace waits, and reports whether to go on.
func pace(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// produce sends records one by one with an idempotent producer and does not wait for their acknowledgements.
func (r *run) produce(tenant, name string, pin int) {
	cl := r.client(tenant, pin)
	defer cl.Close()
	rng := random(r.seed, name)
	for seq := 0; ; seq++ {
		topic := "plain"
		if tenant == "red" && rng.IntN(4) == 0 {
			topic = shared
		}
		partition, think := rng.Int32N(partitions[topic]), time.Duration(5+rng.IntN(20))*time.Millisecond*r.slow
		value := name + "-" + strconv.Itoa(seq)
		sent := r.rec.send(check.Send{Value: value, Tenant: tenant, Producer: name, Seq: seq, Topic: key(tenant, topic)})
		cl.Produce(context.Background(), &kgo.Record{Topic: r.side.topic(tenant, topic), Partition: partition, Value: []byte(value)}, func(rec *kgo.Record, err error) {
			if err != nil {
				r.rec.failed(name, err)
				return
			}
			r.rec.acked(sent, rec)
			r.rec.mu.Lock()
			r.rec.success(name)
			r.rec.mu.Unlock()
		})
		if !pace(r.writing, think) {
			flush, stop := context.WithTimeout(context.Background(), 60*time.Second)
			defer stop()
			if err := cl.Flush(flush); err != nil {
				r.tb.Errorf("%s, %s: flush: %v", r.side.name, name, err)
			}
			return
		}
	}
}

// transact writes transactions over several partitions and topics, and aborts one of four.
func (r *run) transact(tenant, name string) {
	id := kgo.TransactionalID(r.side.id(tenant, "tx"))
	open := func() *kgo.Client { return r.client(tenant, -1, id, kgo.TransactionTimeout(20*time.Second)) }
	cl := open()
	defer func() { cl.Close() }()
	rng := random(r.seed, name)
	seq, unsure := 0, false
	for n := 0; ; n++ {
		txn := fmt.Sprintf("%s.%d", name, n)
		records, abort, think := 2+rng.IntN(5), rng.IntN(4) == 0, time.Duration(20+rng.IntN(80))*time.Millisecond*r.slow
		var batch []*kgo.Record
		var sends []*check.Send
		for i := range records {
			topic := "txn"
			if tenant == "red" && i == 0 {
				topic = shared
			}
			value := name + "-" + strconv.Itoa(seq)
			batch = append(batch, &kgo.Record{Topic: r.side.topic(tenant, topic), Partition: rng.Int32N(partitions[topic]), Value: []byte(value)})
			sends = append(sends, &check.Send{Value: value, Tenant: tenant, Producer: name, Seq: seq, Topic: key(tenant, topic), Txn: txn})
			seq++
		}
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		outcome, err := r.transaction(ctx, cl, name, txn, batch, sends, abort)
		stop()
		if r.rec.ended(name, txn, outcome); err != nil {
			r.rec.failed(name, err)
			cl.Close()
			cl = open()
		}
		unsure = err != nil
		if !pace(r.writing, think) {
			break
		}
	}
	if unsure {
		if err := takeOver(cl); err != nil {
			r.tb.Errorf("%s, %s: take over the transactional id: %v", r.side.name, name, err)
		}
	}
}

// takeOver ends a transaction of which a former client does not know the end, as initTransactions of other clients does.
// Without it, the transaction's offsets keep the group waiting until it times out.
func takeOver(cl *kgo.Client) error {
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	_, _, err := cl.ProducerID(ctx)
	return err
}

// transaction is one. After an error the producer has to be replaced.
func (r *run) transaction(ctx context.Context, cl *kgo.Client, name, txn string, batch []*kgo.Record, sends []*check.Send, abort bool) (check.Outcome, error) {
	r.rec.open(txn, nil)
	if err := cl.BeginTransaction(); err != nil {
		return check.Aborted, err
	}
	for i := range sends {
		sends[i] = r.rec.send(*sends[i])
	}
	var failed error
	for _, res := range cl.ProduceSync(ctx, batch...) {
		i := slices.Index(batch, res.Record)
		if res.Err != nil {
			failed = res.Err
			r.rec.failed(name, res.Err)
			continue
		}
		r.rec.acked(sends[i], res.Record)
	}
	if abort || failed != nil {
		return check.Aborted, cl.EndTransaction(ctx, kgo.TryAbort)
	}
	r.rec.committing(txn)
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return check.Unknown, err
	}
	return check.Committed, nil
}

// poll takes what there is and turns it into what a history keeps.
func (r *run) poll(name, tenant string, poll func(context.Context) kgo.Fetches, p check.Poll) (check.Poll, kgo.Fetches) {
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	fetches := poll(ctx)
	fetches.EachError(func(_ string, _ int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			r.rec.failed(name, err)
		}
	})
	p.Tenant = tenant
	fetches.EachRecord(func(rec *kgo.Record) {
		p.Seen = append(p.Seen, check.Seen{Log: check.Log{Topic: r.logTopic(tenant, rec.Topic), Partition: rec.Partition}, Offset: rec.Offset, Value: string(rec.Value)})
	})
	return p, fetches
}

// logTopic is the history's name of a topic, from the tenant's.
func (r *run) logTopic(tenant, name string) string {
	for topic := range partitions {
		if r.side.topic(tenant, topic) == name {
			return key(tenant, topic)
		}
	}
	return "unknown topic " + name
}

func isolation(committed bool) kgo.Opt {
	if committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// assign consumes partitions of its choice, seeks, and takes partitions away from itself and back.
func (r *run) assign(tenant, name string, committed bool) {
	topics := []string{"plain", shared, "txn", "out"}
	from, next := map[string]map[int32]kgo.Offset{}, map[check.Log]int64{}
	for _, topic := range topics {
		at := map[int32]kgo.Offset{}
		for p := range partitions[topic] {
			at[p] = kgo.NewOffset().At(0)
			next[check.Log{Topic: key(tenant, topic), Partition: p}] = 0
		}
		from[r.side.topic(tenant, topic)] = at
	}
	cl := r.client(tenant, -1, kgo.ConsumePartitions(from), isolation(committed))
	defer cl.Close()
	rng := random(r.seed, name)
	epoch, due := 0, clone(next)
	taken := map[check.Log]bool{} // taken back, and nothing of it has come since: the client does so with its next metadata, and would forget a seek before that
	for until := 15 + rng.IntN(25); r.reading.Err() == nil; until-- {
		p, _ := r.poll(name, tenant, cl.PollFetches, check.Poll{Consumer: name, Committed: committed, Epoch: epoch, From: due})
		r.rec.polled(name, p)
		due = nil
		for _, s := range p.Seen {
			next[s.Log] = s.Offset + 1
			delete(taken, s.Log)
		}
		if until > 0 {
			continue
		}
		topic, reassign, back := topics[rng.IntN(len(topics))], rng.IntN(3) == 0, rng.Float64()
		partition := rng.Int32N(partitions[topic])
		until = 15 + rng.IntN(25)
		log, name := check.Log{Topic: key(tenant, topic), Partition: partition}, r.side.topic(tenant, topic)
		if next[log] == 0 || taken[log] {
			continue // nothing to go back to, or not there yet
		}
		next[log] -= int64(back * float64(min(next[log], 200))) // not all of it, or every consumer would be behind for ever
		if reassign {
			cl.RemoveConsumePartitions(map[string][]int32{name: {partition}})
			cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{name: {partition: kgo.NewOffset().At(next[log])}})
			taken[log] = true
		} else {
			cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{name: {partition: {Epoch: -1, Offset: next[log]}}})
		}
		epoch, due = epoch+1, clone(next)
	}
}

func clone(m map[check.Log]int64) map[check.Log]int64 {
	out := make(map[check.Log]int64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// subscribe is one member of the group of readers. The second one leaves now and then, and comes back.
func (r *run) subscribe(tenant, name string, member int) {
	rng := random(r.seed, name)
	for life := 0; r.reading.Err() == nil; life++ {
		polls := 20 + rng.IntN(60)
		var epoch atomic.Int64
		moved := func(context.Context, *kgo.Client, map[string][]int32) { epoch.Add(1) }
		cl := r.client(tenant, -1, kgo.ConsumerGroup(r.side.id(tenant, "readers")), kgo.ConsumeTopics(r.side.topic(tenant, "plain"), r.side.topic(tenant, shared)),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), isolation(true), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.OnPartitionsAssigned(moved), kgo.OnPartitionsRevoked(moved), kgo.OnPartitionsLost(moved))
		for n := 0; r.reading.Err() == nil && (member == 0 || n < polls); n++ {
			p, _ := r.poll(name, tenant, cl.PollFetches, check.Poll{Consumer: fmt.Sprintf("%s.%d", name, life), Group: tenant + "/readers", Committed: true})
			p.Epoch = int(epoch.Load())
			r.rec.polled(name, p)
			if n%3 == 2 && len(p.Seen) > 0 {
				ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
				if err := cl.CommitUncommittedOffsets(ctx); err != nil {
					r.rec.failed(name, err)
				}
				stop()
			}
			cl.AllowRebalance()
		}
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			r.rec.failed(name, err)
		}
		stop()
		cl.CloseAllowingRebalance()
	}
}

// process reads records, writes what it makes of them and commits their offsets, in one transaction each time. It aborts one
// of six.
func (r *run) process(tenant, name, processor string, inputs []string) {
	topics := make([]string, len(inputs))
	for i, topic := range inputs {
		topics[i] = r.side.topic(tenant, topic)
	}
	var epoch atomic.Int64
	moved := func(context.Context, *kgo.Client, map[string][]int32) { epoch.Add(1) }
	given := func(context.Context, *kgo.Client, map[string][]int32) {
		epoch.Add(1)
		r.rec.assigned(name)
	}
	open := func() *kgo.GroupTransactSession {
		epoch.Add(1)
		s, err := kgo.NewGroupTransactSession(r.all(tenant, -1, []kgo.Opt{
			kgo.TransactionalID(r.side.id(tenant, processor)), kgo.TransactionTimeout(20 * time.Second),
			kgo.ConsumerGroup(r.side.id(tenant, processor)), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			isolation(true),
			kgo.OnPartitionsAssigned(given), kgo.OnPartitionsRevoked(moved), kgo.OnPartitionsLost(moved),
		})...)
		if err != nil {
			panic(fmt.Errorf("bug: options of a session: %w", err))
		}
		return s
	}
	s := open()
	defer func() { s.Close() }()
	rng := random(r.seed, name)
	seq, txns, unsure := 0, 0, false
	for r.reading.Err() == nil {
		before := epoch.Load()
		p, fetches := r.poll(name, tenant, func(ctx context.Context) kgo.Fetches { return s.PollRecords(ctx, 100) },
			check.Poll{Consumer: name, Group: tenant + "/" + processor, Committed: true})
		if p.Epoch = int(before); epoch.Load() != before { // it was moved meanwhile: of an epoch of its own
			p.Epoch = int(epoch.Add(1))
			epoch.Add(1)
		}
		r.rec.mu.Lock()
		p.At = r.rec.now()
		if len(p.Seen) > 0 {
			r.rec.polls = append(r.rec.polls, p)
		}
		r.rec.mu.Unlock()
		if len(p.Seen) == 0 {
			continue
		}
		txn, abort := fmt.Sprintf("%s.%d", name, txns), rng.IntN(6) == 0
		txns++
		reads := make([]string, len(p.Seen))
		for i, seen := range p.Seen {
			reads[i] = seen.Value
		}
		r.rec.open(txn, reads)
		err := s.Begin()
		outcome := check.Aborted
		if err == nil {
			ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
			var produced atomic.Bool // an error
			fetches.EachRecord(func(in *kgo.Record) {
				topic, key0 := r.result(processor, tenant, in)
				value := name + "-" + strconv.Itoa(seq)
				sent := r.rec.send(check.Send{Value: value, Tenant: tenant, Producer: name, Seq: seq, Topic: key(tenant, topic), Txn: txn, Source: string(in.Value)})
				seq++
				s.Produce(ctx, &kgo.Record{Topic: r.side.topic(tenant, topic), Partition: rng.Int32N(partitions[topic]), Key: key0, Value: []byte(value)}, func(rec *kgo.Record, err error) {
					if err != nil {
						produced.Store(true)
						r.rec.failed(name, err)
						return
					}
					r.rec.acked(sent, rec)
				})
			})
			if err = s.Client().Flush(ctx); err == nil {
				try := kgo.TransactionEndTry(!abort && !produced.Load())
				if try {
					r.rec.committing(txn)
					outcome = check.Unknown
				}
				var committed bool
				committed, err = s.End(ctx, try)
				if err == nil {
					if outcome = check.Aborted; committed {
						outcome = check.Committed
					}
				}
			}
			stop()
		}
		if outcome != check.Committed {
			epoch.Add(1) // what was not committed comes again
		}
		r.rec.ended(name, txn, outcome)
		if unsure = err != nil; unsure {
			r.rec.failed(name, err)
			s.Close()
			s = open()
			if err := takeOver(s.Client()); err != nil {
				r.rec.failed(name, err)
			}
		}
	}
	if unsure {
		if err := takeOver(s.Client()); err != nil {
			r.tb.Errorf("%s, %s: take over the transactional id: %v", r.side.name, name, err)
		}
	}
}

// result says where a processor's result goes; its key says that it has been around once.
func (r *run) result(processor, tenant string, in *kgo.Record) (topic string, key []byte) {
	if in.Topic == r.side.topic(tenant, "loop") || len(in.Key) > 0 {
		key = []byte("again")
	}
	switch {
	case processor == "a":
		return "out", key
	case key == nil:
		return "loop", key
	default:
		return "sink", key
	}
}

// finish ends the workload: writers first, then readers and processors once they have done all there is.
func (r *run) finish(within time.Duration) {
	r.stopWriting()
	r.writers.Wait()
	deadline := time.Now().Add(within)
	for {
		behind := r.rec.behind()
		if len(behind) == 0 {
			break
		}
		if time.Now().After(deadline) {
			r.tb.Errorf("%s: %d records have not arrived %v after the last write: %q", r.side.name, len(behind), within, behind[:min(5, len(behind))])
			break
		}
		time.Sleep(100 * time.Millisecond) // several workers, no single event
	}
	r.stopReading()
	r.readers.Wait()
}

// groups returns how far the groups have come, as they see it themselves.
func (r *run) groups() []check.Group {
	var out []check.Group
	for _, t := range tenants {
		cl := r.client(t, -1)
		for _, name := range []string{"readers", "a", "b"} {
			ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
			offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, r.side.id(t, name))
			stop()
			if err != nil {
				r.tb.Errorf("%s: offsets of %s's group %s: %v", r.side.name, t, name, err)
				continue
			}
			g := check.Group{Name: t + "/" + name, Committed: true, Offsets: map[check.Log]int64{}}
			if name != "readers" {
				g.Processor = t + "/processor-" + name
			}
			offsets.Each(func(o kadm.OffsetResponse) {
				if o.Err == nil && o.At >= 0 {
					g.Offsets[check.Log{Topic: r.logTopic(t, o.Topic), Partition: o.Partition}] = o.At
				}
			})
			if len(g.Offsets) == 0 {
				r.tb.Errorf("%s: %s's group %s has committed nothing", r.side.name, t, name)
			}
			out = append(out, g)
		}
		cl.Close()
	}
	return out
}
