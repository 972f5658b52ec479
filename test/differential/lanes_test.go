package differential

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"sluice/internal/gateway/handler"
	"sluice/internal/kafkatest"
	"sluice/test/harness"
	"sluice/test/script"
)

var apache *kafkatest.Cluster

var users = map[string]string{"admin": "admin-secret", script.Allowed: "allowed-secret", script.Partly: "partly-secret", script.Denied: "denied-secret"}

func TestMain(m *testing.M) {
	features := map[string]int16{"share.version": 1}
	if strings.HasPrefix(os.Getenv("SLUICE_KAFKA"), "3.") {
		features = nil // it has none
	}
	harness.Main(m, kafkatest.Options{SASL: true, ACL: true, Heap: "512m", Users: users, Features: features, Settings: map[string]string{
		"broker.session.timeout.ms": "60000", // a busy machine must not fence the only broker
		"log.retention.ms":          "-1",    // the scripts' records are old
	}}, &apache)
}

// tag begins every name in a lane; all have one length.
func tag(lane string) string { return fmt.Sprintf("%.4s-%s-", lane, harness.Random()[:6]) }

func adminConn(t *testing.T) *script.Conn {
	t.Helper()
	c, err := script.Dial(apache.Bootstrap()[0], "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// gatewayLane puts a gateway before the cluster: allowed has every topic both ways and a namespace, partly has what the
// topics' names say, denied nothing.
func gatewayLane(t *testing.T, name string, renamed bool) *script.Lane {
	t.Helper()
	tag := tag(name)
	backing := func(topic string) string {
		if renamed {
			return "" // the harness makes one up
		}
		return tag + topic
	}
	contract := map[string]string{"orders": "readwrite", "readonly": "read", "writeonly": "write"}
	var spec harness.Spec
	for _, topic := range script.Topics {
		spec.Topics = append(spec.Topics, harness.Topic{Exposed: tag + topic, Backing: backing(topic), Partitions: script.Partitions, Subscriptions: map[string]string{script.Allowed: ""}})
		if c := contract[topic]; c != "" {
			spec.Topics = append(spec.Topics, harness.Topic{Exposed: tag + topic, Contract: c, Partitions: script.Partitions, Subscriptions: map[string]string{script.Partly: ""}})
		}
	}
	spec.Apps = []harness.App{{Name: script.Allowed, Namespace: [2]int{50, 200}}, {Name: script.Partly}, {Name: script.Denied}}
	w := harness.Start(t, apache, spec)
	l := &script.Lane{
		Name: name, Tag: tag, Address: w.Clients.Addr(), Admin: adminConn(t),
		Login: func(app string) (string, string) {
			l := w.Login(app, "PLAIN")
			return l.User, l.Password
		},
		TopicID:  func(app, topic string) [16]byte { return w.TopicID(app, tag+topic) },
		Backing:  func(topic string) string { return w.Backing(tag + topic) },
		Physical: func(app, name string) string { return w.Prefix(app) + name },
	}
	t.Cleanup(l.Close)
	return l
}

// directLane is the cluster itself, with the same grants as ACLs of its own authorizer.
func directLane(t *testing.T) *script.Lane {
	t.Helper()
	tag := tag("direct")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(apache.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	ids := map[string][16]byte{}
	for _, topic := range script.Topics {
		resp, err := admin.CreateTopic(ctx, script.Partitions, 1, nil, tag+topic)
		if err != nil {
			t.Fatal(err)
		}
		ids[topic] = resp.ID
	}
	read, write, both := []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe, kadm.OpDescribeConfigs}, []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs},
		[]kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs}
	may := func(app string, b *kadm.ACLBuilder, pattern kadm.ACLPattern, ops ...kadm.ACLOperation) {
		t.Helper()
		results, err := admin.CreateACLs(ctx, b.Allow("User:"+app).AllowHosts("*").Operations(ops...).ResourcePatternType(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	for _, app := range []string{script.Allowed, script.Partly, script.Denied} {
		// Groups and transactional ids are an application's own, whatever its topics are.
		may(app, kadm.NewACLs().Groups(tag), kadm.ACLPatternPrefixed, kadm.OpRead, kadm.OpDelete, kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpAlterConfigs)
		may(app, kadm.NewACLs().TransactionalIDs(tag), kadm.ACLPatternPrefixed, kadm.OpWrite, kadm.OpDescribe)
		may(app, kadm.NewACLs().Clusters(), kadm.ACLPatternLiteral, kadm.OpDescribe)
		if app == script.Allowed { // its namespace
			may(app, kadm.NewACLs().Topics(tag+script.Own), kadm.ACLPatternPrefixed, kadm.OpRead, kadm.OpWrite, kadm.OpCreate, kadm.OpDelete, kadm.OpAlter, kadm.OpDescribe,
				kadm.OpDescribeConfigs, kadm.OpAlterConfigs)
		}
	}
	for _, topic := range script.Topics {
		may(script.Allowed, kadm.NewACLs().Topics(tag+topic), kadm.ACLPatternLiteral, both...)
	}
	may(script.Partly, kadm.NewACLs().Topics(tag+"orders"), kadm.ACLPatternLiteral, both...)
	may(script.Partly, kadm.NewACLs().Topics(tag+"readonly"), kadm.ACLPatternLiteral, read...)
	may(script.Partly, kadm.NewACLs().Topics(tag+"writeonly"), kadm.ACLPatternLiteral, write...)

	l := &script.Lane{
		Name: "direct", Tag: tag, Address: apache.BootstrapSASL()[0], Admin: adminConn(t),
		Login:    func(app string) (string, string) { return app, users[app] },
		TopicID:  func(_, topic string) [16]byte { return ids[topic] },
		Backing:  func(topic string) string { return tag + topic },
		Physical: func(_, name string) string { return name },
	}
	t.Cleanup(l.Close)
	// The controller has the ACLs; the broker learns of the last of them a moment later.
	for _, app := range []string{script.Allowed, script.Partly} {
		for {
			c, err := kgo.NewClient(kgo.SeedBrokers(l.Address), kgo.SASL(plain.Auth{User: app, Pass: users[app]}.AsMechanism()))
			if err != nil {
				t.Fatal(err)
			}
			listed, err := kadm.NewClient(c).ListTopics(ctx, tag+"writeonly", tag+"orders")
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			if listed.Error() == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return l
}

// versions are what both the cluster and the gateway offer, by API key.
func versions(t *testing.T, lanes []*script.Lane) map[int16]script.Range {
	t.Helper()
	common := map[int16]script.Range{}
	for i, l := range lanes {
		user, password := l.Login(script.Allowed)
		c, err := script.Dial(l.Address, user, password)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(kmsg.NewPtrApiVersionsRequest())
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		here := map[int16]script.Range{}
		for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
			r := script.Range{Min: k.MinVersion, Max: k.MaxVersion}
			if i > 0 {
				c, ok := common[k.ApiKey]
				if !ok {
					continue
				}
				r.Min, r.Max = max(r.Min, c.Min), min(r.Max, c.Max)
			}
			here[k.ApiKey] = r
		}
		common = here
	}
	return common
}

// advertised are the rows of the gateway's table that clients may use.
func advertised() (out []*handler.API) {
	for _, a := range handler.Table {
		if a.Posture != handler.Refused {
			out = append(out, a)
		}
	}
	return out
}

func short(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) > 220 {
		return s[:200] + "…"
	}
	return s
}
