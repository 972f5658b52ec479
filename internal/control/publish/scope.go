package publish

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// scope is what has to be looked at: all applications, or those that a change
// concerns. What it leaves out is as it was found before.
type scope struct {
	all  bool
	apps map[string]bool
	only string // the one in apps, when there is one; "" otherwise, and until narrow
}

// has is asked for each subscription there is; most changes concern one application.
func (s scope) has(application string) bool {
	if s.only != "" {
		return application == s.only
	}
	return s.all || s.apps[application]
}

// narrow returns the scope as it is to be asked, once it is complete.
func (s scope) narrow() scope {
	if s.only = ""; !s.all && len(s.apps) == 1 {
		for s.only = range s.apps {
		}
	}
	return s
}

// between is the scope of a change from one set to another. Documents are not
// changed once they are in a set, so one that is in both is the same.
func between(before, after *resource.Set) scope {
	everything := scope{all: true}
	if before == nil || differ(before.Environments, after.Environments, nil) || differ(before.Clusters, after.Clusters, nil) {
		return everything
	}
	s := scope{apps: map[string]bool{}}
	versions, products := map[string]bool{}, map[string]bool{}
	differ(before.Versions, after.Versions, func(d *resource.Version) { versions[d.Name()] = true })
	differ(before.Products, after.Products, func(d *resource.Product) { products[d.Name()] = true })
	if len(versions) > 0 {
		for _, d := range after.Products {
			if slices.ContainsFunc(d.Spec.Versions, func(name string) bool { return versions[name] }) {
				products[d.Name()] = true
			}
		}
	}
	if len(products) > 0 {
		for _, d := range after.Subscriptions {
			if products[d.Spec.Product] {
				s.apps[d.Spec.Application] = true
			}
		}
	}
	differ(before.Applications, after.Applications, func(d *resource.Application) { s.apps[d.Name()] = true })
	differ(before.Subscriptions, after.Subscriptions, func(d *resource.Subscription) { s.apps[d.Spec.Application] = true })
	differ(before.Credentials, after.Credentials, func(d *resource.Credential) { s.apps[d.Spec.Application] = true })
	return s
}

// differ reports whether lists of documents differ, and calls f, which may be nil,
// with each that is in one of them only. Lists in the order of names are compared in
// one pass; of others, some that are in both may count as different.
func differ[S any](before, after []*resource.Document[S], f func(*resource.Document[S])) bool {
	if len(before) == len(after) && (len(before) == 0 || &before[0] == &after[0]) {
		return false
	}
	different := false
	one := func(d *resource.Document[S]) {
		different = true
		if f != nil {
			f(d)
		}
	}
	for len(before) > 0 && len(after) > 0 {
		if before[0] == after[0] {
			before, after = before[1:], after[1:]
			continue
		}
		order := cmp.Compare(before[0].Name(), after[0].Name())
		if order <= 0 {
			one(before[0])
			before = before[1:]
		}
		if order >= 0 {
			one(after[0])
			after = after[1:]
		}
	}
	for _, d := range before {
		one(d)
	}
	for _, d := range after {
		one(d)
	}
	return different
}

// kept is what the last Compile of an environment found, application by application,
// so that the next one looks only at those that a change concerns.
type kept struct {
	set      *resource.Set
	snapshot *grant.Snapshot
	apps     map[string]*keptApp
}

// keptApp is what was made of an application.
type keptApp struct {
	credentials []*grant.Credential
	given       [][]grant.Verifier // of each credential
	problems    []resource.Problem
	next        time.Time // when it has to be looked at again; zero for never
}

// rest is the scope of a Compile: of what changed in the documents, the verifiers, and
// with time.
func (k *kept) rest(set *resource.Set, opts Options) scope {
	if k == nil || opts.Verifiers == nil || k.snapshot != opts.Previous {
		return scope{all: true}
	}
	s := between(k.set, set)
	if s.all {
		return s
	}
	for name, app := range k.apps {
		if !app.next.IsZero() && !opts.Now.Before(app.next) {
			s.apps[name] = true
			continue
		}
		for i, c := range app.credentials {
			if is, was := opts.Verifiers(c.Name), app.given[i]; len(is) != len(was) || len(is) > 0 && &is[0] != &was[0] {
				s.apps[name] = true
			}
		}
	}
	return s
}

// keep notes what was made of the applications in scope, and adds what was made of
// the others before.
func (c *compiler) keep(credentials []*grant.Credential) []*grant.Credential {
	next := &kept{set: c.set, apps: make(map[string]*keptApp, len(c.applications))}
	if !c.scope.all {
		maps.Copy(next.apps, c.history.kept[c.opts.Environment].apps)
	}
	maps.DeleteFunc(next.apps, func(name string, _ *keptApp) bool { return c.scope.has(name) })
	fresh := func(name string) *keptApp {
		if next.apps[name] == nil {
			next.apps[name] = &keptApp{}
		}
		return next.apps[name]
	}
	for name, problems := range c.problemsOf {
		fresh(name).problems = problems
	}
	for _, cred := range credentials {
		app := fresh(cred.Grant.Application)
		app.credentials, app.given = append(app.credentials, cred), append(app.given, cred.Verifiers)
	}
	var all []*grant.Credential
	for name, app := range next.apps {
		all = append(all, app.credentials...)
		if !c.scope.has(name) {
			c.problems = append(c.problems, app.problems...)
		}
	}
	c.history.kept[c.opts.Environment] = next
	return all
}

// settle notes the snapshot that was made, and returns when to compile again.
func (k *kept) settle(s *grant.Snapshot, in scope, now time.Time) time.Time {
	k.snapshot = s
	var next time.Time
	for name, app := range k.apps {
		if in.has(name) {
			for i, c := range app.credentials { // those of the snapshot, which may be older ones that say the same
				c = s.Lookup(c.Method, c.Identity)
				app.credentials[i] = c
				app.next = earliest(now, app.next, c.NotAfter, c.Grant.NextChange(now))
			}
		}
		next = earliest(now, next, app.next)
	}
	return next
}

// earliest returns the first of some moments that is still to come, or the zero time.
func earliest(now time.Time, of ...time.Time) time.Time {
	var first time.Time
	for _, at := range of {
		if at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
