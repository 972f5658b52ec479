package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/fault"
	"sluice/internal/store/sqlstore"
)

// installationFile says of which store a data directory is, so that a control plane
// does not begin anew, or with another one, when its own is away: to the gateways that
// have joined it would be one that sends them all away.
const installationFile = "installation"

// installation is the content of that file.
type installation struct {
	// Store is the ID of the store, Generation the last one that was seen of it.
	Store      string `json:"store"`
	Generation uint64 `json:"generation"`
}

// remains are the files of a data directory that only a control plane leaves there, and
// only once it has had its store.
func remains(dir string) []string {
	var out []string
	for _, name := range []string{installationFile, headsFile, auditKeyFile, publishedFile, revokedFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			out = append(out, name)
		}
	}
	return out
}

// beginAnew is what to do about a store that is not that of its data directory.
const beginAnew = "restore a backup of it with sluice restore, or bring the store back; to begin anew, remove the files of the data directory first: every gateway then has to join again"

// storeThere refuses to go on without the store of a data directory that has had one.
func storeThere(ctx context.Context, dir, where string) error {
	left := remains(dir)
	if len(left) == 0 {
		return nil
	}
	if sqlstore.IsPostgres(where) {
		if schema, _, err := sqlstore.Inspect(ctx, where); err != nil || schema > 0 {
			return err
		}
		where = "the database of management.postgres"
	} else if _, err := os.Stat(where); !errors.Is(err, fs.ErrNotExist) {
		return nil // whoever opens it says what is wrong
	}
	return fault.New(fault.Conflict, "there is no store in %s, and data directory %s is of a control plane that has had one (%s): %s", where, dir, strings.Join(left, ", "), beginAnew)
}

// installed returns of which store a data directory is, nil when it does not say so. One
// that an earlier release has left says it in the heads of its audit log.
func installed(dir string, log *slog.Logger) (*installation, error) {
	text, err := os.ReadFile(filepath.Join(dir, installationFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read data directory: %w", err)
	}
	if err == nil {
		known := new(installation)
		if err = json.Unmarshal(text, known); err == nil && known.Store != "" {
			return known, nil
		}
		log.Warn("a file of the data directory is damaged and made again, after a look at the heads of the audit log", "file", filepath.Join(dir, installationFile), "err", err)
	}
	f, err := os.Open(filepath.Join(dir, headsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read data directory: %w", err)
	}
	defer f.Close()
	heads, err := audit.ReadHeads(f)
	if err != nil || len(heads) == 0 {
		return nil, nil // sluice audit verify says what is wrong with them
	}
	return &installation{Store: heads[len(heads)-1].Log}, nil
}

// sameStore refuses a store that is not the one of a data directory, or that was set back
// without a new generation, in which gateways could not follow it.
func (known *installation) sameStore(id control.Identity, dir string) error {
	switch {
	case known == nil:
		return nil
	case known.Store != id.ID:
		return fault.New(fault.Conflict, "the store is another one (%s) than that of data directory %s (%s): %s", id.ID, dir, known.Store, beginAnew)
	case id.Generation < known.Generation:
		return fault.New(fault.Conflict, "the store is older than what data directory %s has seen of it (generation %d, after %d): it was replaced without sluice restore, which raises the generation, so that gateways follow: move it away and restore it, or a newer backup, with sluice restore",
			dir, id.Generation, known.Generation)
	}
	return nil
}

// keepInstallation writes down of which store a data directory is.
func keepInstallation(dir string, id control.Identity) error {
	text, err := json.Marshal(installation{Store: id.ID, Generation: id.Generation})
	if err == nil {
		err = writeFile(filepath.Join(dir, installationFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write down of which store data directory %s is: %w", dir, err)
	}
	return nil
}
