package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Facts are what a run depends on.
type Facts struct {
	Date   string `json:"date"`
	Commit string `json:"commit"`
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu"`
	System string `json:"system"`
	Go     string `json:"go"`
	Client string `json:"client"`
	Kafka  string `json:"kafka"`
	Java   string `json:"java"`
	Data   string `json:"kafka_data"`
	Load   string `json:"load_average"` // of the minute before the run
	Busy   bool   `json:"busy"`         // with something else, by that
}

func (f *Facts) collect(ctx context.Context, kafka string) {
	f.Date, f.Cores, f.Go, f.Kafka = time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), runtime.Version(), kafka
	f.System, f.CPU, f.Client, f.Commit, f.Java = runtime.GOOS+"/"+runtime.GOARCH, "unknown", "franz-go", "unknown", "unknown"
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		f.System += " " + strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				f.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/twmb/franz-go" {
				f.Client += " " + m.Version
			}
		}
	}
	if commit, err := output(ctx, "git", "describe", "--always", "--dirty"); err == nil {
		f.Commit = commit
	}
	if out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput(); err == nil {
		f.Java, _, _ = strings.Cut(string(out), "\n")
	}
}

// observe is to be called before the run makes work itself.
func (f *Facts) observe() {
	f.Load = "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		f.Load, _, _ = strings.Cut(string(b), " ")
		load, _ := strconv.ParseFloat(f.Load, 64)
		f.Busy = load > 0.3*float64(runtime.NumCPU())
	}
}

func (f Facts) lines() []string {
	load := "load average before the run " + f.Load
	if f.Busy {
		load += ": OTHER PROGRAMS WERE BUSY, which makes these figures doubtful"
	}
	return []string{
		fmt.Sprintf("%s, commit %s, %s", f.Date, f.Commit, f.Go),
		fmt.Sprintf("%d cores (%s) for client, broker and what is between them, %s", f.Cores, f.CPU, f.System),
		fmt.Sprintf("Apache Kafka %s, %s, %s -Xms%s -Xmx%s, data on %s", f.Kafka, f.Java, strings.Join(jvm, " "), heap, heap, f.Data),
		fmt.Sprintf("client %s, %s", f.Client, load),
	}
}

// Spread is the median of the rounds with the least and the greatest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spread(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return &Spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// text writes median (min–max) with the digits that are worth something; with a unit, none after the point.
func (s *Spread) text(unit string) string {
	if s == nil {
		return "–"
	}
	digits := 0
	switch m := max(s.Median, -s.Median); {
	case unit != "" || m >= 100:
	case m >= 10:
		digits = 1
	default:
		digits = 2
	}
	to := "–"
	if s.Min < 0 {
		to = " to "
	}
	return fmt.Sprintf("%.*f%s (%.*f%s%.*f)", digits, s.Median, unit, digits, s.Min, to, digits, s.Max)
}

// Row is one workload by one way. Ratios are made within each round, and then their median is taken.
type Row struct {
	Workload string `json:"workload"`
	Way      string `json:"way"`

	MBPerSecond  *Spread `json:"mb_per_second,omitempty"`              // 10^6 bytes of payload
	OfDirect     *Spread `json:"percent_of_direct,omitempty"`          // throughput
	OfReference  *Spread `json:"percent_of_reference,omitempty"`       // throughput
	CPUPerGiB    *Spread `json:"middle_cpu_seconds_per_gib,omitempty"` // of the process in the middle, per 2^30 bytes of payload
	CPURatio     *Spread `json:"middle_cpu_times_reference,omitempty"`
	ClientPerGiB *Spread `json:"client_cpu_seconds_per_gib,omitempty"`
	BatchKiB     *Spread `json:"kib_per_batch,omitempty"` // of values; less than the workload says where the linger ended first
	PeakMiB      *Spread `json:"middle_peak_mib,omitempty"`

	AckP50          *Spread `json:"ack_p50_us,omitempty"`
	AckP99          *Spread `json:"ack_p99_us,omitempty"`
	AddedAckP50     *Spread `json:"added_ack_p50_us,omitempty"` // to direct's of the same round
	AddedAckP99     *Spread `json:"added_ack_p99_us,omitempty"`
	AddedArrivalP50 *Spread `json:"added_arrival_p50_us,omitempty"`
	AddedArrivalP99 *Spread `json:"added_arrival_p99_us,omitempty"`
	ArrivalP50More  *Spread `json:"arrival_p50_to_reference_us,omitempty"`

	LoginsPerSecond *Spread `json:"logins_per_second,omitempty"` // and percent_of_direct
	CPUPerLogin     *Spread `json:"middle_cpu_ms_per_login,omitempty"`

	KiBPerConnection         *Spread `json:"kib_per_idle_connection,omitempty"`
	DescriptorsPerConnection *Spread `json:"descriptors_per_idle_connection,omitempty"`
	MiBFresh                 *Spread `json:"resident_mib_fresh,omitempty"`
	MiBBefore                *Spread `json:"resident_mib_before,omitempty"`

	FirstAnswer *Spread `json:"start_first_answer_ms,omitempty"`
	FirstLogin  *Spread `json:"start_first_login_ms,omitempty"`
	SavedAnswer *Spread `json:"start_saved_answer_ms,omitempty"`
	SavedLogin  *Spread `json:"start_saved_login_ms,omitempty"`
	StartMiB    *Spread `json:"start_resident_mib,omitempty"`
}

// Report is what a run brought.
type Report struct {
	Facts     Facts    `json:"facts"`
	Rounds    int      `json:"rounds"`
	Window    string   `json:"window"`
	Reference string   `json:"reference"` // the way that others are compared with: floor if it was measured, else forwarder; with TLS floor-tls
	Rows      []Row    `json:"rows"`
	Errors    []string `json:"errors,omitempty"`
	Samples   []Sample `json:"samples"`

	options Options
}

func newReport(facts Facts, o Options, samples []Sample) *Report {
	r := &Report{Facts: facts, Rounds: o.Rounds, Window: o.Window.String(), Samples: samples, options: o}
	for _, way := range []string{floor, forwarder, floorTLS} {
		if slices.Contains(o.Ways, way) {
			r.Reference = way
			break
		}
	}
	var workloads []string
	for _, s := range samples {
		if !slices.Contains(workloads, s.Workload) {
			workloads = append(workloads, s.Workload)
		}
		if s.Error != "" {
			r.Errors = append(r.Errors, fmt.Sprintf("%s, %s, round %d: %s", s.Workload, s.Way, s.Round, strings.TrimSpace(s.Error)))
		}
	}
	for _, workload := range workloads {
		for _, way := range o.Ways {
			if row := r.row(workload, way); row != (Row{Workload: workload, Way: way}) {
				r.Rows = append(r.Rows, row)
			}
		}
	}
	return r
}

// good returns the sample of a round that succeeded, or nil.
func (r *Report) good(round int, workload, way string) *Sample {
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Round == round && s.Workload == workload && s.Way == way && s.Error == "" {
			return s
		}
	}
	return nil
}

// reference returns the way that a way is compared with, besides direct; empty for none.
func (r *Report) reference(way string) string {
	switch {
	case way == gatewayTLS && slices.Contains(r.options.Ways, floorTLS):
		return floorTLS
	case way == floorTLS || way == gatewayTLS || way == r.Reference || r.Reference == floorTLS:
		return ""
	}
	return r.Reference
}

func (r *Report) row(workload, way string) Row {
	// over collects f of each round's sample and the sample of another way; rounds without either are left out.
	over := func(other string, f func(mine, other *Sample) float64) *Spread {
		var all []float64
		for round := 1; round <= r.Rounds; round++ {
			mine, others := r.good(round, workload, way), r.good(round, workload, other)
			if mine != nil && others != nil {
				all = append(all, f(mine, others))
			}
		}
		return spread(all)
	}
	row := Row{Workload: workload, Way: way}
	added, reference := way != direct, r.reference(way)
	millis := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	const mib = 1 << 20
	switch {
	case workload == latencyName:
		micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
		row.AckP50 = over(way, func(m, _ *Sample) float64 { return micros(m.Latencies.Ack.P50) })
		row.AckP99 = over(way, func(m, _ *Sample) float64 { return micros(m.Latencies.Ack.P99) })
		if added {
			row.AddedAckP50 = over(direct, func(m, d *Sample) float64 { return micros(m.Latencies.Ack.P50 - d.Latencies.Ack.P50) })
			row.AddedAckP99 = over(direct, func(m, d *Sample) float64 { return micros(m.Latencies.Ack.P99 - d.Latencies.Ack.P99) })
			row.AddedArrivalP50 = over(direct, func(m, d *Sample) float64 { return micros(m.Latencies.Arrival.P50 - d.Latencies.Arrival.P50) })
			row.AddedArrivalP99 = over(direct, func(m, d *Sample) float64 { return micros(m.Latencies.Arrival.P99 - d.Latencies.Arrival.P99) })
			if reference != "" {
				row.ArrivalP50More = over(reference, func(m, o *Sample) float64 { return micros(m.Latencies.Arrival.P50 - o.Latencies.Arrival.P50) })
			}
		}
	case strings.HasPrefix(workload, "logins/"):
		row.LoginsPerSecond = over(way, func(m, _ *Sample) float64 { return m.Logins.perSecond() })
		if added {
			row.OfDirect = over(direct, func(m, d *Sample) float64 { return 100 * m.Logins.perSecond() / d.Logins.perSecond() })
			row.CPUPerLogin = over(way, func(m, _ *Sample) float64 { return millis(m.Logins.MiddleCPU) / float64(max(1, m.Logins.Records)) })
		}
	case workload == startName:
		row.FirstAnswer = over(way, func(m, _ *Sample) float64 { return millis(m.Start.FirstAnswer) })
		row.FirstLogin = over(way, func(m, _ *Sample) float64 { return millis(m.Start.FirstLogin) })
		row.SavedAnswer = over(way, func(m, _ *Sample) float64 { return millis(m.Start.SavedAnswer) })
		row.SavedLogin = over(way, func(m, _ *Sample) float64 { return millis(m.Start.SavedLogin) })
		row.StartMiB = over(way, func(m, _ *Sample) float64 { return float64(m.Start.Resident) / mib })
	case workload == idleName:
		row.KiBPerConnection = over(way, func(m, _ *Sample) float64 {
			return float64(m.Idle.After-m.Idle.Before) / 1024 / float64(m.Idle.Connections-idleWarmup)
		})
		row.DescriptorsPerConnection = over(way, func(m, _ *Sample) float64 {
			return float64(m.Idle.DescriptorsAfter-m.Idle.DescriptorsBefore) / float64(m.Idle.Connections-idleWarmup)
		})
		row.MiBFresh = over(way, func(m, _ *Sample) float64 { return float64(m.Idle.Fresh) / mib })
		row.MiBBefore = over(way, func(m, _ *Sample) float64 { return float64(m.Idle.Before) / mib })
	default:
		row.MBPerSecond = over(way, func(m, _ *Sample) float64 { return m.Measured.mbPerSecond() })
		row.ClientPerGiB = over(way, func(m, _ *Sample) float64 { return m.Measured.perGiB(m.Measured.ClientCPU) })
		row.BatchKiB = over(way, func(m, _ *Sample) float64 {
			return float64(m.Measured.Payload) / 1024 / float64(max(1, m.Measured.Batches))
		})
		if added {
			percent := func(m, o *Sample) float64 { return 100 * m.Measured.mbPerSecond() / o.Measured.mbPerSecond() }
			row.OfDirect = over(direct, percent)
			row.CPUPerGiB = over(way, func(m, _ *Sample) float64 { return m.Measured.perGiB(m.Measured.MiddleCPU) })
			row.PeakMiB = over(way, func(m, _ *Sample) float64 { return float64(m.Measured.MiddlePeak) / mib })
			if row.PeakMiB != nil && row.PeakMiB.Max == 0 {
				row.PeakMiB = nil // unknown
			}
			if reference != "" {
				row.OfReference = over(reference, percent)
				row.CPURatio = over(reference, func(m, o *Sample) float64 {
					return m.Measured.perGiB(m.Measured.MiddleCPU) / o.Measured.perGiB(o.Measured.MiddleCPU)
				})
			}
		}
	}
	return row
}

func (m *Measured) mbPerSecond() float64 { return float64(m.Payload) / 1e6 / m.Elapsed.Seconds() }

// perSecond is that of records, or logins.
func (m *Measured) perSecond() float64 { return float64(m.Records) / m.Elapsed.Seconds() }

func (m *Measured) perGiB(cpu time.Duration) float64 {
	return cpu.Seconds() / (float64(m.Payload) / (1 << 30))
}

// table is one part of the report, ready to be written.
type table struct {
	title, note string
	header      []string
	rows        [][]string
}

// without returns the table without a column.
func (t table) without(column int) table {
	t.header = slices.Delete(slices.Clone(t.header), column, column+1)
	for i, row := range t.rows {
		t.rows[i] = slices.Delete(row, column, column+1)
	}
	return t
}

func (r *Report) tables() []table {
	throughput := table{
		title: "Throughput and CPU",
		note: fmt.Sprintf("MB/s are 10^6 bytes of values; CPU is that of the process in the middle, and the client's, in seconds per GiB of values. "+
			"Workloads: produce/record/partitions/acks/batch, consume/record/partitions/batch; linger %s, no compression. "+
			"The gateway is the binary that is sold, as a process of its own, with SASL PLAIN and renamed topics. "+
			"With TLS at the front, gateway-tls is compared with floor-tls. Peak is the resident memory of the process in the middle.", linger),
		header: []string{"workload", "way", "MB/s", "of direct", "of " + r.Reference, "CPU s/GiB", "× " + r.Reference, "client s/GiB", "KiB/batch", "peak MiB"},
	}
	latency := table{
		title: "Latency",
		note: fmt.Sprintf("%d records/s of 1 KiB, acks=all, one record in a batch, from the moment a record was due: to its acknowledgement, "+
			"and to its arrival at a consumer that came the same way. Added is the difference to direct in the same round.", r.options.Rate),
		header: []string{"way", "ack p50", "ack p99", "added p50", "added p99", "arrival added p50", "arrival added p99", "arrival p50 to " + r.Reference},
	}
	login := table{
		title: "Logins",
		note: fmt.Sprintf("%d clients at a time connect, ask for the versions, log in and go; direct is a listener of Kafka with the same mechanism, with TLS where it says so. "+
			"Clients compute their proof each time: 4,096 rounds for SCRAM with Kafka, which is the least it takes, and 8,192 with the gateway. CPU is the gateway's alone.", loginsAtATime),
		header: []string{"mechanism", "way", "logins/s", "of direct", "CPU ms/login"},
	}
	idle := table{
		title: "Idle connections",
		note: fmt.Sprintf("Resident memory of a fresh process: before its first connection, with %d, and what each of %d costs beyond them; they have logged in and fetched "+
			"metadata once, upstream share included. What the kernel keeps for sockets is not in it.", idleWarmup, r.options.Connections),
		header: []string{"way", "KiB per connection", "descriptors per connection", "MiB at first", fmt.Sprintf("MiB with %d", idleWarmup)},
	}
	start := table{
		title: "Start",
		note: fmt.Sprintf("From the start of the process to the first answer and the first login of a client, with documents of %d applications, half of them with PLAIN and half with SCRAM: "+
			"in an empty data directory, and with the state that was saved then.", startApplications),
		header: []string{"way", "first answer", "first login", "first answer, saved state", "first login, saved state", "MiB then"},
	}
	last := ""
	for _, row := range r.Rows {
		switch row.Workload {
		case latencyName:
			latency.rows = append(latency.rows, []string{row.Way, row.AckP50.text("µs"), row.AckP99.text("µs"), row.AddedAckP50.text("µs"), row.AddedAckP99.text("µs"),
				row.AddedArrivalP50.text("µs"), row.AddedArrivalP99.text("µs"), row.ArrivalP50More.text("µs")})
		case idleName:
			idle.rows = append(idle.rows, []string{row.Way, row.KiBPerConnection.text(""), row.DescriptorsPerConnection.text(""), row.MiBFresh.text(""), row.MiBBefore.text("")})
		case startName:
			start.rows = append(start.rows, []string{row.Way, row.FirstAnswer.text("ms"), row.FirstLogin.text("ms"), row.SavedAnswer.text("ms"), row.SavedLogin.text("ms"), row.StartMiB.text("")})
		default:
			name := row.Workload
			if name == last {
				name = ""
			}
			last = row.Workload
			if row.LoginsPerSecond != nil {
				login.rows = append(login.rows, []string{strings.TrimPrefix(name, "logins/"), row.Way, row.LoginsPerSecond.text(""), row.OfDirect.text("%"), row.CPUPerLogin.text("")})
				continue
			}
			throughput.rows = append(throughput.rows, []string{name, row.Way, row.MBPerSecond.text(""), row.OfDirect.text("%"), row.OfReference.text("%"),
				row.CPUPerGiB.text(""), row.CPURatio.text(""), row.ClientPerGiB.text(""), fmt.Sprintf("%.0f", row.BatchKiB.Median), row.PeakMiB.text("")})
		}
	}
	if r.Reference == "" {
		throughput, latency = throughput.without(6).without(4), latency.without(7)
	}
	return slices.DeleteFunc([]table{throughput, latency, login, idle, start}, func(t table) bool { return len(t.rows) == 0 })
}

func (r *Report) summary() string {
	return fmt.Sprintf("rounds: %d, interleaved, %s for each measurement; each figure is the median of the rounds with the least and the greatest, "+
		"ratios are made within a round.", r.Rounds, r.Window)
}

// writeText writes the report for a terminal.
func (r *Report) writeText(w io.Writer) error {
	for _, line := range append(r.Facts.lines(), r.summary()) {
		fmt.Fprintln(w, line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n%s\n", strings.ToUpper(t.title))
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.header}, t.rows...) {
			fmt.Fprintln(columns, strings.Join(row, "\t"))
		}
		if err := columns.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w, t.note)
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(w, "\nNOT MEASURED\n%s\n", strings.Join(r.Errors, "\n"))
	}
	return nil
}

// writeMarkdown writes the report as a page of docs/.
func (r *Report) writeMarkdown(w io.Writer) error {
	fmt.Fprint(w, `# Benchmarks

Written by `+"`make bench`"+` (`+"`go -C test run ./bench -write ../docs/benchmarks.md`"+`). Everything is from one run, in which the ways take
turns. What carries over to other machines are the ratios and, roughly, CPU seconds per GiB; MB/s and microseconds hold for this run only.
Where client, broker and gateway share few cores, a ratio is as good as its spread says.

`)
	for _, line := range append(r.Facts.lines(), r.summary()) {
		fmt.Fprintf(w, "- %s\n", line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n", t.title, t.note)
		rule := slices.Repeat([]string{"---"}, len(t.header))
		for _, row := range append([][]string{t.header, rule}, t.rows...) {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		}
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(w, "\n## Not measured\n\n- %s\n", strings.Join(r.Errors, "\n- "))
	}
	return nil
}
