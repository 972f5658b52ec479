package sample

import (
	"slices"
	"strings"
	"unicode"
)

// words splits a name into its words: orderId, order_id and OrderID are order, id.
func words(name string) []string {
	var out []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
			word = nil
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]) && unicode.IsUpper(runes[i-1])):
			end()
		}
		if word = append(word, r); len(word) > 40 || len(out) > 12 {
			end()
		}
	}
	end()
	return out
}

// singular is a word for one of several.
func singular(word string) string {
	switch {
	case strings.HasSuffix(word, "ies") && len(word) > 4:
		return strings.TrimSuffix(word, "ies") + "y"
	case strings.HasSuffix(word, "sses"), strings.HasSuffix(word, "xes"):
		return strings.TrimSuffix(word, "es")
	case strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") && !strings.HasSuffix(word, "us") && len(word) > 3:
		return strings.TrimSuffix(word, "s")
	}
	return word
}

// dotted is a path as names.
func dotted(path string) []string { return strings.Split(path, ".") }

// vague is a value of an enum that says nothing.
func vague(symbol string) bool {
	w := words(symbol)
	return len(w) == 0 || slices.ContainsFunc(w[len(w)-1:], func(last string) bool {
		return last == "unspecified" || last == "unknown" || last == "undefined" || last == "unset" || last == "unrecognized" || last == "none" && len(w) > 1
	})
}

// sidetrack is a state that things rarely come to, and do not leave.
func sidetrack(symbol string) bool {
	for _, w := range words(symbol) {
		switch w {
		case "cancelled", "canceled", "cancel", "rejected", "failed", "failure", "declined", "returned", "refunded", "expired", "error", "blocked", "suspended",
			"lost", "aborted", "voided", "void", "deleted", "removed", "hold", "disputed", "reversed", "undeliverable", "abandoned", "denied", "chargeback":
			return true
		}
	}
	return false
}

// isState says whether a field with such values tells how far a thing has come.
func isState(name, values []string) bool {
	if len(values) < 2 || len(name) == 0 {
		return false
	}
	switch name[len(name)-1] {
	case "state", "status", "stage", "phase", "step", "lifecycle", "progress":
		return true
	case "type", "event", "kind", "action":
		past := 0
		for _, v := range values {
			if w := words(v); len(w) > 0 && (strings.HasSuffix(w[len(w)-1], "ed") || w[len(w)-1] == "sent" || w[len(w)-1] == "paid") {
				past++
			}
		}
		return 2*past >= len(values)
	}
	return false
}
