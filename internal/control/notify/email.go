package notify

import (
	"context"
	"strings"
)

// Mailer is what e-mails need of a mailer.Mailer.
type Mailer interface {
	Send(ctx context.Context, id, to, subject, text string) error
}

// Emails returns what delivers notifications as plain text by a Mailer.
func Emails(m Mailer) Deliver {
	return func(ctx context.Context, n Notification) error {
		d, err := Read(n.Event)
		if err != nil {
			return err
		}
		return m.Send(ctx, n.ID, n.To, "[Sluice] "+d.Title, d.email())
	}
}

// email is the text of an event's e-mail.
func (d Data) email() string {
	var b strings.Builder
	b.WriteString(d.Title + ".\n\n" + d.Text + "\n\n")
	for _, field := range []struct{ name, value string }{{"Environment", d.Environment}, {"Application", d.Application}, {"Product", d.Product}, {"Plan", d.Plan}} {
		if field.value != "" {
			b.WriteString(field.name + ": " + field.value + "\n")
		}
	}
	b.WriteString("\n--\nThis is for team " + d.Team + ". Where it is told is in its document, under spec.notify.\n")
	return b.String()
}
