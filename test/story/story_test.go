package story

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/store/postgrestest"
	"sluice/test/conformance"
	"sluice/test/harness"
)

// sampled are the libraries of `make test`; the full run has them all.
var sampled = []string{"franz-go", "Java", "librdkafka", "kafkajs", "Sarama", "kafka-go"}

const (
	password = "correct horse, battery staple"
	patience = 2 * time.Minute
)

// told waits until a log says something, and returns what is in the brackets.
func told(t *testing.T, p *harness.Process, what string) string {
	t.Helper()
	line := regexp.MustCompile(what)
	var found []string
	within(t, "the log says "+what, func() bool {
		found = line.FindStringSubmatch(p.Log())
		return found != nil
	})
	return found[1]
}

func within(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// desk is somebody at a command line.
type desk struct {
	t      *testing.T
	dir    string
	binary string
	login  string
}

// try runs a command.
func (d desk) try(args ...string) (out string, err error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if !slices.Equal(args[:min(2, len(args))], []string{"audit", "verify"}) { // which asks nobody
		args = append(args, "--login-file", filepath.Join(d.dir, d.login+".json"))
	}
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Dir = d.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%s: sluice %s: %w\n%s%s", d.login, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), err
}

func (d desk) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Logf("%s: sluice %s\n%s", d.login, strings.Join(args, " "), out)
	return out
}

// secret reads the secret of a credential out of what a command printed.
func secret(t *testing.T, printed, credential string) string {
	t.Helper()
	found := regexp.MustCompile(`The secret of ` + credential + `, which is shown this once:\s+(\S+)`).FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("no secret of %s in:\n%s", credential, printed)
	}
	return found[1]
}

// TestFromTheFirstDocumentToTheEnd is the life of a version. A provider applies it from AsyncAPI, it is promoted and
// approved by a second person; a consumer subscribes, is approved, gets a secret and reads; the secret is rotated with
// overlap; the version is deprecated, browned out and retired. A client of each library is connected all the time, and
// gets everything of the application's other product.
func TestFromTheFirstDocumentToTheEnd(t *testing.T) {
	binary := harness.Build(t)
	postgres, err := postgrestest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	control := harness.StartProcess(t, harness.Serve{
		Binary: binary, Command: "control", Environment: "prod", Files: map[string]string{"postgres": postgres.Database(t)},
		Settings: "management: {address: \"127.0.0.1:0\", postgres: {file: postgres}}\nfeed: {address: \"127.0.0.1:0\"}\n",
	})
	server, feed := told(t, control, `the management API is there" address=(\S+)`), told(t, control, `the control plane serves".* feed=(\S+)`)

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "platform.yaml"), "$KAFKA", kafka.Bootstrap()[0])
	at := func(login string) desk { return desk{t, dir, binary, login} }
	people(t, dir, server, told(t, control, `--first-admin (\S+?)"`), at)
	root, ben, cleo, dan := at("root"), at("ben"), at("cleo"), at("dan")

	// The platform, and two gateways, each apart from the control plane.
	root.run("apply", "-f", "platform.yaml")
	var gateways []*harness.Process
	for _, name := range []string{"gw-1", "gw-2"} {
		gateways = append(gateways, harness.StartProcess(t, harness.Serve{Binary: binary, Command: "gateway", Environment: "prod", Join: func(config string) error {
			token := strings.TrimSpace(root.run("gateway", "invite", name))
			cmd := exec.CommandContext(t.Context(), binary, "gateway", "join", "--control", feed, "--token", token, "--config", config)
			cmd.Dir = filepath.Dir(config)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("join as %s: %w\n%s", name, err, out)
			}
			return nil
		}}))
	}

	// Ben publishes: into qa at once, into prod after somebody else has looked.
	written := write(t, map[string]string{"shop.orders": "orders.placed", "shop.stock": "stock.moved"})
	ben.run("apply", "-f", "offer.yaml")
	for _, version := range []string{"orders.v1", "stock.v1"} {
		ben.run("promote", "version", version, "--from", "qa", "--to", "prod", "--reason", "first release")
		if _, err := ben.try("approve", "version", version, "--environment", "prod", "--revision", "1"); err == nil {
			t.Error("who asked approves")
		}
		cleo.run("approve", "version", version, "--environment", "prod", "--revision", "1")
	}

	// Dan subscribes, and is approved.
	printed := dan.run("apply", "-f", "wish.yaml")
	first, others := secret(t, printed, "billing-1"), secret(t, printed, "billing-2")
	if !strings.Contains(cleo.run("inbox"), "billing-orders") {
		t.Error("the inbox does not have the subscription")
	}
	for _, s := range []string{"billing-orders", "billing-stock"} {
		cleo.run("approve", "subscription", s, "--reason", "welcome")
	}

	// A client of each library reads both, through one gateway or the other, until the end.
	var all []*consumer
	n := 0
	join := func(c conformance.Client, name, user, password string) *consumer {
		n++
		return begin(t, c, name, conformance.Command{Op: "loop", Topics: []string{"orders.placed", "stock.moved"}, Group: name,
			Bootstrap: gateways[n%2].Bootstrap, Mechanism: "SCRAM-SHA-512", User: user, Password: password})
	}
	inForce(t, gateways, others)
	var librdkafka conformance.Client
	for _, c := range conformance.Clients(kafka) {
		if c.Name == "librdkafka" {
			librdkafka = c
		}
		if c.Has("loop") && (harness.Full() || slices.Contains(sampled, c.Name)) {
			all = append(all, join(c, strings.ReplaceAll(c.Name, " ", "-"), "billing-2", others))
		}
	}
	old := join(librdkafka, "with-the-old-secret", "billing-1", first)
	for _, c := range append(all, old) {
		c.await(t, "at first", "orders.placed", time.Time{})
		c.await(t, "at first", "stock.moved", time.Time{})
	}

	// The secret is rotated with overlap: both are good, and then the new one is.
	const overlap = 20 * time.Second
	second := secret(t, dan.run("rotate", "credential", "billing-1", "--overlap", overlap.String()), "billing-1")
	ends := time.Now().Add(overlap)
	fresh := join(librdkafka, "with-the-new-secret", "billing-1", second)
	fresh.await(t, "with the new secret", "stock.moved", time.Time{})
	if time.Now().Before(ends) {
		old.await(t, "in the overlap", "stock.moved", time.Now().Add(-time.Second))
	}
	all = append(all, fresh)
	within(t, "the old secret is refused", func() bool {
		return strings.Contains(gateways[0].Log()+gateways[1].Log(), "result=ended")
	})
	if time.Now().Before(ends.Add(-time.Second)) {
		t.Error("the old secret is refused before its end")
	}
	old.stop()
	ended := time.Now()
	for _, a := range old.got("stock.moved") {
		if after := a.made.Sub(ends); after > 3*time.Second {
			t.Errorf("with the old secret, a record came that was written %v after its end", after)
			break
		}
	}
	for _, c := range all {
		c.await(t, "after the old secret's end", "stock.moved", ended)
	}

	// Deprecated, browned out, and retired by the clock.
	from := time.Now().Add(8 * time.Second).Truncate(time.Second)
	until, sunset := from.Add(8*time.Second), from.Add(23*time.Second)
	day := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	ben.run("deprecate", "version", "orders.v1", "--sunset", day(sunset), "--grace", "1s", "--successor", "stock.v1", "--brownout", day(from)+"/"+day(until))
	retired := sunset.Add(time.Second)
	for _, c := range all {
		c.await(t, "after the brown-out", "orders.placed", until)
	}
	within(t, "the version is retired", func() bool { return strings.Contains(ben.run("get", "version", "orders.v1"), "retired") })
	for _, c := range all {
		c.await(t, "after the retirement", "stock.moved", retired.Add(3*time.Second))
	}

	for _, c := range all {
		again := c.whole(t, "stock.moved")
		c.whole(t, "orders.placed")
		if again > 0 && !c.Regex { // what subscribes by a pattern rebalances when a topic is gone
			t.Errorf("%s: %d records of stock.moved came again", c.name, again)
		}
		orders := c.got("orders.placed")
		for _, a := range orders {
			const margin = 1500 * time.Millisecond // until a phase is in force everywhere
			if a.made.After(from.Add(margin)) && a.made.Before(until.Add(-margin)) && a.at.Before(until.Add(-margin/2)) {
				t.Errorf("%s: record %d of orders.placed came %v before the end of the brown-out", c.name, a.n, until.Sub(a.at))
			}
			if a.made.After(retired.Add(margin)) {
				t.Errorf("%s: record %d of orders.placed was written %v after the retirement, and came", c.name, a.n, a.made.Sub(retired))
			}
		}
		t.Logf("%s: %d records of stock.moved (%d again), %d of orders.placed; %d errors: %q", c.name, len(c.got("stock.moved")), again, len(orders), len(c.errors), tail(c.errors))
		select {
		case <-c.ended:
			t.Errorf("%s has ended: %v", c.name, c.err)
		default:
		}
	}
	t.Logf("%d records of each topic were written", written.Load())
	root.run("get", "gateways")
	root.run("audit", "export", "audit.jsonl")
	if err := os.WriteFile(filepath.Join(dir, "audit.key.pub"), []byte(root.run("audit", "key")), 0o600); err != nil {
		t.Fatal(err)
	}
	root.run("audit", "verify", "audit.jsonl", "--key", "audit.key.pub")
}

// people makes the first platform-admin and three others, who log in at their command lines.
func people(t *testing.T, dir, server, token string, at func(string) desk) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	at("root").run("login", "--server", server, "--login", "root", "--first-admin", token, "--password-file", "password")
	nobody, err := client.New(client.Config{Server: server})
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"ben", "cleo", "dan"} {
		invitation := regexp.MustCompile(`\S{20,}`).FindString(at("root").run("invite", login))
		if err := nobody.SetPassword(t.Context(), schema.NewPassword{Token: invitation, Password: password}); err != nil {
			t.Fatal(err)
		}
		at(login).run("login", "--server", server, "--login", login, "--password-file", "password")
	}
}

// inForce waits until a secret is known at the gateways.
func inForce(t *testing.T, gateways []*harness.Process, password string) {
	t.Helper()
	for _, g := range gateways {
		within(t, "the credential is in force", func() bool {
			c, err := kgo.NewClient(kgo.SeedBrokers(g.Bootstrap), kgo.SASL(scram.Auth{User: "billing-2", Pass: password}.AsSha512Mechanism()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			topics, err := kadm.NewClient(c).ListTopics(t.Context())
			return err == nil && topics.Has("orders.placed") && topics.Has("stock.moved")
		})
	}
}

// write makes backing topics, and writes ten records a second to those of prod until the test ends, numbered and dated.
// In a header stands the exposed name, which not every library tells.
func write(t *testing.T, topics map[string]string) *atomic.Int64 {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	all := slices.AppendSeq([]string{"shop.orders.qa", "shop.stock.qa"}, maps.Keys(topics))
	if made, err := kadm.NewClient(c).CreateTopics(t.Context(), 1, 1, nil, all...); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	n := new(atomic.Int64)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			i := int(n.Add(1)) - 1
			for topic, exposed := range topics {
				r := &kgo.Record{Topic: topic, Value: []byte(value(i, time.Now())), Headers: []kgo.RecordHeader{{Key: "topic", Value: []byte(exposed)}}}
				if err := c.ProduceSync(context.Background(), r).FirstErr(); err != nil {
					t.Errorf("write to %s: %v", topic, err)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; c.Close() })
	return n
}

func replace(t *testing.T, file, old, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(b, []byte(old), []byte(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}
