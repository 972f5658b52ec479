package schema

import (
	"fmt"
	"slices"

	"sluice/internal/control/contract/tree"
)

// Change is a sort of difference between the schema that records are written with
// and the one that somebody expects.
type Change string

// The changes, as the reader of the records sees them.
const (
	// ChangeLanguage: the schemas are of different languages.
	ChangeLanguage Change = "language"
	// ChangeType: a value may be of a type that the reader does not expect.
	ChangeType Change = "type"
	// ChangeRequired: the reader requires a field that the writer may leave out.
	ChangeRequired Change = "required"
	// ChangeMissing: the reader knows a field that the writer does not have (any more).
	ChangeMissing Change = "missing"
	// ChangeUndescribed: the reader describes a field that the writer does not, and
	// that the writer may use for anything, since its schema is open.
	ChangeUndescribed Change = "undescribed"
	// ChangeUnknown: the writer has a field that the reader refuses.
	ChangeUnknown Change = "unknown"
	// ChangeClosed: the reader refuses fields that are not described, the writer may add
	// some.
	ChangeClosed Change = "closed"
	// ChangeValues: a value may be one that the reader does not list.
	ChangeValues Change = "values"
	// ChangeBounds: a value may be outside of the reader's bounds.
	ChangeBounds Change = "bounds"
	// ChangeFormat: a value may have another format or pattern.
	ChangeFormat Change = "format"
	// ChangeRule: a rule of the reader that could not be shown to hold.
	ChangeRule Change = "rule"
	// ChangeName: something has another name that programs may depend on.
	ChangeName Change = "name"
	// ChangeUncompared: something could not be compared.
	ChangeUncompared Change = "uncompared"
)

// Difference is one reason why somebody may not be able to read records.
type Difference struct {
	Change Change
	// Path is the field within the record, as "address.city" or "items[].id".
	Path string
	// Message says it as a sentence that begins with the path.
	Message string
	// Strict marks what a registry's check refuses, or what makes records unreadable;
	// the others are for people to know.
	Strict bool
	// Writer and Reader are the places in both schemas, nil where there is none.
	Writer, Reader *tree.Node
}

// CanRead returns what stands between records that are written with one schema and
// somebody who expects another; nothing means that all of them can be read.
func CanRead(writer, reader *Schema) []Difference {
	if writer.Kind() != reader.Kind() {
		return []Difference{{Change: ChangeLanguage, Message: fmt.Sprintf("the records are written as %s, and %s is expected", writer.Kind(), reader.Kind()), Strict: true, Writer: writer.Root, Reader: reader.Root}}
	}
	if Same(writer, reader) {
		return nil
	}
	switch writer.Kind() {
	case JSON:
		return jsonDifferences(writer, reader)
	case Avro:
		return avroDifferences(writer, reader)
	case Protobuf:
		return protobufDifferences(writer, reader)
	}
	if tree.Equal(writer.Root, reader.Root) {
		return nil
	}
	return []Difference{{Change: ChangeUncompared, Message: "schemas of the format " + clip(writer.Format) + " are not understood, and the two differ", Writer: writer.Root, Reader: reader.Root}}
}

// Mode is how a new schema must go with older ones.
type Mode string

// The modes of schema registries. Transitive ones look at all older schemas, the
// others at the last one.
const (
	None               Mode = "NONE"
	Backward           Mode = "BACKWARD"
	BackwardTransitive Mode = "BACKWARD_TRANSITIVE"
	Forward            Mode = "FORWARD"
	ForwardTransitive  Mode = "FORWARD_TRANSITIVE"
	Full               Mode = "FULL"
	FullTransitive     Mode = "FULL_TRANSITIVE"
)

// Modes returns all modes.
func Modes() []Mode {
	return []Mode{None, Backward, BackwardTransitive, Forward, ForwardTransitive, Full, FullTransitive}
}

// Incompatibility is a difference in one direction, with one older schema.
type Incompatibility struct {
	Difference
	// Backward: the new schema does not read records of the older one. Otherwise the
	// older one does not read those of the new.
	Backward bool
	// Older is the index of the older schema.
	Older int
}

// Compatible returns why a new schema does not go with older ones, oldest first, in
// a mode; nothing means that it does. Only strict differences count.
func Compatible(mode Mode, older []*Schema, newer *Schema) []Incompatibility {
	transitive := mode == BackwardTransitive || mode == ForwardTransitive || mode == FullTransitive
	backward := slices.Contains([]Mode{Backward, BackwardTransitive, Full, FullTransitive}, mode)
	forward := slices.Contains([]Mode{Forward, ForwardTransitive, Full, FullTransitive}, mode)
	var out []Incompatibility
	for i := len(older) - 1; i >= 0; i-- {
		if backward {
			for _, d := range CanRead(older[i], newer) {
				if d.Strict {
					out = append(out, Incompatibility{d, true, i})
				}
			}
		}
		if forward {
			for _, d := range CanRead(newer, older[i]) {
				if d.Strict {
					out = append(out, Incompatibility{d, false, i})
				}
			}
		}
		if !transitive {
			break
		}
	}
	return out
}
