package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// OffsetDelete, version 0 (KIP-496). Group and topics are mapped.

func offsetDelete(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.OffsetDeleteRequest)
	req.Group = x.Grant.Group(req.Group)
	var m merger[kmsg.OffsetDeleteResponseTopic]
	var forward []kmsg.OffsetDeleteRequestTopic
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Describe)
		if t.allowed() {
			m.forward(t, false)
			rt.Topic = t.backing
			forward = append(forward, rt)
			continue
		}
		x.reject(&t, grant.Describe)
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = rt.Topic
		for _, p := range rt.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
			out.Partitions = append(out.Partitions, rp)
		}
		m.answer(t, out)
	}
	finish := func(resp *kmsg.OffsetDeleteResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.OffsetDeleteResponseTopic) topicKey { return topicKey{name: t.Topic} },
			func(t *kmsg.OffsetDeleteResponseTopic, to *target) { t.Topic = to.exposed })
		return resp
	}
	if !m.any && len(req.Topics) > 0 {
		return answer(finish(kmsg.NewPtrOffsetDeleteResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.OffsetDeleteResponse)), nil
	}}, nil
}
