// Package strictyaml reads YAML into Go structs and reports everything that is
// wrong with it at once, each problem with its line and column and what to do
// about it. Its main type is Document. It knows no document's meaning; both the
// resource documents and the configuration are read with it.
//
// Only the plain part of YAML is accepted: no anchors, aliases, merge keys or
// tags, so a document never grows while it is read.
package strictyaml

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What one file and one document may hold. The parser's time grows with the
// square of a document's length, and its stack with the depth.
const (
	MaxFileBytes     = 8 << 20
	MaxDocumentBytes = 512 << 10
	MaxTokens        = 20_000
	MaxDepth         = 64
)

// Problem is one thing that is wrong, or worth knowing, at one place.
type Problem struct {
	File         string
	Line, Column int
	// Path is the field, as "spec.plans.free.auth[1]".
	Path string
	// Message says what is wrong, Fix what to do.
	Message, Fix string
	// Warning marks what does not stop anything.
	Warning bool
}

// String returns the problem on one line: file, line, column, field, message
// and what to do.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString(": " + p.Fix)
	}
	return b.String()
}

// Position is a place in a file, both counted from 1.
type Position struct{ Line, Column int }

// Document is one parsed YAML document of a file.
type Document struct {
	// Line is where the document begins in its file.
	Line int
	root ast.Node
	// positions holds the place of each field that Decode met.
	positions map[string]Position
	problems  []Problem
}

// Parse splits a file into its documents and parses each. A document that is not
// YAML is reported and left out; the others are returned. Empty documents are
// left out.
func Parse(data []byte) ([]*Document, []Problem) {
	if len(data) > MaxFileBytes {
		return nil, []Problem{{Message: fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), MaxFileBytes), Fix: "split the file"}}
	}
	var docs []*Document
	var problems []Problem
	for _, part := range split(data) {
		root, problem := parsePart(part)
		if problem != nil {
			problem.Line += part.line - 1
			problems = append(problems, *problem)
			continue
		}
		if root != nil {
			docs = append(docs, &Document{Line: part.line, root: root, positions: map[string]Position{}})
		}
	}
	return docs, problems
}

type part struct {
	line int
	text []byte
}

// split cuts a file at its document markers, which YAML allows in the first
// column only and nowhere else.
func split(data []byte) []part {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	parts := []part{{line: 1}}
	line, start := 1, 0
	for pos := 0; pos < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		text := data[pos:end]
		if marker(text, "---") || marker(text, "...") {
			parts[len(parts)-1].text = data[start:pos]
			start = pos + 3
			parts = append(parts, part{line: line})
		}
		pos = end
	}
	parts[len(parts)-1].text = data[start:]
	return parts
}

func marker(line []byte, m string) bool {
	return bytes.HasPrefix(line, []byte(m)) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0)
}

// parsePart parses one document; lines in its problem are counted from the
// part's first one.
func parsePart(p part) (root ast.Node, problem *Problem) {
	at := func(tk *token.Token, message, fix string) *Problem {
		out := &Problem{Line: 1, Column: 1, Message: message, Fix: fix}
		if tk != nil && tk.Position != nil {
			out.Line, out.Column = max(tk.Position.Line, 1), max(tk.Position.Column, 1)
		}
		return out
	}
	if len(p.text) > MaxDocumentBytes {
		return nil, at(nil, fmt.Sprintf("the document has %d bytes, at most %d are read", len(p.text), MaxDocumentBytes), "split the document")
	}
	defer func() { // the parser's own mistakes are the document's problem, not ours
		if r := recover(); r != nil {
			root, problem = nil, at(nil, fmt.Sprintf("not YAML: %v", r), "check indentation and quotes")
		}
	}()
	tokens := lexer.Tokenize(string(p.text))
	if tk, message, fix := checkTokens(tokens); message != "" {
		return nil, at(tk, message, fix)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if e, ok := err.(yaml.Error); ok {
			return nil, at(e.GetToken(), "not YAML: "+e.GetMessage(), "check indentation and quotes")
		}
		return nil, at(nil, "not YAML: "+err.Error(), "check indentation and quotes")
	}
	for _, d := range file.Docs {
		if d == nil || d.Body == nil {
			continue
		}
		if _, comment := d.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if root != nil {
			return nil, at(d.Body.GetToken(), "not YAML: two documents without --- between them", "check indentation")
		}
		root = d.Body
	}
	return root, nil
}

// checkTokens refuses what would be dear to parse.
func checkTokens(tokens token.Tokens) (tk *token.Token, message, fix string) {
	if len(tokens) > MaxTokens {
		return tokens[MaxTokens], fmt.Sprintf("the document has more than %d words", MaxTokens), "split the document"
	}
	flow, perLine, line := 0, 0, 0
	columns := []int{}
	for _, tk := range tokens {
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return tk, "anchors, aliases and merge keys are not accepted", "write the value out"
		case token.TagType:
			return tk, "tags are not accepted", "remove " + tk.Value
		case token.DirectiveType:
			return tk, "directives are not accepted", "remove the line"
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		if tk.Position == nil {
			continue
		}
		if tk.Position.Line != line {
			line, perLine = tk.Position.Line, 0
			if flow == 0 { // the first word of a line opens or closes blocks
				col := tk.Position.Column
				for len(columns) > 0 && columns[len(columns)-1] >= col {
					columns = columns[:len(columns)-1]
				}
				columns = append(columns, col)
			}
		}
		if tk.Type == token.SequenceEntryType || tk.Type == token.MappingKeyType {
			perLine++
		}
		if flow+perLine+len(columns) > MaxDepth {
			return tk, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "flatten the document"
		}
	}
	return nil, "", ""
}

// Position returns where a field stands, or the nearest field above it that the
// document has.
func (d *Document) Position(path string) Position {
	for {
		if p, ok := d.positions[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			break
		}
		path = path[:i]
	}
	if p, ok := d.positions[""]; ok {
		return p
	}
	return Position{Line: d.Line, Column: 1}
}
