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
	return byName[kmsg.OffsetDeleteRequestTopic, kmsg.OffsetDeleteResponseTopic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.OffsetDeleteRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, t *kmsg.OffsetDeleteRequestTopic, _ string) kmsg.OffsetDeleteResponseTopic {
			out := kmsg.NewOffsetDeleteResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetDeleteResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list:    func(r kmsg.Response) *[]kmsg.OffsetDeleteResponseTopic { return &r.(*kmsg.OffsetDeleteResponse).Topics },
		exposed: func(t *kmsg.OffsetDeleteResponseTopic) *string { return &t.Topic },
		send:    ifEmpty,
	}.serve(x, req), nil
}
