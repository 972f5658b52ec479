package handler

import (
	"iter"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DescribeTopicPartitions, version 0 (KIP-966): topics in pages, in the order
// of their names. The gateway lays out the pages, because names that are mapped
// have another order: it asks the broker for the topics that may stand on the
// page, without leafing there, and takes what comes first by exposed name.
// Topics are those of Metadata, and so are authorised operations, which come
// with every answer here.
//
// Brokers cut their answer as well, at max.request.partition.size.limit
// partitions in their own order, so a page may end where the broker's answer
// has a hole. After a cursor it holds something all the same: only topics that
// the broker has behind the cursor's are asked for then.

const (
	// pagePartitions is the most that a page holds, Kafka's default of
	// max.request.partition.size.limit.
	pagePartitions = 2000
	// spareTopics are asked for beyond what the page holds, since those that
	// do not exist take no place; and the most asked for out of order.
	spareTopics = 100
)

// page is a page of topics to be described.
type page struct {
	x      *Exchange
	all    bool                                            // of all topics, otherwise of those named
	cursor *kmsg.DescribeTopicPartitionsResponseNextCursor // where it begins, or nil
	limit  int                                             // of partitions
	topics []target                                        // in order, those that may be on the page
	next   *target                                         // the first behind them, or nil
}

func describeTopicPartitions(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeTopicPartitionsRequest)
	p := page{x: x, all: len(req.Topics) == 0, limit: int(max(min(req.ResponsePartitionLimit, pagePartitions), 1))}
	from := ""
	if c := req.Cursor; c != nil {
		from = c.Topic
		p.cursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: c.Topic, Partition: c.Partition}
		named := slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == c.Topic })
		if c.Partition < 0 || !p.all && !named {
			resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
			for _, rt := range req.Topics {
				t := kmsg.NewDescribeTopicPartitionsResponseTopic()
				t.Topic, t.ErrorCode = &rt.Topic, kerr.InvalidRequest.Code
				resp.Topics = append(resp.Topics, t)
			}
			return answer(resp), nil
		}
	}
	topics, err := p.candidates(req.Topics, from)
	if err != nil {
		return Action{}, err
	}
	up := p.request(topics)
	if up == nil {
		return answer(p.layOut(kmsg.NewPtrDescribeTopicPartitionsResponse())), nil
	}
	return Action{Upstream: up, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return p.layOut(kr.(*kmsg.DescribeTopicPartitionsResponse)), nil
	}}, nil
}

// candidates are the topics whose exposed names are not before the cursor's, in
// order. They are resolved one by one: a page needs few of them.
func (p *page) candidates(asked []kmsg.DescribeTopicPartitionsRequestTopic, from string) (iter.Seq[target], error) {
	x := p.x
	var names []string // those asked for, or those of the application's own topics
	for _, rt := range asked {
		if rt.Topic >= from {
			names = append(names, rt.Topic)
		}
	}
	if p.all && x.Grant.HasNamespace() {
		own, err := x.Conn.Cluster.Topics(x.Context, x.Grant.Prefix)
		if err != nil {
			return nil, err
		}
		for _, t := range own {
			if exposed, ok := x.Grant.OwnTopicExposed(t.Name); ok && exposed >= from {
				names = append(names, exposed)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return func(yield func(target) bool) {
		if p.all {
			for t := range x.Grant.TopicsFrom(from) {
				for len(names) > 0 && names[0] < t.Exposed {
					own := names[0]
					names = names[1:]
					if !yield(x.named(own, grant.List)) {
						return
					}
				}
				if t.Decide(grant.List, x.Now).Verdict == grant.Allow && !yield(x.named(t.Exposed, grant.List)) {
					return
				}
			}
		}
		for _, name := range names {
			if !yield(x.named(name, grant.Describe)) {
				return
			}
		}
	}, nil
}

// request returns what to ask the broker for the page, nil for nothing.
func (p *page) request(topics iter.Seq[target]) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	ordered := true
	last := ""
	for t := range topics {
		if !t.allowed() {
			p.topics = append(p.topics, t)
			continue
		}
		n := len(req.Topics)
		if n > 0 {
			ordered = ordered && t.backing > last
			if n >= p.limit+spareTopics || !ordered && n >= spareTopics || p.cursor != nil && t.backing < req.Topics[0].Topic {
				next := t
				p.next = &next
				break
			}
		}
		last = t.backing
		p.topics = append(p.topics, t)
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = t.backing
		req.Topics = append(req.Topics, rt)
		if n == 0 && p.cursor != nil {
			c := kmsg.NewDescribeTopicPartitionsRequestCursor()
			c.Topic, c.Partition = t.backing, p.from(&t)
			req.Cursor = &c
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	req.ResponsePartitionLimit = int32(p.limit)
	if !ordered {
		req.ResponsePartitionLimit = math.MaxInt32 // as much as the broker gives: what comes first by exposed name is not known
	}
	return req
}

// from is the first partition of a topic on the page.
func (p *page) from(t *target) int32 {
	if p.cursor != nil && t.exposed == p.cursor.Topic {
		return p.cursor.Partition
	}
	return 0
}

// layOut makes the page from the broker's answer.
func (p *page) layOut(resp *kmsg.DescribeTopicPartitionsResponse) *kmsg.DescribeTopicPartitionsResponse {
	out := kmsg.NewPtrDescribeTopicPartitionsResponse()
	out.ThrottleMillis = resp.ThrottleMillis
	answered := make(map[string]*kmsg.DescribeTopicPartitionsResponseTopic, len(resp.Topics))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil {
			continue
		}
		if _, mine := p.x.expose(*t.Topic); !mine {
			p.x.Conn.foreign(p.x, "topic")
			continue
		}
		answered[*t.Topic] = t
	}
	var refused []kmsg.DescribeTopicPartitionsResponseTopic
	room := p.limit
	for i := range p.topics {
		t := &p.topics[i]
		entry := kmsg.NewDescribeTopicPartitionsResponseTopic()
		entry.Topic = &t.exposed
		if !t.allowed() {
			p.x.reject(t, grant.Describe)
			entry.ErrorCode = kerr.TopicAuthorizationFailed.Code
			refused = append(refused, entry)
			continue
		}
		from := p.from(t)
		found := answered[t.backing]
		if room == 0 || found == nil {
			out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: t.exposed, Partition: from}
			break
		}
		p.x.warnOfRefusal(t, found.ErrorCode)
		if found.ErrorCode != 0 && p.all {
			continue // deleted between listing and asking, most likely
		}
		entry.ErrorCode, entry.AuthorizedOperations = found.ErrorCode, p.x.topicOperations(t)
		if found.TopicID != ([16]byte{}) {
			p.x.Conn.Cluster.LearnTopic(t.backing, found.TopicID)
			entry.TopicID, _ = p.x.exposeID(t.backing, found.TopicID)
		}
		next := int32(-1)
		if c := resp.NextCursor; c != nil && c.Topic == t.backing {
			next = max(c.Partition, from)
		}
		for _, part := range found.Partitions {
			if part.Partition < from {
				continue
			}
			if room == 0 {
				next = part.Partition
				break
			}
			entry.Partitions = append(entry.Partitions, part)
			room--
		}
		out.Topics = append(out.Topics, entry)
		if next >= 0 {
			out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: t.exposed, Partition: next}
			break
		}
	}
	if out.NextCursor == nil && p.next != nil {
		out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: p.next.exposed}
	}
	out.Topics = append(out.Topics, refused...)
	return out
}
