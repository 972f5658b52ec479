// Package contract reads AsyncAPI documents, of 2.0 to 2.6, 3.0 and 3.1, and says
// what is wrong with them, each problem with its place. Its main type is
// Document: the text as a tree, and the Model made from it, which is the same
// whatever version was read. It reads no file, opens no connection and keeps
// nothing; what a document refers to comes through functions that the caller
// gives. It knows nothing of products, plans or gateways.
//
// A document is never trusted: bytes, depth, values, files and schemas are
// bounded, and regular expressions are Go's, which need linear time.
package contract

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sluice/internal/control/contract/metaschema"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// What a document may refer to, all together.
const (
	MaxFiles     = 64
	MaxFileBytes = 16 << 20
	maxChain     = 32  // references to references
	maxProblems  = 500 // that are told of one document
)

// Options are what Load needs besides the text.
type Options struct {
	// Resolve returns the text of another file. Location is a path, relative ones
	// joined with the directory of the file that refers to it, or an absolute URL. Nil
	// means that nothing else is read: a reference that leaves the document is then a
	// warning, and what depends on it is not checked. The same holds for a location for
	// which it returns ErrRefused.
	Resolve func(location string) ([]byte, error)
	// Registry looks up schemas that a document refers to by subject and version, or by
	// id; nil when there is none.
	Registry schema.Registry
	// Known says that the text was checked before, and that what it says is wanted: its
	// messages, schemas and examples are not looked at again, which is most of the work.
	Known bool
}

// ErrRefused is what Options.Resolve returns for what it does not read on purpose.
var ErrRefused = fmt.Errorf("not read")

// Document is an AsyncAPI document that was read.
type Document struct {
	// Name is what the text was called, usually a file.
	Name string
	// Version is that of AsyncAPI, as 3.0.0.
	Version string
	// Root is the text.
	Root *tree.Node
	// Model is what the document says; nil when the document has not the shape of an
	// AsyncAPI document.
	Model *Model
	// Problems are all that were found, in the order of places.
	Problems []rule.Problem
}

// Bad reports whether the document cannot be used.
func (d *Document) Bad() bool { return d.Model == nil || rule.Bad(d.Problems) }

// Rights returns what subscribers may do with each channel.
func (d *Document) Rights() []Right {
	if d.Model == nil {
		return nil
	}
	return d.Model.Rights()
}

// Load reads a document and checks it. It always returns a document; whether it is
// to be used, Bad says.
func Load(name string, text []byte, opts Options) *Document {
	l := newLoader(name, opts)
	d := &Document{Name: name}
	root, problems := tree.Parse(name, text)
	l.problems = append(l.problems, problems...)
	if root == nil || rule.Bad(problems) {
		d.Root = root
		d.Problems = l.done()
		return d
	}
	d.Root = root
	l.root = root
	l.files[name] = root
	if d.Version = l.version(); d.Version == "" {
		d.Problems = l.done()
		return d
	}
	l.v3 = strings.HasPrefix(d.Version, "3.")
	l.asyncapi = d.Version
	shape := metaschema.Check(d.Version, root)
	l.problems = append(l.problems, shape...)
	l.checkReferences(root)
	if len(shape) > 0 || root.Kind != tree.Object || l.tooMany() {
		d.Problems = l.done()
		return d
	}
	if l.v3 {
		d.Model = l.build3()
	} else {
		d.Model = l.build2()
	}
	if !opts.Known {
		l.check(d.Model)
	}
	d.Problems = l.done()
	return d
}

// loader is one run of Load.
type loader struct {
	name     string
	opts     Options
	root     *tree.Node
	asyncapi string
	v3       bool
	problems []rule.Problem

	files   map[string]*tree.Node // by location; nil when it cannot be read
	bytes   int
	targets map[*tree.Node]*tree.Node // of references, by their origin; nil when there is none
	reached []*tree.Node              // roots of other files, in the order in which they were met

	model    *Model
	names    map[*tree.Node]string    // of schemas in Model.Schemas, by the origin of what is there
	checked  map[string]bool          // parts of other files that were checked, by role and place
	compiled map[*tree.Node]*compiled // schemas, by the origin of their root

	registered map[string][]schema.Import // what came with schemas of a registry, by location
	embedded   map[string]string          // texts that came so, by location
	protobuf   map[string]bool            // locations of Protobuf files
	sources    map[*Message]*tree.Node    // of 2.x, to find a message again
	messages   map[string]map[*tree.Node]indexed
	made       map[*tree.Node]*Message // of components, by the message's node
	copied     int

	schemaNames, channelNames, operationNames namer
	budget                                    schema.Budget
}

func newLoader(name string, opts Options) *loader {
	return &loader{
		name: name, opts: opts,
		files: map[string]*tree.Node{}, targets: map[*tree.Node]*tree.Node{}, names: map[*tree.Node]string{},
		checked: map[string]bool{}, compiled: map[*tree.Node]*compiled{}, budget: schema.NewBudget(),
		registered: map[string][]schema.Import{}, embedded: map[string]string{}, protobuf: map[string]bool{}, sources: map[*Message]*tree.Node{},
		messages: map[string]map[*tree.Node]indexed{}, made: map[*tree.Node]*Message{},
		schemaNames: namer{}, channelNames: namer{}, operationNames: namer{},
	}
}

func (l *loader) report(id string, n *tree.Node, message, fix string) {
	l.reportAt(id, n.Place(), message, fix)
}

func (l *loader) reportAt(id string, at rule.Place, message, fix string) {
	if at.File == "" {
		at.File = l.name
	}
	if len(l.problems) < 4*maxProblems {
		l.problems = append(l.problems, rule.New(id, at, message, fix))
	}
}

func (l *loader) done() []rule.Problem {
	problems := rule.Sort(l.problems)
	if len(problems) > maxProblems {
		// errors must not drown in warnings
		slices.SortStableFunc(problems, func(a, b rule.Problem) int { return int(b.Severity) - int(a.Severity) })
		problems = rule.Sort(problems[:maxProblems])
		problems = append(problems, rule.New("document-problems", rule.Place{File: l.name}, fmt.Sprintf("there are more than %d problems", maxProblems), "repair these first"))
	}
	return problems
}

// version returns which meta-schema the document is checked with.
func (l *loader) version() string {
	n := l.root.Get("asyncapi")
	known := metaschema.Versions()
	switch {
	case !l.root.Is(tree.Object) || n == nil:
		l.report("asyncapi-version", l.root, "is not an AsyncAPI document", "begin it with asyncapi: 3.0.0")
		return ""
	case !n.Is(tree.String):
		l.report("asyncapi-version", n, "the version of AsyncAPI must be text", `write it as asyncapi: "3.0.0"`)
		return ""
	case slices.Contains(known, n.Text):
		return n.Text
	}
	major, rest, _ := strings.Cut(n.Text, ".")
	fix := "write one of " + strings.Join(known, ", ")
	if major == "1" {
		fix = "convert the document to 2.6.0 or 3.0.0"
	}
	if minor, patch, ok := strings.Cut(rest, "."); ok { // a patch release says nothing new
		if base, _, _ := strings.Cut(patch, "-"); base == patch && patch != "" && slices.Contains(known, major+"."+minor+".0") {
			fix = "write " + major + "." + minor + ".0"
		}
	}
	l.report("asyncapi-version", n, fmt.Sprintf("AsyncAPI %q is not read", clip(n.Text)), fix)
	return ""
}

// Location resolves a reference's file against the file that it stands in.
func location(base, ref string) string {
	if isURL(ref) {
		return ref
	}
	if scheme, rest, ok := strings.Cut(base, "://"); ok {
		host, dir, _ := strings.Cut(rest, "/")
		if strings.HasPrefix(ref, "/") {
			return scheme + "://" + host + path.Clean(ref)
		}
		return scheme + "://" + host + path.Join("/", path.Dir(dir), ref)
	}
	if path.IsAbs(ref) {
		return path.Clean(ref)
	}
	return path.Join(path.Dir(base), ref)
}

func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, ":")
	return ok && len(scheme) > 1 && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+.-") == ""
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
