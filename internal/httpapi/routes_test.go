package httpapi_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/httpapi"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

var update = flag.Bool("update", false, "write testdata/routes.txt anew; every changed cell is to be understood")

const routesFile = "testdata/routes.txt"

// roles are the columns of routes.txt.
var roles = []struct{ name, login string }{
	{"P", "p"}, {"O", "o"}, {"B", "b"}, {"A", "a"}, {"D", "d"}, {"F", "f"}, {"U", "u"}, {"T", "b"}, {"R", "r"}, {"N", ""},
}

const routesHead = `# What each route answers whom, compared by TestEveryRoute with what the API does, for every route that it describes: a new one has no row, and fails.
# Columns: P platform-admin  O org-admin  B publisher  A approver  D app-developer  F billing-admin  U auditor, each of the own team or organisation
#          T the publisher's API token for reading only  R a person without roles  N nobody
# A cell is the status for what is one's own, of a foreign organisation, and absent, or one status where all are the same, or the route is about nothing.
# Documents are private ones, changes to them are tried by dry runs; 409 is "you may, but it does not fit what is there", 422 that the request itself cannot be.
`

// house is an API with real accounts, and things of two organisations.
type house struct {
	t      *testing.T
	people *identity.People
	plane  *control.Plane
	server *httptest.Server
	clock  atomic.Int64 // seconds that have passed
	setup  identity.Actor
	tokens map[string]string // of roles
	bodies map[string]string // of documents, by kind and whose
	fresh  int
	moved  bool // the last request may have ended a login, or an account
}

const housePassword = "correct horse, battery staple"

func newHouse(t *testing.T, change ...func(*identity.Config)) *house {
	h := &house{t: t, tokens: map[string]string{}, bodies: map[string]string{}}
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	sealer, err := control.NewSealer(t.Context(), store, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), audit.SealerDeps{Now: time.Now, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if h.plane, err = control.New(t.Context(), control.Deps{Store: store, Log: log, Seed: make([]byte, 32), Sealer: sealer, Refusals: houseRefusals{}}); err != nil {
		t.Fatal(err)
	}
	config := identity.DefaultConfig()
	config.Key, config.Idle, config.Absolute = make([]byte, 32), 10_000*time.Hour, 10_000*time.Hour
	for _, c := range change {
		c(&config)
	}
	began := time.Now()
	h.people, err = identity.New(config, identity.Deps{Store: control.People(store), Directory: h.plane.Directory, Log: log, Cheap: true,
		Now: func() time.Time { return began.Add(time.Duration(h.clock.Load()) * time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Deps{Plane: h.plane, People: h.people, Log: log, Release: "test"})
	h.server = httptest.NewServer(api)
	t.Cleanup(h.server.Close)

	token, _, err := h.people.FirstAdmin(t.Context())
	if err == nil {
		err = h.people.ClaimPlatform(t.Context(), identity.From{}, token.Reveal(), "setup", housePassword)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.setup = identity.Someone("setup", true, nil)
	h.documents()
	for _, r := range roles {
		h.alive(r.name, r.login)
	}
	return h
}

// owners are the organisation, the team and the name of things, for what is own and what is foreign.
var owners = map[string]struct{ organisation, team, name string }{"own": {"acme", "shop", "mine"}, "foreign": {"other", "x", "theirs"}}

// houseRefusals are of each application one, by an id that is its name.
type houseRefusals struct{}

func (houseRefusals) Find(id string) (control.Refusal, bool) {
	for _, o := range owners {
		if id == o.name {
			return control.Refusal{Number: 1, ID: id, Application: o.name, Environment: "prod", What: "group", Name: "canary"}, true
		}
	}
	return control.Refusal{}, false
}

func (r houseRefusals) Of(application string) []control.Refusal {
	if one, ok := r.Find(application); ok {
		return []control.Refusal{one}
	}
	return nil
}

func (h *house) documents() {
	all := []string{}
	for whose, o := range owners {
		members, admins := `"setup":["publisher","app-developer","approver"]`, ""
		if whose == "own" {
			members += `,"b":["publisher"],"a":["approver"],"d":["app-developer"],"f":["billing-admin"],"u":["auditor"]`
			admins = `"members":{"o":["org-admin"]}`
		}
		for kind, text := range map[resource.Kind]string{
			resource.KindOrganisation: `"metadata":{"name":"` + o.organisation + `"},"spec":{` + admins + `}`,
			resource.KindTeam:         `"metadata":{"name":"` + o.team + `"},"spec":{"organisation":"` + o.organisation + `","members":{` + members + `}}`,
			resource.KindEnvironment:  `"metadata":{"name":"` + map[string]string{"own": "prod", "foreign": "qa"}[whose] + `"},"spec":{}`,
			resource.KindCluster:      `"metadata":{"name":"` + o.name + `","environment":"prod","team":"` + o.team + `"},"spec":{"bootstrap":["127.0.0.1:9092"],"publish":{"` + o.team + `":["*"]}}`,
			resource.KindGateway:      `"metadata":{"name":"` + o.name + `","environment":"prod"},"spec":{}`,
			resource.KindAPI:          `"metadata":{"name":"` + o.name + `","team":"` + o.team + `"},"spec":{"visibility":"private","docs":{"pages":{"start.md":"begin"}}}`,
			resource.KindVersion:      `"metadata":{"name":"` + o.name + `.v1"},"spec":{"contract":{"channels":{"placed":{"send":true}}},"channels":{"placed":{"prod":{"cluster":"` + o.name + `","topic":"` + o.name + `"}}},"lifecycle":{"state":"published"}}`,
			resource.KindProduct:      `"metadata":{"name":"` + o.name + `","team":"` + o.team + `"},"spec":{"versions":["` + o.name + `.v1"],"plans":{"free":{"auth":["scram"],"approval":"manual"}}}`,
			resource.KindApplication:  `"metadata":{"name":"` + o.name + `","team":"` + o.team + `"},"spec":{"clusters":{"prod":"` + o.name + `"},"adopt":{"groups":["etl-` + o.name + `"]}}`,
			resource.KindSubscription: `"metadata":{"name":"` + o.name + `","environment":"prod"},"spec":{"application":"` + o.name + `","product":"` + o.name + `","plan":"free"}`,
			resource.KindCredential:   `"metadata":{"name":"` + o.name + `","environment":"prod"},"spec":{"application":"` + o.name + `","type":"scram"}`,
		} {
			text = `{"apiVersion":"sluice/v1","kind":"` + string(kind) + `",` + text + `}`
			h.bodies[string(kind)+" "+whose] = text
			all = append(all, text)
		}
	}
	for _, kind := range resource.Kinds {
		if h.bodies[string(kind)+" own"] == "" {
			h.t.Fatalf("there is no %s in the house", kind)
		}
	}
	var documents []resource.Any
	for _, text := range all {
		set, problems := resource.ReadRequest("", []byte(text))
		if resource.Bad(problems) {
			h.t.Fatal(problems)
		}
		documents = append(documents, slices.Collect(set.All())...)
	}
	h.apply(documents)
}

func (h *house) apply(documents []resource.Any) {
	h.t.Helper()
	slices.SortFunc(documents, func(a, b resource.Any) int {
		return slices.Index(resource.Kinds, a.Key().Kind) - slices.Index(resource.Kinds, b.Key().Kind)
	})
	for _, d := range documents { // one by one, so that roles of documents count for those behind
		q := control.Request{Actor: identity.Someone("setup", true, h.plane.Directory().Of("setup", identity.Groups{})), ID: "setup"}
		if _, err := h.plane.Apply(h.t.Context(), q, control.Wanted{Documents: []resource.Any{d}}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// alive logs a role in, and brings its account back where it was removed or disabled.
func (h *house) alive(role, login string) {
	h.t.Helper()
	if login == "" {
		return
	}
	ctx, from := h.t.Context(), identity.From{}
	if token := h.tokens[role]; token != "" {
		var err error
		if strings.HasPrefix(token, identity.TokenPrefix) {
			_, _, err = h.people.WhoHasToken(ctx, token)
		} else {
			_, _, err = h.people.Who(ctx, token)
		}
		if person, perr := h.people.Person(ctx, h.setup, login); err == nil && perr == nil && person.PlatformAdmin == (role == "P") {
			return
		}
	}
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if person, err := h.people.Person(ctx, h.setup, login); fault.KindOf(err) == fault.NotFound {
		secret, _, err := h.people.Invite(ctx, h.setup, from, login, "", "")
		must(err)
		must(h.people.SetPassword(ctx, from, secret.Reveal(), housePassword))
	} else if must(err); person.Disabled {
		must(h.people.Enable(ctx, h.setup, from, login))
	}
	must(h.people.SetPlatformAdmin(ctx, h.setup, from, login, role == "P"))
	h.clock.Add(60)
	secret, _, err := h.people.LogIn(ctx, from, login, housePassword, "")
	must(err)
	h.tokens[role] = secret.Reveal()
	if role == "T" {
		actor, _, err := h.people.Who(ctx, secret.Reveal())
		must(err)
		h.fresh++
		token, _, err := h.people.NewToken(ctx, actor, from, fmt.Sprint("t", h.fresh), identity.Scope{Roles: actor.Memberships(), ReadOnly: true}, 0)
		must(err)
		h.tokens[role] = token.Reveal()
	}
}

// victim makes an account for somebody to be done something to.
func (h *house) victim() string {
	h.t.Helper()
	h.fresh++
	login := fmt.Sprintf("victim%d", h.fresh)
	if _, _, err := h.people.Invite(h.t.Context(), h.setup, identity.From{}, login, "", ""); err != nil {
		h.t.Fatal(err)
	}
	return login
}

// bodies of routes that are not about documents. What is right is right for everybody: who may not is to be refused for that.
var routeBodies = map[string]string{
	"POST /v1/claim":                         `{"token":"x","login":"mallory","password":"` + housePassword + `"}`,
	"POST /v1/login":                         `{"login":"setup","password":"` + housePassword + `"}`,
	"POST /v1/login/oidc/exchange":           `{"code":"x","verifier":"y"}`,
	"POST /v1/signup":                        `{"login":"mallory","password":"` + housePassword + `"}`,
	"POST /v1/password":                      `{"token":"x","password":"` + housePassword + `"}`,
	"POST /v1/me/password":                   `{"old":"` + housePassword + `","password":"` + housePassword + `"}`,
	"POST /v1/me/second-factor":              `{"password":"` + housePassword + `"}`,
	"POST /v1/me/second-factor/confirm":      `{"code":"000000"}`,
	"POST /v1/me/second-factor/remove":       `{"password":"` + housePassword + `"}`,
	"POST /v1/me/recovery-codes":             `{"password":"` + housePassword + `"}`,
	"POST /v1/tokens":                        `{"name":"$FRESH","roles":[{"role":"publisher","organisation":"acme","team":"shop"}]}`,
	"POST /v1/people":                        `{"login":"$FRESH"}`,
	"POST /v1/subscriptions/{name}/messages": `{"text":"hello"}`,
	"POST /v1/clusters/{name}/import":        `{}`,
	"POST /v1/versions/{name}/promote":       `{"to":"qa"}`,
	"POST /v1/versions/{name}/rollback":      `{"environment":"prod"}`,
	"POST /v1/versions/{name}/deprecate":     `{"sunset":"2199-01-01T00:00:00Z","grace":"24h","reason":"test"}`,
}

// route is a method and a path of the description.
type route struct{ method, path string }

func (r route) String() string { return r.method + " " + r.path }

// kind is that of the documents that a path is about, "" for none.
func (r route) kind() resource.Kind {
	if strings.HasPrefix(r.path, "/v1/catalog/{name}") {
		return resource.KindAPI
	}
	for _, k := range resource.Kinds {
		if strings.HasPrefix(r.path, "/v1/"+k.Plural()+"/{name}") {
			return k
		}
	}
	return ""
}

// whose are the objects that a route is tried with.
func (r route) whose() []string {
	if strings.Contains(r.path, "{") || r.path == "/v1/apply" || r.path == "/v1/audit" || r.path == "/v1/notifications" || r.path == "/v1/whois" {
		return []string{"own", "foreign", "absent"}
	}
	return []string{""}
}

// try asks for a route as a role, about something, and returns the status and the answer without what tells objects and requests apart.
func (h *house) try(r route, role, login, whose string) (int, string) {
	h.t.Helper()
	h.clock.Add(10)
	if h.moved || h.tokens[role] == "" {
		for _, r := range roles {
			h.alive(r.name, r.login)
		}
	}
	h.moved = r.method != http.MethodGet && r.kind() == "" && r.path != "/v1/apply"
	name, body := "", routeBodies[r.String()]
	kind := r.kind()
	switch {
	case kind != "":
		about := h.bodies[string(kind)+" "+whose]
		if whose == "absent" {
			about = h.bodies[string(kind)+" own"]
		}
		var d struct{ Metadata struct{ Name string } }
		if err := json.Unmarshal([]byte(about), &d); err != nil {
			h.t.Fatal(err)
		}
		name = d.Metadata.Name
		if whose == "absent" {
			name = map[bool]string{true: "mine.v9", false: "absent"}[kind == resource.KindVersion]
			about = strings.Replace(about, `"name":"`+d.Metadata.Name+`"`, `"name":"`+name+`"`, 1)
		}
		if r.method == http.MethodPut {
			body = strings.Replace(about, `"metadata":{`, `"metadata":{"labels":{"touched":"yes"},`, 1)
		} else if r.method == http.MethodPost && body == "" {
			body = `{"reason":"test"}`
			if strings.HasSuffix(r.path, "/rotate") || strings.HasSuffix(r.path, "/invite") {
				body = `{}`
			}
		}
	case r.path == "/v1/apply":
		about := h.bodies["API "+whose]
		if whose == "absent" {
			about = strings.Replace(h.bodies["API own"], `"name":"mine"`, `"name":"absent"`, 1)
		}
		body = `{"documents":[` + strings.Replace(about, `"spec":{`, `"spec":{"title":"touched",`, 1) + `]}`
	case strings.Contains(r.path, "{login}"):
		name = map[string]string{"own": login, "absent": "absent"}[whose]
		if whose == "foreign" {
			name = h.victim()
		}
		if name == "" {
			name = "nobody-at-all"
		}
	case r.path == "/v1/rejections/{id}":
		name = cmp.Or(owners[whose].name, "absent")
	case strings.Contains(r.path, "{id}"):
		name = "absent"
		if whose == "foreign" {
			name = h.idOf(r, "U", "u")
		} else if whose == "own" && role != "N" && role != "T" {
			name = h.idOf(r, role, login)
		}
	}
	h.fresh++
	body = strings.ReplaceAll(body, "$FRESH", fmt.Sprint("fresh", h.fresh))
	id := "absent"
	path := strings.NewReplacer("{name}", name, "{login}", name, "{id}", id, "{n}", "1").Replace(r.path)
	if !strings.Contains(r.path, "{login}") {
		path = strings.NewReplacer("{name}", name, "{id}", name, "{n}", "1").Replace(r.path)
	}
	switch {
	case r.path == "/v1/audit" || r.path == "/v1/notifications":
		path += "?organisation=" + map[string]string{"own": "acme", "foreign": "other", "absent": "absent"}[whose]
	case r.path == "/v1/search":
		path += "?q=mine"
	case r.path == "/v1/catalog/{name}/compare":
		path += "?from=v1&to=v1"
	case r.path == "/v1/whois":
		path += "?name=etl-" + cmp.Or(owners[whose].name, "absent")
	case strings.Contains(r.path, "{page}"):
		path = strings.Replace(path, "{page}", "start", 1)
	case strings.HasSuffix(r.path, "/comparison"):
		path += "?from=1&to=1"
	}
	if r.method != http.MethodGet && (kind != "" || r.path == "/v1/apply") && !slices.Contains([]string{"import", "messages"}, r.path[strings.LastIndex(r.path, "/")+1:]) {
		path += "?dryRun=true"
	}
	status, got := h.ask(h.tokens[role], r.method, path, body)
	for _, o := range []string{"absent", name, owners["own"].organisation, owners["foreign"].organisation, owners["own"].name, owners["foreign"].name, owners["own"].team, owners["foreign"].team} {
		if o != "" {
			got = strings.ReplaceAll(got, o, "NAME")
		}
	}
	return status, requestID.ReplaceAllString(got, "REQUEST")
}

var requestID = regexp.MustCompile(`req_[A-Z0-9]+`)

// idOf is the id of a login or of an API token of somebody.
func (h *house) idOf(r route, role, login string) string {
	h.t.Helper()
	h.alive(role, login)
	actor, l, err := h.people.Who(h.t.Context(), h.tokens[role])
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.HasPrefix(r.path, "/v1/logins") {
		return l.ID
	}
	h.fresh++
	if len(actor.Memberships()) == 0 && !actor.PlatformAdmin() {
		return "absent"
	}
	_, token, err := h.people.NewToken(h.t.Context(), actor, identity.From{}, fmt.Sprint("t", h.fresh), identity.Scope{Platform: actor.PlatformAdmin(), Roles: actor.Memberships()}, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return token.ID
}

func (h *house) ask(token, method, path, body string) (int, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, h.server.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	client := *h.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp.StatusCode, "" // it has no end
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// routes are all that the API describes.
func (h *house) routes() []route {
	h.t.Helper()
	_, body := h.ask("", "GET", "/v1/openapi.json", "")
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		h.t.Fatal(err)
	}
	var out []route
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			out = append(out, route{strings.ToUpper(method), path})
		}
	}
	return out
}

// TestEveryRoute asks every route as every role for what is own, foreign and absent.
func TestEveryRoute(t *testing.T) {
	h := newHouse(t)
	var text strings.Builder
	text.WriteString(routesHead)
	fmt.Fprintf(&text, "\n%-50s", "")
	for _, r := range roles {
		fmt.Fprintf(&text, " %-11s", r.name)
	}
	text.WriteString("\n")
	want := readRoutes(t)
	all := h.routes()
	if len(all) < 100 {
		t.Fatalf("the API describes %d routes", len(all))
	}
	for i, r := range all {
		if raced && i%5 != 0 && !*update { // a sample; without the race detector all of them are asked
			delete(want, r.String())
			continue
		}
		cells := map[string]string{}
		fmt.Fprintf(&text, "%-50s", r)
		for _, role := range roles {
			var statuses, answers []string
			for _, whose := range r.whose() {
				status, answer := h.try(r, role.name, role.login, whose)
				statuses, answers = append(statuses, fmt.Sprint(status)), append(answers, answer)
				if status >= 500 {
					t.Errorf("%s as %s, %s: %d %s", r, role.name, whose, status, answer)
				}
				if status == http.StatusUnauthorized != (role.name == "N" && status == http.StatusUnauthorized) {
					t.Errorf("%s as %s, %s: %d, as if nobody asked", r, role.name, whose, status)
				}
				if role.name == "N" && status < 300 && r.method != http.MethodGet && r.path != "/v1/login" {
					t.Errorf("%s does something for nobody: %d", r, status)
				}
			}
			// What may not be seen is answered in the words for what is not there.
			if len(statuses) == 3 && statuses[1] == "404" && statuses[2] == "404" && answers[1] != answers[2] {
				t.Errorf("%s as %s: what is foreign and what is absent are told apart:\n%s\n%s", r, role.name, answers[1], answers[2])
			}
			cell := strings.Join(slices.Compact(slices.Clone(statuses)), "/")
			if strings.Contains(cell, "/") {
				cell = strings.Join(statuses, "/")
			}
			cells[role.name] = cell
			fmt.Fprintf(&text, " %-11s", cell)
		}
		text.WriteString("\n")
		row, known := want[r.String()]
		if *update {
			continue
		}
		if !known {
			t.Errorf("%s has no row in %s: what may whom? It answers %v", r, routesFile, cells)
			continue
		}
		delete(want, r.String())
		for i, role := range roles {
			if i >= len(row) || row[i] != cells[role.name] {
				t.Errorf("%s as %s: got %s, want %v", r, role.name, cells[role.name], slices.Concat(row, make([]string, len(roles)))[i])
			}
		}
	}
	if *update {
		out := regexp.MustCompile(` +\n`).ReplaceAllString(text.String(), "\n")
		if err := os.WriteFile(routesFile, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for r := range want {
		t.Errorf("%s is in %s, and not in the API", r, routesFile)
	}
}

// readRoutes returns the cells of each route.
func readRoutes(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(routesFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") {
			out[fields[0]+" "+fields[1]] = fields[2:]
		}
	}
	return out
}

// TestUnknownFieldsAreRefusedEverywhere sends every route that takes a body a field that it does not have.
func TestUnknownFieldsAreRefusedEverywhere(t *testing.T) {
	h := newHouse(t)
	_, body := h.ask("", "GET", "/v1/openapi.json", "")
	var d struct {
		Paths map[string]map[string]struct {
			RequestBody *struct{} `json:"requestBody"`
		}
		Components struct {
			Schemas map[string]struct {
				Type                 string
				Properties           map[string]json.RawMessage
				AdditionalProperties any `json:"additionalProperties"`
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for template, item := range d.Paths {
		for method, op := range item {
			if op.RequestBody == nil {
				continue
			}
			tried++
			path := strings.NewReplacer("{name}", "mine", "{login}", "u").Replace(template)
			h.clock.Add(10)
			h.alive("P", "p")
			body := `{"zzUnknown":"canary"}`
			if kind := (route{path: template}).kind(); method == "put" && kind != "" {
				body = strings.Replace(h.bodies[string(kind)+" own"], "{", `{"zzUnknown":"canary",`, 1)
			}
			status, answer := h.ask(h.tokens["P"], strings.ToUpper(method), path, body)
			if status != http.StatusUnprocessableEntity || !strings.Contains(answer, "zzUnknown") || strings.Contains(answer, "canary") {
				t.Errorf("%s %s takes an unknown field: %d %s", method, path, status, answer)
			}
		}
	}
	if tried < 30 {
		t.Errorf("%d routes take a body", tried)
	}
	for name, s := range d.Components.Schemas {
		if s.Type == "object" && len(s.Properties) > 0 && s.AdditionalProperties != false {
			t.Errorf("%s has unknown fields: %v", name, s.AdditionalProperties)
		}
	}
}
