package web_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/web"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// all returns the first group of each match.
func all(text, pattern string) []string {
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return out
}

func TestAddresses(t *testing.T) {
	addresses, err := web.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, a := range addresses {
		if paths[a.Path] {
			t.Errorf("%s is there twice", a.Path)
		}
		paths[a.Path] = true
		if a.Title == "" {
			t.Errorf("%s has no title", a.Path)
		}
		for _, place := range all(a.Title, `\{(\w+)\}`) {
			if place != "title" && !strings.Contains(a.Path, "{"+place+"}") || place == "title" && a.Object == "" {
				t.Errorf("%s: the title has {%s}, the path has not", a.Path, place)
			}
		}
		if a.Object != "" && !strings.Contains(a.Path, "{name}") {
			t.Errorf("%s is of a document and has no {name}", a.Path)
		}
		if a.Console != strings.HasPrefix(a.Path, "/console") {
			t.Errorf("%s: console is %v", a.Path, a.Console)
		}
	}
	// What the application draws has to have a row, or the server says that it is not there.
	routes := read(t, "src/routes.tsx")
	drawn := all(routes, `(?:page|tool)\("([^"]+)"`)
	for _, tab := range all(routes, `\btab\("([^"]+)"`) {
		drawn = append(drawn, strings.TrimSuffix("/apis/$name"+tab, "/"))
	}
	for _, path := range drawn {
		if path = regexp.MustCompile(`\$(\w+)`).ReplaceAllString(path, "{$1}"); !paths[path] {
			t.Errorf("routes.tsx has %s, words/addresses.json has no row for it", path)
		}
	}
}

func TestIcons(t *testing.T) {
	list, _, _ := strings.Cut(read(t, "src/ui/icon.tsx"), "/** One drawing")
	_, list, _ = strings.Cut(list, "export type IconName")
	named, drawn := all(list, `"([a-z-]+)"`), all(read(t, "src/ui/sprite.svg"), `<symbol id="([a-z-]+)"`)
	if !slices.Equal(named, drawn) || len(drawn) < 40 {
		t.Errorf("icon.tsx names %q, sprite.svg draws %q", named, drawn)
	}
}
