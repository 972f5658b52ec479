package feed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// JoinConfig is what it takes to join a control plane.
type JoinConfig struct {
	// Dir is where the gateway keeps who it is.
	Dir string
	// Control is host:port of the control plane.
	Control string
	Token   string
	// Save replaces a file as a whole or not at all.
	Save func(name string, data []byte) error
}

// Join makes a key, proves the token to the control plane whose authority the token
// names, and keeps who the gateway is from now on. A state of another control plane is
// removed.
func Join(ctx context.Context, c JoinConfig) (*Identity, error) {
	secret, authority, err := readToken(c.Token)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	proof, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	id := &Identity{Control: c.Control}
	if id.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{joinProtocol}, ServerName: controlName, InsecureSkipVerify: true, // VerifyConnection knows better than the system's authorities
		VerifyConnection: func(s tls.ConnectionState) error {
			id.Authority, err = vouched(s, authority)
			return err
		}}
	dialing, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(dialing, "tcp", c.Control)
	if err != nil {
		return nil, fmt.Errorf("connect to the control plane: %w", elsewhere(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := say(conn, askJoin, join{Secret: secret, Proof: proof}); err != nil {
		return nil, fmt.Errorf("ask the control plane: %w", err)
	}
	m, err := readMessage(conn, false, handshakeTime)
	if err != nil {
		return nil, fmt.Errorf("listen to the control plane: %w", err)
	}
	switch m.kind {
	case sendRefusal:
		var no refusal
		if err := m.as(&no); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("the control plane refuses: %s", no.Reason)
	case sendIdentity:
	default:
		return nil, fmt.Errorf("the control plane answers with a message of kind %d", m.kind)
	}
	var given identity
	if err := m.as(&given); err != nil {
		return nil, err
	}
	id.Name, id.Environment, id.Certificate, id.Signing = given.Name, given.Environment, given.Certificate, given.Signing
	if _, err := id.pair(); err != nil {
		return nil, fmt.Errorf("what the control plane gives is not good: %w", err)
	}
	before, err := ReadIdentity(c.Dir)
	if err != nil || !before.Signing.Equal(id.Signing) || before.Environment != id.Environment {
		for _, name := range []string{stateFile, contactFile} {
			if err := os.Remove(filepath.Join(c.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	if err := id.keep(c.Dir, c.Save); err != nil {
		return nil, fmt.Errorf("keep who this gateway is: %w", err)
	}
	if err := forgetSentAway(c.Dir); err != nil {
		return nil, err
	}
	return id, nil
}

// vouched returns the authority of a control plane, if it is the one with a fingerprint.
func vouched(s tls.ConnectionState, want string) ([]byte, error) {
	for _, c := range s.PeerCertificates[1:] {
		if fingerprint(c) != want {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: controlName}); err != nil {
			return nil, err
		}
		return c.Raw, nil
	}
	return nil, errors.New("this is not the control plane that made the token")
}

// elsewhere says of an error of the handshake that something else answers there.
func elsewhere(err error) error {
	var plaintext tls.RecordHeaderError
	var alert tls.AlertError
	const noApplicationProtocol = 120 // RFC 7301 §3.2
	if errors.As(err, &plaintext) || errors.As(err, &alert) && alert == noApplicationProtocol {
		return fmt.Errorf("no control plane serves gateways at this port, it may be the one of its management API: take the address that sluice gateway invite prints (feed.address, port 18081 by default): %w", err)
	}
	return err
}
