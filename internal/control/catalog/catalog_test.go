package catalog_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/catalog"
	"sluice/internal/control/identity"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

// shop is a control plane with a catalog.
type shop struct {
	t       testing.TB
	plane   *control.Plane
	catalog *catalog.Catalog
	flows   map[string]catalog.Flow // by backing topic
}

func newShop(t testing.TB, file string) *shop {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	plane, err := control.New(t.Context(), control.Deps{Store: store, Log: log, Seed: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, plane: plane, flows: map[string]catalog.Flow{}}
	s.catalog = catalog.New(catalog.Deps{Plane: plane, Log: log, Flow: func(environment string, at resource.Backing) (catalog.Flow, bool) {
		f, ok := s.flows[at.Topic]
		return f, ok
	}})
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(string(text))
	}
	return s
}

// as is somebody with the roles that documents give, setup being a platform-admin too.
func (s *shop) as(login string) identity.Actor {
	if login == "" {
		return identity.Nobody()
	}
	return identity.Someone(login, login == "setup" || login == "root", s.plane.Directory().Of(login, identity.Groups{}))
}

// apply brings documents about, kind by kind, so that roles count for what follows.
func (s *shop) apply(text string) {
	s.t.Helper()
	set, problems := resource.ReadRequest("shop.yaml", []byte(text))
	for _, p := range resource.Errors(problems) {
		s.t.Fatal(p)
	}
	for _, kind := range resource.Kinds {
		var documents []resource.Any
		for d := range set.All() {
			if d.Key().Kind == kind {
				documents = append(documents, d)
			}
		}
		if _, err := s.plane.Apply(s.t.Context(), control.Request{Actor: s.as("setup"), ID: "test"}, control.Wanted{Documents: documents, Waive: "for a test"}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shop) act(key resource.Key, m control.Move) {
	s.t.Helper()
	m.Key = key
	if _, err := s.plane.Act(s.t.Context(), control.Request{Actor: s.as("setup"), ID: "test", Reason: "because of a test"}, m); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) list(login string, q catalog.Query) *schema.Catalog {
	s.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	out, err := s.catalog.List(s.t.Context(), s.as(login), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *shop) page(login, api, version, environment string) *schema.APIPage {
	s.t.Helper()
	out, err := s.catalog.Page(s.t.Context(), s.as(login), api, version, environment)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func names(c *schema.Catalog) string {
	var out []string
	for _, card := range c.Items {
		out = append(out, card.Version)
	}
	return strings.Join(out, " ")
}

func version(name string) resource.Key { return resource.Key{Kind: resource.KindVersion, Name: name} }

// people of shop.yaml: nobody, a stranger without roles, a partner, a colleague of another team, a publisher of the
// owning team, the owner's org-admin, a platform-admin.
var sees = map[string]string{
	"":     "weather.v1",
	"eve":  "weather.v1",
	"dora": "orders.v1 weather.v1",
	"sam":  "orders.v1 stock.v1 weather.v1",
	"bea":  "orders.v1 stock.v1 wages.v1 weather.v2 weather.v1",
	"olga": "orders.v1 stock.v1 wages.v1 weather.v2 weather.v1",
	"root": "orders.v1 stock.v1 wages.v1 weather.v2 weather.v1",
}

// TestWhoSeesWhat asks for the list as everybody, and looks through all that it says, counts included.
func TestWhoSeesWhat(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	for login, want := range sees {
		got := s.list(login, catalog.Query{})
		if names(got) != want {
			t.Errorf("%q sees %s, want %s", login, names(got), want)
		}
		if n := len(strings.Fields(want)); got.Versions != n {
			t.Errorf("%q is told of %d versions, and sees %d", login, got.Versions, n)
		}
		text := plain(t, got)
		for api, words := range map[string][]string{"wages": {"wages", "secretdomain", "secrettag"}, "stock": {"stock"}, "orders": {"orders", "commerce"}, "weather.v2": {"weather.v2", "drafted", `"draft"`}} {
			hidden := !strings.Contains(want, api)
			for _, word := range words {
				if word == "commerce" && strings.Contains(want, "stock") {
					continue
				}
				if strings.Contains(text, word) == hidden {
					t.Errorf("%q: %q in the list: %t, hidden: %t", login, word, !hidden, hidden)
				}
			}
		}
		for _, never := range []string{"backing", `"lab"`, "127.0.0.1", "setup"} {
			if strings.Contains(text, never) {
				t.Errorf("%q reads %q in the list: %s", login, never, text)
			}
		}
		for _, f := range got.Facets {
			for _, v := range f.Values {
				q := catalog.Query{}
				*map[string]*[]string{"can": &q.Can, "domain": &q.Domain, "state": &q.State, "format": &q.Format, "team": &q.Team, "tag": &q.Tag, "environment": &q.Environment}[f.Name] = []string{v.Value}
				if n := s.list(login, q).Versions; n != v.Count {
					t.Errorf("%q: facet %s=%s counts %d, and leads to %d", login, f.Name, v.Value, v.Count, n)
				}
			}
		}
	}
}

func plain(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPages asks for the page of every API as everybody: what may not be seen is answered as what is not there.
func TestPages(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	for login, want := range sees {
		for _, api := range []string{"weather", "orders", "stock", "wages"} {
			page, err := s.catalog.Page(t.Context(), s.as(login), api, "", "")
			if visible := strings.Contains(want, api+"."); (err == nil) != visible {
				t.Errorf("%q asks for %s: %v, visible: %t", login, api, err, visible)
			} else if !visible {
				_, absent := s.catalog.Page(t.Context(), s.as(login), "absent", "", "")
				if fault.KindOf(err) != fault.NotFound || strings.Replace(err.Error(), api, "absent", 1) != absent.Error() {
					t.Errorf("%q tells hidden from absent: %v, %v", login, err, absent)
				}
				continue
			}
			text := plain(t, page)
			for _, never := range []string{"backing", `"lab"`, "127.0.0.1", "javascript"} {
				if strings.Contains(text, never) {
					t.Errorf("%q reads %q on the page of %s: %s", login, never, api, text)
				}
			}
			if strings.Contains(text, "wages") != strings.Contains(want, "wages") && api != "stock" {
				t.Errorf("%q reads of wages on the page of %s: %s", login, api, text)
			}
			if strings.Contains(text, "desk-trade") && login != "dora" {
				t.Errorf("%q reads of another's subscription: %s", login, text)
			}
			if (page.Chosen.Facts.Subscribers != nil) != slices.Contains([]string{"bea", "olga", "root"}, login) {
				t.Errorf("%q is told of %v subscribers", login, page.Chosen.Facts.Subscribers)
			}
		}
	}
	if _, err := s.catalog.Page(t.Context(), s.as("dora"), "weather", "weather.v2", ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a draft is shown to a partner: %v", err)
	}
	if _, err := s.catalog.Page(t.Context(), s.as("dora"), "weather", "", "prod"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("weather is shown where it is not offered: %v", err)
	}
}

// TestWhatAPageSays looks at one page whole.
func TestWhatAPageSays(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	last := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	s.flows["backing.placed"] = catalog.Flow{Rate: 38, LastEvent: last, Points: []float64{math.NaN(), 2}, Partitions: 12, Retention: 336 * time.Hour}
	page := s.page("dora", "orders", "v1", "qa")
	c := page.Chosen
	if page.Title != "Orders" || page.Domain != "commerce" || page.Owner || page.Visibility != "" || c.Environment != "qa" || c.Banner != nil {
		t.Errorf("the page is %s", plain(t, page))
	}
	if len(c.Read) != 1 || len(c.Write) != 1 || c.Read[0].Topic != "orders.placed" || c.Write[0].Topic != "orders.returns" {
		t.Fatalf("read %v, write %v", c.Read, c.Write)
	}
	if a := c.Read[0].Activity; a == nil || a.Rate == nil || *a.Rate != 38 || len(a.Points) != 2 || a.Points[0] != nil || *a.Points[1] != 2 || !a.LastEvent.Equal(last) || *c.Read[0].Partitions != 12 || c.Read[0].Retention != "336h0m0s" || c.Write[0].Activity != nil {
		t.Errorf("what flows is %s", plain(t, c.Read))
	}
	if len(c.Plans) != 2 || c.Plans[0].Plan != "both" || c.Plans[1].Plan != "reader" {
		t.Fatalf("plans are %s", plain(t, c.Plans))
	}
	if p := c.Plans[1]; !slices.Equal(p.Read, []string{"orders.placed"}) || len(p.Write) != 0 || !slices.Equal(p.Mine, []string{"desk-trade"}) || !p.Form[0].Required {
		t.Errorf("plan reader is %s", plain(t, p))
	}
	if m := page.Mine; len(m) != 1 || m[0].Application != "desk-app" || m[0].State != "pending" || !slices.Equal(m[0].Versions, []string{"orders.v1"}) {
		t.Errorf("mine is %s", plain(t, m))
	}
	weather := s.page("", "weather", "", "")
	if weather.Description != "<p>What the <strong>stations</strong> measure.</p>" || weather.Summary != "What the stations measure." {
		t.Errorf("the description is %q, its summary %q", weather.Description, weather.Summary)
	}
	if l := weather.Chosen.Plans[0].Limits; len(l) != 2 || l[0] != (schema.PlanLimit{Name: "readBytesPerSecond", Number: 102400, Unit: "bytes/s"}) || l[1] != (schema.PlanLimit{Name: "replay", Number: 86400, Unit: "seconds"}) {
		t.Errorf("limits are %s", plain(t, l))
	}
	if weather.Support.URL != "" || weather.Support.Email == "" {
		t.Errorf("support is %v", weather.Support)
	}
}

// TestBanners follows a version to its end, as a partner sees it.
func TestBanners(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	sunset := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second).UTC()
	s.act(version("orders.v1"), control.Move{Action: lifecycle.Deprecate, Sunset: sunset, Grace: 24 * time.Hour, Successor: "wages.v1"})
	b := s.page("dora", "orders", "", "").Chosen.Banner
	if b.Kind != "deprecated" || !b.Sunset.Equal(sunset) || !b.Until.Equal(sunset.Add(24*time.Hour)) || b.Successor != "" || b.Reason == "" {
		t.Errorf("a partner who uses it, and may not see the successor, reads %s", plain(t, b))
	}
	if b := s.page("sam", "orders", "", "").Chosen.Banner; b.Reason != "" {
		t.Errorf("somebody who does not use it reads why: %s", plain(t, b))
	}
	if b := s.page("bea", "orders", "", "").Chosen.Banner; b.Successor != "wages.v1" || b.SuccessorAPI != "wages" {
		t.Errorf("the owner reads %s", plain(t, b))
	}
	if card := s.list("dora", catalog.Query{State: []string{"deprecated"}}).Items; len(card) != 1 || !card[0].Sunset.Equal(sunset) || card[0].Successor != "" {
		t.Errorf("the card is %s", plain(t, card))
	}
	s.act(version("orders.v1"), control.Move{Action: lifecycle.Block})
	page := s.page("dora", "orders", "", "")
	if b := page.Chosen.Banner; b.Kind != "blocked" {
		t.Errorf("blocked reads %s", plain(t, b))
	}
}

// TestFacetsAndPages filters, sorts and pages.
func TestFacetsAndPages(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	for _, tc := range []struct {
		name  string
		query catalog.Query
		want  string
	}{
		{"two values of a facet are alternatives", catalog.Query{Domain: []string{"commerce", "nature"}}, "orders.v1 stock.v1 weather.v2 weather.v1"},
		{"two facets narrow", catalog.Query{Domain: []string{"commerce"}, Can: []string{"write"}}, "orders.v1"},
		{"a tag", catalog.Query{Tag: []string{"hourly"}}, "orders.v1 weather.v2 weather.v1"},
		{"a state", catalog.Query{State: []string{"draft"}}, "weather.v2"},
		{"an environment without any", catalog.Query{Environment: []string{"prod"}}, ""},
		{"by subscriptions", catalog.Query{Sort: "subscribed"}, "orders.v1 stock.v1 wages.v1 weather.v2 weather.v1"},
	} {
		list := s.list("bea", tc.query)
		if got := names(list); got != tc.want || (got == "") != (list.First == 0) {
			t.Errorf("%s: got %s from %d on, want %s", tc.name, got, list.First, tc.want)
		}
	}
	var paged []string
	for q := (catalog.Query{Limit: 2}); ; {
		part := s.list("bea", q)
		if part.First != len(paged)+1 {
			t.Errorf("a page behind %d begins with %d", len(paged), part.First)
		}
		if first := len(paged); first > 0 {
			before := names(s.list("bea", catalog.Query{Limit: 2, After: part.Previous}))
			if want := strings.Join(paged[first-2:], " "); before != want {
				t.Errorf("before %s is %s, want %s", names(part), before, want)
			}
		}
		paged = append(paged, strings.Fields(names(part))...)
		if part.Next == "" {
			break
		}
		if q.After = part.Next; len(part.Items) != 2 || len(paged) > 5 {
			t.Fatalf("a page of %d, then %q", len(part.Items), part.Next)
		}
	}
	if got := strings.Join(paged, " "); got != sees["bea"] {
		t.Errorf("pages have %s", got)
	}
	for _, q := range []catalog.Query{{After: "x"}, {After: "-1.x"}, {Sort: "size"}} {
		q.Limit = 1
		if _, err := s.catalog.List(t.Context(), s.as("bea"), q); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestFollows changes documents, and looks at once.
func TestFollows(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	if got := names(s.list("", catalog.Query{})); got != "weather.v1" {
		t.Fatal(got)
	}
	s.apply(`{apiVersion: sluice/v1, kind: API, metadata: {name: orders, team: shop}, spec: {title: Purchases, visibility: public}}`)
	if got := names(s.list("", catalog.Query{})); got != "orders.v1 weather.v1" {
		t.Errorf("after orders became public: %s", got)
	}
	if got := s.page("", "orders", "", "").Title; got != "Purchases" {
		t.Errorf("its title is %s", got)
	}
	// The product that holds orders, weather and wages was for the owners, and is visible with its narrowest API.
	s.apply(`{apiVersion: sluice/v1, kind: API, metadata: {name: wages, team: shop}, spec: {visibility: public}}`)
	plans := s.page("", "weather", "", "").Chosen.Plans
	if !slices.ContainsFunc(plans, func(p schema.APIPlan) bool { return p.Product == "everything" }) {
		t.Errorf("plans of weather are %s", plain(t, plans))
	}
	s.apply(`{apiVersion: sluice/v1, kind: API, metadata: {name: wages, team: shop}, spec: {visibility: private}}`)
	if text := plain(t, s.page("", "weather", "", "")); strings.Contains(text, "everything") {
		t.Errorf("after wages became private: %s", text)
	}
}

// TestRun follows changes until it is told to stop, also in the middle of the first reading.
func TestRun(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.catalog.Run(ended); err != nil {
		t.Error(err)
	}
	if got := names(s.list("", catalog.Query{})); got != "weather.v1" || s.page("", "weather", "", "").Chosen.Read[0].Topic != "weather.measured" {
		t.Errorf("after a reading that was broken off: %s", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.catalog.Run(ctx) }()
	s.apply(`{apiVersion: sluice/v1, kind: API, metadata: {name: stock, team: shop}, spec: {visibility: public}}`)
	if got := names(s.list("", catalog.Query{})); got != "stock.v1 weather.v1" {
		t.Errorf("beside Run: %s", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
