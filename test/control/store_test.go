package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// onBoth runs a test with each kind of store.
func onBoth(t *testing.T, test func(t *testing.T, s Setup)) {
	t.Run("sqlite", func(t *testing.T) { test(t, Setup{}) })
	t.Run("postgres", func(t *testing.T) { test(t, Setup{Postgres: database(t)}) })
}

// topic makes a backing topic with records in it.
func topic(t *testing.T, values ...string) string {
	t.Helper()
	name := "backing." + strings.NewReplacer("/", ".").Replace(strings.ToLower(t.Name()))
	c, err := kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...), kgo.DefaultProduceTopic(name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 1, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := c.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// offer makes an organisation with a shop that publishes a topic and an application that subscribes to it, and
// returns the secret of its credential.
func (p *Plane) offer(root *client.Client, backing string) (secret string) {
	p.tb.Helper()
	p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"prod"},"spec":{"bootstrap":["`+kafka.Bootstrap()[0]+`"]}}`)
	report := p.Apply(root, `{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"team"}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"prod":{"cluster":"main","topic":"`+backing+`"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"free":{"auth":["scram"],"approval":"manual"}}}}`,
		`{"kind":"Application","metadata":{"name":"reader","team":"shop"},"spec":{}}`,
		`{"kind":"Subscription","metadata":{"name":"reader-orders","environment":"prod"},"spec":{"application":"reader","product":"orders","plan":"free"}}`,
		`{"kind":"Credential","metadata":{"name":"reader-1","environment":"prod"},"spec":{"application":"reader","type":"scram"}}`)
	for _, o := range report.Outcomes {
		secret += o.Secret
	}
	p.move(root, "subscriptions", "reader-orders", "approve")
	return secret
}

func (p *Plane) move(c *client.Client, plural, name, action string) {
	p.tb.Helper()
	if _, err := c.Move(p.tb.Context(), plural, name, action, schema.Move{Reason: "test"}, client.Options{}); err != nil {
		p.tb.Fatal(err)
	}
}

// reads consumes until it has these values, through a gateway that may not have heard of the credential yet.
func (p *Plane) reads(t *testing.T, secret string, want ...string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(p.Bootstrap), kgo.SASL(scram.Auth{User: "reader-1", Pass: secret}.AsSha512Mechanism()),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(200*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders.placed": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < len(want) && ctx.Err() == nil {
		for _, r := range c.PollFetches(ctx).Records() {
			got = append(got, string(r.Value))
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("read %q, want %q\n%s", got, want, p.Log())
	}
	return c
}

// closed waits until a credential lets nobody in.
func (p *Plane) closed(t *testing.T, c *kgo.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if err := c.Ping(ctx); err != nil && ctx.Err() == nil && (strings.Contains(err.Error(), "revoked") || strings.Contains(err.Error(), "SASL")) {
			return
		}
	}
	t.Error("a revoked credential is let in")
}

// TestTheSameOnBothStores is the way of an offer to a consumer and back, with a process that is killed in between.
func TestTheSameOnBothStores(t *testing.T) {
	onBoth(t, func(t *testing.T, s Setup) {
		backing := topic(t, "first", "second")
		p := Start(t, s)
		root := p.Root()
		secret := p.offer(root, backing)
		p.reads(t, secret, "first", "second")
		p.Kill()
		p.Start()
		c := p.reads(t, secret, "first", "second")
		root = p.LogIn("root")
		p.move(root, "credentials", "reader-1", "revoke")
		p.closed(t, c)
		p.verified(t, root)
	})
}

// verified exports the audit log and verifies it, with the heads that were kept, and returns its rows.
func (p *Plane) verified(t *testing.T, root *client.Client, keys ...string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.ExportAudit(t.Context(), 1, f), f.Close()); err != nil {
		t.Fatal(err)
	}
	args := []string{"audit", "verify", file}
	for _, key := range append(keys, filepath.Join(p.Dir, "data", "audit.key.pub")) {
		args = append(args, "--key", key)
	}
	if heads := filepath.Join(p.Dir, "data", "audit-heads.jsonl"); len(keys) == 0 {
		args = append(args, "--heads", heads)
	}
	if out, err := exec.Command(product, args...).CombinedOutput(); err != nil {
		t.Errorf("the audit log is not whole: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// TestTwoControlPlanesShareADatabase has two processes change one PostgreSQL, and both gateways obey both.
func TestTwoControlPlanesShareADatabase(t *testing.T) {
	where := database(t)
	backing := topic(t, "first")
	a := Start(t, Setup{Postgres: where})
	root := a.Root()
	secret := a.offer(root, backing)
	b := Start(t, Setup{Postgres: where, Seed: a.Seed()})
	ca, cb := a.reads(t, secret, "first"), b.reads(t, secret, "first")
	there := b.LogIn("root")
	if _, err := root.Me(t.Context()); err != nil {
		t.Error(err)
	}

	const each = 25
	var group sync.WaitGroup
	for i, c := range []*client.Client{root, there} {
		group.Go(func() {
			for n := range each {
				name := fmt.Sprintf("team-%d-%d", i, n)
				if _, err := c.Apply(t.Context(), Documents(`{"kind":"Team","metadata":{"name":"`+name+`"},"spec":{"organisation":"acme"}}`), false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.move(there, "credentials", "reader-1", "revoke")
	a.closed(t, ca)
	b.closed(t, cb)

	rows := a.verified(t, root, filepath.Join(b.Dir, "data", "audit.key.pub"))
	teams := map[string]int{}
	for _, row := range rows {
		var e struct {
			Data struct{ Kind, Name, Action string }
		}
		if err := json.Unmarshal([]byte(row), &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.Kind == "Team" && strings.HasPrefix(e.Data.Name, "team-") {
			teams[e.Data.Name]++
		}
	}
	if len(teams) != 2*each {
		t.Errorf("%d teams have audit rows, want %d", len(teams), 2*each)
	}

	// A third one, with a seed of its own, does not start.
	dir := t.TempDir()
	for name, text := range map[string]string{"postgres": where, "sluice.yaml": "dataDir: data\nlisteners: [{name: kafka, address: \"127.0.0.1:0\"}]\noperations: {address: \"127.0.0.1:0\"}\n" + Setup{Postgres: where}.settings()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, product, "serve", "--config", filepath.Join(dir, "sluice.yaml")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "of an installation with another seed than") {
		t.Errorf("a control plane with another seed: %v\n%s", err, out)
	}
}
