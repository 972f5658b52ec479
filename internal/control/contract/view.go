package contract

import (
	"slices"
	"strings"

	"sluice/internal/control/contract/tree"
)

// View says what the subscribers of one plan in one environment are to see.
type View struct {
	// Servers are the gateway's; their Security names Schemes.
	Servers []ViewServer
	// Schemes are the plan's ways to log in.
	Schemes []Named
	// Channels are those that are offered, by name; others are left out.
	Channels map[string]ViewChannel
}

// ViewServer is an address of the gateway.
type ViewServer struct {
	Name, Host, Protocol, Description string
	// Schemes are names in View.Schemes.
	Schemes []string
	// SchemaRegistry is the URL at which consumers find schemas, if there is one.
	SchemaRegistry string
}

// ViewChannel is a channel as subscribers see it.
type ViewChannel struct {
	// Address is the exposed topic.
	Address string
	// Read and Write are the plan's rights.
	Read, Write bool
}

// For returns the model as a view shows it: still the provider's document, in which
// send is what subscribers may read and receive what they may write; no action is
// ever turned round. Nothing of the cluster behind is left: servers, the backing
// topic, replicas.
func (m *Model) For(v View) *Model {
	out := &Model{
		ID: m.ID, Info: m.Info, DefaultContentType: m.DefaultContentType, Extensions: m.Extensions,
		SecuritySchemes: v.Schemes,
	}
	schemes := map[string]*tree.Node{}
	for _, s := range v.Schemes {
		schemes[s.Name] = s.Node
	}
	for _, s := range v.Servers {
		server := &Server{Name: s.Name, Host: s.Host, Protocol: s.Protocol}
		for _, name := range s.Schemes {
			if schemes[name] != nil {
				server.Security = append(server.Security, Security{Scheme: name, Node: schemes[name]})
			}
		}
		if s.Description != "" {
			server.Rest = tree.NewObject().Set("description", tree.Text(s.Description))
		}
		if s.SchemaRegistry != "" {
			server.Bindings = tree.NewObject().Set("kafka", tree.NewObject().Set("schemaRegistryUrl", tree.Text(s.SchemaRegistry)))
		}
		out.Servers = append(out.Servers, server)
	}
	for _, c := range m.Channels {
		seen, ok := v.Channels[c.Name]
		if !ok || !seen.Read && !seen.Write {
			continue
		}
		shown := *c
		shown.Servers = nil
		shown.Address = seen.Address
		if !strings.Contains(seen.Address, "{") {
			shown.Parameters = nil
		}
		shown.Kafka.Topic, shown.Kafka.Replicas = "", nil
		if k := c.Bindings.Get("kafka"); k.Has("topic") || k.Has("replicas") {
			shown.Bindings = c.Bindings.Without("kafka")
			if k = k.Without("topic", "replicas"); len(k.Entries()) > 1 || len(k.Entries()) == 1 && !k.Has("bindingVersion") {
				shown.Bindings.Set("kafka", k)
			}
			shown.Bindings = filled(shown.Bindings)
		}
		out.Channels = append(out.Channels, &shown)
	}
	for _, o := range m.Operations {
		seen, ok := v.Channels[o.Channel]
		if !ok || o.Action == Send && !seen.Read || o.Action == Receive && !seen.Write {
			continue
		}
		shown := *o
		shown.Security = nil
		if o.Reply != nil && o.Reply.Channel != "" && out.Channel(o.Reply.Channel) == nil {
			shown.Reply = nil
		}
		out.Operations = append(out.Operations, &shown)
	}
	out.Schemas = m.used(out)
	return out
}

// used returns the shared schemas that a narrower model still refers to.
func (m *Model) used(narrow *Model) []Named {
	needed := map[string]bool{}
	var look func(n *tree.Node)
	look = func(n *tree.Node) {
		n.Walk(func(n *tree.Node) bool {
			if name, ok := strings.CutPrefix(n.Get("$ref").Str(), "#/components/schemas/"); ok {
				if name = tree.Unescape(name); !needed[name] {
					needed[name] = true
					look(m.SchemaNode(name))
				}
			}
			return true
		})
	}
	e := emitter{version: Version31}
	for _, c := range narrow.Channels {
		for _, message := range c.Messages {
			look(e.message(message))
		}
		look(c.Bindings)
	}
	for _, o := range narrow.Operations {
		look(o.Bindings)
	}
	return slices.DeleteFunc(slices.Clone(m.Schemas), func(s Named) bool { return !needed[s.Name] })
}
