package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sluice/internal/httpapi/schema"
)

const (
	asyncapi = `asyncapi: 3.0.0\ninfo: {title: Orders, version: 1.0.0}\nchannels: {placed: {address: orders.placed}}\noperations: {send: {action: send, channel: {$ref: '#/channels/placed'}}}\n`
	staged   = `{"apiVersion":"sluice/v1","kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"asyncapi":"` + asyncapi + `"},"channels":{"placed":{"qa":{"cluster":"trial","topic":"qa.orders"},"prod":{"cluster":"main","topic":"shop.orders"}}},"lifecycle":{"state":"published"}}}`
	form     = `{"apiVersion":"sluice/v1","kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"partner":{"auth":["scram"],"approval":"manual","form":[{"name":"why","required":true}]}}}}`
	program  = `{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"erp","team":"shop"},"spec":{}}`
	asks     = `{"apiVersion":"sluice/v1","kind":"Subscription","metadata":{"name":"erp-orders","environment":"qa"},"spec":{"application":"erp","product":"orders","plan":"partner","answers":{"why":"bills"}}}`
)

// The routes of revisions and deployments, of threads and of what explains: what they
// answer, and that they answer those only who may.
func TestRevisionsAreListedPromotedAndRolledBack(t *testing.T) {
	w := newWorld(t)
	w.people()
	w.want(201, "root", "PUT", "/v1/environments/prod", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"prod"},"spec":{}}`)
	w.want(201, "root", "PUT", "/v1/environments/qa", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"qa"},"spec":{}}`)
	w.want(200, "root", "PUT", "/v1/environments/prod", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"prod"},"spec":{"after":"qa"}}`)
	w.want(201, "root", "PUT", "/v1/clusters/trial", strings.NewReplacer(`"main"`, `"trial"`, `"prod"`, `"qa"`).Replace(cluster))
	w.want(201, "ben", "PUT", "/v1/apis/orders", api)
	if got := w.want(201, "ben", "PUT", "/v1/versions/orders.v1", staged); !strings.Contains(got, `"deployed":[{"environment":"qa","revision":1}]`) {
		t.Errorf("applied: %s", got)
	}
	into := func(text string, to any) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	var all schema.Revisions
	into(w.want(200, "ben", "GET", "/v1/versions/orders.v1/revisions", ""), &all)
	if len(all.Items) != 1 || all.Items[0].N != 1 || len(all.Items[0].Hash) != 64 || all.Items[0].Environments[0] != "qa" || all.Items[0].Spec != nil {
		t.Errorf("revisions %+v", all)
	}
	if got := w.want(200, "ben", "GET", "/v1/versions/orders.v1/revisions/1", ""); !strings.Contains(got, `"asyncapi":"asyncapi: 3.0.0`) || !strings.Contains(got, "shop.orders") {
		t.Errorf("revision 1: %s", got)
	}
	resp, got := w.ask("ben", "GET", "/v1/versions/orders.v1/contract", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/yaml" || got != strings.ReplaceAll(asyncapi, `\n`, "\n") {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, got)
	}
	resp, got = w.ask("ben", "GET", "/v1/versions/orders.v1/contract?format=json&environment=qa", "")
	if resp.Header.Get("Content-Type") != "application/json" || !json.Valid([]byte(got)) || strings.Contains(got, "qa.orders") {
		t.Errorf("%v %q", resp.Header, got)
	}
	resp, got = w.ask("ben", "POST", "/v1/versions/orders.v1/promote", `{"to":"prod"}`)
	if tag := resp.Header.Get("ETag"); resp.StatusCode != 200 || tag == "" || !strings.Contains(got, `"environment":"prod","revision":1`) {
		t.Errorf("%d %q %s", resp.StatusCode, tag, got)
	}
	w.want(200, "ben", "PUT", "/v1/versions/orders.v1", strings.Replace(staged, "title: Orders", "title: All orders", 1))
	w.want(200, "ben", "POST", "/v1/versions/orders.v1/promote", `{"to":"prod","from":"qa"}`)
	var where schema.Deployments
	into(w.want(200, "ben", "GET", "/v1/versions/orders.v1/deployments", ""), &where)
	if where.Newest != 2 || len(where.Items) != 2 || where.Items[0].Environment != "qa" || where.Items[1].After != "qa" || where.Items[1].Revision != 2 || len(where.Items[1].Had) != 2 {
		t.Errorf("deployments %+v", where)
	}
	var difference schema.Comparison
	into(w.want(200, "ben", "GET", "/v1/versions/orders.v1/comparison?from=1&environment=prod", ""), &difference)
	if difference.To != 2 || len(difference.Differences) != 1 || difference.Differences[0].Path != "spec.contract.digest" {
		t.Errorf("comparison %+v", difference)
	}
	if got := w.want(200, "ben", "POST", "/v1/versions/orders.v1/rollback", `{"environment":"prod"}`); !strings.Contains(got, `"revision":1,"was":2`) {
		t.Errorf("rolled back: %s", got)
	}

	w.want(201, "ben", "PUT", "/v1/products/orders", form)
	w.want(201, "ben", "PUT", "/v1/applications/erp", program)
	w.want(422, "ben", "PUT", "/v1/subscriptions/erp-orders", strings.Replace(asks, "bills", " ", 1))
	w.want(201, "ben", "PUT", "/v1/subscriptions/erp-orders", asks)
	var inbox schema.Inbox
	into(w.want(200, "ben", "GET", "/v1/inbox", ""), &inbox)
	if len(inbox.Items) != 1 || inbox.Items[0].What != "decide" || inbox.Items[0].Name != "erp-orders" || inbox.Items[0].By != "person ben" || inbox.Items[0].Until == nil {
		t.Errorf("inbox %+v", inbox)
	}
	w.want(200, "ben", "POST", "/v1/subscriptions/erp-orders/messages", `{"text":"soon?"}`)
	if got := w.want(200, "ben", "GET", "/v1/subscriptions/erp-orders/messages", ""); !strings.Contains(got, `"text":"soon?"`) {
		t.Errorf("messages %s", got)
	}
	w.want(200, "ben", "POST", "/v1/subscriptions/erp-orders/approve", `{}`)
	if got := w.want(200, "ben", "GET", "/v1/applications/erp/effective", ""); !strings.Contains(got, `"topic":"orders.placed"`) || strings.Contains(got, "qa.orders") {
		t.Errorf("effective %s", got)
	}

	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/versions/orders.v1/revisions", ""}, {"GET", "/v1/versions/orders.v1/revisions/1", ""}, {"GET", "/v1/versions/orders.v1/contract", ""},
		{"GET", "/v1/versions/orders.v1/comparison?from=1", ""}, {"GET", "/v1/versions/orders.v1/deployments", ""},
		{"POST", "/v1/versions/orders.v1/promote", `{"to":"prod"}`}, {"POST", "/v1/versions/orders.v1/rollback", `{"environment":"prod"}`},
		{"GET", "/v1/subscriptions/erp-orders/messages", ""}, {"POST", "/v1/subscriptions/erp-orders/messages", `{"text":"x"}`},
		{"GET", "/v1/applications/erp/effective", ""}, {"GET", "/v1/credentials/none/effective", ""}, {"GET", "/v1/rejections/R1", ""}, {"GET", "/v1/whois?name=x", ""},
	} {
		if resp, got := w.ask("eve", c.method, c.path, c.body); resp.StatusCode != 404 {
			t.Errorf("somebody without roles: %s %s: %d %s", c.method, c.path, resp.StatusCode, got)
		}
		if c.body == "" {
			continue
		}
		if resp, got := w.ask("", c.method, c.path, c.body); resp.StatusCode != 401 {
			t.Errorf("nobody: %s %s: %d %s", c.method, c.path, resp.StatusCode, got)
		}
		if resp, got := w.ask("ben", c.method, c.path, strings.Replace(c.body, "{", `{"surprise":1,`, 1)); resp.StatusCode != 422 {
			t.Errorf("an unknown field: %s %s: %d %s", c.method, c.path, resp.StatusCode, got)
		}
	}
}
