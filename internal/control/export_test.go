package control

import "context"

// Tick lets the clock of a plane look once for what is due by itself.
func Tick(ctx context.Context, p *Plane) {
	k := clock{plane: p}
	k.tick(ctx)
}

// Clock returns what ticks as Tick does, again and again, and says how many documents it
// looked at.
func Clock(p *Plane) func(context.Context) (looked int, err error) {
	k := clock{plane: p}
	return func(ctx context.Context) (int, error) {
		looked, err := k.follow(ctx, p.Model())
		k.tick(ctx)
		return looked, err
	}
}
