package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	application = "bench"
	password    = "a secret of the benchmark"
)

// userOf is the SASL user for a mechanism, of the gateway and of Kafka alike.
func userOf(mechanism string) string {
	if mechanism == mechanismScram {
		return application + "-scram"
	}
	return application + "-plain"
}

// buildGateway builds the binary that is sold from the sources beside us.
func buildGateway(ctx context.Context, dir string) (string, error) {
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sluice")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "sluice")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/sluice")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0") // as make dist does
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// documents offer every topic under its exposed name to an application with SASL PLAIN and SCRAM, and to so many others,
// every second one with PLAIN, the others with SCRAM.
func documents(bootstrap []string, topics []topic, others int) string {
	var b strings.Builder
	doc := func(kind, metadata, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, spec)
	}
	var contract, backing []string
	for i, t := range topics {
		contract = append(contract, fmt.Sprintf("c%d: {address: %q, send: true, receive: true}", i, t.exposed))
		backing = append(backing, fmt.Sprintf("c%d: {prod: {cluster: main, topic: %s}}", i, t.backing))
	}
	doc("Cluster", "name: main, environment: prod", fmt.Sprintf(`bootstrap: ["%s"]`, strings.Join(bootstrap, `","`)))
	doc("API", "name: bench, team: bench", "title: Bench")
	doc("Version", "name: bench.v1", fmt.Sprintf("contract: {channels: {%s}}, channels: {%s}, lifecycle: {state: published}",
		strings.Join(contract, ", "), strings.Join(backing, ", ")))
	doc("Product", "name: bench, team: bench", "versions: [bench.v1], plans: {plan: {auth: [plain, scram], approval: automatic}}")
	credential := func(app, method string) {
		doc("Credential", "name: "+app+"-"+method+", environment: prod", "application: "+app+", type: "+method+", secret: {file: secret.txt}")
	}
	subscribe := func(app string) {
		doc("Application", "name: "+app+", team: bench", "")
		doc("Subscription", "name: "+app+", environment: prod", "application: "+app+", product: bench, plan: plan")
	}
	subscribe(application)
	credential(application, "plain")
	credential(application, "scram")
	for i := range others {
		app := fmt.Sprintf("%s%d", application, i)
		subscribe(app)
		credential(app, []string{"plain", "scram"}[i%2])
	}
	return b.String()
}

// gatewayFolder makes a folder with everything that "sluice serve" needs. With a certificate its listener speaks TLS.
func gatewayFolder(dir, documents string, cert *certificate) (string, error) {
	dir, err := os.MkdirTemp(dir, "gateway-")
	if err != nil {
		return "", err
	}
	config := "listeners: [{name: clients}]\n"
	if cert != nil {
		config = fmt.Sprintf("listeners: [{name: clients, tls: {certificate: {file: %q}, key: {file: %q}}}]\n", cert.file, cert.key)
	}
	for name, text := range map[string]string{"resources.yaml": documents, "secret.txt": password, "sluice.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// serve runs "sluice serve" in its folder, on free ports, and returns at once. The data directory stays from run to run.
func serve(binary, dir string) (*child, *servesLine, error) {
	cmd := exec.Command(binary, "serve", "-f", "resources.yaml", "--data-dir", "data", "--environment", "prod",
		"--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--log-format", "json", "--log-level", "info")
	cmd.Dir = dir
	serves := &servesLine{found: make(chan struct{})}
	c, err := startChild("sluice serve", cmd, serves)
	return c, serves, err
}

// startGateway runs a gateway and waits until it is ready.
func startGateway(ctx context.Context, binary, dir, documents string, cert *certificate) (*child, Target, error) {
	dir, err := gatewayFolder(dir, documents, cert)
	if err != nil {
		return nil, Target{}, err
	}
	c, serves, err := serve(binary, dir)
	if err != nil {
		return nil, Target{}, err
	}
	if err = awaitReady(ctx, c, serves); err != nil {
		_ = c.stop()
		return nil, Target{}, err
	}
	target := Target{Bootstrap: serves.Bootstrap, User: userOf(mechanismPlain), Password: password}
	if cert != nil {
		target.CA = cert.issuer
	}
	return c, target, nil
}

const readyTimeout = 30 * time.Second

func awaitReady(ctx context.Context, c *child, serves *servesLine) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := awaitServing(ctx, c, serves); err != nil {
		return err
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+serves.Operations+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("not ready: %s", why)
		}
		if waitErr := wait(ctx, 20*time.Millisecond); waitErr != nil {
			return gatewayError(c, fmt.Errorf("%w: %w", waitErr, err))
		}
	}
}

// awaitServing waits until a gateway says where it listens.
func awaitServing(ctx context.Context, c *child, serves *servesLine) error {
	select {
	case <-serves.found:
		return nil
	case <-c.exited:
		return gatewayError(c, fmt.Errorf("ended: %w", c.err))
	case <-ctx.Done():
		return gatewayError(c, ctx.Err())
	}
}

func gatewayError(c *child, err error) error {
	return fmt.Errorf("sluice serve: %w; it wrote:\n%s", err, c.stderr.String())
}

type addresses struct {
	Bootstrap  string `json:"bootstrap"`
	Operations string `json:"operations"`
}

// servesLine finds the log line that names the gateway's addresses. Its fields are valid once found is closed.
type servesLine struct {
	addresses

	mu    sync.Mutex // guards rest and done
	rest  []byte
	done  bool
	found chan struct{}
}

func (s *servesLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return len(p), nil
	}
	s.rest = append(s.rest, p...)
	lines := bufio.NewScanner(bytes.NewReader(s.rest))
	for lines.Scan() {
		var a addresses
		if json.Unmarshal(lines.Bytes(), &a) == nil && a.Bootstrap != "" && a.Operations != "" {
			s.addresses, s.done, s.rest = a, true, nil
			close(s.found)
			break
		}
	}
	return len(p), nil
}
