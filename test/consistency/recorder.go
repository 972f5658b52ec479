package consistency

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/consistency/check"
)

// recorder keeps what the clients of one side were told, and when each worker succeeded.
type recorder struct {
	begin time.Time

	mu      sync.Mutex // guards what follows, and all that the pointers lead to
	sends   []*check.Send
	txns    map[string]*check.Txn
	order   []string // the keys of txns
	polls   []check.Poll
	workers map[string]*worker
	errors  map[string]int // by kind of worker and error
}

// worker is the progress of one worker.
type worker struct {
	last     time.Duration // its last success
	pauses   []pause
	assigned []time.Duration // when its group gave it partitions
}

// pause is a time without success that is long enough to be remembered.
type pause struct{ from, to time.Duration }

const shortestPause = 200 * time.Millisecond

func newRecorder(begin time.Time) *recorder {
	return &recorder{begin: begin, txns: map[string]*check.Txn{}, workers: map[string]*worker{}, errors: map[string]int{}}
}

func (r *recorder) now() time.Duration { return time.Since(r.begin) }

// joins makes a worker known, which is expected to make progress from now on.
func (r *recorder) joins(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers[name] = &worker{last: r.now()}
}

// success notes progress; r.mu is held.
func (r *recorder) success(name string) {
	w, now := r.workers[name], r.now()
	if now-w.last >= shortestPause {
		w.pauses = append(w.pauses, pause{w.last, now})
	}
	w.last = now
}

// failed counts an error that a client told.
func (r *recorder) failed(name string, err error) {
	kind, what := kindOf(name), "connection or deadline"
	var code *kerr.Error
	var poll *kgo.ErrGroupSession
	switch {
	case errors.As(err, &code):
		what = code.Message
	case errors.As(err, &poll):
		what = "group session"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[kind+": "+what]++
}

// failures counts the errors that workers of a kind were told.
func (r *recorder) failures(kind string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, count := range r.errors {
		if strings.HasPrefix(what, kind+": ") {
			n += count
		}
	}
	return n
}

// kindOf is the kind of a worker: "red/idempotent-1" is idempotent.
func kindOf(name string) string {
	_, kind, _ := strings.Cut(name, "/")
	kind, _, _ = strings.Cut(kind, "-")
	return kind
}

// send notes a record that is about to be sent.
func (r *recorder) send(s check.Send) *check.Send {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := &s
	r.sends = append(r.sends, kept)
	return kept
}

// acked notes that the broker has acknowledged it.
func (r *recorder) acked(s *check.Send, rec *kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Acked, s.Partition, s.Offset = true, rec.Partition, rec.Offset
}

// open notes a transaction that begins. It counts as aborted until its commit is asked for.
func (r *recorder) open(id string, reads []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns[id] = &check.Txn{ID: id, Outcome: check.Aborted, Reads: reads}
	r.order = append(r.order, id)
}

// committing notes that a commit is about to be asked for.
func (r *recorder) committing(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.txns[id]
	t.Outcome, t.Ending = check.Unknown, r.now()
}

// ended notes how a transaction has ended.
func (r *recorder) ended(worker, id string, o check.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns[id].Outcome = o
	if o != check.Unknown {
		r.success(worker)
	}
}

// polled notes what a consumer was given.
func (r *recorder) polled(worker string, p check.Poll) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.At = r.now()
	if len(p.Seen) > 0 || len(p.From) > 0 {
		r.polls = append(r.polls, p)
	}
	if len(p.Seen) > 0 {
		r.success(worker)
	}
}

// waiting returns the workers that have not succeeded since a time.
func (r *recorder) waiting(since time.Duration) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for name, w := range r.workers {
		if w.last <= since {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// longest returns the longest pause of the workers that match, of which a part lies between two times.
func (r *recorder) longest(from, to time.Duration, match func(string) bool) (longest time.Duration, who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, w := range r.workers {
		if !match(name) {
			continue
		}
		for _, p := range append(slices.Clone(w.pauses), pause{w.last, r.now()}) {
			if p.to >= from && p.from <= to && p.to-p.from > longest {
				longest, who = p.to-p.from, name
			}
		}
	}
	return longest, who
}

// assigned notes that a group gave a worker partitions.
func (r *recorder) assigned(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.workers[name]
	w.assigned = append(w.assigned, r.now())
}

// rebalances returns how often, at most, one of the processors, each alone in its group, was given partitions between two times.
func (r *recorder) rebalances(from, to time.Duration) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for name, w := range r.workers {
		n := 0
		for _, at := range w.assigned {
			if at >= from && at <= to && kindOf(name) == "processor" {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// history returns what was recorded, for the analysis. Every worker has to be done.
func (r *recorder) history() check.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := check.History{Polls: slices.Clone(r.polls), Shared: map[string]bool{shared: true}}
	for _, s := range r.sends {
		h.Sends = append(h.Sends, *s)
	}
	for _, id := range r.order {
		h.Txns = append(h.Txns, *r.txns[id])
	}
	return h
}

// behind returns values that readers and processors have not yet done, although they are in the log for all we know.
func (r *recorder) behind() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	delivered, processed := map[string]bool{}, map[string]bool{}
	for _, p := range r.polls {
		if strings.Contains(p.Group, "readers") {
			for _, s := range p.Seen {
				delivered[p.Tenant+" "+s.Value] = true
			}
		}
	}
	for _, s := range r.sends {
		if s.Source != "" && r.txns[s.Txn].Outcome != check.Aborted {
			processed[s.Source] = true
		}
	}
	var out []string
	for _, s := range r.sends {
		if !s.Acked || s.Txn != "" && r.txns[s.Txn].Outcome != check.Committed {
			continue
		}
		switch _, topic, _ := strings.Cut(s.Topic, ":"); {
		case s.Topic == shared:
			for _, tenant := range tenants {
				if !delivered[tenant+" "+s.Value] {
					out = append(out, s.Value+" to "+tenant+"'s readers")
				}
			}
		case topic == "plain" && !delivered[s.Tenant+" "+s.Value]:
			out = append(out, s.Value+" to readers")
		case (topic == "txn" || topic == "loop" || topic == "out") && !processed[s.Value]:
			out = append(out, s.Value+" to processors")
		}
	}
	return out
}

// tally counts what happened.
type tally struct{ acked, unacked, committed, aborted, unknown, polls, seen int }

func count(h check.History) (t tally) {
	for _, s := range h.Sends {
		if s.Acked {
			t.acked++
		} else {
			t.unacked++
		}
	}
	for _, x := range h.Txns {
		switch x.Outcome {
		case check.Committed:
			t.committed++
		case check.Aborted:
			t.aborted++
		default:
			t.unknown++
		}
	}
	t.polls = len(h.Polls)
	for _, p := range h.Polls {
		t.seen += len(p.Seen)
	}
	return t
}

// told lists the errors that clients were told.
func (r *recorder) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(r.errors)) {
		out = append(out, fmt.Sprintf("%s ×%d", what, r.errors[what]))
	}
	return strings.Join(out, ", ")
}
