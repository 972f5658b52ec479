package handler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
)

// sized is a cluster whose topics have these many partitions, by backing name.
type sized struct {
	still
	partitions map[string]int
}

func (s sized) Topics(_ context.Context, prefix string) (out []upstream.Topic, _ error) {
	for _, name := range slices.Sorted(maps.Keys(s.partitions)) {
		if strings.HasPrefix(name, prefix) {
			out = append(out, upstream.Topic{Name: name, ID: idOf(name), Partitions: s.partitions[name]})
		}
	}
	return out, nil
}

// streaming is an application with a connection: "orders" is phys.orders with
// 4 partitions, and there is room for 3 topics and 10 partitions.
type streaming struct {
	t      *testing.T
	g      *grant.Grant
	sized  sized
	now    time.Time
	conn   *Conn
	shared Reservations
}

func newStreaming(t *testing.T, namespace grant.Namespace) *streaming {
	s := &streaming{t: t, now: time.Now(), sized: sized{still: still{}, partitions: map[string]int{"phys.orders": 4}}}
	s.regrant(namespace)
	s.connect()
	return s
}

func (s *streaming) regrant(namespace grant.Namespace) {
	s.g = granted(s.t, func(g *grant.Grant) {
		g.Namespace = namespace
		g.Topics = []*grant.Topic{{Exposed: "orders", Backing: "phys.orders", ID: grant.TopicID{1}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}}}
	})
}

// connect begins a connection, which remembers nothing of others.
func (s *streaming) connect() {
	s.conn = &Conn{Cluster: s.sized, Addresses: s.sized, Limits: DefaultLimits, Log: slog.New(slog.DiscardHandler), Reservations: &s.shared, Current: func() *grant.Grant { return s.g }}
}

func (s *streaming) serve(r kmsg.Request) Action {
	s.t.Helper()
	a, err := Lookup(r.Key()).Serve(&Exchange{Context: s.t.Context(), Version: r.GetVersion(), Grant: s.g, Now: s.now, Conn: s.conn}, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// topology reads orders and what else is named, sends it through "app-by-customer-repartition" and sums it up in
// "app-totals-changelog".
func topology(sources ...string) *kmsg.StreamsGroupHeartbeatRequestTopology {
	first, second := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology(), kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	first.SubtopologyID, first.SourceTopics, first.RepartitionSinkTopics = "0", append([]string{"orders"}, sources...), []string{"app-by-customer-repartition"}
	second.SubtopologyID = "1"
	second.RepartitionSourceTopics = []kmsg.TopicInfo{{Topic: "app-by-customer-repartition"}}
	second.StateChangelogTopics = []kmsg.TopicInfo{{Topic: "app-totals-changelog", Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}}
	return &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{first, second}}
}

func (s *streaming) join(member string, t *kmsg.StreamsGroupHeartbeatRequestTopology) Action {
	s.t.Helper()
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.Topology = "app", member, 1000, t
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	return s.serve(req)
}

func (s *streaming) heartbeat(member string, epoch int32) Action {
	s.t.Helper()
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = "app", member, epoch
	return s.serve(req)
}

// waits fails unless a heartbeat was answered here with a status.
func (s *streaming) waits(a Action, code int8, detail string) {
	s.t.Helper()
	resp, ok := a.Answer.(*kmsg.StreamsGroupHeartbeatResponse)
	if !ok || a.Upstream != nil {
		s.t.Fatalf("got %+v, want an answer made here", a)
	}
	if resp.ErrorCode != 0 || resp.MemberEpoch != 1 || resp.MemberID == "" || resp.HeartbeatIntervalMillis <= 0 || len(resp.Status) != 1 {
		s.t.Fatalf("got %+v, want a member with a status", resp)
	}
	got, _, _ := strings.Cut(resp.Status[0].StatusDetail, " (rejection ")
	if resp.Status[0].StatusCode != code || got != detail {
		s.t.Errorf("got status %d, %q, want %d, %q", resp.Status[0].StatusCode, resp.Status[0].StatusDetail, code, detail)
	}
}

// sent fails unless a heartbeat goes to the broker, and returns it.
func (s *streaming) sent(a Action) *kmsg.StreamsGroupHeartbeatRequest {
	s.t.Helper()
	req, ok := a.Upstream.(*kmsg.StreamsGroupHeartbeatRequest)
	if !ok {
		s.t.Fatalf("got %+v, want it sent", a.Answer)
	}
	return req
}

var roomy = grant.Namespace{Topics: 3, Partitions: 10}

func TestStreamsTopologyIsMapped(t *testing.T) {
	s := newStreaming(t, roomy)
	a := s.join("m", topology())
	req := s.sent(a)
	own := func(name string) string { return s.g.Prefix + name }
	first, second := req.Topology.Subtopologies[0], req.Topology.Subtopologies[1]
	if req.Group != own("app") || !slices.Equal(first.SourceTopics, []string{"phys.orders"}) || !slices.Equal(first.RepartitionSinkTopics, []string{own("app-by-customer-repartition")}) ||
		second.RepartitionSourceTopics[0].Topic != own("app-by-customer-repartition") || second.StateChangelogTopics[0].Topic != own("app-totals-changelog") {
		t.Errorf("sent %+v", req)
	}

	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = "m", 3
	resp.ErrorMessage = kmsg.StringPtr("about phys.orders")
	resp.ActiveTasks = []kmsg.TaskIDs{{SubtopologyID: "1", Partitions: []int32{0}}}
	resp.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{{StatusCode: 3, StatusDetail: "Internal topics are missing: [" + own("app-totals-changelog") + ", secret.topic]"}}
	resp.PartitionsByUserEndpoint = []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{{
		UserEndpoint: kmsg.Endpoint{Host: "their.own", Port: 80},
		ActivePartitions: []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition{
			{Topic: "phys.orders", Partitions: []int32{0}}, {Topic: "phys.secret", Partitions: []int32{1}}, {Topic: own("app-by-customer-repartition"), Partitions: []int32{2}},
		},
		StandbyPartitions: []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition{{Topic: own("app-by-customer-repartition"), Partitions: []int32{3}}},
	}}
	kr, err := a.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	got := kr.(*kmsg.StreamsGroupHeartbeatResponse)
	e := got.PartitionsByUserEndpoint[0]
	if got.ErrorMessage != nil || got.Status[0].StatusDetail != "Internal topics are missing: [app-totals-changelog, (…)]" || e.UserEndpoint.Host != "their.own" || len(e.ActivePartitions) != 2 ||
		e.ActivePartitions[0].Topic != "orders" || e.ActivePartitions[1].Topic != "app-by-customer-repartition" || e.StandbyPartitions[0].Topic != "app-by-customer-repartition" {
		t.Errorf("answered %+v, message %v", got, got.ErrorMessage)
	}

	later := s.sent(s.heartbeat("m", 3))
	if later.Group != own("app") || later.Topology != nil || later.MemberEpoch != 3 {
		t.Errorf("a later heartbeat: sent %+v", later)
	}
}

func TestStreamsMemberWithoutItsTopicsWaits(t *testing.T) {
	for name, source := range map[string]string{"never granted": "secret", "a backing name": "phys.orders", "not there, in its own namespace": "mine"} {
		t.Run(name, func(t *testing.T) {
			s := newStreaming(t, roomy)
			want := "Source topics " + source + " are missing."
			a := s.join("m", topology(source))
			s.waits(a, missingSourceTopics, want)
			if tasks := a.Answer.(*kmsg.StreamsGroupHeartbeatResponse).ActiveTasks; tasks == nil || len(tasks) > 0 {
				t.Errorf("got tasks %v, want none", tasks)
			}
			s.waits(s.heartbeat("m", 1), missingSourceTopics, want)
			s.sent(s.heartbeat("other", 1)) // who does not wait is the broker's

			again := func(a Action) {
				t.Helper()
				if resp, ok := a.Answer.(*kmsg.StreamsGroupHeartbeatResponse); !ok || resp.ErrorCode != kerr.UnknownMemberID.Code {
					t.Errorf("got %+v, want to be asked to join again", a.Answer)
				}
			}
			s.now = s.now.Add(waitAgain)
			again(s.heartbeat("m", 1))
			s.waits(s.join("m", topology(source)), missingSourceTopics, want)
			s.regrant(roomy) // another grant, though with the same in it
			again(s.heartbeat("m", 1))
			s.waits(s.join("m", topology(source)), missingSourceTopics, want)
			s.sized.partitions[s.g.Prefix+"mine"] = 2
			if source == "mine" {
				s.sent(s.join("m", topology(source)))
				s.sent(s.heartbeat("m", 7))
				return
			}
			left := s.heartbeat("m", -1).Answer.(*kmsg.StreamsGroupHeartbeatResponse)
			if left.ErrorCode != 0 || left.MemberEpoch != -1 {
				t.Errorf("leaving: got %+v", left)
			}
			s.sent(s.heartbeat("m", 1))
		})
	}
}

func TestWaitingStreamsMembersAreBounded(t *testing.T) {
	s := newStreaming(t, roomy)
	for i := range 3 * maxWaiting {
		s.join(string(rune('a'+i)), topology("secret"))
	}
	if n := len(s.conn.waiting); n > maxWaiting {
		t.Errorf("%d members wait, want at most %d", n, maxWaiting)
	}
}

func TestInternalTopicsOfStreamsNeedRoom(t *testing.T) {
	missing := func(rest string) string { return "Internal topics are missing: " + rest }
	for name, tc := range map[string]struct {
		namespace grant.Namespace
		there     map[string]int // of its own
		want      string         // of the status; "": sent
	}{
		"enough":             {grant.Namespace{Topics: 2, Partitions: 8}, nil, ""},
		"too few topics":     {grant.Namespace{Topics: 1, Partitions: 8}, nil, missing("app-totals-changelog; the application may own 1 topics and has no room for another")},
		"too few partitions": {grant.Namespace{Topics: 2, Partitions: 7}, nil, missing("app-totals-changelog; the application may own 7 partitions and has room for 3 more")},
		"none":               {grant.Namespace{}, nil, missing("app-by-customer-repartition, app-totals-changelog; Unauthorized to CREATE on topics app-by-customer-repartition, app-totals-changelog.")},
		"there already":      {grant.Namespace{Topics: 2, Partitions: 8}, map[string]int{"app-by-customer-repartition": 4, "app-totals-changelog": 4}, ""},
		"one there already":  {grant.Namespace{Topics: 2, Partitions: 8}, map[string]int{"app-totals-changelog": 4}, ""},
		"suspended":          {grant.Namespace{Topics: 2, Partitions: 8, Suspended: "by the test"}, nil, missing("app-by-customer-repartition; the application is suspended")},
		"suspended, there":   {grant.Namespace{Topics: 2, Partitions: 8, Suspended: "by the test"}, map[string]int{"app-by-customer-repartition": 4, "app-totals-changelog": 4}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreaming(t, tc.namespace)
			for n, p := range tc.there {
				s.sized.partitions[s.g.Prefix+n] = p
			}
			a := s.join("m", topology())
			if tc.want != "" {
				s.waits(a, missingInternalTopics, tc.want)
				if n := len(s.shared.owners); n > 0 {
					t.Errorf("room is still taken, by %d", n)
				}
				return
			}
			s.sent(a)
			s.sent(s.join("another", topology())) // of the same group: the same topics
		})
	}
}

func TestRoomThatStreamsDoNotUseIsGivenBack(t *testing.T) {
	s := newStreaming(t, grant.Namespace{Topics: 2, Partitions: 8})
	a := s.join("m", topology())
	s.sent(a)
	other := func() Action {
		s.connect()
		top := topology()
		top.Subtopologies[1].StateChangelogTopics[0].Topic = "other-changelog"
		return s.join("n", top)
	}
	s.waits(other(), missingInternalTopics, "Internal topics are missing: other-changelog; the application may own 2 topics and has no room for another")
	refused := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	refused.ErrorCode = kerr.GroupMaxSizeReached.Code
	if _, err := a.Response(refused); err != nil {
		t.Fatal(err)
	}
	s.sent(other())
}

func TestStreamsTopologiesThatNoGrantCanMend(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(first, second *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology)
		want *kerr.Error
	}{
		"a regular expression": {func(f, _ *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) { f.SourceTopicRegex = []string{".*"} }, kerr.InvalidRequest},
		"an internal source": {func(f, _ *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) {
			f.SourceTopics = []string{"__consumer_offsets"}
		}, kerr.StreamsInvalidTopology},
		"no name": {func(_, s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) {
			s.RepartitionSourceTopics[0].Topic = "a/b"
		}, kerr.StreamsInvalidTopology},
		"a name too long for the namespace": {func(_, s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) {
			s.StateChangelogTopics[0].Topic = strings.Repeat("a", grant.MaxTopicName-grant.PrefixLength+1)
		}, kerr.StreamsInvalidTopology},
		"a forbidden configuration": {func(_, s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) {
			s.StateChangelogTopics[0].Configs = []kmsg.TopicInfoConfig{{Key: "unclean.leader.election.enable", Value: "true"}}
		}, kerr.StreamsInvalidTopology},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreaming(t, roomy)
			top := topology()
			tc.edit(&top.Subtopologies[0], &top.Subtopologies[1])
			resp, ok := s.join("m", top).Answer.(*kmsg.StreamsGroupHeartbeatResponse)
			if !ok || resp.ErrorCode != tc.want.Code || resp.ErrorMessage == nil {
				t.Errorf("got %+v, want %v with a text", resp, tc.want)
			}
		})
	}
}

func TestLargeStreamsTopologies(t *testing.T) {
	// The costliest: each subtopology passes on to the one before it.
	chain := func(subtopologies, stores int) *kmsg.StreamsGroupHeartbeatRequestTopology {
		top := new(kmsg.StreamsGroupHeartbeatRequestTopology)
		for i := range subtopologies {
			s := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
			s.RepartitionSourceTopics, s.RepartitionSinkTopics = []kmsg.TopicInfo{{Topic: fmt.Sprint("r", i)}}, []string{fmt.Sprint("r", i-1)}
			for j := range stores {
				s.StateChangelogTopics = append(s.StateChangelogTopics, kmsg.TopicInfo{Topic: fmt.Sprintf("log-%d-%d", i, j)})
			}
			top.Subtopologies = append(top.Subtopologies, s)
		}
		top.Subtopologies[0].RepartitionSinkTopics = nil
		last := &top.Subtopologies[subtopologies-1]
		last.RepartitionSourceTopics, last.SourceTopics = nil, []string{"orders"}
		return top
	}
	s := newStreaming(t, grant.Namespace{Topics: maxTopologyTopics, Partitions: 4 * maxTopologyTopics})
	stores := maxTopologyTopics/maxSubtopologies - 2
	began := time.Now()
	s.sent(s.join("m", chain(maxSubtopologies, stores)))
	if took := time.Since(began); took > 30*time.Second { // a tenth of one, on a quiet machine
		t.Errorf("took %v", took)
	}
	var taken []int
	for _, o := range s.shared.owners {
		for _, r := range o.topics {
			taken = append(taken, r.size)
		}
	}
	if want := maxSubtopologies*(stores+1) - 1; len(taken) != want || slices.Min(taken) != 4 || slices.Max(taken) != 4 {
		t.Errorf("%d topics were taken with %d to %d partitions, want %d with 4", len(taken), slices.Min(taken), slices.Max(taken), want)
	}
	for name, top := range map[string]*kmsg.StreamsGroupHeartbeatRequestTopology{"subtopologies": chain(maxSubtopologies+1, 0), "topics": chain(10, maxTopologyTopics/10)} {
		if resp, ok := s.join("m", top).Answer.(*kmsg.StreamsGroupHeartbeatResponse); !ok || resp.ErrorCode != kerr.StreamsInvalidTopology.Code {
			t.Errorf("too many %s: got %+v", name, resp)
		}
	}
}

func TestAnInternalTopicIsNeverASubscribedOne(t *testing.T) {
	s := newStreaming(t, roomy)
	top := topology()
	top.Subtopologies[1].StateChangelogTopics[0].Topic = "orders" // would be created, were it gone
	s.waits(s.join("m", top), missingInternalTopics, "Internal topics are missing: orders; Unauthorized to CREATE on topics orders.")
	top = topology()
	top.Subtopologies[0].StateChangelogTopics = []kmsg.TopicInfo{{Topic: "orders"}} // its own source, which is not created
	if got := s.sent(s.join("m", top)).Topology.Subtopologies[0].StateChangelogTopics[0].Topic; got != "phys.orders" {
		t.Errorf("got %q", got)
	}
}

func TestPartitionsOfInternalTopics(t *testing.T) {
	type sub = kmsg.StreamsGroupHeartbeatRequestTopologySubtopology
	infos := func(names ...string) (out []kmsg.TopicInfo) {
		for _, n := range names {
			out = append(out, kmsg.TopicInfo{Topic: n})
		}
		return out
	}
	for name, tc := range map[string]struct {
		in   []sub
		want map[string]int
	}{
		"a changelog as its largest source": {[]sub{{SourceTopics: []string{"two", "five"}, StateChangelogTopics: infos("log")}}, map[string]int{"log": 5}},
		"through two repartitions, in any order": {[]sub{
			{RepartitionSourceTopics: infos("r2"), StateChangelogTopics: infos("log")},
			{RepartitionSourceTopics: infos("r1"), RepartitionSinkTopics: []string{"r2"}},
			{SourceTopics: []string{"five"}, RepartitionSinkTopics: []string{"r1"}},
		}, map[string]int{"r1": 5, "r2": 5, "log": 5}},
		"a repartition that says": {[]sub{
			{SourceTopics: []string{"five"}, RepartitionSinkTopics: []string{"r"}},
			{RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "r", NumPartitions: 7}}, StateChangelogTopics: infos("log")},
		}, map[string]int{"r": 7, "log": 7}},
		"together with a source": {[]sub{
			{SourceTopics: []string{"two"}, RepartitionSinkTopics: []string{"r"}},
			{SourceTopics: []string{"five"}, RepartitionSourceTopics: infos("r"), StateChangelogTopics: infos("log"),
				CopartitionGroups: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup{{SourceTopics: []int16{0, 9, -1}, RepartitionSourceTopics: []int16{0, 3}}}},
		}, map[string]int{"r": 5, "log": 5}},
		"a loop": {[]sub{
			{SourceTopics: []string{"two"}, RepartitionSourceTopics: infos("r2"), RepartitionSinkTopics: []string{"r1"}},
			{RepartitionSourceTopics: infos("r1"), RepartitionSinkTopics: []string{"r2"}},
		}, map[string]int{"r1": 2, "r2": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]int{"two": 2, "five": 5}
			decidePartitions(tc.in, got)
			delete(got, "two")
			delete(got, "five")
			if !maps.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTextsOfBrokersAboutTopologies(t *testing.T) {
	s := newStreaming(t, roomy)
	x := &Exchange{Grant: s.g, Now: s.now, Conn: s.conn}
	for in, want := range map[string]string{
		"": "",
		"Source topics phys.orders, " + s.g.Prefix + "mine are missing.":                                                "Source topics orders, mine are missing.",
		"Internal topics are missing: [" + s.g.Prefix + "a-changelog]":                                                  "Internal topics are missing: [a-changelog]",
		"Existing topic phys.orders has different number of partitions: expected 3, found 12":                           "Existing topic orders has different number of partitions: expected 3, found 12",
		"Following topics do not have the same number of partitions: [{phys.orders=4, phys.secret=3}]":                  "Following topics do not have the same number of partitions: [{orders=4, (…)=3}]",
		"The member's topology epoch 1 is behind the group's topology epoch 2.":                                         "The member's topology epoch 1 is behind the group's topology epoch 2.",
		"Assignment delayed due to the configured initial rebalance delay.":                                             "Assignment delayed due to the configured initial rebalance delay.",
		"Streams group member m-1 encountered a fatal error and requested a shutdown for the entire application.":       "Streams group member (…) encountered a fatal error and requested a shutdown for the entire application.",
		"Source topics phys.orders are missing: see broker-7.internal:9092, tzzzzzzzzzzzz.theirs, phys.orders.":         "Source topics orders are missing: (…) (…):9092, (…), orders.",
		"Number of partitions must be set for topic " + s.g.Prefix + "mine.":                                            "Number of partitions must be set for topic mine.",
		"Unauthorized to CREATE on topics " + s.g.Prefix + "b.; Creation failed: " + s.g.Prefix + "c (exists already).": "Unauthorized to CREATE on topics b.; Creation failed: c (exists already).",
	} {
		if got := x.exposeText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestStreamsGroupDescribe(t *testing.T) {
	s := newStreaming(t, roomy)
	own := func(name string) string { return s.g.Prefix + name }
	req := kmsg.NewPtrStreamsGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{"app"}, true
	a := s.serve(req)
	if got := a.Upstream.(*kmsg.StreamsGroupDescribeRequest).Groups; !slices.Equal(got, []string{own("app")}) {
		t.Errorf("asked for %v", got)
	}
	resp := kmsg.NewPtrStreamsGroupDescribeResponse()
	g := kmsg.NewStreamsGroupDescribeResponseGroup()
	g.Group, g.State, g.ErrorMessage = own("app"), "Stable", kmsg.StringPtr("about phys.orders")
	g.Topology = &kmsg.StreamsGroupDescribeResponseGroupTopology{Subtopologies: []kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology{{
		SubtopologyID: "0", SourceTopics: []string{"phys.orders", "phys.secret"}, RepartitionSinkTopics: []string{own("r"), "foreign"},
		StateChangelogTopics:    []kmsg.TopicInfo{{Topic: own("log")}, {Topic: "tzzzzzzzzzzzz.theirs"}},
		RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: own("r"), NumPartitions: 4}},
	}}}
	m := kmsg.NewStreamsGroupDescribeResponseGroupMember()
	m.MemberID, m.ClientID, m.ClientHost = "m", s.g.Application+"/client", "/10.0.0.1"
	m.UserEndpoint = &kmsg.StreamsGroupDescribeResponseGroupMemberUserEndpoint{Host: "their.own", Port: 80}
	g.Members = append(g.Members, m)
	resp.Groups = append(resp.Groups, g, kmsg.StreamsGroupDescribeResponseGroup{Group: "somebody-elses"})
	kr, err := a.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	groups := kr.(*kmsg.StreamsGroupDescribeResponse).Groups
	if len(groups) != 1 {
		t.Fatalf("got %d groups, want 1", len(groups))
	}
	got := groups[0]
	sub := got.Topology.Subtopologies[0]
	if got.Group != "app" || got.ErrorMessage != nil || got.AuthorizedOperations != groupOperations || got.Members[0].ClientID != "client" || got.Members[0].ClientHost != hiddenHost || got.Members[0].UserEndpoint.Host != "their.own" ||
		!slices.Equal(sub.SourceTopics, []string{"orders"}) || !slices.Equal(sub.RepartitionSinkTopics, []string{"r"}) || len(sub.StateChangelogTopics) != 1 || sub.StateChangelogTopics[0].Topic != "log" || sub.RepartitionSourceTopics[0].Topic != "r" {
		t.Errorf("got %+v", got)
	}
}

// A classic application of Kafka Streams makes its internal topics by itself.
func TestInternalTopicsOfClassicStreamsLieInTheNamespace(t *testing.T) {
	s := newStreaming(t, roomy)
	for _, name := range []string{"app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog", "app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition"} {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version = 7
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 4, -1
		// What Kafka Streams 4.3 sets.
		for k, v := range map[string]string{"cleanup.policy": "compact,delete", "message.timestamp.type": "CreateTime", "retention.ms": "86400000", "segment.bytes": "52428800"} {
			rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
		}
		req.Topics = append(req.Topics, rt)
		sent, ok := s.serve(req).Upstream.(*kmsg.CreateTopicsRequest)
		if !ok || sent.Topics[0].Topic != s.g.Prefix+name {
			t.Errorf("%s: sent %+v", name, sent)
		}
	}
}
