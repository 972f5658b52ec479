package openid

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	api "sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/test/harness"
)

const password = "correct horse, battery staple"

var (
	apiAddress = regexp.MustCompile(`msg="the management API is there" address=(\S+)`)
	firstToken = regexp.MustCompile(`--first-admin (\S+?)"`)
)

// product is sluice as a control plane behind a proxy, with an issuer.
type product struct {
	*harness.Process
	t      *testing.T
	binary string
	issuer Issuer
	url    string // of the proxy: where browsers reach the API
}

// start starts everything, with more lines of management.login.
func start(t *testing.T, login string) *product {
	p := &product{t: t, binary: harness.Build(t)}
	var behind atomic.Pointer[httputil.ReverseProxy]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { behind.Load().ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	p.url = front.URL
	c := clientAt(front.URL+"/v1/login/oidc/callback", "sluice", "RS256", "client_secret_basic")
	p.issuer = Start(t, []object{c}, people)
	p.Process = harness.StartProcess(t, harness.Serve{Binary: p.binary, Files: map[string]string{"client": secret}, Settings: fmt.Sprintf(`management:
  address: "127.0.0.1:0"
  url: %q
  login: {%s}
  openid: [{name: corp, issuer: %q, clientId: sluice, clientSecret: {file: client}, scopes: [openid, profile, email, groups], nameClaim: preferred_username}]
outbound: {allowHTTP: true, allowNetworks: ["127.0.0.0/8"]}
log: {level: debug}`, front.URL, login, p.issuer.URL)})
	target, err := url.Parse(p.said(apiAddress))
	if err != nil {
		t.Fatal(err)
	}
	behind.Store(httputil.NewSingleHostReverseProxy(target))
	return p
}

func (p *product) said(what *regexp.Regexp) string {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if m := what.FindStringSubmatch(p.Log()); m != nil {
			return m[1]
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the log does not say %s", what)
		}
	}
}

func (p *product) as(token string) *api.Client {
	p.t.Helper()
	c, err := api.New(api.Config{Server: p.url, Token: token})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// surfer is a browser that knows our cookies, and the provider's by its Browser.
type surfer struct {
	*http.Client
	provider *Browser
}

func newSurfer(login string) *surfer {
	jar, _ := cookiejar.New(nil) // it never fails
	return &surfer{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, NewBrowser(login)}
}

// get opens a page and returns where it leads, its status, and what it says.
func (s *surfer) get(t *testing.T, page string) (location string, status int, body string) {
	t.Helper()
	resp, err := s.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Get("Location"), resp.StatusCode, string(b)
}

// through goes from our start page by the provider to the callback, and returns where that leads.
func (s *surfer) through(t *testing.T, p *product, page string) (location string, status int, body string) {
	t.Helper()
	at, status, body := s.get(t, page)
	if status != http.StatusFound {
		t.Fatalf("%s: %d %s", page, status, body)
	}
	q, err := s.provider.Visit(t.Context(), at, p.url+"/v1/login/oidc/callback")
	if err != nil {
		t.Fatal(err)
	}
	return s.get(t, p.url+"/v1/login/oidc/callback?"+q.Encode())
}

// TestPeopleLogInThroughTheProduct is the way of a browser, and that of the command line.
func TestPeopleLogInThroughTheProduct(t *testing.T) {
	p := start(t, "passwords: platform-admins")
	nobody := p.as("")
	if err := nobody.Claim(t.Context(), schema.Claim{Token: p.said(firstToken), Login: "root", Password: password}); err != nil {
		t.Fatal(err)
	}
	l, err := nobody.LogIn(t.Context(), schema.Credentials{Login: "root", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	root := p.as(l.Token)
	if _, err := root.Apply(t.Context(), schema.Apply{Documents: []json.RawMessage{
		json.RawMessage(`{"apiVersion":"sluice/v1","kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`),
		json.RawMessage(`{"apiVersion":"sluice/v1","kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","groups":{"shop-devs":["publisher"]}}}`),
	}}, false); err != nil {
		t.Fatal(err)
	}

	// A browser ends up at the page it wanted, with a cookie that the API takes from it and from no other site.
	s := newSurfer("bob")
	at, status, body := s.through(t, p, p.url+"/v1/login/oidc/start?return=/console")
	if at != "/console" || status != http.StatusFound {
		t.Fatalf("it ends at %q with %d %s", at, status, body)
	}
	if _, status, body := s.get(t, p.url+"/v1/me"); status != http.StatusOK || !strings.Contains(body, `"person corp:bob"`) || !strings.Contains(body, `{"role":"publisher","organisation":"acme","team":"shop"}`) || strings.Contains(body, "platformAdmin") {
		t.Errorf("with the cookie: %d %s", status, body)
	}
	post := func(origin, site string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", site)
		resp, err := s.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := post("https://evil.example.com", "cross-site"); got != http.StatusForbidden {
		t.Errorf("another site's page logs out: %d", got)
	}
	if _, _, body := s.get(t, p.url+"/v1/me"); !strings.Contains(body, "corp:bob") {
		t.Errorf("after another site tried: %s", body)
	}
	if got := post(p.url, "same-origin"); got != http.StatusNoContent {
		t.Errorf("log out: %d", got)
	}
	if _, _, body := s.get(t, p.url+"/v1/me"); strings.Contains(body, "corp:bob") {
		t.Errorf("after logging out: %s", body)
	}

	// What does not fit together is refused, and says nothing of why to whoever tries.
	callback := p.url + "/v1/login/oidc/callback"
	if _, status, _ := newSurfer("bob").get(t, callback+"?state=x&code=y"); status != http.StatusUnauthorized {
		t.Errorf("without a cookie: %d", status)
	}
	at, _, _ = s.get(t, p.url+"/v1/login/oidc/start")
	q, err := s.provider.Visit(t.Context(), at, callback)
	if err != nil {
		t.Fatal(err)
	}
	if _, status, _ := newSurfer("bob").get(t, callback+"?"+q.Encode()); status != http.StatusUnauthorized {
		t.Errorf("in another browser: %d", status)
	}
	other := url.Values{"state": {"forged"}, "code": q["code"], "iss": q["iss"]}
	if _, status, _ := s.get(t, callback+"?"+other.Encode()); status != http.StatusUnauthorized {
		t.Errorf("another state: %d", status)
	}
	if _, status, _ := s.get(t, callback+"?"+q.Encode()); status != http.StatusUnauthorized {
		t.Errorf("the right state, once a wrong one was tried: %d", status)
	}
	for query, want := range map[string]int{
		"provider=other": 404, "return=https://evil.example.com/": 422, "return=//evil.example.com": 422, "port=22&challenge=" + strings.Repeat("a", 43): 422, "port=8080": 422, "port=8080&challenge=short": 422,
	} {
		if at, status, _ := s.get(t, p.url+"/v1/login/oidc/start?"+query); status != want {
			t.Errorf("start with %s: %d, to %s, want %d", query, status, at, want)
		}
	}

	// The command line, in another browser of the same person.
	file := filepath.Join(t.TempDir(), "login.json")
	cmd := exec.CommandContext(t.Context(), p.binary, "login", "--oidc", "--server", p.url, "--login-file", file)
	var out bytes.Buffer
	cmd.Stdout = &out
	told, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	page := ""
	for lines := bufio.NewScanner(told); page == "" && lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), "  http"); ok {
			page = "http" + at
		}
	}
	at, status, body = newSurfer("bob").through(t, p, page)
	if !strings.HasPrefix(at, "http://127.0.0.1:") || status != http.StatusFound {
		t.Fatalf("the command's page leads to %q, %d %s", at, status, body)
	}
	code, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever sees the code has no use for it without the verifier.
	if _, err := nobody.LogInByCode(t.Context(), schema.HandedOver{Code: code.Query().Get("code"), Verifier: "a guess"}); err == nil {
		t.Error("the code is of use to whoever sees it")
	}
	if _, status, body := s.get(t, strings.Replace(at, "state=", "state=x", 1)); status != http.StatusNotFound {
		t.Errorf("the command takes another state: %d %s", status, body)
	}
	if _, status, body := s.get(t, at); status != http.StatusOK || !strings.Contains(body, "logged in") {
		t.Errorf("the command says %d %s", status, body)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "logged in as corp:bob") {
		t.Fatalf("the command: %v\n%s", err, out.String())
	}
	who, err := exec.CommandContext(t.Context(), p.binary, "whoami", "--login-file", file).CombinedOutput()
	if err != nil || string(who) != "person corp:bob\npublisher  team shop of acme\n" {
		t.Errorf("whoami: %v\n%s", err, who)
	}

	// Passwords are for platform-admins here; whom the provider vouches for is disabled like anybody.
	methods, err := nobody.LoginMethods(t.Context())
	if err != nil || methods.Passwords != "platform-admins" || len(methods.Providers) != 1 || methods.URL != p.url {
		t.Errorf("%+v, %v", methods, err)
	}
	if err := root.Disable(t.Context(), "corp:bob"); err != nil {
		t.Fatal(err)
	}
	if _, status, body := newSurfer("bob").through(t, p, p.url+"/v1/login/oidc/start"); status != http.StatusUnauthorized || !strings.Contains(body, "disabled") {
		t.Errorf("a disabled person: %d %s", status, body)
	}

	// Nothing of it is in the log, or in the data directory.
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var left struct{ Token string }
	if err := json.Unmarshal(token, &left); err != nil || left.Token == "" {
		t.Fatal(err)
	}
	for what, canary := range map[string]string{"the login": left.Token, "the code": code.Query().Get("code"), "the password": password, "our secret at the provider": secret} {
		if strings.Contains(p.Log(), canary) {
			t.Errorf("%s is in the log", what)
		}
		err := filepath.WalkDir(filepath.Join(p.Dir, "data"), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err == nil && bytes.Contains(b, []byte(canary)) {
				t.Errorf("%s is in %s", what, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
