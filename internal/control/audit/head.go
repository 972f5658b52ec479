package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Head says, signed, how far a log had come at some time: whoever alters, removes or
// adds a row up to it needs the key. Heads are kept with the rows, and should also
// be kept elsewhere: only such a head shows that the end of a log has been cut off
// together with the heads in it.
type Head struct {
	// Log is the id of the store whose log it is.
	Log string `json:"log"`
	// Seq and Hash are of the last row.
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
	// Time is when it was signed, in UTC and whole microseconds.
	Time time.Time `json:"time"`
	// Key is the KeyID of whom it was signed by.
	Key string `json:"key"`
	// Signature is Ed25519 (RFC 8032).
	Signature []byte `json:"signature"`
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Sign returns the head of a log that ends in this row.
func Sign(key ed25519.PrivateKey, log string, last Row, at time.Time) Head {
	h := Head{Log: log, Seq: last.Seq, Hash: last.Hash, Time: at.UTC().Truncate(time.Microsecond), Key: KeyID(key.Public().(ed25519.PublicKey))}
	h.Signature = ed25519.Sign(key, h.signed())
	return h
}

// Signed says whether the head was signed with this key.
func (h Head) Signed(key ed25519.PublicKey) bool {
	return h.Key == KeyID(key) && len(h.Signature) == ed25519.SignatureSize && ed25519.Verify(key, h.signed(), h.Signature)
}

// signed is what the signature is of: a line that says what it is, and one for each field.
func (h Head) signed() []byte {
	return []byte(strings.Join([]string{
		"sluice audit head 1", h.Log, strconv.FormatInt(h.Seq, 10), h.Hash, h.Time.Format(time.RFC3339Nano), h.Key, "",
	}, "\n"))
}

// The PEM blocks of keys.
const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// OpenKey returns the key in a file, which nobody else may read (0600). When there
// is none it makes one. The public key is kept beside it, as PATH.pub, for those who verify.
func OpenKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(path)
	case err != nil:
		return nil, fmt.Errorf("open audit key: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("open audit key: others may read %s (mode %04o): chmod 600 it, or move it away for a new one", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open audit key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != privateBlock {
		return nil, fmt.Errorf("open audit key: %s holds no private key in PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open audit key: %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("open audit key: %s holds a %T, not an Ed25519 key", path, parsed)
	}
	return key, writePublic(path, key)
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	if err := writeFile(path, pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	return key, writePublic(path, key)
}

func writePublic(path string, key ed25519.PrivateKey) error {
	path += ".pub"
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := writeFile(path, PublicPEM(key.Public().(ed25519.PublicKey)), 0o644); err != nil {
		return fmt.Errorf("write public audit key: %w", err)
	}
	return nil
}

// PublicPEM returns a public key as ReadPublicKeys reads it.
func PublicPEM(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic("bug: " + err.Error()) // every Ed25519 key has that form
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der})
}

// writeFile writes a file that is there as a whole or not at all, also when the machine stops.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ReadPublicKeys returns the Ed25519 keys of a PEM file: public ones, or what is
// public of a private one.
func ReadPublicKeys(path string) ([]ed25519.PublicKey, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read audit key: %w", err)
	}
	var keys []ed25519.PublicKey
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var parsed any
		var err error
		switch block.Type {
		case publicBlock:
			parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
		case privateBlock:
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			err = fmt.Errorf("a %s is no key of an audit log", block.Type)
		}
		if private, ok := parsed.(ed25519.PrivateKey); ok {
			parsed = private.Public()
		}
		key, ok := parsed.(ed25519.PublicKey)
		if err == nil && !ok {
			err = fmt.Errorf("a %T is no Ed25519 key", parsed)
		}
		if err != nil {
			return nil, fmt.Errorf("read audit key %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read audit key: %s holds no key in PEM", path)
	}
	return keys, nil
}
