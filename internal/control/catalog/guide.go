package catalog

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"

	"sluice/internal/control/catalog/page"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// AddressOf is where a person finds an API in the portal; what follows, as guides/start, is
// below it.
func AddressOf(api string, below ...string) string {
	address := "/apis/" + url.PathEscape(api)
	for _, part := range below {
		address += "/" + url.PathEscape(part)
	}
	return address
}

// GuideQuery asks for a page of an API's documentation.
type GuideQuery struct {
	API, Page string
	// Version and Environment are what names in double braces are of; "" for what is chosen
	// by itself.
	Version, Environment string
	// Bootstrap is where clients reach an environment, "" where that is not known.
	Bootstrap func(environment string) string
}

// guide returns a guide as its provider wrote it, and what it is of.
func (c *Catalog) guide(ctx context.Context, actor identity.Actor, q GuideQuery) (l looked, found page.Source, at int, err error) {
	l = looked{viewer: c.at(ctx).viewer(actor)}
	if l.entry, err = l.find(q.API); err != nil {
		return l, found, 0, err
	}
	absent := fault.New(fault.NotFound, "API %s has no guide %q", q.API, q.Page)
	if at = slices.IndexFunc(l.entry.guides, func(g guide) bool { return g.name == q.Page }); at < 0 {
		return l, found, 0, absent
	}
	pages, err := c.plane.PagesOf(ctx, q.API)
	if err != nil {
		return l, found, 0, err
	}
	sources := c.renderer.Sources(pages)
	i := slices.IndexFunc(sources, func(s page.Source) bool { return s.Name == q.Page })
	if i < 0 { // removed meanwhile
		return l, found, 0, absent
	}
	if l.version, err = l.choose(l.entry, q.Version); err == nil && l.version != nil {
		l.stage, err = l.stageOf(l.version, q.Environment)
	}
	return l, sources[i], at, err
}

// Guide returns a page of an API's documentation. Names in double braces are filled in:
// bootstrap and topic as the version is offered, topic.CHANNEL for one of several.
func (c *Catalog) Guide(ctx context.Context, actor identity.Actor, q GuideQuery) (*schema.Guide, error) {
	l, source, at, err := c.guide(ctx, actor, q)
	if err != nil {
		return nil, err
	}
	shown := c.renderer.Render(source.Body, page.Options{Variables: l.variables(q), Link: l.entry.link})
	out := &schema.Guide{API: q.API, Page: q.Page, Title: source.Title, HTML: shown.HTML, Headings: []schema.Heading{}}
	for _, h := range shown.Headings {
		out.Headings = append(out.Headings, schema.Heading(h))
	}
	to := func(i int) *schema.GuideLink {
		if i < 0 || i >= len(l.entry.guides) {
			return nil
		}
		return &schema.GuideLink{Page: l.entry.guides[i].name, Title: l.entry.guides[i].title}
	}
	out.Previous, out.Next = to(at-1), to(at+1)
	return out, nil
}

// variables are what guides may name.
func (l looked) variables(q GuideQuery) map[string]string {
	out := map[string]string{"api": l.entry.name()}
	if l.version != nil {
		out["version"] = l.version.name
	}
	if l.stage == nil {
		return out
	}
	if out["environment"] = l.stage.Environment; q.Bootstrap != nil {
		out["bootstrap"] = q.Bootstrap(l.stage.Environment)
	}
	for _, ch := range l.stage.channels {
		out["topic."+ch.name] = ch.topic
		if out["topic"] == "" {
			out["topic"] = ch.topic
		}
	}
	return out
}

// link is where a relative link of a guide leads: to another guide, "" for nothing that is
// there.
func (e *entry) link(relative string) string {
	to, fragment, _ := strings.Cut(relative, "#")
	name := strings.TrimSuffix(path.Base(to), ".md")
	if path.Dir(strings.TrimPrefix(to, "./")) != "." || !slices.ContainsFunc(e.guides, func(g guide) bool { return g.name == name }) {
		return ""
	}
	address := AddressOf(e.name(), "guides", name)
	if id := page.Anchor(fragment); id != "" {
		address += "#" + id
	}
	return address
}
