package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/store/sqlstore"
)

// storeFile is the control plane's database in the data directory, and revokedFile
// what it must not forget when it is restored.
const (
	storeFile   = "control.db"
	revokedFile = "revoked"
)

// place says where the store of a configuration is, as sqlstore.Open takes it.
func place(c config.Config) (string, error) {
	ref := c.Management.Postgres
	if ref.IsZero() {
		return filepath.Join(c.DataDir, storeFile), nil
	}
	where, err := config.ReadSecret(ref)
	if err != nil {
		return "", fmt.Errorf("management.postgres: %w", err)
	}
	if !sqlstore.IsPostgres(where) {
		return "", fmt.Errorf("management.postgres: %s holds no address as postgres://user:password@host/database", ref.Describe())
	}
	return where, nil
}

func storeOptions(c config.Config, now func() time.Time, log *slog.Logger) sqlstore.Options {
	return sqlstore.Options{Revocations: filepath.Join(c.DataDir, revokedFile), Now: now, Log: log}
}

// seedNote is where a store says of which seed its installation is.
const seedNote = "seed"

// seedMark tells seeds apart, and nothing of them.
func seedMark(seed []byte) (string, error) {
	mark, err := hkdf.Key(sha256.New, seed, nil, "sluice store mark", 16)
	return hex.EncodeToString(mark), err
}

// sameSeed sees to it that all who use a store have the same seed: topic ids, prefixes
// and keys of second factors are derived from it, and must not depend on which process answers.
func sameSeed(ctx context.Context, store control.Store, dir string, seed []byte) error {
	mark, err := seedMark(seed)
	if err != nil {
		return err
	}
	var known string
	if err := store.Read(ctx, func(r control.Reader) (err error) {
		known, err = r.Note(seedNote)
		return err
	}); err != nil {
		return err
	}
	if known == "" {
		if err := store.Write(ctx, func(w control.Writer) error {
			if known, err = w.Note(seedNote); err != nil || known != "" {
				return err // another process was first
			}
			known = mark
			return w.PutNote(seedNote, mark)
		}); err != nil {
			return err
		}
	}
	if known != mark {
		return otherSeed(dir)
	}
	return nil
}

func otherSeed(dir string) error {
	return fault.New(fault.Conflict, "the store is of an installation with another seed than %s, and clients would see other topic ids: copy the file there from a data directory of that installation, or restore a backup with --new-seed to do without",
		filepath.Join(dir, seedFile))
}

// Backup writes a copy of the store of a configuration to a file that is not there
// yet, without asking a control plane, which may be running.
func Backup(ctx context.Context, c config.Config, path string, log *slog.Logger) error {
	where, err := place(c)
	if err != nil {
		return err
	}
	if !sqlstore.IsPostgres(where) {
		if _, err := os.Stat(where); err != nil { // opening it would make one
			return fmt.Errorf("back up: %w", err)
		}
	}
	store, err := sqlstore.Open(ctx, where, sqlstore.Options{Log: log})
	if err != nil {
		return err
	}
	return errors.Join(store.Backup(ctx, path), store.Close())
}

// Restored says what Restore did.
type Restored struct {
	// Generation is that of the numbers of grants from now on.
	Generation uint64
	// Kept is where a damaged database was moved; "" when there was none.
	Kept string
}

// Restore puts a backup in the place of what the store of a configuration has. What
// was revoked since stays revoked. No process may have taken the data directory; control
// planes elsewhere that share a PostgreSQL database follow. With newSeed, the backup may be of an installation
// whose seed is lost.
func Restore(ctx context.Context, c config.Config, backup string, newSeed bool, now func() time.Time, log *slog.Logger) (Restored, error) {
	where, err := place(c)
	if err != nil {
		return Restored{}, err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return Restored{}, fmt.Errorf("make data directory: %w", err)
	}
	s := &state{dir: c.DataDir, saved: map[string]string{}}
	switch err := s.takeLock("--data-dir"); {
	case errors.Is(err, errInUse):
		return Restored{}, fmt.Errorf("restore: data directory %s %w: stop it, restore, and start it again", c.DataDir, errInUse)
	case err != nil:
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	defer s.close()
	options := storeOptions(c, now, log)
	options.Accept = func(r control.Reader) error {
		if newSeed {
			return nil
		}
		if err := s.readSeed(); err != nil {
			return err
		}
		mark, err := seedMark(s.seed)
		if err != nil {
			return err
		}
		if known, err := r.Note(seedNote); err != nil || known == "" || known == mark {
			return err
		}
		if _, err := os.Stat(filepath.Join(c.DataDir, seedFile)); errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Conflict, "there is no %s, from which topic ids and second factors are derived: copy it from where you keep it, or do without with --new-seed: clients then see new topic ids, and second factors are lost", filepath.Join(c.DataDir, seedFile))
		}
		return otherSeed(c.DataDir)
	}
	done, err := sqlstore.Restore(ctx, backup, where, options)
	if err != nil {
		return Restored{}, err
	}
	out := Restored{Generation: done.Identity.Generation, Kept: done.Kept}
	if err := keepInstallation(c.DataDir, done.Identity); err != nil {
		return out, err
	}
	if !newSeed {
		return out, nil
	}
	store, err := sqlstore.Open(ctx, where, options)
	if err != nil {
		return out, err
	}
	err = store.Write(ctx, func(w control.Writer) error { return w.PutNote(seedNote, "") })
	return out, errors.Join(err, store.Close())
}
