// Package audit says who changed what: rows that are written together with the
// change they tell of, each holding a hash of the one before, so that nothing can be
// altered, left out or added later without it being found; heads, which sign how far
// the chain has come, so that nobody without the key writes another one or cuts its
// end off; and what finds and names all of that in a file, offline. Its main types
// are Row and Head. It knows neither SQL nor what a change means.
package audit

import (
	"encoding/json"
	"time"
)

// Row is one thing that somebody did, or was refused.
type Row struct {
	// Seq numbers the rows, from 1 on, without gaps.
	Seq int64 `json:"seq"`
	// Time is when, in UTC and whole microseconds. It is not promised to grow from row
	// to row: clocks are set.
	Time time.Time `json:"time"`
	// Actor is who, as "person ada", "token ci-shop" or "system".
	Actor string `json:"actor"`
	// Action is what, as "apply", "approve" or "login".
	Action string `json:"action"`
	// Kind and Name are of the document it was done to; empty where there is none.
	Kind string `json:"kind,omitzero"`
	Name string `json:"name,omitzero"`
	// Organisation and Team own the document.
	Organisation string `json:"organisation,omitzero"`
	Team         string `json:"team,omitzero"`
	// Result is "ok", or the kind of fault it ended in.
	Result string `json:"result"`
	// Reason is what the actor gave.
	Reason string `json:"reason,omitzero"`
	// Request is the id of the request, which its answer and the log carry too.
	Request string `json:"request,omitzero"`
	// Address is where the request came from.
	Address string `json:"address,omitzero"`
	// Details are fields before and after, as a JSON object. Secrets are never in it.
	Details json.RawMessage `json:"details,omitzero"`
	// Previous is the hash of the row before, hex; 64 zeros in the first one.
	Previous string `json:"previous"`
	// Hash is the SHA-256 of everything above, hex: of the row's JSON as Text
	// returns it.
	Hash string `json:"hash"`

	text string // as it was written; what Hash is of
}

// Query asks for rows. What is set narrows it.
type Query struct {
	Actor, Action, Kind, Name, Organisation, Team string
	// From and To are moments, To excluded.
	From, To time.Time
	// Before is the number below which the page begins, 0 for the newest rows.
	Before int64
	// Limit is how many there may be at most; 0 means all.
	Limit int
}

// Reader reads the rows of a store.
type Reader interface {
	// AuditRows returns rows, the newest first, and whether there are more behind them.
	AuditRows(Query) (page []Row, more bool, err error)
	// AuditFrom calls f for each row from a number on, the oldest first.
	AuditFrom(seq int64, f func(Row) error) error
	// AuditHeads calls f for each head of a row from that number on, the oldest first.
	AuditHeads(seq int64, f func(Head) error) error
}

// Writer adds rows to a store.
type Writer interface {
	// AppendAudit numbers a row, chains it to the one before and writes it. It returns
	// the row as it was written.
	AppendAudit(Row) (Row, error)
	// AppendHead adds a head.
	AppendHead(Head) error
}

// Log is a store's log, to be read and added to.
type Log interface {
	Reader
	Writer
}
