package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// happened is one thing that happened to a version.
type happened struct {
	time     time.Time
	of       *version
	stage    *stage // of a revision
	state    lifecycle.State
	revision int
	before   int // the revision that it followed
}

// id tells it from others of the API, also later.
func (h happened) id() string {
	return h.of.name + "." + strconv.Itoa(h.revision) + "." + string(h.state) + "." + strconv.FormatInt(h.time.UnixNano(), 36)
}

// maxLines bounds what is told of one revision.
const maxLines = 20

// Changelog returns what happened to an API, the newest first: the states of its versions,
// and what revisions changed. Those who do not own it read what happened since it is no
// draft any more. Name is a version's, "" for all.
func (c *Catalog) Changelog(ctx context.Context, actor identity.Actor, api, name, environment, after string, limit int) (*schema.Changelog, error) {
	v := c.at(ctx).viewer(actor)
	e, err := v.find(api)
	if err != nil {
		return nil, err
	}
	versions := v.versions(e)
	if name != "" {
		one, err := v.choose(e, name)
		if err != nil {
			return nil, err
		}
		versions = []*version{one}
	}
	var all []happened
	for _, of := range versions {
		some, err := c.happened(ctx, v, of, environment)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b happened) int {
		return cmp.Or(b.time.Compare(a.time), b.of.major-a.of.major, b.revision-a.revision)
	})
	first := 0
	if after != "" {
		if first = slices.IndexFunc(all, func(h happened) bool { return h.id() == after }) + 1; first == 0 {
			return nil, fault.New(fault.Invalid, "after is %q, which nothing is any more: begin anew", after)
		}
	}
	out := &schema.Changelog{Items: []schema.ChangelogEntry{}}
	last := min(first+limit, len(all))
	for _, h := range all[first:last] {
		entry, err := c.told(ctx, h)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, entry)
	}
	if last < len(all) {
		out.Next = all[last-1].id()
	}
	return out, nil
}

// happened lists what happened to a version.
func (c *Catalog) happened(ctx context.Context, v *viewer, of *version, environment string) (out []happened, err error) {
	owns := v.owns(of.object)
	for _, step := range of.record.Status.Trail {
		if state := lifecycle.State(step.To); step.From != step.To && (owns || state != lifecycle.Draft) {
			out = append(out, happened{time: step.Time, of: of, state: state})
		}
	}
	s := v.stage(of, environment)
	if s == nil {
		return out, nil
	}
	revisions, err := c.readable(ctx, v, of, s)
	if err != nil {
		return nil, err
	}
	for i, r := range revisions {
		h := happened{time: r.Created, of: of, stage: s, revision: r.N}
		if r.N == s.Revision {
			h.time = s.Time
		}
		if i > 0 {
			h.before = revisions[i-1].N
			out = append(out, h)
		}
	}
	return out, nil
}

// told puts what happened into words.
func (c *Catalog) told(ctx context.Context, h happened) (schema.ChangelogEntry, error) {
	out := schema.ChangelogEntry{Time: h.time.UTC(), Version: h.of.name, Kind: "state", State: string(h.state)}
	if h.stage == nil {
		return out, nil
	}
	out.Kind, out.Revision, out.Environment = "revision", h.revision, h.stage.Environment
	var models [2]*contract.Model
	for i, n := range []int{h.before, h.revision} {
		key := h.stage.key
		key.revision = n
		var err error
		if models[i], err = c.model(ctx, key, h.of.record); err != nil {
			return out, err
		}
	}
	lines := differences(models[0], models[1])
	out.Breaks = slices.ContainsFunc(lines, func(l schema.ChangelogLine) bool { return l.Kind == "breaking" })
	if out.More = max(0, len(lines)-maxLines); out.More > 0 {
		lines = lines[:maxLines]
	}
	out.Lines = lines
	return out, nil
}

// differences says what differs between two contracts: what clients notice, and what is
// new.
func differences(from, to *contract.Model) (out []schema.ChangelogLine) {
	for _, change := range noticed(from, to) {
		kind := changed
		switch change.Severity {
		case rule.Error:
			kind = "breaking"
		case rule.Warning:
			kind = "notice"
		}
		out = append(out, schema.ChangelogLine{Kind: kind, Text: change.Message})
	}
	for _, ch := range compareChannels(from, to) {
		if ch.Change == added {
			out = append(out, schema.ChangelogLine{Kind: added, Text: fmt.Sprintf("topic %s is new", cmp.Or(ch.To, ch.Channel))})
		}
		for _, m := range ch.Messages {
			for _, f := range m.Fields {
				if f.Change == added && f.Path != "" {
					out = append(out, schema.ChangelogLine{Kind: added, Text: fmt.Sprintf("message %s has the field %s%s: %s", m.Message, f.Path, map[string]string{"key": " in its key", "headers": " in its headers"}[f.Part], strings.Join(append([]string{f.After.Type}, f.After.About...), ", "))})
				}
			}
		}
	}
	return out
}
