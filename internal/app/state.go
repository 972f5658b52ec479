package app

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
)

// What a data directory holds, besides the learned ports that are the
// gateway's.
const (
	lockFile     = "lock"
	seedFile     = "seed"
	historyFile  = "history.json"
	snapshotFile = "snapshot.json"
	seedBytes    = 32
)

// state is a data directory that this process has taken for itself.
type state struct {
	dir     string
	lock    *os.File
	seed    []byte
	history *publish.History
	// snapshot is the one in force when the process ended; nil at the first start.
	snapshot *grant.Snapshot
	saved    map[string]string // content of files, to write only what changed
}

// openState makes a data directory if it is not there, and takes it. setting is
// where another one is chosen.
func openState(dir, setting string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w: choose another with %s", err, setting)
	}
	s := &state{dir: dir, saved: map[string]string{}}
	if err := s.takeLock(setting); err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *state) takeLock(setting string) error {
	f, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock data directory: %w: choose another with %s", err, setting)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("data directory %s is in use by another sluice: stop it, or choose another with %s", s.dir, setting)
		}
		return fmt.Errorf("lock data directory %s: %w", s.dir, err)
	}
	s.lock = f
	return nil
}

// read reads what is there, and makes the seed when there is none.
func (s *state) read() error {
	text, ok, err := s.file(seedFile)
	if err != nil {
		return err
	}
	if ok {
		if s.seed, err = hex.DecodeString(strings.TrimSpace(text)); err != nil || len(s.seed) != seedBytes {
			return fmt.Errorf("%s is damaged: restore it from a backup; without it clients see new topic ids", filepath.Join(s.dir, seedFile))
		}
	} else {
		s.seed = make([]byte, seedBytes)
		rand.Read(s.seed)
	}
	if text, ok, err = s.file(historyFile); err != nil {
		return err
	} else if ok {
		s.history = new(publish.History)
		if err := json.Unmarshal([]byte(text), s.history); err != nil {
			return fmt.Errorf("%s: %w: restore it from a backup, or remove it: what ended lately is then answered as if it never was", filepath.Join(s.dir, historyFile), err)
		}
	}
	if text, ok, err = s.file(snapshotFile); err != nil {
		return err
	} else if ok {
		s.snapshot = new(grant.Snapshot)
		if err := json.Unmarshal([]byte(text), s.snapshot); err != nil {
			return fmt.Errorf("%s: %w: remove it, it is made again from the resources", filepath.Join(s.dir, snapshotFile), err)
		}
	}
	return nil
}

func (s *state) file(name string) (text string, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read data directory: %w", err)
	}
	s.saved[name] = string(data)
	return string(data), true, nil
}

// keep writes what changed, the history before the snapshot that rests on it.
func (s *state) keep(history *publish.History, snapshot *grant.Snapshot) error {
	if err := s.write(seedFile, []byte(hex.EncodeToString(s.seed)+"\n")); err != nil {
		return err
	}
	past, err := json.Marshal(history)
	if err != nil {
		return err
	}
	if err := s.write(historyFile, append(past, '\n')); err != nil {
		return err
	}
	if s.snapshot != snapshot {
		grants, err := json.Marshal(snapshot)
		if err != nil {
			return err
		}
		if err := s.write(snapshotFile, append(grants, '\n')); err != nil {
			return err
		}
	}
	s.history, s.snapshot = history, snapshot
	return nil
}

func (s *state) write(name string, data []byte) error {
	if s.saved[name] == string(data) {
		return nil
	}
	if err := writeFile(filepath.Join(s.dir, name), data); err != nil {
		return fmt.Errorf("write data directory: %w", err)
	}
	s.saved[name] = string(data)
	return nil
}

// close gives the data directory back.
func (s *state) close() { s.lock.Close() }

// writeFile replaces a file as a whole or not at all, also over a power
// failure; only its owner may read it.
func writeFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(name)); err == nil {
		defer dir.Close()
		return dir.Sync()
	}
	return nil
}
