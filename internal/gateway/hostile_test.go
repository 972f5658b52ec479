package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// A broker is trusted with records and with nothing else: whatever bits it
// answers, the gateway goes on and no connection ends in a panic.
func TestCorruptedBrokerAnswersNeverStopTheGateway(t *testing.T) {
	w := start(t, credential("acme", app("acme",
		topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
		topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Granted))))
	produceSome(t, w.client("acme"), "orders", 3)
	w.corruptible.Store(true)

	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 12
	coordinator := kmsg.NewPtrFindCoordinatorRequest()
	coordinator.Version, coordinator.CoordinatorKeys = 6, []string{"g"}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MaxBytes, fetch.SessionEpoch = 12, 10, 1<<20, -1
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	ft.Topic, fp.PartitionMaxBytes = "orders", 1<<20
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	offsets := kmsg.NewPtrListOffsetsRequest()
	offsets.Version = 7
	ot, op := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	ot.Topic = "orders"
	ot.Partitions = append(ot.Partitions, op)
	offsets.Topics = append(offsets.Topics, ot)
	groups := kmsg.NewPtrListGroupsRequest()
	groups.Version = 4

	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(1, 2))
	corrupt := func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(2) == 0 {
			for range 1 + random.IntN(3) {
				b[random.IntN(len(b))] ^= byte(1 << random.IntN(8))
			}
		}
	}
	for range 150 {
		conn := w.rawLogin("acme")
		// The broker connection is dialled with the first request, so that it
		// works; what comes after may not.
		if _, err := exchange(conn, metadata); err != nil {
			t.Fatalf("before the corruption: %v", err)
		}
		w.corrupt.Store(&corrupt)
		for i, req := range []kmsg.Request{metadata, coordinator, fetch, offsets, groups} {
			send(conn, int32(i), req)
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		io.Copy(io.Discard, conn)
		w.corrupt.Store(nil)
		conn.Close()
		// A broker's address that was corrupted on the way is learned again.
		if err := w.cluster.Refresh(bounded(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 0 {
		t.Errorf("%v connections ended in a panic", n)
	}
	produceSome(t, w.client("acme"), "orders", 3)
}

// A panic may leave a lock behind that the connection's other goroutine waits
// for: the client is let go at once, the connection counted out soon.
func TestPanicEndsTheConnectionEvenIfItsOtherGoroutineIsStuck(t *testing.T) {
	const correlationID = 0x7a5bc3d1
	mark := binary.BigEndian.AppendUint32(nil, correlationID)
	for _, panics := range []string{"the client's", "the broker's"} {
		t.Run(panics, func(t *testing.T) {
			w := start(t, credential("acme", open("acme")))
			w.corruptible.Store(true)
			unblock, stuck := make(chan struct{}), make(chan struct{})
			arrived, proceed := make(chan struct{}), make(chan struct{})
			defer close(unblock)
			w.fake.ControlKey(10, func(kmsg.Request) (kmsg.Response, error, bool) { // FindCoordinator
				close(arrived)
				<-proceed
				return nil, nil, false
			})
			var once sync.Once
			stick := func() { once.Do(func() { close(stuck); <-unblock }) }
			onAnswer := func(b []byte) {
				switch {
				case !bytes.Contains(b, mark):
				case panics == "the client's":
					stick()
				default:
					panic("while reading from the broker")
				}
			}
			onNow := func() {
				if panics == "the broker's" {
					stick()
					return
				}
				w.onNow.Store(nil)
				panic("while serving the client")
			}
			conn := w.rawLogin("acme")
			coordinator, groups := kmsg.NewPtrFindCoordinatorRequest(), kmsg.NewPtrListGroupsRequest()
			coordinator.Version, coordinator.CoordinatorKeys, groups.Version = 6, []string{"g"}, 4
			send(conn, correlationID, coordinator)
			<-arrived
			w.corrupt.Store(&onAnswer)
			if panics == "the client's" {
				close(proceed)
				<-stuck
				w.onNow.Store(&onNow)
				send(conn, 2, groups)
			} else {
				w.onNow.Store(&onNow)
				send(conn, 2, groups)
				<-stuck
				close(proceed)
			}
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v, want the connection closed", err)
			}
			eventually(t, "the connection is still counted", func() bool { return w.gateway.Connections() == 0 })
			if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 1 {
				t.Errorf("%v panics", n)
			}
		})
	}
}

func TestRingSurvivesAPanicOfItsWriter(t *testing.T) {
	r := newRing(2, one(func(*pending) error { panic("while writing") }))
	p := &pending{}
	r.push(p)
	func() {
		defer func() { recover() }()
		r.complete(p, nil)
	}()
	r.close()
	r.drained()
}
