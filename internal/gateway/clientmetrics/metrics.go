package clientmetrics

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
)

// join is how values are put together: those of one client for several nodes or
// partitions, and those of an application's clients.
type join uint8

const (
	sum  join = iota // of what each client does: rates and counts
	mean             // of averages, each client counting once
	most             // of maxima
)

func (j join) String() string {
	return [...]string{"summed up over", "the mean of", "the greatest of"}[j]
}

// metric is one of the metrics that clients are asked for.
type metric struct {
	kafka string // as clients name it
	name  string // as Prometheus gets it
	help  string
	join  join
	scale float64 // from Kafka's unit to that of the name
}

// milli turns Kafka's milliseconds into seconds, which Prometheus has.
const milli = 1e-3

// metrics is all that is kept of what clients push: those KIP-714 names as
// standard, which every client has, and a few more of the Java client. The
// order is that of readings.
var metrics = [...]metric{
	{"org.apache.kafka.producer.connection.creation.rate", "sluice_client_producer_connections_created_per_second", "New connections of producers", sum, 1},
	{"org.apache.kafka.producer.node.request.latency.avg", "sluice_client_producer_request_latency_avg_seconds", "Average time to an answer, as producers see it", mean, milli},
	{"org.apache.kafka.producer.node.request.latency.max", "sluice_client_producer_request_latency_max_seconds", "Longest time to an answer, as producers see it", most, milli},
	{"org.apache.kafka.producer.produce.throttle.time.avg", "sluice_client_producer_throttle_time_avg_seconds", "Average time for which producers were throttled", mean, milli},
	{"org.apache.kafka.producer.produce.throttle.time.max", "sluice_client_producer_throttle_time_max_seconds", "Longest time for which producers were throttled", most, milli},
	{"org.apache.kafka.producer.record.queue.time.avg", "sluice_client_producer_queue_time_avg_seconds", "Average time of batches in producers' buffers", mean, milli},
	{"org.apache.kafka.producer.record.queue.time.max", "sluice_client_producer_queue_time_max_seconds", "Longest time of batches in producers' buffers", most, milli},
	{"org.apache.kafka.producer.record.send.rate", "sluice_client_producer_records_sent_per_second", "Records sent by producers", sum, 1},
	{"org.apache.kafka.producer.record.error.rate", "sluice_client_producer_record_errors_per_second", "Records that producers gave up", sum, 1},
	{"org.apache.kafka.producer.record.retry.rate", "sluice_client_producer_record_retries_per_second", "Records that producers sent again", sum, 1},
	{"org.apache.kafka.consumer.connection.creation.rate", "sluice_client_consumer_connections_created_per_second", "New connections of consumers", sum, 1},
	{"org.apache.kafka.consumer.node.request.latency.avg", "sluice_client_consumer_request_latency_avg_seconds", "Average time to an answer, as consumers see it", mean, milli},
	{"org.apache.kafka.consumer.node.request.latency.max", "sluice_client_consumer_request_latency_max_seconds", "Longest time to an answer, as consumers see it", most, milli},
	{"org.apache.kafka.consumer.poll.idle.ratio.avg", "sluice_client_consumer_poll_idle_ratio_avg", "Share of time for which consumers wait in poll and their program does nothing with records", mean, 1},
	{"org.apache.kafka.consumer.coordinator.commit.latency.avg", "sluice_client_consumer_commit_latency_avg_seconds", "Average time of commits", mean, milli},
	{"org.apache.kafka.consumer.coordinator.commit.latency.max", "sluice_client_consumer_commit_latency_max_seconds", "Longest time of commits", most, milli},
	{"org.apache.kafka.consumer.coordinator.rebalance.latency.avg", "sluice_client_consumer_rebalance_latency_avg_seconds", "Average time of rebalances", mean, milli},
	{"org.apache.kafka.consumer.coordinator.rebalance.latency.max", "sluice_client_consumer_rebalance_latency_max_seconds", "Longest time of rebalances", most, milli},
	{"org.apache.kafka.consumer.coordinator.assigned.partitions", "sluice_client_consumer_assigned_partitions", "Partitions assigned to consumers", sum, 1},
	{"org.apache.kafka.consumer.fetch.manager.fetch.latency.avg", "sluice_client_consumer_fetch_latency_avg_seconds", "Average time of fetches", mean, milli},
	{"org.apache.kafka.consumer.fetch.manager.fetch.latency.max", "sluice_client_consumer_fetch_latency_max_seconds", "Longest time of fetches", most, milli},
	{"org.apache.kafka.consumer.fetch.manager.records.consumed.rate", "sluice_client_consumer_records_consumed_per_second", "Records that consumers got", sum, 1},
	{"org.apache.kafka.consumer.fetch.manager.records.lag.max", "sluice_client_consumer_records_lag_max", "Records by which the consumer furthest behind in any partition is behind", most, 1},
}

// find returns the place of a metric in the list, -1 for one that is not kept.
func find(name []byte) int {
	return slices.IndexFunc(metrics[:], func(m metric) bool { return m.kafka == string(name) })
}

// readings are one client's values, in the order of metrics.
type readings [len(metrics)]struct {
	value float64
	n     int // values put together in it
}

func (r *readings) any() bool {
	for _, v := range r {
		if v.n > 0 {
			return true
		}
	}
	return false
}

// add puts a value to those of its metric. What is no number is none.
func (r *readings) add(at int, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	v := &r[at]
	if metrics[at].join == most && v.n > 0 {
		v.value = max(v.value, value)
	} else {
		v.value += value
	}
	v.n++
}

// get returns the value of a metric.
func (r *readings) get(at int) (float64, bool) {
	v := r[at]
	if v.n > 0 && metrics[at].join == mean {
		v.value /= float64(v.n)
	}
	return v.value, v.n > 0
}

var labels = []string{"application", "environment"}

func (m *metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.name, m.help+", "+m.join.String()+" an application's clients ("+strings.TrimPrefix(m.kafka, "org.apache.kafka.")+").", labels, nil)
}

// Describe names every metric.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	c.pushes.Describe(to)
	to <- c.instances
	for i := range metrics {
		to <- metrics[i].desc()
	}
}

// Collect says what clients pushed, one value for each application and metric.
// Clients that are silent, and applications that are gone, are forgotten.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	c.pushes.Collect(to)
	type total struct {
		readings  readings
		instances int
	}
	totals := map[Owner]*total{}
	now := c.config.Now()
	c.mu.Lock()
	c.sweep(now)
	for owner, instances := range c.owners {
		if c.config.Known != nil && !c.config.Known(owner) {
			c.all -= len(instances)
			delete(c.owners, owner)
			continue
		}
		t := new(total)
		for _, i := range instances {
			if !c.counts(i, now) {
				continue
			}
			t.instances++
			if i.readings == nil {
				continue
			}
			for at := range metrics {
				if v, ok := i.readings.get(at); ok {
					t.readings.add(at, v)
				}
			}
		}
		if t.instances > 0 {
			totals[owner] = t
		}
	}
	c.mu.Unlock()
	for owner, t := range totals {
		to <- prometheus.MustNewConstMetric(c.instances, prometheus.GaugeValue, float64(t.instances), owner.Application, owner.Environment)
	}
	for at := range metrics {
		desc := metrics[at].desc()
		for owner, t := range totals {
			if v, ok := t.readings.get(at); ok {
				to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v*metrics[at].scale, owner.Application, owner.Environment)
			}
		}
	}
}

// results are the values of the label of sluice_gateway_telemetry_pushes_total.
var results = []string{"accepted", "throttled", "unknown subscription", "unsupported compression", "too large", "malformed", "invalid"}

func result(err *kerr.Error) string {
	switch err {
	case nil:
		return "accepted"
	case kerr.ThrottlingQuotaExceeded:
		return "throttled"
	case kerr.UnknownSubscriptionID:
		return "unknown subscription"
	case kerr.UnsupportedCompressionType:
		return "unsupported compression"
	case kerr.TelemetryTooLarge:
		return "too large"
	case kerr.InvalidRecord:
		return "malformed"
	}
	return "invalid"
}
