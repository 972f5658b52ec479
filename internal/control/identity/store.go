package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/internal/control/audit"
)

// ErrNotFound says that the store has no such thing.
var ErrNotFound = errors.New("not found")

// Store keeps people and what proves them. It is safe for concurrent use.
type Store interface {
	// Read calls f with a consistent view.
	Read(ctx context.Context, f func(Reader) error) error
	// Write calls f with the right to change, one caller at a time. What f did is there
	// as a whole once Write returns nil, and not at all otherwise; an error of f is
	// returned as it is.
	Write(ctx context.Context, f func(Writer) error) error
}

// Reader is a view of the store, for one goroutine until the function it was given
// to returns. What is not there is ErrNotFound; nothing that it returns is shared.
type Reader interface {
	Person(login string) (*Person, error)
	// PersonOf finds somebody by what an identity provider calls them.
	PersonOf(issuer, subject string) (*Person, error)
	// People returns them by login name, those behind after, and whether there are more.
	People(after string, limit int) (page []*Person, more bool, err error)
	// PlatformAdmins returns the login names of all who are, by name.
	PlatformAdmins() ([]string, error)

	// Login returns one by the hash of its secret, Logins those of a person, the oldest
	// first.
	Login(hash string) (*Login, error)
	Logins(person string) ([]*Login, error)
	// Token returns one by its id, Tokens those of a person, the oldest first.
	Token(id string) (*Token, error)
	Tokens(person string) ([]*Token, error)
	// OneTime returns a one-time token by its hash.
	OneTime(hash string) (*OneTime, error)
	// Failures returns what failed of late under a key; none is the zero value.
	Failures(key string) (Failures, error)
}

// Writer is a Reader with the right to change what it sees. Put makes or replaces;
// removing what is not there is no error.
type Writer interface {
	Reader
	PutPerson(*Person) error
	// RemovePerson removes somebody with their logins and tokens.
	RemovePerson(login string) error
	PutLogin(*Login) error
	RemoveLogin(hash string) error
	PutToken(*Token) error
	RemoveToken(id string) error
	PutOneTime(*OneTime) error
	RemoveOneTime(hash string) error
	// RemoveOneTimes removes all of a purpose and, unless it is empty, of a person.
	RemoveOneTimes(purpose Purpose, person string) error
	// PutFailures replaces those of a key; the zero value removes them.
	PutFailures(key string, f Failures) error
	// Sweep removes logins and one-time tokens that ended before now, tokens that ended
	// before tokens, and failures that were last before failures.
	Sweep(now, tokens, failures time.Time) error

	// AppendAudit writes the row of what else is done.
	AppendAudit(audit.Row) (audit.Row, error)
}

// Person is somebody with an account.
type Person struct {
	// Login is the name by which documents give roles. That of a local account is lower
	// case; others begin with their provider and a colon. It never changes.
	Login string
	// Title and Email are for people; neither grants anything.
	Title, Email string
	// PlatformAdmin is the one role that no document gives.
	PlatformAdmin bool
	// Disabled ends every login and token, for as long as it is set.
	Disabled bool
	// Provider, Issuer and Subject are who says who this is; empty for a local account.
	Provider, Issuer, Subject string
	// Groups are those the provider named at SeenByProvider.
	Groups         []string
	SeenByProvider time.Time
	// Created and Changed are when, in UTC and whole microseconds, as all times here.
	Created, Changed time.Time
	// Secrets prove a local account.
	Secrets Secrets
}

// HasPassword says that somebody can log in with one.
func (p *Person) HasPassword() bool { return p.Secrets.Password != "" }

// HasSecondFactor says that a password alone does not let them in.
func (p *Person) HasSecondFactor() bool { return len(p.Secrets.TOTP) > 0 }

// Secrets are what proves a local account. They print as [redacted].
type Secrets struct {
	// Password is its hash, as argon2id writes it in the PHC string format; empty when
	// there is none.
	Password string
	// TOTP is the sealed key of the second factor, Pending one that is not confirmed
	// yet; nil when there is none.
	TOTP, Pending []byte
	// Step is the last time step whose code was used (RFC 6238 §5.2).
	Step int64
	// Recovery are keyed hashes of the recovery codes that are left.
	Recovery []string
}

// Format prints nothing of them, whatever the verb.
func (Secrets) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue logs nothing of them.
func (Secrets) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON writes nothing of them: stores take the fields.
func (Secrets) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Login is a browser, or another program that a person logged in with.
type Login struct {
	// Hash is of its secret, and ID what it is called where it is shown.
	Hash, ID string
	Person   string
	// Method is how the person was proved: "password", "password and code", or the
	// provider's name.
	Method string
	// Address and Agent are where it came from and what it called itself, to recognise
	// it by. Neither is checked: people move between networks.
	Address, Agent string
	// Created is when the person was proved, Seen when it was last used, within some
	// minutes, Expires when it ends at the latest.
	Created, Seen, Expires time.Time
}

// Token is an API token. The token itself is nowhere.
type Token struct {
	// ID is the part of it that is no secret; Hash is of the whole.
	ID, Hash string
	// Person is who it belongs to, Name what they call it.
	Person, Name string
	Scope        Scope
	// Used is when it was last used, within some minutes; zero for never.
	Created, Used, Expires time.Time
}

// Purpose is what a one-time token is for.
type Purpose string

// The purposes.
const (
	ForFirstAdmin Purpose = "first-admin" // to make the first platform-admin
	ForPassword   Purpose = "password"    // to set a password
	ForLogin      Purpose = "login"       // to log in, for whom a provider has proved
	ForGateway    Purpose = "gateway"     // to join as a gateway
)

// OneTime is a token that works once.
type OneTime struct {
	Hash    string
	Purpose Purpose
	// Person is whose password it sets; of a gateway's, the name of the gateway.
	Person           string
	Created, Expires time.Time
}

// Failures are logins with one name that failed in a row.
type Failures struct {
	Count int
	Last  time.Time
}
