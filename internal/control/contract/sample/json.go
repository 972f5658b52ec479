package sample

import (
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// jsonSource makes values of a JSON Schema, of any draft.
type jsonSource struct{ *schema.Schema }

func (j jsonSource) make(g *maker, at place) *tree.Node {
	w := &jsonWriter{maker: g, schema: j.Schema}
	return w.value([]*tree.Node{j.Root}, at, nil)
}

type jsonWriter struct {
	*maker
	schema *schema.Schema
}

// all are schemas that one value has to fit.
type all []*tree.Node

// gather follows references and allOf, and chooses alternatives. above are the schemas
// that the value is in.
func (w *jsonWriter) gather(list []*tree.Node, at place, above []*tree.Node) (out all, inside []*tree.Node, never bool) {
	inside = slices.Clip(above)
	var take func(n *tree.Node)
	take = func(n *tree.Node) {
		if n.Is(tree.Bool) && !n.True() {
			never = true
		}
		if w.left--; n == nil || w.left < 0 || slices.Contains(out, n) || len(out) > 200 {
			return
		}
		out = append(out, n)
		inside = append(inside, n)
		if target := w.schema.Resolve(n); target != n {
			take(target)
		}
		for _, part := range n.Get("allOf").Elements() {
			take(part)
		}
		for _, keyword := range []string{"oneOf", "anyOf"} {
			if options := n.Get(keyword).Elements(); len(options) > 0 {
				take(w.choose(options, place{words: at.words, own: at.own, hash: chain(at.hash, keyword), depth: at.depth}, above))
			}
		}
		if condition := n.Get("if"); condition != nil {
			if w.steady(place{hash: chain(at.hash, "if")}).Float64() < 0.5 && !(condition.Is(tree.Bool) && !condition.True()) {
				take(condition)
				take(n.Get("then"))
			} else {
				take(n.Get("else"))
			}
		}
	}
	for _, n := range list {
		take(n)
	}
	return out, inside, never
}

// choose takes one of several schemas: rather not null, and none that is already open
// when that leads nowhere.
func (w *jsonWriter) choose(options []*tree.Node, at place, above []*tree.Node) *tree.Node {
	r := w.steady(at)
	var sensible, flat []*tree.Node
	for _, o := range options {
		target := w.schema.Resolve(o)
		if slices.Contains(target.Get("type").Strings(), "null") && len(target.Get("type").Strings()) == 1 {
			continue
		}
		sensible = append(sensible, o)
		if !slices.Contains(above, target) {
			flat = append(flat, o)
		}
	}
	switch {
	case len(sensible) == 0, len(sensible) < len(options) && r.Float64() < 0.1, len(sensible) < len(options) && len(flat) == 0 && at.depth > 4, len(sensible) < len(options) && w.lean:
		for _, o := range options {
			if !slices.Contains(sensible, o) {
				return o
			}
		}
	case len(flat) > 0 && (at.depth > 3 || w.lean):
		return flat[r.IntN(len(flat))]
	}
	return sensible[r.IntN(len(sensible))]
}

// first returns the first that says a keyword.
func (a all) first(keyword string) *tree.Node {
	for _, n := range a {
		if v := n.Get(keyword); v != nil {
			return v
		}
	}
	return nil
}

// each yields what all that say a keyword say.
func (a all) each(keyword string) []*tree.Node {
	var out []*tree.Node
	for _, n := range a {
		if v := n.Get(keyword); v != nil {
			out = append(out, v)
		}
	}
	return out
}

// types are those that all admit; none for any.
func (a all) types() []string {
	var out []string
	for _, n := range a {
		t := n.Get("type").Strings()
		if len(t) == 0 {
			continue
		}
		if n.Get("nullable").True() {
			t = append(t, "null")
		}
		if out == nil {
			out = slices.Clone(t)
			continue
		}
		out = slices.DeleteFunc(out, func(have string) bool {
			return !slices.Contains(t, have) && !(have == "integer" && slices.Contains(t, "number"))
		})
		if slices.Contains(t, "integer") && len(out) == 0 {
			out = []string{"integer"}
		}
	}
	return out
}

// values are those that enum and const of all admit; false where any are.
func (a all) values() ([]*tree.Node, bool) {
	var out []*tree.Node
	said := false
	narrow := func(list []*tree.Node) {
		if !said {
			out, said = list, true
			return
		}
		out = slices.DeleteFunc(slices.Clone(out), func(n *tree.Node) bool {
			return !slices.ContainsFunc(list, func(o *tree.Node) bool { return tree.Equal(n, o) })
		})
	}
	for _, n := range a {
		if c := n.Get("const"); c != nil {
			narrow([]*tree.Node{c})
		}
		if e := n.Get("enum"); e.Is(tree.List) {
			narrow(e.Items)
		}
	}
	return out, said
}

// examples are those that stand beside a value's schema.
func (a all) examples() []*tree.Node {
	var out []*tree.Node
	for _, n := range a {
		out = append(out, n.Get("examples").Elements()...)
		if e := n.Get("example"); e != nil {
			out = append(out, e)
		}
	}
	return out
}

func (w *jsonWriter) value(list []*tree.Node, at place, above []*tree.Node) *tree.Node {
	if !w.take(at) {
		return nil
	}
	a, inside, never := w.gather(list, at, above)
	if never {
		return nil
	}
	if values, said := a.values(); said {
		return w.oneOf(values, at, a)
	}
	kind := w.kind(a, at)
	switch kind {
	case "object":
		return w.object(a, at, inside)
	case "array":
		return w.array(a, at, inside)
	case "string":
		return w.string(a, at)
	case "integer", "number":
		return w.number(a, at, kind == "integer")
	case "boolean":
		return tree.Boolean(w.flag(at))
	case "null":
		return &tree.Node{Kind: tree.Null}
	}
	if e := a.examples(); len(e) > 0 {
		return e[w.steady(at).IntN(len(e))].Copy(nil)
	}
	if d := a.first("default"); d != nil {
		return d.Copy(nil)
	}
	if text, ok := w.text(at); ok || at.depth > 0 {
		if !ok {
			text = w.steady(at).of(colours...)
		}
		return tree.Text(text)
	}
	return tree.NewObject().Set("id", tree.Text(w.name(at.in("id")))).Set("time", tree.Text(instant(w.now)))
}

// oneOf takes one of the values of an enum.
func (w *jsonWriter) oneOf(values []*tree.Node, at place, a all) *tree.Node {
	types := a.types()
	var texts []string
	var fit []*tree.Node
	for _, v := range values {
		if fits(v, types) {
			fit = append(fit, v)
			if v.Is(tree.String) {
				texts = append(texts, v.Text)
			}
		}
	}
	switch {
	case len(fit) == 0:
		return nil
	case len(texts) > 0:
		return tree.Text(w.pick(at, texts))
	}
	return fit[w.steady(at).weighted(len(fit))].Copy(nil)
}

func fits(v *tree.Node, types []string) bool {
	if len(types) == 0 {
		return true
	}
	switch v.Kind {
	case tree.Null:
		return slices.Contains(types, "null")
	case tree.Bool:
		return slices.Contains(types, "boolean")
	case tree.Number:
		return slices.Contains(types, "number") || slices.Contains(types, "integer")
	case tree.String:
		return slices.Contains(types, "string")
	case tree.List:
		return slices.Contains(types, "array")
	}
	return slices.Contains(types, "object")
}

// keywords that say of which type a value is, where type does not.
var telling = map[string]string{
	"properties": "object", "required": "object", "patternProperties": "object", "additionalProperties": "object", "minProperties": "object",
	"items": "array", "prefixItems": "array", "minItems": "array", "contains": "array", "uniqueItems": "array",
	"pattern": "string", "format": "string", "minLength": "string", "maxLength": "string",
	"minimum": "number", "maximum": "number", "multipleOf": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number",
}

// kind chooses a type; empty for anything.
func (w *jsonWriter) kind(a all, at place) string {
	types := a.types()
	if len(types) == 0 {
		for _, n := range a {
			for _, f := range n.Entries() {
				if kind := telling[f.Name]; kind != "" {
					return kind
				}
			}
		}
		return ""
	}
	if i := slices.Index(types, "null"); i >= 0 && len(types) > 1 {
		if r := w.steady(place{hash: chain(at.hash, "null")}); r.Float64() < 0.1 || w.lean && at.depth > 8 {
			return "null"
		}
		types = slices.Delete(slices.Clone(types), i, i+1)
	}
	return types[w.steady(place{hash: chain(at.hash, "type")}).weighted(len(types))]
}

// count reads a keyword that counts, the strictest of all; absent is what it is when
// nobody says it.
func (a all) count(keyword string, absent int, stricter func(a, b int) int) int {
	out, said := absent, false
	for _, n := range a.each(keyword) {
		if v, ok := n.Int(); ok && v >= 0 {
			c := int(min(v, math.MaxInt32))
			if said {
				c = stricter(out, c)
			}
			out, said = c, true
		}
	}
	return out
}

func larger(a, b int) int  { return max(a, b) }
func smaller(a, b int) int { return min(a, b) }

func (w *jsonWriter) object(a all, at place, above []*tree.Node) *tree.Node {
	out := tree.NewObject()
	required := map[string]bool{}
	of := map[string][]*tree.Node{} // schemas of each property
	var order []string
	for _, n := range a {
		for _, name := range n.Get("required").Strings() {
			required[name] = true
		}
		for _, p := range n.Get("properties").Entries() {
			if of[p.Name] == nil {
				order = append(order, p.Name)
			}
			of[p.Name] = append(of[p.Name], p.Value)
		}
	}
	closed := slices.ContainsFunc(a.each("additionalProperties"), func(n *tree.Node) bool { return n.Is(tree.Bool) && !n.True() }) ||
		slices.ContainsFunc(a.each("unevaluatedProperties"), func(n *tree.Node) bool { return n.Is(tree.Bool) && !n.True() })
	for _, name := range slices.Sorted(keys(required)) {
		if of[name] == nil {
			order = append(order, name)
			of[name] = []*tree.Node{}
		}
	}
	for _, p := range a.each("patternProperties") {
		for _, f := range p.Entries() {
			if re, err := schema.Regexp(f.Name); err == nil {
				for name := range of {
					if re.MatchString(name) {
						of[name] = append(of[name], f.Value)
					}
				}
			}
		}
	}
	if additional := a.first("additionalProperties"); additional.Is(tree.Object) {
		for name, list := range of {
			if len(list) == 0 {
				of[name] = append(list, additional)
			}
		}
	}
	most := a.count("maxProperties", -1, smaller)
	// What asks for another property makes it necessary when it is there.
	depends := func(name string) []string {
		var more []string
		for _, keyword := range []string{"dependentRequired", "dependencies"} {
			for _, d := range a.each(keyword) {
				more = append(more, d.Get(name).Strings()...)
			}
		}
		return more
	}
	wanted := map[string]bool{}
	count := len(required)
	for name := range required {
		wanted[name] = true
	}
	for _, name := range order {
		p := at.in(name)
		if wanted[name] || most >= 0 && count >= most {
			continue
		}
		open := slices.ContainsFunc(of[name], func(n *tree.Node) bool { return slices.Contains(above, w.schema.Resolve(n)) })
		if w.own(p) || w.present(p) && !(open && at.depth > 2) {
			wanted[name] = true
			count++
		}
	}
	for range order { // until nothing more is asked for
		more := false
		for name := range wanted {
			for _, d := range depends(name) {
				if !wanted[d] {
					if wanted[d], more = true, true; of[d] == nil {
						order, of[d] = append(order, d), []*tree.Node{}
					}
				}
			}
		}
		if !more {
			break
		}
	}
	for _, name := range order {
		if !wanted[name] {
			continue
		}
		v := w.value(of[name], at.in(name), above)
		if v == nil {
			if required[name] {
				return nil
			}
			continue
		}
		out.Set(name, v)
	}
	w.entries(out, a, at, above, closed)
	w.sum(out)
	return out
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// entries adds what an object has besides its properties: those of a map.
func (w *jsonWriter) entries(out *tree.Node, a all, at place, above []*tree.Node, closed bool) {
	least, most := a.count("minProperties", 0, larger), a.count("maxProperties", -1, smaller)
	additional := a.first("additionalProperties")
	patterned := a.first("patternProperties").Entries()
	if len(a.each("properties")) > 0 && len(out.Fields) >= least || closed && len(patterned) == 0 {
		return
	}
	wish := least
	if additional.Is(tree.Object) || len(patterned) > 0 {
		wish = w.some(at, least, most)
	}
	names := a.each("propertyNames")
	for i := 0; len(out.Fields) < wish && i < 4*wish; i++ {
		p := at.item(i)
		var name string
		var of []*tree.Node
		switch {
		case len(patterned) > 0:
			f := patterned[i%len(patterned)]
			text, ok := w.matched(f.Name, w.steady(p), 0)
			if !ok {
				return
			}
			name, of = text, []*tree.Node{f.Value}
		case len(names) > 0:
			n := w.value(names, p, above)
			if !n.Is(tree.String) {
				return
			}
			name = n.Text
		default:
			name = w.steady(p).of("alpha", "beta", "gamma", "north", "south", "note", "origin", "batch", "shelf", "lane")
		}
		if of == nil && additional.Is(tree.Object) {
			of = []*tree.Node{additional}
		}
		if out.Has(name) {
			continue
		}
		v := w.value(of, p, above)
		if v == nil {
			return
		}
		out.Set(name, v)
	}
}

// sum makes a total what its parts come to, where an object has both.
func (w *jsonWriter) sum(out *tree.Node) {
	for _, f := range out.Fields {
		if !f.Value.Is(tree.List) || len(f.Value.Items) == 0 {
			continue
		}
		for i := range out.Fields {
			total := out.Fields[i]
			own := words(total.Name)
			if !total.Value.Is(tree.Number) || !slices.Contains(own, "total") || slices.Contains(own, "item") || slices.Contains(own, "count") || slices.Contains(own, "number") {
				continue
			}
			sum := new(big.Rat)
			for _, item := range f.Value.Items {
				price, quantity := (*big.Rat)(nil), big.NewRat(1, 1)
				for _, part := range item.Entries() {
					v, ok := new(big.Rat).SetString(part.Value.Text)
					if !part.Value.Is(tree.Number) || !ok {
						continue
					}
					w := words(part.Name)
					switch {
					case slices.Contains(w, "quantity"), slices.Contains(w, "qty"), slices.Contains(w, "count"):
						quantity = v
					case slices.Contains(w, "price") && slices.Contains(w, "cents") == slices.Contains(own, "cents"):
						price = v
					}
				}
				if price == nil {
					return
				}
				sum.Add(sum, new(big.Rat).Mul(price, quantity))
			}
			decimals := 0
			if !sum.IsInt() {
				decimals = 2
			}
			out.Fields[i].Value.Text = sum.FloatString(decimals)
			return
		}
	}
}

func (w *jsonWriter) array(a all, at place, above []*tree.Node) *tree.Node {
	least, most := a.count("minItems", 0, larger), a.count("maxItems", -1, smaller)
	places := a.first("prefixItems").Elements()
	items := a.first("items")
	if items.Is(tree.List) {
		places, items = items.Items, a.first("additionalItems")
	}
	out := tree.NewList()
	if w.position2(out, at, items, least, most) {
		return out
	}
	n := w.some(at, least, most)
	if items != nil && slices.Contains(above, w.schema.Resolve(items)) && at.depth > 3 {
		n = least
	}
	if len(places) > 0 {
		n = max(least, len(places))
		if most >= 0 {
			n = min(n, most)
		}
	}
	if items.Is(tree.Bool) && !items.True() {
		n = min(n, len(places))
	}
	contains := a.first("contains")
	unique := slices.ContainsFunc(a.each("uniqueItems"), (*tree.Node).True)
	for i := range n {
		list := []*tree.Node{}
		switch {
		case i < len(places):
			list = append(list, places[i])
		case items != nil:
			for _, same := range a.each("items") {
				if !same.Is(tree.List) {
					list = append(list, same)
				}
			}
			if len(list) == 0 {
				list = append(list, items)
			}
		}
		if contains != nil && i == n-1 {
			list = append(list, contains)
		}
		var v *tree.Node
		for try := range 6 {
			v = w.value(list, at.item(i+try*1000), above)
			if v == nil || !unique || !slices.ContainsFunc(out.Items, func(o *tree.Node) bool { return tree.Equal(o, v) }) {
				break
			}
			v = nil
		}
		if v == nil {
			break
		}
		out.Append(v)
	}
	if len(out.Items) < least || contains != nil && len(out.Items) < n {
		return nil
	}
	return out
}

// position2 fills in an array that is a position, as GeoJSON has it (RFC 7946 §3.1.1).
func (w *jsonWriter) position2(out *tree.Node, at place, items *tree.Node, least, most int) bool {
	if len(at.words) == 0 || at.words[len(at.words)-1] != "coordinates" || least > 2 || most >= 0 && most < 2 {
		return false
	}
	if t := w.schema.Resolve(items).Get("type").Str(); t != "number" {
		return false
	}
	for _, name := range []string{"longitude", "latitude"} {
		v, decimals, _ := w.coordinates(at.in(name))
		out.Append(&tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(v, 'f', decimals, 64)})
	}
	return true
}

func (w *jsonWriter) number(a all, at place, whole bool) *tree.Node {
	low, high := math.Inf(-1), math.Inf(1)
	var over, under bool // the bounds themselves are not admitted
	for _, n := range a {
		if v, ok := n.Get("minimum").Float(); ok && v >= low {
			low, over = v, n.Get("exclusiveMinimum").True()
		}
		if v, ok := n.Get("maximum").Float(); ok && v <= high {
			high, under = v, n.Get("exclusiveMaximum").True()
		}
		if v, ok := n.Get("exclusiveMinimum").Float(); ok && v >= low {
			low, over = v, true
		}
		if v, ok := n.Get("exclusiveMaximum").Float(); ok && v <= high {
			high, under = v, true
		}
	}
	switch a.first("format").Str() {
	case "int32":
		low, high = max(low, math.MinInt32), min(high, math.MaxInt32)
	case "int64":
		low, high = max(low, -1<<62), min(high, 1<<62)
	}
	own := at.words[max(0, len(at.words)-at.own):]
	if temporal(own) {
		if v := w.counted(at, high); float64(v) >= low && float64(v) <= high {
			return tree.Whole(v)
		}
	}
	if w.own(at) || len(own) > 0 && own[len(own)-1] == "id" {
		if v, ok := w.numbered(at, low, high); ok {
			return tree.Whole(v)
		}
	}
	if _, known := rule(numbers, at.words); !known {
		var fit []*tree.Node
		for _, e := range a.examples() {
			if e.Is(tree.Number) {
				fit = append(fit, e)
			}
		}
		if _, _, moving := w.coordinates(at); len(fit) > 0 && !moving {
			return fit[w.steady(at).IntN(len(fit))].Copy(nil)
		}
	}
	v, decimals := w.real(at, low, high)
	if whole {
		decimals = 0
	}
	step := big.NewRat(1, 1)
	for range decimals {
		step.Quo(step, big.NewRat(10, 1))
	}
	if m := a.first("multipleOf"); m.Is(tree.Number) {
		if r, ok := new(big.Rat).SetString(m.Text); ok && r.Sign() > 0 {
			if step = r; whole && !r.IsInt() {
				step = new(big.Rat).SetInt(r.Num()) // of 2.5, 5 is the first that is whole
			}
			decimals = decimalsOf(m.Text)
		}
	}
	return steps(v, low, high, over, under, step, decimals)
}

// numbered is the name of a thing where names are numbers.
func (g *maker) numbered(at place, low, high float64) (int64, bool) {
	v := int64(1000 + g.steady(at).IntN(400))
	if g.own(at) {
		v = int64(g.thing.number)
	}
	if f := float64(v); f < low || f > high {
		span := min(high, max(low, 0)+1e9) - max(low, 0)
		if span < 1 {
			return 0, false
		}
		v = int64(max(low, 0)) + v%int64(span)
	}
	return v, true
}

func decimalsOf(text string) int {
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	_, behind, _ := strings.Cut(text, ".")
	return min(len(behind), 12)
}

// steps is the multiple of a step that is nearest to a number, between bounds.
func steps(v, low, high float64, over, under bool, step *big.Rat, decimals int) *tree.Node {
	of := func(f float64) *big.Rat { r := new(big.Rat); r.SetFloat64(f); return r }
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	n := new(big.Rat).Quo(of(v), step)
	k := new(big.Int).Quo(n.Num(), n.Denom())
	at := func() *big.Rat { return new(big.Rat).Mul(new(big.Rat).SetInt(k), step) }
	for range 3 {
		if !math.IsInf(low, 0) && (at().Cmp(of(low)) < 0 || over && at().Cmp(of(low)) == 0) {
			k.Add(k, big.NewInt(1))
		} else if !math.IsInf(high, 0) && (at().Cmp(of(high)) > 0 || under && at().Cmp(of(high)) == 0) {
			k.Sub(k, big.NewInt(1))
		}
	}
	value := at()
	beyond := func() bool {
		return !math.IsInf(low, 0) && (value.Cmp(of(low)) < 0 || over && value.Cmp(of(low)) == 0) || !math.IsInf(high, 0) && (value.Cmp(of(high)) > 0 || under && value.Cmp(of(high)) == 0)
	}
	if beyond() { // the step is larger than the span
		if low == high && !over && !under {
			return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(low, 'f', -1, 64)}
		}
		return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(low+(high-low)/2, 'f', -1, 64)}
	}
	return &tree.Node{Kind: tree.Number, Text: value.FloatString(decimals)}
}

func (w *jsonWriter) string(a all, at place) *tree.Node {
	least, most := a.count("minLength", 0, larger), a.count("maxLength", -1, smaller)
	var patterns []string
	for _, p := range a.each("pattern") {
		if p.Is(tree.String) {
			patterns = append(patterns, p.Text)
		}
	}
	good := func(s string) bool {
		n := utf8.RuneCountInString(s)
		return n >= least && (most < 0 || n <= most) && !slices.ContainsFunc(patterns, func(p string) bool {
			re, err := schema.Regexp(p)
			return err == nil && !re.MatchString(s)
		})
	}
	r := w.steady(at)
	var examples []string
	for _, e := range a.examples() {
		if e.Is(tree.String) {
			examples = append(examples, e.Text)
		}
	}
	if format := a.first("format").Str(); format != "" {
		if s, ok := w.formatted(format, at); ok && good(s) {
			return tree.Text(s)
		}
	}
	own := at.words[max(0, len(at.words)-at.own):]
	if len(examples) > 0 && (w.own(at) || len(own) > 0 && own[len(own)-1] == "id") {
		random := r
		if w.own(at) {
			random = draw(w.thing.seed, 99, w.salt)
		}
		if s := alike(examples[0], random); good(s) {
			return tree.Text(s)
		}
	}
	if len(examples) > 1 {
		if s := examples[r.IntN(len(examples))]; good(s) {
			return tree.Text(s)
		}
	}
	text, known := w.text(at)
	if known && good(text) {
		return tree.Text(text)
	}
	if len(examples) > 0 && good(examples[0]) {
		return tree.Text(examples[0])
	}
	for _, p := range patterns {
		for try := range 8 {
			if s, ok := w.matched(p, draw(w.thing.seed, at.hash, w.salt<<8|uint64(try)), least); ok && good(s) {
				return tree.Text(s)
			}
		}
	}
	if d := a.first("default"); d.Is(tree.String) && good(d.Text) && !known {
		return d.Copy(nil)
	}
	if !known {
		text = r.of("aurora", "basalt", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper")
	}
	return tree.Text(fitted(text, least, most, r))
}

// fitted makes a text longer or shorter.
func fitted(text string, least, most int, r *random) string {
	runes := []rune(text)
	if most >= 0 && len(runes) > most {
		runes = runes[:most]
	}
	if missing := min(least, 1<<16) - len(runes); missing > 0 {
		runes = append(runes, []rune(r.letters(missing, mixed))...)
	}
	return string(runes)
}

// matched makes a text that a pattern matches.
func (w *jsonWriter) matched(pattern string, r *random, least int) (string, bool) {
	re, ok := schema.Syntax(pattern)
	if !ok {
		return "", false
	}
	return matching(re, r, least), true
}

// formatted makes a text of a format (JSON Schema 2020-12, Validation §7.3, and what
// OpenAPI adds).
func (w *jsonWriter) formatted(format string, at place) (string, bool) {
	switch format {
	case "date-time":
		return instant(w.moment(at)), true
	case "date":
		return w.moment(at).UTC().Format(time.DateOnly), true
	case "time":
		return w.moment(at).UTC().Format("15:04:05Z"), true
	case "duration":
		return "PT" + strconv.Itoa(1+w.steady(at).IntN(90)) + "M", true
	case "email", "idn-email":
		return email(w.maker, at), true
	case "hostname", "idn-hostname":
		return host(w.maker, at), true
	case "ipv4":
		return ip4(w.maker, at), true
	case "ipv6":
		return "2001:db8::" + strconv.FormatInt(int64(1+w.steady(at).IntN(65000)), 16), true
	case "uri", "url", "iri":
		return address(w.maker, at), true
	case "uri-reference", "iri-reference":
		u, err := url.Parse(address(w.maker, at))
		if err != nil {
			return "", false
		}
		return u.Path, true
	case "uuid", "guid":
		return w.uuid(at), true
	case "json-pointer":
		return "/data/0", true
	case "regex":
		return "^[a-z]+$", true
	case "byte", "base64":
		return "c2x1aWNlIG1hZGUgdGhpcyB1cA==", true
	case "phone":
		return phone(w.maker, at), true
	}
	return "", false
}

// uuid names the thing itself, what it has to do with, or the record.
func (g *maker) uuid(at place) string {
	if !g.own(at) && g.message.identity != "" && len(at.words) > 1 {
		switch at.words[len(at.words)-2] {
		case "event", "message", "correlation", "request", "trace":
			return uuid(g.fresh(at))
		}
	}
	return uuid(g.steady(at))
}
