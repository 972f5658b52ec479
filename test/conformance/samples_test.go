package conformance

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/control/codesample"
	"sluice/internal/kafkatest"
	"sluice/test/harness"
	"sluice/test/programs"
)

//go:embed syntax/requirements.txt
var syntaxRequirements string

//go:embed syntax/check.py
var syntaxCheck string

var syntaxDir = sync.OnceValues(func() (string, error) {
	return harness.Installed("syntax", map[string]string{"requirements.txt": syntaxRequirements, "check.py": syntaxCheck}, func(dir string) error {
		if err := harness.Command(dir, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("%w (Debian: python3-venv)", err)
		}
		return harness.Command(dir, filepath.Join(dir, "venv", "bin", "pip"), "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt")
	})
})

// sampledSamples run in a test that is not full; the others take a compiler or a JVM each.
var sampledSamples = []string{"sluice", "kcat", "python"}

// TestCodeSamples runs what the portal shows people, unchanged but for the secret, with the toolchains that are here,
// and has the grammar of their language read the others.
func TestCodeSamples(t *testing.T) {
	w := harness.Start(t, apache, harness.Spec{
		Topics: []harness.Topic{{Exposed: "orders.v2", Partitions: 2, Subscriptions: map[string]string{"acme": ""}}, {Exposed: "returns.v2", Subscriptions: map[string]string{"acme": ""}}},
		Apps:   []harness.App{{Name: "acme"}},
	})
	if err := w.Feed("orders.v2", "placed", 0, 20); err != nil {
		t.Fatal(err)
	}
	tools := toolchains(t)
	grammars := map[string]string{"kotlin": "kotlin", "csharp": "c_sharp", "rust": "rust", "php": "php"}
	for name, way := range map[string]struct {
		values codesample.Values
		secret string
		only   []string // empty: all
	}{
		"SCRAM":           {codesample.Values{Bootstrap: w.Clients.Addr(), Mechanism: "SCRAM-SHA-512", Username: "acme-scram"}, harness.Secret("acme-scram"), nil},
		"PLAIN, with TLS": {codesample.Values{Bootstrap: w.TLS, TLS: true, CA: true, Mechanism: "PLAIN", Username: "acme-plain"}, harness.Secret("acme-plain"), []string{"sluice", "kcat", "python", "go", "node", "console"}},
		"a certificate":   {codesample.Values{Bootstrap: w.TLS, TLS: true, CA: true}, "", []string{"kcat", "python", "go", "node", "console"}},
	} {
		v := way.values
		v.Read, v.Write = true, true
		for id := range tools.run {
			if !harness.Full() && !slices.Contains(sampledSamples, id) || way.only != nil && !slices.Contains(way.only, id) {
				continue
			}
			t.Run(name+" "+id+" consumes", func(t *testing.T) {
				t.Parallel()
				v := v
				v.Topic, v.Group, v.Record = "orders.v2", "sample-"+harness.Random(), `{"note": "it's 5 $ \"net\""}`
				s := sampleOf(t, v, id)
				tools.until(t, w, id, s.Consume, way.secret, func(out string) bool { return strings.Count(out, "placed-") >= 20 })
			})
			t.Run(name+" "+id+" produces", func(t *testing.T) {
				t.Parallel()
				v := v
				v.Topic, v.Group = "returns.v2", "unused"
				v.Record = fmt.Sprintf(`{"note": "it's 5 $ \"net\"", "by": %q}`, harness.Random())
				s := sampleOf(t, v, id)
				arrived := make(chan struct{})
				go func() {
					defer close(arrived)
					awaitRecord(t, w, "returns.v2", v.Record)
				}()
				tools.until(t, w, id, s.Produce, way.secret, func(string) bool {
					select {
					case <-arrived:
						return true
					default:
						return false
					}
				})
			})
		}
		for id, grammar := range grammars {
			t.Run(name+" "+id+" is read", func(t *testing.T) {
				v := v
				v.Topic, v.Group, v.Record = "orders.v2", "it's $5", `{"note": "it's 5 $ \"net\""}`
				s := sampleOf(t, v, id)
				dir, err := syntaxDir()
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range []*codesample.Program{s.Consume, s.Produce} {
					file := filepath.Join(t.TempDir(), filepath.Base(p.File))
					if err := os.WriteFile(file, []byte(codesample.Fill(p.Text, way.secret)), 0o600); err != nil {
						t.Fatal(err)
					}
					if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "venv", "bin", "python"), filepath.Join(dir, "check.py"), grammar, file).CombinedOutput(); err != nil {
						t.Errorf("%v: %s%s", err, out, codesample.Fill(p.Text, way.secret))
					}
				}
			})
		}
	}
}

func sampleOf(t *testing.T, v codesample.Values, id string) codesample.Sample {
	all, err := codesample.All(v)
	if err != nil {
		t.Fatal(err)
	}
	return all[slices.IndexFunc(all, func(s codesample.Sample) bool { return s.ID == id })]
}

// awaitRecord returns once a topic has a record with a value, or the test has ended.
func awaitRecord(t *testing.T, w *harness.World, topic, value string) {
	cl := w.Client("acme", kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for t.Context().Err() == nil {
		for _, r := range cl.PollFetches(t.Context()).Records() {
			if string(r.Value) == value {
				return
			}
		}
	}
}

// ours are the lines of go.mod that say where our own module is.
var ours = regexp.MustCompile(`(?m)^.*\bsluice (v0|=>).*$`)

// workbench has what samples need on the PATH and beside them.
type workbench struct {
	env []string
	// run prepares the folder of a sample, for each that can be run.
	run map[string]func(dir string) error
}

// toolchains makes a workbench: programs that samples install for themselves are there already, so their installers do
// nothing, and Kafka's scripts are those of its jars.
func toolchains(t *testing.T) *workbench {
	bin := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	libs, err := kafkatest.Jars(t.Context(), apache.Version)
	if err != nil {
		t.Fatal(err)
	}
	none := func(string) error { return nil }
	b := &workbench{run: map[string]func(string) error{"sluice": none, "kcat": none, "python": none}}
	if err := os.Symlink(harness.Build(t), filepath.Join(bin, "sluice")); err != nil {
		t.Fatal(err)
	}
	venv, err := pythonDir()
	if err != nil {
		t.Fatal(err)
	}
	script("python3", fmt.Sprintf(`exec %s/venv/bin/python "$@"`, venv))
	script("pip", "")
	home := filepath.Join(bin, "kafka")
	b.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KAFKA_HOME="+home, "GOFLAGS=-mod=mod")
	if !harness.Full() {
		return b
	}
	jars, err := programs.Collect(t.Context(), apache.Version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(libs, filepath.Join(home, "libs")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"console-consumer", "console-producer"} {
		script("kafka-"+name+".sh", fmt.Sprintf(`exec '%s' "$@"`, strings.Join(apache.Tool(t.Context(), name).Args, "' '")))
	}
	script("connect-standalone.sh", fmt.Sprintf(`exec java -XX:TieredStopAtLevel=1 -Xmx256m -cp '%s' org.apache.kafka.connect.cli.ConnectStandalone "$@"`, jars.Classpath))
	script("npm", "")
	modules, err := nodeDir()
	if err != nil {
		t.Fatal(err)
	}
	b.run["java"], b.run["console"] = none, none
	b.run["connect"] = func(dir string) error { return os.Symlink(jars.Plugins, filepath.Join(dir, "libs")) }
	b.run["node"] = func(dir string) error {
		return os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	b.run["go"] = func(dir string) error { // the versions that are here, and no network
		for _, name := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				return err
			}
			text = ours.ReplaceAll(bytes.Replace(text, []byte("module sluice/test"), []byte("module example"), 1), nil)
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	goProgram, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	script("go", fmt.Sprintf(`[ "$1" = mod ] || exec %s "$@"`, goProgram))
	return b
}

// until runs a program of a sample in a folder of its own, until what it printed will do, and ends it.
func (b *workbench) until(t *testing.T, w *harness.World, id string, p *codesample.Program, secret string, enough func(out string) bool) {
	t.Helper()
	dir := t.TempDir()
	if err := b.run[id](dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	commands := codesample.Fill(p.Text, secret)
	if p.File != "" {
		files[p.File], commands = commands, codesample.Fill(p.Run, secret)
	}
	for name, from := range map[string]string{"ca.pem": w.Certs.CA, "client.pem": w.Certs.Cert("acme"), "client.key": w.Certs.Key("acme")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	if id == "console" || id == "java" || id == "connect" { // of a key store in PEM, Java wants both in one
		files["client.pem"] += files["client.key"]
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", commands)
	cmd.Dir, cmd.Env = dir, b.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs tailBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	over := false
	for {
		seen := out.String()
		if id == "connect" { // it writes where it was told
			if text, err := os.ReadFile(filepath.Join(dir, "records.txt")); err == nil {
				seen = string(text)
			}
		}
		if enough(seen) {
			cancel()
			if !over {
				<-ended
			}
			return
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s\n%s\nof\n%s", err, out.String(), errs.String(), commands)
			}
			over, ended = true, nil // it did its work; others look at what came of it
		case <-ctx.Done():
			t.Fatalf("nothing came of it\n%s\n%s\nof\n%s", out.String(), errs.String(), commands)
		case <-tick.C:
		}
	}
}
