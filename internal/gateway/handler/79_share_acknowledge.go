package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ShareAcknowledge, versions 1 and 2 (KIP-932, KIP-1222); by topic id. It goes
// upstream for every topic that the application has or had, withheld or not:
// it finishes what was delivered. Foreign ids are answered here. It counts as a
// request of the share session that ShareFetch opened (78_share_session.go).

func shareAcknowledge(x *Exchange, r kmsg.Request) (Action, error) {
	type topic = kmsg.ShareAcknowledgeResponseTopic
	req, c := r.(*kmsg.ShareAcknowledgeRequest), x.Conn
	fail := func(code int16) (Action, error) {
		resp := kmsg.NewPtrShareAcknowledgeResponse()
		resp.Version, resp.ErrorCode = req.Version, code
		return answer(resp), nil
	}
	if req.GroupID == nil || req.MemberID == nil {
		return fail(kerr.InvalidRequest.Code)
	}
	if req.ShareSessionEpoch == 0 {
		return fail(kerr.InvalidShareSessionEpoch.Code)
	}
	key := memberKey{*req.GroupID, *req.MemberID}
	group := x.Grant.Group(*req.GroupID)
	req.GroupID = &group
	s, code := c.shareSession(key, req.ShareSessionEpoch)
	if code != 0 {
		return fail(code)
	}

	var m merger[topic]
	var forward []kmsg.ShareAcknowledgeRequestTopic
	for _, rt := range req.Topics {
		t, err := x.identified(rt.TopicID, grant.Read)
		if err != nil {
			return Action{}, err
		}
		code := shareRefusal(&t)
		if code == 0 {
			m.forward(t, true)
			rt.TopicID = t.physical
			forward = append(forward, rt)
			continue
		}
		x.reject(&t, grant.Read)
		out := kmsg.NewShareAcknowledgeResponseTopic()
		out.TopicID = rt.TopicID
		for _, p := range rt.Partitions {
			rp := kmsg.NewShareAcknowledgeResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = -1, -1
			out.Partitions = append(out.Partitions, rp)
		}
		m.answer(t, out)
	}
	finish := func(resp *kmsg.ShareAcknowledgeResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *topic) topicKey { return topicKey{id: t.TopicID} },
			func(t *topic, to *target) {
				t.TopicID = to.virtual
				for i := range t.Partitions {
					brokerTexts(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorMessage)
				}
			})
		return resp
	}

	final := req.ShareSessionEpoch == -1
	c.mu.Lock()
	lockMillis := s.lockMillis
	s.next = nextEpoch(s.next)
	if final {
		s.broken = true // until it is closed
	} else if m.any || len(req.Topics) == 0 {
		req.ShareSessionEpoch = s.upstream
		s.upstream = nextEpoch(s.upstream)
	}
	c.mu.Unlock()
	if !m.any && len(req.Topics) > 0 && !final {
		resp := kmsg.NewPtrShareAcknowledgeResponse()
		resp.AcquisitionLockTimeoutMillis = lockMillis
		return answer(finish(resp)), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ShareAcknowledgeResponse)
		brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
		c.shareAnswered(s, resp.ErrorCode, final)
		if resp.ErrorCode != 0 {
			resp.Version, resp.Topics, resp.NodeEndpoints = req.Version, nil, nil
			return resp, nil
		}
		resp.NodeEndpoints = advertised(x, resp.NodeEndpoints)
		return finish(resp), nil
	}}, nil
}
