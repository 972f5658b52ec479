package programs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

const (
	repartition = "app-by-customer-repartition"
	changelog   = "app-totals-changelog"

	missingSources  = 1 // statuses of a member
	missingInternal = 3
)

// member is a member of the streams group "app", spoken by hand.
type member struct {
	t     *testing.T
	cl    *kgo.Client
	group string
	id    string
	epoch int32
	host  string // of its own endpoint; "" for none
}

// join sends a topology that reads sources, has a repartition topic and a state store.
func (m *member) join(sources ...string) *kmsg.StreamsGroupHeartbeatResponse {
	m.t.Helper()
	first, second := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology(), kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	first.SubtopologyID, first.SourceTopics, first.RepartitionSinkTopics = "0", sources, []string{repartition}
	second.SubtopologyID = "1"
	second.RepartitionSourceTopics = []kmsg.TopicInfo{{Topic: repartition}}
	second.StateChangelogTopics = []kmsg.TopicInfo{{Topic: changelog, Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}}
	req := m.request()
	req.MemberEpoch, req.RebalanceTimeoutMillis = 0, 10_000
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	req.ClientTags = []kmsg.StreamsGroupHeartbeatRequestClientTag{}
	process := "process-" + m.id
	req.ProcessID = &process
	if m.host != "" {
		req.UserEndpoint = &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: m.host, Port: 8080}
	}
	req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{first, second}}
	return m.send(req)
}

func (m *member) request() *kmsg.StreamsGroupHeartbeatRequest {
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, m.id, m.epoch
	return req
}

// send sends a heartbeat, again while the coordinator is not ready.
func (m *member) send(req *kmsg.StreamsGroupHeartbeatRequest) *kmsg.StreamsGroupHeartbeatResponse {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	for {
		answer, err := m.cl.Broker(1).RetriableRequest(ctx, req)
		if err != nil {
			m.t.Fatal(err)
		}
		resp := answer.(*kmsg.StreamsGroupHeartbeatResponse)
		switch kerr.ErrorForCode(resp.ErrorCode) {
		case kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator:
			find := kmsg.NewPtrFindCoordinatorRequest() // which makes the topic of offsets
			find.CoordinatorKey, find.CoordinatorKeys = m.group, []string{m.group}
			if _, err := m.cl.Broker(1).RetriableRequest(ctx, find); err != nil {
				m.t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			continue
		case nil:
			m.epoch = resp.MemberEpoch
		}
		return resp
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// dropped is how many foreign names the gateway left out.
func dropped(t *testing.T, w *harness.World) (n float64) {
	t.Helper()
	families, err := w.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "sluice_gateway_foreign_names_dropped_total" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestStreamsGroups speaks the heartbeats of KIP-1071 by hand: what the gateway makes of topologies, against what the
// broker makes of them.
func TestStreamsGroups(t *testing.T) {
	kafka, early := apache, strings.HasPrefix(apache.Version, "4.1.") // early access
	switch {
	case strings.HasPrefix(apache.Version, "3."):
		t.Skipf("Apache Kafka %s has no streams groups", apache.Version)
	case early:
		kafka = kafkatest.Start(t, kafkatest.Options{Version: apache.Version, LoopbackHosts: true, Features: map[string]int16{"streams.version": 1}, Settings: map[string]string{
			"unstable.api.versions.enable": "true", "unstable.feature.versions.enable": "true", "group.coordinator.rebalance.protocols": "classic,consumer,streams",
		}})
	}
	const partitions = 3
	w := harness.Start(t, kafka, harness.Spec{
		Topics: []harness.Topic{
			{Exposed: "orders", Contract: "read", Partitions: partitions, Subscriptions: map[string]string{"acme": "", "poor": "", "none": ""}},
			{Exposed: "secret", Partitions: partitions, Subscriptions: map[string]string{"other": ""}},
		},
		Apps: []harness.App{{Name: "acme", Namespace: [2]int{2, 2 * partitions}}, {Name: "poor", Namespace: [2]int{2, 2*partitions - 1}}, {Name: "none"}, {Name: "other"}},
	})
	of := func(t *testing.T, app, id string) *member {
		return &member{t: t, cl: w.Client(app, kgo.ClientID("streams")), group: "app", id: id}
	}
	admin := kadm.NewClient(w.Direct())
	created := func(app string) map[string]int {
		t.Helper()
		topics, err := admin.ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int{}
		for name, topic := range topics {
			if rest, ok := strings.CutPrefix(name, w.Prefix(app)); ok {
				out[rest] = len(topic.Partitions)
			}
		}
		return out
	}

	t.Run("runs", func(t *testing.T) {
		m := of(t, "acme", "one")
		m.host = "127.0.0.1" // which no test takes for a broker's
		resp := m.join("orders")
		deadline := time.Now().Add(60 * time.Second)
		var active []kmsg.TaskIDs
		var endpoints []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint
		for tasks := 0; ; {
			if resp.ErrorCode != 0 {
				t.Fatalf("heartbeat: %v %s", kerr.ErrorForCode(resp.ErrorCode), text(resp.ErrorMessage))
			}
			if resp.ActiveTasks != nil {
				active, tasks = resp.ActiveTasks, 0
				for _, a := range active {
					tasks += len(a.Partitions)
				}
			}
			if resp.PartitionsByUserEndpoint != nil {
				endpoints = resp.PartitionsByUserEndpoint
			}
			// 4.1 tells of endpoints while there are no tasks yet, if it comes to that, and never again.
			if tasks == 2*partitions && (early || len(endpoints) == 1 && len(endpoints[0].ActivePartitions) == 2) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("tasks %v, endpoints %+v, last answer %+v", active, endpoints, resp)
			}
			time.Sleep(100 * time.Millisecond)
			req := m.request()
			req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = active, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
			resp = m.send(req)
		}
		for _, e := range endpoints {
			var names []string
			for _, p := range e.ActivePartitions {
				names = append(names, p.Topic)
			}
			slices.Sort(names)
			if e.UserEndpoint.Host != m.host || !slices.Equal(names, []string{repartition, "orders"}) && !(early && len(names) == 0) {
				t.Errorf("endpoints: got %+v", endpoints)
			}
		}
		if n := dropped(t, w); n > 0 {
			t.Errorf("%v names were dropped from the broker's answers", n)
		}
		// The broker gave them as many partitions as the namespace was asked for.
		if got := created("acme"); fmt.Sprint(got) != fmt.Sprint(map[string]int{repartition: partitions, changelog: partitions}) {
			t.Errorf("internal topics: got %v", got)
		}

		describe := kmsg.NewPtrStreamsGroupDescribeRequest()
		describe.Groups = []string{"app"}
		answer, err := m.cl.Broker(1).RetriableRequest(t.Context(), describe)
		if err != nil {
			t.Fatal(err)
		}
		g := answer.(*kmsg.StreamsGroupDescribeResponse).Groups[0]
		if g.ErrorCode != 0 || g.Group != "app" || len(g.Members) != 1 || g.Members[0].ClientID != "streams" || g.Members[0].ClientHost != "/0.0.0.0" || g.Topology == nil {
			t.Fatalf("described: got %+v", g)
		}
		for _, s := range g.Topology.Subtopologies {
			switch s.SubtopologyID {
			case "0":
				if !slices.Equal(s.SourceTopics, []string{"orders"}) || !slices.Equal(s.RepartitionSinkTopics, []string{repartition}) {
					t.Errorf("subtopology 0: got %+v", s)
				}
			case "1":
				if s.RepartitionSourceTopics[0].Topic != repartition || s.StateChangelogTopics[0].Topic != changelog {
					t.Errorf("subtopology 1: got %+v", s)
				}
			}
		}

		two := of(t, "acme", "two")
		if resp := two.join("orders", "orders"); resp.ErrorCode != kerr.InvalidRequest.Code { // another topology
			t.Errorf("another topology: got %v", kerr.ErrorForCode(resp.ErrorCode))
		}
		if resp := two.join("orders"); resp.ErrorCode != 0 {
			t.Errorf("a second member: got %v", kerr.ErrorForCode(resp.ErrorCode))
		}
		for _, m := range []*member{m, two} {
			m.epoch = -1
			if resp := m.send(m.request()); resp.ErrorCode != 0 || resp.MemberEpoch != -1 {
				t.Errorf("leaving: got %+v", resp)
			}
		}
	})

	// What waits in the gateway looks like what waits in a broker.
	status := func(t *testing.T, m *member, code int8, sources ...string) string {
		t.Helper()
		resp := m.join(sources...)
		if resp.ErrorCode != 0 || resp.MemberEpoch < 1 || len(resp.ActiveTasks) > 0 || len(resp.Status) != 1 || resp.Status[0].StatusCode != code {
			t.Fatalf("got %+v, want status %d", resp, code)
		}
		for range 2 {
			again := m.send(m.request())
			if again.ErrorCode != 0 || len(again.Status) != 1 || again.Status[0].StatusDetail != resp.Status[0].StatusDetail {
				t.Errorf("then: got %+v, want the same status", again)
			}
		}
		m.epoch = -1
		if resp := m.send(m.request()); resp.ErrorCode != 0 || resp.MemberEpoch != -1 {
			t.Errorf("leaving: got %+v", resp)
		}
		return resp.Status[0].StatusDetail
	}
	t.Run("missing source topics", func(t *testing.T) {
		nosuch := "nosuch" + harness.Random()
		direct := &member{t: t, cl: w.Direct(), group: "direct" + harness.Random(), id: "m"}
		want := strings.ReplaceAll(status(t, direct, missingSources, nosuch), nosuch, "NAME")
		for _, name := range []string{nosuch, "secret"} {
			if got := strings.ReplaceAll(status(t, of(t, "none", "m"+name), missingSources, name), name, "NAME"); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
	t.Run("no room", func(t *testing.T) {
		for app, want := range map[string]string{"poor": "has room for 2 more", "none": "Unauthorized to CREATE on topics " + repartition} {
			if got := status(t, of(t, app, "m"), missingInternal, "orders"); !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q in it", app, got, want)
			}
			if got := created(app); len(got) > 0 {
				t.Errorf("%s: %v were created", app, got)
			}
		}
	})
}
