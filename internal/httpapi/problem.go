package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// What the library that reads requests says against them has a form of its own. It is
// answered, and described, as our problems; values that were sent are left out, since
// they may be secrets.

// ours turns an answer of the library into one of ours.
func ours(ctx huma.Context, _ string, v any) (any, error) {
	theirs, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &schema.Problem{Type: "about:blank", Title: http.StatusText(theirs.Status), Status: theirs.Status, Detail: theirs.Detail, Instance: instance(request(ctx.Context()).ID)}
	for _, e := range theirs.Errors {
		path := strings.TrimPrefix(strings.TrimPrefix(e.Location, "body"), ".")
		p.Faults = append(p.Faults, schema.Fault{Path: path, Message: e.Message})
	}
	if len(p.Faults) > 0 {
		p.Detail = "the request is not as it should be: " + p.Faults[0].Message
		if p.Faults[0].Path != "" {
			p.Detail += ", at " + p.Faults[0].Path
		}
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return p, nil
}

func instance(id string) string { return "urn:sluice:request:" + id }

// describeProblems describes refusals as what they are.
func describeProblems(api *huma.OpenAPI) {
	const theirs, ours = "#/components/schemas/ErrorModel", "#/components/schemas/Problem"
	api.Components.Schemas.Schema(reflect.TypeFor[schema.Problem](), true, "Problem") // and what it is made of
	schemas := api.Components.Schemas.Map()
	for _, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch} {
			if op == nil {
				continue
			}
			if op.Responses["default"] == nil {
				op.Responses["default"] = &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: ours}}}}
			}
			for _, r := range op.Responses {
				for _, m := range r.Content {
					if m.Schema != nil && m.Schema.Ref == theirs {
						m.Schema = &huma.Schema{Ref: ours}
					}
				}
			}
		}
	}
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
}

// methods are all that some route has.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete}

// noRoute answers what nothing is there for: 405 where another method has something.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, id string) {
	var allowed []string
	for _, method := range methods {
		other := *r
		other.Method = method
		if _, pattern := a.mux.Handler(&other); pattern != "" && method != r.Method {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		refuse(w, problem(fault.New(fault.NotFound, "there is no %s: /v1/openapi.json says what there is", clip(r.URL.Path)), id))
		return
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, &schema.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed, Instance: instance(id),
		Detail: clip(r.URL.Path) + " takes " + strings.Join(allowed, ", ") + ", and not " + clip(r.Method),
	})
}

// unasked makes a refusal of somebody who has not said who they are one to do so.
func unasked(actor identity.Actor, p *schema.Problem) *schema.Problem {
	if actor.Kind() == identity.KindNobody && p.Status == http.StatusForbidden {
		p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	}
	return p
}
