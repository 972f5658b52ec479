package chaos

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

// full runs every fault often, on three brokers, and reports to
// docs/reliability.md; the sample runs the gateway's own faults once, on one.
var full = harness.Full()

type fault struct {
	name   string
	three  bool // needs three brokers
	rounds [2]int
	strike func(*testing.T, *kafkatest.Cluster, *harness.Process, int)
}

var faults = []fault{
	{"gateway killed and started again", false, [2]int{1, 30}, func(t *testing.T, _ *kafkatest.Cluster, g *harness.Process, _ int) {
		g.Kill()
		g.Start()
	}},
	{"gateway asked to end and started again", false, [2]int{1, 30}, func(t *testing.T, _ *kafkatest.Cluster, g *harness.Process, _ int) {
		g.Stop(8 * time.Second) // the drain's bound is 5 s
		g.Start()
	}},
	{"broker killed and started again", true, [2]int{0, 20}, func(t *testing.T, k *kafkatest.Cluster, _ *harness.Process, round int) {
		broker := 1 + round%k.Brokers()
		must(t, k.KillBroker(broker))
		must(t, k.StartBroker(broker))
	}},
	{"broker stopped and started again", true, [2]int{0, 3}, func(t *testing.T, k *kafkatest.Cluster, _ *harness.Process, round int) {
		broker := 1 + round%k.Brokers()
		must(t, k.StopBroker(broker))
		must(t, k.StartBroker(broker))
	}},
	{"broker frozen for 5, 15 and 45 s", true, [2]int{0, 3}, func(t *testing.T, k *kafkatest.Cluster, _ *harness.Process, round int) {
		broker := 1 + round%k.Brokers()
		must(t, k.Pause(broker))
		time.Sleep([]time.Duration{5, 15, 45}[round%3] * time.Second) // the length of the freeze is the fault
		must(t, k.Resume(broker))
	}},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	brokers, n := 1, 0
	if full {
		brokers, n = 3, 1
	}
	kafka := kafkatest.Start(t, kafkatest.Options{Brokers: brokers})
	binary := harness.Build(t)
	direct := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(kafka.Bootstrap()...)}, opts...)...)
		must(t, err)
		return cl
	}
	var report strings.Builder
	for _, f := range faults {
		if f.rounds[n] == 0 || f.three && brokers < 3 {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			topics := map[string]string{"plain": "plain-" + random(), "txn": "txn-" + random()}
			create(t, direct, int16(brokers), topics)
			g := newGateway(t, binary, kafka.Bootstrap(), topics)
			load := startLoad(t, g.Bootstrap, 3)
			stop := sync.OnceValue(func() Verdict { return load.Stop(direct, topics["plain"], topics["txn"]) })
			defer stop()
			for round := range f.rounds[n] {
				load.Flowing(60 * time.Second)
				f.strike(t, kafka, g, round)
			}
			load.Flowing(60 * time.Second)
			v := stop()
			for _, b := range v.bad() {
				t.Error(b)
			}
			if v.Acked == 0 || v.Committed == 0 {
				t.Errorf("nothing happened: %d records acknowledged, %d transactions committed", v.Acked, v.Committed)
			}
			t.Logf("%+v", v)
			fmt.Fprintf(&report, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", f.name, f.rounds[n], v.Acked, v.Lost, v.Duplicates, v.Reordered,
				v.Undelivered, v.Committed, v.Torn, v.Resurrected, v.Failed, longest(v.Gaps))
		})
	}
	harness.Report(t, "chaos", preface(kafka)+report.String())
}

func longest(gaps map[string]time.Duration) string {
	names := make([]string, 0, len(gaps))
	for name := range gaps {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.1f s", name, gaps[name].Seconds())
	}
	return strings.Join(names, ", ")
}

func create(t *testing.T, direct func(...kgo.Opt) *kgo.Client, replicas int16, topics map[string]string) {
	t.Helper()
	cl := direct()
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, backing := range topics {
		resp, err := kadm.NewClient(cl).CreateTopic(ctx, 3, replicas, nil, backing)
		must(t, err)
		must(t, resp.Err)
	}
}

func random() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// preface says above the table what was run.
func preface(kafka *kafkatest.Cluster) string {
	return fmt.Sprintf(`Three idempotent producers, one transactional producer and one consumer group work through the gateway in front of Apache
Kafka %s with %d brokers while one thing breaks again and again. Afterwards the log is read from the cluster itself and
compared with what the clients were told. Longest pauses are of one run on a busy machine: orders of magnitude.

| Fault | times | records acknowledged | lost | twice | out of order | not delivered | transactions committed | torn or lost | aborted but visible | produce errors | longest pause |
|---|---|---|---|---|---|---|---|---|---|---|---|
`, kafka.Version, kafka.Brokers())
}
