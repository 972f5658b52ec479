package resource

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected problems anew")

// TestProblems reads testdata/bad/NAME.yaml and compares every problem with
// testdata/bad/NAME.want.
func TestProblems(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, problems := Read(file)
			var b strings.Builder
			for _, p := range problems {
				fmt.Fprintln(&b, p)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(b.String(), "hunter2") {
				t.Error("a secret shows")
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	set, problems := Read("testdata/tree")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []string{"testdata/tree/a.yaml", "testdata/tree/secret.txt", "testdata/tree/sub/b.yml", "testdata/tree/sub/contract.yaml"}
	if !slices.Equal(set.Files, want) {
		t.Errorf("got files %v", set.Files)
	}
	if len(set.APIs) != 1 || len(set.Versions) != 2 || len(set.Credentials) != 1 {
		t.Fatalf("got %d APIs, %d versions, %d credentials", len(set.APIs), len(set.Versions), len(set.Credentials))
	}
	if got := set.Credentials[0].Spec.Secret.File; got != "testdata/tree/secret.txt" {
		t.Errorf("got secret file %s", got)
	}
	for i, want := range []string{"orders.placed", "placed.v2"} {
		v := set.Versions[i]
		if got := ExposedTopic(v, "placed"); got != want {
			t.Errorf("%s: exposed topic %s, want %s", v.Name(), got, want)
		}
		if ch := v.Spec.Contract.Channels["placed"]; !ch.Send || !ch.Receive {
			t.Errorf("%s: got %+v", v.Name(), ch)
		}
	}
	if p := ChannelProblem(set.Versions[0], "placed", "address", "m", "f"); p.String() != "testdata/tree/sub/contract.yaml:2:12: Version orders.v1: channels.placed.address: m: f" {
		t.Errorf("got %v", p)
	}
	same, problems := Read("testdata/tree", "testdata/tree/a.yaml") // named twice, read once
	if len(problems) > 0 || len(same.APIs) != 1 {
		t.Errorf("got %v", problems)
	}
}

func TestPathsThatAreNot(t *testing.T) {
	dir := t.TempDir()
	_, problems := Read(filepath.Join(dir, "none"), dir)
	if len(problems) != 2 || !Bad(problems) {
		t.Errorf("got %v", problems)
	}
}

func TestStamp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	stamps := map[string]bool{}
	note := func(step string) {
		t.Helper()
		s := Stamp(dir)
		if stamps[s] {
			t.Errorf("%s: the stamp is one of before", step)
		}
		if stamps[s] = true; Stamp(dir) != s {
			t.Errorf("%s: the stamp changes by itself", step)
		}
	}
	write := func(name, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	note("empty")
	write(file, "a", at)
	note("a file appears")
	write(file, "b", at.Add(time.Second))
	note("it is written")
	write(filepath.Join(dir, "c.yml"), "b", at)
	note("another one appears")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	note("the first one goes")
}

func TestAReadHasTheStampOfItsFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/tree")); err != nil {
		t.Fatal(err)
	}
	set, problems := Read(dir)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	of := slices.Concat([]string{dir}, set.Files)
	if set.Stamp != Stamp(of...) {
		t.Error("nothing has changed, but the stamp")
	}
	for _, name := range []string{"sub/contract.yaml", "secret.txt"} { // read for a document, and not read at all
		before := Stamp(of...)
		if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if Stamp(of...) == before || Stamp(of...) == set.Stamp {
			t.Errorf("%s is written: the stamp stays", name)
		}
	}
}

func TestDigest(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/tree")); err != nil {
		t.Fatal(err)
	}
	set, problems := Read(dir)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	same := func() bool { return Digest([]string{dir}, set.Read) == set.Digest }
	if set.Digest == "" || !same() {
		t.Fatalf("nothing has changed, but the digest %q", set.Digest)
	}
	if slices.Contains(set.Read, filepath.Join(dir, "secret.txt")) {
		t.Error("a secret is in the digest, which anybody could try guesses against")
	}
	for _, name := range []string{"a.yaml", "sub/contract.yaml"} {
		name := filepath.Join(dir, name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func() error{
			"written, of the same size and time": func() error {
				info, err := os.Stat(name)
				if err != nil {
					return err
				}
				return errors.Join(os.WriteFile(name, bytes.Replace(text, []byte("a"), []byte("b"), 1), 0o600), os.Chtimes(name, time.Time{}, info.ModTime()))
			},
			"gone": func() error { return os.Remove(name) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if same() {
				t.Errorf("%s is %s: the digest stays", name, what)
			}
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !same() {
			t.Errorf("%s is as it was, but the digest is not", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "more.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if same() {
		t.Error("a file appears: the digest stays")
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		text, want string
	}{
		{"512", "512"}, {"100KiB", "100KiB"}, {"5MiB", "5MiB"}, {"1 GiB", "1GiB"}, {"1kB", "1000"}, {"2MB", "2000000"}, {"0", "0"}, {"7B", "7"}, {"1024", "1KiB"},
		{"", "error"}, {"-1", "error"}, {"1.5MiB", "error"}, {"MiB", "error"}, {"9999999999TiB", "error"}, {"1 2", "error"}, {"5mib", "error"},
	} {
		var s Size
		got := "error"
		if err := s.UnmarshalText([]byte(tc.text)); err == nil {
			got = s.String()
		}
		if got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.text, got, tc.want)
		}
	}
}

func TestVersionName(t *testing.T) {
	for _, tc := range []struct {
		name, want string
	}{
		{"orders.v1", "orders 1 true"}, {"a.b.v12", "a.b 12 true"}, {"orders", " 0 false"}, {"orders.v0", " 0 false"}, {"orders.v01", " 0 false"}, {".v1", " 0 false"}, {"orders.v1.v2", "orders.v1 2 true"},
	} {
		api, major, ok := VersionName(tc.name)
		if got := fmt.Sprint(api, " ", major, " ", ok); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

// FuzzReadBytes: whatever a file holds, reading it ends, soon, and every problem
// says where and what.
func FuzzReadBytes(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/tree/*.yaml", "testdata/tree/sub/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(strings.Repeat("[", 200)))
	f.Add([]byte(strings.Repeat("- ", 200)))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		_, problems := ReadBytes(filepath.Join(t.TempDir(), "set.yaml"), data)
		for _, p := range problems {
			if p.Message == "" || p.File != "" && strings.HasSuffix(p.File, "set.yaml") && (p.Line < 1 || p.Column < 1) && len(data) < 1<<20 {
				t.Errorf("got problem %+v", p)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v for %d bytes", took, len(data))
		}
	})
}
