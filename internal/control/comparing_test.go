package control_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
)

// watchedStore tells of each revision that is read, and whether in somebody's turn.
type watchedStore struct {
	control.Store
	reads func(n int, turn bool)
}

type (
	watchedReader struct {
		control.Reader
		of *watchedStore
	}
	watchedWriter struct {
		control.Writer
		of *watchedStore
	}
)

func (s *watchedStore) Read(ctx context.Context, f func(control.Reader) error) error {
	return s.Store.Read(ctx, func(r control.Reader) error { return f(watchedReader{r, s}) })
}

func (s *watchedStore) Write(ctx context.Context, f func(control.Writer) error) error {
	return s.Store.Write(ctx, func(w control.Writer) error { return f(watchedWriter{w, s}) })
}

func (r watchedReader) Revision(version string, n int) (*control.Revision, error) {
	r.of.reads(n, false)
	return r.Reader.Revision(version, n)
}

func (w watchedWriter) Revision(version string, n int) (*control.Revision, error) {
	w.of.reads(n, true)
	return w.Writer.Revision(version, n)
}

// Others change what they want while revisions are compared, and what they change counts.
func TestNobodyWaitsForRevisionsToBeCompared(t *testing.T) {
	const application = "kind: Application\nmetadata: {name: meanwhile, team: erp}\nspec: {}"
	more := strings.Replace(contractText, "note: {type: string}", "note: {type: string}, more: {type: string}", 1)
	for name, c := range map[string]struct {
		who, meanwhile string
		refused        bool
	}{
		"something else": {"dan", application, false},
		"what is compared with, which would be broken": {"ben", version(more, "NONE"), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := staged(t, "NONE")
			for _, remark := range []string{"# one\n", "# two\n", "# three\n"} {
				w.apply("ben", version(contractText+remark, "NONE"))
			}
			began, goOn := make(chan struct{}), make(chan struct{})
			compared, inTurn := 0, 0
			w.plane = w.another(&watchedStore{w.store, func(_ int, turn bool) {
				if turn {
					inTurn++
				}
				if compared++; compared == 1 {
					close(began)
					<-goOn
				}
			}})
			q, want := w.as("ben"), control.Wanted{Documents: documents(t, version(contractText+"# four\n", "BACKWARD_TRANSITIVE"))}
			done := make(chan error, 1)
			go func() {
				_, err := w.plane.Apply(t.Context(), q, want)
				done <- err
			}()
			<-began
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := w.plane.Apply(ctx, w.as(c.who), control.Wanted{Documents: documents(t, c.meanwhile)})
			close(goOn)
			if err != nil {
				t.Errorf("while revisions are compared: %v", err)
			}
			if err := <-done; c.refused != (fault.KindOf(err) == fault.Invalid) || !c.refused && err != nil {
				t.Errorf("refused %v: %v", c.refused, err)
			}
			if compared < 4 || inTurn > 0 {
				t.Errorf("%d were read, %d in a turn", compared, inTurn)
			}
		})
	}
}

// Whoever finds something else to compare with each time is through in the end.
func TestAChangeIsNotOvertakenForEver(t *testing.T) {
	w := staged(t, "NONE")
	plane, turns := w.plane, 0
	watched := &watchedStore{Store: w.store}
	watched.reads = func(_ int, turn bool) {
		if turn {
			turns++
			return
		}
		q := w.as("ben")
		if _, err := plane.Apply(t.Context(), q, control.Wanted{Documents: documents(t, version(contractText+"# at "+q.ID+"\n", "NONE"))}); err != nil {
			t.Error(err)
		}
	}
	w.plane = w.another(watched)
	w.apply("ben", version(contractText+"# at last\n", "BACKWARD"))
	if turns != 1 {
		t.Errorf("%d were compared in a turn", turns)
	}
}
