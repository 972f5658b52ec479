package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DescribeProducers 0, DescribeTransactions 0, ListTransactions 0 to 2
// (KIP-664, KIP-1152). Producers are described for topics of the application's
// own namespace only: in a shared topic they are other people's. Transactional
// ids and topics are mapped, foreign ones left out; the pattern of a listing is
// matched here.

func describeProducers(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeProducersRequest)
	return byName[kmsg.DescribeProducersRequestTopic, kmsg.DescribeProducersResponseTopic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.DescribeProducersRequestTopic) *string { return &t.Topic },
		refine: func(to *target, _ *kmsg.DescribeProducersRequestTopic) {
			if to.topic != nil {
				to.decision = grant.Decision{Verdict: grant.RefuseRight, Rule: "producers of a shared topic are not described"}
			}
		},
		refused: func(_ *target, t *kmsg.DescribeProducersRequestTopic, id string) kmsg.DescribeProducersResponseTopic {
			out := kmsg.NewDescribeProducersResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewDescribeProducersResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.ErrorMessage = p, kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, id)
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list: func(r kmsg.Response) *[]kmsg.DescribeProducersResponseTopic {
			return &r.(*kmsg.DescribeProducersResponse).Topics
		},
		exposed: func(t *kmsg.DescribeProducersResponseTopic) *string { return &t.Topic },
		tidy: func(t *kmsg.DescribeProducersResponseTopic, _ *target) {
			for i := range t.Partitions {
				brokerTexts(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorMessage)
			}
		},
	}.serve(x, req), nil
}

func describeTransactions(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeTransactionsRequest)
	asked := make(map[string]string, len(req.TransactionalIDs))
	for i, id := range req.TransactionalIDs {
		req.TransactionalIDs[i] = x.Grant.TransactionalID(id)
		asked[req.TransactionalIDs[i]] = id
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.DescribeTransactionsResponse)
		resp.Version = req.Version
		kept := resp.TransactionStates[:0]
		for _, s := range resp.TransactionStates {
			id, ok := asked[s.TransactionalID]
			if !ok {
				x.Conn.foreign(x, "transactional id")
				continue
			}
			s.TransactionalID = id
			topics := s.Topics[:0]
			for _, t := range s.Topics {
				exposed, ok := x.expose(t.Topic)
				if !ok {
					if !grant.Internal(t.Topic) { // where offsets are committed in a transaction
						x.Conn.foreign(x, "topic")
					}
					continue
				}
				t.Topic = exposed
				topics = append(topics, t)
			}
			s.Topics = topics
			kept = append(kept, s)
		}
		resp.TransactionStates = kept
		return resp, nil
	}}, nil
}

func listTransactions(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ListTransactionsRequest)
	match := func(string) bool { return true }
	if p := req.TransactionalIDPattern; p != nil && *p != "" {
		re, err := compilePattern(*p)
		if err != nil {
			resp := kmsg.NewPtrListTransactionsResponse()
			resp.Version, resp.ErrorCode = req.Version, kerr.InvalidRegularExpression.Code
			return answer(resp), nil
		}
		match = func(id string) bool { return matchesWhole(re, id) }
	}
	req.TransactionalIDPattern = nil
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ListTransactionsResponse)
		resp.Version = req.Version
		kept := resp.TransactionStates[:0]
		for _, s := range resp.TransactionStates {
			if id, ok := x.Grant.TransactionalIDExposed(s.TransactionalID); ok && match(id) {
				s.TransactionalID = id
				kept = append(kept, s)
			}
		}
		resp.TransactionStates = kept
		return resp, nil
	}}, nil
}
