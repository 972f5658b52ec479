package handler

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/grant"
)

// Share sessions (KIP-932) live in the broker, for a group's member and the
// connection that opened them; ShareFetch and ShareAcknowledge count their
// epochs together, and a fetch gets what is in the session without naming it.
// So the session is remembered here as the client believes it to be, and the
// broker's is kept to the part of it that may be read: a topic that is withheld
// is taken out with the next request, one that comes back is put in again, and
// the client notices neither. Requests that need no broker are answered here,
// so the two have epochs of their own.
//
// A broker forgets only the last session of a connection when that one closes:
// others would stay there for good and use up what the cluster has. So one
// connection has one session at a time, which no client library minds.

// shareSession is the share session of a connection.
type shareSession struct {
	key memberKey
	// next is the epoch of the client's next request, upstream the one that the
	// broker expects next.
	next, upstream int32
	// broken is a session that the broker may have, but not as remembered here:
	// only its own member can open it anew.
	broken     bool
	topics     map[grant.TopicID]*shareTopic
	physical   map[grant.TopicID]grant.TopicID // virtual ids by those of the broker's session
	partitions int
	owed       []owedRecords
	lockMillis int32 // acquisition lock timeout, as the broker last said it
}

// shareTopic is a topic in a share session, as the client believes it to be.
type shareTopic struct {
	physical   grant.TopicID  // in the broker's session; zero for none
	exposed    string         // as last resolved
	partitions map[int32]bool // true for those in the broker's session
}

// owedRecords were acquired for the member, but not delivered, since the topic
// could not be read any more when they came: they are released for others.
type owedRecords struct {
	at          sharePartition
	first, last int64
}

// sharePartition is a partition by the broker's topic id.
type sharePartition struct {
	topic     grant.TopicID
	partition int32
}

// maxOwed is how many ranges of records are remembered to be released. What
// does not fit is released by the broker, when its lock times out.
const maxOwed = 1000

// release is the acknowledgement that gives a record to another member.
const release = 2

// nextEpoch is the session epoch after another.
func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

func (s *shareSession) add(id grant.TopicID, partition int32) {
	st := s.topics[id]
	if st == nil {
		st = &shareTopic{partitions: make(map[int32]bool)}
		s.topics[id] = st
	}
	if _, ok := st.partitions[partition]; !ok {
		st.partitions[partition] = false
		s.partitions++
	}
}

// forget takes a partition out and reports whether the broker has to as well,
// under which id.
func (s *shareSession) forget(id grant.TopicID, partition int32) (grant.TopicID, bool) {
	st := s.topics[id]
	if st == nil {
		return grant.TopicID{}, false
	}
	there, ok := st.partitions[partition]
	if !ok {
		return grant.TopicID{}, false
	}
	delete(st.partitions, partition)
	s.partitions--
	physical := st.physical
	if len(st.partitions) == 0 {
		delete(s.topics, id)
		if physical != (grant.TopicID{}) {
			delete(s.physical, physical)
		}
	}
	return physical, there
}

// there reports whether the broker's session has a partition.
func (s *shareSession) there(at sharePartition) bool {
	st := s.topics[s.physical[at.topic]]
	return st != nil && st.physical == at.topic && st.partitions[at.partition]
}

// owe remembers records to be released.
func (s *shareSession) owe(r owedRecords) {
	if len(s.owed) < maxOwed {
		s.owed = append(s.owed, r)
	}
}

// shareSession returns the connection's session for a request with an epoch
// above 0 or -1, or the error that the request gets.
func (c *Conn) shareSession(key memberKey, epoch int32) (*shareSession, int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.share
	switch {
	case s == nil || s.key != key || s.broken:
		return nil, kerr.ShareSessionNotFound.Code
	case epoch != -1 && epoch != s.next:
		return nil, kerr.InvalidShareSessionEpoch.Code
	}
	return s, 0
}

// newShareSession begins a session; nil when another member has one on this
// connection.
func (c *Conn) newShareSession(key memberKey) *shareSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &shareSession{key: key, topics: make(map[grant.TopicID]*shareTopic), physical: make(map[grant.TopicID]grant.TopicID)}
	if old := c.share; old != nil {
		if old.key != key {
			return nil
		}
		s.owed, s.lockMillis = old.owed, old.lockMillis
		c.remembered -= old.partitions
	}
	c.share = s
	return s
}

// shareAnswered follows what the broker said to a request in the session. A
// session that it does not know is gone; after any other error it may have done
// part of what was asked.
func (c *Conn) shareAnswered(s *shareSession, code int16, final bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case code == kerr.ShareSessionNotFound.Code || code == kerr.ShareSessionLimitReached.Code || code == 0 && final:
		c.dropShare(s)
	case code != 0:
		s.broken = true
	}
}

// dropShare forgets a session. The caller holds c.mu.
func (c *Conn) dropShare(s *shareSession) {
	if c.share == s {
		c.remembered -= s.partitions
		c.share = nil
	}
}
