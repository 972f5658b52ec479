package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/kafkatest"
)

// Program is one JVM. It is ended with the test that started it, by SIGKILL, and by the kernel when the test process ends
// (Linux). Its methods are safe for concurrent use.
type Program struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended

	mu    sync.Mutex    // guards what follows
	lines []string      // it has printed
	part  []byte        // of a line
	more  chan struct{} // closed and replaced when there are more lines
}

const keptLines = 20_000

// Write takes what the process prints.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.part = append(p.part, b...)
	for {
		line, rest, found := bytes.Cut(p.part, []byte("\n"))
		if !found {
			break
		}
		if len(p.lines) < keptLines {
			p.lines = append(p.lines, string(line))
		}
		p.part = bytes.Clone(rest)
	}
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

// settings of the environment that every JVM reads and that would change or litter what we start.
var javaOptions = regexp.MustCompile(`^(JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH)=`)

// start runs a class of the jars until the test ends.
func start(tb testing.TB, name string, kafka *kafkatest.Cluster, jars Jars, class string, args ...string) *Program {
	tb.Helper()
	all := append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-cp", jars.Classpath,
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.rest.RestServer=info", class}, args...)
	p := &Program{name: name, cmd: exec.Command(kafka.Java(), all...), exited: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = slices.DeleteFunc(os.Environ(), javaOptions.MatchString)
	p.cmd.SysProcAttr = childAttr()
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Dir = tb.TempDir()
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child when the thread that started it ends: keep the thread.
		runtime.LockOSThread()
		defer close(p.exited)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ends is seen by its work
		}
	}()
	if err := <-started; err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	tb.Cleanup(func() {
		p.Kill()
		if dir := os.Getenv("SLUICE_TEST_LOGS"); dir != "" {
			file := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.log", filepath.Base(tb.Name()), name, p.cmd.Process.Pid))
			if err := os.WriteFile(file, []byte(p.tail(keptLines)), 0o644); err != nil {
				tb.Error(err)
			}
		}
		if tb.Failed() {
			tb.Logf("the last lines of %s:\n%s", name, p.tail(60))
		}
	})
	return p
}

// Kill ends the process by SIGKILL and returns when it is gone.
func (p *Program) Kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.exited
}

// Stop ends the process by SIGTERM; it is an error if it takes longer than half a minute.
func (p *Program) Stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(30 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not stop within 30 s and was killed", p.name)
	}
}

func (p *Program) signal(s syscall.Signal) error {
	select {
	case <-p.exited:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(s)
	}
}

var errEnded = errors.New("the program has ended")

// Await returns the first match of a pattern in a line, its first group if it has one. It is an error when the program
// ends before, or the time does.
func (p *Program) Await(pattern string, within time.Duration) (string, error) {
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(within)
	defer timer.Stop()
	next, ended := 0, false
	for {
		p.mu.Lock()
		lines, more := p.lines[next:], p.more
		p.mu.Unlock()
		for _, line := range lines {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1], nil
			}
		}
		next += len(lines)
		if ended {
			return "", fmt.Errorf("%s, awaiting %q: %w", p.name, pattern, errEnded)
		}
		select {
		case <-more:
		case <-p.exited:
			ended = true // what it printed last is still to be looked at
		case <-timer.C:
			return "", fmt.Errorf("%s: no %q within %v", p.name, pattern, within)
		}
	}
}

// tail returns the last lines.
func (p *Program) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-n):], "\n")
}

// Lines returns what matches of what was printed so far.
func (p *Program) Lines(pattern string) []string {
	re := regexp.MustCompile(pattern)
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, line := range p.lines {
		if re.MatchString(line) {
			out = append(out, line)
		}
	}
	return out
}
