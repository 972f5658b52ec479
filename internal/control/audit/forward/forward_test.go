package forward_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/audit/forward"
	"sluice/internal/store/sqlstore"
)

// topic is where events go, which may be away, or take some and say nothing of it.
type topic struct {
	got  chan string
	fail func(events [][]byte) (taken int, err error)
}

func (k *topic) send(_ context.Context, log string, events [][]byte) error {
	taken, err := len(events), error(nil)
	if k.fail != nil {
		taken, err = k.fail(events)
	}
	for _, e := range events[:taken] {
		var event struct {
			Source, Type string
			Data         struct{ Seq int64 }
		}
		if err := json.Unmarshal(e, &event); err != nil || event.Source != audit.Source(log) {
			return fmt.Errorf("%s: %w", e, err)
		}
		word := "row"
		if strings.HasSuffix(event.Type, "head") {
			word = "head"
		}
		k.got <- fmt.Sprint(word, " ", event.Data.Seq)
	}
	return err
}

type world struct {
	t     *testing.T
	store *sqlstore.Store
	log   string // its id
}

func (w *world) add(n int) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), func(to control.Writer) error {
		for range n {
			if _, err := to.AppendAudit(audit.Row{Time: time.Now(), Actor: "system", Action: "test"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) seal(key ed25519.PrivateKey) {
	w.t.Helper()
	s, err := control.NewSealer(w.t.Context(), w.store, key, audit.SealerDeps{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = s.Seal(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// run runs a forwarder until the function it returns is called.
func (w *world) run(me string, k *topic, now func() time.Time) (stop func()) {
	f := w.forwarder(me, k, now)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func (w *world) forwarder(me string, k *topic, now func() time.Time) *forward.Forwarder {
	return forward.New(forward.Deps{
		Log: w.log, Me: me, Topic: "t", Send: k.send, Now: now, Logger: slog.New(slog.DiscardHandler),
		Read: func(ctx context.Context, f func(forward.Reader) error) error {
			return w.store.Read(ctx, func(r control.Reader) error { return f(r) })
		},
		Write: func(ctx context.Context, f func(forward.Writer) error) error {
			return w.store.Write(ctx, func(to control.Writer) error { return f(to) })
		},
	})
}

// waits checks how many rows wait to be sent, of which the oldest is of a time or later; zero for none.
func (w *world) waits(what string, want int64, since time.Time) {
	w.t.Helper()
	rows, oldest, err := w.forwarder("b", nil, time.Now).Waiting(w.t.Context())
	if err != nil || rows != want || oldest.IsZero() != since.IsZero() || oldest.Before(since.Truncate(time.Microsecond)) {
		w.t.Errorf("%s: %d rows wait since %v, want %d since %v: %v", what, rows, oldest, want, since, err)
	}
}

func (w *world) want(what string, k *topic, want ...string) {
	w.t.Helper()
	var got []string
	timeout := time.After(time.Minute)
	for len(got) < len(want) {
		select {
		case e := <-k.got:
			got = append(got, e)
		case <-timeout:
			w.t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: %.200s, want %.200s", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
}

func newWorld(t *testing.T) *world {
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{t: t, store: store}
	if err := store.Read(t.Context(), func(r control.Reader) error {
		id, err := r.Identity()
		w.log = id.ID
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// Rows and heads are sent in order, each once while nothing fails; what fails is sent again from where it was.
func TestRowsAndHeadsAreSent(t *testing.T) {
	w, k := newWorld(t), &topic{got: make(chan string, 10_000)}
	w.add(2)
	stop := w.run("a", k, time.Now)
	w.want("what was there", k, "row 1", "row 2")
	w.seal(key(1))
	w.want("the head of a row that was sent", k, "head 2")
	w.seal(key(2))
	w.want("another's head of it", k, "head 2")
	w.add(1)
	w.want("a row", k, "row 3")
	stop()
	w.waits("what was sent", 0, time.Time{})
	before := time.Now()
	w.add(1)
	w.waits("what comes while it is stopped", 1, before)
	w.seal(key(1))
	stop = w.run("a", k, time.Now)
	w.want("what came while it was stopped", k, "row 4", "head 4")
	stop()

	w.add(3)
	failed := make(chan struct{}, 1)
	k.fail = func(events [][]byte) (int, error) {
		select {
		case failed <- struct{}{}:
			return 2, errors.New("the broker went away")
		default:
			return len(events), nil
		}
	}
	w.waits("three rows", 3, before)
	stop = w.run("a", k, time.Now)
	w.want("when it breaks off", k, "row 5", "row 6", "row 5", "row 6", "row 7")
	stop()
	k.fail = nil

	const many = 1203
	w.add(many)
	stop = w.run("a", k, time.Now)
	defer stop()
	var want []string
	for i := range many {
		want = append(want, fmt.Sprint("row ", 8+i))
	}
	w.want("many", k, want...)
}

// Of two processes with one store one sends; the other takes over once that one has been silent for long enough.
func TestOneOfTwoSends(t *testing.T) {
	w := newWorld(t)
	a, b := &topic{got: make(chan string, 100)}, &topic{got: make(chan string, 100)}
	tried := make(chan struct{}, 100)
	a.fail = func([][]byte) (int, error) { tried <- struct{}{}; return 0, errors.New("nobody is there") }
	w.add(1)
	stop := w.run("a", a, time.Now)
	<-tried // it has the sending to itself
	stop()
	stopB := w.run("b", b, time.Now)
	select {
	case e := <-b.got:
		t.Errorf("both send: %s", e)
	case <-time.After(3 * time.Second): // some looks
	}
	stopB()
	stopB = w.run("b", b, func() time.Time { return time.Now().Add(time.Minute) })
	defer stopB()
	w.want("when the first has gone", b, "row 1")
}
