package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ShareGroupHeartbeat, version 1 (KIP-932). As in ConsumerGroupHeartbeat, the
// group, topic names and topic ids are mapped, foreign names are taken out of
// the upstream request, the answer is never an error for them, and the full
// list is remembered and sent again once the grant is another one.

// shareMember is what a member of a share group last said it subscribes to.
type shareMember struct {
	names  []string
	grant  *grant.Grant // under which it was last sent upstream
	sent   []string
	weight int
}

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
		if leaving || resp.ErrorCode == kerr.UnknownMemberID.Code || resp.ErrorCode == kerr.FencedMemberEpoch.Code {
			x.Conn.mu.Lock()
			if m := x.Conn.shareMembers[key]; m != nil {
				x.Conn.memberBytes -= m.weight
				delete(x.Conn.shareMembers, key)
			}
			x.Conn.mu.Unlock()
		}
		if resp.Assignment == nil {
			return resp, nil
		}
		kept := resp.Assignment.TopicPartitions[:0]
		for _, t := range resp.Assignment.TopicPartitions {
			backing, ok, err := x.Conn.Cluster.TopicName(x.Context, t.TopicID)
			if err != nil {
				return nil, err
			}
			vid, mine := x.exposeID(backing, t.TopicID)
			if !ok || !mine {
				x.Conn.foreign(x, "topic id")
				continue
			}
			t.TopicID = vid
			kept = append(kept, t)
		}
		resp.Assignment.TopicPartitions = kept
		return resp, nil
	}}, nil
}

// subscribeShare replaces the request's subscription by what the broker shall
// know of it, and leaves it out where the broker knows already.
func (x *Exchange) subscribeShare(key memberKey, req *kmsg.ShareGroupHeartbeatRequest) {
	c := x.Conn
	said := req.SubscribedTopicNames != nil
	c.mu.Lock()
	m := c.shareMembers[key]
	if m == nil && said {
		if len(c.shareMembers) >= c.Limits.Members {
			for _, old := range c.shareMembers {
				c.memberBytes -= old.weight
			}
			c.shareMembers = nil
		}
		if c.shareMembers == nil {
			c.shareMembers = make(map[memberKey]*shareMember)
		}
		m = &shareMember{}
		c.shareMembers[key] = m
	}
	if m == nil {
		c.mu.Unlock()
		return // nothing said, nothing remembered: the broker knows
	}
	if said {
		m.names = slices.Clone(req.SubscribedTopicNames)
		c.weighMember(&m.weight, nameBytes(m.names))
	}
	names, last := m.names, m.sent
	again := said || m.grant != x.Grant || !x.Grant.NextChange(x.Now).IsZero()
	c.mu.Unlock()
	if !again {
		return
	}

	backing := []string{}
	for _, n := range names {
		t := x.named(n, grant.Describe)
		if !t.allowed() {
			x.reject(&t, grant.Describe)
			continue
		}
		backing = append(backing, t.backing)
	}
	slices.Sort(backing)
	backing = slices.Compact(backing)
	if len(backing) == 0 && len(names) > 0 && req.MemberEpoch == 0 {
		// A broker refuses a member that joins without a topic, for good.
		backing = append(backing, nothing(x.Grant))
	}
	req.SubscribedTopicNames = nil
	if said || !slices.Equal(backing, last) {
		req.SubscribedTopicNames = backing
	}
	c.mu.Lock()
	m.grant, m.sent = x.Grant, backing
	c.mu.Unlock()
}

// nothing is the name of a topic that cannot exist: it is in the application's
// own corner of the target cluster, where it may not create internal topics.
func nothing(g *grant.Grant) string { return g.Prefix + "__none" }
