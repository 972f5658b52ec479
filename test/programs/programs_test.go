package programs

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
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

var apache *kafkatest.Cluster

func TestMain(m *testing.M) {
	harness.Main(afterwards{m}, kafkatest.Options{Heap: "512m", Settings: map[string]string{
		"group.streams.min.session.timeout.ms":                        "6000", // a killed member is missed soon; older releases do not know these
		"group.streams.session.timeout.ms":                            "6000",
		"group.streams.min.heartbeat.interval.ms":                     "500",
		"group.streams.heartbeat.interval.ms":                         "1000",
		"group.streams.initial.rebalance.delay.ms":                    "0",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}}, &apache)
}

// afterwards runs the tests and publishes what they have found.
type afterwards struct{ m *testing.M }

func (a afterwards) Run() int {
	code := a.m.Run()
	if !harness.Full() {
		return code
	}
	for _, c := range clients {
		if !slices.ContainsFunc(findings.Clients, func(f *harness.ClientFindings) bool { return f.Name == c }) {
			return code // not everything was run
		}
	}
	if err := findings.Publish(harness.Programs, apache.Version, clients, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

const (
	streamsClassic = "Kafka Streams, exactly once"
	streamsKIP1071 = "Kafka Streams, exactly once, group.protocol=streams"
	connectWorkers = "Kafka Connect, distributed"
)

// clients are the rows of docs/compatibility.md.
var clients = []string{streamsClassic, streamsKIP1071, connectWorkers, "MirrorMaker 2, gateway as source", "MirrorMaker 2, gateway as target", "MirrorMaker 2, gateway as both"}

var findings harness.Findings

// features says what a test will find of a program. What is found is noted by calling the function: yes, unless the
// test has failed before. What is not noted until the test ends has failed.
func features(t *testing.T, program string, all ...string) func(feature string) {
	for _, f := range all {
		findings.Note(program, "", f, "**no**")
	}
	return func(feature string) {
		if !slices.Contains(all, feature) {
			t.Errorf("bug: the feature %q was not announced", feature)
		}
		if !t.Failed() {
			findings.Note(program, "", feature, "yes")
		}
	}
}

// collected returns the jars, or fails the test.
func collected(t *testing.T) Jars {
	t.Helper()
	jars, err := Collect(t.Context(), apache.Version)
	if err != nil {
		t.Fatal(err)
	}
	return jars
}

// through is how an application connects to the gateway: what the page shows for Java programs.
func through(w *harness.World, app string) map[string]string {
	l := w.Login(app, "SCRAM-SHA-512")
	return map[string]string{
		"bootstrap.servers": l.Bootstrap, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": l.Mechanism,
		"sasl.jaas.config": fmt.Sprintf(`org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`, l.User, l.Password),
	}
}

// with returns the settings with a prefix, and others.
func with(prefix string, settings ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, s := range settings {
		for k, v := range s {
			out[prefix+k] = v
		}
	}
	return out
}

// join puts settings together; later ones win.
func join(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, s := range all {
		maps.Copy(out, s)
	}
	return out
}

// properties writes a file of settings as Java reads it.
func properties(t *testing.T, name string, settings map[string]string) string {
	t.Helper()
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(settings[k], `\`, `\\`))
	}
	file := filepath.Join(t.TempDir(), name+".properties")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const patience = 150 * time.Second // for a JVM to get something done, on a busy machine

// await tries until f succeeds.
func await(t *testing.T, what string, within time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// reader collects the committed records of a topic, partition by partition in their order.
type reader struct {
	client *kgo.Client
	topic  string
	values [][]string // by partition, "key=value"
	at     [][]int64  // their offsets
}

// read begins to read a topic's committed records from the start; client belongs to the caller.
func read(t *testing.T, client *kgo.Client, topic string, partitions int) *reader {
	t.Helper()
	offsets := map[int32]kgo.Offset{}
	for p := range partitions {
		offsets[int32(p)] = kgo.NewOffset().AtStart()
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	return &reader{client: client, topic: topic, values: make([][]string, partitions), at: make([][]int64, partitions)}
}

// until reads on until there are n records at least.
func (r *reader) until(t *testing.T, n int, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for r.count() < n {
		fetches := r.client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: %d of %d committed records within %v", r.topic, r.count(), n, within)
		}
		fetches.EachError(func(topic string, p int32, err error) { t.Errorf("read %s/%d: %v", topic, p, err) })
		r.take(fetches)
	}
}

// more reads what else comes until there is nothing for a while.
func (r *reader) more(t *testing.T, silence time.Duration) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), silence)
		fetches := r.client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return
		}
		r.take(fetches)
	}
}

func (r *reader) take(fetches kgo.Fetches) {
	fetches.EachRecord(func(rec *kgo.Record) {
		r.values[rec.Partition] = append(r.values[rec.Partition], string(rec.Key)+"="+string(rec.Value))
		r.at[rec.Partition] = append(r.at[rec.Partition], rec.Offset)
	})
}

func (r *reader) count() int {
	n := 0
	for _, p := range r.values {
		n += len(p)
	}
	return n
}

// committed are the options of a client that reads committed records.
func committed() []kgo.Opt {
	return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500 * time.Millisecond)}
}

// own returns an application's topics on the target cluster without its prefix, and checks that through the gateway it
// sees the same ones and the other application none of them.
func own(t *testing.T, w *harness.World, app, other string) []string {
	t.Helper()
	all, err := kadm.NewClient(w.Direct()).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, name := range all.Names() {
		if rest, ok := strings.CutPrefix(name, w.Prefix(app)); ok {
			topics = append(topics, rest)
			if all.Has(rest) {
				t.Errorf("%s is on the target cluster without the application's prefix", rest)
			}
		}
	}
	for name, want := range map[string]bool{app: true, other: false} {
		listed, err := kadm.NewClient(w.Client(name)).ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range topics {
			if listed.Has(topic) != want {
				t.Errorf("application %s: topic %s of %s is listed: %t, want %t", name, topic, app, listed.Has(topic), want)
			}
		}
	}
	return topics
}

// offers reports whether whoever a client speaks to has a Kafka API.
func offers(t *testing.T, client *kgo.Client, key int16) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == key })
}
