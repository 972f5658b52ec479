// Package plainjson reads JSON that we wrote ourselves, several times as fast as
// encoding/json: a start reads hundreds of thousands of small documents. Its main type is
// Reader. It takes only the plain form that json.Marshal gives most values, and leaves
// whatever else it meets to encoding/json, so that the outcome is always the same. It
// knows nothing of what it reads.
package plainjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reader reads values of one type. It is immutable and safe for concurrent use.
type Reader[T any] struct{ root *node }

// Of returns the reader of a type. It looks at the type once, so keep it.
func Of[T any]() Reader[T] {
	return Reader[T]{nodeOf(reflect.TypeFor[T](), map[reflect.Type]bool{})}
}

// Read sets a zero value to what json.Unmarshal would set it to, with its error.
func (r Reader[T]) Read(b []byte, into *T) error {
	s := scanner{b: b}
	if len(b) <= wholeBytes {
		s.text = string(b)
	}
	if s.value(r.root, reflect.ValueOf(into).Elem()) && s.at == len(b) {
		return nil
	}
	*into = *new(T)
	return json.Unmarshal(b, into)
}

// wholeBytes is up to how long a text is kept whole, which is one piece of memory instead
// of one for each string in it.
const wholeBytes = 4 << 10

// form is how a type is read.
type form uint8

const (
	other form = iota // left to encoding/json
	text
	boolean
	integer
	moment
	texts // what reads itself from a text
	list
	table
	object
	pointer
)

// node is a type.
type node struct {
	form   form
	typ    reflect.Type
	of     *node // of a list, a table or a pointer
	fields []field
}

type field struct {
	key   string // as it stands before the value, with quotes and colon
	index int
	node  *node
}

var (
	readsJSON = reflect.TypeFor[json.Unmarshaler]()
	readsText = reflect.TypeFor[encoding.TextUnmarshaler]()
	times     = reflect.TypeFor[time.Time]()
)

// nodeOf looks at a type; within are those that it is a part of.
func nodeOf(t reflect.Type, within map[reflect.Type]bool) *node {
	n := &node{typ: t}
	self := reflect.PointerTo(t)
	switch {
	case t == times:
		n.form = moment
		return n
	case t.Implements(readsJSON) || self.Implements(readsJSON) || within[t]:
		return n
	case t.Kind() != reflect.Pointer && self.Implements(readsText):
		n.form = texts
		return n
	}
	within[t] = true
	defer delete(within, t)
	inner := func(f form) {
		if n.of = nodeOf(t.Elem(), within); n.of.form != other {
			n.form = f
		}
	}
	switch t.Kind() {
	case reflect.String:
		n.form = text
	case reflect.Bool:
		n.form = boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.form = integer
	case reflect.Pointer:
		inner(pointer)
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // bytes are in base64
			inner(list)
		}
	case reflect.Map:
		if t.Key().Kind() == reflect.String && !t.Key().Implements(readsText) && !reflect.PointerTo(t.Key()).Implements(readsText) {
			inner(table)
		}
	case reflect.Struct:
		n.form = object
		for f := range t.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous || strings.Contains(options, "string") || len(n.fields) == 64:
				n.form, n.fields = other, nil
				return n
			case !f.IsExported() || name == "-":
				continue
			case name == "":
				name = f.Name
			}
			n.fields = append(n.fields, field{`"` + name + `":`, f.Index[0], nodeOf(f.Type, within)})
		}
	}
	return n
}

// scanner is where in a text one is. Its methods report false for what is left to
// encoding/json.
type scanner struct {
	b    []byte
	text string // b, if its strings may be parts of it
	at   int
}

// take goes on behind c, if that is next.
func (s *scanner) take(c byte) bool {
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) takeText(t string) bool {
	if len(s.b)-s.at >= len(t) && string(s.b[s.at:s.at+len(t)]) == t {
		s.at += len(t)
		return true
	}
	return false
}

// quoted returns where a string begins and ends, without its quotes.
func (s *scanner) quoted() (from, to int, ok bool) {
	if !s.take('"') {
		return 0, 0, false
	}
	from = s.at
	ascii := true
	for i, c := range s.b[from:] {
		switch {
		case c == '"':
			to = from + i
			s.at = to + 1
			return from, to, ascii || utf8.Valid(s.b[from:to])
		case c < ' ' || c == '\\':
			return 0, 0, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return 0, 0, false
}

func (s *scanner) string() (string, bool) {
	from, to, ok := s.quoted()
	switch {
	case !ok:
		return "", false
	case s.text != "":
		return s.text[from:to], true
	}
	return string(s.b[from:to]), true
}

func (s *scanner) value(n *node, into reflect.Value) bool {
	switch n.form {
	case text:
		t, ok := s.string()
		into.SetString(t)
		return ok
	case boolean:
		yes := s.takeText("true")
		into.SetBool(yes)
		return yes || s.takeText("false")
	case integer:
		return s.integer(into)
	case moment, texts:
		from, to, ok := s.quoted()
		return ok && into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s.b[from:to]) == nil
	case pointer:
		into.Set(reflect.New(n.typ.Elem()))
		return s.value(n.of, into.Elem())
	case list:
		return s.list(n, into)
	case table:
		return s.table(n, into)
	case object:
		return s.object(n, into)
	}
	return false
}

func (s *scanner) integer(into reflect.Value) bool {
	from := s.at
	s.take('-')
	digits := s.at
	for s.at < len(s.b) && '0' <= s.b[s.at] && s.b[s.at] <= '9' {
		s.at++
	}
	if s.at == digits || s.b[digits] == '0' && s.at > digits+1 {
		return false
	}
	i, err := strconv.ParseInt(string(s.b[from:s.at]), 10, 64)
	if err != nil || into.OverflowInt(i) {
		return false
	}
	into.SetInt(i)
	return true // with a fraction or an exponent behind it, what comes next is not found
}

func (s *scanner) list(n *node, into reflect.Value) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		into.Set(reflect.MakeSlice(n.typ, 0, 0))
		return true
	}
	for i := 0; ; i++ {
		if i == into.Cap() {
			into.Grow(max(1, i))
		}
		into.SetLen(i + 1)
		if !s.value(n.of, into.Index(i)) {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

func (s *scanner) table(n *node, into reflect.Value) bool {
	if !s.take('{') {
		return false
	}
	into.Set(reflect.MakeMap(n.typ))
	if s.take('}') {
		return true
	}
	key := reflect.New(n.typ.Key()).Elem()
	for {
		name, ok := s.string()
		if !ok || !s.take(':') {
			return false
		}
		key.SetString(name)
		one := reflect.New(n.of.typ).Elem()
		if into.MapIndex(key).IsValid() || !s.value(n.of, one) {
			return false
		}
		into.SetMapIndex(key, one)
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// object reads a struct. Each field comes once, under its very name.
func (s *scanner) object(n *node, into reflect.Value) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	var seen uint64
	for next := 0; ; {
		i := n.named(s.b[s.at:], next)
		if i < 0 || seen&(1<<i) != 0 {
			return false
		}
		seen |= 1 << i
		next = i + 1
		f := n.fields[i]
		s.at += len(f.key)
		if !s.value(f.node, into.Field(f.index)) {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// named returns which field's name comes next, or -1. Fields stand in their order,
// without those that are left out, so that the search begins behind the last one.
func (n *node) named(b []byte, next int) int {
	for k := range n.fields {
		i := (next + k) % len(n.fields)
		if bytes.HasPrefix(b, []byte(n.fields[i].key)) {
			return i
		}
	}
	return -1
}
