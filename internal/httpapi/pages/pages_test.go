package pages_test

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"sluice/internal/httpapi/pages"
	"sluice/web"
)

var script = "console.log(1);\n" + strings.Repeat("// what repeats becomes smaller\n", 20)

func build() fstest.MapFS {
	page := func(entry string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("<!doctype html>\n<html lang=\"en\">\n<head>\n<!--head-->\n</head>\n<body>" + entry + "</body>\n</html>\n")}
	}
	return fstest.MapFS{"index.html": page("the portal"), "console.html": page("the console"), "assets/app-1234.js": {Data: []byte(script)}, "assets/mark-1.svg": {Data: []byte("<svg/>")}}
}

func site(t *testing.T, change func(*pages.Deps)) *pages.Site {
	t.Helper()
	deps := pages.Deps{
		Files: build(), Built: true, Log: slog.New(slog.DiscardHandler), Brand: pages.Brand{Name: "Sluice", Description: "What is here."},
		Addresses: []web.Address{
			{Path: "/", Title: "Welcome"},
			{Path: "/apis/{name}", Title: "{title}", Object: "API", Description: "One API."},
			{Path: "/apis/{name}/reference", Title: "{title} reference", Object: "API"},
			{Path: "/apps/{name}/{environment}", Title: "{name} in {environment}"},
			{Path: "/apps/new/here", Title: "A new one"},
			{Path: "/console", Title: "Console", Console: true},
		},
		Title: func(r *http.Request, kind, name string) (string, bool) {
			return `Orders <b>&"`, kind == "API" && name == "orders"
		},
	}
	if change != nil {
		change(&deps)
	}
	s, err := pages.New(deps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *pages.Site, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestPages(t *testing.T) {
	s := site(t, nil)
	for _, tc := range []struct {
		name, path string
		status     int
		title      string
		in         string
	}{
		{"home", "/", 200, "Welcome · Sluice", "the portal"},
		{"an object's title is text", "/apis/orders", 200, "Orders &lt;b&gt;&amp;&#34; · Sluice", "One API."},
		{"a page of an object", "/apis/orders/reference", 200, "Orders &lt;b&gt;&amp;&#34; reference · Sluice", "What is here."},
		{"an object that is not for whoever asks", "/apis/secret", 404, "Not found · Sluice", "What is here."},
		{"an address that there is not", "/nowhere", 404, "Not found · Sluice", "the portal"},
		{"an address that goes on", "/apis/orders/reference/more", 404, "Not found · Sluice", ""},
		{"an empty place", "/apis/", 404, "Not found · Sluice", ""},
		{"places", "/apps/acme-erp/prod", 200, "acme-erp in prod · Sluice", ""},
		{"places are text", "/apps/%3Cscript%3E/prod", 200, "&lt;script&gt; in prod · Sluice", ""},
		{"the literal address before the pattern", "/apps/new/here", 200, "A new one · Sluice", ""},
		{"the console", "/console", 200, "Console · Sluice", "the console"},
		{"nothing in the console", "/console/nowhere", 404, "Not found · Sluice", "the console"},
		{"only its beginning looks like the console", "/consoles", 404, "Not found · Sluice", "the portal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, body := get(t, s, tc.path)
			if r.StatusCode != tc.status || !strings.Contains(body, "<title>"+tc.title+"</title>") || !strings.Contains(body, tc.in) {
				t.Errorf("got %d and %q, want %d with title %q and %q", r.StatusCode, body, tc.status, tc.title, tc.in)
			}
		})
	}
	_, unknown := get(t, s, "/apis/unknown")
	_, secret := get(t, s, "/apis/secret")
	nonce := regexp.MustCompile(`nonce="[^"]*"`)
	if nonce.ReplaceAllString(unknown, "") != nonce.ReplaceAllString(secret, "") {
		t.Error("what is forbidden looks different from what is not there")
	}
}

func TestHeaders(t *testing.T) {
	s := site(t, nil)
	first, body := get(t, s, "/")
	second, _ := get(t, s, "/")
	policy := first.Header.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([0-9a-f]{32})'`).FindStringSubmatch(policy)
	if nonce == nil || !strings.Contains(body, `<meta property="csp-nonce" nonce="`+nonce[1]+`">`) {
		t.Fatalf("policy %q and page %q do not have one nonce", policy, body)
	}
	if policy == second.Header.Get("Content-Security-Policy") {
		t.Error("two answers have the same nonce")
	}
	directives := map[string]string{}
	for d := range strings.SplitSeq(policy, "; ") {
		name, value, _ := strings.Cut(d, " ")
		directives[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self' 'nonce-" + nonce[1] + "'", "img-src": "'self'", "connect-src": "'self'",
		"base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "sluice",
	} {
		if directives[name] != want {
			t.Errorf("%s is %q, want %q", name, directives[name], want)
		}
		delete(directives, name)
	}
	if len(directives) > 0 {
		t.Errorf("nobody expects %q", directives)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
		"Cache-Control": "no-cache", "Content-Type": "text/html; charset=utf-8", "Vary": "Cookie",
		"Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if r := httptest.NewRecorder(); true {
		s.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", nil))
		if r.Code != http.StatusMethodNotAllowed || r.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: got %d, Allow %q", r.Code, r.Header().Get("Allow"))
		}
	}
}

func TestTheme(t *testing.T) {
	s := site(t, nil)
	for cookie, want := range map[string]string{
		"": `<html lang="en">`, "sluice_theme=dark": `<html lang="en" data-theme="dark">`, "sluice_theme=light": `<html lang="en" data-theme="light">`, `sluice_theme="><script>`: `<html lang="en">`,
	} {
		if _, body := get(t, s, "/", "Cookie", cookie); !strings.Contains(body, want) {
			t.Errorf("cookie %q: got %q, want %q", cookie, body, want)
		}
	}
}

func TestAssets(t *testing.T) {
	s := site(t, nil)
	plain, body := get(t, s, "/assets/app-1234.js")
	if body != script || plain.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || plain.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %q, %v", body, plain.Header)
	}
	for accept, want := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "br": false, "x-gzip": false} {
		r, body := get(t, s, "/assets/app-1234.js", "Accept-Encoding", accept)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %q: compressed is %v, want %v", accept, got, want)
			continue
		}
		if !want {
			continue
		}
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(z); err != nil || string(all) != script {
			t.Errorf("Accept-Encoding %q: got %q, %v", accept, all, err)
		}
	}
	if r, _ := get(t, s, "/assets/mark-1.svg"); !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Error("a picture that is opened by itself could run scripts")
	}
	for _, path := range []string{"/assets/app-0000.js", "/assets/", "/assets/../index.html"} {
		if r, _ := get(t, s, path); r.StatusCode != http.StatusNotFound || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: got %d, %s", path, r.StatusCode, r.Header.Get("Cache-Control"))
		}
	}
}

func TestBrand(t *testing.T) {
	s := site(t, func(d *pages.Deps) {
		d.Brand = pages.Brand{Name: "Acme <Streams>", Logo: []byte("<svg/>"), LogoKind: "image/svg+xml", Light: map[string]string{"accent": "#123456"}, Dark: map[string]string{"accent": "#abcdef"}}
	})
	_, body := get(t, s, "/")
	if !strings.Contains(body, `content="Acme &lt;Streams&gt;"`) || !strings.Contains(body, "<title>Welcome · Acme &lt;Streams&gt;</title>") {
		t.Errorf("got %q", body)
	}
	style := regexp.MustCompile(`<link rel="stylesheet" href="([^"]+)">`).FindStringSubmatch(body)
	logo := regexp.MustCompile(`<meta name="sluice-logo" content="([^"]+)">`).FindStringSubmatch(body)
	if style == nil || logo == nil {
		t.Fatalf("got %q", body)
	}
	if r, css := get(t, s, style[1]); r.StatusCode != 200 || !strings.Contains(css, "html:root{--accent:#123456;}") || !strings.Contains(css, `html:root[data-theme="dark"]{--accent:#abcdef;}`) {
		t.Errorf("got %d, %q", r.StatusCode, css)
	}
	if r, picture := get(t, s, logo[1]); r.StatusCode != 200 || picture != "<svg/>" || r.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("got %d, %q", r.StatusCode, picture)
	}
}

func TestWithoutABuild(t *testing.T) {
	s := site(t, func(d *pages.Deps) {
		d.Built, d.Files = false, fstest.MapFS{"dist-missing.html": {Data: []byte("make web")}}
	})
	r, body := get(t, s, "/apis/orders")
	if r.StatusCode != http.StatusNotFound || body != "make web" || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("got %d, %q, %q", r.StatusCode, body, r.Header.Get("Content-Security-Policy"))
	}
}

func TestABuildThatIsNone(t *testing.T) {
	for name, file := range map[string]string{"console.html": "<html lang=\"en\"><head></head>", "index.html": "<html><!--head-->"} {
		files := build()
		files[name] = &fstest.MapFile{Data: []byte(file)}
		if _, err := pages.New(pages.Deps{Files: files, Built: true}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
