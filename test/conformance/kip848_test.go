package conformance

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// TestRegexIsKeptUpToDate: a member of a KIP-848 group that subscribed by a regular expression gets a topic that is
// granted later, or made by another client, and loses one that is taken away or deleted. It says nothing more itself: it
// looks at no metadata by itself for as long as the test runs, and names no topic.
func TestRegexIsKeptUpToDate(t *testing.T) {
	if strings.HasPrefix(apache.Version, "3.") {
		t.Skip("a preview there")
	}
	t.Parallel()
	have := map[string]string{"acme": ""}
	w := harness.Start(t, apache, harness.Spec{
		Apps: []harness.App{{Name: "acme", Namespace: [2]int{5, 20}}},
		Topics: []harness.Topic{
			{Exposed: "orders.a", Partitions: 2, Subscriptions: have}, {Exposed: "orders.b", Partitions: 2}, {Exposed: "orders.never"},
			{Exposed: "other", Subscriptions: have},
		},
	})
	w.WatchTopicIDs(100 * time.Millisecond)
	other := kadm.NewClient(w.Client("acme"))

	var mu sync.Mutex
	assigned := map[string]int{}
	change := func(by int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			for topic, partitions := range topics {
				if assigned[topic] += by * len(partitions); assigned[topic] == 0 {
					delete(assigned, topic)
				}
			}
		}
	}
	before := w.Clients.Requests()
	//lint:ignore SA1029 the key is kgo's
	next := context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)
	member := w.Client("acme", kgo.WithContext(next), kgo.ConsumerGroup("g"), kgo.ConsumeRegex(), kgo.ConsumeTopics(`^orders\.[a-z]+$`),
		kgo.MetadataMaxAge(time.Hour), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(change(1)), kgo.OnPartitionsRevoked(change(-1)), kgo.OnPartitionsLost(change(-1)))
	ctx, cancel := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	records := map[string]int{}
	polling.Go(func() {
		for ctx.Err() == nil {
			fetches := member.PollFetches(ctx)
			mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { records[r.Topic]++ })
			mu.Unlock()
		}
	})
	defer polling.Wait()
	defer cancel()
	await := func(what string, of map[string]int, want map[string]int) {
		t.Helper()
		deadline := time.Now().Add(40 * time.Second)
		for {
			mu.Lock()
			got := maps.Clone(of)
			mu.Unlock()
			if maps.Equal(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %v, want %v", what, got, want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	await("assigned at first", assigned, map[string]int{"orders.a": 2})

	w.Change(func(s *harness.Spec) { s.Topic("orders.b").Subscriptions = have })
	if _, err := other.CreateTopic(t.Context(), 3, 1, nil, "orders.own"); err != nil {
		t.Fatal(err)
	}
	await("assigned once there are more", assigned, map[string]int{"orders.a": 2, "orders.b": 2, "orders.own": 3})
	for _, topic := range []string{"orders.a", "orders.b"} {
		if err := w.Feed(topic, "f", 0, 3); err != nil {
			t.Fatal(err)
		}
	}
	await("read", records, map[string]int{"orders.a": 3, "orders.b": 3})

	w.Change(func(s *harness.Spec) { s.Topic("orders.a").Subscriptions = map[string]string{"acme": "state: closed"} })
	if _, err := other.DeleteTopic(t.Context(), "orders.own"); err != nil {
		t.Fatal(err)
	}
	await("assigned once some are gone", assigned, map[string]int{"orders.b": 2})

	used := w.Clients.Requests()
	if joins := used[11] - before[11]; used[68] == before[68] || joins > 0 {
		t.Errorf("%d heartbeats of KIP-848 and %d joins of a classic group", used[68]-before[68], joins)
	}
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{w.Prefix("acme") + "g"}
	described, err := describe.RequestWith(t.Context(), w.Direct())
	if err != nil || len(described.Groups) != 1 || len(described.Groups[0].Members) != 1 {
		t.Fatalf("%v, %+v", err, described)
	}
	m := described.Groups[0].Members[0]
	if want := []string{w.Backing("orders.b")}; !slices.Equal(m.SubscribedTopics, want) || m.SubscribedTopicRegex != nil && *m.SubscribedTopicRegex != "" {
		t.Errorf("the broker knows of topics %s and a regular expression %v, want %s and none", m.SubscribedTopics, m.SubscribedTopicRegex, want)
	}
}
