package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"

	"sluice/internal/control/contract/tree"
)

// avroLanguage is an Avro schema: as the library has it, which does the bytes, and as a
// graph of types, by which values become JSON for people and the other way round. The
// library's own JSON has timestamps and decimals as they lie in the record, and says of
// what does not fit only that it does not.
type avroLanguage struct {
	schema *avro.Schema
	root   *avroType
}

// avroType is a type with what its name stands for.
type avroType struct {
	kind, logical, name string // name is the full one, empty for what has none
	fields              []avroField
	inner               *avroType // of arrays and maps
	branches            []*avroType
	symbols             []string
	size, scale         int
}

type avroField struct {
	name     string
	of       *avroType
	hasValue bool // when it is left out
}

func newAvro(s *avro.Schema) *avroLanguage {
	b := avroBuilder{}
	return &avroLanguage{s, b.build(s.Root().ExpandReferences(), "")}
}

// avroBuilder knows the types that were named so far.
type avroBuilder map[string]*avroType

func (b avroBuilder) build(n *avro.SchemaNode, namespace string) *avroType {
	t := &avroType{kind: n.Type, logical: n.LogicalType, size: n.Size, scale: n.Scale, symbols: n.Symbols}
	switch n.Type {
	case "null", "boolean", "int", "long", "float", "double", "string", "bytes":
	case "array":
		t.inner = b.build(n.Items, namespace)
	case "map":
		t.inner = b.build(n.Values, namespace)
	case "union":
		for i := range n.Branches {
			t.branches = append(t.branches, b.build(&n.Branches[i], namespace))
		}
	case "record", "error", "enum", "fixed":
		t.name, namespace = n.Name, n.Namespace
		if i := strings.LastIndexByte(n.Name, '.'); i >= 0 {
			namespace = n.Name[:i]
		} else if namespace != "" {
			t.name = namespace + "." + n.Name
		}
		if n.Type == "error" {
			t.kind = "record"
		}
		b[t.name] = t // before its fields, which may be of it
		for i := range n.Fields {
			f := &n.Fields[i]
			t.fields = append(t.fields, avroField{f.Name, b.build(&f.Type, namespace), f.HasDefault})
		}
	default: // a name
		if known := b[namespace+"."+n.Type]; known != nil {
			return known
		}
		if known := b[n.Type]; known != nil {
			return known
		}
		t.kind = "unknown"
	}
	return t
}

// tag is what a value of a union is called that says which branch it is of.
func (t *avroType) tag() string {
	if t.name != "" {
		return t.name
	}
	return t.kind
}

func (t *avroType) nullable() bool {
	return t.kind == "null" || slices.ContainsFunc(t.branches, func(b *avroType) bool { return b.kind == "null" })
}

func (a *avroLanguage) decode(b []byte) ([]byte, error) {
	var v any
	rest, err := a.schema.Decode(b, &v, avro.TaggedUnions())
	if err != nil {
		return nil, errors.New("is not Avro of the contract's schema: " + strings.TrimPrefix(err.Error(), "avro: "))
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("is not Avro of the contract's schema: %d bytes are left over", len(rest))
	}
	return a.written(v)
}

// decodeSingleObject decodes Avro's single-object encoding, which begins with a
// fingerprint of the schema.
func (a *avroLanguage) decodeSingleObject(b []byte) ([]byte, error) {
	var v any
	rest, err := a.schema.DecodeSingleObject(b, &v, avro.TaggedUnions())
	if err != nil || len(rest) > 0 {
		return nil, errors.New("is not of the contract's schema")
	}
	return a.written(v)
}

func (a *avroLanguage) written(v any) ([]byte, error) {
	w := avroWriter{left: maxSteps}
	w.value(v, a.root, 0)
	if w.err != nil {
		return nil, w.err
	}
	return w.out.Bytes(), nil
}

// avroWriter writes values as JSON.
type avroWriter struct {
	out  bytes.Buffer
	left int
	err  error
}

func (w *avroWriter) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *avroWriter) value(v any, t *avroType, depth int) {
	if w.left--; w.left < 0 || depth > maxDepth || w.out.Len() > 4*MaxBytes {
		w.fail("is too large to be shown: more than %d values, %d levels or %d bytes", maxSteps, maxDepth, 4*MaxBytes)
	}
	if w.err != nil {
		return
	}
	if t.kind == "union" {
		if v == nil {
			w.out.WriteString("null")
			return
		}
		tagged, _ := v.(map[string]any)
		for _, branch := range t.branches {
			if inner, ok := tagged[branch.tag()]; ok && len(tagged) == 1 {
				w.value(inner, branch, depth+1)
				return
			}
		}
		w.fail("is of no branch of a union")
		return
	}
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int32:
		w.out.WriteString(strconv.FormatInt(int64(v), 10))
	case int64:
		w.out.WriteString(strconv.FormatInt(v, 10))
	case float32:
		w.float(float64(v), 32)
	case float64:
		w.float(v, 64)
	case string:
		w.out.Write(quote(strings.ToValidUTF8(v, "\uFFFD")))
	case []byte:
		w.out.Write(quote(codePoints(v)))
	case [16]byte:
		w.out.Write(quote(fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])))
	case avro.Duration:
		raw := v.Bytes()
		w.out.Write(quote(codePoints(raw[:])))
	case *big.Rat:
		digits := t.scale
		if t.logical == "big-decimal" {
			digits, _ = v.FloatPrec()
		}
		w.out.WriteString(v.FloatString(digits))
	case time.Time:
		w.time(v, t)
	case time.Duration:
		w.timeOfDay(v, t)
	case []any:
		w.out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.value(item, t.inner, depth+1)
		}
		w.out.WriteByte(']')
	case map[string]any:
		w.object(v, t, depth)
	default:
		w.fail("bug: Avro's library gave a %T", v)
	}
}

func (w *avroWriter) object(v map[string]any, t *avroType, depth int) {
	w.out.WriteByte('{')
	first := true
	one := func(name string, value any, of *avroType) {
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		w.out.Write(quote(strings.ToValidUTF8(name, "\uFFFD")))
		w.out.WriteByte(':')
		w.value(value, of, depth+1)
	}
	if t.kind == "map" {
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			one(name, v[name], t.inner)
		}
	}
	for _, f := range t.fields {
		one(f.name, v[f.name], f.of)
	}
	w.out.WriteByte('}')
}

func (w *avroWriter) float(f float64, bits int) {
	switch {
	case math.IsNaN(f):
		w.out.WriteString(`"NaN"`)
	case math.IsInf(f, 1):
		w.out.WriteString(`"Infinity"`)
	case math.IsInf(f, -1):
		w.out.WriteString(`"-Infinity"`)
	default:
		w.out.WriteString(strconv.FormatFloat(f, 'g', -1, bits))
	}
}

// units are what the logical types of time count; local ones have no zone.
var units = map[string]time.Duration{
	"timestamp-millis": time.Millisecond, "timestamp-micros": time.Microsecond, "timestamp-nanos": time.Nanosecond,
	"local-timestamp-millis": time.Millisecond, "local-timestamp-micros": time.Microsecond, "local-timestamp-nanos": time.Nanosecond,
	"time-millis": time.Millisecond, "time-micros": time.Microsecond,
}

const localTime = "2006-01-02T15:04:05.999999999"

func (w *avroWriter) time(v time.Time, t *avroType) {
	switch {
	case v.Year() < 0 || v.Year() > 9999: // RFC 3339 has no such years
		n := v.UnixMilli()
		switch {
		case t.logical == "date":
			n = v.Unix() / 86400
		case strings.HasSuffix(t.logical, "-micros"):
			n = v.UnixMicro()
		}
		w.out.WriteString(strconv.FormatInt(n, 10))
	case t.logical == "date":
		w.out.Write(quote(v.Format(time.DateOnly)))
	case strings.HasPrefix(t.logical, "local-"):
		w.out.Write(quote(v.Format(localTime)))
	default:
		w.out.Write(quote(v.Format(time.RFC3339Nano)))
	}
}

const timeOfDay = "15:04:05.999999999"

func (w *avroWriter) timeOfDay(v time.Duration, t *avroType) {
	if v < 0 || v >= 24*time.Hour {
		w.out.WriteString(strconv.FormatInt(int64(v/units[t.logical]), 10))
		return
	}
	w.out.Write(quote(time.Time{}.Add(v).Format(timeOfDay)))
}

// codePoints are bytes as Avro's JSON has them: each a character of its number.
func codePoints(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func (a *avroLanguage) encode(n *tree.Node) ([]byte, *Error) {
	r := avroReader{left: maxSteps}
	v, failed := r.value(n, a.root, 0)
	if failed != nil {
		return nil, failed
	}
	out, err := a.schema.Encode(v)
	if err != nil {
		pointer, message := "", strings.TrimPrefix(err.Error(), "avro: ")
		var at *avro.SemanticError
		if errors.As(err, &at) && at.Field != "" {
			pointer = n.Nearest(strings.Split(at.Field, ".")).Pointer()
			if at.Err != nil {
				message = strings.TrimPrefix(at.Err.Error(), "avro: ")
			}
		}
		return nil, wrong(pointer, "does not fit the Avro schema: %s", message)
	}
	return out, nil
}

// avroReader reads JSON into values that the library encodes, those of unions with the
// name of their branch.
type avroReader struct{ left int }

func mustBe(n *tree.Node, what string) *Error {
	return wrong(n.Pointer(), "must be %s, not %s", what, n.Kind)
}

func (r *avroReader) value(n *tree.Node, t *avroType, depth int) (any, *Error) {
	if r.left--; r.left < 0 || depth > maxDepth {
		return nil, wrong(n.Pointer(), "is too large: more than %d values and alternatives, or %d levels", maxSteps, maxDepth)
	}
	switch t.kind {
	case "null":
		if !n.Is(tree.Null) {
			return nil, mustBe(n, "null")
		}
		return nil, nil
	case "boolean":
		if !n.Is(tree.Bool) {
			return nil, mustBe(n, "true or false")
		}
		return n.True(), nil
	case "int", "long":
		return r.whole(n, t)
	case "float", "double":
		if special, ok := map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[n.Str()]; ok {
			return special, nil
		}
		f, ok := n.Float()
		if !ok {
			return nil, mustBe(n, "a number")
		}
		return f, nil
	case "string":
		if !n.Is(tree.String) {
			return nil, mustBe(n, "text")
		}
		return n.Text, nil
	case "enum":
		if !n.Is(tree.String) || !slices.Contains(t.symbols, n.Text) {
			return nil, wrong(n.Pointer(), "must be one of %s", strings.Join(t.symbols[:min(len(t.symbols), 20)], ", "))
		}
		return n.Text, nil
	case "bytes", "fixed":
		return r.bytes(n, t)
	case "array":
		if !n.Is(tree.List) {
			return nil, mustBe(n, "a list")
		}
		out := make([]any, 0, len(n.Items))
		for _, item := range n.Items {
			v, failed := r.value(item, t.inner, depth+1)
			if failed != nil {
				return nil, failed
			}
			out = append(out, v)
		}
		return out, nil
	case "map":
		if !n.Is(tree.Object) {
			return nil, mustBe(n, "an object")
		}
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			v, failed := r.value(f.Value, t.inner, depth+1)
			if failed != nil {
				return nil, failed
			}
			out[f.Name] = v
		}
		return out, nil
	case "record":
		return r.record(n, t, depth)
	case "union":
		return r.union(n, t, depth)
	}
	return nil, wrong(n.Pointer(), "is of a type that is not understood")
}

func (r *avroReader) record(n *tree.Node, t *avroType, depth int) (any, *Error) {
	if !n.Is(tree.Object) {
		return nil, mustBe(n, "an object")
	}
	out := make(map[string]any, len(t.fields))
	for _, f := range t.fields {
		given := n.Get(f.name)
		switch {
		case given != nil:
			v, failed := r.value(given, f.of, depth+1)
			if failed != nil {
				return nil, failed
			}
			out[f.name] = v
		case f.hasValue: // the library fills it in
		case f.of.nullable():
			out[f.name] = nil
		default:
			return nil, wrong(n.Pointer(), "lacks %s", f.name)
		}
	}
	for _, f := range n.Fields {
		if !slices.ContainsFunc(t.fields, func(known avroField) bool { return known.name == f.Name }) {
			return nil, wrong(f.Value.Pointer(), "is not in the schema")
		}
	}
	return out, nil
}

// union reads {"branch": value} as the specification has it, or the value of the first
// branch that it fits.
func (r *avroReader) union(n *tree.Node, t *avroType, depth int) (any, *Error) {
	if n.Is(tree.Null) && t.nullable() {
		return nil, nil
	}
	if n.Is(tree.Object) && len(n.Fields) == 1 {
		for _, branch := range t.branches {
			name := n.Fields[0].Name
			if name != branch.tag() && (branch.name == "" || name != branch.name[strings.LastIndexByte(branch.name, '.')+1:]) {
				continue
			}
			if v, failed := r.value(n.Fields[0].Value, branch, depth+1); failed == nil {
				return map[string]any{branch.tag(): v}, nil
			}
		}
	}
	var nearest *Error
	for _, branch := range t.branches {
		v, failed := r.value(n, branch, depth+1)
		if failed == nil {
			if branch.kind == "null" {
				return nil, nil
			}
			return map[string]any{branch.tag(): v}, nil
		}
		// What was wrong deepest inside is what somebody meant to write.
		if nearest == nil || len(failed.Problems[0].Pointer) > len(nearest.Problems[0].Pointer) || branch.kind != "null" && nearest.Problems[0].Pointer == n.Pointer() {
			nearest = failed
		}
	}
	if nearest == nil {
		nearest = wrong(n.Pointer(), "fits no branch of the union")
	}
	return nil, nearest
}

func (r *avroReader) whole(n *tree.Node, t *avroType) (any, *Error) {
	if n.Is(tree.String) && t.logical != "" {
		return moment(n, t)
	}
	if !n.Is(tree.Number) {
		return nil, mustBe(n, "a whole number")
	}
	i, ok := n.Int()
	if !ok {
		return nil, wrong(n.Pointer(), "must be a whole number that fits 64 bits")
	}
	if t.kind == "int" {
		if i < math.MinInt32 || i > math.MaxInt32 {
			return nil, wrong(n.Pointer(), "must fit 32 bits")
		}
		return int32(i), nil
	}
	return i, nil
}

// moment reads a time that is written as people do.
func moment(n *tree.Node, t *avroType) (any, *Error) {
	var at time.Time
	var err error
	like := "2026-05-04T09:00:00Z"
	switch {
	case t.logical == "date":
		like = "2026-05-04"
		at, err = time.Parse(time.DateOnly, n.Text)
	case t.logical == "time-millis" || t.logical == "time-micros":
		like = "09:00:00"
		at, err = time.Parse(timeOfDay, n.Text)
	case strings.HasPrefix(t.logical, "local-timestamp-"):
		like = "2026-05-04T09:00:00"
		at, err = time.Parse(localTime, n.Text)
	case strings.HasPrefix(t.logical, "timestamp-"):
		at, err = time.Parse(time.RFC3339Nano, n.Text)
	default:
		return nil, mustBe(n, "a whole number")
	}
	if err != nil {
		return nil, wrong(n.Pointer(), "must be a time like %s, or a number", like)
	}
	if unit := units[t.logical]; unit > 0 && !at.Truncate(unit).Equal(at) {
		return nil, wrong(n.Pointer(), "is more exact than the schema's %s", t.logical)
	}
	if strings.HasPrefix(t.logical, "time-") {
		return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second + time.Duration(at.Nanosecond()), nil
	}
	return at, nil
}

func (r *avroReader) bytes(n *tree.Node, t *avroType) (any, *Error) {
	if t.logical == "decimal" || t.logical == "big-decimal" {
		text := n.Text
		if n.Is(tree.Number) || n.Is(tree.String) && numeric(text) {
			// Exponents make numbers that are short to write and long to calculate with.
			if i := strings.IndexAny(text, "eE"); len(text) > 1000 || i >= 0 && len(text)-i > 5 {
				return nil, wrong(n.Pointer(), "is too long a number")
			}
			if v, ok := new(big.Rat).SetString(text); ok {
				return v, nil
			}
		}
	}
	if !n.Is(tree.String) {
		return nil, mustBe(n, "text, in which each character is a byte")
	}
	if t.logical == "uuid" && t.kind == "fixed" {
		if raw, ok := uuid(n.Text); ok {
			return raw, nil
		}
	}
	out := make([]byte, 0, len(n.Text))
	for _, c := range n.Text {
		if c > 0xFF || c == utf8.RuneError {
			return nil, wrong(n.Pointer(), "is bytes: characters from U+0000 to U+00FF, each a byte")
		}
		out = append(out, byte(c))
	}
	if t.kind == "fixed" && len(out) != t.size {
		return nil, wrong(n.Pointer(), "must have %d bytes, not %d", t.size, len(out))
	}
	return out, nil
}

func numeric(text string) bool {
	return text != "" && strings.Trim(text, "0123456789+-.eE") == "" && strings.ContainsAny(text, "0123456789")
}

func uuid(text string) ([]byte, bool) {
	digits := strings.ReplaceAll(text, "-", "")
	if len(text) != 36 || len(digits) != 32 {
		return nil, false
	}
	out, ok := new(big.Int).SetString(digits, 16)
	if !ok {
		return nil, false
	}
	return out.FillBytes(make([]byte, 16)), true
}
