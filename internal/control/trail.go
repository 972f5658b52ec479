package control

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"

	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/resource"
)

// mayReadAudit says whether somebody may see what was done to things of an owner.
func mayReadAudit(actor identity.Actor, owner identity.Owner) error {
	return identity.Authorise(actor, identity.ReadAudit, identity.Object{Owner: owner})
}

// Audit returns a page of the audit log, the newest rows first, and the number below
// which the next page begins, 0 at the end. Whoever is no platform-admin gets the rows
// of the organisations and teams whose log they may read; who may read none is
// refused. A page may have fewer rows than asked for and still not be the last one.
func (p *Plane) Audit(ctx context.Context, q Request, query audit.Query) (page []audit.Row, next int64, err error) {
	if err := p.narrow(q.Actor, &query); err != nil {
		return nil, 0, err
	}
	limit := query.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	query.Limit = limit
	err = p.store.Read(ctx, func(r Reader) error {
		page, next = nil, 0
		for seen := 0; seen < looked; {
			rows, more, err := r.AuditRows(query)
			if err != nil {
				return err
			}
			seen += len(rows)
			for _, row := range rows {
				query.Before = row.Seq
				if mayReadAudit(q.Actor, identity.Owner{Organisation: row.Organisation, Team: row.Team}) == nil {
					page = append(page, row)
				}
				if len(page) == limit {
					break
				}
			}
			if next = query.Before; len(page) == limit {
				if !more && rows[len(rows)-1].Seq == next {
					next = 0
				}
				return nil
			}
			if !more {
				next = 0
				return nil
			}
		}
		return nil
	})
	return page, next, err
}

// narrow refuses a query that nobody of the actor's roles could see an answer to, and
// narrows one for somebody whose roles are all in one organisation.
func (p *Plane) narrow(actor identity.Actor, query *audit.Query) error {
	if actor.PlatformAdmin() {
		return nil
	}
	if query.Team != "" && query.Organisation == "" { // names of teams are unique
		if team := p.Model().Get(resource.Key{Kind: resource.KindTeam, Name: query.Team}); team != nil && identity.Sees(actor, objectOf(team.Document, false, p.Model().Get)) {
			query.Organisation = team.Organisation
		}
	}
	if query.Organisation != "" && query.Team != "" {
		return mayReadAudit(actor, identity.Owner{Organisation: query.Organisation, Team: query.Team})
	}
	var organisations []string
	for _, m := range actor.Memberships() {
		if query.Organisation != "" && m.Organisation != query.Organisation {
			continue
		}
		if mayReadAudit(actor, identity.Owner{Organisation: m.Organisation, Team: m.Team}) == nil && !slices.Contains(organisations, m.Organisation) {
			organisations = append(organisations, m.Organisation)
		}
	}
	switch len(organisations) {
	case 0:
		return mayReadAudit(actor, identity.Owner{Organisation: query.Organisation})
	case 1:
		query.Organisation = organisations[0]
	}
	return nil
}

// ExportAudit writes the audit log from a row on as CloudEvents, one a line, with its
// heads, up to a row that a head signed now covers. It is the whole log, and thus for
// platform-admins. The export itself is a row of the log, and the last one in it.
func (p *Plane) ExportAudit(ctx context.Context, q Request, from int64, out io.Writer) error {
	if err := mayReadAudit(q.Actor, identity.Owner{}); err != nil {
		return err
	}
	if err := p.store.Write(ctx, func(w Writer) error {
		_, err := w.AppendAudit(q.row(p.now(), "export audit log"))
		return err
	}); err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	last, err := p.sealer.Seal(ctx)
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	return p.store.Read(ctx, func(r Reader) error {
		_, err := audit.Export(out, r, p.sealer.Log(), from, last)
		return err
	})
}

// AuditKey returns the id of the log, and the public key that heads are signed with
// here, to whoever may read some of the log.
func (p *Plane) AuditKey(q Request) (log string, key ed25519.PublicKey, err error) {
	if err := p.narrow(q.Actor, &audit.Query{}); err != nil {
		return "", nil, err
	}
	return p.sealer.Log(), p.sealer.PublicKey(), nil
}

// NewSealer returns what signs heads of a store's audit log; of deps, Key, Log and
// Write are set here.
func NewSealer(ctx context.Context, s Store, key ed25519.PrivateKey, deps audit.SealerDeps) (*audit.Sealer, error) {
	deps.Key = key
	deps.Write = func(ctx context.Context, f func(audit.Log) error) error {
		return s.Write(ctx, func(w Writer) error { return f(w) })
	}
	if err := s.Read(ctx, func(r Reader) error {
		id, err := r.Identity()
		deps.Log = id.ID
		return err
	}); err != nil {
		return nil, fmt.Errorf("find the id of the audit log: %w", err)
	}
	return audit.NewSealer(deps), nil
}

// Watched returns a store that calls wrote with the number of the newest audit row of
// each change, once it is committed.
func Watched(s Store, wrote func(seq int64)) Store { return watched{s, wrote} }

type watched struct {
	Store
	wrote func(int64)
}

func (s watched) Write(ctx context.Context, f func(Writer) error) error {
	var seq int64
	err := s.Store.Write(ctx, func(w Writer) error {
		seq = 0
		return f(watchedWriter{w, &seq})
	})
	if err == nil && seq > 0 {
		s.wrote(seq)
	}
	return err
}

type watchedWriter struct {
	Writer
	seq *int64
}

func (w watchedWriter) AppendAudit(r audit.Row) (audit.Row, error) {
	r, err := w.Writer.AppendAudit(r)
	if err == nil {
		*w.seq = r.Seq
	}
	return r, err
}
