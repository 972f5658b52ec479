// Package asyncapi tries what others wrote: the examples of AsyncAPI's schema
// package, and the whole documents of 2.6, 3.0 and 3.1 that the project publishes.
// tools/deps.sh fetches them.
package asyncapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/codec"
	"sluice/internal/control/contract/metaschema"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/sample"
	"sluice/internal/control/contract/tree"
)

// files unpacks what matches of a package that tools/deps.sh has fetched.
func files(t *testing.T, name string, wanted func(name string) bool) map[string][]byte {
	t.Helper()
	cache := os.Getenv("SLUICE_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, ".cache", "sluice")
	}
	archive, err := os.Open(filepath.Join(cache, "asyncapi", name+".tgz"))
	if err != nil {
		t.Fatalf("%v: run tools/deps.sh test", err)
	}
	defer archive.Close()
	z, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg && wanted(header.Name) {
			if out[header.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// misnamed are examples that stand in something larger than what they are named
// after, by version (3 for 3.x) and name: the schema that they are examples of.
var misnamed = map[string]string{
	"3 parameter": "channel", "3 parameters": "channel", "3 serverVariable": "server", "3 ReferenceObject": "Reference", "3 Sasl": "SaslSecurityScheme",
	"2 parameter": "channels", "2 parameters": "channels", "2 oauth2Flow": "SecurityScheme", "2 ReferenceObject": "Reference", "2 Sasl": "SaslSecurityScheme",
}

// wrong are examples that the project's own schema refuses, with its reason.
var wrong = map[string]string{
	"3 messageObject": `messageId is not a field that AsyncAPI has here`, // it was 2.x's
	"3 operation":     `security.0 has no`,                               // is written as in 2.x
	"2 info":          `the document has no "version"`,
}

// TestExamples: each example of the schema package fits the schema that it is an
// example of, but for those that the project's own schema refuses.
func TestExamples(t *testing.T) {
	examples := files(t, "asyncapi-specs-6.11.1", func(name string) bool { return strings.HasPrefix(name, "package/examples/") })
	seen := 0
	for name, text := range examples {
		version, part := path.Base(path.Dir(name)), strings.TrimSuffix(path.Base(name), ".json")
		key := version[:1] + " " + part
		if larger, ok := misnamed[key]; ok {
			part = larger
		}
		root, problems := tree.Parse(name, text)
		if len(problems) > 0 || !root.Is(tree.List) {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		for i, example := range root.Items {
			if inner := example.Get("components"); inner != nil && part == "components" {
				example = inner
			}
			seen++
			problems := metaschema.CheckPart(metaschema.Definition(version, part), example)
			for _, p := range problems {
				if reason := wrong[key]; reason == "" || !strings.Contains(p.Message, reason) {
					t.Errorf("%s[%d]: %s", name, i, p)
				}
			}
			if wrong[key] != "" && len(problems) == 0 {
				t.Errorf("%s[%d] is no longer wrong: take it off the list", name, i)
			}
		}
	}
	if seen < 90 {
		t.Errorf("only %d examples were seen", seen)
	}
	t.Logf("%d examples", seen)
}

// TestDocuments: whole documents have no error, and are the same model once they
// are converted to 3.0 and to 3.1 and read again.
func TestDocuments(t *testing.T) {
	for name, least := range map[string]int{"asyncapi-cli-0.58.10": 17, "asyncapi-cli-1.18.0": 20, "asyncapi-cli-6.2.0": 20} {
		documents := files(t, name, func(name string) bool {
			return strings.HasPrefix(name, "package/assets/examples/") && (strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, "default-example.json"))
		})
		if len(documents) < least {
			t.Errorf("%s: %d documents", name, len(documents))
		}
		versions, made := map[string]int{}, 0
		for file, text := range documents {
			t.Run(name+"/"+path.Base(file), func(t *testing.T) {
				d := contract.Load(path.Base(file), text, contract.Options{})
				versions[d.Version]++
				for _, p := range d.Problems {
					if p.Severity == rule.Error {
						t.Error(p)
					}
				}
				if d.Model == nil {
					return
				}
				made += makeUp(t, d.Model)
				for _, version := range []string{contract.Version30, contract.Version31} {
					emitted := d.Model.Emit(version).YAML()
					again := contract.Load("emitted.yaml", emitted, contract.Options{})
					if again.Bad() {
						t.Fatalf("as %s: %v\n%s", version, again.Problems, emitted)
					}
					if !bytes.Equal(again.Model.Emit(version).YAML(), emitted) {
						t.Errorf("as %s: reading and writing gives another text", version)
					}
					if got, want := fmt.Sprint(again.Rights()), fmt.Sprint(d.Rights()); got != want {
						t.Errorf("as %s: rights: got %s, want %s", version, got, want)
					}
				}
			})
		}
		t.Logf("%s: %v, records of %d channels made up", name, versions, made)
		if made < 15 {
			t.Errorf("%s: records of only %d channels were made up", name, made)
		}
	}
}

// impossible are channels whose schemas nothing can be made up for, with the reason: two
// alternatives of oneOf that everything fits which fits one, and Avro in files elsewhere.
var impossible = map[string]string{
	"test":                  "fits more than one schema of oneOf",
	"costingRequestChannel": "refers to what is not read", "costingResponseChannel": "refers to what is not read",
}

// makeUp makes records of every channel of a document, which fit its messages, and says
// of how many channels.
func makeUp(t *testing.T, m *contract.Model) (channels int) {
	for _, c := range m.Channels {
		if len(c.Messages) == 0 {
			continue
		}
		maker, err := sample.New(c.Messages, 1)
		if reason := impossible[c.Name]; reason != "" && err != nil && strings.Contains(err.Error(), reason) {
			continue
		}
		if err != nil {
			t.Errorf("channel %s: %v", c.Name, err)
			continue
		}
		channels++
		reader := codec.New(c.Messages)
		for i := range 20 {
			r, err := maker.Next(time.Unix(1_800_000_000+int64(i), 0))
			if err != nil {
				t.Errorf("channel %s: %v", c.Name, err)
				break
			}
			if d := reader.Decode(r.KeyBytes, r.ValueBytes); d.Key.Problem != "" || d.Value.Problem != "" {
				t.Errorf("channel %s: key %s, value %s: %s", c.Name, d.Key.Problem, d.Value.Problem, r.ValueBytes)
			}
		}
	}
	return channels
}
