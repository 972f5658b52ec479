package sqlstore

import (
	"database/sql"
	"fmt"
)

// Note returns what is remembered under a name.
func (v *view) Note(name string) (string, error) {
	note, err := one(v, func(rows *sql.Rows) (value string, err error) { return value, rows.Scan(&value) }, "SELECT value FROM notes WHERE name = $1", name)
	if err != nil {
		return "", fmt.Errorf("read the note %q: %w", name, err)
	}
	if note == nil {
		return "", nil
	}
	return *note, nil
}

// PutNote replaces it.
func (w *writer) PutNote(name, value string) error {
	if err := w.upsert("notes", "name, value", name, value); err != nil {
		return fmt.Errorf("write the note %q: %w", name, err)
	}
	return nil
}
