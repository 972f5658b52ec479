package conformance

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/harness"
)

//go:embed java/Transactions.java
var transactionsJava string

// TestTransactionsOfTheSecondVersion: where the cluster has transaction.version 2 (KIP-890), clients use it through the
// gateway: the partitions are added by Produce itself. A topic that may not be written to fails its transaction as it does
// with an ACL; the abort succeeds, whether or not anything of it reached the broker, and the producer goes on.
func TestTransactionsOfTheSecondVersion(t *testing.T) {
	t.Parallel()
	second := !strings.HasPrefix(apache.Version, "3.")
	start := func(t *testing.T) *harness.World {
		have := map[string]string{"acme": ""}
		return harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{{Exposed: "a", Subscriptions: have}, {Exposed: "readable", Contract: "read", Subscriptions: have}},
			Apps:   []harness.App{{Name: "acme"}},
		})
	}
	// committed is what a reader of committed records finds.
	committed := func(t *testing.T, w *harness.World, n int) []string {
		t.Helper()
		cl := w.Client("acme", kgo.ConsumeTopics("a"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var values []string
		for len(values) < n {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("after %q: %v", values, err)
			}
			fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
		}
		return values
	}
	// asked checks how partitions and groups were added to transactions.
	asked := func(t *testing.T, before, after map[int16]int) {
		t.Helper()
		if after[0] == before[0] || after[26] == before[26] {
			t.Error("no Produce or no EndTxn passed")
		}
		if added := after[24] > before[24] || after[25] > before[25]; added == second {
			t.Errorf("AddPartitionsToTxn %d times, AddOffsetsToTxn %d times, on Kafka %s", after[24]-before[24], after[25]-before[25], apache.Version)
		}
	}

	t.Run("franz-go", func(t *testing.T) {
		w := start(t)
		before := w.Clients.Requests()
		cl := w.Client("acme", kgo.TransactionalID("t"))
		transactions, want := [][]string{{"a", "readable"}, {"a"}, {"readable"}, {"readable", "a"}, {"a"}}, []string{"go-1", "go-4"}
		if !second { // a refused AddPartitionsToTxn is the end of a franz-go producer
			transactions, want = [][]string{{"a"}, {"a"}}, []string{"go-0", "go-1"}
		}
		for i, topics := range transactions {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatalf("%d: begin: %v", i, err)
			}
			var records []*kgo.Record
			for _, topic := range topics {
				records = append(records, &kgo.Record{Topic: topic, Value: fmt.Append(nil, "go-", i)})
			}
			end := kgo.TryCommit
			for _, r := range cl.ProduceSync(t.Context(), records...) {
				if refused := r.Record.Topic == "readable"; refused {
					end = kgo.TryAbort
					if !errors.Is(r.Err, kerr.TopicAuthorizationFailed) {
						t.Errorf("%d: write to a topic that is only readable: %v", i, r.Err)
					}
				} else if r.Err != nil {
					t.Errorf("%d: write: %v", i, r.Err)
				}
			}
			if err := cl.EndTransaction(t.Context(), end); err != nil {
				t.Errorf("%d: end by %v: %v", i, end, err)
			}
		}
		asked(t, before, w.Clients.Requests())
		if got, want := committed(t, w, 2), want; !slices.Equal(got, want) {
			t.Errorf("committed: %q, want %q", got, want)
		}
	})

	t.Run("Java", func(t *testing.T) {
		w := start(t)
		before := w.Clients.Requests()
		l, dir := w.Login("acme", "PLAIN"), t.TempDir()
		source, config := filepath.Join(dir, "Transactions.java"), filepath.Join(dir, "client.properties")
		properties := fmt.Sprintf("bootstrap.servers=%s\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\ntransactional.id=j\nmax.block.ms=20000\n"+
			"key.serializer=org.apache.kafka.common.serialization.StringSerializer\nvalue.serializer=org.apache.kafka.common.serialization.StringSerializer\n"+
			"sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=%q password=%q;\n", l.Bootstrap, l.User, l.Password)
		for file, text := range map[string]string{source: transactionsJava, config: properties} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		var out []string
		cmd := exec.CommandContext(ctx, apache.Java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", apache.Classpath(), source, config, "a", "readable")
		if err := run(ctx, cmd, func(line string) { out = append(out, line) }); err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(out, "\n"))
		}
		for i, want := range []string{"0 aborted after TopicAuthorizationException", "1 committed", "2 aborted after TopicAuthorizationException", "3 aborted after TopicAuthorizationException", "4 committed"} {
			if !slices.Contains(out, want) {
				t.Errorf("transaction %d: no %q in\n%s", i, want, strings.Join(out, "\n"))
			}
		}
		asked(t, before, w.Clients.Requests())
		if got, want := committed(t, w, 2), []string{"java-1", "java-4"}; !slices.Equal(got, want) {
			t.Errorf("committed: %q, want %q", got, want)
		}
	})
}
