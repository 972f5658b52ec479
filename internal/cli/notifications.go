package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

func newNotifications(s Streams) *cobra.Command {
	var server serverFlags
	var team, organisation string
	var failed bool
	var limit int
	cmd := &cobra.Command{
		Use: "notifications", Short: "Show notifications that have not arrived, or test and sign them",
		Long: `Show notifications that have not arrived, the oldest first: those that wait for
another attempt, and those that were given up after a day. For platform-admins and
org-admins.

Where a team is told stands in its document, under spec.notify.`,
		Example: "  sluice notifications --failed\n  sluice notifications test shop\n  sluice notifications secret shop",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef("--limit %d: at least one", limit)
			}
			query := url.Values{"limit": {strconv.Itoa(min(limit, 1000))}}
			for name, value := range map[string]string{"team": team, "organisation": organisation} {
				if value != "" {
					query.Set(name, value)
				}
			}
			if failed {
				query.Set("failed", "true")
			}
			all, more, err := upTo(limit, func(f func(schema.Notification) bool) error { return c.Notifications(cmd.Context(), query, f) })
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, all)
			}
			if len(all) == 0 {
				fmt.Fprintln(s.Err, "nothing waits, and nothing was given up")
				return nil
			}
			rows := [][]string{{"TEAM", "CHANNEL", "TO", "WRITTEN", "ATTEMPTS", "NEXT", "WHAT", "PROBLEM"}}
			for _, n := range all {
				next := "given up"
				if n.Next != nil {
					next = n.Next.UTC().Format(time.RFC3339)
				}
				rows = append(rows, []string{n.Team, n.Channel, n.To, n.Time.UTC().Format(time.RFC3339), strconv.Itoa(n.Attempts), next, n.Title, dash(n.Problem)})
			}
			if more {
				fmt.Fprintln(s.Err, "there are more than these: raise --limit")
			}
			return table(s.Out, rows)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	f := cmd.Flags()
	f.StringVar(&team, "team", "", "to this team")
	f.StringVar(&organisation, "organisation", "", "to teams of this organisation")
	f.BoolVar(&failed, "failed", false, "those that were given up only")
	f.IntVar(&limit, "limit", 100, "how many at most")
	cmd.AddCommand(newNotificationsTest(s), newNotificationsSecret(s))
	return cmd
}

// aboutTeam is a command about a team's notifications.
func aboutTeam(s Streams, cmd *cobra.Command, run func(cmd *cobra.Command, c *client.Client, team string, o client.Options, asJSON bool) error) *cobra.Command {
	var server serverFlags
	var o client.Options
	cmd.Args = exactly(1, "the name of a team")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := server.client(formatTable, formatJSON)
		if err != nil {
			return err
		}
		return run(cmd, c, args[0], o, server.output == formatJSON)
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&o.Reason, "reason", "", "for the audit log")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say whether it could be, and do nothing")
	return cmd
}

func newNotificationsTest(s Streams) *cobra.Command {
	return aboutTeam(s, &cobra.Command{
		Use: "test TEAM", Short: "Send a notification to where a team is told, once and now",
		Long:    "Send a notification to where the document of a team says that it is told, once and\nnow, and say how that went. The exit code is 3 when one did not arrive.",
		Example: "  sluice notifications test shop",
	}, func(cmd *cobra.Command, c *client.Client, team string, o client.Options, asJSON bool) error {
		t, err := c.TestNotifications(cmd.Context(), team, o)
		if err != nil {
			return err
		}
		if asJSON {
			err = writeJSON(s.Out, t)
		} else if o.DryRun {
			_, err = fmt.Fprintf(s.Out, "Team %s could be sent a test (nothing was sent)\n", team)
		} else {
			rows := [][]string{{"CHANNEL", "TO", "RESULT"}}
			for _, r := range t.Items {
				result := "arrived"
				if r.Problem != "" {
					result = r.Problem
				}
				rows = append(rows, []string{r.Channel, r.To, result})
			}
			err = table(s.Out, rows)
		}
		if err != nil {
			return err
		}
		for _, r := range t.Items {
			if r.Problem != "" {
				return errFindings
			}
		}
		return nil
	})
}

func newNotificationsSecret(s Streams) *cobra.Command {
	return aboutTeam(s, &cobra.Command{
		Use: "secret TEAM", Short: "Make the secret that notifications to a team's webhook are signed with",
		Long: `Make the secret that notifications to a team's webhook are signed with, as Standard
Webhooks has it, and print it this once. For a day they are signed with the one
before as well.`,
		Example: "  sluice notifications secret shop",
	}, func(cmd *cobra.Command, c *client.Client, team string, o client.Options, asJSON bool) error {
		made, err := c.NewWebhookSecret(cmd.Context(), team, o)
		switch {
		case err != nil:
			return err
		case asJSON:
			return writeJSON(s.Out, made)
		case o.DryRun:
			_, err = fmt.Fprintf(s.Out, "Team %s could have a new secret (nothing was changed)\n", team)
			return err
		}
		fmt.Fprintf(s.Err, "shown this once; until %s notifications are signed with the one before as well, if there was one\n", made.PreviousUntil.UTC().Format(time.RFC3339))
		_, err = fmt.Fprintln(s.Out, made.Secret)
		return err
	})
}
