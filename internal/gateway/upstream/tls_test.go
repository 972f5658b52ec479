package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// authority issues certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	c := a.sign(t, template)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) server(t *testing.T, until time.Time, names ...string) *tls.Config {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	return &tls.Config{Certificates: []tls.Certificate{a.sign(t, template)}}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later, yesterday := time.Now().AddDate(1, 0, 0), time.Now().AddDate(0, 0, -1)
	trusting := &tls.Config{RootCAs: ca.pool}
	strict := ca.server(t, later, "127.0.0.1")
	strict.ClientAuth = tls.RequireAnyClientCert
	for name, test := range map[string]struct {
		server, client *tls.Config
		want, fix      string
	}{
		"all is well":             {ca.server(t, later, "127.0.0.1"), trusting, "", ""},
		"expired":                 {ca.server(t, yesterday, "127.0.0.1"), trusting, "expired " + yesterday.UTC().Format(time.DateOnly), "renew"},
		"another name":            {ca.server(t, later, "kafka-1.example"), trusting, `is not valid for name "127.0.0.1", only for "kafka-1.example"`, "names"},
		"name given":              {ca.server(t, later, "kafka-1.example"), &tls.Config{RootCAs: ca.pool, ServerName: "kafka-1.example"}, "", ""},
		"another authority":       {other.server(t, later, "127.0.0.1"), trusting, "not trusted", "tls.ca"},
		"client without tls":      {ca.server(t, later, "127.0.0.1"), nil, "the cluster has no tls setting", "add tls"},
		"no client certificate":   {strict, trusting, "it may want a client certificate", ""},
		"broker is in plain text": {nil, trusting, "plaintext", "TLS port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []kfake.Opt{kfake.NumBrokers(1)}
			if test.server != nil {
				opts = append(opts, kfake.TLS(test.server))
			}
			addr := ""
			if test.server == nil { // as Kafka does with a frame of that size: hang up
				addr = scripted(t, func(int16, int16, uint32) []byte { return nil })
			} else {
				addr = fake(t, opts...).ListenAddrs()[0]
			}
			cfg := quick(addr)
			cfg.TLS = test.client
			conn, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
			if err == nil {
				conn.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			findings := Diagnose(context.Background(), cfg)
			if first := findings[0]; first.OK != (test.want == "") || !strings.Contains(first.Fix, test.fix) {
				t.Errorf("finding %+v", first)
			}
		})
	}
}

func TestDiagnose(t *testing.T) {
	ca := newAuthority(t)
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "orders", "hidden"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.TLS(ca.server(t, time.Now().Add(48*time.Hour), "127.0.0.1")),
		kfake.User("PLAIN", "sluice", "secret", kfake.ACL{Resource: 2, Name: "orders", Pattern: 3, Operation: 3, Allow: true}))
	cfg := quick("127.0.0.1:1", k.ListenAddrs()[0])
	cfg.TLS = &tls.Config{RootCAs: ca.pool}
	cfg.SASL = with(plainAuth("sluice", "secret"))
	findings := Diagnose(context.Background(), cfg, "orders", "hidden")
	for _, want := range []Finding{
		{"connect", false, "connect to 127.0.0.1:1", "check the port"},
		{"tls", false, "expires", "renew"},
		{"login", true, "accepts our login", ""},
		{"versions", true, "like no one release of Kafka", ""},
		{"metadata", true, "has 2 brokers", ""},
		{"brokers", true, "node 1 is reached", ""},
		{"rights", false, `topic "orders" is there, but we lack WRITE`, "WRITE"},
		{"rights", false, `we may not see topic "hidden"`, "READ"},
		{"rights", false, "we may not describe group", "READ"},
		{"rights", false, "we may not describe transactional id", "WRITE"},
		{"rights", true, "on the cluster", "namespaces"},
	} {
		found := false
		for _, f := range findings {
			found = found || f.Step == want.Step && f.OK == want.OK && strings.Contains(f.Message, want.Message) && strings.Contains(f.Fix, want.Fix)
		}
		if !found {
			t.Errorf("no finding like %+v", want)
		}
	}
	if t.Failed() {
		for _, f := range findings {
			t.Logf("%+v", f)
		}
	}
}
