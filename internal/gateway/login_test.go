package gateway

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/gateway/handler"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
)

func open(name string) *grant.Grant {
	return app(name, topic("orders", "phys.orders", grant.Open, grant.Granted, grant.Granted))
}

func scramCredential(t *testing.T, name string, g *grant.Grant) *grant.Credential {
	c := &grant.Credential{Name: name, Method: grant.Scram, Identity: name, Grant: g}
	for _, m := range []string{sasl.ScramSHA256, sasl.ScramSHA512} {
		v, err := sasl.NewVerifier(m, secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Verifiers = append(c.Verifiers, verifierOf(v))
	}
	return c
}

func TestScramLogin(t *testing.T) {
	w := start(t, scramCredential(t, "acme", open("acme")))
	auth := scram.Auth{User: "acme", Pass: secret}
	for _, mechanism := range []kgo.Opt{kgo.SASL(auth.AsSha256Mechanism()), kgo.SASL(auth.AsSha512Mechanism())} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(w.gateway.Bootstrap("main")), mechanism)
		if err != nil {
			t.Fatal(err)
		}
		produceSome(t, cl, "orders", 1)
		cl.Close()
	}
}

func TestSessionEndsUnlessTheClientLogsInAgain(t *testing.T) {
	limits := DefaultLimits()
	limits.SessionLifetime = 2 * time.Second
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")), credential("other", open("other")))
	// kgo logs in again by itself, on the same connections.
	cl := w.client("acme")
	for begin := time.Now(); time.Since(begin) < 4*time.Second; {
		produceSome(t, cl, "orders", 1)
		time.Sleep(50 * time.Millisecond) // the passing of the session's life is the test
	}
	// A re-authentication as somebody else is refused.
	conn := w.rawLogin("acme")
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	w.roundTrip(conn, handshake)
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 1, []byte("\x00other\x00"+secret)
	if resp := w.roundTrip(conn, auth).(*kmsg.SASLAuthenticateResponse); resp.ErrorCode != 58 || !strings.Contains(*resp.ErrorMessage, "keep the principal") {
		t.Errorf("re-authentication as another: %d %v", resp.ErrorCode, resp.ErrorMessage)
	}
}

func TestUnknownUserAndWrongSecretLookAlike(t *testing.T) {
	revoked := credential("gone", open("gone"))
	revoked.Revoked = "this credential was revoked"
	w := start(t, credential("acme", open("acme")), revoked)
	attempt := func(user, pass string) (string, time.Duration) {
		conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		handshake := kmsg.NewPtrSASLHandshakeRequest()
		handshake.Version, handshake.Mechanism = 1, "PLAIN"
		w.roundTrip(conn, handshake)
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.Version, auth.SASLAuthBytes = 1, []byte("\x00"+user+"\x00"+pass)
		begin := time.Now()
		resp := w.roundTrip(conn, auth).(*kmsg.SASLAuthenticateResponse)
		if resp.ErrorCode != 58 {
			t.Errorf("%s: code %d", user, resp.ErrorCode)
		}
		message, _, _ := strings.Cut(*resp.ErrorMessage, " (rejection")
		return message, time.Since(begin)
	}
	wrong, took := attempt("acme", "not the secret")
	unknown, _ := attempt("nobody", secret)
	if wrong != unknown {
		t.Errorf("wrong secret: %q, unknown user: %q", wrong, unknown)
	}
	if took < refusalDelay {
		t.Errorf("refused after %v, want at least %v", took, refusalDelay)
	}
	// The client learns nothing; the operator does.
	for _, why := range []string{`client_id=acme why="wrong secret"`, `client_id=nobody why="no credential has this client id"`} {
		if !strings.Contains(w.logged(), why) {
			t.Errorf("the log does not say %s", why)
		}
	}
	if got, _ := attempt("gone", secret); got != revoked.Revoked {
		t.Errorf("revoked: %q", got)
	}
	if got, _ := attempt("gone", "guess"); got != wrong {
		t.Errorf("revoked with a wrong secret: %q", got)
	}
}

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func (a *authority) issue(t *testing.T, edit func(*x509.Certificate)) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	edit(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHostsBehindOneTLSPortAndCertificates(t *testing.T) {
	ca := newAuthority(t)
	const domain = "kafka.example.test"
	server := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"*." + domain} })
	listener := ListenerConfig{
		Name: "main", Address: "127.0.0.1:0", Domain: domain, Mechanisms: []string{sasl.Plain},
		TLS: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12},
	}
	partner := open("partner")
	w := startWith(t, listener,
		credential("acme", open("acme")),
		&grant.Credential{Name: "partner-cert", Method: grant.MTLS, Identity: "uri:spiffe://example.test/partner", Grant: partner})
	_, port, _ := net.SplitHostPort(w.gateway.Bootstrap("main"))
	dialer := func(certs ...tls.Certificate) kgo.Opt {
		return kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(addr)
			if !strings.HasSuffix(host, "."+domain) {
				return nil, errors.New("told to connect to " + addr)
			}
			d := tls.Dialer{Config: &tls.Config{RootCAs: ca.pool, ServerName: host, Certificates: certs}}
			return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		})
	}
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.gateway.Bootstrap("main")), kgo.ConsumeTopics("orders")}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	bySASL := client(dialer(), kgo.SASL(plain.Auth{User: "acme", Pass: secret}.AsMechanism()))
	produceSome(t, bySASL, "orders", 6)
	consume(t, bySASL, 6)

	uri, _ := url.Parse("spiffe://example.test/partner")
	own := ca.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri} })
	byCert := client(dialer(own))
	consume(t, byCert, 6)

	// A certificate of somebody else, or of another use, is no login.
	foreign, _ := url.Parse("spiffe://example.test/partner/else")
	for name, cert := range map[string]tls.Certificate{
		"another name": ca.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{foreign} }),
		"server only": ca.issue(t, func(c *x509.Certificate) {
			c.URIs = []*url.URL{uri}
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
		"another authority": newAuthority(t).issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }),
		"expired":           ca.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri}; c.NotAfter = time.Now().Add(-time.Minute) }),
	} {
		cl := client(dialer(cert), kgo.RequestRetries(0))
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if _, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl); err == nil {
			t.Errorf("certificate with %s is let in", name)
		}
		cancel()
	}
}

// A certificate that ends between the handshake and the first request.
func TestARevokedCertificateGetsNotEvenOneRequest(t *testing.T) {
	ca := newAuthority(t)
	server := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	listener := ListenerConfig{
		Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain},
		TLS: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12},
	}
	uri, _ := url.Parse("spiffe://example.test/partner")
	own := ca.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri} })
	versions, metadata := kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrMetadataRequest()
	metadata.Version = 12
	partner := func() *grant.Credential {
		return &grant.Credential{Name: "partner-cert", Method: grant.MTLS, Identity: "uri:" + uri.String(), Grant: open("partner")}
	}
	revoked, expired := partner(), partner()
	revoked.Revoked, expired.NotAfter = "this credential was revoked", time.Now().Add(-time.Second)
	w := startWith(t, listener, partner())
	for name, after := range map[string][]*grant.Credential{"as it was": {partner()}, "gone": nil, "revoked": {revoked}, "expired": {expired}} {
		w.swap(partner())
		conn, err := tls.Dial("tcp", w.gateway.Bootstrap("main"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost", Certificates: []tls.Certificate{own}})
		if err != nil {
			t.Fatal(err)
		}
		w.roundTrip(conn, versions) // its certificate has been looked up by then
		w.swap(after...)
		if _, err := exchange(conn, metadata); (err == nil) != (name == "as it was") {
			t.Errorf("%s: first request: %v", name, err)
		}
		conn.Close()
	}
}

func TestProxyProtocolOnlyFromTrustedNetworks(t *testing.T) {
	listener := ListenerConfig{Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain}, ProxyTrusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	w := startWith(t, listener, credential("acme", open("acme")))
	header := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x12\x34\x4a\x38") // 198.51.100.7
	ask := func(prefix []byte) error {
		conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write(prefix)
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version = 0
		_, err = exchange(conn, req)
		return err
	}
	if err := ask(header); err != nil {
		t.Errorf("with a header: %v", err)
	}
	if err := ask(nil); err == nil {
		t.Error("a trusted network's connection without a header is served")
	}
	if err := ask([]byte("PROXY TCP4 198.51.100.7 127.0.0.1 4660 19000\r\n")); err == nil {
		t.Error("version 1 is served")
	}
	untrusted := start(t, credential("acme", open("acme")))
	conn, err := net.Dial("tcp", untrusted.gateway.Bootstrap("main"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(header)
	conn.SetReadDeadline(time.Now().Add(8 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a stranger's header: %v, want the connection closed", err)
	}
}

// hostileFrames are what strangers send before a login.
func hostileFrames() map[string][]byte {
	frame := func(body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	apiVersions := []byte{0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff}
	many := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	return map[string][]byte{
		"huge header tag count":    frame(append(append([]byte{}, apiVersions...), many...)...),
		"huge body tag count":      frame(append(append([]byte{}, apiVersions...), append([]byte{0, 2, 'a', 2, '1'}, many...)...)...),
		"huge string":              frame(append(append([]byte{}, apiVersions...), append([]byte{0}, many...)...)...),
		"huge mechanism":           frame(0, 17, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff),
		"negative auth bytes":      frame(0, 36, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe),
		"metadata before login":    frame(0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"produce with many topics": frame(0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"unknown key":              frame(0x7f, 0x7f, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"negative size":            {0xff, 0xff, 0xff, 0xff},
		"zero size":                {0, 0, 0, 0},
		"size beyond the limit":    {0x7f, 0xff, 0xff, 0xff, 1, 2, 3},
		"truncated header":         frame(0, 18),
	}
}

func TestHostileFramesBeforeLoginCostNothingAndReachNobody(t *testing.T) {
	w := start(t, credential("acme", open("acme")))
	var reached []int16
	w.fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		if r.Key() != 3 && r.Key() != 18 && r.Key() != 60 { // the gateway's own
			reached = append(reached, r.Key())
		}
		return nil, nil, false
	})
	for name, frame := range hostileFrames() {
		var before, after runtime.MemStats
		const rounds, most = 20, 64 << 10
		each := uint64(1 << 62)
		for n := 0; n < rounds*5 && each > most; n++ { // the best of five: the gateway's own requests come between
			if n%rounds == 0 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
			conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
			if err != nil {
				t.Fatal(err)
			}
			conn.Write(frame)
			conn.(*net.TCPConn).CloseWrite()
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			answer, err := io.ReadAll(conn)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%s: %v, want the connection closed", name, err)
			}
			// Whatever is answered is ApiVersions' "unsupported version".
			if len(answer) > 0 && !bytes.Contains(answer[:min(len(answer), 12)], []byte{0, 35}) {
				t.Errorf("%s: answered %x", name, answer)
			}
			conn.Close()
			if n%rounds == rounds-1 {
				runtime.ReadMemStats(&after)
				each = min(each, (after.TotalAlloc-before.TotalAlloc)/rounds)
			}
		}
		if each > most {
			t.Errorf("%s: %d bytes allocated for each, want at most %d", name, each, most)
		}
	}
	if len(reached) > 0 {
		t.Errorf("requests %v reached the broker", reached)
	}
	produceSome(t, w.client("acme"), "orders", 1)
}

func TestUnknownAPIAfterLoginDoesNotReachTheBroker(t *testing.T) {
	w := start(t, credential("acme", open("acme")))
	for _, key := range []int16{4, 27, 29, 55, 61, 80, 92, 93, 94, 1000, -1} {
		conn := w.rawLogin("acme")
		frame := binary.BigEndian.AppendUint32(nil, 10)
		frame = binary.BigEndian.AppendUint16(frame, uint16(key))
		frame = append(frame, 0, 0, 0, 0, 0, 9, 0xff, 0xff)
		conn.Write(frame)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("key %d was answered", key)
		}
	}
	produceSome(t, w.client("acme"), "orders", 1)
}

func TestSlowLoginIsCut(t *testing.T) {
	limits := DefaultLimits()
	limits.AuthDeadline = 300 * time.Millisecond
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")))
	conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	go func() {
		binary.Write(conn, binary.BigEndian, []uint16{0, 60_000, 18})
		for { // some at a time, faster than wire.DefaultPace, keeps it open no longer
			if _, err := conn.Write(make([]byte, 50)); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // the request takes longer
	_, err = conn.Read(make([]byte, 1))
	if took := time.Since(begin); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || took < limits.AuthDeadline {
		t.Errorf("after %v: %v, want it cut after %v", took, err, limits.AuthDeadline)
	}
}

func TestTLSOnAPlaintextPortGetsAnAlert(t *testing.T) {
	w := start(t, credential("acme", open("acme")))
	_, err := tls.Dial("tcp", w.gateway.Bootstrap("main"), &tls.Config{InsecureSkipVerify: true})
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("dial: %v, want an alert that says protocol version", err)
	}
}

func TestTokensAreSomebodysOfOneIssuer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	const issuer = "https://id.example.test"
	tokens, err := sasl.NewTokenValidator([]sasl.Issuer{{Issuer: issuer, Audience: []string{"kafka"}, Algorithms: []string{"ES256"}, Keys: sasl.KeySource{File: file}}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := func(subject, audience string, expires time.Time) string {
		s, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(expires)}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	listener := plaintext
	listener.Mechanisms = []string{sasl.OAuthBearer}
	w := startWith(t, listener, &grant.Credential{Name: "acme-oauth", Method: grant.OAuth, Identity: issuer + "|acme", Grant: open("acme")})
	w.gateway.deps.Tokens = tokens // nobody has connected yet
	client := func(token string) *kgo.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(w.gateway.Bootstrap("main")), kgo.SASL(oauth.Auth{Token: token}.AsMechanism()), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	soon := time.Now().Add(time.Minute)
	produceSome(t, client(token("acme", "kafka", soon)), "orders", 1)
	for name, bad := range map[string]string{
		"another subject":  token("somebody", "kafka", soon),
		"another audience": token("acme", "elsewhere", soon),
		"expired":          token("acme", "kafka", time.Now().Add(-time.Hour)),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if _, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client(bad)); err == nil {
			t.Errorf("token with %s is let in", name)
		}
		cancel()
	}
}

func TestOneAddressDoesNotTakeAllPlacesBeforeTheLogin(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxUnauthenticatedPerAddress = 3
	w := startLimited(t, limits, plaintext, credential("acme", open("acme")))
	// Connections with a login do not count: a load balancer is one address.
	for range 5 {
		w.rawLogin("acme")
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	versions := kmsg.NewPtrApiVersionsRequest()
	var strangers []net.Conn
	for range 3 {
		conn := dial()
		w.roundTrip(conn, versions)
		strangers = append(strangers, conn)
	}
	if _, err := exchange(dial(), versions); err == nil {
		t.Error("a fourth connection without login is served")
	}
	elsewhere := netip.MustParseAddr("192.0.2.1")
	c := newClientConn(w.gateway.listeners[0], dial(), elsewhere, 0)
	if err := w.gateway.admit(c); err != nil {
		t.Errorf("another address: %v", err)
	} else {
		w.gateway.dismiss(c)
	}
	strangers[0].Close()
	eventually(t, "its place does not become free", func() bool {
		_, err := exchange(dial(), versions)
		return err == nil
	})
}

func TestNeighbourhood(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::"} {
		if got := neighbourhood(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
	if neighbourhood(netip.Addr{}).IsValid() {
		t.Error("no address has a neighbourhood")
	}
}

// A client that sees a feature uses all Kafka APIs behind it.
func TestFeaturesRestOnTheVersionsOffered(t *testing.T) {
	all := map[int16]int16{}
	for _, api := range handler.Table {
		if api.Posture != handler.Refused {
			all[api.Key] = api.Max
		}
	}
	needs := map[string][]int16{"transaction.version": {0, 26, 28}, "group.version": {68, 69}, "share.version": {76, 77, 78, 79}, "streams.version": {88, 89}}
	for feature, on := range restOn(all) {
		if !on || needs[feature] == nil {
			t.Errorf("%s is not offered with all Kafka APIs", feature)
		}
		for _, key := range needs[feature] {
			less := maps.Clone(all)
			delete(less, key)
			if restOn(less)[feature] {
				t.Errorf("%s is offered without Kafka API %d", feature, key)
			}
		}
	}
}

// verifierOf is a verifier as grants have it.
func verifierOf(v sasl.Verifier) grant.Verifier {
	return grant.Verifier{Mechanism: v.Mechanism, Salt: v.Salt, Iterations: v.Iterations, StoredKey: v.StoredKey, ServerKey: v.ServerKey, Secret: v.Secret}
}
