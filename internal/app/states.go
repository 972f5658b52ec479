package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"sluice/internal/config"
	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/grant/feed"
	"sluice/internal/resource"
)

// What the documents of a control plane come to goes to the gateway as a feed.State,
// whether that is in this process or in another one. Here are both ends: making a state,
// and resolving what stands in it by reference.

// compiled makes the state of what the control plane has now.
func (r *resources) compiled() (feed.State, error) {
	m := r.plane.Model()
	r.seq = m.Seq()
	result, problems, err := r.compile(m.Set(), m.Verifiers)
	if err != nil {
		r.later()
		return feed.State{}, err
	}
	r.warned(problems)
	return feed.State{Grants: result.Snapshot, Common: *r.common}, nil
}

// joined works out what grants have in common. When that alone has changed, the snapshot
// gets a number of its own, since it is the state's.
func (r *resources) joined(set *resource.Set, result *loaded) error {
	common := &feed.Common{Phantom: r.state.derive("phantom")}
	var err error
	if common.TokenKeys, err = r.tokens.KeySet(); err != nil {
		return err
	}
	for _, d := range set.Clusters {
		if d.Metadata.Environment != r.environment {
			continue
		}
		seen := *d
		seen.Spec.Publish = nil // the business of the control plane
		content, err := resource.Marshal(&seen)
		if err != nil {
			return fmt.Errorf("write Cluster %s for gateways: %w", d.Name(), err)
		}
		common.Clusters = append(common.Clusters, feed.Document{Name: d.Name(), Content: content})
	}
	if r.common != nil && result.Snapshot == r.state.snapshot && !reflect.DeepEqual(r.common, common) {
		next, err := renumbered(result.Snapshot, result.Snapshot.Number().N+1)
		if err != nil {
			return err
		}
		result.Snapshot = next
	}
	if r.reserve != nil {
		if err := r.reserve.hold(result.Snapshot.Number()); err != nil {
			return fmt.Errorf("what the documents come to is not given to gateways: %w", err)
		}
	}
	r.common = common
	return nil
}

// renumbered returns a snapshot that says the same at a later number of its generation.
func renumbered(s *grant.Snapshot, n uint64) (*grant.Snapshot, error) {
	return s.Apply(grant.Delta{From: s.Number(), To: grant.Number{Generation: s.Number().Generation, N: n}})
}

// resolved are the target clusters of states, with the secrets that are read here.
type resolved struct {
	log   *slog.Logger
	last  feed.State
	known map[string]publish.Cluster // those that could be used, by name
	said  []string                   // what is wrong, as the log has it
}

func newResolved(log *slog.Logger) *resolved {
	return &resolved{log: log, known: map[string]publish.Cluster{}}
}

// take resolves the clusters of a state. One that cannot be used stays as it was, if it
// could be before, and keeps nothing else waiting.
func (r *resolved) take(s feed.State) (*loaded, error) {
	next := map[string]publish.Cluster{}
	var said []string
	for _, document := range s.Common.Clusters {
		d, err := resource.Unmarshal(document.Content)
		if err != nil {
			return nil, fmt.Errorf("Cluster %s: %w", document.Name, err)
		}
		cluster, ok := d.(*resource.Cluster)
		if !ok {
			return nil, fmt.Errorf("Cluster %s: it is a document of kind %s", document.Name, d.Key().Kind)
		}
		clusters, problems := publish.Clusters([]*resource.Cluster{cluster}, s.Grants.Environment(), config.ReadSecret)
		if !resource.Bad(problems) {
			for _, c := range clusters {
				next[c.Name] = c
			}
			continue
		}
		for _, p := range problems {
			said = append(said, p.String())
		}
		if before, known := r.known[document.Name]; known {
			next[document.Name] = before
		}
	}
	if !slices.Equal(said, r.said) {
		for _, text := range said {
			r.log.Warn("a target cluster cannot be used as it is now", "problem", text)
		}
	}
	r.last, r.known, r.said = s, next, said
	out := &loaded{Snapshot: s.Grants}
	for _, document := range s.Common.Clusters {
		if c, ok := next[document.Name]; ok {
			out.Clusters = append(out.Clusters, c)
		}
	}
	return out, nil
}

// reserve sees to it that a number is given to gateways once only, whatever is lost of the
// data directory between writing there and telling them. Numbers are set aside before they
// are used, some at a time; a start goes on behind those that were.
type reserve struct {
	name  string
	upTo  grant.Number
	began bool
}

// reserveBy is how many numbers are set aside at a time.
const reserveBy = 1000

const reserveFile = "numbers.json"

// begin lets a state go on behind the numbers that were set aside before.
func (v *reserve) begin(s *state, environment string) error {
	if v.began {
		return nil
	}
	text, err := os.ReadFile(v.name)
	if errors.Is(err, fs.ErrNotExist) {
		v.began = true
		return nil
	} else if err != nil {
		return fmt.Errorf("read which numbers have been used: %w", err)
	}
	var used grant.Number
	if err := json.Unmarshal(text, &used); err != nil {
		return fmt.Errorf("%s is damaged: %w: sluice backup and sluice restore let numbers begin anew", v.name, err)
	}
	behind := grant.Number{Generation: used.Generation, N: used.N + 1} // gateways may have had any up to used, with something else
	switch before := s.snapshot; {
	case before == nil:
		if s.snapshot, err = grant.New(environment, behind, nil); err != nil {
			return err
		}
	case before.Number().Generation == used.Generation && before.Number().N <= used.N:
		if s.snapshot, err = renumbered(before, behind.N); err != nil {
			return err
		}
	}
	v.began = true
	return nil
}

// hold sets numbers aside, the given one among them.
func (v *reserve) hold(n grant.Number) error {
	if n.Generation == v.upTo.Generation && n.N <= v.upTo.N {
		return nil
	}
	next := grant.Number{Generation: n.Generation, N: n.N + reserveBy}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(v.name), 0o700); err != nil {
		return err
	}
	if err := writeFile(v.name, append(text, '\n')); err != nil {
		return fmt.Errorf("set numbers aside: %w", err)
	}
	v.upTo = next
	return nil
}
