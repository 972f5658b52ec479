package robust

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// login tries to log in and to produce a record as a user.
func (w *world) login(user string) error {
	conn, err := net.Dial("tcp", w.Bootstrap)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &session{conn: conn, user: user, patience: 20 * time.Second}
	if err := s.login(); err != nil {
		return err
	}
	return s.produce("a record of " + user)
}

// topicID is the id of the topic that a user sees.
func (w *world) topicID(user string) [16]byte {
	w.tb.Helper()
	conn, err := net.Dial("tcp", w.Bootstrap)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer conn.Close()
	s := &session{conn: conn, user: user, patience: 20 * time.Second}
	if err := s.login(); err != nil {
		w.tb.Fatal(err)
	}
	req := metadata().(*kmsg.MetadataRequest)
	req.Version = 12
	resp, err := s.ask(req)
	if err != nil {
		w.tb.Fatal(err)
	}
	return resp.(*kmsg.MetadataResponse).Topics[0].TopicID
}

// metric waits until a metric has a value.
func (w *world) metric(limit time.Duration, name string, want float64) {
	w.tb.Helper()
	within(w.tb, limit, name, func() error {
		if got := w.must()[name]; got != want {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

// With a full disk everything goes on, changes of the documents included; what is missing on it is written once it can.
func TestFullDisk(t *testing.T) {
	beside(t)
	// A file system of its own for the data directory, which nobody else sees and which goes with the process.
	unshare := "-m"
	if os.Getuid() != 0 {
		unshare = "-rm"
	}
	w := start(t, options{applications: 1, wrap: []string{"unshare", unshare, "sh", "-c", `mount -t tmpfs -o size=256k tmpfs data && exec "$0" "$@"`}})
	data := fmt.Sprintf("/proc/%d/cwd/data", w.Pid())
	var s syscall.Statfs_t
	if err := syscall.Statfs(data, &s); err != nil || s.Blocks*uint64(s.Bsize) > 1<<20 {
		t.Fatalf("the data directory has no file system of its own (%v): this test needs unshare(1) and mount(8) to be permitted", err)
	}
	other := w.witness()
	filler, err := os.OpenFile(filepath.Join(data, "filler"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4<<10))
	}
	filler.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	changed := strings.Replace(documents(w.kafka.ListenAddrs(), 1), "application: app-0, type: plain,", "application: app-0, type: plain, state: revoked,", 1) + application("newcomer")
	w.Write("resources.yaml", changed)
	within(t, 30*time.Second, "a subscription made on a full disk", func() error { return w.login("newcomer") })
	if err := w.login("app-0"); err == nil {
		t.Error("a credential revoked on a full disk logs in")
	}
	w.metric(30*time.Second, "sluice_data_directory_saved", 0)
	within(t, 30*time.Second, "the log says that there is no space left", func() error {
		if !strings.Contains(w.Log(), "no space left on device") {
			return errors.New("nothing in the log")
		}
		return nil
	})
	if kept, err := os.ReadFile(filepath.Join(data, "snapshot.json")); err != nil || strings.Contains(string(kept), "newcomer") {
		t.Errorf("the disk was not full: %v", err)
	}
	other.lap("full disk")
	if err := os.Remove(filepath.Join(data, "filler")); err != nil {
		t.Fatal(err)
	}
	w.metric(30*time.Second, "sluice_data_directory_saved", 1)
	if kept, err := os.ReadFile(filepath.Join(data, "snapshot.json")); err != nil || !strings.Contains(string(kept), "newcomer") {
		t.Errorf("there is room, and the snapshot is not kept: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(data, ".*.json.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	other.lap("room again")
	if n := w.must()["sluice_gateway_panics_total"]; n != 0 {
		t.Errorf("%v panics", n)
	}
}

// Documents that are broken leave what is in force in force, and say why, until they are mended.
func TestBrokenDocuments(t *testing.T) {
	beside(t)
	w := start(t, options{})
	other := w.witness()
	good := documents(w.kafka.ListenAddrs(), 0)
	applied := func() float64 { return w.must()["sluice_gateway_snapshots_total"] }
	before, told := applied(), 0
	for name, broken := range map[string]string{
		"half of it": good[:len(good)/2] + "\n  - {", "nothing": "", "bytes": "\x00\xff\xfe", "no reference": strings.Replace(good, "product: orders", "product: order", 1),
		"deep": strings.Repeat("[", 100_000), "another kind": strings.Replace(good, "kind: Cluster", "kind: Clutter", 1),
	} {
		w.Write("resources.yaml", broken)
		told++
		within(t, 30*time.Second, name+" is refused", func() error {
			if n := strings.Count(w.Log(), "resources refused"); n < told {
				return fmt.Errorf("%d refusals in the log, want %d", n, told)
			}
			return nil
		})
		if err := w.login(troubled); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := applied(); got != before {
		t.Errorf("%v snapshots were put in force by broken documents", got-before)
	}
	if err := os.Remove(filepath.Join(w.Dir, "resources.yaml")); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "documents that are gone are refused", func() error {
		if strings.Count(w.Log(), "resources refused") <= told {
			return errors.New("nothing in the log")
		}
		return nil
	})
	w.Write("resources.yaml", good+application("newcomer"))
	within(t, 30*time.Second, "mended", func() error { return w.login("newcomer") })
	other.lap("broken documents")
}

// A gateway that finds its files damaged starts all the same, and shows the same topics under the same ids.
func TestDamagedDataDirectory(t *testing.T) {
	beside(t)
	w := start(t, options{})
	before := w.topicID(troubled)
	for _, tc := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"torn", func(b []byte) []byte { return b[:len(b)*2/3] }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"a bit in the middle", func(b []byte) []byte { b[len(b)/2] ^= 0x80; return b }},
		{"another file's content", func([]byte) []byte { return []byte(`["nothing", {"of": "ours"}]`) }},
		{"endless", func([]byte) []byte { return []byte(strings.Repeat(`{"a":`, 200_000)) }},
	} {
		damage := func() {
			for _, pattern := range []string{"history.json", "snapshot.json", "resume", "ports-*.json"} {
				files, err := filepath.Glob(filepath.Join(w.Dir, "data", pattern))
				if err != nil || len(files) != 1 {
					t.Fatalf("%s in the data directory: %v %v", pattern, files, err)
				}
				text, err := os.ReadFile(files[0])
				if err == nil {
					err = os.WriteFile(files[0], tc.damage(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		damage() // under a gateway that runs, which does not look at them
		if err := w.login(troubled); err != nil {
			t.Errorf("%s, running: %v", tc.name, err)
		}
		w.Kill()
		w.Start()
		if got := w.topicID(troubled); got != before {
			t.Errorf("%s: topic id %x after the restart, want %x", tc.name, got, before)
		}
		if err := w.login(troubled); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
