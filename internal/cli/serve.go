package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"sluice/internal/config"
)

// setupFlags are the flags of commands about a gateway.
type setupFlags struct {
	config, dataDir, listen, operations, brokerPorts, management string
	feed, control                                                string
	environment, logLevel, logFormat                             string
	resources                                                    []string
}

const defaultConfig = "sluice.yaml"

func (f *setupFlags) add(cmd *cobra.Command) {
	f.common(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.resources, "resources", "f", nil, "file or directory of resource documents; may be repeated")
	flags.StringVar(&f.environment, "environment", "", "environment to serve")
	addressFlags(cmd, &f.listen, &f.brokerPorts, &f.operations)
	f.managed(cmd)
}

// common are the flags of every command that runs or prepares something.
func (f *setupFlags) common(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration file (default sluice.yaml, if there is one)")
	flags.StringVar(&f.dataDir, "data-dir", "", "directory for what lets it restart")
	flags.StringVar(&f.logLevel, "log-level", "", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "", "text or json")
}

func (f *setupFlags) managed(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.management, "management", "", "host:port of the management API (default 127.0.0.1:18080)")
}

// addressFlags are those that messages about a taken port name.
func addressFlags(cmd *cobra.Command, listen, brokerPorts, operations *string) {
	cmd.Flags().StringVar(listen, "listen", "", "host:port of the first Kafka listener (default 127.0.0.1:19092)")
	cmd.Flags().StringVar(brokerPorts, "broker-ports", "", "its ports for brokers (default the 100 after --listen)")
	operationsFlag(cmd, operations)
}

func operationsFlag(cmd *cobra.Command, operations *string) {
	cmd.Flags().StringVar(operations, "operations", "", "host:port of /livez, /readyz and /metrics (default 127.0.0.1:19644)")
}

// load reads the configuration and puts the flags over it. Problems that are
// warnings are written to the error stream.
func (f *setupFlags) load(s Streams) (Setup, error) {
	c, err := f.read(s)
	if err != nil {
		return Setup{}, err
	}
	set := func(to *string, flag string) {
		if flag != "" {
			*to = flag
		}
	}
	set(&c.Environment, f.environment)
	set(&c.DataDir, f.dataDir)
	set(&c.Management.Address, f.management)
	set(&c.Feed.Address, f.feed)
	set(&c.Feed.Control, f.control)
	set(&c.Log.Level, f.logLevel)
	set(&c.Log.Format, f.logFormat)
	if err := applyAddresses(&c, f.listen, f.brokerPorts, f.operations); err != nil {
		return Setup{}, err
	}
	return Setup{Config: c, Resources: f.resources, Log: s.Err}, nil
}

func (f *setupFlags) read(s Streams) (config.Config, error) {
	name := f.config
	if name == "" {
		name = defaultConfig
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return config.Default(), nil
		}
	}
	c, problems := config.Load(name)
	for _, p := range problems {
		fmt.Fprintln(s.Err, p)
	}
	if config.Bad(problems) {
		return c, fmt.Errorf("the configuration cannot be used")
	}
	return c, nil
}

// applyAddresses puts the address flags over a configuration. Broker ports
// follow the listener unless they are given.
func applyAddresses(c *config.Config, listen, brokerPorts, operations string) error {
	l := &c.Listeners[0]
	if listen != "" {
		_, text, err := net.SplitHostPort(listen)
		port, perr := strconv.ParseUint(text, 10, 16)
		if err != nil || perr != nil {
			return usagef("--listen %q is not host:port: write it as 127.0.0.1:19092", listen)
		}
		l.Address = listen
		if l.SNI == nil && l.BrokerPorts == config.Default().Listeners[0].BrokerPorts {
			l.BrokerPorts = config.PortRange{}
			if port > 0 {
				l.BrokerPorts = config.PortRange{First: min(int(port)+1, 65535), Last: min(int(port)+100, 65535)}
			}
		}
	}
	if brokerPorts != "" {
		if err := l.BrokerPorts.UnmarshalText([]byte(brokerPorts)); err != nil {
			return usagef("--broker-ports %q %w", brokerPorts, err)
		}
	}
	if operations != "" {
		c.Operations.Address = operations
	}
	return nil
}

func newServe(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway in front of your own Kafka",
		Long: `Run the gateway in front of your own Kafka.

Without resource documents, control plane and gateway are one process: documents
are in its store, and come there by the management API (sluice apply). The first
start prints a token for the first platform-admin.

With -f, documents are files. They say which topics are offered as API products, and which
applications are subscribed to them. Changed files are put in force within a
second, and on SIGHUP; a set with a problem is refused and the old one stays.
Changed certificates are used without a restart; sluice.yaml itself is not.
SIGTERM and SIGINT let requests in flight end; a second one does not wait.`,
		Example: "  sluice serve --config sluice.yaml -f resources/",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := f.load(s)
			if err != nil {
				return err
			}
			return p.Serve(cmd.Context(), setup)
		},
	}
	f.add(cmd)
	return cmd
}

func newConfig(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	var withoutSecrets bool
	check := &cobra.Command{
		Use:   "check",
		Short: "Check configuration and resource documents without starting",
		Long: `Check configuration and resource documents as a whole, without starting, and
print every problem with its place and what to do. The exit code is 3 when
there is one that would keep the gateway from starting.`,
		Example: `  sluice config check --config sluice.yaml -f resources/
  sluice config check -f resources/ --without-secrets     where the secrets are not`,
		Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error { return runCheck(s, p, &f, withoutSecrets) },
	}
	f.add(check)
	check.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "only warn of secrets that cannot be read")
	return group("config", "Look at the configuration", check)
}

func runCheck(s Streams, p Programs, f *setupFlags, withoutSecrets bool) error {
	quiet := s
	quiet.Err = s.Out // problems are what this command prints
	setup, err := f.load(quiet)
	bad, warnings := 0, 0
	count := func(warning bool, line fmt.Stringer) {
		if warning {
			warnings++
		} else {
			bad++
		}
		fmt.Fprintln(s.Out, line)
	}
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return err
	case err != nil:
		bad++
		fmt.Fprintln(s.Out, "more may follow once these are repaired")
	default:
		for _, problem := range setup.Config.Validate() {
			if !problem.Warning { // flags may have brought it; warnings are told
				count(false, problem)
			}
		}
		for _, problem := range setup.Config.CheckFiles() {
			count(withoutSecrets, warningIf(problem, withoutSecrets))
		}
		for _, problem := range p.Check(setup, withoutSecrets) {
			count(problem.Warning, problem)
		}
	}
	if bad > 0 {
		fmt.Fprintln(s.Out, "not good: this would not start")
		return errFindings
	}
	if warnings > 0 {
		fmt.Fprintf(s.Out, "good, with %s\n", counted(warnings, "warning"))
		return nil
	}
	_, err = fmt.Fprintln(s.Out, "good")
	return err
}

func warningIf(p config.Problem, warning bool) config.Problem {
	p.Warning = p.Warning || warning
	return p
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func writeFinding(w io.Writer, style style, f Finding) {
	mark := style.green("ok")
	switch {
	case !f.OK:
		mark = style.red("!!")
	case f.Fix != "":
		mark = style.yellow("- ")
	}
	fmt.Fprintf(w, "  %s  %s\n", mark, f.Message)
	if f.Fix != "" {
		fmt.Fprintf(w, "      %s\n", style.dim("→ "+f.Fix))
	}
}
