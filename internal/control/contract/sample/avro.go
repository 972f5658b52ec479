package sample

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/avro"

	"sluice/internal/control/contract/tree"
)

// avroSource makes values of an Avro schema, as people write them; see control/contract/codec.
type avroSource struct {
	root  *avro.SchemaNode
	named map[string]*avro.SchemaNode
}

func newAvro(s *avro.Schema) source {
	a := &avroSource{root: s.Root(), named: map[string]*avro.SchemaNode{}}
	a.register(a.root, 0)
	return a
}

// register notes what is named.
func (a *avroSource) register(n *avro.SchemaNode, depth int) {
	if n == nil || depth > tree.MaxDepth {
		return
	}
	if n.Name != "" {
		a.named[qualified(n)] = n
	}
	for i := range n.Fields {
		a.register(&n.Fields[i].Type, depth+1)
	}
	for i := range n.Branches {
		a.register(&n.Branches[i], depth+1)
	}
	a.register(n.Items, depth+1)
	a.register(n.Values, depth+1)
}

func qualified(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

func (a *avroSource) make(g *maker, at place) *tree.Node { return a.value(g, a.root, at, "", nil) }

func (a *avroSource) value(g *maker, n *avro.SchemaNode, at place, namespace string, above []*avro.SchemaNode) *tree.Node {
	if !g.take(at) {
		return nil
	}
	if target := a.resolve(n, namespace); target != nil {
		n = target
	}
	if n.Name != "" {
		namespace = n.Namespace
	}
	if v := logical(g, n, at); v != nil {
		return v
	}
	switch n.Type {
	case "record", "error":
		if slices.Contains(above, n) && len(above) > 8 {
			return nil
		}
		above = append(slices.Clip(above), n)
		out := tree.NewObject()
		for i := range n.Fields {
			f := &n.Fields[i]
			v := a.value(g, &f.Type, at.in(f.Name), namespace, above)
			if v == nil {
				return nil
			}
			out.Set(f.Name, v)
		}
		return out
	case "union":
		return a.union(g, n, at, namespace, above)
	case "array":
		out := tree.NewList()
		count := g.some(at, 0, -1)
		if target := a.resolve(n.Items, namespace); target != nil && slices.Contains(above, target) && at.depth > 3 {
			count = 0
		}
		for i := range count {
			if v := a.value(g, n.Items, at.item(i), namespace, above); v != nil {
				out.Append(v)
			}
		}
		return out
	case "map":
		out := tree.NewObject()
		for i := range g.some(at, 0, -1) {
			p := at.item(i)
			if v := a.value(g, n.Values, p, namespace, above); v != nil {
				out.Set(g.steady(p).of("alpha", "beta", "gamma", "north", "south", "origin", "batch"), v)
			}
		}
		return out
	case "enum":
		return tree.Text(g.pick(at, n.Symbols))
	case "null":
		return &tree.Node{Kind: tree.Null}
	case "boolean":
		return tree.Boolean(g.flag(at))
	case "int":
		return g.whole(at, math.MinInt32, math.MaxInt32)
	case "long":
		return g.whole(at, -1<<53, 1<<53)
	case "float", "double":
		v, decimals := g.real(at, math.Inf(-1), math.Inf(1))
		return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(v, 'f', decimals, 64)}
	case "string":
		return g.words(at)
	case "bytes":
		return tree.Text(g.steady(at).letters(8, mixed))
	case "fixed":
		return tree.Text(g.steady(at).letters(n.Size, mixed))
	}
	return nil
}

// resolve returns what a name stands for, nil for what is none.
func (a *avroSource) resolve(n *avro.SchemaNode, namespace string) *avro.SchemaNode {
	if n == nil || n.Name != "" {
		return nil
	}
	if namespace != "" && !strings.Contains(n.Type, ".") {
		if found := a.named[namespace+"."+n.Type]; found != nil {
			return found
		}
	}
	return a.named[n.Type]
}

// union takes a branch: rather not null, and none that is open already when that leads
// nowhere.
func (a *avroSource) union(g *maker, n *avro.SchemaNode, at place, namespace string, above []*avro.SchemaNode) *tree.Node {
	null := false
	var all, flat []*avro.SchemaNode
	for i := range n.Branches {
		b := &n.Branches[i]
		if b.Type == "null" {
			null = true
			continue
		}
		all = append(all, b)
		if target := a.resolve(b, namespace); target == nil || !slices.Contains(above, target) {
			flat = append(flat, b)
		}
	}
	if null && (len(all) == 0 || len(flat) == 0 && at.depth > 2 || !g.own(at) && !g.present(place{hash: chain(at.hash, "null"), depth: at.depth})) {
		return &tree.Node{Kind: tree.Null}
	}
	if len(flat) > 0 && at.depth > 2 {
		all = flat
	}
	if len(all) == 0 {
		return nil
	}
	b := all[g.steady(place{hash: chain(at.hash, "union")}).IntN(len(all))]
	v := a.value(g, b, at, namespace, above)
	if v == nil && null {
		return &tree.Node{Kind: tree.Null}
	}
	if v == nil || len(n.Branches) < 3 && null || len(n.Branches) < 2 {
		return v
	}
	name := b.Type
	if target := a.resolve(b, namespace); target != nil {
		b = target
	}
	if b.Name != "" {
		name = qualified(b)
	}
	return tree.NewObject().Set(name, v) // the form that says which branch it is
}

// logical makes what means more than its type (Avro 1.12, "Logical Types"); nil for others.
func logical(g *maker, n *avro.SchemaNode, at place) *tree.Node {
	switch n.LogicalType {
	case "date":
		return tree.Text(g.moment(at).UTC().Format(time.DateOnly))
	case "time-millis":
		return tree.Text(g.moment(at).UTC().Format("15:04:05.000"))
	case "time-micros":
		return tree.Text(g.moment(at).UTC().Format("15:04:05.000000"))
	case "timestamp-millis", "timestamp-micros", "timestamp-nanos":
		return tree.Text(instant(g.moment(at)))
	case "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		return tree.Text(g.moment(at).UTC().Format("2006-01-02T15:04:05.000"))
	case "uuid":
		return tree.Text(g.uuid(at))
	case "decimal":
		most := math.Pow(10, float64(n.Precision-n.Scale)) - 1
		v, _ := g.real(at, min(0, most), most)
		return &tree.Node{Kind: tree.Number, Text: new(big.Rat).SetFloat64(v).FloatString(n.Scale)}
	case "big-decimal":
		v, decimals := g.real(at, 0, 1e9)
		return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(v, 'f', decimals, 64)}
	}
	return nil
}

// whole is a whole number as a name promises it.
func (g *maker) whole(at place, low, high float64) *tree.Node {
	own := at.words[max(0, len(at.words)-at.own):]
	if temporal(own) {
		if v := g.counted(at, high); float64(v) <= high {
			return tree.Whole(v)
		}
	}
	if g.own(at) || len(own) > 0 && own[len(own)-1] == "id" {
		if v, ok := g.numbered(at, low, high); ok {
			return tree.Whole(v)
		}
	}
	v, _ := g.real(at, low, high)
	return tree.Whole(int64(math.Round(min(max(v, low), high))))
}

// words is a text as a name promises it.
func (g *maker) words(at place) *tree.Node {
	if s, ok := g.text(at); ok {
		return tree.Text(s)
	}
	return tree.Text(g.steady(at).of("aurora", "basalt", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper"))
}
