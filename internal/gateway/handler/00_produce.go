package handler

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
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
	answer := &produced{x: x, version: req.Version}
	m := &answer.m
	var (
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
	answer.slow = slow
	if !m.any {
		resp := kmsg.NewPtrProduceResponse()
		return Action{Answer: answer.finish(resp, m.merge(x, nil, nil, nil)), Mute: muteFor(slow)}, nil
	}
	req.Topics = forward
	return Action{Upstream: req, Mute: muteFor(slow), Response: answer.expose}, nil
}

// produceFast passes a request in which every topic is open, record batches
// where they lie: only the transactional id and the topics' names or ids are
// exchanged.
func produceFast(x *Exchange, body []byte) (Action, bool, error) {
	var buffer [8]wire.HotTopic
	head, topics, ok := wire.WalkProduceRequest(buffer[:0], x.Version, body, func(inTransaction bool, p wire.HotPartition) bool {
		return batchFault(p.Records, inTransaction) == nil
	})
	if !ok {
		return Action{}, false, nil
	}
	return passProduce(x, head, topics)
}

// producePassing is produceFast for a request of which only the beginning is
// there: its record batches are looked at as they go by. One that may not be
// written ends the connection, since the rest of the request has gone already;
// no client library writes one.
func producePassing(x *Exchange, prefix wire.ProducePrefix) (Action, bool, error) {
	action, ok, err := passProduce(x, prefix.ProduceHead, []wire.HotTopic{prefix.Topic})
	inTransaction := prefix.TransactionalID != nil
	action.Batch = func(header []byte) error {
		if f := batchFault(header, inTransaction); f != nil {
			t := target{exposed: "", decision: grant.Decision{Verdict: grant.RefusePolicy, Rule: f.rule, Message: f.message}}
			return fmt.Errorf("%s (rejection %s)", f.message, x.reject(&t, grant.Write))
		}
		return nil
	}
	return action, ok, err
}

// passProduce exchanges the names of a request whose topics are all open.
func passProduce(x *Exchange, head wire.ProduceHead, topics []wire.HotTopic) (Action, bool, error) {
	if head.Acks == 0 || len(topics) == 0 {
		return Action{}, false, nil
	}
	byID, flexible := x.Version >= 13, x.Version >= 9
	inTransaction := head.TransactionalID != nil
	p := &passed{produced: produced{x: x, version: x.Version}}
	p.m.entries = p.entry[:0]
	if len(topics) > len(p.entry) {
		p.m.entries = make([]mergeEntry[kmsg.ProduceResponseTopic], 0, len(topics))
	}
	n := len(topics)
	if inTransaction {
		n++
	}
	p.request.begin(n)
	if inTransaction {
		p.request.name(0, head.TransactionalIDLen, x.Grant.TransactionalID(string(head.TransactionalID)), flexible)
	}
	for i := range topics {
		rt := &topics[i]
		t, err := x.resolveHot(byID, rt, grant.Write)
		if err != nil {
			return Action{}, false, err
		}
		if t.decision.Verdict != grant.Allow {
			return Action{}, false, nil
		}
		p.m.forward(t, byID)
		p.request.topic(rt, byID, t.backing, t.physical, flexible)
	}
	return Action{Raw: true, Patches: p.request.list, Response: p.expose, RawResponse: p.patch, Patience: time.Duration(head.TimeoutMillis) * time.Millisecond}, true, nil
}

// produced is the answer to a request that went upstream.
type produced struct {
	x       *Exchange
	version int16
	m       merger[kmsg.ProduceResponseTopic]
	slow    bool
}

// passed is produced for a request that went as it came, but for its names. All
// that one of usual shape needs on its way is allocated with it.
type passed struct {
	produced
	entry   [1]mergeEntry[kmsg.ProduceResponseTopic]
	request patches
	answer  patches
}

func (p *produced) finish(resp *kmsg.ProduceResponse, topics []kmsg.ProduceResponseTopic) kmsg.Response {
	resp.Version, resp.Topics = p.version, topics
	if p.slow {
		resp.ThrottleMillis = max(resp.ThrottleMillis, int32(brownOutThrottle.Milliseconds()))
	}
	return resp
}

// patch exchanges the names or ids of an answer that says nothing but yes, topic
// by topic as asked.
func (p *passed) patch(body []byte) ([]wire.Patch, bool) {
	var buffer [8]wire.HotTopic
	topics, ok := wire.WalkProduceResponse(buffer[:0], p.version, body)
	if !ok || len(topics) != len(p.m.entries) {
		return nil, false
	}
	byID := p.version >= 13
	p.answer.begin(len(topics))
	for i := range topics {
		t, e := &topics[i], &p.m.entries[i]
		if byID && t.ID != e.key.id || !byID && string(t.Name) != e.key.name {
			return nil, false
		}
		p.answer.topic(t, byID, e.target.exposed, e.target.virtual, p.version >= 9)
	}
	return p.answer.list, true
}

func (p *produced) expose(kr kmsg.Response) (kmsg.Response, error) {
	resp := kr.(*kmsg.ProduceResponse)
	byID := p.version >= 13
	topics := p.m.merge(p.x, resp.Topics,
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
	resp.Brokers = advertised(p.x, resp.Brokers)
	return p.finish(resp, topics), nil
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
	batchAttributesOffset = 21
	batchHeaderBytes      = wire.BatchHeaderBytes
	batchTransactional    = 1 << 4
	batchControl          = 1 << 5
)

// batchRefusal is a batch that a client may not write.
type batchRefusal struct {
	code          int16
	rule, message string
}

var (
	controlBatch = batchRefusal{kerr.InvalidRecord.Code, "control batch from a client", "clients do not write control batches"}
	strayBatch   = batchRefusal{kerr.TransactionalIDAuthorizationFailed.Code, "transactional batch without a transactional id", "a transactional batch needs a transactional id"}
)

// batchFault looks at the header of every batch of a partition: control batches
// are the brokers' own, and a transactional batch outside a transaction would
// write under an id that nobody checked (compare CVE-2018-17196). A malformed
// batch is left to the broker.
func batchFault(records []byte, inTransaction bool) *batchRefusal {
	for b := records; len(b) >= batchHeaderBytes; {
		length, modern := wire.BatchLength(b, len(b))
		if !modern {
			break
		}
		attributes := binary.BigEndian.Uint16(b[batchAttributesOffset:])
		if attributes&batchControl != 0 {
			return &controlBatch
		}
		if attributes&batchTransactional != 0 && !inTransaction {
			return &strayBatch
		}
		b = b[length:]
	}
	return nil
}

// checkBatches refuses a topic for one batch that may not be written.
func checkBatches(x *Exchange, t *target, partitions []kmsg.ProduceRequestTopicPartition, inTransaction bool) (int16, *string) {
	for i := range partitions {
		if f := batchFault(partitions[i].Records, inTransaction); f != nil {
			t.decision = grant.Decision{Verdict: grant.RefusePolicy, Rule: f.rule, Message: f.message}
			return f.code, text(t.decision, x.reject(t, grant.Write))
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
