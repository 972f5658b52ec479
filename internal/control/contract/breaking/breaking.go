// Package breaking compares two revisions of a contract and says who breaks: those
// who read what the provider sends, or those who write what it receives. Its main
// function is Compare. It knows nothing of who is subscribed.
//
// The direction decides: a provider may promise more in what it sends and ask for
// less in what it receives, never the other way round.
package breaking

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// Party is somebody who may break.
type Party string

// The parties, seen from the provider.
const (
	Readers Party = "readers"
	Writers Party = "writers"
)

// Change is one difference between two revisions that somebody may notice.
type Change struct {
	// Problem has the rule, its severity, what to do, and the place in the new revision,
	// or in the old one for what is gone. Error is a break.
	rule.Problem
	// Channel is the channel's name in the old revision; empty for what concerns all.
	Channel string `json:"channel,omitempty"`
	// Who breaks, or may notice.
	Who []Party `json:"who"`
	// Old and New are the places in both revisions; empty where there is none.
	Old rule.Place `json:"old"`
	New rule.Place `json:"new"`
	// Changelog is a line for the changelog of the API.
	Changelog string `json:"changelog"`
}

// String returns the change on one line.
func (c Change) String() string {
	who := make([]string, len(c.Who))
	for i, p := range c.Who {
		who[i] = string(p)
	}
	text := c.Problem.String()
	if len(who) > 0 {
		text = strings.Replace(text, ": "+c.Message, ": "+strings.Join(who, " and ")+": "+c.Message, 1)
	}
	return text
}

// Breaks reports whether a change is a break.
func Breaks(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Severity == rule.Error })
}

// maxChanges bounds what is told.
const maxChanges = 500

// Compare returns what has changed between two revisions for those who use the API,
// in the order of the old one; nothing for what nobody notices.
func Compare(from, to *contract.Model) []Change {
	c := comparer{from: from, to: to}
	oldRights, newRights := byChannel(from.Rights()), byChannel(to.Rights())
	taken := map[string]bool{}
	for _, old := range from.Channels {
		if to.Channel(old.Name) != nil {
			taken[old.Name] = true
		}
	}
	for _, old := range from.Channels {
		c.channel = old.Name
		rights := oldRights[old.Name]
		if !rights.Read && !rights.Write {
			continue
		}
		now := to.Channel(old.Name)
		if now == nil {
			if now = sameAddress(to, old, taken); now == nil {
				c.add("channel-removed", parties(rights), old.Place(), rule.Place{}, "channel %s (%s) is gone", old.Name, shownAddress(old))
				continue
			}
			taken[now.Name] = true
			c.add("channel-renamed", parties(rights), old.Place(), now.Place(), "channel %s is now called %s", old.Name, now.Name)
		}
		c.channels(old, now, rights, newRights[now.Name])
	}
	c.channel = ""
	c.servers()
	return c.out
}

func byChannel(rights []contract.Right) map[string]contract.Right {
	out := map[string]contract.Right{}
	for _, r := range rights {
		out[r.Channel] = r
	}
	return out
}

// sameAddress finds a channel that clients cannot tell from an old one.
func sameAddress(to *contract.Model, old *contract.Channel, taken map[string]bool) *contract.Channel {
	for _, c := range to.Channels {
		if old.Address != "" && c.Address == old.Address && !taken[c.Name] {
			return c
		}
	}
	return nil
}

func shownAddress(c *contract.Channel) string {
	if c.Address == "" {
		return "no address"
	}
	return c.Address
}

func parties(r contract.Right) []Party {
	var out []Party
	if r.Read {
		out = append(out, Readers)
	}
	if r.Write {
		out = append(out, Writers)
	}
	return out
}

type comparer struct {
	from, to *contract.Model
	channel  string
	out      []Change
	seen     map[string]bool
}

// fixes say what to do about a break, where there is more to say than a new version.
var fixes = map[string]string{
	"channel-renamed":       "keep the name, or change it wherever documents name the channel",
	"operation-removed":     "keep it, if generated code depends on its name",
	"message-added":         "tell readers to pass over messages that they do not know, or use another channel",
	"payload-field-removed": "go on sending it, or publish a new major version",
	"payload-required":      "keep it as it was: required where it is sent, optional where it is received",
	"payload-not-compared":  "compare them by hand",
	"payload-described":     "nothing, if records are the same",
	"payload-name":          "keep the name, if anybody uses JSON or generated code",
	"partitions":            "nothing",
	"server-removed":        "nothing, if clients connect to the gateway",
	"correlation-id":        "keep it where it was",
}

func (c *comparer) add(id string, who []Party, old, now rule.Place, format string, args ...any) {
	if len(c.out) >= maxChanges {
		return
	}
	at := now
	if at.File == "" {
		at = old
	}
	fix := fixes[id]
	if fix == "" {
		fix = "take it back, or publish a new major version"
	}
	message := fmt.Sprintf(format, args...)
	key := id + "\x00" + message + "\x00" + at.String()
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	change := Change{Problem: rule.New(id, at, message, fix), Channel: c.channel, Who: who, Old: old, New: now}
	label := "Changed"
	switch change.Severity {
	case rule.Error:
		label = "Breaking"
		if len(who) > 0 {
			label += " for " + strings.ReplaceAll(strings.TrimSpace(fmt.Sprint(who)), " ", " and ")
			label = strings.NewReplacer("[", "", "]", "").Replace(label)
		}
	case rule.Warning:
		label = "To be noticed"
	}
	change.Changelog = "- " + label + ": " + message + "."
	c.out = append(c.out, change)
}

func (c *comparer) channels(old, now *contract.Channel, was, is contract.Right) {
	kept := contract.Right{Read: was.Read && is.Read, Write: was.Write && is.Write}
	if was.Read && !is.Read {
		c.add("read-removed", []Party{Readers}, old.Place(), now.Place(), "channel %s can no longer be read: no operation sends", old.Name)
	}
	if was.Write && !is.Write {
		c.add("write-removed", []Party{Writers}, old.Place(), now.Place(), "channel %s can no longer be written: no operation receives", old.Name)
	}
	who := parties(kept)
	if len(who) == 0 {
		return
	}
	if old.Address != now.Address && old.Address != "" {
		c.add("channel-address", who, old.Field("address"), now.Field("address"), "channel %s has the address %q, which was %q", old.Name, now.Address, old.Address)
	}
	c.parameters(old, now, who)
	c.operations(old, now, was)
	if kept.Read {
		c.messages(old, now, contract.Send)
	}
	if kept.Write {
		c.messages(old, now, contract.Receive)
	}
	c.kafka(old, now, kept)
}

func (c *comparer) parameters(old, now *contract.Channel, who []Party) {
	if old.Address != now.Address {
		return // told already
	}
	for _, p := range old.Parameters {
		i := slices.IndexFunc(now.Parameters, func(n contract.Named) bool { return n.Name == p.Name })
		if i < 0 {
			continue // the address still has it
		}
		was, is := p.Node.Get("enum").Strings(), now.Parameters[i].Node.Get("enum").Strings()
		if len(is) == 0 {
			continue
		}
		var lost []string
		for _, v := range was {
			if !slices.Contains(is, v) {
				lost = append(lost, v)
			}
		}
		if len(was) == 0 {
			c.add("channel-parameter", who, p.Node.Place(), now.Parameters[i].Node.Place(), "parameter %s of channel %s is now one of %s, and was anything", p.Name, old.Name, strings.Join(is, ", "))
		} else if len(lost) > 0 {
			c.add("channel-parameter", who, p.Node.Place(), now.Parameters[i].Node.Place(), "parameter %s of channel %s can no longer be %s", p.Name, old.Name, strings.Join(lost, ", "))
		}
	}
}

// operations tells of operations that are gone although the right remains, and of
// replies.
func (c *comparer) operations(old, now *contract.Channel, was contract.Right) {
	for _, o := range c.from.Operations {
		if o.Channel != old.Name {
			continue
		}
		party := Readers
		if o.Action == contract.Receive {
			party = Writers
		}
		i := slices.IndexFunc(c.to.Operations, func(n *contract.Operation) bool {
			return n.Name == o.Name && n.Channel == now.Name && n.Action == o.Action
		})
		if i < 0 {
			if slices.ContainsFunc(c.to.Operations, func(n *contract.Operation) bool { return n.Channel == now.Name && n.Action == o.Action }) {
				c.add("operation-removed", []Party{party}, o.Place(), rule.Place{}, "operation %s is gone", o.Name)
			}
			continue
		}
		n := c.to.Operations[i]
		switch {
		case o.Reply == nil:
		case n.Reply == nil:
			c.add("reply-changed", []Party{party}, o.Place(), n.Place(), "operation %s is no longer answered", o.Name)
		case addressOf(c.from, o.Reply) != addressOf(c.to, n.Reply):
			c.add("reply-changed", []Party{party}, o.Place(), n.Place(), "operation %s is answered at %s, and was at %s", o.Name, addressOf(c.to, n.Reply), addressOf(c.from, o.Reply))
		}
	}
}

// addressOf says where a reply goes.
func addressOf(m *contract.Model, r *contract.Reply) string {
	if where := r.Address.Get("location").Str(); where != "" {
		return where
	}
	if ch := m.Channel(r.Channel); ch != nil && ch.Address != "" {
		return ch.Address
	}
	return "channel " + r.Channel
}

// used returns the messages of a channel in one direction, in the order of the
// channel.
func used(m *contract.Model, c *contract.Channel, action contract.Action) []*contract.Message {
	names := map[string]bool{}
	found := false
	reply := map[contract.Action]contract.Action{contract.Send: contract.Receive, contract.Receive: contract.Send}[action]
	take := func(list []string) {
		found = true
		if len(list) == 0 {
			for _, message := range c.Messages {
				names[message.Name] = true
			}
		}
		for _, name := range list {
			names[name] = true
		}
	}
	for _, o := range m.Operations {
		if o.Channel == c.Name && o.Action == action {
			take(o.Messages)
		}
		if o.Reply != nil && o.Reply.Channel == c.Name && o.Action == reply {
			take(o.Reply.Messages)
		}
	}
	if !found {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.Messages), func(message *contract.Message) bool { return !names[message.Name] })
}

func (c *comparer) messages(old, now *contract.Channel, action contract.Action) {
	was, is := used(c.from, old, action), used(c.to, now, action)
	who := []Party{Readers}
	if action == contract.Receive {
		who = []Party{Writers}
	}
	met := map[*contract.Message]bool{}
	pairs := map[*contract.Message]*contract.Message{}
	match := func(same func(a, b *contract.Message) bool) {
		for _, a := range was {
			for _, b := range is {
				if pairs[a] == nil && !met[b] && same(a, b) {
					pairs[a], met[b] = b, true
				}
			}
		}
	}
	match(func(a, b *contract.Message) bool { return a.Name == b.Name })
	match(func(a, b *contract.Message) bool { return a.Component != "" && a.Component == b.Component })
	match(func(a, b *contract.Message) bool {
		return a.Payload != nil && b.Payload != nil && schema.Same(a.Payload, b.Payload)
	})
	for _, a := range was {
		b := pairs[a]
		if b == nil {
			word := "sent"
			if action == contract.Receive {
				word = "taken"
			}
			c.add("message-removed", who, a.Place(), now.Place(), "message %s of channel %s is no longer %s", a.Name, old.Name, word)
			continue
		}
		c.message(old, a, b, action, who)
	}
	if action == contract.Send && len(was) > 0 {
		for _, b := range is {
			if !met[b] {
				c.add("message-added", who, old.Place(), b.Place(), "message %s is sent in channel %s, which readers have not met there", b.Name, old.Name)
			}
		}
	}
}

func (c *comparer) message(ch *contract.Channel, a, b *contract.Message, action contract.Action, who []Party) {
	what := "message " + a.Name
	if a.ContentType != b.ContentType && a.ContentType != "" {
		c.add("content-type", who, a.Place(), b.Place(), "%s is of content type %s, and was %s", what, orNone(b.ContentType), a.ContentType)
	}
	if a.Kafka.SchemaIDLocation != b.Kafka.SchemaIDLocation || a.Kafka.SchemaIDPayloadEncoding != b.Kafka.SchemaIDPayloadEncoding {
		if a.Kafka.SchemaIDLocation != "" || a.Kafka.SchemaIDPayloadEncoding != "" {
			c.add("schema-id-location", who, a.Place(), b.Place(), "%s has its schema id in %s, and had it in %s", what, location(b.Kafka), location(a.Kafka))
		}
	}
	if a.CloudEvents.Mode != b.CloudEvents.Mode {
		c.add("cloudevents-mode", who, a.Place(), b.Place(), "%s is %s, and was %s", what, cloudEvent(b), cloudEvent(a))
	}
	if x, y := a.CorrelationID.Get("location").Str(), b.CorrelationID.Get("location").Str(); x != y && x != "" {
		c.add("correlation-id", who, a.Place(), b.Place(), "%s has its correlation id at %s, and had it at %s", what, orNone(y), x)
	}
	c.schemas("payload", what, ch, a, b, a.Payload, b.Payload, action, who)
	c.schemas("key", what, ch, a, b, a.Key, b.Key, action, who)
	c.schemas("headers", what, ch, a, b, a.Headers, b.Headers, action, who)
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func location(k contract.KafkaMessage) string {
	where := orNone(k.SchemaIDLocation)
	if k.SchemaIDPayloadEncoding != "" {
		where += " (" + k.SchemaIDPayloadEncoding + ")"
	}
	return where
}

func cloudEvent(m *contract.Message) string {
	if m.CloudEvents.Mode == "" {
		return "no CloudEvent"
	}
	return "a CloudEvent in " + m.CloudEvents.Mode + " mode"
}

// rules name what a difference between schemas is called.
var rules = map[schema.Change]string{
	schema.ChangeLanguage: "payload-language", schema.ChangeType: "payload-type", schema.ChangeRequired: "payload-required", schema.ChangeMissing: "payload-field-removed",
	schema.ChangeUnknown: "payload-field-refused", schema.ChangeClosed: "payload-field-refused", schema.ChangeValues: "payload-values", schema.ChangeBounds: "payload-bounds",
	schema.ChangeFormat: "payload-format", schema.ChangeRule: "payload-rule", schema.ChangeName: "payload-name", schema.ChangeUncompared: "payload-not-compared",
}

func (c *comparer) schemas(part, what string, ch *contract.Channel, a, b *contract.Message, old, now *schema.Schema, action contract.Action, who []Party) {
	switch {
	case old == nil && now == nil:
		return
	case old == nil || now == nil:
		c.described(part, what, a, b, old, now, action, who)
		return
	}
	// In what is sent, those who know the old schema meet the new one; in what is
	// received, those who write with the old one meet the new.
	writer, reader := now, old
	if action == contract.Receive {
		writer, reader = old, now
	}
	differences := schema.CanRead(writer, reader)
	for _, d := range differences {
		id := rules[d.Change]
		switch {
		case id == "":
			continue // undescribed: open schemas are as they were
		case d.Change == schema.ChangeMissing && action == contract.Receive:
			continue // a new field that writers need not have, or one that is told as required
		case !d.Strict && d.Change == schema.ChangeValues:
			continue // an open enum
		case !d.Strict && d.Change == schema.ChangeRule:
			id = "payload-not-compared"
		}
		if d.Change == schema.ChangeRequired && action == contract.Send && slices.ContainsFunc(differences, func(o schema.Difference) bool {
			return o.Change == schema.ChangeMissing && o.Path == d.Path
		}) {
			continue // the field is gone, which says more
		}
		oldNode, newNode := d.Reader, d.Writer
		if action == contract.Receive {
			oldNode, newNode = d.Writer, d.Reader
		}
		c.add(named(part, id, d), who, place(oldNode, a), place(newNode, b), "%s", sentence(part, what, d, action))
	}
}

// named gives keys and headers rules of their own.
func named(part, id string, d schema.Difference) string {
	switch {
	case id == "payload-not-compared" || id == "payload-name":
		return id
	case part == "key":
		return "key-schema"
	case part == "headers" && d.Change == schema.ChangeRequired:
		return "headers-required"
	case part == "headers":
		return "headers-schema"
	}
	return id
}

func place(n *tree.Node, m *contract.Message) rule.Place {
	if p := n.Place(); p.File != "" {
		return p
	}
	return m.Place()
}

// sentence says a difference from the view of whoever breaks.
func sentence(part, what string, d schema.Difference, action contract.Action) string {
	path := d.Path
	if path == "" {
		path = "the " + part
	}
	switch {
	case d.Change == schema.ChangeMissing:
		return fmt.Sprintf("%s: %s of the %s is no longer sent", what, path, part)
	case d.Change == schema.ChangeRequired && action == contract.Send:
		return fmt.Sprintf("%s: %s of the %s may be missing, and was always there", what, path, part)
	case d.Change == schema.ChangeRequired:
		return fmt.Sprintf("%s: %s of the %s is required, and was not", what, path, part)
	}
	message := strings.Replace(d.Message, "the record", "the "+part, 1)
	if action == contract.Send {
		return fmt.Sprintf("%s, for readers of the old %s: %s", what, part, message)
	}
	return fmt.Sprintf("%s, for writers of the old %s: %s", what, part, message)
}

func (c *comparer) described(part, what string, a, b *contract.Message, old, now *schema.Schema, action contract.Action, who []Party) {
	switch {
	case part == "key" && now == nil && action == contract.Send:
		c.add("key-removed", who, place(old.Root, a), b.Place(), "%s no longer describes a key", what)
	case part == "key" && old == nil && action == contract.Receive:
		c.add("key-schema", who, a.Place(), place(now.Root, b), "%s wants a key, and described none", what)
	case part == "headers" && old == nil && action == contract.Receive:
		for _, name := range now.Resolve(now.Root).Get("required").Strings() {
			c.add("headers-required", who, a.Place(), place(now.Root, b), "%s: %s of the headers is required, and was not", what, name)
		}
	case part == "headers" && now == nil && action == contract.Send:
		for _, name := range old.Resolve(old.Root).Get("required").Strings() {
			c.add("headers-required", who, place(old.Root, a), b.Place(), "%s: %s of the headers may be missing, and was always there", what, name)
		}
	case part == "payload":
		was, is := a.Place(), b.Place()
		if now == nil {
			c.add("payload-described", who, was, is, "%s no longer describes its payload", what)
		} else {
			c.add("payload-described", who, was, is, "%s describes its payload, which it did not", what)
		}
	}
}

func (c *comparer) kafka(old, now *contract.Channel, kept contract.Right) {
	a, b := old.Kafka, now.Kafka
	at := func(ch *contract.Channel) rule.Place { return ch.Field("bindings") }
	if a.Partitions != nil && b.Partitions != nil && *a.Partitions != *b.Partitions {
		id := "partitions"
		if slices.ContainsFunc(old.Messages, func(m *contract.Message) bool { return m.Key != nil }) {
			id = "partitions-keyed"
		}
		c.add(id, parties(kept), at(old), at(now), "channel %s has %d partitions, and had %d", old.Name, *b.Partitions, *a.Partitions)
	}
	if kept.Read {
		for _, r := range []struct {
			name    string
			was, is *int64
		}{{"retention.ms", a.RetentionMillis, b.RetentionMillis}, {"retention.bytes", a.RetentionBytes, b.RetentionBytes}, {"delete.retention.ms", a.DeleteRetentionMillis, b.DeleteRetentionMillis}} {
			if r.was != nil && r.is != nil && *r.is >= 0 && (*r.is < *r.was || *r.was < 0) {
				c.add("retention-shortened", []Party{Readers}, at(old), at(now), "channel %s keeps less: %s is %d, and was %s", old.Name, r.name, *r.is, unlimited(*r.was))
			}
		}
		for _, policy := range b.CleanupPolicy {
			if len(a.CleanupPolicy) > 0 && !slices.Contains(a.CleanupPolicy, policy) {
				c.add("cleanup-policy", []Party{Readers}, at(old), at(now), "channel %s has the cleanup policy %s, and had %s", old.Name, strings.Join(b.CleanupPolicy, ","), strings.Join(a.CleanupPolicy, ","))
				break
			}
		}
	}
	if kept.Write && a.MaxSize != nil && b.MaxSize != nil && *b.MaxSize < *a.MaxSize {
		c.add("record-size", []Party{Writers}, at(old), at(now), "channel %s takes records of up to %d bytes, and took %d", old.Name, *b.MaxSize, *a.MaxSize)
	}
}

func unlimited(n int64) string {
	if n < 0 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

// servers compares ways to log in over all servers, and tells of those that are gone.
func (c *comparer) servers() {
	both := []Party{Readers, Writers}
	if len(c.from.Servers) == 0 || len(c.to.Servers) == 0 {
		return
	}
	type way struct{ place rule.Place }
	types := func(m *contract.Model) (map[string]way, bool) {
		out, open := map[string]way{}, false
		for _, s := range m.Servers {
			open = open || len(s.Security) == 0
			for i, security := range s.Security {
				out[security.Type()] = way{s.SecurityPlace(i)}
			}
		}
		return out, open
	}
	was, wasOpen := types(c.from)
	is, isOpen := types(c.to)
	for _, name := range sorted(was) {
		if _, kept := is[name]; !kept {
			c.add("security-removed", both, was[name].place, c.to.Servers[0].Place(), "nobody can log in with %s any more", name)
		}
	}
	if wasOpen && !isOpen {
		c.add("security-added", both, c.from.Servers[0].Place(), c.to.Servers[0].Place(), "everybody has to log in: %s", strings.Join(sorted(is), ", "))
	}
	for _, s := range c.from.Servers {
		switch n := c.to.Server(s.Name); {
		case n == nil:
			c.add("server-removed", both, s.Place(), rule.Place{}, "server %s is gone", s.Name)
		case n.Host != s.Host || n.Protocol != s.Protocol || n.Pathname != s.Pathname:
			c.add("server-removed", both, s.Place(), n.Place(), "server %s is %s %s%s, and was %s %s%s", s.Name, n.Protocol, n.Host, n.Pathname, s.Protocol, s.Host, s.Pathname)
		}
	}
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

// Changelog returns the changes as lines of Markdown, breaks first.
func Changelog(changes []Change) string {
	list := slices.Clone(changes)
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(b.Severity, a.Severity) })
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Changelog + "\n")
	}
	return b.String()
}
