package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// lean is a scripted broker that answers Produce and Fetch without allocating,
// so that what a process allocates per request is the gateway's.
func lean(t testing.TB, topics ...string) *scriptedBroker {
	b := newScriptedBroker(t, topics...)
	answerWith := func(c *brokerConn, r brokerRequest, resp kmsg.Response) bool {
		return c.answer(r, resp) == nil
	}
	script := func(c *brokerConn, r brokerRequest) bool {
		switch r.APIKey {
		case 0, 1:
			return c.repeat(r)
		}
		return answerWith(c, r, b.truth(r))
	}
	b.script.Store(&script)
	return b
}

// repeat answers a request, and from then on whatever comes in its length, with
// the same bytes but for the correlation id.
func (c *brokerConn) repeat(r brokerRequest) bool {
	req := kmsg.RequestForKey(r.APIKey)
	req.SetVersion(r.APIVersion)
	if err := req.ReadFrom(r.Body); err != nil {
		c.b.t.Error(err)
		return false
	}
	out := r.frame(answerTo(req).AppendTo(nil))
	header := wire.AppendRequestHeader(nil, r.RequestHeader)
	in := make([]byte, 4+len(header)+len(r.Body))
	for {
		if _, err := c.Write(out); err != nil {
			return false
		}
		if _, err := io.ReadFull(c, in); err != nil {
			return false
		}
		copy(out[4:8], in[8:12])
	}
}

func answerTo(kr kmsg.Request) kmsg.Response {
	switch req := kr.(type) {
	case *kmsg.ProduceRequest:
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = req.Version
		for _, at := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = at.Topic, at.TopicID
			for _, ap := range at.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition = ap.Partition
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.FetchRequest:
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = req.Version
		for _, at := range req.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = at.Topic, at.TopicID
			for _, ap := range at.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.RecordBatches = ap.Partition, bytes.Repeat([]byte{1}, 8<<10)
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	return nil
}

// repeater sends one request over and over and reads the answers, which are all
// of one length, without allocating.
type repeater struct {
	t       testing.TB
	conn    net.Conn
	request []byte
	answer  []byte
}

func (w *world) repeater(user string, req kmsg.Request) *repeater {
	r := &repeater{t: w.t, conn: w.rawLogin(user)}
	r.request = wire.AppendRequestHeader(make([]byte, 4), wire.RequestHeader{APIKey: req.Key(), APIVersion: req.GetVersion(), CorrelationID: 1, ClientID: "raw", HasClientID: true})
	r.request = req.AppendTo(r.request)
	binary.BigEndian.PutUint32(r.request, uint32(len(r.request)-4))
	r.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := r.conn.Write(r.request); err != nil {
		w.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		w.t.Fatal(err)
	}
	r.answer = make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r.conn, r.answer[4:]); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (r *repeater) once() {
	id := binary.BigEndian.Uint32(r.request[8:]) + 1
	binary.BigEndian.PutUint32(r.request[8:], id)
	if _, err := r.conn.Write(r.request); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(r.conn, r.answer); err != nil {
		r.t.Fatal(err)
	}
	if got := binary.BigEndian.Uint32(r.answer[4:]); got != id {
		r.t.Fatalf("answer to request %d, want %d", got, id)
	}
}

// hot are the requests whose way through the gateway is counted and measured.
func hot() map[string]kmsg.Request {
	produce := func(version int16) kmsg.Request {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = version, -1, 10_000
		rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		rp.Records = bytes.Repeat([]byte{1}, 16<<10)
		if rt.Topic = "orders"; version >= 13 {
			rt.Topic, rt.TopicID = "", orders().ID
		}
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
	fetch := func(version int16) kmsg.Request {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.SessionEpoch, req.MaxWaitMillis, req.MaxBytes = version, -1, 100, 1<<20
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rp.PartitionMaxBytes = 1 << 20
		if rt.Topic = "orders"; version >= 13 {
			rt.Topic, rt.TopicID = "", orders().ID
		}
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
	return map[string]kmsg.Request{"produce by name": produce(12), "produce by id": produce(13), "fetch by name": fetch(12), "fetch by id": fetch(13)}
}

// hotWorld has one application with the topic of the hot requests and others
// besides, and other applications.
func hotWorld(t testing.TB, topics, applications int) *world {
	mine := []*grant.Topic{orders()}
	for i := range topics {
		mine = append(mine, topic(fmt.Sprintf("x%05d", i), fmt.Sprintf("phys.x%05d", i), grant.Open, grant.Granted, grant.Granted))
	}
	all := []*grant.Credential{credential("erp", app("erp", mine...))}
	for i := range applications {
		all = append(all, credential(fmt.Sprintf("a%05d", i), app(fmt.Sprintf("a%05d", i), topic("orders", fmt.Sprintf("phys.a%05d", i), grant.Open, grant.Granted, grant.Granted))))
	}
	return startLogging(t, lean(t, "phys.orders"), DefaultLimits(), slog.DiscardHandler, all...)
}

// From the client's bytes to the broker and back, a request allocates what its
// handler does, its place in the ring, and, to fetch, what decoding takes. That
// does not grow with what is granted to it or to others.
func TestAllocationsFromClientToBrokerAndBack(t *testing.T) {
	bounds := map[string]float64{"produce by name": 4, "produce by id": 4, "fetch by name": 17, "fetch by id": 16}
	if raced {
		for name := range bounds {
			bounds[name] *= 2
		}
	}
	for _, scale := range []struct{ topics, applications int }{{0, 0}, {10_000, 1_000}} {
		w := hotWorld(t, scale.topics, scale.applications)
		for name, req := range hot() {
			r := w.repeater("erp", req)
			for range 50 { // pools fill
				r.once()
			}
			got := testing.AllocsPerRun(200, r.once)
			for n := 0; n < 4 && got > bounds[name]; n++ { // the best: the gateway's own requests and the collector of garbage come between
				got = min(got, testing.AllocsPerRun(200, r.once))
			}
			if got > bounds[name] {
				t.Errorf("%s, with %d topics and %d other applications: %v allocations, at most %v are let in", name, scale.topics, scale.applications, got, bounds[name])
			}
			r.conn.Close()
		}
	}
}

// BenchmarkFromClientToBrokerAndBack is one request at a time over loopback, with
// what the application and its neighbours have beside it.
func BenchmarkFromClientToBrokerAndBack(b *testing.B) {
	for _, scale := range []struct{ topics, applications int }{{0, 0}, {10_000, 1_000}} {
		w := hotWorld(b, scale.topics, scale.applications)
		for name, req := range hot() {
			b.Run(fmt.Sprintf("%s/topics=%d/applications=%d", name, scale.topics, scale.applications), func(b *testing.B) {
				r := w.repeater("erp", req)
				defer r.conn.Close()
				b.ReportAllocs()
				b.SetBytes(int64(len(r.request) + len(r.answer)))
				for b.Loop() {
					r.once()
				}
			})
		}
	}
}
