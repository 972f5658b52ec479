// Package story tells the life of an API from its first document to its end, with the product that is sold: a control
// plane on PostgreSQL, two gateways apart from it, a real Apache Kafka, people at their command lines, and a client of
// each library that stays connected throughout. Its main type is consumer, one of those clients.
package story

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/test/conformance"
)

// arrival is a record that a consumer got.
type arrival struct {
	n    int       // of its topic, from 0 on
	made time.Time // when it was written to the target cluster
	at   time.Time // when it came
}

// consumer is a client of a library that reads until the test ends.
type consumer struct {
	conformance.Client
	name string

	mu      sync.Mutex
	records map[string][]arrival // guarded by mu, by topic
	errors  []string             // guarded by mu
	ended   chan struct{}
	err     error // valid once ended is closed
	stop    context.CancelFunc
}

// begin starts a consumer, which ends with the test.
func begin(t *testing.T, c conformance.Client, name string, do conformance.Command) *consumer {
	ctx, cancel := context.WithCancel(t.Context())
	r := &consumer{Client: c, name: name, records: map[string][]arrival{}, ended: make(chan struct{}), stop: cancel}
	do.Regex, do.Dir = c.Regex, t.TempDir()
	go func() {
		defer close(r.ended)
		r.err = c.Run(ctx, do, r.event)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

func (r *consumer) event(e conformance.Event) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case "record":
		if n, made, ok := readValue(e.Value); ok {
			r.records[e.Topic] = append(r.records[e.Topic], arrival{n, made, now})
		} else {
			r.errors = append(r.errors, "a record that nobody wrote: "+e.Value)
		}
	case "error":
		r.errors = append(r.errors, e.Topic+": "+e.Text)
	}
}

// value is what record n of a topic holds; readValue is the way back.
func value(n int, made time.Time) string { return fmt.Sprintf("%d-%d", n, made.UnixMicro()) }

func readValue(text string) (n int, made time.Time, ok bool) {
	number, at, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(number)
	micro, e := strconv.ParseInt(at, 10, 64)
	return n, time.UnixMicro(micro), err == nil && e == nil
}

// got returns what came of a topic so far.
func (r *consumer) got(topic string) []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records[topic])
}

// await waits until the consumer has a record of a topic that was written after a moment.
func (r *consumer) await(t *testing.T, what, topic string, after time.Time) {
	t.Helper()
	const patience = 2 * time.Minute
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if slices.ContainsFunc(r.got(topic), func(a arrival) bool { return a.made.After(after) }) {
			return
		}
		select {
		case <-tick.C:
		case <-r.ended:
			t.Fatalf("%s, %s: it has ended: %v", r.name, what, r.err)
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("%s, %s: nothing of %s within %v; it has %d records of it, and told: %q", r.name, what, topic, patience, len(r.records[topic]), tail(r.errors))
		}
	}
}

func tail(all []string) []string { return all[max(0, len(all)-5):] }

// whole checks that a consumer has got every record of a topic, in order, up to the last that it got. What a
// rebalance may bring again is told by again.
func (r *consumer) whole(t *testing.T, topic string) (again int) {
	t.Helper()
	next := 0
	for _, a := range r.got(topic) {
		switch {
		case a.n == next:
			next++
		case a.n < next:
			again++
		default:
			t.Errorf("%s: of %s came %d after %d", r.name, topic, a.n, next-1)
			return again
		}
	}
	return again
}
