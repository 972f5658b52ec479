package tree

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Canonical returns JSON text that is the same for equal values: names sorted, no
// space, numbers in one form.
func (n *Node) Canonical() []byte {
	var b bytes.Buffer
	n.canonical(&b)
	return b.Bytes()
}

func (n *Node) canonical(b *bytes.Buffer) {
	if n == nil {
		b.WriteString("null")
		return
	}
	switch n.Kind {
	case Null:
		b.WriteString("null")
	case Bool:
		b.WriteString(n.Text)
	case Number:
		b.WriteString(canonicalNumber(n.Text))
	case String:
		writeText(b, n.Text)
	case List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.canonical(b)
		}
		b.WriteByte(']')
	case Object:
		order := make([]int, len(n.Fields))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(x, y int) int { return strings.Compare(n.Fields[x].Name, n.Fields[y].Name) })
		b.WriteByte('{')
		for i, at := range order {
			if i > 0 {
				b.WriteByte(',')
			}
			writeText(b, n.Fields[at].Name)
			b.WriteByte(':')
			n.Fields[at].Value.canonical(b)
		}
		b.WriteByte('}')
	}
}

// canonicalNumber gives whole numbers without fraction or exponent, as long as they
// are short, and others as the shortest text of their float64.
func canonicalNumber(text string) string {
	if isDigits(text) {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if f == float64(int64(f)) && f < 1e15 && f > -1e15 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func writeText(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("bug: text cannot be encoded: " + err.Error())
	}
	b.Truncate(b.Len() - 1) // the line end
}

// JSON returns the node as indented JSON with a line end; fields keep their order.
func (n *Node) JSON() []byte {
	var b bytes.Buffer
	n.json(&b, "\n")
	b.WriteByte('\n')
	return b.Bytes()
}

// Compact returns the node as JSON on one line; fields keep their order, and numbers
// are as they were written.
func (n *Node) Compact() []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, n.JSON()); err != nil {
		panic("bug: a node is not JSON: " + err.Error())
	}
	return b.Bytes()
}

func (n *Node) json(b *bytes.Buffer, indent string) {
	switch {
	case n.Is(List) && len(n.Items) > 0:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(indent + "  ")
			item.json(b, indent+"  ")
		}
		b.WriteString(indent + "]")
	case n.Is(Object) && len(n.Fields) > 0:
		b.WriteByte('{')
		for i, f := range n.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(indent + "  ")
			writeText(b, f.Name)
			b.WriteString(": ")
			f.Value.json(b, indent+"  ")
		}
		b.WriteString(indent + "}")
	case n.Is(Number):
		b.WriteString(n.Text)
	default:
		n.canonical(b)
	}
}

// YAML returns the node as block-style YAML; fields keep their order. Reading it
// gives an equal node.
func (n *Node) YAML() []byte {
	var b bytes.Buffer
	n.yamlValue(&b, 0, true)
	return b.Bytes()
}

// yamlValue writes what stands behind "name:" or "-", line end included.
func (n *Node) yamlValue(b *bytes.Buffer, indent int, top bool) {
	pad := strings.Repeat("  ", indent)
	switch {
	case n.Is(Object) && len(n.Fields) > 0:
		if !top {
			b.WriteByte('\n')
		}
		for _, f := range n.Fields {
			b.WriteString(pad + yamlKey(f.Name) + ":")
			f.Value.yamlValue(b, indent+1, false)
		}
	case n.Is(List) && len(n.Items) > 0:
		if !top {
			b.WriteByte('\n')
		}
		for _, item := range n.Items {
			b.WriteString(pad + "-")
			if item.Is(Object) && len(item.Fields) > 0 { // the first field stands behind the dash
				var inner bytes.Buffer
				item.yamlValue(&inner, indent+1, true)
				b.WriteByte(' ')
				b.Write(inner.Bytes()[2*(indent+1):])
				continue
			}
			item.yamlValue(b, indent+1, false)
		}
	default:
		if !top {
			b.WriteByte(' ')
		}
		switch {
		case n.Is(String) && !top && literal(n.Text):
			text := strings.TrimSuffix(n.Text, "\n")
			b.WriteString("|")
			if text == n.Text {
				b.WriteString("-")
			}
			b.WriteByte('\n')
			for line := range strings.SplitSeq(text, "\n") {
				if line != "" {
					b.WriteString(pad + line)
				}
				b.WriteByte('\n')
			}
			return
		case n.Is(String):
			b.WriteString(yamlText(n.Text))
		case n.Is(List):
			b.WriteString("[]")
		case n.Is(Object):
			b.WriteString("{}")
		case n.Is(Number):
			b.WriteString(n.Text)
		default:
			n.canonical(b)
		}
		b.WriteByte('\n')
	}
}

// literal reports whether a text can stand as a literal block.
func literal(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") || strings.HasPrefix(body, "\n") || body[0] == ' ' || body[0] == '\t' {
		return false
	}
	for line := range strings.SplitSeq(body, "\n") {
		if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") || strings.TrimLeft(line, " \t") == "" && line != "" {
			return false
		}
	}
	return !strings.ContainsFunc(body, func(r rune) bool {
		return r != '\n' && !unicode.IsPrint(r)
	})
}

func yamlKey(name string) string { return yamlText(name) }

// yamlText writes a text plain where nobody can take it for something else.
func yamlText(s string) string {
	if isPlain(s) {
		return s
	}
	var b bytes.Buffer
	writeText(&b, s)
	text := b.String()
	if strings.ContainsAny(text, "\x7f\u0085\u2028\u2029\ufeff") || strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 && !unicode.IsPrint(r) }) {
		var out strings.Builder
		for _, r := range text {
			switch {
			case r < 0x7f || unicode.IsPrint(r):
				out.WriteRune(r)
			case r <= 0xffff:
				out.WriteString(`\u` + hex(r, 4))
			default:
				out.WriteString(`\U` + hex(r, 8))
			}
		}
		return out.String()
	}
	return text
}

func hex(r rune, width int) string {
	h := big.NewInt(int64(r)).Text(16)
	return strings.Repeat("0", width-len(h)) + h
}

var wordsOfOthers = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"} // what YAML 1.1 makes of them

func isPlain(s string) bool {
	if s == "" || len(s) > 500 || slices.Contains(wordsOfOthers, strings.ToLower(s)) {
		return false
	}
	if _, _, other := plain(s); other {
		return false
	}
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '/' || r == '$' && i == 0:
		case r >= '0' && r <= '9' || strings.ContainsRune(".;+()^=$", r):
			if i == 0 {
				return false
			}
		case r == '-' || r == ' ' || r == ',' || r == '\'':
			if i == 0 || i == len(s)-1 {
				return false
			}
		case r > 0x7f && unicode.IsLetter(r):
		default:
			return false
		}
	}
	return !strings.HasPrefix(s, "=") && !dateLike(s)
}

// dateLike is what other readers take for a time.
func dateLike(s string) bool {
	return len(s) >= 8 && s[0] >= '0' && s[0] <= '9'
}
