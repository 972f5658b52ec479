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
	return byName[kmsg.OffsetForLeaderEpochRequestTopic, kmsg.OffsetForLeaderEpochResponseTopic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.OffsetForLeaderEpochRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, t *kmsg.OffsetForLeaderEpochRequestTopic, _ string) kmsg.OffsetForLeaderEpochResponseTopic {
			out := kmsg.NewOffsetForLeaderEpochResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.LeaderEpoch, rp.EndOffset = p.Partition, kerr.TopicAuthorizationFailed.Code, -1, -1
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list: func(r kmsg.Response) *[]kmsg.OffsetForLeaderEpochResponseTopic {
			return &r.(*kmsg.OffsetForLeaderEpochResponse).Topics
		},
		exposed: func(t *kmsg.OffsetForLeaderEpochResponseTopic) *string { return &t.Topic },
	}.serve(x, req), nil
}
