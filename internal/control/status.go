package control

import (
	"time"

	"sluice/internal/resource"
)

// Status is what the server knows of a document besides its spec.
type Status struct {
	// Since is when the document came into its state, By who brought it there.
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitzero"`
	// Warned is when the owners were last told that a credential will end, or those who use
	// a version that it does, or that its dates are others.
	Warned time.Time `json:"warned,omitzero"`
	// Trail is how it came there, the oldest step first; the audit log has all of it.
	Trail []Step `json:"trail,omitzero"`
	// Revision is the newest of a version: the one that its document is of. It is 0 for
	// a version that was written before there were revisions and has not changed since;
	// such a one is in force everywhere as its document says.
	Revision int `json:"revision,omitzero"`
	// Deployments of a version, by environment. Where it has none, it offers nothing.
	Deployments map[string]Deployment `json:"deployments,omitzero"`
	// Proposals are deployments that wait for a second person, by environment.
	Proposals map[string]Proposal `json:"proposals,omitzero"`
	// Thread is what was said about a subscription, the oldest first.
	Thread []Message `json:"thread,omitzero"`
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
	// Revision of a version, and the Environment that it was deployed to, or asked for.
	Revision    int    `json:"revision,omitzero"`
	Environment string `json:"environment,omitzero"`
}

// Deployment says which revision of a version an environment has.
type Deployment struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Person   string    `json:"person,omitzero"`
	// From is the environment that it was promoted from; empty at the beginning of the
	// order.
	From string `json:"from,omitzero"`
	// ApprovedBy is the login name of the second person, where there was one.
	ApprovedBy string `json:"approvedBy,omitzero"`
	// Waiver says why it was deployed although somebody breaks.
	Waiver *Waiver `json:"waiver,omitzero"`
	// Offer is what the revision says; nil when it is the newest one, of which the
	// document is.
	Offer *resource.Offer `json:"offer,omitzero"`
	// Had are the revisions that led here, the oldest first and this one last: a rollback
	// goes back in it.
	Had []int `json:"had,omitzero"`
	// Against are all revisions that the environment has had since somebody last waived
	// a break: what a transitive check compares with.
	Against []int `json:"against,omitzero"`
}

// Waiver is why something that breaks was deployed all the same.
type Waiver struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	// Broken are the rules, each with the channel and who breaks.
	Broken []string `json:"broken,omitzero"`
}

// Proposal is a deployment that waits for a second person.
type Proposal struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Person   string    `json:"person,omitzero"`
	From     string    `json:"from,omitzero"`
	Reason   string    `json:"reason,omitzero"`
	// Waive is the reason for deploying what breaks; empty for none.
	Waive string `json:"waive,omitzero"`
}

// offered is the record's document as environments have it.
func (r *Record) offered() resource.Any {
	v, ok := r.Document.(*resource.Version)
	if !ok || r.Status.Revision == 0 {
		return r.Document
	}
	offers := make(map[string]resource.Offer, len(r.Status.Deployments))
	for environment, d := range r.Status.Deployments {
		offers[environment] = d.offer(v)
	}
	return resource.Deployed(v, offers)
}

// offer is what an environment has; v is the version's document.
func (d Deployment) offer(v *resource.Version) resource.Offer {
	if d.Offer != nil {
		return *d.Offer
	}
	return v.Spec.Offer()
}
