package draft

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// registered finds subjects that were read before, as contracts refer to them. What a
// schema of Avro or Protobuf refers to is put into it, so that a contract stands for itself.
type registered []Subject

// Schema is schema.Registry's.
func (r registered) Schema(ref schema.Reference) (schema.Registered, error) {
	for _, s := range r {
		if s.Name != ref.Subject || strconv.Itoa(s.Version) != ref.Version {
			continue
		}
		found := s.Registered
		switch {
		case found.Kind == schema.Avro && len(found.References) > 0:
			text, err := inlined(found)
			if err != nil {
				return schema.Registered{}, fmt.Errorf("subject %s: %w", s.Name, err)
			}
			return schema.Registered{Kind: schema.Avro, Text: text}, nil
		case found.Kind == schema.Protobuf && len(found.References) > 0:
			text, err := schema.Whole(found)
			if err != nil {
				return schema.Registered{}, fmt.Errorf("subject %s %w", s.Name, err)
			}
			return schema.Registered{Kind: schema.Protobuf, Text: text}, nil
		}
		found.References = flat(found.References)
		return found, nil
	}
	return schema.Registered{}, fmt.Errorf("there is no subject %s", ref.Subject)
}

// flat lists imports with theirs, those first.
func flat(imports []schema.Import) (out []schema.Import) {
	for _, i := range imports {
		out = append(out, flat(i.References)...)
		out = append(out, i)
	}
	return out
}

// inlined puts the types that an Avro schema refers to where they are named first.
func inlined(s schema.Registered) (string, error) {
	in := inliner{defined: map[string]*tree.Node{}, placed: map[string]bool{}}
	for _, i := range flat(s.References) {
		n, err := parsed(i.Text)
		if err != nil {
			return "", fmt.Errorf("what it refers to as %s: %w", i.Name, err)
		}
		if name, _ := fullName(n, ""); name != "" {
			in.defined[name] = n
		}
	}
	n, err := parsed(s.Text)
	if err != nil {
		return "", err
	}
	return string(in.schema(n, "").JSON()), nil
}

func parsed(text string) (*tree.Node, error) {
	n, problems := tree.Parse("", []byte(text))
	if problems = only(problems); len(problems) > 0 {
		return nil, fmt.Errorf("is not JSON: %s", problems[0].Message)
	}
	return n, nil
}

type inliner struct {
	defined map[string]*tree.Node // types, by full name
	placed  map[string]bool
}

// fullName is the name of a named type and its namespace, "" for another one.
func fullName(n *tree.Node, enclosing string) (name, namespace string) {
	name = n.Get("name").Str()
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name, name[:dot]
	}
	namespace = enclosing
	if n.Has("namespace") {
		namespace = n.Get("namespace").Str()
	}
	return qualified(name, namespace), namespace
}

func qualified(name, namespace string) string {
	if name == "" || namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// schema copies a schema that stands in a namespace.
func (in *inliner) schema(n *tree.Node, namespace string) *tree.Node {
	switch {
	case n.Is(tree.String):
		name := qualified(n.Text, namespace)
		if in.defined[name] == nil {
			name = n.Text // a primitive one, or of this text
		}
		definition := in.defined[name]
		switch {
		case definition == nil:
			return n.Copy(nil)
		case in.placed[name]:
			return tree.Text(name)
		}
		out := in.schema(definition, "")
		if !out.Has("namespace") && !strings.Contains(out.Get("name").Str(), ".") {
			out.Set("namespace", tree.Text("")) // and not that of what it is put into
		}
		return out
	case n.Is(tree.List):
		out := tree.NewList()
		for _, item := range n.Items {
			out.Append(in.schema(item, namespace))
		}
		return out
	case !n.Is(tree.Object):
		return n.Copy(nil)
	}
	if name, inner := fullName(n, namespace); name != "" {
		in.placed[name] = true
		namespace = inner
	}
	out := tree.NewObject()
	for _, f := range n.Fields {
		switch f.Name {
		case "type", "items", "values":
			out.Set(f.Name, in.schema(f.Value, namespace))
		case "fields":
			fields := tree.NewList()
			for _, field := range f.Value.Elements() {
				one := tree.NewObject()
				for _, part := range field.Fields {
					if part.Name == "type" {
						one.Set("type", in.schema(part.Value, namespace))
					} else {
						one.Set(part.Name, part.Value.Copy(nil))
					}
				}
				fields.Append(one)
			}
			out.Set(f.Name, fields)
		default:
			out.Set(f.Name, f.Value.Copy(nil))
		}
	}
	return out
}

func escaped(subject string) string { return url.PathEscape(subject) }

// maxInPlace is how many nodes are put in place of references of a document.
const maxInPlace = 50_000

// inPlace puts the shared schemas of a document where they are referred to: they have
// no names of their own that would say anything. Those that refer to themselves, and
// what is too large, stay shared.
func inPlace(root *tree.Node) *tree.Node {
	const prefix = "#/components/schemas/"
	shared, left := root.At("components", "schemas"), maxInPlace
	stays := false
	var place func(n *tree.Node, above []string) *tree.Node
	place = func(n *tree.Node, above []string) *tree.Node {
		return n.Copy(func(inner *tree.Node) *tree.Node {
			name, ok := strings.CutPrefix(inner.Get("$ref").Str(), prefix)
			target := shared.Get(tree.Unescape(name))
			if !ok {
				return nil
			}
			if inner == n { // one name stands for another
				stays = true
				return nil
			}
			if left -= target.Size(); target == nil || len(inner.Fields) != 1 || left < 0 || slices.Contains(above, name) || len(above) > 32 {
				stays = true
				return nil
			}
			return place(target, append(slices.Clone(above), name))
		})
	}
	if shared == nil {
		return root
	}
	out := tree.NewObject()
	for _, f := range root.Entries() {
		if f.Name != "components" {
			out.Set(f.Name, place(f.Value, nil))
		}
	}
	if stays {
		return root
	}
	if rest := root.Get("components").Without("schemas"); len(rest.Fields) > 0 {
		out.Set("components", rest.Copy(nil))
	}
	return out
}
