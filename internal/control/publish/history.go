package publish

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

// History remembers which topics applications have had, so that what disappears
// from the documents ends quietly instead of failing running clients. It is
// immutable for its readers; Compile returns a new one. It is kept as JSON.
type History struct {
	// apps are the entries of each application, by exposed name.
	apps map[appKey]map[string]*Entry
	// proved are the verifiers made last. They are not stored: they only spare a
	// running process making them again.
	proved *proofs
	// kept is what the last Compile of each environment found. It is not stored either.
	kept map[string]*kept
}

func (h *History) keptOf(environment string) *kept {
	if h == nil {
		return nil
	}
	return h.kept[environment]
}

// proofs are verifiers with digests of their secrets, under a key that does not
// outlive the process.
type proofs struct {
	key  []byte
	made map[grant.Key]proof
}

type proof struct {
	digest    [sha256.Size]byte
	verifiers []grant.Verifier
}

func (p *proofs) digest(secret string) [sha256.Size]byte {
	m := hmac.New(sha256.New, p.key)
	m.Write([]byte(secret))
	return [sha256.Size]byte(m.Sum(nil))
}

func (p *proofs) note(k grant.Key, secret string, verifiers []grant.Verifier) {
	p.made[k] = proof{p.digest(secret), verifiers}
}

// provedBy returns the verifiers of a credential that were made of this secret.
func (h *History) provedBy(k grant.Key, secret string) ([]grant.Verifier, bool) {
	if h == nil || h.proved == nil {
		return nil, false
	}
	p, ok := h.proved.made[k]
	return p.verifiers, ok && p.digest == h.proved.digest(secret)
}

type appKey struct{ environment, application string }

// Entry is one exposed topic that an application has or had.
type Entry struct {
	Environment  string        `json:"environment"`
	Application  string        `json:"application"`
	Exposed      string        `json:"exposed"`
	Backing      string        `json:"backing"`
	Cluster      string        `json:"cluster"`
	ID           grant.TopicID `json:"id"`
	Subscription string        `json:"subscription"`
	// Ends is when the topic was last due to end.
	Ends time.Time `json:"ends,omitzero"`
	// Lost is since when the topic is ended; zero while it is there.
	Lost time.Time `json:"lost,omitzero"`
	// Read, Write, Methods and Credentials are what was there, with the time it was
	// lost: rights, methods that the plan admitted, and credentials that saw the topic.
	Read        *Held                  `json:"read,omitempty"`
	Write       *Held                  `json:"write,omitempty"`
	Methods     map[grant.Method]*Held `json:"methods,omitempty"`
	Credentials map[string]*Held       `json:"credentials,omitempty"`
}

// Held is something that an application has, or had until Lost.
type Held struct {
	Lost time.Time `json:"lost,omitzero"`
}

// lose notes a loss, once, and returns since when.
func (h *Held) lose(now time.Time) time.Time {
	if h.Lost.IsZero() {
		h.Lost = now.UTC()
	}
	return h.Lost
}

func (h *Held) clone() *Held {
	if h == nil {
		return nil
	}
	c := *h
	return &c
}

type historyJSON struct {
	Format  int      `json:"format"`
	Entries []*Entry `json:"entries"`
}

const historyFormat = 1

// MarshalJSON writes the history, in an order that does not change.
func (h *History) MarshalJSON() ([]byte, error) {
	all := []*Entry{}
	for _, entries := range h.apps {
		all = slices.AppendSeq(all, maps.Values(entries))
	}
	slices.SortFunc(all, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Exposed, b.Exposed))
	})
	return json.Marshal(historyJSON{historyFormat, all})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *History) UnmarshalJSON(data []byte) error {
	var in historyJSON
	if err := jsonv2.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	if in.Format != historyFormat {
		return fmt.Errorf("history has format %d, this release reads %d", in.Format, historyFormat)
	}
	h.apps = map[appKey]map[string]*Entry{}
	for _, e := range in.Entries {
		if e == nil {
			return fmt.Errorf("read history: empty entry")
		}
		h.put(e.complete())
	}
	return nil
}

// Past is all that an application has or had in one environment.
type Past struct {
	Environment string   `json:"environment"`
	Application string   `json:"application"`
	Entries     []*Entry `json:"entries,omitempty"`
}

// Since returns what is another past than in an older history, in an order that does not
// change; nil when nothing is.
func (h *History) Since(old *History) []Past {
	var out []Past
	for k, entries := range h.apps {
		before := old.apps[k]
		if reflect.ValueOf(entries).UnsafePointer() == reflect.ValueOf(before).UnsafePointer() {
			continue // one map, which a compile left alone
		}
		if !maps.EqualFunc(entries, before, sameEntry) {
			out = append(out, Past{k.environment, k.application, h.of(k.environment, k.application)})
		}
	}
	for k, before := range old.apps {
		if _, there := h.apps[k]; !there && len(before) > 0 {
			out = append(out, Past{k.environment, k.application, nil})
		}
	}
	slices.SortFunc(out, func(a, b Past) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Application, b.Application))
	})
	return out
}

// With returns a history with other pasts of some applications.
func (h *History) With(pasts []Past) *History {
	next := &History{apps: maps.Clone(h.apps)}
	for _, p := range pasts {
		delete(next.apps, appKey{p.Environment, p.Application})
		for _, e := range p.Entries {
			next.put(e.clone())
		}
	}
	return next
}

func sameEntry(a, b *Entry) bool {
	return a == b || a.Environment == b.Environment && a.Application == b.Application && a.Exposed == b.Exposed && a.Backing == b.Backing && a.Cluster == b.Cluster &&
		a.ID == b.ID && a.Subscription == b.Subscription && a.Ends.Equal(b.Ends) && a.Lost.Equal(b.Lost) && sameHeld(a.Read, b.Read) && sameHeld(a.Write, b.Write) &&
		maps.EqualFunc(a.Methods, b.Methods, sameHeld) && maps.EqualFunc(a.Credentials, b.Credentials, sameHeld)
}

func sameHeld(a, b *Held) bool {
	return a == b || a != nil && b != nil && a.Lost.Equal(b.Lost)
}

// Len returns the count of topics remembered.
func (h *History) Len() int {
	n := 0
	for _, entries := range h.apps {
		n += len(entries)
	}
	return n
}

func (h *History) put(e *Entry) {
	k := appKey{e.Environment, e.Application}
	if h.apps[k] == nil {
		h.apps[k] = map[string]*Entry{}
	}
	h.apps[k][e.Exposed] = e
}

func (h *History) forget(e *Entry) { delete(h.apps[appKey{e.Environment, e.Application}], e.Exposed) }

// complete gives an entry the tables that JSON leaves out when they are empty.
func (e *Entry) complete() *Entry {
	if e.Methods == nil {
		e.Methods = map[grant.Method]*Held{}
	}
	if e.Credentials == nil {
		e.Credentials = map[string]*Held{}
	}
	return e
}

func (e *Entry) clone() *Entry {
	c := *e
	c.Read, c.Write = e.Read.clone(), e.Write.clone()
	c.Methods, c.Credentials = map[grant.Method]*Held{}, map[string]*Held{}
	for m, held := range e.Methods {
		c.Methods[m] = held.clone()
	}
	for name, held := range e.Credentials {
		c.Credentials[name] = held.clone()
	}
	return &c
}

// clone returns a history in which the applications in scope of an environment can be
// changed; it shares the others.
func (h *History) clone(environment string, in scope) *History {
	next := &History{apps: map[appKey]map[string]*Entry{}, proved: &proofs{made: map[grant.Key]proof{}}, kept: map[string]*kept{}}
	if h == nil || h.proved == nil {
		next.proved.key = make([]byte, sha256.Size)
		rand.Read(next.proved.key) // never fails (crypto/rand)
	} else {
		next.proved.key = h.proved.key
	}
	if h == nil {
		return next
	}
	maps.Copy(next.kept, h.kept)
	for k, entries := range h.apps {
		if k.environment != environment || !in.has(k.application) {
			next.apps[k] = entries
			continue
		}
		for _, e := range entries {
			next.put(e.clone())
		}
	}
	return next
}

func (h *History) find(environment, application, exposed string) *Entry {
	return h.apps[appKey{environment, application}][exposed]
}

// of returns the entries of one application, by exposed name.
func (h *History) of(environment, application string) []*Entry {
	return slices.SortedFunc(maps.Values(h.apps[appKey{environment, application}]), func(a, b *Entry) int { return cmp.Compare(a.Exposed, b.Exposed) })
}

// latest returns the entry that was lost last, or nil.
func (h *History) latest(environment, application string) *Entry {
	var last *Entry
	for _, e := range h.of(environment, application) {
		if last == nil || e.Lost.IsZero() || !last.Lost.IsZero() && e.Lost.After(last.Lost) {
			last = e
		}
	}
	return last
}

// recall adds what a snapshot says that a history does not: for a history that
// was lost, and for topics that opened by themselves since it was written.
func (h *History) recall(s *grant.Snapshot, applications map[string]*resource.Application, in scope, now time.Time) {
	if s == nil {
		return
	}
	for c := range s.All() {
		if applications[c.Grant.Application] == nil || !in.has(c.Grant.Application) {
			continue
		}
		for _, t := range c.Grant.Topics {
			phase := t.At(now)
			if phase.State == grant.Refused {
				continue
			}
			e := h.find(c.Grant.Environment, c.Grant.Application, t.Exposed)
			if e == nil {
				e = &Entry{Environment: c.Grant.Environment, Application: c.Grant.Application, Exposed: t.Exposed, Methods: map[grant.Method]*Held{}, Credentials: map[string]*Held{},
					Backing: t.Backing, Cluster: c.Grant.Cluster, ID: t.ID, Subscription: t.Subscription, Ends: endOf(t.Phases)}
				if phase.State == grant.Ended {
					e.Lost = phase.From
				}
				h.put(e)
			}
			recallRight(&e.Read, t.Read)
			recallRight(&e.Write, t.Write)
			if c.Method == grant.Inside {
				continue // is no way in of its own
			}
			if e.Methods[c.Method] == nil {
				e.Methods[c.Method] = &Held{Lost: e.Lost}
			}
			if e.Credentials[c.Name] == nil {
				e.Credentials[c.Name] = &Held{Lost: e.Lost}
			}
		}
	}
}

func recallRight(held **Held, r grant.Right) {
	if *held != nil {
		return
	}
	switch r.Access {
	case grant.Granted:
		*held = &Held{}
	case grant.Withdrawn:
		*held = &Held{Lost: r.Until.Add(-Memory)}
	}
}

// prune forgets deleted applications and what nobody asks for any more. An entry
// of a topic that is still in the documents stays, since it dates its end.
func (h *History) prune(environment string, applications map[string]*resource.Application, in scope, now time.Time) {
	forgotten := func(held *Held) bool {
		return held != nil && !held.Lost.IsZero() && !now.Before(held.Lost.Add(Memory))
	}
	for k, entries := range h.apps {
		if k.environment != environment || !in.has(k.application) {
			continue
		}
		if applications[k.application] == nil || len(entries) == 0 {
			delete(h.apps, k)
			continue
		}
		for _, e := range entries {
			if forgotten(e.Read) {
				e.Read = nil
			}
			if forgotten(e.Write) {
				e.Write = nil
			}
			maps.DeleteFunc(e.Methods, func(_ grant.Method, held *Held) bool { return forgotten(held) })
			maps.DeleteFunc(e.Credentials, func(_ string, held *Held) bool { return forgotten(held) })
		}
	}
}
