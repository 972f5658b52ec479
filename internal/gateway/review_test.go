package gateway

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// The refusal of a later topic must not leave the transaction open upstream:
// the next commit would commit what was aborted.
func TestAbortAfterALaterTopicWasRefusedEndsTheTransaction(t *testing.T) {
	for name, topics := range map[string][]string{"allowed, then refused": {"orders", "vehicles"}, "refused only": {"vehicles"}} {
		t.Run(name, func(t *testing.T) {
			acme := app("acme",
				topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
				topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Never))
			w := start(t, credential("acme", acme))
			cl, txn := w.client("acme"), "tx"
			init := kmsg.NewPtrInitProducerIDRequest()
			init.TransactionalID, init.TransactionTimeoutMillis = &txn, 60_000
			producer, err := init.RequestWith(bounded(t), cl)
			if err != nil || producer.ErrorCode != 0 {
				t.Fatal(err, producer)
			}
			for _, topic := range topics {
				add := kmsg.NewPtrAddPartitionsToTxnRequest()
				add.TransactionalID, add.ProducerID, add.ProducerEpoch = txn, producer.ProducerID, producer.ProducerEpoch
				at := kmsg.NewAddPartitionsToTxnRequestTopic()
				at.Topic, at.Partitions = topic, []int32{0}
				add.Topics = append(add.Topics, at)
				resp, err := add.RequestWith(bounded(t), cl)
				if err != nil {
					t.Fatal(err)
				}
				if refused := resp.Topics[0].Partitions[0].ErrorCode != 0; refused != (topic == "vehicles") {
					t.Fatalf("add %s: %+v", topic, resp.Topics[0])
				}
			}
			end := kmsg.NewPtrEndTxnRequest()
			end.TransactionalID, end.ProducerID, end.ProducerEpoch = txn, producer.ProducerID, producer.ProducerEpoch
			resp, err := end.RequestWith(bounded(t), cl)
			if err != nil || resp.ErrorCode != 0 {
				t.Errorf("abort: %v %+v", err, resp)
			}
			described, err := kadm.NewClient(w.direct()).DescribeTransactions(bounded(t), acme.TransactionalID(txn))
			if err != nil {
				t.Fatal(err)
			}
			if state := described[acme.TransactionalID(txn)].State; state == "Ongoing" {
				t.Error("the transaction is still open on the target cluster")
			}
		})
	}
}

// A grant may change after a request was decided and before its answer is held.
func TestHoldEndsWhenTheGrantChangedJustBefore(t *testing.T) {
	with := func(state grant.State) *grant.Credential {
		return credential("acme", app("acme", topic("orders", "phys.orders", state, grant.Granted, grant.Granted)))
	}
	w := start(t, with(grant.Suspended))
	var armed atomic.Bool
	onNow := func() {
		callers := make([]uintptr, 10)
		frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
		for frame, more := frames.Next(); more; frame, more = frames.Next() {
			// Its exchange looks at the clock right after its grant is pinned.
			if strings.HasSuffix(frame.Function, "(*clientConn).handle") && armed.CompareAndSwap(true, false) {
				w.swap(with(grant.Open))
			}
		}
	}
	w.onNow.Store(&onNow)
	conn := w.rawLogin("acme")
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MaxBytes, fetch.SessionEpoch = 11, 15_000, 1<<20, -1
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	ft.Topic, ft.Partitions = "orders", append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	armed.Store(true)
	begin := time.Now()
	w.roundTrip(conn, fetch)
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("held for %v although the topic is open", took)
	}
	if armed.Load() {
		t.Error("the grant has not changed meanwhile")
	}
}

// What waits in a closed ring has given its memory back: it must not be written,
// even if the socket would still take it.
func TestClosedRingWritesNothingMore(t *testing.T) {
	first, proceed := make(chan struct{}), make(chan struct{})
	written := make(chan int32, 2)
	r := newRing(4, one(func(p *pending) error {
		written <- p.correlationID
		if p.correlationID == 1 {
			close(first)
			<-proceed
		}
		return nil
	}))
	a, b := &pending{correlationID: 1}, &pending{correlationID: 2}
	r.push(a)
	r.push(b)
	done := make(chan struct{})
	go func() { defer close(done); r.complete(a, new([]byte)) }()
	<-first
	r.complete(b, new([]byte))
	r.close()
	close(proceed)
	<-done
	if len(written) != 1 {
		t.Error("an answer was written after the ring was closed")
	}
}

// One connection that fetches much behind a held answer must not fill the memory
// that all connections share.
func TestAnswersBehindAHeldOneAreBounded(t *testing.T) {
	with := func(state grant.State) *grant.Credential {
		return credential("acme", app("acme",
			topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
			topic("vehicles", "phys.vehicles", state, grant.Granted, grant.Granted)))
	}
	w := start(t, with(grant.Suspended))
	value := make([]byte, 900<<10)
	rand.Read(value)
	partition := kgo.RecordPartitioner(kgo.ManualPartitioner()) // 0
	if err := w.direct(partition).ProduceSync(bounded(t), &kgo.Record{Topic: "phys.orders", Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	fetch := func(wait int32, topics ...string) *kmsg.FetchRequest {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, wait, 1, 8<<20, -1
		for _, name := range topics {
			ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
			fp.PartitionMaxBytes = 1 << 20
			ft.Topic, ft.Partitions = name, append(ft.Partitions, fp)
			req.Topics = append(req.Topics, ft)
		}
		return req
	}
	for name, topics := range map[string][]string{"as they are": {"orders"}, "decoded": {"orders", "vehicles"}} {
		t.Run(name, func(t *testing.T) {
			leader := w.direct()
			md, err := kadm.NewClient(leader).Metadata(bounded(t), "phys.orders")
			if err != nil {
				t.Fatal(err)
			}
			host, port, _ := w.gateway.listeners[0].addressing.Advertise(md.Topics["phys.orders"].Partitions[0].Leader)
			conn := w.rawLoginAt("acme", net.JoinHostPort(host, fmt.Sprint(port)))
			const n = 30
			send(conn, 0, fetch(60_000, "vehicles")) // held, until the topic is open
			for i := range int32(n) {
				send(conn, i+1, fetch(100, topics...))
			}
			// An answer that need not be decoded is not even read: it waits at the
			// broker for its turn.
			bound := int64(maxReady / 2)
			if name == "decoded" {
				eventually(t, "few answers wait", func() bool { return w.gateway.budget.InUse() >= maxReady/2 })
				bound = 4 * maxReady
			}
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // for more to come
				if used := w.gateway.budget.InUse(); used > bound {
					t.Fatalf("%d bytes wait, of %d at most", used, bound)
				}
			}
			w.swap(with(grant.Open))
			defer w.swap(with(grant.Suspended))
			for i := range int32(n + 1) {
				resp, err := receive(conn, i, fetch(0))
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				if got := resp.(*kmsg.FetchResponse); i > 0 && (len(got.Topics) == 0 || len(got.Topics[0].Partitions[0].RecordBatches) < len(value)) {
					t.Fatalf("answer %d: %d %+v", i, got.ErrorCode, got.Topics[0].Partitions[0].ErrorCode)
				}
			}
			eventually(t, "memory is not given back", func() bool { return w.gateway.budget.InUse() == 0 })
		})
	}
}

// With its prefix such a name would have a negative length on the wire, which
// means null to some messages: a producer id without its transactional id.
func TestNamesThatLeaveNoRoomForThePrefixDoNotReachTheBroker(t *testing.T) {
	w := start(t, credential("acme", app("acme")))
	for n, accepted := range map[int]bool{maxString: true, maxString + 1: false, 1<<15 - 1: false} {
		init := kmsg.NewPtrInitProducerIDRequest()
		init.TransactionalID, init.TransactionTimeoutMillis = kmsg.StringPtr(strings.Repeat("x", n)), 1000
		if _, err := exchange(w.rawLogin("acme"), init); (err == nil) != accepted {
			t.Errorf("transactional id of %d bytes: %v", n, err)
		}
	}
}

// A request that could pass while it arrives is read as a whole, and refused.
func TestALargeRequestWithANameThatLeavesNoRoomDoesNotReachTheBroker(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	var produced atomic.Int32
	script := func(c *brokerConn, r brokerRequest) bool {
		produced.Add(1)
		return false
	}
	b.script.Store(&script)
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())))
	conn := w.rawLogin("acme")
	req := produceOf("orders", make([]byte, 1<<20))
	req.TransactionID = kmsg.StringPtr(strings.Repeat("x", maxString+1))
	conn.Write(framed(3, req)) // its end may meet a closed connection
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("got %d, %v", n, err)
	}
	eventually(t, "the connection is not over", func() bool {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		return len(w.gateway.conns) == 0
	})
	if n := produced.Load(); n != 0 {
		t.Errorf("%d requests reach the broker", n)
	}
}

func TestOnlyRecordsMakeLargeRequests(t *testing.T) {
	w := start(t, credential("acme", app("acme")))
	for key, want := range map[int16]int{3: largestWithout, 1: largestWithout, 14: 16 << 20} {
		conn := w.rawLogin("acme")
		conn.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, uint32(want+1)), uint16(key)))
		conn.SetReadDeadline(time.Now().Add(4 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("key %d: %v, want the connection closed before the rest is sent", key, err)
		}
	}
}
