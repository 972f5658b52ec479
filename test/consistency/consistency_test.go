package consistency

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/kafkatest"
	"sluice/test/consistency/check"
	"sluice/test/harness"
)

// seeds are those of this run: one of the sample; in full as many as SLUICE_SEEDS says, or three; or the one of SLUICE_SEED.
func seeds(t *testing.T) []uint64 {
	number := func(name string) (int, bool) {
		text := os.Getenv(name)
		if text == "" {
			return 0, false
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number from 1 on", name, text)
		}
		return n, true
	}
	if n, ok := number("SLUICE_SEED"); ok {
		return []uint64{uint64(n)}
	}
	n := 1
	if harness.Full() {
		n = 3
		if m, ok := number("SLUICE_SEEDS"); ok {
			n = m
		}
	}
	var out []uint64
	for i := range n {
		out = append(out, uint64(i+1))
	}
	return out
}

func TestPlansComeFromTheSeed(t *testing.T) {
	for _, whole := range []bool{false, true} {
		first := plan(7, whole)
		if again := plan(7, whole); !reflect.DeepEqual(first, again) {
			t.Errorf("the same seed leads to\n%v and\n%v", first, again)
		}
		if other := plan(8, whole); reflect.DeepEqual(first, other) {
			t.Errorf("another seed leads to the same plan %v", first)
		}
	}
	if a, b := random(7, "red/x").Uint64(), random(7, "blue/x").Uint64(); a == b {
		t.Error("two workers decide alike")
	}
	if a, b := random(7, "red/x").Uint64(), random(7, "red/x").Uint64(); a != b {
		t.Error("one worker decides differently with the same seed")
	}
}

// row is what happened on one side under one seed.
type row struct {
	seed  uint64
	side  string
	tally tally
	found []check.Anomaly
	told  string
}

// stall is the longest pause around one kind of fault, over all seeds.
type stall struct {
	times                  int
	direct, gateway, other time.Duration
	who                    string
	rebalances             [2]int // of one group with one member, on each side
}

func TestConsistency(t *testing.T) {
	const brokers = 3
	options := kafkatest.Options{Brokers: brokers, Version: os.Getenv("SLUICE_KAFKA")}
	kafka := kafkatest.Start(t, options)
	binary := harness.Build(t)
	var rows []row
	stalls := map[fault]*stall{}
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rows = append(rows, trial(t, newWorld(t, kafka, binary), seed, stalls)...)
		})
	}
	harness.Report(t, "consistency", report(kafka, rows, stalls))
}

// trial runs one seed on both sides at once.
func trial(t *testing.T, w *world, seed uint64, stalls map[fault]*stall) []row {
	begin := time.Now()
	slow := time.Duration(2) // the sample shares its machine with other tests
	if harness.Full() {
		slow = 1
	}
	var runs []*run
	for _, s := range w.sides() {
		runs = append(runs, start(t, s, seed, slow, begin))
	}
	const bound = 3 * time.Minute // a cluster that has lost its quorum takes long, and so does a busy machine
	flowing := func(after string, since time.Duration) {
		t.Helper()
		deadline := time.Now().Add(bound)
		for _, r := range runs {
			for {
				waiting := r.rec.waiting(since)
				if len(waiting) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("%s: not in %v after %s have these worked: %q; errors: %s", r.side.name, bound, after, waiting, r.rec.told())
					break
				}
				time.Sleep(20 * time.Millisecond) // several workers, no single event
			}
		}
	}
	flowing("the start", time.Since(begin))
	t.Logf("everything works after %v", time.Since(begin))
	for _, s := range plan(seed, harness.Full()) {
		time.Sleep(s.quiet)
		struck, failed := time.Since(begin), runs[1].rec.failures("idempotent")
		gateway, err := w.strike(s)
		if err != nil {
			t.Errorf("%s: %v", s.fault, err)
		}
		healed := time.Since(begin)
		flowing(string(s.fault), healed)
		if n := runs[1].rec.failures("idempotent") - failed; n > 0 && s.fault == gatewaysRolled {
			t.Errorf("%s: %d writes failed", s.fault, n)
		}
		note(t, stalls, s, gateway, runs, struck, time.Since(begin))
		if t.Failed() {
			break
		}
	}
	var rows []row
	stopped := time.Since(begin)
	var finished sync.WaitGroup
	for _, r := range runs {
		finished.Go(func() { r.finish(bound) })
	}
	finished.Wait()
	t.Logf("finished %v after the last fault", time.Since(begin)-stopped)
	for _, r := range runs {
		h := r.rec.history()
		h.Groups = r.groups()
		h.CommittedLog, h.WholeLog = w.logs(r.side, kgo.ReadCommitted()), w.logs(r.side, kgo.ReadUncommitted())
		found := check.Check(h)
		rows = append(rows, row{seed, r.side.name, count(h), found, r.rec.told()})
		t.Logf("seed %d, %s: %+v; %s; clients were told: %s", seed, r.side.name, count(h), summary(found), r.rec.told())
		for i, a := range found {
			if a.Kind != check.WriteCycle && i < 20 {
				t.Logf("%s: %s: %s", r.side.name, a.Kind, a.What)
			}
		}
		if n := count(h); n.acked == 0 || n.committed == 0 || n.aborted == 0 || n.seen == 0 {
			t.Errorf("%s: nothing happened: %+v", r.side.name, n)
		}
	}
	for _, kind := range check.Beyond(rows[1].found, rows[0].found) {
		for _, a := range rows[1].found {
			if a.Kind == kind {
				t.Errorf("through the gateways only: %s: %s", kind, a.What)
				break
			}
		}
	}
	return rows
}

// note keeps the longest pauses around a step.
func note(t *testing.T, stalls map[fault]*stall, s step, gateway int, runs []*run, from, to time.Duration) {
	all := func(string) bool { return true }
	kept := stalls[s.fault]
	if kept == nil {
		kept = &stall{}
		stalls[s.fault] = kept
	}
	kept.times++
	direct, _ := runs[0].rec.longest(from, to, all)
	through, who := runs[1].rec.longest(from, to, all)
	kept.direct = max(kept.direct, direct)
	if through > kept.gateway {
		kept.gateway, kept.who = through, who
	}
	var other time.Duration
	if gateway >= 0 {
		other, _ = runs[1].rec.longest(from, to, func(name string) bool { return name == fmt.Sprintf("red/idempotent-%d", 1-gateway) })
		kept.other = max(kept.other, other)
	}
	for i, r := range runs {
		kept.rebalances[i] = max(kept.rebalances[i], r.rec.rebalances(from, to))
	}
	t.Logf("%s (%+v) took %v; longest pause: direct %v, gateway %v (%s), at the other gateway %v; at most %v rebalances", s.fault, s, to-from, direct, through, who, other, kept.rebalances)
}

// logs reads all of a side's logs.
func (w *world) logs(s side, isolation kgo.IsolationLevel) []check.Seen {
	var out []check.Seen
	for _, tenant := range tenants {
		for topic := range partitions {
			if topic == shared && tenant != tenants[0] {
				continue
			}
			for _, r := range harness.ReadTopic(w.tb, w.dial, w.backing[s.name+"/"+key(tenant, topic)], isolation) {
				out = append(out, check.Seen{Log: check.Log{Topic: key(tenant, topic), Partition: r.Partition}, Offset: r.Offset, Value: string(r.Value)})
			}
		}
	}
	return out
}

func summary(found []check.Anomaly) string {
	n := map[check.Kind]int{}
	for _, a := range found {
		n[a.Kind]++
	}
	var out []string
	for _, k := range check.Kinds {
		if n[k] > 0 && k != check.WriteCycle {
			out = append(out, fmt.Sprintf("%s ×%d", k, n[k]))
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

func report(kafka *kafkatest.Cluster, rows []row, stalls map[fault]*stall) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Apache Kafka %s, %d brokers, two gateways.\n\n", kafka.Version, kafka.Brokers())
	b.WriteString("| Seed | Side | records acknowledged | not acknowledged | transactions committed | aborted | unknown | records read | anomalies | errors that clients were told |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %s | %d | %d | %d | %d | %d | %d | %s | %s |\n", r.seed, r.side, r.tally.acked, r.tally.unacked, r.tally.committed, r.tally.aborted, r.tally.unknown, r.tally.seen, summary(r.found), r.told)
	}
	b.WriteString("\n| Fault | times | longest pause of a worker, direct | through the gateways | at the gateway that was not hit | rebalances of a processor: direct, gateways |\n|---|---|---|---|---|---|\n")
	for _, f := range slices.Sorted(maps.Keys(stalls)) {
		s, direct, other := stalls[f], "", ""
		direct = fmt.Sprintf("%.1f s", s.direct.Seconds())
		if f.atGateway() {
			direct = "not struck"
		}
		if s.other > 0 {
			other = fmt.Sprintf("%.1f s", s.other.Seconds())
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %.1f s (%s) | %s | %d, %d |\n", f, s.times, direct, s.gateway.Seconds(), kindOf(s.who), other, s.rebalances[0], s.rebalances[1])
	}
	return b.String()
}
