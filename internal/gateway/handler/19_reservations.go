package handler

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/grant"
)

// Reservations are what requests under way add to applications' namespaces:
// all connections of a gateway share one, so that requests that are pipelined
// or come at the same time do not all find the same room. A reservation ends
// when its request has failed, when a listing made after the answer has its
// topic, when the topic is deleted, or with time. There are at most as many
// for an application as it may own topics. The zero value is ready. Other
// gateways before the same cluster count for themselves.
type Reservations struct {
	mu     sync.Mutex // guards all below
	owners map[ownerKey]*owner
}

type ownerKey struct{ cluster, prefix string }

// owner is one application on one target cluster.
type owner struct {
	turn   chan struct{} // holds one while a request is checked
	users  int           // that have or wait for the turn
	topics map[string]*reservation
}

// reservation is a topic, by backing name, that may soon have a size.
type reservation struct {
	size     int  // in partitions
	inFlight int  // requests without an answer
	done     bool // one of them had success
	until    time.Time
}

// unanswered is how long a reservation outlasts the time that its request
// gives the broker, where no answer and no listing ends it.
const unanswered = 2 * time.Minute

// enter waits for the application's turn. leave must follow.
func (r *Reservations) enter(ctx context.Context, key ownerKey) (*owner, error) {
	r.mu.Lock()
	o := r.owners[key]
	if o == nil {
		if r.owners == nil {
			r.owners = make(map[ownerKey]*owner)
		}
		o = &owner{turn: make(chan struct{}, 1), topics: make(map[string]*reservation)}
		r.owners[key] = o
	}
	o.users++
	r.mu.Unlock()
	select {
	case o.turn <- struct{}{}:
		return o, nil
	case <-ctx.Done():
		r.left(key, o)
		return nil, ctx.Err()
	}
}

func (r *Reservations) leave(key ownerKey, o *owner) {
	<-o.turn
	r.left(key, o)
}

func (r *Reservations) left(key ownerKey, o *owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.users--; o.users == 0 && len(o.topics) == 0 {
		delete(r.owners, key)
	}
}

// outcome is what an answer says of a topic.
type outcome int

const (
	unsure  outcome = iota // it may have become so, or become so later
	failed                 // it has not
	done                   // it has, and a listing will show it
	deleted                // the topic is gone
)

func outcomeOf(code int16) outcome {
	switch kerr.ErrorForCode(code) {
	case nil:
		return done
	case kerr.RequestTimedOut, kerr.UnknownServerError, kerr.NetworkException:
		return unsure
	}
	return failed
}

// settle notes the answer for one topic.
func (r *Reservations) settle(key ownerKey, backing string, what outcome) {
	if what == unsure {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owners[key]
	if o == nil || o.topics[backing] == nil {
		return
	}
	t := o.topics[backing]
	if what != deleted && t.inFlight > 0 {
		t.inFlight--
	}
	t.done = t.done || what == done
	if t.inFlight > 0 || t.done && what != deleted {
		return
	}
	delete(o.topics, backing)
	if o.users == 0 && len(o.topics) == 0 {
		delete(r.owners, key)
	}
}

// room is what is left of the application's namespace, for the request that
// has the turn. close must follow.
type room struct {
	x     *Exchange
	r     *Reservations
	key   ownerKey
	owner *owner         // nil without a namespace
	seen  map[string]int // partitions by backing name, as listed
	sizes map[string]int // the same with reservations
	until time.Time      // of reservations made here
}

// newRoom counts what the application owns. patience is the time that the
// request gives the broker, in milliseconds.
func newRoom(x *Exchange, patience int32) (*room, error) {
	w := &room{x: x, r: x.Conn.Reservations, key: ownerKey{x.Grant.Cluster, x.Grant.Prefix}, seen: map[string]int{}, sizes: map[string]int{},
		until: x.Now.Add(unanswered + min(max(time.Duration(patience)*time.Millisecond, 0), 30*time.Minute))}
	if w.r == nil {
		w.r = new(Reservations)
	}
	if !x.Grant.HasNamespace() {
		return w, nil
	}
	var err error
	if w.owner, err = w.r.enter(x.Context, w.key); err != nil {
		return nil, err
	}
	own, err := x.Conn.Cluster.Topics(x.Context, x.Grant.Prefix)
	if err != nil {
		w.close()
		return nil, err
	}
	for _, t := range own {
		w.seen[t.Name], w.sizes[t.Name] = t.Partitions, t.Partitions
	}
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	for name, t := range w.owner.topics {
		listed, ok := w.seen[name]
		if !x.Now.Before(t.until) || t.inFlight == 0 && ok && listed >= t.size {
			delete(w.owner.topics, name)
			continue
		}
		w.sizes[name] = max(listed, t.size)
	}
	return w, nil
}

func (w *room) close() {
	if w.owner != nil {
		w.r.leave(w.key, w.owner)
	}
}

// take reserves a size for a topic, in partitions.
func (w *room) take(t *target, size int) (int16, *string) {
	n := w.x.Grant.Namespace
	before, known := w.sizes[t.backing]
	refuse := func(rule, message string) (int16, *string) {
		t.decision = grant.Decision{Verdict: grant.RefusePolicy, Rule: rule, Message: message}
		return kerr.PolicyViolation.Code, text(t.decision, w.x.reject(t, grant.Write))
	}
	if !known && len(w.sizes) >= n.Topics {
		return refuse("namespace is full of topics", fmt.Sprintf("the application may own %d topics and has no room for another", n.Topics))
	}
	left := n.Partitions
	for _, s := range w.sizes {
		left -= min(s, math.MaxInt32)
	}
	if size > before && size-before > left {
		return refuse("namespace is full of partitions", fmt.Sprintf("the application may own %d partitions and has room for %d more", n.Partitions, max(left, 0)))
	}
	size = max(size, before)
	w.sizes[t.backing] = size
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	res := w.owner.topics[t.backing]
	if res == nil {
		res = new(reservation)
		w.owner.topics[t.backing] = res
	}
	res.size, res.until = max(res.size, size), w.until
	res.inFlight++
	return 0, nil
}

// settle notes what the broker answered for a topic that was taken, by error
// codes. Listings made before are out of date then.
func (w *room) settle(backing string, answered map[string]int16, validateOnly bool) {
	code, ok := answered[backing]
	if !ok {
		return
	}
	what := outcomeOf(code)
	if what == done && validateOnly {
		what = failed
	}
	if what == done {
		w.x.Conn.Cluster.ForgetTopic(backing)
	}
	w.r.settle(w.key, backing, what)
}
