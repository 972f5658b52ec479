package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ListOffsets, versions 1 to 10. Topics are renamed. It never fails for a topic
// that the application has or had: clients take an error here as a reason to
// stop everything (the design's §2.1).

func listOffsets(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ListOffsetsRequest)
	if req.ReplicaID >= 0 {
		return Action{Close: "list offsets as a replica"}, nil
	}
	req.ReplicaID = -1
	var m merger[kmsg.ListOffsetsResponseTopic]
	var forward []kmsg.ListOffsetsRequestTopic
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Describe)
		if t.allowed() {
			m.forward(t, false)
			rt.Topic = t.backing
			forward = append(forward, rt)
			continue
		}
		x.reject(&t, grant.Describe)
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = rt.Topic
		for _, p := range rt.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.Offset, rp.Timestamp = p.Partition, kerr.TopicAuthorizationFailed.Code, -1, -1
			out.Partitions = append(out.Partitions, rp)
		}
		m.answer(t, out)
	}
	finish := func(resp *kmsg.ListOffsetsResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.ListOffsetsResponseTopic) topicKey { return topicKey{name: t.Topic} },
			func(t *kmsg.ListOffsetsResponseTopic, to *target) { t.Topic = to.exposed })
		return resp
	}
	if !m.any {
		return answer(finish(kmsg.NewPtrListOffsetsResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.ListOffsetsResponse)), nil
	}}, nil
}
