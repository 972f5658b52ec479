package handler

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
)

// still is a cluster that knows the topics it is given, by backing name.
type still map[string][16]byte

func (s still) TopicID(_ context.Context, backing string) ([16]byte, bool, error) {
	id, ok := s[backing]
	return id, ok, nil
}
func (s still) TopicName(_ context.Context, id [16]byte) (string, bool, error) {
	for name, i := range s {
		if i == id {
			return name, true, nil
		}
	}
	return "", false, nil
}
func (s still) Topics(_ context.Context, prefix string) (out []upstream.Topic, _ error) {
	for name, id := range s {
		if strings.HasPrefix(name, prefix) {
			out = append(out, upstream.Topic{Name: name, ID: id, Partitions: 1})
		}
	}
	return out, nil
}
func (still) TopicConfigs(_ context.Context, backing []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, name := range backing { // set by the operator, and by an application
		out[name] = map[string]string{"unclean.leader.election.enable": "true", "retention.ms": "86400000"}
	}
	return out, nil
}
func (still) LearnTopic(string, [16]byte)        {}
func (still) ForgetTopic(string)                 {}
func (still) LearnBrokers([]upstream.Broker)     {}
func (still) Versions() map[int16]upstream.Range { return nil }

func (still) Advertise(node int32) (string, int32, bool) { return "gateway", 1, true }

// exchanger serves requests of one connection under one grant.
func exchanger(g *grant.Grant, cluster still, log *bytes.Buffer) func(kmsg.Request) Action {
	c := &Conn{Cluster: cluster, Addresses: cluster, Limits: DefaultLimits, Log: slog.New(slog.NewTextHandler(log, nil)), Current: func() *grant.Grant { return g }}
	return func(r kmsg.Request) Action {
		x := &Exchange{Context: context.Background(), Version: r.GetVersion(), Grant: g, Now: time.Now(), Conn: c}
		action, err := Lookup(r.Key()).Serve(x, r)
		if err != nil {
			panic(err)
		}
		return action
	}
}

func TestManyRefusedNamesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	serve := exchanger(granted(t, nil), still{}, &log)
	for range 3 {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 12
		for i := range 2000 {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = kmsg.StringPtr(fmt.Sprintf("no-such-topic-%d", i))
			req.Topics = append(req.Topics, rt)
		}
		serve(req)
	}
	if n := strings.Count(log.String(), "\n"); n > maxRejections+1 {
		t.Errorf("%d lines in the log, want at most %d", n, maxRejections+1)
	}
}

func TestForeignNamesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	c := &Conn{Log: slog.New(slog.NewTextHandler(&log, nil))}
	at := func(seconds int, key int16) *Exchange {
		return &Exchange{Now: time.Unix(int64(seconds), 0), Conn: c, api: Lookup(key)}
	}
	for s := range 60 {
		for range 10 {
			c.foreign(at(s, 3), "topic")
		}
	}
	c.foreign(at(1, 9), "topic")
	c.foreign(at(60, 3), "topic")
	var counts []string
	for line := range strings.Lines(log.String()) {
		_, count, _ := strings.Cut(strings.TrimSpace(line), "count=")
		counts = append(counts, count)
	}
	if got := strings.Join(counts, " "); got != "1 1 600" {
		t.Errorf("the log counts %s, want 1 1 600:\n%s", got, &log)
	}
}

func TestCostlyRegularExpressionsAreRefused(t *testing.T) {
	topics := still{}
	g := granted(t, func(g *grant.Grant) {
		for i := range 200 {
			name := strings.Repeat("a", 200) + fmt.Sprint(i)
			g.Topics = append(g.Topics, &grant.Topic{Exposed: name, Backing: "phys." + name, ID: grant.TopicID{9, byte(i)},
				Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
		}
	})
	for name, tc := range map[string]struct {
		expression string
		refused    bool
	}{
		"all":                {`.*`, false},
		"choice":             {`(orders|vehicles)-[a-z0-9]{1,20}\.v\d+`, false},
		"classes":            {`\pL+\.\pN*`, false},
		"repeated":           {strings.Repeat(`(?:a?){1000}`, 300), true},
		"repeated choice":    {`(?:` + strings.Repeat(`a?|`, 500) + `b){900}`, true},
		"long":               {strings.Repeat("a", 5000), true},
		"nested repetitions": {`((a{1,30}){1,30}){30}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Version, req.Group, req.MemberID, req.SubscribedTopicRegex = 1, "g", "m", &tc.expression
			begin := time.Now()
			action := exchanger(g, topics, new(bytes.Buffer))(req)
			refused := action.Upstream == nil && action.Answer.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode == kerr.InvalidRegularExpression.Code
			if refused != tc.refused {
				t.Errorf("refused: %v, want %v", refused, tc.refused)
			}
			t.Log(time.Since(begin))
		})
	}
}

func fetchOf(version int16, sessionID, epoch int32, topics ...kmsg.FetchRequestTopic) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch, req.MaxWaitMillis, req.Topics = version, sessionID, epoch, 500, topics
	return req
}

func fetchTopic(name string, id [16]byte) kmsg.FetchRequestTopic {
	rt, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rt.TopicID, rt.Partitions = name, id, []kmsg.FetchRequestTopicPartition{p}
	return rt
}

// opened answers a full fetch with a new session.
func opened(t *testing.T, action Action, id int32) {
	t.Helper()
	resp := kmsg.NewPtrFetchResponse()
	resp.SessionID = id
	got, err := action.Response(resp)
	if err != nil || got.(*kmsg.FetchResponse).SessionID != id {
		t.Fatalf("session is not opened: %v %+v", err, got)
	}
}

func fetchCode(a Action) int16 {
	if a.Upstream != nil {
		return 0
	}
	return a.Answer.(*kmsg.FetchResponse).ErrorCode
}

func TestSessionDoesNotOutliveTheBackingTopic(t *testing.T) {
	before := granted(t, nil)
	after := granted(t, func(g *grant.Grant) { g.Topics[0].Backing = "phys.masked" }) // another revision
	cluster := still{"phys.a": {1}, "phys.masked": {2}}
	for _, version := range []int16{12, 18} {
		var current *grant.Grant = before
		c := &Conn{Cluster: cluster, Addresses: cluster, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return current }}
		serve := func(r kmsg.Request) Action {
			action, err := Lookup(1).Serve(&Exchange{Context: context.Background(), Version: version, Grant: current, Now: time.Now(), Conn: c}, r)
			if err != nil {
				t.Fatal(err)
			}
			return action
		}
		rt := fetchTopic("", before.Topics[0].ID)
		if version < 13 {
			rt = fetchTopic("a", [16]byte{})
		}
		opened(t, serve(fetchOf(version, 0, 0, rt)), 7)
		if code := fetchCode(serve(fetchOf(version, 7, 1))); code != 0 {
			t.Fatalf("v%d: error %d", version, code)
		}
		current = after
		if code := fetchCode(serve(fetchOf(version, 7, 2))); code != kerr.FetchSessionIDNotFound.Code {
			t.Errorf("v%d: the session goes on reading the former backing topic (error %d)", version, code)
		}
	}
}

func TestSessionStartsOverWhenATopicWasMadeAnew(t *testing.T) {
	g, cluster := granted(t, nil), still{"phys.a": {1}}
	serve := exchanger(g, cluster, new(bytes.Buffer))
	opened(t, serve(fetchOf(18, 0, 0, fetchTopic("", g.Topics[0].ID))), 7)
	action := serve(fetchOf(18, 7, 1))
	cluster["phys.a"] = [16]byte{2}
	resp := kmsg.NewPtrFetchResponse()
	resp.SessionID = 7
	rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	rt.TopicID, rp.ErrorCode = [16]byte{1}, kerr.UnknownTopicID.Code
	rt.Partitions = append(rt.Partitions, rp)
	resp.Topics = append(resp.Topics, rt)
	if _, err := action.Response(resp); err != nil {
		t.Fatal(err)
	}
	if code := fetchCode(serve(fetchOf(18, 7, 2))); code != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("the session stays with the id of the deleted topic (error %d)", code)
	}
}

func TestForgottenTopicsOfNoSessionStayHere(t *testing.T) {
	g, cluster := granted(t, nil), still{"phys.a": {1}, "phys.b": {2}}
	serve := exchanger(g, cluster, new(bytes.Buffer))
	opened(t, serve(fetchOf(12, 0, 0, fetchTopic("a", [16]byte{}))), 7)
	req := fetchOf(12, 7, 1)
	for _, name := range []string{"phys.secret", "b", "a"} {
		ft := kmsg.NewFetchRequestForgottenTopic()
		ft.Topic, ft.Partitions = name, []int32{0}
		req.ForgottenTopics = append(req.ForgottenTopics, ft)
	}
	sent := serve(req).Upstream.(*kmsg.FetchRequest).ForgottenTopics
	if len(sent) != 1 || sent[0].Topic != "phys.a" {
		t.Errorf("sent upstream: %+v, want only phys.a", sent)
	}
}

// Clients close a session with a fetch of nothing; like a broker, nobody waits
// for it, and the broker gets to know.
func TestFetchOfNothingIsNotHeld(t *testing.T) {
	g, cluster := granted(t, nil), still{"phys.a": {1}}
	serve := exchanger(g, cluster, new(bytes.Buffer))
	opened(t, serve(fetchOf(18, 0, 0, fetchTopic("", g.Topics[0].ID))), 7)
	action := serve(fetchOf(18, 7, -1))
	if up, ok := action.Upstream.(*kmsg.FetchRequest); !ok || up.SessionID != 7 || up.SessionEpoch != -1 {
		t.Errorf("closing a session: %+v", action)
	}
	if action := serve(fetchOf(18, 0, -1)); action.Hold != 0 {
		t.Errorf("held for %v", action.Hold)
	}
}

// A member that came over from another connection has not said here what it
// holds: that must not be told the broker as "nothing".
func TestSubscriptionSentAgainMakesNothingUp(t *testing.T) {
	before := granted(t, nil)
	after := granted(t, func(g *grant.Grant) {
		g.Topics = append(g.Topics, &grant.Topic{Exposed: "c", Backing: "phys.c", ID: grant.TopicID{3}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
	})
	current, cluster := before, still{}
	c := &Conn{Cluster: cluster, Addresses: cluster, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Current: func() *grant.Grant { return current }}
	beat := func(names []string) *kmsg.ConsumerGroupHeartbeatRequest {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.MemberEpoch, req.SubscribedTopicNames = 1, "g", "m", 4, names
		action, err := Lookup(68).Serve(&Exchange{Context: context.Background(), Version: 1, Grant: current, Now: time.Now(), Conn: c}, req)
		if err != nil {
			t.Fatal(err)
		}
		return action.Upstream.(*kmsg.ConsumerGroupHeartbeatRequest)
	}
	beat([]string{"a", "c"})
	current = after
	if sent := beat(nil); len(sent.SubscribedTopicNames) != 2 || sent.Topics != nil || sent.RebalanceTimeoutMillis != -1 {
		t.Errorf("sent %+v, want both names and nothing else", sent)
	}
}

// A member that leaves needs no subscription, and what it says of one must not
// reach the broker as it is: names of the target cluster, and a regular
// expression that the broker would run over them.
func TestLeavingMembersSubscriptionIsNotSentUpstream(t *testing.T) {
	g := granted(t, nil)
	for epoch := int32(-3); epoch < 0; epoch++ {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, "g", "m", epoch
		req.SubscribedTopicNames, req.SubscribedTopicRegex = []string{"phys.secret", "a"}, kmsg.StringPtr(".*")
		action, err := Lookup(68).Serve(exchange(g, 68, 1), req)
		if err != nil {
			t.Fatal(err)
		}
		if up := action.Upstream.(*kmsg.ConsumerGroupHeartbeatRequest); up.SubscribedTopicNames != nil || up.SubscribedTopicRegex != nil {
			t.Errorf("epoch %d: %v and %v are sent upstream", epoch, up.SubscribedTopicNames, up.SubscribedTopicRegex)
		}
	}
}
