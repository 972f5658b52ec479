package control

import (
	"context"
	"encoding/json"
	"fmt"
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
// an internal note, to their own. Notes are kept apart from the document: its serial and
// its tag, what is told of changes and the audit log of its owners would tell of them.
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
		m := Message{Time: c.now, By: q.Actor.String(), Person: q.Actor.Person(), Provider: c.may(identity.Note, o) == nil, Internal: internal, Text: text}
		if internal {
			return c.note(before, o.Provider, m)
		}
		after.Document = before.Document // nothing for gateways
		after.Status.Thread = with(before.Status.Thread, m)
		if err := c.put(after, after.links()); err != nil {
			return err
		}
		return c.tell(after, "message", nil)
	})
}

// notesOf is the name under which the internal notes about a subscription are kept.
func notesOf(subscription string) string { return "notes of " + subscription }

// notes reads the internal notes about a subscription.
func notes(r Reader, subscription string) (out []Message, err error) {
	text, err := r.Note(notesOf(subscription))
	if err != nil || text == "" {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("read internal notes about Subscription %s: %w", subscription, err)
	}
	return out, nil
}

// note writes an internal note down. Its audit row is the provider's.
func (c *changing) note(about *Record, provider identity.Owner, m Message) error {
	name := about.Key().Name
	thread, err := notes(c.w, name)
	if err != nil {
		return err
	}
	text, err := json.Marshal(with(thread, m))
	if err != nil {
		return fmt.Errorf("bug: internal notes about %s: %w", about.Key(), err)
	}
	if err := c.w.PutNote(notesOf(name), string(text)); err != nil {
		return err
	}
	row := c.rowOf(about, "note")
	row.Team, row.Organisation = provider.Team, provider.Organisation
	if _, err := c.w.AppendAudit(row); err != nil {
		return fmt.Errorf("write the audit row of a note about %s: %w", about.Key(), err)
	}
	return nil
}

// forgetNotes is for a subscription that is removed: another one may get its name.
func (c *changing) forgetNotes(subscription string) error {
	if known, err := notes(c.w, subscription); err != nil || known == nil {
		return err
	}
	return c.w.PutNote(notesOf(subscription), "")
}

// with adds a message to a thread. Where there are too many, the oldest goes.
func with(thread []Message, m Message) []Message {
	out := append(slices.Clone(thread), m)
	return out[max(0, len(out)-maxMessages):]
}

// Entry is a line of a thread: a message, or a move with what was said with it.
type Entry struct {
	Message
	// Action is what was done; empty for a message.
	Action lifecycle.Action
}

// Thread returns what was said and done about a subscription, the oldest first, to
// somebody who may see it. Internal notes are for the provider's side.
func (p *Plane) Thread(ctx context.Context, q Request, subscription string) ([]Entry, error) {
	r, err := p.Get(q, resource.Key{Kind: resource.KindSubscription, Name: subscription})
	if err != nil {
		return nil, err
	}
	thread := slices.DeleteFunc(slices.Clone(r.Status.Thread), func(m Message) bool { return m.Internal }) // of an older store
	if identity.Authorise(q.Actor, identity.ReadNotes, objectOf(r.Document, false, p.Model().Get)) == nil {
		var internal []Message
		err := p.store.Read(ctx, func(s Reader) error {
			internal, err = notes(s, subscription)
			return err
		})
		if err != nil {
			return nil, err
		}
		thread = append(thread, internal...)
	}
	out := []Entry{}
	for _, m := range thread {
		out = append(out, Entry{Message: m})
	}
	for _, s := range r.Status.Trail {
		out = append(out, Entry{Message: Message{Time: s.Time, By: s.By, Person: s.Person, Text: s.Message}, Action: lifecycle.Action(s.Action)})
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return out, nil
}
