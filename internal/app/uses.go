package app

import (
	"context"
	"log/slog"
	"os"
	"time"

	"sluice/internal/control"
	"sluice/internal/grant/feed"
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

// reported takes down what a gateway of an environment tells of logins and of what it
// refused.
func (m *management) reported(gateway, environment string, r feed.Report) {
	uses := make([]control.Use, len(r.Logins))
	for i, l := range r.Logins {
		uses[i] = control.Use{Credential: l.Credential, Secret: l.Secret, Time: l.Time, Address: l.Address, Software: l.Software}
	}
	for _, u := range m.plane.Believed(gateway, uses) {
		m.logins.Note(usage.Login(u))
	}
	for _, x := range r.Rejections {
		if x.Environment != environment && (x.Environment != "" || x.Application != "") {
			continue // no gateway has anything to say of another environment, or of an application in none
		}
		m.refusals.Note(usage.Refusal{
			ID: x.ID, Time: x.Time, Application: x.Application, Environment: x.Environment, Credential: x.Credential, Gateway: gateway, Address: x.Address,
			API: x.API, Operation: x.Operation, What: x.What, Name: x.Name, Verdict: x.Verdict, Rule: x.Rule,
		})
	}
}

// refusals are what gateways refused, for those who ask why.
type refusals struct{ kept *usage.Refusals }

// Find is control.Refusals'.
func (r refusals) Find(id string) (control.Refusal, bool) {
	found, ok := r.kept.Find(id)
	return refusalOf(found), ok
}

// Of is control.Refusals'.
func (r refusals) Of(application string) []control.Refusal {
	var out []control.Refusal
	for _, x := range r.kept.Of(application) {
		out = append(out, refusalOf(x))
	}
	return out
}

func refusalOf(r usage.Refusal) control.Refusal {
	return control.Refusal{
		Number: r.Number, ID: r.ID, Time: r.Time, Application: r.Application, Environment: r.Environment, Credential: r.Credential, Gateway: r.Gateway, Address: r.Address,
		API: r.API, Operation: r.Operation, What: r.What, Name: r.Name, Verdict: r.Verdict, Rule: r.Rule,
	}
}

// hostName is what the gateway of this process is called.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
