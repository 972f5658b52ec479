package draft

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/resource"
)

// Offered is a topic that a version offers already in one of its channels. The version
// has the text of its newest contract, and is not changed.
type Offered struct {
	Version *resource.Version
	Channel string
	Topic   Topic
}

// change makes a document of a version whose contract has other schemas than the
// registry by now: the same one, with those of the registry. What differs and cannot be
// put in, since the contract is written otherwise than an import writes it, is told.
func (m *maker) change(o Offered) {
	at := slices.IndexFunc(m.documents, func(d resource.Any) bool { return d.Key() == o.Version.Key() })
	if at >= 0 {
		o.Version = m.documents[at].(*resource.Version) // another channel of it has changed, too
	}
	s := m.subjects(o.Topic.Name)
	if s.key == nil && len(s.messages) == 0 {
		return
	}
	about := "version " + o.Version.Name() + ", which offers " + o.Topic.Name + ", has other schemas than the registry"
	text, problems := m.written(o.Topic, s)
	if len(problems) > 0 {
		m.note(o.Topic.Name, "the registry's schemas cannot be put into a contract: "+problems[0].Message)
		return
	}
	p := patch{was: contract.Load("", []byte(o.Version.Spec.Contract.AsyncAPI), contract.Options{}), is: contract.Load("", []byte(text), contract.Options{}), channel: o.Channel}
	if p.was.Bad() || p.is.Bad() || p.was.Model.Channel(o.Channel) == nil {
		return // there is something else to look at first
	}
	names := p.compare()
	if len(names) == 0 {
		return
	}
	about += " (" + strings.Join(names, ", ") + ")"
	changed, err := p.apply(o.Version.Spec.Contract.AsyncAPI, text)
	if err != nil {
		m.note(o.Topic.Name, about+": change the contract by hand: "+err.Error())
		return
	}
	m.note(o.Topic.Name, about+": this is a draft of its next revision")
	v := *o.Version
	v.Spec.Contract.AsyncAPI = changed
	if at >= 0 {
		m.documents[at] = &v
	} else {
		m.documents = append(m.documents, &v)
	}
}

// patch is what differs between a contract and what an import would write now.
type patch struct {
	was, is  *contract.Document
	channel  string            // in the contract that was
	messages map[string]string // by the names in the new one, those of the other; "" for none
	keys     map[string]bool   // messages of the contract that was whose keys are others
}

// compare finds messages whose schemas differ.
func (p *patch) compare() (names []string) {
	p.messages, p.keys = map[string]string{}, map[string]bool{}
	was, is := p.was.Model.Channel(p.channel), p.is.Model.Channel(channel)
	for _, next := range is.Messages {
		m := was.Message(next.Name)
		if m == nil && len(was.Messages) == 1 && len(is.Messages) == 1 {
			m = was.Messages[0] // which somebody called otherwise
		}
		what := ""
		switch {
		case m == nil:
			p.messages[next.Name], what = "", next.Name+" is new"
		default:
			if next.Payload != nil && !same(m.Payload, next.Payload) {
				p.messages[next.Name], what = m.Name, m.Name
			}
			if next.Key != nil && !same(m.Key, next.Key) {
				p.keys[m.Name], what = true, strings.TrimPrefix(what+" and its key", " and ")
			}
		}
		if what != "" {
			names = append(names, what)
		}
	}
	return names
}

func same(a, b *schema.Schema) bool { return a != nil && schema.Same(a, b) }

// apply puts the new schemas into the text of a contract, and asks whether nothing else
// means something else afterwards.
func (p *patch) apply(text, next string) (string, error) {
	root, problems := tree.Parse("", []byte(text))
	fresh, more := tree.Parse("", []byte(next))
	if len(only(problems)) > 0 || len(only(more)) > 0 {
		return "", fmt.Errorf("it cannot be read")
	}
	if !strings.HasPrefix(root.Get("asyncapi").Str(), "3.") {
		return "", fmt.Errorf("it is of AsyncAPI %s, and a draft of 3.0", root.Get("asyncapi").Str())
	}
	messages := root.At("channels", p.channel, "messages")
	if messages == nil {
		return "", fmt.Errorf("its messages stand elsewhere")
	}
	if fresh.At("components", "schemas") != nil {
		if !root.Has("components") {
			root.Set("components", tree.NewObject())
		}
		if !root.Get("components").Has("schemas") {
			root.Get("components").Set("schemas", tree.NewObject())
		}
		for _, f := range fresh.At("components", "schemas").Entries() {
			root.At("components", "schemas").Set(f.Name, f.Value.Copy(nil))
		}
	}
	from := func(name string) *tree.Node { return fresh.At("channels", channel, "messages", name) }
	names := make(map[string]string, len(p.messages)) // names of the contract that was, of what is put in
	for name, m := range p.messages {
		if m == "" {
			messages.Set(name, from(name).Copy(nil))
			names[name] = name
			continue
		}
		inline := messages.Get(m)
		if inline == nil || inline.Has("$ref") {
			return "", fmt.Errorf("message %s stands elsewhere", m)
		}
		inline.Set("payload", from(name).Get("payload").Copy(nil)).Set("contentType", from(name).Get("contentType").Copy(nil))
		names[m] = name
	}
	for m := range p.keys {
		inline, first := messages.Get(m), fresh.At("channels", channel, "messages").Entries()[0].Value
		if inline == nil || inline.Has("$ref") || inline.Get("bindings").Has("$ref") {
			return "", fmt.Errorf("the key of message %s stands elsewhere", m)
		}
		if !inline.Has("bindings") {
			inline.Set("bindings", tree.NewObject())
		}
		if !inline.Get("bindings").Has("kafka") {
			inline.Get("bindings").Set("kafka", tree.NewObject().Set("bindingVersion", tree.Text("0.5.0")))
		}
		inline.At("bindings", "kafka").Set("key", first.At("bindings", "kafka", "key").Copy(nil))
	}
	out := string(root.YAML())
	now := contract.Load("", []byte(out), contract.Options{})
	if now.Bad() {
		return "", fmt.Errorf("it would not be sound: %s", only(now.Problems)[0].Message)
	}
	for _, c := range p.was.Model.Channels {
		for _, m := range c.Messages {
			if _, put := names[m.Name]; put && c.Name == p.channel {
				continue
			}
			if then := now.Model.Channel(c.Name).Message(m.Name); then == nil || m.Payload != nil && !same(then.Payload, m.Payload) {
				return "", fmt.Errorf("message %s of channel %s shares schemas with it", m.Name, c.Name)
			}
		}
	}
	p.was = now
	if left := p.compare(); len(left) > 0 {
		return "", fmt.Errorf("%s stays another", slices.Min(left))
	}
	return out, nil
}
