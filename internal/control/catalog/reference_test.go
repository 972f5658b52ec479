package catalog_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/catalog"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

func (s *shop) bus() string {
	s.t.Helper()
	text, err := os.ReadFile("testdata/bus.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func TestReference(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	s.apply(s.bus())
	r, err := s.catalog.Reference(t.Context(), s.as(""), "bus", "", "")
	if err != nil {
		t.Fatal(err)
	}
	ch := r.Channels[0]
	m := ch.Contents[0]
	if ch.Topic != "bus.positions" || !ch.Read || ch.Write || ch.Key != "the vehicle" || *ch.Partitions != 6 || ch.Retention != "24h0m0s" || r.Revision != 1 || r.Environment != "qa" {
		t.Errorf("the channel is %s", plain(t, ch))
	}
	if m.Title != "A position" || !slices.Equal(m.Tags, []string{"gps"}) || m.Key.Type != "string" || m.Value.Fields[0].Path != "vehicleId" || !m.Value.Fields[2].Fields[0].Personal || m.Headers.Fields[0].Name != "traceparent" {
		t.Errorf("the message is %s", plain(t, m))
	}
	if len(m.Examples) != 1 || !strings.Contains(m.Examples[0].Value, `"vehicleId": "b1"`) || !strings.Contains(m.Value.Source, "Which bus it is.") {
		t.Errorf("examples and source are %s", plain(t, m))
	}
	if text := plain(t, r); strings.Contains(text, "backing") || strings.Contains(text, "replicas") || strings.Contains(text, "<script") {
		t.Errorf("the reference says %s", text)
	}
	document, err := s.catalog.AsyncAPI(t.Context(), s.as(""), "bus", "v1", "qa")
	if err != nil || !strings.Contains(string(document.YAML()), "bus.positions") || strings.Contains(string(document.YAML()), "backing") {
		t.Errorf("the AsyncAPI document is %s, %v", document.YAML(), err)
	}
	for _, f := range []func() error{
		func() error { _, err := s.catalog.Reference(t.Context(), s.as("eve"), "wages", "", ""); return err },
		func() error {
			_, err := s.catalog.Reference(t.Context(), s.as("dora"), "weather", "v2", "")
			return err
		},
		func() error { _, err := s.catalog.AsyncAPI(t.Context(), s.as(""), "orders", "", ""); return err },
		func() error { _, err := s.catalog.Compare(t.Context(), s.as(""), "orders", "v1", "v1", ""); return err },
		func() error {
			_, err := s.catalog.Changelog(t.Context(), s.as(""), "orders", "", "", "", 10)
			return err
		},
		func() error {
			_, err := s.catalog.Changelog(t.Context(), s.as(""), "weather", "v2", "", "", 10)
			return err
		},
	} {
		if err := f(); fault.KindOf(err) != fault.NotFound {
			t.Errorf("what is hidden is answered: %v", err)
		}
	}
}

// TestChanges makes three revisions of a version, the first two before it was shown to anybody.
func TestChanges(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	draft := strings.Replace(s.bus(), "state: published", "state: draft", 1)
	s.apply(strings.Replace(draft, "vehicleId: {type: string", "secretName: {type: string}\n                  vehicleId: {type: string", 1))
	s.apply(draft)
	s.act(version("bus.v1"), control.Move{Action: lifecycle.Publish})
	s.apply(strings.Replace(s.bus(), "delay: {type: integer, minimum: 0}", "delay: {type: integer, minimum: -60}\n                  line: {type: string, maxLength: 8}", 1))

	c, err := s.catalog.Compare(t.Context(), s.as(""), "bus", "v1@2", "v1", "")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range c.Channels[0].Messages[0].Fields {
		told = append(told, f.Part+" "+f.Path+" "+f.Change)
	}
	if want := []string{"value delay changed", "value line added"}; !slices.Equal(told, want) || c.From.Revision != 2 || c.To.Revision != 3 {
		t.Errorf("told %q, want %q: %s", told, want, plain(t, c))
	}
	if len(c.Findings) == 0 || !c.Breaks || !c.Findings[0].Breaking || c.Findings[0].Who[0] != "readers" {
		t.Errorf("findings are %s", plain(t, c.Findings))
	}
	if _, err := s.catalog.Compare(t.Context(), s.as(""), "bus", "v1@1", "v1", ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a stranger compares with what was a draft: %v", err)
	}
	if c, err := s.catalog.Compare(t.Context(), s.as("bea"), "bus", "v1@1", "v1@2", ""); err != nil || c.Channels[0].Messages[0].Fields[0].Change != "removed" {
		t.Errorf("the owner does not: %v, %v", c, err)
	}
	for _, wrong := range []string{"v1@x", "v1@9", "v9"} {
		if _, err := s.catalog.Compare(t.Context(), s.as("bea"), "bus", wrong, "v1", ""); err == nil {
			t.Errorf("%s is compared", wrong)
		}
	}

	log, err := s.catalog.Changelog(t.Context(), s.as(""), "bus", "", "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Items) != 2 || log.Items[0].Revision != 3 || !log.Items[0].Breaks || log.Items[1].State != "published" {
		t.Fatalf("a stranger's changelog is %s", plain(t, log))
	}
	if text := plain(t, log); strings.Contains(text, "secretName") || strings.Contains(text, "setup") || strings.Contains(text, "because of") || !strings.Contains(text, "has the field line: string, at most 8 characters") {
		t.Errorf("a stranger's changelog says %s", text)
	}
	own, err := s.catalog.Changelog(t.Context(), s.as("bea"), "bus", "", "", "", 2)
	if err != nil || len(own.Items) != 2 || own.Next == "" {
		t.Fatalf("the owner's changelog is %s, %v", plain(t, own), err)
	}
	rest, err := s.catalog.Changelog(t.Context(), s.as("bea"), "bus", "", "", own.Next, 2)
	if err != nil || !strings.Contains(plain(t, rest), "secretName") {
		t.Errorf("the owner's changelog goes on with %s, %v", plain(t, rest), err)
	}
}

// found writes what a search found.
func found(r *schema.SearchResults) string {
	var out []string
	for _, g := range r.Groups {
		for _, h := range g.Items {
			title := ""
			for _, p := range h.Title {
				if p.Match {
					p.Text = "[" + p.Text + "]"
				}
				title += p.Text
			}
			out = append(out, g.Name+" "+title)
		}
	}
	return strings.Join(out, "\n")
}

func (s *shop) search(login, query string) *schema.SearchResults {
	s.t.Helper()
	r, err := s.catalog.Search(s.t.Context(), control.Request{Actor: s.as(login)}, query)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestSearch(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	s.apply(s.bus())
	for _, tc := range []struct{ login, query, want string }{
		{"", "vehicleId", "fields [vehicleId]"},
		{"", "vehicleid", "fields [vehicleId]"},
		{"", "vehic", "fields [vehic]leId"},
		{"", "drivername", "fields driver.[driverName]"},
		{"", "driver.driverName", "fields [driver.driverName]"},
		{"", "name", "fields driver.driver[Name]"},
		{"", "bus delay", "apis [Bus] positions\ntopics [bus].positions\nfields [delay]\nfields vehicleId"},
		{"", "personal", "fields driver.driverName"},
		{"", "realtime", "apis Bus positions"},
		{"", "bus.positions", "topics [bus.positions]"},
		{"", "mobility", "apis Bus positions"},
		{"", "nothing of the kind", ""},
		{"", "  ", ""},
		{"", "wages", ""},
		{"", "secrettag", ""},
		{"", "drafted", ""},
		{"", "weather.v2", ""},
		{"", "desk", ""},
		{"", "orders", ""},
		{"dora", "desk", "applications [desk]-app"},
		{"dora", "orders", "apis [Orders]\ntopics [orders].placed\ntopics [orders].returns"},
		{"dora", "wages", ""},
		{"sam", "desk", ""},
		{"bea", "wages.paid", "topics [wages.paid]"},
		{"bea", "drafted", "topics weather.[drafted]"},
	} {
		if got := found(s.search(tc.login, tc.query)); got != tc.want {
			t.Errorf("%q searches %q and finds\n%s\nwant\n%s", tc.login, tc.query, got, tc.want)
		}
	}
	if got := names(s.list("", catalog.Query{Words: "vehicleId"})); got != "bus.v1" {
		t.Errorf("the list for a field has %s", got)
	}
	if got := s.list("", catalog.Query{Words: "orders"}); got.Versions != 0 || strings.Contains(plain(t, got), "commerce") {
		t.Errorf("the list for what is hidden says %s", plain(t, got))
	}
	if _, err := s.catalog.Search(t.Context(), control.Request{Actor: s.as("")}, strings.Repeat("x", 201)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a long query: %v", err)
	}
	about := s.search("", "delay").Groups
	if text := plain(t, about[0].Items[0].About); !strings.Contains(text, `{"text":"delay","match":true}`) {
		t.Errorf("where it was found in the description: %s", text)
	}
	// Nothing of a field that is gone is found any more.
	s.apply(strings.Replace(s.bus(), "delay: {type: integer, minimum: 0}", "late: {type: integer, minimum: 0}", 1) + "\n  compatibility: NONE\n")
	if got := found(s.search("", "late")); got != "fields [late]" {
		t.Errorf("the new field: %s", got)
	}
	if got := found(s.search("", "delay")); got != "apis Bus positions" {
		t.Errorf("the old field: %s", got)
	}
}

// BenchmarkSearch searches 2,000 APIs with 25 fields each, as somebody who may see half of them.
func BenchmarkSearch(b *testing.B) {
	s := newShop(b, "")
	var text strings.Builder
	text.WriteString(`
apiVersion: sluice/v1
kind: Organisation
metadata: {name: acme}
spec: {}
---
apiVersion: sluice/v1
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {setup: [publisher]}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: lab, environment: qa, team: shop}
spec: {bootstrap: ["127.0.0.1:9093"], publish: {shop: ["*"]}}
`)
	for i := range 2000 {
		fmt.Fprintf(&text, "---\napiVersion: sluice/v1\nkind: API\nmetadata: {name: api%d, team: shop}\nspec: {title: Number %d, visibility: %s, description: Some words about what it is and what it is not.}\n", i, i, []string{"public", "private"}[i%2])
		fmt.Fprintf(&text, "---\napiVersion: sluice/v1\nkind: Version\nmetadata: {name: api%d.v1}\nspec:\n  channels: {c: {qa: {cluster: lab, topic: t%d}}}\n  lifecycle: {state: published}\n  contract:\n    asyncapi: |\n      {asyncapi: 3.0.0, info: {title: A, version: '1'}, channels: {c: {address: topic%d, messages: {m: {payload: {type: object, properties: {", i, i, i)
		for f := range 25 {
			fmt.Fprintf(&text, "field%dOf%d: {type: string, description: What field number %d says of it}, ", f, i%100, f)
		}
		text.WriteString("customerId: {type: string}}}}}}}, operations: {o: {action: send, channel: {$ref: '#/channels/c'}}}}\n")
	}
	s.apply(text.String())
	b.ResetTimer()
	s.search("", "x")
	b.ReportMetric(b.Elapsed().Seconds(), "s-to-read-all")
	for _, query := range []string{"customerId", "field2", "c", "number 17", "nothing"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				s.search("", query)
			}
		})
	}
}
