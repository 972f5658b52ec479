package publish

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// mechanismsOf are the SASL mechanisms for which a secret's verifiers are kept.
var mechanismsOf = map[grant.Method][]string{
	grant.Plain: {"PLAIN"},
	grant.Scram: {"SCRAM-SHA-256", "SCRAM-SHA-512"},
	grant.OAuth: {"OAUTHBEARER"}, // of a client at the control plane's token endpoint
}

// credentials makes the environment's credentials with their grants, and notes
// in the history what each application has now.
func (c *compiler) credentials(views map[string]*view) []*grant.Credential {
	var all []*building
	many := map[string]int{} // by application
	for _, d := range c.set.Credentials {
		if d.Metadata.Environment == c.opts.Environment && c.applications[d.Spec.Application] != nil && c.scope.has(d.Spec.Application) {
			many[d.Spec.Application]++
			c.at = d.Spec.Application
			method, identity := identityOf(d)
			all = append(all, &building{doc: d, secret: c.secretOf(d), cred: &grant.Credential{Name: d.Name(), Method: method, Identity: identity, NotAfter: d.Spec.NotAfter.UTC()}})
		}
	}
	c.at = ""
	if resource.Bad(c.problems) {
		return nil
	}
	for app := range c.inScope() {
		c.remember(views[app.Name()])
	}
	c.prove(all)
	shared := map[string]*grant.Grant{}
	grants := map[string][]*grant.Grant{} // by application
	var out []*grant.Credential
	defer func() { c.at = "" }()
	for _, b := range all {
		d, cred := b.doc, b.cred
		c.at = d.Spec.Application
		switch d.Spec.State {
		case "revoked":
			cred.Revoked = "the credential was revoked"
		case "expired":
			cred.Revoked = "the credential has expired"
		case "retiring":
			if cred.NotAfter.IsZero() || d.Spec.Until.Before(cred.NotAfter) {
				cred.NotAfter = d.Spec.Until.UTC()
			}
		}
		if b.err != nil {
			c.add(d.Problem("spec.secret", b.err.Error(), "use another secret"))
			continue
		}
		topics := c.topicsFor(views[d.Spec.Application], d, cred.Method)
		var key strings.Builder // credentials that see the same share one grant
		fmt.Fprintf(&key, "%s\x00", d.Spec.Application)
		for _, t := range topics {
			if many[d.Spec.Application] > 1 {
				fmt.Fprintf(&key, "%+v\x00", *t)
			}
		}
		if shared[key.String()] == nil {
			shared[key.String()] = c.grant(views[d.Spec.Application], topics)
			grants[d.Spec.Application] = append(grants[d.Spec.Application], shared[key.String()])
		}
		cred.Grant = shared[key.String()]
		out = append(out, cred)
	}
	if c.opts.Inside {
		for app := range c.inScope() {
			if cred := c.inside(views[app.Name()], grants[app.Name()]); cred != nil {
				out = append(out, cred)
			}
		}
	}
	return out
}

// InsideName begins the names of the credentials with which this process acts as an
// application; no credential of a document is called so.
const InsideName = "inside:"

// inside makes the credential with which this process acts as an application, nil for one
// that has no topics. One of the application's grants serves where it says the same.
func (c *compiler) inside(v *view, grants []*grant.Grant) *grant.Credential {
	topics := c.topicsFor(v, nil, grant.Inside)
	if len(topics) == 0 {
		return nil
	}
	cred := &grant.Credential{Name: InsideName + v.app.Name(), Method: grant.Inside, Identity: v.app.Name()}
	for _, g := range grants {
		if grant.SameTopics(g.Topics, topics) {
			cred.Grant = g
			return cred
		}
	}
	cred.Grant = c.grant(v, topics)
	return cred
}

// secretOf resolves and checks a credential's secret. A revoked credential may
// have lost it.
func (c *compiler) secretOf(d *resource.Credential) string {
	if d.Spec.Secret.IsZero() {
		return ""
	}
	secret, err := c.opts.Secret(d.Spec.Secret)
	switch {
	case d.Spec.State == "revoked" || d.Spec.State == "expired":
		return secret
	case err != nil:
		c.add(d.Problem("spec.secret", err.Error(), "set it, or correct the reference"))
	case len(secret) < MinSecretLength:
		c.add(d.Problem("spec.secret", fmt.Sprintf("%s holds %d characters, a secret needs %d", d.Spec.Secret.Describe(), len(secret), MinSecretLength), "use a random one, for instance from: openssl rand -hex 16"))
	}
	return secret
}

// building is a credential that is being made of a document.
type building struct {
	doc    *resource.Credential
	secret string
	cred   *grant.Credential
	err    error // why its secret has no verifiers
}

// prove gives credentials the verifiers of their secrets. Those that were proved
// before keep them; the others, of which each costs milliseconds with SCRAM, are
// derived by as many goroutines as the options allow.
func (c *compiler) prove(all []*building) {
	var todo []*building
	for _, b := range all {
		if c.opts.Verifiers != nil {
			b.cred.Verifiers = c.opts.Verifiers(b.doc.Name())
		} else if b.secret == "" { // revoked; whoever proves the old secret is told so
			b.cred.Verifiers = c.before(b.cred)
		} else if verifiers, ok := c.opts.History.provedBy(b.cred.Key(), b.secret); ok {
			b.cred.Verifiers = verifiers
		} else if secret, ok := c.opts.Proved[b.cred.Key()]; ok && secret == b.secret && len(c.before(b.cred)) == len(mechanismsOf[b.cred.Method]) {
			b.cred.Verifiers = c.before(b.cred)
		} else {
			todo = append(todo, b)
		}
	}
	c.derived = len(todo)
	var next atomic.Int64
	var group sync.WaitGroup
	for range max(1, min(c.opts.Workers, len(todo))) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
				todo[i].cred.Verifiers, todo[i].err = verifiers(todo[i].cred.Method, todo[i].secret, c.before(todo[i].cred))
			}
		})
	}
	group.Wait()
	for _, b := range all {
		if b.secret != "" && b.err == nil {
			c.history.proved.note(b.cred.Key(), b.secret, b.cred.Verifiers)
		}
	}
}

// before returns the verifiers that a credential has in the previous snapshot.
func (c *compiler) before(cred *grant.Credential) []grant.Verifier {
	if c.opts.Previous != nil {
		if before := c.opts.Previous.Lookup(cred.Method, cred.Identity); before != nil {
			return before.Verifiers
		}
	}
	return nil
}

// verifiers derives what proves a secret: the old ones again if they still do, so
// that an unchanged document gives an unchanged credential.
func verifiers(method grant.Method, secret string, old []grant.Verifier) ([]grant.Verifier, error) {
	var out []grant.Verifier
	for _, mechanism := range mechanismsOf[method] { // the cheapest first
		var salt []byte
		i := slices.IndexFunc(old, func(v grant.Verifier) bool { return v.Mechanism == mechanism })
		if i >= 0 {
			salt = old[i].Salt
		}
		v, err := sasl.NewVerifier(mechanism, secret, salt)
		if err != nil {
			return nil, err
		}
		if i >= 0 && !same(granted(v), old[i]) { // a new secret gets salts of its own
			old = nil
			if v, err = sasl.NewVerifier(mechanism, secret, nil); err != nil {
				return nil, err
			}
		}
		out = append(out, granted(v))
	}
	return out, nil
}

// same reports whether two verifiers are of one secret.
func same(a, b grant.Verifier) bool {
	return a.Mechanism == b.Mechanism && a.Iterations == b.Iterations && bytes.Equal(a.Salt, b.Salt) && bytes.Equal(a.StoredKey, b.StoredKey) && bytes.Equal(a.ServerKey, b.ServerKey)
}

// granted is a verifier as a grant has it.
func granted(v sasl.Verifier) grant.Verifier {
	return grant.Verifier{Mechanism: v.Mechanism, Salt: v.Salt, Iterations: v.Iterations, StoredKey: v.StoredKey, ServerKey: v.ServerKey}
}

// Verifiers derives what proves a secret, for methods that have one, with the salts of
// the verifiers of another secret of the credential, so that both can count at a time.
func Verifiers(method grant.Method, secret string, like []grant.Verifier) ([]grant.Verifier, error) {
	var out []grant.Verifier
	for _, mechanism := range mechanismsOf[method] {
		v, err := derive(mechanism, secret, like)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Proves returns which of some verifiers of a credential's secrets are those of a
// secret, the last of them, and -1 for none. It costs what deriving one costs, some
// milliseconds with SCRAM, for each salt among them.
func Proves(secret string, of [][]grant.Verifier) int {
	var v grant.Verifier // of the last salt
	for i, verifiers := range slices.Backward(of) {
		if len(verifiers) == 0 {
			continue
		}
		first := verifiers[0]
		if v.Mechanism != first.Mechanism || v.Iterations != first.Iterations || !bytes.Equal(v.Salt, first.Salt) {
			var err error
			if v, err = derive(first.Mechanism, secret, verifiers[:1]); err != nil {
				return -1
			}
		}
		if same(v, first) {
			return i
		}
	}
	return -1
}

func derive(mechanism, secret string, like []grant.Verifier) (grant.Verifier, error) {
	as := mechanism
	if as == sasl.OAuthBearer { // the secret comes as with PLAIN
		as = sasl.Plain
	}
	v, err := sasl.Verifier{}, error(nil)
	if i := slices.IndexFunc(like, func(l grant.Verifier) bool { return l.Mechanism == mechanism }); i >= 0 {
		v, err = sasl.Verifier{Mechanism: as, Salt: like[i].Salt, Iterations: like[i].Iterations}.Derive(secret)
	} else {
		v, err = sasl.NewVerifier(as, secret, nil)
	}
	v.Mechanism = mechanism
	return granted(v), err
}

// remember brings the history of one application up to date with its view.
func (c *compiler) remember(v *view) {
	now := c.opts.Now
	backings := map[string]bool{}
	for _, t := range v.topics {
		backings[t.backing] = true
		state := (&grant.Topic{Phases: t.phases}).At(now).State
		e := c.history.find(v.environment, v.app.Name(), t.exposed)
		if e == nil {
			if state == grant.Refused && endOf(t.phases).IsZero() || state == grant.Refused && now.Before(endOf(t.phases)) {
				continue // not begun
			}
			e = &Entry{Environment: v.environment, Application: v.app.Name(), Exposed: t.exposed, ID: c.topicID(v.environment, v.app.Name(), t.exposed), Methods: map[grant.Method]*Held{}, Credentials: map[string]*Held{}}
			c.history.put(e)
		}
		e.Backing, e.Cluster, e.Subscription, e.Ends = t.backing, t.cluster, t.subscription.Name(), endOf(t.phases)
		e.Lost = time.Time{}
		if !e.Ends.IsZero() && !now.Before(e.Ends) {
			e.Lost = e.Ends
		}
		rememberRight(&e.Read, t.read, now)
		rememberRight(&e.Write, t.write, now)
	}
	for _, e := range c.history.of(v.environment, v.app.Name()) {
		if v.topics[e.Exposed] != nil {
			continue
		}
		if e.Lost.IsZero() {
			if e.Lost = now.UTC(); !e.Ends.IsZero() && e.Ends.Before(now) {
				e.Lost = e.Ends
			}
		}
		switch {
		case !now.Before(e.Lost.Add(Memory)):
			c.history.forget(e)
		case e.Cluster != v.cluster:
			c.add(v.app.Warning("metadata.name", fmt.Sprintf("topic %q is gone and was on target cluster %q, the application is on %q now: its running clients get TOPIC_AUTHORIZATION_FAILED for it", e.Exposed, e.Cluster, v.cluster), "tell the application's team"))
			c.history.forget(e)
		case backings[e.Backing]:
			c.add(v.app.Warning("metadata.name", fmt.Sprintf("topic %q has another name now: running clients that use the old one get TOPIC_AUTHORIZATION_FAILED", e.Exposed), "tell the application's team"))
			c.history.forget(e)
		}
	}
}

func rememberRight(held **Held, has bool, now time.Time) {
	switch {
	case has:
		*held = &Held{}
	case *held != nil:
		(*held).lose(now)
	}
}

// topicsFor returns the topics that one credential sees; without one, all that the
// application has.
func (c *compiler) topicsFor(v *view, d *resource.Credential, method grant.Method) []*grant.Topic {
	now := c.opts.Now
	var out []*grant.Topic
	add := func(t *grant.Topic) {
		if last := len(t.Phases) - 1; last >= 0 && (t.Phases[last].State != grant.Refused || now.Before(t.Phases[last].From)) {
			out = append(out, t)
		}
	}
	for _, t := range v.topics {
		e := c.history.find(v.environment, v.app.Name(), t.exposed)
		subscription := t.subscription.Name()
		g := &grant.Topic{Exposed: t.exposed, Backing: t.backing, ID: c.topicID(v.environment, v.app.Name(), t.exposed), Subscription: subscription, Phases: t.phases,
			DeleteRecords: slices.Contains(t.manage, resource.DeleteRecords), AlterConfigs: slices.Contains(t.manage, resource.AlterConfigs)}
		if e != nil {
			g.ID = e.ID
		}
		g.MaxStaleness = c.maxStaleness(t.subscription)
		g.Read = right(t.read, e, func(e *Entry) *Held { return e.Read }, "subscription "+subscription+": right to read withdrawn", now)
		g.Write = right(t.write, e, func(e *Entry) *Held { return e.Write }, "subscription "+subscription+": right to write withdrawn", now)
		var lost time.Time
		what, message, hidden := "", "", false
		if d == nil {
			add(g)
			continue
		}
		if !slices.Contains(t.methods, string(method)) {
			what, message, hidden = fmt.Sprintf("plan %s of subscription %s: method %s not admitted", t.subscription.Spec.Plan, subscription, method), "the plan no longer admits this way to log in", true
			if e == nil || e.Methods[method] == nil {
				continue // it never had
			}
			lost = e.Methods[method].lose(now)
		} else if e != nil {
			e.Methods[method] = &Held{}
		}
		if d.Spec.Subscriptions != nil && !slices.Contains(d.Spec.Subscriptions, subscription) {
			if e == nil || e.Credentials[d.Name()] == nil {
				continue
			}
			at := e.Credentials[d.Name()].lose(now)
			if !hidden || at.Before(lost) {
				what, message, lost = "credential "+d.Name()+": narrowed to other subscriptions", "the credential is narrowed to other subscriptions", at
			}
			hidden = true
		} else if e != nil && !hidden {
			e.Credentials[d.Name()] = &Held{}
		}
		if end := endOf(t.phases); hidden && (end.IsZero() || lost.Before(end)) {
			g.Phases = lostAt(lost, what, message)
		}
		add(g)
	}
	for _, e := range c.history.of(v.environment, v.app.Name()) {
		if v.topics[e.Exposed] != nil || d != nil && (e.Methods[method] == nil || d.Spec.Subscriptions != nil && e.Credentials[d.Name()] == nil) {
			continue
		}
		lost := e.Lost
		if d != nil {
			for _, held := range []*Held{e.Methods[method], e.Credentials[d.Name()]} {
				if held != nil && !held.Lost.IsZero() && held.Lost.Before(lost) {
					lost = held.Lost
				}
			}
		}
		g := &grant.Topic{Exposed: e.Exposed, Backing: e.Backing, ID: e.ID, Subscription: e.Subscription,
			Phases: lostAt(lost, "subscription "+e.Subscription+": no longer brings the topic", "the subscription to this topic has ended")}
		g.Read = right(e.Read != nil && e.Read.Lost.IsZero(), e, func(e *Entry) *Held { return e.Read }, "subscription "+e.Subscription+": right to read withdrawn", now)
		g.Write = right(e.Write != nil && e.Write.Lost.IsZero(), e, func(e *Entry) *Held { return e.Write }, "subscription "+e.Subscription+": right to write withdrawn", now)
		add(g)
	}
	slices.SortFunc(out, func(a, b *grant.Topic) int { return cmp.Compare(a.Exposed, b.Exposed) })
	return out
}

func right(has bool, e *Entry, held func(*Entry) *Held, what string, now time.Time) grant.Right {
	if has {
		return grant.Right{Access: grant.Granted}
	}
	if e == nil || held(e) == nil {
		return grant.Right{}
	}
	until := held(e).Lost.Add(Memory)
	if !now.Before(until) {
		return grant.Right{}
	}
	return grant.Right{Access: grant.Withdrawn, Until: until, Rule: what}
}

func (c *compiler) grant(v *view, topics []*grant.Topic) *grant.Grant {
	app := v.app
	return &grant.Grant{
		Application: app.Name(), Environment: v.environment, Cluster: v.cluster,
		VirtualClusterID: c.virtualClusterID(v.environment, app.Name()),
		Prefix:           c.prefix(v.environment, app.Name()),
		IDKey:            c.idKey(v.environment, app.Name()),
		Topics:           topics,
		Namespace:        grant.Namespace{Topics: app.Spec.Namespace.Topics, Partitions: app.Spec.Namespace.Partitions, Suspended: suspendedBy(app)},
		Quota:            v.quota,
		Groups:           app.Spec.Adopt.Groups,
		TransactionalIDs: app.Spec.Adopt.TransactionalIDs,
	}
}

// suspendedBy names the rule that suspends an application, or "".
func suspendedBy(app *resource.Document[resource.ApplicationSpec]) string {
	if !app.Spec.Suspended {
		return ""
	}
	return "application " + app.Name() + ": suspended"
}

// maxStaleness is how long gateways may serve what a subscription brings without word
// from the control plane; 0 means without limit.
func (c *compiler) maxStaleness(s *resource.Subscription) time.Duration {
	var least time.Duration
	limit := func(d resource.Duration) {
		if d > 0 && (least == 0 || time.Duration(d) < least) {
			least = time.Duration(d)
		}
	}
	if p := c.products[s.Spec.Product]; p != nil {
		limit(p.Spec.MaxStaleness)
	}
	for _, e := range c.set.Environments {
		if e.Name() == s.Metadata.Environment {
			limit(e.Spec.MaxStaleness)
		}
	}
	return least
}
