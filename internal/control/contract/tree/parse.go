package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sluice/internal/control/contract/rule"
	"sluice/internal/strictyaml"
)

// Parse reads JSON or YAML text; name stands in places. The node is nil when
// nothing could be read; with problems of severity error it is not to be used.
func Parse(name string, data []byte) (*Node, []rule.Problem) {
	b := &builder{file: name}
	if len(data) > MaxBytes {
		b.problem("syntax-limit", Position{}, nil, fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), MaxBytes), "split the file")
		return nil, b.problems
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if i := invalidUTF8(data); i >= 0 {
		b.problem("syntax-invalid", positionOf(data, i), nil, "not UTF-8 text", "save the file as UTF-8")
		return nil, b.problems
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	looksJSON := len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
	if looksJSON {
		j := &jsonReader{builder: b, data: data, line: 1}
		root := j.document()
		if j.err == "" {
			return b.done(root), b.problems
		}
		if strings.HasSuffix(name, ".json") || b.full {
			if !b.full {
				b.problem("syntax-invalid", j.position(), nil, "not JSON: "+j.err, "check commas, quotes and brackets")
			}
			return nil, b.problems
		}
		*b = builder{file: name} // YAML in flow style, perhaps
	}
	root := b.yaml(data)
	return b.done(root), b.problems
}

// ParseJSON reads JSON text (RFC 8259) and nothing else; the node is nil when it is
// none, and not to be used with problems of severity error.
func ParseJSON(data []byte) (*Node, []rule.Problem) {
	b := &builder{}
	if i := invalidUTF8(data); i >= 0 {
		b.problem("syntax-invalid", positionOf(data, i), nil, "not UTF-8 text", "save the file as UTF-8")
		return nil, b.problems
	}
	j := &jsonReader{builder: b, data: data, line: 1}
	root := j.document()
	if j.err != "" {
		if !b.full {
			b.problem("syntax-invalid", j.position(), nil, "not JSON: "+j.err, "check commas, quotes and brackets")
		}
		return nil, b.problems
	}
	return b.done(root), b.problems
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		if data[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func positionOf(data []byte, i int) Position {
	line := bytes.Count(data[:i], []byte("\n")) + 1
	start := bytes.LastIndexByte(data[:i], '\n') + 1
	return Position{line, utf8.RuneCount(data[start:i]) + 1}
}

// builder makes nodes within the limits.
type builder struct {
	file     string
	problems []rule.Problem
	about    []*Node // what each problem is about, nil for the text
	nodes    int
	full     bool // a limit was met
	building map[*yaml.Node]bool
}

func (b *builder) problem(id string, at Position, n *Node, message, fix string) {
	place := rule.Place{File: b.file, Line: at.Line, Column: at.Column}
	b.problems = append(b.problems, rule.New(id, place, message, fix))
	b.about = append(b.about, n)
}

// done fills in pointers, which are known once everything hangs together.
func (b *builder) done(root *Node) *Node {
	for i, n := range b.about {
		b.problems[i].Pointer = n.Pointer()
	}
	if b.full {
		return nil
	}
	return root
}

func (b *builder) limit(at Position, message, fix string) {
	if !b.full {
		b.full = true
		b.problem("syntax-limit", at, nil, message, fix)
	}
}

// node makes a node in its place, nil when there are too many.
func (b *builder) node(at Position, depth int) *Node {
	if b.full {
		return nil
	}
	if b.nodes++; b.nodes > MaxNodes {
		b.limit(at, fmt.Sprintf("the document has more than %d values, aliases counted as what they stand for", MaxNodes), "split the document")
		return nil
	}
	if depth > MaxDepth {
		b.limit(at, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "flatten the document")
		return nil
	}
	return &Node{at: at, file: b.file}
}

// field adds a field to an object, unless its name is there already.
func (b *builder) field(n *Node, name string, keyAt Position, value *Node) {
	if value == nil {
		return
	}
	if first := n.Get(name); first != nil {
		b.problem("syntax-duplicate-key", keyAt, first, fmt.Sprintf("%q is there twice, first in line %d", clip(name), first.keyAt.Line), "remove one")
		return
	}
	value.keyAt = keyAt
	n.Set(name, value)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?`)

func (b *builder) yaml(data []byte) (root *Node) {
	fail := func(text string) {
		at := Position{1, 1}
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			if line, err := strconv.Atoi(m[1]); err == nil {
				at.Line = max(line, 1)
			}
			text = text[len(m[0]):]
		}
		if _, problems := strictyaml.Parse(data); len(problems) > 0 { // whose parser knows places better
			if better, ok := strings.CutPrefix(problems[0].Message, "not YAML: "); ok && problems[0].Line > 0 {
				at, text = Position{problems[0].Line, problems[0].Column}, better
			}
		}
		b.problem("syntax-invalid", at, nil, "not YAML: "+clip(text), "check indentation and quotes")
	}
	defer func() { // the parser's own mistakes are the document's problem, not ours
		if r := recover(); r != nil {
			root = nil
			fail(fmt.Sprint(r))
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		b.problem("syntax-invalid", Position{1, 1}, nil, "the file is empty", "write an AsyncAPI document into it")
		return nil
	} else if err != nil {
		fail(err.Error())
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		b.problem("syntax-invalid", Position{second.Line, second.Column}, nil, "a second document begins here", "keep one document in the file")
		return nil
	} else if !errors.Is(err, io.EOF) {
		fail(err.Error())
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		b.problem("syntax-invalid", Position{1, 1}, nil, "the file is empty", "write an AsyncAPI document into it")
		return nil
	}
	b.building = map[*yaml.Node]bool{}
	return b.fromYAML(doc.Content[0], 0)
}

func (b *builder) fromYAML(y *yaml.Node, depth int) *Node {
	at := Position{y.Line, y.Column}
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil || b.building[y.Alias] {
			b.problem("syntax-invalid", at, nil, "an alias inside of what it stands for", "write the value out, or use $ref")
			return b.node(at, depth)
		}
		return b.fromYAML(y.Alias, depth)
	case yaml.ScalarNode:
		n := b.node(at, depth)
		if n != nil {
			b.scalar(n, y)
		}
		return n
	case yaml.SequenceNode:
		n := b.node(at, depth)
		if n == nil {
			return nil
		}
		n.Kind = List
		b.building[y] = true
		defer delete(b.building, y)
		for _, item := range y.Content {
			if v := b.fromYAML(item, depth+1); v != nil {
				n.Append(v)
			}
		}
		return n
	case yaml.MappingNode:
		n := b.node(at, depth)
		if n == nil {
			return nil
		}
		n.Kind = Object
		b.building[y] = true
		defer delete(b.building, y)
		b.mapping(n, y, depth)
		return n
	}
	b.problem("syntax-invalid", at, nil, "not YAML that stands for JSON", "write plain values, lists and named fields")
	return b.node(at, depth)
}

func (b *builder) mapping(n *Node, y *yaml.Node, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content) && !b.full; i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		keyAt := Position{key.Line, key.Column}
		for key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			b.problem("syntax-invalid", keyAt, n, "a name must be text", "put the name in quotes")
			continue
		}
		if key.Value == "<<" && key.Style == 0 && key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		b.field(n, key.Value, keyAt, b.fromYAML(value, depth+1))
	}
	for _, m := range merges { // what is written here wins over what is merged
		sources := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			sources = m.Content
		}
		for _, s := range sources {
			from := b.fromYAML(s, depth)
			if !from.Is(Object) {
				if !b.full {
					b.problem("syntax-invalid", Position{s.Line, s.Column}, n, "<< must stand before named fields", "name an anchor of an object")
				}
				continue
			}
			for _, f := range from.Fields {
				if !n.Has(f.Name) {
					n.Set(f.Name, f.Value)
				}
			}
		}
	}
}

// The core schema of YAML 1.2.
var (
	yamlInt   = regexp.MustCompile(`^[-+]?[0-9]+$`)
	yamlBase  = regexp.MustCompile(`^0(?:o[0-7]+|x[0-9a-fA-F]+)$`)
	yamlFloat = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
)

const maxDigits = 400 // of a number; a longer one is text to us

func (b *builder) scalar(n *Node, y *yaml.Node) {
	n.Kind, n.Text = String, y.Value
	tag := ""
	if y.Style&yaml.TaggedStyle != 0 {
		tag = y.ShortTag()
		switch tag {
		case "!!str":
			return
		case "!!null", "!!bool", "!!int", "!!float":
		default:
			b.problem("syntax-invalid", n.at, n, "tag "+clip(tag)+" is not accepted", "remove the tag")
			return
		}
	} else if y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return
	}
	if kind, text, ok := plain(y.Value); ok {
		n.Kind, n.Text = kind, text
		b.exponent(n)
	} else if f := strings.ToLower(strings.TrimLeft(y.Value, "+-")); f == ".inf" || f == ".nan" {
		b.problem("syntax-invalid", n.at, n, y.Value+" is a number that JSON does not have", "put it in quotes, or leave it out")
	}
}

// exponent refuses numbers that are short to write and take a processor's years to
// calculate with exactly, as schemas do.
func (b *builder) exponent(n *Node) {
	if i := strings.IndexAny(n.Text, "eE"); n.Kind == Number && i >= 0 {
		if e, err := strconv.Atoi(n.Text[i+1:]); err != nil || e > maxDigits || e < -maxDigits {
			b.problem("syntax-limit", n.at, n, clip(n.Text)+" is too large or too small a number", fmt.Sprintf("use exponents up to %d, or put it in quotes", maxDigits))
		}
	}
}

// plain reads a plain YAML scalar that is not text.
func plain(text string) (kind Kind, out string, ok bool) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return Null, "", true
	case "true", "True", "TRUE":
		return Bool, "true", true
	case "false", "False", "FALSE":
		return Bool, "false", true
	}
	if c := text[0]; len(text) > maxDigits || c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return 0, "", false
	}
	switch {
	case yamlInt.MatchString(text):
		sign := ""
		if text[0] == '-' {
			sign = "-"
		}
		digits := strings.TrimLeft(strings.TrimLeft(text, "+-"), "0")
		if digits == "" {
			return Number, "0", true
		}
		return Number, sign + digits, true
	case yamlBase.MatchString(text):
		i, ok := new(big.Int).SetString(text, 0)
		if !ok {
			return 0, "", false
		}
		return Number, i.String(), true
	case yamlFloat.MatchString(text):
		return Number, jsonFloat(text), true
	}
	return 0, "", false
}

// jsonFloat writes a YAML float as JSON wants it.
func jsonFloat(text string) string {
	sign := ""
	if text[0] == '-' {
		sign = "-"
	}
	text = strings.TrimLeft(text, "+-")
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], "e"+strings.TrimPrefix(text[i+1:], "+")
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + exponent
}

// jsonReader reads JSON text (RFC 8259) with places.
type jsonReader struct {
	*builder
	data  []byte
	i     int
	line  int
	start int // of the line
	err   string
	// counted is how far characters of the line were counted, so that a long line is not
	// counted again for each value in it.
	counted, characters int
}

func (j *jsonReader) position() Position {
	at := min(j.i, len(j.data))
	if j.counted < j.start || j.counted > at {
		j.counted, j.characters = j.start, 0
	}
	j.characters += utf8.RuneCount(j.data[j.counted:at])
	j.counted = at
	return Position{j.line, j.characters + 1}
}

func (j *jsonReader) fail(err string) *Node {
	if j.err == "" {
		j.err = err
	}
	return nil
}

func (j *jsonReader) space() {
	for j.i < len(j.data) {
		switch j.data[j.i] {
		case '\n':
			j.line++
			j.start = j.i + 1
		case ' ', '\t', '\r':
		default:
			return
		}
		j.i++
	}
}

func (j *jsonReader) document() *Node {
	j.space()
	root := j.value(0)
	j.space()
	if j.err == "" && j.i < len(j.data) {
		return j.fail("text after the end")
	}
	return root
}

func (j *jsonReader) value(depth int) *Node {
	at := j.position()
	n := j.node(at, depth)
	if n == nil {
		return j.fail("too large")
	}
	if j.i >= len(j.data) {
		return j.fail("the text ends early")
	}
	switch c := j.data[j.i]; {
	case c == '{':
		n.Kind = Object
		return j.object(n, depth)
	case c == '[':
		n.Kind = List
		return j.list(n, depth)
	case c == '"':
		text, ok := j.text()
		if !ok {
			return nil
		}
		n.Kind, n.Text = String, text
		return n
	case c == '-' || c >= '0' && c <= '9':
		n.Kind, n.Text = Number, j.number()
		if n.Text == "" {
			return j.fail("not a number")
		}
		j.exponent(n)
		return n
	}
	for word, kind := range map[string]Kind{"null": Null, "true": Bool, "false": Bool} {
		if bytes.HasPrefix(j.data[j.i:], []byte(word)) {
			j.i += len(word)
			n.Kind = kind
			if kind == Bool {
				n.Text = word
			}
			return n
		}
	}
	return j.fail("a value is expected")
}

func (j *jsonReader) object(n *Node, depth int) *Node {
	j.i++
	for first := true; ; first = false {
		j.space()
		if j.i < len(j.data) && j.data[j.i] == '}' && first {
			j.i++
			return n
		}
		keyAt := j.position()
		if j.i >= len(j.data) || j.data[j.i] != '"' {
			return j.fail("a name in quotes is expected")
		}
		name, ok := j.text()
		if !ok {
			return nil
		}
		if j.space(); j.i >= len(j.data) || j.data[j.i] != ':' {
			return j.fail("a colon is expected")
		}
		j.i++
		j.space()
		v := j.value(depth + 1)
		if v == nil {
			return nil
		}
		j.field(n, name, keyAt, v)
		if end, ok := j.more('}'); !ok {
			return nil
		} else if end {
			return n
		}
	}
}

func (j *jsonReader) list(n *Node, depth int) *Node {
	j.i++
	for first := true; ; first = false {
		j.space()
		if j.i < len(j.data) && j.data[j.i] == ']' && first {
			j.i++
			return n
		}
		v := j.value(depth + 1)
		if v == nil {
			return nil
		}
		n.Append(v)
		if end, ok := j.more(']'); !ok {
			return nil
		} else if end {
			return n
		}
	}
}

// more reads a comma, or the end of a list or object.
func (j *jsonReader) more(closing byte) (end, ok bool) {
	j.space()
	if j.i >= len(j.data) {
		j.fail("the text ends early")
		return false, false
	}
	switch j.data[j.i] {
	case ',':
		j.i++
		return false, true
	case closing:
		j.i++
		return true, true
	}
	j.fail("a comma or " + string(closing) + " is expected")
	return false, false
}

func (j *jsonReader) number() string {
	start, i := j.i, j.i
	digits := func() bool {
		from := i
		for i < len(j.data) && j.data[i] >= '0' && j.data[i] <= '9' {
			i++
		}
		return i > from
	}
	if j.data[i] == '-' {
		i++
	}
	whole := i
	if !digits() || j.data[whole] == '0' && i > whole+1 {
		return ""
	}
	if i < len(j.data) && j.data[i] == '.' {
		i++
		if !digits() {
			return ""
		}
	}
	if i < len(j.data) && (j.data[i] == 'e' || j.data[i] == 'E') {
		i++
		if i < len(j.data) && (j.data[i] == '+' || j.data[i] == '-') {
			i++
		}
		if !digits() {
			return ""
		}
	}
	if i-start > maxDigits {
		return ""
	}
	j.i = i
	return string(j.data[start:i])
}

func (j *jsonReader) text() (string, bool) {
	j.i++
	start := j.i
	for i := start; i < len(j.data); i++ { // most texts have no escapes
		switch c := j.data[i]; {
		case c == '"':
			j.i = i + 1
			return string(j.data[start:i]), true
		case c == '\\':
			return j.escaped(start, i)
		case c < 0x20:
			j.i = i
			j.fail("a control character in a text")
			return "", false
		}
	}
	j.i = len(j.data)
	j.fail("a text has no end")
	return "", false
}

func (j *jsonReader) escaped(start, i int) (string, bool) {
	out := append([]byte(nil), j.data[start:i]...)
	bad := func(message string) (string, bool) {
		j.i = min(i, len(j.data))
		j.fail(message)
		return "", false
	}
	hex := func(at int) (rune, bool) {
		if at+4 > len(j.data) {
			return 0, false
		}
		u, err := strconv.ParseUint(string(j.data[at:at+4]), 16, 16)
		return rune(u), err == nil
	}
	for i < len(j.data) {
		c := j.data[i]
		switch {
		case c == '"':
			j.i = i + 1
			return string(out), true
		case c < 0x20:
			return bad("a control character in a text")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(j.data) {
			break
		}
		switch e := j.data[i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[e])
		case 'u':
			r, ok := hex(i + 2)
			if !ok {
				return bad("four hexadecimal digits are expected after \\u")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if i+3 < len(j.data) && j.data[i+2] == '\\' && j.data[i+3] == 'u' {
					if l, ok := hex(i + 4); ok {
						low = l
					}
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return bad("an unknown escape in a text")
		}
		i += 2
	}
	return bad("a text has no end")
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
