package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestMain makes the test binary the child, and for one test a parent that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case Command:
			if Main(context.Background(), os.Stdin, os.Stdout, os.Args[2:]) != nil {
				os.Exit(1)
			}
			return
		case "parent":
			b, err := Start(context.Background(), Config{DataDir: os.Args[2]})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(b.Addresses()[0], b.cmd.Process.Pid)
			_ = b.Wait()
			return
		}
	}
	os.Exit(m.Run())
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// start runs a broker and stops it with the test, if the test did not.
func start(t *testing.T, config Config) *Broker {
	t.Helper()
	b, err := Start(testContext(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func closeBroker(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addresses()...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, client *kgo.Client, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := client.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// consume reads n records with a consumer group, commits and leaves.
func consume(t *testing.T, b *Broker, topic, group string, n int) string {
	t.Helper()
	ctx := testContext(t)
	client := newClient(t, b, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	var got []string
	for len(got) < n {
		fetches := client.PollRecords(ctx, n-len(got))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			got = append(got, string(r.Value))
			if err := client.CommitRecords(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(got, " ")
}

// createTopic makes a topic of one partition.
func createTopic(t *testing.T, b *Broker, topic string, configs map[string]*string) {
	t.Helper()
	if _, err := kadm.NewClient(newClient(t, b)).CreateTopic(testContext(t), 1, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

func topicID(t *testing.T, b *Broker, topic string) kadm.TopicID {
	t.Helper()
	topics, err := kadm.NewClient(newClient(t, b)).ListTopics(testContext(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := topics[topic].Err; err != nil {
		t.Fatal(err)
	}
	return topics[topic].ID
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Broker){
		"closed": closeBroker,
		"sigterm": func(t *testing.T, b *Broker) {
			if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := b.Wait(); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(_ *testing.T, b *Broker) { b.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := start(t, Config{DataDir: dir})
			createTopic(t, first, "orders", nil)
			produce(t, newClient(t, first), "orders", "a", "b", "c")
			if got, want := consume(t, first, "orders", "g", 2), "a b"; got != want {
				t.Fatalf("before: got %q, want %q", got, want)
			}
			id, cluster := topicID(t, first, "orders"), first.ClusterID()
			end(t, first)

			again := start(t, Config{DataDir: dir, ClusterID: "another"})
			if got, want := again.Addresses(), first.Addresses(); got[0] != want[0] {
				t.Errorf("addresses: got %q, want those of last time, %q", got, want)
			}
			if got := again.ClusterID(); got != cluster || got == "" {
				t.Errorf("cluster id: got %q, want %q", got, cluster)
			}
			meta, err := kadm.NewClient(newClient(t, again)).BrokerMetadata(testContext(t))
			if err != nil || meta.Cluster != cluster || len(meta.Brokers) != 1 {
				t.Errorf("metadata: %+v, %v; want one broker and cluster id %q", meta, err, cluster)
			}
			if got := topicID(t, again, "orders"); got != id {
				t.Errorf("topic id: got %s, want %s", got, id)
			}
			produce(t, newClient(t, again), "orders", "d")
			if got, want := consume(t, again, "orders", "g", 2), "c d"; got != want {
				t.Errorf("the group goes on with %q, want %q", got, want)
			}
			if got, want := consume(t, again, "orders", "new", 4), "a b c d"; got != want {
				t.Errorf("a new group reads %q, want %q", got, want)
			}
		})
	}
}

func TestOffsetsGoOnWhenAllRecordsWereDeleted(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Config{DataDir: dir})
	createTopic(t, b, "orders", nil)
	produce(t, newClient(t, b), "orders", "a", "b", "c")
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "orders", Partition: 0, At: 3})
	if _, err := kadm.NewClient(newClient(t, b)).DeleteRecords(testContext(t), offsets); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what the first has mended
		closeBroker(t, b)
		b = start(t, Config{DataDir: dir})
		admin := kadm.NewClient(newClient(t, b))
		for what, list := range map[string]func(context.Context, ...string) (kadm.ListedOffsets, error){
			"start": admin.ListStartOffsets, "end": admin.ListEndOffsets,
		} {
			got, err := list(testContext(t), "orders")
			if err != nil {
				t.Fatal(err)
			}
			if o, _ := got.Lookup("orders", 0); o.Offset != 3 {
				t.Errorf("%s offset: got %d, want 3", what, o.Offset)
			}
		}
	}
	produce(t, newClient(t, b), "orders", "d")
	closeBroker(t, b)
	b = start(t, Config{DataDir: dir})
	if got := consume(t, b, "orders", "g", 1); got != "d" {
		t.Errorf("got %q, want d", got)
	}
}

func TestDataDirInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, Config{DataDir: dir})
	_, err := Start(testContext(t), Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "data directory "+dir+" is in use by another embedded broker") {
		t.Errorf("got %v, want that the directory is in use", err)
	}
}

func TestPortOfLastTimeIsTaken(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Config{DataDir: dir})
	closeBroker(t, first)
	l, err := net.Listen("tcp", first.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again := start(t, Config{DataDir: dir})
	if err := newClient(t, again).Ping(testContext(t)); err != nil || again.Addresses()[0] == first.Addresses()[0] {
		t.Errorf("got %v at %q, want another address", err, again.Addresses())
	}
}

func TestChildGoesWithAKilledParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parent := exec.Command(self, "parent", dir)
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	parent.Stderr = os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var address string
	var pid int
	if _, err := fmt.Fscan(stdout, &address, &pid); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("the child still holds its connection: %v", err)
	}
	// It holds its data directory, and writes there, until it has ended.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for deadline := time.Now().Add(30 * time.Second); syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child still holds its data directory")
		}
	}
}

func TestHost(t *testing.T) {
	b := start(t, Config{DataDir: t.TempDir(), Host: "127.77.0.9", ClusterID: "mine"})
	meta, err := kadm.NewClient(newClient(t, b)).BrokerMetadata(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := net.JoinHostPort(meta.Brokers[0].Host, fmt.Sprint(meta.Brokers[0].Port)); got != b.Addresses()[0] || !strings.HasPrefix(got, "127.77.0.9:") {
		t.Errorf("advertised %s, address %s; want both on 127.77.0.9", got, b.Addresses()[0])
	}
	if b.ClusterID() != "mine" {
		t.Errorf("got cluster id %q, want mine", b.ClusterID())
	}
	for _, host := range []string{"0.0.0.0", "localhost", "192.0.2.1"} {
		if _, err := Start(testContext(t), Config{DataDir: t.TempDir(), Host: host}); err == nil || !strings.Contains(err.Error(), "is not a loopback address") {
			t.Errorf("host %s: got %v, want it refused", host, err)
		}
	}
}

func TestStartOfSomethingElse(t *testing.T) {
	for name, tc := range map[string]struct {
		exec []string
		want string
	}{
		"no such program":   {[]string{"/does/not/exist"}, "no such file"},
		"says other":        {[]string{"echo", "hello"}, "unexpected line"},
		"ends with nothing": {[]string{"false"}, "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(testContext(t), Config{Exec: tc.exec, DataDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("never ready", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := Start(ctx, Config{Exec: []string{"sh", "-c", "exec sleep 60"}, DataDir: t.TempDir()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

// lockedBuffer is a bytes.Buffer for a logger and a test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestChildsErrorsAreLogged(t *testing.T) {
	var out lockedBuffer
	_, err := Start(testContext(t), Config{DataDir: "/dev/null/x", Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err == nil || !strings.Contains(err.Error(), "make data directory") {
		t.Errorf("got %v, want what the child could not do", err)
	}
	if got := out.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "make data directory") {
		t.Errorf("logged %q, want the child's error", got)
	}
}

func frame(size int32, key, version int16, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	return append(binary.BigEndian.AppendUint16(b, uint16(version)), rest...)
}

func TestBadFramesEndTheConnectionOnly(t *testing.T) {
	b := start(t, Config{DataDir: t.TempDir()})
	for name, bad := range map[string][]byte{
		"unknown key":       frame(10, 999, 0, 0, 0, 0, 1, 0, 0),
		"negative key":      frame(10, -7, 0, 0, 0, 0, 1, 0, 0),
		"unknown version":   frame(10, 3, 99, 0, 0, 0, 1, 0, 0),
		"two gigabytes":     frame(1<<31-1, 3, 1),
		"negative size":     frame(-1, 3, 1),
		"shorter than head": frame(3, 3, 1),
		"huge count":        frame(14, 3, 1, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff),
		"http":              []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", b.Addresses()[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(bad); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %d bytes, %v; want the connection closed", n, err)
			}
		})
	}
	if err := newClient(t, b).Ping(testContext(t)); err != nil {
		t.Errorf("after the bad frames: %v", err)
	}
}

func TestGuardPassesWholeFrames(t *testing.T) {
	want := bytes.Repeat(append(frame(15, 3, 1, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5), frame(10, 18, 0, 0, 0, 0, 1, 0, 0)...), 20)
	for _, chunk := range []int{1, 3, 4, 7, 64, 4096} {
		client, server := net.Pipe()
		go func() {
			for b := want; len(b) > 0; b = b[min(chunk, len(b)):] {
				if _, err := client.Write(b[:min(chunk, len(b))]); err != nil {
					return
				}
			}
			client.Close()
		}()
		got, err := io.ReadAll(&guardedConn{Conn: server})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("in chunks of %d: got %d bytes, %v; want %d as sent", chunk, len(got), err, len(want))
		}
		server.Close()
	}
}

func FuzzCheckHead(f *testing.F) {
	f.Add(frame(10, 3, 1))
	f.Add(frame(-1, -1, -1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 8 {
			return
		}
		if body, err := checkHead([8]byte(b)); err == nil && (body < 6 || body > maxFrameBytes) {
			t.Errorf("a body of %d bytes was let through", body)
		}
	})
}

func TestRetentionWorksAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Config{DataDir: dir})
	configs, err := kadm.NewClient(newClient(t, b)).DescribeBrokerConfigs(testContext(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "log.retention.bytes" && c.MaybeValue() != fmt.Sprint(retentionBytes) {
			t.Errorf("log.retention.bytes: got %s, want %d", c.MaybeValue(), retentionBytes)
		}
	}
	limit := "1000"
	createTopic(t, b, "orders", map[string]*string{"retention.bytes": &limit})
	client := newClient(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 10 {
		produce(t, client, "orders", strings.Repeat("x", 500))
	}
	closeBroker(t, b)
	b = start(t, Config{DataDir: dir})
	err = await(testContext(t), func() error { // it is applied right after the broker is ready
		got, err := kadm.NewClient(newClient(t, b)).ListStartOffsets(testContext(t), "orders")
		if err != nil {
			return err
		}
		if o, _ := got.Lookup("orders", 0); o.Offset < 8 {
			return fmt.Errorf("got start offset %d, want at least 8", o.Offset)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// await tries until f succeeds or ctx ends.
func await(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
