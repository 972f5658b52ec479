package handler

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

// Regular expressions of clients are evaluated here, against exposed names and
// never by the broker, which would run them over the target cluster's. Kafka
// has them in RE2's syntax, as Go does, and matches them against the whole name.

// A pattern is matched in time proportional to its size with all repetitions
// written out.
const (
	maxPatternBytes = 4096
	maxPatternCost  = 2000
)

// compilePattern compiles a client's regular expression. The error is fit for
// the client.
func compilePattern(expression string) (*regexp.Regexp, error) {
	if len(expression) > maxPatternBytes {
		return nil, errors.New("the regular expression is longer than 4096 bytes")
	}
	if regexCost(expression) > maxPatternCost {
		return nil, errors.New("the regular expression is too large once its repetitions are written out")
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	re.Longest()
	return re, nil
}

// matchesWhole reports whether a pattern matches all of a name. With the
// longest match preferred, the first one is the whole name if any is: anchors
// around the expression would end up inside an open \Q.
func matchesWhole(re *regexp.Regexp, name string) bool {
	at := re.FindStringIndex(name)
	return at != nil && at[0] == 0 && at[1] == len(name)
}

// regexCost estimates the size of an expression once compiled, without doing
// so; 0 for one that is malformed.
func regexCost(expression string) int {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return 0
	}
	var cost func(*syntax.Regexp) int
	cost = func(re *syntax.Regexp) int {
		n := 1
		if re.Op == syntax.OpLiteral {
			n = len(re.Rune)
		}
		for _, sub := range re.Sub {
			n += cost(sub)
		}
		if re.Op == syntax.OpRepeat {
			n *= max(re.Min, re.Max, 1)
		}
		return min(n, 1<<20)
	}
	return cost(re)
}
