package codesample

import (
	"strings"
	"text/template"
)

// functions quote a text as each language wants it; all leave marks alone.
var functions = template.FuncMap{
	"double":     double,
	"kotlin":     kotlin,
	"shell":      shell,
	"php":        php,
	"property":   property,
	"javascript": double,
}

// double quotes for Java, Go, C#, Rust, Python, JavaScript and JAAS, which agree on these
// two escapes; there is no other character that they want escaped, control characters
// apart.
func double(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// kotlin is double, where $ begins an expression.
func kotlin(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`
}

// php quotes with single quotes, in which nothing begins an expression.
func php(s string) string {
	return `'` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + `'`
}

// shell makes one word for POSIX shells.
func shell(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:,@%="+begin+middle+end, r))
	}) < 0 && bare(s) != "" {
		return s
	}
	return `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'`
}

// bare is a text without its marks.
func bare(s string) string {
	var b strings.Builder
	for _, p := range parts(s) {
		b.WriteString(p.Text)
	}
	return b.String()
}

// property is a value in a properties file of Java.
func property(s string) string {
	return strings.ReplaceAll(s, `\`, `\\`)
}
