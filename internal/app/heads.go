package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
)

// Files of the audit log in the data directory: the key that signs its heads, and
// heads that are kept apart from the database, so that a log whose end was cut off is
// found out.
const (
	auditKeyFile = "audit.key"
	headsFile    = "audit-heads.jsonl"
	maxHeads     = 8 << 20 // bytes, after which a new file begins and the one before the last goes
)

// newSealer makes what signs heads of a store's audit log. known says that the data
// directory has been that store's before, and should have the key.
func newSealer(ctx context.Context, store control.Store, dir string, known bool, now func() time.Time, log *slog.Logger) (*audit.Sealer, error) {
	path := filepath.Join(dir, auditKeyFile)
	_, missing := os.Stat(path)
	key, err := audit.OpenKey(path)
	if err != nil {
		return nil, err
	}
	if known && errors.Is(missing, fs.ErrNotExist) {
		log.Warn("the key that signs heads of the audit log was not there, and another one is made: sluice audit verify needs the public keys of both", "file", path, "key", audit.KeyID(key.Public().(ed25519.PublicKey)))
	}
	return control.NewSealer(ctx, store, key, audit.SealerDeps{
		Now: now, Logger: log,
		Send: func(_ context.Context, h audit.Head) error { return keepHead(filepath.Join(dir, headsFile), h) },
	})
}

// keepHead adds a head to a file of them.
func keepHead(path string, h audit.Head) error {
	line, err := audit.HeadEvent(h)
	if err != nil {
		return err
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the head of the audit log: %w", err)
	}
	if size > maxHeads {
		size = 0
		if err := os.Rename(path, path+".1"); err != nil {
			return fmt.Errorf("keep the head of the audit log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the head of the audit log: %w", err)
	}
	if _, err = f.Write(append(line, '\n')); err != nil {
		err = errors.Join(err, f.Truncate(size)) // half a line would spoil the next
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keep the head of the audit log: %w", err)
	}
	return nil
}
