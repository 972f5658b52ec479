package control

import "context"

// Tick lets the clock of a plane look once for what is due by itself.
func Tick(ctx context.Context, p *Plane) {
	k := clock{plane: p}
	k.tick(ctx)
}
