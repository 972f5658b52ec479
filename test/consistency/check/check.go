// Package check finds what is wrong in the history of Kafka clients, in the manner of Jepsen's Kafka workload: what
// producers were told, what consumers were given and when, and at the end what is in the log. Its main type is History.
// It is pure: it knows no client, no gateway and no cluster, so that histories made by hand test it.
package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kind is a kind of anomaly.
type Kind string

const (
	// Lost is an acknowledged record, outside of transactions or of a committed one, that is not in the log.
	Lost Kind = "lost write"
	// Duplicate is a value, sent once, that was seen in two places.
	Duplicate Kind = "duplicate"
	// Reordered is a partition that holds a producer's acknowledged records in another order than they were sent in.
	Reordered Kind = "reordered"
	// InconsistentOffset is an offset at which different values were seen.
	InconsistentOffset Kind = "inconsistent offset"
	// AbortedRead is a value of an aborted transaction that was given to a read_committed consumer.
	AbortedRead Kind = "aborted read"
	// Torn is a transaction of which only a part is in the committed log.
	Torn Kind = "torn transaction"
	// PrecommittedRead is a value given to a read_committed consumer before its producer had asked for the commit.
	PrecommittedRead Kind = "precommitted read"
	// NonMonotonic is a consumer that went back without a seek or a new assignment.
	NonMonotonic Kind = "non-monotonic poll"
	// Skipped is a consumer that was not given a record between two that it was given.
	Skipped Kind = "skipped poll"
	// Foreign is a value seen where its sender has not sent it: by another application, or in another topic.
	Foreign Kind = "foreign value"
	// Undelivered is a record that was given to no member of a consumer group, before the group's offset.
	Undelivered Kind = "not delivered to the group"
	// ProcessedTwice is a record of which two committed transactions of one processor hold the result.
	ProcessedTwice Kind = "processed twice"
	// Unprocessed is a record before the processor's committed offset without a result in the committed log.
	Unprocessed Kind = "not processed"
	// ReadCycle is a cycle of committed transactions each of which has read what the one before wrote: Adya's G1c.
	ReadCycle Kind = "cycle of reads (G1c)"
	// WriteCycle is a cycle of committed transactions by the order of their records in partitions: Adya's G0. Kafka's
	// transactions do not isolate writes, so that it is found with every Kafka; it is told and never counts.
	WriteCycle Kind = "cycle of writes (G0), which Kafka permits"
)

// Kinds are all kinds, in the order of reports.
var Kinds = [...]Kind{Lost, Duplicate, Reordered, InconsistentOffset, AbortedRead, Torn, PrecommittedRead, NonMonotonic, Skipped, Foreign,
	Undelivered, ProcessedTwice, Unprocessed, ReadCycle, WriteCycle}

// Log is a partition. Topic is unique in the history: two applications' topics of the same name have different ones.
type Log struct {
	Topic     string
	Partition int32
}

// Seen is a value in its place.
type Seen struct {
	Log
	Offset int64
	Value  string
}

// Send is one record given to a producer.
type Send struct {
	Value  string // unique in the history
	Tenant string // the application
	// Producer and Seq are the order of sending: Seq grows with each record of a producer.
	Producer string
	Seq      int
	Topic    string
	Txn      string // the ID of its transaction; empty outside of one
	Source   string // the value of which a processor has made this one
	// Acked says that the record was acknowledged, as the Partition and Offset. If not, it may be in the log or not.
	Acked     bool
	Partition int32
	Offset    int64
}

// Outcome is how a transaction ended.
type Outcome int

const (
	Unknown   Outcome = iota // a commit was asked for, and nobody knows
	Committed                // acknowledged
	Aborted                  // acknowledged, or a commit was never asked for
)

// Txn is one transaction.
type Txn struct {
	ID      string
	Outcome Outcome
	Ending  time.Duration // when the commit was asked for
	Reads   []string      // the values that it was made of, if it read any
}

// Poll is what a consumer was given at once.
type Poll struct {
	Consumer, Tenant string
	Group            string // empty if it assigns partitions by itself
	Committed        bool   // read_committed
	// Epoch grows whenever positions may jump: at a seek, a new assignment, an aborted transaction of a processor.
	Epoch int
	// From are positions known at the start of an epoch: the offset that is due next.
	From map[Log]int64
	At   time.Duration // when it returned
	Seen []Seen
}

// Group is a consumer group at the end.
type Group struct {
	Name      string
	Committed bool // its members are read_committed
	// Processor is the producer name of what the group's members make of each record; empty if they only read.
	Processor string
	Offsets   map[Log]int64 // up to where everything has to be delivered, or processed
}

// History is everything that was recorded. Times are since its beginning, on one clock.
type History struct {
	Sends  []Send
	Txns   []Txn
	Polls  []Poll
	Groups []Group
	Shared map[string]bool // topics that several applications may read

	// CommittedLog and WholeLog are all logs read to their end after the last client has stopped, read_committed and
	// read_uncommitted, each log in the order of its offsets.
	CommittedLog, WholeLog []Seen
}

// Anomaly is one finding.
type Anomaly struct {
	Kind Kind
	What string
}

// Beyond returns the kinds among found that are not among direct, without those that never count; Foreign always counts.
func Beyond(found, direct []Anomaly) []Kind {
	known := map[Kind]bool{WriteCycle: true}
	for _, a := range direct {
		known[a.Kind] = true
	}
	known[Foreign] = false
	var out []Kind
	for _, k := range Kinds {
		if !known[k] && slices.ContainsFunc(found, func(a Anomaly) bool { return a.Kind == k }) {
			out = append(out, k)
		}
	}
	return out
}

// analysis is a History with its indices.
type analysis struct {
	History
	sends     map[string]*Send // by value
	txns      map[string]*Txn  // by ID
	committed map[Log][]Seen
	whole     map[Log][]Seen
	inLog     map[string]bool // values in CommittedLog
	found     []Anomaly
}

// Check returns the anomalies of a history, in a stable order.
func Check(h History) []Anomaly {
	a := &analysis{History: h, sends: map[string]*Send{}, txns: map[string]*Txn{}, inLog: map[string]bool{}}
	for i := range h.Sends {
		a.sends[h.Sends[i].Value] = &h.Sends[i]
	}
	for i := range h.Txns {
		a.txns[h.Txns[i].ID] = &h.Txns[i]
	}
	a.committed, a.whole = byLog(h.CommittedLog), byLog(h.WholeLog)
	for _, s := range h.CommittedLog {
		a.inLog[s.Value] = true
	}
	a.losses()
	a.places()
	a.order()
	a.transactions()
	a.polls()
	a.foreign()
	a.groups()
	a.cycles()
	return a.found
}

func byLog(seen []Seen) map[Log][]Seen {
	out := map[Log][]Seen{}
	for _, s := range seen {
		out[s.Log] = append(out[s.Log], s)
	}
	return out
}

func (a *analysis) add(k Kind, format string, args ...any) {
	a.found = append(a.found, Anomaly{k, fmt.Sprintf(format, args...)})
}

func (s Seen) String() string {
	return fmt.Sprintf("%s at %s/%d@%d", s.Value, s.Topic, s.Partition, s.Offset)
}

func (s Send) place() Seen { return Seen{Log{s.Topic, s.Partition}, s.Offset, s.Value} }

// txnOf returns the transaction of a value, or nil.
func (a *analysis) txnOf(value string) *Txn {
	if s := a.sends[value]; s != nil && s.Txn != "" {
		return a.txns[s.Txn]
	}
	return nil
}

func (a *analysis) losses() {
	for _, s := range a.Sends {
		if s.Acked && s.Txn == "" && !a.inLog[s.Value] {
			a.add(Lost, "%s was acknowledged", s.place())
		}
	}
}

// sightings calls f for everything that was seen or acknowledged, with who saw it.
func (a *analysis) sightings(f func(by string, s Seen)) {
	for _, s := range a.Sends {
		if s.Acked {
			f("producer "+s.Producer, s.place())
		}
	}
	for _, s := range a.WholeLog {
		f("the log", s)
	}
	for _, s := range a.CommittedLog {
		f("the committed log", s)
	}
	for _, p := range a.Polls {
		for _, s := range p.Seen {
			f("consumer "+p.Consumer, s)
		}
	}
}

// places finds values in two places and places with two values.
func (a *analysis) places() {
	type place struct {
		Log
		offset int64
	}
	type sighting struct {
		by    string
		seen  Seen
		found bool
	}
	at, of := map[place]*sighting{}, map[string]*sighting{}
	a.sightings(func(by string, s Seen) {
		p := place{s.Log, s.Offset}
		if first := at[p]; first == nil {
			at[p] = &sighting{by: by, seen: s}
		} else if first.seen.Value != s.Value && !first.found {
			first.found = true
			a.add(InconsistentOffset, "%s for %s, but %s for %s", first.seen, first.by, s.Value, by)
		}
		if first := of[s.Value]; first == nil {
			of[s.Value] = &sighting{by: by, seen: s}
		} else if (place{first.seen.Log, first.seen.Offset}) != p && !first.found {
			first.found = true
			a.add(Duplicate, "%s for %s, and at %s/%d@%d for %s", first.seen, first.by, s.Topic, s.Partition, s.Offset, by)
		}
	})
}

func (a *analysis) order() {
	for _, log := range sorted(a.whole) {
		last := map[string]*Send{}
		for _, seen := range a.whole[log] {
			s := a.sends[seen.Value]
			if s == nil || !s.Acked {
				continue
			}
			if before := last[s.Producer]; before != nil && before.Seq > s.Seq {
				a.add(Reordered, "%s was sent before %s", seen, before.place())
			}
			last[s.Producer] = s
		}
	}
}

func sorted[V any](m map[Log]V) []Log {
	return slices.SortedFunc(maps.Keys(m), func(x, y Log) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
}

func (a *analysis) transactions() {
	acked := map[string][]*Send{}
	for i := range a.Sends {
		if s := &a.Sends[i]; s.Txn != "" && s.Acked {
			acked[s.Txn] = append(acked[s.Txn], s)
		}
	}
	for _, t := range a.Txns {
		sends := acked[t.ID]
		var missing []*Send
		for _, s := range sends {
			if !a.inLog[s.Value] {
				missing = append(missing, s)
			}
		}
		switch {
		case t.Outcome == Aborted || len(missing) == 0:
		case len(missing) < len(sends):
			a.add(Torn, "transaction %s: %d of %d records are not in the log, the first being %s", t.ID, len(missing), len(sends), missing[0].place())
		case t.Outcome == Committed:
			for _, s := range missing {
				a.add(Lost, "%s was acknowledged, and its transaction %s committed", s.place(), t.ID)
			}
		}
	}
	for _, s := range a.CommittedLog {
		if t := a.txnOf(s.Value); t != nil && t.Outcome == Aborted {
			a.add(AbortedRead, "%s is in the committed log", s)
		}
	}
	for _, p := range a.Polls {
		if !p.Committed {
			continue
		}
		for _, s := range p.Seen {
			switch t := a.txnOf(s.Value); {
			case t == nil:
			case t.Outcome == Aborted:
				a.add(AbortedRead, "%s for consumer %s", s, p.Consumer)
			case p.At < t.Ending:
				a.add(PrecommittedRead, "%s for consumer %s, %v before transaction %s was to be committed", s, p.Consumer, t.Ending-p.At, t.ID)
			}
		}
	}
}

// polls finds consumers that went back or left something out.
func (a *analysis) polls() {
	type position struct {
		epoch int
		next  int64
	}
	type cursor struct {
		consumer string
		log      Log
	}
	at := map[cursor]position{}
	for _, p := range a.Polls {
		for log, offset := range p.From {
			at[cursor{p.Consumer, log}] = position{p.Epoch, offset}
		}
		visible := a.whole
		if p.Committed {
			visible = a.committed
		}
		for _, s := range p.Seen {
			c := cursor{p.Consumer, s.Log}
			if pos, ok := at[c]; ok && pos.epoch == p.Epoch {
				if s.Offset < pos.next {
					a.add(NonMonotonic, "%s for consumer %s, which was due offset %d", s, p.Consumer, pos.next)
				} else {
					log := visible[s.Log]
					i, _ := slices.BinarySearchFunc(log, pos.next, func(e Seen, offset int64) int { return cmp.Compare(e.Offset, offset) })
					if i < len(log) && log[i].Offset < s.Offset {
						a.add(Skipped, "%s, by consumer %s, which was given offset %d", log[i], p.Consumer, s.Offset)
					}
				}
			}
			at[c] = position{p.Epoch, s.Offset + 1}
		}
	}
}

func (a *analysis) foreign() {
	look := func(by string, s Seen) *Send {
		sent := a.sends[s.Value]
		if sent == nil {
			a.add(Foreign, "%s for %s: nobody has sent it", s, by)
		} else if sent.Topic != s.Topic {
			a.add(Foreign, "%s for %s: it was sent to %s", s, by, sent.Topic)
			return nil
		}
		return sent
	}
	for _, s := range a.WholeLog {
		look("the log", s)
	}
	for _, p := range a.Polls {
		for _, s := range p.Seen {
			if sent := look("consumer "+p.Consumer, s); sent != nil && sent.Tenant != p.Tenant && !a.Shared[s.Topic] {
				a.add(Foreign, "%s for consumer %s of %s: it is of %s", s, p.Consumer, p.Tenant, sent.Tenant)
			}
		}
	}
}

func (a *analysis) groups() {
	delivered := map[string]map[string]bool{} // by group, value
	for _, p := range a.Polls {
		if p.Group == "" {
			continue
		}
		if delivered[p.Group] == nil {
			delivered[p.Group] = map[string]bool{}
		}
		for _, s := range p.Seen {
			delivered[p.Group][s.Value] = true
		}
	}
	results := map[string]map[string]string{} // by processor, source: the result
	for _, s := range a.Sends {
		if s.Source == "" || !a.inLog[s.Value] {
			continue
		}
		if results[s.Producer] == nil {
			results[s.Producer] = map[string]string{}
		}
		if first, ok := results[s.Producer][s.Source]; ok {
			a.add(ProcessedTwice, "%s by %s: as %s and as %s", s.Source, s.Producer, first, s.Value)
		}
		results[s.Producer][s.Source] = s.Value
	}
	for _, g := range a.Groups {
		log := a.whole
		if g.Committed {
			log = a.committed
		}
		for _, l := range sorted(g.Offsets) {
			for _, s := range log[l] {
				if s.Offset >= g.Offsets[l] {
					break
				}
				if g.Processor == "" && !delivered[g.Name][s.Value] {
					a.add(Undelivered, "%s, group %s", s, g.Name)
				} else if _, ok := results[g.Processor][s.Value]; g.Processor != "" && !ok {
					a.add(Unprocessed, "%s, group %s has committed offset %d", s, g.Name, g.Offsets[l])
				}
			}
		}
	}
}

// cycles looks for cycles of transactions that are in the log.
func (a *analysis) cycles() {
	reads, writes := map[string]map[string]bool{}, map[string]map[string]bool{}
	edge := func(graph map[string]map[string]bool, from, to string) {
		if graph[from] == nil {
			graph[from] = map[string]bool{}
		}
		graph[from][to] = true
	}
	for _, t := range a.Txns {
		if t.Outcome != Committed {
			continue
		}
		for _, value := range t.Reads {
			if w := a.txnOf(value); w != nil && w.ID != t.ID && w.Outcome == Committed {
				edge(reads, w.ID, t.ID)
			}
		}
	}
	for _, log := range a.committed {
		last := ""
		for _, s := range log {
			t := a.txnOf(s.Value)
			if t == nil || t.Outcome != Committed {
				continue
			}
			if last != "" && last != t.ID {
				edge(writes, last, t.ID)
			}
			last = t.ID
		}
	}
	for _, c := range components(reads) {
		a.add(ReadCycle, "transactions %v", c)
	}
	for _, c := range components(writes) {
		a.add(WriteCycle, "%d transactions, with %s", len(c), c[0])
	}
}

// components returns the strongly connected components of more than one node, each sorted (Tarjan, without recursion,
// because the chains of a long history are deep).
func components(graph map[string]map[string]bool) [][]string {
	type node struct {
		index, low int
		onStack    bool
	}
	type frame struct {
		name string
		next []string
	}
	nodes := map[string]*node{}
	var stack []string
	var out [][]string
	for _, root := range slices.Sorted(maps.Keys(graph)) {
		if nodes[root] != nil {
			continue
		}
		var calls []frame
		visit := func(name string) {
			nodes[name] = &node{index: len(nodes), low: len(nodes), onStack: true}
			stack = append(stack, name)
			calls = append(calls, frame{name, slices.Sorted(maps.Keys(graph[name]))})
		}
		visit(root)
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			n := nodes[f.name]
			if len(f.next) > 0 {
				to := f.next[0]
				f.next = f.next[1:]
				if m := nodes[to]; m == nil {
					visit(to)
				} else if m.onStack {
					n.low = min(n.low, m.index)
				}
				continue
			}
			if n.low == n.index {
				i := len(stack) - 1
				for stack[i] != f.name {
					i--
				}
				part := slices.Sorted(slices.Values(stack[i:]))
				for _, name := range part {
					nodes[name].onStack = false
				}
				stack = stack[:i]
				if len(part) > 1 {
					out = append(out, part)
				}
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := nodes[calls[len(calls)-1].name]
				parent.low = min(parent.low, n.low)
			}
		}
	}
	return out
}
