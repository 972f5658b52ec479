package control

import (
	"context"
	"fmt"
	"slices"
)

// Used writes down logins with credentials that gateways tell of. It is no change of
// a document, and nobody's act. What is told again changes nothing.
func (p *Plane) Used(ctx context.Context, uses []Use) error {
	const turn = 500 // changes do not wait long
	for page := range slices.Chunk(uses, turn) {
		err := p.store.Write(ctx, func(w Writer) error {
			for _, u := range page {
				if err := w.PutUse(u); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write down logins: %w", err)
		}
	}
	return nil
}
