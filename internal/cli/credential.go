package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// newRotate makes the command that replaces a secret.
func newRotate(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Rotate
	var overlap time.Duration
	var o client.Options
	cmd := &cobra.Command{
		Use: "rotate credential NAME", Short: "Give a credential a new secret, which is printed once",
		Long: `Give a credential a new secret, which is printed once.

The secret before stays good for the overlap. At its end the connections that
logged in with it are closed, and no others. With --overlap 0 that is at once.`,
		Example: "  sluice rotate credential acme-erp-1 --overlap 48h\n  sluice revoke credential acme-erp-1 --previous",
		Args:    exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if err := onlyKind(args[0], resource.KindCredential, "only a credential is rotated"); err != nil {
				return err
			}
			body.Overlap = overlap.String()
			r, err := c.Rotate(cmd.Context(), args[1], body, o)
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, r)
			}
			if r.DryRun {
				_, err = fmt.Fprintf(s.Out, "Credential %s would get secret %d; the one before would be good until %s (nothing was changed)\n", r.Name, r.Number, r.PreviousUntil.UTC().Format(time.RFC3339))
				return err
			}
			before := "the one before has ended"
			if overlap > 0 {
				before = "the one before is good until " + r.PreviousUntil.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(s.Out, "Credential %s has secret %d; %s\n", r.Name, r.Number, before)
			tellClient(s, r.Name, r.Secret, r.Client)
			return nil
		},
	}
	server.add(cmd, formatTable, formatJSON)
	flags := cmd.Flags()
	flags.DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before stays good")
	flags.StringVar(&body.Reason, "reason", "", "for the audit log")
	flags.BoolVar(&o.DryRun, "dry-run", false, "say what would happen, and change nothing")
	return cmd
}

// tellClient writes a new secret, this once, and how a Kafka client logs in with it.
func tellClient(s Streams, name, secret string, c *schema.Client) {
	if secret != "" {
		fmt.Fprintf(s.Out, "\nThe secret of %s, which is shown this once:\n  %s\n", name, secret)
	}
	if c == nil {
		return
	}
	by := "by " + cmp.Or(c.Mechanism, "its certificate")
	if c.Username != "" {
		by = "as " + c.Username + " " + by
	}
	at := ""
	if c.Bootstrap != "" {
		at = " at " + c.Bootstrap
	}
	fmt.Fprintf(s.Out, "\nA Kafka client logs in %s%s (%s)", by, at, c.Protocol)
	if c.Properties == "" {
		fmt.Fprintf(s.Out, "; what it may do then: sluice explain credential %s\n", name)
		return
	}
	fmt.Fprintf(s.Out, ", with these properties in a file of its own:\n\n%s\nWhat it may do then: sluice explain credential %s\n", c.Properties, name)
}

// listSecrets writes what is known of a credential's secrets below it.
func listSecrets(out io.Writer, d schema.Document) error {
	if d.Status == nil || len(d.Status.Secrets) == 0 {
		return nil
	}
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	rows := [][]string{{"SECRET", "STATE", "CREATED", "ENDS", "LAST LOGIN", "FROM", "CLIENT", "GATEWAY"}}
	for _, s := range d.Status.Secrets {
		row := []string{fmt.Sprint(s.Number), s.State, at(s.Created), at(s.Ends), "-", "-", "-", "-"}
		if u := s.Used; u != nil {
			row[4], row[5], row[6], row[7] = at(&u.Time), dash(u.Address), dash(u.Software), dash(u.Gateway)
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(out)
	return table(out, rows)
}
