package control

import (
	"context"

	"sluice/internal/control/identity"
)

// People returns the part of a store that keeps people.
func People(s Store) identity.Store { return people{s} }

type people struct{ store Store }

func (p people) Read(ctx context.Context, f func(identity.Reader) error) error {
	return p.store.Read(ctx, func(r Reader) error { return f(r) })
}

func (p people) Write(ctx context.Context, f func(identity.Writer) error) error {
	return p.store.Write(ctx, func(w Writer) error { return f(w) })
}
