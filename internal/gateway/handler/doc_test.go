package handler_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"sluice/internal/gateway/handler"
)

var updateProtocolPage = flag.Bool("update", false, "write docs/protocol.md anew")

const protocolPage = "../../../docs/protocol.md"

// TestProtocolPageIsUpToDate makes docs/protocol.md from the table.
func TestProtocolPageIsUpToDate(t *testing.T) {
	want := writeProtocolPage(t)
	if *updateProtocolPage {
		if err := os.WriteFile(protocolPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(protocolPage)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/protocol.md is not up to date (%v): run go test ./internal/gateway/handler -run ProtocolPage -update", err)
	}
}

// neutral are the values of the target cluster that clients see as they are.
var neutral = []struct{ value, where, why string }{
	{"node ids", "Metadata, DescribeTopicPartitions, Fetch, Produce, ShareFetch, ShareAcknowledge, FindCoordinator, DescribeCluster", "small numbers; a client connects to the host beside them, which is ours"},
	{"controller id", "Metadata, DescribeCluster", "a node id"},
	{"partition counts, replica lists, in-sync and eligible leader replicas", "Metadata, DescribeTopicPartitions", "partitions are part of what a client programs against; replicas are node ids"},
	{"leader epochs", "Metadata, DescribeTopicPartitions, Fetch, Produce, OffsetForLeaderEpoch, ShareFetch, ShareAcknowledge, DescribeShareGroupOffsets", "clients fence themselves by them; changing one would break truncation detection"},
	{"offsets: of records, high watermark, last stable, log start, of share groups", "Produce, Fetch, ListOffsets, OffsetFetch, ShareFetch, DescribeShareGroupOffsets", "an offset stored with the application must stay true when it moves behind the gateway or back"},
	{"timestamps", "Produce, ListOffsets, records", "of the records"},
	{"producer ids and epochs", "InitProducerId, Produce, Fetch, EndTxn", "numbers that a client gets only for itself; those in records tell writers apart, not who they are"},
	{"record bytes", "Produce, Fetch, ShareFetch", "no policy on records exists yet: keys, values and headers pass unchanged"},
	{"member ids, generations, member epochs", "group APIs", "opaque; a broker makes a member id from the client id, which begins with the application's own name"},
	{"delivery counts, lock time-outs, lag", "ShareFetch, ShareAcknowledge, DescribeShareGroupOffsets", "of the client's own share groups"},
	{"throttle times", "all", "the target cluster's own quotas hold for the client"},
	{"configuration values", "DescribeConfigs", "effective values of the client's topics and groups, whatever they come from; sensitive values, throttled replicas and the brokers' own synonyms are left out"},
	{"error codes", "all", "texts are replaced by Kafka's description of the code, because a broker's text may name what is there"},
}

func writeProtocolPage(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString(`# Kafka's protocol, as the gateway speaks it

<!-- Made by go test ./internal/gateway/handler -run ProtocolPage -update from table.go there. -->

Every Kafka API up to Kafka 4.3. What is not in the first two tables is not advertised and closes the connection, as a
broker does with an API it does not know. Versions are those advertised when all target clusters offer them; otherwise
the range is narrowed to theirs. A newer broker or library never widens it.

- **rewritten**: parsed, authorised by the grant, names and ids mapped between virtual and target cluster in both directions.
- **answered**: by the gateway; the target cluster never sees it.
- **refused**: not offered; they have no place in a virtual cluster.
`)
	rows := slices.Clone(handler.Table)
	slices.SortFunc(rows, func(a, b *handler.API) int { return int(a.Key) - int(b.Key) })
	section := func(title, intro string, refused bool, pick func(*handler.API) bool) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, intro)
		if refused {
			b.WriteString("\n| Key | Kafka API | Why |\n|---|---|---|\n")
		} else {
			b.WriteString("\n| Key | Kafka API | Versions | What is done |\n|---|---|---|---|\n")
		}
		for _, a := range rows {
			if !pick(a) {
				continue
			}
			if a.Note == "" {
				t.Errorf("%s has no note", a.Name)
			}
			note := a.Note
			if refused {
				fmt.Fprintf(&b, "| %d | %s | %s |\n", a.Key, a.Name, note)
				continue
			}
			if a.Coordination {
				note += "; never throttled"
			}
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", a.Key, a.Name, versions(a), note)
		}
	}
	posture := func(p handler.Posture) func(*handler.API) bool {
		return func(a *handler.API) bool { return a.Posture == p }
	}
	section("Rewritten", "Each has a file `internal/gateway/handler/NN_name.go`, some share one.", false, posture(handler.Rewritten))
	section("Answered by the gateway", "17, 18 and 36 are the only APIs before the login.", false, posture(handler.Answered))
	section("Refused", "Not for clients of a virtual cluster.", true, posture(handler.Refused))

	b.WriteString(`
## What never passes

Backing topic names, physical topic ids, groups and transactional ids of others, host names, ports and racks of brokers,
the cluster id, principals, hosts of group members, the configuration of brokers beyond what a topic inherits. They are replaced by the virtual cluster's
own, or left out. A topic, group or id in a broker's answer that the application does not have is dropped and counted
in ` + "`sluice_gateway_foreign_names_dropped_total`" + `.

## Neutral values that do pass

These come from the target cluster unchanged. They neither name nor reach anything on it.

| Value | In | Why |
|---|---|---|
`)
	for _, n := range neutral {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", n.value, n.where, n.why)
	}
	b.WriteString(`
## Transactions and producers

Transactional ids are mapped, so a producer is fenced through InitProducerId by its own application only. Where the target
cluster has transaction.version 2 (KIP-890), clients see it and use it: partitions are added by Produce, groups by TxnOffsetCommit.
A topic that may not be written to gets its error in Produce, and the abort that follows succeeds whether or not anything
of the transaction reached the broker.

On a topic that several applications write to, producers are told apart as in Kafka, and no better: by producer id, epoch and
sequence number, which stand in the batches and which readers of the topic see, not by who sends them. Whoever may write there
can claim the id of another producer with a higher epoch and so fence it on that partition, or write into its
open transaction there. Adding partitions to a transaction, and ending it, need its transactional id, and are not possible.
Applications that do not trust each other so far get topics of their own to write to.

## Administration

CreateTopics, DeleteTopics and CreatePartitions work in the namespace that an application owns. DeleteRecords, AlterConfigs and
IncrementalAlterConfigs work there too, and on topics that the plan of a subscription lets it manage; configurations come from
a list with bounds:

`)
	for _, name := range handler.TopicConfigs() {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	b.WriteString(`
Of the application's groups, IncrementalAlterConfigs changes those below; their bounds are the broker's. Everything else, brokers,
loggers and client metrics included, is refused resource by resource.

`)
	for _, name := range handler.GroupConfigs() {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	return b.Bytes()
}

func versions(a *handler.API) string {
	if a.Min == a.Max {
		return fmt.Sprint(a.Min)
	}
	return fmt.Sprintf("%d–%d", a.Min, a.Max)
}
