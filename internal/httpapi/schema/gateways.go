package schema

import "time"

// Standing is how a gateway stands to its control plane.
type Standing struct {
	// Joined is when it joined.
	Joined *time.Time `json:"joined,omitempty"`
	// Connected says that it is here now; Since is since when it is or is not.
	Connected bool       `json:"connected"`
	Since     *time.Time `json:"since,omitempty"`
	// Heard is when it last told of itself; what follows is of then.
	Heard *time.Time `json:"heard,omitempty"`
	// InForce is the number of the state that is in force there, Current that of the
	// newest one, and Behind says that they differ.
	InForce string `json:"inForce,omitempty"`
	Current string `json:"current,omitempty"`
	Behind  bool   `json:"behind,omitempty"`
	// Refused is why the gateway does not take the newest state.
	Refused string `json:"refused,omitempty"`
	// Withheld counts topics that are withheld since the control plane was away too long.
	Withheld int `json:"withheld,omitempty"`
	// Dropped counts rejections since its start that the control plane was not told of.
	Dropped uint64 `json:"dropped,omitempty"`
	// Clusters are target clusters that it cannot use, with why.
	Clusters    map[string]string `json:"clusters,omitempty"`
	Release     string            `json:"release,omitempty"`
	Started     *time.Time        `json:"started,omitempty"`
	Connections int               `json:"connections,omitempty"`
}

// Joining is what a gateway joins with.
type Joining struct {
	Gateway string `json:"gateway"`
	// Token works once. It is shown this once and kept nowhere.
	Token string `json:"token,omitempty"`
	// Control is host:port of the control plane for gateways.
	Control string    `json:"control,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}
