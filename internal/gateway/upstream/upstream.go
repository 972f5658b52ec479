// Package upstream connects the gateway to target clusters: it dials brokers
// and logs in to them, and it knows which brokers, versions and topic ids a
// cluster has.
//
// Its main type is [Cluster]: one per target cluster, kept fresh by its Run
// over a single admin connection. [Cluster.Dial] hands out a [Conn] for one
// client connection; nothing is ever pooled between clients. [Diagnose] tells
// in words what is wrong with a configuration.
//
// A broker is trusted with records, not with our memory: every answer passes
// the structural check of package wire before it is decoded, declared sizes
// never allocate, and every read has a deadline.
//
// The package must not know of exposed topics, applications, grants' rights
// or limits: it speaks of backing topics and physical brokers only, and what
// it returns must not reach a client unmapped.
package upstream

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
)

// Config is what a Cluster needs to know of a target cluster.
type Config struct {
	// Name of the target cluster, for logs and errors.
	Name string
	// Bootstrap lists "host:port" of some brokers, or of something that
	// forwards to one, in order of preference.
	Bootstrap []string
	// TLS is nil for plaintext. The server name is that of the host dialled
	// unless ServerName is set here; the Config is cloned.
	TLS *tls.Config
	// SASL returns the mechanism to log in with; nil, or a nil mechanism,
	// means no login. It is called for every login, so that it can read
	// secrets and tokens again, and must be safe for concurrent use.
	SASL func(ctx context.Context) (sasl.Mechanism, error)
	// Users knows who applications are at the cluster; nil means that all of them go by
	// SASL.
	Users Users
	// ClientID of the gateway's own connections; "sluice" if empty.
	ClientID string
	// SoftwareVersion is told to brokers along with the name "sluice"
	// (KIP-511); "0" if empty.
	SoftwareVersion string
	// DialTimeout bounds everything from resolving a name to the end of the
	// login; 10 s if zero.
	DialTimeout time.Duration
	// RequestTimeout bounds one request of the gateway's own; 15 s if zero.
	RequestTimeout time.Duration
	// RefreshEvery is how often brokers, features and topics are looked at,
	// jittered by a tenth; 10 s if zero.
	RefreshEvery time.Duration
	// Log may be nil.
	Log *slog.Logger
	// Dial opens a TCP connection; nil means a net.Dialer with keepalive,
	// and TCP_USER_TIMEOUT where there is one.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c Config) withDefaults() Config {
	setDefault(&c.ClientID, "sluice")
	setDefault(&c.SoftwareVersion, "0")
	setDefault(&c.DialTimeout, 10*time.Second)
	setDefault(&c.RequestTimeout, 15*time.Second)
	setDefault(&c.RefreshEvery, 10*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		d := &net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
			Control:         setUserTimeout,
		}
		c.Dial = d.DialContext
	}
	return c
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// userTimeout is how long sent bytes may stay unacknowledged before the
// connection counts as dead.
const userTimeout = 30 * time.Second

// AnyNode stands for whichever broker answers.
const AnyNode int32 = -1

// Broker is one broker as its cluster advertises it.
type Broker struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   string
}

// Range is a range of versions, both ends included.
type Range struct{ Min, Max int16 }

// Topic is one topic of the target cluster.
type Topic struct {
	Name       string
	ID         [16]byte // zero where the cluster has no topic ids
	Partitions int
	Internal   bool
}
