package sample

import (
	"regexp/syntax"
	"strings"
	"unicode"
)

// maxRepeat bounds what an expression repeats without end.
const maxRepeat = 6

// matching makes a text that a regular expression matches, in ECMAScript's or Go's
// words; longer than least characters where that is left open. What looks around is left
// out, so that the text has to be checked.
func matching(re *syntax.Regexp, r *random, least int) string {
	w := &writer{random: r, least: least, left: 2000}
	w.write(re)
	return w.String()
}

type writer struct {
	strings.Builder
	random *random
	least  int
	left   int // characters and groups
}

func (w *writer) write(re *syntax.Regexp) {
	if w.left--; w.left < 0 {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			w.WriteRune(r)
		}
	case syntax.OpCharClass:
		w.WriteRune(w.class(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		w.WriteByte(lower[w.random.IntN(len(lower))])
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			w.write(sub)
		}
	case syntax.OpAlternate:
		w.write(re.Sub[w.random.IntN(len(re.Sub))])
	case syntax.OpStar:
		w.repeat(re.Sub[0], 0, -1)
	case syntax.OpPlus:
		w.repeat(re.Sub[0], 1, -1)
	case syntax.OpQuest:
		w.repeat(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		w.repeat(re.Sub[0], re.Min, re.Max)
	}
}

func (w *writer) repeat(sub *syntax.Regexp, least, most int) {
	n := least
	switch {
	case most < 0:
		n += w.random.IntN(maxRepeat)
		if missing := w.least - w.Len(); missing > n {
			n = missing
		}
	case most > least:
		n += w.random.IntN(min(most-least, maxRepeat) + 1)
		if missing := w.least - w.Len(); missing > n {
			n = min(missing, most)
		}
	}
	for range n {
		w.write(sub)
	}
}

// class chooses a character of a class, letters and digits rather than others.
func (w *writer) class(ranges []rune) rune {
	var plain []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		for r := max(ranges[i], '0'); r <= min(ranges[i+1], 'z'); r++ {
			if unicode.IsDigit(r) || unicode.IsLetter(r) {
				plain = append(plain, r)
			}
		}
	}
	if len(plain) > 0 {
		return plain[w.random.IntN(len(plain))]
	}
	if len(ranges) < 2 {
		return 'x'
	}
	i := 2 * w.random.IntN(len(ranges)/2)
	low, high := ranges[i], ranges[i+1]
	if low < ' ' && high > ' ' {
		low = ' '
	}
	return low + rune(w.random.IntN(int(min(high-low, 64))+1))
}
