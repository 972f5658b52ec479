package httpapi

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/identity"
	"sluice/internal/control/token"
	"sluice/internal/fault"
)

// Tokens signs access tokens; see package token.
type Tokens interface {
	Issue(token.Claims) (string, time.Duration, error)
	KeySet() ([]byte, error)
}

// The paths of the token endpoint.
const (
	oauthPath  = "/v1/oauth/"
	keySetPath = oauthPath + "jwks"
)

// How a failed request for a token is held back: it is answered late, and of those that
// wait there are no more than so many.
const (
	tokenDelay   = time.Second
	tokenWaiting = 100
	maxTokenBody = 16 << 10
)

// oauth is the token endpoint: client credentials for access tokens (RFC 6749 §4.4).
type oauth struct {
	tokens   Tokens
	api      *API
	failures *identity.Guesses
	waiting  chan struct{}
}

// tokenEndpoint registers the routes of the token endpoint. They ask for no login: a
// client proves itself.
func (a *API) tokenEndpoint(tokens Tokens) {
	o := &oauth{tokens: tokens, api: a, failures: identity.NewGuesses(time.Now()), waiting: make(chan struct{}, tokenWaiting)}
	a.open.HandleFunc("POST "+oauthPath+"{environment}/token", o.token)
	a.open.HandleFunc("GET "+keySetPath, o.keySet)
	text := func(is string) map[string]*huma.Response {
		return map[string]*huma.Response{"200": {Description: is, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}}
	}
	nobody := []map[string][]string{{}}
	a.huma.OpenAPI().AddOperation(&huma.Operation{OperationID: "token", Method: http.MethodPost, Path: oauthPath + "{environment}/token", Summary: "Give a client an access token (RFC 6749, client credentials)", Tags: []string{"Tokens"}, Security: nobody,
		Parameters:  []*huma.Param{{Name: "environment", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"grant_type": {Type: huma.TypeString, Enum: []any{"client_credentials"}}, "client_id": {Type: huma.TypeString}, "client_secret": {Type: huma.TypeString}}}}}},
		Responses:   text("access_token, token_type and expires_in.")})
	a.huma.OpenAPI().AddOperation(&huma.Operation{OperationID: "jwks", Method: http.MethodGet, Path: keySetPath, Summary: "The public keys of access tokens (RFC 7517)", Tags: []string{"Tokens"}, Security: nobody, Responses: text("A JSON Web Key Set.")})
}

// refusedToken is why there is no token (RFC 6749 §5.2).
type refusedToken struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func (o *oauth) refuse(w http.ResponseWriter, r refusedToken) {
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="sluice"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	json.NewEncoder(w).Encode(r) // an error is the client's, who has gone
}

func (o *oauth) token(w http.ResponseWriter, r *http.Request) {
	address, _ := netip.ParseAddr(hostOf(r)) // what is none is the zero one
	id, secret, refused := clientOf(w, r)
	if refused != nil {
		o.refuse(w, *refused)
		return
	}
	if o.failures.Spent(address, id, time.Now()) {
		w.Header().Set("Retry-After", "60")
		o.refuse(w, refusedToken{status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "too many failed requests of this client, or from your address"})
		return
	}
	claims, err := o.api.plane.Client(r.PathValue("environment"), id, secret)
	if err != nil {
		o.failures.Count(address, id, time.Now())
		select {
		case o.waiting <- struct{}{}:
			delay := time.NewTimer(tokenDelay)
			select {
			case <-delay.C:
			case <-r.Context().Done():
			}
			delay.Stop()
			<-o.waiting
		default: // enough wait; this one is told at once, and its address has been counted
		}
		o.refuse(w, refusedToken{status: http.StatusUnauthorized, Code: "invalid_client", Description: fault.MessageOf(err)})
		return
	}
	text, life, err := o.tokens.Issue(claims)
	if err != nil {
		o.api.log.Error("a token could not be made", "err", err)
		o.refuse(w, refusedToken{status: http.StatusInternalServerError, Code: "server_error"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	json.NewEncoder(w).Encode(struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}{text, "Bearer", int(life.Seconds())}) // an error is the client's, who has gone
}

// clientOf reads who asks: by the Authorization header or in the body, and not both
// (RFC 6749 §2.3.1). Nothing is taken from the query, which logs would have.
func clientOf(w http.ResponseWriter, r *http.Request) (id, secret string, refused *refusedToken) {
	bad := func(code, why string) (string, string, *refusedToken) {
		return "", "", &refusedToken{status: http.StatusBadRequest, Code: code, Description: why}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return bad("invalid_request", "the body has to be application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenBody)
	if err := r.ParseForm(); err != nil {
		return bad("invalid_request", "the body cannot be read")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return bad("invalid_request", "a parameter is there more than once: "+name)
		}
		if isText(name) != nil || isText(values[0]) != nil {
			return bad("invalid_request", "a parameter is no text")
		}
	}
	if kind := r.PostForm.Get("grant_type"); kind != "client_credentials" {
		return bad("unsupported_grant_type", "grant_type has to be client_credentials")
	}
	id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	header := r.Header.Get("Authorization")
	if header == "" {
		if id == "" || secret == "" {
			return "", "", &refusedToken{status: http.StatusUnauthorized, Code: "invalid_client", Description: "the client has to prove itself: client id and client secret, in the Authorization header or in the body"}
		}
		return id, secret, nil
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", &refusedToken{status: http.StatusUnauthorized, Code: "invalid_client", Description: "Authorization has to be Basic"}
	}
	if secret != "" {
		return bad("invalid_request", "the client proves itself in two ways: use one")
	}
	// Both are form-encoded before they are joined, though not by every client.
	for _, part := range []*string{&user, &password} {
		if plain, err := url.QueryUnescape(*part); err == nil && strings.Contains(*part, "%") {
			*part = plain
		}
		if isText(*part) != nil {
			return bad("invalid_request", "the Authorization header is no text")
		}
	}
	if id != "" && id != user {
		return bad("invalid_request", "client_id is another one than that of the Authorization header")
	}
	return user, password, nil
}

func (o *oauth) keySet(w http.ResponseWriter, _ *http.Request) {
	text, err := o.tokens.KeySet()
	if err != nil {
		o.api.log.Error("the key set could not be written", "err", err)
		o.refuse(w, refusedToken{status: http.StatusInternalServerError, Code: "server_error"})
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Write(text) // an error is the client's, who has gone
}
