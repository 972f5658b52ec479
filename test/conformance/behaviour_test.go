package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// watch collects a running client's events.
type watch struct {
	mu      sync.Mutex
	records map[string][]arrival // by topic
	sent    map[string][]arrival
	errors  map[string][]arrival
	err     error
	done    chan struct{}
	stop    context.CancelFunc
}

type arrival struct {
	at    time.Time
	value string
}

// begin starts a client in the background until the test ends.
func begin(t *testing.T, c Client, cmd Command) *watch {
	ctx, cancel := context.WithCancel(t.Context())
	cmd.Dir = t.TempDir()
	w := &watch{records: map[string][]arrival{}, sent: map[string][]arrival{}, errors: map[string][]arrival{}, done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(w.done)
		err := c.Run(ctx, cmd, func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			now := time.Now()
			switch e.Kind {
			case "record":
				w.records[e.Topic] = append(w.records[e.Topic], arrival{now, e.Value})
			case "sent":
				w.sent[e.Topic] = append(w.sent[e.Topic], arrival{now, e.Value})
			case "error":
				w.errors[e.Topic] = append(w.errors[e.Topic], arrival{now, e.Text})
			}
		})
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-w.done:
		case <-time.After(patience):
			t.Errorf("%s does not stop", c.Name)
		}
	})
	return w
}

// since returns what arrived of a topic from a moment on.
func (w *watch) since(of map[string][]arrival, topic string, at time.Time) []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := of[topic]
	i, _ := slices.BinarySearchFunc(all, at, func(a arrival, at time.Time) int { return a.at.Compare(at) })
	return slices.Clone(all[i:])
}

// await waits until something of a topic arrives after a moment, and returns how long that took.
func (w *watch) await(t *testing.T, what string, of map[string][]arrival, topic string, after time.Time, within time.Duration) time.Duration {
	t.Helper()
	for {
		if got := w.since(of, topic, after); len(got) > 0 {
			return got[0].at.Sub(after)
		}
		ended := false
		select {
		case <-w.done:
			ended = true
		default:
		}
		if time.Since(after) > within || ended {
			w.mu.Lock()
			defer w.mu.Unlock()
			t.Fatalf("%s: nothing of %s within %v (ended: %t, %v; errors: %.600v)", what, topic, within, ended, w.err, lastTexts(w.errors))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func lastTexts(errors map[string][]arrival) []string {
	var out []string
	for topic, all := range errors {
		for _, a := range all[max(0, len(all)-3):] {
			out = append(out, topic+": "+a.value)
		}
	}
	return out
}

// longestGap is the longest silence between two moments.
func longestGap(from, to time.Time, arrivals []arrival) time.Duration {
	var gap time.Duration
	last := from
	for _, a := range arrivals {
		gap, last = max(gap, a.at.Sub(last)), a.at
	}
	return max(gap, to.Sub(last))
}

// feedBoth writes 20 records a second to each topic, behind the gateway, until the test ends. It returns how many each
// has got so far.
func feedBoth(t *testing.T, w *harness.World, topics ...string) func() int {
	var mu sync.Mutex
	n := 0
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, topic := range topics {
				if err := w.Feed(topic, "f", n, n+1); err != nil {
					t.Errorf("feed %s: %v", topic, err)
					return
				}
			}
			mu.Lock()
			n++
			mu.Unlock()
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// rates are requests a second by Kafka API, over a window.
func rates(w *harness.World, window time.Duration) map[string]float64 {
	before := w.Clients.Requests()
	time.Sleep(window)
	out := map[string]float64{}
	for key, n := range w.Clients.Requests() {
		if d := n - before[key]; d > 0 {
			out[kmsg.NameForKey(key)] = float64(d) / window.Seconds()
		}
	}
	return out
}

// complain tells what is wrong with a measure.
type complain func(format string, args ...any)

// measured fails when a measure is wrong three times: others share the machine, and what a client suffers from the
// gateway it suffers every time.
func measured(t *testing.T, measure func(wrong complain)) {
	t.Helper()
	for n := 1; ; n++ {
		var all []string
		measure(func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) })
		if len(all) == 0 {
			return
		}
		if n == 3 {
			for _, text := range all {
				t.Error(text)
			}
			return
		}
		t.Logf("measured again: %q", all)
	}
}

// quiet complains when a client that should be idle asks for more than a healthy one.
func quiet(wrong complain, what string, got map[string]float64, fetches float64) {
	limits := map[string]float64{"Fetch": fetches, "Heartbeat": 3, "ConsumerGroupHeartbeat": 3, "OffsetCommit": 25, "Metadata": 2, "ListOffsets": 2, "OffsetFetch": 2}
	for api, rate := range got {
		limit, ok := limits[api]
		if !ok {
			limit = 1
		}
		if rate > limit {
			wrong("%s: %.1f %s a second, more than %.1f (all: %v)", what, rate, api, limit, got)
		}
	}
}

// sampled are the clients whose behaviour `make test` looks at; the full run does so for all.
var sampled = []string{"franz-go", "Java", "librdkafka", "kafkajs", "Sarama", "kafka-go"}

// TestConsumersKeepGoing is what one withheld or ended topic does to the others of the same consumer.
func TestConsumersKeepGoing(t *testing.T) {
	window := 3 * time.Second
	if harness.Full() {
		window = 8 * time.Second
	}
	eachClient(t, "loop", func(t *testing.T, c Client) {
		if !harness.Full() && !slices.Contains(sampled, c.Name) && os.Getenv("SLUICE_CLIENTS") == "" {
			t.Skip("in the full run")
		}
		both := map[string]string{"acme": ""}
		w := harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{{Exposed: "a", Contract: "read", Partitions: 2, Subscriptions: both}, {Exposed: "b", Contract: "read", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}},
			Apps:   []harness.App{{Name: "acme"}},
		})
		set := func(topic, state string) time.Time {
			w.Change(func(s *harness.Spec) { s.Topic(topic).Subscriptions = map[string]string{"acme": "state: " + state} })
			return time.Now()
		}
		fed := feedBoth(t, w, "a", "b")
		began := time.Now()
		consumer := begin(t, c, Command{Op: "loop", Topics: []string{"a", "b"}, Group: "both"}.As(w.Login("acme", "PLAIN")))
		consumer.await(t, "start", consumer.records, "a", began, patience)
		consumer.await(t, "start", consumer.records, "b", began, patience)
		healthy := rates(w, 2*time.Second)
		feature := func(name string, f func(t *testing.T)) {
			note(c, name, map[bool]string{true: "yes", false: "**no**"}[t.Run(name, f)])
		}
		joins := func() int { r := w.Clients.Requests(); return r[11] }

		// flows checks that a goes on while b is silent, for a window.
		flows := func(wrong complain, from time.Time, regex bool) {
			last := fed() + 5                  // what was written by then may still be on its way
			time.Sleep(500 * time.Millisecond) // and so may be what was asked
			before, connections := joins(), w.Clients.Connections()
			asked := rates(w, window)
			until := time.Now()
			for _, a := range consumer.since(consumer.records, "b", from) {
				if n, err := strconv.Atoi(strings.TrimPrefix(a.value, "f-")); err != nil || n > last {
					wrong("%s of b came though it gives none: the last before was f-%d", a.value, last)
					break
				}
			}
			if gap := longestGap(from, until, consumer.since(consumer.records, "a", from)); gap > 2*time.Second && !regex {
				wrong("a was silent for %v", gap)
			} else if gap > 6*time.Second { // a rebalance
				wrong("a was silent for %v", gap)
			}
			quiet(wrong, "one topic gives nothing", asked, max(healthy["Fetch"], 20)*1.5+10)
			if n := joins() - before; n > 0 && !regex {
				wrong("%d rebalances", n)
			}
			if n := w.Clients.Connections() - connections; n > 0 && !regex {
				wrong("%d new connections", n)
			}
		}
		// back checks that a topic comes back soon after it was healed.
		back := func(t *testing.T, wrong complain, topic string, healed time.Time, soon time.Duration) {
			t.Helper()
			took := consumer.await(t, "after healing", consumer.records, topic, healed, patience)
			if t.Logf("%s is back after %v", topic, took); took > soon {
				wrong("%s is back after %v, later than %v", topic, took, soon)
			}
		}
		// complete checks that a topic has been read from its begin without a gap in its numbers.
		complete := func(t *testing.T, topic string) {
			t.Helper()
			want := fed()
			deadline := time.Now().Add(patience)
			for {
				seen := map[int]bool{}
				for _, a := range consumer.since(consumer.records, topic, time.Time{}) {
					if n, err := strconv.Atoi(strings.TrimPrefix(a.value, "f-")); err == nil {
						seen[n] = true
					}
				}
				missing := 0
				for i := range want {
					if !seen[i] {
						missing++
					}
				}
				if missing == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Errorf("%d of %d records of %s are missing", missing, want, topic)
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}

		feature("one topic withheld", func(t *testing.T) {
			measured(t, func(wrong complain) {
				flows(wrong, set("b", "suspended"), false)
				back(t, wrong, "b", set("b", "active"), 5*time.Second)
			})
			complete(t, "b")
			complete(t, "a")
		})
		feature("one topic ended", func(t *testing.T) {
			measured(t, func(wrong complain) {
				flows(wrong, set("b", "closed"), c.Regex)
				back(t, wrong, "b", set("b", "active"), 15*time.Second)
			})
			complete(t, "b")
			complete(t, "a")
		})
		feature("all topics withheld", func(t *testing.T) {
			measured(t, func(wrong complain) {
				w.Change(func(s *harness.Spec) {
					s.Topic("a").Subscriptions = map[string]string{"acme": "state: suspended"}
					s.Topic("b").Subscriptions = map[string]string{"acme": "state: suspended"}
				})
				time.Sleep(1500 * time.Millisecond)
				asked := rates(w, window)
				quiet(wrong, "all withheld", asked, 3)
				t.Logf("requests a second: %v", asked)
				w.Change(func(s *harness.Spec) {
					s.Topic("a").Subscriptions = map[string]string{"acme": "state: active"}
					s.Topic("b").Subscriptions = map[string]string{"acme": "state: active"}
				})
				healed := time.Now()
				back(t, wrong, "a", healed, 5*time.Second)
				back(t, wrong, "b", healed, 5*time.Second)
			})
			complete(t, "a")
		})
		if !harness.Full() {
			return
		}
		if c.Regex {
			note(c, "one topic ended, regex", "yes") // it was by a regex
		}
		const name = "login refused for a while"
		note(c, name, "stops")
		t.Run(name, func(t *testing.T) {
			w.Change(func(s *harness.Spec) { s.App("acme").Revoked = true })
			revoked := time.Now()
			time.Sleep(1500 * time.Millisecond)
			if got := consumer.since(consumer.records, "a", revoked.Add(1200*time.Millisecond)); len(got) > 0 {
				t.Errorf("%d records came more than a second after the credential was revoked", len(got))
			}
			before := w.Clients.Connections()
			time.Sleep(8 * time.Second)
			if rate := float64(w.Clients.Connections()-before) / 8; rate > 5 {
				t.Errorf("%.1f connections a second while logins are refused", rate)
			}
			w.Change(func(s *harness.Spec) { s.App("acme").Revoked = false })
			healed := time.Now()
			if slices.Contains([]string{"kafkajs", "Java", "Java KIP-848", "kcat"}, c.Name) { // they, or the program around them, may take 58 as final
				select {
				case <-consumer.done:
					note(c, name, "ends")
					return
				case <-time.After(15 * time.Second):
				}
				if len(consumer.since(consumer.records, "a", healed)) == 0 {
					return
				}
			}
			t.Logf("a is back after %v", consumer.await(t, "after healing", consumer.records, "a", healed, 60*time.Second))
			complete(t, "a")
			note(c, name, "comes back")
		})
	})
}

// TestRegexConsumersKeepGoing: for a subscription by a regular expression a topic that has ended goes from the listing,
// and comes back, while the other one flows on.
func TestRegexConsumersKeepGoing(t *testing.T) {
	if !harness.Full() && os.Getenv("SLUICE_CLIENTS") == "" {
		t.Skip("in the full run")
	}
	eachClient(t, "loop", func(t *testing.T, c Client) {
		if !c.Patterns || c.Regex { // the others have done it
			t.Skip("has no regular expressions, or nothing else")
		}
		w := harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{{Exposed: "a", Contract: "read", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}, {Exposed: "b", Contract: "read", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}},
			Apps:   []harness.App{{Name: "acme"}},
		})
		const name = "one topic ended, regex"
		note(c, name, "**no**")
		set := func(state string) time.Time {
			w.Change(func(s *harness.Spec) { s.Topic("b").Subscriptions = map[string]string{"acme": "state: " + state} })
			return time.Now()
		}
		feedBoth(t, w, "a", "b")
		began := time.Now()
		consumer := begin(t, c, Command{Op: "loop", Topics: []string{"a", "b"}, Regex: true, Group: "both"}.As(w.Login("acme", "PLAIN")))
		consumer.await(t, "start", consumer.records, "a", began, patience)
		consumer.await(t, "start", consumer.records, "b", began, patience)
		measured(t, func(wrong complain) {
			from := set("closed")
			time.Sleep(8 * time.Second) // more than two refreshes of metadata
			if gap := longestGap(from, time.Now(), consumer.since(consumer.records, "a", from)); gap > 6*time.Second {
				wrong("a was silent for %v", gap)
			}
			if got := consumer.since(consumer.records, "b", from.Add(time.Second)); len(got) > 0 {
				wrong("%d records of b came though it has ended", len(got))
			}
			quiet(wrong, "one topic ended", rates(w, 2*time.Second), 60)
			t.Logf("b is back after %v", consumer.await(t, "after healing", consumer.records, "b", set("active"), patience))
		})
		if !t.Failed() {
			note(c, name, "yes")
		}
	})
}

// TestProducersKeepGoing is what writes that are refused for a while do to a producer of two topics.
func TestProducersKeepGoing(t *testing.T) {
	eachClient(t, "send", func(t *testing.T, c Client) {
		w := harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{{Exposed: "a", Subscriptions: map[string]string{"acme": ""}}, {Exposed: "b", Subscriptions: map[string]string{"acme": ""}}},
			Apps:   []harness.App{{Name: "acme"}},
		})
		set := func(state string) time.Time {
			w.Change(func(s *harness.Spec) { s.Topic("b").Subscriptions = map[string]string{"acme": "state: " + state} })
			return time.Now()
		}
		const name = "writes suspended for a while"
		note(c, name, "**no**")
		began := time.Now()
		producer := begin(t, c, Command{Op: "send", Topics: []string{"a", "b"}, Prefix: "s"}.As(w.Login("acme", "PLAIN")))
		producer.await(t, "start", producer.sent, "a", began, patience)
		producer.await(t, "start", producer.sent, "b", began, patience)

		// written is how many records b has on the target cluster.
		written := func() int64 {
			ends, err := kadm.NewClient(w.Direct()).ListEndOffsets(t.Context(), w.Backing("b"))
			if err != nil {
				t.Fatal(err)
			}
			end, _ := ends.Lookup(w.Backing("b"), 0)
			return end.Offset
		}
		poisoned := slices.Contains([]string{"kafka-python", "aiokafka"}, c.Name)
		measured(t, func(wrong complain) {
			from := set("suspended")
			producer.await(t, "suspended", producer.errors, "b", from, patience)
			before := written()
			time.Sleep(2 * time.Second)
			until := time.Now()
			if n := written() - before; n > 0 {
				t.Errorf("%d records of b were accepted while it was suspended", n)
			}
			asked := rates(w, 2*time.Second)
			if c.Name != "kafka-python" { // its whole producer is unusable after a refused batch
				if gap := longestGap(from, until, producer.since(producer.sent, "a", from)); gap > 2*time.Second {
					wrong("a was silent for %v", gap)
				}
			}
			// A producer may look at the metadata, and get a new id, after a refused batch.
			for api, limit := range map[string]float64{"Produce": 60, "Metadata": 10, "InitProducerID": 20} {
				if asked[api] > limit {
					wrong("writes suspended: %.1f %s a second, more than %.0f", asked[api], api, limit)
				}
				delete(asked, api)
			}
			quiet(wrong, "writes suspended", asked, 0)

			healed := set("active")
			if poisoned {
				time.Sleep(5 * time.Second)
				if len(producer.since(producer.sent, "b", healed)) > 0 {
					note(c, name, "yes")
					return
				}
				note(c, name, "new producer")
				producer = begin(t, c, Command{Op: "send", Topics: []string{"a", "b"}, Prefix: "again"}.As(w.Login("acme", "PLAIN")))
				healed = time.Now()
			}
			took := producer.await(t, "after healing", producer.sent, "b", healed, patience)
			producer.mu.Lock()
			defer producer.mu.Unlock()
			t.Logf("b is back after %v; errors were %.300q", took, lastTexts(producer.errors))
		})
		if !poisoned && !t.Failed() {
			note(c, name, "yes")
		}
	})
}
