package gateway

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/grant"
)

// forCoordinators are requests that clients send to a coordinator.
func forCoordinators() []kmsg.Request {
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group = "g"
	ct, cp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	ct.Topic, ct.TopicID, ct.Partitions = "orders", orders().ID, append(ct.Partitions, cp)
	commit.Topics = append(commit.Topics, ct)
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group = "g"
	ft := kmsg.NewOffsetFetchRequestTopic()
	ft.Topic, ft.Partitions = "orders", []int32{0}
	fetch.Topics = append(fetch.Topics, ft)
	fg := kmsg.NewOffsetFetchRequestGroup()
	fg.Group = "g"
	fetch.Groups = append(fetch.Groups, fg)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.MemberID, join.ProtocolType = "g", "m", "connect"
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group = "g"
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group = "g"
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "g"
	txn := "tx"
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID = &txn
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	at := kmsg.NewAddPartitionsToTxnRequestTopic()
	at.Topic, at.Partitions = "orders", []int32{0}
	add.TransactionalID, add.Topics = txn, append(add.Topics, at)
	offsets := kmsg.NewPtrAddOffsetsToTxnRequest()
	offsets.TransactionalID, offsets.Group = txn, "g"
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID = txn
	within := kmsg.NewPtrTxnOffsetCommitRequest()
	wt, wp := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
	wt.Topic, wt.Partitions = "orders", append(wt.Partitions, wp)
	within.TransactionalID, within.Group, within.Topics = txn, "g", append(within.Topics, wt)
	consumer := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	consumer.Group, consumer.MemberID, consumer.SubscribedTopicNames = "g", "m", []string{"orders"}
	share := kmsg.NewPtrShareGroupHeartbeatRequest()
	share.GroupID, share.MemberID, share.SubscribedTopicNames = "g", "m", []string{"orders"}
	streams := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	streams.Group, streams.MemberID, streams.MemberEpoch = "g", "m", 3
	return []kmsg.Request{commit, fetch, join, sync, beat, leave, init, add, offsets, end, within, consumer, share, streams}
}

// codes are the error codes that stand in an answer, and its names of topics.
func codes(v reflect.Value, found map[int16]bool, topics map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			codes(v.Elem(), found, topics)
		}
	case reflect.Slice:
		for i := range v.Len() {
			codes(v.Index(i), found, topics)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; name {
			case "ErrorCode":
				found[int16(v.Field(i).Int())] = true
			case "Topic":
				topics[v.Field(i).String()] = true
			default:
				if v.Type().Field(i).IsExported() {
					codes(v.Field(i), found, topics)
				}
			}
		}
	}
}

// A broker that cannot be reached is not the coordinator any more: clients look
// for it anew upon that answer, and not all of them upon a lost connection.
func TestUnreachedCoordinatorsAreToldToBeElsewhere(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())))
	conn := w.rawLogin("acme")
	b.listener.Close()
	for _, req := range forCoordinators() {
		api := handler.Lookup(req.Key())
		for version := api.Min; version <= api.Max; version++ {
			for _, again := range forCoordinators() { // handlers use up what they get
				if again.Key() == req.Key() {
					req = again
				}
			}
			req.SetVersion(version)
			resp, err := exchange(conn, req)
			if err != nil {
				t.Fatalf("%s v%d: %v", api.Name, version, err)
			}
			found, topics := map[int16]bool{}, map[string]bool{}
			codes(reflect.ValueOf(resp), found, topics)
			delete(found, 0) // of another level
			delete(topics, "")
			delete(topics, "orders")
			if len(found) != 1 || !found[kerr.NotCoordinator.Code] || len(topics) > 0 {
				t.Errorf("%s v%d: %+v", api.Name, version, resp)
			}
		}
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g"}
	for version := range int16(7) {
		find.Version = version
		found := map[int16]bool{}
		resp, err := exchange(w.rawLogin("acme"), find)
		if err == nil {
			codes(reflect.ValueOf(resp), found, map[string]bool{})
		}
		if !found[kerr.CoordinatorNotAvailable.Code] {
			t.Errorf("FindCoordinator v%d: %v, %+v", version, err, resp)
		}
	}
	// Who does not ask for a coordinator gets none: the client has to look at the
	// metadata.
	idempotent := kmsg.NewPtrInitProducerIDRequest()
	for _, req := range []kmsg.Request{fetchOf(11, "orders"), metadataOf("orders"), idempotent} {
		if resp, err := exchange(w.rawLogin("acme"), req); err == nil {
			t.Errorf("%s is answered without a broker: %+v", kmsg.NameForKey(req.Key()), resp)
		}
	}
}

func TestFranzGoFindsAnotherCoordinatorOnceOneIsGone(t *testing.T) {
	acme := app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted))
	w := start(t, credential("acme", acme))
	var mu sync.Mutex
	conns := map[string][]net.Conn{}
	onDial := func(addr string, conn net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns[addr] = append(conns[addr], conn)
	}
	w.onDial.Store(&onDial)
	cl := w.client("acme", kgo.MetadataMinAge(time.Minute), kgo.MetadataMaxAge(time.Hour))
	offset := func() int16 {
		t.Helper()
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Group = "g"
		ft := kmsg.NewOffsetFetchRequestTopic()
		ft.Topic, ft.Partitions = "orders", []int32{0}
		fetch.Topics = append(fetch.Topics, ft)
		resp, err := fetch.RequestWith(bounded(t), cl)
		if said := new(kerr.Error); errors.As(err, &said) {
			return said.Code
		}
		if err != nil {
			t.Fatal(err)
		}
		return resp.ErrorCode
	}
	// It has no members yet, as the coordinator knows.
	if code := offset(); code != kerr.GroupIDNotFound.Code {
		t.Fatal(kerr.ErrorForCode(code))
	}
	node := w.fake.CoordinatorFor(acme.Group("g"))
	var addr string
	for _, b := range w.cluster.Brokers() {
		if b.NodeID == node {
			addr = net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
		}
	}
	if err := w.fake.RemoveNode(node); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(conns[addr]) == 0 {
		t.Errorf("no connection to the coordinator %s: %v", addr, conns)
	}
	for _, c := range conns[addr] {
		c.Close()
	}
	mu.Unlock()
	began := time.Now()
	// The broker that is asked for the new one may be the one that is gone: that
	// is said in a way upon which clients ask again.
	for code := offset(); code != kerr.GroupIDNotFound.Code; code = offset() {
		if code != kerr.CoordinatorNotAvailable.Code && code != kerr.NotCoordinator.Code || time.Since(began) > 30*time.Second {
			t.Fatal(kerr.ErrorForCode(code))
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("found after %v", took)
	}
}
