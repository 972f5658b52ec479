// Package openid logs people in through an OpenID provider that others wrote and that is certified: oidc-provider, in
// Node. Its main type is Issuer, one that runs. It was chosen because it does the whole of the code flow and refuses what
// the standards refuse, and is a few packages of npm; Dex and Hydra cannot be had as Go modules of a recent release.
package openid

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sluice/test/harness"
)

//go:embed node/package.json
var packages string

//go:embed node/package-lock.json
var lock string

//go:embed node/provider.mjs
var program string

var installed = sync.OnceValues(func() (string, error) {
	files := map[string]string{"package.json": packages, "package-lock.json": lock, "provider.mjs": program}
	return harness.Installed("openid", files, func(dir string) error {
		return harness.Command(dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
})

type object = map[string]any

// Issuer is a provider that runs.
type Issuer struct{ URL string }

// Start starts a provider that knows these clients and people. It ends with the test.
func Start(t *testing.T, clients []object, people map[string]object) Issuer {
	t.Helper()
	dir, err := installed()
	if err != nil {
		t.Fatal("install the provider: ", err)
	}
	settings, err := json.Marshal(object{"modules": dir, "clients": clients, "people": people})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join(dir, "provider.mjs"), string(settings))
	var said strings.Builder
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe() // it ends when this does, whatever becomes of us
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal("start the provider: ", err)
	}
	lines := bufio.NewScanner(out)
	var ready struct{ Issuer string }
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &ready) != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the provider does not start: %s", said.String())
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the provider said:\n%s", said.String())
		}
	})
	return Issuer{ready.Issuer}
}

// Browser is a person's, with cookies. It fills in the provider's pages.
type Browser struct {
	http *http.Client
	// Login is who the person says they are.
	Login string
	// Refuse says that they do not let the provider tell us.
	Refuse bool
	// Pages counts the forms that were filled in.
	Pages int
}

// NewBrowser returns one without cookies.
func NewBrowser(login string) *Browser {
	jar, _ := cookiejar.New(nil) // it never fails
	return &Browser{Login: login, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

var (
	action = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	prompt = regexp.MustCompile(`name="prompt" value="([a-z]+)"`)
	abort  = regexp.MustCompile(`href="([^"]+/abort)"`)
)

// errStays says that the provider does not send the person back.
var errStays = errors.New("the provider keeps the person")

// Visit opens a page and goes on until the provider sends the person to back, and returns with what.
func (b *Browser) Visit(ctx context.Context, page, back string) (url.Values, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, err
	}
	for range 20 {
		resp, err := b.http.Do(req)
		if err != nil {
			return nil, err
		}
		text := new(strings.Builder)
		_, err = bufio.NewReader(http.MaxBytesReader(nil, resp.Body, 1<<20)).WriteTo(text)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if location := resp.Header.Get("Location"); location != "" {
			next, err := req.URL.Parse(location)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(next.String(), back+"?") {
				return next.Query(), nil
			}
			if next.Host != req.URL.Host {
				return nil, fmt.Errorf("%w, but sends them to %s", errStays, next.Host)
			}
			if req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil); err != nil {
				return nil, err
			}
			continue
		}
		form, asked := action.FindStringSubmatch(text.String()), prompt.FindStringSubmatch(text.String())
		if resp.StatusCode != http.StatusOK || form == nil || asked == nil {
			return nil, fmt.Errorf("%w: status %d", errStays, resp.StatusCode)
		}
		b.Pages++
		to, fields := form[1], url.Values{"prompt": {asked[1]}, "login": {b.Login}, "password": {"anything"}}
		method, body := http.MethodPost, fields.Encode()
		if link := abort.FindStringSubmatch(text.String()); b.Refuse && link != nil {
			to, method, body = link[1], http.MethodGet, ""
		}
		next, err := req.URL.Parse(html.UnescapeString(to))
		if err != nil {
			return nil, err
		}
		if req, err = http.NewRequestWithContext(ctx, method, next.String(), strings.NewReader(body)); err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil, errors.New("the provider sends the person in a circle")
}
