package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"sluice/internal/fault"
)

const (
	// readerConnections is how many may read at once; the others wait.
	readerConnections = 8
	// sqliteWait is how long SQLite itself waits for a lock, in milliseconds; in truth the context ends it.
	sqliteWait = 24 * 3600 * 1000
	// logKeepBytes is what the write-ahead log is cut to once it has been moved into the database.
	logKeepBytes = 64 << 20
)

// errDamaged is the cause of errors of a file that does not hold what it should.
var errDamaged = errors.New("the database is damaged")

type sqliteDialect struct{ path string }

// sqliteAddress is what the driver opens a file by.
func sqliteAddress(path string, query url.Values) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: query.Encode()}).String(), nil
}

func openSQLiteFile(path string, pragmas ...string) (*sql.DB, error) {
	address, err := sqliteAddress(path, url.Values{"mode": {"rw"}, "_dqs": {"0"}, "_error_rc": {"1"}, "_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", sqliteWait), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", fmt.Sprintf("journal_size_limit(%d)", logKeepBytes),
	}, pragmas...)})
	if err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(address)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (s *Store) openSQLite(ctx context.Context, path string, schema int) error {
	s.dialect = sqliteDialect{path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.makeSQLite(ctx, path, schema); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Size() == 0: // ours are never empty: see makeSQLite
		return fault.Wrap(fault.Unavailable, errDamaged, "%s is empty: restore it from a backup, or remove it to begin anew", path)
	case info.Mode().Perm()&0o077 != 0:
		// By its path: closing the file would drop the locks that SQLite holds on it in this process.
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
	}
	if s.writers, err = openSQLiteFile(path); err != nil {
		return err
	}
	s.writers.SetMaxOpenConns(1)
	if s.readers, err = openSQLiteFile(path, "query_only(1)"); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(readerConnections)
	s.readers.SetMaxIdleConns(readerConnections)
	return s.explain(ctx, "open", s.writers.PingContext(ctx))
}

// makeSQLite makes a file with all tables elsewhere and moves it to its place, so that a file is complete or not
// there; an empty one has been damaged.
func (s *Store) makeSQLite(ctx context.Context, path string, schema int) (err error) {
	for _, beside := range []string{"-wal", "-journal"} {
		if _, err := os.Stat(path + beside); err == nil {
			return fault.New(fault.Unavailable, "%s is missing, but %s is there: restore both or the backup, or remove it to begin anew", path, path+beside)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer removeSQLite(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	made := &Store{dialect: s.dialect, options: s.options, turn: make(chan struct{}, 1)}
	if made.writers, err = openSQLiteFile(f.Name()); err != nil {
		return err
	}
	made.writers.SetMaxOpenConns(1)
	if err := errors.Join(made.migrate(ctx, schema), made.Close()); err != nil {
		return err
	}
	// Another process may have made it meanwhile: its file stays.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// removeSQLite removes a database's files.
func removeSQLite(path string) {
	for _, beside := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(path + beside)
	}
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d sqliteDialect) place() string { return d.path }

// schema: SQLite compares texts by bytes anyway.
func (sqliteDialect) schema(text string) string {
	return strings.NewReplacer("BIGINT", "INTEGER", "BYTES", "BLOB", "\n);", "\n) STRICT;").Replace(text)
}

func (sqliteDialect) beginRead(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN")
	return err
}

func (sqliteDialect) beginWrite(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

func (sqliteDialect) commit(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}

func (d sqliteDialect) explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fault.Wrap(fault.Unavailable, err, "the disk of the control plane's store is full; nothing was changed")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fault.Wrap(fault.Unavailable, err, "the file of the control plane's store cannot be used; nothing was changed")
	case sqlite3.SQLITE_CORRUPT:
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", errDamaged, err), "the control plane's store is damaged: restore it from a backup")
	case sqlite3.SQLITE_NOTADB:
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", errDamaged, err), "the control plane's store is damaged, or is no SQLite database at all: restore it from a backup")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Wrap(fault.Unavailable, err, "another process holds the control plane's store: try again")
	}
	return err
}
