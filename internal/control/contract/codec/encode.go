package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/tree"
)

// Side is the part of a record that JSON is encoded for.
type Side bool

// The sides.
const (
	Key   Side = false
	Value Side = true
)

// Header is a header of a record.
type Header struct {
	Name  string
	Value []byte
}

// ErrNoSchemaID is what Encode returns, wrapped in an *Error, where the contract
// promises the id of a schema registry and none was given.
var ErrNoSchemaID = errors.New("the contract puts the id of a schema registry in front of each record, and does not say which: name it")

// Encode returns the bytes of a key or a value that is given as JSON. Message is the
// contract's; it may be empty where the channel has only one. SchemaID is written in
// front where the contract says that there is one; it is an error if it is 0 then. What
// the message does not say anything about is written as it stands, a JSON string as its
// characters. Errors are *Error, with the place of each problem.
func (c *Codec) Encode(message string, side Side, text []byte, schemaID int64) ([]byte, error) {
	what := map[Side]string{Key: "key", Value: "value"}[side]
	m, err := c.message(message)
	if err != nil {
		return nil, &Error{Part: what, Problems: []Problem{{"", err.Error()}}}
	}
	p := m.key
	if side == Value {
		p = m.value
	}
	out, failed := p.encode(text, schemaID)
	if failed != nil {
		failed.Part = what
		return nil, failed
	}
	return out, nil
}

// NeedsSchemaID says that Encode wants the id of a schema.
func (c *Codec) NeedsSchemaID(message string, side Side) bool {
	m, err := c.message(message)
	if err != nil {
		return false
	}
	if side == Key {
		return m.key.framed && m.key.codec != nil
	}
	return m.value.framed && m.value.codec != nil
}

func (c *Codec) message(name string) (*message, error) {
	if len(c.messages) == 0 && name == "" {
		nothing := &part{format: Text}
		return &message{key: nothing, value: nothing, headers: nothing}, nil
	}
	for _, m := range c.messages {
		if m.name == name || name == "" && len(c.messages) == 1 {
			return m, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("the channel has several messages, say which: %s", strings.Join(c.Messages(), ", "))
	}
	return nil, fmt.Errorf("the channel has no message %q, but %s", name, strings.Join(c.Messages(), ", "))
}

// parse reads JSON text.
func parse(text []byte) (*tree.Node, *Error) {
	if len(text) > MaxBytes {
		return nil, wrong("", "has %d bytes, at most %d are encoded", len(text), MaxBytes)
	}
	n, problems := tree.ParseJSON(text)
	if n == nil || rule.Bad(problems) {
		for _, p := range problems {
			return nil, wrong("", "line %d, column %d: %s", p.Place.Line, p.Place.Column, p.Message)
		}
		return nil, wrong("", "is not JSON")
	}
	return n, nil
}

func (p *part) encode(text []byte, schemaID int64) ([]byte, *Error) {
	n, failed := parse(text)
	if failed != nil {
		return nil, failed
	}
	if p.codec == nil {
		return plain(n), nil
	}
	out, failed := p.codec.encode(n)
	if failed != nil || !p.framed {
		return out, failed
	}
	if schemaID <= 0 {
		return nil, wrong("", "%s", ErrNoSchemaID)
	}
	frame := make([]byte, 1, 1+p.idBytes+1+len(out))
	if p.idBytes == 8 {
		frame = binary.BigEndian.AppendUint64(frame, uint64(schemaID))
	} else {
		if schemaID > 1<<31-1 {
			return nil, wrong("", "the id of a schema has 4 bytes, and %d has not", schemaID)
		}
		frame = binary.BigEndian.AppendUint32(frame, uint32(schemaID))
	}
	if pb, ok := p.codec.(protobufLanguage); ok {
		frame = pb.appendIndexes(frame)
	}
	return append(frame, out...), nil
}

// plain is a JSON value as bytes: a string is its characters, anything else JSON.
func plain(n *tree.Node) []byte {
	if n.Is(tree.String) {
		return []byte(n.Text)
	}
	return n.Compact()
}

// Headers returns the headers of a record that are given as a JSON object, in its order:
// texts as their characters, null as no value, anything else as JSON. Errors are *Error.
func (c *Codec) Headers(message string, object []byte) ([]Header, error) {
	m, err := c.message(message)
	if err != nil {
		return nil, &Error{Part: "headers", Problems: []Problem{{"", err.Error()}}}
	}
	n, failed := parse(object)
	if failed == nil && !n.Is(tree.Object) {
		failed = wrong("", "must be an object, not %s", n.Kind)
	}
	if failed == nil && m.headers.codec != nil {
		_, failed = m.headers.codec.encode(n)
	}
	if failed != nil {
		failed.Part = "headers"
		return nil, failed
	}
	var out []Header
	for _, f := range n.Fields {
		h := Header{Name: f.Name}
		if !f.Value.Is(tree.Null) {
			h.Value = plain(f.Value)
		}
		out = append(out, h)
	}
	return out, nil
}

// cutFrame takes the id of a schema registry from in front of a value: a zero byte and
// the id, the largest first.
func cutFrame(b []byte, idBytes int) (id int64, rest []byte, err error) {
	if len(b) < 1+idBytes || b[0] != 0 {
		return 0, nil, errors.New("has no id of a schema registry in front")
	}
	if idBytes == 8 {
		id = int64(binary.BigEndian.Uint64(b[1:]))
	} else {
		id = int64(binary.BigEndian.Uint32(b[1:]))
	}
	if id <= 0 {
		return 0, nil, errors.New("has no id of a schema registry in front")
	}
	return id, b[1+idBytes:], nil
}
