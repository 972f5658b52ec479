package page

import (
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// The time to read Markdown grows with the square of how deep quotes and lists are, and of
// how many brackets a paragraph has: a page of nothing but these would take a minute.
const (
	maxDepth    = 24  // of quotes and lists in each other; what is deeper is text
	maxBrackets = 400 // of one paragraph; those behind are text
)

// bounded are the parsers of CommonMark, within bounds.
func bounded() parser.Parser {
	blocks := parser.DefaultBlockParsers()
	for i := range blocks {
		switch blocks[i].Value {
		case parser.NewBlockquoteParser(), parser.NewListParser(), parser.NewListItemParser():
			blocks[i].Value = shallow{blocks[i].Value.(parser.BlockParser)}
		}
	}
	inlines := append(parser.DefaultInlineParsers(), util.Prioritized(brackets{}, 150)) // before links, behind code
	return parser.NewParser(parser.WithBlockParsers(blocks...), parser.WithInlineParsers(inlines...), parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...))
}

// shallow opens blocks only so deep in others.
type shallow struct{ parser.BlockParser }

func (s shallow) Open(parent ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	depth := 0
	for n := parent; n != nil; n = n.Parent() {
		depth++
	}
	if _, item := parent.(*ast.List); depth > maxDepth && !item { // a list without items is none
		return nil, parser.NoChildren
	}
	return s.BlockParser.Open(parent, reader, pc)
}

// brackets makes text of those that are too many.
type brackets struct{}

// opened counts the brackets of one block.
type opened struct {
	in    ast.Node
	count int
}

var openedKey = parser.NewContextKey()

func (brackets) Trigger() []byte { return []byte{'[', '!'} }

func (brackets) Parse(parent ast.Node, block text.Reader, pc parser.Context) ast.Node {
	line, at := block.PeekLine()
	if line[0] == '!' && (len(line) < 2 || line[1] != '[') {
		return nil
	}
	o, _ := pc.Get(openedKey).(*opened)
	if o == nil || o.in != parent {
		o = &opened{in: parent}
		pc.Set(openedKey, o)
	}
	if o.count++; o.count <= maxBrackets {
		return nil
	}
	block.Advance(1)
	return ast.NewTextSegment(at.WithStop(at.Start + 1))
}
