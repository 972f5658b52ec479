package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
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

// TestOwnTopicsAreAdministered: an application deletes records of its own topics and changes their configurations, by
// every request there is for it, and gets nowhere with what others own.
func TestOwnTopicsAreAdministered(t *testing.T) {
	t.Parallel()
	w := harness.Start(t, apache, harness.Spec{
		Apps: []harness.App{{Name: "acme", Namespace: [2]int{5, 20}}},
		Topics: []harness.Topic{
			{Exposed: "orders", Subscriptions: map[string]string{"acme": ""}},
			{Exposed: "managed", Manage: []string{"deleteRecords", "alterConfigs"}, Subscriptions: map[string]string{"acme": ""}},
		},
	})
	w.WatchTopicIDs(100 * time.Millisecond)
	ctx := t.Context()
	acme := w.Client("acme", kgo.DefaultProduceTopic("own"))
	adm, direct := kadm.NewClient(acme), kadm.NewClient(w.Direct())
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "own"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := acme.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	own := w.Prefix("acme") + "own"

	t.Run("delete records", func(t *testing.T) {
		offsets := kadm.Offsets{}
		offsets.AddOffset("own", 0, 7, -1)
		offsets.AddOffset("orders", 0, 0, -1)
		deleted, err := adm.DeleteRecords(ctx, offsets)
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := deleted.Lookup("own", 0); r.Err != nil || r.LowWatermark != 7 {
			t.Errorf("own topic: %+v", r)
		}
		if r, _ := deleted.Lookup("orders", 0); !errors.Is(r.Err, kerr.TopicAuthorizationFailed) {
			t.Errorf("a topic that is only subscribed to: %+v", r)
		}
		starts, err := direct.ListStartOffsets(ctx, own)
		if o, _ := starts.Lookup(own, 0); err != nil || o.Offset != 7 {
			t.Errorf("the topic begins at %d, %v, want 7", o.Offset, err)
		}

		file := filepath.Join(t.TempDir(), "offsets.json")
		if err := os.WriteFile(file, []byte(`{"partitions": [{"topic": "own", "partition": 0, "offset": 9}], "version": 1}`), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := tool(t, w.Login("acme", "PLAIN"), "delete-records", "--offset-json-file", file)
		if err != nil || !strings.Contains(out, "low_watermark: 9") {
			t.Errorf("Java: %v\n%s", err, out)
		}
	})

	configs := func() map[string]string {
		t.Helper()
		described, err := direct.DescribeTopicConfigs(ctx, own)
		if err != nil || len(described) != 1 {
			t.Fatalf("%v, %+v", err, described)
		}
		set := map[string]string{}
		for _, c := range described[0].Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				set[c.Key] = c.MaybeValue()
			}
		}
		return set
	}
	await := func(want map[string]string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !maps.Equal(configs(), want) {
			if time.Now().After(deadline) {
				t.Fatalf("configurations are %v, want %v", configs(), want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	alter := func(f func(context.Context, []kadm.AlterConfig, ...string) (kadm.AlterConfigsResponses, error), configs ...kadm.AlterConfig) map[string]error {
		t.Helper()
		responses, err := f(ctx, configs, "own", "orders")
		if err != nil {
			t.Fatal(err)
		}
		errs := map[string]error{}
		for _, r := range responses {
			errs[r.Name] = r.Err
		}
		if !errors.Is(errs["orders"], kerr.TopicAuthorizationFailed) && !errors.Is(errs["orders"], kerr.PolicyViolation) {
			t.Errorf("a topic that is only subscribed to: %v", errs["orders"])
		}
		return errs
	}
	set := func(key, value string) kadm.AlterConfig { return kadm.AlterConfig{Name: key, Value: &value} }

	// What the operator sets stays, whatever the application does.
	operators := set("unclean.leader.election.enable", "true")
	if _, err := direct.AlterTopicConfigs(ctx, []kadm.AlterConfig{operators}, own); err != nil {
		t.Fatal(err)
	}
	await(map[string]string{operators.Name: "true"})
	t.Run("incrementally", func(t *testing.T) {
		if errs := alter(adm.AlterTopicConfigs, set("retention.ms", "600000"), kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}); errs["own"] != nil {
			t.Error(errs)
		}
		await(map[string]string{operators.Name: "true", "retention.ms": "600000", "cleanup.policy": "delete,compact"})
		if errs := alter(adm.AlterTopicConfigs, set("segment.bytes", "14")); !errors.Is(errs["own"], kerr.PolicyViolation) {
			t.Errorf("tiny segments: %v", errs)
		}
		if errs := alter(adm.ValidateAlterTopicConfigs, set("retention.ms", "700000")); errs["own"] != nil {
			t.Error(errs)
		}
		await(map[string]string{operators.Name: "true", "retention.ms": "600000", "cleanup.policy": "delete,compact"})
	})
	t.Run("replacing", func(t *testing.T) {
		if errs := alter(adm.AlterTopicConfigsState, set("max.message.bytes", "100000")); errs["own"] != nil {
			t.Error(errs)
		}
		await(map[string]string{operators.Name: "true", "max.message.bytes": "100000"})
		if errs := alter(adm.AlterTopicConfigsState, set("max.message.bytes", "200000"), set(operators.Name, "false")); !errors.Is(errs["own"], kerr.PolicyViolation) {
			t.Errorf("what the operator has set: %v", errs)
		}
		if errs := alter(adm.ValidateAlterTopicConfigsState, set("max.message.bytes", "300000"), operators); errs["own"] != nil {
			t.Error(errs)
		}
		await(map[string]string{operators.Name: "true", "max.message.bytes": "100000"})
	})
	t.Run("Java", func(t *testing.T) {
		if out, err := tool(t, w.Login("acme", "PLAIN"), "configs", "--alter", "--entity-type", "topics", "--entity-name", "own", "--add-config", "retention.ms=900000", "--delete-config", "max.message.bytes"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		await(map[string]string{operators.Name: "true", "retention.ms": "900000"})
		if strings.HasPrefix(apache.Version, "3.") {
			return // groups have no configurations there that the tool knows
		}
		if out, err := tool(t, w.Login("acme", "PLAIN"), "configs", "--alter", "--entity-type", "groups", "--entity-name", "mine", "--add-config", "share.auto.offset.reset=earliest,consumer.session.timeout.ms=50000"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		out, err := tool(t, w.Login("acme", "PLAIN"), "configs", "--describe", "--entity-type", "groups", "--entity-name", "mine")
		if err != nil || !strings.Contains(out, "share.auto.offset.reset=earliest") || !strings.Contains(out, "consumer.session.timeout.ms=50000") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("what a plan lets manage", func(t *testing.T) {
		if err := w.Feed("managed", "f", 0, 5); err != nil {
			t.Fatal(err)
		}
		administer := func() (deleting, altering error) {
			t.Helper()
			offsets := kadm.Offsets{}
			offsets.AddOffset("managed", 0, 3, -1)
			deleted, err := adm.DeleteRecords(ctx, offsets)
			if err != nil {
				t.Fatal(err)
			}
			altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{set("retention.ms", "600000")}, "managed")
			if err != nil || len(altered) != 1 {
				t.Fatal(altered, err)
			}
			r, _ := deleted.Lookup("managed", 0)
			return r.Err, altered[0].Err
		}
		if deleting, altering := administer(); deleting != nil || altering != nil {
			t.Errorf("delete records: %v, alter configurations: %v", deleting, altering)
		}
		starts, err := direct.ListStartOffsets(ctx, w.Backing("managed"))
		if o, _ := starts.Lookup(w.Backing("managed"), 0); err != nil || o.Offset != 3 {
			t.Errorf("the topic begins at %d, %v, want 3", o.Offset, err)
		}
		for _, step := range []struct {
			change         func(*harness.Topic)
			delete, alters error
		}{
			{func(t *harness.Topic) { t.Subscriptions = map[string]string{"acme": "state: suspended"} }, kerr.PolicyViolation, kerr.PolicyViolation},
			{func(t *harness.Topic) {
				t.Subscriptions, t.Manage = map[string]string{"acme": ""}, []string{"alterConfigs"}
			}, kerr.TopicAuthorizationFailed, nil},
			{func(t *harness.Topic) { t.Manage = nil }, kerr.TopicAuthorizationFailed, kerr.TopicAuthorizationFailed},
		} {
			w.Change(func(s *harness.Spec) { step.change(s.Topic("managed")) })
			if deleting, altering := administer(); !errors.Is(deleting, step.delete) || !errors.Is(altering, step.alters) {
				t.Errorf("delete records: %v, want %v; alter configurations: %v, want %v", deleting, step.delete, altering, step.alters)
			}
		}
	})
	t.Run("list", func(t *testing.T) {
		if strings.HasPrefix(apache.Version, "3.") {
			return // came with Kafka 4.1
		}
		listed := func(c *kgo.Client, kinds ...int8) map[string]bool {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.Version, req.ResourceTypes = 1, kinds
			resp, err := req.RequestWith(ctx, c)
			if err != nil || resp.ErrorCode != 0 {
				t.Fatalf("%v, %v", err, kerr.ErrorForCode(resp.ErrorCode))
			}
			names := map[string]bool{}
			for _, r := range resp.ConfigResources {
				names[fmt.Sprintf("%d %s", r.Type, r.Name)] = true
			}
			return names
		}
		if got, want := listed(acme), map[string]bool{"2 own": true, "2 orders": true, "2 managed": true, "32 mine": true}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := listed(w.Direct()); !got["32 "+w.Prefix("acme")+"mine"] || !got["4 1"] {
			t.Errorf("directly there is %v", got)
		}
	})
}
