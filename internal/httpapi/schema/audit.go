package schema

import (
	"encoding/json"
	"time"
)

// AuditRow is one thing that somebody did, or was refused.
type AuditRow struct {
	// Seq numbers the rows of the log, from 1 on.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	// Actor is who, as "person ada", "token ci-shop" or "system"; Action what.
	Actor  string `json:"actor"`
	Action string `json:"action"`
	// Kind and Name are of what it was done to, Organisation and Team own that.
	Kind         string `json:"kind,omitempty"`
	Name         string `json:"name,omitempty"`
	Organisation string `json:"organisation,omitempty"`
	Team         string `json:"team,omitempty"`
	// Result is ok, or the kind of fault it ended in.
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
	// Request is the id of the request, Address where it came from.
	Request string `json:"request,omitempty"`
	Address string `json:"address,omitempty"`
	// Details are fields before and after. Secrets are never in it.
	Details json.RawMessage `json:"details,omitempty"`
	// Hash is the row's in the chain, hex.
	Hash string `json:"hash"`
}

// AuditPage is a part of the audit log, the newest rows first.
type AuditPage struct {
	Items []AuditRow `json:"items"`
	// Next is what to ask for as before for what follows; left out at the end.
	Next int64 `json:"next,omitempty"`
}

// AuditKey is what heads of the audit log are verified with.
type AuditKey struct {
	// Log is the id of the log, Key the id of the key.
	Log string `json:"log"`
	Key string `json:"key"`
	// PEM is the public key.
	PEM string `json:"pem"`
}
