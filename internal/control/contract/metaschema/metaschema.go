// Package metaschema says whether a document has the shape of an AsyncAPI
// document. Its main function is Check. It knows nothing of what a shape cannot
// say: references, messages of operations, names of topics.
//
// The schemas are those of the AsyncAPI project without their prose; see NOTICE.
package metaschema

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sluice/internal/control/contract/rule"
	payload "sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// The npm package @asyncapi/specs that schemas.json is made from.
const (
	PackageVersion = "6.11.1"
	PackageSHA512  = "0375812ea00a1a8276fba15616da63065090d6814272ce06c45ef3b081af36aa7f9251941e3940dda01c67d5cc3292c613cccf7980f3db1f4598ee834ae2ab69"
)

//go:generate sh -c "go run ./gen -package ${SLUICE_CACHE:-$HOME/.cache/sluice}/asyncapi/asyncapi-specs-6.11.1.tgz -out schemas.json"

//go:embed schemas.json
var schemas []byte

// Versions returns the versions of AsyncAPI that are read, oldest first.
func Versions() []string {
	return []string{"2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.4.0", "2.5.0", "2.6.0", "3.0.0", "3.1.0"}
}

// Root returns the URL of a version's schema.
func Root(version string) string { return Definition(version, "asyncapi") }

// Definition returns the URL of a part of a version's schema.
func Definition(version, name string) string {
	return "http://asyncapi.com/definitions/" + version + "/" + name + ".json"
}

// resources holds the schemas, decoded once.
var resources = sync.OnceValue(func() map[string]any {
	var out map[string]any
	decoder := json.NewDecoder(bytes.NewReader(schemas))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		panic("bug: schemas.json: " + err.Error())
	}
	return out
})

// compiled are the schemas that were asked for, by URL; compiling takes tens of
// milliseconds.
var compiled = struct {
	sync.Mutex
	by map[string]*jsonschema.Schema
}{by: map[string]*jsonschema.Schema{}}

func schema(url string) (*jsonschema.Schema, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if s := compiled.by[url]; s != nil {
		return s, nil
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(loader{})
	c.UseRegexpEngine(payload.Regexp) // also what "format: regex" means
	s, err := c.Compile(url)
	if err != nil {
		return nil, err
	}
	compiled.by[url] = s
	return s, nil
}

type loader struct{}

func (loader) Load(url string) (any, error) {
	if s, ok := resources()[url]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("there is no schema %s", url)
}

// Check returns where a document of a version has not the shape that AsyncAPI
// gives it, one problem for each place. The version must be one of Versions.
func Check(version string, root *tree.Node) []rule.Problem { return CheckPart(Root(version), root) }

// CheckPart is Check for a part of a document and the URL of its schema.
func CheckPart(url string, node *tree.Node) []rule.Problem {
	s, err := schema(url)
	if err != nil {
		panic("bug: " + err.Error())
	}
	err = s.Validate(node.Value())
	if err == nil {
		return nil
	}
	failed, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return []rule.Problem{rule.New("asyncapi-shape", node.Place(), "cannot be checked: "+err.Error(), "")}
	}
	return explain(node, failed)
}

// Fits reports whether a part of a document has the shape that the schema at a URL
// gives it.
func Fits(url string, node *tree.Node) bool {
	s, err := schema(url)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return s.Validate(node.Value()) == nil
}
