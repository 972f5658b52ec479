package sasl

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"golang.org/x/sync/singleflight"
)

const (
	// MaxKeySetBytes and MaxKeys bound a key set.
	MaxKeySetBytes = 1 << 20
	MaxKeys        = 100

	maxKeyAge    = 24 * time.Hour // how long keys serve when their source is away
	fetchTimeout = 5 * time.Second
)

// KeySource is where the JSON Web Key Set (RFC 7517) of an issuer is: a file, a URL
// or this process, exactly one.
type KeySource struct {
	// File is read again after 5 s at the latest, so that a change needs no restart.
	File string
	// URL is fetched through Fetch, again after 5 min, and for an unknown key id at
	// most once per 30 s.
	URL string
	// Fetch gets the body at a URL within ctx. It decides which URLs may be reached.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Own returns a set that this process has at hand. It is asked again after a second.
	Own func() ([]byte, error)
}

func (s KeySource) check() error {
	switch {
	case s.File == "" && s.URL == "" && s.Own == nil:
		return errors.New("no key source")
	case s.File != "" && s.URL != "" || s.Own != nil && s.File+s.URL != "":
		return errors.New("keys from more than one source")
	case s.URL != "" && s.Fetch == nil:
		return errors.New("keys from a URL without a fetch function")
	}
	return nil
}

func (s KeySource) String() string {
	switch {
	case s.Own != nil:
		return "this process"
	case s.File != "":
		return "file " + s.File
	}
	return s.URL
}

func (s KeySource) load(ctx context.Context) ([]byte, error) {
	switch {
	case s.Own != nil:
		return s.Own()
	case s.File == "":
		return s.Fetch(ctx, s.URL)
	}
	f, err := os.Open(s.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxKeySetBytes+1))
}

// keyCache keeps the keys of one source. At any time one load is under way at
// most; it has a deadline of its own, so a caller that goes away neither stops it
// for the others nor leaves it running for long.
type keyCache struct {
	source  KeySource
	now     func() time.Time
	refresh time.Duration // age from which keys are loaded again
	gap     time.Duration // least time between two loads, whatever they gave
	flight  singleflight.Group

	mu       sync.Mutex // guards what follows
	keys     []jose.JSONWebKey
	loadedAt time.Time // of keys
	triedAt  time.Time
	lastErr  error
}

func newKeyCache(s KeySource, now func() time.Time) *keyCache {
	c := &keyCache{source: s, now: now, refresh: 5 * time.Minute, gap: 30 * time.Second}
	switch {
	case s.Own != nil:
		c.refresh, c.gap = time.Second, time.Second
	case s.File != "":
		c.refresh, c.gap = 5*time.Second, time.Second
	}
	return c
}

// find returns the keys that may have signed a token with this key id and
// algorithm, loading the set when it is old or does not have the id.
func (c *keyCache) find(ctx context.Context, kid, algorithm string) ([]jose.JSONWebKey, error) {
	found, age, due, err := c.pick(kid, algorithm)
	if !due {
		return found, err
	}
	loading := c.flight.DoChan("", func() (any, error) { c.load(); return nil, nil })
	// Somewhat old keys serve while others are fetched; really old ones do so only
	// when fetching failed, so that a key withdrawn long ago is not used once more.
	if err == nil && age < 2*c.refresh {
		return found, nil
	}
	select {
	case <-loading:
	case <-ctx.Done():
		return nil, fmt.Errorf("load keys from %s: %w", c.source, ctx.Err())
	}
	found, _, _, err = c.pick(kid, algorithm)
	return found, err
}

// pick looks into the cache only; due says that a load may help and is allowed.
func (c *keyCache) pick(kid, algorithm string) (found []jose.JSONWebKey, age time.Duration, due bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	age = now.Sub(c.loadedAt)
	if c.keys == nil || age > maxKeyAge {
		err = errors.New("keys are not available")
		if c.lastErr != nil {
			err = fmt.Errorf("keys are not available: %w", c.lastErr)
		}
		return nil, age, c.mayLoad(now), err
	}
	for _, k := range c.keys {
		if (kid == "" || k.KeyID == kid) && fits(k.Key, algorithm) && (k.Algorithm == "" || k.Algorithm == algorithm) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 0:
		return nil, age, c.mayLoad(now), fmt.Errorf("no key %.100q for %s", kid, algorithm)
	case len(found) > 1 && (kid == "" || len(found) > 4):
		return nil, age, age >= c.refresh && c.mayLoad(now), fmt.Errorf("%d keys fit key id %.100q", len(found), kid)
	}
	return found, age, age >= c.refresh && c.mayLoad(now), nil
}

// mayLoad keeps tokens with made-up key ids from making us hammer the issuer.
func (c *keyCache) mayLoad(now time.Time) bool {
	return c.triedAt.IsZero() || now.Sub(c.triedAt) >= c.gap
}

func (c *keyCache) load() {
	c.mu.Lock()
	may := c.mayLoad(c.now())
	c.mu.Unlock()
	if !may { // somebody's load ended between our look and now
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	data, err := c.source.load(ctx)
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = parseKeySet(data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.triedAt = c.now()
	if err != nil {
		c.lastErr = fmt.Errorf("load keys from %s: %w", c.source, err)
		return
	}
	c.keys, c.loadedAt, c.lastErr = keys, c.triedAt, nil
}

// parseKeySet returns the public signing keys of a JWKS. Keys of other kinds are
// left out (RFC 7517 §5), private and symmetric ones too: who publishes those has
// lost them.
func parseKeySet(data []byte) ([]jose.JSONWebKey, error) {
	if len(data) > MaxKeySetBytes {
		return nil, fmt.Errorf("key set exceeds %d bytes", MaxKeySetBytes)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("parse key set: %w", err)
	}
	if len(set.Keys) > MaxKeys {
		return nil, fmt.Errorf("key set has %d keys, more than %d", len(set.Keys), MaxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if r, ok := k.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < 2048 || r.N.BitLen() > 8192) {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("key set has no usable public signing key")
	}
	return keys, nil
}
