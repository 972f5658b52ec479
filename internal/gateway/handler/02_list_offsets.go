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
	return byName[kmsg.ListOffsetsRequestTopic, kmsg.ListOffsetsResponseTopic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.ListOffsetsRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, t *kmsg.ListOffsetsRequestTopic, _ string) kmsg.ListOffsetsResponseTopic {
			out := kmsg.NewListOffsetsResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.Offset, rp.Timestamp = p.Partition, kerr.TopicAuthorizationFailed.Code, -1, -1
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list:    func(r kmsg.Response) *[]kmsg.ListOffsetsResponseTopic { return &r.(*kmsg.ListOffsetsResponse).Topics },
		exposed: func(t *kmsg.ListOffsetsResponseTopic) *string { return &t.Topic },
	}.serve(x, req), nil
}
