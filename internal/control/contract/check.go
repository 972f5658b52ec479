package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// check looks for what the shape of a document cannot say.
func (l *loader) check(m *Model) {
	l.checkServers(m)
	addresses := map[string]*Channel{}
	collisions := map[string]*Channel{}
	for _, c := range m.Channels {
		l.checkParameters(c)
		if m.IsKafka(c) {
			l.checkTopic(c, addresses, collisions)
		}
		for _, message := range c.Messages {
			l.checkMessage(message, m.foreign(c))
		}
		l.checkAmbiguity(m, c)
	}
	l.checkSecurity(m)
	l.checkReplies(m)
	l.checkSharedSchemas(m)
}

var inBraces = regexp.MustCompile(`\{([^{}]*)\}`)

// checkParameters compares the {parameters} of an address with those that are
// described.
func (l *loader) checkParameters(c *Channel) {
	used := map[string]bool{}
	at := c.node.Get("address")
	place := at.Place()
	if at == nil {
		place = c.node.Place()
	}
	for _, m := range inBraces.FindAllStringSubmatch(c.Address, -1) {
		if used[m[1]] {
			continue
		}
		used[m[1]] = true
		if !slices.ContainsFunc(c.Parameters, func(p Named) bool { return p.Name == m[1] }) && !c.node.Get("parameters").Has(m[1]) {
			l.reportAt("channel-parameter-undefined", place, fmt.Sprintf("channel %s: the address has {%s}, which parameters do not describe", c.Name, clip(m[1])), near(m[1], c.node.Get("parameters").Names(), "add it to parameters"))
		}
	}
	for _, f := range c.node.Get("parameters").Entries() {
		if !used[f.Name] {
			l.report("channel-parameter-unused", f.Value, fmt.Sprintf("channel %s: the address has no {%s}", c.Name, clip(f.Name)), "remove the parameter, or put it into the address")
		}
	}
}

// MaxTopicName is how long Kafka allows the name of a topic to be, in bytes.
const MaxTopicName = 249

// topicProblem says why Kafka would not accept a name.
func topicProblem(name string) (message, fix string) {
	switch {
	case name == "." || name == "..":
		return "is not a name that Kafka allows", "choose another"
	case len(name) > MaxTopicName:
		return fmt.Sprintf("has %d bytes, Kafka allows %d", len(name), MaxTopicName), "shorten it"
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Sprintf("has %q, and Kafka allows letters, digits, dots, dashes and underscores", string([]rune(name[i:])[0])), "write it with these"
		}
	}
	return "", ""
}

func (l *loader) checkTopic(c *Channel, addresses, collisions map[string]*Channel) {
	at := c.node.Get("address").Place()
	if c.node.Get("address") == nil {
		at = c.node.Place() // 2.x: its name
	}
	plain := inBraces.ReplaceAllString(c.Address, "x")
	pattern := plain != c.Address
	if c.Address != "" {
		if message, fix := topicProblem(plain); message != "" {
			l.reportAt("kafka-topic-name", at, fmt.Sprintf("channel %s: topic %q %s", c.Name, clip(c.Address), message), fix)
		} else if strings.HasPrefix(plain, "__") {
			l.reportAt("kafka-topic-internal", at, fmt.Sprintf("channel %s: topic %q begins as Kafka's own do", c.Name, clip(c.Address)), "choose a name without the two underscores")
		}
		if first := addresses[c.Address]; first != nil {
			l.reportAt("channel-address-duplicate", at, fmt.Sprintf("channel %s: topic %q is already that of channel %s", c.Name, clip(c.Address), first.Name), "describe it once, with all its messages")
		} else {
			addresses[c.Address] = c
			key := strings.ReplaceAll(c.Address, ".", "_")
			if other := collisions[key]; other != nil && !pattern {
				l.reportAt("kafka-topic-collision", at, fmt.Sprintf("channel %s: topic %q differs from %q of channel %s only by dots and underscores, which Kafka's metrics confuse", c.Name, clip(c.Address), clip(other.Address), other.Name), "choose another name")
			}
			if !pattern {
				collisions[key] = c
			}
		}
	}
	if t := c.Kafka.Topic; t != "" {
		if message, fix := topicProblem(inBraces.ReplaceAllString(t, "x")); message != "" {
			l.report("kafka-topic-name", l.binding(c.node, "topic"), fmt.Sprintf("channel %s: topic %q %s", c.Name, clip(t), message), fix)
		}
	}
	k := c.Kafka
	if slices.Contains(k.CleanupPolicy, "compact") {
		for _, m := range c.Messages {
			if m.Key == nil {
				l.report("kafka-compacted-without-key", m.node, fmt.Sprintf("channel %s is compacted, and message %s describes no key", c.Name, m.Name), "describe it in bindings.kafka.key")
			}
		}
	}
	for _, word := range k.CleanupPolicy {
		if word != "delete" && word != "compact" {
			l.report("kafka-binding", l.binding(c.node, "topicConfiguration", "cleanup.policy"), fmt.Sprintf("channel %s: %q is no cleanup policy", c.Name, clip(word)), "write delete, compact or both")
		}
	}
	for name, v := range map[string]*int64{"retention.ms": k.RetentionMillis, "retention.bytes": k.RetentionBytes} {
		if v != nil && *v < -1 {
			l.report("kafka-binding", l.binding(c.node, "topicConfiguration", name), fmt.Sprintf("channel %s: %s must be -1 or more", c.Name, name), "correct the number")
		}
	}
	if k.Partitions != nil && *k.Partitions < 1 {
		l.report("kafka-binding", l.binding(c.node, "partitions"), fmt.Sprintf("channel %s: a topic has at least one partition", c.Name), "correct the number")
	}
	if k.Replicas != nil && *k.Replicas < 1 {
		l.report("kafka-binding", l.binding(c.node, "replicas"), fmt.Sprintf("channel %s: a topic has at least one replica", c.Name), "correct the number")
	}
}

// binding returns a field of Kafka's binding of a node, or what is above it.
func (l *loader) binding(n *tree.Node, names ...string) *tree.Node {
	b := l.resolve(l.resolve(n.Get("bindings")).Get("kafka"))
	if b == nil {
		return n
	}
	return b.Nearest(names)
}

func (l *loader) checkServers(m *Model) {
	for _, s := range m.Servers {
		at := s.node.Get("host")
		if at == nil {
			at = s.node.Get("url")
		}
		if at == nil {
			at = s.node
		}
		used := map[string]bool{}
		for _, match := range inBraces.FindAllStringSubmatch(s.Host+s.Pathname, -1) {
			used[match[1]] = true
			if !s.node.Get("variables").Has(match[1]) {
				l.report("server-variable-undefined", at, fmt.Sprintf("server %s: {%s} is not described in variables", s.Name, clip(match[1])), near(match[1], s.node.Get("variables").Names(), "add it to variables"))
			}
		}
		for _, f := range s.node.Get("variables").Entries() {
			if !used[f.Name] {
				l.report("server-variable-unused", f.Value, fmt.Sprintf("server %s: {%s} is not used", s.Name, clip(f.Name)), "remove the variable, or use it")
			}
			v := l.resolve(f.Value)
			if d, list := v.Get("default").Str(), v.Get("enum").Strings(); d != "" && len(list) > 0 && !slices.Contains(list, d) {
				l.report("server-variable-default", v.Get("default"), fmt.Sprintf("server %s: the default %q of %s is not one of its values", s.Name, clip(d), f.Name), "correct one of them")
			}
		}
		if !s.Kafka() {
			continue
		}
		if s.Pathname != "" || strings.Contains(s.Host, "/") {
			l.report("server-kafka-host", at, fmt.Sprintf("server %s: a broker's address is host:port, without a path", s.Name), "remove the path")
		}
		for i, security := range s.Security {
			switch t := security.Type(); t {
			case "apiKey", "http", "httpApiKey", "openIdConnect":
				place := s.node
				if list := s.node.Get("security").Elements(); i < len(list) {
					place = list[i]
				}
				l.report("server-kafka-security", place, fmt.Sprintf("server %s: %s is no way to log in to Kafka", s.Name, t), "use plain, scramSha256, scramSha512, gssapi, oauth2 or X509")
			}
		}
	}
}

// checkSecurity looks at the scopes that are asked for.
func (l *loader) checkSecurity(m *Model) {
	look := func(list []Security) {
		for _, s := range list {
			if s.Type() != "oauth2" {
				continue
			}
			known := map[string]bool{}
			var names []string
			for _, flow := range s.Node.Get("flows").Entries() {
				for _, name := range flow.Value.Get("availableScopes").Names() {
					known[name] = true
					names = append(names, name)
				}
			}
			for _, scope := range s.Node.Get("scopes").Elements() {
				if scope.Is(tree.String) && !known[scope.Text] {
					l.report("security-scope-undefined", scope, fmt.Sprintf("no flow of the security scheme offers scope %q", clip(scope.Text)), near(scope.Text, names, "add it to the scheme's scopes"))
				}
			}
		}
	}
	for _, s := range m.Servers {
		look(s.Security)
	}
	for _, o := range m.Operations {
		look(o.Security)
	}
}

func (l *loader) checkReplies(m *Model) {
	for _, o := range m.Operations {
		r := o.Reply
		if r == nil {
			continue
		}
		if at := r.Address.Get("location"); at.Is(tree.String) {
			l.checkExpression(at, "operation "+o.Name, m.MessagesOf(o))
		}
		if r.Channel == "" && r.Address == nil && !r.node.Has("channel") {
			l.report("reply-nowhere", r.node, fmt.Sprintf("operation %s: the reply has neither channel nor address", o.Name), "name one of them")
		}
		c := m.Channel(r.Channel)
		if c != nil && len(c.Messages) == 0 && len(r.Messages) == 0 {
			l.report("reply-without-message", r.node, fmt.Sprintf("operation %s: channel %s of the reply has no message", o.Name, c.Name), "describe what is answered")
		}
	}
}

var expression = regexp.MustCompile(`^\$message\.(header|payload)(?:#(/.*)?)?$`)

// checkExpression checks where something is found at run time.
func (l *loader) checkExpression(at *tree.Node, what string, messages []*Message) {
	match := expression.FindStringSubmatch(at.Text)
	if match == nil {
		l.report("runtime-expression", at, fmt.Sprintf("%s: %q is no runtime expression", what, clip(at.Text)), "write it as $message.header#/name or $message.payload#/path")
		return
	}
	token, _, _ := strings.Cut(strings.TrimPrefix(match[2], "/"), "/")
	if token == "" {
		return
	}
	for _, m := range messages {
		s := m.Headers
		if match[1] == "payload" {
			s = m.Payload
		}
		if s == nil || s.Kind() != schema.JSON {
			continue
		}
		root := s.Resolve(s.Root)
		properties := root.Get("properties")
		if properties == nil || properties.Has(tree.Unescape(token)) || root.Has("allOf") || root.Has("anyOf") || root.Has("oneOf") {
			continue
		}
		l.report("runtime-expression-undescribed", at, fmt.Sprintf("%s: %s of message %s does not describe %q", what, match[1], m.Name, clip(token)), near(token, properties.Names(), "describe it there"))
	}
}

// checkMessage checks a message's schemas, and its examples against them.
func (l *loader) checkMessage(m *Message, foreign bool) {
	key := "message " + m.node.Place().String() + m.node.Pointer()
	if l.checked[key] {
		return
	}
	l.checked[key] = true
	if !foreign {
	}
	payload := l.compile(m.Payload, "payload of message "+m.Name)
	headers := l.compile(m.Headers, "headers of message "+m.Name)
	l.compile(m.Key, "key of message "+m.Name)
	if m.Headers != nil && m.Headers.Kind() == schema.JSON {
		root := m.Headers.Resolve(m.Headers.Root)
		if t := root.Get("type"); t.Is(tree.String) && t.Text != "object" {
			l.report("message-headers-object", t, fmt.Sprintf("headers of message %s must be an object with a field for each header", m.Name), "write type: object")
		}
	}
	if c := m.CorrelationID.Get("location"); c.Is(tree.String) {
		l.checkExpression(c, "correlation id of message "+m.Name, []*Message{m})
	}
	for _, e := range m.Examples.Elements() {
		if value := e.Get("payload"); value != nil && payload != nil {
			l.example(exampleRule(foreign), payload, value, "example of message "+m.Name+": payload ")
		}
		if value := e.Get("headers"); value != nil && headers != nil {
			l.example(exampleRule(foreign), headers, value, "example of message "+m.Name+": headers ")
		}
	}
	if m.Payload == nil {
		return
	}
	if m.Payload.Kind() == schema.Other && !l.checked["format "+m.Payload.Format] {
		l.checked["format "+m.Payload.Format] = true
		l.report("schema-format-unknown", m.node, fmt.Sprintf("schemas of the format %q are carried, not understood", clip(m.Payload.Format)), "records are not checked against them; Avro, Protobuf and JSON Schema are understood")
	}
	l.checkContentType(m)
}

// exampleRule is milder for channels that are not Kafka's, which are not published
// from here.
func exampleRule(foreign bool) string {
	if foreign {
		return "message-example-elsewhere"
	}
	return "message-example"
}

func (l *loader) checkContentType(m *Message) {
	want := map[schema.Kind][]string{schema.Avro: {"avro", "octet-stream", "confluent"}, schema.Protobuf: {"protobuf", "octet-stream", "grpc"}}[m.Payload.Kind()]
	if m.OwnContentType && want != nil && strings.Contains(m.ContentType, "json") && !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(m.ContentType, w) }) {
		l.reportAt("message-content-type", m.node.Get("contentType").Place(), fmt.Sprintf("message %s: contentType %s is JSON, and the payload is described in %s", m.Name, clip(m.ContentType), m.Payload.Kind()), "name the type that records really have, unless they are the schema's JSON form")
	}
}

func (l *loader) example(id string, v *compiled, value *tree.Node, what string) {
	for _, f := range v.validator.Validate(value) {
		rule := id
		if f.Limit {
			rule = "schema-limit"
		}
		l.report(rule, f.Node, what+f.Message, f.Fix)
	}
}

// compiled is a payload schema that can validate.
type compiled struct{ validator *schema.Validator }

// compile checks a schema once; nil when it cannot validate.
func (l *loader) compile(s *schema.Schema, what string) *compiled {
	if s == nil {
		return nil
	}
	target := s.Resolve(s.Root).Origin()
	if c, known := l.compiled[target]; known {
		return c
	}
	l.compiled[target] = nil
	v, findings := schema.Compile(s, l.budget)
	for _, f := range findings {
		id := "schema-invalid"
		if f.Limit {
			id = "schema-limit"
			if strings.Contains(f.Message, "not read") {
				continue // reported where it is referred to
			}
		}
		if f.Unchecked {
			id = "schema-pattern"
		}
		if f.Node.File() == "" {
			f.Node = s.Root
		}
		l.report(id, f.Node, what+" "+f.Message, f.Fix)
	}
	if v == nil {
		return nil
	}
	l.compiled[target] = &compiled{v}
	return l.compiled[target]
}

// checkSharedSchemas checks the schemas of components that no message uses, and the
// examples and defaults that stand in schemas.
func (l *loader) checkSharedSchemas(m *Model) {
	lookup := l.sharedLookup()
	for _, s := range m.Schemas {
		l.compile(schema.New("", s.Node, lookup), "schema "+s.Name)
	}
	budget := maxSchemaExamples
	seen := map[*tree.Node]bool{}
	var look func(s *schema.Schema, n *tree.Node, what string)
	look = func(s *schema.Schema, n *tree.Node, what string) {
		if !n.Is(tree.Object) || seen[n.Origin()] || budget <= 0 {
			return
		}
		seen[n.Origin()] = true
		values := append([]*tree.Node{}, n.Get("examples").Elements()...)
		if d := n.Get("default"); d != nil {
			values = append(values, d)
		}
		if len(values) > 0 && !n.Has("$ref") {
			budget--
			if v, _ := schema.Compile(schema.New(s.Format, n, lookup), l.budget); v != nil {
				for _, value := range values {
					for _, f := range v.Validate(value) {
						l.report("schema-example", f.Node, what+": "+exampleName(value)+" does not fit: "+f.Message, f.Fix)
					}
				}
			}
		}
		for _, f := range n.Fields {
			switch {
			case dataFields[f.Name] || strings.HasPrefix(f.Name, "x-"):
			case f.Name == "properties" || f.Name == "patternProperties" || f.Name == "definitions":
				for _, p := range f.Value.Entries() {
					look(s, p.Value, what)
				}
			case f.Value.Is(tree.Object):
				look(s, f.Value, what)
			case f.Value.Is(tree.List):
				for _, item := range f.Value.Items {
					look(s, item, what)
				}
			}
		}
	}
	for _, s := range m.Schemas {
		look(schema.New("", s.Node, lookup), s.Node, "schema "+s.Name)
	}
	for _, c := range m.Channels {
		for _, message := range c.Messages {
			for _, s := range []*schema.Schema{message.Payload, message.Headers, message.Key} {
				if s != nil && s.Kind() == schema.JSON {
					look(s, s.Root, "message "+message.Name)
				}
			}
		}
	}
}

const maxSchemaExamples = 500 // schemas within schemas whose examples are checked

// checkAmbiguity looks for messages of one direction of a channel that a record
// cannot be told apart by.
func (l *loader) checkAmbiguity(m *Model, c *Channel) {
	if len(c.Messages) < 2 || len(c.Messages) > 50 {
		return
	}
	for i, a := range c.Messages {
		for _, b := range c.Messages[i+1:] {
			if !l.together(m, c, a, b) {
				continue
			}
			if reason := indistinct(a, b); reason != "" {
				l.report("message-ambiguous", b.node, fmt.Sprintf("channel %s: a record cannot be told to be message %s or %s: %s", c.Name, a.Name, b.Name, reason), "give them a field or header with different constant values (const), or channels of their own")
			}
		}
	}
}

// together reports whether some operation has both messages.
func (l *loader) together(m *Model, c *Channel, a, b *Message) bool {
	used := false
	for _, o := range m.Operations {
		if o.Channel != c.Name {
			continue
		}
		used = true
		if len(o.Messages) == 0 || slices.Contains(o.Messages, a.Name) && slices.Contains(o.Messages, b.Name) {
			return true
		}
	}
	return !used
}

// indistinct says why two messages look alike, "" when they do not. It only says so
// when it is sure: payloads and headers are the same.
func indistinct(a, b *Message) string {
	if a.ContentType != b.ContentType {
		return ""
	}
	same := func(x, y *schema.Schema) bool {
		if x == nil || y == nil {
			return x == y
		}
		return x.Root.Origin() == y.Root.Origin() || schema.Same(x, y)
	}
	if !same(a.Headers, b.Headers) || !same(a.Key, b.Key) {
		return ""
	}
	switch {
	case a.Payload == nil && b.Payload == nil:
		return "neither describes a payload"
	case a.Payload == nil || b.Payload == nil:
		return ""
	case same(a.Payload, b.Payload):
		return "payload, headers and key are the same"
	}
	return ""
}

func exampleName(n *tree.Node) string {
	if n.Key() == "default" {
		return "default"
	}
	return "example " + n.Key()
}
