package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator, versions 0 to 6; several keys from 4 on (KIP-699). Groups
// (type 0) and transactional ids (type 1) are mapped, brokers get our
// addresses. Type 2 (share groups' state, keyed by topic id) is between
// brokers and refused.

const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
)

func findCoordinator(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.FindCoordinatorRequest)
	single := req.Version < 4
	keys := req.CoordinatorKeys
	if single {
		keys = []string{req.CoordinatorKey}
	}
	if req.CoordinatorType != coordinatorGroup && req.CoordinatorType != coordinatorTransaction {
		resp := kmsg.NewPtrFindCoordinatorResponse()
		resp.Version, resp.NodeID, resp.Port, resp.ErrorCode = req.Version, -1, -1, kerr.InvalidRequest.Code
		if !single {
			resp.ErrorCode = 0
			for _, k := range keys {
				c := kmsg.NewFindCoordinatorResponseCoordinator()
				c.Key, c.NodeID, c.Port, c.ErrorCode = k, -1, -1, kerr.InvalidRequest.Code
				resp.Coordinators = append(resp.Coordinators, c)
			}
		}
		return answer(resp), nil
	}
	asked := make(map[string]string, len(keys)) // physical → as asked
	for i, k := range keys {
		physical := x.Grant.Group(k)
		if req.CoordinatorType == coordinatorTransaction {
			physical = x.Grant.TransactionalID(k)
		}
		asked[physical] = k
		if single {
			req.CoordinatorKey = physical
		} else {
			req.CoordinatorKeys[i] = physical
		}
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.FindCoordinatorResponse)
		resp.Version = req.Version
		locate := func(node int32, host *string, port *int32, code *int16, message **string) {
			brokerTexts(*code, message)
			if *code != 0 {
				*host, *port = "", -1
				return
			}
			h, p, ok := x.Conn.Addresses.Advertise(node)
			if !ok {
				*host, *port, *code = "", -1, kerr.CoordinatorNotAvailable.Code
				return
			}
			*host, *port = h, p
		}
		if single {
			locate(resp.NodeID, &resp.Host, &resp.Port, &resp.ErrorCode, &resp.ErrorMessage)
			if resp.ErrorCode != 0 {
				resp.NodeID = -1
			}
			return resp, nil
		}
		kept := resp.Coordinators[:0]
		for _, c := range resp.Coordinators {
			key, ok := asked[c.Key]
			if !ok {
				x.Conn.foreign(x, "coordinator key")
				continue
			}
			c.Key = key
			locate(c.NodeID, &c.Host, &c.Port, &c.ErrorCode, &c.ErrorMessage)
			if c.ErrorCode != 0 {
				c.NodeID = -1
			}
			kept = append(kept, c)
		}
		resp.Coordinators = kept
		return resp, nil
	}}, nil
}
