package handler

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler/fieldrule"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
	"sluice/internal/kafka/wire/wiretest"
)

// Names of a virtual cluster in which everything is granted, so that every
// valid request has a reason to pass.
const manyTopics = 300

func exposedTopic(i int) string { return fmt.Sprintf("t%d", i) }

// everything grants many topics, a namespace and adopted names; with identity,
// clients see the target cluster's own names and ids.
func everything(t testing.TB, identity bool) *grant.Grant {
	return granted(t, func(g *grant.Grant) {
		like := *g.Topics[0]
		g.Topics = nil
		for i := range manyTopics {
			topic := like
			topic.DeleteRecords, topic.AlterConfigs = true, true
			topic.Exposed, topic.Backing = exposedTopic(i), "phys."+exposedTopic(i)
			binary.BigEndian.PutUint64(topic.ID[8:], uint64(i)+1)
			if identity {
				topic.Backing, topic.ID = topic.Exposed, idOf(topic.Exposed)
			}
			g.Topics = append(g.Topics, &topic)
		}
		if identity {
			for i := range 50 {
				g.Groups = append(g.Groups, fmt.Sprintf("group-%d", i))
				g.TransactionalIDs = append(g.TransactionalIDs, fmt.Sprintf("txn-%d", i))
			}
		}
		g.Namespace = grant.Namespace{Topics: 1000, Partitions: 100_000}
	})
}

// batch is a record batch of nothing but a header.
func batch(r *rand.Rand) []byte {
	b := make([]byte, batchHeaderBytes+r.IntN(40))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[batchMagicOffset] = 2
	return b
}

// plausible fills requests with what an honest client might say, in the words
// of grant g.
func plausible(g *grant.Grant) wiretest.Shape {
	topic := func(r *rand.Rand) *grant.Topic { return g.Topics[r.IntN(len(g.Topics))] }
	return wiretest.Shape{
		Elements: 3,
		String: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (string, bool) {
			switch {
			case m.Key == 88 && strings.HasSuffix(f.Path, ".TopicConfigs.Key"):
				return "cleanup.policy", true
			case m.Key == 88 && strings.HasSuffix(f.Path, ".TopicConfigs.Value"):
				return "compact", true
			case (m.Key == 32 || m.Key == 33 || m.Key == 44) && f.Name == "ResourceName": // of a topic or a group
				return topic(r).Exposed, true
			case f.EntityType == "topicName" && (m.Key == 19 || m.Key == 20 || m.Key == 37 || m.Key == 61 || m.Key == 88 && f.Name != "SourceTopics"):
				return fmt.Sprintf("own-%d", r.IntN(100)), true // what only the application's own topics allow
			case f.EntityType == "topicName" || f.Name == "SubscribedTopicNames":
				return topic(r).Exposed, true
			case f.EntityType == "groupId":
				return fmt.Sprintf("group-%d", r.IntN(50)), true
			case f.EntityType == "transactionalId":
				return fmt.Sprintf("txn-%d", r.IntN(50)), true
			case f.Name == "Key" || f.Name == "CoordinatorKeys":
				return "group-1", true
			case m.Key == 19 && f.Path == "Topics.Configs.Name", (m.Key == 33 || m.Key == 44) && f.Path == "Resources.Configs.Name":
				return "cleanup.policy", true
			case m.Key == 19 && f.Path == "Topics.Configs.Value", (m.Key == 33 || m.Key == 44) && f.Path == "Resources.Configs.Value":
				return "compact", true
			case f.Name == "ProtocolType":
				return []string{"consumer", "connect"}[r.IntN(2)], true
			case strings.HasSuffix(f.Name, "Regex") || strings.HasSuffix(f.Name, "Pattern"):
				return "", true
			}
			return strconv.Itoa(r.IntN(1000)), true
		},
		UUID: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([16]byte, bool) {
			if m.Key == 3 || m.Key == 20 { // Metadata, DeleteTopics: by name, else by id
				return [16]byte{}, true
			}
			return topic(r).ID, true
		},
		Count: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (int, bool) {
			switch {
			case m.Key == 19 && f.Path == "Topics.Configs":
				return r.IntN(2), true
			case m.Key == 74:
				return 1, true // a type twice is asked for once
			case f.Name == "Assignments" && f.Type != "[]SyncGroupRequestAssignment":
				return 0, true // of partitions to brokers: refused
			case f.Name == "SourceTopicRegex": // refused
				return 0, true
			case f.Name == "ForgottenTopicsData":
				return 0, true // sessions begin here
			case m.Key == 78 && f.Path == "Topics.Partitions":
				return 1 + r.IntN(3), true // a topic without any says nothing
			case !strings.Contains(f.Path, "."): // a request for nothing is answered at once
				return 1 + r.IntN(3), true
			}
			return 0, false
		},
		Null: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (bool, bool) {
			if m.Key == 75 { // a page has its own cursor upstream
				return true, true
			}
			return false, f.EntityType == "topicName" || m.Key == 78 || m.Key == 79 || m.Key == 3 || m.Key == 19 || m.Key == 33 || m.Key == 44 || m.Key == 9 && m.Version < 8 && f.Path == "Topics"
		},
		Bytes: func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([]byte, bool) {
			if f.Type == "records" {
				return batch(r), true
			}
			if m.Key == 14 { // SyncGroup
				a := kmsg.ConsumerMemberAssignment{Version: int16(r.IntN(4)), UserData: []byte("user data")}
				for range r.IntN(3) {
					a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topic(r).Exposed, Partitions: []int32{0, 1}})
				}
				return a.AppendTo(nil), true
			}
			s := kmsg.ConsumerMemberMetadata{Version: int16(r.IntN(4)), UserData: []byte("user data"), Generation: 3}
			for range r.IntN(3) {
				s.Topics = append(s.Topics, topic(r).Exposed)
			}
			return s.AppendTo(nil), true
		},
		Int: func(r *rand.Rand, m *wiretest.Message, f wire.Field) (int64, bool) {
			switch {
			case f.Name == "ReplicaId" || f.Name == "ReplicaEpoch":
				return -1, true
			case (m.Key == 32 || m.Key == 33 || m.Key == 44) && f.Name == "ResourceType", m.Key == 74:
				return 2, true // topics
			case m.Key == 44 && f.Name == "ConfigOperation":
				return r.Int64N(4), true
			case m.Key == 10 && f.Name == "KeyType":
				return 0, true // groups
			case m.Key == 60 && f.Name == "EndpointType":
				return 1, true // brokers
			case f.Name == "MemberEpoch" || f.Name == "GenerationIdOrMemberEpoch":
				return r.Int64N(100), true
			case f.Name == "NumPartitions" || m.Key == 88 && f.Name == "Partitions" || m.Key == 37 && f.Name == "Count":
				return 1 + r.Int64N(5), true
			case f.Name == "ReplicationFactor":
				return -1, true
			case f.Name == "SessionEpoch":
				return []int64{-1, 0}[r.IntN(2)], true
			case f.Name == "SessionId":
				return 0, true
			case m.Key == 78 && f.Name == "ShareSessionEpoch":
				return 0, true // sessions begin here
			case m.Key == 79 && f.Name == "ShareSessionEpoch":
				return []int64{-1, sharedEpoch}[r.IntN(2)], true
			case (m.Key == 78 || m.Key == 79) && f.Name == "PartitionIndex":
				return r.Int64N(1 << 31), true // each once
			case f.Name == "Acks":
				return []int64{-1, 1}[r.IntN(2)], true
			case strings.HasSuffix(f.Name, "MaxBytes"), strings.HasSuffix(f.Name, "Ms"), f.Name == "MaxBytes":
				return r.Int64N(1000), true
			}
			return 0, false
		},
	}
}

// sharedEpoch is the epoch of the share session in which records are
// acknowledged.
const sharedEpoch = 5

// exceptions are fields whose value may differ upstream, beyond the mapping of
// names and what testdata/fields.txt says is left out: with the reason.
var exceptions = map[string]string{
	"Metadata AllowAutoTopicCreation":                "never creates topics",
	"Metadata IncludeTopicAuthorizedOperations":      "told from the grant",
	"DescribeCluster IncludeFencedBrokers":           "brokers that are fenced have no address here",
	"Fetch ReplicaState and all in it":               "consumers have none",
	"DescribeTopicPartitions ResponsePartitionLimit": "pages are laid out here",
}

// answeredHere are versions of which a valid request with nothing but granted names
// may be answered by the gateway, or end the connection: with the reason.
var answeredHere = map[string]string{}

// Every key and version that is let in: a valid request with nothing but
// granted names goes upstream as it is, apart from the names, what
// testdata/fields.txt says is left out, and the exceptions above. With an
// identity for a grant even the names are the same.
func TestValidRequestsGoUpstreamAsTheyAre(t *testing.T) {
	rules, needed := readRules(t), map[string]bool{}
	defer func() {
		if t.Failed() {
			return
		}
		for e := range exceptions {
			if !needed[e] {
				t.Errorf("exception %q was never needed", e)
			}
		}
	}()
	for _, identity := range []bool{true, false} {
		t.Run(fmt.Sprintf("identity=%v", identity), func(t *testing.T) {
			g := everything(t, identity)
			type outcome struct{ forwarded, answered, refused int }
			outcomes := map[string]*outcome{}
			full := 1
			if os.Getenv("SLUICE_FULL") == "1" {
				full = 40
			}
			for round := range 40 * full {
				gen := wiretest.New(uint64(round), plausible(g))
				for _, api := range Table {
					if api.Posture != Rewritten || kmsg.RequestForKey(api.Key) == nil {
						continue
					}
					for version := api.Min; version <= api.Max; version++ {
						m := gen.Valid(api.Key, version, false)
						sent, values, _ := readRequest(t, m.Key, version, m.Body)
						if repeats(values) {
							continue // a name twice is sent once
						}
						name := fmt.Sprintf("%s %d", api.Name, version)
						o := outcomes[name]
						if o == nil {
							o = &outcome{}
							outcomes[name] = o
						}
						body, action, err := through(g, api, version, m.Body)
						if err != nil {
							t.Fatalf("seed %d: %v: %v", round, m, err)
						}
						if body == nil {
							if action.Close != "" {
								o.refused++
							} else {
								o.answered++
							}
							if answeredHere[name] == "" {
								t.Errorf("seed %d: %v is not sent upstream: %q, %+v", round, m, action.Close, action.Answer)
							}
							continue
						}
						o.forwarded++
						upstreamVersion := version
						if action.Upstream != nil {
							upstreamVersion = action.Upstream.GetVersion()
						}
						if upstreamVersion != version {
							continue // asked in other words, see the API's own tests
						}
						got, values, left := readRequest(t, m.Key, version, body)
						if len(left) > 0 {
							t.Fatalf("seed %d: %v: sent with %d bytes after the end", round, m, len(left))
						}
						for _, v := range values {
							if v.Unknown {
								t.Fatalf("seed %d: %v: sent with a tag nobody knows", round, m)
							}
						}
						compare(t, fmt.Sprintf("seed %d: %v\nsent %x", round, m, body), g, api.Name, rules, sent, got, needed)
						if t.Failed() {
							return
						}
					}
				}
			}
			for _, api := range Table {
				for version := api.Min; api.Posture == Rewritten && version <= api.Max; version++ {
					name := fmt.Sprintf("%s %d", api.Name, version)
					if o := outcomes[name]; o == nil || o.forwarded == 0 && answeredHere[name] == "" {
						t.Errorf("%s version %d: %+v, nothing went upstream", api.Name, version, o)
					}
				}
			}
		})
	}
}

// ownTopics is a cluster with the topics of the application's namespace, and
// whichever other one is asked for.
type ownTopics struct {
	known
	prefix string
}

func (o ownTopics) Topics(_ context.Context, prefix string) (topics []upstream.Topic, err error) {
	if prefix != o.prefix {
		return []upstream.Topic{{Name: prefix, ID: idOf(prefix), Partitions: 3}}, nil
	}
	for i := range 100 {
		name := fmt.Sprintf("%sown-%d", o.prefix, i)
		topics = append(topics, upstream.Topic{Name: name, ID: idOf(name), Partitions: 1})
	}
	return topics, nil
}

func readRules(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rules, err := fieldrule.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// through is what the gateway does with a request: the fast path if it may,
// else decoded. The body is nil where nothing is sent upstream.
func through(g *grant.Grant, api *API, version int16, in []byte) (body []byte, action Action, err error) {
	x := exchange(g, api.Key, version)
	x.Conn.Reservations = new(Reservations)
	if api.Key != 19 { // to be created they must not be there
		x.Conn.Cluster = ownTopics{prefix: g.Prefix}
	}
	shape, err := wire.CheckRequest(api.Key, version, in, 0)
	if err != nil {
		return nil, action, err
	}
	if shape.UnknownTags == 0 && shape.Left == 0 {
		action, ok, err := api.ServeFast(x, in)
		if err != nil {
			return nil, action, err
		}
		if ok {
			pieces, _ := wire.Gather(nil, in, action.Patches)
			return bytes.Join(pieces, nil), action, nil
		}
	}
	req := kmsg.RequestForKey(api.Key)
	req.SetVersion(version)
	if err := req.ReadFrom(in); err != nil {
		return nil, action, err
	}
	if r, ok := req.(*kmsg.ShareAcknowledgeRequest); ok { // is part of a session
		x.Conn.share = &shareSession{key: memberKey{*r.GroupID, *r.MemberID}, next: sharedEpoch, upstream: sharedEpoch}
	}
	if action, err = api.Serve(x, req); err != nil || action.Upstream == nil {
		return nil, action, err
	}
	return action.Upstream.AppendTo([]byte{}), action, nil
}

// readRequest returns a body's values by where they are; tags nobody knows and
// empty structs are left out.
func readRequest(t *testing.T, key, version int16, body []byte) (map[string]wiretest.Value, []wiretest.Value, []byte) {
	t.Helper()
	values, left, err := wiretest.Read(key, version, false, body)
	if err != nil {
		t.Fatalf("%v\n%x", err, body)
	}
	out := map[string]wiretest.Value{}
	sortSets(key, values)
	for _, v := range values {
		if !v.Unknown {
			out[v.Where()] = v
		}
	}
	return out, values, left
}

// sortSets orders what is sent as a set: the topics that a member subscribes
// to, and those to be described in pages.
func sortSets(key int16, values []wiretest.Value) {
	var set []*wiretest.Value
	for i := range values {
		if v := &values[i]; v.Field.Name == "SubscribedTopicNames" && len(v.Index) > 0 || key == 75 && v.Field.Path == "Topics.Name" {
			set = append(set, v)
		}
	}
	contents := make([][]byte, len(set))
	for i, v := range set {
		contents[i] = v.Bytes
	}
	slices.SortFunc(contents, bytes.Compare)
	for i, v := range set {
		v.Bytes = contents[i]
	}
}

// repeats reports whether a topic, group or id is named twice where once is the rule.
func repeats(values []wiretest.Value) bool {
	seen := map[string]bool{}
	for _, v := range values {
		switch {
		case v.Bytes == nil || v.Field.Type == "[]string" && v.Field.EntityType == "":
			continue
		case v.Field.EntityType != "" && strings.Contains(v.Field.Type, "string"), v.Field.Type == "uuid", v.Field.Type == "[]uuid":
		default:
			continue
		}
		id := v.Field.Path + "\x00" + string(v.Bytes)
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

// compare fails where sent and got differ without a reason.
func compare(t *testing.T, what string, g *grant.Grant, api string, rules map[string]string, sent, got map[string]wiretest.Value, needed map[string]bool) {
	t.Helper()
	excused := func(f wire.Field) bool {
		rule := rules[api+" request "+f.Path]
		if strings.Contains(rule, "left out") || strings.Contains(rule, "refused") && !strings.Contains(rule, "mapped") {
			return true
		}
		top, _, _ := strings.Cut(f.Path, ".")
		for _, e := range []string{api + " " + f.Path, api + " " + top + " and all in it"} {
			if exceptions[e] != "" {
				needed[e] = true
				return true
			}
		}
		return false
	}
	// Bytes of other protocols than the consumers' are opaque.
	kind, told := sent["ProtocolType[]"]
	opaque := told && !kind.Null && string(kind.Bytes) != consumerProtocol
	for where, v := range sent {
		now, ok := got[where]
		if !ok {
			if !(v.Field.Tag >= 0 && isDefault(v)) && !excused(v.Field) {
				t.Errorf("%s\n%s is missing", what, where)
			}
			continue
		}
		rule, want := rules[api+" request "+v.Field.Path], v.Bytes
		if !v.Null && v.Bytes != nil && !(opaque && strings.HasPrefix(rule, "names in the consumer protocol")) {
			want = mapped(g, rule, v)
		}
		if (now.Null != v.Null || now.Count != v.Count || !bytes.Equal(now.Bytes, want)) && !excused(v.Field) {
			t.Errorf("%s\n%s: %q (null %v, %d elements), want %q (null %v, %d elements)", what, where, now.Bytes, now.Null, now.Count, want, v.Null, v.Count)
		}
	}
	for where, v := range got {
		if _, ok := sent[where]; !ok && !(v.Field.Tag >= 0 && isDefault(v)) && !excused(v.Field) {
			t.Errorf("%s\n%s was added: %q", what, where, v.Bytes)
		}
	}
}

// isDefault reports whether a tagged field says what its absence says.
func isDefault(v wiretest.Value) bool {
	return v.Null || v.Count == 0 && (len(bytes.Trim(v.Bytes, "\x00")) == 0 || len(bytes.Trim(v.Bytes, "\xff")) == 0)
}

// mapped is what a value has to be upstream.
func mapped(g *grant.Grant, rule string, v wiretest.Value) []byte {
	s := string(v.Bytes)
	topic := func() []byte {
		if t := g.Topic(s); t != nil {
			return []byte(t.Backing)
		}
		if own, ok := g.OwnTopic(s); ok {
			return []byte(own)
		}
		return v.Bytes
	}
	switch {
	case strings.HasPrefix(rule, "topic id"):
		if t := g.TopicByID(grant.TopicID(v.Bytes)); t != nil {
			id := idOf(t.Backing)
			return id[:]
		}
	case strings.HasPrefix(rule, "topic"):
		return topic()
	case strings.HasPrefix(rule, "group"):
		return []byte(g.Group(s))
	case strings.HasPrefix(rule, "transactional id"):
		return []byte(g.TransactionalID(s))
	case strings.HasPrefix(rule, "names in the consumer protocol"):
		for _, embed := range []func(*grant.Grant, []byte) ([]byte, error){embedAssignment, embedSubscription} {
			if b, err := embed(g, v.Bytes); err == nil {
				return b
			}
		}
	}
	return v.Bytes
}

// Every API with a topic id, of every version: an id that is another topic's,
// random or zero does not go upstream, not even our topic's own id on the
// cluster, and what the client is told is the same for an id that exists and
// one that does not.
func TestTopicIDsOfOthersDoNotGoUpstream(t *testing.T) {
	rules, g := readRules(t), everything(t, false)
	other := granted(t, func(g *grant.Grant) { g.IDKey = grant.TopicID{9}; g.Namespace.Topics = 5 })
	random := [16]byte{0xde, 0xad, 0xbe, 0xef, 1}
	var owned map[string]bool
	kinds := []struct {
		name string
		id   func(r *rand.Rand) [16]byte
		own  bool
	}{
		{"own", func(r *rand.Rand) [16]byte { return g.Topics[r.IntN(manyTopics)].ID }, true},
		{"random", func(*rand.Rand) [16]byte { return random }, false},
		{"zero", func(*rand.Rand) [16]byte { return [16]byte{} }, false},
		{"on the cluster, of a topic not granted", func(*rand.Rand) [16]byte { return idOf("phys.secret") }, false},
		{"on the cluster, of our own topic", func(r *rand.Rand) [16]byte { return idOf(g.Topics[r.IntN(manyTopics)].Backing) }, false},
		{"another application's", func(*rand.Rand) [16]byte { return other.VirtualID(idOf(other.Prefix + "x")) }, false},
	}
	owned = map[string]bool{string(make([]byte, 16)): true} // "none", where a name may stand
	for _, topic := range g.Topics {
		id := idOf(topic.Backing)
		owned[string(id[:])] = true
	}
	tried := 0
	for _, api := range Table {
		for version := api.Min; api.Posture == Rewritten && version <= api.Max; version++ {
			var paths []string
			for f := range wire.Fields(api.Key, false, version) {
				if strings.HasPrefix(rules[api.Name+" request "+f.Path], "topic id") {
					paths = append(paths, f.Path)
				}
			}
			if len(paths) == 0 {
				continue
			}
			for seed := range uint64(25) {
				var strange map[string]string // what a client is told of the random id
				for _, kind := range kinds {
					shape := plausible(g)
					shape.UUID = func(r *rand.Rand, m *wiretest.Message, f wire.Field) ([16]byte, bool) {
						return kind.id(rand.New(rand.NewPCG(r.Uint64(), 0))), true
					}
					plain := shape.Null
					shape.Null = func(r *rand.Rand, m *wiretest.Message, f wire.Field) (bool, bool) {
						if f.EntityType == "topicName" || f.Type[0] == '[' { // by id, and not nothing
							return f.EntityType == "topicName", true
						}
						return plain(r, m, f)
					}
					m := wiretest.New(seed, shape).Valid(api.Key, version, false)
					body, action, err := through(g, api, version, m.Body)
					if err != nil {
						t.Fatalf("%s id, seed %d: %v: %v", kind.name, seed, m, err)
					}
					tried++
					if body != nil && (action.Upstream == nil || action.Upstream.GetVersion() == version) {
						_, values, _ := readRequest(t, api.Key, version, body)
						for _, v := range values {
							if v.Field.Type != "uuid" || !slices.Contains(paths, v.Field.Path) {
								continue
							}
							if zero := len(bytes.Trim(v.Bytes, "\x00")) == 0; !owned[string(v.Bytes)] || !kind.own && !zero || zero && api.Key != 3 && api.Key != 20 {
								t.Errorf("%s version %d, %s id: %s is sent upstream as %x", api.Name, version, kind.name, v.Where(), v.Bytes)
							}
						}
					}
					if kind.own || action.Answer == nil || kind.name == "zero" {
						continue
					}
					told := map[string]string{}
					values, _, err := wiretest.Read(api.Key, version, true, action.Answer.AppendTo(nil))
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range values {
						if v.Field.Type != "uuid" && v.Field.Name != "ErrorMessage" { // which repeat the id, or have one of their own
							told[v.Where()] = fmt.Sprint(v.Null, v.Count, v.Bytes)
						}
					}
					if strange == nil {
						strange = told
					} else if !maps.Equal(strange, told) {
						t.Errorf("%s version %d tells an id %s from a random one: %v and %v", api.Name, version, kind.name, told, strange)
					}
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d requests were tried", tried)
	}
}

// Every combination of the attributes of a batch, with and without a
// transactional id, on both paths: control batches never pass, transactional
// ones only in a transaction, and nothing else is held against a batch.
func TestBatchAttributes(t *testing.T) {
	g := granted(t, nil)
	for attributes := range 1 << 7 {
		for _, txn := range []*string{nil, kmsg.StringPtr("tx")} {
			for version := int16(3); version <= 13; version++ {
				for _, position := range []int{0, 1} { // of the batch among others
					b := make([]byte, batchHeaderBytes)
					binary.BigEndian.PutUint32(b[8:], batchHeaderBytes-12)
					b[batchMagicOffset], b[batchAttributesOffset+1] = 2, byte(attributes)
					clean := make([]byte, batchHeaderBytes)
					binary.BigEndian.PutUint32(clean[8:], batchHeaderBytes-12)
					clean[batchMagicOffset] = 2
					if position == 1 {
						b = append(clean, b...)
					}
					req := kmsg.NewPtrProduceRequest()
					req.Version, req.Acks, req.TransactionID = version, -1, txn
					rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
					rt.Topic, rt.TopicID, rp.Records = "a", g.Topic("a").ID, b
					rt.Partitions = append(rt.Partitions, rp)
					req.Topics = append(req.Topics, rt)
					body, action, err := through(g, Lookup(0), version, req.AppendTo(nil))
					if err != nil {
						t.Fatal(err)
					}
					refuse := attributes&batchControl != 0 || attributes&batchTransactional != 0 && txn == nil
					if refuse != (body == nil) {
						t.Fatalf("attributes %07b, transaction %v, version %d: sent upstream %v, %+v", attributes, txn != nil, version, body != nil, action.Answer)
					}
					if body != nil && !bytes.Contains(body, b) {
						t.Fatalf("attributes %07b: records are not the client's", attributes)
					}
				}
			}
		}
	}
}
