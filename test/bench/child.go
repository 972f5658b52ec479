package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// childCommand is the first argument of this program when it is a child of itself. A child gets the name of its role as
// second argument and its job as one JSON value on stdin; it answers with JSON values on stdout and ends when its work
// is done or stdin is closed, whichever is first.
const childCommand = "bench-child"

// roles are what a child can be.
var roles = map[string]func(ctx context.Context, job Job, answer func(any) error) error{
	"forwarder": serveForwarder,
	"load":      runLoad,
	"latency":   runLatency,
	"idle":      runIdle,
	"logins":    runLogins,
}

// Job is what a child is told.
type Job struct {
	Forward   string        // forwarder: where to
	Floor     bool          // forwarder: look at frames
	Cert, Key string        // forwarder: files of its certificate; clients speak TLS then
	Target    Target        // of clients
	Topic     string        // of clients
	Workload  Workload      // load
	Mechanism string        // logins
	Warmup    time.Duration // load, logins, latency: not measured
	Window    time.Duration // load, logins, latency: measured
	Bytes     int64         // load: payload in the topic that is consumed
	Watch     int           // load, logins: the process whose CPU time is read at both ends of the window; 0: none
	Rate      int           // latency: records per second
	Count     int           // idle: connections; logins: at a time
}

// Target is how a client reaches Kafka.
type Target struct {
	Bootstrap      string
	Via            string // connect here, whichever address Kafka names
	CA             string // PEM; if there is one, speak TLS and trust it
	User, Password string // SASL PLAIN if there is a user
}

// childMain runs a role and returns the exit code.
func childMain(name string) int {
	role := roles[name]
	in := json.NewDecoder(os.Stdin)
	var job Job
	if err := in.Decode(&job); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: read the job: %v\n", name, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it, or is gone
		cancel()
		time.Sleep(stopGrace)
		os.Exit(1)
	}()
	err := role(ctx, job, json.NewEncoder(os.Stdout).Encode)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
		return 1
	}
	return 0
}

// child is a running process of ours.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	answer *json.Decoder // of its stdout
	stderr tailBuffer
	exited chan struct{} // closed when it has ended
	err    error         // how; valid once exited is closed
}

const stopGrace = 5 * time.Second

// startSelf starts this program in a role.
func startSelf(role string, job Job) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childCommand, role)
	c, err := startChild(role, cmd, nil)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(c.stdin).Encode(job); err != nil {
		return nil, errors.Join(fmt.Errorf("tell %s its job: %w", role, err), c.stop())
	}
	return c, nil
}

// startChild starts a program. What it writes to stderr goes to log too, if that is not nil.
func startChild(name string, cmd *exec.Cmd, log io.Writer) (*child, error) {
	c := &child{name: name, cmd: cmd, exited: make(chan struct{})}
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, out, err := os.Pipe() // not StdoutPipe, which Wait closes under the reader
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, &c.stderr
	if log != nil {
		cmd.Stderr = io.MultiWriter(&c.stderr, log)
	}
	cmd.SysProcAttr = childAttr()
	c.answer = json.NewDecoder(stdout)
	started := make(chan error, 1)
	go func() {
		// Pdeathsig is about the thread that starts the child: keep it until the child is gone.
		runtime.LockOSThread()
		defer close(c.exited)
		err := cmd.Start()
		out.Close()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		stdout.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// read waits for the child's next answer.
func (c *child) read(ctx context.Context, into any) error {
	got := make(chan error, 1)
	go func() { got <- c.answer.Decode(into) }()
	select {
	case err := <-got:
		if err == nil {
			return nil
		}
		_ = c.stop()
		return fmt.Errorf("%s gave no answer: %w; it wrote:\n%s", c.name, err, c.stderr.String())
	case <-ctx.Done():
		_ = c.stop() // ends the decoder too
		<-got
		return fmt.Errorf("wait for %s: %w; it wrote:\n%s", c.name, ctx.Err(), c.stderr.String())
	}
}

// stop ends the child: stdin is closed and SIGTERM sent, and SIGKILL when it takes too long, which is an error. Calling
// it again does nothing.
func (c *child) stop() error {
	c.stdin.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // one of ours has no handler and ends at once
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-c.exited:
		return nil
	case <-timer.C:
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
	return fmt.Errorf("%s (process %d) did not end within %s and was killed", c.name, c.pid(), stopGrace)
}

// ask runs a role to its end and returns its answer.
func ask[T any](ctx context.Context, role string, job Job, limit time.Duration) (T, error) {
	var answer T
	c, err := startSelf(role, job)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := c.read(ctx, &answer); err != nil {
		return answer, err
	}
	return answer, c.stop()
}

// tailBuffer keeps the end of what is written to it. Safe for concurrent use.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const keep = 4 << 10
	t.b = append(t.b, p...)
	if len(t.b) > 2*keep {
		t.b = bytes.Clone(t.b[len(t.b)-keep:])
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
