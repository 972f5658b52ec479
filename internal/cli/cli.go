// Package cli is the commands of the sluice binary: what they are called, what
// they take, and what people read. Its main function is Main. Commands that
// start something are given it as Programs; the Kafka client of tail and
// produce is here, since it is a face and no part of what is served. It knows
// nothing of how a gateway is built.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/config"
	"sluice/internal/resource"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Setup is what commands about a gateway are told.
type Setup struct {
	Config config.Config
	// Resources are files and directories of resource documents; none means
	// those of the configuration.
	Resources []string
	// Log is where logs are written.
	Log io.Writer
}

// Problem is one thing that is wrong with resource documents.
type Problem = resource.Problem

// Cluster is a document that says where a target cluster is.
type Cluster = resource.Cluster

// Config is the settings of a gateway.
type Config = config.Config

// Restored says what Restore did.
type Restored struct {
	// Generation is that of the numbers of grants from now on.
	Generation uint64
	// Kept is where a damaged database was moved; "" when there was none.
	Kept string
}

// Finding is one thing that doctor looked at.
type Finding struct {
	// Area is what it belongs to, as "target cluster main".
	Area string
	// OK says that nothing is wrong; with a Fix it is advice.
	OK           bool
	Message, Fix string
}

// Programs are what commands start.
type Programs struct {
	// Serve runs a gateway until the context ends.
	Serve func(context.Context, Setup) error
	// Control runs a control plane without a gateway until the context ends.
	Control func(context.Context, Setup) error
	// Gateway runs a gateway of a control plane elsewhere until the context ends.
	Gateway func(context.Context, Setup) error
	// Join makes this machine a gateway of the control plane at host:port, and returns
	// which one.
	Join func(ctx context.Context, s Setup, control, token string) (name, environment string, err error)
	// Check returns what is wrong with resource documents.
	Check func(s Setup, withoutSecrets bool) []Problem
	// Doctor looks at everything and reports as it goes.
	Doctor func(context.Context, Setup, func(Finding))
	// DoctorCluster looks at the target cluster of a document, and at topics there.
	DoctorCluster func(ctx context.Context, s Setup, d *Cluster, topics []string, report func(Finding))
	// Backup writes a copy of the control plane's store to a file that is not there yet.
	Backup func(ctx context.Context, s Setup, file string) error
	// Restore puts a backup in the place of the store; newSeed does without the seed of
	// the installation that it is of.
	Restore func(ctx context.Context, s Setup, file string, newSeed bool) (Restored, error)
	// Demo starts the demo.
	Demo func(context.Context, DemoSetup) (Demo, error)
	// Broker is the embedded broker's process.
	Broker func(ctx context.Context, in io.Reader, out io.Writer, args []string) error
	// BrokerCommand is the hidden command that runs Broker.
	BrokerCommand string
	// Version of this build.
	Version string
}

// usageError is a mistake in how a command was typed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

var (
	// errTold is an error of which everything has been written already.
	errTold = errors.New("told")
	// errFindings says that a command found what it looked for: differences, problems of
	// a contract, manipulations. They have been written.
	errFindings = errors.New("findings")
)

// What Main returns, whichever the command.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitFindings = 3
)

// Main runs a command line and returns the exit code: 0, 1 when something went
// wrong, 2 when the command line is wrong, 3 when diff, compare, lint, breaking, doctor,
// config check or audit verify find something. The first SIGINT or SIGTERM asks the
// command to end, the second one ends the process.
func Main(ctx context.Context, args []string, s Streams, p Programs) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot(s, p)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errTold):
		return exitError
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.As(err, &usage):
		fmt.Fprintf(s.Err, "sluice: %s\nsee: %s --help\n", readableText(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(s.Err, "sluice: %s\n", readableText(err.Error()))
	return exitError
}

func newRoot(s Streams, p Programs) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "API management for Apache Kafka that speaks Kafka's own protocol",
		Example: `  sluice demo                                      a first look, on this machine
  sluice serve --config sluice.yaml -f resources/  a gateway in front of your own Kafka, with documents in files
  sluice serve                                     the same with a control plane, and the commands that ask it
  sluice tail orders.placed --properties client.properties`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = ": did you mean " + near[0] + "?"
			}
			return usagef("there is no command %q%s", args[0], hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{flagError(err)} })
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Run a gateway or a control plane", []*cobra.Command{newDemo(s, p), newServe(s, p), newControl(s, p), newGateway(s, p), newConfig(s, p), newDoctor(s, p), newBackup(s, p), newRestore(s, p)}},
		{"Records", []*cobra.Command{newTail(s), newProduce(s)}},
		{"Contracts in files, without a control plane", []*cobra.Command{newLint(s), newBreaking(s)}},
		{"What there is", []*cobra.Command{newCatalog(s), newSearch(s)}},
		{"Documents", []*cobra.Command{newApply(s), newDiff(s), newGet(s), newExport(s), newImport(s), newDelete(s)}},
		{"Versions and their revisions", append(newMoves(s, aboutVersions), newPromote(s), newRollback(s), newRevisions(s), newCompare(s), newContract(s))},
		{"Subscriptions and credentials", append(newMoves(s, aboutSubscriptions), newRotate(s), newInbox(s), newMessages(s), newNotifications(s))},
		{"Why is it so, and who did what", []*cobra.Command{newExplain(s), newLogs(s), newWhoIs(s), newAudit(s)}},
		{"People, logins and tokens", []*cobra.Command{newLogin(s), newLogout(s), newWhoAmI(s), newPassword(s), newSecondFactor(s), newLogins(s), newToken(s), newTokens(s), newInvite(s), newPeople(s)}},
		{"More", []*cobra.Command{newVersion(s, p)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, c := range g.commands {
			c.GroupID = g.title
		}
		root.AddCommand(g.commands...)
		root.SetHelpCommandGroupID(g.title) // the last of them
		root.SetCompletionCommandGroupID(g.title)
	}
	root.AddCommand(newBroker(s, p)) // hidden
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

// flagError says in our words what is wrong with the value of a flag.
func flagError(err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return err
	}
	name := value.GetFlag().Name
	switch value.GetFlag().Value.Type() {
	case "duration":
		return fmt.Errorf("--%s %q is no length of time: write a number and a unit, as 48h or 30m", name, value.GetValue())
	case "int", "int64":
		return fmt.Errorf("--%s %q is no number", name, value.GetValue())
	case "bool":
		return fmt.Errorf("--%s %q is neither true nor false", name, value.GetValue())
	}
	return err
}

func newVersion(s Streams, p Programs) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, "sluice", p.Version)
			return err
		},
	}
}

func newBroker(s Streams, p Programs) *cobra.Command {
	return &cobra.Command{
		Use: p.BrokerCommand, Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.Broker(cmd.Context(), s.In, s.Out, args) != nil {
				return errTold
			}
			return nil
		},
	}
}

// exactly wants n arguments; what names them.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < n:
			return usagef("%s is missing, as in: %s", what, strings.TrimSpace(strings.SplitN(cmd.Example, "\n", 2)[0]))
		case len(args) > n:
			return usagef("unexpected argument %q", args[n])
		}
		return nil
	}
}
