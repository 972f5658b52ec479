// Package fields turns a schema into a tree of fields for people: names, types and
// constraints in words, descriptions, examples. Its main type is Tree, which looks the
// same whether the schema is JSON Schema, Avro or Protobuf. It validates nothing and
// knows nothing of channels and messages.
//
// Schemas come from strangers: depth and number of fields are bounded, and what contains
// itself is cut.
package fields

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// What a tree may hold; beyond it, fields are left out and Cut says so.
const (
	MaxDepth  = 16
	MaxFields = 2000
	maxAbout  = 12   // constraints of one field
	maxValues = 30   // of an enum, that are named
	maxText   = 2000 // bytes of a description
	maxJSON   = 400  // bytes of an example or default
	maxParts  = 64   // schemas that are one by allOf
)

// Cut says why nothing is shown below a field that has more.
type Cut string

// The reasons.
const (
	Whole     Cut = ""
	Recursion Cut = "recursion" // it contains itself
	Depth     Cut = "depth"
	Count     Cut = "count"
)

// Tree is what a schema says of a value.
type Tree struct {
	// Name is that of the record or message, or the schema's title; may be empty.
	Name string
	Root Field
	// Cut says that there are more fields than are here.
	Cut bool
}

// Field is a field, or a variant of one.
type Field struct {
	// Name is empty for the whole. It is [] for what is neither an array's only kind of
	// item nor a map's entry, but one in a fixed place, as [0].
	Name string
	// Path leads here from the whole: lines[].sku, byName{}.size, delivery|home.zone, in
	// which [] is each item of an array, {} each entry of a map, and | a variant.
	Path string
	// Type is in words, as "array of record".
	Type string
	// About are constraints in words, as "at most 500 characters".
	About []string
	// Required says that there always is a value.
	Required           bool
	Title, Description string
	// Example and Default are JSON, "" for none.
	Example, Default string
	// Personal marks personal data.
	Personal   bool
	Deprecated bool
	// Since is the version from which on it is there.
	Since string
	Tags  []string
	// Variant marks one of the forms that the field above may have.
	Variant bool
	Cut     Cut
	Fields  []*Field
}

// Of returns the tree of a schema; nil for a language that is not understood, or a schema
// that cannot be read.
func Of(s *schema.Schema) (out *Tree) {
	if s == nil {
		return nil
	}
	w := &walker{schema: s, left: MaxFields}
	t := &Tree{}
	switch s.Kind() {
	case schema.JSON:
		w.json(&t.Root, s.Root, nil, 0)
		t.Name = t.Root.Title
	case schema.Avro:
		nodes := s.AvroNodes()
		if len(nodes) == 0 {
			return nil
		}
		a := &avroWalker{walker: w, named: map[string]namedAvro{}}
		for _, n := range nodes {
			a.register(n, "", 0)
		}
		a.field(&t.Root, nodes[len(nodes)-1], "", nil, 0)
		t.Name = nodes[len(nodes)-1].Get("name").Str()
	case schema.Protobuf:
		m := s.Message()
		if m == nil {
			return nil
		}
		p := &protobufWalker{walker: w}
		p.root(&t.Root, m)
		t.Name = string(m.Name())
	default:
		return nil
	}
	t.Cut = w.cut
	return t
}

// All yields every field below the whole, each before those in it.
func (t *Tree) All(yield func(*Field) bool) {
	var each func([]*Field) bool
	each = func(all []*Field) bool {
		for _, f := range all {
			if !yield(f) || !each(f.Fields) {
				return false
			}
		}
		return true
	}
	each(t.Root.Fields)
}

// walker is what the three languages share.
type walker struct {
	schema *schema.Schema
	left   int
	cut    bool
}

// below says whether something may be put below a field, and marks the field otherwise.
func (w *walker) below(f *Field, depth int) bool {
	switch {
	case depth >= MaxDepth:
		f.Cut, w.cut = Depth, true
	case w.left <= 0:
		f.Cut, w.cut = Count, true
	default:
		return true
	}
	return false
}

// add puts a field below another one; nil when there are too many.
func (w *walker) add(above *Field, name, path string) *Field {
	if w.left--; w.left < 0 {
		above.Cut, w.cut = Count, true
		return nil
	}
	f := &Field{Name: name, Path: path}
	above.Fields = append(above.Fields, f)
	return f
}

// variant puts one of the forms of a field below it.
func (w *walker) variant(of *Field, name string) *Field {
	f := w.add(of, name, of.Path+"|"+quoted(name))
	if f != nil {
		f.Variant = true
	}
	return f
}

// under is the path of a field by its name.
func under(path, name string) string {
	if path == "" {
		return quoted(name)
	}
	return path + "." + quoted(name)
}

// quoted is a name as it stands in a path.
func quoted(name string) string {
	if name == "" || strings.ContainsAny(name, ".[]{}|\"") {
		return strconv.Quote(name)
	}
	return name
}

func (f *Field) about(words string) {
	if words != "" && len(f.About) < maxAbout {
		f.About = append(f.About, words)
	}
}

// span says a range in words; empty texts are open ends.
func span(from, to, what string) string {
	switch {
	case from == "" && to == "":
		return ""
	case from == to:
		return "exactly " + counted(from, what)
	case from == "" || from == "0" && what != "":
		return "at most " + counted(to, what)
	case to == "":
		return "at least " + counted(from, what)
	}
	return from + " to " + counted(to, what)
}

// counted is a number with what it counts, in the plural unless it is one.
func counted(n, what string) string {
	switch {
	case what == "":
		return n
	case n == "1":
		return n + " " + what
	case strings.HasSuffix(what, "y"):
		return n + " " + strings.TrimSuffix(what, "y") + "ies"
	}
	return n + " " + what + "s"
}

// values says which there are.
func values(words []string) string {
	if more := len(words) - maxValues; more > 0 {
		return "one of " + strings.Join(words[:maxValues], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return "one of " + strings.Join(words, ", ")
}

// jsonOf is a value as JSON on one line.
func jsonOf(n *tree.Node) string {
	if n == nil {
		return ""
	}
	return clip(string(n.Canonical()), maxJSON)
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := s[:most]
	for !utf8.ValidString(cut) && len(cut) > 0 {
		cut = cut[:len(cut)-1]
	}
	return cut + "…"
}

// marks reads what is said of a field besides: x-… in JSON Schema, properties in Avro.
func (f *Field) marks(n *tree.Node) {
	for _, name := range []string{"x-pii", "x-personal-data", "x-personal", "pii", "personalData"} {
		switch v := n.Get(name); {
		case v.True():
			f.Personal = true
		case v.Is(tree.String) && v.Text != "" && v.Text != "false" && v.Text != "none":
			f.Personal = true
			f.tag(v.Text)
		}
	}
	for _, name := range []string{"x-deprecated", "deprecated"} {
		switch v := n.Get(name); {
		case v.True():
			f.Deprecated = true
		case v.Is(tree.String) && v.Text != "" && v.Text != "false":
			f.Deprecated = true
			f.about("deprecated: " + clip(v.Text, maxJSON))
		}
	}
	for _, name := range []string{"x-since", "since"} {
		if v := n.Get(name); v.Is(tree.String) || v.Is(tree.Number) {
			f.Since = clip(v.Text, 40)
		}
	}
	for _, name := range []string{"x-tags", "confluent:tags"} {
		for _, tag := range n.Get(name).Strings() {
			f.tag(tag)
		}
	}
}

// tag adds a word; those for personal data are a mark of their own.
func (f *Field) tag(word string) {
	const most = 10
	switch strings.ToLower(word) {
	case "pii", "personal", "personal data", "personal-data", "true", "yes":
		f.Personal = true
		return
	}
	if len(f.Tags) < most {
		f.Tags = append(f.Tags, clip(word, 40))
	}
}
