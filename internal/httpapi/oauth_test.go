package httpapi_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/control/token"
	"sluice/internal/httpapi"
	"sluice/internal/httpapi/schema"
)

// signer stands for the keys of the token endpoint, which have tests of their own.
type signer struct{}

func (signer) Issue(c token.Claims) (string, time.Duration, error) {
	return c.Environment + "." + c.ClientID, 90 * time.Second, nil
}

func (signer) KeySet() ([]byte, error) { return []byte(`{"keys":[]}`), nil }

// tokens is a world with a client of the token endpoint, and an API that has one.
func tokens(t *testing.T) (w *world, api http.Handler, secret string) {
	t.Helper()
	w = newWorld(t)
	w.people()
	w.want(201, "ben", "PUT", "/v1/applications/billing", `{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"billing","team":"shop"},"spec":{}}`)
	body := w.want(201, "ben", "PUT", "/v1/credentials/billing-1", `{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":"billing-1","environment":"prod"},"spec":{"application":"billing","type":"oauth"}}`)
	var report schema.Report
	if err := json.Unmarshal([]byte(body), &report); err != nil || report.Outcomes[0].Secret == "" {
		t.Fatalf("%v %s", err, body)
	}
	return w, httpapi.New(httpapi.Deps{Plane: w.plane, Tokens: signer{}, Log: slog.New(slog.DiscardHandler), Release: "test"}), report.Outcomes[0].Secret
}

func TestClientsGetTokens(t *testing.T) {
	_, api, secret := tokens(t)
	const form = "application/x-www-form-urlencoded"
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing-1"}, "client_secret": {secret}}
	with := func(key string, values ...string) string {
		v := url.Values{}
		for k, old := range good {
			v[k] = old
		}
		if v[key] = values; len(values) == 0 {
			delete(v, key)
		}
		return v.Encode()
	}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	const grant = "grant_type=client_credentials"
	var group sync.WaitGroup // refused ones are answered late
	for i, tc := range []struct {
		name, path, kind, body string
		prepare                func(*http.Request)
		status                 int
		want                   string
	}{
		{"in the body", "prod", form, good.Encode(), nil, 200, `{"access_token":"prod.billing-1","token_type":"Bearer","expires_in":90}`},
		{"in the header", "prod", form + "; charset=UTF-8", grant, basic("billing-1", secret), 200, "prod.billing-1"},
		{"in the header, encoded", "prod", form, grant, basic("billing%2D1", secret), 200, "prod.billing-1"},
		{"in the header, the id in the body too", "prod", form, with("client_secret"), basic("billing-1", secret), 200, "prod.billing-1"},
		{"with a scope", "prod", form, with("scope", "read"), nil, 200, "prod.billing-1"},
		{"twice", "prod", form, good.Encode(), basic("billing-1", secret), 400, "in two ways"},
		{"two ids", "prod", form, grant + "&client_id=other", basic("billing-1", secret), 400, "another one than"},
		{"a parameter twice", "prod", form, good.Encode() + "&client_id=billing-1", nil, 400, "more than once: client_id"},
		{"another grant", "prod", form, with("grant_type", "password"), nil, 400, `"error":"unsupported_grant_type"`},
		{"no grant", "prod", form, with("grant_type"), nil, 400, `"error":"unsupported_grant_type"`},
		{"in JSON", "prod", "application/json", `{}`, nil, 400, "has to be application/x-www-form-urlencoded"},
		{"in the query", "prod?" + good.Encode(), form, grant, nil, 401, "has to prove itself"},
		{"too long", "prod", form, good.Encode() + "&x=" + strings.Repeat("x", 20<<10), nil, 400, "cannot be read"},
		{"by a token", "prod", form, grant, func(r *http.Request) { r.Header.Set("Authorization", "Bearer root") }, 401, "has to be Basic"},
		{"nothing", "prod", form, grant, nil, 401, `"error":"invalid_client"`},
		{"a wrong secret", "prod", form, with("client_secret", "wrong"), nil, 401, `{"error":"invalid_client","error_description":"unknown client or wrong secret"}`},
		{"an unknown client", "prod", form, with("client_id", "nobody"), nil, 401, `{"error":"invalid_client","error_description":"unknown client or wrong secret"}`},
		{"another environment", "qa", form, good.Encode(), nil, 401, "unknown client or wrong secret"},
	} {
		group.Go(func() {
			path, query, _ := strings.Cut(tc.path, "?")
			r := httptest.NewRequest("POST", "/v1/oauth/"+path+"/token?"+query, strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.kind)
			r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1).String()
			if tc.prepare != nil {
				tc.prepare(r)
			}
			began, got := time.Now(), httptest.NewRecorder()
			api.ServeHTTP(got, r)
			if got.Code != tc.status || !strings.Contains(got.Body.String(), tc.want) || got.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s, want %d %s", tc.name, got.Code, got.Body, tc.status, tc.want)
			}
			if late := time.Since(began) >= time.Second; strings.Contains(tc.want, "unknown client") && !late {
				t.Errorf("%s: a guess is answered at once", tc.name)
			}
			if basic := got.Header().Get("WWW-Authenticate"); tc.name == "nothing" && !strings.HasPrefix(basic, "Basic") {
				t.Errorf("%s: WWW-Authenticate %q", tc.name, basic)
			}
		})
	}
	group.Wait()
	got := httptest.NewRecorder()
	api.ServeHTTP(got, httptest.NewRequest("GET", "/v1/oauth/jwks", nil))
	if got.Code != 200 || got.Body.String() != `{"keys":[]}` || got.Header().Get("Content-Type") != "application/jwk-set+json" {
		t.Errorf("the key set: %d %s", got.Code, got.Body)
	}
	got = httptest.NewRecorder()
	api.ServeHTTP(got, httptest.NewRequest("GET", "/v1/openapi.json", nil))
	for _, want := range []string{`"/v1/oauth/{environment}/token"`, `"/v1/oauth/jwks"`} {
		if !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s is not described", want)
		}
	}
}

// Who guesses too often waits, and nobody else does.
func TestGuessesAreHeldBack(t *testing.T) {
	_, api, secret := tokens(t)
	ask := func(address, secret string, client ...string) int {
		id := append(client, "billing-1")[0]
		r := httptest.NewRequest("POST", "/v1/oauth/prod/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = address
		got := httptest.NewRecorder()
		api.ServeHTTP(got, r)
		return got.Code
	}
	guess := func(address string, client ...string) {
		t.Helper()
		var group sync.WaitGroup
		var refused atomic.Int64
		for range 80 {
			group.Go(func() {
				if ask(address, "wrong", client...) == http.StatusTooManyRequests {
					refused.Add(1)
				}
			})
		}
		group.Wait()
		if refused.Load() == 0 {
			t.Errorf("80 guesses of %q from %s are answered", client, address)
		}
	}
	guess("192.0.2.1:5000")
	guess("192.0.2.3:5000", "somebody-else")
	if got := ask("192.0.2.3:6000", secret); got != http.StatusOK {
		t.Errorf("behind the same proxy as who guesses: %d", got)
	}
	for range 40 { // who proves itself is not counted
		if got := ask("192.0.2.2:5000", secret); got != http.StatusOK {
			t.Fatalf("from elsewhere: %d", got)
		}
	}
}
