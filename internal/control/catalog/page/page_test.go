package page_test

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sluice/internal/control/catalog/page"
)

// contexts are places of Markdown that text of a stranger can stand in.
var contexts = map[string]string{
	"text": "%s", "link": "[x](%s)", "link in angles": "[x](<%s>)", "picture": "![x](%s)", "picture's text": "![%s](https://example.com/x.png)", "link's text": "[%s](https://example.com/)",
	"title": `[x](https://example.com/ "%s")`, "reference": "[x][1]\n\n[1]: %s", "reference's title": "[x][1]\n\n[1]: https://example.com/ '%s'", "automatic": "<%s>", "heading": "# %s", "setext": "%s\n===",
	"quote": "> %s", "item": "- %s", "number": "1. %s", "code": "`%s`", "fence": "```\n%s\n```", "language": "```%s\nx\n```", "indented": "    %s", "table": "| a |\n|---|\n| %s |", "head": "| %s |\n|---|\n| a |",
	"strong": "**%s**", "deleted": "~~%s~~", "picture in a link": "[![x](%s)](%s)", "in a block": "<div>\n\n%s\n\n</div>", "behind a tag": "<b %s>", "attribute": "# x {%s}", "nested": "[a](b [c](%s))",
}

var (
	elements   = strings.Fields("p br hr strong em del blockquote ul ol li pre code table thead tbody tr th td h1 h2 h3 h4 h5 h6 a img")
	attributes = map[string]*regexp.Regexp{
		"id": regexp.MustCompile(`^h-`), "class": regexp.MustCompile(`^language-`), "start": regexp.MustCompile(`^[0-9]+$`), "align": regexp.MustCompile(`^(left|center|right)$`),
		"rel": regexp.MustCompile(`^(nofollow|noreferrer|noopener)( (nofollow|noreferrer|noopener))*$`), "href": regexp.MustCompile(`^(https?://|mailto:|#h-|/apis/)`),
		"src": regexp.MustCompile(`^data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$`), "alt": regexp.MustCompile(``), "title": regexp.MustCompile(``),
	}
)

// harm returns what a browser would do with HTML that it must not, "" for nothing.
func harm(text string) string {
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return err.Error()
	}
	var look func(n *html.Node) string
	look = func(n *html.Node) string {
		switch n.Type {
		case html.CommentNode, html.DoctypeNode, html.RawNode:
			return fmt.Sprintf("a node of type %d", n.Type)
		case html.ElementNode:
			if !slices.Contains(elements, n.Data) {
				return "<" + n.Data + ">"
			}
			for _, a := range n.Attr {
				if allowed := attributes[a.Key]; allowed == nil || !allowed.MatchString(a.Val) || a.Namespace != "" {
					return fmt.Sprintf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
				if a.Key == "href" {
					if u, err := url.Parse(a.Val); err != nil || (u.Scheme == "http" || u.Scheme == "https") && u.Host == "" {
						return fmt.Sprintf("a link to %q", a.Val)
					}
					if n.Data != "a" {
						return "an address of <" + n.Data + ">"
					}
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if bad := look(c); bad != "" {
				return bad
			}
		}
		return ""
	}
	for _, n := range nodes {
		if bad := look(n); bad != "" {
			return bad
		}
	}
	return ""
}

func options() page.Options {
	return page.Options{Variables: map[string]string{"bootstrap": `<script>alert(1)</script>`, "constructor.constructor": "x"}, Link: func(to string) string { return "/apis/orders/guides/" + url.PathEscape(to) }}
}

// TestNothingRuns puts payloads into every place, and reads what became of them as a browser would.
func TestNothingRuns(t *testing.T) {
	file, err := os.Open("testdata/xss.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := page.NewRenderer()
	tried, payloads := 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); payloads++ {
		for where, template := range contexts {
			text := strings.ReplaceAll(template, "%s", lines.Text())
			tried++
			if bad := harm(r.Render(text, options()).HTML); bad != "" {
				t.Errorf("%s: %q becomes %s", where, text, bad)
			}
		}
	}
	if payloads < 130 || tried < 3000 {
		t.Errorf("%d payloads, %d texts", payloads, tried)
	}
}

func FuzzRender(f *testing.F) {
	payloads, err := os.ReadFile("testdata/xss.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.SplitSeq(string(payloads), "\n") {
		f.Add("text [x](" + line + ") " + line)
	}
	f.Add("---\ntitle: x\norder: 2\n---\n# A\n\n| a | b |\n|:-:|---|\n| `c` | ~~d~~ |\n\n```go\nx\n```\n![x](data:image/png;base64,aGk=)\n")
	r := page.NewRenderer()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		for _, s := range r.Sources(map[string]string{"x.md": text}) {
			p := r.Render(s.Body, options())
			if bad := harm(p.HTML); bad != "" {
				t.Errorf("%q becomes %s", text, bad)
			}
			ids := map[string]bool{}
			for _, h := range p.Headings {
				if ids[h.ID] || !strings.HasPrefix(h.ID, "h-") || !strings.Contains(p.HTML, `id="`+h.ID+`"`) {
					t.Errorf("heading %+v of %q", h, text)
				}
				ids[h.ID] = true
			}
			r.Plain(s.Body)
			if len([]rune(r.Summary(s.Body, 50))) > 51 {
				t.Errorf("the summary of %q is too long", text)
			}
		}
	})
}

func TestRender(t *testing.T) {
	r := page.NewRenderer()
	for _, tc := range []struct{ name, markdown, want string }{
		{"headings have ids, each once", "# A b\n\n## A b\n\n## Öl & <b>x</b>", `<h1 id="h-a-b">A b</h1>` + "\n" + `<h2 id="h-a-b-2">A b</h2>` + "\n" + `<h2 id="h-öl-x">Öl &amp; x</h2>`},
		{"a table", "| a | b |\n|:--|--:|\n| 1 | 2 |", "<table>\n<thead>\n<tr>\n<th align=\"left\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td align=\"left\">1</td>\n<td align=\"right\">2</td>\n</tr>\n</tbody>\n</table>"},
		{"a fence with its language", "```java\na < b\n```", "<pre><code class=\"language-java\">a &lt; b\n</code></pre>"},
		{"variables", "`{{topic}}` at {{ bootstrap }}, {{unknown}}", "<p><code>orders.placed</code> at {{ bootstrap }}, {{unknown}}</p>"},
		{"links elsewhere", "[x](https://example.com/a?b=c) <https://example.com> https://example.com", `<p><a href="https://example.com/a?b=c" rel="nofollow noreferrer">x</a> <a href="https://example.com" rel="nofollow noreferrer">https://example.com</a> <a href="https://example.com" rel="nofollow noreferrer">https://example.com</a></p>`},
		{"links here", "[x](other.md) [y](#The-End) [z](/etc) [n](//x)", `<p><a href="/apis/orders/guides/other.md">x</a> <a href="#h-the-end">y</a> <a href="/apis/orders/guides/%2Fetc">z</a> n</p>`},
		{"a picture from elsewhere is a link", "![A *map*](https://example.com/m.png)", `<p><a href="https://example.com/m.png" rel="nofollow noreferrer">A map</a></p>`},
		{"a picture of its own", "![dot](data:image/png;base64,aGk=)", `<p><img src="data:image/png;base64,aGk=" alt="dot"></p>`},
		{"raw HTML is left out", "a <b>b</b>\n\n<div>\nc\n</div>", "<p>a b</p>"},
	} {
		o := options()
		o.Variables["topic"] = "orders.placed"
		if got := r.Render(tc.markdown, o).HTML; got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
	if got := r.Plain("# A *b*\n\nc [d](https://example.com) `e`\n\n<b>f</b>\n- g\\*"); got != "A b c d e f g*" {
		t.Errorf("plain is %q", got)
	}
	if got := r.Summary("# Title\n\nThe first one, with words.\n\nThe second.", 18); got != "The first one…" {
		t.Errorf("the summary is %q", got)
	}
}

func TestSources(t *testing.T) {
	all := page.NewRenderer().Sources(map[string]string{
		"b.md": "# From *b*\n", "a.md": "no heading", "z.md": "---\ntitle: \"First\"\norder: 1\nother: x\n---\n# Not this\n", "y.md": "\ufeff---\r\norder: 2\r\n---\r\n# Windows\r\n", "open.md": "---\ntitle: never closed\n",
	})
	var got []string
	for _, s := range all {
		got = append(got, s.Name+"="+s.Title)
	}
	if want := "z=First y=Windows a=a b=From b open=open"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
	if all[0].Body != "# Not this\n" {
		t.Errorf("the body is %q", all[0].Body)
	}
}

// TestHostileSizes renders large pages that are made to take long: unbounded, the first three take a quarter of a minute each.
func TestHostileSizes(t *testing.T) {
	const size = 96 << 10
	r := page.NewRenderer()
	for name, part := range map[string]string{"quotes": ">", "links": "[a](b", "pictures": "![](", "references": "[a]: b\n", "items": "1. ", "more items": "+ a\n  ", "mixed": "> 1. "} {
		began := time.Now()
		p := r.Render(strings.Repeat(part, size/len(part)), page.Options{})
		if bad := harm(p.HTML); bad != "" && !strings.Contains(bad, "html:") { // which gives up on what is nested too deep
			t.Errorf("%s: %s", name, bad)
		}
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("%s took %v", name, took)
		} else if took > 500*time.Millisecond {
			t.Logf("%s took %v", name, took)
		}
	}
}
