package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
)

// Backup writes a copy of the store, as it is at one moment, to a file that is not
// there yet, and that only its owner may read. Nobody has to stop. From SQLite it is a
// database, which can be opened; from PostgreSQL it is an Export (pg_dump does as
// well, for who has it). The file is complete or not there.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("back up %s: %w", s.dialect.place(), err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s is there already", path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer removeSQLite(f.Name())
	defer f.Close()
	if d, ok := s.dialect.(sqliteDialect); ok {
		db, err := openSQLiteFile(d.path)
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, "VACUUM INTO $1", f.Name()) // into an empty file, whose mode stays
		if err := errors.Join(err, db.Close()); err != nil {
			return s.explain(ctx, "copy", err)
		}
	} else if err := s.Export(ctx, f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // which replaces nothing
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// Check reads the whole store and returns what is damaged. It takes its time.
func (s *Store) Check(ctx context.Context) error {
	if _, ok := s.dialect.(sqliteDialect); !ok {
		return nil // PostgreSQL has tools of its own: checksums, pg_amcheck
	}
	var told string
	if err := s.readers.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&told); err != nil {
		return s.explain(ctx, "check", err)
	}
	if told != "ok" {
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %s", errDamaged, told), "%s is damaged: restore it from a backup", s.dialect.place())
	}
	return nil
}

// Restored says what Restore did.
type Restored struct {
	// Identity is the store's now.
	Identity control.Identity
	// Kept is where a damaged database was moved; "" when there was none.
	Kept string
}

// Restore puts what a backup or an export has in the place of what the store has, in
// one transaction. Credentials that were revoked or removed since are revoked again,
// as far as the store that is replaced, or Options.Revocations, knows; the generation
// rises, and an audit row tells of it. The store may be in use: those who follow its
// changes are told to read all anew. A SQLite database that is damaged is moved away
// first, and must not be in use.
//
// A backup of another store is refused, unless this one is empty.
func Restore(ctx context.Context, backup, where string, options Options) (Restored, error) {
	r, err := restore(ctx, backup, where, options)
	if err != nil {
		return r, fmt.Errorf("restore %s from %s: %w", placeOf(where), backup, err)
	}
	return r, nil
}

func restore(ctx context.Context, backup, where string, options Options) (done Restored, err error) {
	folder, err := os.MkdirTemp("", "sluice-restore-")
	if err != nil {
		return done, err
	}
	defer os.RemoveAll(folder)
	from, err := stage(ctx, backup, filepath.Join(folder, "staged.db"), options)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if options.Accept != nil {
		if err := from.Read(ctx, options.Accept); err != nil {
			return done, err
		}
	}
	ended := map[revocation]bool{}
	if options.Revocations != "" {
		if ended, err = readRevoked(options.Revocations); err != nil {
			return done, err
		}
	}
	plain := options
	plain.Revocations = "" // it is told at the end, once everything is there
	attempt := func() error {
		to, err := Open(ctx, where, plain)
		if err != nil {
			return err
		}
		err = from.Read(ctx, func(r control.Reader) error {
			return to.write(ctx, func(w *writer) error { return w.replace(r.(*view), ended, backup) })
		})
		return errors.Join(err, to.Close())
	}
	err = attempt()
	if errors.Is(err, errDamaged) && !IsPostgres(where) {
		if done.Kept, err = moveAway(where, from.options.Now()); err != nil {
			return done, err
		}
		from.options.Log.Warn("the store is damaged, and what it knew of revocations is lost, apart from what was written beside it", "kept", done.Kept, "beside", options.Revocations)
		err = attempt()
	}
	if err != nil {
		return done, err
	}
	again, err := Open(ctx, where, options)
	if err != nil {
		return done, err
	}
	err = again.Read(ctx, func(r control.Reader) error {
		done.Identity, err = r.Identity()
		return err
	})
	return done, errors.Join(err, again.Close())
}

// stage makes a store of a backup elsewhere and looks whether it is sound.
func stage(ctx context.Context, backup, place string, options Options) (*Store, error) {
	f, err := os.Open(backup)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	magic := make([]byte, 16)
	if _, err := io.ReadFull(f, magic); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	plain := Options{Log: options.Log, Now: options.Now}
	if !bytes.Equal(magic, []byte("SQLite format 3\x00")) {
		return Import(ctx, f, place, plain)
	}
	to, err := os.OpenFile(place, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(to, f); err != nil {
		return nil, errors.Join(err, to.Close())
	}
	if err := to.Close(); err != nil {
		return nil, err
	}
	if err := ours(ctx, place); err != nil { // opening it would make a store of nothing
		return nil, err
	}
	s, err := Open(ctx, place, plain)
	if err != nil {
		return nil, unusable(err)
	}
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(unusable(err), s.Close())
	}
	return s, nil
}

// ours looks whether a SQLite database is of a control plane.
func ours(ctx context.Context, path string) error {
	db, err := openSQLiteFile(path)
	if err != nil {
		return err
	}
	var n int
	err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE name = $1", migrationsTable).Scan(&n)
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("this SQLite database cannot be read, it may be cut off: use another backup: %w", err)
	}
	if n == 0 {
		return errors.New("this SQLite database is no backup of a control plane: it has none of its tables")
	}
	return nil
}

// unusable says of a damaged backup that it is the backup that is damaged.
func unusable(err error) error {
	if errors.Is(err, errDamaged) {
		return fault.Wrap(fault.Invalid, err, "this backup is damaged, or cut off: use another one")
	}
	return err
}

// moveAway renames a database's files.
func moveAway(path string, now time.Time) (string, error) {
	kept := path + ".damaged-" + now.UTC().Format("20060102T150405")
	for _, beside := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+beside, kept+beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return kept, syncFolder(filepath.Dir(path))
}

// replace puts all rows of another store in the place of ours.
func (w *writer) replace(from *view, ended map[revocation]bool, source string) error {
	ours, err := w.Identity()
	if err != nil {
		return err
	}
	theirs, err := from.Identity()
	if err != nil {
		return err
	}
	seq, err := w.Seq()
	if err != nil {
		return err
	}
	if seq > 0 && ours.ID != theirs.ID {
		return fault.New(fault.Conflict, "it is a backup of another store (%s, not %s): remove this store first if you mean it", theirs.ID, ours.ID)
	}
	known, err := w.revocations()
	if err != nil {
		return err
	}
	for _, r := range known {
		ended[r] = true
	}
	last, err := from.Seq()
	if err != nil {
		return err
	}
	for _, table := range slices.Backward(tables) {
		if err := w.exec("DELETE FROM " + table.name); err != nil {
			return err
		}
	}
	for _, table := range tables {
		if table.name == "changes" {
			continue
		}
		if err := from.rows(table.name, table.key, func(columns []string, values []any) error { return w.insert(table.name, columns, values) }); err != nil {
			return err
		}
	}
	if err := w.exec("UPDATE identity SET generation = $1", int64(max(ours.Generation, theirs.Generation))); err != nil {
		return err
	}
	// Numbers of changes go on behind all that anybody may know, with a gap: who follows them reads all anew.
	w.seq = max(seq, last) + 2
	if err := w.exec("INSERT INTO changes (seq, kind, name, serial, time) VALUES ($1, '', '', 0, $2)", w.seq, micros{w.store.options.Now()}); err != nil {
		return err
	}
	return w.reviveNothing(slices.Collect(maps.Keys(ended)), source)
}

// Inspect looks whether a store can be used: it returns the schema that it has, 0 for none,
// and the newest one, which Open would bring it to. The error says what is damaged. It
// changes nothing, and the store may be in use.
func Inspect(ctx context.Context, where string) (schema, newest int, err error) {
	s := &Store{options: Options{}.withDefaults(), turn: make(chan struct{}, 1)}
	defer func() { err = errors.Join(err, s.Close()) }()
	if IsPostgres(where) {
		err = s.openPostgres(where)
	} else {
		s.dialect = sqliteDialect{where}
		s.readers, err = openSQLiteFile(where, "query_only(1)")
	}
	if err != nil {
		return 0, 0, err
	}
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return 0, 0, s.explain(ctx, "open", err)
	}
	schema, err = s.schemaOf(ctx, conn)
	if err := errors.Join(err, conn.Close()); err != nil {
		return 0, 0, s.explain(ctx, "look at the schema", err)
	}
	texts, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	return schema, len(texts), s.Check(ctx)
}
