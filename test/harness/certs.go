package harness

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	"sluice/internal/kafkatest"
)

// certName is the name in an application's client certificate.
func certName(app string) string { return app + ".clients.test" }

// Authority signs certificates of a test, which are files. NewAuthority makes it.
type Authority struct {
	CA string // path of its own certificate, PEM

	dir string
	*kafkatest.Authority
}

// NewAuthority makes an authority whose files are in a folder.
func NewAuthority(dir string) (*Authority, error) {
	a, err := kafkatest.NewAuthority()
	if err != nil {
		return nil, err
	}
	ca := filepath.Join(dir, "ca.pem")
	return &Authority{ca, dir, a}, os.WriteFile(ca, a.PEM(), 0o600)
}

// Server issues a certificate of a server for host names and 127.0.0.1, and returns the paths of its files, PEM.
func (a *Authority) Server(name string, hosts ...string) (cert, key string, err error) {
	return a.issueFiles(name, append(hosts, "127.0.0.1")...)
}

// Pool returns what a client trusts who trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
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
		if cert, key, err = a.issueFiles(app, certName(app)); err != nil {
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

func (a *Authority) issueFiles(name string, hosts ...string) (certFile, keyFile string, err error) {
	cert, key, err := a.Issue(name, hosts...)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, key, 0o600)
}
