package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/grant"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// control starts control plane and gateway in one process, without any file of
// resources.
func (w *world) control() *running {
	w.t.Helper()
	opts := w.options()
	opts.Resources, opts.Control = nil, true
	opts.Config.Management.Address = "127.0.0.1:0"
	opts.Config.Listeners[0].Mechanisms = append(opts.Config.Listeners[0].Mechanisms, "OAUTHBEARER")
	return w.start(opts)
}

// person logs somebody in at the management API, as the first platform-admin where there
// is none.
func (w *world) person(r *running, login string) *client.Client {
	w.t.Helper()
	return w.personAt(r.management, login)
}

func (w *world) personAt(m *management, login string) *client.Client {
	w.t.Helper()
	const password = "correct horse, battery staple"
	nobody, err := client.New(client.Config{Server: m.address()})
	if err != nil {
		w.t.Fatal(err)
	}
	if token, until, err := m.people.FirstAdmin(w.t.Context()); err != nil {
		w.t.Fatal(err)
	} else if !until.IsZero() {
		if err := nobody.Claim(w.t.Context(), schema.Claim{Token: token.Reveal(), Login: login, Password: password}); err != nil {
			w.t.Fatal(err)
		}
	}
	l, err := nobody.LogIn(w.t.Context(), schema.Credentials{Login: login, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.New(client.Config{Server: m.address(), Token: l.Token})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) apply(c *client.Client, documents ...string) *schema.Report {
	w.t.Helper()
	var body schema.Apply
	for _, d := range documents {
		body.Documents = append(body.Documents, json.RawMessage(`{"apiVersion":"sluice/v1",`+strings.TrimPrefix(d, "{")))
	}
	report, err := c.Apply(w.t.Context(), body, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// From a document to a record and back: what is applied is in force, what is
// suspended falls silent, what is revoked is closed, and a restart changes nothing.
func TestTheControlPlaneIsInForceAtTheGateway(t *testing.T) {
	w := newWorld(t)
	r := w.control()
	root := w.person(r, "root")
	w.apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"test"},"spec":{"bootstrap":["`+w.broker.Addresses()[0]+`"]}}`)
	report := w.apply(root, `{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"team"}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"test":{"cluster":"main","topic":"backing.orders"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"free":{"auth":["scram"],"approval":"manual"}}}}`,
		`{"kind":"Application","metadata":{"name":"reader","team":"shop"},"spec":{}}`,
		`{"kind":"Subscription","metadata":{"name":"reader-orders","environment":"test"},"spec":{"application":"reader","product":"orders","plan":"free"}}`,
		`{"kind":"Credential","metadata":{"name":"reader-1","environment":"test"},"spec":{"application":"reader","type":"scram"}}`)
	var password string
	for _, o := range report.Outcomes {
		password += o.Secret
	}
	// A login is known once the credential is in force, and sees nothing before its subscription is approved.
	early := w.known(r, "reader-1", password)
	w.within(patience, "the credential is in force", func() bool { return early.Ping(w.t.Context()) == nil })
	if got := w.topics(early); got != "" {
		t.Errorf("sees %q before the subscription is approved", got)
	}
	if _, err := root.Move(t.Context(), "subscriptions", "reader-orders", "approve", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "the topic is shown", func() bool { return w.topics(early) == "orders.placed" })
	early.Close()
	fromTheStart := kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders.placed": {0: kgo.NewOffset().AtStart()}})
	c := w.known(r, "reader-1", password, fromTheStart)
	direct := w.direct()
	w.produce(direct, "backing.orders", "first")
	w.next(c, "first")

	// A cluster that cannot be used keeps nothing else waiting, here and after a restart.
	w.apply(root, `{"kind":"Cluster","metadata":{"name":"broken","environment":"test"},"spec":{"bootstrap":["127.0.0.1:1"],"sasl":{"mechanism":"SCRAM-SHA-512","username":"u","password":{"env":"SLUICE_TEST_NOT_THERE"}}}}`)

	if _, err := root.Move(t.Context(), "subscriptions", "reader-orders", "suspend", schema.Move{Reason: "unpaid"}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "the suspension is in force", func() bool { return withheld(r, "orders.placed") })
	w.produce(direct, "backing.orders", "while suspended")
	if err := quiet(t, c); err != nil {
		t.Error(err)
	}
	if _, err := root.Move(t.Context(), "subscriptions", "reader-orders", "resume", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.next(c, "while suspended")

	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r = w.control()
	c.Close()
	again := w.known(r, "reader-1", password, fromTheStart)
	w.next(again, "first")
	root = w.person(r, "root")
	if _, err := root.Move(t.Context(), "credentials", "reader-1", "revoke", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "the connections are closed", func() bool { return r.Connections() == 0 })
	late := w.known(r, "reader-1", password)
	if err := late.Ping(t.Context()); !errors.Is(err, kerr.SaslAuthenticationFailed) && (err == nil || !strings.Contains(err.Error(), "revoked")) {
		t.Errorf("a revoked credential logs in: %v", err)
	}

	if !strings.Contains(w.log.String(), "SLUICE_TEST_NOT_THERE is not set") {
		t.Error("the log does not say what is wrong with the cluster")
	}

	// Secrets are nowhere: not in the data directory, not in the log.
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(w.dir, "broker")) {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(b), password) || strings.Contains(string(b), "battery staple")) {
			t.Errorf("a secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(w.log.String(), password) || strings.Contains(w.log.String(), "battery staple") {
		t.Error("a secret is in the log")
	}
}

// withheld says whether a topic is withheld from whoever has it.
func withheld(r *running, topic string) bool {
	for g := range r.gateway.Snapshot().Grants() {
		if t := g.Topic(topic); t != nil && t.Decide(grant.Read, time.Now()).Verdict == grant.Withhold {
			return true
		}
	}
	return false
}

// known is a client of the gateway with a secret of its own.
func (w *world) known(r *running, user, secret string, opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	return w.client(append([]kgo.Opt{
		kgo.SeedBrokers(r.Bootstrap()), kgo.SASL(scram.Auth{User: user, Pass: secret}.AsSha512Mechanism()),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.MetadataMaxAge(100 * time.Millisecond), kgo.FetchMaxWait(500 * time.Millisecond),
	}, opts...)...)
}

// quiet returns an error when records come within a moment.
func quiet(t *testing.T, c *kgo.Client) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the length of what is looked at
	defer cancel()
	if records := c.PollFetches(ctx).Records(); len(records) > 0 {
		return errors.New("a suspended subscription brings " + string(records[0].Value))
	}
	return nil
}
