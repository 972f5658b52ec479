// Command sluice is API management for Apache Kafka that speaks Kafka's own
// protocol.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"sluice/internal/app"
	"sluice/internal/broker"
	"sluice/internal/cli"
)

// version is set when a release is built.
var version = ""

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, programs()))
}

// programs joins the commands to what they start.
func programs() cli.Programs {
	return cli.Programs{
		Serve:         serve,
		Control:       control,
		Gateway:       gateway,
		Join:          join,
		Check:         check,
		Doctor:        doctor,
		DoctorCluster: doctorCluster,
		Backup:        backup,
		Restore:       restore,
		Demo:          demo,
		Broker:        broker.Main,
		BrokerCommand: broker.Command,
		Version:       buildVersion(),
	}
}

func options(s cli.Setup) app.Options {
	return app.Options{Config: s.Config, Resources: s.Resources, Version: buildVersion(), Control: len(s.Resources) == 0 && len(s.Config.Resources) == 0}
}

func control(ctx context.Context, s cli.Setup) error {
	opts := options(s)
	var err error
	if opts.Log, err = app.NewLogger(s.Config.Log, s.Log); err != nil {
		return err
	}
	c, err := app.NewControlPlane(opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	onHangup(ctx, func() { _ = c.Reload(ctx) }) // the log has it
	return c.Run(ctx)
}

// onHangup calls f for every SIGHUP until the context ends.
func onHangup(ctx context.Context, f func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				f()
			}
		}
	}()
}

func join(ctx context.Context, s cli.Setup, control, token string) (name, environment string, err error) {
	return app.Join(ctx, options(s), control, token)
}

func gateway(ctx context.Context, s cli.Setup) error {
	opts := options(s)
	opts.Control, opts.Joined = false, true
	return runApp(ctx, s, opts)
}

func serve(ctx context.Context, s cli.Setup) error { return runApp(ctx, s, options(s)) }

// runApp runs a gateway, with a control plane or without, until the context ends.
func runApp(ctx context.Context, s cli.Setup, opts app.Options) error {
	var err error
	if opts.Log, err = app.NewLogger(s.Config.Log, s.Log); err != nil {
		return err
	}
	if s.Config.Log.Format != "json" { // which must stay JSON on every line
		opts.Report = func(r app.Reload) { cli.WriteProblems(s.Log, r.Problems) }
	}
	a, err := app.New(ctx, opts)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped while it waited for its control plane
	} else if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	onHangup(ctx, func() { _ = a.Reload(ctx) }) // the log has it
	return a.Run(ctx)
}

func check(s cli.Setup, withoutSecrets bool) []cli.Problem {
	return app.Check(options(s), withoutSecrets)
}

func doctor(ctx context.Context, s cli.Setup, report func(cli.Finding)) {
	app.Diagnose(ctx, options(s), func(f app.Finding) { report(cli.Finding(f)) })
}

func doctorCluster(ctx context.Context, s cli.Setup, d *cli.Cluster, topics []string, report func(cli.Finding)) {
	app.DiagnoseCluster(ctx, options(s), d, topics, func(f app.Finding) { report(cli.Finding(f)) })
}

func backup(ctx context.Context, s cli.Setup, file string) error {
	log, err := app.NewLogger(s.Config.Log, s.Log)
	if err != nil {
		return err
	}
	return app.Backup(ctx, s.Config, file, log)
}

func restore(ctx context.Context, s cli.Setup, file string, newSeed bool) (cli.Restored, error) {
	log, err := app.NewLogger(s.Config.Log, s.Log)
	if err != nil {
		return cli.Restored{}, err
	}
	done, err := app.Restore(ctx, s.Config, file, newSeed, time.Now, log)
	return cli.Restored(done), err
}

func demo(ctx context.Context, s cli.DemoSetup) (cli.Demo, error) {
	opts := app.DemoOptions{DataDir: s.DataDir, Options: app.Options{Config: app.DemoConfig(), Version: buildVersion()}}
	if err := s.Addresses(&opts.Config); err != nil {
		return cli.Demo{}, err
	}
	opts.Config.Log.Level = s.LogLevel
	var err error
	if opts.Log, err = app.NewLogger(opts.Config.Log, s.Log); err != nil {
		return cli.Demo{}, err
	}
	opts.Report = func(r app.Reload) {
		if len(r.Problems) > 0 {
			cli.WriteProblems(s.Log, r.Problems)
		} else if s.Changed != nil {
			s.Changed(r.Summary, r.Changes)
		}
	}
	d, err := app.StartDemo(ctx, opts)
	if err != nil {
		return cli.Demo{}, err
	}
	out := cli.Demo{
		Bootstrap: d.App().Bootstrap(), Mechanism: d.Mechanism(), Topic: d.Topic(), Group: d.Group(), DataDir: d.DataDir(), Run: d.Run,
	}
	out.Resources, out.Edited = d.Resources()
	for _, u := range d.Users() {
		out.Users = append(out.Users, cli.DemoUser(u))
	}
	return out, nil
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
