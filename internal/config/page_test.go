package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/config.md and the expected results anew")

const page = "../../docs/config.md"

// TestPageIsUpToDate makes docs/config.md from the comments of Config's fields,
// so that each has one.
func TestPageIsUpToDate(t *testing.T) {
	want := writePage(t)
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/config.md is not up to date (%v): run go generate ./internal/config", err)
	}
}

func writePage(t *testing.T) []byte {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]*ast.StructType{}
	comments := map[string]string{}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			for _, s := range g.Specs {
				spec := s.(*ast.TypeSpec)
				if st, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name], comments[spec.Name.Name] = st, oneLine(g.Doc.Text())
				}
			}
		}
	}
	var b bytes.Buffer
	b.WriteString("# Configuration\n\n<!-- Made by go generate ./internal/config from the comments there. -->\n\n" +
		"One YAML file, by default `sluice.yaml`. Unknown fields are errors; `sluice config check` reports every problem at once. Relative paths are\n" +
		"relative to the file. Secrets stand in it by reference only: `{env: VARIABLE}` or `{file: path}`. Durations are written `500ms`, `10s`, `5m` or `720h`,\n" +
		"sizes `512`, `64KiB` or `5MiB`.\n")
	var write func(title string, typ reflect.Type, def reflect.Value, prefix string)
	write = func(title string, typ reflect.Type, def reflect.Value, prefix string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Field | Default | Meaning |\n|---|---|---|\n", title, comments[typ.Name()])
		type section struct {
			title, prefix string
			typ           reflect.Type
			def           reflect.Value
		}
		var below []section
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			meaning := ""
			for _, af := range structs[typ.Name()].Fields.List {
				if af.Names[0].Name == f.Name {
					meaning = oneLine(af.Doc.Text())
				}
			}
			if name == "" || !strings.HasSuffix(meaning, ".") {
				t.Errorf("%s.%s needs a json tag and a comment that ends with a full stop", typ.Name(), f.Name)
			}
			inner, suffix := f.Type, ""
			if inner.Kind() == reflect.Slice {
				inner, suffix = inner.Elem(), "[]"
			}
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			var value reflect.Value
			if def.IsValid() {
				value = def.Field(i)
			}
			if structs[inner.Name()] != nil {
				fmt.Fprintf(&b, "| `%s` | | %s See below. |\n", prefix+name, meaning)
				if suffix != "" || f.Type.Kind() == reflect.Pointer {
					value = reflect.Value{}
				}
				below = append(below, section{prefix + name + suffix, prefix + name + suffix + ".", inner, value})
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", prefix+name, show(value), meaning)
		}
		for _, s := range below {
			write("`"+s.title+"`", s.typ, s.def, s.prefix)
		}
	}
	write("All settings", reflect.TypeFor[Config](), reflect.ValueOf(Default()), "")
	return b.Bytes()
}

func show(v reflect.Value) string {
	if !v.IsValid() || v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.Struct && v.IsZero() || v.Kind() == reflect.String && v.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
