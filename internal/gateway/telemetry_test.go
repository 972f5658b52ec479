package gateway

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
)

// pushed is a push of one metric: 12 records a second.
var pushed = []byte("\x0a\x3d\x12\x3b\x12\x39\x0a\x2a" + "org.apache.kafka.producer.record.send.rate" + "\x2a\x0b\x0a\x09\x21\x00\x00\x00\x00\x00\x00\x28\x40")

func TestClientTelemetryEndsInTheGateway(t *testing.T) {
	acme, other := credential("acme", open("acme")), credential("other", open("other"))
	w := start(t, acme, other)
	w.fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		if k := r.Key(); k == 71 || k == 72 {
			t.Errorf("API %d reached the broker", k)
		}
		w.fake.KeepControl()
		return nil, nil, false
	})
	conn := w.rawLogin("acme")
	got := w.roundTrip(conn, kmsg.NewPtrGetTelemetrySubscriptionsRequest()).(*kmsg.GetTelemetrySubscriptionsResponse)
	if got.ErrorCode != 0 || got.ClientInstanceID == [16]byte{} || got.PushIntervalMillis != 60_000 || got.TelemetryMaxBytes != 1<<20 || !got.DeltaTemporality || len(got.AcceptedCompressionTypes) != 4 || len(got.RequestedMetrics) < 20 {
		t.Errorf("subscription: got %+v", got)
	}
	push := kmsg.NewPtrPushTelemetryRequest()
	push.ClientInstanceID, push.SubscriptionID, push.Metrics = got.ClientInstanceID, got.SubscriptionID, pushed
	for _, want := range []int16{0, kerr.ThrottlingQuotaExceeded.Code} {
		if got := w.roundTrip(conn, push).(*kmsg.PushTelemetryResponse); got.ErrorCode != want {
			t.Errorf("push: got error %d, want %d", got.ErrorCode, want)
		}
	}
	read := func() (values []float64) {
		families, err := w.gateway.deps.Registry.(*prometheus.Registry).Gather()
		if err != nil {
			t.Error(err)
		}
		for _, f := range families {
			if f.GetName() != "sluice_client_producer_records_sent_per_second" {
				continue
			}
			for _, m := range f.Metric {
				if m.Label[0].GetValue() != "acme" || m.Label[1].GetValue() != "test" {
					t.Errorf("metrics of %v", m.Label)
				}
				values = append(values, m.GetGauge().GetValue())
			}
		}
		return values
	}
	if got := read(); !slices.Equal(got, []float64{12}) {
		t.Errorf("metrics: got %v, want 12", got)
	}
	w.swap(other)
	if got := read(); len(got) > 0 {
		t.Errorf("metrics of an application that is gone: got %v", got)
	}
}

func TestClientTelemetrySwitchedOff(t *testing.T) {
	offered := func(telemetry *clientmetrics.Config) bool {
		snapshot, err := grant.New("test", grant.Number{Generation: 1, N: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		cluster := upstream.NewCluster(upstream.Config{Name: "main", Bootstrap: []string{"127.0.0.1:1"}, Log: log})
		g, err := New(Config{Listeners: []ListenerConfig{plaintext}, Limits: DefaultLimits(), Telemetry: telemetry},
			Deps{Clusters: oneCluster{cluster}, Log: log, Registry: prometheus.NewRegistry(), Now: time.Now}, snapshot)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g.Run(ctx, 0)
		keys := 0
		for _, k := range g.offered().Keys {
			if k.APIKey == 71 || k.APIKey == 72 {
				keys++
			}
		}
		if keys == 1 {
			t.Error("one of two is offered")
		}
		return keys == 2
	}
	if offered(nil) {
		t.Error("offered though switched off")
	}
	if !offered(&clientmetrics.Config{}) {
		t.Error("not offered though switched on")
	}
}
