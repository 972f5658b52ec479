package handler

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// StreamsGroupHeartbeat, version 0 (KIP-1071). The group and the topics of the
// topology are mapped: source topics to their backing topics, internal ones
// into the application's namespace, where the broker creates them; so what it
// would create is counted before the topology reaches it. Regular expressions
// for source topics are refused, as brokers up to 4.3 do, and never evaluated
// over the target cluster's names.
//
// A topology stays with its group in the broker, which refuses another one in
// the same epoch. One that cannot run here, since a source topic is not the
// application's or the namespace has no room, is therefore not sent at all: the
// member waits in the gateway and is told so by its status, as a broker tells
// of topics that are missing. A topic that does not exist looks the same.

const (
	// A waiting member is asked to join again after so long, and at once when
	// its grant changed: only then it says its topology.
	waitAgain       = 30 * time.Second
	maxWaiting      = 64 // members per connection; one too many is forgotten and joins again
	waitingEpoch    = 1
	streamsInterval = 5000 // milliseconds between heartbeats, Kafka's default
)

// waitingMember is a member whose topology was not sent to the broker.
type waitingMember struct {
	status []kmsg.StreamsGroupHeartbeatResponseStatus
	grant  *grant.Grant
	until  time.Time
}

func streamsGroupHeartbeat(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.StreamsGroupHeartbeatRequest)
	key := memberKey{req.Group, req.MemberID}
	local := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	local.Version, local.MemberID = req.Version, req.MemberID
	refuse := func(e *kerr.Error, message string) (Action, error) {
		local.ErrorCode, local.ErrorMessage = e.Code, &message
		return answer(local), nil
	}

	var prepared *preparedTopology
	if req.Topology == nil {
		if w := x.Conn.waitingStreams(key); w != nil {
			return x.wait(key, w, req, local)
		}
	} else {
		x.Conn.forgetWaitingStreams(key) // it joins again
		var refused *kerr.Error
		var message string
		var err error
		prepared, refused, message, err = x.prepareTopology(req.Topology)
		if err != nil {
			return Action{}, err
		}
		if refused != nil {
			return refuse(refused, message)
		}
		if len(prepared.status) > 0 {
			w := &waitingMember{status: prepared.status, grant: x.Grant, until: x.Now.Add(waitAgain)}
			x.Conn.waitStreams(key, w)
			return x.wait(key, w, req, local)
		}
	}

	req.Group = x.Grant.Group(req.Group)
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.StreamsGroupHeartbeatResponse)
		resp.Version = req.Version
		prepared.settle(resp.ErrorCode)
		brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
		for i := range resp.Status {
			resp.Status[i].StatusDetail = x.exposeText(resp.Status[i].StatusDetail)
		}
		for i := range resp.PartitionsByUserEndpoint {
			e := &resp.PartitionsByUserEndpoint[i]
			e.ActivePartitions = exposeEach(x, e.ActivePartitions, func(p *kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition) (*string, *[16]byte) {
				return &p.Topic, nil
			})
			e.StandbyPartitions = exposeEach(x, e.StandbyPartitions, func(p *kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition) (*string, *[16]byte) {
				return &p.Topic, nil
			})
		}
		return resp, nil
	}}, nil
}

// wait answers a member that waits here.
func (x *Exchange) wait(key memberKey, w *waitingMember, req *kmsg.StreamsGroupHeartbeatRequest, resp *kmsg.StreamsGroupHeartbeatResponse) (Action, error) {
	switch {
	case req.MemberEpoch < 0:
		x.Conn.forgetWaitingStreams(key)
		resp.MemberEpoch = req.MemberEpoch
		return answer(resp), nil
	case req.Topology == nil && (w.grant != x.Grant || !x.Now.Before(w.until)):
		x.Conn.forgetWaitingStreams(key)
		resp.ErrorCode, resp.ErrorMessage = kerr.UnknownMemberID.Code, describe(kerr.UnknownMemberID)
		return answer(resp), nil
	}
	resp.MemberEpoch, resp.HeartbeatIntervalMillis, resp.Status = waitingEpoch, streamsInterval, w.status
	if req.Topology != nil { // it joined: it has no tasks
		resp.ActiveTasks, resp.StandbyTasks, resp.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	}
	return answer(resp), nil
}

func (c *Conn) waitingStreams(key memberKey) *waitingMember {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[key]
}

func (c *Conn) waitStreams(key memberKey, w *waitingMember) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(map[memberKey]*waitingMember)
	}
	for other := range c.waiting {
		if len(c.waiting) < maxWaiting {
			break
		}
		delete(c.waiting, other)
	}
	c.waiting[key] = w
}

func (c *Conn) forgetWaitingStreams(key memberKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, key)
}
