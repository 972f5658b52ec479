package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/fault"
)

// Each file brings the schema of the number before it to its own. A released one is never changed.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationsTable is where a database says which of them it has had.
const migrationsTable = "migrations"

// migrations returns the statements of each migration; the first one is at 0.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	texts := make([]string, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("bug: migration %s is not number %d", name, i+1)
		}
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	return texts, nil
}

// migrate brings the database to a schema.
func (s *Store) migrate(ctx context.Context, target int) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	if target == newest {
		target = len(texts)
	}
	if err := s.dialect.prepare(ctx, s); err != nil {
		return s.explain(ctx, "prepare", err)
	}
	has := -1
	look := func(conn *sql.Conn) error {
		has, err = s.schemaOf(ctx, conn)
		return err
	}
	// Looking first spares an up-to-date store the wait for whoever writes.
	conn, err := s.writers.Conn(ctx)
	if err != nil {
		return s.explain(ctx, "look at the schema", err)
	}
	err = look(conn)
	if err := conn.Close(); err != nil {
		return s.explain(ctx, "look at the schema", err)
	}
	if err != nil || has == target {
		return s.explain(ctx, "look at the schema", err)
	}
	return s.write(ctx, func(w *writer) error {
		if err := look(w.conn); err != nil { // another process may have done it
			return s.explain(ctx, "look at the schema", err)
		}
		if has == 0 {
			if err := w.exec("CREATE TABLE " + migrationsTable + " (version BIGINT NOT NULL PRIMARY KEY, time BIGINT NOT NULL)"); err != nil {
				return err
			}
		}
		for ; has < target; has++ {
			for statement := range strings.SplitSeq(s.dialect.schema(texts[has]), ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				if err := w.exec(statement); err != nil {
					return fmt.Errorf("migrate to schema %d: %w", has+1, err)
				}
			}
			if err := w.exec("INSERT INTO "+migrationsTable+" (version, time) VALUES ($1, $2)", has+1, micros{s.options.Now()}); err != nil {
				return err
			}
		}
		identity, err := collect(&w.view, scanIdentity, selectIdentity)
		if err != nil || len(identity) == 1 {
			return err
		}
		// Generations are times, so that one is greater than all before it also when those have been lost.
		return w.exec("INSERT INTO identity (id, generation) VALUES ($1, $2)", rand.Text(), s.options.Now().UnixMilli())
	})
}

// schemaOf returns the schema that a database has, 0 for an empty one.
func (s *Store) schemaOf(ctx context.Context, conn *sql.Conn) (int, error) {
	rows, err := s.dialect.tables(ctx, conn)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return 0, err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	switch {
	case len(tables) == 0:
		return 0, nil
	case !slices.Contains(tables, migrationsTable):
		return 0, fault.New(fault.Invalid, "%s is a database of something else: it has the table %s and none of ours", s.dialect.place(), slices.Min(tables))
	}
	var has int
	if err := conn.QueryRowContext(ctx, "SELECT MAX(version) FROM "+migrationsTable).Scan(&has); err != nil {
		return 0, err
	}
	texts, err := migrations()
	if err == nil && has > len(texts) {
		err = fault.New(fault.Invalid, "%s is of a newer release: it has schema %d, and this one knows %d: start that release, or restore a backup of before", s.dialect.place(), has, len(texts))
	}
	return has, err
}
