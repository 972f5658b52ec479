package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/httpapi"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/store/sqlstore"
)

// world is a management API on a port of its own. Whoever asks says in a token who
// they are.
type world struct {
	t      *testing.T
	plane  *control.Plane
	server *httptest.Server
}

func newWorld(t *testing.T) *world {
	w := &world{t: t}
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	if w.plane, err = control.New(t.Context(), control.Deps{Store: store, Log: log, Seed: make([]byte, 32)}); err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Deps{Plane: w.plane, Log: log, Release: "test", Authenticate: func(r *http.Request) (identity.Actor, error) {
		login, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !given:
			return identity.Nobody(), nil
		case login == "wrong":
			return identity.Nobody(), fault.New(fault.Denied, "the token is not one of ours")
		}
		set := w.plane.Model().Set()
		return identity.Someone(login, login == "root", identity.NewDirectory(set.Organisations, set.Teams).Of(login, identity.Groups{})), nil
	}})
	w.server = httptest.NewServer(api)
	t.Cleanup(w.server.Close)
	return w
}

// ask sends a request and returns the answer with its body.
func (w *world) ask(login, method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if login != "" {
		r.Header.Set("Authorization", "Bearer "+login)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.server.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

// want is ask, and fails unless the status is the one.
func (w *world) want(status int, login, method, path, body string, headers ...string) string {
	w.t.Helper()
	resp, got := w.ask(login, method, path, body, headers...)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, resp.StatusCode, got, status)
	}
	return got
}

const (
	organisation = `{"apiVersion":"sluice/v1","kind":"Organisation","metadata":{"name":"acme"},"spec":{"title":"Acme"}}`
	team         = `{"apiVersion":"sluice/v1","kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"ben":["publisher","app-developer","approver"]}}}`
	cluster      = `{"apiVersion":"sluice/v1","kind":"Cluster","metadata":{"name":"main","environment":"prod"},"spec":{"bootstrap":["127.0.0.1:9092"],"publish":{"shop":["*"]}}}`
	api          = `{"apiVersion":"sluice/v1","kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"partner"}}`
)

func (w *world) people() {
	w.t.Helper()
	w.want(201, "root", "PUT", "/v1/organisations/acme", organisation)
	w.want(201, "root", "PUT", "/v1/teams/shop", team)
	w.want(201, "root", "PUT", "/v1/clusters/main", cluster)
}

func TestDocumentsAreCreatedReadChangedAndRemoved(t *testing.T) {
	w := newWorld(t)
	w.people()
	resp, body := w.ask("ben", "PUT", "/v1/apis/orders", api)
	first := resp.Header.Get("ETag")
	if resp.StatusCode != 201 || len(first) < 3 || !strings.Contains(body, `"result":"created"`) {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	resp, body = w.ask("ben", "PUT", "/v1/apis/orders", api)
	if resp.StatusCode != 200 || resp.Header.Get("ETag") != first || !strings.Contains(body, `"result":"unchanged"`) {
		t.Errorf("again: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	changed := strings.Replace(api, `"spec":{`, `"spec":{"title":"Orders",`, 1)
	if body := w.want(200, "ben", "PUT", "/v1/apis/orders?dryRun=true", changed); !strings.Contains(body, `"dryRun":true`) || !strings.Contains(body, `{"path":"spec.title","after":"Orders"}`) {
		t.Errorf("dry run: %s", body)
	}
	w.want(409, "ben", "PUT", "/v1/apis/orders", changed, "If-Match", `"7"`)
	w.want(409, "ben", "PUT", "/v1/apis/orders", changed, "If-None-Match", `*`)
	w.want(422, "ben", "PUT", "/v1/apis/orders", changed, "If-Match", `seven`)
	w.want(200, "ben", "PUT", "/v1/apis/orders", changed, "If-Match", first)
	resp, body = w.ask("ben", "GET", "/v1/apis/orders", "")
	var d schema.Document
	if err := json.Unmarshal([]byte(body), &d); err != nil || resp.Header.Get("ETag") == first || resp.Header.Get("ETag") != d.Status.ETag || d.Status.Serial != 2 || d.Status.Team != "shop" || d.Status.Organisation != "acme" || string(d.Spec) != `{"title":"Orders","visibility":"partner"}` {
		t.Errorf("%v %s", err, body)
	}
	w.want(409, "ben", "DELETE", "/v1/apis/orders", "", "If-Match", first)
	w.want(200, "ben", "DELETE", "/v1/apis/orders?dryRun=true", "")
	w.want(200, "ben", "DELETE", "/v1/apis/orders", "", "If-Match", d.Status.ETag)
	w.want(404, "ben", "GET", "/v1/apis/orders", "")
	// Made again, it has an ETag that it never had.
	w.want(201, "ben", "PUT", "/v1/apis/orders", api)
	w.want(409, "ben", "PUT", "/v1/apis/orders", changed, "If-Match", first)
	w.want(409, "ben", "POST", "/v1/apply", `{"documents":[`+changed+`],"tags":{"API/orders":`+quoted(first)+`}}`)
	w.want(409, "ben", "POST", "/v1/apply", `{"documents":[`+changed+`],"tags":{"API/orders":""}}`)
	w.want(422, "ben", "POST", "/v1/apply", `{"documents":[`+changed+`],"tags":{"orders":""}}`)
	resp, _ = w.ask("ben", "GET", "/v1/apis/orders", "")
	w.want(200, "ben", "POST", "/v1/apply", `{"documents":[`+changed+`],"tags":{"API/orders":`+quoted(resp.Header.Get("ETag"))+`}}`)
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // of a text it never fails
	return string(b)
}

// A method that a path does not have is told with those that it has.
func TestOtherMethods(t *testing.T) {
	w := newWorld(t)
	for path, allow := range map[string]string{"/v1/apis": "GET, HEAD", "/v1/apis/orders": "DELETE, GET, HEAD, PUT", "/v1/apply": "POST", "/v1/changes": "GET, HEAD", "/v1/audit/export": "GET, HEAD"} {
		for _, method := range []string{"PATCH", "PUT", "POST", "DELETE", "GET"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			resp, body := w.ask("root", method, path, "")
			var p schema.Problem
			if resp.StatusCode != 405 || resp.Header.Get("Allow") != allow || json.Unmarshal([]byte(body), &p) != nil || p.Status != 405 || p.Instance == "" {
				t.Errorf("%s %s: %d, Allow %q, %s", method, path, resp.StatusCode, resp.Header.Get("Allow"), body)
			}
		}
	}
	w.want(404, "root", "DELETE", "/v1/nothing", "")
}

// What is wrong with a body is told with its place, and never with what was sent.
func TestWrongBodies(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ path, body, at, detail string }{
		"an unknown field":         {"/v1/apply", `{"documents":[],"prun":true}`, "prun", "unexpected property"},
		"a field below":            {"/v1/tokens", `{"name":"x","roles":[{"role":"a","organisation":"b","tea":"canary"}]}`, "roles[0].tea", "unexpected property"},
		"another type":             {"/v1/tokens", `{"name":["canary"]}`, "name", "expected string"},
		"a field that is missing":  {"/v1/tokens", `{}`, "", "required property name"},
		"no JSON":                  {"/v1/tokens", `{"name": canary`, "", "invalid character"},
		"nothing":                  {"/v1/tokens", ``, "", "body is required"},
		"an argument in the query": {"/v1/apply?dryRun=canary", `{"documents":[]}`, "query.dryRun", "invalid boolean"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := w.ask("root", "POST", c.path, c.body)
			var p schema.Problem
			decoder := json.NewDecoder(strings.NewReader(body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&p); err != nil || p.Status != resp.StatusCode || p.Instance != "urn:sluice:request:"+resp.Header.Get("X-Request-Id") || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%v: %d %s %s", err, resp.StatusCode, resp.Header.Get("Content-Type"), body)
			}
			if resp.StatusCode != 422 && resp.StatusCode != 400 || !strings.Contains(p.Detail, c.detail) || strings.Contains(body, "canary") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if c.at != "" && !slices.ContainsFunc(p.Faults, func(f schema.Fault) bool { return f.Path == c.at }) {
				t.Errorf("no fault at %s: %s", c.at, body)
			}
		})
	}
}

// Answers that are none are problem details, with the id of the request.
func TestProblems(t *testing.T) {
	w := newWorld(t)
	w.people()
	for name, c := range map[string]struct {
		login, method, path, body string
		status                    int
		detail                    string
	}{
		"nobody":              {"", "PUT", "/v1/apis/orders", api, 401, "not logged in"},
		"a wrong token":       {"wrong", "GET", "/v1/apis", "", 401, "not one of ours"},
		"no such route":       {"ben", "GET", "/v1/nothing", "", 404, "openapi.json"},
		"no such document":    {"ben", "GET", "/v1/apis/nothing", "", 404, `that you may see`},
		"not for this one":    {"ben", "PUT", "/v1/teams/shop", strings.Replace(team, "acme", "acme", 1), 200, ""},
		"no JSON":             {"ben", "PUT", "/v1/apis/orders", "{", 422, "not JSON"},
		"YAML":                {"ben", "PUT", "/v1/apis/orders", "kind: API", 422, "not JSON"},
		"an unknown field":    {"ben", "PUT", "/v1/apis/orders", strings.Replace(api, "visibility", "visibilty", 1), 422, "did you mean visibility?"},
		"another name":        {"ben", "PUT", "/v1/apis/other", api, 422, "API other"},
		"another kind":        {"ben", "PUT", "/v1/products/orders", api, 422, "Product orders"},
		"two of a field":      {"ben", "PUT", "/v1/apis/orders", strings.Replace(api, `"spec":{`, `"spec":{"visibility":"public",`, 1), 422, "twice"},
		"a secret inside":     {"ben", "PUT", "/v1/credentials/c", `{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":"c","environment":"prod"},"spec":{"application":"a","type":"scram","secret":"hunter2hunter2hunter2"}}`, 422, "reference to a secret"},
		"a list of nothing":   {"ben", "GET", "/v1/apis?to=nothing", "", 422, "Application/acme-erp"},
		"a page of too many":  {"ben", "GET", "/v1/apis?limit=100000", "", 422, ""},
		"a move of no state":  {"ben", "POST", "/v1/versions/orders.v1/publish", "{}", 404, "orders.v1"},
		"no such move":        {"ben", "POST", "/v1/versions/orders.v1/explode", "{}", 404, "openapi.json"},
		"a duration":          {"ben", "POST", "/v1/versions/orders.v1/deprecate", `{"grace":"soon"}`, 422, "72h"},
		"an unknown argument": {"ben", "POST", "/v1/versions/orders.v1/publish", `{"reson":"x"}`, 422, ""},
		"too much":            {"ben", "PUT", "/v1/apis/orders", strings.Repeat(" ", 2<<20) + api, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := w.ask(c.login, c.method, c.path, c.body)
			if resp.StatusCode != c.status && !(name == "not for this one" && resp.StatusCode == 403) {
				t.Fatalf("%d %s, want %d", resp.StatusCode, body, c.status)
			}
			if strings.Contains(body, "hunter2") {
				t.Error("the secret is in the answer")
			}
			if resp.StatusCode < 300 {
				return
			}
			var p schema.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != resp.StatusCode || p.Title == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("%v: %s %s", err, resp.Header.Get("Content-Type"), body)
			}
			if !strings.Contains(body, c.detail) {
				t.Errorf("got %s, want %q in it", body, c.detail)
			}
			if id := resp.Header.Get("X-Request-Id"); id == "" || p.Instance != "" && p.Instance != "urn:sluice:request:"+id {
				t.Errorf("request %q, instance %q", id, p.Instance)
			}
		})
	}
}

func TestManyDocumentsAtOnce(t *testing.T) {
	w := newWorld(t)
	c, err := client.New(client.Config{Server: w.server.URL, Token: "root"})
	if err != nil {
		t.Fatal(err)
	}
	all := schema.Apply{Documents: []json.RawMessage{json.RawMessage(cluster), json.RawMessage(team), json.RawMessage(organisation)}, Owner: "repo", Reason: "begin"}
	report, err := c.Apply(t.Context(), all, false)
	if err != nil || len(report.Outcomes) != 3 || report.Outcomes[0].Kind != "Organisation" || report.Request == "" {
		t.Fatalf("%+v, %v", report, err)
	}
	bad := all
	bad.Documents = append(slices.Clone(all.Documents), json.RawMessage(`{"apiVersion":"sluice/v1","kind":"Team","metadata":{"name":"lost"},"spec":{}}`), json.RawMessage(`{"kind":"Tea"}`))
	_, err = c.Apply(t.Context(), bad, false)
	p, ok := err.(*schema.Problem)
	if !ok || p.Status != 422 || len(p.Faults) < 2 {
		t.Fatalf("%v", err)
	}
	if i := slices.IndexFunc(p.Faults, func(f schema.Fault) bool {
		return f.Kind == "Team" && f.Name == "lost" && f.Path == "spec.organisation" && f.Fix != ""
	}); i < 0 {
		t.Errorf("%+v", p.Faults)
	}
	me, err := c.Me(t.Context())
	if err != nil || me.Actor != "person root" || !me.PlatformAdmin {
		t.Errorf("%+v, %v", me, err)
	}
	var names []string
	err = c.List(t.Context(), "teams", map[string][]string{"limit": {"1"}}, func(d schema.Document) error {
		names = append(names, string(d.Metadata))
		return nil
	})
	if err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestMovesGoThroughTheAPI(t *testing.T) {
	w := newWorld(t)
	w.people()
	w.want(201, "ben", "PUT", "/v1/apis/orders", api)
	w.want(201, "ben", "PUT", "/v1/versions/orders.v1", `{"apiVersion":"sluice/v1","kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"send":true}}},"channels":{"placed":{"prod":{"cluster":"main","topic":"shop.orders"}}}}}`)
	if body := w.want(200, "ben", "GET", "/v1/versions/orders.v1", ""); !strings.Contains(body, `"actions":[`) || !strings.Contains(body, `"publish"`) || !strings.Contains(body, `"state":"draft"`) {
		t.Errorf("%s", body)
	}
	w.want(409, "ben", "POST", "/v1/versions/orders.v1/publish", "{}", "If-Match", `"9"`)
	if body := w.want(200, "ben", "POST", "/v1/versions/orders.v1/publish", `{"reason":"ready"}`); !strings.Contains(body, `"state":"published"`) || !strings.Contains(body, `"message":"ready"`) {
		t.Errorf("%s", body)
	}
	w.want(422, "ben", "POST", "/v1/versions/orders.v1/deprecate", `{}`)
	w.want(200, "ben", "POST", "/v1/versions/orders.v1/deprecate", `{"sunset":"2099-01-01T00:00:00Z","grace":"24h","reason":"nothing follows"}`)
	w.want(403, "ben", "POST", "/v1/versions/orders.v1/block", `{"reason":"x"}`)
	w.want(200, "root", "POST", "/v1/versions/orders.v1/block", `{"reason":"leak"}`)
}

// Whoever watches is told of each change, and where to go on.
func TestChangesAreFollowed(t *testing.T) {
	w := newWorld(t)
	w.people()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", w.server.URL+"/v1/changes", nil)
	r.Header.Set("Authorization", "Bearer root")
	r.Header.Set("Last-Event-ID", "2")
	resp, err := w.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type %q", got)
	}
	events := bufio.NewScanner(resp.Body)
	next := func() string {
		for events.Scan() {
			if data, ok := strings.CutPrefix(events.Text(), "data: "); ok {
				return data
			}
		}
		return "the end: " + context.Cause(ctx).Error()
	}
	if got := next(); !strings.Contains(got, `"seq":3,"kind":"Cluster","name":"main","serial":1`) {
		t.Errorf("first %s", got)
	}
	w.want(200, "root", "PUT", "/v1/organisations/acme", strings.Replace(organisation, "Acme", "Acme Trading", 1))
	if got := next(); !strings.Contains(got, `"seq":4,"kind":"Organisation","name":"acme","serial":2`) {
		t.Errorf("then %s", got)
	}
	w.want(422, "root", "GET", "/v1/changes?after=soon", "")
}

func TestTheAPIDescribesItself(t *testing.T) {
	w := newWorld(t)
	body := w.want(200, "", "GET", "/v1/openapi.json", "")
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Fatalf("%v, %s", err, d.OpenAPI)
	}
	for _, want := range []string{"GET /v1/apis", "PUT /v1/apis/{name}", "POST /v1/apply", "POST /v1/subscriptions/{name}/approve", "POST /v1/credentials/{name}/revoke", "GET /v1/changes", "GET /v1/me"} {
		method, path, _ := strings.Cut(want, " ")
		if d.Paths[path][strings.ToLower(method)] == nil {
			t.Errorf("%s is not described", want)
		}
	}
	if strings.Contains(body, "ErrorModel") || strings.Contains(body, "ErrorDetail") || !strings.Contains(body, `"Problem":{`) || !strings.Contains(body, `"Fault":{`) {
		t.Error("refusals are not described as ours")
	}
	for path, item := range d.Paths {
		for method, raw := range item {
			var op struct {
				Responses map[string]struct {
					Content map[string]struct{ Schema map[string]string }
				}
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err == nil && op.Responses["default"].Content["application/problem+json"].Schema["$ref"] != "#/components/schemas/Problem" {
				t.Errorf("%s %s does not describe its problems: %+v", method, path, op.Responses["default"])
			}
		}
	}
	for _, want := range []string{`"Version":{`, `"lifecycle":`, `"compatibility":`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not described", want)
		}
	}
}

func TestTheClientSpeaksToNobodyElse(t *testing.T) {
	for server, want := range map[string]string{
		"sluice.example.com": "is no address", "http://sluice.example.com": "without TLS", "ftp://127.0.0.1": "is no address", "": "is no address",
	} {
		if _, err := client.New(client.Config{Server: server}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", server, err)
		}
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/me" {
			http.Redirect(w, r, "https://example.com/", http.StatusFound)
			return
		}
		io.WriteString(w, "<html>")
	}))
	defer elsewhere.Close()
	c, err := client.New(client.Config{Server: elsewhere.URL, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a redirection: %v", err)
	}
	if _, err := c.Get(t.Context(), "apis", "x"); err == nil || !strings.Contains(err.Error(), "read the answer") {
		t.Errorf("not an API: %v", err)
	}
}
