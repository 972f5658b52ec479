package fields

import (
	"slices"
	"strings"

	"sluice/internal/control/contract/tree"
)

// view is a JSON Schema with what it refers to and all that allOf adds to it, the nearest
// first: what stands beside a reference says more than what it leads to.
type view []*tree.Node

// json reads JSON Schema of any draft into a field. Above are the schemas that it is in.
func (w *walker) json(f *Field, n *tree.Node, above []*tree.Node, depth int) {
	if n.Is(tree.Bool) {
		f.Type = map[bool]string{true: "anything", false: "nothing"}[n.True()]
		return
	}
	v, above, circle := w.view(n, above)
	if v.first("oneOf", "anyOf") != nil && w.variants(f, v, above, depth, circle) {
		return
	}
	w.shape(f, v, above, depth, circle)
}

// view collects what a schema is made of. circle says that it contains itself.
func (w *walker) view(n *tree.Node, above []*tree.Node) (v view, inside []*tree.Node, circle bool) {
	inside = slices.Clip(above)
	met := map[*tree.Node]bool{}
	var take func(n *tree.Node)
	take = func(n *tree.Node) {
		for range maxParts {
			if n == nil || met[n] || len(v) >= maxParts {
				return
			}
			met[n] = true
			if slices.Contains(above, n) {
				circle = true
			}
			inside = append(inside, n)
			v = append(v, n)
			for _, part := range n.Get("allOf").Elements() {
				take(part)
			}
			next := w.schema.Resolve(n)
			if next == n {
				return
			}
			n = next
		}
	}
	take(n)
	return v, inside, circle
}

// first returns the first that says one of some keywords.
func (v view) first(names ...string) *tree.Node {
	for _, n := range v {
		for _, name := range names {
			if value := n.Get(name); value != nil {
				return value
			}
		}
	}
	return nil
}

func (v view) text(names ...string) string {
	for _, n := range v {
		for _, name := range names {
			if value := n.Get(name).Str(); value != "" {
				return value
			}
		}
	}
	return ""
}

// types are those that a schema names, null apart.
func (v view) types() (out []string, null bool) {
	for _, n := range v {
		for _, t := range n.Get("type").Strings() {
			if t == "null" {
				null = true
			} else if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
		null = null || n.Get("nullable").True()
		if len(out) > 0 {
			return out, null
		}
	}
	return out, null
}

// variants reads alternatives; false when there is only one, besides null, which is then
// the field itself.
func (w *walker) variants(f *Field, v view, above []*tree.Node, depth int, circle bool) bool {
	var all []*tree.Node
	null := false
	for _, n := range v.first("oneOf", "anyOf").Elements() {
		if target := w.schema.Resolve(n); target.Get("type").Str() == "null" {
			null = true
		} else {
			all = append(all, n)
		}
	}
	w.describe(f, v)
	if null {
		f.about("may be null")
	}
	if len(all) == 1 && (circle || depth >= MaxDepth) {
		f.Type, f.Cut = "one of several", Recursion
		return true
	}
	if len(all) == 1 {
		own, description := f.Title, f.Description
		w.json(f, all[0], above, depth+1)
		if own != "" {
			f.Title = own
		}
		if description != "" {
			f.Description = description
		}
		return true
	}
	if len(all) == 0 {
		return false
	}
	if types, _ := v.types(); len(types) > 0 && !slices.Contains(types, "object") { // the alternatives are conditions only
		f.about("more conditions hold, see the source")
		return false
	}
	w.properties(f, v, above, depth, circle)
	var names []string
	if circle {
		f.Type, f.Cut = "one of several", Recursion
		return true
	}
	if !w.below(f, depth) {
		f.Type = "one of several"
		return true
	}
	plain := true
	for i, n := range all {
		part, _, _ := w.view(n, above)
		name := uniqueName(names, w.variantName(part, i))
		one := w.variant(f, name)
		if one == nil {
			break
		}
		w.json(one, n, above, depth+1)
		names = append(names, name)
		plain = plain && len(one.Fields) == 0 && len(one.About) == 0 && one.Cut == Whole && one.Description == "" && one.Type == name
	}
	if plain { // nothing but types
		f.Fields = slices.DeleteFunc(f.Fields, func(c *Field) bool { return c.Variant })
		f.Type = strings.Join(names, " or ")
		return true
	}
	f.Type = "one of: " + listed(names)
	return true
}

// variantName is what an alternative is called.
func (w *walker) variantName(v view, i int) string {
	if title := v.text("title"); title != "" {
		return clip(title, 60)
	}
	for _, n := range v {
		if _, name, ok := strings.Cut(n.Get("$ref").Str(), "#/components/schemas/"); ok {
			return clip(tree.Unescape(name), 60)
		}
	}
	for _, p := range v.first("properties").Entries() { // what tells them apart
		if c := p.Value.Get("const"); c.Is(tree.String) && c.Text != "" {
			return clip(c.Text, 60)
		}
	}
	types, _ := v.types()
	if len(types) == 1 && types[0] != "object" {
		return w.typeOf(v, nil, 0)
	}
	return "variant " + string(rune('A'+i%26)) + strings.Repeat("'", i/26)
}

func uniqueName(names []string, name string) string {
	for slices.Contains(names, name) {
		name += "'"
	}
	return name
}

func listed(names []string) string {
	const most = 8
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// describe reads what people read.
func (w *walker) describe(f *Field, v view) {
	f.Title = clip(v.text("title"), maxJSON)
	f.Description = clip(strings.TrimSpace(v.text("description")), maxText)
	if e := v.first("examples"); e.Is(tree.List) && len(e.Items) > 0 {
		f.Example = jsonOf(e.Items[0])
	} else {
		f.Example = jsonOf(v.first("example"))
	}
	f.Default = jsonOf(v.first("default"))
	for _, n := range v {
		f.marks(n)
	}
}

// shape reads a schema that is no choice between others.
func (w *walker) shape(f *Field, v view, above []*tree.Node, depth int, circle bool) {
	w.describe(f, v)
	f.Type = w.typeOf(v, above, 0)
	if _, null := v.types(); null {
		f.about("may be null")
	}
	w.constraints(f, v)
	if circle {
		if v.first("properties", "items", "additionalProperties") != nil {
			f.Cut = Recursion
		}
		return
	}
	w.properties(f, v, above, depth, circle)
	w.items(f, v, above, depth)
	w.entries(f, v, above, depth)
}

// maxNested is how far "array of array of …" goes.
const maxNested = 3

// typeOf says a type in words.
func (w *walker) typeOf(v view, above []*tree.Node, nested int) string {
	types, _ := v.types()
	if len(types) == 0 {
		switch {
		case v.first("properties", "patternProperties", "additionalProperties") != nil:
			types = []string{"object"}
		case v.first("items", "prefixItems") != nil:
			types = []string{"array"}
		case v.first("enum", "const") != nil:
			return "enum"
		case v.first("minLength", "maxLength", "pattern", "format") != nil:
			types = []string{"string"}
		case v.first("minimum", "maximum", "multipleOf") != nil:
			types = []string{"number"}
		case len(v) > 0 && v[len(v)-1].Has("$ref"):
			return "not described here"
		default:
			return "anything"
		}
	}
	var words []string
	for _, t := range types {
		switch {
		case t == "string" && v.first("enum") != nil:
			t = "enum"
		case t == "string" && v.text("format") != "":
			t += ", " + clip(v.text("format"), 60)
		case t == "array" && nested < maxNested:
			if item := v.item(); item != nil {
				inner, inside, circle := w.view(item, above)
				word := "one of several"
				switch {
				case circle:
					word = "object"
				case inner.first("oneOf", "anyOf") == nil:
					word = w.typeOf(inner, inside, nested+1)
				}
				t += " of " + word
			}
		case t == "object" && v.first("properties") == nil && v.first("additionalProperties").Is(tree.Object) && nested < maxNested:
			inner, inside, circle := w.view(v.first("additionalProperties"), above)
			t = "map"
			if !circle && inner.first("oneOf", "anyOf") == nil {
				t += " of " + w.typeOf(inner, inside, nested+1)
			}
		}
		words = append(words, clip(t, 120))
	}
	return strings.Join(words, " or ")
}

// item is what each item of an array is; nil where they differ or nothing is said.
func (v view) item() *tree.Node {
	if v.first("prefixItems") != nil {
		return nil
	}
	if items := v.first("items"); items.Is(tree.Object) {
		return items
	}
	return nil
}

// bound reads a number as it stands.
func (v view) bound(name string) string {
	if n := v.first(name); n.Is(tree.Number) {
		return clip(n.Text, 40)
	}
	return ""
}

func (w *walker) constraints(f *Field, v view) {
	if c := v.first("const"); c != nil {
		f.about("always " + jsonOf(c))
	}
	if e := v.first("enum"); e.Is(tree.List) && len(e.Items) > 0 {
		var words []string
		for _, item := range e.Items {
			word := jsonOf(item)
			if item.Is(tree.String) {
				word = clip(item.Text, 60)
			}
			words = append(words, word)
		}
		f.about(values(words))
	}
	f.about(span(v.bound("minLength"), v.bound("maxLength"), "character"))
	low, high := v.bound("minimum"), v.bound("maximum")
	above, below := v.bound("exclusiveMinimum"), v.bound("exclusiveMaximum")
	if v.first("exclusiveMinimum").True() { // as draft 4 says it
		low, above = "", low
	}
	if v.first("exclusiveMaximum").True() {
		high, below = "", high
	}
	if low != "" && high != "" {
		f.about(low + " to " + high)
	} else {
		f.about(prefixed("≥ ", low))
		f.about(prefixed("≤ ", high))
	}
	f.about(prefixed("> ", above))
	f.about(prefixed("< ", below))
	f.about(prefixed("a multiple of ", v.bound("multipleOf")))
	if p := v.text("pattern"); p != "" {
		f.about("matches " + clip(p, 120))
	}
	f.about(span(v.bound("minItems"), v.bound("maxItems"), "item"))
	if v.first("uniqueItems").True() {
		f.about("no item twice")
	}
	f.about(span(v.bound("minProperties"), v.bound("maxProperties"), "entry"))
	if e := v.text("contentEncoding"); e != "" {
		f.about("encoded as " + clip(e, 40))
	}
	if v.first("not", "if", "dependencies", "dependentRequired", "dependentSchemas", "contains", "propertyNames") != nil {
		f.about("more conditions hold, see the source")
	}
	for _, n := range v {
		if a := n.Get("additionalProperties"); a.Is(tree.Bool) && !a.True() && v.first("properties") != nil {
			f.about("no other fields")
			break
		}
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// properties reads the fields of an object.
func (w *walker) properties(f *Field, v view, above []*tree.Node, depth int, circle bool) {
	if circle || v.first("properties", "patternProperties") == nil || !w.below(f, depth) {
		return
	}
	required, seen := map[string]bool{}, map[string]bool{}
	for _, n := range v {
		for _, name := range n.Get("required").Strings() {
			required[name] = true
		}
	}
	for _, n := range v {
		for _, keyword := range []string{"properties", "patternProperties"} {
			for _, p := range n.Get(keyword).Entries() {
				if seen[keyword+p.Name] {
					continue
				}
				seen[keyword+p.Name] = true
				name := clip(p.Name, 255)
				if keyword == "patternProperties" {
					name = "/" + name + "/"
				}
				child := w.add(f, name, under(f.Path, name))
				if child == nil {
					return
				}
				child.Required = required[p.Name] && keyword == "properties"
				w.json(child, p.Value, above, depth+1)
				child.Required = child.Required || p.Value.Get("required").True() // as draft 3 had it, and many still write
			}
		}
	}
}

// items reads what is in an array: its item's fields, or each place's.
func (w *walker) items(f *Field, v view, above []*tree.Node, depth int) {
	places := v.first("prefixItems").Elements()
	if items := v.first("items"); items.Is(tree.List) {
		places = items.Items
	}
	if item := v.item(); item != nil && len(places) == 0 {
		w.inner(f, "[]", func(into *Field) { w.json(into, item, above, depth+1) }, depth)
		return
	}
	if len(places) == 0 || !w.below(f, depth) {
		return
	}
	for i, place := range places {
		name := "[" + decimal(i) + "]"
		child := w.add(f, name, f.Path+name)
		if child == nil {
			return
		}
		w.json(child, place, above, depth+1)
	}
}

// entries reads what is in a map.
func (w *walker) entries(f *Field, v view, above []*tree.Node, depth int) {
	if a := v.first("additionalProperties"); a.Is(tree.Object) && v.first("properties") == nil {
		w.inner(f, "{}", func(into *Field) { w.json(into, a, above, depth+1) }, depth)
	}
}

// inner reads what an array or map is of, and gives the fields of that to it.
func (w *walker) inner(f *Field, mark string, read func(into *Field), depth int) {
	if !w.below(f, depth) {
		return
	}
	in := &Field{Path: f.Path + mark}
	read(in)
	f.Fields = append(f.Fields, in.Fields...)
	if in.Cut != Whole {
		f.Cut = in.Cut
	}
	for _, words := range in.About {
		f.about("each: " + words)
	}
	f.Personal = f.Personal || in.Personal
	if f.Description == "" {
		f.Description = in.Description
	}
	if f.Example == "" && in.Example != "" {
		f.Example = clip("["+in.Example+"]", maxJSON)
		if mark == "{}" {
			f.Example = ""
		}
	}
	if strings.HasSuffix(f.Type, "one of several") && in.Type != "" {
		f.Type = strings.TrimSuffix(f.Type, "one of several") + in.Type
	}
}
