// Package handler has one file per Kafka API: what it lets through, what it
// rewrites between an application's virtual cluster and the target cluster,
// and what it answers itself. Its main types are Exchange, one request on its
// way, Action, what becomes of it, and Table, every Kafka API we know. It must
// not know sockets, listeners or logins, nor products, plans or money.
package handler

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// Cluster is what handlers ask of a target cluster. Its methods are safe for
// concurrent use; those with a context may ask the cluster and block until the
// context ends.
type Cluster interface {
	TopicID(ctx context.Context, backing string) (id [16]byte, ok bool, err error)
	TopicName(ctx context.Context, id [16]byte) (backing string, ok bool, err error)
	Topics(ctx context.Context, prefix string) ([]upstream.Topic, error)
	TopicConfigs(ctx context.Context, backing []string) (map[string]map[string]string, error)
	LearnTopic(backing string, id [16]byte)
	ForgetTopic(backing string)
	LearnBrokers([]upstream.Broker)
	Versions() map[int16]upstream.Range
}

// Addresses says where clients reach a broker of the target cluster.
type Addresses interface {
	// Advertise returns the host and port of a broker for the clients of one
	// connection; false when there is none, and the broker stays hidden.
	Advertise(node int32) (host string, port int32, ok bool)
}

// Limits bounds what one request may ask for and one connection may remember.
type Limits struct {
	FetchPartitionMaxBytes int32
	FetchMaxBytes          int32
	SessionPartitions      int // remembered over all fetch sessions of a connection
	Members                int // of KIP-848 and share groups, each, remembered per connection
	MemberBytes            int // what they said of topics, all together
}

// DefaultLimits are the limits of a gateway that is not told otherwise.
var DefaultLimits = Limits{FetchPartitionMaxBytes: 1 << 20, FetchMaxBytes: 8 << 20, SessionPartitions: 20_000, Members: 1000, MemberBytes: 4 << 20}

// Exchange is one request on its way through the gateway. The grant is pinned:
// request and answer are rewritten by the same one.
type Exchange struct {
	Context context.Context
	Version int16
	Grant   *grant.Grant
	Now     time.Time
	Conn    *Conn
	api     *API
}

// Action is what becomes of a request: sent upstream, or answered here, or the
// end of the connection.
type Action struct {
	// Upstream is sent to the broker, nil when the answer is made here.
	Upstream kmsg.Request
	// Response turns the broker's answer into the client's. It runs after
	// later requests may have been handled. Nil passes the answer unchanged.
	Response func(kmsg.Response) (kmsg.Response, error)
	// Raw sends the client's own body upstream, with Patches, instead of a
	// decoded request.
	Raw     bool
	Patches []wire.Patch
	// RawResponse is tried before Response: it turns the broker's body into the
	// client's by patches, which may point into the body. It says no where the
	// answer has to be decoded after all, and has then changed nothing.
	RawResponse func(body []byte) ([]wire.Patch, bool)
	// Pass is asked for how to pass an answer on while it arrives, when that is
	// a large one; nil, or a nil view, where it has to be read as a whole.
	Pass func() *wire.FetchView
	// Batch looks at the header of each record batch of a request that is passed
	// on while it arrives.
	Batch func(header []byte) error
	// Answer is the client's answer where Upstream is nil.
	Answer kmsg.Response
	// Hold delays Answer; a change of the grant ends it early.
	Hold time.Duration
	// Patience is how long the client itself waits for the answer to a raw
	// request.
	Patience time.Duration
	// Mute is how long the connection is not read after the answer (KIP-219).
	Mute time.Duration
	// Silent requests get no answer at all (Produce with acks=0).
	Silent bool
	// Close ends the connection for this reason.
	Close string
}

func answer(r kmsg.Response) Action { return Action{Answer: r} }

// topicKey is a topic as the target cluster's answer names it: by name, or by
// id.
type topicKey struct {
	name string
	id   [16]byte
}

// target is a topic of a request, resolved in both worlds.
type target struct {
	exposed  string        // by name
	virtual  grant.TopicID // by id
	backing  string
	physical grant.TopicID // set when the request goes by id
	topic    *grant.Topic  // nil for a topic of the application's namespace
	decision grant.Decision
}

func (t *target) key(byID bool) topicKey {
	if byID {
		return topicKey{id: t.physical}
	}
	return topicKey{name: t.backing}
}

func (t *target) allowed() bool {
	return t.decision.Verdict == grant.Allow || t.decision.Verdict == grant.AllowSlowly
}

// named resolves a topic name for an operation.
func (x *Exchange) named(exposed string, op grant.Operation) target {
	if topic := x.Grant.Topic(exposed); topic != nil {
		return x.granted(topic, op)
	}
	t := target{exposed: exposed}
	if backing, ok := x.Grant.OwnTopic(exposed); ok {
		t.backing = backing
		t.decision = x.Grant.DecideOwn(op)
		return t
	}
	t.decision = grant.Decision{Verdict: grant.Unknown, Rule: "no subscription brings this topic"}
	return t
}

// granted resolves a topic that a subscription brings.
func (x *Exchange) granted(topic *grant.Topic, op grant.Operation) target {
	return target{exposed: topic.Exposed, virtual: topic.ID, backing: topic.Backing, topic: topic, decision: topic.Decide(op, x.Now)}
}

// identified resolves a virtual topic id for an operation. The error is one of
// the target cluster's; an unknown id is a verdict.
func (x *Exchange) identified(id grant.TopicID, op grant.Operation) (target, error) {
	t := target{virtual: id, topic: x.Grant.TopicByID(id)}
	if t.topic != nil {
		t.exposed, t.backing = t.topic.Exposed, t.topic.Backing
		t.decision = t.topic.Decide(op, x.Now)
		if t.decision.Verdict == grant.Unknown {
			return t, nil
		}
		physical, ok, err := x.Conn.Cluster.TopicID(x.Context, t.backing)
		if err != nil {
			return t, err
		}
		if !ok {
			t.decision = grant.Decision{Verdict: grant.Unknown, Rule: "the backing topic does not exist"}
		}
		t.physical = physical
		return t, nil
	}
	unknown := grant.Decision{Verdict: grant.Unknown, Rule: "no topic of the application has this id"}
	t.decision = unknown
	if !x.Grant.HasNamespace() || id == (grant.TopicID{}) {
		return t, nil
	}
	physical := x.Grant.PhysicalID(id)
	backing, ok, err := x.Conn.Cluster.TopicName(x.Context, physical)
	if err != nil || !ok {
		return t, err
	}
	exposed, ok := x.Grant.OwnTopicExposed(backing)
	if !ok {
		return t, nil
	}
	t.exposed, t.backing, t.physical = exposed, backing, physical
	t.decision = x.Grant.DecideOwn(op)
	return t, nil
}

// resolve is named or identified, by which of the two the request's version
// uses.
func (x *Exchange) resolve(byID bool, name string, id [16]byte, op grant.Operation) (target, error) {
	if byID {
		return x.identified(id, op)
	}
	return x.named(name, op), nil
}

// resolveHot is resolve for a topic of a body that was walked.
func (x *Exchange) resolveHot(byID bool, t *wire.HotTopic, op grant.Operation) (target, error) {
	if !byID {
		if topic := x.Grant.TopicNamed(t.Name); topic != nil {
			return x.granted(topic, op), nil
		}
	}
	return x.resolve(byID, string(t.Name), t.ID, op)
}

// patches collects patches of a body and the names and ids that they put there.
// What one topic needs lies in it: whoever holds it in
// its own memory allocates no more for a body of usual shape.
type patches struct {
	list  []wire.Patch
	names []byte

	first [1]wire.Patch
	space [64]byte
}

func (p *patches) begin(topics int) {
	if p.list, p.names = p.first[:0], p.space[:0]; topics > len(p.first) {
		p.list = make([]wire.Patch, 0, topics)
	}
}

// name puts a string in place of b[at:at+length].
func (p *patches) name(at, length int, name string, flexible bool) {
	from := len(p.names)
	p.names = wire.AppendName(p.names, name, flexible)
	p.list = append(p.list, wire.Patch{At: at, Len: length, With: p.names[from:len(p.names):len(p.names)]})
}

// topic puts a name or an id in place of a topic's.
func (p *patches) topic(t *wire.HotTopic, byID bool, name string, id grant.TopicID, flexible bool) {
	if !byID {
		p.name(t.At, t.Len, name, flexible)
		return
	}
	from := len(p.names)
	p.names = append(p.names, id[:]...)
	p.list = append(p.list, wire.Patch{At: t.At, Len: t.Len, With: p.names[from:len(p.names):len(p.names)]})
}

// expose returns the exposed name of a topic of the target cluster, false for
// one that is not the application's.
func (x *Exchange) expose(backing string) (string, bool) {
	if t := x.Grant.TopicByBacking(backing); t != nil {
		return t.Exposed, t.At(x.Now).State != grant.Refused
	}
	return x.Grant.OwnTopicExposed(backing)
}

// exposeID returns the virtual id of a topic of the target cluster whose
// backing name is known.
func (x *Exchange) exposeID(backing string, physical [16]byte) (grant.TopicID, bool) {
	if t := x.Grant.TopicByBacking(backing); t != nil {
		return t.ID, t.At(x.Now).State != grant.Refused
	}
	if _, ok := x.Grant.OwnTopicExposed(backing); ok {
		return x.Grant.VirtualID(physical), true
	}
	return grant.TopicID{}, false
}

// nodeEndpoint is a broker in an answer about records, which are all of this
// shape.
type nodeEndpoint = struct {
	NodeID      int32
	Host        string
	Port        int32
	Rack        *string
	UnknownTags kmsg.Tags
}

// advertised puts our hosts and ports in place of brokers', and leaves out
// brokers that stay hidden.
func advertised[E ~nodeEndpoint](x *Exchange, in []E) []E {
	out := in[:0]
	for _, e := range in {
		n := nodeEndpoint(e)
		if host, port, ok := x.Conn.Addresses.Advertise(n.NodeID); ok {
			n.Host, n.Port, n.Rack = host, port, nil
			out = append(out, E(n))
		}
	}
	return out
}

// merger puts the answer of a request that was split together again: topics in
// the order asked, those answered here and those of the broker's answer.
// Foreign topics in the broker's answer are dropped and counted.
type merger[R any] struct {
	entries []mergeEntry[R]
	any     bool // something goes upstream
}

type mergeEntry[R any] struct {
	target target
	key    topicKey
	local  *R
}

func (m *merger[R]) forward(t target, byID bool) {
	m.entries = append(m.entries, mergeEntry[R]{target: t, key: t.key(byID)})
	m.any = true
}

func (m *merger[R]) answer(t target, r R) {
	m.entries = append(m.entries, mergeEntry[R]{target: t, local: &r})
}

// merge returns the client's list. key names an answered topic, rename gives
// it the client's name and id.
func (m *merger[R]) merge(x *Exchange, from []R, key func(*R) topicKey, rename func(*R, *target)) []R {
	byKey := make(map[topicKey][]*R, len(from))
	for i := range from {
		k := key(&from[i])
		byKey[k] = append(byKey[k], &from[i])
	}
	out := make([]R, 0, len(m.entries))
	for i := range m.entries {
		e := &m.entries[i]
		if e.local != nil {
			out = append(out, *e.local)
			continue
		}
		if rest := byKey[e.key]; len(rest) > 0 {
			r := *rest[0]
			byKey[e.key] = rest[1:]
			rename(&r, &e.target)
			out = append(out, r)
		}
	}
	for _, rest := range byKey {
		if len(rest) > 0 {
			x.Conn.foreign(x, "topic")
		}
	}
	return out
}

// conn returns the log of the connection with the request's API.
func (x *Exchange) log() *slog.Logger { return x.Conn.Log.With("api", x.api.Name) }
