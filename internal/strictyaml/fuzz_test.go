package strictyaml

import (
	"path/filepath"
	"testing"
	"time"
)

// FuzzDecode: whatever a file holds, reading it into a structure ends, soon,
// and every problem says where it is and what it is.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"name: a\ncount: 3\nlist: [x, y]\n", "---\nname: a\n---\nname: b\n", "map: {x: {count: 1}, x: {count: 2}}", "a: &a [*a]\n<<: *a\n", "size: 1e400\nwait: 9999999h\nwhen: 2026-13-45",
		"secret: {file: /etc/passwd, env: X}", "name: !!binary aGk=", "? [complex]\n: key\n", "\ufeffname: a\r\n", "name: |+\n  a\n\n\n", "{", "- ", "\t", "%YAML 1.1\n---\n", "name: \"\\u0000\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		docs, problems := Parse(data)
		for _, doc := range docs {
			var v thing
			problems = append(problems, doc.Decode(&v)...)
			Anchor(&v, filepath.Join("some", "where"))
			for _, path := range []string{"name", "map.x.count", "list[3]", "", "..", "[", "list[99999999999999999999]"} {
				if at := doc.Position(path); at.Line < 1 || at.Column < 1 {
					t.Errorf("%q is at %v", path, at)
				}
			}
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Column < 1 {
				t.Errorf("got problem %+v", p)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v for %d bytes", took, len(data))
		}
	})
}
