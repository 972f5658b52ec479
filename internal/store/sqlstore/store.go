// Package sqlstore keeps what the control plane knows in SQLite or in PostgreSQL,
// with one set of statements for both. Its main type is Store, a control.Store. It
// does not know what documents mean, with one exception: credentials that end are
// written down apart, so that no restore revives one.
//
// A commit is on the disk before Write returns, also when the machine stops:
// SQLite syncs its write-ahead log at each commit (synchronous=FULL), because what
// the control plane has confirmed, such as a revocation, must not come undone.
//
// When the disk is full, Write fails with what SQLite or PostgreSQL say of it as
// fault.Unavailable, and nothing of the change is there. Reading goes on. There is nothing to
// repair: once there is room, the next Write succeeds.
package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
)

// Options are what a store may be told besides where it is.
type Options struct {
	// Revocations is a file beside the database, or rather on another disk, in which
	// ended credentials are written down as well: what a restore needs to know when the
	// database itself is lost. None by default.
	Revocations string
	// KeepChanges is how many changes are remembered for those who follow them, 100,000
	// by default.
	KeepChanges int64
	// Log hears of what does not fail anything; nobody by default.
	Log *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Accept is asked by Restore about what is to be restored, before anything is
	// replaced; its error refuses it. Everything is accepted by default.
	Accept func(control.Reader) error
	// Opened is asked by Open about what is there, before revocations are written to it;
	// its error refuses it. Everything is accepted by default.
	Opened func(control.Reader) error
}

func (o Options) withDefaults() Options {
	if o.KeepChanges == 0 {
		o.KeepChanges = 100_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is a control.Store in a database. Several processes may have it open.
type Store struct {
	dialect dialect
	options Options
	// writers has one connection, for whoever has turn; readers has some.
	writers, readers *sql.DB
	turn             chan struct{}
	revoked          *revokedFile // nil without Options.Revocations
}

var _ control.Store = (*Store)(nil)

// dialect is what differs between databases.
type dialect interface {
	// place names the database for people, without passwords.
	place() string
	// prepare makes the place for our tables, where they need one.
	prepare(context.Context, *Store) error
	// tables are the names of all tables in it.
	tables(context.Context, *sql.Conn) (*sql.Rows, error)
	// schema turns a migration into what the database takes.
	schema(string) string
	beginRead(context.Context, *sql.Conn) error
	// beginWrite returns when nobody else writes, in no process.
	beginWrite(context.Context, *sql.Conn) error
	commit(context.Context, *sql.Conn) error
	// explain says what an error of the database means, where it can.
	explain(error) error
}

// Open opens a store, and makes it when it is not there yet. Where is a PostgreSQL
// address as postgres://user@host/database, or else the path of a SQLite file. A
// store of an older release is brought forward; one of a newer release is refused.
func Open(ctx context.Context, where string, options Options) (*Store, error) {
	return openAt(ctx, where, options, newest)
}

// newest is the schema of this release.
const newest = 0

// openAt is Open for some schema.
func openAt(ctx context.Context, where string, options Options, schema int) (*Store, error) {
	s := &Store{options: options.withDefaults(), turn: make(chan struct{}, 1)}
	var err error
	if IsPostgres(where) {
		err = s.openPostgres(where)
	} else {
		err = s.openSQLite(ctx, where, schema)
	}
	if err == nil {
		err = s.migrate(ctx, schema)
	}
	if err == nil && options.Opened != nil {
		err = s.Read(ctx, options.Opened)
	}
	if err == nil && options.Revocations != "" {
		err = s.openRevoked(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in %s: %w", placeOf(where), err), s.Close())
	}
	return s, nil
}

// IsPostgres says whether where, as Open takes it, is a PostgreSQL address.
func IsPostgres(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// Close ends the store. It waits for what is being read and written.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writers} { // the writers last: SQLite then tidies its files up
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.revoked != nil {
		errs = append(errs, s.revoked.close())
	}
	return errors.Join(errs...)
}

// Read calls f with a view of the store as it is when f first looks.
func (s *Store) Read(ctx context.Context, f func(control.Reader) error) error {
	conn, err := begin(ctx, s.readers, s.dialect.beginRead)
	if err != nil {
		return s.explain(ctx, "read", err)
	}
	defer conn.Close()
	defer rollback(ctx, conn)
	v := &view{ctx: ctx, conn: conn, store: s}
	defer v.end()
	return f(v)
}

// Write calls f when nobody else writes. Who waits does so until ctx ends.
func (s *Store) Write(ctx context.Context, f func(control.Writer) error) error {
	return s.write(ctx, func(w *writer) error { return f(w) })
}

func (s *Store) write(ctx context.Context, f func(*writer) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return s.explain(ctx, "wait for another change", ctx.Err())
	}
	conn, err := begin(ctx, s.writers, s.dialect.beginWrite)
	if err != nil {
		return s.explain(ctx, "wait for another change", err)
	}
	defer conn.Close()
	open := true
	defer func() { // also when f panics
		if open {
			rollback(ctx, conn)
		}
	}()
	w := &writer{view: view{ctx: ctx, conn: conn, store: s}}
	defer w.end()
	if err := f(w); err != nil {
		return err
	}
	if w.failed != nil { // f has ignored it, but half a change is none
		return w.failed
	}
	if err := ctx.Err(); err != nil {
		return s.explain(ctx, "write", err)
	}
	open = false
	// From here on it is done or not; who asked cannot stop it in between.
	if err := s.dialect.commit(context.WithoutCancel(ctx), conn); err != nil {
		rollback(ctx, conn)
		return s.explain(ctx, "commit", err)
	}
	if s.revoked != nil {
		s.revoked.add(w.revoked)
	}
	return nil
}

// begin begins a transaction. Connections of the pool that have broken while nobody used them are found out here, and
// another one is tried: nothing has been done yet.
func begin(ctx context.Context, db *sql.DB, how func(context.Context, *sql.Conn) error) (*sql.Conn, error) {
	for stale := 0; ; stale++ {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		if err = how(ctx, conn); err == nil {
			return conn, nil
		}
		alive := conn.PingContext(ctx) == nil
		if ctx.Err() != nil {
			rollback(ctx, conn) // it may have begun all the same, and the next to get the connection could not
		}
		_ = conn.Close() // one that has broken does not go back
		if alive || stale == readerConnections || ctx.Err() != nil {
			return nil, err
		}
	}
}

// rollback ends a transaction without effect. A connection that cannot even do that is not used again.
func rollback(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// explain says what was being done and with which database, and gives the error a kind where it is not our mistake.
func (s *Store) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		// Drivers say it in their own ways.
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%s: %s: %w", s.dialect.place(), doing, ended), "the store did not get to it in time: try again")
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	if explained := s.dialect.explain(err); errors.As(explained, &known) {
		return &fault.Error{Kind: known.Kind, Message: known.Message, Cause: fmt.Errorf("%s: %s: %w", s.dialect.place(), doing, known.Cause)}
	}
	return fmt.Errorf("%s: %s: %w", s.dialect.place(), doing, err)
}
