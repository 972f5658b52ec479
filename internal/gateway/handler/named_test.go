package handler

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// topicCall is a Kafka API that names topics by name: how to ask it about
// partition 3 of topics, which names a request has, how a broker answers it,
// and what an answer says.
type topicCall struct {
	name    string
	ask     func(topics []string) kmsg.Request
	asked   func(kmsg.Request) []string
	answer  func(topics ...string) kmsg.Response
	says    func(kmsg.Response) []string // "topic/partition=error"
	send    sendRule
	refused *kerr.Error
}

func topicCalls() []topicCall {
	const partition = 3
	said := func(topic string, partition int32, code int16) string {
		return fmt.Sprintf("%s/%d=%d", topic, partition, code)
	}
	return []topicCall{
		{"ListOffsets", func(topics []string) kmsg.Request {
			req := kmsg.NewPtrListOffsetsRequest()
			req.Version = 10
			for _, name := range topics {
				t, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
			}
			return req
		}, func(r kmsg.Request) (names []string) {
			for _, t := range r.(*kmsg.ListOffsetsRequest).Topics {
				names = append(names, t.Topic)
			}
			return names
		}, func(topics ...string) kmsg.Response {
			resp := kmsg.NewPtrListOffsetsResponse()
			for _, name := range topics {
				t, p := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				resp.Topics = append(resp.Topics, t)
			}
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, t := range r.(*kmsg.ListOffsetsResponse).Topics {
				for _, p := range t.Partitions {
					out = append(out, said(t.Topic, p.Partition, p.ErrorCode))
				}
			}
			return out
		}, ifTopics, kerr.TopicAuthorizationFailed},
		{"OffsetForLeaderEpoch", func(topics []string) kmsg.Request {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Version = 4
			for _, name := range topics {
				t, p := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
			}
			return req
		}, func(r kmsg.Request) (names []string) {
			for _, t := range r.(*kmsg.OffsetForLeaderEpochRequest).Topics {
				names = append(names, t.Topic)
			}
			return names
		}, func(topics ...string) kmsg.Response {
			resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
			for _, name := range topics {
				t, p := kmsg.NewOffsetForLeaderEpochResponseTopic(), kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				resp.Topics = append(resp.Topics, t)
			}
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, t := range r.(*kmsg.OffsetForLeaderEpochResponse).Topics {
				for _, p := range t.Partitions {
					out = append(out, said(t.Topic, p.Partition, p.ErrorCode))
				}
			}
			return out
		}, ifTopics, kerr.TopicAuthorizationFailed},
		{"OffsetDelete", func(topics []string) kmsg.Request {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group = "g"
			for _, name := range topics {
				t, p := kmsg.NewOffsetDeleteRequestTopic(), kmsg.NewOffsetDeleteRequestTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
			}
			return req
		}, func(r kmsg.Request) (names []string) {
			for _, t := range r.(*kmsg.OffsetDeleteRequest).Topics {
				names = append(names, t.Topic)
			}
			return names
		}, func(topics ...string) kmsg.Response {
			resp := kmsg.NewPtrOffsetDeleteResponse()
			for _, name := range topics {
				t, p := kmsg.NewOffsetDeleteResponseTopic(), kmsg.NewOffsetDeleteResponseTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				resp.Topics = append(resp.Topics, t)
			}
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, t := range r.(*kmsg.OffsetDeleteResponse).Topics {
				for _, p := range t.Partitions {
					out = append(out, said(t.Topic, p.Partition, p.ErrorCode))
				}
			}
			return out
		}, ifEmpty, kerr.TopicAuthorizationFailed},
		{"TxnOffsetCommit", func(topics []string) kmsg.Request {
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.Version, req.Group, req.TransactionalID = 5, "g", "x"
			for _, name := range topics {
				t, p := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
			}
			return req
		}, func(r kmsg.Request) (names []string) {
			for _, t := range r.(*kmsg.TxnOffsetCommitRequest).Topics {
				names = append(names, t.Topic)
			}
			return names
		}, func(topics ...string) kmsg.Response {
			resp := kmsg.NewPtrTxnOffsetCommitResponse()
			for _, name := range topics {
				t, p := kmsg.NewTxnOffsetCommitResponseTopic(), kmsg.NewTxnOffsetCommitResponseTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				resp.Topics = append(resp.Topics, t)
			}
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, t := range r.(*kmsg.TxnOffsetCommitResponse).Topics {
				for _, p := range t.Partitions {
					out = append(out, said(t.Topic, p.Partition, p.ErrorCode))
				}
			}
			return out
		}, ifEmpty, kerr.TopicAuthorizationFailed},
		{"OffsetFetch of one group", func(topics []string) kmsg.Request {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Version, req.Group, req.Topics = 7, "g", []kmsg.OffsetFetchRequestTopic{}
			for _, name := range topics {
				t := kmsg.NewOffsetFetchRequestTopic()
				t.Topic, t.Partitions = name, []int32{partition}
				req.Topics = append(req.Topics, t)
			}
			return req
		}, func(r kmsg.Request) (names []string) {
			for _, t := range r.(*kmsg.OffsetFetchRequest).Topics {
				names = append(names, t.Topic)
			}
			if r.(*kmsg.OffsetFetchRequest).Topics == nil {
				return []string{"all topics"}
			}
			return names
		}, func(topics ...string) kmsg.Response {
			resp := kmsg.NewPtrOffsetFetchResponse()
			for _, name := range topics {
				t, p := kmsg.NewOffsetFetchResponseTopic(), kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition = partition
				t.Topic, t.Partitions = name, append(t.Partitions, p)
				resp.Topics = append(resp.Topics, t)
			}
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, t := range r.(*kmsg.OffsetFetchResponse).Topics {
				for _, p := range t.Partitions {
					out = append(out, said(t.Topic, p.Partition, p.ErrorCode))
				}
			}
			return out
		}, always, kerr.TopicAuthorizationFailed},
	}
}

// TestTopicsByName asks each of the Kafka APIs that name topics by name only
// about topics that are allowed, refused, ended and the application's own.
func TestTopicsByName(t *testing.T) {
	for _, call := range topicCalls() {
		g := granted(t, func(g *grant.Grant) {
			g.Namespace = grant.Namespace{Topics: 1, Partitions: 1}
			g.Topics = append(g.Topics, &grant.Topic{Exposed: "gone", Backing: "phys.gone", ID: grant.TopicID{7}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Ended}}})
		})
		own := g.Prefix + "mine"
		no := fmt.Sprintf("/3=%d", call.refused.Code)
		for _, tc := range []struct {
			name         string
			ask, sent    []string
			answer, want []string
		}{
			{"allowed, in another order", []string{"b", "a"}, []string{"phys.b", "phys.a"}, []string{"phys.a", "phys.b"}, []string{"b/3=0", "a/3=0"}},
			{"one between two that are refused", []string{"__x", "a", "a/b"}, []string{"phys.a"}, []string{"phys.a"}, []string{"__x" + no, "a/3=0", "a/b" + no}},
			{"one that ended and one of its own", []string{"gone", "mine"}, []string{"phys.gone", own}, []string{own, "phys.gone"}, []string{"gone/3=0", "mine/3=0"}},
			{"twice the same", []string{"a", "a"}, []string{"phys.a", "phys.a"}, []string{"phys.a", "phys.a"}, []string{"a/3=0", "a/3=0"}},
			{"foreign topics in the answer", []string{"a"}, []string{"phys.a"}, []string{"phys.secret", "phys.a", "phys.b"}, []string{"a/3=0"}},
			{"one without an answer", []string{"a", "b"}, []string{"phys.a", "phys.b"}, []string{"phys.b"}, []string{"b/3=0"}},
			{"all refused", []string{"", "__offsets"}, nil, nil, []string{no, "__offsets" + no}},
			{"none", nil, nil, nil, nil},
		} {
			t.Run(call.name+", "+tc.name, func(t *testing.T) {
				var log bytes.Buffer
				action := exchanger(g, still{}, &log)(call.ask(tc.ask))
				resp := action.Answer
				upstream := len(tc.sent) > 0 || call.send == always || call.send == ifEmpty && len(tc.ask) == 0
				if (action.Upstream != nil) != upstream {
					t.Fatalf("sent upstream: %v, want %v", action.Upstream != nil, upstream)
				}
				if upstream {
					if got := call.asked(action.Upstream); !reflect.DeepEqual(got, tc.sent) {
						t.Errorf("upstream gets %q, want %q", got, tc.sent)
					}
					var err error
					if resp, err = action.Response(call.answer(tc.answer...)); err != nil {
						t.Fatal(err)
					}
				}
				if got := call.says(resp); !reflect.DeepEqual(got, tc.want) {
					t.Errorf("answered %q, want %q", got, tc.want)
				}
				if got, want := resp.GetVersion(), call.ask(nil).GetVersion(); got != want {
					t.Errorf("answered in version %d, want %d", got, want)
				}
				if got, want := strings.Contains(log.String(), "rejected"), strings.Contains(strings.Join(tc.want, " "), no); got != want {
					t.Errorf("a refusal is logged: %v, want %v\n%s", got, want, &log)
				}
				if got, want := strings.Contains(log.String(), "dropped"), len(tc.answer) > len(tc.want); got != want {
					t.Errorf("dropped topics are logged: %v, want %v\n%s", got, want, &log)
				}
			})
		}
	}
}
