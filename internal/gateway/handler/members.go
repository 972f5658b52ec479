package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// members are the members of a connection's groups of one kind, consumer groups
// (KIP-848) or share groups (KIP-932). They name their topics only when they
// change, so that is remembered and sent again with the next heartbeat once the
// grant is another one. Conn.mu guards them.
type members map[memberKey]*member

type memberKey struct{ group, member string }

// member is what a member last said it subscribes to.
type member struct {
	names  []string
	grant  *grant.Grant // under which it was last sent upstream
	sent   []string
	weight int // in Conn.memberBytes

	// Of consumer groups only.
	regex   *string
	timeout int32                                     // rebalance timeout, in milliseconds
	owned   []kmsg.ConsumerGroupHeartbeatRequestTopic // by physical id
}

// member returns what is remembered of a member, or nil, where it has said
// nothing on this connection. The caller holds c.mu.
func (c *Conn) member(of *members, key memberKey, says bool) *member {
	m := (*of)[key]
	if m != nil || !says {
		return m
	}
	if len(*of) >= c.Limits.Members {
		c.forgetMembers(of)
	}
	if *of == nil {
		*of = make(members)
	}
	m = &member{timeout: -1}
	(*of)[key] = m
	return m
}

// weighMember counts what a member said of topics anew. If that is not within
// bounds, all members are forgotten: what one said is then known to the broker
// only, until it says it again. The caller holds c.mu.
func (c *Conn) weighMember(m *member) {
	weight := nameBytes(m.names)
	if m.regex != nil {
		weight += len(*m.regex)
	}
	for i := range m.owned {
		weight += 48 + 4*len(m.owned[i].Partitions)
	}
	c.memberBytes += weight - m.weight
	m.weight = weight
	if c.memberBytes > c.Limits.MemberBytes {
		c.forgetMembers(&c.members)
		c.forgetMembers(&c.shareMembers)
	}
}

// nameBytes is about what a name takes to be remembered, once as it was said and
// once as it was sent.
func nameBytes(names []string) (n int) {
	for _, name := range names {
		n += 2 * (len(name) + 24)
	}
	return n
}

// forgetMembers forgets all of a kind. The caller holds c.mu.
func (c *Conn) forgetMembers(of *members) {
	for _, m := range *of {
		c.memberBytes -= m.weight
	}
	*of = nil
}

// forgetMember forgets one. The caller holds c.mu.
func (c *Conn) forgetMember(of members, key memberKey) {
	if m := of[key]; m != nil {
		c.memberBytes -= m.weight
		delete(of, key)
	}
}

// subscribed returns the topics of a member for its heartbeat, nil where the
// broker knows them already, and remembers that they were sent.
func (x *Exchange) subscribed(m *member, says bool, backing []string) []string {
	x.Conn.mu.Lock()
	defer x.Conn.mu.Unlock()
	known := !says && slices.Equal(backing, m.sent)
	m.grant, m.sent = x.Grant, backing
	if known {
		return nil
	}
	return backing
}

// heard follows a member after an answer: one that left is forgotten, and one
// that the broker fenced will say everything again.
func (c *Conn) heard(of *members, key memberKey, code int16, left bool) {
	if left || code == kerr.UnknownMemberID.Code || code == kerr.FencedMemberEpoch.Code {
		c.mu.Lock()
		c.forgetMember(*of, key)
		c.mu.Unlock()
	}
}

// backingNames returns the backing names of the topics that may be described,
// and of more, each once and in order; never nil. The others are rejected.
func (x *Exchange) backingNames(exposed []string, more ...string) []string {
	backing := make([]string, 0, len(exposed)+len(more))
	for _, name := range exposed {
		t := x.named(name, grant.Describe)
		if !t.allowed() {
			x.reject(&t, grant.Describe)
			continue
		}
		backing = append(backing, t.backing)
	}
	backing = append(backing, more...)
	slices.Sort(backing)
	return slices.Compact(backing)
}
