package catalog

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
	"unicode"

	"sluice/internal/control"
	"sluice/internal/control/catalog/page"
	"sluice/internal/control/contract"
	"sluice/internal/control/contract/fields"
	contractschema "sluice/internal/control/contract/schema"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// What is searched, and what is answered.
const (
	maxQuery         = 200  // bytes
	maxWords         = 8    // of a query
	maxChannelFields = 2000 // of a topic, that can be found
	maxHits          = 5    // of one group
	maxProse         = 2000 // words of a text, that can be found
	maxGuide         = 9000 // letters of a guide, that can be found
	maxExcerpt       = 140  // letters
)

// field is one that can be found.
type field struct {
	message, part, path, name, kind, description string
	tags                                         []string
}

// fieldsOf lists the fields of a message, at most so many.
func fieldsOf(m *contract.Message, most int) (out []field) {
	for _, part := range []struct {
		name string
		of   *contractschema.Schema
	}{{"key", m.Key}, {"value", m.Payload}, {"headers", m.Headers}} {
		t := fields.Of(part.of)
		if t == nil {
			continue
		}
		t.All(func(f *fields.Field) bool {
			if len(out) >= most {
				return false
			}
			one := field{message: m.Name, part: part.name, path: f.Path, name: f.Name, kind: f.Type, description: page.Clip(f.Description, maxExcerpt), tags: slices.Clone(f.Tags)}
			if f.Personal {
				one.tags = append(one.tags, "personal data")
			}
			if f.Deprecated {
				one.tags = append(one.tags, "deprecated")
			}
			out = append(out, one)
			return true
		})
	}
	return out
}

// The groups, in the order in which they are answered.
const (
	groupAPIs         = "apis"
	groupTopics       = "topics"
	groupFields       = "fields"
	groupGuides       = "guides"
	groupApplications = "applications"
	groupRejections   = "rejections"
)

// item is something of an API that can be found.
type item struct {
	group         string
	version       *version // nil for what is of the API as a whole
	owners        bool     // for those who own the version
	title, about  string
	prose         string // in which a place is shown
	topic         string
	channel, page string
	field         *field
}

// term is a word by which an item is found.
type term struct {
	word   string
	item   int32
	weight int32
}

// How much words count, by where they stand.
const (
	inTitle = 12 // the whole of it
	inName  = 6  // a part of the title
	inTag   = 5
	inPath  = 4
	inProse = 1
)

// index makes what the search goes through of an API.
func (c *Catalog) index(e *entry) {
	x := indexer{entry: e}
	about := item{group: groupAPIs, title: e.title(), about: e.name(), prose: c.renderer.Plain(e.spec.Description)}
	x.add(about, func(w weigh) {
		w(inTitle, e.name())
		w(inTitle, e.spec.Title)
		for _, tag := range e.spec.Tags {
			w(inTag, tag)
		}
		w(inTag, domainOf(e))
		w(inPath, e.api.Team)
		for _, of := range e.versions {
			if of.state != lifecycle.Draft {
				w(inTag, of.name)
			}
		}
		w(inProse, about.prose)
	})
	for _, of := range e.versions {
		if of.state == lifecycle.Retired {
			continue
		}
		seen := map[string]bool{}
		all := of.all()
		for i := len(all) - 1; i >= 0; i-- { // the one furthest along the order says how things are called
			x.stage(of, all[i], seen)
		}
	}
	for _, g := range e.guides {
		x.add(item{group: groupGuides, title: g.title, about: e.title(), prose: g.prose, page: g.name}, func(w weigh) {
			w(inTitle, g.title)
			w(inPath, g.name)
			w(inProse, g.prose)
		})
	}
	slices.SortFunc(x.terms, func(a, b term) int { return cmp.Or(strings.Compare(a.word, b.word), int(a.item-b.item)) })
	e.items, e.terms = x.items, slices.Clip(x.terms)
}

// reindexed takes what the search goes through from the entry before, which was made of the
// same documents.
func (e *entry) reindexed(before *entry) {
	e.terms, e.items = before.terms, slices.Clone(before.items)
	for i := range e.items {
		if was := e.items[i].version; was != nil {
			e.items[i].version = e.versions[slices.Index(before.versions, was)] // in the same order
		}
	}
}

type indexer struct {
	entry *entry
	items []item
	terms []term
}

// weigh adds a text by which an item is found.
type weigh func(weight int32, text string)

func (x *indexer) add(i item, words func(weigh)) {
	n := int32(len(x.items))
	x.items = append(x.items, i)
	weights := map[string]int32{}
	words(func(weight int32, text string) {
		if text == "" {
			return
		}
		whole := strings.ToLower(strings.Join(strings.Fields(text), " "))
		if weight > inProse && len(whole) <= 255 {
			weights[whole] = max(weights[whole], weight)
		}
		part := min(weight, inName)
		for i, word := range tokens(text) {
			if i == maxProse {
				break
			}
			weights[word] = max(weights[word], part)
		}
	})
	for word, weight := range weights {
		x.terms = append(x.terms, term{word, n, weight})
	}
}

// stage adds topics and fields of what is offered; seen has what was met already.
func (x *indexer) stage(of *version, s *stage, seen map[string]bool) {
	owners := s == of.document
	for _, ch := range s.channels {
		if !seen[ch.topic] {
			seen[ch.topic] = true
			x.add(item{group: groupTopics, version: of, owners: owners, title: ch.topic, about: of.name, prose: ch.description, topic: ch.topic, channel: ch.name}, func(w weigh) {
				w(inTitle, ch.topic)
				w(inName, ch.name)
				w(inName, ch.title)
				w(inProse, ch.description)
				for _, m := range ch.messages {
					w(inPath, m)
				}
			})
		}
		for i := range ch.fields {
			f := &ch.fields[i]
			if id := ch.topic + "\x00" + f.message + "\x00" + f.part + "\x00" + f.path; !seen[id] {
				seen[id] = true
				x.add(item{group: groupFields, version: of, owners: owners, title: f.path, about: f.kind + " in " + f.message + ", " + ch.topic, prose: f.description, topic: ch.topic, channel: ch.name, field: f}, func(w weigh) {
					w(inTitle, f.name)
					w(inPath, f.path)
					w(inProse, f.description)
					for _, tag := range f.tags {
						w(inTag, tag)
					}
				})
			}
		}
	}
}

// tokens are the words of a text in small letters: whole ones, and the parts of names as
// customerId and order_lines.
func tokens(text string) []string {
	var out []string
	for _, whole := range strings.FieldsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '.'
	}) {
		whole = strings.Trim(whole, "._-")
		if whole == "" || len(whole) > 255 {
			continue
		}
		out = append(out, strings.ToLower(whole))
		for _, part := range strings.FieldsFunc(whole, func(r rune) bool { return r == '.' || r == '_' || r == '-' }) {
			if len(part) < len(whole) {
				out = append(out, strings.ToLower(part))
			}
			runes := []rune(part)
			start := 0
			for i := 1; i < len(runes); i++ {
				if unicode.IsUpper(runes[i]) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) || unicode.IsDigit(runes[i]) && !unicode.IsDigit(runes[i-1]) {
					out = append(out, strings.ToLower(string(runes[start:i])))
					start = i
				}
			}
			if start > 0 {
				out = append(out, strings.ToLower(string(runes[start:])))
			}
		}
	}
	return out
}

// asked is what is searched for.
type asked struct {
	whole string
	words []string
}

func ask(query string) (asked, error) {
	if len(query) > maxQuery {
		return asked{}, fault.New(fault.Invalid, "the query has more than %d bytes: use fewer words", maxQuery)
	}
	q := asked{whole: strings.ToLower(strings.Join(strings.Fields(query), " "))}
	for _, word := range strings.Fields(q.whole) {
		word = strings.Trim(word, `.,;:!?"'()`)
		if word != "" && len(q.words) < maxWords && !slices.Contains(q.words, word) {
			q.words = append(q.words, word)
		}
	}
	return q, nil
}

// scorer finds items. It is for one goroutine, and keeps its memory from one API to the
// next.
type scorer struct {
	asked
	points [][]int32 // by word and item
}

// found calls f with each item of an API that matches, and how well. All words have to be
// somewhere: in the item, or in what the API as a whole is.
func (s *scorer) found(e *entry, f func(i *item, score int32)) {
	if s.points == nil {
		s.points = make([][]int32, len(s.words))
	}
	for w, word := range s.words {
		points := slices.Grow(s.points[w][:0], len(e.items))[:len(e.items)]
		clear(points)
		s.points[w] = points
		any := false
		for i := sort.Search(len(e.terms), func(i int) bool { return e.terms[i].word >= word }); i < len(e.terms) && strings.HasPrefix(e.terms[i].word, word); i++ {
			t := e.terms[i]
			worth := t.weight * 2
			switch {
			case len(t.word) == len(word):
				worth = t.weight * 4
			case len(word)*2 >= len(t.word):
				worth = t.weight * 3
			}
			points[t.item] = max(points[t.item], worth)
			any = true
		}
		if !any {
			return
		}
	}
	for i := range e.items {
		sum, own := int32(0), false
		for _, points := range s.points {
			worth := points[i]
			own = own || worth > 0
			if worth == 0 {
				worth = points[0] / 2 // of the API as a whole
			}
			if worth == 0 {
				own = false
				break
			}
			sum += worth
		}
		if !own {
			continue
		}
		it := &e.items[i]
		if strings.EqualFold(it.title, s.whole) || it.field != nil && strings.EqualFold(it.field.name, s.whole) {
			sum += 100
		}
		f(it, sum)
	}
}

// shows says whether the viewer may see an item of an API that it sees.
func (v *viewer) shows(i *item) bool {
	return i.version == nil || v.sees(i.version.object) && (!i.owners || v.owns(i.version.object))
}

// hit is an item that was found.
type hit struct {
	entry *entry
	item  *item
	score int32
}

// search calls f with what the viewer may see of what was found.
func (v *viewer) search(q asked, f func(hit)) {
	if len(q.words) == 0 {
		return
	}
	s := scorer{asked: q}
	for _, e := range v.apis {
		if v.sees(e.object) {
			s.found(e, func(i *item, score int32) {
				if v.shows(i) {
					f(hit{e, i, score})
				}
			})
		}
	}
}

// better orders what was found.
func better(a, b hit) int {
	return cmp.Or(int(b.score-a.score), len(a.item.title)-len(b.item.title), strings.Compare(a.item.title, b.item.title), strings.Compare(a.entry.name(), b.entry.name()), strings.Compare(a.item.about, b.item.about))
}

// group is what was found of one sort: the best, and how many there are.
type group struct {
	best  []hit
	total int
}

func (g *group) add(h hit) {
	g.total++
	i, _ := slices.BinarySearchFunc(g.best, h, better)
	if i < maxHits {
		g.best = slices.Insert(g.best, i, h)
		g.best = g.best[:min(len(g.best), maxHits)]
	}
}

// scores are those of versions for a list: that of the best thing found in each.
func (v *viewer) scores(query string) (map[*version]int, error) {
	q, err := ask(query)
	if err != nil {
		return nil, err
	}
	out := map[*version]int{}
	v.search(q, func(h hit) {
		if of := h.item.version; of != nil {
			out[of] = max(out[of], int(h.score))
			return
		}
		for _, of := range h.entry.versions {
			out[of] = max(out[of], int(h.score))
		}
	})
	return out, nil
}

// Search finds what somebody may see: APIs, topics, fields and guides by their words,
// applications by name, rejections by id.
func (c *Catalog) Search(ctx context.Context, q control.Request, query string) (*schema.SearchResults, error) {
	what, err := ask(query)
	if err != nil {
		return nil, err
	}
	v := c.at(ctx).viewer(q.Actor)
	out := &schema.SearchResults{Query: query, Groups: []schema.SearchGroup{}}
	groups := map[string]*schema.SearchGroup{}
	tell := func(group string, body func() schema.SearchHit) {
		g := groups[group]
		if g == nil {
			g = &schema.SearchGroup{Name: group, Items: []schema.SearchHit{}}
			groups[group] = g
		}
		if g.Total++; len(g.Items) < maxHits {
			g.Items = append(g.Items, body())
		}
	}
	of := map[string]*group{groupAPIs: {}, groupTopics: {}, groupFields: {}, groupGuides: {}}
	v.search(what, func(h hit) { of[h.item.group].add(h) })
	for name, g := range of {
		for _, h := range g.best {
			tell(name, func() schema.SearchHit { return v.hitBody(h, what.words) })
		}
		if g.total > 0 {
			groups[name].Total = g.total
		}
	}
	for _, d := range v.applications(what) {
		tell(groupApplications, func() schema.SearchHit {
			return schema.SearchHit{Title: marked(d.Name(), what.words), About: excerpt(d.Spec.Description, what.words), Application: d.Name()}
		})
	}
	for _, word := range strings.Fields(query)[:min(len(strings.Fields(query)), maxWords)] {
		if r, err := c.plane.Refusal(q, word); err == nil { // else it is not there to be seen
			tell(groupRejections, func() schema.SearchHit {
				return schema.SearchHit{Title: []schema.TextPart{{Text: r.ID, Match: true}}, About: []schema.TextPart{{Text: r.Operation + " " + r.What + " " + r.Name}}, Application: r.Application, Rejection: r.ID}
			})
		}
	}
	for _, name := range []string{groupAPIs, groupTopics, groupFields, groupGuides, groupApplications, groupRejections} {
		if g := groups[name]; g != nil {
			out.Groups = append(out.Groups, *g)
		}
	}
	return out, nil
}

func (v *viewer) hitBody(h hit, words []string) schema.SearchHit {
	i := h.item
	out := schema.SearchHit{Title: marked(i.title, words), API: h.entry.name(), Topic: i.topic, Channel: i.channel, Page: i.page}
	if found := excerpt(i.prose, words); slices.ContainsFunc(found, func(p schema.TextPart) bool { return p.Match }) && !slices.ContainsFunc(out.Title, func(p schema.TextPart) bool { return p.Match }) {
		out.About = found
	} else {
		out.About = marked(i.about, words)
	}
	if i.version != nil {
		out.Version, out.State = i.version.name, string(i.version.state)
	} else if chosen, err := v.choose(h.entry, ""); err == nil && chosen != nil {
		out.Version, out.State = chosen.name, string(chosen.state)
	}
	if f := i.field; f != nil {
		out.Message, out.Part, out.Path = f.message, f.part, f.path
	}
	return out
}

// applications are those that the viewer may see whose names have all words, the shortest
// first.
func (v *viewer) applications(q asked) (out []*resource.Application) {
	if v.actor.Kind() == identity.KindNobody || len(q.words) == 0 {
		return nil
	}
	for _, d := range v.model.Set().Applications {
		of := tokens(d.Name())
		if !slices.ContainsFunc(q.words, func(word string) bool {
			return !slices.ContainsFunc(of, func(own string) bool { return strings.HasPrefix(own, word) })
		}) && v.sees(v.model.Object(d)) {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b *resource.Application) int { return len(a.Name()) - len(b.Name()) })
	return out
}

// marked is a text with what was searched for in it marked: where a word of it, or a part
// of a name, begins so.
func marked(text string, words []string) []schema.TextPart {
	runes := []rune(text)
	low := make([]rune, len(runes))
	for i, r := range runes {
		low[i] = unicode.ToLower(r)
	}
	is := make([]bool, len(runes))
	for _, word := range words {
		w := []rune(word)
		for i := 0; i+len(w) <= len(low); i++ {
			if slices.Equal(low[i:i+len(w)], w) && begins(runes, i) {
				for j := range w {
					is[i+j] = true
				}
			}
		}
	}
	out := []schema.TextPart{}
	for i := 0; i < len(runes); {
		j := i
		for j < len(runes) && is[j] == is[i] {
			j++
		}
		out = append(out, schema.TextPart{Text: string(runes[i:j]), Match: is[i]})
		i = j
	}
	return out
}

// begins says whether a word, or a part of a name, begins at a place of a text.
func begins(text []rune, i int) bool {
	if i == 0 {
		return true
	}
	before, r := text[i-1], text[i]
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	return !letter(before) || !letter(r) || unicode.IsUpper(r) && !unicode.IsUpper(before) || unicode.IsUpper(r) && i+1 < len(text) && unicode.IsLower(text[i+1]) || unicode.IsDigit(r) != unicode.IsDigit(before)
}

// excerpt is the place of a text in which something was found, or its beginning.
func excerpt(text string, words []string) []schema.TextPart {
	if text == "" {
		return nil
	}
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > maxExcerpt {
		first := 0
		for _, p := range marked(string(runes), words) {
			if p.Match {
				break
			}
			first += len([]rune(p.Text))
		}
		if first == len(runes) {
			first = 0
		}
		from := max(0, first-maxExcerpt/4)
		for from > 0 && runes[from-1] != ' ' && from < first {
			from++
		}
		to := min(len(runes), from+maxExcerpt)
		cut := string(runes[from:to])
		if from > 0 {
			cut = "…" + cut
		}
		if to < len(runes) {
			cut += "…"
		}
		return marked(cut, words)
	}
	return marked(string(runes), words)
}
