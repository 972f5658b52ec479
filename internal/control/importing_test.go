package control_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/contract/schema"
	"sluice/internal/control/draft"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// stock is an inventory that has what it says.
type stock struct {
	topics   []string
	subjects []string
	err      error
	read     []string // subjects that were asked for
	avro     string   // of all subjects; "" for that of a number
}

func (s *stock) Topics(context.Context, *resource.Cluster) (out []draft.Topic, err error) {
	for _, name := range s.topics {
		out = append(out, draft.Topic{Name: name, Partitions: 1, Replicas: 1})
	}
	return out, s.err
}

func (s *stock) Subjects(_ context.Context, _ control.SchemaRegistry, wanted func(string) bool) (out []draft.Subject, err error) {
	for _, name := range s.subjects {
		if wanted(name) {
			s.read = append(s.read, name)
			out = append(out, draft.Subject{Name: name, Version: 1, Registered: schema.Registered{Kind: schema.Avro, Text: cmp.Or(s.avro, `"long"`)}})
		}
	}
	return out, s.err
}

const clusters = `
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"], publish: {shop: [shop.], erp: [erp., shop.erp.]}}`

func TestImport(t *testing.T) {
	all := []string{"shop.orders", "shop.bills", "shop.erp.stock", "erp.books", "nobodys", "_schemas", "__consumer_offsets", "tabcdefghijkl.own", "shop.totals-changelog"}
	for name, c := range map[string]struct {
		who      string
		team     string
		topics   []string
		want     string // names of versions with their teams
		kind     fault.Kind
		told     []string
		subjects string // that were read
	}{
		"all, to whom the cluster gives them": {who: "root", want: "erp:erp.books.v1 shop:shop.bills.v1 erp:shop.erp.stock.v1",
			told:     []string{"_schemas: is left out: names that begin with _", "nobodys: is left out: the cluster gives it to no team", "shop.totals-changelog: is left out: it is one of Kafka Streams", "subject other.Stray: belongs to no topic", "tabcdefghijkl.own: is left out: it belongs to an application"},
			subjects: "shop.bills-value erp.books-key other.Stray"},
		"all, for one team": {who: "root", team: "erp", want: "erp:erp.books.v1 erp:nobodys.v1 erp:shop.bills.v1 erp:shop.erp.stock.v1", told: []string{"_schemas", "shop.totals-changelog", "subject other.Stray", "tabcdefghijkl.own"},
			subjects: "shop.bills-value erp.books-key other.Stray"},
		"a pattern":                          {who: "root", topics: []string{"shop.*"}, want: "shop:shop.bills.v1 erp:shop.erp.stock.v1", told: []string{"shop.totals-changelog"}, subjects: "shop.bills-value"},
		"what is internal, by its name":      {who: "root", team: "shop", topics: []string{"_schemas", "shop.totals-changelog"}, want: "shop:schemas.v1 shop:shop.totals-changelog.v1", told: []string{"_schemas: its API is called schemas"}},
		"Kafka's own, by its name":           {who: "root", team: "shop", topics: []string{"__consumer_offsets"}},
		"what is not there":                  {who: "root", topics: []string{"shop.nothing", "none.*"}, told: []string{"shop.nothing: is not on the cluster"}},
		"a publisher: what is theirs":        {who: "ben", want: "shop:shop.bills.v1", told: []string{"shop.totals-changelog: is left out"}, subjects: "shop.bills-value"},
		"a publisher: what is not theirs":    {who: "ben", team: "shop", topics: []string{"nobodys", "shop.bills"}, want: "shop:shop.bills.v1", told: []string{"nobodys: is left out: there is no such topic that the cluster gives to team shop"}, subjects: "shop.bills-value"},
		"a publisher for another team":       {who: "ben", team: "erp", kind: fault.NotFound},
		"an org-admin: the organisation's":   {who: "olga", want: "erp:erp.books.v1 shop:shop.bills.v1 erp:shop.erp.stock.v1", told: []string{"shop.totals-changelog"}, subjects: "shop.bills-value erp.books-key"},
		"a team that is not there":           {who: "root", team: "nobody", kind: fault.NotFound},
		"a pattern that is none":             {who: "root", topics: []string{"[a"}, kind: fault.Invalid},
		"an app-developer":                   {who: "dan", kind: fault.NotFound},
		"an approver":                        {who: "cleo", kind: fault.NotFound}, // the cluster is the platform's
		"somebody without any role":          {who: "eve", kind: fault.NotFound},
		"a publisher, the cluster is absent": {who: "ben", team: "shop", kind: fault.NotFound, topics: []string{"absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply("root", people)
			w.apply("root", clusters)
			w.apply("ben", offer) // which has shop.orders
			s := &stock{topics: slices.Clone(all), subjects: []string{"shop.bills-value", "shop.orders-value", "erp.books-key", "other.Stray"}}
			p := w.stocked(s)
			want := control.Import{Cluster: "main", Team: c.team, Topics: c.topics, Registry: control.SchemaRegistry{URL: "https://schemas.example.com"}}
			if slices.Contains(c.topics, "absent") {
				want.Cluster = "absent"
			}
			rows := len(w.rows())
			found, err := p.Import(t.Context(), w.as(c.who), want)
			if c.kind != "" || err != nil {
				if c.kind == "" || fault.KindOf(err) != c.kind {
					t.Fatalf("%v, want %q", err, c.kind)
				}
				return
			}
			var got []string
			for _, d := range found.Documents {
				if d.Key().Kind == resource.KindAPI {
					got = append(got, d.Meta().Team+":"+d.Key().Name+".v1")
				}
			}
			if text := strings.Join(got, " "); text != c.want || len(found.Documents) != 2*len(got) {
				t.Errorf("%d documents of %s, want %s", len(found.Documents), text, c.want)
			}
			var told []string
			for _, n := range found.Notes {
				told = append(told, n.About+": "+n.Message)
			}
			slices.Sort(told)
			for i, says := range c.told {
				if i >= len(told) || !strings.HasPrefix(told[i], says) {
					t.Errorf("it says\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(c.told, "\n"))
					break
				}
			}
			if len(told) != len(c.told) || strings.Join(s.read, " ") != c.subjects {
				t.Errorf("it says\n%s\nand has read the subjects %q, want %q", strings.Join(told, "\n"), s.read, c.subjects)
			}
			if wanted := len(c.topics) == 0 || c.topics[0] == "shop.*"; wanted != (found.Known == 1) {
				t.Errorf("%d topics are offered already", found.Known)
			}
			if now := w.rows(); len(now) != rows+1 || now[len(now)-1].Action != "import" && now[0].Action != "import" {
				t.Errorf("%d audit rows, want one", len(now)-rows)
			}
		})
	}
}

// TestImportTwice: what an import made is there when it is applied, and nothing is new then.
func TestImportTwice(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	p := w.stocked(&stock{topics: []string{"shop.orders", "shop.bills.v2", "shop.bills.v3", "shop.bills-v3"}})
	q := w.as("ben")
	found, err := p.Import(t.Context(), q, control.Import{Cluster: "main"})
	if err != nil || len(found.Documents) != 7 {
		t.Fatalf("%d documents: %v", len(found.Documents), err)
	}
	report, err := p.Apply(t.Context(), q, control.Wanted{Documents: sent(t, found.Documents)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range report.Outcomes {
		if o.Result != control.Created || o.Key.Kind == resource.KindVersion && o.State != "draft" {
			t.Errorf("%s is %s, %s", o.Key, o.Result, o.State)
		}
	}
	found, err = p.Import(t.Context(), q, control.Import{Cluster: "main"})
	if err != nil || len(found.Documents) != 0 || len(found.Notes) != 0 || found.Known != 4 {
		t.Errorf("again: %v, %v", found, err)
	}
}

// TestImportOfWhatHasChanged: a version whose schemas are others by now is drafted by whoever may write it, against the tag that it has; applied, nothing is left.
func TestImportOfWhatHasChanged(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	w.apply("root", clusters)
	s := &stock{topics: []string{"shop.orders", "erp.books"}, subjects: []string{"shop.orders-value", "erp.books-value"}}
	p := w.stocked(s)
	want := control.Import{Cluster: "main", Registry: control.SchemaRegistry{URL: "https://schemas.example.com"}}
	of := func(who string) *control.Imported {
		t.Helper()
		found, err := p.Import(t.Context(), w.as(who), want)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	apply := func(who string, found *control.Imported) error {
		_, err := p.Apply(t.Context(), w.as(who), control.Wanted{Tags: found.Tags, Documents: sent(t, found.Documents)})
		return err
	}
	if err := apply("olga", of("olga")); err != nil {
		t.Fatal(err)
	}
	if found := of("root"); len(found.Documents)+len(found.Notes) != 0 || found.Known != 2 {
		t.Errorf("the same again: %+v", found)
	}
	s.avro = `"string"`
	for who, want := range map[string]int{"root": 2, "olga": 2, "ben": 1} {
		found := of(who)
		if len(found.Documents) != want || len(found.Notes) != want || len(found.Tags) != want {
			t.Errorf("%s: %d documents, %v", who, len(found.Documents), found.Notes)
		}
	}
	want.Registry.URL = ""
	if found := of("root"); len(found.Documents) != 0 {
		t.Errorf("without a registry: %d documents", len(found.Documents))
	}
	want.Registry.URL = "https://schemas.example.com"
	found := of("ben")
	if err := apply("ben", found); err != nil {
		t.Fatal(err)
	}
	if r := p.Model().Get(resource.Key{Kind: resource.KindVersion, Name: "shop.orders.v1"}); r == nil || r.Status.Revision != 2 {
		t.Errorf("it is %+v", r)
	}
	if found := of("ben"); len(found.Documents)+len(found.Notes) != 0 {
		t.Errorf("applied: %+v", found)
	}
	if err := apply("ben", found); fault.KindOf(err) != fault.Conflict {
		t.Errorf("against another revision: %v", err)
	}
	s.avro = `"bytes"`
	for _, action := range []lifecycle.Action{lifecycle.Publish, lifecycle.Deprecate} {
		q := w.as("ben")
		q.Reason = "nobody needs it"
		if _, err := p.Act(t.Context(), q, control.Move{Key: resource.Key{Kind: resource.KindVersion, Name: "shop.orders.v1"}, Action: action, Sunset: w.now.Add(1000 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if found := of("ben"); len(found.Documents) != 0 {
		t.Errorf("a version on its way out is drafted: %+v", found)
	}
}

// TestImportOfWhatCannotBeRead: only a platform-admin is told why.
func TestImportOfWhatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.apply("root", people)
	p := w.stocked(&stock{err: errors.New("dial kafka-1.internal.example.com: refused")})
	for who, want := range map[string]bool{"root": true, "ben": false} {
		_, err := p.Import(t.Context(), w.as(who), control.Import{Cluster: "main"})
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Unavailable || strings.Contains(f.Message, "kafka-1") != want {
			t.Errorf("%s is told %v", who, err)
		}
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("shop.", i)
	}
	if _, err := w.stocked(&stock{topics: many}).Import(t.Context(), w.as("ben"), control.Import{Cluster: "main"}); fault.KindOf(err) != fault.Limited {
		t.Errorf("1001 topics: %v", err)
	}
}

// stocked is another control plane of the world that reaches an inventory.
func (w *world) stocked(i control.Inventory) *control.Plane {
	w.t.Helper()
	w.inventory = i
	defer func() { w.inventory = nil }()
	return w.another(w.store)
}

// sent are documents as they come back to the management API.
func sent(t *testing.T, all []resource.Any) []resource.Any {
	t.Helper()
	var text []byte
	for _, d := range all {
		y, err := resource.YAML(d)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "---\n"...), y...)
	}
	set, problems := resource.ReadRequest("drafts", text)
	if resource.Bad(problems) {
		t.Fatalf("%v\n%s", problems, text)
	}
	return slices.Collect(set.All())
}
