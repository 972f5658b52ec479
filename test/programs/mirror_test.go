package programs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

// TestMirrorMaker runs MirrorMaker 2 from one cluster to another, either or both of which are virtual clusters. Between
// two virtual clusters it copies exactly once, and writes nothing to the source.
func TestMirrorMaker(t *testing.T) {
	if !harness.Full() {
		t.Skip("in the full run")
	}
	jars := collected(t)
	for name, gateway := range map[string][2]bool{"gateway as source": {true, false}, "gateway as target": {false, true}, "gateway as both": {true, true}} {
		t.Run(name, func(t *testing.T) { mirror(t, jars, name, gateway[0], gateway[1]) })
	}
}

// side is one of the two clusters, as MirrorMaker sees it.
type side struct {
	settings map[string]string
	client   func(opts ...kgo.Opt) *kgo.Client
	topic    func(exposed string) string // its name for who feeds it
}

func mirror(t *testing.T, jars Jars, name string, sourceGateway, targetGateway bool) {
	const partitions = 2
	const orders, group, remote = "orders", "workers", "source.orders"
	const (
		copied     = "records are copied to a renamed topic; killed and started again, it goes on"
		groups     = "offsets of groups are translated"
		configured = "later changes of its configuration follow"
		created    = "a topic is made with the configuration it has at the source"
		internal   = "heartbeats, checkpoints and its other topics are the application's"
	)
	found := features(t, "MirrorMaker 2, "+name, copied, groups, created, configured, internal)
	both := sourceGateway && targetGateway
	left := harness.App{Name: "left", Namespace: [2]int{1, 1}} // mm2-offset-syncs.target.internal
	right := harness.App{Name: "right", Namespace: [2]int{6, 5 + partitions}}
	if both {
		left.Namespace, right.Namespace = [2]int{}, [2]int{7, 6 + partitions}
	}
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: orders, Contract: "read", Partitions: partitions, Subscriptions: map[string]string{"left": ""}}},
		Apps:   []harness.App{left, right},
	})
	w.WatchTopicIDs(200 * time.Millisecond)
	virtual := func(app string) side {
		return side{
			settings: through(w, app),
			client:   func(opts ...kgo.Opt) *kgo.Client { return w.Client(app, opts...) },
			topic:    w.Backing,
		}
	}
	source, target := virtual("left"), virtual("right")
	feeder := w.Direct()
	if !both {
		outside := kafkatest.Start(t, kafkatest.Options{Version: apache.Version, Heap: "320m"})
		physical := side{
			settings: map[string]string{"bootstrap.servers": outside.Bootstrap()[0], "security.protocol": "PLAINTEXT"},
			client: func(opts ...kgo.Opt) *kgo.Client {
				cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(outside.Bootstrap()...)}, opts...)...)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(cl.Close)
				return cl
			},
			topic: func(name string) string { return name },
		}
		if sourceGateway {
			target = physical
		} else {
			source, feeder = physical, physical.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if _, err := kadm.NewClient(feeder).CreateTopic(t.Context(), partitions, 1, nil, orders); err != nil {
				t.Fatal(err)
			}
		}
	}

	configure := func(retention string) {
		t.Helper()
		responses, err := kadm.NewClient(feeder).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &retention}}, source.topic(orders))
		if err != nil || responses[0].Err != nil {
			t.Fatal(err, responses)
		}
	}
	configure("86400001")
	fed := 0
	feed := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for ; fed < n; fed++ {
			feeder.Produce(ctx, &kgo.Record{Topic: source.topic(orders), Partition: int32(fed % partitions), Key: []byte(strconv.Itoa(fed)), Value: []byte("order")}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := feeder.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	feed(200)

	settings := join(
		with("source.", source.settings), with("target.", target.settings),
		map[string]string{
			"clusters": "source, target", "source->target.enabled": "true", "target->source.enabled": "false", "target->source.emit.heartbeats.enabled": "false",
			"topics": orders, "groups": group, "tasks.max": "1",
			"replication.factor": "-1", "checkpoints.topic.replication.factor": "-1", "heartbeats.topic.replication.factor": "-1", "offset-syncs.topic.replication.factor": "-1",
			"config.storage.replication.factor": "-1", "offset.storage.replication.factor": "-1", "status.storage.replication.factor": "-1",
			"offset.storage.partitions": "1", "status.storage.partitions": "1",
			"refresh.topics.interval.seconds": "3", "refresh.groups.interval.seconds": "2", "sync.topic.acls.enabled": "false",
			"sync.group.offsets.enabled": "true", "sync.group.offsets.interval.seconds": "1", "emit.checkpoints.interval.seconds": "1", "emit.heartbeats.interval.seconds": "1",
			"offset.lag.max": "0", "target.offset.flush.interval.ms": "500", "target.plugin.discovery": "service_load", "sync.topic.configs.interval.seconds": "2", "consumer.metadata.max.age.ms": "3000",
		})
	if both {
		maps.Copy(settings, map[string]string{
			"offset-syncs.topic.location": "target", "target.exactly.once.source.support": "enabled",
			"dedicated.mode.enable.internal.rest": "true", "listeners": "http://127.0.0.1:0",
		})
	}
	targetAdmin := kadm.NewClient(target.client())
	config := properties(t, "mm2", settings)
	run := func() *Program {
		return start(t, "MirrorMaker", apache, jars, "org.apache.kafka.connect.mirror.MirrorMaker", config)
	}
	p := run()
	alive := func(what string, f func() error) {
		t.Helper()
		await(t, what, patience, func() error {
			select {
			case <-p.exited:
				t.Fatalf("%s: MirrorMaker has ended", what)
			default:
			}
			return f()
		})
	}
	alive("the remote topic is there", func() error {
		listed, err := targetAdmin.ListTopics(t.Context(), remote)
		if err != nil {
			return err
		}
		if got := listed[remote]; got.Err != nil || len(got.Partitions) != partitions {
			return fmt.Errorf("%d partitions, %w", len(got.Partitions), got.Err)
		}
		return nil
	})
	retention := func(want string) {
		t.Helper()
		alive("the remote topic's configuration is that of the source", func() error {
			configs, err := targetAdmin.DescribeTopicConfigs(t.Context(), remote)
			if err != nil {
				return err
			}
			got, err := configs.On(remote, nil)
			if err != nil {
				return err
			}
			for _, c := range got.Configs {
				if c.Key == "retention.ms" && c.MaybeValue() == want {
					return nil
				}
			}
			return fmt.Errorf("retention.ms is not %s", want)
		})
	}
	retention("86400001")
	found(created)
	configure("86400002")
	retention("86400002")
	found(configured)
	copies := read(t, target.client(committed()...), remote, partitions)
	copies.until(t, 200, patience)

	// A consumer of the source stops after a part; on the target its group stands there or a little before.
	workers := source.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(orders), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for seen := 0; seen < 200; {
		fetches := workers.PollRecords(ctx, 50)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		seen += fetches.NumRecords()
	}
	if err := workers.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	workers.Close()
	feed(300) // a checkpoint needs records behind it that were copied
	copies.until(t, 300, patience)
	alive("the group's offsets are on the target", func() error {
		offsets, err := targetAdmin.FetchOffsets(t.Context(), group)
		if err != nil {
			return err
		}
		var synced int64
		for _, o := range offsets[remote] {
			if passed, _ := slices.BinarySearch(copies.at[o.Partition], o.At); passed > 100 { // offsets have gaps where transactions end
				t.Errorf("partition %d: on the target the group has passed %d records, more than the 100 it has read", o.Partition, passed)
			}
			synced += max(0, o.At)
		}
		if synced == 0 {
			return fmt.Errorf("no offset of %s: %v", remote, offsets)
		}
		return nil
	})

	found(groups)

	// Killed and started again, it goes on: nothing is lost, and what is copied twice was copied just before.
	p.Kill()
	feed(400)
	p = run()
	last := map[string]bool{}
	alive("the last records are copied", func() error {
		copies.more(t, 500*time.Millisecond)
		for _, values := range copies.values {
			for _, v := range values {
				last[v] = true
			}
		}
		if len(last) < 400 {
			return fmt.Errorf("%d of 400 records", len(last))
		}
		return nil
	})
	for partition, values := range copies.values {
		next := partition
		for _, v := range values {
			key, _, _ := strings.Cut(v, "=")
			n, err := strconv.Atoi(key)
			if err != nil || n > next || n%partitions != partition {
				t.Fatalf("partition %d: record %q comes where %d is due", partition, v, next)
			}
			if n == next {
				next += partitions
			}
		}
	}
	if n := copies.count(); n > 500 || both && n != 400 {
		t.Errorf("%d copies of 400 records", n)
	}
	found(copied)
	feed(401)
	alive("heartbeats and checkpoints are written", func() error {
		ends, err := targetAdmin.ListEndOffsets(t.Context(), "heartbeats", "source.checkpoints.internal")
		if err != nil {
			return err
		}
		for _, topic := range []string{"heartbeats", "source.checkpoints.internal"} {
			if o, ok := ends.Lookup(topic, 0); !ok || o.Err != nil || o.Offset == 0 {
				return fmt.Errorf("%s: %v", topic, o)
			}
		}
		return nil
	})

	check := func(app string, want ...string) {
		t.Helper()
		other := map[string]string{"left": "right", "right": "left"}[app]
		if topics := own(t, w, app, other); !slices.Equal(topics, want) {
			t.Errorf("on the target cluster the namespace of %s has %q, want %q", app, topics, want)
		}
	}
	written := []string{"heartbeats", "mm2-configs.source.internal", "mm2-offsets.source.internal", "mm2-status.source.internal", "source.checkpoints.internal", remote}
	switch {
	case both:
		check("left")
		check("right", slices.Insert(written, 2, "mm2-offset-syncs.source.internal")...)
	case sourceGateway:
		check("left", "mm2-offset-syncs.target.internal")
	default:
		check("right", written...)
	}
	found(internal)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
