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
	asked := make(map[string]string, len(req.Groups))
	for i, g := range req.Groups {
		req.Groups[i] = x.Grant.Group(g)
		asked[req.Groups[i]] = g
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ConsumerGroupDescribeResponse)
		resp.Version = req.Version
		kept := resp.Groups[:0]
		for _, g := range resp.Groups {
			name, ok := asked[g.Group]
			if !ok {
				x.Conn.foreign(x, "group")
				continue
			}
			g.Group = name
			brokerTexts(g.ErrorCode, &g.ErrorMessage)
			if req.IncludeAuthorizedOperations {
				g.AuthorizedOperations = groupOperations
			}
			for i := range g.Members {
				m := &g.Members[i]
				m.ClientID, m.ClientHost = x.clientID(m.ClientID), hiddenHost
				m.SubscribedTopicRegex = nil
				names := m.SubscribedTopics[:0]
				for _, n := range m.SubscribedTopics {
					if exposed, ok := x.expose(n); ok {
						names = append(names, exposed)
					}
				}
				m.SubscribedTopics = names
				m.Assignment.TopicPartitions = x.exposeAssigned(m.Assignment.TopicPartitions)
				m.TargetAssignment.TopicPartitions = x.exposeAssigned(m.TargetAssignment.TopicPartitions)
			}
			kept = append(kept, g)
		}
		resp.Groups = kept
		return resp, nil
	}}, nil
}

func (x *Exchange) exposeAssigned(in []kmsg.AssignmentTopicPartition) []kmsg.AssignmentTopicPartition {
	out := in[:0]
	for _, t := range in {
		exposed, ok := x.expose(t.Topic)
		if !ok {
			x.Conn.foreign(x, "topic")
			continue
		}
		id, _ := x.exposeID(t.Topic, t.TopicID)
		t.Topic, t.TopicID = exposed, id
		out = append(out, t)
	}
	return out
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
