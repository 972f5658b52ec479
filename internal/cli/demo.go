package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DemoSetup is what the demo is told.
type DemoSetup struct {
	DataDir                         string
	Listen, BrokerPorts, Operations string // "" means the default
	LogLevel                        string
	// Log is where logs are written.
	Log io.Writer
	// Changed, which may be nil, is told what changed resources mean: in a line
	// as a whole, and one line for each topic gained or lost.
	Changed func(summary string, changes []string)
	// Addresses puts the three addresses over a configuration.
	Addresses func(*Config) error
}

// Demo is a demo that has been started.
type Demo struct {
	Bootstrap, Mechanism, Topic, Group, DataDir string
	// Resources is the file of resource documents that is there to be edited;
	// Edited says that somebody did before this start.
	Resources string
	Edited    bool
	// Users are the applications, the one that may do more first.
	Users []DemoUser
	// Run serves until the context ends. started is called once clients can connect.
	Run func(ctx context.Context, started func(context.Context) error) error
}

// DemoUser is one application of the demo.
type DemoUser struct {
	Application, Username, Password string
	Reads, Writes                   []string
	Properties, Librdkafka          string
}

func newDemo(s Streams, p Programs) *cobra.Command {
	setup := DemoSetup{Log: s.Err}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything for a first look on this machine",
		Long: `Start everything for a first look on this machine: a small embedded broker,
live events, a published API product with two subscribed applications, and the
gateway. Then print commands to paste. Records, offsets and credentials are kept
in the data directory for the next start. Ctrl-C stops it.`,
		Example: `  sluice demo
  sluice demo --json --data-dir /tmp/demo     one line of JSON when ready, for scripts`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if setup.DataDir == "" {
				dir, err := defaultDemoDir()
				if err != nil {
					return err
				}
				setup.DataDir = dir
			}
			setup.Addresses = func(c *Config) error {
				return applyAddresses(c, setup.Listen, setup.BrokerPorts, setup.Operations)
			}
			if !asJSON {
				setup.Changed = func(summary string, changes []string) { writeChanges(s.Out, summary, changes) }
			}
			demo, err := p.Demo(cmd.Context(), setup)
			if err != nil {
				if cmd.Context().Err() != nil {
					return nil // Ctrl-C while it starts
				}
				return err
			}
			return demo.Run(cmd.Context(), func(ctx context.Context) error {
				if asJSON {
					if demo.Edited {
						fmt.Fprintln(s.Err, demo.editedNote())
					}
					return writeDemoJSON(s.Out, demo)
				}
				return demo.greet(ctx, s.Out)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON when ready, and nothing else")
	cmd.Flags().StringVar(&setup.DataDir, "data-dir", "", "directory for what is kept between starts (default ~/.local/share/sluice/demo)")
	addressFlags(cmd, &setup.Listen, &setup.BrokerPorts, &setup.Operations)
	cmd.Flags().StringVar(&setup.LogLevel, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

// defaultDemoDir follows the XDG base directory specification.
func defaultDemoDir() (string, error) {
	base := environment("XDG_DATA_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home directory for the demo's data: name one with --data-dir")
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "sluice", "demo"), nil
}

func writeDemoJSON(w io.Writer, d Demo) error {
	line, err := json.Marshal(struct {
		Bootstrap string `json:"bootstrap"`
		TLS       bool   `json:"tls"`
		Mechanism string `json:"mechanism"`
		Username  string `json:"username"`
		Password  string `json:"password"`
		Topic     string `json:"topic"`
		Group     string `json:"group"`
	}{d.Bootstrap, false, d.Mechanism, d.Users[0].Username, d.Users[0].Password, d.Topic, d.Group})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// greet prints what to type next, and the first records.
func (d Demo) greet(ctx context.Context, w io.Writer) error {
	style := styleOf(w)
	full, narrow := d.Users[0], d.Users[1]
	self := ownCommand()
	fmt.Fprintf(w, "%s\n\n", style.bold("Sluice demo"))
	fmt.Fprintf(w, "  Kafka clients connect to   %s   (SASL_PLAINTEXT, %s)\n", style.bold(d.Bootstrap), d.Mechanism)
	for _, u := range d.Users {
		rights := "reads " + strings.Join(u.Reads, ", ")
		if len(u.Writes) > 0 {
			rights += "; writes " + strings.Join(u.Writes, ", ")
		}
		fmt.Fprintf(w, "  application %-14s %s\n", u.Application, rights)
	}
	fmt.Fprintf(w, "  kept in                    %s\n", d.DataDir)
	fmt.Fprintf(w, "  edit to see it change      %s\n\n", d.Resources)
	if d.Edited {
		fmt.Fprintf(w, "  %s\n\n", style.yellow(d.editedNote()))
	}
	fmt.Fprintf(w, "%s\n\n", style.yellow("  The broker behind it is embedded and meant for a look, not for data anyone needs."))

	command := func(title string, lines ...string) {
		fmt.Fprintf(w, "%s\n", style.dim("# "+title))
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintln(w)
	}
	command("read as "+full.Application+", with what you have at hand (Ctrl-C ends it)",
		fmt.Sprintf("%s tail %s --properties %s", self, d.Topic, quote(full.Properties)))
	command("kcat",
		fmt.Sprintf(`kcat -F %s -C -t %s -o -5 -q -f '%%k  %%s\n'`, quote(full.Librdkafka), d.Topic))
	command("Kafka's console consumer",
		fmt.Sprintf("kafka-console-consumer.sh --bootstrap-server %s --topic %s --consumer.config %s --from-beginning", d.Bootstrap, d.Topic, quote(full.Properties)))
	command("Python (pip install confluent-kafka)",
		"python3 - <<'END'",
		"from confluent_kafka import Consumer",
		fmt.Sprintf("conf = dict(l.strip().split('=', 1) for l in open(%s) if l[0] != '#')", pythonString(full.Librdkafka)),
		fmt.Sprintf("c = Consumer(conf | {'group.id': %s, 'auto.offset.reset': 'earliest'})", pythonString(d.Group+"-python")),
		fmt.Sprintf("c.subscribe([%s, %s])", pythonString(full.Reads[0]), pythonString(full.Reads[1])),
		"while True:",
		"    m = c.poll(1)",
		"    if m: print(m.error() or f'{m.topic()}  {m.key().decode()}  {m.value().decode()}', flush=True)",
		"END")
	command("write",
		fmt.Sprintf(`printf 'ord-1\t{"stars": 5}\n' | %s produce %s --properties %s`, self, full.Writes[0], quote(full.Properties)))
	title := narrow.Application + " may not read " + d.Topic + ", and cannot even tell that it exists"
	if d.Edited {
		title = "as " + narrow.Application + ": what it may read, your edited file says"
	}
	command(title,
		fmt.Sprintf("%s tail %s --properties %s", self, d.Topic, quote(narrow.Properties)),
		fmt.Sprintf("%s tail %s --properties %s", self, narrow.Reads[0], quote(narrow.Properties)))

	fmt.Fprintf(w, "%s\n", style.bold("First records of "+d.Topic+", read through the gateway as "+full.Application))
	if err := d.firstRecords(ctx, w, style); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", style.dim("Live events go on until you press Ctrl-C."))
	return nil
}

// writeChanges writes what became of edited resources.
func writeChanges(w io.Writer, summary string, changes []string) {
	style := styleOf(w)
	text := style.bold(summary) + "\n"
	for _, line := range changes {
		text += "  " + line + "\n"
	}
	io.WriteString(w, text)
}

// WriteProblems writes problems as config check does, one per line.
func WriteProblems(w io.Writer, problems []string) {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
}

// editedNote says that what is printed may not be what is in force.
func (d Demo) editedNote() string {
	return "The edited " + d.Resources + " is in force; what is said here is of the original. Remove the file to begin anew."
}

// firstRecords shows that it works.
func (d Demo) firstRecords(ctx context.Context, w io.Writer, style style) error {
	u := d.Users[0]
	client, err := (&connection{bootstrap: d.Bootstrap, mechanism: d.Mechanism, username: u.Username, password: u.Password}).client(
		kgo.ConsumeTopics(d.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	const show = 5
	limit := 20 * time.Second
	if d.Edited {
		limit = 5 * time.Second
	}
	patience, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	printer := printer{w: w, style: style, format: formatText, short: true}
	for shown := 0; shown < show; {
		fetches := client.PollRecords(patience, show-shown)
		if err := fetchError(fetches); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if d.Edited { // it may well say so
				_, err = fmt.Fprintf(w, "none: %v\n", refusal(err, d.Topic, "read"))
				return err
			}
			if errors.Is(err, context.DeadlineExceeded) {
				return errors.New("the gateway shows no records: please report this, with what --log-level debug prints")
			}
			return err
		}
		for _, r := range fetches.Records() {
			if err := printer.print(r); err != nil {
				return err
			}
			shown++
		}
	}
	return nil
}

// ownCommand is how this program is called again from anywhere.
func ownCommand() string {
	self, err := os.Executable()
	if err != nil {
		return "sluice"
	}
	if found, err := exec.LookPath("sluice"); err == nil && sameFile(found, self) {
		return "sluice"
	}
	return quote(self)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// quote makes one word of a shell's command line.
func quote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:,@%", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func pythonString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
