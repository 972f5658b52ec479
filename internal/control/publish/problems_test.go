package publish

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/resource"
)

var update = flag.Bool("update", false, "write the expected problems anew")

// TestProblems reads testdata/NAME.yaml, compiles it for prod and compares every
// problem with testdata/NAME.want.
func TestProblems(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			set, problems := resource.Read(file)
			w := newWorld(t)
			w.secrets["SHORT"] = "123456789012345"
			_, more := Compile(set, w.options())
			var b strings.Builder
			for _, p := range append(problems, more...) {
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
		})
	}
}
