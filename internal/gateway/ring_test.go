package gateway

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// one writes a batch one by one.
func one(write func(*pending) error) func([]*pending) error {
	return func(batch []*pending) error {
		for _, p := range batch {
			if err := write(p); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestRingAnswersInTheClientsOrder(t *testing.T) {
	var got []int32
	r := newRing(8, one(func(p *pending) error { got = append(got, p.correlationID); return nil }))
	entries := make([]*pending, 5)
	for i := range entries {
		entries[i] = &pending{correlationID: int32(i)}
		r.push(entries[i])
	}
	for _, i := range []int{3, 1, 0, 4, 2} {
		if err := r.complete(entries[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range got {
		if int(id) != i {
			t.Fatalf("written in the order %v", got)
		}
	}
	if len(got) != 5 || !r.idle() {
		t.Errorf("wrote %v, idle %v", got, r.idle())
	}
}

func TestRingHoldsBackWhoeverPushesTooMuch(t *testing.T) {
	r := newRing(2, one(func(*pending) error { return nil }))
	first := &pending{}
	r.push(first)
	r.push(&pending{})
	pushed := make(chan bool)
	go func() { pushed <- r.push(&pending{}) }()
	select {
	case <-pushed:
		t.Fatal("a full ring took a third request")
	case <-time.After(20 * time.Millisecond):
	}
	r.complete(first, nil)
	if !<-pushed {
		t.Error("the third request was refused")
	}
	go func() { pushed <- r.push(&pending{}) }()
	r.close()
	if <-pushed {
		t.Error("a closed ring took a request")
	}
}

func TestRingStopsAtAWriteError(t *testing.T) {
	broken := errors.New("broken")
	wrote := 0
	r := newRing(4, one(func(*pending) error { wrote++; return broken }))
	a, b := &pending{}, &pending{}
	r.push(a)
	r.push(b)
	if err := r.complete(b, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.complete(a, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if wrote != 1 || r.push(&pending{}) {
		t.Errorf("wrote %d answers after the error, want no more", wrote-1)
	}
}

func TestRingUnderManyCompleters(t *testing.T) {
	next := int32(0)
	r := newRing(16, one(func(p *pending) error {
		if p.correlationID != next {
			t.Errorf("wrote %d, want %d", p.correlationID, next)
		}
		next++
		return nil
	}))
	var wg sync.WaitGroup
	for i := range int32(2000) {
		p := &pending{correlationID: i}
		r.push(p)
		wg.Go(func() { r.complete(p, nil) })
	}
	wg.Wait()
	r.drained()
	if next != 2000 {
		t.Errorf("wrote %d of 2000", next)
	}
}
