package resource_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/resource"
)

// TestPagesOfADirectory reads the pages of an API for a server, and leaves them where they are for a gateway.
func TestPagesOfADirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("api.yaml", "apiVersion: sluice/v1\nkind: API\nmetadata: {name: orders, team: shop}\nspec: {docs: {dir: pages}}\n")
	write("pages/start.md", "# Start\n")
	write("pages/notes.txt", "no page")
	write("pages/.hidden.md", "no page")
	write("pages/below/deep.md", "no page")
	set, problems := resource.ReadOpen(nil, filepath.Join(dir, "api.yaml"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if docs := set.APIs[0].Spec.Docs; docs.Dir != "" || len(docs.Pages) != 1 || docs.Pages["start.md"] != "# Start\n" {
		t.Errorf("docs are %+v", docs)
	}
	if set, problems = resource.Read(filepath.Join(dir, "api.yaml")); len(problems) > 0 || set.APIs[0].Spec.Docs.Pages != nil {
		t.Errorf("a gateway reads %+v, %v", set.APIs[0].Spec.Docs, problems)
	}
	told := func(want string) {
		t.Helper()
		if _, problems := resource.ReadOpen(nil, filepath.Join(dir, "api.yaml")); !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("got %v, want %q", problems, want)
		}
	}
	write("pages/white space.md", "x")
	told("is not the name of a page")
	os.Remove(filepath.Join(dir, "pages/white space.md"))
	write("pages/large.md", strings.Repeat("x", resource.MaxPageBytes+1))
	told("has 262145 bytes")
	os.Remove(filepath.Join(dir, "pages/large.md"))
	write("pages/binary.md", "\xff\x00")
	told("is no text in UTF-8")
	os.Remove(filepath.Join(dir, "pages/binary.md"))
	for i := range 9 {
		write(fmt.Sprintf("pages/page%d.md", i), strings.Repeat("x", resource.MaxPageBytes))
	}
	told("have 2359304 bytes together")
	for i := range resource.MaxPages + 1 {
		write(fmt.Sprintf("pages/page%d.md", i), "x")
	}
	told("write at most 64")
	os.RemoveAll(filepath.Join(dir, "pages"))
	told("no such file or directory")
	write("pages/none.txt", "")
	told("holds no *.md file")
}

// TestDocsOfRequests are those that somebody sends to a server.
func TestDocsOfRequests(t *testing.T) {
	for docs, want := range map[string]string{
		`{dir: /etc}`:                                "spec.docs.dir: is a file, which the server does not have",
		`{pages: {"../x.md": x}}`:                    "is not the name of a page",
		`{pages: {"x.html": x}}`:                     "is not the name of a page",
		`{pages: {x.md: x}, digest: "sha256:1"}`:     "keep one",
		`{pages: {x.md: "` + "a\\0b" + `"}}`:         "is no text in UTF-8",
		`{pages: {x.md: x}}, icon: rocket`:           `"rocket" is not known here`,
		`{pages: {x.md: x}}, tags: [a, a]`:           "is there twice",
		`{pages: {x.md: x}}, tags: ["<script>"]`:     "is not a tag",
		`{pages: {x.md: x}}, tags: [größe, "a b.c"]`: "",
	} {
		_, problems := resource.ReadRequest("", []byte("{apiVersion: sluice/v1, kind: API, metadata: {name: orders, team: shop}, spec: {docs: "+docs+"}}"))
		if text := fmt.Sprint(problems); !strings.Contains(text, want) || want == "" && len(problems) > 0 {
			t.Errorf("%s: got %s, want %s", docs, text, want)
		}
	}
}
