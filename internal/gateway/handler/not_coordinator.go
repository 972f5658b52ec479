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
	made.SetVersion(r.GetVersion())
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
	switch r := r.(type) {
	case *kmsg.FindCoordinatorRequest: // any broker knows, but for this one
		resp := kmsg.NewPtrFindCoordinatorResponse()
		resp.NodeID, resp.Port, resp.ErrorCode = -1, -1, kerr.CoordinatorNotAvailable.Code
		for _, key := range r.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.NodeID, c.Port, c.ErrorCode = key, -1, -1, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp
	case *kmsg.OffsetCommitRequest:
		resp := kmsg.NewPtrOffsetCommitResponse()
		for _, rt := range r.Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.OffsetFetchRequest:
		resp := kmsg.NewPtrOffsetFetchResponse()
		resp.ErrorCode = code
		for _, rg := range r.Groups {
			g := kmsg.NewOffsetFetchResponseGroup()
			g.Group, g.ErrorCode = rg.Group, code
			resp.Groups = append(resp.Groups, g)
		}
		if r.Version >= 2 {
			return resp
		}
		for _, rt := range r.Topics {
			t := kmsg.NewOffsetFetchResponseTopic()
			t.Topic = rt.Topic
			for _, partition := range rt.Partitions {
				p := kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.Offset, p.Metadata, p.ErrorCode = partition, -1, new(string), code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.JoinGroupRequest:
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.Generation, resp.MemberID = code, -1, r.MemberID
		if r.Version < 7 {
			resp.Protocol = new(string)
		}
		return resp
	case *kmsg.HeartbeatRequest:
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.LeaveGroupRequest:
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.SyncGroupRequest:
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.InitProducerIDRequest:
		if r.TransactionalID == nil {
			return nil // any broker does
		}
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, -1, -1
		return resp
	case *kmsg.AddPartitionsToTxnRequest:
		resp := kmsg.NewPtrAddPartitionsToTxnResponse()
		for _, rt := range r.Topics {
			resp.Topics = append(resp.Topics, addedTopic(rt.Topic, rt.Partitions, code))
		}
		return resp
	case *kmsg.AddOffsetsToTxnRequest:
		resp := kmsg.NewPtrAddOffsetsToTxnResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.EndTxnRequest:
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, -1, -1
		return resp
	case *kmsg.TxnOffsetCommitRequest:
		resp := kmsg.NewPtrTxnOffsetCommitResponse()
		for _, rt := range r.Topics {
			t := kmsg.NewTxnOffsetCommitResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.ConsumerGroupHeartbeatRequest:
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.ShareGroupHeartbeatRequest:
		resp := kmsg.NewPtrShareGroupHeartbeatResponse()
		resp.ErrorCode = code
		return resp
	case *kmsg.StreamsGroupHeartbeatRequest:
		resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
		resp.ErrorCode = code
		return resp
	}
	return nil
}
