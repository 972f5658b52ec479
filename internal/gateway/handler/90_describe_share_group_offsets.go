package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DescribeShareGroupOffsets, versions 0 and 1, which adds the lag (KIP-1226).
// Groups, topic names and ids are mapped; "all topics" is answered with the
// application's own. It never fails for a topic that the application has or
// had.

func describeShareGroupOffsets(x *Exchange, r kmsg.Request) (Action, error) {
	type topic = kmsg.DescribeShareGroupOffsetsResponseGroupTopic
	req := r.(*kmsg.DescribeShareGroupOffsetsRequest)
	// By group; nil for one of which all topics are asked. A group that is asked
	// twice is answered twice, in the order asked.
	mergers := make(map[string][]*merger[topic], len(req.Groups))
	asked := make([]string, len(req.Groups))
	for i := range req.Groups {
		g := &req.Groups[i]
		asked[i] = g.GroupID
		g.GroupID = x.Grant.Group(g.GroupID)
		if g.Topics == nil {
			mergers[g.GroupID] = append(mergers[g.GroupID], nil)
			continue
		}
		m := new(merger[topic])
		mergers[g.GroupID] = append(mergers[g.GroupID], m)
		forward := []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{} // empty, not null: null asks for all
		for _, rt := range g.Topics {
			t := x.named(rt.Topic, grant.Describe)
			if t.allowed() {
				m.forward(t, false)
				rt.Topic = t.backing
				forward = append(forward, rt)
				continue
			}
			message := text(grant.Decision{}, x.reject(&t, grant.Describe))
			out := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
			out.Topic = rt.Topic
			for _, p := range rt.Partitions {
				rp := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
				rp.Partition, rp.StartOffset, rp.ErrorCode, rp.ErrorMessage = p, -1, kerr.TopicAuthorizationFailed.Code, message
				out.Partitions = append(out.Partitions, rp)
			}
			m.answer(t, out)
		}
		g.Topics = forward
	}
	names := make(map[string]string, len(asked)) // physical → as asked
	for i := range req.Groups {
		names[req.Groups[i].GroupID] = asked[i]
	}
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.DescribeShareGroupOffsetsResponse)
		resp.Version = req.Version
		kept := resp.Groups[:0]
		for _, g := range resp.Groups {
			waiting := mergers[g.GroupID]
			if len(waiting) == 0 {
				x.Conn.foreign(x, "group")
				continue
			}
			m := waiting[0]
			mergers[g.GroupID] = waiting[1:]
			g.GroupID = names[g.GroupID]
			brokerTexts(g.ErrorCode, &g.ErrorMessage)
			for i := range g.Topics {
				for j := range g.Topics[i].Partitions {
					p := &g.Topics[i].Partitions[j]
					brokerTexts(p.ErrorCode, &p.ErrorMessage)
				}
			}
			switch {
			case g.ErrorCode != 0:
				g.Topics = nil
			case m == nil:
				g.Topics = exposeEach(x, g.Topics, func(t *topic) (*string, *[16]byte) { return &t.Topic, &t.TopicID })
			default:
				g.Topics = m.merge(x, g.Topics,
					func(t *topic) topicKey { return topicKey{name: t.Topic} },
					func(t *topic, to *target) { x.exposeBoth(&t.Topic, &t.TopicID, to) })
			}
			kept = append(kept, g)
		}
		resp.Groups = kept
		return resp, nil
	}}, nil
}

// exposeBoth gives a topic of an answer the client's name and, where the broker
// gave it an id, the client's id.
func (x *Exchange) exposeBoth(name *string, id *[16]byte, to *target) {
	if *id != ([16]byte{}) {
		*id, _ = x.exposeID(to.backing, *id)
	}
	*name = to.exposed
}
