package resource

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"
)

const page = "../../docs/resources.md"

// TestPageIsUpToDate makes docs/resources.md from testdata/page.md and the
// comments of the fields, so that each has one.
func TestPageIsUpToDate(t *testing.T) {
	want := writePage(t)
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/resources.md is not up to date (%v): run go generate ./internal/resource", err)
	}
}

// TestPageExamples reads the examples of the page, which are of every kind.
func TestPageExamples(t *testing.T) {
	text, err := os.ReadFile("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	examples := strings.Join(all, "---\n")
	_, problems := ReadBytes("page.yaml", []byte(examples))
	for _, p := range problems {
		t.Error(p)
	}
	for _, kind := range Kinds {
		if !strings.Contains(examples, "\nkind: "+string(kind)+"\n") {
			t.Errorf("no example of %s", kind)
		}
	}
}

func writePage(t *testing.T) []byte {
	file, err := parser.ParseFile(token.NewFileSet(), "resource.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{} // by struct, and by struct.field
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			spec := s.(*ast.TypeSpec)
			if st, ok := spec.Type.(*ast.StructType); ok {
				comments[spec.Name.Name] = oneLine(g.Doc.Text())
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						comments[spec.Name.Name+"."+name.Name] = oneLine(f.Doc.Text())
					}
				}
			}
		}
	}
	shown := map[string]bool{}
	var rows func(b *strings.Builder, typ reflect.Type, prefix string)
	rows = func(b *strings.Builder, typ reflect.Type, prefix string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			name, meaning := jsonName(f), comments[typ.Name()+"."+f.Name]
			if name == "" || !strings.HasSuffix(meaning, ".") || strings.Contains(meaning, "|") {
				t.Errorf("%s.%s needs a json tag and a comment that ends with a full stop", typ.Name(), f.Name)
			}
			word, suffix, below := typeWord(f.Type)
			for _, verb := range []string{" is ", " are "} { // the row begins with the name already
				if rest, ok := strings.CutPrefix(meaning, f.Name+verb); ok {
					meaning = strings.ToUpper(rest[:1]) + rest[1:]
				}
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", prefix+name, word, meaning)
			if below != nil {
				rows(b, below, prefix+name+suffix+".")
			}
		}
	}
	fields := func(name string) string {
		prefix := "spec."
		if name == "Metadata" {
			prefix = "metadata."
		}
		var b strings.Builder
		for _, typ := range []reflect.Type{
			reflect.TypeFor[Metadata](), reflect.TypeFor[OrganisationSpec](), reflect.TypeFor[TeamSpec](), reflect.TypeFor[EnvironmentSpec](), reflect.TypeFor[ClusterSpec](), reflect.TypeFor[GatewaySpec](), reflect.TypeFor[APISpec](),
			reflect.TypeFor[VersionSpec](), reflect.TypeFor[ProductSpec](), reflect.TypeFor[ApplicationSpec](), reflect.TypeFor[SubscriptionSpec](), reflect.TypeFor[CredentialSpec](),
		} {
			if typ.Name() == name {
				shown[strings.TrimSuffix(name, "Spec")] = true
				about := comments[name]
				if spec, ok := strings.CutSuffix(name, "Spec"); ok {
					about = spec + strings.TrimPrefix(about, name)
				}
				fmt.Fprintf(&b, "%s\n\n| Field | Type | Meaning |\n|---|---|---|\n", about)
				if name == "Metadata" {
					fmt.Fprintf(&b, "| `apiVersion` | text | Always `%s`. Required. |\n| `kind` | text | One of the kinds below. Required. |\n", APIVersion)
				}
				rows(&b, typ, prefix)
			}
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	tmpl, err := template.New("page.md").Funcs(template.FuncMap{"fields": fields}).ParseFiles("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds {
		if !shown[string(kind)] {
			t.Errorf("testdata/page.md does not show the fields of %s", kind)
		}
	}
	return b.Bytes()
}

// typeWord returns a type as the page calls it and, for what has fields of its
// own, what stands behind the field's name and the struct.
func typeWord(typ reflect.Type) (word, suffix string, below reflect.Type) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ {
	case reflect.TypeFor[SecretRef]():
		return "secret", "", nil
	case reflect.TypeFor[time.Time]():
		return "time", "", nil
	case reflect.TypeFor[Duration]():
		return "duration", "", nil
	case reflect.TypeFor[Size]():
		return "size", "", nil
	}
	switch typ.Kind() {
	case reflect.Slice:
		_, suffix, below = typeWord(typ.Elem())
		return "list", "[]" + suffix, below
	case reflect.Map:
		_, suffix, below = typeWord(typ.Elem())
		return "map", ".*" + suffix, below
	case reflect.Struct:
		return "fields", "", typ
	case reflect.Bool:
		return "`true` or `false`", "", nil
	case reflect.Int, reflect.Int64:
		return "number", "", nil
	}
	return "text", "", nil
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
