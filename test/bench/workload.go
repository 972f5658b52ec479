package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Workload is one kind of traffic whose throughput is measured.
type Workload struct {
	Name        string `json:"name"`
	Consume     bool   `json:"consume"`
	RecordBytes int    `json:"record_bytes"` // of the value; there is no key
	Partitions  int32  `json:"partitions"`
	Acks        string `json:"acks,omitempty"` // "all" or "1"; of produce only
	BatchBytes  int32  `json:"batch_bytes"`    // consume: of the batches that lie in the topic
}

// What -workloads calls the measurements that are not about throughput, besides logins.
const (
	latencyName = "latency"
	idleName    = "idle"
	startName   = "start"
)

// logins is a kind of login whose rate is measured.
type logins struct {
	name, mechanism string
	tls             bool
}

func allLogins() []logins {
	return []logins{
		{"logins/" + mechanismPlain, mechanismPlain, false},
		{"logins/" + mechanismScram, mechanismScram, false},
		{"logins/" + mechanismScram + "/TLS", mechanismScram, true},
	}
}

const linger = 5 * time.Millisecond

// newWorkload names a workload: produce/1KiB/p6/acks=all/16KiB, consume/100B/p1/64KiB.
func newWorkload(consume bool, recordBytes int, partitions int32, acks string, batchBytes int32) Workload {
	w := Workload{Consume: consume, RecordBytes: recordBytes, Partitions: partitions, Acks: acks, BatchBytes: batchBytes}
	if consume {
		w.Name = fmt.Sprintf("consume/%s/p%d/%s", bytesName(recordBytes), partitions, bytesName(int(batchBytes)))
	} else {
		w.Name = fmt.Sprintf("produce/%s/p%d/acks=%s/%s", bytesName(recordBytes), partitions, acks, bytesName(int(batchBytes)))
	}
	return w
}

func bytesName(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

// allWorkloads is every combination.
func allWorkloads() []Workload {
	var all []Workload
	for _, recordBytes := range []int{1 << 10, 100} {
		for _, partitions := range []int32{1, 6} {
			for _, acks := range []string{"all", "1"} {
				for _, batch := range []int32{16 << 10, 64 << 10} {
					all = append(all, newWorkload(false, recordBytes, partitions, acks, batch))
				}
			}
		}
	}
	for _, recordBytes := range []int{1 << 10, 100} {
		for _, partitions := range []int32{1, 6} {
			for _, batch := range []int32{16 << 10, 64 << 10} {
				all = append(all, newWorkload(true, recordBytes, partitions, "", batch))
			}
		}
	}
	return all
}

// defaultWorkloads has every pair of values somewhere, in a time that one waits for.
func defaultWorkloads() []string {
	return []string{
		"produce/1KiB/p1/acks=all/16KiB", "produce/1KiB/p6/acks=all/16KiB", "produce/1KiB/p6/acks=all/64KiB",
		"produce/1KiB/p1/acks=1/64KiB", "produce/1KiB/p6/acks=1/16KiB",
		"produce/100B/p1/acks=all/16KiB", "produce/100B/p6/acks=1/64KiB",
		"consume/1KiB/p1/16KiB", "consume/1KiB/p6/64KiB", "consume/100B/p1/64KiB", "consume/100B/p6/16KiB",
		latencyName, "logins", idleName, startName,
	}
}

func quickWorkloads() []string {
	return []string{"produce/1KiB/p1/acks=all/16KiB", "consume/1KiB/p6/64KiB", latencyName, "logins", idleName, startName}
}

// choice is what -workloads has selected.
type choice struct {
	throughput           []Workload
	logins               []logins
	latency, idle, start bool
}

// choose reads a comma-separated list of names, each whole or a part with slashes at its ends left out ("consume",
// "produce/1KiB", "p6/acks=all"); "all" means every combination, "" the defaults given.
func choose(list string, defaults []string) (choice, error) {
	var c choice
	parts := defaults
	if list != "" {
		parts = strings.Split(list, ",")
	}
	names := []string{latencyName, idleName, startName}
	for _, l := range allLogins() {
		names = append(names, l.name)
	}
	all := allWorkloads()
	for _, w := range all {
		names = append(names, w.Name)
	}
	chosen := map[string]bool{}
	for _, part := range parts {
		part = strings.Trim(strings.TrimSpace(part), "/")
		found := false
		for _, name := range names {
			if part == "all" || part != "" && strings.Contains("/"+name+"/", "/"+part+"/") {
				chosen[name], found = true, true
			}
		}
		if !found {
			return c, fmt.Errorf("-workloads: nothing is called %q; there are:\n  %s", part, strings.Join(names, "\n  "))
		}
	}
	c.throughput = slices.DeleteFunc(all, func(w Workload) bool { return !chosen[w.Name] })
	c.logins = slices.DeleteFunc(allLogins(), func(l logins) bool { return !chosen[l.name] })
	c.latency, c.idle, c.start = chosen[latencyName], chosen[idleName], chosen[startName]
	return c, nil
}

// topic is a backing topic of the benchmark and the name under which the gateway exposes it.
type topic struct {
	backing, exposed string
	partitions       int32
}

// of returns the topic that a workload writes or reads.
func topicOf(w Workload) topic {
	if !w.Consume {
		return topic{fmt.Sprintf("bench.sink.p%d", w.Partitions), fmt.Sprintf("sink%d.written", w.Partitions), w.Partitions}
	}
	suffix := fmt.Sprintf("%s.p%d.%s", bytesName(w.RecordBytes), w.Partitions, bytesName(int(w.BatchBytes)))
	return topic{"bench.source." + suffix, "source.read." + suffix, w.Partitions}
}

func latencyTopic() topic { return topic{"bench.latency", "latency.measured", 1} }
