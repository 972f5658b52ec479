package control

import (
	"context"
	"errors"
	"io"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/control/notify"
	"sluice/internal/resource"
)

// Record is a document as the store has it. It is never changed: a change makes a
// new one.
type Record struct {
	Document resource.Any
	// Status is what the server knows besides.
	Status Status
	// Serial counts the changes of this document, from 1 on. Put takes the one that
	// follows only.
	Serial int64
	// Team and Organisation own the document, also where it does not say so itself;
	// empty for what is the platform's.
	Team, Organisation string
	// Owner is what applies the document, such as a repository and a path; empty for
	// nobody in particular.
	Owner string
	// Created and Changed are when, in UTC and whole microseconds, as all times of a
	// store; what is finer is cut off when it is written.
	Created, Changed time.Time
}

// Tag tells the states of a document apart. It never repeats, also when the document is
// removed and made again, or the store is restored. It is more than 0.
func (r *Record) Tag() int64 { return r.Changed.UnixMicro()<<10 | r.Serial&1023 }

// Key names the record.
func (r *Record) Key() resource.Key { return r.Document.Key() }

func (r *Record) owner() identity.Owner {
	return identity.Owner{Organisation: r.Organisation, Team: r.Team}
}

// Change is one document that was written or removed.
type Change struct {
	// Seq numbers all changes of the store, from 1 on; there are no gaps.
	Seq int64
	Key resource.Key
	// Serial is the document's, 0 when it was removed.
	Serial int64
	Time   time.Time
}

// Query asks for documents of one kind, by name.
type Query struct {
	Kind resource.Kind
	// Environment, Team, Organisation and Owner narrow the list where they are set.
	Environment, Team, Organisation, Owner string
	// To narrows the list to documents that refer to this one.
	To resource.Key
	// After is the name behind which the page begins; "" for the first page.
	After string
	// Limit is how many there may be at most; 0 means all.
	Limit int
}

// Identity says which store this is.
type Identity struct {
	// ID is random, made with the store, and stays the same when it is restored.
	ID string
	// Generation is greater after each restore, whatever was lost. It is the one of
	// grant.Number.
	Generation uint64
}

// ErrNotFound says that the store has no such thing.
var ErrNotFound = errors.New("not found")

// Store keeps what the control plane knows. It is safe for concurrent use.
type Store interface {
	// Read calls f with a consistent view of the store, which writes do not disturb.
	Read(ctx context.Context, f func(Reader) error) error
	// Write calls f with the right to change the store, in its turn: one at a time,
	// whichever process it is in. What f did is there as a whole once Write returns
	// nil, and not at all otherwise; an error of f is returned as it is.
	Write(ctx context.Context, f func(Writer) error) error
	// Export writes everything that it has, as it is at one moment, so that another store
	// can be made of it; it is as secret as the store.
	Export(ctx context.Context, out io.Writer) error
	// Close ends it.
	Close() error
}

// Reader is a view of the store. It is for one goroutine, until the function it
// was given to returns.
type Reader interface {
	// Identity says which store this is.
	Identity() (Identity, error)
	// Get returns a record, or ErrNotFound.
	Get(resource.Key) (*Record, error)
	// List returns records by name, and whether there are more behind them.
	List(Query) (page []*Record, more bool, err error)
	// Referring returns the documents that refer to one, in the order of kind and name.
	Referring(resource.Key) ([]resource.Key, error)
	// Seq is the number of the last change, 0 before the first.
	Seq() (int64, error)
	// Changes returns changes after seq in their order, at most limit. ok is false
	// when some of them have been forgotten, or seq has not been yet, since the store
	// was restored: everything has to be read anew.
	Changes(seq int64, limit int) (changes []Change, ok bool, err error)
	// Verifiers are what proves the secrets of a credential, those that still count
	// and those that no longer do, the oldest first.
	Verifiers(credential string) ([]Verifier, error)
	// AllVerifiers calls f for every credential that has verifiers.
	AllVerifiers(f func(credential string, of []Verifier) error) error
	// Revisions of a version, the oldest first, without their documents.
	Revisions(version string) ([]Revision, error)
	// Revision returns one with its document, or ErrNotFound.
	Revision(version string, n int) (*Revision, error)

	// Pages are the documentation of an API, by name; empty where there is none.
	Pages(api string) (map[string]string, error)
	// Uses are the last ones of a credential's secrets, by their number.
	Uses(credential string) ([]Use, error)
	// Note returns what is remembered under a name, "" for nothing.
	Note(name string) (string, error)

	audit.Reader
	notify.Reader
	identity.Reader
}

// Writer is a Reader with the right to change what it sees.
type Writer interface {
	Reader
	// Put writes a record, and a Change with the record's serial, which must be one
	// more than that of what is there. The links are what its document refers to.
	Put(r *Record, links []resource.Key) error
	// Remove removes a document with everything that belongs to it, and writes a
	// Change; ErrNotFound when it is not there.
	Remove(key resource.Key, at time.Time) error
	// PutVerifier writes or replaces the verifier with its number; ErrNotFound when
	// there is no such credential. A revocation that is there stays.
	PutVerifier(credential string, v Verifier) error
	// ForgetVerifiers removes the verifiers of a credential that have been revoked and whose
	// number is below one, with the last logins with their secrets. That they were revoked
	// is not forgotten: a restore revives none.
	ForgetVerifiers(credential string, below int) error
	// PutRevision adds a revision; its number must be the next one. ErrNotFound when
	// there is no such version.
	PutRevision(version string, r *Revision) error

	// PutPages replaces the documentation of an API; ErrNotFound when there is no such API.
	PutPages(api string, pages map[string]string) error
	// PutUse writes down a use, unless a later one of the secret is there, or the
	// credential is not. It is no change of the store.
	PutUse(u Use) error
	// PutNote replaces what is remembered under a name.
	PutNote(name, value string) error

	audit.Writer
	notify.Writer
	identity.Writer
}

// Verifier is what proves one secret of a credential. The secret itself is nowhere.
type Verifier struct {
	// N numbers the secrets of a credential, from 1 on.
	N int
	// Data proves it; its form is that of kafka/sasl.
	Data []byte
	// Created is when the secret was made; Until, unless zero, when it ends.
	Created, Until time.Time
	// Revoked, unless zero, is when it was revoked. It never becomes zero again.
	Revoked time.Time
}

// Use is the last login with a secret of a credential, within a minute or so.
type Use struct {
	Credential string
	// Secret is the mark of the secret; 0 where none is counted.
	Secret int
	Time   time.Time
	// Address is where the client was, Software what it calls itself, "" when it does
	// not, and Gateway which one it came to.
	Address, Software, Gateway string
}

// Revision is an immutable state of a version: contract and mapping of its channels.
type Revision struct {
	// N numbers the revisions of a version, from 1 on.
	N int
	// Hash is of the document, hex.
	Hash string
	// Document is the version's document in JSON.
	Document []byte
	Created  time.Time
	// By is who made it.
	By string
}
