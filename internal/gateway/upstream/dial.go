package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/socket"
	"sluice/internal/kafka/wire"
)

// Step is a stage on the way to a usable connection.
type Step string

// The steps, in order.
const (
	StepResolve  Step = "resolve"
	StepConnect  Step = "connect"
	StepTLS      Step = "tls"
	StepVersions Step = "versions"
	StepLogin    Step = "login"
	StepMetadata Step = "metadata"
)

var stepPhrases = map[Step]string{
	StepResolve:  "resolve %s",
	StepConnect:  "connect to %s",
	StepTLS:      "open TLS to %s",
	StepVersions: "ask %s for its API versions",
	StepLogin:    "log in to %s",
	StepMetadata: "ask %s for metadata",
}

// DialError says at which step, and at which address, things went wrong. Its
// text is fit for operators and never contains a secret.
type DialError struct {
	Addr string // host:port
	Step Step
	Err  error
}

func (e *DialError) Error() string {
	return fmt.Sprintf(stepPhrases[e.Step]+": %v", e.Addr, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

func (c *Conn) fail(step Step, err error) error { return &DialError{c.addr, step, err} }

// apiVersions is what a broker said of itself. It is immutable and shared by
// all connections to brokers that said the same.
type apiVersions struct {
	ranges    map[int16]Range
	supported map[string]Range
	finalized map[string]Range
	epoch     int64 // -1: unknown
}

func (a *apiVersions) equal(b *apiVersions) bool {
	return a.epoch == b.epoch && maps.Equal(a.ranges, b.ranges) &&
		maps.Equal(a.supported, b.supported) && maps.Equal(a.finalized, b.finalized)
}

// dialer opens connections of one cluster.
type dialer struct {
	cfg     Config
	buffers *wire.Buffers

	mu     sync.Mutex
	tls    map[string]*tls.Config  // by host
	intern map[string]*apiVersions // by address
}

func newDialer(cfg Config) *dialer {
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		if cfg.TLS.ClientSessionCache == nil {
			cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(64)
		}
	}
	return &dialer{cfg: cfg, buffers: new(wire.Buffers), tls: map[string]*tls.Config{}, intern: map[string]*apiVersions{}}
}

// maxRemembered bounds maps whose keys come from brokers.
const maxRemembered = 4096

func (d *dialer) tlsFor(host string) *tls.Config {
	if d.cfg.TLS.ServerName != "" {
		return d.cfg.TLS
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tls[host]
	if t == nil {
		t = d.cfg.TLS.Clone()
		t.ServerName = host
		if len(d.tls) >= maxRemembered {
			clear(d.tls)
		}
		d.tls[host] = t
	}
	return t
}

func (d *dialer) shared(addr string, api *apiVersions) *apiVersions {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.intern[addr]; known != nil && known.equal(api) {
		return known
	}
	for _, known := range d.intern {
		if known.equal(api) {
			api = known
			break
		}
	}
	if len(d.intern) >= maxRemembered {
		clear(d.intern)
	}
	d.intern[addr] = api
	return api
}

// open connects to addr and, unless login is false, logs in. Errors are
// *DialError.
func (d *dialer) open(ctx context.Context, addr, clientID string, login bool) (*Conn, error) {
	return d.openAs(ctx, addr, clientID, login, nil)
}

// openAs is open with the login of a user, or with the gateway's own if that is nil.
func (d *dialer) openAs(ctx context.Context, addr, clientID string, login bool, user *User) (*Conn, error) {
	c := &Conn{d: d, addr: addr, clientID: clientID, node: AnyNode, user: user}
	if err := d.connect(ctx, c); err != nil {
		return nil, err
	}
	c.br = bufio.NewReaderSize(c.Conn, readBufferBytes)
	step := StepVersions
	err := c.during(ctx, func() error {
		api, err := c.askVersions()
		if err != nil {
			return describeFirst(err, d.cfg.TLS != nil)
		}
		c.api = d.shared(addr, api)
		if !login {
			return nil
		}
		step = StepLogin
		return c.login(ctx)
	})
	if err != nil {
		c.Close()
		return nil, c.fail(step, err)
	}
	return c, nil
}

// connect sets c.Conn, including TLS.
func (d *dialer) connect(ctx context.Context, c *Conn) error {
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return c.fail(StepResolve, err)
	}
	raw, err := d.cfg.Dial(ctx, "tcp", c.addr)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) {
			return c.fail(StepResolve, dns)
		}
		return c.fail(StepConnect, err)
	}
	c.sock = socket.New(raw, d.buffers)
	c.Conn = c.sock
	if d.cfg.TLS == nil {
		return nil
	}
	secure := tls.Client(c.sock.Beneath(), d.tlsFor(host))
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return c.fail(StepTLS, describeTLS(c.addr, orCause(ctx, err)))
	}
	c.sock.Secure(secure)
	return nil
}

// describeTLS puts the usual reasons of a failed handshake into words.
func describeTLS(addr string, err error) error {
	var (
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("broker speaks plaintext, not TLS: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		now, cert := time.Now(), invalid.Cert
		if now.Before(cert.NotBefore) {
			return fmt.Errorf("certificate of %s is not valid before %s: %w", addr, cert.NotBefore.UTC().Format(time.RFC3339), err)
		}
		return fmt.Errorf("certificate of %s expired %s: %w", addr, cert.NotAfter.UTC().Format(time.RFC3339), err)
	case errors.As(err, &hostname):
		names := hostname.Certificate.DNSNames
		for _, ip := range hostname.Certificate.IPAddresses {
			names = append(names[:len(names):len(names)], ip.String())
		}
		return fmt.Errorf("certificate of %s is not valid for name %q, only for %s: %w", addr, hostname.Host, quoteSome(names), err)
	case errors.As(err, &authority):
		issuer := "unknown"
		if authority.Cert != nil {
			issuer = authority.Cert.Issuer.String()
		}
		return fmt.Errorf("certificate of %s is signed by an authority that is not trusted here (issuer %q): %w", addr, clip(issuer), err)
	case errors.As(err, &alert):
		return fmt.Errorf("broker refuses our side of TLS; it may want a client certificate, or another one: %w", err)
	case hungUp(err):
		return fmt.Errorf("broker closed the connection during the handshake; it may speak plaintext, not TLS: %w", err)
	}
	return err
}

// describeFirst puts into words how the first exchange on a connection fails
// when the two sides disagree about TLS.
func describeFirst(err error, secure bool) error {
	var alert tls.AlertError
	switch {
	case errors.As(err, &alert) || secure && strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Errorf("broker refuses our side of TLS; it may want a client certificate, or another one: %w", err)
	case !secure && hungUp(err):
		return fmt.Errorf("broker closed the connection at the first request; it may speak TLS while the cluster has no tls setting: %w", err)
	}
	return err
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// apiVersionsVersion is where brokers tell all features, those included that
// start at 0 (KIP-1022). Older brokers answer in version 0 (KIP-511).
const apiVersionsVersion = 4

// askVersions asks with our highest version first and comes down to what the
// broker tells it understands.
func (c *Conn) askVersions() (*apiVersions, error) {
	version := int16(apiVersionsVersion)
	for {
		req := kmsg.NewPtrApiVersionsRequest()
		req.SetVersion(version)
		req.ClientSoftwareName = "sluice"
		req.ClientSoftwareVersion = c.d.cfg.SoftwareVersion
		body, err := c.exchange(req, maxLoginResponseBytes)
		if err != nil {
			return nil, err
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.Version = version
		if len(body) >= 2 && int16(binary.BigEndian.Uint16(body)) == kerr.UnsupportedVersion.Code {
			resp.Version = 0
		}
		if err := decode(resp, body, 0); err != nil {
			return nil, err
		}
		if resp.ErrorCode == 0 {
			return newAPIVersions(resp), nil
		}
		if resp.ErrorCode != kerr.UnsupportedVersion.Code || version == 0 {
			return nil, kerr.ErrorForCode(resp.ErrorCode)
		}
		next := int16(0)
		for _, k := range resp.ApiKeys {
			if k.ApiKey == req.Key() {
				next = max(0, min(k.MaxVersion, version-1))
			}
		}
		version = next
	}
}

func newAPIVersions(resp *kmsg.ApiVersionsResponse) *apiVersions {
	a := &apiVersions{
		ranges:    make(map[int16]Range, len(resp.ApiKeys)),
		supported: make(map[string]Range, len(resp.SupportedFeatures)),
		finalized: make(map[string]Range, len(resp.FinalizedFeatures)),
		epoch:     resp.FinalizedFeaturesEpoch,
	}
	for _, k := range resp.ApiKeys {
		a.ranges[k.ApiKey] = Range{k.MinVersion, k.MaxVersion}
	}
	for _, f := range resp.SupportedFeatures {
		a.supported[f.Name] = Range{f.MinVersion, f.MaxVersion}
	}
	for _, f := range resp.FinalizedFeatures {
		a.finalized[f.Name] = Range{f.MinVersionLevel, f.MaxVersionLevel}
	}
	return a
}

// clip shortens text of a broker for an error.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func quoteSome(names []string) string {
	const most = 10
	var b strings.Builder
	for i, n := range names {
		if i == most {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(clip(n)))
	}
	if len(names) == 0 {
		return "nothing"
	}
	return b.String()
}
