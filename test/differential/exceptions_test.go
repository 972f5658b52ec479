package differential

import (
	"regexp"
	"strings"

	"sluice/test/script"
)

// exception is a difference that is meant. It is no wider than it must be: by place, application and both values.
type exception struct {
	id     string // short, for the report
	reason string
	place  *regexp.Regexp // where: "API vN what was asked: field"
	apps   string         // as whom; empty: all
	a, b   *regexp.Regexp // what Kafka and what the gateway says; nil: anything
	since  string         // the oldest release of Kafka that needs it; empty: all
	until  string         // the newest
	chance bool           // whether it is needed depends on names that the harness makes up, or on timing
	used   bool
}

func (e *exception) appliesTo(release string) bool {
	return (e.since == "" || release >= e.since) && (e.until == "" || release <= e.until)
}

// excepted returns the exception that a difference falls under, or nil.
func (l exceptionList) excepted(app string, d script.Difference) *exception {
	for _, e := range l {
		if e.place.MatchString(d.Place) && (e.apps == "" || strings.Contains(e.apps, app)) && (e.a == nil || e.a.MatchString(d.A)) && (e.b == nil || e.b.MatchString(d.B)) {
			e.used = true
			return e
		}
	}
	return nil
}

type exceptionList []*exception

// values matches a value as a whole.
func values(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(` + pattern + `)$`) }

func at(pattern string) *regexp.Regexp { return regexp.MustCompile(`^` + pattern) }

const partlyOrDenied = "partly denied"

// newExceptions returns the list. The design has the reasons at length: error on one topic stops other topics in half
// of the clients, silence on one stops nothing; an application sees its own names only.
func newExceptions() exceptionList {
	return exceptionList{
		// Texts and hosts.
		{id: "texts", reason: "a broker's text may name what is there: it is Kafka's description of the code, or a rejection with its id",
			place: at(`.*(ErrorMessage|BatchIndexErrorMessage)$`)},
		{id: "member hosts", reason: "a member's host, as the broker sees it, is the gateway's: it is hidden",
			place: at(`.*Members\[.*\]\.ClientHost$`), b: values(`"/0\.0\.0\.0"`)},

		// What is offered.
		{id: "offered APIs", reason: "the gateway's table, which is narrower than a broker's",
			place: at(`ApiVersions v\S+ after the login: ApiKeys\[`)},
		{id: "offered features", reason: "features of the cluster itself, and those without the Kafka APIs that belong to them, are not shown",
			place: at(`ApiVersions v\S+ after the login: (Supported|Finalized)Features`)},
		{id: "offered mechanisms", reason: "the gateway's listener has its own mechanisms",
			place: at(`SASLHandshake v\S+ .*SupportedMechanisms$`)},
		{id: "raw tokens", reason: "SaslHandshake 0 is only advertised, for clients that look for it; what follows it has no frames, and is refused",
			place: at(`SASLHandshake v0 .*: handshake(\.|$|:)`)},

		// Names and ids that are not granted.
		{id: "foreign ids", reason: "an id that was never granted is unknown (100), whether it exists or not; Kafka tells by 29 that it does",
			place: at(`.*[iI]d of (orders|readonly|writeonly|hidden)\](\.Partitions\[\d+\])?\.ErrorCode$`), apps: partlyOrDenied, a: values("29|53"), b: values("100")},
		{id: "namespace", reason: "a name that is granted nowhere lies in the application's own namespace, where nothing has it yet; Kafka's principal has no right to it",
			place: at(`.*\[~missing\](\.Partitions\[\d+\])?\.(ErrorCode|AuthorizedOperations)$`), apps: script.Allowed, a: values("29|-2147483648"), b: values("0|3|3576")},
		{id: "namespace operations", reason: "an application with a namespace may create topics",
			place: at(`(Metadata v\S+ the cluster's operations: AuthorizedOperations|DescribeCluster v\S+ with operations: ClusterAuthorizedOperations)$`), apps: script.Allowed, a: values("256"), b: values("288")},
		{id: "own settings", reason: "an application sets what concerns its data, within bounds; all else is refused by policy (44), unknown and bad values too",
			place: at(`(CreateTopics v\S+ what cannot be made: Topics\[~own\..*\.(setting|unknown)\]|(Incremental)?AlterConfigs v\S+ (a bad value|an unknown setting): Resources\[~own\..*\])\.ErrorCode$`), a: values("40"), b: values("44")},
		{id: "granted names", reason: "to make a topic with the name of a granted one: it exists, which the application knows",
			place: at(`CreateTopics v\S+ a topic that is there and granted: Topics\[~orders\]\.ErrorCode$`), a: values("29"), b: values("36")},
		{id: "illegal names", reason: "a name that is no legal one is called that before rights are looked at",
			place: at(`CreateTopics v\S+ what cannot be made: Topics\[~own\..*\.bad\?\]\.ErrorCode$`), apps: partlyOrDenied, a: values("29"), b: values("17")},
		{id: "empty names", reason: "Kafka's authorizer knows no empty name, and refuses it before the broker looks at it",
			place: at(`(JoinGroup v\S+ a group without a name|InitProducerID v\S+ an empty id): ErrorCode$`), a: values("30|53"), b: values("24|42")},
		{id: "empty coordinator", reason: "as empty names; behind the application's prefix it is a name like any other",
			place: at(`FindCoordinator v\S+ of nothing: `)},

		{id: "group operations", reason: "before 4.0 the configuration of a group was no operation of its own",
			place: at(`DescribeGroups v\S+ .*\.AuthorizedOperations$`), a: values("328"), b: values("3400"), until: "3.9.9"},

		// What never fails (the design's §2.1).
		{id: "heartbeats never fail", reason: "a KIP-848 member that subscribes to what it may not is never answered 29: clients would repeat it without a pause; it gets what it may have",
			place: at(`ConsumerGroupHeartbeat v\S+ subscribe( to all)?: `), since: "4.0"},
		{id: "heartbeats never fail, epochs", reason: "as its subscription was taken, the group is one epoch further",
			place: at(`ConsumerGroupDescribe v\S+ .*\.new\]\.(Epoch|AssignmentEpoch|Members\[member-1\]\.(MemberEpoch|SubscribedTopics))$`), since: "4.0"},
		{id: "commits never fail", reason: "OffsetCommit never fails for a topic that the application has, be it for writing only",
			place: at(`(OffsetCommit|TxnOffsetCommit) v\S+ .*Topics\[(~writeonly|id of writeonly)\]\.Partitions\[0\]\.ErrorCode$`), apps: script.Partly, a: values("29"), b: values("0")},
		{id: "commits never fail, offsets", reason: "and what was committed is there",
			place: at(`(effects: group .* offsets "~writeonly"|OffsetFetch v\S+ .*Topics\[(~writeonly|id of writeonly)\])`), apps: script.Partly},
		{id: "offsets of what is written", reason: "OffsetFetch and OffsetDelete look at topics the application has, whatever it may do with them",
			place: at(`(OffsetFetch|OffsetDelete) v\S+ .*Topics\[(~writeonly|id of writeonly)\].*$`), apps: script.Partly},
		{id: "producer ids", reason: "a producer id is a number: an application without any topic gets one",
			place: at(`InitProducerID v\S+ (idempotent|for an idempotent producer|before): `), apps: script.Denied, a: values("31|-1|0"), b: values(`0|producer-\d+`)},
		{id: "which refusal", reason: "two things are wrong at once; which is told is a matter of order",
			place: at(`Produce v\S+ (transactional records without a transactional id|a transactional id that does not know the producer): Topics`), apps: partlyOrDenied, a: values("53|29|49"), b: values("29|100|49")},

		{id: "refused beside an error", reason: "topics that are refused are answered even where the group is not there",
			place: at(`OffsetDelete v\S+ of a group that is not there: `), apps: partlyOrDenied},
		{id: "refused batches", reason: "a batch that is refused before it reaches the broker: where the log starts is not known here",
			place: at(`Produce v\S+ a control batch: Topics.*\.LogStartOffset$`), a: values("0"), b: values("-1")},

		{id: "pages", reason: "where a page ends depends on the order of names, which is that of the exposed ones here and of the cluster's there",
			place: at(`DescribeTopicPartitions v\S+ the (first|next) page`), chance: true},

		{id: "own resources", reason: "Kafka lists configurations to who may see the cluster's; here everybody sees the own topics and groups",
			place: at(`ListConfigResources v\S+ `), since: "4.1"},

		// Share groups and those of Kafka Streams.
		{id: "streams heartbeats never fail", reason: "as heartbeats of KIP-848: a member whose topology names what it may not read is in the group, and gets no tasks of it",
			place: at(`(StreamsGroupHeartbeat v\S+|StreamsGroupDescribe v\S+ while it has a member: Groups.*\.streams|effects: group "~g\..*\.streams)`), apps: script.Denied, since: "4.2"},
		{id: "share heartbeats never fail", reason: "as heartbeats of KIP-848: a member that subscribes to what it may not is in the group, and gets what it may have",
			place: at(`(ShareGroupHeartbeat v\S+|ShareGroupDescribe v\S+ while it has a member: Groups.*\.share|effects: group "~g\..*\.share)`), apps: script.Denied, since: "4.0"},
		{id: "share offsets of no group", reason: "the group of a member that was never let in is not there on the cluster itself; topics that are refused are answered all the same",
			place: at(`DeleteShareGroupOffsets v\S+ delete: `), apps: script.Denied, since: "4.3"},
		{id: "share epochs", reason: "a share group goes an epoch further by itself, once the cluster has the state of its partitions",
			place: at(`ShareGroup(Describe|Heartbeat) v\S+ .*Epoch$`), chance: true},
		{id: "share fetches of foreign ids", reason: "an id that nobody granted is answered as unknown in its place; Kafka 4.1 answers an error of its own for the whole",
			place: at(`ShareFetch v\S+ another's topics: `), since: "4.0"},
		{id: "share fetches of refused topics", reason: "as foreign ids, with no leader told",
			place: at(`ShareFetch v\S+ open a session: Topics\[id of orders\]\.Partitions\[0\]\.CurrentLeader\.`), apps: script.Denied, since: "4.0"},
		{id: "share ids", reason: "the id of a topic that is refused is not told",
			place: at(`AlterShareGroupOffsets v\S+ .*\.TopicID$`), apps: partlyOrDenied, b: values("none"), since: "4.0"},
		{id: "share offsets", reason: "where a group starts is deleted for topics the application has, whatever it may do with them",
			place: at(`DeleteShareGroupOffsets v\S+ delete: Topics\[~writeonly\]\.ErrorCode$`), apps: script.Partly, a: values("29"), b: values("3|0"), since: "4.0"},

		// Transactions.
		{id: "half a transaction", reason: "AddPartitionsToTxn fails whole, as in Kafka, after adding what is allowed, so that the abort that follows finds a transaction",
			place: at(`(EndTxn v\S+ (abort|abort again|commit nothing)|Produce v11 records to all|effects: (transaction|records of (orders|writeonly)/0))`), apps: script.Partly},
		{id: "nothing to abort", reason: "the abort of a transaction of which nothing was allowed succeeds: an error would be fatal to the producer",
			place: at(`EndTxn v\S+ (abort|after): ErrorCode$`), apps: script.Denied, a: values("48"), b: values("0")},

		// Sessions.
		{id: "sessions", reason: "a fetch of which a part is refused goes upstream without a session, and gets none",
			place: at(`Fetch v\S+ .*a (partly refused )?session`), apps: partlyOrDenied, b: values("0|absent|100")},

		// Shared topics.
		{id: "shared producers", reason: "producers of a topic that others write to are other people's",
			place: at(`DescribeProducers v\S+ of one that is (refused|shared): `)},
		{id: "broker settings", reason: "what a broker is configured with, and lists of its partitions, are left out of a topic's configuration",
			place: at(`DescribeConfigs v\S+ (all of one topic|some of all topics): Resources\[~\w+\]\.Configs\[([a-z.]*throttled\.replicas\]|.*\.ConfigSynonyms)`)},
	}
}
