package sample

import (
	"encoding/base64"
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"sluice/internal/control/contract/tree"
)

// protobufSource makes values of a Protobuf message, in the JSON of Protobuf with the
// names of the file.
type protobufSource struct {
	message protoreflect.MessageDescriptor
}

func (p protobufSource) make(g *maker, at place) *tree.Node { return p.of(g, p.message, at, nil) }

func (p protobufSource) of(g *maker, m protoreflect.MessageDescriptor, at place, above []protoreflect.FullName) *tree.Node {
	if !g.take(at) {
		return nil
	}
	if v, ok := wellKnown(g, m, at); ok {
		return v
	}
	open := 0
	for _, name := range above {
		if name == m.FullName() {
			open++
		}
	}
	above = append(above[:len(above):len(above)], m.FullName())
	out := tree.NewObject()
	for i := range m.Fields().Len() {
		d := m.Fields().Get(i)
		if one := d.ContainingOneof(); one != nil && !one.IsSynthetic() {
			chosen := one.Fields().Get(g.steady(place{hash: chain(at.hash, string(one.Name()))}).IntN(one.Fields().Len()))
			if chosen != d || g.lean {
				continue
			}
		}
		where := at.in(string(d.Name()))
		needed := d.Cardinality() == protoreflect.Required
		nested := d.Message() != nil && !d.IsMap() && open > 0
		if !needed && (nested || d.HasOptionalKeyword() && !g.own(where) && !g.present(where)) {
			continue
		}
		v := p.field(g, d, where, above)
		if v == nil {
			if needed {
				return nil
			}
			continue
		}
		out.Set(string(d.Name()), v)
	}
	return out
}

func (p protobufSource) field(g *maker, d protoreflect.FieldDescriptor, at place, above []protoreflect.FullName) *tree.Node {
	switch {
	case d.IsMap():
		out := tree.NewObject()
		for i := range g.some(at, 0, -1) {
			where := at.item(i)
			k, v := p.one(g, d.MapKey(), where, above), p.one(g, d.MapValue(), where, above)
			if k == nil || v == nil {
				continue
			}
			name := k.Text
			if d.MapKey().Kind() == protoreflect.StringKind {
				name = g.steady(where).of("alpha", "beta", "gamma", "north", "south", "origin", "batch")
			}
			out.Set(name, v)
		}
		return out
	case d.IsList():
		out := tree.NewList()
		for i := range g.some(at, 0, -1) {
			if v := p.one(g, d, at.item(i), above); v != nil {
				out.Append(v)
			}
		}
		return out
	}
	return p.one(g, d, at, above)
}

func (p protobufSource) one(g *maker, d protoreflect.FieldDescriptor, at place, above []protoreflect.FullName) *tree.Node {
	switch d.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return p.of(g, d.Message(), at, above)
	case protoreflect.EnumKind:
		var all []string
		for i := range d.Enum().Values().Len() {
			all = append(all, string(d.Enum().Values().Get(i).Name()))
		}
		return tree.Text(g.pick(at, all))
	case protoreflect.BoolKind:
		return tree.Boolean(g.flag(at))
	case protoreflect.StringKind:
		return g.words(at)
	case protoreflect.BytesKind:
		return tree.Text(base64.StdEncoding.EncodeToString([]byte(g.steady(at).letters(9, mixed))))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		v, decimals := g.real(at, math.Inf(-1), math.Inf(1))
		return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(v, 'f', decimals, 64)}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return g.whole(at, math.MinInt32, math.MaxInt32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return g.whole(at, 0, math.MaxUint32)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return tree.Text(g.whole(at, 0, 1<<53).Text)
	}
	return tree.Text(g.whole(at, -1<<53, 1<<53).Text) // numbers of 64 bits are texts in JSON
}

// wellKnown makes the messages that JSON writes in another way (Protobuf, "ProtoJSON").
func wellKnown(g *maker, m protoreflect.MessageDescriptor, at place) (*tree.Node, bool) {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return tree.Text(instant(g.moment(at))), true
	case "google.protobuf.Duration":
		return tree.Text(strconv.Itoa(1+g.steady(at).IntN(900)) + "s"), true
	case "google.protobuf.Struct", "google.protobuf.Empty":
		return tree.NewObject(), true
	case "google.protobuf.Value", "google.protobuf.StringValue":
		return g.words(at), true
	case "google.protobuf.ListValue":
		return tree.NewList(g.words(at)), true
	case "google.protobuf.FieldMask":
		return tree.Text("name"), true
	case "google.protobuf.Any":
		return nil, true
	case "google.protobuf.BoolValue":
		return tree.Boolean(g.flag(at)), true
	case "google.protobuf.BytesValue":
		return tree.Text("c2x1aWNl"), true
	case "google.protobuf.Int32Value":
		return g.whole(at, math.MinInt32, math.MaxInt32), true
	case "google.protobuf.UInt32Value":
		return g.whole(at, 0, math.MaxUint32), true
	case "google.protobuf.Int64Value":
		return g.whole(at, -1<<53, 1<<53), true
	case "google.protobuf.UInt64Value":
		return g.whole(at, 0, 1<<53), true
	case "google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		v, decimals := g.real(at, math.Inf(-1), math.Inf(1))
		return &tree.Node{Kind: tree.Number, Text: strconv.FormatFloat(v, 'f', decimals, 64)}, true
	}
	return nil, false
}
