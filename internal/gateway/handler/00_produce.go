package handler

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// Produce, versions 3 to 13; by topic id from 13 on (KIP-516). Topics are
// authorised and renamed, the transactional id is mapped, refused topics are
// answered here and the rest goes upstream. The records are not touched, apart
// from a look at the batch header: a client may write neither control batches
// nor transactional ones outside a transaction. Node endpoints (KIP-951) in
// the answer become ours.

// brownOutThrottle is what a brown-out adds to every write.
const brownOutThrottle = time.Second

func produce(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ProduceRequest)
	byID := req.Version >= 13
	if req.TransactionID != nil {
		id := x.Grant.TransactionalID(*req.TransactionID)
		req.TransactionID = &id
	}
	var (
		m       merger[kmsg.ProduceResponseTopic]
		forward []kmsg.ProduceRequestTopic
		slow    bool
		refused string
	)
	for _, rt := range req.Topics {
		t, err := x.resolve(byID, rt.Topic, rt.TopicID, grant.Write)
		if err != nil {
			return Action{}, err
		}
		code, message := produceError(x, &t, byID)
		if code == 0 {
			code, message = checkBatches(x, &t, rt.Partitions, req.TransactionID != nil)
		}
		if code != 0 {
			refused = t.decision.Rule
			m.answer(t, producedTopic(rt, code, message))
			continue
		}
		slow = slow || t.decision.Verdict == grant.AllowSlowly
		m.forward(t, byID)
		rt.Topic, rt.TopicID = t.backing, t.physical
		forward = append(forward, rt)
	}
	if req.Acks == 0 {
		if len(forward) < len(req.Topics) {
			return Action{Close: "produce with acks=0 was refused: " + refused}, nil
		}
		req.Topics = forward
		return Action{Upstream: req, Silent: true, Mute: muteFor(slow)}, nil
	}
	finish := func(resp *kmsg.ProduceResponse, topics []kmsg.ProduceResponseTopic) kmsg.Response {
		resp.Version, resp.Topics = req.Version, topics
		if slow {
			resp.ThrottleMillis = max(resp.ThrottleMillis, int32(brownOutThrottle.Milliseconds()))
		}
		return resp
	}
	if !m.any {
		resp := kmsg.NewPtrProduceResponse()
		return Action{Answer: finish(resp, m.merge(x, nil, nil, nil)), Mute: muteFor(slow)}, nil
	}
	req.Topics = forward
	return Action{Upstream: req, Mute: muteFor(slow), Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ProduceResponse)
		topics := m.merge(x, resp.Topics,
			func(t *kmsg.ProduceResponseTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
			func(t *kmsg.ProduceResponseTopic, to *target) {
				t.Topic, t.TopicID = nameOrID(byID, to)
				for i := range t.Partitions {
					brokerTexts(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorMessage)
					for j := range t.Partitions[i].ErrorRecords {
						brokerTexts(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorRecords[j].ErrorMessage)
					}
				}
			})
		kept := resp.Brokers[:0]
		for _, b := range resp.Brokers {
			if host, port, ok := x.Conn.Addresses.Advertise(b.NodeID); ok {
				b.Host, b.Port, b.Rack = host, port, nil
				kept = append(kept, b)
			}
		}
		resp.Brokers = kept
		return finish(resp, topics), nil
	}}, nil
}

func muteFor(slow bool) time.Duration {
	if slow {
		return brownOutThrottle
	}
	return 0
}

// produceError is the column "write" of the design's §2.1.
func produceError(x *Exchange, t *target, byID bool) (int16, *string) {
	switch t.decision.Verdict {
	case grant.Allow, grant.AllowSlowly:
		return 0, nil
	case grant.RefusePolicy:
		return kerr.PolicyViolation.Code, text(t.decision, x.reject(t, grant.Write))
	case grant.Unknown:
		id := x.reject(t, grant.Write)
		if byID {
			return kerr.UnknownTopicID.Code, nil
		}
		return kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, id)
	default:
		return kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, x.reject(t, grant.Write))
	}
}

func producedTopic(rt kmsg.ProduceRequestTopic, code int16, message *string) kmsg.ProduceResponseTopic {
	out := kmsg.NewProduceResponseTopic()
	out.Topic, out.TopicID = rt.Topic, rt.TopicID
	for _, p := range rt.Partitions {
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.ErrorMessage, rp.BaseOffset = p.Partition, code, message, -1
		rp.LogAppendTime, rp.LogStartOffset = -1, -1
		out.Partitions = append(out.Partitions, rp)
	}
	return out
}

// Offsets in a record batch (KIP-98) and the attribute bits that a client may
// not set at will.
const (
	batchMagicOffset      = 16
	batchAttributesOffset = 21
	batchHeaderBytes      = 61
	batchTransactional    = 1 << 4
	batchControl          = 1 << 5
)

// checkBatches looks at the header of every partition's batch: control batches
// are the brokers' own, and a transactional batch outside a transaction would
// write under an id that nobody checked (compare CVE-2018-17196). A malformed
// batch is left to the broker.
func checkBatches(x *Exchange, t *target, partitions []kmsg.ProduceRequestTopicPartition, inTransaction bool) (int16, *string) {
	for i := range partitions {
		b := partitions[i].Records
		for len(b) >= batchHeaderBytes && b[batchMagicOffset] == 2 {
			attributes := binary.BigEndian.Uint16(b[batchAttributesOffset:])
			if attributes&batchControl != 0 {
				t.decision = grant.Decision{Verdict: grant.RefusePolicy, Rule: "control batch from a client", Message: "clients do not write control batches"}
				return kerr.InvalidRecord.Code, text(t.decision, x.reject(t, grant.Write))
			}
			if attributes&batchTransactional != 0 && !inTransaction {
				t.decision = grant.Decision{Verdict: grant.RefusePolicy, Rule: "transactional batch without a transactional id", Message: "a transactional batch needs a transactional id"}
				return kerr.TransactionalIDAuthorizationFailed.Code, text(t.decision, x.reject(t, grant.Write))
			}
			length := int64(int32(binary.BigEndian.Uint32(b[8:]))) + 12
			if length < batchHeaderBytes || length >= int64(len(b)) {
				break
			}
			b = b[length:]
		}
	}
	return 0, nil
}

func nameOrID(byID bool, t *target) (string, [16]byte) {
	if byID {
		return "", t.virtual
	}
	return t.exposed, [16]byte{}
}

// brokerTexts replaces an error text of the broker by Kafka's own description
// of the code: a broker's text may name what is on the target cluster.
func brokerTexts(code int16, message **string) {
	if *message == nil {
		return
	}
	if e := kerr.TypedErrorForCode(code); e != nil {
		d := e.Description
		*message = &d
		return
	}
	*message = nil
}
