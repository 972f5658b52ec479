package gateway

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's own counts. Labels are bounded: APIs come from
// handler.Table, results and reasons from this package.
type metrics struct {
	connections        prometheus.Gauge
	refusedConnections prometheus.Counter
	logins             *prometheus.CounterVec
	requests           *prometheus.CounterVec
	closed             *prometheus.CounterVec
	received, sent     prometheus.Counter
	snapshots          prometheus.Counter
	panics             prometheus.Counter
	upstreamDials      *prometheus.CounterVec
	latency            *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_gateway_connections", Help: "Client connections, before and after their login."}),
		refusedConnections: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_connections_refused_total", Help: "Connections closed at once because a limit was reached."}),
		logins:             prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_gateway_logins_total", Help: "Logins by mechanism and result."}, []string{"mechanism", "result"}),
		requests:           prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_gateway_requests_total", Help: "Requests by Kafka API."}, []string{"api"}),
		closed:             prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_gateway_connections_closed_total", Help: "Connections closed, by which side or what ended them."}, []string{"by"}),
		received:           prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_received_bytes_total", Help: "Bytes of requests read from clients."}),
		sent:               prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_sent_bytes_total", Help: "Bytes of answers written to clients."}),
		snapshots:          prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_snapshots_total", Help: "Grant snapshots put in force since the start."}),
		panics:             prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_panics_total", Help: "Connections ended by a bug; each one is in the log with its stack."}),
		upstreamDials:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_gateway_upstream_dials_total", Help: "Connections to target clusters, by result."}, []string{"result"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_gateway_upstream_seconds", Help: "Time from forwarding a request to the broker's answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"api"}),
	}
	r.MustRegister(m.connections, m.refusedConnections, m.logins, m.requests, m.closed, m.received, m.sent, m.snapshots, m.panics, m.upstreamDials, m.latency)
	return m
}

// logWindow is how often something that strangers can cause at will is logged.
const logWindow = time.Second

// logGate remembers when each kind was last logged.
type logGate struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// sometimes logs at most once per window and kind, so that strangers cannot
// fill the log.
func (g *Gateway) sometimes(kind, msg string, args ...any) {
	now := g.deps.Now()
	g.gate.mu.Lock()
	quiet := now.Sub(g.gate.last[kind]) < logWindow
	if !quiet {
		g.gate.last[kind] = now
	}
	g.gate.mu.Unlock()
	if !quiet {
		g.log.Warn(msg, args...)
	}
}
