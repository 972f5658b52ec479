package handler

import (
	"math"
	"slices"
	"strings"

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
	topics []target                                        // from the cursor on, in order
	asked  int                                             // so many of topics may be on the page
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
	if err := p.collect(req.Topics, from); err != nil {
		return Action{}, err
	}
	up := p.request()
	if up == nil {
		return answer(p.layOut(kmsg.NewPtrDescribeTopicPartitionsResponse())), nil
	}
	return Action{Upstream: up, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return p.layOut(kr.(*kmsg.DescribeTopicPartitionsResponse)), nil
	}}, nil
}

// collect finds the topics whose exposed names are not before the cursor's.
func (p *page) collect(named []kmsg.DescribeTopicPartitionsRequestTopic, from string) error {
	x := p.x
	for _, rt := range named {
		if rt.Topic >= from {
			p.topics = append(p.topics, x.named(rt.Topic, grant.Describe))
		}
	}
	if p.all {
		for _, t := range x.Grant.Topics {
			if t.Exposed >= from && t.Decide(grant.List, x.Now).Verdict == grant.Allow {
				p.topics = append(p.topics, x.named(t.Exposed, grant.List))
			}
		}
		if x.Grant.HasNamespace() {
			own, err := x.Conn.Cluster.Topics(x.Context, x.Grant.Prefix)
			if err != nil {
				return err
			}
			for _, t := range own {
				if exposed, ok := x.Grant.OwnTopicExposed(t.Name); ok && exposed >= from {
					p.topics = append(p.topics, x.named(exposed, grant.List))
				}
			}
		}
	}
	slices.SortFunc(p.topics, func(a, b target) int { return strings.Compare(a.exposed, b.exposed) })
	p.topics = slices.CompactFunc(p.topics, func(a, b target) bool { return a.exposed == b.exposed })
	return nil
}

// request returns what to ask the broker for the page, nil for nothing.
func (p *page) request() *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	ordered := true
	last := ""
	p.asked = len(p.topics)
	for i := range p.topics {
		t := &p.topics[i]
		if !t.allowed() {
			continue
		}
		n := len(req.Topics)
		if n > 0 {
			ordered = ordered && t.backing > last
			if n >= p.limit+spareTopics || !ordered && n >= spareTopics || p.cursor != nil && t.backing < req.Topics[0].Topic {
				p.asked = i
				break
			}
		}
		last = t.backing
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = t.backing
		req.Topics = append(req.Topics, rt)
		if n == 0 && p.cursor != nil {
			c := kmsg.NewDescribeTopicPartitionsRequestCursor()
			c.Topic, c.Partition = t.backing, p.from(t)
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
		if room == 0 || i >= p.asked || found == nil {
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
	out.Topics = append(out.Topics, refused...)
	return out
}
