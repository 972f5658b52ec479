package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// names asks for all pages of a list.
func names(r control.Reader, q control.Query) ([]string, error) {
	var all []string
	for {
		page, more, err := r.List(q)
		if err != nil {
			return nil, err
		}
		for _, record := range page {
			all = append(all, record.Key().Name)
		}
		if !more {
			return all, nil
		}
		if len(page) != q.Limit {
			return nil, fmt.Errorf("%d records on a page of %d that is not the last", len(page), q.Limit)
		}
		q.After = page[len(page)-1].Key().Name
	}
}

func testLists(t *testing.T, s Subject) {
	store := open(t, s)
	product := key(resource.KindProduct, "orders")
	put := func(w control.Writer, name, environment, team, organisation, owner string, links ...resource.Key) error {
		r := first(subscription(name, environment, "erp"))
		r.Team, r.Organisation, r.Owner = team, organisation, owner
		return w.Put(r, links)
	}
	write(t, store, func(w control.Writer) error {
		return errors.Join(
			put(w, "b", "prod", "shop", "acme", "git a", product),
			put(w, "a", "dev", "shop", "acme", "git a"),
			put(w, "B", "prod", "erp", "acme", "git b", product),
			put(w, "ä", "prod", "erp", "other", ""),
			put(w, "a-1", "dev", "erp", "other", "", product),
			put(w, "a.1", "prod", "", "", "", product),
			w.Put(first(credential("of-another-kind")), []resource.Key{product}),
		)
	})
	read(t, store, func(r control.Reader) error {
		for name, c := range map[string]struct {
			q    control.Query
			want []string
		}{
			"all, by bytes":                    {control.Query{}, []string{"B", "a", "a-1", "a.1", "b", "ä"}},
			"behind one that is there":         {control.Query{After: "a-1"}, []string{"a.1", "b", "ä"}},
			"behind one that is not":           {control.Query{After: "a0"}, []string{"b", "ä"}},
			"behind the last":                  {control.Query{After: "ä"}, nil},
			"of an environment":                {control.Query{Environment: "dev"}, []string{"a", "a-1"}},
			"of a team":                        {control.Query{Team: "shop"}, []string{"a", "b"}},
			"of an organisation":               {control.Query{Organisation: "other"}, []string{"a-1", "ä"}},
			"of an owner":                      {control.Query{Owner: "git a"}, []string{"a", "b"}},
			"of a team in an environment":      {control.Query{Team: "erp", Environment: "prod"}, []string{"B", "ä"}},
			"of everything":                    {control.Query{Team: "shop", Environment: "prod", Organisation: "acme", Owner: "git a", To: product}, []string{"b"}},
			"referring":                        {control.Query{To: product}, []string{"B", "a-1", "a.1", "b"}},
			"referring, in an environment":     {control.Query{To: product, Environment: "prod"}, []string{"B", "a.1", "b"}},
			"referring, of a team":             {control.Query{To: product, Team: "erp"}, []string{"B", "a-1"}},
			"referring, behind":                {control.Query{To: product, After: "a-1"}, []string{"a.1", "b"}},
			"referring, of a team, behind":     {control.Query{To: product, Team: "erp", After: "B"}, []string{"a-1"}},
			"referring to what nobody does":    {control.Query{To: key(resource.KindProduct, "x")}, nil},
			"of a team that is not there":      {control.Query{Team: "x"}, nil},
			"of a kind without documents":      {control.Query{Kind: resource.KindTeam}, nil},
			"of another kind that also refers": {control.Query{Kind: resource.KindCredential, To: product}, []string{"of-another-kind"}},
		} {
			if c.q.Kind == "" {
				c.q.Kind = resource.KindSubscription
			}
			for limit := range 8 { // 0 is everything at once
				c.q.Limit = limit
				got, err := names(r, c.q)
				if err != nil {
					return err
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, in pages of %d: got %q, want %q", name, limit, got, c.want)
				}
			}
		}
		page, more, err := r.List(control.Query{Kind: resource.KindSubscription, Limit: 6})
		if err != nil || more || len(page) != 6 {
			t.Errorf("a page as long as the list: %d records, more %v, %v", len(page), more, err)
		}
		record, err := r.Get(key(resource.KindSubscription, "B"))
		if err == nil && !reflect.DeepEqual(record, page[0]) {
			t.Errorf("the list has %+v, the record is %+v", page[0], record)
		}
		return err
	})
}

func testMany(t *testing.T, s Subject) {
	store := open(t, s)
	const n = 1100 // more than one page of anything
	write(t, store, func(w control.Writer) error {
		for i := range n {
			if err := w.Put(first(credential(fmt.Sprintf("c%05d", i))), nil); err != nil {
				return err
			}
			if err := w.PutVerifier(fmt.Sprintf("c%05d", i), control.Verifier{N: 1, Created: start}); err != nil {
				return err
			}
			if _, err := w.AppendAudit(row(i)); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, store, func(r control.Reader) error {
		all, err := names(r, control.Query{Kind: resource.KindCredential})
		if err != nil {
			return err
		}
		if len(all) != n || !slices.IsSorted(all) {
			t.Errorf("%d names, sorted: %v", len(all), slices.IsSorted(all))
		}
		inPages, err := names(r, control.Query{Kind: resource.KindCredential, Limit: 99})
		if err != nil {
			return err
		}
		if !slices.Equal(all, inPages) {
			t.Error("pages of 99 are not the same list")
		}
		var of []string
		if err := r.AllVerifiers(func(credential string, _ []control.Verifier) error {
			of = append(of, credential)
			return nil
		}); err != nil {
			return err
		}
		if !slices.Equal(all, of) {
			t.Errorf("verifiers of %d credentials", len(of))
		}
		return chained(r, n)
	})
}

func testChanges(t *testing.T, s Subject) {
	store := open(t, s)
	a := team("a")
	write(t, store, func(w control.Writer) error {
		second := first(a)
		second.Serial, second.Changed = 2, start.Add(time.Minute)
		return errors.Join(w.Put(first(a), nil), w.Put(second, nil), w.Put(first(team("b")), nil))
	})
	write(t, store, func(w control.Writer) error { return w.Remove(a.Key(), start.Add(time.Hour)) })
	all := []control.Change{
		{Seq: 1, Key: a.Key(), Serial: 1, Time: micros(start)},
		{Seq: 2, Key: a.Key(), Serial: 2, Time: micros(start.Add(time.Minute))},
		{Seq: 3, Key: key(resource.KindTeam, "b"), Serial: 1, Time: micros(start)},
		{Seq: 4, Key: a.Key(), Serial: 0, Time: micros(start.Add(time.Hour))},
	}
	read(t, store, func(r control.Reader) error {
		if seq, err := r.Seq(); err != nil || seq != 4 {
			t.Errorf("the last number is %d, %v", seq, err)
		}
		for _, c := range []struct {
			after int64
			limit int
			want  []control.Change
			ok    bool
		}{{0, 0, all, true}, {0, 2, all[:2], true}, {2, 10, all[2:], true}, {4, 10, nil, true}, {5, 10, nil, false}} {
			got, ok, err := r.Changes(c.after, c.limit)
			if err != nil {
				return err
			}
			if ok != c.ok || !reflect.DeepEqual(got, c.want) {
				t.Errorf("after %d, at most %d: got %+v, %v, want %+v, %v", c.after, c.limit, got, ok, c.want, c.ok)
			}
		}
		return nil
	})
}

func testForgotten(t *testing.T, s Subject) {
	store := s.Open(t, s.New(t), Settings{KeepChanges: 3})
	read(t, store, func(r control.Reader) error {
		changes, ok, err := r.Changes(0, 10)
		if len(changes) > 0 || !ok {
			t.Errorf("of an empty store: %v, %v", changes, ok)
		}
		return err
	})
	for i := range 5 {
		write(t, store, func(w control.Writer) error { return w.Put(first(team(fmt.Sprint(i))), nil) })
	}
	read(t, store, func(r control.Reader) error {
		for after, want := range map[int64]bool{0: false, 1: false, 2: true, 4: true, 5: true, 6: false} {
			changes, ok, err := r.Changes(after, 10)
			if err != nil {
				return err
			}
			if ok != want || ok && len(changes) != int(5-after) {
				t.Errorf("after %d: %v, %v", after, changes, ok)
			}
		}
		return nil
	})
}

func testNested(t *testing.T, s Subject) {
	store := open(t, s)
	write(t, store, func(w control.Writer) error {
		for i := range 5 {
			if _, err := w.AppendAudit(row(i)); err != nil {
				return err
			}
		}
		return errors.Join(w.Put(first(credential("a")), nil), w.PutVerifier("a", control.Verifier{N: 1, Created: start}))
	})
	read(t, store, func(r control.Reader) error {
		return r.AllVerifiers(func(credential string, _ []control.Verifier) error {
			_, err := r.Get(key(resource.KindCredential, credential))
			return err
		})
	})
}
