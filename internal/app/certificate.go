package app

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/config"
)

// expiresSoon is when a certificate that is still valid becomes a warning.
const expiresSoon = 14 * 24 * time.Hour

// certificate is the TLS of one listener, renewed while connections go on.
type certificate struct {
	listener, field string
	settings        config.ListenerTLS
	now             func() time.Time
	log             *slog.Logger
	current         atomic.Pointer[tls.Config]
	seen, looked    [32]byte // of the files: those decided on, those at the last look
	refused         error    // why what was seen is not in use
	end             atomic.Pointer[time.Time]
}

// newCertificate reads a listener's certificate for the first time; one that
// cannot serve clients now is an error.
func newCertificate(listener, field string, settings config.ListenerTLS, now func() time.Time, log *slog.Logger) (*certificate, error) {
	c := &certificate{listener: listener, field: field, settings: settings, now: now, log: log}
	files, err := c.read()
	if err != nil {
		return nil, err
	}
	c.seen = files.sum()
	if err := c.use(files); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

// config returns what a listener is given; it always hands out the newest.
func (c *certificate) config() *tls.Config {
	base := c.current.Load().Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return base
}

// reload uses changed files from the next connection on: at once, or once they
// have stayed the same for a look, since certificate and key are two files.
// Files that cannot be used are told once in the log, and the old ones stay.
func (c *certificate) reload(atOnce bool) error {
	files, err := c.read()
	sum := files.sum()
	if err != nil {
		sum = sha256.Sum256([]byte(err.Error()))
	}
	if sum == c.seen {
		return c.refused
	}
	if settled := sum == c.looked; !settled && !atOnce {
		c.looked = sum
		return nil
	}
	c.seen = sum
	if err == nil {
		err = c.use(files)
	}
	if c.refused = err; err != nil {
		c.log.Error("certificate refused, the old one stays in use", "listener", c.listener, "err", err)
		return err
	}
	c.log.Info("certificate in use", "listener", c.listener, "valid_until", c.end.Load().UTC().Format(time.RFC3339))
	c.warn()
	return nil
}

// warn tells of a certificate that expires soon.
func (c *certificate) warn() {
	end := *c.end.Load()
	if left := end.Sub(c.now()); left < expiresSoon {
		c.log.Warn("certificate expires soon: renew it", "listener", c.listener, "certificate", c.settings.Certificate.Describe(),
			"valid_until", end.UTC().Format(time.RFC3339), "days_left", int(left.Hours()/24))
	}
}

type certificateFiles struct{ certificate, key, ca string }

func (f certificateFiles) sum() [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q", f.certificate, f.key, f.ca))
}

func (c *certificate) read() (f certificateFiles, err error) {
	read := func(field string, ref config.SecretRef) string {
		if ref.IsZero() {
			return ""
		}
		text, e := config.ReadSecret(ref)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s.%s: %w", c.field, field, e))
		}
		return text
	}
	f = certificateFiles{read("certificate", c.settings.Certificate), read("key", c.settings.Key), read("clientCA", c.settings.ClientCA)}
	return f, err
}

// use checks what was read and serves it from now on.
func (c *certificate) use(f certificateFiles) error {
	fail := func(field, format string, args ...any) error {
		return fmt.Errorf("%s.%s: %s", c.field, field, fmt.Sprintf(format, args...))
	}
	pair, err := tls.X509KeyPair([]byte(f.certificate), []byte(f.key))
	if err != nil {
		return fail("certificate", "%s and %s do not belong together or are not PEM: %v", c.settings.Certificate.Describe(), c.settings.Key.Describe(), err)
	}
	now := c.now()
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return fail("certificate", "the certificate of %s in %s expired at %s: renew it", leaf.Subject, c.settings.Certificate.Describe(), leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fail("certificate", "the certificate of %s in %s is not valid before %s: check the clock of this machine", leaf.Subject, c.settings.Certificate.Describe(), leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	t := &tls.Config{MinVersion: uint16(c.settings.MinVersion), Certificates: []tls.Certificate{pair}}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	if f.ca != "" {
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM([]byte(f.ca)) {
			return fail("clientCA", "%s holds no certificate: give certificates in PEM", c.settings.ClientCA.Describe())
		}
		// A certificate is one way to log in, not the only one. A resumed
		// session would skip the authorities of now.
		t.ClientAuth, t.SessionTicketsDisabled = tls.VerifyClientCertIfGiven, true
	}
	end := pair.Leaf.NotAfter
	c.end.Store(&end)
	c.current.Store(t)
	return nil
}

// certificateCollector shows when the listeners' certificates expire.
type certificateCollector struct{ certificates []*certificate }

var certificateExpiry = prometheus.NewDesc("sluice_gateway_certificate_expiry_timestamp_seconds", "When a listener's certificate expires, in seconds since 1970.", []string{"listener"}, nil)

// Describe is prometheus.Collector's.
func (c certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- certificateExpiry }

// Collect is prometheus.Collector's.
func (c certificateCollector) Collect(ch chan<- prometheus.Metric) {
	for _, cert := range c.certificates {
		ch <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, float64(cert.end.Load().Unix()), cert.listener)
	}
}
