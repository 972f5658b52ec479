package usage

import (
	"container/list"
	"sync"
	"time"
)

// Refusal is why a client was refused something. Its ID stands in the log of the
// gateway, and in the answer where the protocol has room for text.
type Refusal struct {
	ID   string
	Time time.Time
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

// What Refusals keep: so that no application's crowd out all others'.
const (
	maxRefusals               = 10_000
	maxRefusalsPerApplication = 500
)

// Refusals keep the last refusals of a gateway, to be found by their ids. It is safe
// for concurrent use.
type Refusals struct {
	gateway string

	mu    sync.Mutex // guards what follows
	all   list.List  // of Refusal, the oldest first
	of    map[string]*list.List
	known map[string]kept
}

// kept is where a refusal is: in the list of all, and in that of its application.
type kept struct{ all, own *list.Element }

// NewRefusals returns an empty collection for the gateway of a name.
func NewRefusals(gateway string) *Refusals {
	return &Refusals{gateway: gateway, of: map[string]*list.List{}, known: map[string]kept{}}
}

// Note keeps a refusal, and forgets the oldest where there are too many.
func (r *Refusals) Note(refusal Refusal) {
	refusal.Gateway = r.gateway
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.of[refusal.Application]
	if own == nil {
		own = list.New()
		r.of[refusal.Application] = own
	}
	if own.Len() >= maxRefusalsPerApplication {
		r.forget(own.Front().Value.(string))
	}
	if r.all.Len() >= maxRefusals {
		r.forget(r.all.Front().Value.(Refusal).ID)
	}
	r.of[refusal.Application] = own // may have been the last of it
	r.known[refusal.ID] = kept{r.all.PushBack(refusal), own.PushBack(refusal.ID)}
}

func (r *Refusals) forget(id string) {
	k := r.known[id]
	application := k.all.Value.(Refusal).Application
	r.all.Remove(k.all)
	own := r.of[application]
	own.Remove(k.own)
	if own.Len() == 0 {
		delete(r.of, application)
	}
	delete(r.known, id)
}

// Find returns a refusal by its id.
func (r *Refusals) Find(id string) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.known[id]
	if !ok {
		return Refusal{}, false
	}
	return k.all.Value.(Refusal), true
}
