package resource

import (
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
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
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
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
func Bad(problems []Problem) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// SecretRef says where a secret is: an environment variable or a file, exactly
// one. It never holds the secret.
type SecretRef struct {
	Env string `yaml:"env"`
	// File is relative to the document's file in YAML; Read makes it relative to
	// the working directory.
	File string `yaml:"file"`
}

// IsZero reports whether there is no reference.
func (r SecretRef) IsZero() bool { return r == SecretRef{} }

// Describe returns the place in words, without the secret.
func (r SecretRef) Describe() string {
	if r.Env != "" {
		return "environment variable " + r.Env
	}
	return "file " + r.File
}

// Mismatch is what is said to whoever writes a secret into a document.
func (SecretRef) Mismatch() (message, fix string) {
	return "must be a reference to a secret, and not the secret", "write {env: VARIABLE} or {file: path}"
}

// Secret is a resolved secret. It prints as [redacted].
type Secret string

const redacted = "[redacted]"

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret.
func (Secret) GoString() string { return redacted }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Size is a count of bytes, written 512, 100KiB, 5MiB or 2GB.
type Size int64

var sizePattern = regexp.MustCompile(`^([0-9]{1,18}) ?([kKMGT]i?)?B?$`)

// UnmarshalText reads a size; KiB is 1024 bytes and kB 1000.
func (s *Size) UnmarshalText(text []byte) error {
	m := sizePattern.FindSubmatch(text)
	if m == nil {
		return fmt.Errorf("%q is no size: write a whole number of bytes, or with a unit, as 100KiB or 5MiB", clip(string(text)))
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no size: %w", clip(string(text)), err)
	}
	factor := int64(1)
	if unit := string(m[2]); unit != "" {
		base := int64(1000)
		if strings.HasSuffix(unit, "i") {
			base = 1024
		}
		for range strings.Index("KMGT", strings.ToUpper(unit[:1])) + 1 {
			factor *= base
		}
	}
	if n > math.MaxInt64/factor {
		return fmt.Errorf("%q is too large a size", clip(string(text)))
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText writes the size in the largest unit that leaves it whole.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	n, unit := int64(s), 0
	for n != 0 && n%1024 == 0 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + []string{"", "KiB", "MiB", "GiB", "TiB"}[unit]
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
