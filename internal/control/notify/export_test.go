package notify

import "context"

// Round lets a sender look once for what is due.
func Round(ctx context.Context, s *Sender) (more bool, err error) { return s.round(ctx) }
