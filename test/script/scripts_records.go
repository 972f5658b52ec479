package script

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Scripts are by API key: what a script asks, and the state it makes before so that the answers mean something. Every
// advertised row of the gateway's table has one.
var Scripts = map[int16]func(*Session){
	0:  produce,
	1:  fetch,
	2:  listOffsets,
	3:  metadata,
	8:  offsetCommit,
	9:  offsetFetch,
	10: findCoordinator,
	11: classicGroup, 12: classicGroup, 13: classicGroup, 14: classicGroup,
	15: describeGroups,
	16: listGroups,
	17: login, 36: login,
	18: apiVersions,
	19: ownTopics, 20: ownTopics, 37: ownTopics,
	22: initProducerID,
	23: offsetForLeaderEpoch,
	24: transaction, 25: transaction, 26: transaction, 28: transaction,
	32: describeConfigs,
	42: deleteGroups,
	47: offsetDelete,
	60: describeCluster,
	61: describeProducers,
	65: describeTransactions, 66: describeTransactions,
	68: consumerGroup, 69: consumerGroup,
	21: deleteRecords,
	33: alterConfigs, 44: alterConfigs,
	74: listConfigResources,
	88: streamsGroup, 89: streamsGroup,
	71: telemetry, 72: telemetry,
	75: describeTopicPartitions,
	76: shareGroup, 77: shareGroup, 78: shareGroup, 79: shareGroup, 90: shareGroup, 91: shareGroup, 92: shareGroup,
}

// everyTopic is the topics that most scripts ask for at once: those every lane has, and one that nobody has.
var everyTopic = append(append([]string{}, Topics...), "missing")

func ptr[T any](v T) *T { return &v }

// produced is a Produce request with one batch for partition 0 of each topic.
func (s *Session) produced(acks int16, b batch, topics ...string) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	for _, t := range topics {
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID = s.Topic(t), s.ID(t)
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = b.bytes()
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func (s *Session) producerID(what string, txn *string) (id int64, epoch int16) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = txn, 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	if resp, ok := s.Do(what, req).(*kmsg.InitProducerIDResponse); ok && resp.ErrorCode == 0 {
		return resp.ProducerID, resp.ProducerEpoch
	}
	return -1, -1
}

// withPartition adds another partition to every topic of a Produce request.
func withPartition(req *kmsg.ProduceRequest, partition int32, records []byte) *kmsg.ProduceRequest {
	for i := range req.Topics {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = partition, records
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	return req
}

func produce(s *Session) {
	s.Do("one topic", s.produced(-1, plain("a", "b"), "orders"))
	s.Do("all topics, a partition that is not there", withPartition(s.produced(1, plain("c"), everyTopic...), 99, plain("d").bytes()))
	corrupt := plain("e")
	corrupt.corrupt = true
	s.Do("a batch with a wrong checksum", s.produced(-1, corrupt, "orders", "readonly"))
	s.Do("no topics", s.produced(-1, plain("f")))

	idempotent := plain("g", "h")
	idempotent.producerID, idempotent.producerEpoch = s.producerID("for an idempotent producer", nil)
	if idempotent.producerID < 0 {
		idempotent.producerID, idempotent.producerEpoch = 4_000_000_000_000, 0
	}
	idempotent.sequence = 0
	s.Do("idempotent", s.produced(-1, idempotent, "orders", "hidden"))
	s.Do("the same again", s.produced(-1, idempotent, "orders", "hidden"))
	idempotent.sequence = 7
	s.Do("a gap in the sequence", s.produced(-1, idempotent, "orders", "hidden"))

	transactional := plain("i")
	transactional.producerID, transactional.producerEpoch, transactional.sequence, transactional.transactional = idempotent.producerID, 0, 0, true
	s.Do("transactional records without a transactional id", s.produced(-1, transactional, "orders"))
	withID := s.produced(-1, transactional, "orders")
	withID.TransactionID = ptr(s.TxnID("stranger"))
	s.Do("a transactional id that does not know the producer", withID)
	marker := plain("j")
	marker.attributes = control
	s.Do("a control batch", s.produced(-1, marker, "orders"))

	s.Silently("without an answer", s.produced(0, plain("k"), "orders"))
	s.Silently("without an answer, one refused", s.produced(0, plain("l"), "orders", "hidden"))
}

// fetched is a Fetch request for partition 0 of each topic.
func (s *Session) fetched(offset int64, topics ...string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionEpoch, req.ReplicaID = 1<<20, 1, 100, -1, -1
	req.ReplicaState.ID = -1
	for _, t := range topics {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = s.Topic(t), s.ID(t)
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = offset, 1<<16, -1, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// end is where a topic's partition 0 ends on the target cluster.
func (s *Session) end(topic string) int64 { return s.Lane.offsets[topic][0] }

func fetch(s *Session) {
	for _, t := range Topics {
		s.Feed(t, 0, "fed to "+t)
	}
	// What was there before belongs to other scripts: each starts at the end as it was when this one began.
	at := func(req *kmsg.FetchRequest, after int64) *kmsg.FetchRequest {
		for i := range req.Topics {
			for _, t := range Topics {
				if req.Topics[i].Topic == s.Topic(t) {
					req.Topics[i].Partitions[0].FetchOffset = s.end(t) + after
				}
			}
		}
		return req
	}
	s.Do("one topic", at(s.fetched(0, "orders"), 0))
	s.Do("all topics", at(s.fetched(0, everyTopic...), 0))
	committed := at(s.fetched(0, Topics...), 0)
	committed.IsolationLevel = 1
	s.Do("committed records only", committed)
	s.Do("beyond the end", s.fetched(1<<40, "orders", "hidden"))
	nowhere := s.fetched(0, "orders", "hidden")
	for i := range nowhere.Topics {
		nowhere.Topics[i].Partitions[0].Partition = 99
	}
	s.Do("a partition that is not there", nowhere)
	waits := at(s.fetched(0, "orders"), 1)
	waits.MaxWaitMillis = 20
	s.Do("nothing new", waits)
	old := at(s.fetched(0, "orders"), 0)
	old.Topics[0].Partitions[0].CurrentLeaderEpoch = 5
	s.Do("an unknown leader epoch", old)

	if s.Key == 1 && s.Version < 7 {
		return
	}
	// A session over what the application may have, and one over more.
	for _, what := range []string{"session", "partly refused session"} {
		topics := []string{"orders"}
		if what != "session" {
			topics = append(topics, "hidden")
		}
		opened := at(s.fetched(0, topics...), 0)
		opened.SessionEpoch = 0
		resp, _ := s.Do("open a "+what, opened).(*kmsg.FetchResponse)
		if resp == nil || resp.SessionID == 0 {
			continue
		}
		next := s.fetched(0)
		next.SessionID, next.SessionEpoch, next.MaxWaitMillis = resp.SessionID, 1, 0
		s.Do("go on in a "+what, next)
		more := at(s.fetched(0, "readonly"), 0)
		more.SessionID, more.SessionEpoch = resp.SessionID, 2
		s.Do("add a topic to a "+what, more)
		less := s.fetched(0)
		less.SessionID, less.SessionEpoch, less.MaxWaitMillis = resp.SessionID, 3, 0
		less.ForgottenTopics = append(less.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: s.Topic("readonly"), TopicID: s.ID("readonly"), Partitions: []int32{0}})
		s.Do("take it from a "+what, less)
		wrong := s.fetched(0)
		wrong.SessionID, wrong.SessionEpoch = resp.SessionID, 9
		s.Do("a wrong epoch of a "+what, wrong)
		last := s.fetched(0)
		last.SessionID, last.SessionEpoch, last.MaxWaitMillis = resp.SessionID, -1, 0
		s.Do("close a "+what, last)
	}
	unknown := s.fetched(0)
	unknown.SessionID, unknown.SessionEpoch = 1_999_999_999, 1
	s.Do("a session of somebody else", unknown)
}

func listOffsets(s *Session) {
	for _, t := range Topics {
		s.Feed(t, 0, "one", "two", "three")
	}
	ask := func(what string, timestamp int64, partition int32) {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.TimeoutMillis = 5000
		for _, t := range everyTopic {
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = s.Topic(t)
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, timestamp, -1
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
		}
		s.Do(what, req)
	}
	ask("the end", -1, 0)
	ask("the beginning", -2, 0)
	ask("a moment between", epoch0+500, 0)
	ask("a moment after all", epoch0+1<<40, 0)
	ask("a partition that is not there", -1, 99)
	for special, from := range []int16{3: 7, 4: 8, 5: 9} {
		if from > 0 && s.Version >= from {
			special := -int64(special)
			ask(fmt.Sprint("special timestamp ", special), special, 0)
		}
	}
}

func offsetForLeaderEpoch(s *Session) {
	for epoch := range int32(2) {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = -1
		for _, t := range everyTopic {
			rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
			rt.Topic = s.Topic(t)
			for _, p := range []int32{0, 99} {
				rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				rp.Partition, rp.LeaderEpoch, rp.CurrentLeaderEpoch = p, epoch, -1
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
		}
		s.Do(fmt.Sprint("epoch ", epoch), req)
	}
}

func metadata(s *Session) {
	ask := func(what string, topics ...string) {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		req.AllowAutoTopicCreation = s.Version < 4 // which versions before 4 imply
		for _, t := range topics {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = ptr(s.Topic(t))
			req.Topics = append(req.Topics, rt)
		}
		req.IncludeTopicAuthorizedOperations = s.Version >= 8
		s.Do(what, req)
	}
	ask("all by name", everyTopic...)
	ask("one", "orders")
	ask("one that is refused", "hidden")
	ask("one that is no legal name", "?")
	ask("one of the namespace that is not there", Own+"absent")
	if s.Version >= 1 {
		ask("none")
	}
	all := kmsg.NewPtrMetadataRequest()
	all.Topics = nil
	all.AllowAutoTopicCreation = s.Version < 4
	all.IncludeTopicAuthorizedOperations = s.Version >= 8
	s.Do("all", all)
	if s.Version >= 8 && s.Version <= 10 {
		operations := kmsg.NewPtrMetadataRequest()
		operations.Topics, operations.IncludeClusterAuthorizedOperations = []kmsg.MetadataRequestTopic{}, true
		s.Do("the cluster's operations", operations)
	}
	if s.Version >= 12 {
		req := kmsg.NewPtrMetadataRequest()
		for _, t := range everyTopic {
			rt := kmsg.NewMetadataRequestTopic()
			rt.TopicID = s.ID(t)
			req.Topics = append(req.Topics, rt)
		}
		s.Do("all by id", req)
	}
}

func describeCluster(s *Session) {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType = 1
	s.Do("brokers", req)
	req = kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType, req.IncludeClusterAuthorizedOperations = 1, true
	s.Do("with operations", req)
	if s.Version >= 1 {
		req = kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = 2
		s.Do("controllers", req)
	}
}

// login looks at a login from its first byte; a connection that is logged in already is used for what comes then.
func login(s *Session) {
	user, password := s.Lane.Login(s.App)
	fresh := func() *Conn {
		c, err := Dial(s.Lane.through(), "", "")
		if err != nil {
			s.fail("%w", err)
		}
		return c
	}
	s.reconnect()
	try := func(what, mechanism, password string) {
		s.Lane.conns[s.App] = fresh()
		defer s.reconnect()
		handshake := kmsg.NewPtrSASLHandshakeRequest()
		handshake.Mechanism = mechanism
		if s.Key == 17 && s.Version == 0 { // what follows would be tokens without a frame
			s.Do(what+": handshake", handshake)
			return
		}
		if s.Do(what+": handshake", handshake) == nil {
			return
		}
		authenticate := kmsg.NewPtrSASLAuthenticateRequest()
		authenticate.SASLAuthBytes = []byte("\x00" + user + "\x00" + password)
		if s.Do(what+": authenticate", authenticate) == nil {
			return
		}
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		s.Do(what+": and then", req)
	}
	try("good", "PLAIN", password)
	if s.App != Allowed { // a refused login takes a second
		return
	}
	try("unknown mechanism", "GUESS", password)
	try("wrong password", "PLAIN", password+"!")
}

func apiVersions(s *Session) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "script", "1.0"
	s.Do("after the login", req)
	if s.Version >= 3 {
		req = kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "not a name !", ""
		s.Do("with a name that is not legal", req)
	}
}
