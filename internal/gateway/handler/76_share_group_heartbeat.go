package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ShareGroupHeartbeat, version 1 (KIP-932). As in ConsumerGroupHeartbeat, the
// group, topic names and topic ids are mapped, foreign names are taken out of
// the upstream request, the answer is never an error for them, and the full
// list is remembered and sent again once the grant is another one.

func shareGroupHeartbeat(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ShareGroupHeartbeatRequest)
	key := memberKey{req.GroupID, req.MemberID}
	if req.GroupID != "" { // the broker refuses none: a prefix alone would be one
		req.GroupID = x.Grant.Group(req.GroupID)
	}
	leaving := req.MemberEpoch < 0
	if leaving { // what it subscribes to is of no use to the broker any more
		req.SubscribedTopicNames = nil
	} else {
		x.subscribeShare(key, req)
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ShareGroupHeartbeatResponse)
		resp.Version = req.Version
		brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
		x.Conn.heard(&x.Conn.shareMembers, key, resp.ErrorCode, leaving)
		if resp.Assignment == nil {
			return resp, nil
		}
		var err error
		resp.Assignment.TopicPartitions, err = exposeIDs(x, resp.Assignment.TopicPartitions, func(t *kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition) *[16]byte { return &t.TopicID })
		return resp, err
	}}, nil
}

// subscribeShare replaces the request's subscription by what the broker shall
// know of it, and leaves it out where the broker knows already.
func (x *Exchange) subscribeShare(key memberKey, req *kmsg.ShareGroupHeartbeatRequest) {
	c := x.Conn
	says := req.SubscribedTopicNames != nil
	c.mu.Lock()
	m := c.member(&c.shareMembers, key, says)
	if m == nil {
		c.mu.Unlock()
		return // nothing said, nothing remembered: the broker knows
	}
	if says {
		m.names = slices.Clone(req.SubscribedTopicNames)
		c.weighMember(m)
	}
	names := m.names
	again := says || m.grant != x.Grant || !x.Grant.NextChange(x.Now).IsZero()
	c.mu.Unlock()
	if !again {
		return
	}

	backing := x.backingNames(names)
	if len(backing) == 0 && len(names) > 0 && req.MemberEpoch == 0 {
		// A broker refuses a member that joins without a topic, for good.
		backing = append(backing, nothing(x.Grant))
	}
	req.SubscribedTopicNames = x.subscribed(m, says, backing)
}

// nothing is the name of a topic that cannot exist: it is in the application's
// own corner of the target cluster, where it may not create internal topics.
func nothing(g *grant.Grant) string { return g.Prefix + "__none" }
