package script

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func initProducerID(s *Session) {
	id, epoch := s.producerID("transactional", ptr(s.TxnID("ledger")))
	s.producerID("again", ptr(s.TxnID("ledger")))
	s.producerID("an empty id", ptr(""))
	defer s.producerID("idempotent", nil) // last: an application without topics gets one through the gateway only
	ask := func(what string, timeout int32, id int64, epoch int16) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = ptr(s.TxnID("ledger")), timeout, id, epoch
		s.Do(what, req)
	}
	ask("a time-out that is too long", 1<<30, -1, -1)
	ask("a time-out that is none", 0, -1, -1)
	if s.Version >= 3 {
		ask("with what it had before", 60_000, id, epoch)
		ask("with what it never had", 60_000, 77_000_000, 3)
	}
}

// added is an AddPartitionsToTxn request in the versions that clients speak.
func (s *Session) added(txn string, id int64, epoch int16, topics ...string) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = txn, id, epoch
	for _, t := range topics {
		rt := kmsg.NewAddPartitionsToTxnRequestTopic()
		rt.Topic, rt.Partitions = s.Topic(t), []int32{0}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func (s *Session) endTxn(what, txn string, id int64, epoch int16, commit bool) (int64, int16) {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = txn, id, epoch, commit
	if resp, ok := s.Do(what, req).(*kmsg.EndTxnResponse); ok && resp.ErrorCode == 0 && resp.ProducerID > 0 {
		return resp.ProducerID, resp.ProducerEpoch
	}
	return id, epoch
}

func (s *Session) txnOffsets(what, txn, group string, id int64, epoch int16, topics ...string) {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = txn, s.Group(group), id, epoch, -1
	for _, t := range topics {
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = s.Topic(t)
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Offset, rp.LeaderEpoch = 11, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	s.Do(what, req)
}

// transaction is what a transactional producer of the protocol before transaction.version 2 does, with every step that
// can be refused.
func transaction(s *Session) {
	txn := s.TxnID("ledger")
	id, epoch := s.producerID("begin", &txn)
	write := func(what string, sequence int32, topics ...string) {
		b := plain(fmt.Sprint("in a transaction ", sequence))
		b.producerID, b.producerEpoch, b.sequence, b.transactional = id, epoch, sequence, true
		req := s.produced(-1, b, topics...)
		req.Version, req.TransactionID = 11, &txn // 12 and later add partitions by themselves
		resp, err := s.connection().Do(req)
		if err != nil {
			s.fail("write: %w", err)
		}
		s.write("Produce v11 "+what, resp)
	}
	s.Do("add one topic", s.added(txn, id, epoch, "orders"))
	write("records", 0, "orders")
	offsets := kmsg.NewPtrAddOffsetsToTxnRequest()
	offsets.TransactionalID, offsets.ProducerID, offsets.ProducerEpoch, offsets.Group = txn, id, epoch, s.Group("copier")
	s.Do("add a group", offsets)
	s.txnOffsets("offsets", txn, "copier", id, epoch, "orders")
	s.txnOffsets("offsets of all topics", txn, "copier", id, epoch, everyTopic...)
	id, epoch = s.endTxn("commit", txn, id, epoch, true)
	s.fetchOffsets("committed offsets", "copier", true, "orders")

	s.Do("add all topics", s.added(txn, id, epoch, Topics...))
	s.Do("add a topic that is not there", s.added(txn, id, epoch, "missing"))
	write("records to all", 1, Topics...)
	id, epoch = s.endTxn("abort", txn, id, epoch, false)
	s.endTxn("abort again", txn, id, epoch, false)
	s.endTxn("commit nothing", txn, id, epoch, true)

	s.Do("add as a stranger", s.added(txn, 77_000_000, 0, "orders"))
	s.Do("add with another epoch", s.added(txn, id, epoch+50, "orders"))
	s.endTxn("commit of a transaction that is not there", s.TxnID("absent"), id, epoch, true)
	foreign := kmsg.NewPtrAddOffsetsToTxnRequest()
	foreign.TransactionalID, foreign.ProducerID, foreign.ProducerEpoch, foreign.Group = s.TxnID("absent"), id, epoch, s.Group("copier")
	s.Do("add a group to a transaction that is not there", foreign)
}

func describeTransactions(s *Session) {
	txn := s.TxnID("ledger")
	id, epoch := s.producerID("before", &txn)
	s.Do("before", s.added(txn, id, epoch, "orders"))
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{txn, s.TxnID("absent")}
	s.Do("one that runs", describe)
	list := func(what string, change func(*kmsg.ListTransactionsRequest)) {
		req := kmsg.NewPtrListTransactionsRequest()
		req.DurationFilterMillis = -1
		change(req)
		s.Do(what, req)
	}
	list("all", func(*kmsg.ListTransactionsRequest) {})
	list("in a state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing"} })
	list("in a state that is none", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Guessed"} })
	list("of a producer", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{id} })
	list("of another producer", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{88_000_000} })
	if s.Version >= 1 {
		list("that ran long", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 1 << 40 })
	}
	if s.Version >= 2 {
		list("by a pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = ptr(".*ledger") })
		list("by a pattern that matches none", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = ptr("ledger") })
		list("by a pattern that is none", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = ptr("(") })
	}
	s.endTxn("after", txn, id, epoch, false)
}

// newTopic is a CreateTopics entry.
func newTopic(name string, partitions int32, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	for _, c := range configs {
		key, value, _ := strings.Cut(c, "=")
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
	}
	return t
}

func (s *Session) create(what string, validate bool, topics ...kmsg.CreateTopicsRequestTopic) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.ValidateOnly, req.Topics = 10_000, validate, topics
	s.Do(what, req)
}

// seen waits until a topic that was made is known to the broker, and returns its id.
func (s *Session) seen(name string, partitions int) (id [16]byte) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, ok := s.Until("see it", req, func(r kmsg.Response) bool {
		t := r.(*kmsg.MetadataResponse).Topics
		if len(t) != 1 || t[0].ErrorCode == 29 { // refused: there is nothing to wait for
			return true
		}
		return t[0].ErrorCode == 0 && len(t[0].Partitions) == partitions
	}).(*kmsg.MetadataResponse)
	if ok && len(resp.Topics) == 1 {
		return resp.Topics[0].TopicID
	}
	return id
}

// gone waits until a topic that was deleted is not known to the broker any more.
func (s *Session) gone(name string) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	s.Until("it is gone", req, func(r kmsg.Response) bool {
		t := r.(*kmsg.MetadataResponse).Topics
		return len(t) != 1 || t[0].ErrorCode != 0
	})
}

// ownTopics makes, grows and deletes topics in the application's namespace.
func ownTopics(s *Session) {
	name := s.Own("new")
	s.create("validate only", true, newTopic(name, 2))
	s.create("make one", false, newTopic(name, 2, "retention.ms=3600000"))
	id := s.seen(name, 2)
	s.create("make it again", false, newTopic(name, 2))
	s.create("what cannot be made", false, newTopic(s.Own("none"), 0), newTopic(s.Own("bad?"), 1), newTopic(s.Own("setting"), 1, "retention.ms=soon"), newTopic(s.Own("unknown"), 1, "no.such.setting=1"))
	s.create("a topic that is there and granted", false, newTopic(s.Topic("orders"), 1))

	grow := func(what, topic string, count int32, validate bool) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = 10_000, validate
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = topic, count
		req.Topics = append(req.Topics, rt)
		s.Do(what, req)
	}
	grow("grow it, validate only", name, 4, true)
	grow("grow it", name, 3, false)
	s.seen(name, 3)
	grow("shrink it", name, 1, false)
	grow("grow one that is not there", s.Own("absent"), 3, false)
	grow("grow one that is refused", s.Topic("hidden"), 9, false)

	remove := func(what string, name string, id *[16]byte) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 10_000
		req.TopicNames = []string{name}
		rt := kmsg.NewDeleteTopicsRequestTopic()
		if id != nil {
			rt.TopicID = *id
		} else {
			rt.Topic = &name
		}
		req.Topics = append(req.Topics, rt)
		s.Do(what, req)
	}
	remove("delete one that is not there", s.Own("absent"), nil)
	remove("delete one that is refused", s.Topic("hidden"), nil)
	if s.Key == 20 && s.Version >= 6 {
		nobody := s.ID("nobody's")
		remove("delete an id that nobody has", "", &nobody)
		if id != ([16]byte{}) {
			remove("delete it by its id", "", &id)
		}
	} else {
		remove("delete it", name, nil)
	}
	s.gone(name)
	remove("delete it again", name, nil)
}

func describeConfigs(s *Session) {
	resource := func(kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsRequestResource {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
		return r
	}
	ask := func(what string, resources ...kmsg.DescribeConfigsRequestResource) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources, req.IncludeSynonyms = resources, true
		s.Do(what, req)
	}
	var topics []kmsg.DescribeConfigsRequestResource
	for _, t := range everyTopic {
		topics = append(topics, resource(kmsg.ConfigResourceTypeTopic, s.Topic(t), "retention.ms", "cleanup.policy"))
	}
	ask("some of all topics", topics...)
	ask("all of one topic", resource(kmsg.ConfigResourceTypeTopic, s.Topic("orders")))
	ask("one that is none", resource(kmsg.ConfigResourceTypeTopic, s.Topic("orders"), "no.such.setting"))
	ask("a broker", resource(kmsg.ConfigResourceTypeBroker, "1", "log.dirs"))
	ask("a group", resource(kmsg.ConfigResourceTypeGroupConfig, s.Group("workers")))
}

func describeProducers(s *Session) {
	name := s.Own("new")
	s.create("before", false, newTopic(name, 1))
	topic := s.seen(name, 1)
	b := plain("one")
	b.producerID, b.producerEpoch = s.producerID("before", nil)
	b.sequence = 0
	write := s.produced(-1, b, Own+s.cell+".new")
	write.Topics[0].TopicID = topic
	s.Do("before", write)
	ask := func(what string, topics ...string) {
		req := kmsg.NewPtrDescribeProducersRequest()
		for _, t := range topics {
			rt := kmsg.NewDescribeProducersRequestTopic()
			rt.Topic, rt.Partitions = t, []int32{0, 99}
			req.Topics = append(req.Topics, rt)
		}
		s.Do(what, req)
	}
	ask("of its own topic", name)
	ask("of one that is not there", s.Own("absent"))
	ask("of one that is refused", s.Topic("hidden"))
	ask("of one that is shared", s.Topic("orders"))
}
