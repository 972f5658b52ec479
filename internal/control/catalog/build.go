package catalog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/catalog/page"
	"sluice/internal/control/contract"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/resource"
)

// snapshot is the catalog of one state of the documents. It is immutable.
type snapshot struct {
	model *control.Model
	apis  []*entry // by name
	named map[string]*entry
}

// entry is an API with what belongs to it. It is immutable, and shared by snapshots while
// nothing of it changes.
type entry struct {
	api      *control.Record
	spec     *resource.APISpec
	object   identity.Object
	versions []*version // the newest major line first
	products []*product // by name
	guides   []guide    // in the order in which they are shown
	items    []item
	terms    []term            // of the items, by word
	from     []*control.Record // what it was made of
}

func (e *entry) name() string { return e.api.Document.Meta().Name }

// title is what the API is called.
func (e *entry) title() string { return cmp.Or(e.spec.Title, e.name()) }

// guide is a page of an API's documentation.
type guide struct {
	name, title string
	prose       string // its first words, for the search
}

// version is one of an API's.
type version struct {
	name   string
	major  int
	record *control.Record
	spec   *resource.VersionSpec
	object identity.Object
	state  lifecycle.State
	stages []*stage // what environments offer, in the order of promotion
	// document is what the newest revision says, for those who own a version that is
	// offered nowhere; nil for others.
	document *stage
}

// stage is what one environment offers of a version.
type stage struct {
	control.Offering
	key stageKey
	*contents
}

// stageKey names what is read of a contract once and for all.
type stageKey struct {
	version     string
	revision    int
	tag         int64 // of the document, for a version without revisions
	environment string
}

// contents is what a contract says, as far as lists and searches need it.
type contents struct {
	channels []*channel // by topic
	formats  []string
}

// channel is a topic as it is offered.
type channel struct {
	name, topic, title, description string
	read, write                     bool
	key                             string
	formats, contentTypes, messages []string
	partitions                      int
	retention                       time.Duration // as that of Flow
	fields                          []field
}

type product struct {
	record *control.Record
	spec   *resource.ProductSpec
	object identity.Object
}

func (p *product) name() string { return p.record.Document.Meta().Name }

// build makes a snapshot of a model; what has not changed is taken from the one before,
// which may be nil. It returns nil when ctx ends.
func (c *Catalog) build(ctx context.Context, m *control.Model, before *snapshot) *snapshot {
	set := m.Set()
	if before != nil && untouched(before.model.Set(), set) { // as after most changes, which are of subscriptions and credentials
		return &snapshot{model: m, apis: before.apis, named: before.named}
	}
	s := &snapshot{model: m, named: map[string]*entry{}}
	versions, products := map[string][]*control.Record{}, map[string][]*control.Record{}
	for _, v := range set.Versions {
		if api, _, ok := resource.VersionName(v.Name()); ok {
			versions[api] = append(versions[api], m.Get(v.Key()))
		}
	}
	for _, p := range set.Products {
		var of []string
		for _, name := range p.Spec.Versions {
			if api, _, ok := resource.VersionName(name); ok && !slices.Contains(of, api) {
				of = append(of, api)
				products[api] = append(products[api], m.Get(p.Key()))
			}
		}
	}
	same := before != nil && sameAround(before.model.Set(), set)
	bundled := func(products []*control.Record) (apis []*control.Record) { // which say who may see a product
		for _, p := range products {
			for _, name := range p.Document.(*resource.Product).Spec.Versions {
				if api, _, ok := resource.VersionName(name); ok {
					apis = append(apis, m.Get(resource.Key{Kind: resource.KindAPI, Name: api}))
				}
			}
		}
		return apis
	}
	known := c.read
	c.read = make(map[stageKey]*contents, len(known))
	for _, api := range set.APIs {
		name := api.Name()
		parts := parts{m.Get(api.Key()), versions[name], products[name]}
		from := slices.Concat([]*control.Record{parts.api}, parts.versions, parts.products, bundled(parts.products))
		var old *entry
		if before != nil {
			old = before.named[name]
		}
		if old == nil || !same || !slices.Equal(old.from, from) {
			next := c.entry(ctx, m, parts, known)
			if next.from = from; old != nil && slices.Equal(old.from, from) { // only what is around it has changed
				next.reindexed(old)
			} else {
				c.index(next)
			}
			old = next
		}
		if ctx.Err() != nil { // what was read before is for who asks next
			maps.Copy(c.read, known)
			return nil
		}
		for _, v := range old.versions {
			for _, stage := range v.all() {
				c.read[stage.key] = stage.contents
			}
		}
		s.apis, s.named[name] = append(s.apis, old), old
	}
	slices.SortFunc(s.apis, func(a, b *entry) int { return strings.Compare(a.name(), b.name()) })
	return s
}

// untouched says whether two sets have the same documents of all kinds that the catalog is
// made of: sets share those kinds in which nothing has changed.
func untouched(a, b *resource.Set) bool {
	return shared(a.APIs, b.APIs) && shared(a.Versions, b.Versions) && shared(a.Products, b.Products) && shared(a.Teams, b.Teams) && shared(a.Environments, b.Environments)
}

func shared[D any](a, b []D) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// sameAround says whether nothing has changed that entries of APIs depend on besides
// their own documents: whose teams are, and in which order environments come.
func sameAround(a, b *resource.Set) bool {
	return slices.Equal(a.Teams, b.Teams) && slices.Equal(a.Environments, b.Environments)
}

// parts are what an entry is made of.
type parts struct {
	api                *control.Record
	versions, products []*control.Record
}

// all are the stages, and the document where it stands for them.
func (v *version) all() []*stage {
	if v.document != nil {
		return append(slices.Clip(v.stages), v.document)
	}
	return v.stages
}

// entry makes what there is of an API.
func (c *Catalog) entry(ctx context.Context, m *control.Model, of parts, known map[stageKey]*contents) *entry {
	api := of.api.Document.(*resource.API)
	e := &entry{api: of.api, spec: &api.Spec, object: m.Object(api)}
	for _, r := range of.versions {
		d := r.Document.(*resource.Version)
		_, major, _ := resource.VersionName(d.Name()) // or it would not be here
		v := &version{name: d.Name(), major: major, record: r, spec: &d.Spec, object: m.Object(d), state: lifecycle.State(d.Spec.Lifecycle.State)}
		for _, o := range m.Offerings(r) {
			v.stages = append(v.stages, c.stage(ctx, r, o, known))
		}
		if len(v.stages) == 0 {
			v.document = c.stage(ctx, r, control.Offering{Revision: r.Status.Revision, Time: r.Changed, Offer: d.Spec.Offer()}, known)
		}
		e.versions = append(e.versions, v)
	}
	slices.SortFunc(e.versions, func(a, b *version) int { return b.major - a.major })
	for _, r := range of.products {
		d := r.Document.(*resource.Product)
		e.products = append(e.products, &product{record: r, spec: &d.Spec, object: m.Object(d)})
	}
	if api.Spec.Docs.Digest != "" {
		pages, err := c.plane.PagesOf(ctx, api.Name())
		if err != nil {
			c.log.Error("the catalog shows an API without its guides", "api", api.Name(), "err", err)
		}
		for _, p := range c.renderer.Sources(pages) {
			e.guides = append(e.guides, guide{name: p.Name, title: p.Title, prose: page.Clip(c.renderer.Plain(p.Body), maxGuide)})
		}
	}
	return e
}

// stage reads what an environment offers, unless it is known.
func (c *Catalog) stage(ctx context.Context, r *control.Record, o control.Offering, known map[stageKey]*contents) *stage {
	s := &stage{Offering: o, key: stageKey{version: r.Key().Name, revision: o.Revision, environment: o.Environment}}
	if o.Revision == 0 {
		s.key.tag = r.Tag()
	}
	if s.contents = known[s.key]; s.contents != nil {
		return s
	}
	m, err := c.plane.Offered(ctx, r, o.Revision, o.Environment)
	if err != nil && ctx.Err() != nil {
		s.contents = &contents{} // which nobody sees
		return s
	}
	if err != nil {
		c.log.Error("the catalog shows a version without what its contract says", "version", r.Key().Name, "revision", o.Revision, "err", err)
		m = &contract.Model{}
	}
	s.contents = c.contents(m)
	return s
}

// contents reads what a contract says.
func (c *Catalog) contents(m *contract.Model) *contents {
	out := &contents{}
	rights := map[string]contract.Right{}
	for _, r := range m.Rights() {
		rights[r.Channel] = r
	}
	for _, ch := range m.Channels {
		right := rights[ch.Name]
		if !right.Read && !right.Write {
			continue
		}
		one := &channel{
			name: ch.Name, topic: ch.Address, title: ch.Rest.Get("title").Str(), description: cmp.Or(ch.Rest.Get("description").Str(), ch.Rest.Get("summary").Str()),
			read: right.Read, write: right.Write,
		}
		if p := ch.Kafka.Partitions; p != nil && *p > 0 && *p <= 1<<20 {
			one.partitions = int(*p)
		}
		if r := ch.Kafka.RetentionMillis; r != nil && *r < 0 {
			one.retention = -1
		} else if r != nil && *r <= int64(1<<62/time.Millisecond) {
			one.retention = time.Duration(*r) * time.Millisecond
		}
		keys := []string{}
		for _, message := range ch.Messages {
			one.messages = append(one.messages, message.Name)
			if message.Payload != nil {
				add(&one.formats, formatOf(message.Payload))
			}
			add(&one.contentTypes, message.ContentType)
			add(&keys, keyOf(message))
			one.fields = append(one.fields, fieldsOf(message, maxChannelFields-len(one.fields))...)
		}
		one.fields = slices.Clip(one.fields)
		one.key = strings.Join(keys, ", ")
		for _, f := range one.formats {
			add(&out.formats, f)
		}
		out.channels = append(out.channels, one)
	}
	slices.SortFunc(out.channels, func(a, b *channel) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.name, b.name))
	})
	return out
}

// add adds a word to a list in which each is once.
func add(list *[]string, word string) {
	if word != "" && !slices.Contains(*list, word) {
		*list = append(*list, word)
	}
}

// formatOf is the language of a schema, in words.
func formatOf(s *schema.Schema) string {
	if k := s.Kind(); k != schema.Other {
		return string(k)
	}
	return s.Format
}

// keyOf says what records are keyed by, in a few words.
func keyOf(m *contract.Message) string {
	if m.Key == nil {
		return ""
	}
	const most = 60
	root := m.Key.Resolve(m.Key.Root)
	names := root.Get("properties").Names()
	if len(names) == 0 && root.Get("fields").Is(tree.List) {
		for _, f := range root.Get("fields").Elements() {
			names = append(names, f.Get("name").Str())
		}
	}
	for _, words := range []string{root.Get("title").Str(), root.Get("description").Str(), root.Get("doc").Str(), strings.Join(names, ", ")} {
		if words = strings.TrimSpace(words); words != "" && len(words) <= most {
			return words
		}
	}
	if t := root.Get("type").Str(); t != "" {
		return t
	}
	return fmt.Sprint(m.Key.Kind())
}
