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

type memberKey struct{ group, member string }

// member is what a KIP-848 member last said it subscribes to.
type member struct {
	names   []string
	regex   *string
	timeout int32                                     // rebalance timeout, in milliseconds
	owned   []kmsg.ConsumerGroupHeartbeatRequestTopic // by physical id
	grant   *grant.Grant                              // under which it was last sent upstream
	sent    []string
	weight  int
}

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
		x.Conn.heard(key, resp, leaving)
		if resp.Assignment != nil {
			kept := resp.Assignment.Topics[:0]
			for _, t := range resp.Assignment.Topics {
				backing, ok, err := x.Conn.Cluster.TopicName(x.Context, t.TopicID)
				if err != nil {
					return nil, err
				}
				vid, mine := x.exposeID(backing, t.TopicID)
				if !ok || !mine {
					x.Conn.foreign(x, "topic id")
					continue
				}
				t.TopicID = vid
				kept = append(kept, t)
			}
			resp.Assignment.Topics = kept
		}
		return resp, nil
	}}, nil
}

// subscribe replaces the request's subscription by what the broker shall know
// of it, and leaves it out where the broker knows already.
func (x *Exchange) subscribe(key memberKey, req *kmsg.ConsumerGroupHeartbeatRequest) error {
	c := x.Conn
	c.mu.Lock()
	m := c.members[key]
	if m == nil && (req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil) {
		if len(c.members) >= c.Limits.Members {
			for _, old := range c.members {
				c.memberBytes -= old.weight
			}
			c.members = nil
		}
		if c.members == nil {
			c.members = make(map[memberKey]*member)
		}
		m = &member{timeout: -1}
		c.members[key] = m
	}
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
	said := req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil
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
	weight := nameBytes(m.names)
	if m.regex != nil {
		weight += len(*m.regex)
	}
	for i := range m.owned {
		weight += 48 + 4*len(m.owned[i].Partitions)
	}
	c.weighMember(&m.weight, weight)
	names, regex, last, timeout, owned := m.names, m.regex, m.sent, m.timeout, slices.Clone(m.owned)
	again := said || m.grant != x.Grant || regex != nil && x.Grant.HasNamespace() || !x.Grant.NextChange(x.Now).IsZero()
	c.mu.Unlock()
	if !again {
		return nil
	}

	backing := []string{}
	for _, n := range names {
		t := x.named(n, grant.Describe)
		if !t.allowed() {
			x.reject(&t, grant.Describe)
			continue
		}
		backing = append(backing, t.backing)
	}
	if regex != nil {
		matched, err := x.matching(*regex)
		if err != nil {
			return err
		}
		backing = append(backing, matched...)
	}
	slices.Sort(backing)
	backing = slices.Compact(backing)
	req.SubscribedTopicRegex = nil
	req.SubscribedTopicNames = nil
	if said || !slices.Equal(backing, last) {
		req.SubscribedTopicNames = backing
	}
	if !said && req.SubscribedTopicNames != nil {
		// Our own addition makes it a full heartbeat, as a client would send:
		// with its time-out and the partitions it holds, as far as they were
		// said on this connection. Nothing is made up: "no partitions" would
		// give what the member holds to others.
		req.RebalanceTimeoutMillis = timeout
		if req.Topics == nil {
			req.Topics = owned
		}
	}
	c.mu.Lock()
	m.grant, m.sent = x.Grant, backing
	c.mu.Unlock()
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

// heard follows a member: one that left is forgotten, one that the broker
// fenced will say everything again, and one that got its id keeps what it said
// before it had one (version 0).
func (c *Conn) heard(key memberKey, resp *kmsg.ConsumerGroupHeartbeatResponse, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[key]
	if m == nil {
		return
	}
	if left || resp.ErrorCode == kerr.UnknownMemberID.Code || resp.ErrorCode == kerr.FencedMemberEpoch.Code {
		c.memberBytes -= m.weight
		delete(c.members, key)
		return
	}
	if key.member == "" && resp.MemberID != nil && *resp.MemberID != "" {
		delete(c.members, key)
		now := memberKey{key.group, *resp.MemberID}
		if old := c.members[now]; old != nil {
			c.memberBytes -= old.weight
		}
		c.members[now] = m
	}
}
