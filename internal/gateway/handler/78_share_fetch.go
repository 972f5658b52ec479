package handler

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// ShareFetch, versions 1 and 2 (KIP-932, KIP-1206, KIP-1222); by topic id. The
// group is mapped, topics are authorised and their ids exchanged. A withheld
// topic is taken out of the broker's share session (78_share_session.go) and
// left out of the answer; with nothing left to ask, the fetch is held for its
// own wait time. A refused topic gets its error in every answer, as from a
// broker that does not know the id. Acknowledgements go upstream for whatever
// the application has or had: they finish what was delivered. Records that were
// acquired, but may not be delivered any more when they come, are released for
// other members with the next request; that counts as one of their deliveries.

func shareFetch(x *Exchange, r kmsg.Request) (Action, error) {
	f := &shareFetching{x: x, req: r.(*kmsg.ShareFetchRequest)}
	req, c := f.req, x.Conn
	if req.GroupID == nil || req.MemberID == nil {
		return f.fail(kerr.InvalidRequest.Code), nil
	}
	key := memberKey{*req.GroupID, *req.MemberID}
	group := x.Grant.Group(*req.GroupID)
	req.GroupID = &group
	req.MaxBytes = clamp(req.MaxBytes, c.Limits.FetchMaxBytes)
	// A broker holds a fetch no longer than until the grant changes by itself.
	f.wait = untilChange(x, min(time.Duration(max(req.MaxWaitMillis, 0))*time.Millisecond, maxHold))
	req.MaxWaitMillis = int32(f.wait.Milliseconds())

	if req.ShareSessionEpoch == 0 {
		if f.session = c.newShareSession(key); f.session == nil {
			return f.full(), nil
		}
	} else {
		var code int16
		if f.session, code = c.shareSession(key, req.ShareSessionEpoch); code != 0 {
			return f.fail(code), nil
		}
	}
	if err := f.resolve(); err != nil {
		return Action{}, err
	}
	return f.serve(), nil
}

// shareFetching is one ShareFetch request in work.
type shareFetching struct {
	x       *Exchange
	req     *kmsg.ShareFetchRequest
	session *shareSession
	wait    time.Duration
	// targets are the topics of the request and of the session.
	targets map[grant.TopicID]*target
	order   []grant.TopicID // those of the request come first, and once
	acked   map[sharePartition]bool
	// acknowledged are the topics of acknowledgements that went upstream, by the
	// broker's id.
	acknowledged map[grant.TopicID]*target
	released     bool // on our own account
	refused      map[grant.TopicID]*kmsg.ShareFetchResponseTopic
	answered     map[sharePartition]bool // of refused, by the client's ids
}

func (f *shareFetching) final() bool { return f.req.ShareSessionEpoch == -1 }

// resolve looks up every topic of the request and of the session.
func (f *shareFetching) resolve() error {
	f.targets = make(map[grant.TopicID]*target)
	ids := make([]grant.TopicID, 0, len(f.req.Topics))
	for i := range f.req.Topics {
		ids = append(ids, f.req.Topics[i].TopicID)
	}
	f.x.Conn.mu.Lock()
	for id := range f.session.topics {
		ids = append(ids, id)
	}
	f.x.Conn.mu.Unlock()
	slices.SortFunc(ids[len(f.req.Topics):], func(a, b grant.TopicID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if f.targets[id] != nil {
			continue
		}
		t, err := f.x.identified(id, grant.Read)
		if err != nil {
			return err
		}
		f.targets[id] = &t
		f.order = append(f.order, id)
		if !t.allowed() {
			f.x.reject(&t, grant.Read)
		}
	}
	return nil
}

// shareRefusal is what a topic gets that the application may not even finish
// with; 0 for one that it has or had.
func shareRefusal(t *target) int16 {
	switch t.decision.Verdict {
	case grant.Unknown:
		return kerr.UnknownTopicID.Code
	case grant.RefuseRight:
		return kerr.TopicAuthorizationFailed.Code
	}
	return 0
}

// serve brings the session and the broker's up to date and answers or sends the
// request.
func (f *shareFetching) serve() Action {
	req, c, s := f.req, f.x.Conn, f.session
	first, final := req.ShareSessionEpoch == 0, f.final()
	var up shareTopics
	f.acked = make(map[sharePartition]bool)
	f.acknowledged = make(map[grant.TopicID]*target)
	f.refused = make(map[grant.TopicID]*kmsg.ShareFetchResponseTopic)
	f.answered = make(map[sharePartition]bool)

	c.mu.Lock()
	defer c.mu.Unlock()
	before := s.partitions
	refusedAcks := false
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := f.targets[rt.TopicID]
		code := shareRefusal(t)
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			if !final {
				s.add(rt.TopicID, rp.Partition)
			}
			if c.remembered+s.partitions-before > c.Limits.SessionPartitions {
				c.remembered += s.partitions - before
				s.broken = true
				return f.full()
			}
			switch at := (sharePartition{t.physical, rp.Partition}); {
			case len(rp.AcknowledgementBatches) == 0:
				if !final && t.allowed() && !s.there(at) {
					up.partition(at) // in the client's order
				}
			case code != 0:
				refusedAcks = true
				f.refuse(rt.TopicID, rp.Partition, code, code)
			default:
				f.acked[at], f.acknowledged[t.physical] = true, t
				up.acknowledge(at, rp.AcknowledgementBatches)
			}
		}
	}
	if !first && !final {
		for _, ft := range req.ForgottenTopicsData {
			for _, p := range ft.Partitions {
				if physical, there := s.forget(ft.TopicID, p); there {
					up.forget(sharePartition{physical, p})
				}
			}
		}
	}
	c.remembered += s.partitions - before

	asks := false
	if !final {
		for _, id := range f.order {
			if st := s.topics[id]; st != nil {
				asks = f.synchronise(id, st, &up) || asks
			}
		}
		if !first && !req.IsRenewAck {
			f.release(&up)
		}
		for at := range up.within { // the broker takes all that is named into its session
			if !s.there(at) {
				up.forget(at)
			}
		}
	}
	s.next = nextEpoch(max(req.ShareSessionEpoch, 0))
	if !first && !final && !asks && !up.any() {
		resp := kmsg.NewPtrShareFetchResponse()
		resp.Version, resp.AcquisitionLockTimeoutMillis, resp.Topics = req.Version, s.lockMillis, f.merge(nil)
		action := Action{Answer: resp, Hold: f.wait}
		if refusedAcks {
			action.Hold = 0
		}
		return action
	}
	if final {
		s.broken = true // until it is closed
	} else {
		req.ShareSessionEpoch = s.upstream
		s.upstream = nextEpoch(s.upstream)
	}
	req.Topics, req.ForgottenTopicsData = up.topics, up.forgotten
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return f.expose(kr.(*kmsg.ShareFetchResponse)), nil
	}, RawResponse: f.patch}
}

// synchronise brings one topic of the broker's session to what may be read of
// it, and reports whether there is anything. The caller holds the connection's
// lock.
func (f *shareFetching) synchronise(id grant.TopicID, st *shareTopic, up *shareTopics) bool {
	s, t := f.session, f.targets[id]
	st.exposed = t.exposed
	readable := t.allowed()
	if st.physical != (grant.TopicID{}) && (!readable || st.physical != t.physical) {
		for _, p := range slices.Sorted(maps.Keys(st.partitions)) {
			if st.partitions[p] {
				up.forget(sharePartition{st.physical, p})
				st.partitions[p] = false
			}
		}
		delete(s.physical, st.physical)
		st.physical = grant.TopicID{}
	}
	if !readable {
		if code := shareRefusal(t); code != 0 {
			for _, p := range slices.Sorted(maps.Keys(st.partitions)) {
				f.refuse(id, p, code, 0)
			}
		}
		return false
	}
	st.physical = t.physical
	s.physical[t.physical] = id
	added := make([]int32, 0, 8)
	for p, there := range st.partitions {
		if !there {
			added = append(added, p)
			st.partitions[p] = true
		}
	}
	slices.Sort(added)
	for _, p := range added {
		up.partition(sharePartition{t.physical, p})
	}
	return true
}

// release gives back what was acquired and not delivered. The caller holds the
// connection's lock.
func (f *shareFetching) release(up *shareTopics) {
	s := f.session
	for _, o := range s.owed {
		b := kmsg.NewShareFetchRequestTopicPartitionAcknowledgementBatch()
		b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = o.first, o.last, []int8{release}
		up.acknowledge(o.at, []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{b})
		f.released = true
	}
	s.owed = nil
}

// refuse answers a partition here; the codes are those of the fetch and of its
// acknowledgements.
func (f *shareFetching) refuse(id grant.TopicID, partition int32, code, ackCode int16) {
	rt := f.refused[id]
	if rt == nil {
		topic := kmsg.NewShareFetchResponseTopic()
		topic.TopicID = id
		rt = &topic
		f.refused[id] = rt
	}
	if at := (sharePartition{id, partition}); f.answered[at] {
		return
	} else {
		f.answered[at] = true
	}
	rp := kmsg.NewShareFetchResponseTopicPartition()
	rp.Partition, rp.ErrorCode, rp.AcknowledgeErrorCode, rp.Records = partition, code, ackCode, []byte{}
	rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = -1, -1
	rt.Partitions = append(rt.Partitions, rp)
}

// expose turns the broker's answer into the client's.
func (f *shareFetching) expose(resp *kmsg.ShareFetchResponse) kmsg.Response {
	c, s := f.x.Conn, f.session
	resp.Version = f.req.Version
	brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
	c.shareAnswered(s, resp.ErrorCode, f.final())
	if resp.ErrorCode != 0 {
		resp.Topics, resp.NodeEndpoints = nil, nil
		return resp
	}
	foreign := 0
	c.mu.Lock()
	s.lockMillis = resp.AcquisitionLockTimeoutMillis
	topics := resp.Topics[:0]
	for _, rt := range resp.Topics {
		physical := grant.TopicID(rt.TopicID)
		id, inSession := s.physical[physical]
		st := s.topics[id]
		readable := false
		switch t := f.acknowledged[physical]; {
		case inSession && st != nil:
			readable = c.stillReadable(f.x, st.exposed)
		case t != nil:
			id = t.virtual
		default:
			if !f.released {
				foreign++
			}
			f.owe(physical, rt.Partitions...)
			continue
		}
		partitions := rt.Partitions[:0]
		for _, rp := range rt.Partitions {
			acked := f.acked[sharePartition{physical, rp.Partition}]
			if !acked {
				rp.AcknowledgeErrorCode, rp.AcknowledgeErrorMessage = 0, nil
			}
			wanted := false
			if st != nil {
				_, wanted = st.partitions[rp.Partition]
			}
			if !wanted || !readable {
				f.owe(physical, rp)
				if !acked {
					continue
				}
				rp.ErrorCode, rp.ErrorMessage, rp.Records, rp.AcquiredRecords = 0, nil, []byte{}, nil
			}
			brokerTexts(rp.ErrorCode, &rp.ErrorMessage)
			brokerTexts(rp.AcknowledgeErrorCode, &rp.AcknowledgeErrorMessage)
			partitions = append(partitions, rp)
		}
		if len(partitions) == 0 {
			continue
		}
		rt.TopicID, rt.Partitions = id, partitions
		topics = append(topics, rt)
	}
	c.mu.Unlock()
	for range foreign {
		c.foreign(f.x, "topic id")
	}
	resp.Topics = f.merge(topics)
	resp.NodeEndpoints = advertised(f.x, resp.NodeEndpoints)
	return resp
}

// owe remembers what was acquired and is not delivered. The caller holds the
// connection's lock.
func (f *shareFetching) owe(topic grant.TopicID, partitions ...kmsg.ShareFetchResponseTopicPartition) {
	for _, rp := range partitions {
		for _, a := range rp.AcquiredRecords {
			f.session.owe(owedRecords{sharePartition{topic, rp.Partition}, a.FirstOffset, a.LastOffset})
		}
	}
}

// merge puts the topics refused here among those of the broker, in the order of
// the request and then of the session.
func (f *shareFetching) merge(from []kmsg.ShareFetchResponseTopic) []kmsg.ShareFetchResponseTopic {
	if len(f.refused) == 0 {
		return from
	}
	byID := make(map[grant.TopicID]*kmsg.ShareFetchResponseTopic, len(from))
	for i := range from {
		byID[from[i].TopicID] = &from[i]
	}
	out := make([]kmsg.ShareFetchResponseTopic, 0, len(from)+len(f.refused))
	for _, id := range f.order {
		if rt := byID[id]; rt != nil {
			out = append(out, *rt)
		} else if rt := f.refused[id]; rt != nil {
			slices.SortFunc(rt.Partitions, func(a, b kmsg.ShareFetchResponseTopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
			out = append(out, *rt)
		}
	}
	return out
}

// patch exchanges the ids of an answer's topics and leaves records where they
// lie. It says no to whatever needs a closer look.
func (f *shareFetching) patch(body []byte) ([]wire.Patch, bool) {
	c, s := f.x.Conn, f.session
	if len(f.refused) > 0 || f.released || f.final() || c.Current() != f.x.Grant {
		return nil, false
	}
	var buffer [8]wire.HotTopic
	head, topics, ok := wire.WalkShareFetchResponse(buffer[:0], f.req.Version, body)
	if !ok || head.ErrorCode != 0 || head.Endpoints > 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	patches := make([]wire.Patch, 0, len(topics))
	for i := range topics {
		t := &topics[i]
		id, inSession := s.physical[t.ID]
		st := s.topics[id]
		if !inSession || st == nil {
			return nil, false
		}
		for _, p := range t.Partitions {
			if _, wanted := st.partitions[p.Index]; !wanted || p.ErrorCode != 0 {
				return nil, false
			}
		}
		patches = append(patches, wire.Patch{At: t.At, Len: t.Len, With: bytes.Clone(id[:])})
	}
	s.lockMillis = head.LockMillis
	return patches, true
}

// fail is an error of the whole request.
func (f *shareFetching) fail(code int16) Action {
	resp := kmsg.NewPtrShareFetchResponse()
	resp.Version, resp.ErrorCode = f.req.Version, code
	return answer(resp)
}

// full says that the connection has all the sessions it may have; like a
// broker, after the client's own wait, or it would ask again at once.
func (f *shareFetching) full() Action {
	action := f.fail(kerr.ShareSessionLimitReached.Code)
	action.Hold = f.wait
	return action
}

// shareTopics gathers what a request says to the broker: each partition once.
type shareTopics struct {
	topics    []kmsg.ShareFetchRequestTopic
	forgotten []kmsg.ShareFetchRequestForgottenTopicsData
	at        map[grant.TopicID]int
	within    map[sharePartition]int
	gone      map[sharePartition]bool
	goneAt    map[grant.TopicID]int
}

func (u *shareTopics) any() bool { return len(u.topics)+len(u.forgotten) > 0 }

// partition returns a partition of the request, which is added if need be. It
// is good until the next call.
func (u *shareTopics) partition(at sharePartition) *kmsg.ShareFetchRequestTopicPartition {
	if u.at == nil {
		u.at, u.within = make(map[grant.TopicID]int), make(map[sharePartition]int)
	}
	i, ok := u.at[at.topic]
	if !ok {
		i = len(u.topics)
		u.at[at.topic] = i
		rt := kmsg.NewShareFetchRequestTopic()
		rt.TopicID = at.topic
		u.topics = append(u.topics, rt)
	}
	rt := &u.topics[i]
	j, ok := u.within[at]
	if !ok {
		j = len(rt.Partitions)
		u.within[at] = j
		rp := kmsg.NewShareFetchRequestTopicPartition()
		rp.Partition = at.partition
		rt.Partitions = append(rt.Partitions, rp)
	}
	return &rt.Partitions[j]
}

// acknowledge adds acknowledgements, which a broker wants in ascending order.
func (u *shareTopics) acknowledge(at sharePartition, batches []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) {
	rp := u.partition(at)
	mixed := len(rp.AcknowledgementBatches) > 0
	rp.AcknowledgementBatches = append(rp.AcknowledgementBatches, batches...)
	if mixed {
		slices.SortStableFunc(rp.AcknowledgementBatches, func(a, b kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) int {
			return cmp.Compare(a.FirstOffset, b.FirstOffset)
		})
	}
}

// forget takes a partition out of the broker's session, after what the request
// says of it.
func (u *shareTopics) forget(at sharePartition) {
	if u.gone[at] {
		return
	}
	if u.gone == nil {
		u.gone, u.goneAt = make(map[sharePartition]bool), make(map[grant.TopicID]int)
	}
	u.gone[at] = true
	i, ok := u.goneAt[at.topic]
	if !ok {
		i = len(u.forgotten)
		u.goneAt[at.topic] = i
		ft := kmsg.NewShareFetchRequestForgottenTopicsData()
		ft.TopicID = at.topic
		u.forgotten = append(u.forgotten, ft)
	}
	u.forgotten[i].Partitions = append(u.forgotten[i].Partitions, at.partition)
}
