package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/cli"
)

// controlProcess is sluice serve without resources: control plane and gateway.
type controlProcess struct {
	cmd           *exec.Cmd
	server, first string // its address, and at the first start the token for the first platform-admin
}

var (
	apiAddress = regexp.MustCompile(`msg="the management API is there" address=(\S+)`)
	firstToken = regexp.MustCompile(`--first-admin (\S+?)"`)
)

func startControl(t *testing.T, dir string, firstStart bool) *controlProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &controlProcess{cmd: exec.Command(self, asMain, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--management", "127.0.0.1:0")}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	timeout := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	defer timeout.Stop()
	var text strings.Builder
	lines := bufio.NewScanner(log)
	for p.server == "" || firstStart && p.first == "" {
		if !lines.Scan() {
			t.Fatalf("it has ended:\n%s", text.String())
		}
		text.WriteString(lines.Text() + "\n")
		if m := apiAddress.FindStringSubmatch(lines.Text()); m != nil {
			p.server = m[1]
		}
		if m := firstToken.FindStringSubmatch(lines.Text()); m != nil {
			p.first = m[1]
		}
	}
	go func() {
		for lines.Scan() {
		}
	}()
	return p
}

func (p *controlProcess) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
}

// run runs a command and returns what it printed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, problems := &buffer{}, &buffer{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if code := cli.Main(ctx, args, cli.Streams{In: strings.NewReader(""), Out: out, Err: problems}, programs()); code != 0 {
		t.Fatalf("sluice %s: %d\n%s%s", strings.Join(args, " "), code, out, problems)
	}
	return strings.TrimSpace(out.String())
}

// TestControlStories runs the command lines of testdata/control against one process,
// from its first start on.
func TestControlStories(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	p := startControl(t, data, true)
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("correct horse, battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill := func(file string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		filled := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(filled, []byte(strings.NewReplacer("$SERVER", p.server, "$FIRST", p.first).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := story(t, filled, info{}, dir); got != "" {
			t.Fatal(got)
		}
	}
	fill("testdata/control/01-begin.txt")
	for _, login := range []string{"ben", "cleo", "dan"} {
		token := run(t, "invite", login, "--login-file", filepath.Join(dir, "root.json"))
		run(t, "password", "--server", p.server, "--token", token, "--password-file", password)
		run(t, "login", "--server", p.server, "--login", login, "--password-file", password, "--login-file", filepath.Join(dir, login+".json"))
	}
	fill("testdata/control/02-publish-and-subscribe.txt")
	fill("testdata/control/03-audit.txt")
	fill("testdata/control/03-credentials.txt")
	fill("testdata/control/20-promotion.txt")
	fill("testdata/control/21-approval.txt")
	fill("testdata/control/04-backup.txt")
	p.stop()
	run(t, "restore", filepath.Join(dir, "all.backup"), "--data-dir", data)
	p = startControl(t, data, false)
	fill("testdata/control/05-restored.txt")
	if err := os.WriteFile(filepath.Join(dir, "password2"), []byte("another horse, another staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill("testdata/control/06-people.txt")
	root, ben := filepath.Join(dir, "root.json"), filepath.Join(dir, "ben.json")
	token := run(t, "people", "reset-password", "ben", "--login-file", root)
	run(t, "password", "--server", p.server, "--token", token, "--password-file", filepath.Join(dir, "password2"))
	run(t, "login", "--server", p.server, "--login", "ben", "--password-file", filepath.Join(dir, "password2"), "--login-file", ben)
}
