package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafka/wire"
)

// Posture says how the gateway deals with a Kafka API.
type Posture uint8

// The postures. Only Rewritten and Answered APIs are advertised.
const (
	Refused   Posture = iota // closes the connection, like any API a broker does not offer
	Answered                 // by the gateway
	Rewritten                // parsed, authorised, mapped in both directions
)

func (p Posture) String() string { return [...]string{"refused", "answered", "rewritten"}[p] }

// Handle turns a request into an action. The error is for the log and ends the
// connection; what a client may know is in the action's answer.
type Handle func(*Exchange, kmsg.Request) (Action, error)

// API is one row of the table.
type API struct {
	Key      int16
	Name     string
	Min, Max int16
	Posture  Posture
	Handle   Handle
	// Fast serves a request from its bytes, when nothing but names has to be
	// changed; otherwise it says no and Handle gets the decoded request. Only
	// the Kafka APIs that carry records have it.
	Fast func(*Exchange, []byte) (Action, bool, error)
	// Passing serves a request of which only the beginning is there, as Fast
	// would; only Produce has it.
	Passing func(*Exchange, wire.ProducePrefix) (Action, bool, error)
	// Coordination calls keep a member in its group: they are never throttled
	// or muted.
	Coordination bool
	// Note is what docs/protocol.md says of the API.
	Note string
}

// Table has a row for every Kafka API up to Kafka 4.3. What is not in it is
// refused; a newer library or broker never widens it.
var Table = []*API{
	{Key: 0, Name: "Produce", Min: 3, Max: 13, Posture: Rewritten, Handle: produce, Fast: produceFast, Passing: producePassing, Note: "by name and by id; transactional id mapped; refused topics answered, the rest sent; control batches refused; hosts replaced"},
	{Key: 1, Name: "Fetch", Min: 4, Max: 18, Posture: Rewritten, Handle: fetch, Note: "by name and by id; withheld topics answered empty; sessions bound to their connection; replicas refused; sizes clamped; hosts replaced"},
	{Key: 2, Name: "ListOffsets", Min: 1, Max: 10, Posture: Rewritten, Handle: listOffsets, Note: "topics mapped; never fails for a topic the application has or had"},
	{Key: 3, Name: "Metadata", Min: 0, Max: 13, Posture: Rewritten, Handle: metadata, Note: "by name and by id; only the application's topics; hosts and cluster id replaced; never creates topics; authorised operations from the grant"},
	{Key: 4, Name: "LeaderAndIsr", Note: "between brokers"},
	{Key: 5, Name: "StopReplica", Note: "between brokers"},
	{Key: 6, Name: "UpdateMetadata", Note: "between brokers"},
	{Key: 7, Name: "ControlledShutdown", Note: "between brokers"},
	{Key: 8, Name: "OffsetCommit", Min: 2, Max: 10, Posture: Rewritten, Handle: offsetCommit, Coordination: true, Note: "group and topics mapped"},
	{Key: 9, Name: "OffsetFetch", Min: 1, Max: 10, Posture: Rewritten, Handle: offsetFetch, Coordination: true, Note: "groups and topics mapped; all topics means the application's"},
	{Key: 10, Name: "FindCoordinator", Min: 0, Max: 6, Posture: Rewritten, Handle: findCoordinator, Coordination: true, Note: "groups and transactional ids mapped; hosts replaced; type 2 (share state) refused"},
	{Key: 11, Name: "JoinGroup", Min: 0, Max: 9, Posture: Rewritten, Handle: joinGroup, Coordination: true, Note: "group mapped, and topic names in the consumer protocol's bytes"},
	{Key: 12, Name: "Heartbeat", Min: 0, Max: 4, Posture: Rewritten, Handle: heartbeat, Coordination: true, Note: "group mapped"},
	{Key: 13, Name: "LeaveGroup", Min: 0, Max: 5, Posture: Rewritten, Handle: leaveGroup, Coordination: true, Note: "group mapped"},
	{Key: 14, Name: "SyncGroup", Min: 0, Max: 5, Posture: Rewritten, Handle: syncGroup, Coordination: true, Note: "group mapped, and topic names in the consumer protocol's bytes"},
	{Key: 15, Name: "DescribeGroups", Min: 0, Max: 6, Posture: Rewritten, Handle: describeGroups, Note: "groups mapped, members' hosts hidden"},
	{Key: 16, Name: "ListGroups", Min: 0, Max: 5, Posture: Rewritten, Handle: listGroups, Note: "only the application's groups"},
	{Key: 17, Name: "SaslHandshake", Min: 0, Max: 1, Posture: Answered, Note: "version 0 is advertised, since librdkafka before 2.1 takes a range without it for a broker without logins; its raw-token flow is refused"},
	{Key: 18, Name: "ApiVersions", Min: 0, Max: 4, Posture: Answered, Note: "this table, narrowed to what every broker of the target clusters offers"},
	{Key: 19, Name: "CreateTopics", Min: 2, Max: 7, Posture: Rewritten, Handle: createTopics, Note: "in the application's namespace, within its counts"},
	{Key: 20, Name: "DeleteTopics", Min: 1, Max: 6, Posture: Rewritten, Handle: deleteTopics, Note: "in the application's namespace; by name and by id"},
	{Key: 21, Name: "DeleteRecords", Min: 0, Max: 2, Posture: Rewritten, Handle: deleteRecords, Note: "topics of the application's namespace, and those that its plan lets it manage"},
	{Key: 22, Name: "InitProducerId", Min: 0, Max: 5, Posture: Rewritten, Handle: initProducerID, Note: "transactional id mapped"},
	{Key: 23, Name: "OffsetForLeaderEpoch", Min: 2, Max: 4, Posture: Rewritten, Handle: offsetForLeaderEpoch, Note: "topics mapped"},
	{Key: 24, Name: "AddPartitionsToTxn", Min: 0, Max: 3, Posture: Rewritten, Handle: addPartitionsToTxn, Note: "transactional id and topics mapped; fails whole, after adding what is allowed; 4 and later are between brokers"},
	{Key: 25, Name: "AddOffsetsToTxn", Min: 0, Max: 4, Posture: Rewritten, Handle: addOffsetsToTxn, Note: "transactional id and group mapped"},
	{Key: 26, Name: "EndTxn", Min: 0, Max: 5, Posture: Rewritten, Handle: endTxn, Note: "transactional id mapped"},
	{Key: 27, Name: "WriteTxnMarkers", Note: "between brokers"},
	{Key: 28, Name: "TxnOffsetCommit", Min: 0, Max: 5, Posture: Rewritten, Handle: txnOffsetCommit, Note: "transactional id, group and topics mapped"},
	{Key: 29, Name: "DescribeAcls", Note: "rights belong to the platform"},
	{Key: 30, Name: "CreateAcls", Note: "rights belong to the platform"},
	{Key: 31, Name: "DeleteAcls", Note: "rights belong to the platform"},
	{Key: 32, Name: "DescribeConfigs", Min: 1, Max: 4, Posture: Rewritten, Handle: describeConfigs, Note: "topics and groups mapped; brokers refused; sensitive values left out"},
	{Key: 33, Name: "AlterConfigs", Min: 0, Max: 2, Posture: Rewritten, Handle: alterConfigs, Note: "topics of the application's namespace, and those that its plan lets it manage; from a list with bounds, what is not on it stays as it is"},
	{Key: 34, Name: "AlterReplicaLogDirs", Note: "infrastructure"},
	{Key: 35, Name: "DescribeLogDirs", Note: "infrastructure"},
	{Key: 37, Name: "CreatePartitions", Min: 0, Max: 3, Posture: Rewritten, Handle: createPartitions, Note: "in the application's namespace, within its counts"},
	{Key: 36, Name: "SaslAuthenticate", Min: 0, Max: 2, Posture: Answered, Note: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; re-authentication keeps the principal (KIP-368)"},
	{Key: 38, Name: "CreateDelegationToken", Note: "the platform issues credentials"},
	{Key: 39, Name: "RenewDelegationToken", Note: "the platform issues credentials"},
	{Key: 40, Name: "ExpireDelegationToken", Note: "the platform issues credentials"},
	{Key: 41, Name: "DescribeDelegationToken", Note: "the platform issues credentials"},
	{Key: 42, Name: "DeleteGroups", Min: 0, Max: 2, Posture: Rewritten, Handle: deleteGroups, Note: "groups mapped"},
	{Key: 43, Name: "ElectLeaders", Note: "infrastructure"},
	{Key: 44, Name: "IncrementalAlterConfigs", Min: 0, Max: 1, Posture: Rewritten, Handle: incrementalAlterConfigs, Note: "topics as AlterConfigs, and the application's groups; from lists with bounds"},
	{Key: 45, Name: "AlterPartitionReassignments", Note: "infrastructure"},
	{Key: 46, Name: "ListPartitionReassignments", Note: "infrastructure"},
	{Key: 47, Name: "OffsetDelete", Min: 0, Max: 0, Posture: Rewritten, Handle: offsetDelete, Note: "group and topics mapped"},
	{Key: 48, Name: "DescribeClientQuotas", Note: "infrastructure"},
	{Key: 49, Name: "AlterClientQuotas", Note: "infrastructure"},
	{Key: 50, Name: "DescribeUserScramCredentials", Note: "the platform issues credentials"},
	{Key: 51, Name: "AlterUserScramCredentials", Note: "the platform issues credentials"},
	{Key: 52, Name: "Vote", Note: "between controllers"},
	{Key: 53, Name: "BeginQuorumEpoch", Note: "between controllers"},
	{Key: 54, Name: "EndQuorumEpoch", Note: "between controllers"},
	{Key: 55, Name: "DescribeQuorum", Note: "infrastructure"},
	{Key: 56, Name: "AlterPartition", Note: "between brokers"},
	{Key: 57, Name: "UpdateFeatures", Note: "infrastructure"},
	{Key: 58, Name: "Envelope", Note: "between brokers"},
	{Key: 59, Name: "FetchSnapshot", Note: "between controllers"},
	{Key: 60, Name: "DescribeCluster", Min: 0, Max: 2, Posture: Rewritten, Handle: describeCluster, Note: "hosts and cluster id replaced; controllers refused"},
	{Key: 61, Name: "DescribeProducers", Min: 0, Max: 0, Posture: Rewritten, Handle: describeProducers, Note: "topics of the application's namespace; those of a shared topic are refused"},
	{Key: 62, Name: "BrokerRegistration", Note: "between brokers"},
	{Key: 63, Name: "BrokerHeartbeat", Note: "between brokers"},
	{Key: 64, Name: "UnregisterBroker", Note: "infrastructure"},
	{Key: 65, Name: "DescribeTransactions", Min: 0, Max: 0, Posture: Rewritten, Handle: describeTransactions, Note: "transactional ids and topics mapped"},
	{Key: 66, Name: "ListTransactions", Min: 0, Max: 2, Posture: Rewritten, Handle: listTransactions, Note: "only the application's; the pattern is matched here"},
	{Key: 67, Name: "AllocateProducerIds", Note: "between brokers"},
	{Key: 68, Name: "ConsumerGroupHeartbeat", Min: 0, Max: 1, Posture: Rewritten, Handle: consumerGroupHeartbeat, Coordination: true, Note: "group, names and ids mapped; regular expressions evaluated here; never an error for a topic"},
	{Key: 69, Name: "ConsumerGroupDescribe", Min: 0, Max: 1, Posture: Rewritten, Handle: consumerGroupDescribe, Note: "groups, names and ids mapped, members' hosts hidden"},
	{Key: 70, Name: "ControllerRegistration", Note: "between controllers"},
	{Key: 71, Name: "GetTelemetrySubscriptions", Min: 0, Max: 0, Posture: Answered, Handle: getTelemetrySubscriptions, Note: "the metrics that the gateway asks for (KIP-714); not offered where `telemetry.enabled` is off"},
	{Key: 72, Name: "PushTelemetry", Min: 0, Max: 0, Posture: Answered, Handle: pushTelemetry, Note: "decoded within bounds and shown per application in `/metrics`; never forwarded"},
	{Key: 73, Name: "AssignReplicasToDirs", Note: "between brokers"},
	{Key: 74, Name: "ListConfigResources", Min: 1, Max: 1, Posture: Rewritten, Handle: listConfigResources, Note: "only the application's topics and groups; brokers and client metrics refused"},
	{Key: 75, Name: "DescribeTopicPartitions", Min: 0, Max: 0, Posture: Rewritten, Handle: describeTopicPartitions, Note: "only the application's topics, in pages by exposed name; authorised operations from the grant"},
	{Key: 76, Name: "ShareGroupHeartbeat", Min: 1, Max: 1, Posture: Rewritten, Handle: shareGroupHeartbeat, Coordination: true, Note: "group, names and ids mapped; never an error for a topic"},
	{Key: 77, Name: "ShareGroupDescribe", Min: 1, Max: 1, Posture: Rewritten, Handle: shareGroupDescribe, Note: "groups, names and ids mapped, members' hosts hidden"},
	{Key: 78, Name: "ShareFetch", Min: 1, Max: 2, Posture: Rewritten, Handle: shareFetch, Note: "group and ids mapped; withheld topics leave the broker's share session and come back; one session for each connection; sizes clamped; hosts replaced"},
	{Key: 79, Name: "ShareAcknowledge", Min: 1, Max: 2, Posture: Rewritten, Handle: shareAcknowledge, Note: "group and ids mapped; never fails for a topic the application has or had; hosts replaced"},
	{Key: 80, Name: "AddRaftVoter", Note: "infrastructure"},
	{Key: 81, Name: "RemoveRaftVoter", Note: "infrastructure"},
	{Key: 82, Name: "UpdateRaftVoter", Note: "between controllers"},
	{Key: 83, Name: "InitializeShareGroupState", Note: "between brokers"},
	{Key: 84, Name: "ReadShareGroupState", Note: "between brokers"},
	{Key: 85, Name: "WriteShareGroupState", Note: "between brokers"},
	{Key: 86, Name: "DeleteShareGroupState", Note: "between brokers"},
	{Key: 87, Name: "ReadShareGroupStateSummary", Note: "between brokers"},
	{Key: 88, Name: "StreamsGroupHeartbeat", Min: 0, Max: 0, Posture: Rewritten, Handle: streamsGroupHeartbeat, Coordination: true, Note: "group and topology mapped; internal topics lie in the application's namespace, within its counts; a topology that cannot run waits here, its member told by its status which topics are missing; regular expressions refused, as brokers do"},
	{Key: 89, Name: "StreamsGroupDescribe", Min: 0, Max: 0, Posture: Rewritten, Handle: streamsGroupDescribe, Note: "groups and names mapped, members' hosts hidden"},
	{Key: 90, Name: "DescribeShareGroupOffsets", Min: 0, Max: 1, Posture: Rewritten, Handle: describeShareGroupOffsets, Note: "groups, names and ids mapped; all topics means the application's"},
	{Key: 91, Name: "AlterShareGroupOffsets", Min: 0, Max: 0, Posture: Rewritten, Handle: alterShareGroupOffsets, Note: "group, names and ids mapped"},
	{Key: 92, Name: "DeleteShareGroupOffsets", Min: 0, Max: 0, Posture: Rewritten, Handle: deleteShareGroupOffsets, Note: "group, names and ids mapped"},
}

// Lookup returns the row of a Kafka API that is let in, or nil.
func Lookup(key int16) *API {
	if key < 0 || int(key) >= len(byKey) {
		return nil
	}
	return byKey[key]
}

// Keys is one more than the greatest key of Table.
const Keys = 93

var byKey = func() (rows [Keys]*API) {
	for _, a := range Table {
		if a.Posture != Refused {
			rows[a.Key] = a
		}
	}
	return rows
}()

// ServeFast tries to handle a request from the bytes of its body, which passed
// the structural check and stay valid until the action is done.
func (a *API) ServeFast(x *Exchange, body []byte) (Action, bool, error) {
	if a.Fast == nil {
		return Action{}, false, nil
	}
	x.api = a
	return a.Fast(x, body)
}

// ServePassing tries to handle a request whose records are still on their way.
// Views of the prefix stay valid until the action is done.
func (a *API) ServePassing(x *Exchange, prefix wire.ProducePrefix) (Action, bool, error) {
	if a.Passing == nil {
		return Action{}, false, nil
	}
	x.api = a
	return a.Passing(x, prefix)
}

// Serve handles a decoded request of the API.
func (a *API) Serve(x *Exchange, r kmsg.Request) (Action, error) {
	x.api = a
	return a.Handle(x, r)
}
