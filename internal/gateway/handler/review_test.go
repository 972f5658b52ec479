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
