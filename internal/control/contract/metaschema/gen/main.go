// Command gen writes metaschema/schemas.json from the npm package
// @asyncapi/specs: the JSON Schemas of the AsyncAPI versions that are read, without
// their prose (titles, descriptions, comments, examples, defaults), one resource on
// a line. It is run by hand, and by "make generated" when the package is there.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"sluice/internal/control/contract/metaschema"
)

func main() {
	from := flag.String("package", "", "the npm package @asyncapi/specs, as npm pack writes it")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	data, err := os.ReadFile(*from)
	if err == nil {
		data, err = Generate(data)
	}
	if err == nil {
		err = os.WriteFile(*out, data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// Generate returns the stripped schemas of a package.
func Generate(archive []byte) ([]byte, error) {
	if sum := sha512.Sum512(archive); hex.EncodeToString(sum[:]) != metaschema.PackageSHA512 {
		return nil, fmt.Errorf("the package is not @asyncapi/specs %s: its SHA-512 is %x", metaschema.PackageVersion, sum)
	}
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	resources := map[string]json.RawMessage{}
	found := 0
	for files := tar.NewReader(z); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		version, ok := strings.CutPrefix(header.Name, "package/schemas/")
		version, isJSON := strings.CutSuffix(version, ".json")
		if !ok || !isJSON || !slices.Contains(metaschema.Versions(), version) {
			continue
		}
		found++
		decoder := json.NewDecoder(files)
		decoder.UseNumber()
		var root map[string]any
		if err := decoder.Decode(&root); err != nil {
			return nil, fmt.Errorf("%s: %w", header.Name, err)
		}
		definitions, _ := root["definitions"].(map[string]any)
		delete(root, "definitions")
		definitions[metaschema.Root(version)] = root
		for id, schema := range definitions {
			if strings.HasPrefix(id, "http://json-schema.org/") {
				continue // the library has it
			}
			line, err := json.Marshal(strip(schema))
			if err != nil {
				return nil, err
			}
			if other, twice := resources[id]; twice && !bytes.Equal(other, line) {
				return nil, fmt.Errorf("%s: there are two different schemas %s", header.Name, id)
			}
			resources[id] = line
		}
	}
	if found != len(metaschema.Versions()) {
		return nil, fmt.Errorf("the package has %d of %d versions", found, len(metaschema.Versions()))
	}
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, id := range slices.Sorted(maps.Keys(resources)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		name, err := json.Marshal(id)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteString(": ")
		b.Write(resources[id])
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// Keywords by what they hold; whatever else a schema has is prose or says nothing
// about whether a document is right.
var (
	plain    = []string{"$ref", "type", "required", "enum", "const", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
	one      = []string{"additionalProperties", "additionalItems", "items", "not", "if", "then", "else", "contains", "propertyNames"}
	several  = []string{"allOf", "anyOf", "oneOf", "items"}
	byName   = []string{"properties", "patternProperties", "definitions"}
	discards = []string{"$id", "id", "$schema", "title", "description", "examples", "example", "$comment", "default", "markdownDescription", "x-intellij-html-description", "deprecated"}
)

func strip(schema any) any {
	in, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	out := map[string]any{}
	for key, value := range in {
		list, isList := value.([]any)
		switch {
		case slices.Contains(several, key) && isList:
			stripped := make([]any, len(list))
			for i, item := range list {
				stripped[i] = strip(item)
			}
			out[key] = stripped
		case slices.Contains(plain, key):
			out[key] = value
		case slices.Contains(one, key):
			out[key] = strip(value)
		case slices.Contains(byName, key):
			named := map[string]any{}
			for name, item := range value.(map[string]any) {
				named[name] = strip(item)
			}
			out[key] = named
		case key == "dependencies":
			named := map[string]any{}
			for name, item := range value.(map[string]any) {
				named[name] = strip(item)
			}
			out[key] = named
		case !slices.Contains(discards, key) && !strings.HasPrefix(key, "x-"):
			panic(fmt.Sprintf("a keyword that is not known: %s", key))
		}
	}
	return out
}
