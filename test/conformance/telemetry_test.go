package conformance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/test/harness"
)

// TestClientTelemetry: what clients push about themselves by default (KIP-714) is there as the application's metrics.
func TestClientTelemetry(t *testing.T) {
	pushing := []string{"Java", "Java KIP-848", "librdkafka"}
	eachClient(t, "loop", func(t *testing.T, c Client) {
		if !slices.Contains(pushing, c.Name) {
			t.Skip("does not push")
		}
		w := harness.Start(t, apache, harness.Spec{
			Topics:    []harness.Topic{{Exposed: "watched", Partitions: 3, Subscriptions: map[string]string{"acme": ""}}},
			Apps:      []harness.App{{Name: "acme"}, {Name: "other"}},
			PushEvery: time.Second,
		})
		login := w.Login("acme", "PLAIN")
		want := []string{"sluice_client_instances", "sluice_client_consumer_fetch_latency_avg_seconds"}
		if c.Name != "Java KIP-848" { // which does not say it, at least up to 4.3
			want = append(want, "sluice_client_consumer_assigned_partitions")
		}
		if c.Has("send") {
			begin(t, c, Command{Op: "send", Topics: []string{"watched"}}.As(login))
			want = append(want, "sluice_client_producer_request_latency_avg_seconds")
			if c.Name == "Java" {
				want = append(want, "sluice_client_producer_records_sent_per_second", "sluice_client_consumer_records_consumed_per_second", "sluice_client_consumer_poll_idle_ratio_avg", "sluice_client_consumer_commit_latency_max_seconds")
			}
		} else {
			feedBoth(t, w, "watched")
		}
		begin(t, c, Command{Op: "loop", Topics: []string{"watched"}, Group: "workers"}.As(login))

		deadline := time.Now().Add(patience)
		for {
			got, missing := clientMetrics(t, w), ""
			for _, name := range want {
				v, ok := got[name]
				switch {
				case !ok || v <= 0:
					missing = fmt.Sprintf("%s is %v", name, v)
				case name == "sluice_client_consumer_assigned_partitions" && v != 3:
					missing = fmt.Sprintf("%s is %v, want 3", name, v)
				}
			}
			if missing == "" {
				t.Log(got)
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s, among %v", missing, got)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// clientMetrics are the metrics of the application acme's clients; another one's fail the test.
func clientMetrics(t *testing.T, w *harness.World) map[string]float64 {
	t.Helper()
	families, err := w.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			of := map[string]string{}
			for _, l := range m.Label {
				of[l.GetName()] = l.GetValue()
			}
			switch app := of["application"]; {
			case f.GetName() == "sluice_gateway_telemetry_pushes_total":
				out["pushes "+of["result"]] = m.GetCounter().GetValue()
			case app == "":
			case app != "acme" || of["environment"] != "test":
				t.Errorf("%s of %v", f.GetName(), of)
			default:
				out[f.GetName()] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}
