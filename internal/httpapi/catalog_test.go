package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/resource"
)

// withCatalog puts a public API with a guide into the house, beside the private ones.
func withCatalog(t *testing.T) *house {
	h := newHouse(t)
	set, problems := resource.ReadRequest("", []byte(`
apiVersion: sluice/v1
kind: API
metadata: {name: weather, team: shop}
spec: {title: "Weather | <b>", visibility: public, description: "What *stations* measure.", docs: {pages: {start.md: "# Begin\n\nRead {{topic}}, then [more](more.md). <script>alert(1)</script>\n", more.md: "# More\n"}}}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: weather.v1}
spec:
  contract: {asyncapi: "{asyncapi: 3.0.0, info: {title: W, version: '1'}, channels: {m: {address: weather.measured, messages: {x: {payload: {type: object, properties: {celsius: {type: number, description: 'a | b'}}}}}}}, operations: {s: {action: send, channel: {$ref: '#/channels/m'}}}}"}
  channels: {m: {prod: {cluster: mine, topic: backing.weather}}}
  lifecycle: {state: published}
`))
	for _, p := range resource.Errors(problems) {
		t.Fatal(p)
	}
	var documents []resource.Any
	for d := range set.All() {
		documents = append(documents, d)
	}
	h.apply(documents)
	return h
}

// get asks as a role and returns status, header and body.
func (h *house) get(role, path string, header ...string) (int, http.Header, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.server.URL+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if token := h.tokens[role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := h.server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// TestMachines asks for everything that programs read, as nobody and as the owner.
func TestMachines(t *testing.T) {
	h := withCatalog(t)
	for _, tc := range []struct{ path, kind, has string }{
		{"/llms.txt", "text/markdown; charset=utf-8", `- [Weather \| \<b>](/apis/weather.md?version=weather.v1): weather.v1, published, to read. What stations measure.`},
		{"/catalog.md", "text/markdown; charset=utf-8", "weather.v1"},
		{"/apis/weather.md", "text/markdown; charset=utf-8", "| `weather.measured` |  | JSON Schema |  |  |"},
		{"/apis/weather.md?version=v1&environment=prod", "text/markdown; charset=utf-8", "- [Begin](/apis/weather/guides/start.md)"},
		{"/apis/weather/reference.md", "text/markdown; charset=utf-8", `| celsius | number |  | a \| b |`},
		{"/apis/weather/guides/start.md", "text/markdown; charset=utf-8", "Read weather.measured, then"},
		{"/apis/weather/asyncapi.yaml", "application/yaml", `asyncapi: "3.0.0"`},
		{"/apis/weather/asyncapi.json", "application/json", `"asyncapi": "3.0.0"`},
		{"/apis/weather/asyncapi.md", "text/markdown; charset=utf-8", "celsius"},
		{"/sitemap.xml", "application/xml; charset=utf-8", "<loc>" + h.server.URL + "/apis/weather</loc>"},
		{"/.well-known/api-catalog", `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`, h.server.URL + "/apis/weather/asyncapi.yaml"},
		{"/v1/catalog/weather/asyncapi?format=markdown", "text/markdown; charset=utf-8", "celsius"},
		{"/v1/catalog/weather/guides/start", "application/json", `href=\"/apis/weather/guides/more\"`},
		{"/v1/search?q=celsius", "application/json", `"total":1`},
		{"/v1/search?q=begin", "application/json", `"guides"`},
	} {
		for _, role := range []string{"N", "B", "R"} {
			status, header, body := h.get(role, tc.path)
			if status != http.StatusOK || header.Get("Content-Type") != tc.kind || !strings.Contains(strings.ReplaceAll(body, `\u003c`, "<"), tc.has) {
				t.Errorf("%s as %s: %d %s\n%s\nwant %s", tc.path, role, status, header.Get("Content-Type"), body, tc.has)
			}
			for _, never := range []string{"backing", "theirs", "script>alert"} {
				if strings.Contains(body, never) && !(never == "script>alert" && strings.HasSuffix(tc.path, "start.md")) {
					t.Errorf("%s as %s says %q:\n%s", tc.path, role, never, body)
				}
			}
			if owner := role == "B"; strings.Contains(body, "mine") && (!owner || strings.Contains(tc.path, "sitemap") || strings.Contains(tc.path, "well-known")) {
				t.Errorf("%s as %s tells of what is private:\n%s", tc.path, role, body)
			}
		}
	}
	for _, path := range []string{"/apis/mine.md", "/apis/mine/reference.md", "/apis/mine/asyncapi.yaml", "/apis/mine/guides/x.md", "/apis/weather/guides/x.md", "/apis/absent.md", "/v1/apis/mine/docs"} {
		if status, _, body := h.get("N", path); status != http.StatusNotFound || !strings.Contains(body, `"status":404`) {
			t.Errorf("%s as nobody: %d %s", path, status, body)
		}
	}
	if status, _, _ := h.get("B", "/apis/mine.md"); status != http.StatusOK {
		t.Errorf("the owner reads %d", status)
	}
	if status, body := h.ask("", "POST", "/llms.txt", ""); status < 400 {
		t.Errorf("llms.txt takes a POST: %d %s", status, body)
	}
}

// TestNotModified asks again for what it has: it is answered with nothing until something changes, and never with what
// somebody else sees.
func TestNotModified(t *testing.T) {
	h := withCatalog(t)
	for _, path := range []string{"/v1/catalog", "/v1/catalog/weather", "/v1/catalog/weather/reference", "/v1/catalog/weather/changelog", "/v1/catalog/weather/guides/start", "/v1/catalog/weather/compare?from=v1&to=v1", "/llms.txt", "/apis/weather.md"} {
		status, header, body := h.get("N", path)
		tag := header.Get("ETag")
		if status != http.StatusOK || tag == "" || header.Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%s: %d %v", path, status, header)
		}
		if status, header, again := h.get("N", path, "If-None-Match", `"x", W/`+tag); status != http.StatusNotModified || again != "" || header.Get("ETag") != tag {
			t.Errorf("%s again: %d %q", path, status, again)
		}
		if strings.Contains(path, "weather") && !strings.HasSuffix(path, "/weather") {
			continue
		}
		if status, _, own := h.get("B", path, "If-None-Match", tag); status != http.StatusOK || own == body {
			t.Errorf("%s: the owner is told %d, that it is as nobody sees it", path, status)
		}
	}
}

// TestListsAreNeverNull reads the description and answers of the catalog: a page may go through every list.
func TestListsAreNeverNull(t *testing.T) {
	h := withCatalog(t)
	var d struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]struct{ Type any } }
		}
	}
	_, body := h.ask("", "GET", "/v1/openapi.json", "")
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Catalog", "CatalogCard", "APIPage", "ChosenVersion", "Reference", "SearchResults", "Changelog", "VersionComparison"} {
		if len(d.Components.Schemas[name].Properties) == 0 {
			t.Errorf("%s is not described", name)
		}
		for field, of := range d.Components.Schemas[name].Properties {
			if types, several := of.Type.([]any); several {
				t.Errorf("%s.%s is %v", name, field, types)
			}
		}
	}
	for _, path := range []string{"/v1/catalog", "/v1/catalog/weather", "/v1/catalog/mine", "/v1/catalog/weather/reference", "/v1/catalog/weather/changelog", "/v1/catalog/weather/compare?from=v1&to=v1", "/v1/search?q=zzz", "/v1/search?q=weather"} {
		for _, role := range []string{"N", "B", "P"} {
			if _, _, body := h.get(role, path); strings.Contains(body, ":null") {
				t.Errorf("%s as %s: %s", path, role, body)
			}
		}
	}
}
