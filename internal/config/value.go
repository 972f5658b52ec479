package config

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int }

// UnmarshalText reads 19093-19192, or a single port. 0 leaves the choice to the
// system.
func (r *PortRange) UnmarshalText(text []byte) error {
	from, to, ranged := strings.Cut(string(text), "-")
	if !ranged {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	if err1 != nil || err2 != nil || first > last || first == 0 && last != 0 {
		return fmt.Errorf("is not a range of ports: write it as 19093-19192")
	}
	*r = PortRange{int(first), int(last)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// TLSVersion is a version of TLS, as crypto/tls counts them.
type TLSVersion uint16

// The versions that a listener may ask for at least.
const (
	TLS12 TLSVersion = tls.VersionTLS12
	TLS13 TLSVersion = tls.VersionTLS13
)

// UnmarshalText reads 1.2 or 1.3.
func (v *TLSVersion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1.2":
		*v = TLS12
	case "1.3":
		*v = TLS13
	default:
		return fmt.Errorf("is not a version of TLS that is offered: write 1.2 or 1.3")
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func (v TLSVersion) String() string {
	if v == TLS13 {
		return "1.3"
	}
	return "1.2"
}

const maxSecretBytes = 1 << 20

// ReadSecret returns the secret at a reference, without the line end that files
// have. Errors name the place and never the secret.
func ReadSecret(ref SecretRef) (string, error) {
	switch {
	case ref.IsZero():
		return "", fmt.Errorf("no reference to a secret")
	case ref.Env != "":
		secret := os.Getenv(ref.Env)
		if secret == "" {
			return "", fmt.Errorf("%s is not set", ref.Describe())
		}
		return secret, nil
	}
	info, err := os.Stat(ref.File)
	if err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", ref.File)
	}
	f, err := os.Open(ref.File)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read secret: %w", err)
	case len(data) > maxSecretBytes:
		return "", fmt.Errorf("%s has more than %d bytes", ref.Describe(), maxSecretBytes)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", ref.Describe())
	}
	return secret, nil
}
