package control

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"sluice/internal/control/identity"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Model is everything the store holds of documents, at one change number. It is
// immutable and safe for concurrent use.
type Model struct {
	seq       int64
	records   map[resource.Key]*Record
	verifiers map[string][]grant.Verifier // of what counts, by credential

	directory     *identity.Directory
	makeDirectory sync.Once
}

// Directory says who has which roles.
func (m *Model) Directory() *identity.Directory {
	m.makeDirectory.Do(func() {
		set := resource.NewSet(func(yield func(resource.Any) bool) {
			for key, r := range m.records {
				if (key.Kind == resource.KindOrganisation || key.Kind == resource.KindTeam) && !yield(r.Document) {
					return
				}
			}
		})
		m.directory = identity.NewDirectory(set.Organisations, set.Teams)
	})
	return m.directory
}

// Verifiers returns what proves the secret of a credential, by its name.
func (m *Model) Verifiers(credential string) []grant.Verifier { return m.verifiers[credential] }

// Seq is the number of the change that the model is of.
func (m *Model) Seq() int64 { return m.seq }

// Get returns a record, or nil.
func (m *Model) Get(key resource.Key) *Record { return m.records[key] }

// Len is how many documents there are.
func (m *Model) Len() int { return len(m.records) }

// Records yields all records, kind by kind and by name, so that the same documents
// are always met in the same order.
func (m *Model) Records() iter.Seq[*Record] {
	byKind := map[resource.Kind][]*Record{}
	for _, r := range m.records {
		kind := r.Key().Kind
		byKind[kind] = append(byKind[kind], r)
	}
	return func(yield func(*Record) bool) {
		for _, kind := range resource.Kinds {
			records := byKind[kind]
			slices.SortFunc(records, func(a, b *Record) int { return compareNames(a.Key().Name, b.Key().Name) })
			for _, r := range records {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Set returns the documents for the compiler.
func (m *Model) Set() *resource.Set {
	return resource.NewSet(func(yield func(resource.Any) bool) {
		for r := range m.Records() {
			if !yield(r.Document) {
				return
			}
		}
	})
}

// edit is a model that is being changed.
type edit struct {
	*Model
	changed map[resource.Key]*Record // nil for what was removed
	proved  map[string][]grant.Verifier
}

func (m *Model) edit() *edit {
	return &edit{m, map[resource.Key]*Record{}, map[string][]grant.Verifier{}}
}

// Get returns a record as it is after the changes so far, or nil.
func (e *edit) Get(key resource.Key) *Record {
	if r, ok := e.changed[key]; ok {
		return r
	}
	return e.Model.Get(key)
}

// done returns the model with the changes.
func (e *edit) done(seq int64) *Model {
	m := &Model{seq: seq, records: maps.Clone(e.records), verifiers: e.verifiers}
	for key, r := range e.changed {
		if r == nil {
			delete(m.records, key)
		} else {
			m.records[key] = r
		}
	}
	if len(e.proved) > 0 {
		m.verifiers = maps.Clone(e.verifiers)
		maps.Copy(m.verifiers, e.proved)
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
	m := &Model{seq: seq, records: map[resource.Key]*Record{}, verifiers: map[string][]grant.Verifier{}}
	err = r.AllVerifiers(func(credential string, of []Verifier) error {
		m.verifiers[credential], err = counting(of)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what proves credentials: %w", err)
	}
	for _, kind := range resource.Kinds {
		page, _, err := r.List(Query{Kind: kind})
		if err != nil {
			return nil, fmt.Errorf("read all documents of kind %s: %w", kind, err)
		}
		for _, record := range page {
			m.records[record.Key()] = record
		}
	}
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
				if e.proved[c.Key.Name], err = counting(of); err != nil {
					return nil, err
				}
			}
		case !isNotFound(err):
			return nil, fmt.Errorf("read %s: %w", c.Key, err)
		}
	}
	return e.done(seq), nil
}

// counting returns the proofs of the secrets that have not been revoked.
func counting(of []Verifier) ([]grant.Verifier, error) {
	var out []grant.Verifier
	for _, v := range of {
		if !v.Revoked.IsZero() {
			continue
		}
		proofs, err := verifiersOf(v)
		if err != nil {
			return nil, err
		}
		out = append(out, proofs...)
	}
	return out, nil
}
