package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// writeWhole writes a file that only its owner may read, and that is complete or not
// there: what was there stays until then.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	buffered := bufio.NewWriter(f)
	if err := write(buffered); err != nil {
		return err
	}
	if err := errors.Join(buffered.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// writeNew is writeWhole for a file that is not to be there yet, unless force replaces it.
func writeNew(path string, force bool, write func(io.Writer) error) error {
	if err := notThere(path, force); err != nil {
		return err
	}
	return writeWhole(path, func(out io.Writer) error {
		if err := write(out); err != nil {
			return err
		}
		return notThere(path, force) // writing may have taken minutes
	})
}

// notThere refuses a file that is there, unless force says that it may be.
func notThere(path string, force bool) error {
	if _, err := os.Lstat(path); force || errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return fmt.Errorf("%s is there already: name another file, or replace it with --force", path)
}

// atMost wants n arguments or fewer.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q", args[n])
		}
		return nil
	}
}
