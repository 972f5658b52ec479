package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// OffsetCommit, versions 2 to 10; by topic id from 10 on. Group and topics are
// mapped. It never fails for a topic that the application has or had: a broker that
// knows applications apart refuses one that was lost, and clients hear of success.

func offsetCommit(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.OffsetCommitRequest)
	byID := req.Version >= 10
	req.Group = x.Grant.Group(req.Group)
	var m merger[kmsg.OffsetCommitResponseTopic]
	var forward []kmsg.OffsetCommitRequestTopic
	for _, rt := range req.Topics {
		t, err := x.resolve(byID, rt.Topic, rt.TopicID, grant.Describe)
		if err != nil {
			return Action{}, err
		}
		if t.allowed() {
			m.forward(t, byID)
			rt.Topic, rt.TopicID = t.backing, t.physical
			forward = append(forward, rt)
			continue
		}
		x.reject(&t, grant.Describe)
		m.answer(t, notCommitted(rt, refusedCode(byID)))
	}
	finish := func(resp *kmsg.OffsetCommitResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.OffsetCommitResponseTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
			func(t *kmsg.OffsetCommitResponseTopic, to *target) {
				t.Topic, t.TopicID = nameOrID(byID, to)
				for i := range t.Partitions {
					x.forgive(to, &t.Partitions[i].ErrorCode)
				}
			})
		return resp
	}
	if !m.any && len(req.Topics) > 0 {
		return answer(finish(kmsg.NewPtrOffsetCommitResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.OffsetCommitResponse)), nil
	}}, nil
}

// forgive clears a broker's refusal of an offset on a topic that the application has lost.
func (x *Exchange) forgive(t *target, code *int16) {
	if *code != kerr.TopicAuthorizationFailed.Code || t.topic == nil {
		return
	}
	if t.topic.Read.Access == grant.Withdrawn || t.topic.At(x.Now).State == grant.Ended {
		*code = 0
	}
}

// notCommitted answers a topic with an error.
func notCommitted(t kmsg.OffsetCommitRequestTopic, code int16) kmsg.OffsetCommitResponseTopic {
	out := kmsg.NewOffsetCommitResponseTopic()
	out.Topic, out.TopicID = t.Topic, t.TopicID
	for _, p := range t.Partitions {
		rp := kmsg.NewOffsetCommitResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p.Partition, code
		out.Partitions = append(out.Partitions, rp)
	}
	return out
}

// refusedCode says "no such topic for you" in the way the request names topics.
func refusedCode(byID bool) int16 {
	if byID {
		return kerr.UnknownTopicID.Code
	}
	return kerr.TopicAuthorizationFailed.Code
}
