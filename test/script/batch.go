package script

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// epoch0 is the time of every record that a script writes, so that two recordings have the same.
const epoch0 = 1_700_000_000_000

// batch is a record batch of format 2 before it is written.
type batch struct {
	values        []string
	producerID    int64
	producerEpoch int16
	sequence      int32
	transactional bool
	attributes    int16 // more of them
	corrupt       bool
	timestamp     int64 // of the first record; the next ones follow each second
}

func plain(values ...string) batch {
	return batch{values: values, producerID: -1, producerEpoch: -1, sequence: -1, timestamp: epoch0}
}

func (b batch) bytes() []byte {
	var records []byte
	for i, v := range b.values {
		r := kmsg.Record{TimestampDelta64: int64(i) * 1000, OffsetDelta: int32(i), Key: []byte("key-" + v), Value: []byte(v),
			Headers: []kmsg.Header{{Key: "h", Value: []byte{byte(i)}}}}
		body := r.AppendTo(nil)[1:] // behind the length, which is zero
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	attributes := b.attributes
	if b.transactional {
		attributes |= 1 << 4
	}
	n := int32(len(b.values))
	rb := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: attributes, LastOffsetDelta: n - 1, FirstTimestamp: b.timestamp,
		MaxTimestamp: b.timestamp + int64(n-1)*1000, ProducerID: b.producerID, ProducerEpoch: b.producerEpoch, FirstSequence: b.sequence, NumRecords: n, Records: records}
	out := rb.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	crc := crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli))
	if b.corrupt {
		crc++
	}
	binary.BigEndian.PutUint32(out[17:], crc)
	return out
}

// batchesIn takes the record batches of a fetched partition apart; the last may be cut off.
func batchesIn(b []byte) (out []kmsg.RecordBatch, err error) {
	for len(b) >= 61 {
		size := 12 + int(int32(binary.BigEndian.Uint32(b[8:])))
		if size < 61 {
			return nil, fmt.Errorf("a record batch of %d bytes", size)
		}
		if size > len(b) {
			break
		}
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(b[:size]); err != nil {
			return nil, fmt.Errorf("a record batch: %w", err)
		}
		out = append(out, rb)
		b = b[size:]
	}
	return out, nil
}

const control = 1 << 5 // attribute of a batch that ends a transaction
