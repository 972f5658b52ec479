package contract

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/control/contract/tree"
	"sluice/internal/strictyaml"
)

// build3 makes the model of a document of 3.x.
func (l *loader) build3() *Model {
	root := l.root
	l.model = &Model{ID: root.Get("id").Str(), DefaultContentType: root.Get("defaultContentType").Str(), Extensions: l.rest(root)}
	l.model.Info = l.info(root.Get("info"))
	l.sharedSchemas()
	l.securitySchemes()
	for _, f := range root.Get("servers").Entries() {
		if s := l.server3(f.Name, f.Value); s != nil {
			l.model.Servers = append(l.model.Servers, s)
		}
	}
	channels := map[*tree.Node]string{} // by what the channel's own reference, or itself, is
	for _, f := range root.Get("channels").Entries() {
		if c := l.channel3(f.Name, f.Value); c != nil {
			l.model.Channels = append(l.model.Channels, c)
		}
		steps, _ := l.chain(f.Value)
		for _, step := range steps {
			if _, known := channels[step.Origin()]; !known || step == f.Value {
				channels[step.Origin()] = f.Name
			}
		}
	}
	for _, f := range root.Get("operations").Entries() {
		if o := l.operation3(f.Name, f.Value, channels); o != nil {
			l.model.Operations = append(l.model.Operations, o)
		}
	}
	return l.model
}

func (l *loader) info(n *tree.Node) *tree.Node {
	n = l.resolve(n)
	out := l.rest(n, "title", "version", "description", "termsOfService", "contact", "license", "tags", "externalDocs")
	if out == nil {
		return n.Empty()
	}
	return out
}

// sharedSchemas puts the document's own schemas into the model first, so that they
// keep their order.
func (l *loader) sharedSchemas() {
	for _, f := range l.root.At("components", "schemas").Entries() {
		if l.v3 && f.Value.Has("schemaFormat") && f.Value.Has("schema") && !l.jsonFormat(f.Value.Get("schemaFormat").Str()) {
			continue // placed where it is used
		}
		if f.Value.Is(tree.Object) || f.Value.Is(tree.Bool) {
			l.shareNode(f.Value)
		}
	}
}

func (l *loader) jsonFormat(format string) bool { return l.ownFormat(format) }

func (l *loader) securitySchemes() {
	for _, f := range l.root.At("components", "securitySchemes").Entries() {
		if t := l.as(roleSecurity, f.Value); t != nil {
			l.model.SecuritySchemes = append(l.model.SecuritySchemes, Named{f.Name, l.scheme(t)})
		}
	}
}

// scheme copies a security scheme; what 2.x calls the scopes of a flow are those
// that may be asked for.
func (l *loader) scheme(n *tree.Node) *tree.Node {
	if l.v3 {
		return l.copy(n)
	}
	return n.Copy(func(inner *tree.Node) *tree.Node {
		if inner.Parent().Key() != "flows" || !inner.Has("scopes") {
			return nil
		}
		out := inner.Empty()
		for _, f := range inner.Fields {
			name := f.Name
			if name == "scopes" {
				name = "availableScopes"
			}
			out.Set(name, l.copy(f.Value))
		}
		return out
	})
}

func (l *loader) security3(list *tree.Node) []Security {
	var out []Security
	for _, item := range list.Elements() {
		t := l.as(roleSecurity, item)
		if t == nil {
			continue
		}
		s := Security{Node: l.copy(t), node: item}
		if section, name, ok := l.component(t); ok && section == "securitySchemes" && t != item {
			s.Scheme = name
		}
		out = append(out, s)
	}
	return out
}

func (l *loader) server3(name string, n *tree.Node) *Server {
	t := l.as(roleServer, n)
	if t == nil {
		return nil
	}
	s := &Server{
		Name: name, Host: t.Get("host").Str(), Pathname: t.Get("pathname").Str(), Protocol: t.Get("protocol").Str(), ProtocolVersion: t.Get("protocolVersion").Str(),
		Variables: l.variables(t.Get("variables")), Security: l.security3(t.Get("security")), Bindings: l.bindings("server", t.Get("bindings")),
		Rest: l.rest(t, "title", "summary", "description", "tags", "externalDocs"), node: t,
	}
	return s
}

func (l *loader) variables(n *tree.Node) *tree.Node {
	out := n.Empty()
	for _, f := range n.Entries() {
		if v := l.as(roleVariable, f.Value); v != nil {
			out.Set(f.Name, l.copy(v))
		}
	}
	if len(out.Fields) == 0 {
		return nil
	}
	return out
}

func (l *loader) channel3(name string, n *tree.Node) *Channel {
	t := l.as(roleChannel, n)
	if t == nil {
		return nil
	}
	c := &Channel{
		Name: name, Address: t.Get("address").Str(), Bindings: l.bindings("channel", t.Get("bindings")), Kafka: l.kafkaChannel(t.Get("bindings")),
		Rest: l.rest(t, "title", "summary", "description", "tags", "externalDocs"), node: t,
	}
	for _, f := range t.Get("parameters").Entries() {
		if p := l.as(roleParameter, f.Value); p != nil {
			c.Parameters = append(c.Parameters, Named{f.Name, l.copy(p)})
		}
	}
	for _, item := range t.Get("servers").Elements() {
		if name, ok := l.nameOf(item, "servers"); ok {
			c.Servers = append(c.Servers, name)
		} else if ref, isReference := isRef(item); isReference && l.target(item) != nil {
			l.report("channel-server", item, fmt.Sprintf("%q is no server of this document", clip(ref)), "refer to #/servers/NAME")
		}
	}
	for _, f := range t.Get("messages").Entries() {
		if m := l.message3(f.Name, f.Value); m != nil {
			c.Messages = append(c.Messages, m)
		}
	}
	return c
}

// nameOf returns the name that what a reference refers to has in a section of the
// document.
func (l *loader) nameOf(ref *tree.Node, section string) (string, bool) {
	steps, _ := l.chain(ref)
	entries := l.root.Get(section)
	for _, step := range steps {
		if o := step.Origin(); o.Parent() != nil && o.Parent() == entries {
			return o.Key(), true
		}
	}
	for _, step := range steps { // a server of components that a server of the document refers to
		for _, f := range entries.Entries() {
			own, _ := l.chain(f.Value)
			for _, s := range own {
				if s.Origin() == step.Origin() {
					return f.Name, true
				}
			}
		}
	}
	return "", false
}

func (l *loader) message3(name string, n *tree.Node) *Message {
	t := l.as(roleMessage, n)
	if t == nil {
		return nil
	}
	component := ""
	if section, own, ok := l.component(t); ok && section == "messages" {
		component = own
	}
	return l.message(name, component, t)
}

func (l *loader) operation3(name string, n *tree.Node, channels map[*tree.Node]string) *Operation {
	t := l.as(roleOperation, n)
	if t == nil {
		return nil
	}
	t = l.traits(roleOperationTr, t)
	o := &Operation{
		Name: name, Action: Action(t.Get("action").Str()), Security: l.security3(t.Get("security")), Bindings: l.bindings("operation", t.Get("bindings")),
		Rest: l.rest(t, "title", "summary", "description", "tags", "externalDocs"), node: t,
	}
	o.Channel = l.channelOf("operation-channel", t.Get("channel"), channels)
	if o.Channel == "" {
		return nil
	}
	o.Messages = l.messagesOf("operation-message", t.Get("messages"), o.Channel)
	r := l.as(roleReply, t.Get("reply"))
	if r == nil {
		return o
	}
	o.Reply = &Reply{Rest: l.rest(r), node: r}
	if a := l.as(roleReplyAddr, r.Get("address")); a != nil {
		o.Reply.Address = l.copy(a)
	}
	if c := r.Get("channel"); c != nil {
		o.Reply.Channel = l.channelOf("reply-channel", c, channels)
	}
	if list := r.Get("messages"); list != nil {
		switch {
		case o.Reply.Channel != "":
			o.Reply.Messages = l.messagesOf("reply-message", list, o.Reply.Channel)
		case !r.Has("channel"):
			o.Reply.Messages = l.messagesAnywhere(list)
		}
	}
	return o
}

// messagesAnywhere reads the messages of a reply whose channel is not known before.
func (l *loader) messagesAnywhere(list *tree.Node) []string {
	var out []string
	for _, item := range list.Elements() {
		if t := l.as(roleMessage, item); t != nil {
			out = append(out, t.Origin().Key())
		}
	}
	return out
}

// channelOf returns the channel of this document that a reference names.
func (l *loader) channelOf(id string, n *tree.Node, channels map[*tree.Node]string) string {
	steps, _ := l.chain(n)
	if len(steps) == 1 {
		return "" // refers to nothing, which was reported
	}
	for _, step := range steps[1:] {
		if name, ok := channels[step.Origin()]; ok {
			return name
		}
	}
	ref, _ := isRef(n)
	fix := "refer to #/channels/NAME"
	names := l.root.Get("channels").Names()
	if near := strictyaml.Nearest(ref[strings.LastIndexByte(ref, '/')+1:], names); near != "" {
		fix = "refer to #/channels/" + tree.Escape(near)
	}
	l.report(id, n.Get("$ref"), fmt.Sprintf("%q is no channel of this document", clip(ref)), fix)
	return ""
}

// messagesOf returns the names of a channel's messages that references name.
func (l *loader) messagesOf(id string, list *tree.Node, channel string) []string {
	if !list.Is(tree.List) {
		return nil
	}
	own := l.resolve(l.root.Get("channels").Get(channel)).Get("messages")
	index := l.messageIndex(channel, own)
	var out []string
	for _, item := range list.Items {
		steps, complete := l.chain(item)
		if !complete && len(steps) == 1 {
			continue // refers to nothing, which was reported
		}
		name, direct := "", false
		for i, step := range steps[min(1, len(steps)-1):] {
			if found, ok := index[step.Origin()]; ok && name == "" {
				name, direct = found.name, found.own && i == 0
			}
		}
		ref, _ := isRef(item)
		at := item.Get("$ref")
		switch {
		case name == "":
			fix := "add it to the channel's messages, or remove it here"
			if near := strictyaml.Nearest(ref[strings.LastIndexByte(ref, '/')+1:], own.Names()); near != "" {
				fix = "refer to #/channels/" + tree.Escape(channel) + "/messages/" + tree.Escape(near)
			}
			l.report(id, at, fmt.Sprintf("%q is no message of channel %s", clip(ref), channel), fix)
			continue
		case !direct:
			l.report("operation-message-indirect", at, fmt.Sprintf("%q is message %s of the channel, but not by that name", clip(ref), name), "refer to #/channels/"+tree.Escape(channel)+"/messages/"+tree.Escape(name))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

type indexed struct {
	name string
	own  bool // stands in the channel itself
}

// messageIndex finds a channel's messages by their nodes and by what these refer to.
func (l *loader) messageIndex(channel string, own *tree.Node) map[*tree.Node]indexed {
	if index, known := l.messages[channel]; known {
		return index
	}
	index := map[*tree.Node]indexed{}
	for _, f := range own.Entries() {
		steps, _ := l.chain(f.Value)
		for i, step := range steps {
			if have, known := index[step.Origin()]; !known || i == 0 && !have.own {
				index[step.Origin()] = indexed{f.Name, i == 0}
			}
		}
	}
	l.messages[channel] = index
	return index
}
