package main

import (
	"os"
	"path/filepath"

	"sluice/internal/kafkatest"
)

// certificate is what floor-tls and gateway-tls show to clients, who trust its issuer.
type certificate struct {
	file, key string
	issuer    string // PEM
}

// newCertificate makes one for 127.0.0.1, with its files in a folder.
func newCertificate(dir string) (certificate, error) {
	c := certificate{file: filepath.Join(dir, "front.pem"), key: filepath.Join(dir, "front.key")}
	authority, err := kafkatest.NewAuthority()
	if err != nil {
		return c, err
	}
	cert, key, err := authority.Issue("bench", "127.0.0.1")
	if err != nil {
		return c, err
	}
	c.issuer = string(authority.PEM())
	if err := os.WriteFile(c.file, cert, 0o600); err != nil {
		return c, err
	}
	return c, os.WriteFile(c.key, key, 0o600)
}
