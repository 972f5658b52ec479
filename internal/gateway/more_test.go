package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/grant"
)

func withNamespace(g *grant.Grant, topics, partitions int) *grant.Grant {
	g.Namespace = grant.Namespace{Topics: topics, Partitions: partitions}
	return g
}

func TestTransactionsCommitAndAbort(t *testing.T) {
	w := start(t, credential("acme", app("acme",
		topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
		topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Never))))
	cl := w.client("acme", kgo.TransactionalID("tx"))
	for i, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "v%d", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(bounded(t), commit); err != nil {
			t.Fatal(err)
		}
	}
	reader := w.client("acme", kgo.ConsumeTopics("orders"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	got := consume(t, reader, 1)
	if string(got[0].Value) != "v1" {
		t.Errorf("read %q, want only the committed v1", got[0].Value)
	}
	// A refused topic fails its transaction, the abort succeeds, and the next
	// one works.
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "vehicles", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("produce to a read-only topic in a transaction: %v", err)
	}
	if err := cl.EndTransaction(bounded(t), kgo.TryAbort); err != nil {
		t.Errorf("abort: %v", err)
	}
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "orders", Value: []byte("v2")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(bounded(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, reader, 1); string(got[0].Value) != "v2" {
		t.Errorf("read %q, want v2", got[0].Value)
	}
}

// nextGeneration makes kgo use the protocol of KIP-848.
func nextGeneration() kgo.Opt {
	//lint:ignore SA1029 the key is kgo's
	return kgo.WithContext(context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true))
}

func TestConsumerGroupProtocolByNameAndRegex(t *testing.T) {
	full := app("acme",
		topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted),
		topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Granted))
	part := app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted))
	w := start(t, credential("acme", part))
	direct := w.direct()
	produceSome(t, direct, "phys.orders", 2)
	produceSome(t, direct, "phys.vehicles", 2)
	produceSome(t, direct, "phys.secret", 2)
	byRegex := w.client("acme", kgo.ConsumeRegex(), kgo.ConsumeTopics(".*"), kgo.ConsumerGroup("regex"), nextGeneration(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for _, r := range consume(t, byRegex, 2) {
		if r.Topic != "orders" {
			t.Errorf("regex .* reads %q", r.Topic)
		}
	}
	byName := w.client("acme", kgo.ConsumeTopics("orders", "vehicles"), kgo.ConsumerGroup("names"), nextGeneration(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []*kgo.Record
	for ctx := bounded(t); len(got) < 2 && ctx.Err() == nil; { // vehicles is an error to metadata, not to the group
		got = append(got, byName.PollFetches(ctx).Records()...)
	}
	for _, r := range got {
		if r.Topic != "orders" {
			t.Errorf("read %q", r.Topic)
		}
	}
	// The grant brings the second topic: both members get it without saying
	// anything new.
	w.swap(credential("acme", full))
	for name, cl := range map[string]*kgo.Client{"regex": byRegex, "names": byName} {
		got = got[:0]
		for ctx := bounded(t); len(got) < 2; {
			got = append(got, cl.PollFetches(ctx).Records()...)
			if ctx.Err() != nil {
				t.Fatalf("%s: the new topic does not come", name)
			}
		}
		for _, r := range got {
			if r.Topic != "vehicles" {
				t.Errorf("%s: read %q, want vehicles", name, r.Topic)
			}
		}
	}
}

func TestNamespaceIsBoundedAndPrivate(t *testing.T) {
	w := start(t,
		credential("acme", withNamespace(app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Never)), 3, 5)),
		credential("other", withNamespace(app("other"), 3, 5)),
		credential("none", app("none")))
	cl := w.client("acme")
	adm := kadm.NewClient(cl)
	create := func(adm *kadm.Client, topic string, partitions int32) error {
		resp, err := adm.CreateTopic(bounded(t), partitions, 1, nil, topic)
		if err != nil {
			return err
		}
		return resp.Err
	}
	for _, tc := range []struct {
		topic      string
		partitions int32
		want       error
	}{
		{"mine", 2, nil},
		{"mine", 2, kerr.TopicAlreadyExists},
		{"orders", 1, kerr.TopicAlreadyExists},
		{"bad name", 1, kerr.InvalidTopicException},
		{"__consumer_offsets", 1, kerr.TopicAuthorizationFailed},
		{"too-big", 4, kerr.PolicyViolation},
		{"second", 1, nil},
		{"third", 1, nil},
		{"fourth", 1, kerr.PolicyViolation},
	} {
		if err := create(adm, tc.topic, tc.partitions); !errors.Is(err, tc.want) {
			t.Errorf("create %q with %d partitions: %v, want %v", tc.topic, tc.partitions, err, tc.want)
		}
	}
	if err := create(kadm.NewClient(w.client("none")), "x", 1); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("create without a namespace: %v", err)
	}
	produceSome(t, cl, "mine", 4)
	consume(t, w.client("acme", kgo.ConsumeTopics("mine")), 4)
	topics, err := adm.ListTopics(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := topics.Names(); !slices.Equal(got, []string{"mine", "orders", "second", "third"}) {
		t.Errorf("listed %v", got)
	}
	others, err := kadm.NewClient(w.client("other")).ListTopics(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(others) != 0 {
		t.Errorf("another application sees %v", others.Names())
	}
	deleted, err := adm.DeleteTopics(bounded(t), "mine", "orders", "phys.secret")
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]error{"mine": nil, "orders": kerr.TopicAuthorizationFailed, "phys.secret": kerr.UnknownTopicOrPartition} {
		if got := deleted[topic].Err; !errors.Is(got, want) {
			t.Errorf("delete %q: %v, want %v", topic, got, want)
		}
	}
	physical, err := kadm.NewClient(w.direct()).ListTopics(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"phys.orders", "phys.secret"} {
		if !physical.Has(name) {
			t.Errorf("%s was deleted", name)
		}
	}
	if n := len(slices.DeleteFunc(physical.Names(), func(n string) bool { return !strings.HasPrefix(n, "t") })); n != 2 {
		t.Errorf("%d topics with a prefix are left, want 2", n)
	}
}

func TestEndedTopicIsSilentNotAnError(t *testing.T) {
	with := func(state grant.State) *grant.Credential {
		return credential("acme", app("acme",
			topic("orders", "phys.orders", state, grant.Granted, grant.Granted),
			topic("vehicles", "phys.vehicles", grant.Open, grant.Granted, grant.Granted)))
	}
	w := start(t, with(grant.Open))
	direct := w.direct()
	produceSome(t, direct, "phys.orders", 1)
	produceSome(t, direct, "phys.vehicles", 1)
	cl := w.client("acme", kgo.ConsumeTopics("orders", "vehicles"), kgo.ConsumerGroup("g"), kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consume(t, cl, 2)
	w.swap(with(grant.Ended))
	topics, err := kadm.NewClient(cl).ListTopics(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := topics.Names(); !slices.Equal(got, []string{"vehicles"}) {
		t.Errorf("listed %v, want an ended topic to be absent", got)
	}
	produceSome(t, direct, "phys.orders", 1)
	produceSome(t, direct, "phys.vehicles", 1)
	for _, r := range consume(t, cl, 1) {
		if r.Topic != "vehicles" {
			t.Errorf("read %q", r.Topic)
		}
	}
	if err := cl.CommitUncommittedOffsets(bounded(t)); err != nil {
		t.Errorf("commit: %v", err)
	}
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("produce to an ended topic: %v", err)
	}
}

func TestASuspendedApplicationsOwnTopicsAreWithheld(t *testing.T) {
	with := func(rule string) *grant.Credential {
		g := withNamespace(app("acme"), 3, 5)
		g.Namespace.Suspended = rule
		return credential("acme", g)
	}
	w := start(t, with(""))
	cl := w.client("acme", kgo.ConsumeTopics("mine"), kgo.FetchMaxWait(100*time.Millisecond))
	adm := kadm.NewClient(cl)
	if resp, err := adm.CreateTopic(bounded(t), 1, 1, nil, "mine"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	produceSome(t, cl, "mine", 2)
	consume(t, cl, 2)
	w.swap(with("application acme: suspended"))
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "mine", Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("produce: %v", err)
	}
	if resp, _ := adm.CreateTopic(bounded(t), 1, 1, nil, "more"); !errors.Is(resp.Err, kerr.PolicyViolation) {
		t.Errorf("create: %v", resp.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if got := cl.PollFetches(ctx); len(got.Records()) > 0 || got.Err() != nil && !errors.Is(got.Err(), context.DeadlineExceeded) {
		t.Errorf("fetch while suspended: %v", got.Err())
	}
	w.swap(with(""))
	produceSome(t, cl, "mine", 1)
	consume(t, cl, 1)
}

func TestTransactionsAreListedPerApplication(t *testing.T) {
	with := func(name string) *grant.Credential {
		return credential(name, withNamespace(app(name, topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted)), 2, 2))
	}
	w := start(t, with("acme"), with("other"))
	begin := func(user, id, topic string) *kgo.Client {
		cl := w.client(user, kgo.TransactionalID(id))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cl.EndTransaction(context.Background(), kgo.TryAbort) })
		return cl
	}
	adm := kadm.NewClient(w.client("acme"))
	if resp, err := adm.CreateTopic(bounded(t), 1, 1, nil, "mine"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	begin("acme", "tx-a", "orders")
	begin("acme", "tx-b", "mine")
	begin("other", "tx-a", "orders")

	listed, err := adm.ListTransactions(bounded(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := listed.TransactionalIDs(); !slices.Equal(got, []string{"tx-a", "tx-b"}) {
		t.Errorf("listed %v, want the application's own two", got)
	}
	described, err := adm.DescribeTransactions(bounded(t), "tx-a")
	if err != nil {
		t.Fatal(err)
	}
	if tx := described["tx-a"]; tx.Err != nil || !slices.Equal(tx.Topics.Topics(), []string{"orders"}) {
		t.Errorf("described %+v, want topic orders", tx)
	}
	var own, shared kadm.TopicsSet
	own.Add("mine", 0)
	shared.Add("orders", 0)
	producers, err := adm.DescribeProducers(bounded(t), own)
	if err != nil {
		t.Fatal(err)
	}
	if got := producers["mine"].Partitions[0]; got.Err != nil || len(got.ActiveProducers) != 1 {
		t.Errorf("own topic: %+v, want one producer", got)
	}
	if _, err = adm.DescribeProducers(bounded(t), shared); err == nil || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("shared topic: %v, want TOPIC_AUTHORIZATION_FAILED", err)
	}
}

// A running consumer group moves behind the gateway, and back, with its offsets.
func TestAnAdoptedGroupMovesInAndOutWithItsOffsets(t *testing.T) {
	g := app("acme", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted))
	g.Groups = []string{"legacy"}
	w := start(t, credential("acme", g), credential("other", app("other", topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Never))))
	direct := w.direct()
	group := func(topic string) []kgo.Opt {
		return []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumerGroup("legacy"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit()}
	}
	read := func(cl *kgo.Client, prefix string) {
		t.Helper()
		for _, r := range consume(t, cl, 3) {
			if !strings.HasPrefix(string(r.Value), prefix) {
				t.Errorf("read %q, want only what came since the last commit: %s…", r.Value, prefix)
			}
		}
		if err := cl.CommitUncommittedOffsets(bounded(t)); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	produceAs := func(prefix string) {
		t.Helper()
		for i := range 3 {
			if err := direct.ProduceSync(bounded(t), &kgo.Record{Topic: "phys.orders", Value: fmt.Appendf(nil, "%s-%d", prefix, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produceAs("before")
	read(w.direct(group("phys.orders")...), "before")
	produceAs("inside")
	read(w.client("acme", group("orders")...), "inside")
	produceAs("after")
	read(w.direct(group("phys.orders")...), "after")

	// Nobody else is in that group: the same name is another one's own.
	other := w.client("other", group("orders")...)
	consume(t, other, 9)
}
