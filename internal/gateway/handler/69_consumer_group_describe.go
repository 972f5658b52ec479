package handler

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ConsumerGroupDescribe, versions 0 and 1 (KIP-848). Groups, topic names and
// ids are mapped, members' hosts are hidden.

func consumerGroupDescribe(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ConsumerGroupDescribeRequest)
	at := func(t *kmsg.AssignmentTopicPartition) (*string, *[16]byte) { return &t.Topic, &t.TopicID }
	return ofGroups[kmsg.ConsumerGroupDescribeResponseGroup]{
		groups: req.Groups,
		list: func(r kmsg.Response) *[]kmsg.ConsumerGroupDescribeResponseGroup {
			return &r.(*kmsg.ConsumerGroupDescribeResponse).Groups
		},
		fields: func(g *kmsg.ConsumerGroupDescribeResponseGroup) (*string, int16, **string) {
			return &g.Group, g.ErrorCode, &g.ErrorMessage
		},
		each: func(g *kmsg.ConsumerGroupDescribeResponseGroup) {
			if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = groupOperations
			}
			for i := range g.Members {
				m := &g.Members[i]
				x.exposeMember(&m.ClientID, &m.ClientHost)
				if m.SubscribedTopicRegex != nil { // one would be of names on the target cluster
					m.SubscribedTopicRegex = new(string)
				}
				m.SubscribedTopics = x.exposeNames(m.SubscribedTopics)
				m.Assignment.TopicPartitions = exposeEach(x, m.Assignment.TopicPartitions, at)
				m.TargetAssignment.TopicPartitions = exposeEach(x, m.TargetAssignment.TopicPartitions, at)
			}
		},
	}.serve(x, req), nil
}

// ClientID is the client id under which a client's connection is known to the
// target cluster: its quotas and logs tell applications apart by it.
func ClientID(g *grant.Grant, client string) string {
	return g.Application + "/" + client[:min(len(client), maxClientID)]
}

const maxClientID = 1024

// clientID undoes ClientID.
func (x *Exchange) clientID(physical string) string {
	return strings.TrimPrefix(physical, x.Grant.Application+"/")
}
