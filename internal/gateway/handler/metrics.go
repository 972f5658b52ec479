package handler

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/grant"
)

// Metrics counts what handlers decide. Labels are bounded: API names come from
// Table, verdicts from grant.
type Metrics struct {
	rejections *prometheus.CounterVec
	dropped    *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_gateway_rejections_total",
			Help: "Requests for a topic, group or transactional id that were refused or withheld.",
		}, []string{"api", "verdict"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_gateway_foreign_names_dropped_total",
			Help: "Names in brokers' answers that were not the application's and were not passed on.",
		}, []string{"api"}),
	}
	r.MustRegister(m.rejections, m.dropped)
	return m
}

func (m *Metrics) rejected(api string, v grant.Verdict) {
	if m != nil {
		m.rejections.WithLabelValues(api, v.String()).Inc()
	}
}

func (m *Metrics) foreign(api string) {
	if m != nil {
		m.dropped.WithLabelValues(api).Inc()
	}
}
