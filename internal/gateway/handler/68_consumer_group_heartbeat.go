package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ConsumerGroupHeartbeat, versions 0 and 1 (KIP-848). The group, topic names
// and topic ids are mapped. Foreign names are taken out of the upstream
// request and the answer is never an error for them: clients would repeat the
// heartbeat without a pause. A client names its topics only when they change,
// so the full list is remembered and sent again with the next heartbeat once
// the grant is another one. A regular expression is evaluated here, against
// exposed names; the broker would run it over the target cluster's.

func consumerGroupHeartbeat(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ConsumerGroupHeartbeatRequest)
	key := memberKey{req.Group, req.MemberID}
	req.Group = x.Grant.Group(req.Group)
	refuse := func(code int16, message string) (Action, error) {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.Version, resp.ErrorCode, resp.ErrorMessage = req.Version, code, &message
		return answer(resp), nil
	}
	if req.SubscribedTopicRegex != nil {
		if _, err := compilePattern(*req.SubscribedTopicRegex); err != nil {
			return refuse(kerr.InvalidRegularExpression.Code, err.Error())
		}
	}
	owned := req.Topics[:0]
	for _, rt := range req.Topics {
		t, err := x.identified(rt.TopicID, grant.Describe)
		if err != nil {
			return Action{}, err
		}
		if t.allowed() {
			rt.TopicID = t.physical
			owned = append(owned, rt)
		}
	}
	if req.Topics != nil {
		req.Topics = owned
	}

	leaving := req.MemberEpoch < 0
	if leaving { // what it subscribes to is of no use to the broker any more
		req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, nil
	} else {
		if err := x.subscribe(key, req); err != nil {
			return Action{}, err
		}
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.Version = req.Version
		brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
		x.Conn.heard(&x.Conn.members, key, resp.ErrorCode, leaving)
		if resp.MemberID != nil {
			x.Conn.identify(key, *resp.MemberID)
		}
		if resp.Assignment == nil {
			return resp, nil
		}
		var err error
		resp.Assignment.Topics, err = exposeIDs(x, resp.Assignment.Topics, func(t *kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) *[16]byte { return &t.TopicID })
		return resp, err
	}}, nil
}

// subscribe replaces the request's subscription by what the broker shall know
// of it, and leaves it out where the broker knows already.
func (x *Exchange) subscribe(key memberKey, req *kmsg.ConsumerGroupHeartbeatRequest) error {
	c := x.Conn
	says := req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil
	c.mu.Lock()
	m := c.member(&c.members, key, says)
	if m == nil {
		c.mu.Unlock()
		return nil // nothing said, nothing remembered: the broker knows
	}
	if req.RebalanceTimeoutMillis >= 0 {
		m.timeout = req.RebalanceTimeoutMillis
	}
	if req.Topics != nil {
		m.owned = slices.Clone(req.Topics)
	}
	if req.SubscribedTopicNames != nil {
		m.names = slices.Clone(req.SubscribedTopicNames)
	}
	if req.SubscribedTopicRegex != nil {
		m.regex = nil
		if *req.SubscribedTopicRegex != "" {
			expression := *req.SubscribedTopicRegex
			m.regex = &expression
		}
	}
	c.weighMember(m)
	names, regex, timeout, owned := m.names, m.regex, m.timeout, slices.Clone(m.owned)
	again := says || m.grant != x.Grant || regex != nil && x.Grant.HasNamespace() || !x.Grant.NextChange(x.Now).IsZero()
	c.mu.Unlock()
	if !again {
		return nil
	}

	var matched []string
	if regex != nil {
		var err error
		if matched, err = x.matching(*regex); err != nil {
			return err
		}
	}
	req.SubscribedTopicRegex = nil
	req.SubscribedTopicNames = x.subscribed(m, says, x.backingNames(names, matched...))
	if !says && req.SubscribedTopicNames != nil {
		// Our own addition makes it a full heartbeat, as a client would send:
		// with its time-out and the partitions it holds, as far as they were
		// said on this connection. Nothing is made up: "no partitions" would
		// give what the member holds to others.
		req.RebalanceTimeoutMillis = timeout
		if req.Topics == nil {
			req.Topics = owned
		}
	}
	return nil
}

// matching returns the backing names of the exposed topics that a regular
// expression matches as a whole, as Kafka has it.
func (x *Exchange) matching(expression string) ([]string, error) {
	re, err := compilePattern(expression)
	if err != nil {
		return nil, nil // refused when it was sent
	}
	var out []string
	for _, t := range x.Grant.Topics {
		if t.Decide(grant.List, x.Now).Verdict == grant.Allow && matchesWhole(re, t.Exposed) {
			out = append(out, t.Backing)
		}
	}
	if x.Grant.HasNamespace() {
		own, err := x.Conn.Cluster.Topics(x.Context, x.Grant.Prefix)
		if err != nil {
			return nil, err
		}
		for _, t := range own {
			if exposed, ok := x.Grant.OwnTopicExposed(t.Name); ok && matchesWhole(re, exposed) {
				out = append(out, t.Name)
			}
		}
	}
	return out, nil
}

// identify lets a member keep what it said before it got its id (version 0).
func (c *Conn) identify(key memberKey, id string) {
	if key.member != "" || id == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[key]; m != nil {
		now := memberKey{key.group, id}
		delete(c.members, key)
		c.forgetMember(c.members, now)
		c.members[now] = m
	}
}
