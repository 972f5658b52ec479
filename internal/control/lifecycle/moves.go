package lifecycle

import (
	"strings"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// The states of versions, subscriptions and credentials.
const (
	New State = "" // not there yet

	Draft      State = "draft"
	Preview    State = "preview"
	Published  State = "published"
	Deprecated State = "deprecated"
	Retired    State = "retired"
	Blocked    State = "blocked"

	Pending   State = "pending"
	Active    State = "active" // of a subscription and of a credential
	Suspended State = "suspended"
	Closed    State = "closed"
	Rejected  State = "rejected"
	Expired   State = "expired" // of both, too

	Retiring State = "retiring"
	Revoked  State = "revoked"
)

// The actions.
const (
	Create Action = "create" // of a version and of a credential

	ToPreview   Action = "preview"
	Withdraw    Action = "withdraw" // a preview goes back to the drawing board
	Approve     Action = "approve"  // of a subscription; of a version: the second pair of eyes
	Publish     Action = "publish"
	Deprecate   Action = "deprecate"
	Undeprecate Action = "undeprecate"
	Retire      Action = "retire" // of a version and of a credential
	Republish   Action = "republish"
	Block       Action = "block"
	Unblock     Action = "unblock"

	Request Action = "request"
	Reject  Action = "reject" // of a subscription; of a version: a revision that waits
	Cancel  Action = "cancel"
	Suspend Action = "suspend"
	Resume  Action = "resume"
	Close   Action = "close"
	Expire  Action = "expire"

	Rotate Action = "rotate"
	Revoke Action = "revoke"
	// RevokePrevious ends the secret that is being replaced, and not the credential.
	RevokePrevious Action = "revoke-previous"
)

// moves is the table. Where several rows of an action hold for somebody, the first
// whose conditions are met counts; Path prefers what stands further up.
var moves = []Move{
	{resource.KindVersion, Create, in(New), Draft, "BO", nil},
	{resource.KindVersion, Publish, in(Draft, Preview), Published, "BO", []Need{NeedsApproval}},
	{resource.KindVersion, ToPreview, in(Draft), Preview, "BO", nil},
	{resource.KindVersion, Withdraw, in(Preview), Draft, "BO", nil},
	{resource.KindVersion, Approve, in(Draft, Preview, Published, Deprecated, Retired, Blocked), Same, "A", []Need{NeedsAnotherThanAsked}},
	{resource.KindVersion, Reject, in(Draft, Preview, Published, Deprecated, Retired, Blocked), Same, "A", []Need{NeedsReason}},
	{resource.KindVersion, Deprecate, in(Published), Deprecated, "BO", []Need{NeedsSunset, NeedsSuccessor}},
	{resource.KindVersion, Undeprecate, in(Deprecated), Published, "BO", nil},
	{resource.KindVersion, Retire, in(Deprecated), Retired, "S", []Need{AfterSunset}},
	{resource.KindVersion, Retire, in(Deprecated), Retired, "BO", []Need{NeedsReasonIfUsed}},
	{resource.KindVersion, Republish, in(Retired), Published, "BO", []Need{WithinUndo, NeedsApproval}},
	{resource.KindVersion, Block, in(Published, Deprecated, Preview), Blocked, "PO", []Need{NeedsReason}},
	{resource.KindVersion, Unblock, in(Blocked), Previous, "PO", nil},

	{resource.KindSubscription, Request, in(New), Pending, "D", nil},
	{resource.KindSubscription, Approve, in(Pending), Active, "S", []Need{Automatic}},
	{resource.KindSubscription, Approve, in(Pending), Active, "ABO", []Need{NeedsAnother}},
	{resource.KindSubscription, Reject, in(Pending), Rejected, "S", []Need{AfterWaiting}},
	{resource.KindSubscription, Reject, in(Pending), Rejected, "ABO", []Need{NeedsReason}},
	{resource.KindSubscription, Cancel, in(Pending), Closed, "D", nil},
	{resource.KindSubscription, Suspend, in(Active), Suspended, "S", []Need{WhenUnpaid}},
	{resource.KindSubscription, Suspend, in(Active), Suspended, "BOP", []Need{NeedsReason}},
	{resource.KindSubscription, Resume, in(Suspended), Active, "S", []Need{WhenPaid}},
	{resource.KindSubscription, Resume, in(Suspended), Active, "BOP", nil},
	{resource.KindSubscription, Close, in(Active, Suspended), Closed, "D", nil},
	{resource.KindSubscription, Close, in(Active, Suspended), Closed, "BO", []Need{NeedsReason}},
	{resource.KindSubscription, Expire, in(Active, Suspended), Expired, "S", []Need{AfterEnd}},

	{resource.KindCredential, Create, in(New), Active, "D", nil},
	{resource.KindCredential, Rotate, in(Active), Same, "D", nil},
	{resource.KindCredential, Retire, in(Active), Retiring, "D", []Need{NeedsUntil}},
	{resource.KindCredential, Revoke, in(Active, Retiring), Revoked, "D", nil},
	{resource.KindCredential, Revoke, in(Active, Retiring), Revoked, "P", []Need{NeedsReason}},
	{resource.KindCredential, RevokePrevious, in(Active, Retiring), Same, "D", nil},
	{resource.KindCredential, RevokePrevious, in(Active, Retiring), Same, "P", []Need{NeedsReason}},
	{resource.KindCredential, Expire, in(Active, Retiring), Expired, "S", []Need{AfterEnd}},
}

func in(states ...State) []State { return states }

// Need is a condition of a move.
type Need string

// The conditions.
const (
	// NeedsReason wants a reason.
	NeedsReason Need = "reason"
	// NeedsReasonIfUsed wants a reason before the sunset and its grace are over, and as
	// long as somebody pays for a subscription.
	NeedsReasonIfUsed Need = "reason if used"
	// NeedsSunset wants the time when the version ends, in the future.
	NeedsSunset Need = "sunset"
	// NeedsSuccessor wants the version to move to, or else a reason why there is none.
	NeedsSuccessor Need = "successor"
	// NeedsApproval wants an approver besides, somebody else, where the environment
	// wants four eyes.
	NeedsApproval Need = "approval by another"
	// NeedsAnother wants somebody else than who requested it, where the environment
	// wants four eyes.
	NeedsAnother Need = "another person"
	// NeedsAnotherThanAsked is the same for a revision that waits; where none does, anybody
	// may look first.
	NeedsAnotherThanAsked Need = "another person than who asked"
	// NeedsUntil wants the time when the credential ends, in the future.
	NeedsUntil Need = "until"
	// WithinUndo holds for as long as a retirement can be undone.
	WithinUndo Need = "within 30 days"
	// AfterSunset holds once the sunset and its grace are over.
	AfterSunset Need = "after the sunset"
	// AfterWaiting holds once nobody has decided for as long as anything waits.
	AfterWaiting Need = "after waiting"
	// AfterEnd holds once the end that was set is reached.
	AfterEnd Need = "after the end"
	// Automatic holds where the plan approves by itself.
	Automatic Need = "automatic approval"
	// WhenUnpaid holds while a bill is overdue; WhenPaid when none is, of what the
	// clock suspended: it never lifts what a person did.
	WhenUnpaid Need = "unpaid"
	WhenPaid   Need = "paid"
)

// unmet returns what is in the way of a move that the actor may make.
func (m Move) unmet(actor identity.Actor, f Facts) error {
	for _, n := range m.Needs {
		if err := n.unmet(actor, f); err != nil {
			return err
		}
	}
	return nil
}

func (n Need) unmet(actor identity.Actor, f Facts) error {
	reasoned := strings.TrimSpace(f.Reason) != ""
	over := !f.Sunset.IsZero() && !f.Now.Before(f.Sunset.Add(f.Grace))
	switch n {
	case NeedsReason:
		return unless(reasoned, fault.Invalid, "give a reason")
	case NeedsReasonIfUsed:
		return unless(reasoned || over && f.Paying == 0, fault.Invalid, "it is not past its sunset and grace yet, or has paid subscriptions (%d): give a reason to end it all the same", f.Paying)
	case NeedsSunset:
		return unless(f.Sunset.After(f.Now), fault.Invalid, "name the sunset, a time in the future at which it ends")
	case NeedsSuccessor:
		return unless(f.Successor != "" || reasoned, fault.Invalid, "name the successor to move to, or give the reason why there is none")
	case NeedsApproval:
		if !f.FourEyes {
			return nil
		}
		if f.ApprovedBy == "" {
			return fault.New(fault.Conflict, "the environment wants four eyes: an approver has to approve it first")
		}
		return unless(actor.Person() != "" && f.ApprovedBy != actor.Person(), fault.Denied, "the environment wants four eyes, and you approved it yourself: somebody else has to do this")
	case NeedsAnother:
		return unless(!f.FourEyes || actor.Person() != "" && f.RequestedBy != "" && f.RequestedBy != actor.Person(), fault.Denied, "the environment wants four eyes, and you asked for it yourself: somebody else has to do this")
	case NeedsAnotherThanAsked:
		return unless(f.RequestedBy == "" || actor.Person() != "" && f.RequestedBy != actor.Person(), fault.Denied, "you asked for it yourself: somebody else has to do this")
	case NeedsUntil:
		return unless(f.Until.After(f.Now), fault.Invalid, "name until when it works, a time in the future")
	case WithinUndo:
		return unless(f.Now.Before(f.Since.Add(UndoRetirement)), fault.Conflict, "it was retired on %s, more than 30 days ago: publish a new version", f.Since.UTC().Format("2006-01-02"))
	case AfterSunset:
		return unless(over, fault.Conflict, "its sunset and grace are not over")
	case AfterWaiting:
		return unless(!f.Now.Before(f.Since.Add(WaitsFor)), fault.Conflict, "it has not waited for %d days", WaitsFor/(24*time.Hour))
	case AfterEnd:
		return unless(!f.Ends.IsZero() && !f.Now.Before(f.Ends), fault.Conflict, "it has not reached its end")
	case Automatic:
		return unless(f.Automatic, fault.Conflict, "its plan wants a person to approve it")
	case WhenUnpaid:
		return unless(f.Unpaid, fault.Conflict, "no bill is overdue")
	case WhenPaid:
		return unless(!f.Unpaid && f.BySystem, fault.Conflict, "a bill is overdue, or a person suspended it")
	}
	panic("bug: nobody knows the condition " + string(n))
}

func unless(ok bool, kind fault.Kind, format string, args ...any) error {
	if ok {
		return nil
	}
	return fault.New(kind, format, args...)
}
