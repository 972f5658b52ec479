package metaschema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/tree"
	"sluice/internal/strictyaml"
)

// maxProblems bounds what is told of one document.
const maxProblems = 200

// explain turns the library's tree of failed keywords into one problem for each
// place. A value that fits none of several schemas is told what keeps it from the
// one that it is most like.
func explain(root *tree.Node, failed *jsonschema.ValidationError) []rule.Problem {
	e := explainer{root: root, seen: map[string]bool{}}
	for _, leaf := range leaves(root, failed) {
		e.leaf(leaf)
		if len(e.problems) == maxProblems {
			break
		}
	}
	if len(e.problems) == 0 && !harmless(root, failed) { // a keyword that we have no words for
		e.add("asyncapi-shape", root, failed.InstanceLocation, "is not what AsyncAPI describes", "compare it with the specification")
	}
	return e.problems
}

// leaves returns the failures that explain a failure. What stands beside or instead
// of a reference is no failure: what counts is what is referred to, which is checked
// where it stands.
func leaves(root *tree.Node, v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	return slices.DeleteFunc(allLeaves(root, v), func(leaf *jsonschema.ValidationError) bool {
		return root.Nearest(leaf.InstanceLocation).Get("$ref").Is(tree.String)
	})
}

func allLeaves(root *tree.Node, v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if o, ok := v.ErrorKind.(*kind.OneOf); len(v.Causes) == 0 && !(ok && len(o.Subschemas) > 1) {
		return []*jsonschema.ValidationError{v}
	}
	switch k := v.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		if o, ok := k.(*kind.OneOf); ok && len(o.Subschemas) > 1 {
			return []*jsonschema.ValidationError{v} // more than one fits
		}
		return nearest(root, v)
	case *kind.Contains, *kind.Not, *kind.PropertyNames:
		return []*jsonschema.ValidationError{v}
	}
	var out []*jsonschema.ValidationError
	for _, cause := range v.Causes {
		out = append(out, allLeaves(root, cause)...)
	}
	return out
}

// harmless reports whether a document failed only where leaves says that it did not.
func harmless(root *tree.Node, v *jsonschema.ValidationError) bool { return len(leaves(root, v)) == 0 }

// nearest picks the branch of oneOf or anyOf that somebody meant.
func nearest(root *tree.Node, v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	value := root.Nearest(v.InstanceLocation)
	isReference := value.Has("$ref")
	depth := len(v.InstanceLocation)
	var best []*jsonschema.ValidationError
	bestScore := 1 << 30
	for _, branch := range v.Causes {
		found := allLeaves(root, branch)
		score := 0
		for _, leaf := range found {
			here := len(leaf.InstanceLocation) == depth
			switch k := leaf.ErrorKind.(type) {
			case *kind.Type:
				if here {
					score += 1000 // another kind of value altogether
				} else {
					score += 5
				}
			case *kind.Required:
				if slices.Equal(k.Missing, []string{"$ref"}) && here && !isReference {
					score += 2000
				} else {
					score += 10
				}
			case *kind.Const, *kind.Enum:
				score += 5
				if n := len(leaf.InstanceLocation); n > 0 && leaf.InstanceLocation[n-1] == "type" && n == depth+1 {
					score += 500 // says that it is something else
				}
			default:
				if here {
					score += 20
				} else {
					score += 5
				}
			}
		}
		if score < bestScore {
			best, bestScore = found, score
		}
	}
	return enums(root, v, best)
}

// enums joins what several branches would accept for one field, as the type of a
// security scheme, into one failure.
func enums(root *tree.Node, v *jsonschema.ValidationError, best []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(best) != 1 || len(v.Causes) < 2 {
		return best
	}
	at := best[0].InstanceLocation
	var words []any
	collect := func(leaf *jsonschema.ValidationError) bool {
		switch k := leaf.ErrorKind.(type) {
		case *kind.Enum:
			words = append(words, k.Want...)
			return true
		case *kind.Const:
			words = append(words, k.Want)
			return true
		}
		return false
	}
	if !collect(best[0]) {
		return best
	}
	words = nil
	for _, branch := range v.Causes {
		for _, leaf := range leaves(root, branch) {
			if slices.Equal(leaf.InstanceLocation, at) {
				collect(leaf)
			}
		}
	}
	joined := *best[0]
	joined.ErrorKind = &kind.Enum{Got: best[0].InstanceLocation, Want: words}
	return []*jsonschema.ValidationError{&joined}
}

type explainer struct {
	root     *tree.Node
	problems []rule.Problem
	seen     map[string]bool
}

func (e *explainer) add(id string, n *tree.Node, path []string, message, fix string) {
	place := n.Place()
	if key := place.Pointer + "\x00" + message; e.seen[key] {
		return
	} else {
		e.seen[key] = true
	}
	name := strings.Join(path, ".")
	if name == "" {
		name = "the document"
	}
	e.problems = append(e.problems, rule.New(id, place, name+" "+message, fix))
}

func (e *explainer) leaf(v *jsonschema.ValidationError) {
	path := v.InstanceLocation
	n := e.root.Nearest(path)
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			e.add("asyncapi-required", n, path, fmt.Sprintf("has no %q", name), "add it")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			at := n
			if field := n.Get(name); field != nil {
				at = field
			}
			e.add("asyncapi-unknown-field", at, append(slices.Clone(path), name), "is not a field that AsyncAPI has here", unknownFix(name, v))
		}
	case *kind.Type:
		e.add("asyncapi-type", n, path, fmt.Sprintf("must be %s, not %s", kinds(k.Want), describe(n)), "correct the value")
	case *kind.Enum:
		e.add("asyncapi-value", n, path, "must be "+words(k.Want)+", not "+describe(n), enumFix(n, k.Want))
	case *kind.Const:
		e.add("asyncapi-value", n, path, "must be "+words([]any{k.Want})+", not "+describe(n), "correct the value")
	case *kind.Pattern:
		e.add("asyncapi-value", n, path, fmt.Sprintf("must match %s, and %s does not", k.Want, describe(n)), "correct the value")
	case *kind.Format:
		e.add("asyncapi-value", n, path, fmt.Sprintf("must be a %s, and %s is not", k.Want, describe(n)), "correct the value")
	case *kind.PropertyNames:
		e.add("asyncapi-name", n, path, fmt.Sprintf("has a field %q, whose name AsyncAPI does not allow", clip(k.Property)), "use letters, digits, dots, dashes and underscores")
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			e.add("asyncapi-shape", n, path, "can be understood in more than one way", "leave out what belongs to only one of them")
			return
		}
		e.add("asyncapi-shape", n, path, "is not what AsyncAPI describes here", "compare it with the specification")
	case *kind.Not:
		e.add("asyncapi-shape", n, path, "has what AsyncAPI forbids here", "compare it with the specification")
	case *kind.MinLength, *kind.MinItems, *kind.MinProperties:
		e.add("asyncapi-value", n, path, "is too short", "add what is missing")
	case *kind.MaxLength, *kind.MaxItems, *kind.MaxProperties, *kind.AdditionalItems:
		e.add("asyncapi-value", n, path, "is too long", "shorten it")
	case *kind.UniqueItems:
		e.add("asyncapi-value", n, path, fmt.Sprintf("has the same item twice, at %d and %d", k.Duplicates[0], k.Duplicates[1]), "remove one")
	case *kind.Minimum, *kind.ExclusiveMinimum:
		e.add("asyncapi-value", n, path, describe(n)+" is too small", "correct the value")
	case *kind.Maximum, *kind.ExclusiveMaximum:
		e.add("asyncapi-value", n, path, describe(n)+" is too large", "correct the value")
	case *kind.Dependency:
		e.add("asyncapi-required", n, path, fmt.Sprintf("has %q and lacks %s", k.Prop, strings.Join(k.Missing, ", ")), "add it")
	case *kind.FalseSchema:
		e.add("asyncapi-unknown-field", n, path, "is not a field that AsyncAPI has here", "remove it")
	default:
		e.add("asyncapi-shape", n, path, "is not what AsyncAPI describes here", "compare it with the specification")
	}
}

// unknownFix names the field that was meant.
func unknownFix(name string, v *jsonschema.ValidationError) string {
	known := propertiesOf(v.SchemaURL)
	if near := strictyaml.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 || len(known) > 30 {
		return "remove it, or let its name begin with x-"
	}
	return "use one of " + strings.Join(known, ", ") + ", or let its name begin with x-"
}

// propertiesOf returns the fields of the schema at a URL.
func propertiesOf(url string) []string {
	resource, fragment, _ := strings.Cut(url, "#")
	var at any = resources()[resource]
	for token := range strings.SplitSeq(strings.Trim(fragment, "/"), "/") {
		if token == "" {
			continue
		}
		switch x := at.(type) {
		case map[string]any:
			at = x[tree.Unescape(token)]
		case []any:
			i := 0
			if _, err := fmt.Sscanf(token, "%d", &i); err != nil || i >= len(x) {
				return nil
			}
			at = x[i]
		}
	}
	m, _ := at.(map[string]any)
	properties, _ := m["properties"].(map[string]any)
	out := make([]string, 0, len(properties))
	for name := range properties {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func kinds(want []string) string {
	out := make([]string, 0, len(want))
	for _, w := range want {
		out = append(out, map[string]string{"object": "an object", "array": "a list", "string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false", "null": "null"}[w])
	}
	return strings.Join(out, " or ")
}

func words(want []any) string {
	var out []string
	for _, w := range want {
		if text := fmt.Sprint(w); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	if len(out) > 12 {
		return "one of " + strings.Join(out[:12], ", ") + ", …"
	}
	if len(out) == 1 {
		return out[0]
	}
	return "one of " + strings.Join(out, ", ")
}

func enumFix(n *tree.Node, want []any) string {
	var known []string
	for _, w := range want {
		if text, ok := w.(string); ok {
			known = append(known, text)
		}
	}
	if near := strictyaml.Nearest(n.Str(), known); near != "" && n.Str() != "" {
		return "did you mean " + near + "?"
	}
	return "correct the value"
}

func describe(n *tree.Node) string {
	if n == nil {
		return "this"
	}
	switch n.Kind {
	case tree.String:
		return fmt.Sprintf("%q", clip(n.Text))
	case tree.Number:
		return "the number " + clip(n.Text)
	case tree.Bool:
		return n.Text
	}
	return n.Kind.String()
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
