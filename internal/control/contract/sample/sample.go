// Package sample makes up records that could be real: values that fit the schemas of a
// channel's messages, JSON Schema, Avro and Protobuf alike, and look like what their
// names promise. Its main type is Maker. What is made follows from a seed and from the
// times that are asked for, and from nothing else.
//
// Things come again: where a field names what a record is about, an order goes on from
// placed to paid, and a van drives on from where it was. Every value is checked by
// control/contract/codec before it is given out. It knows nothing of topics and of Kafka.
//
// Schemas come from strangers: what is tried for one value is bounded.
package sample

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/codec"
	"sluice/internal/control/contract/fields"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// SchemaID stands in front of records where a contract promises the id of a schema
// registry: nobody registered what is made up here.
const SchemaID = 1

// What one value may take.
const (
	maxTries  = 24
	maxValues = 4000 // in one record
	maxDepth  = 40
	maxAlive  = 48 // things on their way through their states
	standing  = 12 // things that stay
)

// Record is a made-up record: as people read it, and as bytes.
type Record struct {
	// Message is the contract's.
	Message string
	// Key and Value are JSON as codec takes it; Key is nil where there is none.
	Key, Value           *tree.Node
	KeyBytes, ValueBytes []byte
	Headers              []codec.Header
}

// Maker makes the records of a channel. It is for one goroutine.
type Maker struct {
	codec    *codec.Codec
	seed     uint64
	messages []*message
	// stages says that a thing goes through the messages in their order.
	stages bool
	made   uint64
	last   uint64 // number of the thing that came last
	alive  []*thing
}

// message is one of a channel, with what was found out about it.
type message struct {
	*contract.Message
	key, value, headers source
	// identity is the path of the field that says what a record is about, "" for none.
	identity string
	noun     []string // words of the record's name
	life     bool     // it has a state that goes on
	moves    bool     // it has what changes little by little
	tactic   int      // that was good the last time
}

// source makes values of one schema.
type source interface {
	make(g *maker, at place) *tree.Node
}

// thing is what records are about: an order, a van.
type thing struct {
	number uint64
	seed   uint64
	born   time.Time
	step   int // records about it so far
	ended  bool
}

// New returns what makes the records of messages: those of a channel. It is an error
// when nothing can be made that fits, and says of which message.
func New(messages []*contract.Message, seed uint64) (*Maker, error) {
	if len(messages) == 0 {
		return nil, errors.New("the channel has no message")
	}
	m := &Maker{codec: codec.New(messages), seed: mix(seed)}
	budget := schema.NewBudget()
	for _, one := range messages {
		n := &message{Message: one}
		var err error
		for _, part := range []struct {
			of   *schema.Schema
			into *source
			what string
		}{{one.Key, &n.key, "key"}, {one.Payload, &n.value, "payload"}, {one.Headers, &n.headers, "headers"}} {
			if *part.into, err = sourceOf(part.of, budget); err != nil {
				return nil, fmt.Errorf("message %s: %s: %w", one.Name, part.what, err)
			}
		}
		n.identify()
		m.messages = append(m.messages, n)
	}
	m.stages = len(m.messages) > 1 && m.messages[0].identity != ""
	for _, n := range m.messages {
		m.stages = m.stages && n.identity == m.messages[0].identity
		if _, err := m.about(n, &thing{number: 1, seed: mix(m.seed), born: epoch}, epoch); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// epoch is any time; of the records that New tries.
var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// sourceOf returns what makes values of a schema; nil for none, and for a language that
// is not understood.
func sourceOf(s *schema.Schema, budget schema.Budget) (source, error) {
	if s == nil || s.Root == nil || s.Kind() == schema.Other {
		return nil, nil
	}
	v, findings := schema.Compile(s, budget)
	if v == nil {
		for _, f := range findings {
			return nil, errors.New(f.Message)
		}
		return nil, nil
	}
	switch s.Kind() {
	case schema.Avro:
		return newAvro(v.Avro()), nil
	case schema.Protobuf:
		return protobufSource{v.Protobuf()}, nil
	}
	return jsonSource{s}, nil
}

// Examples returns the records that the document gives as examples, as far as they fit
// and can be written.
func (m *Maker) Examples() []Record {
	var out []Record
	for _, n := range m.messages {
		for _, e := range n.Message.Examples.Elements() {
			payload := e.Get("payload")
			if payload == nil {
				continue
			}
			if r, err := m.finish(n, payload, e.Get("headers"), nil); err == nil {
				out = append(out, r)
			}
		}
	}
	return out
}

// Next makes a record of now. Times are to be asked for as they come.
func (m *Maker) Next(now time.Time) (Record, error) {
	m.made++
	n := m.messages[0]
	if !m.stages && len(m.messages) > 1 {
		n = m.messages[draw(m.seed, m.made, 1).IntN(len(m.messages))]
	}
	t := m.thing(n, now)
	if m.stages {
		n = m.messages[min(t.step, len(m.messages)-1)]
		t.ended = t.step >= len(m.messages)-1
	}
	r, err := m.about(n, t, now)
	t.step++
	return r, err
}

// thing returns what the next record is about.
func (m *Maker) thing(n *message, now time.Time) *thing {
	random := draw(m.seed, m.made, 2)
	lives := n.identity != "" && (n.life || m.stages)
	m.alive = slices.DeleteFunc(m.alive, func(t *thing) bool { return t.ended })
	switch {
	case n.identity != "" && n.moves && !lives:
		for len(m.alive) < standing {
			number := uint64(len(m.alive) + 1)
			m.alive = append(m.alive, &thing{number: number, seed: mix(m.seed ^ number), born: now.Add(-time.Hour)})
		}
		return m.alive[int(m.made)%standing]
	case lives && len(m.alive) > 2 && (len(m.alive) == maxAlive || random.Float64() < 0.65):
		return m.alive[random.IntN(len(m.alive))]
	}
	// Numbers follow the clock, so that a thing of after a start is not one of before.
	number := max(uint64(now.Unix()), m.last+1)
	m.last = number
	t := &thing{number: number, seed: mix(m.seed ^ number), born: now}
	if lives {
		m.alive = append(m.alive, t)
	}
	return t
}

// about makes a record about a thing.
func (m *Maker) about(n *message, t *thing, now time.Time) (Record, error) {
	var failed error
	for try := range maxTries {
		tactic := (n.tactic + try) % maxTries
		g := &maker{message: n, thing: t, salt: uint64(tactic), lean: tactic >= maxTries/3, now: now, count: m.made, left: maxValues}
		r, err := m.attempt(n, g)
		if err == nil {
			n.tactic, n.life, n.moves = tactic, n.life || g.sawState, n.moves || g.sawMoving
			t.ended = t.ended || g.final
			return r, nil
		}
		if failed == nil {
			failed = err
		}
	}
	return Record{}, fmt.Errorf("message %s: nothing made up fits its schemas: %w", n.Name, failed)
}

func (m *Maker) attempt(n *message, g *maker) (Record, error) {
	root := place{words: n.noun, hash: 1}
	var value, headers *tree.Node
	if n.value == nil {
		value = tree.NewObject().Set("id", tree.Text(g.name(root.in("id")))).Set("time", tree.Text(instant(g.now)))
	} else if value = n.value.make(g, root); value == nil {
		return Record{}, errors.New("its conditions are not understood")
	}
	if n.headers != nil {
		if headers = n.headers.make(g, place{words: []string{"header"}, hash: 2}); headers == nil {
			return Record{}, errors.New("the conditions of its headers are not understood")
		}
	}
	return m.finish(n, value, headers, g)
}

// finish gives a value key and headers, and makes bytes of them, which is the check that
// they fit.
func (m *Maker) finish(n *message, value, headers *tree.Node, g *maker) (r Record, err error) {
	r = Record{Message: n.Name, Value: value}
	if r.ValueBytes, err = m.codec.Encode(n.Name, codec.Value, value.Compact(), SchemaID); err != nil {
		return r, err
	}
	own := find(value, n.identity)
	switch {
	case n.key == nil && own != nil:
		r.Key = own
	case n.key != nil:
		for _, candidate := range []func() *tree.Node{
			func() *tree.Node { return own },
			func() *tree.Node { return keyOf(n.Key, value) },
			func() *tree.Node {
				if g == nil {
					g = &maker{message: n, thing: &thing{number: 1, seed: mix(m.seed), born: epoch}, now: epoch, left: maxValues}
				}
				return n.key.make(g, place{words: append(slices.Clip(n.noun), "key"), hash: 3, identity: true})
			},
		} {
			if r.Key = candidate(); r.Key == nil {
				continue
			}
			if r.KeyBytes, err = m.codec.Encode(n.Name, codec.Key, r.Key.Compact(), SchemaID); err == nil {
				break
			}
		}
		if r.Key == nil || err != nil {
			return r, errors.Join(errors.New("no key fits"), err)
		}
	}
	if n.key == nil && r.Key != nil {
		if r.KeyBytes, err = m.codec.Encode(n.Name, codec.Key, r.Key.Compact(), SchemaID); err != nil {
			return r, err
		}
	}
	if headers != nil {
		if r.Headers, err = m.codec.Headers(n.Name, headers.Compact()); err != nil {
			return r, err
		}
	}
	if n.CloudEvents.Mode == "binary" && !slices.ContainsFunc(r.Headers, func(h codec.Header) bool { return h.Name == "content-type" }) {
		r.Headers = append(r.Headers, codec.Header{Name: "content-type", Value: []byte(n.ContentType)})
	}
	return r, nil
}

// find returns what is at a path of names, nil for nothing or for what is no name.
func find(value *tree.Node, path string) *tree.Node {
	if path == "" {
		return nil
	}
	n := value.At(dotted(path)...)
	if n.Is(tree.String) || n.Is(tree.Number) {
		return n.Copy(nil)
	}
	return nil
}

// keyOf makes a key of several fields of those that the value has, too.
func keyOf(key *schema.Schema, value *tree.Node) *tree.Node {
	out := tree.NewObject()
	for _, f := range fieldsOf(key) {
		if v := value.Get(f.Name); v != nil {
			out.Set(f.Name, v.Copy(nil))
		}
	}
	if len(out.Fields) == 0 {
		return nil
	}
	return out
}

func fieldsOf(s *schema.Schema) []*fields.Field {
	if t := fields.Of(s); t != nil {
		return t.Root.Fields
	}
	return nil
}

// identify finds the field that says what a record is about.
func (n *message) identify() {
	t := fields.Of(n.Payload)
	if t == nil {
		return
	}
	for _, name := range []string{t.Name, n.Message.Rest.Get("title").Str(), n.Component, n.Name} {
		n.noun = append(n.noun, words(name)...)
	}
	top, prefix := t.Root.Fields, ""
	names := map[string]*fields.Field{}
	for _, f := range top {
		names[f.Name] = f
	}
	if names["specversion"] != nil && names["data"] != nil { // an event in an envelope (CloudEvents 1.0)
		top, prefix = names["data"].Fields, "data."
	}
	candidates := slices.DeleteFunc(slices.Clone(top), func(f *fields.Field) bool { return len(f.Fields) > 0 || f.Variant || !namesSomething(f.Name) })
	if len(candidates) == 0 {
		return
	}
	said := []string{}
	if k := fields.Of(n.Key); k != nil {
		said = append(words(k.Root.Title), words(k.Root.Description)...)
		said = append(said, words(k.Name)...)
		for _, f := range k.Root.Fields {
			said = append(said, words(f.Name)...)
		}
	}
	best, score := candidates[0], -1
	for i, f := range candidates {
		w := words(f.Name)
		s := 0
		if containsRun(said, w) {
			s += 100
		}
		switch {
		case len(w) == 1:
			s += 20
		case slices.Contains(n.noun, w[0]):
			s += 30
		}
		if f.Required {
			s += 10
		}
		if s -= min(i, 9); s > score {
			best, score = f, s
		}
	}
	n.identity = prefix + best.Name
}

// containsRun says whether words stand in others one behind the other.
func containsRun(in, run []string) bool {
	for i := range in {
		if len(in)-i >= len(run) && slices.Equal(in[i:i+len(run)], run) {
			return len(run) > 0
		}
	}
	return false
}

// namesSomething says whether a field's name is that of an identifier of a thing, not of
// an event.
func namesSomething(name string) bool {
	w := words(name)
	if len(w) == 0 {
		return false
	}
	for _, of := range []string{"event", "message", "trace", "span", "correlation", "request", "causation", "idempotency", "session", "schema"} {
		if w[0] == of {
			return false
		}
	}
	switch w[len(w)-1] {
	case "id", "uuid", "guid", "number", "no", "nr", "sku", "vin", "iban", "isin", "ean", "gtin", "code", "key", "ref", "reference", "identifier", "icao", "imei", "mmsi":
		return true
	}
	return false
}

// maker makes one value.
type maker struct {
	message  *message
	thing    *thing
	salt     uint64
	lean     bool // leaves out what need not be there
	now      time.Time
	count    uint64 // of the record
	left     int    // values that may still be made
	sawState bool
	// sawMoving: something changes little by little.
	sawMoving bool
	final     bool // the state that was made is a last one
}

// place is where a value stands.
type place struct {
	words    []string // of the names that lead there
	own      int      // of these, how many are its own name's
	path     string   // names joined by dots
	hash     uint64
	depth    int
	many     bool // in an array or map
	identity bool
}

// in is the place of a field.
func (p place) in(name string) place {
	w := words(name)
	q := place{words: append(slices.Clip(p.words), w...), own: len(w), hash: chain(p.hash, name), depth: p.depth + 1, many: p.many, path: name}
	if p.path != "" {
		q.path = p.path + "." + name
	}
	return q
}

// item is the place of an item of an array, or of an entry of a map.
func (p place) item(i int) place {
	q := p
	q.words = slices.Clone(p.words)
	if n := len(q.words); n > 0 {
		q.words[n-1] = singular(q.words[n-1])
	}
	q.hash, q.depth, q.many, q.path = chain(p.hash, "[]")+uint64(i), p.depth+1, true, p.path+"[]"
	return q
}

// take counts a value, and says whether there may be one more, so deep.
func (g *maker) take(at place) bool {
	g.left--
	return g.left >= 0 && at.depth < maxDepth
}

// own says whether a place is where the thing's own name stands.
func (g *maker) own(at place) bool {
	return at.identity || g.message.identity != "" && at.path == g.message.identity
}

// steady returns random numbers that are the same for a thing and a place; fresh others
// for every record.
func (g *maker) steady(at place) *random {
	return draw(g.thing.seed, at.hash, 2*g.salt)
}

func (g *maker) fresh(at place) *random {
	return draw(g.thing.seed, at.hash, 2*g.salt+1+mix(g.count)&^1)
}

// wander is between -1 and 1 and changes slowly, each place on its own.
func (g *maker) wander(at place, period time.Duration) float64 {
	t := float64(g.now.UnixMilli()) / float64(period.Milliseconds())
	i := math.Floor(t)
	knot := func(i float64) float64 {
		return draw(g.thing.seed, at.hash, uint64(int64(i))).Float64()*2 - 1
	}
	f := t - i
	f = f * f * (3 - 2*f)
	return knot(i)*(1-f) + knot(i+1)*f
}

// some is how many items there are between bounds; most < 0 is no bound.
func (g *maker) some(at place, least, most int) int {
	if g.lean {
		return least
	}
	wish := 1 + g.steady(at).IntN(3)
	if most >= 0 {
		wish = min(wish, most)
	}
	return max(wish, least)
}

// present says whether what need not be there is.
func (g *maker) present(at place) bool {
	return !g.lean && at.depth < 12 && g.steady(at).Float64() < 0.88
}

// pick chooses one of several texts, the first ones more often.
func (g *maker) pick(at place, all []string) string {
	if s, ok := g.state(at, all); ok {
		return s
	}
	sensible := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return vague(s) })
	if len(sensible) == 0 {
		sensible = all
	}
	return sensible[g.steady(at).weighted(len(sensible))]
}

// state goes on through the states of a thing, if the texts are that.
func (g *maker) state(at place, all []string) (string, bool) {
	if at.many || at.depth > 3 || !isState(at.words[len(at.words)-at.own:], all) {
		return "", false
	}
	var way, aside []string
	for _, s := range all {
		switch {
		case vague(s):
		case sidetrack(s):
			aside = append(aside, s)
		default:
			way = append(way, s)
		}
	}
	if len(way) < 2 {
		return "", false
	}
	g.sawState = true
	if g.message.identity == "" {
		return way[g.fresh(at).weighted(len(way))], true
	}
	step := g.thing.step
	if step > 0 && len(aside) > 0 && g.fresh(at).Float64() < 0.06 {
		g.final = true
		return aside[g.fresh(at).IntN(len(aside))], true
	}
	g.final = g.final || step >= len(way)-1
	return way[min(step, len(way)-1)], true
}
