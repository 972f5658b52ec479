package usage

import (
	"cmp"
	"container/list"
	"strings"
	"sync"
	"time"
)

// Refusal is why a client was refused something. Its ID stands in the log of the
// gateway, and in the answer where the protocol has room for text.
type Refusal struct {
	// Number is its place among those that a collection has taken in: later ones have
	// greater numbers, also those of a later process.
	Number uint64
	ID     string
	Time   time.Time
	// Application, in its Environment, and Credential are who was refused; empty before
	// the login.
	Application, Environment, Credential string
	// Gateway and Address are where the client came to, and from.
	Gateway, Address string
	// API is Kafka's, as Produce; Operation what was wanted, of what: a topic, a group.
	API, Operation, What, Name string
	// Verdict is what became of it, Rule what decided it.
	Verdict, Rule string
}

// What Refusals keep: so that no application's crowd out all others', and no client's
// words fill the memory.
const (
	maxRefusals               = 10_000
	maxRefusalsPerApplication = 500
	maxRefusalText            = 500 // bytes of each field
)

// Refusals keep the last refusals of gateways, to be found by their ids and by
// application, and to be passed on. It is safe for concurrent use, and nobody who
// notes one waits for those who read.
type Refusals struct {
	gateway string
	first   uint64 // number

	mu      sync.Mutex // guards what follows
	last    uint64     // number that was given
	told    uint64     // the number up to which they were passed on
	dropped uint64
	all     list.List                // of Refusal, the oldest first
	of      map[string]*list.List    // by application, of elements of all
	known   map[string]*list.Element // of the list of its application, by id
}

// NewRefusals returns an empty collection for the gateway of a name. Its numbers begin
// with the time, so that they go on after those of the process before.
func NewRefusals(gateway string, now time.Time) *Refusals {
	first := uint64(max(1, now.UnixMicro()))
	return &Refusals{gateway: gateway, first: first, last: first - 1, of: map[string]*list.List{}, known: map[string]*list.Element{}}
}

// Note keeps a refusal, of the collection's own gateway unless it names another, and
// forgets the oldest where there are too many. One that is there already stays as it is.
func (r *Refusals) Note(refusal Refusal) {
	refusal.Gateway = cmp.Or(refusal.Gateway, r.gateway)
	for _, text := range []*string{
		&refusal.ID, &refusal.Application, &refusal.Environment, &refusal.Credential, &refusal.Gateway, &refusal.Address,
		&refusal.API, &refusal.Operation, &refusal.What, &refusal.Name, &refusal.Verdict, &refusal.Rule,
	} {
		if len(*text) > maxRefusalText {
			*text = strings.ToValidUTF8(strings.Clone((*text)[:maxRefusalText]), "")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.known[refusal.ID]; there {
		return
	}
	own := r.of[refusal.Application]
	if own == nil {
		own = list.New()
		r.of[refusal.Application] = own
	}
	if own.Len() >= maxRefusalsPerApplication {
		r.forget(own.Front())
	}
	if r.all.Len() >= maxRefusals {
		r.forget(r.known[r.all.Front().Value.(Refusal).ID])
	}
	r.of[refusal.Application] = own // may have been the last of it
	r.last++
	refusal.Number = r.last
	r.known[refusal.ID] = own.PushBack(r.all.PushBack(refusal))
}

// forget drops a refusal, which is an element of its application's list.
func (r *Refusals) forget(e *list.Element) {
	all := e.Value.(*list.Element)
	refusal := all.Value.(Refusal)
	if refusal.Number > r.told {
		r.dropped++
	}
	r.all.Remove(all)
	own := r.of[refusal.Application]
	own.Remove(e)
	if own.Len() == 0 {
		delete(r.of, refusal.Application)
	}
	delete(r.known, refusal.ID)
}

// Find returns a refusal by its id.
func (r *Refusals) Find(id string) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known[id]
	if !ok {
		return Refusal{}, false
	}
	return e.Value.(*list.Element).Value.(Refusal), true
}

// Of returns those of an application that are kept, the newest first.
func (r *Refusals) Of(application string) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.of[application]
	if own == nil {
		return nil
	}
	out := make([]Refusal, 0, own.Len())
	for e := own.Back(); e != nil; e = e.Prev() {
		out = append(out, e.Value.(*list.Element).Value.(Refusal))
	}
	return out
}

// After returns those behind a number, the oldest first, at most so many. A number that
// this collection has not given is as none: all are behind it.
func (r *Refusals) After(number uint64, most int) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.first || number > r.last {
		number = 0
	}
	e := r.all.Back()
	if e == nil || e.Value.(Refusal).Number <= number {
		return nil
	}
	for before := e.Prev(); before != nil && before.Value.(Refusal).Number > number; before = e.Prev() {
		e = before
	}
	var out []Refusal
	for ; e != nil && len(out) < most; e = e.Next() {
		out = append(out, e.Value.(Refusal))
	}
	return out
}

// Told says that those up to a number have been passed on.
func (r *Refusals) Told(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number <= r.last {
		r.told = max(r.told, number)
	}
}

// Dropped counts those that were forgotten before they were passed on.
func (r *Refusals) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
