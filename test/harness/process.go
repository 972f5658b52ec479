package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Build makes the binary that is sold and returns its path.
func Build(tb testing.TB) string {
	tb.Helper()
	binary, err := BuildIn(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

// BuildIn makes the binary that is sold in a directory, for the tests of a whole package, and returns its path.
func BuildIn(dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", fmt.Errorf("find the product's sources: %w", err)
	}
	binary := filepath.Join(dir, "sluice")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// Serve says what a Process runs on.
type Serve struct {
	Binary    string            // of Build
	Documents string            // of sluice/v1, as YAML; without any it is a control plane, too
	Files     map[string]string // besides them, by name: what the documents and the settings refer to
	Data      map[string]string // in the data directory before the first start, by name: "seed", that two gateways have in common

	// Environment is the environment served; default: prod.
	Environment string
	// Listener is more of the listener's settings, as YAML ("tls: {…}, sni: {…}"). With sni there are no broker ports.
	Listener string
	// Settings are more of sluice.yaml, as lines.
	Settings string
	// Command is what the binary is to be: serve unless set, or control, or gateway.
	Command string
	// Join makes a gateway one of a control plane, before its first start; config is its sluice.yaml.
	Join func(config string) error
	// Wrap is what runs the binary, if not the kernel ("prlimit", "--nofile=256").
	Wrap []string
}

// Process is "sluice serve", or a part of it, on ports that stay its own, so that clients find it again after a restart. Unlike World's
// gateway it can be killed and frozen. Its methods must not overlap.
type Process struct {
	Bootstrap  string // where clients connect
	Operations string // health and metrics over HTTP
	Dir        string // of sluice.yaml, the files and the folder "data"

	tb      testing.TB
	wrap    []string
	binary  string
	command string
	log     *os.File
	cmd     *exec.Cmd
	exited  chan struct{}
}

// StartProcess starts a gateway and returns when it is ready. It ends with the test, which shows the end of its log when it failed.
func StartProcess(tb testing.TB, s Serve) *Process {
	tb.Helper()
	p := &Process{tb: tb, binary: s.Binary, wrap: s.Wrap, command: cmp.Or(s.Command, "serve"), Dir: tb.TempDir()}
	var err error
	if p.log, err = os.Create(filepath.Join(p.Dir, "log")); err != nil {
		tb.Fatal(err)
	}
	if s.Environment == "" {
		s.Environment = "prod"
	}
	resources := ""
	if s.Documents != "" {
		p.Write("resources.yaml", s.Documents)
		resources = "resources: [resources.yaml]"
	}
	for name, text := range s.Files {
		p.Write(name, text)
	}
	if err := os.Mkdir(filepath.Join(p.Dir, "data"), 0o700); err != nil {
		tb.Fatal(err)
	}
	for name, text := range s.Data {
		p.Write(filepath.Join("data", name), text)
	}
	const ports = 10 // one for clients, eight for brokers, one for operations
	for attempt := 0; ; attempt++ {
		base := 20000 + ports*mathrand.IntN(1200)
		if !portsFree(base, ports) {
			continue
		}
		p.Bootstrap, p.Operations = fmt.Sprintf("127.0.0.1:%d", base), fmt.Sprintf("127.0.0.1:%d", base+ports-1)
		listener := fmt.Sprintf(`name: kafka, address: "%s"`, p.Bootstrap)
		if !strings.Contains(s.Listener, "sni:") {
			listener += fmt.Sprintf(", brokerPorts: %d-%d", base+1, base+ports-2)
		}
		if s.Listener != "" {
			listener += ", " + s.Listener
		}
		p.Write("sluice.yaml", fmt.Sprintf("environment: %s\ndataDir: data\n%s\nlisteners:\n  - {%s}\noperations: {address: %q}\n%s\n",
			s.Environment, resources, listener, p.Operations, s.Settings))
		if attempt == 0 && s.Join != nil {
			if err := s.Join(filepath.Join(p.Dir, "sluice.yaml")); err != nil {
				tb.Fatal(err)
			}
		}
		if err := p.start(); err == nil {
			break
		} else if attempt == 3 {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("the gateway's log ends:\n%s", p.tail(6000))
		}
		p.log.Close()
	})
	return p
}

// Write writes a file in Dir, for instance changed documents.
func (p *Process) Write(name, text string) {
	p.tb.Helper()
	if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text), 0o600); err != nil {
		p.tb.Fatal(err)
	}
}

func portsFree(base, count int) bool {
	for port := base; port < base+count; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// start runs the binary and waits until it is ready.
func (p *Process) start() error {
	args := append(append([]string{}, p.wrap...), p.binary, p.command, "--config", filepath.Join(p.Dir, "sluice.yaml"))
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir, p.cmd.SysProcAttr = p.Dir, childAttr()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.exited = make(chan struct{})
	started := make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		// The kernel ends the child with the thread that started it, which is therefore kept.
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}(p.cmd, p.exited)
	if err := <-started; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.Ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return errors.New("the gateway ended during its start: " + p.tail(2000))
		case <-ctx.Done():
			p.Kill()
			return errors.New("the gateway is not ready in time: " + p.tail(2000))
		}
	}
}

// Ready asks the gateway whether it is ready.
func (p *Process) Ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Operations+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Log returns what the gateway has logged since it was first started.
func (p *Process) Log() string {
	text, _ := os.ReadFile(p.log.Name())
	return string(text)
}

func (p *Process) tail(n int) string {
	text := p.Log()
	return text[max(0, len(text)-n):]
}

// Pid is the process id of the gateway that runs now; with Wrap, that of what wraps it until it has become the gateway.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when the gateway that runs now has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Start starts a gateway that was ended, and returns when it is ready.
func (p *Process) Start() {
	p.tb.Helper()
	if err := p.start(); err != nil {
		p.tb.Error(err)
	}
}

// Kill ends the gateway at once (SIGKILL).
func (p *Process) Kill() {
	if p.cmd.Process != nil {
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// Pause freezes the gateway (SIGSTOP): its connections stay open and nothing is answered, until Resume.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a frozen gateway go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Errorf("signal %s to the gateway: %v", s, err)
	}
}

// Stop asks the gateway to end (SIGTERM) and returns how long it took. It is an error of the test when that is more
// than bound, or the gateway says that it went wrong.
func (p *Process) Stop(bound time.Duration) time.Duration {
	p.tb.Helper()
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.tb.Errorf("the gateway has not ended %v after SIGTERM", bound)
		p.Kill()
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.tb.Errorf("the gateway ended with code %d after SIGTERM", code)
	}
	return time.Since(begin)
}
