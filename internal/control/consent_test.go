package control_test

import (
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/internal/fault"
)

// TestConsent: what an application gets at of the target cluster is the platform-admin's, and everything else of it the
// team's. Giving up is the team's, too.
func TestConsent(t *testing.T) {
	app := func(spec string) string {
		return "kind: Application\nmetadata: {name: billing, team: erp}\nspec: {" + spec + "}"
	}
	const adopting = "adopt: {groups: [legacy], transactionalIds: [writer]}"
	for name, c := range map[string]struct {
		before, who, after string
		kind               fault.Kind // "" when it may be
	}{
		"the team adopts":                        {"", "dan", adopting, fault.Denied},
		"a platform-admin consents":              {"", "root", adopting, ""},
		"a platform-admin changes something":     {"", "root", "suspended: true", fault.Denied},
		"a platform-admin consents and changes":  {"", "root", adopting + ", suspended: true", fault.Denied},
		"a platform-admin gives a namespace":     {"", "root", "namespace: {topics: 2, partitions: 4}", ""},
		"the team changes something else":        {adopting, "dan", adopting + ", suspended: true", ""},
		"the team adopts another one":            {adopting, "dan", "adopt: {groups: [legacy, other], transactionalIds: [writer]}", fault.Denied},
		"the team gives one back":                {adopting, "dan", "adopt: {groups: [legacy]}", ""},
		"the team gives all back":                {adopting, "dan", "", ""},
		"the team exchanges one":                 {adopting, "dan", "adopt: {groups: [legacy], transactionalIds: [another]}", fault.Denied},
		"the team makes its namespace larger":    {"namespace: {topics: 2, partitions: 4}", "dan", "namespace: {topics: 3, partitions: 4}", fault.Denied},
		"the team gives its namespace back":      {"namespace: {topics: 2, partitions: 4}", "dan", "", ""},
		"somebody of another team gives it back": {adopting, "ben", "", fault.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply("root", people)
			w.apply("dan", app(""))
			if c.before != "" {
				w.apply("root", app(c.before))
			}
			_, err := w.try(w.as(c.who), control.Wanted{Documents: documents(t, app(c.after))})
			switch {
			case c.kind == "" && err != nil:
				t.Error(err)
			case c.kind != "" && (err == nil || fault.KindOf(err) != c.kind):
				t.Errorf("%v, want %s", err, c.kind)
			case c.kind == fault.Denied && c.who == "dan" && !strings.Contains(err.Error(), "platform-admin"):
				t.Errorf("%v does not say who may", err)
			}
		})
	}
}
