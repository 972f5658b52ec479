package contract

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sluice/internal/control/contract/metaschema"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/strictyaml"
)

// isRef returns the text of a reference, if a node is one.
func isRef(n *tree.Node) (string, bool) {
	ref := n.Get("$ref")
	if !ref.Is(tree.String) {
		return "", false
	}
	return ref.Text, true
}

// dataFields hold values, in which $ref means nothing.
var dataFields = map[string]bool{"examples": true, "example": true, "default": true, "const": true, "enum": true}

// checkReferences looks up every reference below a node and reports what is not
// there. Files that are referred to are looked through in the same way.
func (l *loader) checkReferences(root *tree.Node) {
	l.walkReferences(root)
	for i := 0; i < len(l.reached); i++ { // grows while it is walked
		l.walkReferences(l.reached[i])
	}
}

// named reports whether the names of an object's fields are somebody's own.
func named(n *tree.Node) bool {
	switch n.Key() {
	case "properties", "patternProperties", "definitions", "$defs", "schemas", "messages", "channels", "operations", "servers", "parameters":
		return true
	}
	return false
}

func (l *loader) walkReferences(root *tree.Node) {
	root.Walk(func(n *tree.Node) bool {
		if n.Parent().Is(tree.Object) && !named(n.Parent()) && (dataFields[n.Key()] || strings.HasPrefix(n.Key(), "x-")) {
			return false
		}
		if _, ok := isRef(n); ok {
			l.target(n)
		}
		return true
	})
}

// target returns what a reference refers to, nil when that is not there or not
// read, which is reported once.
func (l *loader) target(n *tree.Node) *tree.Node {
	n = n.Origin()
	if t, known := l.targets[n]; known {
		return t
	}
	ref, _ := isRef(n)
	at := n.Get("$ref")
	t := l.lookup(at, ref)
	l.targets[n] = t
	return t
}

func (l *loader) lookup(at *tree.Node, ref string) *tree.Node {
	file, fragment, _ := strings.Cut(ref, "#")
	base := l.files[at.File()]
	if file != "" {
		base = l.file(at, location(at.File(), file))
		if base == nil {
			return nil
		}
	}
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		pointer = fragment
	}
	if pointer != "" && pointer[0] != '/' {
		if n := anchor(base, pointer); n != nil {
			return n
		}
		l.report("ref-dangling", at, fmt.Sprintf("%q is neither a JSON Pointer nor an anchor that is there", clip(ref)), "write it as '#/components/…'")
		return nil
	}
	if n, ok := base.Find(pointer); ok {
		return n
	}
	if n, ok := base.Find(fragment); ok { // names with a percent sign, written as they are
		return n
	}
	l.report("ref-dangling", at, fmt.Sprintf("%q refers to nothing", clip(ref)), l.danglingFix(base, pointer))
	return nil
}

// danglingFix names the neighbour that was meant.
func (l *loader) danglingFix(base *tree.Node, pointer string) string {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	n, found := base, ""
	for _, token := range tokens {
		next, ok := n.Find("/" + token)
		if !ok {
			if near := strictyaml.Nearest(tree.Unescape(token), n.Names()); near != "" {
				return "did you mean #" + found + "/" + tree.Escape(near) + "?"
			}
			break
		}
		n, found = next, found+"/"+token
	}
	return "correct the reference, or add what it names"
}

// anchor finds a schema by the plain name that JSON Schema gives it.
func anchor(root *tree.Node, name string) *tree.Node {
	var found *tree.Node
	root.Walk(func(n *tree.Node) bool {
		if found == nil && (n.Get("$id").Str() == "#"+name || n.Get("$anchor").Str() == name) {
			found = n
		}
		return found == nil
	})
	return found
}

// file returns the root of another file.
func (l *loader) file(at *tree.Node, where string) *tree.Node {
	if root, known := l.files[where]; known {
		return root
	}
	l.files[where] = nil
	text, err := l.fetch(where)
	var refused *refusal
	switch {
	case errors.Is(err, ErrRefused):
		l.report("ref-not-read", at, fmt.Sprintf("%s is outside of this document and is not read", clip(where)), "what depends on it is not checked; put it into the document, or beside it")
		return nil
	case errors.As(err, &refused):
		l.report("ref-limit", at, refused.message, refused.fix)
		return nil
	case err != nil:
		l.report("ref-unreadable", at, fmt.Sprintf("%s cannot be read: %s", clip(where), clip(err.Error())), "correct the reference, or make the file readable")
		return nil
	}
	if strings.HasSuffix(where, ".proto") || l.protobuf[where] {
		l.files[where] = tree.Raw(where, text)
		return l.files[where]
	}
	root, problems := tree.Parse(where, text)
	l.problems = append(l.problems, problems...)
	if root == nil || rule.Bad(problems) {
		return nil
	}
	l.files[where] = root
	l.reached = append(l.reached, root)
	return root
}

type refusal struct{ message, fix string }

func (r *refusal) Error() string { return r.message }

func (l *loader) fetch(where string) ([]byte, error) {
	if len(l.files) > MaxFiles {
		return nil, &refusal{fmt.Sprintf("the document refers to more than %d files", MaxFiles), "put more into one file"}
	}
	var text []byte
	var err error
	if ref, ok := schema.ParseReference(where); ok && l.opts.Registry != nil {
		var found schema.Registered
		if found, err = l.opts.Registry.Schema(ref); err == nil {
			text = found.AsText()
			l.registered[where] = found.References
			l.protobuf[where] = found.Kind == schema.Protobuf
			for _, i := range found.References {
				l.embedded[location(where, i.Name)] = i.Text
			}
		}
	} else if inner, ok := l.embedded[where]; ok {
		text = []byte(inner)
	} else if l.opts.Resolve == nil || strings.HasPrefix(where, schema.Scheme) {
		return nil, ErrRefused
	} else {
		text, err = l.opts.Resolve(where)
	}
	if err != nil {
		return nil, err
	}
	if l.bytes += len(text); l.bytes > MaxFileBytes {
		return nil, &refusal{fmt.Sprintf("the files that the document refers to have more than %d bytes", MaxFileBytes), "refer to fewer files"}
	}
	return text, nil
}

// chain returns a node and what it refers to, step by step; complete says that the
// last one is no reference.
func (l *loader) chain(n *tree.Node) (steps []*tree.Node, complete bool) {
	for len(steps) <= maxChain {
		steps = append(steps, n)
		if _, ok := isRef(n); !ok {
			return steps, true
		}
		if n = l.target(n); n == nil {
			return steps, false
		}
	}
	return steps, false
}

// resolve follows references to what they stand for, nil when that is not there.
func (l *loader) resolve(n *tree.Node) *tree.Node {
	if n == nil {
		return nil
	}
	steps, complete := l.chain(n)
	if complete {
		return steps[len(steps)-1]
	}
	if len(steps) > maxChain && !l.checked["cycle "+n.Place().String()] {
		l.checked["cycle "+n.Place().String()] = true
		l.report("ref-cycle", n, "refers to itself", "refer to a value")
	}
	return nil
}

// role is what a node is expected to be: the section of components that it may
// stand in, and its schema.
type role struct{ section, definition string }

var (
	roleServer      = role{"servers", "server"}
	roleVariable    = role{"serverVariables", "serverVariable"}
	roleChannel     = role{"channels", "channel"}
	roleMessage     = role{"messages", "messageObject"}
	roleMessageTr   = role{"messageTraits", "messageTrait"}
	roleOperation   = role{"operations", "operation"}
	roleOperationTr = role{"operationTraits", "operationTrait"}
	roleParameter   = role{"parameters", "parameter"}
	roleReply       = role{"replies", "operationReply"}
	roleReplyAddr   = role{"replyAddresses", "operationReplyAddress"}
	roleCorrelation = role{"correlationIds", "correlationId"}
	roleSecurity    = role{"securitySchemes", "SecurityScheme"}
	roleDocs        = role{"externalDocs", "externalDocs"}
	roleTag         = role{"tags", "tag"}
	roleBindings    = role{"", ""}
)

// as resolves a node that is expected in a role. What it refers to must be of that
// kind; in another file it must have its shape.
func (l *loader) as(r role, n *tree.Node) *tree.Node {
	t := l.resolve(n)
	if t == nil || t == n {
		return t
	}
	if section, name, ok := l.component(t); ok {
		if want := r.section; want != "" && section != want && !strings.HasSuffix(section, "Bindings") {
			l.report("ref-type", n.Get("$ref"), fmt.Sprintf("%s is expected here, and %s stands in components/%s", singular(want), clip(name), section), "refer to components/"+want)
			return nil
		}
		return t
	}
	definition := r.definition
	if !l.v3 && r == roleMessage {
		definition = "message"
	}
	if !l.v3 && r == roleChannel {
		definition = "channelItem"
	}
	if definition == "" {
		return t
	}
	if key := definition + " " + t.Place().String() + t.Pointer(); !l.checked[key] {
		l.checked[key] = true
		if problems := metaschema.CheckPart(metaschema.Definition(l.asyncapi, definition), t); len(problems) > 0 {
			l.report("ref-type", n.Get("$ref"), fmt.Sprintf("%s is expected here, and what is referred to is none", singular(r.section)), "see the problems there, or correct the reference")
			l.problems = append(l.problems, problems...)
			l.targets[n.Origin()] = nil
			return nil
		}
	}
	return l.resolve(n)
}

// component returns where in components of the document a node stands.
func (l *loader) component(n *tree.Node) (section, name string, ok bool) {
	n = n.Origin()
	s := n.Parent()
	if s == nil || s.Parent() == nil || s.Parent() != l.root.Get("components") || l.root.Get("components") == nil {
		return "", "", false
	}
	return s.Key(), n.Key(), true
}

func singular(section string) string {
	names := map[string]string{"replies": "a reply", "replyAddresses": "the address of a reply", "externalDocs": "external documentation", "operations": "an operation", "correlationIds": "a correlation id", "securitySchemes": "a security scheme", "operationTraits": "a trait of operations", "messageTraits": "a trait of messages", "serverVariables": "a variable of a server"}
	if name, ok := names[section]; ok {
		return name
	}
	return "a " + strings.TrimSuffix(section, "s")
}
