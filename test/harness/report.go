package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Report writes what a full run found into docs/reliability.md: markdown takes the place of what stands between the
// lines "<!-- begin SECTION -->" and "<!-- end SECTION -->" there, which have to be there already, so that a person
// decides where a table stands and what is said around it. A sample and a test that has failed write nothing. Tests of
// several packages may report at the same time.
func Report(tb testing.TB, section, markdown string) {
	tb.Helper()
	if !Full() || tb.Failed() {
		return
	}
	root, err := moduleRoot()
	if err == nil {
		err = replaceSection(filepath.Join(root, "docs", "reliability.md"), section, markdown)
	}
	if err != nil {
		tb.Errorf("report %s: %v", section, err)
	}
}

// replaceSection edits a file in place, under its lock.
func replaceSection(file, section, markdown string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", file, err)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf("<!-- begin %s -->\n", section), fmt.Sprintf("<!-- end %s -->", section)
	from, to := bytes.Index(old, []byte(begin)), bytes.Index(old, []byte(end))
	if from < 0 || to < from {
		return fmt.Errorf("%s has no lines %q and %q in this order", file, strings.TrimSpace(begin), end)
	}
	text := append(bytes.Clone(old[:from+len(begin)]), strings.TrimSpace(markdown)+"\n"...)
	text = append(text, old[to:]...)
	if err := f.Truncate(int64(len(text))); err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return err
}

// moduleRoot is the folder of the product's module, above the folder in which a test runs.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(text, []byte("module sluice\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no folder above the test is the module sluice")
		}
		dir = parent
	}
}
