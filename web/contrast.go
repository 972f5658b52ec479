package web

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Colours are those of a theme, as #rrggbb, by the names of their tokens without
// dashes in front.
type Colours map[string]string

// Miss is a pair of colours that cannot be told apart well enough.
type Miss struct {
	// Front stands on Back; both are names of tokens.
	Front, Back string
	// Ratio is their contrast (WCAG 2.2, 1.4.3 and 1.4.11), Needs what it has to be.
	Ratio, Needs float64
}

// What contrast text needs, and marks and outlines of controls.
const (
	text = 4.5
	mark = 3.0
)

// pair is colours that stand on others somewhere in the application.
type pair struct {
	front, back []string
	needs       float64
}

// surfaces are what most text may stand on.
var surfaces = []string{"bg", "bg-sunken", "bg-raised", "bg-hover", "bg-selected"}

// pairs are all that are used. A component that puts a colour on another one has it here.
var pairs = []pair{
	{[]string{"text", "text-2", "text-3", "accent-text"}, surfaces, text},
	{[]string{"text", "text-2"}, []string{"bg-active"}, text},
	{[]string{"text-3"}, []string{"mute-soft"}, text},
	{[]string{"good"}, []string{"good-soft"}, text}, {[]string{"warn"}, []string{"warn-soft"}, text}, {[]string{"bad"}, []string{"bad-soft"}, text}, {[]string{"note"}, []string{"note-soft"}, text},
	{[]string{"good", "warn", "bad", "note"}, surfaces[:4], text},
	{[]string{"text", "text-2"}, []string{"good-soft", "warn-soft", "bad-soft", "note-soft", "accent-soft", "mute-soft"}, text},
	{[]string{"accent-text"}, []string{"accent-soft", "warn-soft", "bad-soft", "good-soft", "bg-code"}, text}, // links in banners, samples
	{[]string{"on-accent"}, []string{"accent", "accent-hover"}, text},
	{[]string{"on-danger"}, []string{"danger", "danger-hover"}, text},
	{[]string{"text", "text-2", "text-3", "code-key", "code-string", "code-number", "code-keyword", "code-comment"}, []string{"bg-code"}, text},
	{[]string{"good-mark", "warn-mark", "bad-mark", "note-mark", "line-control", "focus", "accent"}, surfaces[:3], mark},
	{[]string{"accent", "warn-mark", "bad-mark"}, []string{"mute-soft"}, mark}, // meters
	{[]string{"chart-1", "chart-2", "chart-3", "chart-4", "chart-5", "chart-6"}, []string{"bg", "bg-raised"}, mark},
	{[]string{"chart-axis"}, []string{"bg", "bg-raised"}, text},
}

// IsColour says whether a text is a colour as tokens have them.
func IsColour(s string) bool { return colour.MatchString(s) }

var (
	colour      = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	declaration = regexp.MustCompile(`--([a-z0-9-]+):\s*(#[0-9a-fA-F]{6})`)
	comments    = regexp.MustCompile(`(?s)/\*.*?\*/`)
)

// Themes returns the colours of tokens.css.
func Themes() (light, dark Colours, err error) {
	css, err := files.ReadFile("src/ui/tokens.css")
	if err != nil {
		return nil, nil, fmt.Errorf("read the tokens of the web application: %w", err)
	}
	plain := comments.ReplaceAllString(string(css), "")
	block := func(selector string) Colours {
		_, rest, _ := strings.Cut(plain, selector+" {")
		inside, _, _ := strings.Cut(rest, "}")
		out := Colours{}
		for _, m := range declaration.FindAllStringSubmatch(inside, -1) {
			out[m[1]] = m[2]
		}
		return out
	}
	light, dark = block(":root"), block(`:root[data-theme="dark"]`)
	for token, c := range block(`:root:not([data-theme="light"])`) {
		if dark[token] != c {
			return nil, nil, fmt.Errorf("tokens.css: --%s differs between the two dark themes", token)
		}
	}
	return light, dark, nil
}

// Misses returns the pairs of a theme that are too near to each other.
func Misses(theme Colours) []Miss {
	var out []Miss
	for _, p := range pairs {
		for _, front := range p.front {
			for _, back := range p.back {
				if r := contrast(theme[front], theme[back]); r < p.needs {
					out = append(out, Miss{front, back, r, p.needs})
				}
			}
		}
	}
	return out
}

// contrast is the ratio of two colours' luminance, from 1 to 21; 0 when one is none.
func contrast(a, b string) float64 {
	if !IsColour(a) || !IsColour(b) {
		return 0
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c string) float64 {
	rgb := linear(c)
	return 0.2126*rgb[0] + 0.7152*rgb[1] + 0.0722*rgb[2]
}

// linear are red, green and blue of a colour, from 0 to 1, without sRGB's curve.
func linear(c string) [3]float64 {
	var out [3]float64
	for i := range out {
		n, err := strconv.ParseUint(c[1+2*i:3+2*i], 16, 8)
		if err != nil {
			panic("bug: " + c + " is no colour")
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			out[i] = v / 12.92
		} else {
			out[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return out
}
