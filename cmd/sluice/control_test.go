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
	feed          string // of sluice control: where gateways get what is in force
	cmd           *exec.Cmd
	server, first string // its address, and at the first start the token for the first platform-admin
}

var (
	apiAddress  = regexp.MustCompile(`msg="the management API is there" address=(\S+)`)
	feedAddress = regexp.MustCompile(`msg="the control plane serves".* feed=(\S+)`)
	firstToken  = regexp.MustCompile(`--first-admin (\S+?)"`)
)

func startControl(t *testing.T, dir string, firstStart bool) *controlProcess {
	t.Helper()
	return startProcess(t, firstStart, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--management", "127.0.0.1:0")
}

// startProcess starts a command with a management API, and waits for that.
func startProcess(t *testing.T, firstStart bool, args ...string) *controlProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &controlProcess{cmd: exec.Command(self, append([]string{asMain}, args...)...)}
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
		if m := feedAddress.FindStringSubmatch(lines.Text()); m != nil {
			p.feed = m[1]
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

// tell runs a story against the process.
func (p *controlProcess) tell(t *testing.T, file, dir string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	filled := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(filled, []byte(strings.NewReplacer("$SERVER", p.server, "$FIRST", p.first, "$FEED", p.feed, "$API", strings.TrimPrefix(p.server, "http://")).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := story(t, filled, info{}, dir); got != "" {
		t.Fatal(got)
	}
}

// invited makes an account, and logs its person in, with the password and the login file of the directory.
func (p *controlProcess) invited(t *testing.T, login, dir string) {
	t.Helper()
	password := filepath.Join(dir, "password")
	token := run(t, "invite", login, "--login-file", filepath.Join(dir, "root.json"))
	run(t, "password", "--server", p.server, "--token", token, "--password-file", password)
	run(t, "login", "--server", p.server, "--login", login, "--password-file", password, "--login-file", filepath.Join(dir, login+".json"))
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
	fill := func(file string) { t.Helper(); p.tell(t, file, dir) }
	fill("testdata/control/01-begin.txt")
	for _, login := range []string{"ben", "cleo", "dan"} {
		p.invited(t, login, dir)
	}
	fill("testdata/control/02-publish-and-subscribe.txt")
	fill("testdata/control/03-audit.txt")
	fill("testdata/control/03-credentials.txt")
	fill("testdata/control/20-promotion.txt")
	fill("testdata/control/21-approval.txt")
	fill("testdata/control/22-explain.txt")
	fill("testdata/control/23-notifications.txt")
	fill("testdata/control/24-catalog.txt")
	// What is exported is applied again without a change, AsyncAPI documents included.
	exported := filepath.Join(dir, "exported.yaml")
	text := run(t, "export", "--login-file", filepath.Join(dir, "root.json"))
	if !strings.Contains(text, "asyncapi: 3.0.0") {
		t.Errorf("the export has no AsyncAPI document:\n%s", text)
	}
	if err := os.WriteFile(exported, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "diff", "-f", exported, "--login-file", filepath.Join(dir, "root.json")); !strings.HasSuffix(got, "unchanged (nothing was changed)") {
		t.Errorf("what was exported differs from what is there:\n%s", got)
	}
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
	fill("testdata/control/07-two-people.txt")

	// What is exported here is the same elsewhere.
	all := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(all, []byte(run(t, "export", "--login-file", root)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := startControl(t, filepath.Join(dir, "another"), true)
	elsewhere.tell(t, "testdata/control/32-elsewhere.txt", dir)
	here, there := run(t, "export", "--login-file", root), run(t, "export", "--login-file", filepath.Join(dir, "elsewhere.json"))
	if there != here {
		t.Errorf("elsewhere the export is\n%s\nhere\n%s", there, here)
	}
}

// TestPlanesApart runs the stories of a control plane and a gateway that are processes of
// their own.
func TestPlanesApart(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, true, "control", "--data-dir", filepath.Join(dir, "control"), "--feed", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--management", "127.0.0.1:0")
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("correct horse, battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.tell(t, "testdata/control/10-gateways.txt", dir)
	root, data := filepath.Join(dir, "root.json"), filepath.Join(dir, "gateway")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(run(t, "gateway", "invite", "gw-1", "--login-file", root)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.tell(t, "testdata/control/11-join.txt", dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gateway := exec.Command(self, asMain, "gateway", "--data-dir", data, "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0")
	log := &buffer{}
	gateway.Stderr = log
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gateway.Process.Signal(syscall.SIGTERM)
		gateway.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
	for end := time.Now().Add(time.Minute); !regexp.MustCompile(`gw-1 +prod +without a cluster `).MatchString(run(t, "get", "gateways", "--login-file", root)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the gateway does not come:\n%s", run(t, "get", "gateways", "--login-file", root))
		}
	}
	p.tell(t, "testdata/control/12-gateway-is-there.txt", dir)
}
