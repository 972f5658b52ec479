package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// eachSharer runs f for every client that has share groups, and notes what it returns of a feature. Kafka has share
// groups from 4.1 on.
func eachSharer(t *testing.T, feature string, f func(t *testing.T, c Client)) {
	eachClient(t, "share", func(t *testing.T, c Client) {
		if strings.HasPrefix(apache.Version, "3.") {
			note(c, feature, "–")
			t.Skipf("Kafka %s has no share groups", apache.Version)
		}
		defer func() {
			if !t.Skipped() {
				note(c, feature, map[bool]string{true: "yes", false: "**no**"}[!t.Failed()])
			}
		}()
		f(t, c)
	})
}

// fromStart makes share groups of an application begin with what is there; they begin at the end otherwise. The
// application sets that itself. It returns once the brokers go by it.
func fromStart(t *testing.T, w *harness.World, app string, groups ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const name = "share.auto.offset.reset"
	cl := w.Client(app)
	for _, group := range groups {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		res, config := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, kmsg.StringPtr("earliest")
		res.ResourceType, res.ResourceName, res.Configs = kmsg.ConfigResourceTypeGroupConfig, group, append(res.Configs, config)
		req.Resources = append(req.Resources, res)
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			t.Fatal(err)
		}
		if err := kerr.ErrorForCode(resp.Resources[0].ErrorCode); err != nil {
			t.Fatal(err)
		}
		ask := kmsg.NewPtrDescribeConfigsRequest()
		asked := kmsg.NewDescribeConfigsRequestResource()
		asked.ResourceType, asked.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
		ask.Resources = append(ask.Resources, asked)
		within(t, "the configuration of the group", func() error {
			got, err := ask.RequestWith(ctx, cl)
			if err != nil {
				return err
			}
			for _, c := range got.Resources[0].Configs {
				if c.Name == name && c.Value != nil && *c.Value == "earliest" {
					return nil
				}
			}
			return fmt.Errorf("%+v", got.Resources)
		})
	}
}

// within tries until f succeeds.
func within(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shareOffsets are the start offsets of an application's share group, by topic and summed over partitions.
func shareOffsets(ctx context.Context, cl *kgo.Client, group string) (map[string]int64, error) {
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	rg := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	rg.GroupID = group
	req.Groups = append(req.Groups, rg)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
				out[topic.Topic] += max(0, p.StartOffset)
			}
		}
	}
	return out, nil
}

// TestShareGroups: records are shared out, accepted and not seen again, with every topic and group renamed, and an
// application sees and manages its own groups only.
func TestShareGroups(t *testing.T) {
	t.Parallel()
	eachSharer(t, "share groups", func(t *testing.T, c Client) {
		w := harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{
				{Exposed: "jobs", Partitions: 3, Subscriptions: map[string]string{"acme": ""}},
				{Exposed: "writable", Contract: "write", Subscriptions: map[string]string{"acme": ""}},
				{Exposed: "hidden", Subscriptions: map[string]string{"other": ""}},
			},
			Apps: []harness.App{{Name: "acme"}, {Name: "other"}},
		})
		plain := w.Login("acme", "PLAIN")
		fromStart(t, w, "acme", "workers")
		fromStart(t, w, "other", "workers")
		admin, other := w.Client("acme"), w.Client("other")
		for round, n := range []int{100, 30} { // the second round must see what is new, and nothing twice
			prefix := fmt.Sprint("round", round)
			if err := w.Feed("jobs", prefix, 0, n); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range n {
				want = append(want, fmt.Sprintf("%s-%d", prefix, i))
			}
			slices.Sort(want)
			got, err := did(t, 2*patience, c, Command{Op: "share", Topics: []string{"jobs"}, Group: "workers", N: n}.As(plain))
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if values := valuesOf(got["record"]); !slices.Equal(values, want) {
				t.Errorf("round %d: got %d records, want %d: %.300q", round, len(values), n, values)
			}
		}
		// The other application has a group of the same name, and it is another one.
		if offsets, err := shareOffsets(t.Context(), other, "workers"); err == nil && len(offsets) > 0 {
			t.Errorf("the other application sees offsets %v", offsets)
		}
		mine, err := shareOffsets(t.Context(), admin, "workers")
		physical, directErr := shareOffsets(t.Context(), w.Direct(), w.Prefix("acme")+"workers")
		if err != nil || directErr != nil || len(mine) != 1 || len(physical) != 1 || mine["jobs"] != physical[w.Backing("jobs")] {
			t.Errorf("the application is told %v (%v), the target cluster has %v (%v)", mine, err, physical, directErr)
		}
		// A foreign topic gives nothing away, and disturbs nothing.
		var foreign []string
		if c.Name == "franz-go" {
			foreign = append(foreign, "hidden")
		}
		if harness.Full() {
			foreign = []string{"hidden", "writable", "no-such-topic"}
		}
		for _, topic := range foreign {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			watcher := make(chan Event, 1000)
			err := c.Run(ctx, func() Command {
				cmd := Command{Op: "shareloop", Topics: []string{topic}, Group: "curious"}.As(plain)
				cmd.Dir = t.TempDir()
				return cmd
			}(), func(e Event) { watcher <- e })
			cancel()
			close(watcher)
			for e := range watcher {
				if e.Kind == "record" {
					t.Errorf("%s: got record %q", topic, e.Value)
				}
			}
			t.Logf("%s: %v", topic, err)
		}
	})
}

// TestShareGroupTool: Kafka's own tool for share groups.
func TestShareGroupTool(t *testing.T) {
	if !harness.Full() && os.Getenv("SLUICE_CLIENTS") == "" {
		t.Skip("in the full run")
	}
	if strings.HasPrefix(apache.Version, "3.") {
		t.Skipf("Kafka %s has no share groups", apache.Version)
	}
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "jobs", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}, {Exposed: "hidden", Subscriptions: map[string]string{"other": ""}}},
		Apps:   []harness.App{{Name: "acme"}, {Name: "other"}},
	})
	fromStart(t, w, "acme", "workers")
	fromStart(t, w, "other", "secret")
	var franz Client
	for _, c := range Clients(apache) {
		if c.Name == "franz-go" {
			franz = c
		}
	}
	for app, topic := range map[string]string{"acme": "jobs", "other": "hidden"} {
		if err := w.Feed(topic, "x", 0, 10); err != nil {
			t.Fatal(err)
		}
		group := map[string]string{"acme": "workers", "other": "secret"}[app]
		if got, err := did(t, patience, franz, Command{Op: "share", Topics: []string{topic}, Group: group, N: 10}.As(w.Login(app, "PLAIN"))); err != nil || len(got["record"]) != 10 {
			t.Fatalf("%s: %d records, %v", app, len(got["record"]), err)
		}
	}
	plain := w.Login("acme", "PLAIN")
	config := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(config, fmt.Appendf(nil, "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";\n", plain.User, plain.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := apache.Tool(ctx, "share-groups", append([]string{"--bootstrap-server", plain.Bootstrap, "--command-config", config}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	has := func(what, got string, want ...string) {
		t.Helper()
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("%s lacks %q:\n%s", what, s, got)
			}
		}
		for _, s := range []string{"secret", "hidden", "backing-", w.Prefix("acme"), "Error"} {
			if strings.Contains(got, s) {
				t.Errorf("%s holds %q:\n%s", what, s, got)
			}
		}
	}
	has("the list", tool("--list"), "workers")
	has("the offsets", tool("--describe", "--group", "workers", "--offsets"), "workers", "jobs")
	has("the state", tool("--describe", "--group", "workers", "--state"), "workers", "Empty")
	admin := w.Client("acme")
	reset := func() error {
		req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
		req.GroupID = "workers"
		rt := kmsg.NewAlterShareGroupOffsetsRequestTopic()
		rt.Topic, rt.Partitions = "jobs", []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: 0}, {Partition: 1}}
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(t.Context(), admin)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err == nil && (len(resp.Topics) != 1 || resp.Topics[0].TopicID != w.TopicID("acme", "jobs") || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[1].ErrorCode != 0) {
			err = fmt.Errorf("answered %+v", resp)
		}
		return err
	}
	// A 4.1 broker loses the topics on the way to its coordinator, changes nothing and answers with none; its tool says
	// that it cannot.
	preview := strings.HasPrefix(apache.Version, "4.1.")
	if !preview {
		if err := reset(); err != nil {
			t.Errorf("reset: %v", err)
		}
		if offsets, err := shareOffsets(t.Context(), admin, "workers"); err != nil || offsets["jobs"] != 0 {
			t.Errorf("after the reset: %v, %v", offsets, err)
		}
	} else if err := w.Feed("jobs", "x", 10, 20); err != nil {
		t.Fatal(err)
	}
	member := begin(t, franz, Command{Op: "shareloop", Topics: []string{"jobs"}, Group: "workers"}.As(plain))
	member.await(t, "what is left of the group's", member.records, "jobs", time.Now().Add(-time.Second), patience)
	has("the members", tool("--describe", "--group", "workers", "--members"), "workers", "jobs")
	if err := reset(); !preview && !errors.Is(err, kerr.NonEmptyGroup) {
		t.Errorf("reset of a group with a member: %v", err)
	}
	member.stop()
	within(t, "the group is empty", func() error {
		if state := tool("--describe", "--group", "workers", "--state"); !strings.Contains(state, "Empty") {
			return errors.New(state)
		}
		return nil
	})
	if !preview {
		has("the reset", tool("--reset-offsets", "--group", "workers", "--topic", "jobs", "--to-latest", "--execute"), "jobs")
		if offsets, err := shareOffsets(t.Context(), admin, "workers"); err != nil || offsets["jobs"] != 10 {
			t.Errorf("after the tool's reset: %v, %v", offsets, err)
		}
	}
	has("deleting offsets", tool("--delete-offsets", "--group", "workers", "--topic", "jobs"), "jobs")
	has("deleting", tool("--delete", "--group", "workers"), "workers")
	if list := tool("--list"); strings.Contains(list, "workers") {
		t.Errorf("a deleted group is listed: %s", list)
	}
	if foreign := tool("--describe", "--group", "secret", "--offsets"); strings.Contains(foreign, "hidden") {
		t.Errorf("a foreign group is described: %s", foreign)
	}
}

// TestShareGroupsWithheld is what a suspended topic does to a member of a share group that reads it, and another one.
func TestShareGroupsWithheld(t *testing.T) {
	t.Parallel()
	window := 2 * time.Second
	if harness.Full() {
		window = 8 * time.Second
	}
	eachSharer(t, "share groups, withheld", func(t *testing.T, c Client) {
		if !harness.Full() && c.Name != "franz-go" && os.Getenv("SLUICE_CLIENTS") == "" {
			t.Skip("in the full run")
		}
		topics := []string{"b", "a"}
		if c.Name == "Java" { // its program reads one
			topics = topics[:1]
		}
		spec := harness.Spec{Apps: []harness.App{{Name: "acme"}}}
		for _, topic := range topics {
			spec.Topics = append(spec.Topics, harness.Topic{Exposed: topic, Contract: "read", Partitions: 2, Subscriptions: map[string]string{"acme": ""}})
		}
		w := harness.Start(t, apache, spec)
		set := func(state string, topics ...string) time.Time {
			w.Change(func(s *harness.Spec) {
				for _, topic := range topics {
					s.Topic(topic).Subscriptions = map[string]string{"acme": "state: " + state}
				}
			})
			return time.Now()
		}
		fromStart(t, w, "acme", "sharers")
		fed := feedBoth(t, w, topics...)
		began := time.Now()
		member := begin(t, c, Command{Op: "shareloop", Topics: topics, Group: "sharers"}.As(w.Login("acme", "PLAIN")))
		for _, topic := range topics {
			member.await(t, "start", member.records, topic, began, 2*patience)
		}
		healthy := rates(w, 2*time.Second)
		for _, state := range []string{"suspended", "closed"} {
			from := set(state, "b")
			last := fed() + 5 // what was written by then may still be on its way
			time.Sleep(500 * time.Millisecond)
			asked := rates(w, window)
			late := member.since(member.records, "b", from)
			if i := slices.IndexFunc(late, func(a arrival) bool {
				n, err := strconv.Atoi(strings.TrimPrefix(a.value, "f-"))
				return err != nil || n > last
			}); i >= 0 {
				t.Errorf("%s: %s of b came, written after it was withheld: the last before was f-%d", state, late[i].value, last)
			}
			if len(topics) > 1 {
				if gap := longestGap(from, time.Now(), member.since(member.records, "a", from)); gap > 15*time.Second {
					t.Errorf("%s: a was silent for %v", state, gap)
				}
				// Each of a's 20 records a second ends a fetch; one that is not held comes back hundreds of times a second.
				if most := 40.0; asked["ShareFetch"] > most {
					t.Errorf("%s: %.1f ShareFetch a second, more than %.1f", state, asked["ShareFetch"], most)
				}
			} else if asked["ShareFetch"] > 3 {
				t.Errorf("%s: %.1f ShareFetch a second with nothing to get", state, asked["ShareFetch"])
			}
			for _, api := range []string{"Metadata", "ShareGroupHeartbeat", "ShareAcknowledge", "FindCoordinator"} {
				if most := 1.5*healthy[api] + 3; asked[api] > most {
					t.Errorf("%s: %.1f %s a second, more than %.1f", state, asked[api], api, most)
				}
			}
			healed := set("active", "b")
			t.Logf("%s: b is back after %v; asked %v", state, member.await(t, "healing", member.records, "b", healed, patience), asked)
		}
		if len(topics) > 1 {
			set("suspended", topics...)
			time.Sleep(500 * time.Millisecond)
			if asked := rates(w, window); asked["ShareFetch"] > 3 {
				t.Errorf("all withheld: %.1f ShareFetch a second with nothing to get", asked["ShareFetch"])
			}
			healed := set("active", topics...)
			for _, topic := range topics {
				member.await(t, "healing", member.records, topic, healed, patience)
			}
		}
		// Nothing is lost, not even what was acquired and could not be delivered.
		until := fed()
		for _, topic := range topics {
			within(t, "every record of "+topic, func() error {
				seen := map[string]int{}
				for _, a := range member.since(member.records, topic, began) {
					seen[a.value]++
				}
				missing, twice := 0, 0
				for i := range until {
					switch n := seen[fmt.Sprint("f-", i)]; {
					case n == 0:
						missing++
					case n > 1:
						twice++
					}
				}
				if missing > 0 {
					return fmt.Errorf("%d of %d records are missing", missing, until)
				}
				t.Logf("%s: %d records, %d more than once", topic, until, twice)
				return nil
			})
		}
	})
}

// TestOneShareSessionForAConnection: why a connection has one share session through the gateway. A broker remembers the
// last one that a connection opened, to end it with the connection; the others stay.
func TestOneShareSessionForAConnection(t *testing.T) {
	if strings.HasPrefix(apache.Version, "3.") {
		t.Skipf("Kafka %s has no share groups", apache.Version)
	}
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "jobs", Subscriptions: map[string]string{"acme": ""}}},
		Apps:   []harness.App{{Name: "acme"}},
	})
	fetch := func(cl *kgo.Client, member string, epoch int32) int16 {
		t.Helper()
		req := kmsg.NewPtrShareFetchRequest()
		req.GroupID, req.MemberID, req.ShareSessionEpoch = kmsg.StringPtr("g"+t.Name()), &member, epoch
		resp, err := req.RequestWith(t.Context(), cl.SeedBrokers()[0])
		if err != nil {
			t.Fatal(err)
		}
		return resp.ErrorCode
	}
	ask := func(what string, got, want int16) {
		t.Helper()
		if got != want {
			t.Errorf("%s: error %d, want %d", what, got, want)
		}
	}
	notFound := kerr.ShareSessionNotFound.Code
	const a, b = "FirstMemberFirstMember", "OtherMemberOtherMember" // Kafka 4.1 takes UUIDs only

	direct := func() *kgo.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(apache.Bootstrap()...))
		if err != nil {
			t.Fatal(err)
		}
		return cl
	}
	first, second := direct(), direct()
	defer second.Close()
	ask("directly, a first session", fetch(first, a, 0), 0)
	ask("directly, a second one", fetch(first, b, 0), 0)
	first.Close()
	within(t, "the broker ends the second session with its connection", func() error {
		if code := fetch(second, b, 1); code != notFound {
			return fmt.Errorf("error %d", code)
		}
		return nil
	})
	ask("directly, the first session on another connection", fetch(second, a, 1), 0)
	ask("directly, closing it", fetch(second, a, -1), 0)

	one, other := w.Client("acme"), w.Client("acme")
	ask("a first session", fetch(one, a, 0), 0)
	ask("a second one", fetch(one, b, 0), kerr.ShareSessionLimitReached.Code)
	ask("the first one goes on", fetch(one, a, 1), 0)
	ask("on another connection", fetch(other, a, 2), notFound)
	ask("closing it", fetch(one, a, -1), 0)
	ask("then a second one", fetch(one, b, 0), 0)
}
