package schema

import (
	"strings"

	"sluice/internal/control/contract/tree"
)

// bundle returns a JSON Schema that stands for itself: what it refers to is in
// definitions, what cannot be read admits everything. OpenAPI's own keywords are
// put into JSON Schema's words.
func (s *Schema) bundle() (*tree.Node, *Finding) {
	b := bundler{s: s, done: map[string]bool{}}
	root := b.schema(s.Root)
	if !root.Is(tree.Object) {
		return root, nil
	}
	definitions := tree.NewObject()
	for i := 0; i < len(b.order); i++ { // grows while it is walked
		if b.nodes > maxBundled {
			return nil, limit(s.Root, "the schema and what it refers to have more than %d values", maxBundled)
		}
		definitions.Set(b.order[i], b.schema(s.shared(b.order[i])))
	}
	if b.nodes > maxBundled {
		return nil, limit(s.Root, "the schema has more than %d values", maxBundled)
	}
	if len(definitions.Fields) > 0 {
		if root.Has("$ref") { // in older drafts a reference hides what stands beside it
			inner := root
			root = tree.NewObject().Set("allOf", tree.NewList(inner))
		}
		out := tree.NewObject()
		for _, f := range root.Fields {
			if f.Name != bundled {
				out.Set(f.Name, f.Value)
			}
		}
		root = out.Set(bundled, definitions)
	}
	return root, nil
}

// bundled is where the bundle keeps what is referred to; a name that no author has.
const bundled = "definitions"

type bundler struct {
	s     *Schema
	done  map[string]bool
	order []string
	nodes int
}

func (b *bundler) schema(n *tree.Node) *tree.Node {
	b.nodes++
	if b.nodes > maxBundled || !n.Is(tree.Object) {
		return n.Copy(nil)
	}
	if ref := n.Get("$ref"); ref.Is(tree.String) {
		name, ok := strings.CutPrefix(ref.Text, sharedPrefix)
		if ok {
			name = tree.Unescape(name)
		}
		if !ok || b.s.shared == nil || b.s.shared(name) == nil {
			return n.Copy(func(*tree.Node) *tree.Node { return tree.NewObject() })
		}
		if !b.done[name] {
			b.done[name] = true
			b.order = append(b.order, name)
		}
		local := tree.Text("#/" + bundled + "/" + tree.Fragment(tree.Escape(name)))
		if len(n.Fields) == 1 {
			out := n.Without("$ref")
			return out.Set("$ref", local)
		}
		out := n.Without("$ref", "$id", "$schema")
		return out.Set("$ref", local)
	}
	out := n.Empty()
	for _, f := range n.Fields {
		switch v := f.Value; {
		case f.Name == "$id" || f.Name == "$schema" || f.Name == "id" && b.s.draft() == "draft-04" && v.Is(tree.String):
		case f.Name == bundled || f.Name == "$defs": // only reached by references, which were given names
		case f.Name == "$anchor" || f.Name == "$dynamicAnchor":
		case namedSchemas[f.Name] && v.Is(tree.Object):
			inner := v.Empty()
			for _, p := range v.Fields {
				inner.Set(p.Name, b.schema(p.Value))
			}
			out.Set(f.Name, inner)
		case listSchemas[f.Name] && v.Is(tree.List):
			inner := tree.NewList()
			for _, item := range v.Items {
				inner.Append(b.schema(item))
			}
			out.Set(f.Name, inner)
		case oneSchema[f.Name]:
			out.Set(f.Name, b.schema(v))
		default:
			b.nodes += v.Size()
			out.Set(f.Name, v.Copy(nil))
		}
	}
	if b.s.openAPI() {
		return fromOpenAPI(out)
	}
	return out
}

var (
	listSchemas = map[string]bool{"allOf": true, "anyOf": true, "oneOf": true, "items": true, "prefixItems": true}
	oneSchema   = map[string]bool{"additionalProperties": true, "additionalItems": true, "items": true, "not": true, "if": true, "then": true, "else": true, "contains": true, "propertyNames": true, "unevaluatedProperties": true, "unevaluatedItems": true, "contentSchema": true}
)

// fromOpenAPI puts what OpenAPI 3.0 says in its own way as draft-07 does.
func fromOpenAPI(n *tree.Node) *tree.Node {
	if n.Get("nullable").True() {
		n = n.Without("nullable")
		if t := n.Get("type"); t.Is(tree.String) {
			n.Set("type", tree.NewList(tree.Text(t.Text), tree.Text("null")))
		}
		if e := n.Get("enum"); e.Is(tree.List) {
			e = e.Copy(nil)
			n.Set("enum", e.Append(&tree.Node{Kind: tree.Null}))
		}
	}
	for exclusive, inclusive := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		if e := n.Get(exclusive); e.Is(tree.Bool) {
			bound := n.Get(inclusive)
			if e.True() && bound.Is(tree.Number) {
				n = n.Without(exclusive, inclusive).Set(exclusive, bound.Copy(nil))
			} else {
				n = n.Without(exclusive)
			}
		}
	}
	return n
}

// cost says how often, at most, a value of some depth is looked at. Schemas that
// combine others several times over can multiply that at every level; nobody needs
// such schemas, and they would keep a processor busy for years.
func cost(root *tree.Node, depth int) int {
	c := coster{root: root, memo: map[costKey]int{}, open: map[costKey]bool{}}
	return c.of(root, depth)
}

type costKey struct {
	n     *tree.Node
	depth int
}

type coster struct {
	root *tree.Node
	memo map[costKey]int
	open map[costKey]bool
}

func (c *coster) of(n *tree.Node, depth int) int {
	if !n.Is(tree.Object) {
		return 1
	}
	key := costKey{n, depth}
	if known, ok := c.memo[key]; ok {
		return known
	}
	if c.open[key] || len(c.memo) > 2*maxCost { // refers to itself without going deeper
		return maxCost + 1
	}
	c.open[key] = true
	defer delete(c.open, key)
	total := 1
	add := func(n int) { total = min(total+n, maxCost+1) }
	if ref := n.Get("$ref").Str(); strings.HasPrefix(ref, "#/"+bundled+"/") {
		if target := c.target(ref); target != nil {
			add(c.of(target, depth))
		}
	}
	for _, f := range n.Fields {
		switch f.Name {
		case "allOf", "anyOf", "oneOf":
			for _, item := range f.Value.Items {
				add(c.of(item, depth))
			}
		case "not", "if", "then", "else":
			add(c.of(f.Value, depth))
		case "dependentSchemas", "dependencies":
			for _, d := range f.Value.Fields {
				add(c.of(d.Value, depth))
			}
		}
	}
	if depth > 0 { // what looks at one and the same child
		child := 0
		for _, name := range []string{"properties"} {
			for _, p := range n.Get(name).Entries() {
				child = max(child, c.of(p.Value, depth-1))
			}
		}
		for _, name := range []string{"additionalProperties", "unevaluatedProperties"} {
			child = max(child, c.of(n.Get(name), depth-1))
		}
		for _, p := range n.Get("patternProperties").Entries() {
			child = min(child+c.of(p.Value, depth-1), maxCost+1)
		}
		items := 0
		for _, name := range []string{"items", "prefixItems", "additionalItems", "unevaluatedItems"} {
			v := n.Get(name)
			if v.Is(tree.List) {
				for _, item := range v.Items {
					items = max(items, c.of(item, depth-1))
				}
			} else if v != nil {
				items = max(items, c.of(v, depth-1))
			}
		}
		if v := n.Get("contains"); v != nil {
			items += c.of(v, depth-1)
		}
		add(max(child, items))
	}
	c.memo[key] = total
	return total
}

func (c *coster) target(ref string) *tree.Node {
	name := strings.TrimPrefix(ref, "#/"+bundled+"/")
	for _, f := range c.root.Get(bundled).Entries() {
		if tree.Fragment(tree.Escape(f.Name)) == name {
			return f.Value
		}
	}
	return nil
}
