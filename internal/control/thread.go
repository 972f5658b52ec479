package control

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// Message is what somebody wrote about a subscription, to the other side of it or, as
// an internal note, to their own.
type Message struct {
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Person   string    `json:"person,omitzero"`
	Provider bool      `json:"provider,omitzero"` // who wrote is on the provider's side
	Internal bool      `json:"internal,omitzero"`
	Text     string    `json:"text"`
}

// What a thread may hold: so many messages, and so many internal notes. The oldest go
// first; the audit log has that there were some.
const (
	maxMessages     = 100
	maxMessageBytes = 4000
)

// Say adds a message to the thread of a subscription. An internal one stays with the
// provider. The error has a kind of fault.
func (p *Plane) Say(ctx context.Context, q Request, subscription, text string, internal bool) error {
	key := resource.Key{Kind: resource.KindSubscription, Name: subscription}
	return p.change(ctx, q, func(c *changing) error {
		before, after, err := c.successor(key, 0)
		if err != nil {
			return err
		}
		o := c.object(before.Document, false)
		op := identity.Discuss
		if internal {
			op = identity.Note
		}
		if err := c.may(op, o); err != nil {
			return err
		}
		text = strings.TrimSpace(text)
		if text == "" || len(text) > maxMessageBytes || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return fault.New(fault.Invalid, "a message is text of 1 to %d bytes", maxMessageBytes)
		}
		after.Document = before.Document // nothing for gateways
		after.Status.Thread = with(before.Status.Thread, Message{
			Time: c.now, By: q.Actor.String(), Person: q.Actor.Person(), Provider: c.may(identity.Note, o) == nil, Internal: internal, Text: text,
		})
		if err := c.put(after, after.links()); err != nil {
			return err
		}
		return c.tell(after, "message", map[string]any{"internal": internal})
	})
}

// with adds a message to a thread. Where there are too many, the oldest of its own sort
// goes, so that nobody writes away what they may not read.
func with(thread []Message, m Message) []Message {
	of := func(o Message) bool { return o.Internal == m.Internal }
	out := append(slices.Clone(thread), m)
	n := 0
	for _, o := range out {
		if of(o) {
			n++
		}
	}
	if n > maxMessages {
		oldest := slices.IndexFunc(out, of)
		out = slices.Delete(out, oldest, oldest+1)
	}
	return out
}

// Entry is a line of a thread: a message, or a move with what was said with it.
type Entry struct {
	Message
	// Action is what was done; empty for a message.
	Action lifecycle.Action
}

// Thread returns what was said and done about a subscription, the oldest first, to
// somebody who may see it. Internal notes are for the provider's side.
func (p *Plane) Thread(q Request, subscription string) ([]Entry, error) {
	r, err := p.Get(q, resource.Key{Kind: resource.KindSubscription, Name: subscription})
	if err != nil {
		return nil, err
	}
	notes := identity.Authorise(q.Actor, identity.ReadNotes, objectOf(r.Document, false, p.Model().Get)) == nil
	out := []Entry{}
	for _, m := range r.Status.Thread {
		if !m.Internal || notes {
			out = append(out, Entry{Message: m})
		}
	}
	for _, s := range r.Status.Trail {
		out = append(out, Entry{Message: Message{Time: s.Time, By: s.By, Person: s.Person, Text: s.Message}, Action: lifecycle.Action(s.Action)})
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return out, nil
}
