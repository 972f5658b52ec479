package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/gateway/handler"
)

// metrics are the gateway's own counts. Labels are bounded: APIs come from
// handler.Table, results and reasons from this package.
type metrics struct {
	connections        prometheus.Gauge
	refusedConnections prometheus.Counter
	evicted            prometheus.Counter
	handshakes         *prometheus.CounterVec
	handshakesWaiting  prometheus.Gauge
	logins             *prometheus.CounterVec
	requests           *prometheus.CounterVec
	closed             *prometheus.CounterVec
	received, sent     prometheus.Counter
	snapshots          prometheus.Counter
	panics             prometheus.Counter
	upstreamDials      *prometheus.CounterVec
	latency            *prometheus.HistogramVec
	// byKey saves the look-up of labels for each request.
	byKey [handler.Keys]struct {
		requests prometheus.Counter
		latency  prometheus.Observer
	}
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_gateway_connections", Help: "Client connections, before and after their login."}),
		refusedConnections: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_connections_refused_total", Help: "Connections closed at once because a limit was reached."}),
		evicted:            prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_gateway_connections_evicted_total", Help: "Connections before their login that were silent and made room for others."}),
		handshakes:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_gateway_tls_handshakes_total", Help: "TLS handshakes of clients, by result."}, []string{"result"}),
		handshakesWaiting:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_gateway_tls_handshakes_waiting", Help: "TLS handshakes that wait for their turn."}),
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
	for _, api := range handler.Table {
		if api.Posture != handler.Refused {
			m.byKey[api.Key].requests = m.requests.WithLabelValues(api.Name)
			m.byKey[api.Key].latency = m.latency.WithLabelValues(api.Name)
		}
	}
	r.MustRegister(m.connections, m.refusedConnections, m.evicted, m.handshakes, m.handshakesWaiting, m.logins, m.requests, m.closed, m.received, m.sent, m.snapshots, m.panics, m.upstreamDials, m.latency)
	return m
}

// logWindow is how long what strangers can cause at will is counted for the log.
const logWindow = time.Second

// logGate bounds how often a kind of line is logged. Kinds are this package's.
type logGate struct {
	mu    sync.Mutex
	kinds map[string]*logCount
}

type logCount struct {
	since              time.Time // when its window began
	logged, suppressed int
}

// pass reports whether a line may be logged, most per window and kind, and how
// many were not since the last one.
func (l *logGate) pass(kind string, now time.Time, most int) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.kinds[kind]
	if n == nil {
		n = new(logCount)
		l.kinds[kind] = n
	}
	if now.Sub(n.since) >= logWindow {
		n.since, n.logged = now, 0
	}
	if n.logged >= most {
		n.suppressed++
		return 0, false
	}
	n.logged++
	suppressed, n.suppressed = n.suppressed, 0
	return suppressed, true
}

// sometimes logs at most once per window and kind, so that strangers cannot
// fill the log.
func (g *Gateway) sometimes(kind, msg string, args ...any) {
	g.atMost(1, g.log, slog.LevelWarn, kind, msg, args...)
}

// atMost logs so many lines per window and kind; the next one says how many
// were left out.
func (g *Gateway) atMost(most int, log *slog.Logger, level slog.Level, kind, msg string, args ...any) {
	suppressed, ok := g.gate.pass(kind, g.deps.Now(), most)
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	log.Log(context.Background(), level, msg, args...)
}
