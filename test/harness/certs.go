package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certName is the name in an application's client certificate.
func certName(app string) string { return app + ".clients.test" }

// Authority signs certificates of a test. NewAuthority makes it.
type Authority struct {
	CA string // path of its own certificate, PEM

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority whose files are in a folder.
func NewAuthority(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &Authority{CA: filepath.Join(dir, "ca.pem"), dir: dir, key: key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, writePEM(a.CA, "CERTIFICATE", der)
}

// Server issues a certificate of a server for host names and 127.0.0.1, and returns the paths of its files, PEM.
func (a *Authority) Server(name string, hosts ...string) (cert, key string, err error) {
	return a.issue(name, x509.ExtKeyUsageServerAuth, hosts, []net.IP{net.IPv4(127, 0, 0, 1)})
}

// Pool returns what a client trusts who trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// newCerts makes an authority and the gateway's certificate in a folder.
func newCerts(dir string) (Certs, error) {
	a, err := NewAuthority(dir)
	if err != nil {
		return Certs{}, err
	}
	cert, keyFile, err := a.Server("gateway", "localhost")
	if err != nil {
		return Certs{}, err
	}
	pair, err := tls.LoadX509KeyPair(cert, keyFile)
	if err != nil {
		return Certs{}, err
	}
	client := func(app string) (string, string) {
		cert, key := filepath.Join(dir, app+".pem"), filepath.Join(dir, app+".key")
		if _, err := os.Stat(cert); err == nil {
			return cert, key
		}
		if cert, key, err = a.issue(app, x509.ExtKeyUsageClientAuth, []string{certName(app)}, nil); err != nil {
			panic(err)
		}
		return cert, key
	}
	return Certs{
		CA:     a.CA,
		Server: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: a.Pool(), ClientAuth: tls.VerifyClientCertIfGiven},
		Cert:   func(app string) string { cert, _ := client(app); return cert },
		Key:    func(app string) string { _, key := client(app); return key },
	}, nil
}

func (a *Authority) issue(name string, usage x509.ExtKeyUsage, dns []string, ips []net.IP) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: dns, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writePEM(keyFile, "PRIVATE KEY", keyDER)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
