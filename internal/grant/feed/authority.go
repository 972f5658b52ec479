package feed

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What certificates say, and how long.
const (
	controlName   = "control.sluice.internal" // of the control plane's, whatever its address
	authorityLife = 20 * 365 * 24 * time.Hour
	gatewayLife   = 365 * 24 * time.Hour
	renewBefore   = gatewayLife / 3 // of its end, a gateway gets a new certificate
	controlLife   = 30 * 24 * time.Hour
	clockSkew     = time.Hour // certificates begin so long before now
)

// What the directories have.
const (
	authorityFile = "authority.pem"
	identityFile  = "identity.json"
	stateFile     = "state"
	contactFile   = "contact"
	sentAwayFile  = "sent-away"
)

// Authority is who the control plane is to its gateways: a small certificate authority
// and the key that signs states, in files that only their owner may read.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	signing     ed25519.PrivateKey
	made        bool
}

// Made says that OpenAuthority found none, and has made it: gateways that have joined
// before do not know it.
func (a *Authority) Made() bool { return a.made }

// OpenAuthority reads the authority in a directory, or makes it there. save replaces a
// file as a whole or not at all.
func OpenAuthority(dir string, now time.Time, save func(name string, data []byte) error) (*Authority, error) {
	name := filepath.Join(dir, authorityFile)
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newAuthority(dir, name, now, save)
	case err != nil:
		return nil, fmt.Errorf("read the authority of the gateways: %w", err)
	}
	a, err := parseAuthority(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: restore it from a backup; without it every gateway has to join again", name, err)
	}
	return a, nil
}

func newAuthority(dir, name string, now time.Time, save func(string, []byte) error) (*Authority, error) {
	a := &Authority{made: true}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if _, a.signing, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "sluice gateways"}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := issue(template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for _, key := range []any{a.key, a.signing} {
		b, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})...)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the authority of the gateways: %w", err)
	}
	if err := save(name, text); err != nil {
		return nil, fmt.Errorf("keep the authority of the gateways: %w", err)
	}
	return a, nil
}

func parseAuthority(text []byte) (*Authority, error) {
	a := &Authority{}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			a.certificate = c
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			a.key = key
		case ed25519.PrivateKey:
			a.signing = key
		}
	}
	if a.certificate == nil || a.key == nil || a.signing == nil || !a.key.PublicKey.Equal(a.certificate.PublicKey) {
		return nil, errors.New("a certificate or key is missing, or of another one")
	}
	return a, nil
}

func issue(template, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, parent, public, by)
}

// gateway makes the certificate of a gateway.
func (a *Authority) gateway(name string, public any, now time.Time) ([]byte, error) {
	return issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(gatewayLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, public, a.key)
}

// control makes a certificate of the control plane, with a key that no file has.
func (a *Authority) control(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: controlName}, DNSNames: []string{controlName}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(controlLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *Authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Token is what a gateway joins with: a secret that the control plane has given out, and
// the fingerprint of its authority, so that a gateway gives it to nobody else.
func (a *Authority) Token(secret string) string {
	return tokenPrefix + secret + "." + fingerprint(a.certificate)
}

const tokenPrefix = "sluice-join-"

// errToken does not say what it looked at: part of it is secret.
var errToken = errors.New("this is not a token to join with: it begins with " + tokenPrefix + ", and sluice gateway invite prints one")

// readToken takes a token apart.
func readToken(token string) (secret, authority string, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(token), tokenPrefix)
	secret, authority, dot := strings.Cut(rest, ".")
	if !ok || !dot || secret == "" || len(secret) > 256 || len(authority) != 2*sha256.Size {
		return "", "", errToken
	}
	return secret, authority, nil
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// keyOf returns what a gateway's key is known by: the SHA-256 of its public key, in
// hexadecimal digits.
func keyOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Identity is who a gateway is to its control plane, as it has joined.
type Identity struct {
	// Name is that of the document of kind Gateway.
	Name        string `json:"name"`
	Environment string `json:"environment"`
	// Control is host:port of the control plane.
	Control string `json:"control"`
	// Authority and Certificate are DER, Key is PKCS #8, Signing is an Ed25519 key.
	Authority   []byte            `json:"authority"`
	Certificate []byte            `json:"certificate"`
	Key         []byte            `json:"key"`
	Signing     ed25519.PublicKey `json:"signing"`
}

// ErrNotJoined says that a gateway has not joined a control plane yet.
var ErrNotJoined = errors.New("this gateway has not joined a control plane: sluice gateway invite makes a token where the control plane is administered, and sluice gateway join uses it here")

// ReadIdentity reads who a gateway is. The error is ErrNotJoined when it is nobody yet.
func ReadIdentity(dir string) (*Identity, error) {
	name := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNotJoined)
	} else if err != nil {
		return nil, fmt.Errorf("read who this gateway is: %w", err)
	}
	id := new(Identity)
	if err = json.Unmarshal(text, id); err == nil {
		_, err = id.pair()
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: let the gateway join again", name, err)
	}
	return id, nil
}

func (id *Identity) keep(dir string, save func(string, []byte) error) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return save(filepath.Join(dir, identityFile), append(text, '\n'))
}

func (id *Identity) pair() (tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(id.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(id.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || !k.PublicKey.Equal(leaf.PublicKey) || len(id.Signing) != ed25519.PublicKeySize {
		return tls.Certificate{}, errors.New("a key is missing, or of another certificate")
	}
	return tls.Certificate{Certificate: [][]byte{id.Certificate}, PrivateKey: key, Leaf: leaf}, nil
}

// config is the gateway's side of TLS.
func (id *Identity) config(protocol string) (*tls.Config, error) {
	authority, err := x509.ParseCertificate(id.Authority)
	if err != nil {
		return nil, err
	}
	pair, err := id.pair()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: controlName, Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol}}, nil
}
