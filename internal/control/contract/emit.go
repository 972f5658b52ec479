package contract

import (
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// The versions of AsyncAPI that are written.
const (
	Version30 = "3.0.0"
	Version31 = "3.1.0"
)

// Emit returns the model as an AsyncAPI document of 3.0.0 or 3.1.0. The same model
// gives the same bytes; reading them gives the same model, but for bindings of
// ROS 2, which 3.0.0 does not have. What was not resolved, since it is outside of
// the document, stays a reference.
func (m *Model) Emit(version string) *tree.Node {
	e := emitter{version: version}
	root := tree.NewObject().Set("asyncapi", tree.Text(version))
	if m.ID != "" {
		root.Set("id", tree.Text(m.ID))
	}
	root.Set("info", m.Info.Copy(nil))
	if m.DefaultContentType != "" {
		root.Set("defaultContentType", tree.Text(m.DefaultContentType))
	}
	servers := tree.NewObject()
	for _, s := range m.Servers {
		servers.Set(s.Name, e.server(s))
	}
	channels, messages := tree.NewObject(), tree.NewObject()
	for _, c := range m.Channels {
		channels.Set(c.Name, e.channel(c, messages))
	}
	operations := tree.NewObject()
	for _, o := range m.Operations {
		operations.Set(o.Name, e.operation(o))
	}
	schemas, schemes := tree.NewObject(), tree.NewObject()
	for _, s := range m.Schemas {
		schemas.Set(s.Name, s.Node.Copy(nil))
	}
	for _, s := range m.SecuritySchemes {
		schemes.Set(s.Name, s.Node.Copy(nil))
	}
	root.Set("servers", filled(servers)).Set("channels", filled(channels)).Set("operations", filled(operations))
	components := tree.NewObject().Set("schemas", filled(schemas)).Set("messages", filled(messages)).Set("securitySchemes", filled(schemes))
	root.Set("components", filled(components))
	return with(root, m.Extensions)
}

type emitter struct{ version string }

// filled returns an object unless it is empty.
func filled(n *tree.Node) *tree.Node {
	if n == nil || len(n.Fields) == 0 {
		return nil
	}
	return n
}

// with adds the fields that are passed on: what people read first, x-… last.
func with(n, rest *tree.Node) *tree.Node {
	out := n.Empty()
	for _, name := range []string{"name", "title", "summary", "description"} {
		if v := rest.Get(name); v != nil {
			out.Set(name, v.Copy(nil))
		}
	}
	for _, f := range n.Fields {
		out.Set(f.Name, f.Value)
	}
	for _, f := range rest.Entries() {
		if !out.Has(f.Name) {
			out.Set(f.Name, f.Value.Copy(nil))
		}
	}
	return out
}

func text(s string) *tree.Node {
	if s == "" {
		return nil
	}
	return tree.Text(s)
}

func refTo(keys ...string) *tree.Node {
	return tree.NewObject().Set("$ref", tree.Text("#"+tree.Fragment(tree.Pointer(keys...))))
}

func (e emitter) bindings(n *tree.Node) *tree.Node {
	if n == nil {
		return nil
	}
	if e.version == Version30 && n.Has("ros2") {
		return filled(n.Without("ros2"))
	}
	return n.Copy(nil)
}

func (e emitter) security(list []Security) *tree.Node {
	if len(list) == 0 {
		return nil
	}
	out := tree.NewList()
	for _, s := range list {
		if s.Scheme != "" {
			out.Append(refTo("components", "securitySchemes", s.Scheme))
		} else {
			out.Append(s.Node.Copy(nil))
		}
	}
	return out
}

func (e emitter) server(s *Server) *tree.Node {
	n := s.node.Empty().Set("host", tree.Text(s.Host)).Set("pathname", text(s.Pathname)).Set("protocol", tree.Text(s.Protocol)).Set("protocolVersion", text(s.ProtocolVersion))
	if s.Variables != nil {
		n.Set("variables", s.Variables.Copy(nil))
	}
	return with(n.Set("security", e.security(s.Security)).Set("bindings", e.bindings(s.Bindings)), s.Rest)
}

func (e emitter) channel(c *Channel, components *tree.Node) *tree.Node {
	n := c.node.Empty()
	if c.Address != "" {
		n.Set("address", tree.Text(c.Address))
	} else {
		n.Set("address", &tree.Node{Kind: tree.Null})
	}
	messages := tree.NewObject()
	for _, m := range c.Messages {
		if m.Component == "" {
			messages.Set(m.Name, e.message(m))
			continue
		}
		if !components.Has(m.Component) {
			components.Set(m.Component, e.message(m))
		}
		messages.Set(m.Name, refTo("components", "messages", m.Component))
	}
	parameters := tree.NewObject()
	for _, p := range c.Parameters {
		parameters.Set(p.Name, p.Node.Copy(nil))
	}
	n.Set("messages", filled(messages)).Set("parameters", filled(parameters))
	if len(c.Servers) > 0 {
		servers := tree.NewList()
		for _, name := range c.Servers {
			servers.Append(refTo("servers", name))
		}
		n.Set("servers", servers)
	}
	return with(n.Set("bindings", e.bindings(c.Bindings)), c.Rest)
}

// schemaNode returns a schema as it stands in a message.
func schemaNode(s *schema.Schema) *tree.Node {
	if s == nil {
		return nil
	}
	if s.Format == "" {
		return s.Root.Copy(nil)
	}
	return tree.NewObject().Set("schemaFormat", tree.Text(s.Format)).Set("schema", s.Root.Copy(nil))
}

func (e emitter) message(m *Message) *tree.Node {
	n := m.node.Empty()
	if m.OwnContentType {
		n.Set("contentType", tree.Text(m.ContentType))
	}
	n.Set("headers", schemaNode(m.Headers)).Set("payload", schemaNode(m.Payload))
	if m.CorrelationID != nil {
		n.Set("correlationId", m.CorrelationID.Copy(nil))
	}
	n.Set("bindings", e.bindings(m.Bindings))
	if m.Examples != nil {
		n.Set("examples", m.Examples.Copy(nil))
	}
	return with(n, m.Rest)
}

func messageRefs(channel string, names []string) *tree.Node {
	if len(names) == 0 {
		return nil
	}
	list := tree.NewList()
	for _, name := range names {
		list.Append(refTo("channels", channel, "messages", name))
	}
	return list
}

func (e emitter) operation(o *Operation) *tree.Node {
	n := o.node.Empty().Set("action", tree.Text(string(o.Action))).Set("channel", refTo("channels", o.Channel)).Set("messages", messageRefs(o.Channel, o.Messages))
	if r := o.Reply; r != nil {
		reply := tree.NewObject()
		if r.Address != nil {
			reply.Set("address", r.Address.Copy(nil))
		}
		if r.Channel != "" {
			reply.Set("channel", refTo("channels", r.Channel)).Set("messages", messageRefs(r.Channel, r.Messages))
		}
		n.Set("reply", with(reply, r.Rest))
	}
	return with(n.Set("security", e.security(o.Security)).Set("bindings", e.bindings(o.Bindings)), o.Rest)
}
