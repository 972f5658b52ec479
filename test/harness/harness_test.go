package harness

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/kafkatest"
)

var kafka *kafkatest.Cluster

func TestMain(m *testing.M) { Main(m, kafkatest.Options{}, &kafka) }

// What the forwarder is for: a client that reaches the target cluster itself is noticed, by name, id, host and port.
func TestForwarderFindsLeaks(t *testing.T) {
	w := Start(t, kafka, Spec{
		Topics: []Topic{{Exposed: "a", Subscriptions: map[string]string{"app": ""}}},
		Apps:   []App{{Name: "app"}},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Client("app", kgo.DefaultProduceTopic("a")).ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := w.Clients.Leaks(); len(got) != 0 || w.Clients.Answers() == 0 {
		t.Errorf("through the gateway: got %d answers and leaks %q", w.Clients.Answers(), got)
	}

	past := newForwarder(t, kafka.Bootstrap()[0], w.secrets)
	past.serve()
	cl, err := kgo.NewClient(kgo.SeedBrokers(past.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if past.Leaks() == nil {
		t.Error("past the gateway: no leak was found")
	}
}
