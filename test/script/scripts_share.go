package script

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareGroup is a share group's life (KIP-932): join, fetch, acknowledge, describe, offsets.
func shareGroup(s *Session) {
	const id = "AAAAAAAAQACAAAAAAAAABQ"
	group := s.Group("share")
	epoch := int32(0)
	beat := func(what string, topics ...string) {
		req := kmsg.NewPtrShareGroupHeartbeatRequest()
		req.GroupID, req.MemberID, req.MemberEpoch = group, id, epoch
		for _, t := range topics {
			if req.SubscribedTopicNames = append([]string{}, req.SubscribedTopicNames...); t != "" { // empty, not null: none
				req.SubscribedTopicNames = append(req.SubscribedTopicNames, s.Topic(t))
			}
		}
		if resp, ok := s.Do(what, req).(*kmsg.ShareGroupHeartbeatResponse); ok && resp.ErrorCode == 0 {
			epoch = resp.MemberEpoch
		}
	}
	s.Feed("orders", 0, "shared")
	beat("join without topics", "")
	beat("subscribe", "orders")
	beat("go on")
	right := epoch
	epoch += 9
	beat("a wrong epoch")
	epoch = right

	describe := kmsg.NewPtrShareGroupDescribeRequest()
	describe.GroupIDs, describe.IncludeAuthorizedOperations = []string{group, s.Group("absent")}, true
	s.Do("while it has a member", describe)

	fetch := func(what string, session int32, topics ...string) {
		req := kmsg.NewPtrShareFetchRequest()
		req.GroupID, req.MemberID, req.ShareSessionEpoch = &group, ptr(id), session
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = 100, 0, 1<<20, 100, 100
		for _, t := range topics {
			rt := kmsg.NewShareFetchRequestTopic()
			rt.TopicID = s.ID(t)
			rp := kmsg.NewShareFetchRequestTopicPartition()
			rp.PartitionMaxBytes = 1 << 20
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
		}
		// A partition that the group begins to read is empty until its state was found.
		s.Until(what, req, func(r kmsg.Response) bool {
			return session != 0 || s.App == Denied || begun(r.(*kmsg.ShareFetchResponse))
		})
	}
	fetch("open a session", 0, "orders")
	fetch("a wrong epoch of the session", 7)
	fetch("another's topics", 1, "hidden", "missing")
	fetch("close the session", -1)

	ack := kmsg.NewPtrShareAcknowledgeRequest()
	ack.GroupID, ack.MemberID, ack.ShareSessionEpoch = &group, ptr(id), 3
	rt := kmsg.NewShareAcknowledgeRequestTopic()
	rt.TopicID = s.ID("orders")
	rp := kmsg.NewShareAcknowledgeRequestTopicPartition()
	b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
	b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = 0, 0, []int8{1}
	rp.AcknowledgementBatches = append(rp.AcknowledgementBatches, b)
	rt.Partitions = append(rt.Partitions, rp)
	ack.Topics = append(ack.Topics, rt)
	s.Do("acknowledge without a session", ack)

	epoch = -1
	beat("leave")
	epoch = 0
	offsets(s, group)
}

// begun reports whether a share fetch was answered with records, or an error of the whole.
func begun(r *kmsg.ShareFetchResponse) bool {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == -1 { // Kafka's, while the group's state of the partition is read
				return false
			}
		}
	}
	return len(r.Topics) > 0 || r.ErrorCode != 0
}

// offsets looks at, changes and deletes where an empty share group starts.
func offsets(s *Session, group string) {
	describe := func(what, group string, topics ...string) {
		req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		g.GroupID = group
		for _, t := range topics {
			rt := kmsg.NewDescribeShareGroupOffsetsRequestGroupTopic()
			rt.Topic, rt.Partitions = s.Topic(t), []int32{0}
			g.Topics = append(g.Topics, rt)
		}
		req.Groups = append(req.Groups, g)
		s.Do(what, req)
	}
	switch s.Key {
	case 90, 91, 92:
	default:
		return
	}
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = group
	rt := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	rt.Topic = s.Topic("orders")
	rp := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
	rp.StartOffset = 3
	rt.Partitions = append(rt.Partitions, rp)
	alter.Topics = append(alter.Topics, rt)
	s.Do("start at 3", alter)
	refused := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	refused.GroupID = group
	rt.Topic = s.Topic("hidden")
	refused.Topics = append(refused.Topics, rt)
	s.Do("start at 3 in a topic that may be refused", refused)
	describe("offsets of all topics", group, everyTopic...)
	describe("offsets of one", group, "orders")
	describe("offsets of a group that is not there", s.Group("absent"), "orders")
	remove := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
	remove.GroupID = group
	for _, t := range everyTopic {
		rt := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
		rt.Topic = s.Topic(t)
		remove.Topics = append(remove.Topics, rt)
	}
	s.Do("delete", remove)
	describe("offsets after that", group, "orders")
}

// describeTopicPartitions lists topics page by page (KIP-966).
func describeTopicPartitions(s *Session) {
	ask := func(what string, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) *kmsg.DescribeTopicPartitionsResponse {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = limit, cursor
		for _, t := range topics {
			rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
			rt.Topic = s.Topic(t)
			req.Topics = append(req.Topics, rt)
		}
		resp, _ := s.Do(what, req).(*kmsg.DescribeTopicPartitionsResponse)
		return resp
	}
	ask("all by name", 2000, nil, everyTopic...)
	ask("one that is refused", 2000, nil, "hidden")
	ask("all", 2000, nil)
	page := ask("the first page", 3, nil, Topics...)
	for range 4 {
		if page == nil || page.NextCursor == nil {
			break
		}
		next := kmsg.NewDescribeTopicPartitionsRequestCursor()
		next.Topic, next.Partition = page.NextCursor.Topic, page.NextCursor.Partition
		page = ask("the next page", 3, &next, Topics...)
	}
}

// telemetry asks for a subscription to metrics and sends some (KIP-714).
func telemetry(s *Session) {
	get := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
	resp, _ := s.Do("subscribe", get).(*kmsg.GetTelemetrySubscriptionsResponse)
	if resp == nil || s.Key != 72 {
		return
	}
	push := kmsg.NewPtrPushTelemetryRequest()
	push.ClientInstanceID, push.SubscriptionID, push.Terminating = resp.ClientInstanceID, resp.SubscriptionID, true
	s.Do("push nothing", push)
	push.SubscriptionID += 5
	s.Do("push with an unknown subscription", push)
}
