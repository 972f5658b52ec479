package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

type appTopic struct{ application, topic string }

// standings are those of all topics of a snapshot at a moment. Where an
// application's credentials differ, the one that may most counts.
func standings(s *grant.Snapshot, now time.Time) map[appTopic]standing {
	out := map[appTopic]standing{}
	for g := range s.Grants() {
		for _, t := range g.Topics {
			key := appTopic{g.Application, t.Exposed}
			next := standingOf(t, now)
			if before, known := out[key]; !known || len(next.rights) > len(before.rights) {
				out[key] = next
			}
		}
	}
	return out
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

// changes are the lines that tell two standings apart, in order.
func changes(old, next map[appTopic]standing) []string {
	keys := maps.Clone(old)
	maps.Copy(keys, next)
	var lines []string
	for key := range keys {
		before, after := old[key], next[key]
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
		lines = append(lines, fmt.Sprintf("application %s: %s %s", key.application, key.topic, what))
	}
	slices.Sort(lines)
	return bounded(lines)
}

func bounded(lines []string) []string {
	if more := len(lines) - maxReported; more > 0 {
		return append(slices.Clone(lines[:maxReported]), fmt.Sprintf("and %d more", more))
	}
	return lines
}

// summary says what is in force.
func summary(number grant.Number, all map[appTopic]standing) string {
	topics, applications := 0, map[string]bool{}
	for key, s := range all {
		if s.rights != "" {
			topics++
			applications[key.application] = true
		}
	}
	return fmt.Sprintf("resources in force: %s for %s (snapshot %v)", counted(topics, "topic"), counted(len(applications), "application"), number)
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
	all := standings(s, a.opts.Now())
	r := Reload{Summary: summary(s.Number(), all), Changes: changes(a.standings, all)}
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
