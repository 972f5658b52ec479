package script

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteRecords deletes what a topic of its own holds, and tries others.
func deleteRecords(s *Session) {
	name := s.Own("new")
	s.create("before", false, newTopic(name, 1))
	id := s.seen(name, 1)
	write := s.produced(-1, plain("a", "b", "c"), Own+s.cell+".new")
	write.Topics[0].TopicID = id
	s.Do("before", write)
	ask := func(what string, offset int64, topics ...string) {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 10_000
		for _, t := range topics {
			rt := kmsg.NewDeleteRecordsRequestTopic()
			rt.Topic = t
			for _, p := range []int32{0, 99} {
				rp := kmsg.NewDeleteRecordsRequestTopicPartition()
				rp.Partition, rp.Offset = p, offset
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
		}
		s.Do(what, req)
	}
	ask("of its own topic", 2, name)
	ask("to the end", -1, name)
	ask("beyond the end", 1<<30, name)
	ask("of one that is not there", 0, s.Own("absent"))
	ask("of those that are granted", 0, s.Topic("orders"), s.Topic("hidden"))
}

// alterConfigs changes the configuration of a topic of its own, of a group, and tries others: as a whole and one by one.
func alterConfigs(s *Session) {
	name := s.Own("new")
	s.create("before", false, newTopic(name, 1, "retention.ms=3600000"))
	s.seen(name, 1)
	change := func(what string, kind kmsg.ConfigResourceType, name, key string, op kmsg.IncrementalAlterConfigOp, value string, validate bool) {
		if s.Key == 33 {
			req := kmsg.NewPtrAlterConfigsRequest()
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kind, name
			r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: key, Value: &value})
			req.Resources, req.ValidateOnly = append(req.Resources, r), validate
			s.Do(what, req)
			return
		}
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Op: op, Value: &value})
		req.Resources, req.ValidateOnly = append(req.Resources, r), validate
		s.Do(what, req)
	}
	const set, remove, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	topic, group := kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeGroupConfig
	change("validate only", topic, name, "retention.ms", set, "7200000", true)
	change("a topic of its own", topic, name, "segment.ms", set, "7200000", false)
	change("a bad value", topic, name, "segment.ms", set, "soon", false)
	change("an unknown setting", topic, name, "no.such.setting", set, "1", false)
	if s.Key == 44 {
		change("add to a list", topic, name, "cleanup.policy", add, "compact", false)
		change("remove", topic, name, "retention.ms", remove, "", false)
	}
	change("a topic that is not there", topic, s.Own("absent"), "segment.ms", set, "7200000", false)
	change("a topic that is granted", topic, s.Topic("orders"), "segment.ms", set, "7200000", false)
	change("a topic that may be refused", topic, s.Topic("hidden"), "segment.ms", set, "7200000", false)
	change("a broker", kmsg.ConfigResourceTypeBroker, "1", "log.cleaner.threads", set, "2", true)
	if s.Key == 44 && s.offered(68) {
		change("a group", group, s.Group("tuned"), "consumer.session.timeout.ms", set, "50000", false)
	}
}

// offered reports whether all lanes have an API.
func (s *Session) offered(key int16) bool {
	_, ok := s.Lane.Versions[key]
	return ok
}

func listConfigResources(s *Session) {
	ask := func(what string, kinds ...int8) {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = kinds
		s.Do(what, req)
	}
	ask("of topics", int8(kmsg.ConfigResourceTypeTopic))
	ask("of groups", int8(kmsg.ConfigResourceTypeGroupConfig))
	ask("of brokers", int8(kmsg.ConfigResourceTypeBroker))
	ask("of what is none", 77)
	ask("all")
}

// streamsGroup is a Kafka Streams application's group (KIP-1071).
func streamsGroup(s *Session) {
	const id = "AAAAAAAAQACAAAAAAAAACQ"
	group := s.Group("streams")
	epoch := int32(0)
	beat := func(what, source string) {
		req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = group, id, epoch, -1
		if source != "" {
			req.RebalanceTimeoutMillis, req.ProcessID = 10_000, ptr("process")
			req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
			topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
			topology.Epoch = 1
			sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
			sub.SubtopologyID, sub.SourceTopics = "0", []string{s.Topic(source)}
			topology.Subtopologies = append(topology.Subtopologies, sub)
			req.Topology = &topology
		}
		if resp, ok := s.Do(what, req).(*kmsg.StreamsGroupHeartbeatResponse); ok && resp.ErrorCode == 0 {
			epoch = resp.MemberEpoch
		}
	}
	beat("join", "orders")
	beat("go on", "")
	describe := kmsg.NewPtrStreamsGroupDescribeRequest()
	describe.Groups, describe.IncludeAuthorizedOperations = []string{group, s.Group("absent")}, true
	s.Do("while it has a member", describe)
	epoch += 9
	beat("a wrong epoch", "")
	epoch = -1
	beat("leave", "")
}
