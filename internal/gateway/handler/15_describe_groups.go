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
	return ofGroups[kmsg.DescribeGroupsResponseGroup]{
		groups: req.Groups,
		list: func(r kmsg.Response) *[]kmsg.DescribeGroupsResponseGroup {
			return &r.(*kmsg.DescribeGroupsResponse).Groups
		},
		fields: func(g *kmsg.DescribeGroupsResponseGroup) (*string, int16, **string) {
			return &g.Group, g.ErrorCode, &g.ErrorMessage
		},
		each: func(g *kmsg.DescribeGroupsResponseGroup) {
			if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = groupOperations
			}
			for i := range g.Members {
				m := &g.Members[i]
				x.exposeMember(&m.ClientID, &m.ClientHost)
				if g.ProtocolType != consumerProtocol {
					continue
				}
				m.ProtocolMetadata = orEmpty(exposeSubscription(x.Grant, m.ProtocolMetadata))
				m.MemberAssignment = orEmpty(exposeAssignment(x.Grant, m.MemberAssignment))
			}
		},
	}.serve(x, req), nil
}

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
	return ofGroups[kmsg.DeleteGroupsResponseGroup]{
		groups: req.Groups,
		list:   func(r kmsg.Response) *[]kmsg.DeleteGroupsResponseGroup { return &r.(*kmsg.DeleteGroupsResponse).Groups },
		fields: func(g *kmsg.DeleteGroupsResponseGroup) (*string, int16, **string) {
			return &g.Group, g.ErrorCode, &g.ErrorMessage
		},
	}.serve(x, req), nil
}
