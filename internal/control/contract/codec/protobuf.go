package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"sluice/internal/control/contract/tree"
)

// protobufLanguage is one message of a Protobuf file.
type protobufLanguage struct {
	message protoreflect.MessageDescriptor
}

func (p protobufLanguage) decode(b []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(p.message)
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("is not the Protobuf message %s: %s", p.message.FullName(), reason(err))
	}
	if len(b) > 0 && len(m.GetUnknown()) == len(b) { // nearly any bytes are some message
		return nil, fmt.Errorf("has no field of the Protobuf message %s", p.message.FullName())
	}
	out, err := (protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}).Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("is not the Protobuf message %s: %s", p.message.FullName(), reason(err))
	}
	var compact bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&compact, out); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

func (p protobufLanguage) encode(n *tree.Node) ([]byte, *Error) {
	m := dynamicpb.NewMessage(p.message)
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(n.Compact(), m); err != nil {
		return nil, wrong("", "does not fit the Protobuf message %s: %s", p.message.FullName(), reason(err))
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, wrong("", "does not fit the Protobuf message %s: %s", p.message.FullName(), reason(err))
	}
	return out, nil
}

// reason is what the library says, without its ornaments.
func reason(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
}

// cutIndexes takes the path to the message in its file from behind the id of a
// registry: a count and so many indexes as zigzag varints, a single 0 for the first
// message of the file.
func (p protobufLanguage) cutIndexes(b []byte) (language, []byte, error) {
	wrong := errors.New("has no index of a message behind the id of a schema registry")
	count, n := binary.Varint(b)
	if n <= 0 || count < 0 || count > maxDepth {
		return nil, nil, wrong
	}
	b = b[n:]
	if count == 0 {
		return protobufLanguage{p.message.ParentFile().Messages().Get(0)}, b, nil
	}
	var at interface {
		Messages() protoreflect.MessageDescriptors
	} = p.message.ParentFile()
	for range count {
		index, n := binary.Varint(b)
		if n <= 0 || index < 0 || index >= int64(at.Messages().Len()) {
			return nil, nil, wrong
		}
		at, b = at.Messages().Get(int(index)), b[n:]
	}
	return protobufLanguage{at.(protoreflect.MessageDescriptor)}, b, nil
}

// appendIndexes writes what cutIndexes reads.
func (p protobufLanguage) appendIndexes(b []byte) []byte {
	var path []int64
	for d := protoreflect.Descriptor(p.message); ; d = d.Parent() {
		m, ok := d.(protoreflect.MessageDescriptor)
		if !ok {
			break
		}
		path = append([]int64{int64(m.Index())}, path...)
	}
	if len(path) == 1 && path[0] == 0 {
		return append(b, 0)
	}
	b = binary.AppendVarint(b, int64(len(path)))
	for _, index := range path {
		b = binary.AppendVarint(b, index)
	}
	return b
}
