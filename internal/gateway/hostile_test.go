package gateway

import (
	"io"
	"math/rand/v2"
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
