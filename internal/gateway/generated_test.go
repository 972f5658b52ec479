package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/handler/fieldrule"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
	"sluice/internal/kafka/wire/wiretest"
)

// Messages of every key and version, valid and damaged, over sockets: through a
// real gateway to a broker that examines what arrives and answers with
// well-formed and damaged answers full of other people's names.

// hidden is a topic of the broker that nobody here was granted; what clients
// write of it must not reach the broker, what the broker says of others has a
// canary in it and must not reach a client.
const hidden = "phys.hidden"

func hiddenID() (id [16]byte) { copy(id[:], "hidden-topics-id"); return id }

// conversation is what client and broker of these tests say. Everything in it
// follows from a case's number, so that one case can be replayed.
type conversation struct {
	rules fieldrule.Rules
	grant *grant.Grant
	other *grant.Grant
	apis  []*handler.API
}

func newConversation(t *testing.T) *conversation {
	file, err := os.Open("handler/testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := &conversation{other: app("other", orders())}
	if c.rules, err = fieldrule.Read(file); err != nil {
		t.Fatal(err)
	}
	topics := []*grant.Topic{orders()}
	for i := range 9 {
		topics = append(topics, topic(fmt.Sprint("t", i), fmt.Sprint("phys.t", i), grant.Open, grant.Granted, grant.Granted))
	}
	topics = append(topics,
		topic("read-only", "phys.read-only", grant.Open, grant.Granted, grant.Never),
		topic("suspended", "phys.suspended", grant.Suspended, grant.Granted, grant.Granted),
		topic("ended", "phys.ended", grant.Ended, grant.Granted, grant.Granted),
		topic("refused", "phys.refused", grant.Refused, grant.Granted, grant.Granted))
	c.grant = app("acme", topics...)
	c.grant.Namespace = grant.Namespace{Topics: 50, Partitions: 500}
	c.grant.Groups, c.grant.TransactionalIDs = []string{"adopted-group"}, []string{"adopted-txn"}
	for _, api := range handler.Table {
		if api.Posture != handler.Refused {
			c.apis = append(c.apis, api)
		}
	}
	return c
}

// backing are all topics of the broker that the application has anything to do with.
func (c *conversation) backing() (names []string) {
	for _, t := range c.grant.Topics {
		names = append(names, t.Backing)
	}
	for i := range 5 {
		names = append(names, fmt.Sprint(c.grant.Prefix, "own-", i))
	}
	return names
}

func (c *conversation) rule(m *wiretest.Message, path string) string {
	direction := "request"
	if m.Response {
		direction = "response"
	}
	return c.rules[wire.APIName(m.Key)+" "+direction+" "+path]
}

// asked fills requests: with the application's own names, and with those it
// might try.
func (c *conversation) asked() wiretest.Shape {
	one := func(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
	topicName := func(r *rand.Rand) string {
		if r.IntN(3) > 0 {
			return c.grant.Topics[r.IntN(len(c.grant.Topics))].Exposed
		}
		return one(r, "own-1", "own-2", hidden, "phys.orders", c.grant.Prefix+"own-1", c.other.Prefix+"own-1", "", ".", "..", "__consumer_offsets",
			"no such topic", "a\x00b", "ünicode", strings.Repeat("x", 249), strings.Repeat("x", 235), "orders.", "Orders", c.grant.Prefix+c.grant.Prefix+"x")
	}
	group := func(r *rand.Rand) string {
		return one(r, "g", "h", "adopted-group", c.other.Prefix+"g", c.grant.Prefix+"g", "", "g/../h", "adopted-txn")
	}
	txn := func(r *rand.Rand) string {
		return one(r, "tx", "adopted-txn", c.other.Prefix+"tx", "", "adopted-group")
	}
	return wiretest.Shape{
		Elements: 3, UnknownTags: true,
		String: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (string, bool) {
			switch rule := c.rule(m, f.Path); {
			case strings.HasPrefix(rule, "topic or group"):
				return one(r, topicName(r), group(r)), true
			case strings.HasPrefix(rule, "topic"):
				return topicName(r), true
			case strings.HasPrefix(rule, "group or transactional id"):
				return one(r, group(r), txn(r)), true
			case strings.HasPrefix(rule, "group"):
				return group(r), true
			case strings.HasPrefix(rule, "transactional id"):
				return txn(r), true
			case strings.HasPrefix(rule, "matched here"), strings.HasPrefix(rule, "evaluated here"):
				return one(r, ".*", hidden, "a|.*", "^", "(?s).*", "(", "", `\Qphys.\E.*`), true
			case f.Name == "ProtocolType":
				return one(r, "consumer", "connect", ""), true
			case m.Key == 19 && f.Path == "Topics.Configs.Name":
				return one(r, "cleanup.policy", "retention.ms", "follower.replication.throttled.replicas"), true
			}
			return strconv.Itoa(r.IntN(100)), true
		},
		UUID: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([16]byte, bool) {
			switch r.IntN(6) {
			case 0:
				return [16]byte{}, true
			case 1:
				return hiddenID(), true
			case 2:
				return [16]byte{}, false // random
			}
			return [16]byte(c.grant.Topics[r.IntN(len(c.grant.Topics))].ID), true
		},
		Bytes: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([]byte, bool) {
			switch {
			case f.Type == "records":
				return c.records(r), true
			case r.IntN(5) == 0:
				return nil, false // random
			case m.Key == 14:
				a := kmsg.ConsumerMemberAssignment{Version: int16(r.IntN(4))}
				for range r.IntN(3) {
					a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topicName(r), Partitions: []int32{0}})
				}
				return a.AppendTo(nil), true
			}
			s := kmsg.ConsumerMemberMetadata{Version: int16(r.IntN(4))}
			for range r.IntN(3) {
				s.Topics = append(s.Topics, topicName(r))
			}
			return s.AppendTo(nil), true
		},
		Int: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (int64, bool) {
			switch {
			case f.Name == "MaxWaitMs":
				return r.Int64N(3), true
			case strings.HasSuffix(f.Name, "ReplicaId") && r.IntN(8) > 0:
				return -1, true
			case f.Name == "SessionId" && r.IntN(4) > 0:
				return 0, true
			case f.Name == "SessionEpoch" && r.IntN(4) > 0:
				return r.Int64N(2) - 1, true
			case f.Name == "Acks":
				return r.Int64N(3) - 1, true
			case f.Name == "KeyType", f.Name == "EndpointType":
				return r.Int64N(3), true
			case f.Name == "ResourceType":
				return []int64{2, 32, 4}[r.IntN(3)], true
			}
			return 0, false
		},
	}
}

// records is a batch of any attributes, or none at all.
func (c *conversation) records(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(100))
	if len(b) > 22 {
		b[16], b[22] = 2, byte(r.IntN(128))
		if r.IntN(2) == 0 {
			b[22] &= 0x0f
		}
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	}
	return b
}

// answers fills what the broker says: a canary wherever a rule says that the
// broker's word does not pass.
func (c *conversation) answers() wiretest.Shape {
	names := c.backing()
	one := func(r *rand.Rand, mine, foreign string) string {
		if r.IntN(5) < 3 {
			return mine
		}
		return foreign
	}
	foreign := func(r *rand.Rand, kind string) string {
		return []string{"phys." + canary, c.other.Prefix + canary, canary, "." + canary, c.grant.Prefix[:13] + canary, "__" + canary}[r.IntN(6)]
	}
	topicName := func(r *rand.Rand) string { return one(r, names[r.IntN(len(names))], foreign(r, "topic")) }
	group := func(r *rand.Rand) string {
		return one(r, c.grant.Group([]string{"g", "h", "adopted-group"}[r.IntN(3)]), foreign(r, "group"))
	}
	// A topic that an answer names twice, by name and by id, is the same one both
	// times: which id a topic has is the broker's to say.
	var last struct{ parent, name, by string }
	again := func(r *rand.Rand, f wire.Field, by string) string {
		parent := strings.TrimSuffix(f.Path, f.Name)
		if last.by != "" && last.by != by && last.parent == parent {
			last.by = ""
			return last.name
		}
		last.parent, last.name, last.by = parent, topicName(r), by
		return last.name
	}
	txn := func(r *rand.Rand) string {
		return one(r, c.grant.TransactionalID([]string{"tx", "adopted-txn"}[r.IntN(2)]), foreign(r, "txn"))
	}
	return wiretest.Shape{
		Elements: 3, UnknownTags: true, UnknownTag: []byte(canary),
		String: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (string, bool) {
			switch rule := c.rule(m, f.Path); {
			case strings.HasPrefix(rule, "topic or group"):
				return []string{topicName(r), group(r)}[r.IntN(2)], true
			case strings.HasPrefix(rule, "topic"):
				return again(r, f, "name"), true
			case strings.HasPrefix(rule, "group or transactional id"):
				return []string{txn(r), group(r)}[r.IntN(2)], true
			case strings.HasPrefix(rule, "group"):
				return group(r), true
			case strings.HasPrefix(rule, "transactional id"):
				return txn(r), true
			case strings.HasPrefix(rule, "ours"), strings.HasPrefix(rule, "left out"), strings.HasPrefix(rule, "hidden"), strings.HasPrefix(rule, "virtual cluster id"),
				strings.HasPrefix(rule, "replaced"), strings.HasPrefix(rule, "answered by"):
				return canary + ".internal", true
			case strings.HasPrefix(rule, "loses"):
				return "acme/client", true
			case f.Name == "ProtocolType":
				return "consumer", true
			}
			return strconv.Itoa(r.IntN(100)), true
		},
		UUID: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([16]byte, bool) {
			if r.IntN(20) == 0 && m.Key != 3 && m.Key != 19 {
				return [16]byte{}, true
			}
			return physicalID(again(r, f, "id")), true
		},
		Bytes: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([]byte, bool) {
			if !strings.HasPrefix(c.rule(m, f.Path), "names in the consumer protocol") {
				return nil, false
			}
			if f.Name == "MemberAssignment" || f.Name == "Assignment" {
				a := kmsg.ConsumerMemberAssignment{Version: 1}
				for range r.IntN(4) {
					a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topicName(r), Partitions: []int32{0}})
				}
				return a.AppendTo(nil), true
			}
			s := kmsg.ConsumerMemberMetadata{Version: 1}
			for range r.IntN(4) {
				s.Topics = append(s.Topics, topicName(r))
			}
			return s.AppendTo(nil), true
		},
		Int: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (int64, bool) {
			switch {
			case f.Name == "ErrorCode":
				if r.IntN(3) > 0 {
					return 0, true
				}
				return r.Int64N(130) - 1, true
			case f.Name == "ThrottleTimeMs":
				return r.Int64N(3), true
			case f.EntityType == "brokerId" || strings.HasSuffix(f.Name, "NodeId"):
				return r.Int64N(4), true
			case f.Name == "Port":
				return 9092, true
			}
			return 0, false
		},
	}
}

// examine says what is wrong with a request that reached the broker, or "".
func (c *conversation) examine(r brokerRequest) string {
	if !strings.HasPrefix(r.ClientID, "acme/") {
		return fmt.Sprintf("client id %q", r.ClientID)
	}
	api := handler.Lookup(r.APIKey)
	if api == nil || api.Posture != handler.Rewritten || r.APIVersion < api.Min || r.APIVersion > api.Max {
		return fmt.Sprintf("%s version %d is not to be forwarded", wire.APIName(r.APIKey), r.APIVersion)
	}
	shape, err := wire.CheckRequest(r.APIKey, r.APIVersion, r.Body, 0)
	if err != nil {
		return err.Error()
	}
	if shape.Left > 0 || shape.UnknownTags > 0 {
		return fmt.Sprintf("%d bytes after the end, %d tags nobody knows", shape.Left, shape.UnknownTags)
	}
	values, _, err := wiretest.Read(r.APIKey, r.APIVersion, false, r.Body)
	if err != nil {
		return err.Error()
	}
	req := kmsg.RequestForKey(r.APIKey)
	req.SetVersion(r.APIVersion)
	if err := req.ReadFrom(r.Body); err != nil {
		return err.Error()
	}
	m := &wiretest.Message{Key: r.APIKey, Version: r.APIVersion}
	other := opaque(values)
	for _, v := range values {
		if v.Null || other && strings.HasPrefix(c.rule(m, v.Field.Path), "names in the consumer protocol") {
			continue
		}
		if bad := c.outside(m, v); bad != "" {
			return fmt.Sprintf("%s %s: %q: %s", wire.APIName(r.APIKey), v.Where(), v.Bytes, bad)
		}
	}
	return ""
}

// opaque reports whether a group speaks another protocol than consumers do: its
// bytes mean nothing to the broker, and hold what its own members wrote.
func opaque(values []wiretest.Value) bool {
	return slices.ContainsFunc(values, func(v wiretest.Value) bool {
		return v.Field.Path == "ProtocolType" && !v.Null && string(v.Bytes) != "consumer"
	})
}

// outside says why a value that was sent upstream is none of the application's.
func (c *conversation) outside(m *wiretest.Message, v wiretest.Value) string {
	rule, s := c.rule(m, v.Field.Path), string(v.Bytes)
	topicName := func() bool {
		if t := c.grant.TopicByBacking(s); t != nil {
			return t.Exposed != "refused"
		}
		_, own := c.grant.OwnTopicExposed(s)
		return own
	}
	group := func() bool { _, ok := c.grant.GroupExposed(s); return ok }
	txn := func() bool { _, ok := c.grant.TransactionalIDExposed(s); return ok }
	ok := true
	switch {
	case v.Bytes == nil: // an array or a struct
		if strings.HasPrefix(rule, "left out") || strings.HasPrefix(rule, "matched here") || strings.HasPrefix(rule, "evaluated here") {
			ok = v.Count == 0
		}
	case strings.HasPrefix(rule, "topic id"):
		ok = slices.ContainsFunc(c.backing(), func(name string) bool { return s == string(idBytes(name)) }) ||
			s == string(make([]byte, 16)) && (m.Key == 3 || m.Key == 20) // by name
	case strings.HasPrefix(rule, "topic or group"):
		ok = topicName() || group()
	case strings.HasPrefix(rule, "topic"):
		ok = topicName()
	case strings.HasPrefix(rule, "group or transactional id"):
		ok = group() || txn()
	case strings.HasPrefix(rule, "group"):
		ok = group()
	case strings.HasPrefix(rule, "transactional id"):
		ok = txn()
	case strings.HasPrefix(rule, "left out"), strings.HasPrefix(rule, "matched here"), strings.HasPrefix(rule, "evaluated here"):
		ok = len(bytes.Trim(v.Bytes, "\x00")) == 0 || len(bytes.Trim(v.Bytes, "\xff")) == 0
	case strings.HasPrefix(rule, "refused unless it is a consumer"):
		ok = v.Int() == -1
	case strings.HasPrefix(rule, "refused"):
		ok = false
	case m.Key == 3 && v.Field.Name == "AllowAutoTopicCreation":
		ok = v.Int() == 0
	case v.Field.Type == "records":
		ok = len(v.Bytes) < 61 || v.Bytes[16] != 2 || v.Bytes[22]&0x20 == 0 // control batches are the brokers' own
	case strings.HasPrefix(rule, "names in the consumer protocol"):
		rest := v.Bytes
		for {
			at := bytes.Index(rest, []byte(hidden))
			if at < 0 {
				break
			}
			if !bytes.HasSuffix(rest[:at], []byte(c.grant.Prefix)) {
				ok = false
			}
			rest = rest[at+len(hidden):]
		}
	}
	if ok {
		return ""
	}
	if rule == "" {
		return "not what may be sent"
	}
	return rule
}

func idBytes(name string) []byte { id := physicalID(name); return id[:] }

// frame is what the client of a case sends: a header and a body that are valid,
// or were.
func (c *conversation) frame(seed uint64, correlationID int32) (frame []byte, how string) {
	g := wiretest.New(seed, c.asked())
	pick := func() *wiretest.Message {
		api := c.apis[g.Rand.IntN(len(c.apis))]
		lo, hi, _ := wire.APIVersions(api.Key)
		version := max(api.Min, lo) + int16(g.Rand.IntN(int(api.Max-max(api.Min, lo))+1))
		if version > hi {
			version = hi
		}
		return g.Valid(api.Key, version, false)
	}
	m := pick()
	body, how := m.Body, "valid"
	if g.Rand.IntN(10) < 6 {
		var mutation wiretest.Mutation
		body, mutation = g.Mutate(m, pick())
		how = mutation.String()
	}
	h := wire.RequestHeader{APIKey: m.Key, APIVersion: m.Version, CorrelationID: correlationID, ClientID: "generated", HasClientID: g.Rand.IntN(10) > 0}
	switch g.Rand.IntN(60) { // the header as well
	case 0:
		h.APIVersion += int16(g.Rand.IntN(5)) - 2
	case 1:
		h.APIKey = int16(g.Rand.IntN(100))
	case 2:
		h.ClientID = strings.Repeat("c", g.Rand.IntN(40_000))
	}
	frame = wire.AppendRequestHeader(make([]byte, 4), h)
	frame = append(frame, body...)
	if g.Rand.IntN(80) == 0 && len(frame) > 12 {
		frame[8+g.Rand.IntN(len(frame)-8)] ^= 1 << g.Rand.IntN(8)
		frame[7] = byte(correlationID) // of the key and version only what follows the id
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame, fmt.Sprintf("%s v%d, %s", wire.APIName(h.APIKey), h.APIVersion, how)
}

// answer is what the broker says to a request, from the case's number; nil is
// silence, to a produce request that wants none.
func (c *conversation) answer(seed uint64, r brokerRequest) []byte {
	if r.APIKey == 0 {
		req := kmsg.NewPtrProduceRequest()
		req.Version = r.APIVersion
		if err := req.ReadFrom(r.Body); err == nil && req.Acks == 0 {
			return nil
		}
	}
	shape := c.answers()
	if values, _, _ := wiretest.Read(r.APIKey, r.APIVersion, false, r.Body); opaque(values) {
		shape.Bytes = nil
	}
	g := wiretest.New(seed^uint64(r.APIKey)<<32, shape)
	m := g.Valid(r.APIKey, r.APIVersion, true)
	body := m.Body
	if g.Rand.IntN(12) == 0 {
		body, _ = g.Mutate(m, g.Valid(r.APIKey, r.APIVersion, true))
	}
	return r.frame(body)
}

// counting is a log that keeps numbers, and the first lines that tell of a bug.
type counting struct {
	mu      sync.Mutex // guards what follows
	reasons map[string]int
	bugs    []string
}

func (l *counting) Enabled(context.Context, slog.Level) bool { return true }
func (l *counting) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *counting) WithGroup(string) slog.Handler            { return l }
func (l *counting) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	by, reason := "", ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "by":
			by = a.Value.String()
		case "reason":
			reason = a.Value.String()
		}
		return true
	})
	if r.Message == "connection ended" {
		l.reasons[by]++
		if by == "gateway" || reason == "" {
			l.bugs = append(l.bugs, "ended by "+by+": "+reason)
		}
	}
	if r.Level >= slog.LevelError || strings.Contains(r.Message, "bug") {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		l.bugs = append(l.bugs, text)
	}
	return nil
}

// Every frame is forwarded with nothing but the application's own names in it,
// answered, or refused with a reason in the log; what the broker answers
// reaches the client without anybody else's. Over 50,000 frames in the full
// run; SLUICE_SEED replays one case.
func TestGeneratedFramesOverSockets(t *testing.T) {
	c := newConversation(t)
	b := newScriptedBroker(t, append(c.backing(), "phys."+canary)...)
	b.topics[hidden] = hiddenID()
	log := &counting{reasons: map[string]int{}}
	first, frames, workers := uint64(1), 2000, 4
	if os.Getenv("SLUICE_FULL") == "1" {
		frames = 60_000
	}
	if text := os.Getenv("SLUICE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("SLUICE_SEED: ", err)
		}
		first, frames, workers = n, 1, 1
	}
	fail := func(seed uint64, format string, args ...any) {
		frame, how := c.frame(seed, int32(seed))
		t.Errorf("SLUICE_SEED=%d go test ./internal/gateway -run TestGeneratedFramesOverSockets\n%s: %s\nframe %x", seed, how, fmt.Sprintf(format, args...), frame)
	}
	var forwarded, answered, refused, silent, unanswered atomic.Int64
	script := func(bc *brokerConn, r brokerRequest) bool {
		if !strings.HasPrefix(r.ClientID, "acme/") {
			return bc.answer(r, b.truth(r)) == nil
		}
		seed := uint64(uint32(r.CorrelationID))
		forwarded.Add(1)
		if bad := c.examine(r); bad != "" {
			fail(seed, "the broker received %s\n%x", bad, r.Body)
		}
		if out := c.answer(seed, r); out != nil {
			return bc.send(out) == nil
		}
		silent.Add(1)
		return true
	}
	b.script.Store(&script)
	w := startLogging(t, b, DefaultLimits(), log, credential("acme", c.grant), credential("other", c.other))
	other := w.bystander("other")

	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			var conn net.Conn
			for i := worker; i < frames && !t.Failed(); i += workers {
				seed := first + uint64(i)
				if conn == nil {
					conn = w.rawLogin("acme")
				}
				outcome, err := c.exchange(conn, seed)
				switch {
				case err != nil:
					fail(seed, "%v", err)
				case outcome == "answered":
					answered.Add(1)
				case outcome == "refused":
					refused.Add(1)
				default:
					unanswered.Add(1)
				}
				if err != nil || outcome == "refused" {
					conn.Close()
					conn = nil
				}
			}
		})
	}
	wait.Wait()
	other.check(t)
	eventually(t, "memory is not given back", func() bool { return w.gateway.budget.InUse() == 0 })
	log.mu.Lock()
	defer log.mu.Unlock()
	t.Logf("%d frames: %d reached the broker (%d wanted no answer), %d answered, %d refused, %d without an answer; closed by %v",
		frames, forwarded.Load(), silent.Load(), answered.Load(), refused.Load(), unanswered.Load(), log.reasons)
	if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 0 {
		t.Errorf("%v panics", n)
	}
	for _, bug := range log.bugs[:min(len(log.bugs), 5)] {
		t.Error(bug)
	}
	if frames > 1000 && (forwarded.Load() < int64(frames)/5 || answered.Load() < int64(frames)/5 || refused.Load() < int64(frames)/10) {
		t.Error("too little of one kind")
	}
}

// exchange sends a case's frame and a question after it that is always
// answered, and looks at all that comes back.
func (c *conversation) exchange(conn net.Conn, seed uint64) (outcome string, err error) {
	const fence = -77
	id := int32(seed)
	frame, _ := c.frame(seed, id)
	frame = binary.BigEndian.AppendUint32(frame, 10)
	frame = append(frame, 0, 18, 0, 0) // ApiVersions version 0
	frame = binary.BigEndian.AppendUint32(frame, uint32(1<<32+fence))
	frame = append(frame, 0xff, 0xff)
	conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(frame); err != nil {
		return "refused", nil
	}
	header, body, _ := wire.ParseRequestHeader(frame[4 : 4+binary.BigEndian.Uint32(frame)])
	got, within, patient := 0, 20*time.Second, false
	if header.APIKey == 1 && len(body) >= 8 { // a fetch may wait as long as its client wants
		at := 4
		if header.APIVersion >= 15 {
			at = 0
		}
		if patient = int32(binary.BigEndian.Uint32(body[at:])) > 1000; patient {
			within = 300 * time.Millisecond
		}
	}
	for {
		f, err := readFrame(conn, within)
		switch {
		case err == errTooLate && patient:
			return "refused", nil
		case err == errTooLate:
			return "", fmt.Errorf("neither an answer nor a close")
		case err == io.EOF || err != nil && strings.Contains(err.Error(), "reset"):
			return "refused", nil
		case err != nil:
			return "", err
		case leaks(f.bytes):
			return "", fmt.Errorf("the client sees %q", f.bytes)
		case f.correlationID == fence && got == 0:
			return "unanswered", nil
		case f.correlationID == fence:
			return "answered", nil
		case f.correlationID != header.CorrelationID || got > 0:
			return "", fmt.Errorf("an answer to %d, which was not asked: %x", f.correlationID, f.bytes)
		}
		got++
		version := header.APIVersion
		if header.APIKey == 18 && (version > 4 || version < 0) {
			version = 0
		}
		_, body, err := wire.ParseResponseHeader(header.APIKey, version, f.bytes)
		if err == nil {
			_, err = wire.CheckResponse(header.APIKey, version, body, 0)
		}
		if err != nil {
			return "", fmt.Errorf("a malformed answer: %v\n%x", err, f.bytes)
		}
	}
}
