package handler

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
)

// Metadata, versions 0 to 13; lookup by topic id from 10 on (KIP-516). Topics
// are filtered and renamed, brokers get our addresses, the cluster its virtual
// id, authorised operations are worked out from the grant. Topics are never
// created on the way. The request goes upstream in one modern version whatever
// the client speaks, because versions before 4 would create topics.

const metadataUpstream = 12 // 13 adds only an error that clients of 12 do not know

// authorizedUnknown says that authorised operations were not asked for
// (KIP-430).
const authorizedUnknown = math.MinInt32

func metadata(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.MetadataRequest)
	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0

	up := kmsg.NewPtrMetadataRequest()
	up.Version = min(metadataUpstream, x.upstreamMax(3, metadataUpstream))
	up.AllowAutoTopicCreation = false
	up.Topics = []kmsg.MetadataRequestTopic{} // empty, not null: none
	ask := func(name string, id [16]byte) {
		t := kmsg.NewMetadataRequestTopic()
		t.TopicID = id
		if id == ([16]byte{}) {
			t.Topic = &name
		}
		up.Topics = append(up.Topics, t)
	}

	var entries []metadataEntry
	if all {
		for _, t := range x.Grant.Topics {
			if t.Decide(grant.List, x.Now).Verdict != grant.Allow {
				continue
			}
			entries = append(entries, metadataEntry{target: x.named(t.Exposed, grant.List), listed: true})
			ask(t.Backing, [16]byte{})
		}
		if x.Grant.HasNamespace() {
			own, err := x.Conn.Cluster.Topics(x.Context, x.Grant.Prefix)
			if err != nil {
				return Action{}, err
			}
			for _, t := range own {
				if exposed, ok := x.Grant.OwnTopicExposed(t.Name); ok {
					entries = append(entries, metadataEntry{target: x.named(exposed, grant.List), listed: true})
					ask(t.Name, [16]byte{})
				}
			}
		}
	}
	for _, rt := range req.Topics {
		var t target
		e := metadataEntry{}
		switch {
		case rt.TopicID != ([16]byte{}):
			var err error
			if t, err = x.identified(rt.TopicID, grant.Describe); err != nil {
				return Action{}, err
			}
			e.byID = true
		case rt.Topic != nil:
			t = x.named(*rt.Topic, grant.Describe)
		default:
			return Action{Close: "metadata request with neither name nor id"}, nil
		}
		e.target = t
		if !t.allowed() {
			x.reject(&t, grant.Describe)
			e.refused = true
		} else {
			ask(t.backing, [16]byte{})
		}
		entries = append(entries, e)
	}

	return Action{Upstream: up, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.MetadataResponse)
		x.learn(resp)
		return x.metadataAnswer(req, resp, entries), nil
	}}, nil
}

type metadataEntry struct {
	target  target
	byID    bool
	listed  bool
	refused bool
}

// learn keeps what a Metadata answer says of brokers and topic ids.
func (x *Exchange) learn(resp *kmsg.MetadataResponse) {
	brokers := make([]upstream.Broker, 0, len(resp.Brokers))
	for _, b := range resp.Brokers {
		rack := ""
		if b.Rack != nil {
			rack = *b.Rack
		}
		brokers = append(brokers, upstream.Broker{NodeID: b.NodeID, Host: b.Host, Port: b.Port, Rack: rack})
	}
	x.Conn.Cluster.LearnBrokers(brokers)
	for _, t := range resp.Topics {
		if t.ErrorCode == 0 && t.Topic != nil && t.TopicID != ([16]byte{}) {
			x.Conn.Cluster.LearnTopic(*t.Topic, t.TopicID)
		}
	}
}

func (x *Exchange) metadataAnswer(req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse, entries []metadataEntry) *kmsg.MetadataResponse {
	out := kmsg.NewPtrMetadataResponse()
	out.Version = req.Version
	out.ThrottleMillis = resp.ThrottleMillis
	out.ErrorCode = resp.ErrorCode
	id := x.Grant.VirtualClusterID
	out.ClusterID = &id
	out.ControllerID = -1
	out.AuthorizedOperations = authorizedUnknown
	if req.IncludeClusterAuthorizedOperations {
		out.AuthorizedOperations = x.clusterOperations()
	}
	for _, b := range resp.Brokers {
		host, port, ok := x.Conn.Addresses.Advertise(b.NodeID)
		if !ok {
			continue
		}
		if b.NodeID == resp.ControllerID {
			out.ControllerID = b.NodeID
		}
		nb := kmsg.NewMetadataResponseBroker()
		nb.NodeID, nb.Host, nb.Port = b.NodeID, host, port
		out.Brokers = append(out.Brokers, nb)
	}
	answered := make(map[string]*kmsg.MetadataResponseTopic, len(resp.Topics))
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil {
			answered[*t.Topic] = t
		}
	}
	for _, e := range entries {
		nt := kmsg.NewMetadataResponseTopic()
		nt.AuthorizedOperations = authorizedUnknown
		exposed := e.target.exposed
		if e.refused {
			if e.byID {
				nt.ErrorCode, nt.TopicID = kerr.UnknownTopicID.Code, e.target.virtual
			} else {
				nt.ErrorCode, nt.Topic = kerr.TopicAuthorizationFailed.Code, &exposed
			}
			if nt.Topic == nil && req.Version < 12 {
				empty := ""
				nt.Topic = &empty
			}
			out.Topics = append(out.Topics, nt)
			continue
		}
		t := answered[e.target.backing]
		if t == nil {
			continue
		}
		if e.listed && t.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			continue // deleted between listing and asking
		}
		nt.Topic = &exposed
		nt.ErrorCode = t.ErrorCode
		x.warnOfRefusal(&e.target, nt.ErrorCode)
		if t.TopicID != ([16]byte{}) {
			if vid, ok := x.exposeID(e.target.backing, t.TopicID); ok {
				nt.TopicID = vid
			}
		}
		nt.Partitions = t.Partitions
		if req.IncludeTopicAuthorizedOperations {
			nt.AuthorizedOperations = x.topicOperations(&e.target)
		}
		out.Topics = append(out.Topics, nt)
	}
	return out
}

// warnOfRefusal tells the log that the target cluster refuses our own principal
// a topic that the application was granted: that is the operator's to mend, and
// doctor names it.
func (x *Exchange) warnOfRefusal(t *target, code int16) {
	if code == kerr.TopicAuthorizationFailed.Code {
		x.log().Warn("the target cluster refuses our own principal a topic", "topic", t.exposed, "backing_topic", t.backing)
	}
}

// upstreamMax is the newest version of a Kafka API that the target cluster
// offers, or otherwise when it is not known yet.
func (x *Exchange) upstreamMax(key, otherwise int16) int16 {
	if r, ok := x.Conn.Cluster.Versions()[key]; ok {
		return r.Max
	}
	return otherwise
}

// Kafka's codes of ACL operations, as bits of an authorised-operations field
// (KIP-430).
const (
	opRead            = 1 << 3
	opWrite           = 1 << 4
	opCreate          = 1 << 5
	opDelete          = 1 << 6
	opAlter           = 1 << 7
	opDescribe        = 1 << 8
	opDescribeConfigs = 1 << 10
	opAlterConfigs    = 1 << 11
)

func (x *Exchange) clusterOperations() int32 {
	if x.Grant.HasNamespace() {
		return opDescribe | opCreate
	}
	return opDescribe
}

func (x *Exchange) topicOperations(t *target) int32 {
	if t.topic == nil {
		return opRead | opWrite | opCreate | opDelete | opAlter | opDescribe | opDescribeConfigs | opAlterConfigs
	}
	ops := int32(opDescribe | opDescribeConfigs)
	if t.topic.Read.Access == grant.Granted {
		ops |= opRead
	}
	if t.topic.Write.Access == grant.Granted {
		ops |= opWrite
	}
	if t.topic.DeleteRecords {
		ops |= opDelete // the operation of Kafka's that DeleteRecords needs
	}
	if t.topic.AlterConfigs {
		ops |= opAlterConfigs
	}
	return ops
}

// groupOperations are what an application may do with any group of its own.
const groupOperations = opRead | opDelete | opDescribe | opDescribeConfigs | opAlterConfigs
