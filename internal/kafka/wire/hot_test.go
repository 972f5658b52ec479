package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func someBytes(r *rand.Rand, most int) []byte {
	b := make([]byte, r.IntN(most))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomFetch(r *rand.Rand, version int16) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version, resp.ThrottleMillis = version, r.Int32()
	if version >= 7 {
		resp.SessionID = r.Int32()
	}
	for range r.IntN(4) {
		t := kmsg.NewFetchResponseTopic()
		if version >= 13 {
			copy(t.TopicID[:], someBytes(r, 20))
		} else {
			t.Topic = string(bytes.Repeat([]byte("n"), r.IntN(200)))
		}
		for range r.IntN(4) {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.ErrorCode, p.HighWatermark = r.Int32(), int16(r.IntN(100)), r.Int64()
			for range r.IntN(3) {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID = r.Int64()
				p.AbortedTransactions = append(p.AbortedTransactions, a)
			}
			if version >= 12 && r.IntN(2) == 0 {
				p.CurrentLeader.LeaderID = r.Int32()
			}
			if r.IntN(4) > 0 {
				p.RecordBatches = someBytes(r, 3000)
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func TestFetchResponsesAreWalkedAsTheyAreDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for version := int16(4); version <= 18; version++ {
		for range 50 {
			want := randomFetch(r, version)
			b := want.AppendTo(nil)
			head, topics, ok := WalkFetchResponse(nil, version, b)
			if !ok {
				t.Fatalf("version %d: not walked", version)
			}
			if version >= 7 && head.SessionID != want.SessionID || head.ThrottleMillis != want.ThrottleMillis || len(topics) != len(want.Topics) {
				t.Fatalf("version %d: head %+v, %d topics", version, head, len(topics))
			}
			var patches []Patch
			for i, got := range topics {
				wt := &want.Topics[i]
				if string(got.Name) != wt.Topic || version >= 13 && got.ID != wt.TopicID || len(got.Partitions) != len(wt.Partitions) {
					t.Fatalf("version %d: topic %d is %+v", version, i, got)
				}
				for j, p := range got.Partitions {
					wp := &wt.Partitions[j]
					if p.Index != wp.Partition || p.ErrorCode != wp.ErrorCode || !bytes.Equal(p.Records, wp.RecordBatches) {
						t.Fatalf("version %d: partition %d is %+v", version, j, p)
					}
				}
				// Renamed by patches, it is what the decoder makes of it.
				if version >= 13 {
					wt.TopicID = [16]byte{9, byte(i)}
					patches = append(patches, Patch{got.At, got.Len, bytes.Clone(wt.TopicID[:])})
				} else {
					wt.Topic = "renamed" + string(bytes.Repeat([]byte("x"), r.IntN(150)))
					patches = append(patches, Patch{got.At, got.Len, AppendName(nil, wt.Topic, version >= 12)})
				}
			}
			gathered, size := Gather(nil, b, patches)
			out := bytes.Join(gathered, nil)
			if len(out) != size || !bytes.Equal(out, want.AppendTo(nil)) {
				t.Fatalf("version %d: patched body differs from the encoded one", version)
			}
		}
	}
}

func randomShareFetch(r *rand.Rand, version int16) *kmsg.ShareFetchResponse {
	resp := kmsg.NewPtrShareFetchResponse()
	resp.Version, resp.ThrottleMillis, resp.ErrorCode, resp.AcquisitionLockTimeoutMillis = version, r.Int32(), int16(r.IntN(100)), r.Int32()
	for range r.IntN(4) {
		t := kmsg.NewShareFetchResponseTopic()
		copy(t.TopicID[:], someBytes(r, 20))
		for range r.IntN(4) {
			p := kmsg.NewShareFetchResponseTopicPartition()
			p.Partition, p.ErrorCode, p.AcknowledgeErrorCode = r.Int32(), int16(r.IntN(2)), int16(r.IntN(2))
			p.CurrentLeader.LeaderID, p.Records = r.Int32(), someBytes(r, 3000)
			for range r.IntN(3) {
				p.AcquiredRecords = append(p.AcquiredRecords, kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{FirstOffset: r.Int64(), DeliveryCount: 1})
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	for range r.IntN(3) {
		resp.NodeEndpoints = append(resp.NodeEndpoints, kmsg.ShareFetchResponseNodeEndpoint{NodeID: r.Int32(), Host: "host", Rack: kmsg.StringPtr("rack")})
	}
	return resp
}

func TestShareFetchResponsesAreWalkedAsTheyAreDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for version := int16(1); version <= 2; version++ {
		for range 100 {
			want := randomShareFetch(r, version)
			b := want.AppendTo(nil)
			head, topics, ok := WalkShareFetchResponse(nil, version, b)
			if !ok || head.ErrorCode != want.ErrorCode || head.LockMillis != want.AcquisitionLockTimeoutMillis || head.Endpoints != len(want.NodeEndpoints) || len(topics) != len(want.Topics) {
				t.Fatalf("version %d: %v %+v, %d topics", version, ok, head, len(topics))
			}
			var patches []Patch
			for i, got := range topics {
				wt := &want.Topics[i]
				if got.ID != wt.TopicID || len(got.Partitions) != len(wt.Partitions) {
					t.Fatalf("version %d: topic %d is %+v", version, i, got)
				}
				for j, p := range got.Partitions {
					if wp := &wt.Partitions[j]; p.Index != wp.Partition || p.ErrorCode != max(wp.ErrorCode, wp.AcknowledgeErrorCode) || !bytes.Equal(p.Records, wp.Records) {
						t.Fatalf("version %d: partition %d is %+v", version, j, p)
					}
				}
				wt.TopicID = [16]byte{9, byte(i)}
				patches = append(patches, Patch{got.At, got.Len, bytes.Clone(wt.TopicID[:])})
			}
			gathered, _ := Gather(nil, b, patches)
			if !bytes.Equal(bytes.Join(gathered, nil), want.AppendTo(nil)) {
				t.Fatalf("version %d: patched body differs from the encoded one", version)
			}
			// An error text has to be replaced: that is not for a walk.
			message := "text"
			edits := []**string{&want.ErrorMessage}
			for i := range want.Topics {
				for j := range want.Topics[i].Partitions {
					edits = append(edits, &want.Topics[i].Partitions[j].ErrorMessage, &want.Topics[i].Partitions[j].AcknowledgeErrorMessage)
				}
			}
			for _, edit := range edits {
				*edit = &message
				if _, _, ok := WalkShareFetchResponse(nil, version, want.AppendTo(nil)); ok {
					t.Fatalf("version %d: a body with a text was walked", version)
				}
				*edit = nil
			}
			if _, _, ok := WalkShareFetchResponse(nil, version, append(b, 0)); ok {
				t.Fatalf("version %d: a body with something behind it was walked", version)
			}
		}
	}
}

func TestProduceRequestsAreWalkedAsTheyAreDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for version := int16(3); version <= 13; version++ {
		for range 50 {
			want := kmsg.NewPtrProduceRequest()
			want.Version, want.Acks, want.TimeoutMillis = version, -1, r.Int32()
			if r.IntN(2) == 0 {
				want.TransactionID = kmsg.StringPtr("tx")
			}
			for range r.IntN(4) {
				rt := kmsg.NewProduceRequestTopic()
				if version >= 13 {
					copy(rt.TopicID[:], someBytes(r, 20))
				} else {
					rt.Topic = string(bytes.Repeat([]byte("n"), r.IntN(200)))
				}
				for range r.IntN(4) {
					p := kmsg.NewProduceRequestTopicPartition()
					p.Partition, p.Records = r.Int32(), someBytes(r, 3000)
					rt.Partitions = append(rt.Partitions, p)
				}
				want.Topics = append(want.Topics, rt)
			}
			b := want.AppendTo(nil)
			var partitions []HotPartition
			head, topics, ok := WalkProduceRequest(nil, version, b, func(inTransaction bool, p HotPartition) bool {
				if inTransaction != (want.TransactionID != nil) {
					t.Fatalf("version %d: in a transaction: %v", version, inTransaction)
				}
				partitions = append(partitions, p)
				return true
			})
			if !ok || head.Acks != want.Acks || head.TimeoutMillis != want.TimeoutMillis || (head.TransactionalID == nil) != (want.TransactionID == nil) || len(topics) != len(want.Topics) {
				t.Fatalf("version %d: %v %+v", version, ok, head)
			}
			var patches []Patch
			if head.TransactionalID != nil {
				want.TransactionID = kmsg.StringPtr("longer-tx")
				patches = append(patches, Patch{0, head.TransactionalIDLen, AppendName(nil, "longer-tx", version >= 9)})
			}
			for i, got := range topics {
				wt := &want.Topics[i]
				for j := range wt.Partitions {
					if len(partitions) == 0 {
						t.Fatalf("version %d: partition %d of topic %d was not shown", version, j, i)
					}
					if p, wp := partitions[0], &wt.Partitions[j]; p.Index != wp.Partition || !bytes.Equal(p.Records, wp.Records) {
						t.Fatalf("version %d: partition %d is %+v", version, j, p)
					}
					partitions = partitions[1:]
				}
				if version >= 13 {
					wt.TopicID = [16]byte{9, byte(i)}
					patches = append(patches, Patch{got.At, got.Len, bytes.Clone(wt.TopicID[:])})
				} else {
					wt.Topic = "renamed"
					patches = append(patches, Patch{got.At, got.Len, AppendName(nil, wt.Topic, version >= 9)})
				}
			}
			if len(partitions) > 0 {
				t.Fatalf("version %d: %d partitions too many", version, len(partitions))
			}
			gathered, _ := Gather(nil, b, patches)
			if !bytes.Equal(bytes.Join(gathered, nil), want.AppendTo(nil)) {
				t.Fatalf("version %d: patched body differs from the encoded one", version)
			}
		}
	}
}

func TestProduceResponsesAreWalkedAsTheyAreDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for version := int16(3); version <= 13; version++ {
		for range 50 {
			want := kmsg.NewPtrProduceResponse()
			want.Version, want.ThrottleMillis = version, r.Int32()
			for range r.IntN(4) {
				t := kmsg.NewProduceResponseTopic()
				if version >= 13 {
					copy(t.TopicID[:], someBytes(r, 20))
				} else {
					t.Topic = string(bytes.Repeat([]byte("n"), r.IntN(200)))
				}
				for range r.IntN(4) {
					p := kmsg.NewProduceResponseTopicPartition()
					p.Partition, p.BaseOffset, p.LogStartOffset = r.Int32(), r.Int64(), r.Int64()
					t.Partitions = append(t.Partitions, p)
				}
				want.Topics = append(want.Topics, t)
			}
			b := want.AppendTo(nil)
			topics, ok := WalkProduceResponse(nil, version, b)
			if !ok || len(topics) != len(want.Topics) {
				t.Fatalf("version %d: %v, %d topics", version, ok, len(topics))
			}
			var patches []Patch
			for i, got := range topics {
				wt := &want.Topics[i]
				if string(got.Name) != wt.Topic || version >= 13 && got.ID != wt.TopicID {
					t.Fatalf("version %d: topic %d is %+v", version, i, got)
				}
				if version >= 13 {
					wt.TopicID = [16]byte{9, byte(i)}
					patches = append(patches, Patch{got.At, got.Len, bytes.Clone(wt.TopicID[:])})
				} else {
					wt.Topic = "renamed"
					patches = append(patches, Patch{got.At, got.Len, AppendName(nil, wt.Topic, version >= 9)})
				}
			}
			if patched := AppendPatched(nil, b, patches); !bytes.Equal(patched, want.AppendTo(nil)) {
				t.Fatalf("version %d: patched body differs from the encoded one", version)
			}

			// What needs a closer look is not walked.
			if len(want.Topics) == 0 || len(want.Topics[0].Partitions) == 0 {
				continue
			}
			p := &want.Topics[0].Partitions[0]
			closer := map[string]func(){"an error": func() { p.ErrorCode = 6 }}
			if version >= 8 {
				closer["a text"] = func() { p.ErrorMessage = kmsg.StringPtr("why") }
				closer["a record's error"] = func() { p.ErrorRecords = make([]kmsg.ProduceResponseTopicPartitionErrorRecord, 1) }
			}
			if version >= 10 {
				closer["node endpoints"] = func() { want.Brokers = make([]kmsg.ProduceResponseBroker, 1) }
			}
			plain := *p
			for name, change := range closer {
				change()
				if _, ok := WalkProduceResponse(nil, version, want.AppendTo(nil)); ok {
					t.Errorf("version %d: walked although it has %s", version, name)
				}
				*p, want.Brokers = plain, nil
			}
		}
	}
}

func FuzzHotWalks(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, v := range []int16{4, 11, 12, 13, 18} {
		f.Add(v, randomFetch(r, v).AppendTo(nil))
	}
	f.Add(int16(1), randomShareFetch(r, 1).AppendTo(nil))
	f.Add(int16(2), randomShareFetch(r, 2).AppendTo(nil))
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		// Whatever the bytes are, the views lie inside them.
		if _, topics, ok := WalkFetchResponse(nil, version, b); ok {
			gathered, size := Gather(nil, b, nil)
			if size != len(b) || !bytes.Equal(bytes.Join(gathered, nil), b) {
				t.Fatal("gathered without patches is something else")
			}
			for _, topic := range topics {
				_ = b[topic.At : topic.At+topic.Len]
			}
		}
		WalkProduceRequest(nil, version, b, func(bool, HotPartition) bool { return true })
		if topics, ok := WalkProduceResponse(nil, version, b); ok {
			for _, topic := range topics {
				_ = b[topic.At : topic.At+topic.Len]
			}
		}
		_, topics, _ := WalkShareFetchResponse(nil, version, b)
		for _, topic := range topics {
			_ = b[topic.At : topic.At+topic.Len]
		}
	})
}
