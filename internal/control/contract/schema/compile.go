package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/twmb/avro"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"sluice/internal/control/contract/tree"
)

// Validator says whether values fit a schema.
type Validator struct {
	json    *jsonschema.Schema
	bundle  *tree.Node
	avro    *avro.Schema
	message protoreflect.MessageDescriptor
}

// Compile checks a schema and returns what validates values; nil, with what is
// wrong, when it cannot be used. A schema of another kind has neither.
func Compile(s *Schema, budget Budget) (*Validator, []Finding) {
	if !budget.take() {
		return nil, []Finding{*limit(s.Root, "the document has more than %d schemas", MaxSchemas)}
	}
	switch s.Kind() {
	case JSON:
		return s.compileJSON()
	case Avro:
		parsed, found := s.avro()
		if found != nil {
			return nil, []Finding{*found}
		}
		return &Validator{avro: parsed}, nil
	case Protobuf:
		file, found := s.protobuf()
		if found != nil {
			return nil, []Finding{*found}
		}
		if file.Messages().Len() == 0 {
			return nil, []Finding{{Node: s.Root, Message: "the Protobuf file has no message", Fix: "write the record's message first"}}
		}
		return &Validator{message: file.Messages().Get(0)}, nil
	}
	return nil, nil
}

const bundleURL = "https://sluice.invalid/schema.json"

func (s *Schema) compileJSON() (*Validator, []Finding) {
	if n := s.Resolve(s.Root); !n.Is(tree.Object) && !n.Is(tree.Bool) {
		return nil, []Finding{{Node: s.Root, Message: "a schema must be an object, not " + n.Kind.String(), Fix: "write {type: …}"}}
	}
	b, found := s.bundle()
	if found != nil {
		return nil, []Finding{*found}
	}
	wrong, unchecked := patterns(b)
	if len(wrong) > 0 {
		return nil, wrong
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(map[string]*jsonschema.Draft{"draft-04": jsonschema.Draft4, "draft-06": jsonschema.Draft6, "draft-07": jsonschema.Draft7, "2019-09": jsonschema.Draft2019, "2020-12": jsonschema.Draft2020}[s.draft()])
	c.UseLoader(nothing{})
	c.UseRegexpEngine(Regexp)
	if err := c.AddResource(bundleURL, b.Value()); err != nil {
		return nil, []Finding{{Node: s.Root, Message: "is not a JSON Schema: " + clip(err.Error()), Fix: "correct the schema"}}
	}
	compiled, err := c.Compile(bundleURL)
	if err != nil {
		return nil, s.explainCompile(b, err)
	}
	return &Validator{json: compiled, bundle: b}, unchecked
}

// explainCompile puts the library's words for a wrong schema into places.
func (s *Schema) explainCompile(b *tree.Node, err error) []Finding {
	var wrong *jsonschema.SchemaValidationError
	if errors.As(err, &wrong) {
		var failed *jsonschema.ValidationError
		if errors.As(wrong.Err, &failed) {
			var out []Finding
			for _, leaf := range leafErrors(failed) {
				n := b.Nearest(leaf.InstanceLocation)
				out = append(out, Finding{Node: n, Message: "is not JSON Schema: " + strings.Join(leaf.InstanceLocation, ".") + " " + words(leaf, n), Fix: "correct the schema"})
				if len(out) == 5 {
					break
				}
			}
			return out
		}
	}
	message := strings.ReplaceAll(err.Error(), bundleURL, "")
	return []Finding{{Node: s.Root, Message: "is not JSON Schema: " + clip(message), Fix: "correct the schema"}}
}

func leafErrors(v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(v.Causes) == 0 {
		return []*jsonschema.ValidationError{v}
	}
	var out []*jsonschema.ValidationError
	switch v.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf: // the branch with the fewest complaints, deepest first
		for _, cause := range v.Causes {
			found := leafErrors(cause)
			if out == nil || deeper(found, out) {
				out = found
			}
		}
		return out
	case *kind.Not, *kind.Contains:
		return []*jsonschema.ValidationError{v}
	}
	for _, cause := range v.Causes {
		if out = append(out, leafErrors(cause)...); len(out) > maxDiffs {
			break
		}
	}
	return out
}

func deeper(a, b []*jsonschema.ValidationError) bool {
	depth := func(list []*jsonschema.ValidationError) (d int) {
		for _, v := range list {
			d = max(d, len(v.InstanceLocation))
		}
		return d
	}
	if x, y := depth(a), depth(b); x != y {
		return x > y
	}
	return len(a) < len(b)
}

// words says what a failed keyword means.
func words(v *jsonschema.ValidationError, n *tree.Node) string {
	switch k := v.ErrorKind.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ") + ", not " + shown(n)
	case *kind.Required:
		return "lacks " + strings.Join(k.Missing, ", ")
	case *kind.AdditionalProperties:
		return "has what the schema does not admit: " + strings.Join(k.Properties, ", ")
	case *kind.Enum:
		var want []string
		for _, w := range k.Want {
			want = append(want, fmt.Sprint(w))
		}
		return "must be one of " + clip(strings.Join(want, ", ")) + ", not " + shown(n)
	case *kind.Const:
		return fmt.Sprintf("must be %v, not %s", k.Want, shown(n))
	case *kind.Format:
		return fmt.Sprintf("must have the format %s, and %s has not", k.Want, shown(n))
	case *kind.Pattern:
		return fmt.Sprintf("must match %s, and %s does not", clip(k.Want), shown(n))
	case *kind.Minimum, *kind.ExclusiveMinimum:
		return shown(n) + " is less than the minimum"
	case *kind.Maximum, *kind.ExclusiveMaximum:
		return shown(n) + " is more than the maximum"
	case *kind.MinLength, *kind.MinItems, *kind.MinProperties:
		return "is too short"
	case *kind.MaxLength, *kind.MaxItems, *kind.MaxProperties, *kind.AdditionalItems:
		return "is too long"
	case *kind.UniqueItems:
		return "has the same item twice"
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return "fits more than one schema of oneOf"
		}
		return "fits no schema of oneOf"
	case *kind.AnyOf:
		return "fits no schema of anyOf"
	case *kind.Not:
		return "fits the schema of not"
	case *kind.FalseSchema:
		return "is not admitted"
	case *kind.MultipleOf:
		return shown(n) + " is no multiple of what it must be"
	case *kind.RefCycle:
		return "refers to itself without end"
	}
	return "does not fit the schema"
}

func shown(n *tree.Node) string {
	switch {
	case n.Is(tree.String):
		return strconv.Quote(clip(n.Text))
	case n.Is(tree.Number), n.Is(tree.Bool):
		return clip(n.Text)
	case n == nil:
		return "this"
	}
	return n.Kind.String()
}

// nothing loads nothing: a schema stands for itself.
type nothing struct{}

func (nothing) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not read", clip(strings.TrimPrefix(url, bundleURL)))
}

const maxPattern = 2000 // bytes of a regular expression

// expression is Go's regexp behind the library's interface.
type expression struct{ *regexp.Regexp }

func (e expression) String() string { return e.Regexp.String() }

// anything stands for an expression that Go does not have.
type anything string

func (a anything) String() string        { return string(a) }
func (anything) MatchString(string) bool { return true }

// Regexp reads a regular expression of JSON Schema, which are ECMAScript's. Those that
// look around or back, which Go's have not, since they may take forever, match
// everything.
func Regexp(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("has more than %d bytes", maxPattern)
	}
	re, err := regexp.Compile(goPattern(text))
	if err == nil {
		return expression{re}, nil
	}
	if _, again := regexp.Compile(aroundOrBack.ReplaceAllString(goPattern(text), "(?:")); again == nil && aroundOrBack.MatchString(text) {
		return anything(text), nil
	}
	if _, again := regexp.Compile(backReference.ReplaceAllString(aroundOrBack.ReplaceAllString(goPattern(text), "(?:"), "")); again == nil && backReference.MatchString(text) {
		return anything(text), nil
	}
	return nil, err
}

var (
	ecmaUnicode   = regexp.MustCompile(`\\u([0-9a-fA-F]{4})`)
	aroundOrBack  = regexp.MustCompile(`\(\?<?[=!]`)
	backReference = regexp.MustCompile(`\\(?:[1-9]|k<[^>]*>)`)
)

func goPattern(text string) string {
	text = ecmaUnicode.ReplaceAllString(text, `\x{$1}`)
	return strings.NewReplacer(`\/`, `/`, `\-`, `\x2d`).Replace(text)
}

// patterns reports regular expressions that are none (wrong), and those that are not
// looked at (unchecked), at their places.
func patterns(b *tree.Node) (wrong, unchecked []Finding) {
	look := func(text string, at *tree.Node) {
		switch re, err := Regexp(text); {
		case err != nil:
			wrong = append(wrong, Finding{Node: at, Message: fmt.Sprintf("pattern %q is no regular expression: %s", clip(text), reason(err)), Fix: "correct the expression"})
		default:
			if _, ok := re.(anything); ok {
				unchecked = append(unchecked, Finding{Node: at, Message: fmt.Sprintf("pattern %q looks around or back, and is not checked", clip(text)), Fix: "write it with what RE2 has, if records are to be checked against it", Unchecked: true})
			}
		}
	}
	b.Walk(func(n *tree.Node) bool {
		if n.Parent().Is(tree.Object) && dataKeyword[n.Key()] && !namedSchemas[n.Parent().Key()] {
			return false
		}
		if p := n.Get("pattern"); p.Is(tree.String) {
			look(p.Text, p)
		}
		for _, f := range n.Get("patternProperties").Entries() {
			look(f.Name, f.Value)
		}
		return len(wrong)+len(unchecked) < 20
	})
	return wrong, unchecked
}

var dataKeyword = map[string]bool{"enum": true, "const": true, "default": true, "examples": true, "example": true}

func reason(err error) string {
	return strings.TrimPrefix(clip(err.Error()), "error parsing regexp: ")
}

// Validate returns why a value does not fit, nothing when it does. Nodes of the
// findings are of the value. For Avro and Protobuf a value is their JSON form.
func (v *Validator) Validate(value *tree.Node) []Finding {
	switch {
	case v == nil:
		return nil
	case v.json != nil:
		if c := cost(v.bundle, depth(value)); c > maxCost {
			return []Finding{*limit(value, "is not checked: the schema may take more than %d steps for one value", maxCost)}
		}
		err := v.json.Validate(value.Value())
		var failed *jsonschema.ValidationError
		if err == nil {
			return nil
		}
		if !errors.As(err, &failed) {
			return []Finding{{Node: value, Message: clip(err.Error())}}
		}
		var out []Finding
		for _, leaf := range leafErrors(failed) {
			n := value.Nearest(leaf.InstanceLocation)
			path := strings.Join(leaf.InstanceLocation, ".")
			if path != "" {
				path += " "
			}
			out = append(out, Finding{Node: n, Message: path + words(leaf, n), Fix: "correct the value, or the schema"})
			if len(out) == 10 {
				break
			}
		}
		return out
	case v.avro != nil:
		return v.validateAvro(value)
	case v.message != nil:
		m := dynamicpb.NewMessage(v.message)
		if err := (protojson.UnmarshalOptions{RecursionLimit: 100}).Unmarshal(value.Canonical(), m); err != nil {
			text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
			return []Finding{{Node: value, Message: "does not fit the Protobuf message " + string(v.message.FullName()) + ": " + clip(strings.TrimPrefix(text, "proto: ")), Fix: "correct the value, or the schema"}}
		}
	}
	return nil
}

func depth(n *tree.Node) int {
	d := 0
	for _, item := range n.Elements() {
		d = max(d, depth(item)+1)
	}
	for _, f := range n.Entries() {
		d = max(d, depth(f.Value)+1)
	}
	return d
}
