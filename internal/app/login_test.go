package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/config"
)

// authority makes certificates and tokens.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue returns a certificate, for 127.0.0.1 and names, and its key in PEM.
func (a *authority) issue(names ...string) (certificate, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) keySet() string {
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(data)
}

func (a *authority) token(subject string) string {
	a.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: a.key, KeyID: "k"}}, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: "https://id.example.com", Subject: subject, Audience: jwt.Audience{"sluice"}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).Serialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

func TestEveryWayToLogIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAuthority(t)
	server, serverKey := a.issue()
	w.write("tls.crt", server)
	w.write("tls.key", serverKey)
	w.write("ca.crt", a.pem())
	w.write("keys.json", a.keySet())
	w.write("resources/products.yaml", strings.ReplaceAll(productsYAML, "auth: [scram]", "auth: [plain, scram, oauth, mtls]"))
	w.write("resources/reader.yaml", consumerYAML("reader", "orders")+`---
apiVersion: sluice/v1
kind: Credential
metadata: {name: reader-plain, environment: test}
spec: {application: reader, type: plain, secret: {file: ../secret}}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: reader-oauth, environment: test}
spec: {application: reader, type: oauth, issuer: "https://id.example.com", subject: reader-service}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: reader-mtls, environment: test}
spec: {application: reader, type: mtls, san: "dns:reader.example.com"}
`)
	opts := w.withTLS()
	l := &opts.Config.Listeners[0]
	l.TLS.ClientCA = config.SecretRef{File: filepath.Join(w.dir, "ca.crt")}
	l.Mechanisms = append(l.Mechanisms, "OAUTHBEARER")
	opts.Config.OAuth.Issuers = []config.Issuer{{Issuer: "https://id.example.com", Audience: []string{"sluice"}, Algorithms: []string{"ES256"}, PrincipalClaim: "sub",
		JWKS: config.JWKS{File: filepath.Join(w.dir, "keys.json")}}}
	r := w.start(opts)
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.produce(w.direct(), "backing.orders", "for all")

	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	certificate := func(names ...string) kgo.Opt {
		cert, key := a.issue(names...)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return kgo.DialTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
	}
	anonymous := kgo.DialTLSConfig(&tls.Config{RootCAs: roots})
	for _, tc := range []struct {
		name string
		opts []kgo.Opt
		good bool
	}{
		{"PLAIN", []kgo.Opt{anonymous, kgo.SASL(plain.Auth{User: "reader-plain", Pass: secret}.AsMechanism())}, true},
		{"SCRAM-SHA-256", []kgo.Opt{anonymous, kgo.SASL(scram.Auth{User: "reader", Pass: secret}.AsSha256Mechanism())}, true},
		{"SCRAM-SHA-512", []kgo.Opt{anonymous, kgo.SASL(scram.Auth{User: "reader", Pass: secret}.AsSha512Mechanism())}, true},
		{"OAUTHBEARER", []kgo.Opt{anonymous, kgo.SASL(oauth.Auth{Token: a.token("reader-service")}.AsMechanism())}, true},
		{"a certificate", []kgo.Opt{certificate("reader.example.com")}, true},
		{"a token of another subject", []kgo.Opt{anonymous, kgo.SASL(oauth.Auth{Token: a.token("somebody")}.AsMechanism())}, false},
		{"a token of another issuer's key", []kgo.Opt{anonymous, kgo.SASL(oauth.Auth{Token: newAuthority(t).token("reader-service")}.AsMechanism())}, false},
		{"a certificate of another name", []kgo.Opt{certificate("writer.example.com")}, false},
		{"PLAIN with a credential for SCRAM", []kgo.Opt{anonymous, kgo.SASL(plain.Auth{User: "reader", Pass: secret}.AsMechanism())}, false},
		{"nothing", []kgo.Opt{anonymous}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t}
			c := w.client(append(tc.opts, kgo.SeedBrokers(r.Bootstrap()), kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond))...)
			if !tc.good {
				if err := c.Ping(t.Context()); err == nil {
					t.Error("is let in")
				}
				return
			}
			w.next(c, "for all")
		})
	}
}
