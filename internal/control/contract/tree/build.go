package tree

import (
	"slices"
	"strconv"
)

// Text returns a new node with a text.
func Text(s string) *Node { return &Node{Kind: String, Text: s} }

// Raw returns a file that is neither JSON nor YAML as one text.
func Raw(name string, text []byte) *Node {
	return &Node{Kind: String, Text: string(text), file: name, at: Position{1, 1}}
}

// Whole returns a new node with a whole number.
func Whole(i int64) *Node { return &Node{Kind: Number, Text: strconv.FormatInt(i, 10)} }

// Boolean returns a new node with true or false.
func Boolean(b bool) *Node { return &Node{Kind: Bool, Text: strconv.FormatBool(b)} }

// NewObject returns a new object without fields.
func NewObject() *Node { return &Node{Kind: Object} }

// NewList returns a new list.
func NewList(items ...*Node) *Node {
	n := &Node{Kind: List}
	for _, item := range items {
		n.Append(item)
	}
	return n
}

// Set gives a new object's field a value; a nil value is left out. The value belongs
// to the object from then on.
func (n *Node) Set(name string, value *Node) *Node {
	if value == nil {
		return n
	}
	value.parent, value.key = n, name
	if n.Has(name) {
		for i := range n.Fields {
			if n.Fields[i].Name == name {
				n.Fields[i].Value = value
				return n
			}
		}
	}
	n.Fields = append(n.Fields, Field{name, value})
	n.reindex()
	return n
}

// Append adds to a new list.
func (n *Node) Append(item *Node) *Node {
	item.parent, item.key = n, strconv.Itoa(len(n.Items))
	n.Items = append(n.Items, item)
	return n
}

// Large objects are looked up by a map; that makes reading linear.
const indexed = 12

func (n *Node) reindex() {
	switch {
	case n.index != nil:
		n.index[n.Fields[len(n.Fields)-1].Name] = len(n.Fields) - 1
	case len(n.Fields) > indexed:
		n.index = make(map[string]int, 2*len(n.Fields))
		for i, f := range n.Fields {
			n.index[f.Name] = i
		}
	}
}

// Copy returns a node of its own with everything below it, which remembers where it
// comes from. replace, if not nil, is asked for each node first: what it returns,
// unless that is nil, takes the node's place.
func (n *Node) Copy(replace func(*Node) *Node) *Node {
	if n == nil {
		return nil
	}
	if replace != nil {
		if r := replace(n); r != nil {
			if r.origin == nil && r != n && r.at.Line == 0 {
				r.origin = n
			}
			return r
		}
	}
	c := &Node{Kind: n.Kind, Text: n.Text, origin: n.Origin()}
	for _, item := range n.Items {
		c.Append(item.Copy(replace))
	}
	if len(n.Fields) > 0 {
		c.Fields = make([]Field, 0, len(n.Fields))
	}
	for _, f := range n.Fields {
		v := f.Value.Copy(replace)
		v.parent, v.key = c, f.Name
		c.Fields = append(c.Fields, Field{f.Name, v})
	}
	if len(c.Fields) > indexed {
		c.index = make(map[string]int, len(c.Fields))
		for i, f := range c.Fields {
			c.index[f.Name] = i
		}
	}
	return c
}

// Without returns a copy of an object without some fields.
func (n *Node) Without(names ...string) *Node {
	c := &Node{Kind: Object, origin: n.Origin()}
	for _, f := range n.Entries() {
		if !slices.Contains(names, f.Name) {
			c.Set(f.Name, f.Value.Copy(nil))
		}
	}
	return c
}

// Merge returns patch laid over base, as JSON Merge Patch (RFC 7386) does: objects
// are merged, anything else is replaced, null removes.
func Merge(base, patch *Node) *Node {
	if patch == nil {
		return base.Copy(nil)
	}
	if !patch.Is(Object) {
		return patch.Copy(nil)
	}
	c := &Node{Kind: Object, origin: patch.Origin()}
	if base.Is(Object) {
		c.origin = base.Origin()
		for _, f := range base.Fields {
			over := patch.Get(f.Name)
			switch {
			case over.Is(Null):
			case over != nil:
				c.Set(f.Name, Merge(f.Value, over))
			default:
				c.Set(f.Name, f.Value.Copy(nil))
			}
		}
	}
	for _, f := range patch.Fields {
		if !c.Has(f.Name) && !base.Has(f.Name) && !f.Value.Is(Null) {
			c.Set(f.Name, Merge(nil, f.Value))
		}
	}
	return c
}

// Empty returns a new object without fields that remembers where n is.
func (n *Node) Empty() *Node { return &Node{Kind: Object, origin: n.Origin()} }
