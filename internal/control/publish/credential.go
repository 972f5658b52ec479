package publish

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// mechanismsOf are the SASL mechanisms for which a secret's verifiers are kept.
var mechanismsOf = map[grant.Method][]string{
	grant.Plain: {"PLAIN"},
	grant.Scram: {"SCRAM-SHA-256", "SCRAM-SHA-512"},
}

// credentials makes the environment's credentials with their grants, and notes
// in the history what each application has now.
func (c *compiler) credentials(views map[string]*view) []*grant.Credential {
	type built struct {
		doc    *resource.Credential
		secret string
	}
	var docs []built
	for _, d := range c.set.Credentials {
		if d.Metadata.Environment == c.opts.Environment && c.applications[d.Spec.Application] != nil {
			docs = append(docs, built{d, c.secretOf(d)})
		}
	}
	if resource.Bad(c.problems) {
		return nil
	}
	for _, app := range c.set.Applications {
		c.remember(views[app.Name()])
	}
	shared := map[string]*grant.Grant{}
	var out []*grant.Credential
	for _, b := range docs {
		d := b.doc
		method, identity := identityOf(d)
		cred := &grant.Credential{Name: d.Name(), Method: method, Identity: identity, NotAfter: d.Spec.NotAfter.UTC()}
		switch d.Spec.State {
		case "revoked":
			cred.Revoked = "the credential was revoked"
		case "retiring":
			if cred.NotAfter.IsZero() || d.Spec.Until.Before(cred.NotAfter) {
				cred.NotAfter = d.Spec.Until.UTC()
			}
		}
		verifiers, err := c.verifiers(cred, b.secret)
		if err != nil {
			c.add(d.Problem("spec.secret", err.Error(), "use another secret"))
			continue
		}
		cred.Verifiers = verifiers
		topics := c.topicsFor(views[d.Spec.Application], d, method)
		var key strings.Builder // credentials that see the same share one grant
		fmt.Fprintf(&key, "%s\x00", d.Spec.Application)
		for _, t := range topics {
			fmt.Fprintf(&key, "%+v\x00", *t)
		}
		if shared[key.String()] == nil {
			shared[key.String()] = c.grant(views[d.Spec.Application], topics)
		}
		cred.Grant = shared[key.String()]
		out = append(out, cred)
	}
	return out
}

// secretOf resolves and checks a credential's secret. A revoked credential may
// have lost it.
func (c *compiler) secretOf(d *resource.Credential) string {
	if d.Spec.Secret.IsZero() {
		return ""
	}
	secret, err := c.opts.Secret(d.Spec.Secret)
	switch {
	case d.Spec.State == "revoked":
		return secret
	case err != nil:
		c.add(d.Problem("spec.secret", err.Error(), "set it, or correct the reference"))
	case len(secret) < MinSecretLength:
		c.add(d.Problem("spec.secret", fmt.Sprintf("%s holds %d characters, a secret needs %d", d.Spec.Secret.Describe(), len(secret), MinSecretLength), "use a random one, for instance from: openssl rand -hex 16"))
	}
	return secret
}

// verifiers returns what proves the secret: those of the previous snapshot if
// they still do, so that an unchanged document gives an unchanged credential.
func (c *compiler) verifiers(cred *grant.Credential, secret string) ([]grant.Verifier, error) {
	var old []grant.Verifier
	if c.opts.Previous != nil {
		if before := c.opts.Previous.Lookup(cred.Method, cred.Identity); before != nil {
			old = before.Verifiers
		}
	}
	if secret == "" { // revoked; whoever proves the old secret is told so
		return old, nil
	}
	digest := c.history.proved.digest(secret)
	if h := c.opts.History; h != nil && h.proved != nil {
		if p, ok := h.proved.made[cred.Key()]; ok && p.digest == digest {
			c.history.proved.made[cred.Key()] = p
			return p.verifiers, nil
		}
	}
	var out []grant.Verifier
	for _, mechanism := range mechanismsOf[cred.Method] {
		var salt []byte
		i := slices.IndexFunc(old, func(v grant.Verifier) bool { return v.Mechanism == mechanism })
		if i >= 0 {
			salt = old[i].Salt
		}
		v, err := sasl.NewVerifier(mechanism, secret, salt)
		if err != nil {
			return nil, err
		}
		if i >= 0 && !same(grant.Verifier(v), old[i]) { // a new secret gets a salt of its own
			if v, err = sasl.NewVerifier(mechanism, secret, nil); err != nil {
				return nil, err
			}
		}
		out = append(out, grant.Verifier(v))
	}
	c.history.proved.made[cred.Key()] = proof{digest, out}
	return out, nil
}

func same(a, b grant.Verifier) bool {
	return a.Mechanism == b.Mechanism && a.Iterations == b.Iterations && bytes.Equal(a.Salt, b.Salt) && bytes.Equal(a.StoredKey, b.StoredKey) && bytes.Equal(a.ServerKey, b.ServerKey)
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

// topicsFor returns the topics that one credential sees.
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
		g.Read = right(t.read, e, func(e *Entry) *Held { return e.Read }, "subscription "+subscription+": right to read withdrawn", now)
		g.Write = right(t.write, e, func(e *Entry) *Held { return e.Write }, "subscription "+subscription+": right to write withdrawn", now)
		var lost time.Time
		what, message, hidden := "", "", false
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
		if v.topics[e.Exposed] != nil || e.Methods[method] == nil {
			continue
		}
		if d.Spec.Subscriptions != nil && e.Credentials[d.Name()] == nil {
			continue
		}
		lost := e.Lost
		for _, held := range []*Held{e.Methods[method], e.Credentials[d.Name()]} {
			if held != nil && !held.Lost.IsZero() && held.Lost.Before(lost) {
				lost = held.Lost
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
