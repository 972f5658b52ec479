package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"strings"
)

// Brand is what the owner of a portal may make their own.
type Brand struct {
	// Name stands in titles, and beside the mark.
	Name string
	// Description is for pages that have none of their own.
	Description string
	// Logo is a picture that stands in for mark and word, and LogoKind its media type; nil
	// for ours.
	Logo     []byte
	LogoKind string
	// Light and Dark are colours of the two themes, by the name of their token.
	Light, Dark map[string]string
}

// order is that of the tokens in the style sheet, so that its digest is always the same.
var order = []string{"accent", "accent-hover", "accent-text", "accent-soft", "on-accent", "focus"}

// style is the style sheet that replaces tokens; "" where there is nothing to replace.
// Its selectors weigh a little more than those of tokens.css, so that the order of the
// two does not matter.
func (b Brand) style() string {
	block := func(colours map[string]string) string {
		var out strings.Builder
		for _, token := range order {
			if c := colours[token]; c != "" {
				fmt.Fprintf(&out, "--%s:%s;", token, c)
			}
		}
		return out.String()
	}
	light, dark := block(b.Light), block(b.Dark)
	if light+dark == "" {
		return ""
	}
	return "html:root{" + light + "}@media (prefers-color-scheme:dark){html:root:not([data-theme=\"light\"]){" + dark + "}}html:root[data-theme=\"dark\"]{" + dark + "}"
}

func digest(of []byte) string {
	sum := sha256.Sum256(of)
	return hex.EncodeToString(sum[:8])
}

func (b Brand) stylePath() string { return assetsPath + "brand-" + digest([]byte(b.style())) + ".css" }
func (b Brand) logoPath() string  { return assetsPath + "logo-" + digest(b.Logo) }

// assets adds the brand's own.
func (b Brand) assets(to map[string]*asset) {
	if style := b.style(); style != "" {
		to[b.stylePath()] = &asset{kind: "text/css; charset=utf-8", plain: []byte(style)}
	}
	if b.Logo != nil {
		to[b.logoPath()] = &asset{kind: b.LogoKind, plain: b.Logo}
	}
}

// head is what a page's head has of it.
func (b Brand) head() string {
	var out strings.Builder
	fmt.Fprintf(&out, "<meta name=\"sluice-name\" content=\"%s\">", html.EscapeString(b.Name))
	if b.Logo != nil {
		fmt.Fprintf(&out, "\n<meta name=\"sluice-logo\" content=\"%s\">", b.logoPath())
	}
	if b.style() != "" {
		fmt.Fprintf(&out, "\n<link rel=\"stylesheet\" href=\"%s\">", b.stylePath())
	}
	return out.String()
}
