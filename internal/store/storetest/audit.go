package storetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
)

// chained looks whether there are n audit rows, each behind the one before.
func chained(r control.Reader, n int) error {
	var last audit.Row
	if err := r.AuditFrom(0, func(row audit.Row) error {
		again, err := audit.Chain(last, row)
		if err != nil {
			return err
		}
		if again.Text() != row.Text() || again.Hash != row.Hash {
			return fmt.Errorf("row %d is %s with %s, behind row %d it should be %s with %s", row.Seq, row.Text(), row.Hash, last.Seq, again.Text(), again.Hash)
		}
		last = row
		return nil
	}); err != nil {
		return err
	}
	if last.Seq != int64(n) {
		return fmt.Errorf("%d audit rows, not %d", last.Seq, n)
	}
	return nil
}

func testAudit(t *testing.T, s Subject) {
	place := s.New(t)
	store := s.Open(t, place, Settings{})
	var appended []audit.Row
	add := func(w control.Writer, rows ...audit.Row) error {
		for _, r := range rows {
			r, err := w.AppendAudit(r)
			if err != nil {
				return err
			}
			appended = append(appended, r)
		}
		return nil
	}
	write(t, store, func(w control.Writer) error { return add(w, row(1), row(2)) })
	write(t, store, func(w control.Writer) error {
		return add(w, audit.Row{Time: start, Actor: "person \x00\xff <&>\u2028", Action: "login", Result: "denied", Organisation: "acme", Team: "shop", Reason: "wrong", Request: "r1", Address: "::1"})
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = s.Open(t, place, Settings{})
	write(t, store, func(w control.Writer) error { return add(w, row(4)) })
	mustFail(t, store.Write(t.Context(), func(w control.Writer) error {
		return add(w, audit.Row{Action: "apply", Details: []byte("[]")})
	}), "no")
	read(t, store, func(r control.Reader) error {
		for from := range int64(6) {
			var got []audit.Row
			if err := r.AuditFrom(from, func(row audit.Row) error {
				got = append(got, row)
				return nil
			}); err != nil {
				return err
			}
			want := slices.Clone(appended[min(max(0, from-1), 4):])
			if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("from row %d: got %+v, want %+v", from, got, want)
			}
		}
		return chained(r, 4)
	})
}

func testSearch(t *testing.T, s Subject) {
	store := open(t, s)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	write(t, store, func(w control.Writer) error {
		for _, r := range []audit.Row{
			{Time: at(0), Actor: "ada", Action: "apply", Kind: "API", Name: "orders", Organisation: "acme", Team: "shop"},
			{Time: at(10), Actor: "bob", Action: "apply", Kind: "Product", Name: "orders", Organisation: "acme", Team: "shop"},
			{Time: at(20), Actor: "ada", Action: "approve", Kind: "Subscription", Name: "s", Organisation: "other", Team: "erp"},
			{Time: at(15), Actor: "ada", Action: "login"}, // the clock was set back
			{Time: at(30), Actor: "bob", Action: "login"},
		} {
			if _, err := w.AppendAudit(r); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, store, func(r control.Reader) error {
		for name, c := range map[string]struct {
			q    audit.Query
			want []int64
		}{
			"everything":           {audit.Query{}, []int64{5, 4, 3, 2, 1}},
			"of an actor":          {audit.Query{Actor: "ada"}, []int64{4, 3, 1}},
			"of an action":         {audit.Query{Action: "login"}, []int64{5, 4}},
			"of an object":         {audit.Query{Kind: "API", Name: "orders"}, []int64{1}},
			"of a name":            {audit.Query{Name: "orders"}, []int64{2, 1}},
			"of an organisation":   {audit.Query{Organisation: "acme"}, []int64{2, 1}},
			"of a team":            {audit.Query{Team: "erp"}, []int64{3}},
			"since":                {audit.Query{From: at(15)}, []int64{5, 4, 3}},
			"until":                {audit.Query{To: at(15)}, []int64{2, 1}},
			"between":              {audit.Query{From: at(10), To: at(20)}, []int64{4, 2}},
			"between, of an actor": {audit.Query{From: at(10), To: at(20), Actor: "bob"}, []int64{2}},
			"before the first":     {audit.Query{To: at(0)}, nil},
			"behind the last":      {audit.Query{From: at(31)}, nil},
			"below a number":       {audit.Query{Before: 3}, []int64{2, 1}},
			"of nobody":            {audit.Query{Actor: "eve"}, nil},
		} {
			for limit := range 6 {
				q := c.q
				q.Limit = limit
				var got []int64
				for {
					page, more, err := r.AuditRows(q)
					if err != nil {
						return err
					}
					for _, r := range page {
						got = append(got, r.Seq)
					}
					if !more {
						break
					}
					q.Before = got[len(got)-1]
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, in pages of %d: got %v, want %v", name, limit, got, c.want)
				}
			}
		}
		return nil
	})
}

func testHeads(t *testing.T, s Subject) {
	store := open(t, s)
	head := func(seq int64, key string) audit.Head {
		return audit.Head{Log: "log", Seq: seq, Hash: fmt.Sprint("hash", seq), Time: micros(start), Key: key, Signature: []byte{0, byte(seq)}}
	}
	write(t, store, func(w control.Writer) error {
		for _, h := range []audit.Head{head(2, "b"), head(2, "a"), head(1, "a"), head(7, "a"), head(7, "a")} {
			if err := w.AppendHead(h); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, store, func(r control.Reader) error {
		for from, want := range map[int64][]audit.Head{
			0: {head(1, "a"), head(2, "a"), head(2, "b"), head(7, "a")}, 2: {head(2, "a"), head(2, "b"), head(7, "a")}, 3: {head(7, "a")}, 8: nil,
		} {
			var got []audit.Head
			if err := r.AuditHeads(from, func(h audit.Head) error {
				got = append(got, h)
				return nil
			}); err != nil {
				return err
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("from row %d: got %+v, want %+v", from, got, want)
			}
		}
		return nil
	})
}

// testExported seals, exports and verifies the log of a store.
func testExported(t *testing.T, s Subject) {
	store := open(t, s)
	var id control.Identity
	read(t, store, func(r control.Reader) (err error) {
		id, err = r.Identity()
		return err
	})
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	var sent []audit.Head
	sealer := audit.NewSealer(audit.SealerDeps{Key: key, Log: id.ID, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Write: func(ctx context.Context, f func(audit.Log) error) error {
			return store.Write(ctx, func(w control.Writer) error { return f(w) })
		},
		Send: func(_ context.Context, h audit.Head) error {
			sent = append(sent, h)
			return nil
		}})
	const n = 1030 // more than a page
	for from := 0; from < n; from += n / 2 {
		write(t, store, func(w control.Writer) error {
			for i := range n / 2 {
				if _, err := w.AppendAudit(row(from + i)); err != nil {
					return err
				}
			}
			return nil
		})
		for range 2 { // the second time there is nothing new
			if _, err := sealer.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, from := range []int64{1, n/2 + 1, n - 1} {
		var file bytes.Buffer
		read(t, store, func(r control.Reader) error {
			rows, err := audit.Export(&file, r, id.ID, from, 0)
			if rows != n-from+1 {
				t.Errorf("from %d: %d rows", from, rows)
			}
			return err
		})
		report, err := audit.Verify(&file, audit.VerifyOptions{Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}, Heads: sent, From: from})
		if err != nil || len(report.Findings) > 0 || report.Last != n || report.Signed != n || report.Log != id.ID {
			t.Errorf("from %d: %+v, %v", from, report, err)
		}
	}
	if len(sent) != 2 || sent[0].Seq != n/2 || sent[1].Seq != n {
		t.Errorf("heads %+v", sent)
	}
}
