// Package notify brings notifications out of the house. They are written into an outbox
// of the store together with the change that they tell of, and a Sender takes them from
// there to webhooks and mailboxes, at least once, and in order for each receiver. It
// knows neither documents nor SQL, nor how HTTP and mail travel.
package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Channel is a way that notifications take.
type Channel string

// The channels.
const (
	Webhook Channel = "webhook"
	Email   Channel = "email"
)

// Bounds of what waits.
const (
	// MaxWaiting is how many notifications may wait for one receiver; beyond it the
	// oldest make room.
	MaxWaiting = 1000
	// MaxEventBytes bounds an event.
	MaxEventBytes = 16 << 10
)

// Notification is one message to one receiver.
type Notification struct {
	// ID is the event's, and the same at each attempt, so that a receiver can tell what
	// it has had.
	ID      string
	Channel Channel
	// To is the team whose webhook gets it, as its document says by then, or an e-mail
	// address.
	To string
	// Team and Organisation are on whose behalf the receiver is told.
	Team, Organisation string
	// Type is the event's.
	Type string
	// Event is a CloudEvent 1.0 in JSON.
	Event []byte
	// Time is when it was written; Next, when it is tried next.
	Time, Next time.Time
	// Attempts are those that failed so far, and Problem is why the last one did, in
	// words for whoever may see the notification.
	Attempts int
	Problem  string
	// Failed is when it was given up; zero while it waits.
	Failed time.Time
}

// Lane is the receiver: notifications of one lane go out one after another.
func (n *Notification) Lane() string { return string(n.Channel) + " " + n.To }

// Query asks for notifications, the oldest first.
type Query struct {
	// Team and Organisation narrow the list where they are set.
	Team, Organisation string
	// Failed wants those that were given up only.
	Failed bool
	// After is the id behind which the page begins; "" for the first page.
	After string
	// Limit is how many there may be at most.
	Limit int
}

// Reader is the outbox as it is.
type Reader interface {
	// Notifications returns a page of them, and whether there are more.
	Notifications(Query) (page []Notification, more bool, err error)
	// DueNotifications returns of each receiver the oldest one that waits, where it is
	// due, at most limit, those first that have been due for longest.
	DueNotifications(now time.Time, limit int) ([]Notification, error)
}

// Writer is a Reader that may change what it sees.
type Writer interface {
	Reader
	// AddNotification puts one behind all others. Where too many wait for its receiver,
	// the oldest of those is removed.
	AddNotification(Notification) error
	// PutAttempt writes down Attempts, Problem, Next and Failed of one that is there.
	PutAttempt(Notification) error
	// RemoveNotification removes one; it is no error when it is not there.
	RemoveNotification(id string) error
	// SweepNotifications removes those that were given up before a moment.
	SweepNotifications(before time.Time) error
}

// Data is what an event says: a line and a text for people, and the same for programs.
type Data struct {
	Title string `json:"title"`
	Text  string `json:"text"`
	// Team is the one that is told.
	Team string `json:"team"`
	// Kind, Name and Environment are of the document that it is about, and State is the
	// one that it has come into.
	Kind        string `json:"kind,omitzero"`
	Name        string `json:"name,omitzero"`
	Environment string `json:"environment,omitzero"`
	State       string `json:"state,omitzero"`
	// By is who did it, and Message what they said.
	By      string `json:"by,omitzero"`
	Message string `json:"message,omitzero"`
	// Until is when it is over or takes effect.
	Until time.Time `json:"until,omitzero"`
	// Application, Product, Plan, Successor and Applications are names of documents that
	// it concerns.
	Application  string   `json:"application,omitzero"`
	Product      string   `json:"product,omitzero"`
	Plan         string   `json:"plan,omitzero"`
	Successor    string   `json:"successor,omitzero"`
	Applications []string `json:"applications,omitzero"`
}

// event is a CloudEvent 1.0 in JSON.
type event struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitzero"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        Data      `json:"data"`
}

// maxText bounds what people wrote, in an event.
const maxText = 2000

// Event returns an event of a source, as audit.Source makes it.
func Event(source, id, kind string, at time.Time, d Data) ([]byte, error) {
	d.Message, d.Text = clip(d.Message), clip(d.Text)
	e := event{SpecVersion: "1.0", ID: id, Source: source, Type: kind, Time: at.UTC(), ContentType: "application/json", Data: d}
	if d.Kind != "" {
		e.Subject = d.Kind + "/" + d.Name
	}
	var b bytes.Buffer
	c := json.NewEncoder(&b)
	c.SetEscapeHTML(false)
	if err := c.Encode(e); err != nil {
		return nil, fmt.Errorf("write an event: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Read returns what an event says.
func Read(text []byte) (Data, error) {
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		return Data{}, fmt.Errorf("read an event: %w", err)
	}
	return e.Data, nil
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
