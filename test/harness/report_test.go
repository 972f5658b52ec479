package harness

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func TestReplaceSection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const page = "# Page\n<!-- begin a -->\nold and much longer than what comes\n<!-- end a -->\nbetween\n<!-- begin b -->\n<!-- end b -->\nafter\n"
	write(page)
	for _, step := range [][2]string{{"a", "new"}, {"b", "\n| row |\n\n"}, {"a", "newer\nof two lines"}} {
		if err := replaceSection(file, step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
	want := "# Page\n<!-- begin a -->\nnewer\nof two lines\n<!-- end a -->\nbetween\n<!-- begin b -->\n| row |\n<!-- end b -->\nafter\n"
	if got := read(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, unknown := range []string{"c", ""} {
		if err := replaceSection(file, unknown, "x"); err == nil {
			t.Errorf("section %q is not there, and is reported", unknown)
		}
	}
	if got := read(); got != want {
		t.Errorf("a report that is refused changed the page:\n%s", got)
	}

	var page2 strings.Builder
	for i := range 8 {
		fmt.Fprintf(&page2, "<!-- begin s%d -->\n<!-- end s%d -->\n", i, i)
	}
	write(page2.String())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := replaceSection(file, fmt.Sprintf("s%d", i), fmt.Sprintf("result %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if !strings.Contains(read(), fmt.Sprintf("result %d\n", i)) {
			t.Errorf("of reports at the same time, %d is missing:\n%s", i, read())
		}
	}
}

// A page that names a test that is gone claims what nobody looks at any more.
func TestReliabilityPageNamesTestsThatExist(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(page, -1)
	if len(named) == 0 {
		t.Error("the page names no test")
	}
	for _, m := range named {
		if !have[string(m[1])] {
			t.Errorf("docs/reliability.md names %s, which is not there", m[1])
		}
	}
	begins := regexp.MustCompile(`(?m)^<!-- begin (\S+) -->$`).FindAllSubmatch(page, -1)
	for _, m := range begins {
		if !strings.Contains(string(page), "\n<!-- end "+string(m[1])+" -->\n") {
			t.Errorf("docs/reliability.md begins section %s and does not end it", m[1])
		}
	}
}
