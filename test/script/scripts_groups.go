package script

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscription and assignment are what consumers put into the opaque bytes of a classic group.
func (s *Session) subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version = 1
	for _, t := range topics {
		m.Topics = append(m.Topics, s.Topic(t))
	}
	m.UserData = []byte("user data")
	return m.AppendTo(nil)
}

func (s *Session) assignment(topic string, partitions ...int32) []byte {
	m := kmsg.NewConsumerMemberAssignment()
	m.Version = 1
	m.Topics = append(m.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: s.Topic(topic), Partitions: partitions})
	return m.AppendTo(nil)
}

// member is one of a classic group.
type member struct {
	group, id  string
	generation int32
}

// join makes this connection's member of a group, alone or with an id that it has already.
func (s *Session) join(what, group, id string, instance *string) member {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = s.Group(group), 30_000, 10_000, "consumer"
	req.MemberID, req.InstanceID = id, instance
	for _, name := range []string{"range", "roundrobin"} {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, s.subscription("orders", "hidden")
		req.Protocols = append(req.Protocols, p)
	}
	resp, ok := s.Do(what, req).(*kmsg.JoinGroupResponse)
	if !ok {
		return member{group: group}
	}
	if resp.ErrorCode == 79 && id == "" { // MEMBER_ID_REQUIRED
		return s.join(what+" with the id", group, resp.MemberID, instance)
	}
	return member{group, resp.MemberID, resp.Generation}
}

func (s *Session) sync(what string, m member) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID = s.Group(m.group), m.generation, m.id
	req.ProtocolType, req.Protocol = ptr("consumer"), ptr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = m.id, s.assignment("orders", 0, 1)
	req.GroupAssignment = append(req.GroupAssignment, a)
	s.Do(what, req)
}

func (s *Session) heartbeat(what string, m member) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID = s.Group(m.group), m.generation, m.id
	s.Do(what, req)
}

func (s *Session) leave(what string, m member) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = s.Group(m.group), m.id
	rm := kmsg.NewLeaveGroupRequestMember()
	rm.MemberID = m.id
	req.Members = append(req.Members, rm)
	s.Do(what, req)
}

func classicGroup(s *Session) {
	m := s.join("join", "workers", "", nil)
	s.sync("sync", m)
	s.heartbeat("heartbeat", m)
	stale := m
	stale.generation += 5
	s.heartbeat("heartbeat of another generation", stale)
	s.sync("sync of another generation", stale)
	stranger := m
	stranger.id = "nobody"
	s.heartbeat("heartbeat of a stranger", stranger)
	s.leave("a stranger leaves", stranger)
	s.commit("commit as the member", m, 5, "orders")
	s.commit("commit as a stranger", stranger, 6, "orders")
	again := s.join("join again", "workers", m.id, nil)
	s.sync("sync again", again)
	s.leave("leave", again)
	s.heartbeat("heartbeat after leaving", again)

	wrong := kmsg.NewPtrJoinGroupRequest()
	wrong.Group, wrong.SessionTimeoutMillis, wrong.RebalanceTimeoutMillis, wrong.ProtocolType = s.Group("wrong"), 1, 1000, "consumer"
	wrong.Protocols = append(wrong.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: s.subscription("orders")})
	s.Do("a session time-out that is too short", wrong)
	wrong.SessionTimeoutMillis, wrong.Group = 30_000, ""
	s.Do("a group without a name", wrong)

	if s.Version >= 5 || s.Key != 11 {
		static := s.join("a static member joins", "static", "", ptr("instance-1"))
		s.sync("a static member syncs", static)
		s.leave("a static member leaves", static)
	}
}

// commit commits an offset for partition 0 of each topic.
func (s *Session) commit(what string, m member, offset int64, topics ...string) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.RetentionTimeMillis = s.Group(m.group), m.generation, m.id, -1
	for _, t := range topics {
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = s.Topic(t), s.ID(t)
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset, rp.LeaderEpoch, rp.Metadata = offset, -1, ptr("note of "+t)
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	s.Do(what, req)
}

// single is a consumer that commits without being a member.
func single(group string) member { return member{group, "", -1} }

func offsetCommit(s *Session) {
	s.commit("one topic", single("simple"), 3, "orders")
	s.commit("all topics", single("simple"), 4, everyTopic...)
	s.commit("a member of no group", member{"simple", "nobody", 3}, 5, "orders")
	s.commit("no topics", single("simple"), 5)
	long := kmsg.NewPtrOffsetCommitRequest()
	long.Group, long.Generation, long.RetentionTimeMillis = s.Group("simple"), -1, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = s.Topic("orders"), s.ID("orders")
	big := kmsg.NewOffsetCommitRequestTopicPartition()
	big.Metadata, big.LeaderEpoch = ptr(string(make([]byte, 5000))), -1
	other := kmsg.NewOffsetCommitRequestTopicPartition()
	other.Partition, other.Offset, other.LeaderEpoch = 1, 1, -1
	nowhere := other
	nowhere.Partition = 99
	rt.Partitions = append(rt.Partitions, big, other, nowhere)
	long.Topics = append(long.Topics, rt)
	s.Do("metadata that is too long, and a partition that is not there", long)
}

func (s *Session) fetchOffsets(what, group string, stable bool, topics ...string) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = s.Group(group), stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = req.Group, -1
	for _, t := range topics {
		rt := kmsg.NewOffsetFetchRequestTopic()
		rt.Topic, rt.Partitions = s.Topic(t), []int32{0, 1}
		req.Topics = append(req.Topics, rt)
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.TopicID, gt.Partitions = rt.Topic, s.ID(t), rt.Partitions
		g.Topics = append(g.Topics, gt)
	}
	req.Groups = append(req.Groups, g)
	s.Do(what, req)
}

func offsetFetch(s *Session) {
	s.commit("before", single("simple"), 7, "orders")
	s.commit("before, of another topic", single("simple"), 8, "writeonly")
	s.fetchOffsets("one topic", "simple", false, "orders")
	s.fetchOffsets("all that are known", "simple", false, everyTopic...)
	s.fetchOffsets("of a group that is not there", "absent", false, "orders")
	if s.Version >= 2 {
		s.fetchOffsets("of all topics", "simple", false)
	}
	if s.Version >= 7 {
		s.fetchOffsets("stable ones", "simple", true, "orders", "hidden")
	}
}

func findCoordinator(s *Session) {
	for kind, key := range []string{0: s.Group("workers"), 1: s.TxnID("ledger"), 7: "what"} {
		if key == "" {
			continue
		}
		kind := int8(kind)
		if kind > 0 && s.Version < 1 {
			continue
		}
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
		s.Do(fmt.Sprint("of type ", kind), req)
	}
	empty := kmsg.NewPtrFindCoordinatorRequest()
	s.Do("of nothing", empty)
}

func describeGroups(s *Session) {
	s.commit("before", single("simple"), 7, "orders")
	m := s.join("before", "workers", "", nil)
	s.sync("before", m)
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{s.Group("simple"), s.Group("workers"), s.Group("absent")}
	req.IncludeAuthorizedOperations = s.Version >= 3
	s.Do("all", req)
	s.leave("after", m)
	s.Do("after its members left", req)
}

func listGroups(s *Session) {
	s.commit("before", single("simple"), 7, "orders")
	m := s.join("before", "workers", "", nil)
	s.sync("before", m)
	req := kmsg.NewPtrListGroupsRequest()
	s.Do("all", req)
	if s.Version >= 4 {
		req = kmsg.NewPtrListGroupsRequest()
		req.StatesFilter = []string{"Stable"}
		s.Do("in a state", req)
	}
	if s.Version >= 5 {
		for _, filter := range []string{"classic", "consumer", "Classic"} {
			req = kmsg.NewPtrListGroupsRequest()
			req.TypesFilter = []string{filter}
			s.Do("of type "+filter, req)
		}
	}
	s.leave("after", m)
}

func deleteGroups(s *Session) {
	s.commit("before", single("simple"), 7, "orders")
	m := s.join("before", "workers", "", nil)
	s.sync("before", m)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{s.Group("simple"), s.Group("workers"), s.Group("absent")}
	s.Do("with and without members", req)
	s.leave("after", m)
}

func offsetDelete(s *Session) {
	m := s.join("before", "workers", "", nil)
	s.sync("before", m)
	s.commit("before", m, 7, "orders", "writeonly")
	ask := func(what string, group string) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = s.Group(group)
		for _, t := range everyTopic {
			rt := kmsg.NewOffsetDeleteRequestTopic()
			rt.Topic = s.Topic(t)
			rt.Partitions = append(rt.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: 0}, kmsg.OffsetDeleteRequestTopicPartition{Partition: 1})
			req.Topics = append(req.Topics, rt)
		}
		s.Do(what, req)
	}
	ask("while they are subscribed to", "workers")
	s.leave("leave", m)
	ask("after the members left", "workers")
	ask("of a group that is not there", "absent")
}

// consumerGroup speaks the protocol of KIP-848.
func consumerGroup(s *Session) {
	const id = "AAAAAAAAQACAAAAAAAAAAQ" // a client makes it itself from version 1 on
	first := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	first.Group, first.RebalanceTimeoutMillis, first.MemberEpoch = s.Group("new"), 10_000, 0
	first.SubscribedTopicNames, first.Topics = []string{}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if s.Key != 68 || s.Version >= 1 {
		first.MemberID = id
	}
	resp, _ := s.Do("join", first).(*kmsg.ConsumerGroupHeartbeatResponse)
	m := member{group: "new"}
	if resp != nil && resp.MemberID != nil {
		m.id, m.generation = *resp.MemberID, resp.MemberEpoch
	}
	beat := func(what string, change func(*kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatResponse {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = s.Group("new"), m.id, m.generation, -1
		req.Topics = nil
		if change != nil {
			change(req)
		}
		resp, _ := s.Do(what, req).(*kmsg.ConsumerGroupHeartbeatResponse)
		if resp != nil && resp.ErrorCode == 0 {
			m.generation = resp.MemberEpoch
		}
		return resp
	}
	owned := func(r *kmsg.ConsumerGroupHeartbeatRequest, partitions ...int32) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		if len(partitions) > 0 {
			t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			t.TopicID, t.Partitions = s.ID("orders"), partitions
			r.Topics = append(r.Topics, t)
		}
	}
	beat("subscribe", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.SubscribedTopicNames, r.RebalanceTimeoutMillis = []string{s.Topic("orders")}, 10_000
		owned(r)
	})
	beat("go on", func(r *kmsg.ConsumerGroupHeartbeatRequest) { owned(r, 0, 1) })
	s.commit("commit as the member", m, 9, "orders", "hidden")
	s.fetchOffsets("offsets of the member", "new", true, "orders")
	if s.Key == 68 {
		right := m.generation
		m.generation += 9
		beat("a wrong epoch", nil)
		m.generation = right
		beat("a server assignor that is not there", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = ptr("guess") })
		if s.Version >= 1 {
			beat("a regular expression that is none", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = ptr("(") })
		}
	}
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{s.Group("new"), s.Group("absent")}
	describe.IncludeAuthorizedOperations = true
	s.Do("while it has a member", describe)
	if s.Key == 68 { // all that the application may not have: never an error through the gateway
		beat("subscribe to all", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			for _, t := range everyTopic {
				r.SubscribedTopicNames = append(r.SubscribedTopicNames, s.Topic(t))
			}
			r.RebalanceTimeoutMillis = 10_000
			owned(r)
		})
	}
	m.generation = -1
	beat("leave", nil)
	m.generation = 1
	beat("after leaving", nil)
	describe.Groups = []string{s.Group("new")}
	s.Do("after it left", describe)
}
