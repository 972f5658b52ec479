package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// maxTold bounds what is kept of an address, or of what a client calls itself, in bytes.
const maxTold = 256

// Believed returns those uses that a gateway can have seen: of credentials of its own
// environment, with secrets that gateways know, and not later than now. What else it
// tells, being broken or somebody else's, is nothing to keep.
func (p *Plane) Believed(gateway string, uses []Use) []Use {
	m, now := p.Model(), p.now()
	self := m.Get(resource.Key{Kind: resource.KindGateway, Name: gateway})
	if self == nil {
		return nil
	}
	var out []Use
	for _, u := range uses {
		r := m.Get(resource.Key{Kind: resource.KindCredential, Name: u.Credential})
		if r == nil || r.Document.Meta().Environment != self.Document.Meta().Environment {
			continue
		}
		if u.Secret != 0 && !slices.ContainsFunc(m.Verifiers(u.Credential), func(v grant.Verifier) bool { return v.Secret == u.Secret }) {
			continue
		}
		if u.Time.After(now) {
			u.Time = now
		}
		u.Gateway, u.Address, u.Software = gateway, clip(u.Address), clip(u.Software)
		out = append(out, u)
	}
	return out
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxTold)], "") }

// Used writes down logins with credentials that gateways tell of. It is no change of
// a document, and nobody's act. What is told again changes nothing.
func (p *Plane) Used(ctx context.Context, uses []Use) error {
	const turn = 500 // changes do not wait long
	for page := range slices.Chunk(uses, turn) {
		err := p.store.Write(ctx, func(w Writer) error {
			for _, u := range page {
				if err := w.PutUse(u); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write down logins: %w", err)
		}
	}
	return nil
}
