package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The classic group protocol: JoinGroup 0 to 9, Heartbeat 0 to 4, LeaveGroup 0
// to 5, SyncGroup 0 to 5. The group is mapped, and so are the topic names in
// the opaque bytes of the "consumer" protocol (embedded.go). Other protocol
// types ("connect") pass as they are: their bytes name no topics of the
// cluster that the broker would look at.

func joinGroup(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.JoinGroupRequest)
	if req.Group == "" { // behind the prefix it would be a name like any other
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.Version, resp.ErrorCode, resp.Generation, resp.MemberID = req.Version, kerr.InvalidGroupID.Code, -1, req.MemberID
		if req.Version < 7 {
			resp.Protocol = new(string)
		}
		return answer(resp), nil
	}
	req.Group = x.Grant.Group(req.Group)
	consumer := req.ProtocolType == consumerProtocol
	if consumer {
		for i := range req.Protocols {
			p := &req.Protocols[i]
			if b, err := embedSubscription(x.Grant, p.Metadata); err == nil {
				p.Metadata = b
			} else {
				return Action{Close: fmt.Sprintf("join group with protocol %q: %v", p.Name, err)}, nil
			}
		}
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.JoinGroupResponse)
		resp.Version = req.Version
		if consumer {
			for i := range resp.Members {
				m := &resp.Members[i]
				b, err := exposeSubscription(x.Grant, m.ProtocolMetadata)
				if err != nil {
					return nil, fmt.Errorf("metadata of group member: %w", err)
				}
				m.ProtocolMetadata = b
			}
		}
		return resp, nil
	}}, nil
}

func syncGroup(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.SyncGroupRequest)
	req.Group = x.Grant.Group(req.Group)
	// Before version 5 a member does not say which protocol it speaks; what
	// parses as an assignment is one.
	consumer := req.ProtocolType == nil || *req.ProtocolType == consumerProtocol
	certain := req.ProtocolType != nil
	if consumer {
		for i := range req.GroupAssignment {
			a := &req.GroupAssignment[i]
			b, err := embedAssignment(x.Grant, a.MemberAssignment)
			if err != nil {
				if certain {
					return Action{Close: fmt.Sprintf("sync group: %v", err)}, nil
				}
				continue
			}
			a.MemberAssignment = b
		}
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.SyncGroupResponse)
		resp.Version = req.Version
		if consumer {
			b, err := exposeAssignment(x.Grant, resp.MemberAssignment)
			if err == nil {
				resp.MemberAssignment = b
			} else if certain {
				return nil, fmt.Errorf("assignment of group member: %w", err)
			}
		}
		return resp, nil
	}}, nil
}

func heartbeat(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.HeartbeatRequest)
	req.Group = x.Grant.Group(req.Group)
	return Action{Upstream: req}, nil
}

func leaveGroup(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.LeaveGroupRequest)
	req.Group = x.Grant.Group(req.Group)
	return Action{Upstream: req}, nil
}
