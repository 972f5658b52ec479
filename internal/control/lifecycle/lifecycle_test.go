package lifecycle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

var (
	now      = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	provider = identity.Owner{Organisation: "shop-corp", Team: "shop"}
	consumer = identity.Owner{Organisation: "acme", Team: "erp"}
)

// cell is one cell of testdata/moves.txt.
type cell struct {
	kind   resource.Kind
	action Action
	from   State
	by     string // letters; none for a dash
	to     State
}

// readTable reads testdata/moves.txt.
func readTable(t *testing.T) []cell {
	t.Helper()
	text, err := os.ReadFile("testdata/moves.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []cell
	var kind resource.Kind
	var states []State
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			states = nil
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		if states == nil {
			kind = resource.Kind(fields[0])
			for _, s := range fields[1:] {
				states = append(states, State(strings.Replace(s, "(new)", "", 1)))
			}
			continue
		}
		if len(fields) != len(states)+1 {
			t.Fatalf("moves.txt:%d: %d cells for %d states", i+1, len(fields)-1, len(states))
		}
		for n, f := range fields[1:] {
			c := cell{kind: kind, action: Action(fields[0]), from: states[n]}
			if f != "-" {
				by, to, ok := strings.Cut(f, ">")
				if !ok {
					t.Fatalf("moves.txt:%d: %q is not WHO>STATE", i+1, f)
				}
				c.by, c.to = by, State(to)
			}
			out = append(out, c)
		}
	}
	return out
}

// person is somebody with one role.
func person(role identity.Role, owner identity.Owner) identity.Actor {
	return identity.Someone("ada", false, []identity.Membership{{Role: role, Organisation: owner.Organisation, Team: owner.Team}})
}

// actors are all who could try: one for each role on each side, held in the team and
// in the whole organisation, the same roles elsewhere, and those without roles. The
// letters are who they are towards an object of a kind.
func actors(kind resource.Kind) map[string]struct {
	actor   identity.Actor
	letters string
} {
	type entry = struct {
		actor   identity.Actor
		letters string
	}
	out := map[string]entry{
		"nobody":                 {identity.Nobody(), ""},
		"the system":             {identity.System(), "S"},
		"a gateway":              {identity.Machine("gw-1", identity.Gateway), ""},
		"metering":               {identity.Machine("m-1", identity.Metering), ""},
		"a person without roles": {identity.Someone("eve", false, nil), ""},
		"a platform-admin":       {identity.Someone("root", true, nil), "P"},
	}
	providing, consuming := kind != resource.KindCredential, kind != resource.KindVersion
	letter := map[identity.Role]string{identity.OrgAdmin: "O", identity.Publisher: "B", identity.Approver: "A"}
	for _, role := range identity.Roles {
		var ofProvider, ofConsumer string
		if providing {
			ofProvider = letter[role]
		}
		if consuming && role == identity.AppDeveloper {
			ofConsumer = "D"
		}
		for side, s := range map[string]struct {
			owner   identity.Owner
			letters string
		}{"the provider": {provider, ofProvider}, "the consumer": {consumer, ofConsumer}, "a third": {identity.Owner{Organisation: "third", Team: "shop"}, ""}} {
			if role != identity.OrgAdmin { // there is none in a team
				out[fmt.Sprintf("%s of a team of %s", role, side)] = entry{person(role, s.owner), s.letters}
				out[fmt.Sprintf("%s of another team of %s", role, side)] = entry{person(role, identity.Owner{Organisation: s.owner.Organisation, Team: "other"}), ""}
			}
			whole := person(role, identity.Owner{Organisation: s.owner.Organisation})
			out[fmt.Sprintf("%s of all of %s", role, side)] = entry{whole, s.letters}
			all := identity.Scope{Platform: true, Roles: whole.Memberships()}
			out[fmt.Sprintf("token of %s of all of %s", role, side)] = entry{whole.WithToken("ci", all), s.letters}
			all.ReadOnly = true
			out[fmt.Sprintf("reading token of %s of all of %s", role, side)] = entry{whole.WithToken("ci", all), ""}
		}
	}
	return out
}

func object(kind resource.Kind, state State) Object {
	o := Object{Object: identity.Object{Kind: kind, Name: "thing", Owner: consumer, Provider: provider}, State: state}
	if kind == resource.KindVersion {
		o.Owner, o.Provider = provider, identity.Owner{}
	}
	return o
}

// good are facts with which every condition holds, for anybody; the clock's too.
func good(action Action, actor identity.Actor) Facts {
	f := Facts{
		Now: now, Since: now.Add(-time.Hour), Previous: Deprecated, Reason: "because", Successor: "orders.v2", Sunset: now.Add(time.Hour),
		Automatic: true, Unpaid: true, Until: now.Add(time.Hour), Ends: now.Add(-time.Hour),
		FourEyes: true, ApprovedBy: "grace", RequestedBy: "grace",
	}
	switch {
	case action == Resume:
		f.Unpaid, f.BySystem = false, true
	case action == Reject && actor.Kind() == identity.KindSystem:
		f.Since = now.Add(-WaitsFor)
	case action == Retire && actor.Kind() == identity.KindSystem:
		f.Sunset = now.Add(-time.Hour)
	}
	return f
}

// TestEveryMove tries every action in every state as everybody, and compares with the
// table in testdata.
func TestEveryMove(t *testing.T) {
	tried := 0
	for _, c := range readTable(t) {
		for name, a := range actors(c.kind) {
			o := object(c.kind, c.from)
			got, err := Next(a.actor, o, c.action, good(c.action, a.actor))
			may := strings.ContainsAny(c.by, a.letters) && a.letters != ""
			want := c.to
			switch want {
			case Same:
				want = c.from
			case Previous:
				want = Deprecated
			}
			what := fmt.Sprintf("%s: %s %s %s", name, c.action, c.from.word(), c.kind)
			tried++
			switch {
			case may && (err != nil || got != want):
				t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
			case !may && err == nil:
				t.Errorf("%s: got %q, want a refusal", what, got)
			case !may && fault.KindOf(err) != fault.Denied && fault.KindOf(err) != fault.Conflict:
				t.Errorf("%s: got %v, want denied or conflict", what, err)
			case !may && c.by != "" && fault.KindOf(err) != fault.Denied:
				t.Errorf("%s: got %v, want denied: others may", what, err)
			}
			offered := slices.ContainsFunc(Choices(a.actor, o), func(x Choice) bool {
				return x.Action == c.action && (c.to == Previous && x.To == Previous || x.To == want)
			})
			if offered != may {
				t.Errorf("%s: offered %v, want %v", what, offered, may)
			}
		}
	}
	if tried < 8000 {
		t.Errorf("tried %d combinations: the table was not read whole", tried)
	}
}

// TestTableIsWhole looks for moves, states and actions of which moves.txt knows
// nothing, and for states of documents that cannot be reached.
func TestTableIsWhole(t *testing.T) {
	table := readTable(t)
	for _, m := range moves {
		for _, from := range m.From {
			if !slices.ContainsFunc(table, func(c cell) bool { return c.kind == m.Kind && c.action == m.Action && c.from == from && c.to == m.To }) {
				t.Errorf("moves.txt has no cell for %s %s from %s to %s", m.Action, m.Kind, from.word(), m.To)
			}
		}
	}
	for kind, states := range map[resource.Kind][]string{
		resource.KindVersion: resource.VersionStates, resource.KindSubscription: resource.SubscriptionStates, resource.KindCredential: resource.CredentialStates,
	} {
		for _, s := range states {
			if Path(kind, New, State(s)) == nil {
				t.Errorf("nothing leads to a %s that is %s", kind, s)
			}
		}
	}
}

// TestOneActionBetweenStates holds what lets a document ask for a move by naming a
// state: from one to another there is at most one action.
func TestOneActionBetweenStates(t *testing.T) {
	by := map[string]Action{}
	for _, m := range moves {
		for _, from := range m.From {
			for _, to := range ends(m, from) {
				key := fmt.Sprintf("%s %q %q", m.Kind, from, to)
				if other, ok := by[key]; ok && other != m.Action && from != to {
					t.Errorf("%s: %s and %s", key, other, m.Action)
				}
				by[key] = m.Action
				if got, ok := Between(m.Kind, from, to); from != to && (!ok || got != m.Action) {
					t.Errorf("Between(%s) = %q, %v, want %q", key, got, ok, m.Action)
				}
			}
		}
	}
	for _, c := range []struct {
		kind     resource.Kind
		from, to State
	}{{resource.KindVersion, Draft, Retired}, {resource.KindSubscription, Closed, Active}, {resource.KindCredential, Revoked, Active}, {resource.KindCredential, Active, Active}, {resource.KindAPI, New, Draft}} {
		if got, ok := Between(c.kind, c.from, c.to); ok {
			t.Errorf("%s from %q to %q: got %s, want nothing", c.kind, c.from, c.to, got)
		}
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		kind     resource.Kind
		from, to State
		want     string
	}{
		{resource.KindVersion, New, Draft, "create"},
		{resource.KindVersion, New, Published, "create publish"},
		{resource.KindVersion, New, Blocked, "create publish block"},
		{resource.KindVersion, New, Retired, "create publish deprecate retire"},
		{resource.KindVersion, Blocked, Deprecated, "unblock"},
		{resource.KindVersion, Published, Draft, ""},
		{resource.KindSubscription, New, Active, "request approve"},
		{resource.KindSubscription, New, Closed, "request cancel"},
		{resource.KindSubscription, Closed, Active, ""},
		{resource.KindCredential, New, Retiring, "create retire"},
		{resource.KindCredential, Revoked, Active, ""},
	} {
		var words []string
		for _, a := range Path(c.kind, c.from, c.to) {
			words = append(words, string(a))
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s from %q to %q: got %q, want %q", c.kind, c.from, c.to, got, c.want)
		}
	}
}

// TestConditions spoils one fact at a time.
func TestConditions(t *testing.T) {
	both := identity.Someone("ada", false, []identity.Membership{
		{Role: identity.Publisher, Organisation: provider.Organisation}, {Role: identity.Approver, Organisation: provider.Organisation},
		{Role: identity.AppDeveloper, Organisation: consumer.Organisation},
	})
	admin := identity.Someone("root", true, nil)
	token := both.WithToken("ci", identity.Scope{Roles: both.Memberships()})
	met := map[Need]bool{}
	for _, c := range []struct {
		name   string
		need   Need
		actor  identity.Actor
		kind   resource.Kind
		from   State
		action Action
		spoil  func(*Facts)
		want   fault.Kind // "" when it is no obstacle
		says   string
	}{
		{"deprecated without a sunset", NeedsSunset, both, resource.KindVersion, Published, Deprecate, func(f *Facts) { f.Sunset = time.Time{} }, fault.Invalid, "name the sunset"},
		{"a sunset that is over", NeedsSunset, both, resource.KindVersion, Published, Deprecate, func(f *Facts) { f.Sunset = now }, fault.Invalid, "name the sunset"},
		{"no successor, no reason", NeedsSuccessor, both, resource.KindVersion, Published, Deprecate, func(f *Facts) { f.Successor, f.Reason = "", " \n" }, fault.Invalid, "successor"},
		{"no successor, for a reason", NeedsSuccessor, both, resource.KindVersion, Published, Deprecate, func(f *Facts) { f.Successor = "" }, "", ""},
		{"nobody approved", NeedsApproval, both, resource.KindVersion, Draft, Publish, func(f *Facts) { f.ApprovedBy = "" }, fault.Conflict, "an approver has to approve"},
		{"approved by oneself", NeedsApproval, both, resource.KindVersion, Preview, Publish, func(f *Facts) { f.ApprovedBy = "ada" }, fault.Denied, "somebody else"},
		{"approved by the person behind the token", NeedsApproval, token, resource.KindVersion, Preview, Publish, func(f *Facts) { f.ApprovedBy = "ada" }, fault.Denied, "somebody else"},
		{"two eyes are enough here", NeedsApproval, both, resource.KindVersion, Preview, Publish, func(f *Facts) { f.ApprovedBy, f.FourEyes = "", false }, "", ""},
		{"published again by the approver", NeedsApproval, both, resource.KindVersion, Retired, Republish, func(f *Facts) { f.ApprovedBy = "ada" }, fault.Denied, "somebody else"},
		{"retired for 30 days", WithinUndo, both, resource.KindVersion, Retired, Republish, func(f *Facts) { f.Since = now.Add(-30 * 24 * time.Hour) }, fault.Conflict, "publish a new version"},
		{"retired for a moment less", WithinUndo, both, resource.KindVersion, Retired, Republish, func(f *Facts) { f.Since = now.Add(-30*24*time.Hour + 1) }, "", ""},
		{"retired early without a reason", NeedsReasonIfUsed, both, resource.KindVersion, Deprecated, Retire, func(f *Facts) { f.Reason = "" }, fault.Invalid, "give a reason"},
		{"retired late, but paid for", NeedsReasonIfUsed, both, resource.KindVersion, Deprecated, Retire, func(f *Facts) { f.Reason, f.Sunset, f.Paying = "", now, 2 }, fault.Invalid, "paid subscriptions (2)"},
		{"retired late, unused", NeedsReasonIfUsed, both, resource.KindVersion, Deprecated, Retire, func(f *Facts) { f.Reason, f.Sunset = "", now }, "", ""},
		{"the clock within the grace", AfterSunset, identity.System(), resource.KindVersion, Deprecated, Retire, func(f *Facts) { f.Grace = 2 * time.Hour }, fault.Conflict, "not over"},
		{"the clock without a sunset", AfterSunset, identity.System(), resource.KindVersion, Deprecated, Retire, func(f *Facts) { f.Sunset = time.Time{} }, fault.Conflict, "not over"},
		{"blocked without a reason", NeedsReason, admin, resource.KindVersion, Published, Block, func(f *Facts) { f.Reason = "" }, fault.Invalid, "give a reason"},
		{"revoked by the operator without a reason", NeedsReason, admin, resource.KindCredential, Active, Revoke, func(f *Facts) { f.Reason = "" }, fault.Invalid, "give a reason"},
		{"revoked by its owner without a reason", NeedsReason, both, resource.KindCredential, Active, Revoke, func(f *Facts) { f.Reason = "" }, "", ""},
		{"rejected without a reason", NeedsReason, both, resource.KindSubscription, Pending, Reject, func(f *Facts) { f.Reason = "" }, fault.Invalid, "give a reason"},
		{"approved by who asked", NeedsAnother, both, resource.KindSubscription, Pending, Approve, func(f *Facts) { f.RequestedBy = "ada" }, fault.Denied, "somebody else"},
		{"approved by the token of who asked", NeedsAnother, token, resource.KindSubscription, Pending, Approve, func(f *Facts) { f.RequestedBy = "ada" }, fault.Denied, "somebody else"},
		{"approved where nobody knows who asked", NeedsAnother, both, resource.KindSubscription, Pending, Approve, func(f *Facts) { f.RequestedBy = "" }, fault.Denied, "somebody else"},
		{"approved by who asked, where two eyes do", NeedsAnother, both, resource.KindSubscription, Pending, Approve, func(f *Facts) { f.RequestedBy, f.FourEyes = "ada", false }, "", ""},
		{"a revision approved by who asked for it", NeedsAnotherThanAsked, both, resource.KindVersion, Published, Approve, func(f *Facts) { f.RequestedBy = "ada" }, fault.Denied, "somebody else"},
		{"a version of which nothing waits", NeedsAnotherThanAsked, both, resource.KindVersion, Published, Approve, func(f *Facts) { f.RequestedBy = "" }, "", ""},
		{"a revision rejected without a reason", NeedsReason, both, resource.KindVersion, Published, Reject, func(f *Facts) { f.Reason = "" }, fault.Invalid, "give a reason"},
		{"the clock approves what a person must", Automatic, identity.System(), resource.KindSubscription, Pending, Approve, func(f *Facts) { f.Automatic = false }, fault.Conflict, "a person to approve"},
		{"the clock rejects what has not waited long", AfterWaiting, identity.System(), resource.KindSubscription, Pending, Reject, func(f *Facts) { f.Since = now.Add(1 - WaitsFor) }, fault.Conflict, "30 days"},
		{"the clock suspends who paid", WhenUnpaid, identity.System(), resource.KindSubscription, Active, Suspend, func(f *Facts) { f.Unpaid = false }, fault.Conflict, "no bill"},
		{"the clock resumes who has not paid", WhenPaid, identity.System(), resource.KindSubscription, Suspended, Resume, func(f *Facts) { f.Unpaid = true }, fault.Conflict, "overdue"},
		{"the clock lifts what a person did", WhenPaid, identity.System(), resource.KindSubscription, Suspended, Resume, func(f *Facts) { f.BySystem = false }, fault.Conflict, "a person suspended it"},
		{"expired before its end", AfterEnd, identity.System(), resource.KindSubscription, Active, Expire, func(f *Facts) { f.Ends = now.Add(1) }, fault.Conflict, "not reached its end"},
		{"expired without an end", AfterEnd, identity.System(), resource.KindCredential, Retiring, Expire, func(f *Facts) { f.Ends = time.Time{} }, fault.Conflict, "not reached its end"},
		{"retiring for no time at all", NeedsUntil, both, resource.KindCredential, Active, Retire, func(f *Facts) { f.Until = now }, fault.Invalid, "name until when"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good(c.action, c.actor)
			c.spoil(&f)
			_, err := Next(c.actor, object(c.kind, c.from), c.action, f)
			if got := fault.KindOf(err); got != c.want || !strings.Contains(fault.MessageOf(err), c.says) {
				t.Errorf("got %s: %v, want %s with %q", got, err, c.want, c.says)
			}
			rows := slices.ContainsFunc(moves, func(m Move) bool { return m.Kind == c.kind && m.Action == c.action && slices.Contains(m.Needs, c.need) })
			if !rows {
				t.Errorf("%s has no condition %q", c.action, c.need)
			}
			if c.want != "" {
				met[c.need] = true
			}
		})
	}
	for _, m := range moves {
		for _, n := range m.Needs {
			if !met[n] {
				t.Errorf("no case spoils the condition %q of %s", n, m.Action)
			}
		}
	}
}

// TestRefusalsSayWhoMay reads the messages as people get them.
func TestRefusalsSayWhoMay(t *testing.T) {
	dev := person(identity.AppDeveloper, consumer)
	for _, c := range []struct {
		actor  identity.Actor
		kind   resource.Kind
		from   State
		action Action
		want   string
	}{
		{dev, resource.KindSubscription, Pending, Approve, `approve Subscription "thing": only an approver of team shop of shop-corp, a publisher of team shop of shop-corp or an org-admin of shop-corp may`},
		{dev, resource.KindSubscription, Closed, Cancel, `cancel Subscription "thing": it is closed; this is possible when it is pending`},
		{dev, resource.KindSubscription, New, Cancel, `cancel Subscription "thing": it is not there yet; this is possible when it is pending`},
		{dev, resource.KindCredential, Active, Block, `block Credential "thing": there is no such action; there are create, rotate, retire, revoke, revoke-previous and expire`},
		{dev.WithToken("ci", identity.Scope{Roles: dev.Memberships(), ReadOnly: true}), resource.KindCredential, Active, Rotate, `rotate Credential "thing": the token is for reading only`},
	} {
		_, err := Next(c.actor, object(c.kind, c.from), c.action, Facts{Now: now})
		if got := fault.MessageOf(err); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestAgreesWithIdentity compares the moves with what control/identity says of the
// same things, which pages and routes ask first.
func TestAgreesWithIdentity(t *testing.T) {
	for _, c := range []struct {
		kind   resource.Kind
		from   State
		action Action
		op     identity.Operation
	}{
		{resource.KindVersion, New, Create, identity.Write},
		{resource.KindVersion, Draft, Publish, identity.Write},
		{resource.KindVersion, Published, Deprecate, identity.Write},
		{resource.KindVersion, Draft, Approve, identity.Approve},
		{resource.KindSubscription, New, Request, identity.Write},
		{resource.KindSubscription, Pending, Cancel, identity.Write},
		{resource.KindSubscription, Pending, Approve, identity.Approve},
		{resource.KindSubscription, Pending, Reject, identity.Approve},
		{resource.KindCredential, New, Create, identity.Write},
		{resource.KindCredential, Active, Rotate, identity.Rotate},
		{resource.KindCredential, Active, Revoke, identity.Revoke},
	} {
		for name, a := range actors(c.kind) {
			if a.actor.Kind() == identity.KindSystem {
				continue // it moves things, and asks for nothing
			}
			o := object(c.kind, c.from)
			_, err := Next(a.actor, o, c.action, good(c.action, a.actor))
			asked := identity.Authorise(a.actor, c.op, o.Object)
			if (err == nil) != (asked == nil) {
				t.Errorf("%s: %s %s: the move says %v, identity says %v", name, c.action, c.kind, err, asked)
			}
		}
	}
}
