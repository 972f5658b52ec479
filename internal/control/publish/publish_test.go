package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/grant"
	"sluice/internal/resource"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// world compiles texts one after the other, as a running gateway does.
type world struct {
	t        *testing.T
	now      time.Time
	history  *History
	previous *grant.Snapshot
	secrets  map[string]string
	next     time.Time
	inside   bool
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: start, secrets: map[string]string{"SECRET": "0123456789abcdef", "OTHER": "fedcba9876543210"}}
}

func (w *world) options() Options {
	return Options{
		Environment: "prod", Generation: 1, Inside: w.inside, Now: w.now, Seed: []byte(strings.Repeat("s", 32)),
		History: w.history, Previous: w.previous,
		Secret: func(r resource.SecretRef) (string, error) {
			if s, ok := w.secrets[r.Env]; ok {
				return s, nil
			}
			return "", errors.New(r.Describe() + " is not set")
		},
	}
}

func (w *world) read(text string) *resource.Set {
	w.t.Helper()
	set, problems := resource.ReadBytes("set.yaml", []byte(text))
	for _, p := range problems {
		if !p.Warning {
			w.t.Errorf("read: %v", p)
		}
	}
	return set
}

// compile takes a set over and returns the snapshot; problems fail the test.
func (w *world) compile(text string) *grant.Snapshot {
	w.t.Helper()
	r, problems := Compile(w.read(text), w.options())
	if r == nil {
		w.t.Fatalf("compile: %v", problems)
	}
	w.previous, w.next = r.Snapshot, r.NextChange
	data, err := json.Marshal(r.History) // as kept on disk
	if err != nil {
		w.t.Fatal(err)
	}
	w.history = &History{}
	if err := json.Unmarshal(data, w.history); err != nil {
		w.t.Fatal(err)
	}
	return r.Snapshot
}

// decide says what a credential gets for a topic, as "list describe read write".
func (w *world) decide(method grant.Method, identity, exposed string) string {
	w.t.Helper()
	c := w.previous.Lookup(method, identity)
	if c == nil {
		return "no credential"
	}
	topic := c.Grant.Topic(exposed)
	if topic == nil {
		topic = &grant.Topic{} // what is not granted is refused
	}
	var out []string
	for _, op := range []grant.Operation{grant.List, grant.Describe, grant.Read, grant.Write} {
		out = append(out, topic.Decide(op, w.now).Verdict.String())
	}
	return strings.Join(out, " | ")
}

// What each state looks like for a topic with both rights.
const (
	isOpen      = "allow | allow | allow | allow"
	isBrownOut  = "allow | allow | withhold | allow slowly"
	isSuspended = "allow | allow | withhold | refuse by policy"
	isEnded     = "absent | allow | withhold | refuse by policy"
	isRefused   = "unknown | unknown | unknown | unknown"
)

// base is a set with one of everything; the arguments replace parts of it.
func base(replace ...string) string {
	const text = `
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: prod}
spec: {bootstrap: ["127.0.0.1:9092"]}
---
apiVersion: sluice/v1
kind: API
metadata: {name: orders}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {send: true, receive: true}}}
  channels: {placed: {prod: {cluster: main, topic: shop.orders}}}
  lifecycle: {state: published}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: orders}
spec: {versions: [orders.v1], plans: {free: {auth: [plain, scram]}}}
---
apiVersion: sluice/v1
kind: Application
metadata: {name: erp}
spec: {suspended: false}
---
apiVersion: sluice/v1
kind: Subscription
metadata: {name: erp-orders, environment: prod}
spec: {application: erp, product: orders, plan: free, state: active}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: erp-1, environment: prod}
spec: {application: erp, type: plain, secret: {env: SECRET}}
`
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			panic(fmt.Sprintf("the base has no %q", replace[i]))
		}
	}
	return strings.NewReplacer(replace...).Replace(text)
}

func TestDesignExample(t *testing.T) {
	t.Chdir("testdata/design")
	set, problems := resource.Read(".")
	if resource.Bad(problems) {
		t.Fatal(problems)
	}
	w := newWorld(t)
	w.secrets["ACME_SECRET"], w.secrets["KAFKA_PASSWORD"] = "0123456789abcdef", "x"
	opts := w.options()
	inner := opts.Secret
	opts.Secret = func(r resource.SecretRef) (string, error) {
		if r.File != "" {
			data, err := os.ReadFile(r.File)
			return string(data), err
		}
		return inner(r)
	}
	r, problems := Compile(set, opts)
	if r == nil {
		t.Fatal(problems)
	}
	c := r.Snapshot.Lookup(grant.Scram, "acme-erp-1")
	if c == nil {
		t.Fatal("no credential")
	}
	topic := c.Grant.Topic("orders.placed")
	if topic == nil || topic.Backing != "shop.orders.v1" || topic.Read.Access != grant.Granted || topic.Write.Access != grant.Never {
		t.Errorf("got topic %+v", topic)
	}
	if len(c.Verifiers) != 2 || c.Grant.Namespace.Topics != 20 || c.Grant.Group("erp-legacy") != "erp-legacy" || c.Grant.Group("x") == "x" {
		t.Errorf("got credential %+v, grant %+v", c, c.Grant)
	}
	if cl := r.Clusters[0]; cl.TLS == nil || cl.TLS.RootCAs == nil || cl.SASL.Password.Reveal() != "x" || fmt.Sprintf("%v %+v %#v", *cl.SASL, *cl.SASL, *cl.SASL) == "" {
		t.Errorf("got cluster %+v", cl)
	}
	if text := fmt.Sprintf("%v %+v %#v", r.Clusters[0].SASL.Password, *r.Clusters[0].SASL, *r.Clusters[0].SASL); strings.Contains(text, `"x"`) || !strings.Contains(text, "[redacted]") {
		t.Errorf("the password shows: %s", text)
	}
}

func TestUnchangedSetGivesTheSameSnapshot(t *testing.T) {
	w := newWorld(t)
	first := w.compile(base())
	if got := first.Number(); got != (grant.Number{Generation: 1, N: 1}) {
		t.Errorf("got number %v", got)
	}
	w.now = w.now.Add(time.Hour)
	if again := w.compile(base()); again != first {
		t.Errorf("a new snapshot, with %+v", first.Diff(again))
	}
	data, err := json.Marshal(first) // as a restarted gateway reads it
	if err != nil {
		t.Fatal(err)
	}
	w.previous = &grant.Snapshot{}
	if err := json.Unmarshal(data, w.previous); err != nil {
		t.Fatal(err)
	}
	if again := w.compile(base()); again.Number() != first.Number() {
		t.Errorf("after a restart: number %v", again.Number())
	}
	old := w.previous.Lookup(grant.Plain, "erp-1")
	w.secrets["SECRET"] = "another secret, quite long"
	changed := w.compile(base())
	if changed.Number().N != 2 || string(changed.Lookup(grant.Plain, "erp-1").Verifiers[0].Salt) == string(old.Verifiers[0].Salt) {
		t.Errorf("a new secret: number %v, salt %x", changed.Number(), changed.Lookup(grant.Plain, "erp-1").Verifiers[0].Salt)
	}
}

// TestInside: this process may do as an application what its subscriptions bring, whatever
// ways to log in plans admit and whether it has a credential, and remembers nothing by it.
func TestInside(t *testing.T) {
	w, plain := newWorld(t), newWorld(t)
	w.inside = true
	both := func(text string) {
		t.Helper()
		w.compile(text)
		plain.compile(text)
		with, _ := json.Marshal(w.history)
		without, _ := json.Marshal(plain.history)
		if string(with) != string(without) {
			t.Errorf("the history differs:\n%s\n%s", with, without)
		}
		if w.previous.Len() != plain.previous.Len()+1 {
			t.Errorf("%d credentials, %d without", w.previous.Len(), plain.previous.Len())
		}
	}
	is := func(want string) {
		t.Helper()
		if got := w.decide(grant.Inside, "erp", "placed"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	both(base())
	is(isOpen)
	var shared []*grant.Grant
	for g := range w.previous.Grants() {
		shared = append(shared, g)
	}
	if len(shared) != 1 {
		t.Errorf("%d grants of one application, whose credentials say the same", len(shared))
	}
	both(base("auth: [plain, scram]", "auth: [oauth]"))
	is(isOpen)
	if got := w.decide(grant.Plain, "erp-1", "placed"); got == isOpen {
		t.Errorf("the plan admits no PLAIN, and gives %s", got)
	}
	both(base("state: active", "state: suspended"))
	is(isSuspended)
	both(base("state: active", "state: closed"))
	is(isEnded)
	w.now = w.now.Add(Memory + day)
	w.compile(base("state: active", "state: closed"))
	is("no credential")
}
