package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// OffsetFetch, versions 1 to 10; several groups from 8 on (KIP-709), by topic
// id from 10 on. Groups and topics are mapped; "all topics" is answered with
// the application's own. It never fails for a topic that the application has
// or had.

func offsetFetch(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.OffsetFetchRequest)
	if req.Version < 8 {
		return offsetFetchOne(x, req)
	}
	byID := req.Version >= 10
	mergers := make([]merger[kmsg.OffsetFetchResponseGroupTopic], len(req.Groups))
	names := make([]string, len(req.Groups))
	all := make([]bool, len(req.Groups))
	for i := range req.Groups {
		g := &req.Groups[i]
		names[i], all[i] = g.Group, g.Topics == nil
		g.Group = x.Grant.Group(g.Group)
		if g.Topics == nil {
			continue
		}
		forward := []kmsg.OffsetFetchRequestGroupTopic{} // empty, not null: null asks for all
		for _, rt := range g.Topics {
			t, err := x.resolve(byID, rt.Topic, rt.TopicID, grant.Describe)
			if err != nil {
				return Action{}, err
			}
			if t.allowed() {
				mergers[i].forward(t, byID)
				rt.Topic, rt.TopicID = t.backing, t.physical
				forward = append(forward, rt)
				continue
			}
			x.reject(&t, grant.Describe)
			out := kmsg.NewOffsetFetchResponseGroupTopic()
			out.Topic, out.TopicID = rt.Topic, rt.TopicID
			for _, p := range rt.Partitions {
				rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				rp.Partition, rp.ErrorCode, rp.Offset, rp.LeaderEpoch = p, refusedCode(byID), -1, -1
				rp.Metadata = new(string)
				out.Partitions = append(out.Partitions, rp)
			}
			mergers[i].answer(t, out)
		}
		g.Topics = forward
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.OffsetFetchResponse)
		answered := make(map[string]*kmsg.OffsetFetchResponseGroup, len(resp.Groups))
		for i := range resp.Groups {
			answered[resp.Groups[i].Group] = &resp.Groups[i]
		}
		out := make([]kmsg.OffsetFetchResponseGroup, 0, len(names))
		for i, name := range names {
			g := answered[req.Groups[i].Group]
			if g == nil {
				continue
			}
			ng := *g
			ng.Group = name
			switch {
			case ng.ErrorCode != 0:
				ng.Topics = nil
			case all[i]:
				ng.Topics = slices.Clone(g.Topics) // the group may be asked for twice
				if !byID {
					ng.Topics = exposeEach(x, ng.Topics, func(t *kmsg.OffsetFetchResponseGroupTopic) (*string, *[16]byte) { return &t.Topic, nil })
					break
				}
				var err error
				if ng.Topics, err = exposeIDs(x, ng.Topics, func(t *kmsg.OffsetFetchResponseGroupTopic) *[16]byte { return &t.TopicID }); err != nil {
					return nil, err
				}
			default:
				ng.Topics = mergers[i].merge(x, g.Topics,
					func(t *kmsg.OffsetFetchResponseGroupTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
					func(t *kmsg.OffsetFetchResponseGroupTopic, to *target) { t.Topic, t.TopicID = nameOrID(byID, to) })
			}
			out = append(out, ng)
		}
		resp.Version, resp.Groups = req.Version, out
		return resp, nil
	}}, nil
}

func offsetFetchOne(x *Exchange, req *kmsg.OffsetFetchRequest) (Action, error) {
	req.Group = x.Grant.Group(req.Group)
	if req.Topics != nil {
		return byName[kmsg.OffsetFetchRequestTopic, kmsg.OffsetFetchResponseTopic]{
			op:     grant.Describe,
			topics: &req.Topics, // left empty they are not null, which asks for all
			name:   func(t *kmsg.OffsetFetchRequestTopic) *string { return &t.Topic },
			refused: func(_ *target, t *kmsg.OffsetFetchRequestTopic, _ string) kmsg.OffsetFetchResponseTopic {
				return notFetched(t, refusedCode(false))
			},
			list:    func(r kmsg.Response) *[]kmsg.OffsetFetchResponseTopic { return &r.(*kmsg.OffsetFetchResponse).Topics },
			exposed: func(t *kmsg.OffsetFetchResponseTopic) *string { return &t.Topic },
			send:    always,
		}.serve(x, req), nil
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.OffsetFetchResponse)
		resp.Version = req.Version
		resp.Topics = exposeEach(x, resp.Topics, func(t *kmsg.OffsetFetchResponseTopic) (*string, *[16]byte) { return &t.Topic, nil })
		return resp, nil
	}}, nil
}

// notFetched answers a topic with an error.
func notFetched(t *kmsg.OffsetFetchRequestTopic, code int16) kmsg.OffsetFetchResponseTopic {
	out := kmsg.NewOffsetFetchResponseTopic()
	out.Topic = t.Topic
	for _, p := range t.Partitions {
		rp := kmsg.NewOffsetFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.Offset, rp.LeaderEpoch = p, code, -1, -1
		rp.Metadata = new(string)
		out.Partitions = append(out.Partitions, rp)
	}
	return out
}
