package handler

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// owning is an application that may own 2 topics and 5 partitions, on
// connections that share reservations.
type owning struct {
	t       *testing.T
	g       *grant.Grant
	cluster still
	shared  Reservations
	now     time.Time
}

func newOwning(t *testing.T) *owning {
	g := granted(t, func(g *grant.Grant) { g.Namespace = grant.Namespace{Topics: 2, Partitions: 5} })
	return &owning{t: t, g: g, cluster: still{}, now: time.Now()}
}

// serve serves a request on a connection of its own.
func (o *owning) serve(r kmsg.Request) Action {
	o.t.Helper()
	c := &Conn{Cluster: o.cluster, Addresses: o.cluster, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler),
		Reservations: &o.shared, Current: func() *grant.Grant { return o.g }}
	action, err := Lookup(r.Key()).Serve(&Exchange{Context: context.Background(), Version: r.GetVersion(), Grant: o.g, Now: o.now, Conn: c}, r)
	if err != nil {
		o.t.Fatal(err)
	}
	return action
}

func (o *owning) create(name string, partitions int32, validate bool) Action {
	o.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.ValidateOnly, req.TimeoutMillis = 7, validate, 1000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
	req.Topics = append(req.Topics, rt)
	return o.serve(req)
}

func (o *owning) grow(name string, partitions int32) Action {
	o.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version = 3
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = name, partitions
	req.Topics = append(req.Topics, rt)
	return o.serve(req)
}

// answered is the broker's answer.
func (o *owning) answered(a Action, code int16) {
	o.t.Helper()
	resp := a.Upstream.ResponseKind()
	switch req := a.Upstream.(type) {
	case *kmsg.CreateTopicsRequest:
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = req.Topics[0].Topic, code
		resp.(*kmsg.CreateTopicsResponse).Topics = []kmsg.CreateTopicsResponseTopic{rt}
	case *kmsg.CreatePartitionsRequest:
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = req.Topics[0].Topic, code
		resp.(*kmsg.CreatePartitionsResponse).Topics = []kmsg.CreatePartitionsResponseTopic{rt}
	case *kmsg.DeleteTopicsRequest:
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = &req.TopicNames[0], code
		resp.(*kmsg.DeleteTopicsResponse).Topics = []kmsg.DeleteTopicsResponseTopic{rt}
	}
	if _, err := a.Response(resp); err != nil {
		o.t.Fatal(err)
	}
}

// want checks the error of what was refused here, 0 for what goes upstream.
func (o *owning) want(what string, a Action, want *kerr.Error) {
	o.t.Helper()
	code := int16(0)
	switch resp := a.Answer.(type) {
	case *kmsg.CreateTopicsResponse:
		code = resp.Topics[0].ErrorCode
	case *kmsg.CreatePartitionsResponse:
		code = resp.Topics[0].ErrorCode
	}
	if want == nil && code != 0 || want != nil && code != want.Code {
		o.t.Errorf("%s: error %d, want %v", what, code, want)
	}
}

func TestNamespaceCountsRequestsUnderWay(t *testing.T) {
	o := newOwning(t)
	first := o.create("one", 4, false)
	o.want("first", first, nil)
	o.want("more partitions than are left", o.create("two", 2, false), kerr.PolicyViolation)
	second := o.create("two", defaultPartitions, false)
	o.want("second", second, nil)
	if n := second.Upstream.(*kmsg.CreateTopicsRequest).Topics[0].NumPartitions; n != 1 {
		t.Errorf("%d partitions are sent for the default, want 1", n)
	}
	o.want("third topic", o.create("three", 1, false), kerr.PolicyViolation)
	o.want("the first again, larger", o.create("one", 5, false), kerr.PolicyViolation)
	o.want("growth of a topic that no listing has", o.grow("one", 5), kerr.UnknownTopicOrPartition)

	o.answered(second, kerr.InvalidReplicationFactor.Code) // its room is free again
	third := o.create("three", 1, false)
	o.want("in place of the failed one", third, nil)
	o.answered(third, kerr.RequestTimedOut.Code) // it may still come
	o.want("after a time-out", o.create("four", 1, false), kerr.PolicyViolation)
	o.answered(first, 0)
	o.want("before the listing has the first", o.create("four", 1, false), kerr.PolicyViolation)
	o.now = o.now.Add(unanswered + time.Second)
	o.cluster[o.g.Prefix+"one"] = [16]byte{1} // with one partition
	o.want("topic that exists", o.create("one", 1, false), kerr.TopicAlreadyExists)
	o.want("once listed, and the unsure one given up", o.create("four", 4, false), nil)
}

func TestGrowingTopicsCountsRequestsUnderWay(t *testing.T) {
	o := newOwning(t)
	o.cluster[o.g.Prefix+"one"], o.cluster[o.g.Prefix+"two"] = [16]byte{1}, [16]byte{2}
	one := o.grow("one", 4)
	o.want("one", one, nil)
	o.want("two, parallel", o.grow("two", 2), kerr.PolicyViolation)
	o.answered(one, kerr.InvalidPartitions.Code)
	o.want("two, after one failed", o.grow("two", 4), nil)
}

func TestRoomOfTopicsNotMadeOrDeletedIsFree(t *testing.T) {
	o := newOwning(t)
	o.answered(o.create("tried", 5, true), 0)
	made := o.create("one", 5, false)
	o.want("after a validation", made, nil)
	o.answered(made, 0)
	o.cluster[o.g.Prefix+"one"] = [16]byte{1}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames = 5, []string{"one"}
	gone := o.serve(req)
	delete(o.cluster, o.g.Prefix+"one")
	o.answered(gone, 0)
	again := o.create("two", 5, false)
	o.want("after a deletion", again, nil)
	o.answered(again, kerr.PolicyViolation.Code)
	if len(o.shared.owners) != 0 {
		t.Errorf("remembered: %v", o.shared.owners)
	}
}

func TestTopicConfigurationsHaveBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		configs string // "key=value", separated by spaces
		want    string // in the error's text
	}{
		"Streams repartition":        {"cleanup.policy=delete segment.bytes=52428800 retention.ms=-1 message.timestamp.type=CreateTime", ""},
		"Streams changelog":          {"cleanup.policy=compact message.timestamp.type=CreateTime", ""},
		"Streams windowed changelog": {"cleanup.policy=compact,delete retention.ms=86460000 message.timestamp.type=CreateTime", ""},
		"Streams versioned store":    {"cleanup.policy=compact min.compaction.lag.ms=86700000", ""},
		"Connect offsets":            {"cleanup.policy=compact min.insync.replicas=1", ""},
		"Kafka's defaults": {"max.compaction.lag.ms=9223372036854775807 segment.ms=604800000 segment.bytes=1073741824 retention.bytes=-1 " +
			"message.timestamp.before.max.ms=9223372036854775807 max.message.bytes=1048588 min.cleanable.dirty.ratio=0.5 compression.type=producer delete.retention.ms=86400000", ""},
		"largest segment":      {"segment.bytes=2147483647", ""},
		"tiny segments":        {"segment.bytes=14", `"segment.bytes" must be from 1048576 to 2147483647`},
		"short segments":       {"segment.ms=1", `"segment.ms" must be at least 60000`},
		"no retention":         {"retention.ms=0", `"retention.ms" must be at least 60000, or -1`},
		"another endlessness":  {"retention.ms=-2", "or -1"},
		"huge messages":        {"max.message.bytes=10485761", "from 1024 to 10485760"},
		"restless cleaner":     {"min.cleanable.dirty.ratio=0", "from 0.01 to 1"},
		"no ratio":             {"min.cleanable.dirty.ratio=NaN", "from 0.01 to 1"},
		"no number":            {"segment.ms=1h", "at least 60000"},
		"too large a number":   {"segment.ms=9223372036854775808", "at least 60000"},
		"unknown word":         {"compression.type=rar", "one of producer, uncompressed"},
		"unknown in a list":    {"cleanup.policy=compact,shred", "a list of compact and delete"},
		"empty":                {"cleanup.policy=", "a list of compact and delete"},
		"the cluster's matter": {"unclean.leader.election.enable=true", "cannot be set by an application"},
		"second of two":        {"retention.ms=-1 segment.bytes=1", "segment.bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var configs []kmsg.CreateTopicsRequestTopicConfig
			for _, c := range strings.Fields(tc.configs) {
				key, value, _ := strings.Cut(c, "=")
				configs = append(configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
			}
			code, message := forbiddenConfig(configs)
			switch {
			case tc.want == "" && code != 0:
				t.Errorf("refused: %s", *message)
			case tc.want != "" && (code != kerr.PolicyViolation.Code || !strings.Contains(*message, tc.want)):
				t.Errorf("got %d %v, want %q", code, message, tc.want)
			}
		})
	}
	if code, _ := forbiddenConfig([]kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}); code == 0 {
		t.Error("a configuration without a value is accepted")
	}
}
