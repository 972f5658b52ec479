package script

import (
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Recording is what one script saw and did: by place ("1 Produce v9 by name/Topics[orders].Partitions[0].ErrorCode") the
// value there, as text.
type Recording map[string]string

// Difference is a place where two recordings differ; a place that one of them does not have is "absent" there.
type Difference struct{ Place, A, B string }

const absent = "absent"

// Compare returns where two recordings differ, in the order of places. What is missing as a whole, an element of an
// array or an answer, is one difference at its own place, "there" or "absent".
func Compare(a, b Recording) []Difference {
	inA, inB := above(a), above(b)
	found := map[string]Difference{}
	for place, va := range a {
		if vb, ok := b[place]; !ok {
			whole := missing(place, inB)
			if whole != place {
				va = there
			}
			found[whole] = Difference{whole, va, absent}
		} else if va != vb {
			found[place] = Difference{place, va, vb}
		}
	}
	for place, vb := range b {
		if _, ok := a[place]; !ok {
			whole := missing(place, inA)
			if whole != place {
				vb = there
			}
			if d, ok := found[whole]; ok { // a value there, a structure here
				d.B = vb
				found[whole] = d
				continue
			}
			found[whole] = Difference{whole, absent, vb}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(x, y Difference) int { return strings.Compare(x.Place, y.Place) })
}

const there = "there"

// above returns everything that stands above or at the places of a recording.
func above(r Recording) map[string]bool {
	all := map[string]bool{}
	for place := range r {
		for _, at := range steps(place) {
			all[at] = true
		}
	}
	return all
}

// missing returns the shortest part of a place that is not there.
func missing(place string, there map[string]bool) string {
	for _, at := range steps(place) {
		if !there[at] {
			return at
		}
	}
	return place
}

// steps returns a place and what is above it, from the top: an answer, then each element of an array.
func steps(place string) []string {
	var out []string
	answer := strings.Index(place, separator)
	if answer < 0 {
		return []string{place}
	}
	out = append(out, place[:answer])
	depth := 0
	for i := answer; i < len(place); i++ {
		switch place[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				out = append(out, place[:i+1])
			}
		}
	}
	if out[len(out)-1] != place {
		out = append(out, place)
	}
	return out
}

// separator stands between an answer and the fields in it.
const separator = ": "

// names turns what differs between two clusters, or two runs, into symbols: the same thing gets the same symbol within
// one recording, in the order in which things are first seen.
type names struct {
	tag     string // stands in every name that scripts make
	cell    string // stands in the names of this script's groups, transactional ids and own topics
	ids     map[[16]byte]string
	symbols map[string]string
	count   map[string]int
	host    string // where this lane's clients connect
	port    int32
}

func newNames(tag, cell, host string, port int32, ids map[[16]byte]string) *names {
	return &names{tag: tag, cell: cell, host: host, port: port, ids: ids, symbols: map[string]string{}, count: map[string]int{}}
}

// symbol stands for a value of a kind.
func (n *names) symbol(kind, value string) string {
	if value == "" {
		return `""`
	}
	s, ok := n.symbols[kind+" "+value]
	if !ok {
		n.count[kind]++
		s = fmt.Sprintf("%s-%d", kind, n.count[kind])
		n.symbols[kind+" "+value] = s
	}
	return s
}

// text is a string or bytes with names in them.
func (n *names) text(s string) string {
	if n.tag != "" {
		s = strings.ReplaceAll(s, n.tag, "~")
	}
	return fmt.Sprintf("%q", rejection.ReplaceAllString(s, "rejection R"))
}

func (n *names) id(id [16]byte) string {
	if id == ([16]byte{}) {
		return "none"
	}
	if s := n.ids[id]; s != "" {
		return "id of " + s
	}
	return n.symbol("id", hex.EncodeToString(id[:]))
}

// hiddenFields are not compared at all.
var hiddenFields = map[string]bool{
	"Version":        true,
	"ThrottleMillis": true, // quotas, and how busy a broker is
}

// symbolFields hold values that a cluster makes up.
var symbolFields = map[string]string{
	"MemberID": "member", "LeaderID": "member", "ClusterID": "cluster", "ProducerID": "producer", "SessionID": "session", "ClientInstanceID": "instance",
	"SubscriptionID": "subscription",
}

// timeFields hold moments that a broker takes from its clock: compared is whether there is one.
var timeFields = map[string]bool{"StartTimestamp": true, "LastTimestamp": true, "LogAppendTime": true, "SessionLifetimeMillis": true, "StateTimestamp": true}

// write adds what a value says below a place.
func (n *names) write(out Recording, place, field string, v reflect.Value) {
	kind := v.Kind()
	switch {
	case kind == reflect.Pointer || kind == reflect.Interface:
		if v.IsNil() {
			out[place] = "null"
			return
		}
		n.write(out, place, field, v.Elem())
	case v.Type() == reflect.TypeFor[[16]byte]():
		out[place] = n.id(v.Interface().([16]byte))
	case v.Type() == reflect.TypeFor[kmsg.Tags]():
		tags := v.Interface().(kmsg.Tags)
		tags.Each(func(key uint32, b []byte) { out[fmt.Sprintf("%s.%d", place, key)] = hex.EncodeToString(b) })
	case kind == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && !hiddenFields[f.Name] {
				n.write(out, below(place)+f.Name, f.Name, v.Field(i))
			}
		}
	case kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		if field == "RecordBatches" || field == "Records" {
			n.records(out, place, v.Bytes())
			return
		}
		out[place] = n.text(string(v.Bytes()))
	case kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		n.list(out, place, v)
	case kind == reflect.Slice:
		if v.IsNil() {
			out[place] = "null"
			return
		}
		var parts []string
		for i := range v.Len() {
			e := v.Index(i)
			switch {
			case e.Kind() == reflect.String:
				parts = append(parts, n.text(e.String()))
			case e.Type() == reflect.TypeFor[[16]byte]():
				parts = append(parts, n.id(e.Interface().([16]byte)))
			default:
				parts = append(parts, fmt.Sprint(e.Interface()))
			}
		}
		out[place] = "[" + strings.Join(parts, " ") + "]"
	case kind == reflect.String:
		out[place] = n.string(field, v.String())
	case symbolFields[field] != "" && v.CanInt():
		if v.Int() == 0 || v.Int() < 0 && field != "SubscriptionID" {
			out[place] = fmt.Sprint(v.Int())
			return
		}
		out[place] = n.symbol(symbolFields[field], fmt.Sprint(v.Int()))
	case timeFields[field]:
		out[place] = map[bool]string{true: "a moment", false: fmt.Sprint(v.Interface())}[v.Int() > 0]
	case field == "Port" && v.CanInt():
		out[place] = map[bool]string{true: "its port", false: fmt.Sprint(v.Int())}[v.Int() == int64(n.port)]
	default:
		out[place] = fmt.Sprint(v.Interface())
	}
}

func (n *names) string(field, s string) string {
	switch {
	case symbolFields[field] != "":
		return n.symbol(symbolFields[field], s)
	case field == "Host" && s == n.host:
		return "its host"
	}
	return n.text(s)
}

// below is a place with what stands before the name of a field in it.
func below(place string) string {
	if !strings.Contains(place, separator) {
		return place + separator
	}
	return place + "."
}

// list writes the elements of an array by what they are about, since Kafka promises no order.
func (n *names) list(out Recording, place string, v reflect.Value) {
	if v.IsNil() || v.Len() == 0 {
		out[place] = "empty"
		return
	}
	seen := map[string]int{}
	for i := range v.Len() {
		label := n.label(v.Index(i))
		if n.foreignCell(label) {
			continue // of another script: in a listing
		}
		seen[label]++
		at := fmt.Sprintf("%s[%s]", place, label)
		if seen[label] > 1 {
			at = fmt.Sprintf("%s[%s #%d]", place, label, seen[label])
		}
		n.write(out, at, "", v.Index(i))
	}
}

// foreignCell reports whether something has the name that another script gave it.
func (n *names) foreignCell(label string) bool {
	at := strings.Index(label, cellMark)
	return n.cell != "" && at >= 0 && !strings.HasPrefix(label[at:], n.cell)
}

// cellMark begins the name of a cell.
const cellMark = "cell."

var keyFields = []string{"Topic", "TopicName", "Group", "GroupID", "TransactionalID", "Key", "ResourceName", "ConfigName", "Name", "ApiKey", "NodeID", "MemberID", "InstanceID", "ProducerID", "Partition", "TopicID", "CoordinatorKey"}

// label says what an element of an array is about.
func (n *names) label(v reflect.Value) string {
	for _, name := range keyFields {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		for f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		switch {
		case f.Kind() == reflect.String && f.String() != "":
			return strings.Trim(n.string(name, f.String()), `"`)
		case f.Type() == reflect.TypeFor[[16]byte]() && f.Interface() != [16]byte{}:
			return n.id(f.Interface().([16]byte))
		case name == "ProducerID" && f.CanInt() && f.Int() > 0:
			return n.symbol("producer", fmt.Sprint(f.Int()))
		case f.CanInt():
			return fmt.Sprint(f.Int())
		}
	}
	return "element"
}

// records writes what fetched record batches hold.
func (n *names) records(out Recording, place string, b []byte) {
	batches, err := batchesIn(b)
	if err != nil {
		out[place] = err.Error()
		return
	}
	if len(batches) == 0 {
		out[place] = "no records"
	}
	for _, rb := range batches {
		at := fmt.Sprintf("%s[at %d]", place, rb.FirstOffset)
		first, last := fmt.Sprint(rb.FirstTimestamp), fmt.Sprint(rb.MaxTimestamp)
		content := n.text(string(rb.Records))
		if rb.Attributes&control != 0 { // the broker's own, with its clock
			first, last = "a moment", "a moment"
		}
		out[at] = fmt.Sprintf("%d records, epoch %d, attributes %#x, times %s to %s, %s epoch %d sequence %d, %s", rb.NumRecords, rb.PartitionLeaderEpoch,
			rb.Attributes, first, last, n.producer(rb.ProducerID), rb.ProducerEpoch, rb.FirstSequence, content)
	}
}

func (n *names) producer(id int64) string {
	if id < 0 {
		return "no producer"
	}
	return n.symbol("producer", fmt.Sprint(id))
}
