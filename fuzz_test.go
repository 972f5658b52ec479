package sluice_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Every fuzz target stands in docs/reliability.md, so that the list of decoders and what covers them stays whole.
func TestFuzzTargetsAreListed(t *testing.T) {
	page, err := os.ReadFile("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	found := 0
	for _, root := range []string{"internal", "cmd"} {
		err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path.Join(root, name))
			if err != nil {
				return err
			}
			for _, m := range target.FindAllStringSubmatch(string(text), -1) {
				if found++; !strings.Contains(string(page), "`"+m[1]+"`") {
					t.Errorf("%s/%s: %s is not in docs/reliability.md: add it to \"Decoders and their fuzz targets\"", root, name, m[1])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("found %d fuzz targets: the walk does not reach the tree", found)
	}
}
