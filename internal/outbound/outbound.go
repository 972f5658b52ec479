// Package outbound is the one HTTP client that leaves the house: webhooks, key
// sets, OpenID discovery and schema registries are reached through its Client
// and through nothing else. The URLs come from people who are not the operator,
// so it takes care that they lead out: every address is checked after the name
// is resolved and the checked address is the one connected to, which leaves DNS
// rebinding nothing to switch.
//
// It must not know what is fetched, why, or for whom.
package outbound

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const maxAddresses = 8 // of one host that are tried

// Config says where the client may go. The zero Config is the strict one.
type Config struct {
	// AllowPrivate lists networks that may be connected to though they are not
	// public. A metadata service needs an entry of exactly its address.
	AllowPrivate []netip.Prefix
	// AllowHosts lists names, without port, that may lead to private and loopback
	// addresses. Only names whose DNS the operator controls belong here.
	AllowHosts []string
	// AllowHTTP permits http: URLs.
	AllowHTTP bool
	// Timeout bounds a whole exchange, redirects and body included; zero means 10 s.
	Timeout time.Duration
	// MaxResponseBytes bounds a body, after decompression; zero means 1 MiB.
	MaxResponseBytes int64
	// MaxRedirects is how many redirects are followed, to the same host only.
	MaxRedirects int
	// RootCAs are the authorities trusted for TLS; nil means the system's.
	RootCAs *x509.CertPool
	// Resolver finds addresses; nil means net.DefaultResolver.
	Resolver Resolver
}

// Resolver is what the client needs of a net.Resolver.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Client is safe for concurrent use.
type Client struct {
	config       Config
	allowedHosts map[string]bool
	http         *http.Client
}

// RefusedError says that an address may not be connected to.
type RefusedError struct {
	Host   string
	Addr   netip.Addr
	Reason string // such as "link-local"
}

// Error names the address, the reason and the setting that would allow it.
func (e *RefusedError) Error() string {
	where := e.Addr.String()
	if e.Host != where {
		where += fmt.Sprintf(" (%s, an address of %q)", e.Reason, e.Host)
	} else {
		where += " (" + e.Reason + ")"
	}
	_, carried := classify(e.Addr)
	return fmt.Sprintf("refuse to connect to %s: allow %s in the setting outbound.allowNetworks if this is meant",
		where, netip.PrefixFrom(carried, carried.BitLen()))
}

// StatusError is an answer other than 2xx to Get.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.Code, http.StatusText(e.Code)))
}

// ErrRedirected says that an answer led elsewhere, where the client does not go.
var ErrRedirected = errors.New("redirected")

// TooLargeError says that a body exceeds the limit.
type TooLargeError struct{ MaxResponseBytes int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("response exceeds max_response_bytes=%d", e.MaxResponseBytes)
}

// New returns a client that keeps few connections. Proxies named in the
// environment are not used: they would connect for us, unchecked.
func New(config Config) *Client {
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	config.MaxResponseBytes = cmp.Or(config.MaxResponseBytes, 1<<20)
	if config.Resolver == nil {
		config.Resolver = net.DefaultResolver
	}
	c := &Client{config: config, allowedHosts: map[string]bool{}}
	for _, h := range config.AllowHosts {
		c.allowedHosts[normal(h)] = true
	}
	c.http = &http.Client{
		Timeout:       config.Timeout,
		CheckRedirect: c.checkRedirect,
		Transport: &http.Transport{
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs},
			TLSHandshakeTimeout:    config.Timeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    2,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get returns the body and header of a 2xx answer.
func (c *Client) Get(ctx context.Context, rawURL string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("get: %w", withoutURL(err))
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s: %w", describe(req), &StatusError{resp.StatusCode})
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: read body: %w", describe(req), err)
	}
	return body, resp.Header, nil
}

// Do sends a request and returns whatever was answered, redirects excepted. The
// caller closes the body; reading more than the limit of it ends in a
// *TooLargeError. Errors name the host but not path and query, which may hold
// secrets.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.checkURL(req.URL); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(req), err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describe(req), withoutURL(err))
	}
	if resp.ContentLength > c.config.MaxResponseBytes {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %w", describe(req), &TooLargeError{c.config.MaxResponseBytes})
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: c.config.MaxResponseBytes, limit: c.config.MaxResponseBytes}
	return resp, nil
}

// Post sends a body, and returns the status of the answer, which is not read. Redirects
// end in ErrRedirected where Config has none.
func (c *Client) Post(ctx context.Context, rawURL string, header map[string]string, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, rawURL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post: %w", withoutURL(err))
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	// A little of it, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
	return resp.StatusCode, nil
}

// Check says whether a URL would be connected to now, without connecting, for
// the moment a person types it in. It replaces nothing: Do checks again.
func (c *Client) Check(ctx context.Context, rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("check URL: %w", withoutURL(err))
	}
	if err := c.checkURL(u); err != nil {
		return fmt.Errorf("check URL: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	if _, err := c.resolve(ctx, u.Hostname()); err != nil {
		return fmt.Errorf("check URL: %w", err)
	}
	return nil
}

func (c *Client) checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && c.config.AllowHTTP):
		return fmt.Errorf("scheme %q is not allowed, only https", u.Scheme)
	case u.Hostname() == "":
		return errors.New("no host")
	case u.User != nil:
		return errors.New("user and password in a URL are not allowed")
	}
	return nil
}

// checkRedirect keeps to the host that was asked for; leaving it by an upgrade
// from http to https is staying.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > c.config.MaxRedirects {
		return fmt.Errorf("%w more than max_redirects=%d times", ErrRedirected, c.config.MaxRedirects)
	}
	if err := c.checkURL(req.URL); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	from, to := via[len(via)-1].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https"
	if normal(from.Hostname()) != normal(to.Hostname()) || !upgrade && (from.Scheme != to.Scheme || port(from) != port(to)) {
		return fmt.Errorf("%w to another host, %s://%s", ErrRedirected, to.Scheme, to.Host)
	}
	return nil
}

// resolve returns the addresses of a host that may be connected to. A host with
// allowed and refused ones keeps the allowed.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, 0, 1)
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = c.config.Resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	var allowed []netip.Addr
	var firstRefused error
	for _, ip := range addrs {
		ip = ip.Unmap()
		if reason := c.check(normal(host), ip); reason == "" {
			allowed = append(allowed, ip)
		} else if firstRefused == nil {
			firstRefused = &RefusedError{Host: host, Addr: ip, Reason: reason}
		}
	}
	if len(allowed) > 0 {
		return allowed[:min(len(allowed), maxAddresses)], nil
	}
	if firstRefused != nil {
		return nil, firstRefused
	}
	return nil, fmt.Errorf("resolve: %q has no address", host)
}

// dial connects to a checked address, the next one when it does not answer.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: c.config.Timeout / time.Duration(len(addrs))}
	for _, ip := range addrs {
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// boundedBody ends in a TooLargeError where more than limit bytes come.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &TooLargeError{b.limit}
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, &TooLargeError{b.limit}
	}
	return n, err
}

func describe(req *http.Request) string {
	return fmt.Sprintf("%s %s://%s", strings.ToLower(cmp.Or(req.Method, http.MethodGet)), req.URL.Scheme, req.URL.Host)
}

// withoutURL takes off the part of net/http's and net/url's errors that repeats
// the whole URL.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func normal(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// HTTP returns the client for libraries that want one of net/http's. Everything it
// sends goes through Do; it keeps no cookies.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: transport{c}} }

type transport struct{ client *Client }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t.client.Do(req) }
