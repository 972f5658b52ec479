package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// A login that comes to nothing is told in a page to people, and in JSON to programs; nothing that was sent becomes part of the page.
func TestARefusedLoginIsAPageInABrowser(t *testing.T) {
	w := newWorld(t)
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		name, path, accept string
		status             int
		page               bool
		says               string
	}{
		{"a browser without the cookie", "/v1/login/oidc/callback?state=x&code=y", browser, 401, true, "this is not the browser that the login began with"},
		{"a provider that is not there", "/v1/login/oidc/start?provider=%3Cscript%3Ealert(1)%3C/script%3E", browser, 404, true, "there is no identity provider"},
		{"a program", "/v1/login/oidc/callback", "*/*", 401, false, "this is not the browser"},
		{"a program that says nothing", "/v1/login/oidc/callback", "", 401, false, "this is not the browser"},
		{"a program that wants JSON", "/v1/login/oidc/callback", "application/json", 401, false, "this is not the browser"},
		{"anything but a page", "/v1/login/oidc/callback", "*/*, text/html;q=0", 401, false, "this is not the browser"},
		{"a page, in capitals", "/v1/login/oidc/callback", "Text/HTML; q=0.5", 401, true, "this is not the browser"},
	} {
		resp, body := w.ask("", "GET", c.path, "", "Accept", c.accept)
		kind, policy := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Security-Policy")
		if resp.StatusCode != c.status || !strings.Contains(body, c.says) || strings.HasPrefix(kind, "text/html") != c.page || resp.Header.Get("Vary") != "Accept" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s\n%s", c.name, resp.StatusCode, kind, body)
		}
		if !c.page {
			if kind != "application/problem+json" {
				t.Errorf("%s: it is %s", c.name, kind)
			}
			continue
		}
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
		if len(style) != 2 {
			t.Fatalf("%s: no style:\n%s", c.name, body)
		}
		sum := sha256.Sum256([]byte(style[1]))
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: its policy is %s", c.name, policy)
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "http") || strings.Contains(body, "style=") || !regexp.MustCompile(`<code>req_[A-Z0-9]+</code>`).MatchString(body) {
			t.Errorf("%s: the page is\n%s", c.name, body)
		}
	}
}
