// Package publish compiles resource documents into the snapshot that gateways
// enforce. Its main function is Compile: it checks the documents as a whole,
// derives the virtual cluster of each application, and remembers in a History
// what applications had, so that what disappears ends quietly. It knows nothing
// of files, sockets or frames, reads no clock and stores nothing.
package publish

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Memory is how long a topic or a right that an application had is answered
// quietly after it is lost; then it is refused like a name that does not exist.
const Memory = 30 * 24 * time.Hour

// MinSecretLength is the least length of a secret, in bytes.
const MinSecretLength = 16

// Options are what Compile needs besides the documents.
type Options struct {
	// Environment is the one the snapshot is of. Documents of other environments
	// are checked, their secrets are not resolved.
	Environment string
	// Generation of the snapshot's number.
	Generation uint64
	// Now is the time of the change.
	Now time.Time
	// Seed is secret, random, and kept for the life of the installation: topic ids,
	// prefixes and virtual cluster ids derive from it. 32 bytes.
	Seed []byte
	// Secret resolves a reference; its error must not hold the secret. With nil, target
	// clusters are left to [Clusters], where the gateway runs; Verifiers has to be set.
	Secret func(resource.SecretRef) (string, error)
	// Inside adds, for each application with topics, a credential of method inside: all
	// that its subscriptions bring, whatever ways to log in their plans admit. It is for the
	// gateway of this process; gateways elsewhere have no use of it.
	Inside bool
	// Bare lets the environment be without a target cluster.
	Bare bool
	// Verifiers, when set, returns what proves the secret of a credential, by its name,
	// instead of a reference in its document.
	Verifiers func(credential string) []grant.Verifier
	// History is what the last Compile returned; nil at the very first.
	History *History
	// Previous is the snapshot that is being replaced; nil when there is none.
	Previous *grant.Snapshot
	// Proved are secrets by credential of Previous from which its verifiers are
	// known to have been derived: they are not derived again. Nil knows of none.
	Proved map[grant.Key]string
	// Workers is how many goroutines may derive verifiers at a time; 0 means one.
	Workers int
}

// Result is what Compile makes.
type Result struct {
	// Snapshot is Options.Previous itself when nothing changed.
	Snapshot *grant.Snapshot
	// History is for the caller to keep before the snapshot is used.
	History *History
	// Clusters are the target clusters of the environment, by name; none without
	// Options.Secret.
	Clusters []Cluster
	// NextChange is when to compile again although no document changed: a phase
	// begins or a credential expires. Zero means never.
	NextChange time.Time
	// Derived counts the credentials whose verifiers were derived from their
	// secrets, since neither an earlier Compile of the same History nor Proved has them.
	Derived int
	// Compiled counts the applications that were looked at. The others are known to be
	// as an earlier Compile of the same History made them.
	Compiled int
}

// Compile checks a set as a whole and makes the snapshot of one environment. It
// returns every problem, warnings included; the result is nil when one of them
// is more than a warning. Neither the set nor the options are changed. The same
// set, history and previous snapshot give the same snapshot. What an earlier Compile of
// the same History has made of documents that are in both sets is used again, where
// verifiers are given and not derived: documents must not be changed in place.
func Compile(set *resource.Set, opts Options) (*Result, []resource.Problem) {
	opts.Now = opts.Now.UTC().Round(0)
	c := newCompiler(set, opts, opts.History.keptOf(opts.Environment).rest(set, opts))
	c.checkReferences()
	views := map[string]*view{}
	for _, environment := range c.environmentNames() {
		for app := range c.inScope() {
			v := c.view(app, environment)
			if environment == opts.Environment {
				views[app.Name()] = v
			}
		}
	}
	var clusters []Cluster
	if opts.Secret != nil {
		clusters = c.clusters()
	}
	credentials := c.credentials(views)
	if resource.Bad(c.problems) {
		return nil, c.sorted()
	}
	snapshot, err := number(opts, c.keep(credentials))
	if err != nil {
		c.add(resource.Problem{Message: err.Error(), Fix: "this is a mistake in Sluice: please report it"})
		return nil, c.sorted()
	}
	next := c.history.kept[opts.Environment].settle(snapshot, c.scope, opts.Now)
	c.history.prune(opts.Environment, c.applications, c.scope, opts.Now)
	return &Result{Snapshot: snapshot, History: c.history, Clusters: clusters, NextChange: next, Derived: c.derived, Compiled: len(views)}, c.sorted()
}

// Check checks a set as a whole, in all its environments, as Compile does with the
// same seed. It resolves no secrets and remembers nothing. With a set that was found
// sound before, which may be nil, it looks only at what has changed since: no
// document of either may be changed in place. Problems name nothing of another
// application than the document's own.
func Check(set *resource.Set, seed []byte, sound *resource.Set) []resource.Problem {
	c := newCompiler(set, Options{Seed: seed}, between(sound, set))
	c.discreet = true
	c.checkDocuments()
	for _, environment := range c.environmentNames() {
		for app := range c.inScope() {
			c.view(app, environment)
		}
	}
	return c.sorted()
}

// number gives the credentials the next number, or finds that nothing changed.
func number(opts Options, credentials []*grant.Credential) (*grant.Snapshot, error) {
	to := grant.Number{Generation: opts.Generation, N: 1}
	previous := opts.Previous
	if previous != nil && previous.Environment() != opts.Environment {
		previous = nil
	}
	if previous != nil && previous.Number().Generation >= opts.Generation {
		to = previous.Number()
		to.N++
	}
	if previous == nil {
		return grant.New(opts.Environment, to, credentials)
	}
	delta, err := previous.DeltaTo(to, credentials)
	if err != nil {
		return nil, err
	}
	if len(delta.Put) == 0 && len(delta.Remove) == 0 && to.Generation == previous.Number().Generation {
		return previous, nil
	}
	return previous.Apply(delta)
}

// compiler holds one run of Compile.
type compiler struct {
	set      *resource.Set
	opts     Options
	history  *History
	problems []resource.Problem
	discreet bool // owners of documents do not learn of each other
	scope    scope
	// problemsOf are those of applications, at is the one that is being looked at
	problemsOf map[string][]resource.Problem
	at         string

	environments  map[string]bool
	apis          map[string]*resource.API
	clusterDocs   map[string]*resource.Cluster
	versions      map[string]*resource.Version
	products      map[string]*resource.Product
	applications  map[string]*resource.Application
	subscriptions []*resource.Subscription // in scope
	// by virtual cluster, in the order of the documents, of the applications in scope
	subscriptionsOf map[appKey][]*resource.Subscription
	credentialsOf   map[appKey][]*resource.Credential
	prefixes        map[string]appKey // see ownerOf
	derived         int               // credentials
}

func newCompiler(set *resource.Set, opts Options, in scope) *compiler {
	in = in.narrow()
	c := &compiler{
		set: set, opts: opts, scope: in, problemsOf: map[string][]resource.Problem{},
		environments: map[string]bool{},
		apis:         index(set.APIs), clusterDocs: index(set.Clusters), versions: index(set.Versions), products: index(set.Products),
		applications: index(set.Applications),
	}
	c.history = opts.History.clone(opts.Environment, in)
	if in.all || len(in.apps) > 0 {
		c.history.recall(opts.Previous, c.applications, in, opts.Now)
	}
	for _, e := range set.Environments {
		c.environments[e.Name()] = true
	}
	if len(set.Environments) == 0 {
		for _, cluster := range set.Clusters {
			c.environments[cluster.Metadata.Environment] = true
		}
	}
	c.subscriptionsOf, c.credentialsOf = map[appKey][]*resource.Subscription{}, map[appKey][]*resource.Credential{}
	for _, d := range set.Subscriptions {
		if in.has(d.Spec.Application) {
			c.subscriptions = append(c.subscriptions, d)
			k := appKey{d.Metadata.Environment, d.Spec.Application}
			c.subscriptionsOf[k] = append(c.subscriptionsOf[k], d)
		}
	}
	for _, d := range set.Credentials {
		if in.has(d.Spec.Application) {
			k := appKey{d.Metadata.Environment, d.Spec.Application}
			c.credentialsOf[k] = append(c.credentialsOf[k], d)
		}
	}
	return c
}

// inScope yields the applications in scope, each while it is the one that is being
// looked at.
func (c *compiler) inScope() iter.Seq[*resource.Application] {
	return func(yield func(*resource.Application) bool) {
		defer func() { c.at = "" }()
		for _, app := range c.set.Applications {
			if !c.scope.has(app.Name()) {
				continue
			}
			if c.at = app.Name(); !yield(app) {
				return
			}
		}
	}
}

func index[S any](docs []*resource.Document[S]) map[string]*resource.Document[S] {
	m := make(map[string]*resource.Document[S], len(docs))
	for _, d := range docs {
		m[d.Name()] = d
	}
	return m
}

func (c *compiler) add(p resource.Problem) {
	c.problems = append(c.problems, p)
	if c.at != "" {
		c.problemsOf[c.at] = append(c.problemsOf[c.at], p)
	}
}

// sorted returns the problems by file and line, each once.
func (c *compiler) sorted() []resource.Problem {
	slices.SortStableFunc(c.problems, func(a, b resource.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(c.problems)
}
