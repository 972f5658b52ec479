package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// CreateTopics 2 to 7, DeleteTopics 1 to 6, CreatePartitions 0 to 3: only in
// the application's own namespace, within its count of topics and partitions.
// Replica assignments name brokers and are refused, configurations come from a
// list with bounds. A topic whose partitions are left to the broker's default
// gets one: what the default is would show only afterwards, and it must fit.

const defaultPartitions = -1

func createTopics(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.CreateTopicsRequest)
	room, err := newRoom(x, req.TimeoutMillis)
	if err != nil {
		return Action{}, err
	}
	defer room.close()
	var m merger[kmsg.CreateTopicsResponseTopic]
	var forward []kmsg.CreateTopicsRequestTopic
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Write)
		code, message := int16(0), (*string)(nil)
		switch {
		case t.topic != nil && t.decision.Verdict != grant.Unknown:
			code, message = kerr.TopicAlreadyExists.Code, describe(kerr.TopicAlreadyExists)
		case !grant.LegalTopicName(rt.Topic) || len(rt.Topic) > grant.MaxTopicName-grant.PrefixLength:
			s := fmt.Sprintf("topic names have 1 to %d characters of a-z A-Z 0-9 . _ -", grant.MaxTopicName-grant.PrefixLength)
			code, message = kerr.InvalidTopicException.Code, &s
		case t.decision.Verdict == grant.RefusePolicy:
			code, message = kerr.PolicyViolation.Code, text(t.decision, x.reject(&t, grant.Write))
		case t.topic != nil || t.decision.Verdict != grant.Allow:
			t.decision = grant.Decision{Verdict: grant.RefuseRight, Rule: "no namespace to create topics in"}
			code, message = kerr.TopicAuthorizationFailed.Code, text(t.decision, x.reject(&t, grant.Write))
		case len(rt.ReplicaAssignment) > 0:
			s := "replica assignments are not accepted: give a partition count"
			code, message = kerr.InvalidReplicaAssignment.Code, &s
		default:
			if rt.NumPartitions == defaultPartitions {
				rt.NumPartitions = 1
			}
			code, message = forbiddenConfig(rt.Configs)
			_, exists := room.seen[t.backing]
			switch {
			case code != 0:
			case exists: // it must not be made in another size, should it be deleted meanwhile
				code, message = kerr.TopicAlreadyExists.Code, describe(kerr.TopicAlreadyExists)
			default: // a count below 1 is the broker's to refuse
				code, message = room.take(&t, max(int(rt.NumPartitions), 0))
			}
		}
		if code != 0 {
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic, out.ErrorCode, out.ErrorMessage = rt.Topic, code, message
			out.NumPartitions, out.ReplicationFactor = -1, -1
			m.answer(t, out)
			continue
		}
		m.forward(t, false)
		rt.Topic = t.backing
		forward = append(forward, rt)
	}
	finish := func(resp *kmsg.CreateTopicsResponse) kmsg.Response {
		resp.Version = req.Version
		answered := make(map[string]int16, len(resp.Topics))
		for _, t := range resp.Topics {
			answered[t.Topic] = t.ErrorCode
		}
		for _, t := range forward { // also one that stood in the request twice
			room.settle(t.Topic, answered, req.ValidateOnly)
		}
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.CreateTopicsResponseTopic) topicKey { return topicKey{name: t.Topic} },
			func(t *kmsg.CreateTopicsResponseTopic, to *target) {
				t.Topic = to.exposed
				brokerTexts(t.ErrorCode, &t.ErrorMessage)
				if t.TopicID != ([16]byte{}) {
					x.Conn.Cluster.LearnTopic(to.backing, t.TopicID)
					t.TopicID = x.Grant.VirtualID(t.TopicID)
				}
			})
		return resp
	}
	if !m.any {
		return answer(finish(kmsg.NewPtrCreateTopicsResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.CreateTopicsResponse)), nil
	}}, nil
}

func describe(e *kerr.Error) *string { return &e.Description }

func createPartitions(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.CreatePartitionsRequest)
	room, err := newRoom(x, req.TimeoutMillis)
	if err != nil {
		return Action{}, err
	}
	defer room.close()
	var m merger[kmsg.CreatePartitionsResponseTopic]
	var forward []kmsg.CreatePartitionsRequestTopic
	for _, rt := range req.Topics {
		t := x.named(rt.Topic, grant.Write)
		code, message := int16(0), (*string)(nil)
		switch {
		case t.topic == nil && t.decision.Verdict == grant.RefusePolicy:
			code, message = kerr.PolicyViolation.Code, text(t.decision, x.reject(&t, grant.Write))
		case t.topic != nil || t.decision.Verdict != grant.Allow:
			t.decision = grant.Decision{Verdict: grant.RefuseRight, Rule: "not a topic of the application's namespace"}
			code, message = kerr.TopicAuthorizationFailed.Code, text(t.decision, x.reject(&t, grant.Write))
		case len(rt.Assignment) > 0:
			s := "replica assignments are not accepted: give a partition count"
			code, message = kerr.InvalidReplicaAssignment.Code, &s
		default:
			if _, exists := room.seen[t.backing]; !exists { // or so new that its size is not known
				code, message = kerr.UnknownTopicOrPartition.Code, describe(kerr.UnknownTopicOrPartition)
			} else {
				code, message = room.take(&t, max(int(rt.Count), 0))
			}
		}
		if code != 0 {
			out := kmsg.NewCreatePartitionsResponseTopic()
			out.Topic, out.ErrorCode, out.ErrorMessage = rt.Topic, code, message
			m.answer(t, out)
			continue
		}
		m.forward(t, false)
		rt.Topic = t.backing
		forward = append(forward, rt)
	}
	finish := func(resp *kmsg.CreatePartitionsResponse) kmsg.Response {
		resp.Version = req.Version
		answered := make(map[string]int16, len(resp.Topics))
		for _, t := range resp.Topics {
			answered[t.Topic] = t.ErrorCode
		}
		for _, t := range forward {
			room.settle(t.Topic, answered, req.ValidateOnly)
		}
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.CreatePartitionsResponseTopic) topicKey { return topicKey{name: t.Topic} },
			func(t *kmsg.CreatePartitionsResponseTopic, to *target) {
				t.Topic = to.exposed
				brokerTexts(t.ErrorCode, &t.ErrorMessage)
			})
		return resp
	}
	if !m.any {
		return answer(finish(kmsg.NewPtrCreatePartitionsResponse())), nil
	}
	req.Topics = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.CreatePartitionsResponse)), nil
	}}, nil
}

func deleteTopics(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DeleteTopicsRequest)
	asked := req.Topics
	if req.Version < 6 {
		asked = nil
		for _, n := range req.TopicNames {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic = &n
			asked = append(asked, rt)
		}
	}
	var m merger[kmsg.DeleteTopicsResponseTopic]
	req.TopicNames, req.Topics = nil, nil
	for _, rt := range asked {
		byID := rt.TopicID != ([16]byte{})
		name := ""
		if rt.Topic != nil {
			name = *rt.Topic
		}
		t, err := x.resolve(byID, name, rt.TopicID, grant.Write)
		if err != nil {
			return Action{}, err
		}
		if t.topic != nil || t.decision.Verdict != grant.Allow {
			if t.topic != nil && t.decision.Verdict != grant.Unknown {
				t.decision = grant.Decision{Verdict: grant.RefuseRight, Rule: "not a topic of the application's namespace"}
			}
			out := kmsg.NewDeleteTopicsResponseTopic()
			out.TopicID = rt.TopicID
			out.ErrorCode, out.ErrorMessage = kerr.TopicAuthorizationFailed.Code, text(grant.Decision{}, x.reject(&t, grant.Write))
			switch {
			case byID && t.decision.Verdict == grant.Unknown:
				out.ErrorCode = kerr.UnknownTopicID.Code
			case t.decision.Verdict == grant.RefusePolicy:
				out.ErrorCode = kerr.PolicyViolation.Code
			}
			if !byID {
				out.Topic = rt.Topic
			}
			m.answer(t, out)
			continue
		}
		// By name or by id, the answer names both; the physical id of a topic
		// that was named shows only there.
		m.entries = append(m.entries, mergeEntry[kmsg.DeleteTopicsResponseTopic]{target: t, key: topicKey{name: t.backing}})
		m.any = true
		req.TopicNames = append(req.TopicNames, t.backing)
		nt := kmsg.NewDeleteTopicsRequestTopic()
		nt.Topic = &t.backing
		req.Topics = append(req.Topics, nt)
	}
	finish := func(resp *kmsg.DeleteTopicsResponse) kmsg.Response {
		resp.Version = req.Version
		resp.Topics = m.merge(x, resp.Topics,
			func(t *kmsg.DeleteTopicsResponseTopic) topicKey {
				if t.Topic == nil {
					return topicKey{id: t.TopicID}
				}
				return topicKey{name: *t.Topic}
			},
			func(t *kmsg.DeleteTopicsResponseTopic, to *target) {
				exposed := to.exposed
				t.Topic = &exposed
				if t.TopicID != ([16]byte{}) {
					t.TopicID = x.Grant.VirtualID(t.TopicID)
				} else {
					t.TopicID = to.virtual
				}
				brokerTexts(t.ErrorCode, &t.ErrorMessage)
				if t.ErrorCode == 0 {
					x.Conn.Cluster.ForgetTopic(to.backing)
					if r := x.Conn.Reservations; r != nil {
						r.settle(ownerKey{x.Grant.Cluster, x.Grant.Prefix}, to.backing, deleted)
					}
				}
			})
		return resp
	}
	if !m.any {
		return answer(finish(kmsg.NewPtrDeleteTopicsResponse())), nil
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.DeleteTopicsResponse)), nil
	}}, nil
}
