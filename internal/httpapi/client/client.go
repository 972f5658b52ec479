// Package client speaks to the management API. Its main type is Client. It knows
// bodies and paths, and nothing of what they mean.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/httpapi/schema"
)

// Config is where the API is, and who asks.
type Config struct {
	// Server is its address, as https://sluice.example.com. Plain HTTP is for loopback,
	// unless Insecure is set.
	Server string
	// Token is an API token; nobody asks without it. TokenFrom says where it is from, for
	// when it is not known; "" for that of a login, which the server's words are for.
	Token, TokenFrom string
	// Insecure allows plain HTTP to other machines, where everybody between can read
	// token and secrets.
	Insecure bool
	// TLS is for connections by https; nil means the system's authorities.
	TLS *tls.Config
}

// Client speaks to one management API. It is safe for concurrent use.
type Client struct {
	server           *url.URL
	token, tokenFrom string
	http             *http.Client
}

// What one exchange may take.
const (
	timeout   = 60 * time.Second
	maxAnswer = 64 << 20
)

// New returns a client. It opens nothing.
func New(config Config) (*Client, error) {
	server, err := url.Parse(config.Server)
	if err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https" {
		return nil, fmt.Errorf("server %q is no address: write it as https://sluice.example.com or http://127.0.0.1:18080", config.Server)
	}
	if server.Scheme == "http" && !config.Insecure && !loopback(server.Hostname()) {
		return nil, fmt.Errorf("server %q would be spoken to without TLS, so that everybody between could read the token: use https", config.Server)
	}
	transport := &http.Transport{TLSClientConfig: config.TLS, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true}
	return &Client{server: server, token: config.Token, tokenFrom: config.TokenFrom, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the server redirects: write the address it redirects to") // the token is for this one only
	}}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Server returns where the API is.
func (c *Client) Server() string { return c.server.String() }

// Options are what a change may be asked for with.
type Options struct {
	DryRun bool
	Reason string
	// ETag is the one that the document must have; "" for any.
	ETag string
}

func (o Options) query() url.Values {
	q := url.Values{}
	if o.DryRun {
		q.Set("dryRun", "true")
	}
	if o.Reason != "" {
		q.Set("reason", o.Reason)
	}
	return q
}

// Apply brings documents about, all of them or none.
func (c *Client) Apply(ctx context.Context, body schema.Apply, dryRun bool) (*schema.Report, error) {
	var out schema.Report
	return &out, c.do(ctx, http.MethodPost, "/v1/apply", Options{DryRun: dryRun}.query(), "", body, &out)
}

// Get returns a document; plural is its kind in paths, as subscriptions.
func (c *Client) Get(ctx context.Context, plural, name string) (*schema.Document, error) {
	var out schema.Document
	return &out, c.do(ctx, http.MethodGet, "/v1/"+plural+"/"+url.PathEscape(name), nil, "", nil, &out)
}

// List calls f for all documents of a kind that the query asks for, by name.
func (c *Client) List(ctx context.Context, plural string, query url.Values, f func(schema.Document) error) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page schema.Page
		if err := c.do(ctx, http.MethodGet, "/v1/"+plural, q, "", nil, &page); err != nil {
			return err
		}
		for _, d := range page.Items {
			if err := f(d); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Set("after", page.Next)
	}
}

// Delete removes a document.
func (c *Client) Delete(ctx context.Context, plural, name string, o Options) (*schema.Report, error) {
	var out schema.Report
	return &out, c.do(ctx, http.MethodDelete, "/v1/"+plural+"/"+url.PathEscape(name), o.query(), o.ETag, nil, &out)
}

// Move makes a move of a document's life cycle.
func (c *Client) Move(ctx context.Context, plural, name, action string, body schema.Move, o Options) (*schema.Document, error) {
	var out schema.Document
	return &out, c.do(ctx, http.MethodPost, "/v1/"+plural+"/"+url.PathEscape(name)+"/"+action, Options{DryRun: o.DryRun}.query(), o.ETag, body, &out)
}

// Rotate makes a new secret for a credential.
func (c *Client) Rotate(ctx context.Context, name string, body schema.Rotate, o Options) (*schema.Rotation, error) {
	var out schema.Rotation
	return &out, c.do(ctx, http.MethodPost, "/v1/credentials/"+url.PathEscape(name)+"/rotate", Options{DryRun: o.DryRun}.query(), o.ETag, body, &out)
}

// InviteGateway makes a token with which a gateway joins.
func (c *Client) InviteGateway(ctx context.Context, name string, o Options) (*schema.Joining, error) {
	var out schema.Joining
	return &out, c.do(ctx, http.MethodPost, "/v1/gateways/"+url.PathEscape(name)+"/invite", o.query(), "", nil, &out)
}

// Me says who asks.
func (c *Client) Me(ctx context.Context) (*schema.Me, error) {
	var out schema.Me
	return &out, c.do(ctx, http.MethodGet, "/v1/me", nil, "", nil, &out)
}

// Claim makes the first platform-admin.
func (c *Client) Claim(ctx context.Context, body schema.Claim) error {
	return c.do(ctx, http.MethodPost, "/v1/claim", nil, "", body, nil)
}

// LogIn logs in with a password.
func (c *Client) LogIn(ctx context.Context, body schema.Credentials) (*schema.Login, error) {
	var out schema.Login
	return &out, c.do(ctx, http.MethodPost, "/v1/login", nil, "", body, &out)
}

// LoginMethods says in which ways people log in.
func (c *Client) LoginMethods(ctx context.Context) (*schema.LoginMethods, error) {
	var out schema.LoginMethods
	return &out, c.do(ctx, http.MethodGet, "/v1/login/methods", nil, "", nil, &out)
}

// LogInByCode logs in with the code that a browser brought.
func (c *Client) LogInByCode(ctx context.Context, body schema.HandedOver) (*schema.Login, error) {
	var out schema.Login
	return &out, c.do(ctx, http.MethodPost, "/v1/login/oidc/exchange", nil, "", body, &out)
}

// CodeNeeded says whether a login lacks the code of the second factor only.
func CodeNeeded(err error) bool {
	var p *schema.Problem
	return errors.As(err, &p) && p.Type == schema.CodeNeeded
}

// LogOut ends the login that the client asks with.
func (c *Client) LogOut(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/logout", nil, "", nil, nil)
}

// NewToken makes an API token of one's own.
func (c *Client) NewToken(ctx context.Context, body schema.NewToken) (*schema.Token, error) {
	var out schema.Token
	return &out, c.do(ctx, http.MethodPost, "/v1/tokens", nil, "", body, &out)
}

// Invite makes an account for somebody.
func (c *Client) Invite(ctx context.Context, body schema.Person) (*schema.Invitation, error) {
	var out schema.Invitation
	return &out, c.do(ctx, http.MethodPost, "/v1/people", nil, "", body, &out)
}

// SetPassword sets a password with the token of an invitation.
func (c *Client) SetPassword(ctx context.Context, body schema.NewPassword) error {
	return c.do(ctx, http.MethodPost, "/v1/password", nil, "", body, nil)
}

// do carries out one exchange. The error is a *schema.Problem where the server
// answered with one.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, etag string, body, into any) error {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	resp, err := c.ask(ctx, method, path, query, etag, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := c.read(resp)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.server.Host, err)
	}
	return nil
}

// stream copies an answer without bounds, which comes for as long as ctx lasts.
func (c *Client) stream(ctx context.Context, path string, query url.Values, out io.Writer) error {
	resp, err := c.ask(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		_, err := c.read(resp)
		return err
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("read the answer of %s, which was broken off: %w", c.server.Host, err)
	}
	return nil
}

// ask sends a request.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, etag string, body any) (*http.Response, error) {
	u := *c.server
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = strings.TrimSuffix(c.server.Path, "/")+unescaped, strings.TrimSuffix(c.server.EscapedPath(), "/")+path
	}
	u.RawQuery = query.Encode()
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		reader = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if etag != "" {
		r.Header.Set("If-Match", etag)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		err = cause(err)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("nothing answers at %s: check the address, and that a control plane runs there: %w", c.server.Host, err)
		}
		return nil, fmt.Errorf("ask %s: %w", c.server.Host, err)
	}
	return resp, nil
}

// read returns what an answer holds, or the problem that it is.
func (c *Client) read(resp *http.Response) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(b) > maxAnswer {
		return nil, fmt.Errorf("read the answer of %s: more than %d bytes, or %v", c.server.Host, maxAnswer, err)
	}
	if resp.StatusCode >= 300 {
		var p schema.Problem
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(b, &p) == nil && p.Detail != "" {
			if c.tokenFrom != "" && p.Status == http.StatusUnauthorized {
				p.Detail = fmt.Sprintf("the API token in %s is not known at %s, was revoked, or is too old: make another with sluice token, or do without it and log in", c.tokenFrom, c.server.Host)
			}
			return nil, &p
		}
		return nil, fmt.Errorf("%s %s answered %s: is this a Sluice management API?", resp.Request.Method, resp.Request.URL.Redacted(), resp.Status)
	}
	return b, nil
}

// cause leaves out what url.Error repeats.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
