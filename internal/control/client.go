package control

import (
	"slices"
	"time"

	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/control/token"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// client is who asks for a token.
type client struct{ environment, id string }

// client returns the credential of a client of the token endpoint, or nil.
func (m *Model) client(c client) *resource.Credential {
	m.makeClients.Do(func() {
		m.clients = map[client]*resource.Credential{}
		for _, d := range m.set.Credentials {
			if d.Spec.OwnTokens() {
				m.clients[client{d.Metadata.Environment, d.Spec.ClientID}] = d
			}
		}
	})
	return m.clients[c]
}

// nobodysSecret stands for the secret of a client that is not there.
var nobodysSecret = grant.Verifier{Mechanism: sasl.OAuthBearer, Salt: make([]byte, 16), StoredKey: make([]byte, 32)}

// Client returns what a token says of a client that proves its secret. An unknown one,
// and a wrong secret, are told alike, and take as long; why a secret or credential does
// not count any more is told to whoever proves it. Errors are of kind fault.Denied.
func (p *Plane) Client(environment, clientID, secret string) (token.Claims, error) {
	m, now := p.Model(), p.now()
	d := m.client(client{environment, clientID})
	var of [][]grant.Verifier
	if d != nil {
		for _, v := range m.proofs[d.Name()].clients {
			of = append(of, []grant.Verifier{v})
		}
	}
	known := len(of)
	for len(of) < sasl.MaxSecrets {
		of = append(of, []grant.Verifier{nobodysSecret})
	}
	i := publish.Proves(secret, of)
	if i < 0 || i >= known {
		return token.Claims{}, fault.New(fault.Denied, "unknown client or wrong secret")
	}
	v, end := of[i][0], endOf(d)
	switch state := stateOf(d); {
	case state == lifecycle.Revoked:
		return token.Claims{}, fault.New(fault.Denied, "the credential was revoked")
	case state == lifecycle.Expired || !end.IsZero() && !now.Before(end):
		return token.Claims{}, fault.New(fault.Denied, "the credential has expired")
	case !v.NotAfter.IsZero() && !now.Before(v.NotAfter):
		return token.Claims{}, fault.New(fault.Denied, "the secret was replaced by another one, and ended at %s", v.NotAfter.UTC().Format(time.RFC3339))
	}
	ends := slices.DeleteFunc([]time.Time{end, v.NotAfter}, time.Time.IsZero)
	c := token.Claims{Environment: environment, ClientID: clientID, Secret: v.Secret}
	if len(ends) > 0 {
		c.NotAfter = slices.MinFunc(ends, time.Time.Compare)
	}
	return c, nil
}
