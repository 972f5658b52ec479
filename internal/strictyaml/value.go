package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// SecretRef says where a secret is: an environment variable or a file, exactly
// one. It never holds the secret.
type SecretRef struct {
	Env string `json:"env,omitzero"`
	// File is relative to the file that it is written in.
	File string `json:"file,omitzero"`
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

// Duration is a time.Duration that is written 500ms, 10s, 5m or 720h in JSON too.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	x, err := time.ParseDuration(string(text))
	*d = Duration(x)
	return err
}

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Anchor makes the files of all secret references in the struct that v points to
// relative to the working directory, as they are relative to dir, and returns
// them.
func Anchor(v any, dir string) (files []string) {
	return anchor(reflect.ValueOf(v).Elem(), dir, nil)
}

func anchor(v reflect.Value, dir string, files []string) []string {
	if v.Type() == reflect.TypeFor[SecretRef]() {
		if ref := v.Addr().Interface().(*SecretRef); ref.File != "" {
			if !filepath.IsAbs(ref.File) {
				ref.File = filepath.Join(dir, ref.File)
			}
			files = append(files, ref.File)
		}
		return files
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				files = anchor(v.Field(i), dir, files)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			files = anchor(v.Index(i), dir, files)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			files = anchor(v.Elem(), dir, files)
		}
	}
	return files
}

// FromJSON writes JSON as YAML that [Parse] reads, with the fields in their order. Text
// of several lines stands as a block, for people, where a block says the same.
func FromJSON(b []byte) ([]byte, error) {
	var v any
	if err := yaml.UnmarshalWithOptions(b, &v, yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	standIns := newStandIns(b)
	stood := standIns.walk(v)
	for _, opts := range [][]yaml.EncodeOption{{yaml.UseLiteralStyleIfMultiline(true)}, nil} {
		out, err := yaml.MarshalWithOptions(stood, opts...)
		out = standIns.replace(out)
		var again any
		if err == nil && bytes.IndexFunc(out, unwritable) < 0 && yaml.UnmarshalWithOptions(out, &again, yaml.UseOrderedMap()) == nil && reflect.DeepEqual(v, again) {
			return out, nil
		}
	}
	var out bytes.Buffer // the library does not write everything that it reads; JSON is YAML, too
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return escaped(out.Bytes()), nil
}

// standIns are words that the library writes in place of strings that it would write with
// bytes that YAML may not have (YAML 1.2 §5.1), such as ESC: those stand in double quotes.
type standIns struct {
	prefix string
	quoted []string // of a word and what it stands for, in turns
}

// newStandIns returns some that are nowhere in a text.
func newStandIns(b []byte) *standIns {
	s := &standIns{prefix: "standin"}
	for bytes.Contains(b, []byte(s.prefix)) {
		s.prefix += "x"
	}
	return s
}

func (s *standIns) walk(v any) any {
	switch v := v.(type) {
	case string:
		if strings.IndexFunc(v, unwritable) < 0 {
			return v
		}
		text, err := json.Marshal(v)
		if err != nil { // a string never fails
			return v
		}
		word := fmt.Sprintf("%s%dz", s.prefix, len(s.quoted))
		s.quoted = append(s.quoted, word, string(escaped(text)))
		return word
	case yaml.MapSlice:
		out := make(yaml.MapSlice, len(v))
		for i, item := range v {
			out[i] = yaml.MapItem{Key: item.Key, Value: s.walk(item.Value)}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = s.walk(item)
		}
		return out
	}
	return v
}

func (s *standIns) replace(b []byte) []byte {
	if len(s.quoted) == 0 {
		return b
	}
	return []byte(strings.NewReplacer(s.quoted...).Replace(string(b)))
}

// unwritable says whether a character may stand in YAML as an escape only.
func unwritable(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	case 0xfeff, 0xfffe, 0xffff:
		return true
	}
	return r < ' ' || 0x7f <= r && r <= 0x9f
}

// escaped writes characters as escapes that JSON may have in strings as they are, and YAML not.
func escaped(b []byte) []byte {
	if bytes.IndexFunc(b, unwritable) < 0 {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		if unwritable(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}
