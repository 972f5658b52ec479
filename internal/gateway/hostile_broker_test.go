package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

func metadataOf(topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func fetchOf(version int16, topic string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MaxBytes, req.SessionEpoch = version, 10, 1<<20, -1
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	fp.PartitionMaxBytes = 1 << 20
	ft.Topic, ft.Partitions = topic, append(ft.Partitions, fp)
	if version >= 13 {
		ft.TopicID = [16]byte(orders().ID)
	}
	req.Topics = append(req.Topics, ft)
	return req
}

func orders() *grant.Topic {
	return topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)
}

// fetched is an honest answer to fetchOf.
func fetched(version int16, edit func(*kmsg.FetchResponse)) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	rt.Topic, rt.TopicID = "phys.orders", physicalID("phys.orders")
	rt.Partitions = append(rt.Partitions, rp)
	resp.Topics = append(resp.Topics, rt)
	if edit != nil {
		edit(resp)
	}
	return resp
}

func describeGroups(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = 5, groups
	return req
}

func heartbeat() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group = 4, "g"
	return req
}

// raw is a frame that says it is size bytes long.
func raw(size int32, correlationID int32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(size)), uint32(correlationID)), rest...)
}

// A broker that errs, or means harm, ends the connections it does that to, and
// nothing else: no panic, no byte of a foreign name, and another application's
// connection goes on. Each case says what the client sees.
func TestHostileBroker(t *testing.T) {
	foreignGroup := app("other").Prefix + canary
	mine := app("acme").Prefix
	type script = func(c *brokerConn, r brokerRequest) bool
	bytesOf := func(f func(r brokerRequest) []byte) script {
		return func(c *brokerConn, r brokerRequest) bool { return c.send(f(r)) == nil }
	}
	body := func(b ...byte) script {
		return bytesOf(func(r brokerRequest) []byte { return r.frame(b) })
	}
	says := func(f func(r brokerRequest) kmsg.Response) script {
		return func(c *brokerConn, r brokerRequest) bool { return c.answer(r, f(r)) == nil }
	}
	truth := func(c *brokerConn, r brokerRequest) bool { return c.answer(r, c.b.truth(r)) == nil }
	fetchAnswer := func(version int16, edit func(*kmsg.FetchResponse)) script {
		return says(func(brokerRequest) kmsg.Response { return fetched(version, edit) })
	}

	// What a client may see: the connection closed, with the reason in the log,
	// or an answer that check finds nothing wrong with, in words.
	type outcome struct {
		closed  string
		answers int // that come before a close; 1 unless closed
		check   func(kmsg.Response) string
	}
	closed := func(reason string) outcome { return outcome{closed: reason} }
	answered := func(check func(kmsg.Response) string) outcome { return outcome{answers: 1, check: check} }
	anything := answered(func(kmsg.Response) string { return "" })
	onlyOrders := answered(func(kr kmsg.Response) string {
		resp := kr.(*kmsg.FetchResponse)
		for _, t := range resp.Topics {
			if t.Topic != "orders" && t.TopicID != [16]byte(orders().ID) || len(t.Partitions) != 1 {
				return fmt.Sprintf("%+v", resp)
			}
		}
		if len(resp.Topics) > 1 || len(resp.Brokers) > 0 {
			return fmt.Sprintf("%+v", resp)
		}
		return ""
	})

	for _, c := range []struct {
		name   string
		req    kmsg.Request // Metadata of orders if nil
		script script
		want   outcome
	}{
		// Frames.
		{"another correlation id", nil, bytesOf(func(r brokerRequest) []byte { r.CorrelationID++; return r.frame([]byte(canary)) }), closed("broker 1 answered request")},
		{"the correlation id negated", nil, bytesOf(func(r brokerRequest) []byte { r.CorrelationID = -r.CorrelationID; return r.frame(nil) }), closed("broker 1 answered request")},
		{"negative length", nil, bytesOf(func(r brokerRequest) []byte { return raw(-1, r.CorrelationID) }), closed("frame size is not positive")},
		{"least length of all", nil, bytesOf(func(r brokerRequest) []byte { return raw(-1<<31, r.CorrelationID) }), closed("frame size is not positive")},
		{"length zero", nil, bytesOf(func(r brokerRequest) []byte { return raw(0, r.CorrelationID) }), closed("frame size is not positive")},
		{"no room for a correlation id", nil, bytesOf(func(r brokerRequest) []byte { return []byte{0, 0, 0, 3, 0, 0, 0} }), closed("response of 3 bytes")},
		{"two gigabytes announced", nil, bytesOf(func(r brokerRequest) []byte { return raw(1<<31-1, r.CorrelationID) }), closed("exceeds max_answer_bytes")},
		{"another protocol", nil, bytesOf(func(brokerRequest) []byte { return []byte("HTTP/1.1 400 " + canary + "\r\n\r\n") }), closed("exceeds max_answer_bytes")},
		{"cut in the length", nil, func(c *brokerConn, r brokerRequest) bool { c.send([]byte{0, 0}); return false }, closed("unexpected EOF")},
		{"cut in the body", nil, func(c *brokerConn, r brokerRequest) bool {
			c.send(raw(500, r.CorrelationID, []byte(canary)...))
			return false
		}, closed("unexpected EOF")},
		{"hangs up", nil, func(*brokerConn, brokerRequest) bool { return false }, closed("broker 1")},
		{"byte by byte", heartbeat(), func(c *brokerConn, r brokerRequest) bool {
			for _, b := range r.frame(c.b.truth(r).AppendTo(nil)) {
				if c.send([]byte{b}) != nil {
					return false
				}
			}
			return true
		}, anything},
		{"answers twice", heartbeat(), func(c *brokerConn, r brokerRequest) bool {
			first := truth(c, r)
			return truth(c, r) && first
		}, outcome{closed: "sent an answer that nobody waits for", answers: 1}},
		{"says something before the next question", heartbeat(), func(c *brokerConn, r brokerRequest) bool {
			return truth(c, r) && c.send(raw(4, r.CorrelationID+1)) == nil
		}, outcome{closed: "sent an answer that nobody waits for", answers: 1}},

		// Bodies that are none.
		{"an empty body", nil, body(), closed("ThrottleTimeMs: needs 4 bytes")},
		{"one byte missing", nil, bytesOf(func(r brokerRequest) []byte {
			b := r.frame(metadataOf("x").ResponseKind().AppendTo(nil))
			b = b[:len(b)-1]
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			return b
		}), closed("Metadata response")},
		{"bytes after the end", heartbeat(), body(append([]byte{0, 0, 0, 0, 0, 0, 0}, canary...)...), closed("left over")},
		{"an array of four billion brokers", nil, body(append([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 64)...)...), closed("Brokers: count")},
		{"a negative count", fetchOf(11, "orders"), body(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe), closed("negative length -2")},
		{"an array of two billion topics", fetchOf(11, "orders"), body(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff), closed("count 2147483647 exceeds")},
		{"four billion tags in the header", heartbeat(), bytesOf(func(r brokerRequest) []byte { return raw(9, r.CorrelationID, 0xff, 0xff, 0xff, 0xff, 0x0f) }), closed("tag count 4294967295")},
		{"four billion tags in the body", heartbeat(), body(0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), closed("tag count 4294967295")},
		{"a varint without end", heartbeat(), body(0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), closed("varint longer than 32 bits")},
		{"a tag that reaches beyond the frame", heartbeat(), body(0, 0, 0, 0, 0, 0, 1, 99, 100, 0), closed("tag of 100 bytes")},
		{"another version's body", nil, says(func(r brokerRequest) kmsg.Response {
			r.APIVersion = 1
			resp := kmsg.NewPtrMetadataResponse()
			resp.ClusterID = kmsg.StringPtr(canary)
			return resp
		}), anything},
		{"the body of another API", nil, bytesOf(func(r brokerRequest) []byte { return r.frame(fetched(12, nil).AppendTo(nil)) }), closed("Metadata response")},
		{"random bytes", nil, body([]byte(strings.Repeat("\x05"+canary, 100))...), closed("Metadata response")},

		// Well-formed, and more than was asked for.
		{"tags nobody knows", heartbeat(), body(append([]byte{0, 0, 0, 0, 0, 0, 1, 99, byte(len(canary))}, canary...)...), anything},
		{"tags nobody knows in the header", heartbeat(), bytesOf(func(r brokerRequest) []byte {
			b := raw(0, r.CorrelationID, append([]byte{1, 99, byte(len(canary))}, canary...)...)
			b = append(b, 0, 0, 0, 0, 0, 0, 0)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			return b
		}), anything},
		{"foreign topics and hosts in Metadata", nil, says(func(r brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrMetadataResponse()
			resp.ClusterID = kmsg.StringPtr(canary)
			for i, name := range []string{"phys.orders", "phys." + canary, "orders", foreignGroup, "__consumer_offsets"} {
				mt := kmsg.NewMetadataResponseTopic()
				mt.Topic, mt.TopicID = kmsg.StringPtr(name), physicalID(name)
				mb := kmsg.NewMetadataResponseBroker()
				mb.NodeID, mb.Host, mb.Port, mb.Rack = int32(i), "host."+canary, 9092, kmsg.StringPtr(canary)
				resp.Topics, resp.Brokers = append(resp.Topics, mt), append(resp.Brokers, mb)
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			resp := kr.(*kmsg.MetadataResponse)
			if len(resp.Topics) != 1 || *resp.Topics[0].Topic != "orders" || *resp.ClusterID != "vc-acme" {
				return fmt.Sprintf("%+v", resp)
			}
			for _, b := range resp.Brokers {
				if b.Host != "127.0.0.1" || b.Rack != nil {
					return fmt.Sprintf("%+v", b)
				}
			}
			return ""
		})},
		{"a topic without a name in Metadata", nil, says(func(r brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrMetadataResponse()
			mt := kmsg.NewMetadataResponseTopic()
			mt.TopicID = physicalID("phys." + canary)
			resp.Topics = append(resp.Topics, mt)
			return resp
		}), anything},
		{"a foreign topic in Fetch by name", fetchOf(11, "orders"), fetchAnswer(11, func(r *kmsg.FetchResponse) { r.Topics[0].Topic = "phys." + canary }), onlyOrders},
		{"a foreign topic beside ours in Fetch by name", fetchOf(11, "orders"), fetchAnswer(11, func(r *kmsg.FetchResponse) {
			foreign := fetched(11, nil).Topics[0]
			foreign.Topic = "phys." + canary
			foreign.Partitions[0].RecordBatches = []byte(canary)
			r.Topics = append(r.Topics, foreign)
		}), onlyOrders},
		{"a foreign topic in Fetch by id", fetchOf(13, "orders"), fetchAnswer(13, func(r *kmsg.FetchResponse) {
			r.Topics[0].TopicID = physicalID("phys." + canary)
			r.Topics[0].Partitions[0].RecordBatches = []byte(canary)
		}), onlyOrders},
		{"our topic twice in Fetch", fetchOf(13, "orders"), fetchAnswer(13, func(r *kmsg.FetchResponse) { r.Topics = append(r.Topics, r.Topics[0]) }), onlyOrders},
		{"node endpoints with physical hosts in Fetch", fetchOf(16, "orders"), fetchAnswer(16, func(r *kmsg.FetchResponse) {
			r.Brokers = []kmsg.FetchResponseBroker{{NodeID: 1, Host: canary, Port: 9092, Rack: kmsg.StringPtr(canary)}, {NodeID: 77, Host: canary, Port: 9092}}
		}), answered(func(kr kmsg.Response) string {
			for _, b := range kr.(*kmsg.FetchResponse).Brokers {
				if b.NodeID != 1 || b.Host != "127.0.0.1" || b.Rack != nil {
					return fmt.Sprintf("%+v", b)
				}
			}
			return ""
		})},
		{"a session nobody asked for in Fetch", fetchOf(11, "orders"), fetchAnswer(11, func(r *kmsg.FetchResponse) { r.SessionID = 42 }), answered(func(kr kmsg.Response) string {
			if id := kr.(*kmsg.FetchResponse).SessionID; id != 0 {
				return fmt.Sprint("session ", id)
			}
			return ""
		})},
		{"partitions nobody asked for in Fetch", fetchOf(11, "orders"), fetchAnswer(11, func(r *kmsg.FetchResponse) {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition = 9
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
		}), anything}, // of a topic that is the client's
		{"batches of negative length in Fetch", fetchOf(11, "orders"), fetchAnswer(11, func(r *kmsg.FetchResponse) {
			r.Topics[0].Partitions[0].RecordBatches = bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 20)
		}), answered(func(kr kmsg.Response) string {
			if got := kr.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches; len(got) != 240 {
				return fmt.Sprintf("records are not the broker's: %x", got)
			}
			return ""
		})},
		{"foreign topics in ListOffsets", func() kmsg.Request {
			req := kmsg.NewPtrListOffsetsRequest()
			req.Version = 7
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic, rt.Partitions = "orders", append(rt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
			req.Topics = append(req.Topics, rt)
			return req
		}(), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrListOffsetsResponse()
			for _, name := range []string{"phys." + canary, "orders", "phys.orders"} {
				resp.Topics = append(resp.Topics, kmsg.ListOffsetsResponseTopic{Topic: name, Partitions: []kmsg.ListOffsetsResponseTopicPartition{{Offset: 7}}})
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			if resp := kr.(*kmsg.ListOffsetsResponse); len(resp.Topics) != 1 || resp.Topics[0].Topic != "orders" {
				return fmt.Sprintf("%+v", resp)
			}
			return ""
		})},
		{"foreign topics and groups in OffsetFetch", func() kmsg.Request {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Version = 8
			req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}} // all topics
			return req
		}(), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrOffsetFetchResponse()
			for _, group := range []string{mine + "g", foreignGroup, "g"} {
				g := kmsg.OffsetFetchResponseGroup{Group: group}
				for _, name := range []string{"phys.orders", "phys." + canary, foreignGroup} {
					g.Topics = append(g.Topics, kmsg.OffsetFetchResponseGroupTopic{Topic: name})
				}
				resp.Groups = append(resp.Groups, g)
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			if g := kr.(*kmsg.OffsetFetchResponse).Groups; len(g) != 1 || g[0].Group != "g" || len(g[0].Topics) != 1 || g[0].Topics[0].Topic != "orders" {
				return fmt.Sprintf("%+v", g)
			}
			return ""
		})},
		{"foreign groups and names in DescribeGroups", describeGroups("g"), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrDescribeGroupsResponse()
			for _, group := range []string{foreignGroup, mine + "g"} {
				m := kmsg.NewDescribeGroupsResponseGroupMember()
				m.MemberID, m.ClientHost, m.ClientID = "m", "/"+canary, "other/"+canary
				if strings.HasPrefix(group, mine) {
					m.ClientID = "acme/c"
				}
				m.ProtocolMetadata = (&kmsg.ConsumerMemberMetadata{Topics: []string{"phys.orders", "phys." + canary}}).AppendTo(nil)
				m.MemberAssignment = (&kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: foreignGroup}}}).AppendTo(nil)
				resp.Groups = append(resp.Groups, kmsg.DescribeGroupsResponseGroup{Group: group, ProtocolType: "consumer", State: "Stable", Members: []kmsg.DescribeGroupsResponseGroupMember{m}})
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			if g := kr.(*kmsg.DescribeGroupsResponse).Groups; len(g) != 1 || g[0].Group != "g" {
				return fmt.Sprintf("%+v", g)
			}
			return ""
		})},
		{"foreign groups in ListGroups", func() kmsg.Request { r := kmsg.NewPtrListGroupsRequest(); r.Version = 4; return r }(), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrListGroupsResponse()
			for _, group := range []string{mine + "g", foreignGroup, canary, mine[:8] + canary} {
				resp.Groups = append(resp.Groups, kmsg.ListGroupsResponseGroup{Group: group})
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			if g := kr.(*kmsg.ListGroupsResponse).Groups; len(g) != 1 || g[0].Group != "g" {
				return fmt.Sprintf("%+v", g)
			}
			return ""
		})},
		{"a physical host and a text in FindCoordinator", func() kmsg.Request {
			r := kmsg.NewPtrFindCoordinatorRequest()
			r.Version, r.CoordinatorKeys = 4, []string{"g"}
			return r
		}(), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrFindCoordinatorResponse()
			for _, key := range []string{mine + "g", foreignGroup} {
				resp.Coordinators = append(resp.Coordinators, kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: 1, Host: canary, Port: 9092, ErrorMessage: kmsg.StringPtr(canary)})
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			if c := kr.(*kmsg.FindCoordinatorResponse).Coordinators; len(c) != 1 || c[0].Key != "g" || c[0].Host != "127.0.0.1" {
				return fmt.Sprintf("%+v", c)
			}
			return ""
		})},
		{"texts with physical names in Produce", func() kmsg.Request {
			r := kmsg.NewPtrProduceRequest()
			r.Version, r.Acks = 9, -1
			rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
			rt.Topic, rt.Partitions = "orders", append(rt.Partitions, rp)
			r.Topics = append(r.Topics, rt)
			return r
		}(), says(func(brokerRequest) kmsg.Response {
			resp := kmsg.NewPtrProduceResponse()
			for _, name := range []string{"phys.orders", "phys." + canary} {
				rt, rp := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
				rp.ErrorCode, rp.ErrorMessage = 87, kmsg.StringPtr("no room in phys."+canary)
				rp.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{ErrorMessage: kmsg.StringPtr(canary)}}
				rt.Topic, rt.Partitions = name, append(rt.Partitions, rp)
				resp.Topics = append(resp.Topics, rt)
			}
			return resp
		}), answered(func(kr kmsg.Response) string {
			resp := kr.(*kmsg.ProduceResponse)
			if len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 87 {
				return fmt.Sprintf("%+v", resp)
			}
			return ""
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newScriptedBroker(t, "phys.orders", "phys."+canary)
			w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())), credential("other", app("other", orders())))
			other := w.bystander("other")
			other.check(t)
			run := func(bc *brokerConn, r brokerRequest) bool {
				if !strings.HasPrefix(r.ClientID, "acme/") {
					return truth(bc, r)
				}
				return c.script(bc, r)
			}
			b.script.Store(&run)
			req := c.req
			if req == nil {
				req = metadataOf("orders")
			}
			conn := w.rawLogin("acme")
			if err := send(conn, 7, req); err != nil {
				t.Fatal(err)
			}
			for range c.want.answers {
				frame, err := readFrame(conn, 10*time.Second)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				if leaks(frame.bytes) {
					t.Errorf("the client sees %q", frame.bytes)
				}
				got, body, err := wire.ParseResponseHeader(req.Key(), req.GetVersion(), frame.bytes)
				if err != nil || got != 7 {
					t.Fatalf("answer to %d: %v", got, err)
				}
				if _, err := wire.CheckResponse(req.Key(), req.GetVersion(), body, 0); err != nil {
					t.Errorf("the answer is malformed: %v", err)
				}
				resp := req.ResponseKind()
				resp.SetVersion(req.GetVersion())
				if err := resp.ReadFrom(body); err != nil {
					t.Fatal(err)
				}
				if c.want.check != nil {
					if problem := c.want.check(resp); problem != "" {
						t.Errorf("the client sees %s", problem)
					}
				}
			}
			if c.want.closed != "" {
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				rest, err := io.ReadAll(conn)
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
					t.Error("the connection is not closed")
				}
				if len(rest) > 0 {
					t.Errorf("the client sees %q before the close", rest)
				}
				eventually(t, "the log does not say "+c.want.closed, func() bool { return strings.Contains(w.logged(), c.want.closed) })
			} else if err := exchangeTruth(w, b, conn); err != nil {
				t.Errorf("the connection does not go on: %v", err)
			}
			other.check(t)
			if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 0 {
				t.Errorf("%v panics", n)
			}
			conn.Close()
			eventually(t, "the connection is still there", func() bool { return w.gateway.Connections() == 1 })
			eventually(t, "memory is not given back", func() bool { return w.gateway.budget.InUse() == 0 })
		})
	}
}

// exchangeTruth asks an honest broker over a connection that stays.
func exchangeTruth(w *world, b *scriptedBroker, conn net.Conn) error {
	b.script.Store(nil)
	_, err := exchange(conn, heartbeat())
	return err
}

// Answers in another order than the questions: the first one that is not due
// ends the connection, so that none reaches the wrong request.
func TestBrokerThatAnswersOutOfOrder(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())), credential("other", app("other", orders())))
	other := w.bystander("other")
	var held *brokerRequest
	late := func(c *brokerConn, r brokerRequest) bool {
		switch {
		case !strings.HasPrefix(r.ClientID, "acme/"):
			return c.answer(r, b.truth(r)) == nil
		case held == nil:
			held = &r
			return true
		}
		return c.answer(r, b.truth(r)) == nil && c.answer(*held, b.truth(*held)) == nil
	}
	b.script.Store(&late)
	conn := w.rawLogin("acme")
	for id := range int32(2) {
		if err := send(conn, 10+id, heartbeat()); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := readFrame(conn, 10*time.Second); err == nil || err == errTooLate {
		t.Errorf("the client got %x, %v", f.bytes, err)
	}
	eventually(t, "the log does not say why", func() bool {
		return strings.Contains(w.logged(), "broker 1 answered request 11, Heartbeat is 10")
	})
	other.check(t)
}

// A broker that announces much and sends little takes no memory for it, and
// its connection goes with the client's.
func TestBrokerThatAnnouncesAnEndlessAnswer(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())), credential("other", app("other", orders())))
	other := w.bystander("other")
	const clients = 20
	sent := make(chan bool, clients)
	gone := make(chan bool, clients)
	endless := func(c *brokerConn, r brokerRequest) bool {
		if !strings.HasPrefix(r.ClientID, "acme/") {
			return c.answer(r, b.truth(r)) == nil
		}
		c.send(append(raw(120<<20, r.CorrelationID), make([]byte, 20<<10)...))
		sent <- true
		for i := 0; ; i++ { // a byte now and then, until the gateway has enough
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) || c.send([]byte{0}) != nil {
				gone <- true
				return false
			}
		}
	}
	b.script.Store(&endless)
	var conns []net.Conn
	for range clients {
		conn := w.rawLogin("acme")
		send(conn, 1, metadataOf("orders"))
		conns = append(conns, conn)
	}
	for range clients {
		<-sent
	}
	other.check(t)
	if used := w.gateway.budget.InUse(); used > clients*(128<<10) {
		t.Errorf("%d bytes are in use for %d answers of which 20 KiB have come", used, clients)
	}
	for _, conn := range conns {
		conn.Close()
	}
	for range clients {
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatal("a broker connection outlives its client's")
		}
	}
	eventually(t, "memory is not given back", func() bool { return w.gateway.budget.InUse() == 0 })
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// What a broker says of its versions narrows what goes to it and widens nothing.
func TestBrokerThatLiesAboutItsVersions(t *testing.T) {
	row := func(key, lo, hi int16) kmsg.ApiVersionsResponseApiKey {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = key, lo, hi
		return k
	}
	for name, c := range map[string]struct {
		edit   func(*kmsg.ApiVersionsResponse)
		closed string // in the log; "" where the client is answered
	}{
		"the truth":       {func(r *kmsg.ApiVersionsResponse) {}, ""},
		"nothing at all":  {func(r *kmsg.ApiVersionsResponse) { r.ApiKeys = nil }, "does not take Heartbeat version 4"},
		"older than that": {func(r *kmsg.ApiVersionsResponse) { r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{row(12, 0, 3)} }, "does not take Heartbeat version 4"},
		"newer than that": {func(r *kmsg.ApiVersionsResponse) { r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{row(12, 5, 9)} }, "does not take Heartbeat version 4"},
		"from high to low": {func(r *kmsg.ApiVersionsResponse) {
			r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{row(12, 9, 0)}
		}, "does not take Heartbeat version 4"},
		"twice": {func(r *kmsg.ApiVersionsResponse) { r.ApiKeys = append(r.ApiKeys, row(12, 0, 4), row(12, 0, 4)) }, ""},
		"everything there could be": {func(r *kmsg.ApiVersionsResponse) {
			r.ApiKeys = nil
			for key := -1000; key < 32767; key++ {
				r.ApiKeys = append(r.ApiKeys, row(int16(key), -1<<15, 1<<15-1))
			}
		}, ""},
		"every version there could be": {func(r *kmsg.ApiVersionsResponse) {
			for i := range r.ApiKeys {
				r.ApiKeys[i].MinVersion, r.ApiKeys[i].MaxVersion = -1<<15, 1<<15-1
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScriptedBroker(t, "phys.orders")
			b.versions.Store(&c.edit)
			w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())))
			conn := w.rawLogin("acme")
			_, err := exchange(conn, heartbeat())
			if (err == nil) != (c.closed == "") {
				t.Errorf("%v, want %q", err, c.closed)
			}
			if c.closed != "" {
				eventually(t, "the log does not say "+c.closed, func() bool { return strings.Contains(w.logged(), c.closed) })
			}
			// A client is still offered our own table only.
			fresh := w.rawLogin("acme")
			versions := kmsg.NewPtrApiVersionsRequest()
			versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "x", "1"
			kr, err := exchange(fresh, versions)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range kr.(*kmsg.ApiVersionsResponse).ApiKeys {
				api := handler.Lookup(k.ApiKey)
				if api == nil || k.MaxVersion > api.Max || k.MinVersion < api.Min && k.ApiKey != 0 { // Produce: KAFKA-18659
					t.Errorf("offered: %+v", k)
				}
			}
			for _, beyond := range []kmsg.Request{kmsg.NewPtrDescribeACLsRequest(), kmsg.NewPtrWriteTxnMarkersRequest()} {
				beyond.SetVersion(1)
				if _, err := exchange(w.rawLogin("acme"), beyond); err == nil {
					t.Errorf("%s is let in", wire.APIName(beyond.Key()))
				}
			}
			if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 0 {
				t.Errorf("%v panics", n)
			}
		})
	}
}
