package control

import (
	"fmt"
	"iter"
	"maps"
	"sync"

	"sluice/internal/control/identity"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Model is everything the store holds of documents, at one change number. It is
// immutable and safe for concurrent use; one that follows another shares with it
// what did not change.
type Model struct {
	seq     int64
	records map[resource.Key]*Record
	set     *resource.Set     // the documents, each kind by name
	proofs  map[string]proofs // by credential

	clients     map[client]*resource.Credential
	makeClients sync.Once

	directory     *identity.Directory
	makeDirectory sync.Once
}

// Directory says who has which roles.
func (m *Model) Directory() *identity.Directory {
	m.makeDirectory.Do(func() { m.directory = identity.NewDirectory(m.set.Organisations, m.set.Teams) })
	return m.directory
}

// Verifiers returns what proves the secret of a credential, by its name.
func (m *Model) Verifiers(credential string) []grant.Verifier { return m.proofs[credential].verifiers }

// Seq is the number of the change that the model is of.
func (m *Model) Seq() int64 { return m.seq }

// Get returns a record, or nil.
func (m *Model) Get(key resource.Key) *Record { return m.records[key] }

// Len is how many documents there are.
func (m *Model) Len() int { return len(m.records) }

// Records yields all records, kind by kind and by name, so that the same documents
// are always met in the same order.
func (m *Model) Records() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for d := range m.set.All() {
			if !yield(m.records[d.Key()]) {
				return
			}
		}
	}
}

// Set returns the documents for the compiler, each kind by name. It must not be
// changed.
func (m *Model) Set() *resource.Set { return m.set }

// edit is a model that is being changed.
type edit struct {
	from    *Model
	changed map[resource.Key]*Record // nil for what was removed
	proved  map[string]proofs
}

func (m *Model) edit() *edit {
	return &edit{m, map[resource.Key]*Record{}, map[string]proofs{}}
}

// Get returns a record as it is after the changes so far, or nil.
func (e *edit) Get(key resource.Key) *Record {
	if r, ok := e.changed[key]; ok {
		return r
	}
	return e.from.Get(key)
}

// Set returns the documents as they are after the changes so far.
func (e *edit) Set() *resource.Set {
	documents := make(map[resource.Key]resource.Any, len(e.changed))
	for key, r := range e.changed {
		documents[key] = nil
		if r != nil {
			documents[key] = r.offered()
		}
	}
	return e.from.set.With(documents)
}

// Records yields all records as they are after the changes so far, in no order.
func (e *edit) Records() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for key, r := range e.from.records {
			if _, changed := e.changed[key]; !changed && !yield(r) {
				return
			}
		}
		for _, r := range e.changed {
			if r != nil && !yield(r) {
				return
			}
		}
	}
}

// done returns the model with the changes.
func (e *edit) done(seq int64) *Model {
	m := &Model{seq: seq, records: maps.Clone(e.from.records), set: e.Set(), proofs: e.from.proofs}
	for key, r := range e.changed {
		if r == nil {
			delete(m.records, key)
			if key.Kind == resource.KindCredential {
				e.proved[key.Name] = proofs{}
			}
		} else {
			m.records[key] = r
		}
	}
	if len(e.proved) > 0 {
		m.proofs = maps.Clone(e.from.proofs)
		for credential, of := range e.proved {
			if m.proofs[credential] = of; of.verifiers == nil {
				delete(m.proofs, credential)
			}
		}
	}
	return m
}

// load reads a model from the store, or brings an older one up to date.
func load(r Reader, from *Model) (*Model, error) {
	seq, err := r.Seq()
	if err != nil {
		return nil, fmt.Errorf("read the number of the last change: %w", err)
	}
	if from != nil && from.seq == seq {
		return from, nil
	}
	if from != nil && seq > from.seq && seq-from.seq <= catchUpBy {
		changes, ok, err := r.Changes(from.seq, catchUpBy)
		if err != nil {
			return nil, fmt.Errorf("read changes after %d: %w", from.seq, err)
		}
		if ok {
			return follow(r, from, changes, seq)
		}
	}
	m := &Model{seq: seq, records: map[resource.Key]*Record{}, proofs: map[string]proofs{}}
	err = r.AllVerifiers(func(credential string, of []Verifier) error {
		m.proofs[credential], err = proofsOf(of)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what proves credentials: %w", err)
	}
	documents := map[resource.Key]resource.Any{}
	for _, kind := range resource.Kinds {
		page, _, err := r.List(Query{Kind: kind})
		if err != nil {
			return nil, fmt.Errorf("read all documents of kind %s: %w", kind, err)
		}
		for _, record := range page {
			m.records[record.Key()], documents[record.Key()] = record, record.offered()
		}
	}
	m.set = new(resource.Set).With(documents)
	return m, nil
}

// catchUpBy is up to how many changes are followed one by one; beyond it everything
// is read anew.
const catchUpBy = 1000

func follow(r Reader, from *Model, changes []Change, seq int64) (*Model, error) {
	e := from.edit()
	for _, c := range changes {
		if c.Seq > seq {
			break
		}
		e.changed[c.Key] = nil
		record, err := r.Get(c.Key)
		switch {
		case err == nil:
			e.changed[c.Key] = record
			if c.Key.Kind == resource.KindCredential {
				of, err := r.Verifiers(c.Key.Name)
				if err != nil {
					return nil, fmt.Errorf("read what proves %s: %w", c.Key, err)
				}
				if e.proved[c.Key.Name], err = proofsOf(of); err != nil {
					return nil, err
				}
			}
		case !isNotFound(err):
			return nil, fmt.Errorf("read %s: %w", c.Key, err)
		}
	}
	return e.done(seq), nil
}
