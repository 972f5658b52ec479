package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/journal"
)

// What a data directory holds, besides the learned ports that are the
// gateway's.
const (
	lockFile     = "lock"
	seedFile     = "seed"
	historyFile  = "history.json"
	snapshotFile = "snapshot.json"
	seedBytes    = 32
	// environmentsDir has those besides the one of the configuration, feedDir what the
	// feed between control plane and gateways keeps.
	environmentsDir = "environments"
	feedDir         = "feed"
)

// state is a data directory that this process has taken for itself.
type state struct {
	dir     string
	lock    *os.File
	seed    []byte
	history *publish.History
	// snapshot is the one in force when the process ended; nil at the first start.
	snapshot *grant.Snapshot
	recalled bool              // history and snapshot are as they are in the files
	saved    map[string]string // content of files, to write only what changed
	written  *grant.Snapshot   // that is in its file
	leaving  *leaving          // what the resume file is to have; nil when it has it
	left     [sha256.Size]byte // of the content that it has
	// published holds history and snapshot instead of their files; nil without a control plane.
	published *published
	unsaved   error    // why history or snapshot are not in their files
	damaged   []damage // files that could not be understood
}

// damage is a file that could not be understood, and what it means to go on
// without it.
type damage struct {
	file string
	err  error
	loss string
}

// errInUse says that another process has taken a data directory.
var errInUse = errors.New("is in use by another sluice")

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
	if err := s.readSeed(); err != nil {
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
			return fmt.Errorf("data directory %s %w: stop it, or choose another with %s", s.dir, errInUse, setting)
		}
		return fmt.Errorf("lock data directory %s: %w", s.dir, err)
	}
	s.lock = f
	return nil
}

// read reads everything that is there.
func (s *state) read() error {
	if err := s.readSeed(); err != nil {
		return err
	}
	return s.recall()
}

// readSeed reads the seed, or makes it when there is none.
func (s *state) readSeed() error {
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
	return nil
}

// keepSeed writes the seed, unless it is there.
func (s *state) keepSeed() error {
	if err := s.write(seedFile, []byte(hex.EncodeToString(s.seed)+"\n")); err != nil {
		return err
	}
	return nil
}

// publishes lets history and snapshot be in one file, of which changes are written.
func (s *state) publishes() {
	if s.published == nil {
		s.published = &published{file: journal.File{Name: filepath.Join(s.dir, publishedFile), Save: writeFile}}
	}
}

// recall reads history and snapshot, once; a snapshot that is known to be that of
// the file is not read.
func (s *state) recall() error {
	if s.recalled {
		return nil
	}
	if s.published != nil {
		if err := s.published.read(); err != nil {
			s.damaged = append(s.damaged, damage{publishedFile, err, "what ended before the last change of the documents is answered as if it never was"})
		}
		s.history, s.snapshot, s.recalled = s.published.history, s.published.snapshot, true
		return nil
	}
	text, ok, err := s.file(historyFile)
	if err != nil {
		return err
	} else if ok {
		s.history = new(publish.History)
		if err := json.Unmarshal([]byte(text), s.history); err != nil {
			s.history = nil
			s.damaged = append(s.damaged, damage{historyFile, err, "what ended before the last change of the documents is answered as if it never was"})
		}
	}
	if s.snapshot == nil {
		if text, ok, err = s.file(snapshotFile); err != nil {
			return err
		} else if ok {
			s.snapshot = new(grant.Snapshot)
			if err := json.Unmarshal([]byte(text), s.snapshot); err != nil {
				s.snapshot = nil
				s.damaged = append(s.damaged, damage{snapshotFile, err, "nothing, it is made again from the resources"})
			}
		}
		s.written = s.snapshot
	}
	s.recalled = true
	return nil
}

// stamp tells a file from what it was before it was last written; "" when it is
// not there.
func (s *state) stamp(name string) string {
	info, err := os.Stat(filepath.Join(s.dir, name))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
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

// setAside keeps damaged files for whoever wants to look at them, and says what
// is lost. Access is not: that comes from the documents.
func (s *state) setAside(log *slog.Logger) {
	if s.published != nil && s.published.cut {
		s.published.cut = false
		log.Warn("the last change of what is published was cut off or damaged, and is made again from the documents", "file", s.published.file.Name)
	}
	for _, d := range s.damaged {
		name := filepath.Join(s.dir, d.file)
		kept := name + ".damaged"
		if err := os.Rename(name, kept); err != nil {
			kept = "not kept: " + err.Error()
		}
		log.Error("a file of the data directory is damaged and not used", "file", name, "err", d.err, "lost", d.loss, "kept_as", kept)
	}
	s.damaged = nil
}

// keep takes note of what is in force and writes what changed of it. Only a seed
// that is not kept is an error: with another one, clients would see other topic
// ids after a restart. Documents are obeyed on a full disk too, since they may
// take something away; flush tries again to write what they came to.
func (s *state) keep(history *publish.History, snapshot *grant.Snapshot, leaving *leaving) error {
	if err := s.keepSeed(); err != nil {
		return err
	}
	s.history, s.snapshot, s.leaving = history, snapshot, leaving
	s.flush()
	return nil
}

// flush writes the history, then the snapshot that rests on it, and then what
// rests on both.
func (s *state) flush() { s.unsaved = s.save() }

func (s *state) save() error {
	if s.published != nil {
		return s.published.save(s.history, s.snapshot)
	}
	past, err := json.Marshal(s.history)
	if err != nil {
		return err
	}
	if err := s.write(historyFile, append(past, '\n')); err != nil {
		return err
	}
	if s.written != s.snapshot {
		grants, err := json.Marshal(s.snapshot)
		if err != nil {
			return err
		}
		if err := s.write(snapshotFile, append(grants, '\n')); err != nil {
			return err
		}
		s.written = s.snapshot
	}
	return s.saveLeaving()
}

// saveLeaving writes the resume file, unless it has the same already.
func (s *state) saveLeaving() error {
	l := s.leaving
	if l == nil {
		return nil
	}
	l.past.Beside = map[string]string{historyFile: s.stamp(historyFile), snapshotFile: s.stamp(snapshotFile)}
	content, err := l.content()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(content); sum != s.left {
		text, err := sealed(content, s.seed, l.past.Secrets, l.secrets)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(s.dir, resumeFile), text); err != nil {
			return fmt.Errorf("write data directory: %w", err)
		}
		s.left = sum
	}
	s.leaving = nil
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

// close gives the data directory back. A child that is being started beside has
// a copy of the descriptor until it executes its program, and with it the lock,
// unless that is given back by itself.
func (s *state) close() {
	_ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
	s.lock.Close()
}

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

// part returns the state of another environment, in a directory of its own below s, with
// the seed of s. It lives as long as s.
func (s *state) part(name string) (*state, error) {
	dir := filepath.Join(s.dir, environmentsDir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return &state{dir: dir, seed: s.seed, saved: map[string]string{seedFile: hex.EncodeToString(s.seed) + "\n"}}, nil
}
