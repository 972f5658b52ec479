package sqlstore

import (
	"database/sql"
	"fmt"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// Uses are the last ones of a credential's secrets.
func (v *view) Uses(credential string) ([]control.Use, error) {
	uses, err := collect(v, func(rows *sql.Rows) (u control.Use, err error) {
		var at micros
		err = rows.Scan(&u.Credential, &u.Secret, &at, &u.Address, &u.Software, &u.Gateway)
		u.Time = at.Time
		return u, err
	}, "SELECT credential, n, time, address, software, gateway FROM uses WHERE credential = $1 ORDER BY n", credential)
	if err != nil {
		return nil, fmt.Errorf("uses of credential %s: %w", credential, err)
	}
	return uses, nil
}

// PutUse writes a use, unless there is a later one, or no such credential.
func (w *writer) PutUse(u control.Use) error {
	if err := w.putUse(u); err != nil {
		return fmt.Errorf("put a use of credential %s: %w", u.Credential, err)
	}
	return nil
}

func (w *writer) putUse(u control.Use) error {
	if err := checkTexts(u.Credential, u.Address, u.Software, u.Gateway); err != nil {
		return err
	}
	return w.exec(`INSERT INTO uses (credential, n, time, address, software, gateway)
		SELECT name, $3, $4, $5, $6, $7 FROM documents WHERE kind = $1 AND name = $2
		ON CONFLICT (credential, n) DO UPDATE SET time = excluded.time, address = excluded.address, software = excluded.software, gateway = excluded.gateway
		WHERE uses.time < excluded.time`,
		string(resource.KindCredential), u.Credential, int64(u.Secret), micros{u.Time}, u.Address, u.Software, u.Gateway)
}
