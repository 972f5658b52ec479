package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"sluice/internal/fault"
)

const (
	// postgresSchema is where our tables are, unless the address has a search_path.
	postgresSchema = "sluice"
	// postgresLock is the class of our advisory locks; the second number is the schema's.
	postgresLock = 0x51_1C_E0
	// idleInTransaction ends the transaction of a process that holds the lock and has gone silent.
	idleInTransaction = time.Minute
	// commitWait bounds a commit, commitDoubt the search for how one ended whose connection broke: longer than
	// idleInTransaction, after which the server has given it up.
	commitWait, commitDoubt = 30 * time.Second, idleInTransaction + 15*time.Second
	// askAgain is how long we wait before we look at a commit in doubt again.
	askAgain = 100 * time.Millisecond
)

type postgresDialect struct {
	address string // without the password
	others  *sql.DB
}

func (s *Store) openPostgres(where string) error {
	config, err := pgx.ParseConfig(where)
	s.dialect = postgresDialect{address: placeOf(where)}
	if err != nil {
		return err
	}
	set := func(name, value string) {
		if _, ok := config.RuntimeParams[name]; !ok {
			config.RuntimeParams[name] = value
		}
	}
	set("search_path", postgresSchema)
	set("application_name", "sluice")
	set("idle_in_transaction_session_timeout", fmt.Sprint(idleInTransaction.Milliseconds()))
	s.writers, s.readers = stdlib.OpenDB(*config), stdlib.OpenDB(*config)
	s.writers.SetMaxOpenConns(1)
	s.readers.SetMaxOpenConns(readerConnections)
	s.readers.SetMaxIdleConns(readerConnections)
	s.dialect = postgresDialect{address: placeOf(where), others: s.readers}
	return nil
}

// placeOf is where, without a password.
func placeOf(where string) string {
	if !IsPostgres(where) {
		return where
	}
	u, err := url.Parse(where)
	if err != nil {
		return "PostgreSQL"
	}
	query := u.Query()
	query.Del("password")
	return (&url.URL{Scheme: u.Scheme, User: url.User(u.User.Username()), Host: u.Host, Path: u.Path, RawQuery: query.Encode()}).String()
}

func (d postgresDialect) place() string { return d.address }

func (postgresDialect) schema(text string) string {
	return strings.NewReplacer("TEXT", `TEXT COLLATE "C"`, "BYTES", "BYTEA").Replace(text)
}

func (postgresDialect) beginRead(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	return err
}

// beginWrite: each statement sees what was committed before it, which behind the lock is everything.
func (postgresDialect) beginWrite(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	var locked bool // false: there is no schema, and so no number of it
	err := conn.QueryRowContext(ctx, "SELECT pg_advisory_xact_lock($1, hashtext(current_schema())) IS NOT NULL", postgresLock).Scan(&locked)
	if err == nil && !locked {
		err = errors.New("no schema of the search_path is there")
	}
	if err != nil {
		rollback(ctx, conn)
	}
	return err
}

// commit ends the transaction. When the connection breaks meanwhile, another one asks the server how it ended.
func (d postgresDialect) commit(ctx context.Context, conn *sql.Conn) error {
	committing, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	var id sql.NullString // of the transaction; none when nothing was written
	if err := conn.QueryRowContext(committing, "SELECT pg_current_xact_id_if_assigned()::text").Scan(&id); err != nil {
		return err
	}
	err := conn.Raw(func(c any) error {
		tag, err := c.(*stdlib.Conn).Conn().Exec(committing, "COMMIT")
		if err == nil && tag.String() != "COMMIT" {
			return fmt.Errorf("bug: the transaction had failed before: %s", tag)
		}
		return err
	})
	var told *pgconn.PgError
	if err == nil || !id.Valid || errors.As(err, &told) && !strings.HasPrefix(told.Code, "57P") { // 57P: the server goes down
		return err
	}
	return d.outcome(ctx, id.String, err)
}

// outcome returns nil when a transaction was committed, and an error that wraps broken when it was not.
func (d postgresDialect) outcome(ctx context.Context, id string, broken error) error {
	ctx, cancel := context.WithTimeout(ctx, commitDoubt)
	defer cancel()
	for {
		var status sql.NullString
		err := d.others.QueryRowContext(ctx, "SELECT pg_xact_status($1::text::xid8)", id).Scan(&status)
		switch {
		case err == nil && status.String == "committed":
			return nil
		case err == nil && status.String == "aborted":
			return fault.Wrap(fault.Unavailable, broken, "the database was lost while the change was being made; nothing was changed: try again")
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, errors.Join(broken, err), "the database was lost while the change was being made, and it is not known whether it was: look before trying again")
		}
	}
}

func (d postgresDialect) explain(err error) error {
	var e *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &e):
		switch {
		case e.Code == "53100":
			return fault.Wrap(fault.Unavailable, err, "the disk of the control plane's store is full; nothing was changed")
		case e.Code == "25006":
			return fault.Wrap(fault.Unavailable, err, "the control plane's database takes no changes: it is a standby, or set to read only")
		case strings.HasPrefix(e.Code, "XX"):
			return fault.Wrap(fault.Unavailable, err, "the control plane's store is damaged: restore it from a backup")
		case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57"), e.Code == "25P03", e.Code == "55P03":
			return fault.Wrap(fault.Unavailable, err, "the control plane's database is not available: try again")
		}
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, driver.ErrBadConn):
		return fault.Wrap(fault.Unavailable, err, "the control plane's database cannot be reached: try again")
	}
	return err
}

func (sqliteDialect) tables(ctx context.Context, conn *sql.Conn) (*sql.Rows, error) {
	return conn.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
}

func (postgresDialect) tables(ctx context.Context, conn *sql.Conn) (*sql.Rows, error) {
	return conn.QueryContext(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
}

func (sqliteDialect) prepare(context.Context, *Store) error { return nil }

// prepare makes the schema, and looks at what would break our promises.
func (d postgresDialect) prepare(ctx context.Context, s *Store) error {
	var there bool
	var path, syncs, flushes string
	if err := s.writers.QueryRowContext(ctx, "SELECT current_schema() IS NOT NULL, current_setting('search_path'), current_setting('synchronous_commit'), current_setting('fsync')").
		Scan(&there, &path, &syncs, &flushes); err != nil {
		return err
	}
	if syncs == "off" || flushes == "off" {
		s.options.Log.Warn("the database may forget confirmed changes when its machine stops", "store", d.address, "synchronous_commit", syncs, "fsync", flushes)
	}
	if there {
		return nil
	}
	if path != postgresSchema {
		return fmt.Errorf("no schema of search_path=%s is there: make it, or leave search_path out for %q", path, postgresSchema)
	}
	_, err := s.writers.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+postgresSchema)
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "23505" { // another process was as quick
		return nil
	}
	return err
}
