package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// names is a resolver; each lookup of a name takes the next of its answers.
type names map[string]*answers

type answers struct {
	lists [][]string
	asked atomic.Int32
}

func answer(lists ...[]string) *answers { return &answers{lists: lists} }

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a := n[host]
	if a == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	i := min(int(a.asked.Add(1)), len(a.lists)) - 1
	var out []netip.Addr
	for _, s := range a.lists[i] {
		out = append(out, netip.MustParseAddr(s))
	}
	return out, nil
}

var loopbackNetwork = netip.MustParsePrefix("127.0.0.0/8")

// serve starts a TLS server and returns its port and the pool that trusts it. The
// certificate of httptest is for example.com.
func serve(t *testing.T, h http.HandlerFunc) (port string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return u.Port(), roots
}

func TestAddresses(t *testing.T) {
	c := New(Config{})
	for ip, want := range map[string]string{
		"8.8.8.8": "", "1.1.1.1": "", "172.32.0.1": "", "100.128.0.1": "", "2606:4700::1111": "", "64:ff9b::8.8.8.8": "", "::ffff:8.8.8.8": "",
		"127.0.0.1": "loopback", "127.255.0.9": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback", "64:ff9b::127.0.0.1": "loopback", "::127.0.0.1": "loopback",
		"0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "unspecified", "::ffff:0.0.0.0": "unspecified",
		"10.1.2.3": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "100.64.0.1": "private", "fd12::1": "private", "fec0::1": "private",
		"::ffff:10.0.0.1": "private", "64:ff9b::10.0.0.1": "private", "::10.0.0.1": "private",
		"169.254.1.1": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"169.254.169.254": "cloud metadata", "::ffff:169.254.169.254": "cloud metadata", "64:ff9b::a9fe:a9fe": "cloud metadata", "fd00:ec2::254": "cloud metadata",
		"100.100.100.200": "cloud metadata", "168.63.129.16": "cloud metadata", "192.0.0.192": "cloud metadata",
		"224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "reserved", "240.0.0.1": "reserved", "192.0.2.1": "reserved", "198.18.0.1": "reserved", "203.0.113.9": "reserved",
		"64:ff9b:1::a00:1": "local NAT64", "2002:a00:1::": "6to4", "2001:0:1::": "reserved", "2001:db8::1": "reserved", "4000::1": "reserved", "100::1": "reserved",
	} {
		if got := c.check("h", netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: got %q, want %q", ip, got, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	c := New(Config{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("fd12::/16")},
		AllowHosts:   []string{"IdP.internal."},
	})
	for _, k := range []struct {
		host, ip string
		ok       bool
	}{
		{"h", "10.1.2.3", true}, {"h", "::ffff:10.1.2.3", true}, {"h", "64:ff9b::10.1.2.3", true}, {"h", "10.2.0.1", false}, {"h", "fd12::1", true},
		{"h", "169.254.3.4", true}, {"h", "169.254.169.254", false}, {"h", "100.100.100.200", true},
		{"idp.internal", "10.2.0.1", true}, {"idp.internal", "127.0.0.1", true}, {"idp.internal", "fe80::1", false}, {"idp.internal", "169.254.169.254", false}, {"idp.internal", "0.0.0.0", false},
		{"x.idp.internal", "10.2.0.1", false},
	} {
		if got := c.check(k.host, netip.MustParseAddr(k.ip)); (got == "") != k.ok {
			t.Errorf("%s at %s: got %q, want ok %t", k.host, k.ip, got, k.ok)
		}
	}
}

func TestGet(t *testing.T) {
	port, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("X-Kind", "keys")
		io.WriteString(w, "hello from "+r.Host)
	})
	c := New(Config{Resolver: names{"example.com": answer([]string{"127.0.0.1"})}, RootCAs: roots, AllowPrivate: []netip.Prefix{loopbackNetwork}})
	defer c.Close()
	body, header, err := c.Get(t.Context(), "https://example.com:"+port+"/jwks")
	if err != nil || string(body) != "hello from example.com:"+port || header.Get("X-Kind") != "keys" {
		t.Fatalf("got %q, %v, %v", body, header, err)
	}
	_, _, err = c.Get(t.Context(), "https://example.com:"+port+"/missing?key=secret")
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 404 || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// Nothing may reach the server: its handler fails the test.
func TestRefused(t *testing.T) {
	port, roots := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("connected") })
	c := New(Config{RootCAs: roots, Resolver: names{
		"example.com":     answer([]string{"127.0.0.1"}),
		"mapped.example":  answer([]string{"::ffff:127.0.0.1"}),
		"several.example": answer([]string{"10.0.0.1", "169.254.169.254"}),
		"empty.example":   answer([]string{}),
		"0x7f.1":          answer([]string{"127.0.0.1"}),
	}})
	defer c.Close()
	for u, want := range map[string]string{
		"https://169.254.169.254/latest/meta-data": `refuse to connect to 169.254.169.254 (cloud metadata): allow 169.254.169.254/32 in the setting outbound.allowNetworks`,
		"https://example.com:" + port:              `refuse to connect to 127.0.0.1 (loopback, an address of "example.com"): allow 127.0.0.1/32`,
		"https://127.0.0.1:" + port:                `(loopback)`,
		"https://[::1]:" + port:                    `(loopback)`,
		"https://[::ffff:127.0.0.1]:" + port:       `refuse to connect to 127.0.0.1`,
		"https://[fe80::1%25eth0]/":                `link-local`,
		"https://mapped.example:" + port:           `(loopback`,
		"https://several.example/":                 `10.0.0.1 (private`,
		"https://0x7f.1:" + port:                   `(loopback`,
		"https://empty.example/":                   `no address`,
		"https://unknown.example/":                 `no such host`,
		"http://example.com:" + port:               `scheme "http" is not allowed`,
		"file:///etc/passwd":                       `scheme "file" is not allowed`,
		"gopher://example.com":                     `scheme "gopher"`,
		"https:///path":                            `no host`,
		"https://user:canary@example.com/":         `user and password`,
		"https://exa mple.com/canary":              `invalid character`,
		"/canary":                                  `scheme ""`,
	} {
		_, _, err := c.Get(t.Context(), u)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("get %s: got %v, want %q", u, err, want)
		}
		if err := c.Check(t.Context(), u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check %s: got %v, want %q", u, err, want)
		}
	}
}

// A name that is public when asked first and loopback after: what is connected
// to is what was checked.
func TestRebinding(t *testing.T) {
	port, roots := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("connected") })
	rebinding := answer([]string{"8.8.8.8"}, []string{"127.0.0.1"})
	c := New(Config{RootCAs: roots, Resolver: names{"example.com": rebinding}})
	defer c.Close()
	u := "https://example.com:" + port
	if err := c.Check(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if _, _, err := c.Get(t.Context(), u); !errors.As(err, &refused) || rebinding.asked.Load() != 2 {
		t.Errorf("got %v after %d lookups", err, rebinding.asked.Load())
	}
}

func TestTriesNextAddress(t *testing.T) {
	port, roots := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	// 10.0.0.1 is refused and left out; nothing listens at 127.0.0.2 on that port.
	c := New(Config{RootCAs: roots, AllowPrivate: []netip.Prefix{loopbackNetwork}, Resolver: names{"example.com": answer([]string{"10.0.0.1", "127.0.0.2", "127.0.0.1"})}})
	defer c.Close()
	if body, _, err := c.Get(t.Context(), "https://example.com:"+port); err != nil || string(body) != "ok" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestRedirects(t *testing.T) {
	var other atomic.Int32
	otherPort, _ := serve(t, func(http.ResponseWriter, *http.Request) { other.Add(1) })
	port, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
		default:
			io.WriteString(w, "end")
		}
	})
	config := Config{RootCAs: roots, AllowPrivate: []netip.Prefix{loopbackNetwork}, AllowHTTP: true, MaxRedirects: 2,
		Resolver: names{"example.com": answer([]string{"127.0.0.1"}), "www.example.com": answer([]string{"127.0.0.1"})}}
	c := New(config)
	defer c.Close()
	base := "https://example.com:" + port
	if body, _, err := c.Get(t.Context(), base+"/here"); err != nil || string(body) != "end" {
		t.Errorf("same host: got %q, %v", body, err)
	}
	for u, want := range map[string]string{
		"/loop":                            "max_redirects=2",
		"/away?to=https://www.example.com": "redirected to another host, https://www.example.com",
		"/away?to=https://example.com:" + otherPort: "redirected to another host",
		"/away?to=http://example.com:" + port:       "redirected to another host",
		"/away?to=https://169.254.169.254/":         "redirected to another host",
		"/away?to=file:///etc/passwd":               "redirect: scheme",
	} {
		if _, _, err := c.Get(t.Context(), base+u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", u, err, want)
		}
	}
	config.MaxRedirects = 0
	none := New(config)
	defer none.Close()
	if _, _, err := none.Get(t.Context(), base+"/here"); err == nil || !strings.Contains(err.Error(), "max_redirects=0") {
		t.Errorf("none allowed: got %v", err)
	}
	if other.Load() != 0 {
		t.Error("another host was reached")
	}
}

func TestResponseBounds(t *testing.T) {
	const limit = 1000
	port, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := bytes.Repeat([]byte("x"), limit)
		switch r.URL.Path {
		case "/declared":
			w.Write(append(body, 'x'))
		case "/chunked":
			w.(http.Flusher).Flush()
			w.Write(append(body, 'x'))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(bytes.Repeat(body, 1000))
			z.Close()
		default:
			w.(http.Flusher).Flush()
			w.Write(body)
		}
	})
	c := New(Config{RootCAs: roots, AllowHosts: []string{"example.com"}, MaxResponseBytes: limit, Resolver: names{"example.com": answer([]string{"127.0.0.1"})}})
	defer c.Close()
	if body, _, err := c.Get(t.Context(), "https://example.com:"+port+"/exact"); err != nil || len(body) != limit {
		t.Errorf("exactly the limit: got %d bytes, %v", len(body), err)
	}
	for _, path := range []string{"/declared", "/chunked", "/bomb"} {
		var large *TooLargeError
		if _, _, err := c.Get(t.Context(), "https://example.com:"+port+path); !errors.As(err, &large) || !strings.Contains(err.Error(), "max_response_bytes=1000") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestTimeoutCoversTheBody(t *testing.T) {
	release := make(chan struct{})
	port, roots := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	c := New(Config{RootCAs: roots, AllowHosts: []string{"example.com"}, Timeout: 200 * time.Millisecond, Resolver: names{"example.com": answer([]string{"127.0.0.1"})}})
	defer c.Close()
	if _, _, err := c.Get(t.Context(), "https://example.com:"+port); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = nil
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()
	roots := x509.NewCertPool()
	roots.AddCert(old.Certificate())
	port, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	u, _ := url.Parse(old.URL)
	resolver := names{"example.com": answer([]string{"127.0.0.1"}), "wrong.test": answer([]string{"127.0.0.1"})}
	c := New(Config{RootCAs: roots, AllowPrivate: []netip.Prefix{loopbackNetwork}, Resolver: resolver})
	defer c.Close()
	strict := New(Config{RootCAs: x509.NewCertPool(), AllowPrivate: []netip.Prefix{loopbackNetwork}, Resolver: resolver})
	defer strict.Close()
	for _, k := range []struct {
		name, url, want string
		client          *Client
	}{
		{"TLS 1.1", "https://example.com:" + u.Port(), "protocol version", c},
		{"another name", "https://wrong.test:" + port, "not wrong.test", c},
		{"unknown authority", "https://example.com:" + port, "unknown authority", strict},
	} {
		if _, _, err := k.client.Get(t.Context(), k.url); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: got %v, want %q", k.name, err, k.want)
		}
	}
}

func TestIgnoresProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	port, roots := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	c := New(Config{RootCAs: roots, AllowHosts: []string{"example.com"}, Resolver: names{"example.com": answer([]string{"127.0.0.1"})}})
	defer c.Close()
	if _, _, err := c.Get(t.Context(), "https://example.com:"+port); err != nil {
		t.Error(err)
	}
}

// FuzzClassify: whatever carries an address that is refused is refused itself.
func FuzzClassify(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{169, 254, 169, 254})
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		reason, _ := classify(ip)
		if std := ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast(); std && reason == "" {
			t.Errorf("%s passes", ip)
		}
		if !ip.Is4() {
			return
		}
		v4 := ip.As4()
		for _, prefix := range []string{"::ffff:0:0", "64:ff9b::", "::"} {
			carrier := netip.MustParseAddr(prefix).As16()
			copy(carrier[12:], v4[:])
			if got, _ := classify(netip.AddrFrom16(carrier)); (got == "") != (reason == "") {
				t.Errorf("%s is %q, %s is %q", ip, reason, netip.AddrFrom16(carrier), got)
			}
		}
	})
}

// TestHTTP goes through Do: what it refuses, a library's client is refused.
func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("https://elsewhere.example.com/", http.StatusFound))
	defer server.Close()
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"an address inside":         {Config{AllowHTTP: true}, "refuse to connect"},
		"no TLS":                    {Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "only https"},
		"a redirect somewhere else": {Config{AllowHTTP: true, MaxRedirects: 5, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "redirected to another host"},
	} {
		client := New(c.config)
		resp, err := client.HTTP().Get(server.URL)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		client.Close()
	}
}
