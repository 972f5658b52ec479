package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/resource"
)

// objectOf is a document as authorisation sees it, among others.
func objectOf(d resource.Any, absent bool, get func(resource.Key) *Record) identity.Object {
	owner := func(kind resource.Kind, name string) identity.Owner {
		if r := get(resource.Key{Kind: kind, Name: name}); r != nil {
			return r.owner()
		}
		return identity.Owner{}
	}
	visibility := func(api string) identity.Visibility {
		if r := get(resource.Key{Kind: resource.KindAPI, Name: api}); r != nil {
			return identity.Visibility(r.Document.(*resource.API).Spec.Visibility)
		}
		return identity.Private
	}
	team := teamOf(d, get)
	o := identity.Object{Kind: d.Key().Kind, Name: d.Key().Name, Owner: identity.Owner{Organisation: organisationOf(d, team, get), Team: team}, Absent: absent}
	switch d := d.(type) {
	case *resource.API:
		o.Visibility = identity.Visibility(d.Spec.Visibility)
	case *resource.Version:
		o.Visibility, o.Draft = visibility(apiOf(d)), stateOf(d) == lifecycle.Draft
	case *resource.Product:
		o.Visibility = identity.Public
		for _, name := range d.Spec.Versions {
			if api, _, ok := resource.VersionName(name); ok {
				o.Visibility = narrower(o.Visibility, visibility(api))
			}
		}
	case *resource.Subscription:
		o.Provider = owner(resource.KindProduct, d.Spec.Product)
	}
	return o
}

// narrower returns the visibility that fewer have.
func narrower(a, b identity.Visibility) identity.Visibility {
	rank := map[identity.Visibility]int{identity.TeamWide: 1, identity.Partner: 2, identity.Public: 3}
	if rank[b] < rank[a] {
		return b
	}
	return a
}

// Get returns a document to somebody who may see it. The error has a kind of fault:
// what must not be seen is not there.
func (p *Plane) Get(q Request, key resource.Key) (*Record, error) {
	m := p.Model()
	r := m.Get(key)
	if r == nil {
		return nil, identity.Authorise(q.Actor, identity.Read, identity.Object{Kind: key.Kind, Name: key.Name, Absent: true})
	}
	if err := identity.Authorise(q.Actor, identity.Read, objectOf(r.Document, false, m.Get)); err != nil {
		return nil, err
	}
	return shown(q.Actor, r, m.Get)
}

// shown is a record as an actor may see it: whoever is not of the owners is told
// neither of clusters and backing topics, nor who did what and why, and of a version
// what environments have of it.
func shown(actor identity.Actor, r *Record, get func(resource.Key) *Record) (*Record, error) {
	status := r.Status
	switch r.Key().Kind {
	case resource.KindAPI, resource.KindVersion, resource.KindProduct:
		if !actor.Belongs(r.owner()) {
			seen := *r
			seen.Status, seen.Owner = Status{Since: r.Status.Since}, ""
			r = &seen
		}
	}
	v, ok := r.Document.(*resource.Version)
	if !ok || identity.Authorise(actor, identity.ReadBacking, objectOf(v, false, get)) == nil {
		return r, nil
	}
	d, err := copied(v)
	if err != nil {
		return nil, err
	}
	seen := *r
	seen.Document = d
	spec := &d.(*resource.Version).Spec
	if status.Revision > 0 { // else it is of the time before, and as it is everywhere
		spec.Contract.Channels = offered(v, status, get)
	}
	spec.Channels, spec.Contract.Digest = nil, ""
	return &seen, nil
}

// offered are the channels of a version that some environment offers, and not those that
// wait, or were never promoted. Where environments differ in a channel, the one furthest
// along the order counts.
func offered(v *resource.Version, s Status, get func(resource.Key) *Record) map[string]resource.Channel {
	out, ranks := map[string]resource.Channel{}, map[string]int{}
	for _, environment := range slices.Sorted(maps.Keys(s.Deployments)) {
		offer, rank := v.Spec.Offer(), rankOf(environment, get)
		if o := s.Deployments[environment].Offer; o != nil {
			offer = *o
		}
		for name, channel := range offer.Contract {
			_, mapped := offer.Channels[name][environment]
			if before, there := ranks[name]; mapped && (!there || rank > before) {
				out[name], ranks[name] = channel, rank
			}
		}
	}
	return out
}

// Actions returns what somebody could do now with a document that has a life cycle.
func (p *Plane) Actions(q Request, r *Record) []lifecycle.Choice {
	return lifecycle.Choices(q.Actor, lifecycle.Object{Object: objectOf(r.Document, false, p.Model().Get), State: stateOf(r.Document)})
}

// Limits of one page of a list.
const (
	DefaultPage = 100
	MaxPage     = 1000
	// looked is how many documents are looked at for one page of those that somebody
	// may see.
	looked = 20_000
)

// List returns a page of the documents that somebody may see, by name, and the name
// behind which the next page begins, "" at the end. A page may have fewer documents
// than asked for and still not be the last one.
func (p *Plane) List(ctx context.Context, q Request, query Query) (page []*Record, next string, err error) {
	limit := query.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	m := p.Model()
	if query.To != (resource.Key{}) {
		if to := m.Get(query.To); to == nil || !identity.Sees(q.Actor, objectOf(to.Document, false, m.Get)) {
			return nil, "", nil // who refers to it would tell of it
		}
	}
	err = p.store.Read(ctx, func(r Reader) error {
		page, next = nil, ""
		for seen := 0; seen < looked; {
			query.Limit = limit
			records, more, err := r.List(query)
			if err != nil {
				return fmt.Errorf("list documents of kind %s: %w", query.Kind, err)
			}
			seen += len(records)
			for _, record := range records {
				query.After = record.Key().Name
				if identity.Sees(q.Actor, objectOf(record.Document, false, m.Get)) && (query.Owner == "" || q.Actor.Belongs(record.owner())) {
					record, err := shown(q.Actor, record, m.Get)
					if err != nil {
						return err
					}
					page = append(page, record)
				}
				if len(page) == limit {
					break
				}
			}
			next = query.After
			if len(page) == limit {
				if !more && records[len(records)-1].Key().Name == next {
					next = ""
				}
				return nil
			}
			if !more {
				next = ""
				return nil
			}
		}
		return nil
	})
	return page, next, err
}

// Changes returns changes after a number in their order, of documents that somebody
// may see, and the number up to which there are no others. What was removed belongs to
// nobody any more, and is told to platform-admins only. ok is false when some have been
// forgotten: everything has to be looked at anew.
func (p *Plane) Changes(ctx context.Context, q Request, seq int64, limit int) (changes []Change, upTo int64, ok bool, err error) {
	m := p.Model()
	err = p.store.Read(ctx, func(r Reader) error {
		all, known, err := r.Changes(seq, limit)
		if err != nil {
			return fmt.Errorf("read changes after %d: %w", seq, err)
		}
		changes, upTo, ok = nil, seq, known
		for _, c := range all {
			if c.Seq > m.Seq() { // not in the model yet, which says who may see it
				break
			}
			upTo = c.Seq
			record := m.Get(c.Key)
			o := identity.Object{Kind: c.Key.Kind, Name: c.Key.Name, Absent: true}
			if record != nil {
				o = objectOf(record.Document, false, m.Get)
			}
			if identity.Sees(q.Actor, o) || o.Absent && q.Actor.PlatformAdmin() {
				changes = append(changes, c)
			}
		}
		return nil
	})
	return changes, upTo, ok, err
}

// Wait returns once the store may hold changes after a number, or after at most the
// time given.
func (p *Plane) Wait(ctx context.Context, seq int64, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for p.Model().Seq() <= seq {
		next := p.next.Load()
		if p.Model().Seq() > seq {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-*next:
		}
	}
}
