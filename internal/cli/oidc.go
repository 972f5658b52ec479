package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// browserPatience is how long a person may take in the browser.
const browserPatience = 5 * time.Minute

// logInByBrowser logs somebody in through an identity provider: their browser proves
// them there and brings a code to a port of this machine (RFC 8252 §7.3), which is of
// use to nobody without the verifier that stays here (RFC 7636).
func logInByBrowser(ctx context.Context, s Streams, c *client.Client, provider string) (*schema.Login, error) {
	methods, err := c.LoginMethods(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case len(methods.Providers) == 0:
		return nil, errors.New("people do not log in through an identity provider here: log in with a password")
	case provider == "" && len(methods.Providers) > 1:
		return nil, usagef("--provider is missing: it is one of %s", strings.Join(methods.Providers, ", "))
	case provider != "" && !slices.Contains(methods.Providers, provider):
		return nil, usagef("--provider %q is not one of %s", provider, strings.Join(methods.Providers, ", "))
	case provider == "":
		provider = methods.Providers[0]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wait for the browser: %w", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String()) // of a listener, it is always one
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	page := strings.TrimSuffix(methods.URL, "/") + "/v1/login/oidc/start?" + url.Values{
		"provider": {provider}, "port": {port}, "state": {state}, "challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}.Encode()

	codes := make(chan string, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Referrer-Policy", "no-referrer")
			if r.URL.Path != "/" || q.Get("code") == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
				w.WriteHeader(http.StatusNotFound)
				io.WriteString(w, "This is not the login that sluice waits for.\n")
				return
			}
			select {
			case codes <- q.Get("code"):
				io.WriteString(w, "You are logged in: go on in the terminal. This page can be closed.\n")
			default:
				io.WriteString(w, "This login is over.\n")
			}
		})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // so that the page arrives
		defer cancel()
		if server.Shutdown(done) != nil {
			server.Close()
		}
		<-served
	}()
	fmt.Fprintf(s.Err, "open this page in a browser on this machine, and log in there:\n  %s\n", page)
	ctx, cancel := context.WithTimeoutCause(ctx, browserPatience, errors.New("nobody came back from the browser within "+strconv.Itoa(int(browserPatience/time.Minute))+" minutes"))
	defer cancel()
	select {
	case code := <-codes:
		return c.LogInByCode(ctx, schema.HandedOver{Code: code, Verifier: verifier})
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
