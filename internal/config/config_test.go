package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if problems := c.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
	if got := fmt.Sprint(c.Listeners[0].Address, c.Listeners[0].BrokerPorts, c.Listeners[0].Mechanisms); got != "127.0.0.1:1909219093-19192 [PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER]" {
		t.Errorf("got %s", got)
	}
}

// TestCases reads testdata/NAME.yaml and compares what is reported, and the
// listeners that come out, with testdata/NAME.want.
func TestCases(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			c, problems := Load(file)
			var b strings.Builder
			for _, p := range problems {
				fmt.Fprintln(&b, p)
			}
			if !Bad(problems) {
				for _, l := range c.Listeners {
					fmt.Fprintf(&b, "listener %s: %s ports %v %v\n", l.Name, l.Address, l.BrokerPorts, l.Mechanisms)
				}
				fmt.Fprintf(&b, "environment %s, data in %s, limits %+v\n", c.Environment, c.DataDir, c.Limits)
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
		})
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("SLUICE_TEST_SECRET", "from the environment")
	for _, tc := range []struct {
		name      string
		ref       SecretRef
		want, err string
	}{
		{"environment", SecretRef{Env: "SLUICE_TEST_SECRET"}, "from the environment", ""},
		{"environment not set", SecretRef{Env: "SLUICE_TEST_NOT_SET"}, "", "environment variable SLUICE_TEST_NOT_SET is not set"},
		{"file with a line end", SecretRef{File: write("a", "from a file\r\n")}, "from a file", ""},
		{"empty file", SecretRef{File: write("b", "\n")}, "", "is empty"},
		{"large file", SecretRef{File: write("c", strings.Repeat("x", maxSecretBytes+1))}, "", "has more than"},
		{"no file", SecretRef{File: filepath.Join(dir, "none")}, "", "no such file"},
		{"directory", SecretRef{File: dir}, "", "is not a file"},
		{"nothing", SecretRef{}, "", "no reference"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ReadSecret(tc.ref)
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
