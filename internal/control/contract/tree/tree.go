// Package tree is JSON and YAML text as nodes that know their place. Its main
// type is Node. Text is never trusted: its size, depth and number of nodes are
// bounded, aliases are counted as what they stand for. It knows nothing of what
// a document means.
//
// YAML is read by go.yaml.in/yaml/v3, whose time grows with the length of the
// text; JSON by a reader of our own, since YAML refuses some JSON.
package tree

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control/contract/rule"
)

// What one file may hold.
const (
	MaxBytes = 4 << 20
	MaxDepth = 96
	MaxNodes = 200_000
)

// Kind is a sort of JSON value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// String names a kind as people do.
func (k Kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[min(k, Object)]
}

// Position is a line and a column, both counted from 1.
type Position struct{ Line, Column int }

// Node is one JSON value. Nodes are not changed once they are shared; a nil Node
// is what is not there, and every method may be called on it.
type Node struct {
	Kind Kind
	// Text is a scalar: the characters of a String, the JSON text of a Number, true or
	// false of a Bool.
	Text string
	// Items are those of a List.
	Items []*Node
	// Fields are those of an Object, in the order of the text; names are unique.
	Fields []Field

	at     Position // of the value
	keyAt  Position // of its name, in an object
	parent *Node
	key    string // name in an object, index in a list
	file   string
	origin *Node // what this is a copy of
	index  map[string]int
}

// Field is a named value of an object.
type Field struct {
	Name  string
	Value *Node
}

// Get returns the value of a field, nil when it is not there.
func (n *Node) Get(name string) *Node {
	if n == nil || n.Kind != Object {
		return nil
	}
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return n.Fields[i].Value
		}
		return nil
	}
	for _, f := range n.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// Has reports whether an object has a field.
func (n *Node) Has(name string) bool { return n.Get(name) != nil }

// At returns what is below a node by names, nil when it is not there.
func (n *Node) At(names ...string) *Node {
	for _, name := range names {
		n = n.Get(name)
	}
	return n
}

// Str returns the text of a String, "" for anything else.
func (n *Node) Str() string {
	if n == nil || n.Kind != String {
		return ""
	}
	return n.Text
}

// True reports whether a node is true.
func (n *Node) True() bool { return n != nil && n.Kind == Bool && n.Text == "true" }

// Is reports whether a node is there and of a kind.
func (n *Node) Is(k Kind) bool { return n != nil && n.Kind == k }

// Int returns a whole number.
func (n *Node) Int() (int64, bool) {
	if !n.Is(Number) {
		return 0, false
	}
	if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -(1<<53) {
		return 0, false
	}
	return int64(f), true
}

// Float returns a number.
func (n *Node) Float() (float64, bool) {
	if !n.Is(Number) {
		return 0, false
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	return f, err == nil
}

// Strings returns the texts of a list, or a single text as a list of one.
func (n *Node) Strings() []string {
	if n == nil {
		return nil
	}
	if n.Kind == String {
		return []string{n.Text}
	}
	var out []string
	for _, item := range n.Items {
		if item.Kind == String {
			out = append(out, item.Text)
		}
	}
	return out
}

// Names returns the names of an object's fields.
func (n *Node) Names() []string {
	if n == nil {
		return nil
	}
	out := make([]string, len(n.Fields))
	for i, f := range n.Fields {
		out[i] = f.Name
	}
	return out
}

// Parent returns the list or object that a node is in.
func (n *Node) Parent() *Node {
	if n == nil {
		return nil
	}
	return n.parent
}

// Key returns a node's name in its object, or its index in its list.
func (n *Node) Key() string {
	if n == nil {
		return ""
	}
	return n.key
}

// Origin returns the node of the text that a copy was made of.
func (n *Node) Origin() *Node {
	for n != nil && n.origin != nil {
		n = n.origin
	}
	return n
}

// File returns the name of the file that a node was read from.
func (n *Node) File() string {
	if n = n.Origin(); n == nil {
		return ""
	}
	return n.file
}

// Pointer returns the JSON Pointer (RFC 6901) of a node in its file.
func (n *Node) Pointer() string {
	var keys []string
	for n = n.Origin(); n != nil && n.parent != nil; n = n.parent {
		keys = append(keys, n.key)
	}
	slices.Reverse(keys)
	return Pointer(keys...)
}

// Pointer joins names to a JSON Pointer.
func Pointer(keys ...string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteByte('/')
		b.WriteString(Escape(key))
	}
	return b.String()
}

// Escape returns a name as it stands in a JSON Pointer.
func Escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// Unescape is the reverse of Escape.
func Unescape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// Place returns where a node stands: where its name does, if it has one.
func (n *Node) Place() rule.Place {
	o := n.Origin()
	if o == nil {
		return rule.Place{}
	}
	at := o.at
	if o.keyAt.Line > 0 {
		at = o.keyAt
	}
	return rule.Place{File: o.file, Line: at.Line, Column: at.Column, Pointer: o.Pointer()}
}

// ValuePlace returns where the value of a node begins.
func (n *Node) ValuePlace() rule.Place {
	p := n.Place()
	if o := n.Origin(); o != nil {
		p.Line, p.Column = o.at.Line, o.at.Column
	}
	return p
}

// Find returns what a JSON Pointer names below a node.
func (n *Node) Find(pointer string) (*Node, bool) {
	if pointer == "" {
		return n, n != nil
	}
	if pointer[0] != '/' {
		return nil, false
	}
	for _, token := range strings.Split(pointer[1:], "/") {
		switch token = Unescape(token); {
		case n.Is(Object):
			n = n.Get(token)
		case n.Is(List):
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n.Items) || strconv.Itoa(i) != token {
				return nil, false
			}
			n = n.Items[i]
		default:
			return nil, false
		}
		if n == nil {
			return nil, false
		}
	}
	return n, true
}

// Nearest returns what a pointer names, or the nearest node above it that is there.
func (n *Node) Nearest(path []string) *Node {
	for _, token := range path {
		next, ok := n.Find("/" + Escape(token))
		if !ok {
			break
		}
		n = next
	}
	return n
}

// Walk calls visit for a node and everything below it, until visit returns false
// for a node, whose inside is then left out.
func (n *Node) Walk(visit func(*Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, item := range n.Items {
		item.Walk(visit)
	}
	for _, f := range n.Fields {
		f.Value.Walk(visit)
	}
}

// Value returns the node as encoding/json would, numbers as json.Number.
func (n *Node) Value() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case Bool:
		return n.Text == "true"
	case Number:
		return json.Number(n.Text)
	case String:
		return n.Text
	case List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Value()
		}
		return out
	case Object:
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			out[f.Name] = f.Value.Value()
		}
		return out
	}
	return nil
}

// Size counts a node and everything below it.
func (n *Node) Size() int {
	count := 0
	n.Walk(func(*Node) bool { count++; return true })
	return count
}

// Equal reports whether two nodes are the same JSON value; the order of fields does
// not count, nor how a number is written.
func Equal(a, b *Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || len(a.Items) != len(b.Items) || len(a.Fields) != len(b.Fields) {
		return false
	}
	switch a.Kind {
	case Number:
		if a.Text == b.Text {
			return true
		}
		x, okX := a.Float()
		y, okY := b.Float()
		return okX && okY && x == y && !(isDigits(a.Text) && isDigits(b.Text))
	case List:
		for i := range a.Items {
			if !Equal(a.Items[i], b.Items[i]) {
				return false
			}
		}
		return true
	case Object:
		for _, f := range a.Fields {
			other := b.Get(f.Name)
			if other == nil || !Equal(f.Value, other) {
				return false
			}
		}
		return true
	}
	return a.Text == b.Text
}

func isDigits(s string) bool {
	return strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") == ""
}

// Entries returns the fields of an object; none for anything else.
func (n *Node) Entries() []Field {
	if n == nil {
		return nil
	}
	return n.Fields
}

// Elements returns the items of a list; none for anything else.
func (n *Node) Elements() []*Node {
	if n == nil {
		return nil
	}
	return n.Items
}

// Fragment escapes of a pointer what the fragment of a URI may not hold (RFC 6901 §6,
// RFC 3986 §3.5).
func Fragment(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/?", c) >= 0:
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
