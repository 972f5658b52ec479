package catalog

import (
	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/resource"
)

// viewer is somebody who looks at one snapshot. It remembers what it may see, by what
// that depends on, since most APIs are alike in it; it is for one goroutine.
type viewer struct {
	*snapshot
	actor identity.Actor
	known map[seeing]bool
}

type seeing struct {
	operation identity.Operation
	object    identity.Object // without its name, which does not matter
}

func (s *snapshot) viewer(actor identity.Actor) *viewer {
	return &viewer{s, actor, map[seeing]bool{}}
}

// may says whether the viewer may do something.
func (v *viewer) may(op identity.Operation, o identity.Object) bool {
	o.Name = ""
	known, ok := v.known[seeing{op, o}]
	if !ok {
		known = identity.Authorise(v.actor, op, o) == nil
		v.known[seeing{op, o}] = known
	}
	return known
}

func (v *viewer) sees(o identity.Object) bool { return v.may(identity.Read, o) }

// owns says whether the viewer is of those who see what is offered nowhere.
func (v *viewer) owns(o identity.Object) bool { return v.may(identity.ReadBacking, o) }

// versions are those of an API that the viewer may see.
func (v *viewer) versions(e *entry) (out []*version) {
	for _, of := range e.versions {
		if v.sees(of.object) {
			out = append(out, of)
		}
	}
	return out
}

// version returns one of an API's that the viewer may see, by its name.
func (v *viewer) version(name string) *version {
	api, _, ok := resource.VersionName(name)
	if e := v.named[api]; ok && e != nil && v.sees(e.object) {
		for _, of := range e.versions {
			if of.name == name && v.sees(of.object) {
				return of
			}
		}
	}
	return nil
}

// stage is what the viewer sees of a version in an environment, in the one furthest along
// the order without; nil where there is nothing to see.
func (v *viewer) stage(of *version, environment string) *stage {
	for i := len(of.stages) - 1; i >= 0; i-- {
		if environment == "" || of.stages[i].Environment == environment {
			return of.stages[i]
		}
	}
	if environment == "" && of.document != nil && v.owns(of.object) {
		return of.document
	}
	return nil
}

// successor is the one that a version names, if the viewer may see it.
func (v *viewer) successor(of *version) string {
	if next := of.spec.Lifecycle.Successor; next != "" && v.version(next) != nil {
		return next
	}
	return ""
}

// mine are subscriptions to products, by product, of applications that the viewer may
// see as one of those who own them.
func (v *viewer) mine(products map[string]bool) []*control.Record {
	var out []*control.Record
	for _, d := range v.model.Set().Subscriptions {
		if !products[d.Spec.Product] || v.actor.Kind() == identity.KindNobody {
			continue
		}
		r := v.model.Get(d.Key())
		if r != nil && v.belongs(r) && v.sees(v.model.Object(d)) {
			out = append(out, r)
		}
	}
	return out
}

// belongs says whether the viewer has a role where something belongs; being a
// platform-admin is none.
func (v *viewer) belongs(r *control.Record) bool {
	for _, m := range v.actor.Memberships() {
		if r.Organisation != "" && m.Organisation == r.Organisation && (m.Team == "" || m.Team == r.Team) {
			return true
		}
	}
	return false
}

// uses says whether a subscription counts as having what it is to.
func uses(d *resource.Subscription) bool {
	switch lifecycle.State(d.Spec.State) {
	case lifecycle.Active, lifecycle.Suspended, lifecycle.Pending:
		return true
	}
	return false
}
