// Package schema has the bodies of the management API, for the server and for its
// client. Documents themselves are those of sluice/v1. It knows nothing of either.
package schema

import (
	"encoding/json"
	"time"
)

// Document is a document of sluice/v1, and what the server knows of it besides.
type Document struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	Spec       json.RawMessage `json:"spec"`
	Status     *Status         `json:"status,omitempty"`
}

// Status is what the server knows of a document. It is not part of what is written.
type Status struct {
	// Serial counts the changes of the document, from 1 on. ETag is what If-Match takes; it
	// never repeats.
	Serial int64  `json:"serial"`
	ETag   string `json:"etag"`
	// Organisation and Team own the document.
	Organisation string `json:"organisation,omitempty"`
	Team         string `json:"team,omitempty"`
	// Owner is what applies it from files.
	Owner   string    `json:"owner,omitempty"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	// Since is when the document came into its state, By who brought it there.
	Since *time.Time `json:"since,omitempty"`
	By    string     `json:"by,omitempty"`
	// Trail is how it came there, the oldest step first.
	Trail []Step `json:"trail,omitempty"`
	// Actions are what whoever asks could do with it now.
	Actions []string `json:"actions,omitempty"`
	// Secrets are the newest of a credential, the newest first, when one is asked for.
	Secrets []Secret `json:"secrets,omitempty"`
	// Gateway is how a gateway stands.
	Gateway *Standing `json:"gateway,omitempty"`
}

// Step is a move from one state to another.
type Step struct {
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Action  string    `json:"action"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to"`
	Message string    `json:"message,omitempty"`
}

// Page is a part of a list.
type Page struct {
	Items []Document `json:"items"`
	// Next is what to ask for as after for what follows; empty at the end.
	Next string `json:"next,omitempty"`
}

// Apply is what somebody wants to be there: all of it, or nothing of it.
type Apply struct {
	// Documents are to be there as they are; those that are not named stay.
	Documents []json.RawMessage `json:"documents"`
	// Secrets are those of credentials, by name.
	Secrets map[string]string `json:"secrets,omitempty"`
	// Owner marks the documents as applied by it, such as a repository and a path.
	Owner string `json:"owner,omitempty"`
	// Prune removes documents of the owner that are not named.
	Prune bool `json:"prune,omitempty"`
	// Reason is for the audit log, and for moves that want one.
	Reason string `json:"reason,omitempty"`
	// Waive is the reason for deploying what breaks somebody, which is refused without.
	Waive string `json:"waive,omitempty"`
	// AsIs takes over what another installation has exported, states included. It is for
	// platform-admins, and for documents that are not there.
	AsIs bool `json:"asIs,omitempty"`
	// Tags are the ETags that documents must have, by kind and name, as API/orders; an
	// empty one says that there must be none. Those that are not named may have any.
	Tags map[string]string `json:"tags,omitempty"`
}

// Report says what became of documents.
type Report struct {
	Outcomes []Outcome `json:"outcomes"`
	// Warnings stop nothing.
	Warnings []Fault `json:"warnings,omitempty"`
	// Request is the id that answer, log and audit log have in common.
	Request string `json:"request"`
	// DryRun says that nothing was changed.
	DryRun bool `json:"dryRun,omitempty"`
}

// Outcome is what became of one document.
type Outcome struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Result is created, changed, unchanged or removed.
	Result string `json:"result" enum:"created,changed,unchanged,removed"`
	// Serial and ETag are the document's now; Was is the ETag that it had, left out where
	// there was none.
	Serial int64  `json:"serial,omitempty"`
	ETag   string `json:"etag,omitempty"`
	Was    string `json:"was,omitempty"`
	// State is the document's, where it has one.
	State string `json:"state,omitempty"`
	// Revision is the one that was made of a version, Deployed where it went.
	Revision int        `json:"revision,omitempty"`
	Deployed []Deployed `json:"deployed,omitempty"`
	// Differences are the fields that changed.
	Differences []Difference `json:"differences,omitempty"`
	// Secret is that of a new credential. It is shown this once and kept nowhere.
	Secret string `json:"secret,omitempty"`
	// WaitsFor is the team that decides about a subscription that waits.
	WaitsFor string `json:"waitsFor,omitempty"`
	// Client is how a Kafka client logs in with a new credential.
	Client *Client `json:"client,omitempty"`
}

// Difference is one field before and after; left out where it was or is not there.
type Difference struct {
	Path   string `json:"path"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// Move is what a move of a life cycle may need.
type Move struct {
	// Reason is for the audit log and for whom it concerns; some moves want one.
	Reason string `json:"reason,omitempty"`
	// Sunset, Grace and Successor are for deprecating a version.
	Sunset    *time.Time `json:"sunset,omitempty"`
	Grace     string     `json:"grace,omitempty" doc:"As 72h."`
	Successor string     `json:"successor,omitempty"`
	// Brownouts are windows before the sunset in which the version falls silent.
	Brownouts []Brownout `json:"brownouts,omitempty"`
	// Environment is where a revision waits that is approved or rejected; needed where
	// several do.
	Environment string `json:"environment,omitempty"`
	// Revision is the one that is approved or rejected; refused when another one waits by
	// now. Approving a version takes it, or If-Match.
	Revision int `json:"revision,omitempty" minimum:"0"`
	// Plan is the one that is approved of a subscription; refused when it asks for another by
	// now.
	Plan string `json:"plan,omitempty"`
	// Until is when a credential that retires ends.
	Until *time.Time `json:"until,omitempty"`
}

// Fault is one thing that is wrong with a document.
type Fault struct {
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Path is the field, as spec.plans.free.auth[1].
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Fix says what to do.
	Fix string `json:"fix,omitempty"`
}

// CodeNeeded is the type of the problem of a login that lacks the code of the second
// factor only.
const CodeNeeded = "urn:sluice:problem:code-needed"

// Problem is an answer that is none (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what was wrong and what to do.
	Detail string `json:"detail"`
	// Instance is the id of the request.
	Instance string `json:"instance,omitempty"`
	// Faults are all that is wrong with documents.
	Faults []Fault `json:"faults,omitempty"`
}

// Error makes a Problem an error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status of the answer.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Change is one document that was written or removed.
type Change struct {
	Seq  int64  `json:"seq"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Serial is the document's, 0 when it was removed.
	Serial int64     `json:"serial"`
	Time   time.Time `json:"time"`
}

// Me is who asks.
type Me struct {
	Actor         string   `json:"actor"`
	PlatformAdmin bool     `json:"platformAdmin,omitempty"`
	Roles         []MyRole `json:"roles,omitempty"`
}

// MyRole is a role in a team, or in an organisation as a whole.
type MyRole struct {
	Role         string `json:"role"`
	Organisation string `json:"organisation"`
	Team         string `json:"team,omitempty"`
}

// Claim makes the first platform-admin.
type Claim struct {
	// Token is what the first start printed.
	Token    string `json:"token"`
	Login    string `json:"login"`
	Password string `json:"password"`
}

// Credentials prove a person.
type Credentials struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	// Code is of the second factor, where there is one.
	Code string `json:"code,omitempty"`
}

// Login is what somebody who logged in asks with.
type Login struct {
	// Token goes where API tokens go; left out for a browser, which has a cookie.
	Token   string    `json:"token,omitempty"`
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
	// Team is the one that was made for somebody who signed up.
	Team string `json:"team,omitempty"`
}

// SignUp makes an account.
type SignUp struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	// Title is the person's name, as people know it.
	Title string `json:"title,omitempty" maxLength:"128"`
}

// Person is somebody who is to have an account.
type Person struct {
	Login string `json:"login"`
	Title string `json:"title,omitempty"`
	Email string `json:"email,omitempty"`
}

// Invitation lets a person set a password.
type Invitation struct {
	Login   string    `json:"login"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// NewPassword sets a password with the token of an invitation.
type NewPassword struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

// NewToken asks for an API token.
type NewToken struct {
	Name string `json:"name"`
	// Life is how long it works, as 720h.
	Life string `json:"life,omitempty"`
	// Platform passes on platform-admin, Roles what they say of one's own; ReadOnly
	// takes everything away but reading.
	Platform bool     `json:"platform,omitempty"`
	Roles    []MyRole `json:"roles,omitempty"`
	ReadOnly bool     `json:"readOnly,omitempty"`
}

// Token is an API token.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Token is the token itself, when it is made and never again.
	Token    string     `json:"token,omitempty"`
	Created  time.Time  `json:"created"`
	Expires  time.Time  `json:"expires"`
	Used     *time.Time `json:"used,omitempty"`
	Platform bool       `json:"platform,omitempty"`
	Roles    []MyRole   `json:"roles,omitempty"`
	ReadOnly bool       `json:"readOnly,omitempty"`
}

// Tokens are those of one person.
type Tokens struct {
	Items []Token `json:"items"`
}
