// Package chaos breaks things under load and counts what clients lost: gateways
// are killed and restarted, brokers killed, stopped and frozen, while producers,
// a transactional producer and a consumer group work through the gateway. What
// was acknowledged has to be in the log exactly once and in order; a transaction
// is there as a whole or not at all. It knows the product as users do: a binary,
// files and ports.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	user     = "chaos"
	password = "a secret of the chaos test"
)

// Gateway is "sluice serve" on fixed ports, so that clients find it again after
// a restart.
type Gateway struct {
	Bootstrap string

	tb         testing.TB
	binary     string
	dir        string
	operations string
	log        *os.File
	cmd        *exec.Cmd
	exited     chan struct{}
}

// build makes the binary that is sold.
func build(tb testing.TB) string {
	tb.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sluice").Output()
	if err != nil {
		tb.Fatal("find the product's sources: ", err)
	}
	binary := filepath.Join(tb.TempDir(), "sluice")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build the gateway: %v\n%s", err, out)
	}
	return binary
}

// newGateway starts a gateway for the topics: exposed name → backing topic.
func newGateway(tb testing.TB, binary string, bootstrap []string, topics map[string]string) *Gateway {
	tb.Helper()
	g := &Gateway{tb: tb, binary: binary, dir: tb.TempDir()}
	var err error
	if g.log, err = os.Create(filepath.Join(g.dir, "log")); err != nil {
		tb.Fatal(err)
	}
	var contract, backing []string
	for exposed, physical := range topics {
		contract = append(contract, fmt.Sprintf("%s: {send: true, receive: true}", exposed))
		backing = append(backing, fmt.Sprintf("%s: {prod: {cluster: main, topic: %s}}", exposed, physical))
	}
	var b strings.Builder
	doc := func(kind, metadata, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, spec)
	}
	doc("Cluster", "name: main, environment: prod", fmt.Sprintf(`bootstrap: ["%s"]`, strings.Join(bootstrap, `","`)))
	doc("API", "name: chaos, team: chaos", "title: Chaos")
	doc("Version", "name: chaos.v1", fmt.Sprintf("contract: {channels: {%s}}, channels: {%s}, lifecycle: {state: published}",
		strings.Join(contract, ", "), strings.Join(backing, ", ")))
	doc("Product", "name: chaos, team: chaos", "versions: [chaos.v1], plans: {plan: {auth: [plain], approval: automatic}}")
	doc("Application", "name: chaos, team: chaos", "")
	doc("Subscription", "name: chaos, environment: prod", "application: chaos, product: chaos, plan: plan")
	doc("Credential", "name: "+user+", environment: prod", "application: chaos, type: plain, secret: {file: secret.txt}")
	g.write("resources.yaml", b.String())
	g.write("secret.txt", password)
	for attempt := 0; ; attempt++ {
		base := 21000 + 10*rand.IntN(800)
		if !free(base, 10) {
			continue
		}
		g.Bootstrap, g.operations = fmt.Sprintf("127.0.0.1:%d", base), fmt.Sprintf("127.0.0.1:%d", base+9)
		g.write("sluice.yaml", fmt.Sprintf(`environment: prod
dataDir: %s
resources: [resources.yaml]
listeners:
  - {name: kafka, address: "%s", brokerPorts: %d-%d}
operations: {address: "%s"}
limits: {drainTimeout: 5s}
`, filepath.Join(g.dir, "data"), g.Bootstrap, base+1, base+8, g.operations))
		if err := g.start(); err == nil {
			break
		} else if attempt == 3 {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		g.Kill()
		if tb.Failed() {
			if text, err := os.ReadFile(g.log.Name()); err == nil {
				tb.Logf("the gateway's log ends:\n%s", text[max(0, len(text)-6000):])
			}
		}
		g.log.Close()
	})
	return g
}

func (g *Gateway) write(name, text string) {
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.tb.Fatal(err)
	}
}

func free(base, count int) bool {
	for p := base; p < base+count; p++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// start runs the binary and waits until it is ready.
func (g *Gateway) start() error {
	g.cmd = exec.Command(g.binary, "serve", "--config", filepath.Join(g.dir, "sluice.yaml"))
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		return err
	}
	g.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { cmd.Wait(); close(exited) }(g.cmd, g.exited)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.operations+"/readyz", nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-g.exited:
			return errors.New("the gateway ended during its start: " + g.tail())
		case <-ctx.Done():
			g.Kill()
			return errors.New("the gateway is not ready in time: " + g.tail())
		}
	}
}

func (g *Gateway) tail() string {
	text, _ := os.ReadFile(g.log.Name())
	return string(text[max(0, len(text)-2000):])
}

// Start starts a gateway that was ended.
func (g *Gateway) Start() {
	g.tb.Helper()
	if err := g.start(); err != nil {
		g.tb.Fatal(err)
	}
}

// Kill ends the gateway at once.
func (g *Gateway) Kill() {
	g.cmd.Process.Kill()
	<-g.exited
}

// Stop asks the gateway to end and returns how long it took.
func (g *Gateway) Stop() time.Duration {
	g.tb.Helper()
	begin := time.Now()
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(20 * time.Second):
		g.tb.Error("the gateway does not end after SIGTERM")
		g.Kill()
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.tb.Errorf("the gateway ended with code %d after SIGTERM", code)
	}
	return time.Since(begin)
}
