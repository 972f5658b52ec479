package robust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/test/harness"
)

// withTLS is the setting of a listener whose certificate is tls.crt, and its files.
const withTLS = "tls: {certificate: {file: tls.crt}, key: {file: tls.key}}"

func pairFiles(t *testing.T, name string, ends time.Time) map[string]string {
	t.Helper()
	cert, key := pair(t, name, ends)
	return map[string]string{"tls.crt": cert, "tls.key": key}
}

// pair makes a certificate and its key, PEM.
func pair(t *testing.T, name string, ends time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// dialTLS trusts whoever answers: which certificate it is, is looked at.
func dialTLS(address string) (*tls.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 15 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// Certificates are exchanged under load, good ones and bad ones: no connection ends, no handshake fails, and the newest
// good certificate is served within ten seconds.
func TestCertificatesAreExchangedUnderLoad(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	w := start(t, options{listener: withTLS, files: pairFiles(t, "cert-0", year)})
	count := 30
	if harness.Full() {
		count = 1000
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var requests, handshakes atomic.Int64
	t.Cleanup(func() { cancel(); all.Wait() })
	for range count {
		conn, err := dialTLS(w.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		s := &session{conn: conn, user: troubled, patience: 20 * time.Second}
		if err := s.login(); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer conn.Close()
			tick := time.NewTicker(time.Duration(count) * 2 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := s.ask(metadata()); err != nil {
					t.Errorf("a connection has ended: %v", err)
					return
				}
				requests.Add(1)
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	name := func() (string, error) {
		conn, err := dialTLS(w.Bootstrap)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		handshakes.Add(1)
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
	}
	all.Go(func() { // somebody new all the time
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := name(); err != nil {
				t.Errorf("a handshake has failed: %v", err)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	served := func(want string) {
		t.Helper()
		begin := time.Now()
		within(t, 30*time.Second, "the certificate "+want, func() error {
			if got, err := name(); err != nil || got != want {
				return fmt.Errorf("%q, %v", got, err)
			}
			return nil
		})
		t.Logf("%s is served after %v", want, time.Since(begin).Round(time.Millisecond))
	}
	swap := func(cert, key string) { // two files, one after the other
		w.Write("tls.crt", cert)
		w.Write("tls.key", key)
	}
	refused := func(what string, n int) {
		t.Helper()
		within(t, 30*time.Second, what+" is refused", func() error {
			if strings.Count(w.Log(), "certificate refused") < n {
				return errors.New("nothing in the log")
			}
			return nil
		})
	}
	served("cert-0")
	cert1, key1 := pair(t, "cert-1", year)
	swap(cert1, key1)
	served("cert-1")
	_, foreign := pair(t, "foreign", year)
	w.Write("tls.key", foreign)
	refused("a key of another certificate", 1)
	served("cert-1")
	swap("-----BEGIN CERTIFICATE-----\nnothing", key1)
	refused("what is no certificate", 2)
	served("cert-1")
	expired, key := pair(t, "expired", time.Now().Add(-time.Minute))
	swap(expired, key)
	refused("an expired certificate", 3)
	served("cert-1")
	cert2, key2 := pair(t, "cert-2", year)
	swap(cert2, key2)
	served("cert-2")
	cancel()
	all.Wait()
	t.Logf("%d connections, %d requests, %d handshakes", count, requests.Load(), handshakes.Load())
	if n := w.must()["sluice_gateway_panics_total"]; n != 0 {
		t.Errorf("%v panics", n)
	}
	harness.Report(t, "certificates", fmt.Sprintf("%d connections made %d requests while certificates were exchanged five times, three of them for bad ones; %d handshakes meanwhile. None failed.",
		count, requests.Load(), handshakes.Load()))
}
