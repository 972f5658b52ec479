package grant

import (
	"encoding/hex"
	"fmt"
	"time"
)

// TopicID is a topic id as Kafka writes it: 16 bytes (KIP-516). The zero
// value means "no id".
type TopicID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the id as 32 hexadecimal digits.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *TopicID) UnmarshalText(text []byte) error {
	if len(text) != 32 {
		return fmt.Errorf("topic id %q: want 32 hexadecimal digits", text)
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// State says how a topic stands for an application, apart from its rights.
type State uint8

const (
	// Refused is a topic the application never had, or no longer remembers:
	// it looks like a name that does not exist.
	Refused State = iota
	// Open is an active subscription to a version that runs.
	Open
	// BrownOut withholds reads and slows writes, ahead of a sunset.
	BrownOut
	// Suspended withholds reads and refuses writes until somebody resumes it.
	Suspended
	// Ended is a topic the application had: it vanishes from listings, and
	// running clients notice nothing but silence.
	Ended
)

var stateNames = [...]string{"refused", "open", "brown-out", "suspended", "ended"}

func (s State) String() string { return name(stateNames[:], uint8(s)) }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the state's name.
func (s *State) UnmarshalText(text []byte) error { return parse(stateNames[:], (*uint8)(s), text) }

// Access says whether a right exists, or existed.
type Access uint8

const (
	// Never: the right was missing from the start.
	Never Access = iota
	// Granted: the right is there.
	Granted
	// Withdrawn: a right that running clients had was taken away.
	Withdrawn
)

var accessNames = [...]string{"never", "granted", "withdrawn"}

func (a Access) String() string { return name(accessNames[:], uint8(a)) }

// MarshalText writes the access's name.
func (a Access) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the access's name.
func (a *Access) UnmarshalText(text []byte) error { return parse(accessNames[:], (*uint8)(a), text) }

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

func parse(names []string, to *uint8, text []byte) error {
	for i, n := range names {
		if n == string(text) {
			*to = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of %v", text, names)
}

// Right is one right on one topic.
type Right struct {
	Access Access `json:"access"`
	// Until ends the memory of a withdrawn right: from then on it counts as
	// Never. Zero means no end.
	Until time.Time `json:"until,omitzero"`
	// Rule names what took the right away, for logs and the operator.
	Rule string `json:"rule,omitempty"`
}

// Phase is the state of a topic from one moment until the next phase begins.
type Phase struct {
	From  time.Time `json:"from,omitzero"`
	State State     `json:"state"`
	// Rule names what decided, as an operator would look it up:
	// "subscription acme-orders: suspended".
	Rule string `json:"rule,omitempty"`
	// Message is fit for the customer.
	Message string `json:"message,omitempty"`
}

// Topic is one exposed topic of one grant: what clients see, where it really
// is, and how it stands over time. A Topic is immutable once its Snapshot is
// built.
type Topic struct {
	Exposed string `json:"exposed"`
	Backing string `json:"backing"`
	// ID is the virtual topic id. It belongs to the exposed topic for life:
	// revisions and failovers do not change it.
	ID TopicID `json:"id"`
	// Subscription brought the topic here; the key under which it is metered.
	Subscription string `json:"subscription,omitempty"`
	Read         Right  `json:"read"`
	Write        Right  `json:"write"`
	// DeleteRecords and AlterConfigs let the application administer the topic,
	// which everybody who has it notices. They are not remembered once taken
	// away: no running client depends on them as on reading and writing.
	DeleteRecords bool `json:"deleteRecords,omitempty"`
	AlterConfigs  bool `json:"alterConfigs,omitempty"`
	// MaxStaleness is how long the topic may be served without word from the control
	// plane, see [Snapshot.Stale]; 0 means without limit.
	MaxStaleness time.Duration `json:"maxStaleness,omitempty"`
	// Phases are ordered by From; before the first one the topic is Refused.
	Phases []Phase `json:"phases"`
}

// At returns the phase that holds at a moment.
func (t *Topic) At(now time.Time) Phase {
	current := Phase{State: Refused}
	for _, p := range t.Phases {
		if p.From.After(now) {
			break
		}
		current = p
	}
	return current
}

// NextChange returns the first moment after now at which a decision about the
// topic may change by itself, or the zero time.
func (t *Topic) NextChange(now time.Time) time.Time {
	var next time.Time
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, p := range t.Phases {
		consider(p.From)
	}
	for _, r := range []Right{t.Read, t.Write} {
		if r.Access == Withdrawn {
			consider(r.Until)
		}
	}
	return next
}

// Operation is what a client wants to do with a topic.
type Operation uint8

const (
	// Describe covers explicit metadata, offsets and group bookkeeping.
	Describe Operation = iota
	// Read covers Fetch.
	Read
	// Write covers Produce and transactions.
	Write
	// List covers listings and regular expressions.
	List
	// DeleteRecords removes records before an offset, for everybody.
	DeleteRecords
	// AlterConfigs changes the configuration of a topic, for everybody.
	AlterConfigs
)

func (o Operation) String() string {
	return name([]string{"describe", "read", "write", "list", "delete records", "alter configs"}, uint8(o))
}

// Verdict says what a handler does with a topic for one operation.
type Verdict uint8

const (
	// Unknown answers as for a name that does not exist:
	// TOPIC_AUTHORIZATION_FAILED by name, UNKNOWN_TOPIC_ID by id, absent from
	// listings.
	Unknown Verdict = iota
	// Allow passes.
	Allow
	// AllowSlowly passes a write, announces a throttle and mutes the
	// connection, both at most one second.
	AllowSlowly
	// Withhold answers a read with silence: no error and no records.
	Withhold
	// RefusePolicy answers a write with POLICY_VIOLATION and a message.
	RefusePolicy
	// RefuseRight answers TOPIC_AUTHORIZATION_FAILED: the topic is there, the
	// right never was.
	RefuseRight
	// Absent leaves the topic out of a listing; an explicit name is answered.
	Absent
)

func (v Verdict) String() string {
	return name([]string{"unknown", "allow", "allow slowly", "withhold", "refuse by policy", "refuse for lack of right", "absent"}, uint8(v))
}

// Decision is a verdict and what led to it.
type Decision struct {
	Verdict Verdict
	Rule    string
	Message string
}

// Decide is the table of the design's §2.1, "many subscriptions on one
// connection": what an operation on the topic gets at a moment.
func (t *Topic) Decide(op Operation, now time.Time) Decision {
	phase := t.At(now)
	d := Decision{Rule: phase.Rule, Message: phase.Message}
	if phase.State == Refused {
		d.Verdict = Unknown
		return d
	}
	switch op {
	case Describe:
		d.Verdict = Allow
		return d
	case List:
		d.Verdict = Allow
		if phase.State == Ended {
			d.Verdict = Absent
		}
		return d
	case DeleteRecords, AlterConfigs:
		switch {
		case op == DeleteRecords && !t.DeleteRecords || op == AlterConfigs && !t.AlterConfigs:
			d.Verdict, d.Rule = RefuseRight, "no right to "+op.String()
		case phase.State == Open || phase.State == BrownOut:
			d.Verdict = Allow
		default:
			d.Verdict = RefusePolicy
		}
		return d
	}

	right := t.Read
	if op == Write {
		right = t.Write
	}
	if right.Access == Withdrawn && !right.Until.IsZero() && !now.Before(right.Until) {
		right.Access = Never
	}
	if right.Access == Never {
		d.Verdict = RefuseRight
		d.Rule = "no right to " + op.String()
		return d
	}
	if right.Access == Withdrawn && (phase.State == Open || phase.State == BrownOut) {
		d.Rule = right.Rule
		d.Message = "the right to " + op.String() + " this topic was withdrawn"
		phase.State = Suspended
	}
	switch {
	case phase.State == Open:
		d.Verdict = Allow
	case op == Read:
		d.Verdict = Withhold
	case phase.State == BrownOut:
		d.Verdict = AllowSlowly
	default:
		d.Verdict = RefusePolicy
	}
	return d
}
