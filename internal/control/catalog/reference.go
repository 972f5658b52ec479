package catalog

import (
	"cmp"
	"context"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/fields"
	contractschema "sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
	"sluice/internal/control/identity"
	"sluice/internal/httpapi/schema"
)

// looked is what somebody looks at: a version as an environment offers it.
type looked struct {
	*viewer
	entry   *entry
	version *version
	stage   *stage // nil for nothing
}

// look finds what somebody asks for by names; "" for what is chosen by itself.
func (c *Catalog) look(ctx context.Context, actor identity.Actor, api, name, environment string) (looked, error) {
	l := looked{viewer: c.at(ctx).viewer(actor)}
	var err error
	if l.entry, err = l.find(api); err != nil {
		return l, err
	}
	if l.version, err = l.choose(l.entry, name); err != nil {
		return l, err
	}
	if l.version == nil {
		return l, missing(api + ".v1")
	}
	l.stage, err = l.stageOf(l.version, environment)
	return l, err
}

// contract returns what a stage offers; empty for none.
func (c *Catalog) contract(ctx context.Context, of *version, s *stage) (*contract.Model, error) {
	if s == nil {
		return &contract.Model{}, nil
	}
	return c.model(ctx, s.key, of.record)
}

// Reference says what the records of a version are, as an environment offers it.
func (c *Catalog) Reference(ctx context.Context, actor identity.Actor, api, name, environment string) (*schema.Reference, error) {
	l, err := c.look(ctx, actor, api, name, environment)
	if err != nil {
		return nil, err
	}
	m, err := c.contract(ctx, l.version, l.stage)
	if err != nil {
		return nil, err
	}
	out := &schema.Reference{API: api, Version: l.version.name, Channels: []schema.ReferenceChannel{}}
	if l.stage == nil {
		return out, nil
	}
	out.Environment, out.Revision = l.stage.Environment, l.stage.Revision
	for _, ch := range l.stage.channels {
		body := schema.ReferenceChannel{APIChannel: c.channelBody(l.stage, ch), Read: ch.read, Write: ch.write, Contents: []schema.ReferenceMessage{}}
		if of := m.Channel(ch.name); of != nil {
			for _, message := range of.Messages {
				body.Contents = append(body.Contents, c.message(message))
			}
		}
		out.Channels = append(out.Channels, body)
	}
	return out, nil
}

// message is one sort of record.
func (c *Catalog) message(m *contract.Message) schema.ReferenceMessage {
	out := schema.ReferenceMessage{
		Name: m.Name, Title: m.Rest.Get("title").Str(), Summary: m.Rest.Get("summary").Str(), Description: c.html(m.Rest.Get("description").Str()), ContentType: m.ContentType,
		Deprecated: m.Rest.Get("deprecated").True() || m.Rest.Get("x-deprecated").True(), Key: schemaBody(m.Key), Value: schemaBody(m.Payload), Headers: schemaBody(m.Headers),
		Correlation: m.CorrelationID.Get("location").Str(),
	}
	for _, tag := range m.Rest.Get("tags").Elements() {
		add(&out.Tags, cmp.Or(tag.Str(), tag.Get("name").Str()))
	}
	if k := m.Kafka; k != (contract.KafkaMessage{}) {
		out.Registry = &schema.ReferenceRegistry{Location: k.SchemaIDLocation, Encoding: k.SchemaIDPayloadEncoding, Strategy: k.SchemaLookupStrategy}
	}
	if e := m.CloudEvents; e.Mode != "" {
		out.CloudEvents = &schema.ReferenceEvent{Mode: e.Mode, Headers: e.Headers, Required: e.Required}
	}
	const most = 10
	for i, e := range m.Examples.Elements() {
		if i == most {
			break
		}
		out.Examples = append(out.Examples, schema.ReferenceExample{Name: e.Get("name").Str(), Summary: e.Get("summary").Str(), Value: pretty(e.Get("payload")), Headers: pretty(e.Get("headers"))})
	}
	return out
}

// pretty is a value in lines, "" for none and for what is too large to be an example.
func pretty(n *tree.Node) string {
	const most = 64 << 10
	if n == nil {
		return ""
	}
	text := strings.TrimSpace(string(n.JSON()))
	if len(text) > most {
		return ""
	}
	return text
}

// schemaBody is a schema as a page shows it, nil for none.
func schemaBody(s *contractschema.Schema) *schema.ReferenceSchema {
	if s == nil {
		return nil
	}
	out := &schema.ReferenceSchema{Format: formatOf(s), Fields: []*schema.ReferenceField{}}
	out.Source, out.Language = s.Source()
	t := fields.Of(s)
	if t == nil {
		out.Type = "not described in a language that is understood here"
		return out
	}
	out.Name, out.Type, out.About, out.Cut = t.Name, t.Root.Type, t.Root.About, t.Cut
	out.Fields = append(out.Fields, fieldBodies(t.Root.Fields)...)
	return out
}

func fieldBodies(all []*fields.Field) []*schema.ReferenceField {
	out := make([]*schema.ReferenceField, len(all))
	for i, f := range all {
		out[i] = &schema.ReferenceField{
			Name: f.Name, Path: f.Path, Type: f.Type, About: f.About, Required: f.Required, Title: f.Title, Description: f.Description, Example: f.Example, Default: f.Default,
			Personal: f.Personal, Deprecated: f.Deprecated, Since: f.Since, Tags: f.Tags, Variant: f.Variant, Cut: string(f.Cut), Fields: fieldBodies(f.Fields),
		}
	}
	return out
}

// AsyncAPI returns the contract of a version as an environment offers it.
func (c *Catalog) AsyncAPI(ctx context.Context, actor identity.Actor, api, name, environment string) (*tree.Node, error) {
	l, err := c.look(ctx, actor, api, name, environment)
	if err != nil {
		return nil, err
	}
	m, err := c.contract(ctx, l.version, l.stage)
	if err != nil {
		return nil, err
	}
	if m.Info == nil { // of what is offered nowhere
		m = &contract.Model{Info: tree.NewObject().Set("title", tree.Text(l.version.name)).Set("version", tree.Text("1.0.0"))}
	}
	return m.Emit(contract.Version30), nil
}
