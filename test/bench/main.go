// Command bench compares ways to a real Apache Kafka in one interleaved run: directly, through a forwarder that copies
// bytes, through the floor, which only looks at frames, and through the gateway as it is sold (a process of its own,
// SASL, renamed topics), the last two with TLS at the front as well. It measures throughput, CPU time and peak memory of
// the process in the middle, added latency at a low fixed rate, logins per second, memory and descriptors of idle
// connections, and how soon a gateway answers after its start, and prints medians with their spread. Clients and
// forwarders are child processes of the same binary, so that CPU times can be told apart. Its main type is Report. It
// reports; a figure never makes it fail.
//
//	go -C test run ./bench                                   the default set, about a quarter of an hour
//	go -C test run ./bench -quick                            does it run at all
//	go -C test run ./bench -workloads consume,latency        parts of names; "all" is every combination
//	go -C test run ./bench -ways direct,floor,gateway        half of the time
//	go -C test run ./bench -workloads idle -ways floor,gateway,gateway-tls -connections 5000
//	go -C test run ./bench -write ../docs/benchmarks.md
//	go -C test run ./bench -scale -write ../docs/scale.md    beside many connections, topics and applications
//	go -C test run ./bench -apart -write ../docs/control-apart.md    a control plane and gateways as processes of their own
//	go -C test run ./bench -control -write ../docs/control-load.md   the control plane with much in it
//
// It knows the gateway by its binary and its documents only, and must not be imported.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/internal/kafkatest"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(childMain(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command runs a command line: progress goes to log, the report to out.
func command(ctx context.Context, args []string, out, log io.Writer) error {
	o := Options{Log: log}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	quick := flags.Bool("quick", false, "two short rounds of a few workloads: shows that it runs, its figures mean nothing")
	flags.IntVar(&o.Rounds, "rounds", 5, "rounds; each measures everything once, idle connections and starts every second one")
	flags.DurationVar(&o.Warmup, "warmup", 300*time.Millisecond, "of each measurement, not counted")
	flags.DurationVar(&o.Window, "window", time.Second, "of each measurement of throughput")
	flags.DurationVar(&o.LatencyWindow, "latency-window", 3*time.Second, "of each measurement of latency")
	flags.IntVar(&o.Rate, "rate", 500, "records per second while latency is measured")
	flags.IntVar(&o.Connections, "connections", 1000, "idle connections")
	source := flags.Int64("source", 512, "MiB in each topic that is consumed")
	workloads := flags.String("workloads", "", "names or parts of names, with commas: produce, consume/1KiB, p6, latency, logins, idle, start, all …; what each is called is in the report")
	ways := flags.String("ways", strings.Join(allWays, ","), "what is compared: "+strings.Join(allWays, ", "))
	flags.StringVar(&o.Gateway, "gateway", "", "a built sluice binary (default: it is built from the sources beside)")
	flags.StringVar(&o.KafkaVersion, "kafka", kafkatest.DefaultVersion, "release of Apache Kafka: "+strings.Join(kafkatest.Versions(), ", "))
	scale := flags.Bool("scale", false, "instead: CPU and latency of the gateway beside many connections, topics and applications")
	control := flags.Bool("control", false, "instead: lists, changes and starts of a control plane with many applications")
	apart := flags.Bool("apart", false, "instead: revocations, changes and returns of a control plane with gateways that are processes of their own")
	flags.IntVar(&o.Revocations, "revocations", 1000, "credentials that are revoked with -apart")
	flags.IntVar(&o.Applications, "applications", 10_000, "applications of the larger control plane; each has ten subscriptions")
	asJSON := flags.Bool("json", false, "print JSON, every sample included, instead of tables")
	write := flags.String("write", "", "write the report as Markdown into this `file` too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: see -help", flags.Arg(0))
	}
	if runtime.GOOS != "linux" {
		return errors.New("only Linux tells the CPU time and memory of another process in a way that is used here")
	}
	defaults := defaultWorkloads()
	if *quick {
		defaults = quickWorkloads()
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{
			"rounds": "2", "warmup": "100ms", "window": "300ms", "latency-window": "1s", "connections": "64", "source": "64",
		} {
			if !given[name] {
				_ = flags.Set(name, value)
			}
		}
	}
	var err error
	if o.Workloads, err = choose(*workloads, defaults); err != nil {
		return err
	}
	given := strings.Split(*ways, ",")
	for _, way := range given {
		if !slices.Contains(allWays, way) {
			return fmt.Errorf("-ways: nothing is called %q; there are %s", way, strings.Join(allWays, ", "))
		}
	}
	for _, way := range allWays {
		if way == direct || slices.Contains(given, way) { // all others are compared with direct
			o.Ways = append(o.Ways, way)
		}
	}
	o.SourceBytes = *source << 20
	for name, ok := range map[string]bool{
		"-rounds": o.Rounds > 0, "-window": o.Window > 0, "-warmup": o.Warmup >= 0, "-latency-window": o.LatencyWindow > 0,
		"-rate": o.Rate > 0, "-connections": o.Connections > 0, "-applications": o.Applications >= 100, "-revocations": o.Revocations > 0, "-source": *source > 0,
	} {
		if !ok {
			return fmt.Errorf("%s must be more than zero", name)
		}
	}
	if o.Connections <= idleWarmup {
		return fmt.Errorf("-connections must be more than %d, with which memory is read first", idleWarmup)
	}

	if *scale || *control || *apart {
		var page []byte
		var missing int
		if *apart {
			r, err := runApart(ctx, o)
			if err != nil {
				return err
			}
			page = r.markdown()
		} else if *control {
			r, err := runControl(ctx, o)
			if err != nil {
				return err
			}
			page = r.markdown()
		} else {
			r, err := runScale(ctx, o)
			if err != nil {
				return err
			}
			page, missing = r.markdown(), len(r.errors)
		}
		if _, err := out.Write(page); err != nil {
			return err
		}
		if *write != "" {
			if err := os.WriteFile(*write, page, 0o644); err != nil {
				return err
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d measurements could not be made, see the end of the report", missing)
		}
		return nil
	}

	report, err := Run(ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.writeText(out)
	}
	if err != nil {
		return err
	}
	if *write != "" {
		var page bytes.Buffer
		if err := report.writeMarkdown(&page); err != nil {
			return err
		}
		if err := os.WriteFile(*write, page.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if n := len(report.Errors); n > 0 {
		return fmt.Errorf("%d measurements could not be made, see the end of the report", n)
	}
	return nil
}
