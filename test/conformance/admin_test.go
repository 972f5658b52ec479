package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// tool runs one of Kafka's own administration tools through the gateway and returns what it prints; an error has its
// last lines.
func tool(t *testing.T, l harness.Login, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	config := filepath.Join(t.TempDir(), "client.properties")
	text := fmt.Sprintf("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=%q password=%q;\n"+
		"request.timeout.ms=15000\ndefault.api.timeout.ms=20000\n", l.User, l.Password)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out []string
	err := run(ctx, apache.Tool(ctx, name, append([]string{"--bootstrap-server", l.Bootstrap, "--command-config", config}, args...)...), func(line string) { out = append(out, line) })
	return strings.Join(out, "\n"), err
}

// TestTopicsAreDescribedInPages has Java's admin client describe renamed topics in pages of two partitions. The backing
// names are random, so their order is not that of the exposed ones.
func TestTopicsAreDescribedInPages(t *testing.T) {
	t.Parallel()
	have := map[string]string{"acme": ""}
	spec := harness.Spec{Apps: []harness.App{{Name: "acme", Namespace: [2]int{5, 20}}}, Topics: []harness.Topic{{Exposed: "not-subscribed"}}}
	want := map[string]int{}
	for i, n := range []int32{3, 1, 5, 2, 1, 4} {
		name := fmt.Sprintf("orders.%d", i)
		spec.Topics = append(spec.Topics, harness.Topic{Exposed: name, Partitions: n, Subscriptions: have})
		want[name] = int(n)
	}
	w := harness.Start(t, apache, spec)
	w.WatchTopicIDs(100 * time.Millisecond)
	acme := w.Client("acme")
	if _, err := kadm.NewClient(acme).CreateTopic(t.Context(), 3, 1, nil, "own"); err != nil {
		t.Fatal(err)
	}
	want["own"] = 3

	described := func(out string) map[string]int {
		partitions := map[string]int{}
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 3 && f[0] == "Topic:" && f[2] == "Partition:" {
				if f[3] != fmt.Sprint(partitions[f[1]]) {
					t.Errorf("partition %s of %s comes after %d others", f[3], f[1], partitions[f[1]])
				}
				partitions[f[1]]++
			}
		}
		return partitions
	}
	for _, pages := range []string{"1", "2", "2000"} {
		before := w.Clients.Requests()
		out, err := tool(t, w.Login("acme", "PLAIN"), "topics", "--describe", "--partition-size-limit-per-response", pages)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := described(out); !maps.Equal(got, want) {
			t.Errorf("in pages of %s: got %v, want %v\n%s", pages, got, want, out)
		}
		if w.Clients.Requests()[75] == before[75] {
			t.Errorf("Java did not use DescribeTopicPartitions")
		}
	}
	out, err := tool(t, w.Login("acme", "PLAIN"), "topics", "--describe", "--topic", "not-subscribed")
	if err == nil || len(described(out)) > 0 {
		t.Errorf("a topic that is not subscribed to is described: %v\n%s", err, out)
	}

	// One page against the cluster's own, partition by partition.
	var names []string
	for n := range want {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, exposed := range names {
		backing := w.Backing(exposed)
		if exposed == "own" {
			backing = w.Prefix("acme") + exposed
		}
		ask := func(c raw, name string) kmsg.DescribeTopicPartitionsResponseTopic {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
			rt.Topic, req.ResponsePartitionLimit = name, 100
			req.Topics = append(req.Topics, rt)
			return request[*kmsg.DescribeTopicPartitionsResponse](t.Context(), t, c, req).Topics[0]
		}
		got, direct := ask(raw{acme, false}, exposed), ask(raw{w.Direct(), false}, backing)
		if fmt.Sprint(got.Partitions) != fmt.Sprint(direct.Partitions) {
			t.Errorf("%s: partitions are\n%+v, directly\n%+v", exposed, got.Partitions, direct.Partitions)
		}
		if got.TopicID == direct.TopicID || got.TopicID == ([16]byte{}) || *got.Topic != exposed {
			t.Errorf("%s: name %q and id %x, directly %x", exposed, *got.Topic, got.TopicID, direct.TopicID)
		}
	}
}
