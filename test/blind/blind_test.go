// Package blind proves that an application cannot tell whether it shares its cluster: everything that it can ask is
// recorded on two clusters that are alike, on one of which a second application lives as well, with topics, a namespace,
// groups and transactions of its own, and reads what both have. Answers are the same, byte for byte.
package blind

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/kafkatest"
	"sluice/test/harness"
	"sluice/test/script"
)

const (
	neighbour = "neighbour"
	tag       = "ours-" // in every name of the application's
)

// world is the cluster with a gateway before it, and a lane through it.
type world struct {
	*harness.World
	lane *script.Lane
}

// start makes a cluster and a gateway; both calls get the same seed, so that prefixes and virtual ids are the same.
func start(t *testing.T, shared bool) *world {
	t.Helper()
	options := kafkatest.Options{Version: os.Getenv("SLUICE_KAFKA"), LoopbackHosts: true, Heap: "320m",
		Settings: map[string]string{
			"broker.session.timeout.ms": "60000", // a busy machine must not fence the only broker
			"log.retention.ms":          "-1",    // the scripts' records are old
		}}
	if !strings.HasPrefix(options.Version, "3.") {
		options.Features = map[string]int16{"share.version": 1}
	}
	kafka := kafkatest.Start(t, options)
	spec := harness.Spec{
		Seed: []byte("the seed of two installations..!"),
		Apps: []harness.App{{Name: script.Allowed, Namespace: [2]int{200, 1000}}, {Name: script.Partly}, {Name: script.Denied}},
	}
	contract := map[string]string{"orders": "readwrite", "readonly": "read", "writeonly": "write"}
	for _, topic := range script.Topics {
		both := harness.Topic{Exposed: tag + topic, Backing: "backing-of-" + topic, Partitions: script.Partitions, Subscriptions: map[string]string{script.Allowed: ""}}
		spec.Topics = append(spec.Topics, both)
		if c := contract[topic]; c != "" {
			spec.Topics = append(spec.Topics, harness.Topic{Exposed: tag + topic, Contract: c, Partitions: script.Partitions, Subscriptions: map[string]string{script.Partly: ""}})
		}
	}
	if shared {
		spec.Apps = append(spec.Apps, harness.App{Name: neighbour, Namespace: [2]int{20, 100}})
		// It reads what the application writes to, and has topics of its own.
		spec.Topics = append(spec.Topics, harness.Topic{Exposed: tag + "orders", Contract: "read", Partitions: script.Partitions, Subscriptions: map[string]string{neighbour: ""}},
			harness.Topic{Exposed: "theirs", Backing: "backing-of-theirs", Partitions: 2, Subscriptions: map[string]string{neighbour: ""}})
	}
	w := &world{World: harness.Start(t, kafka, spec)}
	admin, err := script.Dial(kafka.Bootstrap()[0], "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if err := script.WarmUp(admin); err != nil {
		t.Fatal(err)
	}
	name := "alone"
	if shared {
		name = "shared"
	}
	w.lane = &script.Lane{
		Name: name, Tag: tag, Address: w.Clients.Addr(), Admin: admin,
		Through: w.Clients.Gateway(), // answers repeat what was guessed, which the forwarder would take for a leak
		Exact:   true,
		Login: func(app string) (string, string) {
			l := w.Login(app, "PLAIN")
			return l.User, l.Password
		},
		TopicID:  func(app, topic string) [16]byte { return w.TopicID(app, tag+topic) },
		Backing:  func(topic string) string { return w.Backing(tag + topic) },
		Physical: func(app, name string) string { return w.Prefix(app) + name },
	}
	t.Cleanup(w.lane.Close)
	return w
}

// live is the neighbour's life: records and transactions in its own topics, groups of each kind that read its own and
// the shared ones, topics in its namespace. It goes on until the test ends, and never writes to what is shared.
func live(t *testing.T, w *world) (guesses []script.Guess) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	own := w.Client(neighbour, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(own)
	if _, err := admin.CreateTopics(ctx, 1, 1, nil, "their-changelog", "their-repartition"); err != nil {
		t.Fatal(err)
	}
	txn := w.Client(neighbour, kgo.TransactionalID("their-ledger"), kgo.DefaultProduceTopic("theirs"))
	open := w.Client(neighbour, kgo.TransactionalID("their-open"), kgo.DefaultProduceTopic("theirs"))
	for i, c := range []*kgo.Client{txn, open} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(ctx, kgo.StringRecord("their secret")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
	}
	producer, _, err := open.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// "workers" is what the application's scripts call their groups too.
	reader := w.Client(neighbour, kgo.ConsumerGroup("their-workers"), kgo.ConsumeTopics("theirs", tag+"orders"), kgo.InstanceID("their-instance"))
	static := w.Client(neighbour, kgo.ConsumerGroup("workers"), kgo.ConsumeTopics("theirs"))
	for _, c := range []*kgo.Client{reader, static} {
		if fetches := c.PollFetches(ctx); fetches.Err() != nil {
			t.Fatal(fetches.Err())
		}
		if err := c.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
	}
	member, _ := reader.GroupMetadata()

	going, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	wg.Go(func() { // it goes on while the application asks
		for i := 0; going.Err() == nil; i++ {
			own.ProduceSync(going, &kgo.Record{Topic: "theirs", Value: []byte(strconv.Itoa(i))})
			select {
			case <-time.After(20 * time.Millisecond):
			case <-going.Done():
			}
		}
	})
	wg.Go(func() {
		for going.Err() == nil {
			reader.PollFetches(going)
		}
	})

	listed, err := kadm.NewClient(w.Direct()).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	prefix := w.Prefix(neighbour)
	guess := func(what, name string, id [16]byte) {
		guesses = append(guesses, script.Guess{What: what, Name: name, ID: id, Member: member, Producer: producer})
	}
	guess("their topic by its exposed name and their own id of it", "theirs", w.TopicID(neighbour, "theirs"))
	guess("their topic by its backing name and id", "backing-of-theirs", listed["backing-of-theirs"].ID)
	guess("their own topic by its exposed name", "their-changelog", listed[prefix+"their-changelog"].ID)
	guess("their own topic behind their prefix", prefix+"their-changelog", listed[prefix+"their-changelog"].ID)
	guess("a shared topic by its backing name and id", "backing-of-orders", [16]byte{9}) // its id is another one on each cluster
	guess("a shared topic by their id", tag+"orders", w.TopicID(neighbour, tag+"orders"))
	guess("their group", "their-workers", [16]byte{8})
	guess("their group behind their prefix", prefix+"their-workers", [16]byte{7})
	guess("their transactional id", "their-open", [16]byte{6})
	guess("their transactional id behind their prefix", prefix+"their-open", [16]byte{5})
	guess("a pattern for all", ".*", [16]byte{4})
	guess("a topic of the cluster itself", "__consumer_offsets", listed["__consumer_offsets"].ID)
	return guesses
}

// offered are the versions that the gateway offers.
func offered(t *testing.T, l *script.Lane) map[int16]script.Range {
	t.Helper()
	user, password := l.Login(script.Allowed)
	c, err := script.Dial(l.Address, user, password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resp, err := c.Do(kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		t.Fatal(err)
	}
	versions := map[int16]script.Range{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		versions[k.ApiKey] = script.Range{Min: max(k.MinVersion, handler.Lookup(k.ApiKey).Min), Max: k.MaxVersion}
	}
	return versions
}

// question is something the application asks, the same way on both clusters.
type question struct {
	what         string
	key, version int16
	app          string
	script       func(*script.Session)
	answers      [2]script.Recording
	errs         [2]error
}

func TestAnApplicationCannotTellThatItHasANeighbour(t *testing.T) {
	var worlds [2]*world
	worlds[0], worlds[1] = start(t, false), start(t, true)
	guesses := live(t, worlds[1])
	versions := offered(t, worlds[0].lane)
	for _, w := range worlds {
		w.lane.Versions = versions
	}

	var questions []*question
	for _, a := range handler.Table {
		r, ok := versions[a.Key]
		if !ok {
			continue
		}
		if script.Scripts[a.Key] == nil {
			t.Errorf("%s (API key %d) is advertised and has no script: write one in test/script", a.Name, a.Key)
			continue
		}
		for v := r.Min; v <= r.Max; v++ {
			if !harness.Full() && v < r.Max {
				continue
			}
			for _, app := range []string{script.Allowed, script.Partly} {
				if app == script.Partly && !harness.Full() {
					continue
				}
				questions = append(questions, &question{what: fmt.Sprintf("%s v%d as %s", a.Name, v, app), key: a.Key, version: v, app: app, script: script.Scripts[a.Key]})
			}
			if a.Posture == handler.Rewritten {
				questions = append(questions, &question{what: fmt.Sprintf("guesses with %s v%d", a.Name, v), key: a.Key, version: v, app: script.Allowed, script: script.Guesses(a.Key, guesses)})
			}
		}
	}

	start, cell := time.Now(), 0
	ask := func(questions []*question) {
		first := cell
		cell += len(questions)
		var wg sync.WaitGroup
		for i, w := range worlds {
			wg.Go(func() {
				for n, q := range questions {
					q.answers[i], q.errs[i] = w.lane.RunScript(q.script, q.key, q.version, q.app, first+n+1)
				}
			})
		}
		wg.Wait()
	}
	ask(questions)
	places := 0
	for _, q := range questions {
		places += len(q.answers[0])
	}
	t.Logf("%d questions, %d values on each cluster, %v", len(questions), places, time.Since(start).Round(100*time.Millisecond))

	// What differs is asked again: what a cluster does a moment sooner or later differs once, what tells of a neighbour
	// always does.
	for try := 1; ; try++ {
		var differ []*question
		for _, q := range questions {
			if q.errs[0] != nil || q.errs[1] != nil || len(script.Compare(q.answers[0], q.answers[1])) > 0 {
				differ = append(differ, q)
			}
		}
		if len(differ) == 0 || try == 4 {
			questions = differ
			break
		}
		for _, q := range differ {
			for _, d := range script.Compare(q.answers[0], q.answers[1]) {
				t.Logf("once more, %s: %s: alone %.300s, with a neighbour %.300s", q.what, d.Place, d.A, d.B)
			}
		}
		questions = differ
		ask(questions)
	}
	for _, q := range questions {
		for i, err := range q.errs {
			if err != nil {
				t.Errorf("%s, %s: %v", q.what, worlds[i].lane.Name, err)
			}
		}
		for _, d := range script.Compare(q.answers[0], q.answers[1]) {
			t.Errorf("%s: %s\n\talone:            %.1000s\n\twith a neighbour: %.1000s", q.what, d.Place, d.A, d.B)
		}
	}
}
