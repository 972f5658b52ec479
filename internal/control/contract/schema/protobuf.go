package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/reporter"

	"sluice/internal/control/contract/tree"
)

const (
	maxBraces      = 32              // nested messages of Protobuf
	protobufTime   = 5 * time.Second // to compile one file; a bound for what we did not foresee
	maxProtobufAll = 4 << 20         // bytes of a file with its imports
)

// protobuf compiles a Protobuf file; it may import what the registry gave with it,
// and Google's well-known types.
func (s *Schema) protobuf() (linker.File, *Finding) {
	return s.compiled(protocompile.SourceInfoNone)
}

// compiled is protobuf, with as much of places and comments as the mode says.
func (s *Schema) compiled(mode protocompile.SourceInfoMode) (file linker.File, found *Finding) {
	defer func() {
		if r := recover(); r != nil {
			file, found = nil, &Finding{Node: s.Root, Message: "is not Protobuf: " + clip(fmt.Sprint(r)), Fix: "correct the schema"}
		}
	}()
	if !s.Root.Is(tree.String) {
		if hasRef(s.Root) {
			return nil, &Finding{Node: s.Root, Message: "refers to what is not read", Limit: true}
		}
		return nil, &Finding{Node: s.Root, Message: "a Protobuf schema must be text, not " + s.Root.Kind.String(), Fix: "write the .proto file as a text block: schema: |"}
	}
	const name = "schema.proto"
	files := map[string]string{name: s.Root.Text}
	total := len(s.Root.Text)
	for _, i := range flatten(s.imports, 0) {
		if _, known := files[i.Name]; !known {
			total += len(i.Text)
		}
		files[i.Name] = i.Text
	}
	for _, text := range files {
		if len(text) > MaxTextBytes || total > maxProtobufAll {
			return nil, limit(s.Root, "the Protobuf schema has more than %d bytes", MaxTextBytes)
		}
		if braces(text) > maxBraces {
			return nil, limit(s.Root, "the Protobuf schema is nested deeper than %d levels", maxBraces)
		}
	}
	var first reporter.ErrorWithPos
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)}),
		MaxParallelism: 1,
		SourceInfoMode: mode,
		Reporter: reporter.NewReporter(func(err reporter.ErrorWithPos) error {
			if first == nil {
				first = err
			}
			return err
		}, nil),
	}
	ctx, cancel := context.WithTimeout(context.Background(), protobufTime)
	defer cancel()
	compiled, err := compiler.Compile(ctx, name)
	if err != nil {
		message, line := err.Error(), ""
		var at reporter.ErrorWithPos
		if errors.As(err, &at) {
			first = at
		}
		if first != nil {
			message, line = first.Unwrap().Error(), fmt.Sprintf("in line %d of it, ", first.GetPosition().Line)
		}
		return nil, &Finding{Node: s.Root, Message: "is not Protobuf: " + line + clip(message), Fix: "correct the schema"}
	}
	return compiled[0], nil
}

// braces returns how deep brackets are nested; those in texts count too, which is
// close enough for a bound.
func braces(text string) int {
	deepest, open := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{', '[', '(', '<':
			if open++; open > deepest {
				deepest = open
			}
		case '}', ']', ')', '>':
			open = max(open-1, 0)
		}
	}
	return deepest
}
