package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// clean is a history of everything that can be recorded, with nothing wrong: two applications, a transaction that
// committed, one that was aborted and one of which nobody knows, a consumer that seeks, a group that rebalances and a processor.
func clean() History {
	red, shared, out := Log{"red:orders", 0}, Log{"shared", 0}, Log{"red:out", 0}
	at := func(l Log, offset int64, value string) Seen { return Seen{l, offset, value} }
	sent := func(value, txn string, s Seen) Send {
		producer, _, _ := strings.Cut(value, "-")
		seq := int(value[len(value)-1] - '0')
		return Send{Value: value, Tenant: "red", Producer: producer, Seq: seq, Topic: s.Topic, Txn: txn, Acked: true, Partition: s.Partition, Offset: s.Offset}
	}
	var (
		p1, p2 = at(red, 0, "p-1"), at(red, 1, "p-2")
		t1, t2 = at(red, 2, "t-1"), at(shared, 0, "t-2") // committed
		a3, a4 = at(red, 4, "t-3"), at(shared, 2, "t-4") // aborted
		u5, u6 = at(red, 6, "t-5"), at(shared, 4, "t-6") // unknown, in fact aborted
		p3     = at(red, 8, "p-3")
		r1, r2 = at(out, 0, "r-1"), at(out, 1, "r-2") // made of p-1 and p-2
	)
	lost := Send{Value: "p-4", Tenant: "red", Producer: "p", Seq: 4, Topic: "red:orders"} // never acknowledged
	results := []Send{sent("r-1", "R", r1), sent("r-2", "R", r2)}
	results[0].Source, results[1].Source = "p-1", "p-2"
	return History{
		Shared: map[string]bool{"shared": true},
		Sends: append([]Send{sent("p-1", "", p1), sent("p-2", "", p2), sent("p-3", "", p3), lost, sent("t-1", "A", t1), sent("t-2", "A", t2),
			sent("t-3", "B", a3), sent("t-4", "B", a4), sent("t-5", "C", u5), sent("t-6", "C", u6)}, results...),
		Txns: []Txn{{ID: "A", Outcome: Committed, Ending: 5 * time.Second}, {ID: "B", Outcome: Aborted}, {ID: "C", Ending: 7 * time.Second},
			{ID: "R", Outcome: Committed, Ending: 9 * time.Second, Reads: []string{"p-1", "p-2"}}},
		Polls: []Poll{
			{Consumer: "c", Tenant: "red", Committed: true, From: map[Log]int64{red: 0}, At: 6 * time.Second, Seen: []Seen{p1, p2, t1}},
			{Consumer: "c", Tenant: "red", Committed: true, At: 8 * time.Second, Seen: []Seen{p3, t2}},
			{Consumer: "c", Tenant: "red", Committed: true, Epoch: 1, From: map[Log]int64{red: 1}, At: 9 * time.Second, Seen: []Seen{p2, t1, p3}},
			{Consumer: "u", Tenant: "red", At: 4 * time.Second, Seen: []Seen{p1, p2, t1, a3, u5, p3}},
			{Consumer: "b", Tenant: "blue", Committed: true, At: 9 * time.Second, Seen: []Seen{t2}},
			{Consumer: "g1", Tenant: "red", Group: "g", Committed: true, At: 9 * time.Second, Seen: []Seen{p1, p2}},
			{Consumer: "g2", Tenant: "red", Group: "g", Committed: true, At: 9 * time.Second, Seen: []Seen{p2, t1, p3}},
		},
		Groups:       []Group{{Name: "g", Committed: true, Offsets: map[Log]int64{red: 9}}, {Name: "r", Committed: true, Processor: "r", Offsets: map[Log]int64{red: 2}}},
		CommittedLog: []Seen{p1, p2, t1, p3, t2, r1, r2},
		WholeLog:     []Seen{p1, p2, t1, a3, u5, p3, t2, a4, u6, r1, r2},
	}
}

func TestAnomalies(t *testing.T) {
	red, shared, out := Log{"red:orders", 0}, Log{"shared", 0}, Log{"red:out", 0}
	without := func(log []Seen, values ...string) []Seen {
		return slices.DeleteFunc(slices.Clone(log), func(s Seen) bool { return slices.Contains(values, s.Value) })
	}
	drop := func(h *History, values ...string) {
		h.CommittedLog, h.WholeLog = without(h.CommittedLog, values...), without(h.WholeLog, values...)
		for i := range h.Polls {
			h.Polls[i].Seen = without(h.Polls[i].Seen, values...)
		}
	}
	tests := []struct {
		name string
		edit func(*History)
		want []Kind
	}{
		{"nothing wrong", func(*History) {}, nil},
		{"an acknowledged record is nowhere", func(h *History) { drop(h, "p-3") }, []Kind{Lost}},
		{"a record that was not acknowledged is there", func(h *History) {
			late := Seen{red, 9, "p-4"}
			h.CommittedLog, h.WholeLog = append(h.CommittedLog, late), append(h.WholeLog, late)
		}, nil},
		{"a committed transaction is nowhere", func(h *History) { drop(h, "t-1", "t-2") }, []Kind{Lost}},
		{"half of a committed transaction", func(h *History) { drop(h, "t-2") }, []Kind{Torn}},
		{"half of a transaction that nobody knows of", func(h *History) {
			h.CommittedLog = append(h.CommittedLog, Seen{shared, 4, "t-6"})
		}, []Kind{Torn}},
		{"all of a transaction that nobody knows of", func(h *History) {
			h.CommittedLog = append(without(h.CommittedLog, "t-2", "p-3"), Seen{red, 6, "t-5"}, Seen{red, 8, "p-3"}, Seen{shared, 0, "t-2"}, Seen{shared, 4, "t-6"})
			for _, i := range []int{0, 1, 2} { // to be given to all who were given what is after it
				h.Polls[i].From, h.Polls[i].Epoch = nil, 10+i
			}
			h.Polls[2].Seen, h.Polls[6].Seen = []Seen{{red, 6, "t-5"}}, []Seen{{red, 2, "t-1"}, {red, 6, "t-5"}, {red, 8, "p-3"}}
			h.Polls[2].At, h.Polls[6].At = 20*time.Second, 20*time.Second
		}, nil},
		{"a value twice in the log", func(h *History) {
			again := Seen{red, 9, "p-1"}
			h.CommittedLog, h.WholeLog = append(h.CommittedLog, again), append(h.WholeLog, again)
		}, []Kind{Duplicate, Reordered}},
		{"an acknowledgement of another offset", func(h *History) { h.Sends[2].Offset = 7 }, []Kind{Duplicate}},
		{"two records the other way round", func(h *History) { h.Sends[0].Seq, h.Sends[1].Seq = 2, 1 }, []Kind{Reordered}},
		{"a consumer given another value than the log has", func(h *History) { h.Polls[3].Seen[1].Value = "p-4" }, []Kind{InconsistentOffset}},
		{"an aborted value in the committed log", func(h *History) {
			h.CommittedLog = append(h.CommittedLog, Seen{shared, 2, "t-4"})
		}, []Kind{AbortedRead}},
		{"an aborted value for a read_committed consumer", func(h *History) {
			h.Polls[4].Seen = append(h.Polls[4].Seen, Seen{shared, 2, "t-4"})
		}, []Kind{AbortedRead}},
		{"an open transaction for a read_committed consumer", func(h *History) { h.Polls[0].At = 4 * time.Second }, []Kind{PrecommittedRead}},
		{"a consumer goes back", func(h *History) {
			h.Polls[1].Seen = append(h.Polls[1].Seen, Seen{red, 1, "p-2"})
		}, []Kind{NonMonotonic}},
		{"a consumer begins before its seek", func(h *History) { h.Polls[2].From = map[Log]int64{red: 2} }, []Kind{NonMonotonic}},
		{"a consumer leaves a record out", func(h *History) { h.Polls[0].Seen = without(h.Polls[0].Seen, "p-2") }, []Kind{Skipped}},
		{"a consumer leaves the record out that it has sought", func(h *History) { h.Polls[2].Seen = without(h.Polls[2].Seen, "p-2") }, []Kind{Skipped}},
		{"a read_uncommitted consumer leaves an aborted record out", func(h *History) { h.Polls[3].Seen = without(h.Polls[3].Seen, "t-3") }, []Kind{Skipped}},
		{"another application's value", func(h *History) { h.Polls[4].Seen = append(h.Polls[4].Seen, Seen{red, 8, "p-3"}) }, []Kind{Foreign}},
		{"a value in another topic", func(h *History) {
			h.Polls[4].Seen = append(h.Polls[4].Seen, Seen{Log{"blue:orders", 0}, 3, "p-3"})
		}, []Kind{Duplicate, Foreign}},
		{"a value that nobody sent", func(h *History) { h.Polls[4].Seen = append(h.Polls[4].Seen, Seen{shared, 1, "x-1"}) }, []Kind{Foreign}},
		{"a group that misses a record", func(h *History) { h.Polls[5].Seen = without(h.Polls[5].Seen, "p-1") }, []Kind{Undelivered}},
		{"a group that has not come so far", func(h *History) {
			h.Polls[6].Seen, h.Groups[0].Offsets = without(h.Polls[6].Seen, "p-3"), map[Log]int64{red: 8}
		}, nil},
		{"a record processed in two transactions", func(h *History) {
			h.Sends = append(h.Sends, Send{Value: "r-3", Tenant: "red", Producer: "r", Seq: 3, Topic: "red:out", Txn: "R2", Source: "p-1", Acked: true, Offset: 3})
			h.Txns = append(h.Txns, Txn{ID: "R2", Outcome: Committed})
			h.CommittedLog, h.WholeLog = append(h.CommittedLog, Seen{out, 3, "r-3"}), append(h.WholeLog, Seen{out, 3, "r-3"})
		}, []Kind{ProcessedTwice}},
		{"offsets committed without the result", func(h *History) { h.Groups[1].Offsets = map[Log]int64{red: 3} }, []Kind{Unprocessed}},
		{"two transactions that have read each other", func(h *History) {
			h.Txns[0].Reads, h.Txns[3].Reads = []string{"r-1"}, []string{"t-1"}
		}, []Kind{ReadCycle}},
		{"a transaction that has read itself is none", func(h *History) { h.Txns[0].Reads = []string{"t-1"} }, nil},
		{"two transactions interleaved in two partitions", func(h *History) {
			a, b := Log{"red:out", 1}, Log{"red:out", 2}
			for i, s := range []Seen{{a, 0, "x-1"}, {a, 1, "y-1"}, {b, 0, "y-2"}, {b, 1, "x-2"}} {
				h.Sends = append(h.Sends, Send{Value: s.Value, Tenant: "red", Producer: s.Value[:1], Seq: i, Topic: s.Topic, Txn: s.Value[:1], Acked: true, Partition: s.Partition, Offset: s.Offset})
				h.CommittedLog, h.WholeLog = append(h.CommittedLog, s), append(h.WholeLog, s)
			}
			h.Txns = append(h.Txns, Txn{ID: "x", Outcome: Committed}, Txn{ID: "y", Outcome: Committed})
		}, []Kind{WriteCycle}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := clean()
			test.edit(&h)
			found := Check(h)
			var got []Kind
			for _, a := range found {
				if !slices.Contains(got, a.Kind) {
					got = append(got, a.Kind)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q: %q", got, test.want, found)
			}
		})
	}
}

func TestBeyond(t *testing.T) {
	found := []Anomaly{{Torn, ""}, {Foreign, ""}, {Lost, ""}, {WriteCycle, ""}, {Torn, ""}}
	direct := []Anomaly{{Torn, ""}, {Foreign, ""}}
	if got, want := Beyond(found, direct), []Kind{Lost, Foreign}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Beyond(direct[:1], found); got != nil {
		t.Errorf("got %q for what is found directly as well", got)
	}
}

func TestComponentsOfADeepChain(t *testing.T) {
	graph := map[string]map[string]bool{}
	name := func(i int) string { return fmt.Sprintf("t%06d", i) }
	for i := range 50_000 {
		graph[name(i)] = map[string]bool{name(i + 1): true}
	}
	if got := components(graph); got != nil {
		t.Errorf("a chain has the cycles %v", got)
	}
	graph[name(40_000)][name(39_998)] = true
	if got := components(graph); len(got) != 1 || !slices.Equal(got[0], []string{name(39_998), name(39_999), name(40_000)}) {
		t.Errorf("got %v", got)
	}
}
