// Package rule is what can be wrong with a contract, and how it is told. Its
// main type is Problem: a rule that was broken, the place, what is wrong and what
// to do. The table of all rules is in table.go; docs/contracts.md is made from
// it. It knows nothing of how a contract is read.
package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says how bad a problem is.
type Severity uint8

// The severities, worst last.
const (
	// Off is a rule that is not looked at.
	Off Severity = iota
	// Info is worth knowing.
	Info
	// Warning does not stop anything.
	Warning
	// Error means that the contract cannot be used, or that somebody breaks.
	Error
)

// String returns off, info, warning or error.
func (s Severity) String() string {
	return [...]string{"off", "info", "warning", "error"}[min(s, Error)]
}

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes, and Spectral's words warn and hint.
func (s *Severity) UnmarshalText(text []byte) error {
	severity, ok := ParseSeverity(string(text))
	if !ok {
		return fmt.Errorf("%q is not a severity: write off, info, warning or error", clip(string(text)))
	}
	*s = severity
	return nil
}

// ParseSeverity reads a severity's name; Spectral's warn and hint are known too.
func ParseSeverity(word string) (Severity, bool) {
	switch word {
	case "off":
		return Off, true
	case "info", "hint":
		return Info, true
	case "warning", "warn":
		return Warning, true
	case "error":
		return Error, true
	}
	return Off, false
}

// Place is where something stands in a file.
type Place struct {
	File string `json:"file"`
	// Line and Column are counted from 1, the column in characters. 0 means that the
	// place is the file as a whole.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Pointer is the JSON Pointer (RFC 6901) within the file.
	Pointer string `json:"pointer"`
}

// String returns file:line:column.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is a rule that is broken at one place.
type Problem struct {
	// Rule is the rule's id.
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Place
	// Message says what is wrong, Fix what to do; Fix may be empty.
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// String returns the problem on one line, as
// "orders.yaml:12:5: error: channels/placed: … [rule]: what to do".
func (p Problem) String() string {
	var b strings.Builder
	if place := p.Place.String(); place != "" {
		b.WriteString(place + ": ")
	}
	b.WriteString(p.Severity.String() + ": " + p.Message)
	if p.Fix != "" {
		b.WriteString(": " + p.Fix)
	}
	return b.String() + " [" + p.Rule + "]"
}

// Rule is one thing that is looked at.
type Rule struct {
	ID string
	// Severity is the default one.
	Severity Severity
	// Summary says when the rule is broken.
	Summary string
}

// New returns a problem of a rule of the table.
func New(id string, at Place, message, fix string) Problem {
	r, ok := Find(id)
	if !ok {
		panic("bug: there is no rule " + id)
	}
	return Problem{Rule: id, Severity: r.Severity, Place: at, Message: message, Fix: fix}
}

// Find returns a rule of the table.
func Find(id string) (Rule, bool) {
	for _, g := range groups {
		if i := slices.IndexFunc(g.Rules, func(r Rule) bool { return r.ID == id }); i >= 0 {
			return g.Rules[i], true
		}
	}
	return Rule{}, false
}

// Group is rules that belong together.
type Group struct {
	Title string
	Rules []Rule
}

// Groups returns the table; the caller must not change it.
func Groups() []Group { return groups }

// Bad reports whether a problem is an error.
func Bad(problems []Problem) bool { return Worst(problems) == Error }

// Worst returns the worst severity there is, Off when there is no problem.
func Worst(problems []Problem) Severity {
	worst := Off
	for _, p := range problems {
		worst = max(worst, p.Severity)
	}
	return worst
}

// Sort puts problems in the order of files, lines and columns, and drops those that
// are there twice.
func Sort(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
