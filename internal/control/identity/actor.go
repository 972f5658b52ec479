package identity

import "slices"

// ActorKind says what sort of actor somebody is.
type ActorKind string

// The kinds of actors.
const (
	KindNobody  ActorKind = "nobody"  // has not said who it is
	KindPerson  ActorKind = "person"  // logged in
	KindToken   ActorKind = "token"   // a program with a person's API token
	KindMachine ActorKind = "machine" // a part of the product that runs elsewhere
	KindSystem  ActorKind = "system"  // the control plane itself, its clock above all
)

// Function is the one thing that a machine may do.
type Function string

// The functions of machines.
const (
	Gateway  Function = "gateway"  // takes grants
	Metering Function = "metering" // brings usage
)

// Actor is who does something, with the roles it has at this moment. The zero Actor
// is nobody and may do nothing. An Actor is never changed.
type Actor struct {
	kind        ActorKind
	name        string
	person      string
	function    Function
	platform    bool
	readOnly    bool
	memberships []Membership
}

// Nobody is who has not said who it is.
func Nobody() Actor { return Actor{} }

// System is the control plane itself.
func System() Actor { return Actor{kind: KindSystem} }

// Machine is a part of the product that runs elsewhere.
func Machine(name string, f Function) Actor {
	return Actor{kind: KindMachine, name: name, function: f}
}

// Someone is a person who is logged in.
func Someone(login string, platformAdmin bool, memberships []Membership) Actor {
	return Actor{kind: KindPerson, name: login, person: login, platform: platformAdmin, memberships: slices.Clone(memberships)}
}

// WithToken is a program that has a token of this person. It is no more than the
// person is, and no more than the token's scope.
func (a Actor) WithToken(name string, scope Scope) Actor {
	return Actor{
		kind: KindToken, name: name, person: a.person,
		platform:    a.platform && scope.Platform,
		readOnly:    scope.ReadOnly,
		memberships: Narrow(a.memberships, scope.Roles),
	}
}

// Scope is what of its owner's rights an API token passes on.
type Scope struct {
	// Platform passes on platform-admin.
	Platform bool `json:"platform,omitzero"`
	// Roles pass on what the owner has of them, at the time of use.
	Roles []Membership `json:"roles,omitzero"`
	// ReadOnly takes away everything but reading.
	ReadOnly bool `json:"readOnly,omitzero"`
}

// Kind returns what sort of actor it is.
func (a Actor) Kind() ActorKind {
	if a.kind == "" {
		return KindNobody
	}
	return a.kind
}

// Name is the login name of a person, the name of a token or a machine, else empty.
func (a Actor) Name() string { return a.name }

// Person is the login name of the person behind it, empty where there is none. Two
// actors with the same person are the same pair of eyes.
func (a Actor) Person() string { return a.person }

// ReadOnly says that it may change nothing, whatever its roles.
func (a Actor) ReadOnly() bool { return a.readOnly }

// String returns kind and name as audit rows have them, as "person ada".
func (a Actor) String() string {
	if a.name == "" {
		return string(a.Kind())
	}
	return string(a.kind) + " " + a.name
}

// Memberships are its roles in teams and organisations.
func (a Actor) Memberships() []Membership { return slices.Clone(a.memberships) }

// PlatformAdmin says whether it is one.
func (a Actor) PlatformAdmin() bool { return a.platform }

// Has says whether the actor has a role towards something of that owner: in the
// team, or in its organisation as a whole. On what is the platform's, a
// platform-admin has every role and nobody else has any.
func (a Actor) Has(role Role, owner Owner) bool {
	if role == PlatformAdmin || owner.Organisation == "" {
		return a.platform
	}
	return slices.ContainsFunc(a.memberships, func(m Membership) bool {
		return m.Role == role && m.Organisation == owner.Organisation && (m.Team == "" || m.Team == owner.Team)
	})
}

// Belongs says whether it is of those to whom something of that owner belongs: with any
// role in the team, or in its organisation as a whole, or a platform-admin.
func (a Actor) Belongs(owner Owner) bool {
	return a.platform || slices.ContainsFunc(a.memberships, func(m Membership) bool {
		return m.Organisation == owner.Organisation && (m.Team == "" || m.Team == owner.Team)
	})
}

// within says whether it has a role anywhere in an organisation, in a team of it or
// as a whole; in any organisation when that is empty.
func (a Actor) within(role Role, organisation string) bool {
	return slices.ContainsFunc(a.memberships, func(m Membership) bool {
		return m.Role == role && (organisation == "" || m.Organisation == organisation)
	})
}

// member says whether it has any role anywhere in an organisation; in any
// organisation when that is empty.
func (a Actor) member(organisation string) bool {
	return slices.ContainsFunc(a.memberships, func(m Membership) bool { return organisation == "" || m.Organisation == organisation })
}
