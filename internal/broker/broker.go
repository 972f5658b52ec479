// Package broker is the embedded Kafka-compatible broker for demos, tests and trials: franz-go's kfake with its data
// directory, in a child process of its own on loopback. Its main type is Broker, the parent's end; Main is what the
// child runs. It knows nothing of the gateway in front of it, and it is no place for data anyone needs: there is one
// copy, and a power failure loses the tail.
//
// A process of its own because kfake trusts its clients: a frame it does not expect ends the process.
package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command is the hidden subcommand with which a binary runs itself as the child.
const Command = "embedded-broker"

// startTimeout bounds the wait for the child's ready line; loading a large data directory takes a while.
const startTimeout = 60 * time.Second

// Config says where the broker keeps its data and how the child is run.
type Config struct {
	// Exec is the command and arguments to which the child's own arguments are added; what it runs must call Main
	// with them. Default: this executable with Command.
	Exec []string
	// DataDir is made if it is not there. A second broker on the same one is refused.
	DataDir string
	// ClusterID is used for a data directory that has none yet; default random.
	ClusterID string
	// Host is the loopback address to listen on and to advertise; default 127.0.0.1.
	Host string
	// Log gets what the child writes to its standard error. Default: nothing is logged.
	Log *slog.Logger
}

// ready is the one line the child prints when clients can connect.
type ready struct {
	Bootstrap []string `json:"bootstrap"`
	ClusterID string   `json:"cluster_id"`
}

// Broker is a running child. Its methods are safe for concurrent use.
type Broker struct {
	ready ready
	cmd   *exec.Cmd
	stdin io.Closer // open as long as the child shall live
	done  chan struct{}
	err   error // how the child ended; valid once done is closed
}

// Start runs the child and returns once it accepts connections. ctx bounds the start only; the broker runs until
// Close, or until this process ends in whatever way: the child watches its standard input.
func Start(ctx context.Context, config Config) (*Broker, error) {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	command := slices.Clone(config.Exec)
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this executable: %w", err)
		}
		command = []string{self, Command}
	}
	command = append(command, "--data-dir", config.DataDir)
	if config.ClusterID != "" {
		command = append(command, "--cluster-id", config.ClusterID)
	}
	if config.Host != "" {
		command = append(command, "--host", config.Host)
	}
	cmd := exec.Command(command[0], command[1:]...)
	// A process group of its own, so that Ctrl-C reaches us first and we may drain before the broker goes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	b := &Broker{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	line, lastError := make(chan string, 1), make(chan string, 1)
	go func() { lastError <- logLines(stderr, log) }()
	go func() {
		defer close(b.done)
		out := bufio.NewReader(stdout)
		first, _ := out.ReadString('\n')
		line <- first
		_, _ = io.Copy(io.Discard, out)
		last := <-lastError // Wait may be called only when both pipes were read to their end
		if err := cmd.Wait(); err != nil {
			b.err = fmt.Errorf("embedded broker: %w", err)
			if last != "" {
				b.err = fmt.Errorf("embedded broker: %s (%w)", last, err)
			}
		}
	}()

	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case first := <-line:
		if err = json.Unmarshal([]byte(first), &b.ready); err == nil && len(b.ready.Bootstrap) > 0 {
			return b, nil
		}
		b.kill()
		if first == "" && b.err != nil {
			return nil, fmt.Errorf("start %w", b.err)
		}
		return nil, fmt.Errorf("start embedded broker: unexpected line %q from %q", strings.TrimSpace(first), command)
	case <-ctx.Done():
		b.kill()
		return nil, fmt.Errorf("start embedded broker: %w", context.Cause(ctx))
	case <-timer.C:
		b.kill()
		return nil, fmt.Errorf("start embedded broker: not ready after %s", startTimeout)
	}
}

// logLines logs each line until EOF and returns the last one at error level.
func logLines(r io.Reader, log *slog.Logger) (lastError string) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n') // a longer line comes in pieces
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			level := slog.LevelWarn
			if rest, ok := strings.CutPrefix(text, errorPrefix); ok {
				level, text, lastError = slog.LevelError, rest, rest
			} else if rest, ok := strings.CutPrefix(text, infoPrefix); ok {
				level, text = slog.LevelInfo, rest
			}
			log.Log(context.Background(), level, "embedded broker", "line", text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return lastError
		}
	}
}

// Addresses returns where the broker listens, host:port.
func (b *Broker) Addresses() []string { return slices.Clone(b.ready.Bootstrap) }

// ClusterID returns the cluster id, the same for each start on a data directory.
func (b *Broker) ClusterID() string { return b.ready.ClusterID }

// Done returns a channel that is closed when the child has ended, asked or not.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Wait blocks until the child has ended and returns how; nil when it ended in good order.
func (b *Broker) Wait() error {
	<-b.done
	return b.err
}

// Close asks the child to write everything down and end, and waits for it; when ctx ends first, it is killed and the
// error says so. Closing again returns the same as Wait.
func (b *Broker) Close(ctx context.Context) error {
	_ = b.stdin.Close()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		b.kill()
		return fmt.Errorf("close embedded broker: killed before it had finished: %w", context.Cause(ctx))
	}
}

func (b *Broker) kill() {
	_ = b.cmd.Process.Kill()
	<-b.done
}

// checkHost lets only literal loopback addresses pass: kfake must not be reached from elsewhere.
func checkHost(host string) error {
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("host %q is not a loopback address", host)
	}
	return nil
}
