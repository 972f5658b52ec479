package robust

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// Consumers that ask for 50 MB and read slowly do not take the gateway's memory.
func TestGreedyConsumers(t *testing.T) {
	beside(t)
	report := greedyConsumers(t)
	if harness.Full() { // and where memory is short, it is slower and goes on
		report += "\n\nWith GOMEMLIMIT=64MiB: " + greedyConsumers(t, "env", "GOMEMLIMIT=64MiB")
	}
	harness.Report(t, "memory", report)
}

func greedyConsumers(t *testing.T, wrap ...string) string {
	t.Helper()
	const partitions, most = 8, 256 << 20
	consumers, lasting := 16, 4*time.Second
	if harness.Full() {
		consumers, lasting = 50, 40*time.Second
	}
	w := start(t, options{partitions: partitions, wrap: wrap})
	filler := w.direct(kgo.ProducerBatchMaxBytes(2<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 64 {
		filler.Produce(t.Context(), &kgo.Record{Topic: backing, Partition: int32(i % partitions), Value: make([]byte, 900<<10)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := filler.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := w.rest()
	idle := rss(t, w.Pid())
	greedy := fetchOf(0, 50<<20)
	greedy.Topics[0].Partitions = nil
	for p := range int32(partitions) {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.PartitionMaxBytes, partition.CurrentLeaderEpoch = p, 50<<20, -1
		greedy.Topics[0].Partitions = append(greedy.Topics[0].Partitions, partition)
	}
	// Half of them name topics by id (KIP-516), as clients of today do.
	byID := *greedy
	byID.Version = 13
	byID.Topics = []kmsg.FetchRequestTopic{greedy.Topics[0]}
	byID.Topics[0].TopicID = w.topicID(troubled)
	var answers, bytes, ended atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(lasting)
	for i := range consumers {
		request := []*kmsg.FetchRequest{greedy, &byID}[i%2]
		all.Go(func() {
			conn, err := net.Dial("tcp", w.Bootstrap)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			s := &session{conn: conn, user: troubled, patience: 60 * time.Second}
			if err := s.login(); err != nil {
				t.Error(err)
				return
			}
			for mine := int64(0); time.Now().Before(end) || mine < 1<<20; {
				var n int64
				if _, err = s.send(request); err == nil {
					n, err = slowly(conn, mine, end)
				}
				mine += n
				bytes.Add(n)
				if err != nil {
					ended.Add(1)
					t.Logf("a consumer's connection has ended: %v", err)
					return
				}
				answers.Add(1)
			}
		})
	}
	all.Wait()
	peak, err := statusOf(w.Pid(), "VmHWM")
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%d consumers with fetch.max.bytes of 50 MB, each reading 2 MB a second, were given %d MB in %d answers in %v: the process had %d MB before and %d MB at its peak; %d connections ended.",
		consumers, bytes.Load()>>20, answers.Load(), lasting, idle>>20, peak>>20, ended.Load())
	t.Log(line)
	if bytes.Load() < int64(consumers)<<20 {
		t.Error("next to nothing was read")
	}
	if ended.Load() > 0 {
		t.Errorf("%d connections have ended", ended.Load())
	}
	if peak > most {
		t.Errorf("%d MB at the peak, at most %d", peak>>20, most>>20)
	}
	if strings.Contains(w.Log(), "panic") {
		t.Error("a panic")
	}
	w.backTo(before, 30*time.Second)
	return line
}

// slowly reads one answer, 100 KB every 50 ms, until it is over or time is; no less than 1 MB with those read before.
func slowly(conn net.Conn, before int64, end time.Time) (read int64, err error) {
	conn.SetReadDeadline(end.Add(60 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return 0, err
	}
	left := int64(binary.BigEndian.Uint32(size[:]))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for left > read && (time.Now().Before(end) || before+read < 1<<20) {
		n, err := io.CopyN(io.Discard, conn, min(left-read, 100<<10))
		read += n
		if err != nil {
			return read, err
		}
		<-tick.C
	}
	return read, nil
}

func rss(t *testing.T, pid int) int64 {
	t.Helper()
	n, err := statusOf(pid, "VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	return n
}
