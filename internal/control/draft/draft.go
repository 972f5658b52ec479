// Package draft makes draft documents of what a target cluster and its schema registry
// have: an API with a version for each topic, and its contract in AsyncAPI. Its main
// type is Wanted. It is pure: who may import, and how cluster and registry are read, it
// must not know.
package draft

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/resource"
)

// Topic is a topic of a target cluster.
type Topic struct {
	Name                 string
	Partitions, Replicas int
	// Settings are those of the topic in force, by Kafka's names; nil when they could
	// not be read, and Problem says why.
	Settings map[string]string
	Problem  string
}

// Subject is a subject of a schema registry with its newest version.
type Subject struct {
	Name    string
	Version int
	schema.Registered
	// Problem says why it could not be read; the rest is then empty.
	Problem string
}

// Note is something that an import did not do, or did otherwise than one might think.
type Note struct {
	// About is a topic, or "subject" and a subject.
	About   string
	Message string
}

// Wanted is what to make drafts of.
type Wanted struct {
	Cluster, Environment string
	// Topics are those to offer, with the team that is to own each.
	Topics []Topic
	Team   func(topic string) string
	// Offered are topics that versions offer already: where the registry has other schemas
	// by now, the version is drafted with those.
	Offered []Offered
	// Subjects are those of the registry, nil when there is none.
	Subjects []Subject
	// Taken says whether a name of a kind is taken, and by which team; "" for a document
	// without one.
	Taken func(resource.Key) (team string, taken bool)
}

// Make returns an API and a Version for each topic, the API only where it is not there,
// and the versions that are there and whose schemas have changed.
// Names are those of the topics, made legal and unique; notes tell of what differs.
func (w Wanted) Make() (documents []resource.Any, notes []Note) {
	m := maker{Wanted: w, made: map[resource.Key]string{}, used: map[string]bool{}}
	topics := slices.Clone(w.Topics)
	slices.SortFunc(topics, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range topics {
		if err := m.topic(t); err != nil {
			m.note(t.Name, "is left out: "+err.Error())
		}
	}
	for _, o := range w.Offered {
		m.change(o)
	}
	for _, s := range w.Subjects {
		if !m.used[s.Name] {
			m.note("subject "+s.Name, "belongs to no topic here by its name: it is named for a record (RecordNameStrategy), or its topic was left out; put it into contracts by hand")
		}
	}
	return m.documents, m.notes
}

type maker struct {
	Wanted
	documents []resource.Any
	notes     []Note
	made      map[resource.Key]string // teams of documents made so far
	used      map[string]bool         // subjects that went into a contract, or were told of
}

func (m *maker) note(about, message string) { m.notes = append(m.notes, Note{about, message}) }

var (
	major   = regexp.MustCompile(`^(.+?)[._-]v([1-9][0-9]{0,4})$`)
	illegal = regexp.MustCompile(`^[^A-Za-z0-9]+`)
)

// longest is how long an API's name may be, so that its versions' names are legal.
const longest = 120

// topic makes the documents of one topic.
func (m *maker) topic(t Topic) error {
	team := m.Team(t.Name)
	name, number := t.Name, 1
	if parts := major.FindStringSubmatch(t.Name); parts != nil { // a topic that says which version it is
		name = parts[1]
		number, _ = strconv.Atoi(parts[2])
	}
	api := illegal.ReplaceAllString(name, "")
	switch {
	case api == "":
		return fmt.Errorf("nothing of its name can name an API")
	case len(api) > longest:
		api = strings.TrimRight(api[:longest], "._-")
		m.note(t.Name, fmt.Sprintf("its API is called %s: a name has at most %d characters", api, longest))
	case api != name:
		m.note(t.Name, fmt.Sprintf("its API is called %s: a name begins with a letter or a digit", api))
	}
	api, version := m.free(t.Name, api, number, team)
	text, err := m.contract(t)
	if err != nil {
		return err
	}
	if key := (resource.Key{Kind: resource.KindAPI, Name: api}); !m.has(key) {
		m.add(&resource.API{APIVersion: resource.APIVersion, Kind: resource.KindAPI, Metadata: resource.Metadata{Name: api, Team: team}, Spec: resource.APISpec{Title: name, Visibility: "private"}}, team)
	}
	v := &resource.Version{APIVersion: resource.APIVersion, Kind: resource.KindVersion, Metadata: resource.Metadata{Name: version}}
	v.Spec.Contract.AsyncAPI = text
	v.Spec.Channels = map[string]map[string]resource.Backing{channel: {m.Environment: {Cluster: m.Cluster, Topic: t.Name}}}
	v.Spec.Lifecycle.State = "draft"
	m.add(v, team)
	return nil
}

func (m *maker) add(d resource.Any, team string) {
	m.documents = append(m.documents, d)
	m.made[d.Key()] = team
}

func (m *maker) owner(key resource.Key) (team string, taken bool) {
	if team, taken = m.made[key]; taken {
		return team, true
	}
	return m.Taken(key)
}

func (m *maker) has(key resource.Key) bool {
	_, taken := m.owner(key)
	return taken
}

// free finds names for an API of a team and its version that nobody has; an API of the
// team's own gets another version.
func (m *maker) free(topic, name string, number int, team string) (api, version string) {
	for n := 1; ; n++ {
		api = name
		if n > 1 {
			api = fmt.Sprintf("%s-%d", name, n)
		}
		version = fmt.Sprintf("%s.v%d", api, number)
		owner, taken := m.owner(resource.Key{Kind: resource.KindAPI, Name: api})
		if (!taken || owner == team) && !m.has(resource.Key{Kind: resource.KindVersion, Name: version}) {
			break
		}
	}
	if api != name {
		m.note(topic, fmt.Sprintf("its API is called %s: the name %s is taken", api, name))
	}
	return api, version
}

// channel is what the one channel of a contract is called.
const channel = "records"

// settings of a topic that a contract shows, with how they are written there.
var settings = []struct {
	name string
	node func(string) *tree.Node
}{
	{"cleanup.policy", func(s string) *tree.Node {
		list := tree.NewList()
		for word := range strings.SplitSeq(s, ",") {
			if word = strings.TrimSpace(word); word != "" {
				list.Append(tree.Text(word))
			}
		}
		return list
	}},
	{"retention.ms", number}, {"retention.bytes", number}, {"delete.retention.ms", number}, {"max.message.bytes", number},
}

func number(s string) *tree.Node {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return tree.Whole(n)
}

// contract writes the AsyncAPI document of a topic, which stands for itself.
func (m *maker) contract(t Topic) (string, error) {
	text, problems := m.written(t, m.subjects(t.Name))
	if len(problems) > 0 { // its schemas are what can be wrong with it
		m.note(t.Name, "its contract has no schemas: "+problems[0].Message)
		if text, problems = m.written(t, nil); len(problems) > 0 {
			return "", fmt.Errorf("bug: the contract is not sound: %s", problems[0].Message)
		}
	}
	return text, nil
}

// schemas of one topic in a registry.
type schemas struct {
	key      *Subject
	messages []Subject
}

// subjects finds those of a topic by their names: TopicNameStrategy has one for keys and
// one for values, TopicRecordNameStrategy one for each record.
func (m *maker) subjects(topic string) *schemas {
	out := &schemas{}
	for _, s := range m.Subjects {
		rest, ok := strings.CutPrefix(s.Name, topic+"-")
		if !ok || rest != "key" && rest != "value" && (!strings.Contains(rest, ".") || m.another(s.Name, topic)) {
			continue
		}
		m.used[s.Name] = true
		switch {
		case s.Problem != "":
			m.note("subject "+s.Name, "could not be read: "+s.Problem)
		case rest == "key":
			out.key = &s
		default:
			out.messages = append(out.messages, s)
		}
	}
	return out
}

// another says whether a longer topic's name fits a subject, too.
func (m *maker) another(subject, topic string) bool {
	fits := func(t Topic) bool { return len(t.Name) > len(topic) && strings.HasPrefix(subject, t.Name+"-") }
	return slices.ContainsFunc(m.Topics, fits) || slices.ContainsFunc(m.Offered, func(o Offered) bool { return fits(o.Topic) })
}

func (m *maker) written(t Topic, s *schemas) (string, []rule.Problem) {
	messages := tree.NewObject()
	if s == nil {
		s = &schemas{}
	}
	var bindings *tree.Node
	if s.key != nil {
		bindings = tree.NewObject().Set("kafka", tree.NewObject().Set("key", payload(*s.key)).Set("bindingVersion", tree.Text("0.5.0")))
	}
	for _, one := range s.messages {
		name := strings.TrimPrefix(one.Name, t.Name+"-")
		if name == "value" {
			name = "record"
		}
		message := tree.NewObject().Set("title", tree.Text(one.Name)).Set("contentType", tree.Text(contentTypes[one.Kind])).Set("payload", payload(one))
		messages.Set(name, message.Set("bindings", bindings.Copy(nil)))
	}
	if len(s.messages) == 0 {
		messages.Set("record", tree.NewObject().Set("title", tree.Text(t.Name)).Set("bindings", bindings))
	}
	kafka := tree.NewObject().Set("partitions", tree.Whole(int64(t.Partitions))).Set("replicas", tree.Whole(int64(t.Replicas)))
	topic := tree.NewObject()
	for _, setting := range settings {
		if value, ok := t.Settings[setting.name]; ok {
			topic.Set(setting.name, setting.node(value))
		}
	}
	if len(topic.Fields) > 0 {
		kafka.Set("topicConfiguration", topic)
	}
	kafka.Set("bindingVersion", tree.Text("0.5.0"))
	root := tree.NewObject().Set("asyncapi", tree.Text(contract.Version30)).
		Set("info", tree.NewObject().Set("title", tree.Text(t.Name)).Set("version", tree.Text("1.0.0"))).
		Set("channels", tree.NewObject().Set(channel, tree.NewObject().Set("address", tree.Text(t.Name)).Set("messages", messages).
			Set("bindings", tree.NewObject().Set("kafka", kafka)))).
		Set("operations", tree.NewObject().Set("sendRecords", tree.NewObject().Set("action", tree.Text("send")).
			Set("channel", tree.NewObject().Set("$ref", tree.Text("#/channels/"+channel)))))
	d := contract.Load("", root.YAML(), contract.Options{Registry: registered(m.Subjects)})
	if d.Bad() {
		return "", only(d.Problems)
	}
	whole := inPlace(d.Model.Emit(contract.Version30)).YAML() // with what it refers to in the registry
	if again := contract.Load("", whole, contract.Options{}); again.Bad() {
		return "", only(again.Problems)
	}
	return string(whole), nil
}

func only(problems []rule.Problem) []rule.Problem {
	return slices.DeleteFunc(problems, func(p rule.Problem) bool { return p.Severity != rule.Error })
}

var (
	formats = map[schema.Kind]string{schema.Avro: "application/vnd.apache.avro;version=1.9.0", schema.Protobuf: "application/vnd.google.protobuf;version=3", schema.JSON: "application/schema+json;version=draft-07"}
	// contentTypes say how records are encoded.
	contentTypes = map[schema.Kind]string{schema.Avro: "application/vnd.apache.avro", schema.Protobuf: "application/x-protobuf", schema.JSON: "application/json"}
)

// payload refers to a schema of the registry.
func payload(s Subject) *tree.Node {
	return tree.NewObject().Set("schemaFormat", tree.Text(formats[s.Kind])).Set("schema", tree.NewObject().Set("$ref", tree.Text(s.location())))
}

func (s Subject) location() string {
	return fmt.Sprintf("%s///subjects/%s/versions/%d", schema.Scheme, escaped(s.Name), s.Version)
}
