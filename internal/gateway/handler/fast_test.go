package handler

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// known is a cluster whose topic ids are made from the names.
type known struct{}

const batchMagicOffset = 16

func idOf(backing string) (id [16]byte) { copy(id[:], "id:"+backing); return id }

func (known) TopicID(_ context.Context, backing string) ([16]byte, bool, error) {
	return idOf(backing), true, nil
}
func (known) TopicName(_ context.Context, id [16]byte) (string, bool, error) {
	return string(bytes.TrimRight(id[3:], "\x00")), true, nil
}
func (known) Topics(context.Context, string) ([]upstream.Topic, error) { return nil, nil }
func (known) LearnTopic(string, [16]byte)                              {}
func (known) ForgetTopic(string)                                       {}
func (known) TopicConfigs(context.Context, []string) (map[string]map[string]string, error) {
	return nil, nil
}
func (known) LearnBrokers([]upstream.Broker)        {}
func (known) Versions() map[int16]upstream.Range    { return nil }
func (known) Advertise(int32) (string, int32, bool) { return "gw", 1, true }

func exchange(g *grant.Grant, key, version int16) *Exchange {
	c := &Conn{Cluster: known{}, Addresses: known{}, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return g }}
	return &Exchange{Context: context.Background(), Version: version, Grant: g, Now: time.Now(), Conn: c, api: Lookup(key)}
}

// topicsOf names topic a, b, or both.
func topicsOf(r *rand.Rand) []string {
	return [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "a"}}[r.IntN(4)]
}

// What the fast path sends is, byte for byte, what decoding and encoding makes
// of the same request.
func TestFastProduceSendsWhatTheDecodedRequestWouldBe(t *testing.T) {
	g := granted(t, nil)
	r := rand.New(rand.NewPCG(1, 1))
	for version := int16(3); version <= 13; version++ {
		for range 30 {
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Acks, req.TimeoutMillis = version, -1, 1000
			if r.IntN(2) == 0 {
				req.TransactionID = kmsg.StringPtr("tx")
			}
			for _, name := range topicsOf(r) {
				rt := kmsg.NewProduceRequestTopic()
				if version >= 13 {
					rt.TopicID = g.Topic(name).ID
				} else {
					rt.Topic = name
				}
				for p := range int32(1 + r.IntN(3)) {
					rp := kmsg.NewProduceRequestTopicPartition()
					rp.Partition, rp.Records = p, bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(500))
					rt.Partitions = append(rt.Partitions, rp)
				}
				req.Topics = append(req.Topics, rt)
			}
			body := req.AppendTo(nil)
			fast, ok, err := Lookup(0).ServeFast(exchange(g, 0, version), body)
			if err != nil || !ok {
				t.Fatalf("version %d: %v, %v", version, ok, err)
			}
			slow, err := Lookup(0).Serve(exchange(g, 0, version), req)
			if err != nil {
				t.Fatal(err)
			}
			gathered, _ := wire.Gather(nil, body, fast.Patches)
			if got, want := bytes.Join(gathered, nil), slow.Upstream.AppendTo(nil); !bytes.Equal(got, want) {
				t.Fatalf("version %d:\n got %x\nwant %x", version, got, want)
			}
			// Both expect the same answer.
			resp := kmsg.NewPtrProduceResponse()
			resp.Version = version
			for _, ut := range slow.Upstream.(*kmsg.ProduceRequest).Topics {
				at := kmsg.NewProduceResponseTopic()
				at.Topic, at.TopicID = ut.Topic, ut.TopicID
				for _, up := range ut.Partitions {
					ap := kmsg.NewProduceResponseTopicPartition()
					ap.Partition, ap.BaseOffset = up.Partition, 7
					at.Partitions = append(at.Partitions, ap)
				}
				resp.Topics = append(resp.Topics, at)
			}
			encoded := resp.AppendTo(nil)
			var answers [2][]byte
			for i, action := range []Action{fast, slow} {
				again := kmsg.NewPtrProduceResponse()
				again.Version = version
				if err := again.ReadFrom(encoded); err != nil {
					t.Fatal(err)
				}
				out, err := action.Response(again)
				if err != nil {
					t.Fatal(err)
				}
				answers[i] = out.AppendTo(nil)
			}
			if !bytes.Equal(answers[0], answers[1]) {
				t.Fatalf("version %d: answers differ", version)
			}
			patches, ok := fast.RawResponse(encoded)
			if !ok || !bytes.Equal(wire.AppendPatched(nil, encoded, patches), answers[0]) {
				t.Fatalf("version %d: the answer is another one when it is patched", version)
			}
			resp.Topics = append(resp.Topics, kmsg.NewProduceResponseTopic())
			if _, ok := fast.RawResponse(resp.AppendTo(nil)); ok {
				t.Fatalf("version %d: an answer with a foreign topic is patched", version)
			}
		}
	}
}

func TestFastProduceLeavesWhatIsNotOpenToTheSlowPath(t *testing.T) {
	request := func(topic string, records []byte, edit func(*kmsg.ProduceRequest)) []byte {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 9, -1
		rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		rt.Topic, rp.Records = topic, records
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		if edit != nil {
			edit(req)
		}
		return req.AppendTo(nil)
	}
	batch := func(attributes byte) []byte {
		b := make([]byte, batchHeaderBytes)
		b[batchMagicOffset], b[batchAttributesOffset+1] = 2, attributes
		return b
	}
	g := granted(t, func(g *grant.Grant) {
		g.Topics[1].Phases[0].State = grant.BrownOut
	})
	for name, body := range map[string][]byte{
		"a topic that is not granted":   request("c", nil, nil),
		"a topic in a brown-out":        request("b", nil, nil),
		"no acknowledgement wanted":     request("a", nil, func(r *kmsg.ProduceRequest) { r.Acks = 0 }),
		"a control batch":               request("a", batch(batchControl), nil),
		"a stray transactional batch":   request("a", batch(batchTransactional), nil),
		"a control batch behind others": request("a", append(append(batch(0)[:8:8], append([]byte{0, 0, 0, batchHeaderBytes - 12}, batch(0)[12:]...)...), batch(batchControl)...), nil),
		"no topics":                     request("a", nil, func(r *kmsg.ProduceRequest) { r.Topics = nil }),
	} {
		if _, ok, err := Lookup(0).ServeFast(exchange(g, 0, 9), body); ok || err != nil {
			t.Errorf("%s: served fast (%v)", name, err)
		}
	}
}

// A patched answer is, byte for byte, what decoding and encoding makes of it.
func TestFastFetchAnswersWhatTheDecodedAnswerWouldBe(t *testing.T) {
	g := granted(t, nil)
	r := rand.New(rand.NewPCG(2, 2))
	for version := int16(4); version <= 18; version++ {
		for round := range 40 {
			fetch := func() (*Exchange, Action, *kmsg.FetchRequest) {
				req := kmsg.NewPtrFetchRequest()
				req.Version, req.MaxWaitMillis, req.MaxBytes = version, 100, 1<<20
				req.ReplicaID, req.ReplicaState.ID = -1, -1
				if version >= 7 && round%2 == 1 {
					req.SessionEpoch = 0
				}
				for _, name := range []string{"a", "b"} {
					rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
					if version >= 13 {
						rt.TopicID = g.Topic(name).ID
					} else {
						rt.Topic = name
					}
					rt.Partitions = append(rt.Partitions, rp)
					req.Topics = append(req.Topics, rt)
				}
				x := exchange(g, 1, version)
				action, err := Lookup(1).Serve(x, req)
				if err != nil {
					t.Fatal(err)
				}
				return x, action, action.Upstream.(*kmsg.FetchRequest)
			}
			_, fast, _ := fetch()
			_, slow, up := fetch()
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = version
			if version >= 7 && round%2 == 1 {
				resp.SessionID = 77
			}
			for _, ut := range up.Topics {
				at, ap := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
				at.Topic, at.TopicID = ut.Topic, ut.TopicID
				ap.HighWatermark, ap.RecordBatches = 9, bytes.Repeat([]byte{1}, r.IntN(2000))
				ap.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 3}}
				at.Partitions = append(at.Partitions, ap)
				resp.Topics = append(resp.Topics, at)
			}
			body := resp.AppendTo(nil)
			patches, ok := fast.RawResponse(body)
			if !ok {
				t.Fatalf("version %d: not served fast", version)
			}
			gathered, _ := wire.Gather(nil, body, patches)
			decoded := kmsg.NewPtrFetchResponse()
			decoded.Version = version
			if err := decoded.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			want, err := slow.Response(decoded)
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Join(gathered, nil); !bytes.Equal(got, want.AppendTo(nil)) {
				t.Fatalf("version %d:\n got %x\nwant %x", version, got, want.AppendTo(nil))
			}
		}
	}
}

func TestFastFetchLeavesTheUnexpectedToTheSlowPath(t *testing.T) {
	g := granted(t, nil)
	var current = g
	serve := func() Action {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.SessionEpoch = 12, -1
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = "a"
		rt.Partitions = append(rt.Partitions, kmsg.NewFetchRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
		x := exchange(g, 1, 12)
		x.Conn.Current = func() *grant.Grant { return current }
		action, err := Lookup(1).Serve(x, req)
		if err != nil {
			t.Fatal(err)
		}
		return action
	}
	answer := func(edit func(*kmsg.FetchResponse)) []byte {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = 12
		at := kmsg.NewFetchResponseTopic()
		at.Topic = "phys.a"
		at.Partitions = append(at.Partitions, kmsg.NewFetchResponseTopicPartition())
		resp.Topics = append(resp.Topics, at)
		edit(resp)
		return resp.AppendTo(nil)
	}
	for name, body := range map[string][]byte{
		"another topic":        answer(func(r *kmsg.FetchResponse) { r.Topics[0].Topic = "phys.secret" }),
		"a topic twice":        answer(func(r *kmsg.FetchResponse) { r.Topics = append(r.Topics, r.Topics[0]) }),
		"a missing topic":      answer(func(r *kmsg.FetchResponse) { r.Topics = nil }),
		"an error":             answer(func(r *kmsg.FetchResponse) { r.ErrorCode = 70 }),
		"a session not wanted": answer(func(r *kmsg.FetchResponse) { r.SessionID = 5 }),
	} {
		if _, ok := serve().RawResponse(body); ok {
			t.Errorf("%s: served fast", name)
		}
	}
	action := serve()
	current = granted(t, func(g *grant.Grant) { g.Topics[0].Phases[0].State = grant.Suspended })
	if _, ok := action.RawResponse(answer(func(*kmsg.FetchResponse) {})); ok {
		t.Error("served fast although the grant has changed since the request")
	}
}

func TestAFetchWaitsNoLongerThanItsGrantLasts(t *testing.T) {
	now := time.Now()
	g := granted(t, func(g *grant.Grant) {
		g.Topics[1].Phases = append(g.Topics[1].Phases, grant.Phase{From: now.Add(3 * time.Second), State: grant.BrownOut}, grant.Phase{From: now.Add(time.Hour), State: grant.Ended})
	})
	for asked, want := range map[int32]int32{500: 500, 60_000: 3000, -1: 0} {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxWaitMillis = 12, asked
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = "a"
		rt.Partitions = append(rt.Partitions, kmsg.NewFetchRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
		x := exchange(g, 1, 12)
		x.Now = now
		action, err := Lookup(1).Serve(x, req)
		if err != nil {
			t.Fatal(err)
		}
		if got := action.Upstream.(*kmsg.FetchRequest).MaxWaitMillis; got != want {
			t.Errorf("asked to wait %d ms, sent %d, want %d", asked, got, want)
		}
	}
}
