package handler

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// Fetch sessions (KIP-227) live in the broker and are not bound to whoever
// opened them: with one upstream identity for all, a guessed id would read
// another tenant's partitions. So a session id counts only on the connection
// that received it, its partitions are remembered here, and every answer is
// filtered by them.

// fetchSession is one session of the connection.
type fetchSession struct {
	topics     map[topicKey]*sessionTopic
	partitions int
}

type sessionTopic struct {
	target     target
	partitions map[int32]bool
}

func newFetchSession(entries []mergeEntry[kmsg.FetchResponseTopic], topics []kmsg.FetchRequestTopic) *fetchSession {
	s := &fetchSession{topics: make(map[topicKey]*sessionTopic, len(entries))}
	for i, e := range entries {
		s.add(e.key, e.target, topics[i].Partitions)
	}
	return s
}

func (s *fetchSession) add(key topicKey, t target, partitions []kmsg.FetchRequestTopicPartition) {
	st := s.topics[key]
	if st == nil {
		st = &sessionTopic{partitions: make(map[int32]bool, len(partitions))}
		s.topics[key] = st
	}
	st.target = t
	for i := range partitions {
		if !st.partitions[partitions[i].Partition] {
			st.partitions[partitions[i].Partition] = true
			s.partitions++
		}
	}
}

func (s *fetchSession) forget(key topicKey, partitions []int32) {
	st := s.topics[key]
	if st == nil {
		return
	}
	for _, p := range partitions {
		if st.partitions[p] {
			delete(st.partitions, p)
			s.partitions--
		}
	}
	if len(st.partitions) == 0 {
		delete(s.topics, key)
	}
}

// keepSession remembers a session that the broker has opened; false when the
// connection remembers too much already: the client then goes on without.
func (c *Conn) keepSession(id int32, s *fetchSession) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = make(map[int32]*fetchSession)
	}
	if c.sessions[id] == nil && c.remembered+s.partitions > c.Limits.SessionPartitions {
		return false
	}
	if old := c.sessions[id]; old != nil {
		c.remembered -= old.partitions
	}
	c.sessions[id] = s
	c.remembered += s.partitions
	return true
}

func (c *Conn) dropSession(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.remembered -= s.partitions
		delete(c.sessions, id)
	}
}

// inSession handles a request that names a session: incremental (epoch > 0),
// or one that ends it (epoch -1) or starts it anew (epoch 0).
func (f *fetching) inSession() (Action, error) {
	x, req, c := f.x, f.req, f.x.Conn
	c.mu.Lock()
	s := c.sessions[req.SessionID]
	c.mu.Unlock()
	if s == nil {
		if req.SessionID == 0 || req.SessionEpoch <= 0 {
			// A full fetch that mentions a session we do not know: the session
			// is not this client's to close.
			req.SessionID = 0
			return f.full()
		}
		return f.sessionError(), nil
	}
	if req.SessionEpoch <= 0 {
		c.dropSession(req.SessionID)
		return f.full() // carries the id upstream, which ends the session there
	}

	// Work out the session as it will be, and look at every topic in it.
	c.mu.Lock()
	before := s.partitions
	forgotten := req.ForgottenTopics
	req.ForgottenTopics = nil // what is not in the session is nothing to the broker
	for _, ft := range forgotten {
		for key, st := range s.topics {
			if f.byID && st.target.virtual == ft.TopicID || !f.byID && st.target.exposed == ft.Topic {
				ft.Topic, ft.TopicID = key.name, key.id
				s.forget(key, ft.Partitions)
				req.ForgottenTopics = append(req.ForgottenTopics, ft)
				break
			}
		}
	}
	c.mu.Unlock()
	open := true
	for i, rt := range req.Topics {
		t, err := x.resolve(f.byID, rt.Topic, rt.TopicID, grant.Read)
		if err != nil {
			return Action{}, err
		}
		if !t.allowed() {
			open = false
			break
		}
		c.mu.Lock()
		s.add(t.key(f.byID), t, rt.Partitions)
		c.mu.Unlock()
		req.Topics[i] = f.rename(rt, &t)
	}
	c.mu.Lock()
	c.remembered += s.partitions - before
	open = open && c.remembered <= c.Limits.SessionPartitions
	for _, st := range s.topics {
		now := st.target
		if t := x.Grant.Topic(now.exposed); t != nil {
			now.decision = t.Decide(grant.Read, x.Now)
			open = open && now.allowed() && t.ID == st.target.virtual && t.Backing == st.target.backing
		} else {
			_, own := x.Grant.OwnTopic(now.exposed)
			open = open && own && x.Grant.DecideOwn(grant.Read).Verdict == grant.Allow
		}
	}
	c.mu.Unlock()
	if !open {
		c.dropSession(req.SessionID)
		return f.sessionError(), nil
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 || resp.SessionID != req.SessionID {
			c.dropSession(req.SessionID)
			resp.SessionID = 0
		}
		topics := resp.Topics[:0]
		names := make(map[[16]byte]string, len(resp.Topics)) // exposed, by virtual id
		remade := false
		c.mu.Lock()
		for i := range resp.Topics {
			t := resp.Topics[i]
			st := s.topics[fetchedKey(&t)]
			if st == nil {
				continue // forgotten while the answer was on its way, or foreign
			}
			partitions := t.Partitions[:0]
			for _, p := range t.Partitions {
				if st.partitions[p.Partition] {
					partitions = append(partitions, p)
				}
				remade = remade || p.ErrorCode == kerr.UnknownTopicID.Code || p.ErrorCode == kerr.InconsistentTopicID.Code
			}
			t.Partitions = partitions
			to := st.target
			t.Topic, t.TopicID = nameOrID(f.byID, &to)
			names[t.TopicID] = to.exposed
			topics = append(topics, t)
		}
		c.mu.Unlock()
		if remade { // the virtual id stays: only a full fetch asks for the new one
			c.dropSession(req.SessionID)
		}
		// A topic that has closed since is left out: to an incremental fetch
		// that says "nothing new", and the next request starts over.
		readable := topics[:0]
		for _, t := range topics {
			exposed := t.Topic
			if f.byID {
				exposed = names[t.TopicID]
			}
			if c.stillReadable(x, exposed) {
				readable = append(readable, t)
			}
		}
		f.finish(resp, readable)
		return resp, nil
	}, RawResponse: func(body []byte) ([]wire.Patch, bool) {
		if c.Current() != x.Grant {
			return nil, false
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return f.patch(body, func(_ int, t wire.HotTopic) *target {
			st := s.topics[topicKey{string(t.Name), t.ID}]
			if st == nil || slices.ContainsFunc(t.Partitions, func(p wire.HotPartition) bool {
				return !st.partitions[p.Index] || p.ErrorCode == kerr.UnknownTopicID.Code || p.ErrorCode == kerr.InconsistentTopicID.Code
			}) {
				return nil
			}
			return &st.target
		}, func(head wire.FetchHead, _ int) bool { return head.SessionID == req.SessionID })
	}, Pass: func() *wire.FetchView {
		return f.view(func(head wire.FetchHead, _ int) bool { return head.SessionID == req.SessionID },
			func(key topicKey) (*target, map[int32]bool) {
				c.mu.Lock()
				defer c.mu.Unlock()
				st := s.topics[key]
				if st == nil {
					return nil, nil
				}
				to := st.target
				return &to, maps.Clone(st.partitions)
			}, func() { c.dropSession(req.SessionID) })
	}}, nil
}

// sessionError makes the client send a full fetch. It answers only requests
// that carry a session id: to others clients spin.
func (f *fetching) sessionError() Action {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version, resp.ErrorCode = f.req.Version, kerr.FetchSessionIDNotFound.Code
	return answer(resp)
}
