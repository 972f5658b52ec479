package handler

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// leafing is a broker that describes topics in pages as Kafka does: so many
// partitions each, by name.
type leafing struct {
	partitions map[string]int
	limit      int // max.request.partition.size.limit
}

func (b leafing) describe(req *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for n := range b.partitions {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	room := max(min(b.limit, int(req.ResponsePartitionLimit)), 1)
	for _, name := range slices.Compact(names) {
		from := 0
		if c := req.Cursor; c != nil {
			if name < c.Topic {
				continue
			}
			if name == c.Topic {
				from = int(c.Partition)
			}
		}
		next := func(p int) {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(p)}
		}
		if room == 0 {
			next(0)
			break
		}
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic = &name
		n, ok := b.partitions[name]
		if !ok {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
		for p := from; p < n && room > 0; p++ {
			t.Partitions = append(t.Partitions, kmsg.DescribeTopicPartitionsResponseTopicPartition{Partition: int32(p), LeaderID: 1})
			from, room = p+1, room-1
		}
		resp.Topics = append(resp.Topics, t)
		if from < n {
			next(from)
			break
		}
	}
	return resp
}

// pageText is a page in words: "topic/partition …", "topic=error", and where
// the next begins.
func pageText(resp *kmsg.DescribeTopicPartitionsResponse) string {
	var b strings.Builder
	for _, t := range resp.Topics {
		fmt.Fprintf(&b, "%s", *t.Topic)
		if t.ErrorCode != 0 {
			fmt.Fprintf(&b, "=%d", t.ErrorCode)
		}
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, "/%d", p.Partition)
		}
		b.WriteString(" ")
	}
	if c := resp.NextCursor; c != nil {
		fmt.Fprintf(&b, "-> %s/%d", c.Topic, c.Partition)
	}
	return strings.TrimSpace(b.String())
}

func describeRequest(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = limit, cursor
	for _, n := range names {
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = n
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// describedBy serves a request and has a broker answer it.
func describedBy(t testing.TB, serve func(kmsg.Request) Action, broker leafing, req *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
	t.Helper()
	action := serve(req)
	if action.Upstream == nil {
		return action.Answer.(*kmsg.DescribeTopicPartitionsResponse)
	}
	up := action.Upstream.(*kmsg.DescribeTopicPartitionsRequest)
	if c := up.Cursor; c != nil && !slices.ContainsFunc(up.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == c.Topic }) {
		t.Fatalf("the broker would refuse the cursor %+v", *c)
	}
	if len(up.Topics) == 0 {
		t.Fatal("the broker is asked for all topics")
	}
	resp, err := action.Response(broker.describe(up))
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.DescribeTopicPartitionsResponse)
}

func TestTopicsAreDescribedInPagesByExposedName(t *testing.T) {
	open := []grant.Phase{{State: grant.Open}}
	read := grant.Right{Access: grant.Granted}
	g := granted(t, func(g *grant.Grant) { // a is phys.a and b is phys.b
		g.Namespace = grant.Namespace{Topics: 9, Partitions: 9}
		g.Topics = append(g.Topics,
			&grant.Topic{Exposed: "c", Backing: "aaa", ID: grant.TopicID{3}, Read: read, Phases: open},
			&grant.Topic{Exposed: "d", Backing: "phys.d", ID: grant.TopicID{4}, Read: read, Phases: []grant.Phase{{State: grant.Ended}}},
			&grant.Topic{Exposed: "e", Backing: "phys.e", ID: grant.TopicID{5}, Read: read, Phases: []grant.Phase{{State: grant.Refused}}})
	})
	mine, secret := g.Prefix+"b.mine", "tzzzzzzzzzzzz.secret"
	cluster := still{"phys.a": {1}, "phys.b": {2}, "aaa": {3}, "phys.d": {4}, "phys.e": {5}, mine: {6}, secret: {7}, g.Prefix + "e": {8}}
	broker := leafing{map[string]int{"phys.a": 3, "phys.b": 1, "aaa": 2, "phys.d": 1, "phys.e": 1, mine: 1, secret: 1, g.Prefix + "e": 1}, 2000}
	at := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
	}
	for _, tc := range []struct {
		name string
		req  *kmsg.DescribeTopicPartitionsRequest
		want string
	}{
		{"all, without one that ended or is hidden", describeRequest(2000, nil), "a/0/1/2 b/0 b.mine/0 c/0/1"},
		{"a page ends within a topic", describeRequest(2, nil), "a/0/1 -> a/2"},
		{"a page ends with a topic", describeRequest(4, nil), "a/0/1/2 b/0 -> b.mine/0"},
		{"a page ends within the last topic", describeRequest(6, nil), "a/0/1/2 b/0 b.mine/0 c/0 -> c/1"},
		{"a limit below one", describeRequest(-5, nil), "a/0 -> a/1"},
		{"from within a topic, as far as the broker has them in order", describeRequest(2000, at("a", 1)), "a/1/2 b/0 b.mine/0 -> c/0"},
		{"from a topic that is not there", describeRequest(2000, at("b.", 7)), "b.mine/0 -> c/0"},
		{"from a partition that is not there", describeRequest(2000, at("b", 9)), "b b.mine/0 -> c/0"},
		{"from behind the last", describeRequest(2000, at("x", 0)), ""},
		{"named, twice and in no order", describeRequest(2000, nil, "c", "a", "c"), "a/0/1/2 c/0/1"},
		{"named, ended and hidden", describeRequest(2000, nil, "d", "e", "__x"), "d/0 __x=29 e=29"},
		{"named, own one that is not there", describeRequest(1, nil, "a1", "a2", "b"), "a1=3 a2=3 b/0"},
		{"named, refused ones only", describeRequest(2000, nil, "x/y", "e"), "e=29 x/y=29"},
		{"named, refused before and behind the page", describeRequest(1, nil, "a", "e", "__x"), "a/0 __x=29 -> a/1"},
		{"a negative partition", describeRequest(2000, at("a", -1), "a", "b"), "a=42 b=42"},
		{"a cursor that is not named", describeRequest(2000, at("a", 0), "b"), "b=42"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := describedBy(t, exchanger(g, cluster, new(bytes.Buffer)), broker, tc.req)
			if pageText(got) != tc.want {
				t.Errorf("got %q, want %q", pageText(got), tc.want)
			}
		})
	}

	t.Run("ids and operations", func(t *testing.T) {
		serve := exchanger(g, cluster, new(bytes.Buffer))
		action := serve(describeRequest(2000, nil, "a", "c", "b.mine", "x/y"))
		resp := broker.describe(action.Upstream.(*kmsg.DescribeTopicPartitionsRequest))
		for i := range resp.Topics {
			resp.Topics[i].TopicID, resp.Topics[i].AuthorizedOperations = cluster[*resp.Topics[i].Topic], 0x7fff
		}
		resp.Topics = append(resp.Topics, kmsg.DescribeTopicPartitionsResponseTopic{Topic: &secret, TopicID: cluster[secret]})
		got, err := action.Response(resp)
		if err != nil {
			t.Fatal(err)
		}
		type entry struct {
			name string
			id   grant.TopicID
			ops  int32
		}
		var entries []entry
		for _, e := range got.(*kmsg.DescribeTopicPartitionsResponse).Topics {
			entries = append(entries, entry{*e.Topic, e.TopicID, e.AuthorizedOperations})
		}
		want := []entry{
			{"a", g.Topic("a").ID, opRead | opWrite | opDescribe | opDescribeConfigs},
			{"b.mine", g.VirtualID(cluster[mine]), opRead | opWrite | opCreate | opDelete | opAlter | opDescribe | opDescribeConfigs | opAlterConfigs},
			{"c", grant.TopicID{3}, opRead | opDescribe | opDescribeConfigs},
			{"x/y", grant.TopicID{}, authorizedUnknown},
		}
		if !reflect.DeepEqual(entries, want) {
			t.Errorf("got  %+v\nwant %+v", entries, want)
		}
	})
}

// Whatever the names, counts, limits and cuts, leafing shows each partition of
// each topic once, in order, and every page is bounded. Where mapping keeps the
// order, pages are the broker's own.
func FuzzDescribedPages(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint8(seed%7), uint16(seed*3), uint16(100+seed*50), seed%3 == 0)
	}
	f.Add(uint64(1), uint8(200), uint16(7), uint16(1), false) // a broker that gives one partition at a time
	f.Add(uint64(2), uint8(255), uint16(2000), uint16(300), false)
	f.Add(uint64(3), uint8(0), uint16(0), uint16(0), true)
	f.Fuzz(func(t *testing.T, seed uint64, count uint8, limit, brokerLimit uint16, ordered bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		broker := leafing{map[string]int{"between": 9}, max(1, int(brokerLimit))}
		cluster := still{}
		order := random.Perm(int(count))
		if ordered {
			slices.Sort(order)
		}
		want := map[string]int{}
		var names []string
		g := granted(t, func(g *grant.Grant) {
			g.Topics = nil
			for i, at := range order {
				exposed, backing := fmt.Sprintf("x%03d", i), fmt.Sprintf("b%03d", at)
				g.Topics = append(g.Topics, &grant.Topic{Exposed: exposed, Backing: backing, ID: grant.TopicID{1, byte(i)}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
				n := 1 + random.IntN(5)
				if random.IntN(20) == 0 {
					n = 1 + random.IntN(200)
				}
				broker.partitions[backing], want[exposed], cluster[backing] = n, n, [16]byte{2, byte(i)}
				names = append(names, exposed)
			}
			random.Shuffle(len(g.Topics), func(i, j int) { g.Topics[i], g.Topics[j] = g.Topics[j], g.Topics[i] })
		})
		if random.IntN(2) == 0 {
			names = nil
		}
		serve := exchanger(g, cluster, new(bytes.Buffer))
		got := map[string]int{}
		var cursor *kmsg.DescribeTopicPartitionsRequestCursor
		empty := 0
		for {
			resp := describedBy(t, serve, broker, describeRequest(int32(limit), cursor, names...))
			partitions := 0
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					if int(p.Partition) != got[*rt.Topic] {
						t.Fatalf("partition %d of %s follows %d", p.Partition, *rt.Topic, got[*rt.Topic]-1)
					}
					got[*rt.Topic]++
					partitions++
				}
			}
			if partitions > max(1, int(limit)) || partitions > pagePartitions {
				t.Fatalf("a page has %d partitions, the limit is %d", partitions, limit)
			}
			if ordered && cursor == nil && len(want) > 0 { // as the broker itself
				req := describeRequest(int32(limit), nil)
				for _, name := range g.Topics {
					req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name.Backing})
				}
				if own := strings.ReplaceAll(pageText(broker.describe(req)), "b", "x"); own != pageText(resp) && min(int(limit), int(brokerLimit)) <= pagePartitions {
					t.Fatalf("a page is %q, the broker's own %q", pageText(resp), own)
				}
			}
			if resp.NextCursor == nil {
				break
			}
			if partitions == 0 {
				if empty++; empty > 1 || cursor != nil {
					t.Fatalf("a page after a cursor is empty: %s", pageText(resp))
				}
			}
			cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("leafing shows %v, want %v", got, want)
		}
	})
}
