package handler

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sluice/internal/grant"
)

// Names inside the opaque bytes of classic groups. The broker reads consumers'
// subscriptions: offsets of topics it believes unsubscribed expire although the
// group is alive, and the upgrade of a group to KIP-848 reads names from there.
// So subscriptions and assignments of the "consumer" protocol are rewritten in
// both directions (ConsumerProtocolSubscription and -Assignment, versions 0 to
// 3). The walk below touches only the names and copies the rest, so that user
// data and later fields survive byte for byte.

const consumerProtocol = "consumer"

var errEmbedded = errors.New("bytes are not those of the consumer protocol")

// rewriter walks a message and copies it with other names.
type rewriter struct {
	in   []byte
	out  []byte
	name func(string) (string, bool) // false drops the entry
	err  error
}

func (w *rewriter) take(n int) []byte {
	if w.err != nil || n < 0 || n > len(w.in) {
		w.fail()
		return nil
	}
	b := w.in[:n]
	w.in = w.in[n:]
	return b
}

func (w *rewriter) fail() {
	if w.err == nil {
		w.err = errEmbedded
	}
}

func (w *rewriter) int16() int16 {
	if b := w.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (w *rewriter) int32() int32 {
	if b := w.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// count reads an array's length; each element takes at least most bytes.
func (w *rewriter) count(least int) int {
	n := int(w.int32())
	if n < -1 || n*least > len(w.in) {
		w.fail()
		return 0
	}
	return max(n, 0)
}

// array copies an array of elements that begin with a topic name; rest copies
// what follows the name of one element.
func (w *rewriter) array(least int, rest func() []byte) {
	n := w.count(least)
	at := len(w.out)
	w.out = append(w.out, 0, 0, 0, 0)
	kept := 0
	for range n {
		length := int(w.int16())
		name := w.take(length)
		tail := rest()
		if w.err != nil {
			return
		}
		mapped, ok := w.name(string(name))
		if !ok {
			continue
		}
		if len(mapped) > 1<<15-1 {
			w.fail()
			return
		}
		w.out = binary.BigEndian.AppendUint16(w.out, uint16(len(mapped)))
		w.out = append(w.out, mapped...)
		w.out = append(w.out, tail...)
		kept++
	}
	binary.BigEndian.PutUint32(w.out[at:], uint32(kept))
}

// bytes copies a nullable byte string.
func (w *rewriter) bytes() {
	start := w.in
	n := int(w.int32())
	if n > 0 {
		w.take(n)
	} else if n < -1 {
		w.fail()
	}
	if w.err == nil {
		w.out = append(w.out, start[:len(start)-len(w.in)]...)
	}
}

// partitions returns the bytes of an array of int32.
func (w *rewriter) partitions() []byte {
	start := w.in
	n := w.count(4)
	w.take(4 * n)
	if w.err != nil {
		return nil
	}
	return start[:len(start)-len(w.in)]
}

// subscription rewrites a ConsumerProtocolSubscription.
func subscription(in []byte, name func(string) (string, bool)) ([]byte, error) {
	if len(in) == 0 {
		return in, nil
	}
	w := &rewriter{in: in, out: make([]byte, 0, len(in)+64), name: name}
	version := w.int16()
	w.out = binary.BigEndian.AppendUint16(w.out, uint16(version))
	w.array(2, func() []byte { return nil })
	w.bytes() // user data
	if version >= 1 && len(w.in) > 0 {
		w.array(6, w.partitions)
	}
	if w.err != nil || version < 0 {
		return nil, fmt.Errorf("subscription: %w", errEmbedded)
	}
	return append(w.out, w.in...), nil // generation, rack, and what comes later
}

// assignment rewrites a ConsumerProtocolAssignment.
func assignment(in []byte, name func(string) (string, bool)) ([]byte, error) {
	if len(in) == 0 {
		return in, nil
	}
	w := &rewriter{in: in, out: make([]byte, 0, len(in)+64), name: name}
	version := w.int16()
	w.out = binary.BigEndian.AppendUint16(w.out, uint16(version))
	w.array(6, w.partitions)
	if w.err == nil && len(w.in) > 0 {
		w.bytes()
	}
	if w.err != nil || version < 0 {
		return nil, fmt.Errorf("assignment: %w", errEmbedded)
	}
	return append(w.out, w.in...), nil
}

func embedSubscription(g *grant.Grant, b []byte) ([]byte, error) {
	return subscription(b, func(n string) (string, bool) { return g.EmbeddedTopic(n), true })
}

func exposeSubscription(g *grant.Grant, b []byte) ([]byte, error) {
	return subscription(b, g.EmbeddedTopicExposed)
}

func embedAssignment(g *grant.Grant, b []byte) ([]byte, error) {
	return assignment(b, func(n string) (string, bool) { return g.EmbeddedTopic(n), true })
}

func exposeAssignment(g *grant.Grant, b []byte) ([]byte, error) {
	return assignment(b, g.EmbeddedTopicExposed)
}
