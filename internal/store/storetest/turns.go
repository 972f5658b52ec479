package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

func testRollback(t *testing.T, s Subject) {
	store := open(t, s)
	all := func(w control.Writer) error {
		_, err := w.AppendAudit(row(1))
		return errors.Join(err, w.Put(first(credential("a")), []resource.Key{key(resource.KindApplication, "erp")}), w.PutVerifier("a", control.Verifier{N: 1, Created: start, Revoked: start}),
			w.Put(first(version("v.v1")), nil), w.PutRevision("v.v1", &control.Revision{N: 1, Created: start}))
	}
	nothing := func(name string) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			_, notThere := r.Get(key(resource.KindCredential, "a"))
			referring, err1 := r.Referring(key(resource.KindApplication, "erp"))
			verifiers, err2 := r.Verifiers("a")
			revisions, err3 := r.Revisions("v.v1")
			seq, err4 := r.Seq()
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return err
			}
			if !errors.Is(notThere, control.ErrNotFound) || len(referring)+len(verifiers)+len(revisions) > 0 || seq != 0 {
				t.Errorf("%s: something is left: %v %v %v %v %d", name, notThere, referring, verifiers, revisions, seq)
			}
			return chained(r, 0)
		})
	}
	wrong := errors.New("changed our mind")
	if err := store.Write(t.Context(), func(w control.Writer) error { return errors.Join(all(w), wrong) }); !errors.Is(err, wrong) {
		t.Errorf("an error of the function: got %v", err)
	}
	nothing("an error")
	if err := store.Write(t.Context(), func(control.Writer) error { return wrong }); err != wrong {
		t.Errorf("an error of the function is wrapped: got %v", err)
	}
	func() {
		defer func() {
			if got := recover(); got != "bug: a test" {
				t.Errorf("the panic became %v", got)
			}
		}()
		_ = store.Write(t.Context(), func(w control.Writer) error {
			if err := all(w); err != nil {
				t.Error(err)
			}
			panic("bug: a test")
		})
	}()
	nothing("a panic")
	ctx, cancel := context.WithCancel(t.Context())
	err := store.Write(ctx, func(w control.Writer) error {
		if err := all(w); err != nil {
			t.Error(err)
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a context that ended before the commit: got %v", err)
	}
	nothing("a context that ended")
	ctx, cancel = context.WithCancel(t.Context())
	err = store.Write(ctx, func(w control.Writer) error {
		cancel()
		return all(w)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended before the changes: got %v", err)
	}
	nothing("a context that ended before the changes")
	write(t, store, all) // and it goes on
	read(t, store, func(r control.Reader) error { return chained(r, 1) })
}

func testIgnored(t *testing.T, s Subject) {
	store := open(t, s)
	err := store.Write(t.Context(), func(w control.Writer) error {
		_ = w.Put(first(team("a")), nil)
		_ = w.Put(first(team("a")), nil) // not the next serial
		return nil
	})
	mustFail(t, err, "serial 1 does not follow")
	read(t, store, func(r control.Reader) error {
		if seq, err := r.Seq(); err != nil || seq != 0 {
			t.Errorf("half of it is there: %d changes, %v", seq, err)
		}
		return nil
	})
}

func testClosed(t *testing.T, s Subject) {
	store := open(t, s)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Read(t.Context(), func(control.Reader) error { return nil }); err == nil {
		t.Error("a closed store is read")
	}
	if err := store.Write(t.Context(), func(control.Writer) error { return nil }); err == nil {
		t.Error("a closed store is written")
	}
}

func testReaders(t *testing.T, s Subject) {
	place := s.New(t)
	store, other := s.Open(t, place, Settings{}), s.Open(t, place, Settings{})
	write(t, store, func(w control.Writer) error { return w.Put(first(team("a")), nil) })
	second := first(team("a"))
	second.Serial = 2
	for name, writes := range map[string]control.Store{"in this process": store, "in another": other} {
		t.Run(name, func(t *testing.T) {
			read(t, store, func(r control.Reader) error {
				before, err := r.Seq()
				if err != nil {
					return err
				}
				write(t, writes, func(w control.Writer) error {
					// What is not committed is nobody's to see.
					read(t, store, func(r control.Reader) error {
						if seq, err := r.Seq(); err != nil || seq != before {
							t.Errorf("a reader beside an open change: %d, not %d: %v", seq, before, err)
						}
						return nil
					})
					if err := w.Put(second, nil); err != nil {
						return err
					}
					second.Serial++
					return nil
				})
				if seq, err := r.Seq(); err != nil || seq != before {
					t.Errorf("the view has moved: %d, not %d: %v", seq, before, err)
				}
				read(t, store, func(r control.Reader) error {
					if seq, err := r.Seq(); err != nil || seq != before+1 {
						t.Errorf("a new reader: %d, not %d: %v", seq, before+1, err)
					}
					return nil
				})
				return nil
			})
		})
	}
}

func testEnded(t *testing.T, s Subject) {
	store := open(t, s)
	var r control.Reader
	var w control.Writer
	read(t, store, func(given control.Reader) error { r = given; return nil })
	write(t, store, func(given control.Writer) error { w = given; return nil })
	_, err := r.Seq()
	mustFail(t, err, "bug: ")
	mustFail(t, w.Put(first(team("a")), nil), "bug: ")
}

func testWaiting(t *testing.T, s Subject) {
	place := s.New(t)
	store, other := s.Open(t, place, Settings{}), s.Open(t, place, Settings{})
	write(t, store, func(control.Writer) error {
		for name, waits := range map[string]control.Store{"in the same process": store, "in another": other} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := waits.Write(ctx, func(control.Writer) error {
				t.Errorf("%s: two write at once", name)
				return nil
			})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: got %v", name, err)
			}
		}
		return nil
	})
	for _, s := range []control.Store{other, store} { // nobody is left in the way
		write(t, s, func(control.Writer) error { return nil })
	}
}

// testTurns: whoever writes reads what is there, and nobody has written meanwhile.
func testTurns(t *testing.T, s Subject) {
	const stores, writers, each = 2, 3, 15
	place := s.New(t)
	var wait sync.WaitGroup
	errs := make(chan error, stores*writers)
	for range stores {
		store := s.Open(t, place, Settings{})
		for range writers {
			wait.Go(func() {
				for range each {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					err := store.Write(ctx, func(w control.Writer) error { return next(w, "counter") })
					cancel()
					if err != nil {
						errs <- err
						return
					}
				}
			})
		}
	}
	wait.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	whole(t, s.Open(t, place, Settings{}), stores*writers*each)
}

// next changes a document that counts, with its audit row.
func next(w control.Writer, name string) error {
	r := first(team(name))
	has, err := w.Get(r.Key())
	switch {
	case err == nil:
		r.Serial = has.Serial + 1
	case !errors.Is(err, control.ErrNotFound):
		return err
	}
	if err := w.Put(r, []resource.Key{key(resource.KindOrganisation, "acme")}); err != nil {
		return err
	}
	_, err = w.AppendAudit(row(int(r.Serial)))
	return err
}

// whole looks whether a store has as many audit rows as changes, without gaps, and at least so many.
func whole(t *testing.T, store control.Store, least int64) {
	t.Helper()
	read(t, store, func(r control.Reader) error {
		changes, ok, err := r.Changes(0, 0)
		if err != nil {
			return err
		}
		if int64(len(changes)) < least || !ok {
			t.Errorf("%d changes, at least %d have been confirmed", len(changes), least)
		}
		for i, c := range changes {
			if c.Seq != int64(i)+1 || c.Serial != int64(i)+1 {
				t.Errorf("change %d has number %d and serial %d", i+1, c.Seq, c.Serial)
			}
		}
		if len(changes) > 0 {
			record, err := r.Get(key(resource.KindTeam, "counter"))
			if err != nil {
				return err
			}
			if record.Serial != int64(len(changes)) {
				t.Errorf("after %d changes the document has serial %d", len(changes), record.Serial)
			}
		}
		return chained(r, len(changes))
	})
}

func testMadeTwice(t *testing.T, s Subject) {
	place := s.New(t)
	ids := make([]control.Identity, 4)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			store := s.Open(t, place, Settings{})
			if err := store.Read(t.Context(), func(r control.Reader) (err error) {
				ids[i], err = r.Identity()
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, id := range ids[1:] {
		if id != ids[0] {
			t.Errorf("opened at once, stores are %+v and %+v", ids[0], id)
		}
	}
}

// Write changes a store until it is killed, and says after each change how many it has confirmed.
func Write(ctx context.Context, store control.Store, out io.Writer) error {
	for n := 1; ; n++ {
		if err := store.Write(ctx, func(w control.Writer) error { return next(w, "counter") }); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, n); err != nil {
			return err
		}
	}
}

// testKilled kills a process that writes, several times, at no particular point.
func testKilled(t *testing.T, s Subject) {
	place := s.New(t)
	if err := s.Open(t, place, Settings{}).Close(); err != nil {
		t.Fatal(err)
	}
	confirmed := int64(0)
	for life := range 4 {
		cmd := s.Writer(place)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		last := 0
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				break // half a line
			}
			if last = n; last == 20+7*life {
				_ = cmd.Process.Kill() // what it says until it is dead is read on
			}
		}
		_ = cmd.Wait()
		stop.Stop()
		if last < 20 {
			t.Fatalf("the writing process confirmed %d changes and ended: %v", last, cmd.Stderr)
		}
		confirmed += int64(last)
		store := s.Open(t, place, Settings{})
		whole(t, store, confirmed)
		read(t, store, func(r control.Reader) (err error) {
			confirmed, err = r.Seq() // one more than was said may have been committed
			return err
		})
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
