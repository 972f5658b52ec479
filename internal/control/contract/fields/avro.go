package fields

import (
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control/contract/tree"
)

func decimal(i int) string { return strconv.Itoa(i) }

// avroWalker reads Avro, whose names refer to what was named before.
type avroWalker struct {
	*walker
	named map[string]namedAvro
}

type namedAvro struct {
	node      *tree.Node
	namespace string // in which its own names are
}

// register notes what is named in a schema.
func (a *avroWalker) register(n *tree.Node, namespace string, depth int) {
	if depth > tree.MaxDepth {
		return
	}
	switch {
	case n.Is(tree.List):
		for _, item := range n.Items {
			a.register(item, namespace, depth+1)
		}
	case n.Is(tree.Object):
		if full := fullName(n, namespace); full != "" {
			if i := strings.LastIndexByte(full, '.'); i >= 0 {
				namespace = full[:i]
			} else {
				namespace = ""
			}
			if _, there := a.named[full]; !there {
				a.named[full] = namedAvro{n, namespace}
			}
		}
		for _, part := range []string{"type", "items", "values"} {
			if inner := n.Get(part); !inner.Is(tree.String) {
				a.register(inner, namespace, depth+1)
			}
		}
		for _, field := range n.Get("fields").Elements() {
			a.register(field.Get("type"), namespace, depth+1)
		}
	}
}

// fullName is that of a record, enum or fixed, "" for what has none.
func fullName(n *tree.Node, namespace string) string {
	name := n.Get("name").Str()
	switch n.Get("type").Str() {
	case "record", "error", "enum", "fixed":
	default:
		return ""
	}
	if own := n.Get("namespace"); own.Is(tree.String) {
		namespace = own.Text
	}
	if name == "" || strings.Contains(name, ".") || namespace == "" {
		return name
	}
	return namespace + "." + name
}

// find returns what a name stands for.
func (a *avroWalker) find(name, namespace string) (namedAvro, bool) {
	if !strings.Contains(name, ".") && namespace != "" {
		if found, ok := a.named[namespace+"."+name]; ok {
			return found, true
		}
	}
	found, ok := a.named[name]
	return found, ok
}

// field reads a type into a field. Above are the records that it is in.
func (a *avroWalker) field(f *Field, n *tree.Node, namespace string, above []*tree.Node, depth int) {
	switch {
	case n.Is(tree.String):
		if found, ok := a.find(n.Text, namespace); ok {
			a.named1(f, found, above, depth)
			return
		}
		f.Type = clip(n.Text, 120)
	case n.Is(tree.List):
		a.union(f, n, namespace, above, depth)
	case n.Is(tree.Object):
		if full := fullName(n, namespace); full != "" {
			if found, ok := a.named[full]; ok && found.node == n {
				a.named1(f, found, above, depth)
				return
			}
		}
		a.object(f, n, namespace, above, depth)
	default:
		f.Type = "anything"
	}
}

// named1 reads a record, enum or fixed.
func (a *avroWalker) named1(f *Field, found namedAvro, above []*tree.Node, depth int) {
	n := found.node
	if f.Description == "" {
		f.Description = clip(strings.TrimSpace(n.Get("doc").Str()), maxText)
	}
	f.marks(n)
	switch n.Get("type").Str() {
	case "enum":
		f.Type = "enum"
		var words []string
		for _, symbol := range n.Get("symbols").Strings() {
			words = append(words, clip(symbol, 60))
		}
		f.about(values(words))
	case "fixed":
		a.object(f, n, found.namespace, above, depth)
	default:
		f.Type = "record"
		if slices.Contains(above, n) {
			f.Cut = Recursion
			return
		}
		if len(n.Get("fields").Elements()) == 0 || !a.below(f, depth) {
			return
		}
		above = append(slices.Clip(above), n)
		for _, field := range n.Get("fields").Elements() {
			name := clip(field.Get("name").Str(), 255)
			child := a.add(f, name, under(f.Path, name))
			if child == nil {
				return
			}
			child.Description = clip(strings.TrimSpace(field.Get("doc").Str()), maxText)
			child.Default = jsonOf(field.Get("default"))
			child.Example = jsonOf(first(field.Get("example"), field.Get("x-example")))
			child.Required = child.Default == "" && !nullable(field.Get("type"))
			child.marks(field)
			a.field(child, field.Get("type"), found.namespace, above, depth+1)
		}
	}
}

func first(nodes ...*tree.Node) *tree.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

func nullable(n *tree.Node) bool {
	return n.Str() == "null" || slices.ContainsFunc(n.Elements(), func(b *tree.Node) bool { return b.Str() == "null" || b.Get("type").Str() == "null" })
}

// object reads what has no name of its own: arrays, maps, and types that mean more than
// they are.
func (a *avroWalker) object(f *Field, n *tree.Node, namespace string, above []*tree.Node, depth int) {
	f.marks(n)
	switch t := n.Get("type"); {
	case t.Str() == "array":
		f.Type = "array of " + a.word(n.Get("items"), namespace)
		a.inner(f, "[]", func(into *Field) { a.field(into, n.Get("items"), namespace, above, depth+1) }, depth)
	case t.Str() == "map":
		f.Type = "map of " + a.word(n.Get("values"), namespace)
		a.inner(f, "{}", func(into *Field) { a.field(into, n.Get("values"), namespace, above, depth+1) }, depth)
	case t.Is(tree.String):
		f.Type = clip(t.Text, 120)
		size := ""
		if t.Text == "fixed" {
			if size = jsonOf(n.Get("size")); size != "" {
				f.about("exactly " + counted(size, "byte"))
			}
		}
		a.logical(f, n)
		if f.Type == t.Text {
			if _, ok := a.find(t.Text, namespace); ok {
				a.field(f, t, namespace, above, depth)
			}
		}
	case t != nil && depth < MaxDepth: // a type in a type
		a.field(f, t, namespace, above, depth+1)
	default:
		f.Type = "anything"
	}
}

// logical says what a type means (Avro 1.12, "Logical Types").
func (a *avroWalker) logical(f *Field, n *tree.Node) {
	word, ok := map[string]string{
		"uuid": "string, uuid", "date": "date", "time-millis": "time, ms", "time-micros": "time, µs", "timestamp-millis": "timestamp, ms", "timestamp-micros": "timestamp, µs",
		"timestamp-nanos": "timestamp, ns", "local-timestamp-millis": "local timestamp, ms", "local-timestamp-micros": "local timestamp, µs", "local-timestamp-nanos": "local timestamp, ns",
		"duration": "duration", "decimal": "decimal", "big-decimal": "decimal",
	}[n.Get("logicalType").Str()]
	if !ok {
		return
	}
	f.Type = word
	if precision, ok := n.Get("precision").Int(); ok && word == "decimal" {
		scale, _ := n.Get("scale").Int()
		f.about(counted(strconv.FormatInt(precision, 10), "digit") + ", " + strconv.FormatInt(scale, 10) + " of them behind the point")
	}
}

// word is the name of a type, for what is made of it.
func (a *avroWalker) word(n *tree.Node, namespace string) string {
	switch {
	case n.Is(tree.String):
		if found, ok := a.find(n.Text, namespace); ok {
			return a.word(found.node, found.namespace)
		}
		return clip(n.Text, 60)
	case n.Is(tree.List):
		return "one of several"
	}
	var f Field
	a.logical(&f, n)
	if f.Type != "" {
		return f.Type
	}
	switch t := n.Get("type").Str(); t {
	case "error":
		return "record"
	case "":
		return "anything"
	default:
		return clip(t, 60)
	}
}

// union reads alternatives.
func (a *avroWalker) union(f *Field, n *tree.Node, namespace string, above []*tree.Node, depth int) {
	var all []*tree.Node
	for _, branch := range n.Items {
		if branch.Str() == "null" || branch.Get("type").Str() == "null" {
			continue
		}
		all = append(all, branch)
	}
	if len(all) < len(n.Items) {
		f.about("may be null")
	}
	switch {
	case len(all) == 0:
		f.Type = "null"
		return
	case len(all) == 1 && depth < MaxDepth:
		a.field(f, all[0], namespace, above, depth+1)
		return
	case !a.below(f, depth):
		f.Type = "one of several"
		return
	}
	var names []string
	plain := true
	for _, branch := range all {
		name := a.word(branch, namespace)
		node := branch
		if found, ok := a.find(branch.Str(), namespace); ok {
			node = found.node
		}
		if own := node.Get("name").Str(); own != "" {
			name = clip(own, 60)
		}
		name = uniqueName(names, name)
		one := a.variant(f, name)
		if one == nil {
			break
		}
		a.field(one, branch, namespace, above, depth+1)
		names = append(names, name)
		plain = plain && len(one.Fields) == 0 && len(one.About) == 0 && one.Cut == Whole && one.Description == "" && one.Type == name
	}
	if plain {
		f.Fields, f.Type = nil, strings.Join(names, " or ")
		return
	}
	f.Type = "one of: " + listed(names)
}
