package schema

import (
	"errors"
	"strings"

	"github.com/twmb/avro"

	"sluice/internal/control/contract/tree"
)

// avroDifferences asks the library, which stops at the first incompatibility.
func avroDifferences(writer, reader *Schema) (out []Difference) {
	uncompared := func(f *Finding) []Difference {
		return []Difference{{Change: ChangeUncompared, Message: "the schemas cannot be compared: one " + f.Message, Writer: writer.Root, Reader: reader.Root}}
	}
	w, found := writer.avro()
	if found != nil {
		return uncompared(found)
	}
	r, found := reader.avro()
	if found != nil {
		return uncompared(found)
	}
	err := avro.CheckCompatibility(w, r)
	var failed *avro.CompatibilityError
	switch {
	case err == nil:
		out = missingAvro(writer, reader)
	case errors.As(err, &failed):
		change := ChangeType
		switch detail := strings.ToLower(failed.Detail); {
		case strings.Contains(detail, "symbol"):
			change = ChangeValues
		case strings.Contains(detail, "default") || strings.Contains(detail, "missing"):
			change = ChangeRequired
		case strings.Contains(detail, "name"):
			change = ChangeName
		}
		path := strings.TrimPrefix(failed.Path, "(root)")
		message := failed.Detail
		if change == ChangeType && failed.WriterType != "" && failed.ReaderType != "" {
			message = "is " + failed.WriterType + ", and " + failed.ReaderType + " is expected"
		}
		name := path
		if name == "" {
			name = "the record"
		}
		out = append(out, Difference{Change: change, Strict: true, Path: path, Message: name + " " + message, Writer: avroNode(writer.Root, path), Reader: avroNode(reader.Root, path)})
	default:
		out = append(out, Difference{Change: ChangeType, Strict: true, Message: avroReason(err), Writer: writer.Root, Reader: reader.Root})
	}
	return out
}

// missingAvro names fields of the reader's record that the writer does not have and
// that are filled from defaults.
func missingAvro(writer, reader *Schema) []Difference {
	var out []Difference
	written := map[string]bool{}
	for _, f := range writer.Root.Get("fields").Elements() {
		written[f.Get("name").Str()] = true
	}
	for _, f := range reader.Root.Get("fields").Elements() {
		name := f.Get("name").Str()
		known := written[name]
		for _, alias := range f.Get("aliases").Strings() {
			known = known || written[alias]
		}
		if !known && len(out) < maxDiffs {
			out = append(out, Difference{Change: ChangeMissing, Path: name, Message: name + " is not in what is written; who reads sees its default", Writer: writer.Root, Reader: f})
		}
	}
	return out
}

// avroNode finds the field that a dotted path of the library names, or what is
// above it.
func avroNode(root *tree.Node, path string) *tree.Node {
	parts := strings.Split(path, ".")
	n := root
	if len(parts) > 0 && parts[0] == shortName(root.Get("name").Str()) {
		parts = parts[1:]
	}
	for _, part := range parts {
		part, _, _ = strings.Cut(part, "[")
		next := avroField(n, part, 0)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func shortName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func avroField(n *tree.Node, name string, depth int) *tree.Node {
	if depth > 8 {
		return nil
	}
	for _, f := range n.Get("fields").Elements() {
		if f.Get("name").Str() == name {
			return f
		}
	}
	for _, inner := range []string{"type", "items", "values"} {
		v := n.Get(inner)
		if found := avroField(v, name, depth+1); found != nil {
			return found
		}
		for _, branch := range v.Elements() {
			if found := avroField(branch, name, depth+1); found != nil {
				return found
			}
		}
	}
	return nil
}
