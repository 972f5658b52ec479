// Package definition reads Kafka's own definitions of its messages from a
// kafka-clients jar, where Kafka publishes them as JSON. Its main type is API,
// a request with its answer. It serves the generator of package wire's tables
// and the guards that compare what the gateway does with what Kafka defines;
// it is no part of the running product and must not know what the gateway does.
package definition

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"path"
	"strconv"
	"strings"
)

// API is one Kafka API of one release.
type API struct {
	Key               int16
	Name              string
	Request, Response *Message
}

// Message is one message as its JSON file has it; versions are in Kafka's own
// notation ("0+", "3-13", "none").
type Message struct {
	APIKey                                      *int16 `json:"apiKey"`
	Type, Name, ValidVersions, FlexibleVersions string
	// LatestVersionUnstable says that the newest version may still change and
	// is only offered where unstable APIs are switched on.
	LatestVersionUnstable bool
	Listeners             []string
	Fields, CommonStructs []Member
}

// Member is one field as its JSON file has it.
type Member struct {
	Name, Type, Versions, NullableVersions, TaggedVersions, EntityType string
	Tag                                                                *Tag
	Fields                                                             []Member
}

// Tag is the number of a tagged field. Kafka 3.9 writes one of them as a string.
type Tag int

// UnmarshalJSON reads a number, quoted or not.
func (t *Tag) UnmarshalJSON(text []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(text), `"`))
	*t = Tag(n)
	return err
}

// Field is one field of one version of a message.
type Field struct {
	// Path is the names from the top of the message down, joined by dots.
	Path string
	// Type is Kafka's: string, uuid, int32, a struct's name, or "[]" and one of these.
	Type string
	// EntityType is what Kafka says the field names: topicName, groupId,
	// transactionalId, brokerId, producerId; often empty.
	EntityType string
}

// Name is the last element of the path.
func (f Field) Name() string { return f.Path[strings.LastIndexByte(f.Path, '.')+1:] }

// ReadJar returns the APIs that the kafka-clients jar in the named file
// defines, by key. An API without a valid version, which a release keeps as a
// placeholder, is left out.
func ReadJar(name string) (map[int16]*API, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	apis := map[int16]*API{}
	for _, f := range z.File {
		if ok, _ := path.Match("common/message/*.json", f.Name); !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		m, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		Add(apis, m)
	}
	for key, a := range apis {
		if a.Request == nil || a.Response == nil || a.Request.ValidVersions != a.Response.ValidVersions || a.Request.FlexibleVersions != a.Response.FlexibleVersions {
			return nil, fmt.Errorf("API key %d (%s): request and response differ in their versions, or one is missing", key, a.Name)
		}
	}
	if len(apis) == 0 {
		return nil, fmt.Errorf("%s holds no message definitions: is it a kafka-clients jar?", name)
	}
	return apis, nil
}

// Parse reads one definition, a JSON text with // comments.
func Parse(text []byte) (*Message, error) {
	m := new(Message)
	return m, json.Unmarshal(stripComments(text), m)
}

// Add puts a message where it belongs; what is neither request nor response,
// or has no valid version, is left out.
func Add(apis map[int16]*API, m *Message) {
	if m.APIKey == nil || m.ValidVersions == "none" {
		return
	}
	a := apis[*m.APIKey]
	if a == nil {
		a = &API{Key: *m.APIKey}
		apis[*m.APIKey] = a
	}
	switch m.Type {
	case "request":
		a.Request, a.Name = m, strings.TrimSuffix(m.Name, "Request")
	case "response":
		a.Response = m
	}
}

// stripComments removes // comments, which Kafka allows in its definitions.
func stripComments(text []byte) []byte {
	var out []byte
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case c == '/' && !quoted && i+1 < len(text) && text[i+1] == '/':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		}
		if i < len(text) {
			out = append(out, text[i])
		}
	}
	return out
}

// NoVersion ends the range of versions that is open above, and begins that of
// "none".
const NoVersion = math.MaxInt16

// Span returns a range of versions, both ends included. "none" and "" are an
// empty range.
func Span(versions string) (lowest, highest int16, err error) {
	if versions == "" || versions == "none" {
		return NoVersion, -1, nil
	}
	number := func(s string) int16 {
		n, e := strconv.ParseInt(s, 10, 16)
		if e != nil && err == nil {
			err = fmt.Errorf("versions %q: %w", versions, e)
		}
		return int16(n)
	}
	if lo, open := strings.CutSuffix(versions, "+"); open {
		return number(lo), NoVersion, err
	}
	if lo, hi, ok := strings.Cut(versions, "-"); ok {
		lowest, highest = number(lo), number(hi)
		return lowest, highest, err
	}
	lowest = number(versions)
	return lowest, lowest, err
}

// Has reports whether a version is in a range; a range that cannot be read
// has none.
func Has(versions string, version int16) bool {
	lo, hi, err := Span(versions)
	return err == nil && lo <= version && version <= hi
}

// Elem is a type without "[]".
func Elem(typ string) string { return strings.TrimPrefix(typ, "[]") }

// Primitive reports whether a type, or that of an array's elements, has no
// fields of its own.
func Primitive(typ string) bool {
	switch Elem(typ) {
	case "bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "uuid", "string", "bytes", "records":
		return true
	}
	return false
}

// Members returns the fields below a field, those of a common struct too.
func (m *Message) Members(f *Member) []Member {
	if len(f.Fields) > 0 || Primitive(f.Type) {
		return f.Fields
	}
	for i := range m.CommonStructs {
		if m.CommonStructs[i].Name == Elem(f.Type) {
			return m.CommonStructs[i].Fields
		}
	}
	return nil
}

// In yields every field that a version of the message has, structs before
// what they contain; nothing for a version that is not valid.
func (m *Message) In(version int16) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		if !Has(m.ValidVersions, version) {
			return
		}
		var walk func(prefix string, fields []Member, depth int) bool
		walk = func(prefix string, fields []Member, depth int) bool {
			for i := range fields {
				f := &fields[i]
				if !Has(f.Versions, version) || depth > 10 {
					continue
				}
				out := Field{Path: prefix + f.Name, Type: f.Type, EntityType: f.EntityType}
				if !yield(out) || !walk(out.Path+".", m.Members(f), depth+1) {
					return false
				}
			}
			return true
		}
		walk("", m.Fields, 0)
	}
}

// Layout describes what a version of the message looks like on the wire, one
// field a line: two releases agree on a version when their layouts are equal.
func (m *Message) Layout(version int16) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flexible=%t\n", Has(m.FlexibleVersions, version))
	var walk func(fields []Member, depth int)
	walk = func(fields []Member, depth int) {
		for i := range fields {
			f := &fields[i]
			if !Has(f.Versions, version) || depth > 10 {
				continue
			}
			typ := f.Type
			if !Primitive(typ) { // a struct's name is not on the wire
				typ = strings.Replace(typ, Elem(typ), "struct", 1)
			}
			fmt.Fprintf(&b, "%s%s null=%t", strings.Repeat(" ", depth), typ, Has(f.NullableVersions, version))
			if f.Tag != nil && Has(f.TaggedVersions, version) {
				fmt.Fprintf(&b, " tag=%d", *f.Tag)
			}
			b.WriteString(" " + f.Name + "\n")
			walk(m.Members(f), depth+1)
		}
	}
	walk(m.Fields, 0)
	return b.String()
}
