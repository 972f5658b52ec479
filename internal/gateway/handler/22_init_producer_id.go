package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// Idempotence and transactions (KIP-98, KIP-890): InitProducerId 0 to 5,
// AddPartitionsToTxn 0 to 3 (4 and later are between brokers), AddOffsetsToTxn
// 0 to 4, EndTxn 0 to 5, TxnOffsetCommit 0 to 5. Transactional ids, groups and
// topics are mapped; producer ids and epochs pass.

func initProducerID(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.InitProducerIDRequest)
	if req.TransactionalID != nil {
		if *req.TransactionalID == "" { // behind the prefix it would be a name like any other
			resp := kmsg.NewPtrInitProducerIDResponse()
			resp.Version, resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = req.Version, kerr.InvalidRequest.Code, -1, -1
			return answer(resp), nil
		}
		x.Conn.denyTransaction(*req.TransactionalID, false)
		id := x.Grant.TransactionalID(*req.TransactionalID)
		req.TransactionalID = &id
	}
	return Action{Upstream: req}, nil
}

// addPartitionsToTxn fails whole when one topic is refused, as in Kafka: that
// topic gets its error and the rest OPERATION_NOT_ATTEMPTED. The allowed
// partitions are added upstream all the same, so that the abort which follows
// finds a transaction to abort; without one, librdkafka takes the producer for
// lost (the design's §2.1).
func addPartitionsToTxn(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.AddPartitionsToTxnRequest)
	txn := req.TransactionalID
	req.TransactionalID = x.Grant.TransactionalID(txn)
	var m merger[kmsg.AddPartitionsToTxnResponseTopic]
	var forward []kmsg.AddPartitionsToTxnRequestTopic
	refused := false
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Write)
		if t.allowed() {
			m.forward(t, false)
			rt.Topic = t.backing
			forward = append(forward, rt)
			continue
		}
		refused = true
		x.reject(&t, grant.Write)
		// 44 (withheld, ended) would be fatal to clients here as any code; the
		// one that Kafka itself gives is 29.
		m.answer(t, addedTopic(rt.Topic, rt.Partitions, kerr.TopicAuthorizationFailed.Code))
	}
	rename := func(t *kmsg.AddPartitionsToTxnResponseTopic, to *target) {
		t.Topic = to.exposed
		if refused {
			for i := range t.Partitions {
				if t.Partitions[i].ErrorCode == 0 {
					t.Partitions[i].ErrorCode = kerr.OperationNotAttempted.Code
				}
			}
		}
	}
	key := func(t *kmsg.AddPartitionsToTxnResponseTopic) topicKey { return topicKey{name: t.Topic} }
	if !m.any {
		x.Conn.denyTransaction(txn, true)
		resp := kmsg.NewPtrAddPartitionsToTxnResponse()
		resp.Version, resp.Topics = req.Version, m.merge(x, nil, key, rename)
		return answer(resp), nil
	}
	x.Conn.denyTransaction(txn, false)
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.AddPartitionsToTxnResponse)
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics, key, rename)
		return resp, nil
	}}, nil
}

func addedTopic(topic string, partitions []int32, code int16) kmsg.AddPartitionsToTxnResponseTopic {
	out := kmsg.NewAddPartitionsToTxnResponseTopic()
	out.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p, code
		out.Partitions = append(out.Partitions, rp)
	}
	return out
}

// denyTransaction remembers that perhaps nothing of a transaction reached the
// broker, so that its abort succeeds.
func (c *Conn) denyTransaction(id string, denied bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !denied {
		delete(c.denied, id)
		return
	}
	if c.denied == nil || len(c.denied) >= 1000 {
		c.denied = make(map[string]bool)
	}
	c.denied[id] = true
}

func addOffsetsToTxn(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.AddOffsetsToTxnRequest)
	x.Conn.denyTransaction(req.TransactionalID, false)
	req.TransactionalID = x.Grant.TransactionalID(req.TransactionalID)
	req.Group = x.Grant.Group(req.Group)
	return Action{Upstream: req}, nil
}

func endTxn(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.EndTxnRequest)
	c := x.Conn
	c.mu.Lock()
	denied := c.denied[req.TransactionalID]
	delete(c.denied, req.TransactionalID)
	c.mu.Unlock()
	req.TransactionalID = x.Grant.TransactionalID(req.TransactionalID)
	if !denied || req.Commit {
		return Action{Upstream: req}, nil
	}
	// The broker may know no transaction: aborting nothing succeeds. It is
	// asked all the same, since an earlier topic may have begun one.
	id, epoch := req.ProducerID, req.ProducerEpoch
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.EndTxnResponse)
		if resp.ErrorCode == kerr.InvalidTxnState.Code {
			resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = 0, id, epoch
		}
		return resp, nil
	}}, nil
}

func txnOffsetCommit(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.TxnOffsetCommitRequest)
	req.TransactionalID = x.Grant.TransactionalID(req.TransactionalID)
	req.Group = x.Grant.Group(req.Group)
	return byName[kmsg.TxnOffsetCommitRequestTopic, kmsg.TxnOffsetCommitResponseTopic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.TxnOffsetCommitRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, t *kmsg.TxnOffsetCommitRequestTopic, _ string) kmsg.TxnOffsetCommitResponseTopic {
			return notCommittedInTxn(t, kerr.TopicAuthorizationFailed.Code)
		},
		list: func(r kmsg.Response) *[]kmsg.TxnOffsetCommitResponseTopic {
			return &r.(*kmsg.TxnOffsetCommitResponse).Topics
		},
		exposed: func(t *kmsg.TxnOffsetCommitResponseTopic) *string { return &t.Topic },
		tidy: func(t *kmsg.TxnOffsetCommitResponseTopic, to *target) {
			for i := range t.Partitions {
				x.forgive(to, &t.Partitions[i].ErrorCode)
			}
		},
		send: ifEmpty,
	}.serve(x, req), nil
}

// notCommittedInTxn answers a topic with an error.
func notCommittedInTxn(t *kmsg.TxnOffsetCommitRequestTopic, code int16) kmsg.TxnOffsetCommitResponseTopic {
	out := kmsg.NewTxnOffsetCommitResponseTopic()
	out.Topic = t.Topic
	for _, p := range t.Partitions {
		rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p.Partition, code
		out.Partitions = append(out.Partitions, rp)
	}
	return out
}
