package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

func newInbox(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "inbox", Short: "Show what waits for you", Example: "  sluice inbox", Args: exactly(0, ""),
		Long: `Show what waits for you, what waits longest first: subscriptions and revisions to
approve or reject, messages to answer, versions that your applications use and that
are about to end, and notifications that did not arrive.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			in, err := c.Inbox(cmd.Context())
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, in)
			}
			if len(in.Items) == 0 {
				fmt.Fprintln(s.Err, "nothing waits for you")
				return nil
			}
			rows := [][]string{{"WHAT", "OF", "IN", "BY", "SINCE", "UNTIL", "ABOUT"}}
			for _, w := range in.Items {
				until := "-"
				if w.Until != nil {
					until = w.Until.UTC().Format(time.DateOnly)
				}
				about := w.About
				if w.Message != "" {
					about += ": " + oneLine(w.Message)
				}
				rows = append(rows, []string{w.What, w.Kind + " " + w.Name, dash(w.Environment), dash(w.By), w.Since.UTC().Format(time.DateOnly), until, about})
			}
			if in.More {
				fmt.Fprintln(s.Err, "there is more than this")
			}
			if err := table(s.Out, rows); err != nil {
				return err
			}
			told := map[string]bool{}
			for _, w := range in.Items {
				if next := nextStep(w); next != "" && !told[next] {
					if len(told) == 0 {
						fmt.Fprintln(s.Out)
					}
					told[next] = true
					fmt.Fprintf(s.Out, "%s: %s\n", w.What, next)
				}
			}
			return nil
		},
	}
	server.add(cmd, formatTable, formatJSON)
	return cmd
}

// nextStep is what to type about something that waits; "" where no command is all of it.
func nextStep(w schema.InboxItem) string {
	switch w.What {
	case "decide":
		return decideCommand("approve", w.Kind, w.Name, w.Environment, w.Plan, w.Revision) + ", or " + decideCommand("reject", w.Kind, w.Name, w.Environment, "", 0) + " --reason WHY"
	case "answer":
		return "sluice messages subscription " + w.Name + ", and --say TEXT"
	case "look":
		return "sluice notifications --failed"
	}
	return ""
}

// decideCommand is the command that approves or rejects what waits. A revision of a
// version waits in an environment.
func decideCommand(action, kind, name, environment, plan string, revision int) string {
	command := "sluice " + action + " " + strings.ToLower(kind) + " " + name
	if kind == string(resource.KindVersion) {
		command += " --environment " + environment
		if revision > 0 {
			command += fmt.Sprintf(" --revision %d", revision)
		}
	}
	if plan != "" {
		command += " --plan " + plan
	}
	return command
}

// oneLine is a text without line ends, cut off where it is long.
func oneLine(text string) string {
	words := []rune(strings.Join(strings.Fields(text), " "))
	const most = 80
	if len(words) > most {
		return string(words[:most]) + "…"
	}
	return string(words)
}

func newMessages(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Say
	cmd := &cobra.Command{
		Use: "messages subscription NAME", Short: "Show what was said and done about a subscription, or write to the other side",
		Example: "  sluice messages subscription acme-orders --say 'Which region are you in?'", Args: exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if err := onlyKind(args[0], resource.KindSubscription, "messages are about a subscription"); err != nil {
				return err
			}
			if body.Internal && body.Text == "" {
				return usagef("--internal is for a message: give it with --say")
			}
			var all *schema.Thread
			if body.Text != "" {
				all, err = c.Say(cmd.Context(), args[1], body)
			} else {
				all, err = c.Messages(cmd.Context(), args[1])
			}
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, all)
			}
			var rows [][]string
			for _, m := range all.Items {
				what := m.Action
				if m.Internal {
					what = "internal note"
				} else if what == "" {
					what = "message"
				}
				rows = append(rows, []string{m.Time.UTC().Format(time.RFC3339), m.By, what, oneLine(m.Text)})
			}
			return table(s.Out, rows)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&body.Text, "say", "", "write this")
	cmd.Flags().BoolVar(&body.Internal, "internal", false, "for your own side only")
	return cmd
}
