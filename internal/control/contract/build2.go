package contract

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/internal/control/contract/tree"
	"sluice/internal/strictyaml"
)

// build2 makes the model of a document of 2.x, in the words of 3.x. There, publish
// is what others may do: the application, our provider, receives; subscribe is what
// others may get: it sends.
func (l *loader) build2() *Model {
	root := l.root
	l.model = &Model{ID: root.Get("id").Str(), DefaultContentType: root.Get("defaultContentType").Str(), Extensions: l.rest(root)}
	l.model.Info = l.info(root.Get("info"))
	for _, f := range l.rest(root, "tags", "externalDocs").Entries() { // these belong to info since 3.0
		if f.Name == "tags" || f.Name == "externalDocs" {
			l.model.Info.Set(f.Name, f.Value)
		}
	}
	l.sharedSchemas()
	l.securitySchemes()
	for _, f := range root.Get("servers").Entries() {
		if s := l.server2(f.Name, f.Value); s != nil {
			l.model.Servers = append(l.model.Servers, s)
		}
	}
	operations := map[string]*tree.Node{}
	for _, f := range root.Get("channels").Entries() {
		l.channel2(f.Name, f.Value, operations)
	}
	return l.model
}

func (l *loader) security2(list *tree.Node) []Security {
	var out []Security
	for _, item := range list.Elements() {
		for _, f := range item.Entries() {
			scheme := l.as(roleSecurity, l.root.At("components", "securitySchemes", f.Name))
			if scheme == nil {
				if l.root.At("components", "securitySchemes", f.Name) == nil {
					l.report("security-undefined", f.Value, fmt.Sprintf("there is no security scheme %q", clip(f.Name)), near(f.Name, l.root.At("components", "securitySchemes").Names(), "add it to components/securitySchemes"))
				}
				continue
			}
			s := Security{Scheme: f.Name, Node: l.scheme(scheme), node: f.Value}
			if scopes := f.Value.Elements(); len(scopes) > 0 { // 3.x has no place for scopes beside a reference
				s.Scheme = ""
				s.Node.Set("scopes", l.copy(f.Value))
			}
			out = append(out, s)
		}
	}
	return out
}

func near(name string, known []string, otherwise string) string {
	if n := strictyaml.Nearest(name, known); n != "" {
		return "did you mean " + n + "?"
	}
	return otherwise
}

func (l *loader) server2(name string, n *tree.Node) *Server {
	t := l.as(roleServer, n)
	if t == nil {
		return nil
	}
	s := &Server{
		Name: name, Protocol: t.Get("protocol").Str(), ProtocolVersion: t.Get("protocolVersion").Str(),
		Variables: l.variables(t.Get("variables")), Security: l.security2(t.Get("security")), Bindings: l.bindings("server", t.Get("bindings")),
		Rest: l.rest(t, "description", "tags"), node: t,
	}
	url := t.Get("url").Str()
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	s.Host = url
	if i := strings.IndexByte(url, '/'); i >= 0 {
		s.Host, s.Pathname = url[:i], url[i:]
		if s.Pathname == "/" {
			s.Pathname = ""
		}
	}
	return s
}

func (l *loader) channel2(address string, n *tree.Node, operations map[string]*tree.Node) {
	t := l.as(roleChannel, n)
	if t == nil {
		return
	}
	name := l.channelNames.unique(legalName(address), nil)
	c := &Channel{
		Name: name, Address: address, Bindings: l.bindings("channel", t.Get("bindings")), Kafka: l.kafkaChannel(t.Get("bindings")),
		Rest: l.rest(t, "description"), node: n,
	}
	if t != n {
		c.node = t
	}
	l.model.Channels = append(l.model.Channels, c)
	for _, f := range t.Get("parameters").Entries() {
		if p := l.as(roleParameter, f.Value); p != nil {
			c.Parameters = append(c.Parameters, Named{f.Name, l.parameter2(p)})
		}
	}
	for _, item := range t.Get("servers").Elements() {
		switch {
		case !l.root.Get("servers").Has(item.Str()):
			l.report("channel-server", item, fmt.Sprintf("there is no server %q", clip(item.Str())), near(item.Str(), l.root.Get("servers").Names(), "add it to servers"))
		default:
			c.Servers = append(c.Servers, item.Str())
		}
	}
	for _, way := range []struct {
		field  string
		action Action
	}{{"subscribe", Send}, {"publish", Receive}} {
		if op := t.Get(way.field); op.Is(tree.Object) {
			l.operation2(c, op, way.action, operations)
		}
	}
}

// parameter2 puts the schema of a parameter into the words of 3.x, which has texts
// only.
func (l *loader) parameter2(n *tree.Node) *tree.Node {
	out := n.Empty()
	s := l.resolve(n.Get("schema"))
	text := func(v *tree.Node) *tree.Node {
		if v.Is(tree.String) {
			return l.copy(v)
		}
		return tree.Text(string(v.Canonical()))
	}
	list := func(v *tree.Node) *tree.Node {
		if len(v.Elements()) == 0 {
			return nil
		}
		out := tree.NewList()
		for _, item := range v.Elements() {
			out.Append(text(item))
		}
		return out
	}
	out.Set("enum", list(s.Get("enum")))
	if d := s.Get("default"); d != nil {
		out.Set("default", text(d))
	}
	if d := n.Get("description"); d != nil {
		out.Set("description", l.copy(d))
	} else if d := s.Get("description"); d != nil {
		out.Set("description", l.copy(d))
	}
	out.Set("examples", list(s.Get("examples")))
	if d := n.Get("location"); d != nil {
		out.Set("location", l.copy(d))
	}
	for _, f := range n.Fields {
		if strings.HasPrefix(f.Name, "x-") {
			out.Set(f.Name, l.copy(f.Value))
		}
	}
	return out
}

func (l *loader) operation2(c *Channel, n *tree.Node, action Action, operations map[string]*tree.Node) {
	id := n.Get("operationId")
	if id.Is(tree.String) {
		if first := operations[id.Text]; first != nil {
			l.report("operation-id", id, fmt.Sprintf("operationId %q is already that of another operation, in line %d", clip(id.Text), first.Place().Line), "give one of them another")
		}
		operations[id.Text] = id
	}
	t := l.traits(roleOperationTr, n)
	name := t.Get("operationId").Str()
	if name == "" {
		name = c.Name + "." + string(action)
	}
	o := &Operation{
		Name: l.operationNames.unique(legalName(name), nil), Action: action, Channel: c.Name, Security: l.security2(t.Get("security")), Bindings: l.bindings("operation", t.Get("bindings")),
		Rest: l.rest(t, "summary", "description", "tags", "externalDocs"), node: n,
	}
	l.model.Operations = append(l.model.Operations, o)
	message := t.Get("message")
	list := []*tree.Node{message}
	if one := l.resolve(message).Get("oneOf"); one.Is(tree.List) && !l.resolve(message).Has("payload") {
		list = one.Items
	}
	for i, item := range list {
		if item == nil || len(c.Messages) >= maxMessages {
			continue
		}
		if m := l.message2(c, item, i); m != "" {
			o.Messages = append(o.Messages, m)
		}
	}
}

// message2 adds a message to a channel, unless it is there, and returns its name.
func (l *loader) message2(c *Channel, n *tree.Node, index int) string {
	t := l.as(roleMessage, n)
	if t == nil {
		return ""
	}
	for _, m := range c.Messages {
		if l.sources[m] == t.Origin() {
			return m.Name
		}
	}
	name, component := "", ""
	if section, own, ok := l.component(t); ok && section == "messages" {
		name, component = own, own
	}
	for _, candidate := range []string{t.Get("messageId").Str(), t.Get("name").Str(), t.Origin().Key()} {
		if name == "" && candidate != "" && candidate != "message" && strings.Trim(candidate, "0123456789") != "" {
			name = candidate
		}
	}
	if name == "" {
		name = "message"
		if index > 0 {
			name += strconv.Itoa(index + 1)
		}
	}
	name = namer{}.unique(legalName(name), func(s string) bool { return c.Message(s) != nil })
	m := l.message(name, component, t)
	l.sources[m] = t.Origin()
	c.Messages = append(c.Messages, m)
	return name
}
