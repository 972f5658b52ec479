package main

import (
	"strings"
	"testing"
	"time"
)

// Ratios are made within a round, and a round that lacks either side is left out.
func TestScaleReport(t *testing.T) {
	settings := scaleSettings()[:2]
	base, many := settings[0].name, settings[1].name
	w := scaleWorkloads()[:1]
	r := &scaleReport{
		options: Options{Rounds: 3, Window: time.Second, Rate: 500, Workloads: choice{throughput: w}}, settings: settings, changes: 7,
		cpu: map[string]map[string]map[int]float64{
			base: {w[0].Name: {0: 1, 1: 2, 2: 4}},
			many: {w[0].Name: {0: 1.5, 2: 4}},
		},
		latency: map[bool]map[int]Quantiles{
			false: {0: {P50: time.Millisecond, P99: 2 * time.Millisecond}},
			true:  {0: {P50: 2 * time.Millisecond, P99: 3 * time.Millisecond}, 1: {P50: time.Second, P99: time.Second}},
		},
		errors: []string{"something failed"},
	}
	page := string(r.markdown())
	for _, want := range []string{
		"| " + base + " | 2.00 (1.00–4.00) | – |",
		"| " + many + " | 2.75 (1.50–4.00) | 1.25 (1.00–1.50) |",
		"| 2.00 (2.00–2.00) | 501500µs (3000–1000000) | 1.50 (1.50–1.50) |",
		"7 times in this run", "## Not measured\n\n- something failed",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}

// No document grows with what a setting has much of, since documents have an end, and a revision changes one line.
func TestScaleTexts(t *testing.T) {
	topics := []topic{latencyTopic()}
	measured := documents([]string{"127.0.0.1:1"}, topics, 0) // the applications that are measured
	own := func(kind string) int { return strings.Count(measured, "kind: "+kind+"\n") }
	for _, s := range scaleSettings() {
		text := scaleText([]string{"127.0.0.1:1"}, topics, s, 0)
		docs := strings.Split(text, "---\n")
		counts := map[string]int{}
		for _, d := range docs[1:] {
			kind, _, _ := strings.Cut(strings.SplitAfter(d, "kind: ")[1], "\n")
			counts[kind]++
			if len(d) > 100<<10 {
				t.Errorf("%s: a document of %d bytes", s.name, len(d))
			}
		}
		if counts["Application"] != s.applications+own("Application") || counts["Credential"] < s.applications+own("Credential") || strings.Count(text, "topic: bench.absent.") != s.topics {
			t.Errorf("%s: got %v and %d topics", s.name, counts, strings.Count(text, "topic: bench.absent."))
		}
		changed := 0
		if next := strings.Split(scaleText([]string{"127.0.0.1:1"}, topics, s, 1), "---\n"); len(next) == len(docs) {
			for i := range docs {
				if docs[i] != next[i] {
					changed++
				}
			}
		}
		if changed != min(1, s.applications) {
			t.Errorf("%s: a change touches %d documents", s.name, changed)
		}
	}
}
