package handler

import (
	"crypto/rand"
	"encoding/base32"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/grant"
	"sluice/internal/usage"
)

// Conn is what handlers remember of one client connection. Its exported fields
// are set before the first request and not changed afterwards. Safe for
// concurrent use.
type Conn struct {
	Cluster   Cluster
	Addresses Addresses
	Limits    Limits
	Metrics   *Metrics
	Log       *slog.Logger
	// Reservations are shared by all connections of a gateway.
	Reservations *Reservations
	// Telemetry takes the metrics that clients push; nil where it is off. Shared
	// by all connections of a gateway.
	Telemetry *clientmetrics.Collector
	// Refused is told of each refusal that has an id of its own; it may be nil.
	Refused func(usage.Refusal)
	// Current returns the grant as it is now, which may be newer than the one
	// an exchange has pinned.
	Current func() *grant.Grant

	mu           sync.Mutex // guards the fields below
	sessions     map[int32]*fetchSession
	remembered   int           // partitions in sessions, those of share included
	share        *shareSession // 78_share_session.go
	members      members       // of consumer groups
	shareMembers members
	memberBytes  int                          // of both
	waiting      map[memberKey]*waitingMember // of streams groups
	denied       map[string]bool              // transactional ids whose transaction may hold no partition upstream
	rejections   map[rejectionKey]*rejection
	foreigners   map[string]foreigners // by API
}

// foreigners are names that were dropped from answers since the last log line.
type foreigners struct {
	next  time.Time // no line before
	count int
}

type rejectionKey struct{ api, topic, rule string }

type rejection struct {
	id    string
	until time.Time
	count atomic.Int64
}

// One id stands for equal rejections of one connection for a minute, so that a
// client in a loop does not fill the log.
const (
	rejectionWindow = time.Minute
	maxRejections   = 256
)

// reject records a refusal and returns its id, which the log explains.
func (x *Exchange) reject(t *target, op grant.Operation) string {
	topic := t.exposed
	if topic == "" && t.virtual != (grant.TopicID{}) {
		topic = t.virtual.String()
	}
	return x.rejectNamed("topic", topic, op.String(), t.decision)
}

func (x *Exchange) rejectNamed(what, name, op string, d grant.Decision) string {
	c := x.Conn
	c.Metrics.rejected(x.api.Name, d.Verdict)
	key := rejectionKey{x.api.Name, name, d.Rule}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rejections[key]; r != nil && x.Now.Before(r.until) {
		r.count.Add(1)
		return r.id
	}
	if len(c.rejections) >= maxRejections {
		rest := rejectionKey{} // one entry stands for all the others in its window
		if r := c.rejections[rest]; r != nil && x.Now.Before(r.until) {
			r.count.Add(1)
			return r.id
		}
		maps.DeleteFunc(c.rejections, func(_ rejectionKey, r *rejection) bool { return !x.Now.Before(r.until) })
		if len(c.rejections) >= maxRejections {
			key, d.Rule = rest, "too many different rejections, of which this is the last one logged for a while; "+d.Rule
		}
	}
	if c.rejections == nil {
		c.rejections = make(map[rejectionKey]*rejection)
	}
	r := &rejection{id: RejectionID(), until: x.Now.Add(rejectionWindow)}
	c.rejections[key] = r
	if len(name) > 300 {
		name = name[:300]
	}
	x.log().Info("rejected", "rejection", r.id, what, name, "operation", op, "verdict", d.Verdict.String(), "rule", d.Rule)
	if c.Refused != nil {
		c.Refused(usage.Refusal{ID: r.id, Time: x.Now, API: x.api.Name, Operation: op, What: what, Name: name, Verdict: d.Verdict.String(), Rule: d.Rule})
	}
	return r.id
}

// RejectionID returns a new id for something that was refused.
func RejectionID() string {
	var b [5]byte
	rand.Read(b[:])
	return "R" + strings.TrimRight(base32.StdEncoding.EncodeToString(b[:]), "=")
}

// text is the message of a refusal where the protocol has room for one.
func text(d grant.Decision, id string) *string {
	m := d.Message
	if m == "" {
		m = "not granted"
	}
	m += " (rejection " + id + ")"
	return &m
}

// foreign records that the broker's answer held something that is not the
// application's. It never reaches the client. A client can cause that, so the
// log has one line a minute for each API, with the number dropped since the
// last one.
func (c *Conn) foreign(x *Exchange, what string) {
	c.Metrics.foreign(x.api.Name)
	c.mu.Lock()
	f := c.foreigners[x.api.Name]
	f.count++
	due := !x.Now.Before(f.next)
	dropped := f.count
	if due {
		f = foreigners{next: x.Now.Add(foreignersWindow)}
	}
	if c.foreigners == nil {
		c.foreigners = make(map[string]foreigners)
	}
	c.foreigners[x.api.Name] = f
	c.mu.Unlock()
	if due {
		x.log().Warn("dropped from brokers' answers: not the application's", "what", what, "count", dropped)
	}
}

const foreignersWindow = time.Minute
