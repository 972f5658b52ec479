package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// What a move is listed with.
type moveOf int

const (
	aboutVersions moveOf = iota
	aboutSubscriptions
)

// moveCommands are the moves of life cycles that have commands.
var moveCommands = []struct {
	of                     moveOf
	action, short, example string
}{
	{aboutSubscriptions, "approve", "Approve a subscription that waits, or a revision of a version where four eyes are wanted", "subscription acme-orders"},
	{aboutSubscriptions, "reject", "Reject a subscription, or a revision of a version, that waits", "subscription acme-orders --reason 'no contract yet'"},
	{aboutSubscriptions, "cancel", "Take back a request for a subscription", "subscription acme-orders"},
	{aboutSubscriptions, "suspend", "Suspend a subscription: its topics fall silent", "subscription acme-orders --reason 'unpaid'"},
	{aboutSubscriptions, "resume", "Let a suspended subscription go on", "subscription acme-orders"},
	{aboutSubscriptions, "close", "End a subscription", "subscription acme-orders"},
	{aboutVersions, "preview", "Offer a draft version for trial", "version orders.v2"},
	{aboutVersions, "publish", "Publish a version", "version orders.v2"},
	{aboutVersions, "withdraw", "Take a preview back", "version orders.v2"},
	{aboutVersions, "deprecate", "Announce the end of a version", "version orders.v1 --sunset 2027-06-30T00:00:00Z --successor orders.v2"},
	{aboutVersions, "undeprecate", "Take the announcement back", "version orders.v1"},
	{aboutVersions, "retire", "End a version, or a credential at a time", "version orders.v1"},
	{aboutVersions, "republish", "Bring a retired version back, within 30 days", "version orders.v1"},
	{aboutVersions, "block", "Block a version at once", "version orders.v1 --reason 'leaks personal data'"},
	{aboutVersions, "unblock", "Lift a block", "version orders.v1"},
	{aboutSubscriptions, "revoke", "Revoke a credential: its connections close within a second", "credential acme-erp-1"},
}

// newMoves makes the commands of those that are listed together.
func newMoves(s Streams, of moveOf) []*cobra.Command {
	var out []*cobra.Command
	for _, m := range moveCommands {
		if m.of != of {
			continue
		}
		var server serverFlags
		var body schema.Move
		var o client.Options
		var sunset, until string
		var previous bool
		var brownouts []string
		cmd := &cobra.Command{
			Use: m.action + " KIND NAME", Short: m.short, Example: "  sluice " + m.action + " " + m.example,
			Args: exactly(2, "a kind and a name"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := server.client(formatTable, formatJSON)
				if err != nil {
					return err
				}
				kind, plural, err := kindOf(args[0])
				if err != nil {
					return err
				}
				for flag, to := range map[string]struct {
					text string
					at   **time.Time
				}{"sunset": {sunset, &body.Sunset}, "until": {until, &body.Until}} {
					if to.text == "" {
						continue
					}
					at, err := time.Parse(time.RFC3339, to.text)
					if err != nil {
						return usagef("--%s %q is no time: write it as 2027-06-30T00:00:00Z", flag, to.text)
					}
					*to.at = &at
				}
				if body.Brownouts, err = windows(brownouts); err != nil {
					return err
				}
				action := m.action
				if previous {
					if kind != resource.KindCredential {
						return usagef("--previous is for a credential's secret, and not for a %s", kind)
					}
					action = "revoke-previous"
				}
				var about *deciding
				if kind == resource.KindVersion && (m.action == "approve" || m.action == "reject") {
					if about, err = whatWaits(cmd.Context(), c, m.action, args[1], &body); err != nil {
						return err
					}
					about.show(s)
				}
				d, err := c.Move(cmd.Context(), plural, args[1], action, body, o)
				if err != nil {
					return err
				}
				if server.output == formatJSON {
					return writeJSON(s.Out, d)
				}
				var spec struct {
					State     string
					Lifecycle struct{ State string }
				}
				if err := json.Unmarshal(d.Spec, &spec); err != nil {
					return fmt.Errorf("read the answer: %w", err)
				}
				state, end := spec.State+spec.Lifecycle.State, ""
				if about != nil {
					state = about.done(m.action)
				}
				switch {
				case o.DryRun:
					end = " (nothing was changed)"
				case previous:
					end = "; the secret before has ended"
				}
				_, err = fmt.Fprintf(s.Out, "%s %s: %s%s\n", kind, args[1], state, end)
				return err
			},
		}
		server.add(cmd, formatTable, formatJSON)
		flags := cmd.Flags()
		flags.StringVar(&body.Reason, "reason", "", "for the audit log, and for whom it concerns")
		flags.BoolVar(&o.DryRun, "dry-run", false, "say what would happen, and change nothing")
		if m.action == "deprecate" {
			flags.StringVar(&sunset, "sunset", "", "when it ends, as 2027-06-30T00:00:00Z")
			flags.StringVar(&body.Grace, "grace", "", "how long after that it still works, as 72h")
			flags.StringVar(&body.Successor, "successor", "", "the version to move to")
			flags.StringArrayVar(&brownouts, "brownout", nil, "window in which it falls silent, as 2027-06-01T08:00:00Z/2027-06-01T09:00:00Z; may be repeated")
		}
		if m.action == "approve" || m.action == "reject" {
			flags.StringVar(&body.Environment, "environment", "", "where a revision of a version waits")
			flags.IntVar(&body.Revision, "revision", 0, "the revision of a version that you have looked at")
		}
		if m.action == "approve" {
			flags.StringVar(&body.Plan, "plan", "", "the plan that a subscription asked for when you looked at it; refused if that changed")
		}
		if m.action == "revoke" {
			flags.BoolVar(&previous, "previous", false, "only the secret that is being replaced")
		}
		if m.action == "retire" {
			flags.StringVar(&until, "until", "", "when a credential ends, as 2027-06-30T00:00:00Z")
		}
		out = append(out, cmd)
	}
	return out
}

// deciding is what somebody decides about: a revision of a version that waits, or the
// newest one as it is, where none does.
type deciding struct {
	version string
	newest  int
	at      *schema.Deployment // nil where nothing waits
}

// whatWaits finds out what a decision is about, and writes it into the body.
func whatWaits(ctx context.Context, c *client.Client, action, version string, body *schema.Move) (*deciding, error) {
	all, err := c.Deployments(ctx, version)
	if err != nil {
		return nil, err
	}
	out, waiting := &deciding{version: version, newest: all.Newest}, 0
	for i, d := range all.Items {
		if d.Waiting != nil && (body.Environment == "" || body.Environment == d.Environment) {
			out.at = &all.Items[i]
			waiting++
		}
	}
	switch {
	case waiting > 1 || waiting == 0 && (body.Environment != "" || action == "reject"):
		out.at = nil // the control plane says what is wrong
		return out, nil
	case action == "approve" && body.Revision == 0 && waiting == 1:
		return nil, usagef("%s; look at it, and approve it with: %s", out.words(), decideCommand("approve", string(resource.KindVersion), version, out.at.Environment, "", out.at.Waiting.Revision))
	case action == "approve" && body.Revision == 0:
		return nil, usagef("nothing of Version %s waits; to approve its newest revision as it is: sluice approve version %s --revision %d", version, version, out.newest)
	case waiting == 1:
		body.Environment = out.at.Environment
	}
	return out, nil
}

// words say what waits.
func (d *deciding) words() string {
	w := d.at.Waiting
	text := fmt.Sprintf("revision %d of Version %s waits for %s, asked for by %s on %s", w.Revision, d.version, d.at.Environment, w.By, w.Time.UTC().Format(time.DateOnly))
	if w.From != "" {
		text += ", promoted from " + w.From
	}
	if w.Waive != "" {
		text += ", although it breaks somebody (" + oneLine(w.Waive) + ")"
	}
	if w.Reason != "" {
		text += ": " + oneLine(w.Reason)
	}
	return text
}

// show tells what is about to be decided.
func (d *deciding) show(s Streams) {
	if d.at != nil {
		fmt.Fprintln(s.Err, readableText(d.words()))
	}
}

// done says what became of it.
func (d *deciding) done(action string) string {
	switch {
	case d.at == nil:
		return fmt.Sprintf("nothing waited; revision %d is approved as it is", d.newest)
	case action == "approve":
		return fmt.Sprintf("%s has revision %d, which waited", d.at.Environment, d.at.Waiting.Revision)
	}
	return fmt.Sprintf("revision %d, which waited for %s, does not get there", d.at.Waiting.Revision, d.at.Environment)
}

// windows reads spans of time, as FROM/TO.
func windows(texts []string) (out []schema.Brownout, err error) {
	for _, text := range texts {
		var w schema.Brownout
		from, to, _ := strings.Cut(text, "/")
		if w.From, err = time.Parse(time.RFC3339, from); err == nil {
			w.To, err = time.Parse(time.RFC3339, to)
		}
		if err != nil {
			return nil, usagef("--brownout %q is no span of time: write it as 2027-06-01T08:00:00Z/2027-06-01T09:00:00Z", text)
		}
		out = append(out, w)
	}
	return out, nil
}

// newWhoAmI says as whom commands ask.
func newWhoAmI(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "whoami", Short: "Say as whom commands ask the management API", Example: "  sluice whoami", Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, me)
			}
			rows := [][]string{{me.Actor}}
			if me.Actor == "nobody" {
				fmt.Fprintf(s.Err, "log in at %s with sluice login\n", c.Server())
			}
			if me.PlatformAdmin {
				rows = append(rows, []string{"platform-admin", "of everything"})
			}
			for _, r := range me.Roles {
				of := "organisation " + r.Organisation
				if r.Team != "" {
					of = "team " + r.Team + " of " + r.Organisation
				}
				rows = append(rows, []string{strings.TrimSpace(r.Role), of})
			}
			return table(s.Out, rows)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	return cmd
}
