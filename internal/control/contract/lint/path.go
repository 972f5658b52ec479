package lint

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/internal/control/contract/tree"
)

// Path is a parsed JSONPath, of the part that rulesets use: $, .name, ['name'],
// ['a','b'], [*], .*, [0], ..name, ..*, ~ at the end for names, and the filters
// [?(@.name)], [?(!@.name)], [?(@.name == 'x')] with ==, !=, === and !==, and
// [?(@property == 'x')].
type Path struct {
	text  string
	steps []step
	names bool // the names of what is found, not the values
}

type step struct {
	deep   bool // at any depth
	all    bool
	names  []string
	index  int // when names is nil and all is false and filter is nil
	filter *filter
}

type filter struct {
	property bool     // about the name
	path     []string // below the value
	op       string   // "" for is there, "!" for is not there, "==", "!="
	value    string
}

const (
	maxSteps = 32
	maxFound = 50_000 // nodes that one path may find
)

// ParsePath reads a JSONPath.
func ParsePath(text string) (*Path, error) {
	p := &Path{text: text}
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "$")
	if !ok {
		return nil, fmt.Errorf("path %q must begin with $", text)
	}
	if rest, ok = strings.CutSuffix(rest, "~"); ok {
		p.names = true
	}
	for rest != "" {
		if len(p.steps) == maxSteps {
			return nil, fmt.Errorf("path %q has more than %d steps", text, maxSteps)
		}
		var s step
		if after, ok := strings.CutPrefix(rest, ".."); ok {
			s.deep, rest = true, after
			if strings.HasPrefix(rest, "[") {
				goto bracket
			}
		} else if after, ok := strings.CutPrefix(rest, "."); ok {
			rest = after
		} else if strings.HasPrefix(rest, "[") {
			goto bracket
		} else {
			return nil, fmt.Errorf("path %q: . or [ is expected at %q", text, rest)
		}
		{
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			name := rest[:end]
			if rest = rest[end:]; name == "" {
				return nil, fmt.Errorf("path %q: a name is missing", text)
			}
			s.all = name == "*"
			if !s.all {
				s.names = []string{name}
			}
			p.steps = append(p.steps, s)
			continue
		}
	bracket:
		end := closing(rest)
		if end < 0 {
			return nil, fmt.Errorf("path %q: ] is missing", text)
		}
		inside := strings.TrimSpace(rest[1:end])
		rest = rest[end+1:]
		switch {
		case inside == "*":
			s.all = true
		case strings.HasPrefix(inside, "?"):
			f, err := parseFilter(strings.TrimSpace(inside[1:]))
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", text, err)
			}
			s.filter = f
		default:
			if i, err := strconv.Atoi(inside); err == nil && i >= 0 {
				s.index = i
				break
			}
			for name := range strings.SplitSeq(inside, ",") {
				name = strings.TrimSpace(name)
				if len(name) >= 2 && (name[0] == '\'' || name[0] == '"') && name[len(name)-1] == name[0] {
					name = name[1 : len(name)-1]
				}
				if name == "" {
					return nil, fmt.Errorf("path %q: a name is missing in [ ]", text)
				}
				s.names = append(s.names, name)
			}
		}
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// closing returns where the bracket at the beginning ends, quotes passed over.
func closing(s string) int {
	depth, quote := 0, byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func parseFilter(text string) (*filter, error) {
	inner, ok := strings.CutSuffix(strings.TrimPrefix(text, "("), ")")
	if !ok || !strings.HasPrefix(text, "(") {
		return nil, fmt.Errorf("filter %q must stand in ( )", text)
	}
	f := &filter{}
	inner = strings.TrimSpace(inner)
	if after, ok := strings.CutPrefix(inner, "!"); ok {
		f.op, inner = "!", strings.TrimSpace(after)
	}
	left := inner
	for _, op := range []string{"===", "!==", "==", "!="} {
		if a, b, ok := strings.Cut(inner, op); ok && f.op == "" {
			value := strings.TrimSpace(b)
			if len(value) >= 2 && (value[0] == '\'' || value[0] == '"') && value[len(value)-1] == value[0] {
				value = value[1 : len(value)-1]
			}
			left, f.op, f.value = strings.TrimSpace(a), op[:2], value
			break
		}
	}
	switch {
	case left == "@property":
		f.property = true
		if f.op != "==" && f.op != "!=" {
			return nil, fmt.Errorf("filter %q compares nothing", text)
		}
	case left == "@":
	case strings.HasPrefix(left, "@."):
		f.path = strings.Split(left[2:], ".")
	default:
		return nil, fmt.Errorf("filter %q is not understood: write (@.name), (@.name == 'x') or (@property == 'x')", text)
	}
	if f.op == "==" && f.value == "" && !strings.Contains(inner, "''") && !strings.Contains(inner, `""`) {
		return nil, fmt.Errorf("filter %q compares with nothing", text)
	}
	return f, nil
}

func (f *filter) fits(name string, n *tree.Node, resolve func(*tree.Node) *tree.Node) bool {
	if f.property {
		return (name == f.value) == (f.op == "==")
	}
	for _, key := range f.path {
		n = resolve(resolve(n).Get(key))
	}
	switch f.op {
	case "":
		return truthy(n)
	case "!":
		return !truthy(n)
	}
	same := n != nil && (n.Text == f.value && !n.Is(tree.Null) || n.Is(tree.Null) && f.value == "null")
	return same == (f.op == "==")
}

// Find returns what a path finds below a node. resolve turns a reference into what
// it stands for; references are followed by steps, not by "..".
func (p *Path) Find(root *tree.Node, resolve func(*tree.Node) *tree.Node) []*tree.Node {
	found := []*tree.Node{root}
	for _, s := range p.steps {
		var next []*tree.Node
		add := func(n *tree.Node) {
			if len(next) < maxFound {
				next = append(next, n)
			}
		}
		take := func(n *tree.Node) {
			n = resolve(n)
			switch {
			case s.filter != nil || s.all:
				for _, f := range n.Entries() {
					if s.all || s.filter.fits(f.Name, f.Value, resolve) {
						add(f.Value)
					}
				}
				for i, item := range n.Elements() {
					if s.all || s.filter.fits(strconv.Itoa(i), item, resolve) {
						add(item)
					}
				}
			case s.names != nil:
				for _, name := range s.names {
					if v := n.Get(name); v != nil {
						add(v)
					}
				}
			default:
				if list := n.Elements(); s.index < len(list) {
					add(list[s.index])
				}
			}
		}
		for _, n := range found {
			if !s.deep {
				take(n)
				continue
			}
			n.Walk(func(inner *tree.Node) bool {
				take(inner)
				return len(next) < maxFound
			})
		}
		found = next
	}
	return found
}

// String returns the path as it was written.
func (p *Path) String() string { return p.text }

func truthy(n *tree.Node) bool {
	switch {
	case n == nil, n.Is(tree.Null):
		return false
	case n.Is(tree.Bool):
		return n.True()
	case n.Is(tree.String):
		return n.Text != ""
	case n.Is(tree.Number):
		f, ok := n.Float()
		return !ok || f != 0
	}
	return true
}
