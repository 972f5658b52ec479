package httpapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/httpapi"
	"sluice/internal/resource"
)

// browser asks as browsers do: with the cookies that it was given.
type browser struct {
	t       *testing.T
	server  *httptest.Server
	cookies []*http.Cookie
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
}

// ask sends a request with headers, as name and value by turns.
func (b *browser) ask(method, path, body string, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	client := b.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	out := reply{status: answer.StatusCode, header: answer.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			b.t.Fatalf("%s %s: %v in %q", method, path, err, text)
		}
	}
	for _, c := range answer.Cookies() {
		b.cookies = nil
		if c.MaxAge >= 0 {
			b.cookies = []*http.Cookie{c}
		}
	}
	return out
}

const asSetup = `{"login":"setup","password":"` + housePassword + `"}`

func TestLoginByCookie(t *testing.T) {
	h := newHouse(t)
	for _, secure := range []bool{false, true} {
		deps := httpapi.Deps{Plane: h.plane, People: h.people, Log: slog.New(slog.DiscardHandler), Release: "test"}
		server := httptest.NewServer(httpapi.New(deps))
		if secure {
			server.Close()
			server = httptest.NewTLSServer(httpapi.New(deps))
		}
		t.Cleanup(server.Close)
		b := &browser{t: t, server: server}
		if got := b.ask("POST", "/v1/login", asSetup); got.body["token"] == nil || len(b.cookies) > 0 {
			t.Fatalf("without asking for a cookie: got %v and cookies %v, want a token and none", got.body, b.cookies)
		}
		got := b.ask("POST", "/v1/login", asSetup, "Sluice-Cookie", "yes")
		if got.status != http.StatusOK || got.body["token"] != nil || got.body["person"] != "setup" || len(b.cookies) != 1 {
			t.Fatalf("got %d, %v and cookies %v", got.status, got.body, b.cookies)
		}
		c := b.cookies[0]
		name := map[bool]string{false: "sluice_login", true: "__Host-sluice_login"}[secure]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != secure || c.MaxAge <= 0 {
			t.Errorf("TLS %v: got cookie %v", secure, c)
		}
		if got := b.ask("GET", "/v1/me", ""); got.body["actor"] != "person setup" {
			t.Errorf("with the cookie: got %v", got.body)
		}
		if secure { // another host of the domain can set the one without the prefix
			other := &browser{t: t, server: server, cookies: []*http.Cookie{{Name: "sluice_login", Value: c.Value}}}
			if got := other.ask("GET", "/v1/me", ""); got.body["actor"] != "nobody" {
				t.Errorf("with a cookie that TLS does not keep: got %v", got.body)
			}
		}
		stolen := *b
		if got := b.ask("POST", "/v1/logout", ""); got.status != http.StatusNoContent || len(b.cookies) != 0 {
			t.Errorf("logout: got %d, cookies %v", got.status, b.cookies)
		}
		if got := stolen.ask("GET", "/v1/me", ""); got.body["actor"] != "nobody" {
			t.Errorf("after the logout: got %v", got.body)
		}
	}
}

// What another site's page makes a browser ask is refused, with the cookie that the browser sends along.
func TestOtherSites(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t, server: h.server}
	b.ask("POST", "/v1/login", asSetup, "Sluice-Cookie", "yes")
	const token = `{"name":"mine","platform":true}`
	for _, tc := range []struct {
		name, method, path, body string
		header                   []string
		want                     int
	}{
		{"our own page", "POST", "/v1/tokens", token, nil, 201},
		{"another site's page", "POST", "/v1/tokens", token, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another host of the domain", "POST", "/v1/tokens", token, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"an old browser, from elsewhere", "POST", "/v1/tokens", token, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example.com"}, 403},
		{"a form, from a page that looks like ours", "POST", "/v1/tokens", "name=mine", []string{"Content-Type", "application/x-www-form-urlencoded"}, 403},
		{"a form of text", "POST", "/v1/tokens", token, []string{"Content-Type", "text/plain"}, 403},
		{"no type at all", "POST", "/v1/tokens", token, []string{"Content-Type", ""}, 403},
		{"JSON of another kind", "PUT", "/v1/applications/mine?dryRun=true", "{}", []string{"Content-Type", "application/merge-patch+json; charset=utf-8"}, 422},
		{"a login in somebody else's name", "POST", "/v1/login", asSetup, []string{"Sec-Fetch-Site", "cross-site", "Sluice-Cookie", "yes"}, 403},
		{"a logout", "POST", "/v1/logout", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a removal", "DELETE", "/v1/logins", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a link from elsewhere reads", "GET", "/v1/me", "", []string{"Sec-Fetch-Site", "cross-site"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			once := *b // a cookie that is taken away is there again in the next case
			if got := once.ask(tc.method, tc.path, tc.body, tc.header...); got.status != tc.want {
				t.Errorf("got %d (%v), want %d", got.status, got.body["detail"], tc.want)
			}
		})
	}
	program := &browser{t: t, server: h.server}
	if got := program.ask("POST", "/v1/logout", "", "Sec-Fetch-Site", "", "Authorization", "Bearer "+h.tokens["D"]); got.status != http.StatusNoContent {
		t.Errorf("a program with a token: got %d", got.status)
	}
}

// audited returns the actions of somebody, with what they were done to.
func audited(t *testing.T, h *house, actor string) (string, error) {
	page, _, err := h.plane.Audit(t.Context(), control.Request{Actor: h.setup}, audit.Query{Actor: actor})
	var out []string
	for _, row := range page {
		out = append(out, row.Action+" "+row.Kind+" "+row.Name)
	}
	return strings.Join(out, "\n"), err
}

func TestSignUp(t *testing.T) {
	h := newHouse(t, func(c *identity.Config) { c.SignUp = true })
	b := &browser{t: t, server: h.server}
	body := func(login, password string) string {
		text, err := json.Marshal(map[string]string{"login": login, "password": password})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := b.ask("GET", "/v1/login/methods", ""); got.body["signUp"] != true {
		t.Errorf("methods: got %v", got.body)
	}
	const good = "a long way to tipperary and home"
	got := b.ask("POST", "/v1/signup", body("Ada@Example.com", good), "Sluice-Cookie", "yes")
	if got.status != http.StatusCreated || got.body["person"] != "ada@example.com" || got.body["team"] != "ada-example-com" || got.body["token"] != nil {
		t.Fatalf("got %d, %v", got.status, got.body)
	}
	if me := b.ask("GET", "/v1/me", ""); me.body["actor"] != "person ada@example.com" || me.body["platformAdmin"] != nil {
		t.Errorf("me: got %v", me.body)
	} else if roles, ok := me.body["roles"].([]any); !ok || len(roles) != 1 || roles[0].(map[string]any)["role"] != "app-developer" || roles[0].(map[string]any)["team"] != "ada-example-com" {
		t.Errorf("roles: got %v", me.body["roles"])
	}
	application := `{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"first","team":"ada-example-com"},"spec":{}}`
	if got := b.ask("PUT", "/v1/applications/first", application); got.status != http.StatusCreated {
		t.Errorf("an application of the own team: got %d, %v", got.status, got.body)
	}
	if got := b.ask("GET", "/v1/applications/mine", ""); got.status != http.StatusNotFound {
		t.Errorf("an application of others: got %d", got.status)
	}
	rows, err := audited(t, h, "person ada@example.com")
	if err != nil || !strings.Contains(rows, "sign up Person") || !strings.Contains(rows, "Organisation") || !strings.Contains(rows, "Team") {
		t.Errorf("the audit log has %q, %v", rows, err)
	}

	before := h.plane.Model().Len()
	for _, tc := range []struct {
		name, login, password string
		want                  int
	}{
		{"a name that is taken", "ada@example.com", good, 409},
		{"a name that documents give roles to", "b", good, 409},
		{"a name that is none", "Robert'); DROP", good, 422},
		{"a provider's name", "acme:ada", good, 422},
		{"a password that everybody guesses", "bob", "password123456", 422},
	} {
		if got := b.ask("POST", "/v1/signup", body(tc.login, tc.password)); got.status != tc.want {
			t.Errorf("%s: got %d (%v), want %d", tc.name, got.status, got.body["detail"], tc.want)
		}
	}
	if after := h.plane.Model().Len(); after != before {
		t.Errorf("what was refused left %d documents", after-before)
	}
	// The same name of a team is there already: the next one gets another.
	if got := b.ask("POST", "/v1/signup", body("ada.example.com", good)); got.body["team"] != "ada-example-com-2" {
		t.Errorf("a second one: got %v", got.body)
	}
	limited := 0
	for i := range 10 {
		if got := b.ask("POST", "/v1/signup", body("someone-"+string(rune('a'+i)), good)); got.status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 5 {
		t.Errorf("%d of 10 more sign-ups from one address were too many", limited)
	}
}

func TestSignUpIsOff(t *testing.T) {
	h := newHouse(t)
	b := &browser{t: t, server: h.server}
	got := b.ask("POST", "/v1/signup", `{"login":"ada","password":"a long way to tipperary and home"}`)
	if detail, _ := got.body["detail"].(string); got.status != http.StatusUnauthorized || !strings.Contains(detail, "ask for an invitation") {
		t.Errorf("got %d, %q", got.status, detail)
	}
	if h.plane.Model().Get(resource.Key{Kind: resource.KindTeam, Name: "ada"}) != nil {
		t.Error("a team was made")
	}
}
