package sqlstore

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"sluice/internal/resource"
)

// Pages returns the documentation of an API.
func (v *view) Pages(api string) (map[string]string, error) {
	type page struct{ name, text string }
	all, err := collect(v, func(rows *sql.Rows) (p page, err error) { return p, rows.Scan(&p.name, &p.text) }, "SELECT name, text FROM pages WHERE api = $1", api)
	if err != nil {
		return nil, fmt.Errorf("read the pages of API %s: %w", api, err)
	}
	out := make(map[string]string, len(all))
	for _, p := range all {
		out[p.name] = p.text
	}
	return out, nil
}

// PutPages replaces it.
func (w *writer) PutPages(api string, pages map[string]string) error {
	err := w.belongs(resource.KindAPI, api)
	if err == nil {
		err = w.exec("DELETE FROM pages WHERE api = $1", api)
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if err == nil {
			err = w.insert("pages", []string{"api", "name", "text"}, []any{api, name, pages[name]})
		}
	}
	if err != nil {
		return fmt.Errorf("write the pages of API %s: %w", api, err)
	}
	return nil
}
