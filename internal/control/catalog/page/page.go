// Package page turns Markdown of providers into what a page may show: HTML that runs
// nothing and loads nothing from elsewhere, its headings, and plain text of it. Its main
// type is Page. It knows neither APIs nor who reads.
//
// Text is never trusted. Raw HTML is left out, what the Markdown became is reduced to a
// list of elements and attributes, addresses are http, https, mailto or of this site, and
// a picture is shown only if it is in the text itself.
package page

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Page is Markdown as it is shown.
type Page struct {
	HTML     string
	Headings []Heading
}

// Heading is one of a page; ID leads to it.
type Heading struct {
	Level    int
	ID, Text string
}

// Options are what a page is rendered with.
type Options struct {
	// Variables are put in place of {{name}}. A value with anything but letters, digits
	// and .:-_/ is not, and a name that is not here stays as it is.
	Variables map[string]string
	// Link returns the address of a relative one, such as other.md, "" for one that leads
	// nowhere; nil for none that does.
	Link func(relative string) string
}

// A Renderer renders Markdown. It is safe for concurrent use.
type Renderer struct {
	markdown goldmark.Markdown
	policy   *bluemonday.Policy
}

// NewRenderer returns a renderer.
func NewRenderer() *Renderer {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "strong", "em", "del", "blockquote", "ul", "li", "pre", "code", "table", "thead", "tbody", "tr", "th", "td")
	p.AllowElements("h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("id").Matching(regexp.MustCompile(`^`+idPrefix+`[\p{L}\p{N}_-]+$`)).OnElements("h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^language-[A-Za-z0-9_+#.-]{1,40}$`)).OnElements("code")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowElements("ol")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("th", "td")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").Matching(picture).OnElements("img")
	p.AllowAttrs("alt", "title").OnElements("img")
	p.AllowAttrs("title").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowDataURIImages()
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnFullyQualifiedLinks(true)
	p.RequireNoReferrerOnFullyQualifiedLinks(true)
	return &Renderer{
		markdown: goldmark.New(goldmark.WithParser(bounded()), goldmark.WithExtensions(
			extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)), extension.Strikethrough, extension.Linkify)),
		policy: p,
	}
}

// idPrefix begins the ids of headings, so that they are none of the page around them.
const idPrefix = "h-"

var (
	picture   = regexp.MustCompile(`^data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*$`)
	variable  = regexp.MustCompile(`\{\{ *([A-Za-z][A-Za-z0-9._-]*) *\}\}`)
	plainText = regexp.MustCompile(`^[A-Za-z0-9.:,_/-]{1,300}$`)
)

// Render returns Markdown as HTML and its headings.
func (r *Renderer) Render(markdown string, o Options) Page {
	source := []byte(r.Fill(markdown, o.Variables))
	root := r.markdown.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext()))
	out := Page{Headings: r.prepare(root, source, o)}
	var html bytes.Buffer
	if err := r.markdown.Renderer().Render(&html, source, root); err != nil { // a buffer takes everything
		panic(fmt.Sprintf("bug: render Markdown: %v", err))
	}
	out.HTML = strings.TrimSpace(r.policy.SanitizeReader(&html).String())
	return out
}

// Fill puts values in place of {{name}}, as Options.Variables says.
func (r *Renderer) Fill(markdown string, variables map[string]string) string {
	return variable.ReplaceAllStringFunc(markdown, func(found string) string {
		if value := variables[variable.FindStringSubmatch(found)[1]]; plainText.MatchString(value) {
			return value
		}
		return found
	})
}

// prepare gives headings their ids, and addresses and pictures what they may be.
func (r *Renderer) prepare(root ast.Node, source []byte, o Options) (headings []Heading) {
	seen := map[string]int{}
	var foreign []*ast.Image
	var automatic []*ast.AutoLink
	ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // no error of ours
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			words := textOf(n, source)
			id := idPrefix + cmp.Or(slug(words), "section")
			if seen[id]++; seen[id] > 1 {
				id += "-" + strconv.Itoa(seen[id])
			}
			n.SetAttributeString("id", []byte(id))
			headings = append(headings, Heading{Level: n.Level, ID: id, Text: words})
		case *ast.Link:
			n.Destination = []byte(address(string(n.Destination), o))
		case *ast.AutoLink:
			if to := string(n.URL(source)); n.AutoLinkType == ast.AutoLinkURL && address(to, Options{}) == "" {
				automatic = append(automatic, n)
			}
		case *ast.Image:
			if !picture.Match(n.Destination) {
				foreign = append(foreign, n)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, n := range automatic {
		n.Parent().ReplaceChild(n.Parent(), n, ast.NewString(n.Label(source)))
	}
	for _, n := range foreign { // a link instead, which loads nothing
		words := cmp.Or(textOf(n, source), "picture")
		var instead ast.Node = ast.NewString([]byte(words))
		if to := address(string(n.Destination), o); to != "" && !within(n, ast.KindLink) {
			link := ast.NewLink()
			link.Destination = []byte(to)
			link.AppendChild(link, instead)
			instead = link
		}
		n.Parent().ReplaceChild(n.Parent(), n, instead)
	}
	return headings
}

func within(n ast.Node, kind ast.NodeKind) bool {
	for n = n.Parent(); n != nil; n = n.Parent() {
		if n.Kind() == kind {
			return true
		}
	}
	return false
}

var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// address is where a link leads, "" for nowhere.
func address(to string, o Options) string {
	to = strings.TrimSpace(to)
	switch {
	case strings.HasPrefix(to, "#"):
		if id := Anchor(to[1:]); id != "" {
			return "#" + id
		}
		return ""
	case strings.HasPrefix(strings.ToLower(to), "http://"), strings.HasPrefix(strings.ToLower(to), "https://"), strings.HasPrefix(strings.ToLower(to), "mailto:"):
		return to
	case scheme.MatchString(to), strings.HasPrefix(to, "//"), strings.HasPrefix(to, `\`), strings.HasPrefix(to, "/\\"), o.Link == nil:
		return ""
	}
	return o.Link(to)
}

// Anchor is the id of the heading that a link's fragment names, "" for none.
func Anchor(fragment string) string {
	if id := slug(fragment); id != "" {
		return idPrefix + id
	}
	return ""
}

// slug is what a heading is linked to by.
func slug(words string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(words) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
		if b.Len() > 80 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// textOf is what people read of a node.
func textOf(n ast.Node, source []byte) string {
	var b strings.Builder
	ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // no error of ours
		if !entering {
			if n.Type() == ast.TypeBlock {
				b.WriteByte(' ')
			}
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			b.Write(util.UnescapePunctuations(n.Value(source)))
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(source))
		case *ast.CodeBlock, *ast.FencedCodeBlock:
			lines := n.Lines()
			for i := range lines.Len() {
				at := lines.At(i)
				b.Write(at.Value(source))
			}
		case *ast.RawHTML, *ast.HTMLBlock:
			return ast.WalkSkipChildren, nil
		}
		return ast.WalkContinue, nil
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

// Plain returns what people read of Markdown, without its marks, on one line.
func (r *Renderer) Plain(markdown string) string {
	source := []byte(markdown)
	return textOf(r.markdown.Parser().Parse(text.NewReader(source)), source)
}

// Summary returns the beginning of the first paragraph as plain text of at most so many
// letters, cut between words.
func (r *Renderer) Summary(markdown string, most int) string {
	source := []byte(markdown)
	root := r.markdown.Parser().Parse(text.NewReader(source))
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if n.Kind() == ast.KindParagraph {
			if words := textOf(n, source); words != "" {
				return Clip(words, most)
			}
		}
	}
	return ""
}

// Clip cuts a text behind at most so many letters, between words where it can.
func Clip(words string, most int) string {
	if utf8.RuneCountInString(words) <= most {
		return words
	}
	cut := string([]rune(words)[:most])
	if i := strings.LastIndexByte(cut, ' '); i > most/2 {
		cut = cut[:i]
	}
	return strings.TrimRight(cut, " ,;:.") + "…"
}

// Source is a page as its provider wrote it.
type Source struct {
	// Name is that of the file, without its ending.
	Name string
	// Title is what the front matter says, or the first heading, or the name.
	Title string
	// Order is what the front matter says; pages without one come last.
	Order int
	// Body is the Markdown behind the front matter.
	Body string
}

// noOrder is that of pages that say none.
const noOrder = 1 << 30

// Sources returns pages by what their front matter says, and by name. Names are those of
// files, as quickstart.md.
func (r *Renderer) Sources(pages map[string]string) []Source {
	out := make([]Source, 0, len(pages))
	for name, body := range pages {
		s := Source{Name: strings.TrimSuffix(name, ".md"), Order: noOrder, Body: body}
		s.matter()
		if s.Title == "" {
			s.Title = cmp.Or(r.firstHeading(s.Body), s.Name)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Source) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name)) })
	return out
}

// matter takes the front matter from the body: lines of "name: value" between two of
// "---", of which title and order are read.
func (s *Source) matter() {
	body := strings.ReplaceAll(strings.TrimPrefix(s.Body, "\ufeff"), "\r\n", "\n")
	s.Body = body
	rest, ok := strings.CutPrefix(body, "---\n")
	if !ok {
		return
	}
	head, rest, ok := strings.Cut("\n"+rest, "\n---\n")
	if !ok {
		return
	}
	s.Body = rest
	for line := range strings.SplitSeq(head, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch strings.TrimSpace(name) {
		case "title":
			s.Title = Clip(value, 120)
		case "order":
			if n, err := strconv.Atoi(value); err == nil {
				s.Order = n
			}
		}
	}
}

func (r *Renderer) firstHeading(markdown string) (title string) {
	source := []byte(markdown)
	root := r.markdown.Parser().Parse(text.NewReader(source))
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if n.Kind() == ast.KindHeading {
			return Clip(textOf(n, source), 120)
		}
	}
	return ""
}
