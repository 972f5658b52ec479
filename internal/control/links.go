package control

import (
	"cmp"
	"maps"
	"slices"

	"sluice/internal/resource"
)

// links returns what a document refers to, each once.
func links(d resource.Any) []resource.Key {
	seen := map[resource.Key]bool{}
	add := func(kind resource.Kind, names ...string) {
		for _, name := range names {
			if name != "" {
				seen[resource.Key{Kind: kind, Name: name}] = true
			}
		}
	}
	add(resource.KindTeam, d.Meta().Team)
	switch d := d.(type) {
	case *resource.Team:
		add(resource.KindOrganisation, d.Spec.Organisation)
	case *resource.Environment:
		add(resource.KindEnvironment, d.Spec.After)
	case *resource.Version:
		add(resource.KindAPI, apiOf(d))
		add(resource.KindVersion, d.Spec.Lifecycle.Successor)
		for _, backings := range d.Spec.Channels {
			for _, b := range backings {
				add(resource.KindCluster, b.Cluster)
			}
		}
	case *resource.Product:
		add(resource.KindVersion, d.Spec.Versions...)
	case *resource.Application:
		add(resource.KindCluster, slices.Collect(maps.Values(d.Spec.Clusters))...)
	case *resource.Subscription:
		add(resource.KindApplication, d.Spec.Application)
		add(resource.KindProduct, d.Spec.Product)
	case *resource.Credential:
		add(resource.KindApplication, d.Spec.Application)
		add(resource.KindSubscription, d.Spec.Subscriptions...)
	}
	delete(seen, d.Key())
	return slices.SortedFunc(maps.Keys(seen), compareKeys)
}

// links returns what a record refers to: its document, and what environments have of
// it.
func (r *Record) links() []resource.Key {
	all := links(r.Document)
	for environment, d := range r.Status.Deployments {
		if d.Offer == nil {
			continue
		}
		for _, by := range d.Offer.Channels {
			if key := (resource.Key{Kind: resource.KindCluster, Name: by[environment].Cluster}); key.Name != "" {
				all = append(all, key)
			}
		}
	}
	slices.SortFunc(all, compareKeys)
	return slices.Compact(all)
}

func compareKeys(a, b resource.Key) int {
	if a.Kind != b.Kind {
		return slices.Index(resource.Kinds, a.Kind) - slices.Index(resource.Kinds, b.Kind)
	}
	return cmp.Compare(a.Name, b.Name)
}

func apiOf(v *resource.Version) string {
	api, _, _ := resource.VersionName(v.Name())
	return api
}

// teamOf returns the team that owns a document: its own, or that of what it
// belongs to; "" for what is the platform's.
func teamOf(d resource.Any, get func(resource.Key) *Record) string {
	above := resource.Key{}
	switch d := d.(type) {
	case *resource.Team:
		return d.Name()
	case *resource.Version:
		above = resource.Key{Kind: resource.KindAPI, Name: apiOf(d)}
	case *resource.Subscription:
		above = resource.Key{Kind: resource.KindApplication, Name: d.Spec.Application}
	case *resource.Credential:
		above = resource.Key{Kind: resource.KindApplication, Name: d.Spec.Application}
	default:
		return d.Meta().Team
	}
	if r := get(above); r != nil {
		return r.Team
	}
	return ""
}

// organisationOf returns the organisation of a document whose team is known.
func organisationOf(d resource.Any, team string, get func(resource.Key) *Record) string {
	if d.Key().Kind == resource.KindOrganisation {
		return d.Key().Name
	}
	if t, ok := d.(*resource.Team); ok {
		return t.Spec.Organisation
	}
	if r := get(resource.Key{Kind: resource.KindTeam, Name: team}); r != nil {
		return r.Organisation
	}
	return ""
}
