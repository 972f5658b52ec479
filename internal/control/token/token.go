// Package token makes the access tokens of the built-in token endpoint, and keeps the
// keys that sign them, which change with time. Its main type is Issuer. It knows
// neither who may have a token nor where its keys are stored.
package token

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// Name is the iss claim of every token, in all installations: the keys tell them
	// apart.
	Name = "urn:sluice:tokens"
	// SecretClaim has the number of the secret that a token was given for.
	SecretClaim = "sluice_secret"
	// Algorithm signs.
	Algorithm = "ES256"
	// Life is how long a token is good.
	Life = 10 * time.Minute

	// keyLife is how long a key signs, lead how long the next one is known before it
	// does, and keep how long one is known after its last token has been signed. All
	// processes look at the keys more often than that.
	keyLife = 24 * time.Hour
	lead    = 10 * time.Minute
	keep    = Life + lead
	// farAhead is how far a clock may have stood ahead when a key was made for it to count as
	// any other. Later ones would keep others from being made until their time has come.
	farAhead = keyLife
)

// Config is what an Issuer works with.
type Config struct {
	// Sealing encrypts the keys where they are stored: 32 bytes, the same in all
	// processes.
	Sealing []byte
	// Load returns what was saved, "" for nothing. Update replaces it by what f makes of
	// it, in turn with other processes; f leaves it by returning it unchanged.
	Load   func(ctx context.Context) (string, error)
	Update func(ctx context.Context, f func(saved string) (string, error)) error
	Now    func() time.Time
}

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	config  Config
	sealing cipher.AEAD

	mu   sync.Mutex // guards what follows
	keys []key      // the oldest first
}

// key is one pair.
type key struct {
	Private jose.JSONWebKey `json:"key"`
	Created time.Time       `json:"created"`
	// From is when it begins to sign.
	From time.Time `json:"from"`
}

// New returns an Issuer, with keys made where there are none.
func New(ctx context.Context, config Config) (*Issuer, error) {
	block, err := aes.NewCipher(config.Sealing)
	if err != nil {
		return nil, fmt.Errorf("keys of the token endpoint: %w", err)
	}
	sealing, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("keys of the token endpoint: %w", err)
	}
	i := &Issuer{config: config, sealing: sealing}
	return i, i.Refresh(ctx)
}

// Refresh takes over what other processes have saved, and makes the next key when its
// time has come. It is to be called every few minutes at least.
func (i *Issuer) Refresh(ctx context.Context) error {
	saved, err := i.config.Load(ctx)
	if err != nil {
		return fmt.Errorf("read the keys of the token endpoint: %w", err)
	}
	keys, err := i.open(saved)
	if err != nil {
		return err
	}
	if _, due := next(keys, i.config.Now()); due {
		err := i.config.Update(ctx, func(saved string) (string, error) {
			if keys, err = i.open(saved); err != nil {
				return "", err
			}
			made, due := next(keys, i.config.Now()) // unless another process has, meanwhile
			if !due {
				return saved, nil
			}
			if keys, err = made(); err != nil {
				return "", err
			}
			return i.seal(keys)
		})
		if err != nil {
			return fmt.Errorf("save the keys of the token endpoint: %w", err)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
	return nil
}

// next says whether keys have to be changed, and how.
func next(keys []key, now time.Time) (change func() ([]key, error), due bool) {
	var kept, ahead []key
	for _, k := range keys {
		if k.Created.After(now.Add(farAhead)) {
			ahead = append(ahead, k)
		} else {
			kept = append(kept, k)
		}
	}
	for len(kept) > 1 && !now.Before(kept[1].From.Add(keep)) { // the next one signs for long enough
		kept = kept[1:]
	}
	from, over := now, true // the first one of all signs at once
	if n := len(kept); n > 0 {
		from = kept[n-1].From.Add(keyLife)
		over = !now.Before(from.Add(-lead))
	}
	if soonest := now.Add(lead); len(keys) > 0 && from.Before(soonest) {
		from = soonest
	}
	drop := len(ahead) > 0 && len(kept) > 0 && !now.Before(kept[0].From.Add(keep))
	if !drop { // they count as the oldest: one of them signs until another one does
		kept = append(ahead, kept...)
	}
	return func() ([]key, error) {
		if !over {
			return kept, nil
		}
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return append(kept, key{Private: jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: Algorithm, Use: "sig"}, Created: now, From: from}), nil
	}, over || drop
}

func (i *Issuer) seal(keys []key) (string, error) {
	text, err := json.Marshal(keys)
	if err != nil {
		return "", fmt.Errorf("write keys: %w", err)
	}
	return base64.StdEncoding.EncodeToString(i.sealing.Seal(nil, nil, text, []byte(Name))), nil
}

func (i *Issuer) open(saved string) ([]key, error) {
	if saved == "" {
		return nil, nil
	}
	sealed, err := base64.StdEncoding.DecodeString(saved)
	if err != nil {
		return nil, fmt.Errorf("keys of the token endpoint are damaged: %w", err)
	}
	text, err := i.sealing.Open(nil, nil, sealed, []byte(Name))
	if err != nil {
		return nil, errors.New("keys of the token endpoint cannot be opened: they were sealed with another seed, or are damaged")
	}
	var keys []key
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("keys of the token endpoint are damaged: %w", err)
	}
	return keys, nil
}

// Claims say for whom a token is.
type Claims struct {
	// Environment is the one whose gateways take it, ClientID who it is for, and Secret
	// the number of the one that was proved.
	Environment, ClientID string
	Secret                int
	// NotAfter ends the token before its Life does; zero does not.
	NotAfter time.Time
}

// Issue signs a token (RFC 9068), and returns it with how long it is good.
func (i *Issuer) Issue(c Claims) (string, time.Duration, error) {
	now := i.config.Now()
	i.mu.Lock()
	var with *key
	for n := range i.keys {
		if k := &i.keys[n]; with == nil || !now.Before(k.From) {
			with = k
		}
	}
	i.mu.Unlock()
	if with == nil {
		return "", 0, errors.New("bug: the token endpoint has no keys")
	}
	life := Life
	if !c.NotAfter.IsZero() {
		life = min(life, c.NotAfter.Sub(now))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: Algorithm, Key: with.Private}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", 0, fmt.Errorf("sign a token: %w", err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: Name, Subject: c.ClientID, Audience: jwt.Audience{c.Environment}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Claims(map[string]any{"client_id": c.ClientID, SecretClaim: c.Secret}).Serialize()
	if err != nil {
		return "", 0, fmt.Errorf("sign a token: %w", err)
	}
	return text, life.Truncate(time.Second), nil
}

// KeySet returns the public keys as a JSON Web Key Set (RFC 7517), those that do not
// sign yet among them.
func (i *Issuer) KeySet() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Private.Public())
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("write the key set: %w", err)
	}
	return text, nil
}
