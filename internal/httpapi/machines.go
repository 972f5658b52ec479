package httpapi

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"sluice/internal/control/catalog"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
)

// What programs read that look at the portal as people do: the pages as Markdown,
// llms.txt (llmstxt.org), a site map, and where the descriptions of APIs are (RFC 9727).
// Everything is as whoever asks may see it; site map and catalog are of what everybody may.

const markdownKind = "text/markdown; charset=utf-8"

// machine answers an address for programs.
type machine func(ctx context.Context, q url.Values) (kind string, body []byte, err error)

// forMachines returns what answers an address, nil for one that is none of these.
func (a *API) forMachines(path string) machine {
	switch path {
	case "/llms.txt":
		return a.summaries
	case "/catalog.md":
		return a.summaries
	case "/sitemap.xml":
		return a.siteMap
	case "/.well-known/api-catalog":
		return a.apiCatalog
	}
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return nil
	}
	parts := strings.Split(rest, "/")
	page, isPage := strings.CutSuffix(parts[len(parts)-1], ".md")
	switch {
	case len(parts) == 1 && isPage && page != "":
		return a.text(func(ctx context.Context, actor identity.Actor, version, environment string) (string, error) {
			return a.catalog.Markdown(ctx, actor, page, version, environment)
		})
	case len(parts) == 2 && parts[1] == "reference.md":
		return a.text(func(ctx context.Context, actor identity.Actor, version, environment string) (string, error) {
			return a.catalog.ReferenceMarkdown(ctx, actor, parts[0], version, environment)
		})
	case len(parts) == 2 && strings.HasPrefix(parts[1], "asyncapi."):
		format := map[string]string{"asyncapi.yaml": "yaml", "asyncapi.json": "json", "asyncapi.md": "markdown"}[parts[1]]
		if format == "" {
			return nil
		}
		return func(ctx context.Context, q url.Values) (string, []byte, error) {
			return a.asyncAPI(ctx, parts[0], q.Get("version"), q.Get("environment"), format)
		}
	case len(parts) == 3 && parts[1] == "guides" && isPage:
		return a.text(func(ctx context.Context, actor identity.Actor, version, environment string) (string, error) {
			return a.catalog.GuideMarkdown(ctx, actor, catalog.GuideQuery{API: parts[0], Page: page, Version: version, Environment: environment, Bootstrap: a.bootstrap})
		})
	}
	return nil
}

// machineQuery are the parameters of what is for programs: all of an API is of a version
// in an environment.
func machineQuery(path string) parameters {
	if strings.HasPrefix(path, "/apis/") {
		return parameters{"version": false, "environment": false}
	}
	return nil
}

// text makes Markdown of a version in an environment an answer.
func (a *API) text(of func(ctx context.Context, actor identity.Actor, version, environment string) (string, error)) machine {
	return func(ctx context.Context, q url.Values) (string, []byte, error) {
		text, err := of(ctx, request(ctx).Actor, q.Get("version"), q.Get("environment"))
		return markdownKind, []byte(text), err
	}
}

// answerMachine answers a request that is for a program.
func (a *API) answerMachine(w http.ResponseWriter, r *http.Request, m machine) {
	ctx := r.Context()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		p := problem(fault.New(fault.Invalid, "%s takes GET", clip(r.URL.Path)), request(ctx).ID)
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		refuse(w, p)
		return
	}
	kind, body, err := m(ctx, r.URL.Query())
	if err != nil {
		a.told(request(ctx).ID, err)
		refuse(w, unasked(request(ctx).Actor, problem(err, request(ctx).ID)))
		return
	}
	tag := contentTag(body)
	header := w.Header()
	header.Set("ETag", tag)
	header.Set("Cache-Control", revalidated)
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", kind)
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // an error is the client's, who has gone
	}
}

func (a *API) summaries(ctx context.Context, _ url.Values) (string, []byte, error) {
	text, err := a.catalog.Summaries(ctx, request(ctx).Actor, "Event streams")
	kind := markdownKind
	return kind, []byte(text), err
}

// public are the names of the APIs that everybody may see.
func (a *API) public(ctx context.Context) (names []string, err error) {
	const most = 10_000
	q := catalog.Query{Limit: 1000}
	for {
		part, err := a.catalog.List(ctx, identity.Nobody(), q)
		if err != nil {
			return nil, err
		}
		for _, card := range part.Items {
			if len(names) == 0 || names[len(names)-1] != card.API { // versions of one stand together
				names = append(names, card.API)
			}
		}
		if q.After = part.Next; q.After == "" || len(names) >= most {
			return names, nil
		}
	}
}

// siteMap lists the pages that everybody may see (sitemaps.org).
func (a *API) siteMap(ctx context.Context, _ url.Values) (string, []byte, error) {
	type location struct {
		Address string `xml:"loc"`
	}
	all := struct {
		XMLName xml.Name   `xml:"http://www.sitemaps.org/schemas/sitemap/0.9 urlset"`
		URLs    []location `xml:"url"`
	}{}
	server := asked(ctx).server
	for _, path := range []string{"/", "/catalog"} {
		all.URLs = append(all.URLs, location{server + path})
	}
	names, err := a.public(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, name := range names {
		all.URLs = append(all.URLs, location{server + catalog.AddressOf(name)})
	}
	body, err := xml.MarshalIndent(all, "", " ")
	return "application/xml; charset=utf-8", append([]byte(xml.Header), body...), err
}

// apiCatalog says where the APIs are described that everybody may see, as a set of links
// (RFC 9727, RFC 9264).
func (a *API) apiCatalog(ctx context.Context, _ url.Values) (string, []byte, error) {
	type target struct {
		Href string `json:"href"`
		Type string `json:"type,omitempty"`
	}
	type links struct {
		Anchor      string   `json:"anchor"`
		Item        []target `json:"item,omitempty"`
		Description []target `json:"service-desc,omitempty"`
		Document    []target `json:"service-doc,omitempty"`
	}
	server := asked(ctx).server
	set := []links{
		{Anchor: server + "/.well-known/api-catalog", Item: []target{{Href: server + "/v1"}}},
		{Anchor: server + "/v1", Description: []target{{server + "/v1/openapi.json", "application/openapi+json"}}},
	}
	names, err := a.public(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, name := range names {
		at := server + catalog.AddressOf(name)
		set[0].Item = append(set[0].Item, target{Href: at})
		set = append(set, links{Anchor: at, Description: []target{{at + "/asyncapi.yaml", "application/vnd.aai.asyncapi+yaml"}, {at + "/asyncapi.json", "application/vnd.aai.asyncapi+json"}},
			Document: []target{{at, "text/html"}, {at + ".md", "text/markdown"}}})
	}
	body, err := json.Marshal(map[string]any{"linkset": set})
	return `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`, body, err
}
