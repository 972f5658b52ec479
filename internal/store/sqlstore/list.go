package sqlstore

import (
	"database/sql"
	"fmt"
	"runtime"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// recordColumns are what scanRecord takes.
const recordColumns = "d.document, d.status, d.serial, d.team, d.organisation, d.owner, d.created, d.changed"

// row is a document before its JSON has been read.
type row struct {
	document, status         []byte
	serial                   int64
	team, organisation, owns string
	created, changed         time.Time
}

func scanRecord(rows *sql.Rows) (r row, err error) {
	var created, changed micros
	err = rows.Scan(&r.document, &r.status, &r.serial, &r.team, &r.organisation, &r.owns, &created, &changed)
	r.created, r.changed = created.Time, changed.Time
	return r, err
}

// noStatus is how an empty status is stored; reading it is spared.
const noStatus = "{}"

func (r *row) record() (*control.Record, error) {
	document, err := resource.Unmarshal(r.document)
	if err != nil {
		return nil, err
	}
	record := &control.Record{Document: document, Serial: r.serial, Team: r.team, Organisation: r.organisation, Owner: r.owns, Created: r.created, Changed: r.changed}
	if string(r.status) != noStatus {
		if err := jsonv2.Unmarshal(r.status, &record.Status); err != nil {
			return nil, fmt.Errorf("read the status of %s: %w", document.Key(), err)
		}
	}
	return record, nil
}

// batchRows is how many documents are read by one goroutine at a time.
const batchRows = 256

// records reads many rows, on all processors when there are many.
func records(rows []row) ([]*control.Record, error) {
	all := make([]*control.Record, len(rows))
	errs := make([]error, (len(rows)+batchRows-1)/batchRows)
	read := func(batch int) {
		for i := batch * batchRows; i < min((batch+1)*batchRows, len(rows)); i++ {
			if all[i], errs[batch] = rows[i].record(); errs[batch] != nil {
				return
			}
		}
	}
	if len(errs) <= 1 {
		if len(errs) == 1 {
			read(0)
		}
	} else {
		var wait sync.WaitGroup
		workers := runtime.GOMAXPROCS(0)
		for worker := range workers {
			wait.Go(func() {
				for batch := worker; batch < len(errs); batch += workers {
					read(batch)
				}
			})
		}
		wait.Wait()
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// List returns a page of documents of a kind.
func (v *view) List(q control.Query) ([]*control.Record, bool, error) {
	text, args := listStatement(q)
	rows, err := collect(v, scanRecord, text, args...)
	if err != nil {
		return nil, false, fmt.Errorf("list documents of kind %s: %w", q.Kind, err)
	}
	rows, more := cut(rows, q.Limit)
	page, err := records(rows)
	if err != nil {
		return nil, false, fmt.Errorf("list documents of kind %s: %w", q.Kind, err)
	}
	return page, more, nil
}

// listStatement asks for a page by an index that has it in its order. CROSS JOIN is a plain join; SQLite takes its
// tables in the order written, so that a few documents are looked up from many links or the other way round.
func listStatement(q control.Query) (string, []any) {
	var c conditions
	linked := q.To != resource.Key{}
	few := q.Team != "" || q.Owner != "" // a team has fewer documents than a product has subscribers
	from, name := "documents d", "d.name"
	switch {
	case linked && few:
		from += " CROSS JOIN links l"
	case linked:
		from, name = "links l CROSS JOIN documents d", "l.from_name"
	}
	if linked {
		c.and("l.to_kind = ?", string(q.To.Kind))
		c.and("l.to_name = ?", q.To.Name)
		c.and("l.from_kind = ?", string(q.Kind))
		c.text.WriteString(" AND l.from_name = d.name")
	}
	c.and("d.kind = ?", string(q.Kind))
	c.and(name+" > ?", q.After)
	for _, filter := range []struct{ column, value string }{
		{"environment", q.Environment}, {"team", q.Team}, {"organisation", q.Organisation}, {"owner", q.Owner},
	} {
		if filter.value != "" {
			c.and("d."+filter.column+" = ?", filter.value)
		}
	}
	return "SELECT " + recordColumns + " FROM " + from + c.where() + " ORDER BY " + name + " LIMIT " + c.value(atMost(q.Limit)), c.args
}
