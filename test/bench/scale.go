package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// scaleWorkloads are what every setting of a run with -scale is measured with.
func scaleWorkloads() []Workload {
	return []Workload{newWorkload(false, 1<<10, 1, "all", 64<<10), newWorkload(true, 1<<10, 1, "", 64<<10)}
}

// setting is a gateway with much of one thing.
type setting struct {
	name         string
	connections  int // that have logged in and do nothing
	topics       int // more, of the application that is measured
	applications int // others
}

func scaleSettings() []setting {
	return []setting{
		{name: "one application, a handful of topics"},
		{name: "100 idle connections beside", connections: 100},
		{name: "1,000 idle connections beside", connections: 1_000},
		{name: "1,000 topics granted", topics: 1_000},
		{name: "10,000 topics granted", topics: 10_000},
		{name: "1,000 other applications", applications: 1_000},
		{name: "10,000 other applications", applications: 10_000},
	}
}

// changing is the setting whose latency is measured while an application changes.
const changing = "1,000 other applications"

// changeEvery is how often that is. Documents are read as a whole and compiled anew for each change.
const changeEvery = 500 * time.Millisecond

// scaleText makes documents for a setting: those of every run, with more of what it has much of. The other applications
// log in with certificates: secrets would have to be stretched, which is another thing to measure.
func scaleText(bootstrap []string, topics []topic, s setting, revision int) string {
	var b strings.Builder
	b.WriteString(documents(bootstrap, topics, 0))
	doc := func(kind, metadata, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, spec)
	}
	const perVersion = 500 // a document has an end
	var versions []string
	for from := 0; from < s.topics; from += perVersion {
		var contract, backing []string
		for i := from; i < min(from+perVersion, s.topics); i++ {
			contract = append(contract, fmt.Sprintf("c%d: {address: absent.%05d, send: true}", i, i))
			backing = append(backing, fmt.Sprintf("c%d: {prod: {cluster: main, topic: bench.absent.%05d}}", i, i))
		}
		api := fmt.Sprint("absent", from)
		versions = append(versions, api+".v1")
		doc("API", "name: "+api+", team: bench", "title: Absent")
		doc("Version", "name: "+api+".v1", fmt.Sprintf("contract: {channels: {%s}}, channels: {%s}, lifecycle: {state: published}", strings.Join(contract, ", "), strings.Join(backing, ", ")))
	}
	if s.topics > 0 {
		doc("Product", "name: absent, team: bench", "versions: ["+strings.Join(versions, ", ")+"], plans: {plan: {auth: [plain], approval: automatic}}")
		doc("Subscription", "name: absent, environment: prod", "application: "+application+", product: absent, plan: plan")
	}
	if s.applications == 0 {
		return b.String()
	}
	doc("Product", "name: others, team: bench", "versions: [bench.v1], plans: {plan: {auth: [mtls], approval: automatic}}")
	for i := range s.applications {
		app, spec := fmt.Sprintf("other-%05d", i), ""
		if i == 0 && revision%2 == 1 {
			spec = "suspended: true"
		}
		doc("Application", "name: "+app+", team: bench", spec)
		doc("Subscription", "name: "+app+", environment: prod", "application: "+app+", product: others, plan: plan")
		doc("Credential", "name: "+app+", environment: prod", fmt.Sprintf("application: %s, type: mtls, san: %q", app, "dns:"+app+".example"))
	}
	return b.String()
}

// scaleReport is what a run with -scale brought, by setting and workload; rounds without an error only.
type scaleReport struct {
	facts    Facts
	options  Options
	settings []setting
	cpu      map[string]map[string]map[int]float64 // setting, workload, round: seconds per GiB
	latency  map[bool]map[int]Quantiles            // while an application changes or not, round: of acknowledgements
	changes  int
	errors   []string
}

// runScale measures how the gateway's cost follows what it has beside the traffic that is measured.
func runScale(ctx context.Context, o Options) (r *scaleReport, err error) {
	o.Workloads, o.Ways = choice{throughput: scaleWorkloads(), latency: true}, []string{gateway}
	b := &bench{Options: o, middles: map[string]middle{}}
	b.facts.observe()
	if b.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	for _, w := range o.Workloads.throughput {
		b.topics = append(b.topics, topicOf(w))
	}
	b.topics = append(b.topics, latencyTopic())
	if o.Gateway == "" {
		b.logf("building the gateway")
		if b.Gateway, err = buildGateway(ctx, b.dir); err != nil {
			return nil, err
		}
	}
	if err := b.startKafka(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kafka.Close()) }()
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	r = &scaleReport{facts: b.facts, options: o, settings: scaleSettings(), cpu: map[string]map[string]map[int]float64{}, latency: map[bool]map[int]Quantiles{false: {}, true: {}}}
	folders := map[string]string{}
	for _, s := range r.settings {
		r.cpu[s.name] = map[string]map[int]float64{}
		for _, w := range o.Workloads.throughput {
			r.cpu[s.name][w.Name] = map[int]float64{}
		}
		begun := time.Now()
		if folders[s.name], err = gatewayFolder(b.dir, scaleText(b.kafka.Bootstrap(), b.topics, s, 0), nil); err != nil {
			return nil, err
		}
		c, serves, startErr := serve(b.Gateway, folders[s.name])
		if startErr != nil {
			return nil, fmt.Errorf("%s: %w", s.name, startErr)
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		if err := awaitReady(ctx, c, serves); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		b.logf("%s: ready after %s", s.name, time.Since(begun).Round(10*time.Millisecond))
		b.middles[s.name] = middle{c, Target{Bootstrap: serves.Bootstrap, User: userOf(mechanismPlain), Password: password}}
		if s.connections > 0 {
			idle, startErr := startSelf("idle", Job{Target: b.middles[s.name].target, Topic: latencyTopic().exposed, Count: s.connections})
			if startErr != nil {
				return nil, startErr
			}
			defer func() { err = errors.Join(err, idle.stop()) }()
			var up connected
			if err := idle.read(ctx, &up); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	for round := -1; round < o.Rounds; round++ { // the first warms everything up
		for _, w := range o.Workloads.throughput {
			b.logf("round %d of %d: %s", round+1, o.Rounds, w.Name)
			for i := range r.settings {
				s := r.settings[(i+max(round, 0))%len(r.settings)]
				m, err := b.scaleLoad(ctx, s, w)
				switch {
				case ctx.Err() != nil:
					return nil, context.Cause(ctx)
				case err != nil:
					r.errors = append(r.errors, fmt.Sprintf("%s, %s, round %d: %v", s.name, w.Name, round+1, err))
				case round >= 0:
					r.cpu[s.name][w.Name][round] = m.perGiB(m.MiddleCPU)
				}
			}
		}
		for _, busy := range []bool{round%2 == 0, round%2 != 0} {
			b.logf("round %d of %d: latency, an application changing: %v", round+1, o.Rounds, busy)
			q, changes, err := b.scaleLatency(ctx, folders[changing], busy)
			switch {
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case err != nil:
				r.errors = append(r.errors, fmt.Sprintf("latency, changing %v, round %d: %v", busy, round+1, err))
			case round >= 0:
				r.latency[busy][round] = q
				r.changes += changes
			}
		}
	}
	r.facts = b.facts
	return r, nil
}

func (b *bench) scaleLoad(ctx context.Context, s setting, w Workload) (Measured, error) {
	m, t := b.middles[s.name], topicOf(w)
	job := Job{Target: m.target, Topic: t.exposed, Workload: w, Warmup: b.Warmup, Window: b.Window, Watch: m.process.pid()}
	for _, source := range b.sources() {
		if source.topic == t {
			job.Bytes = source.bytes
		}
	}
	return ask[Measured](ctx, "load", job, b.Warmup+b.Window+measureTimeout)
}

// scaleLatency measures acknowledgements of a gateway with many applications, while one of the others changes again and
// again or not, and returns how often that was.
func (b *bench) scaleLatency(ctx context.Context, folder string, busy bool) (q Quantiles, changes int, err error) {
	m := b.middles[changing]
	done, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() {
		if !busy {
			stopped <- nil
			return
		}
		stopped <- func() error {
			i := slices.IndexFunc(scaleSettings(), func(s setting) bool { return s.name == changing })
			for wait(done, changeEvery) == nil {
				changes++
				text := scaleText(b.kafka.Bootstrap(), b.topics, scaleSettings()[i], changes)
				file := filepath.Join(folder, "resources.yaml")
				if err := os.WriteFile(file+".next", []byte(text), 0o600); err != nil {
					return err
				}
				if err := os.Rename(file+".next", file); err != nil {
					return err
				}
				if err := m.process.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	job := Job{Target: m.target, Topic: latencyTopic().exposed, Rate: b.Rate, Warmup: b.Warmup, Window: b.LatencyWindow}
	got, err := ask[Latencies](ctx, "latency", job, b.Warmup+b.LatencyWindow+measureTimeout)
	stop()
	err = errors.Join(err, <-stopped)
	if err == nil && busy && changes == 0 {
		err = errors.New("the window is too short for a single change")
	}
	return got.Ack, changes, err
}

func (r *scaleReport) tables() []table {
	t := table{
		title: "CPU beside much of something",
		note: "CPU seconds of the gateway per GiB of payload, and how many times those of one application with a handful of topics, in the same round. " +
			"The idle connections have logged in and fetched metadata; granted topics are the measured application's own; each other application has a subscription and a credential.",
		header: []string{"beside"},
	}
	base := r.settings[0].name
	for _, w := range r.options.Workloads.throughput {
		t.header = append(t.header, w.Name, "×")
	}
	for _, s := range r.settings {
		row := []string{s.name}
		for _, w := range r.options.Workloads.throughput {
			var all, ratios []float64
			for round, mine := range r.cpu[s.name][w.Name] {
				all = append(all, mine)
				if other, ok := r.cpu[base][w.Name][round]; ok && s.name != base {
					ratios = append(ratios, mine/other)
				}
			}
			row = append(row, spread(all).text(""), spread(ratios).text(""))
		}
		t.rows = append(t.rows, row)
	}
	l := table{
		title: "Latency while an application changes",
		note: fmt.Sprintf("%d records/s of 1 KiB, acks=all, from the moment each was due to its acknowledgement, through a gateway with 1,000 other applications, "+
			"quiet and while one of those changes every %s: all documents are read and compiled anew, %d times in this run, on the cores that serve the traffic.", r.options.Rate, changeEvery, r.changes),
		header: []string{"", "p50", "× quiet", "p99", "× quiet"},
	}
	for _, busy := range []bool{false, true} {
		var p50, p99, times50, times99 []float64
		for round, q := range r.latency[busy] {
			p50, p99 = append(p50, float64(q.P50.Microseconds())), append(p99, float64(q.P99.Microseconds()))
			if quiet, ok := r.latency[false][round]; ok && busy {
				times50, times99 = append(times50, float64(q.P50)/float64(quiet.P50)), append(times99, float64(q.P99)/float64(quiet.P99))
			}
		}
		name := "quiet"
		if busy {
			name = "changing"
		}
		l.rows = append(l.rows, []string{name, spread(p50).text("µs"), spread(times50).text(""), spread(p99).text("µs"), spread(times99).text("")})
	}
	return []table{t, l}
}

// markdown is the report as a page of docs/, which reads well in a terminal too.
func (r *scaleReport) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Scale\n\nWritten by `go -C test run ./bench -scale -write ../docs/scale.md`: what the gateway costs beside much of something. Everything is from one\n" +
		"run, in which the settings take turns. What carries over to other machines are the ratios.\n\n")
	for _, line := range append(r.facts.lines(), fmt.Sprintf("rounds: %d, interleaved, %s for each measurement; each figure is the median of the rounds with the least and the greatest",
		r.options.Rounds, r.options.Window)) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", t.title, t.note)
		for _, row := range append([][]string{t.header, slices.Repeat([]string{"---"}, len(t.header))}, t.rows...) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	if len(r.errors) > 0 {
		fmt.Fprintf(&b, "\n## Not measured\n\n- %s\n", strings.Join(r.errors, "\n- "))
	}
	return b.Bytes()
}
