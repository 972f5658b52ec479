package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/catalog"
	"sluice/internal/httpapi/schema"
)

// The catalog is for the portal, and for whoever wants to read what it shows: everybody
// may ask, and gets what they may see.

const catalogTag = "Catalog"

// ConditionalInput is what an answer may be asked for with that has an ETag. Its name is
// exported since huma fills no others.
type ConditionalInput struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of the answer that one has: 304 when it is still the same."`
}

type listCatalogInput struct {
	ConditionalInput
	Words       string   `query:"q" maxLength:"200" doc:"What to search for: names, titles, topics, fields, tags, descriptions and guides."`
	Can         []string `query:"can,explode" enum:"read,write" doc:"What may be done with a topic of it."`
	Domain      []string `query:"domain,explode" doc:"The label domain."`
	State       []string `query:"state,explode" enum:"draft,preview,published,deprecated,retired,blocked" doc:"Retired versions are there only when asked for."`
	Format      []string `query:"format,explode" doc:"Avro, Protobuf or JSON Schema."`
	Team        []string `query:"team,explode" doc:"The owner."`
	Tag         []string `query:"tag,explode"`
	Environment []string `query:"environment,explode" doc:"Where it is offered; then topics, formats and what may be done are those of there."`
	Sort        string   `query:"sort" enum:"name,newest,subscribed,best" doc:"By name; best first where something is searched for."`
	After       string   `query:"after" maxLength:"200" doc:"What next said of the page before."`
	Limit       int      `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"How many at most."`
}

type apiPageInput struct {
	ConditionalInput
	Name        string `path:"name" maxLength:"128" doc:"Of the API."`
	Version     string `query:"version" maxLength:"140" doc:"As orders.v2 or v2; by default the newest that is published."`
	Environment string `query:"environment" maxLength:"128" doc:"By default the one furthest along the order that has the version."`
}

type compareAPIInput struct {
	ConditionalInput
	Name        string `path:"name" maxLength:"128" doc:"Of the API."`
	From        string `query:"from" required:"true" maxLength:"160" doc:"A version, as v1, or one of its revisions, as v1@13."`
	To          string `query:"to" maxLength:"160" doc:"As from; by default the newest version that is published."`
	Environment string `query:"environment" maxLength:"128" doc:"By default the one furthest along the order that has each."`
}

type changelogInput struct {
	ConditionalInput
	Name        string `path:"name" maxLength:"128" doc:"Of the API."`
	Version     string `query:"version" maxLength:"140" doc:"Of this version only."`
	Environment string `query:"environment" maxLength:"128" doc:"Whose revisions; by default the one furthest along the order."`
	After       string `query:"after" maxLength:"300" doc:"What next said of the page before."`
	Limit       int    `query:"limit" minimum:"1" maximum:"50" default:"20" doc:"How many at most."`
}

type asyncAPIInput struct {
	Name        string `path:"name" maxLength:"128" doc:"Of the API."`
	Version     string `query:"version" maxLength:"140" doc:"As orders.v2 or v2; by default the newest that is published."`
	Environment string `query:"environment" maxLength:"128" doc:"By default the one furthest along the order that has the version."`
	Format      string `query:"format" enum:"yaml,json,markdown" default:"yaml" doc:"Markdown has what people need of it."`
}

type guideInput struct {
	ConditionalInput
	Name        string `path:"name" maxLength:"128" doc:"Of the API."`
	Page        string `path:"page" maxLength:"96" doc:"As the page of the API lists it."`
	Version     string `query:"version" maxLength:"140" doc:"What topics and addresses are of; by default the newest that is published."`
	Environment string `query:"environment" maxLength:"128" doc:"By default the one furthest along the order that has the version."`
}

type searchInput struct {
	Words string `query:"q" required:"true" minLength:"1" maxLength:"200" doc:"All words have to be found; the beginning of one is enough."`
}

// conditional is an answer with an ETag.
type conditional[T any] struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         *T
}

// whenChanged answers a body, or 304 to who has it already.
func whenChanged[T any](in ConditionalInput, body *T) (*conditional[T], error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	tag := contentTag(text)
	out := &conditional[T]{Status: http.StatusOK, ETag: tag, CacheControl: revalidated, Body: body}
	if matches(in.IfNoneMatch, tag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

// revalidated lets a browser keep an answer for one person, and ask each time whether it is
// still the same.
const revalidated = "private, no-cache"

// contentTag is an ETag of a content.
func contentTag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// matches reads If-None-Match (RFC 9110 §13.1.2).
func matches(header, tag string) bool {
	return header == "*" || slices.ContainsFunc(strings.Split(header, ","), func(one string) bool {
		return strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag
	})
}

// catalogRoutes registers what pages and machines read of APIs.
func (a *API) catalogRoutes() {
	huma.Register(a.huma, a.reading("list-catalog", "/v1/catalog", "List what APIs there are, with what to filter them by"),
		func(ctx context.Context, in *listCatalogInput) (*conditional[schema.Catalog], error) {
			out, err := a.catalog.List(ctx, request(ctx).Actor, catalog.Query{Words: in.Words, Can: in.Can, Domain: in.Domain, State: in.State, Format: in.Format,
				Team: in.Team, Tag: in.Tag, Environment: in.Environment, Sort: in.Sort, After: in.After, Limit: in.Limit})
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("get-catalog-api", "/v1/catalog/{name}", "Get the page of an API: versions, topics, plans, and what one has of it"),
		func(ctx context.Context, in *apiPageInput) (*conditional[schema.APIPage], error) {
			out, err := a.catalog.Page(ctx, request(ctx).Actor, in.Name, in.Version, in.Environment)
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("get-catalog-reference", "/v1/catalog/{name}/reference", "Get what the records of an API are: keys, values and headers as trees of fields"),
		func(ctx context.Context, in *apiPageInput) (*conditional[schema.Reference], error) {
			out, err := a.catalog.Reference(ctx, request(ctx).Actor, in.Name, in.Version, in.Environment)
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("compare-catalog-api", "/v1/catalog/{name}/compare", "Compare two versions of an API, or two revisions, as clients notice them"),
		func(ctx context.Context, in *compareAPIInput) (*conditional[schema.VersionComparison], error) {
			out, err := a.catalog.Compare(ctx, request(ctx).Actor, in.Name, in.From, in.To, in.Environment)
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("get-catalog-changelog", "/v1/catalog/{name}/changelog", "List what happened to an API, the newest first"),
		func(ctx context.Context, in *changelogInput) (*conditional[schema.Changelog], error) {
			out, err := a.catalog.Changelog(ctx, request(ctx).Actor, in.Name, in.Version, in.Environment, in.After, in.Limit)
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("get-catalog-guide", "/v1/catalog/{name}/guides/{page}", "Get a page of an API's documentation"),
		func(ctx context.Context, in *guideInput) (*conditional[schema.Guide], error) {
			out, err := a.catalog.Guide(ctx, request(ctx).Actor, catalog.GuideQuery{API: in.Name, Page: in.Page, Version: in.Version, Environment: in.Environment, Bootstrap: a.bootstrap})
			return answer(a, ctx, in.ConditionalInput, out, err)
		})
	huma.Register(a.huma, a.reading("get-api-docs", "/v1/apis/{name}/docs", "Get the documentation of an API as its provider wrote it"),
		func(ctx context.Context, in *nameInput) (*struct{ Body schema.Pages }, error) {
			pages, err := a.plane.Pages(ctx, request(ctx), in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Pages }{schema.Pages{Pages: pages}}, nil
		})
	huma.Register(a.huma, a.reading("get-catalog-asyncapi", "/v1/catalog/{name}/asyncapi", "Get the AsyncAPI document of an API"),
		func(ctx context.Context, in *asyncAPIInput) (*textOutput, error) {
			kind, body, err := a.asyncAPI(ctx, in.Name, in.Version, in.Environment, in.Format)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &textOutput{kind, body}, nil
		})
	huma.Register(a.huma, a.reading("search", "/v1/search", "Search APIs, topics, fields, guides, applications and rejections"),
		func(ctx context.Context, in *searchInput) (*struct{ Body *schema.SearchResults }, error) {
			out, err := a.catalog.Search(ctx, request(ctx), in.Words)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body *schema.SearchResults }{out}, nil
		})
	a.listsAreThere()
}

// asyncAPI returns the AsyncAPI document of an API, or what people need of it.
func (a *API) asyncAPI(ctx context.Context, api, version, environment, format string) (kind string, body []byte, err error) {
	actor := request(ctx).Actor
	if format == "markdown" {
		text, err := a.catalog.ReferenceMarkdown(ctx, actor, api, version, environment)
		return markdownKind, []byte(text), err
	}
	document, err := a.catalog.AsyncAPI(ctx, actor, api, version, environment)
	switch {
	case err != nil:
		return "", nil, err
	case format == "json":
		return "application/json", document.JSON(), nil
	}
	return "application/yaml", document.YAML(), nil
}

// bootstrap is where clients reach an environment.
func (a *API) bootstrap(environment string) string { return a.access(environment).Bootstrap }

// reading describes a route of the catalog.
func (a *API) reading(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{catalogTag}}
}

// answer makes an answer of what the catalog says.
func answer[T any](a *API, ctx context.Context, in ConditionalInput, out *T, err error) (*conditional[T], error) {
	if err == nil {
		var body *conditional[T]
		if body, err = whenChanged(in, out); err == nil {
			return body, nil
		}
	}
	return nil, a.failed(ctx, err)
}

// listsAreThere describes the lists in the catalog's answers as what they are: never null.
func (a *API) listsAreThere() {
	seen := map[*huma.Schema]bool{}
	var visit func(s *huma.Schema)
	visit = func(s *huma.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		if s.Ref != "" {
			visit(a.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref))
			return
		}
		if s.Type == huma.TypeArray {
			s.Nullable = false
		}
		visit(s.Items)
		for _, p := range s.Properties {
			visit(p)
		}
	}
	for _, item := range a.huma.OpenAPI().Paths {
		if op := item.Get; op != nil && slices.Contains(op.Tags, catalogTag) {
			for _, r := range op.Responses {
				for _, m := range r.Content {
					visit(m.Schema)
				}
			}
		}
	}
}
