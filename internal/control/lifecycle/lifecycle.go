// Package lifecycle says how versions, subscriptions and credentials come from one
// state to another: by which action, by whom, and on what conditions. All of it is
// one table, moves; its main type is Move. It knows neither what a state does to
// clients nor where states are kept.
package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// State is a state of a document, as its spec names it; "" is that of one that is
// not there yet.
type State string

// Action is what brings a document from one state to another.
type Action string

// Who is somebody who may make a move, by the letter of the design's table.
type Who byte

// Whoever may make a move. The side of the provider is the owner of a version, and
// of the product of a subscription; the other side is the application's owner.
const (
	P Who = 'P' // platform-admin
	O Who = 'O' // org-admin of the provider
	B Who = 'B' // publisher of the provider's team
	A Who = 'A' // approver of the provider's team
	D Who = 'D' // app-developer of the application's team
	S Who = 'S' // the system's clock
)

// Move is one row of the table.
type Move struct {
	Kind   resource.Kind
	Action Action
	From   []State
	// To is the state it leads to: Same leaves it as it is, Previous is the one before.
	To State
	// By are the letters of those who may.
	By string
	// Needs are its conditions, all of them.
	Needs []Need
}

// Ends of a move that are not states.
const (
	Same     State = "same"
	Previous State = "previous"
)

// UndoRetirement is how long a retired version can be published again.
const UndoRetirement = 30 * 24 * time.Hour

// WaitsFor is how long a request waits for somebody to decide; then it is rejected.
const WaitsFor = 30 * 24 * time.Hour

// Object is a document in a state.
type Object struct {
	identity.Object
	State State
}

// Facts are what the conditions of moves look at, besides the document's state.
type Facts struct {
	// Now is the time of the change.
	Now time.Time
	// Since is when the document came into its state, Previous the one before it.
	Since    time.Time
	Previous State
	// Reason is what the actor gives for it.
	Reason string
	// Sunset, Grace and Successor are of a version, as they will be after the move.
	Sunset    time.Time
	Grace     time.Duration
	Successor string
	// Paying counts the active paid subscriptions of a version.
	Paying int
	// FourEyes says that the environment wants two people for what is published and
	// approved.
	FourEyes bool
	// RequestedBy and ApprovedBy are login names: who asked for a subscription, who
	// approved a version as it is now.
	RequestedBy, ApprovedBy string
	// Automatic says that the plan approves by itself.
	Automatic bool
	// Unpaid says that a bill of the subscription is overdue.
	Unpaid bool
	// BySystem says that the document was brought into its state by the clock.
	BySystem bool
	// Until is when a retiring credential ends, Ends when a subscription or credential
	// does by itself.
	Until, Ends time.Time
}

// Choice is a move that somebody could make.
type Choice struct {
	Action Action
	// To is the state it leads to.
	To State
	// Needs are its conditions; those that hold already are among them.
	Needs []Need
}

// Open says of a subscription's state that it brings topics, or may do so yet.
func (s State) Open() bool { return s == Pending || s == Active || s == Suspended }

// Moves returns the rows of one kind.
func Moves(kind resource.Kind) []Move {
	var out []Move
	for _, m := range moves {
		if m.Kind == kind {
			out = append(out, m)
		}
	}
	return out
}

// Between returns the action that leads from one state to another, if one does.
func Between(kind resource.Kind, from, to State) (Action, bool) {
	for _, m := range moves {
		if m.Kind == kind && from != to && slices.Contains(m.From, from) && slices.Contains(ends(m, from), to) {
			return m.Action, true
		}
	}
	return "", false
}

// Path returns the fewest actions that lead from one state to another, nil when none
// do. A document that is new, and names a state far down, goes there step by step.
func Path(kind resource.Kind, from, to State) []Action {
	type step struct {
		state State
		path  []Action
	}
	seen := map[State]bool{from: true}
	for queue := []step{{state: from}}; len(queue) > 0; queue = queue[1:] {
		for _, m := range moves {
			at := queue[0]
			if m.Kind != kind || !slices.Contains(m.From, at.state) || m.To == Previous && at.path != nil {
				continue // what undoes a step is on no way but back from it
			}
			for _, end := range ends(m, at.state) {
				if seen[end] {
					continue
				}
				seen[end] = true
				path := append(slices.Clone(at.path), m.Action)
				if end == to {
					return path
				}
				queue = append(queue, step{end, path})
			}
		}
	}
	return nil
}

// ends returns where a move may lead.
func ends(m Move, from State) []State {
	switch m.To {
	case Same:
		return []State{from}
	case Previous: // whatever leads here
		var out []State
		for _, other := range moves {
			if other.Kind == m.Kind && other.To == from {
				out = append(out, other.From...)
			}
		}
		return out
	}
	return []State{m.To}
}

// Choices returns what an actor could do with a document in its state, for pages
// that offer it. Whether the conditions hold is asked when it is done.
func Choices(actor identity.Actor, o Object) []Choice {
	var out []Choice
	for _, m := range moves {
		if m.Kind == o.Kind && slices.Contains(m.From, o.State) && m.may(actor, o) &&
			!slices.ContainsFunc(out, func(c Choice) bool { return c.Action == m.Action }) {
			out = append(out, Choice{Action: m.Action, To: m.end(o.State, Previous), Needs: slices.Clone(m.Needs)})
		}
	}
	return out
}

// Next returns the state that an actor brings a document to. The error's kind is
// fault.Denied when others may do it, fault.Conflict when it is not the time or the
// state for it, and fault.Invalid when something is missing that the actor could say.
func Next(actor identity.Actor, o Object, action Action, f Facts) (State, error) {
	what := fmt.Sprintf("%s %s %q", action, o.Kind, o.Name)
	var possible []State // from which it would be
	var here string      // who may do it in this state
	var unmet error
	for _, m := range moves {
		if m.Kind != o.Kind || m.Action != action {
			continue
		}
		possible = append(possible, m.From...)
		may, fits := m.may(actor, o), slices.Contains(m.From, o.State)
		if fits {
			here += m.By
		}
		if !may || !fits {
			continue
		}
		problem := m.unmet(actor, f)
		if problem == nil {
			return m.end(o.State, f.Previous), nil
		}
		unmet = problem
	}
	switch {
	case len(possible) == 0:
		return "", fault.New(fault.Invalid, "%s: there is no such action; there are %s", what, list(actionsOf(o.Kind), "and"))
	case Allowed(actor, o, action) != nil:
		return "", Allowed(actor, o, action)
	case unmet != nil:
		return "", fault.Wrap(fault.KindOf(unmet), nil, "%s: %s", what, fault.MessageOf(unmet))
	case here != "":
		return "", fault.New(fault.Denied, "%s: only %s may, in this state", what, words(o, here))
	}
	return "", fault.New(fault.Conflict, "%s: it is %s; this is possible when it is %s", what, o.State.word(), list(wordsOf(possible), "or"))
}

// Allowed returns nil when an actor makes such moves, in some state and on some
// conditions, and otherwise the error that Next has for that, whose kind is
// fault.Denied. It is for what is looked at before a move.
func Allowed(actor identity.Actor, o Object, action Action) error {
	switch {
	case slices.ContainsFunc(moves, func(m Move) bool { return m.Kind == o.Kind && m.Action == action && m.may(actor, o) }):
		return nil
	case actor.ReadOnly():
		return fault.New(fault.Denied, "%s %s %q: the token is for reading only", action, o.Kind, o.Name)
	}
	return fault.New(fault.Denied, "%s %s %q: only %s may", action, o.Kind, o.Name, whoMay(o, action))
}

// end is the state after the move.
func (m Move) end(from, previous State) State {
	switch m.To {
	case Same:
		return from
	case Previous:
		return previous
	}
	return m.To
}

// may says whether an actor is one of those who make the move.
func (m Move) may(actor identity.Actor, o Object) bool {
	if actor.ReadOnly() {
		return false
	}
	for i := range len(m.By) {
		if Who(m.By[i]).is(actor, o) {
			return true
		}
	}
	return false
}

// side is whose roles count for a letter.
func (w Who) side(o Object) identity.Owner {
	if o.Kind == resource.KindSubscription && w != D {
		return o.Provider
	}
	return o.Owner
}

func (w Who) is(actor identity.Actor, o Object) bool {
	if w == S {
		return actor.Kind() == identity.KindSystem
	}
	return actor.Has(w.role(), w.side(o))
}

func (w Who) role() identity.Role {
	switch w {
	case P:
		return identity.PlatformAdmin
	case O:
		return identity.OrgAdmin
	case B:
		return identity.Publisher
	case A:
		return identity.Approver
	case D:
		return identity.AppDeveloper
	}
	panic("bug: no role has the letter " + string(w))
}

// whoMay says who may do something in any state.
func whoMay(o Object, action Action) string {
	var by string
	for _, m := range moves {
		if m.Kind == o.Kind && m.Action == action {
			by += m.By
		}
	}
	return words(o, by)
}

// words says who the letters are; nobody can go and ask the system, so that it is named
// where there is nobody else.
func words(o Object, by string) string {
	if others := strings.ReplaceAll(by, string(S), ""); others != "" {
		by = others
	}
	var out []string
	for i := range len(by) {
		w := Who(by[i])
		word := "the system"
		switch {
		case w == P:
			word = "a platform-admin"
		case w == O:
			word = "an org-admin of " + identity.Owner{Organisation: w.side(o).Organisation}.String()
		case w != S:
			word = article(w.role()) + " of " + w.side(o).String()
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return list(out, "or")
}

func article(r identity.Role) string {
	if strings.ContainsRune("ao", rune(r[0])) {
		return "an " + string(r)
	}
	return "a " + string(r)
}

func (s State) word() string {
	if s == "" {
		return "not there yet"
	}
	return string(s)
}

func wordsOf(states []State) []string {
	var out []string
	for _, s := range states {
		if !slices.Contains(out, s.word()) {
			out = append(out, s.word())
		}
	}
	return out
}

func actionsOf(kind resource.Kind) []string {
	var out []string
	for _, m := range Moves(kind) {
		if !slices.Contains(out, string(m.Action)) {
			out = append(out, string(m.Action))
		}
	}
	return out
}

// list joins words as people do.
func list(words []string, last string) string {
	switch n := len(words); n {
	case 0:
		return "none"
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
	}
}
