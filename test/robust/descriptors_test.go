package robust

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// limitFiles sets how many descriptors a process may have (prlimit(1)), both limits if hard.
func limitFiles(t *testing.T, pid, n int) {
	t.Helper()
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(pid), fmt.Sprintf("--nofile=%d:", n)).CombinedOutput(); err != nil {
		t.Fatalf("prlimit of util-linux: %v\n%s", err, out)
	}
}

// silent opens connections that never speak.
func silent(t *testing.T, address string, n int) []net.Conn {
	t.Helper()
	var out []net.Conn
	for range n {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			break // the queue of the listener is full, which is what this is about
		}
		out = append(out, conn)
	}
	t.Cleanup(func() {
		for _, conn := range out {
			conn.Close()
		}
	})
	return out
}

// Without a descriptor left, nobody new comes in, those who are there go on, and the processor rests.
func TestDescriptorsRunOut(t *testing.T) {
	beside(t)
	w := start(t, options{settings: "limits: {maxUnauthenticatedPerAddress: 0}"})
	other := w.witness()
	before := w.rest()
	limitFiles(t, w.Pid(), int(before.descriptors)+20)
	flood := silent(t, w.Bootstrap, 200)
	within(t, 30*time.Second, "descriptors run out", func() error {
		if !strings.Contains(w.Log(), "too many open files") {
			return fmt.Errorf("nothing in the log")
		}
		return nil
	})
	other.lap("until descriptors ran out")
	const window = 3 * time.Second
	lines, used := strings.Count(w.Log(), "\n"), cpu(t, w.Pid())
	time.Sleep(window) // the length of what is measured
	used, lines = cpu(t, w.Pid())-used, strings.Count(w.Log(), "\n")-lines
	rounds, p50, p99 := other.lap("without descriptors")
	t.Logf("without descriptors: %v of CPU and %d lines of log in %v; bystander: %d rounds, p50 %v, p99 %v", used, lines, window, rounds, p50, p99)
	if used > window/5+time.Duration(rounds)*time.Millisecond {
		t.Errorf("%v of CPU in %v without descriptors", used, window)
	}
	if lines > 60 {
		t.Errorf("%d lines of log in %v", lines, window)
	}
	limitFiles(t, w.Pid(), 1000)
	within(t, 30*time.Second, "a login after there are descriptors again", func() error { return w.login(troubled) })
	for _, conn := range flood {
		conn.Close()
	}
	other.lap("after")
	w.backTo(before, 30*time.Second)
}

// A gateway that may open few files lets in as many connections as those carry, brokers included.
func TestFewDescriptors(t *testing.T) {
	beside(t)
	w := start(t, options{wrap: []string{"prlimit", "--nofile=256:256"}, settings: "limits: {maxUnauthenticatedPerAddress: 0}"})
	if !strings.Contains(w.Log(), "fewer connections than limits.maxConnections") {
		t.Error("the log does not say that there are too few descriptors")
	}
	other := w.witness()
	before := w.rest()
	var in []*session
	for range 150 { // each with a broker connection
		conn, err := net.Dial("tcp", w.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := &session{conn: conn, user: troubled, patience: 20 * time.Second}
		if s.login() != nil {
			continue // refused at the door
		}
		if err := s.produce("a record"); err != nil {
			t.Errorf("let in, and then: %v", err)
		}
		in = append(in, s)
	}
	if len(in) < 50 || len(in) > 100 {
		t.Errorf("%d connections are let in by 256 descriptors", len(in))
	}
	silent(t, w.Bootstrap, 300)
	for i, s := range in {
		if err := s.produce("another record"); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
		s.conn.Close()
	}
	other.lap("few descriptors")
	if strings.Contains(w.Log(), "too many open files") {
		t.Error("descriptors have run out")
	}
	within(t, 30*time.Second, "a login once there is room", func() error { return w.login(troubled) })
	w.backTo(settled{before.connections + 300, before.goroutines + 2000, 256}, 30*time.Second) // the silent are still there
}

func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	d, err := cpuOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
