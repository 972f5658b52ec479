package gateway

import (
	"cmp"
	"slices"
	"time"
)

// Connection is what is known of a client's connection after its login.
type Connection struct {
	// Credential is its name; for one from within this process, grant.Inside and whom it
	// acts as.
	Credential string
	// Software is what the client calls itself, ClientID its client.id; empty as long as it
	// said nothing, or, of ClientID, as nothing went to a broker.
	Software, ClientID string
	// Address is where the client is, empty within this process; Listener where it came in.
	Address, Listener string
	// Inside says that it is this process's own.
	Inside bool
	Since  time.Time
	// SentBytes are those of answers.
	SentBytes int64
}

// ConnectionsOf returns those of an application that have logged in, the oldest first.
func (g *Gateway) ConnectionsOf(application string) []Connection {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.applications[application]
	if a == nil {
		return nil
	}
	out := make([]Connection, 0, len(a.conns))
	for c, since := range a.conns {
		one := Connection{Credential: c.credential.Load().Name, Listener: c.l.config.Name, Inside: c.inside != nil, Since: since, SentBytes: c.sent.Load()}
		if !one.Inside {
			one.Address = c.address.String()
		}
		if s := c.software.Load(); s != nil {
			one.Software = *s
		}
		if s := c.named.Load(); s != nil {
			one.ClientID = *s
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Connection) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Credential, b.Credential))
	})
	return out
}
