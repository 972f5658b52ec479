// Package feed carries what is in force from the control plane to its gateways:
// signed, numbered snapshots and deltas over one mutually authenticated stream for
// each gateway. Its main types are State, what a gateway needs at one number, Sender,
// the control plane's end, and Receiver, the gateway's, which keeps the last good
// state on disk and lives on it while the control plane is away. It knows nothing of
// what a cluster's document says, of products, people or Kafka.
package feed

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sluice/internal/grant"
	"sluice/internal/journal"
)

// State is all that a gateway needs to serve one environment, at the number of its
// grants. It is immutable and safe for concurrent use.
type State struct {
	// Grants are the credentials with what proves them and what they may do.
	Grants *grant.Snapshot
	// Common is what they have in common.
	Common Common
}

// Common is what a gateway needs besides the grants. It is sent whole whenever it
// changes.
type Common struct {
	// Clusters are the documents of the target clusters, by name. Secrets stand in them
	// by reference, and are resolved where the gateway runs.
	Clusters []Document `json:"clusters,omitempty"`
	// Phantom makes logins of unknown clients look like those of known ones, at all
	// gateways alike. It is secret.
	Phantom []byte `json:"phantom,omitempty"`
	// TokenKeys are the public keys of the control plane's token endpoint, a JSON Web Key
	// Set.
	TokenKeys json.RawMessage `json:"tokenKeys,omitempty"`
}

// Document is one whose content is the business of whoever reads it.
type Document struct {
	Name    string          `json:"name"`
	Content json.RawMessage `json:"content"`
}

// What is wrong with a state that a gateway refuses. What was in force stays so.
var (
	// ErrSignature: it was not made by the control plane that the gateway has joined.
	ErrSignature = errors.New("the signature is not that of the control plane that this gateway has joined")
	// ErrOlder: it has an older number than what is in force.
	ErrOlder = errors.New("the number is older than that in force")
	// ErrGeneration: it is of an older generation than what is in force, so that the
	// control plane was set back by other means than a restore.
	ErrGeneration = errors.New("the generation is older than that in force: the control plane's data was set back by other means than sluice restore, which raises it")
	// ErrDamaged: bytes are missing, too many, or other ones.
	ErrDamaged = journal.ErrDamaged
	// ErrEnvironment: it is of another environment.
	ErrEnvironment = errors.New("it is of another environment")
	// ErrGap: it is a delta to another state than that in force.
	ErrGap = errors.New("it does not follow what is in force")
	// ErrTwofold: it has the number of what is in force, and says something else.
	ErrTwofold = errors.New("it has the number of what is in force and says something else")
)

// sum is a digest of a state.
type sum [sha256.Size]byte

// MarshalText writes it in hexadecimal digits.
func (s sum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", s[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *sum) UnmarshalText(text []byte) error {
	var b []byte
	if _, err := fmt.Sscanf(string(text), "%x", &b); err != nil || len(b) != len(s) || len(text) != 2*len(s) {
		return fmt.Errorf("a digest of %d characters, want %d hexadecimal ones", len(text), 2*len(s))
	}
	copy(s[:], b)
	return nil
}

// digest is the sum of a state, in parts, so that a delta costs what it weighs. It is
// immutable. What comes out depends on what the state says, and on nothing else.
type digest struct {
	parts  [parts]map[grant.Key]sum // of credentials
	sums   [parts]sum
	common sum
}

const parts = 256

func partOf(k grant.Key) int {
	h := sha256.Sum256([]byte(string(k.Method) + "\x00" + k.Identity))
	return int(h[0])
}

// with returns the digest after a change.
func (d *digest) with(put []*grant.Credential, remove []grant.Key, common *Common) (*digest, error) {
	next := *d
	touched := map[int]bool{}
	part := func(k grant.Key) map[grant.Key]sum {
		i := partOf(k)
		if !touched[i] {
			touched[i] = true
			if next.parts[i] = maps.Clone(next.parts[i]); next.parts[i] == nil {
				next.parts[i] = map[grant.Key]sum{}
			}
		}
		return next.parts[i]
	}
	for _, k := range remove {
		delete(part(k), k)
	}
	for _, c := range put {
		s, err := c.Sum()
		if err != nil {
			return nil, err
		}
		part(c.Key())[c.Key()] = s
	}
	for i := range touched {
		if len(next.parts[i]) == 0 { // as one that never had any
			next.parts[i], next.sums[i] = nil, sum{}
			continue
		}
		all := slices.SortedFunc(maps.Values(next.parts[i]), func(a, b sum) int { return slices.Compare(a[:], b[:]) })
		h := sha256.New()
		for _, s := range all {
			h.Write(s[:])
		}
		next.sums[i] = sum(h.Sum(nil))
	}
	if common != nil {
		text, err := json.Marshal(common)
		if err != nil {
			return nil, err
		}
		next.common = sha256.Sum256(text)
	}
	return &next, nil
}

func (d *digest) total() sum {
	h := sha256.New()
	for i := range d.sums {
		h.Write(d.sums[i][:])
	}
	h.Write(d.common[:])
	return sum(h.Sum(nil))
}

// held is a state with its digest.
type held struct {
	State
	digest *digest
	sum    sum
}

func hold(s State) (*held, error) {
	d, err := new(digest).with(slices.Collect(s.Grants.All()), nil, &s.Common)
	if err != nil {
		return nil, err
	}
	return &held{s, d, d.total()}, nil
}

// follow returns the state after a delta.
func (h *held) follow(d grant.Delta, common *Common) (*held, error) {
	grants, err := h.Grants.Apply(d)
	if err != nil {
		return nil, err
	}
	next := &held{State: State{Grants: grants, Common: h.Common}}
	if common != nil {
		next.Common = *common
	}
	if next.digest, err = h.digest.with(d.Put, d.Remove, common); err != nil {
		return nil, err
	}
	next.sum = next.digest.total()
	return next, nil
}

// step returns what leads from one state to a later one.
func (h *held) step(next State) (grant.Delta, *Common, error) {
	d := h.Grants.Diff(next.Grants)
	slices.SortFunc(d.Put, func(a, b *grant.Credential) int { return compareKeys(a.Key(), b.Key()) })
	slices.SortFunc(d.Remove, compareKeys)
	before, err := json.Marshal(h.Common)
	if err != nil {
		return d, nil, err
	}
	after, err := json.Marshal(next.Common)
	if err != nil {
		return d, nil, err
	}
	if string(before) == string(after) {
		return d, nil, nil
	}
	return d, &next.Common, nil
}

func compareKeys(a, b grant.Key) int {
	return slices.Compare([]string{string(a.Method), a.Identity}, []string{string(b.Method), b.Identity})
}

// after checks that a number may follow the one in force.
func after(inForce, next grant.Number) error {
	switch {
	case next.Generation < inForce.Generation:
		return fmt.Errorf("state %v, in force is %v: %w", next, inForce, ErrGeneration)
	case next.Compare(inForce) < 0:
		return fmt.Errorf("state %v, in force is %v: %w", next, inForce, ErrOlder)
	}
	return nil
}
