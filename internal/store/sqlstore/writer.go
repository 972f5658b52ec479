package sqlstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/resource"
)

// writer is a control.Writer.
type writer struct {
	view
	seq     int64        // of the last change; 0: not looked at yet
	last    *audit.Row   // the last audit row; nil: not looked at yet
	revoked []revocation // what this transaction ended, for the file beside
}

func (w *writer) exec(statement string, args ...any) error {
	_, err := w.execN(statement, args...)
	return err
}

// execN is exec that tells how many rows it touched.
func (w *writer) execN(statement string, args ...any) (int64, error) {
	if w.conn == nil {
		return 0, errEnded
	}
	result, err := w.conn.ExecContext(w.ctx, statement, args...)
	if err != nil {
		return 0, w.fail(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, w.fail(err)
	}
	return n, nil
}

// change numbers a change and writes it, and forgets the one that is too old.
func (w *writer) change(key resource.Key, serial int64, at time.Time) error {
	if w.seq == 0 {
		seq, err := w.Seq()
		if err != nil {
			return err
		}
		w.seq = seq
	}
	w.seq++
	if err := w.exec("INSERT INTO changes (seq, kind, name, serial, time) VALUES ($1, $2, $3, $4, $5)", w.seq, string(key.Kind), key.Name, serial, micros{at}); err != nil {
		return err
	}
	return w.exec("DELETE FROM changes WHERE seq <= $1", w.seq-w.store.options.KeepChanges)
}

// Put writes a record.
func (w *writer) Put(r *control.Record, links []resource.Key) error {
	key := r.Key()
	if err := w.put(r, links); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (w *writer) put(r *control.Record, links []resource.Key) error {
	key, meta := r.Key(), r.Document.Meta()
	if key.Kind == "" || key.Name == "" {
		return errors.New("a document has a kind and a name")
	}
	if err := checkTexts(string(key.Kind), key.Name, meta.Environment, r.Organisation, r.Team, r.Owner); err != nil {
		return err
	}
	if r.Created.IsZero() || r.Changed.IsZero() {
		return errors.New("a record has times of its making and its change")
	}
	document, err := resource.Marshal(r.Document)
	if err != nil {
		return err
	}
	status, err := json.Marshal(r.Status)
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	args := []any{string(key.Kind), key.Name, meta.Environment, r.Organisation, r.Team, r.Owner, r.Serial, micros{r.Created}, micros{r.Changed}, string(document), string(status)}
	var n int64
	if r.Serial == 1 {
		n, err = w.execN(`INSERT INTO documents (kind, name, environment, organisation, team, owner, serial, created, changed, document, status)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (kind, name) DO NOTHING`, args...)
	} else {
		n, err = w.execN(`UPDATE documents SET environment = $3, organisation = $4, team = $5, owner = $6, serial = $7, created = $8, changed = $9, document = $10, status = $11
			WHERE kind = $1 AND name = $2 AND serial = $12`, append(args, r.Serial-1)...)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		err := fmt.Errorf("serial %d does not follow what is there", r.Serial)
		w.failed = errors.Join(w.failed, err)
		return err
	}
	if err := w.link(key, links); err != nil {
		return err
	}
	if credential, ok := r.Document.(*resource.Credential); ok && credential.Spec.State == stateRevoked {
		if err := w.revoke(revocation{Credential: key.Name, Time: r.Changed}); err != nil {
			return err
		}
	}
	return w.change(key, r.Serial, r.Changed)
}

// link replaces the links of a document.
func (w *writer) link(from resource.Key, links []resource.Key) error {
	has, err := collect(&w.view, scanKey, "SELECT to_kind, to_name FROM links WHERE from_kind = $1 AND from_name = $2", string(from.Kind), from.Name)
	if err != nil {
		return err
	}
	stale := map[resource.Key]bool{}
	for _, to := range has {
		stale[to] = true
	}
	for _, to := range links {
		if _, ok := stale[to]; ok { // there already, or named twice
			stale[to] = false
			continue
		}
		if err := checkTexts(string(to.Kind), to.Name); err != nil {
			return err
		}
		if err := w.exec("INSERT INTO links (from_kind, from_name, to_kind, to_name) VALUES ($1, $2, $3, $4)", string(from.Kind), from.Name, string(to.Kind), to.Name); err != nil {
			return err
		}
		stale[to] = false
	}
	for to, gone := range stale {
		if !gone {
			continue
		}
		if err := w.exec("DELETE FROM links WHERE to_kind = $1 AND to_name = $2 AND from_kind = $3 AND from_name = $4", string(to.Kind), to.Name, string(from.Kind), from.Name); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a document with everything that belongs to it.
func (w *writer) Remove(key resource.Key, at time.Time) error {
	if err := w.remove(key, at); err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return nil
}

func (w *writer) remove(key resource.Key, at time.Time) error {
	n, err := w.execN("DELETE FROM documents WHERE kind = $1 AND name = $2", string(key.Kind), key.Name) // its links go with it
	if err != nil {
		return err
	}
	if n == 0 {
		return control.ErrNotFound
	}
	switch key.Kind {
	case resource.KindCredential:
		for _, table := range []string{"verifiers", "uses"} {
			if err := w.exec("DELETE FROM "+table+" WHERE credential = $1", key.Name); err != nil {
				return err
			}
		}
		if err := w.revoke(revocation{Credential: key.Name, Time: at}); err != nil {
			return err
		}
	case resource.KindAPI:
		if err := w.exec("DELETE FROM pages WHERE api = $1", key.Name); err != nil {
			return err
		}
	case resource.KindVersion:
		if err := w.exec("DELETE FROM revisions WHERE version = $1", key.Name); err != nil {
			return err
		}
	}
	return w.change(key, 0, at)
}

// belongs returns ErrNotFound when the document that something belongs to is not there.
func (w *writer) belongs(kind resource.Kind, name string) error {
	n, err := w.number("SELECT COUNT(*) FROM documents WHERE kind = $1 AND name = $2", string(kind), name)
	if err == nil && n == 0 {
		err = control.ErrNotFound
	}
	return err
}

// PutVerifier writes or replaces a verifier.
func (w *writer) PutVerifier(credential string, v control.Verifier) error {
	if err := w.putVerifier(credential, v); err != nil {
		return fmt.Errorf("put verifier %d of credential %s: %w", v.N, credential, err)
	}
	return nil
}

func (w *writer) putVerifier(credential string, v control.Verifier) error {
	if v.N < 1 || v.Created.IsZero() {
		return errors.New("a verifier has a number from 1 on, and a time of its making")
	}
	if err := w.belongs(resource.KindCredential, credential); err != nil {
		return err
	}
	if v.Data == nil {
		v.Data = []byte{}
	}
	if err := w.exec(`INSERT INTO verifiers (credential, n, data, created, until, revoked) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (credential, n) DO UPDATE SET data = excluded.data, created = excluded.created, until = excluded.until,
		revoked = COALESCE(verifiers.revoked, excluded.revoked)`,
		credential, v.N, v.Data, micros{v.Created}, micros{v.Until}, micros{v.Revoked}); err != nil {
		return err
	}
	if v.Revoked.IsZero() {
		return nil
	}
	return w.revoke(revocation{Credential: credential, N: v.N, Time: v.Revoked})
}

// ForgetVerifiers removes old verifiers that have been revoked.
func (w *writer) ForgetVerifiers(credential string, below int) error {
	const old = " FROM verifiers WHERE credential = $1 AND n < $2 AND revoked IS NOT NULL"
	for _, statement := range []string{"DELETE FROM uses WHERE credential = $1 AND n IN (SELECT created" + old + ")", "DELETE" + old} {
		if err := w.exec(statement, credential, below); err != nil {
			return fmt.Errorf("forget verifiers below %d of credential %s: %w", below, credential, err)
		}
	}
	return nil
}

// PutRevision adds a revision.
func (w *writer) PutRevision(version string, r *control.Revision) error {
	if err := w.putRevision(version, r); err != nil {
		return fmt.Errorf("put revision %d of version %s: %w", r.N, version, err)
	}
	return nil
}

func (w *writer) putRevision(version string, r *control.Revision) error {
	if err := checkTexts(r.Hash, r.By); err != nil {
		return err
	}
	if r.Created.IsZero() {
		return errors.New("a revision has a time of its making")
	}
	if err := w.belongs(resource.KindVersion, version); err != nil {
		return err
	}
	last, err := w.number("SELECT COALESCE(MAX(n), 0) FROM revisions WHERE version = $1", version)
	if err != nil {
		return err
	}
	if int64(r.N) != last+1 {
		return fmt.Errorf("the next one is %d", last+1)
	}
	document := r.Document
	if document == nil {
		document = []byte{}
	}
	return w.exec("INSERT INTO revisions (version, n, hash, document, created, created_by) VALUES ($1, $2, $3, $4, $5, $6)", version, r.N, r.Hash, document, micros{r.Created}, r.By)
}
