package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// OffsetForLeaderEpoch, versions 2 to 4 (KIP-320). Topics are renamed; asking
// as a replica is refused.

func offsetForLeaderEpoch(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.OffsetForLeaderEpochRequest)
	if req.Version >= 3 && req.ReplicaID >= 0 {
		return Action{Close: "offset for leader epoch as a replica"}, nil
	}
	req.ReplicaID = -1
	var m merger[kmsg.OffsetForLeaderEpochResponseTopic]
	var forward []kmsg.OffsetForLeaderEpochRequestTopic
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Describe)
		if t.allowed() {
			m.forward(t, false)
			rt.Topic = t.backing
			forward = append(forward, rt)
			continue
		}
		x.reject(&t, grant.Describe)
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = rt.Topic
		for _, p := range rt.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.LeaderEpoch, rp.EndOffset = p.Partition, kerr.TopicAuthorizationFailed.Code, -1, -1
			out.Partitions = append(out.Partitions, rp)
		}
		m.answer(t, out)
	}
	finish := func(resp *kmsg.OffsetForLeaderEpochResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.OffsetForLeaderEpochResponseTopic) topicKey { return topicKey{name: t.Topic} },
			func(t *kmsg.OffsetForLeaderEpochResponseTopic, to *target) { t.Topic = to.exposed })
		return resp
	}
	if !m.any {
		return answer(finish(kmsg.NewPtrOffsetForLeaderEpochResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.OffsetForLeaderEpochResponse)), nil
	}}, nil
}
