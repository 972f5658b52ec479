package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// storeFlags find the store of a control plane where it is kept.
type storeFlags struct{ config, dataDir string }

func (f *storeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file of the control plane (default sluice.yaml, if there is one)")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "its data directory")
}

func (f *storeFlags) load(s Streams) (Setup, error) {
	setup := setupFlags{config: f.config, dataDir: f.dataDir, logLevel: "warn"}
	return setup.load(s)
}

func newBackup(s Streams, p Programs) *cobra.Command {
	var server serverFlags
	var store storeFlags
	var force bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write a backup of the control plane, which goes on meanwhile",
		Long: `Write a backup of the control plane, which goes on meanwhile, to FILE, which is
complete or not there. It is asked for at the management API, by a platform-admin;
with --data-dir or --config, the store is read where it is kept. A FILE that is there
stays, unless --force replaces it.

It holds what proves people and credentials: keep it as you keep the data directory,
and elsewhere than the files "seed", "revoked" and "audit.key" there, which a restore
needs and a backup does not hold.`,
		Example: "  sluice backup sluice-2026-05-01.backup\n  sluice backup --data-dir sluice-data sluice-2026-05-01.db",
		Args:    exactly(1, "the file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if store != (storeFlags{}) {
				setup, err := store.load(s)
				if err != nil {
					return err
				}
				if err := backUpTo(args[0], force, func(path string) error { return p.Backup(cmd.Context(), setup, path) }); err != nil {
					return err
				}
				return written(s, args[0])
			}
			c, err := server.client(formatTable)
			if err != nil {
				return err
			}
			if err := writeNew(args[0], force, func(out io.Writer) error { return c.Backup(cmd.Context(), out) }); err != nil {
				return err
			}
			return written(s, args[0])
		},
	}
	server.add(cmd, formatTable)
	store.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace the file when it is there")
	return cmd
}

// backUpTo calls backup with a path where nothing is, and has the file at path then.
func backUpTo(path string, force bool, backup func(path string) error) error {
	if err := notThere(path, force); err != nil {
		return err
	}
	if !force {
		return backup(path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sluice-backup-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	next := filepath.Join(dir, filepath.Base(path))
	if err := backup(next); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// written says that a file is there, and how large it is.
func written(s Streams, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Err, "%s is written, %d bytes\n", path, info.Size())
	return err
}

func newRestore(s Streams, p Programs) *cobra.Command {
	var store storeFlags
	var newSeed bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of what a control plane has",
		Long: `Put a backup in the place of what a control plane has: all of it, or nothing. It works
where the store is kept, and moves one from SQLite to PostgreSQL, or back. Stop what
runs on the data directory first; control planes elsewhere that share a PostgreSQL
database follow within a second.

What was revoked or removed since the backup stays so, as far as the store that is
replaced, or the file "revoked" in the data directory, knows; logins end, and gateways
take the new numbers of grants. A damaged database is moved aside; nothing may use it.

The data directory needs the file "seed" of the installation. With --new-seed it is done
without: clients see new topic ids, and second factors are lost.`,
		Example: "  sluice restore --data-dir sluice-data sluice-2026-05-01.backup\n  sluice restore --config sluice.yaml sluice-2026-05-01.backup",
		Args:    exactly(1, "the backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			setup, err := store.load(s)
			if err != nil {
				return err
			}
			done, err := p.Restore(cmd.Context(), setup, args[0], newSeed)
			if err != nil {
				return err
			}
			if done.Kept != "" {
				fmt.Fprintf(s.Err, "the database was damaged, and is in %s now\n", done.Kept)
			}
			_, err = fmt.Fprintf(s.Out, "restored; grants are of generation %d now, and everybody has to log in again\n", done.Generation)
			return err
		},
	}
	store.add(cmd)
	cmd.Flags().BoolVar(&newSeed, "new-seed", false, "do without the seed of the installation")
	return cmd
}
