package schema

import (
	"encoding/json"
	"time"
)

// Brownout is a window of time, To excluded, in which a version falls silent.
type Brownout struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Revision is an immutable state of a version.
type Revision struct {
	N int `json:"n"`
	// Hash is of contract and mapping, SHA-256 in hex.
	Hash    string    `json:"hash"`
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
	// Environments have it now.
	Environments []string `json:"environments,omitempty"`
	// Spec is what it says; left out in lists.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// Revisions are those of a version, the oldest first.
type Revisions struct {
	Items []Revision `json:"items"`
}

// Deployed is what became of a revision in an environment.
type Deployed struct {
	Environment string `json:"environment"`
	Revision    int    `json:"revision"`
	// Was is the revision that it replaced, 0 for none.
	Was int `json:"was,omitempty"`
	// Waits says that a second person has to approve it first.
	Waits  bool    `json:"waits,omitempty"`
	Waiver *Waiver `json:"waiver,omitempty"`
}

// Waiver is why something that breaks somebody was deployed all the same.
type Waiver struct {
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
	// Broken are the rules, each with the channel and who breaks.
	Broken []string `json:"broken,omitempty"`
}

// Deployments are where a version is, in the order of promotion.
type Deployments struct {
	// Newest is the newest revision.
	Newest int          `json:"newest"`
	Items  []Deployment `json:"items"`
}

// Deployment is what an environment has of a version.
type Deployment struct {
	Environment string `json:"environment"`
	// After is the environment that it is promoted from.
	After string `json:"after,omitempty"`
	// FourEyes says that a second person has to approve.
	FourEyes bool `json:"fourEyes,omitempty"`
	// Revision is 0 where it has none.
	Revision   int        `json:"revision"`
	Time       *time.Time `json:"time,omitempty"`
	By         string     `json:"by,omitempty"`
	ApprovedBy string     `json:"approvedBy,omitempty"`
	Waiver     *Waiver    `json:"waiver,omitempty"`
	// Had are the revisions that led here, this one last: a rollback goes back in it.
	Had []int `json:"had,omitempty"`
	// Waiting is what a second person has to look at.
	Waiting *Waiting `json:"waiting,omitempty"`
}

// Waiting is a revision that waits for a second person.
type Waiting struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	From     string    `json:"from,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	// Waive is why it is to be deployed although somebody breaks.
	Waive string `json:"waive,omitempty"`
}

// Promote asks for a revision in the next environment.
type Promote struct {
	// To gets it. From is the one before it, which is the default.
	To   string `json:"to"`
	From string `json:"from,omitempty"`
	// Revision is another one than what From has now.
	Revision int `json:"revision,omitempty" minimum:"0"`
	// Waive is the reason for deploying what breaks somebody.
	Waive  string `json:"waive,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Rollback asks for an earlier revision in an environment.
type Rollback struct {
	Environment string `json:"environment"`
	// To is the revision; the one before the current one by default.
	To     int    `json:"to,omitempty" minimum:"0"`
	Reason string `json:"reason,omitempty"`
}

// DeployReport says what became of it.
type DeployReport struct {
	Deployed
	// Serial is the version's now.
	Serial   int64   `json:"serial"`
	Warnings []Fault `json:"warnings,omitempty"`
	Request  string  `json:"request"`
	DryRun   bool    `json:"dryRun,omitempty"`
}

// Comparison is what differs between two revisions.
type Comparison struct {
	From        int          `json:"from"`
	To          int          `json:"to"`
	Differences []Difference `json:"differences"`
	Findings    []Finding    `json:"findings"`
}

// Finding is something that clients notice.
type Finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity" enum:"info,warning,error"`
	Channel  string `json:"channel,omitempty"`
	// Who are readers, writers or both.
	Who     []string `json:"who,omitempty"`
	Message string   `json:"message"`
	Fix     string   `json:"fix,omitempty"`
	// Line is that of the AsyncAPI document.
	Line int `json:"line,omitempty"`
	// Subscriptions are live and concerned. Others counts those that you may not see.
	Subscriptions []string `json:"subscriptions,omitempty"`
	Others        int      `json:"others,omitempty"`
}
