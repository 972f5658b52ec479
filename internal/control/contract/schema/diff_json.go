package schema

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"sluice/internal/control/contract/tree"
)

// jsonDifferences walks two JSON Schemas side by side and looks for values that the
// writer's admits and the reader's does not. Where that cannot be decided by
// looking, as with conditions, it says so.
func jsonDifferences(writer, reader *Schema) []Difference {
	w := side{schema: writer}
	r := side{schema: reader}
	w.root, _ = writer.bundle()
	r.root, _ = reader.bundle()
	if w.root == nil || r.root == nil {
		return []Difference{{Change: ChangeUncompared, Message: "the schemas are too large to compare", Writer: writer.Root, Reader: reader.Root}}
	}
	c := comparer{w: w, r: r, open: map[[2]*tree.Node]bool{}}
	c.compare("", w.root, r.root)
	if c.steps > maxSteps {
		c.out = append(c.out, Difference{Change: ChangeUncompared, Message: "the schemas are too large to compare to the end", Writer: writer.Root, Reader: reader.Root})
	}
	return c.out
}

type side struct {
	schema *Schema
	root   *tree.Node
}

// resolve follows references within a bundle.
func (s side) resolve(n *tree.Node) *tree.Node {
	for range 32 {
		ref := n.Get("$ref").Str()
		if !strings.HasPrefix(ref, "#/"+bundled+"/") {
			return n
		}
		var target *tree.Node
		for _, f := range s.root.Get(bundled).Entries() {
			if "#/"+bundled+"/"+tree.Fragment(tree.Escape(f.Name)) == ref {
				target = f.Value
			}
		}
		if target == nil {
			return n
		}
		n = target
	}
	return n
}

type comparer struct {
	w, r  side
	open  map[[2]*tree.Node]bool
	steps int
	out   []Difference
}

func (c *comparer) add(change Change, strict bool, path string, w, r *tree.Node, format string, args ...any) {
	if len(c.out) >= maxDiffs {
		return
	}
	name := path
	if name == "" {
		name = "the record"
	}
	c.out = append(c.out, Difference{Change: change, Strict: strict, Path: path, Message: name + " " + fmt.Sprintf(format, args...), Writer: w, Reader: r})
}

// try compares without reporting and returns what it would have reported.
func (c *comparer) try(path string, w, r *tree.Node) []Difference {
	saved := c.out
	c.out = nil
	c.compare(path, w, r)
	found := c.out
	c.out = saved
	return found
}

func strict(list []Difference) bool {
	return slices.ContainsFunc(list, func(d Difference) bool { return d.Strict })
}

// compare looks for values of w that r refuses.
func (c *comparer) compare(path string, w, r *tree.Node) {
	if c.steps++; c.steps > maxSteps || len(c.out) >= maxDiffs {
		return
	}
	w0, r0 := w, r
	w, r = c.w.resolve(w), c.r.resolve(r)
	if trivial(r) {
		return
	}
	pair := [2]*tree.Node{w, r}
	if c.open[pair] { // the same question is being asked already
		return
	}
	c.open[pair] = true
	defer delete(c.open, pair)

	if r.Is(tree.Bool) { // false
		if !(w.Is(tree.Bool) && !w.True()) {
			c.add(ChangeUnknown, true, path, w0, r0, "is not admitted any value")
		}
		return
	}
	if w.Is(tree.Bool) {
		if !w.True() {
			return
		}
		w = w.Empty()
	}
	w = c.merged(w)

	// What r combines.
	for _, part := range r.Get("allOf").Elements() {
		c.compare(path, w, part)
	}
	if !c.alternatives(path, w, r, w0, r0) {
		return
	}
	if n := r.Get("not"); n != nil && !tree.Equal(w.Get("not"), n) {
		c.add(ChangeRule, true, path, w0, n, "is restricted by \"not\", which cannot be shown to hold for what is written")
	}
	if n := r.Get("if"); n != nil && !(tree.Equal(w.Get("if"), n) && tree.Equal(w.Get("then"), r.Get("then")) && tree.Equal(w.Get("else"), r.Get("else"))) {
		c.add(ChangeRule, true, path, w0, n, "is restricted by a condition (if), which cannot be shown to hold for what is written")
	}

	types := c.types(path, w, r, w0, r0)
	c.values(path, w, r, w0, r0)
	c.text(path, w, r, types)
	if slices.Contains(types, "number") || slices.Contains(types, "integer") {
		c.numbers(path, w, r)
	}
	if slices.Contains(types, "array") {
		c.array(path, w, r)
	}
	if slices.Contains(types, "object") {
		c.object(path, w, r, w0, r0)
	}
}

// trivial reports whether a schema admits everything.
func trivial(n *tree.Node) bool {
	if n == nil || n.True() {
		return true
	}
	if !n.Is(tree.Object) {
		return false
	}
	for _, f := range n.Fields {
		if !prose[f.Name] && f.Name != "default" && f.Name != bundled && f.Name != "discriminator" && !strings.HasPrefix(f.Name, "x-") {
			return false
		}
	}
	return true
}

// merged lays the parts of allOf over a schema, so that it can be looked at as one.
func (c *comparer) merged(w *tree.Node) *tree.Node {
	parts := w.Get("allOf").Elements()
	if len(parts) == 0 {
		return w
	}
	out := w.Without("allOf")
	seen := map[*tree.Node]bool{}
	var lay func(parts []*tree.Node, depth int)
	lay = func(parts []*tree.Node, depth int) {
		for _, part := range parts {
			part = c.w.resolve(part)
			if c.steps++; depth > 16 || seen[part] || c.steps > maxSteps || !part.Is(tree.Object) {
				continue
			}
			seen[part] = true
			for _, f := range part.Fields {
				have := out.Get(f.Name)
				switch {
				case f.Name == "allOf":
				case have == nil:
					out.Set(f.Name, f.Value.Copy(nil))
				case f.Name == "properties":
					for _, p := range f.Value.Entries() {
						if other := have.Get(p.Name); other != nil {
							both := p.Value.Empty().Set("allOf", tree.NewList(other.Copy(nil), p.Value.Copy(nil)))
							have.Set(p.Name, both)
						} else {
							have.Set(p.Name, p.Value.Copy(nil))
						}
					}
				case f.Name == "required":
					for _, item := range f.Value.Elements() {
						if !slices.Contains(have.Strings(), item.Text) {
							have.Append(item.Copy(nil))
						}
					}
				case f.Name == "type":
					both := intersect(typesOf(out), typesOf(part))
					list := tree.NewList()
					for _, t := range both {
						list.Append(tree.Text(t))
					}
					out.Set("type", list)
				case f.Name == "additionalProperties" && have.True():
					out.Set(f.Name, f.Value.Copy(nil))
				}
			}
			lay(part.Get("allOf").Elements(), depth+1)
		}
	}
	lay(parts, 0)
	return out
}

// alternatives compares anyOf and oneOf; it returns false when that said everything.
func (c *comparer) alternatives(path string, w, r, w0, r0 *tree.Node) bool {
	choices := func(n *tree.Node) (string, []*tree.Node) {
		for _, keyword := range []string{"oneOf", "anyOf"} {
			if list := n.Get(keyword).Elements(); len(list) > 0 {
				return keyword, list
			}
		}
		return "", nil
	}
	wKeyword, wChoices := choices(w)
	_, rChoices := choices(r)
	if len(wChoices) > 0 {
		base := w.Without(wKeyword)
		if len(rChoices) == 0 && slices.ContainsFunc(wChoices, func(n *tree.Node) bool { return trivial(c.w.resolve(n)) }) {
			return true
		}
		for _, choice := range wChoices {
			one := choice
			if !trivial(base) {
				one = base.Copy(nil)
				one.Set("allOf", tree.NewList(append(copies(base.Get("allOf").Elements()), choice.Copy(nil))...))
			}
			c.compare(path, one, r)
		}
		return false
	}
	if len(rChoices) == 0 {
		return true
	}
	var best []Difference
	for i, choice := range rChoices {
		found := c.try(path, w, choice)
		if !strict(found) {
			return true
		}
		if i == 0 || len(found) < len(best) {
			best = found
		}
	}
	if types := typesOf(w); len(types) > 1 && len(w.Get("type").Elements()) > 1 { // each type may find a choice of its own
		ok := true
		for _, t := range types {
			one := w.Without("type").Set("type", tree.Text(t))
			fits := false
			for _, choice := range rChoices {
				fits = fits || !strict(c.try(path, one, choice))
			}
			ok = ok && fits
		}
		if ok {
			return true
		}
	}
	c.add(ChangeType, true, path, w0, r0, "fits none of the alternatives that are expected (the nearest: %s)", nearest(best))
	return true
}

func nearest(list []Difference) string {
	for _, d := range list {
		if d.Strict {
			return d.Message
		}
	}
	return "another type"
}

func copies(list []*tree.Node) []*tree.Node {
	out := make([]*tree.Node, len(list))
	for i, n := range list {
		out[i] = n.Copy(nil)
	}
	return out
}

var allTypes = []string{"null", "boolean", "object", "array", "number", "string"}

// typesOf returns the types that a schema admits; integer is one of its own only
// where number is not there. const and enum say them as well.
func typesOf(n *tree.Node) []string {
	if t := n.Get("type"); t != nil {
		if list := t.Strings(); len(list) > 0 {
			return list
		}
		if t.Is(tree.List) {
			return nil
		}
	}
	values := n.Get("enum").Elements()
	if v := n.Get("const"); v != nil {
		values = []*tree.Node{v}
	}
	if len(values) == 0 {
		return allTypes
	}
	var out []string
	for _, v := range values {
		t := typeOf(v)
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func typeOf(v *tree.Node) string {
	switch v.Kind {
	case tree.Bool:
		return "boolean"
	case tree.Number:
		if _, ok := v.Int(); ok {
			return "integer"
		}
		return "number"
	case tree.String:
		return "string"
	case tree.List:
		return "array"
	case tree.Object:
		return "object"
	}
	return "null"
}

func admits(types []string, t string) bool {
	return slices.Contains(types, t) || t == "integer" && slices.Contains(types, "number")
}

func intersect(a, b []string) []string {
	var out []string
	for _, t := range a {
		if admits(b, t) {
			out = append(out, t)
		} else if t == "number" && slices.Contains(b, "integer") {
			out = append(out, "integer")
		}
	}
	return out
}

// types compares types and returns those that both have.
func (c *comparer) types(path string, w, r, w0, r0 *tree.Node) []string {
	wt, rt := typesOf(w), typesOf(r)
	var extra []string
	for _, t := range wt {
		if !admits(rt, t) {
			extra = append(extra, t)
		}
	}
	if len(extra) > 0 {
		at, bt := w.Get("type"), r.Get("type")
		if at == nil {
			at = w0
		}
		if bt == nil {
			bt = r0
		}
		if len(wt) == len(allTypes) {
			c.add(ChangeType, true, path, at, bt, "may be of any type, and %s is expected", strings.Join(rt, " or "))
		} else {
			c.add(ChangeType, true, path, at, bt, "is %s, and %s is expected", strings.Join(wt, " or "), strings.Join(rt, " or "))
		}
	}
	return intersect(wt, rt)
}

// values compares enum and const.
func (c *comparer) values(path string, w, r, w0, r0 *tree.Node) {
	list := func(n *tree.Node) ([]*tree.Node, *tree.Node) {
		if v := n.Get("const"); v != nil {
			return []*tree.Node{v}, v
		}
		return n.Get("enum").Elements(), n.Get("enum")
	}
	want, at := list(r)
	if at == nil {
		return
	}
	have, from := list(w)
	if from == nil {
		if t := typesOf(w); len(t) == 1 && (t[0] == "null" || t[0] == "boolean" && len(want) >= 2) {
			return
		}
		c.add(ChangeValues, true, path, w0, at, "may be any value, and one of %s is expected", shownValues(want))
		return
	}
	var extra []*tree.Node
	for _, v := range have {
		if !slices.ContainsFunc(want, func(o *tree.Node) bool { return tree.Equal(v, o) }) {
			extra = append(extra, v)
		}
	}
	if len(extra) > 0 {
		c.add(ChangeValues, true, path, from, at, "may be %s, which is not expected", shownValues(extra))
	}
}

func shownValues(list []*tree.Node) string {
	var out []string
	for i, v := range list {
		if i == 5 {
			out = append(out, "…")
			break
		}
		out = append(out, clip(string(v.Canonical())))
	}
	return strings.Join(out, ", ")
}

func number(n *tree.Node) *big.Rat {
	if !n.Is(tree.Number) {
		return nil
	}
	r, ok := new(big.Rat).SetString(n.Text)
	if !ok {
		return nil
	}
	return r
}

// bound compares a limit: w must be at least as narrow as r.
func (c *comparer) bound(path, keyword string, w, r *tree.Node, lower bool) {
	want := number(r.Get(keyword))
	if want == nil {
		return
	}
	have := number(w.Get(keyword))
	if have == nil || lower && have.Cmp(want) < 0 || !lower && have.Cmp(want) > 0 {
		at := w.Get(keyword)
		if at == nil {
			at = w
		}
		c.add(ChangeBounds, true, path, at, r.Get(keyword), "is not bound by %s %s", keyword, r.Get(keyword).Text)
	}
}

func (c *comparer) numbers(path string, w, r *tree.Node) {
	if w.Has("enum") || w.Has("const") { // the values were compared, or say it themselves
		return
	}
	limits := func(n *tree.Node, inclusive, exclusive string) (value *big.Rat, open bool, at *tree.Node) {
		in, ex := number(n.Get(inclusive)), number(n.Get(exclusive))
		if ex != nil && (in == nil || inclusive == "minimum" && ex.Cmp(in) >= 0 || inclusive == "maximum" && ex.Cmp(in) <= 0) {
			return ex, true, n.Get(exclusive)
		}
		return in, in != nil && n.Get(exclusive).True(), n.Get(inclusive) // true: draft-04
	}
	for _, k := range [][2]string{{"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}} {
		want, wantOpen, at := limits(r, k[0], k[1])
		if want == nil {
			continue
		}
		have, haveOpen, from := limits(w, k[0], k[1])
		bad := have == nil
		if !bad {
			order := have.Cmp(want)
			if k[0] == "maximum" {
				order = -order
			}
			bad = order < 0 || order == 0 && wantOpen && !haveOpen
		}
		if bad {
			if from == nil {
				from = w
			}
			c.add(ChangeBounds, true, path, from, at, "is not bound by %s %s", at.Key(), at.Text)
		}
	}
	if want := number(r.Get("multipleOf")); want != nil && want.Sign() != 0 {
		have := number(w.Get("multipleOf"))
		if have == nil || !new(big.Rat).Quo(have, want).IsInt() {
			c.add(ChangeBounds, true, path, w, r.Get("multipleOf"), "need not be a multiple of %s", r.Get("multipleOf").Text)
		}
	}
}

func (c *comparer) text(path string, w, r *tree.Node, types []string) {
	if w.Has("enum") || w.Has("const") {
		return
	}
	if f := r.Get("format"); f.Is(tree.String) && w.Get("format").Str() != f.Text && len(types) > 0 {
		at := w.Get("format")
		if at == nil {
			c.add(ChangeFormat, true, path, w, f, "has no format, and %s is expected", f.Text)
		} else {
			c.add(ChangeFormat, true, path, at, f, "has the format %s, and %s is expected", at.Str(), f.Text)
		}
	}
	if !slices.Contains(types, "string") {
		return
	}
	c.bound(path, "minLength", w, r, true)
	c.bound(path, "maxLength", w, r, false)
	if p := r.Get("pattern"); p.Is(tree.String) && w.Get("pattern").Str() != p.Text {
		at := w.Get("pattern")
		if at == nil {
			at = w
		}
		c.add(ChangeFormat, true, path, at, p, "need not match %s", clip(p.Text))
	}
	for _, keyword := range []string{"contentEncoding", "contentMediaType"} {
		if v := r.Get(keyword); v.Is(tree.String) && w.Get(keyword).Str() != v.Text {
			c.add(ChangeFormat, true, path, w, v, "is not said to have %s %s", keyword, clip(v.Text))
		}
	}
}

func (c *comparer) array(path string, w, r *tree.Node) {
	c.bound(path, "minItems", w, r, true)
	c.bound(path, "maxItems", w, r, false)
	if r.Get("uniqueItems").True() && !w.Get("uniqueItems").True() {
		c.add(ChangeBounds, true, path, w, r.Get("uniqueItems"), "may hold the same item twice")
	}
	items := func(n *tree.Node) (tuple []*tree.Node, rest *tree.Node) {
		if p := n.Get("prefixItems"); p.Is(tree.List) {
			return p.Items, n.Get("items")
		}
		if i := n.Get("items"); i.Is(tree.List) {
			return i.Items, n.Get("additionalItems")
		}
		return nil, n.Get("items")
	}
	wt, wRest := items(w)
	rt, rRest := items(r)
	item := func(tuple []*tree.Node, rest *tree.Node, i int) *tree.Node {
		if i < len(tuple) {
			return tuple[i]
		}
		if rest == nil {
			return tree.NewObject()
		}
		return rest
	}
	for i := range max(len(wt), len(rt)) {
		if n, ok := w.Get("maxItems").Int(); ok && int64(i) >= n {
			break
		}
		c.compare(fmt.Sprintf("%s[%d]", path, i), item(wt, wRest, i), item(rt, rRest, i))
	}
	if rRest != nil && !(wRest.Is(tree.Bool) && !wRest.True()) {
		c.compare(path+"[]", item(nil, wRest, 0), rRest)
	}
	if n := r.Get("contains"); n != nil && !tree.Equal(w.Get("contains"), n) {
		c.add(ChangeRule, true, path, w, n, "must contain certain items, which cannot be shown to hold for what is written")
	}
}

func (c *comparer) object(path string, w, r, w0, r0 *tree.Node) {
	c.bound(path, "minProperties", w, r, true)
	c.bound(path, "maxProperties", w, r, false)
	wRequired, rRequired := w.Get("required").Strings(), r.Get("required").Strings()
	wProperties, rProperties := w.Get("properties"), r.Get("properties")
	for _, name := range rRequired {
		if slices.Contains(wRequired, name) {
			continue
		}
		from := wProperties.Get(name)
		if from == nil {
			from = w0
		}
		at := rProperties.Get(name)
		if at == nil {
			at = r.Get("required")
		}
		c.add(ChangeRequired, true, join(path, name), from, at, "is required by who reads, and may be missing in what is written")
	}
	wOther, rOther := w.Get("additionalProperties"), r.Get("additionalProperties")
	wClosed := wOther.Is(tree.Bool) && !wOther.True()
	rClosed := rOther.Is(tree.Bool) && !rOther.True()
	for _, f := range rProperties.Entries() {
		child := join(path, f.Name)
		have := wProperties.Get(f.Name)
		if have != nil {
			c.compare(child, have, f.Value)
			continue
		}
		if p := byPattern(w, f.Name); p != nil {
			c.compare(child, p, f.Value)
			continue
		}
		if slices.Contains(rRequired, f.Name) && !slices.Contains(wRequired, f.Name) {
			c.add(ChangeMissing, true, child, w0, f.Value, "is not in what is written")
			continue
		}
		c.add(ChangeMissing, false, child, w0, f.Value, "is not in what is written; who reads may still expect it")
		if !wClosed && !trivial(c.r.resolve(f.Value)) {
			if wOther.Is(tree.Object) {
				c.compare(child, wOther, f.Value)
			} else {
				c.add(ChangeUndescribed, false, child, w0, f.Value, "is not described where records are written, and since that schema is open (no additionalProperties: false) it may hold anything there")
			}
		}
	}
	for _, f := range wProperties.Entries() {
		if rProperties.Has(f.Name) {
			continue
		}
		if p := byPattern(r, f.Name); p != nil {
			c.compare(join(path, f.Name), f.Value, p)
			continue
		}
		if wv := c.w.resolve(f.Value); wv.Is(tree.Bool) && !wv.True() {
			continue
		}
		if rClosed {
			c.add(ChangeUnknown, true, join(path, f.Name), f.Value, rOther, "is written, and who reads refuses fields that it does not know (additionalProperties: false)")
		} else if rOther.Is(tree.Object) {
			c.compare(join(path, f.Name), f.Value, rOther)
		}
	}
	switch {
	case wClosed:
	case rClosed:
		at := wOther
		if at == nil {
			at = w0
		}
		c.add(ChangeClosed, true, path, at, rOther, "may have fields that are not described, and who reads refuses them (additionalProperties: false)")
	case rOther.Is(tree.Object) && !trivial(c.r.resolve(rOther)):
		if wOther.Is(tree.Object) {
			c.compare(join(path, "*"), wOther, rOther)
		} else {
			c.add(ChangeClosed, true, path, w0, rOther, "may have any further fields, and who reads expects them to fit a schema")
		}
	}
	for _, f := range r.Get("patternProperties").Entries() {
		if other := w.Get("patternProperties").Get(f.Name); other != nil {
			c.compare(join(path, "/"+f.Name+"/"), other, f.Value)
		} else if !wClosed && !trivial(c.r.resolve(f.Value)) {
			c.add(ChangeRule, true, path, w0, f.Value, "has rules for fields that match %s, which cannot be shown to hold for what is written", clip(f.Name))
		}
	}
	for _, keyword := range []string{"propertyNames", "dependencies", "dependentRequired", "dependentSchemas", "unevaluatedProperties"} {
		if n := r.Get(keyword); n != nil && !tree.Equal(w.Get(keyword), n) && !(n.Is(tree.Object) && len(n.Fields) == 0) {
			c.add(ChangeRule, true, path, w0, n, "is restricted by %s, which cannot be shown to hold for what is written", keyword)
		}
	}
}

// byPattern returns the schema of patternProperties that a field falls under.
func byPattern(n *tree.Node, name string) *tree.Node {
	for _, f := range n.Get("patternProperties").Entries() {
		if re, err := Regexp(f.Name); err == nil && re.MatchString(name) {
			return f.Value
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
