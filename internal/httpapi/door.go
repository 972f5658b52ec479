package httpapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
	"sluice/internal/resource"
)

// exactKeys makes huma take keys of bodies as they are described and in no other case:
// what is described is what is checked. The switch is the library's, for all of a process.
var exactKeys = sync.OnceFunc(func() { huma.ValidateStrictCasing = true })

// parameters are those that the query of a route may have: true for one that may be
// there more than once.
type parameters map[string]bool

// queries returns the parameters of all routes that are described, by their patterns.
func queries(api *huma.OpenAPI) map[string]parameters {
	out := map[string]parameters{}
	for path, item := range api.Paths {
		for method, op := range map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodDelete: item.Delete, http.MethodPatch: item.Patch} {
			if op == nil || path == callbackPath { // what a provider sends besides is to be ignored (RFC 6749 §4.1.2)
				continue
			}
			known := parameters{}
			for _, p := range op.Parameters {
				if p.In == "query" {
					known[p.Name] = p.Schema != nil && p.Schema.Type == huma.TypeArray
				}
			}
			out[method+" "+path] = known
		}
	}
	return out
}

// check refuses a query with what the route does not know: a mistyped dryRun would do
// what it should only try.
func (known parameters) check(query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		many, is := known[name]
		switch {
		case !is:
			fix := "there is none here"
			if names := slices.Sorted(maps.Keys(known)); len(names) > 0 {
				fix = "there are " + strings.Join(names, ", ")
				if near := resource.Nearest(name, names); near != "" {
					fix = "did you mean " + near + "?"
				}
			}
			return fault.New(fault.Invalid, "there is no query parameter %q: %s", clip(name), fix)
		case !many && len(query[name]) > 1:
			return fault.New(fault.Invalid, "the query parameter %s is there more than once: write it once", name)
		}
	}
	return nil
}

// asText refuses an address that is no text: no store could keep, or look for, what it names.
func asText(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the query cannot be read: %s", err)
	}
	if err := isText(r.URL.Path); err != nil {
		return nil, fault.New(fault.Invalid, "the path %s", err)
	}
	for name, values := range query {
		for _, text := range append(values, name) {
			if err := isText(text); err != nil {
				return nil, fault.New(fault.Invalid, "the query %s", err)
			}
		}
	}
	return query, nil
}

var (
	errNotUTF8 = errors.New("is not UTF-8")
	errNUL     = errors.New("has the character NUL, which no text here may have")
)

func isText(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errNotUTF8
	case strings.Contains(s, "\x00"):
		return errNUL
	}
	return nil
}

// unmarshal reads a body of JSON whose strings are text.
func unmarshal(body []byte, into any) error {
	if !utf8.Valid(body) {
		return errNotUTF8
	}
	if err := json.Unmarshal(body, into); err != nil {
		return err
	}
	return withoutNUL(body)
}

// withoutNUL refuses JSON with a NUL in a string, which is written \u0000 there: only where
// the backslash is not itself escaped.
func withoutNUL(body []byte) error {
	for rest := string(body); ; {
		at := strings.Index(rest, `\u0000`)
		if at < 0 {
			return nil
		}
		before := 0
		for at > before && rest[at-before-1] == '\\' {
			before++
		}
		if before%2 == 0 {
			return errNUL
		}
		rest = rest[at+len(`\u0000`):]
	}
}

// formats are those of bodies.
func formats() map[string]huma.Format {
	format := huma.DefaultJSONFormat
	format.Unmarshal = unmarshal
	return map[string]huma.Format{"application/json": format, "json": format}
}
