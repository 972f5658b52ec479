package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Decode reads the document into the struct that v points to and returns every
// problem. Fields are named by their json tag; a field with the tag "-" or none
// is left alone. Strings, booleans, numbers, time.Duration and Duration ("10s"), time.Time
// (RFC 3339), whatever has UnmarshalText, and structs, slices, maps and pointers
// of them are understood. A field that is not in the document keeps its value.
func (d *Document) Decode(v any) []Problem {
	d.problems = nil
	d.value(reflect.ValueOf(v).Elem(), d.root, "")
	return d.problems
}

// Peek returns a text field at the top level of the document, "" when there is
// none. It reports nothing.
func (d *Document) Peek(key string) string {
	for _, kv := range pairs(d.root) {
		if keyText(kv) == key {
			if s, ok := kv.Value.(*ast.StringNode); ok {
				return s.Value
			}
		}
	}
	return ""
}

func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func keyText(kv *ast.MappingValueNode) string {
	switch k := kv.Key.(type) {
	case *ast.StringNode:
		return k.Value
	case nil:
		return ""
	default:
		if tk := k.GetToken(); tk != nil {
			return tk.Value
		}
	}
	return ""
}

func (d *Document) position(n ast.Node) Position {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return Position{d.Line, 1}
	}
	if kvs := pairs(n); len(kvs) > 0 && kvs[0].Key != nil { // the token of a block mapping is its first colon
		if m, ok := n.(*ast.MappingNode); !ok || !m.IsFlowStyle {
			n = kvs[0].Key
		}
	}
	tk := n.GetToken()
	if tk == nil || tk.Position == nil {
		return Position{d.Line, 1}
	}
	return Position{d.Line - 1 + max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}

func (d *Document) report(n ast.Node, path, message, fix string) {
	p := d.position(n)
	d.problems = append(d.problems, Problem{Line: p.Line, Column: p.Column, Path: path, Message: message, Fix: fix})
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	writtenType  = reflect.TypeFor[Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *Document) value(v reflect.Value, n ast.Node, path string) {
	if _, ok := d.positions[path]; !ok {
		d.positions[path] = d.position(n)
	}
	if empty(n) {
		switch v.Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer:
			if v.Type() != timeType && !reflect.PointerTo(v.Type()).Implements(textType) {
				return
			}
		}
		d.report(n, path, "has no value", "write one, or remove the line")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(v.Elem(), n, path)
		return
	}
	switch {
	case v.Type() == durationType, v.Type() == writtenType:
		d.duration(v, n, path)
		return
	case v.Type() == timeType:
		d.time(v, n, path)
		return
	case reflect.PointerTo(v.Type()).Implements(textType):
		text, ok := scalar(n)
		if !ok {
			d.report(n, path, "must be one value, not "+describe(n), "write a single value")
			return
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			d.report(n, path, err.Error(), "")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(v, n, path)
	case reflect.Map:
		d.mapping(v, n, path)
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.report(n, path, "must be a list, not "+describe(n), "put it in [ ]")
			return
		}
		out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
		for i, item := range seq.Values {
			d.value(out.Index(i), item, fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(out)
	case reflect.String:
		switch n := n.(type) {
		case *ast.StringNode:
			v.SetString(n.Value)
		case *ast.LiteralNode:
			v.SetString(n.Value.Value)
		default:
			fix := "write text"
			if text, ok := scalar(n); ok {
				fix = "put it in quotes: " + strconv.Quote(text)
			}
			d.report(n, path, "must be text, not "+describe(n), fix)
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.report(n, path, "must be true or false, not "+describe(n), "write true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64, reflect.Int32:
		d.integer(v, n, path)
	default:
		panic(fmt.Sprintf("bug: strictyaml cannot read %s at %s", v.Type(), path))
	}
}

func (d *Document) integer(v reflect.Value, n ast.Node, path string) {
	if i, ok := n.(*ast.IntegerNode); ok {
		switch x := i.Value.(type) {
		case int64:
			if !v.OverflowInt(x) {
				v.SetInt(x)
				return
			}
		case uint64:
			if x <= math.MaxInt64 && !v.OverflowInt(int64(x)) {
				v.SetInt(int64(x))
				return
			}
		}
		d.report(n, path, "is too large a number", "write a smaller one")
		return
	}
	d.report(n, path, "must be a whole number, not "+describe(n), "write digits only")
}

func (d *Document) duration(v reflect.Value, n ast.Node, path string) {
	text, _ := scalar(n)
	x, err := time.ParseDuration(text)
	if err != nil {
		d.report(n, path, "must be a duration, not "+describe(n), "write a number and a unit: 500ms, 10s, 5m or 720h")
		return
	}
	v.SetInt(int64(x))
}

func (d *Document) time(v reflect.Value, n ast.Node, path string) {
	text, _ := scalar(n)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			v.Set(reflect.ValueOf(t.UTC()))
			return
		}
	}
	d.report(n, path, "must be a time, not "+describe(n), "write it as 2026-03-31 (0:00 UTC) or 2026-03-31T12:00:00Z")
}

// Mismatcher is a struct type that says in its own words what it should have
// been, without showing what was there instead. Types that stand for secrets
// need it.
type Mismatcher interface {
	Mismatch() (message, fix string)
}

func (d *Document) structure(v reflect.Value, n ast.Node, path string) {
	if m, ok := v.Interface().(Mismatcher); ok && !isMapping(n) {
		message, fix := m.Mismatch()
		d.report(n, path, message, fix)
		return
	}
	kvs, ok := d.entries(n, path)
	if !ok {
		return
	}
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = i
			known = append(known, name)
		}
	}
	for _, kv := range kvs {
		key := keyText(kv)
		i, ok := fields[key]
		if !ok {
			d.report(kv.Key, Join(path, key), "unknown field", unknownFix(key, known))
			continue
		}
		d.positions[Join(path, key)] = d.position(kv.Key)
		d.value(v.Field(i), kv.Value, Join(path, key))
	}
}

func unknownFix(key string, known []string) string {
	if near := Nearest(key, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "remove it"
	}
	slices.Sort(known)
	return "use one of " + strings.Join(known, ", ")
}

func (d *Document) mapping(v reflect.Value, n ast.Node, path string) {
	kvs, ok := d.entries(n, path)
	if !ok {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(kvs)))
	for _, kv := range kvs {
		key := keyText(kv)
		item := reflect.New(v.Type().Elem()).Elem()
		d.positions[Join(path, key)] = d.position(kv.Key)
		d.value(item, kv.Value, Join(path, key))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
	}
}

// entries returns the pairs of a mapping, without repeated keys.
func (d *Document) entries(n ast.Node, path string) ([]*ast.MappingValueNode, bool) {
	if !isMapping(n) {
		d.report(n, path, "must hold named fields, not "+describe(n), "write it as {name: value}")
		return nil, false
	}
	return d.unique(n, path), true
}

// unique returns the pairs of a mapping and reports repeated keys.
func (d *Document) unique(n ast.Node, path string) []*ast.MappingValueNode {
	first := map[string]Position{}
	var out []*ast.MappingValueNode
	for _, kv := range pairs(n) {
		key := keyText(kv)
		if at, twice := first[key]; twice {
			d.report(kv.Key, Join(path, key), fmt.Sprintf("is there twice, first in line %d", at.Line), "remove one")
			continue
		}
		first[key] = d.position(kv.Key)
		out = append(out, kv)
	}
	return out
}

// Join adds a field's name to a path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func empty(n ast.Node) bool {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return true
	}
	_, null := n.(*ast.NullNode)
	return null
}

func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return strconv.Quote(clip(n.Value))
	case *ast.LiteralNode:
		return "text of several lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + clip(n.GetToken().Value)
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "named fields"
	}
	return "this"
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// Nearest returns the name that is most like a key, or "" when none is near.
func Nearest(key string, names []string) string {
	if len(key) > 64 {
		return ""
	}
	best, name := max(2, len(key)/3)+1, ""
	for _, n := range names {
		if dist := distance(strings.ToLower(key), strings.ToLower(n)); dist < best || dist == best && name != "" && n < name {
			best, name = dist, n
		}
	}
	return name
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
