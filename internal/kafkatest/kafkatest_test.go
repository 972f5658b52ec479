package kafkatest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TestMain makes the test binary, for one test, a program that starts a cluster and is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "killed" {
		c, err := Run(context.Background(), Options{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c.Bootstrap()[0], c.dir)
		select {}
	}
	os.Exit(m.Run())
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t *testing.T, seeds []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// roundTrip produces one record to a new topic and reads it back.
func roundTrip(t *testing.T, seeds []string, topic string) {
	t.Helper()
	ctx := testContext(t)
	producer := newClient(t, seeds)
	if _, err := kadm.NewClient(producer).CreateTopic(ctx, 1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	consumer := newClient(t, seeds, kgo.ConsumeTopics(topic), kgo.ConsumerGroup("g-"+topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close() // while there is a broker to take its leave from
	fetches := consumer.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if got := string(fetches.Records()[0].Value); got != "hello" {
		t.Errorf("got record %q, want hello", got)
	}
}

func TestOneBroker(t *testing.T) {
	begin := time.Now()
	c := Start(t, Options{LoopbackHosts: true})
	t.Logf("ready after %s", time.Since(begin).Round(time.Millisecond))
	if got := c.Bootstrap()[0]; !strings.HasPrefix(got, "127.77.0.1:") {
		t.Errorf("broker 1 listens on %s, want 127.77.0.1", got)
	}
	roundTrip(t, c.Bootstrap(), "one")

	ctx := testContext(t)
	out, err := c.Tool(ctx, "topics", "--bootstrap-server", c.Bootstrap()[0], "--list").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "one\n") {
		t.Errorf("topics --list: %v, %q; want the topic one", err, out)
	}

	conn, err := net.Dial("tcp", c.Bootstrap()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.Pause(1); err != nil {
		t.Fatal(err)
	}
	// ApiVersions v0: length, key, version, correlation id, client id
	if _, err := conn.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8)
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(answer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a paused broker answered: %v", err)
	}
	if err := c.Resume(1); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil || answer[7] != 7 {
		t.Errorf("after Resume: %v, answer %v; want correlation id 7", err, answer)
	}

	if err := c.StopBroker(1); err != nil {
		t.Fatal(err)
	}
	if err := c.StopBroker(1); err == nil {
		t.Error("stopping a stopped broker is no error")
	}
	dir := c.dir
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after Close the folder is still there: %v", err)
	}
}

func TestSASLAndTLSAndACL(t *testing.T) {
	c := Start(t, Options{SASL: true, TLS: true, ACL: true, Features: map[string]int16{"share.version": 1}, ClientAuth: "required", Users: map[string]string{
		"admin": "admin-secret", "carol": "pass=word, with blank",
	}})
	ctx := testContext(t)
	admin := kadm.NewClient(newClient(t, c.Bootstrap()))
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	acl := kadm.NewACLs().Topics("orders").Allow("User:carol").AllowHosts("*").
		Operations(kadm.OpDescribe, kadm.OpWrite).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := admin.CreateACLs(ctx, acl); err != nil {
		t.Fatal(err)
	}

	password := c.Password("carol")
	// The controller has the ACL; the broker learns of it a moment later.
	carol := newClient(t, c.BootstrapSASL(), kgo.SASL(plain.Auth{User: "carol", Pass: password}.AsMechanism()))
	for {
		err := carol.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr()
		if err == nil {
			break
		}
		if !errors.Is(err, kerr.TopicAuthorizationFailed) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	unsecured := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":"carol","iat":%d,"exp":%d}`, time.Now().Unix(), time.Now().Unix()+600)) + "."
	for name, mechanism := range map[string]sasl.Mechanism{
		"plain":    plain.Auth{User: "carol", Pass: password}.AsMechanism(),
		"scram256": scram.Auth{User: "carol", Pass: password}.AsSha256Mechanism(),
		"scram512": scram.Auth{User: "carol", Pass: password}.AsSha512Mechanism(),
		"oauth":    oauth.Auth{Token: unsecured}.AsMechanism(),
	} {
		t.Run(name, func(t *testing.T) {
			for _, client := range []*kgo.Client{
				newClient(t, c.BootstrapSASL(), kgo.SASL(mechanism)),
				newClient(t, c.BootstrapSASLTLS(), kgo.SASL(mechanism), kgo.DialTLSConfig(c.TLSConfig(false))),
			} {
				if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		err := newClient(t, c.BootstrapSASL(), kgo.SASL(scram.Auth{User: "carol", Pass: "no"}.AsSha256Mechanism())).Ping(ctx)
		if err == nil {
			t.Error("logged in with a wrong password")
		}
	})
	t.Run("client certificate without ACL", func(t *testing.T) {
		client := newClient(t, c.BootstrapTLS(), kgo.DialTLSConfig(c.TLSConfig(true)))
		_, err := kadm.NewClient(client).ListTopics(ctx, "orders")
		if denied, ok := errors.AsType[*kadm.AuthError](err); !ok || denied.Err != kerr.TopicAuthorizationFailed {
			t.Errorf("got %v, want TOPIC_AUTHORIZATION_FAILED", err)
		}
	})
	t.Run("no client certificate", func(t *testing.T) {
		if err := newClient(t, c.BootstrapTLS(), kgo.DialTLSConfig(c.TLSConfig(false))).Ping(ctx); err == nil {
			t.Error("connected without the required certificate")
		}
	})
	t.Run("java client", func(t *testing.T) {
		config, err := c.ClientConfig("SCRAM-SHA-512", "carol", true)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Tool(ctx, "verifiable-producer", "--bootstrap-server", c.BootstrapSASLTLS()[0], "--topic", "orders",
			"--max-messages", "5", "--producer.config", config).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"acked":5`) {
			t.Errorf("verifiable-producer: %v\n%s", err, out)
		}
	})
}

func TestThreeBrokersLoseOne(t *testing.T) {
	c := Start(t, Options{Brokers: 3, Heap: "256m"})
	ctx := testContext(t)
	client := newClient(t, c.Bootstrap())
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	produce := func(when string) {
		t.Helper()
		for p := range int32(3) {
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: p, Value: []byte(when)}).FirstErr(); err != nil {
				t.Fatalf("produce %s: %v", when, err)
			}
		}
	}
	produce("with all brokers")
	if err := c.StopBroker(2); err != nil {
		t.Fatal(err)
	}
	produce("without broker 2")
	if err := c.StartBroker(2); err != nil {
		t.Fatal(err)
	}
	err := poll(ctx, func() error {
		topics, err := admin.ListTopics(ctx, "t")
		if err != nil {
			return err
		}
		for _, p := range topics["t"].Partitions {
			if len(p.ISR) != 3 {
				return fmt.Errorf("partition %d has %d replicas in sync", p.Partition, len(p.ISR))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.KillBroker(3); err != nil {
		t.Fatal(err)
	}
	produce("after broker 3 was killed")
}

func TestWrongOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"unknown version":   {Options{Version: "0.8.2"}, `version "0.8.2" of Apache Kafka is not one of 3.9.2, 4.1.2, 4.3.1`},
		"too many brokers":  {Options{Brokers: 77}, "77 brokers"},
		"client auth":       {Options{ClientAuth: "maybe"}, `client auth "maybe"`},
		"quote in password": {Options{Users: map[string]string{"a": `"`}}, `user "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(t.Context(), tc.options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("setting that stops the broker", func(t *testing.T) {
		_, err := Run(testContext(t), Options{Settings: map[string]string{"node.id": "-5"}})
		if err == nil || !strings.Contains(err.Error(), "broker 1 ended during its start") || !strings.Contains(err.Error(), "node.id") {
			t.Errorf("got %v, want the broker's complaint about node.id", err)
		}
	})
	t.Run("no java", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		t.Setenv("JAVA_HOME", "")
		_, err := Run(t.Context(), Options{})
		if err == nil || !strings.Contains(err.Error(), "install a Java runtime") {
			t.Errorf("got %v, want what to install", err)
		}
	})
}
