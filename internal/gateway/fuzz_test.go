package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bytesConn is a connection that holds some bytes and then ends.
type bytesConn struct {
	net.Conn
	in *bytes.Reader
}

func (c *bytesConn) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }
func (c *bytesConn) SetDeadline(time.Time) error     { return nil }
func (c *bytesConn) Close() error                    { return nil }
func (c *bytesConn) LocalAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (c *bytesConn) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 2} }

// FuzzProxyHeader: what a trusted proxy sends before the connection ends in an
// error, or in an address and the bytes that follow its header; a header of
// version 1 never counts.
func FuzzProxyHeader(f *testing.F) {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	for _, seed := range []string{
		signature + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x11\x22\x33\x44rest",
		signature + "\x21\x21\x00\x24" + strings.Repeat("\x01", 36) + "rest",
		signature + "\x20\x00\x00\x00rest", signature + "\x21\x31\x00\xd8" + strings.Repeat("a", 216),
		signature + "\x21\x11\xff\xff", signature + "\x31\x11\x00\x00", signature, "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nrest", "", "\x00\x00\x00\x10",
		signature + "\x21\x11\x00\x10\x0a\x00\x00\x01\x0a\x00\x00\x02\x11\x22\x33\x44\x04\x00\x00\x09",
	} {
		f.Add([]byte(seed))
	}
	proxy := netip.MustParseAddr("10.9.8.7")
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := &bytesConn{in: bytes.NewReader(data)}
		address, err := proxied(conn, proxy, time.Second)
		if err != nil {
			if address != proxy {
				t.Errorf("%v is believed in spite of %v", address, err)
			}
			return
		}
		if !bytes.HasPrefix(data, []byte(signature)) {
			t.Errorf("taken without a header of version 2: %q", data)
		}
		// What follows the header is the client's, to the byte.
		rest, _ := io.ReadAll(conn)
		if want := data[16+int(data[14])<<8+int(data[15]):]; !bytes.Equal(rest, want) {
			t.Errorf("%q follows the header in %q, want %q", rest, data, want)
		}
	})
}

// FuzzLearnedPorts: the file of the learned ports is refused with its name, or
// understood; ports are listened on within their range only.
func FuzzLearnedPorts(f *testing.F) {
	for _, seed := range []string{`{"ports":{"1":0}}`, `{"ports":{"1":19093,"2":19094}}`, `{"ports":{"x":1}}`, `{"ports":{"1":-1,"99999999999":2}}`, `null`, `[]`, `{"ports":null}`, `{"ports":{"1":1e99}}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "ports.json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		a := &portAddressing{from: 19093, to: 19100, file: file, warn: func(string, ...any) {}}
		a.listen = func(port int) (int, error) {
			if port < a.from || port > a.to {
				t.Errorf("listens on port %d", port)
			}
			return port, nil
		}
		if err := a.restore(); err != nil && !strings.Contains(err.Error(), "ports") {
			t.Errorf("%v does not say what was read", err)
		}
	})
}

// FuzzCertificate: the names of any certificate that parses are of the kinds
// that grants know, each told apart from the others by how it begins.
func FuzzCertificate(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	spiffe, _ := url.Parse("spiffe://example.test/a%2Fb")
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "uri:spiffe://example.test/admin"}, NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{spiffe}, DNSNames: []string{"*.example.test", "uri.example.test"}, EmailAddresses: []string{"a@example.test"},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte("\x30\x80"))
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		names := subjectNames(cert)
		if len(names) != 1+len(cert.URIs)+len(cert.DNSNames)+len(cert.EmailAddresses) {
			t.Errorf("%d names of %+v", len(names), cert)
		}
		if key := sha256.Sum256(cert.RawSubjectPublicKeyInfo); names[0] != fmt.Sprintf("sha256:%x", key) {
			t.Errorf("the key is %s", names[0])
		}
		for _, name := range names[1:] {
			kind, rest, ok := strings.Cut(name, ":")
			if !ok || kind != "uri" && kind != "dns" && kind != "email" {
				t.Errorf("name %q", name)
			}
			if kind == "uri" {
				if u, err := url.Parse(rest); err != nil || u.String() != rest {
					t.Errorf("uri %q is another one when it is read again: %v, %v", rest, u, err)
				}
			}
		}
	})
}
