package sqlstore

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/resource"
)

// stateRevoked is the state of a credential that has ended for good.
const stateRevoked = "revoked"

// revocation says that a secret of a credential, or with N 0 the credential itself,
// ended: it was revoked, or removed. What was made until then must never count again.
type revocation struct {
	Credential string    `json:"credential"`
	N          int       `json:"n,omitzero"`
	Time       time.Time `json:"time"`
}

func (r revocation) normal() revocation {
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	return r
}

// revoke writes a revocation down, in the transaction and, after it, in the file.
func (w *writer) revoke(r revocation) error {
	r = r.normal()
	n, err := w.execN("INSERT INTO revocations (credential, n, time) VALUES ($1, $2, $3) ON CONFLICT (credential, n, time) DO NOTHING", r.Credential, r.N, r.Time.UnixMicro())
	if n > 0 {
		w.revoked = append(w.revoked, r)
	}
	return err
}

func (v *view) revocations() ([]revocation, error) {
	return collect(v, func(rows *sql.Rows) (r revocation, err error) {
		var at micros
		err = rows.Scan(&r.Credential, &r.N, &at)
		r.Time = at.Time
		return r, err
	}, "SELECT credential, n, time FROM revocations ORDER BY time, credential, n")
}

// revokedFile has a line of JSON for each revocation. It is only ever added to.
type revokedFile struct {
	mu   sync.Mutex // guards what follows
	f    *os.File
	owed []revocation // that could not be written yet
	warn func(error)

	closed bool
}

// readRevoked returns what is in a file, nothing when it is not there. A last line without end was being written when
// the machine stopped; the database has it.
func readRevoked(path string) (map[revocation]bool, error) {
	known := map[revocation]bool{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	lines := bufio.NewReader(bytes.NewReader(b))
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return known, nil
		}
		var r revocation
		if err := json.Unmarshal(line, &r); err != nil || r.Credential == "" {
			if len(bytes.TrimSpace(line)) == 0 || n > 1 && isTorn(line) {
				continue
			}
			return nil, fmt.Errorf("read revocations: line %d of %s is damaged: restore the file, or remove the line if no backup will be restored", n, path)
		}
		known[r.normal()] = true
	}
}

// openRevoked opens the file, and makes it and the database know the same. What only the file knows was revoked in a
// store that has been replaced by an older one since: it is revoked anew.
func (s *Store) openRevoked(ctx context.Context) error {
	path := s.options.Revocations
	known, err := readRevoked(path)
	if err != nil {
		return err
	}
	var stored []revocation
	if err := s.Read(ctx, func(r control.Reader) (err error) {
		stored, err = r.(*view).revocations()
		return err
	}); err != nil {
		return err
	}
	var owed []revocation
	for _, r := range stored {
		if !known[r] {
			owed = append(owed, r)
		}
		delete(known, r)
	}
	if len(known) > 0 {
		if err := s.write(ctx, func(w *writer) error {
			return w.reviveNothing(slices.Collect(maps.Keys(known)), "revocations beside the store")
		}); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open revocations: %w", err)
	}
	s.revoked = &revokedFile{f: f, warn: func(err error) {
		s.options.Log.Error("revocations could not be written beside the store: a restore of an older backup would not know them until they are", "file", path, "error", err)
	}}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	s.revoked.add(owed)
	return nil
}

// add writes revocations that have been committed. What cannot be written is tried again with the next.
func (r *revokedFile) add(more []revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owed = append(r.owed, more...)
	if len(r.owed) == 0 {
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, one := range r.owed {
		if err := e.Encode(one); err != nil {
			r.warn(err)
			return
		}
	}
	if err := r.write(b.Bytes()); err != nil {
		r.warn(err)
		return
	}
	r.owed = nil
}

// write appends whole lines: what was cut off before, by a full disk or the end of a process, is closed first.
func (r *revokedFile) write(lines []byte) error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := r.f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			lines = append([]byte(tornMark), lines...)
		}
	}
	if _, err := r.f.Write(lines); err != nil {
		return err
	}
	return r.f.Sync()
}

// tornMark ends a line that was cut off, so that who reads it knows.
const tornMark = " torn\n"

func isTorn(line []byte) bool { return bytes.HasSuffix(line, []byte(tornMark)) }

func (r *revokedFile) close() error {
	r.add(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if n := len(r.owed); n > 0 {
		return errors.Join(fmt.Errorf("%d revocations are not in %s", n, r.f.Name()), r.f.Close())
	}
	return r.f.Close()
}

// reviveNothing ends again what had ended in the store that this one replaces, begins a new generation, and writes an
// audit row of it. The source is what told of the revocations.
func (w *writer) reviveNothing(ended []revocation, source string) error {
	slices.SortFunc(ended, func(a, b revocation) int { return a.Time.Compare(b.Time) })
	now := w.store.options.Now()
	var revived []string
	if err := w.forgetLogins(ended); err != nil {
		return err
	}
	for _, r := range ended {
		if err := w.revoke(r); err != nil {
			return err
		}
		n, err := w.execN("UPDATE verifiers SET revoked = $1 WHERE credential = $2 AND revoked IS NULL AND created <= $1 AND ($3 = 0 OR n = $3)", r.Time.UnixMicro(), r.Credential, r.N)
		if err != nil {
			return err
		}
		ends, err := w.endCredential(r, now)
		if err != nil {
			return err
		}
		if (n > 0 || ends) && !slices.Contains(revived, r.Credential) {
			revived = append(revived, r.Credential)
		}
	}
	identity, err := w.Identity()
	if err != nil {
		return err
	}
	generation := max(identity.Generation+1, uint64(now.UnixMilli()))
	if err := w.exec("UPDATE identity SET generation = $1", int64(generation)); err != nil {
		return err
	}
	details, err := json.Marshal(map[string]any{"from": source, "generation": generation, "revokedAgain": append([]string{}, revived...)})
	if err != nil {
		return err
	}
	_, err = w.AppendAudit(audit.Row{Time: now, Actor: "system", Action: "restore", Result: "ok", Reason: "the store was replaced by an older one", Details: details})
	return err
}

// endCredential sets the state of a credential that was made before it was revoked.
func (w *writer) endCredential(r revocation, now time.Time) (bool, error) {
	if r.N != 0 {
		return false, nil
	}
	key := resource.Key{Kind: resource.KindCredential, Name: r.Credential}
	record, err := w.Get(key)
	if errors.Is(err, control.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	credential, ok := record.Document.(*resource.Credential)
	if !ok || credential.Spec.State == stateRevoked || record.Created.After(r.Time) {
		return false, nil
	}
	credential.Spec.State = stateRevoked
	record.Status.Trail = append(record.Status.Trail, control.Step{Time: now.UTC(), By: "system", Action: "revoke", To: stateRevoked, Message: "it was revoked before the store was restored"})
	record.Status.Since, record.Status.By = now.UTC(), "system"
	record.Serial++
	record.Changed = now
	links, err := collect(&w.view, scanKey, "SELECT to_kind, to_name FROM links WHERE from_kind = $1 AND from_name = $2", string(key.Kind), key.Name)
	if err != nil {
		return false, err
	}
	return true, w.Put(record, links)
}
