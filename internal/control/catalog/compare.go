package catalog

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control"
	"sluice/internal/control/contract"
	"sluice/internal/control/contract/breaking"
	"sluice/internal/control/contract/fields"
	"sluice/internal/control/contract/rule"
	contractschema "sluice/internal/control/contract/schema"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// side is one of two states of a contract.
type side struct {
	looked
	revision int
	model    *contract.Model
}

// side finds a state by its name: a version, as orders.v2 or v2, and perhaps one of its
// revisions, as v2@13.
func (c *Catalog) side(ctx context.Context, actor identity.Actor, api, name, environment string) (out side, err error) {
	name, number, asked := strings.Cut(name, "@")
	if out.looked, err = c.look(ctx, actor, api, name, environment); err != nil {
		return out, err
	}
	if out.stage == nil {
		return out, fault.New(fault.NotFound, "Version %s is offered nowhere", out.version.name)
	}
	key := out.stage.key
	if asked {
		if key.revision, err = strconv.Atoi(number); err != nil {
			return out, fault.New(fault.Invalid, "%q is no revision: write a version and a number, as v2@13", number)
		}
		known, err := c.readable(ctx, out.viewer, out.version, out.stage)
		if err != nil {
			return out, err
		}
		if !slices.ContainsFunc(known, func(r control.Revision) bool { return r.N == key.revision }) {
			return out, fault.New(fault.NotFound, "%q has had no revision %d of Version %s that you may see", out.stage.Environment, key.revision, out.version.name)
		}
	}
	out.revision = key.revision
	out.model, err = c.model(ctx, key, out.version.record)
	return out, err
}

// readable are the revisions that an environment has had of a version, as far as the
// viewer may see them, the oldest first: those who do not own it see what was there since
// it is no draft any more.
func (c *Catalog) readable(ctx context.Context, v *viewer, of *version, s *stage) ([]control.Revision, error) {
	all, err := c.plane.History(ctx, of.record)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r control.Revision) bool { return !slices.Contains(s.Had, r.N) })
	if v.owns(of.object) {
		return all, nil
	}
	for _, step := range of.record.Status.Trail {
		if lifecycle.State(step.To) == lifecycle.Draft {
			continue
		}
		first := 0 // the last one made before it was shown
		for i, r := range all {
			if r.Created.Before(step.Time) {
				first = i
			}
		}
		return all[first:], nil
	}
	return all[max(0, len(all)-1):], nil // how it came to be shown is forgotten
}

// Compare says what differs between two states of an API's contract, for those who read
// and write its topics.
func (c *Catalog) Compare(ctx context.Context, actor identity.Actor, api, from, to, environment string) (*schema.VersionComparison, error) {
	a, err := c.side(ctx, actor, api, from, environment)
	if err != nil {
		return nil, err
	}
	b, err := c.side(ctx, actor, api, to, environment)
	if err != nil {
		return nil, err
	}
	out := &schema.VersionComparison{Findings: []schema.ReaderFinding{}, Channels: compareChannels(a.model, b.model)}
	out.From = schema.ComparedVersion{Version: a.version.name, Revision: a.revision, Environment: a.stage.Environment}
	out.To = schema.ComparedVersion{Version: b.version.name, Revision: b.revision, Environment: b.stage.Environment}
	for _, change := range noticed(a.model, b.model) {
		out.Findings = append(out.Findings, schema.ReaderFinding{Rule: change.Rule, Breaking: change.Severity == rule.Error, Channel: change.Channel, Who: parties(change), Message: change.Message, Fix: change.Fix})
		out.Breaks = out.Breaks || change.Severity == rule.Error
	}
	return out, nil
}

// noticed is what clients notice, breaks first.
func noticed(from, to *contract.Model) []breaking.Change {
	all := breaking.Compare(from, to)
	slices.SortStableFunc(all, func(a, b breaking.Change) int { return cmp.Compare(b.Severity, a.Severity) })
	return all
}

func parties(c breaking.Change) []string {
	out := []string{}
	for _, p := range c.Who {
		out = append(out, string(p))
	}
	return out
}

const (
	added   = "added"
	removed = "removed"
	changed = "changed"
	same    = "same"
)

func compareChannels(from, to *contract.Model) []schema.ComparedTopics {
	out := []schema.ComparedTopics{}
	met := map[*contract.Channel]bool{}
	for _, old := range from.Channels {
		now := to.Channel(old.Name)
		if now == nil { // clients know topics, not channels
			if i := slices.IndexFunc(to.Channels, func(c *contract.Channel) bool {
				return c.Address == old.Address && old.Address != "" && from.Channel(c.Name) == nil
			}); i >= 0 {
				now = to.Channels[i]
			}
		}
		if now == nil {
			out = append(out, schema.ComparedTopics{Channel: old.Name, Change: removed, From: old.Address})
			continue
		}
		met[now] = true
		out = append(out, compareChannel(old, now))
	}
	for _, now := range to.Channels {
		if !met[now] {
			out = append(out, schema.ComparedTopics{Channel: now.Name, Change: added, To: now.Address})
		}
	}
	return out
}

func compareChannel(old, now *contract.Channel) schema.ComparedTopics {
	out := schema.ComparedTopics{Channel: now.Name, Change: same, From: old.Address, To: now.Address}
	if old.Address != now.Address {
		out.Change = changed
	}
	for _, was := range old.Messages {
		body := schema.ComparedMessage{Message: was.Name, Change: removed, Fields: []schema.FieldChange{}}
		if is := now.Message(was.Name); is != nil {
			body.Fields = append(body.Fields, compareFields("key", was.Key, is.Key)...)
			body.Fields = append(body.Fields, compareFields("value", was.Payload, is.Payload)...)
			body.Fields = append(body.Fields, compareFields("headers", was.Headers, is.Headers)...)
			body.Change = changed
			if len(body.Fields) == 0 {
				continue
			}
		}
		out.Messages, out.Change = append(out.Messages, body), changed
	}
	for _, is := range now.Messages {
		if old.Message(is.Name) == nil {
			out.Messages, out.Change = append(out.Messages, schema.ComparedMessage{Message: is.Name, Change: added, Fields: []schema.FieldChange{}}), changed
		}
	}
	return out
}

// maxFieldChanges bounds what is told of one part of a message.
const maxFieldChanges = 500

// compareFields compares two trees in the order of both. What is below a field that has
// come or gone is not told.
func compareFields(part string, from, to *contractschema.Schema) (out []schema.FieldChange) {
	was, wasAt := flat(from)
	is, isAt := flat(to)
	tell := func(path, change string, before, after *fields.Field) {
		if above := parentOf(path, was, wasAt, is, isAt); above && change != changed || len(out) == maxFieldChanges {
			return
		}
		out = append(out, schema.FieldChange{Part: part, Path: path, Change: change, Before: sideOf(before), After: sideOf(after)})
	}
	i, j := 0, 0
	for i < len(was) || j < len(is) {
		switch {
		case i < len(was) && isAt[was[i].Path] == nil:
			tell(was[i].Path, removed, was[i], nil)
			i++
		case j < len(is) && wasAt[is[j].Path] == nil:
			tell(is[j].Path, added, nil, is[j])
			j++
		case i < len(was) && j < len(is):
			if before := wasAt[is[j].Path]; differ(before, is[j]) {
				tell(is[j].Path, changed, before, is[j])
			}
			i, j = i+1, j+1
		default: // the rest has been met
			i, j = len(was), len(is)
		}
	}
	return out
}

// parentOf says whether what is above a path is in one of two trees only.
func parentOf(path string, was []*fields.Field, wasAt map[string]*fields.Field, is []*fields.Field, isAt map[string]*fields.Field) bool {
	for i := len(path) - 1; i > 0; i-- {
		if c := path[i]; c != '.' && c != '|' && c != '[' && c != '{' {
			continue
		}
		if above := path[:i]; (wasAt[above] == nil) != (isAt[above] == nil) {
			return true
		}
	}
	return false
}

// flat lists the fields of a schema, the whole first where it says something by itself.
func flat(s *contractschema.Schema) (all []*fields.Field, at map[string]*fields.Field) {
	at = map[string]*fields.Field{}
	t := fields.Of(s)
	if t == nil {
		return nil, at
	}
	add := func(f *fields.Field) bool {
		if at[f.Path] == nil {
			at[f.Path] = f
			all = append(all, f)
		}
		return true
	}
	add(&t.Root)
	t.All(add)
	return all, at
}

func differ(a, b *fields.Field) bool {
	return a.Type != b.Type || a.Required != b.Required || a.Deprecated != b.Deprecated || !slices.Equal(a.About, b.About)
}

func sideOf(f *fields.Field) *schema.FieldSide {
	if f == nil {
		return nil
	}
	return &schema.FieldSide{Type: f.Type, About: f.About, Required: f.Required, Deprecated: f.Deprecated}
}
