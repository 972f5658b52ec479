package sqlstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"sluice/internal/control"
)

// tables are all of ours, with what orders their rows, in an order in which they can be filled.
var tables = []struct{ name, key string }{
	{"identity", "id"},
	{"documents", "kind, name"},
	{"links", "from_kind, from_name, to_kind, to_name"},
	{"changes", "seq"},
	{"verifiers", "credential, n"},
	{"revisions", "version, n"},
	{"revocations", "credential, n, time"},
	{"audit", "seq"},
	{"audit_heads", "seq, signer"},
	{"people", "login"},
	{"logins", "hash"},
	{"tokens", "id"},
	{"one_time_tokens", "hash"},
	{"failures", "id"},
	{"notes", "name"},
	{"uses", "credential, n"},
	{"outbox", "id"},
	{"pages", "api, name"},
}

// exportKind is what the first line of an export says that it is.
const exportKind = "sluice store"

// line is one of an export: the first one has Export and Schema, the last one Rows,
// those between a row of a table. Bytes are a list of one string, in base64.
type line struct {
	Export string         `json:"export,omitzero"`
	Schema int            `json:"schema,omitzero"`
	Table  string         `json:"table,omitzero"`
	Row    map[string]any `json:"row,omitzero"`
	Rows   *int           `json:"rows,omitzero"`
}

// Export writes everything that the store has, as lines of JSON, which Import makes
// a store of, in whichever database. It sees one state of the store, and disturbs
// nobody. Verifiers are in it: an export is as secret as the store.
func (s *Store) Export(ctx context.Context, out io.Writer) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	return s.Read(ctx, func(r control.Reader) error {
		w := bufio.NewWriter(out)
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if err := e.Encode(line{Export: exportKind, Schema: len(texts)}); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		rows := 0
		for _, table := range tables {
			if err := r.(*view).rows(table.name, table.key, func(columns []string, values []any) error {
				rows++
				row := make(map[string]any, len(columns))
				for i, column := range columns {
					if b, ok := values[i].([]byte); ok {
						row[column] = [1][]byte{b}
					} else {
						row[column] = values[i]
					}
				}
				return e.Encode(line{Table: table.name, Row: row})
			}); err != nil {
				return fmt.Errorf("export: table %s: %w", table.name, err)
			}
		}
		if err := errors.Join(e.Encode(line{Rows: &rows}), w.Flush()); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		return nil
	})
}

// rows calls f for each row of a table.
func (v *view) rows(table, key string, f func(columns []string, values []any) error) error {
	rows, err := v.conn.QueryContext(v.ctx, "SELECT * FROM "+table+" ORDER BY "+key)
	if err != nil {
		return v.fail(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return v.fail(err)
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return v.fail(err)
		}
		for i := range values {
			if b, ok := values[i].([]byte); ok && b == nil { // no bytes are bytes too
				values[i] = []byte{}
			}
		}
		if err := f(columns, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return v.fail(err)
	}
	return nil
}

// insert writes a row of a table.
func (w *writer) insert(table string, columns []string, values []any) error {
	places := make([]string, len(columns))
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	return w.exec("INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(places, ", ")+")", values...)
}

// Import makes a store of an export, also of one of an older release, in a place
// where none is yet.
func Import(ctx context.Context, in io.Reader, where string, options Options) (*Store, error) {
	lines := json.NewDecoder(in)
	lines.UseNumber()
	var first line
	switch err := lines.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("import: the file is empty")
	case err != nil || first.Export != exportKind:
		return nil, errors.New("import: this is no backup of a control plane: its first line is not that of one; sluice backup writes them, and what sluice export and sluice audit export write is none")
	}
	texts, err := migrations()
	if err != nil {
		return nil, err
	}
	if first.Schema < 1 || first.Schema > len(texts) {
		return nil, fmt.Errorf("import: the export is of a newer release: it has schema %d, and this one knows %d", first.Schema, len(texts))
	}
	plain := options
	plain.Revocations = "" // what there is counts once everything is in
	s, err := openAt(ctx, where, plain, first.Schema)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, func(w *writer) error { return w.take(lines) })
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return Open(ctx, where, options)
}

// take fills an empty store with the lines behind the first one.
func (w *writer) take(lines *json.Decoder) error {
	if seq, err := w.Seq(); err != nil {
		return err
	} else if seq > 0 {
		return errors.New("there is a store already")
	}
	if err := w.exec("DELETE FROM identity"); err != nil { // of the empty one
		return err
	}
	known, err := w.columns()
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		var l line
		if err := lines.Decode(&l); err != nil {
			return fmt.Errorf("the export is cut off behind row %d: %w", n, err)
		}
		if l.Rows != nil {
			if *l.Rows != n {
				return fmt.Errorf("the export has %d rows, and should have %d", n, *l.Rows)
			}
			if _, err := lines.Token(); !errors.Is(err, io.EOF) {
				return errors.New("there is something behind the export's end")
			}
			return nil
		}
		var columns []string
		var values []any
		for column, value := range l.Row {
			if !known[l.Table+"."+column] { // it becomes part of a statement
				return fmt.Errorf("row %d has a column %s.%s, which is none of ours", n+1, l.Table, column)
			}
			columns = append(columns, column)
			value, err := imported(value)
			if err != nil {
				return fmt.Errorf("row %d, column %s.%s: %w", n+1, l.Table, column, err)
			}
			values = append(values, value)
		}
		if err := w.insert(l.Table, columns, values); err != nil {
			return fmt.Errorf("row %d: %w", n+1, err)
		}
	}
}

// columns are all that the database has, as table.column.
func (w *writer) columns() (map[string]bool, error) {
	rows, err := w.store.dialect.tables(w.ctx, w.conn)
	if err != nil {
		return nil, w.fail(err)
	}
	var all []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, errors.Join(w.fail(err), rows.Close())
		}
		all = append(all, table)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, w.fail(err)
	}
	known := map[string]bool{}
	for _, table := range all {
		rows, err := w.conn.QueryContext(w.ctx, "SELECT * FROM "+table+" WHERE 1 = 0")
		if err != nil {
			return nil, w.fail(err)
		}
		columns, err := rows.Columns()
		if err := errors.Join(err, rows.Close()); err != nil {
			return nil, w.fail(err)
		}
		for _, column := range columns {
			known[table+"."+column] = true
		}
	}
	return known, nil
}

// imported is a value of JSON as a database takes it.
func imported(value any) (any, error) {
	switch v := value.(type) {
	case nil, string:
		return v, nil
	case json.Number:
		return v.Int64()
	case []any:
		if len(v) == 1 {
			if text, ok := v[0].(string); ok {
				var b []byte
				return b, json.Unmarshal([]byte(strconv.Quote(text)), &b)
			}
		}
	}
	return nil, fmt.Errorf("a %T is no value of a row", value)
}
