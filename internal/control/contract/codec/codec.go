// Package codec turns what a record holds into JSON that people read, and JSON that
// people write into what a record holds, as the messages of a channel's contract say:
// JSON, Avro and Protobuf, plain or framed with the id of a schema registry. Its main
// type is Codec. It knows nothing of topics and of Kafka.
//
// Neither bytes nor JSON are trusted: sizes, depth and work are bounded, and bytes that
// fit no message are still shown, as text or in base64, with the reason.
//
// JSON for Avro is that of the specification (Avro 1.12, "JSON Encoding"), made for
// people: unions are bare, timestamps are RFC 3339, dates and times ISO 8601, decimals
// numbers, UUIDs text. Encoding takes the specification's own forms as well. JSON for
// Protobuf is protojson, with the names of the .proto file.
package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// MaxBytes is what is decoded of one key or value, and what JSON to encode may be; of
// larger ones Decode shows the beginning as it is.
const MaxBytes = 1 << 20

const (
	maxShown = 64 << 10 // bytes of what could not be decoded
	maxDepth = 64       // of values; schemas may nest without end
	maxSteps = 200_000  // alternatives that are tried for one value, and values that are written
)

// Format is what the bytes were.
type Format string

// The formats.
const (
	// None is no value at all: Kafka's null, a tombstone.
	None     Format = "none"
	JSON     Format = "json"
	Avro     Format = "avro"
	Protobuf Format = "protobuf"
	// Text is UTF-8 that is not JSON, or need not be.
	Text Format = "text"
	// Binary is anything else, in base64.
	Binary Format = "binary"
)

// Decoded is a key or a value that people can read.
type Decoded struct {
	Format Format
	// JSON is a JSON text on one line: the value, for Text and Binary a string, for None
	// null.
	JSON json.RawMessage
	// SchemaID is that of a schema registry, from the bytes in front of the value; 0 when
	// there are none.
	SchemaID int64
	// Problem says why it is not what the contract says; empty when it is, or when the
	// contract says nothing.
	Problem string
	// Cut says that only the beginning is here.
	Cut bool
}

// Record is a record that people can read.
type Record struct {
	// Message is the contract's message; empty when it fits none.
	Message    string
	Key, Value Decoded
}

// Problem is something that is wrong with JSON that was to be encoded.
type Problem struct {
	// Pointer is the place in the JSON (RFC 6901).
	Pointer string
	Message string
}

// Error says why JSON could not be encoded.
type Error struct {
	// Part is key, value or headers.
	Part     string
	Problems []Problem
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e.Part + p.Pointer + ": " + p.Message)
	}
	return b.String()
}

// wrong returns an Error of one problem.
func wrong(pointer, format string, args ...any) *Error {
	return &Error{Problems: []Problem{{pointer, fmt.Sprintf(format, args...)}}}
}

// Codec is that of a channel. It is not changed once it is made, and safe for
// concurrent use.
type Codec struct {
	messages []*message
}

type message struct {
	name                string
	key, value, headers *part
}

// language is what one schema language can do.
type language interface {
	// decode returns JSON; all of the bytes have to be of the value.
	decode(b []byte) ([]byte, error)
	encode(value *tree.Node) ([]byte, *Error)
}

// part is the key, the value or the headers of a message.
type part struct {
	format Format
	codec  language // nil when nothing is said, or nothing that is understood
	// framed says that the contract promises the id of a registry in front.
	framed  bool
	idBytes int
	// unusable says why the schema is none; the contract was refused for it, or is old.
	unusable string
}

// New returns the codec of messages. Schemas that cannot be used are as if they were
// not there, and whatever they would describe says so.
func New(messages []*contract.Message) *Codec {
	c := &Codec{}
	budget := schema.NewBudget()
	for _, m := range messages {
		framed, id := strings.EqualFold(m.Kafka.SchemaIDLocation, "payload"), idBytes(m.Kafka.SchemaIDPayloadEncoding)
		one := &message{
			name: m.Name,
			// A key that is text is its characters: nearly every client writes it so.
			key:     newPart(m.Key, "", true, framed, id, budget),
			value:   newPart(m.Payload, m.ContentType, false, framed, id, budget),
			headers: newPart(m.Headers, "", false, false, 0, budget),
		}
		if one.key.format == Text || one.key.format == JSON {
			one.key.framed = false
		}
		c.messages = append(c.messages, one)
	}
	return c
}

// idBytes is the length of a schema id by AsyncAPI's schemaIdPayloadEncoding
// (Kafka bindings 0.5).
func idBytes(encoding string) int {
	switch strings.ToLower(encoding) {
	case "apicurio-legacy", "8":
		return 8
	}
	return 4 // confluent, apicurio-new, and what is not said
}

func newPart(s *schema.Schema, contentType string, isKey, framed bool, id int, budget schema.Budget) *part {
	p := &part{format: Text, framed: framed, idBytes: id}
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	if s == nil || s.Root == nil {
		if media == "application/json" || strings.HasSuffix(media, "+json") {
			p.format = JSON
		}
		return p
	}
	v, findings := schema.Compile(s, budget)
	if v == nil {
		for _, f := range findings {
			p.unusable = f.Message
		}
		return p
	}
	switch s.Kind() {
	case schema.JSON:
		p.format = JSON
		text := strings.HasPrefix(media, "text/")
		if isKey {
			t := s.Resolve(s.Root).Get("type").Strings()
			text = len(t) > 0 && !slices.ContainsFunc(t, func(t string) bool { return t != "string" && t != "null" })
		}
		if text {
			p.format = Text
		}
		p.codec = jsonLanguage{validator: v, text: text}
	case schema.Avro:
		p.format, p.codec = Avro, newAvro(v.Avro())
	case schema.Protobuf:
		p.format, p.codec = Protobuf, protobufLanguage{v.Protobuf()}
	}
	return p
}

// Messages returns the names of the messages, in the order of the contract.
func (c *Codec) Messages() []string {
	var out []string
	for _, m := range c.messages {
		out = append(out, m.name)
	}
	return out
}

// Decode returns what a record holds, nil being Kafka's null. Where a channel has
// several messages, the record is of the first that it fits.
func (c *Codec) Decode(key, value []byte) Record {
	var first *Record
	for _, m := range c.messages {
		r := Record{Message: m.name, Key: m.key.decode(key), Value: m.value.decode(value)}
		if r.Value.Problem == "" && r.Key.Problem == "" {
			return r
		}
		// The best of those that do not fit has the right value.
		if first == nil || r.Value.Problem == "" && first.Value.Problem != "" {
			if r.Value.Problem != "" && len(c.messages) > 1 {
				r.Message = ""
			}
			first = &r
		}
	}
	if first == nil {
		nothing := &part{format: Text}
		return Record{Key: nothing.decode(key), Value: nothing.decode(value)}
	}
	if len(c.messages) > 1 && first.Value.Problem != "" {
		first.Value.Problem = fmt.Sprintf("fits none of %s; the first: %s", strings.Join(c.Messages(), ", "), first.Value.Problem)
	}
	return *first
}

func (p *part) decode(b []byte) Decoded {
	switch {
	case b == nil:
		return Decoded{Format: None, JSON: json.RawMessage("null")}
	case len(b) > MaxBytes:
		d := shown(b)
		d.Problem = fmt.Sprintf("has %d bytes; more than %d are not decoded", len(b), MaxBytes)
		return d
	case p.unusable != "":
		d := shown(b)
		d.Problem = "the contract's schema cannot be used: " + p.unusable
		return d
	case p.codec == nil:
		if looked, ok := looksJSON(b); ok {
			return Decoded{Format: JSON, JSON: looked}
		}
		d := shown(b)
		if p.format == JSON {
			d.Problem = "is not JSON, as the contract says"
		}
		return d
	}
	// First as the contract promises, then the other way: it is often silent about ids.
	tries := []bool{p.framed, !p.framed}
	var because error
	for i, framed := range tries {
		d, err := p.as(b, framed)
		if err == nil {
			return d
		}
		if i == 0 || because == nil {
			because = err
		}
	}
	d := shown(b)
	if looked, ok := looksJSON(b); ok {
		d = Decoded{Format: JSON, JSON: looked}
	}
	d.Problem = because.Error()
	return d
}

// as decodes bytes with or without a registry's id in front.
func (p *part) as(b []byte, framed bool) (Decoded, error) {
	d := Decoded{Format: p.format}
	codec := p.codec
	if framed {
		id, rest, err := cutFrame(b, p.idBytes)
		if err != nil {
			return d, err
		}
		d.SchemaID, b = id, rest
		if pb, ok := codec.(protobufLanguage); ok {
			if codec, b, err = pb.cutIndexes(b); err != nil {
				return d, err
			}
		}
	} else if a, ok := codec.(*avroLanguage); ok && len(b) > 10 && b[0] == 0xC3 && b[1] == 0x01 {
		if out, err := a.decodeSingleObject(b); err == nil {
			d.JSON = out
			return d, nil
		}
	}
	out, err := codec.decode(b)
	if err != nil {
		return d, err
	}
	d.JSON = out
	return d, nil
}

// looksJSON returns JSON objects and lists on one line. Other values are left as text: a
// number may as well be part of a name.
func looksJSON(b []byte) (json.RawMessage, bool) {
	t := bytes.TrimSpace(b)
	if len(t) == 0 || t[0] != '{' && t[0] != '[' || !utf8.Valid(t) {
		return nil, false
	}
	var out bytes.Buffer
	if json.Compact(&out, t) != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// shown is what bytes are when nothing else is known of them.
func shown(b []byte) Decoded {
	d := Decoded{Format: Binary, Cut: len(b) > maxShown}
	if d.Cut {
		b = b[:maxShown]
	}
	if text, ok := readable(b, d.Cut); ok {
		d.Format, d.JSON = Text, quote(text)
		return d
	}
	d.JSON = quote(base64.StdEncoding.EncodeToString(b))
	return d
}

// readable returns bytes as text, if people can read it. A text that was cut may end
// within a character.
func readable(b []byte, cut bool) (string, bool) {
	for i := 0; cut && i < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); i++ {
		b = b[:len(b)-1]
	}
	if !utf8.Valid(b) {
		return "", false
	}
	text := string(b)
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return "", false
		}
	}
	return text, true
}

// TextOf returns the bytes of a header as people read them; false when they are base64.
func TextOf(b []byte) (text string, plain bool) {
	if text, ok := readable(b, false); ok {
		return text, true
	}
	return base64.StdEncoding.EncodeToString(b), false
}

func quote(text string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string is always encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
