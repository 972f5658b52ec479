package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/control/catalog"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

const guided = `
apiVersion: sluice/v1
kind: API
metadata: {name: weather, team: shop}
spec: {title: Weather, visibility: public, docs: {pages: {start.md: "%s", more.md: "---\ntitle: Much more\norder: 1\n---\n# Heading\n\nSnowfall.\n"}}}
`

// TestGuides writes, reads, changes and removes the pages of an API.
func TestGuides(t *testing.T) {
	s := newShop(t, "testdata/shop.yaml")
	apply := func(text string) string {
		t.Helper()
		set, problems := resource.ReadRequest("", []byte(text))
		for _, p := range resource.Errors(problems) {
			t.Fatal(p)
		}
		var documents []resource.Any
		for d := range set.All() {
			documents = append(documents, d)
		}
		report, err := s.plane.Apply(t.Context(), control.Request{Actor: s.as("setup"), ID: "test"}, control.Wanted{Documents: documents})
		if err != nil {
			return fault.MessageOf(err)
		}
		o := report.Outcomes[0]
		for _, d := range o.Differences {
			if text := fmt.Sprint(d.Before, d.After); strings.Contains(text, "Begin") || len(text) > 300 {
				t.Errorf("a difference has the text of a page: %+v", d)
			}
		}
		return o.Result
	}
	first := fmt.Sprintf(guided, `# Begin\n\nRead {{topic.measured}} at {{bootstrap}} of {{ version }}, [more](./more.md#heading).\n`)
	if got := apply(first); got != control.Changed {
		t.Fatal(got)
	}
	if got := apply(first); got != control.Unchanged {
		t.Errorf("applied twice: %s", got)
	}
	ask := catalog.GuideQuery{API: "weather", Page: "start", Bootstrap: func(environment string) string { return environment + ".example.com:9092" }}
	g, err := s.catalog.Guide(t.Context(), s.as(""), ask)
	if err != nil {
		t.Fatal(err)
	}
	if want := "<h1 id=\"h-begin\">Begin</h1>\n<p>Read weather.measured at qa.example.com:9092 of weather.v1, <a href=\"/apis/weather/guides/more#h-heading\">more</a>.</p>"; g.HTML != want || g.Title != "Begin" || g.Previous == nil || g.Previous.Title != "Much more" || g.Next != nil || len(g.Headings) != 1 {
		t.Errorf("the guide is %s", plain(t, g))
	}
	if links := s.page("", "weather", "", "").Guides; len(links) != 2 || links[0].Page != "more" || links[1].Page != "start" {
		t.Errorf("the page links to %v", links)
	}
	if got := found(s.search("", "snowfall")); got != "guides Much more" {
		t.Errorf("the search finds %s", got)
	}

	// Somebody who sends the document back with what it says of its pages changes none.
	r := s.plane.Model().Get(resource.Key{Kind: resource.KindAPI, Name: "weather"})
	digest := r.Document.(*resource.API).Spec.Docs.Digest
	keep := `{apiVersion: sluice/v1, kind: API, metadata: {name: weather, team: shop}, spec: {title: Clouds, visibility: public, docs: {digest: "` + digest + `"}}}`
	if got := apply(keep); got != control.Changed {
		t.Error(got)
	}
	if got := len(s.page("", "weather", "", "").Guides); got != 2 {
		t.Errorf("%d guides are left", got)
	}
	if got := apply(strings.Replace(keep, digest, "sha256:0", 1)); !strings.Contains(got, "spec.docs.digest") {
		t.Errorf("a foreign digest: %s", got)
	}
	for _, who := range []string{"", "eve"} {
		if _, err := s.catalog.Guide(t.Context(), s.as(who), catalog.GuideQuery{API: "wages", Page: "start"}); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), `no API "wages"`) {
			t.Errorf("%q: %v", who, err)
		}
	}
	if got := apply(`{apiVersion: sluice/v1, kind: API, metadata: {name: weather, team: shop}, spec: {visibility: public}}`); got != control.Changed {
		t.Error(got)
	}
	if _, err := s.catalog.Guide(t.Context(), s.as(""), ask); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a guide that was removed: %v", err)
	}
	pages, err := s.plane.PagesOf(t.Context(), "weather")
	if err != nil || len(pages) != 0 {
		t.Errorf("the store keeps %v, %v", pages, err)
	}
	// A change that is only tried writes none.
	set, _ := resource.ReadRequest("", []byte(first))
	if _, err := s.plane.Apply(t.Context(), control.Request{Actor: s.as("setup"), ID: "test", DryRun: true}, control.Wanted{Documents: []resource.Any{set.APIs[0]}}); err != nil {
		t.Fatal(err)
	}
	if got := len(s.page("", "weather", "", "").Guides); got != 0 {
		t.Errorf("a dry run made %d guides", got)
	}
}
