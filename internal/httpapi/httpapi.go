// Package httpapi is the management API, /v1: everything that the command line, the
// portal and the console do goes through it. Its main type is API, an http.Handler
// that describes itself in OpenAPI 3.1. It decides nothing: what is allowed and sound
// is the control plane's to say.
package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/internal/control"
	"sluice/internal/control/catalog"
	"sluice/internal/control/identity"
	"sluice/internal/control/identity/openid"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// Deps are what an API works with.
type Deps struct {
	Plane *control.Plane
	// People have logins and API tokens.
	People *identity.People
	// Providers are identity providers through which people log in, and URL is where their
	// browsers reach the API; "" where there are none.
	Providers []*openid.Provider
	URL       string
	// Authenticate says who asks, instead of People; its error has a kind of fault. It
	// is for tests.
	Authenticate func(*http.Request) (identity.Actor, error)
	// Tokens signs those of the token endpoint; nil has none.
	Tokens Tokens
	// Gateways are those that run apart; nil where none can.
	Gateways Gateways
	// Catalog is what the portal shows of the plane; nil for one that knows of no traffic.
	Catalog *catalog.Catalog
	// Listens says where this process serves Kafka clients of an environment; nil where it
	// serves none.
	Listens func(environment string) Access
	Log     *slog.Logger
	// Release is this program's, for the description.
	Release string
}

// API serves the management API. It is safe for concurrent use.
type API struct {
	plane        *control.Plane
	people       *identity.People
	gateways     Gateways
	catalog      *catalog.Catalog
	listens      func(environment string) Access
	authenticate func(*http.Request) (identity.Actor, error)
	log          *slog.Logger
	mux          *http.ServeMux
	open         *http.ServeMux // of routes whose callers prove themselves in their own way
	huma         huma.API
	providers    []*openid.Provider
	url          string // where browsers reach it
	secure       bool   // by TLS
	browsers     *http.CrossOriginProtection
	queries      map[string]parameters // of routes, by their patterns
}

// What one request may hold.
const (
	maxBodyBytes  = 1 << 20  // one document
	maxApplyBytes = 32 << 20 // many
)

// New returns an API.
func New(deps Deps) *API {
	a := &API{secure: strings.HasPrefix(deps.URL, "https:"), browsers: http.NewCrossOriginProtection(), plane: deps.Plane, people: deps.People, gateways: deps.Gateways, listens: deps.Listens, catalog: deps.Catalog, authenticate: deps.Authenticate, log: deps.Log, mux: http.NewServeMux(), open: http.NewServeMux()}
	if a.authenticate == nil {
		a.authenticate = who(a.people, a.secure)
	}
	if a.catalog == nil {
		a.catalog = catalog.New(catalog.Deps{Plane: deps.Plane, Log: deps.Log})
	}
	a.providers, a.url = deps.Providers, deps.URL
	config := huma.DefaultConfig("Sluice management API", deps.Release)
	config.Info.Description = "API management for Apache Kafka. Documents are those of sluice/v1; errors are problem details (RFC 9457)."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/v1/openapi", "", ""
	config.CreateHooks = nil // no $schema fields in answers
	config.Formats = formats()
	exactKeys()
	config.Transformers = append(config.Transformers, ours)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "An API token."}}
	config.Security = []map[string][]string{{"token": {}}, {}}
	a.huma = humago.New(a.mux, config)
	a.documents()
	a.moves()
	a.credentials()
	a.samples()
	if deps.Tokens != nil {
		a.tokenEndpoint(deps.Tokens)
	}
	a.deployments()
	a.inbox()
	a.notifications()
	a.explaining()
	a.importing()
	a.whole()
	a.joining()
	a.accounts()
	a.external()
	a.auditing()
	a.catalogRoutes()
	describeProblems(a.huma.OpenAPI())
	a.queries = queries(a.huma.OpenAPI())
	return a
}

// OpenAPI returns the description of the API, in JSON.
func (a *API) OpenAPI() ([]byte, error) { return json.MarshalIndent(a.huma.OpenAPI(), "", "  ") }

// asking is who asks for something, and how; a handler turns it into an argument.
type asking struct {
	request control.Request
	agent   string // what the caller calls itself
	secret  string // that it asks with
	server  string // where it reached the API, as https://sluice.example.com
}

// secure says whether it came by TLS.
func (q *asking) secure() bool { return strings.HasPrefix(q.server, "https:") }

type askingKey struct{}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := control.NewRequestID()
	began := time.Now()
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	answered := &answered{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			a.log.Error("bug: panic while answering a request", "request", id, "panic", p, "stack", string(debug.Stack()))
			if answered.status == 0 {
				refuse(answered, problem(fault.New(fault.Internal, "panic"), id))
			}
		}
		a.log.Debug("request", "request", id, "method", r.Method, "path", r.URL.Path, "status", answered.status, "took", time.Since(began))
	}()
	if _, pattern := a.open.Handler(r); pattern != "" {
		a.open.ServeHTTP(answered, r)
		return
	}
	if err := a.fromOurs(r); err != nil {
		refuse(answered, problem(err, id))
		return
	}
	actor, err := a.authenticate(r)
	if err != nil {
		a.told(id, err)
		refuse(answered, unasked(identity.Nobody(), problem(err, id)))
		return
	}
	if actor.Kind() == identity.KindNobody && r.Method != http.MethodGet && r.Method != http.MethodHead && !forNobody[r.URL.Path] {
		refuse(answered, unasked(actor, problem(fault.New(fault.Denied, "you are not logged in: use sluice login, or an API token"), id)))
		return
	}
	host := hostOf(r)
	secret, _ := secretOf(r, a.secure)
	query := control.Request{Actor: actor, ID: id, Address: host}
	r = r.WithContext(context.WithValue(r.Context(), askingKey{}, &asking{query, clip(r.UserAgent()), secret, a.reachedAt(r)}))
	values, err := asText(r)
	if err != nil {
		refuse(answered, problem(err, id))
		return
	}
	m := a.forMachines(r.URL.Path)
	_, pattern := a.mux.Handler(r)
	if m == nil && pattern == "" {
		a.noRoute(answered, r, id)
		return
	}
	known, described := a.queries[pattern]
	if m != nil {
		known, described = machineQuery(r.URL.Path), true
	}
	if described {
		if err := known.check(values); err != nil {
			refuse(answered, problem(err, id))
			return
		}
	}
	if m != nil {
		a.answerMachine(answered, r, m)
		return
	}
	a.mux.ServeHTTP(answered, r)
}

// reachedAt is where people and programs reach the API: as the settings say, else as this
// request did.
func (a *API) reachedAt(r *http.Request) string {
	switch {
	case a.url != "":
		return strings.TrimSuffix(a.url, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// fromOurs refuses what another site's page makes a browser ask: a browser sends the
// cookie of a login along. What changes something has to come from our own pages, and
// its body has to be JSON, which a form of another site cannot send.
func (a *API) fromOurs(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil
	}
	if err := a.browsers.Check(r); err != nil {
		return fault.Wrap(fault.Denied, err, "another site's page asks for this")
	}
	if _, byCookie := secretOf(r, a.secure); !byCookie || r.Header.Get("Authorization") != "" || r.ContentLength == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return fault.New(fault.Denied, "a browser has to send application/json, and not %q", clip(r.Header.Get("Content-Type")))
	}
	return nil
}

// hostOf is where a request comes from.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// forNobody are the routes that change something and ask for no login before.
var forNobody = map[string]bool{"/v1/claim": true, "/v1/login": true, "/v1/signup": true, "/v1/password": true, "/v1/login/oidc/exchange": true}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (w *answered) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" { // RFC 9110 §11.6.1
			w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answered) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach what is beneath.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// request returns who asks.
func request(ctx context.Context) control.Request { return asked(ctx).request }

func asked(ctx context.Context) *asking { return ctx.Value(askingKey{}).(*asking) }

// clip is the beginning of what a caller sent, and text whatever that was.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 200)], "") }

// statuses turn kinds of faults into those of HTTP.
var statuses = map[fault.Kind]int{
	fault.Invalid:     http.StatusUnprocessableEntity,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Denied:      http.StatusForbidden,
	fault.Limited:     http.StatusTooManyRequests,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal:    http.StatusInternalServerError,
}

// problem makes an answer of an error.
func problem(err error, id string) *schema.Problem {
	kind := fault.KindOf(err)
	status := statuses[kind]
	p := &schema.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fault.MessageOf(err), Instance: instance(id),
	}
	if errors.Is(err, identity.ErrCodeNeeded) {
		p.Type = schema.CodeNeeded
	}
	var wrong *control.ProblemsError
	if errors.As(err, &wrong) {
		for _, w := range wrong.Problems {
			p.Faults = append(p.Faults, faultOf(w))
		}
	}
	return p
}

func faultOf(p resource.Problem) schema.Fault {
	return schema.Fault{Kind: string(p.Kind), Name: p.Name, Path: p.Path, Message: p.Message, Fix: p.Fix}
}

// failed turns an error of the control plane into an answer, and logs what only the
// log may know.
func (a *API) failed(ctx context.Context, err error) error {
	q := request(ctx)
	a.told(q.ID, err)
	return unasked(q.Actor, problem(err, q.ID))
}

func (a *API) told(id string, err error) {
	if kind := fault.KindOf(err); kind == fault.Internal || kind == fault.Unavailable {
		a.log.Error("a request failed", "request", id, "err", err)
	}
}

func refuse(w http.ResponseWriter, p *schema.Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // an error is the client's, who has gone
}

// read reads one document, or several, as somebody sent them.
func read(body []byte) (*resource.Set, error) {
	if !utf8.Valid(body) {
		return nil, fault.New(fault.Invalid, "the body %s", errNotUTF8)
	}
	if err := withoutNUL(body); err != nil {
		return nil, fault.New(fault.Invalid, "the body %s", err)
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, body, "", " "); err != nil { // YAML takes more than JSON, and no tabs
		return nil, fault.New(fault.Invalid, "the body is not JSON: %s", err)
	}
	set, problems := resource.ReadRequest("", spaced.Bytes())
	if errs := resource.Errors(problems); len(errs) > 0 {
		return nil, &control.ProblemsError{Problems: errs}
	}
	return set, nil
}
