package harness

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadTopic reads a topic from its start to where it ends now, with clients that direct makes; control records are
// left out. When a transaction is open, a read_committed reader waits for its end. It fails the test after 90 s.
func ReadTopic(tb testing.TB, direct func(...kgo.Opt) *kgo.Client, topic string, isolation kgo.IsolationLevel) []*kgo.Record {
	tb.Helper()
	// Control records are kept, because a partition may end with one.
	cl := direct(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		tb.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			tb.Fatal(o.Err)
		}
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var out []*kgo.Record
	for len(left) > 0 {
		for _, r := range cl.PollFetches(ctx).Records() {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		}
		if ctx.Err() != nil {
			tb.Fatalf("read %s: ends %v are not reached after %d records", topic, left, len(out))
		}
	}
	return out
}
