package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/httpapi/schema"
)

// logsServer answers each call for rejections with the next of its steps, and with
// nothing new behind them.
func logsServer(t *testing.T, steps ...func(query string) any) (flags []string) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/applications/reader/rejections" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		var body any = schema.Rejections{}
		if asked < len(steps) {
			body = steps[asked](r.URL.RawQuery)
		}
		asked++
		if p, ok := body.(*schema.Problem); ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
		}
		json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"logs", "application", "reader", "--server", server.URL, "--token-file", token, "--login-file", filepath.Join(t.TempDir(), "none")}
}

func refusedOf(numbers ...uint64) schema.Rejections {
	out := schema.Rejections{}
	for _, n := range numbers {
		out.Items = append(out.Items, schema.Rejection{
			Number: n, ID: fmt.Sprint("R", n%10), Time: time.Date(2026, 3, 1, 12, 0, int(n%10), 0, time.UTC), Application: "reader", Environment: "prod", Credential: "reader-1", Address: "192.0.2.1",
			Gateway: "gw-1", API: "Produce", Operation: "write", What: "topic", Name: "orders\nplaced", Verdict: "refuse for lack of right", Rule: "subscription reader: active",
		})
	}
	return out
}

func TestLogs(t *testing.T) {
	answers := func(body any, query *string) func(string) any {
		return func(q string) any { *query = q; return body }
	}
	provider := refusedOf(1)
	provider.Items[0].Credential, provider.Items[0].Address = "", ""
	for _, c := range []struct {
		name, flags string
		answer      any
		query       string
		code        int
		out, err    string
	}{
		{"the newest last", "", refusedOf(2, 1), "limit=100", 0,
			`2026-03-01T12:00:01.000Z R1 write topic "orders\nplaced": refuse for lack of right: subscription reader: active (prod, credential reader-1, from 192.0.2.1, by gateway gw-1)` + "\n" +
				`2026-03-01T12:00:02.000Z R2 write topic "orders\nplaced": refuse for lack of right: subscription reader: active (prod, credential reader-1, from 192.0.2.1, by gateway gw-1)` + "\n", ""},
		{"a provider's", "--environment prod --limit 5", provider, "environment=prod&limit=5", 0,
			`2026-03-01T12:00:01.000Z R1 write topic "orders\nplaced": refuse for lack of right: subscription reader: active (prod, by gateway gw-1)` + "\n", ""},
		{"one object a line", "-o json", provider, "limit=100", 0,
			`{"number":1,"id":"R1","time":"2026-03-01T12:00:01Z","application":"reader","environment":"prod","gateway":"gw-1","api":"Produce","operation":"write","what":"topic","name":"orders\nplaced","verdict":"refuse for lack of right","rule":"subscription reader: active"}` + "\n", ""},
		{"nothing", "", refusedOf(), "limit=100", 0, "", "nothing was refused lately that you may see\n"},
		{"not to be seen", "--follow", &schema.Problem{Status: 404, Detail: "there is no Application"}, "limit=100", 1, "", "sluice: there is no Application\n"},
		{"too many", "--limit 1001", nil, "", 2, "", "sluice: --limit 1001: it may be from 1 to 1000\nsee: sluice logs --help\n"},
	} {
		query := ""
		args := append(logsServer(t, answers(c.answer, &query)), strings.Fields(c.flags)...)
		var out, problems bytes.Buffer
		code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &problems}, Programs{})
		if code != c.code || out.String() != c.out || problems.String() != c.err || query != c.query {
			t.Errorf("%s: %d, asked %q\n%s%s", c.name, code, query, out.String(), problems.String())
		}
	}
}

// Following goes on where it was, over a control plane that is away, and one that was
// started again and is told of the old ones with new numbers.
func TestLogsAreFollowed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var queries []string
	answer := func(body any) func(string) any {
		return func(q string) any { queries = append(queries, q); return body }
	}
	args := append(logsServer(t, answer(refusedOf(102, 101)), answer(refusedOf()), answer(&schema.Problem{Status: 503, Detail: "away"}), answer(&schema.Problem{Status: 503, Detail: "away"}),
		answer(refusedOf(203, 202, 201)), func(q string) any { queries = append(queries, q); cancel(); return refusedOf() }), "-f", "-o", "json")
	var out, problems bytes.Buffer
	if code := Main(ctx, args, Streams{In: strings.NewReader(""), Out: &out, Err: &problems}, Programs{}); code != 0 {
		t.Errorf("it ends with %d", code)
	}
	if want := []string{"limit=100", "after=102&limit=1000", "after=102&limit=1000", "after=102&limit=1000", "after=102&limit=1000", "after=203&limit=1000"}; !slices.Equal(queries, want) {
		t.Errorf("asked %q, want %q", queries, want)
	}
	var ids []string
	for d := json.NewDecoder(&out); ; {
		var r schema.Rejection
		if err := d.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	if got := strings.Join(ids, " "); got != "R1 R2 R3" || problems.String() != "sluice: away: trying again\n" {
		t.Errorf("printed %s, and %s", got, problems.String())
	}
}
