package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/lint"
	"sluice/internal/control/contract/rule"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Reading contracts and comparing them takes a fraction of a second each, and a
// transitive mode compares with fifty: nobody else could change anything meanwhile, were
// it done in the turn of a change. A turn finds out what has to be compared; it is given
// up for that, and taken anew with what came of it. That is kept by what was compared,
// so that a turn never goes by what has become another one since.

// maxTurns is how often a change gives its turn up. In the last one it compares itself
// what others have exchanged just now.
const maxTurns = 4

// comparison names what was compared: contents by their hashes, as an environment has
// them. One without an older content is what packs of rules say of the newer one.
type comparison struct {
	version, environment string
	mode                 string
	packs                string
	from, to             string
}

// task is what is to be found out about a content that is to be deployed.
type task struct {
	comparison
	next *resource.Version
	old  int               // the revision that it is compared with, 0 for none
	was  *resource.Version // its content; nil for one that the store has
}

// asked returns what came of a task, and notes it when that is not known yet.
func (c *changing) asked(t task) ([]Finding, error) {
	if found, known := c.found[t.comparison]; known {
		return found, nil
	}
	if c.turn < maxTurns {
		c.tasks = append(c.tasks, t)
		return nil, nil
	}
	v := viewing{}
	err := v.do(t, c.w.Revision, c.found)
	return c.found[t.comparison], err
}

// errTasks gives a turn up.
var errTasks = errors.New("to be compared first")

// compare does tasks while others change what they want.
func (p *Plane) compare(ctx context.Context, tasks []task, found map[comparison][]Finding) error {
	select {
	case p.comparing <- struct{}{}: // and while gateways have processors left
	case <-ctx.Done():
		return fmt.Errorf("compare revisions: %w", ctx.Err())
	}
	defer func() { <-p.comparing }()
	v := viewing{}
	for _, t := range tasks {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("compare revisions: %w", err)
		}
		err := v.do(t, func(version string, n int) (r *Revision, err error) {
			err = p.store.Read(ctx, func(s Reader) error {
				r, err = s.Revision(version, n)
				return err
			})
			return r, err
		}, found)
		if err != nil && !isNotFound(err) { // what is gone, the next turn sees
			return err
		}
	}
	return nil
}

// viewing are the contents that are deployed, each read once for all that it is compared
// with: one at a time.
type viewing struct {
	of  comparison
	has viewed
}

// do does a task. Where the revision is another one by now, nothing is found.
func (v *viewing) do(t task, revision func(version string, n int) (*Revision, error), found map[comparison][]Finding) error {
	if t.packs != "" {
		findings, err := linted(t.next, strings.Split(t.packs, " "))
		found[t.comparison] = findings
		return err
	}
	was := t.was
	if was == nil {
		r, err := revision(t.version, t.old)
		if err != nil {
			return fmt.Errorf("read revision %d of Version %s: %w", t.old, t.version, err)
		}
		if r.Hash != t.from {
			return nil
		}
		if was, err = contentOf(r); err != nil {
			return err
		}
	}
	if to := (comparison{version: t.version, environment: t.environment, to: t.to}); v.of != to {
		v.of, v.has = to, view(t.next, t.environment)
	}
	found[t.comparison] = compatible(t.mode, view(was, t.environment), v.has, t.environment)
	return nil
}

// hashes are those of a version's revisions, by their numbers.
func (c *changing) hashes(version string) (map[int]string, error) {
	all, err := c.w.Revisions(version)
	if err != nil {
		return nil, fmt.Errorf("read the revisions of Version %s: %w", version, err)
	}
	out := make(map[int]string, len(all))
	for _, r := range all {
		out[r.N] = r.Hash
	}
	return out, nil
}

// linted returns the errors and warnings of packs.
func linted(next *resource.Version, packs []string) ([]Finding, error) {
	rules, err := lint.New(packs...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s", err)
	}
	var out []Finding
	for _, p := range rules.Run(described(next, contract.Options{})).Problems {
		if p.Severity >= rule.Warning {
			out = append(out, Finding{Rule: p.Rule, Severity: rule.Error, Message: p.Message, Fix: p.Fix, Line: lineOf(next, p.Line)})
		}
	}
	return out, nil
}
