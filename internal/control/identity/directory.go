package identity

import (
	"slices"

	"sluice/internal/resource"
)

// Directory says who has which roles, as the documents of organisations and teams
// have it. It is never changed and safe for concurrent use.
type Directory struct {
	byLogin, byGroup map[string][]Membership
}

// Groups are what an identity provider said of a person.
type Groups struct {
	Names []string `json:"names,omitzero"`
	// Organisations are those in which the provider's groups count; nil means all.
	Organisations []string `json:"organisations,omitzero"`
}

// NewDirectory reads members and groups. Roles that a document of its kind cannot
// give, platform-admin above all, are not given.
func NewDirectory(organisations []*resource.Organisation, teams []*resource.Team) *Directory {
	d := &Directory{byLogin: map[string][]Membership{}, byGroup: map[string][]Membership{}}
	add := func(to map[string][]Membership, from map[string][]string, owner Owner) {
		for name, roles := range from {
			for _, r := range roles {
				role := Role(r)
				if !slices.Contains(Roles, role) || role == OrgAdmin && owner.Team != "" || owner.Organisation == "" {
					continue
				}
				to[name] = append(to[name], Membership{Role: role, Organisation: owner.Organisation, Team: owner.Team})
			}
		}
	}
	for _, o := range organisations {
		owner := Owner{Organisation: o.Name()}
		add(d.byLogin, o.Spec.Members, owner)
		add(d.byGroup, o.Spec.Groups, owner)
	}
	for _, t := range teams {
		owner := Owner{Organisation: t.Spec.Organisation, Team: t.Name()}
		add(d.byLogin, t.Spec.Members, owner)
		add(d.byGroup, t.Spec.Groups, owner)
	}
	return d
}

// Of returns the roles of a person, by login name and by groups.
func (d *Directory) Of(login string, groups Groups) []Membership {
	if d == nil || login == "" {
		return nil
	}
	out := slices.Clone(d.byLogin[login])
	for _, g := range groups.Names {
		for _, m := range d.byGroup[g] {
			if groups.Organisations == nil || slices.Contains(groups.Organisations, m.Organisation) {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, compareMemberships)
	return slices.Compact(out)
}
