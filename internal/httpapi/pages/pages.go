// Package pages serves the web application to browsers: its pages, each with a title,
// a theme and a content security policy of its own, and its assets. Its main type is
// Site, an http.Handler. It knows nothing of what the pages show: the application asks
// the management API for that.
package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"sluice/web"
)

// Deps are what a Site works with.
type Deps struct {
	// Files are what Vite built, and Built says that there is a build; see web.Files.
	Files fs.FS
	Built bool
	// Addresses are those that there are.
	Addresses []web.Address
	// Title returns the title of a document, by its kind and name, for whoever asks; false
	// when they may not see it, or there is none.
	Title func(r *http.Request, kind, name string) (title string, ok bool)
	Brand Brand
	Log   *slog.Logger
}

// Site serves the web application. It is safe for concurrent use.
type Site struct {
	deps    Deps
	pages   map[string]*page // by file
	routes  []route
	assets  map[string]*asset // by path
	missing []byte            // what is said without a build
}

// page is an HTML file, cut where something is put in.
type page struct{ begin, head, end string }

// route is an address, cut at its slashes.
type route struct {
	parts []string
	web.Address
}

// asset is a file that never changes, as its name has a digest of it. It is compressed
// when it is first asked for.
type asset struct {
	kind     string
	plain    []byte
	compress sync.Once
	gzipped  []byte
}

const (
	portalFile  = "index.html"
	consoleFile = "console.html"
	missingFile = "dist-missing.html"
	assetsPath  = "/assets/"
	htmlMark    = `<html lang="en">`
	headMark    = "<!--head-->"
)

// New returns a Site; the error says what is wrong with the build.
func New(deps Deps) (*Site, error) {
	s := &Site{deps: deps, pages: map[string]*page{}, assets: map[string]*asset{}}
	if !deps.Built {
		var err error
		if s.missing, err = fs.ReadFile(deps.Files, missingFile); err != nil {
			return nil, fmt.Errorf("read the page that stands in for the web application: %w", err)
		}
		return s, nil
	}
	for _, name := range []string{portalFile, consoleFile} {
		text, err := fs.ReadFile(deps.Files, name)
		if err != nil {
			return nil, fmt.Errorf("read the web application, which make web makes: %w", err)
		}
		begin, rest, ok := strings.Cut(string(text), htmlMark)
		head, end, marked := strings.Cut(rest, headMark)
		if !ok || !marked {
			return nil, fmt.Errorf("web/dist/%s lacks %s or %s: run make web", name, htmlMark, headMark)
		}
		s.pages[name] = &page{begin, head, end}
	}
	for _, a := range deps.Addresses {
		s.routes = append(s.routes, route{strings.Split(a.Path, "/")[1:], a})
	}
	err := fs.WalkDir(deps.Files, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(deps.Files, name)
		if err != nil {
			return err
		}
		s.assets["/"+name] = &asset{kind: kindOf(name), plain: text}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the web application: %w", err)
	}
	deps.Brand.assets(s.assets)
	return s, nil
}

// kindOf is the media type of a file; the system's table is not asked, which differs.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "pages take GET", http.StatusMethodNotAllowed)
		return
	}
	if strings.HasPrefix(r.URL.Path, assetsPath) {
		s.asset(w, r)
		return
	}
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Type", "text/html; charset=utf-8")
	if !s.deps.Built {
		header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.WriteHeader(http.StatusNotFound)
		s.write(w, r, s.missing)
		return
	}
	s.page(w, r)
}

// asset answers with a file that may be kept for ever.
func (s *Site) asset(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	a, ok := s.assets[r.URL.Path]
	if !ok {
		header.Set("Cache-Control", "no-store")
		http.Error(w, "there is no such file: reload the page, it may be of another release", http.StatusNotFound)
		return
	}
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Content-Type", a.kind)
	header.Set("Vary", "Accept-Encoding")
	if strings.HasPrefix(a.kind, "image/svg") { // opened by itself it is a document
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	}
	body := a.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		a.compress.Do(func() { a.gzipped = compressed(a.plain) })
		if a.gzipped != nil {
			header.Set("Content-Encoding", "gzip")
			body = a.gzipped
		}
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	s.write(w, r, body)
}

// compressed returns nil for what does not become a tenth smaller.
func compressed(plain []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic("bug: " + err.Error())
	}
	z.Write(plain) // to a bytes.Buffer, which takes everything
	z.Close()
	if out.Len() > len(plain)*9/10 {
		return nil
	}
	return out.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3) as far as gzip goes.
func acceptsGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, weighed := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
			weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !weighed || err == nil && weight > 0
		}
	}
	return false
}

// page answers with the application, which draws what the address says. An object that
// somebody may not see and one that is not there are answered alike.
func (s *Site) page(w http.ResponseWriter, r *http.Request) {
	address, title, found := s.find(r)
	status, description := http.StatusOK, s.deps.Brand.Description
	if !found {
		status, title = http.StatusNotFound, "Not found"
	} else if address.Description != "" {
		description = address.Description
	}
	if title != "" {
		title += " · "
	}
	title += s.deps.Brand.Name
	file := s.pages[portalFile]
	if address.Console || !found && (r.URL.Path == "/console" || strings.HasPrefix(r.URL.Path, "/console/")) {
		file = s.pages[consoleFile]
	}
	nonce := newNonce()
	w.Header().Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self' 'nonce-" + nonce + "'", "img-src 'self'", "connect-src 'self'",
		"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types sluice",
	}, "; "))
	w.Header().Set("Vary", "Cookie")
	var out strings.Builder
	out.Grow(len(file.begin) + len(file.head) + len(file.end) + 1024)
	out.WriteString(file.begin)
	out.WriteString(`<html lang="en"`)
	if theme := themeOf(r); theme != "" {
		out.WriteString(` data-theme="` + theme + `"`)
	}
	out.WriteString(">")
	out.WriteString(file.head)
	fmt.Fprintf(&out, "<title>%s</title>\n<meta name=\"description\" content=\"%s\">\n<meta property=\"csp-nonce\" nonce=\"%s\">\n%s",
		html.EscapeString(title), html.EscapeString(description), nonce, s.deps.Brand.head())
	out.WriteString(file.end)
	w.WriteHeader(status)
	s.write(w, r, []byte(out.String()))
}

// find returns the address that a request is for, and the page's title.
func (s *Site) find(r *http.Request) (address web.Address, title string, ok bool) {
	parts := strings.Split(r.URL.Path, "/")[1:]
	var best *route
	var places map[string]string
	for i := range s.routes {
		route := &s.routes[i]
		if found, ok := route.match(parts); ok && (best == nil || len(found) < len(places)) { // the more literal one
			best, places = route, found
		}
	}
	if best == nil {
		return web.Address{}, "", false
	}
	if best.Object != "" {
		name := places["name"]
		shown, ok := s.deps.Title(r, best.Object, name)
		if !ok {
			return web.Address{}, "", false
		}
		places["title"] = shown
	}
	title = best.Title
	for name, value := range places {
		title = strings.ReplaceAll(title, "{"+name+"}", value)
	}
	return best.Address, title, true
}

func (r *route) match(parts []string) (places map[string]string, ok bool) {
	if len(parts) != len(r.parts) {
		return nil, false
	}
	places = map[string]string{}
	for i, want := range r.parts {
		switch name, isPlace := strings.CutPrefix(want, "{"); {
		case isPlace && parts[i] != "":
			places[strings.TrimSuffix(name, "}")] = parts[i]
		case isPlace || want != parts[i]:
			return nil, false
		}
	}
	return places, true
}

// themeOf is what the browser's person chose, and "" for what their system has.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie("sluice_theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func newNonce() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func (s *Site) write(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil { // whoever asked has gone
		s.deps.Log.Debug("answer with a page", "path", r.URL.Path, "err", err)
	}
}
