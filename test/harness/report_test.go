package harness

import (
	"fmt"
	"os"
	"path/filepath"
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
