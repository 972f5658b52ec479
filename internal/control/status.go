package control

import "time"

// Status is what the server knows of a document besides its spec.
type Status struct {
	// Since is when the document came into its state, By who brought it there.
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitzero"`
	// Warned is when the owners were last told that a credential will end.
	Warned time.Time `json:"warned,omitzero"`
	// Trail is how it came there, the oldest step first; the audit log has all of it.
	Trail []Step `json:"trail,omitzero"`
	// Revision is the newest of a version.
	Revision int `json:"revision,omitzero"`
	// Deployments of a version, by environment.
	Deployments map[string]Deployment `json:"deployments,omitzero"`
	// Joined is who a gateway is, once it has joined.
	Joined Joined `json:"joined,omitzero"`
}

// Joined is what a gateway has proved when it joined.
type Joined struct {
	// Key is what its key is known by: the SHA-256 of the public key, in hexadecimal
	// digits.
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
}

// Step is a move from one state to another.
type Step struct {
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Person  string    `json:"person,omitzero"` // the login name behind By
	Action  string    `json:"action"`
	From    string    `json:"from,omitzero"`
	To      string    `json:"to"`
	Message string    `json:"message,omitzero"`
}

// Deployment says which revision of a version an environment has.
type Deployment struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
}
