package gateway

import (
	"fmt"
	"net"
	"net/netip"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
)

// Connections from within this process. Who acts is the caller's word, which no client on
// a network can give: there is no socket to reach them by. All the rest is as for any
// other connection, from the grant that is pinned for each request to the drain at the
// end. Only what holds strangers back is not asked.

// insideDomain is where such a connection finds brokers: b3.inside is the one with node
// id 3. It exists in answers of the gateway and nowhere else.
const insideDomain = "inside"

// InsideBootstrap is the address that [Gateway.Dial] takes for any broker.
const InsideBootstrap = "bootstrap." + insideDomain + ":9092"

// mechanismInside stands where others have how they logged in.
const mechanismInside = "INSIDE"

// DialError is why there is no connection from within this process.
type DialError struct {
	// Full: there is no room now. Otherwise the credential is not there, or has ended.
	Full bool
	// Reason is in words for whoever wanted the connection.
	Reason string
}

func (e *DialError) Error() string { return e.Reason }

// newInside returns the listener without a socket.
func newInside(g *Gateway) *listener {
	return &listener{g: g, config: ListenerConfig{Name: insideDomain}, addressing: &hostAddressing{domain: insideDomain, port: 9092}}
}

// Dial returns a connection that has logged in as a credential of the snapshot in force,
// usually one of method [grant.Inside]. Address is InsideBootstrap, or what the gateway
// advertises on such a connection. When the credential is gone, revoked or expired, the
// connection ends within a second. The error is a *DialError for a credential that is not
// there or does not count, and when there is no room.
func (g *Gateway) Dial(who grant.Key, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connect to the gateway in this process: address %q: %w", address, err)
	}
	if _, err := g.acting(who); err != nil {
		return nil, err
	}
	// Measured: as fast as a pair of sockets for small answers, eight times as fast for large
	// ones, which are copied once; and it takes no descriptors.
	client, server := net.Pipe()
	c := newClientConn(g.inside, server, netip.Addr{}, 0)
	c.log = g.log.With("client", insideDomain)
	c.inside, c.serverName = &who, host
	if g.inside.addressing.node(0, host) == upstream.AnyNode && address != InsideBootstrap {
		err = fmt.Errorf("connect to the gateway in this process: %q is not an address of its own", address)
	} else if full := g.admit(c); full != nil {
		err = &DialError{Full: true, Reason: fmt.Sprintf("the gateway has no room for another connection: %v", full)}
	}
	if err != nil {
		server.Close()
		client.Close()
		return nil, err
	}
	go c.run()
	return client, nil
}

// acting returns a credential that may be used now.
func (g *Gateway) acting(who grant.Key) (*grant.Credential, error) {
	cred := g.Snapshot().Lookup(who.Method, who.Identity)
	if cred == nil {
		return nil, &DialError{Reason: fmt.Sprintf("the gateway knows nothing that %q may do here", who.Identity)}
	}
	if why := cred.Usable(g.deps.Now()); why != "" {
		return nil, &DialError{Reason: why}
	}
	return cred, nil
}

// enter is the login of a connection from within.
func (c *clientConn) enter() error {
	cred, err := c.g.acting(*c.inside)
	if err != nil { // it ended between the dial and now
		return endedBy("gateway", "%w", err)
	}
	return c.admitted(cred, sasl.Identity{Mechanism: mechanismInside})
}
