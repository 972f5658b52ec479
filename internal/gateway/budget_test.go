package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// A small request may decode into much: that counts until it is answered.
func TestDecodedRequestsCount(t *testing.T) {
	limits := DefaultLimits()
	limits.MemoryBytesPerApplication = 1 << 20
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")))
	commit := func(partitions int) *kmsg.OffsetCommitRequest {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group = 8, "g"
		ct := kmsg.NewOffsetCommitRequestTopic()
		ct.Topic = "orders"
		for range partitions {
			ct.Partitions = append(ct.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
		}
		req.Topics = append(req.Topics, ct)
		return req
	}
	arrived, proceed := make(chan struct{}), make(chan struct{})
	w.fake.ControlKey(8, func(kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		arrived <- struct{}{}
		<-proceed
		return nil, nil, false
	})
	for _, c := range []struct {
		name       string
		partitions int
		counts     bool
	}{{"small", 10, false}, {"large", 4000, true}} {
		conn := w.rawLogin("acme")
		send(conn, 1, commit(c.partitions))
		<-arrived
		eventually(t, c.name+": does not count as it should", func() bool {
			n := w.gateway.budget.InUse()
			return c.counts && n > 150<<10 || !c.counts && n == 0
		})
		if !c.counts {
			proceed <- struct{}{}
			if _, err := receive(conn, 1, commit(0)); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			continue
		}
		// Whoever leaves without an answer gives back.
		conn.Close()
		eventually(t, c.name+": not given back", func() bool { return w.gateway.budget.InUse() == 0 })
		proceed <- struct{}{}
	}
	conn := w.rawLogin("acme")
	send(conn, 1, commit(40_000))
	conn.SetReadDeadline(time.Now().Add(8 * time.Second)) // before decodeWait is over
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want a request that decodes into more than there is refused at once", err)
	}
	eventually(t, "not given back", func() bool { return w.gateway.budget.InUse() == 0 })
}

// Requests that never end fill their application's memory and nobody else's.
func TestOneApplicationDoesNotTakeTheMemoryOfOthers(t *testing.T) {
	limits := DefaultLimits()
	limits.MemoryBytes, limits.MemoryBytesPerApplication = 8<<20, 2<<20
	w := startLimited(t, limits, plaintext, credential("greedy", open("greedy")), credential("acme", open("acme")))
	var unfinished []net.Conn
	for range 3 {
		conn := w.rawLogin("greedy")
		conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, 4<<20), 0) // Produce
		conn.Write(append(b, make([]byte, 900<<10)...))
		unfinished = append(unfinished, conn)
	}
	eventually(t, "nothing is held", func() bool { return w.gateway.budget.InUse() > 1<<20 })
	produceSome(t, w.client("acme", kgo.ProducerBatchMaxBytes(1<<20)), "orders", 3)
	big := &kgo.Record{Topic: "orders", Value: make([]byte, 900<<10)}
	if err := w.client("acme", kgo.ProducerBatchCompression(kgo.NoCompression())).ProduceSync(bounded(t), big).FirstErr(); err != nil {
		t.Errorf("a large record of another application: %v", err)
	}
	// acme's own connections may be reading at this moment.
	if n := w.gateway.budget.InUse(); n > 2<<20+512<<10 {
		t.Errorf("%d bytes held, more than one application may take", n)
	}
	for _, conn := range unfinished {
		conn.Close()
	}
	eventually(t, "memory or applications are left over", func() bool {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		_, there := w.gateway.applications["greedy"]
		return !there && w.gateway.budget.InUse() == 0
	})
}
