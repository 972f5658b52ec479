package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// AlterShareGroupOffsets, version 0 (KIP-932). The group, topic names and ids
// are mapped; like a commit of offsets it is free for every topic that the
// application has or had.

func alterShareGroupOffsets(x *Exchange, r kmsg.Request) (Action, error) {
	type topic = kmsg.AlterShareGroupOffsetsResponseTopic
	req := r.(*kmsg.AlterShareGroupOffsetsRequest)
	req.GroupID = x.Grant.Group(req.GroupID)
	return byName[kmsg.AlterShareGroupOffsetsRequestTopic, topic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.AlterShareGroupOffsetsRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, t *kmsg.AlterShareGroupOffsetsRequestTopic, id string) topic {
			out := kmsg.NewAlterShareGroupOffsetsResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewAlterShareGroupOffsetsResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.ErrorMessage = p.Partition, kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, id)
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list:    func(r kmsg.Response) *[]topic { return &r.(*kmsg.AlterShareGroupOffsetsResponse).Topics },
		exposed: func(t *topic) *string { return &t.Topic },
		tidy: func(t *topic, to *target) {
			x.exposeBoth(&t.Topic, &t.TopicID, to)
			for i := range t.Partitions {
				brokerTexts(t.Partitions[i].ErrorCode, &t.Partitions[i].ErrorMessage)
			}
		},
		whole: func(kr kmsg.Response) (int16, **string) {
			resp := kr.(*kmsg.AlterShareGroupOffsetsResponse)
			return resp.ErrorCode, &resp.ErrorMessage
		},
		send: ifEmpty,
	}.serve(x, req), nil
}
