// Package grant is the contract that goes down from the control plane to the
// gateway: for one credential, which exposed topics exist, where they really
// are, and what may be done with them. Its main types are Snapshot, the
// immutable whole, and Grant, one credential's view. It knows nothing of
// products, plans, prices, sockets or frames, and imports nothing of ours.
package grant

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Method is a way to prove who one is.
type Method string

// The methods a plan may admit.
const (
	Plain Method = "plain" // SASL PLAIN
	Scram Method = "scram" // SASL SCRAM-SHA-256 and -512
	OAuth Method = "oauth" // SASL OAUTHBEARER
	MTLS  Method = "mtls"  // a client certificate
	// Inside is how the gateway's own process acts as an application: there is nothing to
	// prove, and no connection from a network can name it. The identity is the
	// application's name.
	Inside Method = "inside"
)

// Verifier is what is stored in place of a secret. Its fields are those of
// sasl.Verifier, and when it ends; this package knows nothing of how they come
// about. Of oauth it has no keys, and says which secrets of the client count.
type Verifier struct {
	Mechanism  string `json:"mechanism"`
	Salt       []byte `json:"salt,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	StoredKey  []byte `json:"storedKey,omitempty"`
	ServerKey  []byte `json:"serverKey,omitempty"`
	// Secret tells the secrets of credentials apart, also of one that had the name
	// before; 0 where they are not counted.
	Secret int `json:"secret,omitempty"`
	// NotAfter ends the secret, and the connections that logged in with it; zero means
	// no end. One that has ended stays for as long as whoever proves it is to be told.
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Credential is one way into one virtual cluster.
type Credential struct {
	// Name is the credential's name, the principal in logs.
	Name   string `json:"name"`
	Method Method `json:"method"`
	// Identity is what the method proves: the client id of plain and scram;
	// "issuer|subject" for oauth; "dns:…", "uri:…" or "email:…", one exact
	// subject alternative name, or "sha256:…", the digest of a public key, for mtls.
	Identity string `json:"identity"`
	// Verifiers are those of the newest secret, then those of the one before.
	Verifiers []Verifier `json:"verifiers,omitempty"`
	// NotAfter ends the credential; zero means no end.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Revoked is the message for a client that proves a revoked credential.
	Revoked string `json:"revoked,omitempty"`
	Grant   *Grant `json:"grant"`
}

// Usable returns "" for a credential that may log in at a moment, otherwise
// the reason in words for the customer.
func (c *Credential) Usable(now time.Time) string {
	switch {
	case c.Revoked != "":
		return c.Revoked
	case !c.NotAfter.IsZero() && !now.Before(c.NotAfter):
		return "the credential expired at " + c.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

// SecretEnd returns when a secret of the credential ends, the zero time for never;
// false when the credential does not know it any more.
func (c *Credential) SecretEnd(secret int) (time.Time, bool) {
	for i := range c.Verifiers {
		if c.Verifiers[i].Secret == secret {
			return c.Verifiers[i].NotAfter, true
		}
	}
	return time.Time{}, secret == 0
}

// SecretUsable is Usable for whoever proved one of the credential's secrets.
func (c *Credential) SecretUsable(secret int, now time.Time) string {
	if why := c.Usable(now); why != "" {
		return why
	}
	switch end, known := c.SecretEnd(secret); {
	case !known:
		return "the secret was replaced by another one"
	case !end.IsZero() && !now.Before(end):
		return "the secret was replaced by another one, and ended at " + end.UTC().Format(time.RFC3339)
	}
	return ""
}

// Namespace is the part of a virtual cluster in which an application creates
// and deletes topics of its own. Zero counts mean that there is none.
type Namespace struct {
	Topics     int `json:"topics,omitempty"`
	Partitions int `json:"partitions,omitempty"`
	// Suspended names the rule that suspends the application's own topics, ""
	// while there is none.
	Suspended string `json:"suspended,omitempty"`
}

// Quota is what a target cluster that knows applications apart holds an application to,
// besides the gateway. Zero means no limit.
type Quota struct {
	ReadBytesPerSecond  int64 `json:"readBytesPerSecond,omitempty"`
	WriteBytesPerSecond int64 `json:"writeBytesPerSecond,omitempty"`
}

// Grant is what one credential may do: a view of the application's virtual
// cluster. A Grant is immutable once its Snapshot is built, and safe for
// concurrent use.
type Grant struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
	// Cluster names the target cluster; clients never see it.
	Cluster string `json:"cluster"`
	// VirtualClusterID is the cluster id that clients see.
	VirtualClusterID string `json:"virtualClusterId"`
	// Prefix stands before the names of the application's own groups,
	// transactional ids and topics on the target cluster: "t", twelve opaque
	// characters of base32 (a-z 2-7), ".". It never holds a name that somebody
	// chose.
	Prefix string `json:"prefix"`
	// IDKey turns the ids of the application's own topics into virtual ones.
	IDKey     TopicID   `json:"idKey"`
	Topics    []*Topic  `json:"topics,omitempty"`
	Namespace Namespace `json:"namespace,omitzero"`
	// Quota is the whole application's, whatever the credential brings.
	Quota Quota `json:"quota,omitzero"`
	// Groups and TransactionalIDs that the application has adopted are used
	// unprefixed. None begins like a prefix, its own or another application's.
	Groups           []string `json:"adoptedGroups,omitempty"`
	TransactionalIDs []string `json:"adoptedTransactionalIds,omitempty"`

	ordered   []*Topic // by exposed name
	byExposed map[string]*Topic
	byBacking map[string]*Topic
	byID      map[TopicID]*Topic
	groups    map[string]bool
	txnIDs    map[string]bool
	idCipher  cipher.Block
	changes   []time.Time // moments at which a decision may change, in order
}

// build prepares the lookups. It reports what would make them ambiguous.
func (g *Grant) build() error {
	if g.idCipher != nil { // shared with an earlier snapshot
		return nil
	}
	if len(g.Prefix) != PrefixLength || !BeginsLikePrefix(g.Prefix) {
		return fmt.Errorf("grant of application %q: prefix %q is not t, 12 characters of a-z 2-7 and a dot", g.Application, g.Prefix)
	}
	g.byExposed = make(map[string]*Topic, len(g.Topics))
	g.byBacking = make(map[string]*Topic, len(g.Topics))
	g.byID = make(map[TopicID]*Topic, len(g.Topics))
	for _, t := range g.Topics {
		if t == nil {
			return fmt.Errorf("grant of application %q: a topic without content", g.Application)
		}
		if strings.HasPrefix(t.Backing, g.Prefix) { // an exposed name that nobody granted would lead to it
			return fmt.Errorf("grant of application %q: backing topic %q begins with the application's own prefix", g.Application, t.Backing)
		}
		if g.byExposed[t.Exposed] != nil {
			return fmt.Errorf("grant of application %q: topic %q twice", g.Application, t.Exposed)
		}
		if other := g.byBacking[t.Backing]; other != nil {
			return fmt.Errorf("grant of application %q: topics %q and %q have one backing topic", g.Application, other.Exposed, t.Exposed)
		}
		if t.ID == (TopicID{}) || g.byID[t.ID] != nil {
			return fmt.Errorf("grant of application %q: topic %q has no id of its own", g.Application, t.Exposed)
		}
		g.byExposed[t.Exposed], g.byBacking[t.Backing], g.byID[t.ID] = t, t, t
	}
	byName := func(a, b *Topic) int { return strings.Compare(a.Exposed, b.Exposed) }
	if g.ordered = g.Topics; !slices.IsSortedFunc(g.ordered, byName) {
		g.ordered = slices.SortedFunc(slices.Values(g.Topics), byName)
	}
	for _, name := range slices.Concat(g.Groups, g.TransactionalIDs) {
		if BeginsLikePrefix(name) { // two exposed names would lead to it, or it is another application's
			return fmt.Errorf("grant of application %q: adopted name %q begins like an application's prefix", g.Application, name)
		}
	}
	for _, t := range g.Topics {
		for at := t.NextChange(time.Time{}); !at.IsZero(); at = t.NextChange(at) {
			g.changes = append(g.changes, at)
		}
	}
	slices.SortFunc(g.changes, time.Time.Compare)
	g.changes = slices.CompactFunc(g.changes, time.Time.Equal)
	g.groups, g.txnIDs = set(g.Groups), set(g.TransactionalIDs)
	block, err := aes.NewCipher(g.IDKey[:])
	if err != nil {
		return fmt.Errorf("grant of application %q: %w", g.Application, err)
	}
	g.idCipher = block
	return nil
}

func set(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// PrefixLength is the length of Grant.Prefix in bytes.
const PrefixLength = 14

// BeginsLikePrefix reports whether a physical name begins as the names that
// belong to some application do, whichever it is: see [Grant.Prefix].
func BeginsLikePrefix(name string) bool {
	if len(name) < PrefixLength || name[0] != 't' || name[PrefixLength-1] != '.' {
		return false
	}
	for _, c := range []byte(name[1 : PrefixLength-1]) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// MaxTopicName is the longest name Kafka gives a topic, in bytes.
const MaxTopicName = 249

// Topic returns the granted topic with an exposed name, or nil.
func (g *Grant) Topic(exposed string) *Topic { return g.byExposed[exposed] }

// TopicNamed is [Grant.Topic] for a name as it lies in a request.
func (g *Grant) TopicNamed(exposed []byte) *Topic { return g.byExposed[string(exposed)] }

// TopicsFrom yields the granted topics whose exposed names are not before a
// name, in the order of their names.
func (g *Grant) TopicsFrom(exposed string) iter.Seq[*Topic] {
	from, _ := slices.BinarySearchFunc(g.ordered, exposed, func(t *Topic, name string) int { return strings.Compare(t.Exposed, name) })
	return slices.Values(g.ordered[from:])
}

// TopicByID returns the granted topic with a virtual id, or nil.
func (g *Grant) TopicByID(id TopicID) *Topic { return g.byID[id] }

// TopicByBacking returns the granted topic with a backing name, or nil.
func (g *Grant) TopicByBacking(backing string) *Topic { return g.byBacking[backing] }

// HasNamespace reports whether the application owns topics of its own.
func (g *Grant) HasNamespace() bool { return g.Namespace.Topics > 0 }

// OwnTopic returns the name on the target cluster of a topic in the
// application's namespace; false when there is no namespace, the name belongs
// to a granted topic, or it is not a legal one.
func (g *Grant) OwnTopic(exposed string) (backing string, ok bool) {
	if !g.HasNamespace() || g.byExposed[exposed] != nil || !LegalTopicName(exposed) || len(exposed) > MaxTopicName-PrefixLength || Internal(exposed) {
		return "", false
	}
	return g.Prefix + exposed, true
}

// DecideOwn is Topic.Decide for a topic of the application's namespace, on which
// it has every right as long as it is not suspended.
func (g *Grant) DecideOwn(op Operation) Decision {
	if g.Namespace.Suspended == "" || op == Describe || op == List {
		return Decision{Verdict: Allow}
	}
	d := Decision{Verdict: RefusePolicy, Rule: g.Namespace.Suspended, Message: "the application is suspended"}
	if op == Read {
		d.Verdict = Withhold
	}
	return d
}

// OwnTopicExposed undoes OwnTopic.
func (g *Grant) OwnTopicExposed(backing string) (exposed string, ok bool) {
	rest, found := strings.CutPrefix(backing, g.Prefix)
	if !found {
		return "", false
	}
	if again, ok := g.OwnTopic(rest); !ok || again != backing {
		return "", false
	}
	return rest, true
}

// VirtualID turns the id of one of the application's own topics into the one
// clients see. It is a keyed permutation: nothing has to be remembered, and
// nobody without the key can name another topic.
func (g *Grant) VirtualID(physical TopicID) (virtual TopicID) {
	g.idCipher.Encrypt(virtual[:], physical[:])
	return virtual
}

// PhysicalID undoes VirtualID.
func (g *Grant) PhysicalID(virtual TopicID) (physical TopicID) {
	g.idCipher.Decrypt(physical[:], virtual[:])
	return physical
}

// Group returns the name of a consumer group on the target cluster.
func (g *Grant) Group(exposed string) string { return prefixed(g.Prefix, g.groups, exposed) }

// GroupExposed returns the name that clients see of a group on the target
// cluster; false for a group that is not the application's.
func (g *Grant) GroupExposed(physical string) (string, bool) {
	return unprefixed(g.Prefix, g.groups, physical)
}

// TransactionalID returns a transactional id as the target cluster knows it.
func (g *Grant) TransactionalID(exposed string) string { return prefixed(g.Prefix, g.txnIDs, exposed) }

// TransactionalIDExposed undoes TransactionalID; false for a foreign one.
func (g *Grant) TransactionalIDExposed(physical string) (string, bool) {
	return unprefixed(g.Prefix, g.txnIDs, physical)
}

func prefixed(prefix string, adopted map[string]bool, exposed string) string {
	if adopted[exposed] {
		return exposed
	}
	return prefix + exposed
}

func unprefixed(prefix string, adopted map[string]bool, physical string) (string, bool) {
	if adopted[physical] {
		return physical, true
	}
	exposed, ok := strings.CutPrefix(physical, prefix)
	if !ok || adopted[exposed] { // an adopted name hides the prefixed one
		return "", false
	}
	return exposed, true
}

// EmbeddedTopic maps a topic name that stands in the opaque bytes of a group
// (subscriptions, assignments) to the target cluster. Every name maps, foreign
// ones into the application's prefix, so that nothing that a client writes
// there can meet another tenant's name.
func (g *Grant) EmbeddedTopic(exposed string) string {
	if t := g.byExposed[exposed]; t != nil {
		return t.Backing
	}
	return g.Prefix + exposed
}

// EmbeddedTopicExposed undoes EmbeddedTopic; false for a name that no client of
// the application wrote.
func (g *Grant) EmbeddedTopicExposed(physical string) (string, bool) {
	if t := g.byBacking[physical]; t != nil {
		return t.Exposed, true
	}
	exposed, ok := strings.CutPrefix(physical, g.Prefix)
	if !ok || g.byExposed[exposed] != nil {
		return "", false
	}
	return exposed, true
}

// LegalTopicName reports whether Kafka would accept a topic name.
func LegalTopicName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > MaxTopicName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Internal reports whether a name is one of Kafka's own topics.
func Internal(topic string) bool { return strings.HasPrefix(topic, "__") }

// NextChange returns the first moment after now at which a decision of the
// grant may change by itself, or the zero time.
func (g *Grant) NextChange(now time.Time) time.Time {
	i, found := slices.BinarySearchFunc(g.changes, now, time.Time.Compare)
	if found {
		i++
	}
	if i == len(g.changes) {
		return time.Time{}
	}
	return g.changes[i]
}
