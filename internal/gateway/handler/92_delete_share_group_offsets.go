package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DeleteShareGroupOffsets, version 0 (KIP-932). The group, topic names and ids
// are mapped; it is free for every topic that the application has or had.

func deleteShareGroupOffsets(x *Exchange, r kmsg.Request) (Action, error) {
	type topic = kmsg.DeleteShareGroupOffsetsResponseTopic
	req := r.(*kmsg.DeleteShareGroupOffsetsRequest)
	req.GroupID = x.Grant.Group(req.GroupID)
	return byName[kmsg.DeleteShareGroupOffsetsRequestTopic, topic]{
		op:     grant.Describe,
		topics: &req.Topics,
		name:   func(t *kmsg.DeleteShareGroupOffsetsRequestTopic) *string { return &t.Topic },
		refused: func(_ *target, _ *kmsg.DeleteShareGroupOffsetsRequestTopic, id string) topic {
			out := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
			out.ErrorCode, out.ErrorMessage = kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, id)
			return out
		},
		list:    func(r kmsg.Response) *[]topic { return &r.(*kmsg.DeleteShareGroupOffsetsResponse).Topics },
		exposed: func(t *topic) *string { return &t.Topic },
		tidy: func(t *topic, to *target) {
			x.exposeBoth(&t.Topic, &t.TopicID, to)
			brokerTexts(t.ErrorCode, &t.ErrorMessage)
		},
		whole: func(kr kmsg.Response) (int16, **string) {
			resp := kr.(*kmsg.DeleteShareGroupOffsetsResponse)
			return resp.ErrorCode, &resp.ErrorMessage
		},
		send: ifEmpty,
	}.serve(x, req), nil
}
