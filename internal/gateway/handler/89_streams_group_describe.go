package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// StreamsGroupDescribe, version 0 (KIP-1071). Groups and topic names are
// mapped, members' hosts are hidden; endpoints and tags are the application's
// own.

func streamsGroupDescribe(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.StreamsGroupDescribeRequest)
	infos := func(in []kmsg.TopicInfo) []kmsg.TopicInfo {
		return exposeEach(x, in, func(t *kmsg.TopicInfo) (*string, *[16]byte) { return &t.Topic, nil })
	}
	return ofGroups[kmsg.StreamsGroupDescribeResponseGroup]{
		groups: req.Groups,
		list: func(r kmsg.Response) *[]kmsg.StreamsGroupDescribeResponseGroup {
			return &r.(*kmsg.StreamsGroupDescribeResponse).Groups
		},
		fields: func(g *kmsg.StreamsGroupDescribeResponseGroup) (*string, int16, **string) {
			return &g.Group, g.ErrorCode, &g.ErrorMessage
		},
		each: func(g *kmsg.StreamsGroupDescribeResponseGroup) {
			if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = groupOperations
			}
			for i := range g.Members {
				m := &g.Members[i]
				x.exposeMember(&m.ClientID, &m.ClientHost)
			}
			if g.Topology == nil {
				return
			}
			for i := range g.Topology.Subtopologies {
				s := &g.Topology.Subtopologies[i]
				s.SourceTopics = x.exposeNames(s.SourceTopics)
				s.RepartitionSinkTopics = x.exposeNames(s.RepartitionSinkTopics)
				s.StateChangelogTopics = infos(s.StateChangelogTopics)
				s.RepartitionSourceTopics = infos(s.RepartitionSourceTopics)
			}
		},
	}.serve(x, req), nil
}
