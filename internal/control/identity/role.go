package identity

import (
	"cmp"
	"slices"
	"strings"
)

// Role is what somebody may be, in a team, in an organisation or on the platform.
type Role string

// The roles. A platform-admin is one by the person's own record; all others come
// from the documents of teams and organisations.
const (
	PlatformAdmin Role = "platform-admin" // organisations, environments, clusters, people
	OrgAdmin      Role = "org-admin"      // everything of an organisation
	Publisher     Role = "publisher"      // APIs, versions and products of a team
	Approver      Role = "approver"       // says yes or no to what others ask for
	AppDeveloper  Role = "app-developer"  // applications, subscriptions and credentials of a team
	BillingAdmin  Role = "billing-admin"  // prices and invoices
	Auditor       Role = "auditor"        // reads configuration and audit
)

// Roles are all roles that documents can give.
var Roles = []Role{OrgAdmin, Publisher, Approver, AppDeveloper, BillingAdmin, Auditor}

// Owner is who something belongs to. Without an organisation it is the platform's.
type Owner struct {
	Organisation string
	// Team is empty for what belongs to an organisation as a whole.
	Team string
}

// String returns the owner in words, as "team shop of acme".
func (o Owner) String() string {
	switch {
	case o.Organisation == "":
		return "the platform"
	case o.Team == "":
		return o.Organisation
	}
	return "team " + o.Team + " of " + o.Organisation
}

// Membership is a role that somebody has in a team or, where Team is empty, in a
// whole organisation with all its teams.
type Membership struct {
	Role         Role   `json:"role"`
	Organisation string `json:"organisation"`
	Team         string `json:"team,omitzero"`
}

// meet returns what two memberships have in common.
func meet(a, b Membership) (Membership, bool) {
	if a.Role != b.Role || a.Organisation != b.Organisation || a.Team != "" && b.Team != "" && a.Team != b.Team {
		return Membership{}, false
	}
	if a.Team == "" {
		return b, true
	}
	return a, true
}

// Narrow returns what of the memberships somebody has is also in those chosen.
func Narrow(has, chosen []Membership) []Membership {
	var out []Membership
	for _, h := range has {
		for _, c := range chosen {
			if m, ok := meet(h, c); ok && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

func compareMemberships(a, b Membership) int {
	return cmp.Or(strings.Compare(a.Organisation, b.Organisation), strings.Compare(a.Team, b.Team), strings.Compare(string(a.Role), string(b.Role)))
}
