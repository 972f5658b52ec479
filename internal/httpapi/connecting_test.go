package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"sluice/internal/httpapi/schema"
)

// TestClientsAreToldHowToConnect looks at what comes with a new credential's secret, where
// the document of the environment says where clients connect, and where nobody does.
func TestClientsAreToldHowToConnect(t *testing.T) {
	w := newWorld(t)
	w.people()
	w.want(201, "ben", "PUT", "/v1/applications/billing", `{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"billing","team":"shop"},"spec":{}}`)
	w.want(201, "root", "PUT", "/v1/environments/prod", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"prod"},"spec":{"clients":{"bootstrap":"a.example.com:9093, b.example.com:9093","tls":true}}}`)
	w.want(201, "root", "PUT", "/v1/environments/qa", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"qa"},"spec":{}}`)
	const prod = "a.example.com:9093,b.example.com:9093"
	for i, c := range []struct {
		name, environment, spec string
		want                    schema.Client // Properties are a part
	}{
		{"scram", "prod", `"type":"scram"`, schema.Client{Username: "c0", Bootstrap: prod, Protocol: "SASL_SSL", Mechanism: "SCRAM-SHA-512",
			Properties: "bootstrap.servers=" + prod + "\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"c0\" password=\"SECRET\";\n"}},
		{"plain, where nobody says where", "qa", `"type":"plain","clientId":"x"`, schema.Client{Username: "x", Protocol: "SASL_PLAINTEXT", Mechanism: "PLAIN",
			Properties: "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"x\" password=\"SECRET\";\n"}},
		{"a user name that has to be quoted", "prod", `"type":"scram","clientId":"a\"b\\c"`, schema.Client{Username: `a"b\c`, Bootstrap: prod, Protocol: "SASL_SSL", Mechanism: "SCRAM-SHA-512", Properties: `username="a\\"b\\\\c" password="SECRET"`}},
		{"tokens of our own", "prod", `"type":"oauth"`, schema.Client{Username: "c3", Bootstrap: prod, Protocol: "SASL_SSL", Mechanism: "OAUTHBEARER", TokenEndpoint: w.server.URL + "/v1/oauth/prod/token",
			Properties: "sasl.oauthbearer.token.endpoint.url=" + w.server.URL + "/v1/oauth/prod/token\n"}},
		{"tokens of others", "prod", `"type":"oauth","issuer":"https://login.example.com","subject":"s"`, schema.Client{Bootstrap: prod, Protocol: "SASL_SSL", Mechanism: "OAUTHBEARER"}},
		{"a certificate", "prod", `"type":"mtls","san":"dns:a.example.com"`, schema.Client{Bootstrap: prod, Protocol: "SSL"}},
		{"revoked from the beginning", "prod", `"type":"mtls","san":"dns:b.example.com","state":"revoked"`, schema.Client{}},
	} {
		name := fmt.Sprintf("c%d", i)
		body := fmt.Sprintf(`{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":%q,"environment":%q},"spec":{"application":"billing",%s}}`, name, c.environment, c.spec)
		w.want(200, "ben", "PUT", "/v1/credentials/"+name+"?dryRun=true", body)
		var report schema.Report
		resp, answer := w.ask("ben", "PUT", "/v1/credentials/"+name, body)
		if err := json.Unmarshal([]byte(answer), &report); err != nil || resp.StatusCode != 201 {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, answer)
			continue
		}
		o := report.Outcomes[0]
		got := schema.Client{}
		if o.Client != nil {
			got = *o.Client
		}
		if want := strings.ReplaceAll(c.want.Properties, "SECRET", o.Secret); !strings.Contains(got.Properties, want) || (want == "") != (got.Properties == "") {
			t.Errorf("%s: got properties\n%s\nwant\n%s", c.name, got.Properties, want)
		}
		got.Properties, c.want.Properties = "", ""
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	var again schema.Rotation
	if err := json.Unmarshal([]byte(w.want(200, "ben", "POST", "/v1/credentials/c0/rotate", `{}`)), &again); err != nil || again.Client == nil || !strings.Contains(again.Client.Properties, again.Secret) {
		t.Errorf("rotated: %v %+v", err, again)
	}
}

// TestSamplesOfACredential looks at who gets programs, and what is filled in.
func TestSamplesOfACredential(t *testing.T) {
	w := newWorld(t)
	w.people()
	w.want(201, "root", "PUT", "/v1/environments/prod", `{"apiVersion":"sluice/v1","kind":"Environment","metadata":{"name":"prod"},"spec":{"clients":{"bootstrap":"a.example.com:9093","tls":true}}}`)
	w.want(201, "ben", "PUT", "/v1/applications/billing", `{"apiVersion":"sluice/v1","kind":"Application","metadata":{"name":"billing","team":"shop"},"spec":{}}`)
	w.want(201, "ben", "PUT", "/v1/credentials/c1", `{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":"c1","environment":"prod"},"spec":{"application":"billing","type":"scram"}}`)
	if got := w.want(409, "ben", "GET", "/v1/credentials/c1/samples", ""); !strings.Contains(got, "no topic yet") {
		t.Error(got)
	}
	w.want(201, "ben", "PUT", "/v1/apis/orders", api)
	w.want(201, "ben", "PUT", "/v1/versions/orders.v1", `{"apiVersion":"sluice/v1","kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"prod":{"cluster":"main","topic":"shop.orders"}}},"lifecycle":{"state":"published"}}}`)
	w.want(201, "ben", "PUT", "/v1/products/orders", `{"apiVersion":"sluice/v1","kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"open":{"auth":["scram"],"approval":"automatic"}}}}`)
	w.want(201, "ben", "PUT", "/v1/subscriptions/billing-orders", `{"apiVersion":"sluice/v1","kind":"Subscription","metadata":{"name":"billing-orders","environment":"prod"},"spec":{"application":"billing","product":"orders","plan":"open"}}`)
	var got schema.Samples
	if err := json.Unmarshal([]byte(w.want(200, "ben", "GET", "/v1/credentials/c1/samples", "")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Topic != "orders.placed" || got.Group != "billing" || len(got.Items) != 12 || got.Client.Mechanism != "SCRAM-SHA-512" {
		t.Errorf("got %s for group %s with %s, %d samples", got.Topic, got.Group, got.Client.Mechanism, len(got.Items))
	}
	filled := map[string]string{}
	for _, s := range got.Items {
		if s.Consume == nil || s.Produce != nil {
			t.Errorf("%s: of a topic that may be read and not written: consume %v, produce %v", s.ID, s.Consume, s.Produce)
			continue
		}
		for _, p := range append(s.Consume.Text, s.Consume.Run...) {
			if p.Value != "" {
				filled[p.Value] = p.Text
			}
		}
	}
	want := map[string]string{"bootstrap": "a.example.com:9093", "topic": "orders.placed", "group": "billing", "username": "c1", "secret": "YOUR_SECRET"}
	if !maps.Equal(filled, want) {
		t.Errorf("filled in %v, want %v", filled, want)
	}
	if got := w.want(422, "ben", "GET", "/v1/credentials/c1/samples?topic=shop.orders", ""); !strings.Contains(got, "has no topic shop.orders") {
		t.Error(got)
	}
	w.want(404, "eve", "GET", "/v1/credentials/c1/samples", "")
	w.want(404, "ben", "GET", "/v1/credentials/c2/samples", "")
}
