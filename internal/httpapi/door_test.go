package httpapi_test

import (
	"strings"
	"testing"
)

func TestMistypedRequestsChangeNothing(t *testing.T) {
	w := newWorld(t)
	w.people()
	const raw = "{\"apiVersion\":\"sluice/v1\",\"kind\":\"API\",\"metadata\":{\"name\":\"orders\",\"team\":\"shop\"},\"spec\":{\"title\":\"a\xff\"}}"
	titled := func(title string) string {
		return `{"apiVersion":"sluice/v1","kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"title":"` + title + `"}}`
	}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"a parameter in another case":          {"PUT", "/v1/apis/orders?dryrun=true", api, 422, "did you mean dryRun?"},
		"a parameter like none":                {"PUT", "/v1/apis/orders?xxxxxxxxxxxx=1", api, 422, "there are dryRun, reason, waive"},
		"a parameter where none is":            {"GET", "/v1/me?x=1", "", 422, "there is none here"},
		"a parameter of a stream":              {"GET", "/v1/changes?aftr=1", "", 422, "did you mean after?"},
		"a parameter of what is for programs":  {"GET", "/apis/orders.md?versoin=1", "", 422, "did you mean version?"},
		"a parameter twice":                    {"PUT", "/v1/apis/orders?dryRun=true&dryRun=false", api, 422, "more than once"},
		"a query that cannot be read":          {"PUT", "/v1/apis/orders?dryRun=%zz", api, 422, "cannot be read"},
		"NUL in a query":                       {"GET", "/v1/apis?after=a%00b", "", 422, "NUL"},
		"NUL in an object of the audit log":    {"GET", "/v1/audit?object=Team/a%00b", "", 422, "NUL"},
		"bytes that are no text in a query":    {"GET", "/v1/apis?team=%ff", "", 422, "not UTF-8"},
		"NUL in a path":                        {"GET", "/v1/apis/a%00b", "", 422, "NUL"},
		"bytes that are no text in a path":     {"GET", "/v1/apis/%ff", "", 422, "not UTF-8"},
		"NUL in a document":                    {"PUT", "/v1/apis/orders", titled(`a\u0000b`), 422, "NUL"},
		"bytes that are no text in a document": {"PUT", "/v1/apis/orders", raw, 422, "not UTF-8"},
		"NUL in the owner":                     {"POST", "/v1/apply", `{"documents":[` + api + `],"owner":"o\u0000x"}`, 400, "NUL"},
		"NUL in a document among many":         {"POST", "/v1/apply", `{"documents":[` + titled(`\\\u0000`) + `]}`, 400, "NUL"},
		"NUL in the login":                     {"POST", "/v1/login", `{"login":"a\u0000b","password":"x"}`, 400, "NUL"},
		"bytes that are no text among many":    {"POST", "/v1/apply", `{"documents":[` + raw + `]}`, 400, "not UTF-8"},
		"a key in another case":                {"POST", "/v1/apply", `{"Documents":[` + api + `]}`, 422, "Documents"},
		"another key in another case":          {"POST", "/v1/apply", `{"documents":[` + api + `],"Prune":true}`, 422, "Prune"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := w.ask("ben", c.method, c.path, c.body)
			if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want %d with %q", resp.StatusCode, body, c.status, c.want)
			}
		})
	}
	w.want(404, "ben", "GET", "/v1/apis/orders", "")
	// A backslash and the letters of an escape are no NUL.
	w.want(201, "ben", "PUT", "/v1/apis/orders", titled(`a\\u0000b`))
}
