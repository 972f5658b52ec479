package conformance

import (
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/test/harness"
)

// TestProducerIDsOnASharedTopic: what one application can do to the producers of another on a topic that both write to is
// what it can do to them on Kafka itself; docs/protocol.md says so.
func TestProducerIDsOnASharedTopic(t *testing.T) {
	t.Parallel()
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "shared", Partitions: 2, Subscriptions: map[string]string{"acme": "", "rival": ""}}},
		Apps:   []harness.App{{Name: "acme"}, {Name: "rival"}},
	})
	byName := kgo.MaxVersions(kversion.V3_9_0())
	direct, err := kgo.NewClient(kgo.SeedBrokers(w.Kafka.Bootstrap()...), byName)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()

	// attack is what a rival does to a producer of somebody else, as error codes.
	attack := func(t *testing.T, owner, rival *kgo.Client, topic, prefix string, partition int32) []error {
		write := func(cl *kgo.Client, txn *string, id int64, epoch int16, sequence int32) error {
			t.Helper()
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis, req.TransactionID = -1, 5000, txn
			rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = partition, batchOf(id, epoch, sequence, txn != nil)
			rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			for {
				resp := request[*kmsg.ProduceResponse](t.Context(), t, raw{cl, false}, req)
				err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
				if err != kerr.NotLeaderForPartition { // which a new partition may not have yet
					return err
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-t.Context().Done():
					t.Fatal(err)
				}
			}
		}
		begin := func(cl *kgo.Client, txn *string) (int64, int16) {
			t.Helper()
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionalID, req.TransactionTimeoutMillis = txn, 30_000
			resp, err := req.RequestWith(t.Context(), cl)
			if err != nil || resp.ErrorCode != 0 {
				t.Fatalf("%v, %v", err, kerr.ErrorForCode(resp.ErrorCode))
			}
			return resp.ProducerID, resp.ProducerEpoch
		}
		add := func(cl *kgo.Client, txn string, id int64, epoch int16) error {
			t.Helper()
			req := kmsg.NewPtrAddPartitionsToTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch = txn, id, epoch
			rt := kmsg.NewAddPartitionsToTxnRequestTopic()
			rt.Topic, rt.Partitions = topic, []int32{partition}
			req.Topics = append(req.Topics, rt)
			resp, err := req.RequestWith(t.Context(), cl)
			if err != nil {
				t.Fatal(err)
			}
			return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		}
		end := func(cl *kgo.Client, txn string, id int64, epoch int16) error {
			t.Helper()
			req := kmsg.NewPtrEndTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = txn, id, epoch, true
			resp, err := req.RequestWith(t.Context(), cl)
			if err != nil {
				t.Fatal(err)
			}
			return kerr.ErrorForCode(resp.ErrorCode)
		}
		id, epoch := begin(owner, nil)
		codes := []error{
			write(owner, nil, id, epoch, 0),
			write(rival, nil, id, epoch+1, 0), // claims the id
			write(owner, nil, id, epoch, 1),
		}
		txn, theirs := prefix+"txn", prefix+"theirs"
		id, epoch = begin(owner, &txn)
		begin(rival, &theirs)
		return append(codes,
			add(owner, txn, id, epoch),
			write(owner, &txn, id, epoch, 0),
			add(rival, theirs, id, epoch),       // with an id that is not its own
			write(rival, &theirs, id, epoch, 1), // into another's open transaction
			write(rival, nil, id, epoch, 2),     // and without one
			write(rival, nil, id, epoch+1, 0),   // fencing it
			end(owner, txn, id, epoch),
		)
	}
	through := attack(t, w.Client("acme", byName), w.Client("rival", byName), "shared", "", 0)
	directly := attack(t, direct, direct, w.Backing("shared"), w.Backing("shared"), 1)
	want := []error{nil, nil, kerr.InvalidProducerEpoch, nil, nil, kerr.InvalidProducerIDMapping, nil, kerr.InvalidTxnState, kerr.InvalidTxnState, nil}
	if !slices.Equal(directly, want) {
		t.Errorf("Kafka is another one than docs/protocol.md says: %v, want %v", directly, want)
	}
	if !slices.Equal(through, directly) {
		t.Errorf("through the gateway: %v\ndirectly: %v", through, directly)
	}
}

// batchOf is one record as a batch of a producer.
func batchOf(id int64, epoch int16, sequence int32, transactional bool) []byte {
	record := kmsg.Record{Value: []byte("y")}
	record.Length = int32(len(record.AppendTo(nil)) - 1)
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, ProducerID: id, ProducerEpoch: epoch, FirstSequence: sequence, NumRecords: 1,
		FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000, Records: record.AppendTo(nil)}
	if transactional {
		b.Attributes = 1 << 4
	}
	raw := b.AppendTo(nil)
	b.Length = int32(len(raw) - 12)
	raw = b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}
