package sqlstore

import (
	"database/sql"
	"fmt"

	"sluice/internal/control/audit"
)

const auditColumns = "text, hash"

func scanAudit(rows *sql.Rows) (audit.Row, error) {
	var text, hash string
	if err := rows.Scan(&text, &hash); err != nil {
		return audit.Row{}, err
	}
	r, err := audit.Parse(text, hash)
	if err != nil {
		return audit.Row{}, fmt.Errorf("the audit row with the hash %s cannot be read: %w", hash, err)
	}
	return r, nil
}

// AuditRows returns rows, the newest first.
func (v *view) AuditRows(q audit.Query) ([]audit.Row, bool, error) {
	rows, err := v.auditRows(q)
	if err != nil {
		return nil, false, fmt.Errorf("search the audit log: %w", err)
	}
	rows, more := cut(rows, q.Limit)
	return rows, more, nil
}

func (v *view) auditRows(q audit.Query) ([]audit.Row, error) {
	var times conditions
	if !q.From.IsZero() {
		times.and("time >= ?", micros{q.From})
	}
	if !q.To.IsZero() {
		times.and("time < ?", micros{q.To})
	}
	var c conditions
	if len(times.args) > 0 {
		// The index over times says which rows may be meant, so that the page is read in the order of rows.
		bounds, err := collect(v, func(rows *sql.Rows) (b struct{ first, last sql.NullInt64 }, err error) {
			return b, rows.Scan(&b.first, &b.last)
		}, "SELECT MIN(seq), MAX(seq) FROM audit"+times.where(), times.args...)
		if err != nil || !bounds[0].first.Valid {
			return nil, err
		}
		c.and("seq >= ?", bounds[0].first.Int64)
		c.and("seq <= ?", bounds[0].last.Int64)
		if !q.From.IsZero() {
			c.and("time >= ?", micros{q.From})
		}
		if !q.To.IsZero() {
			c.and("time < ?", micros{q.To})
		}
	}
	for _, filter := range []struct{ column, value string }{
		{"actor", q.Actor}, {"action", q.Action}, {"kind", q.Kind}, {"name", q.Name}, {"organisation", q.Organisation}, {"team", q.Team},
	} {
		if filter.value != "" {
			c.and(filter.column+" = ?", filter.value)
		}
	}
	if q.Before > 0 {
		c.and("seq < ?", q.Before)
	}
	return collect(v, scanAudit, "SELECT "+auditColumns+" FROM audit"+c.where()+" ORDER BY seq DESC LIMIT "+c.value(atMost(q.Limit)), c.args...)
}

// AuditFrom calls f for each row from a number on.
func (v *view) AuditFrom(seq int64, f func(audit.Row) error) error {
	at := seq - 1
	return inPages(func(*audit.Row) ([]audit.Row, error) {
		page, err := collect(v, scanAudit, "SELECT "+auditColumns+" FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", at, pageRows)
		if err != nil {
			return nil, fmt.Errorf("audit rows after %d: %w", at, err)
		}
		if len(page) > 0 {
			at = page[len(page)-1].Seq
		}
		return page, nil
	}, f)
}

// AuditHeads calls f for each head of a row from a number on.
func (v *view) AuditHeads(seq int64, f func(audit.Head) error) error {
	return inPages(func(last *audit.Head) ([]audit.Head, error) {
		if last == nil {
			last = &audit.Head{Seq: seq}
		}
		page, err := collect(v, func(rows *sql.Rows) (h audit.Head, err error) {
			var at micros
			err = rows.Scan(&h.Seq, &h.Key, &h.Log, &h.Hash, &at, &h.Signature)
			h.Time = at.Time
			return h, err
		}, "SELECT seq, signer, log, hash, time, signature FROM audit_heads WHERE (seq, signer) > ($1, $2) ORDER BY seq, signer LIMIT $3", last.Seq, last.Key, pageRows)
		if err != nil {
			return nil, fmt.Errorf("heads of the audit log from row %d: %w", seq, err)
		}
		return page, nil
	}, f)
}

// AppendAudit numbers, chains and writes a row.
func (w *writer) AppendAudit(r audit.Row) (audit.Row, error) {
	if w.last == nil {
		newest, _, err := w.AuditRows(audit.Query{Limit: 1})
		if err != nil {
			return audit.Row{}, err
		}
		w.last = &audit.Row{}
		if len(newest) > 0 {
			w.last = &newest[0]
		}
	}
	r, err := audit.Chain(*w.last, r)
	if err != nil {
		return audit.Row{}, err
	}
	if err := w.exec("INSERT INTO audit (seq, time, actor, action, kind, name, organisation, team, text, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		r.Seq, r.Time.UnixMicro(), r.Actor, r.Action, r.Kind, r.Name, r.Organisation, r.Team, r.Text(), r.Hash); err != nil {
		return audit.Row{}, fmt.Errorf("write audit row %d: %w", r.Seq, err)
	}
	w.last = &r
	return r, nil
}

// AppendHead adds a head. The second of a row by the same signer changes nothing.
func (w *writer) AppendHead(h audit.Head) error {
	if err := w.exec("INSERT INTO audit_heads (seq, signer, log, hash, time, signature) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (seq, signer) DO NOTHING",
		h.Seq, h.Key, h.Log, h.Hash, h.Time.UnixMicro(), h.Signature); err != nil {
		return fmt.Errorf("write the head of audit row %d: %w", h.Seq, err)
	}
	return nil
}
