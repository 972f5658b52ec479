// Command sbom writes a software bill of materials, CycloneDX 1.6 in JSON, of Go binaries: it reads the build
// information that the linker put into each of them, so it lists what was really built in. Two builds of the same
// source give the same file.
//
//	sbom dist/sluice_linux_amd64 dist/sluice_darwin_arm64 >dist/sluice.cdx.json
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"strings"
)

type bom struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string      `json:"type"`
	Ref        string      `json:"bom-ref,omitempty"`
	Name       string      `json:"name"`
	Version    string      `json:"version,omitempty"`
	Purl       string      `json:"purl,omitempty"`
	Hashes     []hash      `json:"hashes,omitempty"`
	Licences   []licence   `json:"licenses,omitempty"`
	Properties []property  `json:"properties,omitempty"`
	Components []component `json:"components,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	Licence struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(binaries []string, out io.Writer) error {
	if len(binaries) == 0 {
		return errors.New("usage: sbom BINARY...")
	}
	sort.Strings(binaries)
	apache := licence{}
	apache.Licence.ID = "Apache-2.0"
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{component{Type: "application", Ref: "sluice", Name: "sluice", Licences: []licence{apache}}},
	}
	modules := make(map[string]component) // by purl
	for _, name := range binaries {
		info, err := buildinfo.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read build information of %q: %w", name, err)
		}
		file, err := describe(name, info)
		if err != nil {
			return err
		}
		b.Metadata.Component.Components = append(b.Metadata.Component.Components, file)
		for _, m := range info.Deps {
			c, err := moduleOf(m)
			if err != nil {
				return err
			}
			modules[c.Purl] = c
		}
		std := component{Type: "library", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
		std.Purl = "pkg:golang/std@" + std.Version
		std.Ref = std.Purl
		modules[std.Purl] = std
	}
	root := dependency{Ref: "sluice", DependsOn: []string{}}
	for purl := range modules {
		root.DependsOn = append(root.DependsOn, purl)
	}
	sort.Strings(root.DependsOn)
	for _, purl := range root.DependsOn {
		b.Components = append(b.Components, modules[purl])
	}
	b.Dependencies = []dependency{root}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(b)
}

// describe is the component of one binary, with how it was built.
func describe(name string, info *debug.BuildInfo) (component, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return component{}, err
	}
	sum := sha256.Sum256(b)
	c := component{Type: "file", Name: filepath.Base(name), Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "vcs.revision", "vcs.modified":
			c.Properties = append(c.Properties, property{"sluice:" + s.Key, s.Value})
		}
	}
	return c, nil
}

// moduleOf is the component of a module; its sum in go.sum's notation (h1:) is the SHA-256 of the list of its files.
func moduleOf(m *debug.Module) (component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	c := component{Type: "library", Name: m.Path, Version: m.Version, Purl: "pkg:golang/" + m.Path + "@" + m.Version}
	c.Ref = c.Purl
	if m.Sum != "" {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil {
			return c, fmt.Errorf("sum of module %s: %w", m.Path, err)
		}
		c.Properties = []property{{"sluice:go.sum-h1", hex.EncodeToString(sum)}}
	}
	return c, nil
}
