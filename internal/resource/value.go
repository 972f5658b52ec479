package resource

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"sluice/internal/strictyaml"
)

// Problem is one thing that is wrong with the documents, or worth knowing.
type Problem struct {
	File         string
	Line, Column int
	Kind         Kind
	Name         string
	// Path is the field, as "spec.plans.free.auth[1]".
	Path string
	// Message says what is wrong, Fix what to do.
	Message, Fix string
	// Warning marks what does not make the set bad.
	Warning bool
}

// String returns the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.File != "":
		b.WriteString(p.File + ": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Kind != "" {
		fmt.Fprintf(&b, "%s %s: ", p.Kind, p.Name)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString(": " + p.Fix)
	}
	return b.String()
}

// Bad reports whether a problem stops the set from being used, that is, whether
// one is more than a warning.
func Bad(problems []Problem) bool { return len(Errors(problems)) > 0 }

// Errors returns the problems that are more than warnings.
func Errors(problems []Problem) []Problem {
	var out []Problem
	for _, p := range problems {
		if !p.Warning {
			out = append(out, p)
		}
	}
	return out
}

// Values that documents and configuration have in common.
type (
	// SecretRef says where a secret is. Read makes its file relative to the working
	// directory.
	SecretRef = strictyaml.SecretRef
	// Secret is a resolved secret; it prints as [redacted].
	Secret = strictyaml.Secret
	// Size is a count of bytes, written 512, 100KiB, 5MiB or 2GB.
	Size = strictyaml.Size
	// Duration is a time.Duration, written 500ms, 10s, 5m or 720h.
	Duration = strictyaml.Duration
)

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// A Limit is one of the Limits of a plan: a count, or a number of bytes or nanoseconds.
type Limit struct {
	Number int64
	time   bool
}

// String writes the number, or a duration as time.Duration does.
func (l Limit) String() string {
	if l.time {
		return time.Duration(l.Number).String()
	}
	return strconv.FormatInt(l.Number, 10)
}

// All yields the limits that are set, with their names in documents.
func (l Limits) All() iter.Seq2[string, Limit] {
	return func(yield func(string, Limit) bool) {
		size := func(name string, v *Size) bool { return v == nil || yield(name, Limit{Number: int64(*v)}) }
		count := func(name string, v *int64) bool { return v == nil || yield(name, Limit{Number: *v}) }
		_ = size("readBytesPerSecond", l.ReadBytesPerSecond) && size("writeBytesPerSecond", l.WriteBytesPerSecond) &&
			count("readRecordsPerSecond", l.ReadRecordsPerSecond) && count("writeRecordsPerSecond", l.WriteRecordsPerSecond) &&
			size("readBytesPerMonth", l.ReadBytesPerMonth) && size("writeBytesPerMonth", l.WriteBytesPerMonth) &&
			count("requestsPerSecond", l.RequestsPerSecond) && count("connections", l.Connections) && count("connectionsPerSecond", l.ConnectionsPerSecond) &&
			(l.Replay == nil || yield("replay", Limit{int64(*l.Replay), true}))
	}
}

// Nearest returns the name that somebody who wrote word most likely meant, "" for none.
func Nearest(word string, names []string) string { return strictyaml.Nearest(word, names) }
