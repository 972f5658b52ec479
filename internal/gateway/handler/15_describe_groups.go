package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups 0 to 6, ListGroups 0 to 5, DeleteGroups 0 to 2. Groups are
// mapped and foreign ones left out; the names in members' bytes are mapped
// too, client ids lose the part that we put in front, and hosts, which are
// ours as the broker sees them, are hidden.

func describeGroups(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeGroupsRequest)
	asked := make(map[string]string, len(req.Groups))
	for i, g := range req.Groups {
		req.Groups[i] = x.Grant.Group(g)
		asked[req.Groups[i]] = g
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.DescribeGroupsResponse)
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
				if g.ProtocolType != consumerProtocol {
					continue
				}
				m.ProtocolMetadata = orEmpty(exposeSubscription(x.Grant, m.ProtocolMetadata))
				m.MemberAssignment = orEmpty(exposeAssignment(x.Grant, m.MemberAssignment))
			}
			kept = append(kept, g)
		}
		resp.Groups = kept
		return resp, nil
	}}, nil
}

// hiddenHost stands for the host of a group's member.
const hiddenHost = "/0.0.0.0"

// orEmpty shows nothing rather than bytes that could not be mapped.
func orEmpty(b []byte, err error) []byte {
	if err != nil {
		return []byte{}
	}
	return b
}

func listGroups(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ListGroupsRequest)
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ListGroupsResponse)
		resp.Version = req.Version
		kept := resp.Groups[:0]
		for _, g := range resp.Groups {
			if name, ok := x.Grant.GroupExposed(g.Group); ok {
				g.Group = name
				kept = append(kept, g)
			}
		}
		resp.Groups = kept
		return resp, nil
	}}, nil
}

func deleteGroups(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DeleteGroupsRequest)
	asked := make(map[string]string, len(req.Groups))
	for i, g := range req.Groups {
		req.Groups[i] = x.Grant.Group(g)
		asked[req.Groups[i]] = g
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.DeleteGroupsResponse)
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
			kept = append(kept, g)
		}
		resp.Groups = kept
		return resp, nil
	}}, nil
}
