package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/token"
	"sluice/internal/kafka/sasl"
)

// tokenKeysNote is where the store has the keys of the token endpoint, sealed.
const tokenKeysNote = "token-keys"

// newIssuer makes what signs the tokens of the control plane's token endpoint.
func newIssuer(ctx context.Context, store control.Store, seed []byte, now func() time.Time) (*token.Issuer, error) {
	sealing, err := hkdf.Key(sha256.New, seed, nil, "sluice token keys", 32)
	if err != nil {
		return nil, err
	}
	return token.New(ctx, token.Config{
		Sealing: sealing, Now: now,
		Load: func(ctx context.Context) (saved string, err error) {
			err = store.Read(ctx, func(r control.Reader) error {
				saved, err = r.Note(tokenKeysNote)
				return err
			})
			return saved, err
		},
		Update: func(ctx context.Context, f func(string) (string, error)) error {
			return store.Write(ctx, func(w control.Writer) error {
				saved, err := w.Note(tokenKeysNote)
				if err != nil {
					return err
				}
				next, err := f(saved)
				if err != nil || next == saved {
					return err
				}
				return w.PutNote(tokenKeysNote, next)
			})
		},
	})
}

// ownIssuer is the control plane's token endpoint as gateways of an environment trust
// it.
func ownIssuer(environment string, keys func() ([]byte, error)) sasl.Issuer {
	return sasl.Issuer{
		Issuer: token.Name, Audience: []string{environment}, Algorithms: []string{token.Algorithm}, SecretClaim: token.SecretClaim,
		Keys: sasl.KeySource{Own: keys},
	}
}

// refreshTokensEvery is how often the keys of the token endpoint are looked at.
const refreshTokensEvery = time.Minute

// refreshTokens follows the keys of other processes, and makes new ones in time.
func (m *management) refreshTokens(ctx context.Context) {
	each(ctx, refreshTokensEvery, func() {
		if err := m.tokens.Refresh(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("the keys of the token endpoint stay as they are", "err", err)
		}
	})
}
