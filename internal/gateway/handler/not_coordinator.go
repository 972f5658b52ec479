package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// NotCoordinator returns what the broker would answer to a request for a
// coordinator that is another one, or nil where the request is not for a
// coordinator. It is for a broker that cannot be reached: at the broker itself a
// client would find that nobody listens, and ask for the coordinator anew; here
// somebody does listen, and a lost connection alone does not make every client
// do so. The request is [Action.Upstream], and was not sent; the answer is for
// [Action.Response], like a broker's. What the connection remembers of its
// members is forgotten, as if it had ended: the broker has not heard it.
func (c *Conn) NotCoordinator(r kmsg.Request) kmsg.Response {
	made := notCoordinator(r)
	if made == nil {
		return nil
	}
	resp := r.ResponseKind() // as it would have come: without what the version does not have
	if err := resp.ReadFrom(made.AppendTo(nil)); err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetMembers(&c.members)
	c.forgetMembers(&c.shareMembers)
	return resp
}

func notCoordinator(r kmsg.Request) kmsg.Response {
	code := kerr.NotCoordinator.Code
	made := r.ResponseKind()
	switch resp := made.(type) {
	case *kmsg.FindCoordinatorResponse: // any broker knows, but for this one
		resp.NodeID, resp.Port, resp.ErrorCode = -1, -1, kerr.CoordinatorNotAvailable.Code
		for _, key := range r.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.NodeID, c.Port, c.ErrorCode = key, -1, -1, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, c)
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.(*kmsg.OffsetCommitRequest).Topics {
			resp.Topics = append(resp.Topics, notCommitted(t, code))
		}
	case *kmsg.OffsetFetchResponse:
		resp.ErrorCode = code
		req := r.(*kmsg.OffsetFetchRequest)
		for _, rg := range req.Groups {
			g := kmsg.NewOffsetFetchResponseGroup()
			g.Group, g.ErrorCode = rg.Group, code
			resp.Groups = append(resp.Groups, g)
		}
		if req.Version < 2 { // it has no error but those of partitions
			for i := range req.Topics {
				resp.Topics = append(resp.Topics, notFetched(&req.Topics[i], code))
			}
		}
	case *kmsg.JoinGroupResponse:
		resp.ErrorCode, resp.MemberID = code, r.(*kmsg.JoinGroupRequest).MemberID
	case *kmsg.HeartbeatResponse:
		resp.ErrorCode = code
	case *kmsg.LeaveGroupResponse:
		resp.ErrorCode = code
	case *kmsg.SyncGroupResponse:
		resp.ErrorCode = code
	case *kmsg.InitProducerIDResponse:
		if r.(*kmsg.InitProducerIDRequest).TransactionalID == nil {
			return nil // any broker does
		}
		resp.ErrorCode, resp.ProducerEpoch = code, -1
	case *kmsg.AddPartitionsToTxnResponse:
		for _, t := range r.(*kmsg.AddPartitionsToTxnRequest).Topics {
			resp.Topics = append(resp.Topics, addedTopic(t.Topic, t.Partitions, code))
		}
	case *kmsg.AddOffsetsToTxnResponse:
		resp.ErrorCode = code
	case *kmsg.EndTxnResponse:
		resp.ErrorCode = code
	case *kmsg.TxnOffsetCommitResponse:
		req := r.(*kmsg.TxnOffsetCommitRequest)
		for i := range req.Topics {
			resp.Topics = append(resp.Topics, notCommittedInTxn(&req.Topics[i], code))
		}
	case *kmsg.ConsumerGroupHeartbeatResponse:
		resp.ErrorCode = code
	case *kmsg.ShareGroupHeartbeatResponse:
		resp.ErrorCode = code
	case *kmsg.StreamsGroupHeartbeatResponse:
		resp.ErrorCode = code
	default:
		return nil
	}
	return made
}
