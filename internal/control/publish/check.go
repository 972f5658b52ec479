package publish

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/internal/grant"
	"sluice/internal/resource"
	"sluice/internal/strictyaml"
)

func (c *compiler) environmentNames() []string { return slices.Sorted(maps.Keys(c.environments)) }

// dangling returns message and fix for a name that no document has.
func dangling[V any](kind resource.Kind, name string, known map[string]V) (message, fix string) {
	fix = fmt.Sprintf("add a document of kind %s, or correct the name", kind)
	if near := strictyaml.Nearest(name, slices.Sorted(maps.Keys(known))); near != "" {
		fix = "did you mean " + near + "?"
	}
	return fmt.Sprintf("there is no %s %q", kind, name), fix
}

func (c *compiler) environmentProblem(name string) (message, fix string, bad bool) {
	if name == "" || c.environments[name] {
		return "", "", false
	}
	message, fix = dangling(resource.KindEnvironment, name, c.environments)
	if len(c.set.Environments) == 0 {
		message = fmt.Sprintf("environment %q has no target cluster", name)
		if !strings.HasPrefix(fix, "did you") {
			fix = "add a document of kind Cluster to it, or correct the name"
		}
	}
	return message, fix, true
}

// checkReferences checks that every name that a document uses is there, and
// that versions and products are sound in themselves.
func (c *compiler) checkReferences() {
	if !c.environments[c.opts.Environment] && !c.opts.Bare {
		c.add(resource.Problem{Message: fmt.Sprintf("no target cluster is in environment %q, which this gateway serves", c.opts.Environment), Fix: "add a document of kind Cluster to it, or change environment in the configuration"})
	}
	c.checkDocuments()
}

// checkDocuments is checkReferences for whoever serves no environment.
func (c *compiler) checkDocuments() {
	c.checkOrder()
	for _, d := range c.set.Clusters {
		checkEnvironment(c, d)
	}
	for _, d := range c.set.Gateways {
		checkEnvironment(c, d)
	}
	for _, d := range c.set.Versions {
		c.checkVersion(d)
	}
	for _, d := range c.set.Products {
		c.checkProduct(d)
	}
	c.checkApplications()
	for _, d := range c.subscriptions {
		c.at = d.Spec.Application
		checkEnvironment(c, d)
		c.checkSubscription(d)
	}
	c.at = ""
	c.checkCredentials()
}

func checkEnvironment[S any](c *compiler, d *resource.Document[S]) {
	if message, fix, bad := c.environmentProblem(d.Metadata.Environment); bad {
		c.add(d.Problem("metadata.environment", message, fix))
	}
}

// checkOrder checks that environments come after others that are there, and after
// none of themselves.
func (c *compiler) checkOrder() {
	after := map[string]string{}
	for _, d := range c.set.Environments {
		after[d.Name()] = d.Spec.After
	}
	for _, d := range c.set.Environments {
		if d.Spec.After != "" && !c.environments[d.Spec.After] {
			message, fix := dangling(resource.KindEnvironment, d.Spec.After, c.environments)
			c.add(d.Problem("spec.after", message, fix))
		}
		for steps, at := 0, d.Spec.After; at != "" && steps <= len(after); steps, at = steps+1, after[at] {
			if at == d.Name() {
				c.add(d.Problem("spec.after", "makes a circle, in which nothing could ever be promoted", "let one environment come after none"))
				break
			}
		}
	}
}

// inEnvironment returns what is wrong with a reference to a cluster.
func (c *compiler) inEnvironment(cluster, environment string) (message, fix string, bad bool) {
	d := c.clusterDocs[cluster]
	switch {
	case cluster == "":
		return "", "", false
	case d == nil:
		message, fix = dangling(resource.KindCluster, cluster, c.clusterDocs)
		return message, fix, true
	case d.Metadata.Environment != environment:
		return fmt.Sprintf("cluster %q is in environment %q, not %q", cluster, d.Metadata.Environment, environment), "name a cluster of " + environment, true
	}
	return "", "", false
}

func (c *compiler) checkVersion(v *resource.Version) {
	if api, _, ok := resource.VersionName(v.Name()); ok && c.apis[api] == nil {
		message, fix := dangling(resource.KindAPI, api, c.apis)
		c.add(v.Problem("metadata.name", message, fix))
	}
	if successor := v.Spec.Lifecycle.Successor; successor != "" {
		if successor == v.Name() {
			c.add(v.Problem("spec.lifecycle.successor", "is the version itself", "name another version"))
		} else if c.versions[successor] == nil {
			message, fix := dangling(resource.KindVersion, successor, c.versions)
			c.add(v.Problem("spec.lifecycle.successor", message, fix))
		}
	}
	exposed := map[string]string{}
	for _, channel := range slices.Sorted(maps.Keys(v.Spec.Contract.Channels)) {
		name := resource.ExposedTopic(v, channel)
		if message, fix := topicProblem(name); message != "" {
			c.add(resource.ChannelProblem(v, channel, "address", "exposed topic "+message, fix))
		}
		if first, twice := exposed[name]; twice {
			c.add(resource.ChannelProblem(v, channel, "address", fmt.Sprintf("exposed topic %q is already that of channel %s", name, first), "give one of them another address"))
		}
		exposed[name] = channel
	}
	type place struct{ cluster, topic string }
	for _, channel := range slices.Sorted(maps.Keys(v.Spec.Channels)) {
		if _, ok := v.Spec.Contract.Channels[channel]; !ok {
			fix := "add it to the contract, or remove it here"
			if near := strictyaml.Nearest(channel, slices.Sorted(maps.Keys(v.Spec.Contract.Channels))); near != "" {
				fix = "did you mean " + near + "?"
			}
			c.add(v.Problem("spec.channels."+channel, fmt.Sprintf("the contract has no channel %q", channel), fix))
		}
		for _, environment := range slices.Sorted(maps.Keys(v.Spec.Channels[channel])) {
			path, backing := "spec.channels."+channel+"."+environment, v.Spec.Channels[channel][environment]
			if message, fix, bad := c.environmentProblem(environment); bad {
				c.add(v.Problem(path, message, fix))
			} else if message, fix, bad := c.inEnvironment(backing.Cluster, environment); bad {
				c.add(v.Problem(path+".cluster", message, fix))
			}
			if message, fix := topicProblem(backing.Topic); message != "" && backing.Topic != "" {
				c.add(v.Problem(path+".topic", "backing topic "+message, fix))
			}
			if owner, ok := c.ownerOf(backing.Topic); ok {
				whose := "application " + owner
				if c.discreet {
					whose = "an application"
				}
				c.add(v.Problem(path+".topic", fmt.Sprintf("backing topic %q lies in the namespace of %s", backing.Topic, whose), "name a topic outside of it"))
			}
		}
	}
	places := map[place]string{}
	for _, channel := range slices.Sorted(maps.Keys(v.Spec.Channels)) {
		for _, environment := range slices.Sorted(maps.Keys(v.Spec.Channels[channel])) {
			b := v.Spec.Channels[channel][environment]
			if b.Topic == "" {
				continue
			}
			key := place{environment + "/" + b.Cluster, b.Topic}
			if first, twice := places[key]; twice {
				c.add(v.Problem("spec.channels."+channel+"."+environment+".topic", fmt.Sprintf("backing topic %q is already that of channel %s", b.Topic, first), "name another topic"))
			}
			places[key] = channel
		}
	}
}

// ownerOf returns the application whose prefix a physical name has.
func (c *compiler) ownerOf(name string) (application string, ok bool) {
	if !grant.BeginsLikePrefix(name) { // deriving them all is dear, and few names ask for it
		return "", false
	}
	if c.prefixes == nil {
		c.prefixes = map[string]appKey{}
		for environment := range c.environments {
			for _, app := range c.set.Applications {
				c.prefixes[c.prefix(environment, app.Name())] = appKey{environment, app.Name()}
			}
		}
	}
	k, ok := c.prefixes[name[:grant.PrefixLength]]
	return k.application, ok
}

// topicProblem says why Kafka, or we, would not accept a topic's name.
func topicProblem(name string) (message, fix string) {
	shown := name
	if len(shown) > 60 {
		shown = strings.ToValidUTF8(shown[:60], "") + "…"
	}
	switch {
	case len(name) > grant.MaxTopicName:
		return fmt.Sprintf("%q has %d bytes, Kafka allows %d", shown, len(name), grant.MaxTopicName), "shorten it"
	case !grant.LegalTopicName(name):
		return fmt.Sprintf("%q is not a legal topic name", shown), "use letters, digits, dots, dashes and underscores"
	case grant.Internal(name):
		return fmt.Sprintf("%q is one of Kafka's own topics", shown), "names that begin with __ cannot be published"
	}
	return "", ""
}

func (c *compiler) checkProduct(p *resource.Product) {
	var versions []*resource.Version
	exposed := map[string]string{}
	for i, name := range p.Spec.Versions {
		path, v := fmt.Sprintf("spec.versions[%d]", i), c.versions[name]
		if v == nil {
			message, fix := dangling(resource.KindVersion, name, c.versions)
			c.add(p.Problem(path, message, fix))
			continue
		}
		versions = append(versions, v)
		for _, channel := range slices.Sorted(maps.Keys(v.Spec.Contract.Channels)) {
			topic := resource.ExposedTopic(v, channel)
			if first, twice := exposed[topic]; twice && first != name {
				c.add(p.Problem(path, fmt.Sprintf("version %s brings exposed topic %q, as version %s does", name, topic, first), "give the channel another address in one of them"))
			}
			exposed[topic] = name
		}
	}
	for _, planName := range slices.Sorted(maps.Keys(p.Spec.Plans)) {
		plan, path := p.Spec.Plans[planName], "spec.plans."+planName
		for _, channel := range slices.Sorted(maps.Keys(plan.Rights)) {
			path, right := path+".rights."+channel, plan.Rights[channel]
			send, receive, ok := c.channelOf(p, versions, path, channel)
			wantRead, wantWrite := Rights(right)
			switch {
			case !ok: // reported
			case wantRead && !send:
				c.add(p.Problem(path, "is wider than the contract: subscribers cannot read this channel", "let the contract send on it, or narrow the right"))
			case wantWrite && !receive:
				c.add(p.Problem(path, "is wider than the contract: subscribers cannot write to this channel", "let the contract receive on it, or narrow the right"))
			}
		}
		for _, channel := range slices.Sorted(maps.Keys(plan.Manage)) {
			path := path + ".manage." + channel
			if _, _, ok := c.channelOf(p, versions, path, channel); ok && plan.Rights[channel] == "none" {
				c.add(p.Problem(path, "is for a channel that the plan leaves out", "remove it, or give a right to the channel"))
			}
		}
	}
}

// channelOf finds what the contracts of a product's versions say of a channel
// that a plan names. ok is false, and the problem reported, when none has it.
func (c *compiler) channelOf(p *resource.Product, versions []*resource.Version, path, channel string) (send, receive, ok bool) {
	known := map[string]bool{}
	for _, v := range versions {
		for name := range v.Spec.Contract.Channels {
			known[name] = true
		}
		if ch, has := v.Spec.Contract.Channels[channel]; has {
			send, receive, ok = send || ch.Send, receive || ch.Receive, true
		}
	}
	if len(versions) < len(p.Spec.Versions) { // some are missing, which is reported
		return false, false, false
	}
	if !ok {
		fix := "name a channel of the product's versions"
		if near := strictyaml.Nearest(channel, slices.Sorted(maps.Keys(known))); near != "" {
			fix = "did you mean " + near + "?"
		}
		c.add(p.Problem(path, fmt.Sprintf("no version of the product has a channel %q", channel), fix))
	}
	return send, receive, ok
}

// Rights reads a plan's word for the rights on a channel; a missing word means
// what the contract gives.
func Rights(word string) (read, write bool) {
	return word == "read" || word == "readwrite", word == "write" || word == "readwrite"
}

func (c *compiler) checkApplications() {
	groups, txns := map[string]string{}, map[string]string{}
	for _, app := range c.set.Applications {
		for _, environment := range slices.Sorted(maps.Keys(app.Spec.Clusters)) {
			path := "spec.clusters." + environment
			if message, fix, bad := c.environmentProblem(environment); bad {
				c.add(app.Problem(path, message, fix))
			} else if message, fix, bad := c.inEnvironment(app.Spec.Clusters[environment], environment); bad {
				c.add(app.Problem(path, message, fix))
			}
		}
		claim := func(what string, claimed map[string]string, names []string) {
			for i, name := range names {
				path := fmt.Sprintf("spec.adopt.%s[%d]", what, i)
				if first, twice := claimed[name]; twice && first != app.Name() {
					c.add(app.Problem(path, fmt.Sprintf("%q is already adopted by application %s", name, first), "remove it from one of them"))
				}
				claimed[name] = app.Name()
				if owner, ok := c.ownerOf(name); ok {
					c.add(app.Problem(path, fmt.Sprintf("%q belongs to application %s already", name, owner), "remove it"))
				} else if grant.BeginsLikePrefix(name) {
					c.add(app.Problem(path, fmt.Sprintf("%q begins as names that belong to an application do: t, 12 characters of a-z 2-7, a dot", name), "remove it"))
				}
			}
		}
		claim("groups", groups, app.Spec.Adopt.Groups)
		claim("transactionalIds", txns, app.Spec.Adopt.TransactionalIDs)
	}
}

func (c *compiler) checkSubscription(s *resource.Subscription) {
	if s.Spec.Application != "" && c.applications[s.Spec.Application] == nil {
		message, fix := dangling(resource.KindApplication, s.Spec.Application, c.applications)
		c.add(s.Problem("spec.application", message, fix))
	}
	if s.Spec.Product == "" {
		return
	}
	p := c.products[s.Spec.Product]
	if p == nil {
		message, fix := dangling(resource.KindProduct, s.Spec.Product, c.products)
		c.add(s.Problem("spec.product", message, fix))
		return
	}
	plan, ok := p.Spec.Plans[s.Spec.Plan]
	if !ok && s.Spec.Plan != "" {
		fix := "use one of " + strings.Join(slices.Sorted(maps.Keys(p.Spec.Plans)), ", ")
		c.add(s.Problem("spec.plan", fmt.Sprintf("product %s has no plan %q", p.Name(), s.Spec.Plan), fix))
		return
	}
	c.checkReach(s, p)
	var methods []string
	for _, cred := range c.credentialsOf[appKey{s.Metadata.Environment, s.Spec.Application}] {
		if cred.Spec.State != "revoked" && cred.Spec.State != "expired" {
			methods = append(methods, cred.Spec.Type)
		}
	}
	if len(methods) > 0 && !slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(plan.Auth, m) }) {
		slices.Sort(methods)
		c.add(s.Warning("spec.plan", fmt.Sprintf("plan %s admits %s, and the application has credentials of type %s only, so none can use it",
			s.Spec.Plan, strings.Join(plan.Auth, ", "), strings.Join(slices.Compact(methods), ", ")), "add a credential of an admitted type"))
	}
}

// checkReach reports a subscription in an environment that no channel of the
// product reaches.
func (c *compiler) checkReach(s *resource.Subscription, p *resource.Product) {
	for _, name := range p.Spec.Versions {
		v := c.versions[name]
		if v == nil {
			return // reported with the product
		}
		for _, environments := range v.Spec.Channels {
			if _, ok := environments[s.Metadata.Environment]; ok {
				return
			}
		}
	}
	c.add(s.Problem("metadata.environment", fmt.Sprintf("no channel of product %s has a topic in environment %q", p.Name(), s.Metadata.Environment), "map a channel of its versions to that environment"))
}

func (c *compiler) checkCredentials() {
	defer func() { c.at = "" }()
	type login struct {
		environment string
		grant.Key
	}
	loginOf := func(d *resource.Credential) login {
		method, identity := identityOf(d)
		return login{d.Metadata.Environment, grant.Key{Method: method, Identity: identity}}
	}
	wanted := map[login]bool{} // by those in scope; with them, others may clash
	for _, d := range c.set.Credentials {
		if c.scope.has(d.Spec.Application) {
			wanted[loginOf(d)] = true
		}
	}
	if len(wanted) == 0 {
		return
	}
	first := map[login]*resource.Credential{}
	for _, d := range c.set.Credentials {
		c.at = d.Spec.Application
		if c.scope.has(d.Spec.Application) {
			c.checkCredential(d)
		}
		key := loginOf(d)
		if key.Identity == "" || !wanted[key] {
			continue
		}
		if other := first[key]; other != nil {
			clashing := d
			if !c.scope.has(d.Spec.Application) { // it was there before
				clashing, other = other, d
			}
			who := "credential " + other.Name()
			if c.discreet && other.Spec.Application != clashing.Spec.Application {
				who = "another credential in the environment"
			}
			c.at = clashing.Spec.Application
			c.add(clashing.Problem("spec", fmt.Sprintf("%s logs in with the same %s identity", who, key.Method), "choose another"))
			continue
		}
		first[key] = d
	}
}

func (c *compiler) checkCredential(d *resource.Credential) {
	checkEnvironment(c, d)
	if d.Spec.Application != "" && c.applications[d.Spec.Application] == nil {
		message, fix := dangling(resource.KindApplication, d.Spec.Application, c.applications)
		c.add(d.Problem("spec.application", message, fix))
	}
	for i, name := range d.Spec.Subscriptions {
		path := fmt.Sprintf("spec.subscriptions[%d]", i)
		if slices.ContainsFunc(c.subscriptionsOf[appKey{d.Metadata.Environment, d.Spec.Application}], func(s *resource.Subscription) bool { return s.Name() == name }) {
			continue
		}
		subscriptions := index(c.set.Subscriptions)
		if s := subscriptions[name]; s == nil {
			message, fix := dangling(resource.KindSubscription, name, subscriptions)
			c.add(d.Problem(path, message, fix))
		} else {
			c.add(d.Problem(path, fmt.Sprintf("subscription %s is of application %s in %s", name, s.Spec.Application, s.Metadata.Environment), "name a subscription of the credential's own application and environment"))
		}
	}
}
