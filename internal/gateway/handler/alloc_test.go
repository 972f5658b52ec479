package handler

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// grantedBesides is a grant of topics a and b and as many more.
func grantedBesides(t testing.TB, more int) *grant.Grant {
	return granted(t, func(g *grant.Grant) {
		for i := range more {
			g.Topics = append(g.Topics, &grant.Topic{Exposed: fmt.Sprintf("x%05d", i), Backing: fmt.Sprintf("y%05d", i), ID: grant.TopicID{1, byte(i), byte(i >> 8)},
				Read: grant.Right{Access: grant.Granted}, Write: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
		}
	})
}

func produceBody(g *grant.Grant, version int16, txn *string, topics ...string) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TransactionID = version, -1, txn
	for _, name := range topics {
		rt := kmsg.NewProduceRequestTopic()
		if version >= 13 {
			rt.TopicID = g.Topic(name).ID
		} else {
			rt.Topic = name
		}
		for p := range int32(3) {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = p, bytes.Repeat([]byte{1}, 1<<10)
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req.AppendTo(nil)
}

func produceAnswer(g *grant.Grant, version int16, topics ...string) []byte {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = version
	for _, name := range topics {
		rt := kmsg.NewProduceResponseTopic()
		if backing := g.Topic(name).Backing; version >= 13 {
			rt.TopicID = idOf(backing)
		} else {
			rt.Topic = backing
		}
		for p := range int32(3) {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp.AppendTo(nil)
}

func fetchRequest(g *grant.Grant, version int16, topics ...string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionEpoch = version, -1
	for _, name := range topics {
		rt := kmsg.NewFetchRequestTopic()
		if version >= 13 {
			rt.TopicID = g.Topic(name).ID
		} else {
			rt.Topic = name
		}
		for p := range int32(3) {
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.Partition = p
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func fetchAnswer(g *grant.Grant, version int16, topics ...string) []byte {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	for _, name := range topics {
		rt := kmsg.NewFetchResponseTopic()
		if backing := g.Topic(name).Backing; version >= 13 {
			rt.TopicID = idOf(backing)
		} else {
			rt.Topic = backing
		}
		for p := range int32(3) {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.RecordBatches = p, bytes.Repeat([]byte{1}, 1<<10)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp.AppendTo(nil)
}

// What a request of the hot path may allocate in its handler. The bounds are what
// it does today: whoever saves an allocation lowers one, whoever needs one more
// says why.
// They hold for a grant of two topics as for one of ten thousand.
func TestAllocationsOfTheHotPath(t *testing.T) {
	const (
		// The memory of the request, and two functions for its answer.
		produceRequest = 3
		// Lists of what is awaited and of patches, which are part of that memory
		// for one topic only.
		twoTopics = 2
		// A list for a second patch.
		transaction = 1
		// Nothing of its own: it lies in the memory of the request.
		producedAnswer = 0
		// Lists of topics to forward and of what is awaited, the state of the
		// request, and functions for the answer.
		fetchRequestAllocs = 7
		// What lies where in the answer, and patches.
		fetchedAnswer = 2
	)
	check := func(t *testing.T, what string, want float64, f func()) {
		t.Helper()
		if raced {
			want *= 2
		}
		got := testing.AllocsPerRun(100, f)
		for n := 0; n < 4 && got > want; n++ { // the best: the collector of garbage empties pools between
			got = min(got, testing.AllocsPerRun(100, f))
		}
		if got > want {
			t.Errorf("%s: %v allocations, at most %v are let in", what, got, want)
		}
	}
	for _, more := range []int{0, 10_000} {
		g := grantedBesides(t, more)
		for _, version := range []int16{9, 12, 13} {
			x := exchange(g, 0, version)
			serve := func(body []byte) Action {
				action, ok, err := Lookup(0).ServeFast(x, body)
				if !ok || err != nil {
					t.Fatalf("not served fast: %v", err)
				}
				return action
			}
			name := fmt.Sprintf("%d topics granted, version %d: ", more+2, version)
			one, two, inTransaction := produceBody(g, version, nil, "a"), produceBody(g, version, nil, "a", "b"), produceBody(g, version, kmsg.StringPtr("tx"), "a")
			check(t, name+"produce", produceRequest, func() { serve(one) })
			check(t, name+"produce to two topics", produceRequest+twoTopics, func() { serve(two) })
			check(t, name+"produce in a transaction", produceRequest+transaction, func() { serve(inTransaction) })
			action, answer := serve(one), produceAnswer(g, version, "a")
			check(t, name+"answer to produce", producedAnswer, func() {
				if _, ok := action.RawResponse(answer); !ok {
					t.Fatal("not answered fast")
				}
			})
		}
		for _, version := range []int16{11, 12, 13, 17} {
			x := exchange(g, 1, version)
			name := fmt.Sprintf("%d topics granted, version %d: ", more+2, version)
			req := fetchRequest(g, version, "a")
			topics := req.Topics[0]
			serve := func() Action {
				req.Topics = append(req.Topics[:0], topics)
				action, err := Lookup(1).Serve(x, req)
				if err != nil {
					t.Fatal(err)
				}
				return action
			}
			check(t, name+"fetch", fetchRequestAllocs, func() { serve() })
			action, answer := serve(), fetchAnswer(g, version, "a")
			check(t, name+"answer to fetch", fetchedAnswer, func() {
				if _, ok := action.RawResponse(answer); !ok {
					t.Fatal("not answered fast")
				}
			})
		}
	}
}
