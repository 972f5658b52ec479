package robust

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// metrics reads what the gateway counts: the sum of each metric over its labels.
func (w *world) metrics() (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Operations+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		name, _, _ := strings.Cut(line[:space], "{")
		out[name] += value
	}
	return out, lines.Err()
}

// must returns the metrics or fails the test.
func (w *world) must() map[string]float64 {
	w.tb.Helper()
	m, err := w.metrics()
	if err != nil {
		w.tb.Fatal(err)
	}
	return m
}

// settled is what a gateway has at rest: measured before a fault, and expected again after it.
type settled struct{ connections, goroutines, descriptors float64 }

func (w *world) rest() settled {
	w.tb.Helper()
	http.DefaultClient.CloseIdleConnections()
	m := w.must()
	return settled{m["sluice_gateway_connections"], m["go_goroutines"], m["process_open_fds"]}
}

// backTo waits until nothing is left of the fault, and sees to it that nothing has panicked. A few goroutines and
// descriptors come and go with the gateway's own connections.
func (w *world) backTo(before settled, limit time.Duration) {
	w.tb.Helper()
	within(w.tb, limit, "back to rest", func() error {
		http.DefaultClient.CloseIdleConnections()
		m, err := w.metrics()
		if err != nil {
			return err
		}
		now := settled{m["sluice_gateway_connections"], m["go_goroutines"], m["process_open_fds"]}
		if now.connections > before.connections || now.goroutines > before.goroutines+10 || now.descriptors > before.descriptors+6 {
			return fmt.Errorf("%+v, before %+v", now, before)
		}
		return nil
	})
	if n := w.must()["sluice_gateway_panics_total"]; n != 0 {
		w.tb.Errorf("%v panics", n)
	}
}

// cpuOf returns the CPU time that a process has used, in ticks of 10 ms (proc(5)).
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	sum := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}

// statusOf returns a line of /proc/PID/status in bytes: VmRSS, VmHWM.
func statusOf(pid int, field string) (int64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, field)
}

// build makes the binary that is sold in a folder.
func build(dir string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sluice").Output()
	if err != nil {
		return "", fmt.Errorf("find the product's sources: %w", err)
	}
	binary := filepath.Join(dir, "sluice")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// product is the binary of all tests; TestMain makes it.
var product string
