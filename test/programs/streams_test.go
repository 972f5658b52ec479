package programs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/harness"
)

// TestStreams runs an application of Kafka Streams with processing.guarantee=exactly_once_v2, a repartition topic and a
// state store; it is killed in the middle and started again, and every order has been counted once.
func TestStreams(t *testing.T) {
	jars := collected(t)
	t.Run("classic", func(t *testing.T) { streams(t, jars, "classic") })
	if !harness.Full() {
		return
	}
	t.Run("KIP-1071", func(t *testing.T) { streams(t, jars, "streams") })
}

func streams(t *testing.T, jars Jars, protocol string) {
	const (
		partitions = 3
		app        = "totals"
	)
	orders, kill := 600, harness.Full()
	if kill {
		orders = 6000
	}
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{
			{Exposed: "orders", Contract: "read", Partitions: partitions, Subscriptions: map[string]string{"acme": ""}},
			{Exposed: "customer-totals", Contract: "readwrite", Partitions: partitions, Subscriptions: map[string]string{"acme": ""}},
		},
		Apps: []harness.App{{Name: "acme", Namespace: [2]int{2, 2 * partitions}}, {Name: "other", Namespace: [2]int{2, 6}}},
	})
	name := map[string]string{"classic": streamsClassic, "streams": streamsKIP1071}[protocol]
	const (
		counted = "killed and started again, each record is counted once"
		inside  = "internal topics, group and transactional ids are the application's"
		purged  = "the repartition topic is purged"
	)
	if protocol == "streams" {
		if !offers(t, w.Direct(), 88) {
			findings.Note(name, "", counted, "–")
			t.Skipf("Apache Kafka %s has no streams groups", apache.Version)
		}
	}
	found := features(t, name, counted, inside, purged)
	w.WatchTopicIDs(200 * time.Millisecond)
	settings := join(through(w, "acme"), map[string]string{
		"application.id": app, "processing.guarantee": "exactly_once_v2", "state.dir": t.TempDir(),
		"num.stream.threads": "2", "commit.interval.ms": "200", "statestore.cache.max.bytes": "0",
		"repartition.purge.interval.ms": "1000", "consumer.auto.offset.reset": "earliest",
		"producer.transaction.timeout.ms": "10000", // a record behind a transaction that nobody ends waits for so long
		"metadata.max.age.ms":             "3000",
	})
	if protocol == "streams" {
		settings["group.protocol"] = "streams"
	} else {
		settings["consumer.session.timeout.ms"], settings["consumer.heartbeat.interval.ms"] = "6000", "1000"
	}
	config := properties(t, "streams", settings)
	run := func() *Program {
		return start(t, "Streams", apache, jars, "Totals", config, "orders", "customer-totals")
	}

	// Orders come while it runs: amount i+1 of customer i%7, on any partition.
	want := map[string]int64{}
	fed := 0
	feed := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var records []*kgo.Record
		for ; fed < n; fed++ {
			customer := fmt.Sprint("customer-", fed%7)
			want[customer] += int64(fed + 1)
			records = append(records, &kgo.Record{Topic: w.Backing("orders"), Partition: int32(fed % partitions), Key: []byte(strconv.Itoa(fed)), Value: fmt.Appendf(nil, "%s:%d", customer, fed+1)})
		}
		results := make(chan error, len(records))
		for _, r := range records {
			w.Direct().Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
		}
		if err := w.Direct().Flush(ctx); err != nil {
			t.Fatal(err)
		}
		for range records {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	}
	totals := read(t, w.Client("acme", committed()...), "customer-totals", partitions)
	feed(orders / 3)
	p := run()
	if kill {
		totals.until(t, orders/6, patience)
		feed(orders * 2 / 3)
		totals.until(t, totals.count()+1, patience) // it is in the middle of these
		p.Kill()
		feed(orders)
		t.Logf("killed after %d of %d", totals.count(), orders)
		p = run()
	} else {
		feed(orders)
	}
	totals.until(t, orders, 2*patience)
	totals.more(t, time.Second)

	// Each customer's totals come in order, count by count: what is processed twice or not at all breaks the row.
	got := map[string]int64{}
	for partition, values := range totals.values {
		counts := map[string]int64{}
		for _, v := range values {
			customer, total, _ := strings.Cut(v, "=")
			c, s, _ := strings.Cut(total, ":")
			count, err1 := strconv.ParseInt(c, 10, 64)
			sum, err2 := strconv.ParseInt(s, 10, 64)
			if err1 != nil || err2 != nil || count != counts[customer]+1 {
				t.Fatalf("partition %d: %q comes after count %d", partition, v, counts[customer])
			}
			counts[customer], got[customer] = count, sum
		}
	}
	if n := totals.count(); n != orders {
		t.Errorf("%d totals were written for %d orders", n, orders)
	}
	for customer, sum := range want {
		if got[customer] != sum {
			t.Errorf("%s: got a total of %d, want %d", customer, got[customer], sum)
		}
	}

	found(counted)

	topics := own(t, w, "acme", "other")
	if want := []string{app + "-by-customer-repartition", app + "-sums-changelog"}; !slices.Equal(topics, want) {
		t.Errorf("on the target cluster the application's namespace has %q, want %q", topics, want)
	}
	adm := kadm.NewClient(w.Direct())
	groups, err := adm.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := groups[w.Prefix("acme")+app]; !ok || slices.Contains(groups.Groups(), app) {
		t.Errorf("on the target cluster the group is not under the application's prefix: %q", groups.Groups())
	}
	transactions, err := adm.ListTransactions(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := 0
	for _, id := range transactions.TransactionalIDs() {
		if strings.HasPrefix(id, w.Prefix("acme")+app+"-") {
			mine++
		}
	}
	if mine == 0 {
		t.Errorf("no transactional id is under the application's prefix: %q", transactions.TransactionalIDs())
	}
	found(inside)
	// What has been read of the repartition topic is deleted, through DeleteRecords.
	await(t, "the repartition topic is purged", patience, func() error {
		begin, err := adm.ListStartOffsets(t.Context(), w.Prefix("acme")+app+"-by-customer-repartition")
		if err != nil {
			return err
		}
		gone := int64(0)
		begin.Each(func(o kadm.ListedOffset) { gone += o.Offset })
		if gone == 0 {
			return errors.New("all of it is there")
		}
		return nil
	})
	found(purged)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if errs := p.Lines("^exception "); len(errs) > 0 {
		t.Errorf("the application said: %.2000q", errs)
	}
}
