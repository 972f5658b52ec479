package schema

import "time"

// Say is a message about a subscription.
type Say struct {
	Text string `json:"text" minLength:"1" maxLength:"4000"`
	// Internal keeps it on the provider's side.
	Internal bool `json:"internal,omitempty"`
}

// Thread is what was said and done about a subscription, the oldest first.
type Thread struct {
	Items []Message `json:"items"`
}

// Message is a line of a thread.
type Message struct {
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`
	// Action is what was done, as approve; left out for a message.
	Action   string `json:"action,omitempty"`
	Internal bool   `json:"internal,omitempty"`
	Text     string `json:"text,omitempty"`
}

// Inbox is what waits for whoever asks, what waits longest first.
type Inbox struct {
	Items []InboxItem `json:"items"`
	// More says that there is more than this.
	More bool `json:"more,omitempty"`
}

// InboxItem is something that waits.
type InboxItem struct {
	// What is to be done: decide, answer, move to another version, renew a credential,
	// or look at notifications that did not arrive.
	What        string `json:"what" enum:"decide,answer,move,renew,look"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	Environment string `json:"environment,omitempty"`
	// Plan is what a subscription asks for that is to be decided about.
	Plan string `json:"plan,omitempty"`
	// Revision is the one of a version that is to be decided about.
	Revision int    `json:"revision,omitempty"`
	About    string `json:"about"`
	// By is who asked, and Since when.
	By      string    `json:"by,omitempty"`
	Since   time.Time `json:"since"`
	Message string    `json:"message,omitempty"`
	// Until is when it is over.
	Until *time.Time `json:"until,omitempty"`
}
