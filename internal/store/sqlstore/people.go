package sqlstore

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"sluice/internal/control/identity"
)

// found returns what a query for one row found, or identity.ErrNotFound. The error
// never says what was looked for: hashes of secrets are.
func found[T any](v *view, what string, scan func(*sql.Rows) (*T, error), query string, args ...any) (*T, error) {
	row, err := one(v, scan, query, args...)
	if err == nil && row == nil {
		err = identity.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", what, err)
	}
	return *row, nil
}

// text is a list or another value in a column of JSON.
func text(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// orNull: a unique pair leaves out those that have none.
func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

const personColumns = "login, title, email, platform_admin, disabled, provider, issuer, subject, provider_groups, seen_by_provider, created, changed, password, totp, totp_pending, totp_step, recovery"

func scanPerson(rows *sql.Rows) (*identity.Person, error) {
	var p identity.Person
	var admin, disabled int64
	var issuer, subject sql.NullString
	var groups, recovery string
	var seen, created, changed micros
	if err := rows.Scan(&p.Login, &p.Title, &p.Email, &admin, &disabled, &p.Provider, &issuer, &subject, &groups, &seen, &created, &changed,
		&p.Secrets.Password, &p.Secrets.TOTP, &p.Secrets.Pending, &p.Secrets.Step, &recovery); err != nil {
		return nil, err
	}
	p.PlatformAdmin, p.Disabled, p.Issuer, p.Subject = admin != 0, disabled != 0, issuer.String, subject.String
	p.SeenByProvider, p.Created, p.Changed = seen.Time, created.Time, changed.Time
	p.Secrets.TOTP, p.Secrets.Pending = orNil(p.Secrets.TOTP), orNil(p.Secrets.Pending)
	if err := errors.Join(json.Unmarshal([]byte(groups), &p.Groups), json.Unmarshal([]byte(recovery), &p.Secrets.Recovery)); err != nil {
		return nil, fmt.Errorf("account %q: %w", p.Login, err)
	}
	return &p, nil
}

// Person returns an account.
func (v *view) Person(login string) (*identity.Person, error) {
	return found(v, "the account", scanPerson, "SELECT "+personColumns+" FROM people WHERE login = $1", login)
}

// PersonOf returns the account of a subject.
func (v *view) PersonOf(issuer, subject string) (*identity.Person, error) {
	return found(v, "the account of a subject", scanPerson, "SELECT "+personColumns+" FROM people WHERE issuer = $1 AND subject = $2", issuer, subject)
}

// People returns accounts by login name.
func (v *view) People(after string, limit int) ([]*identity.Person, bool, error) {
	all, err := collect(v, scanPerson, "SELECT "+personColumns+" FROM people WHERE login > $1 ORDER BY login LIMIT $2", after, atMost(limit))
	if err != nil {
		return nil, false, fmt.Errorf("list accounts: %w", err)
	}
	page, more := cut(all, limit)
	return page, more, nil
}

// PlatformAdmins returns the login names of all who are.
func (v *view) PlatformAdmins() ([]string, error) {
	all, err := collect(v, func(rows *sql.Rows) (login string, err error) { return login, rows.Scan(&login) },
		"SELECT login FROM people WHERE platform_admin = 1 ORDER BY login")
	if err != nil {
		return nil, fmt.Errorf("list platform-admins: %w", err)
	}
	return all, nil
}

// PutPerson writes an account.
func (w *writer) PutPerson(p *identity.Person) error {
	groups, err := text(p.Groups)
	if err != nil {
		return fmt.Errorf("put account %q: %w", p.Login, err)
	}
	recovery, err := text(p.Secrets.Recovery)
	if err == nil {
		err = checkTexts(p.Login, p.Title, p.Email, p.Provider, p.Issuer, p.Subject, groups)
	}
	if err == nil {
		err = w.upsert("people", personColumns, p.Login, p.Title, p.Email, number(p.PlatformAdmin), number(p.Disabled), p.Provider, orNull(p.Issuer), orNull(p.Subject), groups,
			micros{p.SeenByProvider}, micros{p.Created}, micros{p.Changed}, p.Secrets.Password, p.Secrets.TOTP, p.Secrets.Pending, p.Secrets.Step, recovery)
	}
	if err != nil {
		return fmt.Errorf("put account %q: %w", p.Login, err)
	}
	return nil
}

// upsert makes or replaces a row; the first column is its key.
func (w *writer) upsert(table, columns string, values ...any) error {
	names := strings.Split(columns, ", ")
	var places, changes []string
	for i, name := range names {
		places = append(places, fmt.Sprintf("$%d", i+1))
		if i > 0 {
			changes = append(changes, name+" = excluded."+name)
		}
	}
	return w.exec("INSERT INTO "+table+" ("+columns+") VALUES ("+strings.Join(places, ", ")+") ON CONFLICT ("+names[0]+") DO UPDATE SET "+strings.Join(changes, ", "), values...)
}

// RemovePerson removes an account with its logins and tokens.
func (w *writer) RemovePerson(login string) error {
	tokens, err := w.Tokens(login)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := w.RemoveToken(t.ID); err != nil {
			return err
		}
	}
	if err := w.exec("DELETE FROM people WHERE login = $1", login); err != nil {
		return fmt.Errorf("remove account %q: %w", login, err)
	}
	return nil
}

const loginColumns = "hash, id, person, method, address, agent, created, seen, expires"

func scanLogin(rows *sql.Rows) (*identity.Login, error) {
	var l identity.Login
	var created, seen, expires micros
	err := rows.Scan(&l.Hash, &l.ID, &l.Person, &l.Method, &l.Address, &l.Agent, &created, &seen, &expires)
	l.Created, l.Seen, l.Expires = created.Time, seen.Time, expires.Time
	return &l, err
}

// Login returns one by the hash of its secret.
func (v *view) Login(hash string) (*identity.Login, error) {
	return found(v, "the login", scanLogin, "SELECT "+loginColumns+" FROM logins WHERE hash = $1", hash)
}

// Logins returns those of a person.
func (v *view) Logins(person string) ([]*identity.Login, error) {
	all, err := collect(v, scanLogin, "SELECT "+loginColumns+" FROM logins WHERE person = $1 ORDER BY created, hash", person)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	return all, nil
}

// PutLogin writes a login.
func (w *writer) PutLogin(l *identity.Login) error {
	err := checkTexts(l.Hash, l.ID, l.Person, l.Method, l.Address, l.Agent)
	if err == nil {
		err = w.upsert("logins", loginColumns, l.Hash, l.ID, l.Person, l.Method, l.Address, l.Agent, micros{l.Created}, micros{l.Seen}, micros{l.Expires})
	}
	if err != nil {
		return fmt.Errorf("put a login of %q: %w", l.Person, err)
	}
	return nil
}

// RemoveLogin ends one.
func (w *writer) RemoveLogin(hash string) error {
	return w.exec("DELETE FROM logins WHERE hash = $1", hash)
}

const tokenColumns = "id, hash, person, name, scope, created, used, expires"

func scanToken(rows *sql.Rows) (*identity.Token, error) {
	var t identity.Token
	var scope string
	var created, used, expires micros
	if err := rows.Scan(&t.ID, &t.Hash, &t.Person, &t.Name, &scope, &created, &used, &expires); err != nil {
		return nil, err
	}
	t.Created, t.Used, t.Expires = created.Time, used.Time, expires.Time
	if err := json.Unmarshal([]byte(scope), &t.Scope); err != nil {
		return nil, fmt.Errorf("scope of API token %s: %w", t.ID, err)
	}
	return &t, nil
}

// Token returns one by its id.
func (v *view) Token(id string) (*identity.Token, error) {
	return found(v, "the API token", scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE id = $1", id)
}

// Tokens returns those of a person.
func (v *view) Tokens(person string) ([]*identity.Token, error) {
	all, err := collect(v, scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE person = $1 ORDER BY created, id", person)
	if err != nil {
		return nil, fmt.Errorf("list API tokens: %w", err)
	}
	return all, nil
}

// PutToken writes a token.
func (w *writer) PutToken(t *identity.Token) error {
	scope, err := text(t.Scope)
	if err == nil {
		err = checkTexts(t.ID, t.Hash, t.Person, t.Name, scope)
	}
	if err == nil {
		err = w.upsert("tokens", tokenColumns, t.ID, t.Hash, t.Person, t.Name, scope, micros{t.Created}, micros{t.Used}, micros{t.Expires})
	}
	if err != nil {
		return fmt.Errorf("put API token %q: %w", t.ID, err)
	}
	return nil
}

// tokenRevoked begins the name under which the revocation of an API token is written
// down, beside those of credentials, whose names have no colon.
const tokenRevoked = "token:"

// RemoveToken revokes one, so that no restore revives it.
func (w *writer) RemoveToken(id string) error {
	n, err := w.execN("DELETE FROM tokens WHERE id = $1", id)
	if err == nil && n > 0 {
		err = w.revoke(revocation{Credential: tokenRevoked + id, Time: w.store.options.Now()})
	}
	if err != nil {
		return fmt.Errorf("remove API token %q: %w", id, err)
	}
	return nil
}

const oneTimeColumns = "hash, purpose, person, created, expires"

// OneTime returns a one-time token.
func (v *view) OneTime(hash string) (*identity.OneTime, error) {
	return found(v, "the one-time token", func(rows *sql.Rows) (*identity.OneTime, error) {
		var o identity.OneTime
		var created, expires micros
		err := rows.Scan(&o.Hash, (*string)(&o.Purpose), &o.Person, &created, &expires)
		o.Created, o.Expires = created.Time, expires.Time
		return &o, err
	}, "SELECT "+oneTimeColumns+" FROM one_time_tokens WHERE hash = $1", hash)
}

// PutOneTime writes a one-time token.
func (w *writer) PutOneTime(o *identity.OneTime) error {
	if err := w.upsert("one_time_tokens", oneTimeColumns, o.Hash, string(o.Purpose), o.Person, micros{o.Created}, micros{o.Expires}); err != nil {
		return fmt.Errorf("put a one-time token: %w", err)
	}
	return nil
}

// RemoveOneTime removes one.
func (w *writer) RemoveOneTime(hash string) error {
	return w.exec("DELETE FROM one_time_tokens WHERE hash = $1", hash)
}

// RemoveOneTimes removes those of a purpose and a person.
func (w *writer) RemoveOneTimes(purpose identity.Purpose, person string) error {
	if person == "" {
		return w.exec("DELETE FROM one_time_tokens WHERE purpose = $1", string(purpose))
	}
	return w.exec("DELETE FROM one_time_tokens WHERE purpose = $1 AND person = $2", string(purpose), person)
}

// Failures returns what failed under a key.
func (v *view) Failures(key string) (identity.Failures, error) {
	f, err := one(v, func(rows *sql.Rows) (f identity.Failures, err error) {
		var count int64
		var last micros
		err = rows.Scan(&count, &last)
		return identity.Failures{Count: int(min(count, math.MaxInt32)), Last: last.Time}, err
	}, "SELECT count, last FROM failures WHERE id = $1", key)
	if err != nil || f == nil {
		return identity.Failures{}, err
	}
	return *f, nil
}

// PutFailures replaces them.
func (w *writer) PutFailures(key string, f identity.Failures) error {
	if f.Count == 0 {
		return w.exec("DELETE FROM failures WHERE id = $1", key)
	}
	return w.upsert("failures", "id, count, last", key, f.Count, micros{f.Last})
}

// Sweep removes what has ended.
func (w *writer) Sweep(now, tokens, failures time.Time) error {
	for _, s := range []struct {
		statement string
		before    time.Time
	}{
		{"DELETE FROM logins WHERE expires < $1", now},
		{"DELETE FROM one_time_tokens WHERE expires < $1", now},
		{"DELETE FROM tokens WHERE expires < $1", tokens},
		{"DELETE FROM failures WHERE last < $1", failures},
	} {
		if err := w.exec(s.statement, micros{s.before}); err != nil {
			return err
		}
	}
	return nil
}

// forgetLogins ends what a restored store has of logins, of one-time tokens that may
// have been used since, and of API tokens that were revoked since.
func (w *writer) forgetLogins(ended []revocation) error {
	for _, statement := range []string{"DELETE FROM logins", "DELETE FROM one_time_tokens", "DELETE FROM failures"} {
		if err := w.exec(statement); err != nil {
			return err
		}
	}
	for _, r := range ended {
		if id, ok := strings.CutPrefix(r.Credential, tokenRevoked); ok {
			if err := w.exec("DELETE FROM tokens WHERE id = $1", id); err != nil {
				return err
			}
		}
	}
	return nil
}
