package handler

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// Fetch, versions 4 to 18; by topic id from 13 on (KIP-516), fetch sessions
// from 7 on (KIP-227). Topics are authorised and renamed. A withheld topic is
// left out upstream and answered empty with the high watermark at the fetch
// offset; a fetch with nothing left to ask is held for its own wait time, as
// an idle broker would. A request that loses a partition goes upstream without
// a session, and a session is honoured only on the connection that received it
// (01_fetch_session.go). Fetching as a replica is refused.

func fetch(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.FetchRequest)
	if req.ReplicaID >= 0 && req.Version < 15 || req.ReplicaState.ID >= 0 && req.Version >= 15 {
		return Action{Close: "fetch as a replica"}, nil
	}
	req.ReplicaID, req.ReplicaState.ID, req.ClusterID = -1, -1, nil
	req.MaxBytes = clamp(req.MaxBytes, x.Conn.Limits.FetchMaxBytes)
	// A broker holds a fetch no longer than until the grant changes by itself:
	// what it answers later would come under rights of the past.
	wait := untilChange(x, min(time.Duration(max(req.MaxWaitMillis, 0))*time.Millisecond, maxHold))
	req.MaxWaitMillis = int32(wait.Milliseconds())

	f := fetching{x: x, req: req, byID: req.Version >= 13}
	if req.SessionID != 0 || req.SessionEpoch > 0 {
		return f.inSession()
	}
	return f.full()
}

// fetching is one Fetch request in work.
type fetching struct {
	x    *Exchange
	req  *kmsg.FetchRequest
	byID bool
}

func (f *fetching) full() (Action, error) {
	x, req := f.x, f.req
	var (
		m       merger[kmsg.FetchResponseTopic]
		forward []kmsg.FetchRequestTopic
		partial bool
	)
	for _, rt := range req.Topics {
		t, err := x.resolve(f.byID, rt.Topic, rt.TopicID, grant.Read)
		if err != nil {
			return Action{}, err
		}
		if !t.allowed() {
			partial = true
			m.answer(t, f.withheld(&t, rt))
			continue
		}
		m.forward(t, f.byID)
		forward = append(forward, f.rename(rt, &t))
	}
	if len(req.Topics) == 0 && req.SessionID != 0 { // ends a session of ours
		req.SessionEpoch, req.ForgottenTopics = -1, nil
		return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
			resp := kr.(*kmsg.FetchResponse)
			resp.SessionID = 0
			f.finish(resp, nil)
			return resp, nil
		}}, nil
	}
	wait := time.Duration(req.MaxWaitMillis) * time.Millisecond
	if len(req.Topics) == 0 {
		wait = 0 // nothing to wait for
	}
	if !m.any {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version, resp.Topics = req.Version, m.merge(x, nil, nil, nil)
		return Action{Answer: resp, Hold: wait}, nil
	}
	req.Topics, req.ForgottenTopics = forward, nil
	var wanted *fetchSession
	if partial {
		req.SessionID, req.SessionEpoch = 0, -1
	} else if req.Version >= 7 && req.SessionEpoch == 0 {
		wanted = newFetchSession(m.entries, forward)
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 {
			f.finish(resp, nil)
			return resp, nil
		}
		topics := m.merge(x, resp.Topics, fetchedKey, func(t *kmsg.FetchResponseTopic, to *target) { f.expose(t, to) })
		if resp.SessionID != 0 && (wanted == nil || !x.Conn.keepSession(resp.SessionID, wanted)) {
			resp.SessionID = 0
		}
		f.finish(resp, topics)
		return resp, nil
	}, RawResponse: func(body []byte) ([]wire.Patch, bool) {
		if partial || x.Conn.Current() != x.Grant {
			return nil, false
		}
		return f.patch(body, func(i int, t wire.HotTopic) *target {
			if i >= len(m.entries) || m.entries[i].key.name != string(t.Name) || m.entries[i].key.id != t.ID {
				return nil
			}
			return &m.entries[i].target
		}, func(head wire.FetchHead, topics int) bool {
			return topics == len(m.entries) && (head.SessionID == 0 || wanted != nil && x.Conn.keepSession(head.SessionID, wanted))
		})
	}, Pass: func() *wire.FetchView {
		if partial {
			return nil
		}
		answered := make([]bool, len(m.entries))
		return f.view(func(head wire.FetchHead, topics int) bool {
			return topics == len(m.entries) && (head.SessionID == 0 || wanted != nil && x.Conn.keepSession(head.SessionID, wanted))
		}, func(key topicKey) (*target, map[int32]bool) {
			for i := range m.entries {
				if m.entries[i].key == key && !answered[i] {
					answered[i] = true
					return &m.entries[i].target, nil
				}
			}
			return nil, nil
		}, func() {})
	}}, nil
}

// errForeign ends an answer that holds something which was not asked for, when
// a part of it has gone out already.
var errForeign = errors.New("the answer holds a topic or partition that was not asked for")

// errTakenAway ends an answer whose topic may not be read any more.
var errTakenAway = errors.New("the right to read was taken away while the answer arrived")

// view passes an answer on while it arrives. find returns a topic of the answer
// and the partitions that may be in it, nil for all; remade is called when a
// topic has been made anew.
func (f *fetching) view(head func(wire.FetchHead, int) bool, find func(topicKey) (*target, map[int32]bool), remade func()) *wire.FetchView {
	x := f.x
	if x.Conn.Current() != x.Grant {
		return nil
	}
	var partitions map[int32]bool
	return &wire.FetchView{
		Head: head,
		Topic: func(name []byte, id [16]byte) ([]byte, error) {
			var to *target
			if to, partitions = find(topicKey{string(name), id}); to == nil {
				x.Conn.foreign(x, "topic")
				return nil, errForeign
			}
			if !x.Conn.stillReadable(x, to.exposed) {
				return nil, errTakenAway
			}
			if f.byID {
				return to.virtual[:], nil
			}
			return wire.AppendName(nil, to.exposed, f.req.Version >= 12), nil
		},
		Partition: func(index int32, errorCode int16) error {
			if partitions != nil && !partitions[index] {
				return errForeign
			}
			if errorCode == kerr.UnknownTopicID.Code || errorCode == kerr.InconsistentTopicID.Code {
				remade()
			}
			return nil
		},
	}
}

// patch exchanges the names or ids of an answer's topics and leaves the rest
// where it lies. It says no to whatever needs a closer look: an error, node
// endpoints, or a topic that is not the next one asked for.
func (f *fetching) patch(body []byte, next func(int, wire.HotTopic) *target, whole func(wire.FetchHead, int) bool) ([]wire.Patch, bool) {
	var buffer [8]wire.HotTopic
	head, topics, ok := wire.WalkFetchResponse(buffer[:0], f.req.Version, body)
	if !ok || head.ErrorCode != 0 || head.Tags != 0 {
		return nil, false
	}
	out := &patches{}
	out.begin(len(topics))
	for i := range topics {
		to := next(i, topics[i])
		if to == nil {
			return nil, false
		}
		out.topic(&topics[i], f.byID, to.exposed, to.virtual, f.req.Version >= 12)
	}
	if !whole(head, len(topics)) {
		return nil, false
	}
	return out.list, true
}

// maxHold bounds how long a fetch waits, here or at the broker, whatever wait
// the client names.
const maxHold = 30 * time.Second

// untilChange shortens a hold to the next moment at which the grant changes by
// itself.
func untilChange(x *Exchange, hold time.Duration) time.Duration {
	if next := x.Grant.NextChange(x.Now); !next.IsZero() {
		return min(hold, next.Sub(x.Now))
	}
	return hold
}

func fetchedKey(t *kmsg.FetchResponseTopic) topicKey { return topicKey{t.Topic, t.TopicID} }

func (f *fetching) rename(rt kmsg.FetchRequestTopic, t *target) kmsg.FetchRequestTopic {
	rt.Topic, rt.TopicID = t.backing, t.physical
	for i := range rt.Partitions {
		p := &rt.Partitions[i]
		p.PartitionMaxBytes = clamp(p.PartitionMaxBytes, f.x.Conn.Limits.FetchPartitionMaxBytes)
		p.ReplicaDirectoryID = [16]byte{}
	}
	return rt
}

// withheld answers a topic that is not asked upstream: the column "read" of
// the design's §2.1.
func (f *fetching) withheld(t *target, rt kmsg.FetchRequestTopic) kmsg.FetchResponseTopic {
	f.x.reject(t, grant.Read)
	var code int16
	switch t.decision.Verdict {
	case grant.Withhold:
	case grant.Unknown:
		code = refusedCode(f.byID)
	default:
		code = kerr.TopicAuthorizationFailed.Code
	}
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.TopicID = rt.Topic, rt.TopicID
	for _, p := range rt.Partitions {
		rp := emptyPartition(p.Partition, p.FetchOffset)
		if code != 0 {
			rp.ErrorCode, rp.HighWatermark, rp.LastStableOffset = code, -1, -1
		}
		topic.Partitions = append(topic.Partitions, rp)
	}
	return topic
}

// emptyPartition has no error, no records (empty, not null: kafka-python), and
// its high watermark at the fetch offset: kafka-go reconnects otherwise.
func emptyPartition(partition int32, offset int64) kmsg.FetchResponseTopicPartition {
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.Partition = partition
	rp.HighWatermark, rp.LastStableOffset = offset, offset
	rp.LogStartOffset, rp.PreferredReadReplica = -1, -1
	rp.RecordBatches = []byte{}
	return rp
}

// expose gives an answered topic the client's name or id, and empties it when
// the right to read has gone since the request was sent.
func (f *fetching) expose(t *kmsg.FetchResponseTopic, to *target) {
	t.Topic, t.TopicID = nameOrID(f.byID, to)
	if f.x.Conn.stillReadable(f.x, to.exposed) {
		return
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		p.RecordBatches, p.AbortedTransactions = []byte{}, nil
	}
}

// stillReadable reports whether a topic may be read now, under the grant of
// now: a block or a revocation stops bytes that are already on their way.
func (c *Conn) stillReadable(x *Exchange, exposed string) bool {
	g := c.Current()
	if g == x.Grant {
		return true
	}
	if t := g.Topic(exposed); t != nil {
		return t.Decide(grant.Read, x.Now).Verdict == grant.Allow
	}
	_, own := g.OwnTopic(exposed)
	return own && g.DecideOwn(grant.Read).Verdict == grant.Allow
}

func (f *fetching) finish(resp *kmsg.FetchResponse, topics []kmsg.FetchResponseTopic) {
	resp.Version, resp.Topics = f.req.Version, topics
	resp.Brokers = advertised(f.x, resp.Brokers)
}

func clamp(asked, most int32) int32 {
	if most <= 0 {
		return asked
	}
	return min(asked, most)
}
