package upstream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// absentFor is how long "there is no such topic" is believed.
	absentFor = time.Second
	// presentFor is how long a topic's id is believed; wanted topics are
	// asked for again by then, others once somebody needs them.
	presentFor = 5 * time.Minute
	// topicsPerRequest bounds one lookup.
	topicsPerRequest = 500
	// maxCachedTopics bounds the cache, wanted topics apart.
	maxCachedTopics = 50_000
	maxTopicName    = 249
)

// topicCache knows names and ids of backing topics, and who waits for one.
type topicCache struct {
	mu     sync.RWMutex // guards all below
	names  map[string]topicEntry
	ids    map[[16]byte]nameEntry
	wanted map[string]struct{}
	byName map[string]*lookup // being asked for
	byID   map[[16]byte]*lookup
}

type topicEntry struct {
	id     [16]byte
	absent bool
	at     time.Time
}

type nameEntry struct {
	name   string
	absent bool
	at     time.Time
}

// lookup is one question that any number of callers wait for. Its fields are
// set before done is closed.
type lookup struct {
	done chan struct{}
	id   [16]byte
	name string
	ok   bool
	err  error
}

func (t *topicCache) init() {
	t.names, t.ids = map[string]topicEntry{}, map[[16]byte]nameEntry{}
	t.byName, t.byID = map[string]*lookup{}, map[[16]byte]*lookup{}
}

func fresh(absent bool, at time.Time) bool {
	if absent {
		return time.Since(at) < absentFor
	}
	return time.Since(at) < presentFor
}

// Wanted says which backing topics' ids should be known before somebody asks,
// replacing what was said before.
func (c *Cluster) Wanted(backing []string) {
	t := &c.topics
	wanted := make(map[string]struct{}, len(backing))
	missing := false
	t.mu.Lock()
	for _, name := range backing {
		wanted[name] = struct{}{}
		if _, ok := t.names[name]; !ok && validTopic(name) {
			missing = true
			t.join(name)
		}
	}
	t.wanted = wanted
	t.mu.Unlock()
	if missing {
		c.wakeUp()
	}
}

func (c *Cluster) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func validTopic(name string) bool { return name != "" && len(name) <= maxTopicName }

// join returns the lookup for a name, new or not. Callers hold mu.
func (t *topicCache) join(name string) *lookup {
	l := t.byName[name]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		t.byName[name] = l
	}
	return l
}

// TopicID returns the id of a backing topic, from memory or by asking; ok is
// false when there is no such topic. Callers that ask for the same topic at
// the same time share one question, and questions share requests. An id not
// confirmed for long is returned at once and confirmed meanwhile. The id is zero where the cluster
// has no topic ids (before Kafka 2.8).
func (c *Cluster) TopicID(ctx context.Context, backing string) (id [16]byte, ok bool, err error) {
	if !validTopic(backing) {
		return id, false, nil
	}
	t := &c.topics
	t.mu.RLock()
	known, found := t.names[backing]
	t.mu.RUnlock()
	if found && fresh(known.absent, known.at) {
		return known.id, !known.absent, nil
	}
	t.mu.Lock()
	l := t.join(backing)
	t.mu.Unlock()
	c.wakeUp()
	if found && !known.absent {
		return known.id, true, nil
	}
	if err := c.await(ctx, l); err != nil {
		return id, false, fmt.Errorf("look up topic %q on target cluster %q: %w", backing, c.cfg.Name, err)
	}
	return l.id, l.ok, nil
}

// TopicName returns the backing topic that has an id, as TopicID does the
// reverse. It needs Metadata v12 (Kafka 3.1) to ask.
func (c *Cluster) TopicName(ctx context.Context, id [16]byte) (backing string, ok bool, err error) {
	if id == ([16]byte{}) {
		return "", false, nil
	}
	t := &c.topics
	t.mu.RLock()
	known, found := t.ids[id]
	t.mu.RUnlock()
	if found && fresh(known.absent, known.at) {
		return known.name, !known.absent, nil
	}
	t.mu.Lock()
	l := t.byID[id]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		t.byID[id] = l
	}
	t.mu.Unlock()
	c.wakeUp()
	if found && !known.absent {
		return known.name, true, nil
	}
	if err := c.await(ctx, l); err != nil {
		return "", false, fmt.Errorf("look up topic id %x on target cluster %q: %w", id, c.cfg.Name, err)
	}
	return l.name, l.ok, nil
}

func (c *Cluster) await(ctx context.Context, l *lookup) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return c.waited(ctx)
	}
}

// LearnTopic notes an id from an answer that passed by.
func (c *Cluster) LearnTopic(backing string, id [16]byte) {
	if !validTopic(backing) || id == ([16]byte{}) {
		return
	}
	t := &c.topics
	t.mu.RLock()
	known, ok := t.names[backing]
	t.mu.RUnlock()
	if ok && known.id == id && time.Since(known.at) < presentFor/2 {
		return
	}
	t.mu.Lock()
	t.put(backing, id, time.Now())
	t.mu.Unlock()
	if !ok || known.id != id {
		c.listing.invalidate()
	}
}

// ForgetTopic drops what is known of a topic, after a broker said that it, or
// its id, is unknown or otherwise than before.
func (c *Cluster) ForgetTopic(backing string) {
	t := &c.topics
	t.mu.Lock()
	t.drop(backing)
	t.mu.Unlock()
	c.listing.invalidate()
}

// drop and put need mu.
func (t *topicCache) drop(name string) {
	if known, ok := t.names[name]; ok {
		delete(t.names, name)
		if t.ids[known.id].name == name {
			delete(t.ids, known.id)
		}
	}
}

func (t *topicCache) put(name string, id [16]byte, at time.Time) {
	t.drop(name)
	makeRoom(t.names, len(t.wanted), func(n string) bool { _, ok := t.wanted[n]; return ok })
	t.names[name] = topicEntry{id: id, at: at}
	if id != ([16]byte{}) {
		makeRoom(t.ids, len(t.wanted), func(id [16]byte) bool { _, ok := t.wanted[t.ids[id].name]; return ok })
		t.ids[id] = nameEntry{name: name, at: at}
	}
}

// makeRoom takes some entry that nobody wants out of a full map.
func makeRoom[K comparable, V any](m map[K]V, wanted int, keep func(K) bool) {
	if len(m) < maxCachedTopics+wanted {
		return
	}
	for k := range m {
		if !keep(k) {
			delete(m, k)
			return
		}
	}
}

// waiting returns some names and ids that are being asked for.
func (t *topicCache) waiting() (names []string, ids [][16]byte) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for name := range t.byName {
		if len(names) == topicsPerRequest {
			break
		}
		names = append(names, name)
	}
	for id := range t.byID {
		if len(ids) == topicsPerRequest {
			break
		}
		ids = append(ids, id)
	}
	return names, ids
}

// failAll ends all lookups.
func (t *topicCache) failAll(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, l := range t.byName {
		l.err = err
		close(l.done)
		delete(t.byName, name)
	}
	for id, l := range t.byID {
		l.err = err
		close(l.done)
		delete(t.byID, id)
	}
}

// lookUp answers the lookups that wait now, as many as fit one request. For
// others it wakes up again, so that whoever keeps asking does not keep calls
// and refreshes from their turn. It returns an error when the connection is of
// no more use; the lookups then wait for the next one.
func (c *Cluster) lookUp(ctx context.Context, conn *Conn) error {
	names, ids := c.topics.waiting()
	if err := c.askNames(ctx, conn, names); err != nil {
		return err
	}
	if err := c.askIDs(ctx, conn, ids); err != nil {
		return err
	}
	if names, ids := c.topics.waiting(); len(names)+len(ids) > 0 {
		c.wakeUp()
	}
	return nil
}

// lookUpWanted asks for wanted topics that are unknown, or known for long.
func (c *Cluster) lookUpWanted(ctx context.Context, conn *Conn) error {
	t := &c.topics
	var stale []string
	t.mu.RLock()
	for name := range t.wanted {
		known, ok := t.names[name]
		if validTopic(name) && (!ok || known.absent || time.Since(known.at) > presentFor/2) {
			stale = append(stale, name)
		}
	}
	t.mu.RUnlock()
	for len(stale) > 0 {
		n := min(len(stale), topicsPerRequest)
		if err := c.askNames(ctx, conn, stale[:n]); err != nil {
			return err
		}
		stale = stale[n:]
	}
	return nil
}

func (c *Cluster) askNames(ctx context.Context, conn *Conn, names []string) error {
	if len(names) == 0 {
		return nil
	}
	req := kmsg.NewPtrMetadataRequest()
	asked := make(map[string]*lookup, len(names))
	for _, name := range names {
		asked[name] = &lookup{err: errNoAnswer}
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	req.AllowAutoTopicCreation = false
	answer, err := c.exchange(ctx, conn, req)
	if err != nil {
		return err
	}
	for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
		if topic.Topic == nil || asked[*topic.Topic] == nil {
			continue // not what we asked for
		}
		l := asked[*topic.Topic]
		l.id = topic.TopicID
		l.ok, l.err = verdict(topic.ErrorCode, topic.TopicID)
	}
	t, now := &c.topics, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, l := range asked {
		switch {
		case l.ok:
			t.put(name, l.id, now)
		case l.err == nil:
			t.drop(name)
			makeRoom(t.names, len(t.wanted), func(n string) bool { _, ok := t.wanted[n]; return ok })
			t.names[name] = topicEntry{absent: true, at: now}
		}
		if waiting := t.byName[name]; waiting != nil {
			waiting.id, waiting.ok, waiting.err = l.id, l.ok, l.err
			close(waiting.done)
			delete(t.byName, name)
		}
	}
	return nil
}

func (c *Cluster) askIDs(ctx context.Context, conn *Conn, ids [][16]byte) error {
	if len(ids) == 0 {
		return nil
	}
	asked := make(map[[16]byte]*lookup, len(ids))
	req := kmsg.NewPtrMetadataRequest()
	for _, id := range ids {
		asked[id] = &lookup{err: errNoAnswer}
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
	}
	req.AllowAutoTopicCreation = false
	if conn.api.ranges[req.Key()].Max >= 12 {
		answer, err := c.exchange(ctx, conn, req)
		if err != nil {
			return err
		}
		for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
			l := asked[topic.TopicID]
			if l == nil {
				continue // not what we asked for
			}
			l.ok, l.err = verdict(topic.ErrorCode, topic.TopicID)
			if l.ok && (topic.Topic == nil || !validTopic(*topic.Topic)) {
				l.ok, l.err = false, malformed("topic without a name")
			}
			if l.ok {
				l.name = *topic.Topic
			}
		}
	} else {
		for _, l := range asked {
			l.err = fmt.Errorf("broker %s cannot look up topic ids, which needs Metadata v12", conn.addr)
		}
	}
	t, now := &c.topics, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, l := range asked {
		switch {
		case l.ok:
			t.put(l.name, id, now)
		case l.err == nil:
			if known := t.ids[id]; known.name != "" {
				t.drop(known.name)
			}
			makeRoom(t.ids, len(t.wanted), func(id [16]byte) bool { _, ok := t.wanted[t.ids[id].name]; return ok })
			t.ids[id] = nameEntry{absent: true, at: now}
		}
		if waiting := t.byID[id]; waiting != nil {
			waiting.name, waiting.ok, waiting.err = l.name, l.ok, l.err
			close(waiting.done)
			delete(t.byID, id)
		}
	}
	return nil
}

var errNoAnswer = &MalformedError{"the topic asked for is not in the answer"}

// verdict tells from a topic's error in a Metadata answer whether the topic exists.
func verdict(code int16, id [16]byte) (ok bool, err error) {
	switch code {
	case 0:
		return true, nil
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.InvalidTopicException.Code:
		return false, nil
	case kerr.LeaderNotAvailable.Code:
		if id != ([16]byte{}) {
			return true, nil
		}
	}
	return false, kerr.ErrorForCode(code)
}

// Topics returns all topics whose names begin with prefix, in order. It costs
// the cluster a listing of all its topics, which all callers share for
// [sharedFor]; what LearnTopic or ForgetTopic said before the call is in it.
func (c *Cluster) Topics(ctx context.Context, prefix string) ([]Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	all, err := c.listing.get(ctx, c.list)
	if err != nil {
		return nil, fmt.Errorf("list topics of target cluster %q: %w", c.cfg.Name, err)
	}
	from, _ := slices.BinarySearchFunc(all, prefix, func(t Topic, p string) int { return strings.Compare(t.Name, p) })
	to := from
	for to < len(all) && strings.HasPrefix(all[to].Name, prefix) {
		to++
	}
	return slices.Clone(all[from:to]), nil
}

// list asks for all topics.
func (c *Cluster) list(ctx context.Context) ([]Topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	req.AllowAutoTopicCreation = false
	answer, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	if resp.ErrorCode != 0 {
		return nil, kerr.ErrorForCode(resp.ErrorCode)
	}
	topics := make([]Topic, 0, len(resp.Topics))
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		if ok, _ := verdict(t.ErrorCode, t.TopicID); ok {
			topics = append(topics, Topic{*t.Topic, t.TopicID, len(t.Partitions), t.IsInternal})
		}
	}
	slices.SortFunc(topics, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return topics, nil
}

// TopicConfigs returns the configurations that are set on topics themselves, by
// backing name and configuration; not those that they inherit, nor sensitive
// ones. A topic that does not exist is left out.
func (c *Cluster) TopicConfigs(ctx context.Context, backing []string) (map[string]map[string]string, error) {
	out := make(map[string]map[string]string, len(backing))
	for names := range slices.Chunk(backing, topicsPerRequest) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		for _, name := range names {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
			req.Resources = append(req.Resources, r)
		}
		answer, err := c.call(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("describe configurations of topics of target cluster %q: %w", c.cfg.Name, err)
		}
		for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
			if r.ResourceType != kmsg.ConfigResourceTypeTopic || r.ErrorCode == kerr.UnknownTopicOrPartition.Code {
				continue
			}
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				return nil, fmt.Errorf("describe configurations of topic %q of target cluster %q: %w", r.ResourceName, c.cfg.Name, err)
			}
			set := map[string]string{}
			for _, config := range r.Configs {
				if config.Source == kmsg.ConfigSourceDynamicTopicConfig && config.Value != nil && !config.IsSensitive {
					set[config.Name] = *config.Value
				}
			}
			out[r.ResourceName] = set
		}
	}
	return out, nil
}
