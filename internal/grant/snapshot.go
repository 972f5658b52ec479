package grant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Number orders snapshots. A restored control plane raises Generation; N counts
// changes within one.
type Number struct {
	Generation uint64 `json:"generation"`
	N          uint64 `json:"n"`
}

// Compare returns -1, 0 or +1 as n is before, equal to or after o.
func (n Number) Compare(o Number) int {
	switch {
	case n == o:
		return 0
	case n.Generation < o.Generation || n.Generation == o.Generation && n.N < o.N:
		return -1
	}
	return 1
}

func (n Number) String() string { return fmt.Sprintf("%d.%d", n.Generation, n.N) }

// Key is what a login looks up: a method and what it proved.
type Key struct {
	Method   Method
	Identity string
}

// Key returns the key under which a snapshot holds the credential.
func (c *Credential) Key() Key { return Key{c.Method, c.Identity} }

// Snapshot is every credential of one environment with its grant, at one
// number. It is immutable and safe for concurrent use; a change makes a new one
// that shares what did not change.
type Snapshot struct {
	number      Number
	environment string
	shards      [shardCount]map[Key]*Credential
	count       int
}

// Credentials are spread over shards, so that a delta copies one shard and not
// the whole: one application's change costs what that application weighs.
const shardCount = 1024

var shardSeed = maphash.MakeSeed()

func shardOf(k Key) int {
	return int(maphash.Comparable(shardSeed, k) % shardCount)
}

// New builds a snapshot. It takes the credentials over; they must not be
// changed afterwards. An error names the credential that is ambiguous.
func New(environment string, number Number, credentials []*Credential) (*Snapshot, error) {
	return (&Snapshot{environment: environment}).with(number, credentials, nil)
}

// Delta is the step from one number to the next.
type Delta struct {
	From   Number        `json:"from"`
	To     Number        `json:"to"`
	Put    []*Credential `json:"put,omitempty"`
	Remove []Key         `json:"remove,omitempty"`
}

// Apply returns the snapshot after a delta; the old one stays as it is. A delta
// that does not start at the snapshot's number is refused: its reader asks for
// a full snapshot.
func (s *Snapshot) Apply(d Delta) (*Snapshot, error) {
	if d.From != s.number {
		return nil, fmt.Errorf("delta starts at %v, the snapshot is at %v", d.From, s.number)
	}
	if d.To.Compare(d.From) <= 0 {
		return nil, fmt.Errorf("delta from %v to %v does not go forward", d.From, d.To)
	}
	return s.with(d.To, d.Put, d.Remove)
}

// with returns a copy at a number, with credentials put and removed.
func (s *Snapshot) with(number Number, put []*Credential, remove []Key) (*Snapshot, error) {
	next := *s
	next.number = number
	own := map[int]bool{}
	shard := func(k Key) map[Key]*Credential {
		i := shardOf(k)
		if !own[i] {
			own[i] = true
			next.shards[i] = maps.Clone(next.shards[i])
			if next.shards[i] == nil {
				next.shards[i] = make(map[Key]*Credential, len(put)/shardCount)
			}
		}
		return next.shards[i]
	}
	for _, k := range remove {
		m := shard(k)
		if m[k] == nil {
			return nil, fmt.Errorf("remove %s credential %q: not in snapshot %v", k.Method, k.Identity, s.number)
		}
		delete(m, k)
		next.count--
	}
	seen := make(map[Key]bool, len(put))
	built := map[*Grant]bool{}
	for _, c := range put {
		if c == nil {
			return nil, fmt.Errorf("a credential without content")
		}
		k := c.Key()
		if seen[k] {
			return nil, sameIdentity(c)
		}
		seen[k] = true
		if c.Grant == nil {
			return nil, fmt.Errorf("credential %q has no grant", c.Name)
		}
		if !built[c.Grant] {
			if err := c.Grant.build(); err != nil {
				return nil, err
			}
			built[c.Grant] = true
		}
		m := shard(k)
		if m[k] == nil {
			next.count++
		}
		m[k] = c
	}
	return &next, nil
}

// Number returns where the snapshot stands.
func (s *Snapshot) Number() Number { return s.number }

// Environment returns the environment the snapshot is of.
func (s *Snapshot) Environment() string { return s.environment }

// Len returns the count of credentials.
func (s *Snapshot) Len() int { return s.count }

// Lookup returns the credential of an identity, or nil.
func (s *Snapshot) Lookup(method Method, identity string) *Credential {
	k := Key{method, identity}
	return s.shards[shardOf(k)][k]
}

// All yields every credential, in no order.
func (s *Snapshot) All() iter.Seq[*Credential] {
	return func(yield func(*Credential) bool) {
		for i := range s.shards {
			for _, c := range s.shards[i] {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Grants yields every grant once, in no order, however many credentials share it.
func (s *Snapshot) Grants() iter.Seq[*Grant] {
	return func(yield func(*Grant) bool) {
		seen := make(map[*Grant]bool)
		for c := range s.All() {
			if seen[c.Grant] {
				continue
			}
			seen[c.Grant] = true
			if !yield(c.Grant) {
				return
			}
		}
	}
}

// snapshotJSON is the snapshot on disk and on its way to gateways.
type snapshotJSON struct {
	Format      int           `json:"format"`
	Number      Number        `json:"number"`
	Environment string        `json:"environment"`
	Credentials []*Credential `json:"credentials"`
}

// Format is the version of the snapshot's encoding.
const Format = 1

// MarshalJSON writes the snapshot, credentials in the order of their names.
func (s *Snapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(snapshotJSON{Format, s.number, s.environment, s.byName()})
}

// SameTopics reports whether two lists of topics say the same.
func SameTopics(a, b []*Topic) bool { return slices.EqualFunc(a, b, sameTopic) }

// byName returns every credential, in an order that does not change.
func (s *Snapshot) byName() []*Credential {
	return slices.SortedFunc(s.All(), func(a, b *Credential) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Identity, b.Identity))
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Snapshot) UnmarshalJSON(data []byte) error {
	var in snapshotJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if in.Format != Format {
		return fmt.Errorf("snapshot has format %d, this gateway reads %d", in.Format, Format)
	}
	built, err := New(in.Environment, in.Number, in.Credentials)
	if err != nil {
		return err
	}
	*s = *built
	return nil
}

// Diff returns the delta that leads from s to next. Credentials that say the
// same are left alone, so applying it keeps their identity: whoever compares
// pointers sees what changed and nothing else.
func (s *Snapshot) Diff(next *Snapshot) Delta {
	d := Delta{From: s.number, To: next.number}
	for c := range next.All() {
		if old := s.Lookup(c.Method, c.Identity); old == nil || !same(old, c) {
			d.Put = append(d.Put, c)
		}
	}
	for c := range s.All() {
		if next.Lookup(c.Method, c.Identity) == nil {
			d.Remove = append(d.Remove, c.Key())
		}
	}
	return d
}

// DeltaTo is [Snapshot.Diff] to a snapshot of these credentials that has not been
// made: what did not change is not built. An error names two credentials of one
// identity.
func (s *Snapshot) DeltaTo(to Number, credentials []*Credential) (Delta, error) {
	d := Delta{From: s.number, To: to}
	seen := make(map[Key]bool, len(credentials))
	for _, c := range credentials {
		k := c.Key()
		if seen[k] {
			return d, sameIdentity(c)
		}
		seen[k] = true
		if old := s.Lookup(c.Method, c.Identity); old == nil || !same(old, c) {
			d.Put = append(d.Put, c)
		}
	}
	for c := range s.All() {
		if !seen[c.Key()] {
			d.Remove = append(d.Remove, c.Key())
		}
	}
	return d, nil
}

func sameIdentity(c *Credential) error {
	return fmt.Errorf("credential %q: another one has the same %s identity %q", c.Name, c.Method, c.Identity)
}

// same reports whether two credentials say the same. A test sees to it that no
// field is forgotten here.
func same(a, b *Credential) bool {
	return a == b || a.Name == b.Name && a.Method == b.Method && a.Identity == b.Identity && a.NotAfter.Equal(b.NotAfter) && a.Revoked == b.Revoked &&
		slices.EqualFunc(a.Verifiers, b.Verifiers, sameVerifier) && sameGrant(a.Grant, b.Grant)
}

func sameVerifier(a, b Verifier) bool {
	return a.Mechanism == b.Mechanism && a.Iterations == b.Iterations && bytes.Equal(a.Salt, b.Salt) && bytes.Equal(a.StoredKey, b.StoredKey) && bytes.Equal(a.ServerKey, b.ServerKey) &&
		a.Secret == b.Secret && a.NotAfter.Equal(b.NotAfter)
}

func sameGrant(a, b *Grant) bool {
	return a == b || a.Application == b.Application && a.Environment == b.Environment && a.Cluster == b.Cluster && a.VirtualClusterID == b.VirtualClusterID &&
		a.Prefix == b.Prefix && a.IDKey == b.IDKey && a.Namespace == b.Namespace && a.Quota == b.Quota &&
		slices.Equal(a.Groups, b.Groups) && slices.Equal(a.TransactionalIDs, b.TransactionalIDs) && SameTopics(a.Topics, b.Topics)
}

func sameTopic(a, b *Topic) bool {
	return a == b || a.Exposed == b.Exposed && a.Backing == b.Backing && a.ID == b.ID && a.Subscription == b.Subscription &&
		sameRight(a.Read, b.Read) && sameRight(a.Write, b.Write) && a.MaxStaleness == b.MaxStaleness && a.DeleteRecords == b.DeleteRecords && a.AlterConfigs == b.AlterConfigs &&
		slices.EqualFunc(a.Phases, b.Phases, samePhase)
}

func sameRight(a, b Right) bool {
	return a.Access == b.Access && a.Until.Equal(b.Until) && a.Rule == b.Rule
}

func samePhase(a, b Phase) bool {
	return a.From.Equal(b.From) && a.State == b.State && a.Rule == b.Rule && a.Message == b.Message
}
