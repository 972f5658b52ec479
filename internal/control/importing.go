package control

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/internal/control/draft"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Inventory reads what an import is made of.
type Inventory interface {
	// Topics are those of a target cluster, Kafka's own left out.
	Topics(ctx context.Context, cluster *resource.Cluster) ([]draft.Topic, error)
	// Subjects are those of a schema registry that are wanted.
	Subjects(ctx context.Context, r SchemaRegistry, wanted func(subject string) bool) ([]draft.Subject, error)
}

// SchemaRegistry is where a schema registry is, and who reads it.
type SchemaRegistry struct {
	URL, Username string
	Password      identity.Secret
}

// Import is what somebody wants drafts of.
type Import struct {
	// Cluster is the name of the target cluster.
	Cluster string
	// Team is to own the drafts; "" for those to whom the cluster gives the topics.
	Team string
	// Topics are patterns of names, as of path.Match; none means all.
	Topics []string
	// Registry is the cluster's schema registry; without URL there is none.
	Registry SchemaRegistry
}

// Imported is what an import has found.
type Imported struct {
	// Documents are drafts of what is not there yet, and of versions that are and whose
	// schemas are others in the registry by now.
	Documents []resource.Any
	// Tags are those of the documents that are there, as of Record.
	Tags  map[resource.Key]int64
	Notes []draft.Note
	// Known is how many topics a version offers already.
	Known int
}

// importTime bounds how long an import takes, and maxImported how many topics it has.
const (
	importTime  = 90 * time.Second
	maxImported = 1000
)

// Import makes draft documents of the topics of a target cluster and of its schema
// registry. It changes nothing: the drafts are applied as all documents are. The error
// has a kind of fault.
func (p *Plane) Import(ctx context.Context, q Request, want Import) (*Imported, error) {
	ctx, cancel := context.WithTimeout(ctx, importTime)
	defer cancel()
	for _, pattern := range want.Topics {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a pattern of topics: write *, ? and [a-z] for what may be there", pattern)
		}
	}
	m := p.Model()
	key := resource.Key{Kind: resource.KindCluster, Name: want.Cluster}
	r := m.Get(key)
	if r == nil {
		return nil, identity.Authorise(q.Actor, identity.Import, identity.Object{Kind: key.Kind, Name: key.Name, Absent: true})
	}
	if err := identity.Authorise(q.Actor, identity.Import, objectOf(r.Document, false, m.Get)); err != nil {
		return nil, err
	}
	s := selection{m: m, q: q, want: want, cluster: r.Document.(*resource.Cluster), offers: map[string][]offer{}, teams: map[string]string{}}
	if err := s.mayOwn(want.Team); want.Team != "" && err != nil {
		return nil, err
	}
	if p.inventory == nil {
		return nil, fault.New(fault.Conflict, "this control plane reaches no clusters")
	}
	topics, err := p.inventory.Topics(ctx, s.cluster)
	if err != nil {
		return nil, unreachable(q, err, "%s cannot be read", key)
	}
	out := &Imported{}
	chosen := s.choose(topics, out)
	if n := len(chosen) + len(s.looked); n > maxImported {
		return nil, fault.New(fault.Limited, "%d topics are more than the %d that are imported at once: name fewer with a pattern", n, maxImported)
	}
	for i := range s.looked { // the text is in the newest revision
		v := *s.looked[i].Version
		_, revision, err := p.revisionOf(ctx, m.Get(v.Key()), 0)
		if err != nil {
			return nil, err
		}
		v.Spec.Contract = resource.Contract{AsyncAPI: revision.Spec.Contract.AsyncAPI}
		s.looked[i].Version = &v
	}
	wanted := draft.Wanted{
		Cluster: want.Cluster, Environment: s.cluster.Metadata.Environment, Topics: chosen, Team: func(topic string) string { return s.teams[topic] }, Offered: s.looked,
		Taken: func(key resource.Key) (string, bool) {
			if r := m.Get(key); r != nil {
				return r.Team, true
			}
			return "", false
		},
	}
	if want.Registry.URL != "" && len(chosen)+len(s.looked) > 0 {
		if wanted.Subjects, err = p.inventory.Subjects(ctx, want.Registry, s.subjectOf(topics)); err != nil {
			return nil, unreachable(q, err, "the schema registry cannot be read")
		}
	}
	documents, notes := wanted.Make()
	out.Documents, out.Notes, out.Tags = documents, append(out.Notes, notes...), map[resource.Key]int64{}
	for _, d := range documents {
		if there := m.Get(d.Key()); there != nil {
			out.Tags[d.Key()] = there.Tag()
		}
	}
	return out, p.change(ctx, q, func(c *changing) error {
		now := c.edit.Get(key)
		if now == nil {
			return fault.New(fault.Conflict, "%s is not there any more", key)
		}
		return c.tell(now, "import", map[string]any{"topics": len(chosen), "registry": want.Registry.URL != ""})
	})
}

// unreachable says what could not be read. Why it could not, names addresses and users
// of the platform, which are for its administrators.
func unreachable(q Request, err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if q.Actor.PlatformAdmin() {
		return fault.New(fault.Unavailable, "%s: %v", what, err)
	}
	return fault.Wrap(fault.Unavailable, err, "%s: a platform-admin finds out why", what)
}

// selection says which topics of a cluster become drafts, and of which team.
type selection struct {
	m       *Model
	q       Request
	want    Import
	cluster *resource.Cluster
	offers  map[string][]offer // by topic
	teams   map[string]string  // of topics that become drafts
	looked  []draft.Offered    // what is offered, and is compared with the registry
}

// offer is a version that offers a topic.
type offer struct {
	version *Record
	channel string
}

// current is the one of several offers that a new revision is for: of a version that is
// not on its way out, the one that was made last.
func current(offers []offer) (last offer) {
	for _, o := range offers {
		switch stateOf(o.version.Document) {
		case lifecycle.Draft, lifecycle.Preview, lifecycle.Published:
			if last.version == nil || o.version.Created.After(last.version.Created) || o.version.Created.Equal(last.version.Created) && o.version.Key().Name > last.version.Key().Name {
				last = o
			}
		}
	}
	return last
}

// mayOwn asks whether whoever imports may draft for a team: a platform-admin for all, a
// publisher for their own.
func (s selection) mayOwn(team string) error {
	r := s.m.Get(resource.Key{Kind: resource.KindTeam, Name: team})
	if s.q.Actor.PlatformAdmin() {
		if r == nil {
			return fault.New(fault.NotFound, "there is no Team %q", team)
		}
		return nil
	}
	if r == nil {
		return fault.New(fault.NotFound, "there is no Team %q that you may see", team)
	}
	owner := identity.Owner{Organisation: r.Document.(*resource.Team).Spec.Organisation, Team: team}
	if !s.q.Actor.Belongs(owner) {
		return fault.New(fault.NotFound, "there is no Team %q that you may see", team)
	}
	return identity.Authorise(s.q.Actor, identity.Write, identity.Object{Kind: resource.KindAPI, Name: "of team " + team, Owner: owner, Absent: true})
}

// choose picks the topics, with the team of each, and those that are offered and may be
// drafted anew.
func (s *selection) choose(topics []draft.Topic, out *Imported) (chosen []draft.Topic) {
	for r := range s.m.Records() {
		v, ok := r.Document.(*resource.Version)
		if !ok {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(v.Spec.Channels)) {
			for _, b := range v.Spec.Channels[name] {
				if b.Cluster == s.want.Cluster {
					s.offers[b.Topic] = append(s.offers[b.Topic], offer{r, name})
				}
			}
		}
	}
	allowed := map[string]error{}
	skip := func(t draft.Topic, format string, args ...any) {
		out.Notes = append(out.Notes, draft.Note{About: t.Name, Message: "is left out: " + fmt.Sprintf(format, args...)})
	}
	slices.SortFunc(topics, func(a, b draft.Topic) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range topics {
		named := slices.Contains(s.want.Topics, t.Name)
		matches := func(pattern string) bool { ok, _ := path.Match(pattern, t.Name); return ok }
		if len(s.want.Topics) > 0 && !slices.ContainsFunc(s.want.Topics, matches) || grant.Internal(t.Name) {
			continue
		}
		team := s.want.Team
		if team == "" {
			team = s.given(t.Name)
		}
		admin := s.q.Actor.PlatformAdmin()
		if _, known := allowed[team]; !known && team != "" {
			allowed[team] = s.mayOwn(team)
		}
		if !admin && (team == "" || allowed[team] != nil || !s.gives(team, t.Name)) {
			if named && team == s.want.Team {
				skip(t, "there is no such topic that the cluster gives to team %s", team)
			}
			continue // what is not one's own is nobody's business
		}
		switch {
		case len(s.offers[t.Name]) > 0:
			out.Known++
			if o := current(s.offers[t.Name]); s.want.Registry.URL != "" && o.version != nil && s.mayOwn(o.version.Team) == nil {
				if v := o.version.Document.(*resource.Version); v.Spec.Contract.Digest != "" && o.version.Status.Revision > 0 {
					s.looked = append(s.looked, draft.Offered{Version: v, Channel: o.channel, Topic: t})
				}
			}
			continue
		case grant.BeginsLikePrefix(t.Name):
			skip(t, "it belongs to an application")
			continue
		case t.Name[0] == '_' && !named:
			skip(t, "names that begin with _ are internal by custom; name it to import it")
			continue
		case (strings.HasSuffix(t.Name, "-changelog") || strings.HasSuffix(t.Name, "-repartition")) && !named:
			skip(t, "it is one of Kafka Streams' own; name it to import it")
			continue
		case team == "":
			skip(t, "the cluster gives it to no team: say which with --team, or in the cluster's publish")
			continue
		case allowed[team] != nil:
			skip(t, "%v", allowed[team])
			continue
		}
		if t.Problem != "" {
			out.Notes = append(out.Notes, draft.Note{About: t.Name, Message: "its settings could not be read: " + t.Problem})
		}
		chosen, s.teams[t.Name] = append(chosen, t), team
	}
	for _, pattern := range s.want.Topics {
		if !strings.ContainsAny(pattern, `*?[\`) && !slices.ContainsFunc(topics, func(t draft.Topic) bool { return t.Name == pattern }) {
			out.Notes = append(out.Notes, draft.Note{About: pattern, Message: "is not on the cluster"})
		}
	}
	return chosen
}

// gives says whether the cluster lets a team publish a topic.
func (s selection) gives(team, topic string) bool { return gives(s.cluster, team, topic) >= 0 }

// given is the team to which the cluster gives a topic, by the longest beginning of its
// name; "" when it is none's.
func (s selection) given(topic string) (team string) {
	longest := -1
	for _, t := range slices.Sorted(maps.Keys(s.cluster.Spec.Publish)) {
		if n := gives(s.cluster, t, topic); n > longest {
			team, longest = t, n
		}
	}
	return team
}

// gives returns how many bytes of a topic's name a cluster names to give it to a team,
// and -1 when it does not.
func gives(cluster *resource.Cluster, team, topic string) int {
	longest := -1
	for _, prefix := range cluster.Spec.Publish[team] {
		switch {
		case prefix == "*":
			longest = max(longest, 0)
		case strings.HasPrefix(topic, prefix):
			longest = max(longest, len(prefix))
		}
	}
	return longest
}

// subjectOf says which subjects are read: those named for topics that become drafts or
// are compared, and for a platform-admin those named for no topic, which are told of.
func (s selection) subjectOf(topics []draft.Topic) func(string) bool {
	return func(subject string) bool {
		of := func(name string) bool { return strings.HasPrefix(subject, name+"-") }
		for name := range s.teams {
			if of(name) {
				return true
			}
		}
		if slices.ContainsFunc(s.looked, func(o draft.Offered) bool { return of(o.Topic.Name) }) {
			return true
		}
		return s.q.Actor.PlatformAdmin() && len(s.want.Topics) == 0 && !slices.ContainsFunc(topics, func(t draft.Topic) bool { return of(t.Name) })
	}
}
