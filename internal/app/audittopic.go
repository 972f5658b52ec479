package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/audit/forward"
)

// auditTopic sends the audit log to a topic.
type auditTopic struct {
	client    *kgo.Client
	forwarder *forward.Forwarder
}

// newAuditTopic makes what sends the log of a store to the topic of a configuration.
func newAuditTopic(c config.AuditTopic, store control.Store, sealer *audit.Sealer, now func() time.Time, logger *slog.Logger) (*auditTopic, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Bootstrap...), kgo.ClientID("sluice-audit"), kgo.DefaultProduceTopic(c.Name), kgo.DialTimeout(5 * time.Second),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()), kgo.RecordRetries(5),
	}
	if t := c.TLS; t != nil {
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if !t.CA.IsZero() {
			var err error
			if settings.RootCAs, err = authorities("management.audit.topic.tls.ca", t.CA); err != nil {
				return nil, err
			}
		}
		opts = append(opts, kgo.DialTLSConfig(settings))
	}
	if s := c.SASL; s != nil {
		password, err := config.ReadSecret(s.Password)
		if err != nil {
			return nil, fmt.Errorf("management.audit.topic.sasl.password: %w", err)
		}
		switch s.Mechanism {
		case "PLAIN":
			opts = append(opts, kgo.SASL(plain.Auth{User: s.Username, Pass: password}.AsMechanism()))
		case "SCRAM-SHA-256":
			opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: password}.AsSha256Mechanism()))
		default:
			opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: password}.AsSha512Mechanism()))
		}
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("management.audit.topic: %w", err)
	}
	a := &auditTopic{client: client}
	a.forwarder = forward.New(forward.Deps{
		Log: sealer.Log(), Me: audit.KeyID(sealer.PublicKey()), Topic: c.Name, Send: a.send, Now: now, Logger: logger,
		Read: func(ctx context.Context, f func(forward.Reader) error) error {
			return store.Read(ctx, func(r control.Reader) error { return f(r) })
		},
		Write: func(ctx context.Context, f func(forward.Writer) error) error {
			return store.Write(ctx, func(w control.Writer) error { return f(w) })
		},
	})
	return a, nil
}

// send produces events as CloudEvents in structured mode (Kafka protocol binding §3.3), all of one log to
// one partition.
func (a *auditTopic) send(ctx context.Context, log string, events [][]byte) error {
	records := make([]*kgo.Record, len(events))
	for i, event := range events {
		records[i] = &kgo.Record{Key: []byte(log), Value: event, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}}}
	}
	return a.client.ProduceSync(ctx, records...).FirstErr()
}

// scrapePatience is how long a look at the store may take for metrics.
const scrapePatience = 2 * time.Second

// auditTopicCollector shows how far a topic lags behind the audit log.
type auditTopicCollector struct {
	topic *auditTopic // nil when the log is sent nowhere
	now   func() time.Time
}

var (
	auditTopicRows    = prometheus.NewDesc("sluice_control_audit_topic_waiting_rows", "Rows of the audit log that its topic does not have yet.", nil, nil)
	auditTopicSeconds = prometheus.NewDesc("sluice_control_audit_topic_waiting_seconds", "How old the oldest row of the audit log is that its topic does not have yet, 0 while there is none.", nil, nil)
)

// Describe is prometheus.Collector's.
func (auditTopicCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- auditTopicRows
	ch <- auditTopicSeconds
}

// Collect is prometheus.Collector's. While the store does not answer, there is no figure.
func (c auditTopicCollector) Collect(ch chan<- prometheus.Metric) {
	if c.topic == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	rows, since, err := c.topic.forwarder.Waiting(ctx)
	if err != nil {
		return
	}
	age := 0.0
	if rows > 0 {
		age = max(0, c.now().Sub(since).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(auditTopicRows, prometheus.GaugeValue, float64(rows))
	ch <- prometheus.MustNewConstMetric(auditTopicSeconds, prometheus.GaugeValue, age)
}

func (a *auditTopic) close() { a.client.Close() }
