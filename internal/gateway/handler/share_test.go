package handler

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// shareBroker has one share session, as a broker keeps it: what a request names
// is added, what it forgets is taken out afterwards, and every partition of the
// session is answered with one record, which is acquired.
type shareBroker struct {
	epoch      int32 // expected next; 0 for no session
	partitions map[sharePartition]bool
	acks       []string // "id/partition first-last type"
	fetches    int
	answer     func(*kmsg.ShareFetchResponse) // edits the next answer
}

func (b *shareBroker) fetch(t *testing.T, req *kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
	t.Helper()
	b.fetches++
	resp := kmsg.NewPtrShareFetchResponse()
	resp.Version, resp.AcquisitionLockTimeoutMillis = req.Version, 30000
	switch {
	case req.ShareSessionEpoch == 0:
		b.partitions, b.epoch = map[sharePartition]bool{}, 0
	case b.epoch == 0:
		resp.ErrorCode = kerr.ShareSessionNotFound.Code
		return resp
	case req.ShareSessionEpoch != -1 && req.ShareSessionEpoch != b.epoch:
		resp.ErrorCode = kerr.InvalidShareSessionEpoch.Code
		return resp
	}
	acked := map[sharePartition]bool{}
	for _, rt := range req.Topics {
		for _, rp := range rt.Partitions {
			at := sharePartition{rt.TopicID, rp.Partition}
			if b.partitions[at] && len(rp.AcknowledgementBatches) == 0 {
				t.Errorf("the broker is told again of %s", brokerName(at))
			}
			b.partitions[at] = true
			acked[at] = b.acknowledge(at, rp.AcknowledgementBatches)
		}
	}
	for _, ft := range req.ForgottenTopicsData {
		for _, p := range ft.Partitions {
			if at := (sharePartition{ft.TopicID, p}); !b.partitions[at] {
				t.Errorf("the broker is told to forget %s, which it does not have", brokerName(at))
			} else {
				delete(b.partitions, at)
			}
		}
	}
	b.epoch = nextEpoch(b.epoch)
	byTopic := map[grant.TopicID]*kmsg.ShareFetchResponseTopic{}
	partition := func(at sharePartition) *kmsg.ShareFetchResponseTopicPartition {
		if byTopic[at.topic] == nil {
			rt := kmsg.NewShareFetchResponseTopic()
			rt.TopicID = at.topic
			byTopic[at.topic] = &rt
		}
		rt := byTopic[at.topic]
		rp := kmsg.NewShareFetchResponseTopicPartition()
		rp.Partition, rp.Records = at.partition, []byte{}
		rt.Partitions = append(rt.Partitions, rp)
		return &rt.Partitions[len(rt.Partitions)-1]
	}
	if req.ShareSessionEpoch == -1 {
		b.partitions, b.epoch = nil, 0
	}
	for at := range b.partitions {
		rp := partition(at)
		rp.Records = []byte("record of " + brokerName(at))
		a := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
		a.FirstOffset, a.LastOffset, a.DeliveryCount = int64(10*b.fetches), int64(10*b.fetches+1), 1
		rp.AcquiredRecords = append(rp.AcquiredRecords, a)
	}
	for at, yes := range acked {
		if yes && !b.partitions[at] {
			partition(at)
		}
	}
	for _, rt := range byTopic {
		slices.SortFunc(rt.Partitions, func(a, b kmsg.ShareFetchResponseTopicPartition) int { return int(a.Partition - b.Partition) })
		resp.Topics = append(resp.Topics, *rt)
	}
	slices.SortFunc(resp.Topics, func(a, b kmsg.ShareFetchResponseTopic) int { return bytes.Compare(a.TopicID[:], b.TopicID[:]) })
	if b.answer != nil {
		b.answer(resp)
		b.answer = nil
	}
	return resp
}

func (b *shareBroker) acknowledge(at sharePartition, batches []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) bool {
	for _, a := range batches {
		b.acks = append(b.acks, fmt.Sprintf("%s %d-%d %d", brokerName(at), a.FirstOffset, a.LastOffset, a.AcknowledgeTypes))
	}
	return len(batches) > 0
}

// has says what the broker's session holds.
func (b *shareBroker) has() string {
	var out []string
	for at := range b.partitions {
		out = append(out, brokerName(at))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func brokerName(at sharePartition) string {
	name, _, _ := known{}.TopicName(context.Background(), at.topic)
	return fmt.Sprintf("%s/%d", strings.TrimPrefix(name, "phys."), at.partition)
}

// sharer is a client with a connection to the gateway, and the broker behind.
type sharer struct {
	t      *testing.T
	conn   *Conn
	broker shareBroker
	grant  *grant.Grant
	// later is the grant once a request is on its way.
	later *grant.Grant
	epoch int32
	hold  time.Duration // of the last answer
}

func newSharer(t *testing.T, g *grant.Grant) *sharer {
	s := &sharer{t: t, grant: g}
	s.conn = &Conn{Cluster: known{}, Addresses: known{}, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return s.grant }}
	return s
}

func (s *sharer) exchange(version int16) *Exchange {
	return &Exchange{Context: s.t.Context(), Version: version, Grant: s.grant, Now: time.Now(), Conn: s.conn}
}

// sharePart is a partition of a client's request, with a record that it
// acknowledges, or 0.
type sharePart struct {
	topic     grant.TopicID
	partition int32
	accept    int64
	forget    bool
}

// fetch sends what the client asks in its next epoch and returns the answer.
func (s *sharer) fetch(parts ...sharePart) *kmsg.ShareFetchResponse {
	s.t.Helper()
	resp := s.fetchAs("m", s.epoch, parts...)
	s.epoch = nextEpoch(s.epoch)
	return resp
}

func (s *sharer) fetchAs(member string, epoch int32, parts ...sharePart) *kmsg.ShareFetchResponse {
	s.t.Helper()
	req := kmsg.NewPtrShareFetchRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch, req.MaxWaitMillis = 2, kmsg.StringPtr("g"), &member, epoch, 500
	for _, p := range parts {
		if p.forget {
			ft := kmsg.NewShareFetchRequestForgottenTopicsData()
			ft.TopicID, ft.Partitions = p.topic, []int32{p.partition}
			req.ForgottenTopicsData = append(req.ForgottenTopicsData, ft)
			continue
		}
		rt, rp := kmsg.NewShareFetchRequestTopic(), kmsg.NewShareFetchRequestTopicPartition()
		rt.TopicID, rp.Partition = p.topic, p.partition
		if p.accept > 0 {
			b := kmsg.NewShareFetchRequestTopicPartitionAcknowledgementBatch()
			b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = p.accept, p.accept, []int8{1}
			rp.AcknowledgementBatches = append(rp.AcknowledgementBatches, b)
		}
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	action, err := Lookup(78).Serve(s.exchange(2), req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hold = action.Hold
	if action.Upstream == nil {
		return action.Answer.(*kmsg.ShareFetchResponse)
	}
	up := action.Upstream.(*kmsg.ShareFetchRequest)
	if *up.GroupID != s.grant.Group("g") {
		s.t.Errorf("group %q went upstream", *up.GroupID)
	}
	answered := s.broker.fetch(s.t, up)
	if s.later != nil {
		s.grant, s.later = s.later, nil
	}
	return s.pass(action, answered)
}

// pass turns a broker's answer into the client's, as a connection does.
func (s *sharer) pass(action Action, answered *kmsg.ShareFetchResponse) *kmsg.ShareFetchResponse {
	s.t.Helper()
	body := answered.AppendTo(nil)
	if action.RawResponse != nil {
		if patches, ok := action.RawResponse(body); ok {
			buffers, _ := wire.Gather(nil, body, patches)
			out := kmsg.NewPtrShareFetchResponse()
			out.Version = answered.Version
			if err := out.ReadFrom(bytes.Join(buffers, nil)); err != nil {
				s.t.Fatal(err)
			}
			return out
		}
	}
	out, err := action.Response(answered)
	if err != nil {
		s.t.Fatal(err)
	}
	return out.(*kmsg.ShareFetchResponse)
}

// says is an answer in short: "id/partition=records", with errors.
func (s *sharer) says(resp *kmsg.ShareFetchResponse) string {
	if resp.ErrorCode != 0 {
		return kerr.TypedErrorForCode(resp.ErrorCode).Message
	}
	var out []string
	for _, rt := range resp.Topics {
		name := "?"
		if t := s.grant.TopicByID(rt.TopicID); t != nil {
			name = t.Exposed
		}
		for _, rp := range rt.Partitions {
			what := fmt.Sprintf("%s/%d", name, rp.Partition)
			if len(rp.Records) > 0 {
				what += fmt.Sprintf(" got %d", len(rp.AcquiredRecords))
			}
			if rp.ErrorCode != 0 {
				what += fmt.Sprintf(" error %d", rp.ErrorCode)
			}
			if rp.AcknowledgeErrorCode != 0 {
				what += fmt.Sprintf(" ack error %d", rp.AcknowledgeErrorCode)
			}
			out = append(out, what)
		}
	}
	return strings.Join(out, ", ")
}

// sameParts compares two answers in any order.
func sameParts(a, b string) bool {
	x, y := strings.Split(a, ", "), strings.Split(b, ", ")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// in is a grant whose topic b is in a state.
func in(t *testing.T, edit func(*grant.Topic)) *grant.Grant {
	return granted(t, func(g *grant.Grant) { edit(g.Topics[1]) })
}

func suspended(t *grant.Topic) { t.Phases = []grant.Phase{{State: grant.Suspended}} }
func open(*grant.Topic)        {}

func TestShareFetchCells(t *testing.T) {
	a, b := granted(t, nil).Topics[0].ID, granted(t, nil).Topics[1].ID
	for name, tc := range map[string]struct {
		state func(*grant.Topic)
		topic grant.TopicID
		// What the broker's session has, what the client is told, then that of a
		// fetch which accepts record 7 of both topics, and the acknowledgements
		// that the broker got.
		has, says, acked, acks string
	}{
		"open":               {open, b, "a/0 b/0", "a/0 got 1, b/0 got 1", "a/0 got 1, b/0 got 1", "a/0 7-7 [1] b/0 7-7 [1]"},
		"brown-out":          {func(t *grant.Topic) { t.Phases[0].State = grant.BrownOut }, b, "a/0", "a/0 got 1", "a/0 got 1, b/0", "a/0 7-7 [1] b/0 7-7 [1]"},
		"suspended":          {suspended, b, "a/0", "a/0 got 1", "a/0 got 1, b/0", "a/0 7-7 [1] b/0 7-7 [1]"},
		"ended":              {func(t *grant.Topic) { t.Phases[0].State = grant.Ended }, b, "a/0", "a/0 got 1", "a/0 got 1, b/0", "a/0 7-7 [1] b/0 7-7 [1]"},
		"right withdrawn":    {func(t *grant.Topic) { t.Read.Access = grant.Withdrawn }, b, "a/0", "a/0 got 1", "a/0 got 1, b/0", "a/0 7-7 [1] b/0 7-7 [1]"},
		"right never there":  {func(t *grant.Topic) { t.Read.Access = grant.Never }, b, "a/0", "a/0 got 1, b/0 error 29", "a/0 got 1, b/0 error 29 ack error 29", "a/0 7-7 [1]"},
		"refused":            {func(t *grant.Topic) { t.Phases[0].State = grant.Refused }, b, "a/0", "a/0 got 1, b/0 error 100", "a/0 got 1, b/0 error 100 ack error 100", "a/0 7-7 [1]"},
		"an id of nobody":    {open, grant.TopicID{9}, "a/0", "a/0 got 1, ?/0 error 100", "a/0 got 1, ?/0 error 100 ack error 100", "a/0 7-7 [1]"},
		"a broker's own id":  {open, idOf("phys.b"), "a/0", "a/0 got 1, ?/0 error 100", "a/0 got 1, ?/0 error 100 ack error 100", "a/0 7-7 [1]"},
		"no id (all zeroes)": {open, grant.TopicID{}, "a/0", "a/0 got 1, ?/0 error 100", "a/0 got 1, ?/0 error 100 ack error 100", "a/0 7-7 [1]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSharer(t, in(t, tc.state))
			if got := s.says(s.fetch(sharePart{topic: a}, sharePart{topic: tc.topic})); got != tc.says {
				t.Errorf("first: the client is told %q, want %q", got, tc.says)
			}
			if got := s.broker.has(); got != tc.has {
				t.Errorf("first: the broker has %q, want %q", got, tc.has)
			}
			if got := s.says(s.fetch()); !sameParts(got, tc.says) {
				t.Errorf("then: the client is told %q, want %q", got, tc.says)
			}
			if got := s.says(s.fetch(sharePart{topic: a, accept: 7}, sharePart{topic: tc.topic, accept: 7})); got != tc.acked {
				t.Errorf("accepting: the client is told %q, want %q", got, tc.acked)
			}
			slices.Sort(s.broker.acks)
			if got := strings.Join(s.broker.acks, " "); got != tc.acks {
				t.Errorf("the broker got %q, want %q", got, tc.acks)
			}
			if got := s.broker.has(); got != tc.has {
				t.Errorf("accepting: the broker has %q, want %q", got, tc.has)
			}
		})
	}
}

func TestShareSessionFollowsTheGrant(t *testing.T) {
	open, closed := granted(t, nil), granted(t, func(g *grant.Grant) {
		for _, topic := range g.Topics {
			suspended(topic)
		}
	})
	half := in(t, suspended)
	a, b := open.Topics[0].ID, open.Topics[1].ID
	s := newSharer(t, open)
	step := func(g *grant.Grant, says, has string, held bool, parts ...sharePart) {
		t.Helper()
		s.grant = g
		if got := s.says(s.fetch(parts...)); got != says || s.broker.has() != has || (s.hold > 0) != held {
			t.Errorf("epoch %d: the client is told %q, the broker has %q, held for %v; want %q, %q, %v", s.epoch-1, got, s.broker.has(), s.hold, says, has, held)
		}
	}
	step(open, "a/0 got 1, b/0 got 1, b/1 got 1", "a/0 b/0 b/1", false, sharePart{topic: a}, sharePart{topic: b}, sharePart{topic: b, partition: 1})
	step(half, "a/0 got 1", "a/0", false)
	step(half, "a/0 got 1", "a/0", false)
	step(closed, "", "", false) // takes the rest out
	fetches := s.broker.fetches
	step(closed, "", "", true)
	step(closed, "", "", true, sharePart{topic: a, partition: 5})                                       // asked while withheld
	step(closed, "", "", true, sharePart{topic: b, partition: 1, forget: true})                         // and forgotten
	step(closed, "b/0", "", false, sharePart{topic: b, accept: 3})                                      // finishes what was delivered
	step(closed, "?/0 error 100 ack error 100", "", false, sharePart{topic: idOf("phys.a"), accept: 3}) // not held: the client wants to know
	if n := s.broker.fetches - fetches; n != 1 {
		t.Errorf("%d requests went upstream while nothing could be read, want 1", n)
	}
	s.fetch(sharePart{topic: idOf("phys.a"), forget: true})
	step(half, "a/0 got 1, a/5 got 1", "a/0 a/5", false)
	step(open, "a/0 got 1, a/5 got 1, b/0 got 1", "a/0 a/5 b/0", false)
	step(open, "b/0 got 1", "b/0", false, sharePart{topic: a, forget: true}, sharePart{topic: a, partition: 5, forget: true})
	// The client starts over, then closes.
	s.epoch = 0
	step(half, "a/0 got 1", "a/0", false, sharePart{topic: a}, sharePart{topic: b})
	if got := s.says(s.fetchAs("m", -1, sharePart{topic: a, accept: 4}, sharePart{topic: b, accept: 4})); got != "a/0, b/0" {
		t.Errorf("closing: %q", got)
	}
	if s.conn.share != nil || s.conn.remembered != 0 || s.broker.epoch != 0 {
		t.Errorf("after closing the gateway remembers %+v, %d partitions; the broker expects epoch %d", s.conn.share, s.conn.remembered, s.broker.epoch)
	}
}

func TestShareSessionLeavesATopicThatWasMadeAnew(t *testing.T) {
	g := granted(t, nil)
	cluster := still{"phys.a": {1}, "phys.b": {2}}
	s := newSharer(t, g)
	s.conn.Cluster = cluster
	s.fetch(sharePart{topic: g.Topics[0].ID})
	cluster["phys.a"] = [16]byte{3}
	s.fetch()
	if want := map[sharePartition]bool{{grant.TopicID{3}, 0}: true}; len(s.broker.partitions) != 1 || !s.broker.partitions[sharePartition{grant.TopicID{3}, 0}] {
		t.Errorf("the broker has %v, want %v", s.broker.partitions, want)
	}
	delete(cluster, "phys.a")
	if got := s.says(s.fetch()); got != "a/0 error 100" || len(s.broker.partitions) != 0 {
		t.Errorf("deleted: the client is told %q, the broker has %v", got, s.broker.partitions)
	}
}

// What a broker acquired while a topic was open is not delivered once it is
// not: it is given back with the next request.
func TestRecordsThatMayNotBeDeliveredAreReleased(t *testing.T) {
	open, half := granted(t, nil), in(t, suspended)
	a, b := open.Topics[0].ID, open.Topics[1].ID
	s := newSharer(t, open)
	s.fetch(sharePart{topic: a}, sharePart{topic: b})
	s.later = half
	if got := s.says(s.fetch(sharePart{topic: b, accept: 11})); got != "a/0 got 1, b/0" {
		t.Errorf("withheld on the way: the client is told %q", got)
	}
	s.broker.acks = nil
	if got := s.says(s.fetch(sharePart{topic: b, accept: 19}, sharePart{topic: b, accept: 25})); got != "a/0 got 1, b/0" {
		t.Errorf("then: %q", got)
	}
	if got := strings.Join(s.broker.acks, ", "); got != "b/0 19-19 [1], b/0 20-21 [2], b/0 25-25 [1]" {
		t.Errorf("the broker got %s", got)
	}
	if got := s.broker.has(); got != "a/0" {
		t.Errorf("the broker has %q", got)
	}
	s.broker.acks = nil
	s.fetch()
	if len(s.broker.acks) > 0 {
		t.Errorf("released again: %q", s.broker.acks)
	}

	// Without a word from the client the release is the request.
	s.grant = open
	s.fetch()
	s.later = half
	s.fetch()
	if got := s.says(s.fetch()); got != "a/0 got 1" || len(s.broker.acks) != 1 || !strings.HasSuffix(s.broker.acks[0], "[2]") {
		t.Errorf("the client is told %q, the broker got %q", got, s.broker.acks)
	}
}

func TestForeignTopicsInAShareFetchAnswerAreDropped(t *testing.T) {
	g := granted(t, nil)
	s := newSharer(t, g)
	s.fetch(sharePart{topic: g.Topics[0].ID})
	s.broker.answer = func(resp *kmsg.ShareFetchResponse) {
		rt, more := resp.Topics[0], resp.Topics[0].Partitions[0]
		more.Partition = 8 // of the topic, but never asked for
		resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, more)
		rt.TopicID = idOf("phys.secret")
		n := kmsg.NewShareFetchResponseNodeEndpoint()
		n.Host, n.Rack = "127.77.0.1", kmsg.StringPtr("r")
		resp.Topics, resp.NodeEndpoints = append(resp.Topics, rt), append(resp.NodeEndpoints, n)
		message := "topic phys.a on 127.77.0.1"
		p := &resp.Topics[0].Partitions[0]
		p.ErrorCode, p.ErrorMessage, p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage = 6, &message, 7, &message
	}
	resp := s.fetch()
	if got := s.says(resp); got != "a/0 got 1 error 6" { // it acknowledged nothing
		t.Errorf("the client is told %q", got)
	}
	if n := resp.NodeEndpoints; len(n) != 1 || n[0].Host != "gw" || n[0].Rack != nil {
		t.Errorf("endpoints: %+v", n)
	}
	if body := resp.AppendTo(nil); bytes.Contains(body, []byte("127.77")) || bytes.Contains(body[bytes.Index(body, []byte("gw")):], []byte("phys")) {
		t.Errorf("the answer names the target cluster: %q", body)
	}
	s.broker.answer = func(resp *kmsg.ShareFetchResponse) {
		resp.ErrorCode, resp.ErrorMessage = kerr.UnknownServerError.Code, kmsg.StringPtr("group tabcdefghijkl.g")
	}
	resp = s.fetch()
	if resp.ErrorCode != kerr.UnknownServerError.Code || strings.Contains(*resp.ErrorMessage, "tabc") {
		t.Errorf("error %d, %q", resp.ErrorCode, *resp.ErrorMessage)
	}
	// The broker may have gone on or not: only a new session is sure.
	if got := s.says(s.fetch()); got != "SHARE_SESSION_NOT_FOUND" {
		t.Errorf("after an error of the broker: %s", got)
	}
	s.epoch = 0
	if got := s.says(s.fetch(sharePart{topic: g.Topics[0].ID})); got != "a/0 got 1" {
		t.Errorf("started over: %s", got)
	}
}

func TestShareSessionErrors(t *testing.T) {
	g := granted(t, nil)
	a := sharePart{topic: g.Topics[0].ID}
	s := newSharer(t, g)
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	is("no session", s.says(s.fetchAs("m", 3, a)), "SHARE_SESSION_NOT_FOUND")
	is("closing none", s.says(s.fetchAs("m", -1)), "SHARE_SESSION_NOT_FOUND")
	s.fetch(a)
	is("epoch from the future", s.says(s.fetchAs("m", 2)), "INVALID_SHARE_SESSION_EPOCH")
	is("negative epoch", s.says(s.fetchAs("m", -2)), "INVALID_SHARE_SESSION_EPOCH")
	is("another member's epoch", s.says(s.fetchAs("n", 1)), "SHARE_SESSION_NOT_FOUND")
	is("another member on the connection", s.says(s.fetchAs("n", 0, a)), "SHARE_SESSION_LIMIT_REACHED")
	if s.hold == 0 {
		t.Error("a client that may not have a session is answered at once: it would ask again at once")
	}
	is("the first goes on", s.says(s.fetch()), "a/0 got 1")
	s.broker.epoch = 0 // lost by the broker
	is("lost", s.says(s.fetch()), "SHARE_SESSION_NOT_FOUND")
	if s.conn.share != nil || s.conn.remembered != 0 {
		t.Errorf("a session that is gone is remembered: %+v", s.conn.share)
	}
	is("another member after that", s.says(s.fetchAs("n", 0, a)), "a/0 got 1")

	s = newSharer(t, g)
	s.conn.Limits.SessionPartitions = 2
	is("too many partitions", s.says(s.fetch(a, sharePart{topic: a.topic, partition: 1}, sharePart{topic: a.topic, partition: 2})), "SHARE_SESSION_LIMIT_REACHED")
	is("after that", s.says(s.fetch()), "SHARE_SESSION_NOT_FOUND")
	s.epoch = 0
	is("fewer", s.says(s.fetch(a, sharePart{topic: a.topic, partition: 1})), "a/0 got 1, a/1 got 1")
	is("one more", s.says(s.fetch(sharePart{topic: a.topic, partition: 2})), "SHARE_SESSION_LIMIT_REACHED")

	s = newSharer(t, g) // epochs begin again at 1
	s.fetch(a)
	s.conn.share.next, s.conn.share.upstream, s.broker.epoch, s.epoch = 1<<31-1, 1<<31-1, 1<<31-1, 1<<31-1
	s.fetch()
	is("after the last epoch", s.says(s.fetchAs("m", 1)), "a/0 got 1")
}

func TestShareAcknowledge(t *testing.T) {
	half := granted(t, func(g *grant.Grant) {
		suspended(g.Topics[1])
		g.Topics = append(g.Topics, &grant.Topic{Exposed: "w", Backing: "phys.w", ID: grant.TopicID{4}, Write: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
	})
	a, b := half.Topics[0].ID, half.Topics[1].ID
	s := newSharer(t, half)
	acknowledge := func(epoch int32, ids ...grant.TopicID) Action {
		t.Helper()
		req := kmsg.NewPtrShareAcknowledgeRequest()
		req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = 2, kmsg.StringPtr("g"), kmsg.StringPtr("m"), epoch
		for _, id := range ids {
			rt, rp := kmsg.NewShareAcknowledgeRequestTopic(), kmsg.NewShareAcknowledgeRequestTopicPartition()
			rt.TopicID, rt.Partitions = id, append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
		}
		action, err := Lookup(79).Serve(s.exchange(2), req)
		if err != nil {
			t.Fatal(err)
		}
		return action
	}
	says := func(r kmsg.Response) string {
		resp := r.(*kmsg.ShareAcknowledgeResponse)
		if resp.ErrorCode != 0 {
			return kerr.TypedErrorForCode(resp.ErrorCode).Message
		}
		var out []string
		for _, rt := range resp.Topics {
			out = append(out, fmt.Sprintf("%x=%d", rt.TopicID[:2], rt.Partitions[0].ErrorCode))
		}
		return strings.Join(out, " ")
	}
	for what, tc := range map[string]struct {
		epoch int32
		want  string
	}{"no session": {1, "SHARE_SESSION_NOT_FOUND"}, "a first epoch": {0, "INVALID_SHARE_SESSION_EPOCH"}} {
		if got := says(acknowledge(tc.epoch, a).Answer); got != tc.want {
			t.Errorf("%s: %s", what, got)
		}
	}
	s.fetch(sharePart{topic: a}, sharePart{topic: b})

	// All foreign: answered here, and the broker's epoch stays.
	if got := says(acknowledge(1, grant.TopicID{9}, idOf("phys.a"), grant.TopicID{4}).Answer); got != "0900=100 6964=100 0400=29" {
		t.Errorf("foreign topics: %s", got)
	}
	// Mixed: in the order asked.
	action := acknowledge(2, b, grant.TopicID{9}, a)
	up := action.Upstream.(*kmsg.ShareAcknowledgeRequest)
	if up.ShareSessionEpoch != 1 || len(up.Topics) != 2 || up.Topics[0].TopicID != idOf("phys.b") || up.Topics[1].TopicID != idOf("phys.a") || *up.GroupID != half.Group("g") {
		t.Errorf("upstream: %+v", up)
	}
	resp := kmsg.NewPtrShareAcknowledgeResponse()
	for _, name := range []string{"a", "secret", "b"} {
		rt, rp := kmsg.NewShareAcknowledgeResponseTopic(), kmsg.NewShareAcknowledgeResponseTopicPartition()
		rt.TopicID = idOf("phys." + name)
		if name == "a" {
			rp.ErrorCode, rp.ErrorMessage = kerr.InvalidRecordState.Code, kmsg.StringPtr("phys.a is not acquired")
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
	}
	n := kmsg.NewShareAcknowledgeResponseNodeEndpoint()
	n.Host, n.Rack = "127.77.0.1", kmsg.StringPtr("r")
	resp.NodeEndpoints = append(resp.NodeEndpoints, n)
	out, err := action.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := says(out), fmt.Sprintf("%x=0 0900=100 %x=%d", b[:2], a[:2], kerr.InvalidRecordState.Code); got != want {
		t.Errorf("the client is told %s, want %s", got, want)
	}
	if body := out.AppendTo(nil); bytes.Contains(body, []byte("phys")) || bytes.Contains(body, []byte("127.77")) {
		t.Errorf("the answer names the target cluster: %q", body)
	}
	// The two APIs count their epochs together.
	s.epoch, s.broker.epoch = 3, 2
	if got := s.says(s.fetch()); got != "a/0 got 1" {
		t.Errorf("fetched after that: %s", got)
	}
	// Closing goes upstream with nothing to say as well.
	action = acknowledge(-1, grant.TopicID{9})
	if up, ok := action.Upstream.(*kmsg.ShareAcknowledgeRequest); !ok || up.ShareSessionEpoch != -1 || len(up.Topics) != 0 {
		t.Errorf("closing: %+v", action)
	}
	if got := s.says(s.fetch()); got != "SHARE_SESSION_NOT_FOUND" {
		t.Errorf("fetched while it is closed: %s", got)
	}
	if _, err := action.Response(kmsg.NewPtrShareAcknowledgeResponse()); err != nil || s.conn.share != nil {
		t.Errorf("closed: %v, %+v", err, s.conn.share)
	}
}

// What the fast path makes of an answer is, byte for byte, what decoding and
// encoding makes of it.
func TestShareFetchAnswersArePatchedAsTheyAreDecoded(t *testing.T) {
	g := granted(t, nil)
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		s := newSharer(t, g)
		req := kmsg.NewPtrShareFetchRequest()
		req.Version, req.GroupID, req.MemberID = int16(1+r.IntN(2)), kmsg.StringPtr("g"), kmsg.StringPtr("m")
		for _, name := range topicsOf(r) {
			rt := kmsg.NewShareFetchRequestTopic()
			rt.TopicID = g.Topic(name).ID
			for p := range int32(1 + r.IntN(3)) {
				rp := kmsg.NewShareFetchRequestTopicPartition()
				rp.Partition = p
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
		}
		action, err := Lookup(78).Serve(s.exchange(req.Version), req)
		if err != nil {
			t.Fatal(err)
		}
		resp := s.broker.fetch(t, action.Upstream.(*kmsg.ShareFetchRequest))
		body := resp.AppendTo(nil)
		patches, ok := action.RawResponse(body)
		if !ok {
			t.Fatal("not patched")
		}
		buffers, _ := wire.Gather(nil, body, patches)
		decoded, err := action.Response(resp)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Join(buffers, nil), decoded.AppendTo(nil); !bytes.Equal(got, want) {
			t.Fatalf("patched %x\ndecoded %x", got, want)
		}
	}
}

func TestShareGroupHeartbeat(t *testing.T) {
	before := granted(t, nil)
	after := granted(t, func(g *grant.Grant) {
		g.Topics = append(g.Topics, &grant.Topic{Exposed: "c", Backing: "phys.c", ID: grant.TopicID{3}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
	})
	current := before
	c := &Conn{Cluster: known{}, Addresses: known{}, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return current }}
	var action Action
	beat := func(member string, epoch int32, names []string) string {
		t.Helper()
		req := kmsg.NewPtrShareGroupHeartbeatRequest()
		req.Version, req.GroupID, req.MemberID, req.MemberEpoch, req.SubscribedTopicNames = 1, "g", member, epoch, names
		var err error
		action, err = Lookup(76).Serve(&Exchange{Context: t.Context(), Version: 1, Grant: current, Now: time.Now(), Conn: c}, req)
		if err != nil || action.Upstream == nil {
			t.Fatalf("%v, %+v: a heartbeat is never answered here", err, action)
		}
		up := action.Upstream.(*kmsg.ShareGroupHeartbeatRequest)
		if up.GroupID != current.Group("g") {
			t.Errorf("group %q", up.GroupID)
		}
		if up.SubscribedTopicNames == nil {
			return "null"
		}
		return strings.Join(up.SubscribedTopicNames, " ")
	}
	for _, step := range []struct {
		what   string
		grant  *grant.Grant
		member string
		epoch  int32
		names  []string
		want   string
	}{
		{"joins with foreign names among its own", before, "m", 0, []string{"a", "c", "phys.b"}, "phys.a"},
		{"says nothing new", before, "m", 4, nil, "null"},
		{"gets another topic", after, "m", 5, nil, "phys.a phys.c"},
		{"and only once", after, "m", 5, nil, "null"},
		{"loses it for good", before, "m", 6, nil, "phys.a"},
		{"subscribes to nothing", before, "m", 6, []string{}, ""},
		{"joins with foreign names only: a broker wants one", before, "n", 0, []string{"c", "d"}, "tabcdefghijkl.__none"},
		{"gets one of them", after, "n", 1, nil, "phys.c"},
		{"loses it: a member may have none", before, "n", 2, nil, ""},
		{"joins without a topic: the broker refuses", before, "o", 0, nil, "null"},
		{"came from another connection", before, "p", 9, nil, "null"},
		{"leaves", before, "m", -1, nil, "null"},
	} {
		current = step.grant
		if got := beat(step.member, step.epoch, step.names); got != step.want {
			t.Errorf("%s: %q goes upstream, want %q", step.what, got, step.want)
		}
	}
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = kerr.UnknownMemberID.Code, kmsg.StringPtr("group tabcdefghijkl.g")
	resp.Assignment = &kmsg.ShareGroupHeartbeatResponseAssignment{}
	for _, name := range []string{"phys.b", "phys.secret", "phys.a"} {
		tp := kmsg.NewShareGroupHeartbeatResponseAssignmentTopicPartition()
		tp.TopicID, tp.Partitions = idOf(name), []int32{0, 2}
		resp.Assignment.TopicPartitions = append(resp.Assignment.TopicPartitions, tp)
	}
	out, err := action.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	got := out.(*kmsg.ShareGroupHeartbeatResponse)
	if tp := got.Assignment.TopicPartitions; len(tp) != 2 || tp[0].TopicID != before.Topics[1].ID || tp[1].TopicID != before.Topics[0].ID || len(tp[1].Partitions) != 2 {
		t.Errorf("assigned: %+v", tp)
	}
	if strings.Contains(*got.ErrorMessage, "tabc") {
		t.Errorf("message %q", *got.ErrorMessage)
	}
	if c.shareMembers[memberKey{"g", "m"}] != nil || c.shareMembers[memberKey{"g", "n"}] == nil {
		t.Errorf("remembered: %v", c.shareMembers)
	}
	c.Limits.Members = 3
	for i := range 20 {
		beat(fmt.Sprint("member", i), 0, []string{"a"})
	}
	if n := len(c.shareMembers); n > 3 {
		t.Errorf("%d members are remembered", n)
	}
}

func TestShareGroupDescribe(t *testing.T) {
	g := granted(t, nil)
	serve := exchanger(g, still{"phys.a": {1}}, new(bytes.Buffer))
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.Version, req.GroupIDs, req.IncludeAuthorizedOperations = 1, []string{"g"}, true
	action := serve(req)
	if got := action.Upstream.(*kmsg.ShareGroupDescribeRequest).GroupIDs; len(got) != 1 || got[0] != g.Group("g") {
		t.Fatalf("asked upstream: %q", got)
	}
	resp := kmsg.NewPtrShareGroupDescribeResponse()
	for _, name := range []string{g.Group("g"), "another"} {
		rg, rm := kmsg.NewShareGroupDescribeResponseGroup(), kmsg.NewShareGroupDescribeResponseGroupMember()
		rg.GroupID, rg.ErrorCode, rg.ErrorMessage = name, 15, kmsg.StringPtr("of "+name)
		rm.MemberID, rm.ClientID, rm.ClientHost, rm.SubscribedTopicNames = "m", "acme/c", "/10.1.2.3", []string{"phys.a", "phys.secret", nothing(g)}
		for _, topic := range []string{"phys.a", "phys.secret"} {
			tp := kmsg.NewShareGroupDescribeResponseGroupMemberAssignmentTopicPartition()
			tp.Topic, tp.TopicID = topic, idOf(topic)
			rm.Assignment.TopicPartitions = append(rm.Assignment.TopicPartitions, tp)
		}
		rg.Members = append(rg.Members, rm)
		resp.Groups = append(resp.Groups, rg)
	}
	out, err := action.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	groups := out.(*kmsg.ShareGroupDescribeResponse).Groups
	if len(groups) != 1 || groups[0].GroupID != "g" || groups[0].AuthorizedOperations != authorizedUnknown { // it has an error
		t.Fatalf("groups: %+v", groups)
	}
	m := groups[0].Members[0]
	if tp := m.Assignment.TopicPartitions; m.ClientID != "c" || m.ClientHost != hiddenHost || !slices.Equal(m.SubscribedTopicNames, []string{"a"}) ||
		len(tp) != 1 || tp[0].Topic != "a" || tp[0].TopicID != g.Topics[0].ID {
		t.Errorf("member: %+v", m)
	}
	if body := out.AppendTo(nil); bytes.Contains(body, []byte("phys")) || bytes.Contains(body, []byte("tabc")) {
		t.Errorf("the answer names the target cluster: %q", body)
	}
}

func TestShareGroupOffsets(t *testing.T) {
	g := in(t, suspended)
	serve := exchanger(g, still{"phys.a": {1}, "phys.b": {2}}, new(bytes.Buffer))
	clean := func(r kmsg.Response) {
		t.Helper()
		if body := r.AppendTo(nil); bytes.Contains(body, []byte("phys")) || bytes.Contains(body, []byte("tabc")) {
			t.Errorf("the answer names the target cluster: %q", body)
		}
	}

	t.Run("describe", func(t *testing.T) {
		req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		req.Version = 1
		for _, topics := range [][]string{{"b", "secret", "a"}, nil} {
			rg := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
			rg.GroupID = fmt.Sprint("g", len(topics))
			for _, name := range topics {
				rg.Topics = append(rg.Topics, kmsg.DescribeShareGroupOffsetsRequestGroupTopic{Topic: name, Partitions: []int32{0}})
			}
			req.Groups = append(req.Groups, rg)
		}
		action := serve(req)
		resp := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
		resp.Version = 1
		for i, group := range []string{"g3", "g0", "g9"} {
			rg := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
			rg.GroupID = g.Group(group)
			if i < 2 && action.Upstream.(*kmsg.DescribeShareGroupOffsetsRequest).Groups[i].GroupID != rg.GroupID {
				t.Errorf("upstream: %+v", action.Upstream)
			}
			for _, name := range []string{"phys.a", "phys.secret", "phys.b"} {
				rt, rp := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic(), kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
				rt.Topic, rt.TopicID = name, [16]byte{1}
				rp.StartOffset, rp.ErrorMessage = 5, kmsg.StringPtr("of "+name)
				rt.Partitions = append(rt.Partitions, rp)
				rg.Topics = append(rg.Topics, rt)
			}
			resp.Groups = append(resp.Groups, rg)
		}
		out, err := action.Response(resp)
		if err != nil {
			t.Fatal(err)
		}
		clean(out)
		var got []string
		for _, rg := range out.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
			for _, rt := range rg.Topics {
				got = append(got, fmt.Sprintf("%s %s=%d", rg.GroupID, rt.Topic, rt.Partitions[0].ErrorCode))
				if rt.Partitions[0].ErrorCode == 0 && rt.TopicID != g.Topic(rt.Topic).ID {
					t.Errorf("%s has id %x", rt.Topic, rt.TopicID)
				}
			}
		}
		if want := "g3 b=0, g3 secret=29, g3 a=0, g0 a=0, g0 b=0"; strings.Join(got, ", ") != want {
			t.Errorf("got %q, want %s", got, want)
		}
	})

	t.Run("alter", func(t *testing.T) {
		ask := func(names ...string) Action {
			req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
			req.GroupID = "g"
			for _, name := range names {
				req.Topics = append(req.Topics, kmsg.AlterShareGroupOffsetsRequestTopic{Topic: name, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: 1}}})
			}
			return serve(req)
		}
		if action := ask("secret"); action.Answer.(*kmsg.AlterShareGroupOffsetsResponse).Topics[0].Partitions[0].ErrorCode != 29 {
			t.Errorf("foreign: %+v", action.Answer)
		}
		action := ask("b", "secret")
		if up := action.Upstream.(*kmsg.AlterShareGroupOffsetsRequest); up.GroupID != g.Group("g") || len(up.Topics) != 1 || up.Topics[0].Topic != "phys.b" {
			t.Errorf("upstream: %+v", up)
		}
		resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
		rt, rp := kmsg.NewAlterShareGroupOffsetsResponseTopic(), kmsg.NewAlterShareGroupOffsetsResponseTopicPartition()
		rt.Topic, rt.TopicID, rp.ErrorMessage = "phys.b", [16]byte{2}, kmsg.StringPtr("phys.b")
		rt.Partitions, resp.Topics = append(rt.Partitions, rp), append(resp.Topics, rt)
		out, err := action.Response(resp)
		if err != nil {
			t.Fatal(err)
		}
		clean(out)
		if topics := out.(*kmsg.AlterShareGroupOffsetsResponse).Topics; len(topics) != 2 || topics[0].Topic != "b" || topics[0].TopicID != g.Topics[1].ID || topics[1].Partitions[0].ErrorCode != 29 {
			t.Errorf("answered: %+v", topics)
		}
		resp = kmsg.NewPtrAlterShareGroupOffsetsResponse()
		resp.ErrorCode, resp.ErrorMessage = kerr.NonEmptyGroup.Code, kmsg.StringPtr("tabcdefghijkl.g is not empty")
		if out, err = ask("b", "secret").Response(resp); err != nil || out.(*kmsg.AlterShareGroupOffsetsResponse).ErrorCode != kerr.NonEmptyGroup.Code {
			t.Errorf("%v, %+v", err, out)
		}
		clean(out)
	})

	t.Run("delete", func(t *testing.T) {
		req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		req.GroupID = "g"
		for _, name := range []string{"secret", "a"} {
			req.Topics = append(req.Topics, kmsg.DeleteShareGroupOffsetsRequestTopic{Topic: name})
		}
		action := serve(req)
		if up := action.Upstream.(*kmsg.DeleteShareGroupOffsetsRequest); up.GroupID != g.Group("g") || len(up.Topics) != 1 || up.Topics[0].Topic != "phys.a" {
			t.Errorf("upstream: %+v", up)
		}
		resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
		resp.ErrorMessage = kmsg.StringPtr("tabcdefghijkl.g")
		rt := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		rt.Topic, rt.TopicID, rt.ErrorCode, rt.ErrorMessage = "phys.a", [16]byte{1}, 3, kmsg.StringPtr("phys.a")
		resp.Topics = append(resp.Topics, rt)
		out, err := action.Response(resp)
		if err != nil {
			t.Fatal(err)
		}
		clean(out)
		if topics := out.(*kmsg.DeleteShareGroupOffsetsResponse).Topics; len(topics) != 2 || topics[0].ErrorCode != 29 || topics[1].Topic != "a" || topics[1].TopicID != g.Topics[0].ID || topics[1].ErrorCode != 3 {
			t.Errorf("answered: %+v", topics)
		}
	})
}

// A client may not make the gateway remember whatever it says.
func TestMembersThatSayALotAreForgotten(t *testing.T) {
	g := granted(t, nil)
	c := &Conn{Cluster: known{}, Addresses: known{}, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return g }}
	c.Limits.MemberBytes = 100_000
	beat := func(key int16, member string, epoch int32, names []string) {
		t.Helper()
		var req kmsg.Request
		if key == 68 {
			r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			r.Version, r.Group, r.MemberID, r.MemberEpoch, r.SubscribedTopicNames = 1, "g", member, epoch, names
			req = r
		} else {
			r := kmsg.NewPtrShareGroupHeartbeatRequest()
			r.Version, r.GroupID, r.MemberID, r.MemberEpoch, r.SubscribedTopicNames = 1, "g", member, epoch, names
			req = r
		}
		action, err := Lookup(key).Serve(&Exchange{Context: t.Context(), Version: 1, Grant: g, Now: time.Now(), Conn: c}, req)
		if err != nil || action.Upstream == nil {
			t.Fatalf("%v, %+v", err, action)
		}
		if _, err := action.Response(req.ResponseKind()); err != nil {
			t.Fatal(err)
		}
	}
	held := func() (n int) {
		for _, m := range c.members {
			n += nameBytes(m.names)
		}
		for _, m := range c.shareMembers {
			n += nameBytes(m.names)
		}
		return n
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("topic-%d-%s", i, strings.Repeat("x", 50))
	}
	seen := 0
	for i := range 200 {
		beat(int16(68+8*(i%2)), fmt.Sprint("member", i), 0, many)
		if n := held(); n > c.Limits.MemberBytes || n != c.memberBytes {
			t.Fatalf("%d members: %d bytes are remembered, counted as %d", i, n, c.memberBytes)
		}
		seen = max(seen, held())
	}
	if seen == 0 {
		t.Error("nothing is remembered at all")
	}
	c.Limits.MemberBytes = DefaultLimits.MemberBytes
	beat(76, "small", 0, []string{"a"})
	beat(68, "small", 0, []string{"a"})
	beat(76, "small", 1, []string{"a", "b"})
	if c.shareMembers[memberKey{"g", "small"}] == nil || c.members[memberKey{"g", "small"}] == nil {
		t.Error("a member with little to say is forgotten")
	}
	for _, key := range []int16{68, 76} {
		members := []string{}
		for k := range c.members {
			members = append(members, k.member)
		}
		for k := range c.shareMembers {
			members = append(members, k.member)
		}
		for _, m := range members {
			beat(key, m, -1, nil)
		}
	}
	if c.memberBytes != 0 || len(c.members) > 0 || len(c.shareMembers) > 0 {
		t.Errorf("after all have left, %d bytes of %d and %d members are counted", c.memberBytes, len(c.members), len(c.shareMembers))
	}
}
