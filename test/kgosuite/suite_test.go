// Package kgosuite runs the test suite of the client library franz-go, which ships in its module, through the gateway,
// as an application with a namespace, on a real Apache Kafka.
package kgosuite

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/twmb/franz-go/pkg/kgo" // its version in go.mod is the one tested

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

var kafka *kafkatest.Cluster

func TestMain(m *testing.M) {
	harness.Main(m, kafkatest.Options{Heap: "768m", Features: harness.Features()}, &kafka)
}

//go:embed skip.txt
var skipList string

// skipped returns the names in skip.txt that do not run on a release: one to a line, its reason behind it.
func skipped(t *testing.T, release string) []string {
	var names []string
	for line := range strings.Lines(skipList) {
		name, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		reason = strings.TrimSpace(reason)
		first, why, limited := "", reason, false
		if rest, ok := strings.CutPrefix(reason, "before "); ok {
			first, why, limited = strings.Cut(rest, ":")
		}
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case strings.TrimSpace(why) == "":
			t.Errorf("skip.txt: %s has no reason", name)
		case limited && release >= first: // 3.9, 4.1, 4.2: one digit each
		default:
			names = append(names, "^"+name+"$")
		}
	}
	return names
}

// sample are the tests of `make test`; the full run has all of them.
const sample = "^(TestPing|TestIssue|TestConsume|TestGroupSimple|TestSCRAM|TestAddRemovePartitions|TestPause|Test848|TestClient_Produce|TestMaxVersions|TestUnknownGroup)"

func TestFranzGoSuite(t *testing.T) {
	w := harness.Start(t, kafka, harness.Spec{
		Apps:    []harness.App{{Name: "suite", Namespace: [2]int{5000, 60000}}},
		Trusted: "suite", // most of the suite's clients cannot log in
	})
	w.WatchTopicIDs(time.Second)
	login := w.Login("suite", "SCRAM-SHA-256")

	run, records, within := sample, "2000", 4*time.Minute
	if harness.Full() {
		run, records, within = ".", "5000", 25*time.Minute
	}
	if only := os.Getenv("SLUICE_RUN"); only != "" {
		run = only
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	args := []string{"test", "-count=1", "-v", "-timeout", within.String(), "-run", run}
	if names := skipped(t, kafka.Version); len(names) > 0 {
		args = append(args, "-skip", strings.Join(names, "|"))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/twmb/franz-go/pkg/kgo")...)
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+w.Trusted.Addr(), "KGO_TEST_RF=1", "KGO_TEST_RECORDS="+records, "KGO_TEST_UNSAFE=1", "KGO_LOG_LEVEL=none",
		"KGO_TEST_SCRAM_SEEDS="+w.Clients.Addr(), "KGO_TEST_SCRAM="+login.User+":"+login.Password+":256")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if file := os.Getenv("SLUICE_SUITE_LOG"); file != "" {
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Error(err)
		}
	}
	count := map[string]int{}
	scan := bufio.NewScanner(bytes.NewReader(out))
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		line := scan.Text()
		for _, result := range []string{"PASS", "FAIL", "SKIP"} {
			if name, ok := strings.CutPrefix(line, "--- "+result+": "); ok {
				count[result]++
				switch result {
				case "FAIL":
					t.Log("FAIL ", name)
				case "SKIP":
					t.Errorf("%s skips itself and is not in skip.txt", name)
				}
			}
		}
	}
	t.Logf("franz-go's suite: %d passed, %d failed, %d skipped; %d answers looked at", count["PASS"], count["FAIL"], count["SKIP"], w.Trusted.Answers()+w.Clients.Answers())
	if err != nil || count["FAIL"] > 0 {
		t.Errorf("franz-go's suite: %v\n%s", err, tail(out, 200))
	}
	if count["PASS"] == 0 {
		t.Error("no test ran")
	}
}

func tail(out []byte, n int) []byte {
	lines := bytes.Split(out, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
