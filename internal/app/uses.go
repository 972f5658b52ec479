package app

import (
	"context"
	"log/slog"
	"os"
	"time"

	"sluice/internal/control"
	"sluice/internal/usage"
)

// usesEvery is how often the control plane is told which credentials were used.
const usesEvery = 2 * time.Second

// tellUses writes down logins as they are taken down, until ctx ends, and once more
// then. What cannot be written is tried again.
func tellUses(ctx context.Context, logins *usage.Logins, plane *control.Plane, now func() time.Time, log *slog.Logger) {
	failing := false
	tell := func(ctx context.Context) {
		taken := logins.Take(now(), 0)
		if len(taken) == 0 {
			return
		}
		uses := make([]control.Use, len(taken))
		for i, l := range taken {
			uses[i] = control.Use(l)
		}
		err := plane.Used(ctx, uses)
		switch {
		case err != nil:
			for _, l := range taken {
				logins.Note(l)
			}
			if !failing {
				failing = true
				log.Error("the last use of credentials cannot be written down, and is tried again", "err", err)
			}
		case failing:
			failing = false
			log.Info("the last use of credentials can be written down again")
		}
	}
	ticker := time.NewTicker(usesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			tell(last)
			return
		case <-ticker.C:
			tell(ctx)
		}
	}
}

// refused finds what the gateway of this process refused.
func (m *management) refused(id string) (control.Refusal, bool) {
	r, ok := m.refusals.Find(id)
	return control.Refusal{
		ID: r.ID, Time: r.Time, Application: r.Application, Environment: r.Environment, Credential: r.Credential, Gateway: r.Gateway, Address: r.Address,
		API: r.API, Operation: r.Operation, What: r.What, Name: r.Name, Verdict: r.Verdict, Rule: r.Rule,
	}, ok
}

// hostName is what the gateway of this process is called.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
