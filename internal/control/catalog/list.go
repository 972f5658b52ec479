package catalog

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// Query asks for a part of the list.
type Query struct {
	// Words are searched for; "" for everything.
	Words string
	// Values of facets; several of one are alternatives.
	Can, Domain, State, Format, Team, Tag, Environment []string
	// Sort is name, newest, subscribed or best; "" means best with words, else name.
	Sort string
	// After is what Next said of the page before.
	After string
	Limit int
}

// facets are what the list is filtered by, in the order in which they are shown.
var facets = []struct {
	name   string
	chosen func(*Query) []string
	of     func(*line) []string
}{
	{"can", func(q *Query) []string { return q.Can }, func(l *line) (out []string) {
		if l.read {
			out = append(out, "read")
		}
		if l.write {
			out = append(out, "write")
		}
		return out
	}},
	{"domain", func(q *Query) []string { return q.Domain }, func(l *line) []string { return one(domainOf(l.entry)) }},
	{"state", func(q *Query) []string { return q.State }, func(l *line) []string { return one(string(l.version.state)) }},
	{"format", func(q *Query) []string { return q.Format }, func(l *line) []string { return l.formats }},
	{"team", func(q *Query) []string { return q.Team }, func(l *line) []string { return one(l.entry.api.Team) }},
	{"tag", func(q *Query) []string { return q.Tag }, func(l *line) []string { return l.entry.spec.Tags }},
	{"environment", func(q *Query) []string { return q.Environment }, func(l *line) []string { return l.environments }},
}

func one(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

func domainOf(e *entry) string { return e.api.Document.Meta().Labels["domain"] }

// line is a version that the viewer may see, with what lists need of it.
type line struct {
	entry        *entry
	version      *version
	stages       []*stage // that the query is about
	environments []string
	formats      []string
	read, write  bool
	topics       []string
	score        int // of the search
	popularity   int
}

// List returns a part of the list of versions that somebody may see, and what there is to
// filter it by.
func (c *Catalog) List(ctx context.Context, actor identity.Actor, q Query) (*schema.Catalog, error) {
	v := c.at(ctx).viewer(actor)
	all, err := v.lines(&q)
	if err != nil {
		return nil, err
	}
	out := &schema.Catalog{Items: []schema.CatalogCard{}, Facets: v.facets(all, &q)}
	var found []*line
	apis, topics := map[string]bool{}, map[string]bool{}
	for _, l := range all {
		if l.passes(&q, "") {
			found = append(found, l)
			apis[l.entry.name()] = true
			for _, topic := range l.topics {
				topics[l.entry.name()+"\x00"+topic] = true
			}
		}
	}
	out.Versions, out.APIs, out.Topics = len(found), len(apis), len(topics)
	if err := v.sort(found, &q); err != nil {
		return nil, err
	}
	first, err := behind(found, q.After)
	if err != nil {
		return nil, err
	}
	mine := v.subscribedProducts()
	limit := q.Limit
	for i := first; i < len(found) && i < first+limit; i++ {
		out.Items = append(out.Items, c.card(v, found[i], mine))
	}
	if len(out.Items) > 0 {
		out.First = first + 1
	}
	if last := first + limit; last < len(found) {
		out.Next = cursor(found, last)
	}
	if before := first - limit; before > 0 {
		out.Previous = cursor(found, before)
	}
	return out, nil
}

// cursor says which page begins at a place behind the first.
func cursor(found []*line, first int) string {
	return strconv.Itoa(first) + "." + found[first-1].version.name
}

// behind finds where a page begins: behind the version that the one before ended with,
// wherever that is now.
func behind(found []*line, after string) (int, error) {
	if after == "" {
		return 0, nil
	}
	number, name, ok := strings.Cut(after, ".")
	first, err := strconv.Atoi(number)
	if !ok || err != nil || first < 0 {
		return 0, fault.New(fault.Invalid, "after is %q: write what next said of the page before", after)
	}
	if i := slices.IndexFunc(found, func(l *line) bool { return l.version.name == name }); i >= 0 {
		return i + 1, nil
	}
	return min(first, len(found)), nil // it has gone meanwhile
}

// lines are the versions that the viewer may see, and that the words are about.
func (v *viewer) lines(q *Query) ([]*line, error) {
	var out []*line
	var scores map[*version]int
	if q.Words != "" {
		var err error
		if scores, err = v.scores(q.Words); err != nil {
			return nil, err
		}
	}
	for _, e := range v.apis {
		if !v.sees(e.object) {
			continue
		}
		for _, of := range v.versions(e) {
			l := &line{entry: e, version: of, stages: of.stages, score: scores[of]}
			if scores != nil && l.score == 0 {
				continue
			}
			if len(of.stages) == 0 && of.document != nil && v.owns(of.object) {
				l.stages = []*stage{of.document}
			}
			for _, s := range of.stages {
				l.environments = append(l.environments, s.Environment)
			}
			l.describe(q)
			out = append(out, l)
		}
	}
	return out, nil
}

// describe sums up what the environments that the query is about offer. Of several, the
// one furthest along the order says what topics are.
func (l *line) describe(q *Query) {
	for i := len(l.stages) - 1; i >= 0; i-- {
		s := l.stages[i]
		if len(q.Environment) > 0 && !slices.Contains(q.Environment, s.Environment) {
			continue
		}
		for _, ch := range s.channels {
			l.read, l.write = l.read || ch.read, l.write || ch.write
			add(&l.topics, ch.topic)
		}
		for _, f := range s.formats {
			add(&l.formats, f)
		}
	}
	slices.Sort(l.topics)
}

// passes says whether a line is among those that the facets leave, apart from one facet,
// whose values are being counted. Retired versions are there for those who ask for them.
func (l *line) passes(q *Query, apart string) bool {
	for _, f := range facets {
		chosen := f.chosen(q)
		if f.name == apart {
			continue
		}
		if f.name == "state" && len(chosen) == 0 && l.version.state == lifecycle.Retired {
			return false
		}
		if len(chosen) > 0 && !slices.ContainsFunc(f.of(l), func(value string) bool { return slices.Contains(chosen, value) }) {
			return false
		}
	}
	return true
}

// facets counts what each value of each facet would leave. A value that is chosen is there
// also where nothing has it.
func (v *viewer) facets(all []*line, q *Query) []schema.CatalogFacet {
	out := []schema.CatalogFacet{}
	for _, f := range facets {
		counts := map[string]int{}
		for _, value := range f.chosen(q) {
			counts[value] = 0
		}
		for _, l := range all {
			if l.passes(q, f.name) {
				for _, value := range f.of(l) {
					counts[value]++
				}
			}
		}
		facet := schema.CatalogFacet{Name: f.name, Values: []schema.CatalogValue{}}
		for value, count := range counts {
			facet.Values = append(facet.Values, schema.CatalogValue{Value: value, Count: count, Chosen: slices.Contains(f.chosen(q), value), Title: v.titleOf(f.name, value)})
		}
		slices.SortFunc(facet.Values, func(a, b schema.CatalogValue) int {
			return cmp.Or(b.Count-a.Count, strings.Compare(a.Value, b.Value))
		})
		out = append(out, facet)
	}
	return out
}

// titleOf is what a value of a facet is called, where the viewer may know.
func (v *viewer) titleOf(facet, value string) string {
	kind, ok := map[string]resource.Kind{"team": resource.KindTeam, "environment": resource.KindEnvironment}[facet]
	if !ok {
		return ""
	}
	return v.title(resource.Key{Kind: kind, Name: value})
}

// title is that of a document, where the viewer may see it.
func (v *viewer) title(key resource.Key) string {
	r := v.model.Get(key)
	if r == nil || !v.sees(v.model.Object(r.Document)) {
		return ""
	}
	switch d := r.Document.(type) {
	case *resource.Team:
		return d.Spec.Title
	case *resource.Environment:
		return d.Spec.Title
	}
	return ""
}

// The ways to sort.
const (
	byName       = "name"
	byNewest     = "newest"
	bySubscribed = "subscribed"
	byBest       = "best"
)

func (v *viewer) sort(found []*line, q *Query) error {
	how := q.Sort
	if how == "" && q.Words != "" {
		how = byBest
	}
	names := func(a, b *line) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.entry.title()), strings.ToLower(b.entry.title())), strings.Compare(a.entry.name(), b.entry.name()), b.version.major-a.version.major)
	}
	var by func(a, b *line) int
	switch how {
	case "", byName:
		by = func(a, b *line) int { return 0 }
	case byNewest:
		by = func(a, b *line) int { return b.version.since().Compare(a.version.since()) }
	case bySubscribed:
		counts := v.popularity()
		for _, l := range found {
			for _, p := range l.entry.products {
				if slices.Contains(p.spec.Versions, l.version.name) {
					l.popularity += counts[p.name()]
				}
			}
		}
		by = func(a, b *line) int { return b.popularity - a.popularity }
	case byBest:
		by = func(a, b *line) int { return b.score - a.score }
	default:
		return fault.New(fault.Invalid, "sort is %q: write name, newest, subscribed or best", how)
	}
	slices.SortFunc(found, func(a, b *line) int { return cmp.Or(by(a, b), names(a, b)) })
	return nil
}

// since is when a version came into its state.
func (of *version) since() time.Time { return of.record.Status.Since }

// popularity counts active subscriptions by product. Only the order that follows from it
// is shown.
func (v *viewer) popularity() map[string]int {
	counts := map[string]int{}
	for _, d := range v.model.Set().Subscriptions {
		if lifecycle.State(d.Spec.State) == lifecycle.Active {
			counts[d.Spec.Product]++
		}
	}
	return counts
}

// subscribedProducts are those that applications of the viewer's own have.
func (v *viewer) subscribedProducts() map[string]bool {
	out := map[string]bool{}
	if v.actor.Kind() == identity.KindNobody {
		return out
	}
	for _, d := range v.model.Set().Subscriptions {
		if out[d.Spec.Product] || !uses(d) {
			continue
		}
		if r := v.model.Get(d.Key()); r != nil && v.belongs(r) && v.sees(v.model.Object(d)) {
			out[d.Spec.Product] = true
		}
	}
	return out
}

const (
	maxSummary = 180 // letters
	maxTopics  = 10  // that a card names
)

// card makes the card of a line.
func (c *Catalog) card(v *viewer, l *line, mine map[string]bool) schema.CatalogCard {
	e, of := l.entry, l.version
	out := schema.CatalogCard{
		API: e.name(), Version: of.name, Title: e.title(), Summary: c.renderer.Summary(e.spec.Description, maxSummary), Icon: e.spec.Icon, Team: e.api.Team,
		State: string(of.state), Since: moment(of.since()), Successor: v.successor(of), Formats: list(l.formats), Read: l.read, Write: l.write,
		Topics: list(l.topics[:min(len(l.topics), maxTopics)]), TopicCount: len(l.topics), Environments: list(l.environments),
		Domain: domainOf(e), Tags: e.spec.Tags, Labels: maps.Clone(e.api.Document.Meta().Labels),
		Activity: c.activity(l.stages),
	}
	if of.state == lifecycle.Deprecated || of.state == lifecycle.Retired {
		out.Sunset = moment(of.spec.Lifecycle.Sunset)
	}
	for _, p := range e.products {
		out.Subscribed = out.Subscribed || mine[p.name()] && slices.Contains(p.spec.Versions, of.name) && v.sees(p.object)
	}
	return out
}

// list is a list that is there also where it is empty.
func list(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

// moment is a time, nil where there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// activity sums up what flows through all topics of stages, each backing topic once; nil
// where nothing is known of any.
func (c *Catalog) activity(stages []*stage) *schema.Activity {
	seen := map[resource.Backing]bool{}
	var all []Flow
	for _, s := range stages {
		for _, ch := range s.channels {
			at, mapped := s.Offer.Channels[ch.name][s.Environment]
			if !mapped || seen[at] {
				continue
			}
			seen[at] = true
			if f, ok := c.flow(s.Environment, at); ok {
				all = append(all, f)
			}
		}
	}
	return summed(all)
}

func summed(all []Flow) *schema.Activity {
	if len(all) == 0 {
		return nil
	}
	out := &schema.Activity{Points: []*float64{}}
	plus := func(sum *float64, more float64) *float64 {
		switch {
		case math.IsNaN(more):
			return sum
		case sum == nil:
			return &more
		}
		*sum += more
		return sum
	}
	var last time.Time
	for _, f := range all {
		out.Rate = plus(out.Rate, f.Rate)
		if f.LastEvent.After(last) {
			last = f.LastEvent
		}
		if more := len(f.Points) - len(out.Points); more > 0 { // the newest are last
			out.Points = append(make([]*float64, more), out.Points...)
		}
		for i, p := range f.Points {
			at := &out.Points[len(out.Points)-len(f.Points)+i]
			*at = plus(*at, p)
		}
	}
	out.LastEvent = moment(last)
	return out
}
