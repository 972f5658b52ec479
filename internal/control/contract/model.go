package contract

import (
	"slices"
	"strings"

	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// Model is what a document says, in the words of AsyncAPI 3 whatever was read.
// References are resolved and traits merged; only schemas refer to each other, by
// name, in Schemas. Values that are passed on as they are, are nodes. A model is
// not changed once it is made.
type Model struct {
	// ID is the application's identifier, a URI.
	ID string
	// Info is title, version and the rest, tags and externalDocs included.
	Info *tree.Node
	// DefaultContentType is that of messages that name none.
	DefaultContentType string
	// Extensions are the fields x-… of the document.
	Extensions      *tree.Node
	Servers         []*Server
	Channels        []*Channel
	Operations      []*Operation
	SecuritySchemes []Named
	// Schemas are what payloads refer to as #/components/schemas/NAME.
	Schemas []Named
}

// Named is a node with a name of its own.
type Named struct {
	Name string
	Node *tree.Node
}

// Title returns the document's title.
func (m *Model) Title() string { return m.Info.Get("title").Str() }

// Server is where channels are.
type Server struct {
	Name, Host, Pathname, Protocol, ProtocolVersion string
	// Variables are those of host and pathname.
	Variables *tree.Node
	Security  []Security
	Bindings  *tree.Node
	// Rest is title, summary, description, tags, externalDocs and x-….
	Rest *tree.Node
	node *tree.Node
}

// Kafka reports whether the server speaks Kafka's protocol.
func (s *Server) Kafka() bool {
	switch strings.ToLower(s.Protocol) {
	case "kafka", "kafka-secure":
		return true
	}
	return false
}

// Security is one way to prove who one is.
type Security struct {
	// Scheme is the name in SecuritySchemes; empty when Node stands here only.
	Scheme string
	Node   *tree.Node
	node   *tree.Node
}

// Type returns the kind of scheme, as scramSha512.
func (s Security) Type() string { return s.Node.Get("type").Str() }

// Channel is a named stream.
type Channel struct {
	Name string
	// Address is the exposed topic, or a pattern with {parameters}. Empty when it is not
	// known before it is used.
	Address    string
	Parameters []Named
	// Servers are names in Model.Servers; none means all.
	Servers  []string
	Messages []*Message
	Bindings *tree.Node
	Kafka    KafkaChannel
	// Rest is title, summary, description, tags, externalDocs and x-….
	Rest *tree.Node
	node *tree.Node
}

// Place returns where the channel stands.
func (c *Channel) Place() rule.Place { return c.node.Place() }

// Field returns where a field of the channel stands, or the channel.
func (c *Channel) Field(name string) rule.Place {
	if n := c.node.Get(name); n != nil {
		return n.Place()
	}
	return c.node.Place()
}

// Message returns a message by name, nil when there is none.
func (c *Channel) Message(name string) *Message {
	for _, m := range c.Messages {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// KafkaChannel is Kafka's binding of a channel; what is nil is not said.
type KafkaChannel struct {
	// Topic is the real topic, if it is not the address.
	Topic                string
	Partitions, Replicas *int64
	// CleanupPolicy is delete, compact or both, sorted.
	CleanupPolicy                                                   []string
	RetentionMillis, RetentionBytes, DeleteRetentionMillis, MaxSize *int64
}

// Message is one sort of record in a channel.
type Message struct {
	// Name is unique in the channel.
	Name string
	// Component is the name that the message has in components, if any.
	Component string
	// ContentType is what records hold, that of the document when the message names
	// none.
	ContentType string
	// OwnContentType says that the message itself names it.
	OwnContentType        bool
	Headers, Payload, Key *schema.Schema
	Kafka                 KafkaMessage
	CloudEvents           CloudEvents
	CorrelationID         *tree.Node
	Bindings              *tree.Node
	Examples              *tree.Node
	// Rest is name, title, summary, description, tags, externalDocs, deprecated and x-….
	Rest *tree.Node
	node *tree.Node
}

// Place returns where the message stands.
func (m *Message) Place() rule.Place { return m.node.Place() }

// KafkaMessage is Kafka's binding of a message, its key apart.
type KafkaMessage struct {
	// SchemaIDLocation is header or payload, where a registry's schema id is.
	SchemaIDLocation, SchemaIDPayloadEncoding, SchemaLookupStrategy string
}

// CloudEvents is how a message is a CloudEvent in Kafka's protocol binding.
type CloudEvents struct {
	// Mode is binary (attributes in ce_* headers), structured (the whole event in the
	// value), or empty.
	Mode string
	// Headers are the ce_* headers that are described, sorted; Required those that must
	// be there.
	Headers, Required []string
}

// Action is what the provider does.
type Action string

// The actions. Documents of 2.x say publish for what others do, which the provider
// receives, and subscribe for what it sends.
const (
	Send    Action = "send"
	Receive Action = "receive"
)

// Operation is what the provider does with a channel.
type Operation struct {
	Name   string
	Action Action
	// Channel is a name in Model.Channels.
	Channel string
	// Messages are names in the channel; none means all of them.
	Messages []string
	Security []Security
	Reply    *Reply
	Bindings *tree.Node
	// Rest is title, summary, description, tags, externalDocs and x-….
	Rest *tree.Node
	node *tree.Node
}

// Place returns where the operation stands.
func (o *Operation) Place() rule.Place { return o.node.Place() }

// Reply is where and how an operation is answered.
type Reply struct {
	// Address says where the address is found at run time.
	Address *tree.Node
	// Channel is a name in Model.Channels, empty when it is not said.
	Channel  string
	Messages []string
	Rest     *tree.Node
	node     *tree.Node
}

// Right is what a subscriber may do with a channel.
type Right struct {
	Channel string `json:"channel"`
	// Address is the exposed topic; empty when the document does not say it.
	Address string `json:"address"`
	// Read: the provider sends, or answers there.
	Read bool `json:"read"`
	// Write: the provider receives, or is answered there.
	Write bool `json:"write"`
}

// Rights compiles send and receive into what subscribers may do, for each channel
// in the order of the document: what the provider sends they may read, what it
// receives they may write. A reply goes the other way: where the provider receives
// requests, it answers, and what answers them subscribers may read. Channels
// without operations give no right.
func (m *Model) Rights() []Right {
	out := make([]Right, len(m.Channels))
	at := map[string]*Right{}
	for i, c := range m.Channels {
		out[i] = Right{Channel: c.Name, Address: c.Address}
		at[c.Name] = &out[i]
	}
	for _, o := range m.Operations {
		if r := at[o.Channel]; r != nil {
			r.Read = r.Read || o.Action == Send
			r.Write = r.Write || o.Action == Receive
		}
		if o.Reply == nil || o.Reply.Channel == "" {
			continue
		}
		if r := at[o.Reply.Channel]; r != nil {
			r.Read = r.Read || o.Action == Receive
			r.Write = r.Write || o.Action == Send
		}
	}
	return out
}

// Channel returns a channel by name, nil when there is none.
func (m *Model) Channel(name string) *Channel {
	for _, c := range m.Channels {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Server returns a server by name, nil when there is none.
func (m *Model) Server(name string) *Server {
	for _, s := range m.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// SchemaNode returns a shared schema by name, nil when there is none.
func (m *Model) SchemaNode(name string) *tree.Node {
	for _, s := range m.Schemas {
		if s.Name == name {
			return s.Node
		}
	}
	return nil
}

// MessagesOf returns the messages of an operation: those that it names, or all of
// its channel's.
func (m *Model) MessagesOf(o *Operation) []*Message {
	c := m.Channel(o.Channel)
	if c == nil {
		return nil
	}
	if len(o.Messages) == 0 {
		return c.Messages
	}
	var out []*Message
	for _, message := range c.Messages {
		if slices.Contains(o.Messages, message.Name) {
			out = append(out, message)
		}
	}
	return out
}

// IsKafka reports whether a channel is a topic: one of its servers speaks Kafka, it
// has a binding that says so, or nothing at all is said of servers.
func (m *Model) IsKafka(c *Channel) bool {
	if c.Bindings.Has("kafka") {
		return true
	}
	known := false
	for _, s := range m.Servers {
		if len(c.Servers) > 0 && !slices.Contains(c.Servers, s.Name) {
			continue
		}
		known = true
		if s.Kafka() {
			return true
		}
	}
	return !known && len(m.Servers) == 0 && c.Bindings == nil && kafkaBound(m)
}

// foreign reports whether a channel is another protocol's: its servers say so, or,
// where nothing is said, an address that no topic may have.
func (m *Model) foreign(c *Channel) bool {
	if m.IsKafka(c) {
		return false
	}
	problem, _ := topicProblem(inBraces.ReplaceAllString(c.Address, "x"))
	return len(m.Servers) > 0 || c.Address != "" && problem != ""
}

// kafkaBound reports whether the document speaks of Kafka anywhere.
func kafkaBound(m *Model) bool {
	for _, c := range m.Channels {
		if c.Bindings.Has("kafka") {
			return true
		}
		for _, message := range c.Messages {
			if message.Bindings.Has("kafka") {
				return true
			}
		}
	}
	for _, o := range m.Operations {
		if o.Bindings.Has("kafka") {
			return true
		}
	}
	return false
}

// Place returns where the server stands.
func (s *Server) Place() rule.Place { return s.node.Place() }

// SecurityPlace returns where the i-th way to log in stands.
func (s *Server) SecurityPlace(i int) rule.Place {
	if i < len(s.Security) && s.Security[i].node != nil {
		return s.Security[i].node.Place()
	}
	return s.node.Place()
}
