package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

var apache *kafkatest.Cluster

func TestMain(m *testing.M) {
	harness.Main(afterwards{m, publish}, kafkatest.Options{Heap: "512m", Features: harness.Features()}, &apache)
}

// afterwards runs the tests and then a function.
type afterwards struct {
	m    *testing.M
	then func() error
}

func (a afterwards) Run() int {
	code := a.m.Run()
	if err := a.then(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// eachClient runs f for every client that has the ops, or for those named in SLUICE_CLIENTS.
func eachClient(t *testing.T, op string, f func(t *testing.T, c Client)) {
	only := os.Getenv("SLUICE_CLIENTS")
	for _, c := range Clients(apache) {
		if !c.Has(op) || only != "" && !slices.Contains(strings.Split(only, ","), c.Name) {
			continue
		}
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			f(t, c)
		})
	}
}

// did runs a command to its end and returns its events by kind, except logs.
func did(t *testing.T, within time.Duration, c Client, cmd Command) (map[string][]Event, error) {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd.Dir = t.TempDir()
	events := map[string][]Event{}
	var mu sync.Mutex
	err := c.Run(ctx, cmd, func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Kind] = append(events[e.Kind], e)
	})
	mu.Lock()
	defer mu.Unlock()
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("%s did not end within %v (%d records, %d sent, errors %v, logs %v)", cmd.Op, within, len(events["record"]), len(events["sent"]), texts(events["error"]), texts(events["log"]))
	}
	return events, err
}

// requests are the counts of requests at the gateway, by Kafka API.
func requests(t *testing.T, w *harness.World) string {
	t.Helper()
	families, err := w.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if f.GetName() != "sluice_gateway_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				out = append(out, fmt.Sprintf("%s %.0f", m.GetLabel()[0].GetValue(), n))
			}
		}
	}
	return strings.Join(out, ", ")
}

func texts(events []Event) []string {
	var out []string
	for _, e := range events[:min(len(events), 5)] {
		out = append(out, e.Topic+": "+e.Text)
	}
	return out
}

func valuesOf(events []Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Value)
	}
	slices.Sort(out)
	return out
}

const patience = 60 * time.Second // for one program, on a busy machine

// TestClients: produce, consume in a group with commit and resume, transactions, listing, refusals, logins; with every
// topic renamed, and every answer looked at for names of the target cluster.
func TestClients(t *testing.T) {
	eachClient(t, "consume", func(t *testing.T, c Client) {
		mine := func(t harness.Topic) harness.Topic {
			t.Subscriptions = map[string]string{"acme": ""}
			return t
		}
		w := harness.Start(t, apache, harness.Spec{
			Topics: []harness.Topic{
				mine(harness.Topic{Exposed: "orders", Partitions: 3}), mine(harness.Topic{Exposed: "readable", Contract: "read"}), mine(harness.Topic{Exposed: "writable", Contract: "write"}),
				mine(harness.Topic{Exposed: "txn", Partitions: 2}), mine(harness.Topic{Exposed: "txn-in"}),
				{Exposed: "hidden", Subscriptions: map[string]string{"other": ""}},
			},
			Apps:    []harness.App{{Name: "acme"}, {Name: "other"}},
			Trusted: "acme",
		})
		feature := func(name, op string, f func(t *testing.T)) {
			if !c.Has(op) {
				note(c, name, "–")
				return
			}
			ok := t.Run(name, f)
			note(c, name, map[bool]string{true: "yes", false: "**no**"}[ok])
		}
		plain := w.Login("acme", "PLAIN")

		feature("produce and consume", "consume", func(t *testing.T) {
			for round, n := range []int{100, 30} { // the second round must see what is new, and nothing twice
				var want []string
				if c.Has("produce") {
					got, err := did(t, patience, c, Command{Op: "produce", Topics: []string{"orders"}, N: n, Prefix: fmt.Sprintf("round%d", round)}.As(plain))
					if want = valuesOf(got["sent"]); err != nil || len(want) != n {
						t.Fatalf("round %d: %d of %d records were acknowledged: %v, %v", round, len(want), n, err, texts(got["error"]))
					}
				} else {
					if err := w.Feed("orders", fmt.Sprint("round", round), 0, n); err != nil {
						t.Fatal(err)
					}
					for i := range n {
						want = append(want, fmt.Sprintf("round%d-%d", round, i))
					}
					slices.Sort(want)
				}
				got, err := did(t, patience, c, Command{Op: "consume", Topics: []string{"orders"}, Group: "workers", N: n}.As(plain))
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if values := valuesOf(got["record"]); !slices.Equal(values, want) {
					t.Errorf("round %d: got %d records, want %d: %.200q, want %.200q", round, len(values), len(want), values, want)
				}
			}
			if sum, err := w.CommittedOffsets(t.Context(), "acme", "workers", "orders"); err != nil || sum != 130 {
				t.Errorf("on the target cluster %d records of the group are committed, want 130: %v", sum, err)
			}
		})

		feature("transactions", "transact", func(t *testing.T) {
			const n = 20
			var want []string
			cmd := Command{Op: "transact", Topics: []string{"txn", "txn-in"}, TxnID: "ledger", N: n, Prefix: "t", Group: "copier"}.As(plain)
			cmd.trusted = w.Trusted.Addr()
			if c.Name == "Java" { // its program copies, and aborts at random
				if err := w.Feed("txn-in", "in", 0, n); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					want = append(want, fmt.Sprint("in-", i))
				}
				slices.Sort(want)
			}
			got, err := did(t, patience, c, cmd)
			if err != nil {
				t.Fatal(err)
			}
			if c.Name != "Java" {
				want = valuesOf(got["sent"])
				if len(want) != 2*n {
					t.Fatalf("%d records were committed, want %d: %v", len(want), 2*n, texts(got["error"]))
				}
			}
			// One record behind the transactions tells a reader that it has seen all.
			read := func(group string, committed bool, n int) []string {
				t.Helper()
				cmd := Command{Op: "consume", Topics: []string{"txn"}, Group: group, N: n, Committed: committed}.As(plain)
				got, err := did(t, patience, c, cmd)
				if err != nil && len(got["record"]) == 0 && len(got["error"]) == 0 {
					// Seen once with kafka-python, in some hundred runs: a consumer that is given nothing, without a word. Whether
					// records are there is what counts here; what it asked for until then is told.
					t.Logf("%v; once more. Requests of all clients: %s", err, requests(t, w))
					cmd.Group += "-again"
					got, err = did(t, patience, c, cmd)
				}
				if err != nil {
					t.Fatal(err)
				}
				return valuesOf(got["record"])
			}
			if got := read("committed", true, len(want)); !slices.Equal(got, want) {
				t.Errorf("read_committed: got %q, want %q", got, want)
			}
			if c.Name != "Java" {
				got := read("uncommitted", false, 3*n)
				if aborted := slices.ContainsFunc(got, func(v string) bool { return strings.HasSuffix(v, "-abort") }); !aborted {
					t.Error("read_uncommitted: the aborted records are missing")
				}
			}
		})

		feature("lists its own topics only", "list", func(t *testing.T) {
			got, err := did(t, patience, c, Command{Op: "list"}.As(plain))
			if err != nil {
				t.Fatal(err)
			}
			var topics []string
			for _, e := range got["topics"] {
				topics = append(topics, e.Topics...)
			}
			slices.Sort(topics)
			if want := []string{"orders", "readable", "txn", "txn-in", "writable"}; !slices.Equal(topics, want) {
				t.Errorf("got %q, want %q", topics, want)
			}
		})

		feature("refusals", "produce", func(t *testing.T) {
			said := map[string]string{}
			for _, topic := range []string{"readable", "hidden", "absent"} {
				got, err := did(t, patience, c, Command{Op: "produce", Topics: []string{topic}, N: 1, Prefix: "no"}.As(plain))
				if len(got["sent"]) > 0 {
					t.Errorf("%s: a record was acknowledged", topic)
				}
				text := fmt.Sprint(err)
				if len(got["error"]) > 0 {
					text = got["error"][0].Text
				} else if err == nil {
					t.Errorf("%s: no error", topic)
				}
				// kafka-go looks a topic up in a listing of all, where those of others are missing.
				unlisted := c.Name == "kafka-go" && topic != "readable" && strings.Contains(text, "does not exist")
				if c.Name != "kcat" && !unlisted && !strings.Contains(strings.ToLower(text), "author") {
					t.Errorf("%s: the error does not speak of authorization: %s", topic, text)
				}
				said[topic] = strings.ReplaceAll(text, topic, "TOPIC")
			}
			if c.Name != "kcat" && said["hidden"] != said["absent"] { // kcat's end has times in it
				t.Errorf("a topic of others and one that does not exist can be told apart:\n%s\n%s", said["hidden"], said["absent"])
			}
		})

		feature("SCRAM and TLS", "list", func(t *testing.T) {
			for _, how := range []struct {
				mechanism string
				tls       bool
			}{{"SCRAM-SHA-256", false}, {"SCRAM-SHA-512", false}, {"SCRAM-SHA-512", true}, {"PLAIN", true}} {
				cmd := Command{Op: "list"}.As(w.Login("acme", how.mechanism))
				if how.tls {
					cmd.Bootstrap, cmd.CA = w.TLS, w.Certs.CA
				}
				got, err := did(t, patience, c, cmd)
				if err != nil || len(got["topics"]) == 0 || !slices.Contains(got["topics"][0].Topics, "orders") {
					t.Errorf("%s, TLS %t: got %v: %v", how.mechanism, how.tls, got["topics"], err)
				}
			}
		})
		if w.Clients.Answers() == 0 {
			t.Error("the leak scan saw no answer")
		}
	})
}

// TestTransactionWithRefusedTopic: librdkafka takes the answer to an abort as fatal when nothing of the transaction
// reached the broker, so what is allowed must have.
func TestTransactionWithRefusedTopic(t *testing.T) {
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "a", Subscriptions: map[string]string{"acme": ""}}, {Exposed: "readable", Contract: "read", Subscriptions: map[string]string{"acme": ""}}},
		Apps:   []harness.App{{Name: "acme"}},
	})
	c := Client{Name: "librdkafka", Run: python("librdkafka")}
	for _, topics := range [][]string{{"a", "readable"}, {"a", "absent"}} {
		got, err := did(t, patience, c, Command{Op: "refused", Topics: topics, TxnID: "t-" + topics[1], Prefix: topics[1]}.As(w.Login("acme", "PLAIN")))
		if err != nil || len(got["sent"]) != 1 || len(got["error"]) == 0 {
			t.Errorf("%s: sent %v, errors %v: %v", topics[1], got["sent"], texts(got["error"]), err)
		}
	}
	got, err := did(t, patience, Client{Name: "franz-go", Run: franzGo}, Command{Op: "consume", Topics: []string{"a"}, Group: "g", N: 2, Committed: true}.As(w.Login("acme", "PLAIN")))
	if values := valuesOf(got["record"]); err != nil || !slices.Equal(values, []string{"absent-commit", "readable-commit"}) {
		t.Errorf("committed: got %q: %v", values, err)
	}
}

// findings are what docs/compatibility.md says.
var findings harness.Findings

func note(c Client, feature, outcome string) { findings.Note(c.Name, c.Version, feature, outcome) }

// publish writes what was found, after a full run of all clients and tests.
func publish() error {
	if !harness.Full() || os.Getenv("SLUICE_CLIENTS") != "" {
		return nil
	}
	noted := map[string]bool{}
	for _, c := range findings.Clients {
		for _, f := range c.Features {
			noted[f.Feature] = true
		}
	}
	if len(noted) < len(order) {
		return nil // not everything was run
	}
	var names []string
	for _, c := range Clients(apache) {
		names = append(names, c.Name)
	}
	return findings.Publish(harness.Libraries, apache.Version, names, order)
}

// order is that of the columns.
var order = []string{"produce and consume", "transactions", "lists its own topics only", "refusals", "SCRAM and TLS",
	"one topic withheld", "one topic ended", "one topic ended, regex", "all topics withheld", "login refused for a while", "writes suspended for a while", "share groups", "share groups, withheld"}
