package schema

import "time"

// Notifications are those that wait, or were given up, the oldest first.
type Notifications struct {
	Items []Notification `json:"items"`
	// Next is what after is for the page behind; left out at the end.
	Next string `json:"next,omitempty"`
}

// Notification is one message to one receiver that has not arrived.
type Notification struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Channel string `json:"channel" enum:"webhook,email"`
	// To is an e-mail address; of a webhook, the team.
	To           string `json:"to"`
	Team         string `json:"team"`
	Organisation string `json:"organisation,omitempty"`
	// Title is what it says, in a line.
	Title string    `json:"title"`
	Time  time.Time `json:"time"`
	// Attempts are those that failed, Problem is why the last one did.
	Attempts int    `json:"attempts"`
	Problem  string `json:"problem,omitempty"`
	// Next is when it is tried next, Failed when it was given up.
	Next   *time.Time `json:"next,omitempty"`
	Failed *time.Time `json:"failed,omitempty"`
}

// NotificationTest is how a test went.
type NotificationTest struct {
	Items []TestedReceiver `json:"items"`
}

// TestedReceiver is one place where a team is told.
type TestedReceiver struct {
	Channel string `json:"channel" enum:"webhook,email"`
	To      string `json:"to"`
	// Problem is why it did not arrive; left out when it did.
	Problem string `json:"problem,omitempty"`
}

// WebhookSecret is what notifications to a webhook are signed with.
type WebhookSecret struct {
	Team string `json:"team"`
	// Secret is shown this once; left out by a dry run.
	Secret string `json:"secret,omitempty"`
	// PreviousUntil is until when they are signed with the one before as well.
	PreviousUntil time.Time `json:"previousUntil"`
}
