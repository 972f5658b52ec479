package schema

import "time"

// Effective is what an application has in an environment, and why.
type Effective struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
	// Suspended says that the application itself is.
	Suspended   bool                  `json:"suspended,omitempty"`
	Topics      []EffectiveTopic      `json:"topics"`
	Credentials []EffectiveCredential `json:"credentials"`
}

// EffectiveTopic is a topic that an application has.
type EffectiveTopic struct {
	// Topic is the name that clients see.
	Topic        string `json:"topic"`
	Subscription string `json:"subscription"`
	Product      string `json:"product"`
	Plan         string `json:"plan"`
	Version      string `json:"version"`
	Channel      string `json:"channel"`
	// Revision is the one of the version that the environment has.
	Revision int            `json:"revision,omitempty"`
	Read     EffectiveRight `json:"read"`
	Write    EffectiveRight `json:"write"`
	// Manage is what the plan gives besides.
	Manage []string `json:"manage,omitempty"`
	// Now is how the topic stands, Next what follows by itself.
	Now  Phase   `json:"now"`
	Next []Phase `json:"next,omitempty"`
	// Methods are those to log in by that the plan admits.
	Methods []string `json:"methods"`
	// Limits are the plan's; they are not enforced yet.
	Limits []Limit `json:"limits,omitempty"`
}

// EffectiveRight is whether a right is there, and where that comes from.
type EffectiveRight struct {
	Granted bool   `json:"granted"`
	Because string `json:"because"`
}

// Phase is how a topic stands from a moment on.
type Phase struct {
	From *time.Time `json:"from,omitempty"`
	// State is open, suspended, brown-out, ended or refused.
	State string `json:"state"`
	// Rule is what decides it.
	Rule string `json:"rule,omitempty"`
}

// Limit is a number that a plan holds a client to.
type Limit struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// From is the plan.
	From string `json:"from"`
}

// EffectiveCredential is what a credential sees of the topics.
type EffectiveCredential struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	State  string   `json:"state"`
	Topics []string `json:"topics"`
	// Not are topics that it does not see, each with why.
	Not map[string]string `json:"not,omitempty"`
}

// Rejection is why a gateway refused a client something.
type Rejection struct {
	// Number is greater than that of whatever the control plane was told before.
	Number      uint64    `json:"number"`
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	Application string    `json:"application,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Credential  string    `json:"credential,omitempty"`
	Gateway     string    `json:"gateway"`
	Address     string    `json:"address,omitempty"`
	// API is Kafka's, Operation what was wanted of What, by its Name.
	API       string `json:"api"`
	Operation string `json:"operation"`
	What      string `json:"what"`
	Name      string `json:"name"`
	Verdict   string `json:"verdict"`
	// Rule is what decided it.
	Rule string `json:"rule"`
	// Topic is what the application has by that name now.
	Topic *EffectiveTopic `json:"topic,omitempty"`
}

// Rejections are what gateways refused an application lately, the newest first.
type Rejections struct {
	Items []Rejection `json:"items"`
	// Next is what to ask for as before for what follows; left out at the end.
	Next uint64 `json:"next,omitempty"`
}

// WhoIs says whose a name on a target cluster is.
type WhoIs struct {
	Items []Physical `json:"items"`
}

// Physical is whom a name on a target cluster belongs to.
type Physical struct {
	Application string `json:"application"`
	// Environment is left out where the name is adopted in all.
	Environment string `json:"environment,omitempty"`
	// Name is what the application calls it.
	Name string `json:"name"`
	// Adopted says that it is used as it is.
	Adopted bool `json:"adopted,omitempty"`
}
