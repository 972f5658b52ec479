package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// startedLine is what a broker logs once its listeners are open and the controller has unfenced it.
const startedLine = "Kafka Server started"

// process is one running JVM of a broker.
type process struct {
	cmd    *exec.Cmd
	ready  chan struct{} // closed when startedLine was logged
	exited chan struct{} // closed when the process has ended
	err    error         // how it ended; valid once exited is closed
}

// startProcess starts cmd in its own process group, with its output appended to the file log.
func startProcess(cmd *exec.Cmd, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{})}
	out := &watchWriter{file: file, want: []byte(startedLine), seen: p.ready}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttr()
	started := make(chan error, 1)
	go func() {
		// Where the kernel ends the child with us (Linux), it does so when the starting thread ends, so that thread
		// is ours until the child is gone; it is not unlocked, which ends it with this goroutine.
		runtime.LockOSThread()
		defer close(p.exited)
		defer file.Close()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// signal sends s unless the process has ended.
func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.exited:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(s)
	}
}

// stop ends the process: SIGTERM, and SIGKILL when it still runs after grace, at once when grace is zero.
func (p *process) stop(grace time.Duration) error {
	if grace > 0 {
		// A stopped process does not see SIGTERM.
		if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err == nil {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case <-p.exited:
				return nil
			case <-timer.C:
			}
		}
	}
	killErr := p.signal(syscall.SIGKILL)
	<-p.exited
	if grace > 0 && killErr == nil {
		return fmt.Errorf("process %d did not stop within %s and was killed", p.cmd.Process.Pid, grace)
	}
	return nil
}

// watchWriter copies to a file and closes seen when want goes by.
type watchWriter struct {
	mu   sync.Mutex
	file *os.File
	want []byte
	seen chan struct{} // nil once closed
	rest []byte        // the end of what was written, as long as want may begin in it
}

func (w *watchWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen != nil {
		w.rest = append(w.rest, b...)
		if bytes.Contains(w.rest, w.want) {
			close(w.seen)
			w.seen, w.rest = nil, nil
		} else {
			w.rest = bytes.Clone(w.rest[max(0, len(w.rest)-len(w.want)+1):])
		}
	}
	return w.file.Write(b)
}
