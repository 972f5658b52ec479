package control

import (
	"context"
	"fmt"
	"io"

	"sluice/internal/control/identity"
)

// Backup writes everything that the store has, as it is at one moment, to be restored
// from. It is as secret as the store, and for platform-admins. Nobody has to stop.
func (p *Plane) Backup(ctx context.Context, q Request, out io.Writer) error {
	if err := identity.Authorise(q.Actor, identity.AdministerPlatform, identity.Object{}); err != nil {
		return err
	}
	if err := p.store.Write(ctx, func(w Writer) error {
		_, err := w.AppendAudit(q.row(p.now(), "back up"))
		return err
	}); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := p.store.Export(ctx, out); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}
