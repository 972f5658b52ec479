package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/httpapi/schema"
)

// What others wrote is shown, and does nothing to the terminal of whoever reads it.
func TestTextsOfOthersStayAwayFromTheTerminal(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\u009b2Jb"
	const shown = `a\u001b]0;owned\u0007\u009b2Jb`
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	answers := map[string]any{
		"/v1/subscriptions/acme-orders/messages": schema.Thread{Items: []schema.Message{{By: "person " + evil, Text: evil}}},
		"/v1/inbox":                              schema.Inbox{Items: []schema.InboxItem{{What: "answer", Kind: "Subscription", Name: "acme-orders", About: evil, Message: evil}}},
		"/v1/whois":                              schema.WhoIs{Items: []schema.Physical{{Name: evil, Application: "acme-erp"}}},
		"/v1/apis":                               schema.Page{Items: []schema.Document{{APIVersion: "sluice/v1", Kind: "API", Metadata: []byte(`{"name":"orders","team":"shop"}`), Spec: []byte(`{"title":"a\u001b]0;owned\u0007\u009b2Jb"}`)}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		if !known {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			answer = schema.Problem{Status: http.StatusConflict, Detail: evil}
		}
		if err := writeJSON(w, answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		args string
		code int
	}{
		{"messages subscription acme-orders", 0}, {"inbox", 0}, {"whois x", 0}, {"get apis -o yaml", 0}, {"get apis", 0}, {"get teams", 1},
	} {
		code, out, problems := run(t, append(strings.Fields(c.args), "--server", server.URL)...)
		if both := out + problems; code != c.code || !strings.Contains(both, shown) && c.args != "get apis" || strings.ContainsAny(both, "\x1b\x07\u009b") {
			t.Errorf("sluice %s: %d, %q, %q", c.args, code, out, problems)
		}
	}
}
