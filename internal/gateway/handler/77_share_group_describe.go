package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ShareGroupDescribe, version 1 (KIP-932). Groups, topic names and ids are
// mapped, members' hosts are hidden.

func shareGroupDescribe(x *Exchange, r kmsg.Request) (Action, error) {
	type topic = kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition
	req := r.(*kmsg.ShareGroupDescribeRequest)
	return ofGroups[kmsg.ShareGroupDescribeResponseGroup]{
		groups: req.GroupIDs,
		list: func(r kmsg.Response) *[]kmsg.ShareGroupDescribeResponseGroup {
			return &r.(*kmsg.ShareGroupDescribeResponse).Groups
		},
		fields: func(g *kmsg.ShareGroupDescribeResponseGroup) (*string, int16, **string) {
			return &g.GroupID, g.ErrorCode, &g.ErrorMessage
		},
		each: func(g *kmsg.ShareGroupDescribeResponseGroup) {
			if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = groupOperations
			}
			for i := range g.Members {
				m := &g.Members[i]
				x.exposeMember(&m.ClientID, &m.ClientHost)
				m.SubscribedTopicNames = x.exposeNames(m.SubscribedTopicNames)
				m.Assignment.TopicPartitions = exposeEach(x, m.Assignment.TopicPartitions,
					func(t *topic) (*string, *[16]byte) { return &t.Topic, &t.TopicID })
			}
		},
	}.serve(x, req), nil
}
