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
	credential  = "bench-plain"
	password    = "a secret of the benchmark"
)

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

// documents offer every topic under its exposed name to one application with SASL PLAIN.
func documents(bootstrap []string, topics []topic) string {
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
	doc("Product", "name: bench, team: bench", "versions: [bench.v1], plans: {plan: {auth: [plain], approval: automatic}}")
	doc("Application", "name: "+application+", team: bench", "")
	doc("Subscription", "name: bench, environment: prod", "application: "+application+", product: bench, plan: plan")
	doc("Credential", "name: "+credential+", environment: prod", "application: "+application+", type: plain, secret: {file: secret.txt}")
	return b.String()
}

// startGateway runs "sluice serve" on free ports and waits until it is ready.
func startGateway(ctx context.Context, binary, dir string, bootstrap []string, topics []topic) (*child, Target, error) {
	dir, err := os.MkdirTemp(dir, "gateway-")
	if err != nil {
		return nil, Target{}, err
	}
	file := filepath.Join(dir, "resources.yaml")
	for name, text := range map[string]string{file: documents(bootstrap, topics), filepath.Join(dir, "secret.txt"): password} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, Target{}, err
		}
	}
	cmd := exec.Command(binary, "serve", "-f", file, "--data-dir", filepath.Join(dir, "data"), "--environment", "prod",
		"--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--log-format", "json", "--log-level", "info")
	cmd.Dir = dir
	serves := &servesLine{found: make(chan struct{})}
	c, err := startChild("sluice serve", cmd, serves)
	if err != nil {
		return nil, Target{}, err
	}
	if err = awaitReady(ctx, c, serves); err != nil {
		_ = c.stop()
		return nil, Target{}, err
	}
	return c, Target{Bootstrap: serves.Bootstrap, User: credential, Password: password}, nil
}

const readyTimeout = 30 * time.Second

func awaitReady(ctx context.Context, c *child, serves *servesLine) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	wrong := func(err error) error { return fmt.Errorf("sluice serve: %w; it wrote:\n%s", err, c.stderr.String()) }
	select {
	case <-serves.found:
	case <-c.exited:
		return wrong(fmt.Errorf("ended: %w", c.err))
	case <-ctx.Done():
		return wrong(ctx.Err())
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
			return wrong(fmt.Errorf("%w: %w", waitErr, err))
		}
	}
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
