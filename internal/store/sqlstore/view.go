package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// view is a control.Reader: a transaction. It keeps the context, since it is the
// transaction's own.
type view struct {
	ctx    context.Context
	conn   *sql.Conn
	store  *Store
	failed error // the first error of the database: PostgreSQL refuses everything behind it
}

// errEnded is for who keeps a Reader or Writer too long.
var errEnded = errors.New("bug: the store is used after the function that was given it has returned")

func (v *view) end() { v.conn = nil }

func (v *view) fail(err error) error {
	err = v.store.explain(v.ctx, "query", err)
	if v.failed == nil {
		v.failed = err
	}
	return err
}

// collect runs a query and scans each row.
func collect[T any](v *view, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	if v.conn == nil {
		return nil, errEnded
	}
	rows, err := v.conn.QueryContext(v.ctx, query, args...)
	if err != nil {
		return nil, v.fail(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, v.fail(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, v.fail(err)
	}
	return all, nil
}

// one is collect for at most one row; nil when there is none.
func one[T any](v *view, scan func(*sql.Rows) (T, error), query string, args ...any) (*T, error) {
	all, err := collect(v, scan, query, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func scanInt(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

// number is one for a query that always has one number.
func (v *view) number(query string, args ...any) (int64, error) {
	n, err := one(v, scanInt, query, args...)
	if err != nil || n == nil {
		return 0, err
	}
	return *n, nil
}

// inPages calls f for all rows of a query, in pages, so that f may ask for other things meanwhile. next is asked for
// the page behind the last row it returned.
func inPages[T any](next func(last *T) ([]T, error), f func(T) error) error {
	var last *T
	for {
		page, err := next(last)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := f(row); err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
		last = &page[len(page)-1]
	}
}

// pageRows is how many rows inPages holds at a time.
const pageRows = 1000

// conditions are what a statement asks for: each has one place for one value, written as ?.
type conditions struct {
	text strings.Builder
	args []any
}

func (c *conditions) and(condition string, value any) {
	if c.text.Len() > 0 {
		c.text.WriteString(" AND ")
	}
	before, after, _ := strings.Cut(condition, "?")
	c.text.WriteString(before + c.value(value) + after)
}

// value returns the place of a value in the statement.
func (c *conditions) value(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

// where returns the conditions as a clause.
func (c *conditions) where() string {
	if c.text.Len() == 0 {
		return ""
	}
	return " WHERE " + c.text.String()
}

// atMost is what a limit means in SQL, with one more, which tells whether there are more.
func atMost(limit int) int64 {
	if limit <= 0 || limit == math.MaxInt {
		return math.MaxInt64
	}
	return int64(limit) + 1
}

// cut returns a page of at most limit, and whether there was more.
func cut[T any](all []T, limit int) ([]T, bool) {
	if limit > 0 && len(all) > limit {
		return all[:limit], true
	}
	return all, false
}

// micros is a time in a column: microseconds since 1970, nothing for the zero time.
type micros struct{ time.Time }

// Value is for database/sql.
func (m micros) Value() (driver.Value, error) {
	if m.IsZero() {
		return nil, nil
	}
	return m.UnixMicro(), nil
}

// Scan is for database/sql.
func (m *micros) Scan(from any) error {
	switch n := from.(type) {
	case nil:
		m.Time = time.Time{}
	case int64:
		m.Time = time.UnixMicro(n).UTC()
	default:
		return fmt.Errorf("a time is stored as %T", from)
	}
	return nil
}

// orNil: drivers differ in what no bytes are.
func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// checkTexts refuses what a database may not take: both take the same.
func checkTexts(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return fmt.Errorf("%q holds what is no text", s)
		}
	}
	return nil
}

const selectIdentity = "SELECT id, generation FROM identity"

func scanIdentity(rows *sql.Rows) (i control.Identity, err error) {
	var generation int64
	err = rows.Scan(&i.ID, &generation)
	i.Generation = uint64(generation)
	return i, err
}

// Identity says which store this is.
func (v *view) Identity() (control.Identity, error) {
	i, err := one(v, scanIdentity, selectIdentity)
	if err != nil {
		return control.Identity{}, err
	}
	if i == nil {
		return control.Identity{}, errors.New("the store has lost its identity: restore it from a backup")
	}
	return *i, nil
}

// Get returns a record.
func (v *view) Get(key resource.Key) (*control.Record, error) {
	r, err := one(v, scanRecord, "SELECT "+recordColumns+" FROM documents d WHERE kind = $1 AND name = $2", string(key.Kind), key.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", key, err)
	case r == nil:
		return nil, fmt.Errorf("get %s: %w", key, control.ErrNotFound)
	}
	record, err := r.record()
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return record, nil
}

// Referring returns the documents that refer to one.
func (v *view) Referring(key resource.Key) ([]resource.Key, error) {
	keys, err := collect(v, scanKey, "SELECT from_kind, from_name FROM links WHERE to_kind = $1 AND to_name = $2 ORDER BY from_kind, from_name", string(key.Kind), key.Name)
	if err != nil {
		return nil, fmt.Errorf("documents that refer to %s: %w", key, err)
	}
	return keys, nil
}

func scanKey(rows *sql.Rows) (k resource.Key, err error) {
	return k, rows.Scan((*string)(&k.Kind), &k.Name)
}

// Seq is the number of the last change.
func (v *view) Seq() (int64, error) {
	n, err := v.number("SELECT COALESCE(MAX(seq), 0) FROM changes")
	if err != nil {
		return 0, fmt.Errorf("number of the last change: %w", err)
	}
	return n, nil
}

// Changes returns changes after seq.
func (v *view) Changes(seq int64, limit int) ([]control.Change, bool, error) {
	fail := func(err error) ([]control.Change, bool, error) {
		return nil, false, fmt.Errorf("changes after %d: %w", seq, err)
	}
	last, err := v.Seq()
	if err != nil {
		return fail(err)
	}
	if seq == last {
		return nil, true, nil
	}
	first, err := v.number("SELECT COALESCE(MIN(seq), 1) FROM changes")
	if err != nil {
		return fail(err)
	}
	if seq > last || seq+1 < first {
		return nil, false, nil
	}
	if limit <= 0 {
		limit = math.MaxInt - 1
	}
	changes, err := collect(v, func(rows *sql.Rows) (c control.Change, err error) {
		var at micros
		err = rows.Scan(&c.Seq, (*string)(&c.Key.Kind), &c.Key.Name, &c.Serial, &at)
		c.Time = at.Time
		return c, err
	}, "SELECT seq, kind, name, serial, time FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2", seq, int64(limit))
	if err != nil {
		return fail(err)
	}
	return changes, true, nil
}

const verifierColumns = "credential, n, data, created, until, revoked"

type verifierRow struct {
	credential string
	control.Verifier
}

func scanVerifier(rows *sql.Rows) (v verifierRow, err error) {
	var created, until, revoked micros
	err = rows.Scan(&v.credential, &v.N, &v.Data, &created, &until, &revoked)
	v.Data = orNil(v.Data)
	v.Created, v.Until, v.Revoked = created.Time, until.Time, revoked.Time
	return v, err
}

// Verifiers are those of a credential.
func (v *view) Verifiers(credential string) ([]control.Verifier, error) {
	rows, err := collect(v, scanVerifier, "SELECT "+verifierColumns+" FROM verifiers WHERE credential = $1 ORDER BY n", credential)
	if err != nil {
		return nil, fmt.Errorf("verifiers of credential %s: %w", credential, err)
	}
	var all []control.Verifier
	for _, row := range rows {
		all = append(all, row.Verifier)
	}
	return all, nil
}

// AllVerifiers calls f for every credential that has verifiers, in the order of names.
func (v *view) AllVerifiers(f func(credential string, of []control.Verifier) error) error {
	var of []control.Verifier
	var name string
	flush := func() error {
		if len(of) == 0 {
			return nil
		}
		err := f(name, of)
		of = nil
		return err
	}
	err := inPages(func(last *verifierRow) ([]verifierRow, error) {
		if last == nil {
			last = &verifierRow{}
		}
		page, err := collect(v, scanVerifier, "SELECT "+verifierColumns+" FROM verifiers WHERE (credential, n) > ($1, $2) ORDER BY credential, n LIMIT $3", last.credential, last.N, pageRows)
		if err != nil {
			err = fmt.Errorf("verifiers: %w", err)
		}
		return page, err
	}, func(row verifierRow) error {
		if row.credential != name {
			if err := flush(); err != nil {
				return err
			}
			name = row.credential
		}
		of = append(of, row.Verifier)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

const revisionColumns = "n, hash, created, created_by"

// Revisions of a version, without their documents.
func (v *view) Revisions(version string) ([]control.Revision, error) {
	all, err := collect(v, func(rows *sql.Rows) (r control.Revision, err error) {
		var created micros
		err = rows.Scan(&r.N, &r.Hash, &created, &r.By)
		r.Created = created.Time
		return r, err
	}, "SELECT "+revisionColumns+" FROM revisions WHERE version = $1 ORDER BY n", version)
	if err != nil {
		return nil, fmt.Errorf("revisions of version %s: %w", version, err)
	}
	return all, nil
}

// Revision returns one with its document.
func (v *view) Revision(version string, n int) (*control.Revision, error) {
	r, err := one(v, func(rows *sql.Rows) (r control.Revision, err error) {
		var created micros
		err = rows.Scan(&r.N, &r.Hash, &created, &r.By, &r.Document)
		r.Created, r.Document = created.Time, orNil(r.Document)
		return r, err
	}, "SELECT "+revisionColumns+", document FROM revisions WHERE version = $1 AND n = $2", version, n)
	if err == nil && r == nil {
		err = control.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("revision %d of version %s: %w", n, version, err)
	}
	return r, nil
}
