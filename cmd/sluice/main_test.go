package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/cli"
)

// asMain makes the test binary the program: tests start it as a process, and it
// starts itself as the embedded broker.
const asMain = "sluice-as-main"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asMain {
		os.Args = append(os.Args[:1], os.Args[2:]...)
	} else if len(os.Args) < 2 || os.Args[1] != programs().BrokerCommand {
		os.Exit(m.Run())
	}
	main()
}

// info is what sluice demo --json prints.
type info struct {
	Bootstrap string `json:"bootstrap"`
	TLS       *bool  `json:"tls"`
	Mechanism string `json:"mechanism"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	Topic     string `json:"topic"`
	Group     string `json:"group"`
}

// demoProcess is sluice demo in a process of its own.
type demoProcess struct {
	cmd    *exec.Cmd
	info   info
	rest   chan string // what else was printed, once it has ended
	stderr bytes.Buffer
}

func startDemo(t *testing.T, dir string) *demoProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &demoProcess{rest: make(chan string, 1)}
	d.cmd = exec.Command(self, asMain, "demo", "--json", "--data-dir", dir, "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0")
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Signal(syscall.SIGTERM); d.cmd.Wait() }) // no kill: the broker writes into dir until it has ended
	timeout := time.AfterFunc(time.Minute, func() { d.cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	timeout.Stop()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, d.stderr.String())
	}
	t.Logf("ready after %v", time.Since(began))
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d.info); err != nil || d.info.TLS == nil || *d.info.TLS {
		t.Fatalf("demo printed %q: %v", line, err)
	}
	go func() {
		rest, _ := io.ReadAll(lines)
		d.rest <- string(rest)
	}()
	return d
}

// stop ends the demo by a signal and expects it to end well.
func (d *demoProcess) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	rest := <-d.rest
	if err := d.cmd.Wait(); err != nil || rest != "" || d.stderr.Len() > 0 {
		t.Errorf("after %v: got %v, more output %q, errors %q, want none", signal, err, rest, d.stderr.String())
	}
}

func TestDemoStartsAgainWithItsData(t *testing.T) {
	dir := t.TempDir()
	first := startDemo(t, dir)
	got := story(t, "testdata/feedback.txt", first.info, dir)
	if got != "" {
		t.Error(got)
	}
	first.stop(t, syscall.SIGTERM)
	second := startDemo(t, dir)
	if first.info.Password != second.info.Password || first.info.Username != second.info.Username {
		t.Errorf("credentials: got %+v, want %+v", second.info, first.info)
	}
	if got := story(t, "testdata/feedback-again.txt", second.info, dir); got != "" {
		t.Error(got)
	}
	second.stop(t, os.Interrupt)
}

func TestDemoThatIsKilledLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	d := startDemo(t, dir)
	d.cmd.Process.Kill()
	d.cmd.Wait()
	// The broker holds its data directory until it has ended.
	deadline := time.Now().Add(30 * time.Second)
	for {
		f, err := os.OpenFile(filepath.Join(dir, "broker", "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		f.Close()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the embedded broker lives on")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestStories runs the command lines of testdata/demo against one demo.
func TestStories(t *testing.T) {
	dir := t.TempDir()
	d := startDemo(t, dir)
	files, err := filepath.Glob("testdata/demo/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			if got := story(t, file, d.info, dir); got != "" {
				t.Error(got)
			}
		})
	}
}

// story runs a file of command lines and compares what they print. It reads
//
//	$ sluice COMMAND…     $BOOTSTRAP, $DIR, $USER and $PASSWORD are filled in
//	< a line of the input, with \t for a tab
//	> a line of the output, … stands for anything
//	! a line of the error stream
//	= 1                   the exit code, when it is not 0
//
// Other lines are comments. It returns the first difference, or "".
func story(t *testing.T, file string, d info, dir string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$BOOTSTRAP", d.Bootstrap, "$DIR", dir, "$USER", d.Username, "$PASSWORD", d.Password)
	type step struct {
		args, in, out, problems []string
		code                    string
	}
	var steps []*step
	for _, line := range strings.Split(string(text), "\n") {
		if len(line) < 2 {
			continue
		}
		rest := fill.Replace(line[2:])
		switch line[:2] {
		case "$ ":
			steps = append(steps, &step{args: strings.Fields(rest)[1:], code: "0"})
		case "< ":
			steps[len(steps)-1].in = append(steps[len(steps)-1].in, strings.ReplaceAll(rest, `\t`, "\t"))
		case "> ":
			steps[len(steps)-1].out = append(steps[len(steps)-1].out, rest)
		case "! ":
			steps[len(steps)-1].problems = append(steps[len(steps)-1].problems, rest)
		case "= ":
			steps[len(steps)-1].code = rest
		}
	}
	for _, s := range steps {
		out, problems := &buffer{}, &buffer{}
		in := strings.Join(s.in, "\n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		code := cli.Main(ctx, s.args, cli.Streams{In: strings.NewReader(in), Out: out, Err: problems}, programs())
		cancel()
		command := "$ sluice " + strings.Join(s.args, " ") + "\n"
		if got := string(rune('0' + code)); got != s.code {
			return command + "exit code " + got + ", want " + s.code + "\n" + out.String() + problems.String()
		}
		told := remark.ReplaceAllString(problems.String(), "")
		for got, want := range map[string][]string{out.String(): s.out, told: s.problems} {
			pattern := regexp.QuoteMeta(strings.Join(want, "\n"))
			pattern = "^" + strings.ReplaceAll(pattern, "…", `[^\n]*`) + "$"
			if !regexp.MustCompile(pattern).MatchString(strings.TrimSuffix(got, "\n")) {
				return command + "got\n" + got + "want\n" + strings.Join(want, "\n")
			}
		}
	}
	return ""
}

// remark comes after seconds without a record, which a busy machine may take to give the first one.
var remark = regexp.MustCompile(`(?m)^waiting for records of .*\n`)

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// What is edited while the demo runs is remembered while it runs, and not when
// it begins anew with its own resources.
func TestDemoForgetsWhatWasTriedOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := startDemo(t, dir)
	file := filepath.Join(dir, "resources", "demo.yaml")
	original, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// tail ends by itself, or once it has said something.
	tail := func(something string, more ...string) (code int, problems string) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, errs := &buffer{}, &buffer{}
		go func() {
			for ctx.Err() == nil && !strings.Contains(errs.String(), something) {
				time.Sleep(20 * time.Millisecond)
			}
			cancel()
		}()
		args := append([]string{"tail", "orders.placed", "--properties", filepath.Join(dir, "city-map.properties")}, more...)
		code = cli.Main(ctx, args, cli.Streams{In: strings.NewReader(""), Out: out, Err: errs}, programs())
		return code, errs.String()
	}
	put := func(text, started string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		snapshot := filepath.Join(dir, "gateway", "snapshot.json")
		deadline := time.Now().Add(30 * time.Second)
		for {
			if kept, err := os.ReadFile(snapshot); err == nil && strings.Contains(string(kept), started) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no snapshot with %s", started)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	put(strings.Replace(string(original), "plan: open", "plan: partner", 1), `"n":2`)
	put(string(original), `"n":3`)
	const nothing = `waiting for records of "orders.placed"`
	if code, problems := tail(nothing, "--from", "beginning"); code != 0 || !strings.Contains(problems, nothing) {
		t.Errorf("an ended topic: got %d %q, want a remark that nothing comes", code, problems)
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
	startDemo(t, dir)
	if code, problems := tail(nothing); code != 1 || !strings.Contains(problems, "refused: ") {
		t.Errorf("after a new start: got %d %q, want a refusal", code, problems)
	}
}

// Whoever reads is told that the credential counts no more, and does not wait for ever.
func TestTailEndsWithItsCredential(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDemo(t, dir)
	type end struct {
		name, problems string
		code           int
	}
	ends, reads := make(chan end), make(chan string)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tails := map[string][]string{"alone": nil, "of a group": {"--group", "map"}}
	for name, more := range tails {
		out, problems := &firstLine{told: func() { reads <- name }}, &buffer{}
		args := append([]string{"tail", "vehicles.position", "--properties", filepath.Join(dir, "city-map.properties")}, more...)
		go func() {
			code := cli.Main(ctx, args, cli.Streams{In: strings.NewReader(""), Out: out, Err: problems}, programs())
			ends <- end{name, problems.String(), code}
		}()
	}
	for range tails {
		select {
		case <-reads:
		case e := <-ends:
			t.Fatalf("%s: it ended with %d: %s", e.name, e.code, e.problems)
		}
	}
	file := filepath.Join(dir, "resources", "demo.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	revoked := strings.Replace(string(text), "{application: city-map, type: scram,", "{application: city-map, type: scram, state: revoked,", 1)
	if err := os.WriteFile(file, []byte(revoked), 0o600); err != nil {
		t.Fatal(err)
	}
	for range tails {
		if e := <-ends; e.code != 1 || !strings.Contains(e.problems, "the credential was revoked") {
			t.Errorf("%s: got %d %q, want 1 and that the credential was revoked", e.name, e.code, e.problems)
		}
	}
}

// firstLine calls told with the first thing that is written.
type firstLine struct {
	once sync.Once
	told func()
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.once.Do(f.told)
	return len(p), nil
}
