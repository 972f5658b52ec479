package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// builtin is every rule of the packs. Severities are those of the table of rules.
func builtin() []*lintRule {
	builtIn := func(pack, id, given, fix string, c check) *lintRule {
		r, ok := rule.Find(id)
		if !ok {
			panic("bug: there is no rule " + id)
		}
		p, err := ParsePath(given)
		if err != nil {
			panic("bug: " + err.Error())
		}
		return &lintRule{id: id, pack: pack, fix: fix, severity: r.Severity, given: []*Path{p}, then: []then{{"", c}}}
	}
	const (
		channels   = "$.channels[*]"
		messages   = "$.channels[*].messages[*]"
		operations = "$.operations[*]"
		servers    = "$.servers[*]"
	)
	return []*lintRule{
		builtIn("kafka-naming", "kafka-naming-case", channels, "write it as shop.orders.placed", topic(func(name string) string {
			if lowerWords.MatchString(name) {
				return ""
			}
			return "is not in lower-case words joined by dots and dashes"
		})),
		builtIn("kafka-naming", "kafka-naming-segments", channels, "begin it with the domain or team", topic(func(name string) string {
			if strings.Contains(name, ".") {
				return ""
			}
			return "does not say whose it is"
		})),
		builtIn("kafka-naming", "kafka-naming-environment", channels, "leave it out: each environment has a cluster and topics of its own", topic(func(name string) string {
			for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
				if slices.Contains(environments, strings.ToLower(word)) {
					return "names the environment " + word
				}
			}
			return ""
		})),
		builtIn("kafka-naming", "kafka-naming-channel", channels, "write it in camelCase", func(c *context, n *tree.Node) []wrong {
			if casings["camel"].MatchString(n.Key()) || c.channel(n) == nil || n.Key() == c.channel(n).Address { // 2.x has no other name
				return nil
			}
			return []wrong{{n, fmt.Sprintf("channel %q is not in camelCase", clip(n.Key()))}}
		}),

		builtIn("docs-complete", "docs-info", "$.info", "say what the API is for", needs("the API has no description", "description")),
		builtIn("docs-complete", "docs-owner", "$.info", "add contact: {name: …, email: …}", needs("nobody is named to ask", "contact")),
		builtIn("docs-complete", "docs-channel", channels, "add a summary", needs("the channel has neither summary nor description", "summary", "description", "title")),
		builtIn("docs-complete", "docs-operation", operations, "add a summary", needs("the operation has neither summary nor description", "summary", "description", "title")),
		builtIn("docs-complete", "docs-message", messages, "add a summary", needs("the message has neither title nor summary nor description", "summary", "description", "title")),
		builtIn("docs-complete", "docs-payload", messages, "describe the payload", needs("the message does not describe its payload", "payload")),
		builtIn("docs-complete", "docs-example", messages, "add an example", needs("the message has no example", "examples")),
		builtIn("docs-complete", "docs-field", messages, "describe the field", fields(func(_ *context, name string, n *tree.Node) string {
			if n.Get("description").Str() != "" || n.Get("title").Str() != "" || n.Get("doc").Str() != "" {
				return ""
			}
			return fmt.Sprintf("field %s has no description", name)
		})),

		builtIn("pii", "pii-unclassified", messages, "add x-classification: public, internal, personal or sensitive", fields(func(_ *context, name string, n *tree.Node) string {
			if n.Has("x-classification") || n.Has("x-pii") || n.Has("x-masking") || !personal(name) {
				return ""
			}
			return fmt.Sprintf("field %s looks like personal data and is not classified", name)
		})),
		builtIn("pii", "pii-unmasked", messages, "add x-masking, as {with: last4}, or x-masking: none", fields(func(_ *context, name string, n *tree.Node) string {
			class := strings.ToLower(n.Get("x-classification").Str())
			if n.Has("x-masking") || !n.Get("x-pii").True() && class != "personal" && class != "sensitive" && class != "pii" {
				return ""
			}
			return fmt.Sprintf("field %s is personal and does not say how it is masked", name)
		})),

		builtIn("cloudevents", "cloudevents-required", messages, "list them in required", cloudRequired),
		builtIn("cloudevents", "cloudevents-version", messages, "write const: \"1.0\"", cloudVersion),
		builtIn("cloudevents", "cloudevents-name", messages, "write it in lower-case letters and digits", cloudName),
		builtIn("cloudevents", "cloudevents-mixed", channels, "make all of them CloudEvents, or none", cloudMixed),

		builtIn("security", "security-transport", servers, "write protocol: kafka-secure", func(c *context, n *tree.Node) []wrong {
			if strings.EqualFold(n.Get("protocol").Str(), "kafka") {
				return []wrong{{n.Get("protocol"), "the server is reached without TLS"}}
			}
			return nil
		}),
		builtIn("security", "security-login", servers, "add security", needs("the server does not say how to log in", "security")),
		builtIn("security", "security-plain", servers, "use TLS (kafka-secure), or a mechanism that does not show the password", func(c *context, n *tree.Node) []wrong {
			if !strings.EqualFold(n.Get("protocol").Str(), "kafka") {
				return nil
			}
			for _, s := range n.Get("security").Elements() {
				switch c.resolve(s).Get("type").Str() {
				case "plain", "userPassword", "oauth2":
					return []wrong{{s, "passwords or tokens are sent without TLS"}}
				}
			}
			return nil
		}),
		builtIn("security", "security-url", "$.components.securitySchemes[*]", "write https", func(_ *context, n *tree.Node) []wrong {
			var out []wrong
			n.Walk(func(v *tree.Node) bool {
				if strings.HasSuffix(v.Key(), "Url") && strings.HasPrefix(strings.ToLower(v.Str()), "http://") {
					out = append(out, wrong{v, fmt.Sprintf("%s is not https", v.Key())})
				}
				return true
			})
			return out
		}),
		builtIn("security", "security-secret", "$", "take it out, and change it: it has been seen", secrets),
	}
}

var (
	lowerWords   = regexp.MustCompile(`^[a-z0-9{]+(?:[.-][a-z0-9{]+)*$`)
	environments = []string{"dev", "development", "test", "tst", "qa", "uat", "staging", "stage", "stg", "prod", "production", "prd"}
	braces       = regexp.MustCompile(`\{[^{}]*\}`)
)

// channel returns the model's channel that a node of the contract stands for.
func (c *context) channel(n *tree.Node) *contract.Channel { return c.model.Channel(n.Key()) }

// topic checks the exposed topics of Kafka's channels.
func topic(f func(name string) string) check {
	return func(c *context, n *tree.Node) []wrong {
		ch := c.channel(n)
		if ch == nil || ch.Address == "" || !c.model.IsKafka(ch) && len(c.model.Servers) > 0 {
			return nil
		}
		if message := f(braces.ReplaceAllString(ch.Address, "{")); message != "" {
			return []wrong{{n.Get("address"), fmt.Sprintf("topic %q %s", clip(ch.Address), message)}}
		}
		return nil
	}
}

// needs wants one of several fields.
func needs(message string, names ...string) check {
	return func(_ *context, n *tree.Node) []wrong {
		for _, name := range names {
			if truthy(n.Get(name)) {
				return nil
			}
		}
		return []wrong{{n, message}}
	}
}

const maxFields = 2000 // of one message

// fields checks each field of a payload, in JSON Schema and Avro.
func fields(f func(c *context, name string, n *tree.Node) string) check {
	return func(c *context, n *tree.Node) []wrong {
		var out []wrong
		seen := map[*tree.Node]bool{}
		count := 0
		var look func(path string, n *tree.Node)
		visit := func(path string, field *tree.Node) {
			if count++; count > maxFields {
				return
			}
			if message := f(c, path, merged(c, field)); message != "" {
				out = append(out, wrong{field, message})
			}
			look(path, field)
		}
		look = func(path string, n *tree.Node) {
			n = c.resolve(n)
			if n == nil || seen[n] || count > maxFields {
				return
			}
			seen[n] = true
			for _, p := range n.Get("properties").Entries() {
				visit(join(path, p.Name), p.Value)
			}
			for _, p := range n.Get("fields").Elements() { // Avro
				visit(join(path, p.Get("name").Str()), p)
			}
			for _, name := range []string{"items", "additionalProperties", "type", "values"} {
				if v := n.Get(name); v.Is(tree.Object) {
					look(path, v)
				}
			}
			for _, name := range []string{"allOf", "anyOf", "oneOf", "type"} {
				for _, v := range n.Get(name).Elements() {
					look(path, v)
				}
			}
		}
		payload := n.Get("payload")
		if inner := payload.Get("schema"); inner != nil && payload.Has("schemaFormat") {
			payload = inner
		}
		look("", payload)
		return out
	}
}

// merged lets a field that refers to a schema say things itself.
func merged(c *context, n *tree.Node) *tree.Node {
	target := c.resolve(n)
	if target == n || len(n.Entries()) < 2 {
		return target
	}
	return tree.Merge(target, n)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var personalWords = []string{
	"email", "mail", "phone", "mobile", "msisdn", "ssn", "passport", "iban", "pan", "cardnumber", "creditcard", "birthdate", "birthday", "dateofbirth", "dob",
	"firstname", "lastname", "surname", "fullname", "givenname", "familyname", "street", "zipcode", "postcode", "postalcode", "ipaddress", "taxid", "nationalid", "gender", "password",
}

// personal reports whether a field's name is one of those that people's data has.
func personal(path string) bool {
	name := path[strings.LastIndexByte(path, '.')+1:]
	flat := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))
	for _, word := range personalWords {
		if flat == word || len(word) > 4 && (strings.HasSuffix(flat, word) || strings.HasPrefix(flat, word) && len(flat) <= len(word)+7) {
			return true
		}
	}
	return false
}

// message returns the model's message that a node of the contract stands for.
func (c *context) message(n *tree.Node) *contract.Message {
	for _, ch := range c.model.Channels {
		for _, m := range ch.Messages {
			if m.Component != "" && m.Component == n.Key() && n.Parent() == c.root.At("components", "messages") || m.Name == n.Key() && n.Parent() != nil && n.Parent().Parent() == c.root.At("channels", ch.Name) {
				return m
			}
		}
	}
	return nil
}

var cloudAttributes = []string{"id", "source", "specversion", "type"}

// attributes returns the schema that holds the attributes of a CloudEvent, and what
// their names begin with.
func attributes(m *contract.Message) (*schema.Schema, *tree.Node, string) {
	switch {
	case m == nil:
	case m.CloudEvents.Mode == "binary":
		return m.Headers, m.Headers.Resolve(m.Headers.Root), "ce_"
	case m.CloudEvents.Mode == "structured" && m.Payload != nil && m.Payload.Kind() == schema.JSON:
		return m.Payload, m.Payload.Resolve(m.Payload.Root), ""
	}
	return nil, nil, ""
}

// parts returns a schema with what it is made of by allOf.
func parts(s *schema.Schema, n *tree.Node) []*tree.Node {
	out := []*tree.Node{n}
	for _, part := range n.Get("allOf").Elements() {
		out = append(out, s.Resolve(part))
	}
	return out
}

func cloudRequired(c *context, n *tree.Node) []wrong {
	s, root, prefix := attributes(c.message(n))
	if s == nil {
		return nil
	}
	var lacking []string
	for _, name := range cloudAttributes {
		if !slices.ContainsFunc(parts(s, root), func(p *tree.Node) bool { return slices.Contains(p.Get("required").Strings(), prefix+name) }) {
			lacking = append(lacking, prefix+name)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return []wrong{{root, "a CloudEvent requires " + strings.Join(lacking, ", ")}}
}

func cloudVersion(c *context, n *tree.Node) []wrong {
	s, root, prefix := attributes(c.message(n))
	if s == nil {
		return nil
	}
	for _, p := range parts(s, root) {
		v := s.Resolve(p.Get("properties").Get(prefix + "specversion"))
		if v.Get("const").Str() == "1.0" || slices.Equal(v.Get("enum").Strings(), []string{"1.0"}) {
			return nil
		}
	}
	return []wrong{{root, prefix + "specversion is not fixed to 1.0"}}
}

var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

func cloudName(c *context, n *tree.Node) []wrong {
	s, root, prefix := attributes(c.message(n))
	if s == nil || prefix == "" {
		return nil
	}
	var out []wrong
	for _, p := range parts(s, root) {
		for _, f := range p.Get("properties").Entries() {
			if name, ok := strings.CutPrefix(f.Name, prefix); ok && !attributeName.MatchString(name) {
				out = append(out, wrong{f.Value, fmt.Sprintf("attribute %q of a CloudEvent is not in lower-case letters and digits", clip(name))})
			}
		}
	}
	return out
}

func cloudMixed(c *context, n *tree.Node) []wrong {
	ch := c.channel(n)
	if ch == nil {
		return nil
	}
	events := 0
	for _, m := range ch.Messages {
		if m.CloudEvents.Mode != "" {
			events++
		}
	}
	if events == 0 || events == len(ch.Messages) {
		return nil
	}
	return []wrong{{n, fmt.Sprintf("%d of %d messages are CloudEvents", events, len(ch.Messages))}}
}

var (
	secretField = regexp.MustCompile(`(?i)(?:password|passwd|secret|api[-_.]?key|access[-_.]?key|private[-_.]?key)$`)
	secretText  = regexp.MustCompile(`(?i)(?:password\s*=\s*"?[^"<${\s;]{6,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b)`)
)

// secrets looks for texts outside of schemas and prose that look like a secret.
func secrets(c *context, root *tree.Node) []wrong {
	var out []wrong
	root.Walk(func(v *tree.Node) bool {
		switch v.Key() {
		case "payload", "headers", "schemas", "properties", "description", "summary":
			return v.Parent() == nil
		}
		if !v.Is(tree.String) || len(out) > 20 {
			return true
		}
		if secretText.MatchString(v.Text) || strings.HasPrefix(v.Key(), "x-") && secretField.MatchString(v.Key()) && !strings.ContainsAny(v.Text, "<${ ") && len(v.Text) >= 6 {
			out = append(out, wrong{v, fmt.Sprintf("%s looks like a secret", v.Key())})
		}
		return true
	})
	return out
}
