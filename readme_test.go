// What the pages say, as tests: files and commands of README.md are run, what ARCHITECTURE.md names must exist, links must lead somewhere.
package sluice_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced block of a page. Its info string is a language and a word that says what a test does with it:
// a file's name for yaml; for sh "files" (run beside those files) or "demo" (run while the demo does).
type block struct {
	lang, word, text string
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")

func blocks(t *testing.T, page string) []block {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, m := range fence.FindAllStringSubmatch(string(b), -1) {
		out = append(out, block{m[1], m[2], m[3]})
	}
	return out
}

// build makes the binary in a folder.
func build(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("go", "build", "-o", dir+"/", "./cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// shell runs a script in a folder, with its bin in the path, and returns what it printed.
func shell(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s\n%v:\n%s", script, err, out)
	}
	return string(out)
}

func TestReadmeFiles(t *testing.T) {
	dir, ran := t.TempDir(), false
	build(t, filepath.Join(dir, "bin"))
	for _, b := range blocks(t, "README.md") {
		switch {
		case b.lang == "yaml" && b.word != "":
			name := filepath.Join(dir, b.word)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		case b.lang == "sh" && b.word == "files":
			out := shell(t, dir, b.text)
			if ran = true; !strings.HasSuffix(out, "good\n") {
				t.Errorf("got %q, want no problem and no warning", out)
			}
		}
	}
	if !ran {
		t.Error("README.md has no block of files and commands")
	}
}

// TestResourcesPage checks the examples of docs/resources.md together.
func TestResourcesPage(t *testing.T) {
	dir := t.TempDir()
	build(t, filepath.Join(dir, "bin"))
	var docs []string
	for _, b := range blocks(t, "docs/resources.md") {
		if b.lang == "yaml" {
			docs = append(docs, b.text)
		}
	}
	for name, text := range map[string]string{"sluice.yaml": "resources: [all.yaml]\nlisteners: [{name: kafka, address: 127.0.0.1:19092}]\n", "all.yaml": strings.Join(docs, "---\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := shell(t, dir, "sluice config check", "KAFKA_PASSWORD=kafka-secret-of-the-gateway", "KAFKA_MASTER_KEY=thirty-two-random-bytes-or-more-of-it", "ACME_SECRET=acme-secret-of-sixteen"); !strings.HasSuffix(out, "good\n") {
		t.Errorf("got %q, want no problem and no warning", out)
	}
}

// TestExamples checks examples/ as its readers would, without its secrets.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	build(t, filepath.Join(dir, "bin"))
	examples, err := filepath.Abs("examples")
	if err != nil {
		t.Fatal(err)
	}
	out := shell(t, dir, "sluice config check --without-secrets --config '"+examples+"/sluice.yaml'")
	if !strings.Contains(out, "\ngood") && !strings.HasPrefix(out, "good") {
		t.Errorf("got %q, want good", out)
	}
}

// startDemo runs the demo with home as its user's home directory, and returns the line it prints when it is ready.
func startDemo(t *testing.T, home string) map[string]any {
	t.Helper()
	cmd := exec.Command(filepath.Join(home, "bin", "sluice"), "demo", "--json", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME=")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		for line := range lines {
			t.Errorf("the demo printed a second line: %s", line)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the demo's log:\n%s", log.String())
		}
	})
	select {
	case line := <-lines:
		var ready map[string]any
		if err := json.Unmarshal([]byte(line), &ready); err != nil {
			t.Fatalf("the demo printed %q: %v", line, err)
		}
		return ready
	case <-time.After(time.Minute):
		t.Fatal("the demo is not ready after a minute")
		return nil
	}
}

// TestReadmeDemo runs the commands that README.md shows beside the demo. The files they use name the demo's free ports.
func TestReadmeDemo(t *testing.T) {
	home := t.TempDir()
	build(t, filepath.Join(home, "bin"))
	ready := startDemo(t, home)
	for _, field := range []string{"bootstrap", "tls", "mechanism", "username", "password", "topic", "group"} {
		if ready[field] == nil {
			t.Errorf("the demo's line has no %s: %v", field, ready)
		}
	}
	ran := 0
	for _, b := range blocks(t, "README.md") {
		if b.lang != "sh" || b.word != "demo" {
			continue
		}
		for line := range strings.Lines(b.text) {
			ran++
			program := strings.Fields(line)[0]
			t.Run(fmt.Sprint(ran, " ", program), func(t *testing.T) {
				// "make test" installs kcat before it comes here; "make check" does without.
				if _, err := exec.LookPath(program); program == "kcat" && err != nil {
					t.Skip("kcat is not installed: make deps installs it")
				}
				if out := shell(t, home, line, "HOME="+home); out == "" {
					t.Errorf("%s prints nothing", line)
				}
			})
		}
	}
	if ran == 0 {
		t.Error("README.md shows no command beside the demo")
	}
}

var pages = []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/decisions/*.md"}

func eachPage(t *testing.T, f func(t *testing.T, name, text string)) {
	for _, pattern := range pages {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no page %s (%v)", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, name, string(b))
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	eachPage(t, func(t *testing.T, name, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	})
}

var makeCommand = regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)")

func TestMakeTargetsExist(t *testing.T) {
	b, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	eachPage(t, func(t *testing.T, name, text string) {
		for line := range strings.Lines(text) {
			for _, m := range makeCommand.FindAllStringSubmatch(line, -1) {
				exists := regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(b)
				if exists == strings.Contains(line, "do not exist") {
					t.Errorf("%s says make %s: target exists is %v\n%s", name, m[1], exists, line)
				}
			}
		}
	})
}

var (
	tableRow  = regexp.MustCompile(`(?m)^\| [^|]* \|(?: [^|]* \|)*? ([^|]*) \|$`)
	goFile    = regexp.MustCompile("`([a-z0-9_/]+\\.go)`(?:: ((?:`\\w+`(?:, )?)+))?")
	firstCell = regexp.MustCompile("^\\| `([a-z/]+)`")
	quoted    = regexp.MustCompile("`(\\w+)`")
)

// TestArchitectureNamesWhatExists reads the last column of the tables: files, and functions in them.
func TestArchitectureNamesWhatExists(t *testing.T) {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, row := range tableRow.FindAllStringSubmatch(string(b), -1) {
		folder := ""
		if m := firstCell.FindStringSubmatch(row[0]); m != nil {
			folder = m[1]
		}
		for _, m := range goFile.FindAllStringSubmatch(row[1], -1) {
			name := m[1]
			if strings.Contains(name, "/") {
				folder = filepath.Dir(name)
			}
			name = filepath.Join("internal", folder, filepath.Base(name))
			source, err := os.ReadFile(name)
			if err != nil {
				t.Errorf("%v, named in %s", err, row[0])
				continue
			}
			files++
			for _, f := range quoted.FindAllStringSubmatch(m[2], -1) {
				if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + f[1] + `[\[(]`).Match(source) {
					t.Errorf("%s has no function %s, named in %s", name, f[1], row[0])
				}
			}
		}
	}
	if files < 50 {
		t.Errorf("found %d files named: the page or this test has changed", files)
	}
}
