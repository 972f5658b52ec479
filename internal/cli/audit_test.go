package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/audit"
)

func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := audit.OpenKey(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenKey(filepath.Join(dir, "other.key")); err != nil {
		t.Fatal(err)
	}
	public, other := filepath.Join(dir, "audit.key.pub"), filepath.Join(dir, "other.key.pub")
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	var log, kept strings.Builder
	var last audit.Row
	for n, actor := range []string{"person ada", "person bob", "person ada"} {
		if last, err = audit.Chain(last, audit.Row{Time: at, Actor: actor, Action: "apply", Result: "ok"}); err != nil {
			t.Fatal(err)
		}
		line, err := audit.Event("log1", last)
		if err != nil {
			t.Fatal(err)
		}
		log.Write(append(line, '\n'))
		if n == 1 {
			continue
		}
		head, err := audit.HeadEvent(audit.Sign(key, "log1", last, at))
		if err != nil {
			t.Fatal(err)
		}
		log.Write(append(head, '\n'))
		kept.Write(append(head, '\n'))
	}
	lines := strings.SplitAfter(log.String(), "\n")
	whole, heads := file("whole.jsonl", log.String()), file("heads.jsonl", kept.String())
	altered := file("altered.jsonl", strings.Replace(log.String(), "person bob", "person eve", 1))
	cut := file("cut.jsonl", strings.Join(lines[:2], ""))
	for name, c := range map[string]struct {
		args          []string
		code          int
		out, problems string
	}{
		"whole":                  {[]string{whole, "--key", public}, 0, whole + " is whole: rows 1 to 3 of log log1, covered by 2 heads, the last signed at 2026-05-06T07:08:09Z\n", ""},
		"whole, with kept heads": {[]string{whole, "--key", public, "--heads", heads}, 0, "covered by 4 heads", ""},
		"altered":                {[]string{altered, "--key", public}, 3, altered + ", line 3: row 2 was altered: its content is not what its hash is of\n", "sluice: " + altered + " is not whole: 1 finding\n"},
		"cut off to a head":      {[]string{cut, "--key", public}, 0, "rows 1 to 1 of log log1, covered by 1 head,", ""},
		"cut off, but for kept":  {[]string{cut, "--key", public, "--heads", heads}, 3, "at the end: rows 2 to 3 are missing at the end", "is not whole: 1 finding"},
		"signed by another key":  {[]string{whole, "--key", other}, 3, "which is none of those trusted", "is not whole: 3 findings"},
		"one of two keys":        {[]string{whole, "--key", other, "--key", public}, 0, "is whole", ""},
		"a later beginning":      {[]string{whole, "--key", public, "--from", "2"}, 3, "row 1 is before the first row that was expected", ""},
		"empty":                  {[]string{file("empty.jsonl", ""), "--key", public}, 3, "empty.jsonl has no rows: an export has at least the row that it was made", "is not whole"},
		"without a key":          {[]string{whole}, 2, "", "--key is missing"},
		"without a file":         {[]string{"--key", public}, 2, "", "the exported file is missing"},
		"a file that is missing": {[]string{filepath.Join(dir, "x"), "--key", public}, 1, "", "no such file"},
		"no key in the file":     {[]string{whole, "--key", heads}, 1, "", "holds no key in PEM"},
		"no heads in the file":   {[]string{whole, "--key", public, "--heads", public}, 1, "", "line 1"},
		"a row below the first":  {[]string{whole, "--key", public, "--from", "0"}, 2, "", "numbered from 1 on"},
	} {
		code, out, problems := run(t, append([]string{"audit", "verify"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(problems, c.problems) {
			t.Errorf("%s: got %d, %q, %q, want %d, %q, %q", name, code, out, problems, c.code, c.out, c.problems)
		}
	}
	if code, _, problems := run(t, "audit", "x"); code != 2 || !strings.Contains(problems, `there is no command "sluice audit x"`) {
		t.Errorf("an unknown command: got %d, %q", code, problems)
	}
}
