package control

import (
	"context"
	"fmt"
	"strings"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Welcome gives somebody who signed up an organisation and a team of their own, in
// which they are an app-developer, in one change with the account, which add makes. Both
// have a name made of the login name; it is returned. The fault is Conflict when
// documents give roles to the login name already: those are for somebody else.
func (p *Plane) Welcome(ctx context.Context, q Request, login string, add func(identity.Writer) error) (team string, err error) {
	// What is made is the same for everybody, so that nobody is asked for a role.
	q.Actor = identity.Someone(login, true, nil)
	err = p.change(ctx, q, func(c *changing) error {
		if len(c.edit.from.Directory().Of(login, identity.Groups{})) > 0 {
			return fault.New(fault.Conflict, "there is an account %q already, or somebody is to have one by that name: choose another one", login)
		}
		team = c.freeName(login)
		home := &resource.Organisation{APIVersion: resource.APIVersion, Kind: resource.KindOrganisation, Metadata: resource.Metadata{Name: team}, Spec: resource.OrganisationSpec{Title: login}}
		own := &resource.Team{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Metadata: resource.Metadata{Name: team},
			Spec: resource.TeamSpec{Organisation: team, Title: login, Members: map[string][]string{login: {string(identity.AppDeveloper)}}}}
		for _, d := range []resource.Any{home, own} {
			if _, err := c.apply(d, Wanted{}, 0, true); err != nil {
				return err
			}
		}
		if _, err := c.check(); err != nil {
			return err
		}
		return add(c.w)
	})
	if err != nil {
		return "", fmt.Errorf("welcome %q: %w", login, err)
	}
	return team, nil
}

// freeName makes a name of a login name that neither an organisation nor a team has.
func (c *changing) freeName(login string) string {
	base := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, login)
	base = base[:min(len(base), 100)]
	name := base
	for n := 2; c.edit.Get(resource.Key{Kind: resource.KindOrganisation, Name: name}) != nil || c.edit.Get(resource.Key{Kind: resource.KindTeam, Name: name}) != nil; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}
