package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/grant"
)

// Reload is what became of changed resources, in words for a person.
type Reload struct {
	// Summary is one line.
	Summary string
	// Changes are one line for each topic that an application gained or lost.
	Changes []string
	// Problems are why the resources were refused; none when they are in force.
	Problems []string
}

// Bounds of what a reload says; what is left out is counted.
const (
	maxReported   = 100
	topicPatience = 5 * time.Second
)

// standing is how a topic stands for an application at a moment.
type standing struct {
	rights string // "" while it can neither be read nor written
	rule   string
}

// standings are those of all topics of a snapshot at a moment, by application.
type standings struct {
	at   time.Time
	apps map[string]*appStandings
}

type appStandings struct {
	grants []*grant.Grant
	topics map[string]standing // by exposed name
	open   int                 // those that can be read or written
}

// standingsOf makes those of a snapshot. Applications whose grants are as they were, and
// say the same now as then, stand as they did; old may be nil.
func standingsOf(s *grant.Snapshot, now time.Time, old *standings) *standings {
	grants := map[string][]*grant.Grant{}
	for g := range s.Grants() {
		grants[g.Application] = append(grants[g.Application], g)
	}
	next := &standings{at: now, apps: make(map[string]*appStandings, len(grants))}
	for name, of := range grants {
		if old != nil && old.apps[name].holds(of, old.at, now) {
			next.apps[name] = old.apps[name]
			continue
		}
		next.apps[name] = appStandingsOf(of, now)
	}
	return next
}

// holds says whether it is what these grants come to now. It may be nil.
func (a *appStandings) holds(grants []*grant.Grant, at, now time.Time) bool {
	if a == nil || len(a.grants) != len(grants) || now.Before(at) {
		return false
	}
	for _, g := range grants {
		if change := g.NextChange(at); !slices.Contains(a.grants, g) || !change.IsZero() && !now.Before(change) {
			return false
		}
	}
	return true
}

// appStandingsOf makes those of one application. Where its credentials differ, the one
// that may most counts.
func appStandingsOf(grants []*grant.Grant, now time.Time) *appStandings {
	a := &appStandings{grants: grants, topics: map[string]standing{}}
	for _, g := range grants {
		for _, t := range g.Topics {
			next := standingOf(t, now)
			if before, known := a.topics[t.Exposed]; !known || len(next.rights) > len(before.rights) {
				a.topics[t.Exposed] = next
			}
		}
	}
	for _, s := range a.topics {
		if s.rights != "" {
			a.open++
		}
	}
	return a
}

func standingOf(t *grant.Topic, now time.Time) standing {
	phase := t.At(now)
	switch phase.State {
	case grant.Open, grant.BrownOut:
	case grant.Refused:
		return standing{}
	default:
		return standing{rule: fmt.Sprintf("%v: %s", phase.State, phase.Rule)}
	}
	var rights []string
	for _, r := range []struct {
		has  bool
		what string
	}{{t.Read.Access == grant.Granted, "read"}, {t.Write.Access == grant.Granted, "write"}, {t.DeleteRecords, "delete records"}, {t.AlterConfigs, "alter configs"}} {
		if r.has {
			rights = append(rights, r.what)
		}
	}
	if n := len(rights); n > 1 {
		rights = []string{strings.Join(rights[:n-1], ", ") + " and " + rights[n-1]}
	}
	if len(rights) > 0 {
		return standing{rights: rights[0]}
	}
	rule := t.Read.Rule
	if rule == "" {
		rule = t.Write.Rule
	}
	return standing{rule: "withdrawn: " + rule}
}

// changes are the lines that tell standings apart from older ones, in order.
func (s *standings) changes(old *standings) []string {
	var lines []string
	none := &appStandings{}
	for name, app := range s.apps {
		if before := old.apps[name]; before == nil {
			lines = append(lines, app.changes(name, none)...)
		} else if before != app {
			lines = append(lines, app.changes(name, before)...)
		}
	}
	for name, before := range old.apps {
		if s.apps[name] == nil {
			lines = append(lines, none.changes(name, before)...)
		}
	}
	slices.Sort(lines)
	return bounded(lines)
}

func (a *appStandings) changes(application string, old *appStandings) (lines []string) {
	topics := map[string]bool{}
	for topic := range old.topics {
		topics[topic] = true
	}
	for topic := range a.topics {
		topics[topic] = true
	}
	for topic := range topics {
		before, after := old.topics[topic], a.topics[topic]
		what := ""
		switch {
		case before.rights == after.rights:
			continue
		case before.rights == "":
			what = "gained: " + after.rights
		case after.rights != "":
			what = before.rights + " before, now " + after.rights
		case after.rule != "":
			what = after.rule
		default:
			what = "gone"
		}
		lines = append(lines, fmt.Sprintf("application %s: %s %s", application, topic, what))
	}
	return lines
}

func bounded(lines []string) []string {
	if more := len(lines) - maxReported; more > 0 {
		return append(slices.Clone(lines[:maxReported]), fmt.Sprintf("and %d more", more))
	}
	return lines
}

// summary says what is in force.
func (s *standings) summary(number grant.Number) string {
	topics, applications := 0, 0
	for _, app := range s.apps {
		if app.open > 0 {
			topics += app.open
			applications++
		}
	}
	return fmt.Sprintf("resources in force: %s for %s (snapshot %v)", counted(topics, "topic"), counted(applications, "application"), number)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// inForce tells of a snapshot that is in force from now on, or of what time has
// changed in one that was.
func (a *App) inForce(s *grant.Snapshot, swapped bool) {
	all := standingsOf(s, a.opts.Now(), a.standings)
	r := Reload{Summary: all.summary(s.Number()), Changes: all.changes(a.standings)}
	a.standings = all
	if !swapped && len(r.Changes) == 0 {
		return
	}
	a.log.Info(r.Summary)
	for _, line := range r.Changes {
		a.log.Info(line)
	}
	if a.opts.Report != nil {
		a.opts.Report(r)
	}
}

// refused tells why changed resources are not in force. The problems go to
// whoever is to read them, one per line, or else into the log.
func (a *App) refused(err error) {
	const message = "resources refused, the old ones stay in force"
	problems := []string{err.Error()}
	var bad *ProblemsError
	if errors.As(err, &bad) {
		problems = bad.Problems
	}
	a.log.Error(message, "problems", len(problems))
	problems = bounded(problems)
	if a.opts.Report != nil {
		a.opts.Report(Reload{Summary: message, Problems: problems})
		return
	}
	for _, p := range problems {
		a.log.Error("resources", "problem", p)
	}
}

// checkTopics warns of granted topics that their target cluster does not have,
// once that can be used.
func (a *App) checkTopics(ctx context.Context, s *grant.Snapshot) {
	type place struct{ cluster, backing string }
	asked, warned := map[place]bool{}, map[string]bool{}
	now := a.opts.Now()
	for g := range s.Grants() {
		cluster := a.clusters.Cluster(g.Cluster)
		if cluster == nil {
			continue
		}
		select {
		case <-cluster.Ready():
		case <-ctx.Done():
			return
		}
		for _, t := range g.Topics {
			if standingOf(t, now).rights == "" {
				continue
			}
			at := place{g.Cluster, t.Backing}
			missing, known := asked[at]
			if !known {
				patience, cancel := context.WithTimeout(ctx, topicPatience)
				_, there, err := cluster.TopicID(patience, t.Backing)
				cancel()
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					a.log.Debug("backing topics are not looked at further", "err", err)
					return
				}
				missing = !there
				asked[at] = missing
			}
			if key := g.Application + " " + t.Exposed; missing && !warned[key] && len(warned) < maxReported {
				warned[key] = true
				a.log.Warn("backing topic does not exist, or the gateway's login may not see it", "application", g.Application, "topic", t.Exposed, "backing", t.Backing, "cluster", g.Cluster)
			}
		}
	}
}
