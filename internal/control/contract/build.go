package contract

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sluice/internal/control/contract/metaschema"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// What a model may hold.
const (
	maxChannels   = 2000
	maxMessages   = 500 // of one channel
	maxOperations = 4000
	maxServers    = 500
	maxSchemas    = 5000
	maxCopied     = 500_000 // values, each counted as often as it is referred to
)

// tooMany reports sections with more entries than a model may hold.
func (l *loader) tooMany() bool {
	bad := false
	check := func(n *tree.Node, most int) {
		if n.Is(tree.Object) && len(n.Fields) > most {
			bad = true
			l.report("document-limit", n, fmt.Sprintf("%s has %d entries, at most %d are read", n.Key(), len(n.Fields), most), "split the document")
		}
	}
	check(l.root.Get("channels"), maxChannels)
	check(l.root.Get("operations"), maxOperations)
	check(l.root.Get("servers"), maxServers)
	check(l.root.At("components", "schemas"), maxSchemas)
	check(l.root.At("components", "securitySchemes"), maxServers)
	for _, f := range l.root.Get("channels").Entries() {
		check(l.resolve(f.Value).Get("messages"), maxMessages)
	}
	return bad
}

// spend takes what copying a node costs off the budget. References make a small
// document as large as they like; this is where that ends.
func (l *loader) spend(n *tree.Node) bool {
	n.Walk(func(*tree.Node) bool {
		l.copied++
		return l.copied <= maxCopied
	})
	if l.copied > maxCopied && !l.checked["copied"] {
		l.checked["copied"] = true
		l.report("document-limit", l.root, fmt.Sprintf("the document stands for more than %d values once its references are followed", maxCopied), "refer to less from many places, or split the document")
	}
	return l.copied <= maxCopied
}

func (l *loader) copy(n *tree.Node) *tree.Node {
	if n == nil {
		return nil
	}
	if !l.spend(n) {
		return n.Empty()
	}
	return n.Copy(nil)
}

// rest copies the fields of an object that are only passed on.
func (l *loader) rest(n *tree.Node, names ...string) *tree.Node {
	out := n.Empty()
	for _, f := range n.Entries() {
		switch {
		case strings.HasPrefix(f.Name, "x-"):
			out.Set(f.Name, l.copy(f.Value))
		case !slices.Contains(names, f.Name):
		case f.Name == "tags":
			list := tree.NewList()
			for _, tag := range f.Value.Elements() {
				if t := l.as(roleTag, tag); t != nil {
					c := l.copy(t)
					if docs := l.as(roleDocs, t.Get("externalDocs")); docs != nil {
						c.Set("externalDocs", l.copy(docs))
					}
					list.Append(c)
				}
			}
			out.Set("tags", list)
		case f.Name == "externalDocs":
			if docs := l.as(roleDocs, f.Value); docs != nil {
				out.Set("externalDocs", l.copy(docs))
			}
		default:
			out.Set(f.Name, l.copy(f.Value))
		}
	}
	if len(out.Fields) == 0 {
		return nil
	}
	return out
}

// inline copies a node with everything that it refers to in its place.
func (l *loader) inline(n *tree.Node) *tree.Node { return l.inlined(n, map[*tree.Node]bool{}, 0) }

func (l *loader) inlined(n *tree.Node, open map[*tree.Node]bool, depth int) *tree.Node {
	return n.Copy(func(inner *tree.Node) *tree.Node {
		if _, ok := isRef(inner); !ok {
			return nil
		}
		t := l.resolve(inner)
		if t == nil || open[t.Origin()] || depth > maxChain {
			return inner.Copy(func(m *tree.Node) *tree.Node { // left as it is
				if m == inner {
					return nil
				}
				return m.Copy(nil)
			})
		}
		if !l.spend(t) {
			return inner.Empty()
		}
		open[t.Origin()] = true
		defer delete(open, t.Origin())
		return l.inlined(t, open, depth+1)
	})
}

// bindings returns what is said for protocols of a server, channel, operation or
// message, references to bindings resolved. Schemas in it keep their form.
func (l *loader) bindings(what string, n *tree.Node) *tree.Node {
	t := l.as(roleBindings, n)
	if !t.Is(tree.Object) || len(t.Fields) == 0 {
		return nil
	}
	out := t.Empty()
	for _, f := range t.Fields {
		if strings.HasPrefix(f.Name, "x-") {
			out.Set(f.Name, l.copy(f.Value))
		} else if b := l.resolve(f.Value); b != nil {
			name, b := l.upgraded(what, f.Name, l.shared(b))
			out.Set(name, b)
		}
	}
	return filled(out)
}

// upgraded gives fields of a binding of 2.x that 3.x does not have a name of their
// own, x-…, or the whole binding.
func (l *loader) upgraded(what, protocol string, b *tree.Node) (string, *tree.Node) {
	if l.v3 {
		return protocol, b
	}
	out := b
	if b.Is(tree.Object) {
		out = b.Empty()
	}
	for _, f := range b.Fields {
		one := tree.NewObject().Set(protocol, tree.NewObject().Set(f.Name, l.copy(f.Value)))
		if strings.HasPrefix(f.Name, "x-") || metaschema.Fits(metaschema.Definition(Version30, what+"BindingsObject"), one) {
			out.Set(f.Name, f.Value)
		} else {
			out.Set("x-"+legalName(f.Name), f.Value)
		}
	}
	whole := tree.NewObject().Set(protocol, l.copy(out))
	if !metaschema.Fits(metaschema.Definition(Version30, what+"BindingsObject"), whole) { // each field fits, together they do not
		return "x-" + legalName(protocol), b
	}
	return protocol, out
}

// shared copies a node whose references become those of Model.Schemas.
func (l *loader) shared(n *tree.Node) *tree.Node {
	if !l.spend(n) {
		return n.Empty()
	}
	return n.Copy(func(inner *tree.Node) *tree.Node {
		ref, ok := isRef(inner)
		if !ok {
			return nil
		}
		name, ok := l.share(inner)
		if !ok {
			return leftAlone(inner, ref)
		}
		return inner.Without("$ref").Set("$ref", tree.Text("#/components/schemas/"+tree.Escape(name)))
	})
}

func leftAlone(n *tree.Node, ref string) *tree.Node {
	return n.Empty().Set("$ref", tree.Text(ref))
}

// share gives what a reference refers to a name in Model.Schemas and puts it there.
func (l *loader) share(ref *tree.Node) (string, bool) {
	t := l.target(ref)
	if t == nil {
		return "", false
	}
	return l.shareNode(t), true
}

func (l *loader) shareNode(t *tree.Node) string {
	t = t.Origin()
	if name, known := l.names[t]; known {
		return name
	}
	name := ""
	if section, own, ok := l.component(t); ok && section == "schemas" {
		name = own
	} else {
		name = t.Key()
		if name == "" { // a whole file
			name = path.Base(t.File())
			name = strings.TrimSuffix(name, path.Ext(name))
		} else if name == "payload" || name == "headers" || name == "schema" || strings.Trim(name, "0123456789") == "" {
			name = t.Parent().Key() + "." + name
		}
		name = l.schemaNames.unique(legalName(name), func(s string) bool { return l.root.At("components", "schemas", s) != nil })
	}
	l.names[t] = name
	if len(l.model.Schemas) >= 2*maxSchemas {
		l.report("document-limit", t, fmt.Sprintf("the document has more than %d schemas that are referred to", 2*maxSchemas), "split the document")
		return name
	}
	at := len(l.model.Schemas)
	l.model.Schemas = append(l.model.Schemas, Named{Name: name})
	body := t
	if wrapped := body.Get("schema"); wrapped != nil && l.v3 && body.Has("schemaFormat") { // a schema that is referred to from within another
		body = wrapped
	}
	l.model.Schemas[at].Node = l.shared(body)
	return name
}

// legalName makes a name that components may have: letters, digits, dots, dashes
// and underscores.
func legalName(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
			b.WriteRune(r)
		case r == '{' || r == '}':
		default:
			b.WriteByte('.')
		}
	}
	out := b.String()
	for strings.Contains(out, "..") {
		out = strings.ReplaceAll(out, "..", ".")
	}
	if out = strings.Trim(out, "."); out == "" {
		return "unnamed"
	}
	return out
}

// namer gives names that are not given yet.
type namer map[string]int

func (n namer) unique(name string, taken func(string) bool) string {
	out := name
	for ; n[out] > 0 || taken != nil && taken(out); out = fmt.Sprintf("%s-%d", name, n[name]) {
		n[name] = max(n[name], 1) + 1
	}
	n[out] = max(n[out], 1)
	return out
}

// schemaNode returns a shared schema for schema.Schema.
func (l *loader) sharedLookup() func(string) *tree.Node {
	m := l.model
	index := map[string]*tree.Node{}
	return func(name string) *tree.Node {
		if len(index) != len(m.Schemas) {
			for _, s := range m.Schemas {
				if s.Node != nil {
					index[s.Name] = s.Node
				}
			}
		}
		return index[name]
	}
}

// schema makes a payload schema from a node; format is what stands beside it in
// documents of 2.x. In 3.x a node may be a wrapper of schema and schemaFormat.
func (l *loader) schema(n *tree.Node, format string) *schema.Schema {
	if n == nil {
		return nil
	}
	body := n
	steps, complete := l.chain(n)
	last := steps[len(steps)-1]
	if complete && last.Is(tree.Object) && last.Has("schema") && (last.Has("schemaFormat") || l.v3) && (last.Get("schemaFormat").Is(tree.String) || !last.Has("type") && !last.Has("properties")) {
		if f := last.Get("schemaFormat"); f.Is(tree.String) {
			format = f.Text
		}
		body = last.Get("schema")
	}
	lookup := l.sharedLookup()
	switch schema.KindOf(format) {
	case schema.JSON:
		if l.ownFormat(format) {
			format = ""
		}
		return schema.New(format, l.shared(body), lookup)
	case schema.Avro:
		root := l.avro(body)
		return schema.New(format, root, lookup, l.imports(body)...)
	}
	return schema.New(format, l.inline(body), lookup, l.imports(body)...)
}

// ownFormat reports whether a format is AsyncAPI's own schema object.
func (l *loader) ownFormat(format string) bool {
	return strings.HasPrefix(strings.ToLower(format), "application/vnd.aai.asyncapi")
}

// imports returns the schemas that came with one of a registry.
func (l *loader) imports(n *tree.Node) []schema.Import {
	if t := l.resolve(n); t != nil {
		return l.registered[t.File()]
	}
	return nil
}

// avro puts what an Avro schema refers to in its place; a type that is there
// already is named instead, as Avro wants.
func (l *loader) avro(n *tree.Node) *tree.Node {
	placed := map[*tree.Node]bool{}
	var place func(n *tree.Node, depth int) *tree.Node
	place = func(n *tree.Node, depth int) *tree.Node {
		return n.Copy(func(inner *tree.Node) *tree.Node {
			ref, ok := isRef(inner)
			if !ok {
				return nil
			}
			t := l.resolve(inner)
			if t == nil || depth > maxChain {
				return leftAlone(inner, ref)
			}
			if name := t.Get("name").Str(); name != "" && placed[t.Origin()] {
				if ns := t.Get("namespace").Str(); ns != "" && !strings.Contains(name, ".") {
					name = ns + "." + name
				}
				return tree.Text(name)
			}
			if !l.spend(t) {
				return inner.Empty()
			}
			placed[t.Origin()] = true
			if wrapped := t.Get("schema"); wrapped != nil && t.Has("schemaFormat") {
				t = wrapped
			}
			return place(t, depth+1)
		})
	}
	return place(n, 0)
}

// message makes a message from a node whose references and traits are resolved.
func (l *loader) message(name, component string, source *tree.Node) *Message {
	if known := l.made[source.Origin()]; known != nil { // many channels may share it
		m := *known
		m.Name, m.Component = name, component
		return &m
	}
	n := l.traits(roleMessageTr, source)
	m := &Message{Name: name, Component: component, node: source}
	l.made[source.Origin()] = m
	format := ""
	if !l.v3 {
		format = n.Get("schemaFormat").Str()
	}
	m.Payload = l.schema(n.Get("payload"), format)
	m.Headers = l.schema(n.Get("headers"), "")
	m.ContentType, m.OwnContentType = n.Get("contentType").Str(), n.Has("contentType")
	if m.ContentType == "" {
		m.ContentType, m.OwnContentType = l.model.DefaultContentType, false
	}
	if c := l.as(roleCorrelation, n.Get("correlationId")); c != nil {
		m.CorrelationID = l.copy(c)
	}
	bindings := l.as(roleBindings, n.Get("bindings"))
	k := l.resolve(bindings.Get("kafka"))
	if k.Has("key") { // has a language of its own, and is put back below
		m.Bindings = l.bindings("message", bindings.Without("kafka").Set("kafka", k.Without("key")))
	} else {
		m.Bindings = l.bindings("message", n.Get("bindings"))
	}
	if k != nil {
		m.Kafka.SchemaIDLocation = k.Get("schemaIdLocation").Str()
		m.Kafka.SchemaIDPayloadEncoding = k.Get("schemaIdPayloadEncoding").Str()
		m.Kafka.SchemaLookupStrategy = k.Get("schemaLookupStrategy").Str()
		if key := k.Get("key"); key != nil {
			m.Key = l.keySchema(key, m.Payload)
			if m.Bindings == nil {
				m.Bindings = bindings.Empty()
			}
			if !m.Bindings.Has("kafka") {
				m.Bindings.Set("kafka", k.Empty())
			}
			m.Bindings.Get("kafka").Set("key", schemaNode(m.Key))
		}
	}
	if e := n.Get("examples"); e.Is(tree.List) && len(e.Items) > 0 {
		m.Examples = l.copy(e)
	}
	m.Rest = l.rest(n, "name", "title", "summary", "description", "tags", "externalDocs", "deprecated")
	m.CloudEvents = cloudEvents(m)
	return m
}

// keySchema reads the key of Kafka's binding, which does not say its format unless
// it is wrapped: with an Avro payload it is Avro's when it looks like it.
func (l *loader) keySchema(n *tree.Node, payload *schema.Schema) *schema.Schema {
	t := l.resolve(n)
	if t.Is(tree.Object) && t.Has("schema") && t.Has("schemaFormat") {
		s := l.schema(t.Get("schema"), t.Get("schemaFormat").Str())
		return s
	}
	if payload != nil && payload.Kind() == schema.Avro && t != nil {
		avroTypes := []string{"record", "enum", "fixed", "map", "bytes", "int", "long", "float", "double"}
		if t.Is(tree.String) || slices.Contains(avroTypes, t.Get("type").Str()) && !t.Has("properties") {
			return l.schema(n, payload.Format)
		}
	}
	return l.schema(n, "")
}

// cloudEvents reads off whether a message is a CloudEvent.
func cloudEvents(m *Message) CloudEvents {
	if strings.HasPrefix(strings.ToLower(m.ContentType), "application/cloudevents") {
		return CloudEvents{Mode: "structured"}
	}
	if m.Headers == nil {
		return CloudEvents{}
	}
	var out CloudEvents
	headers := m.Headers.Resolve(m.Headers.Root)
	parts := append([]*tree.Node{headers}, headers.Get("allOf").Elements()...)
	for _, part := range parts {
		part = m.Headers.Resolve(part)
		for _, name := range part.Get("properties").Names() {
			if strings.HasPrefix(name, "ce_") {
				out.Mode = "binary"
				out.Headers = append(out.Headers, name)
			}
		}
		for _, name := range part.Get("required").Strings() {
			if strings.HasPrefix(name, "ce_") {
				out.Required = append(out.Required, name)
			}
		}
	}
	slices.Sort(out.Headers)
	slices.Sort(out.Required)
	out.Headers, out.Required = slices.Compact(out.Headers), slices.Compact(out.Required)
	return out
}

// kafkaChannel reads Kafka's binding of a channel.
func (l *loader) kafkaChannel(bindings *tree.Node) KafkaChannel {
	k := l.resolve(l.resolve(bindings).Get("kafka"))
	whole := func(n *tree.Node) *int64 {
		if i, ok := n.Int(); ok {
			return &i
		}
		return nil
	}
	c := k.Get("topicConfiguration")
	out := KafkaChannel{
		Topic: k.Get("topic").Str(), Partitions: whole(k.Get("partitions")), Replicas: whole(k.Get("replicas")),
		CleanupPolicy: c.Get("cleanup.policy").Strings(), RetentionMillis: whole(c.Get("retention.ms")), RetentionBytes: whole(c.Get("retention.bytes")),
		DeleteRetentionMillis: whole(c.Get("delete.retention.ms")), MaxSize: whole(c.Get("max.message.bytes")),
	}
	if len(out.CleanupPolicy) == 1 { // "compact,delete", as the topic's configuration has it
		out.CleanupPolicy = strings.Split(out.CleanupPolicy[0], ",")
	}
	slices.Sort(out.CleanupPolicy)
	return out
}

// traits lays the traits of a message or operation and the object itself over each
// other. Since 3.0 what the object says wins; before, what a trait says does.
func (l *loader) traits(r role, n *tree.Node) *tree.Node {
	list := n.Get("traits").Elements()
	if len(list) == 0 {
		return n
	}
	base := n.Without("traits")
	var merged *tree.Node
	if !l.v3 {
		merged = base
	}
	for _, t := range list {
		if t.Is(tree.List) && len(t.Items) > 0 { // 2.x: a trait with parameters
			t = t.Items[0]
		}
		t = l.as(r, t)
		if t == nil {
			continue
		}
		merged = l.lay(merged, t)
	}
	if l.v3 {
		merged = l.lay(merged, base)
	}
	return merged
}

// lay merges b over a. What is referred to is put in place where both have it.
func (l *loader) lay(a, b *tree.Node) *tree.Node {
	if a == nil {
		return b
	}
	if !l.spend(a) || !l.spend(b) {
		return a.Empty()
	}
	for _, name := range []string{"headers", "bindings", "correlationId", "externalDocs"} {
		x, y := a.Get(name), b.Get(name)
		if x == nil || y == nil {
			continue
		}
		if x1, y1 := l.resolve(x), l.resolve(y); x1 != nil && y1 != nil {
			a, b = a.Without(name).Set(name, l.copy(x1)), b.Without(name).Set(name, l.copy(y1))
		}
	}
	return tree.Merge(a, b)
}
