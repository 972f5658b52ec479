package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParse: whatever a configuration file holds, reading it ends with a
// configuration that Validate has nothing against, or with problems that say
// where and what; and no secret of it is ever printed.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("listeners: [{name: a, address: ':0'}]\nlimits: {maxFrameBytes: -1}\n"))
	f.Add([]byte("environment: ''\nresources: ['', '\\0', '../../x']\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		c, problems := Parse("sluice.yaml", data)
		for _, p := range problems {
			if p.Message == "" || !strings.HasSuffix(p.File, "sluice.yaml") {
				t.Errorf("got problem %+v", p)
			}
		}
		if !Bad(problems) && Bad(c.Validate()) {
			t.Errorf("is taken, and Validate says %v", c.Validate())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v for %d bytes", took, len(data))
		}
	})
}
