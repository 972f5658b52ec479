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
	action := byName[kmsg.DeleteShareGroupOffsetsRequestTopic, topic]{
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
		send: ifEmpty,
	}.serve(x, req)
	if merge := action.Response; merge != nil {
		action.Response = func(kr kmsg.Response) (kmsg.Response, error) {
			resp := kr.(*kmsg.DeleteShareGroupOffsetsResponse)
			brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
			if resp.ErrorCode != 0 { // of the group: nothing was done
				resp.Version, resp.Topics = req.Version, nil
				return resp, nil
			}
			return merge(resp)
		}
	}
	return action, nil
}
