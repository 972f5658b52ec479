package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/test/harness"
)

// TestConnect runs a distributed worker of Kafka Connect whose own topics, group and transactions are the application's.
// Lines of a file go into a topic, exactly once, and from there into another file; the worker is killed in between.
func TestConnect(t *testing.T) {
	if !harness.Full() {
		t.Skip("in the full run")
	}
	jars := collected(t)
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "lines", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}},
		Apps:   []harness.App{{Name: "acme", Namespace: [2]int{3, 5}}, {Name: "other", Namespace: [2]int{1, 1}}},
	})
	const (
		source = "a worker is killed and another takes over: each line of a file comes into a topic once"
		sink   = "… and into another file, none lost"
		inside = "its topics, groups and transactional ids are the application's"
		rest   = "connectors and their offsets by its REST interface"
	)
	found := features(t, connectWorkers, source, sink, inside, rest)
	w.WatchTopicIDs(200 * time.Millisecond)
	login := through(w, "acme")
	config := properties(t, "worker", join(
		login, with("producer.", login), with("consumer.", login), with("admin.", login),
		map[string]string{
			"group.id": "connect", "session.timeout.ms": "6000", "heartbeat.interval.ms": "1000", "rebalance.timeout.ms": "10000",
			"scheduled.rebalance.max.delay.ms": "0",
			"config.storage.topic":             "connect-configs", "config.storage.replication.factor": "-1",
			"offset.storage.topic": "connect-offsets", "offset.storage.replication.factor": "-1", "offset.storage.partitions": "2",
			"status.storage.topic": "connect-status", "status.storage.replication.factor": "-1", "status.storage.partitions": "2",
			"offset.flush.interval.ms": "500", "exactly.once.source.support": "enabled", "task.shutdown.graceful.timeout.ms": "10000",
			"key.converter":   "org.apache.kafka.connect.storage.StringConverter",
			"value.converter": "org.apache.kafka.connect.storage.StringConverter",
			"listeners":       "http://127.0.0.1:0", "plugin.path": jars.Plugins, "plugin.discovery": "service_load",
			"connector.client.config.override.policy": "All",
		}))
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.txt"), filepath.Join(dir, "out.txt")
	const first, all, chunk = 200, 8000, 100
	want := make([]string, all)
	for i := range want {
		want[i] = fmt.Sprint("line ", i)
	}
	file, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	write := func(lines []string) error {
		_, err := file.WriteString(strings.Join(lines, "\n") + "\n")
		return err
	}
	if err := write(want[:first]); err != nil {
		t.Fatal(err)
	}

	worker := connectWorker(t, jars, config)
	worker.create(t, "lines-in", map[string]string{
		"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "file": in, "topic": "lines", "batch.size": "100000", // a smaller one leaves lines in its buffer until more come
		"exactly.once.support": "required", "transaction.boundary": "poll", "producer.override.transaction.timeout.ms": "10000",
	})
	worker.create(t, "lines-out", map[string]string{
		"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1", "file": out, "topics": "lines",
		"consumer.override.isolation.level": "read_committed", "consumer.override.auto.offset.reset": "earliest", "consumer.override.session.timeout.ms": "6000",
	})
	arrived := func() []string {
		text, err := os.ReadFile(out)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	awaitLine := func(p *Program, line string) {
		t.Helper()
		await(t, line+" comes out", patience, func() error {
			select {
			case <-p.exited:
				t.Fatal("the worker has ended")
			default:
			}
			if lines := arrived(); !slices.Contains(lines, line) {
				return fmt.Errorf("%d lines are there", len(lines))
			}
			return nil
		})
	}
	awaitLine(worker.Program, want[first-1])
	if got := arrived(); !slices.Equal(got, want[:first]) {
		t.Errorf("before the worker was killed: %d lines came out, want %d in order", len(got), first)
	}

	// Lines go on coming when the worker is killed, and another one takes over what it has left.
	written := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for rest := range slices.Chunk(want[first:], chunk) {
			if err := write(rest); err != nil {
				written <- err
				return
			}
			<-tick.C
		}
		written <- nil
	}()
	awaitLine(worker.Program, want[all/4])
	worker.Kill()
	t.Logf("killed after %d of %d lines", len(arrived()), all)
	worker = connectWorker(t, jars, config)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	awaitLine(worker.Program, want[all-1])

	lines := read(t, w.Client("acme", committed()...), "lines", 2)
	lines.until(t, len(want), patience)
	lines.more(t, time.Second)
	var got []string
	for _, p := range lines.values {
		for _, v := range p {
			_, line, _ := strings.Cut(v, "=")
			got = slices.Concat(got, []string{line})
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines are in the topic, want %d: each exactly once", len(got), len(want))
	}
	for _, place := range []struct {
		name  string
		lines []string
		what  string
	}{{"topic", got, source}, {"file", arrived(), sink}} { // the file may have a line twice, never none
		have := map[string]bool{}
		for _, l := range place.lines {
			have[l] = true
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return have[l] })
		if len(missing) > 0 || len(have) != len(want) {
			t.Errorf("in the %s %d lines are missing (%.5q), and %d others are there", place.name, len(missing), missing, len(have)+len(missing)-len(want))
		}
		found(place.what)
	}

	if topics, want := own(t, w, "acme", "other"), []string{"connect-configs", "connect-offsets", "connect-status"}; !slices.Equal(topics, want) {
		t.Errorf("on the target cluster the application's namespace has %q, want %q", topics, want)
	}
	groups, err := kadm.NewClient(w.Direct()).ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"connect", "connect-lines-out"} {
		if _, ok := groups[w.Prefix("acme")+group]; !ok {
			t.Errorf("group %s is not under the application's prefix on the target cluster: %q", group, groups.Groups())
		}
	}
	found(inside)
	// Of a source it knows offsets from a topic of its own, of a sink from the group.
	for _, name := range []string{"lines-in", "lines-out"} {
		var answer struct {
			Offsets []struct{ Offset map[string]any }
		}
		worker.get(t, "/connectors/"+name+"/offsets", &answer)
		if len(answer.Offsets) == 0 {
			t.Errorf("GET /connectors/%s/offsets: no offset", name)
		}
	}
	found(rest)
	for _, name := range []string{"lines-in", "lines-out"} {
		worker.request(t, http.MethodDelete, "/connectors/"+name, nil, nil)
	}
	if err := worker.Stop(); err != nil {
		t.Error(err)
	}
}

// connect is a worker and where its REST API is.
type connect struct {
	*Program
	base string
}

func connectWorker(t *testing.T, jars Jars, config string) connect {
	t.Helper()
	p := start(t, "Connect", apache, jars, "org.apache.kafka.connect.cli.ConnectDistributed", config)
	base, err := p.Await(`REST server listening at (http://127\.0\.0\.1:\d+)/`, patience)
	if err == nil {
		_, err = p.Await("REST resources initialized", patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	return connect{p, base}
}

// request asks the REST API, and again while the worker says that it cannot now.
func (c connect) request(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	await(t, method+" "+path, patience, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return err
		}
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s: %s", resp.Status, got)
		}
		if answer == nil {
			return nil
		}
		return json.Unmarshal(got, answer)
	})
}

func (c connect) get(t *testing.T, path string, answer any) {
	t.Helper()
	c.request(t, http.MethodGet, path, nil, answer)
}

// create makes a connector, or changes it, and waits until its task runs.
func (c connect) create(t *testing.T, name string, config map[string]string) {
	t.Helper()
	c.request(t, http.MethodPut, "/connectors/"+name+"/config", config, nil)
	await(t, "connector "+name+" runs", patience, func() error {
		var status struct {
			Connector struct{ State, Trace string }
			Tasks     []struct{ State, Trace string }
		}
		c.get(t, "/connectors/"+name+"/status", &status)
		if status.Connector.State != "RUNNING" || len(status.Tasks) != 1 || status.Tasks[0].State != "RUNNING" {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
}
