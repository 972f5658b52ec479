// Package identity tests applications with users of their own at a real Apache Kafka with an authorizer: two gateways,
// whose own user may administer users and read no record, in front of a cluster that lets nobody do what has no ACL.
package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

var kafka *kafkatest.Cluster

func TestMain(m *testing.M) {
	brokers := 1
	if harness.Full() {
		brokers = 3
	}
	harness.Main(m, kafkatest.Options{Brokers: brokers, SASL: true, ACL: true}, &kafka)
}

const (
	masterKey = "0123456789abcdef0123456789abcdef-canary"
	secret    = "correct-horse-battery"
	patience  = 90 * time.Second
)

// documents are those of an application that reads and one that writes, as far as they are named: by plan.
func documents(identity string, applications map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: prod}
spec:
  bootstrap: ["%s"]
  sasl: {mechanism: SCRAM-SHA-512, username: bob, password: {file: bob}}
%s---
apiVersion: sluice/v1
kind: API
metadata: {name: orders, team: shop}
spec: {title: Orders}
---
apiVersion: sluice/v1
kind: Version
metadata: {name: orders.v1}
spec:
  contract: {channels: {placed: {address: orders.placed, send: true, receive: true}}}
  channels: {placed: {prod: {cluster: main, topic: shop.orders}}}
  lifecycle: {state: published}
---
apiVersion: sluice/v1
kind: Product
metadata: {name: orders, team: shop}
spec:
  versions: [orders.v1]
  plans:
    read: {auth: [plain], rights: {placed: read}, limits: {readBytesPerSecond: 5MiB}}
    write: {auth: [plain], rights: {placed: write}, limits: {writeBytesPerSecond: 4MiB}}
`, kafka.BootstrapSASL()[0], identity)
	for _, name := range slices.Sorted(maps.Keys(applications)) {
		fmt.Fprintf(&b, `---
apiVersion: sluice/v1
kind: Application
metadata: {name: %[1]s, team: someone}
spec: {}
---
apiVersion: sluice/v1
kind: Credential
metadata: {name: %[1]s, environment: prod}
spec: {application: %[1]s, type: plain, clientId: %[1]s, secret: {file: secret}}
---
apiVersion: sluice/v1
kind: Subscription
metadata: {name: %[1]s-orders, environment: prod}
spec: {application: %[1]s, product: orders, plan: %[2]s}
`, name, applications[name])
	}
	return b.String()
}

const perApplication = "  identity: {perApplication: true, masterKey: {file: master}}\n"

// passwordOf is what every gateway with the master key derives for a user.
func passwordOf(user string) string {
	h := hmac.New(sha256.New, []byte(masterKey))
	for _, part := range []string{"sluice user password", "SCRAM-SHA-512", user} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// world is two gateways in front of the cluster, and a superuser at it.
type world struct {
	t        *testing.T
	gateways []*harness.Process
	admin    *kgo.Client
}

func start(t *testing.T, text string) *world {
	w := &world{t: t}
	w.admin = w.client(kgo.SeedBrokers(kafka.Bootstrap()...))
	if _, err := kadm.NewClient(w.admin).CreateTopics(t.Context(), 2, -1, nil, "shop.orders", "shop.secret"); err != nil {
		t.Fatal(err)
	}
	// What docs/resources.md asks for, and nothing else: neither reading nor writing.
	rights := kmsg.NewPtrCreateACLsRequest()
	allow := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
		c.Principal, c.Host, c.Operation, c.PermissionType = "User:bob", "*", op, kmsg.ACLPermissionTypeAllow
		rights.Creations = append(rights.Creations, c)
	}
	for _, op := range []kmsg.ACLOperation{kmsg.ACLOperationDescribe, kmsg.ACLOperationAlter, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs} {
		allow(kmsg.ACLResourceTypeCluster, "kafka-cluster", op)
	}
	allow(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationDescribe)
	resp, err := rights.RequestWith(t.Context(), w.admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			t.Fatal(err)
		}
	}
	binary := harness.Build(t)
	for range 2 {
		w.gateways = append(w.gateways, harness.StartProcess(t, harness.Serve{
			Binary: binary, Documents: text, Data: map[string]string{"seed": strings.Repeat("5e", 32)},
			Files: map[string]string{"bob": kafka.Password("bob"), "master": masterKey, "secret": secret},
		}))
	}
	return w
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.MetadataMinAge(50 * time.Millisecond), kgo.FetchMaxWait(300 * time.Millisecond), kgo.RetryTimeout(20 * time.Second)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// through is a client of a gateway.
func (w *world) through(gateway int, user string, opts ...kgo.Opt) *kgo.Client {
	return w.client(append([]kgo.Opt{kgo.SeedBrokers(w.gateways[gateway].Bootstrap), kgo.SASL(plain.Auth{User: user, Pass: secret}.AsMechanism())}, opts...)...)
}

// as is a client of the cluster itself, with an application's user.
func (w *world) as(user string, opts ...kgo.Opt) *kgo.Client {
	return w.client(append([]kgo.Opt{kgo.SeedBrokers(kafka.BootstrapSASL()...), kgo.SASL(scram.Auth{User: user, Pass: passwordOf(user)}.AsSha512Mechanism())}, opts...)...)
}

// apply replaces the documents of both gateways.
func (w *world) apply(text string) {
	for _, g := range w.gateways {
		g.Write("resources.yaml", text)
	}
}

func (w *world) within(what string, f func() error) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	w.t.Fatalf("%s: not within %v: %v", what, patience, err)
}

// users are the SCRAM users that the cluster has.
func (w *world) users() []string {
	w.t.Helper()
	resp, err := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest().RequestWith(w.t.Context(), w.admin)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range resp.Results {
		out = append(out, r.User)
	}
	return out
}

// acls are the rights of users whose names begin so, as "user resource:name operation", in order.
func (w *world) acls(prefix string) []string {
	w.t.Helper()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(w.t.Context(), w.admin)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range resp.Resources {
		for _, a := range r.ACLs {
			if user, ok := strings.CutPrefix(a.Principal, "User:"+prefix); ok {
				out = append(out, fmt.Sprintf("%s %s:%s %s", user, r.ResourceType, r.ResourceName, a.Operation))
			}
		}
	}
	slices.Sort(out)
	return out
}

// quotas are those of users whose names begin so.
func (w *world) quotas(prefix string) map[string]map[string]float64 {
	w.t.Helper()
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	c := kmsg.NewDescribeClientQuotasRequestComponent()
	c.EntityType, c.MatchType = "user", kmsg.QuotasMatchTypeAny
	req.Components = append(req.Components, c)
	resp, err := req.RequestWith(w.t.Context(), w.admin)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]map[string]float64{}
	for _, e := range resp.Entries {
		if user, ok := strings.CutPrefix(*e.Entity[0].Name, prefix); ok {
			out[user] = map[string]float64{}
			for _, v := range e.Values {
				out[user][v.Key] = v.Value
			}
		}
	}
	return out
}

// removeACL takes one right away, as somebody would who knows nothing of Sluice.
func (w *world) removeACL(user, topic string, op kmsg.ACLOperation) {
	w.t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	who := "User:" + user
	f.ResourceType, f.ResourceName, f.ResourcePatternType = kmsg.ACLResourceTypeTopic, &topic, kmsg.ACLResourcePatternTypeLiteral
	f.Principal, f.Operation, f.PermissionType = &who, op, kmsg.ACLPermissionTypeAny
	req.Filters = append(req.Filters, f)
	resp, err := req.RequestWith(w.t.Context(), w.admin)
	if err != nil || len(resp.Results) != 1 || len(resp.Results[0].MatchingACLs) != 1 {
		w.t.Fatalf("remove an ACL: %v, %+v", err, resp)
	}
}

// outsider is a user that looks almost like ours, of another installation.
const outsider = "sluice-aaaaaaaaaaaa-taaaaaaaaaaaa"

func (w *world) makeOutsider() {
	w.t.Helper()
	user := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
	u.Name, u.Mechanism, u.Iterations, u.Salt, u.SaltedPassword = outsider, 2, 4096, []byte("salt"), make([]byte, 64)
	user.Upsertions = append(user.Upsertions, u)
	if resp, err := user.RequestWith(w.t.Context(), w.admin); err != nil || resp.Results[0].ErrorCode != 0 {
		w.t.Fatalf("make another user: %v, %+v", err, resp)
	}
	if _, err := kadm.NewClient(w.admin).CreateACLs(w.t.Context(), kadm.NewACLs().Topics("shop.orders").ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpRead).Allow("User:"+outsider)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) produce(c *kgo.Client, topic, value string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	return c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}

// consume waits for a record of that value.
func (w *world) consume(c *kgo.Client, value string) (found *kgo.Record) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if string(r.Value) == value {
				found = r
			}
		})
		if found != nil {
			return found
		}
	}
	w.t.Fatalf("record %q does not come", value)
	return nil
}

func TestEachApplicationHasAUserOfItsOwn(t *testing.T) {
	both := map[string]string{"reader": "read", "writer": "write"}
	w := start(t, documents(perApplication, both))
	w.makeOutsider()

	// Through the gateways. Their own user could neither read nor write.
	writer := w.through(0, "writer")
	if err := w.produce(writer, "orders.placed", "one"); err != nil {
		t.Fatalf("write through a gateway: %v", err)
	}
	reader := w.through(1, "reader", kgo.ConsumerGroup("mine"), kgo.DisableAutoCommit(), kgo.ConsumeTopics("orders.placed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := reader.CommitRecords(t.Context(), w.consume(reader, "one")); err != nil {
		t.Errorf("commit: %v", err)
	}

	// Who is who, by what they may do.
	var prefix, readerUser, writerUser string
	for _, user := range w.users() {
		if !strings.HasPrefix(user, "sluice-") || user == outsider {
			continue
		}
		prefix = user[:strings.LastIndex(user, "-")+1]
		switch short := strings.TrimPrefix(user, prefix); {
		case slices.Contains(w.acls(prefix), short+" TOPIC:shop.orders READ"):
			readerUser = user
		case slices.Contains(w.acls(prefix), short+" TOPIC:shop.orders WRITE"):
			writerUser = user
		}
	}
	if readerUser == "" || writerUser == "" {
		t.Fatalf("users: got %v with %v, want one that reads and one that writes", w.users(), w.acls("sluice-"))
	}
	short := func(user string) string { return strings.TrimPrefix(user, prefix) }
	rights := func(user, right string) []string {
		var out []string
		for _, r := range []string{"CLUSTER:kafka-cluster IDEMPOTENT_WRITE", "GROUP:" + short(user) + ". ALL", "TOPIC:shop.orders DESCRIBE", "TOPIC:shop.orders DESCRIBE_CONFIGS", "TOPIC:shop.orders " + right, "TRANSACTIONAL_ID:" + short(user) + ". ALL"} {
			if !strings.HasSuffix(r, " ") {
				out = append(out, short(user)+" "+r)
			}
		}
		return out
	}
	expect := func(what string, want []string) {
		t.Helper()
		slices.Sort(want)
		w.within(what, func() error {
			if got := w.acls(prefix); !slices.Equal(got, want) {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
	expect("rights", slices.Concat(rights(readerUser, "READ"), rights(writerUser, "WRITE")))
	if got, want := fmt.Sprint(w.quotas(prefix)), fmt.Sprint(map[string]map[string]float64{
		short(readerUser): {"consumer_byte_rate": 5 << 20}, short(writerUser): {"producer_byte_rate": 4 << 20},
	}); got != want {
		t.Errorf("quotas: got %s, want %s", got, want)
	}

	// Somebody takes a right and a user away by hand; both come back, see below.
	w.removeACL(readerUser, "shop.orders", kmsg.ACLOperationDescribeConfigs)
	gone := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	gone.Deletions = append(gone.Deletions, kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: writerUser, Mechanism: 2})
	if resp, err := gone.RequestWith(t.Context(), w.admin); err != nil || resp.Results[0].ErrorCode != 0 {
		t.Fatalf("remove a user: %v, %+v", err, resp)
	}
	if err := w.produce(w.through(1, "writer"), "orders.placed", "two"); err != nil {
		t.Errorf("write after the user was removed by hand: %v", err)
	}

	// The brokers stand behind the gateways: what follows goes past these.
	direct := w.as(readerUser, kgo.ConsumeTopics("shop.orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.consume(direct, "one")
	for _, tc := range []struct{ what, user, topic string }{
		{"a reader writes", readerUser, "shop.orders"},
		{"a writer writes elsewhere", writerUser, "shop.secret"},
	} {
		if err := w.produce(w.as(tc.user), tc.topic, "forbidden"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("%s: got %v, want TOPIC_AUTHORIZATION_FAILED", tc.what, err)
		}
	}
	foreign := kmsg.NewPtrOffsetFetchRequest()
	foreign.Group = "of-somebody-else"
	if resp, err := foreign.RequestWith(t.Context(), w.as(readerUser)); err == nil && !slices.ContainsFunc(resp.Groups, func(g kmsg.OffsetFetchResponseGroup) bool {
		return g.ErrorCode == kerr.GroupAuthorizationFailed.Code
	}) && resp.ErrorCode != kerr.GroupAuthorizationFailed.Code {
		t.Errorf("a foreign group: got %+v, want GROUP_AUTHORIZATION_FAILED", resp)
	}

	// A right is taken away: the brokers do not give it either, and what runs is told nothing new.
	w.apply(documents(perApplication, map[string]string{"reader": "read", "writer": "read"}))
	w.within("a right that was taken away is gone at the brokers", func() error {
		if got := w.acls(prefix); slices.Contains(got, short(writerUser)+" TOPIC:shop.orders WRITE") || !slices.Contains(got, short(writerUser)+" TOPIC:shop.orders READ") {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if err := w.produce(w.as(writerUser), "shop.orders", "forbidden"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("a right that was taken away: got %v, want TOPIC_AUTHORIZATION_FAILED", err)
	}

	// An application is deleted.
	w.apply(documents(perApplication, map[string]string{"reader": "read"}))
	w.within("the deleted application has no rights", func() error {
		if left := slices.DeleteFunc(w.acls(prefix), func(r string) bool { return strings.HasPrefix(r, short(readerUser)) }); len(left) > 0 {
			return fmt.Errorf("%q", left)
		}
		return nil
	})
	w.within("the user of a deleted application is gone", func() error {
		if users := w.users(); slices.Contains(users, writerUser) || !slices.Contains(users, readerUser) || w.quotas(prefix)[short(writerUser)] != nil {
			return fmt.Errorf("users %v, quotas %v", users, w.quotas(prefix))
		}
		return nil
	})
	if err := w.produce(w.client(kgo.SeedBrokers(kafka.Bootstrap()...)), "shop.orders", "three"); err != nil {
		t.Fatal(err)
	}
	last := w.consume(reader, "three") // the same connections, all along

	// What was removed by hand has come back; then a subscription ends, and committing goes on as before.
	expect("rights after one was removed by hand", rights(readerUser, "READ"))
	w.apply(documents(perApplication, map[string]string{"reader": "read, state: closed"}))
	expect("rights after a subscription was closed", rights(readerUser, ""))
	if err := reader.CommitRecords(t.Context(), last); err != nil {
		t.Errorf("commit after the subscription was closed: %v", err)
	}
	w.apply(documents(perApplication, map[string]string{"reader": "read"}))

	if harness.Full() { // it takes half a minute
		allow := kadm.NewACLs().Topics("shop.orders").Groups(short(readerUser)+".mine").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpDescribe).Allow("User:bob")
		if _, err := kadm.NewClient(w.admin).CreateACLs(t.Context(), allow); err != nil {
			t.Fatal(err)
		}
		w.apply(documents("", map[string]string{"reader": "read"}))
		w.within("nothing is left once the setting is gone", func() error {
			if left := w.acls(prefix); len(left) > 0 || slices.Contains(w.users(), readerUser) || len(w.quotas(prefix)) > 0 {
				return fmt.Errorf("%v, users %v, quotas %v", left, w.users(), w.quotas(prefix))
			}
			return nil
		})
		if err := w.produce(w.client(kgo.SeedBrokers(kafka.Bootstrap()...)), "shop.orders", "four"); err != nil {
			t.Fatal(err)
		}
		w.consume(reader, "four") // by the gateway's own user
	}

	if !slices.Contains(w.users(), outsider) || len(w.acls(outsider)) != 1 || len(w.acls("bob")) == 0 {
		t.Errorf("others were touched: users %v, ACLs %v and %v", w.users(), w.acls(outsider), w.acls("bob"))
	}
	for i, g := range w.gateways {
		log := g.Log()
		for _, canary := range []string{masterKey, passwordOf(readerUser), passwordOf(writerUser), kafka.Password("bob")} {
			if strings.Contains(log, canary) {
				t.Errorf("gateway %d logs a secret", i)
			}
		}
		if data, err := os.ReadDir(g.Dir + "/data"); err == nil {
			for _, f := range data {
				if text, err := os.ReadFile(g.Dir + "/data/" + f.Name()); err == nil && (strings.Contains(string(text), passwordOf(readerUser)) || strings.Contains(string(text), masterKey)) {
					t.Errorf("gateway %d keeps a secret in %s", i, f.Name())
				}
			}
		}
	}
}
