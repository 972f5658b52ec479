// Package lint looks for what is allowed in a contract and still not wanted. Its
// main type is Ruleset: packs that are built in, and rules in the shape of
// Spectral's, read from a file. Rules look at a contract in the words of AsyncAPI
// 3, whichever version was written, and tell places in what was written. It knows
// nothing of what makes a contract wrong; that was said when it was read.
package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/strictyaml"
)

// Ruleset is rules to look at a contract with. It may be used by several goroutines
// at a time.
type Ruleset struct {
	rules     []*lintRule
	overrides []override
}

// lintRule is one rule.
type lintRule struct {
	id, pack, message, fix string
	severity               rule.Severity
	given                  []*Path
	then                   []then
}

// then is what is wanted of what a path finds.
type then struct {
	field string // below it; "@key" for its name
	check check
}

// check returns what is wrong with a node, "" when nothing is, and where if it is
// not the node itself.
type check func(c *context, n *tree.Node) []wrong

type wrong struct {
	node    *tree.Node
	message string
}

// override changes severities below a pointer of the document, or in some files.
type override struct {
	file, pointer string
	severities    map[string]rule.Severity
}

// context is one run.
type context struct {
	model *contract.Model
	root  *tree.Node // the contract in the words of 3.x
}

// Packs returns the names of the packs that are built in.
func Packs() []string {
	return []string{"kafka-naming", "docs-complete", "pii", "cloudevents", "security"}
}

// New returns the rules of some packs.
func New(packs ...string) (*Ruleset, error) {
	r := &Ruleset{}
	for _, name := range packs {
		if err := r.extend(name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Ruleset) extend(name string) error {
	if !slices.Contains(Packs(), name) {
		fix := "use some of " + strings.Join(Packs(), ", ")
		if near := strictyaml.Nearest(name, Packs()); near != "" {
			fix = "did you mean " + near + "?"
		}
		return fmt.Errorf("there is no pack %q: %s", name, fix)
	}
	for _, b := range builtin() {
		if b.pack == name && !slices.ContainsFunc(r.rules, func(o *lintRule) bool { return o.id == b.id }) {
			r.rules = append(r.rules, b)
		}
	}
	return nil
}

// What a ruleset may hold.
const (
	maxRules    = 500
	maxFindings = 1000
)

// Read reads a ruleset: extends (packs), rules (off, a severity, an object that
// changes a rule, or a rule of its own with given and then), and overrides (files as
// name#/pointer, and severities of rules there). Problems have the place in the file.
func Read(name string, text []byte) (*Ruleset, []rule.Problem) {
	root, problems := tree.Parse(name, text)
	if rule.Bad(problems) {
		return nil, problems
	}
	r := &Ruleset{}
	report := func(n *tree.Node, format string, args ...any) {
		p := rule.New("lint-custom", n.Place(), fmt.Sprintf(format, args...), "correct the ruleset")
		p.Severity = rule.Error
		problems = append(problems, p)
	}
	if !root.Is(tree.Object) {
		report(root, "a ruleset is an object with extends and rules")
		return nil, problems
	}
	for _, f := range root.Fields {
		switch f.Name {
		case "extends", "rules", "overrides", "description", "documentationUrl", "formats", "aliases":
		default:
			report(f.Value, "%q is no field of a ruleset", f.Name)
		}
	}
	extends := root.Get("extends")
	packs := extends.Elements()
	if extends.Is(tree.String) {
		packs = []*tree.Node{extends}
	}
	for _, pack := range packs {
		if err := r.extend(pack.Str()); err != nil {
			report(pack, "%v", err)
		}
	}
	for _, f := range root.Get("rules").Entries() {
		if len(r.rules) >= maxRules {
			report(f.Value, "there are more than %d rules", maxRules)
			break
		}
		r.rule(f.Name, f.Value, report)
	}
	for _, o := range root.Get("overrides").Elements() {
		severities := map[string]rule.Severity{}
		for _, f := range o.Get("rules").Entries() {
			s, ok := severityOf(f.Value)
			if !ok || !r.has(f.Name) {
				report(f.Value, "an override gives a severity to a rule of the ruleset")
				continue
			}
			severities[f.Name] = s
		}
		files := o.Get("files").Strings()
		if len(files) == 0 {
			report(o, "an override names files, as orders.yaml#/channels/placed")
		}
		for _, file := range files {
			name, pointer, _ := strings.Cut(file, "#")
			r.overrides = append(r.overrides, override{name, pointer, severities})
		}
	}
	if rule.Bad(problems) {
		return nil, problems
	}
	return r, problems
}

func (r *Ruleset) has(id string) bool {
	return slices.ContainsFunc(r.rules, func(o *lintRule) bool { return o.id == id })
}

func severityOf(n *tree.Node) (rule.Severity, bool) {
	switch {
	case n.Is(tree.String):
		return rule.ParseSeverity(n.Text)
	case n.Is(tree.Bool) && !n.True():
		return rule.Off, true
	}
	return rule.Off, false
}

func (r *Ruleset) rule(id string, n *tree.Node, report func(*tree.Node, string, ...any)) {
	at := slices.IndexFunc(r.rules, func(o *lintRule) bool { return o.id == id })
	if s, ok := severityOf(n); ok || n.True() {
		switch {
		case at < 0:
			report(n, "there is no rule %q in the packs that the ruleset extends", id)
		case !n.True():
			changed := *r.rules[at]
			changed.severity = s
			r.rules[at] = &changed
		}
		return
	}
	if !n.Is(tree.Object) {
		report(n, "rule %q must be a severity or an object", id)
		return
	}
	made := &lintRule{id: id, pack: "custom", severity: rule.Warning}
	if at >= 0 {
		changed := *r.rules[at]
		made = &changed
	}
	if v := n.Get("severity"); v != nil {
		s, ok := severityOf(v)
		if !ok {
			report(v, "is not a severity: write off, info, warning or error")
			return
		}
		made.severity = s
	}
	made.message = cmpOr(n.Get("message").Str(), n.Get("description").Str(), made.message)
	if given := n.Get("given"); given != nil {
		made.given = nil
		texts := given.Strings()
		if len(texts) == 0 {
			report(given, "given must be a JSONPath, or several")
		}
		for _, text := range texts {
			p, err := ParsePath(text)
			if err != nil {
				report(given, "%v", err)
				return
			}
			made.given = append(made.given, p)
		}
	}
	if what := n.Get("then"); what != nil {
		made.then = nil
		list := what.Elements()
		if what.Is(tree.Object) {
			list = []*tree.Node{what}
		}
		for _, t := range list {
			c, err := function(t.Get("function").Str(), t.Get("functionOptions"))
			if err != nil {
				report(t, "%v", err)
				return
			}
			made.then = append(made.then, then{t.Get("field").Str(), c})
		}
	}
	if len(made.given) == 0 || len(made.then) == 0 {
		report(n, "rule %q needs given and then", id)
		return
	}
	if at >= 0 {
		r.rules[at] = made
	} else {
		r.rules = append(r.rules, made)
	}
}

func cmpOr(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Result is what was found.
type Result struct {
	Problems []rule.Problem
	// Score says how much of what was looked at is as it should be, 0 to 100, errors
	// weighed more than warnings and these more than information. 0 for a contract that
	// cannot be used.
	Score int
	// Packs are the scores of each pack.
	Packs map[string]int
}

// Run looks at a document.
func (r *Ruleset) Run(d *contract.Document) Result {
	if d.Model == nil {
		return Result{Packs: map[string]int{}}
	}
	c := &context{model: d.Model, root: d.Model.Emit(contract.Version31)}
	type tally struct{ good, all int }
	total, packs := tally{}, map[string]*tally{}
	var out Result
	for _, one := range r.rules {
		if one.severity == rule.Off {
			continue
		}
		weight := map[rule.Severity]int{rule.Error: 5, rule.Warning: 3, rule.Info: 1}[one.severity]
		if packs[one.pack] == nil {
			packs[one.pack] = &tally{}
		}
		for _, path := range one.given {
			for _, n := range path.Find(c.root, c.resolve) {
				if path.names {
					n = nameOf(n)
				}
				found := one.look(c, n)
				counts := []*tally{&total, packs[one.pack]}
				for _, t := range counts {
					t.all += weight
					if len(found) == 0 {
						t.good += weight
					}
				}
				for _, w := range found {
					if len(out.Problems) < maxFindings {
						out.Problems = append(out.Problems, r.problem(c, one, w))
					}
				}
			}
		}
	}
	out.Problems = slices.DeleteFunc(out.Problems, func(p rule.Problem) bool { return p.Severity == rule.Off })
	out.Problems = rule.Sort(out.Problems)
	score := func(t tally) int {
		if t.all == 0 {
			return 100
		}
		return 100 * t.good / t.all
	}
	out.Packs = map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(packs)) {
		out.Packs[name] = score(*packs[name])
	}
	if !d.Bad() {
		out.Score = score(total)
	}
	return out
}

func nameOf(n *tree.Node) *tree.Node {
	// The name stands where the value's place is.
	return n.Empty().Set("name", tree.Text(n.Key())).Get("name")
}

func (r *Ruleset) problem(c *context, one *lintRule, w wrong) rule.Problem {
	p := rule.Problem{Rule: one.id, Severity: one.severity, Place: c.place(w.node), Message: w.message, Fix: one.fix}
	if one.message != "" {
		p.Message = strings.NewReplacer("{{error}}", w.message, "{{property}}", w.node.Key(), "{{path}}", p.Pointer, "{{value}}", clip(w.node.Str())).Replace(one.message)
		if !strings.Contains(one.message, "{{error}}") && one.pack == "custom" {
			p.Message += ": " + w.message
		}
	}
	for _, o := range r.overrides {
		file := o.file == "" || o.file == p.File || strings.HasSuffix(p.File, "/"+o.file) || o.file == "*" || o.file == "**"
		if s, ok := o.severities[one.id]; ok && file && (p.Pointer == o.pointer || strings.HasPrefix(p.Pointer, o.pointer+"/") || o.pointer == "") {
			p.Severity = s
		}
	}
	return p
}

func (one *lintRule) look(c *context, n *tree.Node) []wrong {
	n = c.resolve(n)
	var out []wrong
	for _, t := range one.then {
		targets := []*tree.Node{n}
		switch {
		case t.field == "@key":
			targets = []*tree.Node{nameOf(n)}
		case strings.HasPrefix(t.field, "$"):
			if p, err := ParsePath(t.field); err == nil {
				targets = p.Find(n, c.resolve)
			}
		case t.field != "":
			at := n
			for name := range strings.SplitSeq(t.field, ".") {
				at = c.resolve(at).Get(name)
			}
			if at == nil { // is looked at as what is not there, at the place of what it would be in
				at = absent(n, t.field)
			}
			targets = []*tree.Node{at}
		}
		for _, target := range targets {
			out = append(out, t.check(c, target)...)
		}
	}
	return out
}

// absent is a node for a field that is not there.
func absent(n *tree.Node, field string) *tree.Node {
	holder := n.Empty()
	return holder.Set(field, &tree.Node{Kind: missing}).Get(field)
}

const missing tree.Kind = 255

func isMissing(n *tree.Node) bool { return n == nil || n.Kind == missing }

// resolve follows references within the contract.
func (c *context) resolve(n *tree.Node) *tree.Node {
	for range 32 {
		ref, ok := strings.CutPrefix(n.Get("$ref").Str(), "#")
		if !ok {
			return n
		}
		target, found := c.root.Find(unescape(ref))
		if !found {
			return n
		}
		n = target
	}
	return n
}

func unescape(fragment string) string {
	if !strings.Contains(fragment, "%") {
		return fragment
	}
	var b strings.Builder
	for i := 0; i < len(fragment); i++ {
		var c byte
		if fragment[i] == '%' && i+2 < len(fragment) {
			if _, err := fmt.Sscanf(fragment[i+1:i+3], "%02X", &c); err == nil {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(fragment[i])
	}
	return b.String()
}

// place returns where a node stands in what was written: what was made for this run
// stands where what it was made from does.
func (c *context) place(n *tree.Node) rule.Place {
	if p := n.Place(); p.File != "" {
		return p
	}
	var last rule.Place
	for child := n; child != nil; child = child.Parent() {
		parent := child.Parent()
		if p := parent.Place(); p.File != "" {
			if field := parent.Origin().Get(child.Key()); field != nil {
				return field.Place()
			}
			return p
		}
	}
	if last.File == "" && len(c.model.Channels) > 0 {
		last = rule.Place{File: c.model.Channels[0].Place().File}
	}
	if info := c.model.Info.Place(); info.File != "" {
		return info
	}
	return last
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// function returns one of Spectral's core functions.
func function(name string, options *tree.Node) (check, error) {
	one := func(f func(n *tree.Node) string) check {
		return func(_ *context, n *tree.Node) []wrong {
			if message := f(n); message != "" {
				return []wrong{{n, message}}
			}
			return nil
		}
	}
	key := func(n *tree.Node) string {
		if n.Key() == "" {
			return "the document"
		}
		return fmt.Sprintf("%q", n.Key())
	}
	switch name {
	case "truthy":
		return one(func(n *tree.Node) string {
			if isMissing(n) || !truthy(n) {
				return key(n) + " must be there"
			}
			return ""
		}), nil
	case "falsy":
		return one(func(n *tree.Node) string {
			if !isMissing(n) && truthy(n) {
				return key(n) + " must not be there"
			}
			return ""
		}), nil
	case "defined":
		return one(func(n *tree.Node) string {
			if isMissing(n) {
				return key(n) + " must be there"
			}
			return ""
		}), nil
	case "undefined":
		return one(func(n *tree.Node) string {
			if !isMissing(n) {
				return key(n) + " must not be there"
			}
			return ""
		}), nil
	case "pattern":
		match, notMatch := options.Get("match").Str(), options.Get("notMatch").Str()
		if match == "" && notMatch == "" {
			return nil, fmt.Errorf("function pattern needs match or notMatch")
		}
		compile := func(text string) (*regexp.Regexp, error) {
			if text == "" {
				return nil, nil
			}
			if len(text) > 1000 {
				return nil, fmt.Errorf("the pattern has more than 1000 bytes")
			}
			if len(text) > 1 && text[0] == '/' && strings.LastIndexByte(text, '/') > 0 { // as in JavaScript
				end := strings.LastIndexByte(text, '/')
				flags := text[end+1:]
				text = text[1:end]
				if strings.Contains(flags, "i") {
					text = "(?i)" + text
				}
			}
			return regexp.Compile(text)
		}
		yes, err := compile(match)
		if err != nil {
			return nil, err
		}
		no, err := compile(notMatch)
		if err != nil {
			return nil, err
		}
		return one(func(n *tree.Node) string {
			switch {
			case isMissing(n) || !n.Is(tree.String):
			case yes != nil && !yes.MatchString(n.Text):
				return fmt.Sprintf("%q does not match %s", clip(n.Text), match)
			case no != nil && no.MatchString(n.Text):
				return fmt.Sprintf("%q matches %s", clip(n.Text), notMatch)
			}
			return ""
		}), nil
	case "length":
		least, hasLeast := options.Get("min").Float()
		most, hasMost := options.Get("max").Float()
		if !hasLeast && !hasMost {
			return nil, fmt.Errorf("function length needs min or max")
		}
		return one(func(n *tree.Node) string {
			size := 0.0
			switch {
			case isMissing(n):
				return ""
			case n.Is(tree.String):
				size = float64(len([]rune(n.Text)))
			case n.Is(tree.Number):
				size, _ = n.Float()
			default:
				size = float64(len(n.Items) + len(n.Fields))
			}
			if hasLeast && size < least || hasMost && size > most {
				return fmt.Sprintf("%s has the length %g", key(n), size)
			}
			return ""
		}), nil
	case "enumeration":
		values := options.Get("values").Elements()
		if len(values) == 0 {
			return nil, fmt.Errorf("function enumeration needs values")
		}
		return one(func(n *tree.Node) string {
			if isMissing(n) || slices.ContainsFunc(values, func(v *tree.Node) bool { return tree.Equal(v, n) }) {
				return ""
			}
			return fmt.Sprintf("%s is %s, which is not one of %s", key(n), clip(string(n.Canonical())), clip(string(options.Get("values").Canonical())))
		}), nil
	case "casing":
		style := options.Get("type").Str()
		re := casings[style]
		if re == nil {
			return nil, fmt.Errorf("function casing needs type: %s", strings.Join(slices.Sorted(maps.Keys(casings)), ", "))
		}
		return one(func(n *tree.Node) string {
			if isMissing(n) || !n.Is(tree.String) || n.Text == "" || re.MatchString(n.Text) {
				return ""
			}
			return fmt.Sprintf("%q is not in %s case", clip(n.Text), style)
		}), nil
	case "schema":
		body := options.Get("schema")
		if body == nil {
			return nil, fmt.Errorf("function schema needs schema")
		}
		v, findings := schema.Compile(schema.New("", body, nil), schema.NewBudget())
		if v == nil {
			return nil, fmt.Errorf("the schema cannot be used: %s", findings[0].Message)
		}
		return func(_ *context, n *tree.Node) []wrong {
			if isMissing(n) {
				return nil
			}
			var out []wrong
			for _, f := range v.Validate(n) {
				out = append(out, wrong{f.Node, f.Message})
			}
			return out
		}, nil
	}
	known := []string{"truthy", "falsy", "defined", "undefined", "pattern", "length", "enumeration", "casing", "schema"}
	fix := "use one of " + strings.Join(known, ", ")
	if near := strictyaml.Nearest(name, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	return nil, fmt.Errorf("there is no function %q: %s", clip(name), fix)
}

var casings = map[string]*regexp.Regexp{
	"flat": regexp.MustCompile(`^[a-z][a-z0-9]*$`), "camel": regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`), "pascal": regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*$`),
	"kebab": regexp.MustCompile(`^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$`), "cobol": regexp.MustCompile(`^[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*$`),
	"snake": regexp.MustCompile(`^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$`), "macro": regexp.MustCompile(`^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*$`),
}
