package gateway

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
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
	if n := w.gateway.budget.InUse(); n > 2<<20 {
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
